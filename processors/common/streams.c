/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/streams.h"

#include <stdlib.h>

#include "core/hash.h"

enum { MAX_KEY_BYTES = 64 << 20 };

void gw_streams_init(struct gw_streams *st, const struct gw_streams_conf *conf)
{
    *st = (struct gw_streams){.conf = *conf};
    gw_series_init(&st->metrics, &(struct gw_series_conf){.value_bytes = sizeof(struct gw_stream_metric),
                                                          .max_series = UINT32_MAX,
                                                          .credit = conf->credit});
    gw_series_init(&st->points, &(struct gw_series_conf){.value_bytes = conf->value_bytes,
                                                         .max_series = UINT32_MAX,
                                                         .credit = conf->credit,
                                                         .clear_value = conf->clear_value,
                                                         .arg = conf->arg});
    gw_series_group_init(&st->all);
    gw_buf_init(&st->key, MAX_KEY_BYTES);
    gw_buf_init(&st->of_scope, MAX_KEY_BYTES);
    gw_streams_begin(st);
}

void gw_streams_clear(struct gw_streams *st)
{
    gw_series_clear(&st->points);
    gw_series_clear(&st->metrics);
    gw_series_group_init(&st->all);
    st->sweeps = false;
    gw_streams_begin(st);
}

void gw_streams_free(struct gw_streams *st)
{
    gw_streams_clear(st);
    gw_buf_clear(&st->key);
    gw_buf_clear(&st->of_scope);
    free(st->order);
    st->order = NULL;
    st->cap_order = 0;
}

