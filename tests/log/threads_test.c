/* SPDX-License-Identifier: Apache-2.0 */
/* One writer, many others: submitters, a reader that settles what it reads, one who looks, consumers that come and go.
 */
#include <pthread.h>

#include "tests/log/helpers.h"

enum { SUBMITTERS = 3, COMMITS = 300 };

struct shared {
    struct world w;
    _Atomic unsigned n_done, n_submitted_all;
    _Atomic bool stop, here; /* here: who submits writes by itself, when it can */
    uint32_t consumer;
    unsigned next[SUBMITTERS]; /* of each, to be done */
};

struct commit {
    struct gw_log_commit c;
    struct gw_log_frame f;
    struct gw_log_settle s;
    struct shared *sh;
    unsigned of, number; /* of == SUBMITTERS: the reader's */
    uint8_t body[700];
};

static void count_done(struct gw_log_commit *c, int rc)
{
    struct commit *k = (struct commit *)(void *)c;

    assert_int_equal(rc, 0);
    if (k->of < SUBMITTERS)
        assert_int_equal(k->number, k->sh->next[k->of]++);
    k->sh->n_done++;
    free(k);
}

static struct commit *new_commit(struct shared *sh, unsigned of, unsigned number)
{
    struct commit *k = calloc(1, sizeof(*k));

    assert_non_null(k);
    k->sh = sh;
    k->of = of;
    k->number = number;
    k->c.done = count_done;
    return k;
}

static void *submitter(void *arg)
{
    struct shared *sh = arg;
    unsigned of = sh->n_submitted_all++;

    for (unsigned i = 0; i < COMMITS; i++) {
        struct commit *k = new_commit(sh, of, i);

        k->f = (struct gw_log_frame){.rows = 2, .body = {k->body, sizeof(k->body)}};
        k->c.frames = &k->f;
        k->c.n_frames = 1;
        k->c.sync = i % 16 == 0;
        gw_log_submit(sh->w.log, &k->c);
        if (sh->here)
            (void)gw_log_work_here(sh->w.log);
    }
    return NULL;
}

static void *writer(void *arg)
{
    struct shared *sh = arg;

    while (!sh->stop) {
        (void)gw_log_work(sh->w.log);
        if (sh->here) /* as in a process, where it sleeps most of the time */
            (void)usleep(200);
    }
    return NULL;
}

/* Reads everything, and settles each frame in a commit of its own. */
static void *reader(void *arg)
{
    struct shared *sh = arg;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t n = 0;

    assert_int_equal(gw_log_reader_new(sh->w.log, &(struct gw_log_reader_conf){.consumer = sh->consumer}, &r), 0);
    while (n < SUBMITTERS * COMMITS) {
        struct commit *k;

        if (gw_log_next(r, &e) != 1)
            continue;
        assert_int_equal(e.frame.seq, n);
        assert_int_equal(e.lost_frames, 0);
        n++;
        k = new_commit(sh, SUBMITTERS, 0);
        k->s = (struct gw_log_settle){.consumer = sh->consumer, .seq = e.frame.seq, .last_seq = e.frame.seq};
        k->c.settles = &k->s;
        k->c.n_settles = 1;
        gw_log_submit(sh->w.log, &k->c);
    }
    gw_log_reader_free(r);
    return NULL;
}

static void adds_up(void *arg, const struct gw_log_consumer *c)
{
    uint64_t sum = c->lost_rows;

    (void)arg;
    for (unsigned i = 0; i < GW_LOG_N_OUTCOMES; i++)
        sum += c->settled[i];
    assert_int_equal(sum, c->low_row - c->first_row + c->ahead_rows);
}

static void *looker(void *arg)
{
    struct shared *sh = arg;

    while (!sh->stop) {
        struct gw_log_stats st;
        struct gw_log_producer p;
        uint32_t id;

        assert_int_equal(gw_log_consumers(sh->w.log, adds_up, NULL), 0);
        gw_log_stats(sh->w.log, &st);
        assert_true(st.synced_seq <= st.end_seq && st.first_seq <= st.end_seq);
        assert_int_equal(gw_log_consumer_open(sh->w.log, "guest", GW_LOG_FROM_END, &id), 0);
        assert_int_equal(gw_log_producer(sh->w.log, "graph", &p), 0);
        assert_int_equal(gw_log_consumer_release(sh->w.log, "guest"), 0);
    }
    return NULL;
}

/* Guarantees: every frame is read once in order and settled once, commits are done in the order of their threads; the
 * pictures in between add up. */
static void go(bool here, uint64_t stage_bytes)
{
    static struct shared sh;
    pthread_t t[SUBMITTERS + 3];
    struct gw_log_consumer c;

    memset(&sh, 0, sizeof(sh));
    sh.here = here;
    world_init(&sh.w);
    sh.w.conf.wake = NULL;
    sh.w.conf.retention.until_settled = true;
    sh.w.conf.stage_bytes = stage_bytes;
    world_open(&sh.w);
    assert_int_equal(gw_log_consumer_open(sh.w.log, "reader", GW_LOG_FROM_FIRST, &sh.consumer), 0);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, submitter, &sh), 0);
    assert_int_equal(pthread_create(&t[SUBMITTERS], NULL, reader, &sh), 0);
    assert_int_equal(pthread_create(&t[SUBMITTERS + 1], NULL, writer, &sh), 0);
    assert_int_equal(pthread_create(&t[SUBMITTERS + 2], NULL, looker, &sh), 0);
    for (unsigned i = 0; i <= SUBMITTERS; i++)
        (void)pthread_join(t[i], NULL);
    while (sh.n_done < 2 * SUBMITTERS * COMMITS)
        (void)sched_yield();
    sh.stop = true;
    (void)pthread_join(t[SUBMITTERS + 1], NULL);
    (void)pthread_join(t[SUBMITTERS + 2], NULL);
    c = world_consumer(&sh.w, sh.consumer);
    assert_int_equal(c.settled[GW_LOG_DELIVERED], 2 * SUBMITTERS * COMMITS);
    assert_int_equal(c.low, SUBMITTERS * COMMITS);
    assert_true(world_stats(&sh.w).first_seq > 0);
    world_clear(&sh.w);
}

static void many_threads_one_writer(void **state)
{
    (void)state;
    go(false, 0);
}

static void many_threads_that_write_by_themselves(void **state)
{
    (void)state;
    go(true, 0);
}

/* Its ring turns round all the time under those who read out of it. */
static void many_threads_past_the_page_cache(void **state)
{
    (void)state;
    go(true, 8 << 10);
    go(false, 8 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_threads_one_writer),
                                       cmocka_unit_test(many_threads_that_write_by_themselves),
                                       cmocka_unit_test(many_threads_past_the_page_cache)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
