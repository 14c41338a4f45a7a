/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of modes none and raw: OTLP's fields under names of their own, flattened. The modes differ in where
 * attributes and events stand: under "Attributes" and "Events", or at the top.
 */
#include <math.h>

#include "exporters/elasticsearch/writer.h"

static struct gw_slice attributes_path(const struct gw_es_writer *w)
{
    return w->scope.mode == GW_ES_NONE ? GW_SLICE("Attributes") : GW_SLICE("");
}

/** The scope's name and version stand among its attributes, in place of those of the same name. */
static void add_scope(struct gw_es_writer *w)
{
    static const struct gw_slice path = GW_SLICE("Scope");
    const struct gw_scope *s = &w->b->scopes[w->scope.scope];

    for (uint32_t i = s->attrs.begin; i < s->attrs.end; i++) {
        struct gw_slice key = gw_attr_key(w->b, &w->b->attrs[i]);

        if (!gw_slice_eq(key, GW_SLICE("name")) && !gw_slice_eq(key, GW_SLICE("version")))
            gw_es_field_attributes(w, path, (struct gw_range){i, i + 1});
    }
    gw_es_field(w, GW_ES_F_VALUE, GW_SLICE("Scope.name"),
                (struct gw_value){.type = GW_V_STRING, .s = gw_batch_slice(w->b, s->name)});
    gw_es_field(w, GW_ES_F_VALUE, GW_SLICE("Scope.version"),
                (struct gw_value){.type = GW_V_STRING, .s = gw_batch_slice(w->b, s->version)});
}

static void add_envelope(struct gw_es_writer *w)
{
    gw_es_field_attributes(w, GW_SLICE("Resource"), w->b->resources[w->scope.resource].attrs);
    add_scope(w);
}

void gw_es_flat_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;
    struct gw_value body = gw_value_of(b, (enum gw_value_type)b->body_type[row], b->body[row]);

    gw_es_scope_fields(w, add_envelope);
    gw_es_field_time(w, GW_SLICE("@timestamp"), b->time_ns[row] ? b->time_ns[row] : b->observed_ns[row]);
    gw_es_field_id(w, GW_SLICE("TraceId"), b->trace_id[row], 16);
    gw_es_field_id(w, GW_SLICE("SpanId"), b->span_id[row], 8);
    gw_es_field_int(w, GW_SLICE("TraceFlags"), b->flags[row]);
    gw_es_field_text(w, GW_SLICE("SeverityText"), gw_batch_slice(b, b->severity_text[row]));
    gw_es_field_int(w, GW_SLICE("SeverityNumber"), b->severity[row]);
    gw_es_field_value(w, GW_SLICE("Body"), &body);
    gw_es_field_attributes(w, attributes_path(w), b->attr[row]);
    gw_es_field_stream(w, attributes_path(w), t);
    gw_es_put_fields(w, /* nested= */ false, NULL);
}

/* ---- spans ---------------------------------------------------------------------------------------------------- */

