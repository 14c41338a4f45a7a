/* SPDX-License-Identifier: Apache-2.0 */
/* The books of exporters whose queue is on disk: over restarts, crashes, failing disks and reloads. */
#include "tests/harness.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/loop.h"
#include "queue/edge_impl.h"
#include "runtime/ledger.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

enum { N_REQUESTS = 2000, N_WORKERS = 3, LOOKS = 300, RELOAD_EVERY = 25 };

static struct gw_test_engine t;
static const struct gw_sent_info OK = {.sent = GW_SENT_OK}, BAD = {.sent = GW_SENT_PERMANENT, .reason = "bad"};

/* One exporter; more of its queue's settings, and of the pipeline's. The rig adds the storage itself, but not to a
 * configuration that comes later. */
static const char *yaml(const char *queue, const char *more)
{
    static char text[2][1024];
    static unsigned at;
    char *p = text[at++ % 2];

    (void)snprintf(p, sizeof(text[0]),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { storage: file_storage, num_consumers: 2 %s } } }\n"
                   "service: { extensions: [file_storage], dead_letters: { to: none }, pipelines: { logs: { receivers: "
                   "[scripted], exporters: [scripted] %s } } }\n",
                   queue, more);
    return p;
}

static void reload(const char *to)
{
    struct gw_err err = {""};
    char text[2048];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), to);
    if (gw_test_engine_reload(&t, text, &err) < 0)
        fail_msg("%s", err.text);
}

/* "in=5 out=3 held=2": all that is not 0. */
static const char *book_of(enum gw_book_kind kind, const char *pipeline, const char *component)
{
    static char text[512];
    struct gw_picture *p = gw_ledger_look(t.engine);
    const struct gw_ledger_row *r = NULL;
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].kind == kind && strcmp(p->rows[i].pipeline, pipeline) == 0 &&
            strcmp(p->rows[i].component, component) == 0)
            r = &p->rows[i];
    for (unsigned e = 0; r && e < GW_N_ENTRIES; e++)
        if (r->n[e])
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%llu", n ? " " : "",
                                  gw_entry_name((enum gw_entry)e), (unsigned long long)r->n[e]);
    if (r && r->mismatch)
        (void)snprintf(text + n, sizeof(text) - n, "%smismatch=%lld", n ? " " : "", (long long)r->mismatch);
    gw_picture_free(p);
    return text;
}
#define EXPORTER() book_of(GW_BOOK_EXPORTER, "logs", "scripted")

static void turn(unsigned n, uint64_t ns)
{
    for (unsigned i = 0; i < n; i++) {
        gw_test_logs_turn(&t, 1, ns);
        gw_test_engine_balances(&t);
    }
}

static void send(uint64_t first, unsigned n)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, first, n, 1);
    turn(4, 1000000);
}

static void answer(struct gw_test_sink *s, unsigned n, const struct gw_sent_info *how)
{
    for (unsigned i = 0; i < n; i++) {
        assert_true(gw_test_sink_answer(s, how));
        turn(6, 20000000);
    }
}

static struct gw_test_sink *sink(void)
{
    return gw_test_engine_sink(&t, "scripted");
}

/* Whatever comes within ten seconds; attempts that were not answered in time come again. */
static void answer_all(void)
{
    for (unsigned i = 0; i < 100; i++) {
        turn(1, S / 10);
        while (gw_test_sink_answer(sink(), &OK))
            ;
    }
    turn(6, 20000000);
}

static void ask_log(void *arg, const struct gw_log_consumer *c)
{
    *(uint32_t *)arg = c->id;
}

/* Rows that a reader of the consumer finds open in the log. */
static uint64_t walk_log(void)
{
    struct gw_log *log = gw_test_log("logs");
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry en;
    uint64_t n = 0;

    assert_int_equal(gw_log_consumers(log, ask_log, &conf.consumer), 0);
    assert_int_equal(gw_log_reader_new(log, &conf, &r), 0);
    while (gw_log_next(r, &en) == 1)
        for (unsigned i = 0; i < en.n_open; i++)
            n += en.open[i].rows;
    gw_log_reader_free(r);
    return n;
}

