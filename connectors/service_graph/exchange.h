/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records from worker to worker: what a worker read that another one keeps goes into a parcel for it; parcels are
 * pushed when a view is done, and taken by their owner when it looks next, at the latest with its next tick.
 *
 *   sender ─► parcel: record │ record │ …  ─► inbox of the owner ─► each record, in order
 *
 * Threads   a sender and an inbox have one worker each; parcels go over by inbox (core/inbox.h)
 * Memory    drawn from `bytes` and `memory` until a parcel is taken apart; one malloc a view and owner
 */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_EXCHANGE_H
#define GW_CONNECTORS_SERVICE_GRAPH_EXCHANGE_H

#include "core/credit.h"
#include "core/inbox.h"
#include "core/slice.h"

struct gw_sg_parcel;

/** What all workers share. */
struct gw_sg_exchange {
    unsigned n_workers;
    struct gw_inbox *inboxes;
    struct gw_credit *bytes, *memory; /* memory may be NULL */
    _Atomic uint64_t n_under_way;     /* parcels that were begun and not yet taken apart */
};

/** One worker's unfinished parcels. */
struct gw_sg_sender {
    struct gw_sg_exchange *x;
    struct gw_sg_parcel **open; /* one for each worker */
};

int gw_sg_exchange_init(struct gw_sg_exchange *x, unsigned n_workers, struct gw_credit *bytes,
                        struct gw_credit *memory);
/** Nobody sends any more; parcels that nobody took are freed. */
void gw_sg_exchange_clear(struct gw_sg_exchange *x);

int gw_sg_sender_init(struct gw_sg_sender *s, struct gw_sg_exchange *x);
void gw_sg_sender_clear(struct gw_sg_sender *s);
/** Room for a record of n bytes, to be written before the next call. NULL: no memory. */
uint8_t *gw_sg_sender_room(struct gw_sg_sender *s, unsigned to, uint8_t kind, uint64_t n);
/** All parcels leave. */
void gw_sg_sender_push(struct gw_sg_sender *s);

/** Everything that came for that worker, record by record; `each` may send. Returns how many. */
uint64_t gw_sg_exchange_take(struct gw_sg_exchange *x, unsigned me,
                             void (*each)(void *arg, uint8_t kind, struct gw_slice record), void *arg);
/** Nothing is on its way between any two workers. Threads: any. */
bool gw_sg_exchange_is_empty(const struct gw_sg_exchange *x);

#endif
