/* SPDX-License-Identifier: Apache-2.0 */
/* Commits for tests of logs: small, with room of their own, and with a memory of how they ended. */
#ifndef GW_TESTS_HARNESS_LOG_H
#define GW_TESTS_HARNESS_LOG_H

#include "log/log.h"

enum { GW_TEST_LOG_ITEMS = 8 };

struct gw_test_commit {
    struct gw_log_commit c; /* first */
    struct gw_log_frame frames[GW_TEST_LOG_ITEMS];
    struct gw_log_settle settles[GW_TEST_LOG_ITEMS];
    struct gw_log_position positions[GW_TEST_LOG_ITEMS];
    unsigned n_done;
    int rc;
};

/** An empty commit; may be used again when it is done. */
void gw_test_commit_init(struct gw_test_commit *t);
/** The frame, to be changed as wanted; body is borrowed until the commit is done. */
struct gw_log_frame *gw_test_commit_append(struct gw_test_commit *t, const char *body, uint32_t rows);
/** Rows [first, first + rows) of the frame seq, which has frame_rows. rows 0: the frame whole. */
void gw_test_commit_settle(struct gw_test_commit *t, uint32_t consumer, uint64_t seq, uint32_t first, uint32_t rows,
                           uint32_t frame_rows);
void gw_test_commit_position(struct gw_test_commit *t, uint32_t consumer, uint16_t partition, uint64_t next_seq,
                             const char *note);
/** Submit, work until it is done (without moving a clock: at most a few times), and give its rc. */
int gw_test_commit_go(struct gw_test_commit *t, struct gw_log *l);
/** Append one frame alone; fails the test when that fails. Returns its seq. */
uint64_t gw_test_log_put(struct gw_log *l, const char *body, uint32_t rows);
/** Settle all of one frame; fails the test when that fails. */
void gw_test_log_settle(struct gw_log *l, uint32_t consumer, uint64_t seq);
bool gw_test_log_has_consumer(struct gw_log *l, const char *name);
/** The consumer of that name; fails the test when there is none. */
struct gw_log_consumer gw_test_log_consumer(struct gw_log *l, const char *name);
/** What `next` gives until there is none: "body:rows[open,…]" with a blank between, terminated. Returns frames. */
unsigned gw_test_log_read(struct gw_log_reader *r, char *ret, size_t size);

#endif
