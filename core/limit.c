/* SPDX-License-Identifier: Apache-2.0 */
#include "core/limit.h"

enum {
    PATIENCE = 20,
    ENOUGH = 16,     /* calls that are a measurement */
    BETWEEN = 5,     /* rounds from a trial to the next one, when what is more is in vain */
    AGE_ROUNDS = 50, /* otherwise: a trial takes three or more of them */
    VAIN_ROUNDS = 2,
};
static const double CUT = 0.7, NEAR = 1.5, AS_MANY = 0.9;
static const uint64_t AGE_NS = 30ull * 1000000000;

void gw_limit_init(struct gw_limit *l, bool adapts, uint32_t most)
{
    *l = (struct gw_limit){
        .adapts = adapts, .most = most, .now = most, .ceiling = (double)most + 1, .n_rounds = AGE_ROUNDS};
}

static void begin_round(struct gw_limit *l)
{
    l->round_calls = 0;
    l->begins = l->under_way = 0;
    l->was_full = false;
}

/* The limit is another one from now on: what was measured before says nothing. */
static void step(struct gw_limit *l, double to, uint64_t now_ns)
{
    l->now = to > 1 ? to : 1;
    l->step_ns = now_ns;
    l->n_vain = 0;
    l->per_ns = 0;
    l->per_of = 0;
    l->window_ns = 0;
    l->quiet = 0;
    begin_round(l);
}

static void cut(struct gw_limit *l, uint64_t begin_ns, uint64_t now_ns)
{
    double per_ns = l->per_ns;

    if (begin_ns < l->step_ns)
        return;
    l->ceiling = l->now;
    l->ceiling_is_slow = false;
    l->before = 0;
    l->halved = false;
    step(l, l->now * CUT, now_ns);
    l->per_ns = per_ns; /* it did not get slow: it may grow at once */
}

/* ---- throughput --------------------------------------------------------------------------------------------- */

/* A round has ended, in which all that may be was under way. The first one after a step is not measured: what was under
 * way then goes through it, too. */
static void note_round(struct gw_limit *l, uint64_t now_ns)
{
    if (l->window_ns) {
        l->window_calls += l->round_calls;
        l->window_rounds++;
        if (l->window_calls < ENOUGH || l->window_rounds < 2 || now_ns == l->window_ns)
            return;
        l->per_ns = (double)l->window_calls / (double)(now_ns - l->window_ns);
        l->per_of = gw_limit_get(l);
    }
    l->window_ns = now_ns;
    l->window_calls = l->window_rounds = 0;
}

/* ---- trials ------------------------------------------------------------------------------------------------- */

/* As many were under way as may be, and not only once. */
static bool is_used(const struct gw_limit *l)
{
    return l->was_full && 2 * l->under_way >= l->begins * gw_limit_get(l);
}

/* More are under way than in the last trial, and no more get through. */
static bool is_in_vain(const struct gw_limit *l)
{
    return l->base_per_ns > 0 && (double)gw_limit_get(l) > l->base && l->base_per_ns >= AS_MANY * l->per_ns;
}

static bool wants_trial(struct gw_limit *l, uint64_t now_ns)
{
    l->n_rounds++;
    if (l->now < 2 || l->per_of != gw_limit_get(l))
        return false;
    l->n_vain = is_in_vain(l) ? l->n_vain + 1 : 0;
    if (l->halved || (l->n_vain >= VAIN_ROUNDS && l->n_rounds >= BETWEEN))
        return true;
    return l->n_rounds >= AGE_ROUNDS && (!l->tried_ns || now_ns - l->tried_ns >= AGE_NS);
}

static void set_base(struct gw_limit *l)
{
    l->base = (double)gw_limit_get(l);
    l->base_per_ns = l->per_ns;
}

static void begin_trial(struct gw_limit *l, uint64_t now_ns)
{
    l->before = l->now;
    l->before_per_ns = l->per_ns;
    step(l, (double)((gw_limit_get(l) + 1) / 2), now_ns);
}

static void end_trial(struct gw_limit *l, bool used, uint64_t now_ns)
{
    l->halved = used && l->per_ns >= AS_MANY * l->before_per_ns;
    if (used)
        set_base(l);
    if (l->halved) {
        l->ceiling = l->before;
        l->ceiling_is_slow = true;
    }
    step(l, l->halved ? l->now : l->before, now_ns);
    l->before = 0;
    l->n_rounds = 0;
    l->tried_ns = now_ns;
}

/* ---- rounds ------------------------------------------------------------------------------------------------- */

/* A call takes hardly longer than in the last trial: calls under way / throughput (Little's law). */
static bool is_near(const struct gw_limit *l)
{
    return l->base_per_ns == 0 || (double)gw_limit_get(l) * l->base_per_ns <= NEAR * l->base * l->per_ns;
}

static void grow(struct gw_limit *l)
{
    if (!is_near(l) || l->now >= l->most)
        return;
    if (l->now + 1 >= l->ceiling) {
        if (++l->quiet < PATIENCE)
            return;
        l->quiet = 0;
        if (l->ceiling_is_slow) /* and here it is not */
            l->ceiling = (double)l->most + 1;
    }
    l->now = l->now + 1 < l->most ? l->now + 1 : l->most;
    if (l->ceiling < l->now)
        l->ceiling = l->now;
    l->window_ns = 0;
}

static void end_round(struct gw_limit *l, uint64_t now_ns)
{
    bool used = is_used(l);

    if (used)
        note_round(l, now_ns);
    else
        l->window_ns = 0;
    if (l->before > 0) {
        if (used && l->per_ns == 0)
            begin_round(l); /* the trial goes on */
        else
            end_trial(l, used, now_ns);
        return;
    }
    if (l->now < 2) { /* nothing is less: so that is what the sink does for one */
        set_base(l);
        l->halved = false;
    }
    if (used && wants_trial(l, now_ns)) {
        begin_trial(l, now_ns);
        return;
    }
    if (l->was_full && !(used && l->halved)) /* else the next trial is near */
        grow(l);
    begin_round(l);
}

void gw_limit_end(struct gw_limit *l, enum gw_sign sign, uint64_t begin_ns, uint64_t now_ns)
{
    if (!l->adapts)
        return;
    l->n_refused = l->now < 2 && sign != GW_SIGN_WELL ? l->n_refused + (sign == GW_SIGN_BUSY) : 0;
    if (sign == GW_SIGN_BUSY || sign == GW_SIGN_LATE) {
        cut(l, begin_ns, now_ns);
        return;
    }
    if (sign != GW_SIGN_WELL || begin_ns < l->step_ns)
        return;
    if (++l->round_calls >= gw_limit_get(l))
        end_round(l, now_ns);
}
