/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "core/json_writer.h"
#include "exporters/debug/text.h"

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

void gw_debug_put_value(struct gw_debug_text *t, struct gw_slice any)
{
    struct gw_value v = gw_go_any(any);
    size_t base = t->out->n;

    if (v.type == GW_V_EMPTY)
        return;
    if (v.type == GW_V_STRING)
        gw_debug_put_text(t->out, v.s);
    else if (v.type == GW_V_DOUBLE)
        put_double(t->out, v.f, GW_DOUBLE_ES6);
    else if (v.type == GW_V_BYTES)
        gw_put_base64(t->out, v.s);
    else if (!gw_go_json_put(&t->json, &v, t->out)) { /* the Collector shows nothing then */
        t->out->n = base;
        if (t->json.no_memory)
            t->out->failed = t->out->starved = true;
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
