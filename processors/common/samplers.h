/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many of a kind make one that is kept: rates for traffic keys that follow the traffic, so that frequent keys are
 * thinned out and rare ones stay. The formulas are dynsampler-go's (EMASampleRate, EMAThroughput, WindowedThroughput,
 * TotalThroughput), which Refinery and the Collector's dynamic_sampling use.
 *
 *   rate(key, n, now) ─► counts n under key, answers 1-in-N
 *   every interval    ─► counts so far become rates          by calls alone: time is given, no timer of its own
 *
 * The same calls give the same rates, on every machine: keys are gone through in order of their bytes (there: in the
 * order of a map where the last digits of a sum depend on it).
 *
 * Threads   one
 * Memory    one malloc a key; at most max_keys are new in an interval, and averages of older ones halve until they go
 */
#ifndef GW_PROCESSORS_COMMON_SAMPLERS_H
#define GW_PROCESSORS_COMMON_SAMPLERS_H

#include "core/buf.h"

struct gw_sampler;

enum gw_sampler_kind {
    GW_EMA_PERCENTAGE,      /* keep one in `goal` of all, by moving averages of the counts */
    GW_EMA_THROUGHPUT,      /* keep `goal` a second, by moving averages */
    GW_WINDOWED_THROUGHPUT, /* keep `goal` a second, by the counts of the last lookback_ns */
    GW_TOTAL_THROUGHPUT,    /* keep `goal` a second, by the counts of the interval before */
};

enum { GW_SAMPLER_MAX_BLOCKS = 3600 };

struct gw_sampler_conf {
    enum gw_sampler_kind kind;
    double goal;
    double share;         /* of the traffic that the goal is for: what comes here; throughputs are multiplied by it */
    uint64_t interval_ns; /* how often rates are made */
    uint64_t lookback_ns; /* windowed: a multiple of interval_ns is used, GW_SAMPLER_MAX_BLOCKS of them at most */
    /* Moving averages only. */
    double weight;  /* of the newest interval, in (0, 1) */
    double age_out; /* an average below goes; 0: weight */
    double
        burst_multiple; /* rates are made at once when an interval counts so many times the averages' sum; < 0: never */
    uint32_t burst_delay;  /* intervals until that begins */
    uint32_t initial_rate; /* until there are rates */
    uint32_t max_keys;     /* at least 1; further ones are not counted and kept all */
};

/** Errors: NULL without memory. */
struct gw_sampler *gw_sampler_new(const struct gw_sampler_conf *conf, uint64_t now_ns);
void gw_sampler_free(struct gw_sampler *s);
/** Made with the same settings: what one has counted is as good as the other's. */
bool gw_sampler_is_like(const struct gw_sampler *a, const struct gw_sampler *b);
/** Nothing was counted yet: its first interval begins with the first call, whenever that is. */
void gw_sampler_begin_late(struct gw_sampler *s);

struct gw_spool_in;
/** All that it has counted and made of it, with times as they stand to now_ns, for gw_sampler_load. */
void gw_sampler_save(const struct gw_sampler *s, uint64_t now_ns, struct gw_buf *out);
/**
 * A sampler like this one, with what another one saved: from then on the same calls, at times as they stand to now_ns,
 * give the same rates. Its share is the other's. Errors: NULL: it was made with other settings, or it is damaged, or no
 * memory.
 */
struct gw_sampler *gw_sampler_load(const struct gw_sampler *like, struct gw_slice saved, uint64_t now_ns);
/**
 * What n others have counted, of which each saw its own part of the traffic, in place of what s has: of one of the same
 * share exactly; else s works on as if it had seen its share of all of it.
 */
void gw_sampler_take(struct gw_sampler *s, struct gw_sampler *const *from, unsigned n);
/** Count n events of a key; how many of them stand behind one that is kept, at least 1. now_ns never goes back. */
uint64_t gw_sampler_rate(struct gw_sampler *s, struct gw_slice key, uint64_t n, uint64_t now_ns);
/** Keys of which something is known, and bursts so far. */
uint32_t gw_sampler_n_keys(const struct gw_sampler *s);
uint64_t gw_sampler_n_bursts(const struct gw_sampler *s);

/**
 * Threshold (values/sampling.h) at which one in `rate` of the whole is kept, when an earlier stage left what passed
 * `before`: the stricter of the two. As the Collector's dynamic_sampling, and its probabilistic_sampler's equalizing.
 */
uint64_t gw_sampler_threshold(uint64_t before, uint64_t rate);

#endif
