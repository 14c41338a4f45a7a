/* SPDX-License-Identifier: Apache-2.0 */
/* Panes as records (kept.h). The same panes give the same bytes, but for the order of series. */
#include <errno.h>

#include "core/hash.h"
#include "processors/rollup/fire.h"
#include "processors/rollup/kept.h"

/* ---- writing -------------------------------------------------------------------------------------------------- */

static void put64(struct gw_buf *b, uint64_t v)
{
    gw_buf_put(b, &v, sizeof(v));
}

static void put32(struct gw_buf *b, uint32_t v)
{
    gw_buf_put(b, &v, sizeof(v));
}

static void put_pane(struct gw_ru_shared *all, struct gw_ru_pane *p, struct gw_buf *out)
{
    *gw_ru_pane_changed(all, p) = 0;
    gw_buf_put_u8(out, 'P');
    put64(out, p->id);
    gw_buf_put(out, (const uint8_t *)p->state + all->plan.state_bytes, all->tail_bytes);
    gw_agg_save(&all->plan, p->state, out);
}

static void put_told(struct gw_ru_shared *all, struct gw_ru_told *t, struct gw_buf *out)
{
    t->flags &= ~(uint32_t)GW_RU_UNSAVED;
    gw_buf_put_u8(out, 'D');
    put64(out, t->window);
    put64(out, t->key_ns);
    put64(out, t->end_ns);
    put64(out, t->changes);
    put32(out, t->revision);
    put32(out, t->flags & GW_RU_RETRACTED);
    if (all->told_bytes)
        gw_agg_save(&all->plan, t->state, out);
}

static bool is_of_session(const struct gw_ru_shared *all, uint64_t window)
{
    return all->windows[window].type == GW_RU_SESSION;
}

static void put_items(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, bool whole,
                      struct gw_buf *out)
{
    if (all->has_sessions)
        gw_buf_put_u8(out, 'R');
    for (uint32_t item = x->panes; item; item = gw_ru_next(&s->panes, item)) {
        struct gw_ru_pane *p = gw_ru_pane_at(s, item);

        if (whole || is_of_session(all, gw_ru_window_of(p->id)) || *gw_ru_pane_changed(all, p))
            put_pane(all, p, out);
    }
    for (uint32_t item = x->told; item; item = gw_ru_next(&s->told, item)) {
        struct gw_ru_told *t = gw_ru_told_at(s, item);

        if (whole || is_of_session(all, t->window) || t->flags & GW_RU_UNSAVED)
            put_told(all, t, out);
    }
    gw_ru_counters_write(all, s, x, whole, out);
}

static void put_series(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, bool whole,
                       struct gw_buf *out)
{
    size_t at;
    uint32_t n;

    gw_buf_put_u8(out, 'S');
    put32(out, 0);
    at = out->n;
    gw_buf_put_u8(out, x->partition);
    put32(out, x->key_bytes);
    gw_buf_put(out, x->key, x->key_bytes);
    put_items(all, s, x, whole, out);
    n = (uint32_t)(out->n - at);
    if (!out->failed)
        memcpy(out->p + at - 4, &n, 4);
}

