/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/translate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { KEEP_BYTES = 4 << 20 };

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
    size_t most = o->max_request_bytes > GW_RW_ROW_BYTES_MAX / 2 ? o->max_request_bytes * 2 : GW_RW_ROW_BYTES_MAX;
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

void gw_rw_translator_limit(struct gw_rw_translator *t, size_t max_request_bytes)
{
    if (max_request_bytes < t->o.max_request_bytes)
        t->o.max_request_bytes = max_request_bytes;
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

void gw_rw_refuse(struct gw_rw_translator *t, uint32_t row, const struct gw_rw_refusal *why)
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
    size_t body, head;
    uint32_t series, samples, histograms, exemplars;
};

static struct mark mark_of(const struct gw_rw_writer *w)
{
    return (struct mark){w->body.n, w->head.n, w->n_series, w->n_samples, w->n_histograms, w->n_exemplars};
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

/** Send what stood there before a node, and begin anew: symbols that the node was the first to use are gone. */
static int send_before(struct gw_rw_translator *t, const struct gw_rw_node *n, const struct mark *m, unsigned shard)
{
    struct gw_rw_writer *w = &t->writer;
    int r;

    gw_buf_reset(&w->tail);
    w->failed = w->body.failed = w->head.failed = false;
    w->body.n = m->body;
    w->head.n = m->head;
    w->n_series = m->series;
    w->n_samples = m->samples;
    w->n_histograms = m->histograms;
    w->n_exemplars = m->exemplars;
    if (n->kind == GW_RW_SERIES)
        unsend_metadata(t);
    r = send(t, shard);
    gw_rw_writer_begin(w, w->version);
    return r;
}

/** Its rows fit into no request. */
static void refuse_node(struct gw_rw_translator *t, const struct gw_rw_node *n)
{
    static const struct gw_rw_refusal too_long = {"too_large", "the series of the point do not fit into a request"};

    for (uint32_t i = 0; i < t->n_of_node && n->kind == GW_RW_SERIES; i++)
        gw_rw_refuse(t, t->of_node[i], &too_long);
    gw_rw_writer_begin(&t->writer, t->writer.version);
}

/**
 * A node behind those that the request has, or, when it would grow too long, in a new one. A node too long by itself
 * has one; one that finds no room at all is refused.
 */
static int write_node(struct gw_rw_translator *t, struct gw_rw_node *n, unsigned shard)
{
    struct gw_rw_writer *w = &t->writer;
    struct mark before = mark_of(w);
    int r, sent;

    rows_of(t, n);
    r = write_one(t, n);
    if ((r == -E2BIG || (r == 0 && is_full(t))) && before.series) {
        sent = send_before(t, n, &before, shard);
        if (sent < 0)
            return sent;
        r = r == 0 ? write_one(t, n) : r;
    }
    if (r == 0 && w->failed)
        r = gw_rw_writer_is_full(w) ? -E2BIG : -ENOMEM;
    if (r == -E2BIG) {
        refuse_node(t, n);
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
int gw_rw_end_window(struct gw_rw_translator *t)
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

/* ---- translating ------------------------------------------------------------------------------------------ */

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
    if (t->cache.version != version || t->cache.epoch > UINT32_MAX / 2) { /* or numbers would be used twice */
        gw_rw_cache_reset(&t->cache);
        t->cache.version = version;
        t->cache.epoch = 0;
    }
    t->cache.epoch++;
    gw_rw_writer_begin(&t->writer, version);
    r = arrays(t);
    if (r == 0 && t->sums)
        r = gw_rw_sums_begin(t->sums, v->batch, &t->arena, &t->b);
    if (r == 0)
        r = gw_rw_gather(t);
    if (r == 0 && t->o.target_info && !sink->rows_only)
        r = gw_rw_gather_infos(t);
    if (r == 0)
        r = gw_rw_end_window(t);
    t->stats.cache_bytes = t->cache.bytes + t->cache.symbols.bytes;
    t->stats.cache_evictions = t->cache.evictions;
    return r;
}
