/* SPDX-License-Identifier: Apache-2.0 */
/* The real binary as a process: what service::telemetry and service::runtime change, exit codes, SIGTERM. */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 16 };

static char file[] = "/tmp/staunch-process-XXXXXX";
static char text[TEXT_MAX]; /* standard error of the last process, as far as it was read */
static size_t n_text;
static pid_t pid;
static FILE *err;

static int setup(void **state)
{
    int fd;

    (void)state;
    (void)strcpy(strrchr(file, '-'), "-XXXXXX");
    fd = mkstemp(file);
    pid = 0;
    return fd >= 0 ? close(fd) : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    if (err)
        (void)fclose(err);
    err = NULL;
    return unlink(file);
}

/* A gateway with this receiver, that sends nothing, with this in its `service`. */
static void start_with(const char *receiver, const char *settings, const char *service)
{
    FILE *f = fopen(file, "w");
    int fds[2];

    assert_non_null(f);
    (void)fprintf(f,
                  "receivers: {%s: {%s}}\nexporters: {nop: }\n"
                  "service:\n  pipelines: {traces: {receivers: [%s], exporters: [nop]}}\n%s\n",
                  receiver, settings, receiver, service);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)execl(GW_BINARY_DIR "/staunch", "staunch", "--config", file, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    if (err)
        (void)fclose(err);
    err = fdopen(fds[0], "r");
    n_text = 0;
    text[0] = '\0';
}

/* One that hears nobody. */
static void start(const char *service)
{
    start_with("demo", "traces_per_second: 1", service);
}

/* Reads lines until one holds the word, or the end. */
static bool read_until(const char *word)
{
    char *line = text + n_text;

    while (n_text < TEXT_MAX - 1 && fgets(line = text + n_text, (int)(TEXT_MAX - n_text), err)) {
        n_text += strlen(line);
        if (word && strstr(line, word))
            return true;
    }
    return false;
}

