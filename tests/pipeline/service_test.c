/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/service.h"

#include "config/load.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "pipeline/exporter.h"
#include "pipeline/storage.h"
#include "tests/harness.h"

#include <stdlib.h>

/* ---- a small catalogue of components ---------------------------------------------------------------------- */

struct conf {
    uint64_t size;
    const char *name, *password, *authenticator;
    struct gw_map headers;
    struct gw_list tokens, keys;
};
static const struct gw_field fields[] = {
    GW_U64_FIELD(struct conf, size, "size", "5", 1, 10, "Size."),
    GW_STRING_FIELD(struct conf, name, "endpoint", "here", "Where."),
    GW_SECRET_FIELD(struct conf, password, "password", "Secret."),
    GW_ID_FIELD(struct conf, authenticator, "authenticator", 1u << GW_EXTENSION, "Who may."),
    GW_HEADERS_FIELD(struct conf, headers, "headers", "Headers."),
    {GW_FIELD_(struct conf, keys, "keys", GW_F_LIST, NULL, 0, 0, "Keys."), .secret_values = true},
    GW_STRINGS_FIELD(struct conf, tokens, "tokens", "Tokens."),
    {0},
};
static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    if (((const struct conf *)conf)->size == 7)
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "size")->place, "size: never 7");
}
static const char *const otlp_grpc_aliases[] = {"otlp", NULL};
static const char *const ports[] = {"dead_letter", "late", NULL};
static const struct gw_exporter_ops queued = {.queued = true, .default_timeout_ns = 30};
static const struct gw_exporter_ops direct = {.queued = false};

#define SETTINGS .fields = fields, .conf_size = sizeof(struct conf), .check = check
static const struct gw_component otlp = {.kind = GW_RECEIVER, .name = "otlp", .signals = GW_ALL_SIGNALS, SETTINGS};
static const struct gw_component validate = {
    .kind = GW_PROCESSOR, .name = "validate", .signals = GW_ALL_SIGNALS, .ports = ports, SETTINGS};
static const struct gw_component sampler = {.kind = GW_PROCESSOR, .name = "sampler", .signals = GW_TRACES | GW_LOGS};
static const struct gw_component forward = {.kind = GW_CONNECTOR, .name = "forward", .signals = GW_ALL_SIGNALS};
static const struct gw_component otlp_grpc = {.kind = GW_EXPORTER,
                                              .name = "otlp_grpc",
                                              .aliases = otlp_grpc_aliases,
                                              .signals = GW_ALL_SIGNALS,
                                              .exporter = &queued,
                                              SETTINGS};
static const struct gw_component debug = {
    .kind = GW_EXPORTER, .name = "debug", .signals = GW_ALL_SIGNALS, .exporter = &direct, SETTINGS};
static const struct gw_component tracer = {
    .kind = GW_EXPORTER, .name = "tracer", .signals = GW_TRACES, .exporter = &direct, SETTINGS};
static const struct gw_component auth = {.kind = GW_EXTENSION, .name = "basicauth", SETTINGS};
struct store_conf {
    const char *storage;
};
static const struct gw_field store_fields[] = {
    GW_ID_FIELD(struct store_conf, storage, "storage", 1u << GW_EXTENSION, "Where."),
    {0},
};
static const struct gw_storage_ops storage_ops = {.syncs = NULL};
static const struct gw_component disk = {.kind = GW_EXTENSION, .name = "disk", .storage = &storage_ops};
static const struct gw_component store = {.kind = GW_EXPORTER,
                                          .name = "dead_letter_store",
                                          .signals = GW_LOGS,
                                          .exporter = &queued,
                                          .fields = store_fields,
                                          .conf_size = sizeof(struct store_conf)};
static void watches(const void *conf, gw_watched_fn *each, void *arg)
{
    static const struct gw_place place = {"t.yaml", 9, 9};

    if (strcmp(((const struct conf *)conf)->name, "here") != 0)
        each(arg, ((const struct conf *)conf)->name, &place);
}
static const struct gw_component watcher = {
    .kind = GW_PROCESSOR, .name = "watcher", .signals = GW_TRACES, .watches = watches, SETTINGS};
static const struct gw_component detector = {
    .kind = GW_PROCESSOR, .name = "detector", .signals = GW_METRICS, .raises = true};
static const struct gw_component detector_of_logs = {
    .kind = GW_CONNECTOR, .name = "finder", .signals = GW_METRICS, .makes = GW_LOGS, .raises = true};
static const struct gw_component spans = {
    .kind = GW_CONNECTOR, .name = "spans", .signals = GW_TRACES, .makes = GW_METRICS};
static const struct gw_component *const catalogue[] = {
    &otlp, &validate, &sampler, &forward,  &otlp_grpc,        &debug, &tracer, &auth,
    &disk, &store,    &watcher, &detector, &detector_of_logs, &spans, NULL};