static void begin(const char *config)
{
    gw_test_logs_begin(3);
    gw_test_logs_engine(&t, config, 1);
}

static void end(void)
{
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

/* ---- over restarts ---------------------------------------------------------------------------------------- */

/*
 * Scenario    more than memory takes; some delivered, some dropped; closed, opened again; a crash; opened again
 * Guarantees  the book goes on where it was, and held is what a walk over the log finds
 */
static void a_book_goes_on_over_restarts(void **state)
{
    const char *config = yaml(", max_memory_bytes: 65536", "");

    (void)state;
    begin(config);
    for (unsigned i = 0; i < 5; i++)
        send(1 + i * 2000, 2000);
    assert_string_equal(book_of(GW_BOOK_PIPELINE, "logs", ""), "in=10000 out=10000");
    assert_string_equal(EXPORTER(), "in=10000 held=10000");
    assert_int_equal(walk_log(), 10000);
    answer(sink(), 1, &OK);
    answer(sink(), 1, &BAD);
    assert_string_equal(EXPORTER(), "in=10000 out=2000 dropped=2000 held=6000");
    assert_int_equal(walk_log(), 6000);
    (void)gw_test_engine_close(&t);

    gw_test_logs_engine(&t, config, 1);
    assert_string_equal(EXPORTER(), "in=10000 out=2000 dropped=2000 held=6000");
    send(20001, 3);
    answer(sink(), 1, &OK);
    assert_string_equal(EXPORTER(), "in=10003 out=4000 dropped=2000 held=4003");
    assert_int_equal(walk_log(), 4003);
    assert_true(gw_test_sink_answer(sink(), &OK)); /* delivered, and not noted before the crash */
    gw_test_logs_crash(&t, false);

    gw_test_logs_engine(&t, config, 1);
    assert_string_equal(EXPORTER(), "in=10003 out=4000 dropped=2000 held=4003");
    turn(4, 1000000);
    answer(sink(), 3, &OK);
    assert_string_equal(EXPORTER(), "in=10003 out=8003 dropped=2000");
    assert_int_equal(walk_log(), 0);
    end();
}

/* Scenario: the second of three frames is delivered first, and a restart. Guarantees: it is not held, now or ever. */
static void rows_settled_out_of_order_are_not_held(void **state)
{
    (void)state;
    begin(yaml("", ""));
    for (unsigned i = 0; i < 3; i++)
        send(1 + i * 2, 2);
    assert_true(gw_test_sink_answer_at(sink(), 1, &OK));
    turn(6, 20000000);
    assert_string_equal(EXPORTER(), "in=6 out=2 held=4");
    (void)gw_test_engine_close(&t);
    gw_test_logs_engine(&t, yaml("", ""), 1);
    assert_string_equal(EXPORTER(), "in=6 out=2 held=4");
    turn(4, 1000000);
    assert_string_equal(EXPORTER(), "in=6 out=2 held=4");
    answer_all();
    assert_string_equal(EXPORTER(), "in=6 out=6");
    end();
}

/* ---- on the way to the log -------------------------------------------------------------------------------- */

/* Scenario: the disk takes a second. Guarantees: what is on its way is in the exporter's book. */
static void rows_on_their_way_are_held(void **state)
{
    (void)state;
    begin(yaml("", ""));
    send(1, 3);
    gw_test_log_faults("logs")->max_delay_ns = 10 * S;
    send(4, 5);
    assert_string_equal(book_of(GW_BOOK_PIPELINE, "logs", ""), "in=8 out=8");
    assert_string_equal(EXPORTER(), "in=8 held=8");
    assert_int_equal(sink()->n_waiting, 1);
    answer(sink(), 1, &OK);
    assert_string_equal(EXPORTER(), "in=8 out=3 held=5");
    gw_test_log_faults("logs")->max_delay_ns = 0;
    answer_all();
    assert_string_equal(EXPORTER(), "in=8 out=8");
    end();
}

/* Scenario: the disk is full. Guarantees: refused, for the client has the rows. */
static void what_the_log_does_not_take_is_refused(void **state)
{
    (void)state;
    begin(yaml("", ""));
    send(1, 3);
    gw_test_log_faults("logs")->no_room = true;
    send(4, 5);
    assert_string_equal(EXPORTER(), "in=8 refused=5 held=3");
    gw_test_log_faults("logs")->no_room = false;
    answer(sink(), 1, &OK);
    assert_string_equal(EXPORTER(), "in=8 out=3 refused=5");
    end();
}

/*
 * Scenario    stored means in memory; the disk is full; the queue is batched with what is on disk, and closed
 * Guarantees  what goes through memory is in the book; at the end it is dropped, and the rest stays
 */
static void what_was_promised_goes_through_memory(void **state)
{
    (void)state;
    begin(yaml(", batch: { min_size: 100, flush_timeout: 1s }", ", durability: memory"));
    send(1, 3);
    gw_test_log_faults("logs")->no_room = true;
    send(4, 5);
    assert_string_equal(EXPORTER(), "in=8 held=8");
    turn(3, S / 2);
    answer(sink(), 1, &OK);
    gw_test_log_faults("logs")->no_room = false;
    assert_string_equal(EXPORTER(), "in=8 out=8");
    send(9, 2);
    gw_test_log_faults("logs")->no_room = true;
    send(11, 7);
    (void)gw_engine_stop(t.engine);
    assert_string_equal(EXPORTER(), "in=17 out=8 dropped=7 held=2");
    end();
}

/* ---- damage ----------------------------------------------------------------------------------------------- */

static const char *counted_lost(void)
{
    static char text[32];
    const struct gw_label l[] = {
        {"component", "scripted"}, {"pipeline", "logs"}, {"signal", "logs"}, {"reason", "log_damaged"}};

    (void)snprintf(text, sizeof(text), "%llu",
                   (unsigned long long)gw_test_engine_metric(&t, "staunch_dropped_items", l, 4));
    return text;
}

/*
 * Scenario    frames on disk are damaged while rows behind them are settled; then all of it again after a restart
 * Guarantees  lost rows are dropped, once, wherever they stand
 */
static void damaged_rows_are_dropped_once(void **state)
{
    const char *config = yaml(", max_memory_bytes: 65536", "");

    (void)state;
    begin(config);
    send(1, 2000);
    send(2001, 2000); /* on disk only, from here on */
    gw_test_log_faults("logs")->damage_permille = 1000;
    send(4001, 2000);
    gw_test_log_faults("logs")->damage_permille = 0;
    send(6001, 2000);
    assert_string_equal(EXPORTER(), "in=8000 held=8000");
    answer(sink(), 2, &OK);
    assert_string_equal(EXPORTER(), "in=8000 out=4000 dropped=2000 held=2000");
    assert_string_equal(counted_lost(), "2000");
    (void)gw_test_engine_close(&t);
    gw_test_logs_engine(&t, config, 1);
    assert_string_equal(EXPORTER(), "in=8000 out=4000 dropped=2000 held=2000");
    turn(4, 1000000);
    answer(sink(), 1, &OK);
    assert_string_equal(EXPORTER(), "in=8000 out=6000 dropped=2000");
    assert_string_equal(counted_lost(), "0");
    end();
}

/* ---- reloads ---------------------------------------------------------------------------------------------- */

/*
 * Scenario    two jobs under way and more in memory; the settings change while rows come, and are on their way to the
 *             disk; the old exporter delivers one, drops one and is cut off with the others
 * Guarantees  one book: at each step all rows are in it
 */
static void a_successor_goes_on_with_the_book(void **state)
{
    struct gw_test_sink *old;

    (void)state;
    begin(yaml("", ""));
    for (unsigned i = 0; i < 6; i++)
        send(1 + i * 10, 10);
    old = sink();
    reload(yaml(", queue_size: 500", ""));
    gw_test_engine_balances(&t);
    turn(2, 0);
    gw_test_log_faults("logs")->max_delay_ns = 3 * S;
    send(61, 5);
    assert_string_equal(EXPORTER(), "in=65 held=65");
    answer(old, 1, &OK);
    answer(old, 1, &BAD);
    assert_string_equal(EXPORTER(), "in=65 out=10 dropped=10 held=45");
    turn(10, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_string_equal(EXPORTER(), "in=65 out=10 dropped=10 held=45");
    send(66, 5);
    gw_test_log_faults("logs")->max_delay_ns = 0;
    answer_all();
    assert_string_equal(EXPORTER(), "in=70 out=60 dropped=10");
    end();
}

/* Scenario: what was sent cannot be noted, and the settings change. Guarantees: the rows are sent again, and the book
 * says that they are there twice. */
static void what_was_not_noted_is_there_again(void **state)
{
    struct gw_test_sink *old;

    (void)state;
    begin(yaml("", ""));
    send(1, 4);
    send(5, 3);
    old = sink();
    gw_test_log_faults("logs")->fail_permille = 1000;
    answer(old, 1, &OK);
    reload(yaml(", queue_size: 500", ""));
    turn(10, S);
    gw_test_log_faults("logs")->fail_permille = 0;
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_string_equal(EXPORTER(), "in=7 created=4 out=4 held=7");
    answer_all();
    assert_string_equal(EXPORTER(), "in=7 created=4 out=11");
    end();
}

/* Scenario: the exporter leaves the configuration with rows that are on its sink's way, and comes back. Guarantees: its
 * book goes on. */
static void an_exporter_that_comes_back_goes_on(void **state)
{
    (void)state;
    begin(yaml("", ""));
    send(1, 4);
    reload("receivers: { scripted: }\nexporters: { nop: }\nservice: { extensions: [file_storage], dead_letters: { to: "
           "none }, pipelines: { logs: { receivers: [scripted], exporters: [nop] } } }\n");
    turn(4, S);
    assert_string_equal(EXPORTER(), "in=4 held=4");
    send(5, 2); /* none of its */
    reload(yaml("", ""));
    turn(4, S);
    send(7, 3);
    turn(10, S);
    answer_all();
    assert_string_equal(EXPORTER(), "in=7 out=7");
    end();
}

/* ---- behind its back -------------------------------------------------------------------------------------- */

/* Scenario: rows out of the log are lost in memory, or passed over. Guarantees: missed; they come again with a restart.
 */
static void rows_that_are_lost_are_missed(void **state)
{
    struct gw_feed *f;
    struct gw_chunk *c;
    struct gw_job *j;

    (void)state;
    begin(yaml("", ""));
    send(1, 4);
    f = gw_engine_edge(t.engine, "scripted")->feeds;
    j = f->lane->jobs;
    assert_non_null(j);
    c = j->chunk;
    j->a.rows -= 3;
    assert_string_equal(EXPORTER(), "in=4 held=1 mismatch=3");
    j->a.rows += 3;
    assert_string_equal(EXPORTER(), "in=4 held=4");
    c->book = NULL;
    assert_string_equal(EXPORTER(), "in=4 mismatch=4");
    c->book = f->book;
    f->next_row += 2; /* as if a frame had been taken that is nowhere */
    assert_string_equal(EXPORTER(), "in=4 held=2 mismatch=2");
    f->next_row -= 2;
    f->lane->jobs = NULL;
    assert_string_equal(EXPORTER(), "in=4 mismatch=4");
    f->lane->jobs = j;
    gw_test_engine_abandon(&t);
    gw_test_logs_engine(&t, yaml("", ""), 1);
    assert_string_equal(EXPORTER(), "in=4 held=4");
    end();
}

/* ---- while everything moves ------------------------------------------------------------------------------- */

static char dir[40];

static const char *moving(unsigned queue_size)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text),
                   "extensions: { file_storage: { directory: %s, fsync: false } }\n"
                   "receivers: { pump: { requests: %d, rows: 3 } }\n"
                   "exporters:\n"
                   "  scripted: { at_once: true, fails: 7, sending_queue: { storage: file_storage, queue_size: %u, "
                   "max_memory_bytes: 65536 }, ports: { dead_letter: [scripted/c] } }\n"
                   "  scripted/b: { at_once: true, sending_queue: { storage: file_storage, batch: { flush_timeout: 1ms "
                   "} } }\n"
                   "  scripted/c: { at_once: true, sending_queue: { storage: file_storage } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs: { receivers: [pump], exporters: [scripted, scripted/b] }\n",
                   dir, N_REQUESTS, queue_size);
    return text;
}

