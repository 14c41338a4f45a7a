/* SPDX-License-Identifier: Apache-2.0 */
/* Another configuration for a running gateway: what is asked, what is said, what is counted, what is watched. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/yaml.h"
#include "net/loop.h"
#include "runtime/renew.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

/* A file that the test writes, and who reads it. */
struct file {
    const char *text;
    uint64_t changed_ns, read_ns;
    unsigned n_reads, n_held;
};

struct loaded {
    struct file *file;
    struct gw_arena arena;
    struct gw_service *service;
};

static void let_go(void *arg)
{
    struct loaded *l = arg;

    l->file->n_held--;
    gw_service_free(l->service);
    gw_arena_clear(&l->arena);
    free(l);
}

static int again(void *arg, struct gw_run_configuration *ret, struct gw_buf *mistakes)
{
    struct gw_service_options options = {.components = gw_test_components(), .exporter_extra = &gw_queue_extra};
    struct loaded *l = calloc(1, sizeof(*l));
    const struct gw_node *root;
    struct gw_diag diag;
    int rc;

    assert_non_null(l);
    l->file = arg;
    l->file->n_reads++;
    l->file->n_held++;
    l->file->read_ns = l->file->changed_ns;
    gw_arena_init(&l->arena, 65536, 64u << 20);
    gw_diag_init(&diag);
    root = gw_yaml_parse(gw_slice_cstr(l->file->text), "test.yaml", &l->arena, &diag);
    rc = root ? gw_service_new(root, &options, &diag, &l->service) : -EINVAL;
    gw_diag_write(&diag, mistakes);
    gw_diag_clear(&diag);
    *ret = (struct gw_run_configuration){l->service, let_go, l};
    if (rc < 0)
        let_go(l);
    return rc;
}

static uint64_t stamp(void *arg, bool as_read)
{
    const struct file *f = arg;

    return as_read ? f->read_ns : f->changed_ns;
}

struct rig {
    struct gw_test_engine t;
    struct file file;
    struct gw_run_options options;
    struct gw_logger logger;
    struct gw_renew *renew;
};

#define SINK(settings, service)                                                                                        \
    "receivers: { scripted: }\nexporters: { scripted: { " settings " } }\n"                                            \
    "service: { " service " pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n"

static void open_rig(struct rig *r, const char *yaml)
{
    struct gw_renew_conf conf = {.options = &r->options, .logger = &r->logger};

    *r = (struct rig){.file = {.text = yaml, .changed_ns = 1, .read_ns = 1}};
    r->options = (struct gw_run_options){.again = again, .stamp = stamp, .arg = &r->file};
    gw_test_engine_open(&r->t, yaml, 1, false);
    r->logger = (struct gw_logger){.sink = &r->t.log};
    conf.env = r->t.env;
    conf.loop = r->t.loop;
    conf.engine = r->t.engine;
    conf.meter = r->t.meter;
    conf.sink = &r->t.log;
    assert_int_equal(gw_renew_new(&conf, &r->renew), 0);
}

static void close_rig(struct rig *r)
{
    gw_renew_free(r->renew);
    assert_int_equal(gw_test_engine_close(&r->t), 0);
    assert_int_equal(r->file.n_held, 0);
}

static uint64_t counted(struct rig *r, const char *outcome)
{
    const struct gw_label l = {"outcome", outcome};

    return gw_test_engine_metric(&r->t, "staunch_reload", &l, 1);
}

static uint64_t gauge(struct rig *r, const char *name)
{
    return gw_metric_value(gw_meter_get(r->t.meter, GW_GAUGE, name, "", NULL, 0));
}

static bool said(struct rig *r, const char *text)
{
    return gw_test_env_logged(&r->t.te, text) != 0;
}

/*
 * Scenario    the same file; one with twelve mistakes; one that cannot start; a good one; a second later each
 * Guarantees  unchanged, failure, failure, success are counted; each mistake is said with its place; what fails changes
 *             nothing; the time of the last success is that of the good one; all that was read is let go but the last
 */
