/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/rewrite.h"

#include "otlp-proto/wire.h"
#include "processors/common/flatten.h"

enum { MAX_FIELDS = 5 };

void gw_rewrite_begin(struct gw_rewrite *w, struct gw_view *v, struct gw_batch_pool *pool)
{
    *w = (struct gw_rewrite){.v = v, .pool = pool};
}

void gw_rewrite_begin_own(struct gw_rewrite *w, struct gw_view *v)
{
    *w = (struct gw_rewrite){.v = v, .own = v->batch, .is_begun = true};
}

struct gw_view *gw_rewrite_view(struct gw_rewrite *w)
{
    struct gw_view *v = w->v;

    if (w->is_begun)
        return v;
    w->is_begun = true;
    if ((uint64_t)v->n_rows * 2 < v->batch->n_rows)
        return v;
    w->own = gw_batch_clone(v->batch, w->pool);
    if (w->own) {
        (void)gw_batch_unref(v->batch);
        v->batch = w->own;
    }
    return v;
}

void gw_rewrite_end(struct gw_rewrite *w)
{
    if (!w->v->failed && gw_view_flatten(w->v) < 0)
        w->v->failed = true;
    w->own = NULL;
}

/* ---- where fields are ------------------------------------------------------------------------------------- */

struct field {
    uint8_t tag; /* of one byte */
    uint8_t *at; /* its value; NULL: there is none */
};

/* The end of a varint of at most five bytes; NULL: there is none. */
static uint8_t *get_length(uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; p < end && shift < 35; shift += 7) {
        *ret |= (uint64_t)(*p & 0x7f) << shift;
        if (*p++ < 0x80)
            return p;
    }
    return NULL;
}

/* Behind the value of a field whose tag was just read; NULL: it is not as usual, or does not end where it should. */
static uint8_t *skip(uint8_t *p, uint8_t *end, unsigned wire)
{
    uint64_t n;

    if (wire == GW_I64)
        return end - p >= 8 ? p + 8 : NULL;
    if (wire == GW_I32)
        return end - p >= 4 ? p + 4 : NULL;
    if (wire != GW_LEN && wire != GW_VARINT)
        return NULL;
    p = get_length(p, end, &n);
    if (!p || wire == GW_VARINT)
        return p;
    return n <= (uint64_t)(end - p) ? p + n : NULL;
}

/*
 * Where the values of these fields are. False: the message is not as usual: a field of a number above 15, or one of
 * these twice, of which the last one would count.
 */
static bool find_fields(struct gw_batch *b, struct gw_ref message, struct field *f, unsigned n)
{
    uint8_t *p = b->payload->p + message.off, *end = p + message.len;

    while (p && p < end) {
        uint8_t tag = *p++;

        if (tag >= 0x80)
            return false;
        for (unsigned i = 0; i < n; i++) {
            if (f[i].tag != tag)
                continue;
            if (f[i].at)
                return false;
            f[i].at = p;
        }
        p = skip(p, end, tag & 7);
    }
    return p != NULL;
}

static void put(const struct field *f, const void *value)
{
    if (f->at)
        memcpy(f->at, value, 8);
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

static bool number_in_place(struct gw_batch *b, uint32_t row, uint64_t start_ns, enum gw_number_type type,
                            union gw_val value)
{
    struct field f[] = {{GW_TAG(GW_POINT_START, GW_I64), NULL},
                        {GW_TAG(GW_NUMBER_INT, GW_I64), NULL},
                        {GW_TAG(GW_NUMBER_DOUBLE, GW_I64), NULL}};
    unsigned has = type == GW_N_INT ? 1 : 2;

    if (b->number_type[row] != type || !find_fields(b, b->raw[row], f, 3))
        return false;
    if (!f[has].at || f[3 - has].at || (!f[0].at && start_ns))
        return false;
    put(&f[0], &start_ns);
    put(&f[has], &value);
    return true;
}

void gw_rewrite_number(struct gw_rewrite *w, uint32_t row, uint64_t start_ns, enum gw_number_type type,
                       union gw_val value)
{
    struct gw_view *v = gw_rewrite_view(w);

    if (w->own && number_in_place(w->own, row, start_ns, type, value)) {
        w->own->start_ns[row] = start_ns;
        w->own->number[row] = value;
        return;
    }
    gw_point_set_u64(v, row, GW_POINT_START, start_ns);
    gw_point_remove(v, row, type == GW_N_INT ? GW_NUMBER_DOUBLE : GW_NUMBER_INT);
    if (type == GW_N_INT)
        gw_point_set_i64(v, row, GW_NUMBER_INT, value.i64);
    else
        gw_point_set_double(v, row, GW_NUMBER_DOUBLE, value.f64);
}

void gw_rewrite_time(struct gw_rewrite *w, uint32_t row, uint64_t time_ns)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct field f = {GW_TAG(GW_POINT_TIME, GW_I64), NULL};

    if (v->batch->time_ns[row] == time_ns)
        return;
    if (!w->own || !find_fields(w->own, w->own->raw[row], &f, 1) || !f.at) {
        gw_point_set_u64(v, row, GW_POINT_TIME, time_ns);
        return;
    }
    put(&f, &time_ns);
    w->own->time_ns[row] = time_ns;
}

