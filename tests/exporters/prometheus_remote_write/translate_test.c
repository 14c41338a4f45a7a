/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, shards, the cache and its bounds: what stands around the series. */
#include "exporters/prometheus_remote_write/translator.h"
#include "tests/exporters/prometheus_remote_write/rig.h"

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

/* n gauges of value i at second i, told apart by an attribute i % mod of `pad` more characters. */
static char *gauges(unsigned n, unsigned mod, unsigned pad)
{
    struct gw_buf b;
    size_t len;

    gw_buf_init(&b, 1 << 28);
    gw_buf_put_str(&b, "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[");
    for (unsigned i = 0; i < n; i++)
        gw_buf_printf(&b,
                      "%s{\"timeUnixNano\":\"%u000000000\",\"asInt\":\"%u\",\"attributes\":[{\"key\":\"i\",\"value\":"
                      "{\"stringValue\":\"%0*u\"}}]}",
                      i ? "," : "", i + 1, i, (int)pad, i % mod);
    gw_buf_put_str(&b, "]}}");
    gw_buf_put_u8(&b, 0);
    return (char *)gw_buf_take(&b, &len);
}

static void send_gauges(struct rig *r, unsigned n, unsigned mod, unsigned pad)
{
    char *json = gauges(n, mod, pad);

    rig_metrics(r, json);
    free(json);
}

/* Each row in exactly one request. */
static void expect_all_rows(const struct rig *r, uint32_t n)
{
    bool *seen = calloc(n, sizeof(*seen));

    assert_non_null(seen);
    for (uint32_t i = 0; i < r->n_requests; i++)
        for (uint32_t k = 0; k < r->requests[i].n_rows; k++) {
            assert_true(r->requests[i].rows[k] < n);
            assert_false(seen[r->requests[i].rows[k]]);
            seen[r->requests[i].rows[k]] = true;
        }
    for (uint32_t i = 0; i < n; i++)
        assert_true(seen[i]);
    free(seen);
}

static void cuts_requests_by_bytes(void **state)
{
    struct rig *r = *state;

    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        r->o.max_request_bytes = 2000;
        r->version = version;
        send_gauges(r, 300, 100, 1);
        assert_int_equal(r->n_lines, 100);
        assert_true(r->n_requests > 3);
        for (uint32_t i = 0; i < r->n_requests; i++) {
            assert_true(r->requests[i].bytes <= 2000);
            assert_true(i + 1 == r->n_requests || r->requests[i].bytes > 1500);
            assert_int_equal(r->requests[i].n_rows, 3 * r->requests[i].n_series);
            assert_int_equal(r->requests[i].n_samples, r->requests[i].n_rows);
        }
        expect_all_rows(r, 300);
    }
}

/* Scenario: a series that is longer than a request may be, between short ones. */
static void sends_a_long_series_by_itself(void **state)
{
    struct rig *r = *state;
    char *json = gauges(1, 1, 5000), *metrics = malloc(100000);

    assert_non_null(metrics);
    (void)snprintf(
        metrics, 100000,
        "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{}]}},%s,{\"name\":\"b\",\"gauge\":{\"dataPoints\":[{}]}}", json);
    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        r->o.max_request_bytes = 1000;
        r->version = version;
        rig_metrics(r, metrics);
        assert_int_equal(r->n_requests, 3);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(r->requests[i].n_rows, 1);
            assert_int_equal(r->requests[i].rows[0], i);
        }
        assert_true(r->requests[1].bytes > 5000);
        assert_string_equal(r->lines[2], "{__name__=\"b\",job=\"svc\"} 0@0");
    }
    free(json);
    free(metrics);
}

static void keeps_metadata_when_it_cuts(void **state)
{
    struct rig *r = *state;

    r->o.max_request_bytes = 60;
    r->o.send_metadata = true;
    rig_metrics(r, "{\"name\":\"aaaaaaaaaaaa\",\"gauge\":{\"dataPoints\":[{}]}},{\"name\":\"bbbbbbbbbbbbb\",\"gauge\":{"
                   "\"dataPoints\":[{}]}}");
    RIG_EXPECT(r, "{__name__=\"aaaaaaaaaaaa\",job=\"svc\"} 0@0", "metadata 2 \"aaaaaaaaaaaa\" \"\" \"\"",
               "{__name__=\"bbbbbbbbbbbbb\",job=\"svc\"} 0@0", "metadata 2 \"bbbbbbbbbbbbb\" \"\" \"\"");
    assert_int_equal(r->n_requests, 2);
}

