/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to _bulk and to a GET of the root, as text. */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"
#include "exporters/elasticsearch/answer.h"

static struct gw_es_item items[64];
static unsigned n_items;

static void keep(void *arg, const struct gw_es_item *item)
{
    assert_int_equal(item->index, n_items);
    if (n_items < 64)
        items[n_items] = *item;
    n_items++;
    (void)arg;
}

static int read_text(const char *text)
{
    uint32_t n = 99;
    int r;

    n_items = 0;
    r = gw_es_answer_read(gw_slice_cstr(text), keep, NULL, &n);
    assert_int_equal(n, n_items);
    return r;
}

/* Scenario: answers as Elasticsearch and OpenSearch write them: all well, some refused, a failure store, other actions.
 * Guarantees: each item's status, error and place, in order; what else stands in them does not matter. */
static void every_item_is_told_in_order(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}"), 0);
    assert_int_equal(n_items, 2);
    assert_int_equal(items[1].status, 201);
    assert_string_equal(items[1].error.type, "");
    assert_int_equal(
        read_text(
            "{\"took\":30,\"errors\":true,\"items\":[\n"
            "{\"create\":{\"_index\":\".ds-logs-a-default-000001\",\"_id\":\"x\",\"_shards\":{\"total\":2},"
            "\"status\":201,\"failure_store\":\"used\"}},\n"
            "{\"index\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":\"failed to parse "
            "field [a] of type [long] in document with id '1'. Preview: \\\"x\\\"\",\"caused_by\":{\"type\":\"t\","
            "\"reason\":\"other\"}}}},"
            "{\"create\":{\"error\":\"a text alone\",\"status\":503,\"failure_store\":\"not_enabled\"}},"
            "{\"update\":{\"status\":429,\"failure_store\":\"failed\"}}] , \"ingest_took\":1}\n"),
        0);
    assert_int_equal(n_items, 4);
    assert_int_equal(items[0].failure_store, GW_ES_STORE_USED);
    assert_int_equal(items[1].status, 400);
    assert_string_equal(items[1].error.type, "mapper_parsing_exception");
    assert_string_equal(items[1].error.reason,
                        "failed to parse field [a] of type [long] in document with id '1'. Preview: \"x\"");
    assert_int_equal(items[2].status, 503);
    assert_string_equal(items[2].error.reason, "a text alone");
    assert_int_equal(items[2].failure_store, GW_ES_STORE_NOT_ENABLED);
    assert_int_equal(items[3].failure_store, GW_ES_STORE_FAILED);
    assert_int_equal(read_text("{\"items\":[]}"), 0);
    assert_int_equal(n_items, 0);
}

/* Scenario: items that read as the one before, among others; one that begins as the one before and goes on.
 * Guarantees: each means what it says, by its place. */
static void equal_items_mean_the_same(void **state)
{
    static const int want[] = {201, 201, 400, 400, 201, 429};

    (void)state;
    assert_int_equal(read_text("{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}},"
                               "{\"create\":{\"status\":400,\"error\":{\"type\":\"a\",\"reason\":\"b\"}}},"
                               "{\"create\":{\"status\":400,\"error\":{\"type\":\"a\",\"reason\":\"b\"}}},"
                               "{\"create\":{\"status\":201}},{\"create\":{\"status\":429}}]}"),
                     0);
    assert_int_equal(n_items, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(items[i].index, i);
        assert_int_equal(items[i].status, want[i]);
        assert_string_equal(items[i].error.type, want[i] == 400 ? "a" : "");
    }
    assert_int_equal(read_text("{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}x]}"), -EBADMSG);
    assert_int_equal(read_text("{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}"), -EBADMSG);
}

/* Scenario: a page of HTML, nothing, half an answer at every byte, items without a status or twice, other JSON, text
 * behind the end.
 * Guarantees: no answer; the items that were whole are told all the same. */
static void what_is_no_answer_is_told_from_one(void **state)
{
    static const char *const wrong[] = {
        "",
        "<html><body>Bad gateway</body></html>",
        "null",
        "[]",
        "{}",
        "{\"took\":1}",
        "{\"items\":{}}",
        "{\"items\":[1]}",
        "{\"items\":[{}]}",
        "{\"items\":[{\"create\":{}}]}",
        "{\"items\":[{\"create\":{\"status\":\"201\"}}]}",
        "{\"items\":[{\"create\":{\"status\":99}}]}",
        "{\"items\":[{\"create\":{\"status\":600}}]}",
        "{\"items\":[{\"create\":{\"status\":-201}}]}",
        "{\"items\":[{\"create\":{\"status\":201.5}}]}",
        "{\"items\":[{\"create\":{\"status\":99999999999999999999}}]}",
        "{\"items\":[{\"create\":{\"status\":201}},]}",
        "{\"items\":[],\"items\":[]}",
        "{\"items\":[]} x",
        "{\"items\":[]",
    };
    const char *whole =
        "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":400,\"error\":{\"type\":\"t\"}}}]}";
    char part[200];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (read_text(wrong[i]) == 0)
            fail_msg("%s passes", wrong[i]);
    for (size_t n = 0; n < strlen(whole); n++) {
        snprintf(part, sizeof(part), "%.*s", (int)n, whole);
        if (read_text(part) == 0)
            fail_msg("%s passes", part);
        assert_int_equal(n_items, n < 35 ? 0 : n < strlen(whole) - 2 ? 1 : 2); /* the first ends at 35 */
    }
    assert_int_equal(read_text(whole), 0);
}

/* Scenario: a type and a reason of 10 KB, control characters, escapes, a character cut in two, bytes that are no UTF-8.
 * Guarantees: texts are ended, printable UTF-8, and cut to what fits. */
