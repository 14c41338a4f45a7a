/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance's side of the spool (spool.h): what waits in its store goes to disk when the gateway leaves, and comes
 * back before anything else does. What only the owner knows (facts of a trace, what is remembered) it says and takes by
 * `ops`.
 *
 *   drain ─► gw_spooler_leave ─► notes, traces ─► file        false: it is to go as without a spool
 *   first consume, tick or drain ─► gw_spooler_take_up ─► notes, traces
 *
 * Clocks do not go on while nobody is there: a trace has waited what it had waited.
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_SPOOLER_H
#define GW_PROCESSORS_COMMON_SPOOLER_H

#include "pipeline/component.h"
#include "processors/common/spool.h"
#include "processors/common/traces.h"

struct gw_ports;
struct gw_batch_pool;

/** Notes that are being written: neighbours of one type share frames. */
struct gw_spool_notes {
    struct gw_spool_writer *w;
    struct gw_buf *open; /* or NULL */
    size_t begin;
    uint8_t type;
};
/** Where the next note of this type goes; none is cut in two. */
struct gw_buf *gw_spool_note(struct gw_spool_notes *n, uint8_t type);

struct gw_spooler_ops {
    /** What is remembered. May be NULL, with take_note. */
    void (*put_notes)(void *self, struct gw_spool_notes *notes, uint64_t now_ns);
    /** A frame of them. `i` of `of`: of which file; `arg` is gw_spooler_take_up's. */
    void (*take_note)(void *self, void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of);

    /** The store, made when there is none. NULL: no memory. */
    struct gw_traces *(*store)(void *self);
    /** False: it does not wait any more; it goes nowhere. NULL: all wait that are in the store. */
    bool (*waits)(const struct gw_trace *t);
    void (*put_facts)(void *self, const struct gw_trace *t, struct gw_buf *out);
    /** Empty facts: they are not known. is_new: else they add to what is there. */
    void (*take_facts)(void *self, struct gw_trace *t, struct gw_slice facts, bool is_new);

    /** The oldest trace leaves, but not this one. False: none can. */
    bool (*make_room)(void *self, const struct gw_trace *but, uint64_t now_ns, struct gw_ports *out);
    /** There is no room for the rows of v even alone: it leaves (t may be NULL), and they come as rows that come now.
     */
    void (*overflow)(void *self, struct gw_trace *t, struct gw_view *v, uint64_t now_ns, struct gw_ports *out);
    /** What left the store goes on. */
    void (*flush)(void *self, struct gw_ports *out);
};

struct gw_spooler {
    const struct gw_spooler_ops *ops;
    void *self;
    const struct gw_ctx *ctx; /* shared: a struct gw_spool, or NULL */
    struct gw_batch_pool *pool;
    bool is_taken_up; /* what an earlier process has left; or there is no storage */
    bool is_spooled;  /* what is remembered is on disk, and what waited then */
    bool is_given_up; /* the disk does not take it */
    uint64_t n_spans; /* that wait on disk now */
};

/** In create_shared(): storage "": none. kind: as gw_spool_new. */
int gw_spooler_new_shared(void **ret, const struct gw_ctx *ctx, const char *storage, const char *kind,
                          struct gw_err *err);
void gw_spooler_free_shared(void *shared);
/**
 * n_spans of the store wait: they go to disk, with what is remembered, if the gateway leaves. False: they shall go as
 * without a spool. Again is fine.
 */
bool gw_spooler_leave(struct gw_spooler *s, struct gw_traces *store, uint64_t n_spans, uint64_t now_ns);
/** The other way, once, before anything else comes in. out NULL: nothing can leave to make room. */
void gw_spooler_take_up(struct gw_spooler *s, void *arg, struct gw_ports *out);
/**
 * At a reload: what old has taken up is s's. in_journal: it is behind one. Errors: -ENOTSUP: old has a spool of its own
 * that is half taken up.
 */
int gw_spooler_adopt(struct gw_spooler *s, const struct gw_spooler *old, bool in_journal);
/** Other workers have begun to, and have its part in their hands. */
bool gw_spooler_is_owed(const struct gw_spooler *s);

#endif
