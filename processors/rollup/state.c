/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: open addressing, linear probing, at most three quarters full; a hole is closed by moving back what follows. */
#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "pipeline/host.h"
#include "processors/rollup/kept.h"

enum { FIRST_SLOTS = 64, MALLOC_BYTES = 16 /* what malloc takes beside */ };

static uint32_t pane_bytes(const struct gw_ru_shared *all)
{
    return (uint32_t)sizeof(struct gw_ru_pane) + all->plan.state_bytes + all->tail_bytes +
           (all->kept ? (uint32_t)sizeof(uint64_t) : 0);
}

/* Slabs of an eighth of the usual size: there are three pools in each of many shards, and their last slabs are half
 * empty. */
static void init_slabs(struct gw_ru_shard *s, uint32_t bytes_of_pane, uint32_t bytes_of_told)
{
    uint64_t max_bytes = s->budget.max_bytes;

    s->budget.max_bytes /= 8;
    gw_slabs_init(&s->series, &s->budget, sizeof(struct gw_ru_series));
    gw_slabs_init(&s->panes, &s->budget, bytes_of_pane);
    gw_slabs_init(&s->told, &s->budget, bytes_of_told);
    gw_ru_counters_init(&s->counters, &s->budget);
    s->budget.max_bytes = max_bytes;
}

int gw_ru_shard_init(struct gw_ru_shard *s, struct gw_ru_shared *all)
{
    s->budget = (struct gw_budget){.max_bytes = all->max_bytes / GW_RU_N_SHARDS,
                                   .process = all->ctx->host ? all->ctx->host->memory : NULL};
    init_slabs(s, pane_bytes(all), (uint32_t)sizeof(struct gw_ru_told) + all->told_bytes);
    s->lists[GW_RU_CHANGED].is_used = all->kept != NULL;
    s->lists[GW_RU_NEWS].is_used = all->conf->emit.mode != GW_RU_FINAL;
    return pthread_mutex_init(&s->lock, NULL) ? -ENOMEM : 0;
}

static struct gw_ru_series *series_at(const struct gw_ru_shard *s, uint32_t id)
{
    return gw_slabs_at(&s->series, id);
}

void gw_ru_shard_clear(struct gw_ru_shard *s, const struct gw_ru_shared *all)
{
    for (uint32_t i = 0; i < s->n_slots; i++) {
        struct gw_ru_series *x;

        if (!s->slots[i].series)
            continue;
        x = series_at(s, s->slots[i].series);
        for (uint32_t item = x->panes; item; item = gw_ru_next(&s->panes, item))
            gw_agg_clear(&all->plan, gw_ru_pane_at(s, item)->state, &s->heap);
        for (uint32_t item = x->told; item && all->told_bytes; item = gw_ru_next(&s->told, item))
            gw_agg_clear(&all->plan, gw_ru_told_at(s, item)->state, &s->heap);
        gw_budget_give(&s->budget, x->key_bytes + MALLOC_BYTES);
        free(x->key);
    }
    gw_budget_give(&s->budget, s->n_slots * sizeof(*s->slots) + s->charged_bytes);
    free(s->slots);
    gw_ru_lists_clear(s);
    gw_slabs_clear(&s->series);
    gw_slabs_clear(&s->panes);
    gw_slabs_clear(&s->told);
    gw_ru_counters_clear(&s->counters);
    (void)pthread_mutex_destroy(&s->lock);
}

/* ---- series --------------------------------------------------------------------------------------------------- */

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static bool grow(struct gw_ru_shard *s)
{
    uint32_t n = s->n_slots ? s->n_slots * 2 : FIRST_SLOTS, mask = n - 1;
    size_t bytes = n * sizeof(*s->slots);
    typeof(s->slots) slots;

    if (!gw_budget_take(&s->budget, bytes))
        return false;
    slots = calloc(n, sizeof(*slots));
    if (!slots) {
        gw_budget_give(&s->budget, bytes);
        return false;
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        uint32_t at;

        if (!s->slots[i].series)
            continue;
        at = (uint32_t)series_at(s, s->slots[i].series)->hash & mask;
        while (slots[at].series)
            at = (at + 1) & mask;
        slots[at] = s->slots[i];
    }
    free(s->slots);
    gw_budget_give(&s->budget, s->n_slots * sizeof(*s->slots));
    s->slots = slots;
    s->n_slots = n;
    return true;
}