static void what_comes_of_it_is_said_and_counted(void **state)
{
    static const char wrong[] = "receivers: { scripted: { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 } }\n"
                                "exporters: { scripted: { g: 1, h: 1, i: 1, j: 1, k: 1, l: 1 } }\n"
                                "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n";
    struct rig r;
    void *sink;

    (void)state;
    open_rig(&r, SINK("", ""));
    sink = gw_engine_instance(r.t.engine, GW_EXPORTER, "scripted");
    gw_test_engine_turn(&r.t, 1, S);
    assert_int_equal(gw_renew_now(r.renew, "asked"), 0);
    assert_int_equal(counted(&r, "unchanged"), 1);
    assert_true(said(&r, "asked: the configuration is the same as before"));
    r.file.text = wrong;
    assert_int_equal(gw_renew_now(r.renew, "asked"), -EINVAL);
    assert_true(said(&r, "asked: test.yaml:1:26: error: unknown key"));
    for (char c = 'a'; c <= 'l'; c++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "unknown key \"%c\"", c);
        if (!said(&r, text))
            fail_msg("nothing about %c", c);
    }
    assert_true(said(&r, "going on with the one from before"));
    r.file.text = SINK("ports: { dead_letter: [scripted] }", "");
    assert_true(gw_renew_now(r.renew, "asked") < 0);
    assert_int_equal(counted(&r, "failure"), 2);
    assert_ptr_equal(gw_engine_instance(r.t.engine, GW_EXPORTER, "scripted"), sink);
    assert_int_equal(gauge(&r, "staunch_reload_last_success"), gw_wall_ns(r.t.env) / S - 1);
    r.file.text = SINK("timeout: 7s", "telemetry: { logs: { level: warn } }, runtime: { memory_limit_mib: 100 },");
    assert_int_equal(gw_renew_now(r.renew, "asked"), 0);
    assert_int_equal(counted(&r, "success"), 1);
    assert_int_equal(gauge(&r, "staunch_reload_last_success"), gw_wall_ns(r.t.env) / S);
    assert_ptr_not_equal(gw_engine_instance(r.t.engine, GW_EXPORTER, "scripted"), sink);
    assert_int_equal(r.t.log.level, GW_LOG_WARN);
    assert_int_equal(gw_engine_memory(r.t.engine)->hard_bytes, (100ull << 20) / 100 * 80);
    for (unsigned i = 0; i < 20; i++)
        gw_test_engine_turn(&r.t, 2, S / 10);
    assert_int_equal(gauge(&r, "staunch_reload_leaving"), 0);
    assert_int_equal(r.file.n_held, 1);
    close_rig(&r);
}

/*
 * Scenario    everything changes that a running process keeps
 * Guarantees  each is named as taking effect with the next start, and the rest is taken
 */
static void what_has_to_wait_is_named(void **state)
{
    static const char *const names[] = {"runtime::workers", "runtime::control_socket", "telemetry::logs::encoding",
                                        "telemetry::resource", "telemetry::metrics"};
    struct rig r;

    (void)state;
    open_rig(&r, SINK("", ""));
    r.file.text = SINK("", "runtime: { workers: 3, control_socket: /tmp/x.sock },"
                           "telemetry: { logs: { encoding: json }, resource: { a: b }, metrics: { level: none } },");
    assert_int_equal(gw_renew_now(r.renew, "asked"), 0);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[128];

        (void)snprintf(text, sizeof(text), "service::%s: the change takes effect with the next start", names[i]);
        if (!said(&r, text))
            fail_msg("%s", text);
    }
    close_rig(&r);
}

/* A little more than a second: one look. */
static void second(struct rig *r)
{
    gw_test_engine_turn(&r->t, 2, S + S / 10);
    gw_test_engine_turn(&r->t, 2, 0);
}

/*
 * Scenario    watch_config: the file changes, and once more a second later, then rests; it becomes wrong, and right
 *             again; then a configuration without watch_config, and another change
 * Guarantees  it is read when it has rested for a second, once for each state; a wrong one once, not every second; and
 *             not without watch_config, until SIGHUP brings it back
 */
