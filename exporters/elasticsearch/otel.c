/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of mode otel, written straight from columns. Of a scope's rows the end is the same:
 *
 *   {"@timestamp":…,"data_stream":{…},…,"attributes":{…} ,"resource":{…},"scope":{…} }
 *                                                        └─── rendered once ───────┘
 */
#include "exporters/elasticsearch/writer.h"
#include "otlp-proto/wire.h"

/** A varint field of a message, as the last piece has it. */
static uint32_t varint_field(struct gw_slice message, uint32_t number)
{
    struct gw_wire_walk walk = gw_wire_walk(message);
    struct gw_wire_field f;
    uint32_t v = 0;

    while (gw_wire_next(&walk, &f) > 0)
        if (f.number == number && f.wire == GW_VARINT)
            v = (uint32_t)f.varint;
    return v;
}

/* ---- pieces, each with the comma before it -------------------------------------------------------------------- */

#define PUT_TEXT(o, key, s)                                                                                            \
    do {                                                                                                               \
        if ((s).n) {                                                                                                   \
            GW_ES_PUT(o, ",\"" key "\":");                                                                             \
            gw_es_put_text(o, s);                                                                                      \
        }                                                                                                              \
    } while (0)

#define PUT_COUNT(o, key, v)                                                                                           \
    do {                                                                                                               \
        if (v) {                                                                                                       \
            GW_ES_PUT(o, ",\"" key "\":");                                                                             \
            gw_es_put_u64(o, v);                                                                                       \
        }                                                                                                              \
    } while (0)

#define PUT_ID(o, key, id, n)                                                                                          \
    do {                                                                                                               \
        if (!gw_es_is_zero(id, n)) {                                                                                   \
            GW_ES_PUT(o, ",\"" key "\":");                                                                             \
            gw_es_put_id(o, id, n);                                                                                    \
        }                                                                                                              \
    } while (0)

/** All but the first brace may begin with a comma: take it away behind the brace. */
static void drop_first_comma(struct gw_buf *o, size_t at)
{
    if (o->failed || o->n <= at || o->p[at] != ',')
        return;
    memmove(o->p + at, o->p + at + 1, o->n - at - 1);
    o->n--;
}

static void render_resource(struct gw_es_writer *w, const struct gw_resource *r, bool strings)
{
    struct gw_buf *o = &w->scope.resource_json;
    struct gw_slice schema = gw_batch_slice(w->b, r->schema_url);
    uint32_t dropped = varint_field(gw_batch_slice(w->b, r->raw), 2);
    size_t at;

    gw_buf_reset(o);
    GW_ES_PUT(o, ",\"resource\":{");
    at = o->n;
    PUT_TEXT(o, "schema_url", schema);
    (void)gw_es_put_attributes(w, o, r->attrs, GW_SLICE(""), strings, /* comma= */ true);
    PUT_COUNT(o, "dropped_attributes_count", dropped);
    drop_first_comma(o, at);
    GW_ES_PUT(o, "}");
}

static void render_scope(struct gw_es_writer *w, const struct gw_scope *s, bool strings)
{
    struct gw_buf *o = &w->scope.tail;
    struct gw_slice schema = gw_batch_slice(w->b, s->schema_url), name = gw_batch_slice(w->b, s->name);
    struct gw_slice version = gw_batch_slice(w->b, s->version);
    uint32_t dropped = varint_field(gw_batch_slice(w->b, s->raw), 4);
    size_t at;

    GW_ES_PUT(o, ",\"scope\":{");
    at = o->n;
    PUT_TEXT(o, "schema_url", schema);
    PUT_TEXT(o, "name", name);
    PUT_TEXT(o, "version", version);
    (void)gw_es_put_attributes(w, o, s->attrs, GW_SLICE(""), strings, /* comma= */ true);
    PUT_COUNT(o, "dropped_attributes_count", dropped);
    drop_first_comma(o, at);
    GW_ES_PUT(o, "}");
}

