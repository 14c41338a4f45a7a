/* SPDX-License-Identifier: Apache-2.0 */
/* A journal that gets more partitions, or fewer. */
#include <stdio.h>
#include <string.h>

#include "connectors/journal/journal.h"
#include "core/hash.h"
#include "tests/harness.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

enum { MAX_ROWS = 512 };

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static struct gw_test_engine t;

#define A "    traces/a: { receivers: [journal/j], exporters: [scripted/a] }\n"
#define B "    traces/b: { receivers: [journal/j], exporters: [scripted/b] }\n"

static const char *yaml(const char *settings, const char *behind)
{
    static char text[2000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "exporters:\n"
                   "  scripted/a: { sending_queue: { wait_for_result: true, queue_size: 100 } }\n"
                   "  scripted/b: { sending_queue: { wait_for_result: true, queue_size: 100 } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: trace_id%s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n%s",
                   settings, behind);
    return text;
}

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, 6000000);
}

static void open(const char *settings, const char *behind, unsigned n_workers)
{
    gw_test_logs_engine(&t, yaml(settings, behind), n_workers);
    turn(20);
}

static void close(void)
{
    (void)gw_test_engine_close(&t);
}

static bool refuses(const char *settings, const char *because)
{
    struct gw_err err = {""};
    char text[2200];
    int rc;

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s } }\n%s", gw_test_logs_dir(),
                   yaml(settings, A));
    rc = gw_test_engine_try(&t, text, 1, false, &err);
    if (rc == 0)
        close();
    return rc == -EINVAL && strstr(err.text, because);
}

/* Each span a trace of its own. */
static void send(uint64_t first, unsigned n)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, first, n, (uint32_t)first);
    turn(6);
}

static unsigned hash_of(uint64_t name)
{
    uint64_t id[2] = {name + 1, ~name};

    return (unsigned)(gw_hash_stable(gw_slice_of(id, 16)) % 64);
}

static struct gw_test_sink *sink(const char *exporter)
{
    return gw_test_engine_sink(&t, exporter);
}

/* Rows of `from` on lie in so many partitions, all of which have some. */
static void lie_in(uint64_t from, unsigned n_partitions)
{
    struct gw_log_reader_conf conf = {0};
    uint64_t names[MAX_ROWS], used = 0;
    struct gw_log_reader *r;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(gw_test_log("journal/j"), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1)
        for (unsigned i = gw_test_names(GW_TRACES, e.frame.body, names, MAX_ROWS); i > 0; i--)
            if (names[i - 1] >= from) {
                assert_int_equal(e.frame.partition, hash_of(names[i - 1]) % n_partitions);
                used |= UINT64_C(1) << e.frame.partition;
            }
    gw_log_reader_free(r);
    assert_int_equal(__builtin_popcountll(used), n_partitions);
}

/* What the sink was given: each of first … last once, and of each key's hash in order. Its bodies one at a time. */
struct heard {
    uint64_t last[64]; /* + 1 */
    unsigned n, most;  /* most: bodies that it had at the same time */
};

static void hear(struct heard *h, const char *exporter)
{
    uint64_t names[MAX_ROWS];

    for (unsigned idle = 0; idle < 40; idle++, turn(2)) {
        struct gw_test_sink *s = sink(exporter);

        h->most = s->n_waiting > h->most ? (unsigned)s->n_waiting : h->most;
        if (!s->n_waiting)
            continue;
        idle = 0;
        for (unsigned i = 0, n = gw_test_names(GW_TRACES, s->waiting[0]->body, names, MAX_ROWS); i < n; i++, h->n++) {
            assert_true(names[i] + 1 > h->last[hash_of(names[i])]);
            h->last[hash_of(names[i])] = names[i] + 1;
        }
        assert_true(gw_test_sink_answer(s, &OK));
    }
    gw_test_logs_turn(&t, 2, 2 * S); /* how far it is, is told */
    turn(4);
}

static bool warns(void)
{
    return gw_test_env_logged(&t.te, "workers read for it");
}

#define ALL_NUMBERS                                                                                                    \
    "1 until 1, 2 until 20, 4 until 300, 8 until 4000, 16 until 50000, 32 until 18446744073709551, attributes a, b"

/*
 * Scenario    numbers with and without those of before, as text
 * Guarantees  it is read as it was written, also what was written when there was one number
 */
static void a_text_is_read_as_it_was_written(void **state)
{
    static const char *const texts[] = {"trace_id", "8 partitions by attributes 7 partitions by, b",
                                        "1 until 4711, 8 partitions by service", ALL_NUMBERS};
    struct parting p;
    struct gw_buf out;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        gw_buf_init(&out, 4096);
        gw_journal_parting_read(gw_slice_cstr(texts[i]), &p);
        gw_journal_parting_text(&p, &out);
        assert_true(gw_slice_is(gw_buf_slice(&out), texts[i]));
        gw_buf_clear(&out);
    }
    assert_int_equal(p.n, 64);
    assert_int_equal(p.n_before, 6);
    assert_int_equal(gw_journal_parting_at(&p, 19), 2);
    assert_int_equal(gw_journal_parting_at(&p, 20), 4);
    assert_int_equal(gw_journal_parting_at(&p, UINT64_C(18446744073709551)), 64);
}

