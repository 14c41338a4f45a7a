/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that gives wrong bytes while a queue on it is read: every row is delivered or in the book as dropped. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/ledger.h"
#include "tests/harness_engine_disk.h"

enum { ROWS = 3 };

static const struct gw_sent_info OK = {.sent = GW_SENT_OK}, LATER = {.sent = GW_SENT_RETRY,
                                                                     .reason = "http_503",
                                                                     .retry_after_ns = 3600000000000u};
static struct gw_simdisk disk, next;
static struct gw_test_engine t;

static const char yaml[] =
    "extensions: { file_storage: { directory: store, create_directory: true, segment_size_mib: 1, reserve_mib: 1 } }\n"
    "receivers: { scripted: }\n"
    "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"
    "service: { extensions: [file_storage], pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n";

static void open_on(struct gw_simdisk *d)
{
    gw_test_engine_on_disk(d);
    gw_test_engine_open(&t, yaml, 1, false);
}

/* Two frames are on the disk of a gateway that has just started; the first of them was not delivered before. */
static void set_up(bool second_is_settled)
{
    gw_simdisk_init(&disk, 5);
    open_on(&disk);
    for (unsigned i = 0; i < 2; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 10 * (i + 1), ROWS, 1);
        gw_test_engine_turn(&t, 4, 10000000);
    }
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 2);
    if (second_is_settled) {
        assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &LATER));
        assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK));
        gw_test_engine_turn(&t, 4, 10000000);
    }
    gw_simdisk_init(&next, 6);
    gw_simdisk_kill(&next, &disk);
    gw_test_engine_abandon(&t);
    gw_simdisk_clear(&disk);
    open_on(&next);
}

static void tear_down(void)
{
    (void)gw_test_engine_close(&t);
    gw_simdisk_clear(&next);
    gw_test_engine_on_disk(NULL);
}

/* The header of the frame with that seq, in the first segment. */
static uint8_t *head_of(uint64_t seq)
{
    size_t n;
    uint8_t *p = gw_simdisk_bytes(&next, "store/queue/logs/00000000000000000001.log", &n);

    for (size_t i = 0; p && i + 64 <= n; i += 8)
        if (memcmp(p + i, "STRF\1", 5) == 0 && memcmp(p + i + 24, &seq, sizeof(seq)) == 0)
            return p + i;
    fail_msg("frame %llu is not there", (unsigned long long)seq);
    return NULL;
}

/* Rows of the exporter's book that ended so. */
static uint64_t entry(enum gw_entry e)
{
    struct gw_picture *p = gw_ledger_look(t.engine);
    uint64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].kind == GW_BOOK_EXPORTER)
            n += p->rows[i].n[e];
    gw_picture_free(p);
    return n;
}

/*
 * Scenario    the last frame cannot be read for a while
 * Guarantees  it is delivered when it can
 */
static void a_frame_that_comes_back_is_delivered(void **state)
{
    struct gw_test_sink *s;

    (void)state;
    set_up(false);
    head_of(1)[20] ^= 1;
    gw_test_engine_turn(&t, 4, 10000000);
    s = gw_test_engine_sink(&t, "scripted");
    assert_true(gw_test_sink_answer(s, &OK));
    gw_test_engine_turn(&t, 4, 10000000);
    assert_int_equal(s->n_waiting, 0);
    gw_test_engine_balances(&t);
    head_of(1)[20] ^= 1;
    gw_test_engine_turn(&t, 4, 10000000);
    assert_true(gw_test_sink_answer(s, &OK));
    gw_test_engine_turn(&t, 4, 10000000);
    gw_test_engine_balances(&t);
    assert_int_equal(entry(GW_E_OUT), 2 * ROWS);
    tear_down();
}

/*
 * Scenario    the only frame that was not delivered is damaged, and nothing comes behind those that were
 * Guarantees  its rows are dropped, in the book and in the log; nothing waits for ever
 */
static void damage_before_what_was_delivered_is_dropped(void **state)
{
    (void)state;
    set_up(true);
    head_of(0)[20] ^= 1;
    gw_test_engine_turn(&t, 8, 10000000);
    gw_test_engine_balances(&t);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 0);
    assert_int_equal(entry(GW_E_OUT), ROWS);
    assert_int_equal(entry(GW_E_DROPPED), ROWS);
    assert_int_equal(entry(GW_E_HELD), 0);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_frame_that_comes_back_is_delivered),
                                       cmocka_unit_test(damage_before_what_was_delivered_is_dropped)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
