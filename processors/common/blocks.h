/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings that grow at their end and die as a whole, in blocks of one size that are used again at once. Nothing is
 * pinned by a neighbour, what is held is known to the byte, and a trace that is decided early gives its memory back
 * early.
 *
 *   chain {first, last, n_bytes}      block: 256 bytes, its link apart (slabs.h); all but the last are full
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_BLOCKS_H
#define GW_PROCESSORS_COMMON_BLOCKS_H

#include "core/buf.h"
#include "core/slice.h"
#include "processors/common/slabs.h"

enum { GW_BLOCK_BYTES = 256 };

/** A struct to be embedded; its members are its own. */
struct gw_blocks {
    struct gw_slabs slabs;
};

/** A byte string; all zeros: an empty one. Numbers, so that it may be moved and written down. */
struct gw_chain {
    uint32_t first, last; /* blocks; 0 = none */
    uint32_t n_bytes;
};

/** The budget is shared with others and outlives the blocks. */
void gw_blocks_init(struct gw_blocks *b, struct gw_budget *budget);
void gw_blocks_clear(struct gw_blocks *b);
/**
 * Room for bytes more behind this chain: then appends of that many cannot fail. Errors: -ENOSPC over the budget, or
 * there are 2^32 blocks; -ENOMEM; -EOVERFLOW: the chain would have 4 GiB.
 */
int gw_blocks_reserve(struct gw_blocks *b, const struct gw_chain *c, uint64_t bytes);
/** Errors: as reserve; the chain is as it was then. Cost: a copy; no malloc in steady state. */
int gw_blocks_append(struct gw_blocks *b, struct gw_chain *c, struct gw_slice bytes);
/** Give the blocks back; the chain is empty afterwards. Cost: 2 ns a block. */
void gw_blocks_drop(struct gw_blocks *b, struct gw_chain *c);
/** Bring the chain's end into the cache: it will be appended to. */
void gw_blocks_prefetch_end(const struct gw_blocks *b, const struct gw_chain *c);

/** And what is walked along when the chain is dropped: both ends of it, between which there are a few lines at most
 * where it came in one piece. */
void gw_blocks_prefetch_links(const struct gw_blocks *b, const struct gw_chain *c);

/** Reading from the front, piece by piece. */
struct gw_chain_reader {
    const struct gw_blocks *b;
    uint32_t block, at, left; /* at: in the block, 0 … GW_BLOCK_BYTES */
    const uint8_t *flat;      /* these bytes instead, or NULL */
};
void gw_chain_begin(const struct gw_blocks *b, const struct gw_chain *c, struct gw_chain_reader *ret);
/** n bytes into `to`. False when there are fewer: then nothing was taken. */
bool gw_chain_read(struct gw_chain_reader *r, void *to, uint32_t n);
/** Over n bytes, without a look at them. */
bool gw_chain_skip(struct gw_chain_reader *r, uint32_t n);
/** n bytes to the end of `out`. False when there are fewer, or out is full (out->failed). */
bool gw_chain_copy(struct gw_chain_reader *r, struct gw_buf *out, uint32_t n);
/** The next few bytes come into the cache. */
void gw_chain_prefetch(const struct gw_chain_reader *r);
/** Are these the chain's bytes? */
bool gw_chain_is(const struct gw_blocks *b, const struct gw_chain *c, struct gw_slice bytes);

/** Memory of all blocks that chains hold, and of all slabs. */
uint64_t gw_blocks_held_bytes(const struct gw_blocks *b);
uint64_t gw_blocks_slab_bytes(const struct gw_blocks *b);

#endif