struct extra {
    uint64_t timeout_ns, queue_size;
};
static const struct gw_field extra_fields[] = {
    GW_DURATION_FIELD(struct extra, timeout_ns, "timeout", "5s", 0, 1e18, "Time."),
    GW_U64_FIELD(struct extra, queue_size, "queue_size", "1000", 0, 0, "Room."),
    {0},
};
static void adjust(void *conf, const void *ops)
{
    ((struct extra *)conf)->timeout_ns = ((const struct gw_exporter_ops *)ops)->default_timeout_ns;
}
static void finish(void *conf, const void *exporter_ops, void *exporter_conf, const struct gw_node *node,
                   struct gw_diag *diag)
{
    (void)node, (void)exporter_conf;
    assert_non_null(exporter_ops);
    if (((struct extra *)conf)->queue_size == 13)
        gw_diag_add(diag, GW_DIAG_ERROR, NULL, "queue_size: never 13");
}
static const struct gw_extra_settings extra = {extra_fields, sizeof(struct extra), adjust, finish, NULL};
static const struct gw_service_options options = {catalogue, &extra};

/* ---- one service a test ----------------------------------------------------------------------------------- */

static struct gw_arena arena;
static struct gw_diag diag;
static struct gw_service *service;
static const struct gw_node *tree;
static char *said;

static int setup(void **state)
{
    (void)state;
    gw_arena_init(&arena, 65536, 64 << 20);
    gw_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_service_free(service);
    service = NULL;
    gw_arena_clear(&arena);
    gw_diag_clear(&diag);
    free(said);
    said = NULL;
    return 0;
}

static const char *take(struct gw_buf *b)
{
    size_t n;

    gw_buf_put_u8(b, '\0');
    free(said);
    said = (char *)gw_buf_take(b, &n);
    return said;
}

static const char *say(void)
{
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    gw_diag_write(&diag, &b);
    return take(&b);
}

static int build(const char *text)
{
    gw_service_free(service);
    service = NULL;
    gw_diag_clear(&diag);
    tree = gw_yaml_parse(gw_slice_cstr(text), "t.yaml", &arena, &diag);
    if (!tree)
        fail_msg("%s", say());
    return gw_service_new(tree, &options, &diag, &service);
}

static void says(const char *text, const char *expected)
{
    assert_int_equal(build(text), -EINVAL);
    assert_null(service);
    assert_string_equal(say(), expected);
}

#define BASE    "receivers: {otlp: }\nexporters: {debug: }\n"
#define PIPE(p) "service: {pipelines: {" p "}}\n"

/* Scenario: a good configuration. Guarantees: members in order, settings filled, tables of the queue adjusted. */
static void a_good_configuration_becomes_a_graph(void **state)
{
    const struct gw_service_pipeline *p;

    (void)state;
    assert_int_equal(
        build(
            "receivers: {otlp: , otlp/two: {size: 3}}\n"
            "processors: {validate: {}, sampler: }\n"
            "exporters: {otlp_grpc/a: {endpoint: there, queue_size: 9}, otlp: {timeout: 1s}, debug: }\n"
            "extensions: {basicauth: }\n"
            "service:\n"
            "  extensions: [basicauth]\n"
            "  runtime: {workers: 2, drain_timeout: 3s}\n"
            "  pipelines:\n"
            "    traces/eu: {receivers: [otlp/two, otlp], processors: [sampler, validate], exporters: [otlp, debug]}\n"
            "    metrics: {receivers: [otlp], exporters: otlp_grpc/a}\n"),
        0);
    assert_int_equal(service->n_pipelines, 2);
    p = &service->pipelines[0];
    assert_string_equal(p->id, "traces/eu");
    assert_int_equal(p->signal, GW_TRACES);
    assert_string_equal(p->receivers[0]->id, "otlp/two");
    assert_string_equal(p->receivers[0]->name, "two");
    assert_int_equal(((const struct conf *)p->receivers[0]->conf)->size, 3);
    assert_string_equal(p->processors[1]->id, "validate");
    assert_ptr_equal(p->exporters[0]->type, &otlp_grpc);
    assert_int_equal(((const struct extra *)p->exporters[0]->extra)->timeout_ns, 1000000000);
    assert_null(p->exporters[1]->extra);
    p = &service->pipelines[1];
    assert_int_equal(p->n_exporters, 1);
    assert_int_equal(((const struct extra *)p->exporters[0]->extra)->timeout_ns, 30);
    assert_int_equal(((const struct extra *)p->exporters[0]->extra)->queue_size, 9);
    assert_string_equal(((const struct conf *)p->exporters[0]->conf)->name, "there");
    assert_int_equal(gw_service_find(service, GW_RECEIVER, "otlp")->signals, GW_TRACES | GW_METRICS);
    assert_int_equal(service->n_extensions, 1);
    assert_int_equal(service->runtime.workers, 2);
    assert_int_equal(service->runtime.drain_timeout_ns, 3000000000);
    assert_string_equal(say(), "t.yaml:3:60: warning: exporters::otlp: \"otlp\" is the old name of \"otlp_grpc\"\n");
}

