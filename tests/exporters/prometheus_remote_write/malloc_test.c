/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations: none once the series are known; any one may fail. */
#include "tests/exporters/prometheus_remote_write/rig.h"
#include "tests/harness_malloc.h"

#define ATTRS                                                                                                          \
    "\"attributes\":[{\"key\":\"a.b\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"}]}}},"                \
    "{\"key\":\"a_b\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"stringValue\":\"y\"}}]}}}]"
#define EXEMPLARS                                                                                                      \
    "\"exemplars\":[{\"asInt\":\"1\",\"spanId\":\"0102030405060708\",\"filteredAttributes\":[{\"key\":\"u\","          \
    "\"value\":{\"intValue\":\"9\"}}]}]"
#define POINT(t, rest) "{\"timeUnixNano\":\"" #t "000000\"," ATTRS "," EXEMPLARS "," rest "}"
#define HIST           "\"count\":\"3\",\"sum\":1,\"explicitBounds\":[1,2],\"bucketCounts\":[1,1,1]"
#define EXP            "\"scale\":9,\"count\":\"3\",\"positive\":{\"offset\":3,\"bucketCounts\":[1,0,0,0,0,0,0,0,2]}"

static const char all[] =
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s\"}},"
    "{\"key\":"
    "\"host\",\"value\":{\"intValue\":\"1\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\"},\"metrics\":["
    "{\"name\":\"g\",\"unit\":\"By/s\",\"gauge\":{\"dataPoints\":[" POINT(2, "\"asInt\":\"1\"") "," POINT(
        1,
        "\"asInt\":\"2\"") "]}},"
                           "{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":"
                           "[" POINT(
                               2,
                               "\"asInt\":\"1\"") "]}},"
                                                  "{\"name\":\"d\",\"sum\":{\"aggregationTemporality\":1,"
                                                  "\"isMonotonic\":true,\"dataPoints\":[" POINT(
                                                      3,
                                                      "\"asInt\":\"1\"") "]}},"
                                                                         "{\"name\":\"h\",\"histogram\":{"
                                                                         "\"aggregationTemporality\":2,\"dataPoints\":"
                                                                         "[" POINT(2, HIST) "," POINT(
                                                                             1,
                                                                             HIST) "]}},"
                                                                                   "{\"name\":\"hd\",\"histogram\":{"
                                                                                   "\"aggregationTemporality\":1,"
                                                                                   "\"dataPoints\":[" POINT(
                                                                                       3,
                                                                                       HIST) "]}},"
                                                                                             "{\"name\":\"e\","
                                                                                             "\"exponentialHistogram\":"
                                                                                             "{\"aggregationTemporality"
                                                                                             "\":2,\"dataPoints\":"
                                                                                             "[" POINT(
                                                                                                 2,
                                                                                                 EXP) "]}},"
                                                                                                      "{\"name\":"
                                                                                                      "\"ed\","
                                                                                                      "\"exponentialHis"
                                                                                                      "togram\":{"
                                                                                                      "\"aggregationTem"
                                                                                                      "porality\":1,"
                                                                                                      "\"dataPoints\":"
                                                                                                      "[" POINT(
                                                                                                          3,
                                                                                                          EXP) "]}},"
                                                                                                               "{\"name"
                                                                                                               "\":"
                                                                                                               "\"s\","
                                                                                                               "\"summa"
                                                                                                               "ry\":{"
                                                                                                               "\"dataP"
                                                                                                               "oints\""
                                                                                                               ":[{"
                                                                                                               "\"count"
                                                                                                               "\":"
                                                                                                               "\"1\","
                                                                                                               "\"quant"
                                                                                                               "ileValu"
                                                                                                               "es\":[{"
                                                                                                               "\"quant"
                                                                                                               "ile\":"
                                                                                                               "0.5,"
                                                                                                               "\"value"
                                                                                                               "\":1}]}"
                                                                                                               "]}}"
                                                                                                               "]}]}]}";

static unsigned refused, emitted;

static int emit(void *arg, const struct gw_rw_request *rq)
{
    (void)arg;
    emitted += rq->n_rows;
    return 0;
}

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    (void)arg;
    (void)row;
    (void)message;
    assert_string_equal(reason, "delta_order"); /* a batch that failed half-way was added up: it is not counted twice */
    refused++;
}

static const struct gw_rw_sink sink = {.emit = emit, .refuse = refuse};

static const struct gw_rw_options options = {.namespace_ = "n",
                                             .target_info = true,
                                             .scope_info = true,
                                             .resource_labels = true,
                                             .send_metadata = true,
                                             .nhcb = true,
                                             .keep_classic = true,
                                             .delta_to_cumulative = true,
                                             .n_shards = 2,
                                             .max_request_bytes = 2000,
                                             .series_cache_bytes = 1 << 20};

static struct gw_batch *decoded(void)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_buf request;
    struct gw_ref ref;

    gw_buf_init(&request, 1 << 20);
    assert_int_equal(gw_json_to_proto(GW_METRICS, gw_slice_cstr(all), &limits, &request, NULL), 0);
    assert_non_null(b);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&request), &ref), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, NULL), 0);
    gw_buf_clear(&request);
    return b;
}

static int both_versions(const struct gw_view *v, struct gw_rw_translator **ret)
{
    int r = gw_rw_translator_new(&options, ret);

    for (int version = GW_RW_1; version <= GW_RW_2 && r == 0; version++)
        r = gw_rw_translate(*ret, v, version, &sink);
    return r;
}

/*
 * Guarantees: whichever allocation fails, the answer is -ENOMEM, or all rows are there after another try. Nothing
 * leaks, and the translator goes on.
 */
static void says_that_there_is_no_memory(void **state)
{
    struct gw_batch *b = decoded();
    struct gw_rw_translator *t;
    struct gw_arena arena;
    struct gw_view v;
    uint64_t n = 0;
    bool failed;
    int r;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    do {
        t = NULL;
        gw_malloc_fail_at(++n);
        r = both_versions(&v, &t);
        failed = gw_malloc_failed();
        gw_malloc_fail_at(0);
        if (r == 0)
            assert_int_equal(emitted + refused, 2 * b->n_rows);
        else
            assert_true(r == -ENOMEM && failed);
        emitted = refused = 0;
        if (t) {
            assert_int_equal(gw_rw_translate(t, &v, GW_RW_1, &sink), 0);
            assert_int_equal(emitted + refused, b->n_rows);
        }
        gw_rw_translator_free(t);
        emitted = refused = 0;
    } while (failed);
    assert_true(n > 100);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_batch_unref(b);
}

static void allocates_nothing_for_what_it_knows(void **state)
{
    struct gw_batch *b = decoded();
    struct gw_rw_translator *t;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    assert_int_equal(gw_rw_translator_new(&options, &t), 0);
    for (int version = GW_RW_1; version <= GW_RW_2; version++) {
        uint64_t before;

        for (int i = 0; i < 3; i++)
            assert_int_equal(gw_rw_translate(t, &v, version, &sink), 0);
        before = gw_malloc_count();
        for (int i = 0; i < 10; i++)
            assert_int_equal(gw_rw_translate(t, &v, version, &sink), 0);
        assert_int_equal(gw_malloc_count() - before, 0);
    }
    gw_rw_translator_free(t);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_batch_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_that_there_is_no_memory),
        cmocka_unit_test(allocates_nothing_for_what_it_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
