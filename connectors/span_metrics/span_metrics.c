/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span_metrics: how often spans were called, how long they took, and their events, as metrics.
 *
 *     connectors:
 *       span_metrics: { dimensions: [ { name: http.route } ], histogram: { exponential: } }
 *     service:
 *       pipelines:
 *         traces:  { receivers: [otlp], exporters: [span_metrics, otlp_http] }
 *         metrics: { receivers: [span_metrics], exporters: [prometheus_remote_write] }
 *
 * Names, dimensions, values and what becomes of them over time are those of the Collector's connector; where ours
 * differ, docs/span-metrics.md says why.
 */
#include "connectors/span_metrics/span_metrics.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "otlp-proto/wire.h"
#include "values/sampling.h"

enum { MAX_KEY_BYTES = 1 << 20 };
enum { F_TRACE_STATE = 3, F_NAME = 5, F_KIND = 6, F_START = 7, F_END = 8, F_STATUS = 15, F_STATUS_CODE = 3 };

struct self {
    struct gw_ctx ctx;
    const struct conf *conf;
    struct totals *all;
    struct keys keys;
    struct deltas d;
    struct gw_buf key, attrs;
    struct gw_metric *without_service, *lost;
    uint64_t random; /* xorshift64* */
    unsigned generation;
    bool is_drained;
};

/* A view at work. */
struct work {
    struct self *s;
    const struct gw_view *v;
    struct gw_arena *scratch;
    uint64_t wall_ns, mono_ns;
    uint32_t resource_index; /* of `resource`; UINT32_MAX: none */
    struct resource *resource;
    struct gw_slice service;
    struct gw_slice trace_state; /* the last one that was not empty, and what it says */
    uint64_t count;
    bool is_adjusted;
    uint64_t n_without_service, n_lost;
};

/* ---- a span's own fields, edits included ------------------------------------------------------------------------ */

static bool edited(const struct gw_view *v, uint32_t row, uint32_t number, struct gw_wire_field *ret)
{
    struct gw_wire_walk walk;
    struct gw_slice text;

    if (!gw_view_field_get(v, GW_OWN_ROW, row, number, &text))
        return false;
    walk = gw_wire_walk(text);
    if (gw_wire_next(&walk, ret) != 1)
        *ret = (struct gw_wire_field){0}; /* it was removed */
    return true;
}

static struct gw_slice text_of(const struct gw_view *v, uint32_t row, uint32_t number, struct gw_ref column)
{
    struct gw_wire_field f;

    if (gw_view_is_patched(v, GW_OWN_ROW, row) && edited(v, row, number, &f))
        return f.val;
    return gw_batch_slice(v->batch, column);
}

static unsigned kind_of(const struct gw_view *v, uint32_t row)
{
    struct gw_wire_field f;

    if (gw_view_is_patched(v, GW_OWN_ROW, row) && edited(v, row, F_KIND, &f))
        return f.varint < UINT8_MAX ? (unsigned)f.varint : UINT8_MAX;
    return v->batch->kind[row];
}

static unsigned status_of(const struct gw_view *v, uint32_t row)
{
    struct gw_wire_field f, code;
    struct gw_wire_walk walk;
    unsigned status = 0;

    if (!gw_view_is_patched(v, GW_OWN_ROW, row) || !edited(v, row, F_STATUS, &f))
        return v->batch->status[row];
    walk = gw_wire_walk(f.val);
    while (gw_wire_next(&walk, &code) == 1)
        if (code.number == F_STATUS_CODE && code.wire == GW_VARINT)
            status = code.varint < UINT8_MAX ? (unsigned)code.varint : UINT8_MAX;
    return status;
}

static uint64_t time_of(const struct gw_view *v, uint32_t row, uint32_t number, uint64_t column)
{
    struct gw_wire_field f;

    if (gw_view_is_patched(v, GW_OWN_ROW, row) && edited(v, row, number, &f))
        return f.wire == GW_I64 && f.val.n == 8 ? gw_load64(f.val.p) : 0;
    return column;
}

