/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/cache.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_SLOTS = 1024 };

static int table_init(struct gw_rw_table *t)
{
    *t = (struct gw_rw_table){.mask = FIRST_SLOTS - 1};
    t->slots = calloc(FIRST_SLOTS, sizeof(*t->slots));
    return t->slots ? 0 : -ENOMEM;
}

static void table_put(struct gw_rw_slot *slots, size_t mask, struct gw_rw_slot s)
{
    size_t i = s.hash & mask;

    while (slots[i].node)
        i = (i + 1) & mask;
    slots[i] = s;
}

/** Room for one more. */
static int table_grow(struct gw_rw_cache *c, struct gw_rw_table *t)
{
    size_t mask = t->mask * 2 + 1;
    struct gw_rw_slot *slots;

    if (t->n * 2 <= t->mask)
        return 0;
    slots = calloc(mask + 1, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i <= t->mask; i++)
        if (t->slots[i].node)
            table_put(slots, mask, t->slots[i]);
    free(t->slots);
    c->bytes += (mask - t->mask) * sizeof(*slots);
    t->slots = slots;
    t->mask = mask;
    return 0;
}

static void table_remove(struct gw_rw_table *t, size_t i)
{
    for (size_t k = (i + 1) & t->mask; t->slots[k].node; k = (k + 1) & t->mask) {
        size_t home = t->slots[k].hash & t->mask;

        if (((k - home) & t->mask) < ((k - i) & t->mask))
            continue;
        t->slots[i] = t->slots[k];
        i = k;
    }
    t->slots[i] = (struct gw_rw_slot){0};
    t->n--;
}

int gw_rw_cache_init(struct gw_rw_cache *c, uint64_t seed, uint64_t max_bytes)
{
    *c = (struct gw_rw_cache){.seed = seed, .max_bytes = max_bytes, .epoch = 1};
    if (table_init(&c->nodes) < 0 || table_init(&c->labels) < 0 || gw_rw_symbols_init(&c->symbols, seed) < 0) {
        free(c->nodes.slots);
        free(c->labels.slots);
        gw_rw_symbols_clear(&c->symbols);
        return -ENOMEM;
    }
    c->bytes = 2 * FIRST_SLOTS * sizeof(struct gw_rw_slot);
    return 0;
}

void gw_rw_cache_reset(struct gw_rw_cache *c)
{
    for (size_t i = 0; i <= c->nodes.mask; i++) /* nodes look at each other: first none is freed */
        if (c->nodes.slots[i].node)
            c->release(c, c->nodes.slots[i].node);
    for (size_t i = 0; i <= c->nodes.mask; i++) {
        struct gw_rw_node *n = c->nodes.slots[i].node;

        if (!n)
            continue;
        c->bytes -= n->bytes;
        free(n);
        c->nodes.slots[i] = (struct gw_rw_slot){0};
    }
    memset(c->labels.slots, 0, (c->labels.mask + 1) * sizeof(*c->labels.slots));
    c->nodes.n = c->labels.n = 0;
}

void gw_rw_cache_clear(struct gw_rw_cache *c)
{
    gw_rw_cache_reset(c);
    free(c->nodes.slots);
    free(c->labels.slots);
    gw_rw_symbols_clear(&c->symbols);
}

