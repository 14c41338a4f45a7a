/* SPDX-License-Identifier: Apache-2.0 */
#include "series/counter.h"

#include <math.h>
#include <string.h>

/* Of equal times the higher value is the later one: so it is whatever comes first. */
static bool is_before(uint64_t time, double value, uint64_t other_time, double other)
{
    return time != other_time ? time < other_time : value < other;
}

static void widen(struct gw_counter_life *l, const struct gw_counter_life *by)
{
    if (is_before(by->first_ns, by->first, l->first_ns, l->first)) {
        l->first_ns = by->first_ns;
        l->first = by->first;
    }
    if (is_before(l->last_ns, l->last, by->last_ns, by->last)) {
        l->last_ns = by->last_ns;
        l->last = by->last;
    }
}

/* One that is neither first nor last counted all that it said. */
static void close_second(struct gw_counter *c)
{
    c->closed += c->life[1].last;
    c->closed_start_ns = c->life[1].start_ns;
    c->n--;
    memmove(&c->life[1], &c->life[2], (c->n - 1) * sizeof(c->life[0]));
}

static void insert(struct gw_counter *c, const struct gw_counter_life *l)
{
    uint64_t at = c->n;

    while (at > 0 && c->life[at - 1].start_ns > l->start_ns)
        at--;
    if (at > 0 && c->life[at - 1].start_ns == l->start_ns) {
        widen(&c->life[at - 1], l);
        return;
    }
    if (c->closed_start_ns && l->start_ns <= c->closed_start_ns)
        return;
    if (c->n == GW_COUNTER_LIVES) {
        close_second(c);
        at = at > 1 ? at - 1 : at;
        if (l->start_ns <= c->closed_start_ns)
            return;
    }
    memmove(&c->life[at + 1], &c->life[at], (c->n - at) * sizeof(c->life[0]));
    c->life[at] = *l;
    c->n++;
}

/* The life that a point without a start is of: by its time; 0 when it is the first of all. */
static uint64_t start_of(const struct gw_counter *c, const struct gw_counter_point *p)
{
    const struct gw_counter_life *l;
    uint64_t i = c->n;

    if (c->n == 0)
        return 0;
    l = &c->life[c->n - 1];
    if (p->time_ns > l->last_ns && p->value < l->last)
        return l->last_ns;
    while (i > 1 && c->life[i - 1].start_ns > p->time_ns)
        i--;
    return c->life[i - 1].start_ns;
}

bool gw_counter_add(struct gw_counter *c, const struct gw_counter_point *p)
{
    if (!isfinite(p->value) || p->value < 0 || p->time_ns < p->start_ns)
        return false;
    insert(c, &(struct gw_counter_life){.start_ns = p->start_ns ? p->start_ns : start_of(c, p),
                                        .first_ns = p->time_ns,
                                        .last_ns = p->time_ns,
                                        .first = p->value,
                                        .last = p->value});
    return true;
}

void gw_counter_merge(struct gw_counter *c, const struct gw_counter *other)
{
    for (uint64_t i = 0; i < other->n; i++) {
        const struct gw_counter_life *l = &other->life[i];

        if (l->start_ns) {
            insert(c, l);
            continue;
        }
        (void)gw_counter_add(c, &(struct gw_counter_point){0, l->first_ns, l->first});
        (void)gw_counter_add(c, &(struct gw_counter_point){0, l->last_ns, l->last});
    }
    c->closed += other->closed;
    if (other->closed_start_ns > c->closed_start_ns)
        c->closed_start_ns = other->closed_start_ns;
}

/* What the first life had counted before the stretch. */
static double base_of(const struct gw_counter_life *l, const struct gw_counter *before, uint64_t from_ns)
{
    const struct gw_counter_life *b;

    if (!before || before->n == 0)
        return l->start_ns && l->start_ns >= from_ns ? 0 : l->first;
    b = &before->life[before->n - 1];
    if (l->start_ns == b->start_ns || l->start_ns == 0)
        return l->first >= b->last ? b->last : 0;
    return l->start_ns > b->start_ns ? 0 : l->first;
}

double gw_counter_increase(const struct gw_counter *c, const struct gw_counter *before, uint64_t from_ns)
{
    double sum = c->closed;

    for (uint64_t i = 0; i < c->n; i++)
        sum += c->life[i].last - (i ? 0 : base_of(&c->life[0], before, from_ns));
    return sum;
}
