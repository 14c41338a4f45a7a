/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/service_graph/halves.h"

#include <stdlib.h>

#include "connectors/service_graph/texts.h"
#include "core/hash.h"

enum {
    FIRST_SLOTS = 64,
    /* A free slot keeps a run of texts up to this, so that the next half finds one; services and a few dimensions. */
    KEEP_TEXT_BYTES = 256,
};

/* Indices are + 1 everywhere; 0 = none. */
struct slot {
    struct gw_half_key key;
    uint32_t chain;        /* next in its bucket, or of the free list */
    uint32_t older, newer; /* order */
    uint32_t cap;          /* bytes at text */
    uint8_t *text;         /* texts.h: service, peer, dimensions */
    uint64_t kept_ns, duration_ns;
    uint8_t side;
    bool messaging, failed;
};

struct gw_halves {
    struct gw_halves_conf conf;
    struct slot *slots;
    uint32_t *buckets; /* as many as slots: a power of two */
    uint32_t n_slots, n_used, n_live, free, oldest, newest;
    uint32_t given; /* whose texts the caller looks at: free with the next call */
    uint64_t held_bytes;
    struct gw_slice *dims; /* of what was given */
};

/* ---- memory ----------------------------------------------------------------------------------------------- */

static bool take_bytes(struct gw_halves *h, uint64_t n)
{
    if (!gw_credit_take(h->conf.bytes, n))
        return false;
    if (h->conf.memory && !gw_credit_take(h->conf.memory, n)) {
        gw_credit_give(h->conf.bytes, n);
        return false;
    }
    h->held_bytes += n;
    return true;
}

static void give_bytes(struct gw_halves *h, uint64_t n)
{
    gw_credit_give(h->conf.bytes, n);
    if (h->conf.memory)
        gw_credit_give(h->conf.memory, n);
    h->held_bytes -= n;
}

static uint32_t *bucket_of(struct gw_halves *h, const struct gw_half_key *key)
{
    return &h->buckets[gw_hash_table(gw_slice_of(key, sizeof(*key))) & (h->n_slots - 1)];
}

static void rebuild(struct gw_halves *h)
{
    memset(h->buckets, 0, h->n_slots * sizeof(*h->buckets));
    for (uint32_t i = h->oldest; i; i = h->slots[i - 1].newer) {
        uint32_t *b = bucket_of(h, &h->slots[i - 1].key);

        h->slots[i - 1].chain = *b;
        *b = i;
    }
}

/* Twice the slots. The free list is empty then: chain is of buckets only. */
static bool grow(struct gw_halves *h)
{
    uint32_t n = h->n_slots ? h->n_slots * 2 : FIRST_SLOTS;
    uint64_t more = (uint64_t)(n - h->n_slots) * (sizeof(struct slot) + sizeof(uint32_t));
    struct slot *slots;
    uint32_t *buckets;

    if (n > UINT32_MAX / 4 || !take_bytes(h, more))
        return false;
    slots = realloc(h->slots, n * sizeof(*slots));
    h->slots = slots ? slots : h->slots;
    buckets = slots ? realloc(h->buckets, n * sizeof(*buckets)) : NULL;
    if (!buckets) {
        give_bytes(h, more);
        return false;
    }
    memset(&h->slots[h->n_slots], 0, (n - h->n_slots) * sizeof(*slots));
    h->buckets = buckets;
    h->n_slots = n;
    rebuild(h);
    return true;
}

static void free_text(struct gw_halves *h, struct slot *s)
{
    give_bytes(h, s->cap);
    free(s->text);
    s->text = NULL;
    s->cap = 0;
}

static bool reserve_text(struct gw_halves *h, struct slot *s, uint64_t n)
{
    uint64_t cap = 64;
    uint8_t *p;

    if (n <= s->cap)
        return true;
    while (cap < n)
        cap *= 2;
    if (cap > UINT32_MAX || !take_bytes(h, cap - s->cap))
        return false;
    p = realloc(s->text, cap);
    if (!p) {
        give_bytes(h, cap - s->cap);
        return false;
    }
    s->text = p;
    s->cap = (uint32_t)cap;
    return true;
}

/* ---- texts ------------------------------------------------------------------------------------------------ */

static uint64_t text_bytes(const struct gw_half *half)
{
    return gw_text_bytes(half->service) + gw_text_bytes(half->peer) + gw_texts_bytes(half->dims, half->n_dims);
}

static bool fill(struct gw_halves *h, struct slot *s, const struct gw_half *half)
{
    if (!reserve_text(h, s, text_bytes(half)))
        return false;
    (void)gw_texts_put(gw_text_put(gw_text_put(s->text, half->service), half->peer), half->dims, half->n_dims);
    s->duration_ns = half->duration_ns;
    s->messaging = half->messaging;
    return true;
}

static void show(struct gw_halves *h, const struct slot *s, struct gw_half *ret)
{
    *ret = (struct gw_half){.side = s->side,
                            .messaging = s->messaging,
                            .failed = s->failed,
                            .n_dims = h->conf.n_dims,
                            .duration_ns = s->duration_ns,
                            .dims = h->dims};
    (void)gw_texts_get(gw_text_get(gw_text_get(s->text, &ret->service), &ret->peer), h->dims, h->conf.n_dims);
}

