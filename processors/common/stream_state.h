/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a processor remembers of each stream (streams.h), behind a journal (pipeline/keep.h): with each commit the
 * streams that have changed are written down, so that a state is always that of the rows that were committed. No row
 * comes again for its sake, nothing is computed again, and what left the processor needs no number.
 *
 *   log      ──── rows ────┬──── rows ────┬──── rows ─ ─►      steps of a tenth of a second
 *                          ▼ commit       ▼ commit
 *                          rows that left the processor, streams that have changed
 *
 * Time is the journal's: of the step that is consumed. What is done every so often is done when a step is the first one
 * behind a multiple of that time, for each partition once.
 *
 * Record: entries one behind the other, all integers little-endian:
 *
 *   'F'  u64: of which settings the others are; each record begins with it
 *   'W'  partitions u64: what was said of them before does not count any more; numbers begin anew
 *   'B'  u64: when the gateway began, which is when the first of those that have said so did
 *   'T'  partitions u64, time u64: what is done every so often was done for the last time
 *   'X'  number u32: it is gone
 *   'O'  key, note      the scope of those that follow
 *   'M'  key, note      their metric
 *   'N'  number u32, table u8, partition u8, key │ seen u64, value      a new stream
 *   'V'  number u32 │ seen u64, value
 *
 * Keys, notes and values: length u32, bytes. A number is one worker's, since its start, and says in later records which
 * stream it is: 17 bytes and the value for a stream that has changed.
 *
 * Partition: of the row by which the stream came to be, as far as its key tells; so another number of workers finds
 * what is its. Who changes the attributes by which the journal is partitioned, in front of it, keeps the number of
 * workers: what would be of a partition of others counts as of the first of its own.
 *
 * Threads   the instance's worker
 */
#ifndef GW_PROCESSORS_COMMON_STREAM_STATE_H
#define GW_PROCESSORS_COMMON_STREAM_STATE_H

#include "pipeline/component.h"
#include "pipeline/keep.h"
#include "pipeline/parting.h"
#include "processors/common/spool.h"
#include "processors/common/streams.h"

enum { GW_SS_MAX_TABLES = 2, GW_SS_MAX_PARTING = 16 };

/** What the owner's values are as bytes. `arg` is what it has its streams in. */
struct gw_ss_ops {
    void (*put)(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out);
    /** Over what is there. False: these are none (in->bad), or there is no memory. */
    bool (*take)(void *arg, unsigned table, struct gw_series *s, struct gw_spool_in *in);
    /** Read: what is done every so often was done then, for all streams with these partitions in their marks. May be
     * NULL. */
    void (*passed)(void *arg, uint64_t partitions);
};

struct gw_ss_source; /* whose numbers are read */

struct gw_stream_state {
    const struct gw_ss_ops *ops;
    void *arg;
    const struct gw_ctx *ctx;
    struct gw_streams *tables[GW_SS_MAX_TABLES];
    unsigned n_tables;
    struct gw_streams_watch watch;
    struct gw_parting by; /* its names are ours */
    const char *names[GW_SS_MAX_PARTING];
    bool is_whole; /* one worker, and a stream's rows may lie in any partition: it goes as the first */
    uint64_t partitions, settings, n_foreign;
    uint64_t now_ns; /* the step that began */
    bool rebuilds;
    uint64_t begin_ns;
    uint64_t done_ns[GW_PARTITIONS]; /* by partition: what is done every so often, last */
    bool has_done;                   /* since the last save */
    bool failed;                     /* something could not be noted: nothing may be committed any more */
    bool ends, is_sweeping;
    uint32_t next_number;
    uint64_t bytes, max_bytes; /* of what is written of each stream, together */
    struct gw_ss_changed {
        struct gw_series *s;
        uint8_t table;
    } * changed;
    uint32_t n_changed, cap_changed;
    uint32_t *gone; /* numbers */
    uint32_t n_gone, cap_gone;
    struct gw_ss_source *sources; /* while records are read */
    uint32_t n_sources;
};

/** Rows that come now were known before a crash. False for NULL. */
static inline bool gw_ss_knows(const struct gw_stream_state *s)
{
    return s && s->rebuilds;
}

/** gw_keep_ops.unfit, for any owner. */
const char *gw_ss_unfit(const void *conf, unsigned signal, const struct gw_parting *by, unsigned n_workers);
/** Do attributes of a scope have to tell streams apart? Their partitions may be different ones. */
static inline bool gw_ss_parts_scopes(const struct gw_parting *by)
{
    return by->by == GW_PART_ATTRIBUTES;
}

/** tables: empty, and his who frees them first. settings: of which values and keys are. Errors: NULL, no memory. */
struct gw_stream_state *gw_ss_new(const struct gw_ss_ops *ops, void *arg, const struct gw_ctx *ctx,
                                  struct gw_streams *const *tables, unsigned n_tables, const struct gw_parting *by,
                                  uint64_t partitions, uint64_t settings);
/** Before its tables are freed: it does not hear of that. */
void gw_ss_end(struct gw_stream_state *s);
void gw_ss_free(struct gw_stream_state *s);
/** At a reload, with the streams. */
void gw_ss_adopt(struct gw_stream_state **s, struct gw_stream_state **old, const struct gw_ctx *ctx);

/** A step begins. Of rows that come again with `rebuilds` a state knows already: they pass, for others of the pipeline.
 */
void gw_ss_advance(struct gw_stream_state *s, uint64_t now_ns, bool rebuilds);
/**
 * What is done every so often: the last multiple of period_ns, when it was not done for all partitions; their bits. 0:
 * nothing is due.
 */
uint64_t gw_ss_due(struct gw_stream_state *s, uint64_t period_ns, uint64_t *ret_partitions);
void gw_ss_done(struct gw_stream_state *s, uint64_t at_ns);
/** The same, for owners that only forget: every period_ns streams not seen since at - max_ns. Returns GW_MORE or DONE.
 */
int gw_ss_forget_stale(struct gw_stream_state *s, uint64_t period_ns, uint64_t max_ns);

int gw_ss_save(struct gw_stream_state *s, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns);
int gw_ss_restore(struct gw_stream_state *s, struct gw_slice record, const struct gw_keep_owner *owner);

/* gw_keep_ops of components whose first member is a struct gw_stream_state *. */
int gw_ss_keep_begin(void *self);
int gw_ss_keep_restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner);
int gw_ss_keep_save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns);
/** Never: nothing leaves by time. */
uint64_t gw_ss_keep_due(const void *self);
/** Nothing is computed again anyway. */
void gw_ss_keep_share(void *self);

/** Of a limit for all workers. */
uint32_t gw_ss_share(const struct gw_ctx *ctx, uint64_t max_streams);

#endif
