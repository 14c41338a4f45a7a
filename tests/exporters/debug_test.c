/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug/<signal>-<n>.<verbosity> is what the Collector 0.158 with use_internal_logger: false wrote for the request
 * ../otlp-proto/json/<signal>-<n>.bin.
 */
#include "tests/harness_exporter.h"

#include <stdio.h>
#include <stdlib.h>

#include "exporters/debug/text.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static struct gw_slice read_file(const char *path)
{
    uint8_t *p = malloc(1 << 18);
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    assert_non_null(p);
    n = fread(p, 1, 1 << 18, f);
    (void)fclose(f);
    return gw_slice_of(p, n);
}

/** What the exporter makes of a request, from decoding to the queue's bytes. Owner: gives out's memory. */
static void encode(struct gw_rig *r, enum gw_signal signal, struct gw_slice request, struct gw_buf *out)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_arena arena;
    struct gw_err err = {""};
    struct gw_view v;
    struct gw_ref ref;

    gw_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(gw_batch_append(b, request, &ref), 0);
    if (gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_view_init(&v, b, &arena);
    gw_buf_init(out, 1 << 26);
    assert_int_equal(r->component->exporter->encode(r->self, &v, out), 0);
    gw_view_clear(&v);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
}

static void encode_json(struct gw_rig *r, enum gw_signal signal, const char *json, struct gw_buf *out)
{
    struct gw_err err = {""};
    struct gw_buf proto;

    gw_buf_init(&proto, 1 << 20);
    if (gw_json_to_proto(signal, gw_slice_cstr(json), &limits, &proto, &err) < 0)
        fail_msg("%s", err.text);
    encode(r, signal, gw_buf_slice(&proto), out);
    gw_buf_clear(&proto);
}

/* ---- an output that is a test's memory ------------------------------------------------------------------- */

static struct {
    char path[64], text[1 << 18];
    size_t n, chunk;
    int flags, error;
    unsigned opened, closed;
} disk;

static int disk_open(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    (void)env;
    (void)mode;
    if (strcmp(path, "/forbidden") == 0)
        return -EACCES;
    (void)snprintf(disk.path, sizeof(disk.path), "%s", path);
    disk.flags = flags;
    disk.opened++;
    *ret = (struct gw_file *)(void *)&disk;
    return 0;
}

static ssize_t disk_writev(struct gw_file *f, const struct iovec *iov, int n_iov)
{
    size_t n = disk.chunk && iov->iov_len > disk.chunk ? disk.chunk : iov->iov_len;

    (void)f;
    (void)n_iov;
    if (disk.error)
        return disk.error;
    assert_true(disk.n + n < sizeof(disk.text));
    memcpy(disk.text + disk.n, iov->iov_base, n);
    disk.n += n;
    disk.text[disk.n] = 0;
    return (ssize_t)n;
}

static void disk_close(struct gw_file *f)
{
    (void)f;
    disk.closed++;
}

static void open_rig(struct gw_rig *r, const char *yaml)
{
    struct gw_env_ops *ops;

    memset(&disk, 0, sizeof(disk));
    if (gw_rig_configure(r, "debug", yaml) < 0)
        fail_msg("%s", r->said);
    ops = gw_env_real_ops(r->env);
    ops->file_open = disk_open;
    ops->file_writev = disk_writev;
    ops->file_close = disk_close;
    if (gw_rig_start(r) < 0)
        fail_msg("%s", r->err.text);
}

static const char one_span[] = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"op\"}]}]}]}";

static void send_span(struct gw_rig *r)
{
    struct gw_buf out;

    encode_json(r, GW_TRACES, one_span, &out);
    gw_rig_send(r, GW_TRACES, gw_buf_slice(&out), 1);
    assert_int_equal(r->done, 1);
    gw_buf_clear(&out);
}

/* ---- the text -------------------------------------------------------------------------------------------- */

/* Scenario: 24 random requests with every field, to both verbosities, written to a file as the Collector did it.
 * Guarantees: the same text, but for control characters, which are escaped. */
