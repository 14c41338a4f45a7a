/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the writer of documents, and requests that are large, deep or cut into. */
#include "pipeline/exporter.h"
#include "tests/exporters/elasticsearch/run.h"

#include <stdio.h>
#include <time.h>

static const char two_logs[] = "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                               "\"stringValue\":\"shop\"}}]},"
                               "\"scopeLogs\":[{\"scope\":{\"name\":\"s\"},\"logRecords\":["
                               "{\"timeUnixNano\":\"1\",\"body\":{\"stringValue\":\"one\"}},{\"timeUnixNano\":\"2\","
                               "\"body\":{\"stringValue\":\"two\"}}"
                               "]}]}]}";

static const char one_span[] =
    "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":"
    "\"1112131415161718\",\"name\":\"a\",\"events\":[{\"name\":\"e\"},{\"name\":\"f\"}]},{\"name\":\"no "
    "ids\",\"events\":[{"
    "\"name\":\"g\"}]}]}]}]}";

static struct gw_slice doc_line(const struct run *r, uint32_t i, bool source)
{
    const struct gw_es_doc *d = &r->docs.docs[i];

    assert_true(i < r->docs.n_docs);
    return source ? gw_slice_of(r->out.p + d->source, d->end - d->source - 1)
                  : gw_slice_of(r->out.p + d->at, d->source - d->at - 1);
}

static void assert_action(const struct run *r, uint32_t i, const char *want)
{
    struct gw_slice got = doc_line(r, i, false);

    if (!gw_slice_is(got, want))
        fail_msg("%.*s", (int)got.n, (const char *)got.p);
}

/** The text of "_id", which stands first. */
static struct gw_slice id_of(const struct run *r, uint32_t i)
{
    static const struct gw_slice lead = GW_SLICE("{\"create\":{\"_id\":\"");
    struct gw_slice line = doc_line(r, i, false);
    const uint8_t *end;

    assert_true(line.n > lead.n && memcmp(line.p, lead.p, lead.n) == 0);
    end = memchr(line.p + lead.n, '"', line.n - lead.n);
    assert_non_null(end);
    return gw_slice_of(line.p + lead.n, (size_t)(end - line.p) - lead.n);
}

/* Scenario: an index for each signal; a pipeline for all; a server that does not know require_data_stream.
 * Guarantees: each signal goes where it is told, span events where logs go; no data_stream in the document. */
static void a_static_index_is_where_everything_goes(void **state)
{
    struct gw_es_options o = usual(GW_ES_OTEL);
    struct run r;

    (void)state;
    o.traces_index = "Spans"; /* what the settings say is not judged here */
    o.logs_index = "records";
    o.pipeline = "a \"pipe\"";
    open_json(&r, &o, GW_TRACES, gw_slice_cstr(one_span));
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 5);
    assert_action(&r, 0,
                  "{\"create\":{\"_index\":\"Spans\",\"pipeline\":\"a \\\"pipe\\\"\",\"require_data_stream\":true}}");
    r.o.require_data_stream = false;
    write_docs(&r);
    assert_action(&r, 1, "{\"create\":{\"_index\":\"records\",\"pipeline\":\"a \\\"pipe\\\"\"}}");
    assert_null(memmem(r.out.p, r.out.n, "data_stream", 11));
    assert_false(r.docs.docs[0].event);
    assert_true(r.docs.docs[1].event && r.docs.docs[2].event);
    assert_int_equal(r.docs.rows[r.docs.docs[4].rows], 1);
    assert_false(r.docs.docs[0].own_id);
    close_run(&r);
}

/* Scenario: logstash_format with an index and with a data stream, on the last day of a leap year.
 * Guarantees: the date in UTC behind the name; no data stream any more; an exception of mode ecs keeps its own. */
