/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the rows of a chunk stand in a log, and what has to be settled there when their fate is known.
 *
 *   chunk of rows   0 1 2 3 4 5 6 7 8         in the order of its body
 *   places          └frame 7┘ └frame 8┘ └9    merging joins tabs, splitting deals them out
 *
 * A tab is closed, and its rows settled, when nobody holds it any more: the job, and each dead letter of it that still
 * waits for room. All on the exporter's thread.
 */
#ifndef GW_QUEUE_PLACES_H
#define GW_QUEUE_PLACES_H

#include "log/log.h"

struct gw_feed;

/** Rows [first, first + rows) of one frame. */
struct gw_log_place {
    struct gw_feed *feed;
    uint64_t seq;
    uint32_t first, rows, frame_rows;
    uint64_t time_ns; /* of the frame: a seq that a power cut took may be given again, its time not */
};

struct gw_tab {
    struct gw_tab *next; /* of those that wait to be settled */
    unsigned refs;
    bool left;  /* nothing more is settled: the rows stay in the log */
    bool again; /* and are read back from there */
    uint32_t n, n_rows;
    uint32_t tally[GW_LOG_N_OUTCOMES]; /* rows that ended so; which of them is not known */
    uint32_t n_dealt;                  /* the first rows, whose outcomes are known to the feeds */
    uint32_t taken;                    /* rows of tally[GW_LOG_DELIVERED] to come that were cut out before */
    uint32_t lost;                     /* rows of tally[GW_LOG_DROPPED] that were in memory only */
    uint64_t *cut;                     /* bit per row: belongs to another tab now; or NULL */
    struct gw_log_place *places;       /* &one, or memory of its own */
    uint32_t near, near_row;           /* gw_tab_at: the place that was asked for last, and its first row */
    struct gw_log_place one;
};

/** Owner: gives one reference; at most cap places will be added. Errors: NULL. */
struct gw_tab *gw_tab_new(uint32_t cap);
/** Joins what continues the last place. */
void gw_tab_add(struct gw_tab *t, const struct gw_log_place *p);
struct gw_tab *gw_tab_ref(struct gw_tab *t); /* takes NULL */
/** With the last reference all rows are settled as the tally says. Returns NULL; takes NULL. */
struct gw_tab *gw_tab_unref(struct gw_tab *t);
/**
 * Where row `row` stands: the feed, the frame and the row of it. NULL: in memory only. Fastest in order, or nearly.
 */
const struct gw_log_place *gw_tab_at(struct gw_tab *t, uint32_t row, uint32_t *ret_frame_row);
/** Of a tab that nobody holds: settled as the tally says, or given to a feed that has no memory for it yet. */
void gw_tab_settle(struct gw_tab *t);
/** Of a tab that nobody holds. */
void gw_tab_free(struct gw_tab *t);
/** Rows ended so; t may be NULL (a chunk that is in memory only). */
void gw_tab_count(struct gw_tab *t, enum gw_log_outcome outcome, uint32_t rows);
/** The rows stay in the log, to be sent again some day. Takes NULL. */
void gw_tab_leave(struct gw_tab *t);
/** Its rows are another tab's, or were never taken: closing it settles nothing and leaves nothing. Takes NULL. */
void gw_tab_disown(struct gw_tab *t);
/** Rows that were settled as delivered before the job knows how it ends (gw_tab_taken). Takes NULL. */
uint32_t gw_tab_n_taken(const struct gw_tab *t);
/** Rows that are in memory only, at most so many, are dropped by the caller, each once. Takes NULL. */
uint32_t gw_tab_lose(struct gw_tab *t, uint32_t most);
/** The rows stay in the log, and are read back some time later. Takes NULL. */
void gw_tab_again(struct gw_tab *t);
/** The first run of rows that is not dealt yet; *ret_end: the row of the tab behind it. */
bool gw_tab_undealt(const struct gw_tab *t, struct gw_log_place *ret, uint32_t *ret_end);
/** Rows that were not cut out. */
uint32_t gw_tab_rows(const struct gw_tab *t);
/** Rows whose bit has that value become a tab of their own; rows cut before do not. NULL: none, or no memory. */
struct gw_tab *gw_tab_cut(struct gw_tab *t, const uint64_t *bits, bool value);
/** The sink has these rows: settled at once, and not again when the tab is closed. */
void gw_tab_taken(struct gw_tab *t, const uint64_t *bits);
/**
 * Only rows with a set bit stay; the others are delivered, but for those that were cut out. False: no memory, or others
 * hold the tab, too, and it is as it was.
 */
bool gw_tab_keep(struct gw_tab *t, const uint64_t *bits);
/** The next `rows` rows, from row *at on, as a tab of their own. Errors: NULL. */
struct gw_tab *gw_tab_deal(const struct gw_tab *t, uint32_t *at, uint32_t rows);

#endif
