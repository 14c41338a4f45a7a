/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <string.h>

#include "core/logger.h"
#include "tests/harness_env.h"

struct bench {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_logger lg;
};

static void open_bench(struct bench *b, bool json)
{
    gw_test_env_init(&b->te, 1);
    b->sink = (struct gw_log_sink){.env = &b->te.env, .level = GW_LOG_INFO, .json = json};
    b->lg = (struct gw_logger){.sink = &b->sink, .kind = "exporter", .id = "debug/a", .signal = "traces"};
}

static const char *logged(struct bench *b)
{
    gw_buf_put_u8(&b->te.log, 0);
    b->te.log.n--;
    return (const char *)b->te.log.p;
}

/*
 * Scenario    one line as text, one as JSON
 * Guarantees  the fields and their order are the Collector's
 */
static void a_line_has_the_collectors_fields(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, false);
    gw_log(&b.lg, GW_LOG_WARN, "queue is full (%u requests)", 7u);
    assert_string_equal(logged(&b), "2026-01-02T03:04:05.678Z\twarn\tqueue is full (7 requests)\t"
                                    "{\"otelcol.component.id\": \"debug/a\", \"otelcol.component.kind\": \"exporter\", "
                                    "\"otelcol.signal\": \"traces\"}\n");
    gw_test_env_clear(&b.te);
    open_bench(&b, true);
    gw_log(&b.lg, GW_LOG_ERROR, "no");
    assert_string_equal(logged(&b), "{\"level\":\"error\",\"ts\":\"2026-01-02T03:04:05.678Z\",\"msg\":\"no\","
                                    "\"otelcol.component.id\":\"debug/a\",\"otelcol.component.kind\":\"exporter\","
                                    "\"otelcol.signal\":\"traces\"}\n");
    gw_test_env_clear(&b.te);
}

/*
 * Scenario    a message with a newline, an escape sequence, quotes, bytes that are no UTF-8, a C1 control
 * Guarantees  one line comes out, without control characters; JSON strings stay valid
 */
static void control_characters_are_escaped(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, false);
    b.lg = (struct gw_logger){.sink = &b.sink};
    gw_log(&b.lg, GW_LOG_INFO, "%s", "a\nb\x1b[31m \xc3\xa9 \xff \xc2\x9b \"q\"");
    assert_string_equal(logged(&b),
                        "2026-01-02T03:04:05.678Z\tinfo\ta\\nb\\u001b[31m \xc3\xa9 \\u00ff \\u00c2\\u009b \"q\"\n");
    gw_test_env_clear(&b.te);
    open_bench(&b, true);
    b.lg = (struct gw_logger){.sink = &b.sink};
    gw_log(&b.lg, GW_LOG_INFO, "%s", "a\"b\\c\nd");
    assert_string_equal(logged(&b),
                        "{\"level\":\"info\",\"ts\":\"2026-01-02T03:04:05.678Z\",\"msg\":\"a\\\"b\\\\c\\nd\"}\n");
    gw_test_env_clear(&b.te);
}

/*
 * Scenario    a debug line while the level is info; a logger without a sink; no logger
 * Guarantees  nothing is written
 */
static void lines_below_the_level_are_not_written(void **state)
{
    struct gw_logger nowhere = {0};
    struct bench b;

    (void)state;
    open_bench(&b, false);
    gw_log(&b.lg, GW_LOG_DEBUG, "not shown");
    gw_log(&nowhere, GW_LOG_ERROR, "not shown");
    gw_log((struct gw_logger *)NULL, GW_LOG_ERROR, "not shown");
    assert_int_equal(b.te.log.n, 0);
    gw_test_env_clear(&b.te);
}

static unsigned count_lines(const struct gw_buf *b)
{
    unsigned n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

static void fail_once(struct bench *b)
{
    gw_log(&b->lg, GW_LOG_WARN, "sink is away");
}

/*
 * Scenario    one call site fires 25 times in a window and once in the next; another site fires too
 * Guarantees  10 lines, then silence, then a line that tells of the 15; other sites are not affected
 */
static void a_call_site_is_limited_and_says_how_much_it_left_out(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, true);
    for (unsigned i = 0; i < 25; i++)
        fail_once(&b);
    assert_int_equal(count_lines(&b.te.log), 10);
    gw_log(&b.lg, GW_LOG_WARN, "another place");
    assert_int_equal(count_lines(&b.te.log), 11);
    assert_false(gw_test_env_logged(&b.te, "suppressed"));
    gw_test_env_advance(&b.te, 10000000000u);
    fail_once(&b);
    assert_int_equal(count_lines(&b.te.log), 12);
    assert_true(gw_test_env_logged(&b.te, "\"suppressed\":15}"));
    gw_test_env_clear(&b.te);
}

/*
 * Scenario    a message much longer than a line may be
 * Guarantees  it is cut; the JSON object is closed all the same
 */
static void an_overlong_message_is_cut(void **state)
{
    static char text[5000];
    struct bench b;

    (void)state;
    memset(text, 1, sizeof(text) - 1);
    open_bench(&b, true);
    gw_log(&b.lg, GW_LOG_WARN, "%s", text);
    assert_true(b.te.log.n < 8192);
    assert_memory_equal(b.te.log.p + b.te.log.n - 2, "}\n", 2);
    gw_test_env_clear(&b.te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_collectors_fields),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_call_site_is_limited_and_says_how_much_it_left_out),
        cmocka_unit_test(an_overlong_message_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
