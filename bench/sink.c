/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink PORT: what stands behind the exporters of the rows that write elsewhere than OTLP. HTTP/1.1, one thread.
 *
 *   POST /rw…    remote write: 204; to 2.0 with the Written headers, which are counted from the body
 *   POST /v1/…   OTLP, uncompressed: 200; its spans are the items
 *   POST /_bulk  Elasticsearch: 200 with an item of status 201 for each action; gzip is inflated
 *   POST /stall  no answer, ever
 *   GET  /stats  {"requests", "bytes": as received, without heads, "raw_bytes": without compression, "items"}
 *   GET  /…      the page on which Elasticsearch says its version
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libdeflate.h>
#include <netinet/tcp.h>
#include <snappy-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

struct bytes {
    char *p;
    size_t n, cap;
};

struct conn {
    int fd;
    struct bytes in;
    size_t head, want; /* head alone; head and body; 0 while the head is incomplete */
};

static unsigned long long n_requests, n_bytes, n_raw, n_items;
static int ep;
static struct bytes raw, out; /* of the request under way */

static void room(struct bytes *b, size_t n)
{
    if (b->cap < n) {
        b->cap = n * 2;
        b->p = realloc(b->p, b->cap);
    }
}

static void put(struct bytes *b, const void *p, size_t n)
{
    room(b, b->n + n + 1);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

static void put_text(struct bytes *b, const char *s)
{
    put(b, s, strlen(s));
}

/* Answers are waited for: a client that does not read them has no other request either. */
static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

        if (r < 0 && errno != EAGAIN)
            return;
        if (r > 0) {
            p += r;
            n -= (size_t)r;
        }
    }
}

static void answer(struct conn *c, const char *status, const char *headers, const struct bytes *body)
{
    char head[512];

    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%s", status, headers);
    if (status[2] != '4') /* 204 has no length */
        snprintf(head + strlen(head), 64, "Content-Length: %zu\r\n", body ? body->n : 0);
    strcat(head, "\r\n");
    send_all(c->fd, head, strlen(head));
    if (body)
        send_all(c->fd, body->p, body->n);
}

/* ---- remote write ------------------------------------------------------------------------------------------ */

static uint64_t varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;

    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        v |= (uint64_t)(**p & 127) << shift;
        if (*(*p)++ < 128)
            break;
    }
    return v;
}

/* Next field of a message: its number, and its bytes when it has a length; 0 at the end. */
static unsigned field(const uint8_t **p, const uint8_t *end, const uint8_t **ret_p, size_t *ret_n)
{
    uint64_t tag;

    if (*p >= end)
        return 0;
    tag = varint(p, end);
    *ret_p = *p;
    *ret_n = 0;
    if ((tag & 7) == 0) {
        (void)varint(p, end);
        return (unsigned)(tag >> 3);
    }
    *ret_n = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : (size_t)varint(p, end);
    if (*ret_n > (size_t)(end - *p))
        return 0;
    *ret_p = *p;
    *p += *ret_n;
    return (unsigned)(tag >> 3);
}

/* Samples (2), histograms (3) and exemplars (4) of the series (5) of a Request of 2.0. */
static void count_v2(const uint8_t *p, size_t n, unsigned counts[5])
{
    const uint8_t *end = p + n, *q;
    unsigned number;

    while ((number = field(&p, end, &q, &n))) {
        const uint8_t *in = q, *in_end = q + n, *x;
        unsigned inner;
        size_t m;

        if (number != 5)
            continue;
        while ((inner = field(&in, in_end, &x, &m)))
            counts[inner < 5 ? inner : 0]++;
    }
}

static void remote_write(struct conn *c, const char *body, size_t n)
{
    unsigned counts[5] = {0};
    char headers[256] = "";
    size_t size = 0;

    if (snappy_uncompressed_length(body, n, &size) != SNAPPY_OK) {
        answer(c, "400 Bad Request", "", NULL);
        return;
    }
    n_raw += size;
    if (strcasestr(c->in.p, "io.prometheus.write.v2.Request")) {
        room(&raw, size);
        if (snappy_uncompress(body, n, raw.p, &size) != SNAPPY_OK) {
            answer(c, "400 Bad Request", "", NULL);
            return;
        }
        count_v2((const uint8_t *)raw.p, size, counts);
        n_items += counts[2] + counts[3];
        snprintf(headers, sizeof(headers),
                 "X-Prometheus-Remote-Write-Samples-Written: %u\r\nX-Prometheus-Remote-Write-Histograms-Written: %u\r\n"
                 "X-Prometheus-Remote-Write-Exemplars-Written: %u\r\n",
                 counts[2], counts[3], counts[4]);
    }
    answer(c, "204 No Content", headers, NULL);
}

/* ---- Elasticsearch ------------------------------------------------------------------------------------------ */

/* An item for each action line: every other line, as nothing is deleted here. */
static void bulk_items(const char *p, size_t n, bool whole)
{
    const char *end = p + n;
    bool first = true;

    out.n = 0;
    put_text(&out, "{\"took\":3,\"errors\":false,\"items\":[");
    while (p < end) {
        const char *doc = memchr(p, '\n', (size_t)(end - p)), *next;

        if (!doc || !(next = memchr(doc + 1, '\n', (size_t)(end - doc - 1))))
            break;
        put(&out, ",", first ? 0 : 1);
        put_text(&out, strncmp(p, "{\"index\"", 8) == 0 ? "{\"index\":{" : "{\"create\":{");
        if (whole)
            put_text(&out,
                     "\"_index\":\".ds-logs-generic.otel-default-2025.01.01-000001\",\"_id\":\"AZnHcYkBq0aAAAABcdef\","
                     "\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":2,\"successful\":1,\"failed\":0},"
                     "\"_seq_no\":100000,\"_primary_term\":1,");
        put_text(&out, "\"status\":201}}");
        first = false;
        n_items++;
        p = next + 1;
    }
    put_text(&out, "]}");
}

