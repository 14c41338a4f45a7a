/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_graph against the Collector's connector: the requests, and what is expected of them, are those of its own
 * tests where it has one (connector_test.go, testdata/), its code's where it has none, and where ours differ on purpose
 * the scenario says so. Points are compared as lines: name unit{attributes} value.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/yaml.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

enum { MAX_WORKERS = 4, MAX_LINES = 4096 };
#define SECOND UINT64_C(1000000000)

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

struct line {
    char text[4096];
    unsigned worker;
    uint64_t start_ns, time_ns;
};

static struct rig {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_meter *meter;
    struct gw_credit memory;
    struct gw_host host;
    struct gw_arena conf_arena, arena;
    struct gw_diag diag;
    char said[4096];
    const struct gw_component *type;
    void *conf, *shared, *self[MAX_WORKERS];
    struct gw_ctx shared_ctx, ctx[MAX_WORKERS];
    struct gw_ledger ledger;
    struct gw_ports ports;
    unsigned n_workers, worker; /* worker: at work now */
    bool full;                  /* no room behind */
    uint32_t absorbed;
    struct line lines[MAX_LINES];
    unsigned n_lines, n_bodies;
} r;

/* ---- what comes out --------------------------------------------------------------------------------------- */

static void put(char *to, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put(char *to, size_t size, const char *fmt, ...)
{
    size_t n = strlen(to);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(to + n, size - n, fmt, ap);
    va_end(ap);
}

static void put_attributes(const struct gw_view *v, uint32_t row, char *to, size_t size)
{
    struct gw_attr_iter it;
    struct gw_slice key;
    struct gw_value value;
    const char *comma = "";

    put(to, size, "{");
    for (gw_view_attr_begin(v, GW_OWN_ROW, row, &it); gw_view_attr_next(&it, &key, &value); comma = ",") {
        put(to, size, "%s%.*s=", comma, (int)key.n, (const char *)key.p);
        if (value.type == GW_V_BOOL)
            put(to, size, "%s", value.b ? "true" : "false");
        else
            put(to, size, "\"%.*s\"", (int)value.s.n, (const char *)value.s.p);
    }
    put(to, size, "}");
}

static void put_counts(const struct gw_batch *b, struct gw_ref counts, char *to, size_t size)
{
    for (uint32_t i = 0; i < counts.len; i += 8) {
        uint64_t n;

        memcpy(&n, b->base + counts.off + i, sizeof(n));
        put(to, size, "%s%llu", i ? "," : "", (unsigned long long)n);
    }
}

static void put_value(const struct gw_batch *b, uint32_t row, char *to, size_t size)
{
    const struct gw_hist *h;
    const struct gw_exphist *e;

    if (b->number_type[row] == GW_N_INT) {
        put(to, size, " %lld", (long long)b->number[row].i64);
    } else if (b->number_type[row] == GW_N_HISTOGRAM) {
        h = &b->hists[b->number[row].u64];
        put(to, size, " n=%llu sum=%g ", (unsigned long long)h->count, h->sum);
        put_counts(b, h->counts, to, size);
    } else {
        assert_int_equal(b->number_type[row], GW_N_EXP_HISTOGRAM);
        e = &b->exphists[b->number[row].u64];
        put(to, size, " n=%llu sum=%g zero=%llu buckets=%u", (unsigned long long)e->count, e->sum,
            (unsigned long long)e->zero_count, e->n_positive);
    }
}

static void keep_line(const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    const struct gw_metric_desc *m = &b->metrics[b->metric[row]];
    struct gw_slice name = gw_batch_slice(b, m->name), unit = gw_batch_slice(b, m->unit);
    struct line *l = &r.lines[r.n_lines];

    assert_true(r.n_lines++ < MAX_LINES);
    *l = (struct line){.worker = r.worker, .start_ns = b->start_ns[row], .time_ns = b->time_ns[row]};
    assert_true(gw_slice_is(gw_batch_slice(b, b->scopes[m->scope].name), "traces_service_graph"));
    assert_int_equal(b->resources[b->scopes[m->scope].resource].attrs.begin,
                     b->resources[b->scopes[m->scope].resource].attrs.end);
    assert_int_equal(m->temporality, GW_T_CUMULATIVE);
    assert_int_equal(m->monotonic, m->type == GW_M_SUM);
    assert_true(name.n > 21 && memcmp(name.p, "traces_service_graph_", 21) == 0);
    put(l->text, sizeof(l->text), "%.*s%s%.*s", (int)name.n - 21, (const char *)name.p + 21, unit.n ? " " : "",
        (int)unit.n, (const char *)unit.p);
    put_attributes(v, row, l->text, sizeof(l->text));
    put_value(b, row, l->text, sizeof(l->text));
}

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    assert_int_equal(port, 0);
    assert_int_equal(v->batch->signal, GW_METRICS);
    r.n_bodies++;
    for (uint32_t row = 0; row < v->batch->n_rows; row++)
        keep_line(v, row);
    gw_view_settle_all(v, out->ledger, GW_DELIVERED, "test", NULL);
    gw_view_clear(v);
}

