/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms of all shapes: what the Collector 0.158 writes of the same, and what is refused because of its neighbours.
 */
#include "tests/exporters/prometheus_remote_write/rig.h"

#define HIST(points) "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[" points "]}}"
#define EXP(points)                                                                                                    \
    "{\"name\":\"h\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[" points "]}}"
#define AT(t, rest) "{\"timeUnixNano\":\"" #t "000000\"," rest "}"

static int begin(void **state)
{
    static struct rig r;

    rig_init(&r);
    *state = &r;
    return 0;
}

static int end(void **state)
{
    rig_clear(*state);
    return 0;
}

/* ---- classic ---------------------------------------------------------------------------------------------- */

static void writes_classic_histograms(void **state)
{
    struct rig *r = *state;

    rig_metrics(r,
                HIST(AT(1, "\"count\":\"6\",\"sum\":2.5,\"explicitBounds\":[0.1,5,1e21],\"bucketCounts\":[1,0,3,2]")));
    RIG_EXPECT(r, "{__name__=\"h_sum\",job=\"svc\"} 2.5@1", "{__name__=\"h_count\",job=\"svc\"} 6@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"0.1\"} 1@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"5\"} 1@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"1000000000000000000000\"} 4@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1");
    assert_int_equal(r->requests[0].n_rows, 1);
    assert_int_equal(r->requests[0].n_series, 6);
    assert_int_equal(r->requests[0].n_samples, 6);
}

/* Scenario: no sum; no buckets; counts that do not fit to the bounds or the count: +Inf is the count in any case. */
static void writes_what_a_histogram_has(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, HIST(AT(1, "\"count\":\"6\"")));
    RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 6@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[1,2,3],\"bucketCounts\":[7]")));
    RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 6@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 7@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[1],\"bucketCounts\":[1,2,3,4]")));
    RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 6@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 1@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1");
}

/* Guarantees: no series has two points of one time. */
static void writes_each_bucket_once(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[1,1,\"Infinity\"],\"bucketCounts\":[1,2,3,0]")));
    RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 6@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 3@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[2,1],\"bucketCounts\":[1,2,3]")));
    rig_expect_refused(r, "histogram_bounds");
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[\"NaN\"],\"bucketCounts\":[1,5]")));
    rig_expect_refused(r, "histogram_bounds");
}

static void refuses_a_label_that_buckets_have(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, HIST(AT(1, "\"count\":\"1\",\"attributes\":[{\"key\":\"le\",\"value\":{\"stringValue\":\"1\"}}]")));
    rig_expect_refused(r, "label_taken");
    r->o.nhcb = true; /* takes another translator: native ones have no such label of their own */
    gw_rw_translator_free(r->t);
    r->t = NULL;
    rig_metrics(r, HIST(AT(1, "\"count\":\"1\",\"attributes\":[{\"key\":\"le\",\"value\":{\"stringValue\":\"1\"}}]")));
    assert_int_equal(r->n_lines, 1);
}

static void marks_stale_histograms(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, HIST(AT(1, "\"flags\":1,\"count\":\"1\",\"sum\":1,\"explicitBounds\":[1],\"bucketCounts\":[1,0]")));
    RIG_EXPECT(r, "{__name__=\"h_sum\",job=\"svc\"} stale@1", "{__name__=\"h_count\",job=\"svc\"} stale@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} stale@1",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} stale@1");
}

/* Scenario: points of one series out of order, and with other bounds. Each bucket is one series, in order of time. */
static void sorts_buckets_of_many_points(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r,
        HIST(AT(3, "\"count\":\"3\",\"explicitBounds\":[1,2],\"bucketCounts\":[1,1,1]") "," AT(
            1,
            "\"count\":\"1\",\"explicitBounds\":[1,2],\"bucketCounts\":[1,0,0]") "," AT(2,
                                                                                        "\"count\":\"2\",\"sum\":9,"
                                                                                        "\"explicitBounds\":[0.5,2],"
                                                                                        "\"bucketCounts\":[1,1,0]")));
    RIG_EXPECT(r, "{__name__=\"h_sum\",job=\"svc\"} 9@2", "{__name__=\"h_count\",job=\"svc\"} 1@1 2@2 3@3",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"0.5\"} 1@2",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 1@1 1@3",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"2\"} 1@1 2@2 2@3",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 1@1 2@2 3@3");
    assert_int_equal(r->requests[0].n_rows, 3);
}

