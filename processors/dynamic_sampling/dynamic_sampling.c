/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamic_sampling: keep traces at rates that follow the traffic, so that rare kinds stay and frequent ones are
 * thinned.
 *
 *     processors:
 *       dynamic_sampling:
 *         rules:
 *           - { name: errors, conditions: ["status.code == STATUS_CODE_ERROR"], sampler: { type: always_sample } }
 *           - name: rest
 *             sampler:
 *               type: dynamic_throughput
 *               goal_throughput: 500
 *               fingerprint_attributes: ['resource.attributes["service.name"]', 'root.attributes["http.route"]']
 *
 * Keys, rates, marks and metrics are those of the Collector's processor; docs/dynamic-sampling.md has what differs.
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/host.h"
#include "processors/dynamic_sampling/dynamic.h"
#include "values/sampling.h"

#define S UINT64_C(1000000000)

/* A turn decides so many traces; what is left waits for the next, and requests do not wait for it. */
enum { TURN_TRACES = 8192, MAX_BODY_BYTES = 256 << 20, COOL_BYTES = 8 << 20 };

static const char *const types[] = {"always_sample", "probabilistic", "dynamic_percentage", "dynamic_throughput", NULL};
static const char *const algorithms[] = {"ema", "windowed", "total", NULL};
static const char *const matches[] = {"any_span", "same_span", NULL};
static const char *const policies[] = {"evaluate", "probabilistic", NULL};
enum { NONE, LZ4 };
static const char *const compressions[] = {"none", "lz4", NULL};
static const char *const old_names[] = {"key_fields", NULL};

