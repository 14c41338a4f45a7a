/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/symbols.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    FIRST_SLOTS = 256,
    SHORT_BYTES = 48,
    SPARE_MAX = 4096,
    OVERHEAD = 64 /* a symbol's own share of the tables and of malloc */
};

/* Short texts come and go with every exemplar: their memory is kept. */
static uint8_t *text_new(struct gw_rw_symbols *s, size_t n)
{
    void *p = s->spare;

    if (n > SHORT_BYTES || !p)
        return malloc(n > SHORT_BYTES ? n : SHORT_BYTES);
    memcpy(&s->spare, p, sizeof(p));
    s->n_spare--;
    return p;
}

static void text_free(struct gw_rw_symbols *s, uint8_t *p, size_t n)
{
    if (!p || n > SHORT_BYTES || s->n_spare == SPARE_MAX) {
        free(p);
        return;
    }
    memcpy(p, &s->spare, sizeof(s->spare));
    s->spare = p;
    s->n_spare++;
}

int gw_rw_symbols_init(struct gw_rw_symbols *s, uint64_t seed)
{
    static const char *const names[] = {"", "__name__", "le", "quantile", "+Inf", "trace_id", "span_id"};
    uint32_t id;

    *s = (struct gw_rw_symbols){.seed = seed, .mask = FIRST_SLOTS - 1};
    s->slots = calloc(FIRST_SLOTS, sizeof(*s->slots));
    if (!s->slots)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (gw_rw_symbol_get(s, gw_slice_cstr(names[i]), &id) < 0)
            return -ENOMEM;
    return 0;
}

void gw_rw_symbols_clear(struct gw_rw_symbols *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->symbols[i].p);
    for (void *p = s->spare, *next; p; p = next) {
        memcpy(&next, p, sizeof(next));
        free(p);
    }
    free(s->stamps);
    free(s->symbols);
    free(s->free_ids);
    free(s->slots);
    *s = (struct gw_rw_symbols){0};
}

static int grow_slots(struct gw_rw_symbols *s)
{
    size_t mask = s->mask * 2 + 1;
    uint32_t *slots = calloc(mask + 1, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i <= s->mask; i++) {
        uint32_t id = s->slots[i];
        size_t k;

        if (!id)
            continue;
        for (k = s->symbols[id - 1].hash & mask; slots[k];)
            k = (k + 1) & mask;
        slots[k] = id;
    }
    free(s->slots);
    s->slots = slots;
    s->mask = mask;
    return 0;
}

static int grow_ids(struct gw_rw_symbols *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : FIRST_SLOTS;
    void *p;

    p = realloc(s->stamps, cap * sizeof(*s->stamps));
    if (!p)
        return -ENOMEM;
    s->stamps = p;
    p = realloc(s->symbols, cap * sizeof(*s->symbols));
    if (!p)
        return -ENOMEM;
    s->symbols = p;
    p = realloc(s->free_ids, cap * sizeof(*s->free_ids));
    if (!p)
        return -ENOMEM;
    s->free_ids = p;
    s->cap = cap;
    return 0;
}

static int add(struct gw_rw_symbols *s, struct gw_slice text, uint64_t hash, uint32_t *ret_id)
{
    uint8_t *p = text_new(s, text.n);
    size_t i;

    if (!p || (s->n_used * 2 > s->mask && grow_slots(s) < 0) || (!s->n_free && s->n == s->cap && grow_ids(s) < 0)) {
        text_free(s, p, text.n);
        return -ENOMEM;
    }
    if (text.n)
        memcpy(p, text.p, text.n);
    *ret_id = s->n_free ? s->free_ids[--s->n_free] : s->n++;
    s->symbols[*ret_id] = (struct gw_rw_symbol){p, (uint32_t)text.n, 1, hash};
    s->stamps[*ret_id] = (struct gw_rw_stamp){0, 0};
    for (i = hash & s->mask; s->slots[i];)
        i = (i + 1) & s->mask;
    s->slots[i] = *ret_id + 1;
    s->n_used++;
    s->bytes += text.n + OVERHEAD;
    return 0;
}

int gw_rw_symbol_get(struct gw_rw_symbols *s, struct gw_slice text, uint32_t *ret_id)
{
    uint64_t hash = XXH3_64bits_withSeed(text.p, text.n, s->seed);

    for (size_t i = hash & s->mask; s->slots[i]; i = (i + 1) & s->mask) {
        struct gw_rw_symbol *y = &s->symbols[s->slots[i] - 1];

        if (y->hash != hash || !gw_slice_eq(gw_slice_of(y->p, y->n), text))
            continue;
        y->refs++;
        *ret_id = s->slots[i] - 1;
        return 0;
    }
    return add(s, text, hash, ret_id);
}

/** Take slot i out; those behind it that would not be found any more move up. */
static void remove_slot(struct gw_rw_symbols *s, size_t i)
{
    for (size_t k = (i + 1) & s->mask; s->slots[k]; k = (k + 1) & s->mask) {
        size_t home = s->symbols[s->slots[k] - 1].hash & s->mask;

        if (((k - home) & s->mask) < ((k - i) & s->mask))
            continue;
        s->slots[i] = s->slots[k];
        i = k;
    }
    s->slots[i] = 0;
    s->n_used--;
}

void gw_rw_symbol_unref(struct gw_rw_symbols *s, uint32_t id)
{
    struct gw_rw_symbol *y = &s->symbols[id];
    size_t i = y->hash & s->mask;

    if (--y->refs)
        return;
    while (s->slots[i] != id + 1)
        i = (i + 1) & s->mask;
    remove_slot(s, i);
    s->bytes -= y->n + OVERHEAD;
    text_free(s, y->p, y->n);
    y->p = NULL;
    s->free_ids[s->n_free++] = id;
}
