/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/streams.h"

#include <stdlib.h>

#include "core/hash.h"

enum { MAX_KEY_BYTES = 64 << 20 };

static void clear_note(void *value, void *arg)
{
    const struct gw_streams *st = arg;

    if (st->conf.clear_note)
        st->conf.clear_note((struct gw_stream_metric *)value + 1, st->conf.arg);
}

void gw_streams_init(struct gw_streams *st, const struct gw_streams_conf *conf)
{
    struct gw_series_conf upper = {.value_bytes = sizeof(struct gw_stream_metric) + conf->note_bytes,
                                   .max_series = UINT32_MAX,
                                   .credit = conf->credit,
                                   .clear_value = conf->note_bytes ? clear_note : NULL,
                                   .arg = st};

    *st = (struct gw_streams){.conf = *conf};
    gw_series_init(&st->scopes, &upper);
    gw_series_init(&st->metrics, &upper);
    gw_series_init(&st->points, &(struct gw_series_conf){.value_bytes = conf->value_bytes,
                                                         .max_series = UINT32_MAX,
                                                         .credit = conf->credit,
                                                         .clear_value = conf->clear_value,
                                                         .arg = conf->arg});
    gw_series_group_init(&st->all);
    gw_buf_init(&st->key, MAX_KEY_BYTES);
    gw_streams_begin(st);
}

void gw_streams_clear(struct gw_streams *st)
{
    gw_series_clear(&st->points);
    gw_series_clear(&st->metrics);
    gw_series_clear(&st->scopes);
    gw_series_group_init(&st->all);
    st->sweeps = false;
    gw_streams_begin(st);
}

void gw_streams_free(struct gw_streams *st)
{
    gw_streams_clear(st);
    gw_buf_clear(&st->key);
    free(st->order);
    st->order = NULL;
    st->cap_order = 0;
}

void gw_streams_begin(struct gw_streams *st)
{
    st->scope = st->metric = UINT32_MAX;
    st->at_scope = st->at = NULL;
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

/* ---- scopes and metrics ----------------------------------------------------------------------------------- */

/* The one of that key; a new one has an empty group and its note. NULL: no memory. */
static struct gw_series *get(struct gw_streams *st, struct gw_series_table *t, struct gw_series_group *g,
                             bool (*note)(void *note, const struct gw_batch *b, uint32_t index, void *arg),
                             const struct gw_batch *b, uint32_t index)
{
    struct gw_series *s = st->key.failed ? NULL : gw_series_get(t, g, gw_buf_slice(&st->key), 1);
    struct gw_series_group *under;

    if (!s)
        return NULL;
    under = gw_series_value(s);
    if (under->last)
        return s->is_overflow ? NULL : s;
    gw_series_group_init(under);
    if (s->is_overflow || (note && !note(gw_streams_note(s), b, index, st->conf.arg))) {
        gw_series_remove(t, s);
        return NULL;
    }
    return s;
}

static bool find_scope(struct gw_streams *st, const struct gw_batch *b, uint32_t scope)
{
    const struct gw_scope *s = &b->scopes[scope];

    gw_buf_reset(&st->key);
    put_attrs(st, &st->key, b, b->resources[s->resource].attrs);
    put_text(&st->key, gw_batch_slice(b, s->name));
    put_text(&st->key, gw_batch_slice(b, s->version));
    if (st->conf.scope_attrs)
        put_attrs(st, &st->key, b, s->attrs);
    st->at_scope = get(st, &st->scopes, &st->all, st->conf.note_scope, b, scope);
    st->scope = st->at_scope ? scope : UINT32_MAX;
    return st->at_scope != NULL;
}

static void drop_empty_scope(struct gw_streams *st)
{
    struct gw_series *scope = st->at_scope;

    if (!scope || gw_streams_first_metric(scope))
        return;
    if (st->sweep_scope == scope) {
        st->sweep_scope = scope->next;
        st->sweep_metric = st->sweep_scope ? gw_streams_first_metric(st->sweep_scope) : NULL;
        st->sweep_stream = st->sweep_metric ? gw_streams_first(st->sweep_metric) : NULL;
    }
    gw_series_remove(&st->scopes, scope);
    gw_streams_begin(st);
}

static bool find_metric(struct gw_streams *st, const struct gw_batch *b, uint32_t metric)
{
    const struct gw_metric_desc *m = &b->metrics[metric];
    uint8_t kind[] = {m->type, m->monotonic, st->conf.temporality ? m->temporality : 0};

    st->metric = UINT32_MAX;
    st->at = NULL;
    if (st->scope != m->scope && !find_scope(st, b, m->scope))
        return false;
    gw_buf_reset(&st->key);
    gw_buf_put(&st->key, kind, sizeof(kind));
    put_text(&st->key, gw_batch_slice(b, m->name));
    put_text(&st->key, gw_batch_slice(b, m->unit));
    st->at = get(st, &st->metrics, gw_series_value(st->at_scope), st->conf.note_metric, b, metric);
    if (!st->at) {
        drop_empty_scope(st);
        return false;
    }
    st->metric = metric;
    return true;
}

/* ---- streams ---------------------------------------------------------------------------------------------- */

/* The metric at hand goes when it has no stream: it was made for one that finds no place. So does its scope. */
static void drop_empty_metric(struct gw_streams *st)
{
    struct gw_series *metric = st->at;

    if (!metric || gw_streams_first(metric))
        return;
    if (st->sweep_metric == metric) {
        st->sweep_metric = metric->next;
        st->sweep_stream = st->sweep_metric ? gw_streams_first(st->sweep_metric) : NULL;
    }
    gw_series_remove(&st->metrics, metric);
    st->metric = UINT32_MAX;
    st->at = NULL;
    drop_empty_scope(st);
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
    g = gw_series_value(st->at);
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

static void sweep_scope(struct gw_streams *st, struct gw_series *scope)
{
    st->sweep_scope = scope;
    st->sweep_metric = scope ? gw_streams_first_metric(scope) : NULL;
    st->sweep_stream = st->sweep_metric ? gw_streams_first(st->sweep_metric) : NULL;
}

void gw_streams_sweep_begin(struct gw_streams *st)
{
    sweep_scope(st, st->all.first);
    st->sweeps = true;
}

/* A metric without streams goes, too, and a scope without metrics. */
static void next_metric(struct gw_streams *st)
{
    struct gw_series *metric = st->sweep_metric, *scope = st->sweep_scope, *next;

    if (metric) {
        next = metric->next;
        if (!gw_streams_first(metric))
            gw_series_remove(&st->metrics, metric);
        st->sweep_metric = next;
        st->sweep_stream = next ? gw_streams_first(next) : NULL;
        return;
    }
    next = scope->next;
    if (!gw_streams_first_metric(scope))
        gw_series_remove(&st->scopes, scope);
    sweep_scope(st, next);
}

bool gw_streams_sweep(struct gw_streams *st, uint64_t before_ns, uint32_t most)
{
    if (!st->sweeps)
        return false;
    gw_streams_begin(st); /* what it points to may go */
    while (st->sweep_scope && most-- > 0) {
        struct gw_series *s = st->sweep_stream;

        if (!s) {
            next_metric(st);
            continue;
        }
        st->sweep_stream = s->next;
        if (s->seen_ns < before_ns)
            gw_series_remove(&st->points, s);
    }
    st->sweeps = st->sweep_scope != NULL;
    return st->sweeps;
}
