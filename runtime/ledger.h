/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: a picture of all books of a running gateway at one moment, exact to the row (docs/ledger.md).
 *
 *   in + created = out + dead_lettered + dropped + rejected + absorbed + refused + failed + held
 *
 * The left side and the outcomes are counted where they happen; `held` is what was found by walking open and parked
 * batches, processors that keep rows, and all places of a queue. A mismatch is a bug of the gateway.
 */
#ifndef GW_RUNTIME_LEDGER_H
#define GW_RUNTIME_LEDGER_H

#include "core/buf.h"
#include "core/meter.h"
#include "queue/book.h"

struct gw_engine;

/** One book of the picture; texts live as long as the engine. */
struct gw_ledger_row {
    enum gw_book_kind kind;
    enum gw_signal signal;
    const char *pipeline, *component;
    uint64_t n[GW_N_ENTRIES];
    int64_t mismatch; /* rows that came and are nowhere; negative: that came out of nowhere */
};

struct gw_picture {
    struct gw_ledger_row *rows; /* in order of kind, pipeline, component, signal */
    size_t n;
    uint64_t nameless; /* rows found without a book */
    uint64_t mismatch; /* sum of what is off, nameless rows included: 0 */
};

/**
 * Take a picture, on the main thread. done is called on the main loop, or inside of this call when nothing moves (a
 * gateway that is turned by hand, or has stopped); it owns the picture. NULL: no memory.
 *
 * Errors    -ENOMEM: done is not called
 */
struct gw_ledger_wait {
    struct gw_ledger_wait *next;
    void (*done)(struct gw_ledger_wait *w, struct gw_picture *p);
};
int gw_ledger_ask(struct gw_engine *e, struct gw_ledger_wait *w);
/** It will not be told. */
void gw_ledger_forget(struct gw_engine *e, struct gw_ledger_wait *w);
/** The same, waiting for it: NULL without memory. Not on a thread that has a part in it. */
struct gw_picture *gw_ledger_look(struct gw_engine *e);
void gw_picture_free(struct gw_picture *p);

/* ledger_write.c */
void gw_picture_table(const struct gw_picture *p, struct gw_buf *out);
void gw_picture_json(const struct gw_picture *p, struct gw_buf *out);
/** staunch_ledger_items and staunch_ledger_mismatch. */
void gw_picture_metrics(const struct gw_picture *p, struct gw_meter *m);

#endif
