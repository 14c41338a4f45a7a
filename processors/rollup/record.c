/* SPDX-License-Identifier: Apache-2.0 */
/* Panes as records (kept.h). The same panes give the same bytes, but for the order of series. */
#include <errno.h>

#include "core/hash.h"
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
    for (uint32_t item = x->panes; item; item = gw_ru_next(&s->panes, item)) {
        struct gw_ru_pane *p = gw_slabs_at(&s->panes, item);

        if (!whole && !*gw_ru_pane_changed(all, p))
            continue;
        *gw_ru_pane_changed(all, p) = 0;
        put64(out, p->id);
        gw_agg_save(&all->plan, p->state, out);
    }
    gw_ru_counters_write(all, s, x, whole, out);
    n = (uint32_t)(out->n - at);
    if (!out->failed)
        memcpy(out->p + at - 4, &n, 4);
    x->changed_at = 0;
}

void gw_ru_record_panes(struct gw_ru_shared *all, bool whole, struct gw_buf *out)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++) {
        struct gw_ru_shard *s = &all->shards[i];

        (void)pthread_mutex_lock(&s->lock);
        for (uint32_t k = 0; whole && k < s->n_slots; k++)
            if (s->slots[k].series)
                put_series(all, s, gw_slabs_at(&s->series, s->slots[k].series), true, out);
        for (uint32_t k = 0; !whole && k < s->n_changed; k++)
            if (s->changed[k])
                put_series(all, s, gw_slabs_at(&s->series, s->changed[k]), false, out);
        s->n_changed = 0;
        gw_ru_shard_unlock(all, s);
    }
}

bool gw_ru_record_has_news(const struct gw_ru_shared *all)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++)
        if (all->shards[i].n_changed)
            return true;
    return false;
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

static int read_panes(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice rest)
{
    struct gw_ru_series *x = gw_slabs_at(&s->series, series);
    int rc = 0;

    while (rest.n && rc == 0) {
        struct gw_ru_pane *p;
        uint64_t id;

        if (!get(&rest, &id, sizeof(id)))
            return -EBADMSG;
        if (id == GW_RU_STREAMS)
            return gw_ru_counters_read(all, s, series, rest);
        if (gw_ru_window_of(id) >= all->n_windows)
            return -EBADMSG;
        rc = gw_slabs_reserve(&s->panes, 1);
        if (rc < 0)
            break;
        p = gw_ru_pane_get(all, s, x, id);
        gw_agg_clear(&all->plan, p->state, &s->heap);
        memset(p->state, 0, all->plan.state_bytes);
        if (all->plan.has_big)
            gw_ru_shard_charge(s);
        rc = gw_agg_restore(&all->plan, p->state, &s->heap, &rest);
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
        rc = read_panes(all, s, series, body);
    gw_ru_shard_unlock(all, s);
    return rc;
}

static void forget_series(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series)
{
    struct gw_ru_series *x = gw_slabs_at(&s->series, series);

    while (x->panes) {
        uint32_t item = x->panes;

        x->panes = gw_ru_next(&s->panes, item);
        gw_ru_pane_give(all, s, item);
    }
    gw_ru_counters_expire(all, s, x, UINT64_MAX);
    gw_ru_series_remove(all, s, series);
}

/* Removing one moves others into its slot, from behind: what comes there is looked at once more. */
static void forget(struct gw_ru_shared *all, uint64_t partitions)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++) {
        struct gw_ru_shard *s = &all->shards[i];

        (void)pthread_mutex_lock(&s->lock);
        for (uint32_t k = s->n_slots; k-- > 0;)
            while (s->slots[k].series &&
                   (partitions >> ((struct gw_ru_series *)gw_slabs_at(&s->series, s->slots[k].series))->partition & 1))
                forget_series(all, s, s->slots[k].series);
        gw_ru_shard_unlock(all, s);
    }
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if (partitions >> i & 1)
            all->kept->fired_ns[i] = all->kept->covered_ns[i] = all->kept->begin_ns[i] = all->kept->raised_ns[i] = 0;
}

static void set_mark(struct gw_ru_shared *all, uint64_t top_ns, uint64_t seen_ns, uint64_t mark_ns)
{
    memset(&all->kept->mark, 0, sizeof(all->kept->mark));
    all->kept->now_ns = seen_ns;
    gw_ru_kept_watch(all->kept, top_ns);
    (void)gw_watermarks_set(all->marks, 0, mark_ns, true);
}

static int read_entry(struct gw_ru_shared *all, uint8_t kind, struct gw_slice *rest)
{
    struct gw_slice body;
    uint64_t a, b, mark, *of;

    if (kind == 'S')
        return get_part(rest, &body) ? read_series(all, body) : -EBADMSG;
    if (!get(rest, &a, sizeof(a)))
        return -EBADMSG;
    if (kind == 'W') {
        forget(all, a);
        return 0;
    }
    if (!get(rest, &b, sizeof(b)) || (kind != 'M' && kind != 'T' && kind != 'B' && kind != 'P' && kind != 'E'))
        return -EBADMSG;
    if (kind == 'E') {
        if (!get(rest, &mark, sizeof(mark)))
            return -EBADMSG;
        set_mark(all, a, b, mark);
        return 0;
    }
    if (kind == 'P')
        gw_ru_cascade_raise(all, a, b);
    of = kind == 'M'   ? all->kept->fired_ns
         : kind == 'B' ? all->kept->begin_ns
         : kind == 'P' ? all->kept->raised_ns
                       : all->kept->covered_ns;
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if ((a >> i & 1) && b > of[i])
            of[i] = b;
    return 0;
}

int gw_ru_record_read(struct gw_ru_shared *all, struct gw_slice record)
{
    uint64_t settings;
    uint8_t kind;
    int rc = 0;

    while (rc == 0 && record.n) {
        if (!get(&record, &kind, 1))
            return -EBADMSG;
        if (kind != 'F') {
            rc = read_entry(all, kind, &record);
            continue;
        }
        if (!get(&record, &settings, sizeof(settings)))
            return -EBADMSG;
        if (settings != all->kept->settings) {
            all->kept->n_foreign++;
            return 0;
        }
    }
    return rc;
}
