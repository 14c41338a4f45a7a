/* SPDX-License-Identifier: Apache-2.0 */
/* Memory is short at the moment when a batch is made or answered: every allocation of that moment fails once. */
#include "tests/harness_malloc.h"

#include "tests/queue/letters_rig.h"

enum { ROWS = 5, MEMORY = 2 }; /* of a batch; of those, in memory only */

/* A batch, or none yet; what happens to it while memory is short. */
struct scene {
    void (*act)(struct rig *r, struct port *p);
    bool has_batch, has_room; /* for its letter */
    uint32_t dead;            /* of its rows, which are 0 and 101 */
    bool may_drop;            /* of those in memory as many as are dead */
    bool on_disk;             /* the dead letter queue */
};

/* Of the simulated log: not while memory is short. */
static void put_mixed(struct rig *r)
{
    gw_log_sim_faults(r->log)->no_room = true;
    put(r, 0, MEMORY);
    (void)gw_log_work(r->log);
    gw_log_sim_faults(r->log)->no_room = false;
    put(r, 100, ROWS - MEMORY);
    (void)gw_log_work(r->log);
}

/* Rows are answered with OK, and their names noted, until nothing is left. */
static void drain(struct rig *r, struct port *p, unsigned *seen)
{
    for (unsigned i = 0; i < 20; i++) {
        uint64_t names[2 * ROWS];
        unsigned n = waiting(r, 0, names, 2 * ROWS);

        for (unsigned k = 0; k < n; k++)
            seen[names[k] < 100 ? names[k] : MEMORY + names[k] - 100]++;
        (void)gw_test_sink_answer(r->sinks[0], &OK);
        (void)gw_test_sink_answer(p->sink, &OK);
        pass(r, S);
        if (p->on_disk)
            (void)gw_log_work(p->log);
    }
}

static uint64_t letters_turned_away(struct rig *r)
{
    const struct gw_label l = {"exporter", "letters"};

    return gw_meter_get(r->meter, GW_COUNTER, "otelcol_exporter_enqueue_failed_log_records", "", &l, 1)->value;
}

static bool play(const struct scene *what, uint64_t nth)
{
    unsigned seen[ROWS] = {0};
    struct gw_edge_counts c;
    struct port p;
    struct rig r;
    bool failed;

    set_up(&r);
    keep_books(&r, &p);
    r.early = true;
    r.batching = (struct gw_batching){.enabled = true, .min_size = ROWS, .flush_timeout_ns = S};
    start(&r);
    p.on_disk = what->on_disk;
    open_port(&r, &p, 4);
    if (!what->has_room)
        assert_true(gw_edge_reserve(p.edge, GW_LOGS, 4, false));
    put_mixed(&r);
    if (what->has_batch)
        turn(&r);
    gw_malloc_fail_at(nth);
    what->act(&r, &p);
    failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    must_balance(&r, &p);
    if (!what->has_room)
        gw_edge_unreserve(p.edge, GW_LOGS, 4);
    drain(&r, &p, seen);
    c = counts(&r, 0);
    if (!what->may_drop)
        assert_int_equal(c.dropped, 0);
    if (!failed)
        assert_int_equal(letters_turned_away(&r), 0);
    for (unsigned i = 0; i < ROWS; i++)
        if (!(what->dead && (i == 0 || i == MEMORY + 1)))
            assert_int_equal(seen[i], 1); /* none is lost because its neighbours are dead, and none comes twice */
    assert_int_equal(c.delivered + c.dropped + c.dead_lettered, c.in);
    assert_int_equal(consumer(&r, "a").low, 1);
    tear_all_down(&r, &p);
    return failed;
}

static void make_batch(struct rig *r, struct port *p)
{
    (void)p;
    gw_loop_turn(r->loop, 0);
}

static void refuse_as_too_large(struct rig *r, struct port *p)
{
    static const struct gw_sent_info large = {.sent = GW_SENT_TOO_LARGE, .message = "413"};

    (void)p;
    gw_test_sink_answer(r->sinks[0], &large);
}

static void kill_two(struct rig *r, struct port *p)
{
    const uint64_t bits = 1u << 0 | 1u << 3;
    struct gw_attempt *a = r->sinks[0]->waiting[0];

    (void)p;
    a->dead(a, &(struct gw_death){
                   .class_ = "sink_rejected", .reason = "bad", .body = GW_SLICE("x"), .rows = 2, .bits = &bits});
}

static bool play_all(const struct scene *what)
{
    uint64_t nth = 1;

    while (play(what, nth))
        nth++;
    return nth > 1;
}

/*
 * Scenario    no memory for a batch of what could and could not be written
 * Guarantees  its rows go without being a batch; each once, and each is settled where it stands
 */
static void without_memory_there_is_no_batch(void **state)
{
    (void)state;
    assert_true(play_all(&(struct scene){.act = make_batch, .has_room = true}));
}

/*
 * Scenario    no memory for halving a batch that the sink finds too large
 * Guarantees  the sink is asked once more, a moment later: nothing is dropped or buried because memory was short
 */
static void without_memory_a_batch_is_halved_later(void **state)
{
    (void)state;
    assert_true(play_all(&(struct scene){.act = refuse_as_too_large, .has_batch = true, .has_room = true}));
}

/*
 * Scenario    a row in memory and one on disk are dead, with room for their letter and without; no memory for the
 *             letter, for its way, or for a grave
 * Guarantees  the other rows are not touched. The row on disk is a letter or is sent once more; the one in memory is a
 *             letter, or dropped and counted, because it is nowhere else
 */
static void without_memory_the_dead_are_tried_again_or_counted(void **state)
{
    (void)state;
    assert_true(play_all(&(struct scene){kill_two, true, true, 2, true, false}));
    assert_true(play_all(&(struct scene){kill_two, true, false, 2, true, false}));
    assert_true(play_all(&(struct scene){kill_two, true, true, 2, true, true}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_there_is_no_batch),
        cmocka_unit_test(without_memory_a_batch_is_halved_later),
        cmocka_unit_test(without_memory_the_dead_are_tried_again_or_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
