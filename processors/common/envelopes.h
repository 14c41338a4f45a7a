/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands around spans, each once: a resource is all fields of a ResourceSpans message but its scopes, a scope all
 * fields of a ScopeSpans message but its spans, together with its resource. Equal bytes are one envelope. Counted by
 * who uses it; gone with the last use.
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_ENVELOPES_H
#define GW_PROCESSORS_COMMON_ENVELOPES_H

#include "batch/batch.h"
#include "processors/common/blocks.h"
#include "processors/common/index.h"

struct gw_envelope {
    uint64_t hash;
    struct gw_chain bytes; /* fields, tags included */
    uint32_t resource;     /* of a scope: another envelope; 0: this is a resource */
    uint32_t uses;
    uint32_t group; /* of who writes: 0 when nobody does */
};

enum { GW_ENVELOPES_AHEAD = 8 };

/** A text whose pieces stand together in the payload, with its hash. */
struct gw_envelope_text {
    struct gw_slice text; /* p NULL: not looked at, or in pieces */
    uint64_t hash;
};

/** A struct to be embedded; its members are its own. */
struct gw_envelopes {
    struct gw_slabs items;
    struct gw_index index;
    struct gw_blocks *blocks;
    struct gw_buf text; /* of one envelope while it is looked for */
    uint64_t text_charged;
    uint32_t *of_resource, *of_scope; /* of the batch at hand; 0: not looked for yet. One memory */
    uint32_t n_of, cap_of;
    struct gw_envelope_text resources[GW_ENVELOPES_AHEAD], scopes[GW_ENVELOPES_AHEAD]; /* the batch's first ones */
    const struct gw_batch *batch;
};

void gw_envelopes_init(struct gw_envelopes *e, struct gw_blocks *blocks);
void gw_envelopes_clear(struct gw_envelopes *e);
/** Until end, the envelopes of this batch are remembered. */
void gw_envelopes_begin(struct gw_envelopes *e, const struct gw_batch *b);
void gw_envelopes_end(struct gw_envelopes *e);
/**
 * The envelope of a scope of the batch at hand. It lives until end; who wants it longer uses it.
 *
 * Errors    -ENOSPC, -ENOMEM
 * Cost      4 ns; the first time, a walk over the scope's spans, and over the resource's scopes
 */
int gw_envelopes_look(struct gw_envelopes *e, uint32_t scope, uint32_t *ret);
static inline int gw_envelopes_of(struct gw_envelopes *e, uint32_t scope, uint32_t *ret)
{
    if (!e->n_of || !e->of_scope[scope])
        return gw_envelopes_look(e, scope, ret);
    *ret = e->of_scope[scope];
    return 0;
}
static inline struct gw_envelope *gw_envelope_at(const struct gw_envelopes *e, uint32_t envelope)
{
    return gw_slabs_at(&e->items, envelope);
}
void gw_envelope_use(struct gw_envelopes *e, uint32_t envelope);
void gw_envelope_release(struct gw_envelopes *e, uint32_t envelope);
/** But for the blocks. */
uint64_t gw_envelopes_held_bytes(const struct gw_envelopes *e);

#endif
