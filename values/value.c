/* SPDX-License-Identifier: Apache-2.0 */
#include "values/value.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/json_writer.h"
#include "values/wire.h"

enum { MAX_DEPTH = 64, MAX_TEXT_BYTES = 4 << 20 };

/* ---- from YAML -------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 0x80));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_bytes(struct gw_buf *b, unsigned field, struct gw_slice s)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, s.n);
    gw_buf_put_slice(b, s);
}

static int put_any(struct gw_buf *out, const struct gw_node *n, unsigned depth);

/* The children of a list (ArrayValue) or map (KeyValueList): both have them as field 1. */
static int put_children(struct gw_buf *out, const struct gw_node *n, unsigned depth)
{
    int r = 0;

    for (const struct gw_node *c = n->first; c && r == 0; c = c->next) {
        struct gw_buf any, pair;

        gw_buf_init(&any, MAX_TEXT_BYTES);
        gw_buf_init(&pair, MAX_TEXT_BYTES);
        r = put_any(&any, c, depth + 1);
        if (n->type == GW_NODE_MAP) {
            put_bytes(&pair, 1, gw_slice_cstr(c->key));
            put_bytes(&pair, 2, gw_buf_slice(&any));
        }
        put_bytes(out, 1, gw_buf_slice(n->type == GW_NODE_MAP ? &pair : &any));
        if (any.failed || pair.failed)
            out->failed = true;
        gw_buf_clear(&any);
        gw_buf_clear(&pair);
    }
    return r;
}

/* An AnyValue message. */
static int put_any(struct gw_buf *out, const struct gw_node *n, unsigned depth)
{
    struct gw_buf sub;
    int r = 0;

    if (depth > MAX_DEPTH)
        return -E2BIG;
    switch (n->type) {
    case GW_NODE_NULL:
        break;
    case GW_NODE_STRING:
        put_bytes(out, 1, gw_slice_cstr(n->text));
        break;
    case GW_NODE_BOOL:
        put_varint(out, 2 << 3);
        put_varint(out, n->b);
        break;
    case GW_NODE_INT:
        put_varint(out, 3 << 3);
        put_varint(out, (uint64_t)n->i);
        break;
    case GW_NODE_FLOAT:
        put_varint(out, 4 << 3 | 1);
        gw_buf_put(out, &n->f, sizeof(n->f));
        break;
    case GW_NODE_LIST:
    case GW_NODE_MAP:
        gw_buf_init(&sub, MAX_TEXT_BYTES);
        r = put_children(&sub, n, depth);
        put_bytes(out, n->type == GW_NODE_LIST ? 5 : 6, gw_buf_slice(&sub));
        out->failed |= sub.failed;
        gw_buf_clear(&sub);
        break;
    }
    return r;
}

