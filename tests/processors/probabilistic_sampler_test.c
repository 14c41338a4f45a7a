/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probabilistic_sampler against the Collector: golden/sampler_*.txt were written by the real one (golden/sampler.py),
 * 300 records and 22 or 16 configurations each. Decisions, trace states and attributes must be the same, bit for bit.
 */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

static struct gw_proc_rig r;

/* The text of a JSON string member behind `at`, unescaped as far as our records need it. */
static bool member(const char *at, const char *end, const char *name, char *out, size_t size)
{
    char key[64];
    const char *p, *q;

    (void)snprintf(key, sizeof(key), "\"%s\":\"", name);
    p = strstr(at, key);
    if (!p || p >= end)
        return false;
    p += strlen(key);
    q = strchr(p, '"');
    (void)snprintf(out, size, "%.*s", (int)(q - p), p);
    return true;
}

/* One record of the output as the golden file has it; *at moves behind it. False at the end. */
static bool next_span(const char **at, char *out, size_t size)
{
    const char *begin = strstr(*at, "\"spanId\":"), *end;
    char id[32] = "", state[1200] = "";

    if (!begin)
        return false;
    end = strstr(begin + 1, "\"spanId\":");
    end = end ? end : begin + strlen(begin);
    (void)member(begin, end, "spanId", id, sizeof(id));
    (void)member(begin, end, "traceState", state, sizeof(state));
    (void)snprintf(out, size, "%llu\t%s", strtoull(id, NULL, 16) - 1, state);
    *at = end;
    return true;
}

static void attribute(const char *at, const char *end, const char *name, char *out, size_t size)
{
    char key[64];
    const char *p;

    (void)snprintf(key, sizeof(key), "{\"key\":\"%s\"", name);
    p = strstr(at, key);
    if (!p || p >= end || !member(p, end, "stringValue", out, size))
        (void)snprintf(out, size, "-");
}

static bool next_record(const char **at, char *out, size_t size)
{
    const char *begin = strstr(*at, "\"body\":"), *end;
    char body[32] = "", th[64], rv[64];

    if (!begin)
        return false;
    end = strstr(begin + 1, "\"body\":");
    end = end ? end : begin + strlen(begin);
    (void)member(begin, end, "stringValue", body, sizeof(body));
    attribute(begin, end, "sampling.threshold", th, sizeof(th));
    attribute(begin, end, "sampling.randomness", rv, sizeof(rv));
    (void)snprintf(out, size, "%s\t%s %s", body, th, rv);
    *at = end;
    return true;
}

struct golden {
    enum gw_signal signal;
    char *request, config[256];
    const char *at; /* in our output */
    unsigned n_configs, n_kept, n_records;
    bool open;
};

static void finish(struct golden *g)
{
    char ours[2048];

    if (!g->open)
        return;
    if (g->signal == GW_TRACES ? next_span(&g->at, ours, sizeof(ours)) : next_record(&g->at, ours, sizeof(ours)))
        fail_msg("%s: the Collector does not keep %s", g->config, ours);
    assert_int_equal(r.n_out, g->n_kept);
    assert_int_equal(r.settled[GW_DROPPED], 300 - g->n_kept);
    assert_false(r.failed);
    gw_proc_close(&r);
    g->open = false;
}

static void line_of(struct golden *g, char *line)
{
    char ours[2048] = "";

    if (strncmp(line, "request\t", 8) == 0) {
        g->request = strdup(line + 8);
    } else if (strncmp(line, "config\t", 7) == 0) {
        finish(g);
        (void)snprintf(g->config, sizeof(g->config), "%s", line + 7);
        gw_proc_open(&r, "probabilistic_sampler", g->signal, g->config);
        gw_proc_send(&r, g->request);
        g->at = r.out;
        g->n_configs++;
        g->n_kept = 0;
        g->open = true;
    } else {
        (void)(g->signal == GW_TRACES ? next_span(&g->at, ours, sizeof(ours))
                                      : next_record(&g->at, ours, sizeof(ours)));
        if (strcmp(ours, line) != 0)
            fail_msg("%s: the Collector keeps \"%s\", we keep \"%s\"", g->config, line, ours);
        g->n_kept++;
        g->n_records++;
    }
}

static void compare(enum gw_signal signal, const char *path, unsigned n_configs, unsigned n_records)
{
    struct golden g = {.signal = signal};
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    assert_non_null(f);
    while ((n = getline(&line, &cap, f)) > 0) {
        line[n - 1] = '\0';
        line_of(&g, line);
    }
    finish(&g);
    assert_true(g.n_configs >= n_configs);
    assert_true(g.n_records >= n_records);
    free(g.request);
    free(line);
    fclose(f);
}

