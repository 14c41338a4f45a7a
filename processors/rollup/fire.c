/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the watermark has passed leaves, shard by shard: results are found, sorted by end, window and key, written, and
 * then their panes are given back. So that the order, too, follows from what came in and not from a hash table.
 */
#include <errno.h>
#include <stdlib.h>

#include "processors/rollup/fire.h"
#include "processors/rollup/kept.h"

enum { MAX_BODY_BYTES = 1 << 30, CUT_BYTES = 1 << 20, POINT_BYTES = 200 };

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static bool is_due(const struct gw_ru_fire *f, const struct gw_ru_window *w, uint64_t end_ns)
{
    return end_ns + w->lateness_ns <= f->mark_ns;
}

/* A window that is not told now has to be known where it can be taken back, as sessions can. */
struct gw_ru_result *gw_ru_result_new(struct gw_ru_fire *f, const struct gw_ru_span *span)
{
    struct gw_ru_result r = {.series = span->series,
                             .id = f->series_id,
                             .start_ns = span->start_ns,
                             .end_ns = span->end_ns,
                             .window = span->window,
                             .at = f->n_states,
                             .is_final = span->is_final,
                             .is_of_final = span->is_final,
                             .is_wanted = gw_ru_emit_wants(f, span)};
    size_t n = f->results.n / sizeof(r), bytes = f->all->plan.state_bytes;

    if (!r.is_wanted && !f->all->told_bytes)
        return NULL;
    if (r.is_wanted && gw_buf_reserve(&f->states, bytes) < 0)
        f->results.failed = true;
    else if (r.is_wanted) {
        memset(f->states.p + f->states.n, 0, bytes);
        f->states.n += bytes;
        f->n_states++;
    }
    gw_buf_put(&f->results, &r, sizeof(r));
    return f->results.failed ? NULL : &((struct gw_ru_result *)(void *)f->results.p)[n];
}

void gw_ru_result_add(struct gw_ru_fire *f, struct gw_ru_result *r, struct gw_ru_pane *p)
{
    if (f->all->tail_bytes)
        r->changes += gw_ru_tail(f->all, p)->changes;
    if (r->is_wanted)
        f->results.failed |= gw_agg_merge(&f->all->plan, gw_ru_result_state(f, r), &f->heap, p->state) < 0;
}

/* What ended until then was told. Partitions of a journal may be at different places, after a start. */
static uint64_t fired_ns(const struct gw_ru_fire *f, const struct gw_ru_series *x)
{
    return f->all->kept ? f->all->kept->fired_ns[x->partition] : f->s->fired_ns;
}

/* A window that has not ended is told when something has come into it (asks), or when its end has passed. */
static struct gw_ru_result *result_of(struct gw_ru_fire *f, struct gw_ru_series *x, unsigned window, uint64_t end_ns,
                                      size_t first, bool asks)
{
    struct gw_ru_result *r = (struct gw_ru_result *)(void *)f->results.p;
    const struct gw_ru_window *w = &f->all->windows[window];
    struct gw_ru_span span = {.series = x, .window = window, .start_ns = end_ns - w->size_ns, .end_ns = end_ns};

    span.is_final = is_due(f, w, end_ns);
    if (!gw_ru_emit_wants(f, &span))
        return NULL;
    for (size_t i = f->results.n / sizeof(*r); i-- > first;)
        if (r[i].window == window && r[i].end_ns == end_ns)
            return &r[i];
    if (!asks && !span.is_final && !(f->all->conf->emit.mode == GW_RU_RETRACT && end_ns > fired_ns(f, x)))
        return NULL;
    return gw_ru_result_new(f, &span);
}

/*
 * A pane goes into every window that it is part of and that is due and was not before, or is told early. Panes are
 * merged from the oldest on, so that a sum does not depend on the order in which they were made. asks: what is new in
 * the pane asks for its windows, and nothing is merged yet.
 */
