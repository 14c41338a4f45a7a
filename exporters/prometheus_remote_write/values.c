/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "exporters/prometheus_remote_write/labels.h"
#include "otlp-proto/wire.h"

enum { MAX_NEST = 300 }; /* the decoder lets no more than 256 pass */

/** One pair of a map, for sorting. */
struct pair {
    struct gw_slice key, value;
    size_t index; /* of equal keys the last one counts */
};

static void put_double(struct gw_buf *out, double v)
{
    char text[GW_DOUBLE_BYTES];

    gw_buf_put(out, text, gw_double_text(v, GW_DOUBLE_ES6, text));
}

/* As encoding/json does it: \b and \f by letter, U+2028 and U+2029 escaped. */
static void put_string(struct gw_buf *out, struct gw_slice s)
{
    size_t from = 0;

    gw_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool separator = c == 0xe2 && i + 2 < s.n && s.p[i + 1] == 0x80 && (s.p[i + 2] | 1) == 0xa9;
        const char *letter = memchr("\"\\\b\f\n\r\t", c, 7);

        if (!letter && c >= 0x20 && !separator)
            continue;
        gw_buf_put(out, s.p + from, i - from);
        if (letter) {
            gw_buf_put_u8(out, '\\');
            gw_buf_put_u8(out, (uint8_t) "\"\\bfnrt"[letter - "\"\\\b\f\n\r\t"]);
        } else if (separator) {
            i += 2;
            gw_buf_put_str(out, s.p[i] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            gw_buf_printf(out, "\\u%04x", c);
        }
        from = i + 1;
    }
    gw_buf_put(out, s.n ? s.p + from : NULL, s.n - from);
    gw_buf_put_u8(out, '"');
}

static bool put_json(struct gw_buf *out, struct gw_slice any, unsigned depth);

static bool put_list(struct gw_buf *out, struct gw_slice list, unsigned depth)
{
    struct gw_wire_walk w = gw_wire_walk(list);
    struct gw_wire_field f;
    bool comma = false;

    gw_buf_put_u8(out, '[');
    while (gw_wire_next(&w, &f) > 0) {
        if (f.number != 1 || f.wire != GW_LEN)
            continue;
        if (comma)
            gw_buf_put_u8(out, ',');
        comma = true;
        if (!put_json(out, f.val, depth))
            return false;
    }
    gw_buf_put_u8(out, ']');
    return true;
}

static struct pair pair_of(struct gw_slice kv, size_t index)
{
    struct gw_wire_walk w = gw_wire_walk(kv);
    struct pair p = {.index = index};
    struct gw_wire_field f;

    while (gw_wire_next(&w, &f) > 0) {
        if (f.number == 1 && f.wire == GW_LEN)
            p.key = f.val;
        else if (f.number == 2 && f.wire == GW_LEN)
            p.value = f.val;
    }
    return p;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = gw_rw_compare(x->key, y->key);

    return c ? c : x->index < y->index ? -1 : 1;
}

/** Its pairs, sorted. Owner: gives the array. */
static struct pair *pairs_of(struct gw_slice map, size_t *ret_n)
{
    struct gw_wire_walk w = gw_wire_walk(map);
    struct gw_wire_field f;
    struct pair *pairs;
    size_t n = 0;

    while (gw_wire_next(&w, &f) > 0)
        n += f.number == 1 && f.wire == GW_LEN;
    *ret_n = n;
    pairs = malloc((n + 1) * sizeof(*pairs));
    if (!pairs)
        return NULL;
    n = 0;
    w = gw_wire_walk(map);
    while (gw_wire_next(&w, &f) > 0)
        if (f.number == 1 && f.wire == GW_LEN) {
            pairs[n] = pair_of(f.val, n);
            n++;
        }
    qsort(pairs, n, sizeof(*pairs), compare_pairs);
    return pairs;
}

static bool put_map(struct gw_buf *out, struct gw_slice map, unsigned depth)
{
    size_t n;
    struct pair *pairs = pairs_of(map, &n);
    bool ok = pairs != NULL, comma = false;

    out->failed |= !ok;
    gw_buf_put_u8(out, '{');
    for (size_t i = 0; i < n && ok; i++) {
        if (i + 1 < n && gw_slice_eq(pairs[i].key, pairs[i + 1].key))
            continue;
        if (comma)
            gw_buf_put_u8(out, ',');
        comma = true;
        put_string(out, pairs[i].key);
        gw_buf_put_u8(out, ':');
        ok = put_json(out, pairs[i].value, depth);
    }
    gw_buf_put_u8(out, '}');
    free(pairs);
    return ok;
}