void gw_ru_record_panes(struct gw_ru_shared *all, bool whole, struct gw_buf *out)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++) {
        struct gw_ru_shard *s = &all->shards[i];
        const struct gw_ru_list *changed = &s->lists[GW_RU_CHANGED];

        (void)pthread_mutex_lock(&s->lock);
        for (uint32_t k = 0; whole && k < s->n_slots; k++)
            if (s->slots[k].series)
                put_series(all, s, gw_slabs_at(&s->series, s->slots[k].series), true, out);
        while (changed->n) {
            uint32_t series = changed->ids[changed->n - 1];

            if (!whole)
                put_series(all, s, gw_slabs_at(&s->series, series), false, out);
            gw_ru_list_remove(s, GW_RU_CHANGED, series);
        }
        gw_ru_shard_unlock(all, s);
    }
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static bool get(struct gw_slice *from, void *ret, size_t n)
{
    if (from->n < n)
        return false;
    memcpy(ret, from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    return true;
}

static bool get_part(struct gw_slice *from, struct gw_slice *ret)
{
    uint32_t n;

    if (!get(from, &n, sizeof(n)) || n > from->n)
        return false;
    *ret = gw_slice_of(from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    return true;
}

/* What a key is made of, before anybody walks it. */
static bool is_key(struct gw_slice key)
{
    struct gw_slice part = {0};

    for (unsigned i = 0; i < 3; i++)
        if (!get_part(&key, &part))
            return false;
    return part.n > 0; /* the metric: its type */
}

/* Those of sessions stand in their order, the others where there is room. */
static struct gw_ru_pane *place_for(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x,
                                    uint64_t id)
{
    uint32_t *link = &x->panes, item;

    if (!is_of_session(all, gw_ru_window_of(id)))
        return gw_ru_pane_get(all, s, x, id);
    item = gw_ru_pane_take(all, s, id);
    while (*link)
        link = gw_slabs_link(&s->panes, *link);
    *gw_slabs_link(&s->panes, item) = 0;
    *link = item;
    return gw_ru_pane_at(s, item);
}

static int read_pane(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice *rest)
{
    struct gw_ru_tail tail = {0};
    struct gw_ru_pane *p;
    uint64_t id;
    int rc;

    if (!get(rest, &id, sizeof(id)) || gw_ru_window_of(id) >= all->n_windows || !get(rest, &tail, all->tail_bytes))
        return -EBADMSG;
    rc = gw_slabs_reserve(&s->panes, 1);
    if (rc < 0)
        return rc;
    p = place_for(all, s, gw_slabs_at(&s->series, series), id);
    gw_agg_clear(&all->plan, p->state, &s->heap);
    memset(p->state, 0, all->plan.state_bytes);
    memcpy((uint8_t *)p->state + all->plan.state_bytes, &tail, all->tail_bytes);
    if (tail.is_new)
        gw_ru_list_add(s, GW_RU_NEWS, series);
    if (all->plan.has_big)
        gw_ru_shard_charge(s);
    return gw_agg_restore(&all->plan, p->state, &s->heap, rest);
}

static uint32_t told_of(const struct gw_ru_shard *s, const struct gw_ru_series *x, const struct gw_ru_told *like)
{
    uint32_t item = x->told;

    while (item && (gw_ru_told_at(s, item)->window != like->window || gw_ru_told_at(s, item)->key_ns != like->key_ns))
        item = gw_ru_next(&s->told, item);
    return item;
}

static int read_told(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, struct gw_slice *rest)
{
    struct gw_ru_told is = {0}, *t;
    uint32_t item;
    int rc;

    if (!get(rest, &is, sizeof(is)) || is.window >= all->n_windows || all->conf->emit.mode == GW_RU_FINAL)
        return -EBADMSG;
    rc = gw_slabs_reserve(&s->told, 1);
    if (rc < 0)
        return rc;
    item = told_of(s, x, &is);
    if (item && all->told_bytes) {
        gw_agg_clear(&all->plan, gw_ru_told_at(s, item)->state, &s->heap);
    } else if (!item) {
        item = gw_slabs_take(&s->told);
        *gw_slabs_link(&s->told, item) = x->told;
        x->told = item;
    }
    t = gw_ru_told_at(s, item);
    memset(t, 0, sizeof(*t) + all->told_bytes);
    *t = is;
    t->flags &= GW_RU_RETRACTED;
    if (!all->told_bytes)
        return 0;
    if (all->plan.has_big)
        gw_ru_shard_charge(s);
    return gw_agg_restore(&all->plan, t->state, &s->heap, rest);
}

/* Panes, and what was told: those of sessions, or all. */
static void forget_items(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, bool whole)
{
    uint32_t *link = &x->panes, item;

    while ((item = *link))
        if (whole || is_of_session(all, gw_ru_window_of(gw_ru_pane_at(s, item)->id))) {
            *link = gw_ru_next(&s->panes, item);
            gw_ru_pane_give(all, s, item);
        } else {
            link = gw_slabs_link(&s->panes, item);
        }
    for (link = &x->told; (item = *link);)
        if (whole || is_of_session(all, gw_ru_told_at(s, item)->window)) {
            *link = gw_ru_next(&s->told, item);
            gw_ru_told_give(all, s, item);
        } else {
            link = gw_slabs_link(&s->told, item);
        }
}

/* Of which some may be about to count. */
static int read_streams(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice rest)
{
    int rc = gw_ru_counters_read(all, s, series, rest);

    gw_ru_list_add(s, GW_RU_NEWS, series);
    return rc;
}

static int read_items(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice rest)
{
    struct gw_ru_series *x = gw_slabs_at(&s->series, series);
    uint8_t kind;
    int rc = 0;

    while (rc == 0 && get(&rest, &kind, 1)) {
        if (kind == 'P')
            rc = read_pane(all, s, series, &rest);
        else if (kind == 'D')
            rc = read_told(all, s, x, &rest);
        else if (kind == 'R')
            forget_items(all, s, x, false);
        else if (kind == GW_RU_STREAMS)
            return read_streams(all, s, series, rest);
        else
            return -EBADMSG;
    }
    return rc;
}

static int read_series(struct gw_ru_shared *all, struct gw_slice body)
{
    struct gw_ru_row r = {0};
    struct gw_ru_shard *s;
    struct gw_slice key;
    uint32_t series;
    uint8_t partition;
    int rc = -ENOSPC;

    if (!get(&body, &partition, 1) || partition >= GW_PARTITIONS || !get_part(&body, &key) || !is_key(key))
        return -EBADMSG;
    if (!(all->kept->partitions >> partition & 1) || body.n == 0)
        return 0;
    r.hash = gw_hash_table(key);
    r.key_bytes = (uint32_t)key.n;
    s = &all->shards[gw_ru_shard_of(gw_hash_stable(key))];
    (void)pthread_mutex_lock(&s->lock);
    series = gw_ru_series_get(all, s, &r, key.p, partition);
    if (series)
        rc = read_items(all, s, series, body);
    gw_ru_shard_unlock(all, s);
    return rc;
}

/* Removing one moves others into its slot, from behind: what comes there is looked at once more. */
static void each_series(struct gw_ru_shared *all, uint64_t partitions,
                        void (*look)(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x))
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++) {
        struct gw_ru_shard *s = &all->shards[i];

        (void)pthread_mutex_lock(&s->lock);
        for (uint32_t k = s->n_slots; k-- > 0;)
            while (s->slots[k].series) {
                uint32_t series = s->slots[k].series;
                struct gw_ru_series *x = gw_slabs_at(&s->series, series);

                if (!(partitions >> x->partition & 1))
                    break;
                look(all, s, x);
                if (x->panes || x->told || x->streams)
                    break;
                gw_ru_series_remove(all, s, series);
            }
        gw_ru_shard_unlock(all, s);
    }
}