/*
 * Scenario    a journal of one worker, all of which has been read; it starts again with two workers, with one and
 *             with two, and dies before and after rows came
 * Guarantees  new rows lie in one, then in eight, and stay in eight; several bodies are under way then; every row
 *             arrives once, those of a key in order
 */
static void more_workers_get_more_partitions(void **state)
{
    struct heard h = {.n = 0};

    (void)state;
    gw_test_logs_begin(1);
    open("", A, 1);
    send(0, 20);
    lie_in(0, 1);
    hear(&h, "scripted/a");
    assert_int_equal(h.most, 1);
    close();
    open("", A, 2);
    assert_false(warns());
    gw_test_logs_crash(&t, true); /* nobody has written down that there are eight */
    open("", A, 1);
    send(100, 20);
    lie_in(0, 1);
    hear(&h, "scripted/a");
    close();
    open("", A, 2);
    send(200, 100);
    lie_in(200, 8);
    gw_test_logs_crash(&t, false);
    open("", A, 2);
    hear(&h, "scripted/a");
    assert_true(h.most > 1);
    close();
    open("", A, 1);
    send(300, 100);
    lie_in(200, 8);
    hear(&h, "scripted/a");
    assert_int_equal(h.n, 240);
    close();
    gw_test_logs_end();
}

/*
 * Scenario    of a journal of one partition not all has been read, when it starts again with two workers; more comes
 *             in; it starts once more; then with a pipeline that is new, from the oldest row on
 * Guarantees  the pipeline reads what lies in eight partitions as one, and says so, and each key's rows come in order;
 *             after it has passed the change it reads eight. The new one reads one, with all keys in order
 */
static void rows_of_before_are_read_in_few(void **state)
{
    struct heard h = {.n = 0}, b = {.n = 0};

    (void)state;
    gw_test_logs_begin(1);
    open("", A, 1);
    for (unsigned i = 0; i < 4; i++)
        send(20 * i, 20);
    close();
    open("", A, 2);
    assert_true(warns());
    for (unsigned i = 4; i < 8; i++)
        send(20 * i, 20);
    lie_in(80, 8);
    hear(&h, "scripted/a");
    assert_int_equal(h.most, 1);
    assert_int_equal(h.n, 160);
    close();
    open("", A, 2);
    assert_false(warns());
    send(200, 100);
    hear(&h, "scripted/a");
    assert_true(h.most > 1);
    assert_int_equal(h.n, 260);
    close();
    open("", A B, 2);
    assert_true(warns());
    hear(&b, "scripted/b");
    assert_int_equal(b.most, 1);
    assert_int_equal(b.n, 260);
    close();
    gw_test_logs_end();
}

static void reload(const char *behind)
{
    struct gw_err err = {""};
    char text[2200];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml("", behind));
    if (gw_test_engine_reload(&t, text, &err) < 0)
        fail_msg("%s", err.text);
    turn(20);
}

/*
 * Scenario    a pipeline reads in one partition of eight, because it had not read all; having done so it is taken out
 * by a reload, and put back Guarantees  it goes on reading in one, whichever worker's lane comes first: every row
 * arrives, in the order of its key
 */
static void a_pipeline_that_comes_back_reads_as_before(void **state)
{
    struct heard h = {.n = 0};

    (void)state;
    gw_test_logs_begin(1);
    open("", A, 1);
    send(0, 20);
    close();
    open("", A, 2);
    assert_true(warns());
    send(20, 20);
    hear(&h, "scripted/a");
    reload("");
    send(40, 40);
    reload(A);
    send(100, 100);
    hear(&h, "scripted/a");
    assert_int_equal(h.n, 180);
    assert_int_equal(h.most, 1);
    close();
    gw_test_logs_end();
}

/*
 * Scenario    a journal of eight partitions that two pipelines read, one of them not to the end; the file says 2, with
 *             rows that were not read, with the pipeline gone, and after it was forgotten; then a new pipeline comes
 * Guarantees  refused while somebody has not read all; then new rows lie in two, nothing comes twice, and the new
 *             pipeline has the rows of each key in order, over what lies in eight and in two
 */
static void fewer_have_to_wait_for_all(void **state)
{
    struct heard a = {.n = 0}, b = {.n = 0};

    (void)state;
    gw_test_logs_begin(1);
    open(", partitions: 8", A B, 1);
    send(0, 100);
    lie_in(0, 8);
    close();
    assert_true(refuses(", partitions: 2", "its data lies in 8, and the file says 2"));
    open(", partitions: 8", A B, 1);
    hear(&a, "scripted/a");
    close();
    assert_true(refuses(", partitions: 2", "its data lies in 8, and the file says 2"));
    open("", A, 1);
    lie_in(0, 8);
    assert_int_equal(gw_log_consumer_release(gw_test_log("journal/j"), "traces/b"), 0);
    close();
    open(", partitions: 2", A B, 1);
    send(100, 100);
    lie_in(100, 2);
    hear(&a, "scripted/a");
    assert_int_equal(a.n, 200);
    hear(&b, "scripted/b");
    assert_int_equal(b.n, 200);
    assert_true(b.most <= 2);
    close();
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_read_as_it_was_written),
        cmocka_unit_test(more_workers_get_more_partitions),
        cmocka_unit_test(rows_of_before_are_read_in_few),
        cmocka_unit_test(a_pipeline_that_comes_back_reads_as_before),
        cmocka_unit_test(fewer_have_to_wait_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
