/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a queue on disk fails once, from the commit of a frame to its settlement. */
#include "tests/harness_malloc.h"

#include <stdio.h>

#include "log/files.h"
#include "otlp-proto/encode.h"
#include "queue/edge_impl.h"
#include "tests/harness_simdisk.h"
#include "tests/queue/durable_rig.h"

enum { REQUESTS = 6, ROWS = 3 };

/* What is in memory, read back, or encoded anew; answered as a whole, or in part. */
struct way {
    uint64_t memory;
    bool encodes, in_part, dies;
};

static struct gw_simdisk disks[2];

struct life {
    struct rig r;
    struct gw_log_files_conf files;
    unsigned disk;
    struct gw_component type;
    struct gw_exporter_ops ops;
    bool sent[10 * REQUESTS];
    unsigned step, at; /* the step in which an allocation fails */
    uint64_t nth;
    bool failed;
};

static int encode(void *self, const struct gw_view *v, struct gw_buf *out)
{
    (void)self;
    return gw_encode(v, out);
}

/* Segment files: a simulated log needs memory itself. */
static void open_log(struct life *l)
{
    struct gw_err err = {""};

    l->files = (struct gw_log_files_conf){.env = &disks[l->disk].env,
                                          .dir = "q",
                                          .segment_bytes = 64 << 10,
                                          .reserve_bytes = 1,
                                          .retention = {.until_settled = true}};
    assert_int_equal(gw_log_files_open(&l->files, &l->r.log, &err), 0);
}

static void start_again(struct life *l)
{
    unsigned other = 1 - l->disk;

    gw_simdisk_kill(&disks[other], &disks[l->disk]);
    end(&l->r, STOP); /* of which the other disk does not hear */
    gw_log_close(l->r.log);
    l->disk = other;
    open_log(l);
    start(&l->r);
}

static void guarded_turn(struct life *l)
{
    bool now = l->step++ == l->at;

    if (now)
        gw_malloc_fail_at(l->nth);
    turn(&l->r);
    if (!now)
        return;
    l->failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
}

/* The oldest attempt has all its rows; or its first one, and is away for the others. */
static void answer(struct life *l, bool in_part)
{
    uint64_t names[10 * REQUESTS], left_bits;
    unsigned n = waiting(&l->r, 0, names, 10 * REQUESTS);
    struct gw_sent_info part = AWAY;
    struct gw_buf left;

    if (n == 0)
        return;
    for (unsigned i = 0; i < (in_part ? 1 : n); i++)
        l->sent[names[i]] = true;
    if (!in_part || n == 1) {
        gw_test_sink_answer(l->r.sinks[0], &OK);
        return;
    }
    left_bits = (1ull << n) - 2;
    gw_buf_init(&left, 65536);
    assert_int_equal(
        gw_rows_extract(GW_LOGS, l->r.sinks[0]->waiting[0]->body, &(struct gw_rows){&left_bits, n, n - 1}, &left), 0);
    part.left = gw_buf_slice(&left);
    part.left_rows = n - 1;
    part.left_bits = &left_bits;
    gw_test_sink_answer(l->r.sinks[0], &part);
    gw_buf_clear(&left);
}

static void drain(struct life *l)
{
    for (unsigned i = 0; i < 200 && !gw_edge_is_empty(l->r.edges[0]); i++) {
        answer(l, false);
        pass(&l->r, S);
    }
    assert_true(gw_edge_is_empty(l->r.edges[0]));
    turn(&l->r);
}

/* What could not be noted for want of memory is noted soon, and not only at the end; and no room is taken any more. */
static void must_be_noted(struct life *l)
{
    const struct gw_lane *lane = gw_edge_lane(l->r.edges[0], GW_LOGS);
    struct gw_log_stats st;

    for (unsigned i = 0; i < 4; i++)
        pass(&l->r, S);
    gw_log_stats(l->r.log, &st);
    assert_int_equal(consumer(&l->r, "a").low_row, st.end_row);
    assert_int_equal(atomic_load(&lane->lag_rows), 0);
    assert_int_equal(atomic_load(&lane->lag_bytes), 0);
    assert_int_equal(atomic_load(&lane->queued), 0);
}

/* Everything that was said to be stored was sent, and everything that was sent is settled; nothing is held. */
static void must_be_done(struct life *l)
{
    struct gw_log_stats st;

    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(l->r.tickets[i]->open, 0);
        for (unsigned k = 0; k < ROWS && l->r.tickets[i]->worst == GW_STORED; k++)
            assert_true(l->sent[10 * i + k]);
    }
    gw_log_stats(l->r.log, &st);
    assert_int_equal(counts(&l->r, 0).held, 0);
    assert_int_equal(gw_wal_pending(l->r.wal), 0);
    assert_true(consumer(&l->r, "a").low_row <= st.end_row);
}

