/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message's length is not known before its end: one byte is left for it, and what it needs beyond is made by moving
 * the body. Points are short, and the messages around them are moved once in a megabyte.
 */
#include "series/metrics_writer.h"

#include <errno.h>

#include "batch/pool.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/wire.h"
#include "pipeline/ports.h"

/* ---- fields ----------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    uint8_t text[GW_VARINT_MAX];

    gw_buf_put(b, text, (size_t)(gw_varint_put(text, v) - text));
}

static void put_uint(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, GW_TAG(field, GW_VARINT));
    put_varint(b, v);
}

static void put_fixed64(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, GW_TAG(field, GW_I64));
    gw_buf_put(b, &v, 8); /* little endian, as everything we run on */
}

static void put_double(struct gw_buf *b, unsigned field, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    put_fixed64(b, field, bits);
}

static void put_bytes(struct gw_buf *b, unsigned field, struct gw_slice s)
{
    put_varint(b, GW_TAG(field, GW_LEN));
    put_varint(b, s.n);
    gw_buf_put_slice(b, s);
}

static void put_text(struct gw_buf *b, unsigned field, struct gw_slice s)
{
    if (s.n)
        put_bytes(b, field, s);
}

/* Returns where its body begins. */
static size_t begin(struct gw_buf *b, unsigned field)
{
    put_varint(b, GW_TAG(field, GW_LEN));
    gw_buf_put_u8(b, 0);
    return b->n;
}

static void end(struct gw_buf *b, size_t body)
{
    size_t n = b->n - body, more = gw_varint_size(n) - 1;

    if (b->failed || gw_buf_reserve(b, more) < 0)
        return;
    if (more)
        memmove(b->p + body + more, b->p + body, n);
    (void)gw_varint_put(b->p + body - 1, n);
    b->n += more;
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

static void put_any(struct gw_buf *b, const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_STRING:
        put_bytes(b, 1, v->s);
        break;
    case GW_V_BOOL:
        put_uint(b, 2, v->b);
        break;
    case GW_V_INT:
        put_uint(b, 3, (uint64_t)v->i);
        break;
    case GW_V_DOUBLE:
        put_double(b, 4, v->f);
        break;
    case GW_V_ARRAY:
        put_bytes(b, 5, v->s);
        break;
    case GW_V_KVLIST:
        put_bytes(b, 6, v->s);
        break;
    case GW_V_BYTES:
        put_bytes(b, 7, v->s);
        break;
    case GW_V_EMPTY:
        break;
    }
}

void gw_mw_attr_put(struct gw_buf *run, struct gw_slice key, const struct gw_value *value)
{
    size_t kv = begin(run, 1), any;

    put_bytes(run, 1, key);
    any = begin(run, 2);
    put_any(run, value);
    end(run, any);
    end(run, kv);
}

void gw_mw_attr_put_str(struct gw_buf *run, struct gw_slice key, struct gw_slice value)
{
    size_t text = 1 + gw_varint_size(value.n) + value.n;
    size_t kv = 1 + gw_varint_size(key.n) + key.n + 1 + gw_varint_size(text) + text;
    uint8_t *p;

    if (gw_buf_reserve(run, kv + 64) < 0)
        return;
    p = run->p + run->n;
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, kv);
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, key.n);
    memcpy(p, key.p, key.n);
    p += key.n;
    *p++ = GW_TAG(2, GW_LEN);
    p = gw_varint_put(p, text);
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, value.n);
    if (value.n)
        memcpy(p, value.p, value.n);
    run->n = (size_t)(p + value.n - run->p);
}

/* A run under another field number. Both have tags of one byte. */
static void put_run(struct gw_buf *b, unsigned field, struct gw_slice run)
{
    struct gw_wire_walk walk = gw_wire_walk(run);
    struct gw_wire_field f;

    while (gw_wire_next(&walk, &f) == 1)
        put_bytes(b, field, f.val);
}

/* ---- messages --------------------------------------------------------------------------------------------- */

enum { RESOURCE, SCOPE, METRIC, DATA };

static void close_to(struct gw_mw *w, unsigned depth)
{
    while (w->depth > depth)
        end(w->out, w->open[--w->depth]);
}

static void open_at(struct gw_mw *w, unsigned depth, unsigned field)
{
    w->open[depth] = begin(w->out, field);
    w->depth = depth + 1;
}

