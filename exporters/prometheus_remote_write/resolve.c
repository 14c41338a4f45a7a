/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "exporters/prometheus_remote_write/translator.h"

void gw_rw_release(struct gw_rw_cache *c, struct gw_rw_node *n)
{
    if (n->kind == GW_RW_METRIC) {
        struct gw_rw_metric *m = (struct gw_rw_metric *)(void *)gw_rw_data(n);

        if (m->edges)
            m->edges->refs--;
        for (int i = 0; m->has_symbols && i < GW_RW_NAMES; i++)
            gw_rw_symbol_unref(&c->symbols, m->symbol[i]);
        if (m->has_symbols) {
            gw_rw_symbol_unref(&c->symbols, m->help);
            gw_rw_symbol_unref(&c->symbols, m->unit);
        }
    } else if (n->kind == GW_RW_BOUNDS || n->kind == GW_RW_QUANTILES) {
        const struct gw_rw_edges *e = (const struct gw_rw_edges *)(const void *)gw_rw_data(n);

        for (uint32_t i = 0; i < e->symbols; i++)
            gw_rw_symbol_unref(&c->symbols, e->at[i]);
    } else if (n->canon && c->version == GW_RW_2) {
        const uint32_t *labels = (const uint32_t *)(const void *)gw_rw_data(n);

        for (uint32_t i = 0; i < n->data_n; i++)
            gw_rw_symbol_unref(&c->symbols, labels[i]);
    }
}

enum gw_rw_shape gw_rw_shape_of(const struct gw_rw_options *o, uint8_t metric_type)
{
    if (metric_type == GW_M_SUMMARY)
        return GW_RW_SUMMARY;
    if (metric_type == GW_M_EXP_HISTOGRAM)
        return GW_RW_NATIVE;
    if (metric_type == GW_M_HISTOGRAM)
        return o->nhcb && !o->keep_classic ? GW_RW_NATIVE : GW_RW_CLASSIC;
    return GW_RW_NUMBER;
}

/** A node without data of its own. Errors: -ENOMEM. */
static int resolve_plain(struct gw_rw_translator *t, uint8_t kind, struct gw_rw_node *parent, struct gw_slice key,
                         struct gw_rw_node **ret)
{
    uint64_t hash = gw_rw_hash(&t->cache, parent, kind, key);
    struct gw_rw_node *n = gw_rw_find(&t->cache, hash, parent, kind, key);

    if (!n) {
        (void)gw_rw_make_room(&t->cache, gw_rw_node_bytes(key.n, 0));
        n = gw_rw_node_new(kind, parent, key, 0);
        if (!n || gw_rw_insert(&t->cache, n, hash) < 0) {
            free(n);
            return -ENOMEM;
        }
    }
    gw_rw_touch(&t->cache, n);
    *ret = n;
    return 0;
}

static int resolve_resource(struct gw_rw_translator *t, uint32_t i)
{
    if (t->resources[i])
        return 0;
    return resolve_plain(t, GW_RW_RESOURCE, NULL, gw_batch_slice(t->b, t->b->resources[i].raw), &t->resources[i]);
}

int gw_rw_resolve_scope(struct gw_rw_translator *t, uint32_t i)
{
    const struct gw_scope *s = &t->b->scopes[i];
    int r;

    if (t->scopes[i])
        return 0;
    r = resolve_resource(t, s->resource);
    return r < 0
               ? r
               : resolve_plain(t, GW_RW_SCOPE, t->resources[s->resource], gw_batch_slice(t->b, s->raw), &t->scopes[i]);
}

/* ---- series ----------------------------------------------------------------------------------------------- */