/* Guarantees: a series falls on one shard in all requests and all translators, and so do all series of a row. */
static void keeps_a_series_on_its_shard(void **state)
{
    struct rig *r = *state, other;
    unsigned shards[100], n_of[8] = {0};

    rig_init(&other);
    r->o.n_shards = other.o.n_shards = 8;
    other.o.seed = 99;
    other.o.series_cache_bytes = 30000;
    send_gauges(r, 100, 100, 1);
    expect_all_rows(r, 100);
    for (uint32_t i = 0; i < r->n_requests; i++)
        for (uint32_t k = 0; k < r->requests[i].n_rows; k++) {
            shards[r->requests[i].rows[k]] = r->requests[i].shard;
            n_of[r->requests[i].shard]++;
        }
    for (int i = 0; i < 8; i++)
        assert_true(n_of[i] > 2);
    for (int times = 0; times < 3; times++) {
        send_gauges(&other, 100, 100, 1);
        expect_all_rows(&other, 100);
        for (uint32_t i = 0; i < other.n_requests; i++)
            for (uint32_t k = 0; k < other.requests[i].n_rows; k++)
                assert_int_equal(shards[other.requests[i].rows[k]], other.requests[i].shard);
    }
    rig_clear(&other);
}

/* Scenario: a gauge that is called as a bucket of a histogram is. They are one series, so they share a shard. */
static void knows_a_bucket_by_another_name(void **state)
{
    struct rig *r = *state;
    char json[2048];

    r->o.n_shards = 16;
    for (int i = 0; i < 20; i++) {
        (void)snprintf(json, sizeof(json),
                       "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"attributes\":[{"
                       "\"key\":\"a\",\"value\":{\"intValue\":\"%d\"}}]}]}},"
                       "{\"name\":\"h_bucket\",\"gauge\":{\"dataPoints\":[{\"attributes\":[{\"key\":\"a\",\"value\":{"
                       "\"intValue\":\"%d\"}},{\"key\":\"le\",\"value\":{\"stringValue\":\"+Inf\"}}]}]}}",
                       i, i);
        rig_metrics(r, json);
        assert_int_equal(r->n_requests, 1);
        assert_int_equal(r->requests[0].n_rows, 2);
    }
}

static void writes_kept_rows_alone(void **state)
{
    struct rig *r = *state;
    bool keep[] = {false, true, false, true};

    assert_int_equal(
        rig_json_kept(
            r,
            "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"g\",\"gauge\":{\"dataPoints\":["
            "{\"asInt\":\"0\"},{\"asInt\":\"1\"},{\"asInt\":\"2\"},{\"asInt\":\"3\"}]}}]}]}]}",
            keep),
        0);
    RIG_EXPECT(r, "{__name__=\"g\"} 1@0 3@0");
    assert_int_equal(r->requests[0].n_rows, 2);
    assert_int_equal(r->requests[0].rows[0], 1);
    assert_int_equal(r->requests[0].rows[1], 3);
}

static void remembers_series(void **state)
{
    struct rig *r = *state;
    const struct gw_rw_stats *s;

    send_gauges(r, 100, 50, 1);
    s = gw_rw_translator_stats(r->t);
    assert_int_equal(s->cache_misses, 50);
    assert_int_equal(s->cache_hits, 50);
    assert_int_equal(s->series, 50);
    assert_true(s->cache_bytes > 50 * 100 && s->cache_bytes < 200000);
    send_gauges(r, 100, 50, 1);
    assert_int_equal(s->cache_misses, 50);
    assert_int_equal(s->cache_hits, 150);
    assert_int_equal(s->cache_evictions, 0);
}

