/* SPDX-License-Identifier: Apache-2.0 */
/* Series of one worker's deltas, or of the totals. */
#include "connectors/span_metrics/span_metrics.h"

#include <stdlib.h>

enum { MAX_RESOURCE_BYTES = 1 << 20 };

static void clear_value(void *value, void *arg)
{
    struct value *v = value;

    (void)arg;
    free(v->exemplars);
    gw_exponential_clear(&v->exponential);
}

static void clear_resource(void *value, void *arg)
{
    (void)arg;
    gw_buf_clear(&((struct resource *)value)->attrs);
}

void gw_span_metrics_tables_init(struct tables *t, const struct conf *c, const struct gw_bounds *bounds,
                                 struct gw_credit *credit)
{
    struct gw_series_conf series = {.limit = credit ? (uint32_t)c->aggregation_cardinality_limit : 0,
                                    .max_series = credit ? (uint32_t)c->max_series : UINT32_MAX,
                                    .credit = credit,
                                    .clear_value = clear_value};
    const struct gw_series_conf resources = {.value_bytes = sizeof(struct resource),
                                             .max_series = UINT32_MAX, /* the list of them is cut elsewhere */
                                             .credit = credit,
                                             .clear_value = clear_resource};
    bool fixed = !c->histogram.disable && !c->histogram.has_exponential;
    size_t exemplars = c->exemplars.enabled ? c->exemplars.max_per_data_point * sizeof(struct gw_mw_exemplar) : 0;
    size_t buckets = c->histogram.has_exponential ? c->histogram.exponential.max_size * sizeof(uint64_t) : 0;

    *t = (struct tables){.conf = c, .bounds = *bounds};
    gw_series_init(&t->resources, &resources);
    gw_series_group_init(&t->all);
    for (unsigned i = 0; i < N_TABLES; i++) {
        series.value_bytes = sizeof(struct value) + (i != EVENTS && fixed ? gw_explicit_bytes(bounds) : 0);
        series.behind_bytes = exemplars + (i != EVENTS ? buckets : 0); /* durations are not negative: one half */
        gw_series_init(&t->series[i], &series);
    }
}

void gw_span_metrics_tables_clear(struct tables *t)
{
    for (unsigned i = 0; i < N_TABLES; i++)
        gw_series_clear(&t->series[i]);
    gw_series_clear(&t->resources);
    gw_series_group_init(&t->all);
}

struct resource *gw_span_metrics_get_resource(struct tables *t, struct gw_slice key, uint64_t hash,
                                              struct gw_slice attrs, uint64_t mono_ns)
{
    struct gw_series *s = gw_series_get_hashed(&t->resources, &t->all, key, hash, mono_ns);
    struct resource *r = s ? gw_series_value(s) : NULL;

    if (!r || r->series)
        return r;
    r->series = s;
    gw_buf_init(&r->attrs, MAX_RESOURCE_BYTES);
    gw_buf_put_slice(&r->attrs, s->is_overflow ? gw_series_key(&t->resources, s) : attrs);
    for (unsigned i = 0; i < N_TABLES; i++)
        gw_series_group_init(&r->groups[i]);
    return r;
}

bool gw_span_metrics_observe(const struct tables *t, unsigned table, struct value *v, double duration, uint64_t n)
{
    if (table != EVENTS && !t->conf->histogram.disable) {
        if (!t->conf->histogram.has_exponential)
            gw_explicit_add(gw_span_metrics_explicit(v), &t->bounds, duration, n);
        else if (v->exponential.max_size == 0)
            gw_exponential_init(&v->exponential, (uint32_t)t->conf->histogram.exponential.max_size);
        if (t->conf->histogram.has_exponential && !gw_exponential_add(&v->exponential, duration, n))
            return false;
    }
    v->count += n;
    return true;
}

void gw_span_metrics_exemplar(const struct tables *t, struct value *v, const struct gw_view *view, uint32_t row,
                              double duration)
{
    const struct gw_batch *b = view->batch;
    uint64_t most = t->conf->exemplars.max_per_data_point;
    struct gw_mw_exemplar *e;

    if (v->n_exemplars >= most)
        return;
    if (!v->exemplars)
        v->exemplars = calloc(most, sizeof(*v->exemplars));
    if (!v->exemplars)
        return;
    e = &v->exemplars[v->n_exemplars++];
    e->value = duration;
    memcpy(e->trace_id, b->trace_id[row], sizeof(e->trace_id));
    memcpy(e->span_id, b->span_id[row], sizeof(e->span_id));
}
