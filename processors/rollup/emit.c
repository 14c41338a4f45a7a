/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a window, and when.
 *
 *   final     once, when nothing comes into it any more
 *   eager     as it is, at each interval when it has changed; then the final one
 *   delta     at each interval what has come since; the last one is final. Panes begin anew when they have been told
 *   retract   when the watermark has passed its end; at an interval, if it has changed: what was told, taken back, and
 *             what it is now
 *
 * A series remembers what it told of the windows that may be told again: how many times, of how many values, and, where
 * it may be taken back, what. The memory is the shard's; when there is none nothing is told but what is final.
 */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "processors/rollup/fire.h"
#include "values/value.h"

static int mode_of(const struct gw_ru_fire *f)
{
    return f->all->conf->emit.mode;
}

static struct gw_ru_result *results(const struct gw_ru_fire *f)
{
    return (struct gw_ru_result *)(void *)f->results.p;
}

static size_t n_results(const struct gw_ru_fire *f)
{
    return f->results.n / sizeof(struct gw_ru_result);
}

bool gw_ru_emit_wants(const struct gw_ru_fire *f, const struct gw_ru_span *span)
{
    if (span->is_final || mode_of(f) == GW_RU_FINAL)
        return span->is_final;
    return mode_of(f) == GW_RU_RETRACT ? span->end_ns <= f->mark_ns : f->is_early;
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    return f->all->windows[r->window].type == GW_RU_SESSION ? r->start_ns : r->end_ns;
}

static uint32_t told_of(const struct gw_ru_fire *f, const struct gw_ru_series *x, const struct gw_ru_result *r)
{
    uint32_t item = x->told;

    for (; item; item = gw_ru_next(&f->s->told, item)) {
        const struct gw_ru_told *t = gw_ru_told_at(f->s, item);

        if (t->window == r->window && t->key_ns == key_of(f, r))
            break;
    }
    return item;
}

/* Whether it is told, and with which number; *ret_back: what was told is taken back first. */
static bool is_news(const struct gw_ru_fire *f, struct gw_ru_result *r, bool *ret_back)
{
    struct gw_ru_told *t = r->told ? gw_ru_told_at(f->s, r->told) : NULL;
    bool stands = t && !(t->flags & GW_RU_RETRACTED);
    bool same = stands && t->changes == r->changes && t->end_ns == r->end_ns;

    *ret_back = false;
    if (t) {
        t->flags |= GW_RU_SEEN | (r->is_final ? GW_RU_DROP : 0u);
        r->revision = t->revision + 1;
    }
    if (!r->is_wanted)
        return false;
    if (mode_of(f) == GW_RU_DELTA)
        return r->changes > 0;
    if (mode_of(f) == GW_RU_EAGER)
        return r->is_final || !same;
    *ret_back = stands && !same;
    return !same && (!stands || f->is_early || r->is_final);
}

static void take_back(struct gw_ru_fire *f, struct gw_ru_series *x, uint32_t item, bool is_of_final)
{
    const struct gw_ru_told *t = gw_ru_told_at(f->s, item);
    struct gw_ru_span span = {.series = x, .window = (unsigned)t->window, .end_ns = t->end_ns, .is_final = true};
    const struct gw_ru_window *w = &f->all->windows[span.window];
    struct gw_ru_result *r;

    span.start_ns = w->type == GW_RU_SESSION ? t->key_ns : t->end_ns - w->size_ns;
    r = gw_ru_result_new(f, &span);
    if (!r)
        return;
    r->is_final = false;
    r->is_retract = true;
    r->is_of_final = is_of_final;
    r->told = item;
    r->revision = t->revision;
    f->results.failed |= gw_agg_merge(&f->all->plan, gw_ru_result_state(f, r), &f->heap, t->state) < 0;
}

/* Sessions that have become part of another. */
static void take_back_unseen(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    for (uint32_t item = x->told; item && f->all->has_sessions; item = gw_ru_next(&f->s->told, item)) {
        const struct gw_ru_told *t = gw_ru_told_at(f->s, item);

        if (!(t->flags & (GW_RU_SEEN | GW_RU_RETRACTED)) && f->all->windows[t->window].type == GW_RU_SESSION)
            take_back(f, x, item, false);
    }
}

