/* SPDX-License-Identifier: Apache-2.0 */
/* rollup behind a journal: what it writes down, and what the next one makes of it. */
#include "tests/connectors/rollup/windows.h"

#include <errno.h>

#include "pipeline/keep.h"
#include "pipeline/parting.h"

#define WINDOWS "windows: [ { size: 10s } ]\nallowed_lateness: 2s\ntime: { bounded_delay: 1s }\n"
#define ALL     UINT64_MAX

static const struct gw_parting by_service = {.by = GW_PART_SERVICE};
static const struct gw_keep_owner nobody;

static const struct gw_keep_ops *keep(void)
{
    return r.component->keep;
}

static void begin(const char *yaml, uint64_t partitions)
{
    open_rollup(GW_METRICS, yaml, 1);
    assert_int_equal(keep()->parted(r.self[0], &by_service, partitions), 0);
    assert_int_equal(keep()->begin(r.self[0]), 0);
}

static uint64_t at(double second)
{
    return minute + (uint64_t)(second * 10) * (S / 10);
}

static int step(double second, bool rebuilds)
{
    return keep()->advance(r.self[0], at(second), rebuilds, &r.ports);
}

/* How much was written; since when rows are read again, in seconds. */
static size_t save(bool whole, struct gw_buf *out, double *ret_from)
{
    uint64_t oldest;
    size_t before = out->n;

    assert_int_equal(keep()->save(r.self[0], whole, out, &oldest), GW_DONE);
    *ret_from = (double)(oldest - minute) / (double)S;
    return out->n - before;
}

/*
 * Scenario    values come in every second; what has changed is to be written down every two seconds
 * Guarantees  time is the steps', not the clock's; it is written then, and rows since then are wanted again; a window
 * is told once, when the step says so, and that is written at once
 */
static void what_has_changed_is_written_now_and_then(void **state)
{
    struct gw_buf out;
    double from;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    begin("checkpoint_interval: 2s\n" WINDOWS, ALL);
    assert_int_equal(step(0, false), GW_DONE);
    assert_true(save(true, &out, &from) > 0);
    assert_true(from == 0);
    gauge(0, 0.5, 3, "");
    (void)step(1, false);
    assert_int_equal(save(false, &out, &from), 0);
    assert_true(from == 0);
    assert_int_equal(keep()->due_ns(r.self[0]), at(3)); /* it is asked whether a window has ended that nothing is in */
    (void)step(2, false);
    assert_true(save(false, &out, &from) > 0);
    assert_true(from == 2);
    (void)step(3, false);
    (void)save(false, &out, &from);
    assert_true(from == 3); /* nothing came since then */
    gauge(0, 4.5, 4, "");
    until(60); /* the clock, and ticks, say nothing */
    (void)step(4, false);
    assert_int_equal(save(false, &out, &from), 0);
    assert_int_equal(r.n_bodies, 0);
    assert_int_equal(keep()->due_ns(r.self[0]), at(13));
    (void)step(12.9, false);
    assert_int_equal(r.n_bodies, 0);
    (void)step(13, false);
    IS_TOLD("temperature.sum", 10, 7);
    assert_true(save(false, &out, &from) > 0);
    assert_int_equal(keep()->due_ns(r.self[0]), UINT64_MAX);
    close_rollup();
    gw_buf_clear(&out);
}

/*
 * Scenario    a row before the checkpoint and one behind it; the process is gone before, and after, the window was told
 * Guarantees  the next one reads the second row again and tells the same window, or tells nothing of it
 */
static void what_was_written_is_not_counted_twice(void **state)
{
    struct gw_buf out;
    double from;

    (void)state;
    for (int later = 0; later < 2; later++) {
        gw_buf_init(&out, 1 << 20);
        begin("checkpoint_interval: 2s\n" WINDOWS, ALL);
        (void)step(0, false);
        gauge(0, 0.5, 3, "");
        (void)step(2, false);
        (void)save(true, &out, &from);
        gauge(0, 2.5, 4, "");
        (void)step(later ? 14 : 3, false);
        (void)save(false, &out, &from);
        assert_true(from == (later ? 14 : 2) || from == 2);
        close_rollup();

        begin("checkpoint_interval: 2s\n" WINDOWS, ALL);
        assert_int_equal(keep()->restore(r.self[0], gw_buf_slice(&out), &nobody), 0);
        assert_int_equal(step(1, true), GW_DONE);
        gauge(0, 0.5, 3, ""); /* it is in the pane: another partition may have to begin earlier */
        (void)step(2, true);
        gauge(0, 2.5, 4, "");
        (void)step(14, false);
        if (later)
            assert_int_equal(r.n_bodies, 0);
        else
            IS_TOLD("temperature.sum", 10, 7);
        close_rollup();
        gw_buf_clear(&out);
    }
}

