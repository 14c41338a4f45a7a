/* SPDX-License-Identifier: Apache-2.0 */
/* From rows to the nodes of their series. */
#include <errno.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { BLOCK = 16 };

/** A row on its way to its node: the cache is asked ahead for what will be looked at. */
struct pending {
    uint32_t row;
    struct gw_rw_node *metric;
    struct gw_slice key;
    uint64_t hash;
};

/** End of the field that begins at p, tag and length included. */
static const uint8_t *field_end(const uint8_t *p)
{
    uint64_t n;

    while (*p++ & 0x80) {
    }
    if (*p < 0x80)
        return p + 1 + *p;
    p = gw_varint_get(p, p + GW_VARINT_MAX, GW_VARINT_MAX, &n);
    return p ? p + n : NULL;
}

/** The attributes' bytes: as they stand on the wire when one follows the other, put together otherwise. */
static int attr_bytes(struct gw_rw_translator *t, uint32_t row, struct gw_slice *ret)
{
    const struct gw_batch *b = t->b;
    struct gw_range r = b->attr[row];
    const uint8_t *from, *p;
    size_t n = 0;

    *ret = (struct gw_slice){0};
    if (r.begin == r.end)
        return 0;
    from = p = b->base + b->attrs[r.begin].kv_off;
    for (uint32_t i = r.begin; i < r.end; i++) {
        const uint8_t *at = b->base + b->attrs[i].kv_off, *end = field_end(at);

        n += (size_t)(end - at);
        p = p == at ? end : NULL;
    }
    if (p) {
        *ret = gw_slice_of(from, n);
        return 0;
    }
    uint8_t *copy = gw_arena_alloc(&t->arena, n);

    *ret = gw_slice_of(copy, n);
    for (uint32_t i = r.begin; copy && i < r.end; i++) {
        const uint8_t *at = b->base + b->attrs[i].kv_off, *end = field_end(at);

        memcpy(copy, at, (size_t)(end - at));
        copy += end - at;
    }
    return copy ? 0 : -ENOMEM;
}

static void link_row(struct gw_rw_translator *t, struct gw_rw_node *n, uint32_t at)
{
    struct gw_rw_node *c = n->canon;

    gw_rw_touch(&t->cache, n);
    if (c != n)
        gw_rw_touch(&t->cache, c);
    t->next[at] = GW_RW_NO_ROW;
    if (c->head == GW_RW_NO_ROW) {
        c->head = at;
        t->nodes[t->n_nodes++] = c;
    } else {
        t->next[c->tail] = at;
    }
    c->tail = at;
}

static int metric_of(struct gw_rw_translator *t, uint32_t row, struct gw_rw_node **ret)
{
    *ret = t->metrics[t->b->metric[row]];
    return *ret ? 0 : gw_rw_resolve_metric(t, t->b->metric[row], ret);
}

/** A series that the cache does not have; when it has no room either, what was gathered goes first. */
static int add_series(struct gw_rw_translator *t, struct pending *p, struct gw_rw_node **ret,
                      const struct gw_rw_refusal **why)
{
    int r = gw_rw_new_series(t, p->row, p->key, p->hash, t->n_nodes == 0, why, ret);

    if (r != -ENOSPC)
        return r;
    r = gw_rw_end_window(t);
    if (r == 0)
        r = metric_of(t, p->row, &p->metric);
    if (r < 0)
        return r;
    p->hash = gw_rw_hash(&t->cache, p->metric, GW_RW_SERIES, p->key);
    return gw_rw_new_series(t, p->row, p->key, p->hash, true, why, ret);
}

static size_t data_bytes(const struct gw_rw_translator *t, const struct gw_rw_node *n)
{
    return t->cache.version == GW_RW_2 ? n->data_n * sizeof(uint32_t) : n->data_n;
}

/** Errors: -EINVAL refuse the row, *why; -ENOMEM. */
static int add_up(struct gw_rw_translator *t, struct gw_rw_node *n, uint32_t row, const struct gw_rw_refusal **why)
{
    int r;

    gw_buf_reset(&t->key);
    r = gw_rw_put_identity(t, n->canon, &t->key);
    if (r < 0)
        return r;
    r = gw_rw_sums_add(t->sums, row, gw_buf_slice(&t->key), why);
    if (r < 0)
        return r;
    *why = gw_rw_check_row(t, row); /* sums can be too large for their fields */
    return *why ? -EINVAL : 0;
}

