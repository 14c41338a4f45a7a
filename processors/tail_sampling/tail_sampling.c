/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling: keep or drop whole traces, by what was seen of them.
 *
 *     processors:
 *       tail_sampling:
 *         decision_wait: 10s
 *         policies:
 *           - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }
 *           - { name: some, type: probabilistic, probabilistic: { sampling_percentage: 10 } }
 *
 * Keys, policies, decisions and metrics are those of the Collector's processor; docs/tail-sampling.md has what differs.
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/host.h"
#include "processors/tail_sampling/passes.h"
#include "processors/tail_sampling/rules_conf.h"
#include "values/sampling.h"

#define S 1000000000ull
/* The Collector decides a second's traces at once: more of them wait, and requests wait for that. */
#define TICK_NS (S / 10)

/* Decisions in one tick() or drain(): what is left waits for the next turn, and requests do not wait for it. */
enum { TICK_SPANS = 16384, TICK_TRACES = 8192 };
/* Behind a journal it is looked at max_bytes when a step has ended: until then there is room for what comes in it, and
 * a quarter for slabs that are not full. */
enum { STEP_BYTES = 32 << 20 };
enum { MIN_BYTES = 1 << 20, COOL_BYTES = 8 << 20 }; /* to be packed in a tick: 7 ms */

static const char *const strategies[] = {"trace-complete", "span-ingest", NULL};
static const char *const modes[] = {"buffered", "two_pass", NULL};
static const char *const compressions[] = {"none", "lz4", NULL};
static const char *const overflows[] = {"decide", "drop", NULL};
static const char *const idless[] = {"pass", "reject", NULL};

static const struct gw_field cache_fields[] = {
    GW_U64_FIELD(struct gw_tail_cache_conf, sampled, "sampled_cache_size", "100000", 0, 1e9,
                 "Kept traces whose late spans are kept, too; 0 = none: late spans are a new trace."),
    GW_U64_FIELD(struct gw_tail_cache_conf, non_sampled, "non_sampled_cache_size", "400000", 0, 1e9,
                 "Traces not kept whose late spans are dropped, too; 0 = none."),
    {0},
};