static void logstash_format_puts_the_date_behind_the_name(void **state)
{
    struct gw_es_options o = usual(GW_ES_NONE);
    struct run r;

    (void)state;
    o.logstash_format = true;
    o.now_ns = UINT64_C(1735689599999999999); /* 2024-12-31T23:59:59 */
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(two_logs));
    write_docs(&r);
    assert_action(&r, 0, "{\"create\":{\"_index\":\"logs-generic-default-2024.12.31\"}}");
    assert_null(memmem(r.out.p, r.out.n, "data_stream", 11));
    r.o.logs_index = "shop";
    r.o.logstash_prefix_separator = ".";
    r.o.logstash_date_format = "%j-%G-%V";
    r.o.now_ns++;
    write_docs(&r);
    assert_action(&r, 0, "{\"create\":{\"_index\":\"shop.001-2025-01\"}}");
    close_run(&r);
}

/* Scenario: the request's header names a mode in any case, one that is not allowed, none that there is, two.
 * Guarantees: the first is taken; otherwise every row is refused, with what was named. */
static void a_header_names_the_mode(void **state)
{
    static const struct {
        const char *mode, *second, *message;
    } cases[] = {
        {"ECS", NULL, NULL},
        {"no", NULL, NULL},
        {"raw", NULL, "refused 0 mapping_mode: the request's mapping mode \"raw\" is not allowed\n"},
        {"yaml", NULL, "refused 0 mapping_mode: the request's mapping mode \"yaml\" is none that there is\n"},
        {"otel", "otel", "refused 0 mapping_mode: the request names more than one mapping mode\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct gw_slice key = GW_SLICE("x-elastic-mapping-mode");
        const struct gw_meta_pair pairs[] = {{key, gw_slice_cstr(cases[i].mode)},
                                             {key, gw_slice_cstr(cases[i].second)}};
        const struct gw_meta meta = {.n_pairs = cases[i].second ? 2 : 1, .pairs = pairs};
        struct gw_es_options o = usual(GW_ES_OTEL);
        struct run r;

        o.allowed[GW_ES_RAW] = false;
        open_json(&r, &o, GW_LOGS, gw_slice_cstr(two_logs));
        r.v.meta = gw_meta_new(&meta);
        write_docs(&r);
        assert_int_equal(r.docs.n_docs, cases[i].message ? 0 : 2);
        if (cases[i].message)
            assert_memory_equal(r.refused.p, cases[i].message, strlen(cases[i].message));
        else
            assert_non_null(memmem(r.out.p, r.out.n, i ? "\"Body\"" : "\"message\"", i ? 6 : 9));
        close_run(&r);
    }
}

/* Scenario: ids by record of two records that look the same, written twice, alone, in another mode, of another attempt;
 * of spans with events. Guarantees: each has an id of its own, which depends on attempt and row alone; an event's is
 * its span's with its number. */
static void an_id_by_the_record_is_the_same_again(void **state)
{
    static const char same[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{}]}]}]}";
    struct gw_es_options o = usual(GW_ES_OTEL);
    uint8_t ids[2][22];
    struct run r;

    (void)state;
    o.id = GW_ES_ID_RECORD;
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(same));
    write_docs(&r);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(id_of(&r, i).n, 22);
        memcpy(ids[i], id_of(&r, i).p, 22);
    }
    assert_memory_not_equal(ids[0], ids[1], 22);
    assert_true(r.docs.docs[0].own_id);
    assert_int_equal(gw_view_remove(&r.v, 0), 0);
    r.o.mode = GW_ES_ECS;
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 1);
    assert_memory_equal(ids[1], id_of(&r, 0).p, 22);
    r.o.attempt[1]++;
    write_docs(&r);
    assert_memory_not_equal(ids[1], id_of(&r, 0).p, 22);
    close_run(&r);

    open_json(&r, &o, GW_TRACES, gw_slice_cstr(one_span));
    write_docs(&r);
    assert_int_equal(id_of(&r, 2).n, 24);
    assert_memory_equal(id_of(&r, 2).p, id_of(&r, 0).p, 22);
    assert_memory_equal(id_of(&r, 2).p + 22, "-1", 2);
    assert_memory_not_equal(id_of(&r, 3).p, id_of(&r, 0).p, 22);
    close_run(&r);
}

static bool name_behind_40(struct gw_attempt *a, uint32_t row, uint64_t ret[4])
{
    if (row == 2)
        return false;
    memcpy(ret, (uint64_t[]){7, 8, 9, 40 + row + (uint64_t)a->number}, 4 * sizeof(*ret));
    return true;
}