static double duration_of(const struct work *w, uint32_t row)
{
    uint64_t begin = time_of(w->v, row, F_START, w->v->batch->time_ns[row]);
    uint64_t end = time_of(w->v, row, F_END, w->v->batch->end_ns[row]);
    double unit = w->s->conf->histogram.unit == UNIT_S ? 1e9 : 1e6;

    return end > begin ? (double)(end - begin) / unit : 0;
}

/* ---- how many spans one stands for ------------------------------------------------------------------------------ */

static uint64_t next_random(struct self *s)
{
    s->random ^= s->random << 12;
    s->random ^= s->random >> 25;
    s->random ^= s->random << 27;
    return s->random * UINT64_C(0x2545F4914F6CDD1D);
}

/* 2^56 / (2^56 - threshold), rounded up as often as its fraction says: right in the mean, and whole. */
static void adjust(struct work *w, struct gw_slice text)
{
    struct gw_trace_state ts;
    uint64_t kept;

    if (text.n == 0) {
        w->count = 1;
        w->is_adjusted = false;
        return;
    }
    if (w->trace_state.n && gw_slice_eq(text, w->trace_state))
        return;
    w->trace_state = text;
    w->count = 1;
    w->is_adjusted = gw_trace_state_parse(text, &ts) && ts.has_threshold && ts.threshold < GW_NEVER_SAMPLE;
    if (!w->is_adjusted)
        return;
    kept = GW_NEVER_SAMPLE - ts.threshold;
    w->count = GW_NEVER_SAMPLE / kept;
    if (GW_NEVER_SAMPLE % kept && next_random(w->s) % kept < GW_NEVER_SAMPLE % kept)
        w->count++;
}

/* ---- counting -----------------------------------------------------------------------------------------------------
 */

static void merge(struct work *w)
{
    struct self *s = w->s;

    (void)pthread_mutex_lock(&s->all->lock);
    w->n_lost += gw_span_metrics_merge(s->all, &s->d);
    (void)pthread_mutex_unlock(&s->all->lock);
    w->resource_index = UINT32_MAX;
}

static bool is_full(const struct deltas *d)
{
    bool full = d->n_resources >= MAX_DELTA_RESOURCES || d->t.resources.n >= MAX_DELTA_RESOURCES;

    for (unsigned i = 0; i < N_TABLES; i++)
        full |=
            d->n_touched[i] >= MAX_DELTAS || d->t.series[i].n >= MAX_DELTAS || d->t.series[i].bytes >= MAX_DELTA_BYTES;
    return full;
}

static bool has_service(struct work *w, uint32_t resource)
{
    struct gw_value service;

    if (!gw_view_attr_get(w->v, GW_OWN_RESOURCE, resource, GW_SLICE("service.name"), &service))
        return false;
    w->service = service.type == GW_V_STRING ? service.s : GW_SLICE("");
    return true;
}

/* NULL: it has no service, or there is no memory. */
static struct resource *resource_of(struct work *w, uint32_t index)
{
    struct self *s = w->s;
    struct resource *r = NULL;

    if (index == w->resource_index)
        return w->resource;
    w->service = (struct gw_slice){0};
    if (has_service(w, index)) {
        struct gw_slice key;

        gw_span_metrics_resource(s->conf, w->v, index, w->scratch, &s->attrs, &s->key);
        key = gw_buf_slice(&s->key);
        if (!s->key.failed && !s->attrs.failed)
            r = gw_span_metrics_get_resource(&s->d.t, key, gw_hash_table(key), gw_buf_slice(&s->attrs), w->mono_ns);
        if (r && !r->is_touched) {
            r->is_touched = true;
            s->d.resources[s->d.n_resources++] = r;
        }
    }
    w->resource = r;
    w->resource_index = index;
    return r;
}

static bool has_trace_id(const struct gw_batch *b, uint32_t row)
{
    return (gw_load64(b->trace_id[row]) | gw_load64(b->trace_id[row] + 8)) != 0;
}

