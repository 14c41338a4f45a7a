/* SPDX-License-Identifier: Apache-2.0 */
/* The process as a whole, in a child: start, scrape, signals, the way out. */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/yaml.h"
#include "net/loop.h"
#include "runtime/admin.h"
#include "runtime/demo.h"
#include "runtime/run.h"
#include "tests/harness_engine.h"

static struct gw_service *load(const char *yaml, struct gw_arena *arena, struct gw_diag *diag)
{
    const struct gw_service_options options = {.components = gw_test_components(), .exporter_extra = &gw_queue_extra};
    struct gw_service *s = NULL;
    const struct gw_node *root;

    gw_arena_init(arena, 65536, 64u << 20);
    gw_diag_init(diag);
    root = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", arena, diag);
    assert_non_null(root);
    assert_int_equal(gw_service_new(root, &options, diag, &s), 0);
    return s;
}

/* Runs it with stderr into a pipe; the child exits with 0, or 1 when gw_run fails. */
static pid_t run_child(const char *yaml, int *ret_fd)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct gw_run_options options = {.source = "test.yaml"};
        struct gw_env *env = gw_env_real_new();
        struct gw_err err = {""};
        struct gw_arena arena;
        struct gw_diag diag;
        int rc;

        (void)dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        rc = gw_run(env, load(yaml, &arena, &diag), &options, &err);
        if (rc < 0)
            fprintf(stderr, "%s\n", err.text);
        _exit(rc < 0);
    }
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

/* Reads until the text was seen; false at the end of the stream. */
static bool read_until(int fd, char *text, size_t cap, size_t *n, const char *what)
{
    while (!strstr(text, what)) {
        ssize_t got = read(fd, text + *n, cap - 1 - *n);

        if (got <= 0)
            return false;
        *n += (size_t)got;
        text[*n] = 0;
    }
    return true;
}

static const char pumping[] = "receivers: { pump: { requests: 300, rows: 2 } }\n"
                              "exporters: { scripted: { at_once: true, sending_queue: { queue_size: 10000 } } }\n"
                              "service:\n"
                              "  telemetry: { metrics: { level: none } }\n"
                              "  pipelines:\n"
                              "    logs: { receivers: [pump], exporters: [scripted] }\n";

/*
 * Scenario    started, SIGHUP, then SIGTERM
 * Guarantees  says that it is ready and what OK means; SIGHUP changes nothing and says so; SIGTERM ends with 0
 */
static void a_signal_ends_it_cleanly(void **state)
{
    static char text[65536];
    int fd, status;
    size_t n = 0;
    pid_t pid;

    (void)state;
    text[0] = 0;
    pid = run_child(pumping, &fd);
    assert_true(read_until(fd, text, sizeof(text), &n, "logs -> scripted: OK means in memory"));
    assert_non_null(strstr(text, "is ready"));
    kill(pid, SIGHUP);
    assert_true(read_until(fd, text, sizeof(text), &n, "SIGHUP"));
    kill(pid, SIGTERM);
    assert_true(read_until(fd, text, sizeof(text), &n, "stopped"));
    assert_null(strstr(text, "undelivered"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}

/*
 * Scenario    a sink that never answers, drain_timeout 1s, SIGTERM
 * Guarantees  the process ends after that time and says how many items were left
 */
static void the_drain_has_an_end(void **state)
{
    static const char yaml[] = "receivers: { pump: { requests: 1, rows: 7 } }\n"
                               "exporters: { scripted: }\n"
                               "service:\n"
                               "  runtime: { drain_timeout: 300ms, workers: 1 }\n"
                               "  telemetry: { metrics: { level: none } }\n"
                               "  pipelines:\n"
                               "    logs: { receivers: [pump], exporters: [scripted] }\n";
    static char text[65536];
    int fd, status;
    size_t n = 0;
    pid_t pid;

    (void)state;
    text[0] = 0;
    pid = run_child(yaml, &fd);
    assert_true(read_until(fd, text, sizeof(text), &n, "first rows are here: 7"));
    kill(pid, SIGINT);
    assert_true(read_until(fd, text, sizeof(text), &n, "7 items undelivered"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}

/*
 * Scenario    the scrape endpoint's port is taken
 * Guarantees  the start fails with a sentence that names it
 */
static void a_taken_port_is_an_error_that_names_it(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0), fd, status;
    socklen_t len = sizeof(a);
    static char text[65536];
    char yaml[512], where[64];
    size_t n = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(a.sin_port));
    (void)snprintf(
        yaml, sizeof(yaml),
        "receivers: { pump: }\nexporters: { nop: }\nservice:\n"
        "  telemetry: { metrics: { readers: [ { pull: { exporter: { prometheus: { host: 127.0.0.1, port: %u } "
        "} } } ] } }\n"
        "  pipelines:\n    logs: { receivers: [pump], exporters: [nop] }\n",
        ntohs(a.sin_port));
    text[0] = 0;
    pid = run_child(yaml, &fd);
    (void)read_until(fd, text, sizeof(text), &n, "never said");
    assert_non_null(strstr(text, where));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    close(fd);
    close(s);
}

/* One GET over TCP while the loop turns. */
static void get(struct gw_loop *loop, const char *endpoint, const char *path, char *answer, size_t cap)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    char request[128];
    size_t n = 0;

    a.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof(a)), 0);
    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(s, request, strlen(request)), (int)strlen(request));
    for (unsigned i = 0; i < 200; i++) {
        ssize_t got;

        gw_loop_turn(loop, 1000000);
        got = recv(s, answer + n, cap - 1 - n, MSG_DONTWAIT);
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    answer[n] = 0;
    close(s);
}