/* SIGTERM, the rest of its words, its exit code. */
static int stop(void)
{
    int status;

    assert_int_equal(kill(pid, SIGTERM), 0);
    (void)read_until(NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int join(void)
{
    int status;

    (void)read_until(NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* GET /metrics of the port that the first lines name. */
static const char *scrape(void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static char answer[1 << 18];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *at = strstr(text, "self-metrics");
    int fd = socket(AF_INET, SOCK_STREAM, 0), port = 0;
    size_t n = 0;
    ssize_t got;

    assert_non_null(at);
    assert_int_equal(sscanf(at, "self-metrics http://127.0.0.1:%d/", &port), 1);
    a.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    while (n < sizeof(answer) - 1 && (got = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
    (void)close(fd);
    return answer;
}

#define READER(more) "metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0" more "}}}}]}"

/* Scenario: a reader with the defaults. Guarantees: the Collector's names without suffix; SIGTERM ends with 0. */
static void self_metrics_have_the_collectors_names(void **state)
{
    const char *m;

    (void)state;
    start("  telemetry: {" READER("") "}");
    assert_true(read_until("self-metrics"));
    m = scrape();
    assert_non_null(strstr(m, "200 OK"));
    assert_non_null(strstr(m, "otelcol_process_uptime"));
    assert_null(strstr(m, "otelcol_process_cpu_seconds_total"));
    assert_null(strstr(m, "otel_scope_"));
    assert_non_null(strstr(m, "service_name=\"staunch\""));
    assert_non_null(strstr(m, "service_version=\"" GW_VERSION "\""));
    assert_non_null(strstr(m, "service_instance_id=\""));
    assert_int_equal(stop(), 0);
    assert_non_null(strstr(text, "SIGTERM: draining"));
}

/* Scenario: suffixes, scopes, another resource, one worker. Guarantees: each changes what is shown. */
static void telemetry_settings_change_what_is_shown(void **state)
{
    const char *m;

    (void)state;
    start("  runtime: {workers: 1, drain_timeout: 3s, memory_limit_mib: 64}\n"
          "  telemetry: {resource: {service.name: gw, service.instance.id: , team: blue}, " READER(
              ", without_type_suffix: false, without_scope_info: false") "}");
    assert_true(read_until("self-metrics"));
    assert_non_null(strstr(text, ", 1 worker)"));
    m = scrape();
    assert_non_null(strstr(m, "otelcol_process_cpu_seconds_total"));
    assert_non_null(strstr(m, "otel_scope_"));
    assert_non_null(strstr(m, "service_name=\"gw\""));
    assert_non_null(strstr(m, "team=\"blue\""));
    assert_null(strstr(m, "service_instance_id=\""));
    assert_int_equal(stop(), 0);
    assert_non_null(strstr(text, "at most 3 s"));
}

static void write_configuration(const char *exporters)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    (void)fprintf(f,
                  "receivers: {demo: {traces_per_second: 1}}\nexporters: {nop: , nop/b: }\n"
                  "service:\n  pipelines: {traces: {receivers: [demo], exporters: [%s]}}\n"
                  "  telemetry: {" READER("") "}\n",
                  exporters);
    assert_int_equal(fclose(f), 0);
}

/*
 * Scenario    SIGHUP with a file that has another exporter; with a wrong one; with the same one
 * Guarantees  taken, refused with the mistake's place, and found unchanged; the process goes on and ends with 0
 */
static void a_hangup_reads_the_file_again(void **state)
{
    (void)state;
    start("  telemetry: {" READER("") "}");
    assert_true(read_until("self-metrics"));
    write_configuration("nop, nop/b");
    assert_int_equal(kill(pid, SIGHUP), 0);
    assert_true(read_until("SIGHUP: done"));
    assert_non_null(strstr(text, "2 instances stay as they are, 1 new, 0 leave"));
    write_configuration("nop, nap");
    assert_int_equal(kill(pid, SIGHUP), 0);
    assert_true(read_until("going on with the one from before"));
    assert_non_null(strstr(text, ":4:"));
    write_configuration("nop, nop/b");
    assert_int_equal(kill(pid, SIGHUP), 0);
    assert_true(read_until("SIGHUP: the configuration is the same as before"));
    assert_non_null(strstr(scrape(), "staunch_reload{outcome=\"failure\"} 1"));
    assert_int_equal(stop(), 0);
}

static int connect_to(const char *address, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Of nobody, at the moment. */
static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

/* Scenario: readers: pull: exporter: prometheus: with a host and a port; without a reader.
 * Guarantees: it can be scraped there and nowhere else; nowhere. */
static void a_reader_listens_where_it_is_told(void **state)
{
    unsigned port = free_port();
    char service[256], said[64];
    int fd;

    (void)state;
    (void)snprintf(service, sizeof(service),
                   "  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.2, port: %u}}}}]}}",
                   port);
    (void)snprintf(said, sizeof(said), "http://127.0.0.2:%u/metrics", port);
    start(service);
    assert_true(read_until(said));
    fd = connect_to("127.0.0.2", port);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(connect_to("127.0.0.1", port), -1);
    assert_int_equal(stop(), 0);
    start("  telemetry: {metrics: {readers: []}}");
    assert_true(read_until("is ready"));
    assert_null(strstr(text, "self-metrics"));
    assert_int_equal(stop(), 0);
}

static unsigned worker_threads(void)
{
    char path[64], name[32];
    struct dirent *d;
    unsigned n = 0;
    DIR *tasks;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    assert_non_null(tasks);
    while ((d = readdir(tasks))) {
        char comm[512];
        FILE *f;

        (void)snprintf(comm, sizeof(comm), "%s/%s/comm", path, d->d_name);
        f = fopen(comm, "r");
        if (f && fgets(name, sizeof(name), f) && strncmp(name, "worker/", 7) == 0)
            n++;
        if (f)
            (void)fclose(f);
    }
    (void)closedir(tasks);
    return n;
}

/* Scenario: runtime: workers 1 and 3. Guarantees: so many worker threads. */
static void workers_are_threads(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 3; n += 2) {
        char service[128];

        (void)snprintf(service, sizeof(service), "  runtime: {workers: %u}\n  telemetry: {metrics: {level: none}}", n);
        start(service);
        assert_true(read_until("is ready"));
        assert_int_equal(worker_threads(), n);
        assert_int_equal(stop(), 0);
    }
}

/* Scenario: a request of 900 kB, which is no OTLP, with memory_limit_mib 1 and 64.
 * Guarantees: turned away for want of memory before its body is sent; read, and found malformed. */
static void memory_limit_mib_turns_large_requests_away(void **state)
{
    static const char head[] = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
                               "Connection: close\r\nContent-Length: 900000\r\n\r\n";
    static char body[900000];

    (void)state;
    memset(body, 0xff, sizeof(body));
    for (unsigned i = 0; i < 2; i++) {
        unsigned port = free_port();
        char settings[128], service[128], answer[64] = "";
        int fd;

        (void)snprintf(settings, sizeof(settings), "protocols: {http: {endpoint: '127.0.0.1:%u'}}", port);
        (void)snprintf(service, sizeof(service),
                       "  runtime: {workers: 1, memory_limit_mib: %u}\n  telemetry: {metrics: {level: none}}",
                       i ? 64 : 1);
        start_with("otlp", settings, service);
        assert_true(read_until("is ready"));
        fd = connect_to("127.0.0.1", port);
        assert_true(fd >= 0);
        assert_int_equal(send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
        for (size_t at = 0; i && at < sizeof(body);)
            at += (size_t)send(fd, body + at, sizeof(body) - at, MSG_NOSIGNAL);
        assert_true(recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 12);
        assert_memory_equal(answer, i ? "HTTP/1.1 400" : "HTTP/1.1 503", 12);
        (void)close(fd);
        assert_int_equal(stop(), 0);
    }
}

/* Scenario: metrics level none, log level error. Guarantees: no listener, no line about draining. */
static void levels_are_heeded(void **state)
{
    (void)state;
    start("  telemetry: {metrics: {level: none}, logs: {level: error}}");
    assert_true(read_until("is ready"));
    assert_int_equal(stop(), 0);
    assert_null(strstr(text, "self-metrics"));
    assert_null(strstr(text, "draining"));
}

/* Scenario: log encoding json. Guarantees: every line is an object. */
static void logs_may_be_json(void **state)
{
    (void)state;
    start("  telemetry: {metrics: {level: none}, logs: {encoding: json}}");
    assert_true(read_until("is ready"));
    assert_int_equal(stop(), 0);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_int_equal(line[0], '{');
        assert_non_null(strchr(line, '\n'));
        assert_int_equal(strchr(line, '\n')[-1], '}');
    }
}

/* Scenario: the port of self-metrics is taken. Guarantees: exit code 69 and a sentence with the address. */
static void a_taken_port_exits_with_69(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char service[200];

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(service, sizeof(service), "  telemetry: {metrics: {address: '127.0.0.1:%u'}}", ntohs(a.sin_port));
    start(service);
    assert_int_equal(join(), 69);
    assert_non_null(strstr(text, "error: "));
    assert_non_null(strstr(text, "127.0.0.1:"));
    (void)close(fd);
}

/* Scenario: three mistakes in a file. Guarantees: the binary prints three and exits 78. */
static void three_mistakes_exit_with_78(void **state)
{
    (void)state;
    start("  telemetri: {}\n  runtime: {workers: many, workerz: 1}");
    assert_int_equal(join(), 78);
    assert_non_null(strstr(text, ":5:3: error: unknown key \"telemetri\" in service; did you mean \"telemetry\"?"));
    assert_non_null(strstr(text, ":6:22: error: service::runtime::workers: must be a whole number, not a text"));
    assert_non_null(
        strstr(text, ":6:28: error: unknown key \"workerz\" in service::runtime; did you mean \"workers\"?"));
}

/* The words of `staunch WORDS --config FILE` into text; its exit code. */
static int ask(const char *words, char *out, size_t size)
{
    char line[512];
    FILE *f;
    size_t n;
    int status;

    (void)snprintf(line, sizeof(line), "%s/staunch %s --config %s 2>&1", GW_BINARY_DIR, words, file);
    f = popen(line, "r");
    assert_non_null(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Guarantees: a gateway answers where control_socket says, to whoever has its configuration; gone with it. */
static void the_control_socket_is_where_it_is_told(void **state)
{
    char service[256], path[64], out[4096];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s.sock", file);
    (void)snprintf(service, sizeof(service), "  runtime: {control_socket: %s}\n  telemetry: {metrics: {level: none}}",
                   path);
    start(service);
    assert_true(read_until("is ready"));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ask("ping", out, sizeof(out)), 0);
    (void)snprintf(service, sizeof(service), "process %ld\n", (long)pid);
    assert_non_null(strstr(out, service));
    assert_int_equal(stop(), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ask("ping", out, sizeof(out)), 69);
}

/* Guarantees: a running gateway's books balance, as a table, as JSON and among the self-metrics; nobody there is 69. */
static void the_ledger_is_told(void **state)
{
    char words[256], out[8192];
    int port = 0;

    (void)state;
    start("  telemetry: {" READER("") "}");
    assert_true(read_until("self-metrics"));
    assert_int_equal(sscanf(strstr(text, "self-metrics"), "self-metrics http://127.0.0.1:%d/", &port), 1);
    assert_int_equal(ask("ledger", out, sizeof(out)), 78); /* port 0: the configuration does not say where */
    (void)snprintf(words, sizeof(words), "ledger --endpoint 127.0.0.1:%d", port);
    for (unsigned i = 0; i < 300 && !strstr(out, "exporter "); i++) { /* the demo sends once a second */
        assert_int_equal(ask(words, out, sizeof(out)), 0);
        assert_memory_equal(out, "balanced: ", 10);
    }
    assert_non_null(strstr(out, "traces                   nop                      traces"));
    (void)strcat(words, " --format json");
    assert_int_equal(ask(words, out, sizeof(out)), 0);
    assert_memory_equal(out, "{\"balanced\": true,", 18);
    assert_non_null(strstr(scrape(), "staunch_ledger_mismatch 0\n"));
    assert_non_null(
        strstr(scrape(), "staunch_ledger_items{book=\"pipeline\",component=\"\",entry=\"in\",pipeline=\"traces\""));
    assert_int_equal(ask("ledger --format yaml", out, sizeof(out)), 64);
    assert_int_equal(stop(), 0);
    assert_int_equal(ask(words, out, sizeof(out)), 69);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(self_metrics_have_the_collectors_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hangup_reads_the_file_again, setup, teardown),
        cmocka_unit_test_setup_teardown(telemetry_settings_change_what_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_listens_where_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_are_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_limit_mib_turns_large_requests_away, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_are_heeded, setup, teardown),
        cmocka_unit_test_setup_teardown(logs_may_be_json, setup, teardown),
        cmocka_unit_test_setup_teardown(a_taken_port_exits_with_69, setup, teardown),
        cmocka_unit_test_setup_teardown(three_mistakes_exit_with_78, setup, teardown),
        cmocka_unit_test_setup_teardown(the_control_socket_is_where_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ledger_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