static const struct gw_field sampler_fields[] = {
    GW_ENUM_FIELD(struct gw_ds_sampler_conf, type, "type", "always_sample", types,
                  "always_sample, probabilistic (a fixed share), dynamic_percentage or dynamic_throughput."),
    GW_ENUM_FIELD(struct gw_ds_sampler_conf, algorithm, "algorithm", "ema", algorithms,
                  "How dynamic_throughput counts: moving averages, a sliding window, or the interval before."),
    GW_F64_FIELD(struct gw_ds_sampler_conf, sampling_percentage, "sampling_percentage", "0", 0, 100,
                 "probabilistic: share of traces to keep."),
    GW_F64_FIELD(struct gw_ds_sampler_conf, goal_percentage, "goal_percentage", "0", 0, 100,
                 "dynamic_percentage: share of spans to keep, over all keys."),
    GW_F64_FIELD(struct gw_ds_sampler_conf, goal_throughput, "goal_throughput", "0", 0, 1e12,
                 "dynamic_throughput: spans a second to keep, of the whole gateway."),
    {
        GW_FIELD_(struct gw_ds_sampler_conf, fingerprint, "fingerprint_attributes", GW_F_LIST, NULL, 0, 0,
                  "What makes the key: <resource|scope|span|root|any>.attributes[\"name\"]; a name alone: any."),
        .aliases = old_names,
    },
    GW_BOOL_FIELD(struct gw_ds_sampler_conf, trace_length, "trace_length", "false",
                  "The number of spans is part of the key, too."),
    GW_U64_FIELD(struct gw_ds_sampler_conf, max_keys, "max_keys", "500", 0, 1e6,
                 "Keys that are counted in an interval; traces of others are kept. 0: a million."),
    GW_U64_FIELD(struct gw_ds_sampler_conf, initial_rate, "initial_sampling_rate", "0", 0, 1e9,
                 "One in how many is kept before there are rates; 0: the goal's, or 10 of dynamic_throughput."),
    GW_DURATION_FIELD(struct gw_ds_sampler_conf, interval_ns, "adjustment_interval", "15s", 1e6, 86400e9,
                      "ema, total: how often rates are made."),
    GW_F64_FIELD(struct gw_ds_sampler_conf, weight, "weight", "0.5", 0, 0.999999,
                 "ema: of the newest interval; 0: 0.5."),
    GW_F64_FIELD(struct gw_ds_sampler_conf, burst_multiple, "burst_multiple", "2", -1e9, 1e9,
                 "ema: rates are made at once when so many times the usual traffic was counted; below 0: never."),
    GW_U64_FIELD(struct gw_ds_sampler_conf, burst_delay, "burst_detection_delay", "3", 0, 1e9,
                 "ema: intervals after the start before bursts are looked for."),
    GW_DURATION_FIELD(struct gw_ds_sampler_conf, update_ns, "update_frequency", "1s", 0, 3600e9,
                      "windowed: how often rates are made; 0: 1s."),
    GW_DURATION_FIELD(struct gw_ds_sampler_conf, lookback_ns, "lookback_frequency", "0s", 0, 86400e9,
                      "windowed: of how long; 0: 30 times update_frequency."),
    {0},
};
static const struct gw_field rule_fields[] = {
    GW_STRING_FIELD(struct gw_ds_rule_conf, name, "name", "", "Name in metrics and on spans."),
    GW_STRINGS_FIELD(struct gw_ds_rule_conf, conditions, "conditions",
                     "OTTL conditions on spans, all of which must be met; none: all traces."),
    GW_ENUM_FIELD(struct gw_ds_rule_conf, match, "match", "any_span", matches,
                  "By whichever spans of the trace, or all by one of them."),
    GW_BLOCK_FIELD(struct gw_ds_rule_conf, sampler, "sampler", sampler_fields, "What gives the rate."),
    {0},
};
static const struct gw_field cache_fields[] = {
    GW_U64_FIELD(struct gw_ds_cache_conf, sampled, "sampled_cache_size", "10000", 0, 1e9,
                 "Kept traces whose late spans are kept, too. Shared by the workers; 0: none."),
    GW_U64_FIELD(struct gw_ds_cache_conf, non_sampled, "non_sampled_cache_size", "10000", 0, 1e9,
                 "Dropped traces whose late spans are dropped, too. Shared by the workers; 0: none."),
    {0},
};
static const struct gw_field eviction_fields[] = {
    GW_ENUM_FIELD(struct gw_ds_eviction_conf, policy, "policy", "evaluate", policies,
                  "How the oldest trace of a full house is decided: by the rules, or by a fixed share."),
    GW_F64_FIELD(struct gw_ds_eviction_conf, sampling_percentage, "sampling_percentage", "0", 0, 100,
                 "probabilistic: the share to keep."),
    {0},
};
static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct gw_ds_conf, trace_timeout_ns, "trace_timeout", "30s", 1e6, 86400e9,
                      "A trace without a root waits so long for one."),
    GW_DURATION_FIELD(struct gw_ds_conf, decision_delay_ns, "decision_delay", "2s", 1e6, 86400e9,
                      "From the root, or the time-out, to the decision; up to a second more."),
    GW_U64_FIELD(struct gw_ds_conf, num_traces, "num_traces", "50000", 1, 4e9,
                 "Traces that wait at one time; of a full house the oldest is decided. Shared by the workers."),
    GW_U64_FIELD(struct gw_ds_conf, max_bytes, "max_bytes", "1073741824", 1048576, 1e15,
                 "Memory of the traces that wait, exact; the oldest makes room. Shared by the workers."),
    GW_ENUM_FIELD(struct gw_ds_conf, compress, "compress", "none", compressions,
                  "lz4: pack traces that had no new span for a second; a fifth of the memory, half a µs more a span."),
    GW_STRING_FIELD(struct gw_ds_conf, storage, "storage", "",
                    "A file_storage: what waits at the end of the process goes on waiting at the next start."),
    GW_BLOCK_FIELD(struct gw_ds_conf, cache, "decision_cache", cache_fields, "Decisions that are remembered."),
    GW_STRING_FIELD(struct gw_ds_conf, root_condition, "root_span_condition", "",
                    "OTTL condition of the span that ends the waiting; \"\": it has no parent."),
    GW_BLOCK_FIELD(struct gw_ds_conf, eviction, "eviction", eviction_fields, "Traces for which there is no room."),
    GW_LIST_FIELD(struct gw_ds_conf, rules, "rules", struct gw_ds_rule_conf, rule_fields,
                  "The first that a trace meets decides it; of none, it is dropped."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_ds_conf *c = conf;
    bool share = c->eviction.policy == GW_DS_EVICT_PROBABILISTIC;

    if (share && c->eviction.sampling_percentage <= 0)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place,
                    "eviction::sampling_percentage must be above 0 with policy: probabilistic");
    if (!share && c->eviction.sampling_percentage > 0)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place,
                    "eviction::sampling_percentage is only used with policy: probabilistic");
    gw_ds_rules_check(&c->rules, node, diag);
}