/* Guarantees: a cache that is too small makes the work longer and the requests smaller, nothing else. */
static void bounds_its_memory(void **state)
{
    struct rig *r = *state;

    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        gw_rw_translator_free(r->t);
        r->t = NULL;
        r->version = version;
        r->o.series_cache_bytes = 100000;
        for (int i = 0; i < 5; i++) {
            send_gauges(r, 2000, 1000, 100);
            expect_all_rows(r, 2000);
            assert_int_equal(r->n_refused, 0);
            assert_true(gw_rw_translator_stats(r->t)->cache_bytes <= 100000);
            assert_true(r->n_requests > 1);
        }
        assert_true(gw_rw_translator_stats(r->t)->cache_evictions > 1000);
        send_gauges(r, 10, 10, 7); /* what stays there is right */
        assert_string_equal(r->lines[3], "{__name__=\"g\",i=\"0000003\",job=\"svc\"} 3@4000");
    }
}

/* Scenario: one series needs more than the whole cache may hold. */
static void bears_a_series_larger_than_the_cache(void **state)
{
    struct rig *r = *state;

    r->o.series_cache_bytes = 20000;
    send_gauges(r, 2, 2, 50000);
    assert_int_equal(r->n_lines, 2);
    assert_int_equal(r->n_refused, 0);
    send_gauges(r, 3, 3, 1);
    assert_int_equal(r->n_lines, 3);
    assert_true(gw_rw_translator_stats(r->t)->cache_bytes <= 100000);
}

/* Scenario: an alias of a series whose first form goes out of the cache; both go on to be one series. */
static void forgets_aliases_in_order(void **state)
{
    struct rig *r = *state;
    const char *both = "{\"name\":\"x\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\",\"attributes\":[{\"key\":\"a.b\","
                       "\"value\":{\"stringValue\":\"v\"}}]},"
                       "{\"asInt\":\"2\",\"timeUnixNano\":\"5000000\",\"attributes\":[{\"key\":\"a_b\",\"value\":{"
                       "\"stringValue\":\"v\"}}]}]}}";

    r->o.series_cache_bytes = 60000;
    for (int i = 0; i < 20; i++) {
        rig_metrics(r, both);
        RIG_EXPECT(r, "{__name__=\"x\",a_b=\"v\",job=\"svc\"} 1@0 2@5");
        send_gauges(r, 10 + 20 * (unsigned)i, 1000, 50);
    }
}

/* Scenario: a series is seen first under one spelling, later under another alone. */
static void finds_a_series_by_its_alias(void **state)
{
    static const char *const one =
        "{\"name\":\"x\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\",\"attributes\":[{\"key\":\"a.b\",\"value\":"
        "{\"stringValue\":\"v\"}}]}]}}";
    static const char *const other =
        "{\"name\":\"x\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"2\",\"attributes\":[{\"key\":\"a_b\",\"value\":"
        "{\"stringValue\":\"v\"}}]}]}}";
    struct rig *r = *state;

    rig_metrics(r, one);
    for (int i = 0; i < 3; i++) {
        rig_metrics(r, other);
        RIG_EXPECT(r, "{__name__=\"x\",a_b=\"v\",job=\"svc\"} 2@0");
        assert_int_equal(r->requests[0].n_rows, 1);
    }
    rig_metrics(r, one);
    RIG_EXPECT(r, "{__name__=\"x\",a_b=\"v\",job=\"svc\"} 1@0");
}

static void changes_its_version(void **state)
{
    struct rig *r = *state;

    r->o.target_info = true;
    for (int i = 0; i < 6; i++) {
        r->version = i % 2 ? GW_RW_2 : GW_RW_1;
        send_gauges(r, 20, 10, 1);
        assert_int_equal(r->n_lines, 10);
        assert_string_equal(r->lines[0], "{__name__=\"g\",i=\"0\",job=\"svc\"} 0@1000 10@11000");
    }
}