static bool live(const struct way *how, unsigned at, uint64_t nth)
{
    struct life l = {.at = at, .nth = nth};

    for (unsigned i = 0; i < 2; i++) {
        gw_simdisk_init(&disks[i], 1);
        disks[i].tick_ns = MS;
    }
    set_up(&l.r);
    gw_log_close(l.r.log);
    open_log(&l);
    l.r.settings.queue.max_memory_bytes = how->memory;
    if (how->encodes) {
        l.ops = *gw_test_exporter.exporter;
        l.ops.encode = encode;
        l.type = gw_test_exporter;
        l.type.exporter = &l.ops;
        l.r.type = &l.type;
    }
    start(&l.r);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        put(&l.r, 10 * i, ROWS);
        if (i % 2)
            guarded_turn(&l);
    }
    answer(&l, how->in_part);
    guarded_turn(&l);
    if (how->dies) { /* some rows of a frame are settled, and it is read again */
        pass(&l.r, S);
        start_again(&l);
        guarded_turn(&l);
        guarded_turn(&l);
    }
    answer(&l, false);
    guarded_turn(&l);
    drain(&l);
    must_be_noted(&l);
    start_again(&l);
    turn(&l.r);
    drain(&l);
    must_be_done(&l);
    tear_down(&l.r);
    gw_simdisk_clear(&disks[0]);
    gw_simdisk_clear(&disks[1]);
    return l.failed;
}

/*
 * Scenario    in every turn every allocation fails once, then there is memory again
 * Guarantees  nobody is told that rows are stored that are not sent in the end; nothing stays behind, nothing leaks
 */
static void any_allocation_may_fail(void **state)
{
    static const struct way ways[] = {
        {1 << 20, false, false, false}, {300, false, false, false},   {1 << 20, true, false, false},
        {300, true, true, true},        {1 << 20, false, true, true},
    };
    unsigned n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        for (unsigned at = 0; at < 7; at++)
            for (uint64_t nth = 1; live(&ways[i], at, nth); nth++)
                n++;
    printf("%u allocations failed\n", n);
    assert_true(n > 100);
}

/* Of three rows that the disk does not take and that were promised: how many are dropped when the n-th allocation
 * fails. */
static uint64_t dropped_at(uint64_t nth)
{
    const struct gw_label l[] = {{"component", "a"}, {"pipeline", "logs"}, {"signal", "logs"}, {"reason", "memory"}};
    uint64_t dropped;
    struct rig r;

    set_up(&r);
    r.early = true;
    start(&r);
    gw_log_sim_faults(r.log)->no_room = true;
    put(&r, 0, 3);
    gw_malloc_fail_at(nth);
    (void)gw_log_work(r.log);
    gw_malloc_fail_at(0);
    turn(&r);
    dropped = counts(&r, 0).dropped;
    assert_int_equal(waiting(&r, 0, (uint64_t[3]){0}, 3), 3 - dropped);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(counts(&r, 0).held, 0);
    assert_int_equal(gw_meter_get(r.meter, GW_COUNTER, "staunch_dropped_items", "", l, 4)->value, dropped);
    tear_down(&r);
    return dropped;
}

/*
 * Scenario    stored means in memory; the disk is full, and there is no memory for what was promised, either
 * Guarantees  the rows are dropped, and counted by pipeline and reason
 */
static void what_was_promised_and_cannot_be_kept_is_counted(void **state)
{
    uint64_t dropped = 0;

    (void)state;
    for (uint64_t nth = 2; nth < 8; nth++) /* the first one is the log's own */
        dropped += dropped_at(nth);
    assert_true(dropped > 0);
}

/*
 * Scenario    no memory to note what was delivered, when it is, and when the exporter is closed; it has a successor
 * Guarantees  that one sends the rows again, and the books say that they are there twice
 */
static void what_could_not_be_noted_is_there_again(void **state)
{
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up(&r);
    keep_own_books(&r);
    start(&r);
    put(&r, 0, 2);
    turn(&r);
    assert_int_equal(come(&r, 1, "a", &err), 0);
    r.n_edges = 2;
    gw_wal_retire_edge(r.wal, r.edges[0]);
    gw_malloc_fail_at(1);
    gw_test_sink_answer(r.sinks[0], &OK);
    assert_true(gw_malloc_failed());
    gw_malloc_fail_at(1);
    gw_edge_close(r.edges[0]);
    assert_true(gw_malloc_failed());
    gw_malloc_fail_at(0);
    leave(&r, 0);
    assert_string_equal(books_of(&r, "a"), "in=2 created=2 out=2 held=2");
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_string_equal(books_of(&r, "a"), "in=2 created=2 out=4");
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(what_was_promised_and_cannot_be_kept_is_counted),
        cmocka_unit_test(what_could_not_be_noted_is_there_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