/* Scenario: three records of which two have a name in the queue on disk, in two attempts that begin at another row; the
 * same by another exporter. Guarantees: a row with a name has the same id in both, at whatever place of the body; one
 * without has the attempt's; another exporter's are others. */
static void an_id_by_the_record_outlives_the_attempt(void **state)
{
    static const char same[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{},{}]}]}]}";
    struct gw_attempt first = {.number = 1, .row_name = name_behind_40},
                      second = {.number = 2, .row_name = name_behind_40};
    struct gw_es_options o = usual(GW_ES_OTEL);
    uint8_t ids[3][22];
    struct run r;

    (void)state;
    o.id = GW_ES_ID_RECORD;
    o.rows_of = &first;
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(same));
    write_docs(&r);
    for (uint32_t i = 0; i < 3; i++)
        memcpy(ids[i], id_of(&r, i).p, 22);
    assert_memory_not_equal(ids[0], ids[1], 22);
    r.o.rows_of = &second; /* its rows stand one earlier in the body */
    r.o.attempt[1]++;
    write_docs(&r);
    assert_memory_equal(id_of(&r, 0).p, ids[1], 22);
    assert_memory_not_equal(id_of(&r, 1).p, ids[0], 22);
    assert_memory_not_equal(id_of(&r, 2).p, ids[2], 22);
    r.o.exporter++;
    write_docs(&r);
    assert_memory_not_equal(id_of(&r, 0).p, ids[1], 22);
    close_run(&r);
}

/* Scenario: ids by content of two records that are the same, one that is not, and the same in another index.
 * Guarantees: equal documents have equal ids, others have others; the id is in its place and the line whole. */
static void an_id_by_the_content_is_the_contents(void **state)
{
    static const char logs[] =
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"a\"}},{\"body\":{"
        "\"stringValue\":\"a\"}},{\"body\":{\"stringValue\":\"b\"}}]}]}]}";
    struct gw_es_options o = usual(GW_ES_OTEL);
    uint8_t first[22];
    struct run r;

    (void)state;
    o.id = GW_ES_ID_CONTENT;
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(logs));
    write_docs(&r);
    memcpy(first, id_of(&r, 0).p, 22);
    assert_true(gw_slice_eq(id_of(&r, 0), id_of(&r, 1)));
    assert_false(gw_slice_eq(id_of(&r, 0), id_of(&r, 2)));
    r.o.logs_index = "elsewhere";
    write_docs(&r);
    assert_memory_not_equal(first, id_of(&r, 0).p, 22);
    close_run(&r);
}

/* Scenario: ids by attribute of 512 bytes and of one more, of a record, a span and one of its events.
 * Guarantees: the longer one is refused with its row: the server would refuse the whole request. */
