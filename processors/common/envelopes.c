/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/envelopes.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "otlp-proto/wire.h"

enum { CHILDREN = 2, KEEP_BYTES = 16 << 10 }; /* field of the children in both messages; scratch that is kept */

static uint64_t hash_of(const void *arg, const void *item)
{
    (void)arg;
    return ((const struct gw_envelope *)item)->hash;
}

void gw_envelopes_init(struct gw_envelopes *e, struct gw_blocks *blocks)
{
    *e = (struct gw_envelopes){.blocks = blocks};
    gw_slabs_init(&e->items, blocks->slabs.budget, sizeof(struct gw_envelope));
    gw_index_init(&e->index, &e->items, hash_of, NULL);
    gw_buf_init(&e->text, UINT32_MAX);
}

static struct gw_budget *budget_of(const struct gw_envelopes *e)
{
    return e->items.budget;
}

static void drop_scratch(struct gw_envelopes *e, size_t keep)
{
    if (e->text_charged > keep) {
        gw_buf_clear(&e->text);
        gw_budget_give(budget_of(e), e->text_charged);
        e->text_charged = 0;
    }
    if (e->cap_of * sizeof(uint32_t) > keep) {
        gw_budget_give(budget_of(e), e->cap_of * sizeof(uint32_t));
        free(e->of_resource);
        e->of_resource = e->of_scope = NULL;
        e->cap_of = 0;
    }
}

void gw_envelopes_clear(struct gw_envelopes *e)
{
    drop_scratch(e, 0);
    gw_index_clear(&e->index);
    gw_slabs_clear(&e->items);
}

void gw_envelope_use(struct gw_envelopes *e, uint32_t envelope)
{
    gw_envelope_at(e, envelope)->uses++;
}

void gw_envelope_release(struct gw_envelopes *e, uint32_t envelope)
{
    while (envelope) { /* the last use of a scope is one of its resource */
        struct gw_envelope *x = gw_envelope_at(e, envelope);
        uint32_t resource = x->resource;

        if (--x->uses > 0)
            return;
        gw_index_remove(&e->index, x->hash, envelope);
        gw_blocks_drop(e->blocks, &x->bytes);
        gw_slabs_give(&e->items, envelope);
        envelope = resource;
    }
}

/* ---- one batch -------------------------------------------------------------------------------------------- */

void gw_envelopes_begin(struct gw_envelopes *e, const struct gw_batch *b)
{
    assert(!e->batch);
    e->batch = b;
    e->n_of = 0; /* the lists are made when they are asked for */
}

void gw_envelopes_end(struct gw_envelopes *e)
{
    for (uint32_t i = 0; i < e->n_of; i++)
        if (e->of_resource[i])
            gw_envelope_release(e, e->of_resource[i]);
    e->n_of = 0;
    e->batch = NULL;
    drop_scratch(e, KEEP_BYTES);
}

static int make_lists(struct gw_envelopes *e)
{
    uint64_t n = (uint64_t)e->batch->n_resources + e->batch->n_scopes;
    uint32_t *p;

    if (n > UINT32_MAX)
        return -ENOSPC;
    if (n > e->cap_of) {
        uint64_t more = (n - e->cap_of) * sizeof(*p);

        if (!gw_budget_take(budget_of(e), more))
            return -ENOSPC;
        p = realloc(e->of_resource, n * sizeof(*p));
        if (!p) {
            gw_budget_give(budget_of(e), more);
            return -ENOMEM;
        }
        e->of_resource = p;
        e->cap_of = (uint32_t)n;
    }
    e->of_scope = e->of_resource + e->batch->n_resources;
    memset(e->of_resource, 0, n * sizeof(*p));
    e->n_of = (uint32_t)n;
    return 0;
}

/* Over the children that stand here one behind the other, of which nothing but tag and length is looked at. */
static void pass_children(struct gw_wire_walk *w)
{
    const uint8_t *p = w->p;

    while (w->end - p >= 3 && p[0] == GW_TAG(CHILDREN, GW_LEN)) {
        size_t n = p[1], head = 2;

        if (n >= 0x80) {
            if (p[2] >= 0x80)
                break;
            n = (n & 0x7f) | (size_t)p[2] << 7;
            head = 3;
        }
        if (n > (size_t)(w->end - p) - head)
            break;
        p += head + n;
    }
    w->p = p;
}

