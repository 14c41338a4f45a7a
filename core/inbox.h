/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way between threads: many writers, one reader, intrusive, lock-free.
 *
 *   writers:  push (compare-and-swap on the head)          reader:  take all (exchange), in order of pushing
 *
 * It has no bound of its own: what is pushed must have been charged to a credit (core/credit.h) or a queue.
 * push tells whether the inbox was empty, so that the writer wakes the reader once per burst
 * (gw_loop_wake, net/loop.h).
 */
#ifndef GW_CORE_INBOX_H
#define GW_CORE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct gw_inbox_item {
    struct gw_inbox_item *next;
};

struct gw_inbox {
    _Atomic(struct gw_inbox_item *) head;
};

/** Threads: any. Returns true when the inbox was empty before: wake the reader. */
static inline bool gw_inbox_push(struct gw_inbox *in, struct gw_inbox_item *item)
{
    struct gw_inbox_item *old = atomic_load_explicit(&in->head, memory_order_relaxed);

    do {
        item->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&in->head, &old, item, memory_order_release, memory_order_relaxed));
    return old == NULL;
}

/** Threads: the reader. Gives the items, oldest first, linked by next; NULL when there are none. */
static inline struct gw_inbox_item *gw_inbox_take(struct gw_inbox *in)
{
    struct gw_inbox_item *i = atomic_exchange_explicit(&in->head, NULL, memory_order_acquire), *list = NULL;

    while (i) {
        struct gw_inbox_item *next = i->next;

        i->next = list;
        list = i;
        i = next;
    }
    return list;
}

static inline bool gw_inbox_is_empty(struct gw_inbox *in)
{
    return atomic_load_explicit(&in->head, memory_order_relaxed) == NULL;
}

#endif
