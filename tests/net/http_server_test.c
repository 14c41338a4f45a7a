/* SPDX-License-Identifier: Apache-2.0 */
/* Listening, dealing connections, limits, and the choice of protocol. */
#include "tests/harness.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "core/logger.h"
#include "tests/net/hs_rig.h"

static struct rig rig;
static char request[] = "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    gw_meter_free(rig.conf.meter);
    return 0;
}

static void start(const char *transport, const char *endpoint)
{
    struct gw_err err = {{0}};

    rig.conf.transport = transport;
    rig.conf.endpoint = endpoint;
    if (rig_start(&rig, &err) < 0)
        fail_msg("%s", err.text);
}

static int dial(int family)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)gw_hs_group_port(rig.group)),
                               .sin6_addr = in6addr_loopback};
    int fd;

    if (family == AF_INET)
        return rig_connect(&rig);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&in6, sizeof in6) < 0) {
        int code = -errno;

        close(fd);
        return code;
    }
    return fd;
}

/** Send a request of HTTP/1.1 and return the status of the answer, 0 when the connection ended. */
static int ask(int fd)
{
    char answer[512];
    ssize_t n = -1;

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return 0;
    for (unsigned i = 0; i < 1000 && n < 0; i++) {
        gw_loop_turn(rig.loop, 0);
        n = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return 0;
    }
    if (n < 12)
        return 0;
    answer[n] = 0;
    return atoi(answer + 9);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

/** Who gets in over which family, and under which name. */
static void expect_families(bool v4, bool v6)
{
    int fd = dial(AF_INET);

    assert_int_equal(fd >= 0, v4);
    if (v4) {
        assert_int_equal(ask(fd), 200);
        assert_memory_equal(rig.heard.peer, "127.0.0.1:", 10);
        close(fd);
    }
    if (!has_ipv6())
        return;
    fd = dial(AF_INET6);
    assert_int_equal(fd >= 0, v6);
    if (v6) {
        assert_int_equal(ask(fd), 200);
        assert_memory_equal(rig.heard.peer, "[::1]:", 6);
        close(fd);
    }
}

/* Scenario: "localhost:0". Guarantees: both loopback addresses, one port. */
static void localhost_is_both_loopback_addresses(void **state)
{
    (void)state;
    start("tcp", "localhost:0");
    expect_families(true, true);
}

/* Scenario: ":0". Guarantees: both families; an IPv4 peer's name is IPv4. */
static void no_host_is_every_address(void **state)
{
    (void)state;
    start("tcp", ":0");
    expect_families(true, true);
}

/* Scenario: ":0" with tcp4. Guarantees: IPv4 only. */
static void tcp4_is_ipv4_only(void **state)
{
    (void)state;
    start("tcp4", ":0");
    expect_families(true, false);
}

/* Scenario: "localhost:0" with tcp6. Guarantees: IPv6 only. */
static void tcp6_is_ipv6_only(void **state)
{
    (void)state;
    if (!has_ipv6()) {
        start("tcp", ":0");
        return;
    }
    start("tcp6", "localhost:0");
    expect_families(false, true);
}

/* Scenario: "[::1]:0". Guarantees: that address only. */
static void an_address_is_that_address_only(void **state)
{
    (void)state;
    if (!has_ipv6()) {
        start("tcp", ":0");
        return;
    }
    start("tcp", "[::1]:0");
    expect_families(false, true);
}

/* Scenario: a Unix socket whose file was left behind by a process that was killed.
 * Guarantees: it is served, the peer is called "unix", the file is gone afterwards; a live one is not taken away. */
static void a_unix_socket_takes_over_a_stale_file_only(void **state)
{
    char path[] = "/tmp/staunch-sock-XXXXXX";
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct gw_hs_group *second;
    struct gw_err err = {{0}};
    int fd;

    (void)state;
    assert_true(mkstemp(path) >= 0);
    unlink(path);
    strcpy(un.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd); /* killed */
    start("unix", path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(ask(fd), 200);
    assert_string_equal(rig.heard.peer, "unix");
    assert_int_equal(gw_hs_group_new(&rig.fake.env, &rig.conf, &second, &err), -EADDRINUSE);
    close(fd);
    rig_stop(&rig);
    assert_int_equal(access(path, F_OK), -1);
    rig_init(&rig);
    start("tcp", "127.0.0.1:0");
}

/* Scenario: endpoints that nobody can listen on.
 * Guarantees: each is refused with a sentence that has the endpoint and the reason. */
static void endpoints_that_cannot_be_are_named(void **state)
{
    static const struct {
        const char *transport, *endpoint, *word;
        int code;
    } bad[] = {
        {"tcp", "127.0.0.1", "missing port", -EINVAL},    {"tcp", "127.0.0.1:http", "number", -EINVAL},
        {"tcp", "127.0.0.1:70000", "65535", -EINVAL},     {"tcp", "::1:4317", "brackets", -EINVAL},
        {"udp", "127.0.0.1:1", "must be tcp", -EINVAL},   {"tcp", "192.0.2.1:4317", "192.0.2.1:4317", -EADDRNOTAVAIL},
        {"tcp", "no.such.invalid:1", "no.such", -EINVAL}, {"unix", "/no/such/folder/s", "/no/such", -ENOENT},
    };
    char taken[32];
    struct gw_hs_conf conf;
    struct gw_hs_group *g;
    struct gw_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw_hs_conf_defaults(&conf);
        conf.transport = bad[i].transport;
        conf.endpoint = bad[i].endpoint;
        err.text[0] = 0;
        assert_int_equal(gw_hs_group_new(&rig.fake.env, &conf, &g, &err), bad[i].code);
        if (!strstr(err.text, bad[i].word))
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].word);
    }
    start("tcp", "127.0.0.1:0");
    snprintf(taken, sizeof taken, "127.0.0.1:%u", gw_hs_group_port(rig.group));
    conf.transport = "tcp";
    conf.endpoint = taken;
    assert_int_equal(gw_hs_group_new(&rig.fake.env, &conf, &g, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, taken));
}

