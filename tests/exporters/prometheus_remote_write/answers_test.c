/* SPDX-License-Identifier: Apache-2.0 */
/* What servers say about samples, as they say it. */
#include "exporters/prometheus_remote_write/answers.h"

#include <stdlib.h>

#include "tests/harness.h"

/* One series of 1.0: the labels in pairs, ended by NULL. */
static void put_text(struct gw_buf *out, uint8_t tag, const char *text, size_t n)
{
    gw_buf_put_u8(out, tag);
    assert_in_range(n, 0, 127);
    gw_buf_put_u8(out, (uint8_t)n);
    gw_buf_put(out, text, n);
}

static void put_series(struct gw_buf *out, const char *const *labels)
{
    struct gw_buf series;

    gw_buf_init(&series, 1000);
    for (; *labels; labels += 2) {
        struct gw_buf label;

        gw_buf_init(&label, 200);
        put_text(&label, 0x0a, labels[0], strlen(labels[0]));
        put_text(&label, 0x12, labels[1], strlen(labels[1]));
        put_text(&series, 0x0a, (const char *)label.p, label.n);
        gw_buf_clear(&label);
    }
    put_text(out, 0x0a, (const char *)series.p, series.n);
    gw_buf_clear(&series);
}

/* Whether the text names exactly this series, once. */
static bool names(const char *text, const char *const *labels)
{
    struct gw_rw_named it;
    struct gw_rw_body b;
    struct gw_buf out;
    unsigned hits = 0;

    gw_buf_init(&out, 1000);
    put_series(&out, labels);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_1, gw_buf_slice(&out)), 0);
    assert_int_equal(b.n_series, 1);
    gw_rw_named_begin(&it, gw_slice_cstr(text));
    while (gw_rw_named_next(&it))
        hits += gw_rw_named_is(&it, &b, &b.series[0]);
    gw_rw_named_clear(&it);
    gw_rw_body_clear(&b);
    gw_buf_clear(&out);
    return hits == 1;
}

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Scenario: one series as Prometheus, Mimir, Cortex and PromQL write it; with escapes, with UTF-8 names; behind text
 * with braces of other meanings.
 * Guarantees: found, and equal to the labels that were sent. */
static void every_way_of_writing_a_series_is_read(void **state)
{
    (void)state;
    assert_true(
        names("out of order sample for series {__name__=\"up\", job=\"a\"}", LABELS("__name__", "up", "job", "a")));
    assert_true(names("user=x: the sample has been rejected (err-mimir-sample-out-of-order). The affected sample has "
                      "timestamp 2023-01-01T00:00:00Z and is from series up{job=\"a\"}",
                      LABELS("__name__", "up", "job", "a")));
    assert_true(names("sample timestamp out of order; timestamp=1, series={__name__=\"up\",job=\"a\"}",
                      LABELS("__name__", "up", "job", "a")));
    assert_true(names("for series {\"http.duration\", \"service.name\"=\"a\"}",
                      LABELS("__name__", "http.duration", "service.name", "a")));
    assert_true(names("{\"http.duration\"}", LABELS("__name__", "http.duration")));
    assert_true(names("series up{}", LABELS("__name__", "up")));
    assert_true(names("{__name__=\"up\", a=\"x\\\"y\\\\z\\n\\t\\x41\\u00e9\\u0042\\u20ac\\U0001F600\"}",
                      LABELS("__name__", "up", "a",
                             "x\"y\\z\n\tA\xc3\xa9"
                             "B\xe2\x82\xac\xf0\x9f\x98\x80")));
    assert_true(names("{\"error\": \"bad {thing} {\", } {__name__=\"up\"}", LABELS("__name__", "up")));
    assert_true(names("a {__name__=\"down\"}\nb {__name__=\"up\", job=\"a\"}\nc {__name__=\"up\", job=\"b\"}",
                      LABELS("__name__", "up", "job", "a")));
}

/* Scenario: a label less, a label more, another value; a name in the wrong place; texts cut off anywhere.
 * Guarantees: not that series; nothing is read behind the text. */
