/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that the objects of a document have so far: one hash table for all objects, told apart by where they begin.
 * A turn is a document: entries of another turn are free, so that nothing has to be cleared.
 */
#include <stdlib.h>

#include "core/hash.h"
#include "exporters/elasticsearch/writer.h"

enum { FIRST_KEYS = 256 };

static uint32_t find_key(const struct gw_es_writer *w, const struct gw_es_key *k)
{
    uint64_t hash = gw_hash_table(gw_slice_of(k->p, k->n)) ^ (uintptr_t)k->object;
    uint32_t mask = w->cap_keys - 1, i = (uint32_t)(hash ^ hash >> 32) & mask;

    while (w->keys[i].turn == w->turn &&
           (w->keys[i].object != k->object || w->keys[i].n != k->n || memcmp(w->keys[i].p, k->p, k->n) != 0))
        i = (i + 1) & mask;
    return i;
}

static bool grow_keys(struct gw_es_writer *w)
{
    struct gw_es_key *old = w->keys;
    uint32_t n = w->cap_keys, cap = n ? 2 * n : FIRST_KEYS;
    struct gw_es_key *keys = cap > n ? calloc(cap, sizeof(*keys)) : NULL;

    if (!keys) {
        w->rc = -ENOMEM;
        return false;
    }
    w->keys = keys;
    w->cap_keys = cap;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].turn == w->turn)
            keys[find_key(w, &old[i])] = old[i];
    free(old);
    return true;
}

void gw_es_forget_keys(struct gw_es_writer *w)
{
    w->n_keys = 0;
    w->turn++;
}

uint32_t *gw_es_key_value(struct gw_es_writer *w, const void *object, struct gw_slice key)
{
    struct gw_es_key k = {.turn = w->turn, .n = (uint32_t)key.n, .p = key.p, .object = object};
    uint32_t i;

    if (w->n_keys >= w->cap_keys / 2 && !grow_keys(w))
        return NULL;
    i = find_key(w, &k);
    if (w->keys[i].turn != w->turn) {
        w->keys[i] = k;
        w->n_keys++;
    }
    return &w->keys[i].value;
}

bool gw_es_is_new_key(struct gw_es_writer *w, const void *object, struct gw_slice key)
{
    uint32_t *value = gw_es_key_value(w, object, key);

    return !value || (*value)++ == 0;
}
