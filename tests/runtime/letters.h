/* SPDX-License-Identifier: Apache-2.0 */
/* A dead letter store in memory, filled by hand. */
#ifndef GW_TESTS_LETTERS_H
#define GW_TESTS_LETTERS_H

#include "log/sim.h"
#include "queue/dead_letter.h"
#include "tests/harness.h"
#include "tests/harness_env.h"
#include "tests/harness_flow.h"

enum { LETTER_BYTES = 1 << 16 };

static inline void letter_written(struct gw_log_commit *c, int rc)
{
    (void)c;
    assert_int_equal(rc, 0);
}

/* One more letter; its time is d->last_ns. */
static inline void put_letter(struct gw_env *env, struct gw_log *log, const struct gw_dead_letter *d)
{
    struct gw_log_frame f = {.time_ns = d->last_ns, .rows = 1, .signal = GW_LOGS};
    struct gw_log_commit c = {.frames = &f, .n_frames = 1, .done = letter_written};
    struct gw_buf b;

    gw_buf_init(&b, LETTER_BYTES);
    gw_dead_letter_put(env, d, &b);
    f.body = gw_buf_slice(&b);
    gw_log_submit(log, &c);
    (void)gw_log_work(log);
    gw_buf_clear(&b);
}

/* A request of so many log records as the letter's body. */
static inline void put_rows(struct gw_env *env, struct gw_log *log, struct gw_dead_letter d, uint64_t first, unsigned n)
{
    struct gw_buf b;

    gw_buf_init(&b, LETTER_BYTES);
    gw_test_request(&b, d.signal, first, n);
    d.body = gw_buf_slice(&b);
    d.rows = n;
    put_letter(env, log, &d);
    gw_buf_clear(&b);
}

static inline void settle_letters(struct gw_log *log, uint32_t consumer, uint64_t from, uint64_t to, uint8_t outcome)
{
    const struct gw_log_settle s = {.consumer = consumer, .outcome = outcome, .seq = from, .last_seq = to};
    struct gw_log_commit c = {.settles = &s, .n_settles = 1, .done = letter_written};

    gw_log_submit(log, &c);
    (void)gw_log_work(log);
}

static inline struct gw_log *new_store(struct gw_env *env)
{
    const struct gw_log_sim_conf conf = {.env = env};
    struct gw_log *log;
    uint32_t id;

    assert_int_equal(gw_log_sim_open(&conf, &log), 0);
    assert_int_equal(gw_log_consumer_open(log, "replayed", GW_LOG_FROM_FIRST, &id), 0);
    return log;
}

#endif
