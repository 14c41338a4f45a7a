/* SPDX-License-Identifier: Apache-2.0 */
/* Windows that several workers fill and tell, with real threads and the real clock: what the thread sanitizer looks at.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "tests/harness_engine.h"

enum { N_REQUESTS = 2000, N_WORKERS = 4, N_MODES = 4 };

static const char *const modes[N_MODES] = {"final", "eager", "delta", "retract"};
static char dir[64];

/* Sessions in all but delta, which has none. */
static const char *configuration(void)
{
    static char yaml[8192];
    size_t n = (size_t)snprintf(yaml, sizeof(yaml),
                                "receivers: { pump: { requests: %u, rows: 7, traces: true } }\nconnectors:\n",
                                (unsigned)N_REQUESTS);

    for (unsigned i = 0; i < N_MODES; i++)
        n += (size_t)snprintf(
            yaml + n, sizeof(yaml) - n,
            "  rollup/%s: { name: %s, keys: , aggregates: [count], allowed_lateness: 50ms,\n"
            "    time: { bounded_delay: 1ms, max_future: 1s, idle_timeout: 2ms }, emit: { mode: %s%s },\n"
            "    windows: [ { size: 5ms }, { type: hopping, size: 6ms, slide: 2ms }%s ] }\n",
            modes[i], modes[i], modes[i], i ? ", interval: 2ms" : "",
            i == 2 ? "" : ", { type: session, gap: 1ms, max_size: 20ms }");
    n += (size_t)snprintf(yaml + n, sizeof(yaml) - n, "exporters: { file: { path: %s/told } }\n", dir);
    n += (size_t)snprintf(yaml + n, sizeof(yaml) - n,
                          "service:\n  pipelines:\n    traces: { receivers: [pump], exporters: [rollup/final, "
                          "rollup/eager, rollup/delta, rollup/retract] }\n");
    for (unsigned i = 0; i < N_MODES; i++)
        n += (size_t)snprintf(yaml + n, sizeof(yaml) - n,
                              "    metrics/%s: { receivers: [rollup/%s], exporters: [file] }\n", modes[i], modes[i]);
    return yaml;
}

static void run_to_the_end(struct gw_test_engine *t, struct gw_test_pump *p)
{
    while (p->n_ok + p->n_refused + p->n_failed < (uint64_t)N_REQUESTS * N_WORKERS)
        gw_loop_turn(t->loop, 5000000);
    gw_engine_quiesce(t->engine);
    gw_engine_drain(t->engine);
    while (!gw_engine_is_quiet(t->engine) || !gw_engine_is_drained(t->engine))
        gw_loop_turn(t->loop, 5000000);
}

/* What all results of tumbling windows come to. A point ends in its value, and its attributes stand before that. */
static uint64_t sum_of(const char *mode)
{
    char path[100], name[32], *line = NULL;
    uint64_t sum = 0;
    size_t cap = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/told", dir);
    (void)snprintf(name, sizeof(name), "\"%s.count\"", mode);
    f = fopen(path, "r");
    assert_non_null(f);
    while (getline(&line, &cap, f) > 0)
        for (char *point = strstr(line, name) ? line : NULL, *value; point && (value = strstr(point, "\"asInt\":\""));
             point = value + 1) {
            uint64_t n = strtoull(value + 9, NULL, 10);

            *value = 0;
            if (!strstr(point, "\"5ms\"") ||
                (strcmp(mode, "eager") == 0 && !strstr(point, "is_final\",\"value\":{\"boolValue\":true}")))
                continue;
            sum += strstr(point, "rollup.retracts") ? -n : n;
        }
    free(line);
    (void)fclose(f);
    return sum;
}

static uint64_t counter(struct gw_test_engine *t, const char *name, const char *mode)
{
    char id[32];
    const struct gw_label l[] = {{"component", id}, {"signal", "traces"}};

    (void)snprintf(id, sizeof(id), "rollup/%s", mode);
    return gw_test_engine_metric(t, name, l, 2);
}

/*
 * Scenario    four workers send 2000 requests each into rollups of all modes, with windows so short that they are told
 *             all the time, by whichever worker comes
 * Guarantees  in each mode what was told comes to all rows that were not late; nothing is left
 */
static void workers_share_windows(void **state)
{
    uint64_t rows, late[N_MODES], missed[N_MODES];
    char command[100];
    struct gw_test_engine t;
    struct gw_test_pump *p;

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/gw-rollup-XXXXXX");
    assert_non_null(mkdtemp(dir));
    gw_test_engine_open(&t, configuration(), N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    run_to_the_end(&t, p);
    rows = p->n_rows_ok;
    assert_true(rows > 0);
    for (unsigned i = 0; i < N_MODES; i++) {
        late[i] = counter(&t, "staunch_rollup_late_items", modes[i]);
        missed[i] = counter(&t, "staunch_rollup_missed_windows", modes[i]);
        assert_true(counter(&t, "staunch_rollup_results", modes[i]) > 5);
    }
    assert_int_equal(gw_test_engine_close(&t), 0);
    for (unsigned i = 0; i < N_MODES; i++) {
        uint64_t sum = sum_of(modes[i]);

        /* a row that one kind of window missed, another one took: which, the counter does not say */
        assert_true(sum <= rows - late[i] && sum + missed[i] >= rows - late[i]);
        assert_true(sum > 0);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_share_windows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
