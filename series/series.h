/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series by their attributes: a hash table whose key is the encoded run of attributes (metrics_writer.h), names and
 * types included, so that no two series are ever taken for one.
 *
 *   table ─┬─ group (a resource, say) ─► series ─► series ─► …      in order of appearance
 *          └─ group ─► …
 *
 * A group takes `limit` different series; what comes then is counted in one more, whose only attribute is
 * otel.metric.overflow = true. The same happens when the whole table has max_series, or the process' memory is used up.
 *
 * Memory    one malloc a series, taken from `credit` with what its value may point to; none for one that is there.
 * Bounded by max_series Threads   one, or a lock of the owner's
 */
#ifndef GW_SERIES_H
#define GW_SERIES_H

#include "core/credit.h"
#include "core/slice.h"

struct gw_series_group;

struct gw_series {
    struct gw_series *next, **link; /* of the group; link: what points to this one */
    struct gw_series_group *group;
    uint64_t hash; /* of the key */
    uint64_t start_ns, seen_ns;
    uint32_t key_bytes;
    bool is_overflow;
}; /* the value follows, zeroed at first, then the key */

struct gw_series_group {
    struct gw_series *first, **last;
    struct gw_series *overflow; /* or NULL */
    uint32_t n;                 /* series, the overflow included */
};

struct gw_series_conf {
    size_t value_bytes;
    size_t behind_bytes;      /* what a value may point to, at most: taken from the credit, too */
    uint32_t limit;           /* of a group; 0 = none */
    uint32_t max_series;      /* of the table, overflow series not counted */
    struct gw_credit *credit; /* or NULL */
    /** What a value points to. May be NULL. */
    void (*clear_value)(void *value, void *arg);
    void *arg;
};

struct gw_series_slot {
    uint64_t hash;
    struct gw_series *s;
};

struct gw_series_table {
    struct gw_series_conf conf;
    struct gw_series_slot *slots;
    uint32_t cap, n, n_overflow; /* n: with the overflow series */
    uint64_t bytes;              /* taken from the credit */
};

void gw_series_init(struct gw_series_table *t, const struct gw_series_conf *conf);
void gw_series_group_init(struct gw_series_group *g);
/** All series of all groups, which are empty then: the caller resets them with gw_series_group_init. */
void gw_series_clear(struct gw_series_table *t);

/**
 * The series of that key; a new one begins at now_ns. Both are seen now.
 *
 * Errors    NULL: no memory, not even for the overflow series
 */
struct gw_series *gw_series_get(struct gw_series_table *t, struct gw_series_group *g, struct gw_slice key,
                                uint64_t now_ns);
/** The same, when the hash (gw_hash_table) is known. */
struct gw_series *gw_series_get_hashed(struct gw_series_table *t, struct gw_series_group *g, struct gw_slice key,
                                       uint64_t hash, uint64_t now_ns);
/** NULL: there is none. */
struct gw_series *gw_series_find(const struct gw_series_table *t, const struct gw_series_group *g, struct gw_slice key,
                                 uint64_t hash);
/** Series that were not seen since before_ns go. Returns how many. */
uint32_t gw_series_expire(struct gw_series_table *t, struct gw_series_group *g, uint64_t before_ns);
/** All series of the group. */
void gw_series_drop(struct gw_series_table *t, struct gw_series_group *g);
void gw_series_remove(struct gw_series_table *t, struct gw_series *s);
/** What is there is given back to the budget, and from now on none is taken: everything is about to end. */
void gw_series_uncharge(struct gw_series_table *t);

static inline void *gw_series_value(struct gw_series *s)
{
    return s + 1;
}
/** The attributes, encoded. */
static inline struct gw_slice gw_series_key(const struct gw_series_table *t, const struct gw_series *s)
{
    return (struct gw_slice){(const uint8_t *)(s + 1) + t->conf.value_bytes, s->key_bytes};
}

#endif