static bool has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    (void)out;
    (void)bytes;
    assert_true(rows > 0);
    return !r.full;
}

static void settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason)
{
    (void)l;
    (void)v;
    (void)reason;
    if (outcome == GW_ABSORBED)
        r.absorbed += rows;
}

/* ---- the rig ---------------------------------------------------------------------------------------------- */

static int configure(const char *yaml)
{
    const struct gw_node *node;
    struct gw_buf text;
    bool old;

    memset(&r, 0, sizeof(r));
    gw_test_env_init(&r.te, 1);
    gw_diag_init(&r.diag);
    gw_arena_init(&r.conf_arena, 64 << 10, 64 << 20);
    gw_arena_init(&r.arena, 64 << 10, 64 << 20);
    r.type = gw_component_find(GW_CONNECTOR, GW_SLICE("servicegraph"), &old);
    assert_true(r.type && old);
    node = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &r.conf_arena, &r.diag);
    r.conf = calloc(1, r.type->conf_size);
    (void)gw_schema_fill(r.type->fields, r.type->conf_size, node, r.conf, &r.conf_arena, &r.diag);
    if (!r.diag.n_errors)
        r.type->check(r.conf, node, &r.diag);
    gw_buf_init(&text, sizeof(r.said));
    gw_diag_write(&r.diag, &text);
    (void)snprintf(r.said, sizeof(r.said), "%.*s", (int)text.n, text.p ? (const char *)text.p : "");
    gw_buf_clear(&text);
    return r.diag.n_errors ? -1 : 0;
}

static void open_rig(unsigned n_workers, const char *yaml)
{
    static const struct gw_ports_ops ops = {.emit = emit, .has_room = has_room};
    struct gw_err err = {""};

    if (configure(yaml) < 0)
        fail_msg("%s", r.said);
    r.sink = (struct gw_log_sink){.env = &r.te.env, .level = GW_LOG_DEBUG};
    r.meter = gw_meter_new();
    gw_credit_init(&r.memory, 100 << 20, 200 << 20);
    r.host = (struct gw_host){.memory = &r.memory};
    r.n_workers = n_workers;
    r.ledger.settled = settled;
    r.ports = (struct gw_ports){.ops = &ops, .ledger = &r.ledger, .arena = &r.arena};
    r.shared_ctx = (struct gw_ctx){.env = &r.te.env,
                                   .id = "service_graph",
                                   .signal = GW_TRACES,
                                   .meter = r.meter,
                                   .logger = {.sink = &r.sink, .kind = "connector", .id = "service_graph"},
                                   .n_workers = n_workers,
                                   .host = &r.host};
    if (r.type->create_shared(&r.shared, &r.shared_ctx, r.conf, &err) < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < n_workers; i++) {
        r.ctx[i] = r.shared_ctx;
        r.ctx[i].worker = i;
        r.ctx[i].shared = r.shared;
        assert_int_equal(r.type->create(&r.self[i], &r.ctx[i], r.conf, &err), 0);
    }
}

static void close_rig(void)
{
    for (unsigned i = 0; i < r.n_workers; i++)
        r.type->destroy(r.self[i]);
    if (r.shared)
        r.type->destroy_shared(r.shared);
    assert_int_equal(r.memory.used_bytes, 0);
    free(r.conf);
    gw_meter_free(r.meter);
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf_arena);
    gw_arena_clear(&r.arena);
    gw_test_env_clear(&r.te);
}

static void send(unsigned worker, const char *json)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_buf wire;
    struct gw_view v;
    struct gw_ref at;
    uint32_t rows, absorbed = r.absorbed;

    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(GW_TRACES, gw_slice_cstr(json), &limits, &wire, &err) < 0)
        fail_msg("%s: %s", err.text, json);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_buf_clear(&wire);
    rows = b->n_rows;
    gw_view_init(&v, b, &r.arena);
    (void)gw_batch_unref(b);
    r.worker = worker;
    r.type->consume(r.self[worker], &v, &r.ports);
    assert_int_equal(r.absorbed, absorbed + rows);
    gw_arena_reset(&r.arena, 1 << 20);
}

/* Time passes; every worker ticks, then what they sent each other arrives with the next ticks. */
static void pass(uint64_t ns)
{
    gw_test_env_advance(&r.te, ns);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < r.n_workers; i++) {
            r.worker = i;
            (void)r.type->tick(r.self[i], gw_mono_ns(&r.te.env), &r.ports);
        }
}

static void forget(void)
{
    r.n_lines = r.n_bodies = 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->text, ((const struct line *)b)->text);
}

