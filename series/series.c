/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing, linear probing, at most half full; a hole is closed by moving back what follows it. */
#include "series/series.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

enum { FIRST_CAP = 64 };

/* KeyValue { key: "otel.metric.overflow", value: { bool_value: true } } */
static const uint8_t overflow_key[] = "\x0a\x1a\x0a\x14"
                                      "otel.metric.overflow"
                                      "\x12\x02\x10\x01";

void gw_series_init(struct gw_series_table *t, const struct gw_series_conf *conf)
{
    *t = (struct gw_series_table){.conf = *conf};
    t->conf.value_bytes = (conf->value_bytes + 15) & ~(size_t)15;
}

void gw_series_group_init(struct gw_series_group *g)
{
    *g = (struct gw_series_group){.last = &g->first};
}

/* Equal keys of different groups shall not follow each other in the table. */
static uint64_t place_hash(const struct gw_series_group *g, uint64_t hash)
{
    return hash ^ ((uint64_t)(uintptr_t)g >> 4) * UINT64_C(0x9E3779B97F4A7C15);
}

static void put_slot(struct gw_series_slot *slots, uint32_t cap, uint64_t hash, struct gw_series *s)
{
    uint32_t i = (uint32_t)hash & (cap - 1);

    while (slots[i].s)
        i = (i + 1) & (cap - 1);
    slots[i] = (struct gw_series_slot){hash, s};
}

static bool grow(struct gw_series_table *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
    size_t bytes = cap * sizeof(struct gw_series_slot);
    struct gw_series_slot *slots;

    if (t->conf.credit && !gw_credit_take(t->conf.credit, bytes))
        return false;
    slots = calloc(cap, sizeof(*slots));
    if (!slots) {
        if (t->conf.credit)
            gw_credit_give(t->conf.credit, bytes);
        return false;
    }
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slots[i].s)
            put_slot(slots, cap, t->slots[i].hash, t->slots[i].s);
    free(t->slots);
    if (t->conf.credit)
        gw_credit_give(t->conf.credit, t->cap * sizeof(struct gw_series_slot));
    t->bytes += bytes - t->cap * sizeof(struct gw_series_slot);
    t->slots = slots;
    t->cap = cap;
    return true;
}

static size_t bytes_of(const struct gw_series_table *t, uint32_t key_bytes)
{
    return sizeof(struct gw_series) + t->conf.value_bytes + key_bytes;
}

static size_t charge_of(const struct gw_series_table *t, uint32_t key_bytes)
{
    return bytes_of(t, key_bytes) + t->conf.behind_bytes;
}

static void free_series(struct gw_series_table *t, struct gw_series *s)
{
    size_t bytes = charge_of(t, s->key_bytes);

    if (t->conf.clear_value)
        t->conf.clear_value(gw_series_value(s), t->conf.arg);
    t->bytes -= bytes;
    t->n--;
    t->n_overflow -= s->is_overflow;
    if (t->conf.credit)
        gw_credit_give(t->conf.credit, bytes);
    free(s);
}

void gw_series_clear(struct gw_series_table *t)
{
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slots[i].s)
            free_series(t, t->slots[i].s);
    if (t->conf.credit)
        gw_credit_give(t->conf.credit, t->bytes);
    free(t->slots);
    t->slots = NULL;
    t->bytes = 0;
    t->cap = 0;
}

static struct gw_series *find(const struct gw_series_table *t, const struct gw_series_group *g, struct gw_slice key,
                              uint64_t place)
{
    for (uint32_t i = (uint32_t)place & (t->cap - 1); t->cap && t->slots[i].s; i = (i + 1) & (t->cap - 1)) {
        struct gw_series *s = t->slots[i].s;

        if (t->slots[i].hash == place && s->group == g && gw_slice_eq(gw_series_key(t, s), key))
            return s;
    }
    return NULL;
}

struct gw_series *gw_series_find(const struct gw_series_table *t, const struct gw_series_group *g, struct gw_slice key,
                                 uint64_t hash)
{
    return find(t, g, key, place_hash(g, hash));
}

