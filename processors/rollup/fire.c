/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the watermark has passed leaves, shard by shard: results are found, sorted by end, window and key, written, and
 * then their panes are given back. So that the order, too, follows from what came in and not from a hash table.
 */
#include <errno.h>
#include <stdlib.h>

#include "processors/rollup/rollup.h"

enum { MAX_BODY_BYTES = 1 << 30, CUT_BYTES = 1 << 20, POINT_BYTES = 200 };

struct result {
    const struct gw_ru_series *series;
    uint64_t end_ns;
    uint32_t window;
    uint32_t at; /* of its state, in units of it */
};

struct fire {
    struct gw_ru_shared *all;
    struct gw_ru_shard *s;
    struct gw_ports *out;
    uint64_t mark_ns, wall_ns;
    struct gw_buf results; /* struct result */
    struct gw_buf states;
    struct gw_heap heap; /* of those: what several panes come to */
    struct gw_mw w;
    struct gw_buf attrs, text;
    struct gw_buf bodies, lengths; /* requests, one behind the other, and how long they are (size_t) */
};

static struct gw_ru_pane *pane_at(const struct fire *f, uint32_t item)
{
    return gw_slabs_at(&f->s->panes, item);
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static void *state_of(const struct fire *f, const struct result *r)
{
    return f->states.p + (size_t)r->at * f->all->plan.state_bytes;
}

static bool is_due(const struct fire *f, uint64_t end_ns)
{
    return end_ns + f->all->conf->allowed_lateness_ns <= f->mark_ns;
}

static struct result *result_of(struct fire *f, const struct gw_ru_series *x, unsigned window, uint64_t end_ns,
                                size_t first)
{
    struct result *r = (struct result *)(void *)f->results.p;
    size_t n = f->results.n / sizeof(*r);

    for (size_t i = n; i-- > first;)
        if (r[i].window == window && r[i].end_ns == end_ns)
            return &r[i];
    if (gw_buf_reserve(&f->states, f->all->plan.state_bytes) < 0) {
        f->results.failed = true;
        return NULL;
    }
    memset(f->states.p + f->states.n, 0, f->all->plan.state_bytes);
    f->states.n += f->all->plan.state_bytes;
    gw_buf_put(&f->results, &(struct result){.series = x, .end_ns = end_ns, .window = window, .at = (uint32_t)n},
               sizeof(*r));
    return f->results.failed ? NULL : &((struct result *)(void *)f->results.p)[n];
}

/*
 * A pane goes into every window that it is part of and that is due and was not before. Panes are merged from the oldest
 * on, so that a sum does not depend on the order in which they were made.
 */
static void spread(struct fire *f, const struct gw_ru_series *x, const struct gw_ru_pane *p, size_t first)
{
    unsigned window = (unsigned)(p->id >> 56);
    const struct gw_ru_window *w = &f->all->windows[window];
    uint64_t at = (p->id & (UINT64_MAX >> 8)) * w->pane_ns;

    for (uint64_t end = gw_ru_first_end(w, at); end <= gw_ru_last_end(w, at) && is_due(f, end); end += w->slide_ns) {
        struct result *r;

        if (end + f->all->conf->allowed_lateness_ns <= f->s->fired_ns)
            continue;
        r = result_of(f, x, window, end, first);
        if (r)
            f->results.failed |= gw_agg_merge(&f->all->plan, state_of(f, r), &f->heap, p->state) < 0;
    }
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(const struct gw_ru_pane *const *)a)->id, y = (*(const struct gw_ru_pane *const *)b)->id;

    return (x > y) - (x < y);
}

static void find_results(struct fire *f, const struct gw_ru_series *x, struct gw_buf *order)
{
    size_t first = f->results.n / sizeof(struct result), n;

    gw_buf_reset(order);
    for (uint32_t item = x->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = pane_at(f, item);

        gw_buf_put(order, &p, sizeof(p));
    }
    f->results.failed |= order->failed;
    n = order->n / sizeof(void *);
    if (n > 1)
        qsort(order->p, n, sizeof(void *), by_id);
    for (size_t i = 0; i < n && !f->results.failed; i++)
        spread(f, x, ((struct gw_ru_pane **)(void *)order->p)[i], first);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    uint32_t n = x->series->key_bytes < y->series->key_bytes ? x->series->key_bytes : y->series->key_bytes;
    int c;

    if (x->end_ns != y->end_ns)
        return x->end_ns < y->end_ns ? -1 : 1;
    if (x->window != y->window)
        return x->window < y->window ? -1 : 1;
    c = memcmp(x->series->key, y->series->key, n);
    return c ? c : (x->series->key_bytes > y->series->key_bytes) - (x->series->key_bytes < y->series->key_bytes);
}