/* ---- the instance ----------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct gw_ds *s = self;

    if (!s)
        return;
    gw_ds_spool_rest(s);
    gw_metric_add(s->active, 0 - s->n_told);
    gw_traces_free(s->store);
    gw_ds_log_free(s);
    gw_ds_names_clear(&s->names);
    gw_ids_free(s->kept);
    gw_ids_free(s->gone);
    gw_ds_rules_clear(&s->rules);
    gw_ottl_free(s->root);
    if (s->pool)
        gw_batch_pool_free(s->pool);
    gw_buf_clear(&s->body);
    gw_buf_clear(&s->text);
    free(s);
}

static struct gw_metric *counter(struct gw_ds *s, const char *name, const char *help, const char *key,
                                 const char *value)
{
    const struct gw_label label = {key, value};

    return gw_meter_get(s->ctx.meter, GW_COUNTER, name, help, key ? &label : NULL, key ? 1 : 0);
}

static void make_metrics(struct gw_ds *s)
{
    static const char *const triggers[] = {"root_span", "trace_timeout", "eviction", "shutdown"};
    static const double rates[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000, 100000};
    static const char dropped[] = "otelcol_processor_dynamic_sampling_traces_dropped";
    static const char dropped_help[] = "Number of traces that were dropped, by the rule that selected them.";

    for (unsigned i = 0; i < GW_DS_N_TRIGGERS; i++)
        s->triggers[i] = counter(s, "otelcol_processor_dynamic_sampling_decision_triggers",
                                 "Number of trace decisions made, by what triggered them.", "trigger", triggers[i]);
    s->unparseable = counter(s, "otelcol_processor_dynamic_sampling_incoming_tracestate_unparseable",
                             "Number of spans whose incoming W3C tracestate could not be parsed.", NULL, NULL);
    s->evicted = counter(s, "otelcol_processor_dynamic_sampling_traces_evicted",
                         "Number of traces that had to make room.", NULL, NULL);
    s->unmatched = counter(s, dropped, dropped_help, "rule", "unmatched");
    s->evicted_dropped = counter(s, dropped, dropped_help, "rule", "_eviction");
    s->evicted_sampled =
        counter(s, "otelcol_processor_dynamic_sampling_traces_sampled",
                "Number of traces that were sampled, by the rule that selected them.", "rule", "_eviction");
    s->root_errors =
        counter(s, "otelcol_processor_dynamic_sampling_ottl_eval_errors",
                "Number of OTTL conditions that could not be evaluated, by rule.", "rule", "_root_span_condition");
    s->active = gw_meter_get(s->ctx.meter, GW_GAUGE, "otelcol_processor_dynamic_sampling_traces_active",
                             "Number of traces that await a decision.", NULL, 0);
    s->rate = gw_meter_get_histogram(s->ctx.meter, "otelcol_processor_dynamic_sampling_decision_sample_rate",
                                     "Distribution of effective sample rates.", NULL, 0, rates,
                                     sizeof(rates) / sizeof(rates[0]));
}

static uint64_t share_of(const struct gw_ctx *ctx, uint64_t all)
{
    return all / ctx->n_workers + (all % ctx->n_workers != 0);
}

uint64_t gw_ds_max_bytes(const struct gw_ds *s)
{
    uint64_t bytes = share_of(&s->ctx, s->conf->max_bytes);

    return bytes > GW_TRACES_MIN_BUDGET_BYTES ? bytes : GW_TRACES_MIN_BUDGET_BYTES;
}

/* Behind a journal it is looked at them when a step has ended. */
static uint64_t bytes_of_store(const struct gw_ds *s)
{
    return s->log ? gw_kept_store_bytes(gw_ds_max_bytes(s)) : gw_ds_max_bytes(s);
}

