/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interval: of each series the last point leaves, once every interval.
 *
 *     processors:
 *       interval:
 *         interval: 60s
 *         pass_through: { gauge: true }
 *
 * A series is what is equal in resource, scope, metric and attributes; its points meet in one worker, each of which has
 * a clock of its own. What differs from the Collector's processor is in docs/temporality.md.
 */
#include "processors/interval/interval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "processors/common/flatten.h"

struct pass_conf {
    bool gauge, summary, delta;
};

struct conf {
    uint64_t interval, max_streams;
    struct pass_conf pass_through;
};

enum { KEEP_BATCHES = 4, MAX_BODY_BYTES = INT32_MAX, KEEP_BODY_BYTES = 1 << 20 };

struct self {
    struct gw_stream_state *state; /* first: behind a journal; or NULL */
    bool has_left;                 /* what is due at this step; streams without a point still have to go */
    struct gw_ctx ctx;
    const struct conf *conf;
    struct gw_iv_store *store;
    struct gw_batch_pool *batches;
    struct gw_buf body;
    struct gw_metric *streams, *passed[GW_IV_OTHER_BOUNDS + 1];
    uint64_t n_told, now_ns, next_ns; /* next_ns: 0, not known yet */
};

static const char *const reasons[] = {
    [GW_IV_LIMIT] = "max_streams", [GW_IV_NO_MEMORY] = "memory_limit", [GW_IV_OTHER_BOUNDS] = "bucket_mismatch"};

#define C struct pass_conf
static const struct gw_field pass_fields[] = {
    GW_BOOL_FIELD(C, gauge, "gauge", "false", "Gauges leave as they come."),
    GW_BOOL_FIELD(C, summary, "summary", "false", "Summaries leave as they come."),
    GW_BOOL_FIELD(C, delta, "delta", "true",
                  "Sums that only grow and histograms of delta temporality leave as they come; false: the sum of a "
                  "series' points leaves once every interval."),
    {0},
};
#undef C
#define C struct conf
static const struct gw_field fields[] = {
    GW_DURATION_FIELD(C, interval, "interval", "60s", 1, 1e18, "How often the last points leave."),
    GW_BLOCK_FIELD(C, pass_through, "pass_through", pass_fields, "What is not held back."),
    GW_U64_FIELD(C, max_streams, "max_streams", "1000000", 1, UINT32_MAX,
                 "Most series that are remembered, of all workers; points of others leave as they come."),
    {0},
};
#undef C

/* ---- in --------------------------------------------------------------------------------------------------- */

enum how { PASSES, LAST, SUM };

static enum how how_of(const struct self *s, const struct gw_metric_desc *m)
{
    enum how of_delta = s->conf->pass_through.delta ? PASSES : SUM;

    switch ((enum gw_metric_type)m->type) {
    case GW_M_GAUGE:
        return s->conf->pass_through.gauge ? PASSES : LAST;
    case GW_M_SUMMARY:
        return s->conf->pass_through.summary ? PASSES : LAST;
    case GW_M_SUM:
        if (!m->monotonic)
            return PASSES;
        break;
    case GW_M_HISTOGRAM:
    case GW_M_EXP_HISTOGRAM:
        break;
    case GW_M_NONE:
        return PASSES;
    }
    return m->temporality == GW_T_CUMULATIVE ? LAST : m->temporality == GW_T_DELTA ? of_delta : PASSES;
}

static void tell(struct self *s)
{
    uint64_t n = s->store ? gw_streams_n(s->store->streams) : 0;

    gw_metric_add(s->streams, n - s->n_told);
    s->n_told = n;
}

/* Rows of the metric that are kept are set in `taken`. Returns how many. */
static uint32_t take_metric(struct self *s, const struct gw_view *v, const struct gw_metric_desc *m, enum how how,
                            uint64_t *taken)
{
    uint32_t n = 0;

    for (uint32_t row = gw_view_next(v, m->rows.begin); row < m->rows.end; row = gw_view_next(v, row + 1)) {
        enum gw_iv_fate f = gw_iv_take(s->store, v, row, how == SUM, s->now_ns);

        if (f != GW_IV_TAKEN) {
            gw_metric_add(s->passed[f], 1);
            continue;
        }
        taken[row / 64] |= UINT64_C(1) << row % 64;
        n++;
    }
    return n;
}

