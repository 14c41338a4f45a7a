/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method: together. A group is what is equal in resource, scope and attributes, and has a series of each metric:
 *
 *   key {resource as it was sent, scope, attributes sorted} ─► series/anomaly_group.h
 */
#include <stdlib.h>

#include "pipeline/host.h"
#include "processors/anomaly/anomaly.h"

enum { MAX_KEY_BYTES = 1 << 20, MAX_ATTRS = 128 };

struct gw_an_together {
    const struct gw_an_conf *conf;
    struct gw_anomaly_group_conf how;
    struct gw_series_table groups;
    struct gw_series_group all;
    struct gw_buf key;
};

/* ---- keys ------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct gw_slice *x = a, *y = b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

    return c ? c : x->n < y->n ? -1 : x->n > y->n;
}

static void put(struct gw_buf *key, struct gw_slice s)
{
    uint32_t n = (uint32_t)s.n;

    gw_buf_put(key, &n, sizeof(n));
    gw_buf_put_slice(key, s);
}

/* Name, type and value of one attribute, with what could be taken for something else told apart. */
static size_t put_attr(struct gw_buf *key, const struct gw_batch *b, const struct gw_attr *a)
{
    size_t begin = key->n;
    bool is_text = a->type == GW_V_STRING || a->type == GW_V_BYTES || a->type == GW_V_ARRAY || a->type == GW_V_KVLIST;

    put(key, gw_attr_key(b, a));
    gw_buf_put_u8(key, a->type);
    if (is_text)
        put(key, gw_batch_slice(b, a->val.ref));
    else if (a->type != GW_V_EMPTY)
        gw_buf_put(key, &a->val.u64, sizeof(a->val.u64));
    return key->n - begin;
}

/* False: too long, or without memory. */
static bool make_key(struct gw_an_together *t, const struct gw_batch *b, uint32_t row)
{
    const struct gw_scope *scope = &b->scopes[b->scope[row]];
    struct gw_range range = b->attr[row];
    struct gw_slice attrs[MAX_ATTRS];
    uint32_t n = range.end - range.begin;
    struct gw_buf text;
    size_t at = 0;
    bool ok;

    if (n > MAX_ATTRS)
        return false;
    gw_buf_reset(&t->key);
    put(&t->key, gw_batch_slice(b, b->resources[scope->resource].raw));
    put(&t->key, gw_batch_slice(b, scope->name));
    put(&t->key, gw_batch_slice(b, scope->version));
    gw_buf_init(&text, MAX_KEY_BYTES);
    for (uint32_t i = 0; i < n; i++)
        attrs[i].n = put_attr(&text, b, &b->attrs[range.begin + i]);
    for (uint32_t i = 0; i < n && !text.failed; at += attrs[i++].n) /* it moves no more */
        attrs[i].p = text.p + at;
    if (!text.failed && n > 1)
        qsort(attrs, n, sizeof(*attrs), compare);
    for (uint32_t i = 0; i < n && !text.failed; i++)
        gw_buf_put_slice(&t->key, attrs[i]);
    ok = !text.failed && !t->key.failed;
    t->key.failed = false;
    gw_buf_clear(&text);
    return ok;
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

static bool find_metric(const struct gw_an_together *t, const struct gw_batch *b, uint32_t row, uint32_t *ret)
{
    struct gw_slice name = gw_batch_slice(b, b->metrics[b->metric[row]].name);
    const char *const *names = t->conf->together.metrics.items;

    for (*ret = 0; *ret < t->how.n; ++*ret)
        if (gw_slice_is(name, names[*ret]))
            return true;
    return false;
}

enum gw_an_verdict gw_an_together_judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row,
                                        struct gw_anomaly *a, double *value)
{
    struct gw_an_together *t = e->together;
    struct gw_anomaly_group_verdict found;
    struct gw_series *s;
    uint32_t i;

    e->metric = NULL;
    if (!find_metric(t, v->batch, row, &i))
        return GW_AN_PASSED;
    s = make_key(t, v->batch, row) ? gw_series_get(&t->groups, &t->all, gw_buf_slice(&t->key), e->now_ns) : NULL;
    if (!s || s->is_overflow)
        return GW_AN_NO_ROOM;
    switch (gw_anomaly_group_put(&t->how, gw_series_value(s), i, *value, v->batch->time_ns[row], &found)) {
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
    e->metric = ((const char *const *)t->conf->together.metrics.items)[found.which];
    return a->score >= e->conf->threshold ? GW_AN_UNUSUAL : GW_AN_USUAL;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

uint32_t gw_an_together_n(const struct gw_an_together *t)
{
    return t ? t->groups.n - t->groups.n_overflow : 0;
}

void gw_an_together_expire(struct gw_an_together *t, uint64_t before_ns)
{
    if (t)
        (void)gw_series_expire(&t->groups, &t->all, before_ns);
}

static bool is_alike(const struct gw_an_together *t, const struct gw_an_together *old)
{
    const char *const *names = t->conf->together.metrics.items, *const *others = old->conf->together.metrics.items;
    bool same = t->how.n == old->how.n;

    for (uint32_t i = 0; same && i < t->how.n; i++)
        same = strcmp(names[i], others[i]) == 0;
    return same;
}

void gw_an_together_adopt(struct gw_an_engine *e, struct gw_an_engine *old)
{
    struct gw_an_together *mine = e->together, *theirs = old->together, swap;

    if (!mine || !theirs || !is_alike(mine, theirs))
        return;
    swap = *mine;
    mine->conf = theirs->conf; /* they go with the engines, all else with what was learned */
    mine->how = theirs->how;
    theirs->conf = swap.conf;
    theirs->how = swap.how;
    theirs->groups.conf.max_series = swap.groups.conf.max_series;
    e->together = theirs;
    old->together = mine;
}

void gw_an_together_free(struct gw_an_together *t)
{
    if (!t)
        return;
    gw_series_clear(&t->groups);
    gw_buf_clear(&t->key);
    free(t);
}

struct gw_an_together *gw_an_together_new(const struct gw_ctx *ctx, const struct gw_an_conf *c)
{
    struct gw_an_together *t = calloc(1, sizeof(*t));
    unsigned n = ctx->n_workers ? ctx->n_workers : 1;

    if (!t)
        return NULL;
    t->conf = c;
    t->how = (struct gw_anomaly_group_conf){.alpha = c->alpha,
                                            .min_deviation = c->min_deviation,
                                            .warmup = (uint32_t)c->warmup,
                                            .n = (uint32_t)c->together.metrics.n};
    gw_series_init(&t->groups, &(struct gw_series_conf){.value_bytes = gw_anomaly_group_bytes(&t->how),
                                                        .max_series = (uint32_t)((c->together.max_groups + n - 1) / n),
                                                        .credit = ctx->host ? ctx->host->memory : NULL});
    gw_series_group_init(&t->all);
    gw_buf_init(&t->key, 2 * MAX_KEY_BYTES);
    return t;
}
