/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/sums.h"

#include <errno.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { SPARE_BYTES = 1 << 20, EXP_BYTES_MAX = 2 * GW_RW_BUCKETS_MAX * GW_VARINT_MAX };

/** What a series has come to. Counts of buckets, `room` of them or of an exponential histogram, stand behind. */
struct totals {
    uint64_t last_ns, count, zero_count, whole; /* whole: of a number, its integers */
    double sum, zero_threshold;                 /* of a number: the rest of it */
    bool started, fraction, has_sum;
};

/**
 * Data of a node. `before` is what the totals were before the last translation that added to them, whose first point of
 * this series was of first_ns: should the same come again, it begins there.
 */
struct sum {
    uint64_t start_ns, first_ns;
    uint32_t call; /* epoch of that translation */
    uint32_t room; /* bytes of bounds, of counts: each as many */
    uint32_t bounds_n, counts_n;
    struct totals now, before;
    uint8_t tail[]; /* bounds │ counts now │ counts before; or two gw_rw_exp_sum */
};

static const struct gw_rw_refusal old = {"delta_order", "a delta point is not newer than the last one of its series"};
static const struct gw_rw_refusal crowded = {"delta_series", "more delta series come at once than sums are kept of"};
static const struct gw_rw_refusal too_wide = {"histogram_scale", "delta histograms are too far from each other to be "
                                                                 "added up"};

static void no_release(struct gw_rw_cache *c, struct gw_rw_node *n)
{
    (void)c;
    (void)n;
}

int gw_rw_sums_init(struct gw_rw_sums *s, uint64_t seed, uint64_t max_bytes)
{
    *s = (struct gw_rw_sums){0};
    gw_buf_init(&s->key, SIZE_MAX / 4);
    if (gw_rw_cache_init(&s->cache, seed, max_bytes) < 0)
        return -ENOMEM;
    s->cache.release = no_release;
    return 0;
}

void gw_rw_sums_clear(struct gw_rw_sums *s)
{
    if (s->cache.release)
        gw_rw_cache_clear(&s->cache);
    gw_buf_clear(&s->key);
    free(s->bytes);
}

/* ---- the shadow -------------------------------------------------------------------------------------------- */

static void *copy(struct gw_arena *arena, const void *from, size_t n)
{
    void *p = gw_arena_alloc(arena, n + 1);

    if (p && n)
        memcpy(p, from, n);
    return p;
}

static int make_shadow(struct gw_rw_sums *s, const struct gw_batch *b, struct gw_arena *arena)
{
    size_t cap = 2 * (size_t)b->payload->n + SPARE_BYTES;
    struct gw_batch *x = &s->shadow;

    if (cap > UINT32_MAX)
        return -ENOMEM;
    if (s->cap < cap) {
        free(s->bytes);
        s->cap = 0;
        s->bytes = malloc(cap);
        if (!s->bytes)
            return -ENOMEM;
        s->cap = cap;
    }
    memcpy(s->bytes, b->base, b->payload->n);
    s->n = s->payload_n = b->payload->n;
    *x = *b;
    x->base = s->bytes;
    x->number = copy(arena, b->number, b->n_rows * sizeof(*b->number));
    x->number_type = copy(arena, b->number_type, b->n_rows);
    x->start_ns = copy(arena, b->start_ns, b->n_rows * sizeof(*b->start_ns));
    x->hists = copy(arena, b->hists, b->n_hists * sizeof(*b->hists));
    x->exphists = copy(arena, b->exphists, b->n_exphists * sizeof(*b->exphists));
    return x->number && x->number_type && x->start_ns && x->hists && x->exphists ? 0 : -ENOMEM;
}

int gw_rw_sums_begin(struct gw_rw_sums *s, const struct gw_batch *b, struct gw_arena *arena,
                     const struct gw_batch **ret)
{
    int r;

    if (++s->cache.epoch > UINT32_MAX / 2) { /* or numbers would be used twice */
        gw_rw_cache_reset(&s->cache);
        s->cache.epoch = 1;
    }
    *ret = b;
    for (uint32_t i = 0; i < b->n_metrics; i++)
        if (b->metrics[i].temporality == GW_T_DELTA) {
            r = make_shadow(s, b, arena);
            *ret = &s->shadow;
            return r;
        }
    return 0;
}

static size_t counts_bytes(const struct gw_batch *b, uint32_t row)
{
    if (b->number_type[row] == GW_N_EXP_HISTOGRAM)
        return EXP_BYTES_MAX;
    return b->number_type[row] == GW_N_HISTOGRAM ? b->hists[b->number[row].u64].counts.len : 0;
}

