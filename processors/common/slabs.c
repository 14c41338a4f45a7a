/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/slabs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MIN_SLAB_BYTES = 16 << 10, MAX_SLAB_BYTES = 1 << 20, SLABS_OF_A_BUDGET = 64, FIRST_CAP = 16, ALIGN = 64 };

bool gw_budget_take(struct gw_budget *b, uint64_t bytes)
{
    struct gw_credit *p = b->process;
    uint64_t used, soft;

    if (b->max_bytes && (b->held_bytes > b->max_bytes || bytes > b->max_bytes - b->held_bytes))
        return false;
    if (p) {
        used = atomic_load_explicit(&p->used_bytes, memory_order_relaxed);
        soft = atomic_load_explicit(&p->soft_bytes, memory_order_relaxed);
        if (used + bytes > soft || (b->held_bytes + bytes) / GW_BUDGET_SHARE > soft - used - bytes)
            return false;
        if (!gw_credit_take(p, bytes))
            return false;
    }
    b->held_bytes += bytes;
    return true;
}

void gw_budget_give(struct gw_budget *b, uint64_t bytes)
{
    assert(bytes <= b->held_bytes);
    b->held_bytes -= bytes;
    if (b->process)
        gw_credit_drain(b->process, bytes);
}

uint32_t gw_budget_slab_bytes(const struct gw_budget *b)
{
    uint32_t n = MAX_SLAB_BYTES;

    while (b->max_bytes && n > MIN_SLAB_BYTES && n > b->max_bytes / SLABS_OF_A_BUDGET)
        n /= 2;
    return n;
}

void *gw_budget_map(struct gw_budget *b, size_t bytes, int *ret_error)
{
    void *p;

    if (!gw_budget_take(b, bytes)) {
        *ret_error = -ENOSPC;
        return NULL;
    }
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        return p;
    gw_budget_give(b, bytes);
    *ret_error = -ENOMEM;
    return NULL;
}

void gw_budget_unmap(struct gw_budget *b, void *p, size_t bytes)
{
    (void)munmap(p, bytes);
    gw_budget_give(b, bytes);
}

void gw_slabs_init(struct gw_slabs *s, struct gw_budget *budget, uint32_t item_bytes)
{
    uint32_t n;

    assert(item_bytes % 8 == 0 && item_bytes > 0);
    *s = (struct gw_slabs){.budget = budget, .item_bytes = item_bytes, .slab_bytes = gw_budget_slab_bytes(budget)};
    n = (s->slab_bytes - (uint32_t)sizeof(struct gw_slab)) / (item_bytes + 4);
    do {
        s->data_at = ((uint32_t)sizeof(struct gw_slab) + 4 * n + ALIGN - 1) / ALIGN * ALIGN;
    } while (s->data_at + n * item_bytes > s->slab_bytes && n-- > 1);
    assert(n > 0);
    s->n_items = n;
    while (UINT32_C(1) << s->shift < n)
        s->shift++;
}

static struct gw_slab *slab_at(const struct gw_slabs *s, uint32_t id)
{
    return (struct gw_slab *)(void *)s->at[id];
}

static void list_add_first(const struct gw_slabs *s, struct gw_slab_list *l, uint32_t id)
{
    struct gw_slab *slab = slab_at(s, id);

    slab->before = 0;
    slab->next = l->first;
    if (l->first)
        slab_at(s, l->first - 1)->before = id + 1;
    else
        l->last = id + 1;
    l->first = id + 1;
}

static void list_add_last(const struct gw_slabs *s, struct gw_slab_list *l, uint32_t id)
{
    struct gw_slab *slab = slab_at(s, id);

    slab->before = l->last;
    slab->next = 0;
    if (l->last)
        slab_at(s, l->last - 1)->next = id + 1;
    else
        l->first = id + 1;
    l->last = id + 1;
}

static void list_remove(const struct gw_slabs *s, struct gw_slab_list *l, uint32_t id)
{
    struct gw_slab *slab = slab_at(s, id);

    if (slab->before)
        slab_at(s, slab->before - 1)->next = slab->next;
    else
        l->first = slab->next;
    if (slab->next)
        slab_at(s, slab->next - 1)->before = slab->before;
    else
        l->last = slab->before;
}

