/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_to_cumulative: sums and histograms of delta temporality leave as totals since the first point of their series.
 *
 *     processors:
 *       delta_to_cumulative:
 *         max_stale: 10m
 *
 * A series is what is equal in resource, scope, metric and attributes; its points meet in one worker. What differs from
 * the Collector's processor is in docs/temporality.md.
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "processors/common/flatten.h"
#include "processors/common/running.h"
#include "processors/common/stream_state.h"

struct conf {
    uint64_t max_stale, max_streams;
    bool sort_points;
};

enum { SWEEP_STEP = 16384, KEEP_BATCHES = 4 };
#define SWEEP_NS (UINT64_C(60) * 1000000000)
#define NS_PER_S UINT64_C(1000000000)

enum fate { MADE, OLDER_START, OUT_OF_ORDER, LIMIT, NO_MEMORY, N_FATES };
static const char *const reasons[N_FATES] = {[OLDER_START] = "older_start",
                                             [OUT_OF_ORDER] = "out_of_order",
                                             [LIMIT] = "max_streams",
                                             [NO_MEMORY] = "memory_limit"};
static const char *const errors[N_FATES] = {[OLDER_START] = "delta.ErrOlderStart",
                                            [OUT_OF_ORDER] = "delta.ErrOutOfOrder",
                                            [LIMIT] = "limit",
                                            [NO_MEMORY] = "memory_limit"};

struct self {
    struct gw_stream_state *state; /* first: behind a journal; or NULL */
    struct gw_ctx ctx;
    const struct conf *conf;
    struct gw_streams *streams;    /* value: struct gw_running */
    struct gw_batch_pool *batches; /* whose points have new values */
    struct gw_metric *counted[N_FATES], *tracked, *limit, *max_stale;
    uint64_t n_told, now_ns, next_sweep_ns, sweep_before_ns;
};

#define C struct conf
static const struct gw_field fields[] = {
    GW_DURATION_FIELD(C, max_stale, "max_stale", "5m", 1, 1e18,
                      "Series of which no point came for that long are forgotten, which is looked at once a minute."),
    GW_U64_FIELD(C, max_streams, "max_streams", "1000000", 0, (double)INT64_MAX,
                 "Most series that are remembered, of all workers; points of others are dropped."),
    GW_BOOL_FIELD(C, sort_points, "sort_points", "true",
                  "Take the points of a metric in a request in the order of their times, so that none is out of order "
                  "because the newest one came first."),
    {0},
};
#undef C

/* ---- converting ------------------------------------------------------------------------------------------- */

static struct gw_credit *credit_of(const struct self *s)
{
    return s->ctx.host ? s->ctx.host->memory : NULL;
}

/* What a point is to its series. A point at time 0 leaves no trace of when the series was: the next is a first one. */
static enum fate add(struct self *s, struct gw_running *t, const struct gw_view *v, uint32_t row, bool *ret_first)
{
    const struct gw_batch *b = v->batch;

    *ret_first = t->time_ns == 0;
    if (*ret_first) {
        gw_running_clear(t, credit_of(s));
        return gw_running_set(t, v, row, credit_of(s)) ? MADE : NO_MEMORY;
    }
    if (b->start_ns[row] < t->start_ns)
        return OLDER_START;
    if (b->time_ns[row] <= t->time_ns)
        return OUT_OF_ORDER;
    if (!gw_running_add(t, v, row, credit_of(s)))
        return NO_MEMORY;
    t->time_ns = b->time_ns[row];
    return MADE;
}

static enum fate convert(struct self *s, struct gw_rewrite *w, uint32_t row)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct gw_series *series;
    bool is_first;
    enum fate f;

    switch (gw_streams_get(s->streams, v->batch, row, (struct gw_slice){0}, &series)) {
    case GW_STREAM_LIMIT:
        return LIMIT;
    case GW_STREAM_NO_MEMORY:
        return NO_MEMORY;
    case GW_STREAM_OLD:
    case GW_STREAM_NEW:
        break;
    }
    series->seen_ns = s->now_ns;
    f = add(s, gw_series_value(series), v, row, &is_first);
    if (f == NO_MEMORY && is_first)
        gw_streams_forget(s->streams, series);
    else if (f == MADE && !is_first)
        gw_running_write(gw_series_value(series), w, row);
    return f;
}