/* All lines, whatever their order. */
static void expect(const char *const *lines)
{
    unsigned n = 0;

    qsort(r.lines, r.n_lines, sizeof(r.lines[0]), by_text);
    while (lines[n])
        n++;
    for (unsigned i = 0; i < r.n_lines || i < n; i++) {
        const char *ours = i < r.n_lines ? r.lines[i].text : "nothing", *theirs = i < n ? lines[i] : "nothing";

        if (strcmp(ours, theirs) != 0)
            fail_msg("line %u is\n%s\nnot\n%s", i, ours, theirs);
    }
    forget();
}

#define EXPECT(...) expect((const char *const[]){__VA_ARGS__, NULL})

static bool begins(const struct line *l, const char *with)
{
    return strncmp(l->text, with, strlen(with)) == 0;
}

static const struct line *line_of(const char *begin)
{
    for (unsigned i = 0; i < r.n_lines; i++)
        if (begins(&r.lines[i], begin))
            return &r.lines[i];
    return NULL;
}

static double metric(const char *name)
{
    return (double)gw_metric_value(gw_meter_get(r.meter, GW_COUNTER, name, "", NULL, 0));
}

/* ---- spans ------------------------------------------------------------------------------------------------ */

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };

struct span {
    const char *service; /* NULL: no service.name */
    unsigned trace, id, parent;
    int kind;
    uint64_t duration_ns;
    bool failed;
    const char *attributes, *resource; /* "key:text,key:text" */
};

static void put_pairs(char *to, size_t size, const char *pairs)
{
    char text[512], *save = NULL;

    (void)snprintf(text, sizeof(text), "%s", pairs ? pairs : "");
    for (char *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        char *value = strchr(p, ':');

        *value++ = '\0';
        put(to, size, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":\"%s\"}}", to[strlen(to) - 1] == '[' ? "" : ",", p,
            value);
    }
}

static void send_span(unsigned worker, struct span s)
{
    char json[8192] = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[";

    if (s.service)
        put(json, sizeof(json), "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"%s\"}}", s.service);
    put_pairs(json, sizeof(json), s.resource);
    put(json, sizeof(json), "]},\"scopeSpans\":[{\"spans\":[{\"traceId\":\"%032x\",\"spanId\":\"%016x\",", s.trace,
        s.id);
    if (s.parent)
        put(json, sizeof(json), "\"parentSpanId\":\"%016x\",", s.parent);
    put(json, sizeof(json),
        "\"kind\":%d,\"startTimeUnixNano\":\"1800000000000000000\",\"endTimeUnixNano\":\"%llu\",\"status\":{\"code\":%"
        "d},"
        "\"attributes\":[",
        s.kind, (unsigned long long)(UINT64_C(1800000000000000000) + s.duration_ns), s.failed ? 2 : 0);
    put_pairs(json, sizeof(json), s.attributes);
    put(json, sizeof(json), "]}]}]}]}");
    send(worker, json);
}

#define SPAN(...) send_span(0, (struct span){__VA_ARGS__})
#define BUCKETS   "latency_histogram_buckets: [100ms, 1s, 10s]"

/*
 * Scenario    a client's and a server's span with dimensions of theirs (the Collector's extra-dimensions-queue-db)
 * Guarantees  one request with the Collector's names, units, attributes, buckets and sums, after a minute; a dimension
 * of the resource goes before the span's
 */
static void a_request_is_the_collectors(void **state)
{
    (void)state;
    open_rig(1, "{latency_histogram_buckets: [100ms, 1s, 10s], dimensions: [db.system, messaging.system, zone]}");
    SPAN("foo-server", .trace = 1, .id = 1, .kind = CLIENT, .duration_ns = 1000,
         .attributes = "messaging.system:kafka,zone:of-span", .resource = "zone:of-resource");
    SPAN("bar-requester", .trace = 1, .id = 2, .parent = 1, .kind = SERVER, .duration_ns = 2 * SECOND,
         .attributes = "db.system:postgresql");
    pass(60 * SECOND - 1);
    assert_int_equal(r.n_lines, 0);
    pass(1);
    assert_int_equal(r.n_bodies, 1);
#define ATTRS                                                                                                          \
    "{client=\"foo-server\",server=\"bar-requester\",connection_type=\"\",failed=false,server_db.system="              \
    "\"postgresql\",client_messaging.system=\"kafka\",client_zone=\"of-resource\"}"
    EXPECT("request_client s" ATTRS " n=1 sum=1e-06 1,0,0,0", "request_server s" ATTRS " n=1 sum=2 0,0,1,0",
           "request_total" ATTRS " 1");
#undef ATTRS
    assert_true(metric("otelcol_connector_servicegraph_total_edges") == 1);
    pass(60 * SECOND);
    assert_int_equal(r.n_lines, 3); /* cumulative: again */
    assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 0);
    close_rig();
}

