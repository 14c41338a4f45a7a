/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/payload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "batch/pool.h"

/* Allocations are powers of two from 4 KiB; larger ones than 16 MiB are rare enough to go back to the system. */
enum { CLASS_MIN_LOG2 = 12, CLASS_MAX_LOG2 = 24, N_CLASSES = CLASS_MAX_LOG2 - CLASS_MIN_LOG2 + 1 };
/* From here on pages, which go back to the system when they are let go: in the heap they would come to lie between
 * others that stay. */
enum { MAPPED_BYTES = 1 << 20 };

struct gw_payload_pool {
    struct gw_pool pool;
    size_t keep_bytes, held_bytes; /* the owner's; held: what lies in free[] */
    struct gw_payload *free[N_CLASSES];
    uint32_t n_free[N_CLASSES], idle[N_CLASSES]; /* idle: the least of n_free since the last trim */
};

static _Thread_local struct gw_payload_pool *current;

static inline struct gw_payload *payload_of(struct gw_inbox_item *i)
{
    return (struct gw_payload *)((char *)i - offsetof(struct gw_payload, item));
}

static unsigned class_log2(size_t cap)
{
    size_t bytes = cap + GW_PAYLOAD_PAD;

    return bytes <= 1u << CLASS_MIN_LOG2 ? CLASS_MIN_LOG2 : 64 - (unsigned)__builtin_clzll(bytes - 1);
}

static size_t held_by(const struct gw_payload *pl)
{
    return (size_t)pl->cap + GW_PAYLOAD_PAD;
}

static void destroy_bytes(struct gw_payload *pl)
{
    if (pl->paged || pl->mapped)
        (void)munmap(pl->p, held_by(pl));
    else
        free(pl->p);
}

static void destroy(struct gw_payload *pl)
{
    destroy_bytes(pl);
    free(pl);
}

static uint8_t *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static struct gw_payload *create(size_t bytes)
{
    struct gw_payload *pl = malloc(sizeof(*pl));

    if (!pl)
        return NULL;
    *pl = (struct gw_payload){.cap = (uint32_t)(bytes - GW_PAYLOAD_PAD), .mapped = bytes >= MAPPED_BYTES};
    pl->p = pl->mapped ? map(bytes) : aligned_alloc(64, bytes);
    if (!pl->p) {
        free(pl);
        return NULL;
    }
    return pl;
}

/* Owner only: into the free list, or to the system when the pool is full. */
static void shelve(struct gw_payload_pool *p, struct gw_payload *pl)
{
    unsigned log2 = class_log2(pl->cap);

    if (pl->paged || log2 > CLASS_MAX_LOG2 || held_by(pl) > p->keep_bytes - p->held_bytes) {
        destroy(pl);
        return;
    }
    p->held_bytes += held_by(pl);
    p->n_free[log2 - CLASS_MIN_LOG2]++;
    pl->item.next = p->free[log2 - CLASS_MIN_LOG2] ? &p->free[log2 - CLASS_MIN_LOG2]->item : NULL;
    p->free[log2 - CLASS_MIN_LOG2] = pl;
}

static void collect(struct gw_payload_pool *p)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&p->pool.back), *next; i; i = next) {
        next = i->next;
        shelve(p, payload_of(i));
    }
}

static struct gw_payload *take_first(struct gw_payload_pool *p, unsigned k)
{
    struct gw_payload *pl = p->free[k];

    if (!pl)
        return NULL;
    p->free[k] = pl->item.next ? payload_of(pl->item.next) : NULL;
    p->n_free[k]--;
    p->held_bytes -= held_by(pl);
    return pl;
}

static struct gw_payload *unshelve(struct gw_payload_pool *p, unsigned log2)
{
    unsigned k = log2 - CLASS_MIN_LOG2;
    struct gw_payload *pl;

    if (!p->free[k] && !gw_inbox_is_empty(&p->pool.back))
        collect(p);
    pl = take_first(p, k);
    if (p->n_free[k] < p->idle[k])
        p->idle[k] = p->n_free[k];
    return pl;
}

struct gw_payload *gw_payload_new(size_t cap)
{
    struct gw_payload_pool *p = current;
    struct gw_payload *pl = NULL;
    unsigned log2;

    if (cap >= 1u << 31)
        return NULL;
    log2 = class_log2(cap);
    if (p && log2 <= CLASS_MAX_LOG2)
        pl = unshelve(p, log2);
    if (!pl) /* above the classes a power of two would waste too much: to the next 64 KiB */
        pl = create(log2 <= CLASS_MAX_LOG2 ? (size_t)1 << log2 : (cap + GW_PAYLOAD_PAD + 0xffff) & ~(size_t)0xffff);
    if (!pl)
        return NULL;
    pl->n = 0;
    pl->pool = p;
    if (p)
        gw_pool_out(&p->pool);
    atomic_store_explicit(&pl->refs, 1, memory_order_relaxed);
    return pl;
}