void gw_mw_init(struct gw_mw *w, struct gw_buf *out, size_t cut_bytes, gw_mw_cut_fn cut, void *arg)
{
    *w = (struct gw_mw){.out = out, .cut_bytes = cut_bytes, .cut = cut, .arg = arg};
}

static void open_resource(struct gw_mw *w)
{
    size_t resource;

    open_at(w, RESOURCE, 1);
    resource = begin(w->out, 1);
    put_run(w->out, 1, w->resource);
    end(w->out, resource);
}

void gw_mw_resource(struct gw_mw *w, struct gw_slice attrs, struct gw_slice schema_url)
{
    close_to(w, RESOURCE);
    w->resource = attrs;
    w->schema_url = schema_url;
    open_resource(w);
    put_text(w->out, 3, schema_url);
}

static void open_scope(struct gw_mw *w)
{
    size_t scope;

    open_at(w, SCOPE, 2);
    scope = begin(w->out, 1);
    put_text(w->out, 1, w->scope_name);
    put_text(w->out, 2, w->scope_version);
    put_run(w->out, 3, w->scope_attrs);
    end(w->out, scope);
}

void gw_mw_scope_with(struct gw_mw *w, struct gw_slice name, struct gw_slice version, struct gw_slice attrs)
{
    close_to(w, SCOPE);
    w->scope_name = name;
    w->scope_version = version;
    w->scope_attrs = attrs;
    open_scope(w);
}

void gw_mw_scope(struct gw_mw *w, struct gw_slice name, struct gw_slice version)
{
    gw_mw_scope_with(w, name, version, GW_SLICE(""));
}

/* Field numbers of Metric.data, by type. */
static unsigned data_field(enum gw_metric_type t)
{
    static const unsigned fields[] = {
        [GW_M_GAUGE] = 5, [GW_M_SUM] = 7, [GW_M_HISTOGRAM] = 9, [GW_M_EXP_HISTOGRAM] = 10};

    return fields[t];
}

static void open_metric(struct gw_mw *w)
{
    const struct gw_mw_metric *m = &w->metric;

    open_at(w, METRIC, 2);
    put_text(w->out, 1, m->name);
    put_text(w->out, 2, m->description);
    put_text(w->out, 3, m->unit);
    open_at(w, DATA, data_field(m->type));
    if (m->type != GW_M_GAUGE)
        put_uint(w->out, 2, m->temporality);
    if (m->type == GW_M_SUM && m->monotonic)
        put_uint(w->out, 3, 1);
}

void gw_mw_metric(struct gw_mw *w, const struct gw_mw_metric *m)
{
    close_to(w, METRIC);
    w->metric = *m;
    open_metric(w);
}

static int hand_over(struct gw_mw *w)
{
    int rc;

    close_to(w, RESOURCE);
    rc = gw_buf_error(w->out);
    if (rc == 0 && w->points)
        rc = w->cut(w->arg, gw_buf_slice(w->out), w->points);
    gw_buf_reset(w->out);
    w->points = 0;
    w->rc = w->rc ? w->rc : rc;
    return w->rc;
}

int gw_mw_end(struct gw_mw *w)
{
    return hand_over(w);
}

/* Room for one more point in this body. */
static bool may_go_on(struct gw_mw *w)
{
    if (w->rc)
        return false;
    if (w->points && w->out->n > w->cut_bytes) {
        if (hand_over(w) < 0)
            return false;
        open_resource(w);
        put_text(w->out, 3, w->schema_url);
        open_scope(w);
        open_metric(w);
    }
    w->points++;
    return true;
}

/* ---- points ----------------------------------------------------------------------------------------------- */

static void put_exemplars(struct gw_buf *b, unsigned field, const struct gw_mw_point *p)
{
    static const uint8_t none[16];

    for (unsigned i = 0; i < p->n_exemplars; i++) {
        const struct gw_mw_exemplar *e = &p->exemplars[i];
        size_t body = begin(b, field);

        put_fixed64(b, 2, e->time_ns);
        put_double(b, 3, e->value);
        if (memcmp(e->span_id, none, sizeof(e->span_id)) != 0)
            put_bytes(b, 4, gw_slice_of(e->span_id, sizeof(e->span_id)));
        if (memcmp(e->trace_id, none, sizeof(e->trace_id)) != 0)
            put_bytes(b, 5, gw_slice_of(e->trace_id, sizeof(e->trace_id)));
        end(b, body);
    }
}

