/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was decided of traces, behind a journal (pipeline/keep.h): time is the log's, and each decision is written down,
 * so that after a crash the rows of traces that were decided are not taken again.
 *
 * Record: entries one behind the other, a type and its fields, integers little-endian; types that are not here are the
 * owner's:
 *
 *   'W'  worker u32, of how many u32: whose the entries behind it are; each record begins with one
 *   'D'  trace id 16, value u64 (GW_KEPT_NOTHING: only that it was decided), upto u64 ns
 *
 * upto: rows that came in a step before it were part of the decision. After a restart with another number of workers
 * one reads what several have written, by turns; what its owner numbers is numbered anew by each of these sources.
 *
 * A trace that is decided in the middle of a step takes all rows with it that come of it in this step: before and
 * behind the decision upto cannot tell them apart.
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_KEPT_H
#define GW_PROCESSORS_COMMON_KEPT_H

#include "core/buf.h"
#include "pipeline/component.h"
#include "pipeline/keep.h"
#include "processors/common/ids.h"

struct gw_spool_in;

#define GW_KEPT_NOTHING UINT64_MAX

enum { GW_KEPT_SOURCES = 64 }; /* as many as there are partitions */

struct gw_kept_source {
    uint32_t worker, n_workers;
};

struct gw_kept {
    struct gw_env *env;
    struct gw_kept_source self;
    uint64_t now_ns; /* of the step that is consumed */
    bool rebuilds;   /* rows come that were consumed before a crash */
    bool at_barrier; /* what is decided now has no row of the step that begins, */
    bool came_again; /* but for those that came again in it */
    bool has_saved;
    struct gw_buf record; /* since the last save */
    struct gw_ids *past;  /* what was restored: id to upto; NULL: nothing, or nothing comes again */
    struct gw_ids *now;   /* decided, or followed, in the middle of this step: id to value */
    uint64_t past_ns;     /* the last upto of these: rows of later steps are not past */
    uint32_t max_past, max_now;
    size_t begin;                                   /* of the record that is written */
    struct gw_kept_source sources[GW_KEPT_SOURCES]; /* of what was restored */
    uint32_t n_sources, source;                     /* source: whose entries are read */
};

/** A table of any size. False: no memory. */
bool gw_kept_put_more(struct gw_env *env, struct gw_ids **ids, uint32_t *max, const uint8_t id[16], uint64_t value);

/** Errors: NULL, no memory. */
struct gw_kept *gw_kept_new(const struct gw_ctx *ctx);
void gw_kept_free(struct gw_kept *k);

/** It is decided, or rows of it followed a decision, with what is remembered of it. */
void gw_kept_note(struct gw_kept *k, const uint8_t id[16], uint64_t value);
/**
 * At a barrier, because it was due then: no row of the step that begins is part of it, not even one that came again,
 * for who consumed that had decided before.
 */
void gw_kept_note_due(struct gw_kept *k, const uint8_t id[16], uint64_t value);
/** The same, at a barrier, where who asks knows up to which step its rows were part of it. */
void gw_kept_note_upto(struct gw_kept *k, const uint8_t id[16], uint64_t value, uint64_t upto_ns);
/** It was noted earlier in this step: what comes of it follows, whether it is remembered or not. False for NULL. */
bool gw_kept_follows(const struct gw_kept *k, const uint8_t id[16], uint64_t *ret_value);
/** Rows of this trace that come now were part of a decision, or followed one. False for NULL. */
bool gw_kept_is_past(const struct gw_kept *k, const uint8_t id[16]);
/** A step begins. */
void gw_kept_advance(struct gw_kept *k, uint64_t now_ns, bool rebuilds);

struct gw_trace;
struct gw_traces;
/**
 * A full house is looked at when a step has ended, so that it does not matter how rows of a step came together: the
 * oldest trace, by id when several came in one step, while there are more traces or bytes than there may be; else NULL.
 * Not when rows of the step that begins came again: they are there already.
 * *ordered_ns: UINT64_MAX at first.
 */
struct gw_trace *gw_kept_excess(struct gw_traces *t, uint64_t max_traces, uint64_t max_bytes, uint64_t *ordered_ns);
/** Such a store's budget: until the step has ended there is room for what comes in it, and for slabs that are not full.
 */
static inline uint64_t gw_kept_store_bytes(uint64_t max_bytes)
{
    return max_bytes + max_bytes / 4 + (32u << 20);
}

/** A record begins: the owner's entries come next. */
void gw_kept_open_record(struct gw_kept *k, bool whole, struct gw_buf *out);
/** Of a whole record: all that `ids` remembers … */
void gw_kept_put_known(const struct gw_kept *k, const struct gw_ids *ids, struct gw_buf *out);
/** … and what is past, and remembered in none of these n. */
void gw_kept_put_past(const struct gw_kept *k, struct gw_ids *const *ids, unsigned n, struct gw_buf *out);
/** What was noted since the last one. Nothing at all is appended when there is nothing, and it
 * is not a whole one. Errors: -ENOMEM. */
int gw_kept_close_record(struct gw_kept *k, struct gw_buf *out);

struct gw_kept_reader {
    void *self;
    /** An owner's entry. False: it is none. May be NULL. */
    bool (*entry)(void *self, uint8_t type, struct gw_spool_in *in);
    /** A decision is remembered. False: there is no such one. May be NULL. */
    bool (*decided)(void *self, const uint8_t id[16], uint64_t value);
    /** What was said of it before is over, whether it was decided or lost. May be NULL. */
    void (*over)(void *self, const uint8_t id[16]);
};
/** Errors: -EBADMSG, -ENOMEM. */
int gw_kept_restore(struct gw_kept *k, struct gw_slice record, const struct gw_keep_owner *owner,
                    const struct gw_kept_reader *r);

#endif
