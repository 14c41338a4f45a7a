/* SPDX-License-Identifier: Apache-2.0 */
/* The same points through the Collector's processor: tests/real/suites/interval_same.py. */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "tests/harness_engine.h"

#define NS_PER_S UINT64_C(1000000000)

enum { N_SERIES = 12 };

static struct gw_proc_rig r;

/* ---- what leaves at a flush --------------------------------------------------------------------------------- */

static struct gw_buf flushed; /* JSON of all that left, a line a request */
static uint32_t n_flushed, n_requests;
static bool is_full;
static uint64_t last_of[N_SERIES]; /* value that left, by the attribute i; 0: none */

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    const struct gw_batch *b = v->batch;
    struct gw_buf wire;

    assert_int_equal(port, 0);
    gw_buf_init(&wire, 64 << 20);
    assert_int_equal(gw_encode(v, &wire), 0);
    assert_int_equal(gw_proto_to_json(GW_METRICS, gw_buf_slice(&wire), &flushed), 0);
    gw_buf_put_str(&flushed, "\n");
    gw_buf_clear(&wire);
    n_flushed += v->n_rows;
    n_requests++;
    for (uint32_t row = 0; row < b->n_rows; row++) {
        const struct gw_attr *a = &b->attrs[b->attr[row].begin];

        if (b->attr[row].end > b->attr[row].begin && a->type == GW_V_INT && a->val.u64 < N_SERIES)
            last_of[a->val.u64] = b->number[row].u64;
    }
    gw_view_settle_all(v, out->ledger, GW_DELIVERED, "test", NULL);
    gw_view_clear(v);
}

static bool has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    (void)out;
    assert_true(rows > 0 && bytes > 0);
    return !is_full;
}

static const struct gw_ports_ops ops = {.emit = emit, .has_room = has_room};

static struct gw_ports behind(void)
{
    return (struct gw_ports){.ops = &ops, .ledger = &r.ledger, .arena = &r.arena};
}

static void forget(void)
{
    gw_buf_reset(&flushed);
    n_flushed = n_requests = 0;
    memset(last_of, 0, sizeof(last_of));
}

static void tick(uint64_t ns)
{
    struct gw_ports out = behind();

    forget();
    gw_test_env_advance(&r.te, ns);
    while (r.component->tick(r.self, gw_mono_ns(&r.te.env), &out) == GW_MORE)
        ;
    gw_buf_put_u8(&flushed, 0);
}

static bool left(const char *text)
{
    return strstr((const char *)flushed.p, text) != NULL;
}

static void open_it(const char *yaml)
{
    gw_buf_init(&flushed, 256 << 20);
    gw_proc_open(&r, "interval", GW_METRICS, yaml);
    is_full = false;
    tick(0);
}

static void close_it(void)
{
    gw_proc_close(&r);
    gw_buf_clear(&flushed);
}

/* ---- what comes ------------------------------------------------------------------------------------------- */

static const char *metric_of(const char *resource, const char *scope, const char *name, const char *kind,
                             const char *type, const char *points)
{
    static char text[8192];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"r\",\"value\":{\"stringValue\":"
                   "\"%s\"}}]},\"schemaUrl\":\"urn:r\",\"scopeMetrics\":[{\"scope\":{%s},\"schemaUrl\":\"urn:s\","
                   "\"metrics\":[{\"name\":\"%s\",\"unit\":\"s\",\"description\":\"about\",\"metadata\":[{\"key\":"
                   "\"meta\",\"value\":{\"boolValue\":true}}],\"%s\":{%s\"dataPoints\":[%s]}}]}]}]}",
                   resource, scope, name, kind, type, points);
    return text;
}

#define LIB     "\"name\":\"lib\""
#define TOTAL   "\"aggregationTemporality\":2,"
#define DELTA   "\"aggregationTemporality\":1,"
#define COUNTER TOTAL "\"isMonotonic\":true,"
#define A       "{\"key\":\"a\",\"value\":{\"intValue\":\"100\"}}"
#define B       "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}}"

static void send(const char *kind, const char *type, const char *points)
{
    gw_proc_send(&r, metric_of("x", LIB, "m", kind, type, points));
}

static double streams(void)
{
    return gw_proc_metric(&r, "staunch_interval_streams");
}

static double passed(const char *reason)
{
    char text[100];

    (void)snprintf(text, sizeof(text), "staunch_interval_passed_points{reason=\"%s\"}", reason);
    return gw_proc_metric(&r, text);
}

/* ---- tests ------------------------------------------------------------------------------------------------ */

/*
 * Scenario    points of a counter, later, earlier and at the same time; with another order of attributes
 * Guarantees  nothing leaves before the interval has passed; then the newest, of equal times the first, with all that
 * it said, and all that stood around it; nothing once more
 */