bool gw_rw_sums_room(const struct gw_rw_sums *s, uint32_t row)
{
    return s->n + counts_bytes(&s->shadow, row) <= s->cap;
}

void gw_rw_sums_forget(struct gw_rw_sums *s)
{
    s->n = s->payload_n;
}

/* ---- nodes ------------------------------------------------------------------------------------------------- */

static size_t tail_bytes(const struct gw_batch *b, uint32_t row, uint32_t *ret_room)
{
    const struct gw_hist *h;

    *ret_room = 0;
    if (b->number_type[row] == GW_N_EXP_HISTOGRAM)
        return 2 * sizeof(struct gw_rw_exp_sum);
    if (b->number_type[row] != GW_N_HISTOGRAM)
        return 0;
    h = &b->hists[b->number[row].u64];
    *ret_room = h->counts.len > h->bounds.len ? h->counts.len : h->bounds.len;
    return 3 * (size_t)*ret_room;
}

/** Buckets that a series did not have room for: a key of its own, so that the old sum ages. Errors: -ENOSPC, -ENOMEM.
 */
static int node_of(struct gw_rw_sums *s, uint32_t row, struct gw_slice labels, struct gw_rw_node **ret)
{
    uint32_t room;
    size_t bytes = sizeof(struct sum) + tail_bytes(&s->shadow, row, &room);
    struct gw_slice key;
    struct gw_rw_node *n;
    uint64_t hash;

    gw_buf_reset(&s->key);
    gw_buf_put_u8(&s->key, s->shadow.number_type[row] == GW_N_INT ? GW_N_DOUBLE : s->shadow.number_type[row]);
    gw_buf_put(&s->key, &room, sizeof(room));
    gw_buf_put_slice(&s->key, labels);
    if (s->key.failed)
        return -ENOMEM;
    key = gw_buf_slice(&s->key);
    hash = gw_rw_hash(&s->cache, NULL, GW_RW_SERIES, key);
    n = gw_rw_find(&s->cache, hash, NULL, GW_RW_SERIES, key);
    if (!n) {
        if (!gw_rw_make_room(&s->cache, gw_rw_node_bytes(key.n, bytes)))
            return -ENOSPC;
        n = gw_rw_node_new(GW_RW_SERIES, NULL, key, bytes);
        if (!n || gw_rw_insert(&s->cache, n, hash) < 0) {
            free(n);
            return -ENOMEM;
        }
        ((struct sum *)(void *)gw_rw_data(n))->room = room;
    }
    gw_rw_touch(&s->cache, n);
    *ret = n;
    return 0;
}

static void swap_counts(struct sum *x, uint8_t type, bool back)
{
    size_t n = type == GW_N_EXP_HISTOGRAM ? sizeof(struct gw_rw_exp_sum) : x->room;
    uint8_t *now = type == GW_N_EXP_HISTOGRAM ? x->tail : x->tail + x->room;

    if (n)
        memcpy(back ? now : now + n, back ? now + n : now, n);
}

/** Where the row stands in time: false when it was counted already. */
static bool turn_to(struct gw_rw_sums *s, struct sum *x, uint64_t time_ns, uint8_t type)
{
    if (x->call != s->cache.epoch) {
        if (x->now.started && time_ns == x->first_ns && time_ns > x->before.last_ns) { /* the last batch again */
            x->now = x->before;
            swap_counts(x, type, true);
        }
        if (x->now.started && time_ns <= x->now.last_ns)
            return false;
        x->before = x->now;
        swap_counts(x, type, false);
        x->first_ns = time_ns;
        x->call = s->cache.epoch;
        return true;
    }
    return time_ns > x->now.last_ns;
}

/* ---- adding ------------------------------------------------------------------------------------------------ */

static void add_number(struct gw_rw_sums *s, uint32_t row, struct totals *t)
{
    struct gw_batch *b = &s->shadow;

    if (b->number_type[row] == GW_N_INT)
        t->whole += b->number[row].u64;
    if (b->number_type[row] == GW_N_DOUBLE) {
        t->sum += b->number[row].f64;
        t->fraction = true;
    }
    if (t->fraction) {
        b->number_type[row] = GW_N_DOUBLE;
        b->number[row].f64 = t->sum + (double)(int64_t)t->whole;
    } else {
        b->number_type[row] = GW_N_INT;
        b->number[row].u64 = t->whole;
    }
}

/** Other bounds than before: the buckets begin anew, and with them the rest. */
static void begin_buckets(struct sum *x, const struct gw_batch *b, const struct gw_hist *h)
{
    x->now = (struct totals){.last_ns = x->now.last_ns, .started = true, .has_sum = true};
    x->before = (struct totals){.last_ns = x->before.last_ns, .started = x->before.started, .has_sum = true};
    x->bounds_n = h->bounds.len;
    x->counts_n = h->counts.len;
    if (h->bounds.len)
        memcpy(x->tail, b->base + h->bounds.off, h->bounds.len);
    memset(x->tail + x->room, 0, 2 * (size_t)x->room);
}

