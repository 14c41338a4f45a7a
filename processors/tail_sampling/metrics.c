/* SPDX-License-Identifier: Apache-2.0 */
/* Self-metrics of tail_sampling: the Collector's names, and ours. Those of single policies are counted with them. */
#include "processors/tail_sampling/sampler.h"

static const double timer_ms[] = {1,   2,   5,    10,   25,   50,   75,   100,   150,   200,   300,  400,
                                  500, 750, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 50000};
static const double ages_s[] = {0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000};

#define N(a)     (sizeof(a) / sizeof((a)[0]))
#define THEIRS   "otelcol_processor_tail_sampling_"
#define OURS     "staunch_tail_sampling_"
#define NO_LABEL NULL, 0

static const char *const causes[GW_TAIL_N_CAUSES] = {
    [GW_TAIL_DUE] = "due",
    [GW_TAIL_SETTLED] = "settled",
    [GW_TAIL_ON_INGEST] = "span_ingest",
    [GW_TAIL_NUM_TRACES] = "num_traces",
    [GW_TAIL_BYTES] = "max_bytes",
    [GW_TAIL_SPANS] = "max_spans_per_trace",
    [GW_TAIL_TOO_LARGE] = "too_large",
    [GW_TAIL_SHUTDOWN] = "shutdown",
};

static struct gw_metric *global(struct gw_meter *meter, const char *sampled, const char *decision)
{
    const struct gw_label labels[] = {{"sampled", sampled}, {"decision", decision}};

    return gw_meter_get(meter, GW_COUNTER, THEIRS "global_count_traces_sampled",
                        "Global count of traces that were sampled or not by at least one policy", labels, 2);
}

static struct gw_metric *early(struct gw_meter *meter, const char *sampled)
{
    const struct gw_label labels[] = {{"sampled", sampled}};

    return gw_meter_get(meter, GW_COUNTER, THEIRS "early_releases_from_cache_decision",
                        "Number of spans that were able to be immediately released due to a decision cache hit.",
                        labels, 1);
}

static void make_theirs(struct gw_tail_meter *m, struct gw_meter *meter)
{
    m->timer_latency = gw_meter_get_histogram(meter, THEIRS "sampling_decision_timer_latency",
                                              "Latency (in milliseconds) of each run of the sampling decision timer",
                                              NO_LABEL, timer_ms, N(timer_ms));
    m->late_span_age =
        gw_meter_get_histogram(meter, THEIRS "sampling_late_span_age",
                               "Time (in seconds) from the sampling decision was taken and the arrival of a late span",
                               NO_LABEL, ages_s, N(ages_s));
    m->removal_age = gw_meter_get_histogram(
        meter, THEIRS "sampling_trace_removal_age",
        "Time (in seconds) from arrival of a new trace until its removal from memory", NO_LABEL, ages_s, N(ages_s));
    m->dropped_too_early =
        gw_meter_get(meter, GW_COUNTER, THEIRS "sampling_trace_dropped_too_early",
                     "Count of traces that needed to be dropped before the configured wait time", NO_LABEL);
    m->on_memory = gw_meter_get(meter, GW_GAUGE, THEIRS "sampling_traces_on_memory",
                                "Tracks the number of traces current on memory", NO_LABEL);
    m->new_ids =
        gw_meter_get(meter, GW_COUNTER, THEIRS "new_trace_id_received", "Counts the arrival of new traces", NO_LABEL);
    m->too_large = gw_meter_get(meter, GW_COUNTER, THEIRS "traces_dropped_too_large",
                                "Count of traces that were dropped because they were too large", NO_LABEL);
    m->unparseable =
        gw_meter_get(meter, GW_COUNTER, THEIRS "count_spans_with_unparseable_tracestate",
                     "Count of spans skipped while rewriting the effective `th` because their tracestate could not be "
                     "parsed",
                     NO_LABEL);
    m->sampled = global(meter, "true", "sampled");
    m->not_sampled = global(meter, "false", "not_sampled");
    m->dropped = global(meter, "false", "dropped");
    m->early_sampled = early(meter, "true");
    m->early_not_sampled = early(meter, "false");
}

static void make_ours(struct gw_tail_meter *m, struct gw_meter *meter)
{
    m->held_bytes = gw_meter_get(meter, GW_GAUGE, OURS "held_bytes",
                                 "Memory of traces that wait, exact, index and decisions included.", NO_LABEL);
    m->without_id = gw_meter_get(meter, GW_COUNTER, OURS "spans_without_trace_id",
                                 "Spans whose trace id is absent or all zeros.", NO_LABEL);
    m->linked = gw_meter_get(meter, GW_COUNTER, OURS "traces_kept_by_link",
                             "Traces kept because of a link to or from a kept trace.", NO_LABEL);
    m->inconsistent =
        gw_meter_get(meter, GW_COUNTER, OURS "inconsistent_thresholds",
                     "Kept spans without the decision's threshold: their randomness is below it.", NO_LABEL);
    for (unsigned i = 0; i < GW_TAIL_N_CAUSES; i++) {
        const struct gw_label labels[] = {{"cause", causes[i]}};

        m->causes[i] = gw_meter_get(meter, GW_COUNTER, OURS "decisions",
                                    "Traces decided, by what made it happen at that moment.", labels, 1);
    }
}

void gw_tail_meter_init(struct gw_tail_meter *m, struct gw_meter *meter)
{
    make_theirs(m, meter);
    make_ours(m, meter);
}

void gw_tail_meter_show(struct gw_tail_meter *m, uint64_t traces, uint64_t bytes)
{
    gw_metric_add(m->on_memory, traces - m->shown_traces); /* below zero it wraps, and so it is right */
    gw_metric_add(m->held_bytes, bytes - m->shown_bytes);
    m->shown_traces = traces;
    m->shown_bytes = bytes;
}
