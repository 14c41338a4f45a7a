/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.health.v1.Health: Check, List and Watch. Services are "" (the whole) and those of the signals that have a
 * pipeline; all of them serve while the gateway does.
 *
 * A Watch costs a stream and its request's few hundred bytes until its client ends it, so it counts against
 * max_concurrent_streams. Whether something changed is looked at once a turn of the loop, and only while somebody
 * watches: one compare. When the gateway leaves, watches hear NOT_SERVING and end with UNAVAILABLE, which tells clients
 * to ask again elsewhere; a drain never waits for them.
 */
#include "receivers/otlp/otlp.h"

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

enum gw_otlp_health gw_otlp_health_method(struct gw_slice path)
{
    if (gw_slice_is(path, "/grpc.health.v1.Health/Check"))
        return GW_OTLP_CHECK;
    if (gw_slice_is(path, "/grpc.health.v1.Health/List"))
        return GW_OTLP_LIST;
    return gw_slice_is(path, "/grpc.health.v1.Health/Watch") ? GW_OTLP_WATCH : GW_OTLP_NO_HEALTH;
}

static uint8_t status_now(struct gw_otlp_local *l)
{
    struct gw_host *host = l->o->ctx.host;

    return !l->leaving && (!host || !host->ops->is_ready || host->ops->is_ready(host)) ? SERVING : NOT_SERVING;
}

/* HealthCheckRequest.service. Other fields are none of the protocol: refused. */
static bool parse_service(struct gw_slice m, struct gw_slice *ret)
{
    *ret = gw_slice_of(NULL, 0);
    if (m.n == 0)
        return true;
    if (m.n < 2 || m.p[0] != 0x0a || m.p[1] > 127 || m.p[1] != m.n - 2)
        return false;
    *ret = gw_slice_of(m.p + 2, m.n - 2);
    return true;
}

static bool is_known(const struct gw_otlp_local *l, struct gw_slice service)
{
    if (service.n == 0)
        return true;
    for (unsigned i = 0; i < GW_OTLP_METHODS; i++)
        if (gw_slice_is(service, gw_otlp_methods[i].service))
            return l->intake->signals & gw_otlp_methods[i].signal;
    return false;
}

/* HealthCheckResponse, framed. */
static struct gw_slice status_message(struct gw_buf *b, uint8_t status)
{
    gw_buf_reset(b);
    gw_grpc_frame_put(b, 2);
    gw_buf_put(b, (uint8_t[]){0x08, status}, 2);
    return gw_buf_slice(b);
}

/* ---- Watch ------------------------------------------------------------------------------------------------ */

static void leave_list(struct gw_otlp_request *rq)
{
    if (!rq->watch_link)
        return;
    *rq->watch_link = rq->watch_next;
    if (rq->watch_next)
        rq->watch_next->watch_link = rq->watch_link;
    rq->watch_link = NULL;
}

void gw_otlp_health_gone(struct gw_otlp_request *rq)
{
    leave_list(rq);
}

static void end_watch(struct gw_otlp_request *rq)
{
    leave_list(rq);
    gw_otlp_grpc_end(rq, GW_UNAVAILABLE, "the gateway is shutting down");
}

static void begin_watch(struct gw_otlp_request *rq, bool known)
{
    struct gw_otlp_local *l = rq->door->l;

    rq->watched = known;
    rq->told = known ? status_now(l) : SERVICE_UNKNOWN;
    gw_otlp_grpc_open(rq, status_message(&l->answer, rq->told));
    if (l->leaving) {
        end_watch(rq);
        return;
    }
    rq->watch_next = l->watches;
    rq->watch_link = &l->watches;
    if (rq->watch_next)
        rq->watch_next->watch_link = &rq->watch_next;
    l->watches = rq;
}

/* False: not now, for want of memory. */
static bool tell(struct gw_otlp_request *rq, uint8_t status)
{
    int rc = 0;

    if (rq->watched && rq->told != status)
        rc = gw_hs_push(rq->s, status_message(&rq->door->l->answer, status));
    if (rc == 0)
        rq->told = status;
    return rc == 0 || rc == -EPIPE;
}

void gw_otlp_health_look(struct gw_hook *h)
{
    struct gw_otlp_local *l = (struct gw_otlp_local *)(void *)((char *)h - offsetof(struct gw_otlp_local, hook));
    uint8_t status;

    if (!l->watches)
        return;
    status = status_now(l);
    if (status == l->told)
        return;
    l->told = status;
    for (struct gw_otlp_request *rq = l->watches; rq; rq = rq->watch_next)
        if (!tell(rq, status))
            l->told = 0; /* in the next turn again */
}

void gw_otlp_health_leave(struct gw_otlp_local *l)
{
    l->leaving = true;
    while (l->watches) {
        (void)tell(l->watches, NOT_SERVING);
        end_watch(l->watches);
    }
}

/* ---- Check and List --------------------------------------------------------------------------------------- */

/* One entry of HealthListResponse.statuses, a map of name to HealthCheckResponse. */
static void put_entry(struct gw_buf *b, const char *name, uint8_t status)
{
    size_t n = strlen(name); /* all are shorter than 120 bytes: lengths of one byte */

    gw_buf_put(b, (uint8_t[]){0x0a, (uint8_t)(n + 6), 0x0a, (uint8_t)n}, 4);
    gw_buf_put(b, name, n);
    gw_buf_put(b, (uint8_t[]){0x12, 2, 0x08, status}, 4);
}

static void answer_list(struct gw_otlp_request *rq)
{
    struct gw_otlp_local *l = rq->door->l;
    struct gw_buf *b = &l->answer;
    uint8_t status = status_now(l);
    uint32_t n;

    gw_buf_reset(b);
    gw_grpc_frame_put(b, 0);
    put_entry(b, "", status);
    for (unsigned i = 0; i < GW_OTLP_METHODS; i++)
        if (l->intake->signals & gw_otlp_methods[i].signal)
            put_entry(b, gw_otlp_methods[i].service, status);
    n = (uint32_t)(b->n - 5);
    memcpy(b->p + 1, (uint8_t[]){(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 4);
    gw_otlp_grpc_ok(rq, gw_buf_slice(b));
}

void gw_otlp_health_answer(struct gw_otlp_request *rq, struct gw_slice message)
{
    struct gw_otlp_local *l = rq->door->l;
    struct gw_slice service;

    if (rq->health == GW_OTLP_LIST) {
        answer_list(rq);
        return;
    }
    if (!parse_service(message, &service)) {
        gw_otlp_refuse(rq, GW_INVALID_ARGUMENT, "this is no HealthCheckRequest");
        return;
    }
    if (rq->health == GW_OTLP_WATCH)
        begin_watch(rq, is_known(l, service));
    else if (is_known(l, service))
        gw_otlp_grpc_ok(rq, status_message(&l->answer, status_now(l)));
    else
        gw_otlp_refuse(rq, GW_NOT_FOUND, "unknown service");
}
