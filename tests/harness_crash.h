/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway with a journal that is killed again and again: also while it restores, while commits are under way, with
 * logs that fail and are full, with the power cut, with a clock that steps back, with another number of workers, and
 * reloaded. What comes in and what is behind the journal is the test's; so is the judgement.
 *
 *     gw_crash_draw(&w);  gw_test_logs_begin(seed);  gw_crash_lives(&w, 12, NULL);  gw_crash_end(&w, 160);
 *
 * The first member of the test's world.
 */
#ifndef GW_TESTS_HARNESS_CRASH_H
#define GW_TESTS_HARNESS_CRASH_H

#include "tests/harness_logs.h"

struct gw_crash {
    struct gw_test_engine t;
    uint64_t seed, back_ns;
    /* What a seed is like. */
    bool fsync, steps_back, reloads, other_workers;
    unsigned n_workers, fail, full, delay_ms; /* n_workers: of this life */
    unsigned long long n_crashes;
    const char *logs[3];                           /* the journal's, the queue's, and that of what is kept */
    const char *(*yaml)(const struct gw_crash *w); /* without extensions */
    void (*send)(struct gw_crash *w);              /* a request */
};

/** 0 … n - 1. */
uint64_t gw_crash_any(struct gw_crash *w, uint64_t n);
/** From the seed. */
void gw_crash_draw(struct gw_crash *w);
/** So many lives and deaths. spoil: before each death; may be NULL. */
void gw_crash_lives(struct gw_crash *w, unsigned n, void (*spoil)(struct gw_crash *w));
/** One more, in which nothing fails and nothing comes in, of so many turns of 200 ms; it stays open. */
void gw_crash_end(struct gw_crash *w, unsigned turns);
/** To spoil with: as if nobody had written anything down of what is kept. */
void gw_crash_forget_records(struct gw_crash *w);

#endif
