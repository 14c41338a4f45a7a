/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timer wheel: eight levels of 64 slots over ticks of 2^20 ns (1.05 ms). A timer lies on the level of the highest
 * base-64 digit in which its tick differs from now, in the slot of that digit; when the wheel reaches the slot, its
 * timers move to lower levels. Arming and disarming are O(1); a timer is at most one tick late and never early.
 *
 *   invariant: on each level only slots behind now's own digit are filled, and all higher digits equal now's
 */
#ifndef GW_NET_WHEEL_H
#define GW_NET_WHEEL_H

#include "net/loop.h"

enum { GW_WHEEL_LEVELS = 8, GW_WHEEL_SLOTS = 64, GW_WHEEL_TICK_BITS = 20 };

struct gw_wheel {
    uint64_t tick;                    /* all timers up to here have fired or lie in `due` */
    struct gw_timer *due;             /* armed for the past: next advance */
    uint64_t filled[GW_WHEEL_LEVELS]; /* a bit a slot; may still be set for a slot that was emptied by disarm */
    struct gw_timer *slot[GW_WHEEL_LEVELS][GW_WHEEL_SLOTS];
};

void gw_wheel_init(struct gw_wheel *w, uint64_t now_ns);
/** t->due_ns is set; t is in no list. */
void gw_wheel_insert(struct gw_wheel *w, struct gw_timer *t);
/** Accepts a timer that is in no list. */
void gw_wheel_remove(struct gw_timer *t);
/** When advance has something to do: never later than the first timer needs, may be earlier. UINT64_MAX: never. */
uint64_t gw_wheel_next_ns(struct gw_wheel *w);
/**
 * Fire all timers that are due, tick by tick. A call-back may arm and disarm any timer; one that it arms for the past
 * fires in the next advance, so that this one ends.
 */
void gw_wheel_advance(struct gw_wheel *w, uint64_t now_ns);

#endif
