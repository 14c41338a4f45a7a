/* SPDX-License-Identifier: Apache-2.0 */
/* Which windows there are, and when it is time to look whether some have ended. */
#include <stdio.h>

#include "processors/rollup/rollup.h"

#define MS_NS UINT64_C(1000000)

/* How often it is looked whether sessions have ended: an eighth of their gap, but not all the time. */
static const uint64_t least_check_ns = 100 * MS_NS, most_check_ns = 10000 * MS_NS;

uint64_t gw_ru_gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static bool hops(int type)
{
    return type == GW_RU_HOPPING || type == GW_RU_SLIDING;
}

/* ---- settings --------------------------------------------------------------------------------------------------- */

static void check_fixed(const struct gw_ru_window_conf *w, const struct gw_node *at, struct gw_diag *diag)
{
    if (w->gap_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "windows: only a session has a gap");
    if (w->type == GW_RU_TUMBLING && w->slide_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "windows: a tumbling window has no slide; \"type: hopping\" has");
    if (w->type == GW_RU_TUMBLING)
        return;
    if (w->slide_ns == 0 || w->slide_ns > w->size_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "windows: a %s window needs a slide, at most its size",
                    w->type == GW_RU_HOPPING ? "hopping" : "sliding");
    else if (gw_ru_gcd(w->size_ns, w->slide_ns) < MS_NS ||
             w->size_ns / gw_ru_gcd(w->size_ns, w->slide_ns) > GW_RU_MAX_PANES)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                    "windows: size and slide have no common divisor of at least 1ms and 1/%u of the size",
                    GW_RU_MAX_PANES);
}

/* Sessions of a series that may be open at once are as many as gaps go into the time that they may be late. */
static void check_session(const struct gw_ru_conf *c, const struct gw_ru_window_conf *w, const struct gw_node *at,
                          struct gw_diag *diag)
{
    uint64_t open_ns = c->allowed_lateness_ns + c->time.bounded_delay_ns + c->time.max_future_ns;

    if (gw_node_get(at, "size") || w->slide_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "windows: a session has neither size nor slide");
    if (w->gap_ns < MS_NS || w->gap_ns > w->max_size_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "windows: a session needs a gap, of 1ms to its max_size");
    else if (open_ns / w->gap_ns > GW_RU_MAX_PANES)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                    "windows: the gap is less than 1/%u of allowed_lateness, bounded_delay and max_future",
                    GW_RU_MAX_PANES);
    if (c->emit.mode == GW_RU_DELTA)
        gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                    "windows: sessions become one, so \"emit: mode: delta\" cannot say of which an increment is");
}

static bool is_same(const struct gw_ru_window_conf *a, const struct gw_ru_window_conf *b)
{
    if ((a->type == GW_RU_SESSION) != (b->type == GW_RU_SESSION))
        return false;
    if (a->type == GW_RU_SESSION)
        return a->gap_ns == b->gap_ns;
    return a->size_ns == b->size_ns && a->slide_ns == b->slide_ns &&
           (a->type == GW_RU_SLIDING) == (b->type == GW_RU_SLIDING);
}

void gw_ru_windows_check(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *list = gw_node_get(node, "windows"), *at = list;
    const struct gw_ru_window_conf *w = c->windows.items;

    if (list && list->type == GW_NODE_LIST)
        at = list->first;
    if (c->windows.n > GW_RU_MAX_WINDOWS)
        gw_diag_add(diag, GW_DIAG_ERROR, &list->place, "windows: at most %u", GW_RU_MAX_WINDOWS);
    for (size_t i = 0; i < c->windows.n && i < GW_RU_MAX_WINDOWS; i++) {
        if (w[i].type == GW_RU_SESSION)
            check_session(c, &w[i], at ? at : node, diag);
        else
            check_fixed(&w[i], at ? at : node, diag);
        for (size_t k = 0; k < i; k++)
            if (is_same(&w[k], &w[i]))
                gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : &node->place, "windows: one stands twice");
        at = at ? at->next : NULL;
    }
}

/* ---- as they are used ------------------------------------------------------------------------------------------- */

