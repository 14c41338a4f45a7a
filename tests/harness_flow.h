/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a pipeline as puppets: a receiver whose requests a test makes, an exporter whose answers it gives.
 * Rows are log records (or spans) whose time is their name, so that a test can say where each one went.
 */
#ifndef GW_TESTS_HARNESS_FLOW_H
#define GW_TESTS_HARNESS_FLOW_H

#include "batch/view.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"
#include "pipeline/intake.h"

enum { GW_TEST_WAITING = 4096 };

/** `scripted`, an exporter: every attempt waits for gw_test_sink_answer. */
struct gw_test_sink {
    struct gw_attempt *waiting[GW_TEST_WAITING];
    unsigned n_waiting, n_sends, n_cancelled, n_most, n_hurried;
    const char *knows_why;                     /* what a cancelled attempt says */
    const struct gw_sent_info *when_cancelled; /* or its answer; NULL: it is refused as "cancelled" */
    struct gw_loop *loop;
    const struct gw_logger *logger; /* tells of the first attempt */
    bool open, closed;
    unsigned fails;           /* every so many-th attempt fails for good; 0 = none */
    bool at_once;             /* answer inside of send */
    struct gw_sent_info info; /* with that */
};
extern const struct gw_component gw_test_exporter;
/** As gw_test_exporter, with takes_parts. */
extern const struct gw_component gw_test_parts_exporter;
/** As gw_test_exporter, with own_tries: n_hurried counts. */
extern const struct gw_component gw_test_trying_exporter;
/** As gw_test_exporter, with an encode() that writes a text line per row: "time;". */
extern const struct gw_component gw_test_text_exporter;
/** Answer the oldest attempt that waits; false when there is none. */
bool gw_test_sink_answer(struct gw_test_sink *s, const struct gw_sent_info *info);
bool gw_test_sink_answer_at(struct gw_test_sink *s, unsigned i, const struct gw_sent_info *info);

/** `scripted`, a receiver: one door per worker. */
struct gw_test_verdict {
    struct gw_ack ack;
    struct gw_verdict v;
    char message[200];
};
struct gw_test_door {
    struct gw_intake *intake;
    struct gw_test_verdict *verdicts;
    unsigned n_verdicts, cap;
    unsigned n_open;      /* submitted, no verdict yet */
    uint64_t deadline_ns; /* of what is sent from now on; 0: none */
    bool quiesced;
};
struct gw_test_source {
    struct gw_test_door doors[8]; /* by worker */
    unsigned n_doors;
};
extern const struct gw_component gw_test_receiver;
/** Memory for so many verdicts, now. */
void gw_test_door_room(struct gw_test_door *d, unsigned verdicts);
/**
 * A whole request through the door: admit, submit. `stream` comes back in the verdict's ack.
 * Returns 0, or the refusal's error with *ret filled.
 */
int gw_test_send(struct gw_test_door *d, enum gw_signal s, struct gw_slice body, const struct gw_meta *meta,
                 uint32_t stream, struct gw_verdict *ret);

/**
 * `pump`, a receiver that sends by itself on every worker's thread: `requests` of `rows` rows each, every one as soon
 * as the one before has its verdict, 16 at a time. Logs, or spans (`traces`).
 */
struct gw_test_pump {
    _Atomic uint64_t n_ok, n_refused, n_failed, n_rows_ok, n_rows_rejected;
    uint64_t requests, rows;
    enum gw_signal signal;
};
extern const struct gw_component gw_test_pump;

/** `keeper`, a processor that rows pass, and that says GW_MORE to the first two drain() of each instance. */
struct gw_test_keepers {
    _Atomic unsigned n_made, n_drained, n_ticked, n_destroyed; /* of all: set to 0 by the test */
};
extern struct gw_test_keepers gw_test_keepers;
extern const struct gw_component gw_test_keeper;

/** A test's own: set before an engine is opened. */
enum { GW_TEST_OWN = 4 };
extern const struct gw_component *gw_test_own_components[GW_TEST_OWN];
/** NULL-ended: all of these, and all of the product's. */
extern const struct gw_component *const *gw_test_components(void);

/** Append a request of n rows named first, first + 1, … under one resource. Logs, or spans. */
void gw_test_request(struct gw_buf *b, enum gw_signal s, uint64_t first, unsigned n);
/** The same of any names. */
void gw_test_request_of(struct gw_buf *b, enum gw_signal s, const uint64_t *names, unsigned n);
/** Spans: so many names, one behind the other, are of one trace; at first: 1. From GW_TEST_NO_TRACE on: of none. */
extern unsigned gw_test_spans_a_trace;
#define GW_TEST_NO_TRACE ((uint64_t)1 << 40)
/** The names of a body's rows, in order; returns how many. */
unsigned gw_test_names(enum gw_signal s, struct gw_slice body, uint64_t *ret, unsigned cap);

#endif
