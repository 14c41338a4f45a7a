/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A circuit breaker: what is known of one endpoint, and whether asking it is worth while.
 *
 *            ≥ error_share of ≥ min_calls in the window, or `consecutive` failures in a row
 *   CLOSED ──────────────────────────────────────────────────────────────► OPEN ◄──────────────┐
 *     ▲                                                   pause is over      │                 │ any failure:
 *     │ RAMP_FULL successes                               one probe          ▼                 │ pause × 2
 *     └──────────────────────── HALF-OPEN: 1 call at once, then 2, 3, … with every success ────┘
 *
 * A pause runs from the begin of the probe that failed, so that one which waited for an answer in vain has had most of
 * it already, and is at least initial_ns. A probe that fails in another way than those before is news, such as no
 * answer in time where nobody was: the sink starts, and the pauses begin anew. Ways that take turns are no news.
 *
 * Failures are those of gw_sign_is_failure. A sink that is busy works, and one that refuses a body works too. Calls
 * that began before the last change of state say nothing about now, and are not counted.
 *
 * Shape     no timers: whoever owns it asks with the time in hand
 * Threads   one owner
 */
#ifndef GW_CORE_BREAKER_H
#define GW_CORE_BREAKER_H

#include "core/logger.h"
#include "core/meter.h"
#include "core/sign.h"

struct gw_breaker_settings {
    bool enabled;
    double error_share;
    uint64_t min_calls, window_ns, consecutive;
    uint64_t initial_ns, max_ns; /* the pauses */
};

enum gw_breaker_state { GW_BREAKER_CLOSED, GW_BREAKER_HALF_OPEN, GW_BREAKER_OPEN };
enum { GW_BREAKER_PARTS = 10, GW_BREAKER_RAMP_FULL = 10 };

struct gw_breaker {
    const struct gw_breaker_settings *how; /* borrowed, as all below */
    struct gw_env *env;
    const struct gw_logger *logger;
    const char *endpoint;
    struct gw_metric *state_metric, *entered[3];

    enum gw_breaker_state state;
    uint32_t epoch;         /* of the state: a call of another one is not counted */
    unsigned under_way;     /* half-open: calls of this epoch */
    unsigned ramp;          /* half-open: how many may be under way */
    unsigned in_a_row;      /* failures */
    uint64_t until_ns;      /* open: the next probe */
    uint64_t pause_ns;      /* the last one, without jitter; 0 = none */
    bool was_away;          /* of the last failure: whether it was GW_SIGN_AWAY */
    unsigned alike;         /* failures of that way since the last other one: it opened, or a probe failed */
    uint64_t hurried_ns;    /* no pause is longer; 0 = as the settings say */
    uint64_t part_begin_ns; /* of parts[part] */
    unsigned part;
    struct {
        uint32_t calls, failures;
    } parts[GW_BREAKER_PARTS]; /* of the window */
};

/** What a call takes along from its begin to its end. */
struct gw_breaker_pass {
    uint32_t epoch;
    uint64_t begin_ns;
};

struct gw_breaker_labels {
    const char *exporter, *endpoint;
};
/** meter may be NULL. */
void gw_breaker_init(struct gw_breaker *b, const struct gw_breaker_settings *how, struct gw_env *env,
                     const struct gw_logger *logger, struct gw_meter *meter, const struct gw_breaker_labels *labels);

/** Whether a call may begin now. */
bool gw_breaker_may(const struct gw_breaker *b, uint64_t now_ns);
/** Until the next probe: 0 unless it is open. */
uint64_t gw_breaker_wait_ns(const struct gw_breaker *b, uint64_t now_ns);
/** A call begins, also one that gw_breaker_may would not have let through. Each begin has one end. */
struct gw_breaker_pass gw_breaker_begin(struct gw_breaker *b, uint64_t now_ns);
void gw_breaker_end(struct gw_breaker *b, struct gw_breaker_pass pass, enum gw_sign sign, const char *why,
                    uint64_t now_ns);
/** The end is near: pauses, also the one that runs, are at most so long from now on. */
void gw_breaker_hurry(struct gw_breaker *b, uint64_t now_ns, uint64_t pause_ns);

#endif
