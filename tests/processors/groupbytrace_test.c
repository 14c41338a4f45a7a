/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/wire.h"

#define MS     UINT64_C(1000000)
#define METRIC "otelcol_processor_groupbytrace_"

/* One request: each word is a span, its first letter the trace ('-': none), a star behind it: it has a parent. */
static void send(struct gw_proc_rig *r, const char *words)
{
    struct gw_buf json;
    char word[64];
    int n;

    gw_buf_init(&json, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                          "\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[");
    for (unsigned i = 0; sscanf(words, " %63s%n", word, &n) == 1; i++, words += n) {
        bool has_parent = word[strlen(word) - 1] == '*';

        gw_buf_printf(&json, "%s{\"name\":\"%s\",\"spanId\":\"0000000000000001\"%s", i ? "," : "", word,
                      has_parent ? ",\"parentSpanId\":\"0000000000000002\"" : "");
        if (word[0] != '-')
            gw_buf_printf(&json, ",\"traceId\":\"%032x\"", (unsigned)word[0]);
        gw_buf_put_str(&json, "}");
    }
    gw_buf_put_str(&json, "]}]}]}");
    gw_buf_put_u8(&json, 0);
    gw_proc_send(r, (const char *)json.p);
    gw_buf_clear(&json);
}

static uint64_t held(struct gw_proc_rig *r)
{
    return r->component->held(r->self);
}

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

/* One request: n spans of that trace, with names of so many bytes. */
static void send_many(struct gw_proc_rig *r, unsigned trace, unsigned n, size_t name_bytes)
{
    struct gw_buf level[2];
    char id[17], *name = calloc(1, name_bytes + 1);

    memset(name, 'x', name_bytes);
    (void)snprintf(id, sizeof(id), "%016u", trace);
    gw_buf_init(&level[0], 16 << 20);
    gw_buf_init(&level[1], 16 << 20);
    put_field(&level[0], 1, gw_slice_cstr(id));
    put_field(&level[0], 5, gw_slice_cstr(name));
    for (unsigned i = 0; i < n; i++)
        put_field(&level[1], 2, gw_buf_slice(&level[0]));
    for (unsigned i = 0; i < 2; i++) { /* ScopeSpans, ResourceSpans */
        gw_buf_reset(&level[i]);
        put_field(&level[i], i == 0 ? 2 : 1, gw_buf_slice(&level[1 - i]));
    }
    gw_proc_send_wire(r, gw_buf_slice(&level[1]));
    gw_buf_clear(&level[0]);
    gw_buf_clear(&level[1]);
    free(name);
}

/* The names of the spans that left last, in order. */
static const char *left(const struct gw_proc_rig *r)
{
    static char names[4096];
    const char *at = r->out;
    size_t n = 0;

    names[0] = 0;
    while ((at = strstr(at, "\"spanId\"")) != NULL) {
        const char *name = strstr(at, "\"name\":\"") + 8;

        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.*s", n ? " " : "", (int)strcspn(name, "\""), name);
        at = name;
    }
    return names;
}

/* The clock goes on, and the runtime asks. */
static int tick(struct gw_proc_rig *r, uint64_t ms)
{
    int rc;

    free(r->out);
    r->out = strdup("");
    gw_test_env_advance(&r->te, ms * MS);
    rc = r->component->tick(r->self, gw_mono_ns(&r->te.env), &r->ports);
    gw_arena_reset(&r->arena, 1 << 20);
    return rc;
}

/*
 * Scenario: wait_duration 2s; spans of two traces and one without an id come in three requests, a second apart, then a
 * late one.
 * Guarantees: what has no trace id leaves at once; each trace leaves whole and in one piece when two seconds are over
 * since its first span, in order of arrival, with its envelope; a span behind that waits anew. Rows that wait are held,
 * and settled as absorbed.
 */
static void test_spans_of_a_trace_leave_together(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{wait_duration: 2s}");
    send(&r, "a1 -1 b1");
    assert_string_equal(left(&r), "-1");
    assert_int_equal(r.settled[GW_ABSORBED], 2);
    assert_int_equal(r.settled[GW_DELIVERED], 1);
    assert_int_equal(held(&r), 2);
    tick(&r, 1000);
    assert_string_equal(left(&r), "");
    send(&r, "c1 a2 c2 a3");
    assert_string_equal(left(&r), "");
    assert_int_equal(held(&r), 6);
    tick(&r, 900);
    assert_string_equal(left(&r), "");
    tick(&r, 200);
    assert_string_equal(left(&r), "a1 a2 a3 b1");
    assert_true(gw_proc_has(&r, "\"shop\"") && gw_proc_has(&r, "\"lib\""));
    assert_int_equal(held(&r), 2);
    send(&r, "a4");
    tick(&r, 1000);
    assert_string_equal(left(&r), "c1 c2");
    tick(&r, 1100);
    assert_string_equal(left(&r), "a4");
    assert_int_equal(held(&r), 0);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "spans_released"), 7);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "traces_released"), 4);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "traces_evicted"), 0);
    gw_proc_close(&r);
}

