/* SPDX-License-Identifier: Apache-2.0 */
/* verbosity: normal. One line a resource, a scope and a record. */
#include <math.h>

#include "core/json_writer.h"
#include "exporters/debug/text.h"

/** key=value, `separator` between them and, if `before`, before the first. */
static void put_attributes(struct gw_debug_text *t, struct gw_slice message, uint32_t number, char separator,
                           bool before)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_debug_message kv;
    struct gw_slice s;
    bool any = before;

    while (gw_debug_next(&w, number, &s)) {
        gw_debug_open(&kv, s);
        if (any)
            gw_buf_put_u8(t->out, (uint8_t)separator);
        any = true;
        gw_debug_put_text(t->out, kv.val[1]);
        gw_buf_put_u8(t->out, '=');
        gw_debug_put_value(t, kv.val[2]);
    }
}

static void put_resource(struct gw_debug_text *t, const char *name, unsigned index,
                         const struct gw_debug_message *outer)
{
    gw_buf_printf(t->out, "%s #%u", name, index);
    if (outer->val[3].n) {
        gw_buf_put_str(t->out, " [");
        gw_debug_put_text(t->out, outer->val[3]);
        gw_buf_put_u8(t->out, ']');
    }
    put_attributes(t, outer->val[1], 1, ' ', /* before= */ true);
    gw_buf_put_u8(t->out, '\n');
}

static void put_scope(struct gw_debug_text *t, const char *name, unsigned index, const struct gw_debug_message *outer)
{
    struct gw_debug_message scope;

    gw_debug_open(&scope, outer->val[1]);
    gw_buf_printf(t->out, "%s #%u", name, index);
    if (scope.val[1].n || scope.val[2].n)
        gw_buf_put_u8(t->out, ' ');
    gw_debug_put_text(t->out, scope.val[1]);
    if (scope.val[2].n) {
        gw_buf_put_u8(t->out, '@');
        gw_debug_put_text(t->out, scope.val[2]);
    }
    if (outer->val[3].n) {
        gw_buf_put_str(t->out, " [");
        gw_debug_put_text(t->out, outer->val[3]);
        gw_buf_put_u8(t->out, ']');
    }
    put_attributes(t, scope.all, 3, ' ', /* before= */ true);
    gw_buf_put_u8(t->out, '\n');
}

static void put_span(struct gw_debug_text *t, struct gw_slice s)
{
    struct gw_debug_message m;

    gw_debug_open(&m, s);
    gw_debug_put_text(t->out, m.val[5]);
    gw_buf_put_u8(t->out, ' ');
    gw_debug_put_id(t->out, m.val[1]);
    gw_buf_put_u8(t->out, ' ');
    gw_debug_put_id(t->out, m.val[2]);
    put_attributes(t, s, 9, ' ', /* before= */ true);
    gw_buf_put_u8(t->out, '\n');
}

static void put_log(struct gw_debug_text *t, struct gw_slice s)
{
    struct gw_debug_message m;

    gw_debug_open(&m, s);
    gw_debug_put_value(t, m.val[5]);
    gw_buf_put_u8(t->out, ' ');
    put_attributes(t, s, 6, ' ', /* before= */ false);
    gw_buf_put_u8(t->out, '\n');
}

/* ---- data points ----------------------------------------------------------------------------------------- */

static void put_labelled(struct gw_buf *b, const char *label, double v)
{
    gw_buf_put_str(b, label);
    gw_debug_put_v(b, v);
}

static void put_number_point(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    if (m->n[4])
        gw_debug_put_v(t->out, gw_debug_f64(m, 4));
    else if (m->n[6])
        gw_json_put_i64(t->out, (int64_t)gw_debug_u64(m, 6));
}

static void put_count_sum(struct gw_buf *b, const struct gw_debug_message *m, unsigned min, unsigned max)
{
    gw_buf_put_str(b, "count=");
    gw_json_put_u64(b, gw_debug_u64(m, 4));
    if (m->n[5])
        put_labelled(b, " sum=", gw_debug_f64(m, 5));
    if (m->n[min])
        put_labelled(b, " min=", gw_debug_f64(m, min));
    if (m->n[max])
        put_labelled(b, " max=", gw_debug_f64(m, max));
}

static void put_histogram_point(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    struct gw_debug_numbers counts = gw_debug_numbers(m, 6, false), bounds = gw_debug_numbers(m, 7, false);
    uint64_t count, bits;

    put_count_sum(t->out, m, 11, 12);
    while (gw_debug_next_number(&counts, &count)) {
        gw_buf_put_u8(t->out, ' ');
        if (gw_debug_next_number(&bounds, &bits)) {
            double bound;

            memcpy(&bound, &bits, sizeof(bound));
            put_labelled(t->out, "le", bound);
            gw_buf_put_u8(t->out, '=');
        }
        gw_json_put_u64(t->out, count);
    }
}

