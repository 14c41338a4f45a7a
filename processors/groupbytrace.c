/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groupbytrace: spans wait for the others of their trace, and leave together.
 *
 *     processors:
 *       groupbytrace: { wait_duration: 10s, num_traces: 100000 }
 *
 * A trace leaves when wait_duration is over since its first span; later spans of it wait anew. When there are too many,
 * or they hold too much, the oldest leaves early, with what is there of it; the Collector's loses it. Spans without a
 * trace id do not wait.
 */
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "processors/common/traces.h"

enum { BATCH_SPANS = 8192, BATCH_BYTES = 4 << 20, KEEP_BATCHES = 4, RUN_ROWS = 256 };
enum { MAX_TRACE_BYTES = 32 << 20 }; /* a longer one leaves in parts: servers take up to 64 MiB */
enum { MAX_BODY_BYTES = 1 << 30 };   /* the parts of one trace, and what stands before it */
enum { BATCHES_A_TURN = 16 };        /* of released spans: then others have their turn */
enum { COOL_BYTES = 8 << 20 };       /* to be packed in a tick: 7 ms */
#define TICK_NS UINT64_C(100000000)  /* as often as the runtime asks */

struct conf {
    uint64_t wait_duration_ns, num_traces, num_workers, max_bytes;
    bool discard_orphans, store_on_disk;
    int compress;
};
enum { NONE, LZ4 };
static const char *const compressions[] = {"none", "lz4", NULL};

struct facts {
    const char *receiver; /* of its first span */
    bool has_root;
};

struct self {
    struct gw_ctx ctx;
    const struct conf *conf;
    struct gw_traces *traces;
    struct gw_batch_pool *pool;
    struct gw_buf body; /* released traces that have not left yet */
    uint32_t n_body_spans, n_batches /* since the turn began */;
    uint64_t oldest_ns; /* of the body */
    const char *receiver;
    uint64_t n_told; /* traces, as the gauge has them */
    struct gw_metric *spans_released, *traces_released, *evicted, *in_memory, *held;
    uint64_t held_told;
};

static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct conf, wait_duration_ns, "wait_duration", "1s", 0, 0,
                      "How long a trace waits for more spans, from its first."),
    GW_U64_FIELD(struct conf, num_traces, "num_traces", "1000000", 1, 4e9,
                 "Traces that wait, in all workers together; over that the oldest leaves early."),
    {GW_FIELD_(struct conf, num_workers, "num_workers", GW_F_U64, "1", 1, 1e6, "The workers are the gateway's."),
     .flags = GW_FF_NO_EFFECT},
    GW_U64_FIELD(struct conf, max_bytes, "max_bytes", "536870912", 1 << 20, 1e15,
                 "Memory of all that waits, in all workers together; over that the oldest leaves early."),
    GW_ENUM_FIELD(struct conf, compress, "compress", "none", compressions,
                  "lz4: pack traces that had no new span for a second; a fifth of the memory, half a µs more a span."),
    GW_BOOL_FIELD(struct conf, discard_orphans, "discard_orphans", "false",
                  "Drop a trace that has no root span when its time is over."),
    GW_BOOL_FIELD(struct conf, store_on_disk, "store_on_disk", "false",
                  "Must be false, as in the Collector: spans wait in memory."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_node *n = gw_node_get(node, "store_on_disk");

    if (c->store_on_disk)
        gw_diag_add(
            diag, GW_DIAG_ERROR, n ? &n->place : NULL,
            "store_on_disk: spans wait in memory; a durable queue or a journal before this pipeline keeps them");
}

/* One worker's part. */
struct limits {
    uint64_t traces, bytes;
};

static struct limits limits_of(const struct gw_ctx *ctx, const struct conf *c)
{
    unsigned n = ctx->n_workers ? ctx->n_workers : 1;
    struct limits l = {(c->num_traces + n - 1) / n, c->max_bytes / n};

    if (l.bytes < GW_TRACES_MIN_BUDGET_BYTES)
        l.bytes = GW_TRACES_MIN_BUDGET_BYTES;
    return l;
}

/* ---- leaving ---------------------------------------------------------------------------------------------- */