/* A number for one more slab. The last numbers are left out: item + 1 must fit. */
static int grow_list(struct gw_slabs *s)
{
    uint32_t cap = s->cap_at ? s->cap_at * 2 : FIRST_CAP;
    uint8_t **p;

    if (s->free_at || s->n_at < s->cap_at)
        return 0;
    if ((uint64_t)cap << s->shift >= UINT32_MAX)
        return -ENOSPC;
    if (!gw_budget_take(s->budget, (cap - s->cap_at) * sizeof(*p)))
        return -ENOSPC;
    p = realloc(s->at, cap * sizeof(*p));
    if (!p) {
        gw_budget_give(s->budget, (cap - s->cap_at) * sizeof(*p));
        return -ENOMEM;
    }
    s->at = p;
    s->cap_at = cap;
    return 0;
}

/* The head of a slab, empty, in memory that is charged; or NULL. */
static struct gw_slab *new_slab(struct gw_slabs *s, int *ret_error)
{
    struct gw_payload *pl;
    struct gw_slab *slab;

    if (s->slab_bytes != MAX_SLAB_BYTES)
        return gw_budget_map(s->budget, s->slab_bytes, ret_error);
    *ret_error = -ENOSPC;
    if (!gw_budget_take(s->budget, s->slab_bytes))
        return NULL;
    pl = gw_payload_new(MAX_SLAB_BYTES - GW_PAYLOAD_PAD);
    if (!pl) {
        gw_budget_give(s->budget, s->slab_bytes);
        *ret_error = -ENOMEM;
        return NULL;
    }
    slab = (struct gw_slab *)(void *)pl->p;
    *slab = (struct gw_slab){.payload = pl};
    return slab;
}

static void free_slab(struct gw_slabs *s, uint8_t *p)
{
    struct gw_slab *slab = (struct gw_slab *)(void *)p;

    if (slab->payload) {
        (void)gw_payload_unref(slab->payload);
        gw_budget_give(s->budget, s->slab_bytes);
    } else {
        gw_budget_unmap(s->budget, p, s->slab_bytes);
    }
}

static int add_slab(struct gw_slabs *s)
{
    int r = grow_list(s);
    struct gw_slab *p;
    uint32_t id;

    if (r < 0)
        return r;
    p = new_slab(s, &r);
    if (!p)
        return r;
    if (s->free_at) {
        id = s->free_at - 1;
        s->free_at = (uint32_t)(uintptr_t)s->at[id];
    } else {
        id = s->n_at++;
    }
    s->at[id] = (uint8_t *)p;
    list_add_first(s, &s->empty, id);
    s->n_slabs++;
    s->n_empty++;
    s->n_free += s->n_items;
    return 0;
}

int gw_slabs_grow(struct gw_slabs *s, uint64_t n)
{
    int r = 0;

    while (r == 0 && s->n_free < n)
        r = add_slab(s);
    return r;
}

static void drop_empty(struct gw_slabs *s, uint32_t keep)
{
    while (s->n_empty > keep) {
        uint32_t id = s->empty.last - 1;

        list_remove(s, &s->empty, id);
        free_slab(s, s->at[id]);
        s->at[id] = (uint8_t *)(uintptr_t)s->free_at; /* NOLINT: a number */
        s->free_at = id + 1;
        s->n_slabs--;
        s->n_empty--;
        s->n_free -= s->n_items;
    }
    s->low_empty = s->low_empty < s->n_empty ? s->low_empty : s->n_empty;
}

void gw_slabs_trim(struct gw_slabs *s)
{
    drop_empty(s, 0);
}

bool gw_slabs_lend(struct gw_slabs *s)
{
    if (s->slab_bytes != MAX_SLAB_BYTES || !s->n_empty)
        return false;
    drop_empty(s, s->n_empty - 1);
    return true;
}

void gw_slabs_age(struct gw_slabs *s)
{
    s->n_surplus = s->low_empty;
    s->low_empty = s->n_empty;
}

