/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: from a first record to a last one, no two neighbours further apart than the gap; the window ends a gap
 * behind the last.
 *
 *   time      │     max_size      │     max_size      │
 *   pieces       a──a   b────b────┼─c──c              │      each a pane {first, last}; a piece lies in one stretch
 *   chains       a──a   b────b────┼─c──c                     pieces no further apart than the gap
 *
 * A piece never crosses a multiple of max_size. A chain that is no longer than max_size is one session, and one piece
 * when it has ended; a longer one is told piece by piece. What is told so follows from the records and not from their
 * order, and takes one pane a piece, however long it gets.
 *
 * A session that the watermark has passed has ended, told already or not: from then on it is as if it were gone, so
 * that nothing depends on when it is told. Live pieces of a series stand in its chain of panes from the latest on.
 */
#include "processors/rollup/fire.h"

/* Where a time stands among the live pieces of a series. Items, or 0. */
struct place {
    uint32_t *link;    /* where a new piece would be put in */
    uint32_t up, here; /* the first piece behind the time, and the last one that does not begin behind it */
    uint32_t *up_link;
};

/* Live pieces of one session, or of one that is longer than may be. */
struct chain {
    uint32_t *link;            /* of the latest */
    uint32_t latest, earliest; /* items; the same when it is one */
    uint64_t first_ns, last_ns, flags;
    unsigned n;
};

static struct gw_ru_tail *tail_of(const struct gw_ru_shared *all, const struct gw_ru_shard *s, uint32_t item)
{
    return gw_ru_tail(all, gw_ru_pane_at(s, item));
}

static bool is_chained(const struct gw_ru_window *w, const struct gw_ru_tail *before, const struct gw_ru_tail *t)
{
    return t->first_ns - before->last_ns <= w->gap_ns;
}

static uint64_t limit_of(const struct gw_ru_window *w, const struct gw_ru_tail *t)
{
    return (t->first_ns / w->pane_ns + 1) * w->pane_ns;
}

/* The link to the first live piece of the window from there on; the link at the end, if there is none. */
static uint32_t *next_live(const struct gw_ru_shared *all, const struct gw_ru_shard *s, unsigned window, uint32_t *link)
{
    while (*link &&
           (gw_ru_window_of(gw_ru_pane_at(s, *link)->id) != window || tail_of(all, s, *link)->flags & GW_RU_ENDED))
        link = gw_slabs_link(&s->panes, *link);
    return link;
}

static bool next_chain(const struct gw_ru_shared *all, const struct gw_ru_shard *s, unsigned window, uint32_t *link,
                       struct chain *ret)
{
    const struct gw_ru_tail *behind = NULL, *t;

    *ret = (struct chain){.link = next_live(all, s, window, link)};
    for (link = ret->link; *link; link = next_live(all, s, window, gw_slabs_link(&s->panes, *link))) {
        t = tail_of(all, s, *link);
        if (behind && !is_chained(&all->windows[window], t, behind))
            break;
        ret->latest = behind ? ret->latest : *link;
        ret->last_ns = behind ? ret->last_ns : t->last_ns;
        ret->earliest = *link;
        ret->first_ns = t->first_ns;
        ret->flags |= t->flags;
        ret->n++;
        behind = t;
    }
    return ret->n > 0;
}

/* What comes behind goes into the one before it. */
static void join(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t into, uint32_t *link)
{
    uint32_t item = *link;
    const struct gw_ru_tail *from = tail_of(all, s, item);
    struct gw_ru_tail *t = tail_of(all, s, into);

    if (gw_agg_merge(&all->plan, gw_ru_pane_at(s, into)->state, &s->heap, gw_ru_pane_at(s, item)->state) < 0)
        gw_metric_add(all->lost, 1);
    t->last_ns = from->last_ns > t->last_ns ? from->last_ns : t->last_ns;
    t->changes += from->changes;
    t->is_new |= from->is_new;
    t->flags |= from->flags;
    *link = gw_ru_next(&s->panes, item);
    gw_ru_pane_give(all, s, item);
}

