/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the order in which points come, by whichever worker, windows say what a computation over all points says.
 * Points are out of order by up to the bounded delay and the allowed lateness, some are later than that, some clocks
 * are ahead by an hour, sources fall silent. For each seed:
 *
 *   all at once   every result is what the points of its window say, computed apart
 *   order         another order within the bound gives the same results
 *   watermark     it never goes back, and no window is told before it has passed its end and lateness
 *   conservation  rows in = aggregated + late + rejected; aggregated rows = what all counts say
 *
 * GW_SIM_SEEDS=n runs n seeds (default 30), GW_SIM_SEED=s only that one.
 */
#include "tests/connectors/rollup/windows.h"

#include "tests/harness_engine.h"

enum { N_POINTS = 300, N_SERIES = 5, N_WINDOWS = 400, SIZE_S = 7, SLIDE_S = 3, LATENESS_S = 4, DELAY_S = 3 };

struct planned {
    double second, came; /* behind the minute */
    unsigned series, worker;
    int value;
};

static struct planned points[N_POINTS];
static struct {
    double sum[N_SERIES][N_WINDOWS];
    unsigned count[N_SERIES][N_WINDOWS];
} expected[2], found[2]; /* tumbling of SIZE_S; hopping by SLIDE_S */
static uint64_t seed_;

static uint64_t any(uint64_t n)
{
    return gw_test_random(&seed_) % n;
}

static int by_coming(const void *a, const void *b)
{
    const struct planned *x = a, *y = b;

    return (x->came > y->came) - (x->came < y->came);
}

static void plan(unsigned n_workers, double delay_s)
{
    double now = 6;

    for (unsigned i = 0; i < N_POINTS; i++) {
        now += (double)any(300) / 1000;
        if (any(100) == 0)
            now += (double)any(20); /* everybody is silent */
        points[i] = (struct planned){.came = now + (double)any((uint64_t)(delay_s * 1000) + 1) / 1000,
                                     .second = now,
                                     .series = (unsigned)any(N_SERIES),
                                     .worker = (unsigned)any(n_workers),
                                     .value = (int)any(1000) - 300};
    }
    qsort(points, N_POINTS, sizeof(points[0]), by_coming);
}

static void send_one(const struct planned *p, double ahead)
{
    char attrs[64];

    (void)snprintf(attrs, sizeof(attrs), INT("i", "%u"), p->series);
    gauge(p->worker, p->second + ahead, p->value, attrs);
}

static void look(const Metric *m, bool is_sum, double earliest)
{
    for (size_t i = 0; i < m->sum->n_data_points; i++) {
        const Opentelemetry__Proto__Metrics__V1__NumberDataPoint *p = m->sum->data_points[i];
        unsigned end = (unsigned)((p->time_unix_nano - minute) / S), series = 0, hops = 0;

        assert_true((double)end + LATENESS_S <= earliest); /* told too early? */
        for (size_t a = 0; a < p->n_attributes; a++) {
            if (strcmp(p->attributes[a]->key, "i") == 0)
                series = (unsigned)p->attributes[a]->value->int_value;
            else
                hops = strchr(p->attributes[a]->value->string_value, '/') != NULL;
        }
        if (is_sum)
            found[hops].sum[series][end] += p->as_double;
        else
            found[hops].count[series][end] += (unsigned)p->as_int;
    }
}

/* What was told since the last time, at that watermark (seconds behind the minute). */
static void gather(double watermark)
{
    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++)
                for (size_t m = 0; m < requests[q]->resource_metrics[i]->scope_metrics[k]->n_metrics; m++) {
                    const Metric *at = requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m];

                    look(at, strcmp(at->name, "temperature.sum") == 0, watermark);
                }
    for (unsigned i = 0; i < r.n_bodies; i++)
        gw_buf_clear(&r.bodies[i]);
    r.n_bodies = 0;
    r.n_changes++;
}

static double watermark_now(void)
{
    return gw_joint_metric(&r, "staunch_rollup_watermark_timestamp_seconds{component=\"rollup\",signal=\"metrics\"}") -
           (double)(minute / S);
}

/* Every point into its windows. Windows begin at multiples of their slide behind 1970. */
static void expect(const struct planned *p)
{
    uint64_t at = minute / S + (uint64_t)p->second, first = at / SLIDE_S * SLIDE_S;

    expected[0].sum[p->series][at / SIZE_S * SIZE_S + SIZE_S - minute / S] += p->value;
    expected[0].count[p->series][at / SIZE_S * SIZE_S + SIZE_S - minute / S]++;
    for (uint64_t start = first; start + SIZE_S > at; start -= SLIDE_S) {
        expected[1].sum[p->series][start + SIZE_S - minute / S] += p->value;
        expected[1].count[p->series][start + SIZE_S - minute / S]++;
    }
}

static void run(uint64_t seed)
{
    double mark = -1e18, end;
    unsigned n_workers;

    seed_ = seed;
    memset(expected, 0, sizeof(expected));
    memset(found, 0, sizeof(found));
    n_workers = 1 + (unsigned)any(3);
    open_rollup(GW_METRICS,
                "allowed_lateness: 4s\ntime: { bounded_delay: 3s, idle_timeout: 2s }\naggregates: [count, sum]\n"
                "windows: [ { size: 7s }, { type: hopping, size: 7s, slide: 3s } ]",
                n_workers);
    plan(n_workers, DELAY_S + LATENESS_S);
    for (unsigned i = 0; i < N_POINTS; i++) {
        until(points[i].came);
        assert_true(watermark_now() >= mark);
        mark = watermark_now();
        gather(mark + 1e-3);
        if (any(40) == 0)
            send_one(&points[i], 3600); /* that one is rejected */
        send_one(&points[i], 0);
        expect(&points[i]);
    }
    assert_int_equal(r.n_side, 0); /* all were within the bound */
    assert_int_equal(r.settled[GW_ABSORBED], N_POINTS);
    end = points[N_POINTS - 1].came;
    until(end + 60);
    gather(end + 61);
    assert_memory_equal(found, expected, sizeof(expected));
    for (unsigned i = 0; i < 20; i++) /* and what is later than that is late, every time */
        send_one(&points[any(N_POINTS)], -60);
    assert_int_equal(r.n_side, 20);
    until(end + 120);
    gather(end + 121);
    assert_memory_equal(found, expected, sizeof(expected));
    close_rollup();
}

static void any_order_gives_the_same_results(void **state)
{
    (void)state;
    gw_test_seeds(30, run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order_gives_the_same_results)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
