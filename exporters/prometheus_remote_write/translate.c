/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/translate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { BLOCK = 16, ROW_BYTES_MAX = 64 << 20, KEEP_BYTES = 4 << 20 };

/** A row on its way to its node: the cache is asked ahead for what will be looked at. */
struct pending {
    uint32_t row;
    struct gw_rw_node *metric;
    struct gw_slice key;
    uint64_t hash;
};

/* ---- life ------------------------------------------------------------------------------------------------- */

/** Names of external labels are escaped in every strategy, as the Collector does. */
static int take_external(struct gw_rw_translator *t, const struct gw_map *m)
{
    struct gw_buf name;
    int r = 0;

    if (!m || m->n == 0)
        return 0;
    t->external = calloc(m->n, sizeof(*t->external));
    if (!t->external)
        return -ENOMEM;
    gw_buf_init(&name, 1 << 20);
    for (size_t i = 0; i < m->n && r == 0; i++) {
        struct gw_slice value = gw_slice_cstr(m->entries[i].value);

        gw_buf_reset(&name);
        r = value.n ? gw_rw_put_label_name(&name, GW_RW_LABEL, gw_slice_cstr(m->entries[i].key)) : -EINVAL;
        t->external[i] = (struct gw_rw_external){gw_arena_dup(&t->lasting, gw_buf_slice(&name)), value};
        if (r == 0 && !t->external[i].name.p)
            r = -ENOMEM;
        t->n_external++;
    }
    gw_buf_clear(&name);
    return r;
}

int gw_rw_translator_new(const struct gw_rw_options *o, struct gw_rw_translator **ret)
{
    size_t most = o->max_request_bytes > ROW_BYTES_MAX / 2 ? o->max_request_bytes * 2 : ROW_BYTES_MAX;
    struct gw_rw_translator *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    if (gw_rw_cache_init(&t->cache, o->seed, o->series_cache_bytes) < 0) {
        free(t);
        return -ENOMEM;
    }
    t->cache.release = gw_rw_release;
    t->o = *o;
    gw_arena_init(&t->lasting, 1 << 10, SIZE_MAX);
    gw_arena_init(&t->arena, 1 << 16, SIZE_MAX);
    gw_rw_labels_init(&t->labels);
    gw_rw_writer_init(&t->writer, &t->cache.symbols, most);
    gw_buf_init(&t->key, SIZE_MAX / 4);
    t->info = calloc(1, sizeof(*t->info));
    r = t->info ? take_external(t, o->external_labels) : -ENOMEM;
    if (r == 0 && o->delta_to_cumulative) {
        t->sums = calloc(1, sizeof(*t->sums));
        r = t->sums ? gw_rw_sums_init(t->sums, o->seed, o->series_cache_bytes) : -ENOMEM;
    }
    if (r == 0)
        r = gw_rw_symbol_get(&t->cache.symbols, GW_SLICE("Target metadata"), &t->info->help);
    if (r < 0) {
        gw_rw_translator_free(t);
        return r;
    }
    t->info->type = 2; /* a gauge */
    *ret = t;
    return 0;
}

void gw_rw_translator_free(struct gw_rw_translator *t)
{
    if (!t)
        return;
    gw_rw_writer_clear(&t->writer);
    gw_rw_cache_clear(&t->cache);
    gw_rw_labels_clear(&t->labels);
    gw_arena_clear(&t->lasting);
    gw_arena_clear(&t->arena);
    gw_buf_clear(&t->key);
    if (t->sums)
        gw_rw_sums_clear(t->sums);
    free(t->sums);
    free(t->external);
    free(t->info);
    free(t->samples);
    free(t->points);
    free(t->placed);
    free(t);
}

const struct gw_rw_stats *gw_rw_translator_stats(const struct gw_rw_translator *t)
{
    return &t->stats;
}

/* ---- writing a window -------------------------------------------------------------------------------------- */

static void refuse(struct gw_rw_translator *t, uint32_t row, const struct gw_rw_refusal *why)
{
    const struct gw_metric_desc *d = &t->b->metrics[t->b->metric[row]];
    char message[512];

    (void)snprintf(message, sizeof(message), "%s (metric \"%.*s\")", why->message,
                   d->name.len < 200 ? (int)d->name.len : 200, (const char *)t->b->base + d->name.off);
    t->stats.failed++;
    t->sink->refuse(t->sink->arg, row, why->reason, message);
}

static int compare_rows(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int send(struct gw_rw_translator *t, unsigned shard)
{
    struct gw_rw_writer *w = &t->writer;
    struct gw_rw_request rq = {.shard = shard,
                               .body = gw_rw_writer_body(w),
                               .rows = t->rows,
                               .n_rows = t->n_rows,
                               .n_series = w->n_series,
                               .n_samples = w->n_samples,
                               .n_histograms = w->n_histograms,
                               .n_exemplars = w->n_exemplars};

    if (w->failed)
        return -ENOMEM;
    if (!t->rows_ascend)
        qsort(t->rows, t->n_rows, sizeof(*t->rows), compare_rows);
    t->n_rows = 0;
    t->rows_ascend = true;
    t->stats.series += w->n_series;
    return t->sink->emit(t->sink->arg, &rq);
}

static int compare_times(const void *a, const void *b, void *times)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int64_t u = (int64_t)((const uint64_t *)times)[x], v = (int64_t)((const uint64_t *)times)[y];

    return u != v ? (u < v ? -1 : 1) : x < y ? -1 : x > y;
}