static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct gw_tail_conf, decision_wait_ns, "decision_wait", "30s", 0, 86400e9,
                      "From a trace's first span to its decision; up to a tenth of a second more."),
    GW_DURATION_FIELD(struct gw_tail_conf, after_root_ns, "decision_wait_after_root_received", "0s", 0, 86400e9,
                      "Decide this long after the span without a parent has come, when that is earlier; 0 = do not."),
    GW_U64_FIELD(struct gw_tail_conf, num_traces, "num_traces", "50000", 1, 4e9,
                 "Traces that wait at one time; of a full house the oldest is decided. Shared by the workers."),
    GW_BOOL_FIELD(struct gw_tail_conf, block_on_overflow, "block_on_overflow", "false",
                  "Refuse requests with new traces while there is no room: clients keep them."),
    {GW_FIELD_(struct gw_tail_conf, expected_new_traces_per_sec, "expected_new_traces_per_sec", GW_F_U64, "0", 0, 0,
               "Memory grows by itself."),
     .flags = GW_FF_NO_EFFECT},
    GW_ANY_FIELD(struct gw_tail_conf, policies, "policies", "What is kept: a list of {name, type, ...}."),
    GW_BLOCK_FIELD(struct gw_tail_conf, cache, "decision_cache", cache_fields,
                   "Decisions that are remembered, exactly, the last ones asked for. Shared by the workers."),
    GW_ENUM_FIELD(struct gw_tail_conf, mode, "mode", "buffered", modes,
                  "buffered, or two_pass: spans wait in the journal before the pipeline, which is read twice."),
    GW_BOOL_FIELD(struct gw_tail_conf, sample_on_first_match, "sample_on_first_match", "false",
                  "Ask no further policy when one wants to keep a trace."),
    GW_ENUM_FIELD(struct gw_tail_conf, strategy, "sampling_strategy", "trace-complete", strategies,
                  "trace-complete, or span-ingest: spans are judged as they come, each request by itself."),
    GW_BOOL_FIELD(struct gw_tail_conf, drop_pending_traces_on_shutdown, "drop_pending_traces_on_shutdown", "false",
                  "At the end drop what waits, instead of deciding it with what is there."),
    GW_U64_FIELD(struct gw_tail_conf, max_trace_bytes, "maximum_trace_size_bytes", "0", 0, 1e15,
                 "A larger trace is dropped at once, with whatever comes of it later; 0 = no limit."),
    {GW_FIELD_(struct gw_tail_conf, num_shards, "num_shards", GW_F_U64, "1", 1, 256,
               "Each worker has the traces of its own."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct gw_tail_conf, tail_storage, "tail_storage", GW_F_STRING, "", 0, 0, "Spans that wait, elsewhere."),
     .flags = GW_FF_PLANNED},
    GW_U64_FIELD(struct gw_tail_conf, max_bytes, "max_bytes", "1073741824", 0, 1e15,
                 "Memory of the traces that wait, exact; of a full house the oldest is decided. Shared by the workers; "
                 "0 = no limit."),
    GW_U64_FIELD(struct gw_tail_conf, max_spans_per_trace, "max_spans_per_trace", "0", 0, 4e9,
                 "A longer trace is decided at once, and what comes of it later follows; 0 = no limit."),
    GW_ENUM_FIELD(struct gw_tail_conf, overflow, "overflow", "decide", overflows,
                  "What becomes of the oldest trace of a full house: decide, or drop, as in the Collector."),
    GW_BOOL_FIELD(struct gw_tail_conf, decide_early, "decide_early", "false",
                  "Decide a trace as soon as no span that may come could change the decision."),
    GW_BOOL_FIELD(struct gw_tail_conf, running_latency, "running_latency", "false",
                  "latency with upper_threshold_ms as the Collector judges it: as of any first spans, in their order."),
    GW_BOOL_FIELD(struct gw_tail_conf, fall_through, "composite_fall_through", "true",
                  "A composite asks its next policy when the one that matched has no allowance left; false: as in the "
                  "Collector."),
    GW_BOOL_FIELD(struct gw_tail_conf, invert_decisions, "invert_decisions", "false",
                  "invert_match with precedences of its own, as before the Collector's gate disableinvertdecisions."),
    GW_BOOL_FIELD(struct gw_tail_conf, use_trace_state, "use_trace_state", "false",
                  "Probabilities by ot=rv of the trace state, and ot=th on what is kept: the Collector's gate."),
    GW_BOOL_FIELD(struct gw_tail_conf, record_policy, "record_policy", "false",
                  "tailsampling.policy and its kin in the scopes of kept spans: the Collector's gate."),
    GW_STRING_FIELD(struct gw_tail_conf, reason_attribute, "reason_attribute", "",
                    "Attribute of kept spans for the policy's name, like staunch.sampling.policy; \"\" = none."),
    GW_BOOL_FIELD(struct gw_tail_conf, count_spans, "count_spans_sampled", "false",
                  "Count spans per policy, too: the Collector's gate metricstatcountspanssampled."),
    GW_BOOL_FIELD(struct gw_tail_conf, count_bytes, "count_bytes_sampled", "false",
                  "Count bytes per policy, too: the Collector's gate metricstatcountbytessampled."),
    GW_BOOL_FIELD(struct gw_tail_conf, follow_links, "follow_links", "false",
                  "Keep traces that a kept trace links to, or that link to one."),
    GW_U64_FIELD(struct gw_tail_conf, max_links, "max_links", "10000", 1, 1e8,
                 "Links between traces that follow_links remembers, the last ones."),
    GW_BOOL_FIELD(struct gw_tail_conf, dry_run, "dry_run", "false",
                  "Keep everything, with what would have become of it in staunch.sampling.decision."),
    GW_ENUM_FIELD(struct gw_tail_conf, compress, "compress", "none", compressions,
                  "lz4: pack traces that had no new span for a second; a fifth of the memory, half a µs more a span."),
    GW_ENUM_FIELD(struct gw_tail_conf, without_trace_id, "without_trace_id", "pass", idless,
                  "Spans without a trace id: pass them on, or reject them."),
    GW_ID_FIELD(struct gw_tail_conf, storage, "storage", 1u << GW_EXTENSION,
                "A file_storage to which goes at the end what waits and what is remembered, for the next start; empty: "
                "it is decided."),
    {0},
};

