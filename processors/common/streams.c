/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/streams.h"

#include <stdlib.h>

#include "core/hash.h"

enum { MAX_KEY_BYTES = 64 << 20, FETCH_KEY_BYTES = 192 };

static void clear_note(void *value, void *arg)
{
    const struct gw_streams *st = arg;

    if (st->conf.clear_note)
        st->conf.clear_note((struct gw_stream_node *)value + 1, st->conf.arg);
}

static void clear_watched(void *value, void *arg)
{
    struct gw_streams *st = arg;

    st->conf.watch->gone(st->conf.watch->arg, st, (struct gw_series *)value - 1);
    if (st->conf.clear_value)
        st->conf.clear_value(value, st->conf.arg);
}

static size_t round_up(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

void gw_streams_init(struct gw_streams *st, const struct gw_streams_conf *conf)
{
    size_t mark_at = round_up(conf->value_bytes), mark_bytes = conf->watch ? sizeof(struct gw_stream_mark) : 0;
    struct gw_series_conf upper = {.value_bytes = sizeof(struct gw_stream_node) + conf->note_bytes,
                                   .max_series = UINT32_MAX,
                                   .credit = conf->credit,
                                   .clear_value = conf->note_bytes ? clear_note : NULL,
                                   .arg = st};

    *st = (struct gw_streams){.conf = *conf, .mark_at = mark_at, .sweep_partitions = UINT64_MAX};
    gw_series_init(&st->scopes, &upper);
    gw_series_init(&st->metrics, &upper);
    gw_series_init(&st->points, &(struct gw_series_conf){.value_bytes = mark_at + mark_bytes,
                                                         .max_series = UINT32_MAX,
                                                         .credit = conf->credit,
                                                         .clear_value = conf->watch ? clear_watched : conf->clear_value,
                                                         .arg = conf->watch ? st : conf->arg});
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
    st->at_scope = st->at = st->last = NULL;
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

/* Returns their order, or NULL: as they stand (or there is no memory: the key has failed). */
static const uint32_t *put_attrs(struct gw_streams *st, struct gw_buf *key, const struct gw_batch *b,
                                 struct gw_range attrs)
{
    uint32_t n = attrs.end - attrs.begin, *order;

    gw_buf_put(key, &n, sizeof(n));
    if (are_sorted(b, attrs)) {
        for (uint32_t i = attrs.begin; i < attrs.end; i++)
            put_attr(key, b, &b->attrs[i]);
        return NULL;
    }
    if (!make_order(st, 2 * n)) {
        key->failed = true;
        return NULL;
    }
    order = sort_attrs(st, b, attrs);
    for (uint32_t i = 0; i < n; i++)
        put_attr(key, b, &b->attrs[order[i]]);
    return order;
}

/* ---- keys that are there ---------------------------------------------------------------------------------- */

static inline bool eat(struct gw_slice *key, const void *p, size_t n)
{
    if (key->n < n || (n && memcmp(key->p, p, n) != 0))
        return false;
    key->p += n;
    key->n -= n;
    return true;
}

static inline bool eat_text(struct gw_slice *key, struct gw_slice s)
{
    uint32_t n = (uint32_t)s.n;

    return eat(key, &n, sizeof(n)) && eat(key, s.p, s.n);
}

static bool eat_attr(struct gw_slice *key, const struct gw_batch *b, const struct gw_attr *a)
{
    if (!eat_text(key, gw_attr_key(b, a)) || !eat(key, &a->type, 1))
        return false;
    switch ((enum gw_value_type)a->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        return eat_text(key, gw_batch_slice(b, a->val.ref));
    case GW_V_BOOL:
    case GW_V_INT:
    case GW_V_DOUBLE:
        return eat(key, &a->val.u64, sizeof(a->val.u64));
    case GW_V_EMPTY:
        break;
    }
    return true;
}

static void keep_shape(struct gw_stream_node *m, struct gw_range attrs, const uint32_t *order)
{
    uint32_t n = attrs.end - attrs.begin;

    m->n_shape = n <= GW_STREAM_SHAPE ? (uint8_t)n : 0;
    for (uint32_t i = 0; i < m->n_shape; i++)
        m->shape[i] = (uint8_t)(order ? order[i] - attrs.begin : i);
}

/*
 * Is the key, which is sorted, that of these attributes? They are put into the order that the last ones had: when they
 * are those of the key then, they are sorted; of one name's twice the first one has to be first. False: maybe not.
 */
static bool is_of(const struct gw_stream_node *m, struct gw_slice key, const struct gw_batch *b, struct gw_range attrs,
                  struct gw_slice more)
{
    uint32_t n = attrs.end - attrs.begin;

    if (n != m->n_shape || !eat(&key, more.p, more.n) || !eat(&key, &n, sizeof(n)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = attrs.begin + m->shape[i];

        if (!eat_attr(&key, b, &b->attrs[at]))
            return false;
        if (i && m->shape[i] < m->shape[i - 1] && compare(b, attrs.begin + m->shape[i - 1], at) == 0)
            return false;
    }
    return key.n == 0;
}

/* Its head, value and key, while the one before is worked at. */
static void fetch(const struct gw_streams *st, const struct gw_series *s)
{
    size_t bytes = sizeof(*s) + st->conf.value_bytes + FETCH_KEY_BYTES;

    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch((const char *)s + at);
}

/* ---- scopes and metrics ----------------------------------------------------------------------------------- */

/* The one of that key, maybe `guess`; a new one has an empty group and its note. NULL: no memory. */
static struct gw_series *get(struct gw_streams *st, struct gw_series_table *t, struct gw_series_group *g,
                             struct gw_series *guess,
                             bool (*note)(void *note, const struct gw_batch *b, uint32_t index, void *arg),
                             const struct gw_batch *b, uint32_t index)
{
    struct gw_series_group *under;
    struct gw_series *s;

    if (st->key.failed)
        return NULL;
    if (guess && gw_slice_eq(gw_series_key(t, guess), gw_buf_slice(&st->key)))
        return guess;
    s = gw_series_get(t, g, gw_buf_slice(&st->key), 1);
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
    struct gw_series *guess = st->at_scope ? st->at_scope->next : st->all.first;

    gw_buf_reset(&st->key);
    (void)put_attrs(st, &st->key, b, b->resources[s->resource].attrs);
    put_text(&st->key, gw_batch_slice(b, s->name));
    put_text(&st->key, gw_batch_slice(b, s->version));
    if (st->conf.scope_attrs)
        (void)put_attrs(st, &st->key, b, s->attrs);
    st->at_scope = get(st, &st->scopes, &st->all, guess, st->conf.note_scope, b, scope);
    st->scope = st->at_scope ? scope : UINT32_MAX;
    return st->at_scope != NULL;
}

static void drop_empty_scope(struct gw_streams *st)
{
    struct gw_series *scope = st->at_scope;

    if (!scope || gw_streams_first(scope))
        return;
    if (st->sweep_scope == scope) {
        st->sweep_scope = scope->next;
        st->sweep_metric = st->sweep_scope ? gw_streams_first(st->sweep_scope) : NULL;
        st->sweep_stream = st->sweep_metric ? gw_streams_first(st->sweep_metric) : NULL;
    }
    gw_series_remove(&st->scopes, scope);
    gw_streams_begin(st);
}

static void put_metric(struct gw_streams *st, const struct gw_batch *b, const struct gw_metric_desc *m)
{
    uint8_t kind[] = {m->type, m->monotonic, st->conf.temporality ? m->temporality : 0};

    gw_buf_reset(&st->key);
    if (st->conf.one_metric) {
        gw_buf_put_u8(&st->key, 0);
        return;
    }
    gw_buf_put(&st->key, kind, sizeof(kind));
    put_text(&st->key, gw_batch_slice(b, m->name));
    put_text(&st->key, gw_batch_slice(b, m->unit));
}

static bool find_metric(struct gw_streams *st, const struct gw_batch *b, uint32_t metric)
{
    const struct gw_metric_desc *m = &b->metrics[metric];
    struct gw_series *guess = st->at ? st->at->next : NULL;

    st->metric = UINT32_MAX;
    st->at = st->last = NULL;
    if (st->scope != m->scope) {
        if (!find_scope(st, b, m->scope))
            return false;
        guess = gw_streams_first(st->at_scope);
    }
    put_metric(st, b, m);
    st->at = get(st, &st->metrics, gw_series_value(st->at_scope), guess, st->conf.note_metric, b, metric);
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
    st->at = st->last = NULL;
    drop_empty_scope(st);
}

static enum gw_stream_found add(struct gw_streams *st, struct gw_series_group *g, uint64_t hash, struct gw_series **ret)
{
    if (st->points.n >= st->conf.max_streams || (st->conf.watch && st->conf.watch->is_full))
        return GW_STREAM_LIMIT;
    *ret = gw_series_get_hashed(&st->points, g, gw_buf_slice(&st->key), hash, 0);
    if (*ret && (*ret)->is_overflow) {
        gw_series_remove(&st->points, *ret);
        *ret = NULL;
    }
    return *ret ? GW_STREAM_NEW : GW_STREAM_NO_MEMORY;
}

/* By its key. */
static enum gw_stream_found look_up(struct gw_streams *st, const struct gw_batch *b, uint32_t row, struct gw_slice more,
                                    struct gw_series **ret)
{
    struct gw_series_group *g = gw_series_value(st->at);
    uint64_t hash;

    *ret = NULL;
    gw_buf_reset(&st->key);
    gw_buf_put_slice(&st->key, more);
    keep_shape(gw_streams_node(st->at), b->attr[row], put_attrs(st, &st->key, b, b->attr[row]));
    if (st->key.failed)
        return GW_STREAM_NO_MEMORY;
    hash = gw_hash_table(gw_buf_slice(&st->key));
    *ret = gw_series_find(&st->points, g, gw_buf_slice(&st->key), hash);
    return *ret ? GW_STREAM_OLD : add(st, g, hash, ret);
}

enum gw_stream_found gw_streams_get(struct gw_streams *st, const struct gw_batch *b, uint32_t row, struct gw_slice more,
                                    struct gw_series **ret)
{
    enum gw_stream_found found = GW_STREAM_OLD;
    struct gw_series *guess;

    *ret = NULL;
    if (b->metric[row] != st->metric && !find_metric(st, b, b->metric[row]))
        return GW_STREAM_NO_MEMORY;
    guess = st->last ? st->last->next : gw_streams_first(st->at);
    if (guess && is_of(gw_streams_node(st->at), gw_series_key(&st->points, guess), b, b->attr[row], more))
        *ret = guess;
    else
        found = look_up(st, b, row, more, ret);
    st->last = *ret;
    if (*ret && st->conf.watch && !gw_streams_mark(st, *ret)->changed_at)
        st->conf.watch->changed(st->conf.watch->arg, st, *ret, found == GW_STREAM_NEW);
    if (!*ret)
        drop_empty_metric(st);
    else if ((*ret)->next)
        fetch(st, (*ret)->next);
    return found;
}

void gw_streams_forget(struct gw_streams *st, struct gw_series *s)
{
    if (st->sweep_stream == s)
        st->sweep_stream = s->next;
    if (st->last == s)
        st->last = NULL;
    gw_series_remove(&st->points, s);
    drop_empty_metric(st);
}

/* ---- sweeping --------------------------------------------------------------------------------------------- */

static void sweep_scope(struct gw_streams *st, struct gw_series *scope)
{
    st->sweep_scope = scope;
    st->sweep_metric = scope ? gw_streams_first(scope) : NULL;
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
    if (!gw_streams_first(scope))
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
        if (s->seen_ns < before_ns &&
            (!st->conf.watch || st->sweep_partitions >> gw_streams_mark(st, s)->partition & 1))
            gw_series_remove(&st->points, s);
    }
    st->sweeps = st->sweep_scope != NULL;
    return st->sweeps;
}

/* ---- written down ------------------------------------------------------------------------------------------- */

void gw_streams_watch(struct gw_streams *st, struct gw_streams_watch *watch)
{
    struct gw_streams_conf conf = st->conf;

    gw_streams_free(st);
    conf.watch = watch;
    gw_streams_init(st, &conf);
}

void gw_streams_keys(const struct gw_streams *st, struct gw_series *s, struct gw_stream_keys *ret)
{
    struct gw_series *metric = gw_streams_above(s), *scope = gw_streams_above(metric);

    *ret = (struct gw_stream_keys){.scope = gw_series_key(&st->scopes, scope),
                                   .metric = gw_series_key(&st->metrics, metric),
                                   .stream = gw_series_key(&st->points, s)};
}

static struct gw_series *take(struct gw_streams *st, struct gw_series_table *t, struct gw_series_group *g,
                              struct gw_slice key, struct gw_slice note)
{
    struct gw_series *s = gw_series_get(t, g, key, 1);
    struct gw_series_group *under = s ? gw_series_value(s) : NULL;

    if (!s || under->last)
        return s && !s->is_overflow ? s : NULL;
    gw_series_group_init(under);
    if (!s->is_overflow && (!st->conf.note_bytes || st->conf.take_note(gw_streams_note(s), note, st->conf.arg)))
        return s;
    gw_series_remove(t, s);
    return NULL;
}

enum gw_stream_found gw_streams_take(struct gw_streams *st, const struct gw_stream_keys *k, struct gw_series **ret)
{
    struct gw_series *scope = take(st, &st->scopes, &st->all, k->scope, k->scope_note), *metric = NULL;
    uint64_t hash = gw_hash_table(k->stream);

    *ret = NULL;
    gw_streams_begin(st);
    if (scope)
        metric = take(st, &st->metrics, gw_series_value(scope), k->metric, k->metric_note);
    if (!metric)
        return GW_STREAM_NO_MEMORY;
    *ret = gw_series_find(&st->points, gw_series_value(metric), k->stream, hash);
    if (*ret)
        return GW_STREAM_OLD;
    gw_buf_reset(&st->key);
    gw_buf_put_slice(&st->key, k->stream);
    return st->key.failed ? GW_STREAM_NO_MEMORY : add(st, gw_series_value(metric), hash, ret);
}

static bool eat_u32(struct gw_slice *key, uint32_t *ret)
{
    if (key->n < sizeof(*ret))
        return false;
    memcpy(ret, key->p, sizeof(*ret));
    *key = gw_slice_of(key->p + sizeof(*ret), key->n - sizeof(*ret));
    return true;
}

static bool eat_slice(struct gw_slice *key, struct gw_slice *ret)
{
    uint32_t n;

    if (!eat_u32(key, &n) || n > key->n)
        return false;
    *ret = gw_slice_of(key->p, n);
    *key = gw_slice_of(key->p + n, key->n - n);
    return true;
}

bool gw_stream_attrs_begin(struct gw_stream_attrs *it, struct gw_slice key)
{
    *it = (struct gw_stream_attrs){.left = key};
    return eat_u32(&it->left, &it->n);
}

bool gw_stream_attrs_next(struct gw_stream_attrs *it, struct gw_slice *ret_key, struct gw_value *ret)
{
    if (it->n == 0 || !eat_slice(&it->left, ret_key) || it->left.n == 0)
        return false;
    it->n--;
    *ret = (struct gw_value){.type = (enum gw_value_type)it->left.p[0]};
    it->left = gw_slice_of(it->left.p + 1, it->left.n - 1);
    switch (ret->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        return eat_slice(&it->left, &ret->s);
    case GW_V_BOOL:
    case GW_V_INT:
    case GW_V_DOUBLE:
        if (it->left.n < sizeof(ret->i))
            return false;
        memcpy(&ret->i, it->left.p, sizeof(ret->i));
        if (ret->type == GW_V_BOOL)
            ret->b = ret->i != 0;
        it->left = gw_slice_of(it->left.p + sizeof(ret->i), it->left.n - sizeof(ret->i));
        return true;
    case GW_V_EMPTY:
        return true;
    }
    return false;
}