#define EX(v) "{\"asDouble\":" v ",\"timeUnixNano\":\"7000000\"}"

static void puts_exemplars_into_their_buckets(void **state)
{
    struct rig *r = *state;

    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        r->version = version;
        rig_metrics(
            r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[1,1,2],\"bucketCounts\":[1,0,3,2],\"exemplars\":[" EX(
                              "9") "," EX("0.5") "," EX("1") "," EX("\"NaN\"") "," EX("1.5") "]")));
        RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 6@1",
                   "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 1@1 ex{} 0.5@7 ex{} 1@7",
                   "{__name__=\"h_bucket\",job=\"svc\",le=\"2\"} 4@1 ex{} 1.5@7",
                   "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 6@1 ex{} 9@7");
        assert_int_equal(r->requests[0].n_exemplars, 4);
    }
}

/* ---- custom buckets ---------------------------------------------------------------------------------------- */

#define CUSTOM "{__name__=\"h\",job=\"svc\"} hist "

static void makes_native_ones_of_bounds(void **state)
{
    struct rig *r = *state;

    r->o.nhcb = true;
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"sum\":2.5,\"explicitBounds\":[1,2,3],\"bucketCounts\":[1,2,3,0]")));
    RIG_EXPECT(r, CUSTOM "count=6 sum=2.5 schema=-53 zt=0 zero=0 ns= nd= ps=0:3, pd=1,1,1, cv=1,2,3,@1");
    assert_int_equal(r->requests[0].n_histograms, 1);
    rig_metrics(
        r,
        HIST(AT(1, "\"count\":\"6\",\"sum\":2.5,\"explicitBounds\":[1,2,3,4,5,6],\"bucketCounts\":[0,1,0,0,3,0,0]")));
    RIG_EXPECT(r, CUSTOM "count=6 sum=2.5 schema=-53 zt=0 zero=0 ns= nd= ps=1:6, pd=1,-1,0,3,-3,2, cv=1,2,3,4,5,6,@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"4\",\"explicitBounds\":[1,2,3,4,5],\"bucketCounts\":[1,0,0,0,3,0]")));
    RIG_EXPECT(r, CUSTOM "count=4 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:1,3:1, pd=1,2, cv=1,2,3,4,5,@1");
    rig_metrics(r, HIST(AT(1, "\"explicitBounds\":[1],\"bucketCounts\":[0,0]")));
    RIG_EXPECT(r, CUSTOM "count=0 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps= pd= cv=1,@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"2\"")));
    RIG_EXPECT(r, CUSTOM "count=2 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:1, pd=2, cv=@1");
    rig_metrics(r, HIST(AT(1, "\"flags\":1,\"count\":\"2\"")));
    RIG_EXPECT(r, CUSTOM "sum=stale schema=-53 zt=0 ns= nd= ps= pd= cv=@1");
}

/* Scenario: more counted than the buckets have: the last one has them. Fewer: the buckets count. */
static void adds_up_custom_buckets(void **state)
{
    struct rig *r = *state;

    r->o.nhcb = true;
    rig_metrics(r, HIST(AT(1, "\"count\":\"9\",\"explicitBounds\":[1],\"bucketCounts\":[1,2]")));
    RIG_EXPECT(r, CUSTOM "count=9 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:2, pd=1,7, cv=1,@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"1\",\"explicitBounds\":[1],\"bucketCounts\":[1,2]")));
    RIG_EXPECT(r, CUSTOM "count=3 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:2, pd=1,1, cv=1,@1");
    rig_metrics(r, HIST(AT(1, "\"count\":\"6\",\"explicitBounds\":[1,1,\"Infinity\"],\"bucketCounts\":[1,2,3,9]")));
    RIG_EXPECT(r, CUSTOM "count=6 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:2, pd=1,4, cv=1,@1");
    rig_metrics(
        r, HIST(AT(1, "\"explicitBounds\":[1],\"bucketCounts\":[\"9223372036854775807\",\"9223372036854775807\"]")));
    rig_expect_refused(r, "histogram_count");
    rig_metrics(r, HIST(AT(1, "\"explicitBounds\":[1],\"bucketCounts\":[\"18446744073709551615\",\"2\"]")));
    rig_expect_refused(r, "histogram_count");
}