/* Pieces of a chain that is longer than max_size: one that others follow may end before them, with its stretch. */
static void settle_long(const struct gw_ru_shared *all, const struct gw_ru_shard *s, unsigned window,
                        const struct chain *c, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    bool has_ended = c->last_ns + w->gap_ns + w->lateness_ns <= mark_ns;
    uint32_t *link = c->link;

    for (unsigned i = 0; i < c->n; i++) {
        struct gw_ru_tail *t = tail_of(all, s, *link);

        link = gw_slabs_link(&s->panes, *link);
        t->flags |= GW_RU_LONG | (i ? GW_RU_FOLLOWED : 0);
        if (has_ended || (i && limit_of(w, t) + w->lateness_ns <= mark_ns))
            t->flags |= GW_RU_ENDED;
        if (i + 1 < c->n)
            link = next_live(all, s, window, link);
    }
}

void gw_ru_sessions_settle(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, unsigned window,
                           uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    uint32_t *link = &x->panes;
    struct chain c;

    while (next_chain(all, s, window, link, &c)) {
        if (c.flags & GW_RU_LONG || c.last_ns - c.first_ns > w->size_ns) {
            settle_long(all, s, window, &c, mark_ns);
        } else if (c.last_ns + w->gap_ns + w->lateness_ns <= mark_ns) {
            if (c.n > 1) /* two, as more were longer */
                join(all, s, c.earliest, c.link);
            tail_of(all, s, c.earliest)->flags |= GW_RU_ENDED;
        }
        link = gw_slabs_link(&s->panes, c.earliest);
    }
}

static struct place place_of(const struct gw_ru_shared *all, const struct gw_ru_shard *s, struct gw_ru_series *x,
                             unsigned window, uint64_t ns)
{
    struct place p = {.link = &x->panes};
    uint32_t *link = next_live(all, s, window, &x->panes);

    while (*link && tail_of(all, s, *link)->first_ns > ns) {
        p.up = *link;
        p.up_link = link;
        p.link = gw_slabs_link(&s->panes, *link);
        link = next_live(all, s, window, p.link);
    }
    p.here = *link;
    return p;
}

static bool is_near(const struct gw_ru_window *w, const struct gw_ru_tail *t, uint64_t ns)
{
    return t && (ns < t->first_ns ? t->first_ns - ns <= w->gap_ns : ns <= t->last_ns || ns - t->last_ns <= w->gap_ns);
}

static bool is_in_stretch(const struct gw_ru_window *w, const struct gw_ru_tail *t, uint64_t ns)
{
    return t->first_ns / w->pane_ns == ns / w->pane_ns;
}

bool gw_ru_session_takes(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, unsigned window,
                         uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    const struct gw_ru_tail *around[2];
    struct place p;

    gw_ru_sessions_settle(all, s, x, window, mark_ns);
    p = place_of(all, s, x, window, ns);
    around[0] = p.here ? tail_of(all, s, p.here) : NULL;
    around[1] = p.up ? tail_of(all, s, p.up) : NULL;
    for (unsigned i = 0; i < 2; i++) /* of a long one, a piece of another stretch would be told by itself, and was */
        if (is_near(w, around[i], ns) && (!(around[i]->flags & GW_RU_LONG) || is_in_stretch(w, around[i], ns)))
            return true;
    return false;
}

static uint32_t begin(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct place *p, unsigned window,
                      uint64_t ns)
{
    uint32_t item = gw_ru_pane_take(all, s, gw_ru_pane_id(window, ns / all->windows[window].pane_ns, 0));
    struct gw_ru_tail *t = tail_of(all, s, item);

    t->first_ns = t->last_ns = ns;
    *gw_slabs_link(&s->panes, item) = *p->link;
    *p->link = item;
    return item;
}

/* Before a chain has ended and after it has got too long: its pieces stay apart for good, though the first ones leave.
 */
