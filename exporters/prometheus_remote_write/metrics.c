/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of metrics: names with all suffixes, unit, help, type. */
#include <errno.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/names.h"
#include "exporters/prometheus_remote_write/translator.h"

enum { UNKNOWN, COUNTER, GAUGE, HISTOGRAM, GAUGEHISTOGRAM, SUMMARY, INFO, STATESET };

static const char *const suffixes[GW_RW_NAMES] = {"", "_sum", "_count", "_bucket"};

/** Prometheus types that OTLP does not have come along as metadata of the metric. */
static uint8_t metadata_type(const struct gw_batch *b, const struct gw_metric_desc *d)
{
    struct gw_slice word = {0};

    for (uint32_t i = d->metadata.begin; i < d->metadata.end; i++)
        if (gw_slice_is(gw_attr_key(b, &b->attrs[i]), "prometheus.type")) {
            if (b->attrs[i].type == GW_V_STRING)
                word = gw_batch_slice(b, b->attrs[i].val.ref);
            break;
        }
    switch (d->type) {
    case GW_M_GAUGE:
        return gw_slice_is(word, "unknown") ? UNKNOWN : GAUGE;
    case GW_M_SUM:
        return d->monotonic                    ? COUNTER
               : gw_slice_is(word, "info")     ? INFO
               : gw_slice_is(word, "stateset") ? STATESET
                                               : GAUGE;
    case GW_M_HISTOGRAM:
    case GW_M_EXP_HISTOGRAM:
        return HISTOGRAM;
    case GW_M_SUMMARY:
        return SUMMARY;
    default:
        return UNKNOWN;
    }
}

static uint8_t *put_key_part(uint8_t *p, const struct gw_batch *b, struct gw_ref r)
{
    memcpy(p, &r.len, sizeof(r.len));
    p += sizeof(r.len);
    if (r.len)
        memcpy(p, b->base + r.off, r.len);
    return p + r.len;
}

/** All that a series takes from its metric. Errors: -ENOMEM. */
static int metric_key(struct gw_rw_translator *t, const struct gw_metric_desc *d, struct gw_slice *ret)
{
    const struct gw_batch *b = t->b;
    size_t n = 3 + 3 * sizeof(uint32_t) + d->name.len + d->unit.len + d->description.len;
    uint8_t *key = gw_arena_alloc(&t->arena, n), *p = key;

    if (!key)
        return -ENOMEM;
    *p++ = d->type;
    *p++ = d->monotonic;
    *p++ = metadata_type(b, d);
    p = put_key_part(p, b, d->name);
    p = put_key_part(p, b, d->unit);
    (void)put_key_part(p, b, d->description);
    *ret = gw_slice_of(key, n);
    return 0;
}

/** What a metric's node holds, gathered before it exists. */
struct metric_texts {
    struct gw_buf out; /* name │ encoded __name__ labels │ encoded metadata */
    size_t name_n;
    struct gw_rw_metric head;
};

static void put_metadata(struct gw_buf *out, struct gw_slice family, struct gw_slice help, struct gw_slice unit,
                         uint8_t type)
{
    uint64_t n = 2 + 1 + gw_varint_size(family.n) + family.n;

    n += help.n ? 1 + gw_varint_size(help.n) + help.n : 0;
    n += unit.n ? 1 + gw_varint_size(unit.n) + unit.n : 0;
    gw_rw_put_len(out, 3, n);
    gw_rw_put_varint(out, 1, type);
    gw_rw_put_bytes(out, 2, family);
    if (help.n)
        gw_rw_put_bytes(out, 4, help);
    if (unit.n)
        gw_rw_put_bytes(out, 5, unit);
}

static int metric_symbols(struct gw_rw_translator *t, struct metric_texts *x, struct gw_slice name,
                          struct gw_slice help, struct gw_slice unit)
{
    struct gw_rw_symbols *y = &t->cache.symbols;
    int r = 0;

    for (int i = 0; i < GW_RW_NAMES && r == 0; i++) {
        gw_buf_reset(&t->key);
        gw_buf_put_slice(&t->key, name);
        gw_buf_put_str(&t->key, suffixes[i]);
        r = gw_rw_symbol_get(y, gw_buf_slice(&t->key), &x->head.symbol[i]);
    }
    if (r == 0)
        r = gw_rw_symbol_get(y, help, &x->head.help);
    if (r == 0)
        r = gw_rw_symbol_get(y, unit, &x->head.unit);
    x->head.has_symbols = r == 0;
    return r;
}

static int metric_labels(struct gw_rw_translator *t, struct metric_texts *x)
{
    for (int i = 0; i < GW_RW_NAMES; i++) {
        gw_buf_reset(&t->key);
        gw_buf_put(&t->key, x->out.p, x->name_n);
        gw_buf_put_str(&t->key, suffixes[i]);
        x->head.label_at[i] = (uint32_t)x->out.n;
        gw_rw_put_label(&x->out, GW_SLICE("__name__"), gw_buf_slice(&t->key));
    }
    x->head.label_at[GW_RW_NAMES] = (uint32_t)x->out.n;
    return t->key.failed || x->out.failed ? -ENOMEM : 0;
}