/*
 * Scenario: 300 spans with every kind of trace state and sampling.priority, through 22 configurations:
 *           sampling_percentage, hash_seed, every mode, fail_closed, sampling_precision
 * Guarantees: the spans that the Collector keeps, with the trace states that it writes
 */
static void spans_are_kept_as_the_collector_does(void **state)
{
    (void)state;
    compare(GW_TRACES, GW_SOURCE_DIR "/tests/processors/golden/sampler_spans.txt", 22, 1000);
}

/*
 * Scenario: 300 log records with and without trace id, threshold, randomness, id and priority attributes, through 16
 *           configurations: the same and attribute_source, from_attribute, sampling_priority
 * Guarantees: the records that the Collector keeps, with the attributes that it writes
 */
static void records_are_kept_as_the_collector_does(void **state)
{
    (void)state;
    compare(GW_LOGS, GW_SOURCE_DIR "/tests/processors/golden/sampler_logs.txt", 16, 800);
}

/*
 * Scenario: two samplers, one behind the other, each to one half
 * Guarantees: the second one reads what the first one wrote: proportional multiplies
 */
static void a_second_sampler_sees_the_firsts_threshold(void **state)
{
    (void)state;
    gw_proc_open(&r, "probabilistic_sampler", GW_TRACES, "{sampling_percentage: 50, mode: proportional}");
    gw_proc_send(&r, gw_proc_span("\"traceState\":\"ot=rv:ffffffffffffff;th:8\"", ""));
    assert_true(gw_proc_has(&r, "\"traceState\":\"ot=rv:ffffffffffffff;th:c\""));
    gw_proc_close(&r);
}

/*
 * Scenario: kept, dropped and failed spans; a record hashed by an attribute
 * Guarantees: counted by policy and decision under the Collector's names; drops are settled by name
 */
static void decisions_are_counted_by_policy(void **state)
{
#define SPANS "otelcol_processor_probabilistic_sampler_count_spans_processed"
#define OLD   "otelcol_processor_probabilistic_sampler_count_traces_sampled"
#define LOGS  "otelcol_processor_probabilistic_sampler_count_logs_sampled"
    (void)state;
    gw_proc_open(&r, "probabilistic_sampler", GW_TRACES, "sampling_percentage: 100");
    gw_proc_send(&r, gw_proc_span("", ""));
    gw_proc_send(&r, gw_proc_span("", "{\"key\":\"sampling.priority\",\"value\":{\"intValue\":\"0\"}}"));
    assert_int_equal(r.settled[GW_DROPPED], 1);
    assert_string_equal(r.reason, "probabilistic_sampler");
    assert_true(gw_proc_metric(&r, SPANS "{policy=\"trace_id_hash\",sampled=\"true\"}") == 1);
    assert_true(gw_proc_metric(&r, OLD "{policy=\"trace_id_hash\",sampled=\"true\"}") == 1);
    assert_true(gw_proc_metric(&r, SPANS "{policy=\"sampling_priority\",sampled=\"false\"}") == 1);
    gw_proc_close(&r);
    gw_proc_open(&r, "probabilistic_sampler", GW_LOGS, "{sampling_percentage: 100, from_attribute: id}");
    gw_proc_send(&r, gw_proc_log("", "{\"key\":\"id\",\"value\":{\"stringValue\":\"x\"}}"));
    gw_proc_send(&r, gw_proc_log("", ""));
    assert_true(gw_proc_metric(&r, LOGS "{policy=\"id\",sampled=\"true\"}") == 1);
    assert_true(gw_proc_metric(&r, LOGS "{policy=\"missing_randomness\",sampled=\"false\"}") == 1);
    gw_proc_close(&r);
}

/*
 * Scenario: settings out of range
 * Guarantees: told with the Collector's words, at the place
 */
static void mistakes_are_told(void **state)
{
    (void)state;
    gw_proc_refuses("probabilistic_sampler", "sampling_percentage: -1",
                    "test.yaml:1:22: error: sampling rate is negative: -1");
    gw_proc_refuses("probabilistic_sampler", "sampling_percentage: 1e-16", "sampling rate is too small: 1e-16%");
    gw_proc_refuses("probabilistic_sampler", "sampling_precision: 0", "invalid sampling precision: 0");
    gw_proc_refuses("probabilistic_sampler", "sampling_precision: 15",
                    "sampling precision is too great, should be <= 14: 15");
    gw_proc_refuses("probabilistic_sampler", "sampling_precision: -1", "invalid sampling precision: -1");
    gw_proc_refuses("probabilistic_sampler", "mode: equal", "equalizing");
    gw_proc_refuses("probabilistic_sampler", "attribute_source: records", "record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_kept_as_the_collector_does),
        cmocka_unit_test(records_are_kept_as_the_collector_does),
        cmocka_unit_test(a_second_sampler_sees_the_firsts_threshold),
        cmocka_unit_test(decisions_are_counted_by_policy),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