static struct gw_policies_conf policies_conf(const struct gw_tail_conf *c, const struct gw_ctx *ctx)
{
    const char *slash = ctx ? strchr(ctx->id, '/') : NULL;

    return (struct gw_policies_conf){
        .policies = c->policies,
        .instance = slash ? slash + 1 : "",
        .share = ctx ? 1.0 / ctx->n_workers : 1,
        .span_ingest = c->strategy == GW_TAIL_INGEST,
        .sample_on_first_match = c->sample_on_first_match,
        .use_trace_state = c->use_trace_state,
        .record_policy = c->record_policy || *c->reason_attribute,
        .running_latency = c->running_latency,
        .fall_through = c->fall_through,
        .invert_decisions = c->invert_decisions,
        .detailed = ctx && ctx->detailed,
        .count_spans = c->count_spans,
        .count_bytes = c->count_bytes,
        .alarms = ctx && ctx->host ? ctx->host->alarms : NULL,
    };
}

static void check_two_pass(const struct gw_tail_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at;

    if (c->compress && (at = gw_node_get(node, "compress")) != NULL)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                    "compress packs spans that wait, and with mode: two_pass none does");
    if (c->overflow == GW_TAIL_DROP && (at = gw_node_get(node, "overflow")) != NULL)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                    "overflow: drop does not go with mode: two_pass, which decides the oldest trace");
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_tail_conf *c = conf;
    const struct gw_node *at = gw_node_get(node, "max_bytes");

    if (c->max_bytes && c->max_bytes < MIN_BYTES)
        gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : &node->place,
                    "max_bytes must be 0 (no limit) or at least %u", (unsigned)MIN_BYTES);
    if (c->mode == GW_TAIL_TWO_PASS)
        check_two_pass(c, node, diag);
    if (*c->storage && c->drop_pending_traces_on_shutdown)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place,
                    "drop_pending_traces_on_shutdown drops what storage would keep: one of them");
}

/* Without policies, where a key is unknown, they may be meant by it, and that is told already. */
static void check_trees(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_policies_conf p = policies_conf(conf, NULL);
    bool has_unknown = false;

    for (const struct gw_node *c = node->type == GW_NODE_MAP ? node->first : NULL; c; c = c->next)
        has_unknown |= gw_field_find(fields, c->key) == NULL;
    if (p.policies || !has_unknown)
        gw_policies_check(&p, diag);
}

static void watches(const void *conf, gw_watched_fn *each, void *arg)
{
    const struct gw_policies_conf p = policies_conf(conf, NULL);

    gw_policies_watched(&p, each, arg);
}

static unsigned reads_for(const void *conf)
{
    const struct gw_tail_conf *c = conf;
    bool rows = c->follow_links || c->dry_run || *c->reason_attribute || gw_policies_read_rows(c->policies);

    return GW_C_ROW | GW_C_RESOURCE | (rows ? GW_C_ATTRS | GW_C_CHILDREN : 0);
}

