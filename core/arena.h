/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bump allocation: many small things that die together. One thread. Chunks are kept by reset, so that in
 * steady state an arena costs no malloc.
 */
#ifndef GW_CORE_ARENA_H
#define GW_CORE_ARENA_H

#include "core/slice.h"

struct gw_arena_chunk;

struct gw_arena {
    struct gw_arena_chunk *head, *cur; /* list in order of allocation; cur is the one being filled */
    uint8_t *p, *end;                  /* room in cur */
    size_t chunk_bytes, max_bytes, held_bytes;
};

/** Units: chunk_bytes is the usual chunk, max_bytes the most that the arena may hold in all. */
void gw_arena_init(struct gw_arena *a, size_t chunk_bytes, size_t max_bytes);
/** n bytes, 16-byte aligned, not zeroed. Errors: NULL when out of memory or over max_bytes. */
void *gw_arena_alloc(struct gw_arena *a, size_t n);
/** As alloc, zeroed. */
void *gw_arena_zalloc(struct gw_arena *a, size_t n);
/** A copy of s that lives as long as the arena. Errors: a slice with p == NULL and n == 0 when there is no room. */
struct gw_slice gw_arena_dup(struct gw_arena *a, struct gw_slice s);
/** Forget everything, keep up to keep_bytes of chunks. */
void gw_arena_reset(struct gw_arena *a, size_t keep_bytes);
void gw_arena_clear(struct gw_arena *a);

#endif
