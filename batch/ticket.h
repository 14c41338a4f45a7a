/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ticket is what remains of a request until its verdict: who to answer, how many rows are still open, what
 * became of the others. It is small, outlives the batch, and is the only thing that a queued chunk keeps of the
 * request, so that one kept row does not pin a whole payload.
 *
 *   open = rows × branches still undecided.  A fan-out to k branches adds rows × (k - 1); every settle takes away.
 *   When open reaches 0 the verdict is posted to the home worker.
 *
 * Threads   counters are atomic: exporter threads settle; everything else is written before the ticket is shared
 */
#ifndef GW_BATCH_TICKET_H
#define GW_BATCH_TICKET_H

#include <stdatomic.h>

#include "core/inbox.h"
#include "core/slice.h"

/** What became of rows. The order is the order of severity: the worst outcome of a request is its answer. */
enum gw_outcome {
    GW_DELIVERED, /* a sink has it */
    GW_STORED,    /* in a queue or log, at the level that the pipeline promises */
    GW_ABSORBED,  /* into a window or a trace */
    GW_DROPPED,   /* by a named rule that the operator wrote */
    GW_REJECTED,  /* bad content: partial success, dead letter */
    GW_FAILED,    /* a sink refused it for good */
    GW_REFUSED,   /* no room, or the sink is away: the client shall send again */
};

/** Where to send an answer; numbers, never pointers, because the client may be gone. */
struct gw_ack {
    uint32_t worker, slot, generation, stream;
};

enum { GW_MESSAGE_BYTES = 160 };

struct gw_ticket {
    struct gw_inbox_item item; /* for the way home */
    _Atomic uint32_t refs;
    _Atomic int64_t open;
    struct gw_ack ack;
    void *home;                        /* the intake to post to */
    void (*post)(struct gw_ticket *t); /* called once, from the thread that settled the last row */
    uint32_t rows;
    uint8_t signal;              /* enum gw_signal */
    uint64_t charged_bytes;      /* what the door reserved; given back with the last reference */
    uint64_t arrived_ns;         /* monotonic */
    _Atomic uint32_t rejected;   /* rows; may count a row once per branch: the verdict caps it at rows */
    _Atomic int32_t worst;       /* enum gw_outcome */
    _Atomic int32_t grpc_status; /* of a failure: what to answer; 0 = by outcome */
    _Atomic uint64_t retry_after_ns;
    _Atomic int32_t message_taken; /* the first message wins: 0 free, 1 being written, 2 written */
    char message[GW_MESSAGE_BYTES];
    void (*release)(struct gw_ticket *t); /* the owner's: gives back the credit, frees */
};

struct gw_ticket *gw_ticket_ref(struct gw_ticket *t);
/** Calls release with the last reference. Returns NULL. */
struct gw_ticket *gw_ticket_unref(struct gw_ticket *t);
/** More branches: rows become open again. Must come before the settle that would close the ticket. */
void gw_ticket_open(struct gw_ticket *t, uint32_t rows);
/**
 * Say what became of `rows` rows of one branch. message may be NULL; the first one given is kept.
 * When nothing is open any more, post() is called.
 */
void gw_ticket_settle(struct gw_ticket *t, uint32_t rows, enum gw_outcome outcome, const char *message);
/** A failure that carries its own answer: set before the settle. status is a gRPC code. */
void gw_ticket_fail_with(struct gw_ticket *t, int grpc_status, uint64_t retry_after_ns);

#endif
