/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the bytes that were seen. A node is found by its parent and its key, compared byte for byte:
 *
 *   resource ─► scope ─► metric ─► series         bounds of histograms, quantiles of summaries
 *   Resource    Scope    name,     attribute
 *   message     message  unit, …   bytes
 *
 * A node holds its parent; one that nobody holds and that was not asked for since the clock's hand came by last goes
 * when room is needed. Nodes of the current epoch never go: they are what is being written.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_CACHE_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_CACHE_H

#include "core/slice.h"
#include "exporters/prometheus_remote_write/symbols.h"

enum gw_rw_kind {
    GW_RW_RESOURCE = 1,
    GW_RW_SCOPE,
    GW_RW_METRIC,
    GW_RW_SERIES,
    GW_RW_INFO,
    GW_RW_BOUNDS,
    GW_RW_QUANTILES
};

enum gw_rw_shape { GW_RW_NUMBER, GW_RW_CLASSIC, GW_RW_NATIVE, GW_RW_SUMMARY };

enum { GW_RW_NO_ROW = UINT32_MAX };
enum { GW_RW_MALLOC_BYTES = 16 /* what an allocation costs beyond its size */ };

/**
 * One line of the cache, then key and data. Data of a series: its labels, encoded for 1.0 or symbols for 2.0. The name
 * is among them for numbers and native histograms; the others write it, with their suffix, at at_name, and `le` or
 * `quantile` at at_extra. A metric's name without suffix is at_extra bytes of its data from at_name.
 */
struct gw_rw_node {
    uint64_t hash;
    struct gw_rw_node *parent;
    struct gw_rw_node *canon; /* series: the first one with these labels, often itself */
    uint32_t key_n, data_n;   /* bytes, or number of symbols */
    uint32_t bytes;           /* of memory */
    uint32_t refs;            /* children, aliases */
    uint32_t epoch;           /* of the window that asked for it last */
    uint32_t head, tail;      /* rows of this window, linked */
    uint32_t at_name, at_extra;
    uint16_t shard;
    uint8_t kind, shape : 3, used : 1;
};
_Static_assert(sizeof(struct gw_rw_node) == 64, "a node's header is one line of the cache");

struct gw_rw_slot {
    uint64_t hash;
    struct gw_rw_node *node;
};

struct gw_rw_table {
    struct gw_rw_slot *slots;
    size_t mask, n;
};

struct gw_rw_cache {
    struct gw_rw_table nodes;  /* by parent and key */
    struct gw_rw_table labels; /* series by what they are called: one that is its own canon */
    struct gw_rw_symbols symbols;
    enum gw_rw_version version; /* data is encoded for it */
    uint64_t seed, max_bytes, bytes, evictions;
    uint32_t epoch;
    size_t hand;
    /** Give up what a node's data holds. */
    void (*release)(struct gw_rw_cache *c, struct gw_rw_node *n);
};

/** Errors: -ENOMEM. */
int gw_rw_cache_init(struct gw_rw_cache *c, uint64_t seed, uint64_t max_bytes);
void gw_rw_cache_clear(struct gw_rw_cache *c);
/** Forget all. */
void gw_rw_cache_reset(struct gw_rw_cache *c);

static inline struct gw_slice gw_rw_key(const struct gw_rw_node *n)
{
    return gw_slice_of((const uint8_t *)(n + 1), n->key_n);
}
static inline uint8_t *gw_rw_data(struct gw_rw_node *n)
{
    return (uint8_t *)(n + 1) + ((n->key_n + 7) & ~(size_t)7);
}

uint64_t gw_rw_hash(const struct gw_rw_cache *c, const struct gw_rw_node *parent, uint8_t kind, struct gw_slice key);

static inline void gw_rw_touch(struct gw_rw_cache *c, struct gw_rw_node *n)
{
    if (n->epoch == c->epoch)
        return;
    n->epoch = c->epoch;
    n->used = 1;
    n->head = GW_RW_NO_ROW;
}

/** A node that is there, or NULL. */
static inline struct gw_rw_node *gw_rw_find(const struct gw_rw_cache *c, uint64_t hash, const struct gw_rw_node *parent,
                                            uint8_t kind, struct gw_slice key)
{
    for (size_t i = hash & c->nodes.mask;; i = (i + 1) & c->nodes.mask) {
        const struct gw_rw_slot *s = &c->nodes.slots[i];
        struct gw_rw_node *n = s->node;

        if (!n)
            return NULL;
        if (s->hash == hash && n->parent == parent && n->kind == kind && n->key_n == key.n &&
            (key.n == 0 || memcmp(n + 1, key.p, key.n) == 0))
            return n;
    }
}

/** Memory of a node. */
static inline size_t gw_rw_node_bytes(size_t key_n, size_t n_data)
{
    return ((sizeof(struct gw_rw_node) + ((key_n + 7) & ~(size_t)7) + n_data + 63) & ~(size_t)63) + GW_RW_MALLOC_BYTES;
}

/** Room for `bytes` more, by eviction. False: all that is left belongs to this window, or is held by what does. */
bool gw_rw_make_room(struct gw_rw_cache *c, uint64_t bytes);
/**
 * A new node of this epoch with room for data_bytes, zeroed; the caller puts it in with gw_rw_insert or frees it.
 * Errors: NULL.
 */
struct gw_rw_node *gw_rw_node_new(uint8_t kind, struct gw_rw_node *parent, struct gw_slice key, size_t data_bytes);
/** Errors: -ENOMEM; then the node is not in. */
int gw_rw_insert(struct gw_rw_cache *c, struct gw_rw_node *n, uint64_t hash);
/** Make n an alias of a series with the same labels, or the one that others are aliases of. Errors: -ENOMEM. */
int gw_rw_insert_labels(struct gw_rw_cache *c, struct gw_rw_node *n);

#endif
