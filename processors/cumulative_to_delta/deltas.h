/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cumulative points become deltas: what each series' last point was, and the difference to it. The rules, odd ones
 * included, are those of the Collector's processor; time comes with the points alone.
 */
#ifndef GW_PROCESSORS_DELTAS_H
#define GW_PROCESSORS_DELTAS_H

#include "processors/common/rewrite.h"
#include "processors/common/stream_state.h"
#include "processors/common/streams.h"

enum gw_initial { GW_INITIAL_AUTO, GW_INITIAL_KEEP, GW_INITIAL_DROP };

enum gw_delta {
    GW_DELTA_MADE,
    GW_DELTA_AS_IT_IS, /* not a number */
    GW_DELTA_NO_VALUE, /* the point says that nothing was recorded */
    GW_DELTA_RESET,
    GW_DELTA_INITIAL,
    GW_DELTA_MISMATCH, /* other buckets than before */
    GW_DELTA_LIMIT,
    GW_DELTA_NO_MEMORY,
    GW_N_DELTAS,
};

/** The last histogram of a series, of either kind. */
struct gw_last {
    uint64_t bytes; /* of all of it, charged */
    uint64_t count, zero_count;
    double sum, zero_threshold;
    int32_t scale;
    uint32_t n_words, n_counts, n_bounds;     /* room behind; of an explicit one */
    struct gw_exp_buckets positive, negative; /* of an exponential one: in words */
    uint64_t words[];                         /* counts, then bounds; or the counts of both halves */
};

/** The value of a stream; its series' seen_ns is the time of its last point. */
union gw_last_value {
    int64_t i;
    double f;
    struct gw_last *h; /* NULL: none */
};

struct gw_deltas {
    struct gw_streams numbers, histograms;
    struct gw_credit *credit;
    enum gw_initial initial;
    uint64_t begin_ns; /* wall clock: series that began before it are not new */
};

/** max_streams: of both kinds together. */
void gw_deltas_init(struct gw_deltas *d, enum gw_initial initial, uint64_t begin_ns, uint32_t max_streams,
                    struct gw_credit *credit);
void gw_deltas_free(struct gw_deltas *d);
/** Before the rows of a view. */
void gw_deltas_begin(struct gw_deltas *d);
uint64_t gw_deltas_n(const struct gw_deltas *d);

/** A cumulative point of a sum or histogram. MADE: it has its new values. Errors: w->v->failed. */
enum gw_delta gw_delta_number(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row);
enum gw_delta gw_delta_histogram(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row);
enum gw_delta gw_delta_exponential(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row);

/** Values as bytes; the argument is a struct gw_deltas. */
extern const struct gw_ss_ops gw_deltas_state;

/* ---- inside ----------------------------------------------------------------------------------------------- */

/** The series of a row, and whether its point is the first one. MADE: there is one. */
enum gw_delta gw_deltas_get(struct gw_deltas *d, struct gw_streams *st, const struct gw_batch *b, uint32_t row,
                            struct gw_series **ret, bool *ret_new);
/** What becomes of a first point, and the start time that it gets. */
enum gw_delta gw_deltas_first(const struct gw_deltas *d, const struct gw_batch *b, uint32_t row, uint64_t *ret_start);
/** The last histogram of s with room for that many words, emptied. NULL: no memory; the series is forgotten. */
struct gw_last *gw_deltas_room(struct gw_deltas *d, struct gw_series *s, uint64_t n_words);

#endif
