/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/rollup/counters.h"

#include <errno.h>
#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "otlp-proto/wire.h"
#include "processors/rollup/kept.h"

/* Found by its id; the series' streams are a chain. Waiting points from the earliest on. */
struct stream {
    struct gw_ru_stream_id id;
    struct gw_counter_point last;
    uint32_t series, next;
    uint32_t first, latest; /* waiting */
    uint16_t n_waiting;
    bool has_last, has_changed;
};
static struct stream *stream_at(const struct gw_ru_shard *s, uint32_t item)
{
    return gw_slabs_at(&s->counters.streams, item);
}

static struct gw_counter_point *waiting_at(const struct gw_ru_shard *s, uint32_t item)
{
    return gw_slabs_at(&s->counters.waiting, item);
}

static struct gw_ru_series *series_at(const struct gw_ru_shard *s, uint32_t item)
{
    return gw_slabs_at(&s->series, item);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(const void *arg, const void *item)
{
    (void)arg;
    return ((const struct stream *)item)->id.of[0];
}

void gw_ru_counters_init(struct gw_ru_counters *c, struct gw_budget *budget)
{
    gw_slabs_init(&c->streams, budget, sizeof(struct stream));
    gw_slabs_init(&c->waiting, budget, sizeof(struct gw_counter_point));
    gw_index_init(&c->index, &c->streams, hash_of, NULL);
}

void gw_ru_counters_clear(struct gw_ru_counters *c)
{
    gw_index_clear(&c->index);
    gw_slabs_clear(&c->streams);
    gw_slabs_clear(&c->waiting);
}

void gw_ru_counters_shrink(struct gw_ru_counters *c)
{
    gw_slabs_age(&c->streams);
    gw_slabs_age(&c->waiting);
    gw_slabs_release(&c->streams, UINT32_MAX);
    gw_slabs_release(&c->waiting, UINT32_MAX);
}

/* ---- which stream ------------------------------------------------------------------------------------------------ */

static struct gw_ru_stream_id id_of(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);

    return (struct gw_ru_stream_id){{h.low64, h.high64}};
}

static void add_id(struct gw_ru_stream_id *to, struct gw_ru_stream_id more)
{
    to->of[0] += more.of[0];
    to->of[1] += more.of[1];
}

/* An attribute as it is written, without tag and length. Hashes are added: who wrote them in which order does not
 * matter. */
static struct gw_ru_stream_id id_of_attr(const uint8_t *kv)
{
    uint64_t n = 0;
    const uint8_t *body = gw_varint_get(kv + 1, kv + 1 + GW_VARINT_MAX, GW_VARINT_MAX, &n);

    return id_of(body, n);
}

static struct gw_ru_stream_id id_of_attrs(struct gw_ru_input *in, enum gw_owner o, uint32_t index)
{
    const struct gw_batch *b = in->v->batch;
    struct gw_range range = gw_view_attr_range(in->v, o, index);
    struct gw_ru_stream_id sum = {{0, 0}};
    struct gw_attr_iter it;
    struct gw_slice key;
    struct gw_value value;

    if (!gw_view_is_patched(in->v, o, index)) {
        for (uint32_t a = range.begin; a < range.end; a++)
            add_id(&sum, id_of_attr(b->base + b->attrs[a].kv_off));
        return sum;
    }
    gw_view_attr_begin(in->v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value)) {
        size_t at = in->keys->n;

        gw_mw_attr_put(in->keys, key, &value);
        if (in->keys->failed)
            break;
        add_id(&sum, id_of_attr(in->keys->p + at));
        in->keys->n = at;
    }
    return sum;
}

/* What the points of a metric share. */
static struct gw_ru_stream_id id_of_metric(struct gw_ru_input *in, uint32_t row)
{
    const struct gw_batch *b = in->v->batch;
    const struct gw_metric_desc *m = &b->metrics[b->metric[row]];
    const struct gw_scope *scope = &b->scopes[b->scope[row]];
    const struct gw_slice texts[] = {gw_batch_slice(b, scope->name), gw_batch_slice(b, scope->version),
                                     gw_batch_slice(b, m->name), gw_batch_slice(b, m->unit)};
    struct gw_ru_stream_id parts[6];

    parts[0] = id_of_attrs(in, GW_OWN_RESOURCE, scope->resource);
    parts[1] = id_of_attrs(in, GW_OWN_SCOPE, b->scope[row]);
    for (unsigned i = 0; i < 4; i++)
        parts[2 + i] = id_of(texts[i].p, texts[i].n);
    return id_of(parts, sizeof(parts));
}