void gw_ru_emit_choose(struct gw_ru_fire *f, struct gw_ru_series *x, size_t first)
{
    size_t n = n_results(f), to = first;

    for (uint32_t item = x->told; item; item = gw_ru_next(&f->s->told, item))
        gw_ru_told_at(f->s, item)->flags &= ~(uint32_t)(GW_RU_SEEN | GW_RU_DROP);
    for (size_t i = first; i < n; i++) {
        struct gw_ru_result r = results(f)[i];
        bool back;

        r.told = told_of(f, x, &r);
        r.is_of_final = r.is_final;
        if (!is_news(f, &r, &back))
            continue;
        if (back)
            take_back(f, x, r.told, r.is_final);
        results(f)[to++] = r;
    }
    /* what was taken back stands behind all of them */
    if (to < n) {
        size_t rest = n_results(f) - n;

        memmove(&results(f)[to], &results(f)[n], rest * sizeof(struct gw_ru_result));
        f->results.n = (to + rest) * sizeof(struct gw_ru_result);
    }
    take_back_unseen(f, x);
}

/* ---- remembering ------------------------------------------------------------------------------------------------ */

static bool needs_told(const struct gw_ru_result *r)
{
    return !r->is_final && !r->is_retract && !r->told;
}

/* It is asked for again, at the next firing. */
static void put_off(struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    for (uint32_t item = r->series->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        gw_ru_tail(f->all, p)->is_new = true;
        if (f->all->kept)
            *gw_ru_pane_changed(f->all, p) = 1;
    }
    gw_ru_lists_add(f->s, r->id);
}

void gw_ru_emit_reserve(struct gw_ru_fire *f)
{
    size_t n = n_results(f), to = 0;
    uint64_t needed = 0;

    for (size_t i = 0; i < n; i++)
        needed += needs_told(&results(f)[i]);
    if (needed == 0 || gw_slabs_reserve(&f->s->told, needed) == 0)
        return;
    f->is_early = false;
    for (size_t i = 0; i < n; i++)
        if (results(f)[i].is_of_final)
            results(f)[to++] = results(f)[i];
        else
            put_off(f, &results(f)[i]);
    f->results.n = to * sizeof(struct gw_ru_result);
}

static uint32_t new_told(struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    uint32_t item = gw_slabs_take(&f->s->told);
    struct gw_ru_told *t = gw_ru_told_at(f->s, item);

    *t = (struct gw_ru_told){.window = r->window, .key_ns = key_of(f, r)};
    memset(t->state, 0, f->all->told_bytes);
    *gw_slabs_link(&f->s->told, item) = r->series->told;
    r->series->told = item;
    return item;
}

static void remember(struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    struct gw_ru_told *t = gw_ru_told_at(f->s, r->told ? r->told : new_told(f, r));

    if (f->all->told_bytes)
        gw_agg_clear(&f->all->plan, t->state, &f->s->heap);
    gw_ru_list_add(f->s, GW_RU_CHANGED, r->id);
    t->flags |= GW_RU_UNSAVED | (r->is_retract ? GW_RU_RETRACTED : 0u);
    if (r->is_retract)
        return;
    t->flags &= ~(uint32_t)GW_RU_RETRACTED;
    t->revision = r->revision;
    t->changes = r->changes;
    t->end_ns = r->end_ns;
    if (f->all->told_bytes && gw_agg_merge(&f->all->plan, t->state, &f->s->heap, gw_ru_result_state(f, r)) < 0)
        gw_metric_add(f->all->lost, 1);
}

void gw_ru_emit_remember(struct gw_ru_fire *f)
{
    for (size_t i = 0; i < n_results(f); i++) /* what is taken back of one that stands comes first, by its revision */
        if (results(f)[i].is_retract)
            remember(f, &results(f)[i]);
    for (size_t i = 0; i < n_results(f); i++)
        if (!results(f)[i].is_final && !results(f)[i].is_retract)
            remember(f, &results(f)[i]);
}

/* A session that was taken back comes again when it is the next piece of one that gets too long. */
static bool may_return(const struct gw_ru_fire *f, const struct gw_ru_series *x, const struct gw_ru_told *t)
{
    for (uint32_t item = x->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        if (gw_ru_window_of(p->id) == t->window && gw_ru_tail(f->all, p)->first_ns == t->key_ns)
            return true;
    }
    return false;
}

void gw_ru_told_give(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t item)
{
    if (all->told_bytes)
        gw_agg_clear(&all->plan, gw_ru_told_at(s, item)->state, &s->heap);
    gw_slabs_give(&s->told, item);
}

