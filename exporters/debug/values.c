/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "core/json_writer.h"
#include "exporters/debug/text.h"

enum { MAX_NEST = 64 };

/* ---- reading --------------------------------------------------------------------------------------------- */

void gw_debug_open(struct gw_debug_message *m, struct gw_slice bytes)
{
    struct gw_wire_walk w = gw_wire_walk(bytes);
    struct gw_wire_field f;

    memset(m->n, 0, sizeof(m->n));
    memset(m->val, 0, sizeof(m->val));
    memset(m->varint, 0, sizeof(m->varint));
    m->all = bytes;
    while (gw_wire_next(&w, &f) > 0) {
        if (f.number >= GW_DEBUG_FIELDS)
            continue;
        m->val[f.number] = f.wire == GW_VARINT ? (struct gw_slice){0} : f.val;
        m->varint[f.number] = f.wire == GW_VARINT ? f.varint : 0;
        m->n[f.number]++;
    }
}

bool gw_debug_next(struct gw_wire_walk *w, uint32_t number, struct gw_slice *ret)
{
    struct gw_wire_field f;

    while (gw_wire_next(w, &f) > 0) {
        if (f.number == number && f.wire == GW_LEN) {
            *ret = f.val;
            return true;
        }
    }
    return false;
}

static uint64_t load(struct gw_slice s)
{
    return s.n == 8 ? gw_load64(s.p) : s.n == 4 ? gw_load32(s.p) : 0;
}

uint64_t gw_debug_u64(const struct gw_debug_message *m, unsigned number)
{
    return m->varint[number] ? m->varint[number] : load(m->val[number]);
}

double gw_debug_f64(const struct gw_debug_message *m, unsigned number)
{
    uint64_t bits = load(m->val[number]);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

struct gw_debug_numbers gw_debug_numbers(const struct gw_debug_message *m, uint32_t number, bool varints)
{
    return (struct gw_debug_numbers){.walk = gw_wire_walk(m->all), .number = number, .varints = varints};
}

bool gw_debug_next_number(struct gw_debug_numbers *it, uint64_t *ret)
{
    struct gw_wire_field f;

    while (it->run.n == 0) {
        if (gw_wire_next(&it->walk, &f) <= 0)
            return false;
        if (f.number != it->number)
            continue;
        if (f.wire == GW_LEN) {
            it->run = f.val;
        } else {
            *ret = f.wire == GW_VARINT ? f.varint : load(f.val);
            return true;
        }
    }
    const uint8_t *end = it->run.p + it->run.n, *p;

    if (it->varints) {
        p = gw_varint_get(it->run.p, end, GW_VARINT_MAX, ret);
    } else {
        p = it->run.n >= 8 ? it->run.p + 8 : NULL;
        *ret = p ? gw_load64(it->run.p) : 0;
    }
    if (!p)
        return false;
    it->run = gw_slice_of(p, (size_t)(end - p));
    return true;
}

uint32_t gw_debug_count_varints(struct gw_slice run)
{
    uint32_t n = 0;

    for (size_t i = 0; i < run.n; i++)
        n += !(run.p[i] & 0x80);
    return n;
}

bool gw_debug_take_last(struct gw_slice *run, uint64_t *ret)
{
    size_t at = run->n;

    if (at == 0)
        return false;
    for (at--; at > 0 && run->p[at - 1] & 0x80;)
        at--;
    if (!gw_varint_get(run->p + at, run->p + run->n, GW_VARINT_MAX, ret))
        return false;
    run->n = at;
    return true;
}

double gw_debug_bucket_factor(const struct gw_debug_message *m)
{
    int64_t scale = (int32_t)gw_unzigzag(m->varint[6]);

    return ldexp(M_LN2, scale > 4000 ? -4000 : scale < -4000 ? 4000 : (int)-scale); /* 0 or infinite far before */
}

double gw_debug_bucket_offset(const struct gw_debug_message *m)
{
    return (double)(int32_t)gw_unzigzag(m->varint[1]);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

void gw_debug_put_text(struct gw_buf *b, struct gw_slice s)
{
    size_t from = 0;

    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool c1 = c == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0; /* U+0080 … U+009F */

        if ((c >= 0x20 && c != 0x7f && !c1) || c == '\n' || c == '\t')
            continue;
        gw_buf_put(b, s.p + from, i - from);
        i += c1;
        gw_buf_printf(b, "\\u%04x", s.p[i]);
        from = i + 1;
    }
    if (s.n)
        gw_buf_put(b, s.p + from, s.n - from);
}

void gw_debug_put_line(struct gw_buf *b, const char *label, struct gw_slice s)
{
    gw_buf_put_str(b, label);
    gw_debug_put_text(b, s);
    gw_buf_put_u8(b, '\n');
}

void gw_debug_put_id(struct gw_buf *b, struct gw_slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i]) {
            gw_put_hex(b, id);
            return;
        }
    }
}

