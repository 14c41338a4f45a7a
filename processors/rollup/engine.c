/* SPDX-License-Identifier: Apache-2.0 */
/* What processor and connector have in common: rows in, results out, lives. */
#include "processors/rollup/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_LATE = 1, MAX_KEYS_BYTES = 1 << 28, KEEP_KEYS_BYTES = 4 << 20 };

const char *const gw_ru_ports[] = {"late", "dead_letter", NULL};

struct self {
    struct gw_ctx ctx;
    struct gw_ru_shared *shared, *all; /* all: where its rows go; the shared one, or the worker's own */
    struct gw_ottl *where;
    struct gw_buf keys;
    struct gw_watermark mark;
    struct gw_metric *where_failed;
    bool is_drained;
};

/* ---- what is shared --------------------------------------------------------------------------------------------- */

/* Samples have no points: they are on those of sums and histograms, or of the first one when there are none of these.
 */
static void set_shown(struct gw_ru_shared *all)
{
    static const unsigned fns = 1u << GW_AGG_SUM | 1u << GW_AGG_HISTOGRAM | 1u << GW_AGG_EXPONENTIAL;
    unsigned others = 0;

    for (unsigned i = 0; i < all->n_specs; i++) {
        all->has_samples |= all->specs[i].fn == GW_AGG_SAMPLES;
        all->shown_on |= (fns >> all->specs[i].fn & 1) << i;
        others |= (unsigned)(all->specs[i].fn != GW_AGG_SAMPLES) << i;
    }
    if (!all->shown_on)
        all->shown_on = others & -others;
    if (!all->has_samples)
        all->shown_on = 0;
}

static int set_specs(struct gw_ru_shared *all, struct gw_err *err)
{
    const struct gw_ru_conf *c = all->conf;
    bool counts = c->value.from == GW_RU_COUNT || (c->value.from == GW_RU_AUTO && all->ctx->signal == GW_LOGS);

    for (size_t i = 0; i < c->aggregates.n && i < GW_RU_MAX_SPECS; i++) {
        all->names[i] = ((const char *const *)c->aggregates.items)[i];
        if (gw_ru_spec_of(all->names[i], &all->specs[i]))
            all->n_specs++;
        all->specs[i].item_key = gw_slice_cstr(c->item);
        all->has_items |= gw_ru_needs_item(&all->specs[i]);
    }
    for (enum gw_agg_fn f = GW_AGG_COUNT; !c->aggregates.n && f <= (counts ? GW_AGG_COUNT : GW_AGG_MAX); f++) {
        all->names[all->n_specs] = gw_agg_names[f];
        all->specs[all->n_specs++].fn = f;
    }
    set_shown(all);
    return gw_agg_plan_make(&all->plan, all->specs, all->n_specs, err);
}

static void set_metrics(struct gw_ru_shared *all)
{
    const struct gw_label l[] = {{"component", all->ctx->id}, {"signal", gw_signal_name(all->ctx->signal)}};
    struct gw_meter *m = all->ctx->meter;

    all->series = gw_meter_get(m, GW_GAUGE, "staunch_rollup_series", "Series that have an open window.", l, 2);
    all->open_panes = gw_meter_get(m, GW_GAUGE, "staunch_rollup_panes", "Open panes of all series and windows.", l, 2);
    all->bytes = gw_meter_get(m, GW_GAUGE, "staunch_rollup_state_bytes", "Memory of all that is open.", l, 2);
    all->streams =
        gw_meter_get(m, GW_GAUGE, "staunch_rollup_streams", "Counters whose last point is remembered.", l, 2);
    all->watermark = gw_meter_get(m, GW_GAUGE, "staunch_rollup_watermark_timestamp_seconds",
                                  "The watermark: no record before it is waited for, but for the lateness.", l, 2);
    all->lag =
        gw_meter_get(m, GW_GAUGE, "staunch_rollup_watermark_lag_seconds", "How far the watermark is behind.", l, 2);
    all->late = gw_meter_get(m, GW_COUNTER, "staunch_rollup_late_items", "Items too late for every window.", l, 2);
    all->missed = gw_meter_get(m, GW_COUNTER, "staunch_rollup_missed_windows",
                               "Windows that missed an item which another one took.", l, 2);
    all->overflow = gw_meter_get(m, GW_COUNTER, "staunch_rollup_overflow_items",
                                 "Items that were aggregated as otel.metric.overflow.", l, 2);
    all->lost = gw_meter_get(m, GW_COUNTER, "staunch_rollup_lost_values",
                             "Values that found no memory in a histogram, but are in the numbers.", l, 2);
    all->results = gw_meter_get(m, GW_COUNTER, "staunch_rollup_results", "Windows of series that were told.", l, 2);
    if (all->watermark)
        all->watermark->scale = 1e-9;
    if (all->lag)
        all->lag->scale = 1e-9;
}

