/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pools of batches and payloads share: a way home from any thread, and a life that ends when the owner has
 * let go and nothing is out any more.
 *
 *   owner:   out ──► item in use ──► any thread: push, drop ──► owner: take
 *
 * refs = 1 for the owner + 1 per item that is out. An item is pushed before its reference is dropped, so whoever drops
 * the last one finds every item in the inbox.
 */
#ifndef GW_BATCH_POOL_H
#define GW_BATCH_POOL_H

#include <stdint.h>

#include "core/inbox.h"

struct gw_pool {
    struct gw_inbox back;
    _Atomic uint32_t refs;
};

static inline void gw_pool_init(struct gw_pool *p)
{
    atomic_init(&p->back.head, NULL);
    atomic_init(&p->refs, 1);
}
static inline void gw_pool_out(struct gw_pool *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}
/** True: that was the last reference, the caller frees what the inbox holds, then the pool. */
static inline bool gw_pool_drop(struct gw_pool *p)
{
    return atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1;
}

#endif
