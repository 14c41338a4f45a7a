/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/body.h"

#include <stdlib.h>

#include "core/hash.h"

/* Field numbers, of 1.0 and 2.0. */
enum { SERIES_1 = 1, SYMBOLS_2 = 4, SERIES_2 = 5 };
enum { LABELS = 1, SAMPLES = 2, EXEMPLARS_1 = 3, HISTOGRAMS_1 = 4, HISTOGRAMS_2 = 3, EXEMPLARS_2 = 4 };

/* ---- reading ------------------------------------------------------------------------------------------------- */

/** Room for one more. */
static int grow(void **p, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    uint32_t more = *cap ? *cap * 2 : 64;
    void *q;

    if (n < *cap)
        return 0;
    q = realloc(*p, more * item_bytes);
    if (!q)
        return -ENOMEM;
    *p = q;
    *cap = more;
    return 0;
}

static bool is_point(const struct gw_rw_body *b, const struct gw_wire_field *f)
{
    uint32_t histograms = b->version == GW_RW_2 ? HISTOGRAMS_2 : HISTOGRAMS_1;

    return f->wire == GW_LEN && (f->number == SAMPLES || f->number == histograms);
}

static bool is_exemplar(const struct gw_rw_body *b, const struct gw_wire_field *f)
{
    uint32_t exemplars = b->version == GW_RW_2 ? EXEMPLARS_2 : EXEMPLARS_1;

    return f->wire == GW_LEN && f->number == exemplars;
}

static int read_point(struct gw_rw_body *b, struct gw_slice message)
{
    int r = grow((void **)&b->points, b->n_points, &b->cap_points, sizeof(*b->points));

    if (r == 0)
        b->points[b->n_points++] = (struct gw_rw_point){.message = message, .series = b->n_series};
    return r;
}

static int read_series(struct gw_rw_body *b, struct gw_slice message)
{
    struct gw_rw_body_series s = {.message = message, .points.begin = b->n_points};
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;
    int r;

    while ((r = gw_wire_next(&w, &f)) > 0) {
        s.has_exemplars |= is_exemplar(b, &f);
        if (is_point(b, &f) && (r = read_point(b, f.val)) < 0)
            return r;
    }
    s.points.end = b->n_points;
    if (r == 0)
        r = grow((void **)&b->series, b->n_series, &b->cap_series, sizeof(*b->series));
    if (r == 0)
        b->series[b->n_series++] = s;
    return r;
}

static uint32_t series_field(const struct gw_rw_body *b)
{
    return b->version == GW_RW_2 ? SERIES_2 : SERIES_1;
}

int gw_rw_body_read(struct gw_rw_body *ret, enum gw_rw_version version, struct gw_slice bytes)
{
    struct gw_wire_walk w = gw_wire_walk(bytes);
    struct gw_rw_body *b = ret;
    struct gw_wire_field f;
    int r;

    *b = (struct gw_rw_body){.version = version, .bytes = bytes};
    while ((r = gw_wire_next(&w, &f)) > 0) {
        if (f.wire != GW_LEN)
            continue;
        if (f.number == series_field(b)) {
            r = read_series(b, f.val);
        } else if (version == GW_RW_2 && f.number == SYMBOLS_2) {
            r = grow((void **)&b->symbols, b->n_symbols, &b->cap_symbols, sizeof(*b->symbols));
            if (r == 0)
                b->symbols[b->n_symbols++] = f.val;
        } else if (version == GW_RW_1) {
            b->has_metadata = true;
        }
        if (r < 0)
            break;
    }
    return r;
}

void gw_rw_body_clear(struct gw_rw_body *b)
{
    free(b->series);
    free(b->points);
    free(b->symbols);
    *b = (struct gw_rw_body){0};
}

/* ---- labels --------------------------------------------------------------------------------------------------- */

void gw_rw_labels_begin(const struct gw_rw_body *b, const struct gw_rw_body_series *s, struct gw_rw_label_iter *it)
{
    *it = (struct gw_rw_label_iter){.body = b, .walk = gw_wire_walk(s->message)};
}