static struct gw_series *add(struct gw_series_table *t, struct gw_series_group *g, struct gw_slice key, uint64_t hash,
                             uint64_t now_ns)
{
    size_t bytes = charge_of(t, (uint32_t)key.n);
    struct gw_series *s;

    if (2 * (t->n + 1) > t->cap && !grow(t))
        return NULL;
    if (t->conf.credit && !gw_credit_take(t->conf.credit, bytes))
        return NULL;
    s = malloc(bytes_of(t, (uint32_t)key.n));
    if (!s) {
        if (t->conf.credit)
            gw_credit_give(t->conf.credit, bytes);
        return NULL;
    }
    *s = (struct gw_series){.group = g, .hash = hash, .start_ns = now_ns, .seen_ns = now_ns};
    memset(gw_series_value(s), 0, t->conf.value_bytes);
    if (key.n)
        memcpy((uint8_t *)gw_series_value(s) + t->conf.value_bytes, key.p, key.n);
    s->key_bytes = (uint32_t)key.n;
    put_slot(t->slots, t->cap, place_hash(g, hash), s);
    s->link = g->last;
    *g->last = s;
    g->last = &s->next;
    g->n++;
    t->n++;
    t->bytes += bytes;
    return s;
}

static bool is_full(const struct gw_series_table *t, const struct gw_series_group *g)
{
    return (t->conf.limit && g->n >= t->conf.limit) || t->n - t->n_overflow >= t->conf.max_series;
}

static struct gw_series *overflow_of(struct gw_series_table *t, struct gw_series_group *g, uint64_t now_ns)
{
    struct gw_slice key = {overflow_key, sizeof(overflow_key) - 1};

    if (!g->overflow) {
        g->overflow = add(t, g, key, gw_hash_table(key), now_ns);
        if (!g->overflow)
            return NULL;
        g->overflow->is_overflow = true;
        t->n_overflow++;
    }
    g->overflow->seen_ns = now_ns;
    return g->overflow;
}

struct gw_series *gw_series_get_hashed(struct gw_series_table *t, struct gw_series_group *g, struct gw_slice key,
                                       uint64_t hash, uint64_t now_ns)
{
    struct gw_series *s = find(t, g, key, place_hash(g, hash));

    if (!s && !is_full(t, g))
        s = add(t, g, key, hash, now_ns);
    if (!s)
        return overflow_of(t, g, now_ns);
    s->seen_ns = now_ns;
    return s;
}

struct gw_series *gw_series_get(struct gw_series_table *t, struct gw_series_group *g, struct gw_slice key,
                                uint64_t now_ns)
{
    return gw_series_get_hashed(t, g, key, gw_hash_table(key), now_ns);
}

/* ---- taking out ------------------------------------------------------------------------------------------- */

static void empty_slot(struct gw_series_table *t, const struct gw_series *s)
{
    uint32_t mask = t->cap - 1, hole = (uint32_t)place_hash(s->group, s->hash) & mask;

    while (t->slots[hole].s != s)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; t->slots[i].s; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)t->slots[i].hash & mask;

        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it would stand before its home */
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = (struct gw_series_slot){0};
}

void gw_series_remove(struct gw_series_table *t, struct gw_series *s)
{
    struct gw_series_group *g = s->group;

    empty_slot(t, s);
    *s->link = s->next;
    *(s->next ? &s->next->link : &g->last) = s->link;
    if (g->overflow == s)
        g->overflow = NULL;
    g->n--;
    free_series(t, s);
}

uint32_t gw_series_expire(struct gw_series_table *t, struct gw_series_group *g, uint64_t before_ns)
{
    uint32_t n = 0;

    for (struct gw_series *s = g->first, *next; s; s = next) {
        next = s->next;
        if (s->seen_ns >= before_ns)
            continue;
        gw_series_remove(t, s);
        n++;
    }
    return n;
}

void gw_series_drop(struct gw_series_table *t, struct gw_series_group *g)
{
    while (g->first)
        gw_series_remove(t, g->first);
}

void gw_series_uncharge(struct gw_series_table *t)
{
    if (t->conf.credit)
        gw_credit_give(t->conf.credit, t->bytes);
    t->conf.credit = NULL;
}