/** Rows of a node in order of time; of one time in the order of the batch. */
static void rows_of(struct gw_rw_translator *t, const struct gw_rw_node *n)
{
    uint64_t *times = n->kind == GW_RW_INFO ? t->latest : t->b->time_ns;
    uint32_t base = n->kind == GW_RW_INFO ? t->b->n_rows : 0;
    bool ascend = true;

    t->n_of_node = 0;
    for (uint32_t i = n->head; i != GW_RW_NO_ROW; i = t->next[i]) {
        t->of_node[t->n_of_node] = i - base;
        if (t->n_of_node && (int64_t)times[t->of_node[t->n_of_node - 1]] > (int64_t)times[i - base])
            ascend = false;
        t->n_of_node++;
    }
    if (!ascend)
        qsort_r(t->of_node, t->n_of_node, sizeof(*t->of_node), compare_times, times);
}

/** A MetricMetadata for each metric, once a window. */
static void put_metadata(struct gw_rw_translator *t)
{
    for (uint32_t i = 0; i < t->n_of_node; i++) {
        struct gw_rw_metric *m = gw_rw_metric_of(t, t->of_node[i]);

        if (m->sent == t->cache.epoch)
            continue;
        m->sent = t->cache.epoch;
        gw_buf_put(&t->writer.body, m->text + m->metadata_at, m->metadata_n);
    }
}

/** They were taken back with their node. A metric that another node has sent is sent twice: no harm. */
static void unsend_metadata(struct gw_rw_translator *t)
{
    for (uint32_t i = 0; i < t->n_of_node; i++)
        gw_rw_metric_of(t, t->of_node[i])->sent = 0;
}

static void note_rows(struct gw_rw_translator *t)
{
    for (uint32_t i = 0; i < t->n_of_node; i++) {
        if (t->n_rows && t->rows[t->n_rows - 1] > t->of_node[i])
            t->rows_ascend = false;
        t->rows[t->n_rows++] = t->of_node[i];
    }
}

/** What a writer held before a node, to go back to. */
struct mark {
    size_t body;
    uint32_t series, samples, histograms, exemplars;
};

static struct mark mark_of(const struct gw_rw_writer *w)
{
    return (struct mark){w->body.n, w->n_series, w->n_samples, w->n_histograms, w->n_exemplars};
}

static int write_one(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    if (t->o.send_metadata && t->writer.version == GW_RW_1 && n->kind == GW_RW_SERIES && !t->sink->rows_only)
        put_metadata(t);
    return gw_rw_write_node(t, n);
}

static bool is_full(const struct gw_rw_translator *t)
{
    return t->writer.failed || gw_rw_writer_bytes(&t->writer) > t->o.max_request_bytes;
}

/**
 * A node behind those that the request has, or, when it would grow too long, in a new one. A node too long by itself
 * has one; one that finds no room at all is refused.
 */
static int write_node(struct gw_rw_translator *t, struct gw_rw_node *n, unsigned shard)
{
    static const struct gw_rw_refusal too_long = {"too_large", "the series of the point do not fit into a request"};
    struct gw_rw_writer *w = &t->writer;
    struct mark before = mark_of(w);
    size_t head = w->head.n;
    int r;

    rows_of(t, n);
    r = write_one(t, n);
    if (r == 0 && is_full(t) && before.series) {
        gw_buf_reset(&w->tail);
        w->failed = w->body.failed = w->head.failed = false;
        w->body.n = before.body;
        w->head.n = head;
        w->n_series = before.series;
        w->n_samples = before.samples;
        w->n_histograms = before.histograms;
        w->n_exemplars = before.exemplars;
        if (n->kind == GW_RW_SERIES)
            unsend_metadata(t);
        r = send(t, shard);
        if (r < 0)
            return r;
        gw_rw_writer_begin(w, w->version);
        r = write_one(t, n);
    }
    if (r == 0 && w->failed && !gw_rw_writer_is_full(w))
        return -ENOMEM;
    if (r == 0 && w->failed) {
        for (uint32_t i = 0; i < t->n_of_node && n->kind == GW_RW_SERIES; i++)
            refuse(t, t->of_node[i], &too_long);
        gw_rw_writer_begin(w, w->version);
        return 0;
    }
    if (r == 0 && n->kind == GW_RW_SERIES)
        note_rows(t);
    return r;
}