static void texts_of_a_server_are_made_harmless(void **state)
{
    struct gw_buf b;
    uint32_t n;

    (void)state;
    gw_buf_init(&b, 1 << 20);
    gw_buf_put_str(&b, "{\"items\":[{\"create\":{\"status\":400,\"error\":{\"type\":\"");
    for (unsigned i = 0; i < 10000; i++)
        gw_buf_put_str(&b, "x");
    gw_buf_put_str(&b, "\",\"reason\":\"a\\n\\u000ab\\\\c\\/\xff");
    for (unsigned i = 0; i < 10000; i++)
        gw_buf_put_str(&b, "\xc3\xa4");
    gw_buf_put_str(&b, "\"}}}]}");
    n_items = 0;
    assert_int_equal(gw_es_answer_read(gw_buf_slice(&b), keep, NULL, &n), 0);
    assert_int_equal(strlen(items[0].error.type), sizeof(items[0].error.type) - 1);
    assert_memory_equal(items[0].error.reason, "a ?b\\c/?\xc3\xa4", 9);
    assert_int_equal(strlen(items[0].error.reason), sizeof(items[0].error.reason) - 1);
    for (const char *p = items[0].error.reason; *p; p++)
        assert_true((unsigned char)*p >= 0x20);
    gw_buf_clear(&b);
}

/* Scenario: 100,000 items, a hundred of them refused.
 * Guarantees: all are told. */
static void a_long_answer_is_read_to_its_end(void **state)
{
    struct gw_buf b;
    uint32_t n;

    (void)state;
    gw_buf_init(&b, 16 << 20);
    gw_buf_put_str(&b, "{\"items\":[");
    for (unsigned i = 0; i < 100000; i++)
        gw_buf_printf(&b, "%s{\"create\":{\"status\":%s}}", i ? "," : "",
                      i % 1000 ? "201" : "400,\"error\":{\"type\":\"t\",\"reason\":\"r\"}");
    gw_buf_put_str(&b, "]}");
    n_items = 0;
    assert_int_equal(gw_es_answer_read(gw_buf_slice(&b), keep, NULL, &n), 0);
    assert_int_equal(n_items, 100000);
    gw_buf_clear(&b);
}

/* Scenario: errors of a whole request, as an object, as a text, and none.
 * Guarantees: type and reason, or empty texts. */
static void an_error_of_the_request_is_read(void **state)
{
    struct gw_es_error e;

    (void)state;
    gw_es_error_read(
        GW_SLICE("{\"error\":{\"root_cause\":[{\"type\":\"x\"}],\"type\":\"security_exception\",\"reason\":\"no\"},"
                 "\"status\":401}"),
        &e);
    assert_string_equal(e.type, "security_exception");
    assert_string_equal(e.reason, "no");
    gw_es_error_read(GW_SLICE("{\"error\":\"Incorrect HTTP method\",\"status\":405}"), &e);
    assert_string_equal(e.type, "");
    assert_string_equal(e.reason, "Incorrect HTTP method");
    gw_es_error_read(GW_SLICE("<html>"), &e);
    assert_string_equal(e.reason, "");
}

/* Scenario: what Elasticsearch of several versions, a serverless one, OpenSearch and others say of themselves.
 * Guarantees: require_data_stream is for Elasticsearch 8.12 and newer alone. */
static void only_a_server_that_knows_it_gets_require_data_stream(void **state)
{
    static const struct {
        const char *text;
        enum gw_es_product product;
        bool takes;
    } cases[] = {
        {"{\"name\":\"n\",\"version\":{\"number\":\"8.12.0\",\"build_flavor\":\"default\"},\"tagline\":\"x\"}",
         GW_ES_ELASTICSEARCH, true},
        {"{\"version\":{\"number\":\"8.11.4\",\"build_flavor\":\"default\"}}", GW_ES_ELASTICSEARCH, false},
        {"{\"version\":{\"number\":\"9.0.0-SNAPSHOT\"}}", GW_ES_ELASTICSEARCH, true},
        {"{\"version\":{\"number\":\"7.17.1\"}}", GW_ES_ELASTICSEARCH, false},
        {"{\"version\":{\"number\":\"8.11.0\",\"build_flavor\":\"serverless\"}}", GW_ES_ELASTICSEARCH, true},
        {"{\"version\":{\"distribution\":\"opensearch\",\"number\":\"3.8.0\"}}", GW_ES_OTHER, false},
        {"{\"version\":{\"distribution\":\"opensearch\",\"number\":\"9.1.0\"}}", GW_ES_OTHER, false},
        {"{\"version\":{\"number\":\"eight\"}}", GW_ES_UNKNOWN, false},
        {"{\"version\":\"8.12.0\"}", GW_ES_UNKNOWN, false},
        {"{}", GW_ES_UNKNOWN, false},
        {"<html>", GW_ES_UNKNOWN, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_es_server s;

        gw_es_server_read(gw_slice_cstr(cases[i].text), &s);
        assert_int_equal(s.product, cases[i].product);
        assert_int_equal(gw_es_takes_require_data_stream(&s), cases[i].takes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_told_in_order),
        cmocka_unit_test(equal_items_mean_the_same),
        cmocka_unit_test(what_is_no_answer_is_told_from_one),
        cmocka_unit_test(texts_of_a_server_are_made_harmless),
        cmocka_unit_test(a_long_answer_is_read_to_its_end),
        cmocka_unit_test(an_error_of_the_request_is_read),
        cmocka_unit_test(only_a_server_that_knows_it_gets_require_data_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