static void put_bytes(struct gw_buf *out, struct gw_slice s)
{
    if (s.n == 0) { /* encoding/json writes a nil slice so */
        gw_buf_put_str(out, "null");
        return;
    }
    gw_buf_put_u8(out, '"');
    gw_put_base64(out, s);
    gw_buf_put_u8(out, '"');
}

/** False: JSON has no word for it. The stack is used as deep as the decoder lets values nest. */
static bool put_json(struct gw_buf *out, struct gw_slice any, unsigned depth)
{
    struct gw_wire_walk w = gw_wire_walk(any);
    struct gw_wire_field f, last = {0};
    double v = 0;

    while (gw_wire_next(&w, &f) > 0)
        if (f.number >= 1 && f.number <= 7)
            last = f;
    if (depth >= MAX_NEST)
        return false;
    switch (last.number) {
    case 1:
        put_string(out, last.val);
        return true;
    case 2:
        gw_buf_put_str(out, last.varint ? "true" : "false");
        return true;
    case 3:
        gw_json_put_i64(out, (int64_t)last.varint);
        return true;
    case 4:
        memcpy(&v, last.val.p, last.val.n == sizeof(v) ? sizeof(v) : 0);
        put_double(out, v);
        return isfinite(v);
    case 5:
        return put_list(out, last.val, depth + 1);
    case 6:
        return put_map(out, last.val, depth + 1);
    case 7:
        put_bytes(out, last.val);
        return true;
    default:
        gw_buf_put_str(out, "null");
        return true;
    }
}

static void put_special(struct gw_buf *out, double v)
{
    gw_buf_put_str(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

void gw_rw_put_value(struct gw_buf *out, const struct gw_batch *b, const struct gw_attr *a)
{
    size_t base = out->n;
    struct gw_slice s = {0};

    if (a->type >= GW_V_STRING && a->type != GW_V_BOOL && a->type != GW_V_INT && a->type != GW_V_DOUBLE)
        s = gw_batch_slice(b, a->val.ref);
    switch ((enum gw_value_type)a->type) {
    case GW_V_EMPTY:
        return;
    case GW_V_STRING:
        gw_buf_put_slice(out, s);
        return;
    case GW_V_BOOL:
        gw_buf_put_str(out, a->val.u64 ? "true" : "false");
        return;
    case GW_V_INT:
        gw_json_put_i64(out, a->val.i64);
        return;
    case GW_V_DOUBLE:
        if (isfinite(a->val.f64))
            put_double(out, a->val.f64);
        else
            put_special(out, a->val.f64);
        return;
    case GW_V_BYTES:
        gw_put_base64(out, s);
        return;
    case GW_V_ARRAY:
        if (!put_list(out, s, 1))
            out->n = base;
        return;
    case GW_V_KVLIST:
        if (!put_map(out, s, 1))
            out->n = base;
        return;
    }
}

void gw_rw_put_plain_double(struct gw_buf *out, double v)
{
    char text[GW_DOUBLE_BYTES], digits[GW_DOUBLE_BYTES];
    size_t n, n_digits = 0, at = 0;
    int exponent;

    if (!isfinite(v)) {
        gw_buf_put_str(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    n = gw_double_text(v, GW_DOUBLE_ES6, text);
    while (at < n && text[at] != 'e')
        at++;
    if (at == n) {
        gw_buf_put(out, text, n);
        return;
    }
    for (size_t i = 0; i < at; i++)
        if (text[i] >= '0' && text[i] <= '9')
            digits[n_digits++] = text[i];
    text[n < sizeof(text) ? n : n - 1] = 0;
    exponent = atoi(text + at + 1); /* d.ddd × 10^exponent */
    if (text[0] == '-')
        gw_buf_put_u8(out, '-');
    if (exponent < 0) {
        gw_buf_put_str(out, "0.");
        for (int i = -1; i > exponent; i--)
            gw_buf_put_u8(out, '0');
        gw_buf_put(out, digits, n_digits);
        return;
    }
    gw_buf_put(out, digits, n_digits); /* from 1e21 on: more places than digits */
    for (size_t i = n_digits; i < (size_t)exponent + 1; i++)
        gw_buf_put_u8(out, '0');
}
