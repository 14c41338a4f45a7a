/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept; flush.c has how it leaves. */
#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/wire.h"
#include "processors/interval/interval.h"
#include "processors/interval/notes.h"

enum { SWEEP_STEP = 16384, ROUND_BYTES = 16 };

/* ---- envelopes -------------------------------------------------------------------------------------------- */

static bool keep_note(struct gw_iv_note *n, struct gw_buf *b, struct gw_credit *credit)
{
    bool ok = !b->failed && (!credit || gw_credit_take(credit, b->n));

    n->p = ok ? malloc(b->n ? b->n : 1) : NULL;
    if (n->p) {
        n->n = (uint32_t)b->n;
        if (b->n)
            memcpy(n->p, b->p, b->n);
    } else if (ok && credit) {
        gw_credit_give(credit, b->n);
    }
    gw_buf_clear(b);
    return n->p != NULL;
}

static void clear_note(void *note, void *arg)
{
    const struct gw_iv_store *s = arg;
    struct gw_iv_note *n = note;

    if (n->p && s->credit)
        gw_credit_give(s->credit, n->n);
    free(n->p);
    n->p = NULL;
}

static void put_field(struct gw_buf *b, unsigned field, struct gw_slice value)
{
    uint8_t head[2 * GW_VARINT_MAX], *end;

    if (value.n == 0)
        return;
    end = gw_varint_put(gw_varint_put(head, GW_TAG(field, GW_LEN)), value.n);
    gw_buf_put(b, head, (size_t)(end - head));
    gw_buf_put_slice(b, value);
}

/* The fields around the scopes of a resource, then those around the metrics of a scope. */
static bool note_scope(void *note, const struct gw_batch *b, uint32_t scope, void *arg)
{
    const struct gw_scope *s = &b->scopes[scope];
    const struct gw_resource *r = &b->resources[s->resource];
    const struct gw_iv_store *store = arg;
    struct gw_iv_note *n = note;
    struct gw_buf text;

    gw_buf_init(&text, INT32_MAX);
    put_field(&text, 1, gw_batch_slice(b, r->raw));
    put_field(&text, 3, gw_batch_slice(b, r->schema_url));
    n->first = (uint32_t)text.n;
    put_field(&text, 1, gw_batch_slice(b, s->raw));
    put_field(&text, 3, gw_batch_slice(b, s->schema_url));
    return keep_note(n, &text, store->credit);
}

static void put_metadata(struct gw_buf *text, const struct gw_batch *b, struct gw_range metadata)
{
    const uint8_t *end = b->base + b->payload->n, *p;
    uint64_t n;

    for (uint32_t i = metadata.begin; i < metadata.end; i++) {
        p = gw_varint_get(b->base + b->attrs[i].kv_off, end, 5, &n); /* the tag */
        p = p ? gw_varint_get(p, end, 5, &n) : NULL;
        if (p && n <= (uint64_t)(end - p))
            put_field(text, 12, gw_slice_of(p, n));
    }
}

/* The fields around the data of a metric, then those around its points. */
static bool note_metric(void *note, const struct gw_batch *b, uint32_t metric, void *arg)
{
    static const uint8_t fields[] = {
        [GW_M_GAUGE] = 5, [GW_M_SUM] = 7, [GW_M_HISTOGRAM] = 9, [GW_M_EXP_HISTOGRAM] = 10, [GW_M_SUMMARY] = 11};
    const struct gw_metric_desc *m = &b->metrics[metric];
    const struct gw_iv_store *store = arg;
    struct gw_iv_note *n = note;
    struct gw_buf text;

    gw_buf_init(&text, INT32_MAX);
    put_field(&text, 1, gw_batch_slice(b, m->name));
    put_field(&text, 2, gw_batch_slice(b, m->description));
    put_field(&text, 3, gw_batch_slice(b, m->unit));
    put_metadata(&text, b, m->metadata);
    n->first = (uint32_t)text.n;
    n->field = fields[m->type];
    if (m->temporality)
        gw_buf_put(&text, (uint8_t[]){GW_TAG(2, GW_VARINT), m->temporality}, 2);
    if (m->monotonic)
        gw_buf_put(&text, (uint8_t[]){GW_TAG(3, GW_VARINT), 1}, 2);
    return keep_note(n, &text, store->credit);
}

