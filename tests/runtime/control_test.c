/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control.h"

#include "tests/harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "pipeline/storage.h"
#include "runtime/control_client.h"
#include "tests/harness_env.h"

enum { TURNS = 200, SECOND_NS = 1000000000 };

static char dir[] = "/tmp/staunch-control-XXXXXX", path[64];
static struct gw_test_env te;
static struct gw_loop *loop;
static struct gw_control *ctl;
static unsigned n_cancelled, n_room, n_started;
static struct gw_control_call *slow_call;
static char said[256];

/* ---- commands --------------------------------------------------------------------------------------------- */

static void echo(struct gw_control_call *k, const struct gw_node *args)
{
    const struct gw_node *what = gw_node_get(args, "what"), *code = gw_node_get(args, "code");

    n_started++;
    if (what)
        assert_true(gw_control_write(k, 1, gw_slice_cstr(what->text)));
    gw_control_say(k, 2, "code %s", code ? code->text : "none");
    gw_control_end(k, code ? (int)code->i : 0);
}

static void slow(struct gw_control_call *k, const struct gw_node *args)
{
    (void)args;
    n_started++;
    gw_control_set(k, said);
    slow_call = k;
}

static void slow_cancel(struct gw_control_call *k)
{
    assert_ptr_equal(k, slow_call);
    assert_ptr_equal(gw_control_state(k), said);
    n_cancelled++;
    slow_call = NULL;
}

/* Lines of 1000 bytes until there is no room; then again. */
static unsigned to_write, written;
static void pour(struct gw_control_call *k)
{
    static char line[1000];

    (void)memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    while (written < to_write) {
        if (!gw_control_write(k, 1, gw_slice_of(line, sizeof(line))))
            return;
        written++;
    }
    gw_control_end(k, 7);
}

static void pour_start(struct gw_control_call *k, const struct gw_node *args)
{
    (void)args;
    written = 0;
    pour(k);
}

static void pour_room(struct gw_control_call *k)
{
    n_room++;
    pour(k);
}

static const struct gw_control_command c_echo = {.name = "echo", .start = echo},
                                       c_slow = {.name = "slow", .start = slow, .cancel = slow_cancel},
                                       c_pour = {.name = "pour", .start = pour_start, .room = pour_room};
static const struct gw_control_command *const commands[] = {&c_echo, &c_slow, &c_pour, NULL};

/* ---- the rig ---------------------------------------------------------------------------------------------- */

static int open_ctl(struct gw_control **ret, struct gw_err *err)
{
    const struct gw_control_conf conf = {.path = path, .loop = loop, .commands = commands};

    return gw_control_new(&conf, ret, err);
}

