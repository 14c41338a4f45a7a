/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <name>.<mode> is what a request <name>.json becomes: _bulk lines, then the refused rows. They were compared, value by
 * value, with what the encoders of the Collector's elasticsearchexporter (0.157) make of the same requests. What
 * differs on purpose:
 *
 * - points without a value in JSON leave no empty document behind; a histogram with an infinite bound is refused
 * instead of being sent with a null that the server refuses with the whole document;
 * - a value whose name is also an object's moves into it ("a.value") even if "a-b" sorts between them, and a nested map
 *   holds a key once: the Collector writes documents there that the server refuses.
 */
#include "tests/exporters/elasticsearch/run.h"

#include <stdio.h>

#define FOLDER GW_SOURCE_DIR "/tests/exporters/elasticsearch/"

static struct gw_slice read_file(const char *path)
{
    uint8_t *p = malloc(1 << 20);
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(p);
    if (!f)
        fail_msg("%s is missing", path);
    n = fread(p, 1, 1 << 20, f);
    (void)fclose(f);
    return gw_slice_of(p, n);
}

/** Fails at the first line that is not the file's. */
static void compare(const char *path, struct gw_slice got)
{
    struct gw_slice want = read_file(path);
    size_t at = 0, line = 1, begin = 0;

    while (at < want.n && at < got.n && want.p[at] == got.p[at]) {
        if (want.p[at++] == '\n') {
            line++;
            begin = at;
        }
    }
    if (at < want.n || at < got.n)
        fail_msg("%s:%zu differs at byte %zu:\n%.*s", path, line, at - begin,
                 (int)(got.n - begin < 3000 ? got.n - begin : 3000), (const char *)got.p + begin);
    free((void *)(uintptr_t)want.p);
}

static void golden(const char *name, enum gw_signal signal, enum gw_es_mode mode)
{
    struct gw_es_options o = usual(mode);
    struct gw_slice json;
    char path[512];
    struct run r;

    (void)snprintf(path, sizeof(path), FOLDER "%s.json", name);
    json = read_file(path);
    open_json(&r, &o, signal, json);
    write_docs(&r);
    gw_buf_put_slice(&r.out, gw_buf_slice(&r.refused));
    (void)snprintf(path, sizeof(path), FOLDER "%s.%s", name, gw_es_modes[mode]);
    compare(path, gw_buf_slice(&r.out));
    close_run(&r);
    free((void *)(uintptr_t)json.p);
}

/* Scenario: records with bodies and attributes of every type, names that collide, places, times of 0 and 2262, NaN,
 * control characters, empty names; data streams by item, scope, resource, scope's name and format; indices, ids,
 *           pipelines and modes by attribute.
 * Guarantees: the Collector's documents, in all five modes. */
static void logs_are_those_of_the_collector(void **state)
{
    (void)state;
    for (int m = 0; m < GW_ES_N_MODES; m++) {
        golden("logs", GW_LOGS, (enum gw_es_mode)m);
        golden("routes", GW_LOGS, (enum gw_es_mode)m);
        golden("odd", GW_LOGS, (enum gw_es_mode)m);
    }
}

/* Scenario: spans of every kind and status, links, exceptions and other events with places of their own, transactions,
 * spans that shall not be indexed, spans without ids. Guarantees: the Collector's documents, events in documents of
 * their own where the mode has them; bodymap refuses. */
static void spans_are_those_of_the_collector(void **state)
{
    (void)state;
    for (int m = 0; m < GW_ES_N_MODES; m++) {
        golden("traces", GW_TRACES, (enum gw_es_mode)m);
        golden("oddspans", GW_TRACES, (enum gw_es_mode)m);
    }
}

/* Scenario: points of every type, temporality and shape, hints, equal resources in another order, units, start times,
 * names that stand twice, NaN, a bucket that begins at 2^10^9. Guarantees: the Collector's groups, values, templates
 * and hash of names; what has no value is refused with a reason. */
static void points_are_those_of_the_collector(void **state)
{
    static const enum gw_es_mode modes[] = {GW_ES_OTEL, GW_ES_ECS}; /* others have no documents of points */

    (void)state;
    for (int m = 0; m < 2; m++) {
        golden("metrics", GW_METRICS, modes[m]);
        golden("oddpoints", GW_METRICS, modes[m]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_are_those_of_the_collector),
        cmocka_unit_test(spans_are_those_of_the_collector),
        cmocka_unit_test(points_are_those_of_the_collector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
