/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count: how many spans, span events, metrics, data points or log records came, as metrics.
 *
 *     connectors:
 *       count:
 *         logs:
 *           errors: { description: Errors, conditions: [ severity_number >= 17 ], attributes: [ { key: env } ] }
 *     service:
 *       pipelines:
 *         logs:    { receivers: [otlp], exporters: [count] }
 *         metrics: { receivers: [count], exporters: [prometheus_remote_write] }
 *
 * Each batch is counted by resource and leaves at once, as delta sums: nothing is kept from one batch to the next.
 * Names, conditions, attributes and times are those of the Collector's connector; what differs is in docs/count.md.
 */
#include <errno.h>
#include <stdlib.h>

#include "batch/pool.h"
#include "connectors/count/count.h"
#include "pipeline/ports.h"

#define SCOPE "github.com/open-telemetry/opentelemetry-collector-contrib/connector/countconnector"

enum {
    MAX_BODY_BYTES = 1 << 30,
    CUT_BYTES = 1 << 20,
    KEEP_SERIES = 4096, /* with their memory, from batch to batch */
    KEEP_BATCHES = 2,
};

struct self {
    struct gw_ctx ctx;
    struct gw_arena arena;
    struct counter counters[2];
    unsigned n_counters;
    struct gw_series_table series;
    struct gw_buf key, body, attrs;
    struct gw_batch_pool *pool;
    struct gw_metric *failed;
};

/* ---- counting ------------------------------------------------------------------------------------------------ */

struct item {
    const struct gw_view *v;
    uint32_t row, index, scope, resource;
    struct gw_range events; /* attributes of an event */
};

static bool event_attr(const struct item *it, struct gw_slice key, struct gw_value *ret)
{
    const struct gw_batch *b = it->v->batch;

    for (uint32_t i = it->events.begin; i < it->events.end; i++)
        if (gw_slice_eq(gw_attr_key(b, &b->attrs[i]), key)) {
            *ret = gw_value_of(b, b->attrs[i].type, b->attrs[i].val);
            return true;
        }
    return false;
}

static bool look_up(const struct item *it, enum section section, struct gw_slice key, struct gw_value *ret)
{
    bool own = section == SPANEVENTS ? event_attr(it, key, ret)
               : section == METRICS  ? false
                                     : gw_view_attr_get(it->v, GW_OWN_ROW, it->row, key, ret);

    return own || gw_view_attr_get(it->v, GW_OWN_SCOPE, it->scope, key, ret) ||
           gw_view_attr_get(it->v, GW_OWN_RESOURCE, it->resource, key, ret);
}

/* False: one of the attributes is not there. */
static bool make_key(const struct metric *m, const struct item *it, enum section section, struct gw_buf *key)
{
    struct gw_value value;

    gw_buf_reset(key);
    for (unsigned i = 0; i < m->n_attributes; i++)
        if (look_up(it, section, m->attributes[i].key, &value))
            gw_mw_attr_put(key, m->attributes[i].key, &value);
        else if (m->attributes[i].fallback.n)
            gw_buf_put_slice(key, gw_buf_slice(&m->attributes[i].fallback));
        else
            return false;
    return !key->failed;
}

/* -1: a condition failed before one of them held. */
static int holds(const struct metric *m, const struct item *it)
{
    struct gw_err ignored;
    bool yes = m->n_conditions == 0;

    for (unsigned i = 0; i < m->n_conditions && !yes; i++)
        if (gw_ottl_test(m->conditions[i], it->v, it->row, it->index, &yes, &ignored) < 0)
            return -1;
    return yes;
}

static void note_time(struct counter *c, uint64_t ns)
{
    if (ns == 0)
        return;
    c->start_ns = c->start_ns == 0 || ns < c->start_ns ? ns : c->start_ns;
    c->end_ns = ns > c->end_ns ? ns : c->end_ns;
}

static void count_item(struct self *s, struct counter *c, const struct item *it)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct metric *m = &c->metrics[i];
        struct gw_series *at;
        struct count *n;
        int yes;

        if (!make_key(m, it, c->section, &s->key))
            continue;
        yes = holds(m, it);
        at = yes > 0 ? gw_series_get(&s->series, &m->group, gw_buf_slice(&s->key), 1) : NULL;
        if (!at) {
            gw_metric_add(s->failed, yes != 0); /* a condition, or memory */
            continue;
        }
        n = gw_series_value(at);
        if (n->n++ == 0) {
            n->next = NULL;
            *m->last = at;
            m->last = &n->next;
        }
    }
}

