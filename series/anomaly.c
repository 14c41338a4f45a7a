/* SPDX-License-Identifier: Apache-2.0 */
#include "series/anomaly.h"

#include <math.h>

/* Of a normal distribution: its standard deviation over the median, and over the mean, of absolute deviations. */
static const double of_median = 1.4826, of_mean = 1.2533;
static const double least = 1e-12;

size_t gw_anomaly_bytes(const struct gw_anomaly_conf *c)
{
    switch (c->method) {
    case GW_ANOMALY_EWMA:
        return sizeof(struct gw_anomaly_ewma);
    case GW_ANOMALY_MEDIAN:
        return sizeof(struct gw_anomaly_median);
    case GW_ANOMALY_HOLT_WINTERS:
        break;
    }
    return (sizeof(struct gw_anomaly_holt_winters) + c->n_slots * sizeof(float) + 7) / 8 * 8;
}

/* Weight of the value after n others: as a plain mean at first. */
static double weight(const struct gw_anomaly_conf *c, uint32_t n)
{
    double plain = 1.0 / ((double)n + 1);

    return plain > c->alpha ? plain : c->alpha;
}

static void judge(const struct gw_anomaly_conf *c, double value, double expected, double deviation,
                  struct gw_anomaly *ret)
{
    double most = fmax(fmax(deviation, fabs(expected) * c->min_deviation), least);

    *ret = (struct gw_anomaly){.score = fabs(value - expected) / most, .expected = expected, .deviation = most};
}

static void count(uint32_t *n)
{
    *n += *n < UINT32_MAX;
}

static void observe_ewma(const struct gw_anomaly_conf *c, struct gw_anomaly_ewma *s, double value,
                         struct gw_anomaly *ret)
{
    double a = weight(c, s->n), d = value - s->mean, step = a * d;

    if (s->n >= c->warmup && s->n > 0)
        judge(c, value, s->mean, sqrt(s->variance), ret);
    s->mean += step;
    s->variance = (1 - a) * (s->variance + d * step);
    count(&s->n);
}

/* One step towards what lies half above and half below; never beyond the value. */
static double step_to(double at, double value, double step)
{
    double d = value - at;

    return at + (d > step ? step : d < -step ? -step : d);
}

static void observe_median(const struct gw_anomaly_conf *c, struct gw_anomaly_median *s, double value,
                           struct gw_anomaly *ret)
{
    double off = fabs(value - s->median), scale;

    if (s->n >= c->warmup && s->n > 0)
        judge(c, value, s->median, s->mad * of_median, ret);
    if (s->n == 0) {
        s->median = value;
        s->mad = 0;
    } else {
        scale = 2 * weight(c, s->n) * (s->mad > 0 ? s->mad : off);
        s->median = step_to(s->median, value, scale);
        s->mad = s->mad > 0 ? step_to(s->mad, off, scale) : off;
    }
    count(&s->n);
}

/* Until a whole season was seen: the mean, and how far off it each slot is. */
static void begin_season(const struct gw_anomaly_conf *c, struct gw_anomaly_holt_winters *s, double value,
                         uint32_t slot)
{
    for (uint32_t i = 0; s->n_first == 0 && i < c->n_slots; i++)
        s->season[i] = NAN;
    s->level += (value - s->level) / ((double)s->n_first + 1);
    s->season[slot] = (float)value; /* until the mean is known */
    count(&s->n_first);
}

static void end_first_season(const struct gw_anomaly_conf *c, struct gw_anomaly_holt_winters *s)
{
    for (uint32_t i = 0; i < c->n_slots; i++)
        s->season[i] = isnan(s->season[i]) ? 0 : (float)((double)s->season[i] - s->level);
}

static void observe_holt_winters(const struct gw_anomaly_conf *c, struct gw_anomaly_holt_winters *s, double value,
                                 uint64_t time_ns, struct gw_anomaly *ret)
{
    uint32_t slot = (uint32_t)(time_ns / c->slot_ns % c->n_slots);
    double before, season, error;

    if (s->n_first == 0)
        s->first_ns = time_ns;
    if (s->n == 0 && time_ns - s->first_ns < c->slot_ns * c->n_slots) {
        begin_season(c, s, value, slot);
        return;
    }
    if (s->n == 0)
        end_first_season(c, s);
    before = s->level;
    season = (double)s->season[slot];
    error = value - (s->level + (double)s->trend + season);
    if (s->n >= c->warmup && s->n > 0)
        judge(c, value, value - error, (double)s->deviation * of_mean, ret);
    s->level = c->alpha * (value - season) + (1 - c->alpha) * (s->level + (double)s->trend);
    s->trend = (float)(c->beta * (s->level - before) + (1 - c->beta) * (double)s->trend);
    s->season[slot] = (float)(c->gamma * (value - s->level) + (1 - c->gamma) * season);
    s->deviation += (float)(weight(c, s->n) * (fabs(error) - (double)s->deviation));
    count(&s->n);
}

void gw_anomaly_observe(const struct gw_anomaly_conf *c, void *state, double value, uint64_t time_ns,
                        struct gw_anomaly *ret)
{
    *ret = (struct gw_anomaly){0};
    if (!isfinite(value))
        return;
    switch (c->method) {
    case GW_ANOMALY_EWMA:
        observe_ewma(c, state, value, ret);
        break;
    case GW_ANOMALY_MEDIAN:
        observe_median(c, state, value, ret);
        break;
    case GW_ANOMALY_HOLT_WINTERS:
        observe_holt_winters(c, state, value, time_ns, ret);
        break;
    }
}
