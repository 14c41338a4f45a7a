/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of mode ecs: attributes of OpenTelemetry's conventions under the names of the Elastic Common Schema, all
 * others under their own; a.b as an object in an object. Names that the schema defines are protected: what would be
 * an object under such a name goes.
 */
#include "exporters/elasticsearch/writer.h"

enum { SKIP = 1, KEEP = 2, UNLESS_THERE = 4 };

/** One attribute: its name in the schema. KEEP: also under its own; UNLESS_THERE: another has that name. */
struct conversion {
    const char *from, *to;
    unsigned how;
};

static const struct conversion of_resource[] = {
    {"service.instance.id", "service.node.name", 0},
    {"deployment.environment", "service.environment", 0},
    {"deployment.environment.name", "service.environment", 0},
    {"telemetry.sdk.name", NULL, SKIP},
    {"telemetry.sdk.language", "service.language.name", 0},
    {"telemetry.sdk.version", "service.language.version", 0},
    {"telemetry.distro.name", NULL, SKIP},
    {"telemetry.distro.version", NULL, SKIP},
    {"cloud.platform", "cloud.service.name", 0},
    {"container.image.tags", "container.image.tag", 0},
    {"host.name", "host.hostname", KEEP | UNLESS_THERE},
    {"host.arch", "host.architecture", 0},
    {"process.parent_pid", "process.parent.pid", 0},
    {"process.executable.name", "process.title", 0},
    {"process.executable.path", "process.executable", 0},
    {"process.command_line", "process.args", 0},
    {"process.runtime.name", "service.runtime.name", 0},
    {"process.runtime.version", "service.runtime.version", 0},
    {"os.name", "host.os.name", 0},
    {"os.type", "host.os.platform", 0},
    {"os.description", "host.os.full", 0},
    {"os.version", "host.os.version", 0},
    {"client.address", "client.ip", 0},
    {"source.address", "source.ip", 0},
    {"k8s.deployment.name", "kubernetes.deployment.name", 0},
    {"k8s.namespace.name", "kubernetes.namespace", 0},
    {"k8s.node.name", "kubernetes.node.name", 0},
    {"k8s.pod.name", "kubernetes.pod.name", 0},
    {"k8s.pod.uid", "kubernetes.pod.uid", 0},
    {"k8s.job.name", "kubernetes.job.name", 0},
    {"k8s.cronjob.name", "kubernetes.cronjob.name", 0},
    {"k8s.statefulset.name", "kubernetes.statefulset.name", 0},
    {"k8s.replicaset.name", "kubernetes.replicaset.name", 0},
    {"k8s.daemonset.name", "kubernetes.daemonset.name", 0},
    {"k8s.container.name", "kubernetes.container.name", 0},
    {"k8s.cluster.name", "orchestrator.cluster.name", 0},
    {"faas.instance", "faas.id", 0},
    {"faas.trigger", "faas.trigger.type", 0},
    {NULL, NULL, 0},
};

static const struct conversion of_log[] = {
    {"event.name", "event.action", 0},
    {"exception.message", "error.message", 0},
    {"exception.stacktrace", "error.stacktrace", 0},
    {"exception.type", "error.type", 0},
    {"exception.escaped", "event.error.exception.handled", 0},
    {"http.response.body.size", "http.response.encoded_body_size", 0},
    {NULL, NULL, 0},
};

static const struct conversion of_span[] = {
    {"db.system", "span.db.type", 0},
    {"db.namespace", "span.db.instance", 0},
    {"db.query.text", "span.db.statement", 0},
    {"http.response.body.size", "http.response.encoded_body_size", 0},
    {NULL, NULL, 0},
};

static const struct conversion of_event[] = {
    {"exception.type", "error.exception.type", 0},
    {"exception.message", "error.exception.message", 0},
    {"exception.stacktrace", "error.stack_trace", 0},
    {"exception.escaped", NULL, SKIP},
    {"data_stream.type", NULL, SKIP},
    {"data_stream.dataset", NULL, SKIP},
    {"data_stream.namespace", NULL, SKIP},
    {"error.grouping_name", NULL, SKIP},
    {NULL, NULL, 0},
};

static bool is_target(const struct conversion *table, struct gw_slice key)
{
    for (; table->from; table++)
        if (table->to && gw_slice_is(key, table->to))
            return true;
    return false;
}

bool gw_es_ecs_is_resource_field(struct gw_slice key)
{
    return is_target(of_resource, key);
}

static bool is_log_field(struct gw_slice key)
{
    return is_target(of_resource, key) || is_target(of_log, key);
}