static void set_text(struct gw_ru_window *w)
{
    char size[64], slide[64];

    (void)gw_duration_format(w->type == GW_RU_SESSION ? w->gap_ns : w->size_ns, size, sizeof(size));
    (void)gw_duration_format(w->slide_ns, slide, sizeof(slide));
    if (hops(w->type))
        (void)snprintf(w->text, sizeof(w->text), "%s%.20s/%.20s", w->type == GW_RU_SLIDING ? "last " : "", size, slide);
    else
        (void)snprintf(w->text, sizeof(w->text), "%s%.20s", w->type == GW_RU_SESSION ? "session " : "", size);
}

static void set_session(struct gw_ru_window *w, const struct gw_ru_window_conf *c)
{
    w->size_ns = w->slide_ns = w->pane_ns = c->max_size_ns;
    w->gap_ns = c->gap_ns;
    w->check_ns = c->gap_ns / 8 < least_check_ns ? least_check_ns : c->gap_ns / 8;
    w->check_ns = w->check_ns > most_check_ns ? most_check_ns : w->check_ns;
}

void gw_ru_windows_set(struct gw_ru_shared *all)
{
    const struct gw_ru_window_conf *c = all->conf->windows.items;
    static const struct gw_ru_window_conf usual = {.size_ns = 10000 * MS_NS};
    int mode = all->conf->emit.mode;

    all->n_windows = all->conf->windows.n ? (unsigned)all->conf->windows.n : 1;
    for (unsigned i = 0; i < all->n_windows; i++) {
        const struct gw_ru_window_conf *w = all->conf->windows.n ? &c[i] : &usual;
        struct gw_ru_window *to = &all->windows[i];

        to->type = w->type;
        to->lateness_ns = w->type == GW_RU_SLIDING ? 0 : all->conf->allowed_lateness_ns;
        to->size_ns = w->size_ns;
        to->slide_ns = hops(w->type) ? w->slide_ns : w->size_ns;
        to->pane_ns = gw_ru_gcd(to->size_ns, to->slide_ns);
        if (w->type == GW_RU_SESSION)
            set_session(to, w);
        set_text(to);
        all->has_sessions |= w->type == GW_RU_SESSION;
        if (i == 0 || to->lateness_ns < all->hold_ns)
            all->hold_ns = to->lateness_ns;
    }
    if (mode != GW_RU_FINAL)
        all->hold_ns = 0;
    gw_ru_cascade_set(all);
    if (mode != GW_RU_FINAL)
        all->tail_bytes = sizeof(uint64_t);
    if (all->has_sessions)
        all->tail_bytes = sizeof(struct gw_ru_tail);
    if (mode == GW_RU_RETRACT || (mode == GW_RU_EAGER && all->has_sessions))
        all->told_bytes = all->plan.state_bytes;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* An end of such a window, wait_ns behind it, lies in (before, mark]. Ends are at multiples of the slide, and size. */
static bool has_end(const struct gw_ru_window *w, uint64_t before_ns, uint64_t mark_ns, uint64_t wait_ns)
{
    uint64_t shift = w->size_ns % w->slide_ns + wait_ns;

    return mark_ns >= shift && (mark_ns - shift) / w->slide_ns > less(before_ns, shift) / w->slide_ns;
}

bool gw_ru_is_early(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns)
{
    uint64_t interval = all->conf->emit.interval_ns;

    return all->conf->emit.mode != GW_RU_FINAL && mark_ns / interval > before_ns / interval;
}

bool gw_ru_windows_end(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns)
{
    bool due = false;

    for (unsigned i = 0; i < all->n_windows && !due; i++) {
        const struct gw_ru_window *w = &all->windows[i];

        if (w->type == GW_RU_SESSION)
            due = mark_ns / w->check_ns > before_ns / w->check_ns;
        else
            due = has_end(w, before_ns, mark_ns, w->lateness_ns) ||
                  (all->conf->emit.mode == GW_RU_RETRACT && has_end(w, before_ns, mark_ns, 0));
    }
    return due;
}

bool gw_ru_windows_due(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns)
{
    return gw_ru_is_early(all, before_ns, mark_ns) || gw_ru_windows_end(all, before_ns, mark_ns);
}
