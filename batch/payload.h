/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes behind a batch: one run, reference-counted, with GW_PAYLOAD_PAD readable bytes behind its end, so
 * that SIMD loops may read over it. A payload is written by one thread until it is shared, and never after.
 */
#ifndef GW_BATCH_PAYLOAD_H
#define GW_BATCH_PAYLOAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/inbox.h"
#include "core/slice.h"

enum { GW_PAYLOAD_PAD = 64 };

struct gw_payload_pool;

struct gw_payload {
    struct gw_inbox_item item; /* for the way home */
    _Atomic uint32_t refs;
    uint32_t n;   /* bytes in use */
    uint32_t cap; /* bytes that may be used; GW_PAYLOAD_PAD more are allocated */
    bool paged;   /* p has pages of its own, from gw_payload_reserve_paged */
    bool mapped;  /* p has pages of its own: 1 MiB or more */
    uint8_t *p;
    struct gw_payload_pool *pool; /* where the last reference goes, or NULL: free */
};

/**
 * At least cap bytes; taken from the calling thread's pool when it has one.
 *
 * Owner     gives one reference
 * Errors    NULL; offsets are 32 bits: cap must stay below 2^31
 */
struct gw_payload *gw_payload_new(size_t cap);
/** Grow to hold `more` bytes behind n; the payload must not be shared. Errors: -ENOMEM, -E2BIG. */
int gw_payload_reserve(struct gw_payload *pl, size_t more);
/**
 * The same for a body whose end is not known, and that may come slowly beside many others: once it is large it has
 * pages of its own, which grow without a copy and go back to the system. What grows on the heap leaves a hole at every
 * size, and holes between others' are never given back.
 */
int gw_payload_reserve_paged(struct gw_payload *pl, size_t more);
struct gw_payload *gw_payload_ref(struct gw_payload *pl);
/** Returns NULL; takes NULL. Threads: any: the last reference sends the payload home to its pool. */
struct gw_payload *gw_payload_unref(struct gw_payload *pl);

/**
 * A thread's stock of payloads in classes of powers of two, at most keep_bytes in all, so that steady state has no
 * malloc. A worker makes one, enters it, and every gw_payload_new of that thread draws on it.
 */
struct gw_payload_pool *gw_payload_pool_new(size_t keep_bytes);
/**
 * To the system with what was not needed since the last time, the large ones first, as long as more than floor_bytes
 * lie there. Called now and then, the stock is what a busy stretch had out at once, and is gone some time after it.
 *
 * Threads   the owner
 */
void gw_payload_pool_trim(struct gw_payload_pool *p, size_t floor_bytes);
/** What lies there; what comes back from other threads is not counted before it is needed. Threads: the owner. */
size_t gw_payload_pool_bytes(const struct gw_payload_pool *p);
/** A gw_payload_new of that size would get one that lies there: of the calling thread's pool. */
bool gw_payload_pool_has(size_t cap);
/** The calling thread's pool from now on; NULL: none. */
void gw_payload_pool_enter(struct gw_payload_pool *p);
/** Leaves the pool when the calling thread is in it. Payloads still out are freed when the last one comes back. */
void gw_payload_pool_free(struct gw_payload_pool *p);

#endif
