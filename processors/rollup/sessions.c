/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: from a first record to a last one, no two neighbours further apart than the gap; the window ends a gap
 * behind the last.
 *
 *   time      │     max_size      │     max_size      │
 *   pieces       a──a   b────b────┼─c──c              │      each a pane {first, last}; a piece lies in one stretch
 *   chains       a──a   b────b────┼─c──c                     pieces no further apart than the gap
 *
 * A piece never crosses a multiple of max_size. A chain that is no longer than max_size is one session, put together
 * from its two pieces at most when it is told; a longer one is told piece by piece. What is told so follows from the
 * records and not from their order, and takes one pane a piece, however long it gets.
 *
 * A record belongs to no session that the watermark has passed, told already or not: it begins another one (GW_RU_CUT),
 * if the watermark has not passed that, too, or goes into a later one.
 * Pieces of a series stand in its chain of panes from the latest on.
 */
#include "processors/rollup/fire.h"

/* Where a time stands among the pieces of a series. Items, or 0. */
struct place {
    uint32_t *link;    /* where a new piece would be put in */
    uint32_t up, here; /* the first piece behind the time, and the last one that does not begin behind it */
    uint32_t *up_link;
    bool here_ended, up_ended; /* the watermark has passed the chains that they are of */
};

static struct gw_ru_tail *tail_of(const struct gw_ru_shared *all, const struct gw_ru_shard *s, uint32_t item)
{
    return gw_ru_tail(all, gw_ru_pane_at(s, item));
}

static bool is_chained(const struct gw_ru_window *w, const struct gw_ru_tail *before, const struct gw_ru_tail *t)
{
    return !(t->flags & GW_RU_CUT) && t->first_ns - before->last_ns <= w->gap_ns;
}

static struct place place_of(const struct gw_ru_shared *all, const struct gw_ru_shard *s, struct gw_ru_series *x,
                             unsigned window, uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    struct place p = {.link = &x->panes};
    const struct gw_ru_tail *behind = NULL;
    uint32_t *link = &x->panes;
    uint64_t last_ns = 0; /* of the chain that is looked at */

    for (; *link; link = gw_slabs_link(&s->panes, *link)) {
        const struct gw_ru_tail *t = tail_of(all, s, *link);
        bool ended;

        if (gw_ru_window_of(gw_ru_pane_at(s, *link)->id) != window)
            continue;
        last_ns = behind && is_chained(w, t, behind) ? last_ns : t->last_ns;
        ended = last_ns + w->gap_ns + w->lateness_ns <= mark_ns;
        if (t->first_ns <= ns) {
            p.here = *link;
            p.here_ended = ended;
            break;
        }
        behind = t;
        p.up_ended = ended;
        p.up = *link;
        p.up_link = link;
        p.link = gw_slabs_link(&s->panes, *link);
    }
    return p;
}

/* A piece that waits for the others of its chain; of a long one it would be told by itself, and maybe was. */
static bool takes(const struct gw_ru_window *w, const struct gw_ru_tail *t, uint64_t ns)
{
    return !(t->flags & GW_RU_LONG) || t->first_ns / w->pane_ns == ns / w->pane_ns;
}

bool gw_ru_session_takes(const struct gw_ru_shared *all, const struct gw_ru_shard *s, struct gw_ru_series *x,
                         unsigned window, uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    struct place p = place_of(all, s, x, window, ns, mark_ns);
    const struct gw_ru_tail *here = p.here ? tail_of(all, s, p.here) : NULL, *up = p.up ? tail_of(all, s, p.up) : NULL;

    if (here && !p.here_ended && takes(w, here, ns) && (here->last_ns >= ns || ns - here->last_ns <= w->gap_ns))
        return true;
    return up && !p.up_ended && takes(w, up, ns) && up->first_ns - ns <= w->gap_ns;
}

/* What comes behind goes into the one before it. */
static void join(struct gw_ru_shared *all, struct gw_ru_shard *s, struct place *p)
{
    struct gw_ru_tail *here = tail_of(all, s, p->here);
    const struct gw_ru_tail *up = tail_of(all, s, p->up);

    if (gw_agg_merge(&all->plan, gw_ru_pane_at(s, p->here)->state, &s->heap, gw_ru_pane_at(s, p->up)->state) < 0)
        gw_metric_add(all->lost, 1);
    here->last_ns = up->last_ns > here->last_ns ? up->last_ns : here->last_ns;
    here->changes += up->changes;
    here->flags |= up->flags & GW_RU_LONG;
    *p->up_link = gw_ru_next(&s->panes, p->up);
    gw_ru_pane_give(all, s, p->up);
    p->up = 0;
}

static uint32_t begin(struct gw_ru_shared *all, struct gw_ru_shard *s, struct place *p, unsigned window, uint64_t ns)
{
    uint32_t item = gw_ru_pane_take(all, s, gw_ru_pane_id(window, ns / all->windows[window].pane_ns, 0));
    struct gw_ru_tail *t = tail_of(all, s, item);

    t->first_ns = t->last_ns = ns;
    *gw_slabs_link(&s->panes, item) = *p->link;
    *p->link = item;
    if (p->up)
        tail_of(all, s, p->up)->flags &= ~(uint64_t)GW_RU_CUT; /* that was of what came before, and is now this one's */
    return item;
}