/* Scenario: three mistakes of three sorts. Guarantees: all three, with place and the nearest right word. */
static void three_mistakes_are_told_together(void **state)
{
    (void)state;
    says("receivers:\n"
         "  otlp:\n"
         "    siz: 5\n"
         "exporters:\n"
         "  debgu:\n"
         "service:\n"
         "  pipelines:\n"
         "    traces:\n"
         "      receivers: [otpl]\n"
         "      exporters: [debgu]\n",
         "t.yaml:3:5: error: unknown key \"siz\" in receivers::otlp; did you mean \"size\"?\n"
         "t.yaml:5:3: error: exporters::debgu: unknown exporter type \"debgu\"; did you mean \"debug\"?\n"
         "t.yaml:9:19: error: service::pipelines::traces: receiver or connector \"otpl\" is not configured; did you "
         "mean "
         "\"otlp\"?\n");
}

/* Scenario: components that the Collector has. Guarantees: refused by name as planned, all of them at once. */
static void planned_components_are_not_unknown(void **state)
{
    (void)state;
    says("receivers: {kafka: , otlp: }\nprocessors: {filter: , transform/x: {a: 1}, transfor: , zzz: }\n"
         "connectors: {failover: }\nexporters: {debug: , logging: }\nextensions: {pprof: }\n" PIPE(
             "traces: {receivers: [otlp, kafka], processors: [filter, transform/x], exporters: [debug]}"),
         "t.yaml:1:13: error: receivers::kafka: the receiver \"kafka\" is planned and not there yet\n"
         "t.yaml:2:14: error: processors::filter: the processor \"filter\" is planned and not there yet\n"
         "t.yaml:2:24: error: processors::transform/x: the processor \"transform\" is planned and not there yet\n"
         "t.yaml:2:45: error: processors::transfor: unknown processor type \"transfor\"; \"transform\" is planned "
         "and not there yet\n"
         "t.yaml:2:57: error: processors::zzz: unknown processor type \"zzz\"; there are validate, sampler, watcher, "
         "detector\n"
         "t.yaml:3:14: error: connectors::failover: the connector \"failover\" is planned and not there yet\n"
         "t.yaml:4:22: error: exporters::logging: there is no \"logging\" any more; use debug\n"
         "t.yaml:5:14: error: extensions::pprof: the extension \"pprof\" is planned and not there yet\n");
}

/* Scenario: pipelines without ends, of other signals, with wrong members. Guarantees: one message each. */
static void pipelines_are_checked(void **state)
{
    (void)state;
    says(BASE PIPE("traces: {receivers: [], exporters: [debug]}, metrics: {receivers: [otlp]}, logs: "),
         "t.yaml:3:32: error: service::pipelines::traces: must have at least one receiver\n"
         "t.yaml:3:68: error: service::pipelines::metrics: must have at least one exporter\n"
         "t.yaml:3:98: error: service::pipelines::logs: must have at least one receiver\n"
         "t.yaml:3:98: error: service::pipelines::logs: must have at least one exporter\n");
    says(BASE PIPE("trace: {}, profiles: {}, foo: {}, logs/: {}, traces: {receivers: [otlp], exporter: [debug]}"),
         "t.yaml:3:23: error: service::pipelines: unknown signal \"trace\"; did you mean \"traces\"?\n"
         "t.yaml:3:34: error: service::pipelines::profiles: profiles are planned and not there yet\n"
         "t.yaml:3:48: error: service::pipelines: unknown signal \"foo\"; an id is traces, metrics or logs, perhaps "
         "with a name: "
         "traces/eu\n"
         "t.yaml:3:57: error: service::pipelines: \"logs/\" has no name behind the slash\n"
         "t.yaml:3:68: error: service::pipelines::traces: must have at least one exporter\n"
         "t.yaml:3:96: error: unknown key \"exporter\" in service::pipelines::traces; did you mean \"exporters\"?\n");
}