/* ---- histograms ------------------------------------------------------------------------------------------- */

static bool hist_in_place(struct gw_batch *b, uint32_t row, const struct gw_rewrite_hist *h)
{
    const struct gw_hist *old = &b->hists[b->number[row].u64];
    struct field f[MAX_FIELDS] = {{GW_TAG(GW_POINT_START, GW_I64), NULL},
                                  {GW_TAG(GW_HIST_COUNT, GW_I64), NULL},
                                  {GW_TAG(GW_HIST_SUM, GW_I64), NULL},
                                  {GW_TAG(GW_HIST_MIN, GW_I64), NULL},
                                  {GW_TAG(GW_HIST_MAX, GW_I64), NULL}};

    if (old->has_sum != h->has_sum || old->has_min != h->has_min || old->has_max != h->has_max ||
        (h->counts && old->counts.len != h->n * 8) || !find_fields(b, b->raw[row], f, MAX_FIELDS) ||
        (!f[0].at && h->start_ns) || (!f[1].at && h->count))
        return false;
    put(&f[0], &h->start_ns);
    put(&f[1], &h->count);
    put(&f[2], &h->sum);
    put(&f[3], &h->min);
    put(&f[4], &h->max);
    if (h->counts && h->n)
        memcpy(b->payload->p + old->counts.off, h->counts, (size_t)8 * h->n);
    return true;
}

static void set_or_remove(struct gw_view *v, uint32_t row, uint32_t field, bool has, double value)
{
    if (has)
        gw_point_set_double(v, row, field, value);
    else
        gw_point_remove(v, row, field);
}

static void patch_hist(struct gw_view *v, uint32_t row, const struct gw_rewrite_hist *h)
{
    const struct gw_hist *old = &v->batch->hists[v->batch->number[row].u64];

    gw_point_set_u64(v, row, GW_POINT_START, h->start_ns);
    gw_point_set_u64(v, row, GW_HIST_COUNT, h->count);
    if (old->has_sum || h->has_sum)
        set_or_remove(v, row, GW_HIST_SUM, h->has_sum, h->sum);
    if (h->counts)
        gw_point_set_packed(v, row, GW_HIST_COUNTS, h->counts, h->n);
    if (old->has_min || h->has_min)
        set_or_remove(v, row, GW_HIST_MIN, h->has_min, h->min);
    if (old->has_max || h->has_max)
        set_or_remove(v, row, GW_HIST_MAX, h->has_max, h->max);
}

void gw_rewrite_histogram(struct gw_rewrite *w, uint32_t row, const struct gw_rewrite_hist *h)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct gw_hist *now;

    if (!w->own || !hist_in_place(w->own, row, h)) {
        patch_hist(v, row, h);
        return;
    }
    now = &w->own->hists[w->own->number[row].u64];
    w->own->start_ns[row] = h->start_ns;
    now->count = h->count;
    now->sum = h->sum;
    now->min = h->min;
    now->max = h->max;
}

/* ---- metrics ---------------------------------------------------------------------------------------------- */

void gw_rewrite_temporality(struct gw_rewrite *w, uint32_t metric, enum gw_temporality t)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct field f = {GW_TAG(GW_DATA_TEMPORALITY, GW_VARINT), NULL};

    if (!w->own || !find_fields(w->own, w->own->metrics[metric].data, &f, 1) || !f.at || *f.at >= 0x80) {
        gw_metric_set_temporality(v, metric, t);
        return;
    }
    *f.at = (uint8_t)t;
    w->own->metrics[metric].temporality = (uint8_t)t;
}
