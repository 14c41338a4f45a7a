/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings that grow at their end and die as a whole, in blocks of one size that are used again at once. Nothing is
 * pinned by a neighbour, what is held is known to the byte, and a trace that is decided early gives its memory back
 * early.
 *
 *   chain {first, last, n_bytes}      block: u32 next │ 252 bytes      slabs of 1 MiB; an empty slab goes to the system
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_BLOCKS_H
#define GW_PROCESSORS_COMMON_BLOCKS_H

#include "core/buf.h"
#include "core/slice.h"

struct gw_blocks;

/** A byte string; all zeros: an empty one. Numbers, so that it may be moved and written down. */
struct gw_chain {
    uint32_t first, last; /* block + 1; 0 = none */
    uint32_t n_bytes;
};

struct gw_blocks *gw_blocks_new(uint64_t max_bytes);
void gw_blocks_free(struct gw_blocks *b);
/** Errors: -ENOMEM, -ENOSPC over max_bytes; the chain is as it was then. Cost: a copy; no malloc in steady state. */
int gw_blocks_append(struct gw_blocks *b, struct gw_chain *c, struct gw_slice bytes);
/** Give the blocks back; the chain is empty afterwards. */
void gw_blocks_drop(struct gw_blocks *b, struct gw_chain *c);

/** Reading from the front, piece by piece. */
struct gw_chain_reader {
    const struct gw_blocks *b;
    uint32_t block, at, left;
};
void gw_chain_begin(const struct gw_blocks *b, const struct gw_chain *c, struct gw_chain_reader *ret);
/** n bytes into `to`. False when there are fewer: then nothing was taken. */
bool gw_chain_read(struct gw_chain_reader *r, void *to, uint32_t n);
/** n bytes to the end of `out`. False when there are fewer, or out is full (out->failed). */
bool gw_chain_copy(struct gw_chain_reader *r, struct gw_buf *out, uint32_t n);

/** Memory of all blocks that chains hold, and of all slabs. */
uint64_t gw_blocks_held_bytes(const struct gw_blocks *b);
uint64_t gw_blocks_slab_bytes(const struct gw_blocks *b);

#endif
