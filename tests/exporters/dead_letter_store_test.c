/* SPDX-License-Identifier: Apache-2.0 */
/* On a log that is a list of what was submitted: the test says when a commit is done, and how. */
#include <stdio.h>

#include "core/meter.h"
#include "otlp-proto/decode.h"
#include "queue/dead_letter.h"
#include "tests/harness_exporter.h"

enum { MAX_COMMITS = 8 };

static struct paper {
    struct gw_log log; /* first */
    struct gw_log_commit *commits[MAX_COMMITS];
    unsigned n, n_opened;
    struct gw_host_log asked;
    char storage[40], consumer[40];
    enum gw_log_start from;
    struct gw_storage st;
    uint64_t dropped, end_row, low_row;
} paper;

static void submit(struct gw_log *l, struct gw_log_commit *c)
{
    (void)l;
    assert_true(paper.n < MAX_COMMITS);
    paper.commits[paper.n++] = c;
}

static int consumer_open(struct gw_log *l, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    (void)l;
    (void)snprintf(paper.consumer, sizeof(paper.consumer), "%s", name);
    paper.from = start;
    *ret_id = 3;
    return 0;
}

static int consumers(struct gw_log *l, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg)
{
    struct gw_log_consumer other = {.id = 1}, ours = {.id = 3, .low_row = paper.low_row, .ahead_rows = 1};

    (void)l;
    other.settled[GW_LOG_DROPPED] = 99;
    ours.settled[GW_LOG_DROPPED] = paper.dropped;
    each(arg, &other);
    each(arg, &ours);
    return 0;
}

static void stats(struct gw_log *l, struct gw_log_stats *ret)
{
    (void)l;
    *ret = (struct gw_log_stats){.bytes = 4711, .end_row = paper.end_row};
}

static const struct gw_log_ops log_ops = {
    .submit = submit, .consumer_open = consumer_open, .consumers = consumers, .stats = stats};

static int open_log(struct gw_host *h, const struct gw_host_log *what, struct gw_log **ret, struct gw_err *err)
{
    (void)h;
    (void)err;
    paper.asked = *what;
    paper.n_opened++;
    *ret = &paper.log;
    return 0;
}

static int storage(struct gw_host *h, const char *id, struct gw_storage *ret, struct gw_err *err)
{
    (void)h;
    (void)snprintf(paper.storage, sizeof(paper.storage), "%s", id);
    if (strcmp(id, "file_storage/none") == 0)
        return gw_fail(err, -ENOENT, "no such storage");
    *ret = paper.st;
    return 0;
}

static const struct gw_host_ops host_ops = {.log = open_log, .storage = storage};

static void open_store(struct gw_rig *r, const char *yaml, bool sync)
{
    memset(&paper, 0, sizeof(paper));
    paper.log.ops = &log_ops;
    paper.st = (struct gw_storage){.directory = "/var/lib/x", .sync = sync};
    assert_int_equal(gw_rig_configure(r, "dead_letter_store", yaml), 0);
    r->host.ops = &host_ops;
    r->meter = gw_meter_new();
    assert_int_equal(gw_rig_start(r), 0);
}

static void close_store(struct gw_rig *r)
{
    gw_rig_close(r);
    gw_meter_free(r->meter);
}

static void put_letter(struct gw_rig *r, struct gw_buf *out, const char *reason)
{
    const struct gw_dead_letter d = {
        .class_ = "schema", .reason = reason, .signal = GW_TRACES, .rows = 1, .body = GW_SLICE("the row")};

    gw_dead_letter_put(r->env, &d, out);
}

static void answer(struct gw_rig *r, unsigned i, int rc)
{
    paper.commits[i]->done(paper.commits[i], rc);
    gw_loop_turn(r->loop, 0);
}

/*
 * Scenario    three letters in one body, with a storage that syncs and with one that does not
 * Guarantees  a frame of one row for each, whole and in order, in one commit that is synced as the storage says; the
 *             attempt is done when the commit is, not before
 */
static void each_letter_is_a_frame(void **state)
{
    struct gw_buf body, one;
    struct gw_rig r;

    (void)state;
    for (unsigned sync = 0; sync < 2; sync++) {
        open_store(&r, "{}", sync);
        gw_buf_init(&body, 65536);
        gw_buf_init(&one, 65536);
        put_letter(&r, &body, "first");
        gw_buf_put_slice(&one, gw_buf_slice(&body));
        put_letter(&r, &body, "second");
        put_letter(&r, &body, "third");
        gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), 3);
        assert_int_equal(paper.n, 1);
        assert_int_equal(paper.commits[0]->n_frames, 3);
        assert_int_equal(paper.commits[0]->n_settles, 0);
        assert_int_equal(paper.commits[0]->sync, sync);
        assert_true(gw_slice_eq(paper.commits[0]->frames[0].body, gw_buf_slice(&one)));
        for (unsigned i = 0; i < 3; i++) {
            const struct gw_log_frame *f = &paper.commits[0]->frames[i];
            uint32_t rows;

            assert_int_equal(f->rows, 1);
            assert_int_equal(f->signal, GW_LOGS);
            assert_int_equal(f->time_ns, gw_wall_ns(r.env));
            assert_int_equal(gw_count_rows(GW_LOGS, f->body, &rows), 0);
            assert_int_equal(rows, 1);
        }
        gw_loop_turn(r.loop, 0);
        assert_int_equal(r.done, 0);
        answer(&r, 0, 0);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_buf_clear(&body);
        gw_buf_clear(&one);
        close_store(&r);
    }
}

