/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultsink --journal FILE --listen NAME=PORT... [--control PORT] [--id rec.id] [--seed N] [--script NAME=FILE]...
 *           [--about elasticsearch|opensearch]
 *
 * Each listener is a server of its own, with faults of its own. All of them take OTLP/gRPC, OTLP/HTTP (…/v1/logs and
 * the like), remote write 1.0 and 2.0 (…/write) and …/_bulk. Port 0 is a free one. "ready" and the ports are printed.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sink.h"

struct faultsink g;

static const char elasticsearch[] =
    "{\"name\":\"sink\",\"version\":{\"number\":\"8.17.0\",\"build_flavor\":\"default\"},"
    "\"tagline\":\"You Know, for Search\"}\n";
static const char opensearch[] =
    "{\"name\":\"sink\",\"version\":{\"distribution\":\"opensearch\",\"number\":\"3.8.0\"},"
    "\"tagline\":\"The OpenSearch Project: https://opensearch.org/\"}\n";

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *what)
{
    fprintf(stderr, "faultsink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void usage(void)
{
    fprintf(stderr, "usage: faultsink --journal FILE --listen NAME=PORT... [--control PORT] [--id NAME] [--seed N]\n"
                    "                 [--script NAME=FILE]... [--about elasticsearch|opensearch]\n");
    exit(64);
}

static void sink_new(const char *name, int port, bool control)
{
    struct sink *s = calloc(1, sizeof(*s)), **at = &g.sinks;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t n = sizeof(a);
    int one = 1;

    if (!s)
        die("memory");
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->control = control;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s->fd, 1024) < 0 ||
        getsockname(s->fd, (struct sockaddr *)&a, &n) < 0)
        die("listen");
    s->port = ntohs(a.sin_port);
    while (*at)
        at = &(*at)->next;
    *at = s;
}

/* "NAME=rest": the rest. */
static const char *behind(const char *v, char *ret_name, size_t n)
{
    const char *eq = strchr(v, '=');

    if (!eq)
        usage();
    snprintf(ret_name, n, "%.*s", (int)(eq - v), v);
    return eq + 1;
}

static void script_file(const char *v)
{
    static char text[1 << 20];
    struct gw_err err = {0};
    char name[32];
    FILE *f = fopen(behind(v, name, sizeof(name)), "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;

    if (!f)
        die(v);
    (void)fclose(f);
    for (struct sink *s = g.sinks; s; s = s->next)
        if (strcmp(s->name, name) == 0 && script_run(s, text, n, &err) < 0) {
            fprintf(stderr, "faultsink: %s\n", err.text);
            exit(64);
        }
}

static void arguments(int argc, char **argv, uint64_t *ret_seed)
{
    char name[32];

    g.id_name = "rec.id";
    g.about = elasticsearch;
    g.journal = -1;
    for (int i = 1; i < argc; i += 2) {
        const char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

        if (!v)
            usage();
        if (strcmp(k, "--journal") == 0)
            g.journal = open(v, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        else if (strcmp(k, "--listen") == 0)
            sink_new(name, atoi(behind(v, name, sizeof(name))), false);
        else if (strcmp(k, "--control") == 0)
            sink_new("control", atoi(v), true);
        else if (strcmp(k, "--id") == 0)
            g.id_name = v;
        else if (strcmp(k, "--seed") == 0)
            *ret_seed = strtoull(v, NULL, 10);
        else if (strcmp(k, "--script") == 0)
            script_file(v);
        else if (strcmp(k, "--about") == 0)
            g.about = strcmp(v, "opensearch") == 0 ? opensearch : elasticsearch;
        else
            usage();
    }
    if (g.journal < 0 || !g.sinks)
        usage();
    for (size_t i = 0; g.id_name[i] && i < sizeof(g.label_name) - 1; i++)
        g.label_name[i] = isalnum((unsigned char)g.id_name[i]) ? g.id_name[i] : '_';
}

static void sweep(void)
{
    for (struct conn **at = &g.conns; *at;) {
        struct conn *c = *at;

        if (c->dead) {
            *at = c->next;
            conn_free(c);
        } else {
            at = &c->next;
        }
    }
}

static int timeout_ms(uint64_t next)
{
    uint64_t now = now_ns();

    return next == NEVER ? -1 : next <= now ? 0 : (int)((next - now) / 1000000u) + 1;
}

int main(int argc, char **argv)
{
    struct epoll_event ev[256];
    uint64_t seed = 1, next = NEVER;

    (void)signal(SIGPIPE, SIG_IGN);
    arguments(argc, argv, &seed);
    g.ep = epoll_create1(EPOLL_CLOEXEC);
    for (struct sink *s = g.sinks; s; s = s->next) {
        struct epoll_event mine = {.events = EPOLLIN, .data.ptr = s};

        s->random = seed * 1000003u;
        if (epoll_ctl(g.ep, EPOLL_CTL_ADD, s->fd, &mine) < 0)
            die("epoll");
        printf("%s=%d ", s->name, s->port);
    }
    printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        int n = epoll_wait(g.ep, ev, 256, timeout_ms(next));

        for (int i = 0; i < n; i++) {
            struct sink *s = g.sinks;

            while (s && s != ev[i].data.ptr)
                s = s->next;
            if (s)
                conn_new(s);
            else
                conn_ready(ev[i].data.ptr, ev[i].events);
        }
        sweep();
        next = NEVER;
        for (struct conn *c = g.conns; c; c = c->next) {
            uint64_t t = conn_tick(c, now_ns());

            next = t < next ? t : next;
        }
        sweep();
    }
}