/** Nodes by shard, in their order. Errors: -ENOMEM. */
static int sort_nodes(struct gw_rw_translator *t, uint32_t *begins)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n_nodes; i++)
        begins[t->nodes[i]->shard]++;
    for (unsigned s = 0; s <= t->o.n_shards; s++) {
        uint32_t k = begins[s];

        begins[s] = n;
        n += k;
    }
    for (uint32_t i = 0; i < t->n_nodes; i++)
        t->sorted[begins[t->nodes[i]->shard]++] = t->nodes[i];
    for (unsigned s = t->o.n_shards; s > 0; s--)
        begins[s] = begins[s - 1];
    begins[0] = 0;
    return 0;
}

/** Write what was gathered, and begin a new window. */
static int end_window(struct gw_rw_translator *t)
{
    unsigned n_shards = t->o.n_shards ? t->o.n_shards : 1;
    uint32_t *begins = gw_arena_zalloc(&t->arena, (n_shards + 1) * sizeof(*begins));
    int r = begins ? sort_nodes(t, begins) : -ENOMEM;

    for (unsigned s = 0; s < n_shards && r == 0; s++) {
        gw_rw_writer_begin(&t->writer, t->cache.version);
        t->n_rows = 0;
        t->rows_ascend = true;
        for (uint32_t i = begins[s]; i < begins[s + 1] && r == 0; i++)
            r = write_node(t, t->sorted[i], s);
        if (r == 0 && t->writer.n_series)
            r = send(t, s);
    }
    gw_rw_writer_begin(&t->writer, t->cache.version);
    t->n_nodes = 0;
    t->cache.epoch++;
    memset(t->resources, 0, t->b->n_resources * sizeof(*t->resources));
    memset(t->scopes, 0, t->b->n_scopes * sizeof(*t->scopes));
    memset(t->metrics, 0, t->b->n_metrics * sizeof(*t->metrics));
    return r;
}

/* ---- gathering --------------------------------------------------------------------------------------------- */

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
    r = end_window(t);
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
        r = end_window(t);
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
        refuse(t, p->row, why);
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
        refuse(t, p->row, why);
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

static int gather(struct gw_rw_translator *t)
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

/** target_info of each resource that has kept rows. Its time is that of the batch's newest point, kept or not. */
static int gather_infos(struct gw_rw_translator *t)
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
            r = end_window(t);
            if (r == 0)
                r = gw_rw_resolve_info(t, i, true, &n);
        }
        if (r == 0 && n)
            link_row(t, n, b->n_rows + i);
    }
    return r;
}

static int arrays(struct gw_rw_translator *t)
{
    const struct gw_batch *b = t->b;
    size_t n = (size_t)b->n_rows + b->n_resources + 1;

    gw_arena_reset(&t->arena, KEEP_BYTES);
    t->latest = gw_arena_zalloc(&t->arena, (b->n_resources + 1) * sizeof(*t->latest));
    t->resources = gw_arena_zalloc(&t->arena, (b->n_resources + 1) * sizeof(*t->resources));
    t->scopes = gw_arena_zalloc(&t->arena, (b->n_scopes + 1) * sizeof(*t->scopes));
    t->metrics = gw_arena_zalloc(&t->arena, (b->n_metrics + 1) * sizeof(*t->metrics));
    t->metric_keys = gw_arena_zalloc(&t->arena, (b->n_metrics + 1) * sizeof(*t->metric_keys));
    t->next = gw_arena_alloc(&t->arena, n * sizeof(*t->next));
    t->rows = gw_arena_alloc(&t->arena, n * sizeof(*t->rows));
    t->of_node = gw_arena_alloc(&t->arena, n * sizeof(*t->of_node));
    t->nodes = gw_arena_alloc(&t->arena, n * sizeof(*t->nodes));
    t->sorted = gw_arena_alloc(&t->arena, n * sizeof(*t->sorted));
    t->n_nodes = 0;
    return t->latest && t->resources && t->scopes && t->metrics && t->metric_keys && t->next && t->rows && t->of_node &&
                   t->nodes && t->sorted
               ? 0
               : -ENOMEM;
}

int gw_rw_translate(struct gw_rw_translator *t, const struct gw_view *v, enum gw_rw_version version,
                    const struct gw_rw_sink *sink)
{
    int r;

    if (v->n_patches)
        return -EINVAL;
    t->view = v;
    t->b = v->batch;
    t->sink = sink;
    if (t->cache.version != version) {
        gw_rw_cache_reset(&t->cache);
        t->cache.version = version;
    }
    t->cache.epoch++;
    gw_rw_writer_begin(&t->writer, version);
    r = arrays(t);
    if (r == 0 && t->sums)
        r = gw_rw_sums_begin(t->sums, v->batch, &t->arena, &t->b);
    if (r == 0)
        r = gather(t);
    if (r == 0 && t->o.target_info && !sink->rows_only)
        r = gather_infos(t);
    if (r == 0)
        r = end_window(t);
    t->stats.cache_bytes = t->cache.bytes + t->cache.symbols.bytes;
    t->stats.cache_evictions = t->cache.evictions;
    return r;
}
