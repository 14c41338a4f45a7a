/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that come again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch/meta.h"
#include "core/buf.h"
#include "pipeline/ports.h"
#include "tests/harness.h"
#include "tests/harness_logs.h"

#define MS 1000000ull
#define S  1000000000ull

static struct gw_test_engine t;
static unsigned n_sent;

/* ---- a processor that lets rows of uneven names fall, or sends them apart -------------------------------------- */

static enum { PASSES, DROPS, SPLITS } odd_rows;

static bool is_odd(const struct gw_view *v, uint32_t row)
{
    return v->batch->time_ns[row] % 2;
}

static void consume_odd(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct gw_view odd;

    (void)self;
    if (odd_rows == SPLITS)
        assert_int_equal(gw_view_clone(v, v->arena, &odd), 0);
    for (uint32_t r = gw_view_next(v, 0); odd_rows != PASSES && r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        if (!is_odd(v, r) && odd_rows == SPLITS)
            assert_int_equal(gw_view_remove(&odd, r), 0);
        if (is_odd(v, r) && odd_rows == SPLITS)
            assert_int_equal(gw_view_remove(v, r), 0);
        if (is_odd(v, r) && odd_rows == DROPS)
            gw_view_settle_row(v, out->ledger, r, GW_DROPPED, "odd", NULL);
    }
    if (odd_rows == SPLITS)
        gw_emit(out, 0, &odd);
    gw_emit(out, 0, v);
}

static int create_odd(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    *ret = &odd_rows;
    return 0;
}

static const struct gw_component odd = {.kind = GW_PROCESSOR,
                                        .name = "odd",
                                        .summary = "Test.",
                                        .signals = GW_ALL_SIGNALS,
                                        .expands = 1,
                                        .create = create_odd,
                                        .consume = consume_odd};

/* ---- a gateway ------------------------------------------------------------------------------------------------- */

/* dedup: of the first journal; k: of the second; more: pipelines. */
static const char *yaml_of(const char *dedup, const char *k, const char *more)
{
    static char text[3000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\nprocessors: { odd: }\nexporters: { scripted: { at_once: true } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: service%s },\n"
                   "  journal/k: { storage: file_storage%s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], processors: [odd], exporters: [journal/j] }\n%s",
                   dedup, k, more);
    return text;
}

static const char *yaml(const char *dedup, const char *more)
{
    return yaml_of(dedup, dedup, more);
}

static const char on[] = ", dedup: { window: 10s }";
static const char out[] = "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n"
                          "    logs/k: { receivers: [journal/j], exporters: [journal/k] }\n"
                          "    logs/l: { receivers: [journal/k], exporters: [scripted] }\n";

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, MS);
}

static void begin(const char *text, unsigned n_workers)
{
    gw_test_own_components[0] = &odd;
    odd_rows = PASSES;
    n_sent = 0;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, text, n_workers);
}

static void again(const char *text, unsigned n_workers, bool dies)
{
    if (dies)
        gw_test_logs_crash(&t, false);
    else
        (void)gw_test_engine_close(&t);
    gw_test_logs_engine(&t, text, n_workers);
    n_sent = 0;
}

static void end(void)
{
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

static void put(enum gw_signal s, uint64_t first, unsigned n, const char *tenant)
{
    const struct gw_meta from = {.tenant = gw_slice_cstr(tenant), .transport = "grpc"};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_verdict v = {0};
    struct gw_buf body;

    gw_buf_init(&body, 65536);
    gw_test_request(&body, s, first, n);
    assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted", 0), s, gw_buf_slice(&body), meta, n_sent++, &v),
                     0);
    gw_buf_clear(&body);
    (void)gw_meta_unref(meta);
}

static int answer_of(unsigned i)
{
    struct gw_test_door *d = gw_test_engine_door(&t, "scripted", 0);

    for (unsigned k = 0; k < d->n_verdicts; k++)
        if (d->verdicts[k].ack.stream == i)
            return d->verdicts[k].v.grpc_status;
    return -1;
}

/* Sent, and answered well. */
static void send(uint64_t first, unsigned n, const char *tenant)
{
    put(GW_LOGS, first, n, tenant);
    turn(6);
    assert_int_equal(answer_of(n_sent - 1), 0);
}

static uint64_t repeated(const char *signal)
{
    const struct gw_label l[] = {{"journal", "journal/j"}, {"signal", signal}};

    return gw_test_engine_metric(&t, "staunch_journal_repeated_requests", l, 2);
}

static uint64_t known(void)
{
    const struct gw_label l[] = {{"journal", "journal/j"}};

    return gw_metric_value(gw_meter_get(t.meter, GW_GAUGE, "staunch_journal_known_requests", "", l, 1));
}

static uint64_t forgotten(void)
{
    const struct gw_label l[] = {{"journal", "journal/j"}};

    return gw_test_engine_metric(&t, "staunch_journal_forgotten_requests", l, 1);
}

