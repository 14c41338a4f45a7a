/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/slots.h"

#include <string.h>

#include "processors/common/traces_priv.h"

enum { MAX_RUNS = 32 }; /* of 1, 2, 4, … traces: slots are 32 bits */

struct sorting {
    const struct gw_slabs *traces;
    size_t link;
    int (*compare)(const struct gw_trace *a, const struct gw_trace *b);
};

static uint32_t *link_of(const struct sorting *k, uint32_t slot)
{
    return (uint32_t *)(void *)((uint8_t *)gw_slabs_at(k->traces, slot) + k->link);
}

static uint32_t merge(const struct sorting *k, uint32_t a, uint32_t b)
{
    uint32_t first = 0, *last = &first;

    while (a && b) {
        uint32_t *from = k->compare(gw_slabs_at(k->traces, b), gw_slabs_at(k->traces, a)) < 0 ? &b : &a;

        *last = *from;
        last = link_of(k, *from);
        *from = *last;
    }
    *last = a ? a : b;
    return first;
}

uint32_t gw_slots_sort(const struct gw_slabs *traces, size_t link, uint32_t first,
                       int (*compare)(const struct gw_trace *a, const struct gw_trace *b))
{
    const struct sorting k = {traces, link, compare};
    uint32_t runs[MAX_RUNS] = {0}, all = 0;

    for (uint32_t slot = first, next; slot; slot = next) {
        unsigned i = 0;

        next = *link_of(&k, slot);
        *link_of(&k, slot) = 0;
        for (; runs[i]; runs[i++] = 0)
            slot = merge(&k, runs[i], slot);
        runs[i] = slot;
    }
    for (unsigned i = 0; i < MAX_RUNS; i++)
        all = runs[i] ? merge(&k, runs[i], all) : all;
    return all;
}

/* ---- the oldest ------------------------------------------------------------------------------------------- */

static int by_id(const struct gw_trace *a, const struct gw_trace *b)
{
    return memcmp(a->id, b->id, sizeof(a->id));
}

void gw_traces_order_oldest(struct gw_traces *t)
{
    struct gw_trace *first = gw_trace_at(t, t->oldest), *last = first;
    uint32_t behind, slot, older = 0;

    if (!first)
        return;
    while (last->newer && gw_trace_at(t, last->newer)->first_ns == first->first_ns)
        last = gw_trace_at(t, last->newer);
    behind = last->newer;
    last->newer = 0;
    t->oldest = gw_slots_sort(&t->traces, offsetof(struct gw_trace, newer), t->oldest, by_id);
    for (slot = t->oldest; slot; slot = gw_trace_at(t, slot)->newer) {
        gw_trace_at(t, slot)->older = older;
        older = slot;
    }
    gw_trace_at(t, older)->newer = behind;
    if (behind)
        gw_trace_at(t, behind)->older = older;
    else
        t->newest = older;
}
