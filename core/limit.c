/* SPDX-License-Identifier: Apache-2.0 */
#include "core/limit.h"

enum { PATIENCE = 20 };
static const double CUT = 0.7, NEAR = 2.0;
static const uint64_t PERIOD_NS = 30ull * 1000000000; /* the lowest latency is that of the last one or two */

void gw_limit_init(struct gw_limit *l, bool adapts, uint32_t most)
{
    *l = (struct gw_limit){.adapts = adapts, .most = most, .now = most, .ceiling = (double)most + 1};
}

static void begin_round(struct gw_limit *l)
{
    l->round_calls = 0;
    l->round_ns = 0;
    l->was_full = false;
}

static void cut(struct gw_limit *l, uint64_t begin_ns, uint64_t now_ns)
{
    if (begin_ns < l->cut_ns)
        return;
    l->cut_ns = now_ns;
    l->ceiling = l->now;
    l->now = l->now * CUT > 1 ? l->now * CUT : 1;
    l->quiet = 0;
    begin_round(l);
}

static void note_latency(struct gw_limit *l, uint64_t ns, uint64_t now_ns)
{
    if (now_ns - l->period_ns >= PERIOD_NS) {
        l->period_ns = now_ns;
        l->lowest_ns[1] = l->lowest_ns[0];
        l->lowest_ns[0] = 0;
    }
    if (!l->lowest_ns[0] || ns < l->lowest_ns[0])
        l->lowest_ns[0] = ns;
}

static uint64_t lowest(const struct gw_limit *l)
{
    return l->lowest_ns[1] && l->lowest_ns[1] < l->lowest_ns[0] ? l->lowest_ns[1] : l->lowest_ns[0];
}

static void end_round(struct gw_limit *l)
{
    bool near = (double)l->round_ns <= NEAR * (double)lowest(l) * l->round_calls;

    if (l->was_full && l->now < l->most) {
        if (near && l->now + 1 < l->ceiling) {
            l->now += 1;
        } else if (++l->quiet >= PATIENCE) {
            l->quiet = 0;
            l->now += 1;
            if (l->ceiling < l->now)
                l->ceiling = l->now;
        }
        if (l->now > l->most)
            l->now = l->most;
    }
    begin_round(l);
}

void gw_limit_end(struct gw_limit *l, enum gw_sign sign, uint64_t begin_ns, uint64_t now_ns)
{
    if (!l->adapts)
        return;
    if (sign == GW_SIGN_BUSY || sign == GW_SIGN_LATE) {
        cut(l, begin_ns, now_ns);
        return;
    }
    if (sign != GW_SIGN_WELL || begin_ns < l->cut_ns)
        return;
    note_latency(l, now_ns - begin_ns, now_ns);
    l->round_ns += now_ns - begin_ns;
    if (++l->round_calls >= gw_limit_get(l))
        end_round(l);
}