static void bulk(struct conn *c, const char *body, size_t n)
{
    static struct libdeflate_decompressor *inflater;
    bool filtered = memmem(c->in.p, c->head, "filter_path=", 12) != NULL;

    if (memmem(c->in.p, c->head, "gzip", 4) && n > 18 && (uint8_t)body[0] == 0x1f) {
        uint32_t size;

        memcpy(&size, body + n - 4, 4);
        room(&raw, size + 1);
        if (!inflater)
            inflater = libdeflate_alloc_decompressor();
        if (libdeflate_gzip_decompress(inflater, body, n, raw.p, size, NULL) != LIBDEFLATE_SUCCESS) {
            answer(c, "400 Bad Request", "", NULL);
            return;
        }
        body = raw.p;
        n = size;
    }
    n_raw += n;
    bulk_items(body, n, !filtered);
    answer(c, "200 OK", "Content-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n", &out);
}

/* ---- OTLP --------------------------------------------------------------------------------------------------- */

/* Spans: ResourceSpans(1) > ScopeSpans(2) > Span(2). */
static uint64_t count_spans(const uint8_t *p, const uint8_t *end, int depth)
{
    uint64_t n = 0;

    while (p < end) {
        uint64_t tag = varint(&p, end), size;

        if ((tag & 7) == 0) {
            (void)varint(&p, end);
            continue;
        }
        size = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : varint(&p, end);
        if (size > (uint64_t)(end - p))
            return n;
        if (tag == (depth == 0 ? 0x0au : 0x12u))
            n += depth == 2 ? 1 : count_spans(p, p + size, depth + 1);
        p += size;
    }
    return n;
}

static void otlp(struct conn *c, const char *body, size_t n)
{
    n_items += count_spans((const uint8_t *)body, (const uint8_t *)body + n, 0);
    answer(c, "200 OK", "Content-Type: application/x-protobuf\r\n", NULL);
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static void page(struct conn *c)
{
    char text[256];

    if (strncmp(c->in.p, "GET /stats", 10) == 0)
        snprintf(text, sizeof(text), "{\"requests\": %llu, \"bytes\": %llu, \"raw_bytes\": %llu, \"items\": %llu}\n",
                 n_requests, n_bytes, n_raw, n_items);
    else
        snprintf(text, sizeof(text),
                 "{\"name\":\"sink\",\"version\":{\"number\":\"8.17.0\",\"build_flavor\":\"default\"},"
                 "\"tagline\":\"You Know, for Search\"}\n");
    out.n = 0;
    put_text(&out, text);
    answer(c, "200 OK", "Content-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n", &out);
}

static void request(struct conn *c)
{
    const char *body = c->in.p + c->head;
    size_t n = c->want - c->head;

    if (strncmp(c->in.p, "POST", 4) != 0) {
        page(c);
        return;
    }
    n_requests++;
    n_bytes += n;
    if (strncmp(c->in.p, "POST /stall", 11) == 0)
        return;
    if (strncmp(c->in.p, "POST /rw", 8) == 0)
        remote_write(c, body, n);
    else if (strncmp(c->in.p, "POST /v1/", 9) == 0)
        otlp(c, body, n);
    else
        bulk(c, body, n);
}

static void read_head(struct conn *c)
{
    char *end = strstr(c->in.p, "\r\n\r\n"), *length;

    if (!end)
        return;
    end[2] = 0; /* the string functions shall not look into the body */
    length = strcasestr(c->in.p, "\r\ncontent-length:");
    if (strcasestr(c->in.p, "\r\nexpect: 100"))
        send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    c->head = (size_t)(end - c->in.p) + 4;
    c->want = c->head + (length ? (size_t)atol(length + 17) : 0);
}

static void take(struct conn *c)
{
    while (c->in.n > 0) {
        if (!c->want)
            read_head(c);
        if (!c->want || c->in.n < c->want)
            return;
        request(c);
        memmove(c->in.p, c->in.p + c->want, c->in.n - c->want);
        c->in.n -= c->want;
        c->in.p[c->in.n] = 0;
        c->want = 0;
    }
}

static void on_ready(struct conn *c)
{
    static char buf[READ_BYTES];
    ssize_t n;

    do {
        n = recv(c->fd, buf, sizeof(buf), 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close(c->fd);
            free(c->in.p);
            free(c);
            return;
        }
        put(&c->in, buf, (size_t)n);
        take(c);
    } while ((size_t)n == sizeof(buf));
}

static void on_accept(int listener)
{
    struct conn *c = calloc(1, sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (c->fd < 0) {
        free(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 14400))};
    struct epoll_event ev[256], mine = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 1024) < 0) {
        perror("sink");
        return 1;
    }
    ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &mine);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr)
                on_ready(ev[i].data.ptr);
            else
                on_accept(listener);
        }
    }
}