int gw_ru_state_new(struct gw_ru_shared **ret, const struct gw_ctx *ctx, const void *conf, struct gw_ru_kept *kept,
                    struct gw_err *err)
{
    struct gw_ru_shared *all = calloc(1, sizeof(*all));
    unsigned n = ctx->n_workers ? ctx->n_workers : 1;
    int rc = 0;

    if (!all)
        return gw_fail(err, -ENOMEM, "out of memory");
    all->ctx = ctx;
    all->conf = conf;
    all->kept = kept;
    all->max_series = (all->conf->max_series + (kept ? n - 1 : 0)) / (kept ? n : 1);
    all->max_bytes = all->conf->max_bytes / (kept ? n : 1);
    all->fire_at = GW_RU_N_SHARDS;
    all->mark_conf = (struct gw_watermark_conf){all->conf->time.bounded_delay_ns, all->conf->time.idle_timeout_ns};
    (void)pthread_mutex_init(&all->fire_lock, NULL);
    if (set_specs(all, err) < 0) {
        free(all);
        return -EINVAL;
    }
    gw_ru_windows_set(all);
    all->begin_ns = gw_wall_ns(ctx->env);
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++)
        rc |= gw_ru_shard_init(&all->shards[i], all);
    all->marks = calloc(1, sizeof(*all->marks) + n * sizeof(all->marks->of[0]));
    all->kept_of = calloc(n, sizeof(*all->kept_of));
    if (rc < 0 || !all->marks || !all->kept_of) {
        all->kept = NULL; /* the caller's */
        gw_ru_destroy_shared(all);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    all->marks->n = n;
    set_metrics(all);
    *ret = all;
    return 0;
}

int gw_ru_create_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_ru_shared *all = NULL;
    int rc = gw_ru_state_new(&all, ctx, conf, NULL, err);

    *ret = all;
    return rc;
}

struct gw_ru_shared *gw_ru_state_of(void *self)
{
    return ((struct self *)self)->all;
}

int gw_ru_state_part(void *self, struct gw_ru_kept *kept)
{
    struct self *s = self;
    struct gw_ru_shared *own;
    struct gw_err ignored;
    int rc = gw_ru_state_new(&own, s->shared->ctx, s->shared->conf, kept, &ignored);

    if (rc < 0)
        return rc;
    atomic_store(&s->shared->kept_of[s->ctx.worker], own);
    s->all = own;
    return 0;
}

void gw_ru_destroy_shared(void *shared)
{
    struct gw_ru_shared *all = shared;
    unsigned n = all->ctx->n_workers ? all->ctx->n_workers : 1;

    for (unsigned i = 0; all->kept_of && i < n; i++)
        if (atomic_load(&all->kept_of[i]))
            gw_ru_destroy_shared(atomic_load(&all->kept_of[i]));
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++)
        gw_ru_shard_clear(&all->shards[i], all);
    gw_ru_kept_free(all->kept);
    free(all->kept_of);
    (void)pthread_mutex_destroy(&all->fire_lock);
    free(all->marks);
    free(all);
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static void mark(uint64_t *bitmap, uint32_t row)
{
    bitmap[row / 64] |= UINT64_C(1) << row % 64;
}

/* Where the rows of a view end up. */
struct fates {
    uint64_t *taken, *late, *refused;
    uint32_t n_taken, n_late, n_refused;
    uint32_t *full; /* rows that found no room */
    uint32_t n_full;
    uint64_t n_missed;
};

static void add_to_shard(struct gw_ru_input *in, struct gw_ru_shared *all, unsigned shard, bool is_overflow,
                         struct fates *to)
{
    struct gw_ru_shard *s = &all->shards[shard];
    uint64_t now;