static uint32_t find(const struct gw_ru_shard *s, const uint8_t *key, uint32_t key_bytes, uint64_t hash)
{
    uint32_t mask = s->n_slots - 1;

    if (!s->n_slots)
        return 0;
    for (uint32_t i = (uint32_t)hash & mask; s->slots[i].series; i = (i + 1) & mask) {
        const struct gw_ru_series *x;

        if (s->slots[i].tag != tag_of(hash))
            continue;
        x = series_at(s, s->slots[i].series);
        if (x->key_bytes == key_bytes && memcmp(x->key, key, key_bytes) == 0)
            return s->slots[i].series;
    }
    return 0;
}

/* 0: no memory. */
static uint32_t add(struct gw_ru_shard *s, const uint8_t *key, uint32_t key_bytes, uint64_t hash)
{
    uint64_t bytes = key_bytes + MALLOC_BYTES;
    struct gw_ru_series *x;
    uint32_t id, i;
    uint8_t *copy;

    if (key_bytes > GW_RU_MAX_KEY_BYTES)
        return 0;
    if ((uint64_t)(s->n + 1) * 4 > (uint64_t)s->n_slots * 3 && !grow(s))
        return 0;
    if (gw_slabs_reserve(&s->series, 1) < 0 || !gw_ru_lists_reserve(s) || !gw_budget_take(&s->budget, bytes))
        return 0;
    copy = malloc(key_bytes);
    if (!copy) {
        gw_budget_give(&s->budget, bytes);
        return 0;
    }
    memcpy(copy, key, key_bytes);
    id = gw_slabs_take(&s->series);
    x = series_at(s, id);
    *x = (struct gw_ru_series){.hash = hash, .key = copy, .key_bytes = key_bytes};
    i = (uint32_t)hash & (s->n_slots - 1);
    while (s->slots[i].series)
        i = (i + 1) & (s->n_slots - 1);
    s->slots[i].tag = tag_of(hash);
    s->slots[i].series = id;
    s->n++;
    return id;
}

static void empty_slot(struct gw_ru_shard *s, uint32_t hole)
{
    uint32_t mask = s->n_slots - 1;

    for (uint32_t i = (hole + 1) & mask; s->slots[i].series; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)series_at(s, s->slots[i].series)->hash & mask;

        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it would stand before its home */
        s->slots[hole] = s->slots[i];
        hole = i;
    }
    s->slots[hole].series = 0;
}

void gw_ru_series_remove(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series)
{
    struct gw_ru_series *x = series_at(s, series);
    uint32_t mask = s->n_slots - 1, at = (uint32_t)x->hash & mask;

    while (s->slots[at].series != series)
        at = (at + 1) & mask;
    empty_slot(s, at);
    if (all->kept)
        all->kept->n_series[x->partition]--;
    for (unsigned i = 0; i < GW_RU_N_LISTS; i++)
        gw_ru_list_remove(s, i, series);
    gw_budget_give(&s->budget, x->key_bytes + MALLOC_BYTES);
    free(x->key);
    gw_slabs_give(&s->series, series);
    s->n--;
    atomic_fetch_sub(&all->n_series, 1);
}

void gw_ru_shard_shrink(struct gw_ru_shard *s, bool is_end)
{
    uint32_t bytes_of_pane = s->panes.item_bytes, bytes_of_told = s->told.item_bytes;

    if (!is_end) {
        gw_slabs_age(&s->panes);
        gw_slabs_age(&s->series);
        gw_slabs_age(&s->told);
        gw_slabs_release(&s->panes, UINT32_MAX);
        gw_slabs_release(&s->series, UINT32_MAX);
        gw_slabs_release(&s->told, UINT32_MAX);
        gw_ru_counters_shrink(&s->counters);
        return;
    }
    if (s->n)
        return;
    gw_slabs_clear(&s->panes);
    gw_slabs_clear(&s->series);
    gw_slabs_clear(&s->told);
    gw_ru_counters_clear(&s->counters);
    init_slabs(s, bytes_of_pane, bytes_of_told);
    gw_budget_give(&s->budget, s->n_slots * sizeof(*s->slots));
    free(s->slots);
    s->slots = NULL;
    s->n_slots = 0;
    gw_ru_lists_clear(s);
}

void gw_ru_shard_charge(struct gw_ru_shard *s)
{
    uint64_t free_bytes;

    if (s->heap.held_bytes < s->charged_bytes)
        gw_budget_give(&s->budget, s->charged_bytes - s->heap.held_bytes);
    else if (s->heap.held_bytes > s->charged_bytes &&
             !gw_budget_take(&s->budget, s->heap.held_bytes - s->charged_bytes)) {
        s->heap.max_bytes = 1; /* the process has none to spare: what is there stays, and nothing grows */
        return;
    }
    s->charged_bytes = s->heap.held_bytes;
    free_bytes = s->budget.max_bytes > s->budget.held_bytes ? s->budget.max_bytes - s->budget.held_bytes : 0;
    s->heap.max_bytes = s->heap.held_bytes + free_bytes + 1; /* 0 were no limit */
}