static void spread_in(struct gw_ru_fire *f, struct gw_ru_series *x, struct gw_ru_pane *p, unsigned window, size_t first,
                      bool asks)
{
    const struct gw_ru_window *w = &f->all->windows[window];
    uint64_t at = gw_ru_time_of(f->all, p), first_end = gw_ru_first_end(w, at);

    for (uint64_t end = first_end + gw_ru_skip_of(p->id) * w->slide_ns;
         end <= gw_ru_last_end(w, at) && !f->results.failed; end += w->slide_ns) {
        struct gw_ru_result *r;

        if (end + w->lateness_ns <= fired_ns(f, x))
            continue;
        r = result_of(f, x, window, end, first, asks);
        if (r && !asks)
            gw_ru_result_add(f, r, p);
        else if (!r && f->all->conf->emit.mode == GW_RU_FINAL)
            break; /* nor are those behind it */
    }
}

/* And into those of the windows that it will become part of. */
static void spread(struct gw_ru_fire *f, struct gw_ru_series *x, struct gw_ru_pane *p, size_t first, bool asks)
{
    unsigned window = gw_ru_window_of(p->id) + 1;

    for (; window && !f->results.failed; window = f->all->windows[window - 1].feeds)
        spread_in(f, x, p, window - 1, first, asks);
}

/* By window; of one window by number, and pieces of sessions by their beginning. */
static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(const struct gw_ru_pane *const *)a)->id, y = (*(const struct gw_ru_pane *const *)b)->id;

    return (x > y) - (x < y);
}

/* Pieces stand in the chain from the latest on, so that two of one stretch are told apart by where they stand. */
static void turn_round(struct gw_ru_pane **p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct gw_ru_pane *other = p[i];

        p[i] = p[n - 1 - i];
        p[n - 1 - i] = other;
    }
}

static void find_sessions(struct gw_ru_fire *f, struct gw_ru_series *x, unsigned window, struct gw_buf *order)
{
    size_t n;

    if (f->is_full)
        gw_ru_sessions_settle(f->all, f->s, x, window, f->mark_ns);
    gw_buf_reset(order);
    for (uint32_t item = x->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        if (gw_ru_window_of(p->id) == window)
            gw_buf_put(order, &p, sizeof(p));
    }
    f->results.failed |= order->failed;
    n = order->n / sizeof(void *);
    turn_round((struct gw_ru_pane **)(void *)order->p, n);
    if (!f->results.failed)
        gw_ru_sessions_find(f, x, window, (struct gw_ru_pane *const *)(void *)order->p, n);
}

static void find_fixed(struct gw_ru_fire *f, struct gw_ru_series *x, struct gw_buf *order, size_t first)
{
    size_t n;

    gw_buf_reset(order);
    for (uint32_t item = x->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        if (f->all->windows[gw_ru_window_of(p->id)].type != GW_RU_SESSION)
            gw_buf_put(order, &p, sizeof(p));
    }
    f->results.failed |= order->failed;
    n = order->n / sizeof(void *);
    if (n > 1)
        qsort(order->p, n, sizeof(void *), by_id);
    for (size_t i = 0; i < n && !f->results.failed && f->all->conf->emit.mode != GW_RU_FINAL; i++) {
        struct gw_ru_pane *p = ((struct gw_ru_pane **)(void *)order->p)[i];

        if (gw_ru_tail(f->all, p)->is_new)
            spread(f, x, p, first, true);
    }
    for (size_t i = 0; i < n && !f->results.failed; i++)
        spread(f, x, ((struct gw_ru_pane **)(void *)order->p)[i], first, false);
}