static void count(struct work *w, unsigned table, const struct subject *subject, double duration)
{
    struct self *s = w->s;
    struct resource *r = resource_of(w, subject->resource);
    struct gw_series *series = NULL;
    struct value *v;

    if (is_full(&s->d)) {
        merge(w);
        r = resource_of(w, subject->resource);
    }
    gw_span_metrics_key(&s->keys, table, subject, w->scratch, &s->key);
    if (r && !s->key.failed)
        series = gw_series_get(&s->d.t.series[table], &r->groups[table], gw_buf_slice(&s->key), w->mono_ns);
    if (!series) {
        w->n_lost += w->count;
        return;
    }
    v = gw_series_value(series);
    if (v->start_ns == 0) {
        v->start_ns = w->wall_ns;
        s->d.touched[table][s->d.n_touched[table]++] = series;
    }
    if (!gw_span_metrics_observe(&s->d.t, table, v, duration, w->count))
        w->n_lost += w->count;
    if (s->conf->exemplars.enabled && has_trace_id(w->v->batch, subject->row))
        gw_span_metrics_exemplar(&s->d.t, v, w->v, subject->row, duration);
}

static void count_events(struct work *w, struct subject *subject, double duration)
{
    const struct gw_batch *b = w->v->batch;

    for (uint32_t i = b->events_of[subject->row].begin; i < b->events_of[subject->row].end; i++) {
        subject->event = &b->events[i];
        count(w, EVENTS, subject, duration);
    }
}

static void count_span(struct work *w, uint32_t row)
{
    const struct gw_batch *b = w->v->batch;
    const struct conf *c = w->s->conf;
    struct subject subject = {.v = w->v, .row = row, .scope = b->scope[row]};
    double duration;

    subject.resource = b->scopes[subject.scope].resource;
    if (!resource_of(w, subject.resource)) {
        *(w->service.p ? &w->n_lost : &w->n_without_service) += 1;
        return;
    }
    adjust(w, text_of(w->v, row, F_TRACE_STATE, b->trace_state[row]));
    subject.service = w->service;
    subject.name = text_of(w->v, row, F_NAME, b->name[row]);
    subject.kind = kind_of(w->v, row);
    subject.status = status_of(w->v, row);
    subject.is_adjusted = w->is_adjusted;
    duration = duration_of(w, row);
    count(w, CALLS, &subject, duration);
    if (!w->s->keys.same && !c->histogram.disable)
        count(w, DURATION, &subject, duration);
    if (c->events.enabled)
        count_events(w, &subject, duration);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct work w = {.s = s,
                     .v = v,
                     .scratch = out->arena,
                     .wall_ns = gw_wall_ns(s->ctx.env),
                     .mono_ns = gw_mono_ns(s->ctx.env),
                     .resource_index = UINT32_MAX,
                     .count = 1};

    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1))
        count_span(&w, r);
    if (pthread_mutex_trylock(&s->all->lock) == 0) {
        w.n_lost += gw_span_metrics_merge(s->all, &s->d);
        s->all->n_drained -= s->is_drained;
        s->is_drained = false;
        (void)pthread_mutex_unlock(&s->all->lock);
    }
    gw_metric_add(s->without_service, w.n_without_service);
    gw_metric_add(s->lost, w.n_lost);
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "counted", NULL);
    gw_view_clear(v);
}

/* ---- time -----------------------------------------------------------------------------------------------------------
 */

static void hand_in(struct self *s)
{
    gw_metric_add(s->lost, gw_span_metrics_merge(s->all, &s->d));
}

static bool is_due(const struct totals *all, uint64_t now_ns)
{
    return now_ns >= all->due_ns || gw_span_metrics_is_crowded(all);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    struct totals *all = s->all;

    if (pthread_mutex_trylock(&all->lock) != 0)
        return GW_DONE; /* another worker is at it: again in a moment */
    hand_in(s);
    if (s->generation > all->newest_that_ticks)
        all->newest_that_ticks = s->generation;
    if (s->generation == all->newest_that_ticks && is_due(all, now_ns) && gw_span_metrics_flush(all, out, now_ns) &&
        now_ns >= all->due_ns)
        all->due_ns +=
            ((now_ns - all->due_ns) / s->conf->metrics_flush_interval_ns + 1) * s->conf->metrics_flush_interval_ns;
    (void)pthread_mutex_unlock(&all->lock);
    return GW_DONE;
}