void gw_es_otel_scope(struct gw_es_writer *w)
{
    const struct gw_scope *s = &w->b->scopes[w->scope.scope];
    bool strings = w->b->signal == GW_METRICS; /* time series cannot have objects as dimensions */

    gw_es_forget_keys(w);
    w->too_large = false;
    render_resource(w, &w->b->resources[s->resource], strings);
    gw_buf_reset(&w->scope.tail);
    gw_es_put_buf(&w->scope.tail, &w->scope.resource_json);
    render_scope(w, s, strings);
    gw_es_forget_keys(w);
    w->scope.too_large = w->too_large;
    if (w->scope.tail.failed || w->scope.resource_json.failed)
        w->rc = -ENOMEM;
}

/* ---- logs ----------------------------------------------------------------------------------------------------- */

/** An array of anything but maps stands in an object: the server's arrays hold one type. */
static void put_list_body(struct gw_es_writer *w, const struct gw_value *v)
{
    struct gw_slice list = v->s, any;
    bool all_maps = true;

    while (all_maps && gw_go_next(&list, &any))
        all_maps = gw_go_any(any).type == GW_V_KVLIST;
    GW_ES_PUT(w->out, ",\"body\":{\"structured\":");
    if (!all_maps)
        GW_ES_PUT(w->out, "{\"value\":");
    gw_es_put_value(w, w->out, v, /* strings= */ false);
    if (!all_maps)
        GW_ES_PUT(w->out, "}");
    GW_ES_PUT(w->out, "}");
}

static void put_body(struct gw_es_writer *w, uint32_t row)
{
    enum gw_value_type type = (enum gw_value_type)w->b->body_type[row];
    struct gw_buf *o = w->out;
    struct gw_value v;

    if (__builtin_expect(type == GW_V_STRING, 1)) {
        GW_ES_PUT(o, ",\"body\":{\"text\":");
        gw_es_put_text(o, gw_batch_slice(w->b, w->b->body[row].ref));
        GW_ES_PUT(o, "}");
        return;
    }
    if (type == GW_V_EMPTY)
        return;
    v = gw_value_of(w->b, type, w->b->body[row]);
    if (type == GW_V_ARRAY) {
        put_list_body(w, &v);
        return;
    }
    if (type == GW_V_KVLIST)
        GW_ES_PUT(o, ",\"body\":{\"structured\":");
    else
        GW_ES_PUT(o, ",\"body\":{\"text\":");
    gw_es_put_value(w, o, &v, /* strings= */ false);
    GW_ES_PUT(o, "}");
}

void gw_es_otel_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t, const struct gw_es_control *c)
{
    const struct gw_batch *b = w->b;
    struct gw_slice text = gw_batch_slice(b, b->severity_text[row]), event = gw_batch_slice(b, b->event_name[row]);
    struct gw_buf *o = w->out;

    GW_ES_PUT(o, "{\"@timestamp\":");
    gw_es_put_time(o, b->time_ns[row] ? b->time_ns[row] : b->observed_ns[row]);
    GW_ES_PUT(o, ",\"observed_timestamp\":");
    gw_es_put_time(o, b->observed_ns[row]);
    gw_es_put_buf(o, &t->stream_json);
    PUT_TEXT(o, "severity_text", text);
    PUT_COUNT(o, "severity_number", b->severity[row]);
    PUT_ID(o, "trace_id", b->trace_id[row], 16);
    PUT_ID(o, "span_id", b->span_id[row], 8);
    (void)gw_es_put_attributes(w, o, b->attr[row], GW_SLICE(""), /* strings= */ false, /* comma= */ true);
    PUT_COUNT(o, "dropped_attributes_count", b->dropped_attrs[row]);
    if (event.n == 0 && c->event_name && c->event_name->type == GW_V_STRING)
        event = gw_batch_slice(b, c->event_name->val.ref);
    PUT_TEXT(o, "event_name", event);
    gw_es_put_buf(o, &w->scope.tail);
    put_body(w, row);
    GW_ES_PUT(o, "}\n");
}

/* ---- spans and their events ------------------------------------------------------------------------------------ */

static struct gw_slice kind_name(uint8_t kind)
{
    static const char *const names[] = {"Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"};

    return gw_slice_cstr(kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL);
}

