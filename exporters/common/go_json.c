/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/common/go_json.h"

#include <math.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "otlp-proto/limits.h"
#include "otlp-proto/wire.h"

struct gw_go_pair {
    struct gw_slice key, any;
    uint32_t index; /* of equal keys the last one counts */
};

void gw_go_json_clear(struct gw_go_json *g)
{
    free(g->pairs);
    *g = (struct gw_go_json){.escape = g->escape};
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

bool gw_go_next(struct gw_slice *list, struct gw_slice *ret)
{
    struct gw_wire_walk walk = gw_wire_walk(*list);
    struct gw_wire_field f;

    while (gw_wire_next(&walk, &f) > 0) {
        if (f.number != 1 || f.wire != GW_LEN)
            continue;
        *ret = f.val;
        *list = gw_slice_of(walk.p, (size_t)(walk.end - walk.p));
        return true;
    }
    *list = (struct gw_slice){0};
    return false;
}

struct gw_value gw_go_any(struct gw_slice any)
{
    struct gw_wire_walk walk = gw_wire_walk(any);
    struct gw_value v = {.type = GW_V_EMPTY};
    struct gw_wire_field f;
    uint64_t bits;

    while (gw_wire_next(&walk, &f) > 0) {
        if (f.number == 1 && f.wire == GW_LEN) {
            v = (struct gw_value){.type = GW_V_STRING, .s = f.val};
        } else if (f.number == 2 && f.wire == GW_VARINT) {
            v = (struct gw_value){.type = GW_V_BOOL, .b = f.varint != 0};
        } else if (f.number == 3 && f.wire == GW_VARINT) {
            v = (struct gw_value){.type = GW_V_INT, .i = (int64_t)f.varint};
        } else if (f.number == 4 && f.wire == GW_I64) {
            bits = gw_load64(f.val.p);
            v.type = GW_V_DOUBLE;
            memcpy(&v.f, &bits, sizeof(v.f));
        } else if (f.number >= 5 && f.number <= 7 && f.wire == GW_LEN) {
            v.type = f.number == 5 ? GW_V_ARRAY : f.number == 6 ? GW_V_KVLIST : GW_V_BYTES;
            v.s = f.val;
        }
    }
    return v;
}

void gw_go_pair_of(struct gw_slice key_value, struct gw_slice *ret_key, struct gw_slice *ret_any)
{
    struct gw_wire_walk walk = gw_wire_walk(key_value);
    struct gw_wire_field f;

    *ret_key = *ret_any = gw_slice_of(key_value.p, 0);
    while (gw_wire_next(&walk, &f) > 0) {
        if (f.wire != GW_LEN || f.number > 2)
            continue;
        if (f.number == 1)
            *ret_key = f.val;
        else
            *ret_any = f.val;
    }
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

static bool needs_escape(uint8_t c, enum gw_go_escape escape)
{
    if (c < 0x20 || c == '"' || c == '\\')
        return true;
    return escape == GW_GO_HTML ? c == '<' || c == '>' || c == '&' : escape == GW_GO_TERMINAL && c == 0x7f;
}

/* Bytes of the code point at p when it is one of two or three bytes that is escaped, else 0. */
static size_t long_escape(struct gw_slice rest, enum gw_go_escape escape)
{
    if (rest.n > 2 && rest.p[0] == 0xe2 && rest.p[1] == 0x80 && (rest.p[2] | 1) == 0xa9) /* U+2028, U+2029 */
        return 3;
    return escape == GW_GO_TERMINAL && rest.n > 1 && rest.p[0] == 0xc2 && rest.p[1] < 0xa0 ? 2 : 0;
}

static void put_escape(struct gw_buf *out, const uint8_t *p, size_t n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *letter = n == 1 ? memchr(from, *p, sizeof(from) - 1) : NULL;

    gw_buf_put_u8(out, '\\');
    if (letter)
        gw_buf_put_u8(out, (uint8_t)to[letter - from]);
    else if (n == 3)
        gw_buf_put_str(out, p[2] == 0xa8 ? "u2028" : "u2029");
    else
        gw_buf_printf(out, "u%04x", p[n - 1]); /* C1: its last byte is its code point */
}

static void put_string(struct gw_buf *out, struct gw_slice s, enum gw_go_escape escape)
{
    size_t from = 0, n;

    gw_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i += n ? n : 1) {
        n = needs_escape(s.p[i], escape) ? 1 : s.p[i] < 0xc2 ? 0 : long_escape(gw_slice_of(s.p + i, s.n - i), escape);
        if (n == 0)
            continue;
        gw_buf_put(out, s.p + from, i - from);
        put_escape(out, s.p + i, n);
        from = i + n;
    }
    if (s.n > from)
        gw_buf_put(out, s.p + from, s.n - from);
    gw_buf_put_u8(out, '"');
}

/* ---- lists and maps ----------------------------------------------------------------------------------------- */

static bool put(struct gw_go_json *g, const struct gw_value *v, struct gw_buf *out, unsigned depth);

static bool put_list(struct gw_go_json *g, struct gw_slice list, struct gw_buf *out, unsigned depth)
{
    struct gw_slice any;
    bool comma = false;

    gw_buf_put_u8(out, '[');
    while (gw_go_next(&list, &any)) {
        struct gw_value v = gw_go_any(any);

        if (comma)
            gw_buf_put_u8(out, ',');
        comma = true;
        if (!put(g, &v, out, depth))
            return false;
    }
    gw_buf_put_u8(out, ']');
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct gw_go_pair *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

    if (c)
        return c;
    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* The map's pairs behind those of the maps around it. */
static bool collect_pairs(struct gw_go_json *g, struct gw_slice map)
{
    struct gw_slice kv;

    while (gw_go_next(&map, &kv)) {
        if (g->n == g->cap) {
            uint32_t cap = g->cap ? 2 * g->cap : 64;
            struct gw_go_pair *more = realloc(g->pairs, cap * sizeof(*more));

            if (!more) {
                g->no_memory = true;
                return false;
            }
            g->pairs = more;
            g->cap = cap;
        }
        gw_go_pair_of(kv, &g->pairs[g->n].key, &g->pairs[g->n].any);
        g->pairs[g->n].index = g->n;
        g->n++;
    }
    return true;
}

static bool put_map(struct gw_go_json *g, struct gw_slice map, struct gw_buf *out, unsigned depth)
{
    uint32_t base = g->n, n;
    bool ok = collect_pairs(g, map), comma = false;

    n = g->n - base;
    if (n > 1)
        qsort(g->pairs + base, n, sizeof(*g->pairs), compare_pairs);
    gw_buf_put_u8(out, '{');
    for (uint32_t i = 0; i < n && ok; i++) {
        struct gw_go_pair pair = g->pairs[base + i]; /* a copy: maps inside may move the scratch */
        struct gw_value v = gw_go_any(pair.any);

        if (i + 1 < n && gw_slice_eq(pair.key, g->pairs[base + i + 1].key))
            continue;
        if (comma)
            gw_buf_put_u8(out, ',');
        comma = true;
        put_string(out, pair.key, g->escape);
        gw_buf_put_u8(out, ':');
        ok = put(g, &v, out, depth);
    }
    gw_buf_put_u8(out, '}');
    g->n = base;
    return ok;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static void put_bytes(struct gw_buf *out, struct gw_slice s)
{
    if (s.n == 0) { /* a nil slice */
        gw_buf_put_str(out, "null");
        return;
    }
    gw_buf_put_u8(out, '"');
    gw_put_base64(out, s);
    gw_buf_put_u8(out, '"');
}

static bool put_double(struct gw_buf *out, double v)
{
    char text[GW_DOUBLE_BYTES];

    gw_buf_put(out, text, gw_double_text(v, GW_DOUBLE_ES6, text));
    return isfinite(v);
}

/* The machine's stack is used as deep as decoders let values nest. */
static bool put(struct gw_go_json *g, const struct gw_value *v, struct gw_buf *out, unsigned depth)
{
    if (depth > GW_DEPTH_MAX)
        return false;
    switch (v->type) {
    case GW_V_STRING:
        put_string(out, v->s, g->escape);
        return true;
    case GW_V_BOOL:
        gw_buf_put_str(out, v->b ? "true" : "false");
        return true;
    case GW_V_INT:
        gw_json_put_i64(out, v->i);
        return true;
    case GW_V_DOUBLE:
        return put_double(out, v->f);
    case GW_V_BYTES:
        put_bytes(out, v->s);
        return true;
    case GW_V_ARRAY:
        return put_list(g, v->s, out, depth + 1);
    case GW_V_KVLIST:
        return put_map(g, v->s, out, depth + 1);
    case GW_V_EMPTY:
        break;
    }
    gw_buf_put_str(out, "null");
    return true;
}

bool gw_go_json_put(struct gw_go_json *g, const struct gw_value *v, struct gw_buf *out)
{
    g->no_memory = false;
    g->n = 0;
    return put(g, v, out, 0);
}