/*
 * Scenario: num_traces is 2, and a third trace comes.
 * Guarantees: the oldest leaves at once with what is there of it, and is counted as evicted; nothing is lost. The
 * metrics tell how many there are and may be.
 */
static void test_over_num_traces_the_oldest_leaves_early(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{num_traces: 2, num_workers: 7}");
    assert_int_equal((int)gw_proc_metric(&r, METRIC "conf_num_traces"), 2);
    send(&r, "a1 b1 a2");
    assert_int_equal((int)gw_proc_metric(&r, METRIC "num_traces_in_memory"), 2);
    assert_true(gw_proc_metric(&r, "staunch_groupbytrace_held_bytes{component=\"groupbytrace\"}") > 1000);
    send(&r, "c1");
    assert_string_equal(left(&r), "a1 a2");
    assert_int_equal((int)gw_proc_metric(&r, METRIC "traces_evicted"), 1);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "num_traces_in_memory"), 2);
    tick(&r, 1100);
    assert_string_equal(left(&r), "b1 c1");
    assert_int_equal((int)gw_proc_metric(&r, METRIC "num_traces_in_memory"), 0);
    gw_proc_close(&r);
}

/*
 * Scenario: max_bytes is 1 MiB (1048576); 3,000 spans of 3,000 traces come, then one that is larger than all of it.
 * Guarantees: what is held stays below; all spans leave, each once; the large one does not wait, there is no room.
 */
static void test_over_max_bytes_the_oldest_leave_early(void **state)
{
    struct gw_proc_rig r;
    double released = 0;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{max_bytes: 1048576, wait_duration: 1h}");
    for (unsigned i = 0; i < 3000; i++) {
        send_many(&r, i, 1, 400);
        assert_int_equal(r.settled[GW_ABSORBED], 1);
        released = gw_proc_metric(&r, METRIC "spans_released");
        assert_int_equal(held(&r) + (uint64_t)released, i + 1);
        assert_true(gw_proc_metric(&r, "staunch_groupbytrace_held_bytes{component=\"groupbytrace\"}") <= 1 << 20);
    }
    assert_true(released > 500 && released == gw_proc_metric(&r, METRIC "traces_evicted"));
    send_many(&r, 5000, 1, 2 << 20);
    assert_int_equal(r.settled[GW_ABSORBED], 0);
    assert_int_equal(held(&r), 0); /* all made room for the large one, in vain */
    assert_int_equal((int)gw_proc_metric(&r, METRIC "spans_released"), 3000);
    assert_true(r.settled[GW_DELIVERED] > 1000); /* those that made room, and itself */
    gw_proc_close(&r);
}

/*
 * Scenario: discard_orphans; of three traces one has a root span, one has not, and one is evicted (num_traces: 2).
 * Guarantees: the one whose time is over without a root is dropped, by that name; what had to leave early is not
 * judged, for its root may have been on the way.
 */
static void test_discard_orphans(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{discard_orphans: true, num_traces: 2}");
    send(&r, "a1* b1* b2");
    send(&r, "c1* c2*");
    assert_string_equal(left(&r), "a1*");
    tick(&r, 1100);
    assert_string_equal(left(&r), "b1* b2");
    assert_int_equal(r.settled[GW_DROPPED], 2);
    assert_int_equal(held(&r), 0);
    gw_proc_close(&r);
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{}");
    send(&r, "c1*");
    tick(&r, 1100);
    assert_string_equal(left(&r), "c1*");
    gw_proc_close(&r);
}

/*
 * Scenario: the gateway stops while traces wait.
 * Guarantees: all of them leave.
 */
static void test_what_waits_leaves_at_the_end(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{wait_duration: 1h, discard_orphans: true}");
    send(&r, "a1 b1 a2 c1*");
    assert_int_equal(r.component->drain(r.self, &r.ports), GW_DONE);
    assert_string_equal(left(&r), "a1 a2 b1 c1*");
    assert_int_equal(held(&r), 0);
    gw_proc_close(&r);
}

static double held_bytes(struct gw_proc_rig *r)
{
    return gw_proc_metric(r, "staunch_groupbytrace_held_bytes{component=\"groupbytrace\"}");
}

/*
 * Scenario: 200 traces of 20 like spans wait for an hour, with compress: lz4 and without.
 * Guarantees: with it they take less than half as soon as they have rested, a little a tick, and leave as they came.
 */