    (void)pthread_mutex_lock(&s->lock);
    now = gw_watermarks_now(all->marks);
    for (uint32_t at = in->heads[shard], next; at; at = next) {
        struct gw_ru_row *r = &in->rows[at - 1];
        enum gw_ru_fate fate;
        unsigned missed;

        next = r->next;
        fate = gw_ru_shard_add(all, s, r, in->keys->p + r->key_at, now, is_overflow, &missed);
        if (fate == GW_RU_TAKEN) {
            mark(to->taken, r->row);
            to->n_taken++;
            to->n_missed += missed;
        } else if (fate == GW_RU_LATE) {
            r->hash = now; /* it is of no more use: what it was too late for */
            mark(to->late, r->row);
            to->n_late++;
        } else if (is_overflow) {
            mark(to->refused, r->row);
            to->n_refused++;
        } else {
            to->full[to->n_full++] = at - 1;
        }
    }
    gw_ru_shard_unlock(all, s);
    in->heads[shard] = 0;
}

static void add_all(struct gw_ru_input *in, struct gw_ru_shared *all, bool is_overflow, struct fates *to)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++)
        if (in->heads[i])
            add_to_shard(in, all, i, is_overflow, to);
}

static void add_overflow(struct gw_ru_input *in, struct gw_ru_shared *all, struct fates *to)
{
    uint32_t n = to->n_full, before = to->n_taken;

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!gw_ru_input_overflow(in, &in->rows[to->full[i]])) {
            mark(to->refused, in->rows[to->full[i]].row);
            to->n_refused++;
        }
    add_all(in, all, true, to);
    gw_metric_add(all->overflow, to->n_taken - before);
}

/*
 * Behind a journal it follows from the order of rows in their partition which of them find no room, and not from the
 * shards that they go to, or how they are put together.
 */
static void add_in_order(struct gw_ru_input *in, struct gw_ru_shared *all, struct fates *to)
{
    for (uint32_t i = 0; i < in->n_rows; i++) {
        gw_ru_input_only(in, i);
        add_all(in, all, false, to);
        add_overflow(in, all, to);
        to->n_full = 0;
    }
}

static bool may_be_full(const struct gw_ru_shared *all, uint32_t n_rows)
{
    return atomic_load(&all->n_series) + n_rows > all->max_series;
}

static bool prepare(struct gw_ru_input *in, struct fates *to)
{
    struct gw_arena *a = in->v->arena;
    size_t words = (in->v->batch->n_rows + 63) / 64;

    in->rows = gw_arena_alloc(a, (in->v->n_rows + 1) * sizeof(*in->rows));
    to->taken = gw_arena_zalloc(a, words * sizeof(uint64_t));
    to->late = gw_arena_zalloc(a, words * sizeof(uint64_t));
    to->refused = gw_arena_zalloc(a, words * sizeof(uint64_t));
    to->full = gw_arena_alloc(a, (in->v->n_rows + 1) * sizeof(*to->full));
    return in->rows && to->taken && to->late && to->refused && to->full;
}

/* ---- late rows -------------------------------------------------------------------------------------------------- */

static void write_lateness(struct gw_view *v, const struct gw_ru_row *r)
{
    struct gw_value watermark = {.type = GW_V_INT, .i = (int64_t)r->hash};
    struct gw_value late = {.type = GW_V_INT, .i = (int64_t)((r->hash - r->time_ns) / 1000000)};

    gw_view_attr_set(v, GW_OWN_ROW, r->row, GW_SLICE("rollup.watermark"), &watermark);
    gw_view_attr_set(v, GW_OWN_ROW, r->row, GW_SLICE("rollup.lateness_ms"), &late);
}

/* They go their own way, in a view of their own, when the port leads anywhere. */
static void let_late_go(struct self *s, struct gw_ru_input *in, struct gw_view *v, const struct fates *f,
                        struct gw_ports *out)
{
    struct gw_view late;

    if (in->comes_again)
        return; /* they went there */
    gw_metric_add(s->all->late, f->n_late);
    if (!gw_port_is_wired(out, PORT_LATE)) {
        gw_view_settle_rows(v, out->ledger, f->late, GW_DROPPED, "late", NULL);
        return;
    }
    if (gw_view_clone(v, v->arena, &late) < 0) {
        gw_view_settle_rows(v, out->ledger, f->late, GW_REFUSED, "memory_limit", "out of memory");
        return;
    }
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = gw_view_next(v, row + 1))
        late.failed |= gw_view_remove(f->late[row / 64] >> row % 64 & 1 ? v : &late, row) < 0;
    for (uint32_t i = 0; i < in->n_rows; i++)
        if (f->late[in->rows[i].row / 64] >> in->rows[i].row % 64 & 1)
            write_lateness(&late, &in->rows[i]);
    gw_emit(out, PORT_LATE, &late);
}

