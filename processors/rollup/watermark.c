/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/rollup/watermark.h"

void gw_watermark_observe(struct gw_watermark *w, const char *source, uint64_t stamp_ns, uint64_t now_ns)
{
    unsigned i = 0;

    while (i < w->n && w->sources[i].name != source)
        i++;
    if (i == GW_WATERMARK_SOURCES)
        i--;
    else if (i == w->n)
        w->sources[w->n++].name = source;
    if (stamp_ns > w->sources[i].top_ns)
        w->sources[i].top_ns = stamp_ns;
    w->sources[i].seen_ns = now_ns;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t gw_watermark_of(const struct gw_watermark *w, const struct gw_watermark_conf *c, uint64_t now_ns,
                         bool *ret_active)
{
    uint64_t active = UINT64_MAX, idle = 0;

    for (unsigned i = 0; i < w->n; i++) {
        uint64_t quiet = less(now_ns, w->sources[i].seen_ns), at = w->sources[i].top_ns;

        if (quiet < c->idle_ns)
            active = at < active ? at : active;
        else if (at + (quiet - c->idle_ns) > idle)
            idle = at + (quiet - c->idle_ns);
    }
    *ret_active = active != UINT64_MAX;
    return less(*ret_active ? active : idle, c->delay_ns);
}

uint64_t gw_watermarks_set(struct gw_watermarks *all, unsigned worker, uint64_t mark_ns, bool active)
{
    uint64_t least = UINT64_MAX, idle = 0, mark, before;

    atomic_store_explicit(&all->of[worker], mark_ns ? mark_ns << 1 | active : 0, memory_order_release);
    for (unsigned i = 0; i < all->n; i++) {
        uint64_t of = atomic_load_explicit(&all->of[i], memory_order_acquire);

        if (of & 1)
            least = of >> 1 < least ? of >> 1 : least;
        else if (of >> 1 > idle)
            idle = of >> 1;
    }
    mark = least != UINT64_MAX ? least : idle;
    before = atomic_load_explicit(&all->now_ns, memory_order_relaxed);
    while (mark > before && !atomic_compare_exchange_weak_explicit(&all->now_ns, &before, mark, memory_order_acq_rel,
                                                                   memory_order_relaxed))
        ;
    return mark > before ? mark : before;
}