/* ---- slots ------------------------------------------------------------------------------------------------ */

/* What was given last is not looked at any more. */
static void release_given(struct gw_halves *h)
{
    struct slot *s;

    if (!h->given)
        return;
    s = &h->slots[h->given - 1];
    if (s->cap > KEEP_TEXT_BYTES)
        free_text(h, s);
    s->chain = h->free;
    h->free = h->given;
    h->given = 0;
}

static uint32_t new_slot(struct gw_halves *h)
{
    uint32_t i = h->free;

    if (i) {
        h->free = h->slots[i - 1].chain;
        return i;
    }
    if (h->n_used == h->n_slots && !grow(h))
        return 0;
    return ++h->n_used;
}

static uint32_t find(struct gw_halves *h, const struct gw_half_key *key)
{
    uint32_t i = *bucket_of(h, key);

    while (i && memcmp(&h->slots[i - 1].key, key, sizeof(*key)) != 0)
        i = h->slots[i - 1].chain;
    return i;
}

static void append(struct gw_halves *h, uint32_t i)
{
    struct slot *s = &h->slots[i - 1];
    uint32_t *b = bucket_of(h, &s->key);

    s->chain = *b;
    *b = i;
    s->older = h->newest;
    s->newer = 0;
    *(h->newest ? &h->slots[h->newest - 1].newer : &h->oldest) = i;
    h->newest = i;
    h->n_live++;
}

/* Out of table and order; its texts stay until the next call. */
static void give(struct gw_halves *h, uint32_t i, struct gw_half *ret)
{
    struct slot *s = &h->slots[i - 1];
    uint32_t *at = bucket_of(h, &s->key);

    while (*at != i)
        at = &h->slots[*at - 1].chain;
    *at = s->chain;
    *(s->older ? &h->slots[s->older - 1].newer : &h->oldest) = s->newer;
    *(s->newer ? &h->slots[s->newer - 1].older : &h->newest) = s->older;
    h->n_live--;
    gw_credit_give(h->conf.items, 1);
    h->given = i;
    show(h, s, ret);
}

static bool keep(struct gw_halves *h, const struct gw_half_key *key, const struct gw_half *half, uint64_t now_ns)
{
    uint32_t i;
    struct slot *s;

    if (!gw_credit_take(h->conf.items, 1))
        return false;
    i = new_slot(h);
    s = i ? &h->slots[i - 1] : NULL;
    if (!s || !fill(h, s, half)) {
        gw_credit_give(h->conf.items, 1);
        h->given = i; /* back to the free ones */
        release_given(h);
        return false;
    }
    s->key = *key;
    s->side = half->side;
    s->failed = half->failed;
    s->kept_ns = now_ns;
    append(h, i);
    return true;
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

struct gw_halves *gw_halves_new(const struct gw_halves_conf *conf)
{
    struct gw_halves *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->conf = *conf;
    h->dims = calloc(conf->n_dims + 1u, sizeof(*h->dims));
    if (!h->dims || !take_bytes(h, sizeof(*h) + (conf->n_dims + 1u) * sizeof(*h->dims)) || !grow(h)) {
        gw_halves_free(h);
        return NULL;
    }
    return h;
}

void gw_halves_free(struct gw_halves *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->n_used; i++)
        free(h->slots[i].text);
    gw_credit_give(h->conf.items, h->n_live);
    give_bytes(h, h->held_bytes);
    free(h->slots);
    free(h->buckets);
    free(h->dims);
    free(h);
}

enum gw_half_fate gw_halves_put(struct gw_halves *h, const struct gw_half_key *key, const struct gw_half *half,
                                uint64_t now_ns, struct gw_half *ret_other)
{
    uint32_t i;
    struct slot *s;

    release_given(h);
    i = find(h, key);
    if (!i)
        return keep(h, key, half, now_ns) ? GW_HALF_KEPT : GW_HALF_NO_ROOM;
    s = &h->slots[i - 1];
    if (s->side != half->side) {
        give(h, i, ret_other);
        return GW_HALF_PAIRED;
    }
    if (!fill(h, s, half))
        return GW_HALF_NO_ROOM;
    s->failed |= half->failed;
    return GW_HALF_AGAIN;
}

bool gw_halves_take(struct gw_halves *h, const struct gw_half_key *key, struct gw_half *ret)
{
    uint32_t i;

    release_given(h);
    i = find(h, key);
    if (i)
        give(h, i, ret);
    return i != 0;
}

bool gw_halves_expire(struct gw_halves *h, uint64_t now_ns, struct gw_half_key *ret_key, struct gw_half *ret)
{
    const struct slot *s = h->oldest ? &h->slots[h->oldest - 1] : NULL;

    release_given(h);
    if (!s || now_ns <= s->kept_ns + h->conf.ttl_ns)
        return false;
    *ret_key = s->key;
    give(h, h->oldest, ret);
    return true;
}

uint32_t gw_halves_n(const struct gw_halves *h)
{
    return h->n_live;
}

uint64_t gw_halves_held_bytes(const struct gw_halves *h)
{
    return h->held_bytes;
}