static void forget_one(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x)
{
    forget_items(all, s, x, true);
    gw_ru_counters_expire(all, s, x, UINT64_MAX);
}

static void forget(struct gw_ru_shared *all, uint64_t partitions)
{
    struct gw_ru_kept *k = all->kept;

    each_series(all, partitions, forget_one);
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if (partitions >> i & 1)
            k->fired_ns[i] = k->covered_ns[i] = k->told_ns[i] = k->told_mark_ns[i] = k->begin_ns[i] = 0;
}

/* ---- what was gone --------------------------------------------------------------------------------------------- */

/* Of a pane its last window's. */
static bool has_ended(const struct gw_ru_shared *all, struct gw_ru_pane *p, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[gw_ru_window_of(p->id)];
    const struct gw_ru_tail *t;
    uint64_t end;

    if (w->type != GW_RU_SESSION) {
        end = gw_ru_last_end(w, gw_ru_number_of(p->id) * w->pane_ns);
    } else {
        t = gw_ru_tail(all, p);
        end = t->flags & GW_RU_FOLLOWED ? (t->first_ns / w->pane_ns + 1) * w->pane_ns : t->last_ns + w->gap_ns;
    }
    return end + w->lateness_ns <= mark_ns;
}

static bool has_gone(const struct gw_ru_shared *all, const struct gw_ru_shard *s, const struct gw_ru_series *x,
                     uint64_t mark_ns)
{
    uint32_t item = x->panes;

    while (item && has_ended(all, gw_ru_pane_at(s, item), mark_ns))
        item = gw_ru_next(&s->panes, item);
    return !item;
}