/*
 * Scenario    requests in which either side fails, the server before the client, and spans that say nothing
 * Guarantees  failed when either is; the order does not matter; internal spans and those without service.name are taken
 *             and not counted; a span that ends before it begins took no time
 */
static void either_side_may_fail(void **state)
{
    (void)state;
    open_rig(1, "{" BUCKETS "}");
    SPAN("b", .trace = 1, .id = 2, .parent = 1, .kind = SERVER, .duration_ns = SECOND / 2);
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT, .duration_ns = SECOND, .failed = true);
    SPAN("a", .trace = 1, .id = 3, .kind = CLIENT, .duration_ns = SECOND);
    SPAN("b", .trace = 1, .id = 4, .parent = 3, .kind = SERVER, .failed = true, .duration_ns = (uint64_t)-1);
    SPAN("b", .trace = 1, .id = 5, .parent = 4, .kind = INTERNAL);
    SPAN(NULL, .trace = 1, .id = 6, .parent = 4, .kind = CLIENT);
    SPAN("", .trace = 1, .id = 6, .parent = 4, .kind = CLIENT);
    pass(60 * SECOND);
#define ATTRS "{client=\"a\",server=\"b\",connection_type=\"\",failed=true}"
    EXPECT("request_client s" ATTRS " n=2 sum=2 0,2,0,0", "request_failed_total" ATTRS " 2",
           "request_server s" ATTRS " n=2 sum=0.5 1,1,0,0", "request_total" ATTRS " 2");
#undef ATTRS
    assert_true(metric("otelcol_connector_servicegraph_total_edges") == 2);
    close_rig();
}

/*
 * Scenario    a producer and a consumer; a client that answers a consumer (of which the Collector says what came last)
 * Guarantees  connection_type is messaging_system when either side says so
 */
static void messages_are_told(void **state)
{
    (void)state;
    open_rig(1, "{" BUCKETS "}");
    SPAN("a", .trace = 1, .id = 1, .kind = PRODUCER);
    SPAN("b", .trace = 1, .id = 2, .parent = 1, .kind = CONSUMER);
    SPAN("b", .trace = 2, .id = 2, .parent = 1, .kind = CONSUMER);
    SPAN("a", .trace = 2, .id = 1, .kind = CLIENT);
    pass(60 * SECOND);
    assert_int_equal(r.n_lines, 3);
    assert_non_null(
        line_of("request_total{client=\"a\",server=\"b\",connection_type=\"messaging_system\",failed=false} 2"));
    close_rig();
}

/*
 * Scenario    clients of databases: the name in the span, in the resource, in the second of two attributes; one whose
 *             server answered before
 * Guarantees  each is a request at once, with the client's duration on both sides; the names' order counts, the
 * resource before the span; what waited under the same key is used up
 */
static void databases_are_servers(void **state)
{
    (void)state;
    open_rig(1, "{" BUCKETS ", database_name_attributes: [db.name, db.namespace], dimensions: [region]}");
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT, .duration_ns = SECOND, .attributes = "db.name:orders");
    SPAN("a", .trace = 1, .id = 2, .kind = CLIENT, .attributes = "db.namespace:items");
    SPAN("a", .trace = 1, .id = 3, .kind = CLIENT, .attributes = "db.namespace:ns,db.name:first");
    SPAN("a", .trace = 1, .id = 4, .kind = CLIENT, .attributes = "db.name:span", .resource = "db.name:resource");
    SPAN("b", .trace = 1, .id = 5, .parent = 6, .kind = SERVER, .failed = true, .attributes = "region:eu");
    SPAN("a", .trace = 1, .id = 6, .kind = CLIENT, .attributes = "db.name:answered");
    SPAN("a", .trace = 1, .id = 7, .kind = CLIENT, .attributes = "db.name:");
    pass(60 * SECOND);
#define DB(name) "request_total{client=\"a\",server=\"" name "\",connection_type=\"database\",failed=false} 1"
    assert_non_null(line_of(DB("orders")));
    assert_non_null(line_of(DB("items")));
    assert_non_null(line_of(DB("first")));
    assert_non_null(line_of(DB("resource")));
#undef DB
    assert_non_null(line_of("request_total{client=\"a\",server=\"answered\",connection_type=\"database\",failed=true,"
                            "server_region=\"eu\"} 1"));
    assert_non_null(
        line_of("request_server s{client=\"a\",server=\"orders\",connection_type=\"database\",failed=false} "
                "n=1 sum=1 0,1,0,0"));
    assert_null(line_of("request_total{client=\"a\",server=\"b\""));
    assert_true(metric("otelcol_connector_servicegraph_total_edges") == 6);
    assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 1); /* the one without a name */
    close_rig();
}