static void put_bucket(struct gw_buf *b, double bound, uint64_t count)
{
    put_labelled(b, " le", bound);
    gw_buf_put_u8(b, '=');
    gw_json_put_u64(b, count);
}

static void put_exp_histogram_point(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    double factor = gw_debug_bucket_factor(m);
    struct gw_debug_message side;
    struct gw_debug_numbers it;
    uint64_t count;
    double offset;

    put_count_sum(t->out, m, 12, 13);
    gw_debug_open(&side, m->val[9]); /* negative: from the farthest bucket to zero */
    offset = gw_debug_bucket_offset(&side);
    for (double i = gw_debug_count_varints(side.val[2]) - 1.0; gw_debug_take_last(&side.val[2], &count); i--)
        put_bucket(t->out, -exp((offset + i) * factor), count);
    if (gw_debug_u64(m, 7)) {
        gw_buf_put_str(t->out, " zero=");
        gw_json_put_u64(t->out, gw_debug_u64(m, 7));
    }
    gw_debug_open(&side, m->val[8]);
    offset = gw_debug_bucket_offset(&side);
    it = gw_debug_numbers(&side, 2, true);
    for (double i = 0; gw_debug_next_number(&it, &count); i++)
        put_bucket(t->out, exp((offset + i + 1) * factor), count);
}

static void put_summary_point(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    struct gw_wire_walk w = gw_wire_walk(m->all);
    struct gw_debug_message quantile;
    struct gw_slice s;

    gw_buf_put_str(t->out, "count=");
    gw_json_put_u64(t->out, gw_debug_u64(m, 4));
    gw_buf_put_str(t->out, " sum=");
    gw_debug_put_f(t->out, gw_debug_f64(m, 5));
    while (gw_debug_next(&w, 6, &s)) {
        gw_debug_open(&quantile, s);
        put_labelled(t->out, " q", gw_debug_f64(&quantile, 1));
        put_labelled(t->out, "=", gw_debug_f64(&quantile, 2));
    }
}

static void put_metric(struct gw_debug_text *t, struct gw_slice s)
{
    /* By the number of the metric's data field: where a point's attributes are, and what writes its value. */
    static const struct {
        uint32_t attributes;
        void (*put)(struct gw_debug_text *t, const struct gw_debug_message *m);
    } types[GW_DEBUG_FIELDS] = {
        [5] = {7, put_number_point},         [7] = {7, put_number_point},   [9] = {9, put_histogram_point},
        [10] = {1, put_exp_histogram_point}, [11] = {7, put_summary_point},
    };
    struct gw_debug_message metric, point;

    gw_debug_open(&metric, s);
    for (unsigned type = 5; type <= 11; type++) {
        struct gw_wire_walk w = gw_wire_walk(metric.val[type]);
        struct gw_slice p;

        while (types[type].put && gw_debug_next(&w, 1, &p)) {
            gw_debug_open(&point, p);
            gw_debug_put_text(t->out, metric.val[1]);
            gw_buf_put_u8(t->out, '{');
            put_attributes(t, p, types[type].attributes, ',', /* before= */ false);
            gw_buf_put_str(t->out, "} ");
            types[type].put(t, &point);
            gw_buf_put_u8(t->out, '\n');
        }
    }
}

void gw_debug_normal(struct gw_debug_text *t, enum gw_signal signal, struct gw_slice request)
{
    static const struct {
        const char *resource, *scope;
        void (*put)(struct gw_debug_text *t, struct gw_slice s);
    } of[] = {
        [GW_TRACES] = {"ResourceTraces", "ScopeTraces", put_span},
        [GW_METRICS] = {"ResourceMetrics", "ScopeMetrics", put_metric},
        [GW_LOGS] = {"ResourceLog", "ScopeLog", put_log},
    };
    struct gw_wire_walk resources = gw_wire_walk(request);
    struct gw_debug_message resource, scope;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&resources, 1, &s); i++) {
        struct gw_wire_walk scopes = gw_wire_walk(s);

        gw_debug_open(&resource, s);
        put_resource(t, of[signal].resource, i, &resource);
        for (unsigned k = 0; gw_debug_next(&scopes, 2, &s); k++) {
            struct gw_wire_walk rows = gw_wire_walk(s);

            gw_debug_open(&scope, s);
            put_scope(t, of[signal].scope, k, &scope);
            while (gw_debug_next(&rows, 2, &s))
                of[signal].put(t, s);
        }
    }
}
