/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What editing costs: views over 64 distinct requests of 100 spans with 14 attributes each, encoded as they are and
 * after the attributes processor has set one attribute and deleted another on every span. One JSON line a case:
 * nanoseconds of CPU a span, the least of sixty rounds. CASE=name runs one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "config/yaml.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/ports.h"

enum { N_REQUESTS = 64, N_HOT = 4, N_SPANS = 100, ROUNDS = 60, TURNS = 5 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_batch *batches[N_REQUESTS];
static struct gw_arena arena;
static struct gw_buf out;

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "view_bench: %s\n", what);
        exit(1);
    }
}

static void put_span(struct gw_buf *json, unsigned request, unsigned i)
{
    static const char *const keys[] = {"http.request.method",
                                       "url.path",
                                       "url.scheme",
                                       "server.address",
                                       "http.response.status_code",
                                       "network.protocol.version",
                                       "user_agent.original",
                                       "client.address",
                                       "http.route",
                                       "thread.name",
                                       "code.function",
                                       "user.email",
                                       "session.id",
                                       "db.system"};

    gw_buf_printf(
        json,
        "%s{\"traceId\":\"%016x%016x\",\"spanId\":\"%016x\",\"name\":\"GET /cart/%u\",\"kind\":2,"
        "\"startTimeUnixNano\":\"17673230450000%05u\",\"endTimeUnixNano\":\"17673230460000%05u\",\"attributes\":[",
        i ? "," : "", request + 1, i / 10 + 1, i + 1, i % 7, i, i);
    for (unsigned k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
        gw_buf_printf(json, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":\"value %u of %u %u\"}}", k ? "," : "",
                      keys[k], k, request, i);
    gw_buf_put_str(json, "]}");
}

static void make(unsigned request)
{
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at = {0};

    gw_buf_init(&json, 1 << 24);
    gw_buf_init(&wire, 1 << 24);
    gw_buf_put_str(&json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                          "\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[");
    for (unsigned i = 0; i < N_SPANS; i++)
        put_span(&json, request, i);
    gw_buf_put_str(&json, "]}]}]}");
    need(gw_json_to_proto(GW_TRACES, gw_buf_slice(&json), &limits, &wire, &err) == 0, err.text);
    batches[request] = gw_batch_new(GW_TRACES);
    need(batches[request] && gw_batch_append(batches[request], gw_buf_slice(&wire), &at) == 0, "out of memory");
    need(gw_decode(batches[request], gw_batch_slice(batches[request], at), &limits, NULL, &err) == 0, err.text);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static bool encodes = true;

static void emit(struct gw_ports *ports, unsigned port, struct gw_view *v)
{
    (void)ports;
    (void)port;
    gw_buf_reset(&out);
    need(!v->failed && (!encodes || gw_encode(v, &out) == 0), "encode");
    gw_view_clear(v);
}

static const struct gw_ports_ops ops = {.emit = emit};

static void *open_processor(const struct gw_component *c, const char *yaml)
{
    struct gw_diag diag;
    struct gw_err err = {""};
    struct gw_ctx ctx = {.id = c->name, .signal = GW_TRACES, .n_workers = 1};
    static struct gw_arena conf_arena;
    void *conf = calloc(1, c->conf_size), *self = NULL;
    const struct gw_node *node;

    gw_diag_init(&diag);
    gw_arena_init(&conf_arena, 4096, 1 << 20);
    node = gw_yaml_parse(gw_slice_cstr(yaml), "bench", &conf_arena, &diag);
    need(node && gw_schema_fill(c->fields, c->conf_size, node, conf, &conf_arena, &diag) == 0, "settings");
    need(c->create(&self, &ctx, conf, &err) == 0, err.text);
    return self; /* conf lives as long as the process */
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double run(unsigned n_requests, const char *name, const char *actions)
{
    bool old;
    const struct gw_component *c = gw_component_find(GW_PROCESSOR, GW_SLICE("attributes"), &old);
    void *self = actions ? open_processor(c, actions) : NULL;
    struct gw_ports ports = {.ops = &ops, .arena = &arena};
    double least = 1e9;

    if (getenv("CASE") && strcmp(getenv("CASE"), name) != 0)
        return 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        double ns;

        for (unsigned i = 0; i < TURNS * N_REQUESTS; i++) {
            struct gw_view v;

            gw_view_init(&v, batches[i % n_requests], &arena);
            if (self)
                c->consume(self, &v, &ports);
            else
                emit(&ports, 0, &v);
            gw_arena_reset(&arena, 1 << 20);
        }
        ns = (double)(cpu_ns() - begin) / TURNS / N_REQUESTS / N_SPANS;
        least = ns < least ? ns : least;
    }
    printf("{\"bench\":\"view\",\"case\":\"%s\",\"requests\":%u,\"ns_per_span\":%.1f,\"bytes_per_span\":%zu}\n", name,
           n_requests, least, out.n / N_SPANS);
    if (self)
        c->destroy(self);
    return least;
}

static void all(unsigned n_requests)
{
    static const char upsert_delete[] = "actions: [{key: deployment.environment, value: production, action: upsert}, "
                                        "{key: user.email, action: delete}]";
    double pass, edited;

    encodes = true;
    pass = run(n_requests, "pass-through", NULL);
    run(n_requests, "replace one", "actions: [{key: url.path, value: hidden, action: update}]");
    run(n_requests, "delete one", "actions: [{key: user.email, action: delete}]");
    run(n_requests, "add one", "actions: [{key: deployment.environment, value: production, action: upsert}]");
    edited = run(n_requests, "add one, delete one", upsert_delete);
    printf("{\"bench\":\"view\",\"case\":\"add one, delete one, over "
           "pass-through\",\"requests\":%u,\"ns_per_span\":%.1f}\n",
           n_requests, edited - pass);
    encodes = false;
    run(n_requests, "add one, delete one, not encoded", upsert_delete);
}

int main(void)
{
    gw_arena_init(&arena, 256 << 10, 64 << 20);
    gw_buf_init(&out, 64 << 20);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        make(i);
    all(N_REQUESTS); /* in the third-level cache, as after a pause */
    all(N_HOT);      /* in the second, as right after decoding */
    for (unsigned i = 0; i < N_REQUESTS; i++)
        gw_batch_unref(batches[i]);
    gw_arena_clear(&arena);
    gw_buf_clear(&out);
    return 0;
}