/* Scenario: ids that stand in another section, twice, or for another signal. Guarantees: the message says so. */
static void references_are_explained(void **state)
{
    (void)state;
    says(
        BASE "processors: {sampler: }\n" PIPE(
            "metrics: {receivers: [debug, otlp], processors: [sampler, validate], exporters: [debug, debug]}"),
        "t.yaml:4:45: error: service::pipelines::metrics: receiver or connector \"debug\" is not configured; it is in "
        "exporters\n"
        "t.yaml:4:72: error: service::pipelines::metrics: processor \"sampler\" does not take metrics\n"
        "t.yaml:4:81: error: service::pipelines::metrics: processor \"validate\" is not configured; there are sampler\n"
        "t.yaml:4:111: warning: service::pipelines::metrics: \"debug\" stands twice and counts once\n");
    says(BASE "processors: {validate: }\n" PIPE(
             "logs: {receivers: [otlp], processors: [validate, validate], exporters: [debug]}"),
         "t.yaml:4:72: error: service::pipelines::logs: processor \"validate\" stands twice\n");
}

/* Scenario: roots that are no configuration. Guarantees: what is missing is said, a near word offered. */
static void the_root_is_checked(void **state)
{
    (void)state;
    says("", "t.yaml:1:1: error: service::pipelines: there must be at least one pipeline\n");
    says("reciever: {}\nservice: {pipeline: {}}\n",
         "t.yaml:1:1: error: unknown key \"reciever\" in the configuration; did you mean \"receivers\"?\n"
         "t.yaml:2:1: error: service::pipelines: there must be at least one pipeline\n"
         "t.yaml:2:11: error: unknown key \"pipeline\" in service; did you mean \"pipelines\"?\n");
    says("receivers: {9x: , 'otlp/': , otlp: [1]}\nexporters: {debug: {size: 7}, otlp_grpc: {queue_size: 13}}\n" PIPE(
             "logs: {receivers: [otlp], exporters: [debug, otlp_grpc]}"),
         "t.yaml:1:13: error: receivers: \"9x\" is not a component id: type or type/name, where a type is letters, "
         "digits and _\n"
         "t.yaml:1:19: error: receivers: \"otlp/\" is not a component id: type or type/name, where a type is letters, "
         "digits and _\n"
         "t.yaml:1:36: error: receivers::otlp: must be a map, not a list\n"
         "t.yaml:2:27: error: size: never 7\n"
         "error: queue_size: never 13\n");
    says("service: [a]\n", "t.yaml:1:1: error: service::pipelines: there must be at least one pipeline\n"
                           "t.yaml:1:10: error: service: must be a map\n");
}

/* Scenario: connectors on one side only, across signals. Guarantees: each is named with what is missing. */
static void connectors_need_both_sides(void **state)
{
    (void)state;
    says(
        BASE "connectors: {forward/a: , forward/b: , forward/c: , forward/d: }\n" PIPE(
            "traces: {receivers: [otlp], exporters: [forward/a, forward/c]},"
            "logs: {receivers: [forward/b, forward/c], exporters: [debug]}"),
        "t.yaml:3:14: error: connectors::forward/a: it is an exporter of a pipeline and must be a receiver of another\n"
        "t.yaml:3:27: error: connectors::forward/b: it is a receiver of a pipeline and must be an exporter of another\n"
        "t.yaml:3:40: error: connectors::forward/c: traces go into it and no pipeline of traces has it as a receiver\n"
        "t.yaml:3:40: error: connectors::forward/c: logs go out of it and no pipeline of logs has it as an exporter\n");
}

/* Scenario: pipelines joined by connectors, the last first in the file. Guarantees: order of flow. */
static void pipelines_come_in_order_of_flow(void **state)
{
    (void)state;
    assert_int_equal(build(BASE "connectors: {forward/a: , forward/b: }\n" PIPE(
                         "traces/3: {receivers: [forward/b], exporters: [debug]},"
                         "traces/2: {receivers: [forward/a], exporters: [forward/b]},"
                         "logs: {receivers: [otlp], exporters: [debug]},"
                         "traces/1: {receivers: [otlp], exporters: [forward/a]}")),
                     0);
    assert_string_equal(service->pipelines[0].id, "logs");
    assert_string_equal(service->pipelines[1].id, "traces/1");
    assert_string_equal(service->pipelines[2].id, "traces/2");
    assert_string_equal(service->pipelines[3].id, "traces/3");
    assert_int_equal(service->pipelines[3].index, 3);
}

/* Scenario: two pipelines that feed each other, a pipeline that feeds itself through a port. Guarantees: refused. */
static void cycles_are_refused(void **state)
{
    (void)state;
    says(BASE "connectors: {forward/a: , forward/b: }\n" PIPE(
             "traces/1: {receivers: [otlp, forward/b], exporters: [forward/a]},"
             "traces/2: {receivers: [forward/a], exporters: [forward/b, debug]}"),
         "t.yaml:4:23: error: service::pipelines: a cycle through connectors: traces/1 <- traces/2 <- traces/1\n");
    says(BASE "connectors: {forward: }\nprocessors: {validate: {ports: {dead_letter: forward}}}\n" PIPE(
             "logs: {receivers: [otlp, forward], processors: [validate], exporters: [debug]}"),
         "t.yaml:5:23: error: service::pipelines: a cycle through connectors: logs <- logs\n");
}