static void find_results(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    size_t first = f->results.n / sizeof(struct gw_ru_result);

    if (f->results.failed)
        return;
    gw_ru_counters_settle(f->all, f->s, f->series_id, f->mark_ns);
    find_fixed(f, x, &f->order, first);
    for (unsigned i = 0; i < f->all->n_windows && f->all->has_sessions && !f->results.failed; i++)
        if (f->all->windows[i].type == GW_RU_SESSION)
            find_sessions(f, x, i, &f->order);
    if (f->all->conf->emit.mode != GW_RU_FINAL && !f->results.failed)
        gw_ru_emit_choose(f, x, first);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct gw_ru_result *x = a, *y = b;
    uint32_t n = x->series->key_bytes < y->series->key_bytes ? x->series->key_bytes : y->series->key_bytes;
    int c;

    if (x->is_retract != y->is_retract)
        return y->is_retract - x->is_retract; /* before what takes its place */
    if (x->end_ns != y->end_ns)
        return x->end_ns < y->end_ns ? -1 : 1;
    if (x->window != y->window)
        return x->window < y->window ? -1 : 1;
    c = memcmp(x->series->key, y->series->key, n);
    if (!c)
        c = (x->series->key_bytes > y->series->key_bytes) - (x->series->key_bytes < y->series->key_bytes);
    if (!c)
        c = (x->revision > y->revision) - (x->revision < y->revision);
    return c ? c : (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static int cut(void *arg, struct gw_slice body, uint32_t points)
{
    struct gw_ru_fire *f = arg;

    gw_buf_put_slice(&f->bodies, body);
    gw_buf_put(&f->lengths, &(struct gw_ru_body){.bytes = body.n, .points = points}, sizeof(struct gw_ru_body));
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

/* What tells results of a series apart stands behind its own attributes. */
static struct gw_slice attrs_of(struct gw_ru_fire *f, const struct gw_ru_result *r, unsigned spec)
{
    struct gw_slice attrs = gw_ru_key_split((struct gw_slice){r->series->key, r->series->key_bytes}).attrs;

    if (f->all->n_windows == 1 && !gw_ru_emit_has_attrs(f))
        return attrs;
    gw_buf_reset(&f->attrs);
    gw_buf_put_slice(&f->attrs, attrs);
    if (f->all->n_windows > 1)
        gw_mw_attr_put_str(&f->attrs, GW_SLICE("rollup.window"), gw_slice_cstr(f->all->windows[r->window].text));
    if (gw_ru_emit_has_attrs(f))
        gw_ru_emit_put_attrs(f, r, spec);
    return gw_buf_slice(&f->attrs);
}

/* Of those results whose points are of that type. */
static void put_aggregate(struct gw_ru_fire *f, const struct gw_ru_result *r, size_t n, unsigned k,
                          enum gw_metric_type type)
{
    struct gw_ru_key_parts key = gw_ru_key_split((struct gw_slice){r->series->key, r->series->key_bytes});
    struct gw_slice name = {key.metric.p + 1, key.metric.n - 1}, unit = until_nul(&name);
    const struct gw_agg_spec *spec = &f->all->specs[k];
    struct gw_mw_metric m = {.unit = spec->fn == GW_AGG_COUNT ? GW_SLICE("1") : unit};
    struct gw_mw_exemplar samples[GW_PICKS_MAX];
    bool is_open = false;

    gw_buf_reset(&f->text);
    gw_buf_put_slice(&f->text, name);
    gw_buf_printf(&f->text, ".%s", f->all->names[k]);
    name.n = f->text.n;
    if (spec->fn == GW_AGG_RATE) {
        gw_buf_put_slice(&f->text, unit.n ? unit : GW_SLICE("1"));
        gw_buf_put_str(&f->text, "/s");
        m.unit = gw_slice_of(f->text.p + name.n, f->text.n - name.n);
    }
    m.name = gw_slice_of(f->text.p, name.n);
    gw_agg_metric(spec, &m);
    m.type = type;
    m.monotonic |= spec->fn == GW_AGG_SUM && key.metric.p[0];
    for (size_t i = 0; i < n; i++) {
        struct gw_mw_point p = {.start_ns = r[i].start_ns, .time_ns = r[i].end_ns};

        if (gw_agg_type(&f->all->plan, gw_ru_result_state(f, &r[i]), spec) != type)
            continue;
        if (!is_open)
            gw_mw_metric(&f->w, &m);
        is_open = true;
        p.attrs = attrs_of(f, &r[i], k);
        p.exemplars = samples;
        if (f->all->shown_on >> k & 1)
            p.n_exemplars = gw_agg_exemplars(&f->all->plan, gw_ru_result_state(f, &r[i]), samples, GW_PICKS_MAX);
        gw_agg_put(&f->all->plan, gw_ru_result_state(f, &r[i]), spec, &f->w, &p);
    }
}

/* All results of one metric, window and end: one metric for each aggregate. */
static void put_metric(struct gw_ru_fire *f, const struct gw_ru_result *r, size_t n)
{
    for (unsigned k = 0; k < f->all->n_specs; k++) {
        struct gw_mw_metric m;

        if (f->all->specs[k].fn == GW_AGG_SAMPLES)
            continue; /* it has no points */
        gw_agg_metric(&f->all->specs[k], &m);
        put_aggregate(f, r, n, k, m.type);
        if (m.type == GW_M_HISTOGRAM) /* where bounds differed they are exponential now */
            put_aggregate(f, r, n, k, GW_M_EXP_HISTOGRAM);
    }
}

static bool is_same(const struct gw_ru_result *a, const struct gw_ru_result *b, bool whole_metric)
{
    struct gw_ru_key_parts x = gw_ru_key_split((struct gw_slice){a->series->key, a->series->key_bytes});
    struct gw_ru_key_parts y = gw_ru_key_split((struct gw_slice){b->series->key, b->series->key_bytes});

    return a->end_ns == b->end_ns && a->window == b->window && gw_slice_eq(x.resource, y.resource) &&
           (!whole_metric || (gw_slice_eq(x.scope, y.scope) && gw_slice_eq(x.metric, y.metric)));
}

static void put_results(struct gw_ru_fire *f, const struct gw_ru_result *r, size_t n)
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

static bool is_over(const struct gw_ru_fire *f, struct gw_ru_pane *p)
{
    const struct gw_ru_window *w = &f->all->windows[gw_ru_window_of(p->id)];

    if (w->type == GW_RU_SESSION)
        return gw_ru_tail(f->all, p)->flags & GW_RU_ENDED;
    return gw_ru_pane_is_over(f->all, p, gw_ru_window_of(p->id), f->mark_ns);
}

/* True: there was something that does not follow from the time alone. */
static bool give_panes(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    uint32_t *link = &x->panes;
    bool any = false;

    while (*link && f->is_full) {
        uint32_t item = *link;
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        if (!is_over(f, p) || gw_ru_pane_goes_up(f->all, f->s, x, item, f->mark_ns)) {
            link = gw_slabs_link(&f->s->panes, item);
            continue;
        }
        any |= f->all->windows[gw_ru_window_of(p->id)].type == GW_RU_SESSION;
        *link = gw_ru_next(&f->s->panes, item);
        gw_ru_pane_give(f->all, f->s, item);
    }
    return any;
}

/* ---- one shard -------------------------------------------------------------------------------------------------- */

/* Of a state that was restored, a partition may be ahead of the others: it has been fired until there. */
static bool is_behind(const struct gw_ru_fire *f, uint32_t series)
{
    const struct gw_ru_kept *k = f->all->kept;

    return !k || k->step_ns > k->covered_ns[((struct gw_ru_series *)gw_slabs_at(&f->s->series, series))->partition];
}

/*
 * Each series that this firing is about; it may be removed. Removing one moves others into its slot, from behind: what
 * comes there is looked at once more.
 */
static void each_series(struct gw_ru_fire *f, void (*look)(struct gw_ru_fire *f, struct gw_ru_series *x))
{
    const struct gw_ru_list *news = &f->s->lists[GW_RU_NEWS];

    for (uint32_t i = f->is_full ? f->s->n_slots : 0; i-- > 0;)
        while (f->s->slots[i].series && is_behind(f, f->s->slots[i].series)) {
            f->series_id = f->s->slots[i].series;
            look(f, gw_slabs_at(&f->s->series, f->series_id));
            if (f->s->slots[i].series == f->series_id)
                break;
        }
    for (uint32_t i = f->is_full ? 0 : news->n; i-- > 0;)
        if (is_behind(f, news->ids[i])) {
            f->series_id = news->ids[i];
            look(f, gw_slabs_at(&f->s->series, f->series_id));
        }
}

static void let_go(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    bool any = give_panes(f, x);

    if (f->all->conf->emit.mode != GW_RU_FINAL)
        any |= gw_ru_emit_forget(f, x);
    if (f->is_full)
        gw_ru_counters_expire(f->all, f->s, x, f->mark_ns);
    if (!x->panes && !x->told && !x->streams)
        gw_ru_series_remove(f->all, f->s, f->series_id);
    else if (any)
        gw_ru_list_add(f->s, GW_RU_CHANGED, f->series_id);
    if (x->streams && gw_ru_counters_wait(f->s, x))
        gw_ru_list_add(f->s, GW_RU_NEWS, f->series_id);
}

/* After a start: what had been told when it was killed is not told again, but remembered. */
static bool was_told(const struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    const struct gw_ru_kept *k = f->all->kept;
    const struct gw_ru_window *w = &f->all->windows[r->window];
    unsigned partition = r->series->partition;

    if (r->is_of_final && (w->type != GW_RU_SESSION || k->other_times))
        return r->end_ns + w->lateness_ns <= k->told_mark_ns[partition];
    return k->step_ns <= k->told_ns[partition];
}

/* Those that are to be told come first; how many. */
static size_t choose(struct gw_ru_fire *f)
{
    struct gw_ru_result *r = (struct gw_ru_result *)(void *)f->results.p;
    size_t n = f->results.n / sizeof(*r), to = 0;

    if (!f->all->kept)
        return n;
    for (size_t i = 0; i < n; i++) {
        struct gw_ru_result one = r[i];

        if (was_told(f, &one))
            continue;
        r[i] = r[to];
        r[to++] = one;
    }
    f->all->kept->has_told |= to > 0;
    return to;
}

/* Errors: negative; then nothing has left. 0 of *ret: the queues behind are full. */
static int fire_shard(struct gw_ru_fire *f, bool *ret)
{
    struct gw_ru_shared *all = f->all;
    struct gw_buf body;
    size_t n;
    int rc;

    each_series(f, find_results);
    if (f->results.failed)
        return gw_buf_error(&f->results) ? gw_buf_error(&f->results) : -ENOMEM;
    gw_ru_emit_reserve(f);
    n = choose(f);
    *ret = n == 0 || all->kept || gw_has_room(f->out, (uint32_t)n * all->n_specs, n * POINT_BYTES * all->n_specs);
    if (!*ret)
        return 0;
    if (n > 1)
        qsort(f->results.p, n, sizeof(struct gw_ru_result), by_place);
    gw_buf_init(&body, MAX_BODY_BYTES);
    gw_mw_init(&f->w, &body, CUT_BYTES, cut, f);
    put_results(f, (const struct gw_ru_result *)(const void *)f->results.p, n);
    rc = gw_mw_end(&f->w);
    gw_buf_clear(&body);
    gw_metric_add(all->results, n);
    gw_ru_emit_remember(f);
    if (f->mark_ns != UINT64_MAX)
        f->s->fired_ns = f->mark_ns;
    each_series(f, let_go);
    gw_ru_shard_shrink(f->s, f->mark_ns == UINT64_MAX);
    return rc;
}

/* Behind the lock: whoever is behind may take its time. */
static int emit(struct gw_ru_fire *f)
{
    const struct gw_ru_body *bodies = (const struct gw_ru_body *)(const void *)f->lengths.p;
    const uint8_t *at = f->bodies.p;
    int rc = 0;

    if (f->all->kept)
        return gw_ru_kept_put(f->all->kept, &f->bodies, &f->lengths);
    for (size_t i = 0; i < f->lengths.n / sizeof(*bodies); at += bodies[i++].bytes) {
        int one = gw_mw_emit(f->out, NULL, (struct gw_slice){at, bodies[i].bytes}, "rollup", f->wall_ns);

        rc = rc ? rc : one;
    }
    return rc;
}

int gw_ru_fire(struct gw_ru_shared *all, struct gw_ports *out, uint64_t mark_ns, uint64_t wall_ns)
{
    struct gw_ru_fire f = {.all = all,
                           .out = out,
                           .mark_ns = mark_ns,
                           .wall_ns = wall_ns,
                           .is_early = all->fire_early,
                           .is_full = all->fire_full};
    bool had_room = true;
    int rc;

    f.s = &all->shards[all->fire_at];
    gw_buf_init(&f.results, MAX_BODY_BYTES);
    gw_buf_init(&f.states, MAX_BODY_BYTES);
    gw_buf_init(&f.order, 1 << 20);
    gw_buf_init(&f.attrs, 1 << 20);
    gw_buf_init(&f.text, 1 << 16);
    gw_buf_init(&f.id, 1 << 20);
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
    gw_buf_clear(&f.order);
    gw_buf_clear(&f.attrs);
    gw_buf_clear(&f.text);
    gw_buf_clear(&f.id);
    gw_buf_clear(&f.bodies);
    gw_buf_clear(&f.lengths);
    if (rc < 0 && all->kept)
        all->kept->failed = true; /* nothing of it is committed */
    if (rc < 0)
        gw_log(&all->ctx->logger, GW_LOG_ERROR, "results could not be written: %s", strerror(-rc));
    if (had_room)
        all->fire_at++;
    return had_room && all->fire_at < GW_RU_N_SHARDS ? GW_MORE : GW_DONE;
}