static void the_last_point_leaves(void **state)
{
    (void)state;
    open_it("interval: 10s");
    send("sum", COUNTER, "{\"timeUnixNano\":\"5\",\"asInt\":\"1\",\"attributes\":[" A "," B "]}");
    assert_string_equal(r.out, "");
    assert_int_equal(r.settled[GW_ABSORBED], 1);
    send("sum", COUNTER,
         "{\"timeUnixNano\":\"7\",\"startTimeUnixNano\":\"3\",\"asInt\":\"2\",\"flags\":1,\"attributes\":[" B "," A
         "],\"exemplars\":[{\"asInt\":\"77\"}]}");
    send("sum", COUNTER, "{\"timeUnixNano\":\"7\",\"asInt\":\"3\",\"attributes\":[" A "," B "]}");
    send("sum", COUNTER, "{\"timeUnixNano\":\"6\",\"asInt\":\"4\",\"attributes\":[" A "," B "]}");
    tick(9 * NS_PER_S);
    assert_int_equal(n_flushed, 0);
    tick(1 * NS_PER_S);
    assert_int_equal(n_flushed, 1);
    assert_true(left("\"asInt\":\"2\"") && left("\"timeUnixNano\":\"7\"") && left("\"startTimeUnixNano\":\"3\""));
    assert_true(left("\"flags\":1") && left("\"77\""));
    assert_true(left("urn:r") && left("urn:s") && left("\"unit\":\"s\"") && left("about") && left("\"lib\""));
    assert_true(left("\"meta\"") && left("\"isMonotonic\":true") && left("\"aggregationTemporality\":2"));
    tick(10 * NS_PER_S);
    assert_int_equal(n_flushed, 0);
    send("sum", COUNTER, "{\"timeUnixNano\":\"2\",\"asInt\":\"9\",\"attributes\":[" A "," B "]}");
    tick(10 * NS_PER_S);
    assert_true(n_flushed == 1 && left("\"asInt\":\"9\""));
    close_it();
}

/* Scenario: resources, scopes and metrics in turn. Guarantees: each stands once, what is its own below it. */
static void envelopes_stand_once(void **state)
{
    (void)state;
    open_it("{}");
    for (unsigned i = 0; i < 24; i++) {
        static const char *const scopes[] = {LIB, LIB ",\"version\":\"2\"", LIB ",\"attributes\":[" A "]"};
        char point[100];

        (void)snprintf(point, sizeof(point), "{\"timeUnixNano\":\"1\",\"asInt\":\"%u\"}", i);
        gw_proc_send(&r, metric_of(i % 2 ? "x" : "y", scopes[i / 2 % 3], i / 6 % 2 ? "m" : "n",
                                   i / 12 % 2 ? "gauge" : "summary", "", i / 12 % 2 ? point : "{\"count\":\"1\"}"));
    }
    tick(60 * NS_PER_S);
    assert_true(n_flushed == 24 && n_requests == 1);
    for (unsigned i = 12; i < 24; i++) {
        char value[20];

        (void)snprintf(value, sizeof(value), "\"asInt\":\"%u\"", i);
        assert_true(left(value));
    }
    {
        const char *p = (const char *)flushed.p;
        unsigned n = 0;

        for (; (p = strstr(p, "\"scope\"")) != NULL; p++)
            n++;
        assert_int_equal(n, 6);
    }
    close_it();
}

static bool passes(const char *kind, const char *type, const char *point)
{
    send(kind, type, point);
    return r.n_out == 1;
}

#define P "{\"timeUnixNano\":\"1\",\"asInt\":\"1\"}"
#define H "{\"timeUnixNano\":\"1\",\"count\":\"1\"}"

/* Scenario: every type and temporality. Guarantees: what is not held back leaves as it came; the settings say more. */
static void what_passes(void **state)
{
    (void)state;
    open_it("{}");
    assert_false(passes("gauge", "", P) || passes("summary", "", H) || passes("sum", COUNTER, P));
    assert_false(passes("histogram", TOTAL, H) || passes("exponentialHistogram", TOTAL, H));
    assert_true(passes("sum", DELTA "\"isMonotonic\":true,", P) && passes("sum", TOTAL, P) && passes("sum", "", P));
    assert_true(passes("histogram", DELTA, H) && passes("histogram", "", H) &&
                passes("exponentialHistogram", DELTA, H));
    assert_true(streams() == 5);
    close_it();
    open_it("pass_through: {gauge: true, summary: true, delta: false}");
    assert_true(passes("gauge", "", P) && passes("summary", "", H) && passes("sum", DELTA, P));
    assert_false(passes("sum", DELTA "\"isMonotonic\":true,", P) || passes("histogram", DELTA, H) ||
                 passes("exponentialHistogram", DELTA, H));
    close_it();
    gw_proc_refuses("interval", "interval: 0s", "interval");
}

