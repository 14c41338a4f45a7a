/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between a lane's jobs and the sink: a circuit breaker (does it work?), a limit (how many at once?), and
 * the search for poison (is it this body?).
 *
 *   pause over, or new ─► ready ─► gate ─► send ─► gate: sign ─┬─ breaker    AWAY, UNSURE and LATE are failures
 *                           ▲       │                          ├─ limit      BUSY and LATE make it smaller
 *                           └───────┘ closed: it waits here    └─ suspicion  UNSURE, LATE, while others pass
 *
 * A job that waits at the gate loses nothing but time: no retry is counted. When its max_elapsed_time ends meanwhile,
 * it is the next probe, whatever the breaker says: nothing is given up because of time alone. Who waits for a sink's
 * answer (wait_for_result) hears at once that the breaker is open, and when the next probe is.
 *
 * An exporter with own_tries has a gate of its own before each endpoint; here its jobs are only counted.
 *
 * Poison    a body that fails unsurely again and again while the sink takes others. It is a strike when, since the
 *           last failure of this body, others passed and at most one in OTHERS of them failed. After STRIKES the body
 * is halved, halves after one more; what cannot be halved is buried after STRIKES_ALONE. A refusal for good that may be
 * about some rows only is halved at once; where six halvings in a row bring no success, or there were too many of
 * late, the rest is buried together.
 *
 * Aside     a job whose body has failed unsurely twice does not keep its place while it pauses or waits: what is behind
 * it goes on, also when num_consumers is 1; and it probes for an open breaker only when nothing else can, because a
 * breaker that asks with poison stays open for ever.
 *
 * Bytes     bodies that are with an exporter, which makes requests, lines and compressed bytes of them, are together at
 * most a quarter of the memory that the gateway may use (its soft mark), or one body.
 *
 * Threads   the exporter's
 */
#ifndef GW_QUEUE_GATE_H
#define GW_QUEUE_GATE_H

#include "core/breaker.h"
#include "core/limit.h"
#include "net/loop.h"
#include "pipeline/exporter.h"

struct gw_edge;
struct gw_lane;
struct gw_job;

struct gw_gate {
    struct gw_breaker own, *breaker; /* own, or that of another lane with the same endpoint; NULL: none */
    struct gw_limit limit;
    struct gw_timer timer;
    uint32_t most; /* jobs that have a place */
    uint32_t n_sending, n_ready, n_aside;
    uint32_t n_resting;          /* the sink is too busy for one at a time: those whose pause is everyone's */
    uint64_t n_bytes;            /* of bodies that are with the exporter */
    uint64_t n_passed, n_failed; /* bodies that the sink took; bodies that failed at their first try */
    double halvings;             /* that may still be done, at halvings_ns */
    uint64_t halvings_ns;
    bool refuses_all; /* as far as is known, until something passes: n_passed is not refusing_passed any more */
    uint64_t refusing_passed;
    struct gw_metric *limit_metric, *sending_metric;
};

/** Of a body that came out of a halving. */
struct gw_suspicion {
    uint8_t depth;        /* halvings so far; 0: a whole body */
    uint64_t root_passed; /* gw_gate.n_passed when the first one was done */
    uint64_t n_passed, n_failed;
};

/** Of a job. */
struct gw_at_gate {
    struct gw_breaker_pass pass;
    uint64_t begin_ns, ready_ns, n_bytes;
    bool ready, aside, rests;
    unsigned unsure, strikes;    /* unsure failures; those of them that count */
    uint64_t n_passed, n_failed; /* of the gate, at the last failure */
};

/** Of all lanes, once. */
void gw_gate_init(struct gw_edge *e);

/** Its pause is over. */
void gw_gate_ready(struct gw_job *j);
/** The job that may be sent now, of those that are ready; or NULL. */
struct gw_job *gw_gate_next(struct gw_lane *l, uint64_t now_ns);
/** While the breaker is not closed a suspect is the probe only when there is nothing new to be it. */
bool gw_gate_prefers_new(struct gw_lane *l, const struct gw_job *j, uint64_t now_ns);
/** Whether a new job has a place, with a body of so many bytes, and may be sent now. */
bool gw_gate_has_place(struct gw_lane *l, size_t bytes, uint64_t now_ns);
/** Nothing more can be sent now: those who wait are told, the others have a timer. */
void gw_gate_rest(struct gw_lane *l, uint64_t now_ns);
void gw_gate_begin(struct gw_job *j, uint64_t now_ns);
/** What the answer says about the sink. */
enum gw_sign gw_gate_end(struct gw_job *j, const struct gw_sent_info *info, uint64_t now_ns);
/** It pauses for so long after an answer like that: its place may be another's, or all pause with it. */
void gw_gate_pause(struct gw_job *j, enum gw_sign sign, uint64_t pause_ns);
/** The job ends. */
void gw_gate_forget(struct gw_job *j);
void gw_gate_hurry(struct gw_lane *l, uint64_t now_ns, uint64_t pause_ns);

/* ---- poison.c ----------------------------------------------------------------------------------------------- */

enum gw_poison { GW_POISON_NO, GW_POISON_HALVE, GW_POISON_BURY };

/** A new job: what is known of its chunk. */
void gw_poison_begin(struct gw_job *j);
/** It failed, and could be tried again. */
enum gw_poison gw_poison_failed(struct gw_job *j, enum gw_sign sign);
/** It was refused for good. */
bool gw_poison_worth_halving(struct gw_job *j, const struct gw_sent_info *info, uint64_t now_ns);
/** What the halves of its body are under. */
struct gw_suspicion gw_poison_of_halves(const struct gw_job *j);

#endif
