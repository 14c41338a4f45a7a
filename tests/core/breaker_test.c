/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <string.h>

#include "core/breaker.h"
#include "tests/harness_env.h"

#define S  1000000000ull
#define MS 1000000ull

static const struct gw_breaker_settings usual = {.enabled = true,
                                                 .error_share = 0.5,
                                                 .min_calls = 20,
                                                 .window_ns = 10 * S,
                                                 .consecutive = 5,
                                                 .initial_ns = S,
                                                 .max_ns = 60 * S};

struct rig {
    struct gw_test_env te;
    struct gw_meter *meter;
    struct gw_log_sink log;
    struct gw_logger logger;
    struct gw_breaker_settings how;
    struct gw_breaker b;
    uint64_t now;
};

static void set_up(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    gw_test_env_init(&r->te, 11);
    r->meter = gw_meter_new();
    r->log = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_INFO};
    r->logger = (struct gw_logger){.sink = &r->log};
    r->how = usual;
    r->now = 100 * S;
    gw_breaker_init(&r->b, &r->how, &r->te.env, &r->logger, r->meter, &(struct gw_breaker_labels){"otlp", "sink:4317"});
}

static void tear_down(struct rig *r)
{
    gw_meter_free(r->meter);
    gw_test_env_clear(&r->te);
}

static void call(struct rig *r, enum gw_sign sign)
{
    struct gw_breaker_pass p = gw_breaker_begin(&r->b, r->now);

    gw_breaker_end(&r->b, p, sign, "because", r->now);
}

static void calls(struct rig *r, unsigned n, enum gw_sign sign)
{
    while (n-- > 0)
        call(r, sign);
}

static uint64_t transitions(struct rig *r, const char *state)
{
    const struct gw_label l[] = {{"exporter", "otlp"}, {"endpoint", "sink:4317"}, {"state", state}};

    return gw_meter_get(r->meter, GW_COUNTER, "staunch_breaker_transitions", "", l, 3)->value;
}

static uint64_t shown_state(struct rig *r)
{
    const struct gw_label l[] = {{"exporter", "otlp"}, {"endpoint", "sink:4317"}};

    return gw_meter_get(r->meter, GW_GAUGE, "staunch_breaker_state", "", l, 2)->value;
}

/* Scenario: four failures, a success, four failures, one more. Guarantees: five in a row open it, nothing before. */
static void failures_in_a_row_open_it(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 4, GW_SIGN_AWAY);
    call(&r, GW_SIGN_WELL);
    calls(&r, 4, GW_SIGN_UNSURE);
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    call(&r, GW_SIGN_LATE);
    assert_int_equal(r.b.state, GW_BREAKER_OPEN);
    assert_false(gw_breaker_may(&r.b, r.now));
    assert_in_range(gw_breaker_wait_ns(&r.b, r.now), 750 * MS, 1250 * MS);
    assert_int_equal(shown_state(&r), 2);
    assert_int_equal(transitions(&r, "open"), 1);
    assert_true(gw_test_env_logged(&r.te, "circuit breaker of sink:4317: open for"));
    assert_true(gw_test_env_logged(&r.te, "because"));
    tear_down(&r);
}

/*
 * Scenario    every other call fails; nine of twenty fail; ten fail, eleven seconds pass, ten others are mixed
 * Guarantees  half of twenty opens it; less does not; what is older than the window does not count
 */
static void a_share_of_failures_opens_it(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    for (unsigned i = 0; i < 19; i++)
        call(&r, i % 2 ? GW_SIGN_WELL : GW_SIGN_AWAY);
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    call(&r, GW_SIGN_AWAY);
    assert_int_equal(r.b.state, GW_BREAKER_OPEN);
    tear_down(&r);

    set_up(&r);
    for (unsigned i = 0; i < 200; i++)
        call(&r, i % 20 < 18 && i % 2 == 0 ? GW_SIGN_AWAY : GW_SIGN_WELL);
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    tear_down(&r);

    set_up(&r);
    for (unsigned i = 0; i < 18; i++)
        call(&r, i % 2 ? GW_SIGN_WELL : GW_SIGN_AWAY);
    r.now += 11 * S;
    for (unsigned i = 0; i < 18; i++)
        call(&r, i % 2 ? GW_SIGN_WELL : GW_SIGN_AWAY);
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    tear_down(&r);

    set_up(&r); /* the same within the window */
    for (unsigned i = 0; i < 18; i++)
        call(&r, i % 2 ? GW_SIGN_WELL : GW_SIGN_AWAY);
    r.now += 8 * S;
    for (unsigned i = 0; i < 3; i++)
        call(&r, i % 2 ? GW_SIGN_WELL : GW_SIGN_AWAY);
    assert_int_equal(r.b.state, GW_BREAKER_OPEN);
    tear_down(&r);
}

