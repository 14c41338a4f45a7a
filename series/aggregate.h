/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates: what many values become. A plan says which of them are wanted; a state is what they need of memory, in
 * bytes that the caller owns and that begin as zeros, so that a table has it beside its key:
 *
 *   specs ─► gw_agg_plan_make ─► plan.state_bytes            state │ count │ total │ min │ … │ pointer to a big one │
 *   values ─► gw_agg_add ─► state ◄─ gw_agg_merge ─ state    state ─► gw_agg_number, gw_agg_put ─► points
 *
 * What several aggregates need (avg and sum; quantiles and the histogram that they are read from) is there once.
 * Histograms, distinct, top and samples are behind pointers, and nothing is there before the first value;
 * what they take is counted in a gw_agg_heap.
 *
 *   aggregate    bytes    order of adds and merges          error
 *   count        8        makes no difference               exact; modulo 2^64
 *   sum, avg, rate    56 (+8)  makes no difference               rounded once (series/total.h)
 *   min, max     8        makes no difference               exact; -0 is below 0
 *   last         24       makes no difference               exact; by time, then by order, then by value
 *   histogram    8, + 16 × bounds    makes no difference among equal bounds    exact; series/mixed.h
 *   exponential, quantile   8, + up to 16 × size    none but in zero_threshold    series/histogram.h, quantile.h
 *   distinct     8, + up to 2^precision    makes no difference    1.04 / 2^(precision / 2), relative, one sigma
 *   top          8, + up to size × item    none up to `size` items; beyond, the same order gives the same    total /
 * size samples      8, + 56 × size            makes no difference    is a sample
 *
 * NaN is counted, and makes sum and avg NaN; min, max, last, histograms and quantiles are of the others. Infinities are
 * values like others, but not in exponential histograms, which have no bucket for them.
 *
 * Threads   one a state
 */
#ifndef GW_SERIES_AGGREGATE_H
#define GW_SERIES_AGGREGATE_H

#include "core/buf.h"
#include "core/status.h"
#include "series/heap.h"
#include "series/metrics_writer.h"
#include "series/picks.h"
#include "series/total.h"

enum gw_agg_fn {
    GW_AGG_COUNT,
    GW_AGG_SUM,
    GW_AGG_MIN,
    GW_AGG_MAX,
    GW_AGG_AVG,
    GW_AGG_LAST,
    GW_AGG_HISTOGRAM,
    GW_AGG_EXPONENTIAL,
    GW_AGG_QUANTILE,
    GW_AGG_DISTINCT,
    GW_AGG_TOP,
    GW_AGG_SAMPLES, /* no points of its own: gw_agg_exemplars */
    GW_AGG_RATE,    /* sum, by the seconds from a point's start to its time */
    GW_AGG_N_FNS
};
/** As in settings, NULL-ended. */
extern const char *const gw_agg_names[];

struct gw_agg_spec {
    enum gw_agg_fn fn;
    /**
     * histogram (when bounds differ), exponential, quantile: buckets (GW_EXP_DEFAULT_SIZE); distinct: precision; top:
     * counters (500); samples: how many (4). 0: as in brackets. All specs of a plan that share a part say the same.
     */
    unsigned size;
    const struct gw_bounds *bounds; /* histogram: of numbers. Borrowed; NULL: they are lost to it as by another bound */
    double q;                       /* quantile: 0 to 1 */
    unsigned show;                  /* top: how many are written; 0: 10 */
    struct gw_slice item_key;       /* top: the attribute that the item is written as */
};

enum gw_agg_part {
    GW_AGG_P_COUNT,
    GW_AGG_P_TOTAL,
    GW_AGG_P_MIN,
    GW_AGG_P_MAX,
    GW_AGG_P_LAST,
    GW_AGG_P_HISTOGRAM, /* from here on: pointers */
    GW_AGG_P_EXPONENTIAL,
    GW_AGG_P_DISTINCT,
    GW_AGG_P_TOP,
    GW_AGG_P_SAMPLES,
    GW_AGG_N_PARTS
};

