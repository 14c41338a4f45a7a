/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of points. A group's points are told twice: first which of them have a place in the document, and under
 * what dynamic template, because that stands in the action line; then the document.
 */
#include <stdio.h>

#include "exporters/elasticsearch/writer.h"

static struct gw_slice name_of(const struct gw_batch *b, uint32_t row)
{
    return gw_batch_slice(b, b->metrics[b->metric[row]].name);
}

void gw_es_metrics_row(struct gw_es_writer *w, uint32_t row)
{
    const struct gw_batch *b = w->b;
    const struct gw_metric_desc *m = &b->metrics[b->metric[row]];
    const struct gw_es_target *t;
    struct gw_es_control c;

    gw_es_control_of(b, b->attr[row], &c);
    t = gw_es_route(w, &c, GW_ES_ITEM);
    if ((m->type == GW_M_HISTOGRAM || m->type == GW_M_EXP_HISTOGRAM) && m->temporality == GW_T_CUMULATIVE) {
        gw_es_refuse(w, row, "cumulative_histogram", "the server's histograms are of delta temporality");
    } else if (gw_es_hint(b, c.hints, GW_SLICE("_noindex"))) {
        gw_es_refuse(w, row, "noindex", "the hint _noindex asks for no document");
    } else if (t->problem) {
        gw_es_refuse(w, row, t->problem, t->message);
    } else if (!gw_es_group_row(w, row, t)) {
        gw_es_refuse(w, row, GW_ES_TOO_LARGE);
    }
}

/* ---- which points, which templates ----------------------------------------------------------------------------- */

static const char *otel_template(const struct gw_es_writer *w, uint32_t row, const struct gw_es_point *p)
{
    const struct gw_metric_desc *m = &w->b->metrics[w->b->metric[row]];
    bool counter = m->type == GW_M_SUM && m->monotonic && m->temporality == GW_T_CUMULATIVE;

    if (p->type == GW_ES_P_AGGREGATE)
        return "summary";
    if (p->type == GW_ES_P_HISTOGRAM)
        return "histogram";
    if (p->type == GW_ES_P_INT)
        return counter ? "counter_long" : "gauge_long";
    return counter ? "counter_double" : "gauge_double";
}

static const char *ecs_template(const struct gw_es_point *p)
{
    if (p->type == GW_ES_P_AGGREGATE)
        return "summary_metrics";
    return p->type == GW_ES_P_HISTOGRAM ? "histogram_metrics" : "double_metrics";
}

static void put_template(struct gw_es_writer *w, uint32_t row, const struct gw_es_point *p)
{
    struct gw_buf *to = &w->templates;
    bool otel = w->scope.mode == GW_ES_OTEL;
    size_t at;

    if (to->n)
        GW_ES_PUT(to, ",");
    if (otel)
        GW_ES_PUT(to, "\"metrics");
    at = to->n;
    gw_es_put_text(to, name_of(w->b, row));
    if (otel && !to->failed)
        to->p[at] = '.'; /* for the name's first quote */
    GW_ES_PUT(to, ":\"");
    gw_buf_put_str(to, otel ? otel_template(w, row, p) : ecs_template(p));
    GW_ES_PUT(to, "\"");
}

/** What a group's points come to, besides themselves. */
struct outcome {
    uint32_t n;         /* points that have a place: first in the group's rows */
    uint64_t doc_count; /* 0: none asks for it */
    size_t names;       /* where the sorted names begin in w->text */
};

static void refuse_again(struct gw_es_writer *w, uint32_t row)
{
    struct gw_slice name = name_of(w->b, row);

    (void)snprintf(w->message, sizeof(w->message), "metric \"%.*s\" stands twice for the same attributes and time",
                   (int)(name.n < 200 ? name.n : 200), name.n ? (const char *)name.p : "");
    gw_es_refuse(w, row, "duplicate_metric", w->message);
}

/**
 * Of points of one name the first counts in mode otel, the last one that has a value in mode ecs. Refused ones become
 * UINT32_MAX.
 */
static void choose(struct gw_es_writer *w, uint32_t *rows, uint32_t n, struct outcome *o)
{
    bool otel = w->scope.mode == GW_ES_OTEL;

    gw_es_forget_keys(w);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t *row = &rows[otel ? k : n - 1 - k];
        struct gw_slice name = name_of(w->b, *row);
        const char *reason = NULL;
        struct gw_es_point p;
        bool again = otel && !gw_es_is_new_key(w, rows, name);

        if (!again && !gw_es_point(w, *row, &p, &reason))
            gw_es_refuse(w, *row, reason, w->message);
        else if (!again && !otel)
            again = !gw_es_is_new_key(w, rows, name);
        if (again)
            refuse_again(w, *row);
        else if (p.has_doc_count && (otel || (!reason && !o->doc_count)))
            o->doc_count = p.doc_count;
        if (again || reason)
            *row = UINT32_MAX;
    }
}

