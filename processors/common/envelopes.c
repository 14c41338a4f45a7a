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

static uint32_t find(const struct gw_envelopes *e, uint64_t hash, uint32_t resource)
{
    uint32_t at = gw_index_first(&e->index, hash);

    while (at) {
        const struct gw_envelope *x = gw_envelope_at(e, at);

        if (x->hash == hash && x->resource == resource && gw_chain_is(e->blocks, &x->bytes, gw_buf_slice(&e->text)))
            break;
        at = *gw_slabs_link(&e->items, at);
    }
    return at;
}

static int add(struct gw_envelopes *e, uint64_t hash, uint32_t resource, uint32_t *ret)
{
    struct gw_envelope *x;
    struct gw_chain bytes = {0};
    int r = gw_index_reserve(&e->index);

    if (r == 0)
        r = gw_slabs_reserve(&e->items, 1);
    if (r == 0)
        r = gw_blocks_append(e->blocks, &bytes, gw_buf_slice(&e->text));
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

/* One use of it is the list's, until end. */
static int intern(struct gw_envelopes *e, struct gw_slice message, uint32_t resource, uint32_t *ret)
{
    int r = read_text(e, message);
    uint64_t hash;

    if (r < 0)
        return r;
    hash = gw_hash_table(gw_buf_slice(&e->text)) ^ resource * UINT64_C(0x9e3779b97f4a7c15);
    *ret = find(e, hash, resource);
    if (!*ret)
        r = add(e, hash, resource, ret);
    if (r == 0)
        gw_envelope_use(e, *ret);
    return r;
}

int gw_envelopes_of(struct gw_envelopes *e, uint32_t scope, uint32_t *ret)
{
    const struct gw_batch *b = e->batch;
    uint32_t resource = b->scopes[scope].resource;
    int r = e->n_of ? 0 : make_lists(e);

    if (r == 0 && !e->of_resource[resource])
        r = intern(e, gw_batch_slice(b, b->resources[resource].outer), 0, &e->of_resource[resource]);
    if (r == 0 && !e->of_scope[scope])
        r = intern(e, gw_batch_slice(b, b->scopes[scope].outer), e->of_resource[resource], &e->of_scope[scope]);
    if (r == 0)
        *ret = e->of_scope[scope];
    return r;
}

uint64_t gw_envelopes_held_bytes(const struct gw_envelopes *e)
{
    return gw_slabs_held_bytes(&e->items) + gw_index_held_bytes(&e->index) + e->text_charged +
           e->cap_of * sizeof(uint32_t);
}
