/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/sums.h"

#include <stdlib.h>
#include <string.h>

#include "processors/common/index.h"

enum { RELEASE_SLABS = 64 };

/* Where in `more` a thing is; 0: nowhere. The bits are first. */
struct layout {
    uint8_t running, wire, framed, randomness, root, n;
};

struct list {
    uint32_t first, last;
    uint32_t fresh; /* from here on it is not in order yet; 0: all is */
};

struct gw_sums {
    struct gw_budget budget;
    struct gw_slabs items;
    struct gw_index index;
    uint64_t seed[2];
    uint32_t n_words;
    struct layout at;
    struct list order, open, rooted;
    uint64_t n_open;
};

/* In `more`, with the list of those whose root has come. */
struct root {
    uint32_t before, after;
    uint64_t step;
};
enum { ROOT_WORDS = sizeof(struct root) / sizeof(uint64_t) };

_Static_assert(sizeof(struct gw_sum) == 72, "what the header promises, with a word of bits");

/* ---- finding ---------------------------------------------------------------------------------------------- */

static uint64_t hash_id(const struct gw_sums *s, const uint8_t id[16])
{
    uint64_t a, b;
    unsigned __int128 m;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    m = (unsigned __int128)(a ^ s->seed[0]) * (b ^ s->seed[1]);
    m = (unsigned __int128)((uint64_t)m ^ (uint64_t)(m >> 64) ^ s->seed[1]) * UINT64_C(0x9fb21c651e98df25);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_item(const void *arg, const void *item)
{
    return hash_id(arg, ((const struct gw_sum *)item)->id);
}

static struct gw_sum *at(const struct gw_sums *s, uint32_t item)
{
    return item ? gw_slabs_at(&s->items, item) : NULL;
}

struct gw_sum *gw_sums_find(struct gw_sums *s, const uint8_t id[16])
{
    struct gw_sum *ret = NULL;

    for (uint32_t i = gw_index_first(&s->index, hash_id(s, id)); i; i = *gw_slabs_link(&s->items, i)) {
        struct gw_sum *t = at(s, i);

        if (memcmp(t->id, id, 16) == 0 && (!ret || gw_step_before(ret->last, t->last)))
            ret = t;
    }
    return ret;
}

struct gw_sum *gw_sums_find_at(struct gw_sums *s, const uint8_t id[16], uint32_t step)
{
    for (uint32_t i = gw_index_first(&s->index, hash_id(s, id)); i; i = *gw_slabs_link(&s->items, i)) {
        struct gw_sum *t = at(s, i);

        if (memcmp(t->id, id, 16) == 0 && !gw_step_before(step, t->first) && !gw_step_before(t->last, step))
            return t;
    }
    return NULL;
}

/* ---- lists ------------------------------------------------------------------------------------------------ */

static void order_out(struct gw_sums *s, struct gw_sum *t)
{
    *(t->older ? &at(s, t->older)->newer : &s->order.first) = t->newer;
    *(t->newer ? &at(s, t->newer)->older : &s->order.last) = t->older;
}

static void order_in(struct gw_sums *s, struct gw_sum *t)
{
    t->older = s->order.last;
    t->newer = 0;
    *(s->order.last ? &at(s, s->order.last)->newer : &s->order.first) = t->number;
    s->order.last = t->number;
}

static struct root *root_of(const struct gw_sums *s, struct gw_sum *t)
{
    return (struct root *)&t->more[s->at.root];
}

static void rooted_out(struct gw_sums *s, struct gw_sum *t)
{
    struct root *r = root_of(s, t);

    *(r->before ? &root_of(s, at(s, r->before))->after : &s->rooted.first) = r->after;
    *(r->after ? &root_of(s, at(s, r->after))->before : &s->rooted.last) = r->before;
    if (s->rooted.fresh == t->number)
        s->rooted.fresh = r->after;
    t->is_rooted = 0;
}

void gw_sums_root(struct gw_sums *s, struct gw_sum *t, uint32_t step)
{
    struct root *r = root_of(s, t);

    *r = (struct root){.before = s->rooted.last, .step = step};
    *(s->rooted.last ? &root_of(s, at(s, s->rooted.last))->after : &s->rooted.first) = t->number;
    s->rooted.last = t->number;
    s->rooted.fresh = s->rooted.fresh ? s->rooted.fresh : t->number;
    t->is_rooted = 1;
}

void gw_sums_open(struct gw_sums *s, struct gw_sum *t)
{
    t->flags |= GW_SUM_OPEN;
    t->before = s->open.last;
    t->after = 0;
    *(s->open.last ? &at(s, s->open.last)->after : &s->open.first) = t->number;
    s->open.last = t->number;
    s->open.fresh = s->open.fresh ? s->open.fresh : t->number;
    s->n_open++;
}

void gw_sums_shut(struct gw_sums *s, struct gw_sum *t)
{
    *(t->before ? &at(s, t->before)->after : &s->open.first) = t->after;
    *(t->after ? &at(s, t->after)->before : &s->open.last) = t->before;
    if (s->open.fresh == t->number)
        s->open.fresh = t->after;
    t->flags &= (uint8_t)~GW_SUM_OPEN;
    s->n_open--;
    if (t->is_rooted)
        rooted_out(s, t);
}

void gw_sums_touch(struct gw_sums *s, struct gw_sum *t, uint32_t step)
{
    t->last = step;
    if (s->order.last == t->number)
        return;
    order_out(s, t);
    order_in(s, t);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

typedef struct link (*link_fn)(const struct gw_sums *s, uint32_t item);

struct link {
    uint32_t *before, *after;
};

static struct link open_link(const struct gw_sums *s, uint32_t item)
{
    return (struct link){&at(s, item)->before, &at(s, item)->after};
}

static struct link root_link(const struct gw_sums *s, uint32_t item)
{
    struct root *r = root_of(s, at(s, item));

    return (struct link){&r->before, &r->after};
}

/* Two chains by ids into one. */
static uint32_t merge(const struct gw_sums *s, link_fn link, uint32_t a, uint32_t b)
{
    uint32_t first = 0, *to = &first;

    while (a && b) {
        uint32_t *less = memcmp(at(s, a)->id, at(s, b)->id, 16) <= 0 ? &a : &b;

        *to = *less;
        to = link(s, *less).after;
        *less = *to;
    }
    *to = a ? a : b;
    return first;
}

/* bins[i]: a chain of 2^i, or none. */
static uint32_t sort(const struct gw_sums *s, link_fn link, uint32_t first)
{
    uint32_t bins[33] = {0}, all = 0;

    while (first) {
        uint32_t one = first;
        unsigned i = 0;

        first = *link(s, one).after;
        *link(s, one).after = 0;
        for (; bins[i]; bins[i++] = 0)
            one = merge(s, link, bins[i], one);
        bins[i] = one;
    }
    for (unsigned i = 0; i < 33; i++)
        all = merge(s, link, bins[i], all);
    return all;
}

static void order(const struct gw_sums *s, struct list *l, link_fn link)
{
    uint32_t before = l->fresh ? *link(s, l->fresh).before : 0, first;

    if (!l->fresh)
        return;
    first = sort(s, link, l->fresh);
    *(before ? link(s, before).after : &l->first) = first;
    for (uint32_t i = first; i; i = *link(s, i).after) {
        *link(s, i).before = before;
        before = i;
    }
    l->last = before;
    l->fresh = 0;
}

void gw_sums_order(struct gw_sums *s)
{
    order(s, &s->open, open_link);
    order(s, &s->rooted, root_link);
}

struct gw_sum *gw_sums_first(const struct gw_sums *s)
{
    return at(s, s->order.first);
}

struct gw_sum *gw_sums_next(const struct gw_sums *s, const struct gw_sum *t)
{
    return at(s, t->newer);
}

struct gw_sum *gw_sums_oldest(const struct gw_sums *s)
{
    return at(s, s->open.first);
}

struct gw_sum *gw_sums_rooted(const struct gw_sums *s, uint32_t *ret_step)
{
    struct gw_sum *t = at(s, s->rooted.first);

    if (t)
        *ret_step = (uint32_t)root_of(s, t)->step;
    return t;
}

/* ---- making ----------------------------------------------------------------------------------------------- */

struct gw_sums *gw_sums_new(const struct gw_sums_conf *c)
{
    struct gw_sums *s = calloc(1, sizeof(*s));
    struct layout *l;

    if (!s)
        return NULL;
    s->budget.process = c->memory;
    s->budget.max_bytes = c->max_bytes;
    s->seed[0] = gw_random_u64(c->env);
    s->seed[1] = gw_random_u64(c->env);
    s->n_words = c->n_words;
    l = &s->at;
    l->n = (uint8_t)(c->n_words ? c->n_words : 1); /* 0 is none of the places behind it */
    l->running = c->running ? l->n++ : 0;
    l->wire = c->wire_bytes ? l->n++ : 0;
    l->framed = c->framed_bytes ? l->n++ : 0;
    l->randomness = c->randomness ? l->n++ : 0;
    l->root = l->n;
    l->n = (uint8_t)(l->n + (c->rooted ? ROOT_WORDS : 0));
    gw_slabs_init(&s->items, &s->budget, (uint32_t)sizeof(struct gw_sum) + 8u * l->n);
    gw_index_init(&s->index, &s->items, hash_item, s);
    return s;
}

void gw_sums_free(struct gw_sums *s)
{
    if (!s)
        return;
    gw_index_clear(&s->index);
    gw_slabs_clear(&s->items);
    free(s);
}

void gw_sums_limit(struct gw_sums *s, uint64_t max_bytes)
{
    s->budget.max_bytes = max_bytes;
}

struct gw_sum *gw_sums_add(struct gw_sums *s, const uint8_t id[16], uint32_t step)
{
    struct gw_sum *t;
    uint32_t number;

    if (gw_slabs_reserve(&s->items, 1) < 0 || gw_index_reserve(&s->index) < 0)
        return NULL;
    number = gw_slabs_take(&s->items);
    t = at(s, number);
    memset(t, 0, s->items.item_bytes);
    memcpy(t->id, id, 16);
    t->number = number;
    t->first = t->last = step;
    order_in(s, t);
    gw_index_insert(&s->index, hash_id(s, id), number);
    return t;
}

void gw_sums_drop(struct gw_sums *s, struct gw_sum *t)
{
    if (t->flags & GW_SUM_OPEN)
        gw_sums_shut(s, t);
    order_out(s, t);
    gw_index_remove(&s->index, hash_id(s, t->id), t->number);
    gw_slabs_give(&s->items, t->number);
}

void gw_sums_age(struct gw_sums *s)
{
    gw_slabs_age(&s->items);
    gw_slabs_release(&s->items, RELEASE_SLABS);
}

uint64_t gw_sums_n(const struct gw_sums *s)
{
    return s->items.n_used;
}

uint64_t gw_sums_n_open(const struct gw_sums *s)
{
    return s->n_open;
}

uint64_t gw_sums_item_bytes(const struct gw_sums *s)
{
    return s->items.item_bytes + sizeof(uint32_t);
}

uint64_t gw_sums_held_bytes(const struct gw_sums *s)
{
    return s->budget.held_bytes;
}

/* ---- facts ------------------------------------------------------------------------------------------------ */

void gw_sums_get(const struct gw_sums *s, const struct gw_sum *t, struct gw_trace_facts *f)
{
    *f = (struct gw_trace_facts){
        .min_start_ns = t->min_start_ns,
        .max_end_ns = t->max_end_ns,
        .running_start_ns = s->at.running ? t->more[s->at.running] : 0,
        .wire_bytes = s->at.wire ? t->more[s->at.wire] : 0,
        .framed_bytes = s->at.framed ? t->more[s->at.framed] : 0,
        .randomness = s->at.randomness ? t->more[s->at.randomness] : 0,
        .n_spans = t->n_spans,
        .has_root = (t->flags & GW_SUM_ROOT) != 0,
        .has_randomness = (t->flags & GW_SUM_RANDOM) != 0,
        .has_sampling_info = (t->flags & GW_SUM_INFO) != 0,
        .bad_trace_state = (t->flags & GW_SUM_BAD_STATE) != 0,
    };
    memcpy(f->bits, t->more, s->n_words * sizeof(uint64_t));
}

static void put_word(struct gw_sum *t, uint8_t where, uint64_t v)
{
    if (where)
        t->more[where] = v;
}

void gw_sums_put(struct gw_sums *s, struct gw_sum *t, const struct gw_trace_facts *f)
{
    unsigned flags = (f->has_root ? GW_SUM_ROOT : 0) | (f->has_randomness ? GW_SUM_RANDOM : 0) |
                     (f->has_sampling_info ? GW_SUM_INFO : 0) | (f->bad_trace_state ? GW_SUM_BAD_STATE : 0);

    t->min_start_ns = f->min_start_ns;
    t->max_end_ns = f->max_end_ns;
    t->n_spans = f->n_spans;
    t->flags = (uint8_t)((t->flags & (GW_SUM_ROOT - 1)) | flags);
    put_word(t, s->at.running, f->running_start_ns);
    put_word(t, s->at.wire, f->wire_bytes);
    put_word(t, s->at.framed, f->framed_bytes);
    put_word(t, s->at.randomness, f->randomness);
    memcpy(t->more, f->bits, s->n_words * sizeof(uint64_t));
}
