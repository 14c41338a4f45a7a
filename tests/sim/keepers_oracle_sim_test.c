/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groupbytrace and dynamic_sampling behind a journal, killed again and again, against themselves (trace_oracle.h).
 *
 *   groupbytrace       a trace without a root is dropped when its time is over: so it shows which spans were together;
 *                      with other numbers of workers, too
 *   dynamic_sampling   rules, and rates that follow the traffic: so it shows that samplers know what they knew
 *
 * GW_SIM_SEEDS=n runs n seeds of each (default 4), GW_SIM_SEED=s only that one.
 */
#include "tests/sim/trace_oracle.h"

static void draw_group(struct world *w)
{
    w->is = draw_shape(w);
    w->is.giants = any(w, 5) == 0;
    w->is.pads = any(w, 5) == 0;
    w->is.other_workers = any(w, 3) == 0;
    w->is.steps_back = !w->is.other_workers && any(w, 3) == 0;
    w->processor = "groupbytrace";
    (void)snprintf(w->settings, sizeof(w->settings), "wait_duration: %ums, discard_orphans: %s, compress: %s",
                   100 * (1 + (unsigned)any(w, 30)), any(w, 4) ? "true" : "false", any(w, 2) ? "lz4" : "none");
}

static const char *sampler_of(struct world *w)
{
    static const char *const samplers[] = {
        "type: dynamic_percentage, goal_percentage: 30, adjustment_interval: 2s, weight: 0.3, burst_detection_delay: 0",
        "type: dynamic_throughput, goal_throughput: 20, adjustment_interval: 1s, initial_sampling_rate: 2",
        "type: dynamic_throughput, algorithm: windowed, goal_throughput: 6, lookback_frequency: 5s",
        "type: dynamic_throughput, algorithm: total, goal_throughput: 6, adjustment_interval: 2s, max_keys: 2",
    };

    return samplers[any(w, 4)];
}

static void draw_sampling(struct world *w)
{
    unsigned cache = any(w, 2) ? 0 : 100000;

    w->is = draw_shape(w);
    w->is.steps_back = any(w, 3) == 0;
    w->processor = "dynamic_sampling";
    (void)snprintf(w->settings, sizeof(w->settings),
                   "trace_timeout: %ums, decision_delay: %ums, decision_cache: {sampled_cache_size: %u, "
                   "non_sampled_cache_size: %u}, rules: [{name: e, conditions: ['status.code == STATUS_CODE_ERROR'], "
                   "sampler: {type: always_sample}}, {name: rest, sampler: {%s, trace_length: %s, "
                   "fingerprint_attributes: ['span.attributes[\"keep\"]']}}]",
                   100 * (1 + (unsigned)any(w, 20)), 100 * (1 + (unsigned)any(w, 10)), cache, cache, sampler_of(w),
                   any(w, 2) ? "true" : "false");
}

static void run_seed(uint64_t seed)
{
    unsigned bad = run(seed, draw_group, false);

    if (!bad)
        bad = run(seed, draw_sampling, false);
    if (bad)
        fail_msg("seed %llu: %u spans are missing, or there too often", (unsigned long long)seed, bad);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  what leaves is, span by span, what leaves a gateway that nobody kills
 */
static void what_leaves_is_what_leaves_an_uninterrupted_run(void **state)
{
    (void)state;
    gw_test_seeds(4, run_seed);
    print_message("%llu crashes; %llu spans kept, %llu not\n", n_crashes, n_kept, n_dropped);
    assert_true(n_kept > 0 && n_dropped > 0);
}

/*
 * Scenario    between two lives it is forgotten how far the pipeline was, but not what it decided
 * Guarantees  the same comparison sees it
 */
static void without_places_the_comparison_fails(void **state)
{
    unsigned n[2] = {0, 0};

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        n[0] += run(seed, draw_group, true) > 0;
        n[1] += run(seed, draw_sampling, true) > 0;
    }
    assert_true(n[0] >= 2 && n[1] >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_leaves_is_what_leaves_an_uninterrupted_run),
                                       cmocka_unit_test(without_places_the_comparison_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