/** The same for all series of a row, and for all points of a series: not the name, nor what a shape adds. */
static uint16_t shard_of(const struct gw_rw_translator *t)
{
    uint64_t h = 0;

    if (t->o.n_shards < 2)
        return 0;
    for (uint32_t i = 0; i < t->labels.n; i++) {
        const struct gw_rw_label *l = &t->labels.v[i];

        if (gw_slice_is(l->name, "__name__") || gw_slice_is(l->name, "le") || gw_slice_is(l->name, "quantile"))
            continue;
        h = (h ^ gw_hash_stable(l->name)) * 0x9e3779b97f4a7c15u;
        h = (h ^ gw_hash_stable(l->value)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return (uint16_t)(h % t->o.n_shards);
}

/** Where a label would stand among the others. */
static uint32_t place(const struct gw_rw_labels *l, struct gw_slice name)
{
    uint32_t i = 0;

    while (i < l->n && gw_rw_compare(l->v[i].name, name) < 0)
        i++;
    return i;
}

static size_t label_bytes(const struct gw_rw_label *l)
{
    size_t n = 2 + gw_varint_size(l->name.n) + l->name.n + gw_varint_size(l->value.n) + l->value.n;

    return 1 + gw_varint_size(n) + n;
}

static int put_labels_1(struct gw_rw_translator *t, struct gw_rw_node *n, uint32_t name, uint32_t extra)
{
    uint8_t *p = gw_rw_data(n);
    const uint8_t *from = p;

    for (uint32_t i = 0; i <= t->labels.n; i++) {
        const struct gw_rw_label *l;

        if (i == name)
            n->at_name = (uint32_t)(p - from);
        if (i == extra)
            n->at_extra = (uint32_t)(p - from);
        if (i == t->labels.n)
            break;
        l = &t->labels.v[i];
        *p++ = GW_TAG(1, GW_LEN);
        p = gw_varint_put(p, 2 + gw_varint_size(l->name.n) + l->name.n + gw_varint_size(l->value.n) + l->value.n);
        *p++ = GW_TAG(1, GW_LEN);
        p = gw_varint_put(p, l->name.n);
        memcpy(p, l->name.p, l->name.n);
        p += l->name.n;
        *p++ = GW_TAG(2, GW_LEN);
        p = gw_varint_put(p, l->value.n);
        if (l->value.n)
            memcpy(p, l->value.p, l->value.n);
        p += l->value.n;
    }
    n->data_n = (uint32_t)(p - from);
    return 0;
}

static int put_labels_2(struct gw_rw_translator *t, struct gw_rw_node *n, uint32_t name, uint32_t extra)
{
    struct gw_rw_symbols *y = &t->cache.symbols;
    uint32_t *p = (uint32_t *)(void *)gw_rw_data(n);
    int r;

    n->at_name = 2 * name;
    n->at_extra = 2 * extra;
    for (uint32_t i = 0; i < t->labels.n; i++) {
        r = gw_rw_symbol_get(y, t->labels.v[i].name, &p[n->data_n]);
        if (r < 0)
            return r;
        n->data_n++;
        r = gw_rw_symbol_get(y, t->labels.v[i].value, &p[n->data_n]);
        if (r < 0)
            return r;
        n->data_n++;
    }
    return 0;
}

static size_t data_bytes(const struct gw_rw_translator *t)
{
    size_t n = 0;

    if (t->cache.version == GW_RW_2)
        return t->labels.n * 2 * sizeof(uint32_t);
    for (uint32_t i = 0; i < t->labels.n; i++)
        n += label_bytes(&t->labels.v[i]);
    return n;
}

static size_t symbol_bytes(const struct gw_rw_translator *t)
{
    size_t n = 0;

    for (uint32_t i = 0; t->cache.version == GW_RW_2 && i < t->labels.n; i++)
        n += t->labels.v[i].value.n + 64;
    return n;
}

/** A node for t->labels. Errors: -ENOSPC, -ENOMEM. */
static int insert_series(struct gw_rw_translator *t, struct gw_rw_node *parent, uint8_t kind, enum gw_rw_shape shape,
                         struct gw_slice key, uint64_t hash, bool force, struct gw_rw_node **ret)
{
    struct gw_slice extra = shape == GW_RW_SUMMARY ? GW_SLICE("quantile") : GW_SLICE("le");
    uint32_t at_name = place(&t->labels, GW_SLICE("__name__")), at_extra = place(&t->labels, extra);
    size_t bytes = data_bytes(t);
    struct gw_rw_node *n;
    int r;

    if (!gw_rw_make_room(&t->cache, gw_rw_node_bytes(key.n, bytes) + symbol_bytes(t)) && !force)
        return -ENOSPC;
    n = gw_rw_node_new(kind, parent, key, bytes);
    if (!n)
        return -ENOMEM;
    n->shape = shape & 7u;
    n->shard = shard_of(t);
    n->canon = n;
    r = t->cache.version == GW_RW_2 ? put_labels_2(t, n, at_name, at_extra) : put_labels_1(t, n, at_name, at_extra);
    if (r < 0 || (r = gw_rw_insert(&t->cache, n, hash)) < 0) {
        gw_rw_release(&t->cache, n);
        free(n);
        return r;
    }
    *ret = n;
    return gw_rw_insert_labels(&t->cache, n);
}

int gw_rw_new_series(struct gw_rw_translator *t, uint32_t row, struct gw_slice key, uint64_t hash, bool force,
                     const struct gw_rw_refusal **why, struct gw_rw_node **ret)
{
    static const struct gw_rw_refusal bad_key = {"label_name", "an attribute's key makes no label name"};
    static const struct gw_rw_refusal taken = {"label_taken", "an attribute makes the label that the buckets or "
                                                              "quantiles are told apart by"};
    const struct gw_batch *b = t->b;
    const struct gw_scope *scope = &b->scopes[b->scope[row]];
    struct gw_rw_node *metric = t->metrics[b->metric[row]];
    enum gw_rw_shape shape = gw_rw_shape_of(&t->o, b->metrics[b->metric[row]].type);
    struct gw_rw_labels_of of = {.options = &t->o,
                                 .external = t->external,
                                 .n_external = t->n_external,
                                 .batch = b,
                                 .resource = &b->resources[scope->resource],
                                 .scope = t->o.scope_info ? scope : NULL,
                                 .attrs = b->attr[row],
                                 .style = gw_rw_utf8(t->o.strategy) ? GW_RW_LABEL_UTF8 : GW_RW_LABEL};
    int r;

    if (shape == GW_RW_NUMBER || shape == GW_RW_NATIVE)
        of.name = gw_slice_of(gw_rw_data(metric) + metric->at_name, metric->at_extra);
    r = gw_rw_labels_build(&t->labels, &of);
    *why = &bad_key;
    if (r < 0)
        return r;
    *why = &taken;
    if ((shape == GW_RW_CLASSIC && gw_rw_labels_find(&t->labels, GW_SLICE("le"))) ||
        (shape == GW_RW_SUMMARY && gw_rw_labels_find(&t->labels, GW_SLICE("quantile"))))
        return -EINVAL;
    return insert_series(t, metric, GW_RW_SERIES, shape, key, hash, force, ret);
}

int gw_rw_put_identity(struct gw_rw_translator *t, struct gw_rw_node *n, struct gw_buf *out)
{
    const struct gw_rw_symbol *y = t->cache.symbols.symbols;
    const uint32_t *labels = (const uint32_t *)(const void *)gw_rw_data(n);

    if (n->shape == GW_RW_CLASSIC)
        gw_rw_put_bytes(out, 1, gw_slice_of(gw_rw_data(n->parent) + n->parent->at_name, n->parent->at_extra));
    if (t->cache.version == GW_RW_1)
        gw_buf_put(out, gw_rw_data(n), n->data_n);
    for (uint32_t i = 0; t->cache.version == GW_RW_2 && i < n->data_n; i += 2)
        gw_rw_put_label(out, gw_slice_of(y[labels[i]].p, y[labels[i]].n),
                        gw_slice_of(y[labels[i + 1]].p, y[labels[i + 1]].n));
    return out->failed ? -ENOMEM : 0;
}

/* ---- target_info ------------------------------------------------------------------------------------------ */

/** Does the resource say more than who it is? */
static bool has_more(const struct gw_batch *b, const struct gw_resource *r)
{
    static const char *const keys[] = {"service.name", "service.namespace", "service.instance.id"};
    uint32_t n = r->attrs.end - r->attrs.begin;

    for (int k = 0; k < 3; k++)
        for (uint32_t i = r->attrs.begin; i < r->attrs.end; i++)
            if (gw_slice_is(gw_attr_key(b, &b->attrs[i]), keys[k])) {
                n--;
                break;
            }
    return n > 0;
}

int gw_rw_resolve_info(struct gw_rw_translator *t, uint32_t resource, bool force, struct gw_rw_node **ret)
{
    const struct gw_resource *res = &t->b->resources[resource];
    struct gw_rw_labels_of of = {.options = &t->o,
                                 .external = t->external,
                                 .n_external = t->n_external,
                                 .batch = t->b,
                                 .resource = res,
                                 .attrs = res->attrs,
                                 .info = true,
                                 .style = t->cache.version == GW_RW_1 ? GW_RW_LABEL_INFO
                                          : gw_rw_utf8(t->o.strategy) ? GW_RW_LABEL_UTF8
                                                                      : GW_RW_LABEL};
    struct gw_slice none = {0};
    struct gw_rw_node *parent;
    uint64_t hash;
    int r;

    *ret = NULL;
    if (!has_more(t->b, res))
        return 0;
    r = resolve_resource(t, resource);
    if (r < 0)
        return r;
    parent = t->resources[resource];
    hash = gw_rw_hash(&t->cache, parent, GW_RW_INFO, none);
    *ret = gw_rw_find(&t->cache, hash, parent, GW_RW_INFO, none);
    if (*ret)
        return 0;
    gw_buf_reset(&t->key);
    gw_buf_put_str(&t->key, t->o.namespace_ ? t->o.namespace_ : "");
    gw_buf_put_str(&t->key, t->key.n ? "_target_info" : "target_info");
    of.name = gw_buf_slice(&t->key);
    r = t->key.failed ? -ENOMEM : gw_rw_labels_build(&t->labels, &of);
    if (r == -EINVAL) {
        t->stats.failed++;
        return 0;
    }
    if (r < 0 ||
        (!gw_rw_labels_find(&t->labels, GW_SLICE("job")) && !gw_rw_labels_find(&t->labels, GW_SLICE("instance"))))
        return r;
    return insert_series(t, parent, GW_RW_INFO, GW_RW_NUMBER, none, hash, force, ret);
}