static void an_id_that_is_too_long_costs_its_row(void **state)
{
    struct gw_es_options o = usual(GW_ES_OTEL);
    struct gw_buf json;
    struct run r;

    (void)state;
    gw_buf_init(&json, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (int n = 512; n <= 513; n++)
        gw_buf_printf(
            &json, "%s{\"attributes\":[{\"key\":\"elasticsearch.document_id\",\"value\":{\"stringValue\":\"%0*d\"}}]}",
            n == 512 ? "" : ",", n, 7);
    gw_buf_put_str(&json, "]}]}]}");
    open_json(&r, &o, GW_LOGS, gw_buf_slice(&json));
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 1);
    assert_int_equal(id_of(&r, 0).n, 512);
    assert_memory_equal(r.refused.p, "refused 1 document_id: ", 23);
    close_run(&r);
    gw_buf_reset(&json);
    gw_buf_put_str(&json, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[");
    gw_buf_printf(&json,
                  "{\"attributes\":[{\"key\":\"elasticsearch.document_id\",\"value\":{\"stringValue\":\"%0*d\"}}],"
                  "\"events\":[{}]},"
                  "{\"events\":[{},{\"attributes\":[{\"key\":\"elasticsearch.document_id\",\"value\":{\"stringValue\":"
                  "\"%0*d\"}}]}"
                  "]},{}]}]}]}",
                  513, 7, 513, 7);
    open_json(&r, &o, GW_TRACES, gw_buf_slice(&json));
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 1);
    assert_int_equal(r.n_refused, 2);
    close_run(&r);
    gw_buf_clear(&json);
}

/* Scenario: two metrics of one series and time whose points name one _id, others, none; with the setting and without.
 * Guarantees: with it, points with different ids have documents of their own, and those are their ids. */
static void points_may_name_their_id(void **state)
{
    static const struct {
        const char *first, *second;
        bool enabled;
        unsigned n_docs;
    } cases[] = {{"a", "a", true, 1}, {"a", "b", true, 2}, {"a", "", true, 2}, {"a", "b", false, 2}};
    struct gw_buf json;

    (void)state;
    gw_buf_init(&json, 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_es_options o = usual(GW_ES_OTEL);
        struct run r;

        o.metrics_dynamic_id = cases[i].enabled;
        gw_buf_reset(&json);
        gw_buf_put_str(&json, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[");
        for (unsigned k = 0; k < 2; k++) {
            const char *id = k ? cases[i].second : cases[i].first;

            gw_buf_printf(&json,
                          "%s{\"name\":\"m%u\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\",\"timeUnixNano\":\"5\","
                          "\"attributes\":[%s%s%s]}]}}",
                          k ? "," : "", k,
                          *id ? "{\"key\":\"elasticsearch.document_id\",\"value\":{\"stringValue\":\"" : "", id,
                          *id ? "\"}}" : "");
        }
        gw_buf_put_str(&json, "]}]}]}");
        open_json(&r, &o, GW_METRICS, gw_buf_slice(&json));
        write_docs(&r);
        assert_int_equal(r.docs.n_docs, cases[i].n_docs);
        assert_int_equal(r.docs.docs[0].own_id, cases[i].enabled);
        if (cases[i].enabled)
            assert_true(gw_slice_eq(id_of(&r, 0), gw_slice_cstr(cases[i].first)));
        close_run(&r);
    }
    gw_buf_clear(&json);
}

/* Scenario: some rows were removed.
 * Guarantees: the others' documents, with their row numbers; points that are left group without them. */
static void removed_rows_are_not_there(void **state)
{
    struct gw_es_options o = usual(GW_ES_OTEL);
    struct gw_buf json;
    struct run r;

    (void)state;
    o.id = GW_ES_ID_RECORD;
    gw_buf_init(&json, 1 << 20);
    gw_buf_put_str(
        &json, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[");
    for (int i = 0; i < 1000; i++) /* 500 series of two points: more than the table begins with */
        gw_buf_printf(&json, "%s{\"asInt\":\"%d\",\"timeUnixNano\":\"%d\"}", i ? "," : "", i, i / 2 + 1);
    gw_buf_put_str(&json, "]}}]}]}]}");
    open_json(&r, &o, GW_METRICS, gw_buf_slice(&json));
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 500);
    assert_int_equal(r.n_refused, 500); /* a name twice in a document */
    assert_false(gw_slice_eq(id_of(&r, 0), id_of(&r, 1)));
    for (uint32_t row = 0; row < 1000; row += 2)
        assert_int_equal(gw_view_remove(&r.v, row), 0);
    write_docs(&r);
    assert_int_equal(r.docs.n_docs, 500);
    assert_int_equal(r.n_refused, 0);
    assert_int_equal(r.docs.rows[r.docs.docs[7].rows], 15);
    close_run(&r);
    gw_buf_clear(&json);
}

/* Scenario: the resource has "a" and "os.name"; the first record makes an object of "a", the second puts something
 * below a name of the schema's and says "a" itself, the third has nothing. Guarantees: what one document did to the
 * resource's fields, the next one does not see. */
static void fields_of_the_resource_are_whole_again(void **state)
{
    static const char logs[] =
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}},{\"key\":"
        "\"os.name\",\"value\":{\"stringValue\":\"x\"}},{\"key\":\"host.os.name.below\",\"value\":{\"stringValue\":"
        "\"y\"}}]},"
        "\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[{\"key\":\"a.b\",\"value\":{\"intValue\":\"2\"}}]},{"
        "\"attributes\":[{"
        "\"key\":\"a\",\"value\":{\"intValue\":\"3\"}}]},{}]}]}]}";
    static const char *const want[] = {"\"a\":{\"b\":2,\"value\":1}", "\"a\":3", "\"a\":1"};
    struct gw_es_options o = usual(GW_ES_ECS);
    struct run r;

    (void)state;
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(logs));
    for (int twice = 0; twice < 2; twice++) {
        write_docs(&r);
        for (uint32_t i = 0; i < 3; i++) {
            struct gw_slice line = doc_line(&r, i, true);

            if (!memmem(line.p, line.n, want[i], strlen(want[i])) || memmem(line.p, line.n, "below", 5))
                fail_msg("%.*s", (int)line.n, (const char *)line.p);
        }
    }
    close_run(&r);
}

/* ---- large and deep ------------------------------------------------------------------------------------------ */

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/** In all modes, in less time than a square of the attributes' number would take. */
static void write_in_every_mode(enum gw_signal signal, struct gw_slice json)
{
    struct gw_err err = {""};
    struct gw_buf proto;

    gw_buf_init(&proto, 1 << 28);
    assert_int_equal(gw_json_to_proto(signal, json, &run_limits, &proto, &err), 0);
    for (int m = 0; m < GW_ES_N_MODES; m++) {
        struct gw_es_options o = usual((enum gw_es_mode)m);
        double begin;
        struct run r;

        open_proto(&r, &o, signal, gw_buf_slice(&proto));
        begin = cpu_s();
        write_docs(&r);
        if (cpu_s() - begin > 10)
            fail_msg("mode %s took %.1f s", gw_es_modes[m], cpu_s() - begin);
        close_run(&r);
    }
    gw_buf_clear(&proto);
}

static void put_attributes(struct gw_buf *json, unsigned n, const char *format)
{
    char key[64];

    gw_buf_put_str(json, "\"attributes\":[");
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "%s%u", format, i);
        gw_buf_printf(json, "%s{\"key\":\"%s\",\"value\":{\"intValue\":\"%u\"}}", i ? "," : "", key, i);
    }
    gw_buf_put_str(json, "]");
}