/* Scenario: a thousand "too busy", a thousand refusals, a thousand cancelled. Guarantees: it stays closed. */
static void busy_and_refusing_sinks_work(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 1000, GW_SIGN_BUSY);
    calls(&r, 1000, GW_SIGN_WELL);
    calls(&r, 1000, GW_SIGN_NONE);
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    assert_int_equal(transitions(&r, "open"), 0);
    tear_down(&r);
}

/*
 * Scenario    probes that fail twelve times
 * Guarantees  one call at a time; each pause is the double of the last one ± 25 %, and never more than max_interval
 */
static void failed_probes_double_the_pause(void **state)
{
    uint64_t interval = S;
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 5, GW_SIGN_AWAY);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t wait = gw_breaker_wait_ns(&r.b, r.now);
        struct gw_breaker_pass p;

        assert_in_range(wait, interval * 3 / 4, interval * 5 / 4 < 60 * S ? interval * 5 / 4 : 60 * S);
        assert_false(gw_breaker_may(&r.b, r.now + wait - 1));
        r.now += wait;
        assert_true(gw_breaker_may(&r.b, r.now));
        p = gw_breaker_begin(&r.b, r.now);
        assert_int_equal(shown_state(&r), 1);
        assert_false(gw_breaker_may(&r.b, r.now));
        gw_breaker_end(&r.b, p, GW_SIGN_AWAY, "still", r.now);
        interval = interval * 2 < 60 * S ? interval * 2 : 60 * S;
    }
    assert_int_equal(transitions(&r, "open"), 13);
    assert_int_equal(transitions(&r, "half_open"), 12);
    tear_down(&r);
}

/* The pause is over, a probe fails after so long; returns the pause that follows. */
static uint64_t failed_probe(struct rig *r, enum gw_sign sign, uint64_t ns)
{
    struct gw_breaker_pass p;

    r->now += gw_breaker_wait_ns(&r->b, r->now);
    p = gw_breaker_begin(&r->b, r->now);
    r->now += ns;
    gw_breaker_end(&r->b, p, sign, "still", r->now);
    return gw_breaker_wait_ns(&r->b, r->now);
}

/*
 * Scenario    a sink is away until pauses are long; then it takes a connection and does not answer; it goes on so; then
 *             the two ways take turns
 * Guarantees  the first other answer is news, and the pause is the first one again; from then on they are doubled, and
 *             taking turns does not stop that
 */
static void a_failure_of_another_kind_begins_anew(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 5, GW_SIGN_AWAY);
    for (unsigned i = 0; i < 5; i++)
        (void)failed_probe(&r, GW_SIGN_AWAY, 0);
    assert_true(gw_breaker_wait_ns(&r.b, r.now) > 20 * S);
    assert_in_range(failed_probe(&r, GW_SIGN_UNSURE, 0), 750 * MS, 1250 * MS);
    assert_in_range(failed_probe(&r, GW_SIGN_UNSURE, 0), 1500 * MS, 2500 * MS);
    assert_in_range(failed_probe(&r, GW_SIGN_LATE, 0), 3 * S, 5 * S); /* alive and not well, as before */
    assert_in_range(failed_probe(&r, GW_SIGN_AWAY, 0), 750 * MS, 1250 * MS);
    for (unsigned i = 0; i < 5; i++)
        (void)failed_probe(&r, i % 2 ? GW_SIGN_AWAY : GW_SIGN_LATE, 0);
    assert_true(gw_breaker_wait_ns(&r.b, r.now) > 20 * S);
    tear_down(&r);
}

/*
 * Scenario    probes that wait 10 s for an answer each
 * Guarantees  from one probe to the next it is as long as when they fail at once, and a second at least after the end
 */
static void a_probe_that_waits_has_paused(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 5, GW_SIGN_LATE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(failed_probe(&r, GW_SIGN_LATE, 10 * S), S); /* pauses of 2, 4 and 8 s */
    assert_in_range(failed_probe(&r, GW_SIGN_LATE, 10 * S), 2 * S, 10 * S);
    assert_in_range(failed_probe(&r, GW_SIGN_LATE, 10 * S), 14 * S, 30 * S);
    tear_down(&r);
}