static void the_text_is_the_collectors(void **state)
{
    static const char *const verbosities[] = {"normal", "detailed"};
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    char path[512], yaml[100];

    (void)state;
    for (int i = 0; i < 48; i++) {
        enum gw_signal s = signals[i / 16];
        const char *verbosity = verbosities[i / 8 % 2];
        struct gw_slice request, golden;
        struct gw_buf out, want;
        struct gw_rig r;

        (void)snprintf(yaml, sizeof(yaml), "{verbosity: %s, use_internal_logger: false, output_paths: [/x]}",
                       verbosity);
        open_rig(&r, yaml);
        (void)snprintf(path, sizeof(path), GW_SOURCE_DIR "/tests/otlp-proto/json/%s-%d.bin", gw_signal_name(s), i % 8);
        request = read_file(path);
        (void)snprintf(path, sizeof(path), GW_SOURCE_DIR "/tests/exporters/debug/%s-%d.%s", gw_signal_name(s), i % 8,
                       verbosity);
        golden = read_file(path);
        encode(&r, s, request, &out);
        gw_rig_send(&r, s, gw_buf_slice(&out), 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_buf_init(&want, 1 << 20);
        gw_debug_put_text(&want, golden);
        gw_buf_put_u8(&want, 0);
        assert_string_equal(disk.text, (char *)want.p);
        gw_buf_clear(&want);
        gw_buf_clear(&out);
        free((void *)(uintptr_t)request.p);
        free((void *)(uintptr_t)golden.p);
        gw_rig_close(&r);
    }
}

/* Scenario: verbosity basic, one request of each signal.
 * Guarantees: one line of counts each, in the Collector's words, and no text. */
static void basic_counts(void **state)
{
    struct gw_rig r;
    struct gw_buf out;

    (void)state;
    open_rig(&r, "{use_internal_logger: false}");
    assert_string_equal(disk.path, "/dev/stdout");
    send_span(&r);
    encode_json(
        &r, GW_METRICS,
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":{\"dataPoints\":[{},{}]}},"
        "{\"sum\":{\"dataPoints\":[{}]}}]}]},{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{\"dataPoints\":[{}]}}]}]}]}",
        &out);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&out), 4);
    gw_buf_clear(&out);
    encode_json(&r, GW_LOGS, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{}]}]}]}", &out);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&out), 2);
    gw_buf_clear(&out);
    assert_string_equal(disk.text, "Traces\t{\"resource spans\": 1, \"spans\": 1}\n"
                                   "Metrics\t{\"resource metrics\": 2, \"metrics\": 3, \"data points\": 4}\n"
                                   "Logs\t{\"resource logs\": 1, \"log records\": 2}\n");
    gw_rig_close(&r);
    assert_int_equal(disk.closed, 1);
}

/* Scenario: a log record whose body holds escape sequences, a bell, C1 controls and line feeds.
 * Guarantees: nothing but line feeds and tabs reaches the terminal as a control. */
static void control_characters_are_escaped(void **state)
{
    struct gw_rig r;
    struct gw_buf out;

    (void)state;
    open_rig(&r, "{verbosity: normal, use_internal_logger: false}");
    encode_json(
        &r, GW_LOGS,
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":"
        "\"\\u001b[2J\\u0007\\u009b31m\\u007f a\\n\\tb \\u00e9\"},\"attributes\":[{\"key\":\"k\\u001b\",\"value\":"
        "{\"arrayValue\":{\"values\":[{\"stringValue\":\"\\u001b\\u0008\\u0085\\u2028\"}]}}}]}]}]}]}",
        &out);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&out), 1);
    gw_buf_clear(&out);
    assert_non_null(strstr(disk.text, "\\u001b[2J\\u0007\\u009b31m\\u007f a\n\tb \xc3\xa9 "
                                      "k\\u001b=[\"\\u001b\\b\\u0085\\u2028\"]\n"));
    gw_rig_close(&r);
}

/* Scenario: times around 1970 and of every number of digits, a map with a key twice, values that JSON does not have.
 * Guarantees: as Go prints them. */
