/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans that wait for long, packed: lz4 with the last traces' spans as its dictionary, since the next ones have the
 * same keys and most of the same values.
 *
 *   cold chain   frame │ frame │ …        frame: raw bytes u32 · packed bytes u32 │ packed
 *   dictionaries   a few, each 64 KiB of spans; counted by the traces that were packed with it, and kept as long
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_COLD_H
#define GW_PROCESSORS_COMMON_COLD_H

#include "processors/common/blocks.h"

struct gw_cold;

/** The blocks' budget is charged. Errors: NULL: no memory, or no room for it. */
struct gw_cold *gw_cold_new(struct gw_blocks *blocks);
void gw_cold_free(struct gw_cold *c);
/**
 * Pack a chain behind `cold`, and drop it. dict: of this trace, 0 before the first time.
 *
 * Errors    -ENOSPC, -ENOMEM: nothing has changed. So also when packing would gain nothing
 */
int gw_cold_pack(struct gw_cold *c, struct gw_chain *chain, struct gw_chain *cold, uint16_t *dict, uint64_t now_ns);
/** All frames of a cold chain to the end of out. Errors: -ENOMEM, -E2BIG. */
int gw_cold_unpack(struct gw_cold *c, const struct gw_chain *cold, uint16_t dict, struct gw_buf *out);
/**
 * All bytes of a trace (`slot`: its number): a cold chain's, and behind them a plain one's. They stay until the next
 * call of anything for another trace, or gw_cold_forget.
 */
int gw_cold_flat(struct gw_cold *c, uint32_t slot, const struct gw_chain *cold, uint16_t dict,
                 const struct gw_chain *chain, struct gw_slice *ret);
/** The trace changes or goes. */
void gw_cold_forget(struct gw_cold *c, uint32_t slot);
void gw_cold_drop(struct gw_cold *c, struct gw_chain *cold, uint16_t dict);
unsigned gw_cold_n_dicts(const struct gw_cold *c);
/** But for the blocks. */
uint64_t gw_cold_held_bytes(const struct gw_cold *c);

#endif
