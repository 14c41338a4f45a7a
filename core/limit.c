/* SPDX-License-Identifier: Apache-2.0 */
#include "core/limit.h"

enum {
    PATIENCE = 20,
    ENOUGH = 16,     /* latencies that are a measurement */
    BETWEEN = 5,     /* rounds from a trial to the next one, when latency is high */
    AGE_ROUNDS = 50, /* otherwise: a trial takes two to four of them */
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
    l->n_recent = 0;
    l->n_vain = 0;
    l->quiet = 0;
    begin_round(l);
}

static void cut(struct gw_limit *l, uint64_t begin_ns, uint64_t now_ns)
{
    if (begin_ns < l->step_ns)
        return;
    l->ceiling = l->now;
    l->ceiling_is_slow = false;
    l->before = 0;
    l->halved = false;
    step(l, l->now * CUT, now_ns);
}

/* ---- latency ------------------------------------------------------------------------------------------------ */

static void note_latency(struct gw_limit *l, uint64_t ns)
{
    l->recent_ns[l->n_recent % GW_LIMIT_RECENT] = ns;
    l->n_recent++;
    if (l->n_recent == 2 * GW_LIMIT_RECENT)
        l->n_recent = GW_LIMIT_RECENT;
}

/* The mean without the highest quarter. */
static double typical_ns(const struct gw_limit *l)
{
    unsigned n = l->n_recent < GW_LIMIT_RECENT ? l->n_recent : GW_LIMIT_RECENT, kept = (3 * n + 3) / 4;
    uint64_t sorted[GW_LIMIT_RECENT];
    double sum = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned at = i;

        for (; at > 0 && sorted[at - 1] > l->recent_ns[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = l->recent_ns[i];
    }
    for (unsigned i = 0; i < kept; i++)
        sum += (double)sorted[i];
    return kept ? sum / kept : 0;
}

/* ---- trials ------------------------------------------------------------------------------------------------- */

/* As many were under way as may be, and not only once. */
static bool is_used(const struct gw_limit *l)
{
    return l->was_full && 2 * l->under_way >= l->begins * gw_limit_get(l);
}

/* About as many calls get through with `few` under way that take so long as with `many`. */
static bool is_as_good(double few, double few_ns, double many, double many_ns)
{
    return few * many_ns >= AS_MANY * many * few_ns;
}

/* More are under way than in the last trial, and no more get through. */
static bool is_in_vain(const struct gw_limit *l, double ns)
{
    double n = (double)gw_limit_get(l);

    return l->base_ns > 0 && n > l->base && is_as_good(l->base, l->base_ns, n, ns);
}

static bool wants_trial(struct gw_limit *l, double ns, uint64_t now_ns)
{
    l->n_rounds++;
    if (l->now < 2 || l->n_recent < ENOUGH)
        return false;
    l->n_vain = is_in_vain(l, ns) ? l->n_vain + 1 : 0;
    if (l->halved || (l->n_vain >= VAIN_ROUNDS && l->n_rounds >= BETWEEN))
        return true;
    return l->n_rounds >= AGE_ROUNDS && (!l->tried_ns || now_ns - l->tried_ns >= AGE_NS);
}

static void set_base(struct gw_limit *l, double n, double ns)
{
    l->base = n;
    l->base_ns = ns;
}

static void begin_trial(struct gw_limit *l, double ns, uint64_t now_ns)
{
    l->before = l->now;
    l->before_ns = ns;
    step(l, (double)((gw_limit_get(l) + 1) / 2), now_ns);
}

static void end_trial(struct gw_limit *l, double ns, uint64_t now_ns)
{
    double all = (double)(uint32_t)l->before, half = (double)gw_limit_get(l);
    bool used = is_used(l);

    l->halved = used && is_as_good(half, ns, all, l->before_ns);
    if (used)
        set_base(l, half, ns);
    if (l->halved) {
        l->ceiling = all;
        l->ceiling_is_slow = true;
    }
    step(l, l->halved ? half : l->before, now_ns);
    l->before = 0;
    l->n_rounds = 0;
    l->tried_ns = now_ns;
}

/* ---- rounds ------------------------------------------------------------------------------------------------- */

static void grow(struct gw_limit *l, double ns)
{
    bool near = l->base_ns == 0 || ns <= NEAR * l->base_ns;

    if (!near || l->now >= l->most)
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
    l->n_recent = 0;
}

static void end_round(struct gw_limit *l, uint64_t now_ns)
{
    bool used = is_used(l);
    double ns = typical_ns(l);

    if (l->before > 0) {
        if (l->n_recent < ENOUGH)
            l->round_calls = 0; /* the trial goes on */
        else
            end_trial(l, ns, now_ns);
        return;
    }
    if (l->now < 2) { /* nothing is less: so this is what the sink takes for a call */
        set_base(l, 1, ns);
        l->halved = false;
    }
    if (used && wants_trial(l, ns, now_ns)) {
        begin_trial(l, ns, now_ns);
        return;
    }
    if (l->was_full && !(used && l->halved)) /* else the next trial is near */
        grow(l, ns);
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
    note_latency(l, now_ns - begin_ns);
    if (++l->round_calls >= gw_limit_get(l))
        end_round(l, now_ns);
}