/*
 * Scenario    the log has no room, is over its limit, fails, and finds a letter too large; a body that is no request
 * Guarantees  the first three are to be tried again, by name; the fourth is to be split; the last is permanent and
 *             nothing of it is written
 */
static void what_the_log_does_not_take_is_tried_again(void **state)
{
    static const struct {
        int rc;
        enum gw_sent sent;
        const char *reason;
    } t[] = {{-ENOSPC, GW_SENT_RETRY, "no_space"},
             {-EDQUOT, GW_SENT_RETRY, "quota"},
             {-EIO, GW_SENT_RETRY, "store_failed"},
             {-E2BIG, GW_SENT_TOO_LARGE, "store_failed"}};
    struct gw_buf body;
    struct gw_rig r;

    (void)state;
    open_store(&r, "{}", false);
    gw_buf_init(&body, 65536);
    put_letter(&r, &body, "x");
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), 1);
        answer(&r, i, t[i].rc);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, t[i].sent);
        assert_string_equal(r.reason, t[i].reason);
    }
    gw_rig_send(&r, GW_LOGS, GW_SLICE("\x0a\x7f no such length"), 1);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_int_equal(paper.n, 4);
    gw_buf_clear(&body);
    close_store(&r);
}

/*
 * Scenario    storage, max_size_mib and max_age set and not set; a storage that is not there
 * Guarantees  the log is asked for with these limits, keeps what is not settled, and has the consumer "replayed" from
 *             its first frame; without a storage it does not start
 */
static void the_log_is_asked_for_as_configured(void **state)
{
    struct gw_rig r;

    (void)state;
    open_store(&r, "{}", false);
    assert_string_equal(paper.storage, "");
    assert_string_equal(paper.asked.kind, "dead_letters");
    assert_string_equal(paper.asked.name, "");
    assert_true(paper.asked.retention.until_settled);
    assert_int_equal(paper.asked.retention.max_bytes, 1ull << 30);
    assert_int_equal(paper.asked.retention.max_age_ns, 720ull * 3600 * 1000000000);
    assert_string_equal(paper.consumer, "replayed");
    assert_int_equal(paper.from, GW_LOG_FROM_FIRST);
    close_store(&r);
    open_store(&r, "{storage: file_storage/x, max_size_mib: 5, max_age: 2h}", false);
    assert_string_equal(paper.storage, "file_storage/x");
    assert_int_equal(paper.asked.retention.max_bytes, 5 << 20);
    assert_int_equal(paper.asked.retention.max_age_ns, 2ull * 3600 * 1000000000);
    close_store(&r);
    assert_int_equal(gw_rig_configure(&r, "dead_letter_store", "{storage: file_storage/none}"), 0);
    r.host.ops = &host_ops;
    assert_int_equal(gw_rig_start(&r), -ENOENT);
    gw_rig_close(&r);
}

/*
 * Scenario    no settings, and the queue's own
 * Guarantees  retries do not end and the queue is bounded by bytes, unless the file says otherwise
 */
static void letters_are_not_given_up(void **state)
{
    struct gw_rig r;

    (void)state;
    open_store(&r, "{}", false);
    assert_true(r.queue.queue.enabled);
    assert_int_equal(r.queue.queue.sizer, GW_SIZER_BYTES);
    assert_int_equal(r.queue.queue.queue_size, 64 << 20);
    assert_int_equal(r.queue.retry.max_elapsed_time_ns, 0);
    assert_int_equal(r.queue.timeout_ns, 0);
    close_store(&r);
}

static uint64_t gauge(struct gw_rig *r, const char *name)
{
    const struct gw_label l = {"exporter", r->ctx.id};

    return gw_metric_value(gw_meter_get(r->meter, GW_GAUGE, name, "", &l, 1));
}

/*
 * Scenario    ten letters, six behind the low mark, one settled above it, two that grew too old
 * Guarantees  the self-metrics say three are kept, two expired, and the size
 */
static void the_metrics_tell_what_is_kept(void **state)
{
    struct gw_rig r;

    (void)state;
    open_store(&r, "{}", false);
    paper.end_row = 10;
    paper.low_row = 6;
    paper.dropped = 2;
    assert_int_equal(gauge(&r, "staunch_dead_letters"), 3);
    assert_int_equal(gauge(&r, "staunch_dead_letters_expired"), 2);
    assert_int_equal(gauge(&r, "staunch_dead_letter_store_bytes"), 4711);
    close_store(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_letter_is_a_frame),
        cmocka_unit_test(what_the_log_does_not_take_is_tried_again),
        cmocka_unit_test(the_log_is_asked_for_as_configured),
        cmocka_unit_test(letters_are_not_given_up),
        cmocka_unit_test(the_metrics_tell_what_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
