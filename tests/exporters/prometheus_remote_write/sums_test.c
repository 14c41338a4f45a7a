/* SPDX-License-Identifier: Apache-2.0 */
/* Delta points made cumulative. */
#include "tests/exporters/prometheus_remote_write/rig.h"

#define DELTA(kind, more, points)                                                                                      \
    "{\"name\":\"d\",\"" kind "\":{\"aggregationTemporality\":1" more ",\"dataPoints\":[" points "]}}"
#define COUNTER(points) DELTA("sum", ",\"isMonotonic\":true", points)
#define HIST(points)    DELTA("histogram", "", points)
#define EXP(points)     DELTA("exponentialHistogram", "", points)
#define AT(t, rest)     "{\"timeUnixNano\":\"" #t "000000\"," rest "}"
#define INT(t, v)       AT(t, "\"asInt\":\"" #v "\"")

static int begin(void **state)
{
    static struct rig r;

    rig_init(&r);
    r.o.delta_to_cumulative = true;
    *state = &r;
    return 0;
}

static int end(void **state)
{
    rig_clear(*state);
    return 0;
}

static void adds_numbers_up(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, COUNTER(INT(1, 5) "," INT(2, 7)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 5@1 12@2");
    rig_metrics(r, COUNTER(INT(3, 1)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 13@3");
    rig_metrics(r, COUNTER(AT(4, "\"asDouble\":0.5")));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 13.5@4");
    rig_metrics(r, DELTA("sum", "", INT(4, -2))); /* another series: a gauge */
    RIG_EXPECT(r, "{__name__=\"d\",job=\"svc\"} -2@4");
    rig_metrics(r, COUNTER(INT(5, 1)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 14.5@5");
    rig_metrics(r, "{\"name\":\"d\",\"sum\":{\"dataPoints\":[{}]}}");
    rig_expect_refused(r, "delta");
}

/* Guarantees: a series is known by its labels, whatever their order and whatever the version speaks. */
static void knows_the_series_again(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, COUNTER(AT(1, "\"asInt\":\"1\",\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}},{"
                                 "\"key\":\"b\",\"value\":{\"intValue\":\"2\"}}]")));
    rig_metrics(r, COUNTER(AT(2, "\"asInt\":\"1\",\"attributes\":[{\"key\":\"b\",\"value\":{\"intValue\":\"2\"}},{"
                                 "\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}]")));
    r->version = GW_RW_2;
    rig_metrics(r, COUNTER(AT(3, "\"asInt\":\"1\",\"attributes\":[{\"key\":\"b\",\"value\":{\"intValue\":\"2\"}},{"
                                 "\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}]")));
    RIG_EXPECT(r, "{__name__=\"d_total\",a=\"1\",b=\"2\",job=\"svc\"} 3@3");
}

static void says_when_it_began(void **state)
{
    struct rig *r = *state;

    r->version = GW_RW_2;
    r->starts = true;
    rig_metrics(r, COUNTER(AT(5, "\"asInt\":\"1\",\"startTimeUnixNano\":\"4000000\"") "," AT(
                       6, "\"asInt\":\"1\",\"startTimeUnixNano\":\"5000000\"")));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 1@5/4 2@6/4");
}

static void refuses_points_out_of_order(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, COUNTER(INT(2, 1) "," INT(1, 1) "," INT(2, 1)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 1@2");
    assert_int_equal(r->n_refused, 2);
    assert_string_equal(r->reason, "delta_order");
    rig_metrics(r, COUNTER(INT(1, 1)));
    rig_expect_refused(r, "delta_order");
}

/* Scenario: the same batch again, because it goes out in another version. It is not counted twice. */
static void counts_a_batch_once(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, COUNTER(INT(1, 10)));
    for (int i = 0; i < 3; i++) {
        r->version = i % 2 ? GW_RW_2 : GW_RW_1;
        rig_metrics(r, COUNTER(INT(2, 1) "," INT(3, 2)) "," HIST(
                           AT(2, "\"count\":\"1\",\"explicitBounds\":[1],\"bucketCounts\":[1,0]")));
        assert_string_equal(r->lines[0], "{__name__=\"d_total\",job=\"svc\"} 11@2 13@3");
        assert_string_equal(r->lines[2], "{__name__=\"d_bucket\",job=\"svc\",le=\"1\"} 1@2");
    }
    rig_metrics(r, COUNTER(INT(4, 1)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 14@4");
}

static void adds_histograms_up(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, HIST(AT(1, "\"count\":\"3\",\"sum\":1.5,\"explicitBounds\":[1,2],\"bucketCounts\":[1,1,1]") "," AT(
                       2, "\"count\":\"2\",\"sum\":1,\"explicitBounds\":[1,2],\"bucketCounts\":[0,2,0]")));
    RIG_EXPECT(r, "{__name__=\"d_sum\",job=\"svc\"} 1.5@1 2.5@2", "{__name__=\"d_count\",job=\"svc\"} 3@1 5@2",
               "{__name__=\"d_bucket\",job=\"svc\",le=\"1\"} 1@1 1@2",
               "{__name__=\"d_bucket\",job=\"svc\",le=\"2\"} 2@1 4@2",
               "{__name__=\"d_bucket\",job=\"svc\",le=\"+Inf\"} 3@1 5@2");
    rig_metrics(
        r, HIST(AT(3, "\"count\":\"1\",\"explicitBounds\":[1,3],\"bucketCounts\":[1,0,0]"))); /* other bounds: anew */
    RIG_EXPECT(r, "{__name__=\"d_count\",job=\"svc\"} 1@3", "{__name__=\"d_bucket\",job=\"svc\",le=\"1\"} 1@3",
               "{__name__=\"d_bucket\",job=\"svc\",le=\"3\"} 1@3",
               "{__name__=\"d_bucket\",job=\"svc\",le=\"+Inf\"} 1@3");
    rig_metrics(r, HIST(AT(4, "\"count\":\"1\",\"sum\":1,\"explicitBounds\":[1,3],\"bucketCounts\":[1,0,0]")));
    assert_string_equal(r->lines[0],
                        "{__name__=\"d_count\",job=\"svc\"} 2@4"); /* a sum that once was missing is none */
}

static void adds_exponential_ones_up(void **state)
{
    struct rig *r = *state;

    rig_metrics(r,
                EXP(AT(1, "\"scale\":1,\"count\":\"3\",\"sum\":1,\"zeroCount\":\"1\",\"positive\":{\"offset\":0,"
                          "\"bucketCounts\":[1,1]}") "," AT(2, "\"scale\":0,\"count\":\"3\",\"sum\":2,\"positive\":{"
                                                               "\"offset\":1,\"bucketCounts\":[2]},"
                                                               "\"negative\":{\"offset\":-1,\"bucketCounts\":[1]}")));
    RIG_EXPECT(r,
               "{__name__=\"d\",job=\"svc\"} hist count=3 sum=1 schema=1 zt=1e-128 zero=1 ns= nd= ps=1:2, pd=1,0, cv=@1"
               " hist count=6 sum=3 schema=0 zt=1e-128 zero=1 ns=0:1, nd=1, ps=1:2, pd=2,0, cv=@2");
}

static void adds_bucket_to_bucket(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"3\",\"positive\":{\"offset\":0,\"bucketCounts\":[1,2]}") "," AT(
                       2, "\"scale\":1,\"count\":\"15\",\"positive\":{\"offset\":0,\"bucketCounts\":[1,2,4,8]}")));
    RIG_EXPECT(r,
               "{__name__=\"d\",job=\"svc\"} hist count=3 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=1:2, pd=1,1, cv=@1"
               " hist count=18 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=1:2, pd=4,10, cv=@2");
}

/* Scenario: buckets as far apart as possible. The scale goes down until they fit; when it cannot, the row is refused.
 */
static void bears_buckets_far_apart(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r,
        EXP(AT(1,
               "\"scale\":8,\"count\":\"2\",\"positive\":{\"offset\":-1000,\"bucketCounts\":[1]},"
               "\"negative\":{\"offset\":3,\"bucketCounts\":[1]}") "," AT(2,
                                                                          "\"scale\":8,\"count\":\"1\",\"positive\":{"
                                                                          "\"offset\":1000,\"bucketCounts\":[1]}")));
    assert_int_equal(r->n_refused, 0);
    assert_non_null(strstr(r->lines[0],
                           "hist count=3 sum=0 schema=4 zt=1e-128 zero=0 ns=1:1, nd=1, ps=-62:1,124:1, pd=1,0, cv=@2"));
    rig_metrics(r, EXP(AT(3, "\"scale\":0,\"count\":\"1\",\"positive\":{\"offset\":1000000000,\"bucketCounts\":[1]}")));
    rig_expect_refused(r, "histogram_scale");
    rig_metrics(r, EXP(AT(4, "\"scale\":20,\"count\":\"0\"")));
    assert_non_null(strstr(r->lines[0], "hist count=3 sum=0 schema=4"));
}

static void sends_stale_markers_on(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, COUNTER(INT(1, 5) "," AT(2, "\"flags\":1") "," INT(3, 1)));
    RIG_EXPECT(r, "{__name__=\"d_total\",job=\"svc\"} 5@1 stale@2 6@3");
}

