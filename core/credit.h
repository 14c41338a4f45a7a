/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte budget that many threads draw on. Reserve before allocating, give back when freed.
 *
 * Two marks: over soft_bytes new work is refused at the door; hard_bytes is never passed by a reservation.
 * The accounting is exact: used_bytes is what is reserved at this moment, not a sample.
 */
#ifndef GW_CORE_CREDIT_H
#define GW_CORE_CREDIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gw_credit {
    _Atomic uint64_t used_bytes, drained_bytes; /* drained: of what is held for long, since the start (core/drain.h) */
    _Atomic uint64_t soft_bytes, hard_bytes;
};

static inline void gw_credit_init(struct gw_credit *c, uint64_t soft_bytes, uint64_t hard_bytes)
{
    atomic_init(&c->used_bytes, 0);
    atomic_init(&c->drained_bytes, 0);
    atomic_init(&c->soft_bytes, soft_bytes);
    atomic_init(&c->hard_bytes, hard_bytes);
}

static inline bool gw_credit_take_below(struct gw_credit *c, uint64_t bytes, uint64_t mark)
{
    uint64_t used = atomic_load_explicit(&c->used_bytes, memory_order_relaxed);

    do {
        if (bytes > mark || used > mark - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&c->used_bytes, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/** For new requests: false when it would pass the soft mark. */
static inline bool gw_credit_admit(struct gw_credit *c, uint64_t bytes)
{
    return gw_credit_take_below(c, bytes, atomic_load_explicit(&c->soft_bytes, memory_order_relaxed));
}

/** For what an admitted request grows into: false when it would pass the hard mark. */
static inline bool gw_credit_take(struct gw_credit *c, uint64_t bytes)
{
    return gw_credit_take_below(c, bytes, atomic_load_explicit(&c->hard_bytes, memory_order_relaxed));
}

/** What is there already and only changes hands: no mark is asked. */
static inline void gw_credit_owe(struct gw_credit *c, uint64_t bytes)
{
    atomic_fetch_add_explicit(&c->used_bytes, bytes, memory_order_relaxed);
}

static inline void gw_credit_give(struct gw_credit *c, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&c->used_bytes, bytes, memory_order_relaxed);
}

/** Give back bytes that stood in a queue. What a request takes only while it passes would hide how fast those go. */
static inline void gw_credit_drain(struct gw_credit *c, uint64_t bytes)
{
    gw_credit_give(c, bytes);
    atomic_fetch_add_explicit(&c->drained_bytes, bytes, memory_order_relaxed);
}

/** Queued bytes are copied, and for a moment there twice: no mark is asked, and draining one copy drains nothing. */
static inline void gw_credit_copy(struct gw_credit *c, uint64_t bytes)
{
    atomic_fetch_add_explicit(&c->used_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->drained_bytes, bytes, memory_order_relaxed);
}

#endif