/* Scenario: ports of a processor and of an exporter. Guarantees: targets found and used; mistakes told. */
static void ports_are_wired(void **state)
{
    const struct gw_service_component *c;

    (void)state;
    assert_int_equal(
        build("receivers: {otlp: }\n"
              "processors: {validate: {size: 2, ports: {late: [debug/late], dead_letter: debug/dead}}}\n"
              "exporters: {otlp_grpc: {ports: {dead_letter: [debug/more]}}, debug/late: , debug/dead: , debug/more: "
              "}\n" PIPE("traces: {receivers: [otlp], processors: [validate], exporters: [otlp_grpc]}")),
        0);
    assert_int_equal(diag.n_warnings, 0);
    c = gw_service_find(service, GW_PROCESSOR, "validate");
    assert_int_equal(c->n_ports, 2);
    assert_string_equal(c->ports[0].name, "late");
    assert_int_equal(c->ports[0].port, 2);
    assert_string_equal(c->ports[0].targets[0]->id, "debug/late");
    assert_int_equal(c->ports[0].targets[0]->signals, GW_TRACES);
    assert_int_equal(c->ports[1].port, 1);
    assert_int_equal(c->ports[1].targets[0]->signals, GW_LOGS);
    c = gw_service_find(service, GW_EXPORTER, "otlp_grpc");
    assert_int_equal(c->ports[0].port, 1);
    assert_int_equal(c->ports[0].targets[0]->signals, GW_LOGS);
    says("receivers: {otlp: }\n"
         "processors: {validate: {ports: {dead_leter: [debug], dead_letter: [tracer, nope], late: {}}}}\n"
         "exporters: {debug: {ports: {}}, tracer: }\n" PIPE(
             "logs: {receivers: [otlp], processors: [validate], exporters: [debug]}"),
         "t.yaml:2:33: error: processors::validate::ports: \"validate\" has no port \"dead_leter\"; did you mean "
         "\"dead_letter\"?\n"
         "t.yaml:2:67: error: processors::validate::ports::dead_letter: exporter \"tracer\" does not take logs\n"
         "t.yaml:2:76: error: processors::validate::ports::dead_letter: connector or exporter \"nope\" is not "
         "configured; there "
         "are debug, tracer\n"
         "t.yaml:2:89: error: processors::validate::ports::late: must be a list of exporters\n"
         "t.yaml:3:21: error: unknown key \"ports\" in exporters::debug; its keys are size, endpoint, password, "
         "authenticator, "
         "headers, keys, tokens\n");
}

static const struct gw_service_component *letter_target(enum gw_kind kind, const char *id)
{
    const struct gw_service_component *c = gw_service_find(service, kind, id);

    for (size_t i = 0; i < c->n_ports; i++)
        if (strcmp(c->ports[i].name, "dead_letter") == 0)
            return c->ports[i].n_targets ? c->ports[i].targets[0] : NULL;
    return NULL;
}

#define LETTERS                                                                                                        \
    "receivers: {otlp: }\nextensions: {disk: , disk/b: }\n"                                                            \
    "processors: {validate: {ports: {late: [debug]}}, validate/own: {ports: {dead_letter: [debug]}},\n"                \
    "  validate/off: {ports: {dead_letter: []}}}\n"
#define WITH(exporters, extensions, more)                                                                              \
    LETTERS "exporters: {otlp_grpc: , debug: " exporters "}\nservice:\n  extensions: [" extensions "]\n" more          \
            "  pipelines: {logs: {receivers: [otlp], processors: [validate, validate/own, validate/off],\n"            \
            "    exporters: [otlp_grpc, debug]}}\n"

/*
 * Scenario    two storages, with the second and both in service::extensions, and with none; a configured store
 * Guarantees  the first of service::extensions has the dead letter store, which every port without a target leads to;
 *             a port that leads elsewhere, or by [] nowhere, stays as it is; a configured store is that store
 */
