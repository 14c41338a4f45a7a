/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling behind a journal, killed again and again, against itself (trace_oracle.h). Whatever is asked of the
 * sampler (limits per second, links, small caches, a full house, too long traces, early decisions, spans judged as they
 * come), both keep the same spans, each as often. With other numbers of workers: where nothing is divided between
 * workers.
 *
 * GW_SIM_SEEDS=n runs n seeds (default 6), GW_SIM_SEED=s only that one.
 */
#include "tests/sim/trace_oracle.h"

enum limit { NO_LIMIT, RATE, BYTES, COMPOSITE, N_LIMITS };

/* What is asked of the sampler. */
struct asked {
    bool early, ingest, drops;
    unsigned wait_ms, root_ms, kept_cache, gone_cache, max_links, max_spans, max_traces, max_mib, max_trace;
    enum limit limit;
};

static unsigned one_of(struct world *w, const unsigned *list, unsigned n)
{
    return list[any(w, n)];
}

static const char *policies_of(enum limit limit)
{
    static const char *const limits[N_LIMITS] = {
        "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, "
        "{name: m, type: string_attribute, string_attribute: {key: keep, values: [yes]}}",
        "{name: e, type: and, and: {and_sub_policy: [{name: s, type: span_count, span_count: {min_spans: 2}}, "
        "  {name: r, type: rate_limiting, rate_limiting: {spans_per_second: 12}}]}}",
        "{name: m, type: string_attribute, string_attribute: {key: keep, values: [yes]}}, "
        "{name: b, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1500, burst_capacity: 4000}}",
        "{name: c, type: composite, composite: {max_total_spans_per_second: 30, policy_order: [e, a], "
        "  composite_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, "
        "    {name: a, type: always_sample}], rate_allocation: [{policy: e, percent: 60}, {policy: a, percent: 30}]}}"};

    return limits[limit];
}

static void write_settings(struct world *w, const struct asked *s)
{
    w->processor = "tail_sampling";
    (void)snprintf(
        w->settings, sizeof(w->settings),
        "decision_wait: %ums, decision_wait_after_root_received: %ums, decide_early: %s, max_spans_per_trace: %u,\n"
        "  maximum_trace_size_bytes: %u, num_traces: %u, max_bytes: %u, overflow: %s, follow_links: %s,\n"
        "  max_links: %u, sampling_strategy: %s, reason_attribute: why,\n"
        "  decision_cache: { sampled_cache_size: %u, non_sampled_cache_size: %u }, policies: [%s]",
        s->wait_ms, s->root_ms, s->early ? "true" : "false", s->max_spans, s->max_trace, s->max_traces,
        s->max_mib << 20, s->drops ? "drop" : "decide", w->is.links ? "true" : "false", s->max_links,
        s->ingest ? "span-ingest" : "trace-complete", s->kept_cache, s->gone_cache, policies_of(s->limit));
}

static void draw_limits(struct world *w, struct asked *s)
{
    s->limit = (enum limit)any(w, N_LIMITS);
    s->max_spans = any(w, 3) ? 0 : 3 + (unsigned)any(w, 6);
    s->max_traces = any(w, 3) ? 50000 : 3 + (unsigned)any(w, 10);
    s->max_trace = any(w, 6) ? 0 : 300 + (unsigned)any(w, 2000);
    w->is.pads = any(w, 5) == 0;
    w->is.giants = any(w, 5) == 0;
    s->max_mib = w->is.pads && any(w, 2) ? 1 : 1024;
    s->drops = any(w, 4) == 0;
}

/* Nothing that workers divide between them, and that other workers divide otherwise. */
static bool is_by_trace(const struct world *w, const struct asked *s)
{
    return s->limit == NO_LIMIT && !w->is.links && s->max_traces == 50000 && s->max_mib == 1024 &&
           (s->kept_cache == 0 || s->kept_cache == 100000) && (s->gone_cache == 0 || s->gone_cache == 100000);
}

static void draw(struct world *w)
{
    static const unsigned caches[] = {0, 1, 3, 10, 100000, 100000};
    struct asked s = {.early = any(w, 3) == 0,
                      .wait_ms = 100 * (1 + (unsigned)any(w, 30)),
                      .root_ms = any(w, 3) ? 0 : 100 * (1 + (unsigned)any(w, 10)),
                      .kept_cache = one_of(w, caches, 6),
                      .gone_cache = one_of(w, caches, 6),
                      .max_links = any(w, 2) ? 10000 : 1 + (unsigned)any(w, 20)};

    w->is = draw_shape(w);
    w->is.links = any(w, 3) == 0;
    draw_limits(w, &s);
    s.ingest = s.limit == NO_LIMIT && any(w, 3) == 0;
    w->is.other_workers = is_by_trace(w, &s) && any(w, 2);
    w->is.steps_back = !w->is.other_workers && any(w, 3) == 0;
    write_settings(w, &s);
}

static void run_seed(uint64_t seed)
{
    unsigned bad = run(seed, draw, false);

    if (bad)
        fail_msg("seed %llu: %u spans are missing, or there too often", (unsigned long long)seed, bad);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  what is kept is, span by span, what the gateway keeps that nobody kills
 */
static void it_keeps_what_an_uninterrupted_run_keeps(void **state)
{
    (void)state;
    gw_test_seeds(6, run_seed);
    print_message("%llu crashes; %llu spans kept, %llu not\n", n_crashes, n_kept, n_dropped);
    assert_true(n_kept > 0 && n_dropped > 0);
}

/*
 * Scenario    between two lives it is forgotten how far the pipeline was, but not what it decided
 * Guarantees  the same comparison sees it
 */
static void without_places_the_comparison_fails(void **state)
{
    unsigned n = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        n += run(seed, draw, true) > 0;
    assert_true(n >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_keeps_what_an_uninterrupted_run_keeps),
                                       cmocka_unit_test(without_places_the_comparison_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
