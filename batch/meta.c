/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/meta.h"

#include <stdlib.h>
#include <strings.h>

#include "core/hash.h"

static size_t text_bytes(const struct gw_meta_pair *pairs, uint32_t n)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        bytes += pairs[i].key.n + pairs[i].value.n;
    return bytes;
}

static struct gw_slice put(uint8_t **at, struct gw_slice s)
{
    struct gw_slice copy = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

/* Order matters and so do lengths: ("ab", "c") is not ("a", "bc"). */
static uint64_t mix(uint64_t h, struct gw_slice s)
{
    return (h ^ gw_hash_table(s)) * 0x9e3779b97f4a7c15u + s.n;
}

static uint64_t hash_pairs(uint64_t h, const struct gw_meta_pair *pairs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        h = mix(mix(h, pairs[i].key), pairs[i].value);
    return h * 31 + n;
}

struct gw_meta *gw_meta_new(const struct gw_meta *from)
{
    size_t n = (size_t)from->n_pairs + from->n_auth;
    size_t bytes = sizeof(struct gw_meta) + n * sizeof(struct gw_meta_pair) + from->tenant.n + from->peer.n +
                   text_bytes(from->pairs, from->n_pairs) + text_bytes(from->auth, from->n_auth);
    struct gw_meta *m = malloc(bytes);
    struct gw_meta_pair *pairs;
    uint8_t *at;

    if (!m)
        return NULL;
    pairs = (struct gw_meta_pair *)(m + 1);
    at = (uint8_t *)(pairs + n);
    *m = (struct gw_meta){.n_pairs = from->n_pairs, .n_auth = from->n_auth, .transport = from->transport};
    m->tenant = put(&at, from->tenant);
    m->peer = put(&at, from->peer);
    m->pairs = pairs;
    m->auth = pairs + from->n_pairs;
    for (size_t i = 0; i < n; i++) {
        const struct gw_meta_pair *p = i < from->n_pairs ? &from->pairs[i] : &from->auth[i - from->n_pairs];

        pairs[i].key = put(&at, p->key);
        pairs[i].value = put(&at, p->value);
    }
    m->hash = hash_pairs(hash_pairs(mix(mix(0, m->tenant), m->peer), m->pairs, m->n_pairs), m->auth, m->n_auth);
    atomic_store_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

/* The count is the one thing that may change in a shared meta. */
struct gw_meta *gw_meta_ref(const struct gw_meta *m)
{
    struct gw_meta *w = (struct gw_meta *)m;

    if (w)
        atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
    return w;
}

struct gw_meta *gw_meta_unref(struct gw_meta *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        free(m);
    return NULL;
}

bool gw_meta_find(const struct gw_meta *m, struct gw_slice key, unsigned i, struct gw_slice *ret)
{
    for (uint32_t k = 0; m && k < m->n_pairs; k++) {
        const struct gw_meta_pair *p = &m->pairs[k];

        if (p->key.n != key.n || (key.n && strncasecmp((const char *)p->key.p, (const char *)key.p, key.n) != 0))
            continue;
        if (i-- == 0) {
            *ret = p->value;
            return true;
        }
    }
    return false;
}

static bool pairs_eq(const struct gw_meta_pair *a, const struct gw_meta_pair *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!gw_slice_eq(a[i].key, b[i].key) || !gw_slice_eq(a[i].value, b[i].value))
            return false;
    return true;
}

bool gw_meta_eq_but_peer(const struct gw_meta *a, const struct gw_meta *b)
{
    if (a == b)
        return true;
    return a && b && a->n_pairs == b->n_pairs && a->n_auth == b->n_auth && gw_slice_eq(a->tenant, b->tenant) &&
           pairs_eq(a->pairs, b->pairs, a->n_pairs) && pairs_eq(a->auth, b->auth, a->n_auth);
}

bool gw_meta_eq(const struct gw_meta *a, const struct gw_meta *b)
{
    if (a == b)
        return true;
    return a && b && a->hash == b->hash && gw_slice_eq(a->peer, b->peer) && gw_meta_eq_but_peer(a, b);
}