static void put_links(struct gw_es_writer *w, uint32_t row)
{
    struct gw_range r = w->b->links_of[row];
    struct gw_buf *o = w->out;

    GW_ES_PUT(o, ",\"links\":[");
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_link *l = &w->b->links[i];
        struct gw_slice state = gw_batch_slice(w->b, l->trace_state);
        size_t at;

        if (i > r.begin)
            GW_ES_PUT(o, ",");
        GW_ES_PUT(o, "{");
        at = o->n;
        PUT_ID(o, "trace_id", l->trace_id, 16);
        PUT_ID(o, "span_id", l->span_id, 8);
        PUT_TEXT(o, "trace_state", state);
        (void)gw_es_put_attributes(w, o, l->attrs, GW_SLICE(""), /* strings= */ false, /* comma= */ true);
        PUT_COUNT(o, "dropped_attributes_count", l->dropped_attrs);
        drop_first_comma(o, at);
        GW_ES_PUT(o, "}");
    }
    GW_ES_PUT(o, "]");
}

static void put_status(struct gw_es_writer *w, uint32_t row)
{
    struct gw_slice message = gw_batch_slice(w->b, w->b->status_message[row]);
    uint8_t code = w->b->status[row];
    struct gw_buf *o = w->out;
    size_t at;

    GW_ES_PUT(o, ",\"status\":{");
    at = o->n;
    PUT_TEXT(o, "message", message);
    if (code == 1)
        GW_ES_PUT(o, ",\"code\":\"Ok\"");
    else if (code == 2)
        GW_ES_PUT(o, ",\"code\":\"Error\"");
    drop_first_comma(o, at);
    GW_ES_PUT(o, "}");
}

void gw_es_otel_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;
    struct gw_slice state = gw_batch_slice(b, b->trace_state[row]), name = gw_batch_slice(b, b->name[row]);
    struct gw_slice kind = kind_name(b->kind[row]);
    struct gw_buf *o = w->out;

    GW_ES_PUT(o, "{\"@timestamp\":");
    gw_es_put_time(o, b->time_ns[row]);
    gw_es_put_buf(o, &t->stream_json);
    PUT_ID(o, "trace_id", b->trace_id[row], 16);
    PUT_ID(o, "span_id", b->span_id[row], 8);
    PUT_TEXT(o, "trace_state", state);
    PUT_ID(o, "parent_span_id", b->parent_id[row], 8);
    PUT_TEXT(o, "name", name);
    if (kind.n) {
        GW_ES_PUT(o, ",\"kind\":\"");
        gw_es_put_bytes(o, kind.p, kind.n);
        GW_ES_PUT(o, "\"");
    }
    GW_ES_PUT(o, ",\"duration\":");
    gw_es_put_u64(o, b->end_ns[row] - b->time_ns[row]); /* an end before the start wraps, as in the Collector */
    (void)gw_es_put_attributes(w, o, b->attr[row], GW_SLICE(""), /* strings= */ false, /* comma= */ true);
    PUT_COUNT(o, "dropped_attributes_count", b->dropped_attrs[row]);
    PUT_COUNT(o, "dropped_events_count", b->dropped_events[row]);
    put_links(w, row);
    PUT_COUNT(o, "dropped_links_count", b->dropped_links[row]);
    put_status(w, row);
    gw_es_put_buf(o, &w->scope.tail);
    GW_ES_PUT(o, "}\n");
}

void gw_es_otel_event(struct gw_es_writer *w, uint32_t row, uint32_t event, const struct gw_es_target *t)
{
    const struct gw_event *e = &w->b->events[event];
    struct gw_slice name = gw_batch_slice(w->b, e->name);
    struct gw_buf *o = w->out;

    GW_ES_PUT(o, "{\"@timestamp\":");
    gw_es_put_time(o, e->time_ns);
    gw_es_put_buf(o, &t->stream_json);
    PUT_ID(o, "trace_id", w->b->trace_id[row], 16);
    PUT_ID(o, "span_id", w->b->span_id[row], 8);
    PUT_COUNT(o, "dropped_attributes_count", e->dropped_attrs);
    PUT_TEXT(o, "event_name", name);
    (void)gw_es_put_attributes(w, o, e->attrs, name, /* strings= */ false, /* comma= */ true);
    gw_es_put_buf(o, &w->scope.tail);
    GW_ES_PUT(o, "}\n");
}