static void mark_long(const struct gw_ru_shared *all, const struct gw_ru_shard *s, struct gw_ru_series *x,
                      unsigned window)
{
    uint32_t *link = &x->panes;
    struct chain c;

    while (next_chain(all, s, window, link, &c)) {
        if (c.n > 1 && (c.flags & GW_RU_LONG || c.last_ns - c.first_ns > all->windows[window].size_ns))
            settle_long(all, s, window, &c, 0);
        link = gw_slabs_link(&s->panes, c.earliest);
    }
}

struct gw_ru_pane *gw_ru_session_of(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x,
                                    unsigned window, uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    bool in_here, in_up;
    struct gw_ru_tail *t;
    struct place p;
    uint32_t item;

    gw_ru_sessions_settle(all, s, x, window, mark_ns);
    p = place_of(all, s, x, window, ns);
    in_here = p.here && is_near(w, tail_of(all, s, p.here), ns) && is_in_stretch(w, tail_of(all, s, p.here), ns);
    in_up = p.up && is_near(w, tail_of(all, s, p.up), ns) && is_in_stretch(w, tail_of(all, s, p.up), ns);
    item = in_here ? p.here : in_up ? p.up : begin(all, s, &p, window, ns);
    if (in_here && in_up)
        join(all, s, item, p.up_link);
    t = tail_of(all, s, item);
    t->first_ns = ns < t->first_ns ? ns : t->first_ns;
    t->last_ns = ns > t->last_ns ? ns : t->last_ns;
    mark_long(all, s, x, window);
    return gw_ru_pane_at(s, item);
}

/* ---- firing ----------------------------------------------------------------------------------------------------- */

static void one_session(struct gw_ru_fire *f, struct gw_ru_pane *const *pieces, size_t n, const struct gw_ru_span *span)
{
    struct gw_ru_result *r = gw_ru_result_new(f, span);

    for (size_t i = 0; i < n && r; i++)
        gw_ru_result_add(f, r, pieces[i]);
}

/* A piece that is a window by itself: of a long session, or of one that has ended. */
static void one_piece(struct gw_ru_fire *f, struct gw_ru_pane *const *piece, struct gw_ru_span *span)
{
    const struct gw_ru_window *w = &f->all->windows[span->window];
    const struct gw_ru_tail *t = gw_ru_tail(f->all, *piece);

    span->start_ns = t->first_ns;
    span->end_ns = t->flags & GW_RU_FOLLOWED ? limit_of(w, t) : t->last_ns + w->gap_ns;
    span->is_final = t->flags & GW_RU_ENDED && f->is_full;
    one_session(f, piece, 1, span);
}

/* A live one that is no window by itself, and the next one, or NULL: of one session both, when they are chained. */
static bool one_or_two(struct gw_ru_fire *f, struct gw_ru_pane *one, struct gw_ru_pane *next, struct gw_ru_span *span)
{
    const struct gw_ru_window *w = &f->all->windows[span->window];
    struct gw_ru_pane *const both[] = {one, next};
    const struct gw_ru_tail *t = gw_ru_tail(f->all, one);

    if (!next || !is_chained(w, t, gw_ru_tail(f->all, next))) {
        one_piece(f, both, span);
        return false;
    }
    span->start_ns = t->first_ns;
    span->end_ns = gw_ru_tail(f->all, next)->last_ns + w->gap_ns;
    span->is_final = false;
    one_session(f, both, 2, span);
    return true;
}

/* Live ones stand in order, from the oldest on; those that have ended, anywhere. */
void gw_ru_sessions_find(struct gw_ru_fire *f, struct gw_ru_series *x, unsigned window,
                         struct gw_ru_pane *const *pieces, size_t n)
{
    struct gw_ru_span span = {.series = x, .window = window};
    struct gw_ru_pane *waits = NULL;

    for (size_t i = 0; i < n; i++) {
        if (gw_ru_tail(f->all, pieces[i])->flags & (GW_RU_ENDED | GW_RU_LONG))
            one_piece(f, &pieces[i], &span);
        else if (f->all->conf->emit.mode == GW_RU_FINAL)
            continue;
        else if (waits && one_or_two(f, waits, pieces[i], &span))
            waits = NULL;
        else
            waits = pieces[i];
    }
    if (waits)
        (void)one_or_two(f, waits, NULL, &span);
}