struct gw_traces *gw_ds_open_store(struct gw_ds *s)
{
    const struct gw_traces_conf store = {
        .env = s->ctx.env,
        .memory = s->ctx.host ? s->ctx.host->memory : NULL,
        .budget_bytes = bytes_of_store(s),
        .facts_bytes = sizeof(struct gw_ds_facts),
        .compress = s->conf->compress == LZ4,
        .tick_ns = S,
        .ordered = s->log != NULL,
    };

    if (!s->store)
        s->store = gw_traces_new(&store);
    return s->store;
}

static bool make_memory(struct gw_ds *s)
{
    s->max_traces = share_of(&s->ctx, s->conf->num_traces);
    s->kept = gw_ids_new(s->ctx.env, (uint32_t)share_of(&s->ctx, s->conf->cache.sampled));
    s->gone = gw_ids_new(s->ctx.env, (uint32_t)share_of(&s->ctx, s->conf->cache.non_sampled));
    s->pool = gw_batch_pool_new(2);
    s->spooler = (struct gw_spooler){.ops = &gw_ds_spooler, .self = s, .ctx = &s->ctx, .pool = s->pool};
    return s->kept && s->gone && s->pool && gw_ds_names_init(&s->names);
}

static int make_root(struct gw_ds *s, struct gw_err *err)
{
    struct gw_ottl_fault fault = {0};
    int rc;

    if (!*s->conf->root_condition)
        return 0;
    rc = gw_ottl_condition_new(gw_slice_cstr(s->conf->root_condition), GW_OTTL_SPAN, s->ctx.env, &s->root, &fault);
    return rc < 0 ? gw_fail(err, rc, "root_span_condition, column %u: %.200s", fault.column, fault.text) : 0;
}

/* A rule for everything before another one is nearly always a mistake. */
static void warn_unreachable(const struct gw_ds *s)
{
    for (uint32_t i = 0; i + 1 < s->rules.n; i++)
        if (s->rules.list[i].conf->conditions.n == 0) {
            gw_log(&s->ctx.logger, GW_LOG_WARN,
                   "rule \"%s\" has no conditions: the %u rules behind it are never reached",
                   s->rules.list[i].conf->name, s->rules.n - i - 1);
            return;
        }
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_ds *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return -ENOMEM;
    *ret_self = s;
    s->ctx = *ctx;
    s->conf = conf;
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    gw_buf_init(&s->text, GW_TRACE_STATE_BYTES);
    make_metrics(s);
    if (!gw_threshold_of(s->conf->eviction.sampling_percentage / 100, GW_SAMPLING_DIGITS, &s->eviction_threshold))
        s->eviction_threshold = GW_NEVER_SAMPLE;
    rc = gw_ds_rules_init(&s->rules, &s->conf->rules, ctx->env, ctx->meter, 1.0 / ctx->n_workers, err);
    if (rc == 0)
        rc = make_root(s, err);
    if (rc == 0 && !make_memory(s))
        rc = gw_fail(err, -ENOMEM, "out of memory");
    if (rc == 0)
        gw_ds_number_rules(s);
    if (rc == 0 && ctx->worker == 0)
        warn_unreachable(s);
    return rc;
}

static uint64_t held(void *self)
{
    const struct gw_ds *s = self;

    return (s->store ? gw_traces_n_spans(s->store) : 0) + s->n_spans + s->spooler.n_spans;
}

/* Of all workers: differences, which may be negative. */
void gw_ds_tell(struct gw_ds *s)
{
    uint64_t n = s->store ? gw_traces_n(s->store) : 0;

    gw_metric_add(s->active, n - s->n_told);
    s->n_told = n;
}

/* ---- turns ------------------------------------------------------------------------------------------------ */

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_ds_take_up(self, out);
    gw_ds_consume(self, v, out);
}

int gw_ds_decide_due(struct gw_ds *s, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_trace *t;
    unsigned n = 0;

    if (!s->store)
        return GW_DONE;
    while ((t = gw_traces_next_due(s->store, now_ns)) != NULL && n++ < TURN_TRACES)
        if (!gw_ds_decide(s, t, gw_ds_facts(t)->has_root ? GW_DS_BY_ROOT : GW_DS_BY_TIMEOUT, out))
            return GW_DONE; /* with the next tick */
    return t ? GW_MORE : GW_DONE;
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_ds *s = self;
    int rc = GW_DONE;

    gw_ds_take_up(s, out);
    if (!s->log) {
        rc = gw_ds_decide_due(s, now_ns, out);
        (void)gw_ds_flush(s, out);
    }
    if (s->store)
        (void)gw_traces_cool(s->store, gw_ds_now_ns(s), COOL_BYTES); /* none with compress: none */
    gw_ds_tell(s);
    return rc;
}

