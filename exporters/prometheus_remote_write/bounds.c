/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of bounds and quantiles: rendered once for all points that have the same. */
#include <errno.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

/* A series of 1.0 takes at least 40 bytes: more than this do not fit into the longest request. */
enum { COUNT_MAX = GW_RW_ROW_BYTES_MAX / 40, TEXTS_MAX = GW_RW_ROW_BYTES_MAX };

static double double_at(struct gw_slice doubles, uint32_t i)
{
    double v;

    memcpy(&v, doubles.p + (size_t)i * 8, 8);
    return v;
}

/** 1.0: the labels one behind the other, with offsets. */
static int new_edges_1(struct gw_rw_translator *t, uint8_t kind, struct gw_slice doubles, struct gw_rw_node **ret)
{
    uint32_t n = (uint32_t)(doubles.n / 8), *at = gw_arena_alloc(&t->arena, (n + 1) * sizeof(*at));
    struct gw_slice label = kind == GW_RW_BOUNDS ? GW_SLICE("le") : GW_SLICE("quantile");
    struct gw_rw_edges *e;
    struct gw_buf out;
    size_t head = sizeof(*e) + (n + 1) * sizeof(*at);

    gw_buf_init(&out, TEXTS_MAX);
    for (uint32_t i = 0; at && i < n && !out.failed; i++) {
        gw_buf_reset(&t->key);
        gw_rw_put_plain_double(&t->key, double_at(doubles, i));
        at[i] = (uint32_t)(head + out.n);
        gw_rw_put_label(&out, label, gw_buf_slice(&t->key));
    }
    if (!at || out.failed || t->key.failed) {
        bool full = out.failed && out.cap >= TEXTS_MAX / 4;

        gw_buf_clear(&out);
        return full ? -E2BIG : -ENOMEM;
    }
    at[n] = (uint32_t)(head + out.n);
    (void)gw_rw_make_room(&t->cache, gw_rw_node_bytes(doubles.n, head + out.n));
    *ret = gw_rw_node_new(kind, NULL, doubles, head + out.n);
    if (*ret) {
        e = (struct gw_rw_edges *)(void *)gw_rw_data(*ret);
        e->n = n;
        memcpy(e->at, at, (n + 1) * sizeof(*at));
        if (out.n)
            memcpy((uint8_t *)e + head, out.p, out.n);
    }
    gw_buf_clear(&out);
    return *ret ? 0 : -ENOMEM;
}

static int new_edges_2(struct gw_rw_translator *t, uint8_t kind, struct gw_slice doubles, struct gw_rw_node **ret)
{
    uint32_t n = (uint32_t)(doubles.n / 8);
    size_t bytes = sizeof(struct gw_rw_edges) + n * sizeof(uint32_t), texts = 0;
    struct gw_rw_edges *e;
    int r = 0;

    (void)gw_rw_make_room(&t->cache, gw_rw_node_bytes(doubles.n, bytes));
    *ret = gw_rw_node_new(kind, NULL, doubles, bytes);
    if (!*ret)
        return -ENOMEM;
    e = (struct gw_rw_edges *)(void *)gw_rw_data(*ret);
    e->n = n;
    while (e->symbols < n && r == 0) {
        gw_buf_reset(&t->key);
        gw_rw_put_plain_double(&t->key, double_at(doubles, e->symbols));
        texts += t->key.n;
        r = t->key.failed       ? -ENOMEM
            : texts > TEXTS_MAX ? -E2BIG
                                : gw_rw_symbol_get(&t->cache.symbols, gw_buf_slice(&t->key), &e->at[e->symbols]);
        e->symbols += r == 0;
    }
    if (r < 0) {
        gw_rw_release(&t->cache, *ret);
        free(*ret);
    }
    return r;
}

int gw_rw_resolve_edges(struct gw_rw_translator *t, struct gw_rw_metric *m, uint8_t kind, struct gw_slice doubles,
                        const struct gw_rw_edges **ret)
{
    struct gw_rw_node *n = m->edges;
    int r;

    if (doubles.n > COUNT_MAX * sizeof(double))
        return -E2BIG;
    if (!n || n->kind != kind || !gw_slice_eq(gw_rw_key(n), doubles)) {
        uint64_t hash = gw_rw_hash(&t->cache, NULL, kind, doubles);

        n = gw_rw_find(&t->cache, hash, NULL, kind, doubles);
        if (!n) {
            r = t->cache.version == GW_RW_2 ? new_edges_2(t, kind, doubles, &n) : new_edges_1(t, kind, doubles, &n);
            if (r < 0)
                return r;
            if (gw_rw_insert(&t->cache, n, hash) < 0) {
                gw_rw_release(&t->cache, n);
                free(n);
                return -ENOMEM;
            }
        }
        n->refs++;
        if (m->edges)
            m->edges->refs--;
        m->edges = n;
    }
    gw_rw_touch(&t->cache, n);
    *ret = (const struct gw_rw_edges *)(const void *)gw_rw_data(n);
    return 0;
}