static struct gw_slice kind_name(uint8_t kind)
{
    static const char *const names[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                        "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};

    return gw_slice_cstr(kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL);
}

static int compare_attrs(const void *arg, uint32_t a, uint32_t b)
{
    const struct gw_batch *batch = arg;
    struct gw_slice x = gw_attr_key(batch, &batch->attrs[a]), y = gw_attr_key(batch, &batch->attrs[b]);
    size_t n = x.n < y.n ? x.n : y.n;
    int c = n ? memcmp(x.p, y.p, n) : 0;

    return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

/** Attributes as encoding/json has a map. False: they hold a number that JSON has not. */
static bool put_link_attributes(struct gw_es_writer *w, struct gw_buf *to, struct gw_range r)
{
    uint32_t n = r.end - r.begin;
    uint32_t *order = gw_arena_alloc(&w->doc_arena, 2 * (size_t)n * sizeof(*order) + 1);
    bool comma = false;

    if (!order) {
        w->too_large = true;
        return true;
    }
    for (uint32_t i = 0; i < n; i++)
        order[i] = r.begin + i;
    gw_es_sort(order, order + n, n, compare_attrs, w->b);
    GW_ES_PUT(to, "{");
    for (uint32_t i = 0; i < n; i++) {
        const struct gw_attr *a = &w->b->attrs[order[i]];
        struct gw_value key = {.type = GW_V_STRING, .s = gw_attr_key(w->b, a)}, v = gw_es_value_of(w->b, a);

        if (i + 1 < n && compare_attrs(w->b, order[i], order[i + 1]) == 0)
            continue;
        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        if (!gw_es_put_go_json(w, to, &key, /* html= */ true))
            return false;
        GW_ES_PUT(to, ":");
        if (!gw_es_put_go_json(w, to, &v, /* html= */ true))
            return false;
    }
    GW_ES_PUT(to, "}");
    return true;
}

static bool put_link(struct gw_es_writer *w, struct gw_buf *to, const struct gw_link *l)
{
    GW_ES_PUT(to, "{\"attribute\":");
    if (!put_link_attributes(w, to, l->attrs))
        return false;
    GW_ES_PUT(to, ",\"spanID\":");
    if (gw_es_is_zero(l->span_id, 8))
        GW_ES_PUT(to, "\"\"");
    else
        gw_es_put_id(to, l->span_id, 8);
    GW_ES_PUT(to, ",\"traceID\":");
    if (gw_es_is_zero(l->trace_id, 16))
        GW_ES_PUT(to, "\"\"");
    else
        gw_es_put_id(to, l->trace_id, 16);
    GW_ES_PUT(to, "}");
    return true;
}

/** Links are one string of JSON; none when it cannot be written, "[]" when there are none. */
static void add_links(struct gw_es_writer *w, uint32_t row)
{
    struct gw_range r = w->b->links_of[row];
    size_t at = w->text.n;
    struct gw_slice text;
    bool ok = true;

    GW_ES_PUT(&w->text, "[");
    for (uint32_t i = r.begin; i < r.end && ok; i++) {
        if (i > r.begin)
            GW_ES_PUT(&w->text, ",");
        ok = put_link(w, &w->text, &w->b->links[i]);
    }
    GW_ES_PUT(&w->text, "]");
    text = gw_arena_dup(&w->doc_arena, gw_es_from(&w->text, at));
    w->text.n = at;
    w->too_large |= !text.p;
    if (ok && text.p)
        gw_es_field_text(w, GW_SLICE("Link"), text);
}

static void add_events(struct gw_es_writer *w, uint32_t row)
{
    struct gw_slice path = w->scope.mode == GW_ES_NONE ? GW_SLICE("Events") : GW_SLICE("");
    struct gw_range r = w->b->events_of[row];

    for (uint32_t i = r.begin; i < r.end && !w->too_large; i++) {
        const struct gw_event *e = &w->b->events[i];
        struct gw_slice name = gw_es_join(w, path, gw_batch_slice(w->b, e->name));

        /* A name may be empty: the key of its time is ".time" then, of its attributes their own. */
        gw_es_field_time(w, name.n ? gw_es_join(w, name, GW_SLICE("time")) : GW_SLICE(".time"), e->time_ns);
        gw_es_field_attributes(w, name, e->attrs);
    }
}

void gw_es_flat_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;

    gw_es_scope_fields(w, add_envelope);
    gw_es_field_time(w, GW_SLICE("@timestamp"), b->time_ns[row]);
    gw_es_field_time(w, GW_SLICE("EndTimestamp"), b->end_ns[row]);
    gw_es_field_id(w, GW_SLICE("TraceId"), b->trace_id[row], 16);
    gw_es_field_id(w, GW_SLICE("SpanId"), b->span_id[row], 8);
    gw_es_field_id(w, GW_SLICE("ParentSpanId"), b->parent_id[row], 8);
    gw_es_field_text(w, GW_SLICE("Name"), gw_batch_slice(b, b->name[row]));
    gw_es_field_text(w, GW_SLICE("Kind"), kind_name(b->kind[row]));
    gw_es_field_int(w, GW_SLICE("TraceStatus"), b->status[row]);
    gw_es_field_text(w, GW_SLICE("TraceStatusDescription"), gw_batch_slice(b, b->status_message[row]));
    add_links(w, row);
    gw_es_field_int(w, GW_SLICE("Duration"), (int64_t)(b->end_ns[row] - b->time_ns[row]) / 1000); /* microseconds */
    gw_es_field_attributes(w, attributes_path(w), b->attr[row]);
    gw_es_field_stream(w, attributes_path(w), t);
    add_events(w, row);
    gw_es_put_fields(w, /* nested= */ false, NULL);
}
