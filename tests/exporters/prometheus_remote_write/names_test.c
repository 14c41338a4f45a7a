/* SPDX-License-Identifier: Apache-2.0 */
/* Expected names are what the Collector 0.158 makes of the same. */
#include "exporters/prometheus_remote_write/names.h"

#include "tests/harness.h"

static void expect_name(enum gw_rw_strategy s, const char *space, const char *name, const char *unit, char type,
                        const char *want)
{
    struct gw_rw_metric_name n = {.strategy = s,
                                  .namespace_ = gw_slice_cstr(space),
                                  .name = gw_slice_cstr(name),
                                  .unit = gw_slice_cstr(unit),
                                  .counter = type == 'c',
                                  .gauge = type == 'g'};
    struct gw_buf out;

    gw_buf_init(&out, 1 << 20);
    gw_buf_put_str(&out, "<");
    assert_int_equal(gw_rw_put_metric_name(&out, &n), want ? 0 : -22);
    gw_buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.p + 1, want ? want : "");
    gw_buf_clear(&out);
}

/* Scenario: names and units of all kinds, suffixes asked for. */
static void escapes_and_adds_suffixes(void **state)
{
    enum gw_rw_strategy s = GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES;

    (void)state;
    expect_name(s, "", "http.server.duration", "s", 'h', "http_server_duration_seconds");
    expect_name(s, "", "requests", "1", 'c', "requests_total");
    expect_name(s, "", "requests_total", "", 'c', "requests_total");
    expect_name(s, "", "total.requests", "", 'c', "requests_total");
    expect_name(s, "", "total.requests", "", 'g', "total_requests");
    expect_name(s, "", "cpu.utilization", "1", 'g', "cpu_utilization_ratio");
    expect_name(s, "", "ratio.of.x", "1", 'g', "of_x_ratio");
    expect_name(s, "", "cpu.utilization", "1", 's', "cpu_utilization");
    expect_name(s, "", "net", "By/s", 'g', "net_bytes_per_second");
    expect_name(s, "", "net.bytes", "By/s", 'g', "net_bytes_per_second");
    expect_name(s, "", "x", "{req}/s", 'g', "x_per_second");
    expect_name(s, "", "x", "{req}", 'g', "x");
    expect_name(s, "", "x", "m/m", 'g', "x_meters_per_minute");
    expect_name(s, "", "x", "foo bar", 'g', "x_foo_bar");
    expect_name(s, "", "x",
                "\xc2\xb0"
                "C",
                'g', "x_C");
    expect_name(s, "", "x", "x_/y_", 'g', "x_x_per_y");
    expect_name(s, "", "x", "w/%", 'g', "x_w");
    expect_name(s, "", "x", "\xe2\x80\x83 ms\xc2\xa0", 'g', "x_milliseconds");
    expect_name(s, "", "x", "s/", 'g', "x_seconds");
    expect_name(s, "", "x", "/s", 'g', "x_per_second");
    expect_name(s, "", "x", "%", 'g', "x_percent");
    expect_name(s, "", "x", "a/b/c", 'g', "x_a_per_b_c");
    expect_name(s, "", "1st.metric", "", 'g', "_1st_metric");
    expect_name(s, "ns", "1st.metric", "", 'g', "ns_1st_metric");
    expect_name(s, "n.s", "a", "", 'g', "n.s_a");
    expect_name(s, "", "foo__bar..baz", "", 'g', "foo_bar_baz");
    expect_name(s, "", "_x_", "", 'g', "x");
    expect_name(s, "", "a:b", "", 'g', "a:b");
    expect_name(s, "",
                "gr\xc3\xb6\xc3\x9f"
                "e",
                "", 'g', "gr_e");
}

/* Guarantees: a metric of whose name nothing is left is refused, not sent without a name. */
static void has_names_for_all_or_none(void **state)
{
    (void)state;
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES, "", "", "", 'g', NULL);
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES, "", "...", "", 'g', NULL);
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES, "", "...", "s", 'g', "seconds");
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES, "", "_", "", 'g', NULL);
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES, "ns", "", "", 'g', "ns");
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITHOUT_SUFFIXES, "", "_", "", 'g', "_");
    expect_name(GW_RW_UNDERSCORE_ESCAPING_WITHOUT_SUFFIXES, "", "_._", "", 'g', NULL);
    expect_name(GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES, "", "", "", 'g', NULL);
    expect_name(GW_RW_NO_TRANSLATION, "", "", "", 'g', NULL);
    expect_name(GW_RW_NO_TRANSLATION, "", "_", "", 'g', "_");
}

static void escapes_without_suffixes(void **state)
{
    enum gw_rw_strategy s = GW_RW_UNDERSCORE_ESCAPING_WITHOUT_SUFFIXES;

    (void)state;
    expect_name(s, "", "http.server.duration", "s", 'h', "http_server_duration");
    expect_name(s, "", "a_.b", "", 'c', "a__b");
    expect_name(s, "", ".a..b.", "", 'g', "a_b");
    expect_name(s, "", "1a", "", 'g', "_1a");
    expect_name(s, "1n.s", "1a", "", 'g', "1n_s_1a");
}