/*
 * Scenario    deltas that are added up: numbers in any order, histograms, one with other bounds, exponential ones
 * Guarantees  one point of all of them, from the first start to the last time; other bounds leave as they came
 */
static void deltas_are_added_up(void **state)
{
    (void)state;
    open_it("{pass_through: {delta: false}}");
    send("sum", DELTA "\"isMonotonic\":true,",
         "{\"startTimeUnixNano\":\"5\",\"timeUnixNano\":\"9\",\"asInt\":\"1\"},"
         "{\"startTimeUnixNano\":\"3\",\"timeUnixNano\":\"5\",\"asInt\":\"2\"}");
    send("sum", DELTA "\"isMonotonic\":true,", "{\"startTimeUnixNano\":\"9\",\"timeUnixNano\":\"11\",\"asInt\":\"4\"}");
    send("histogram", DELTA,
         "{\"timeUnixNano\":\"1\",\"count\":\"3\",\"sum\":2,\"explicitBounds\":[1],\"bucketCounts\":[\"1\",\"2\"]}");
    send("histogram", DELTA,
         "{\"timeUnixNano\":\"2\",\"count\":\"2\",\"sum\":5,\"explicitBounds\":[1],\"bucketCounts\":[\"1\",\"1\"]}");
    send("histogram", DELTA,
         "{\"timeUnixNano\":\"2\",\"count\":\"2\",\"sum\":5,\"explicitBounds\":[2],\"bucketCounts\":[\"1\",\"1\"]}");
    assert_true(r.n_out == 1 && passed("bucket_mismatch") == 1);
    for (unsigned i = 0; i < 3; i++)
        send("exponentialHistogram", DELTA,
             "{\"timeUnixNano\":\"1\",\"count\":\"2\",\"positive\":{\"offset\":3,\"bucketCounts\":[\"2\"]}}");
    tick(60 * NS_PER_S);
    assert_int_equal(n_flushed, 3);
    assert_true(left("\"asInt\":\"7\"") && left("\"startTimeUnixNano\":\"3\"") && left("\"timeUnixNano\":\"11\""));
    assert_true(left("[\"2\",\"3\"]") && left("\"sum\":7") && left("\"count\":\"5\"") && left("\"count\":\"6\""));
    assert_true(left("\"bucketCounts\":[\"6\"]"));
    send("sum", DELTA "\"isMonotonic\":true,",
         "{\"startTimeUnixNano\":\"11\",\"timeUnixNano\":\"12\",\"asInt\":\"8\"}");
    tick(60 * NS_PER_S);
    assert_true(n_flushed == 1 && left("\"asInt\":\"8\"") && left("\"startTimeUnixNano\":\"11\""));
    close_it();
}

/* Scenario: more series than max_streams; no memory. Guarantees: those points leave as they came, and are counted. */
static void what_finds_no_room_passes(void **state)
{
    uint64_t used;

    (void)state;
    open_it("max_streams: 1");
    send("gauge", "",
         "{\"timeUnixNano\":\"1\",\"asInt\":\"1\"},{\"timeUnixNano\":\"1\",\"asInt\":\"2\",\"attributes\":[" A "]}");
    assert_true(r.n_out == 1 && gw_proc_has(&r, "\"asInt\":\"2\"") && passed("max_streams") == 1);
    used = atomic_load(&r.memory.used_bytes);
    gw_proc_send(&r, metric_of("z", LIB, "m", "gauge", "", P));
    assert_true(r.n_out == 1);
    assert_int_equal(atomic_load(&r.memory.used_bytes), used);
    close_it();
    open_it("{}");
    atomic_fetch_add(&r.memory.used_bytes, 200 << 20);
    send("gauge", "", P);
    assert_true(r.n_out == 1 && passed("memory_limit") == 1 && streams() == 0);
    atomic_fetch_sub(&r.memory.used_bytes, 200 << 20);
    assert_int_equal(atomic_load(&r.memory.used_bytes), 0);
    close_it();
}

/* Scenario: a series is silent for an interval. Guarantees: it is forgotten, and its memory given back. */
static void silent_series_are_forgotten(void **state)
{
    (void)state;
    open_it("interval: 10s");
    send("gauge", "", P);
    tick(10 * NS_PER_S);
    assert_true(n_flushed == 1 && streams() == 1);
    send("gauge", "", P);
    tick(10 * NS_PER_S);
    assert_true(n_flushed == 1 && streams() == 1);
    tick(10 * NS_PER_S);
    assert_true(streams() == 0);
    assert_true(atomic_load(&r.memory.used_bytes) <= 3 * 64 * 16); /* of empty tables */
    close_it();
}