void gw_ru_shard_unlock(struct gw_ru_shared *all, struct gw_ru_shard *s)
{
    gw_ru_shard_charge(s);
    atomic_fetch_add_explicit(&all->held_bytes, s->budget.held_bytes - s->told_bytes, memory_order_relaxed);
    s->told_bytes = s->budget.held_bytes;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- panes ---------------------------------------------------------------------------------------------------- */

uint32_t gw_ru_pane_take(struct gw_ru_shared *all, struct gw_ru_shard *s, uint64_t id)
{
    uint32_t item = gw_slabs_take(&s->panes);
    struct gw_ru_pane *p = gw_ru_pane_at(s, item);

    p->id = id;
    memset(p->state, 0, pane_bytes(all) - sizeof(*p));
    atomic_fetch_add_explicit(&all->n_panes, 1, memory_order_relaxed);
    return item;
}

void gw_ru_pane_give(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t item)
{
    gw_agg_clear(&all->plan, gw_ru_pane_at(s, item)->state, &s->heap);
    gw_slabs_give(&s->panes, item);
    atomic_fetch_sub_explicit(&all->n_panes, 1, memory_order_relaxed);
}

/* Windows of a time that the watermark has passed, when some of them have not been told. */
static unsigned skip_of(const struct gw_ru_window *w, uint64_t ns, uint64_t mark_ns, uint64_t fired_ns)
{
    uint64_t first = gw_ru_first_end(w, ns) + w->lateness_ns, n;

    if (first > mark_ns)
        return 0;
    n = (mark_ns - first) / w->slide_ns + 1;
    return first + (n - 1) * w->slide_ns <= fired_ns ? 0 : (unsigned)n;
}

/* There is room: the caller saw to it. */
static struct gw_ru_pane *pane_of(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x,
                                  unsigned window, uint64_t ns, uint64_t mark_ns)
{
    const struct gw_ru_window *w = &all->windows[window];
    uint64_t fired_ns = all->kept ? all->kept->fired_ns[x->partition] : s->fired_ns;

    if (w->type == GW_RU_SESSION)
        return gw_ru_session_of(all, s, x, window, ns, mark_ns);
    return gw_ru_pane_get(all, s, x, gw_ru_pane_id(window, ns / w->pane_ns, skip_of(w, ns, mark_ns, fired_ns)));
}

struct gw_ru_pane *gw_ru_pane_find(const struct gw_ru_shard *s, const struct gw_ru_series *x, uint64_t id)
{
    for (uint32_t item = x->panes; item; item = gw_ru_next(&s->panes, item))
        if (gw_ru_pane_at(s, item)->id == id)
            return gw_ru_pane_at(s, item);
    return NULL;
}

struct gw_ru_pane *gw_ru_pane_get(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint64_t id)
{
    struct gw_ru_pane *p = gw_ru_pane_find(s, x, id);
    uint32_t item;

    if (p)
        return p;
    item = gw_ru_pane_take(all, s, id);
    *gw_slabs_link(&s->panes, item) = x->panes;
    x->panes = item;
    return gw_ru_pane_at(s, item);
}

uint32_t gw_ru_series_get(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r,
                          const uint8_t *key, uint8_t partition)
{
    uint32_t series = find(s, key, r->key_bytes, r->hash);

    if (series)
        return series;
    series = add(s, key, r->key_bytes, r->hash);
    if (!series)
        return 0;
    atomic_fetch_add(&all->n_series, 1);
    if (all->kept)
        all->kept->n_series[partition]++;
    series_at(s, series)->partition = partition;
    return series;
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/*
 * Behind a journal it follows from the order of rows in the partition, whatever comes from others in the same step:
 * they count from the next one on.
 */
static bool is_full(struct gw_ru_shared *all, uint8_t partition)
{
    const struct gw_ru_kept *k = all->kept;

    return (k ? k->n_series[partition] + k->n_others[partition] : atomic_load(&all->n_series)) >= all->max_series;
}

/* All or nothing: a row that found room in one window and not in another would be counted twice, or never. */
static bool has_room(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r, const uint8_t *key,
                     bool is_overflow, uint32_t *ret)
{
    uint8_t partition = 0;

    *ret = find(s, key, r->key_bytes, r->hash);
    if (gw_slabs_reserve(&s->panes, all->n_windows) < 0)
        return false;
    if (*ret)
        return true;
    if (all->kept)
        partition = is_overflow ? r->partition : gw_ru_kept_partition(all->kept, gw_slice_of(key, r->key_bytes));
    if (!is_overflow && is_full(all, partition))
        return false;
    *ret = gw_ru_series_get(all, s, r, key, partition);
    if (*ret && !all->kept && !is_overflow && atomic_load(&all->n_series) > all->max_series) {
        gw_ru_series_remove(all, s, *ret); /* another worker was faster */
        *ret = 0;
    }
    return *ret != 0;
}

/* The windows that take a row, as bits. */
static unsigned open_to(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r, const uint8_t *key,
                        uint64_t mark_ns)
{
    unsigned open = 0;

    for (unsigned i = 0; i < all->n_windows; i++) {
        const struct gw_ru_window *w = &all->windows[i];
        bool yes = gw_ru_is_open(w, r->time_ns, mark_ns);

        if (!yes && w->type == GW_RU_SESSION) {
            uint32_t series = find(s, key, r->key_bytes, r->hash);

            yes = series && gw_ru_session_takes(all, s, series_at(s, series), i, r->time_ns, mark_ns);
        }
        open |= (unsigned)yes << i;
    }
    return open;
}

/* What goes into panes. */
struct addend {
    uint64_t time_ns, mark_ns;
    const struct gw_agg_value *value;
    const struct gw_ru_histogram *histogram; /* instead of the value; or NULL */
    const struct gw_pick *samples;
    uint32_t n_samples;
};

/* Into a pane of each of those windows, for which there is room. */
static void add_to_panes(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, unsigned open,
                         const struct addend *a)
{
    if (all->plan.has_big)
        gw_ru_shard_charge(s);
    gw_ru_lists_add(s, series);
    for (unsigned i = 0; i < all->n_windows; i++) {
        unsigned fed_by = all->windows[i].fed_by;
        struct gw_ru_pane *p;

        if (!(open & 1u << i) || (fed_by && open & 1u << (fed_by - 1)))
            continue; /* late, or it will come with a pane of the smaller window */
        p = pane_of(all, s, series_at(s, series), i, a->time_ns, a->mark_ns);
        gw_ru_pane_touch(all, p);
        if ((a->histogram ? gw_ru_histogram_add(&all->plan, p->state, &s->heap, a->histogram)
                          : gw_agg_add(&all->plan, p->state, &s->heap, a->value)) < 0)
            gw_metric_add(all->lost, 1);
        for (uint32_t k = 0; k < a->n_samples; k++)
            (void)gw_agg_add_sample(&all->plan, p->state, &s->heap, &a->samples[k]);
    }
}

bool gw_ru_shard_count(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, uint64_t time_ns,
                       const struct gw_agg_number *up, uint64_t mark_ns)
{
    struct gw_agg_value value = {.is_int = up->is_int, .n = 1, .time_ns = time_ns};
    unsigned open = 0;

    if (gw_slabs_reserve(&s->panes, all->n_windows) < 0)
        return false;
    value.i = up->i;
    for (unsigned i = 0; i < all->n_windows; i++)
        open |= (unsigned)gw_ru_is_open(&all->windows[i], time_ns, mark_ns) << i;
    add_to_panes(all, s, series, open, &(struct addend){.time_ns = time_ns, .mark_ns = mark_ns, .value = &value});
    return true;
}

enum gw_ru_fate gw_ru_shard_add(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r,
                                const uint8_t *key, uint64_t mark_ns, bool is_overflow, unsigned *ret_missed)
{
    struct gw_agg_value value = {.is_int = r->value.is_int, .n = 1, .time_ns = r->time_ns};
    struct addend addend = {r->time_ns, mark_ns, &value, r->histogram, r->samples, r->n_samples};
    unsigned open = open_to(all, s, r, key, mark_ns);
    uint32_t series;

    *ret_missed = all->n_windows - (unsigned)__builtin_popcount(open);
    if (open == 0)
        return GW_RU_LATE;
    if (!has_room(all, s, r, key, is_overflow, &series))
        return GW_RU_FULL;
    if (r->counter) {
        gw_ru_lists_add(s, series);
        if (is_overflow)
            gw_ru_counters_overflow(all, s, series);
        return (enum gw_ru_fate)gw_ru_counters_add(all, s, series, r->counter, mark_ns);
    }
    value.i = r->value.i;
    value.item = r->item.p ? &r->item : NULL;
    add_to_panes(all, s, series, open, &addend);
    return GW_RU_TAKEN;
}