/* What was counted since the last flush goes out with the last one who leaves. */
static int drain(void *self, struct gw_ports *out)
{
    struct self *s = self;
    struct totals *all = s->all;
    int rc = GW_DONE;

    (void)pthread_mutex_lock(&all->lock);
    hand_in(s);
    all->n_drained += !s->is_drained;
    s->is_drained = true;
    if (all->n_drained == all->n_instances) {
        if (all->is_dirty && gw_span_metrics_flush(all, out, gw_mono_ns(s->ctx.env)))
            rc = GW_MORE; /* what is behind has to let it go, too */
        gw_span_metrics_uncharge(all);
    }
    (void)pthread_mutex_unlock(&all->lock);
    return rc;
}

/* ---- life
 * ------------------------------------------------------------------------------------------------------------ */

static int make_deltas(struct self *s)
{
    struct deltas *d = &s->d;

    gw_span_metrics_tables_init(&d->t, s->conf, &s->all->t.bounds, NULL);
    for (unsigned i = 0; i < N_TABLES; i++)
        if (!(d->touched[i] = calloc(MAX_DELTAS, sizeof(struct gw_series *))))
            return -ENOMEM;
    d->resources = calloc(MAX_DELTA_RESOURCES, sizeof(struct resource *));
    return d->resources ? 0 : -ENOMEM;
}

static void join(struct self *s)
{
    struct totals *all = s->all;

    (void)pthread_mutex_lock(&all->lock);
    all->generation += s->ctx.worker == 0; /* graphs are built one after the other, worker 0 first */
    s->generation = all->generation;
    all->n_instances++;
    (void)pthread_mutex_unlock(&all->lock);
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    if (s->generation) {
        (void)pthread_mutex_lock(&s->all->lock);
        (void)gw_span_metrics_merge(s->all, &s->d);
        s->all->n_instances--;
        s->all->n_drained -= s->is_drained;
        (void)pthread_mutex_unlock(&s->all->lock);
    }
    gw_span_metrics_tables_clear(&s->d.t);
    for (unsigned i = 0; i < N_TABLES; i++)
        free(s->d.touched[i]);
    free(s->d.resources);
    gw_span_metrics_keys_clear(&s->keys);
    gw_buf_clear(&s->key);
    gw_buf_clear(&s->attrs);
    free(s);
}

static struct gw_metric *counter(const struct gw_ctx *ctx, const char *name, const char *help)
{
    const struct gw_label l[] = {{"connector", ctx->id}};

    return gw_meter_get(ctx->meter, GW_COUNTER, name, help, l, 1);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    *ret = s;
    s->ctx = *ctx;
    s->conf = conf;
    s->all = ctx->shared;
    gw_buf_init(&s->key, MAX_KEY_BYTES);
    gw_buf_init(&s->attrs, MAX_KEY_BYTES);
    s->random = gw_random_u64(ctx->env) | 1;
    s->without_service = counter(ctx, "staunch_span_metrics_spans_without_service",
                                 "Spans whose resource has no service.name: they are in no series.");
    s->lost = counter(ctx, "staunch_span_metrics_lost_counts", "Counts for which there was no memory.");
    rc = gw_span_metrics_keys_init(&s->keys, conf, s->all->instance_id, err);
    if (rc == 0)
        rc = make_deltas(s);
    if (rc < 0)
        return rc == -ENOMEM ? gw_fail(err, rc, "out of memory") : rc;
    join(s);
    return 0;
}

static const char *const aliases[] = {"spanmetrics", NULL};

const struct gw_component gw_connector_span_metrics = {
    .kind = GW_CONNECTOR,
    .name = "span_metrics",
    .aliases = aliases,
    .summary = "Count spans and measure their durations, as metrics.",
    .signals = GW_TRACES,
    .makes = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_CHILDREN,
    .fields = gw_span_metrics_fields,
    .conf_size = sizeof(struct conf),
    .check = gw_span_metrics_check,
    .create_shared = gw_span_metrics_totals_new,
    .destroy_shared = gw_span_metrics_totals_free,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
};
