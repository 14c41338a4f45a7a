/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1: one request at a time, with Content-Length. */
#include <string.h>

#include "sink.h"

/* A header's value out of a head that is a C string; "" when it is not there. */
static void header(const char *head, const char *name, char *ret, size_t n)
{
    char pattern[64];
    const char *at;

    snprintf(pattern, sizeof(pattern), "\r\n%s:", name);
    at = strcasestr(head, pattern);
    ret[0] = 0;
    if (!at)
        return;
    at += strlen(pattern);
    at += strspn(at, " ");
    snprintf(ret, n, "%.*s", (int)strcspn(at, "\r\n"), at);
}

static bool read_head(struct conn *c, struct exchange *e)
{
    char *end = memmem(c->in.p, c->in.n, "\r\n\r\n", 4), *head = (char *)c->in.p, text[32];
    size_t n;

    if (!end)
        return false;
    n = (size_t)(end - head) + 4;
    end[2] = 0;
    (void)sscanf(head, "%7s %511s", e->method, e->path);
    header(head, "content-type", e->type, sizeof(e->type));
    header(head, "content-encoding", e->encoding, sizeof(e->encoding));
    header(head, "expect", text, sizeof(text));
    if (text[0])
        conn_put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    header(head, "content-length", text, sizeof(text));
    c->h1_want = n + strtoull(text, NULL, 10);
    gw_buf_put(&e->in, &n, sizeof(n)); /* until the body is there */
    exchange_route(e);
    if (e->proto == P_RW1 && !e->encoding[0])
        strcpy(e->encoding, "snappy");
    return true;
}

void h1_in(struct conn *c)
{
    while (c->in.n && !c->dead && !c->half) {
        struct exchange *e = c->exchanges;
        size_t n_head;

        if (e && e->complete)
            return; /* the one before is not answered */
        if (!e) {
            e = exchange_new(c, 0);
            c->h1_want = 0;
        }
        if (c->n_in >= c->cut_in) { /* more came than it shall have seen */
            conn_cut(c);
            return;
        }
        if (!c->h1_want && !read_head(c, e))
            return;
        if (c->in.n < c->h1_want)
            return;
        memcpy(&n_head, e->in.p, sizeof(n_head));
        gw_buf_reset(&e->in);
        gw_buf_put(&e->in, c->in.p + n_head, c->h1_want - n_head);
        memmove(c->in.p, c->in.p + c->h1_want, c->in.n - c->h1_want);
        c->in.n -= c->h1_want;
        exchange_take(e);
    }
}

void h1_answer(struct exchange *e)
{
    struct answer *a = &e->answer;
    struct conn *c = e->conn;
    struct gw_buf head;
    uint64_t from = c->n_out + c->out.n - c->out_sent;

    gw_buf_init(&head, 8192);
    gw_buf_printf(&head, "HTTP/1.1 %u Status\r\n", a->status);
    gw_buf_put(&head, a->headers.p, a->headers.n);
    if (a->status != 204)
        gw_buf_printf(&head, "content-length: %llu\r\n", (unsigned long long)(a->body.n + a->filler));
    gw_buf_put_str(&head, "\r\n");
    conn_put(c, head.p, head.n);
    if (a->status != 204)
        conn_put(c, a->body.p, a->body.n);
    if (!c->fault.on_conn && e->fault.cut_out != NEVER)
        c->cut_out = from + e->fault.cut_out;
    else if (e->fault.body == BODY_HALF)
        c->cut_out = from + head.n + a->body.n / 2;
    gw_buf_clear(&head);
    e->sent = a->filler == 0 || a->status == 204;
}

void h1_more(struct conn *c)
{
    static uint8_t garbage[64 << 10];
    struct exchange *e = c->exchanges;
    size_t n;

    if (!e) {
        h1_in(c);
        return;
    }
    if (!e->answered || e->sent)
        return;
    for (size_t i = 0; i < sizeof(garbage) && !garbage[0]; i++)
        garbage[i] = (uint8_t)(i * 2654435761u >> 13 | 1);
    n = e->answer.filler < sizeof(garbage) ? (size_t)e->answer.filler : sizeof(garbage);
    conn_put(c, garbage, n);
    e->answer.filler -= n;
    e->sent = e->answer.filler == 0;
}
