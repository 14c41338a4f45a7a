/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of chains over one array of entries, which is also the list in order of asking. Nothing is allocated after
 * new; what was never used is untouched memory.
 */
#include "processors/common/ids.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Packed: there are half a million of them beside every store, and four bytes of each would be nothing. */
struct __attribute__((packed, aligned(4))) entry {
    uint8_t id[16];
    uint64_t value;
    uint32_t older, newer; /* entries + 1; 0 = none */
    uint32_t next;         /* of its bucket */
};
_Static_assert(sizeof(struct entry) == 36, "what the header promises");

struct gw_ids {
    uint64_t seed[2];
    struct entry *entries;
    uint32_t *heads;
    uint32_t max, n, mask;
    uint32_t oldest, newest;
    uint8_t *map; /* heads and entries, HUGE_BYTES more; NULL: they have memory of their own */
};

enum { MAX_IDS = 1 << 30, HUGE_BYTES = 2 << 20 };

static size_t heads_bytes(const struct gw_ids *ids)
{
    return ((size_t)ids->mask + 1) * sizeof(*ids->heads);
}

static size_t entries_bytes(const struct gw_ids *ids)
{
    return (size_t)ids->max * sizeof(*ids->entries);
}

static bool is_mapped(const struct gw_ids *ids)
{
    return ids->max && heads_bytes(ids) >= HUGE_BYTES / 2;
}

/*
 * Heads are looked at in no order: of a table of some MiB each look is a miss of the TLB, too, and a fetch ahead waits
 * for that. In huge pages, where the system has some, it is none. Entries stand behind them, taken one after the other.
 */