/* Scenario: one port, HTTP/1.1 and HTTP/2 with prior knowledge, the preface in one piece and byte by byte.
 * Guarantees: each is understood for what it is. */
static void both_protocols_are_told_apart_by_their_first_bytes(void **state)
{
    struct client c;
    int fd;

    (void)state;
    start("tcp", "127.0.0.1:0");
    fd = rig_connect(&rig);
    assert_int_equal(ask(fd), 200);
    assert_false(rig.heard.http2);
    close(fd);
    client_attach(&c, rig_connect(&rig));
    client_post(&c, "/ok", 10);
    talk_until_closed(&rig, &c, 1);
    assert_int_equal(client_answer(&c, 1)->status, 200);
    assert_true(rig.heard.http2);
    client_close(&c);

    fd = rig_connect(&rig);
    for (unsigned i = 0; i < sizeof request - 1; i++) {
        assert_int_equal(send(fd, request + i, 1, 0), 1);
        rig_turn(&rig, 1);
    }
    rig_turn(&rig, 3);
    assert_int_equal(rig.heard.n_ends, 3);
    close(fd);
    fd = rig_connect(&rig);
    for (unsigned i = 0; i < NGHTTP2_CLIENT_MAGIC_LEN; i++) {
        assert_int_equal(send(fd, &NGHTTP2_CLIENT_MAGIC[i], 1, 0), 1);
        rig_turn(&rig, 2);
    }
    rig_turn(&rig, 3);
    assert_true(recv(fd, request, 9, MSG_DONTWAIT) == 9 && request[3] == NGHTTP2_SETTINGS);
    memcpy(request, "POST /ok ", 9);
    close(fd);
}

/* Scenario: HTTP/2 only, and a client of HTTP/1.1; HTTP/1.1 only, and a client of HTTP/2.
 * Guarantees: neither is served. */
static void a_protocol_that_is_not_allowed_is_not_spoken(void **state)
{
    struct client c;
    int fd;

    (void)state;
    rig.conf.protocols = GW_HS_HTTP2;
    start("tcp", "127.0.0.1:0");
    fd = rig_connect(&rig);
    assert_int_equal(ask(fd), 0);
    close(fd);
    rig_stop(&rig);
    rig.conf.protocols = GW_HS_HTTP1;
    start("tcp", "127.0.0.1:0");
    client_attach(&c, rig_connect(&rig));
    client_post(&c, "/ok", 10);
    talk(&rig, &c, 20);
    assert_int_equal(rig.heard.n_heads, 0);
    client_close(&c);
}

/* Scenario: max_connections 3, five clients; then one of the first leaves.
 * Guarantees: the first three are served, the others are closed, and there is room again afterwards. */