/* The fields of a message but its children, when they stand together: before the children, mostly. Else p is NULL. */
static struct gw_slice whole_text(struct gw_slice message)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_slice text = {message.p, 0};
    struct gw_wire_field f;

    for (pass_children(&w); gw_wire_next(&w, &f) > 0; pass_children(&w)) {
        if (f.number == CHILDREN)
            continue;
        if (text.n == 0)
            text.p = f.at;
        if (f.at != text.p + text.n)
            return (struct gw_slice){NULL, 0};
        text.n = (size_t)(w.p - text.p);
    }
    return text;
}

/* All fields of a message but its children, into e->text. */
static int read_text(struct gw_envelopes *e, struct gw_slice message)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;

    gw_buf_reset(&e->text);
    for (pass_children(&w); gw_wire_next(&w, &f) > 0; pass_children(&w)) {
        size_t n = (size_t)(w.p - f.at), cap;

        if (f.number == CHILDREN)
            continue;
        cap = e->text.n + n;
        if (cap > e->text_charged) { /* it grows to less than twice that, and a little */
            uint64_t more = cap * 2 + 512 - e->text_charged;

            if (!gw_budget_take(budget_of(e), more))
                return -ENOSPC;
            e->text_charged += more;
        }
        gw_buf_put(&e->text, f.at, n);
    }
    return gw_buf_error(&e->text) == 0 ? 0 : -ENOMEM;
}