int gw_value_from_node(const struct gw_node *n, struct gw_arena *arena, struct gw_value *ret)
{
    struct gw_buf sub;
    int r;

    switch (n->type) {
    case GW_NODE_NULL:
        *ret = (struct gw_value){.type = GW_V_EMPTY};
        return 0;
    case GW_NODE_STRING:
        *ret = (struct gw_value){.type = GW_V_STRING, .s = gw_slice_cstr(n->text)};
        return 0;
    case GW_NODE_BOOL:
        *ret = (struct gw_value){.type = GW_V_BOOL, .b = n->b};
        return 0;
    case GW_NODE_INT:
        *ret = (struct gw_value){.type = GW_V_INT, .i = n->i};
        return 0;
    case GW_NODE_FLOAT:
        *ret = (struct gw_value){.type = GW_V_DOUBLE, .f = n->f};
        return 0;
    case GW_NODE_LIST:
    case GW_NODE_MAP:
        break;
    }
    gw_buf_init(&sub, MAX_TEXT_BYTES);
    r = put_children(&sub, n, 0);
    ret->type = n->type == GW_NODE_LIST ? GW_V_ARRAY : GW_V_KVLIST;
    ret->s = gw_arena_dup(arena, gw_buf_slice(&sub));
    if (r == 0 && (sub.failed || !ret->s.p))
        r = -ENOMEM;
    gw_buf_clear(&sub);
    return r;
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

/* strconv.FormatFloat(f, 'f', -1, 64): "1e-07" and "1.5e+21" written out. */
static size_t plain_double(double f, char out[GW_DOUBLE_BYTES])
{
    char text[GW_DOUBLE_BYTES], digits[GW_DOUBLE_BYTES];
    size_t n = gw_double_text(f, GW_DOUBLE_JSON, text), n_digits = 0, n_out = 0;
    const char *e;
    int exp10;

    text[n] = '\0';
    e = strchr(text, 'e');
    if (isnan(f) || isinf(f) || !e)
        return (size_t)sprintf(out, "%s", isnan(f) ? "NaN" : isinf(f) ? f > 0 ? "+Inf" : "-Inf" : text);
    exp10 = atoi(e + 1);
    for (const char *s = text; s < e; s++)
        if (*s >= '0' && *s <= '9')
            digits[n_digits++] = *s;
    if (text[0] == '-')
        out[n_out++] = '-';
    if (exp10 < 0) {
        n_out += (size_t)sprintf(out + n_out, "0.%0*d", -exp10 - 1, 0) - (exp10 == -1);
        memcpy(out + n_out, digits, n_digits);
        return n_out + n_digits;
    }
    memcpy(out + n_out, digits, n_digits);
    memset(out + n_out + n_digits, '0', (size_t)exp10 + 1 - n_digits);
    return n_out + (size_t)exp10 + 1;
}

bool gw_value_match_text(const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret)
{
    char text[GW_DOUBLE_BYTES];
    size_t n;

    if (v->type == GW_V_EMPTY || v->type == GW_V_BYTES || v->type == GW_V_ARRAY || v->type == GW_V_KVLIST)
        return false;
    if (v->type != GW_V_DOUBLE)
        return gw_value_text(v, arena, ret);
    n = plain_double(v->f, text);
    *ret = gw_arena_dup(arena, gw_slice_of(text, n));
    return ret->p != NULL;
}

bool gw_parse_int(struct gw_slice s, int64_t *ret)
{
    bool negative = s.n && s.p[0] == '-';
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    uint64_t v = 0;

    if (i == s.n)
        return false;
    for (; i < s.n; i++) {
        unsigned digit = s.p[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)-v : (int64_t)v;
    return true;
}

/* Copies a number without its underscores, each of which must stand between two digits. False: one does not. */
static bool strip_underscores(struct gw_slice s, bool hex, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            out[n++] = (char)s.p[i];
            continue;
        }
        if (i == 0 || i + 1 == s.n ||
            (hex ? !isalnum(s.p[i - 1]) || !isxdigit(s.p[i + 1]) : !isdigit(s.p[i - 1]) || !isdigit(s.p[i + 1])))
            return false;
    }
    out[n] = '\0';
    return true;
}

bool gw_parse_double(struct gw_slice s, double *ret)
{
    char text[512], *end;
    size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    struct gw_slice digits = {s.p + sign, s.n - sign};
    bool hex = digits.n > 1 && digits.p[0] == '0' && (digits.p[1] | 0x20) == 'x';
    double f;

    if (digits.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n) || !strip_underscores(s, hex, text))
        return false;
    /* What strtod takes beyond Go: white space before, nan(...), and hexadecimal without an exponent. */
    if (!isdigit(digits.p[0]) && digits.p[0] != '.' && strcasecmp(text + sign, "inf") != 0 &&
        strcasecmp(text + sign, "infinity") != 0 && strcasecmp(text, "nan") != 0)
        return false;
    if (hex && !strpbrk(text, "pP"))
        return false;
    f = strtod(text, &end);
    if (*end || (isinf(f) && (isdigit(digits.p[0]) || digits.p[0] == '.')))
        return false;
    *ret = f;
    return true;
}

/* ---- as text ---------------------------------------------------------------------------------------------- */

/* How a value becomes JSON: where pairs are sorted, and whether < > & are escaped and exponents padded. */
struct json_style {
    struct gw_arena *arena;
    bool html;
};

/* encoding/json: \b and \f by name, U+2028 and U+2029 escaped. */
static void put_json_string(struct gw_buf *out, struct gw_slice s, bool html)
{
    static const char names[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";

    gw_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const char *name = s.p[i] ? memchr(names, s.p[i], sizeof(names) - 1) : NULL;

        if (name && (!html || name > names + 1)) /* json.Marshal here is goccy's: \u0008 and \u000c */
            gw_buf_printf(out, "\\%c", letters[name - names]);
        else if (s.p[i] < 0x20 || (html && (s.p[i] == '<' || s.p[i] == '>' || s.p[i] == '&')))
            gw_buf_printf(out, "\\u%04x", s.p[i]);
        else if (i + 2 < s.n && s.p[i] == 0xe2 && s.p[i + 1] == 0x80 && (s.p[i + 2] & 0xfe) == 0xa8) {
            gw_buf_printf(out, "\\u202%c", s.p[i + 2] == 0xa8 ? '8' : '9');
            i += 2;
        } else
            gw_buf_put_u8(out, s.p[i]);
    }
    gw_buf_put_u8(out, '"');
}