static void take(struct self *s, struct gw_view *v, struct gw_ports *out)
{
    size_t words = (v->batch->n_rows + 63) / 64;
    uint64_t *taken = gw_arena_alloc(v->arena, (words + 1) * sizeof(*taken));
    uint32_t n = 0;

    if (!taken) {
        v->failed = true;
        return;
    }
    memset(taken, 0, words * sizeof(*taken));
    gw_iv_begin(s->store);
    for (uint32_t i = 0; i < v->batch->n_metrics; i++) {
        const struct gw_metric_desc *m = &v->batch->metrics[i];
        enum how how = how_of(s, m);

        if (how != PASSES)
            n += take_metric(s, v, m, how, taken);
    }
    if (n)
        gw_view_settle_rows(v, out->ledger, taken, GW_ABSORBED, "interval", NULL);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;

    if (gw_ss_knows(s->state)) {
        gw_emit(out, 0, v);
        return;
    }
    if (gw_view_flatten(v) < 0)
        v->failed = true;
    if (!v->failed)
        take(s, v, out);
    tell(s);
    gw_emit(out, 0, v);
}

/* ---- out -------------------------------------------------------------------------------------------------- */

/* One request. Errors: negative; what is due stays due. */
static int let_go(struct self *s, struct gw_ports *out)
{
    struct gw_view v;
    int rc = gw_iv_flush(s->store, &s->body, out->arena, s->batches, &v);

    if (s->body.cap > KEEP_BODY_BYTES)
        gw_buf_clear(&s->body);
    if (rc < 0) {
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "points could not be written: %s", strerror(-rc));
        return rc;
    }
    v.batch->received_ns = gw_wall_ns(s->ctx.env);
    v.batch->receiver = "interval";
    gw_emit(out, 0, &v);
    return 0;
}

static void begin_when_due(struct self *s, uint64_t now_ns)
{
    uint64_t interval = s->conf->interval;

    if (s->next_ns == 0)
        s->next_ns = now_ns + interval;
    if (now_ns < s->next_ns || !gw_iv_flush_begin(s->store, now_ns))
        return;
    s->next_ns += interval;
    if (s->next_ns <= now_ns) /* those that were missed are missed */
        s->next_ns = now_ns + interval;
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    size_t bytes;
    uint32_t n;
    bool more = false;

    if (s->state)
        return GW_DONE;
    s->now_ns = now_ns;
    if (!gw_iv_is_flushing(s->store))
        begin_when_due(s, now_ns);
    if (gw_iv_is_flushing(s->store)) {
        n = gw_iv_next(s->store, &bytes);
        if (!gw_has_room(out, n, bytes))
            return GW_DONE; /* they wait, and newer points take their places */
        more = let_go(s, out) == 0;
    }
    more |= gw_iv_sweep(s->store);
    tell(s);
    return more ? GW_MORE : GW_DONE;
}

/* Everything leaves: nobody will come for it. */
static int drain(void *self, struct gw_ports *out)
{
    struct self *s = self;

    if (s->state) /* it is in the log */
        return GW_DONE;
    if (!gw_iv_is_flushing(s->store) && !gw_iv_flush_begin(s->store, s->now_ns))
        return GW_MORE;
    if (!gw_iv_is_flushing(s->store))
        return GW_DONE;
    (void)let_go(s, out);
    tell(s);
    return GW_MORE;
}

/* ---- behind a journal -------------------------------------------------------------------------------------- */

static int parted(void *self, const struct gw_parting *by, uint64_t partitions)
{
    struct self *s = self;

    if (s->state)
        s->state->partitions = partitions;
    else
        s->state = gw_ss_new(&gw_iv_state, s->store, &s->ctx, &s->store->streams, 1, by, partitions, 0);
    return s->state ? 0 : -ENOMEM;
}

/* Streams that were seen before the last time have no point any more. */
static uint64_t before_ns(const struct gw_stream_state *state, uint64_t partitions)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if ((partitions >> i & 1) && state->done_ns[i] < least)
            least = state->done_ns[i];
    return least;
}