static void dead_letters_go_to_the_storage(void **state)
{
    const struct gw_service_component *c;

    (void)state;
    assert_int_equal(build(WITH("", "disk/b, disk", "")), 0);
    assert_int_equal(diag.n_warnings, 0);
    c = service->dead_letter_output;
    assert_string_equal(c->id, "dead_letter_store");
    assert_true(c->is_used);
    assert_int_equal(c->signals, GW_LOGS);
    assert_string_equal(((const struct store_conf *)c->conf)->storage, "disk/b");
    assert_int_equal(((const struct extra *)c->extra)->queue_size, 1000);
    assert_ptr_equal(letter_target(GW_PROCESSOR, "validate"), c);
    assert_ptr_equal(letter_target(GW_EXPORTER, "otlp_grpc"), c);
    assert_int_equal(gw_service_find(service, GW_PROCESSOR, "validate")->n_ports, 2);
    assert_string_equal(letter_target(GW_PROCESSOR, "validate/own")->id, "debug");
    assert_null(letter_target(GW_PROCESSOR, "validate/off"));
    assert_null(letter_target(GW_EXPORTER, "dead_letter_store"));
    assert_int_equal(build(WITH(", dead_letter_store/mine: {storage: disk}", "disk/b, disk", "")), 0);
    assert_string_equal(service->dead_letter_output->id, "dead_letter_store/mine");
    assert_ptr_equal(letter_target(GW_EXPORTER, "otlp_grpc"), service->dead_letter_output);
    assert_int_equal(build(WITH("", "", "")), 0);
    assert_null(service->dead_letter_output);
    assert_null(letter_target(GW_EXPORTER, "otlp_grpc"));
    assert_null(gw_service_find(service, GW_EXPORTER, "dead_letter_store"));
}

/*
 * Scenario    service::dead_letters::to: none, a storage, an exporter whose own dead letters lead on, and mistakes
 * Guarantees  it is obeyed; what is behind the output does not lead back to it; mistakes are told at their place
 */
static void dead_letters_go_where_to_says(void **state)
{
    (void)state;
    assert_int_equal(build(WITH("", "disk", "  dead_letters: {to: none}\n")), 0);
    assert_null(service->dead_letter_output);
    assert_null(letter_target(GW_EXPORTER, "otlp_grpc"));
    assert_int_equal(build(WITH("", "disk, disk/b", "  dead_letters: {to: disk/b}\n")), 0);
    assert_string_equal(((const struct store_conf *)service->dead_letter_output->conf)->storage, "disk/b");
    assert_int_equal(build(WITH(", otlp_grpc/a: {ports: {dead_letter: [otlp_grpc/b]}}, otlp_grpc/b: ", "disk",
                                "  dead_letters: {to: otlp_grpc/a, max_request_kib: 7, requests_per_second: 3}\n")),
                     0);
    assert_string_equal(service->dead_letter_output->id, "otlp_grpc/a");
    assert_string_equal(letter_target(GW_EXPORTER, "otlp_grpc/a")->id, "otlp_grpc/b");
    assert_null(letter_target(GW_EXPORTER, "otlp_grpc/b"));
    assert_ptr_equal(letter_target(GW_EXPORTER, "otlp_grpc"), service->dead_letter_output);
    assert_int_equal(service->dead_letters.max_request_kib, 7);
    assert_int_equal(service->dead_letters.requests_per_second, 3);
    says(WITH("", "disk", "  dead_letters: {to: disk/b}\n"),
         "t.yaml:8:22: error: service::dead_letters::to: extension \"disk/b\" is no storage of service::extensions\n");
    says(WITH("", "disk", "  dead_letters: {to: debag}\n"), "t.yaml:8:22: error: service::dead_letters::to: exporter "
                                                            "or extension \"debag\" is not configured; did you mean "
                                                            "\"debug\"?\n");
    says(WITH(", tracer: ", "disk", "  dead_letters: {to: tracer}\n"),
         "t.yaml:8:22: error: service::dead_letters::to: exporter \"tracer\" does not take logs\n");
    says(
        WITH(", dead_letter_store: {storage: disk}", "disk", "  dead_letters: {to: disk}\n"),
        "t.yaml:8:22: error: service::dead_letters::to: name the configured store \"dead_letter_store\" instead of its "
        "storage\n");
}

/*
 * Scenario    the same file twice, with another size, with another secret
 * Guarantees  the same hash; another one; the same as before, because secrets do not go into it
 */
static void the_hash_tells_configurations_apart(void **state)
{
    char first[17];

    (void)state;
    assert_int_equal(build(BASE PIPE("logs: {receivers: [otlp], exporters: [debug]}")), 0);
    assert_int_equal(strlen(service->hash), 16);
    strcpy(first, service->hash);
    assert_int_equal(build("receivers: {otlp: {password: a}}\nexporters: {debug: }\n" PIPE(
                         "logs: {receivers: [otlp], exporters: [debug]}")),
                     0);
    assert_string_not_equal(service->hash, first);
    strcpy(first, service->hash);
    assert_int_equal(build("receivers: {otlp: {password: b}}\nexporters: {debug: }\n" PIPE(
                         "logs: {receivers: [otlp], exporters: [debug]}")),
                     0);
    assert_string_equal(service->hash, first);
}

