/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests were stored lately, so that one that its sender repeats is not stored again.
 *
 *   ring     ○ ○ ✗ ○ ○ ◌ ◌       the oldest first: ○ stored, ◌ being written, ✗ could not be
 *                      └──┴── claim   of one commit; whoever repeats its requests meanwhile waits for its outcome
 *   slots    by id ─► place in the ring
 *
 * Requests leave at the old end when the window has passed, or for want of room: 32 bytes a request.
 */
#ifndef GW_CONNECTORS_JOURNAL_SEEN_H
#define GW_CONNECTORS_JOURNAL_SEEN_H

#include "batch/settle.h"
#include "core/credit.h"

struct seen;

struct request_id {
    uint64_t lo, hi;
};

/** Requests that go into one commit, and who waits for them as well. */
struct claim {
    struct seen *seen;
    struct claim *next; /* not done */
    struct repeat *repeats;
    uint32_t n;
    struct request_id ids[];
};

enum seen_as { SEEN_NEVER, SEEN_STORED, SEEN_UNDER_WAY };

struct asked {
    struct request_id id;
    struct gw_ticket *ticket; /* borrowed */
    uint32_t rows;
    enum seen_as is;
};

/** It is off. Owner: borrows memory. Errors: NULL. */
struct seen *gw_journal_seen_new(struct gw_credit *memory);
/** All claims are done. Takes NULL. */
void gw_journal_seen_free(struct seen *s);
/** From now on. window_ns 0: off, everything is forgotten. Threads: any. */
void gw_journal_seen_limit(struct seen *s, uint64_t window_ns, uint64_t max_bytes);
bool gw_journal_seen_is_on(const struct seen *s);
/** Of an earlier process, in the order of their times. */
void gw_journal_seen_put(struct seen *s, struct request_id id, uint64_t time_ns);
uint64_t gw_journal_seen_known(struct seen *s);

/** Room for n requests. Errors: NULL. */
struct claim *gw_journal_claim_new(struct seen *s, uint32_t n);
/**
 * Fills in `is` of each: SEEN_NEVER: it is the claim's now. SEEN_UNDER_WAY: its ticket's rows will be settled with the
 * claim that has it; out of memory: as SEEN_NEVER, but nobody's. Returns how many requests had to be forgotten before
 * their time, since the last call. Threads: any.
 */
uint64_t gw_journal_claim(struct claim *c, uint64_t now_ns, struct asked *asked, uint32_t n);
/**
 * Written, with that time; or not (why_not): then they may come again. Who repeated them meanwhile hears of it.
 * Frees the claim. Threads: any. Takes NULL.
 */
void gw_journal_claim_done(struct claim *c, uint64_t time_ns, const char *why_not);

#endif