/* How often a row lies in the journal. */
static unsigned stored(const char *journal, uint64_t name)
{
    const struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t names[64];
    unsigned n = 0;

    assert_int_equal(gw_log_reader_new(gw_test_log(journal), &conf, &r), 0);
    while (gw_log_next(r, &e) == 1)
        for (unsigned i = 0, k = gw_test_names((enum gw_signal)e.frame.signal, e.frame.body, names, 64); i < k; i++)
            n += names[i] == name;
    gw_log_reader_free(r);
    return n;
}

/*
 * Scenario    a request comes again at once, in the window, and when it has passed; from another tenant; with other
 * rows; its rows by themselves; as another signal Guarantees  it is answered as stored each time; it is stored once in
 * a window, each other one, too; that is counted, and the ledger knows of it
 */
static void what_comes_again_is_not_stored_again(void **state)
{
    (void)state;
    begin(yaml(on, out), 1);
    send(10, 3, "acme");
    send(10, 3, "acme");
    assert_int_equal(stored("journal/j", 11), 1);
    send(10, 3, "other");
    assert_int_equal(stored("journal/j", 11), 2);
    send(10, 2, "acme");
    send(11, 1, "acme");
    assert_int_equal(stored("journal/j", 11), 4);
    assert_int_equal(repeated("logs"), 1);
    assert_int_equal(known(), 4);
    gw_test_logs_turn(&t, 2, 9 * S);
    send(10, 3, "acme");
    assert_int_equal(stored("journal/j", 11), 4);
    gw_test_logs_turn(&t, 2, S);
    send(10, 3, "acme");
    assert_int_equal(stored("journal/j", 11), 5);
    assert_int_equal(repeated("logs"), 2);
    gw_test_engine_balances(&t);
    end();
}

/*
 * Scenario    the same without dedup, which is how it is by itself
 * Guarantees  all is stored
 */
static void without_the_setting_all_is_stored(void **state)
{
    (void)state;
    begin(yaml("", out), 1);
    send(10, 3, "acme");
    send(10, 3, "acme");
    assert_int_equal(stored("journal/j", 11), 2);
    assert_int_equal(known(), 0);
    end();
}

/*
 * Scenario    a request is stored; the gateway stops or dies, and starts again with as many workers or more; the
 * request comes again, in the window and after it. Then dedup is taken out, and put back, over restarts Guarantees  it
 * is known, as of the time at which it was stored; its tenant is still known behind
 */
static void it_is_known_after_a_restart(void **state)
{
    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        begin(yaml(on, ""), 1);
        send(10, 3, "acme");
        send(20, 3, "");
        gw_test_logs_turn(&t, 2, 4 * S);
        again(yaml(on, out), 1 + dies, dies);
        turn(4);
        assert_int_equal(known(), 2);
        send(10, 3, "acme");
        send(20, 3, "");
        assert_int_equal(stored("journal/j", 11), 1);
        assert_int_equal(stored("journal/j", 21), 1);
        assert_int_equal(repeated("logs"), 2);
        gw_test_logs_turn(&t, 2, 6 * S);
        send(10, 3, "acme");
        assert_int_equal(stored("journal/j", 11), 2);
        again(yaml("", ""), 1, dies);
        send(10, 3, "acme");
        assert_int_equal(stored("journal/j", 11), 3);
        again(yaml(on, ""), 1, dies);
        send(10, 3, "acme");
        assert_int_equal(stored("journal/j", 11), 3);
        end();
    }
}

/*
 * Scenario    a request is under way to the log, which takes long, when it comes again, twice; it is written, or the
 *             disk is full. Then it comes once more
 * Guarantees  nobody is answered before; then all are, alike; it is stored once. What could not be written may come
 *             again, and is stored
 */
static void who_comes_meanwhile_hears_the_same(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        begin(yaml(on, out), 1);
        turn(4);
        *gw_test_log_faults("journal/j") =
            (struct gw_log_sim_faults){.full_permille = full ? 1000 : 0, .max_delay_ns = full ? 0 : 1000 * S};
        put(GW_LOGS, 10, 3, "");
        if (!full)
            gw_test_logs_turn(&t, 4, 0);
        put(GW_LOGS, 10, 3, "");
        put(GW_LOGS, 10, 3, "");
        if (!full) {
            gw_test_logs_turn(&t, 4, 0);
            assert_int_equal(answer_of(0), -1);
            assert_int_equal(answer_of(1), -1);
            assert_int_equal(repeated("logs"), 2);
        }
        gw_test_logs_turn(&t, 8, 500 * S);
        turn(8);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(answer_of(i), full ? 14 : 0);
        assert_int_equal(stored("journal/j", 11), !full);
        *gw_test_log_faults("journal/j") = (struct gw_log_sim_faults){0};
        if (full)
            send(10, 3, "");
        assert_int_equal(stored("journal/j", 11), 1);
        gw_test_engine_balances(&t);
        end();
    }
}

