/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method: together. A group is what is equal in resource, scope and attributes, and has a series of each metric: one
 * stream (streams.h) in which metrics are not told apart, with the state of series/anomaly_group.h.
 */
#include "processors/anomaly/anomaly.h"

static const char *const *names_of(const struct gw_an_conf *c)
{
    return (const char *const *)c->together.metrics.items;
}

static bool find_metric(const struct gw_an_engine *e, const struct gw_batch *b, uint32_t row, uint32_t *ret)
{
    struct gw_slice name = gw_batch_slice(b, b->metrics[b->metric[row]].name);

    for (*ret = 0; *ret < e->together.n; ++*ret)
        if (gw_slice_is(name, names_of(e->conf)[*ret]))
            return true;
    return false;
}

enum gw_an_verdict gw_an_together_judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row,
                                        struct gw_anomaly *a, double *value)
{
    struct gw_anomaly_group_verdict found;
    struct gw_series *s;
    uint32_t i;

    e->metric = NULL;
    if (!find_metric(e, v->batch, row, &i))
        return GW_AN_PASSED;
    (void)gw_streams_get(e->streams, v->batch, row, (struct gw_slice){0}, &s);
    if (!s)
        return GW_AN_NO_ROOM;
    s->seen_ns = e->now_ns;
    switch (gw_anomaly_group_put(&e->together, gw_series_value(s), i, *value, v->batch->time_ns[row], &found)) {
    case GW_GROUP_OLD:
        return GW_AN_PASSED;
    case GW_GROUP_WAITS:
        return GW_AN_WAITING;
    case GW_GROUP_JUDGED:
        break;
    }
    if (found.a.deviation == 0)
        return GW_AN_LEARNING;
    *a = found.a;
    *value = found.value;
    e->metric = names_of(e->conf)[found.which];
    return a->score >= e->conf->threshold ? GW_AN_UNUSUAL : GW_AN_USUAL;
}

bool gw_an_together_alike(const struct gw_an_conf *c, const struct gw_an_conf *other)
{
    bool same = c->together.metrics.n == other->together.metrics.n;

    for (size_t i = 0; same && i < c->together.metrics.n; i++)
        same = strcmp(names_of(c)[i], names_of(other)[i]) == 0;
    return same;
}

void gw_an_together_init(struct gw_anomaly_group_conf *how, const struct gw_an_conf *c)
{
    *how = (struct gw_anomaly_group_conf){.alpha = c->alpha,
                                          .min_deviation = c->min_deviation,
                                          .warmup = (uint32_t)c->warmup,
                                          .n = (uint32_t)c->together.metrics.n};
}
