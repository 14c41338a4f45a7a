/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The books of the ledger: how many rows came to a place, and what became of them there.
 *
 *   in + created = out + dead_lettered + dropped + rejected + absorbed + refused + failed + held
 *
 * Everything but `held` is counted where it happens, a batch at a time. `held` is never counted: it is found by walking
 * what the place holds (queue/held.h, runtime/ledger.h), so that a row that is lost on the way makes the two sides
 * differ.
 *
 * Threads   each page of a book has one writer, which alone may read it: nothing here is atomic. A picture of all pages
 *           is put together by asking each writer (struct gw_cut)
 * Lifetime  a book lives as long as the process' table of books: what an instance counted stays when it goes
 */
#ifndef GW_QUEUE_BOOK_H
#define GW_QUEUE_BOOK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"

enum gw_book_kind { GW_BOOK_RECEIVER, GW_BOOK_PIPELINE, GW_BOOK_PROCESSOR, GW_BOOK_CONNECTOR, GW_BOOK_EXPORTER };

enum gw_entry {
    GW_E_IN,
    GW_E_CREATED, /* copies of a fan-out, more rows than came in */
    GW_E_OUT,     /* handed on; of an exporter: delivered */
    GW_E_DEAD_LETTERED,
    GW_E_DROPPED, /* with a reason (staunch_dropped_items) */
    GW_E_REJECTED,
    GW_E_ABSORBED,
    GW_E_REFUSED, /* the client keeps them */
    GW_E_FAILED,
    GW_E_HELD, /* of cuts only */
    GW_N_ENTRIES
};

/** One writer's part: two cache lines, so that writers do not get into each other's way. */
struct gw_page {
    uint64_t n[GW_N_ENTRIES], spare[16 - GW_N_ENTRIES];
};
enum { GW_PAGE_ALIGN = 128 };
_Static_assert(sizeof(struct gw_page) == GW_PAGE_ALIGN, "whole lines");

/** Pages of a book: of the edge's own thread, of an edge that sends dead letters to it, of the workers. */
enum { GW_PAGE_EDGE, GW_PAGE_FEEDER, GW_PAGE_WORKERS };

struct gw_book {
    struct gw_book *next;
    size_t index; /* in the table */
    enum gw_book_kind kind;
    enum gw_signal signal;
    const char *pipeline, *component; /* "" when there is none */
    const void *edge, *from;          /* an exporter's: whose thread writes; which edge feeds it, or NULL: workers do */
    struct gw_page *pages;
};

/** All books of a process. */
struct gw_books {
    pthread_mutex_t lock;
    struct gw_book *first, **last;
    size_t n;
    unsigned n_pages;
};

int gw_books_init(struct gw_books *b, unsigned n_workers);
void gw_books_clear(struct gw_books *b);
/** Find or make. Threads: any. NULL without memory: then nothing is counted. */
struct gw_book *gw_books_get(struct gw_books *b, const struct gw_book *key);

/** Accepts NULL. */
static inline void gw_book_add(struct gw_book *b, unsigned page, enum gw_entry e, uint64_t rows)
{
    if (b)
        b->pages[page].n[e] += rows;
}

const char *gw_book_kind_name(enum gw_book_kind k); /* "exporter" */
const char *gw_entry_name(enum gw_entry e);         /* "dead_lettered" */

#endif