const char *gw_ru_count_read(struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to)
{
    const struct gw_batch *b = in->v->batch;
    struct gw_ru_count *c = gw_arena_alloc(in->v->arena, sizeof(*c));
    struct gw_ru_stream_id parts[2];

    if (!c)
        return "memory_limit";
    c->point = (struct gw_counter_point){b->start_ns[row], b->time_ns[row] ? b->time_ns[row] : in->now_ns, to->value};
    to->counter = c;
    if (!gw_counter_is_point(&c->point))
        return isnan(to->value.d) && !to->value.is_int ? "nan" : "bad_counter";
    if (in->stream_metric != b->metric[row] + 1) {
        in->stream_base = id_of_metric(in, row);
        in->stream_metric = b->metric[row] + 1;
    }
    parts[0] = in->stream_base;
    parts[1] = id_of_attrs(in, GW_OWN_ROW, row);
    c->id = id_of(parts, sizeof(parts));
    return in->keys->failed ? "memory_limit" : NULL;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Behind a journal, of its partition. */
static uint64_t *kept_begin(struct gw_ru_shared *all, const struct gw_ru_shard *s, uint32_t series)
{
    return &all->kept->begin_ns[series_at(s, series)->partition];
}

static void begin_now(struct gw_ru_shared *all, const struct gw_ru_shard *s, uint32_t series)
{
    *kept_begin(all, s, series) = all->kept->now_ns;
    all->kept->has_begun = true;
}

static uint64_t begin_of(struct gw_ru_shared *all, const struct gw_ru_shard *s, uint32_t series)
{
    return all->kept ? *kept_begin(all, s, series) : atomic_load_explicit(&all->begin_ns, memory_order_relaxed);
}

void gw_ru_counters_overflow(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series)
{
    if (all->kept)
        begin_now(all, s, series);
    else
        atomic_store_explicit(&all->begin_ns, gw_wall_ns(all->ctx->env), memory_order_relaxed);
}

/* What a first point says that was counted since its start. */
static bool counts_from_start(struct gw_ru_shared *all, const struct gw_ru_shard *s, const struct stream *x,
                              const struct gw_counter_point *p)
{
    const struct gw_ru_cumulative *c = &all->conf->cumulative;

    if (c->initial_value != GW_RU_INITIAL_AUTO)
        return c->initial_value == GW_RU_INITIAL_KEEP;
    return p->start_ns < p->time_ns && p->start_ns >= begin_of(all, s, x->series) &&
           (c->max_staleness_ns == 0 || p->time_ns - p->start_ns <= c->max_staleness_ns);
}

static bool is_known(const struct gw_ru_shared *all, const struct stream *x, const struct gw_counter_point *p)
{
    uint64_t most = all->conf->cumulative.max_staleness_ns;

    return x->has_last && (most == 0 || p->time_ns - x->last.time_ns <= most);
}

/* Its turn has come. mark_ns: 0 when it waited, which says that all of its windows were open to it. */
static void count(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x, const struct gw_counter_point *p,
                  uint64_t mark_ns)
{
    bool known = is_known(all, x, p);
    struct gw_agg_number up = known ? gw_counter_increase(&x->last, p) : p->value;

    x->has_changed = true;
    gw_ru_list_add(s, GW_RU_CHANGED, x->series);
    if ((known || counts_from_start(all, s, x, p)) && !gw_ru_shard_count(all, s, x->series, p->time_ns, &up, mark_ns)) {
        gw_metric_add(all->lost, 1);
        return;
    }
    x->last = *p;
    x->has_last = true;
}

static void drop_first(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x)
{
    uint32_t item = x->first;

    x->first = gw_ru_next(&s->counters.waiting, item);
    x->latest = x->first ? x->latest : 0;
    x->n_waiting--;
    gw_slabs_give(&s->counters.waiting, item);
    atomic_fetch_sub_explicit(&all->n_waiting, 1, memory_order_relaxed);
}

static void take_first(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x)
{
    struct gw_counter_point p = *waiting_at(s, x->first);

    drop_first(all, s, x);
    count(all, s, x, &p, 0);
}

/* None can come before it any more that would not be late. */
static bool is_in_order(const struct gw_ru_shared *all, uint64_t time_ns, uint64_t mark_ns)
{
    return time_ns + all->hold_ns < mark_ns;
}

static void settle(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x, uint64_t mark_ns)
{
    while (x->first && is_in_order(all, waiting_at(s, x->first)->time_ns, mark_ns))
        take_first(all, s, x);
}

void gw_ru_counters_settle(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, uint64_t mark_ns)
{
    for (uint32_t item = series_at(s, series)->streams; item; item = stream_at(s, item)->next)
        settle(all, s, stream_at(s, item), mark_ns);
}

bool gw_ru_counters_wait(const struct gw_ru_shard *s, const struct gw_ru_series *x)
{
    uint32_t item = x->streams;

    while (item && !stream_at(s, item)->first)
        item = stream_at(s, item)->next;
    return item;
}

/* ---- points that come -------------------------------------------------------------------------------------------- */

/* One that was counted in an overflow is another one there, whether both are in one shard or not. */
static uint32_t find(const struct gw_ru_shard *s, uint32_t series, const struct gw_ru_stream_id *id)
{
    uint32_t item = gw_index_first(&s->counters.index, id->of[0]);

    while (item && (stream_at(s, item)->series != series || memcmp(&stream_at(s, item)->id, id, sizeof(*id)) != 0))
        item = gw_ru_next(&s->counters.streams, item);
    return item;
}

/* 0: no memory. */
static uint32_t get(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, const struct gw_ru_stream_id *id)
{
    uint32_t item = find(s, series, id);
    struct stream *x;

    if (item)
        return item;
    if (gw_slabs_reserve(&s->counters.streams, 1) < 0 || gw_index_reserve(&s->counters.index) < 0)
        return 0;
    item = gw_slabs_take(&s->counters.streams);
    x = stream_at(s, item);
    *x = (struct stream){.id = *id, .series = series, .next = series_at(s, series)->streams};
    series_at(s, series)->streams = item;
    gw_index_insert(&s->counters.index, id->of[0], item);
    atomic_fetch_add_explicit(&all->n_streams, 1, memory_order_relaxed);
    return item;
}

/* Behind those that are not later; a point that is there already stays one. There is room. */
static void wait(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x, const struct gw_counter_point *p)
{
    struct gw_slabs *all_waiting = &s->counters.waiting;
    uint32_t *link = &x->first, item;
    int c = -1;

    if (x->latest)
        c = gw_counter_compare(waiting_at(s, x->latest), p);
    if (x->latest && c < 0)
        link = gw_slabs_link(all_waiting, x->latest);
    while (*link && (c = gw_counter_compare(waiting_at(s, *link), p)) < 0)
        link = gw_slabs_link(all_waiting, *link);
    if (c == 0)
        return;
    item = gw_slabs_take(all_waiting);
    *waiting_at(s, item) = *p;
    *gw_slabs_link(all_waiting, item) = *link;
    x->latest = *link ? x->latest : item;
    *link = item;
    x->n_waiting++;
    atomic_fetch_add_explicit(&all->n_waiting, 1, memory_order_relaxed);
}

int gw_ru_counters_add(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, const struct gw_ru_count *c,
                       uint64_t mark_ns)
{
    struct stream *x;
    uint32_t item;

    if (all->kept && *kept_begin(all, s, series) == 0)
        begin_now(all, s, series);
    if (gw_slabs_reserve(&s->counters.waiting, 1) < 0)
        return GW_RU_FULL;
    item = get(all, s, series, &c->id);
    if (!item)
        return GW_RU_FULL;
    x = stream_at(s, item);
    x->has_changed = true;
    settle(all, s, x, mark_ns);
    if (x->n_waiting == GW_RU_MAX_WAITING)
        take_first(all, s, x);
    if (x->has_last && c->point.time_ns <= x->last.time_ns)
        return gw_counter_compare(&c->point, &x->last) == 0 ? GW_RU_TAKEN : GW_RU_LATE;
    if (is_in_order(all, c->point.time_ns, mark_ns))
        count(all, s, x, &c->point, mark_ns);
    else
        wait(all, s, x, &c->point);
    return GW_RU_TAKEN;
}

/* ---- expiry ------------------------------------------------------------------------------------------------------ */

static void drop_waiting(struct gw_ru_shared *all, struct gw_ru_shard *s, struct stream *x)
{
    while (x->first) {
        uint32_t next = gw_ru_next(&s->counters.waiting, x->first);

        gw_slabs_give(&s->counters.waiting, x->first);
        atomic_fetch_sub_explicit(&all->n_waiting, 1, memory_order_relaxed);
        x->first = next;
    }
    x->latest = x->n_waiting = 0;
}

static void remove_stream(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t item)
{
    struct stream *x = stream_at(s, item);

    drop_waiting(all, s, x);
    gw_index_remove(&s->counters.index, x->id.of[0], item);
    gw_slabs_give(&s->counters.streams, item);
    atomic_fetch_sub_explicit(&all->n_streams, 1, memory_order_relaxed);
}

/* A point that comes now is late, or so much later that the stream begins anew. */
static bool is_forgotten(const struct gw_ru_shared *all, const struct stream *x, uint64_t mark_ns)
{
    uint64_t most = all->conf->cumulative.max_staleness_ns;
    bool is_open = false;

    if (mark_ns == UINT64_MAX)
        return true;
    if (x->first || (x->has_last && most == 0))
        return false;
    for (unsigned i = 0; i < all->n_windows && x->has_last; i++)
        is_open |= gw_ru_is_open(&all->windows[i], x->last.time_ns + most, mark_ns);
    return !is_open;
}

void gw_ru_counters_catch_up(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *series,
                             uint64_t mark_ns)
{
    for (uint32_t item = series->streams; item; item = stream_at(s, item)->next) {
        struct stream *x = stream_at(s, item);

        while (x->first && is_in_order(all, waiting_at(s, x->first)->time_ns, mark_ns)) {
            x->last = *waiting_at(s, x->first);
            x->has_last = true;
            drop_first(all, s, x);
        }
    }
}

void gw_ru_counters_expire(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *series,
                           uint64_t mark_ns)
{
    uint32_t *link = &series->streams;

    while (*link) {
        uint32_t item = *link, next = stream_at(s, item)->next;

        if (!is_forgotten(all, stream_at(s, item), mark_ns)) {
            link = &stream_at(s, item)->next;
            continue;
        }
        remove_stream(all, s, item);
        *link = next;
    }
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/*
 * stream: id 16 bytes │ n u16 │ has_last u8 │ last: point, when it has │ n waiting: point
 * point: start u64, time u64 │ is_int u8, value 8 bytes
 */
static void put_point(struct gw_buf *out, const struct gw_counter_point *p)
{
    gw_buf_put(out, &p->start_ns, 8);
    gw_buf_put(out, &p->time_ns, 8);
    gw_buf_put_u8(out, p->value.is_int);
    gw_buf_put(out, &p->value.i, 8);
}

static void put_stream(const struct gw_ru_shard *s, const struct stream *x, struct gw_buf *out)
{
    gw_buf_put(out, &x->id, sizeof(x->id));
    gw_buf_put(out, &x->n_waiting, sizeof(x->n_waiting));
    gw_buf_put_u8(out, x->has_last);
    if (x->has_last)
        put_point(out, &x->last);
    for (uint32_t item = x->first; item; item = gw_ru_next(&s->counters.waiting, item))
        put_point(out, waiting_at(s, item));
}

void gw_ru_counters_write(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, bool whole,
                          struct gw_buf *out)
{
    bool has_any = false;

    (void)all;
    for (uint32_t item = x->streams; item; item = stream_at(s, item)->next) {
        struct stream *one = stream_at(s, item);

        if (!whole && !one->has_changed)
            continue;
        one->has_changed = false;
        if (!has_any)
            gw_buf_put_u8(out, GW_RU_STREAMS);
        has_any = true;
        put_stream(s, one, out);
    }
}

static bool take(struct gw_slice *from, void *ret, size_t n)
{
    if (from->n < n)
        return false;
    memcpy(ret, from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    return true;
}

static bool take_point(struct gw_slice *from, struct gw_counter_point *ret)
{
    uint8_t is_int;

    *ret = (struct gw_counter_point){0};
    if (!take(from, &ret->start_ns, 8) || !take(from, &ret->time_ns, 8) || !take(from, &is_int, 1) ||
        !take(from, &ret->value.i, 8))
        return false;
    ret->value.is_int = is_int;
    return is_int <= 1 && gw_counter_is_point(ret);
}

/* What there was of it is of a record before. */
static int take_stream(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice *from)
{
    struct gw_ru_stream_id id;
    struct gw_counter_point p;
    struct stream *x;
    uint16_t n;
    uint8_t has_last;
    uint32_t item;

    if (!take(from, &id, sizeof(id)) || !take(from, &n, sizeof(n)) || !take(from, &has_last, 1))
        return -EBADMSG;
    item = get(all, s, series, &id);
    if (!item || gw_slabs_reserve(&s->counters.waiting, n) < 0)
        return -ENOSPC;
    x = stream_at(s, item);
    drop_waiting(all, s, x);
    x->has_last = has_last;
    if (has_last && !take_point(from, &x->last))
        return -EBADMSG;
    for (; n > 0; n--) {
        if (!take_point(from, &p))
            return -EBADMSG;
        wait(all, s, x, &p);
    }
    return 0;
}

int gw_ru_counters_read(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, struct gw_slice from)
{
    int rc = 0;

    while (from.n && rc == 0)
        rc = take_stream(all, s, series, &from);
    return rc;
}
