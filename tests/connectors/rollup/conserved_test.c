/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is lost: what leaves in final results, overflow and all, what is late and what is refused is what came in, to
 * the point, and their sum is that of the values when none was late. Any number of series against any limit, any order.
 *
 * GW_SIM_SEEDS=n runs n seeds (default 20), GW_SIM_SEED=s only that one.
 */
#include "tests/connectors/rollup/windows.h"

#include "tests/harness_engine.h"

enum { N_POINTS = 300, N_MANY = 60000, A_REQUEST = 200 };

static uint64_t seed_;
static unsigned n_points, n_late, n_over, late, refused;
static double count, sum;

static uint64_t any(uint64_t n)
{
    return gw_test_random(&seed_) % n;
}

static double value_of(const Opentelemetry__Proto__Metrics__V1__NumberDataPoint *p)
{
    return p->value_case == OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT ? (double)p->as_int
                                                                                               : p->as_double;
}

static void gather(void)
{
    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++)
                for (size_t m = 0; m < requests[q]->resource_metrics[i]->scope_metrics[k]->n_metrics; m++) {
                    const Metric *at = requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m];
                    bool is_count = strcmp(at->name, "temperature.count") == 0;

                    for (size_t p = 0; p < (IS(at, SUM) ? at->sum->n_data_points : 0); p++)
                        *(is_count ? &count : &sum) += value_of(at->sum->data_points[p]);
                }
    late += r.n_side;
    refused += r.settled[GW_REFUSED];
    gw_joint_forget(&r);
}

static void begin(uint64_t max_series, unsigned max_mib, unsigned n_workers)
{
    char yaml[512];

    (void)snprintf(yaml, sizeof(yaml),
                   "max_series: %llu\nmax_bytes: %u\naggregates: [count, sum]\nallowed_lateness: 2s\n"
                   "time: { bounded_delay: 1s, idle_timeout: 1h }\nwindows: [ { size: 5s } ]\n",
                   (unsigned long long)max_series, max_mib << 20);
    open_rollup(GW_METRICS, yaml, n_workers);
    count = sum = 0;
    late = refused = 0;
}

/* Everybody ends. */
static void end(unsigned sent, double values)
{
    for (unsigned i = 0; i < r.n_workers; i++)
        while (gw_joint_drain(&r, i) == GW_MORE)
            ;
    n_over += (unsigned)gw_joint_metric(&r, "staunch_rollup_overflow_items{component=\"rollup\",signal=\"metrics\"}");
    gather();
    assert_true(count + late + refused == sent);
    assert_true(late + refused > 0 || sum == values);
    n_points += sent;
    n_late += late;
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
}

/* Few series may be open; points come up to a few seconds after it was time for them, or much later. */
static void few_series(void)
{
    uint64_t at_ms = 6000;
    unsigned n_series = 1 + (unsigned)any(40), n_workers = 1 + (unsigned)any(3), latest = any(2) ? 2500 : 12000;
    double values = 0;

    begin(1 + any(12), 64, n_workers);
    for (unsigned i = 0; i < N_POINTS; i++) {
        int value = (int)any(1000) - 300;
        char attrs[64];

        at_ms += any(20) ? any(200) : any(6000);
        until((double)at_ms / 1e3);
        (void)snprintf(attrs, sizeof(attrs), INT("i", "%u"), (unsigned)any(n_series));
        gauge((unsigned)any(n_workers), (double)(at_ms - any(latest)) / 1e3 + 1e-4, value, attrs);
        values += value;
        if (any(10) == 0)
            gather();
    }
    end(N_POINTS, values);
}

/* As many series as there are points, and a budget for some of them. */
static void little_memory(void)
{
    static char text[64 << 10];
    unsigned n_workers = 1 + (unsigned)any(3), window = 0;
    double values = 0;

    begin(100000000, 4 + (unsigned)any(3), n_workers);
    for (unsigned i = 0; i < N_MANY; i += A_REQUEST) {
        size_t n = (size_t)snprintf(text, sizeof(text),
                                    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"temperature\","
                                    "\"gauge\":{\"dataPoints\":[");

        if (any(100) == 0) {
            until(6 + 4 * ++window);
            gather();
        }
        for (unsigned k = 0; k < A_REQUEST; k++) {
            int value = (int)any(1000) - 300;
            char attrs[64];

            (void)snprintf(attrs, sizeof(attrs), INT("i", "%u"), i + k);
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", k ? "," : "",
                                  point_json(6 + 4 * window, value, attrs));
            values += value;
        }
        (void)snprintf(text + n, sizeof(text) - n, "]}}]}]}]}");
        gw_joint_send(&r, (unsigned)any(n_workers), text);
        assert_true(r.memory.used_bytes <= 6 << 20);
    }
    end(N_MANY, values);
}

static void run(uint64_t seed)
{
    seed_ = seed;
    if (any(10))
        few_series();
    else
        little_memory();
}

static void what_comes_in_leaves(void **state)
{
    (void)state;
    gw_test_seeds(20, run);
    print_message("%u points, %u of them late, %u in overflow series\n", n_points, n_late, n_over);
    assert_true(getenv("GW_SIM_SEED") || (n_late > 0 && n_over > 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_comes_in_leaves)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