/* Pieces of a chain that has become longer than max_size stay apart for good. */
static void mark_long(const struct gw_ru_shared *all, const struct gw_ru_shard *s, const struct gw_ru_series *x,
                      unsigned window)
{
    const struct gw_ru_window *w = &all->windows[window];
    uint32_t at = x->panes;

    while (at) {
        uint32_t first = at, end = at;
        uint64_t flags = 0, last_ns = 0, first_ns = 0;
        const struct gw_ru_tail *behind = NULL;

        for (; end; end = gw_ru_next(&s->panes, end)) {
            const struct gw_ru_tail *t = tail_of(all, s, end);

            if (gw_ru_window_of(gw_ru_pane_at(s, end)->id) != window)
                continue;
            if (behind && !is_chained(w, t, behind))
                break;
            last_ns = behind ? last_ns : t->last_ns;
            first_ns = t->first_ns;
            flags |= t->flags;
            behind = t;
        }
        for (; at != end; at = gw_ru_next(&s->panes, at))
            if ((flags & GW_RU_LONG || last_ns - first_ns > w->size_ns) &&
                gw_ru_window_of(gw_ru_pane_at(s, at)->id) == window)
                tail_of(all, s, at)->flags |= GW_RU_LONG;
        if (at == first)
            break;
    }
}

struct gw_ru_pane *gw_ru_session_of(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x,
                                    unsigned window, uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    struct place p = place_of(all, s, x, window, ns, mark_ns);
    struct gw_ru_tail *here = p.here ? tail_of(all, s, p.here) : NULL, *up = p.up ? tail_of(all, s, p.up) : NULL;
    bool near_here = here && (here->last_ns >= ns || ns - here->last_ns <= w->gap_ns);
    bool near_up = up && up->first_ns - ns <= w->gap_ns;
    bool in_here = near_here && !p.here_ended && here->last_ns / w->pane_ns == ns / w->pane_ns;
    bool in_up = near_up && up->first_ns / w->pane_ns == ns / w->pane_ns;
    uint32_t item = in_here ? p.here : in_up ? p.up : begin(all, s, &p, window, ns);
    struct gw_ru_tail *t = tail_of(all, s, item);

    if (in_here && in_up)
        join(all, s, &p);
    t->first_ns = ns < t->first_ns ? ns : t->first_ns;
    t->last_ns = ns > t->last_ns ? ns : t->last_ns;
    if (near_here && p.here_ended)
        t->flags |= GW_RU_CUT;
    mark_long(all, s, x, window);
    return gw_ru_pane_at(s, item);
}

/* ---- firing ----------------------------------------------------------------------------------------------------- */

static void one_session(struct gw_ru_fire *f, struct gw_ru_pane *const *pieces, size_t n, const struct gw_ru_span *span)
{
    struct gw_ru_result *r = gw_ru_result_new(f, span);

    for (size_t i = 0; i < n; i++) {
        struct gw_ru_tail *t = gw_ru_tail(f->all, pieces[i]);

        t->flags = span->is_final ? t->flags | GW_RU_DONE : t->flags & ~(uint64_t)GW_RU_DONE;
        if (r)
            gw_ru_result_add(f, r, pieces[i]);
    }
}

/* Pieces of a long one: one that others follow ends where they begin at the earliest, and may leave before them. */
static void cut_session(struct gw_ru_fire *f, struct gw_ru_pane *const *pieces, size_t n, struct gw_ru_span *span)
{
    const struct gw_ru_window *w = &f->all->windows[span->window];
    bool has_ended = span->is_final;

    for (size_t i = 0; i < n; i++) {
        const struct gw_ru_tail *t = gw_ru_tail(f->all, pieces[i]);
        uint64_t limit = (t->first_ns / w->pane_ns + 1) * w->pane_ns;

        span->start_ns = t->first_ns;
        span->end_ns = i + 1 < n ? limit : t->last_ns + w->gap_ns;
        span->is_final = has_ended || (i + 1 < n && limit + w->lateness_ns <= f->mark_ns);
        one_session(f, &pieces[i], 1, span);
    }
}

void gw_ru_sessions_find(struct gw_ru_fire *f, struct gw_ru_series *x, unsigned window,
                         struct gw_ru_pane *const *pieces, size_t n)
{
    const struct gw_ru_window *w = &f->all->windows[window];

    for (size_t i = 0, k; i < n; i = k) {
        uint64_t flags = gw_ru_tail(f->all, pieces[i])->flags;
        struct gw_ru_span span = {.series = x, .window = window, .start_ns = gw_ru_tail(f->all, pieces[i])->first_ns};

        for (k = i + 1; k < n && is_chained(w, gw_ru_tail(f->all, pieces[k - 1]), gw_ru_tail(f->all, pieces[k])); k++)
            flags |= gw_ru_tail(f->all, pieces[k])->flags;
        span.end_ns = gw_ru_tail(f->all, pieces[k - 1])->last_ns + w->gap_ns;
        span.is_final = span.end_ns + w->lateness_ns <= f->mark_ns;
        if (flags & GW_RU_LONG)
            cut_session(f, &pieces[i], k - i, &span);
        else
            one_session(f, &pieces[i], k - i, &span);
    }
}
