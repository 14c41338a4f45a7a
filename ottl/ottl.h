/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenTelemetry Transformation Language (the Collector's pkg/ottl): its boolean half. A condition is parsed and
 * typed once, against one context, and becomes a small program over the columns of a batch:
 *
 *     attributes["http.status_code"] >= 500 and IsMatch(name, "^GET /api")
 *
 * Grammar, paths, comparison rules and converters are those of the Collector; a missing path is nil and no error.
 *
 * Threads   a program has scratch inside (patterns, a stack): one thread
 */
#ifndef GW_OTTL_OTTL_H
#define GW_OTTL_OTTL_H

#include "batch/view.h"
#include "core/env.h"
#include "core/status.h"

/** What a condition is asked about; its paths may go up (a span's resource), never down. */
enum gw_ottl_context {
    GW_OTTL_RESOURCE,
    GW_OTTL_SCOPE,
    GW_OTTL_SPAN,
    GW_OTTL_SPANEVENT,
    GW_OTTL_METRIC,
    GW_OTTL_DATAPOINT,
    GW_OTTL_LOG,
    GW_OTTL_N_CONTEXTS,
};

struct gw_ottl;

/** What is wrong with a text, and where: line and column from 1, in bytes. */
struct gw_ottl_fault {
    unsigned line, column;
    char text[240]; /* a sentence; names the nearest right word where there is one */
};

/**
 * Compile a condition.
 *
 * Shape     limits: 64 KiB of text, nesting of 64; literals, patterns and enums are resolved here
 * Owner     nothing of `text` is kept. env (clock, random numbers of Now() and UUID()) must live as long; NULL: only to
 * check Errors    -EINVAL (fault says what and where), -ENOMEM
 */
int gw_ottl_condition_new(struct gw_slice text, enum gw_ottl_context context, struct gw_env *env, struct gw_ottl **ret,
                          struct gw_ottl_fault *fault);
void gw_ottl_free(struct gw_ottl *o);

/**
 * Is it true of that item? `index` is the row of a span, log record or data point; of a resource, scope or metric its
 * index; of a span event the index into batch->events, and `row` then its span. Reads through the view's patches.
 *
 * Errors    -EINVAL: a converter or a comparison failed (err says which and why); -ENOMEM. The caller's error_mode says
 *           what that means
 * Cost      no malloc; texts that are made live in v->arena
 */
int gw_ottl_test(struct gw_ottl *o, const struct gw_view *v, uint32_t row, uint32_t index, bool *ret,
                 struct gw_err *err);
/** Columns that it looks at (enum gw_column_set of pipeline/component.h). */
unsigned gw_ottl_reads(const struct gw_ottl *o);
/** Texts that a pattern gave up on (values/pattern.h). */
uint64_t gw_ottl_n_given_up(const struct gw_ottl *o);

#endif