/*
 * Scenario    a probe succeeds, then nine more calls; then an outage begins anew
 * Guarantees  1, 2, 3, … calls at once; closed after ten successes; the next pause is short again
 */
static void a_probe_that_succeeds_lets_more_and_more_through(void **state)
{
    struct gw_breaker_pass p[GW_BREAKER_RAMP_FULL + 1];
    struct rig r;

    (void)state;
    set_up(&r);
    calls(&r, 5, GW_SIGN_AWAY);
    for (unsigned i = 0; i < 3; i++) {
        r.now += 100 * S;
        call(&r, GW_SIGN_AWAY);
    }
    r.now += 100 * S;
    for (unsigned n = 1; n <= GW_BREAKER_RAMP_FULL; n++) {
        unsigned k = 0;

        assert_int_not_equal(r.b.state, GW_BREAKER_CLOSED);
        while (gw_breaker_may(&r.b, r.now))
            p[k++] = gw_breaker_begin(&r.b, r.now);
        assert_int_equal(k, n);
        gw_breaker_end(&r.b, p[0], GW_SIGN_WELL, NULL, r.now);
        while (--k > 0)
            gw_breaker_end(&r.b, p[k], GW_SIGN_NONE, NULL, r.now);
    }
    assert_int_equal(r.b.state, GW_BREAKER_CLOSED);
    assert_int_equal(transitions(&r, "closed"), 1);
    assert_true(gw_test_env_logged(&r.te, "closed: it answers again"));
    calls(&r, 5, GW_SIGN_AWAY);
    assert_in_range(gw_breaker_wait_ns(&r.b, r.now), 750 * MS, 1250 * MS);
    tear_down(&r);
}

/*
 * Scenario    ten calls are under way when the breaker opens; one of them succeeds, the others fail, some during the
 *             probe; the probe is cancelled
 * Guarantees  none of them changes the state; after the cancelled probe another one may begin
 */
static void calls_of_before_say_nothing(void **state)
{
    struct gw_breaker_pass old[10], probe;
    struct rig r;

    (void)state;
    set_up(&r);
    for (unsigned i = 0; i < 10; i++)
        old[i] = gw_breaker_begin(&r.b, r.now);
    for (unsigned i = 0; i < 5; i++)
        gw_breaker_end(&r.b, old[i], GW_SIGN_AWAY, NULL, r.now);
    assert_int_equal(r.b.state, GW_BREAKER_OPEN);
    gw_breaker_end(&r.b, old[5], GW_SIGN_WELL, NULL, r.now);
    gw_breaker_end(&r.b, old[6], GW_SIGN_AWAY, NULL, r.now);
    assert_int_equal(r.b.state, GW_BREAKER_OPEN);
    r.now += 2 * S;
    probe = gw_breaker_begin(&r.b, r.now);
    gw_breaker_end(&r.b, old[7], GW_SIGN_AWAY, NULL, r.now);
    gw_breaker_end(&r.b, old[8], GW_SIGN_WELL, NULL, r.now);
    assert_int_equal(r.b.state, GW_BREAKER_HALF_OPEN);
    assert_false(gw_breaker_may(&r.b, r.now));
    gw_breaker_end(&r.b, probe, GW_SIGN_NONE, NULL, r.now);
    assert_true(gw_breaker_may(&r.b, r.now));
    tear_down(&r);
}

/* Scenario: open for a minute, then the end is near. Guarantees: half a second at most, also after another failure. */
static void hurry_makes_pauses_short(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.how.initial_ns = 60 * S;
    calls(&r, 5, GW_SIGN_AWAY);
    assert_true(gw_breaker_wait_ns(&r.b, r.now) > 40 * S);
    gw_breaker_hurry(&r.b, r.now, S / 2);
    assert_int_equal(gw_breaker_wait_ns(&r.b, r.now), S / 2);
    r.now += S / 2;
    call(&r, GW_SIGN_AWAY);
    assert_int_equal(gw_breaker_wait_ns(&r.b, r.now), S / 2);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(a_share_of_failures_opens_it),
        cmocka_unit_test(busy_and_refusing_sinks_work),
        cmocka_unit_test(failed_probes_double_the_pause),
        cmocka_unit_test(a_failure_of_another_kind_begins_anew),
        cmocka_unit_test(a_probe_that_waits_has_paused),
        cmocka_unit_test(a_probe_that_succeeds_lets_more_and_more_through),
        cmocka_unit_test(calls_of_before_say_nothing),
        cmocka_unit_test(hurry_makes_pauses_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