static void map(struct gw_ids *ids)
{
    size_t bytes = heads_bytes(ids) + entries_bytes(ids), before;
    uint8_t *p = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return;
    before = HUGE_BYTES - (uintptr_t)p % HUGE_BYTES; /* the rest of the address space that was asked for stays unused */
    (void)madvise(p + before, (heads_bytes(ids) + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES, MADV_HUGEPAGE);
    ids->map = p;
    ids->heads = (uint32_t *)(void *)(p + before);
    ids->entries = (struct entry *)(void *)(p + before + heads_bytes(ids));
}

struct gw_ids *gw_ids_new(struct gw_env *env, uint32_t max)
{
    struct gw_ids *ids = calloc(1, sizeof(*ids));
    uint64_t n_heads = 1;

    if (!ids)
        return NULL;
    ids->max = max < MAX_IDS ? max : MAX_IDS;
    while (n_heads < ids->max)
        n_heads *= 2;
    ids->mask = (uint32_t)(n_heads - 1);
    ids->seed[0] = gw_random_u64(env);
    ids->seed[1] = gw_random_u64(env);
    if (ids->max == 0)
        return ids;
    if (is_mapped(ids)) {
        map(ids);
    } else {
        ids->entries = calloc(ids->max, sizeof(*ids->entries));
        ids->heads = calloc(n_heads, sizeof(*ids->heads));
    }
    if (!ids->entries || !ids->heads) {
        gw_ids_free(ids);
        return NULL;
    }
    return ids;
}

void gw_ids_free(struct gw_ids *ids)
{
    if (!ids)
        return;
    if (ids->map) {
        (void)munmap(ids->map, heads_bytes(ids) + entries_bytes(ids) + HUGE_BYTES);
    } else {
        free(ids->entries);
        free(ids->heads);
    }
    free(ids);
}

static uint32_t *head_of(const struct gw_ids *ids, const uint8_t id[16])
{
    uint64_t a, b;
    unsigned __int128 m;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    m = (unsigned __int128)(a ^ ids->seed[0]) * (b ^ ids->seed[1]);
    m = (unsigned __int128)((uint64_t)m ^ (uint64_t)(m >> 64) ^ ids->seed[1]) * UINT64_C(0x9fb21c651e98df25);
    return &ids->heads[((uint64_t)m ^ (uint64_t)(m >> 64)) & ids->mask];
}

static struct entry *find(const struct gw_ids *ids, const uint8_t id[16])
{
    uint32_t at = ids->max ? *head_of(ids, id) : 0;

    while (at && memcmp(ids->entries[at - 1].id, id, 16) != 0)
        at = ids->entries[at - 1].next;
    return at ? &ids->entries[at - 1] : NULL;
}

void gw_ids_prefetch(const struct gw_ids *ids, const uint8_t id[16])
{
    if (ids->max)
        __builtin_prefetch(head_of(ids, id), /* rw= */ 1);
}

void gw_ids_prefetch_entry(const struct gw_ids *ids, const uint8_t id[16])
{
    uint32_t at = ids->max ? *head_of(ids, id) : 0;

    if (at)
        __builtin_prefetch(&ids->entries[at - 1]);
}

static uint32_t number_of(const struct gw_ids *ids, const struct entry *e)
{
    return (uint32_t)(e - ids->entries) + 1;
}

static void unlink_entry(struct gw_ids *ids, struct entry *e)
{
    if (e->older)
        ids->entries[e->older - 1].newer = e->newer;
    else
        ids->oldest = e->newer;
    if (e->newer)
        ids->entries[e->newer - 1].older = e->older;
    else
        ids->newest = e->older;
}

static void make_newest(struct gw_ids *ids, struct entry *e)
{
    uint32_t at = number_of(ids, e);

    e->older = ids->newest;
    e->newer = 0;
    if (ids->newest)
        ids->entries[ids->newest - 1].newer = at;
    else
        ids->oldest = at;
    ids->newest = at;
}

/* The next ones to go: of the first, which the call before has fetched, its bucket, and the second itself. */
static void fetch_oldest(const struct gw_ids *ids)
{
    const struct entry *next = &ids->entries[ids->oldest - 1];

    if (ids->oldest)
        gw_ids_prefetch(ids, next->id);
    if (ids->oldest && next->newer)
        __builtin_prefetch(&ids->entries[next->newer - 1], /* rw= */ 1);
}

/* A free entry: the one that was longest not asked for when there is no other. */
static struct entry *take(struct gw_ids *ids)
{
    struct entry *e;
    uint32_t *link;

    if (ids->n < ids->max)
        return &ids->entries[ids->n++];
    e = &ids->entries[ids->oldest - 1];
    link = head_of(ids, e->id);
    while (*link != number_of(ids, e))
        link = &ids->entries[*link - 1].next;
    *link = e->next;
    unlink_entry(ids, e);
    fetch_oldest(ids);
    return e;
}

void gw_ids_put(struct gw_ids *ids, const uint8_t id[16], uint64_t value)
{
    struct entry *e = find(ids, id);
    uint32_t *head;

    if (ids->max == 0)
        return;
    if (e) {
        unlink_entry(ids, e);
    } else {
        e = take(ids);
        memcpy(e->id, id, sizeof(e->id));
        head = head_of(ids, id);
        e->next = *head;
        *head = number_of(ids, e);
    }
    e->value = value;
    make_newest(ids, e);
}

bool gw_ids_get(struct gw_ids *ids, const uint8_t id[16], uint64_t *ret_value)
{
    struct entry *e = find(ids, id);

    if (!e)
        return false;
    if (number_of(ids, e) != ids->newest) {
        unlink_entry(ids, e);
        make_newest(ids, e);
    }
    *ret_value = e->value;
    return true;
}

bool gw_ids_peek(const struct gw_ids *ids, const uint8_t id[16], uint64_t *ret_value)
{
    const struct entry *e = find(ids, id);

    if (e)
        *ret_value = e->value;
    return e != NULL;
}

void gw_ids_each(const struct gw_ids *ids, void (*each)(void *arg, const uint8_t id[16], uint64_t value), void *arg)
{
    for (uint32_t at = ids->oldest; at; at = ids->entries[at - 1].newer)
        each(arg, ids->entries[at - 1].id, ids->entries[at - 1].value);
}

uint32_t gw_ids_n(const struct gw_ids *ids)
{
    return ids->n;
}

uint64_t gw_ids_held_bytes(const struct gw_ids *ids)
{
    return sizeof(*ids) + entries_bytes(ids) + (ids->max ? heads_bytes(ids) : 0);
}

void gw_ids_adopt(struct gw_ids *ids, struct gw_ids *old)
{
    struct gw_ids all = *old;

    if (ids->max == old->max) {
        *old = *ids;
        *ids = all;
        return;
    }
    for (uint32_t at = old->oldest; at; at = old->entries[at - 1].newer)
        gw_ids_put(ids, old->entries[at - 1].id, old->entries[at - 1].value);
    if (old->max)
        memset(old->heads, 0, heads_bytes(old));
    old->n = old->oldest = old->newest = 0;
}