/* Guarantees: sums of many series stay within their bound; those that had to go begin anew. */
static void bounds_its_memory(void **state)
{
    struct rig *r = *state;
    char json[512];
    unsigned anew = 0;

    r->o.series_cache_bytes = 100000;
    for (int round = 1; round <= 2; round++)
        for (int i = 0; i < 2000; i++) {
            (void)snprintf(json, sizeof(json),
                           COUNTER("{\"timeUnixNano\":\"%d000000\",\"asInt\":\"1\",\"attributes\":[{\"key\":\"a\","
                                   "\"value\":{\"intValue\":\"%d\"}}]}"),
                           round, i);
            rig_metrics(r, json);
            assert_int_equal(r->n_lines, 1);
            anew += round == 2 && strstr(r->lines[0], " 1@") != NULL;
        }
    assert_true(anew > 1000);
}

/* Scenario: one batch with more series than sums are kept of. */
static void refuses_more_series_than_it_keeps(void **state)
{
    struct rig *r = *state;
    struct gw_buf b;

    r->o.series_cache_bytes = 60000;
    gw_buf_init(&b, 1 << 24);
    for (int i = 0; i < 1000; i++)
        gw_buf_printf(&b,
                      "%s{\"asInt\":\"1\",\"timeUnixNano\":\"1\",\"attributes\":[{\"key\":\"a\",\"value\":{"
                      "\"intValue\":\"%d\"}}]}",
                      i ? "," : "", i);
    gw_buf_put_u8(&b, 0);
    struct gw_buf json;

    gw_buf_init(&json, 1 << 24);
    gw_buf_printf(&json, COUNTER("%s"), (const char *)b.p);
    gw_buf_put_u8(&json, 0);
    rig_metrics(r, (const char *)json.p);
    assert_true(r->n_refused > 0 && r->n_lines > 0);
    assert_int_equal(r->n_refused + r->n_lines, 1000);
    assert_string_equal(r->reason, "delta_series");
    gw_buf_clear(&b);
    gw_buf_clear(&json);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(adds_numbers_up),          T(knows_the_series_again),
        T(says_when_it_began),       T(refuses_points_out_of_order),
        T(counts_a_batch_once),      T(adds_histograms_up),
        T(adds_exponential_ones_up), T(adds_bucket_to_bucket),
        T(bears_buckets_far_apart),  T(sends_stale_markers_on),
        T(bounds_its_memory),        T(refuses_more_series_than_it_keeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