/*
 * Scenario    spans whose other side never comes (the Collector's virtual-node tests)
 * Guarantees  a server's without a parent is called by "user"; a client's goes to its first peer attribute, or
 *             "unknown"; a server's whose parent is missing is nobody's; with the extra label it is told which side was
 *             made up; without peer attributes none of them counts
 */
static void who_is_not_heard_is_made_up(void **state)
{
    (void)state;
    open_rig(1,
             "{" BUCKETS ", virtual_node_extra_label: true, virtual_node_peer_attributes: [peer.service, net.peer]}");
    for (int again = 0; again < 2; again++) {
        SPAN("web", .trace = 1, .id = 1, .kind = SERVER, .duration_ns = SECOND);
        SPAN("web", .trace = 1, .id = 2, .parent = 1, .kind = CLIENT, .duration_ns = 1000);
        SPAN("web", .trace = 1, .id = 3, .parent = 1, .kind = CLIENT,
             .attributes = "net.peer:10.0.0.1,peer.service:pay");
        SPAN("web", .trace = 1, .id = 4, .parent = 1, .kind = CLIENT, .attributes = "net.peer:10.0.0.1");
        SPAN("pay", .trace = 1, .id = 5, .parent = 77, .kind = SERVER);
        SPAN("web", .trace = 1, .id = 6, .parent = 1, .kind = CLIENT, .attributes = "peer.service:");
        pass(2 * SECOND);
        assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 0); /* not longer than 2s */
        pass(2 * SECOND);
        assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 6);
        pass(56 * SECOND);
        if (again)
            break;
#define V(client, server, side)                                                                                        \
    "{client=\"" client "\",server=\"" server "\",connection_type=\"virtual_node\",failed=false,virtual_node=\"" side  \
    "\"}"
        assert_int_equal(r.n_lines, 12);
        assert_non_null(line_of("request_server s" V("user", "web", "client") " n=1 sum=1 0,1,0,0"));
        assert_non_null(line_of("request_client s" V("user", "web", "client") " n=1 sum=0 1,0,0,0"));
        assert_non_null(line_of("request_client s" V("web", "unknown", "server") " n=2 sum=1e-06 2,0,0,0"));
        assert_non_null(line_of("request_total" V("web", "pay", "server") " 1"));
        assert_non_null(line_of("request_total" V("web", "10.0.0.1", "server") " 1"));
#undef V
        close_rig();
        open_rig(1, "{virtual_node_peer_attributes: []}");
    }
    assert_int_equal(r.n_lines, 0);
    close_rig();
}

/*
 * Scenario    the defaults: a client with peer.service, one with db.system
 * Guarantees  the Collector's three peer attributes, and its sixteen buckets
 */
static void defaults_are_the_collectors(void **state)
{
    (void)state;
    open_rig(1, "{database_name_attributes: []}");
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT, .attributes = "peer.service:pay", .duration_ns = 2000000);
    SPAN("a", .trace = 1, .id = 2, .kind = CLIENT, .attributes = "db.system:redis", .duration_ns = 16 * SECOND);
    SPAN("a", .trace = 1, .id = 3, .kind = CLIENT, .attributes = "db.name:orders");
    pass(60 * SECOND);
    assert_non_null(
        line_of("request_client s{client=\"a\",server=\"pay\",connection_type=\"virtual_node\",failed=false} "
                "n=1 sum=0.002 1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"));
    assert_non_null(line_of("request_client s{client=\"a\",server=\"redis\",connection_type=\"virtual_node\","
                            "failed=false} n=1 sum=16 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1"));
    assert_non_null(line_of("request_total{client=\"a\",server=\"orders\",connection_type=\"database\""));
    close_rig();
}

/*
 * Scenario    exponential histograms
 * Guarantees  count, sum, zeros, and as many buckets as fit: (1/4, 1], (1, 4], (4, 16], since one of each power of two
 *             would be five
 */