void gw_debug_put_time(struct gw_buf *b, uint64_t time_ns)
{
    int64_t ns = (int64_t)time_ns; /* as Go reads it: what is over 2^63 lies before 1970 */
    int64_t fraction = ns % 1000000000;
    time_t s = (time_t)(ns / 1000000000);
    char text[40];
    struct tm tm;
    size_t n;

    if (fraction < 0) {
        fraction += 1000000000;
        s--;
    }
    (void)gmtime_r(&s, &tm);
    n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    gw_buf_put(b, text, n);
    if (fraction) {
        int digits = 9;

        for (; fraction % 10 == 0; fraction /= 10)
            digits--;
        gw_buf_printf(b, ".%0*lld", digits, (long long)fraction);
    }
    gw_buf_put_str(b, " +0000 UTC");
}

void gw_debug_put_f(struct gw_buf *b, double v)
{
    if (isfinite(v))
        gw_buf_printf(b, "%f", v);
    else
        gw_buf_put_str(b, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
}

static void put_double(struct gw_buf *b, double v, enum gw_double_style style)
{
    char text[GW_DOUBLE_BYTES];

    gw_buf_put(b, text, gw_double_text(v, style, text));
}

void gw_debug_put_v(struct gw_buf *b, double v)
{
    put_double(b, v, GW_DOUBLE_G);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

/** The member of an AnyValue that counts: the last one. number 0: none. */
static struct gw_wire_field member_of(struct gw_slice any)
{
    struct gw_wire_walk w = gw_wire_walk(any);
    struct gw_wire_field f, last = {0};

    while (gw_wire_next(&w, &f) > 0)
        if (f.number >= 1 && f.number <= 7)
            last = f;
    return last;
}

/** As encoding/json does it: \b and \f by letter, U+2028 and U+2029 escaped. */
static void put_json_string(struct gw_buf *b, struct gw_slice s)
{
    size_t from = 0;

    gw_buf_put_u8(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool separator = c == 0xe2 && i + 2 < s.n && s.p[i + 1] == 0x80 && (s.p[i + 2] | 1) == 0xa9;
        bool c1 = c == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0;
        const char *letter = memchr("\"\\\b\f\n\r\t", c, 7);

        if (!letter && c >= 0x20 && c != 0x7f && !separator && !c1)
            continue;
        gw_buf_put(b, s.p + from, i - from);
        if (letter) {
            gw_buf_put_u8(b, '\\');
            gw_buf_put_u8(b, (uint8_t) "\"\\bfnrt"[letter - "\"\\\b\f\n\r\t"]);
        } else if (separator) {
            i += 2;
            gw_buf_put_str(b, s.p[i] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            i += c1;
            gw_buf_printf(b, "\\u%04x", s.p[i]);
        }
        from = i + 1;
    }
    if (s.n)
        gw_buf_put(b, s.p + from, s.n - from);
    gw_buf_put_u8(b, '"');
}

static bool put_json(struct gw_debug_text *t, struct gw_slice any, unsigned depth);

static bool put_json_list(struct gw_debug_text *t, struct gw_slice list, unsigned depth)
{
    struct gw_wire_walk w = gw_wire_walk(list);
    struct gw_slice any;
    bool comma = false;

    gw_buf_put_u8(t->out, '[');
    while (gw_debug_next(&w, 1, &any)) {
        if (comma)
            gw_buf_put_u8(t->out, ',');
        comma = true;
        if (!put_json(t, any, depth))
            return false;
    }
    gw_buf_put_u8(t->out, ']');
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct gw_debug_pair *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

    if (c)
        return c;
    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/** The map's pairs behind those of the maps around it. */
static bool collect_pairs(struct gw_debug_text *t, struct gw_slice map)
{
    struct gw_wire_walk w = gw_wire_walk(map);
    struct gw_slice kv;

    while (gw_debug_next(&w, 1, &kv)) {
        struct gw_debug_message m;

        if (t->n_sort == t->cap_sort) {
            size_t cap = t->cap_sort ? t->cap_sort * 2 : 64;
            struct gw_debug_pair *p = realloc(t->sort, cap * sizeof(*p));

            if (!p)
                return false;
            t->sort = p;
            t->cap_sort = cap;
        }
        gw_debug_open(&m, kv);
        t->sort[t->n_sort] = (struct gw_debug_pair){m.val[1], m.val[2], t->n_sort};
        t->n_sort++;
    }
    return true;
}

static bool put_json_map(struct gw_debug_text *t, struct gw_slice map, unsigned depth)
{
    size_t base = t->n_sort, n;
    bool ok = collect_pairs(t, map), comma = false;

    n = t->n_sort - base;
    if (n > 1)
        qsort(t->sort + base, n, sizeof(*t->sort), compare_pairs);
    gw_buf_put_u8(t->out, '{');
    for (size_t i = 0; i < n && ok; i++) {
        struct gw_debug_pair pair = t->sort[base + i]; /* a copy: inner maps may move the scratch */

        if (i + 1 < n && gw_slice_eq(pair.key, t->sort[base + i + 1].key))
            continue;
        if (comma)
            gw_buf_put_u8(t->out, ',');
        comma = true;
        put_json_string(t->out, pair.key);
        gw_buf_put_u8(t->out, ':');
        ok = put_json(t, pair.value, depth);
    }
    gw_buf_put_u8(t->out, '}');
    t->n_sort = base;
    return ok;
}

/**
 * False: encoding/json would refuse it (NaN, infinities), and the Collector shows nothing. The machine's stack is used
 * at most 64 values deep, which the decoder has made sure of.
 */
static bool put_json(struct gw_debug_text *t, struct gw_slice any, unsigned depth)
{
    struct gw_wire_field f = member_of(any);
    double v = 0;

    if (depth >= MAX_NEST)
        return false;
    switch (f.number) {
    case 1:
        put_json_string(t->out, f.val);
        return true;
    case 2:
        gw_buf_put_str(t->out, f.varint ? "true" : "false");
        return true;
    case 3:
        gw_json_put_i64(t->out, (int64_t)f.varint);
        return true;
    case 4:
        memcpy(&v, f.val.p, f.val.n == sizeof(v) ? sizeof(v) : 0);
        put_double(t->out, v, GW_DOUBLE_ES6);
        return isfinite(v);
    case 5:
        return put_json_list(t, f.val, depth + 1);
    case 6:
        return put_json_map(t, f.val, depth + 1);
    case 7:
        if (f.val.n == 0)
            break; /* encoding/json writes a nil slice as null */
        gw_buf_put_u8(t->out, '"');
        gw_put_base64(t->out, f.val);
        gw_buf_put_u8(t->out, '"');
        return true;
    default:
        break;
    }
    gw_buf_put_str(t->out, "null");
    return true;
}

void gw_debug_put_value(struct gw_debug_text *t, struct gw_slice any)
{
    struct gw_wire_field f = member_of(any);
    size_t base = t->out->n;
    double v = 0;

    if (f.number == 0)
        return;
    if (f.number == 1) {
        gw_debug_put_text(t->out, f.val);
    } else if (f.number == 4) {
        memcpy(&v, f.val.p, f.val.n == sizeof(v) ? sizeof(v) : 0);
        put_double(t->out, v, GW_DOUBLE_ES6);
    } else if (f.number == 7) {
        gw_put_base64(t->out, f.val);
    } else if (!put_json(t, any, 0)) {
        t->out->n = base;
    }
}

void gw_debug_put_typed_value(struct gw_debug_text *t, struct gw_slice any)
{
    static const char *const types[] = {"Empty", "Str", "Bool", "Int", "Double", "Slice", "Map", "Bytes"};

    gw_buf_put_str(t->out, types[member_of(any).number]);
    gw_buf_put_u8(t->out, '(');
    gw_debug_put_value(t, any);
    gw_buf_put_u8(t->out, ')');
}