/* ---- the instance ----------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct gw_tail *s = self;

    if (!s)
        return;
    gw_tail_spool_rest(s);
    gw_tail_meter_show(&s->meter, 0, 0);
    gw_traces_free(s->store);
    gw_policies_free(s->policies);
    gw_ids_free(s->kept);
    gw_ids_free(s->gone);
    gw_reasons_free(s->reasons);
    gw_tail_links_free(s->links);
    gw_tail_log_free(s->log);
    gw_tail_passes_free(s->passes);
    if (s->pool)
        gw_batch_pool_free(s->pool);
    gw_tail_drop_body(s);
    gw_buf_clear(&s->text);
    free(s);
}

static uint64_t share_of(const struct gw_ctx *ctx, uint64_t all)
{
    return (all + ctx->n_workers - 1) / ctx->n_workers;
}

uint64_t gw_tail_store_bytes(const struct gw_tail *s)
{
    return s->log && s->max_bytes ? s->max_bytes + s->max_bytes / 4 + STEP_BYTES : s->max_bytes;
}

bool gw_tail_open_store(struct gw_tail *s)
{
    const struct gw_traces_conf conf = {
        .env = s->ctx.env,
        .budget_bytes = gw_tail_store_bytes(s),
        .memory = s->ctx.host ? s->ctx.host->memory : NULL,
        .max_traces = s->log ? 0 : s->max_traces,
        .facts_bytes = sizeof(struct gw_tail_facts),
        .compress = s->conf->compress > 0,
        .tick_ns = TICK_NS,
        .ordered = s->log != NULL,
    };

    if (!s->store)
        s->store = gw_traces_new(&conf);
    return s->store != NULL;
}

static bool make_memory(struct gw_tail *s)
{
    const struct gw_tail_conf *c = s->conf;

    s->kept = gw_ids_new(s->ctx.env, (uint32_t)share_of(&s->ctx, c->cache.sampled));
    s->gone = gw_ids_new(s->ctx.env, (uint32_t)share_of(&s->ctx, c->cache.non_sampled));
    s->reasons = gw_reasons_new();
    s->pool = gw_batch_pool_new(2);
    s->spooler = (struct gw_spooler){.ops = &gw_tail_spooler, .self = s, .ctx = &s->ctx, .pool = s->pool};
    if (c->follow_links)
        s->links = gw_tail_links_new((uint32_t)share_of(&s->ctx, c->max_links));
    return s->kept && s->gone && s->reasons && s->pool && (s->links || !c->follow_links);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_tail *s = calloc(1, sizeof(*s));
    struct gw_policies_conf p;
    int rc;

    if (!s)
        return -ENOMEM;
    *ret_self = s;
    s->ctx = *ctx;
    s->conf = conf;
    s->max_traces = share_of(ctx, s->conf->num_traces);
    s->max_bytes = share_of(ctx, s->conf->max_bytes);
    if (s->max_bytes && s->max_bytes < GW_TRACES_MIN_BUDGET_BYTES)
        s->max_bytes = GW_TRACES_MIN_BUDGET_BYTES;
    s->marks_rows = s->conf->dry_run || *s->conf->reason_attribute;
    s->marks = s->conf->use_trace_state || s->conf->record_policy || s->conf->dry_run || *s->conf->reason_attribute;
    gw_buf_init(&s->text, GW_TRACE_STATE_BYTES);
    gw_tail_meter_init(&s->meter, ctx->meter);
    p = policies_conf(s->conf, ctx);
    rc = gw_policies_new(ctx->env, &p, ctx->meter, &s->policies, err);
    s->counts_bytes =
        rc == 0 && (s->conf->max_trace_bytes || s->conf->count_bytes || gw_policies_limit_bytes(s->policies));
    s->asks_time = rc == 0 && gw_policies_ask_time(s->policies);
    if (rc == 0 && !make_memory(s))
        rc = gw_fail(err, -ENOMEM, "out of memory");
    return rc;
}

static uint64_t held(void *self)
{
    const struct gw_tail *s = self;

    return (s->store ? gw_traces_n_spans(s->store) - s->n_left : 0) + s->n_spans + s->spooler.n_spans;
}

static void show(struct gw_tail *s)
{
    uint64_t n = s->store ? gw_traces_n(s->store) : 0, bytes = s->store ? gw_traces_held_bytes(s->store) : 0;

    if (s->passes) {
        n = gw_tail_passes_n(s);
        bytes = gw_tail_passes_bytes(s);
    }
    gw_tail_meter_show(&s->meter, n,
                       bytes + gw_ids_held_bytes(s->kept) + gw_ids_held_bytes(s->gone) + gw_tail_links_bytes(s->links));
}

/* One call's share of what is to be decided. `next` gives the traces, `decide` takes them. */
static bool work(struct gw_tail *s, struct gw_trace *(*next)(struct gw_tail *s, uint64_t now_ns),
                 void (*decide)(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out),
                 uint64_t now_ns, struct gw_ports *out)
{
    uint64_t spans = 0, traces = 0;
    struct gw_trace *t;

    while (spans < TICK_SPANS && traces++ < TICK_TRACES && (t = next(s, now_ns)) != NULL) {
        spans += gw_tail_is_long(t) ? 0 : t->n_spans;
        decide(s, t, now_ns, out);
    }
    return next(s, now_ns) != NULL;
}

