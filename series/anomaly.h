/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How unusual is a value for its series? A few numbers a series, updated with each value, which is judged by those that
 * came before it.
 *
 *   EWMA          mean and variance, weighted by age: how many standard deviations is it off     24 B, 4 ns
 *   MEDIAN        median and median absolute deviation: the same, and outliers hardly count      24 B, 8 ns
 *   HOLT_WINTERS  level, trend, and what each slot of a season adds: how far off the forecast    32 B + 4 a slot, 4 ns
 *
 * Deterministic given the values in their order. Values that are not finite say nothing: no score, nothing is learned.
 */
#ifndef GW_SERIES_ANOMALY_H
#define GW_SERIES_ANOMALY_H

#include <stddef.h>
#include <stdint.h>

enum gw_anomaly_method { GW_ANOMALY_EWMA, GW_ANOMALY_MEDIAN, GW_ANOMALY_HOLT_WINTERS };

struct gw_anomaly_conf {
    enum gw_anomaly_method method;
    double alpha;             /* in (0, 1]: weight of the newest value; until 1/alpha came all weigh the same */
    double beta, gamma;       /* Holt-Winters: of the trend, of the season */
    double min_deviation;     /* of the expected value: what varies less is taken to vary as much */
    uint64_t slot_ns;         /* Holt-Winters: a season is n_slots of them */
    uint32_t n_slots, warmup; /* warmup: values without a score; of Holt-Winters: after its first season */
};

struct gw_anomaly {
    double score; /* deviations off; 0: not known yet */
    double expected, deviation;
};

struct gw_anomaly_ewma {
    double mean, variance;
    uint32_t n;
};
struct gw_anomaly_median {
    double median, mad;
    uint32_t n;
};
struct gw_anomaly_holt_winters {
    double level;
    uint64_t first_ns;
    float trend, deviation;
    uint32_t n; /* since the first season was over */
    uint32_t n_first;
    float season[];
};

/** Of a state, which begins as zeros. */
size_t gw_anomaly_bytes(const struct gw_anomaly_conf *c);
void gw_anomaly_observe(const struct gw_anomaly_conf *c, void *state, double value, uint64_t time_ns,
                        struct gw_anomaly *ret);

#endif