static bool is_span_field(struct gw_slice key)
{
    return is_target(of_resource, key) || is_target(of_span, key);
}

static bool is_event_field(struct gw_slice key)
{
    return is_target(of_resource, key) || is_target(of_event, key);
}

/* ---- attributes ----------------------------------------------------------------------------------------------- */

static const struct gw_attr *find(const struct gw_batch *b, struct gw_range r, struct gw_slice key)
{
    for (uint32_t i = r.begin; i < r.end; i++)
        if (b->attrs[i].klen == key.n && gw_slice_eq(gw_attr_key(b, &b->attrs[i]), key))
            return &b->attrs[i];
    return NULL;
}

static const struct conversion *find_conversion(const struct conversion *table, struct gw_slice key)
{
    for (; table->from; table++)
        if (table->from[0] == (key.n ? (char)key.p[0] : 0) && gw_slice_is(key, table->from))
            return table;
    return NULL;
}

static void add_attributes(struct gw_es_writer *w, struct gw_range r, const struct conversion *table)
{
    int has_target = -1; /* looked up once: host.name alone asks */

    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_attr *a = &w->b->attrs[i];
        struct gw_slice key = gw_attr_key(w->b, a);
        const struct conversion *c = find_conversion(table, key);
        struct gw_value v = gw_es_value_of(w->b, a);

        if (c && c->how & SKIP)
            continue;
        if (c && c->how & UNLESS_THERE && has_target < 0)
            has_target = find(w->b, r, gw_slice_cstr(c->to)) != NULL;
        if (c && !(c->how & UNLESS_THERE && has_target))
            gw_es_field_value(w, gw_slice_cstr(c->to), &v);
        if (!c || c->how & KEEP)
            gw_es_field_value(w, key, &v);
    }
}

void gw_es_ecs_resource(struct gw_es_writer *w)
{
    add_attributes(w, w->b->resources[w->scope.resource].attrs, of_resource);
}

static void add_envelope(struct gw_es_writer *w)
{
    gw_es_ecs_resource(w);
    gw_es_field_attributes(w, GW_SLICE(""), w->b->scopes[w->scope.scope].attrs);
}

/* ---- documents ------------------------------------------------------------------------------------------------ */

void gw_es_ecs_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;

    gw_es_scope_fields(w, add_envelope);
    add_attributes(w, b->attr[row], of_log);
    gw_es_field_stream(w, GW_SLICE(""), t);
    gw_es_field_time(w, GW_SLICE("@timestamp"), b->time_ns[row] ? b->time_ns[row] : b->observed_ns[row]);
    gw_es_field_id(w, GW_SLICE("trace.id"), b->trace_id[row], 16);
    gw_es_field_id(w, GW_SLICE("span.id"), b->span_id[row], 8);
    if (b->severity[row])
        gw_es_field_int(w, GW_SLICE("event.severity"), b->severity[row]);
    gw_es_field_text(w, GW_SLICE("log.level"), gw_batch_slice(b, b->severity_text[row]));
    if (b->body_type[row] == GW_V_STRING) {
        struct gw_value v = gw_value_of(b, GW_V_STRING, b->body[row]);

        gw_es_field_value(w, GW_SLICE("message"), &v);
    }
    gw_es_put_fields(w, /* nested= */ true, is_log_field);
}

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {NULL, "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};

    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

void gw_es_ecs_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;
    struct gw_range links = b->links_of[row];

    gw_es_scope_fields(w, add_envelope);
    add_attributes(w, b->attr[row], of_span);
    gw_es_field_stream(w, GW_SLICE(""), t);
    gw_es_field_time(w, GW_SLICE("@timestamp"), b->time_ns[row]);
    gw_es_field_id(w, GW_SLICE("trace.id"), b->trace_id[row], 16);
    gw_es_field_id(w, GW_SLICE("span.id"), b->span_id[row], 8);
    gw_es_field_text(w, GW_SLICE("span.name"), gw_batch_slice(b, b->name[row]));
    gw_es_field_id(w, GW_SLICE("parent.id"), b->parent_id[row], 8);
    if (b->status[row] == 1)
        gw_es_field_text(w, GW_SLICE("event.outcome"), GW_SLICE("success"));
    else if (b->status[row] == 2)
        gw_es_field_text(w, GW_SLICE("event.outcome"), GW_SLICE("failure"));
    if (links.end > links.begin)
        gw_es_field(w, GW_ES_F_LINKS, GW_SLICE("span.links"), (struct gw_value){.type = GW_V_INT, .i = row});
    gw_es_field_text(w, GW_SLICE("span.kind"), gw_slice_cstr(kind_name(b->kind[row])));
    gw_es_put_fields(w, /* nested= */ true, is_span_field);
}