/*
 * Those that were set aside do not leave faster than this, so that others find room in the queues behind: a tick's
 * worth each tick, or a tenth of what is left, when that is more.
 */
static bool pace(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    uint64_t done;

    if (now_ns >= s->paced_ns + TICK_NS) {
        s->paced_ns = now_ns;
        s->allowance = s->n_leaving / 10 > TICK_SPANS ? s->n_leaving / 10 : TICK_SPANS;
    }
    done = gw_tail_leave(s, s->allowance < TICK_SPANS ? s->allowance : TICK_SPANS, /* as_room= */ true, now_ns, out);
    s->allowance -= done < s->allowance ? done : s->allowance;
    return s->leaving && done && s->allowance;
}

static struct gw_trace *next_due(struct gw_tail *s, uint64_t now_ns)
{
    return gw_traces_next_due(s->store, now_ns);
}

static void decide_due(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    const struct gw_trace *next = gw_traces_due_behind(s->store, t);

    if (next && !s->log) { /* it is remembered in one of them, when it is known in which */
        gw_ids_prefetch(s->kept, next->id);
        gw_ids_prefetch(s->gone, next->id);
    }
    (void)gw_tail_decide(s, t, GW_TAIL_DUE, now_ns, out);
}

int gw_tail_decide_due(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    bool more;

    gw_tail_gather(s);
    more = s->store && work(s, next_due, decide_due, now_ns, out);
    gw_tail_gathered(s, now_ns, out);
    return more ? GW_MORE : GW_DONE;
}

/* The oldest one, while more is there than a reload has left room for; what is about to leave does not count. */
static struct gw_trace *next_excess(struct gw_tail *s, uint64_t now_ns)
{
    struct gw_trace *t = gw_traces_oldest(s->store);
    bool many = gw_traces_n(s->store) > s->max_traces;

    (void)now_ns;
    if (s->max_bytes && gw_traces_held_bytes(s->store) > s->max_bytes)
        (void)gw_traces_trim(s->store);
    gw_tail_limit(s);
    if (!many && s->shrinks && gw_traces_held_bytes(s->store) <= s->max_bytes + s->leaving_bytes)
        return NULL;
    return s->shrinks && t && !gw_tail_facts(t)->is_decided ? t : NULL;
}

static void decide_excess(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    bool many = gw_traces_n(s->store) > s->max_traces;

    gw_tail_give_up(s, t, many ? GW_TAIL_NUM_TRACES : GW_TAIL_BYTES, now_ns, out);
}

