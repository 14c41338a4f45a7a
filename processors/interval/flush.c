/* SPDX-License-Identifier: Apache-2.0 */
/* What was kept leaves as requests: the streams in order of their scopes and metrics, lengths counted beforehand. */
#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/wire.h"
#include "processors/interval/interval.h"
#include "processors/interval/notes.h"

enum { CUT_BYTES = 512 << 10, ENVELOPE_BYTES = 64 };

static const struct gw_iv_point *point_at(const struct gw_iv_store *s, uint32_t i)
{
    return gw_series_value(s->due[i]);
}

static const struct gw_iv_note *metric_note(const struct gw_iv_store *s, uint32_t i)
{
    return gw_streams_note(gw_streams_above(s->due[i]));
}

static const struct gw_iv_note *scope_note(const struct gw_iv_store *s, uint32_t i)
{
    return gw_streams_note(gw_streams_above(gw_streams_above(s->due[i])));
}

/* ---- what is due ------------------------------------------------------------------------------------------ */

static bool is_due(const struct gw_iv_store *s, struct gw_series *x)
{
    if (!((const struct gw_iv_point *)gw_series_value(x))->has)
        return false;
    return !s->streams->conf.watch || s->partitions >> gw_streams_mark(s->streams, x)->partition & 1;
}

static void collect(struct gw_iv_store *s)
{
    const struct gw_series *scope, *metric;

    for (scope = s->streams->all.first; scope; scope = scope->next)
        for (metric = gw_streams_first(scope); metric; metric = metric->next)
            for (struct gw_series *x = gw_streams_first(metric); x; x = x->next)
                if (is_due(s, x))
                    s->due[s->n_due++] = x;
}

static void end(struct gw_iv_store *s)
{
    free(s->due);
    s->due = NULL;
    s->n_due = s->at = 0;
    gw_streams_sweep_begin(s->streams);
}

bool gw_iv_flush_begin(struct gw_iv_store *s, uint64_t now_ns)
{
    if (s->due)
        return true;
    if (s->n_points) {
        s->due = malloc(s->n_points * sizeof(struct gw_series *));
        if (!s->due)
            return false;
        collect(s);
    }
    s->before_ns = s->flushed_ns;
    s->flushed_ns = now_ns;
    if (s->n_due == 0)
        end(s);
    return true;
}

/* Behind the last point of the next request. */
static uint32_t cut(const struct gw_iv_store *s, size_t *ret_bytes)
{
    uint32_t i = s->at;
    size_t bytes = 0;

    while (i < s->n_due && bytes < CUT_BYTES) {
        bytes += point_at(s, i)->n + ENVELOPE_BYTES;
        if (i == s->at || gw_streams_above(s->due[i]) != gw_streams_above(s->due[i - 1]))
            bytes += metric_note(s, i)->n + scope_note(s, i)->n;
        i++;
    }
    *ret_bytes = bytes;
    return i;
}

uint32_t gw_iv_next(const struct gw_iv_store *s, size_t *ret_bytes)
{
    return cut(s, ret_bytes) - s->at;
}

/* ---- lengths ---------------------------------------------------------------------------------------------- */

static size_t field_size(size_t n)
{
    return 1 + gw_varint_size(n) + n;
}

static uint32_t metric_end(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    uint32_t k = i + 1;

    while (k < end && s->due[k]->group == s->due[i]->group)
        k++;
    return k;
}

static uint32_t scope_end(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    uint32_t k = i + 1;

    while (k < end && gw_streams_above(s->due[k])->group == gw_streams_above(s->due[i])->group)
        k++;
    return k;
}

static bool same_resource(const struct gw_iv_note *a, const struct gw_iv_note *b)
{
    return gw_slice_eq(gw_slice_of(a->p, a->first), gw_slice_of(b->p, b->first));
}

static uint32_t resource_end(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    uint32_t k = scope_end(s, i, end);

    while (k < end && same_resource(scope_note(s, i), scope_note(s, k)))
        k = scope_end(s, k, end);
    return k;
}

static size_t data_size(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    const struct gw_iv_note *n = metric_note(s, i);
    size_t bytes = n->n - n->first;

    for (; i < end; i++)
        bytes += field_size(point_at(s, i)->n);
    return bytes;
}

static size_t metric_size(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    return metric_note(s, i)->first + field_size(data_size(s, i, end));
}

