/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of one size in slabs that come from the system and go back to it. An item is a number; beside each stands a
 * link, another number, of which the owner makes chains. The links lie together, apart from the items: who walks a
 * chain, or gives it back, touches 4 bytes an item and not the item.
 *
 *   slab   head │ links u32 × n │ items × n             id = slab << shift | place in it, + 1; 0 = none
 *   lists  partial ─► …  the first is filled           empty ─► …  kept while they may be needed again
 *
 * A slab is filled before the next one is begun, and one that gets room waits behind those that have some: so what is
 * longer-lived comes to lie together, and after a peak the others run empty. Empty ones that nobody needed from one
 * gw_slabs_age to the next are too many.
 *
 * Slabs of a MiB come from the thread's stock of payloads (batch/payload.h) and go back to it: what has just left the
 * slabs as bytes of a payload lies in memory that the slabs gave up for it.
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_SLABS_H
#define GW_PROCESSORS_COMMON_SLABS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/payload.h"
#include "core/credit.h"

/**
 * Memory that several pools share. Invariant: held_bytes <= max_bytes, unless that was made less. What is held is
 * charged to the process, too, and grows while it is at most GW_BUDGET_SHARE times what is free there below the soft
 * mark, as a queue does: nobody may take the room of all others.
 */
struct gw_budget {
    uint64_t held_bytes, max_bytes; /* max 0: no limit of its own */
    struct gw_credit *process;      /* or NULL */
};
enum { GW_BUDGET_SHARE = 4 };
bool gw_budget_take(struct gw_budget *b, uint64_t bytes);
void gw_budget_give(struct gw_budget *b, uint64_t bytes);
/** The size of slabs that a budget can afford: 16 KiB to 1 MiB, so that the last, half empty one does not matter. */
uint32_t gw_budget_slab_bytes(const struct gw_budget *b);

/** Pages of the system, zeroed; counted. Errors: NULL, *ret_error is -ENOSPC (budget) or -ENOMEM. */
void *gw_budget_map(struct gw_budget *b, size_t bytes, int *ret_error);
void gw_budget_unmap(struct gw_budget *b, void *p, size_t bytes);

/** The head of a slab. */
struct gw_slab {
    struct gw_payload *payload; /* whose bytes it is in; NULL: pages of its own */
    uint32_t free;              /* first of those given back */
    uint32_t n_used;            /* items */
    uint32_t n_fresh;           /* items from here on were never taken */
    uint32_t before, next;      /* in its list: slab + 1 */
    uint32_t links[];
};

/** Slabs, by number + 1. */
struct gw_slab_list {
    uint32_t first, last;
};

struct gw_slabs {
    struct gw_budget *budget;
    uint32_t item_bytes, n_items /* of a slab */, shift, data_at, slab_bytes;
    uint32_t n_slabs, n_empty;
    uint32_t low_empty, n_surplus; /* fewest empty ones since age; how many of them may go */
    uint8_t **at;                  /* slabs by number; of a free number: the next free one, as a pointer */
    uint32_t n_at, cap_at, free_at;
    struct gw_slab_list partial, empty;
    uint64_t n_used, n_free;
};

/** item_bytes a multiple of 8. Allocates nothing. */
void gw_slabs_init(struct gw_slabs *s, struct gw_budget *budget, uint32_t item_bytes);
/** All items are gone. */
void gw_slabs_clear(struct gw_slabs *s);
/** Room for n more items. Errors: -ENOSPC over the budget, or no numbers are left; -ENOMEM. */
int gw_slabs_grow(struct gw_slabs *s, uint64_t n);
static inline int gw_slabs_reserve(struct gw_slabs *s, uint64_t n)
{
    return s->n_free >= n ? 0 : gw_slabs_grow(s, n);
}
/** A while is over: what was empty all the time is too much. */
void gw_slabs_age(struct gw_slabs *s);
/** Of what is too much, at most n slabs go to the system (50 µs each). */
void gw_slabs_release(struct gw_slabs *s, uint32_t n);
/** All empty slabs go to the system: somebody needs the budget. */
void gw_slabs_trim(struct gw_slabs *s);
/** An empty slab goes to the thread's stock, where somebody needs one now. False: there is none. */
bool gw_slabs_lend(struct gw_slabs *s);
/** A chain of items: the last one's link is 0. */
struct gw_slabs_run {
    uint32_t first, last;
};
/** At most n items, at least one: all of one slab, those that gw_slabs_take would give. There must be room. */
void gw_slabs_take_run(struct gw_slabs *s, uint32_t n, struct gw_slabs_run *ret);
/** Give back a chain of n items that all lie in one slab. */
void gw_slabs_give_run(struct gw_slabs *s, uint32_t first, uint32_t last, uint32_t n);
/** The first slab of the list `empty` becomes the one to be filled. */
void gw_slabs_open(struct gw_slabs *s);
/** It is full: out of the list. */
void gw_slabs_shut(struct gw_slabs *s, uint32_t slab);
/** Memory of all slabs and of the list of them: what the budget is charged for. */
uint64_t gw_slabs_held_bytes(const struct gw_slabs *s);

static inline uint32_t gw_slabs_slab_of(const struct gw_slabs *s, uint32_t item)
{
    return (item - 1) >> s->shift;
}
static inline uint32_t gw_slabs_place(const struct gw_slabs *s, uint32_t item)
{
    return (item - 1) & ((UINT32_C(1) << s->shift) - 1);
}
static inline void *gw_slabs_at(const struct gw_slabs *s, uint32_t item)
{
    return s->at[gw_slabs_slab_of(s, item)] + s->data_at + (size_t)gw_slabs_place(s, item) * s->item_bytes;
}
static inline uint32_t *gw_slabs_link(const struct gw_slabs *s, uint32_t item)
{
    return &((struct gw_slab *)(void *)s->at[gw_slabs_slab_of(s, item)])->links[gw_slabs_place(s, item)];
}

/** An item, its link 0, its bytes as they were left; there must be room (gw_slabs_reserve). */
static inline uint32_t gw_slabs_take(struct gw_slabs *s)
{
    struct gw_slab *slab;
    uint32_t item, id;

    assert(s->n_free > 0);
    if (!s->partial.first)
        gw_slabs_open(s);
    id = s->partial.first - 1;
    slab = (struct gw_slab *)(void *)s->at[id];
    item = slab->free;
    if (item)
        slab->free = slab->links[gw_slabs_place(s, item)];
    else
        item = (id << s->shift | slab->n_fresh++) + 1;
    slab->links[gw_slabs_place(s, item)] = 0;
    s->n_used++;
    s->n_free--;
    if (++slab->n_used == s->n_items)
        gw_slabs_shut(s, id);
    return item;
}
/** What gw_slabs_take would give; 0: it would have to open a slab. */
static inline uint32_t gw_slabs_next(const struct gw_slabs *s)
{
    const struct gw_slab *slab;

    if (!s->partial.first)
        return 0;
    slab = (const struct gw_slab *)(const void *)s->at[s->partial.first - 1];
    return slab->free ? slab->free : ((s->partial.first - 1) << s->shift | slab->n_fresh) + 1;
}
static inline void gw_slabs_give(struct gw_slabs *s, uint32_t item)
{
    gw_slabs_give_run(s, item, item, 1);
}

#endif