/* Scenario: 100,000 attributes at a point, then at its resource. */
static void bears_many_attributes(void **state)
{
    struct rig *r = *state;
    struct gw_buf b;

    gw_buf_init(&b, 1 << 28);
    for (unsigned i = 0; i < 100000; i++)
        gw_buf_printf(&b, "%s{\"key\":\"k%u\",\"value\":{\"intValue\":\"%u\"}}", i ? "," : "", i % 90000, i);
    gw_buf_put_u8(&b, 0);
    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        struct gw_buf json;

        r->version = version;
        gw_buf_init(&json, 1 << 28);
        gw_buf_printf(&json, "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"attributes\":[%s]}]}}", (const char *)b.p);
        gw_buf_put_u8(&json, 0);
        rig_metrics(r, (const char *)json.p);
        assert_int_equal(r->n_lines, 1);
        assert_non_null(strstr(r->lines[0], ",k1=\"1;90001\",k10=\"10;90010\",")); /* as after sorting by key */
        gw_buf_reset(&json);
        gw_buf_printf(&json,
                      "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[%s]},\"scopeMetrics\":[{\"metrics\":[{"
                      "\"name\":\"g\",\"gauge\":{\"dataPoints\":[{},{\"asInt\":\"1\"}]}}]}]}]}",
                      (const char *)b.p);
        gw_buf_put_u8(&json, 0);
        r->o.resource_labels = true;
        gw_rw_translator_free(r->t);
        r->t = NULL;
        rig_json(r, (const char *)json.p);
        assert_int_equal(r->n_lines, 1);
        assert_non_null(strstr(r->lines[0], ",k1=\"90001\",k10=\"90010\",")); /* a resource's last one counts */
        gw_buf_clear(&json);
    }
    gw_buf_clear(&b);
}

/* Scenario: buckets whose labels are more than any request can hold. Their neighbours are sent. */
static void refuses_what_fits_into_no_request(void **state)
{
    struct rig *r = *state;
    struct gw_buf b;

    gw_buf_init(&b, 1 << 28);
    gw_buf_put_str(
        &b,
        "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{}]}},{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,"
        "\"dataPoints\":[{\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"");
    for (int i = 0; i < 100000; i++)
        gw_buf_put_u8(&b, 'x');
    gw_buf_put_str(&b, "\"}}],\"explicitBounds\":[");
    for (int i = 0; i < 1000; i++)
        gw_buf_printf(&b, "%s%d", i ? "," : "", i);
    gw_buf_put_str(&b, "],\"bucketCounts\":[");
    for (int i = 0; i < 1000; i++)
        gw_buf_printf(&b, "%s0", i ? "," : "");
    gw_buf_put_str(&b, "]}]}},{\"name\":\"i\",\"gauge\":{\"dataPoints\":[{}]}}");
    gw_buf_put_u8(&b, 0);
    rig_metrics(r, (const char *)b.p);
    assert_int_equal(r->n_refused, 1);
    assert_string_equal(r->reason, "too_large");
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\"} 0@0", "{__name__=\"i\",job=\"svc\"} 0@0");
    gw_buf_clear(&b);
}

/* Scenario: bounds of 300 digits each, more than fit into a request, and more than are written out to find that. */
static void refuses_bounds_without_end(void **state)
{
    struct rig *r = *state;
    struct gw_buf b, request;
    double bound = 1e300;

    gw_buf_init(&b, 1 << 28);
    gw_buf_init(&request, 1 << 28);
    for (int i = 0; i < 230000; i++, bound = nextafter(bound, INFINITY))
        gw_buf_put(&b, &bound, 8);
    /* ResourceMetrics, ScopeMetrics, Metric "h", Histogram cumulative, HistogramDataPoint: counts, bounds. */
    uint32_t n = (uint32_t)b.n, sizes[6];
    uint8_t head[128], *p;

    sizes[5] = 2 * (1 + 4 + n);
    for (int i = 4; i >= 0; i--)
        sizes[i] = sizes[i + 1] + 1 + 4 + (i == 4 ? 2 : i == 3 ? 3 : 0);
    static const uint8_t tags[] = {0x0a, 0x12, 0x12, 0x4a, 0x0a};

    for (int i = 0; i < 5; i++) {
        if (i == 3)
            gw_buf_put(&request, "\x0a\x01h", 3);
        p = head;
        *p++ = tags[i];
        for (int k = 0; k < 3; k++)
            *p++ = (uint8_t)(sizes[i + 1] >> (7 * k) | 0x80);
        *p++ = (uint8_t)(sizes[i + 1] >> 21);
        gw_buf_put(&request, head, 5);
        if (i == 3)
            gw_buf_put(&request, "\x10\x02", 2);
    }
    for (int i = 0; i < 2; i++) {
        head[0] = i ? 0x3a : 0x32;
        for (int k = 0; k < 3; k++)
            head[1 + k] = (uint8_t)(n >> (7 * k) | 0x80);
        head[4] = (uint8_t)(n >> 21);
        gw_buf_put(&request, head, 5);
        gw_buf_put_slice(&request, gw_buf_slice(&b));
    }
    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        r->version = version;
        assert_int_equal(rig_translate(r, gw_buf_slice(&request), NULL), 0);
        rig_expect_refused(r, "too_large");
        send_gauges(r, 3, 3, 1);
        assert_int_equal(r->n_lines, 3);
        assert_true(gw_rw_translator_stats(r->t)->cache_bytes < 100000000);
    }
    gw_buf_clear(&b);
    gw_buf_clear(&request);
}