/* Rows that come when it was thought that none would come any more. */
static void wake(struct self *s)
{
    (void)pthread_mutex_lock(&s->all->fire_lock);
    s->is_drained = false;
    s->all->n_drained--;
    if (s->all->fire_ns == UINT64_MAX) {
        s->all->fire_ns = 0;
        s->all->fire_at = GW_RU_N_SHARDS;
    }
    (void)pthread_mutex_unlock(&s->all->fire_lock);
}

static void watch(struct self *s, const struct gw_ru_input *in)
{
    uint64_t now = gw_mono_ns(s->ctx.env), at;
    bool by_ingest = s->all->conf->time.watermark == GW_RU_INGEST, active;

    if (s->all->kept) {
        gw_ru_kept_watch(s->all->kept, in->top_ns);
        return;
    }
    if (by_ingest || in->top_ns)
        gw_watermark_observe(&s->mark, in->v->batch->receiver, by_ingest ? in->v->batch->received_ns : in->top_ns, now);
    at = gw_watermark_of(&s->mark, &s->all->mark_conf, now, &active);
    (void)gw_watermarks_set(s->all->marks, s->ctx.worker, at, active);
}

static void settle(struct self *s, struct gw_ru_input *in, struct gw_view *v, const struct fates *f,
                   struct gw_ports *out)
{
    gw_metric_add(s->all->missed, f->n_missed);
    gw_metric_add(s->where_failed, in->n_where_failed);
    if (f->n_taken)
        gw_view_settle_rows(v, out->ledger, f->taken, GW_ABSORBED, "rollup", NULL);
    if (f->n_refused)
        gw_view_settle_rows(v, out->ledger, f->refused, GW_REFUSED, "memory_limit", "no memory for another series");
    if (f->n_late)
        let_late_go(s, in, v, f, out);
}

void gw_ru_consume(void *self, struct gw_view *v, struct gw_ports *out, bool passes_on)
{
    struct self *s = self;
    struct gw_ru_input in = {.all = s->all, .v = v, .where = s->where, .keys = &s->keys, .passes_on = passes_on};
    struct fates f = {0};

    in.now_ns = s->all->kept ? s->all->kept->now_ns : v->batch->received_ns;
    in.comes_again = s->all->kept && s->all->kept->rebuilds;
    if (s->is_drained)
        wake(s);
    gw_buf_reset(&s->keys);
    if (!prepare(&in, &f) || !gw_ru_input_read(&in, out)) {
        gw_view_settle_all(v, out->ledger, GW_REFUSED, "memory_limit", "out of memory");
        gw_view_clear(v);
        return;
    }
    if (s->all->kept && may_be_full(s->all, in.n_rows))
        add_in_order(&in, s->all, &f);
    else
        add_all(&in, s->all, false, &f);
    add_overflow(&in, s->all, &f);
    watch(s, &in);
    settle(s, &in, v, &f, out);
    if (s->keys.cap > KEEP_KEYS_BYTES)
        gw_buf_clear(&s->keys);
    if (passes_on && !in.comes_again) {
        gw_emit(out, 0, v);
        return;
    }
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, in.comes_again ? "rollup" : "not_selected", NULL);
    gw_view_clear(v);
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

static void tell(struct gw_ru_shared *all, uint64_t mark_ns, uint64_t wall_ns)
{
    gw_metric_set(all->series, atomic_load(&all->n_series));
    gw_metric_set(all->open_panes, atomic_load(&all->n_panes));
    gw_metric_set(all->streams, atomic_load(&all->n_streams));
    gw_metric_set(all->bytes, atomic_load(&all->held_bytes));
    gw_metric_set(all->watermark, mark_ns);
    gw_metric_set(all->lag, mark_ns && wall_ns > mark_ns ? wall_ns - mark_ns : 0);
}

/* Of all workers' states: the slowest one says how far time is. */
static void tell_kept(const struct self *s)
{
    struct gw_ru_shared *all = s->shared;
    uint64_t least = UINT64_MAX, series = 0, panes = 0, streams = 0, bytes = 0;

    for (unsigned i = 0; i < s->ctx.n_workers; i++) {
        struct gw_ru_shared *one = atomic_load(&all->kept_of[i]);
        uint64_t mark = one ? gw_watermarks_now(one->marks) : UINT64_MAX;

        if (!one)
            continue;
        series += atomic_load(&one->n_series);
        panes += atomic_load(&one->n_panes);
        streams += atomic_load(&one->n_streams);
        bytes += atomic_load(&one->held_bytes);
        least = mark < least ? mark : least;
    }
    atomic_store(&all->n_series, series);
    atomic_store(&all->n_panes, panes);
    atomic_store(&all->n_streams, streams);
    atomic_store(&all->held_bytes, bytes);
    tell(all, least == UINT64_MAX ? 0 : least, gw_wall_ns(s->ctx.env));
}

