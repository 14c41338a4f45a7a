/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mode: two_pass knows of a trace while the journal has its spans: no span, but what policies were told, and in
 * which steps its rows came.
 *
 *   index   trace id ─► sums of that id, each of other steps (one was decided and forgotten, and the id came again)
 *   order   by the step in which the last row came: what the second pass has passed stands in front
 *   open    not decided, by the step in which the first row came, then by ids (gw_sums_order)
 *   rooted  of these, whose root has come, by the step in which it came, then by ids; with
 * decision_wait_after_root_received
 *
 * Steps are numbers modulo 2^32 of tenths of a second (pipeline/keep.h): all there are lie within some years.
 *
 * Threads   one
 * Memory    72 bytes a sum, 8 for each further 64 predicates and for each thing that settings ask for (gw_sums_conf),
 *           and 8 to 12 for link and index; exact in gw_sums_held_bytes, charged to the process
 */
#ifndef GW_TAIL_SAMPLING_SUMS_H
#define GW_TAIL_SAMPLING_SUMS_H

#include "core/env.h"
#include "processors/common/slabs.h"
#include "processors/tail_sampling/policy.h"

struct gw_sums_conf {
    struct gw_env *env;                                 /* random numbers: the hash's seed */
    struct gw_credit *memory;                           /* the process'; or NULL */
    uint64_t max_bytes;                                 /* 0: no limit */
    uint32_t n_words;                                   /* of predicates: 0 … GW_FACT_WORDS */
    bool running, wire_bytes, framed_bytes, randomness; /* of gw_trace_facts: is it asked for? Else it is 0 */
    bool rooted;                                        /* the list of these is kept */
};

enum gw_sum_flags {
    GW_SUM_OPEN = 1,
    GW_SUM_LINKED = 2,
    GW_SUM_CACHED = 4, /* its rows followed a decision that was remembered */
    GW_SUM_LEFT = 8,   /* they left, or were dropped, in the first pass */
    GW_SUM_ROOT = 16,  /* and the other facts that are yes or no */
    GW_SUM_RANDOM = 32,
    GW_SUM_INFO = 64,
    GW_SUM_BAD_STATE = 128,
};

/** One trace. Its address stands until it is dropped. */
struct gw_sum {
    uint8_t id[16];
    uint32_t number;        /* of its item */
    uint32_t older, newer;  /* order */
    uint32_t before, after; /* open */
    uint32_t first, last;   /* steps; first: at or before its first row */
    uint32_t n_spans;
    uint16_t reason;
    uint8_t flags, is_rooted;
    uint64_t min_start_ns, max_end_ns;
    uint64_t more[];
};

struct gw_sums;

/** Errors: NULL, no memory. */
struct gw_sums *gw_sums_new(const struct gw_sums_conf *conf);
void gw_sums_free(struct gw_sums *s);
/** Another one; what is there stays. 0: none. */
void gw_sums_limit(struct gw_sums *s, uint64_t max_bytes);

static inline uint32_t gw_step_of(uint64_t ns)
{
    return (uint32_t)(ns / 100000000u);
}
/** Is step a before step b? */
static inline bool gw_step_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/** The one whose rows came last, or NULL. */
struct gw_sum *gw_sums_find(struct gw_sums *s, const uint8_t id[16]);
/** Which the rows of that step belong to, or NULL. */
struct gw_sum *gw_sums_find_at(struct gw_sums *s, const uint8_t id[16], uint32_t step);
/** A new one, decided; all others of the id are of steps before. NULL: no room. */
struct gw_sum *gw_sums_add(struct gw_sums *s, const uint8_t id[16], uint32_t step);
/** It waits for its decision; nothing is known of it. At once after add. */
void gw_sums_open(struct gw_sums *s, struct gw_sum *t);
/** It is decided. */
void gw_sums_shut(struct gw_sums *s, struct gw_sum *t);
/** Rows came, in a step that is not before any that was told. */
void gw_sums_touch(struct gw_sums *s, struct gw_sum *t, uint32_t step);
/** Its root has come. */
void gw_sums_root(struct gw_sums *s, struct gw_sum *t, uint32_t step);
/** A step has ended: what was opened, and what was rooted in it, is by ids from now on. */
void gw_sums_order(struct gw_sums *s);
void gw_sums_drop(struct gw_sums *s, struct gw_sum *t);

void gw_sums_get(const struct gw_sums *s, const struct gw_sum *t, struct gw_trace_facts *ret);
void gw_sums_put(struct gw_sums *s, struct gw_sum *t, const struct gw_trace_facts *f);

/** First of order, of open, of rooted; or NULL. */
struct gw_sum *gw_sums_first(const struct gw_sums *s);
struct gw_sum *gw_sums_next(const struct gw_sums *s, const struct gw_sum *t);
struct gw_sum *gw_sums_oldest(const struct gw_sums *s);
struct gw_sum *gw_sums_rooted(const struct gw_sums *s, uint32_t *ret_step);

uint64_t gw_sums_n(const struct gw_sums *s);
uint64_t gw_sums_n_open(const struct gw_sums *s);
/** What each of them wants, with its link. */
uint64_t gw_sums_item_bytes(const struct gw_sums *s);
uint64_t gw_sums_held_bytes(const struct gw_sums *s);
/** Memory that was not needed for a while goes to the system. Every some seconds. */
void gw_sums_age(struct gw_sums *s);

#endif
