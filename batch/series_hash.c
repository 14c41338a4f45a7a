/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/series_hash.h"

#include "core/hash.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * UINT64_C(0x9E3779B97F4A7C15);
    return a ^ a >> 29;
}

static uint64_t hash_value(const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        return mix(gw_hash_stable(v->s), v->type);
    case GW_V_BOOL:
        return mix(v->b, GW_V_BOOL);
    case GW_V_INT:
    case GW_V_DOUBLE: /* by its bits */
        return mix((uint64_t)v->i, v->type);
    case GW_V_EMPTY:
        break;
    }
    return 0;
}

/* A sum: whatever their order. */
static uint64_t hash_attrs(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_attr_iter it;
    struct gw_value value;
    struct gw_slice key;
    uint64_t sum = 0;

    gw_view_attr_begin(v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value))
        sum += mix(gw_hash_stable(key), hash_value(&value));
    return sum;
}

static uint64_t hash_metric(struct gw_series_hash *h, uint32_t metric)
{
    const struct gw_batch *b = h->v->batch;
    const struct gw_metric_desc *m = &b->metrics[metric];
    const struct gw_scope *s = &b->scopes[m->scope];
    uint64_t hash;

    if (s->resource != h->resource) {
        h->resource = s->resource;
        h->of_resource = hash_attrs(h->v, GW_OWN_RESOURCE, s->resource);
    }
    hash = mix(h->of_resource, gw_hash_stable(gw_batch_slice(b, s->name)));
    hash = mix(hash, gw_hash_stable(gw_batch_slice(b, s->version)));
    return h->by_key ? hash : mix(hash, gw_hash_stable(gw_batch_slice(b, m->name)));
}

void gw_series_hash_begin(struct gw_series_hash *h, const struct gw_view *v)
{
    *h = (struct gw_series_hash){.v = v, .metric = UINT32_MAX, .resource = UINT32_MAX};
}

uint64_t gw_series_hash_row(struct gw_series_hash *h, uint32_t row)
{
    uint32_t metric = h->v->batch->metric[row];

    if (metric != h->metric) {
        h->metric = metric;
        h->of_metric = hash_metric(h, metric);
    }
    return mix(h->of_metric, hash_attrs(h->v, GW_OWN_ROW, row));
}
