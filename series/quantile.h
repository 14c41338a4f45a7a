/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read from histograms, and explicit ones as exponential ones.
 *
 * A quantile q is the value of rank max(1, ceil(q × count)), counted from the least: of q = 0 the least, of 1 the
 * greatest. The answer lies in the bucket of that value, and between the histogram's min and max.
 *
 * Error    exponential: relative, at most (b - 1) / (b + 1) with b = 2^(2^-scale): 4.3 % at scale 3, 1.1 % at 5; what
 * is not above the zero threshold is 0. Explicit: the width of the bucket
 */
#ifndef GW_SERIES_QUANTILE_H
#define GW_SERIES_QUANTILE_H

#include "series/histogram.h"

/** NaN: there are no values. q beyond 0 to 1 is the nearer one. */
double gw_exponential_quantile(const struct gw_exponential *h, double q);
/**
 * By going along the bucket evenly. min, max: NaN when they are not known; the outer buckets, which have one bound
 * only, then say that bound, and 0 is the other one of a first bucket whose bound is above it.
 */
double gw_explicit_quantile(const struct gw_explicit *h, const struct gw_bounds *b, double q, double min, double max);

/**
 * The values of an explicit one, whose places in their buckets are lost: each bucket's are spread over it in up to 16
 * even steps, those of the outer ones as above. The sum is kept; min and max are, when known. False: no memory, or a
 * bucket that cannot be (a bound is NaN or infinite); then a part may have been added.
 */
bool gw_exponential_add_explicit(struct gw_exponential *e, const struct gw_explicit *h, const struct gw_bounds *b,
                                 double min, double max);
/** min and max of one that came without them: the outer bounds of its buckets. */
void gw_exponential_guess_range(struct gw_exponential *h);

#endif