static void max_connections_has_an_effect(void **state)
{
    int fds[6];

    (void)state;
    rig.conf.max_connections = 3;
    start("tcp", "127.0.0.1:0");
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = rig_connect(&rig);
        rig_turn(&rig, 2);
    }
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(ask(fds[i]), i < 3 ? 200 : 0);
    close(fds[0]);
    rig_turn(&rig, 3);
    fds[5] = rig_connect(&rig);
    assert_int_equal(ask(fds[5]), 200);
    for (unsigned i = 1; i < 6; i++)
        close(fds[i]);
}

/** From an address of one's own: all of 127.0.0.0/8 is here. */
static int connect_from(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)gw_hs_group_port(rig.group)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                       from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    rig_turn(&rig, 2);
    return fd;
}

/* Scenario: connect_burst 3, connect_per_s 1: five connections from one address at once, two from another, and two
 * more of the first two seconds later.
 * Guarantees: three are served and two closed; the other address is not touched by it; with time there is room again;
 * what was closed is counted by reason. */
static void a_peer_that_connects_too_fast_is_turned_away(void **state)
{
    struct gw_label ends[] = {{"endpoint", "127.0.0.1:0"}, {"reason", "connect_rate"}};
    int fds[9];

    (void)state;
    rig.conf.connect_burst = 3;
    rig.conf.connect_per_s = 1;
    rig.conf.meter = gw_meter_new();
    start("tcp", "127.0.0.1:0");
    for (unsigned i = 0; i < 5; i++)
        fds[i] = connect_from("127.0.0.1");
    for (unsigned i = 5; i < 7; i++)
        fds[i] = connect_from("127.0.0.2");
    rig.fake.mono_ns += 2 * SECOND;
    rig_turn(&rig, 1);
    for (unsigned i = 7; i < 9; i++)
        fds[i] = connect_from("127.0.0.1");
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(ask(fds[i]), i == 3 || i == 4 ? 0 : 200);
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&gw_meter_get(rig.conf.meter, GW_COUNTER, "staunch_net_cut", "", ends, 2)->value), 2);
}

/* Scenario: three workers, 30 connections; then the one that accepts quiesces, and 10 more come.
 * Guarantees: ten each; afterwards another one accepts; when all are quiesced the port is closed. */
static void connections_are_dealt_to_whoever_has_the_fewest(void **state)
{
    struct gw_loop *loops[2];
    struct gw_hs_server *servers[2];
    struct heard heard[2] = {{.h = rig_handler}, {.h = rig_handler}};
    int fds[40];

    (void)state;
    start("tcp", "127.0.0.1:0");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_loop_new(&rig.fake.env, &loops[i], NULL), 0);
        assert_int_equal(gw_hs_server_new(rig.group, loops[i], &heard[i].h, &servers[i], NULL), 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        if (i == 30) {
            gw_hs_server_quiesce(rig.server);
            for (unsigned k = 0; k < 5; k++) {
                gw_loop_turn(loops[0], 0);
                gw_loop_turn(loops[1], 0);
            }
        }
        fds[i] = rig_connect(&rig);
        assert_true(fds[i] >= 0);
        assert_true(send(fds[i], request, sizeof request - 1, 0) > 0);
        for (unsigned k = 0; k < 4; k++) {
            gw_loop_turn(rig.loop, 0);
            gw_loop_turn(loops[0], 0);
            gw_loop_turn(loops[1], 0);
        }
    }
    assert_int_equal(rig.heard.n_ends, 10);
    assert_int_equal(heard[0].n_ends, 15);
    assert_int_equal(heard[1].n_ends, 15);
    gw_hs_server_quiesce(servers[0]);
    gw_hs_server_quiesce(servers[1]);
    assert_int_equal(rig_connect(&rig), -ECONNREFUSED);
    for (unsigned i = 0; i < 2; i++) {
        gw_hs_server_free(servers[i]);
        gw_loop_free(loops[i]);
    }
    for (unsigned i = 0; i < 40; i++)
        close(fds[i]);
}

/* Scenario: the process has no descriptors left when a client comes.
 * Guarantees: one line in the log, no spinning; the client is served once there are descriptors again. */