static struct gw_ref append(struct gw_rw_sums *s, const void *p, uint32_t n)
{
    struct gw_ref r = {(uint32_t)s->n, n};

    if (n)
        memcpy(s->bytes + s->n, p, n);
    s->n += n;
    return r;
}

static void add_buckets(struct gw_rw_sums *s, uint32_t row, struct sum *x)
{
    struct gw_batch *b = &s->shadow;
    struct gw_hist *h = &b->hists[b->number[row].u64];
    uint8_t *counts = x->tail + x->room;
    bool anew = x->now.count == 0 && x->bounds_n == 0 && x->counts_n == 0;

    if (anew || x->bounds_n != h->bounds.len || x->counts_n != h->counts.len ||
        (h->bounds.len && memcmp(x->tail, b->base + h->bounds.off, h->bounds.len) != 0)) {
        begin_buckets(x, b, h);
        x->start_ns = b->start_ns[row];
    }
    for (uint32_t i = 0; i < h->counts.len; i += 8) {
        uint64_t v = gw_load64(counts + i) + gw_load64(b->base + h->counts.off + i);

        memcpy(counts + i, &v, 8);
    }
    x->now.count += h->count;
    x->now.sum += h->has_sum ? h->sum : 0;
    x->now.has_sum = x->now.has_sum && h->has_sum;
    h->count = x->now.count;
    h->sum = x->now.sum;
    h->has_sum = x->now.has_sum;
    h->counts = append(s, counts, h->counts.len);
}

static struct gw_ref append_side(struct gw_rw_sums *s, const struct gw_rw_side *side)
{
    uint8_t *from = s->bytes + s->n, *p = from;
    struct gw_ref r = {(uint32_t)s->n, 0};

    for (uint32_t i = 0; i < side->n; i++)
        p = gw_varint_put(p, side->counts[i]);
    r.len = (uint32_t)(p - from);
    s->n += r.len;
    return r;
}

static bool add_exponential(struct gw_rw_sums *s, uint32_t row, struct sum *x)
{
    struct gw_batch *b = &s->shadow;
    struct gw_exphist *h = &b->exphists[b->number[row].u64];
    struct gw_rw_exp_sum *sum = (struct gw_rw_exp_sum *)(void *)x->tail;

    if (!gw_rw_exp_add(sum, b, h))
        return false;
    x->now.has_sum = (x->now.has_sum || !x->now.started) && h->has_sum;
    x->now.count += h->count;
    x->now.zero_count += h->zero_count;
    x->now.sum += h->has_sum ? h->sum : 0;
    if (h->zero_threshold > x->now.zero_threshold)
        x->now.zero_threshold = h->zero_threshold;
    h->count = x->now.count;
    h->zero_count = x->now.zero_count;
    h->sum = x->now.sum;
    h->has_sum = x->now.has_sum;
    h->zero_threshold = x->now.zero_threshold;
    h->scale = sum->scale;
    h->positive = append_side(s, &sum->positive);
    h->negative = append_side(s, &sum->negative);
    h->n_positive = sum->positive.n;
    h->n_negative = sum->negative.n;
    h->positive_offset = sum->positive.offset;
    h->negative_offset = sum->negative.offset;
    return true;
}

int gw_rw_sums_add(struct gw_rw_sums *s, uint32_t row, struct gw_slice labels, const struct gw_rw_refusal **why)
{
    struct gw_batch *b = &s->shadow;
    uint8_t type = b->number_type[row];
    struct gw_rw_node *n;
    struct sum *x;
    int r;

    if (b->flags[row] & 1) /* nothing was recorded: nothing to add, and the marker is sent as it is */
        return 0;
    *why = &crowded;
    r = node_of(s, row, labels, &n);
    if (r < 0)
        return r == -ENOSPC ? -EINVAL : r;
    x = (struct sum *)(void *)gw_rw_data(n);
    *why = &old;
    if (!turn_to(s, x, b->time_ns[row], type))
        return -EINVAL;
    if (!x->now.started)
        x->start_ns = b->start_ns[row];
    *why = &too_wide;
    if (type == GW_N_HISTOGRAM)
        add_buckets(s, row, x);
    else if (type != GW_N_EXP_HISTOGRAM)
        add_number(s, row, &x->now);
    else if (!add_exponential(s, row, x))
        return -EINVAL;
    x->now.started = true;
    x->now.last_ns = b->time_ns[row];
    b->start_ns[row] = x->start_ns;
    return 0;
}