struct gw_agg_plan {
    unsigned parts;              /* bits by enum gw_agg_part */
    uint16_t at[GW_AGG_N_PARTS]; /* where each lies */
    uint32_t size[GW_AGG_N_PARTS];
    const struct gw_bounds *bounds;
    uint32_t number_bytes; /* of the state: what is no pointer, and comes first */
    uint32_t state_bytes;  /* a multiple of 8 */
    bool has_big;          /* states point to memory: gw_agg_clear is needed */
};

/** Which parts a list needs. Errors: -EINVAL with a sentence: a size or quantile beyond its limits, or sizes that
 * differ.
 */
int gw_agg_plan_make(struct gw_agg_plan *p, const struct gw_agg_spec *specs, unsigned n, struct gw_err *err);

struct gw_agg_value {
    bool is_int;
    union {
        double d;
        int64_t i;
    };
    uint64_t n;                   /* how many times; 0: nothing is added */
    uint64_t time_ns;             /* of last */
    uint64_t order;               /* of last, among equal times: the position in a log, say. The higher one is later */
    const struct gw_slice *item;  /* of distinct and top; NULL: none */
    const struct gw_pick *sample; /* of samples; NULL: none */
};

/**
 * state: plan->state_bytes, aligned to 8; zeros: empty. Of what is in a histogram the buckets go over the heap's limit
 * by one at most.
 *
 * Errors    -ENOSPC over the heap's limit, -ENOMEM: what is behind pointers may lack the value; the numbers have it
 */
int gw_agg_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v);
/**
 * The values of a histogram, which gw_exponential_is_sane, with min and max (gw_exponential_guess_range): in count,
 * sum, min, max, avg, exponential and quantile. Errors as gw_agg_add.
 */
int gw_agg_add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                           const struct gw_exponential *h);
/**
 * The same of an explicit one; min and max NaN when they are not known. exponential and quantile lose what
 * gw_exponential_add_explicit says. Errors also -EINVAL: bounds that cannot be.
 */
int gw_agg_add_explicit(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                        const struct gw_explicit *h, double min, double max);
/** A sample beside what was added, of samples. Errors as gw_agg_add. */
int gw_agg_add_sample(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_pick *sample);
/** Errors as gw_agg_add. */
int gw_agg_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other);
/** What it points to is freed, and its bytes are zeros. */
void gw_agg_clear(const struct gw_agg_plan *p, void *state, struct gw_heap *heap);

struct gw_agg_number {
    bool is_int;
    union {
        double d;
        int64_t i;
    };
};
/** Of a spec that the plan was made of. False: there is none, of no values. */
bool gw_agg_number(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec,
                   struct gw_agg_number *ret);
/** Its metric's type and monotonicity; name and unit are the caller's. Of a delta: what is added up can be again. */
void gw_agg_metric(const struct gw_agg_spec *spec, struct gw_mw_metric *m);
/** Of this state: as gw_agg_metric says, but exponential for a histogram whose bounds differed. */
enum gw_metric_type gw_agg_type(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec);
/** Its points, of the metric that was opened with it; none when there is nothing to say. */
void gw_agg_put(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                const struct gw_mw_point *point);

/** Samples, for the points of the others; how many. Borrowed. */
unsigned gw_agg_exemplars(const struct gw_agg_plan *p, const void *state, struct gw_mw_exemplar *ret, unsigned n);

/** For a checkpoint: behind what is in the buffer. The same state gives the same bytes. */
void gw_agg_save(const struct gw_agg_plan *p, const void *state, struct gw_buf *out);
/**
 * Into a state of zeros, of the same plan; *from goes on behind it. Errors: -EBADMSG, -ENOSPC, -ENOMEM; then the state
 * is zeros.
 */
int gw_agg_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from);

#endif
