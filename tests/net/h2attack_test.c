/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks on an HTTP/2 server over a real socket, and honest clients that look a little like one. The server runs on a
 * thread of its own, with the real clock; what speaks to it here writes frames byte by byte, because no client library
 * would send these.
 *
 *   net_h2attack_test              the test
 *   net_h2attack_test serve PORT   the server alone, for load generators
 *
 * Careless attackers write as fast as the socket takes it and read only what is there. Paced ones keep at most 40
 * streams open and wait for what the server says about them.
 */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/http_server.h"
#include "net/loop.h"

#define MS 1000000ull

/* ---- the server -------------------------------------------------------------------------------------------- */

enum { LATER_MAX = 4096 };

static struct {
    struct gw_env *env;
    struct gw_loop *loop;
    struct gw_hs_group *group;
    struct gw_hs_server *server;
    struct gw_hook hook;
    struct gw_hs_name later[LATER_MAX];
    unsigned n_later;
    pthread_t thread;
} sv;

static void answer(struct gw_hs_stream *s)
{
    static const struct gw_header type = {GW_SLICE("content-type"), GW_SLICE("application/grpc")};
    static const struct gw_header ok = {GW_SLICE("grpc-status"), GW_SLICE("0")};
    static const struct gw_header busy = {GW_SLICE("grpc-status"), GW_SLICE("14")};
    struct gw_hs_response r = {.status = 200, .headers = &type, .n_headers = 1, .trailers = &ok, .n_trailers = 1};

    if (gw_slice_is(gw_hs_head_of(s)->path, "/busy")) {
        r.trailers = &busy;
        r.refusal = true;
    } else {
        r.body = gw_slice_of("\0\0\0\0\0", 5);
    }
    gw_hs_respond(s, &r);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *head)
{
    static const struct gw_header busy = {GW_SLICE("grpc-status"), GW_SLICE("14")};

    (void)h;
    if (gw_slice_is(head->path, "/door"))
        gw_hs_respond(s, &(struct gw_hs_response){.status = 200, .trailers = &busy, .n_trailers = 1, .refusal = true});
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    (void)h, (void)s, (void)chunk;
}

/** Half of the answers come at once, half at the end of the turn, as real receivers give them. */
static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)h;
    if (sv.n_later < LATER_MAX && gw_hs_name_of(s).stream & 2)
        sv.later[sv.n_later++] = gw_hs_name_of(s);
    else
        answer(s);
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)h, (void)s;
}

static struct gw_hs_handler handler = {.head = on_head, .body = on_body, .end = on_end, .gone = on_gone};

static void answer_later(struct gw_hook *h)
{
    (void)h;
    for (unsigned i = 0; i < sv.n_later; i++) {
        struct gw_hs_stream *s = gw_hs_find(sv.server, sv.later[i]);

        if (s)
            answer(s);
    }
    sv.n_later = 0;
}

static void *serve(void *arg)
{
    (void)arg;
    gw_loop_run(sv.loop);
    return NULL;
}