#define COUNTERS "checkpoint_interval: 2s\naggregates: [sum]\ncumulative: { max_staleness: 1s }\n" WINDOWS

static double streams(void)
{
    until(60); /* a tick tells */
    return gw_joint_metric(&r, "staunch_rollup_streams{component=\"rollup\",signal=\"metrics\"}");
}

/*
 * Scenario    a counter's point waits for its turn when it is written down; it counts, and its stream is forgotten,
 * before that is written again; another one's is Guarantees  the next one has only the other stream
 */
static void streams_that_went_do_not_come_back(void **state)
{
    struct gw_buf out;
    double from;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    begin(COUNTERS, ALL);
    (void)step(0, false);
    counter(0, 0.5, 0.2, 10, INT("pod", "1"));
    (void)step(2, false);
    (void)save(true, &out, &from);
    (void)step(39, false);
    counter(0, 39.5, 39.2, 3, INT("pod", "2"));
    (void)step(42, false);
    assert_true(save(false, &out, &from) > 0);
    assert_true(streams() == 1);
    close_rollup();

    begin(COUNTERS, ALL);
    assert_int_equal(keep()->restore(r.self[0], gw_buf_slice(&out), &nobody), 0);
    (void)step(42.1, false);
    assert_true(streams() == 1);
    close_rollup();
    gw_buf_clear(&out);
}

/*
 * Scenario    the first counter comes, counts and is forgotten between two checkpoints; then the process is gone
 * Guarantees  the next one knows when counters began: what another one says first was counted since its start
 */
static void when_counters_began_is_written_down(void **state)
{
    struct gw_buf out;
    double from;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    begin(COUNTERS, ALL);
    (void)step(0, false);
    (void)save(true, &out, &from);
    (void)step(1, false);
    counter(0, 0.5, 0.2, 10, INT("pod", "1"));
    (void)step(39, false);
    (void)save(false, &out, &from);
    assert_true(from == 39);
    assert_true(streams() == 0);
    close_rollup();

    begin(COUNTERS, ALL);
    assert_int_equal(keep()->restore(r.self[0], gw_buf_slice(&out), &nobody), 0);
    (void)step(41, false);
    counter(0, 40.5, 39.9, 7, INT("pod", "2"));
    (void)step(60, false);
    IS_TOLD("temperature.sum", 50, 7);
    close_rollup();
    gw_buf_clear(&out);
}

/*
 * Scenario    a worker with all partitions but the series' one; and another aggregate than before
 * Guarantees  panes of others are left out, and those of other settings
 */
static void what_is_not_its_is_left_out(void **state)
{
    struct gw_value shop = {.type = GW_V_STRING, .s = GW_SLICE("shop")};
    uint64_t shops = UINT64_C(1) << gw_partition_of_service(&shop);
    struct gw_buf out;
    double from;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    begin(WINDOWS, ALL);
    (void)step(0, false);
    gauge(0, 0.5, 3, "");
    (void)step(2, false);
    (void)save(true, &out, &from);
    close_rollup();
    for (int i = 0; i < 3; i++) {
        begin(i == 2 ? "aggregates: [sum]\n" WINDOWS : WINDOWS, i == 0 ? shops : i == 1 ? ~shops : ALL);
        assert_int_equal(keep()->restore(r.self[0], gw_buf_slice(&out), &nobody), 0);
        (void)step(20, false);
        assert_int_equal(r.n_bodies, i == 0);
        assert_int_equal(strstr(r.te.log.p ? (const char *)r.te.log.p : "", "other settings") != NULL, i == 2);
        close_rollup();
    }
    gw_buf_clear(&out);
}

/*
 * Scenario    a record that ends anywhere, or has any byte changed
 * Guarantees  it is refused, or taken as what it says; nothing else happens
 */