static void exponential_histograms(void **state)
{
    (void)state;
    open_rig(1, "{exponential_histogram_max_size: 4}");
    for (unsigned i = 0; i < 10; i++) {
        SPAN("a", .trace = 1, .id = 1, .kind = CLIENT, .duration_ns = (i + 1) * SECOND);
        SPAN("b", .trace = 1, .id = 2, .parent = 1, .kind = SERVER);
    }
    pass(60 * SECOND);
#define ATTRS "{client=\"a\",server=\"b\",connection_type=\"\",failed=false}"
    EXPECT("request_client s" ATTRS " n=10 sum=55 zero=0 buckets=3",
           "request_server s" ATTRS " n=10 sum=0 zero=10 buckets=0", "request_total" ATTRS " 10");
#undef ATTRS
    close_rig();
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

/*
 * Scenario    room for two spans: three clients, then a server that fits none, later again when the first two are due
 * Guarantees  what finds no room is counted as dropped, and what waits still finds its other side; who is due makes
 * room before the loop comes round (the Collector drops until then)
 */
static void the_store_is_bounded(void **state)
{
    (void)state;
    open_rig(1, "{store: {ttl: 5s, max_items: 2}, store_expiration_loop: 1m, virtual_node_peer_attributes: []}");
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT);
    SPAN("a", .trace = 2, .id = 1, .kind = CLIENT);
    SPAN("a", .trace = 3, .id = 1, .kind = CLIENT);
    assert_true(metric("otelcol_connector_servicegraph_dropped_spans") == 1);
    SPAN("b", .trace = 1, .id = 2, .parent = 1, .kind = SERVER);
    SPAN("a", .trace = 4, .id = 1, .kind = CLIENT);
    assert_true(metric("otelcol_connector_servicegraph_dropped_spans") == 1);
    assert_true(metric("otelcol_connector_servicegraph_total_edges") == 3);
    gw_test_env_advance(&r.te, 5 * SECOND + 1);
    SPAN("a", .trace = 5, .id = 1, .kind = CLIENT);
    assert_true(metric("otelcol_connector_servicegraph_dropped_spans") == 1);
    assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 2);
    close_rig();

    open_rig(1, "{store: {max_bytes: 1048576, max_items: 1000000}, virtual_node_peer_attributes: []}");
    for (unsigned i = 1; i < 20000; i++)
        SPAN("a", .trace = i, .id = 1, .kind = CLIENT);
    assert_true(metric("otelcol_connector_servicegraph_dropped_spans") > 10000);
    assert_true(r.memory.used_bytes <= 1048576 + 65536);
    close_rig();
}

/*
 * Scenario    a ttl of 10 s and a loop of 3 s
 * Guarantees  a span is given up at the first round of the loop after its ttl
 */
static void the_loop_gives_up(void **state)
{
    (void)state;
    open_rig(1, "{store: {ttl: 10s}, store_expiration_loop: 3s}");
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT);
    for (unsigned s = 1; s < 12; s++) {
        pass(SECOND);
        assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 0);
    }
    pass(SECOND);
    assert_true(metric("otelcol_connector_servicegraph_expired_edges") == 1);
    close_rig();
}

static void request(unsigned from, unsigned to, unsigned trace, const char *client, const char *server)
{
    send_span(from, (struct span){client, .trace = trace, .id = 1, .kind = CLIENT, .duration_ns = SECOND});
    send_span(to,
              (struct span){server, .trace = trace, .id = 2, .parent = 1, .kind = SERVER, .duration_ns = SECOND / 2});
}

/*
 * Scenario    a series that counts nothing for series_expiration, looked for every cache_loop; then it comes again
 * Guarantees  it goes with the first round after that; a new one begins at the last such moment, one that was always
 *             there at the start (the Collector's begins at the start each time, which takes a smaller sum for a reset
 *             that did not happen then)
 */
static void old_series_go(void **state)
{
    uint64_t begin;

    (void)state;
    open_rig(1, "{series_expiration: 90s, cache_loop: 30s, metrics_flush_interval: 10s}");
    begin = gw_wall_ns(&r.te.env);
    request(0, 0, 1, "a", "b");
    request(0, 0, 2, "c", "d");
    for (unsigned s = 0; s < 110; s += 10) {
        forget();
        pass(10 * SECOND);
        assert_int_equal(r.n_lines, 6);
        assert_true(line_of("request_total{client=\"a\"")->start_ns == begin);
        request(0, 0, 3, "c", "d");
    }
    forget();
    pass(10 * SECOND);
    assert_null(line_of("request_total{client=\"a\""));
    request(0, 0, 4, "a", "b");
    forget();
    pass(10 * SECOND);
    assert_true(line_of("request_total{client=\"a\"")->start_ns == begin + 120 * SECOND);
    assert_true(line_of("request_total{client=\"c\"")->start_ns == begin);
    close_rig();
}

/*
 * Scenario    a flush every 5 s, an offset of 3 s, and queues behind that are full for a while
 * Guarantees  points are written then, 3 s before now; without room they wait, and nothing is lost
 */
static void points_wait_for_room(void **state)
{
    (void)state;
    open_rig(1, "{metrics_flush_interval: 5s, metrics_timestamp_offset: 3s}");
    request(0, 0, 1, "a", "b");
    pass(5 * SECOND);
    assert_int_equal(r.n_bodies, 1);
    assert_true(r.lines[0].time_ns == gw_wall_ns(&r.te.env) - 3 * SECOND);
    forget();
    r.full = true;
    request(0, 0, 2, "a", "b");
    pass(5 * SECOND);
    assert_int_equal(r.n_bodies, 0);
    r.full = false;
    pass(SECOND);
    assert_int_equal(r.n_bodies, 1);
    assert_non_null(line_of("request_total{client=\"a\",server=\"b\",connection_type=\"\",failed=false} 2"));
    close_rig();
}

