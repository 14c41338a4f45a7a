/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the log fails once: the commit says so, nothing is half there, and the log goes on. */
#include "tests/harness_malloc.h"
#include "tests/log/helpers.h"

static bool commit_is_clear(int rc)
{
    return rc == 0 || rc == -ENOMEM;
}

/*
 * A life of a log on the real disk, whose handles are allocated as well. Returns how many frames must be there.
 */
static uint64_t live(struct world *w, uint64_t nth, bool *failed)
{
    static uint8_t body[9000];
    struct gw_log_frame f[3];
    struct one one = {.w = w};
    struct gw_log_reader *r = NULL;
    struct gw_log_entry e;
    struct gw_err err;
    struct gw_log_settle s = {.outcome = GW_LOG_DELIVERED};
    struct gw_log_position pos = {.note = GW_SLICE("a note of some length")};
    uint64_t frames = 0;
    uint32_t id = 0;
    int rc;

    gw_malloc_fail_at(nth);
    w->log = NULL;
    rc = gw_log_files_open(&w->conf, &w->log, &err);
    if (rc < 0) {
        assert_int_equal(rc, -ENOMEM);
        *failed = gw_malloc_failed();
        gw_malloc_fail_at(0);
        return 0;
    }
    rc = gw_log_consumer_open(w->log, "c", GW_LOG_FROM_FIRST, &id);
    assert_true(commit_is_clear(rc));
    for (unsigned i = 0; i < 24; i++) {
        for (unsigned k = 0; k < 3; k++)
            f[k] = (struct gw_log_frame){.rows = 1, .body = {body, 2500}};
        one.c = (struct gw_log_commit){.frames = f, .n_frames = 3, .sync = i % 2, .done = world_done};
        gw_log_submit(w->log, &one.c);
        (void)gw_log_work(w->log);
        assert_true(commit_is_clear(w->rc));
        frames += w->rc == 0 ? 3 : 0;
        if (id == 0 || w->rc < 0)
            continue;
        s.consumer = pos.consumer = id;
        s.seq = s.last_seq = f[1].seq;
        one.c = (struct gw_log_commit){
            .settles = &s, .n_settles = 1, .positions = &pos, .n_positions = i % 4 == 0, .done = world_done};
        gw_log_submit(w->log, &one.c);
        (void)gw_log_work(w->log);
        assert_true(commit_is_clear(w->rc));
    }
    rc = gw_log_reader_new(w->log, &(struct gw_log_reader_conf){.consumer = id}, &r);
    assert_true(commit_is_clear(rc));
    while (rc == 0 && (rc = gw_log_next(r, &e)) > 0)
        rc = 0;
    assert_true(commit_is_clear(rc));
    gw_log_reader_free(r);
    *failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    return frames;
}

/* Guarantees: no crash, no leak, no wrong answer, whichever allocation fails; afterwards all that was promised is read.
 */
static void any_allocation_may_fail(void **state)
{
    uint64_t nth = 1;

    (void)state;
    for (;; nth++) {
        struct world w;
        bool failed;
        uint64_t frames;

        world_init(&w);
        frames = live(&w, nth, &failed);
        world_close(&w);
        world_open(&w);
        assert_int_equal(world_stats(&w).end_seq, frames);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        {
            struct gw_log_reader *r;
            struct gw_log_entry e;

            assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
            for (uint64_t i = 0; i < frames; i++)
                assert_int_equal(gw_log_next(r, &e), 1);
            assert_int_equal(gw_log_next(r, &e), 0);
            gw_log_reader_free(r);
        }
        world_clear(&w);
        if (!failed)
            break;
    }
    printf("%llu allocations failed\n", (unsigned long long)nth - 1);
    assert_true(nth > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_may_fail)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