/* Scenario: settings that name an extension. Guarantees: it must be configured and started. */
static void named_extensions_must_be_started(void **state)
{
    (void)state;
    says("receivers: {otlp: {authenticator: basicauth}, otlp/2: {authenticator: basicaut}}\n"
         "extensions: {basicauth: }\nexporters: {debug: }\n" PIPE(
             "logs: {receivers: [otlp, otlp/2], exporters: [debug]}"),
         "t.yaml:1:35: error: receivers::otlp: extension \"basicauth\" is configured and not in service::extensions\n"
         "t.yaml:1:71: error: receivers::otlp/2: extension \"basicaut\" is not configured; did you mean "
         "\"basicauth\"?\n");
}

/* Scenario: parts that nothing uses, in a file that is right otherwise. Guarantees: a warning each, no error. */
static void unused_parts_are_warned_about(void **state)
{
    (void)state;
    assert_int_equal(build("receivers: {otlp: , otlp/2: }\nexporters: {debug: }\nconnectors: {forward: }\n"
                           "extensions: {basicauth: }\n" PIPE("logs: {receivers: [otlp], exporters: [debug]}")),
                     0);
    assert_string_equal(say(),
                        "t.yaml:1:21: warning: receivers::otlp/2: configured and used by no pipeline\n"
                        "t.yaml:3:14: warning: connectors::forward: configured and used by no pipeline\n"
                        "t.yaml:4:14: warning: extensions::basicauth: configured and not in service::extensions\n");
    assert_false(gw_service_find(service, GW_RECEIVER, "otlp/2")->is_used);
}

static const char *attribute(const char *key)
{
    const struct gw_map *m = &service->telemetry.resource;

    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->entries[i].key, key) == 0)
            return m->entries[i].value;
    return NULL;
}

#define TELEMETRY(t) BASE "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}, telemetry: {" t "}}\n"

/* Scenario: telemetry absent, spelt in old and new ways. Guarantees: the Collector's meaning and defaults. */
static void telemetry_has_the_collectors_keys(void **state)
{
    const struct gw_telemetry *t;

    (void)state;
    assert_int_equal(build(TELEMETRY("")), 0);
    t = &service->telemetry;
    assert_int_equal(t->log_level, GW_LOG_INFO);
    assert_false(t->log_json);
    assert_true(t->metrics_on && t->without_scope_info && t->without_units && t->without_type_suffix);
    assert_string_equal(t->metrics_host, "localhost");
    assert_int_equal(t->metrics_port, 8888);
    assert_string_equal(attribute("service.name"), "staunch");
    assert_string_equal(attribute("service.version"), GW_VERSION);

    assert_int_equal(
        build(TELEMETRY("logs: {level: WARN, encoding: json}, metrics: {level: detailed, readers: [{pull: {exporter: "
                        "{prometheus: {host: 0.0.0.0, port: 9, without_type_suffix: false}}}}]}, resource: "
                        "{service.name: gw, service.instance.id: , service.version: , a: 1}")),
        0);
    t = &service->telemetry;
    assert_int_equal(t->log_level, GW_LOG_WARN);
    assert_true(t->log_json);
    assert_int_equal(t->metrics_level, GW_LEVEL_DETAILED);
    assert_string_equal(t->metrics_host, "0.0.0.0");
    assert_int_equal(t->metrics_port, 9);
    assert_false(t->without_type_suffix);
    assert_true(t->without_units && t->no_instance_id);
    assert_string_equal(attribute("service.name"), "gw");
    assert_null(attribute("service.version"));
    assert_string_equal(attribute("a"), "1");

    assert_int_equal(build(TELEMETRY("metrics: {address: ':8889'}, resource: {attributes: [{name: b, value: 2}]}")), 0);
    assert_string_equal(service->telemetry.metrics_host, "0.0.0.0");
    assert_int_equal(service->telemetry.metrics_port, 8889);
    assert_string_equal(attribute("b"), "2");
    assert_int_equal(diag.n_warnings, 1);
    assert_int_equal(build(TELEMETRY("metrics: {level: none}")), 0);
    assert_false(service->telemetry.metrics_on);
    assert_int_equal(build(TELEMETRY("metrics: {readers: []}")), 0);
    assert_false(service->telemetry.metrics_on);
}

/* Scenario: telemetry that we lack or that is wrong. Guarantees: planned parts are refused, mistakes placed. */
static void telemetry_that_is_not_there_is_refused(void **state)
{
    (void)state;
    says(TELEMETRY("logs: {levl: info, processors: []}, metrics: {readers: [{periodic: {}}, {}]}"),
         "t.yaml:3:90: error: unknown key \"levl\" in service::telemetry::logs; did you mean \"level\"?\n"
         "t.yaml:3:102: error: service::telemetry::logs::processors is planned and not there yet\n"
         "t.yaml:3:140: error: service::telemetry::metrics::readers::0::periodic is planned and not there yet\n"
         "t.yaml:3:155: error: service::telemetry::metrics::readers: at most one reader\n");
}