static int setup(void **state)
{
    struct gw_err err;

    (void)state;
    (void)strcpy(dir, "/tmp/staunch-control-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/control.sock", dir);
    gw_test_env_init(&te, 1);
    n_cancelled = n_room = n_started = 0;
    slow_call = NULL;
    assert_int_equal(gw_loop_new(&te.env, &loop, &err), 0);
    assert_int_equal(open_ctl(&ctl, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_control_free(ctl);
    ctl = NULL;
    gw_loop_free(loop);
    gw_test_env_clear(&te);
    (void)unlink(path);
    return rmdir(dir);
}

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_loop_turn(loop, 0);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)strcpy(a.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void post(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* All there is until the gateway hangs up, or says nothing more. Closes the descriptor. */
static const char *answer(int fd)
{
    static char text[8192];
    size_t n = 0;
    ssize_t got;

    for (unsigned i = 0; i < TURNS; i++) {
        turn(1);
        got = recv(fd, text + n, sizeof(text) - 1 - n, 0);
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    (void)close(fd);
    return text;
}

static const char *ask(const char *request)
{
    int fd = dial();

    post(fd, request);
    return answer(fd);
}

/* ---- what is asked and answered --------------------------------------------------------------------------- */

/* Scenario: a request with arguments. Guarantees: lines with their descriptor, the exit code, and the end. */
static void a_request_gets_lines_and_an_exit_code(void **state)
{
    (void)state;
    assert_string_equal(ask("{\"command\": \"echo\", \"args\": {\"what\": \"a\\nb \\u00e4\", \"code\": 12}}\n"),
                        "1 a\n1 b \xc3\xa4\n2 code 12\n= 12\n");
    assert_string_equal(ask("{\"command\":\"echo\"}\n"), "2 code none\n= 0\n");
}

/* Scenario: a request in pieces, a byte a turn. Guarantees: as in one. */
static void a_request_may_come_in_pieces(void **state)
{
    const char *rq = "{\"command\":\"echo\",\"args\":{\"code\":3}}\n";
    int fd = dial();

    (void)state;
    for (; *rq; rq++) {
        post(fd, (char[]){*rq, 0});
        turn(2);
    }
    assert_string_equal(answer(fd), "2 code 3\n= 3\n");
}

/* Guarantees: each of these is answered with a sentence and 64, and starts nothing. */
static void bad_requests_are_refused(void **state)
{
    static const char *const bad[] = {
        "\n",
        "hello\n",
        "[1]\n",
        "{\"command\": 5}\n",
        "{\"command\": null}\n",
        "{\"args\": {}}\n",
        "{\"command\": \"echo\", \"args\": [1]}\n",
        "{\"command\": \"echo\", \"args\": \"x\"}\n",
        "{\"command\": \"echo\", \"command\": \"slow\"}\n",
        "{\"command\": \"echo\"\n",
        "{\"command\": \"ech\"}\n",
        "{\"command\": \"\"}\n",
        "{\"command\": \"\xff\xfe\"}\n",
        "command: echo\n",
        "{\"command\": \"nonsense \\u001b[31m\"}\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *text = ask(bad[i]);

        if (!strstr(text, "2 error: ") || !strstr(text, "\n= 64\n"))
            fail_msg("%s answered: %s", bad[i], text);
    }
    assert_int_equal(n_started, 0);
    assert_non_null(strstr(ask("{\"command\": \"ech\"}\n"), "knows no command \"ech\""));
}

/* Scenario: 64 KiB and no newline. Guarantees: refused, as soon as that is known. */
static void an_endless_request_is_refused(void **state)
{
    char some[1024];
    int fd = dial();

    (void)state;
    (void)memset(some, ' ', sizeof(some));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(send(fd, some, sizeof(some), MSG_NOSIGNAL), sizeof(some));
        turn(2);
    }
    assert_string_equal(answer(fd), "2 error: the request is longer than 65536 bytes\n= 64\n");
}

/* Scenario: deep nesting, many nodes. Guarantees: refused by the parser's limits. */
static void a_deep_request_is_refused(void **state)
{
    static char rq[4096];
    int n = snprintf(rq, sizeof(rq), "{\"command\": \"echo\", \"args\": {\"a\": ");

    (void)state;
    (void)memset(rq + n, '[', 1000);
    (void)memset(rq + n + 1000, ']', 1000);
    (void)strcpy(rq + n + 2000, "}}\n");
    assert_non_null(strstr(ask(rq), "\n= 64\n"));
    assert_int_equal(n_started, 0);
}

/* Scenario: more after the line. Guarantees: one request is one answer. */
static void what_follows_the_line_is_ignored(void **state)
{
    (void)state;
    assert_string_equal(ask("{\"command\":\"echo\"}\n{\"command\":\"echo\"}\n"), "2 code none\n= 0\n");
    assert_int_equal(n_started, 1);
}

/* ---- long commands ---------------------------------------------------------------------------------------- */

/* Scenario: a command that says something now and then. Guarantees: its lines come as they are said. */
static void lines_come_as_they_are_said(void **state)
{
    char text[64];
    int fd = dial();
    ssize_t n;

    (void)state;
    post(fd, "{\"command\":\"slow\"}\n");
    turn(5);
    gw_test_env_advance(&te, 3600ull * SECOND_NS); /* it has no time limit */
    turn(5);
    assert_non_null(slow_call);
    gw_control_say(slow_call, 2, "%u%%", 50);
    turn(5);
    n = recv(fd, text, sizeof(text), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(text, "2 50%\n", 6);
    gw_control_end(slow_call, 1);
    assert_string_equal(answer(fd), "= 1\n");
    assert_int_equal(n_cancelled, 0);
}

/* Scenario: the client leaves, or the gateway stops. Guarantees: cancelled once. */
static void who_leaves_cancels(void **state)
{
    int fd = dial();

    (void)state;
    post(fd, "{\"command\":\"slow\"}\n");
    turn(5);
    assert_non_null(slow_call);
    (void)close(fd);
    turn(5);
    assert_int_equal(n_cancelled, 1);
    fd = dial();
    post(fd, "{\"command\":\"slow\"}\n");
    turn(5);
    gw_control_free(ctl);
    ctl = NULL;
    assert_int_equal(n_cancelled, 2);
    assert_int_equal(access(path, F_OK), -1);
    (void)close(fd);
}

/*
 * Scenario    2 MB for a client that does not read, then reads
 * Guarantees  no more than the limit waits meanwhile; then all of it comes, and the exit code
 */
static void writing_waits_for_the_reader(void **state)
{
    static char text[65536];
    size_t total = 0;
    int fd = dial();
    ssize_t n = 1;

    (void)state;
    to_write = 2000;
    post(fd, "{\"command\":\"pour\"}\n");
    turn(20);
    assert_true(written > 0 && written < 1200); /* what the kernel holds, and ours */
    assert_true(n_room <= 3);
    for (unsigned i = 0; i < 10000 && n != 0; i++) {
        turn(1);
        n = recv(fd, text, sizeof(text), 0);
        total += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(n, 0);
    assert_int_equal(total, 2000 * 1002 + 4);
    assert_true(n_room > 1);
    (void)close(fd);
}

/* Scenario: 40 MB in one write. Guarantees: the call ends, the gateway goes on. */
static void a_write_has_a_limit(void **state)
{
    char *big = malloc(40u << 20);
    int fd = dial();

    (void)state;
    assert_non_null(big);
    (void)memset(big, 'x', 40u << 20);
    post(fd, "{\"command\":\"slow\"}\n");
    turn(5);
    assert_true(gw_control_write(slow_call, 1, gw_slice_of(big, 40u << 20)));
    turn(5);
    assert_int_equal(n_cancelled, 1);
    (void)close(fd);
    free(big);
    assert_string_equal(ask("{\"command\":\"echo\"}\n"), "2 code none\n= 0\n");
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

/* Scenario: who sends nothing, and who does not take the end. Guarantees: cut off after their time. */
static void idlers_are_cut_off(void **state)
{
    int fd = dial();
    char c;

    (void)state;
    turn(5);
    gw_test_env_advance(&te, 9ull * SECOND_NS);
    turn(5);
    assert_int_equal(recv(fd, &c, 1, 0), -1);
    gw_test_env_advance(&te, 2ull * SECOND_NS);
    turn(5);
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    (void)close(fd);
}

/* Scenario: seventeen at once. Guarantees: the last one hears that it is too much; when one leaves there is room. */
static void calls_have_a_limit(void **state)
{
    int fds[GW_CONTROL_MAX_CALLS];

    (void)state;
    for (unsigned i = 0; i < GW_CONTROL_MAX_CALLS; i++) {
        fds[i] = dial();
        turn(3);
    }
    assert_string_equal(answer(dial()), "2 error: the gateway has too many commands under way\n= 75\n");
    (void)close(fds[0]);
    turn(3);
    assert_string_equal(ask("{\"command\":\"echo\"}\n"), "2 code none\n= 0\n");
    for (unsigned i = 1; i < GW_CONTROL_MAX_CALLS; i++)
        (void)close(fds[i]);
    turn(3);
}

/* ---- the socket ------------------------------------------------------------------------------------------- */

/* Guarantees: nobody else may connect; a living gateway's socket is not taken, a dead one's is; no file is removed. */
static void the_socket_is_its_owners(void **state)
{
    struct gw_control *other = NULL;
    struct gw_err err = {""};
    struct stat st;
    FILE *f;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(open_ctl(&other, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another gateway answers there"));
    gw_control_free(ctl);
    ctl = NULL;
    { /* as after kill -9 */
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        (void)strcpy(a.sun_path, path);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        (void)close(fd);
    }
    assert_int_equal(open_ctl(&ctl, &err), 0);
    assert_string_equal(ask("{\"command\":\"echo\"}\n"), "2 code none\n= 0\n");
    gw_control_free(ctl);
    ctl = NULL;
    f = fopen(path, "w");
    assert_non_null(f);
    (void)fclose(f);
    assert_int_equal(open_ctl(&ctl, &err), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
}

/* Guarantees: a path that no socket can have, and a folder that is not there, are errors with a sentence. */
static void bad_paths_are_errors(void **state)
{
    struct gw_control_conf conf = {.path = "/nowhere/at/all.sock", .loop = loop, .commands = commands};
    struct gw_control *other = NULL;
    struct gw_err err = {""};
    char longest[200];

    (void)state;
    assert_int_equal(gw_control_new(&conf, &other, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all.sock"));
    (void)memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    conf.path = longest;
    assert_int_equal(gw_control_new(&conf, &other, &err), -ENAMETOOLONG);
    assert_null(other);
}

/* Guarantees: the setting, then the first storage's directory, its default included, then nowhere. */
static void a_socket_has_a_place(void **state)
{
    struct conf {
        const char *directory;
    };
    static const struct gw_field fields[] = {
        GW_STRING_FIELD(struct conf, directory, "directory", "/var/lib/x", "Where."), {0}};
    static const struct gw_storage_ops ops = {0};
    static const struct gw_component other = {.name = "other", .fields = fields},
                                     storage = {.name = "store", .fields = fields, .storage = &ops};
    const struct conf conf = {"/srv/data"};
    struct gw_service_component a = {.type = &other, .conf = &conf}, b = {.type = &storage, .conf = &conf};
    struct gw_service_component *extensions[] = {&a, &b};
    struct gw_service s = {.extensions = extensions, .n_extensions = 1, .runtime.control_socket = ""};
    char where[GW_CONTROL_PATH_BYTES];

    (void)state;
    assert_false(gw_control_path(&s, where));
    s.n_extensions = 2;
    assert_true(gw_control_path(&s, where));
    assert_string_equal(where, "/srv/data/control.sock");
    s.runtime.control_socket = "/run/x.sock";
    assert_true(gw_control_path(&s, where));
    assert_string_equal(where, "/run/x.sock");
}

/* ---- the client ------------------------------------------------------------------------------------------- */

struct asked {
    pthread_t thread;
    struct gw_control_request rq;
    struct gw_err err;
    struct gw_buf lines;
    int rc;
    _Atomic bool done;
};

static void on_line(void *arg, int fd, struct gw_slice text)
{
    struct asked *a = arg;

    gw_buf_printf(&a->lines, "%d:%.*s|", fd, (int)text.n, (const char *)text.p);
}

static void *run_client(void *arg)
{
    struct asked *a = arg;

    a->rc = gw_control_ask(&a->rq, &a->err);
    atomic_store(&a->done, true);
    return NULL;
}

static void client_asks(struct asked *a, const char *command, const char *args)
{
    *a = (struct asked){.rq = {.path = path, .command = command, .args = gw_slice_cstr(args), .line = on_line}};
    a->rq.arg = a;
    gw_buf_init(&a->lines, 8u << 20);
    assert_int_equal(pthread_create(&a->thread, NULL, run_client, a), 0);
    while (!atomic_load(&a->done))
        gw_loop_turn(loop, 1000000);
    assert_int_equal(pthread_join(a->thread, NULL), 0);
    gw_buf_put_u8(&a->lines, '\0');
}

/* Guarantees: the client passes lines on and returns the code, also of megabytes; a word that nobody knows is 64. */
static void the_client_passes_lines_on(void **state)
{
    struct asked a;

    (void)state;
    client_asks(&a, "echo", "{\"what\": \"x\\ny\", \"code\": 255}");
    assert_int_equal(a.rc, 255);
    assert_string_equal((const char *)a.lines.p, "1:x|1:y|2:code 255|");
    gw_buf_clear(&a.lines);
    to_write = 3000;
    client_asks(&a, "pour", "");
    assert_int_equal(a.rc, 7);
    assert_int_equal(a.lines.n, 3000 * 1002 + 1);
    gw_buf_clear(&a.lines);
    client_asks(&a, "no\"such", "");
    assert_int_equal(a.rc, 64);
    gw_buf_clear(&a.lines);
}

/* Something else than a gateway, that answers so and hangs up. */
static void *impostor(void *arg)
{
    static char rq[4096];
    const char *const *what = arg;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), fd;

    (void)strcpy(a.sun_path, path);
    (void)bind(s, (struct sockaddr *)&a, sizeof(a));
    (void)listen(s, 8);
    for (; *what; what++) {
        fd = accept(s, NULL, NULL);
        (void)recv(fd, rq, sizeof(rq), 0);
        (void)send(fd, *what, strlen(*what), MSG_NOSIGNAL);
        (void)close(fd);
    }
    (void)close(s);
    return NULL;
}

/* Guarantees: an answer without an end, and what is no answer, are errors; the lines before are passed on. */
static void bad_answers_are_errors(void **state)
{
    static const char *const what[] = {
        "", "1 half", "1 a\n", "HTTP/1.1 200 OK\n", "= \n", "= 256\n", "= 1x\n", "= -1\n", "\n", "3 x\n", "=\n", NULL};
    struct asked a = {.rq = {.path = path, .command = "echo", .line = on_line, .arg = &a}};
    pthread_t t;

    (void)state;
    gw_control_free(ctl);
    ctl = NULL;
    gw_buf_init(&a.lines, 65536);
    assert_int_equal(gw_control_ask(&a.rq, &a.err), -ENOENT);
    assert_non_null(strstr(a.err.text, "no gateway runs"));
    assert_int_equal(pthread_create(&t, NULL, impostor, (void *)(uintptr_t)what), 0);
    for (unsigned i = 0; what[i]; i++) {
        int rc;

        do
            rc = gw_control_ask(&a.rq, &a.err);
        while (i == 0 && (rc == -ENOENT || rc == -ECONNREFUSED));
        assert_int_equal(rc, i < 3 ? -ECONNRESET : -EPROTO);
    }
    assert_int_equal(pthread_join(t, NULL), 0);
    gw_buf_put_u8(&a.lines, '\0');
    assert_string_equal((const char *)a.lines.p, "1:a|");
    gw_buf_clear(&a.lines);
    (void)unlink(path);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_gets_lines_and_an_exit_code),
        T(a_request_may_come_in_pieces),
        T(bad_requests_are_refused),
        T(an_endless_request_is_refused),
        T(a_deep_request_is_refused),
        T(what_follows_the_line_is_ignored),
        T(lines_come_as_they_are_said),
        T(who_leaves_cancels),
        T(writing_waits_for_the_reader),
        T(a_write_has_a_limit),
        T(idlers_are_cut_off),
        T(calls_have_a_limit),
        T(the_socket_is_its_owners),
        T(bad_paths_are_errors),
        cmocka_unit_test(a_socket_has_a_place),
        T(the_client_passes_lines_on),
        T(bad_answers_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