static int compare_names(const void *arg, uint32_t x, uint32_t y)
{
    const struct gw_batch *b = arg;
    struct gw_slice k = name_of(b, x), l = name_of(b, y);
    size_t n = k.n < l.n ? k.n : l.n;
    int c = n ? memcmp(k.p, l.p, n) : 0;

    return c ? c : k.n < l.n ? -1 : k.n > l.n;
}

/** Names of the points, sorted, one behind the other: part of the identity of a time series' document. */
static bool gather_names(struct gw_es_writer *w, const uint32_t *rows, uint32_t n, struct outcome *o)
{
    uint32_t *order;

    gw_arena_reset(&w->doc_arena, 1 << 20);
    order = gw_arena_alloc(&w->doc_arena, (2 * (size_t)n + 1) * sizeof(*order));
    o->names = w->text.n;
    if (!order)
        return false;
    memcpy(order, rows, n * sizeof(*order));
    gw_es_sort(order, order + n, n, compare_names, w->b);
    for (uint32_t i = 0; i < n; i++) {
        struct gw_slice name = name_of(w->b, order[i]);

        if (i == 0 || compare_names(w->b, order[i - 1], order[i]) != 0)
            gw_es_put_bytes(&w->text, name.p, name.n);
    }
    return true;
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

static void put_numbers(struct gw_buf *to, const struct gw_es_point *p)
{
    GW_ES_PUT(to, "{\"counts\":[");
    for (uint32_t i = 0; i < p->n; i++) {
        if (i)
            GW_ES_PUT(to, ",");
        gw_es_put_i64(to, p->counts[i]);
    }
    GW_ES_PUT(to, "],\"values\":[");
    for (uint32_t i = 0; i < p->n; i++) {
        if (i)
            GW_ES_PUT(to, ",");
        gw_es_put_double(to, p->values[i]);
    }
    GW_ES_PUT(to, "]}");
}

static void put_point(struct gw_buf *to, const struct gw_es_point *p)
{
    switch (p->type) {
    case GW_ES_P_INT:
        gw_es_put_i64(to, p->i);
        break;
    case GW_ES_P_DOUBLE:
        gw_es_put_double(to, p->f);
        break;
    case GW_ES_P_HISTOGRAM:
        put_numbers(to, p);
        break;
    case GW_ES_P_AGGREGATE:
        GW_ES_PUT(to, "{\"sum\":");
        gw_es_put_double(to, p->f);
        GW_ES_PUT(to, ",\"value_count\":");
        gw_es_put_i64(to, p->i);
        GW_ES_PUT(to, "}");
        break;
    }
}

static void put_otel(struct gw_es_writer *w, const struct gw_es_target *t, const uint32_t *rows,
                     const struct outcome *o, uint64_t names_hash)
{
    const struct gw_batch *b = w->b;
    struct gw_slice unit = gw_batch_slice(b, b->metrics[b->metric[rows[0]]].unit);
    const char *reason;
    struct gw_buf *to = w->out;

    GW_ES_PUT(to, "{\"@timestamp\":");
    gw_es_put_u64(to, b->time_ns[rows[0]] / 1000000);
    if (b->start_ns[rows[0]]) {
        GW_ES_PUT(to, ",\"start_timestamp\":");
        gw_es_put_u64(to, b->start_ns[rows[0]] / 1000000);
    }
    if (unit.n) {
        GW_ES_PUT(to, ",\"unit\":");
        gw_es_put_text(to, unit);
    }
    gw_es_put_buf(to, &t->stream_json);
    (void)gw_es_put_attributes(w, to, b->attr[rows[0]], GW_SLICE(""), /* strings= */ true, /* comma= */ true);
    gw_es_put_buf(to, &w->scope.tail);
    GW_ES_PUT(to, ",\"metrics\":{");
    for (uint32_t i = 0; i < o->n; i++) {
        struct gw_es_point p;

        if (i)
            GW_ES_PUT(to, ",");
        gw_es_put_text(to, name_of(b, rows[i]));
        GW_ES_PUT(to, ":");
        if (gw_es_point(w, rows[i], &p, &reason))
            put_point(to, &p);
    }
    GW_ES_PUT(to, "}");
    if (o->doc_count) {
        GW_ES_PUT(to, ",\"_doc_count\":");
        gw_es_put_u64(to, o->doc_count);
    }
    gw_buf_printf(to, ",\"_metric_names_hash\":\"%llx\"}\n", (unsigned long long)names_hash);
}

static void add_ecs_numbers(struct gw_es_writer *w, struct gw_slice name, const char *part, enum gw_es_field_kind kind,
                            struct gw_slice numbers)
{
    struct gw_slice copy = gw_arena_dup(&w->doc_arena, numbers);

    w->too_large |= !copy.p;
    gw_es_field(w, kind, gw_es_join(w, name, gw_slice_cstr(part)), (struct gw_value){.type = GW_V_BYTES, .s = copy});
}

static void add_ecs_point(struct gw_es_writer *w, struct gw_slice name, const struct gw_es_point *p)
{
    switch (p->type) {
    case GW_ES_P_INT:
        gw_es_field_int(w, name, p->i);
        break;
    case GW_ES_P_DOUBLE:
        gw_es_field(w, GW_ES_F_VALUE, name, (struct gw_value){.type = GW_V_DOUBLE, .f = p->f});
        break;
    case GW_ES_P_HISTOGRAM:
        if (p->n == 0)
            break;
        add_ecs_numbers(w, name, "counts", GW_ES_F_COUNTS, gw_slice_of(p->counts, p->n * sizeof(*p->counts)));
        add_ecs_numbers(w, name, "values", GW_ES_F_NUMBERS, gw_slice_of(p->values, p->n * sizeof(*p->values)));
        break;
    case GW_ES_P_AGGREGATE:
        gw_es_field(w, GW_ES_F_VALUE, gw_es_join(w, name, GW_SLICE("sum")),
                    (struct gw_value){.type = GW_V_DOUBLE, .f = p->f});
        gw_es_field_int(w, gw_es_join(w, name, GW_SLICE("value_count")), p->i);
        break;
    }
}

static void put_ecs(struct gw_es_writer *w, const struct gw_es_target *t, const uint32_t *rows, const struct outcome *o)
{
    const char *reason;

    gw_es_scope_fields(w, gw_es_ecs_resource);
    gw_es_field_time(w, GW_SLICE("@timestamp"), w->b->time_ns[rows[0]]);
    gw_es_field_attributes(w, GW_SLICE(""), w->b->attr[rows[0]]);
    gw_es_field_stream(w, GW_SLICE(""), t);
    for (uint32_t i = 0; i < o->n; i++) {
        struct gw_es_point p;

        if (gw_es_point(w, rows[i], &p, &reason))
            add_ecs_point(w, name_of(w->b, rows[i]), &p);
    }
    if (o->doc_count)
        gw_es_field(w, GW_ES_F_UINT, GW_SLICE("_doc_count"),
                    (struct gw_value){.type = GW_V_INT, .i = (int64_t)o->doc_count});
    gw_es_put_fields(w, /* nested= */ true, gw_es_ecs_is_resource_field);
}

static void put_group(struct gw_es_writer *w, const struct gw_es_group *g, uint32_t *rows, const struct outcome *o)
{
    struct gw_es_action a = {.templates = &w->templates};
    const char *problem, *message;
    struct gw_es_control c;
    uint64_t hash;

    gw_es_control_of(w->b, w->b->attr[rows[0]], &c);
    a.target = gw_es_route(w, &c, GW_ES_ITEM);
    a.id = w->o->metrics_dynamic_id ? c.id : NULL;
    hash = gw_es_names_hash(gw_es_from(&w->text, o->names));
    if (w->o->id == GW_ES_ID_RECORD)
        gw_es_id_points(w, g->first_row, hash, a.record_id);
    gw_es_begin(w, &a);
    if (w->scope.mode == GW_ES_OTEL)
        put_otel(w, a.target, rows, o, hash);
    else
        put_ecs(w, a.target, rows, o);
    problem = gw_es_end(w, &a, rows, o->n, &message);
    for (uint32_t i = 0; problem && i < o->n; i++)
        gw_es_refuse(w, rows[i], problem, message);
}

static void write_group(struct gw_es_writer *w, const struct gw_es_group *g)
{
    uint32_t *rows = w->by_group + g->begin;
    struct outcome o = {0};
    bool fits;

    if (w->b->scope[g->first_row] != w->scope.scope)
        gw_es_enter_scope(w, w->b->scope[g->first_row]);
    fits = gather_names(w, rows, g->n_rows, &o);
    choose(w, rows, g->n_rows, &o);
    gw_buf_reset(&w->templates);
    for (uint32_t i = 0; i < g->n_rows; i++) {
        struct gw_es_point p;
        const char *reason;

        if (rows[i] == UINT32_MAX)
            continue;
        if (!fits) {
            gw_es_refuse(w, rows[i], GW_ES_TOO_LARGE);
            continue;
        }
        if (gw_es_point(w, rows[i], &p, &reason))
            put_template(w, rows[i], &p);
        rows[o.n++] = rows[i];
    }
    if (w->templates.failed)
        w->rc = -ENOMEM;
    else if (o.n)
        put_group(w, g, rows, &o);
    w->text.n = o.names;
}

void gw_es_metrics_end(struct gw_es_writer *w)
{
    uint32_t n = w->n_groups;

    gw_es_group_sort(w);
    for (uint32_t g = 0; g < n && !w->out->failed && !w->rc; g++) {
        struct gw_es_group group = w->groups[g]; /* a copy: entering a scope may move the table */

        if (group.n_rows)
            write_group(w, &group);
    }
}
