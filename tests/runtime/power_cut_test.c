/* SPDX-License-Identifier: Apache-2.0 */
/* The power fails under a whole gateway whose OK means "synced": what it said OK to is there at the next start. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness_engine_disk.h"

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_simdisk_crash worst = {0}; /* nothing is kept that was not synced */

static const char yaml[] =
    "extensions: { file_storage: { directory: var/lib/store, create_directory: true, fsync: true,\n"
    "                              segment_size_mib: 1, reserve_mib: 1 } }\n"
    "receivers: { scripted: }\n"
    "exporters: { scripted: { sending_queue: { storage: file_storage } },\n"
    "             scripted/bad: { sending_queue: { storage: file_storage } } }\n"
    "service:\n"
    "  extensions: [file_storage]\n"
    "  dead_letters: { to: file_storage }\n"
    "  pipelines: { logs: { receivers: [scripted], exporters: [scripted, scripted/bad] } }\n";

static struct gw_simdisk *new_disk(void)
{
    struct gw_simdisk *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    gw_simdisk_init(d, 5);
    return d;
}

static void free_disk(struct gw_simdisk *d)
{
    gw_simdisk_clear(d);
    free(d);
}

static void open_on(struct gw_test_engine *t, struct gw_simdisk *d)
{
    gw_test_engine_on_disk(d);
    gw_test_engine_open(t, yaml, 1, false);
}

/* What the disk of a process that is gone has after a power cut; the process' own end changes nothing there. */
static struct gw_simdisk *power_cut(struct gw_test_engine *t, struct gw_simdisk *d)
{
    struct gw_simdisk *next = new_disk();
    uint64_t seed = 1;

    gw_simdisk_power_cut(next, d, &worst, &seed);
    gw_test_engine_abandon(t);
    free_disk(d);
    return next;
}

/*
 * Scenario    the first start ever, with a folder to make four deep; a request is acknowledged, and one row of it is a
 *             dead letter already; then the power fails, and nothing is left but what was synced, names included
 * Guarantees  the next start finds the folder, the queue with the rows in it, and the letter
 */
static void what_was_synced_has_a_folder(void **state)
{
    struct gw_simdisk *d = new_disk();
    struct gw_test_engine t;
    struct gw_log_stats st;
    struct gw_test_sink *s;
    uint64_t names[8];

    (void)state;
    open_on(&t, d);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 30, 3, 1);
    gw_test_engine_turn(&t, 4, 10000000);
    assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 1);
    assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->verdicts[0].v.grpc_status, 0);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/bad"),
                                    &(struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "http_400"}));
    gw_test_engine_turn(&t, 8, 10000000);
    d = power_cut(&t, d);

    open_on(&t, d);
    gw_test_engine_turn(&t, 8, 10000000);
    s = gw_test_engine_sink(&t, "scripted");
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 8), 3);
    assert_int_equal(names[0], 30);
    assert_true(gw_test_sink_answer(s, &OK));
    gw_log_stats(gw_engine_log(t.engine, "dead_letters", ""), &st);
    assert_int_equal(st.end_row, 1);
    (void)gw_test_engine_close(&t);
    free_disk(d);
    gw_test_engine_on_disk(NULL);
}

/*
 * Scenario    as above, but an earlier process had died between making each folder and syncing its name
 * Guarantees  the same
 */
static void a_folder_that_somebody_else_made_is_synced_too(void **state)
{
    static const char *const made[] = {"var", "var/lib", "var/lib/store", "var/lib/store/queue"};

    (void)state;
    for (unsigned n = 1; n <= sizeof(made) / sizeof(made[0]); n++) {
        struct gw_simdisk *d = new_disk();
        struct gw_test_engine t;

        for (unsigned i = 0; i < n; i++)
            assert_int_equal(d->ops.dir_make(&d->env, made[i], 0700), 0);
        open_on(&t, d);
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 30, 3, 1);
        gw_test_engine_turn(&t, 4, 10000000);
        assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 1);
        d = power_cut(&t, d);
        open_on(&t, d);
        gw_test_engine_turn(&t, 8, 10000000);
        assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
        assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK));
        assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/bad"), &OK));
        (void)gw_test_engine_close(&t);
        free_disk(d);
        gw_test_engine_on_disk(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_synced_has_a_folder),
                                       cmocka_unit_test(a_folder_that_somebody_else_made_is_synced_too)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
