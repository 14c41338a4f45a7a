/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for processors that keep traces: spans in as a line of text, spans out as one. The clock stands still until the
 * test moves it.
 *
 *     gw_tail_send(&r, "1.1r 1.2e 2.1");       trace 1: a root, an error; trace 2: a span with a parent
 *     gw_tail_wait(&r, 31);
 *     assert_string_equal(gw_tail_out(&r), "1.1 1.2");
 */
#ifndef GW_TESTS_HARNESS_TAIL_H
#define GW_TESTS_HARNESS_TAIL_H

#include "tests/harness_processor.h"

enum { GW_TAIL_OUT_BYTES = 1 << 20, GW_TAIL_ROWS = 1 << 17 };

struct gw_tail_row {
    uint64_t trace, span;
};

struct gw_tail_rig {
    struct gw_proc_rig p;
    char *out;   /* spans that left, in order; batches are divided by " | " */
    char *drops; /* settled otherwise than absorbed or delivered: "reason=n" */
    size_t n_text;
    struct gw_tail_row *rows; /* what left, in order */
    unsigned n_rows, n_batches;
    unsigned n_most;      /* rows of the largest batch */
    unsigned n_resources; /* of the last batch */
    uint64_t received_ns; /* of the last batch */
    const char *receiver; /* of the last batch */
    bool has_meta;        /* some batch has one */
    bool may_fail;        /* memory may run out */
    bool is_narrow;       /* behind it there is room for `room` spans more; else there always is */
    uint32_t room;
    uint64_t n_failed; /* settled as failed: lost */
    unsigned n_counts; /* reasons */
    char reasons[32][64];
    uint64_t counts[32];
};

/** Settings, all but `policies`, which keep traces with an error; or with policies of their own. */
void gw_tail_open(struct gw_tail_rig *r, const char *settings);
/** Another processor that keeps traces, with these settings. */
void gw_tail_open_as(struct gw_tail_rig *r, const char *name, const char *settings);
void gw_tail_close(struct gw_tail_rig *r);
/**
 * A request. Spans are divided by blanks: TRACE.SPAN and any of r (root), e (error), o (status ok),
 * lN (a link to trace N), sN (of service N, else 0), dN (N ms long), wTEXT (trace state, to the end of the word).
 * Trace 0 has an id of zeros.
 */
void gw_tail_send(struct gw_tail_rig *r, const char *spans);
/** n spans of one trace, from span `first` on, in one request. */
void gw_tail_send_many(struct gw_tail_rig *r, uint64_t trace, uint64_t first, unsigned n, unsigned pad_bytes);
/** Seconds pass, with a tick at each, until the processor says that it is done. */
void gw_tail_wait(struct gw_tail_rig *r, unsigned seconds);
/** One tick, now. */
int gw_tail_tick(struct gw_tail_rig *r);
/** Until it says that it is done. */
void gw_tail_drain(struct gw_tail_rig *r);
/**
 * What left since the last call: "1.1 1.2{k=v;th=8}" with what is written on a span: its attributes but pad, its
 * scope's attributes (@k=v), its trace state. "" when nothing left.
 */
const char *gw_tail_out(struct gw_tail_rig *r);
/** What was dropped since the last call: "tail_sampling=2 errors=1", in order of the first. */
const char *gw_tail_drops(struct gw_tail_rig *r);
/** Value of otelcol_processor_tail_sampling_<name> with labels in braces, or "". */
double gw_tail_metric(struct gw_tail_rig *r, const char *name);
double gw_tail_ours(struct gw_tail_rig *r, const char *name);
uint64_t gw_tail_held(struct gw_tail_rig *r);

/* Behind a journal (pipeline/keep.h), by hand. */

/** A step begins; returns when nothing of it is left to be done. */
void gw_tail_advance(struct gw_tail_rig *r, uint64_t ns, bool rebuilds);
/** What is to be written down, appended; returns when the oldest came that is kept. */
uint64_t gw_tail_save(struct gw_tail_rig *r, bool whole, struct gw_buf *out);

#endif