uint64_t gw_rw_hash(const struct gw_rw_cache *c, const struct gw_rw_node *parent, uint8_t kind, struct gw_slice key)
{
    return XXH3_64bits_withSeed(key.p, key.n, c->seed ^ (uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u ^ kind);
}

static size_t data_bytes(const struct gw_rw_cache *c, const struct gw_rw_node *n)
{
    return c->version == GW_RW_2 ? n->data_n * sizeof(uint32_t) : n->data_n;
}

/** What a classic histogram or a summary is called stands with its metric, not among its labels. */
static struct gw_slice family(const struct gw_rw_node *n)
{
    if (n->shape != GW_RW_CLASSIC && n->shape != GW_RW_SUMMARY)
        return (struct gw_slice){0};
    return gw_slice_of(gw_rw_data(n->parent) + n->parent->at_name, n->parent->at_extra);
}

static uint64_t labels_hash(const struct gw_rw_cache *c, struct gw_rw_node *n)
{
    struct gw_slice f = family(n);
    uint64_t h = XXH3_64bits_withSeed(gw_rw_data(n), data_bytes(c, n), c->seed + n->shape);

    return f.n ? XXH3_64bits_withSeed(f.p, f.n, h) : h;
}

static size_t labels_slot(const struct gw_rw_cache *c, const struct gw_rw_node *n, uint64_t hash)
{
    size_t i = hash & c->labels.mask;

    while (c->labels.slots[i].node && c->labels.slots[i].node != n)
        i = (i + 1) & c->labels.mask;
    return i;
}

static void drop(struct gw_rw_cache *c, size_t at)
{
    struct gw_rw_node *n = c->nodes.slots[at].node;

    if (n->canon == n) {
        size_t i = labels_slot(c, n, labels_hash(c, n));

        if (c->labels.slots[i].node == n)
            table_remove(&c->labels, i);
    } else if (n->canon) {
        n->canon->refs--;
    }
    if (n->parent)
        n->parent->refs--;
    table_remove(&c->nodes, at);
    c->release(c, n);
    c->bytes -= n->bytes;
    c->evictions++;
    free(n);
}

bool gw_rw_make_room(struct gw_rw_cache *c, uint64_t bytes)
{
    /* Once round takes the marks off, once more takes the nodes, and again those that they held. */
    size_t left = 4 * (c->nodes.mask + 1);

    while (c->bytes + c->symbols.bytes + bytes > c->max_bytes) {
        struct gw_rw_node *n;

        if (left-- == 0)
            return false;
        c->hand &= c->nodes.mask;
        n = c->nodes.slots[c->hand].node;
        if (n && !n->used && n->refs == 0 && n->epoch != c->epoch) {
            drop(c, c->hand); /* another one may stand here now */
            continue;
        }
        if (n && n->epoch != c->epoch)
            n->used = 0;
        c->hand++;
    }
    return true;
}

struct gw_rw_node *gw_rw_node_new(uint8_t kind, struct gw_rw_node *parent, struct gw_slice key, size_t n_data)
{
    size_t size = gw_rw_node_bytes(key.n, n_data);
    struct gw_rw_node *n;

    if (size > UINT32_MAX)
        return NULL;
    n = aligned_alloc(64, size - GW_RW_MALLOC_BYTES);
    if (!n)
        return NULL;
    memset(n, 0, size - GW_RW_MALLOC_BYTES);
    n->parent = parent;
    n->kind = kind;
    n->key_n = (uint32_t)key.n;
    n->bytes = (uint32_t)size;
    n->head = n->tail = GW_RW_NO_ROW;
    if (key.n)
        memcpy(n + 1, key.p, key.n);
    return n;
}

int gw_rw_insert(struct gw_rw_cache *c, struct gw_rw_node *n, uint64_t hash)
{
    if (table_grow(c, &c->nodes) < 0)
        return -ENOMEM;
    n->hash = hash;
    n->epoch = c->epoch;
    n->used = 1;
    table_put(c->nodes.slots, c->nodes.mask, (struct gw_rw_slot){hash, n});
    c->nodes.n++;
    c->bytes += n->bytes;
    if (n->parent)
        n->parent->refs++;
    return 0;
}

static bool same_labels(const struct gw_rw_cache *c, struct gw_rw_node *a, struct gw_rw_node *b)
{
    return a->shape == b->shape && a->data_n == b->data_n && a->at_name == b->at_name &&
           memcmp(gw_rw_data(a), gw_rw_data(b), data_bytes(c, a)) == 0 && gw_slice_eq(family(a), family(b));
}

int gw_rw_insert_labels(struct gw_rw_cache *c, struct gw_rw_node *n)
{
    uint64_t hash = labels_hash(c, n);

    if (table_grow(c, &c->labels) < 0)
        return -ENOMEM;
    for (size_t i = hash & c->labels.mask; c->labels.slots[i].node; i = (i + 1) & c->labels.mask) {
        struct gw_rw_node *other = c->labels.slots[i].node;

        if (c->labels.slots[i].hash != hash || !same_labels(c, other, n))
            continue;
        n->canon = other;
        other->refs++;
        gw_rw_touch(c, other);
        return 0;
    }
    n->canon = n;
    table_put(c->labels.slots, c->labels.mask, (struct gw_rw_slot){hash, n});
    c->labels.n++;
    return 0;
}