static void keeps_classic_ones_beside(void **state)
{
    struct rig *r = *state;

    r->o.nhcb = r->o.keep_classic = true;
    rig_metrics(
        r, HIST(AT(1, "\"count\":\"3\",\"explicitBounds\":[1],\"bucketCounts\":[1,2],\"exemplars\":[" EX("1") "]")));
    RIG_EXPECT(r, CUSTOM "count=3 sum=0 schema=-53 zt=0 zero=0 ns= nd= ps=0:2, pd=1,1, cv=1,@1 ex{} 1@7",
               "{__name__=\"h_count\",job=\"svc\"} 3@1", "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 1@1 ex{} 1@7",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 3@1");
}

/* ---- exponential ------------------------------------------------------------------------------------------- */

#define BUCKETS(offset, counts) "{\"offset\":" #offset ",\"bucketCounts\":[" counts "]}"

static void makes_native_ones_of_exponential(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":3,\"count\":\"13\",\"sum\":-1.5,\"zeroCount\":\"2\",\"positive\":" BUCKETS(
                                 -1, "1,2,0,1") ",\"negative\":" BUCKETS(4, "7"))));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=13 sum=-1.5 schema=3 zt=1e-128 zero=2 ns=5:1, nd=7, ps=0:4, "
                  "pd=1,1,-2,1, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":-4,\"count\":\"0\",\"zeroThreshold\":0.25")));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=0 sum=0 schema=-4 zt=0.25 zero=0 ns= nd= ps= pd= cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"0\",\"flags\":1")));
    assert_int_equal(r->n_lines, 1);
    assert_non_null(strstr(r->lines[0], "count=9218868437227405314 sum=stale"));
}

/* Scenario: up to two empty buckets are written out, more begin a new span; leading ones and trailing ones, too. */
static void leaves_gaps_between_spans(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"4\",\"positive\":" BUCKETS(0, "1,0,0,1,0,0,0,2"))));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=4 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=1:4,3:1, "
                  "pd=1,-1,0,1,1, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"positive\":" BUCKETS(0, "0,0,0,0,1,0"))));
    RIG_EXPECT(
        r,
        "{__name__=\"h\",job=\"svc\"} hist count=1 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=1:0,4:2, pd=1,-1, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"positive\":" BUCKETS(9, "0"))));
    RIG_EXPECT(
        r, "{__name__=\"h\",job=\"svc\"} hist count=0 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=10:1, pd=0, cv=@1");
}

/* Scenario: scales that Prometheus does not have are brought down to 8, any scale of OTLP. */
static void brings_scales_down(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":10,\"count\":\"10\",\"positive\":" BUCKETS(2, "1,1,2,2,1,1,2"))));
    RIG_EXPECT(
        r,
        "{__name__=\"h\",job=\"svc\"} hist count=10 sum=0 schema=8 zt=1e-128 zero=0 ns= nd= ps=1:3, pd=2,4,-4, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":9,\"count\":\"3\",\"negative\":" BUCKETS(-3, "1,1,1"))));
    RIG_EXPECT(
        r, "{__name__=\"h\",job=\"svc\"} hist count=3 sum=0 schema=8 zt=1e-128 zero=0 ns=-1:2, nd=1,1, ps= pd= cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":2147483647,\"count\":\"3\",\"positive\":" BUCKETS(-2, "1,1,1"))));
    RIG_EXPECT(
        r, "{__name__=\"h\",job=\"svc\"} hist count=3 sum=0 schema=8 zt=1e-128 zero=0 ns= nd= ps=0:2, pd=2,-1, cv=@1");
    /* Two that are empty fall together in bucket 1, the others in bucket 2. */
    rig_metrics(r, EXP(AT(1, "\"scale\":9,\"count\":\"8\",\"positive\":" BUCKETS(0, "0,0,5,3"))));
    RIG_EXPECT(
        r, "{__name__=\"h\",job=\"svc\"} hist count=8 sum=0 schema=8 zt=1e-128 zero=0 ns= nd= ps=1:2, pd=0,8, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":9,\"count\":\"9\",\"positive\":" BUCKETS(0, "1,0,0,0,0,0,0,0,5,3"))));
    RIG_EXPECT(
        r,
        "{__name__=\"h\",job=\"svc\"} hist count=9 sum=0 schema=8 zt=1e-128 zero=0 ns= nd= ps=1:1,3:1, pd=1,7, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":-5,\"count\":\"1\",\"positive\":" BUCKETS(0, "1"))));
    rig_expect_refused(r, "histogram_scale");
}