static void odd_values_look_as_in_go(void **state)
{
    struct gw_rig r;
    struct gw_buf out;

    (void)state;
    open_rig(&r, "{verbosity: detailed, use_internal_logger: false}");
    encode_json(
        &r, GW_LOGS,
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"1581452772100000000\","
        "\"observedTimeUnixNano\":\"18446744073709551615\",\"severityNumber\":30,\"body\":{\"kvlistValue\":{\"values\":"
        "["
        "{\"key\":\"b\",\"value\":{\"intValue\":1}},{\"key\":\"a\",\"value\":{\"doubleValue\":1e-7}},"
        "{\"key\":\"b\",\"value\":{\"boolValue\":true}},{\"key\":\"\"}]}},\"attributes\":[{\"key\":\"nan\",\"value\":"
        "{\"arrayValue\":{\"values\":[{\"intValue\":1},{\"doubleValue\":\"NaN\"}]}}}]}]}]}]}",
        &out);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&out), 1);
    gw_buf_clear(&out);
    assert_non_null(strstr(disk.text, "\nObservedTimestamp: 1969-12-31 23:59:59.999999999 +0000 UTC\n"
                                      "Timestamp: 2020-02-11 20:26:12.1 +0000 UTC\n"));
    assert_non_null(strstr(disk.text, "\nSeverityNumber: (30)\n"));
    assert_non_null(strstr(disk.text, "\nBody: Map({\"\":null,\"a\":1e-7,\"b\":true})\n"));
    assert_non_null(strstr(disk.text, "     -> nan: Slice()\n"));
    gw_rig_close(&r);
}

/* Scenario: an exponential histogram whose 300,000 buckets would become 190 MB of text.
 * Guarantees: 32 MiB of whole lines are shown, and that the rest is not. */
static void long_texts_are_cut(void **state)
{
    enum { BUCKETS = 300000 };
    char *json = malloc(BUCKETS * 2 + 500), *p = json;
    struct gw_rig r;
    struct gw_buf out;

    (void)state;
    assert_non_null(json);
    p = stpcpy(p, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"exponentialHistogram\":{\"dataPoints\":[{"
                  "\"scale\":20,\"positive\":{\"offset\":700000000,\"bucketCounts\":[1");
    for (int i = 1; i < BUCKETS; i++)
        p = stpcpy(p, ",1");
    (void)stpcpy(p, "]}}]}}]}]}]}");
    open_rig(&r, "{verbosity: detailed, use_internal_logger: false}");
    encode_json(&r, GW_METRICS, json, &out);
    assert_true(out.n < (32u << 20) + 1000);
    assert_true(out.n > (32u << 20) - 1000);
    assert_memory_equal(out.p + out.n - 39, "1\n... the rest of the text is left out\n", 39);
    gw_buf_clear(&out);
    gw_rig_close(&r);
    free(json);
}

/* ---- sampling and outputs -------------------------------------------------------------------------------- */

static unsigned lines(void)
{
    unsigned n = 0;

    for (const char *p = disk.text; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    return n;
}

/* Scenario: ten requests in one second with sampling_initial 3 and sampling_thereafter 4, then one a second later;
 * another signal meanwhile.
 * Guarantees: 1, 2, 3, 7 are shown; the next second begins anew; signals do not take each other's turns. */
static void sampling_shows_the_first_and_every_nth(void **state)
{
    struct gw_rig r;
    struct gw_buf out;

    (void)state;
    open_rig(&r, "{use_internal_logger: false, sampling_initial: 3, sampling_thereafter: 4}");
    for (int i = 1; i <= 10; i++) {
        static const unsigned shown[] = {0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4};

        send_span(&r);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(lines(), shown[i]);
    }
    encode_json(&r, GW_LOGS, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{}]}]}]}", &out);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&out), 1);
    gw_buf_clear(&out);
    assert_int_equal(lines(), 5);
    r.mono_ns += 1000000000;
    send_span(&r);
    assert_int_equal(lines(), 6);
    gw_rig_close(&r);
}

/* Scenario: sampling_thereafter 0.
 * Guarantees: nothing is shown after the first; all is delivered. */
static void sampling_may_end(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{use_internal_logger: false, sampling_initial: 1, sampling_thereafter: 0}");
    for (int i = 0; i < 5; i++) {
        send_span(&r);
        assert_int_equal(r.info.sent, GW_SENT_OK);
    }
    assert_int_equal(lines(), 1);
    gw_rig_close(&r);
}

