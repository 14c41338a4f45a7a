/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How unusual are several values together? Of up to 8 series of one key (how many calls, how slow, how many failed) a
 * weighted mean and covariance: each value may be as it often is, and all of them as they never are together.
 *
 *   score   Mahalanobis distance of the values from their means, brought to deviations of one value: of n values that
 *           belong together the sum of squares is spread as chi-square, and a score says what a single value would
 *           (Wilson and Hilferty), less what few and old values make it too large (Hotelling)
 *
 * A pane is what has one time. It is judged when its last value has come, or when one of the next pane comes before:
 * what is missing then neither counts nor teaches. The same of values that are not finite.
 *
 * Means are doubles, for counts of 10^9 that vary by ten; covariances floats. Correlations are taken for 2 % less than
 * they are, and a deviation for no less than min_deviation, so that series that go exactly together, or never change,
 * are not alarmed by rounding.
 *
 * Deterministic given the values in their order. A state is plain bytes, zeros at first.
 */
#ifndef GW_SERIES_ANOMALY_GROUP_H
#define GW_SERIES_ANOMALY_GROUP_H

#include <stdbool.h>

#include "series/anomaly.h"

enum { GW_ANOMALY_GROUP_MAX = 8 };

struct gw_anomaly_group_conf {
    double alpha, min_deviation; /* as of single series */
    uint32_t warmup;             /* values of a series before it counts */
    uint32_t n;                  /* series of a group: 2 .. 8 */
};

struct gw_anomaly_group {
    uint64_t time_ns;   /* of the pane at hand */
    uint32_t have;      /* of its values: bit i */
    uint32_t is_judged; /* all of them have come */
    double numbers[];   /* n values, n means; then floats: covariances of i and k <= i; then n counts */
};

/** What is furthest off in a judged pane. */
struct gw_anomaly_group_verdict {
    struct gw_anomaly a; /* score of all; expected and deviation of that one. deviation 0: nothing is known yet */
    uint32_t which;
    double value; /* of that one */
};

size_t gw_anomaly_group_bytes(const struct gw_anomaly_group_conf *c);
enum gw_anomaly_group_put {
    GW_GROUP_OLD,    /* older than its pane, or there already */
    GW_GROUP_WAITS,  /* for the others */
    GW_GROUP_JUDGED, /* the pane that it completes, or the one before */
};
enum gw_anomaly_group_put gw_anomaly_group_put(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s,
                                               uint32_t i, double value, uint64_t time_ns,
                                               struct gw_anomaly_group_verdict *ret);

#endif
