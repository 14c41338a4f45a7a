/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door in five files, all on the worker's thread:
 *
 *   admission.c  admit: memory and places, or when to come again
 *   intake.c     submit: decoded into an open batch, which flows or is parked
 *   handover.c   what was decoded before flows at once
 *   bury.c       what must not be decoded becomes a dead letter
 *   tickets.c    each request's ticket, and the verdict when it is settled
 */
#ifndef GW_RUNTIME_INTAKE_IMPL_H
#define GW_RUNTIME_INTAKE_IMPL_H

#include "runtime/graph.h"

enum { INVALID_ARGUMENT = 3, DEADLINE_EXCEEDED = 4, UNIMPLEMENTED = 12, INTERNAL = 13, UNAVAILABLE = 14 };

static inline struct gw_credit *gw_intake_memory(const struct intake *in)
{
    return &in->worker->engine->memory;
}

static inline struct route *gw_intake_route(struct intake *in, enum gw_signal s)
{
    return &in->routes[gw_signal_index(s)];
}

static inline int gw_intake_refuse(struct gw_verdict *ret, int rc, int grpc_status, enum gw_signal signal,
                                   const char *message)
{
    *ret = (struct gw_verdict){.grpc_status = grpc_status, .signal = signal, .message = message};
    return rc;
}

/* admission.c */
int gw_intake_admit(struct gw_intake *base, struct gw_hold *h, enum gw_signal signal, uint64_t bytes,
                    struct gw_verdict *ret);
int gw_intake_grow(struct gw_intake *base, struct gw_hold *h, uint64_t bytes, struct gw_verdict *ret);
bool gw_intake_ahead(struct gw_intake *base, struct gw_hold *h, uint64_t bytes);
void gw_intake_release(struct gw_intake *base, struct gw_hold *h);
enum gw_busy { GW_BUSY_ROOM, GW_BUSY_MEMORY };
const char *gw_busy_text(enum gw_busy why);
/** Turned away at the door, and counted. rows: 0 = not known. Returns -EBUSY. */
int gw_intake_busy(struct intake *in, struct gw_verdict *ret, enum gw_signal s, enum gw_busy why, uint64_t rows,
                   uint64_t bytes);
/** When what is turned away now would find room: by what the queues drain and the memory that is missing. */
uint64_t gw_intake_retry_after_ns(struct intake *in, enum gw_signal s, uint64_t rows, uint64_t bytes);
/** Room for its rows and bytes in the queues that count these. False: one has none, and nothing is taken. */
bool gw_intake_take_sizes(struct open_batch *o, struct route *rt, uint64_t rows, uint64_t bytes);
/** The places become the open batch's; those in queues that its rows do not go to any more are given back. */
void gw_intake_use_places(struct intake *in, struct open_batch *o, const struct gw_hold *h);

/* intake.c */
/** Through the pipelines, whether a queue blocks or not; then its memory is given back. */
void gw_intake_run(struct open_batch *o);
/** At the last moment: for want of room (refused), for want of memory in the decoder (failed), or malformed. */
void gw_intake_count_turned_away(struct intake *in, const struct gw_request *rq, struct gw_slice bytes, int rc,
                                 uint32_t rows);

/* handover.c */
int gw_intake_hand_over(struct gw_intake *base, const struct gw_live *l, struct gw_verdict *ret);

/* tickets.c */
/** The verdict of one that is settled, on its worker. */
void gw_intake_tell(struct ticket *k);
/** It goes home through the worker's inbox: the thread may be any. */
void gw_ticket_go_home(struct gw_ticket *t);
/** One reference. NULL: no memory. */
struct ticket *gw_ticket_of(struct intake *in, const struct gw_request *rq);
/** Index of the label that the receiver's counters have for it. */
uint8_t gw_intake_transport(const struct intake *in, const struct gw_meta *m);
/**
 * The receiver itself could not go on, out of memory: no verdict of the pipeline, which would count as refused, and no
 * mistake of the sender's, whose rows nobody knows. These may be counted, if the framing allows.
 */
void gw_intake_count_failed(struct intake *in, const struct gw_request *rq, struct gw_slice bytes);

#endif
