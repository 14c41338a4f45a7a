/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of which one side has been seen: what a client span waits with for its server span, or the other way round.
 *
 *   table   trace id, span id of the client ─► slot         chained, keyed by a seeded hash; O(1)
 *   order   oldest ◄─► … ◄─► newest                         all wait equally long, so the oldest is due first
 *   slot    key · side · when · service │ peer │ dimensions  the texts in one run of bytes that the slot keeps
 *
 * Time is given by the caller, never asked for: the same input in the same order pairs the same way.
 *
 * Threads   one; the credits may be shared by several stores
 * Memory    all of it is drawn from `bytes` and `memory` before it is allocated; no malloc in steady state
 */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_HALVES_H
#define GW_CONNECTORS_SERVICE_GRAPH_HALVES_H

#include "core/credit.h"
#include "core/slice.h"

struct gw_halves;

enum gw_side { GW_SIDE_CLIENT, GW_SIDE_SERVER };

/** The client span's id, which the server span has as its parent's. */
struct gw_half_key {
    uint8_t trace_id[16], span_id[8];
};

/** One side of a request. */
struct gw_half {
    uint8_t side;           /* enum gw_side */
    bool messaging, failed; /* producer or consumer; status is an error */
    uint32_t n_dims;
    uint64_t duration_ns;
    struct gw_slice service;
    struct gw_slice peer;        /* whom the client meant; p NULL: nothing says so */
    const struct gw_slice *dims; /* one for each configured dimension; p NULL: absent */
};

struct gw_halves_conf {
    struct gw_credit *items;          /* halves; drawn on one by one */
    struct gw_credit *bytes, *memory; /* memory: the process'; may be NULL */
    uint64_t ttl_ns;
    uint32_t n_dims;
};

/** Errors: NULL without memory, or when `bytes` cannot bear even an empty store. */
struct gw_halves *gw_halves_new(const struct gw_halves_conf *conf);
void gw_halves_free(struct gw_halves *h);

enum gw_half_fate {
    GW_HALF_PAIRED,  /* the other side was there: it is *ret_other, and no longer in the store */
    GW_HALF_KEPT,    /* it waits */
    GW_HALF_AGAIN,   /* the same side was there: replaced, failed if either was; it is due when the first was */
    GW_HALF_NO_ROOM, /* over a limit, or no memory: nothing is kept */
};

/** What a store gives lives until its next call. Texts of `half` are copied. */
enum gw_half_fate gw_halves_put(struct gw_halves *h, const struct gw_half_key *key, const struct gw_half *half,
                                uint64_t now_ns, struct gw_half *ret_other);
/** Whatever waits under that key, out of the store. False: nothing does. */
bool gw_halves_take(struct gw_halves *h, const struct gw_half_key *key, struct gw_half *ret);
/** The oldest, out of the store, when it has waited longer than ttl; false: none has. */
bool gw_halves_expire(struct gw_halves *h, uint64_t now_ns, struct gw_half_key *ret_key, struct gw_half *ret);

uint32_t gw_halves_n(const struct gw_halves *h);
/** What is drawn from `bytes`: exact. */
uint64_t gw_halves_held_bytes(const struct gw_halves *h);

#endif