/*
 * Scenario    metrics_flush_interval: 0
 * Guarantees  every batch of spans is followed by the metrics at once, on other workers with their next tick
 */
static void no_interval_means_at_once(void **state)
{
    (void)state;
    open_rig(1, "{metrics_flush_interval: 0}");
    SPAN("a", .trace = 1, .id = 1, .kind = CLIENT, .attributes = "db.name:x");
    assert_int_equal(r.n_bodies, 1);
    SPAN("a", .trace = 1, .id = 2, .kind = CLIENT, .attributes = "db.name:x");
    assert_int_equal(r.n_bodies, 2);
    assert_int_equal(r.n_lines, 6);
    pass(SECOND);
    assert_int_equal(r.n_bodies, 2);
    close_rig();

    open_rig(4, "{metrics_flush_interval: 0}");
    for (unsigned i = 0; i < 16; i++)
        send_span(0, (struct span){"a", .trace = i, .id = 1, .kind = CLIENT, .attributes = "db.name:x"});
    pass(SECOND / 10);
    assert_true(r.n_lines > 0);
    assert_non_null(line_of("request_total{client=\"a\",server=\"x\",connection_type=\"database\",failed=false} 16"));
    close_rig();
}

/*
 * Scenario    room for two series; five come
 * Guarantees  two are counted as they are, the others together in one with otel.metric.overflow, on whatever worker
 * they were counted
 */
static void series_are_bounded(void **state)
{
    static char name[3001];
    unsigned total = 0, overflow = 0;

    (void)state;
    open_rig(1, "{max_series: 2, " BUCKETS "}");
    for (unsigned i = 0; i < 5; i++)
        request(0, 0, i, "a", (const char *const[]){"v", "w", "x", "y", "z"}[i]);
    pass(60 * SECOND);
    EXPECT("request_client s{client=\"a\",server=\"v\",connection_type=\"\",failed=false} n=1 sum=1 0,1,0,0",
           "request_client s{client=\"a\",server=\"w\",connection_type=\"\",failed=false} n=1 sum=1 0,1,0,0",
           "request_client s{otel.metric.overflow=true} n=3 sum=3 0,3,0,0",
           "request_server s{client=\"a\",server=\"v\",connection_type=\"\",failed=false} n=1 sum=0.5 0,1,0,0",
           "request_server s{client=\"a\",server=\"w\",connection_type=\"\",failed=false} n=1 sum=0.5 0,1,0,0",
           "request_server s{otel.metric.overflow=true} n=3 sum=1.5 0,3,0,0",
           "request_total{client=\"a\",server=\"v\",connection_type=\"\",failed=false} 1",
           "request_total{client=\"a\",server=\"w\",connection_type=\"\",failed=false} 1",
           "request_total{otel.metric.overflow=true} 3");
    close_rig();

    open_rig(4, "{" BUCKETS "}"); /* attributes of more than 4 KiB are no series of their own */
    (void)snprintf(name, sizeof(name), "%03000d", 0);
    request(1, 2, 1, name, "b");
    request(2, 3, 2, name, name + 1);
    pass(SECOND);
    pass(59 * SECOND);
    assert_non_null(line_of("request_total{otel.metric.overflow=true} 1"));
    assert_int_equal(r.n_lines, 6);
    close_rig();

    open_rig(4, "{max_series: 8, " BUCKETS "}");
    for (unsigned i = 0; i < 100; i++) {
        char server[16];

        (void)snprintf(server, sizeof(server), "s%u", i);
        request(i % 4, (i / 4) % 4, i, "a", server);
    }
    pass(SECOND);
    pass(59 * SECOND);
    for (unsigned i = 0; i < r.n_lines; i++)
        if (begins(&r.lines[i], "request_total")) {
            total += (unsigned)atoi(strrchr(r.lines[i].text, ' '));
            overflow += strstr(r.lines[i].text, "overflow") != NULL;
        }
    assert_int_equal(total, 100);
    assert_int_equal(overflow, 1);
    close_rig();
}

/* ---- several workers -------------------------------------------------------------------------------------- */

static void random_requests(unsigned n_workers)
{
    uint64_t seed = 5;

    for (unsigned i = 1; i <= 600; i++) {
        char client[16], server[16];
        uint64_t x = gw_test_random(&seed);

        (void)snprintf(client, sizeof(client), "c%u", (unsigned)(x % 5));
        (void)snprintf(server, sizeof(server), "s%u", (unsigned)(x >> 8) % 5);
        request((unsigned)(x >> 16) % n_workers, (unsigned)(x >> 24) % n_workers, i, client, server);
        if (x >> 32 & 1)
            send_span((unsigned)(x >> 40) % n_workers,
                      (struct span){client, .trace = i, .id = 3, .kind = CLIENT, .attributes = "peer.service:p"});
        if (i % 50 == 0)
            pass(SECOND / 10);
    }
}