/* Scenario: the defaults: the internal logger, as text and as JSON, and at a level above info.
 * Guarantees: the line of counts has the shape of every other log line, the text stands under it (in JSON: in a line of
 * its own); above info nothing is shown. */
static void the_internal_logger_is_used(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{verbosity: normal, use_internal_logger: true}");
    assert_int_equal(disk.opened, 0);
    send_span(&r);
    assert_non_null(strstr(
        r.log, "Z\tinfo\tTraces\t{\"otelcol.component.id\": \"debug\", \"otelcol.component.kind\": \"exporter\", "
               "\"otelcol.signal\": \"traces\", \"resource spans\": 1, \"spans\": 1}\n"
               "ResourceTraces #0\nScopeTraces #0\nop  \n"));
    r.log[0] = 0;
    r.sink.json = true;
    send_span(&r);
    assert_non_null(strstr(r.log, "\"msg\":\"Traces\",\"otelcol.component.id\""));
    assert_non_null(strstr(r.log, "\"resource spans\": 1, \"spans\": 1}\n{\"level\":\"info\""));
    assert_non_null(strstr(r.log, "\"msg\":\"ResourceTraces #0\\nScopeTraces #0\\nop  \\n\",\"otelcol"));
    r.log[0] = 0;
    r.sink.level = GW_LOG_WARN;
    send_span(&r);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_string_equal(r.log, "");
    gw_rig_close(&r);
}

/* Scenario: output_paths names stderr and a file; writes come in pieces, then fail.
 * Guarantees: both get the text; a full disk is tried again, other errors are final. */
static void outputs_are_written_and_errors_told(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{use_internal_logger: false, output_paths: [stderr, /tmp/out]}");
    assert_string_equal(disk.path, "/tmp/out");
    assert_int_equal(disk.flags, GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_APPEND);
    disk.chunk = 3;
    send_span(&r);
    assert_string_equal(disk.text, "Traces\t{\"resource spans\": 1, \"spans\": 1}\n");
    assert_non_null(strstr(r.log, "Traces\t{\"resource spans\": 1, \"spans\": 1}\n"));
    disk.error = -ENOSPC;
    send_span(&r);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    disk.error = -EIO;
    send_span(&r);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_string_equal(r.reason, "write");
    gw_rig_close(&r);
}

/* Scenario: settings that do not go together; a path that cannot be opened.
 * Guarantees: each is refused in the Collector's words. */
static void wrong_settings_are_refused(void **state)
{
    struct gw_rig r;

    (void)state;
    assert_int_equal(gw_rig_configure(&r, "debug", "{output_paths: [stdout]}"), -EINVAL);
    assert_non_null(strstr(r.said, "output_paths is not supported when use_internal_logger is true"));
    gw_rig_close(&r);
    assert_int_equal(gw_rig_configure(&r, "debug", "{use_internal_logger: false, output_paths: []}"), -EINVAL);
    assert_non_null(strstr(r.said, "output_paths must not be empty when use_internal_logger is false"));
    gw_rig_close(&r);
    assert_int_equal(gw_rig_configure(&r, "debug", "{verbosity: loud}"), -EINVAL);
    assert_non_null(strstr(r.said, "verbosity"));
    gw_rig_close(&r);
    assert_int_equal(gw_rig_configure(&r, "debug", "{use_internal_logger: false, output_paths: [/forbidden]}"), 0);
    gw_env_real_ops(r.env)->file_open = disk_open;
    assert_int_equal(gw_rig_start(&r), -EACCES);
    assert_non_null(strstr(r.err.text, "cannot open /forbidden"));
    gw_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_the_collectors),
        cmocka_unit_test(basic_counts),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(odd_values_look_as_in_go),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(sampling_shows_the_first_and_every_nth),
        cmocka_unit_test(sampling_may_end),
        cmocka_unit_test(the_internal_logger_is_used),
        cmocka_unit_test(outputs_are_written_and_errors_told),
        cmocka_unit_test(wrong_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