static void running_out_of_descriptors_is_survived(void **state)
{
    struct gw_log_sink sink = {.env = &rig.fake.env, .level = GW_LOG_WARN};
    struct gw_logger logger = {.sink = &sink};
    struct rlimit before, small;
    int fd;

    (void)state;
    rig.conf.logger = &logger;
    start("tcp", "127.0.0.1:0");
    fd = rig_connect(&rig);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    rig_turn(&rig, 20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rig.fake.n_lines, 1);
    assert_non_null(strstr(rig.fake.log, "cannot accept"));
    rig_turn(&rig, 5);
    rig.fake.mono_ns += 101 * MS;
    assert_int_equal(ask(fd), 200);
    close(fd);
}

/* Scenario: idle_timeout is a minute; a client asks every 50 s, then no more.
 * Guarantees: it is served as long as it asks and ended a minute after. */
static void an_idle_connection_ends(void **state)
{
    int fd;

    (void)state;
    rig.conf.idle_timeout_ns = 60 * SECOND;
    start("tcp", "127.0.0.1:0");
    fd = rig_connect(&rig);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ask(fd), 200);
        rig.fake.mono_ns += 50 * SECOND;
        rig_turn(&rig, 2);
    }
    assert_false(gw_hs_server_is_idle(rig.server));
    rig.fake.mono_ns += 11 * SECOND;
    rig_turn(&rig, 5);
    close(fd);
    rig_turn(&rig, 3);
    assert_true(gw_hs_server_is_idle(rig.server));
}

static unsigned n_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Scenario: 500 connections come and go, half of them in the middle of a request; then everything is freed.
 * Guarantees: no descriptor stays behind. */
static void descriptors_come_back(void **state)
{
    unsigned before = n_fds();

    (void)state;
    start("tcp", "127.0.0.1:0");
    for (unsigned i = 0; i < 500; i++) {
        int fd = rig_connect(&rig);

        if (i & 1)
            assert_int_equal(ask(fd), 200);
        else
            assert_int_equal(send(fd, request, 30, 0), 30);
        rig_turn(&rig, 2);
        close(fd);
        rig_turn(&rig, 2);
    }
    assert_true(gw_hs_server_is_idle(rig.server));
    rig_stop(&rig);
    assert_int_equal(n_fds(), before);
    rig_init(&rig);
    start("tcp", "127.0.0.1:0");
}

/* What has come on a connection, as text; *ret_ended when it was ended, not reset. */
static const char *heard_on(int fd, bool *ret_ended)
{
    static char answer[1024];
    size_t n = 0;
    ssize_t got;

    while ((got = recv(fd, answer + n, sizeof answer - 1 - n, MSG_DONTWAIT)) > 0)
        n += (size_t)got;
    assert_true(got == 0 || errno == EAGAIN); /* a reset is neither */
    *ret_ended = got == 0;
    answer[n] = 0;
    return answer;
}

/*
 * Scenario: the door closes while 20 clients have connected and nobody has accepted them; ten have sent a request, five
 * send one 100 ms later, three when their second is over and nobody has looked yet, two never do.
 * Guarantees: eighteen are answered, with Connection: close; the two are ended after a second; none is reset, and
 * nobody connects any more.
 */
static void who_has_connected_already_is_served_at_the_end(void **state)
{
    int fds[20];
    bool ended;

    (void)state;
    start("tcp", "127.0.0.1:0");
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = rig_connect(&rig);
        assert_true(fds[i] >= 0);
        if (i < 10)
            assert_true(send(fds[i], request, sizeof request - 1, 0) > 0);
    }
    gw_hs_server_quiesce(rig.server);
    assert_int_equal(rig_connect(&rig), -ECONNREFUSED);
    rig_turn(&rig, 5);
    rig.fake.mono_ns += 100 * MS;
    for (unsigned i = 10; i < 15; i++)
        assert_true(send(fds[i], request, sizeof request - 1, 0) > 0);
    rig_turn(&rig, 5);
    for (unsigned i = 0; i < 15; i++) {
        const char *answer = heard_on(fds[i], &ended);

        assert_non_null(strstr(answer, "200 OK"));
        assert_non_null(strstr(answer, "connection: close"));
        assert_true(ended);
    }
    assert_string_equal(heard_on(fds[15], &ended), "");
    assert_false(ended);
    rig.fake.mono_ns += 1000 * MS;
    for (unsigned i = 15; i < 18; i++)
        assert_true(send(fds[i], request, sizeof request - 1, 0) > 0);
    rig_turn(&rig, 5);
    for (unsigned i = 15; i < 18; i++)
        assert_non_null(strstr(heard_on(fds[i], &ended), "200 OK"));
    for (unsigned i = 18; i < 20; i++) {
        assert_string_equal(heard_on(fds[i], &ended), "");
        assert_true(ended);
    }
    for (unsigned i = 0; i < 20; i++)
        close(fds[i]);
    rig_turn(&rig, 5);
    assert_true(gw_hs_server_is_idle(rig.server));
}

