/* SPDX-License-Identifier: Apache-2.0 */
#include "net/wheel.h"

enum { DIGIT_BITS = 6, DIGIT_MASK = GW_WHEEL_SLOTS - 1 };

void gw_wheel_init(struct gw_wheel *w, uint64_t now_ns)
{
    *w = (struct gw_wheel){.tick = now_ns >> GW_WHEEL_TICK_BITS};
}

static void push(struct gw_timer **head, struct gw_timer *t)
{
    t->next = *head;
    if (t->next)
        t->next->link = &t->next;
    t->link = head;
    *head = t;
}

void gw_wheel_remove(struct gw_timer *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

static uint64_t tick_of(uint64_t ns) /* rounded up: never early */
{
    return (ns >> GW_WHEEL_TICK_BITS) + ((ns & ((1u << GW_WHEEL_TICK_BITS) - 1)) != 0);
}

void gw_wheel_insert(struct gw_wheel *w, struct gw_timer *t)
{
    uint64_t tick = tick_of(t->due_ns);
    unsigned level, digit;

    if (tick <= w->tick) {
        push(&w->due, t);
        return;
    }
    level = (63 - (unsigned)__builtin_clzll(tick ^ w->tick)) / DIGIT_BITS;
    digit = (tick >> (level * DIGIT_BITS)) & DIGIT_MASK;
    push(&w->slot[level][digit], t);
    w->filled[level] |= 1ull << digit;
}

/** The first tick at which a slot has to be looked at. False when all slots are empty. */
static bool next_slot(struct gw_wheel *w, uint64_t *ret_tick, unsigned *ret_level, unsigned *ret_digit)
{
    for (unsigned level = 0; level < GW_WHEEL_LEVELS; level++)
        while (w->filled[level]) {
            unsigned digit = (unsigned)__builtin_ctzll(w->filled[level]), shift = level * DIGIT_BITS;

            if (!w->slot[level][digit]) {
                w->filled[level] &= ~(1ull << digit);
                continue;
            }
            *ret_tick = (w->tick >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS)) | (uint64_t)digit << shift;
            *ret_level = level;
            *ret_digit = digit;
            return true;
        }
    return false;
}

uint64_t gw_wheel_next_ns(struct gw_wheel *w)
{
    uint64_t tick;
    unsigned level, digit;

    if (w->due)
        return 0;
    if (!next_slot(w, &tick, &level, &digit) || tick >> (64 - GW_WHEEL_TICK_BITS))
        return UINT64_MAX;
    return tick << GW_WHEEL_TICK_BITS;
}

/** Take a list off its head, so that what is pushed to the head meanwhile stays apart. */
static struct gw_timer *take(struct gw_timer **head, struct gw_timer **ret_local)
{
    *ret_local = *head;
    *head = NULL;
    if (*ret_local)
        (*ret_local)->link = ret_local;
    return *ret_local;
}

static void fire_all(struct gw_timer **head)
{
    struct gw_timer *local, *t;

    take(head, &local);
    while ((t = local)) { /* a call-back may take others out of `local` */
        gw_wheel_remove(t);
        t->fire(t);
    }
}

void gw_wheel_advance(struct gw_wheel *w, uint64_t now_ns)
{
    uint64_t end = now_ns >> GW_WHEEL_TICK_BITS, tick;
    unsigned level, digit;

    fire_all(&w->due);
    while (next_slot(w, &tick, &level, &digit) && tick <= end) {
        struct gw_timer *local, *t, *now_due = NULL;

        w->tick = tick;
        w->filled[level] &= ~(1ull << digit);
        take(&w->slot[level][digit], &local);
        while ((t = local)) {
            gw_wheel_remove(t);
            if (tick_of(t->due_ns) <= tick)
                push(&now_due, t);
            else
                gw_wheel_insert(w, t);
        }
        fire_all(&now_due);
    }
    if (end > w->tick)
        w->tick = end;
}