static bool next_symbol(struct gw_rw_label_iter *it, struct gw_slice *ret)
{
    uint64_t ref;

    it->refs = gw_varint_get(it->refs, it->end, GW_VARINT_MAX, &ref);
    if (!it->refs || ref >= it->body->n_symbols) {
        it->refs = it->end = NULL;
        return false;
    }
    *ret = it->body->symbols[ref];
    return true;
}

static void read_label(struct gw_slice message, struct gw_slice *ret_name, struct gw_slice *ret_value)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;

    *ret_name = *ret_value = (struct gw_slice){0};
    while (gw_wire_next(&w, &f) > 0)
        if (f.wire == GW_LEN && (f.number == 1 || f.number == 2))
            *(f.number == 1 ? ret_name : ret_value) = f.val;
}

bool gw_rw_labels_next(struct gw_rw_label_iter *it, struct gw_slice *ret_name, struct gw_slice *ret_value)
{
    struct gw_wire_field f;

    for (;;) {
        if (it->refs != it->end)
            return next_symbol(it, ret_name) && next_symbol(it, ret_value);
        if (gw_wire_next(&it->walk, &f) <= 0)
            return false;
        if (f.number != LABELS || f.wire != GW_LEN)
            continue;
        if (it->body->version == GW_RW_1) {
            read_label(f.val, ret_name, ret_value);
            return true;
        }
        it->refs = f.val.p;
        it->end = f.val.p + f.val.n;
    }
}

uint64_t gw_rw_labels_hash(const struct gw_rw_body *b, const struct gw_rw_body_series *s)
{
    struct gw_slice name, value;
    struct gw_rw_label_iter it;
    uint64_t h = 0;

    gw_rw_labels_begin(b, s, &it);
    while (gw_rw_labels_next(&it, &name, &value))
        h = (h ^ gw_hash_table(name)) * 0x9e3779b97f4a7c15u + gw_hash_table(value);
    return h;
}

