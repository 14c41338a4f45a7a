/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points that go on from their start (cumulative sums that only grow) as input: each stream has a counter of its own,
 * whatever of its attributes the rollup's series keeps, and the series adds up by how much they all went up.
 *
 *   stream   last ─────── waiting ─► waiting ─► waiting          points by time
 *                 ▲ watermark - hold                              what lies before is in its order for good
 *
 * By how much a counter went up is said by two neighbours, so a point waits until none can come between: until the
 * watermark has passed its time and `hold`, which is allowed_lateness where results wait so long, too (final ones), and
 * nothing otherwise. Only then it counts, in the windows that were open to it when it came. So results do not depend on
 * the order within the bound. What comes later than that goes into its windows if it is the stream's latest, and is
 * late if it is not; what it says is in the point behind it already.
 *
 * A stream that got no point for max_staleness begins anew with its next one. The first one says what was counted since
 * its start, which is taken (initial_value: auto) when that start lies behind the begin of the state and not further
 * back than max_staleness: so it is not a stream that was known before.
 *
 * Memory    an item a stream and one a waiting point, of the shard's budget. A point that finds no room for its panes
 *           when its turn comes is left out, and so is in the increase of the next one
 * Threads   the shard's lock
 */
#ifndef GW_ROLLUP_COUNTERS_H
#define GW_ROLLUP_COUNTERS_H

#include "core/buf.h"
#include "processors/common/index.h"
#include "series/counter.h"

struct gw_ru_input;
struct gw_ru_row;
struct gw_ru_series;
struct gw_ru_shard;
struct gw_ru_shared;

enum { GW_RU_INITIAL_AUTO, GW_RU_INITIAL_KEEP, GW_RU_INITIAL_DROP };
enum { GW_RU_MAX_WAITING = 1000 }; /* points of a stream; then the first of them waits no longer */

/** Which stream: a hash of all that tells it apart. Of 128 bits, as nobody compares further. */
struct gw_ru_stream_id {
    uint64_t of[2];
};

/** Of a row. */
struct gw_ru_count {
    struct gw_ru_stream_id id;
    struct gw_counter_point point;
};

struct gw_ru_counters { /* of a shard */
    struct gw_slabs streams, waiting;
    struct gw_index index;
};

void gw_ru_counters_init(struct gw_ru_counters *c, struct gw_budget *budget);
void gw_ru_counters_clear(struct gw_ru_counters *c);
void gw_ru_counters_shrink(struct gw_ru_counters *c);

/** The row's stream and point, in the turn's arena. NULL, or why it has none. */
const char *gw_ru_count_read(struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to);

/** A point that came at that watermark, of a row of that series. Returns enum gw_ru_fate. */
int gw_ru_counters_add(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, const struct gw_ru_count *c,
                       uint64_t mark_ns);
/** One is to count in an overflow: when it has a series of its own again it begins anew, but not from its start. */
void gw_ru_counters_overflow(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series);
/** Points of the series whose turn it is count; UINT64_MAX: all of them. */
void gw_ru_counters_settle(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, uint64_t mark_ns);
/** Some points have not had their turn. */
bool gw_ru_counters_wait(const struct gw_ru_shard *s, const struct gw_ru_series *x);
/** Streams of which no point can count any more as if it were the next one. UINT64_MAX: all of them. */
void gw_ru_counters_expire(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint64_t mark_ns);
/**
 * What waited in a record and has counted by that mark: the stream went before it was written down again, since else no
 * such point would wait in it.
 */
void gw_ru_counters_catch_up(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint64_t mark_ns);

/* ---- records ----------------------------------------------------------------------------------------------------- */

/** Among the items of a series: what follows, to the end, is streams. */
#define GW_RU_STREAMS 'N'
/** Streams of the series that have changed since the last time, or all; behind its panes. */
void gw_ru_counters_write(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, bool whole,
                          struct gw_buf *out);
/** Behind GW_RU_STREAMS, to the end. Errors: -EBADMSG, -ENOSPC, -ENOMEM. */
int gw_ru_counters_read(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice from);

#endif