static int start_server(const char *endpoint)
{
    struct gw_hs_conf conf;
    struct gw_err err;

    gw_hs_conf_defaults(&conf);
    conf.endpoint = endpoint;
    sv.env = gw_env_real_new();
    sv.hook.run = answer_later;
    if (gw_loop_new(sv.env, &sv.loop, &err) < 0 || gw_hs_group_new(sv.env, &conf, &sv.group, &err) < 0 ||
        gw_hs_server_new(sv.group, sv.loop, &handler, &sv.server, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    gw_loop_add_hook(sv.loop, &sv.hook);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    if (start_server("127.0.0.1:0"))
        return -1;
    return pthread_create(&sv.thread, NULL, serve, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    gw_loop_stop(sv.loop);
    pthread_join(sv.thread, NULL);
    gw_hs_server_free(sv.server);
    gw_hs_group_free(sv.group);
    gw_loop_free(sv.loop);
    gw_env_real_free(sv.env);
    return 0;
}

/* ---- frames, by hand --------------------------------------------------------------------------------------- */

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct peer {
    int fd;
    uint8_t out[1 << 17];
    size_t n_out;
    uint8_t in[1 << 17];
    size_t n_in;
    uint32_t next_id;
    unsigned n_ended, n_resets, n_busy; /* streams of ours that the server has ended, or reset */
    unsigned goaway_code;
    bool goaway, gone, headers_done;
};

static void put(struct peer *p, const void *b, size_t n)
{
    if (n > sizeof p->out - p->n_out)
        abort();
    memcpy(p->out + p->n_out, b, n);
    p->n_out += n;
}

static void frame(struct peer *p, uint8_t type, uint8_t flags, uint32_t id, const void *b, size_t n)
{
    uint8_t head[9] = {(uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
                       (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

    put(p, head, sizeof head);
    if (n)
        put(p, b, n);
}

static void u32_frame(struct peer *p, uint8_t type, uint32_t id, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    frame(p, type, 0, id, b, sizeof b);
}

/** POST http h PATH, in HPACK without the dynamic table. Returns the length. */
static size_t pack_head(uint8_t *b, const char *path)
{
    size_t n = 0;

    b[n++] = 0x83;
    b[n++] = 0x86;
    b[n++] = 0x04;
    b[n++] = (uint8_t)strlen(path);
    memcpy(b + n, path, strlen(path));
    n += strlen(path);
    memcpy(b + n, "\x01\x01h", 3);
    return n + 3;
}

static uint32_t open_stream(struct peer *p, const char *path, uint8_t flags)
{
    uint8_t b[64];
    uint32_t id = p->next_id;

    p->next_id += 2;
    frame(p, HEADERS, (uint8_t)(END_HEADERS | flags), id, b, pack_head(b, path));
    return id;
}

static void on_server_frame(struct peer *p, uint8_t type, uint8_t flags, const uint8_t *b, size_t n)
{
    if (type == GOAWAY && n >= 8) {
        p->goaway = true;
        p->goaway_code = (unsigned)b[4] << 24 | (unsigned)b[5] << 16 | (unsigned)b[6] << 8 | b[7];
    } else if (type == RST_STREAM) {
        p->n_resets++;
    } else if ((type == HEADERS || type == DATA) && (flags & END_STREAM)) {
        p->n_ended++;
    } else if (type == SETTINGS && !(flags & ACK)) {
        frame(p, SETTINGS, ACK, 0, NULL, 0);
    }
}

static void hear(struct peer *p)
{
    size_t at = 0;
    ssize_t n = recv(p->fd, p->in + p->n_in, sizeof p->in - p->n_in, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        p->gone = true;
    if (n <= 0)
        return;
    p->n_in += (size_t)n;
    while (p->n_in - at >= 9) {
        const uint8_t *f = p->in + at;
        size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

        if (p->n_in - at < 9 + len)
            break;
        on_server_frame(p, f[3], f[4], f + 9, len);
        at += 9 + len;
    }
    memmove(p->in, p->in + at, p->n_in - at);
    p->n_in -= at;
}

/** Write what is in `out`, as far as the socket takes it; read what is there. */
static void exchange(struct peer *p)
{
    ssize_t n = p->n_out ? send(p->fd, p->out, p->n_out, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (n < 0 && errno != EAGAIN)
        p->gone = true;
    if (n > 0) {
        memmove(p->out, p->out + n, p->n_out - (size_t)n);
        p->n_out -= (size_t)n;
    }
    hear(p);
}

static void attach(struct peer *p)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)gw_hs_group_port(sv.group)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    memset(p, 0, sizeof *p);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&in, sizeof in), 0);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->next_id = 1;
    put(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(p, SETTINGS, 0, 0, NULL, 0);
}

/* ---- the attacks: each adds one round of frames ------------------------------------------------------------ */

static void rapid_reset(struct peer *p)
{
    u32_frame(p, RST_STREAM, open_stream(p, "/", END_STREAM), 8);
}

static void rapid_reset_of_bodies(struct peer *p)
{
    u32_frame(p, RST_STREAM, open_stream(p, "/", 0), 8);
}

static void window_update_of_zero(struct peer *p)
{
    u32_frame(p, WINDOW_UPDATE, open_stream(p, "/", 0), 0);
}

static void window_overflow(struct peer *p)
{
    u32_frame(p, WINDOW_UPDATE, open_stream(p, "/", 0), 0x7fffffff);
}

static void data_after_the_end(struct peer *p)
{
    frame(p, DATA, END_STREAM, open_stream(p, "/", END_STREAM), "x", 1);
}

static void depends_on_itself(struct peer *p)
{
    uint32_t id = open_stream(p, "/", 0);
    uint8_t b[5] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id, 0};

    frame(p, PRIORITY, 0, id, b, sizeof b);
}

static void upper_case_name(struct peer *p)
{
    uint8_t b[64];
    size_t n = pack_head(b, "/");

    memcpy(b + n, "\x00\x01X\x01y", 5);
    frame(p, HEADERS, END_HEADERS | END_STREAM, p->next_id, b, n + 5);
    p->next_id += 2;
}

static void continuation_flood(struct peer *p)
{
    if (p->next_id == 1) {
        uint8_t b[64];

        frame(p, HEADERS, 0, 1, b, pack_head(b, "/"));
        p->next_id = 3;
    }
    frame(p, CONTINUATION, 0, 1, "\x00\x01x\x01y", 5);
}

static void empty_continuations(struct peer *p)
{
    if (p->next_id == 1)
        continuation_flood(p);
    frame(p, CONTINUATION, 0, 1, NULL, 0);
}

static void string_of_4_gb(struct peer *p)
{
    frame(p, HEADERS, END_HEADERS | END_STREAM, p->next_id, "\x00\x7f\xff\xff\xff\xff\x0f", 7);
    p->next_id += 2;
}

static void varint_padding(struct peer *p)
{
    static uint8_t b[16000];

    memset(b, 0x80, sizeof b);
    b[0] = 0x7f;
    if (p->next_id == 1)
        frame(p, HEADERS, 0, 1, b, sizeof b);
    else
        frame(p, CONTINUATION, 0, 1, b + 1, sizeof b - 1);
    p->next_id = 3;
}

/** CVE-2026-49975: one byte a header, 16,000 of them, out of the dynamic table. */
static void bomb(struct peer *p)
{
    static uint8_t b[16384];
    size_t n = pack_head(b, "/");

    if (p->next_id == 1) {
        memcpy(b + n, "\x40\x01z\x01z", 5);
        n += 5;
    }
    memset(b + n, 0xbe, 16000 - n);
    frame(p, HEADERS, END_HEADERS | END_STREAM, p->next_id, b, 16000);
    p->next_id += 2;
}

static void too_many_headers(struct peer *p)
{
    static uint8_t b[1024];
    size_t n = pack_head(b, "/");

    for (unsigned i = 0; i < 150; i++, n += 5)
        memcpy(b + n, "\x00\x01x\x01y", 5);
    frame(p, HEADERS, END_HEADERS | END_STREAM, p->next_id, b, n);
    p->next_id += 2;
}

static void ping_flood(struct peer *p)
{
    frame(p, PING, 0, 0, "12345678", 8);
}

static void pong_flood(struct peer *p)
{
    frame(p, PING, ACK, 0, "12345678", 8);
}

static void settings_flood(struct peer *p)
{
    frame(p, SETTINGS, 0, 0, NULL, 0);
}

static void settings_ack_flood(struct peer *p)
{
    frame(p, SETTINGS, ACK, 0, NULL, 0);
}

static void empty_data_flood(struct peer *p)
{
    if (p->next_id == 1)
        open_stream(p, "/", 0);
    frame(p, DATA, 0, 1, NULL, 0);
}

static void padded_data_flood(struct peer *p)
{
    uint8_t b[101] = {100};

    if (p->next_id == 1)
        open_stream(p, "/", 0);
    frame(p, DATA, 8, 1, b, sizeof b);
}

static void priority_flood(struct peer *p)
{
    frame(p, PRIORITY, 0, 1001, "\0\0\0\0\x10", 5);
}

static void window_update_flood(struct peer *p)
{
    u32_frame(p, WINDOW_UPDATE, 0, 1);
}

static void stream_window_update_flood(struct peer *p)
{
    if (p->next_id == 1)
        open_stream(p, "/", 0);
    u32_frame(p, WINDOW_UPDATE, 1, 1);
}

static void unknown_frames(struct peer *p)
{
    frame(p, 0xee, 0, 0, "whatever", 8);
}

static void reset_of_nothing(struct peer *p)
{
    if (p->next_id == 1)
        open_stream(p, "/", END_STREAM);
    u32_frame(p, RST_STREAM, 1, 8);
}

static void empty_data_to_a_closed_stream(struct peer *p)
{
    if (p->next_id == 1)
        open_stream(p, "/door", 0);
    frame(p, DATA, 0, 1, NULL, 0);
}

static void data_to_a_closed_stream(struct peer *p)
{
    static const uint8_t b[1000];

    if (p->next_id == 1)
        open_stream(p, "/door", 0);
    frame(p, DATA, 0, 1, b, sizeof b);
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

static uint64_t now_ns(void)
{
    return gw_mono_ns(sv.env);
}

enum { ROUND_BYTES = 32 * 1024, PACED_OPEN = 40 };

/** Until the server has said GOAWAY with an error and closed, or a generous time is over. */
static void attack(const char *name, void (*round)(struct peer *p), bool paced)
{
    static struct peer p;
    long rss = rss_kib();
    uint64_t t0, goaway_ns = 0;
    unsigned n_rounds = 0;

    attach(&p);
    t0 = now_ns();
    while (!p.gone && now_ns() - t0 < 5000 * MS) {
        if (paced) {
            if (p.n_out == 0 && n_rounds < p.n_resets + p.n_ended + PACED_OPEN) {
                round(&p);
                n_rounds++;
            }
        } else {
            while (p.n_out < ROUND_BYTES) {
                round(&p);
                n_rounds++;
            }
        }
        exchange(&p);
        if (p.goaway && !goaway_ns)
            goaway_ns = now_ns() - t0;
    }
    print_message("%-28s %-8s cut after %7.2f ms, %7u rounds, %4u resets from the server, code %u\n", name,
                  paced ? "paced" : "careless", (double)(now_ns() - t0) / 1e6, n_rounds, p.n_resets, p.goaway_code);
    assert_true(p.gone);
    assert_true(now_ns() - t0 < 2000 * MS); /* 3 ms on an idle machine; two busy cores are slow */
    assert_true(p.n_resets + p.n_ended <= 700);
    assert_true(rss_kib() - rss < 8 * 1024);
    close(p.fd);
}

/* Scenario: every attack on HTTP/2 that is known by name, and a few that are not, as fast as the socket takes them.
 * Guarantees: the connection is cut soon, memory does not grow. */
static void careless_attackers_are_cut(void **state)
{
    (void)state;
#define A(f) attack(#f, f, false)
    A(rapid_reset);
    A(rapid_reset_of_bodies);
    A(window_update_of_zero);
    A(window_overflow);
    A(data_after_the_end);
    A(depends_on_itself);
    A(upper_case_name);
    A(continuation_flood);
    A(empty_continuations);
    A(string_of_4_gb);
    A(varint_padding);
    A(bomb);
    A(too_many_headers);
    A(ping_flood);
    A(pong_flood);
    A(settings_flood);
    A(settings_ack_flood);
    A(empty_data_flood);
    A(padded_data_flood);
    A(priority_flood);
    A(window_update_flood);
    A(stream_window_update_flood);
    A(unknown_frames);
    A(reset_of_nothing);
    A(empty_data_to_a_closed_stream);
    A(data_to_a_closed_stream);
#undef A
}

/* Scenario: the attacks that make the server itself reset streams or answer, by attackers that stay under its limit of
 * concurrent streams and read everything.
 * Guarantees: cut after about as many as the bucket holds. */
static void paced_attackers_are_cut(void **state)
{
    (void)state;
#define A(f) attack(#f, f, true)
    A(window_update_of_zero);
    A(window_overflow);
    A(data_after_the_end);
    A(depends_on_itself);
    A(upper_case_name);
    A(string_of_4_gb);
    A(bomb);
    A(too_many_headers);
#undef A
}

/* ---- honest clients ---------------------------------------------------------------------------------------- */

struct manners {
    const char *path;
    unsigned n_requests, n_open;    /* requests at a time */
    bool probes;                    /* a PING and a WINDOW_UPDATE after every answer, as grpc-go */
    bool has_body, resets_answered; /* a reset of a stream that was answered before its body was over, as grpc-go */
};

static void be_honest(const char *name, struct manners m)
{
    static struct peer p;
    unsigned sent = 0, seen = 0;
    uint64_t t0 = now_ns();

    attach(&p);
    u32_frame(&p, WINDOW_UPDATE, 0, 1 << 30);
    while (p.n_ended < m.n_requests && !p.gone && !p.goaway && now_ns() - t0 < 20000 * MS) {
        while (sent < m.n_requests && sent - p.n_ended < m.n_open && p.n_out < ROUND_BYTES) {
            uint32_t id = open_stream(&p, m.path, m.has_body ? 0 : END_STREAM);

            if (m.has_body)
                frame(&p, DATA, END_STREAM, id, "\0\0\0\0\0 a span of no consequence", 30);
            sent++;
        }
        exchange(&p);
        for (; seen < p.n_ended; seen++) {
            if (m.probes) {
                frame(&p, PING, 0, 0, "\2\4\x10\x10\11\16\7\7", 8);
                u32_frame(&p, WINDOW_UPDATE, 0, 5);
            }
            if (m.resets_answered)
                u32_frame(&p, RST_STREAM, seen * 2 + 1, 0);
        }
    }
    print_message("%-44s %6u of %6u answered in %6.1f ms\n", name, p.n_ended, m.n_requests,
                  (double)(now_ns() - t0) / 1e6);
    assert_false(p.goaway);
    assert_false(p.gone);
    assert_int_equal(p.n_ended, m.n_requests);
    close(p.fd);
}

/* Scenario: clients shaped like grpc-go (a PING and a WINDOW_UPDATE after every answer, one span a request, at full
 * rate), with answers of OK, with nothing but UNAVAILABLE, with refusals at the door that they answer with a reset; and
 * one like h2load.
 * Guarantees: none is ever cut. */
static void honest_clients_are_never_cut(void **state)
{
    (void)state;
    be_honest("like h2load", (struct manners){"/", 20000, 100, .has_body = true});
    be_honest("like grpc-go", (struct manners){"/", 10000, 1, .probes = true, .has_body = true});
    be_honest("like grpc-go, 100 at a time", (struct manners){"/", 20000, 100, .probes = true, .has_body = true});
    be_honest("like grpc-go, all answers UNAVAILABLE",
              (struct manners){"/busy", 20000, 50, .probes = true, .has_body = true});
    be_honest("like grpc-go, refused at the door",
              (struct manners){"/door", 5000, 10, .probes = true, .has_body = true, .resets_answered = true});
}

/* Scenario: four attackers that come back at once whenever they are cut, for a second, beside an honest client.
 * Guarantees: the honest client is served. */
static void honest_clients_are_served_beside_attackers(void **state)
{
    static struct peer bad[4], good;
    uint64_t t0;
    unsigned sent = 0, cuts = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        attach(&bad[i]);
    attach(&good);
    u32_frame(&good, WINDOW_UPDATE, 0, 1 << 30);
    t0 = now_ns();
    while (now_ns() - t0 < 1000 * MS) {
        for (unsigned i = 0; i < 4; i++) {
            while (bad[i].n_out < ROUND_BYTES)
                rapid_reset(&bad[i]);
            exchange(&bad[i]);
            if (bad[i].gone) {
                cuts++;
                close(bad[i].fd);
                attach(&bad[i]);
            }
        }
        while (sent - good.n_ended < 50 && good.n_out < ROUND_BYTES) {
            open_stream(&good, "/", END_STREAM);
            sent++;
        }
        exchange(&good);
    }
    print_message("honest answers beside attackers in 1 s: %u; attackers cut: %u\n", good.n_ended, cuts);
    assert_false(good.gone);
    assert_true(good.n_ended > 200); /* 20,000 on an idle machine */
    assert_true(cuts >= 4);
    for (unsigned i = 0; i < 4; i++)
        close(bad[i].fd);
    close(good.fd);
}

int main(int argc, char **argv)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(careless_attackers_are_cut),
        CASE(paced_attackers_are_cut),
        CASE(honest_clients_are_never_cut),
        CASE(honest_clients_are_served_beside_attackers),
    };

    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        char endpoint[64];

        snprintf(endpoint, sizeof endpoint, "127.0.0.1:%s", argv[2]);
        if (start_server(endpoint))
            return 1;
        gw_loop_run(sv.loop);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