static void test_compress(void **state)
{
    struct gw_proc_rig r;
    double plain;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{wait_duration: 1h, compress: lz4}");
    for (unsigned i = 0; i < 200; i++)
        send_many(&r, i + 1, 20, 2000);
    plain = held_bytes(&r);
    for (unsigned i = 0; i < 600; i++)
        tick(&r, 100);
    assert_true(held_bytes(&r) < plain / 2);
    tick(&r, 3600 * 1000);
    assert_int_equal(held(&r), 0);
    assert_int_equal(r.n_out % 20, 0);
    assert_true(gw_proc_has(&r, "xxxxxxxxxxxxxxxxxxxx"));
    assert_int_equal((int)gw_proc_metric(&r, METRIC "spans_released"), 4000);
    gw_proc_close(&r);
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{wait_duration: 1h}");
    for (unsigned i = 0; i < 200; i++)
        send_many(&r, i + 1, 20, 2000);
    for (unsigned i = 0; i < 600; i++)
        tick(&r, 100);
    assert_true(held_bytes(&r) == plain);
    gw_proc_close(&r);
}

/*
 * Scenario: 20 traces of 8,192 spans are due in one tick.
 * Guarantees: a tick does not do all of it; the next ones do the rest.
 */
static void test_a_tick_is_short(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{}");
    for (unsigned i = 0; i < 20; i++)
        send_many(&r, i + 1, 8192, 1);
    assert_int_equal(tick(&r, 1100), GW_MORE);
    assert_true(held(&r) > 0 && held(&r) < 10 * 8192);
    assert_int_equal(tick(&r, 100), GW_DONE);
    assert_int_equal(held(&r), 0);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "spans_released"), 20 * 8192);
    gw_proc_close(&r);
}

/*
 * Scenario: spans of one trace until it has 32 MiB.
 * Guarantees: it does not grow beyond, but leaves in parts; none is lost.
 */
static void test_a_giant_trace_leaves_in_parts(void **state)
{
    struct gw_proc_rig r;
    unsigned n = 0;

    (void)state;
    gw_proc_open(&r, "groupbytrace", GW_TRACES, "{wait_duration: 1h}");
    while (gw_proc_metric(&r, METRIC "traces_evicted") == 0 && n < 40) {
        send_many(&r, 1, 1, 4 << 20);
        n++;
    }
    assert_int_equal(n, 8);
    assert_int_equal(held(&r), 0);
    assert_int_equal((int)gw_proc_metric(&r, METRIC "spans_released"), 8);
    gw_proc_close(&r);
}

/*
 * Scenario: a reload with another wait_duration and num_traces; three traces wait, one is packed.
 * Guarantees: the successor has them, and they leave when they were going to; the new limits hold from the next trace
 * on; the predecessor has nothing left.
 */
static void test_a_reload_keeps_what_waits(void **state)
{
    struct gw_proc_rig old, heir;

    (void)state;
    gw_proc_open(&old, "groupbytrace", GW_TRACES, "{wait_duration: 2s, compress: lz4}");
    send_many(&old, 7, 20, 500);
    tick(&old, 1100);
    send(&old, "a1 b1");
    gw_proc_open(&heir, "groupbytrace", GW_TRACES, "{wait_duration: 1h, num_traces: 3, max_bytes: 1048576}");
    gw_test_env_advance(&heir.te, 1100 * MS);
    assert_int_equal(heir.component->adopt(heir.self, old.self), 0);
    assert_int_equal(held(&old), 0);
    assert_int_equal(held(&heir), 22);
    send(&heir, "a2 c1"); /* the fourth: the oldest leaves */
    assert_int_equal(heir.n_out, 20);
    assert_int_equal(held(&heir), 4);
    assert_int_equal(old.component->drain(old.self, &old.ports), GW_DONE);
    tick(&heir, 2100);
    assert_string_equal(left(&heir), "a1 a2 b1");
    assert_int_equal(held(&heir), 1);
    assert_int_equal(heir.component->drain(heir.self, &heir.ports), GW_DONE);
    assert_string_equal(left(&heir), "c1");
    gw_proc_close(&heir);
    gw_proc_close(&old);
}

/*
 * Scenario: settings that make no sense, and store_on_disk, which the Collector refuses as well.
 * Guarantees: each is refused at its place.
 */
static void test_settings(void **state)
{
    (void)state;
    gw_proc_refuses("groupbytrace", "{store_on_disk: true}", "store_on_disk");
    gw_proc_refuses("groupbytrace", "{num_traces: 0}", "num_traces");
    gw_proc_refuses("groupbytrace", "{max_bytes: 1000}", "max_bytes");
    gw_proc_refuses("groupbytrace", "{wait_duration: -1s}", "wait_duration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans_of_a_trace_leave_together),
        cmocka_unit_test(test_over_num_traces_the_oldest_leaves_early),
        cmocka_unit_test(test_over_max_bytes_the_oldest_leave_early),
        cmocka_unit_test(test_discard_orphans),
        cmocka_unit_test(test_what_waits_leaves_at_the_end),
        cmocka_unit_test(test_compress),
        cmocka_unit_test(test_a_tick_is_short),
        cmocka_unit_test(test_a_giant_trace_leaves_in_parts),
        cmocka_unit_test(test_a_reload_keeps_what_waits),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