static uint64_t hash_under(uint64_t hash, uint32_t resource)
{
    return hash ^ resource * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t find(const struct gw_envelopes *e, uint64_t hash, uint32_t resource, struct gw_slice text)
{
    uint32_t at = gw_index_first(&e->index, hash);

    while (at) {
        const struct gw_envelope *x = gw_envelope_at(e, at);

        if (x->hash == hash && x->resource == resource && gw_chain_is(e->blocks, &x->bytes, text))
            break;
        at = *gw_slabs_link(&e->items, at);
    }
    return at;
}

/* ---- ahead ------------------------------------------------------------------------------------------------ */

/* A few of one level. What is looked for comes into the cache for all of them at a time. */
struct fetched {
    uint64_t hashes[GW_ENVELOPES_AHEAD];
    uint32_t found[GW_ENVELOPES_AHEAD]; /* probably; 0: none */
    uint32_t n;
};

static void fetch_bytes(const struct gw_envelopes *e, const struct gw_chain *c)
{
    const uint8_t *p = gw_slabs_at(&e->blocks->slabs, c->first);

    __builtin_prefetch(gw_slabs_link(&e->blocks->slabs, c->first));
    for (uint32_t at = 0; at < GW_BLOCK_BYTES && at < c->n_bytes; at += 64)
        __builtin_prefetch(p + at);
}

/* Each loop finds what the one before has fetched. */
static void fetch(const struct gw_envelopes *e, struct fetched *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        __builtin_prefetch(gw_index_head(&e->index, f->hashes[i]));
    for (uint32_t i = 0; i < f->n; i++) {
        f->found[i] = *gw_index_head(&e->index, f->hashes[i]);
        if (f->found[i]) {
            __builtin_prefetch(gw_envelope_at(e, f->found[i]), /* rw= */ 1);
            __builtin_prefetch(gw_slabs_link(&e->items, f->found[i]));
        }
    }
    for (uint32_t i = 0; i < f->n; i++) {
        while (f->found[i] && gw_envelope_at(e, f->found[i])->hash != f->hashes[i])
            f->found[i] = *gw_slabs_link(&e->items, f->found[i]);
        if (f->found[i] && gw_envelope_at(e, f->found[i])->bytes.n_bytes)
            fetch_bytes(e, &gw_envelope_at(e, f->found[i])->bytes);
    }
}

static struct gw_envelope_text text_of(struct gw_slice message)
{
    struct gw_slice text = whole_text(message);

    return (struct gw_envelope_text){text, text.p ? gw_hash_table(text) : 0};
}

/* The texts of the batch's first resources and scopes, and their envelopes into the cache. */
static void look_ahead(struct gw_envelopes *e)
{
    const struct gw_batch *b = e->batch;
    struct fetched resources, scopes;

    resources.n = scopes.n = 0; /* the rest is filled up to there */
    for (uint32_t i = 0; i < GW_ENVELOPES_AHEAD && i < b->n_resources; i++, resources.n++) {
        e->resources[i] = text_of(gw_batch_slice(b, b->resources[i].outer));
        resources.hashes[i] = hash_under(e->resources[i].hash, 0);
    }
    if (e->index.n == 0)
        resources.n = 0;
    fetch(e, &resources);
    for (uint32_t i = 0; i < GW_ENVELOPES_AHEAD && i < b->n_scopes; i++) {
        uint32_t resource = b->scopes[i].resource;

        e->scopes[i] = text_of(gw_batch_slice(b, b->scopes[i].outer));
        if (resource < resources.n && resources.found[resource])
            scopes.hashes[scopes.n++] = hash_under(e->scopes[i].hash, resources.found[resource]);
    }
    fetch(e, &scopes);
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

static int add(struct gw_envelopes *e, uint64_t hash, uint32_t resource, struct gw_slice text, uint32_t *ret)
{
    struct gw_envelope *x;
    struct gw_chain bytes = {0};
    int r = gw_index_reserve(&e->index);

    if (r == 0)
        r = gw_slabs_reserve(&e->items, 1);
    if (r == 0)
        r = gw_blocks_append(e->blocks, &bytes, text);
    if (r < 0)
        return r == -EOVERFLOW ? -ENOSPC : r;
    *ret = gw_slabs_take(&e->items);
    x = gw_envelope_at(e, *ret);
    *x = (struct gw_envelope){.hash = hash, .bytes = bytes, .resource = resource};
    if (resource)
        gw_envelope_use(e, resource);
    gw_index_insert(&e->index, hash, *ret);
    return 0;
}

/* One use of it is the list's, until end. known: what was looked at ahead, or NULL. */
static int intern(struct gw_envelopes *e, struct gw_slice message, const struct gw_envelope_text *known,
                  uint32_t resource, uint32_t *ret)
{
    struct gw_envelope_text x = known ? *known : text_of(message);
    int r = x.text.p ? 0 : read_text(e, message);

    if (r < 0)
        return r;
    if (!x.text.p)
        x = (struct gw_envelope_text){gw_buf_slice(&e->text), gw_hash_table(gw_buf_slice(&e->text))};
    x.hash = hash_under(x.hash, resource);
    *ret = find(e, x.hash, resource, x.text);
    if (!*ret)
        r = add(e, x.hash, resource, x.text, ret);
    if (r == 0)
        gw_envelope_use(e, *ret);
    return r;
}

static int begin_lists(struct gw_envelopes *e)
{
    int r = make_lists(e);

    if (r == 0)
        look_ahead(e);
    return r;
}

int gw_envelopes_look(struct gw_envelopes *e, uint32_t scope, uint32_t *ret)
{
    const struct gw_batch *b = e->batch;
    uint32_t resource = b->scopes[scope].resource;
    int r = e->n_of ? 0 : begin_lists(e);

    if (r == 0 && !e->of_resource[resource])
        r = intern(e, gw_batch_slice(b, b->resources[resource].outer),
                   resource < GW_ENVELOPES_AHEAD ? &e->resources[resource] : NULL, 0, &e->of_resource[resource]);
    if (r == 0 && !e->of_scope[scope])
        r = intern(e, gw_batch_slice(b, b->scopes[scope].outer), scope < GW_ENVELOPES_AHEAD ? &e->scopes[scope] : NULL,
                   e->of_resource[resource], &e->of_scope[scope]);
    if (r == 0)
        *ret = e->of_scope[scope];
    return r;
}

uint64_t gw_envelopes_held_bytes(const struct gw_envelopes *e)
{
    return gw_slabs_held_bytes(&e->items) + gw_index_held_bytes(&e->index) + e->text_charged +
           e->cap_of * sizeof(uint32_t);
}