bool gw_rw_labels_eq(const struct gw_rw_body *a, const struct gw_rw_body_series *s, const struct gw_rw_body *b,
                     const struct gw_rw_body_series *t)
{
    struct gw_slice name[2], value[2];
    struct gw_rw_label_iter it[2];
    bool more[2];

    gw_rw_labels_begin(a, s, &it[0]);
    gw_rw_labels_begin(b, t, &it[1]);
    do {
        for (unsigned i = 0; i < 2; i++)
            more[i] = gw_rw_labels_next(&it[i], &name[i], &value[i]);
        if (more[0] != more[1] || (more[0] && !(gw_slice_eq(name[0], name[1]) && gw_slice_eq(value[0], value[1]))))
            return false;
    } while (more[0]);
    return true;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static void put_field(struct gw_buf *out, uint32_t number, struct gw_slice value)
{
    uint8_t head[2 * GW_VARINT_MAX], *p = gw_varint_put(head, GW_TAG(number, GW_LEN));

    p = gw_varint_put(p, value.n);
    gw_buf_put(out, head, (size_t)(p - head));
    gw_buf_put_slice(out, value);
}

static bool is_in(struct gw_range r, uint32_t i)
{
    return i >= r.begin && i < r.end;
}

uint32_t gw_rw_body_living(const struct gw_rw_body *b, struct gw_range points)
{
    uint32_t n = 0;

    for (uint32_t i = points.begin; i < points.end; i++)
        n += !b->points[i].out;
    return n;
}

void gw_rw_body_deliver(struct gw_rw_body *b, struct gw_range points)
{
    for (uint32_t i = points.begin; i < points.end; i++) {
        if (!b->points[i].out)
            b->series[b->points[i].series].has_exemplars = false;
        b->points[i].out = true;
    }
    b->has_metadata = false;
}

static void put_series(const struct gw_rw_body *b, const struct gw_rw_body_series *s, struct gw_range points,
                       struct gw_buf *series)
{
    struct gw_wire_walk w = gw_wire_walk(s->message);
    uint32_t i = s->points.begin;
    struct gw_wire_field f;

    gw_buf_reset(series);
    while (gw_wire_next(&w, &f) > 0) {
        bool goes = is_exemplar(b, &f) ? s->has_exemplars : true;

        if (is_point(b, &f)) {
            goes = is_in(points, i) && !b->points[i].out;
            i++;
        }
        if (goes)
            gw_buf_put(series, f.at, (size_t)(w.p - f.at));
    }
}

void gw_rw_body_write(const struct gw_rw_body *b, struct gw_range points, struct gw_buf *out)
{
    struct gw_wire_walk w = gw_wire_walk(b->bytes);
    struct gw_wire_field f;
    struct gw_buf series;
    uint32_t i = 0;

    gw_buf_init(&series, out->max_bytes);
    while (gw_wire_next(&w, &f) > 0) {
        if (f.number != series_field(b) || f.wire != GW_LEN) {
            if (b->version == GW_RW_2 || b->has_metadata) /* symbols always */
                gw_buf_put(out, f.at, (size_t)(w.p - f.at));
            continue;
        }
        if (gw_rw_body_living(b, gw_rw_common(b->series[i].points, points))) {
            put_series(b, &b->series[i], points, &series);
            put_field(out, f.number, gw_buf_slice(&series));
        }
        i++;
    }
    out->failed = out->failed || series.failed;
    gw_buf_clear(&series);
}

/* A message whose length is known only behind it is written to a scratch buffer first. */
static void put_labels_1(const struct gw_rw_body *b, const struct gw_rw_body_series *s, struct gw_buf *label,
                         struct gw_buf *out)
{
    struct gw_slice name, value;
    struct gw_rw_label_iter it;

    gw_rw_labels_begin(b, s, &it);
    while (gw_rw_labels_next(&it, &name, &value)) {
        gw_buf_reset(label);
        put_field(label, 1, name);
        put_field(label, 2, value);
        put_field(out, LABELS, gw_buf_slice(label));
    }
}

static void put_exemplar_1(const struct gw_rw_body *b, struct gw_slice message, struct gw_buf *label,
                           struct gw_buf *exemplar)
{
    const struct gw_rw_body_series as_series = {.message = message}; /* its labels stand in the same field */
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;

    gw_buf_reset(exemplar);
    put_labels_1(b, &as_series, label, exemplar);
    while (gw_wire_next(&w, &f) > 0)
        if (f.number != LABELS) /* value and timestamp have the same numbers */
            gw_buf_put(exemplar, f.at, (size_t)(w.p - f.at));
}

static void put_series_1(const struct gw_rw_body *b, const struct gw_rw_body_series *s, struct gw_range points,
                         struct gw_buf scratch[3])
{
    struct gw_buf *label = &scratch[0], *exemplar = &scratch[1], *series = &scratch[2];
    struct gw_wire_walk w = gw_wire_walk(s->message);
    uint32_t i = s->points.begin;
    struct gw_wire_field f;

    gw_buf_reset(series);
    put_labels_1(b, s, label, series);
    while (gw_wire_next(&w, &f) > 0) {
        if (is_point(b, &f)) {
            if (is_in(points, i) && !b->points[i].out)
                put_field(series, f.number == SAMPLES ? SAMPLES : HISTOGRAMS_1, f.val);
            i++;
        } else if (is_exemplar(b, &f) && s->has_exemplars) {
            put_exemplar_1(b, f.val, label, exemplar);
            put_field(series, EXEMPLARS_1, gw_buf_slice(exemplar));
        }
    }
}

void gw_rw_body_write_1(const struct gw_rw_body *b, struct gw_range points, struct gw_buf *out)
{
    struct gw_buf scratch[3];

    if (b->version == GW_RW_1) {
        gw_rw_body_write(b, points, out);
        return;
    }
    for (unsigned i = 0; i < 3; i++)
        gw_buf_init(&scratch[i], out->max_bytes);
    for (uint32_t i = 0; i < b->n_series; i++) {
        if (!gw_rw_body_living(b, gw_rw_common(b->series[i].points, points)))
            continue;
        put_series_1(b, &b->series[i], points, scratch);
        put_field(out, SERIES_1, gw_buf_slice(&scratch[2]));
    }
    for (unsigned i = 0; i < 3; i++) {
        out->failed = out->failed || scratch[i].failed;
        gw_buf_clear(&scratch[i]);
    }
}
