/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few of a window's records, as exemplars: those whose hash is lowest (series/picks.h), so that every one has the
 * same chance and the same ones are kept whatever the order, in windows of windows, and when they are read again.
 *
 *   span           its trace and span, how long it took
 *   log record     its trace and span, when it has a trace
 *   data point     the exemplars that it has; when it has none, itself. None of a counter's points: what they say is
 * not what happened
 */
#include <math.h>

#include "core/hash.h"
#include "processors/rollup/rollup.h"

uint64_t gw_ru_sample_rank(const struct gw_mw_exemplar *e)
{
    uint8_t all[sizeof(e->trace_id) + sizeof(e->span_id) + sizeof(e->time_ns) + sizeof(e->value)];

    memcpy(all, e->trace_id, 16);
    memcpy(all + 16, e->span_id, 8);
    memcpy(all + 24, &e->time_ns, 8);
    memcpy(all + 32, &e->value, 8);
    return gw_hash_stable(gw_slice_of(all, sizeof(all)));
}

static double double_of(const struct gw_agg_number *n)
{
    return n->is_int ? (double)n->i : n->d;
}

static void put(struct gw_ru_row *to, struct gw_pick *p)
{
    if (!isfinite(p->exemplar.value))
        return;
    p->rank = gw_ru_sample_rank(&p->exemplar);
    to->n_samples++;
}

static void put_exemplars(const struct gw_batch *b, struct gw_range range, struct gw_pick *picks, struct gw_ru_row *to)
{
    for (uint32_t i = range.begin; i < range.end; i++) {
        const struct gw_exemplar *x = &b->exemplars[i];
        struct gw_pick *p = &picks[to->n_samples];

        if (x->value_type != GW_N_INT && x->value_type != GW_N_DOUBLE)
            continue;
        p->exemplar.time_ns = x->time_ns;
        p->exemplar.value = x->value_type == GW_N_INT ? (double)x->value.i64 : x->value.f64;
        if (x->has_trace_id)
            memcpy(p->exemplar.trace_id, x->trace_id, sizeof(x->trace_id));
        if (x->has_span_id)
            memcpy(p->exemplar.span_id, x->span_id, sizeof(x->span_id));
        put(to, p);
    }
}

bool gw_ru_samples_read(const struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to)
{
    static const uint8_t no_trace[16];
    const struct gw_batch *b = in->v->batch;
    struct gw_range range = b->signal == GW_METRICS ? b->exemplars_of[row] : (struct gw_range){0, 1};
    struct gw_pick *picks;

    to->samples = NULL;
    to->n_samples = 0;
    if (!in->all->has_samples || to->counter || (b->signal == GW_METRICS && range.begin == range.end && to->histogram))
        return true;
    picks = gw_arena_zalloc(in->v->arena, (range.end - range.begin + 1) * sizeof(*picks));
    to->samples = picks;
    if (!picks)
        return false;
    if (b->signal == GW_METRICS && range.begin < range.end) {
        put_exemplars(b, range, picks, to);
        return true;
    }
    picks->exemplar.time_ns = to->time_ns;
    picks->exemplar.value = double_of(&to->value);
    if (b->signal != GW_METRICS) {
        memcpy(picks->exemplar.trace_id, b->trace_id[row], 16);
        memcpy(picks->exemplar.span_id, b->span_id[row], 8);
        if (memcmp(picks->exemplar.trace_id, no_trace, sizeof(no_trace)) == 0)
            return true;
    }
    put(to, picks);
    return true;
}