/* Another group, as if the rig's were going to be replaced by it. */
static int succeed(const char *transport, const char *endpoint, struct gw_hs_group **ret, struct gw_err *err)
{
    struct gw_listeners offered = {0};
    struct gw_hs_conf conf = rig.conf;
    int code;

    gw_hs_group_offer(rig.group, &offered);
    conf.transport = transport;
    conf.endpoint = endpoint;
    conf.listeners = &offered;
    code = gw_hs_group_new(&rig.fake.env, &conf, ret, err);
    if (code == 0) { /* taken over once: a second one finds the address taken */
        struct gw_hs_group *second;
        struct gw_err ignored;

        assert_int_equal(gw_hs_group_new(&rig.fake.env, &conf, &second, &ignored), -EADDRINUSE);
    }
    return code;
}

static void expect_succession(struct gw_hs_group *g, int waiting)
{
    struct heard heard = {.h = rig_handler};
    struct gw_hs_server *server;
    bool ended;
    int fd;

    assert_int_equal(gw_hs_server_new(g, rig.loop, &heard.h, &server, NULL), 0);
    gw_hs_server_quiesce(rig.server);
    rig_turn(&rig, 5);
    fd = rig_connect(&rig);
    assert_true(fd >= 0);
    assert_true(send(fd, request, sizeof request - 1, 0) > 0);
    rig_turn(&rig, 10);
    assert_non_null(strstr(heard_on(fd, &ended), "200 OK"));
    assert_false(ended);
    assert_non_null(strstr(heard_on(waiting, &ended), "200 OK"));
    assert_int_equal(heard.n_ends + rig.heard.n_ends, 2);
    assert_true(heard.n_ends >= 1);
    close(fd);
    close(waiting);
    gw_hs_server_free(server);
    gw_hs_group_free(g);
}

/*
 * Scenario: a successor with the same address, while a connection waits to be accepted; one for all addresses after
 * one for the loopback; then one on another port.
 * Guarantees: the first two listen on the same port before the old one has stopped, and nobody is turned away; the
 * third has a port of its own.
 */
static void a_successor_takes_the_listener_over(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "0.0.0.0"};
    struct gw_hs_group *g;
    struct gw_err err = {{0}};
    char endpoint[2][32];
    unsigned port;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start("tcp", "127.0.0.1:0");
        port = gw_hs_group_port(rig.group);
        rig_stop(&rig);
        gw_meter_free(rig.conf.meter);
        rig_init(&rig);
        (void)snprintf(endpoint[0], sizeof endpoint[0], "127.0.0.1:%u", port);
        (void)snprintf(endpoint[1], sizeof endpoint[1], "%s:%u", hosts[i], port);
        start("tcp", endpoint[0]);
        if (succeed("tcp", endpoint[1], &g, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(gw_hs_group_port(g), port);
        port = (unsigned)rig_connect(&rig);
        assert_true(send((int)port, request, sizeof request - 1, 0) > 0);
        expect_succession(g, (int)port);
        rig_stop(&rig);
        gw_meter_free(rig.conf.meter);
        rig_init(&rig);
    }
    start("tcp", "127.0.0.1:0");
    assert_int_equal(gw_hs_group_new(&rig.fake.env, &rig.conf, &g, NULL), 0);
    assert_int_not_equal(gw_hs_group_port(g), gw_hs_group_port(rig.group));
    gw_hs_group_free(g);
}