static size_t begin_point(struct gw_mw *w, const struct gw_mw_point *p)
{
    size_t body = begin(w->out, 1);

    put_fixed64(w->out, 2, p->start_ns);
    put_fixed64(w->out, 3, p->time_ns);
    return body;
}

static void end_number(struct gw_mw *w, const struct gw_mw_point *p, size_t body)
{
    put_exemplars(w->out, 5, p);
    put_run(w->out, 7, p->attrs);
    end(w->out, body);
}

void gw_mw_int(struct gw_mw *w, const struct gw_mw_point *p, int64_t value)
{
    size_t body;

    if (!may_go_on(w))
        return;
    body = begin_point(w, p);
    put_fixed64(w->out, 6, (uint64_t)value);
    end_number(w, p, body);
}

void gw_mw_double(struct gw_mw *w, const struct gw_mw_point *p, double value)
{
    size_t body;

    if (!may_go_on(w))
        return;
    body = begin_point(w, p);
    put_double(w->out, 4, value);
    end_number(w, p, body);
}

void gw_mw_histogram(struct gw_mw *w, const struct gw_mw_point *p, const struct gw_bounds *bounds,
                     const struct gw_explicit *h)
{
    size_t body;

    if (!may_go_on(w))
        return;
    body = begin_point(w, p);
    put_fixed64(w->out, 4, h->count);
    put_double(w->out, 5, h->sum);
    put_bytes(w->out, 6, gw_slice_of(h->buckets, (bounds->n + 1) * sizeof(h->buckets[0])));
    if (bounds->n)
        put_bytes(w->out, 7, gw_slice_of(bounds->at, bounds->n * sizeof(bounds->at[0])));
    put_exemplars(w->out, 8, p);
    put_run(w->out, 9, p->attrs);
    end(w->out, body);
}

static void put_half(struct gw_buf *b, unsigned field, const struct gw_exp_half *half)
{
    size_t body, counts;

    if (half->n == 0)
        return;
    body = begin(b, field);
    if (half->start)
        put_uint(b, 1, (uint32_t)((uint32_t)half->start << 1) ^ (uint32_t)(half->start >> 31)); /* sint32 */
    counts = begin(b, 2);
    for (uint32_t i = 0; i < half->n; i++)
        put_varint(b, half->counts[i]);
    end(b, counts);
    end(b, body);
}

void gw_mw_exponential(struct gw_mw *w, const struct gw_mw_point *p, const struct gw_exponential *h)
{
    int32_t scale = gw_exponential_scale(h);
    size_t body;

    if (!may_go_on(w))
        return;
    body = begin(w->out, 1);
    put_run(w->out, 1, p->attrs);
    put_fixed64(w->out, 2, p->start_ns);
    put_fixed64(w->out, 3, p->time_ns);
    put_fixed64(w->out, 4, h->count);
    put_double(w->out, 5, h->sum);
    if (scale)
        put_uint(w->out, 6, (uint32_t)((uint32_t)scale << 1) ^ (uint32_t)(scale >> 31));
    put_fixed64(w->out, 7, h->zero_count);
    put_half(w->out, 8, &h->positive);
    put_half(w->out, 9, &h->negative);
    put_exemplars(w->out, 11, p);
    if (h->count) {
        put_double(w->out, 12, h->min);
        put_double(w->out, 13, h->max);
    }
    if (h->zero_threshold != 0)
        put_double(w->out, 14, h->zero_threshold);
    end(w->out, body);
}

/* ---- out -------------------------------------------------------------------------------------------------- */

int gw_mw_emit(struct gw_ports *out, struct gw_batch_pool *pool, struct gw_slice body, const char *component,
               uint64_t now_ns)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = pool ? gw_batch_pool_get(pool, GW_METRICS) : gw_batch_new(GW_METRICS);
    struct gw_view v;
    struct gw_ref at;
    int rc;

    if (!b)
        return -ENOMEM;
    rc = gw_batch_append(b, body, &at);
    if (rc == 0)
        rc = gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL);
    if (rc == 0) {
        b->received_ns = now_ns;
        b->receiver = component;
        gw_view_init(&v, b, out->arena);
        gw_emit(out, 0, &v);
    }
    (void)gw_batch_unref(b);
    return rc;
}