/*
 * Scenario    600 requests whose sides come to any of four workers; the same on one
 * Guarantees  the same points, each series from one worker only
 */
static void four_workers_count_as_one(void **state)
{
    static struct line alone[MAX_LINES];
    unsigned n;

    (void)state;
    open_rig(1, "{" BUCKETS "}");
    random_requests(1);
    pass(5 * SECOND);
    pass(55 * SECOND);
    qsort(r.lines, r.n_lines, sizeof(r.lines[0]), by_text);
    n = r.n_lines;
    assert_int_equal(n, 3 * (25 + 5));
    memcpy(alone, r.lines, sizeof(alone));
    close_rig();

    open_rig(4, "{" BUCKETS "}");
    random_requests(4);
    pass(5 * SECOND);
    pass(55 * SECOND);
    qsort(r.lines, r.n_lines, sizeof(r.lines[0]), by_text);
    assert_int_equal(r.n_lines, n);
    for (unsigned i = 0; i < n; i++)
        assert_string_equal(r.lines[i].text, alone[i].text);
    assert_true(metric("otelcol_connector_servicegraph_dropped_spans") == 0);
    assert_int_equal(r.n_bodies, 4);
    close_rig();
}

/*
 * Scenario    four workers are drained right after the last spans came
 * Guarantees  everything that was read is counted in their last metrics; a worker that is never heard of does not hold
 * the others for ever
 */
static void draining_counts_all(void **state)
{
    unsigned total = 0, more = 15;

    (void)state;
    open_rig(4, "{}");
    for (unsigned i = 1; i <= 200; i++)
        request(i % 4, (i / 4) % 4, i, "a", "b");
    for (unsigned round = 0; more && round < 20; round++)
        for (unsigned w = 0; w < 4; w++)
            if (more & 1u << w && r.type->drain(r.self[w], &r.ports) == GW_DONE)
                more &= ~(1u << w);
    assert_int_equal(more, 0);
    for (unsigned i = 0; i < r.n_lines; i++)
        if (begins(&r.lines[i], "request_total{client=\"a\",server=\"b\""))
            total += (unsigned)atoi(strrchr(r.lines[i].text, ' '));
    assert_int_equal(total, 200);
    close_rig();

    open_rig(2, "{}");
    for (unsigned i = 1; i <= 20; i++)
        request(0, 0, i, "a", "b");
    assert_int_equal(r.type->drain(r.self[0], &r.ports), GW_MORE);
    gw_test_env_advance(&r.te, SECOND);
    assert_int_equal(r.type->drain(r.self[0], &r.ports), GW_DONE);
    close_rig();
}

/* ---- settings --------------------------------------------------------------------------------------------- */

static void refuses(const char *yaml, const char *text)
{
    assert_int_equal(configure(yaml), -1);
    if (!strstr(r.said, text))
        fail_msg("said \"%s\", not \"%s\"", r.said, text);
    close_rig();
}

/*
 * Scenario    settings that cannot be meant
 * Guarantees  each is refused with the setting's name
 */
static void mistakes_are_told(void **state)
{
    (void)state;
    refuses("{latency_histogram_buckets: [1s, 1s]}", "\"1s\" is not above \"1s\"");
    refuses("{latency_histogram_buckets: [1s, soon]}", "\"soon\" is no duration");
    refuses("{latency_histogram_buckets: [1s], exponential_histogram_max_size: 10}", "use either");
    refuses("{exponential_histogram_max_size: 1}", "below 2");
    refuses("{exponential_histogram_max_size: -1}", "exponential_histogram_max_size");
    refuses("{dimensions: [a, b, a]}", "\"a\" stands twice");
    refuses("{store: {max_items: 0}}", "max_items");
    refuses("{store: {max_bytes: 10}}", "max_bytes");
    assert_int_equal(configure("{latency_histogram_buckets: [1,2,3,4,5]}"), 0); /* nanoseconds, as in its README */
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_the_collectors), cmocka_unit_test(either_side_may_fail),
        cmocka_unit_test(messages_are_told),           cmocka_unit_test(databases_are_servers),
        cmocka_unit_test(who_is_not_heard_is_made_up), cmocka_unit_test(defaults_are_the_collectors),
        cmocka_unit_test(exponential_histograms),      cmocka_unit_test(the_store_is_bounded),
        cmocka_unit_test(the_loop_gives_up),           cmocka_unit_test(old_series_go),
        cmocka_unit_test(points_wait_for_room),        cmocka_unit_test(no_interval_means_at_once),
        cmocka_unit_test(series_are_bounded),          cmocka_unit_test(four_workers_count_as_one),
        cmocka_unit_test(draining_counts_all),         cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