/* Rows that were in the store, and do not become a view any more. */
static void settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason)
{
    static struct gw_batch traces = {.signal = GW_TRACES};
    struct gw_view none = {.batch = &traces, .n_rows = rows};

    if (rows && out->ledger && out->ledger->settled)
        out->ledger->settled(out->ledger, &none, rows, outcome, reason);
}

static bool emit_body(struct self *s, struct gw_ports *out)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX}; /* the door has looked */
    struct gw_batch *b = gw_batch_pool_get(s->pool, GW_TRACES);
    uint64_t now = gw_mono_ns(s->ctx.env);
    struct gw_view v;
    struct gw_ref at;

    if (!b)
        return false;
    if (gw_batch_append(b, gw_buf_slice(&s->body), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) < 0) {
        (void)gw_batch_unref(b);
        return false;
    }
    b->receiver = s->receiver;
    b->received_ns = gw_wall_ns(s->ctx.env) - (now > s->oldest_ns ? now - s->oldest_ns : 0);
    gw_view_init(&v, b, out->arena);
    (void)gw_batch_unref(b);
    gw_emit(out, 0, &v);
    return true;
}

static void flush(struct self *s, struct gw_ports *out)
{
    if (s->n_body_spans == 0)
        return;
    if (!emit_body(s, out)) {
        settle(out, s->n_body_spans, GW_FAILED, "memory_limit");
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "%u spans are lost: out of memory", s->n_body_spans);
    }
    s->n_body_spans = 0;
    s->n_batches++;
    if (s->body.cap > 2 * BATCH_BYTES)
        gw_buf_clear(&s->body);
    else
        gw_buf_reset(&s->body);
}

static const struct facts *facts_of(const struct gw_trace *t)
{
    return (const struct facts *)(const void *)t->facts;
}

/* It goes behind what has been released before, in one batch with it. False: no memory. */
static bool write(struct self *s, const struct gw_trace *t, struct gw_ports *out)
{
    if (s->n_body_spans &&
        (s->n_body_spans >= BATCH_SPANS || s->body.n >= BATCH_BYTES || s->receiver != facts_of(t)->receiver))
        flush(s, out);
    if (gw_traces_write(s->traces, t, &s->body) < 0) {
        s->body.failed = s->body.starved = false;
        return false;
    }
    if (s->n_body_spans == 0 || t->first_ns < s->oldest_ns)
        s->oldest_ns = t->first_ns;
    s->receiver = facts_of(t)->receiver;
    s->n_body_spans += t->n_spans;
    return true;
}

/* is_over: it has waited as long as it should. */
static void release(struct self *s, struct gw_trace *t, bool is_over, struct gw_ports *out)
{
    if (is_over && s->conf->discard_orphans && !facts_of(t)->has_root) {
        settle(out, t->n_spans, GW_DROPPED, "discard_orphans");
    } else if (write(s, t, out)) {
        gw_metric_add(s->spans_released, t->n_spans);
        gw_metric_add(s->traces_released, t->n_spans > 0);
    } else {
        settle(out, t->n_spans, GW_FAILED, "memory_limit");
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "%u spans of a trace are lost: out of memory", t->n_spans);
    }
    gw_traces_drop(s->traces, t);
}

static void tell(struct self *s)
{
    uint64_t n = gw_traces_n(s->traces), held = gw_traces_held_bytes(s->traces);

    gw_metric_add(s->in_memory, n - s->n_told); /* of all workers: differences, which may be negative */
    gw_metric_add(s->held, held - s->held_told);
    s->n_told = n;
    s->held_told = held;
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_trace *t = NULL;

    s->n_batches = 0;
    while (s->n_batches < BATCHES_A_TURN && (t = gw_traces_next_due(s->traces, now_ns)) != NULL)
        release(s, t, /* is_over= */ true, out);
    flush(s, out);
    (void)gw_traces_cool(s->traces, now_ns, COOL_BYTES); /* none with compress: none */
    tell(s);
    return t ? GW_MORE : GW_DONE;
}

