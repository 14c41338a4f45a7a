/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/index.h"

#include <errno.h>
#include <stdlib.h>

enum {
    SEGMENT_BYTES = GW_INDEX_SEGMENT * sizeof(uint32_t),
    FIRST_SEGMENTS = 4,
    GROW_BELOW = 2,   /* buckets an item: chains of 1.2 items where there is one */
    SHRINK_ABOVE = 8, /* far enough from it to rest */
    STEPS = 3,        /* buckets an insert or remove: more than it takes to keep up */
};

void gw_index_init(struct gw_index *x, struct gw_slabs *items, uint64_t (*hash)(const void *arg, const void *item),
                   const void *arg)
{
    *x = (struct gw_index){.items = items, .hash = hash, .arg = arg};
}

static uint32_t *segment_of(const struct gw_index *x, uint32_t bucket)
{
    return &x->segments[bucket >> GW_INDEX_SHIFT][bucket & (GW_INDEX_SEGMENT - 1)];
}

static int grow_list(struct gw_index *x)
{
    uint32_t cap = x->cap_segments ? x->cap_segments * 2 : FIRST_SEGMENTS;
    uint32_t **p;

    if (x->n_segments < x->cap_segments)
        return 0;
    if (!gw_budget_take(x->items->budget, (cap - x->cap_segments) * sizeof(*p)))
        return -ENOSPC;
    p = realloc(x->segments, cap * sizeof(*p));
    if (!p) {
        gw_budget_give(x->items->budget, (cap - x->cap_segments) * sizeof(*p));
        return -ENOMEM;
    }
    x->segments = p;
    x->cap_segments = cap;
    return 0;
}

static int add_segment(struct gw_index *x)
{
    int r = grow_list(x);
    uint32_t *p = r < 0 ? NULL : gw_budget_map(x->items->budget, SEGMENT_BYTES, &r);

    if (!p)
        return r;
    x->segments[x->n_segments++] = p;
    return 0;
}

static void drop_segment(struct gw_index *x)
{
    gw_budget_unmap(x->items->budget, x->segments[--x->n_segments], SEGMENT_BYTES);
}

void gw_index_clear(struct gw_index *x)
{
    while (x->n_segments)
        drop_segment(x);
    gw_budget_give(x->items->budget, x->cap_segments * sizeof(*x->segments));
    free(x->segments);
    gw_index_init(x, x->items, x->hash, x->arg);
}

int gw_index_reserve(struct gw_index *x)
{
    int r = x->n_segments ? 0 : add_segment(x);

    if (r == 0 && x->n_buckets == 0) {
        x->n_buckets = GW_INDEX_SEGMENT;
        x->mask = GW_INDEX_SEGMENT - 1;
    }
    return r;
}

/* The next bucket, and to it what belongs there of the one that it stands for. False: no memory. */
static bool split(struct gw_index *x)
{
    uint32_t *from, *to, item, fresh = x->n_buckets;

    if (fresh == UINT32_C(1) << 31)
        return false;
    if (fresh == x->n_segments << GW_INDEX_SHIFT && add_segment(x) < 0)
        return false;
    if (fresh > x->mask)
        x->mask = x->mask * 2 + 1;
    from = segment_of(x, fresh & (x->mask >> 1));
    to = segment_of(x, fresh);
    x->n_buckets++;
    item = *from;
    *from = *to = 0;
    while (item) {
        uint32_t *link = gw_slabs_link(x->items, item), next = *link;
        uint32_t *head = (x->hash(x->arg, gw_slabs_at(x->items, item)) & x->mask) == fresh ? to : from;

        *link = *head;
        *head = item;
        item = next;
    }
    return true;
}

/* The last bucket's items go back to the one that it was split from. */
static void merge(struct gw_index *x)
{
    uint32_t last = x->n_buckets - 1, *from = segment_of(x, last), *to, item = *from;

    to = segment_of(x, last & (x->mask >> 1));
    *from = 0;
    while (item) {
        uint32_t *link = gw_slabs_link(x->items, item), next = *link;

        *link = *to;
        *to = item;
        item = next;
    }
    x->n_buckets = last;
    if (last == (x->mask >> 1) + 1)
        x->mask >>= 1;
    if (last == (x->n_segments - 1) << GW_INDEX_SHIFT)
        drop_segment(x);
}

void gw_index_insert(struct gw_index *x, uint64_t hash, uint32_t item)
{
    uint32_t *head = gw_index_head(x, hash);

    *gw_slabs_link(x->items, item) = *head;
    *head = item;
    x->n++;
    for (unsigned i = 0; i < STEPS && x->n_buckets / GROW_BELOW < x->n; i++)
        if (!split(x))
            return;
}

void gw_index_remove(struct gw_index *x, uint64_t hash, uint32_t item)
{
    uint32_t *link = gw_index_head(x, hash);

    while (*link != item)
        link = gw_slabs_link(x->items, *link);
    *link = *gw_slabs_link(x->items, item);
    x->n--;
    for (unsigned i = 0; i < SHRINK_ABOVE && x->n_buckets > GW_INDEX_SEGMENT && x->n_buckets / SHRINK_ABOVE > x->n; i++)
        merge(x);
}

uint64_t gw_index_held_bytes(const struct gw_index *x)
{
    return (uint64_t)x->n_segments * SEGMENT_BYTES + x->cap_segments * sizeof(*x->segments);
}
