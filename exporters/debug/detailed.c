/* SPDX-License-Identifier: Apache-2.0 */
/* verbosity: detailed. Every field, one line each: resources, scopes, spans and log records; metrics in points.c. */
#include "core/json_writer.h"
#include "exporters/debug/text.h"

static void put_count(struct gw_buf *b, const char *label, uint64_t n)
{
    gw_buf_put_str(b, label);
    gw_json_put_u64(b, n);
    gw_buf_put_u8(b, '\n');
}

static void put_id_line(struct gw_buf *b, const char *label, struct gw_slice id)
{
    gw_buf_put_str(b, label);
    gw_debug_put_id(b, id);
    gw_buf_put_u8(b, '\n');
}

static void put_time_line(struct gw_buf *b, const char *label, uint64_t time_ns)
{
    gw_buf_put_str(b, label);
    gw_debug_put_time(b, time_ns);
    gw_buf_put_u8(b, '\n');
}

static void put_name_line(struct gw_buf *b, const char *label, const char *const *names, unsigned n_names, uint64_t v)
{
    gw_buf_put_str(b, label);
    gw_buf_put_str(b, v < n_names ? names[v] : "");
    gw_buf_put_u8(b, '\n');
}

void gw_debug_put_attributes(struct gw_debug_text *t, const char *indent, const char *header, struct gw_slice message,
                             uint32_t number)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_debug_message kv;
    struct gw_slice s;

    for (bool first = true; gw_debug_next(&w, number, &s); first = false) {
        if (first)
            gw_buf_printf(t->out, "%s:\n", header);
        gw_debug_open(&kv, s);
        gw_buf_printf(t->out, "%s     -> ", indent);
        gw_debug_put_text(t->out, kv.val[1]);
        gw_buf_put_str(t->out, ": ");
        gw_debug_put_typed_value(t, kv.val[2]);
        gw_buf_put_u8(t->out, '\n');
    }
}

static void put_keys(struct gw_buf *b, const char *header, const struct gw_debug_message *m, uint32_t number)
{
    struct gw_wire_walk w = gw_wire_walk(m->all);
    struct gw_slice s;

    for (bool first = true; gw_debug_next(&w, number, &s); first = false) {
        if (first)
            gw_buf_put_str(b, header);
        gw_debug_put_line(b, "               -> ", s);
    }
}

static void put_entity_refs(struct gw_buf *b, struct gw_slice resource)
{
    struct gw_wire_walk w = gw_wire_walk(resource);
    struct gw_debug_message m;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&w, 3, &s); i++) {
        if (i == 0)
            gw_buf_put_str(b, "Resource entity refs:\n");
        gw_debug_open(&m, s);
        gw_buf_printf(b, "     -> Entity ref #%u:\n", i);
        gw_debug_put_line(b, "          -> Type: ", m.val[2]);
        if (m.val[1].n)
            gw_debug_put_line(b, "          -> Schema URL: ", m.val[1]);
        put_keys(b, "          -> ID keys:\n", &m, 3);
        put_keys(b, "          -> Description keys:\n", &m, 4);
    }
}

static void put_events(struct gw_debug_text *t, struct gw_slice span)
{
    struct gw_wire_walk w = gw_wire_walk(span);
    struct gw_debug_message m;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&w, 11, &s); i++) {
        if (i == 0)
            gw_buf_put_str(t->out, "Events:\n");
        gw_debug_open(&m, s);
        gw_buf_printf(t->out, "SpanEvent #%u\n", i);
        gw_debug_put_line(t->out, "     -> Name: ", m.val[2]);
        put_time_line(t->out, "     -> Timestamp: ", gw_debug_u64(&m, 1));
        put_count(t->out, "     -> DroppedAttributesCount: ", (uint32_t)m.varint[4]);
        gw_debug_put_attributes(t, "     ", "     -> Attributes:", s, 3);
    }
}

static void put_links(struct gw_debug_text *t, struct gw_slice span)
{
    struct gw_wire_walk w = gw_wire_walk(span);
    struct gw_debug_message m;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&w, 13, &s); i++) {
        if (i == 0)
            gw_buf_put_str(t->out, "Links:\n");
        gw_debug_open(&m, s);
        gw_buf_printf(t->out, "SpanLink #%u\n", i);
        put_id_line(t->out, "     -> Trace ID: ", m.val[1]);
        put_id_line(t->out, "     -> ID: ", m.val[2]);
        gw_debug_put_line(t->out, "     -> TraceState: ", m.val[3]);
        put_count(t->out, "     -> DroppedAttributesCount: ", (uint32_t)m.varint[5]);
        gw_debug_put_attributes(t, "     ", "     -> Attributes:", s, 4);
    }
}

