/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/meter.h"

static char *scrape(struct gw_meter *m, const struct gw_exposition *how)
{
    static const struct gw_exposition plain;
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, 1u << 20);
    gw_meter_write(m, how ? how : &plain, &b);
    gw_buf_put_u8(&b, 0);
    assert_false(b.failed);
    return (char *)gw_buf_take(&b, &n);
}

static void assert_exposes(struct gw_meter *m, const struct gw_exposition *how, const char *text)
{
    char *s = scrape(m, how);

    if (!strstr(s, text))
        fail_msg("missing: %s in:\n%s", text, s);
    free(s);
}

/*
 * Scenario    a counter with two label sets is asked for twice, counted, and scraped with and without suffix
 * Guarantees  the same series comes back; values, label escapes, HELP and TYPE are as in the text format
 */
static void counters_are_exposed_with_their_labels(void **state)
{
    const struct gw_label a = {"receiver", "otlp"}, odd = {"receiver", "a\"b\\c\nd"};
    const struct gw_exposition suffixed = {.type_suffix = true};
    struct gw_meter *m = gw_meter_new();
    struct gw_metric *s = gw_meter_get(m, GW_COUNTER, "otelcol_x", "How many.", &a, 1);

    (void)state;
    assert_ptr_equal(s, gw_meter_get(m, GW_COUNTER, "otelcol_x", "", &a, 1));
    gw_metric_add(s, 5);
    gw_metric_add(gw_meter_get(m, GW_COUNTER, "otelcol_x", "", &odd, 1), 1);
    assert_exposes(m, NULL,
                   "# HELP otelcol_x How many.\n# TYPE otelcol_x counter\notelcol_x{receiver=\"otlp\"} 5\n"
                   "otelcol_x{receiver=\"a\\\"b\\\\c\\nd\"} 1\n");
    assert_exposes(m, &suffixed, "# TYPE otelcol_x_total counter\notelcol_x_total{receiver=\"otlp\"} 5\n");
    gw_meter_free(m);
}

/*
 * Scenario    one name is asked for as a counter and as a gauge; NULL is counted on
 * Guarantees  the second asker gets NULL and may use it
 */
static void a_name_keeps_its_kind(void **state)
{
    struct gw_meter *m = gw_meter_new();

    (void)state;
    assert_non_null(gw_meter_get(m, GW_COUNTER, "x", "", NULL, 0));
    assert_null(gw_meter_get(m, GW_GAUGE, "x", "", NULL, 0));
    gw_metric_add(NULL, 1);
    gw_metric_set(NULL, 1);
    gw_metric_observe(NULL, 1);
    gw_metric_unread(NULL, NULL);
    gw_meter_free(m);
}

static uint64_t read_seven(void *arg)
{
    *(unsigned *)arg += 1;
    return (uint64_t)-7;
}

/*
 * Scenario    a gauge by call-back is scraped, taken out, scraped, and put back; a second one joins and the first
 * leaves Guarantees  the call-back is asked once a scrape and not after unread; a gauge may be negative; of two the sum
 * is shown, and the one that leaves takes its own share along
 */
static void a_gauge_may_be_read_when_scraped(void **state)
{
    struct gw_meter *m = gw_meter_new();
    unsigned asked = 0, asked2 = 0;
    struct gw_metric *s = gw_meter_get_read(m, "g", "", NULL, 0, read_seven, &asked);
    char *text;

    (void)state;
    assert_exposes(m, NULL, "\ng -7\n");
    assert_int_equal(asked, 1);
    gw_metric_unread(s, &asked);
    text = scrape(m, NULL);
    assert_null(strstr(text, "\ng "));
    free(text);
    assert_int_equal(asked, 1);
    assert_ptr_equal(gw_meter_get_read(m, "g", "", NULL, 0, read_seven, &asked), s);
    assert_exposes(m, NULL, "\ng -7\n");
    assert_ptr_equal(gw_meter_get_read(m, "g", "", NULL, 0, read_seven, &asked2), s);
    assert_exposes(m, NULL, "\ng -14\n");
    gw_metric_unread(s, &asked);
    assert_exposes(m, NULL, "\ng -7\n");
    assert_int_equal(asked2, 2);
    gw_meter_free(m);
}

/*
 * Scenario    a histogram in seconds, observed at, below and above its bounds
 * Guarantees  buckets are cumulative, a bound is inclusive, sum and count are right
 */
static void a_histogram_counts_cumulatively(void **state)
{
    static const double bounds[] = {0.1, 1};
    struct gw_meter *m = gw_meter_new();
    struct gw_metric *s = gw_meter_get_histogram(m, "h", "", NULL, 0, bounds, 2);

    (void)state;
    s->scale = 1e-9;
    gw_metric_observe(s, 0.1);
    gw_metric_observe(s, 0.4);
    gw_metric_observe(s, 3);
    assert_exposes(m, NULL,
                   "h_bucket{le=\"0.1\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 3.5\nh_count 3\n");
    gw_meter_free(m);
}

/*
 * Scenario    three families made out of order, target_info, scope labels
 * Guarantees  families are sorted by name, target_info among them, the scope's labels stand on every series
 */
static void families_are_sorted_and_carry_the_scope(void **state)
{
    const struct gw_label id = {"service_name", "staunch"};
    const struct gw_exposition how = {.constant = &id, .n_constant = 1, .scope_info = true};
    struct gw_meter *m = gw_meter_new();
    char *s;

    (void)state;
    (void)gw_meter_get(m, GW_COUNTER, "z", "", NULL, 0);
    (void)gw_meter_get(m, GW_COUNTER, "b", "", NULL, 0);
    (void)gw_meter_get(m, GW_COUNTER, "a", "", NULL, 0);
    s = scrape(m, &how);
    assert_true(strstr(s, "\na{otel_scope_name=\"staunch\"") < strstr(s, "\nb{"));
    assert_true(strstr(s, "\nb{") < strstr(s, "\ntarget_info{service_name=\"staunch\"} 1\n"));
    assert_true(strstr(s, "\ntarget_info{") < strstr(s, "\nz{"));
    free(s);
    gw_meter_free(m);
}

/*
 * Scenario    more series than the limit are asked for
 * Guarantees  the first 10,000 are there, the next is NULL
 */
static void series_are_bounded(void **state)
{
    struct gw_meter *m = gw_meter_new();
    char value[16], name[16];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        const struct gw_label l = {"i", value};

        (void)snprintf(value, sizeof(value), "%u", i);
        (void)snprintf(name, sizeof(name), "m%u", i % 500);
        assert_non_null(gw_meter_get(m, GW_COUNTER, name, "", &l, 1));
    }
    assert_null(gw_meter_get(m, GW_COUNTER, "one_more", "", NULL, 0));
    gw_meter_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_exposed_with_their_labels),  cmocka_unit_test(a_name_keeps_its_kind),
        cmocka_unit_test(a_gauge_may_be_read_when_scraped),        cmocka_unit_test(a_histogram_counts_cumulatively),
        cmocka_unit_test(families_are_sorted_and_carry_the_scope), cmocka_unit_test(series_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