static void bears_huge_offsets(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"positive\":" BUCKETS(1000000000, "1"))));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=1 sum=0 schema=0 zt=1e-128 zero=0 ns= nd= ps=1000000001:1, "
                  "pd=1, cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"negative\":" BUCKETS(-2147483648, "1"))));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=1 sum=0 schema=0 zt=1e-128 zero=0 ns=-2147483647:1, nd=1, "
                  "ps= pd= cv=@1");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"positive\":" BUCKETS(2147483647, "1"))));
    rig_expect_refused(r, "histogram_offset");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"negative\":" BUCKETS(2147483640, "1,0,0,0,0,0,0,0"))));
    rig_expect_refused(r, "histogram_offset");
}

/* Guarantees: what makes a receiver refuse the whole request never gets into it. */
static void refuses_buckets_that_do_not_add_up(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"2\",\"positive\":" BUCKETS(0, "1"))));
    rig_expect_refused(r, "histogram_count");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"1\",\"sum\":\"NaN\",\"positive\":" BUCKETS(0, "2"))));
    rig_expect_refused(r, "histogram_count");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"0\",\"positive\":" BUCKETS(0, "\"18446744073709551615\",1"))));
    rig_expect_refused(r, "histogram_count");
    rig_metrics(r, EXP(AT(1, "\"scale\":0,\"count\":\"3\",\"sum\":\"NaN\",\"positive\":" BUCKETS(0, "2"))));
    assert_int_equal(r->n_lines, 1); /* observations of NaN are in no bucket */
}

static void has_start_times_in_2_0(void **state)
{
    struct rig *r = *state;

    r->version = GW_RW_2;
    r->starts = r->metadata = true;
    rig_metrics(
        r,
        EXP(AT(9,
               "\"startTimeUnixNano\":\"5000000\",\"scale\":0,\"count\":\"2\",\"zeroCount\":\"2\",\"exemplars\":[" EX(
                   "1") "]")));
    RIG_EXPECT(r, "{__name__=\"h\",job=\"svc\"} hist count=2 sum=0 schema=0 zt=1e-128 zero=2 ns= nd= ps= pd= cv=@9/5 "
                  "ex{} 1@7 meta 3 \"\" \"\"");
    rig_metrics(
        r,
        HIST(AT(9, "\"startTimeUnixNano\":\"5000000\",\"count\":\"2\",\"explicitBounds\":[1],\"bucketCounts\":[2,0]")));
    RIG_EXPECT(r, "{__name__=\"h_count\",job=\"svc\"} 2@9/5 meta 3 \"\" \"\"",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"1\"} 2@9/5 meta 3 \"\" \"\"",
               "{__name__=\"h_bucket\",job=\"svc\",le=\"+Inf\"} 2@9/5 meta 3 \"\" \"\"");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(writes_classic_histograms),
        T(writes_what_a_histogram_has),
        T(writes_each_bucket_once),
        T(refuses_a_label_that_buckets_have),
        T(marks_stale_histograms),
        T(sorts_buckets_of_many_points),
        T(puts_exemplars_into_their_buckets),
        T(makes_native_ones_of_bounds),
        T(adds_up_custom_buckets),
        T(keeps_classic_ones_beside),
        T(makes_native_ones_of_exponential),
        T(leaves_gaps_between_spans),
        T(brings_scales_down),
        T(bears_huge_offsets),
        T(refuses_buckets_that_do_not_add_up),
        T(has_start_times_in_2_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