/* Scenario: secrets in tables, in header maps, in unknown blocks. Guarantees: none is in the printed tree. */
static void printed_trees_hold_no_secrets(void **state)
{
    struct gw_node *copy;
    struct gw_buf b;

    (void)state;
    (void)build("receivers: {otlp: {password: s3cret, endpoint: e, keys: [s3cret, s3cret], tokens: [s3cret]}}\n"
                "exporters: {otlp_grpc: {headers: {X-Key: s3cret}, timeout: 5s}, debug: {headers: [{name: n, value: "
                "s3cret}]},\n"
                "  other: {deep: {api_token: s3cret, x: 1}}}\n");
    copy = gw_service_redact(tree, &options, &arena);
    assert_non_null(copy);
    gw_buf_init(&b, 1 << 16);
    gw_yaml_write(&b, copy);
    (void)take(&b);
    assert_null(strstr(said, "s3cret"));
    assert_non_null(strstr(said, "password: \"[REDACTED]\""));
    assert_non_null(strstr(said, "X-Key: \"[REDACTED]\""));
    assert_non_null(strstr(said, "name: n"));
    assert_non_null(strstr(said, "endpoint: e"));
    assert_non_null(strstr(said, "timeout: 5s"));
    assert_non_null(strstr(said, "x: 1"));
}

/*
 * Scenario    a processor watches a detector: that is misspelt, is none, stands nowhere, sees what the processor lets
 *             through; and one that is fed before it
 * Guarantees  each is told at its place; the last one is fine
 */
static void detectors_that_are_watched(void **state)
{
#define WATCH(id, more) BASE "processors: {watcher: {endpoint: " id "}, detector/a: , validate: }\n" more
#define BEFORE                                                                                                         \
    "traces: {receivers: [otlp], exporters: [spans, forward]}, traces/kept: {receivers: [forward], processors: "       \
    "[watcher], exporters: [debug]}"
    (void)state;
    assert_int_equal(build(WATCH("detector/a", "connectors: {spans: , forward: }\n") PIPE(
                         BEFORE ", metrics: {receivers: [spans], processors: [detector/a], exporters: [debug]}")),
                     0);
    assert_int_equal(build(WATCH("finder", "connectors: {spans: , forward: , finder: }\n") PIPE(
                         BEFORE ", metrics: {receivers: [spans], exporters: [finder]}, logs: {receivers: [finder], "
                                "exporters: [debug]}")),
                     0);
    says(
        WATCH("detector/b", "") PIPE("traces: {receivers: [otlp], processors: [watcher], exporters: [debug]}"),
        "t.yaml:9:9: error: processors::watcher: processor or connector \"detector/b\" is not configured; did you mean "
        "\"detector/a\"?\n");
    says(WATCH("validate", "") PIPE("traces: {receivers: [otlp], processors: [watcher], exporters: [debug]}"),
         "t.yaml:9:9: error: processors::watcher: processor \"validate\" is no detector: anomaly is one\n");
    says(WATCH("detector/a", "") PIPE("traces: {receivers: [otlp], processors: [watcher], exporters: [debug]}"),
         "t.yaml:9:9: error: processors::watcher: detector \"detector/a\" stands in no pipeline: it would never say "
         "anything\n");
    says(WATCH("finder", "connectors: {spans: , forward: , finder: }\n") PIPE(
             "traces: {receivers: [otlp], processors: [watcher], exporters: [forward]}, traces/b: {receivers: "
             "[forward], exporters: [spans]}, metrics: {receivers: [spans], exporters: [finder]}, logs: {receivers: "
             "[finder], exporters: [debug]}"),
         "t.yaml:9:9: error: processors::watcher: a cycle: detector \"finder\" in metrics sees what this one lets "
         "through; what it learns from must leave before\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_configuration_becomes_a_graph, setup, teardown),
        cmocka_unit_test_setup_teardown(three_mistakes_are_told_together, setup, teardown),
        cmocka_unit_test_setup_teardown(planned_components_are_not_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelines_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(references_are_explained, setup, teardown),
        cmocka_unit_test_setup_teardown(the_root_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(connectors_need_both_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelines_come_in_order_of_flow, setup, teardown),
        cmocka_unit_test_setup_teardown(cycles_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(ports_are_wired, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_letters_go_to_the_storage, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_letters_go_where_to_says, setup, teardown),
        cmocka_unit_test_setup_teardown(the_hash_tells_configurations_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(named_extensions_must_be_started, setup, teardown),
        cmocka_unit_test_setup_teardown(unused_parts_are_warned_about, setup, teardown),
        cmocka_unit_test_setup_teardown(telemetry_has_the_collectors_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(telemetry_that_is_not_there_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(printed_trees_hold_no_secrets, setup, teardown),
        cmocka_unit_test(detectors_that_are_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