/* All that is due leaves, before the step goes on. */
static int flush(struct self *s, uint64_t partitions, struct gw_ports *out)
{
    size_t bytes;
    uint32_t n;

    if (!gw_iv_is_flushing(s->store)) {
        s->store->partitions = s->store->streams->sweep_partitions = partitions;
        if (!gw_iv_flush_begin(s->store, s->now_ns))
            return GW_MORE;
        s->store->before_ns = before_ns(s->state, partitions);
    }
    while (gw_iv_is_flushing(s->store)) {
        n = gw_iv_next(s->store, &bytes);
        if (!gw_has_room(out, n, bytes) || let_go(s, out) == -ENOMEM)
            return GW_MORE;
    }
    return GW_DONE;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t partitions, at;

    s->now_ns = now_ns;
    gw_ss_advance(s->state, now_ns, rebuilds);
    at = gw_ss_due(s->state, s->conf->interval, &partitions);
    if (!at)
        return GW_DONE;
    if (!s->has_left && flush(s, partitions, out) == GW_MORE)
        return GW_MORE;
    s->has_left = true;
    if (gw_iv_sweep(s->store))
        return GW_MORE;
    s->has_left = false;
    gw_ss_done(s->state, at);
    tell(s);
    return GW_DONE;
}

static uint64_t due_ns(const void *self)
{
    const struct self *s = self;
    uint64_t interval = s->conf->interval;

    return s->store->n_points ? (s->now_ns / interval + 1) * interval : UINT64_MAX;
}

static const struct gw_keep_ops keep = {.unfit = gw_ss_unfit,
                                        .parted = parted,
                                        .is_fixed = true,
                                        .share = gw_ss_keep_share,
                                        .begin = gw_ss_keep_begin,
                                        .restore = gw_ss_keep_restore,
                                        .advance = advance,
                                        .save = gw_ss_keep_save,
                                        .due_ns = due_ns};

/* ---- life ------------------------------------------------------------------------------------------------- */

/* Points go on waiting, as long as they would have. */
static int adopt(void *self, void *old_self)
{
    struct self *s = self, *old = old_self;
    struct gw_iv_store *mine = s->store;

    gw_ss_adopt(&s->state, &old->state, &s->ctx);
    s->now_ns = old->now_ns;
    s->store = old->store;
    old->store = mine;
    s->has_left = old->has_left;
    s->store->streams->conf.max_streams = mine->streams->conf.max_streams;
    if (s->conf->interval == old->conf->interval)
        s->next_ns = old->next_ns;
    tell(old);
    tell(s);
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_metric_add(s->streams, 0 - s->n_told);
    gw_ss_end(s->state);
    if (s->store)
        gw_iv_free(s->store);
    free(s->store);
    gw_ss_free(s->state);
    gw_batch_pool_free(s->batches);
    gw_buf_clear(&s->body);
    free(s);
}

static void make_metrics(struct self *s)
{
    struct gw_meter *m = s->ctx.meter;

    s->streams =
        gw_meter_get(m, GW_GAUGE, "staunch_interval_streams", "Series that are remembered by interval.", NULL, 0);
    for (unsigned f = GW_IV_LIMIT; f <= GW_IV_OTHER_BOUNDS; f++)
        s->passed[f] = gw_meter_get(m, GW_COUNTER, "staunch_interval_passed_points",
                                    "Points that left as they came because they could not be held back, by reason.",
                                    &(struct gw_label){"reason", reasons[f]}, 1);
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
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    s->store = calloc(1, sizeof(*s->store));
    s->batches = gw_batch_pool_new(KEEP_BATCHES);
    if (!s->store || !s->batches ||
        gw_iv_init(s->store, gw_ss_share(ctx, c->max_streams), ctx->host ? ctx->host->memory : NULL) < 0) {
        destroy(s);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    make_metrics(s);
    *ret = s;
    return 0;
}

const struct gw_component gw_processor_interval = {
    .kind = GW_PROCESSOR,
    .name = "interval",
    .summary = "Let the last point of each series go on, once every interval.",
    .signals = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .writes = GW_C_ROW | GW_C_BODY,
    .partition_by = "series",
    .expands = 2,
    .holds = true,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .adopt = adopt,
    .keep = &keep,
};
