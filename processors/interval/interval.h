/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of interval: the last point of each stream, as its bytes came, under the envelopes of its metric and
 * scope.
 *
 *   take ─► scope {resource, schema URLs} ─► metric {name, unit, description} ─► stream {point}
 *   flush ─► request │ request │ …          one a call, each below a size, until all points have left
 *
 * A stream that has no new point until the flush after is forgotten.
 *
 * Threads   one; time comes as an argument
 */
#ifndef GW_INTERVAL_H
#define GW_INTERVAL_H

#include "processors/common/running.h"
#include "processors/common/stream_state.h"

/** The value of a stream. */
struct gw_iv_point {
    uint8_t *bytes; /* a data point message */
    uint32_t n, cap;
    bool has;                /* since the last flush */
    bool is_sum;             /* total is the value, and bytes are those of the first point */
    struct gw_running total; /* time_ns of all; the rest of points that are added up */
};

struct gw_iv_store {
    struct gw_streams *streams;
    struct gw_credit *credit;
    /* A flush: streams in order, of which those before `at` have left. */
    struct gw_series **due;
    uint32_t n_due, at;
    uint64_t flushed_ns; /* when the last flush began */
    uint64_t before_ns;  /* streams seen before have no point any more */
    uint64_t n_points;
    uint64_t partitions; /* a flush is of these, where streams have marks */
};

enum gw_iv_fate { GW_IV_TAKEN, GW_IV_LIMIT, GW_IV_NO_MEMORY, GW_IV_OTHER_BOUNDS };

/** Errors: -ENOMEM. */
int gw_iv_init(struct gw_iv_store *s, uint32_t max_streams, struct gw_credit *credit);
void gw_iv_free(struct gw_iv_store *s);
/** Before the rows of a view, which has no patches. */
static inline void gw_iv_begin(struct gw_iv_store *s)
{
    gw_streams_begin(s->streams);
}
/** The newest point counts: the later one, of equal ones the first. is_added: the sum of all counts. */
enum gw_iv_fate gw_iv_take(struct gw_iv_store *s, const struct gw_view *v, uint32_t row, bool is_added,
                           uint64_t now_ns);

/** All points that are there are due. False: no memory. A flush under way goes on. */
bool gw_iv_flush_begin(struct gw_iv_store *s, uint64_t now_ns);
static inline bool gw_iv_is_flushing(const struct gw_iv_store *s)
{
    return s->due != NULL;
}
/** How many points, and bytes, the next request has at most. */
uint32_t gw_iv_next(const struct gw_iv_store *s, size_t *ret_bytes);
/**
 * The next request of the flush, as a batch without tickets, and as a view of it in which sums are summed up. After the
 * last one the flush is over.
 *
 * Errors    -ENOMEM: nothing has left; others: these points are lost
 */
int gw_iv_flush(struct gw_iv_store *s, struct gw_buf *body, struct gw_arena *arena, struct gw_batch_pool *pool,
                struct gw_view *ret);
/** Values as bytes; the argument is a struct gw_iv_store. */
extern const struct gw_ss_ops gw_iv_state;
/** Streams without a point go, some at a time. True: there are more to look at. */
bool gw_iv_sweep(struct gw_iv_store *s);

#endif
