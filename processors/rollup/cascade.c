/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cascade: windows whose panes go into those of larger ones.
 *
 *   10 s   ├─┼─┼─┼─┼─┼─┤├─┼─           a row goes into the smallest that takes it
 *   1 m    ├───────────┤▲               a pane that has ended, and was told, goes up
 *   1 h    ├────────────┘ …
 *
 * What is not in the larger one's pane yet is in panes below it, and a firing puts all of them together: the result is
 * that of each window by itself. A row that is too late for the smaller one goes into the larger one at once.
 */
#include <errno.h>

#include "processors/rollup/kept.h"

/* ---- which ------------------------------------------------------------------------------------------------------ */

/*
 * Whoever takes a row before `to` does, and is open to it no longer than `to`: tumbling, as a hopping window's first
 * end may lie behind that of the larger one.
 */
static bool may_feed(const struct gw_ru_window *w, const struct gw_ru_window *to)
{
    return w->type != GW_RU_SESSION && to->type != GW_RU_SESSION && w->size_ns == w->slide_ns && !w->feeds &&
           to->pane_ns % w->pane_ns == 0 && (w->pane_ns < to->pane_ns || to->size_ns > to->slide_ns) &&
           w->lateness_ns <= to->lateness_ns;
}

/*
 * Each window is fed by the one of the widest panes that can, and that feeds no other. Not where results would not be
 * those of windows by themselves: the order of merges may matter to some aggregates, and what is told early is taken
 * out of its pane.
 */
void gw_ru_cascade_set(struct gw_ru_shared *all)
{
    static const unsigned by_order = 1u << GW_AGG_P_TOP | 1u << GW_AGG_P_HISTOGRAM;

    if (all->conf->emit.mode != GW_RU_FINAL || (all->plan.parts & by_order))
        return;
    for (unsigned k = 0; k < all->n_windows; k++) {
        struct gw_ru_window *to = &all->windows[k];

        for (unsigned i = 0; i < all->n_windows; i++)
            if (i != k && may_feed(&all->windows[i], to) &&
                (!to->fed_by || all->windows[i].pane_ns > all->windows[to->fed_by - 1].pane_ns))
                to->fed_by = (uint8_t)(i + 1);
        if (to->fed_by)
            all->windows[to->fed_by - 1].feeds = (uint8_t)(k + 1);
        all->has_cascade |= to->fed_by > 0;
    }
}

/* ---- going up --------------------------------------------------------------------------------------------------- */

bool gw_ru_pane_is_over(const struct gw_ru_shared *all, const struct gw_ru_pane *p, unsigned window, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];

    return gw_ru_last_end(w, gw_ru_time_of(all, p)) + w->lateness_ns <= mark_ns;
}

/*
 * What has changed since the last checkpoint is written with the pane that it is in then. What has not is in the log as
 * a pane of the smaller window, and goes up when the log is read, too.
 */
bool gw_ru_pane_goes_up(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint32_t item,
                        uint64_t mark_ns)
{
    struct gw_ru_pane *p = gw_ru_pane_at(s, item), *to;
    unsigned window = all->windows[gw_ru_window_of(p->id)].feeds;
    uint64_t id;

    while (window && gw_ru_pane_is_over(all, p, window - 1, mark_ns))
        window = all->windows[window - 1].feeds;
    if (!window)
        return false;
    id = gw_ru_pane_id(window - 1, gw_ru_time_of(all, p) / all->windows[window - 1].pane_ns, 0);
    to = gw_ru_pane_find(s, x, id);
    if (!to) {
        p->id = id;
        return true;
    }
    if (all->plan.has_big)
        gw_ru_shard_charge(s);
    if (gw_agg_merge(&all->plan, to->state, &s->heap, p->state) < 0)
        gw_metric_add(all->lost, 1);
    if (all->kept)
        *gw_ru_pane_changed(all, to) |= *gw_ru_pane_changed(all, p);
    return false;
}

/* ---- when the log is read --------------------------------------------------------------------------------------- */

static void raise(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint64_t mark_ns)
{
    uint32_t *link = &x->panes;

    while (*link) {
        uint32_t item = *link;
        struct gw_ru_pane *p = gw_ru_pane_at(s, item);
        unsigned window = gw_ru_window_of(p->id);

        if (!all->windows[window].feeds || !gw_ru_pane_is_over(all, p, window, mark_ns) ||
            gw_ru_pane_goes_up(all, s, x, item, mark_ns)) {
            link = gw_slabs_link(&s->panes, item);
            continue;
        }
        *link = gw_ru_next(&s->panes, item);
        gw_ru_pane_give(all, s, item);
    }
}

void gw_ru_cascade_raise(struct gw_ru_shared *all, uint64_t partitions, uint64_t mark_ns)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS && all->has_cascade; i++) {
        struct gw_ru_shard *s = &all->shards[i];

        (void)pthread_mutex_lock(&s->lock);
        for (uint32_t k = 0; k < s->n_slots; k++) {
            struct gw_ru_series *x = s->slots[k].series ? gw_slabs_at(&s->series, s->slots[k].series) : NULL;

            if (x && partitions >> x->partition & 1)
                raise(all, s, x, mark_ns);
        }
        gw_ru_shard_unlock(all, s);
    }
}