int gw_payload_reserve(struct gw_payload *pl, size_t more)
{
    struct gw_payload *bigger;
    size_t want, grown;
    uint8_t *p = pl->p;
    uint32_t cap = pl->cap;
    bool mapped = pl->mapped;

    if (more <= pl->cap - pl->n)
        return 0;
    want = pl->n + more;
    if (more >= 1u << 31 || want >= 1u << 31)
        return -E2BIG;
    grown = cap + (size_t)cap / 2;
    if (grown >= 1u << 31)
        grown = (1u << 31) - 1;
    bigger = gw_payload_new(want > grown ? want : grown);
    if (!bigger)
        return -ENOMEM;
    memcpy(bigger->p, pl->p, pl->n);
    pl->p = bigger->p;
    pl->cap = bigger->cap;
    pl->mapped = bigger->mapped;
    bigger->p = p;
    bigger->cap = cap;
    bigger->mapped = mapped;
    (void)gw_payload_unref(bigger);
    return 0;
}

enum { PAGED_BYTES = 32 << 10, PAGES_BYTES = 64 << 10 };

/* The first pages, with what the heap has so far; NULL: none. */
static void *move_to_pages(struct gw_payload *pl, size_t bytes)
{
    void *p = map(bytes);

    if (!p)
        return NULL;
    memcpy(p, pl->p, pl->n);
    destroy_bytes(pl);
    pl->mapped = false;
    pl->paged = true;
    return p;
}

int gw_payload_reserve_paged(struct gw_payload *pl, size_t more)
{
    size_t want = pl->n + more, grown = pl->cap + (size_t)pl->cap / 2;
    void *p;

    if (more <= pl->cap - pl->n)
        return 0;
    if (more >= 1u << 31 || want >= 1u << 31)
        return -E2BIG;
    if (want < PAGED_BYTES && !pl->paged)
        return gw_payload_reserve(pl, more);
    if (want < grown && grown < 1u << 31)
        want = grown;
    want = (want + GW_PAYLOAD_PAD + PAGES_BYTES - 1) & ~(size_t)(PAGES_BYTES - 1);
    p = pl->paged ? mremap(pl->p, held_by(pl), want, MREMAP_MAYMOVE) : move_to_pages(pl, want);
    if (!p || p == MAP_FAILED)
        return -ENOMEM;
    pl->p = p;
    pl->cap = (uint32_t)(want - GW_PAYLOAD_PAD);
    return 0;
}

struct gw_payload *gw_payload_ref(struct gw_payload *pl)
{
    atomic_fetch_add_explicit(&pl->refs, 1, memory_order_relaxed);
    return pl;
}

static void pool_destroy(struct gw_payload_pool *p)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&p->pool.back), *next; i; i = next) {
        next = i->next;
        destroy(payload_of(i));
    }
    free(p);
}

struct gw_payload *gw_payload_unref(struct gw_payload *pl)
{
    struct gw_payload_pool *p;

    if (!pl || atomic_fetch_sub_explicit(&pl->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    p = pl->pool;
    if (!p) {
        destroy(pl);
        return NULL;
    }
    if (p == current)
        shelve(p, pl);
    else
        (void)gw_inbox_push(&p->pool.back, &pl->item); /* nobody waits for it: no wake */
    if (gw_pool_drop(&p->pool))
        pool_destroy(p);
    return NULL;
}

struct gw_payload_pool *gw_payload_pool_new(size_t keep_bytes)
{
    struct gw_payload_pool *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    gw_pool_init(&p->pool);
    p->keep_bytes = keep_bytes;
    return p;
}

bool gw_payload_pool_has(size_t cap)
{
    struct gw_payload_pool *p = current;
    unsigned log2 = class_log2(cap);

    if (!p || log2 > CLASS_MAX_LOG2)
        return false;
    if (!p->free[log2 - CLASS_MIN_LOG2] && !gw_inbox_is_empty(&p->pool.back))
        collect(p);
    return p->free[log2 - CLASS_MIN_LOG2] != NULL;
}

size_t gw_payload_pool_bytes(const struct gw_payload_pool *p)
{
    return p->held_bytes;
}

void gw_payload_pool_trim(struct gw_payload_pool *p, size_t floor_bytes)
{
    collect(p);
    for (unsigned k = N_CLASSES; k-- > 0; p->idle[k] = p->n_free[k])
        for (; p->idle[k] && p->held_bytes > floor_bytes; p->idle[k]--)
            destroy(take_first(p, k));
}

void gw_payload_pool_enter(struct gw_payload_pool *p)
{
    current = p;
}

void gw_payload_pool_free(struct gw_payload_pool *p)
{
    if (!p)
        return;
    if (current == p)
        current = NULL;
    for (unsigned k = 0; k < N_CLASSES; k++)
        for (struct gw_payload *pl = p->free[k], *next; pl; pl = next) {
            next = pl->item.next ? payload_of(pl->item.next) : NULL;
            destroy(pl);
        }
    if (gw_pool_drop(&p->pool))
        pool_destroy(p);
}
