/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of samplers: samplers.c counts and makes rates, samplers_state.c carries them over the end of a process. */
#ifndef GW_PROCESSORS_COMMON_SAMPLERS_PRIV_H
#define GW_PROCESSORS_COMMON_SAMPLERS_PRIV_H

#include "processors/common/samplers.h"

#define GW_SAMPLER_NEVER UINT64_MAX /* next_ns: the first call says */

/* What was counted in one interval of the window. */
struct gw_sampler_block {
    uint64_t index, n;
};

struct gw_sampler_key {
    uint64_t hash;
    double current; /* counted in this interval, when is_current */
    double average; /* when is_average */
    uint64_t rate;  /* 0: none */
    uint32_t n_bytes;
    bool is_current, is_average;
    struct gw_sampler_block blocks[]; /* n_blocks, at index modulo n_blocks; then the key's bytes */
};

struct gw_sampler {
    struct gw_sampler_conf conf;
    struct gw_sampler_key **slots; /* open addressing, at most half full */
    uint32_t n_slots, n_keys, n_current;
    uint32_t n_blocks; /* of each key: those of the window and the one that is being filled */
    uint64_t next_ns;  /* moving averages and totals: when rates are made */
    uint64_t index;    /* windowed: the interval that is being filled */
    bool has_data;
    double burst_sum, burst_threshold;
    uint64_t n_intervals, n_bursts;
};

static inline struct gw_slice gw_sampler_bytes_of(const struct gw_sampler *s, const struct gw_sampler_key *k)
{
    return (struct gw_slice){(const uint8_t *)&k->blocks[s->n_blocks], k->n_bytes};
}

/** The key, or NULL. hash: gw_hash_table of the bytes. */
struct gw_sampler_key *gw_sampler_find(const struct gw_sampler *s, uint64_t hash, struct gw_slice bytes);
/** It must not be there. Errors: NULL, no memory. */
struct gw_sampler_key *gw_sampler_add_key(struct gw_sampler *s, uint64_t hash, struct gw_slice bytes);
/** All but the share is the same. */
bool gw_sampler_counts_alike(const struct gw_sampler_conf *x, const struct gw_sampler_conf *y);

#endif