static int cut(void *arg, struct gw_slice body, uint32_t points)
{
    struct fire *f = arg;

    (void)points;
    gw_buf_put_slice(&f->bodies, body);
    gw_buf_put(&f->lengths, &body.n, sizeof(body.n));
    return gw_buf_error(&f->bodies) ? gw_buf_error(&f->bodies) : gw_buf_error(&f->lengths);
}

static struct gw_slice until_nul(struct gw_slice *rest)
{
    const uint8_t *nul = rest->n ? memchr(rest->p, 0, rest->n) : NULL;
    struct gw_slice part = {rest->p, nul ? (size_t)(nul - rest->p) : rest->n};
    size_t used = nul ? part.n + 1 : part.n;

    *rest = (struct gw_slice){rest->p + used, rest->n - used};
    return part;
}

/* All results of one metric, window and end: one metric for each aggregate. */
static void put_metric(struct fire *f, const struct result *r, size_t n)
{
    struct gw_ru_key_parts key = gw_ru_key_split((struct gw_slice){r->series->key, r->series->key_bytes});
    const struct gw_ru_window *w = &f->all->windows[r->window];
    bool grows = key.metric.p[0];
    struct gw_slice name = {key.metric.p + 1, key.metric.n - 1}, unit = until_nul(&name);

    for (unsigned k = 0; k < f->all->n_specs; k++) {
        const struct gw_agg_spec *spec = &f->all->specs[k];
        struct gw_mw_metric m = {.unit = spec->fn == GW_AGG_COUNT ? GW_SLICE("1") : unit};

        gw_buf_reset(&f->text);
        gw_buf_put_slice(&f->text, name);
        gw_buf_printf(&f->text, ".%s", f->all->names[k]);
        m.name = gw_buf_slice(&f->text);
        gw_agg_metric(spec, &m);
        m.monotonic |= spec->fn == GW_AGG_SUM && grows;
        gw_mw_metric(&f->w, &m);
        for (size_t i = 0; i < n; i++) {
            struct gw_slice attrs = gw_ru_key_split((struct gw_slice){r[i].series->key, r[i].series->key_bytes}).attrs;
            struct gw_mw_point p = {.start_ns = r[i].end_ns - w->size_ns, .time_ns = r[i].end_ns, .attrs = attrs};

            if (f->all->n_windows > 1) {
                gw_buf_reset(&f->attrs);
                gw_buf_put_slice(&f->attrs, attrs);
                gw_mw_attr_put_str(&f->attrs, GW_SLICE("rollup.window"), gw_slice_cstr(w->text));
                p.attrs = gw_buf_slice(&f->attrs);
            }
            gw_agg_put(&f->all->plan, state_of(f, &r[i]), spec, &f->w, &p);
        }
    }
}

static bool is_same(const struct result *a, const struct result *b, bool whole_metric)
{
    struct gw_ru_key_parts x = gw_ru_key_split((struct gw_slice){a->series->key, a->series->key_bytes});
    struct gw_ru_key_parts y = gw_ru_key_split((struct gw_slice){b->series->key, b->series->key_bytes});

    return a->end_ns == b->end_ns && a->window == b->window && gw_slice_eq(x.resource, y.resource) &&
           (!whole_metric || (gw_slice_eq(x.scope, y.scope) && gw_slice_eq(x.metric, y.metric)));
}

static void put_results(struct fire *f, const struct result *r, size_t n)
{
    for (size_t i = 0, k; i < n; i = k) {
        struct gw_ru_key_parts p = gw_ru_key_split((struct gw_slice){r[i].series->key, r[i].series->key_bytes});
        struct gw_slice rest = p.scope, name = until_nul(&rest), version = until_nul(&rest);

        for (k = i + 1; k < n && is_same(&r[i], &r[k], true); k++)
            ;
        if (i == 0 || !is_same(&r[i - 1], &r[i], false))
            gw_mw_resource(&f->w, p.resource, GW_SLICE(""));
        gw_mw_scope_with(&f->w, name, version, rest);
        put_metric(f, &r[i], k - i);
    }
}

/* ---- giving back ------------------------------------------------------------------------------------------------ */

static void give_panes(struct fire *f, struct gw_ru_series *x)
{
    uint32_t *link = &x->panes;

    while (*link) {
        const struct gw_ru_pane *p = pane_at(f, *link);
        const struct gw_ru_window *w = &f->all->windows[p->id >> 56];
        uint32_t item = *link;

        if (!is_due(f, gw_ru_last_end(w, (p->id & (UINT64_MAX >> 8)) * w->pane_ns))) {
            link = gw_slabs_link(&f->s->panes, item);
            continue;
        }
        *link = gw_ru_next(&f->s->panes, item);
        gw_agg_clear(&f->all->plan, ((struct gw_ru_pane *)gw_slabs_at(&f->s->panes, item))->state, &f->s->heap);
        gw_slabs_give(&f->s->panes, item);
        atomic_fetch_sub_explicit(&f->all->n_panes, 1, memory_order_relaxed);
    }
}