static void what_is_damaged_does_no_harm(void **state)
{
    struct gw_buf out;
    double from;
    uint8_t *copy;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    begin("aggregates: [sum, p99]\n" WINDOWS, ALL);
    (void)step(0, false);
    gauge(0, 0.5, 3, INT("a", "1"));
    gauge(0, 1.5, 3, INT("a", "2"));
    counter(0, 0.5, 0.25, 3, INT("a", "2"));
    counter(0, 1.5, 0.25, 4, INT("a", "2"));
    (void)step(2, false);
    (void)save(true, &out, &from);
    copy = malloc(out.n);
    assert_non_null(copy);
    for (size_t i = 0; i < out.n; i++) {
        int rc;

        memcpy(copy, out.p, out.n);
        (void)keep()->restore(r.self[0], gw_slice_of(copy, i), &nobody);
        copy[i] ^= 0x81;
        rc = keep()->restore(r.self[0], gw_slice_of(copy, out.n), &nobody);
        assert_true(rc == 0 || rc == -EBADMSG || rc == -ENOSPC || rc == -ENOMEM);
    }
    assert_int_equal(keep()->restore(r.self[0], gw_slice_of(out.p, out.n - 1), &nobody), -EBADMSG);
    free(copy);
    close_rollup();
    gw_buf_clear(&out);
}

/*
 * Scenario    no room behind, when a window is due
 * Guarantees  the step has not ended before it is told
 */
static void results_wait_for_room(void **state)
{
    (void)state;
    begin(WINDOWS, ALL);
    (void)step(0, false);
    gauge(0, 0.5, 3, "");
    r.full = true;
    assert_int_equal(step(13, false), GW_MORE);
    assert_int_equal(keep()->due_ns(r.self[0]), 0);
    assert_int_equal(step(13, false), GW_MORE);
    r.full = false;
    assert_int_equal(step(13, false), GW_DONE);
    IS_TOLD("temperature.sum", 10, 3);
    close_rollup();
}

static const char *unfit(const char *yaml, enum gw_parting_by by, unsigned n_workers)
{
    static const char *const names[] = {"host.name"};
    struct gw_parting p = {.by = by};
    const char *why;

    p.attributes =
        by == GW_PART_ATTRIBUTES ? (struct gw_list){.items = (void *)(uintptr_t)names, .n = 1} : (struct gw_list){0};
    open_rollup(GW_METRICS, yaml, 1);
    why = keep()->unfit(r.conf, GW_METRICS, &p, n_workers);
    close_rollup();
    return why;
}

/*
 * Guarantees  several workers need a journal whose partitions a series' key tells; one worker does not; too much memory
 * is refused
 */
static void it_says_when_it_cannot(void **state)
{
    (void)state;
    assert_null(unfit("{}", GW_PART_SERVICE, 2));
    assert_null(unfit("{}", GW_PART_TRACE, 2)); /* points have no trace */
    assert_null(unfit("{}", GW_PART_ATTRIBUTES, 2));
    assert_null(unfit("keys: { resource: [service.name] }", GW_PART_SERVICE, 2));
    assert_null(unfit("keys: { resource: [host.name] }", GW_PART_ATTRIBUTES, 2));
    assert_non_null(unfit("keys: { resource: [host.name] }", GW_PART_SERVICE, 2));
    assert_non_null(unfit("keys: { resource: [service.name] }", GW_PART_ATTRIBUTES, 2));
    assert_non_null(unfit("{}", GW_PART_NONE, 2));
    assert_non_null(unfit("{}", GW_PART_TENANT, 2));
    assert_null(unfit("{}", GW_PART_NONE, 1));
    assert_null(unfit("keys: { resource: [host.name] }", GW_PART_SERVICE, 1));
    assert_null(unfit("windows: [ { type: session, gap: 1s } ]", GW_PART_SERVICE, 1));
    assert_null(unfit("emit: { mode: delta }", GW_PART_SERVICE, 1));
    assert_non_null(unfit("max_bytes: 1000000000", GW_PART_SERVICE, 1));
    assert_null(unfit("max_bytes: 1000000000", GW_PART_SERVICE, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_has_changed_is_written_now_and_then),
                                       cmocka_unit_test(what_was_written_is_not_counted_twice),
                                       cmocka_unit_test(streams_that_went_do_not_come_back),
                                       cmocka_unit_test(when_counters_began_is_written_down),
                                       cmocka_unit_test(what_is_not_its_is_left_out),
                                       cmocka_unit_test(what_is_damaged_does_no_harm),
                                       cmocka_unit_test(results_wait_for_room),
                                       cmocka_unit_test(it_says_when_it_cannot)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