static bool forget_told(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    uint32_t *link = &x->told;
    bool any = false;

    while (*link) {
        struct gw_ru_told *t = gw_ru_told_at(f->s, *link);
        uint32_t item = *link;

        if (!(t->flags & GW_RU_DROP) && (!(t->flags & GW_RU_RETRACTED) || may_return(f, x, t))) {
            link = gw_slabs_link(&f->s->told, item);
            continue;
        }
        *link = gw_ru_next(&f->s->told, item);
        gw_ru_told_give(f->all, f->s, item);
        any = true;
    }
    return any;
}

static void is_told(const struct gw_ru_fire *f, struct gw_ru_pane *p)
{
    struct gw_ru_tail *t = gw_ru_tail(f->all, p);

    t->is_new = false;
    if (f->all->kept)
        *gw_ru_pane_changed(f->all, p) = 1;
    if (mode_of(f) != GW_RU_DELTA)
        return;
    gw_agg_clear(&f->all->plan, p->state, &f->s->heap);
    t->changes = 0;
}

/* A session that was told and goes on is told again when it has ended once more. */
static bool waits(const struct gw_ru_fire *f, struct gw_ru_pane *p)
{
    const struct gw_ru_window *w = &f->all->windows[gw_ru_window_of(p->id)];

    return mode_of(f) == GW_RU_RETRACT && w->type == GW_RU_SESSION &&
           gw_ru_tail(f->all, p)->last_ns + w->gap_ns > f->mark_ns;
}

bool gw_ru_emit_forget(struct gw_ru_fire *f, struct gw_ru_series *x)
{
    bool any = forget_told(f, x), waiting = false;

    if (!f->is_early)
        return any;
    for (uint32_t item = x->panes; item; item = gw_ru_next(&f->s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(f->s, item);

        if (!gw_ru_tail(f->all, p)->is_new)
            continue;
        if (waits(f, p)) {
            waiting = true;
            continue;
        }
        is_told(f, p);
        any = true;
    }
    if (!waiting)
        gw_ru_list_remove(f->s, GW_RU_NEWS, f->series_id);
    return any;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

bool gw_ru_emit_has_attrs(const struct gw_ru_fire *f)
{
    return mode_of(f) != GW_RU_FINAL || *f->all->conf->emit.id;
}

/*
 * 128 bits of XXH3, in hexadecimal: of everything that tells this result from all others. The same after a restart, and
 * when the same records come again.
 */
static void put_id(struct gw_ru_fire *f, const struct gw_ru_result *r, unsigned spec)
{
    const char *name = *f->all->conf->emit.id ? f->all->conf->emit.id : "rollup.id";
    const uint64_t numbers[] = {r->start_ns, r->revision, r->is_retract};
    struct gw_buf *b = &f->id;
    XXH128_hash_t h;
    char text[40];

    gw_buf_reset(b);
    gw_buf_put_str(b, f->all->ctx->id);
    gw_buf_put_u8(b, 0);
    gw_buf_put_str(b, f->all->ctx->pipeline ? f->all->ctx->pipeline : "");
    gw_buf_put_u8(b, 0);
    gw_buf_put_str(b, gw_signal_name(f->all->ctx->signal));
    gw_buf_put_u8(b, 0);
    gw_buf_put_str(b, f->all->windows[r->window].text);
    gw_buf_put_u8(b, 0);
    gw_buf_put_str(b, f->all->names[spec]);
    gw_buf_put_u8(b, 0);
    gw_buf_put(b, numbers, sizeof(numbers));
    gw_buf_put(b, r->series->key, r->series->key_bytes);
    h = XXH3_128bits(b->p, b->n);
    (void)snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    gw_mw_attr_put_str(&f->attrs, gw_slice_cstr(name), gw_slice_cstr(text));
}

void gw_ru_emit_put_attrs(struct gw_ru_fire *f, const struct gw_ru_result *r, unsigned spec)
{
    const struct gw_value revision = {.type = GW_V_INT, .i = r->revision};
    const struct gw_value yes = {.type = GW_V_BOOL, .b = true}, final = {.type = GW_V_BOOL, .b = r->is_final};

    if (mode_of(f) != GW_RU_FINAL) {
        gw_mw_attr_put(&f->attrs, GW_SLICE("rollup.revision"), &revision);
        gw_mw_attr_put(&f->attrs, GW_SLICE("rollup.is_final"), &final);
    }
    if (r->is_retract)
        gw_mw_attr_put(&f->attrs, GW_SLICE("rollup.retracts"), &yes);
    put_id(f, r, spec);
}
