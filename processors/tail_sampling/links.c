/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow_links: the last links between traces that came, found by either end. A ring: the oldest gives its place up.
 *
 * Memory    fixed by max when it is made: 56 bytes a link and 8 a bucket
 */
#include <stdlib.h>

#include "core/hash.h"
#include "processors/tail_sampling/passes.h"

enum end { FROM, TO, N_ENDS };
enum { LOOK_BACK = 8 };

struct edge {
    uint8_t id[N_ENDS][16];
    uint32_t next[N_ENDS], before[N_ENDS]; /* index + 1, of those in the same bucket */
};

struct gw_tail_links {
    struct edge *ring;
    uint32_t *heads[N_ENDS]; /* index + 1 */
    uint32_t max, n, at, mask;
};

static bool is_zero(const uint8_t id[16])
{
    return memcmp(id, (const uint8_t[16]){0}, 16) == 0;
}

static uint32_t *head_of(const struct gw_tail_links *l, enum end e, const uint8_t id[16])
{
    return &l->heads[e][(uint32_t)gw_hash_table(gw_slice_of(id, 16)) & l->mask];
}

struct gw_tail_links *gw_tail_links_new(uint32_t max)
{
    struct gw_tail_links *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    *l = (struct gw_tail_links){.max = max, .mask = 15};
    while (l->mask < max)
        l->mask = l->mask * 2 + 1;
    l->ring = calloc(max, sizeof(*l->ring));
    for (enum end e = FROM; e < N_ENDS; e++)
        l->heads[e] = calloc(l->mask + 1ull, sizeof(*l->heads[e]));
    if (!l->ring || !l->heads[FROM] || !l->heads[TO]) {
        gw_tail_links_free(l);
        return NULL;
    }
    return l;
}

void gw_tail_links_free(struct gw_tail_links *l)
{
    if (!l)
        return;
    free(l->ring);
    free(l->heads[FROM]);
    free(l->heads[TO]);
    free(l);
}

uint64_t gw_tail_links_bytes(const struct gw_tail_links *l)
{
    return l ? sizeof(*l) + l->max * sizeof(*l->ring) + 2 * (l->mask + 1ull) * sizeof(uint32_t) : 0;
}

static void take_out(struct gw_tail_links *l, struct edge *x)
{
    for (enum end e = FROM; e < N_ENDS; e++) {
        if (x->before[e])
            l->ring[x->before[e] - 1].next[e] = x->next[e];
        else
            *head_of(l, e, x->id[e]) = x->next[e];
        if (x->next[e])
            l->ring[x->next[e] - 1].before[e] = x->before[e];
    }
}

/* Spans of one trace often link to the same other one, one after the other. */
static bool is_there(const struct gw_tail_links *l, const uint8_t from[16], const uint8_t to[16])
{
    uint32_t i = *head_of(l, FROM, from);

    for (unsigned k = 0; i && k < LOOK_BACK; k++, i = l->ring[i - 1].next[FROM])
        if (memcmp(l->ring[i - 1].id[FROM], from, 16) == 0 && memcmp(l->ring[i - 1].id[TO], to, 16) == 0)
            return true;
    return false;
}

static bool put(struct gw_tail_links *l, const uint8_t from[16], const uint8_t to[16])
{
    struct edge *x = &l->ring[l->at];

    if (is_there(l, from, to))
        return false;
    if (l->n == l->max)
        take_out(l, x);
    else
        l->n++;
    memcpy(x->id[FROM], from, 16);
    memcpy(x->id[TO], to, 16);
    for (enum end e = FROM; e < N_ENDS; e++) {
        uint32_t *head = head_of(l, e, x->id[e]);

        x->before[e] = 0;
        x->next[e] = *head;
        if (*head)
            l->ring[*head - 1].before[e] = l->at + 1;
        *head = l->at + 1;
    }
    l->at = (l->at + 1) % l->max;
    return true;
}

bool gw_tail_links_put(struct gw_tail_links *l, const uint8_t from[16], const uint8_t to[16])
{
    return put(l, from, to);
}

uint32_t gw_tail_links_max(const struct gw_tail_links *l)
{
    return l->max;
}

void gw_tail_links_each(const struct gw_tail_links *l,
                        void (*each)(void *arg, const uint8_t from[16], const uint8_t to[16]), void *arg)
{
    uint32_t at = l->n == l->max ? l->at : 0;

    for (uint32_t i = 0; i < l->n; i++, at = (at + 1) % l->max)
        each(arg, l->ring[at].id[FROM], l->ring[at].id[TO]);
}

static void adopt(void *arg, const uint8_t from[16], const uint8_t to[16])
{
    (void)put(arg, from, to);
}

void gw_tail_links_adopt(struct gw_tail_links *l, const struct gw_tail_links *old)
{
    gw_tail_links_each(old, adopt, l);
}

/* Behind a journal asking must not change how long it is remembered: how often it is asked depends on views. */
static bool is_kept(const struct gw_tail *s, const uint8_t id[16])
{
    uint64_t value;

    return s->log ? gw_ids_peek(s->kept, id, &value) : gw_ids_get(s->kept, id, &value);
}

bool gw_tail_links_note(struct gw_tail *s, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    bool any_kept = false;

    for (uint32_t i = b->links_of[row].begin; i < b->links_of[row].end; i++) {
        const uint8_t *to = b->links[i].trace_id;

        if (is_zero(to) || memcmp(to, b->trace_id[row], 16) == 0)
            continue;
        if (s->log) {
            gw_tail_log_link(s, b->trace_id[row], to);
            continue;
        }
        (void)put(s->links, b->trace_id[row], to);
        any_kept |= is_kept(s, to);
    }
    return any_kept;
}

bool gw_tail_links_wanted(struct gw_tail *s, const uint8_t id[16])
{
    const struct gw_tail_links *l = s->links;

    for (uint32_t i = *head_of(l, TO, id); i; i = l->ring[i - 1].next[TO])
        if (memcmp(l->ring[i - 1].id[TO], id, 16) == 0 && is_kept(s, l->ring[i - 1].id[FROM]))
            return true;
    return false;
}

void gw_tail_links_mark(struct gw_tail *s, struct gw_trace *t)
{
    if (s->log && !gw_tail_facts(t)->is_linked)
        gw_tail_log_note_linked(s, t->id);
    gw_tail_facts(t)->is_linked = true;
}

static void mark(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_trace *t = s->store ? gw_traces_find(s->store, id) : NULL;

    if (s->passes)
        gw_tail_passes_link(s, id);
    if (t)
        gw_tail_links_mark(s, t);
}

void gw_tail_links_look(struct gw_tail *s, const uint8_t from[16], const uint8_t to[16])
{
    if (is_kept(s, from))
        mark(s, to);
    if (is_kept(s, to))
        mark(s, from);
}

void gw_tail_links_kept(struct gw_tail *s, const uint8_t id[16])
{
    const struct gw_tail_links *l = s->links;

    for (enum end e = FROM; e < N_ENDS; e++)
        for (uint32_t i = *head_of(l, e, id); i; i = l->ring[i - 1].next[e])
            if (memcmp(l->ring[i - 1].id[e], id, 16) == 0)
                mark(s, l->ring[i - 1].id[e == FROM ? TO : FROM]);
}