/* Nothing follows: what is there leaves, whether it is complete or not. */
static int drain(void *self, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_trace *t = NULL;

    s->n_batches = 0;
    while (s->n_batches < BATCHES_A_TURN && (t = gw_traces_oldest(s->traces)) != NULL)
        release(s, t, /* is_over= */ false, out);
    flush(s, out);
    tell(s);
    return t ? GW_MORE : GW_DONE;
}

static uint64_t held(void *self)
{
    return gw_traces_n_spans(((struct self *)self)->traces);
}

/* What waits goes on for the time that it was given. Between two turns nothing stands in the body. */
static int adopt(void *self, void *old_self)
{
    struct self *s = self, *old = old_self, was = *s;
    const struct limits limits = limits_of(&s->ctx, s->conf);

    s->traces = old->traces;
    s->n_told = old->n_told;
    s->held_told = old->held_told;
    old->traces = was.traces;
    old->n_told = was.n_told;
    old->held_told = was.held_told;
    gw_traces_set_limits(s->traces, limits.bytes, limits.traces);
    gw_traces_set_compress(s->traces, s->conf->compress == LZ4);
    return 0;
}

/* ---- coming ----------------------------------------------------------------------------------------------- */

static void evict(struct self *s, struct gw_trace *t, struct gw_ports *out)
{
    gw_metric_add(s->evicted, t->n_spans > 0);
    release(s, t, /* is_over= */ false, out);
}

static struct gw_trace *find_or_add(struct self *s, const struct gw_batch *b, uint32_t row)
{
    struct gw_trace *t = gw_traces_find(s->traces, b->trace_id[row]);
    uint64_t now = gw_mono_ns(s->ctx.env), wait = s->conf->wait_duration_ns;

    if (t)
        return t;
    t = gw_traces_add(s->traces, b->trace_id[row], now, wait < UINT64_MAX - now ? now + wait : UINT64_MAX);
    if (t)
        ((struct facts *)(void *)t->facts)->receiver = b->receiver;
    return t;
}

static void note(struct gw_trace *t, const struct gw_batch *b, const uint32_t *rows, uint32_t n)
{
    static const uint8_t none[8];
    struct facts *f = (struct facts *)(void *)t->facts;

    for (uint32_t i = 0; i < n && !f->has_root; i++)
        f->has_root = memcmp(b->parent_id[rows[i]], none, sizeof(none)) == 0;
}

/* Rows of one trace and scope. False: there is no room for them even where nothing else waits. */
static bool keep(struct self *s, const struct gw_batch *b, const uint32_t *rows, uint32_t n, struct gw_ports *out)
{
    for (;;) {
        struct gw_trace *t = find_or_add(s, b, rows[0]), *oldest = gw_traces_oldest(s->traces);
        int r = t ? gw_traces_keep(s->traces, t, rows, n) : -ENOSPC;
        bool is_last = !oldest || (oldest == t && t->n_spans == 0 && gw_traces_n(s->traces) == 1);

        if (r == 0) {
            note(t, b, rows, n);
            if (gw_trace_bytes(t) > MAX_TRACE_BYTES)
                evict(s, t, out);
            return true;
        }
        if (r == -EOVERFLOW)
            oldest = t;
        if (oldest)
            evict(s, oldest, out);
        if (is_last)
            return false;
    }
}

static bool has_trace_id(const struct gw_batch *b, uint32_t row)
{
    static const uint8_t none[16];

    return memcmp(b->trace_id[row], none, sizeof(none)) != 0;
}

/* The rows from `row` on that can be kept in one call: neighbours of one trace and scope. */
static uint32_t take_run(const struct gw_view *v, uint32_t row, uint32_t rows[RUN_ROWS], uint32_t *ret_n)
{
    const struct gw_batch *b = v->batch;
    uint32_t first = row, n = 0;

    while (n < RUN_ROWS && row < b->n_rows && b->scope[row] == b->scope[first] &&
           memcmp(b->trace_id[row], b->trace_id[first], sizeof(b->trace_id[row])) == 0) {
        rows[n++] = row;
        row = gw_view_next(v, row + 1);
    }
    *ret_n = n;
    return row;
}