static uint64_t entry(const struct gw_picture *p, enum gw_book_kind kind, const char *component, enum gw_entry e)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].kind == kind && strcmp(p->rows[i].component, component) == 0)
            return p->rows[i].n[e];
    return 0;
}

/* A picture is of one moment: what the pipeline has handed on is what the log's exporters were given, to the row. */
static uint64_t look(void)
{
    struct gw_picture *p = gw_ledger_look(t.engine);
    uint64_t out = entry(p, GW_BOOK_PIPELINE, "", GW_E_OUT);
    struct gw_buf text;

    if (p->mismatch) {
        gw_buf_init(&text, 1 << 20);
        gw_picture_table(p, &text);
        gw_buf_put_u8(&text, 0);
        print_error("%s", (const char *)text.p);
        gw_buf_clear(&text);
    }
    assert_int_equal(p->mismatch, 0);
    assert_int_equal(entry(p, GW_BOOK_EXPORTER, "scripted", GW_E_IN), out);
    assert_int_equal(entry(p, GW_BOOK_EXPORTER, "scripted/b", GW_E_IN), out);
    gw_picture_free(p);
    return out;
}

static bool is_through(const struct gw_test_pump *p)
{
    return p->n_ok + p->n_refused + p->n_failed >= (uint64_t)N_REQUESTS * N_WORKERS;
}