/*
 * Scenario    a scrape of a free port, with and without type suffixes; another path
 * Guarantees  process metrics and target_info with the resource are there; 404 elsewhere; level none opens nothing
 */
static void a_scrape_shows_the_process_and_its_resource(void **state)
{
    static char answer[65536];
    struct gw_map_entry about[] = {{"service.name", "staunch", NULL}};
    struct gw_telemetry tel = {.metrics_level = GW_LEVEL_NORMAL,
                               .metrics_host = "127.0.0.1",
                               .metrics_on = true,
                               .without_scope_info = true,
                               .without_type_suffix = true,
                               .resource = {about, 1}};
    struct gw_env *env = gw_env_real_new();
    struct gw_admin_conf conf = {.env = env, .telemetry = &tel, .started_ns = gw_wall_ns(env)};
    struct gw_admin *a;
    struct gw_err err;

    (void)state;
    assert_int_equal(gw_loop_new(env, &conf.loop, &err), 0);
    conf.meter = gw_meter_new();
    assert_int_equal(gw_admin_new(&conf, &a, &err), 0);
    get(conf.loop, gw_admin_endpoint(a), "/metrics", answer, sizeof(answer));
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    assert_non_null(strstr(answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\notelcol_process_memory_rss "));
    assert_non_null(strstr(answer, "\notelcol_process_uptime "));
    assert_non_null(strstr(answer, "target_info{service_name=\"staunch\",service_instance_id=\""));
    tel.without_type_suffix = false;
    get(conf.loop, gw_admin_endpoint(a), "/metrics", answer, sizeof(answer));
    assert_non_null(strstr(answer, "\notelcol_process_cpu_seconds_total "));
    get(conf.loop, gw_admin_endpoint(a), "/", answer, sizeof(answer));
    assert_non_null(strstr(answer, "HTTP/1.1 404"));
    gw_admin_free(a);
    tel.metrics_level = GW_LEVEL_NONE;
    assert_int_equal(gw_admin_new(&conf, &a, &err), 0);
    assert_null(a);
    gw_loop_free(conf.loop);
    gw_meter_free(conf.meter);
    gw_env_real_free(env);
}

/*
 * Scenario    --demo on a graph with a connector, a port and an extension; and on one that has a demo receiver
 * Guarantees  the pipelines fed by receivers have one more, all other pointers still lead to their components
 */
static void the_demo_joins_every_pipeline_that_has_a_receiver(void **state)
{
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_err err;
    struct gw_service *s =
        load("receivers: { pump: }\nexporters: { nop: , scripted: { ports: { dead_letter: [nop] } } }\n"
             "connectors: { forward: }\nextensions: { health_check: }\n"
             "service:\n  extensions: [health_check]\n  pipelines:\n"
             "    logs/a: { receivers: [pump], exporters: [forward] }\n"
             "    logs/b: { receivers: [forward], exporters: [scripted] }\n",
             &arena, &diag);

    (void)state;
    assert_int_equal(gw_demo_add(s, &err), 0);
    for (size_t i = 0; i < s->n_pipelines; i++) {
        const struct gw_service_pipeline *p = &s->pipelines[i];
        bool is_fed = p->receivers[0]->kind == GW_RECEIVER;

        assert_int_equal(p->n_receivers, is_fed ? 2 : 1);
        assert_true(!is_fed || strcmp(p->receivers[1]->id, "demo") == 0);
        assert_ptr_equal(p->exporters[0], &s->components[p->exporters[0]->index]);
    }
    assert_ptr_equal(s->extensions[0], gw_service_find(s, GW_EXTENSION, "health_check"));
    assert_ptr_equal(gw_service_find(s, GW_EXPORTER, "scripted")->ports[0].targets[0],
                     gw_service_find(s, GW_EXPORTER, "nop"));
    assert_int_equal(gw_demo_add(s, &err), -EEXIST);
    gw_service_free(s);
    gw_diag_clear(&diag);
    gw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_ends_it_cleanly),
        cmocka_unit_test(the_drain_has_an_end),
        cmocka_unit_test(a_taken_port_is_an_error_that_names_it),
        cmocka_unit_test(a_scrape_shows_the_process_and_its_resource),
        cmocka_unit_test(the_demo_joins_every_pipeline_that_has_a_receiver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