static int tick_passes(struct gw_tail *s, uint64_t now_ns)
{
    gw_tail_passes_age(s, now_ns);
    show(s);
    return GW_DONE;
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_tail *s = self;
    uint64_t begin = gw_mono_ns(s->ctx.env), before;
    bool more = false, was_taken_up = s->spooler.is_taken_up;

    gw_tail_take_up(s, out);
    if (s->passes)
        return tick_passes(s, now_ns);
    if (!s->store)
        return GW_DONE;
    before = gw_traces_n(s->store);
    if (!s->log) {
        more = gw_tail_decide_due(s, now_ns, out) == GW_MORE;
        if (s->shrinks)
            more |= work(s, next_excess, decide_excess, now_ns, out);
        more |= pace(s, now_ns, out);
        (void)gw_tail_flush(s, out);
    }
    (void)gw_traces_cool(s->store, gw_tail_now_ns(s), COOL_BYTES); /* none with compress: none */
    if (now_ns / S != s->shown_ns / S || gw_traces_n(s->store) != before || !was_taken_up) {
        gw_metric_observe(s->meter.timer_latency, (double)((gw_mono_ns(s->ctx.env) - begin) / 1000000));
        show(s);
        s->shown_ns = now_ns;
    }
    return more ? GW_MORE : GW_DONE;
}

/* Before this all that were set aside have left: those that are now stand behind the others. */
static struct gw_trace *next_oldest(struct gw_tail *s, uint64_t now_ns)
{
    struct gw_trace *t = gw_traces_oldest(s->store);

    (void)now_ns;
    return t && !gw_tail_facts(t)->is_decided ? t : NULL;
}

static void decide_last(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    if (s->conf->drop_pending_traces_on_shutdown)
        gw_tail_abandon(s, t, now_ns, out);
    else
        (void)gw_tail_decide(s, t, GW_TAIL_SHUTDOWN, now_ns, out);
}

/* The journal has them: they come again. */
static void leave_to_journal(struct gw_tail *s, struct gw_ports *out)
{
    gw_tail_settle(out, (uint32_t)held(s), GW_REFUSED, "in_journal");
    s->leaving = NULL;
    s->n_left = 0;
    s->n_leaving = 0;
    s->n_parts = s->n_spans = 0;
    gw_buf_reset(&s->body);
}

/* What is decided leaves, what waits goes to disk or is decided. True: there is more of it. */
static bool let_all_go(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    if (s->store)
        (void)gw_tail_leave(s, TICK_SPANS, /* as_room= */ false, now_ns, out);
    if (s->leaving)
        return true;
    return !gw_tail_spool(s, now_ns) && s->store && (work(s, next_oldest, decide_last, now_ns, out) || s->leaving);
}

static int drain(void *self, struct gw_ports *out)
{
    struct gw_tail *s = self;
    bool more = false;

    gw_tail_take_up(s, out);
    if (!s->log)
        more = let_all_go(s, gw_mono_ns(s->ctx.env), out);
    else if (s->store)
        leave_to_journal(s, out);
    more |= !gw_tail_flush(s, out);
    if (!more) { /* it is charged to the process */
        gw_traces_free(s->store);
        s->store = NULL;
    }
    show(s);
    return more ? GW_MORE : GW_DONE;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_tail_take_up(self, out);
    gw_tail_consume(self, v, out);
}

const struct gw_component gw_processor_tail_sampling = {
    .kind = GW_PROCESSOR,
    .name = "tail_sampling",
    .summary = "Keep or drop whole traces, by what was seen of them.",
    .signals = GW_TRACES,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN,
    .writes = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE,
    .reads_for = reads_for,
    .partition_by = "trace_id",
    .expands = 2,
    .holds = true,
    .fields = fields,
    .conf_size = sizeof(struct gw_tail_conf),
    .check = check,
    .check_trees = check_trees,
    .watches = watches,
    .create_shared = gw_tail_new_shared,
    .destroy_shared = gw_spooler_free_shared,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
    .adopt = gw_tail_adopt,
    .keep = &gw_tail_keep,
};