/* The value in an AnyValue message; the last field wins. */
static struct gw_value any_value(struct gw_slice any)
{
    static const uint8_t types[] = {GW_V_EMPTY,  GW_V_STRING, GW_V_BOOL,   GW_V_INT,
                                    GW_V_DOUBLE, GW_V_ARRAY,  GW_V_KVLIST, GW_V_BYTES};
    struct gw_value v = {.type = GW_V_EMPTY};
    struct gw_wire_field f;

    while (gw_wire_take(&any, &f)) {
        if (f.number == 0 || f.number >= sizeof(types))
            continue;
        v.type = types[f.number];
        if (v.type == GW_V_BOOL)
            v.b = f.scalar != 0;
        else if (v.type == GW_V_INT || v.type == GW_V_DOUBLE)
            v.i = (int64_t)f.scalar;
        else
            v.s = f.bytes;
    }
    return v;
}

struct pair {
    struct gw_slice key, any;
};

bool gw_value_list_next(struct gw_slice *rest, struct gw_value *ret)
{
    struct gw_wire_field f;

    while (gw_wire_take(rest, &f))
        if (f.number == 1) {
            *ret = any_value(f.bytes);
            return true;
        }
    return false;
}

static int by_key(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

    if (c == 0 && x->key.n != y->key.n)
        c = x->key.n < y->key.n ? -1 : 1;
    return c ? c : x->any.p < y->any.p ? -1 : 1; /* wire order: of a repeated key the last one counts */
}

static struct pair take_pair(struct gw_slice kv)
{
    struct pair p = {{NULL, 0}, {NULL, 0}};
    struct gw_wire_field f;

    while (gw_wire_take(&kv, &f))
        if (f.number == 1)
            p.key = f.bytes;
        else if (f.number == 2)
            p.any = f.bytes;
    return p;
}

bool gw_value_map_next(struct gw_slice *rest, struct gw_slice *ret_key, struct gw_value *ret)
{
    struct gw_wire_field f;

    while (gw_wire_take(rest, &f))
        if (f.number == 1) {
            struct pair p = take_pair(f.bytes);

            *ret_key = p.key;
            *ret = any_value(p.any);
            return true;
        }
    return false;
}

static void put_json(struct gw_buf *out, const struct gw_value *v, const struct json_style *style, unsigned depth);

static void put_json_map(struct gw_buf *out, struct gw_slice kvlist, const struct json_style *style, unsigned depth)
{
    struct gw_slice rest = kvlist;
    struct pair *pairs;
    struct gw_wire_field f;
    size_t n = 0, put = 0;

    while (gw_wire_take(&rest, &f))
        n += f.number == 1;
    pairs = gw_arena_alloc(style->arena, (n + 1) * sizeof(*pairs));
    if (!pairs) {
        out->failed = true;
        return;
    }
    n = 0;
    while (gw_wire_take(&kvlist, &f))
        if (f.number == 1)
            pairs[n++] = take_pair(f.bytes);
    qsort(pairs, n, sizeof(*pairs), by_key);
    gw_buf_put_u8(out, '{');
    for (size_t i = 0; i < n; i++) {
        struct gw_value v = any_value(pairs[i].any);

        if (i + 1 < n && gw_slice_eq(pairs[i].key, pairs[i + 1].key))
            continue;
        if (put++)
            gw_buf_put_u8(out, ',');
        put_json_string(out, pairs[i].key, style->html);
        gw_buf_put_u8(out, ':');
        put_json(out, &v, style, depth + 1);
    }
    gw_buf_put_u8(out, '}');
}

static void put_json_list(struct gw_buf *out, struct gw_slice array, const struct json_style *style, unsigned depth)
{
    struct gw_wire_field f;
    size_t put = 0;

    gw_buf_put_u8(out, '[');
    while (gw_wire_take(&array, &f)) {
        struct gw_value v = any_value(f.bytes);

        if (f.number != 1)
            continue;
        if (put++)
            gw_buf_put_u8(out, ',');
        put_json(out, &v, style, depth + 1);
    }
    gw_buf_put_u8(out, ']');
}

static void put_json(struct gw_buf *out, const struct gw_value *v, const struct json_style *style, unsigned depth)
{
    char number[GW_DOUBLE_BYTES];

    if (depth > MAX_DEPTH) {
        out->failed = true;
        return;
    }
    switch (v->type) {
    case GW_V_EMPTY:
        gw_buf_put_str(out, "null");
        break;
    case GW_V_STRING:
        put_json_string(out, v->s, style->html);
        break;
    case GW_V_BOOL:
        gw_buf_put_str(out, v->b ? "true" : "false");
        break;
    case GW_V_INT:
        gw_json_put_i64(out, v->i);
        break;
    case GW_V_DOUBLE:
        gw_buf_put(out, number, gw_double_text(v->f, style->html ? GW_DOUBLE_JSON : GW_DOUBLE_ES6, number));
        break;
    case GW_V_BYTES:
        gw_buf_put_u8(out, '"');
        gw_put_base64(out, v->s);
        gw_buf_put_u8(out, '"');
        break;
    case GW_V_ARRAY:
        put_json_list(out, v->s, style, depth);
        break;
    case GW_V_KVLIST:
        put_json_map(out, v->s, style, depth);
        break;
    }
}

