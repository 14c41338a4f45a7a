/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows of a log are done: all below `base`, and ranges above it.
 *
 *   row   0 ████████ base ░░░ ███ ░ █████ ░░░░…        ranges neither overlap nor touch: 32 bytes each
 */
#ifndef GW_LOG_ROWS_H
#define GW_LOG_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A consumer that leaves more gaps than this gets -E2BIG for what would make another one. */
enum { GW_LF_MAX_RANGES = 1 << 18 };

/** A row's place among the frames: in the frame seq, of which part rows lie before it. */
struct gw_lf_place {
    uint64_t row, seq;
    uint32_t part;
};

struct gw_lf_range {
    uint64_t from;
    struct gw_lf_place to;
};

struct gw_lf_rows {
    struct gw_lf_place base;
    struct gw_lf_range *ranges; /* sorted */
    size_t n, cap;
    uint64_t above; /* rows in ranges */
};

void gw_lf_rows_clear(struct gw_lf_rows *s);
/** Room for so many more ranges, at most max, so that add cannot fail. Errors: -ENOMEM, -E2BIG. */
int gw_lf_rows_reserve(struct gw_lf_rows *s, size_t more, size_t max);
/** Rows [from, to) are done. Needs room for one range, if from is above base. Returns how many of them were not before.
 */
uint64_t gw_lf_rows_add(struct gw_lf_rows *s, uint64_t from, struct gw_lf_place to);
/**
 * The first open rows at or behind `row` and below `end`: [*ret_from, *ret_to). False when there are none.
 */
bool gw_lf_rows_open(const struct gw_lf_rows *s, uint64_t row, uint64_t end, uint64_t *ret_from, uint64_t *ret_to);

#endif