static void ends_when_emit_fails(void **state)
{
    struct rig *r = *state;

    r->emit_returns = -EPIPE;
    assert_int_equal(rig_json_kept(r,
                                   "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"g\",\"gauge\":{"
                                   "\"dataPoints\":[{}]}}]}]}]}",
                                   NULL),
                     -EPIPE);
    r->emit_returns = 0;
    send_gauges(r, 3, 3, 1);
    assert_int_equal(r->n_lines, 3);
}

/* Scenario: the number that marks what is in use is about to come round. */
static void begins_its_numbers_anew(void **state)
{
    struct rig *r = *state;

    r->o.delta_to_cumulative = true;
    for (int i = 0; i < 4; i++) {
        send_gauges(r, 20, 10, 1);
        assert_string_equal(r->lines[0], "{__name__=\"g\",i=\"0\",job=\"svc\"} 0@1000 10@11000");
        if (i == 1)
            r->t->cache.epoch = r->t->sums->cache.epoch = UINT32_MAX / 2 + 1;
        if (i > 1)
            assert_true(r->t->cache.epoch < 10 && r->t->sums->cache.epoch < 10);
    }
}

/* Scenario: nothing to send: no metric, or only points that are refused. */
static void sends_no_empty_request(void **state)
{
    struct rig *r = *state;

    r->o.target_info = true;
    rig_json(r, "{\"resourceMetrics\":[{}]}");
    assert_int_equal(r->n_requests, 0);
    rig_metrics(r, "{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":1,\"dataPoints\":[{}]}}");
    assert_int_equal(r->n_requests, 0);
    assert_int_equal(r->n_refused, 1);
}

/* Scenario: attributes apart from each other, on the wire: value, attribute, value, attribute. */
static void reads_attributes_that_stand_apart(void **state)
{
    static const char *const hex =
        "0a 2e 12 2c 12 2a 0a 01 67 2a 25 0a 23" /* resource, scope, metric g, gauge, point */
        "3a 08 0a 01 61 12 03 0a 01 31"          /* a=1 */
        "19 40 42 0f 00 00 00 00 00"             /* 1 ms */
        "3a 08 0a 01 62 12 03 0a 01 32"          /* b=2 */
        "40 00 40 00 40 00";                     /* flags, to fill up */
    struct rig *r = *state;
    uint8_t *p;
    size_t n;

    gw_hex(hex, &p, &n);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_translate(r, gw_slice_of(p, n), NULL), 0);
        RIG_EXPECT(r, "{__name__=\"g\",a=\"1\",b=\"2\"} 0@1");
    }
    assert_int_equal(gw_rw_translator_stats(r->t)->cache_misses, 1);
    assert_int_equal(gw_rw_translator_stats(r->t)->cache_hits, 1);
    free(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(cuts_requests_by_bytes),
        T(sends_a_long_series_by_itself),
        T(keeps_metadata_when_it_cuts),
        T(keeps_a_series_on_its_shard),
        T(knows_a_bucket_by_another_name),
        T(writes_kept_rows_alone),
        T(remembers_series),
        T(bounds_its_memory),
        T(bears_a_series_larger_than_the_cache),
        T(forgets_aliases_in_order),
        T(finds_a_series_by_its_alias),
        T(changes_its_version),
        T(bears_many_attributes),
        T(refuses_what_fits_into_no_request),
        T(refuses_bounds_without_end),
        T(ends_when_emit_fails),
        T(begins_its_numbers_anew),
        T(sends_no_empty_request),
        T(reads_attributes_that_stand_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