static int metric_texts(struct gw_rw_translator *t, const struct gw_metric_desc *d, struct metric_texts *x)
{
    const struct gw_batch *b = t->b;
    struct gw_slice unit, family, help = gw_batch_slice(b, d->description);
    struct gw_rw_metric_name n = {.strategy = t->o.strategy,
                                  .namespace_ = gw_slice_cstr(t->o.namespace_),
                                  .name = gw_batch_slice(b, d->name),
                                  .unit = gw_batch_slice(b, d->unit),
                                  .counter = d->type == GW_M_SUM && d->monotonic,
                                  .gauge = d->type == GW_M_GAUGE};
    int r = gw_rw_put_metric_name(&x->out, &n);

    x->head.nameless = r == -EINVAL;
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    x->name_n = x->out.n;
    gw_rw_put_unit(&x->out, gw_rw_utf8(t->o.strategy), n.unit);
    if (x->out.failed)
        return -ENOMEM;
    unit = gw_slice_of(x->out.p + x->name_n, x->out.n - x->name_n);
    if (t->cache.version == GW_RW_2)
        return metric_symbols(t, x, gw_slice_of(x->out.p, x->name_n), help, unit);
    family = gw_arena_dup(&t->arena, gw_buf_slice(&x->out)); /* out moves when it grows */
    if (family.n != x->out.n)
        return -ENOMEM;
    unit = gw_slice_of(family.p + x->name_n, unit.n);
    family.n = x->name_n;
    x->out.n = x->name_n;
    r = metric_labels(t, x);
    x->head.metadata_at = (uint32_t)x->out.n;
    put_metadata(&x->out, family, help, unit, x->head.type);
    x->head.metadata_n = (uint32_t)x->out.n - x->head.metadata_at;
    return r < 0 || x->out.failed ? -ENOMEM : 0;
}

static int new_metric(struct gw_rw_translator *t, const struct gw_metric_desc *d, const struct gw_rw_metric_key *k,
                      struct gw_rw_node **ret)
{
    struct metric_texts x = {.head = {.type = k->key.p[2]}};
    struct gw_rw_node *n = NULL;
    int r;

    gw_buf_init(&x.out, SIZE_MAX / 4);
    r = metric_texts(t, d, &x);
    if (r == 0) {
        (void)gw_rw_make_room(&t->cache, gw_rw_node_bytes(k->key.n, sizeof(x.head) + x.out.n));
        n = gw_rw_node_new(GW_RW_METRIC, k->scope, k->key, sizeof(x.head) + x.out.n);
    }
    if (n) {
        struct gw_rw_metric *m = (struct gw_rw_metric *)(void *)gw_rw_data(n);

        *m = x.head;
        if (x.out.n)
            memcpy(m->text, x.out.p, x.out.n);
        n->at_name = offsetof(struct gw_rw_metric, text);
        n->at_extra = (uint32_t)x.name_n;
        r = gw_rw_insert(&t->cache, n, k->hash);
        if (r < 0) {
            gw_rw_release(&t->cache, n);
            free(n);
        } else {
            *ret = n;
        }
    } else if (r == 0) {
        r = -ENOMEM;
    }
    gw_buf_clear(&x.out);
    return r;
}

/** Where to look for a metric's node. Errors: -ENOMEM. */
static int find_key(struct gw_rw_translator *t, uint32_t i)
{
    const struct gw_metric_desc *d = &t->b->metrics[i];
    struct gw_rw_metric_key *k = &t->metric_keys[i];
    int r = gw_rw_resolve_scope(t, d->scope);

    if (r == 0 && !k->key.p)
        r = metric_key(t, d, &k->key);
    if (r == 0 && k->scope != t->scopes[d->scope]) { /* the first time, or in another window */
        k->scope = t->scopes[d->scope];
        k->hash = gw_rw_hash(&t->cache, k->scope, GW_RW_METRIC, k->key);
    }
    return r;
}

int gw_rw_expect_metrics(struct gw_rw_translator *t)
{
    const struct gw_rw_slot *slots;
    int r = 0;

    for (uint32_t i = 0; i < t->b->n_metrics && r == 0; i++) {
        r = find_key(t, i);
        __builtin_prefetch(&t->cache.nodes.slots[t->metric_keys[i].hash & t->cache.nodes.mask]);
    }
    slots = t->cache.nodes.slots;
    for (uint32_t i = 0; i < t->b->n_metrics && r == 0; i++) {
        const struct gw_rw_metric_key *k = &t->metric_keys[i];
        const struct gw_rw_slot *s = &slots[k->hash & t->cache.nodes.mask];

        for (size_t at = 0; s->hash == k->hash && at < sizeof(*s->node) + k->key.n + 64; at += 64)
            __builtin_prefetch((const uint8_t *)s->node + at);
    }
    return r;
}

int gw_rw_resolve_metric(struct gw_rw_translator *t, uint32_t i, struct gw_rw_node **ret)
{
    const struct gw_rw_metric_key *k = &t->metric_keys[i];
    int r = find_key(t, i);

    if (r < 0)
        return r;
    *ret = gw_rw_find(&t->cache, k->hash, k->scope, GW_RW_METRIC, k->key);
    if (!*ret)
        r = new_metric(t, &t->b->metrics[i], k, ret);
    if (r < 0)
        return r;
    gw_rw_touch(&t->cache, *ret);
    t->metrics[i] = *ret;
    return 0;
}