void gw_streams_begin(struct gw_streams *st)
{
    st->scope = st->metric = UINT32_MAX;
    st->at = NULL;
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

static void put_text(struct gw_buf *key, struct gw_slice s)
{
    uint32_t n = (uint32_t)s.n;

    gw_buf_put(key, &n, sizeof(n));
    gw_buf_put_slice(key, s);
}

static void put_attr(struct gw_buf *key, const struct gw_batch *b, const struct gw_attr *a)
{
    put_text(key, gw_attr_key(b, a));
    gw_buf_put_u8(key, a->type);
    switch ((enum gw_value_type)a->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        put_text(key, gw_batch_slice(b, a->val.ref));
        break;
    case GW_V_BOOL:
    case GW_V_INT:
    case GW_V_DOUBLE:
        gw_buf_put(key, &a->val.u64, sizeof(a->val.u64));
        break;
    case GW_V_EMPTY:
        break;
    }
}

static int compare(const struct gw_batch *b, uint32_t x, uint32_t y)
{
    struct gw_slice k = gw_attr_key(b, &b->attrs[x]), l = gw_attr_key(b, &b->attrs[y]);
    size_t n = k.n < l.n ? k.n : l.n;
    int c = n ? memcmp(k.p, l.p, n) : 0;

    return c ? c : k.n < l.n ? -1 : k.n > l.n;
}

static bool are_sorted(const struct gw_batch *b, struct gw_range attrs)
{
    for (uint32_t i = attrs.begin + 1; i < attrs.end; i++)
        if (compare(b, i - 1, i) > 0)
            return false;
    return true;
}

static bool make_order(struct gw_streams *st, uint32_t n)
{
    uint32_t *p;

    if (n <= st->cap_order)
        return true;
    p = realloc(st->order, 2 * n * sizeof(*p));
    if (!p)
        return false;
    st->order = p;
    st->cap_order = 2 * n;
    return true;
}

/* Runs of one, two, four, … are merged, from one half of `order` to the other: equal keys keep their order. */
static uint32_t *sort_attrs(struct gw_streams *st, const struct gw_batch *b, struct gw_range attrs)
{
    uint32_t n = attrs.end - attrs.begin, *from = st->order, *to = from + n;

    for (uint32_t i = 0; i < n; i++)
        from[i] = attrs.begin + i;
    for (uint32_t run = 1; run < n; run *= 2) {
        uint32_t *swap = from;

        for (uint32_t at = 0; at < n; at += 2 * run) {
            uint32_t mid = at + run < n ? at + run : n, end = at + 2 * run < n ? at + 2 * run : n;

            for (uint32_t i = at, j = mid, k = at; k < end; k++)
                to[k] = j == end || (i < mid && compare(b, from[i], from[j]) <= 0) ? from[i++] : from[j++];
        }
        from = to;
        to = swap;
    }
    return from;
}

static void put_attrs(struct gw_streams *st, struct gw_buf *key, const struct gw_batch *b, struct gw_range attrs)
{
    uint32_t n = attrs.end - attrs.begin, *order;

    gw_buf_put(key, &n, sizeof(n));
    if (are_sorted(b, attrs)) {
        for (uint32_t i = attrs.begin; i < attrs.end; i++)
            put_attr(key, b, &b->attrs[i]);
        return;
    }
    if (!make_order(st, 2 * n)) {
        key->failed = true;
        return;
    }
    order = sort_attrs(st, b, attrs);
    for (uint32_t i = 0; i < n; i++)
        put_attr(key, b, &b->attrs[order[i]]);
}

static void put_scope(struct gw_streams *st, const struct gw_batch *b, uint32_t scope)
{
    const struct gw_scope *s = &b->scopes[scope];

    st->scope = scope;
    gw_buf_reset(&st->of_scope);
    put_attrs(st, &st->of_scope, b, b->resources[s->resource].attrs);
    put_text(&st->of_scope, gw_batch_slice(b, s->name));
    put_text(&st->of_scope, gw_batch_slice(b, s->version));
    if (st->conf.scope_attrs)
        put_attrs(st, &st->of_scope, b, s->attrs);
}

static bool find_metric(struct gw_streams *st, const struct gw_batch *b, uint32_t metric)
{
    const struct gw_metric_desc *m = &b->metrics[metric];
    uint8_t kind[] = {m->type, m->monotonic, st->conf.temporality ? m->temporality : 0};
    struct gw_stream_metric *v;

    st->metric = UINT32_MAX;
    if (st->scope != m->scope)
        put_scope(st, b, m->scope);
    gw_buf_reset(&st->key);
    gw_buf_put(&st->key, kind, sizeof(kind));
    put_text(&st->key, gw_batch_slice(b, m->name));
    put_text(&st->key, gw_batch_slice(b, m->unit));
    gw_buf_put_slice(&st->key, gw_buf_slice(&st->of_scope));
    if (st->key.failed || st->of_scope.failed)
        return false;
    st->at = gw_series_get(&st->metrics, &st->all, gw_buf_slice(&st->key), 1);
    if (st->at && st->at->is_overflow) {
        gw_series_remove(&st->metrics, st->at);
        st->at = NULL;
    }
    if (!st->at)
        return false;
    v = gw_series_value(st->at);
    if (!v->streams.last)
        gw_series_group_init(&v->streams);
    st->metric = metric;
    return true;
}

/* ---- streams ---------------------------------------------------------------------------------------------- */

/* The metric at hand goes when it has no stream: it was made for one that finds no place. */
static void drop_empty_metric(struct gw_streams *st)
{
    struct gw_series *metric = st->at;

    if (!metric || ((struct gw_stream_metric *)gw_series_value(metric))->streams.first)
        return;
    if (st->sweep_metric == metric)
        st->sweep_metric = metric->next;
    gw_series_remove(&st->metrics, metric);
    st->metric = UINT32_MAX;
    st->at = NULL;
}

static enum gw_stream_found add(struct gw_streams *st, struct gw_series_group *g, uint64_t hash, struct gw_series **ret)
{
    if (st->points.n >= st->conf.max_streams)
        return GW_STREAM_LIMIT;
    *ret = gw_series_get_hashed(&st->points, g, gw_buf_slice(&st->key), hash, 0);
    if (*ret && (*ret)->is_overflow) {
        gw_series_remove(&st->points, *ret);
        *ret = NULL;
    }
    return *ret ? GW_STREAM_NEW : GW_STREAM_NO_MEMORY;
}

enum gw_stream_found gw_streams_get(struct gw_streams *st, const struct gw_batch *b, uint32_t row, struct gw_slice more,
                                    struct gw_series **ret)
{
    enum gw_stream_found found = GW_STREAM_NO_MEMORY;
    struct gw_series_group *g;
    uint64_t hash;

    *ret = NULL;
    if (b->metric[row] != st->metric && !find_metric(st, b, b->metric[row]))
        return GW_STREAM_NO_MEMORY;
    g = &((struct gw_stream_metric *)gw_series_value(st->at))->streams;
    gw_buf_reset(&st->key);
    gw_buf_put_slice(&st->key, more);
    put_attrs(st, &st->key, b, b->attr[row]);
    if (!st->key.failed) {
        hash = gw_hash_table(gw_buf_slice(&st->key));
        *ret = gw_series_find(&st->points, g, gw_buf_slice(&st->key), hash);
        found = *ret ? GW_STREAM_OLD : add(st, g, hash, ret);
    }
    if (!*ret)
        drop_empty_metric(st);
    return found;
}

void gw_streams_forget(struct gw_streams *st, struct gw_series *s)
{
    if (st->sweep_stream == s)
        st->sweep_stream = s->next;
    gw_series_remove(&st->points, s);
    drop_empty_metric(st);
}

/* ---- sweeping --------------------------------------------------------------------------------------------- */

static struct gw_series *first_stream(struct gw_series *metric)
{
    return metric ? ((struct gw_stream_metric *)gw_series_value(metric))->streams.first : NULL;
}

void gw_streams_sweep_begin(struct gw_streams *st)
{
    st->sweep_metric = st->all.first;
    st->sweep_stream = first_stream(st->sweep_metric);
    st->sweeps = true;
}

/* A metric without streams goes, too. */
static void next_metric(struct gw_streams *st)
{
    struct gw_series *metric = st->sweep_metric, *next = metric->next;

    if (!first_stream(metric))
        gw_series_remove(&st->metrics, metric);
    st->sweep_metric = next;
    st->sweep_stream = first_stream(next);
}

bool gw_streams_sweep(struct gw_streams *st, uint64_t before_ns, uint32_t most)
{
    if (!st->sweeps)
        return false;
    gw_streams_begin(st); /* what it points to may go */
    while (st->sweep_metric && most-- > 0) {
        struct gw_series *s = st->sweep_stream;

        if (!s) {
            next_metric(st);
            continue;
        }
        st->sweep_stream = s->next;
        if (s->seen_ns < before_ns)
            gw_series_remove(&st->points, s);
    }
    st->sweeps = st->sweep_metric != NULL;
    return st->sweeps;
}
