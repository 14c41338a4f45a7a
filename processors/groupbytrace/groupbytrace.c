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
#include <errno.h>
#include <stdlib.h>

#include "pipeline/component.h"
#include "pipeline/host.h"
#include "processors/groupbytrace/group.h"

enum { KEEP_BATCHES = 4 };
enum { MAX_BODY_BYTES = 1 << 30 };  /* the parts of one trace, and what stands before it */
enum { COOL_BYTES = 8 << 20 };      /* to be packed in a tick: 7 ms */
#define TICK_NS UINT64_C(100000000) /* as often as the runtime asks */

enum { NONE, LZ4 };
static const char *const compressions[] = {"none", "lz4", NULL};

static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct gw_group_conf, wait_duration_ns, "wait_duration", "1s", 0, 0,
                      "How long a trace waits for more spans, from its first."),
    GW_U64_FIELD(struct gw_group_conf, num_traces, "num_traces", "1000000", 1, 4e9,
                 "Traces that wait, in all workers together; over that the oldest leaves early."),
    {GW_FIELD_(struct gw_group_conf, num_workers, "num_workers", GW_F_U64, "1", 1, 1e6,
               "The workers are the gateway's."),
     .flags = GW_FF_NO_EFFECT},
    GW_U64_FIELD(struct gw_group_conf, max_bytes, "max_bytes", "536870912", 1 << 20, 1e15,
                 "Memory of all that waits, in all workers together; over that the oldest leaves early."),
    GW_ENUM_FIELD(struct gw_group_conf, compress, "compress", "none", compressions,
                  "lz4: pack traces that had no new span for a second; a fifth of the memory, half a µs more a span."),
    GW_BOOL_FIELD(struct gw_group_conf, discard_orphans, "discard_orphans", "false",
                  "Drop a trace that has no root span when its time is over."),
    GW_BOOL_FIELD(struct gw_group_conf, store_on_disk, "store_on_disk", "false",
                  "Must be false, as in the Collector: spans wait in memory."),
    GW_STRING_FIELD(struct gw_group_conf, storage, "storage", "",
                    "A file_storage: what waits at the end of the process goes on waiting at the next start."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_group_conf *c = conf;
    const struct gw_node *n = gw_node_get(node, "store_on_disk");

    if (c->store_on_disk)
        gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : NULL,
                    "store_on_disk: spans wait in memory; with storage they outlive a stop, behind a journal a crash");
}

/* One worker's part. */
struct limits {
    uint64_t traces, bytes;
};

static struct limits limits_of(const struct gw_ctx *ctx, const struct gw_group_conf *c)
{
    unsigned n = ctx->n_workers ? ctx->n_workers : 1;
    struct limits l = {(c->num_traces + n - 1) / n, c->max_bytes / n};

    if (l.bytes < GW_TRACES_MIN_BUDGET_BYTES)
        l.bytes = GW_TRACES_MIN_BUDGET_BYTES;
    return l;
}

uint64_t gw_group_max_traces(const struct gw_group *s)
{
    return limits_of(&s->ctx, s->conf).traces;
}

uint64_t gw_group_max_bytes(const struct gw_group *s)
{
    return limits_of(&s->ctx, s->conf).bytes;
}

/* Behind a journal it is looked at them when a step has ended. */
static struct limits limits_of_store(const struct gw_group *s)
{
    struct limits l = limits_of(&s->ctx, s->conf);

    return s->kept ? (struct limits){0, gw_kept_store_bytes(l.bytes)} : l;
}

/* ---- the instance ----------------------------------------------------------------------------------------- */

struct gw_traces *gw_group_open_store(struct gw_group *s)
{
    const struct limits limits = limits_of_store(s);
    const struct gw_traces_conf t = {.env = s->ctx.env,
                                     .memory = s->ctx.host ? s->ctx.host->memory : NULL,
                                     .max_traces = limits.traces,
                                     .budget_bytes = limits.bytes,
                                     .facts_bytes = sizeof(struct gw_group_facts),
                                     .compress = s->conf->compress == LZ4,
                                     .tick_ns = TICK_NS,
                                     .ordered = s->kept != NULL};

    if (!s->traces)
        s->traces = gw_traces_new(&t);
    return s->traces;
}

