/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope around kept rows: each level copies its own fields and writes its children where they stood first.
 * Whatever is whole and clean (all rows kept, nothing patched) goes by one memcpy, on the highest level that is.
 */
#include "otlp-proto/encode_priv.h"

#include <errno.h>

static bool any_row(const struct gw_enc *e, struct gw_range rows)
{
    if (e->only != UINT32_MAX)
        return e->only >= rows.begin && e->only < rows.end;
    return rows.begin < rows.end && gw_view_next(e->v, rows.begin) < rows.end;
}

/* All rows kept, none patched. */
static bool rows_are_whole(const struct gw_enc *e, struct gw_range rows)
{
    const uint32_t *heads = e->v->heads[GW_OWN_ROW];

    if (e->only != UINT32_MAX)
        return false;
    if (e->v->kept && gw_view_count(e->v, rows) != rows.end - rows.begin)
        return false;
    for (uint32_t r = rows.begin; heads && r < rows.end; r++)
        if (heads[r])
            return false;
    return true;
}

/* Metrics are in the order of their scopes: the first of a scope, or behind it. */
static uint32_t metrics_from(const struct gw_batch *b, uint32_t scope)
{
    uint32_t lo = 0, hi = b->n_metrics;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (b->metrics[mid].scope < scope)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool scope_is_whole(const struct gw_enc *e, uint32_t scope)
{
    const struct gw_batch *b = e->b;
    const uint32_t *heads = e->v->heads[GW_OWN_METRIC], *data = e->v->heads[GW_OWN_DATA];

    if (gw_view_is_patched(e->v, GW_OWN_SCOPE, scope) || !rows_are_whole(e, b->scopes[scope].rows))
        return false;
    if (heads || data)
        for (uint32_t m = metrics_from(b, scope); m < b->n_metrics && b->metrics[m].scope == scope; m++)
            if ((heads && heads[m]) || (data && data[m]))
                return false;
    return true;
}

static void put_message(struct gw_enc *e, unsigned field, struct gw_ref raw)
{
    if (!gw_enc_room(e, raw.len + 2 * GW_VARINT_MAX))
        return;
    e->p = gw_varint_put(e->p, GW_TAG(field, GW_LEN));
    e->p = gw_varint_put(e->p, raw.len);
    gw_enc_put(e, e->b->base + raw.off, raw.len);
}

/* Do the rows follow each other with nothing between, in minimal framing? Then runs of them are runs of bytes. */
static bool rows_are_dense(const struct gw_batch *b, struct gw_range rows, const struct gw_wire_field *first)
{
    uint32_t end = (uint32_t)(first->at - b->base);

    for (const struct gw_ref *raw = b->raw + rows.begin, *stop = b->raw + rows.end; raw < stop; raw++) {
        uint32_t header = raw->off - end;

        if (header != 3 || raw->len < 0x80 || raw->len >= 0x4000) /* nearly all are of two bytes' length */
            if (header != 1 + gw_varint_size(raw->len))
                return false;
        end = raw->off + raw->len;
    }
    return true;
}

static void put_rows(struct gw_enc *e, unsigned field, struct gw_range rows)
{
    for (uint32_t r = rows.begin; r < rows.end; r++) {
        if (!gw_enc_has(e, r))
            continue;
        if (gw_view_is_patched(e->v, GW_OWN_ROW, r))
            gw_enc_message(e, field, GW_OWN_ROW, r, e->b->raw[r]);
        else
            put_message(e, field, e->b->raw[r]);
    }
}

/*
 * All rows of a parent, whose first row field was just met. The walk goes on behind the last row when nothing stands
 * between them; else it meets the others, which the caller leaves out.
 */
static void put_children(struct gw_enc *e, struct gw_wire_walk *w, const struct gw_wire_field *f, struct gw_range rows)
{
    const struct gw_ref *last = &e->b->raw[rows.end - 1];

    if (e->only != UINT32_MAX) { /* a look at all the others would cost n² for n rows alone */
        put_rows(e, f->number, (struct gw_range){e->only, e->only + 1});
        w->p = e->b->base + last->off + last->len;
        return;
    }
    if (!rows_are_dense(e->b, rows, f)) {
        put_rows(e, f->number, rows);
        return;
    }
    gw_enc_dense_rows(e, f->number, rows, f->at);
    w->p = e->b->base + last->off + last->len;
}

static void put_metric_data(struct gw_enc *e, unsigned field, uint32_t metric)
{
    const struct gw_metric_desc *m = &e->b->metrics[metric];
    bool patched = gw_view_is_patched(e->v, GW_OWN_DATA, metric);
    struct gw_wire_walk w = gw_wire_walk(gw_batch_slice(e->b, m->data));
    size_t at = gw_enc_open(e, field, m->data.len);
    struct gw_wire_field f;
    bool done = false;

    while (gw_wire_next(&w, &f) > 0) {
        if (f.number != 1 && patched)
            gw_enc_field(e, GW_OWN_DATA, metric, &f, w.p);
        else if (f.number != 1)
            gw_enc_put(e, f.at, (size_t)(w.p - f.at));
        else if (!done)
            put_children(e, &w, &f, m->rows);
        done |= f.number == 1;
    }
    if (patched)
        gw_enc_appended(e, GW_OWN_DATA, metric);
    gw_enc_close(e, at, m->data.len);
}

static void put_metric(struct gw_enc *e, uint32_t metric)
{
    const struct gw_metric_desc *m = &e->b->metrics[metric];
    bool patched = gw_view_is_patched(e->v, GW_OWN_METRIC, metric);
    struct gw_wire_walk w = gw_wire_walk(gw_batch_slice(e->b, m->raw));
    struct gw_wire_field f;
    size_t at;

    if (!patched && !gw_view_is_patched(e->v, GW_OWN_DATA, metric) && rows_are_whole(e, m->rows)) {
        put_message(e, 2, m->raw);
        return;
    }
    at = gw_enc_open(e, 2, m->raw.len);
    while (gw_wire_next(&w, &f) > 0) {
        if (f.val.p == e->b->base + m->data.off && f.wire == GW_LEN && f.number >= 5 && f.number <= 11)
            put_metric_data(e, f.number, metric);
        else if (patched)
            gw_enc_field(e, GW_OWN_METRIC, metric, &f, w.p);
        else
            gw_enc_put(e, f.at, (size_t)(w.p - f.at));
    }
    if (patched)
        gw_enc_appended(e, GW_OWN_METRIC, metric);
    gw_enc_close(e, at, m->raw.len);
}

static void put_metrics(struct gw_enc *e, uint32_t scope, struct gw_wire_walk *w)
{
    const struct gw_batch *b = e->b;

    if (e->only != UINT32_MAX) {
        const struct gw_ref *last = &b->metrics[metrics_from(b, scope + 1) - 1].raw;

        put_metric(e, b->metric[e->only]);
        w->p = b->base + last->off + last->len;
        return;
    }
    for (uint32_t m = metrics_from(b, scope); m < b->n_metrics && b->metrics[m].scope == scope; m++)
        if (any_row(e, b->metrics[m].rows))
            put_metric(e, m);
}

/* The message in field 1 of an envelope: a Resource or a scope. */
static void put_head(struct gw_enc *e, enum gw_owner o, uint32_t index, struct gw_ref raw,
                     const struct gw_wire_field *f, const uint8_t *end)
{
    if (gw_view_is_patched(e->v, o, index))
        gw_enc_message(e, 1, o, index, raw);
    else
        gw_enc_put(e, f->at, (size_t)(end - f->at));
}

/*
 * Behind the walk of an envelope: a head that was absent and is patched; and for a row alone, for which the walk jumps
 * over all children, the head and the schema URL when they stood between those.
 */
static void put_missing(struct gw_enc *e, enum gw_owner o, uint32_t index, const struct gw_ref *head,
                        const struct gw_ref *url)
{
    if (head && gw_view_is_patched(e->v, o, index))
        gw_enc_message(e, 1, o, index, *head);
    else if (head && head->len && e->only != UINT32_MAX)
        put_message(e, 1, *head);
    if (url && url->len && e->only != UINT32_MAX)
        put_message(e, 3, *url);
}

static void put_scope(struct gw_enc *e, uint32_t scope)
{
    const struct gw_scope *s = &e->b->scopes[scope];
    struct gw_wire_walk w = gw_wire_walk(gw_batch_slice(e->b, s->outer));
    bool head = false, url = false, done = false;
    struct gw_wire_field f;
    size_t at;

    if (scope_is_whole(e, scope)) {
        put_message(e, 2, s->outer);
        return;
    }
    at = gw_enc_open(e, 2, s->outer.len);
    while (gw_wire_next(&w, &f) > 0) {
        if (f.number == 1) {
            head = true;
            put_head(e, GW_OWN_SCOPE, scope, s->raw, &f, w.p);
        } else if (f.number != 2) {
            url |= f.number == 3;
            gw_enc_put(e, f.at, (size_t)(w.p - f.at));
        } else if (!done) {
            done = true;
            if (e->b->signal == GW_METRICS)
                put_metrics(e, scope, &w);
            else
                put_children(e, &w, &f, s->rows);
        }
    }
    put_missing(e, GW_OWN_SCOPE, scope, head ? NULL : &s->raw, url ? NULL : &s->schema_url);
    gw_enc_close(e, at, s->outer.len);
}

/* Rows of the scopes [begin, end). */
static struct gw_range rows_of(const struct gw_batch *b, struct gw_range scopes)
{
    if (scopes.begin == scopes.end)
        return (struct gw_range){0, 0};
    return (struct gw_range){b->scopes[scopes.begin].rows.begin, b->scopes[scopes.end - 1].rows.end};
}

static bool resource_is_whole(const struct gw_enc *e, uint32_t resource, struct gw_range scopes)
{
    if (e->only != UINT32_MAX || gw_view_is_patched(e->v, GW_OWN_RESOURCE, resource))
        return false;
    for (uint32_t s = scopes.begin; s < scopes.end; s++)
        if (!scope_is_whole(e, s))
            return false;
    return true;
}

/* Scopes are in the order of their resources. */
static const uint8_t *last_scope_end(const struct gw_batch *b, uint32_t resource)
{
    uint32_t lo = 0, hi = b->n_scopes;

    while (lo < hi) { /* the first scope of a later resource */
        uint32_t mid = lo + (hi - lo) / 2;

        if (b->scopes[mid].resource <= resource)
            lo = mid + 1;
        else
            hi = mid;
    }
    return b->base + b->scopes[lo - 1].outer.off + b->scopes[lo - 1].outer.len;
}

static void put_resource(struct gw_enc *e, uint32_t resource, struct gw_range scopes)
{
    const struct gw_resource *r = &e->b->resources[resource];
    struct gw_wire_walk w = gw_wire_walk(gw_batch_slice(e->b, r->outer));
    bool head = false, url = false, done = false;
    struct gw_wire_field f;
    size_t at;

    if (resource_is_whole(e, resource, scopes)) {
        put_message(e, 1, r->outer);
        return;
    }
    at = gw_enc_open(e, 1, r->outer.len);
    while (gw_wire_next(&w, &f) > 0) {
        if (f.number == 1) {
            head = true;
            put_head(e, GW_OWN_RESOURCE, resource, r->raw, &f, w.p);
        } else if (f.number != 2) {
            url |= f.number == 3;
            gw_enc_put(e, f.at, (size_t)(w.p - f.at));
        } else if (e->only != UINT32_MAX) {
            put_scope(e, e->b->scope[e->only]);
            w.p = last_scope_end(e->b, resource);
        } else if (!done) {
            done = true;
            for (uint32_t s = scopes.begin; s < scopes.end; s++)
                if (any_row(e, e->b->scopes[s].rows))
                    put_scope(e, s);
        }
    }
    put_missing(e, GW_OWN_RESOURCE, resource, head ? NULL : &r->raw, url ? NULL : &r->schema_url);
    gw_enc_close(e, at, r->outer.len);
}

/* One request: its resources with kept rows, and what else it holds. */
static void put_segment(struct gw_enc *e, const struct gw_segment *seg)
{
    const struct gw_batch *b = e->b;
    struct gw_wire_walk w = gw_wire_walk(gw_batch_slice(b, seg->wire));
    uint32_t resource = seg->resources.begin, s = seg->scopes.begin;
    struct gw_wire_field f;

    if (!any_row(e, seg->rows))
        return;
    while (gw_wire_next(&w, &f) > 0) {
        struct gw_range scopes = {s, s};

        if (f.number != 1) {
            gw_enc_put(e, f.at, (size_t)(w.p - f.at));
            continue;
        }
        while (scopes.end < seg->scopes.end && b->scopes[scopes.end].resource == resource)
            scopes.end++;
        if (any_row(e, rows_of(b, scopes)))
            put_resource(e, resource, scopes);
        s = scopes.end;
        resource++;
    }
}

static void put_wire(struct gw_enc *e)
{
    const struct gw_segment *seg = e->b->segments;
    uint32_t from = 0, to = 0;

    for (uint32_t i = 0; i < e->b->n_segments; i++) {
        struct gw_ref w = seg[i].wire;

        if (w.off != to) {
            gw_enc_put(e, e->b->base + from, to - from);
            from = w.off;
        }
        to = w.off + w.len;
    }
    gw_enc_put(e, e->b->base + from, to - from);
}

/* What will be about written: the wire's share of the kept rows, and the patches. */
static size_t expected_bytes(const struct gw_view *v)
{
    const struct gw_batch *b = v->batch;
    uint64_t wire = 0;

    for (uint32_t i = 0; i < b->n_segments; i++)
        wire += b->segments[i].wire.len;
    if (v->n_rows < b->n_rows)
        wire = wire * v->n_rows / b->n_rows + 1024;
    return (size_t)(wire + v->n_patches * UINT64_C(64) + 64);
}

static void forget_kvs(struct gw_enc *e, struct gw_enc_kv *kvs)
{
    e->kvs = kvs;
    for (unsigned i = 0; i < GW_N_KVS; i++)
        kvs[i].edit = kvs[i].turn = 0; /* their bytes need no clearing */
}

int gw_encode_segment(const struct gw_view *v, uint32_t segment, struct gw_buf *out)
{
    const struct gw_segment *s = &v->batch->segments[segment];
    struct gw_enc_kv kvs[GW_N_KVS + 1];
    struct gw_enc e;

    if (v->failed)
        return -ENOMEM;
    gw_enc_begin(&e, v, out, s->wire.len + (size_t)64);
    forget_kvs(&e, kvs);
    put_segment(&e, s);
    return gw_enc_finish(&e);
}

int gw_encode(const struct gw_view *v, struct gw_buf *out)
{
    struct gw_enc_kv kvs[GW_N_KVS + 1];
    struct gw_enc e;

    if (v->failed)
        return -ENOMEM; /* half edited: not to be sent */
    gw_enc_begin(&e, v, out, expected_bytes(v));
    forget_kvs(&e, kvs);
    if (gw_view_is_untouched(v)) {
        put_wire(&e);
    } else {
        for (uint32_t i = 0; i < v->batch->n_segments; i++)
            put_segment(&e, &v->batch->segments[i]);
    }
    return gw_enc_finish(&e);
}

int gw_encode_row(const struct gw_view *v, uint32_t row, struct gw_buf *out)
{
    uint32_t scope = v->batch->scope[row], resource = v->batch->scopes[scope].resource;
    struct gw_enc e;

    if (v->failed)
        return -ENOMEM;
    gw_enc_begin(&e, v, out, v->batch->raw[row].len + 1024);
    e.only = row;
    put_resource(&e, resource, (struct gw_range){scope, scope + 1});
    return gw_enc_finish(&e);
}
