/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sum that does not depend on the order: a function of what was added, whatever came first and however it was split
 * and merged, to the last bit.
 *
 *   2^1024 … │ limb[0] │ limb[1] │ limb[2] │ … 2^-1088      limbs of 64 bits, at fixed places; top: where limb[0] lies
 *
 * A value is cut into its digits in base 2^64, which are added to the limbs there; carries are left where they are, in
 * the upper half of each limb. The window goes up with the largest value, never down, and what lies below it is cut
 * off, of every value alike.
 *
 * Exact     integers of 64 bits, always; doubles whose sizes differ by less than 2^75. Beyond, each addend is wrong by
 *           less than 2^-128 of the largest
 * Bounded   2^62 addends
 */
#ifndef GW_SERIES_TOTAL_H
#define GW_SERIES_TOTAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { GW_TOTAL_LIMBS = 3, GW_TOTAL_PLACES = 34 };
enum { GW_TOTAL_NAN = 1, GW_TOTAL_PLUS_INF = 2, GW_TOTAL_MINUS_INF = 4, GW_TOTAL_DOUBLES = 8 };

/** All zero: nothing was added. Plain bytes: may be copied. */
struct gw_total {
    uint64_t low[GW_TOTAL_LIMBS];
    int64_t high[GW_TOTAL_LIMBS];
    uint32_t top, flags;
};

/** n times the value. */
void gw_total_add(struct gw_total *t, double value, uint64_t n);
void gw_total_add_int(struct gw_total *t, int64_t value, uint64_t n);
/** Commutative and associative. */
void gw_total_merge(struct gw_total *t, const struct gw_total *other);
/**
 * Rounded once, to the nearest, ties to even; too large: infinite. NaN when there was one, or infinities of both signs.
 * A sum of nothing but negative zeros is zero.
 */
double gw_total_value(const struct gw_total *t);
/** Of what was finite. */
double gw_total_finite(const struct gw_total *t);
/** True: nothing but integers was added, and their sum fits. */
bool gw_total_int(const struct gw_total *t, int64_t *ret);
/** Whether the bytes are a total: what comes from a disk may be anything. */
bool gw_total_is_sane(const struct gw_total *t);

#endif