void gw_value_put_text(struct gw_buf *out, const struct gw_value *v, struct gw_arena *arena, enum gw_text_style how)
{
    const struct json_style style = {arena, how == GW_TEXT_HTML};

    if (v->type == GW_V_STRING)
        gw_buf_put_slice(out, v->s);
    else if (v->type == GW_V_BYTES)
        gw_put_base64(out, v->s);
    else if (v->type != GW_V_EMPTY)
        put_json(out, v, &style, 0);
}

void gw_value_put_json(struct gw_buf *out, const struct gw_value *v, struct gw_arena *arena, enum gw_text_style how)
{
    const struct json_style style = {arena, how == GW_TEXT_HTML};

    put_json(out, v, &style, 0);
}

bool gw_value_text(const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret)
{
    struct gw_buf out;
    bool ok;

    if (v->type == GW_V_STRING || v->type == GW_V_EMPTY) {
        *ret = v->type == GW_V_STRING ? v->s : GW_SLICE("");
        return true;
    }
    gw_buf_init(&out, MAX_TEXT_BYTES);
    gw_value_put_text(&out, v, arena, GW_TEXT_PLAIN);
    *ret = gw_arena_dup(arena, gw_buf_slice(&out));
    ok = !out.failed && ret->p;
    gw_buf_clear(&out);
    return ok;
}

bool gw_value_eq(const struct gw_value *a, const struct gw_value *b, struct gw_arena *arena)
{
    struct gw_slice x, y;

    if (a->type != b->type)
        return false;
    switch (a->type) {
    case GW_V_EMPTY:
        return true;
    case GW_V_BOOL:
        return a->b == b->b;
    case GW_V_INT:
        return a->i == b->i;
    case GW_V_DOUBLE:
        return a->f == b->f;
    case GW_V_STRING:
    case GW_V_BYTES:
        return gw_slice_eq(a->s, b->s);
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        break;
    }
    return gw_value_text(a, arena, &x) && gw_value_text(b, arena, &y) && gw_slice_eq(x, y);
}

struct gw_value gw_value_of_any(struct gw_slice any)
{
    return any_value(any);
}

/* ---- as a message ----------------------------------------------------------------------------------------- */

static size_t varint_size(uint64_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* Bytes of an AnyValue with that value. */
static size_t any_size(const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_EMPTY:
        return 0;
    case GW_V_BOOL:
        return 2;
    case GW_V_INT:
        return 1 + varint_size((uint64_t)v->i);
    case GW_V_DOUBLE:
        return 9;
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        break;
    }
    return 1 + varint_size(v->s.n) + v->s.n;
}

static void put_value(struct gw_buf *out, const struct gw_value *v)
{
    static const uint8_t fields[] = {[GW_V_STRING] = 1, [GW_V_BOOL] = 2,   [GW_V_INT] = 3,  [GW_V_DOUBLE] = 4,
                                     [GW_V_ARRAY] = 5,  [GW_V_KVLIST] = 6, [GW_V_BYTES] = 7};

    switch (v->type) {
    case GW_V_EMPTY:
        return;
    case GW_V_BOOL:
    case GW_V_INT:
        put_varint(out, (uint64_t)fields[v->type] << 3);
        put_varint(out, v->type == GW_V_BOOL ? (uint64_t)v->b : (uint64_t)v->i);
        return;
    case GW_V_DOUBLE:
        put_varint(out, 4 << 3 | 1);
        gw_buf_put(out, &v->f, sizeof(v->f));
        return;
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        put_bytes(out, fields[v->type], v->s);
        return;
    }
}

void gw_value_put_item(struct gw_buf *out, const struct gw_value *v)
{
    put_varint(out, 1 << 3 | 2);
    put_varint(out, any_size(v));
    put_value(out, v);
}

void gw_value_put_pair(struct gw_buf *out, struct gw_slice key, const struct gw_value *v)
{
    size_t any = any_size(v);

    put_varint(out, 1 << 3 | 2);
    put_varint(out, 1 + varint_size(key.n) + key.n + 1 + varint_size(any) + any);
    put_bytes(out, 1, key);
    put_varint(out, 2 << 3 | 2);
    put_varint(out, any);
    put_value(out, v);
}

const char *gw_value_type_name(enum gw_value_type t)
{
    static const char *const names[] = {"Empty", "Str", "Bool", "Int", "Double", "Bytes", "Slice", "Map"};

    return names[t];
}
