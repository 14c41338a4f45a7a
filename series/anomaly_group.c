/* SPDX-License-Identifier: Apache-2.0 */
#include "series/anomaly_group.h"

#include <math.h>
#include <string.h>

enum { MAX = GW_ANOMALY_GROUP_MAX };
static const double least = 1e-12, shrunk = 0.98, least_pivot = 1e-6;

static uint32_t n_pairs(uint32_t n)
{
    return n * (n + 1) / 2;
}

size_t gw_anomaly_group_bytes(const struct gw_anomaly_group_conf *c)
{
    size_t floats = n_pairs(c->n) * sizeof(float) + c->n * sizeof(uint32_t);

    return sizeof(struct gw_anomaly_group) + 2 * c->n * sizeof(double) + (floats + 7) / 8 * 8;
}

static double *values(struct gw_anomaly_group *s)
{
    return s->numbers;
}

static double *means(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s)
{
    return s->numbers + c->n;
}

static float *covariances(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s)
{
    return (float *)(void *)(s->numbers + 2 * c->n);
}

static uint32_t *counts(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s)
{
    return (uint32_t *)(void *)(covariances(c, s) + n_pairs(c->n));
}

static uint32_t at(uint32_t i, uint32_t k)
{
    return i * (i + 1) / 2 + k; /* k <= i */
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

/* Of the series that are there and known: how far off each is, in its deviations, and how they go together. */
struct problem {
    uint32_t n, which[MAX];
    double off[MAX], deviation[MAX], correlation[MAX][MAX];
    double n_seen; /* of the one that is known least */
};

static void add(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s, uint32_t i, struct problem *p)
{
    const float *cov = covariances(c, s);
    double mean = means(c, s)[i], n = counts(c, s)[i];

    p->deviation[p->n] = fmax(fmax(sqrt((double)cov[at(i, i)]), fabs(mean) * c->min_deviation), least);
    p->off[p->n] = (values(s)[i] - mean) / p->deviation[p->n];
    p->which[p->n] = i;
    for (uint32_t k = 0; k < p->n; k++)
        p->correlation[p->n][k] = shrunk * (double)cov[at(i, p->which[k])] / (p->deviation[p->n] * p->deviation[k]);
    p->correlation[p->n][p->n] = 1;
    p->n_seen = p->n == 0 || n < p->n_seen ? n : p->n_seen;
    p->n++;
}

/* off' × correlation^-1 × off, by Cholesky; a matrix that missing values have made no covariance gives way. */
static double square_distance(struct problem *p)
{
    double y[MAX], sum = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        double rest = p->off[i];

        for (uint32_t k = 0; k <= i; k++) {
            double v = p->correlation[i][k];

            for (uint32_t j = 0; j < k; j++)
                v -= p->correlation[i][j] * p->correlation[k][j];
            p->correlation[i][k] = k < i ? v / p->correlation[k][k] : sqrt(fmax(v, least_pivot));
        }
        for (uint32_t k = 0; k < i; k++)
            rest -= p->correlation[i][k] * y[k];
        y[i] = rest / p->correlation[i][i];
        sum += y[i] * y[i];
    }
    return sum;
}

static double score_of(const struct gw_anomaly_group_conf *c, double sum, double n, double n_seen)
{
    double weighs = 2 / c->alpha - 1, seen = fmin(n_seen, weighs), normal;

    seen = fmax(seen, n + 2);
    sum *= seen * (seen - n) / (seen * seen - 1);
    normal = (cbrt(sum / n) - (1 - 2 / (9 * n))) / sqrt(2 / (9 * n));
    return fmax(normal, 0);
}

static void judge(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s,
                  struct gw_anomaly_group_verdict *ret)
{
    struct problem p = {0};
    uint32_t most = 0;

    for (uint32_t i = 0; i < c->n; i++)
        if ((s->have >> i & 1) && counts(c, s)[i] >= c->warmup && counts(c, s)[i] > 1)
            add(c, s, i, &p);
    if (p.n == 0)
        return;
    for (uint32_t i = 1; i < p.n; i++)
        if (fabs(p.off[i]) > fabs(p.off[most]))
            most = i;
    ret->which = p.which[most];
    ret->value = values(s)[ret->which];
    ret->a = (struct gw_anomaly){.expected = means(c, s)[ret->which], .deviation = p.deviation[most]};
    ret->a.score = score_of(c, square_distance(&p), p.n, p.n_seen);
}

/* ---- learning --------------------------------------------------------------------------------------------- */

/* Weight of the value after n others: as a plain mean at first. */
static double weight(const struct gw_anomaly_group_conf *c, uint32_t n)
{
    return fmax(1.0 / ((double)n + 1), c->alpha);
}

static void learn(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s)
{
    double off[MAX] = {0};
    float *cov = covariances(c, s);
    uint32_t *n = counts(c, s);

    for (uint32_t i = 0; i < c->n; i++) {
        if (!(s->have >> i & 1))
            continue;
        off[i] = values(s)[i] - means(c, s)[i];
        for (uint32_t k = 0; k <= i; k++) {
            double a = weight(c, n[i] < n[k] ? n[i] : n[k]), was = (double)cov[at(i, k)];

            if (s->have >> k & 1)
                cov[at(i, k)] = (float)((1 - a) * (was + a * off[i] * off[k]));
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (!(s->have >> i & 1))
            continue;
        means(c, s)[i] += weight(c, n[i]) * off[i];
        n[i] += n[i] < UINT32_MAX;
    }
}

static void end_pane(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s,
                     struct gw_anomaly_group_verdict *ret)
{
    judge(c, s, ret);
    learn(c, s);
    s->is_judged = 1;
}

enum gw_anomaly_group_put gw_anomaly_group_put(const struct gw_anomaly_group_conf *c, struct gw_anomaly_group *s,
                                               uint32_t i, double value, uint64_t time_ns,
                                               struct gw_anomaly_group_verdict *ret)
{
    bool ends_one = time_ns > s->time_ns && s->have && !s->is_judged;

    *ret = (struct gw_anomaly_group_verdict){0};
    if (time_ns < s->time_ns || (time_ns == s->time_ns && (s->is_judged || (s->have >> i & 1))))
        return GW_GROUP_OLD;
    if (!(fabs(value) < 1e18)) /* its square is a float, too */
        return GW_GROUP_WAITS;
    if (ends_one)
        end_pane(c, s, ret);
    if (time_ns > s->time_ns) {
        s->time_ns = time_ns;
        s->have = s->is_judged = 0;
    }
    values(s)[i] = value;
    s->have |= 1u << i;
    if (s->have == (1u << c->n) - 1)
        end_pane(c, s, ret);
    return s->is_judged || ends_one ? GW_GROUP_JUDGED : GW_GROUP_WAITS;
}