/* ---- out ------------------------------------------------------------------------------------------------------ */

struct work {
    struct self *s;
    const struct gw_view *v;
    struct gw_ports *out;
    struct gw_mw w;
    uint64_t now_ns;
    uint32_t resource;
};

static int cut(void *arg, struct gw_slice body, uint32_t points)
{
    struct work *w = arg;

    (void)points;
    return gw_mw_emit(w->out, w->s->pool, body, "count", w->now_ns);
}

static void put_metric(struct work *w, const struct counter *c, struct metric *m)
{
    struct gw_mw_point p = {.start_ns = c->start_ns ? c->start_ns : w->now_ns,
                            .time_ns = c->start_ns ? c->end_ns : w->now_ns};

    gw_mw_metric(&w->w, &(struct gw_mw_metric){.name = m->name,
                                               .description = m->description,
                                               .type = GW_M_SUM,
                                               .temporality = GW_T_DELTA,
                                               .monotonic = true});
    for (struct gw_series *s = m->counted; s; s = ((struct count *)gw_series_value(s))->next) {
        struct count *n = gw_series_value(s);

        p.attrs = gw_series_key(&w->s->series, s);
        gw_mw_int(&w->w, &p, (int64_t)n->n);
        n->n = 0;
    }
    m->counted = NULL;
    m->last = &m->counted;
}

static bool has_counted(const struct self *s)
{
    for (unsigned k = 0; k < s->n_counters; k++)
        for (unsigned i = 0; i < s->counters[k].n; i++)
            if (s->counters[k].metrics[i].counted)
                return true;
    return false;
}

static void put_resource_attrs(struct work *w)
{
    struct gw_attr_iter it;
    struct gw_value value;
    struct gw_slice key;

    gw_buf_reset(&w->s->attrs);
    gw_view_attr_begin(w->v, GW_OWN_RESOURCE, w->resource, &it);
    while (gw_view_attr_next(&it, &key, &value))
        gw_mw_attr_put(&w->s->attrs, key, &value);
}

/* The resource at hand is done. */
static void end_resource(struct work *w)
{
    struct self *s = w->s;

    if (has_counted(s)) {
        put_resource_attrs(w);
        gw_mw_resource(&w->w, gw_buf_slice(&s->attrs), GW_SLICE(""));
        gw_mw_scope(&w->w, GW_SLICE(SCOPE), GW_SLICE(""));
        for (unsigned k = 0; k < s->n_counters; k++)
            for (unsigned i = 0; i < s->counters[k].n; i++)
                if (s->counters[k].metrics[i].counted)
                    put_metric(w, &s->counters[k], &s->counters[k].metrics[i]);
    }
    for (unsigned k = 0; k < s->n_counters; k++)
        s->counters[k].start_ns = s->counters[k].end_ns = 0;
    if (s->series.n <= KEEP_SERIES)
        return;
    gw_series_clear(&s->series);
    for (unsigned k = 0; k < s->n_counters; k++)
        for (unsigned i = 0; i < s->counters[k].n; i++)
            gw_series_group_init(&s->counters[k].metrics[i].group);
}

static struct item item_of(struct work *w, uint32_t row, uint32_t index, uint32_t scope)
{
    struct item it = {.v = w->v, .row = row, .index = index, .scope = scope};

    it.resource = w->v->batch->scopes[scope].resource;
    if (it.resource != w->resource) {
        if (w->resource != UINT32_MAX)
            end_resource(w);
        w->resource = it.resource;
    }
    return it;
}

static void count_span(struct work *w, uint32_t row)
{
    const struct gw_batch *b = w->v->batch;
    struct item it = item_of(w, row, row, b->scope[row]);
    struct counter *spans = &w->s->counters[0], *events = &w->s->counters[1];

    note_time(spans, b->time_ns[row]);
    note_time(spans, b->end_ns[row]);
    count_item(w->s, spans, &it);
    for (uint32_t i = b->events_of[row].begin; i < b->events_of[row].end; i++) {
        it.index = i;
        it.events = b->events[i].attrs;
        note_time(events, b->events[i].time_ns);
        count_item(w->s, events, &it);
    }
}

static void count_record(struct work *w, uint32_t row)
{
    struct item it = item_of(w, row, row, w->v->batch->scope[row]);

    note_time(&w->s->counters[0], w->v->batch->time_ns[row]);
    count_item(w->s, &w->s->counters[0], &it);
}