static int gather_row(struct gw_rw_translator *t, struct pending *p)
{
    bool delta = t->sums && gw_rw_is_delta(t->b, p->row);
    const struct gw_rw_refusal *why;
    struct gw_rw_node *n;
    int r = 0;

    if (delta && !gw_rw_sums_room(t->sums, p->row)) {
        r = gw_rw_end_window(t);
        gw_rw_sums_forget(t->sums);
    }
    if (r == 0)
        r = metric_of(t, p->row, &n);
    if (r < 0)
        return r;
    if (n != p->metric) { /* a window ended meanwhile */
        p->metric = n;
        p->hash = gw_rw_hash(&t->cache, n, GW_RW_SERIES, p->key);
    }
    why = gw_rw_check_row(t, p->row);
    if (why) {
        gw_rw_refuse(t, p->row, why);
        return 0;
    }
    n = gw_rw_find(&t->cache, p->hash, p->metric, GW_RW_SERIES, p->key);
    if (n) {
        t->stats.cache_hits++;
    } else {
        t->stats.cache_misses++;
        r = add_series(t, p, &n, &why);
    }
    if (r == 0 && delta)
        r = add_up(t, n, p->row, &why);
    if (r == -EINVAL) {
        gw_rw_refuse(t, p->row, why);
        return 0;
    }
    if (r < 0)
        return r;
    link_row(t, n, p->row);
    for (const uint8_t *k = gw_rw_data(n->canon), *end = k + data_bytes(t, n->canon); k < end; k += 64)
        __builtin_prefetch(k, 0, 2); /* written when all rows are gathered */
    return 0;
}

static int gather_block(struct gw_rw_translator *t, struct pending *p, uint32_t n)
{
    int r = 0;

    for (uint32_t i = 0; i < n && r == 0; i++) {
        r = metric_of(t, p[i].row, &p[i].metric);
        if (r == 0)
            r = attr_bytes(t, p[i].row, &p[i].key);
        if (r < 0)
            return r;
        p[i].hash = gw_rw_hash(&t->cache, p[i].metric, GW_RW_SERIES, p[i].key);
        __builtin_prefetch(&t->cache.nodes.slots[p[i].hash & t->cache.nodes.mask]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct gw_rw_slot *s = &t->cache.nodes.slots[p[i].hash & t->cache.nodes.mask];
        const uint8_t *node = (const uint8_t *)s->node;

        if (s->hash != p[i].hash)
            continue;
        __builtin_prefetch(node, 1);
        for (size_t k = 64; k < 64 + p[i].key.n + 8; k += 64)
            __builtin_prefetch(node + k);
    }
    for (uint32_t i = 0; i < n && r == 0; i++)
        r = gather_row(t, &p[i]);
    return r;
}

int gw_rw_gather(struct gw_rw_translator *t)
{
    struct pending p[BLOCK];
    uint32_t n = 0;
    int r = t->view->n_rows >= t->b->n_metrics ? gw_rw_expect_metrics(t) : 0;

    for (uint32_t row = gw_view_next(t->view, 0); row < t->b->n_rows && r == 0; row = gw_view_next(t->view, row + 1)) {
        p[n++].row = row;
        if (n == BLOCK) {
            r = gather_block(t, p, n);
            n = 0;
        }
    }
    return r == 0 && n ? gather_block(t, p, n) : r;
}

int gw_rw_gather_infos(struct gw_rw_translator *t)
{
    const struct gw_batch *b = t->b;
    bool *kept = gw_arena_zalloc(&t->arena, b->n_resources + 1);
    struct gw_rw_node *n;
    int r = 0;

    if (!kept)
        return -ENOMEM;
    for (uint32_t row = 0; row < b->n_rows; row++) {
        uint32_t i = gw_batch_resource_of(b, row);

        t->latest[i] = b->time_ns[row] > t->latest[i] ? b->time_ns[row] : t->latest[i];
        kept[i] |= gw_view_has(t->view, row);
    }
    for (uint32_t i = 0; i < b->n_resources && r == 0; i++) {
        if (!kept[i] || t->latest[i] == 0)
            continue;
        r = gw_rw_resolve_info(t, i, t->n_nodes == 0, &n);
        if (r == -ENOSPC) {
            r = gw_rw_end_window(t);
            if (r == 0)
                r = gw_rw_resolve_info(t, i, true, &n);
        }
        if (r == 0 && n)
            link_row(t, n, b->n_rows + i);
    }
    return r;
}