static void put_span(struct gw_debug_text *t, struct gw_slice s, unsigned index)
{
    static const char *const kinds[] = {"Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"};
    static const char *const codes[] = {"Unset", "Ok", "Error"};
    struct gw_debug_message m, status;
    struct gw_buf *b = t->out;

    gw_debug_open(&m, s);
    gw_debug_open(&status, m.val[15]);
    gw_buf_printf(b, "Span #%u\n", index);
    put_id_line(b, "    Trace ID       : ", m.val[1]);
    put_id_line(b, "    Parent ID      : ", m.val[4]);
    put_id_line(b, "    ID             : ", m.val[2]);
    gw_debug_put_line(b, "    Name           : ", m.val[5]);
    put_name_line(b, "    Kind           : ", kinds, 6, m.varint[6]);
    if (m.val[3].n)
        gw_debug_put_line(b, "    TraceState     : ", m.val[3]);
    put_time_line(b, "    Start time     : ", gw_debug_u64(&m, 7));
    put_time_line(b, "    End time       : ", gw_debug_u64(&m, 8));
    put_name_line(b, "    Status code    : ", codes, 3, status.varint[3]);
    gw_debug_put_line(b, "    Status message : ", status.val[2]);
    put_count(b, "    DroppedAttributesCount: ", (uint32_t)m.varint[10]);
    put_count(b, "    DroppedEventsCount: ", (uint32_t)m.varint[12]);
    put_count(b, "    DroppedLinksCount: ", (uint32_t)m.varint[14]);
    gw_debug_put_attributes(t, "", "Attributes", s, 9);
    put_events(t, s);
    put_links(t, s);
}

static void put_log(struct gw_debug_text *t, struct gw_slice s, unsigned index)
{
    static const char *const severities[] = {"Unspecified", "Trace",  "Trace2", "Trace3", "Trace4", "Debug",  "Debug2",
                                             "Debug3",      "Debug4", "Info",   "Info2",  "Info3",  "Info4",  "Warn",
                                             "Warn2",       "Warn3",  "Warn4",  "Error",  "Error2", "Error3", "Error4",
                                             "Fatal",       "Fatal2", "Fatal3", "Fatal4"};
    struct gw_debug_message m;
    struct gw_buf *b = t->out;
    int32_t severity;

    gw_debug_open(&m, s);
    severity = (int32_t)m.varint[2];
    gw_buf_printf(b, "LogRecord #%u\n", index);
    put_time_line(b, "ObservedTimestamp: ", gw_debug_u64(&m, 11));
    put_time_line(b, "Timestamp: ", gw_debug_u64(&m, 1));
    gw_debug_put_line(b, "SeverityText: ", m.val[3]);
    gw_buf_printf(b, "SeverityNumber: %s(%d)\n", severity >= 0 && severity <= 24 ? severities[severity] : "", severity);
    if (m.val[12].n)
        gw_debug_put_line(b, "EventName: ", m.val[12]);
    gw_buf_put_str(b, "Body: ");
    gw_debug_put_typed_value(t, m.val[5]);
    gw_buf_put_u8(b, '\n');
    gw_debug_put_attributes(t, "", "Attributes", s, 6);
    put_id_line(b, "Trace ID: ", m.val[9]);
    put_id_line(b, "Span ID: ", m.val[10]);
    put_count(b, "Flags: ", gw_debug_u64(&m, 8));
}

static void put_metric(struct gw_debug_text *t, struct gw_slice s, unsigned index)
{
    gw_buf_printf(t->out, "Metric #%u\n", index);
    gw_debug_detailed_metric(t, s);
}

static void put_scope(struct gw_debug_text *t, const char *name, unsigned index, const struct gw_debug_message *outer)
{
    struct gw_debug_message scope;
    struct gw_buf *b = t->out;

    gw_debug_open(&scope, outer->val[1]);
    gw_buf_printf(b, "%s #%u\n%s SchemaURL: ", name, index, name);
    gw_debug_put_line(b, "", outer->val[3]);
    gw_buf_put_str(b, "InstrumentationScope ");
    gw_debug_put_text(b, scope.val[1]);
    gw_debug_put_line(b, " ", scope.val[2]);
    gw_debug_put_attributes(t, "", "InstrumentationScope attributes", scope.all, 3);
}

void gw_debug_detailed(struct gw_debug_text *t, enum gw_signal signal, struct gw_slice request)
{
    static const struct {
        const char *resource, *scope;
        void (*put)(struct gw_debug_text *t, struct gw_slice s, unsigned index);
    } of[] = {
        [GW_TRACES] = {"ResourceSpans", "ScopeSpans", put_span},
        [GW_METRICS] = {"ResourceMetrics", "ScopeMetrics", put_metric},
        [GW_LOGS] = {"ResourceLog", "ScopeLogs", put_log},
    };
    struct gw_wire_walk resources = gw_wire_walk(request);
    struct gw_debug_message resource, scope;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&resources, 1, &s); i++) {
        struct gw_wire_walk scopes = gw_wire_walk(s);

        gw_debug_open(&resource, s);
        gw_buf_printf(t->out, "%s #%u\n", of[signal].resource, i);
        gw_debug_put_line(t->out, "Resource SchemaURL: ", resource.val[3]);
        gw_debug_put_attributes(t, "", "Resource attributes", resource.val[1], 1);
        put_entity_refs(t->out, resource.val[1]);
        for (unsigned k = 0; gw_debug_next(&scopes, 2, &s); k++) {
            struct gw_wire_walk rows = gw_wire_walk(s);

            gw_debug_open(&scope, s);
            put_scope(t, of[signal].scope, k, &scope);
            for (unsigned row = 0; gw_debug_next(&rows, 2, &s); row++)
                of[signal].put(t, s, row);
        }
    }
}
