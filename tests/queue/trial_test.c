/* SPDX-License-Identifier: Apache-2.0 */
/* An exporter that tries its requests itself, with rows that the gateway may have crashed of. */
#include <signal.h>

#include "log/flight.h"
#include "queue/edge_impl.h"
#include "tests/harness_simdisk.h"
#include "tests/queue/durable_rig.h"

static struct gw_simdisk disk;

static void open_flight(struct rig *r)
{
    const struct gw_flight_conf conf = {.env = &disk.env, .path = "flight"};

    assert_int_equal(gw_flight_open(&conf, &r->flight), 0);
}

static bool is_trial_free(struct rig *r)
{
    bool free = gw_flight_take_trial(r->flight, &disk);

    if (free)
        gw_flight_end_trial(r->flight, &disk);
    return free;
}

/*
 * Scenario    a crash while rows are with the sink; after the next start they are on trial, alone in the storage; the
 *             sink says that it is away
 * Guarantees  that answer ends the trial, although the exporter keeps the rows and asks again: suspects of others are
 *             not held up by a sink that is away
 */
static void who_is_answered_leaves_the_trial_to_others(void **state)
{
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause;
    struct rig r;

    (void)state;
    gw_simdisk_init(&disk, 1);
    set_up(&r);
    r.type = &gw_test_trying_exporter;
    open_flight(&r);
    start(&r);
    put(&r, 1, 1);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    gw_flight_crashed(SIGABRT);
    end(&r, KILL);
    gw_flight_close(r.flight);
    open_flight(&r);
    start(&r);
    for (unsigned i = 0; i < 30 && r.sinks[0]->n_waiting == 0; i++)
        pass(&r, S);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    assert_false(is_trial_free(&r));
    a = r.sinks[0]->waiting[0];
    assert_true(a->again(a, &t, &AWAY, &pause));
    assert_true(is_trial_free(&r));
    gw_test_sink_answer(r.sinks[0], &OK);
    pass(&r, S);
    assert_int_equal(counts(&r, 0).delivered, 1);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 1);
    tear_down(&r);
    gw_flight_close(r.flight);
    gw_simdisk_clear(&disk);
}

/* Two requests are with the sink as one attempt when the power fails. True: the log has lost the second one. */
static bool lost_the_second(struct rig *r)
{
    struct gw_log_stats st;

    r->batching = (struct gw_batching){.enabled = true, .min_size = 4, .flush_timeout_ns = 60 * S};
    start(r);
    put(r, 1, 2);
    pass(r, S); /* it is synced */
    put(r, 11, 2);
    turn(r);
    assert_int_equal(r->sinks[0]->n_waiting, 1);
    gw_flight_crashed(SIGABRT);
    end(r, POWER_CUT);
    gw_flight_close(r->flight);
    open_flight(r);
    r->batching.enabled = false;
    start(r);
    gw_log_stats(r->log, &st);
    return st.end_seq == 1;
}

/* Another request gets the place of the one that was lost. */
static void give_the_place_again(struct rig *r)
{
    uint64_t names[4];

    put(r, 21, 2);
    (void)gw_log_work(r->log); /* before the exporter has looked: it is read back */
    turn(r);
    assert_int_equal(waiting(r, 0, names, 4), 2);
    assert_int_equal(names[0], 21);
    gw_test_sink_answer(r->sinks[0], &OK);
}

/* The first one's rows are sent alone, in pieces, which find one that the gateway crashes of. */
static void must_be_on_trial(struct rig *r)
{
    const struct gw_lane *l = gw_edge_lane(r->edges[0], GW_LOGS);
    uint64_t names[4];

    for (uint64_t row = 1; row <= 2; row++) {
        for (unsigned i = 0; i < 30 && r->sinks[0]->n_waiting == 0; i++)
            pass(r, S);
        assert_int_equal(waiting(r, 0, names, 4), 1);
        assert_int_equal(names[0], row);
        assert_false(is_trial_free(r));
        gw_test_sink_answer(r->sinks[0], &OK);
    }
    pass(r, S);
    assert_int_equal(counts(r, 0).held, 0);
    assert_int_equal(atomic_load(&l->lag_rows), 0);
    assert_int_equal(atomic_load(&l->lag_bytes), 0);
    assert_int_equal(atomic_load(&l->queued), 0);
}

/*
 * Scenario    a crash while two requests are with the sink, and the power fails: the log has lost the second one, and
 *             gives its place to another request, if one comes
 * Guarantees  that one is not suspect, and sent at once; the first one is on trial. In the end nothing takes room
 */
static void a_place_that_was_given_again_is_not_suspect(void **state)
{
    unsigned n_lost = 0;
    struct rig r;

    (void)state;
    for (uint64_t seed = 1; n_lost < 2 && seed < 40; seed++) {
        gw_simdisk_init(&disk, seed);
        set_up(&r);
        r.te.seed = seed;
        open_flight(&r);
        if (lost_the_second(&r)) {
            if (n_lost++)
                give_the_place_again(&r);
            must_be_on_trial(&r);
        }
        tear_down(&r);
        gw_flight_close(r.flight);
        gw_simdisk_clear(&disk);
    }
    assert_int_equal(n_lost, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_answered_leaves_the_trial_to_others),
        cmocka_unit_test(a_place_that_was_given_again_is_not_suspect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