static void put_note(const void *note, struct gw_buf *out)
{
    const struct gw_iv_note *n = note;

    gw_spool_put_u32(out, n->first);
    gw_spool_put_u32(out, n->field);
    gw_buf_put(out, n->p, n->n);
}

static bool take_note(void *note, struct gw_slice bytes, void *arg)
{
    struct gw_spool_in in = {.left = bytes};
    const struct gw_iv_store *store = arg;
    struct gw_iv_note *n = note;
    struct gw_buf text;

    n->first = gw_spool_get_u32(&in);
    n->field = gw_spool_get_u32(&in);
    if (in.bad || n->first > in.left.n)
        return false;
    gw_buf_init(&text, INT32_MAX);
    gw_buf_put_slice(&text, in.left);
    return keep_note(n, &text, store->credit);
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static void clear_point(void *value, void *arg)
{
    struct gw_iv_store *s = arg;
    struct gw_iv_point *p = value;

    s->n_points -= p->has;
    if (s->credit)
        gw_credit_give(s->credit, p->cap);
    free(p->bytes);
    gw_running_clear(&p->total, s->credit);
    *p = (struct gw_iv_point){0};
}

int gw_iv_init(struct gw_iv_store *s, uint32_t max_streams, struct gw_credit *credit)
{
    *s = (struct gw_iv_store){.credit = credit, .partitions = UINT64_MAX, .streams = calloc(1, sizeof(*s->streams))};
    if (!s->streams)
        return -ENOMEM;
    gw_streams_init(s->streams, &(struct gw_streams_conf){.value_bytes = sizeof(struct gw_iv_point),
                                                          .max_streams = max_streams,
                                                          .credit = credit,
                                                          .clear_value = clear_point,
                                                          .arg = s,
                                                          .scope_attrs = true,
                                                          .temporality = true,
                                                          .note_bytes = sizeof(struct gw_iv_note),
                                                          .note_scope = note_scope,
                                                          .note_metric = note_metric,
                                                          .clear_note = clear_note,
                                                          .put_note = put_note,
                                                          .take_note = take_note});
    return 0;
}

void gw_iv_free(struct gw_iv_store *s)
{
    if (s->streams)
        gw_streams_free(s->streams);
    free(s->streams);
    free(s->due);
    *s = (struct gw_iv_store){0};
}

/* ---- points ----------------------------------------------------------------------------------------------- */

/* Room for n bytes, the contents lost. */
static bool make_room(struct gw_iv_store *s, struct gw_iv_point *p, uint32_t n)
{
    uint32_t cap = (n + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
    uint8_t *bytes;

    if (n <= p->cap && p->bytes)
        return true;
    cap = cap ? cap : ROUND_BYTES;
    if (s->credit && !gw_credit_take(s->credit, cap))
        return false;
    bytes = malloc(cap);
    if (!bytes) {
        if (s->credit)
            gw_credit_give(s->credit, cap);
        return false;
    }
    if (s->credit)
        gw_credit_give(s->credit, p->cap);
    free(p->bytes);
    p->bytes = bytes;
    p->cap = cap;
    return true;
}

static bool keep(struct gw_iv_store *s, struct gw_iv_point *p, const struct gw_batch *b, uint32_t row)
{
    struct gw_slice raw = gw_batch_slice(b, b->raw[row]);

    if (!make_room(s, p, (uint32_t)raw.n))
        return false;
    if (raw.n)
        memcpy(p->bytes, raw.p, raw.n);
    p->n = (uint32_t)raw.n;
    p->total.time_ns = b->time_ns[row];
    s->n_points += !p->has;
    p->has = true;
    return true;
}

static enum gw_iv_fate add(struct gw_iv_store *s, struct gw_iv_point *p, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    struct gw_running *t = &p->total;

    if (!p->has) {
        gw_running_clear(t, s->credit);
        if (!gw_running_set(t, v, row, s->credit) || !keep(s, p, b, row))
            return GW_IV_NO_MEMORY;
        p->is_sum = false; /* as long as it is one */
        return GW_IV_TAKEN;
    }
    if (!gw_running_fits(t, v, row))
        return GW_IV_OTHER_BOUNDS;
    if (!gw_running_add(t, v, row, s->credit))
        return GW_IV_NO_MEMORY;
    p->is_sum = true;
    if (b->start_ns[row] < t->start_ns || t->start_ns == 0)
        t->start_ns = b->start_ns[row];
    if (b->time_ns[row] > t->time_ns)
        t->time_ns = b->time_ns[row];
    return GW_IV_TAKEN;
}

enum gw_iv_fate gw_iv_take(struct gw_iv_store *s, const struct gw_view *v, uint32_t row, bool is_added, uint64_t now_ns)
{
    struct gw_series *series;
    struct gw_iv_point *p;
    enum gw_iv_fate f = GW_IV_TAKEN;
    enum gw_stream_found found = gw_streams_get(s->streams, v->batch, row, (struct gw_slice){0}, &series);

    if (found == GW_STREAM_LIMIT || found == GW_STREAM_NO_MEMORY)
        return found == GW_STREAM_LIMIT ? GW_IV_LIMIT : GW_IV_NO_MEMORY;
    series->seen_ns = now_ns;
    p = gw_series_value(series);
    if (is_added)
        f = add(s, p, v, row);
    else if (!p->has || v->batch->time_ns[row] > p->total.time_ns)
        f = keep(s, p, v->batch, row) ? GW_IV_TAKEN : GW_IV_NO_MEMORY;
    if (f == GW_IV_NO_MEMORY && found == GW_STREAM_NEW)
        gw_streams_forget(s->streams, series);
    return f;
}

bool gw_iv_sweep(struct gw_iv_store *s)
{
    return !s->due && gw_streams_sweep(s->streams, s->before_ns, SWEEP_STEP);
}

/* ---- written down ------------------------------------------------------------------------------------------- */

enum { HAS = 1, IS_SUM = 2 };

static void put(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out)
{
    const struct gw_iv_point *p = gw_series_value(s);

    (void)arg;
    (void)table;
    gw_buf_put_u8(out, (uint8_t)((p->has ? HAS : 0) | (p->is_sum ? IS_SUM : 0)));
    if (!p->has)
        return;
    gw_spool_put_bytes(out, gw_slice_of(p->bytes, p->n));
    gw_running_put(&p->total, out);
}

static void set_has(struct gw_iv_store *s, struct gw_iv_point *p, bool has)
{
    s->n_points += (uint64_t)has - p->has;
    p->has = has;
}

static bool take(void *arg, unsigned table, struct gw_series *series, struct gw_spool_in *in)
{
    struct gw_iv_point *p = gw_series_value(series);
    struct gw_iv_store *s = arg;
    uint8_t flags = gw_spool_get_u8(in);
    struct gw_slice bytes;

    (void)table;
    set_has(s, p, false);
    p->is_sum = false;
    if (!(flags & HAS))
        return !in->bad;
    bytes = gw_spool_get_bytes(in);
    if (in->bad || !make_room(s, p, (uint32_t)bytes.n) || !gw_running_take(&p->total, in, s->credit))
        return false;
    if (bytes.n)
        memcpy(p->bytes, bytes.p, bytes.n);
    p->n = (uint32_t)bytes.n;
    p->is_sum = flags & IS_SUM;
    set_has(s, p, true);
    return true;
}

/* They have left. */
static void passed(void *arg, uint64_t partitions)
{
    struct gw_iv_store *s = arg;

    for (struct gw_series *scope = s->streams->all.first; scope; scope = scope->next)
        for (struct gw_series *metric = gw_streams_first(scope); metric; metric = metric->next)
            for (struct gw_series *x = gw_streams_first(metric); x; x = x->next)
                if (partitions >> gw_streams_mark(s->streams, x)->partition & 1)
                    set_has(s, gw_series_value(x), false);
}

const struct gw_ss_ops gw_iv_state = {.put = put, .take = take, .passed = passed};
