/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of all books at one moment, while rows move between threads (a cut in the sense of Chandy and Lamport).
 *
 *   worker     copies its pages, walks what it holds, then puts a marker into every edge's inbox
 *   edge       at the first marker: copies its pages, walks what it holds, puts a marker into the inboxes of the edges
 *              that take its dead letters. What comes from a sender whose marker is still on its way was under way at
 *              the moment of the picture: it is held, too. With the last marker its part is done
 *
 * An inbox keeps the order of pushing, so what a sender pushes after its own part of the picture comes behind its
 * marker, and no edge counts it. Nobody waits for anybody.
 *
 * What goes through a log does not come in that order: each commit carries the number of the last picture that its
 * sender has taken part in (Lai and Yang 1987), and the edge copies the log's side when it has found all markers
 * (queue/account.h): whatever was put before the picture has been put by then.
 */
#ifndef GW_QUEUE_HELD_H
#define GW_QUEUE_HELD_H

#include <stdatomic.h>

#include "queue/book.h"

struct gw_edge;
struct gw_chunk;
struct gw_cut;

/** An edge's part of a cut. */
struct gw_cut_edge {
    struct gw_cut *cut;
    struct gw_edge *edge;
    struct gw_chunk **markers; /* one a sender, made beforehand: the workers', then those of the feeding edges */
    unsigned n_markers;
    const void **feeders; /* markers[n_workers + i] is of this edge */
    unsigned n_feeders;
    /* Its thread's own. */
    const void **seen;
    unsigned n_seen;
};

struct gw_cut {
    struct gw_book **books; /* those that there were when it began */
    size_t n_books;
    unsigned n_pages;
    uint64_t *cells; /* book × page × entry; each page written by its own writer */
    uint64_t number; /* of those who take part in it, the last one: what they put from then on is not in it */
    struct gw_cut_edge *edges;
    size_t n_edges;
    unsigned n_workers;
    _Atomic uint64_t nameless; /* rows that are held without a book */
    _Atomic uint64_t open;     /* parts that are not done */
    void (*done)(struct gw_cut *cut);
    void *owner;
};

/** All books, and parts for n_edges; the caller fills edges[i].edge, then calls gw_cut_aim. NULL without memory. */
struct gw_cut *gw_cut_new(struct gw_books *books, unsigned n_workers, size_t n_edges);
/** Who feeds whom, and the markers. Errors: -ENOMEM. */
int gw_cut_aim(struct gw_cut *c);
void gw_cut_free(struct gw_cut *c);

static inline uint64_t *gw_cut_cell(const struct gw_cut *c, const struct gw_book *b, unsigned page, enum gw_entry e)
{
    return &c->cells[(b->index * c->n_pages + page) * GW_N_ENTRIES + e];
}
/** Rows that are held; a book that is younger than the cut is none of its business. */
void gw_cut_hold(struct gw_cut *c, const struct gw_book *b, unsigned page, uint64_t rows);
/** The page's counts of one book. */
void gw_cut_copy(struct gw_cut *c, const struct gw_book *b, unsigned page);

/** A worker's last act: markers to all edges. Then its part is done. */
void gw_cut_worker_done(struct gw_cut *c, const void *worker, unsigned index);
/** The edge has a part of its own. */
bool gw_cut_has(const struct gw_cut *c, const struct gw_edge *e);
/** Nothing moves (or the edge has no thread): its part at once, with what lies in its inbox; but for what the logs have
 * of it, which is asked at the end (gw_wal_cut_rest). */
void gw_cut_rest(struct gw_cut *c, struct gw_edge *e);
/** One part less; the last one calls done. */
void gw_cut_part_done(struct gw_cut *c);

/* Inside the room: the edge's thread. */
/** A marker came out of the inbox; it is freed. */
void gw_held_marker(struct gw_edge *e, struct gw_chunk *marker);
/** What a log could not take and is in the inbox of the feed's edge. */
struct gw_feed;
struct gw_inbox_item;
void gw_held_unstored(const struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *rest);
/** A chunk came out of the inbox while the edge has a part to finish. */
void gw_held_late(struct gw_edge *e, const struct gw_chunk *c);

#endif