/*
 * A series that went when its last window was told stands in older records, with all that they say of it: everything
 * had ended then. Of one that is still there the latest session has not; its sessions are as they were written, and
 * what has ended of the other windows was told.
 */
static void settle_one(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x)
{
    uint64_t mark_ns = all->kept->fired_ns[x->partition];
    uint32_t *link = &x->panes, item;

    gw_ru_counters_catch_up(all, s, x, mark_ns);
    gw_ru_counters_expire(all, s, x, mark_ns);
    if (has_gone(all, s, x, mark_ns)) {
        forget_items(all, s, x, true);
        return;
    }
    while ((item = *link)) {
        struct gw_ru_pane *p = gw_ru_pane_at(s, item);

        if (is_of_session(all, gw_ru_window_of(p->id)) || !has_ended(all, p, mark_ns)) {
            link = gw_slabs_link(&s->panes, item);
            continue;
        }
        *link = gw_ru_next(&s->panes, item);
        gw_ru_pane_give(all, s, item);
    }
    for (link = &x->told; (item = *link);) {
        const struct gw_ru_told *t = gw_ru_told_at(s, item);

        if (is_of_session(all, t->window) || t->end_ns + all->windows[t->window].lateness_ns > mark_ns) {
            link = gw_slabs_link(&s->told, item);
            continue;
        }
        *link = gw_ru_next(&s->told, item);
        gw_ru_told_give(all, s, item);
    }
}

void gw_ru_record_settle(struct gw_ru_shared *all)
{
    each_series(all, UINT64_MAX, settle_one);
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

static void set_mark(struct gw_ru_shared *all, uint64_t top_ns, uint64_t seen_ns, uint64_t mark_ns)
{
    memset(&all->kept->mark, 0, sizeof(all->kept->mark));
    all->kept->now_ns = seen_ns;
    gw_ru_kept_watch(all->kept, top_ns);
    (void)gw_watermarks_set(all->marks, 0, mark_ns, true);
}

static void read_places(uint64_t partitions, uint64_t step_ns, uint64_t mark_ns, uint64_t *steps, uint64_t *marks)
{
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if (partitions >> i & 1) {
            steps[i] = step_ns > steps[i] ? step_ns : steps[i];
            marks[i] = mark_ns > marks[i] ? mark_ns : marks[i];
        }
}

static int read_entry(struct gw_ru_shared *all, uint8_t kind, struct gw_slice *rest)
{
    struct gw_slice body;
    uint64_t a, b, mark;

    if (kind == 'S')
        return get_part(rest, &body) ? read_series(all, body) : -EBADMSG;
    if (!get(rest, &a, sizeof(a)))
        return -EBADMSG;
    if (kind == 'W') {
        forget(all, a);
        return 0;
    }
    if ((kind != 'T' && kind != 'C' && kind != 'B' && kind != 'P' && kind != 'E') || !get(rest, &b, sizeof(b)) ||
        !get(rest, &mark, sizeof(mark)))
        return -EBADMSG;
    if (kind == 'E')
        set_mark(all, a, b, mark);
    else if (kind == 'P')
        gw_ru_cascade_raise(all, a, mark);
    else if (kind == 'T')
        read_places(a, b, mark, all->kept->covered_ns, all->kept->fired_ns);
    else if (kind == 'B')
        read_places(a, b, mark, all->kept->begin_ns, all->kept->begin_ns);
    else
        read_places(a, b, mark, all->kept->told_ns, all->kept->told_mark_ns);
    return 0;
}

int gw_ru_record_read(struct gw_ru_shared *all, struct gw_slice record)
{
    uint64_t settings, times;
    uint8_t kind;
    int rc = 0;

    while (rc == 0 && record.n) {
        if (!get(&record, &kind, 1))
            return -EBADMSG;
        if (kind != 'F') {
            rc = read_entry(all, kind, &record);
            continue;
        }
        if (!get(&record, &settings, sizeof(settings)) || !get(&record, &times, sizeof(times)))
            return -EBADMSG;
        if (settings != all->kept->settings) {
            all->kept->n_foreign++;
            return 0;
        }
        all->kept->other_times |= times != all->kept->times;
    }
    return rc;
}