/* A metric of which all points were taken out on the way is not there any more. */
static void count_metric(struct work *w, uint32_t index)
{
    const struct gw_metric_desc *m = &w->v->batch->metrics[index];
    struct item it;

    if (m->rows.begin != m->rows.end && gw_view_count(w->v, m->rows) == 0)
        return;
    it = item_of(w, m->rows.begin, index, m->scope);
    count_item(w->s, &w->s->counters[0], &it);
    for (uint32_t r = gw_view_next(w->v, m->rows.begin); r < m->rows.end; r = gw_view_next(w->v, r + 1)) {
        it.row = it.index = r;
        note_time(&w->s->counters[1], w->v->batch->time_ns[r]);
        count_item(w->s, &w->s->counters[1], &it);
    }
}

static void count_all(struct work *w)
{
    const struct gw_batch *b = w->v->batch;

    if (b->signal == GW_METRICS) {
        for (uint32_t i = 0; i < b->n_metrics; i++)
            count_metric(w, i);
        return;
    }
    for (uint32_t r = gw_view_next(w->v, 0); r < b->n_rows; r = gw_view_next(w->v, r + 1)) {
        if (b->signal == GW_TRACES)
            count_span(w, r);
        else
            count_record(w, r);
    }
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct work w = {.s = s, .v = v, .out = out, .now_ns = gw_wall_ns(s->ctx.env), .resource = UINT32_MAX};
    int rc;

    gw_buf_reset(&s->body);
    gw_mw_init(&w.w, &s->body, CUT_BYTES, cut, &w);
    count_all(&w);
    if (w.resource != UINT32_MAX)
        end_resource(&w);
    rc = gw_mw_end(&w.w);
    if (rc < 0) {
        gw_metric_add(s->failed, v->n_rows);
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "counts could not be written: %s", strerror(-rc));
    }
    if (s->body.cap > 4 * CUT_BYTES)
        gw_buf_clear(&s->body);
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "counted", NULL);
    gw_view_clear(v);
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_series_clear(&s->series);
    for (unsigned k = 0; k < s->n_counters; k++)
        gw_count_counter_clear(&s->counters[k]);
    gw_arena_clear(&s->arena);
    gw_buf_clear(&s->key);
    gw_buf_clear(&s->body);
    gw_buf_clear(&s->attrs);
    gw_batch_pool_free(s->pool);
    free(s);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    const struct gw_label l[] = {{"connector", ctx->id}, {"signal", gw_signal_name(ctx->signal)}};
    struct self *s = calloc(1, sizeof(*s));
    struct gw_diag diag;
    int rc = 0;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    *ret = s;
    s->ctx = *ctx;
    gw_arena_init(&s->arena, 4096, GW_COUNT_CONF_BYTES);
    gw_buf_init(&s->key, GW_COUNT_KEY_BYTES);
    gw_buf_init(&s->attrs, GW_COUNT_KEY_BYTES);
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    gw_series_init(&s->series, &(struct gw_series_conf){.value_bytes = sizeof(struct count), .max_series = UINT32_MAX});
    s->failed =
        gw_meter_get(ctx->meter, GW_COUNTER, "staunch_count_failed_items",
                     "Items that were not counted: a condition could not be judged, or there was no memory.", l, 2);
    s->pool = gw_batch_pool_new(KEEP_BATCHES);
    gw_diag_init(&diag);
    for (enum section i = SPANS; i < N_SECTIONS && rc == 0; i++)
        if (gw_count_sections[i].signal == ctx->signal)
            rc = gw_count_counter_init(&s->counters[s->n_counters++], i, c->sections[i], &s->arena, ctx->env, &diag);
    if (rc == 0 && (diag.n_errors || !s->pool))
        rc = s->pool ? -EINVAL : -ENOMEM;
    gw_diag_clear(&diag);
    return rc < 0 ? gw_fail(err, rc, "its settings cannot be used") : 0;
}

const struct gw_component gw_connector_count = {
    .kind = GW_CONNECTOR,
    .name = "count",
    .summary = "Count spans, span events, metrics, data points and log records, as metrics.",
    .signals = GW_ALL_SIGNALS,
    .makes = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN | GW_C_BODY,
    .fields = gw_count_fields,
    .conf_size = sizeof(struct conf),
    .check_trees = gw_count_check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
};
