/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of one pipeline, before all its exporters with a queue on disk: what leaves the chain is written once,
 * however many they are, and each has a cursor of its own.
 *
 *   worker      view ─► OTLP bytes ─► commit ─┐
 *   writer      ┌────────────────────────────┘
 *               └► written (and synced) ─► tickets: stored ─► each feed (queue/feed.h): a chunk
 */
#ifndef GW_QUEUE_WAL_H
#define GW_QUEUE_WAL_H

#include "queue/edge.h"

struct gw_wal;
struct gw_log;
struct gw_cut;
struct gw_feed;
struct gw_inbox_item;
struct gw_wal_stage;

enum { GW_WAL_EDGES = 16 };

struct gw_wal_conf { /* borrowed for the wal's life */
    struct gw_env *env;
    struct gw_log *log;
    struct gw_flight *flight; /* of its storage, and what the log is called there (log/flight.h); or NULL */
    uint64_t flight_log;
    const char *pipeline; /* id, or NULL: what comes through ports */
    enum gw_signal signal;
    const struct gw_batching *batching; /* of the pipeline, or NULL */
    bool sync;                          /* stored means synced */
    bool early;                         /* stored means in memory: the write follows */
    struct gw_credit *memory;
    struct gw_meter *meter;
    struct gw_logger logger;
};

int gw_wal_new(const struct gw_wal_conf *conf, struct gw_wal **ret);
/** After the log is closed. */
void gw_wal_free(struct gw_wal *w);
/**
 * The edge gets what is committed from now on, and what its consumer (the exporter's id) has not settled. While another
 * edge of that id is there it waits for that one to be removed, so that nothing goes twice. Again: nothing happens.
 */
int gw_wal_add_edge(struct gw_wal *w, struct gw_edge *e, struct gw_err *err);
/** What stored means from now on, and how the edges that are added later batch. */
void gw_wal_update(struct gw_wal *w, bool sync, bool early);
void gw_wal_set_batching(struct gw_wal *w, const struct gw_batching *batching);

/** Of an edge that is going to leave. */
enum gw_wal_heritage {
    GW_WAL_NO_HEIR, /* it has to deliver what was committed for it */
    GW_WAL_HEIR,    /* another one of its id goes on from where it is, as soon as it is removed */
};
/** No worker puts anything for the edge any more. It gets what is being committed, and nothing later. */
void gw_wal_retire_edge(struct gw_wal *w, const struct gw_edge *e);
/** False: no such edge. *ret_more: something is still being committed for it. */
bool gw_wal_heritage(struct gw_wal *w, const struct gw_edge *e, enum gw_wal_heritage *ret, bool *ret_more);
/** A closed edge, before it is freed: what it has not settled is for the next one of its id, or for the next
 * start. One that has retired without an heir, and has delivered all, leaves no place in the log behind; nor does
 * one that has not retired and is the first of its id: then its configuration was never taken. */
void gw_wal_remove_edge(struct gw_wal *w, const struct gw_edge *e);
struct gw_log *gw_wal_log(const struct gw_wal *w);
/** Stored means synced. Threads: any. */
bool gw_wal_syncs(const struct gw_wal *w);
/** Entries whose commit is not done. Threads: any. */
uint64_t gw_wal_pending(const struct gw_wal *w);
/** Rows of them. */
uint64_t gw_wal_pending_rows(const struct gw_wal *w);

/** An edge behind the wal as one graph sees it. */
struct gw_wal_way {
    const struct gw_edge *edge;
    unsigned index; /* where its units stand among those reserved */
};

struct gw_wal_put {
    struct gw_buf *scratch; /* the worker's */
    struct gw_ledger *ledger;
    uint64_t *reserved; /* the worker's table of units taken at the door, used up by this */
    const struct gw_wal_way *ways;
    unsigned n_ways;
    uint64_t cut;               /* the last picture that the worker has taken its part in */
    struct gw_wal_stage *stage; /* the rows wait there for its commit, and their tickets do not; or NULL */
};
/** Take the view: its rows are settled as stored when they are, or refused. Threads: any worker. */
void gw_wal_put(struct gw_wal *w, struct gw_view *v, const struct gw_wal_put *how);
/**
 * An OTLP body (dead letters), for the one edge behind; from->book is not used, from->receipt is settled when it is
 * written. False: no memory, nothing was taken.
 */
bool gw_wal_put_bytes(struct gw_wal *w, const struct gw_edge *e, struct gw_slice body, uint32_t rows,
                      const struct gw_put_from *from);

/* ---- stages ------------------------------------------------------------------------------------------------- */

/**
 * Views that are committed as one, together with how far their source was read: all of them are there after a crash,
 * with the positions, or none. For rows that can be read again.
 *
 * Threads   one, its worker's; done comes on the log's writer
 */
struct gw_log_position;
/** Errors: NULL, no memory. */
struct gw_wal_stage *gw_wal_stage_new(struct gw_wal *w);
/** What is there is forgotten: it was never promised to anybody. Not while a commit is under way. */
void gw_wal_stage_clear(struct gw_wal_stage *s);
/** The same, and the stage. */
void gw_wal_stage_free(struct gw_wal_stage *s);
/** Of the views that wait, or are being committed. */
uint64_t gw_wal_stage_bytes(const struct gw_wal_stage *s);
/** Something was to be put and could not, for want of memory: it must not be committed any more. */
bool gw_wal_stage_is_broken(const struct gw_wal_stage *s);
/** The next commit is what was put before; the one before it must be done, and heard. */
void gw_wal_stage_cut(struct gw_wal_stage *s);
/**
 * What was cut, and these positions (of consumers of the wal's log; they must stay until done), one commit at a time:
 * done tells the worker, which calls heard. rc is gw_log_commit's; when it is negative all of it is still there, to be
 * committed again. Errors: -ENOMEM, nothing was done.
 */
int gw_wal_stage_commit(struct gw_wal_stage *s, const struct gw_log_position *at, unsigned n,
                        void (*done)(void *arg, int rc), void *arg);
void gw_wal_stage_heard(struct gw_wal_stage *s);
/** Something of it is missing: it must not be committed any more. */
void gw_wal_stage_break(struct gw_wal_stage *s);

/* ---- the ledger (queue/held.h, queue/account.h) ----------------------------------------------------------- */

/**
 * The last step of an edge's part: its feed's account, as it is now. rest: what its thread has taken out of the inbox
 * and not looked at yet.
 */
void gw_wal_cut_feed(struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *rest);
/** Accounts that no edge with a part in the cut draws for. By whoever made the cut, when all parts are done. */
void gw_wal_cut_rest(struct gw_wal *w, struct gw_cut *cut);

#endif
