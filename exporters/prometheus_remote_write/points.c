/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows of one node become: series of numbers and of native histograms here, the others in edges.c. */
#include <errno.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits;
}

static uint64_t number_bits(const struct gw_batch *b, uint32_t row)
{
    if (b->flags[row] & 1)
        return GW_RW_STALE;
    if (b->number_type[row] == GW_N_INT)
        return bits_of((double)b->number[row].i64);
    return b->number_type[row] == GW_N_DOUBLE ? b->number[row].u64 : 0;
}

static const struct gw_metric_desc *desc_of(const struct gw_rw_translator *t, uint32_t row)
{
    return &t->b->metrics[t->b->metric[row]];
}

int64_t gw_rw_start_ms(const struct gw_rw_translator *t, uint32_t row)
{
    const struct gw_metric_desc *d = desc_of(t, row);
    uint64_t start = t->b->start_ns[row];

    if (d->type == GW_M_GAUGE || (d->type == GW_M_SUM && !d->monotonic))
        return 0;
    return start <= t->b->time_ns[row] ? gw_rw_ms(start) : 0;
}

struct gw_rw_sample gw_rw_sample_of(const struct gw_rw_translator *t, uint32_t row, uint64_t bits)
{
    return (struct gw_rw_sample){
        .time = gw_rw_ms(t->b->time_ns[row]),
        .start = t->writer.version == GW_RW_2 ? gw_rw_start_ms(t, row) : 0,
        .bits = bits,
    };
}

static bool samples_room(struct gw_rw_translator *t)
{
    uint32_t cap = t->n_of_node + 16;
    void *p;

    if (t->n_of_node <= t->cap_samples)
        return true;
    p = realloc(t->samples, cap * sizeof(*t->samples));
    if (!p)
        return false;
    t->samples = p;
    t->cap_samples = cap;
    return true;
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

/** 1.0 keeps those of counters alone, as the Collector does. */
static void put_exemplars(struct gw_rw_translator *t, uint32_t row)
{
    struct gw_range r = t->b->exemplars_of[row];
    const struct gw_metric_desc *d = desc_of(t, row);

    if (t->writer.version == GW_RW_1 && (d->type == GW_M_GAUGE || (d->type == GW_M_SUM && !d->monotonic)))
        return;
    for (uint32_t i = r.begin; i < r.end; i++)
        gw_rw_put_exemplar(t, &t->b->exemplars[i]);
}

static void write_numbers(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    struct gw_rw_series s = {.node = n, .metric = gw_rw_metric_of(t, t->of_node[0]), .name = -1};

    for (uint32_t i = 0; i < t->n_of_node; i++) {
        uint32_t row = t->of_node[i];

        t->samples[i] = gw_rw_sample_of(t, row, number_bits(t->b, row));
        if (t->b->exemplars_of[row].begin < t->b->exemplars_of[row].end)
            put_exemplars(t, row);
    }
    s.samples = t->samples;
    s.n_samples = t->n_of_node;
    gw_rw_put_series(&t->writer, &s);
}

/** of_node: resources. Two that say the same at the same time say it once. */
static void write_info(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    struct gw_rw_series s = {.node = n, .metric = t->info, .name = -1, .samples = t->samples};

    for (uint32_t i = 0; i < t->n_of_node; i++) {
        int64_t time = gw_rw_ms(t->latest[t->of_node[i]]);

        if (s.n_samples && t->samples[s.n_samples - 1].time == time)
            continue;
        t->samples[s.n_samples++] = (struct gw_rw_sample){.time = time, .bits = bits_of(1)};
    }
    gw_rw_put_series(&t->writer, &s);
}

static void write_native(struct gw_rw_translator *t, struct gw_rw_node *n, int name)
{
    struct gw_rw_series s = {.node = n, .metric = gw_rw_metric_of(t, t->of_node[0]), .name = name};

    for (uint32_t i = 0; i < t->n_of_node; i++)
        gw_rw_put_native(t, t->of_node[i]);
    for (uint32_t i = 0; i < t->n_of_node; i++)
        put_exemplars(t, t->of_node[i]);
    gw_rw_put_series(&t->writer, &s);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

const struct gw_rw_refusal *gw_rw_check_row(const struct gw_rw_translator *t, uint32_t row)
{
    static const struct gw_rw_refusal delta = {"delta", "delta points have no translation"};
    static const struct gw_rw_refusal nameless = {"metric_name", "no name is left of the metric's name"};
    const struct gw_metric_desc *d = desc_of(t, row);
    bool counts = d->type == GW_M_SUM || d->type == GW_M_HISTOGRAM || d->type == GW_M_EXP_HISTOGRAM;

    if (counts && d->temporality != GW_T_CUMULATIVE && !(t->sums && d->temporality == GW_T_DELTA))
        return &delta;
    if (gw_rw_metric_of(t, row)->nameless)
        return &nameless;
    return d->type == GW_M_HISTOGRAM || d->type == GW_M_EXP_HISTOGRAM ? gw_rw_check_native(&t->o, t->b, row) : NULL;
}

int gw_rw_write_node(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    int r = 0;

    if (!samples_room(t))
        return -ENOMEM;
    if (n->kind == GW_RW_INFO) {
        write_info(t, n);
        return 0;
    }
    switch ((enum gw_rw_shape)n->shape) {
    case GW_RW_NUMBER:
        write_numbers(t, n);
        break;
    case GW_RW_NATIVE:
        write_native(t, n, -1);
        break;
    case GW_RW_CLASSIC:
        if (t->o.nhcb)
            write_native(t, n, GW_RW_BASE);
        r = gw_rw_write_classic(t, n);
        break;
    case GW_RW_SUMMARY:
        r = gw_rw_write_summary(t, n);
        break;
    }
    return r;
}