static void a_changed_file_is_read_when_it_rests(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, SINK("", "runtime: { watch_config: true },"));
    for (unsigned i = 0; i < 5; i++)
        second(&r);
    assert_int_equal(r.file.n_reads, 0);
    r.file.text = SINK("timeout: 7s", "runtime: { watch_config: true },");
    for (unsigned i = 0; i < 3; i++) {
        r.file.changed_ns++;
        second(&r);
        assert_int_equal(r.file.n_reads, 0);
    }
    second(&r);
    assert_int_equal(r.file.n_reads, 1);
    assert_int_equal(counted(&r, "success"), 1);
    r.file.text = "no configuration";
    r.file.changed_ns++;
    for (unsigned i = 0; i < 5; i++)
        second(&r);
    assert_int_equal(r.file.n_reads, 2);
    assert_int_equal(counted(&r, "failure"), 1);
    r.file.text = SINK("timeout: 8s", "");
    r.file.changed_ns++;
    for (unsigned i = 0; i < 5; i++)
        second(&r);
    assert_int_equal(counted(&r, "success"), 2);
    r.file.changed_ns++;
    for (unsigned i = 0; i < 5; i++)
        second(&r);
    assert_int_equal(r.file.n_reads, 3);
    r.file.text = SINK("timeout: 8s", "runtime: { watch_config: true },");
    assert_int_equal(gw_renew_now(r.renew, "SIGHUP"), 0);
    r.file.changed_ns++;
    for (unsigned i = 0; i < 5; i++)
        second(&r);
    assert_int_equal(r.file.n_reads, 5);
    close_rig(&r);
}

/*
 * Scenario    watch_config, a sink that is down, and so many changes that sixteen configurations are still leaving
 * Guarantees  the next one is put off, and taken when the sinks have answered, without another change of the file
 */
static void a_reload_that_has_to_wait_is_tried_again(void **state)
{
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    struct gw_test_sink *sinks[17];
    char text[512];
    struct rig r;

    (void)state;
    open_rig(&r, SINK("", "runtime: { watch_config: true },"));
    for (unsigned i = 0; i < 17; i++) {
        gw_test_engine_send(gw_test_engine_door(&r.t, "scripted", 0), GW_LOGS, i, 1, i);
        gw_test_engine_turn(&r.t, 2, 0);
        sinks[i] = gw_test_engine_sink(&r.t, "scripted");
        (void)snprintf(text, sizeof(text), SINK("timeout: %us", "runtime: { watch_config: true },"), 1000 + i);
        r.file.text = text;
        r.file.changed_ns++;
        if (i < 16)
            assert_int_equal(gw_renew_now(r.renew, "asked"), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        second(&r);
    assert_true(said(&r, "earlier configurations still have rows or requests under way"));
    assert_int_equal(counted(&r, "success"), 16);
    assert_int_equal(gauge(&r, "staunch_reload_leaving"), 16);
    for (unsigned i = 0; i < 16; i++)
        gw_test_sink_answer(sinks[i], &ok);
    for (unsigned i = 0; i < 4; i++)
        second(&r);
    assert_int_equal(counted(&r, "success"), 17);
    gw_test_sink_answer(sinks[16], &ok);
    close_rig(&r);
}

/* Guarantees: a configuration that cannot be read again is not, and that is said. */
static void without_a_reader_nothing_happens(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, SINK("", "runtime: { watch_config: true },"));
    r.options.again = NULL;
    assert_int_equal(gw_renew_now(r.renew, "SIGHUP"), -ENOTSUP);
    assert_true(said(&r, "SIGHUP: this configuration cannot be read again"));
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_of_it_is_said_and_counted),
        cmocka_unit_test(what_has_to_wait_is_named),
        cmocka_unit_test(a_changed_file_is_read_when_it_rests),
        cmocka_unit_test(a_reload_that_has_to_wait_is_tried_again),
        cmocka_unit_test(without_a_reader_nothing_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
