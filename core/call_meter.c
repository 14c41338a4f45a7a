/* SPDX-License-Identifier: Apache-2.0 */
#include "core/call_meter.h"

#include <stdio.h>
#include <string.h>

enum { N_SECONDS = 14, N_BYTES = 15, MAX_LABELS = 9 };
/* What the conventions advise for durations, and the SDK's own bounds for everything else. */
static const double seconds[N_SECONDS] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};
static const double bytes[N_BYTES] = {0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000};

static const char *method_of(struct gw_slice method)
{
    static const char *const known[] = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"};

    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (gw_slice_is(method, known[i]))
            return known[i];
    return "_OTHER";
}

struct labels {
    struct gw_label l[MAX_LABELS];
    unsigned n;
    char status[16], address[256], port[16];
};

static void add(struct labels *ls, const char *key, const char *value)
{
    if (value && *value)
        ls->l[ls->n++] = (struct gw_label){key, value};
}

/* "https://host:port/path", "[::1]:4318", ":4318", "/run/a.sock" */
static void split_endpoint(struct labels *ls, const char *endpoint, bool tls, bool client)
{
    const char *scheme = strstr(endpoint, "://"), *host = scheme ? scheme + 3 : endpoint, *colon;
    size_t n = *host == '/' ? strlen(host) : strcspn(host, "/?#");

    colon = memrchr(host, ':', n);
    if (colon && memchr(colon, ']', n - (size_t)(colon - host)))
        colon = NULL;
    (void)snprintf(ls->address, sizeof(ls->address), "%.*s", (int)(colon ? (size_t)(colon - host) : n), host);
    if (colon)
        (void)snprintf(ls->port, sizeof(ls->port), "%.*s", (int)(n - (size_t)(colon + 1 - host)), colon + 1);
    else if (client && *host != '/')
        (void)snprintf(ls->port, sizeof(ls->port), "%s", tls ? "443" : "80");
}

static void http_labels(struct labels *ls, const struct gw_http_call *c, bool client)
{
    *ls = (struct labels){.n = 0};
    if (c->status)
        (void)snprintf(ls->status, sizeof(ls->status), "%d", c->status);
    split_endpoint(ls, c->endpoint, c->tls, client);
    add(ls, "error_type", c->status ? NULL : c->error);
    add(ls, "http_request_method", method_of(c->method));
    add(ls, "http_response_status_code", ls->status);
    add(ls, "http_route", c->route);
    add(ls, "network_protocol_name", "http");
    add(ls, "network_protocol_version", c->http2 ? "2" : "1.1");
    add(ls, "server_address", ls->address);
    add(ls, "server_port", ls->port);
    add(ls, "url_scheme", c->tls ? "https" : "http");
}

static void observe_ns(struct gw_meter *m, const char *name, const char *help, const struct labels *ls, uint64_t ns)
{
    struct gw_metric *h = gw_meter_get_histogram(m, name, help, ls->l, ls->n, seconds, N_SECONDS);

    if (!h)
        return;
    h->scale = 1e-9; /* the sum is kept in ns */
    gw_metric_observe(h, (double)ns * 1e-9);
}

static void observe_bytes(struct gw_meter *m, const char *name, const char *help, const struct labels *ls, uint64_t n)
{
    gw_metric_observe(gw_meter_get_histogram(m, name, help, ls->l, ls->n, bytes, N_BYTES), (double)n);
}

void gw_meter_http_server(struct gw_meter *m, const struct gw_http_call *c)
{
    struct labels ls;

    http_labels(&ls, c, false);
    observe_ns(m, "http_server_request_duration", "Duration of HTTP server requests.", &ls, c->ns);
    observe_bytes(m, "http_server_request_body_size", "Size of HTTP server request bodies.", &ls, c->request_bytes);
    observe_bytes(m, "http_server_response_body_size", "Size of HTTP server response bodies.", &ls, c->response_bytes);
}

void gw_meter_http_client(struct gw_meter *m, const struct gw_http_call *c)
{
    struct labels ls;

    http_labels(&ls, c, true);
    observe_ns(m, "http_client_request_duration", "Duration of HTTP client requests.", &ls, c->ns);
    observe_bytes(m, "http_client_request_body_size", "Size of HTTP client request bodies.", &ls, c->request_bytes);
}

static void rpc_labels(struct labels *ls, const char *method, int status)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    bool known = status >= 0 && status < (int)(sizeof(names) / sizeof(names[0]));

    *ls = (struct labels){.n = 0};
    add(ls, "rpc_method", *method == '/' ? method + 1 : method);
    add(ls, "rpc_response_status_code", names[known ? status : 2]);
    add(ls, "rpc_system_name", "grpc");
}

void gw_meter_rpc_server(struct gw_meter *m, const char *method, int status, uint64_t ns)
{
    struct labels ls;

    rpc_labels(&ls, method, status);
    observe_ns(m, "rpc_server_call_duration", "Measures the duration of an incoming Remote Procedure Call (RPC).", &ls,
               ns);
}

void gw_meter_rpc_client(struct gw_meter *m, const char *method, int status, uint64_t ns)
{
    struct labels ls;

    rpc_labels(&ls, method, status);
    observe_ns(m, "rpc_client_call_duration", "Measures the duration of an outgoing Remote Procedure Call (RPC).", &ls,
               ns);
}