/* Scenario: 100,000 attributes: all different, all the same key, each a place, as points' dimensions, in a map.
 * Guarantees: documents, in time. */
static void many_attributes_are_no_trouble(void **state)
{
    struct gw_buf json;

    (void)state;
    gw_buf_init(&json, 1 << 28);
    gw_buf_put_str(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{");
    put_attributes(&json, 100000, "key.");
    gw_buf_put_str(&json, "},{\"attributes\":[");
    for (int i = 0; i < 100000; i++)
        gw_buf_printf(&json, "%s{\"key\":\"same\",\"value\":{\"boolValue\":true}}", i ? "," : "");
    gw_buf_put_str(&json, "]},{\"attributes\":[");
    for (int i = 0; i < 100000; i++)
        gw_buf_printf(&json, "%s{\"key\":\"%d.geo.location.lat\",\"value\":{\"doubleValue\":%d}}", i ? "," : "", i, i);
    gw_buf_put_str(&json, "]},{\"body\":{\"kvlistValue\":{\"values\":[");
    for (int i = 0; i < 100000; i++)
        gw_buf_printf(&json, "%s{\"key\":\"%d\",\"value\":{\"stringValue\":\"v\"}}", i ? "," : "", i % 60000);
    gw_buf_put_str(&json, "]}}}]}]}]}");
    write_in_every_mode(GW_LOGS, gw_buf_slice(&json));
    gw_buf_reset(&json);
    gw_buf_put_str(&json, "{\"resourceMetrics\":[{\"resource\":{");
    put_attributes(&json, 100000, "r");
    gw_buf_put_str(&json,
                   "},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\",");
    put_attributes(&json, 100000, "p");
    gw_buf_put_str(&json, "}]}}]}]}]}");
    write_in_every_mode(GW_METRICS, gw_buf_slice(&json));
    gw_buf_clear(&json);
}

/* Scenario: keys that are each the beginning of the next, a chain of names that are values and objects, a value that is
 *           nested as deep as the decoder lets it be, a long key around many leaves.
 * Guarantees: documents of bounded work and memory; what does not fit is refused. */
static void names_that_fight_are_no_trouble(void **state)
{
    struct gw_buf json, key;

    (void)state;
    gw_buf_init(&json, 1 << 28);
    gw_buf_init(&key, 1 << 22);
    gw_buf_put_str(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[");
    for (int i = 0; i < 2000; i++) {
        gw_buf_put_str(&key, i % 2 ? "-" : "a");
        gw_buf_printf(&json, "{\"key\":\"%.*s\",\"value\":{\"intValue\":\"1\"}},", (int)key.n, (char *)key.p);
    }
    gw_buf_reset(&key);
    gw_buf_put_str(&key, "v");
    for (int i = 0; i < 200; i++) {
        gw_buf_printf(&json, "{\"key\":\"%.*s.x\",\"value\":{\"intValue\":\"1\"}},", (int)key.n, (char *)key.p);
        gw_buf_put_str(&key, ".value");
    }
    gw_buf_put_str(&json, "{\"key\":\"v\",\"value\":{\"intValue\":\"1\"}}]},{\"body\":");
    for (int i = 0; i < 25; i++) /* two values a turn, each in a message or two */
        gw_buf_put_str(&json, "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"arrayValue\":{\"values\":[");
    gw_buf_put_str(&json, "{\"doubleValue\":\"NaN\"}");
    for (int i = 0; i < 25; i++)
        gw_buf_put_str(&json, "]}}}]}}");
    gw_buf_put_str(&json, "},{\"attributes\":[{\"key\":\"");
    for (int i = 0; i < 60000; i++)
        gw_buf_put_u8(&json, 'x');
    gw_buf_put_str(&json, "\",\"value\":{\"kvlistValue\":{\"values\":[");
    for (int i = 0; i < 2000; i++)
        gw_buf_printf(&json, "%s{\"key\":\"%d\",\"value\":{\"boolValue\":false}}", i ? "," : "", i);
    gw_buf_put_str(&json, "]}}}]}]}]}]}");
    write_in_every_mode(GW_LOGS, gw_buf_slice(&json));
    gw_buf_clear(&json);
    gw_buf_clear(&key);
}

/* Scenario: names of indices that the server takes, and that it does not.
 * Guarantees: a sentence for each of the latter, as the settings' check says it. */
static void a_name_of_an_index_is_judged(void **state)
{
    static const char *const good[] = {"logs", "a.b-c_d+e", "école", "0", ".hidden", "日本"};
    static const char *const bad[] = {"", ".", "..", "-a", "_a", "+a", "A", "É", "a b", "a:b", "a/b", "a#"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(gw_es_index_problem(gw_slice_cstr(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(gw_es_index_problem(gw_slice_cstr(bad[i])));
}

/* Scenario: a buffer that is smaller than the documents.
 * Guarantees: -E2BIG. */
static void a_full_buffer_is_told(void **state)
{
    struct gw_es_options o = usual(GW_ES_OTEL);
    struct run r;

    (void)state;
    open_json(&r, &o, GW_LOGS, gw_slice_cstr(two_logs));
    gw_buf_init(&r.out, 300);
    assert_int_equal(gw_es_write(r.w, &r.v, &r.out, &r.docs, note, &r), -E2BIG);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_static_index_is_where_everything_goes),
        cmocka_unit_test(logstash_format_puts_the_date_behind_the_name),
        cmocka_unit_test(a_header_names_the_mode),
        cmocka_unit_test(an_id_by_the_record_is_the_same_again),
        cmocka_unit_test(an_id_by_the_record_outlives_the_attempt),
        cmocka_unit_test(an_id_by_the_content_is_the_contents),
        cmocka_unit_test(an_id_that_is_too_long_costs_its_row),
        cmocka_unit_test(points_may_name_their_id),
        cmocka_unit_test(removed_rows_are_not_there),
        cmocka_unit_test(fields_of_the_resource_are_whole_again),
        cmocka_unit_test(many_attributes_are_no_trouble),
        cmocka_unit_test(names_that_fight_are_no_trouble),
        cmocka_unit_test(a_name_of_an_index_is_judged),
        cmocka_unit_test(a_full_buffer_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