/*
 * Scenario    three workers, queues on a real disk that are behind and in step by turns, dead letters into one more;
 *             pictures are taken again and again, and the settings change now and then
 * Guarantees  each one balances to the row, and across the log
 */
static void pictures_of_moving_queues_balance(void **state)
{
    struct gw_test_pump *p;
    uint64_t last = 0, now;
    unsigned n_moving = 0;
    struct gw_err err;
    char command[64];

    (void)state;
    (void)strcpy(dir, "/tmp/gw-ledger-XXXXXX");
    assert_non_null(mkdtemp(dir));
    gw_test_engine_open(&t, moving(1000), N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    /* The other threads may have to wait for a processor, or this one: then all is through before it has looked. */
    for (unsigned i = 0; i < LOOKS || (n_moving <= 5 && !is_through(p)); i++) {
        now = look();
        n_moving += now > last;
        last = now;
        if (i % RELOAD_EVERY == RELOAD_EVERY - 1)
            assert_int_equal(gw_test_engine_reload(&t, moving(1000 + i), &err), 0);
        gw_loop_turn(t.loop, 0);
        gw_engine_tend(t.engine);
        (void)sched_yield();
    }
    while (!is_through(p))
        gw_loop_turn(t.loop, 1000000);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine)) {
        gw_loop_turn(t.loop, 1000000);
        gw_engine_tend(t.engine);
    }
    (void)look();
    assert_int_equal(gw_test_engine_close(&t), 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_book_goes_on_over_restarts),
        cmocka_unit_test(rows_settled_out_of_order_are_not_held),
        cmocka_unit_test(rows_on_their_way_are_held),
        cmocka_unit_test(what_the_log_does_not_take_is_refused),
        cmocka_unit_test(what_was_promised_goes_through_memory),
        cmocka_unit_test(damaged_rows_are_dropped_once),
        cmocka_unit_test(a_successor_goes_on_with_the_book),
        cmocka_unit_test(what_was_not_noted_is_there_again),
        cmocka_unit_test(an_exporter_that_comes_back_goes_on),
        cmocka_unit_test(rows_that_are_lost_are_missed),
        cmocka_unit_test(pictures_of_moving_queues_balance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