/* Scenario: the queues behind are full when the interval has passed. Guarantees: points wait, newer ones take over. */
static void points_wait_for_room(void **state)
{
    (void)state;
    open_it("interval: 10s");
    send("gauge", "", P);
    is_full = true;
    tick(10 * NS_PER_S);
    assert_int_equal(n_flushed, 0);
    send("gauge", "", "{\"timeUnixNano\":\"2\",\"asInt\":\"55\"}");
    is_full = false;
    tick(NS_PER_S / 10);
    assert_true(n_flushed == 1 && left("\"asInt\":\"55\""));
    tick(NS_PER_S * 98 / 10);
    assert_int_equal(n_flushed, 0);
    close_it();
}

/* Scenario: 6000 series of 100 bytes. Guarantees: several requests, each point in one of them. */
static void many_points_leave_in_pieces(void **state)
{
    char point[400];

    (void)state;
    open_it("{}");
    for (unsigned i = 0; i < 6000; i++) {
        (void)snprintf(point, sizeof(point),
                       "{\"timeUnixNano\":\"1\",\"asInt\":\"%u\",\"attributes\":[{\"key\":\"%0100u\",\"value\":{"
                       "\"boolValue\":true}}]}",
                       i, i);
        send("gauge", "", point);
    }
    tick(60 * NS_PER_S);
    assert_int_equal(n_flushed, 6000);
    assert_true(n_requests >= 2 && n_requests < 6);
    for (unsigned i = 0; i < 6000; i += 97) {
        (void)snprintf(point, sizeof(point), "\"%0100u\"", i);
        assert_true(left(point));
    }
    close_it();
}

/* Scenario: an end; a reload. Guarantees: what waits leaves at once; it goes on waiting, as long as it would have. */
static void what_waits_at_the_end(void **state)
{
    struct gw_ports out;
    void *next;

    (void)state;
    open_it("interval: 10s");
    send("gauge", "", P);
    tick(6 * NS_PER_S);
    assert_int_equal(r.component->create(&next, &r.ctx, r.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(next, r.self), 0);
    r.component->destroy(r.self);
    r.self = next;
    assert_true(streams() == 1);
    tick(4 * NS_PER_S);
    assert_int_equal(n_flushed, 1);
    send("gauge", "", P);
    forget();
    out = behind();
    while (r.component->drain(r.self, &out) == GW_MORE)
        ;
    assert_int_equal(n_flushed, 1);
    close_it();
}

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(gw_test_random(&seed) % n);
}

/* Random points of a few series: the newest of each since the last flush, by a model. */
static void one_seed(uint64_t s)
{
    uint64_t value[N_SERIES] = {0}, time[N_SERIES] = {0};
    char point[200];

    seed = s;
    open_it("interval: 1s");
    for (unsigned i = 1; i < 150; i++) {
        unsigned k = below(N_SERIES), at = below(20);

        if (below(15) == 0) {
            tick(NS_PER_S);
            for (k = 0; k < N_SERIES; k++)
                assert_int_equal(last_of[k], value[k]);
            memset(value, 0, sizeof(value));
            memset(time, 0, sizeof(time));
            continue;
        }
        (void)snprintf(point, sizeof(point),
                       "{\"timeUnixNano\":\"%u\",\"asInt\":\"%u\",\"attributes\":[{\"key\":\"i\",\"value\":{"
                       "\"intValue\":\"%u\"}}%s]}",
                       at, i, k, k % 3 ? "," B : "");
        gw_proc_send(&r, metric_of(k % 2 ? "x" : "y", LIB, k < 4 ? "m" : "n", k < 8 ? "gauge" : "sum",
                                   k < 8 ? "" : COUNTER, point));
        if (!value[k] || at > time[k]) {
            value[k] = i;
            time[k] = at;
        }
    }
    close_it();
}

static void points_are_the_model_s(void **state)
{
    (void)state;
    gw_test_seeds(60, one_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_point_leaves),
        cmocka_unit_test(envelopes_stand_once),
        cmocka_unit_test(what_passes),
        cmocka_unit_test(deltas_are_added_up),
        cmocka_unit_test(what_finds_no_room_passes),
        cmocka_unit_test(silent_series_are_forgotten),
        cmocka_unit_test(points_wait_for_room),
        cmocka_unit_test(many_points_leave_in_pieces),
        cmocka_unit_test(what_waits_at_the_end),
        cmocka_unit_test(points_are_the_model_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