void gw_slabs_release(struct gw_slabs *s, uint32_t n)
{
    n = n < s->n_surplus ? n : s->n_surplus;
    n = n < s->n_empty ? n : s->n_empty;
    if (n == 0)
        return;
    s->n_surplus -= n;
    drop_empty(s, s->n_empty - n);
}

void gw_slabs_open(struct gw_slabs *s)
{
    uint32_t id = s->empty.first - 1;

    list_remove(s, &s->empty, id);
    list_add_first(s, &s->partial, id);
    s->n_empty--;
    s->low_empty = s->low_empty < s->n_empty ? s->low_empty : s->n_empty;
}

void gw_slabs_shut(struct gw_slabs *s, uint32_t slab)
{
    list_remove(s, &s->partial, slab);
}

/* What was given back is a chain already. Returns how many. */
static uint32_t used_before(const struct gw_slabs *s, struct gw_slab *slab, uint32_t max, uint32_t *ret_last)
{
    uint32_t n = 1, last = slab->free, next = slab->links[gw_slabs_place(s, last)];

    for (; n < max && next; n++) {
        last = next;
        next = slab->links[gw_slabs_place(s, last)];
    }
    slab->free = next;
    *ret_last = last;
    return n;
}

static uint32_t fresh(const struct gw_slabs *s, struct gw_slab *slab, uint32_t max, uint32_t first, uint32_t *ret_last)
{
    uint32_t room = s->n_items - slab->n_fresh, n = max < room ? max : room;

    for (uint32_t i = 1; i < n; i++)
        slab->links[slab->n_fresh + i - 1] = first + i;
    slab->n_fresh += n;
    *ret_last = first + n - 1;
    return n;
}

/* Each field of *ret is written and read by itself: a read of two of them at once would wait until all that was written
 * before, bytes of blocks among it, has come to the cache. */
void gw_slabs_take_run(struct gw_slabs *s, uint32_t n, struct gw_slabs_run *ret)
{
    struct gw_slab *slab;
    uint32_t last, id;

    assert(s->n_free > 0 && n > 0);
    if (!s->partial.first)
        gw_slabs_open(s);
    id = s->partial.first - 1;
    slab = slab_at(s, id);
    ret->first = slab->free ? slab->free : (id << s->shift | slab->n_fresh) + 1;
    n = slab->free ? used_before(s, slab, n, &last) : fresh(s, slab, n, ret->first, &last);
    ret->last = last;
    slab->links[gw_slabs_place(s, last)] = 0;
    slab->n_used += n;
    s->n_used += n;
    s->n_free -= n;
    if (slab->n_used == s->n_items)
        gw_slabs_shut(s, id);
}

void gw_slabs_give_run(struct gw_slabs *s, uint32_t first, uint32_t last, uint32_t n)
{
    uint32_t id = gw_slabs_slab_of(s, first);
    struct gw_slab *slab = slab_at(s, id);

    assert(slab->n_used >= n && gw_slabs_slab_of(s, last) == id);
    slab->links[gw_slabs_place(s, last)] = slab->free;
    slab->free = first;
    if (slab->n_used == s->n_items)
        list_add_last(s, &s->partial, id);
    slab->n_used -= n;
    s->n_used -= n;
    s->n_free += n;
    if (slab->n_used > 0)
        return;
    slab->free = slab->n_fresh = 0; /* in order of their addresses again */
    list_remove(s, &s->partial, id);
    list_add_first(s, &s->empty, id);
    s->n_empty++;
}

void gw_slabs_clear(struct gw_slabs *s)
{
    for (uint32_t i = s->free_at; i;) { /* free numbers hold no slab */
        uint32_t next = (uint32_t)(uintptr_t)s->at[i - 1];

        s->at[i - 1] = NULL;
        i = next;
    }
    for (uint32_t i = 0; i < s->n_at; i++)
        if (s->at[i])
            free_slab(s, s->at[i]);
    gw_budget_give(s->budget, s->cap_at * sizeof(*s->at));
    free(s->at);
    gw_slabs_init(s, s->budget, s->item_bytes);
}

uint64_t gw_slabs_held_bytes(const struct gw_slabs *s)
{
    return (uint64_t)s->n_slabs * s->slab_bytes + s->cap_at * sizeof(*s->at);
}