/* ---- span events: errors, and what an application logs ---------------------------------------------------------- */

static bool is_exception(const struct gw_batch *b, const struct gw_event *e)
{
    return gw_slice_is(gw_batch_slice(b, e->name), "exception") &&
           (find(b, e->attrs, GW_SLICE("exception.type")) || find(b, e->attrs, GW_SLICE("exception.message")));
}

const struct gw_es_target *gw_es_ecs_event_route(struct gw_es_writer *w, uint32_t event, const struct gw_es_control *c)
{
    const struct gw_batch *b = w->b;
    const struct gw_event *e = &b->events[event];
    const struct gw_attr *service = find(b, b->resources[w->scope.resource].attrs, GW_SLICE("service.name"));
    const struct gw_attr *ns = c->namespace             ? c->namespace
                               : w->scope.own.namespace ? w->scope.own.namespace
                                                        : w->scope.of_resource.namespace;
    size_t at = w->text.n, middle;

    if (is_exception(b, e)) {
        GW_ES_PUT(&w->text, "apm.error");
    } else if (service && service->type == GW_V_STRING && service->val.ref.len) {
        size_t from = w->text.n;
        struct gw_slice dataset;

        GW_ES_PUT(&w->text, "apm.app.");
        gw_es_put_bytes(&w->text, b->base + service->val.ref.off, service->val.ref.len);
        dataset = gw_arena_dup(&w->doc_arena, gw_es_from(&w->text, from));
        w->text.n = from;
        gw_es_sanitize(w, &w->text, dataset.p ? dataset : GW_SLICE("apm.app"), GW_ES_NOT_IN_DATASET, GW_SLICE(""));
    } else {
        GW_ES_PUT(&w->text, "apm.app");
    }
    middle = w->text.n;
    gw_es_sanitize(w, &w->text, ns ? gw_es_as_string(w, ns) : GW_SLICE("default"), GW_ES_NOT_IN_NAMESPACE,
                   GW_SLICE(""));
    gw_es_route_stream(&w->row_targets[GW_ES_EVENT], gw_slice_of(w->text.p + at, middle - at),
                       gw_es_from(&w->text, middle));
    w->text.n = at;
    if (w->row_targets[GW_ES_EVENT].name_json.failed)
        w->rc = -ENOMEM;
    w->row_targets[GW_ES_EVENT].resolved = false; /* not by gw_es_route: it shall not take it for its own */
    return &w->row_targets[GW_ES_EVENT];
}

/** What the event is an error or a log of: the transaction when the span's attributes name it, else the span. */
static void add_parent(struct gw_es_writer *w, uint32_t row, bool exception)
{
    const struct gw_batch *b = w->b;
    const struct gw_attr *transaction = find(b, b->attr[row], GW_SLICE("transaction.id"));
    struct gw_slice id = {0};

    if (transaction) {
        if (transaction->type == GW_V_STRING)
            id = gw_batch_slice(b, transaction->val.ref);
        gw_es_field_text(w, GW_SLICE("transaction.id"), id);
        gw_es_field_text(w, GW_SLICE("span.id"), id);
        if (exception)
            gw_es_field_text(w, GW_SLICE("parent.id"), id);
        return;
    }
    gw_es_field_id(w, exception ? GW_SLICE("parent.id") : GW_SLICE("span.id"), b->span_id[row], 8);
}

void gw_es_ecs_event(struct gw_es_writer *w, uint32_t row, uint32_t event, const struct gw_es_target *t)
{
    const struct gw_batch *b = w->b;
    const struct gw_event *e = &b->events[event];
    bool exception = is_exception(b, e);

    gw_es_scope_fields(w, add_envelope);
    add_attributes(w, e->attrs, of_event);
    gw_es_field_stream(w, GW_SLICE(""), t);
    gw_es_field_time(w, GW_SLICE("@timestamp"), e->time_ns);
    gw_es_field_id(w, GW_SLICE("trace.id"), b->trace_id[row], 16);
    add_parent(w, row, exception);
    if (!exception) {
        gw_es_field_text(w, GW_SLICE("event.kind"), GW_SLICE("event"));
        gw_es_field_text(w, GW_SLICE("message"), gw_batch_slice(b, e->name));
    }
    gw_es_put_fields(w, /* nested= */ true, is_event_field);
}