static size_t scope_size(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    const struct gw_iv_note *n = scope_note(s, i);
    size_t bytes = n->n - n->first;

    for (uint32_t k; i < end; i = k) {
        k = metric_end(s, i, end);
        bytes += field_size(metric_size(s, i, k));
    }
    return bytes;
}

static size_t resource_size(const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    size_t bytes = scope_note(s, i)->first;

    for (uint32_t k; i < end; i = k) {
        k = scope_end(s, i, end);
        bytes += field_size(scope_size(s, i, k));
    }
    return bytes;
}

/* ---- bytes ------------------------------------------------------------------------------------------------ */

static void put_head(struct gw_buf *b, unsigned field, size_t n)
{
    uint8_t head[2 * GW_VARINT_MAX], *at = gw_varint_put(gw_varint_put(head, GW_TAG(field, GW_LEN)), n);

    gw_buf_put(b, head, (size_t)(at - head));
}

static void put_metric(struct gw_buf *b, const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    const struct gw_iv_note *n = metric_note(s, i);

    put_head(b, 2, metric_size(s, i, end));
    gw_buf_put(b, n->p, n->first);
    put_head(b, n->field, data_size(s, i, end));
    for (; i < end; i++) {
        const struct gw_iv_point *p = point_at(s, i);

        put_head(b, 1, p->n);
        if (p->n)
            gw_buf_put(b, p->bytes, p->n);
    }
    gw_buf_put(b, n->p + n->first, n->n - n->first);
}

static void put_scope(struct gw_buf *b, const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    const struct gw_iv_note *n = scope_note(s, i);

    put_head(b, 2, scope_size(s, i, end));
    for (uint32_t k; i < end; i = k) {
        k = metric_end(s, i, end);
        put_metric(b, s, i, k);
    }
    gw_buf_put(b, n->p + n->first, n->n - n->first);
}

static void put_resource(struct gw_buf *b, const struct gw_iv_store *s, uint32_t i, uint32_t end)
{
    const struct gw_iv_note *n = scope_note(s, i);

    put_head(b, 1, resource_size(s, i, end));
    gw_buf_put(b, n->p, n->first);
    for (uint32_t k; i < end; i = k) {
        k = scope_end(s, i, end);
        put_scope(b, s, i, k);
    }
}

/* ---- out -------------------------------------------------------------------------------------------------- */

static void write_sums(const struct gw_iv_store *s, struct gw_view *v)
{
    struct gw_rewrite w;

    gw_rewrite_begin_own(&w, v);
    for (uint32_t row = 0; row < v->batch->n_rows; row++) {
        const struct gw_iv_point *p = point_at(s, s->at + row);

        if (!p->is_sum)
            continue;
        gw_running_write(&p->total, &w, row);
        gw_rewrite_time(&w, row, p->total.time_ns);
    }
    gw_rewrite_end(&w);
}

static void let_go(struct gw_iv_store *s, uint32_t to)
{
    for (; s->at < to; s->at++) {
        struct gw_iv_point *p = gw_series_value(s->due[s->at]);

        p->has = p->is_sum = false;
        s->n_points--;
    }
    if (s->at == s->n_due)
        end(s);
}

int gw_iv_flush(struct gw_iv_store *s, struct gw_buf *body, struct gw_arena *arena, struct gw_batch_pool *pool,
                struct gw_view *ret)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    size_t bytes;
    uint32_t to = cut(s, &bytes);
    struct gw_batch *b;
    struct gw_ref at;
    int rc;

    gw_buf_reset(body);
    for (uint32_t i = s->at, k; i < to; i = k) {
        k = resource_end(s, i, to);
        put_resource(body, s, i, k);
    }
    if (body->failed)
        return -ENOMEM; /* it is far below its maximum */
    b = pool ? gw_batch_pool_get(pool, GW_METRICS) : gw_batch_new(GW_METRICS);
    if (!b)
        return -ENOMEM;
    limits.depth = GW_DEPTH_MAX; /* the receiver has looked already */
    limits.rows = limits.decode_bytes_per_byte = UINT32_MAX;
    rc = gw_batch_append(b, gw_buf_slice(body), &at);
    if (rc == 0)
        rc = gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL);
    if (rc == 0 && b->n_rows != to - s->at)
        rc = -EBADMSG;
    if (rc == 0) {
        gw_view_init(ret, b, arena);
        write_sums(s, ret);
    }
    if (rc != -ENOMEM)
        let_go(s, to);
    (void)gw_batch_unref(b);
    return rc;
}