static void take(struct self *s, const struct gw_view *v, uint64_t *absorbed, struct gw_ports *out)
{
    const struct gw_batch *b = v->batch;
    uint32_t rows[RUN_ROWS], n;

    for (uint32_t row = gw_view_next(v, 0), next; row < b->n_rows; row = next) {
        next = take_run(v, row, rows, &n);
        for (uint32_t i = 0; i < n; i++)
            gw_traces_ahead(s->traces, rows[i]);
        if (!has_trace_id(b, row) || !keep(s, b, rows, n, out))
            continue;
        for (uint32_t i = 0; i < n; i++)
            absorbed[rows[i] / 64] |= UINT64_C(1) << (rows[i] % 64);
    }
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t *absorbed;

    if (gw_view_flatten(v) < 0)
        v->failed = true;
    absorbed = gw_arena_zalloc(v->arena, (v->batch->n_rows / 64 + 1) * sizeof(*absorbed));
    if (!absorbed)
        v->failed = true;
    if (!v->failed) {
        gw_traces_begin(s->traces, v->batch);
        take(s, v, absorbed, out);
        gw_traces_end(s->traces);
        gw_view_settle_rows(v, out->ledger, absorbed, GW_ABSORBED, "groupbytrace", NULL);
    }
    gw_emit(out, 0, v); /* what does not wait */
    flush(s, out);      /* what had to leave early */
    tell(s);
}

/* ---- set-up ----------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_metric_add(s->in_memory, 0 - s->n_told);
    gw_metric_add(s->held, 0 - s->held_told);
    gw_traces_free(s->traces);
    gw_batch_pool_free(s->pool);
    gw_buf_clear(&s->body);
    free(s);
}

static void make_metrics(struct self *s)
{
    struct gw_label component = {"component", s->ctx.id};
    struct gw_meter *m = s->ctx.meter;

    gw_metric_set(gw_meter_get(m, GW_GAUGE, "otelcol_processor_groupbytrace_conf_num_traces",
                               "Maximum number of traces to hold in the internal storage.", NULL, 0),
                  s->conf->num_traces);
    s->in_memory = gw_meter_get(m, GW_GAUGE, "otelcol_processor_groupbytrace_num_traces_in_memory",
                                "Number of traces currently in the in-memory storage.", NULL, 0);
    s->spans_released = gw_meter_get(m, GW_COUNTER, "otelcol_processor_groupbytrace_spans_released",
                                     "Spans released to the next consumer.", NULL, 0);
    s->traces_released = gw_meter_get(m, GW_COUNTER, "otelcol_processor_groupbytrace_traces_released",
                                      "Traces released to the next consumer.", NULL, 0);
    s->evicted = gw_meter_get(m, GW_COUNTER, "otelcol_processor_groupbytrace_traces_evicted",
                              "Traces released early: there were too many, or they held too much.", NULL, 0);
    s->held =
        gw_meter_get(m, GW_GAUGE, "staunch_groupbytrace_held_bytes", "Memory of the spans that wait.", &component, 1);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));
    const struct conf *c = conf;
    struct limits limits = limits_of(ctx, c);
    struct gw_traces_conf t = {.env = ctx->env,
                               .memory = ctx->host ? ctx->host->memory : NULL,
                               .max_traces = limits.traces,
                               .budget_bytes = limits.bytes,
                               .facts_bytes = sizeof(struct facts),
                               .compress = c->compress == LZ4,
                               .tick_ns = TICK_NS};

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = *ctx;
    s->conf = c;
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    s->traces = gw_traces_new(&t);
    s->pool = gw_batch_pool_new(KEEP_BATCHES);
    make_metrics(s);
    if (!s->traces || !s->pool) {
        destroy(s);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    *ret_self = s;
    return 0;
}

const struct gw_component gw_processor_groupbytrace = {
    .kind = GW_PROCESSOR,
    .name = "groupbytrace",
    .summary = "Let spans wait for the others of their trace, and leave together.",
    .signals = GW_TRACES,
    .reads = GW_C_ROW,
    .partition_by = "trace_id",
    .expands = 1,
    .holds = true,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
    .adopt = adopt,
};