static void convert_row(struct self *s, struct gw_rewrite *w, uint32_t row, uint64_t n[N_FATES], struct gw_ports *out)
{
    enum fate f = convert(s, w, row);

    n[f]++;
    if (f != MADE && !w->v->failed)
        gw_view_settle_row(w->v, out->ledger, row, GW_DROPPED, reasons[f], NULL);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

struct at {
    uint64_t time_ns;
    uint32_t row;
};

static int by_time(const void *a, const void *b)
{
    const struct at *x = a, *y = b;

    return x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? -1 : 1) : x->row < y->row ? -1 : 1;
}

static bool is_sorted(const struct gw_view *v, struct gw_range rows)
{
    uint64_t last = 0;

    for (uint32_t row = gw_view_next(v, rows.begin); row < rows.end; row = gw_view_next(v, row + 1)) {
        if (v->batch->time_ns[row] < last)
            return false;
        last = v->batch->time_ns[row];
    }
    return true;
}

/* False: no memory. */
static bool convert_sorted(struct self *s, struct gw_rewrite *w, struct gw_range rows, uint64_t n[N_FATES],
                           struct gw_ports *out)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct at *order = gw_arena_alloc(v->arena, (rows.end - rows.begin) * sizeof(*order));
    uint32_t n_rows = 0;

    if (!order)
        return false;
    for (uint32_t row = gw_view_next(v, rows.begin); row < rows.end; row = gw_view_next(v, row + 1))
        order[n_rows++] = (struct at){v->batch->time_ns[row], row};
    qsort(order, n_rows, sizeof(*order), by_time);
    for (uint32_t i = 0; i < n_rows && !v->failed; i++)
        convert_row(s, w, order[i].row, n, out);
    return true;
}

static void convert_metric(struct self *s, struct gw_rewrite *w, uint32_t metric, struct gw_ports *out)
{
    struct gw_view *v = gw_rewrite_view(w);
    struct gw_range rows = v->batch->metrics[metric].rows;
    uint64_t n[N_FATES] = {0};

    if (s->conf->sort_points && !is_sorted(v, rows)) {
        if (!convert_sorted(s, w, rows, n, out))
            v->failed = true;
    } else {
        for (uint32_t row = gw_view_next(v, rows.begin); row < rows.end && !v->failed; row = gw_view_next(v, row + 1))
            convert_row(s, w, row, n, out);
    }
    for (unsigned f = 0; f < N_FATES; f++)
        gw_metric_add(s->counted[f], n[f]);
    gw_rewrite_temporality(w, metric, GW_T_CUMULATIVE);
}

/* ---- the component ---------------------------------------------------------------------------------------- */

static void tell(struct self *s)
{
    uint64_t n = s->streams ? gw_streams_n(s->streams) : 0;

    gw_metric_add(s->tracked, n - s->n_told);
    s->n_told = n;
}

static bool is_delta(const struct gw_metric_desc *m)
{
    return m->temporality == GW_T_DELTA &&
           (m->type == GW_M_SUM || m->type == GW_M_HISTOGRAM || m->type == GW_M_EXP_HISTOGRAM);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_rewrite w;

    if (gw_ss_knows(s->state)) {
        gw_emit(out, 0, v);
        return;
    }
    if (gw_view_flatten(v) < 0)
        v->failed = true;
    gw_rewrite_begin(&w, v, s->batches);
    gw_streams_begin(s->streams);
    for (uint32_t i = 0; i < v->batch->n_metrics && !v->failed; i++) {
        const struct gw_metric_desc *m = &v->batch->metrics[i];

        if (is_delta(m) && gw_view_next(v, m->rows.begin) < m->rows.end)
            convert_metric(s, &w, i, out);
    }
    gw_rewrite_end(&w);
    tell(s);
    gw_emit(out, 0, v);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t most = s->conf->max_stale;
    bool more;

    (void)out;
    if (s->state)
        return GW_DONE;
    s->now_ns = now_ns;
    if (s->next_sweep_ns == 0)
        s->next_sweep_ns = now_ns + SWEEP_NS;
    if (now_ns >= s->next_sweep_ns) {
        s->next_sweep_ns = now_ns + SWEEP_NS;
        s->sweep_before_ns = now_ns > most ? now_ns - most : 0;
        gw_streams_sweep_begin(s->streams);
    }
    more = gw_streams_sweep(s->streams, s->sweep_before_ns, SWEEP_STEP);
    tell(s);
    return more ? GW_MORE : GW_DONE;
}

static void clear_value(void *value, void *arg)
{
    gw_running_clear(value, arg);
}

/* ---- behind a journal -------------------------------------------------------------------------------------- */