void gw_group_tell(struct gw_group *s)
{
    uint64_t n = s->traces ? gw_traces_n(s->traces) : 0, held = s->traces ? gw_traces_held_bytes(s->traces) : 0;

    gw_metric_add(s->in_memory, n - s->n_told); /* of all workers: differences, which may be negative */
    gw_metric_add(s->held, held - s->held_told);
    s->n_told = n;
    s->held_told = held;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_group_take_up(self, out);
    gw_group_consume(self, v, out);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_group *s = self;
    int rc = GW_DONE;

    gw_group_take_up(s, out);
    if (!s->kept) {
        rc = s->traces ? gw_group_release_due(s, now_ns, out) : GW_DONE;
        (void)gw_group_flush(s, out);
    }
    if (s->traces)
        (void)gw_traces_cool(s->traces, gw_group_now_ns(s), COOL_BYTES); /* none with compress: none */
    gw_group_tell(s);
    return rc;
}

static uint64_t held(void *self)
{
    const struct gw_group *s = self;

    return (s->traces ? gw_traces_n_spans(s->traces) : 0) + s->n_body_spans + s->spooler.n_spans;
}

/* The journal has them: they come again. */
static void leave_to_journal(struct gw_group *s, struct gw_ports *out)
{
    gw_group_settle(out, (uint32_t)held(s), GW_REFUSED, "in_journal");
    s->n_body_spans = 0;
    gw_buf_reset(&s->body);
}

/* Nothing follows: what is there goes to disk, or leaves, whether it is complete or not. */
static int drain(void *self, struct gw_ports *out)
{
    struct gw_group *s = self;
    bool more = false;

    gw_group_take_up(s, out);
    if (s->kept)
        leave_to_journal(s, out);
    else if (!gw_group_flush(s, out))
        more = true;
    else if (!gw_group_spool(s))
        more = gw_group_release_all(s, out) || !gw_group_flush(s, out);
    if (!more) { /* it is charged to the process */
        gw_traces_free(s->traces);
        s->traces = NULL;
    }
    gw_group_tell(s);
    return more ? GW_MORE : GW_DONE;
}

#define SWAP(a, b)                                                                                                     \
    do {                                                                                                               \
        __typeof__(a) c = a;                                                                                           \
        a = b;                                                                                                         \
        b = c;                                                                                                         \
    } while (0)

/* What waits goes on for the time that it was given. In the body something stands when there was no memory for it. */
static int adopt(void *self, void *old_self)
{
    struct gw_group *s = self, *old = old_self;
    struct limits limits;

    if (gw_spooler_adopt(&s->spooler, &old->spooler, old->kept != NULL) < 0)
        return -ENOTSUP;
    SWAP(s->traces, old->traces);
    SWAP(s->kept, old->kept);
    SWAP(s->body, old->body);
    SWAP(s->n_body_spans, old->n_body_spans);
    SWAP(s->oldest_ns, old->oldest_ns);
    SWAP(s->receiver, old->receiver);
    SWAP(s->n_told, old->n_told);
    SWAP(s->held_told, old->held_told);
    limits = limits_of_store(s);
    if (s->traces) {
        gw_traces_set_limits(s->traces, limits.bytes, limits.traces);
        gw_traces_set_compress(s->traces, s->conf->compress == LZ4);
    }
    return 0;
}

/* ---- set-up ----------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct gw_group *s = self;

    if (!s)
        return;
    gw_group_spool_rest(s);
    gw_metric_add(s->in_memory, 0 - s->n_told);
    gw_metric_add(s->held, 0 - s->held_told);
    gw_traces_free(s->traces);
    gw_kept_free(s->kept);
    gw_batch_pool_free(s->pool);
    gw_buf_clear(&s->body);
    free(s);
}

static void make_metrics(struct gw_group *s)
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
    struct gw_group *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = *ctx;
    s->conf = conf;
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    s->pool = gw_batch_pool_new(KEEP_BATCHES);
    s->spooler = (struct gw_spooler){.ops = &gw_group_spooler, .self = s, .ctx = &s->ctx, .pool = s->pool};
    make_metrics(s);
    if (!s->pool) {
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
    .conf_size = sizeof(struct gw_group_conf),
    .check = check,
    .create_shared = gw_group_new_shared,
    .destroy_shared = gw_spooler_free_shared,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
    .adopt = adopt,
    .keep = &gw_group_keep,
};
