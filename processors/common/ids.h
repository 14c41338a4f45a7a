/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of traces that are gone: the last `max` ids with a small value each (kept or not, by which policy, at
 * which threshold), exact, the one that was longest not asked for first to go.
 *
 * Threads   one
 * Memory    fixed by max when it is made: 40 to 44 bytes an id
 */
#ifndef GW_PROCESSORS_COMMON_IDS_H
#define GW_PROCESSORS_COMMON_IDS_H

#include "core/env.h"
#include "core/slice.h"

struct gw_ids;

/** max 0: it never knows anything. Errors: NULL without memory. */
struct gw_ids *gw_ids_new(struct gw_env *env, uint32_t max);
void gw_ids_free(struct gw_ids *ids);
/** Insert or replace. */
void gw_ids_put(struct gw_ids *ids, const uint8_t id[16], uint64_t value);
/** Known? Then it is the one that was asked for last. */
bool gw_ids_get(struct gw_ids *ids, const uint8_t id[16], uint64_t *ret_value);
/** Known? Nothing moves. */
bool gw_ids_peek(const struct gw_ids *ids, const uint8_t id[16], uint64_t *ret_value);
/** It is about to be asked for, or put: the miss of the cache is under way meanwhile. */
void gw_ids_prefetch(const struct gw_ids *ids, const uint8_t id[16]);
/** A little later: and the next one. */
void gw_ids_prefetch_entry(const struct gw_ids *ids, const uint8_t id[16]);
/** What `old` knows, as far as there is room, the last ones asked for; old knows nothing afterwards. ids is empty. */
void gw_ids_adopt(struct gw_ids *ids, struct gw_ids *old);
/** All of them, the one that was longest not asked for first. `each` must not put; it may ask other tables. */
void gw_ids_each(const struct gw_ids *ids, void (*each)(void *arg, const uint8_t id[16], uint64_t value), void *arg);
uint32_t gw_ids_n(const struct gw_ids *ids);
uint64_t gw_ids_held_bytes(const struct gw_ids *ids);

#endif
