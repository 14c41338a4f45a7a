/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/due.h"

#include <string.h>

#include "processors/common/slots.h"
#include "processors/common/traces.h"

void gw_due_init(struct gw_due *d, const struct gw_slabs *traces, uint64_t tick_ns)
{
    *d = (struct gw_due){.traces = traces, .tick_ns = tick_ns ? tick_ns : 1};
}

static struct gw_trace *trace_at(const struct gw_due *d, uint32_t slot)
{
    return gw_slabs_at(d->traces, slot);
}

/* The first tick that is not before it. */
static uint64_t tick_of(const struct gw_due *d, uint64_t due_ns)
{
    return due_ns / d->tick_ns + (due_ns % d->tick_ns != 0);
}

/* Near is what is at most GW_DUE_NEAR ticks ahead: no wait below that is ever put twice. */
static uint32_t list_of(const struct gw_due *d, uint64_t tick)
{
    uint64_t here = d->cursor / GW_DUE_NEAR, block = tick / GW_DUE_NEAR;

    if (tick - d->cursor < GW_DUE_NEAR)
        return (uint32_t)(tick % GW_DUE_NEAR);
    if (block - here >= GW_DUE_FAR)
        block = here + GW_DUE_FAR - 1;
    return GW_DUE_NEAR + (uint32_t)(block % GW_DUE_FAR);
}

static void put_last(struct gw_due *d, struct gw_trace *t)
{
    uint64_t tick = tick_of(d, t->due_ns);
    uint32_t list = list_of(d, tick > d->cursor ? tick : d->cursor), first = d->lists[list];

    t->wheel_list = (uint16_t)list;
    t->wheel_next = 0;
    t->wheel_before = t->slot;
    if (first) {
        struct gw_trace *head = trace_at(d, first);

        t->wheel_before = head->wheel_before;
        trace_at(d, head->wheel_before)->wheel_next = t->slot;
        head->wheel_before = t->slot;
    } else {
        d->lists[list] = t->slot;
    }
    d->n++;
    d->n_near += list < GW_DUE_NEAR;
    d->is_sorted = false;
}

void gw_due_put(struct gw_due *d, struct gw_trace *t, uint64_t now_ns)
{
    if (d->n == 0)
        d->cursor = now_ns / d->tick_ns;
    put_last(d, t);
}

void gw_due_remove(struct gw_due *d, struct gw_trace *t)
{
    uint32_t first = d->lists[t->wheel_list];

    if (t->slot == first)
        d->lists[t->wheel_list] = t->wheel_next;
    else
        trace_at(d, t->wheel_before)->wheel_next = t->wheel_next;
    if (t->wheel_next)
        trace_at(d, t->wheel_next)->wheel_before = t->wheel_before;
    else if (t->slot != first)
        trace_at(d, first)->wheel_before = t->wheel_before;
    d->n--;
    d->n_near -= t->wheel_list < GW_DUE_NEAR;
}

/* The cursor has come to a new block of ticks: all of them are near now. */
static void spread(struct gw_due *d)
{
    uint32_t list = GW_DUE_NEAR + (uint32_t)(d->cursor / GW_DUE_NEAR % GW_DUE_FAR), slot = d->lists[list];

    d->lists[list] = 0;
    while (slot) {
        struct gw_trace *t = trace_at(d, slot);

        slot = t->wheel_next;
        d->n--;
        put_last(d, t);
    }
}

static int by_time_and_id(const struct gw_trace *a, const struct gw_trace *b)
{
    return a->due_ns != b->due_ns ? (a->due_ns < b->due_ns ? -1 : 1) : memcmp(a->id, b->id, sizeof(a->id));
}

/* The list of the cursor's tick. Returns its first. */
static uint32_t sort(struct gw_due *d, uint32_t first)
{
    uint32_t list = trace_at(d, first)->wheel_list, before = 0;

    first = gw_slots_sort(d->traces, offsetof(struct gw_trace, wheel_next), first, by_time_and_id);
    for (uint32_t slot = first; slot; slot = trace_at(d, slot)->wheel_next) {
        trace_at(d, slot)->wheel_before = before;
        before = slot;
    }
    trace_at(d, first)->wheel_before = before;
    d->lists[list] = first;
    d->is_sorted = true;
    return first;
}

struct gw_trace *gw_due_next(struct gw_due *d, uint64_t now_ns)
{
    uint64_t now = now_ns / d->tick_ns;

    if (d->n == 0)
        return NULL;
    for (;;) {
        uint32_t first = d->lists[d->cursor % GW_DUE_NEAR];
        uint64_t rest = GW_DUE_NEAR - d->cursor % GW_DUE_NEAR; /* of this block */

        if (first && d->is_ordered && !d->is_sorted)
            first = sort(d, first);
        if (first)
            return trace_at(d, first);
        if (d->cursor >= now)
            return NULL;
        d->is_sorted = false;
        if (d->n_near > 0)
            d->cursor++;
        else
            d->cursor = rest < now - d->cursor ? d->cursor + rest : now;
        if (d->cursor % GW_DUE_NEAR == 0)
            spread(d);
    }
}

/* Of ticks some of which are in a far list still. */
static bool begins_block(const struct gw_due *d, uint64_t tick)
{
    return tick % GW_DUE_NEAR == 0 && d->lists[GW_DUE_NEAR + tick / GW_DUE_NEAR % GW_DUE_FAR];
}

uint64_t gw_due_when(const struct gw_due *d)
{
    uint64_t end = d->cursor + GW_DUE_NEAR;

    if (d->n == 0)
        return UINT64_MAX;
    if (d->n_near == 0)
        return (end - d->cursor % GW_DUE_NEAR) * d->tick_ns; /* the next block */
    for (uint64_t tick = d->cursor; tick < end; tick++)
        if (d->lists[tick % GW_DUE_NEAR] || (tick > d->cursor && begins_block(d, tick)))
            return tick * d->tick_ns;
    return d->cursor * d->tick_ns;
}