/*
 * Scenario    a processor in front lets some rows fall; or hands a request on in two pieces; it comes again
 * Guarantees  no piece is taken for the other; each is stored once
 */
static void pieces_are_not_taken_for_each_other(void **state)
{
    (void)state;
    for (unsigned how = DROPS; how <= SPLITS; how++) {
        begin(yaml(on, out), 1);
        odd_rows = how;
        send(10, 4, "");
        send(10, 4, "");
        assert_int_equal(stored("journal/j", 10), 1);
        assert_int_equal(stored("journal/j", 12), 1);
        assert_int_equal(stored("journal/j", 13), how == SPLITS);
        assert_int_equal(repeated("logs"), how == SPLITS ? 2 : 1);
        gw_test_engine_balances(&t);
        end();
    }
}

/*
 * Scenario    two pipelines in front of one journal have the same receiver; a request comes, and comes again
 * Guarantees  each pipeline's copy is stored, once
 */
static void copies_of_one_request_are_not_repetitions(void **state)
{
    (void)state;
    begin(yaml(on, "    logs/in2: { receivers: [scripted], exporters: [journal/j] }\n"), 1);
    send(10, 3, "");
    send(10, 3, "");
    assert_int_equal(stored("journal/j", 11), 2);
    assert_int_equal(repeated("logs"), 2);
    end();
}

/*
 * Scenario    a request comes twice to a journal without dedup, from which a pipeline writes into one that has it
 * Guarantees  what came out of a journal is nobody's repetition: it is stored there twice, too
 */
static void what_was_read_is_not_a_repetition(void **state)
{
    (void)state;
    begin(yaml_of("", on, out), 1);
    send(10, 3, "");
    turn(10);
    send(10, 3, "");
    turn(10);
    assert_int_equal(stored("journal/j", 11), 2);
    assert_int_equal(stored("journal/k", 11), 2);
    end();
}

/*
 * Scenario    several requests in one turn of the loop, some of them known, one twice
 * Guarantees  those that are new are stored, in one commit with the others taken out
 */
static void some_of_a_batch_are_known(void **state)
{
    (void)state;
    begin(yaml(on, out), 1);
    send(10, 3, "");
    send(20, 3, "");
    put(GW_LOGS, 30, 3, "");
    put(GW_LOGS, 10, 3, "");
    put(GW_LOGS, 40, 3, "");
    put(GW_LOGS, 30, 3, "");
    put(GW_LOGS, 20, 3, "");
    turn(8);
    for (unsigned i = 0; i < n_sent; i++)
        assert_int_equal(answer_of(i), 0);
    for (unsigned i = 10; i <= 40; i += 10)
        assert_int_equal(stored("journal/j", i + 2), 1);
    assert_int_equal(repeated("logs"), 3);
    gw_test_engine_balances(&t);
    end();
}

/*
 * Scenario    dedup is set by a reload, has room for no more than 2048 requests, and is taken out by another; 3000 come
 * Guarantees  it holds from then on, the newest 2048 are known, the others counted; then nothing is
 */
static void it_follows_a_reload(void **state)
{
    char text[4000];
    struct gw_err err = {""};

    (void)state;
    begin(yaml("", ""), 1);
    send(10, 1, "");
    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml(", dedup: { window: 1h, max_bytes: 65536 }", ""));
    assert_int_equal(gw_test_engine_reload(&t, text, &err), 0);
    send(10, 1, "");
    send(10, 1, "");
    assert_int_equal(stored("journal/j", 10), 2);
    for (unsigned i = 0; i < 3000; i++) {
        put(GW_LOGS, 100 + i, 1, "");
        if (i % 50 == 0)
            turn(3);
    }
    turn(6);
    assert_int_equal(known(), 2048);
    assert_int_equal(forgotten(), 3001 - 2048);
    send(3099, 1, "");
    assert_int_equal(stored("journal/j", 3099), 1);
    send(100, 1, "");
    assert_int_equal(stored("journal/j", 100), 2);
    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml("", ""));
    assert_int_equal(gw_test_engine_reload(&t, text, &err), 0);
    send(3099, 1, "");
    assert_int_equal(stored("journal/j", 3099), 2);
    assert_int_equal(known(), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_comes_again_is_not_stored_again),
                                       cmocka_unit_test(without_the_setting_all_is_stored),
                                       cmocka_unit_test(it_is_known_after_a_restart),
                                       cmocka_unit_test(who_comes_meanwhile_hears_the_same),
                                       cmocka_unit_test(pieces_are_not_taken_for_each_other),
                                       cmocka_unit_test(copies_of_one_request_are_not_repetitions),
                                       cmocka_unit_test(what_was_read_is_not_a_repetition),
                                       cmocka_unit_test(some_of_a_batch_are_known),
                                       cmocka_unit_test(it_follows_a_reload)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