int gw_ru_tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_ru_shared *all = s->all;
    uint64_t wall_ns = gw_wall_ns(s->ctx.env), at;
    int rc = GW_DONE;
    bool active;

    if (all->kept) {
        tell_kept(s);
        return GW_DONE;
    }
    at = gw_watermark_of(&s->mark, &all->mark_conf, now_ns, &active);
    at = gw_watermarks_set(all->marks, s->ctx.worker, at, active);
    if (pthread_mutex_trylock(&all->fire_lock))
        return GW_DONE; /* another worker is at it */
    if (all->fire_at == GW_RU_N_SHARDS && gw_ru_windows_due(all, all->fire_ns, at)) {
        all->fire_early = gw_ru_is_early(all, all->fire_ns, at);
        all->fire_full = gw_ru_windows_end(all, all->fire_ns, at);
        all->fire_ns = at;
        all->fire_at = 0;
    }
    if (all->fire_at < GW_RU_N_SHARDS)
        rc = gw_ru_fire(all, out, all->fire_ns, wall_ns);
    tell(all, at, wall_ns);
    (void)pthread_mutex_unlock(&all->fire_lock);
    return rc;
}

/* The last of those that share the state tells all that is open: nobody will come for it. */
int gw_ru_drain(void *self, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_ru_shared *all = s->all;
    int rc = GW_DONE;

    if (all->kept)
        return GW_DONE; /* it is in the log */
    (void)pthread_mutex_lock(&all->fire_lock);
    if (!s->is_drained) {
        s->is_drained = true;
        all->n_drained++;
    }
    if (all->n_drained == all->n_instances && all->fire_ns != UINT64_MAX) {
        all->fire_early = false;
        all->fire_full = true;
        all->fire_ns = UINT64_MAX;
        all->fire_at = 0;
    }
    if (all->fire_ns == UINT64_MAX && all->fire_at < GW_RU_N_SHARDS) {
        (void)gw_ru_fire(all, out, UINT64_MAX, gw_wall_ns(s->ctx.env));
        rc = GW_MORE; /* and what is behind has to let it go, too */
    }
    (void)pthread_mutex_unlock(&all->fire_lock);
    return rc;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

void gw_ru_destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    (void)pthread_mutex_lock(&s->shared->fire_lock);
    s->shared->n_instances--;
    s->shared->n_drained -= s->is_drained;
    (void)pthread_mutex_unlock(&s->shared->fire_lock);
    gw_ottl_free(s->where);
    gw_buf_clear(&s->keys);
    free(s);
}

int gw_ru_create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct gw_ru_conf *c = conf;
    const struct gw_label l[] = {{"component", ctx->id}, {"signal", gw_signal_name(ctx->signal)}};
    enum gw_ottl_context context = ctx->signal == GW_METRICS  ? GW_OTTL_DATAPOINT
                                   : ctx->signal == GW_TRACES ? GW_OTTL_SPAN
                                                              : GW_OTTL_LOG;
    struct self *s = calloc(1, sizeof(*s));
    struct gw_ottl_fault fault;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = *ctx;
    s->shared = ctx->shared;
    s->all = atomic_load(&s->shared->kept_of[ctx->worker]);
    if (!s->all)
        s->all = s->shared;
    (void)pthread_mutex_lock(&s->shared->fire_lock);
    s->shared->n_instances++;
    (void)pthread_mutex_unlock(&s->shared->fire_lock);
    *ret = s;
    gw_buf_init(&s->keys, MAX_KEYS_BYTES);
    s->where_failed = gw_meter_get(ctx->meter, GW_COUNTER, "staunch_rollup_where_failed_items",
                                   "Items of which `where` could not be judged.", l, 2);
    if ((c->value.from == GW_RU_DURATION && ctx->signal != GW_TRACES) ||
        (c->value.from == GW_RU_METRIC && ctx->signal != GW_METRICS) ||
        (c->value.from == GW_RU_BODY && ctx->signal != GW_LOGS))
        return gw_fail(err, -EINVAL, "value: %s have no such value", gw_signal_name(ctx->signal));
    if (*c->where && gw_ottl_condition_new(gw_slice_cstr(c->where), context, ctx->env, &s->where, &fault) < 0)
        return gw_fail(err, -EINVAL, "where: %s", fault.text);
    return 0;
}