/* The journal has them: they come again. */
static void leave_to_journal(struct gw_ds *s, struct gw_ports *out)
{
    gw_ds_settle(out, (uint32_t)held(s), GW_REFUSED, "in_journal");
    s->n_parts = s->n_spans = 0;
    gw_buf_reset(&s->body);
}

/* True: there is more of it, or no memory. */
static bool decide_all(struct gw_ds *s, struct gw_ports *out)
{
    struct gw_trace *t = NULL;
    unsigned n = 0;

    while (s->store && (t = gw_traces_oldest(s->store)) != NULL && n++ < TURN_TRACES)
        if (!gw_ds_decide(s, t, GW_DS_BY_SHUTDOWN, out))
            return true;
    return !gw_ds_flush(s, out) || t;
}

static int drain(void *self, struct gw_ports *out)
{
    struct gw_ds *s = self;
    bool more = false;

    gw_ds_take_up(s, out);
    if (s->log)
        leave_to_journal(s, out);
    else if (!gw_ds_flush(s, out))
        more = true;
    else if (!gw_ds_spool(s))
        more = decide_all(s, out);
    if (!more) { /* it is charged to the process */
        gw_traces_free(s->store);
        s->store = NULL;
    }
    gw_ds_tell(s);
    return more ? GW_MORE : GW_DONE;
}

#define SWAP(a, b)                                                                                                     \
    do {                                                                                                               \
        __typeof__(a) c = a;                                                                                           \
        a = b;                                                                                                         \
        b = c;                                                                                                         \
    } while (0)

/* Something stands there when there was no memory for it. */
static void swap_body(struct gw_ds *s, struct gw_ds *old)
{
    SWAP(s->body, old->body);
    SWAP(s->n_parts, old->n_parts);
    SWAP(s->n_spans, old->n_spans);
    SWAP(s->oldest_ns, old->oldest_ns);
    SWAP(s->receiver, old->receiver);
    memcpy(s->parts, old->parts, sizeof(s->parts));
}

/* Traces that wait go on waiting, by the times that held when they came; rates go on where they stood. */
static int adopt(void *self, void *old_self)
{
    struct gw_ds *s = self, *old = old_self;

    if (gw_spooler_adopt(&s->spooler, &old->spooler, old->log != NULL) < 0)
        return -ENOTSUP;
    if (old->log)
        gw_ds_log_end_restore(old);
    SWAP(s->store, old->store);
    SWAP(s->n_told, old->n_told);
    SWAP(s->log, old->log);
    SWAP(s->names, old->names);
    swap_body(s, old);
    if (s->store) {
        gw_traces_set_limits(s->store, bytes_of_store(s), 0);
        gw_traces_set_compress(s->store, s->conf->compress == LZ4);
    }
    gw_ds_number_rules(s);
    if (s->log)
        gw_ds_log_changed(s);
    gw_ds_rules_adopt(&s->rules, &old->rules);
    gw_ids_adopt(s->kept, old->kept);
    gw_ids_adopt(s->gone, old->gone);
    return 0;
}

const struct gw_component gw_processor_dynamic_sampling = {
    .kind = GW_PROCESSOR,
    .name = "dynamic_sampling",
    .summary = "Keep traces at rates that follow the traffic, by kinds of traces.",
    .signals = GW_TRACES,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN,
    .writes = GW_C_ROW | GW_C_ATTRS,
    .partition_by = "trace_id",
    .expands = 2,
    .holds = true,
    .fields = fields,
    .conf_size = sizeof(struct gw_ds_conf),
    .check = check,
    .create_shared = gw_ds_new_shared,
    .destroy_shared = gw_spooler_free_shared,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
    .adopt = adopt,
    .keep = &gw_ds_keep,
};