static void keeps_utf8(void **state)
{
    enum gw_rw_strategy s = GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES;

    (void)state;
    expect_name(s, "", "gr\xc3\xb6.\xe2\x82\xac", "s", 'g', "gr\xc3\xb6.\xe2\x82\xac_seconds");
    expect_name(s, "", "a.total", "", 'c', "a_total");
    expect_name(s, "", "a.ratio", "1", 'g', "a_ratio");
    expect_name(s, "", "a.seconds", "s", 'h', "a.seconds");
    expect_name(s, "", "a", "By/s", 'c', "a_bytes_per_second_total");
    expect_name(s, "", "a.per_second", "By/s", 'g', "a_bytes_per_second");
    expect_name(s, "", "total", "", 'c', "total_total");
    expect_name(s, "n.s", "a", "foo bar", 'g', "n.s_a_foo bar");
    expect_name(GW_RW_NO_TRANSLATION, "", "a.b", "s", 'c', "a.b");
    expect_name(GW_RW_NO_TRANSLATION, "n.s", "a.b", "s", 'c', "n.s_a.b");
}

/* Scenario: a name of 10 KB, all of it characters that may not stand. */
static void takes_long_names(void **state)
{
    struct gw_buf name;

    (void)state;
    gw_buf_init(&name, 1 << 20);
    for (int i = 0; i < 5000; i++)
        gw_buf_put_str(&name, "a.");
    gw_buf_put_u8(&name, 0);
    struct gw_rw_metric_name n = {.name = gw_slice_cstr((const char *)name.p), .counter = true};
    struct gw_buf out;

    gw_buf_init(&out, 1 << 20);
    assert_int_equal(gw_rw_put_metric_name(&out, &n), 0);
    assert_int_equal(out.n, 2 * 5000 - 1 + 6);
    gw_buf_clear(&out);
    gw_buf_clear(&name);
}

static void expect_label(enum gw_rw_label_style style, const char *key, const char *want)
{
    struct gw_buf out;

    gw_buf_init(&out, 1 << 20);
    assert_int_equal(gw_rw_put_label_name(&out, style, gw_slice_cstr(key)), want ? 0 : -22);
    gw_buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.p, want ? want : "");
    gw_buf_clear(&out);
}

static void names_labels(void **state)
{
    (void)state;
    expect_label(GW_RW_LABEL, "http.method", "http_method");
    expect_label(GW_RW_LABEL, "a..b__c", "a_b_c");
    expect_label(GW_RW_LABEL, "1x", "key_1x");
    expect_label(GW_RW_LABEL, "_x", "key_x");
    expect_label(GW_RW_LABEL, "__x", "key_x");
    expect_label(GW_RW_LABEL, "__x__", "__x__");
    expect_label(GW_RW_LABEL, "__a..b__", "__a_b__");
    expect_label(GW_RW_LABEL, "k\xc3\xa4se", "k_se");
    expect_label(GW_RW_LABEL, "\xf0\x9f\x98\x80", "key_");
    expect_label(GW_RW_LABEL, "____", NULL);
    expect_label(GW_RW_LABEL, "", NULL);
    expect_label(GW_RW_LABEL_UTF8, "k\xc3\xa4se.x", "k\xc3\xa4se.x");
    expect_label(GW_RW_LABEL_UTF8, "1", "1");
    expect_label(GW_RW_LABEL_UTF8, "__", NULL);
    expect_label(GW_RW_LABEL_UTF8, "", NULL);
    expect_label(GW_RW_LABEL_INFO, "a..b", "a__b");
    expect_label(GW_RW_LABEL_INFO, "_x", "_x");
    expect_label(GW_RW_LABEL_INFO, "1x", "key_1x");
    expect_label(GW_RW_LABEL_INFO, "\xf0\x9f\x98\x80", NULL);
}

static void expect_unit(bool utf8, const char *unit, const char *want)
{
    struct gw_buf out;

    gw_buf_init(&out, 1 << 20);
    gw_buf_put_str(&out, "<");
    gw_rw_put_unit(&out, utf8, gw_slice_cstr(unit));
    gw_buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.p + 1, want);
    gw_buf_clear(&out);
}

static void names_units(void **state)
{
    (void)state;
    expect_unit(false, "By/s", "bytes_per_second");
    expect_unit(false, "1", "");
    expect_unit(false, "{req}", "");
    expect_unit(false, "{req}/s", "per_second");
    expect_unit(false, "x_/y_", "x__per_y");
    expect_unit(false, "w/%", "w_per");
    expect_unit(true, "foo bar/s", "foo bar_per_second");
    expect_unit(true, "_a_", "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_and_adds_suffixes),
        cmocka_unit_test(has_names_for_all_or_none),
        cmocka_unit_test(escapes_without_suffixes),
        cmocka_unit_test(keeps_utf8),
        cmocka_unit_test(takes_long_names),
        cmocka_unit_test(names_labels),
        cmocka_unit_test(names_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