static void put(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out)
{
    (void)arg;
    (void)table;
    gw_running_put(gw_series_value(s), out);
}

static bool take(void *arg, unsigned table, struct gw_series *s, struct gw_spool_in *in)
{
    const struct gw_streams *st = arg;

    (void)table;
    return gw_running_take(gw_series_value(s), in, st->conf.credit);
}

static int parted(void *self, const struct gw_parting *by, uint64_t partitions)
{
    static const struct gw_ss_ops ops = {.put = put, .take = take};
    struct self *s = self;

    if (s->state)
        s->state->partitions = partitions;
    else
        s->state = gw_ss_new(&ops, s->streams, &s->ctx, &s->streams, 1, by, partitions, 0);
    return s->state ? 0 : -ENOMEM;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct self *s = self;
    int rc;

    (void)out;
    s->now_ns = now_ns;
    gw_ss_advance(s->state, now_ns, rebuilds);
    rc = gw_ss_forget_stale(s->state, SWEEP_NS, s->conf->max_stale);
    tell(s);
    return rc;
}

static const struct gw_keep_ops keep = {.unfit = gw_ss_unfit,
                                        .parted = parted,
                                        .is_fixed = true,
                                        .share = gw_ss_keep_share,
                                        .begin = gw_ss_keep_begin,
                                        .restore = gw_ss_keep_restore,
                                        .advance = advance,
                                        .save = gw_ss_keep_save,
                                        .due_ns = gw_ss_keep_due};

/* ---- life -------------------------------------------------------------------------------------------------- */

/* Series go on where they were. */
static int adopt(void *self, void *old_self)
{
    struct self *s = self, *old = old_self;
    struct gw_streams *mine = s->streams;

    gw_ss_adopt(&s->state, &old->state, &s->ctx);
    s->now_ns = old->now_ns;
    s->streams = old->streams;
    old->streams = mine;
    s->streams->conf.max_streams = mine->conf.max_streams;
    tell(old);
    tell(s);
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_metric_add(s->tracked, 0 - s->n_told);
    gw_ss_end(s->state);
    if (s->streams)
        gw_streams_free(s->streams);
    free(s->streams);
    gw_ss_free(s->state);
    gw_batch_pool_free(s->batches);
    free(s);
}

static void make_metrics(struct self *s)
{
    struct gw_meter *m = s->ctx.meter;

    s->tracked =
        gw_meter_get(m, GW_GAUGE, "otelcol_deltatocumulative_streams_tracked", "number of streams tracked", NULL, 0);
    s->limit =
        gw_meter_get(m, GW_GAUGE, "otelcol_deltatocumulative_streams_limit", "upper limit of tracked streams", NULL, 0);
    s->max_stale = gw_meter_get(m, GW_GAUGE, "otelcol_deltatocumulative_streams_max_stale",
                                "duration after which streams inactive streams are dropped", NULL, 0);
    for (unsigned f = 0; f < N_FATES; f++) {
        struct gw_label l = {"error", errors[f]};

        s->counted[f] = gw_meter_get(
            m, GW_COUNTER, "otelcol_deltatocumulative_datapoints",
            "total number of datapoints processed. may have 'error' attribute, if processing failed", &l, f != MADE);
    }
    gw_metric_set(s->limit, s->conf->max_streams);
    gw_metric_set(s->max_stale, s->conf->max_stale / NS_PER_S);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = *ctx;
    s->conf = c;
    s->now_ns = gw_mono_ns(ctx->env);
    s->streams = calloc(1, sizeof(*s->streams));
    s->batches = gw_batch_pool_new(KEEP_BATCHES);
    if (!s->streams || !s->batches) {
        destroy(s);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    gw_streams_init(s->streams, &(struct gw_streams_conf){.value_bytes = sizeof(struct gw_running),
                                                          .max_streams = gw_ss_share(ctx, c->max_streams),
                                                          .credit = credit_of(s),
                                                          .clear_value = clear_value,
                                                          .arg = credit_of(s),
                                                          .scope_attrs = true});
    make_metrics(s);
    *ret = s;
    return 0;
}

const struct gw_component gw_processor_delta_to_cumulative = {
    .kind = GW_PROCESSOR,
    .name = "delta_to_cumulative",
    .aliases = (const char *const[]){"deltatocumulative", NULL},
    .summary = "Turn delta sums and histograms into totals.",
    .signals = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .writes = GW_C_ROW | GW_C_BODY,
    .partition_by = "series",
    .expands = 8,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .adopt = adopt,
    .keep = &keep,
};