static void another_series_is_not_taken_for_it(void **state)
{
    static const char whole[] = "x for series {__name__=\"up\", job=\"a\\u00e9\", \"b.c\"=\"d\"}";
    struct gw_rw_named it;

    (void)state;
    assert_false(names("{__name__=\"up\"}", LABELS("__name__", "up", "job", "a")));
    assert_false(names("{__name__=\"up\", job=\"a\", x=\"y\"}", LABELS("__name__", "up", "job", "a")));
    assert_false(names("{__name__=\"up\", job=\"b\"}", LABELS("__name__", "up", "job", "a")));
    assert_false(names("{__name__=up, job=a}", LABELS("__name__", "up", "job", "a")));
    assert_false(names("", LABELS("__name__", "up")));
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        char *cut = malloc(n + 1); /* exact, so that the sanitizer sees a byte too many */

        memcpy(cut, whole, n);
        gw_rw_named_begin(&it, gw_slice_of(cut, n));
        assert_false(gw_rw_named_next(&it));
        gw_rw_named_clear(&it);
        free(cut);
    }
    gw_rw_named_begin(&it, gw_slice_cstr(whole));
    assert_true(gw_rw_named_next(&it));
    assert_int_equal(it.n_labels, 3);
    assert_false(gw_rw_named_next(&it));
    gw_rw_named_clear(&it);
}

/* Scenario: a series of more labels than are kept, and one behind it.
 * Guarantees: the first is left out, the second is found. */
static void a_series_too_long_to_read_hides_no_other(void **state)
{
    struct gw_rw_named it;
    struct gw_buf text;

    (void)state;
    gw_buf_init(&text, 1 << 20);
    gw_buf_put_str(&text, "{a=\"b\"");
    for (unsigned i = 0; i < 2 * GW_RW_NAMED_LABELS; i++)
        gw_buf_printf(&text, ",l%u=\"v\"", i);
    gw_buf_put_str(&text, "} {__name__=\"up\"}");
    gw_rw_named_begin(&it, gw_buf_slice(&text));
    assert_true(gw_rw_named_next(&it));
    assert_int_equal(it.n_labels, 1);
    assert_false(gw_rw_named_next(&it));
    gw_rw_named_clear(&it);
    gw_buf_clear(&text);
}

/* Scenario: sentences of receivers about samples, and about troubles of their own.
 * Guarantees: the first are told apart from the second; a full disk while samples are logged is no sample's fault. */
static void sentences_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        bool about, fault;
    } cases[] = {
        {"out of order sample", true, true},
        {"out of bounds", true, true},
        {"too old sample", true, true},
        {"duplicate sample for timestamp", true, true},
        {"label name \"a\" is not unique: invalid sample", true, true},
        {"native histograms are disabled", true, true},
        {"histogram has a bucket whose observation count is negative", true, true},
        {"out of bounds: timestamp is too far in the future", true, true},
        {"err-mimir-label-value-too-long: received a series whose label value length exceeds", true, false},
        {"write to WAL: log samples: write /data/wal/00000001: no space left on device", true, false},
        {"storage is starting", false, false},
        {"internal server error", false, false},
        {"snappy: corrupt input", false, false},
        {"", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rw_is_about_a_sample(gw_slice_cstr(cases[i].text)), cases[i].about);
        assert_int_equal(gw_rw_is_a_samples_fault(gw_slice_cstr(cases[i].text)), cases[i].fault);
    }
    assert_int_equal(gw_rw_sentence(GW_SLICE(" \n<html>a sample</html>")).n, 0);
    assert_true(gw_slice_is(gw_rw_sentence(GW_SLICE("  too old sample\n")), "too old sample"));
    assert_int_equal(gw_rw_sentence(GW_SLICE(" \n ")).n, 0);
}

/* Scenario: the three headers, one of them, none, and numbers that are none.
 * Guarantees: what can be read counts; nonsense is as if it were not there. */
static void written_headers_are_read(void **state)
{
    struct gw_header h[] = {{GW_SLICE("x-prometheus-remote-write-samples-written"), GW_SLICE("12")},
                            {GW_SLICE("x-prometheus-remote-write-histograms-written"), GW_SLICE("3")},
                            {GW_SLICE("x-prometheus-remote-write-exemplars-written"), GW_SLICE("0")}};
    struct gw_http_response rs = {.headers = h, .n_headers = 3};
    static const char *const bad[] = {"", "-1", "1.5", "many", "99999999999999999999", "1 "};
    struct gw_rw_written w;

    (void)state;
    gw_rw_written_read(&rs, &w);
    assert_true(w.any);
    assert_int_equal(w.samples, 12);
    assert_int_equal(w.histograms, 3);
    assert_int_equal(w.exemplars, 0);
    rs.n_headers = 0;
    gw_rw_written_read(&rs, &w);
    assert_false(w.any);
    rs.n_headers = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        h[0].value = gw_slice_cstr(bad[i]);
        gw_rw_written_read(&rs, &w);
        assert_false(w.any);
        assert_int_equal(w.samples, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_of_writing_a_series_is_read),
        cmocka_unit_test(another_series_is_not_taken_for_it),
        cmocka_unit_test(a_series_too_long_to_read_hides_no_other),
        cmocka_unit_test(sentences_are_told_apart),
        cmocka_unit_test(written_headers_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
