/* SPDX-License-Identifier: Apache-2.0 */
/* An exporter that tries its requests itself, with rows that the gateway may have crashed of. */
#include <signal.h>

#include "log/flight.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_answered_leaves_the_trial_to_others)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
