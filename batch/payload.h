/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes behind a batch: one run, reference-counted, with GW_PAYLOAD_PAD readable bytes behind its end, so
 * that SIMD loops may read over it. A payload is written by one thread until it is shared, and never after.
 */
#ifndef GW_BATCH_PAYLOAD_H
#define GW_BATCH_PAYLOAD_H

#include <stdatomic.h>

#include "core/slice.h"

enum { GW_PAYLOAD_PAD = 64 };

struct gw_payload {
    _Atomic uint32_t refs;
    uint32_t n;   /* bytes in use */
    uint32_t cap; /* bytes that may be used; GW_PAYLOAD_PAD more are allocated */
    uint8_t *p;
};

/** Owner: gives one reference. Errors: NULL. Offsets are 32 bits: cap must stay below 2^31. */
struct gw_payload *gw_payload_new(size_t cap);
/** Grow to hold `more` bytes behind n; the payload must not be shared. Errors: -ENOMEM, -E2BIG. */
int gw_payload_reserve(struct gw_payload *pl, size_t more);
struct gw_payload *gw_payload_ref(struct gw_payload *pl);
/** Returns NULL. */
struct gw_payload *gw_payload_unref(struct gw_payload *pl);

#endif