/* Removing one moves others into its slot, from behind: what comes there is looked at once more. */
static void let_go(struct fire *f)
{
    for (uint32_t i = f->s->n_slots; i-- > 0;)
        while (f->s->slots[i].series) {
            struct gw_ru_series *x = gw_slabs_at(&f->s->series, f->s->slots[i].series);

            give_panes(f, x);
            if (x->panes)
                break;
            gw_ru_series_remove(f->all, f->s, f->s->slots[i].series);
        }
    gw_ru_shard_shrink(f->s, f->mark_ns == UINT64_MAX);
}

/* ---- one shard -------------------------------------------------------------------------------------------------- */

/* Errors: negative; then nothing has left. 0 of *ret: the queues behind are full. */
static int fire_shard(struct fire *f, bool *ret)
{
    struct gw_ru_shared *all = f->all;
    struct gw_buf order, body;
    size_t n;
    int rc;

    gw_buf_init(&order, 1 << 20);
    for (uint32_t i = 0; i < f->s->n_slots; i++)
        if (f->s->slots[i].series)
            find_results(f, gw_slabs_at(&f->s->series, f->s->slots[i].series), &order);
    gw_buf_clear(&order);
    if (f->results.failed)
        return gw_buf_error(&f->results) ? gw_buf_error(&f->results) : -ENOMEM;
    n = f->results.n / sizeof(struct result);
    *ret = n == 0 || gw_has_room(f->out, (uint32_t)n * all->n_specs, n * POINT_BYTES * all->n_specs);
    if (!*ret)
        return 0;
    if (n > 1)
        qsort(f->results.p, n, sizeof(struct result), by_place);
    gw_buf_init(&body, MAX_BODY_BYTES);
    gw_mw_init(&f->w, &body, CUT_BYTES, cut, f);
    put_results(f, (const struct result *)(const void *)f->results.p, n);
    rc = gw_mw_end(&f->w);
    gw_buf_clear(&body);
    gw_metric_add(all->results, n);
    if (f->mark_ns != UINT64_MAX)
        f->s->fired_ns = f->mark_ns;
    let_go(f);
    return rc;
}

/* Behind the lock: whoever is behind may take its time. */
static int emit(struct fire *f)
{
    const size_t *lengths = (const size_t *)(const void *)f->lengths.p;
    const uint8_t *at = f->bodies.p;
    int rc = 0;

    for (size_t i = 0; i < f->lengths.n / sizeof(*lengths); at += lengths[i++]) {
        int one = gw_mw_emit(f->out, NULL, (struct gw_slice){at, lengths[i]}, "rollup", f->wall_ns);

        rc = rc ? rc : one;
    }
    return rc;
}

int gw_ru_fire(struct gw_ru_shared *all, struct gw_ports *out, uint64_t mark_ns, uint64_t wall_ns)
{
    struct fire f = {.all = all, .out = out, .mark_ns = mark_ns, .wall_ns = wall_ns};
    bool had_room = true;
    int rc;

    f.s = &all->shards[all->fire_at];
    gw_buf_init(&f.results, MAX_BODY_BYTES);
    gw_buf_init(&f.states, MAX_BODY_BYTES);
    gw_buf_init(&f.attrs, 1 << 20);
    gw_buf_init(&f.text, 1 << 16);
    gw_buf_init(&f.bodies, MAX_BODY_BYTES);
    gw_buf_init(&f.lengths, 1 << 20);
    (void)pthread_mutex_lock(&f.s->lock);
    rc = fire_shard(&f, &had_room);
    gw_ru_shard_unlock(all, f.s);
    if (rc == 0)
        rc = emit(&f);
    for (size_t i = 0; all->plan.has_big && i < f.states.n; i += all->plan.state_bytes)
        gw_agg_clear(&all->plan, f.states.p + i, &f.heap);
    gw_buf_clear(&f.results);
    gw_buf_clear(&f.states);
    gw_buf_clear(&f.attrs);
    gw_buf_clear(&f.text);
    gw_buf_clear(&f.bodies);
    gw_buf_clear(&f.lengths);
    if (rc < 0)
        gw_log(&all->ctx->logger, GW_LOG_ERROR, "results could not be written: %s", strerror(-rc));
    if (had_room)
        all->fire_at++;
    return had_room && all->fire_at < GW_RU_N_SHARDS ? GW_MORE : GW_DONE;
}
