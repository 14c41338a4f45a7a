/* SPDX-License-Identifier: Apache-2.0 */
/* A processor that keeps rows asks whether there is room behind its pipeline. */
#include "tests/harness.h"

#include "pipeline/ports.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

static bool has_room;

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    (void)self;
    (void)now_ns;
    has_room = gw_has_room(out, 1, 100);
    return GW_DONE;
}

static const struct gw_component asks = {
    .kind = GW_PROCESSOR,
    .name = "asks",
    .summary = "A puppet.",
    .signals = GW_LOGS | GW_TRACES,
    .holds = true,
    .tick = tick,
};

static bool now_has_room(struct gw_test_engine *t)
{
    gw_test_engine_turn(t, 3, S);
    gw_test_engine_turn(t, 3, 0);
    return has_room;
}

/*
 * Scenario    a queue of four requests behind a connector, whose sink does not answer; one request, two, three; then it
 *             answers all
 * Guarantees  there is room for what can wait while less than half is taken, and for requests until all is
 */
static void half_of_what_is_behind_is_for_others(void **state)
{
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    struct gw_test_engine t;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\nprocessors: { asks: }\nconnectors: { forward: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 4 } } }\nservice:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], processors: [asks], exporters: [forward] }\n"
                        "    logs/2: { receivers: [forward], exporters: [scripted] }\n",
                        1, false);
    assert_true(now_has_room(&t));
    for (unsigned i = 1; i <= 3; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, i, 1, 1);
        assert_int_equal(now_has_room(&t), i == 1);
    }
    while (gw_test_engine_sink(&t, "scripted")->n_waiting) {
        gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &ok);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_true(now_has_room(&t));
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_what_is_behind_is_for_others),
    };

    gw_test_own_components[0] = &asks;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