/* Scenario: the same over a Unix socket. Guarantees: its path stays until the last one has gone. */
static void a_unix_socket_is_taken_over_with_its_path(void **state)
{
    static const char path[] = "/tmp/staunch-succession.sock";
    struct gw_hs_group *g;
    struct gw_err err = {{0}};

    (void)state;
    (void)unlink(path);
    start("unix", path);
    if (gw_hs_group_new(&rig.fake.env, &rig.conf, &g, &err) == 0)
        fail_msg("two listen there");
    {
        struct gw_listeners offered = {0};
        struct gw_hs_conf conf = rig.conf;

        gw_hs_group_offer(rig.group, &offered);
        conf.listeners = &offered;
        assert_int_equal(gw_hs_group_new(&rig.fake.env, &conf, &g, &err), 0);
    }
    rig_stop(&rig);
    assert_int_equal(access(path, F_OK), 0);
    gw_hs_group_free(g);
    assert_int_not_equal(access(path, F_OK), 0);
    gw_meter_free(rig.conf.meter);
    rig_init(&rig);
    start("tcp", "127.0.0.1:0");
}

struct worker {
    pthread_t thread;
    struct heard heard;
    struct gw_env *env;
    _Atomic bool ready;
    _Atomic unsigned phase; /* 1: quiesce, 2: end */
    struct gw_loop *loop;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct gw_hs_server *server;
    unsigned done = 0;

    w->heard = (struct heard){.h = rig_handler};
    if (gw_loop_new(w->env, &w->loop, NULL) < 0 || gw_hs_server_new(rig.group, w->loop, &w->heard.h, &server, NULL) < 0)
        abort();
    w->ready = true;
    while (done < 2) {
        gw_loop_turn(w->loop, 1000 * MS);
        if (w->phase > done && ++done == 1)
            gw_hs_server_quiesce(server);
    }
    gw_hs_server_free(server);
    gw_loop_free(w->loop);
    return NULL;
}

static void tell_all(struct worker *w, unsigned n, unsigned phase)
{
    for (unsigned i = 0; i < n; i++) {
        w[i].phase = phase;
        gw_loop_wake(w[i].loop);
    }
}

/* Scenario: three workers on threads of their own; 300 connections, each asks and gets its answer; then all quiesce.
 * Guarantees: a hundred requests each, no thread touches another's things (run it with -fsanitize=thread), and the port
 * is closed at the end. */
static void workers_on_threads_share_the_connections(void **state)
{
    enum { N = 300 };
    static struct worker w[3];
    static int fds[N];
    char answer[64];

    (void)state;
    memset(w, 0, sizeof w);
    start("tcp", "127.0.0.1:0");
    gw_hs_server_free(rig.server); /* the workers' threads serve */
    rig.server = NULL;
    gw_hs_group_free(rig.group);
    assert_int_equal(gw_hs_group_new(&rig.fake.env, &rig.conf, &rig.group, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        w[i].env = gw_env_real_new();
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
        while (!w[i].ready)
            sched_yield();
    }
    for (unsigned i = 0; i < N; i++) {
        fds[i] = rig_connect(&rig);
        assert_int_equal(send(fds[i], request, sizeof request - 1, 0), sizeof request - 1);
        assert_true(recv(fds[i], answer, sizeof answer, 0) > 12); /* waits */
        assert_memory_equal(answer, "HTTP/1.1 200", 12);
    }
    tell_all(w, 3, 1);
    for (unsigned i = 0; i < 3000 && fds[0] >= 0; i++) {
        int fd = rig_connect(&rig);

        if (fd == -ECONNREFUSED)
            break;
        close(fd);
        poll(NULL, 0, 1);
        assert_true(i < 2999);
    }
    tell_all(w, 3, 2);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].heard.n_ends, N / 3);
        gw_env_real_free(w[i].env);
    }
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(localhost_is_both_loopback_addresses),
        CASE(no_host_is_every_address),
        CASE(tcp4_is_ipv4_only),
        CASE(tcp6_is_ipv6_only),
        CASE(an_address_is_that_address_only),
        CASE(a_unix_socket_takes_over_a_stale_file_only),
        CASE(endpoints_that_cannot_be_are_named),
        CASE(both_protocols_are_told_apart_by_their_first_bytes),
        CASE(a_protocol_that_is_not_allowed_is_not_spoken),
        CASE(max_connections_has_an_effect),
        CASE(a_peer_that_connects_too_fast_is_turned_away),
        CASE(connections_are_dealt_to_whoever_has_the_fewest),
        CASE(workers_on_threads_share_the_connections),
        CASE(running_out_of_descriptors_is_survived),
        CASE(an_idle_connection_ends),
        CASE(descriptors_come_back),
        CASE(who_has_connected_already_is_served_at_the_end),
        CASE(a_successor_takes_the_listener_over),
        CASE(a_unix_socket_is_taken_over_with_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
