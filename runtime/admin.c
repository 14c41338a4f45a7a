/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/admin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_server.h"

enum { MAX_LABELS = 64, MAX_SCRAPE_BYTES = 16 << 20 };

struct gw_admin {
    struct gw_hs_handler handler; /* first */
    struct gw_admin_conf conf;
    struct gw_hs_group *group;
    struct gw_hs_server *server;
    char endpoint[300], instance_id[40];
    struct gw_label labels[MAX_LABELS]; /* of target_info */
    unsigned n_labels;
};

static void respond(struct gw_hs_stream *s, int status, const char *type, struct gw_slice body)
{
    const struct gw_header h = {GW_SLICE("content-type"), gw_slice_cstr(type)};
    const struct gw_hs_response r = {.status = status, .headers = &h, .n_headers = 1, .body = body};

    gw_hs_respond(s, &r);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *head)
{
    struct gw_admin *a = (struct gw_admin *)h;
    struct gw_exposition how = {
        .type_suffix = !a->conf.telemetry->without_type_suffix,
        .scope_info = !a->conf.telemetry->without_scope_info,
        .constant = a->labels,
        .n_constant = a->n_labels,
    };
    struct gw_buf out;

    if (!gw_slice_is(head->path, "/metrics")) {
        respond(s, 404, "text/plain; charset=utf-8", GW_SLICE("self-metrics are at /metrics\n"));
        return;
    }
    if (!gw_slice_is(head->method, "GET") && !gw_slice_is(head->method, "HEAD")) {
        respond(s, 405, "text/plain; charset=utf-8", GW_SLICE("GET only\n"));
        return;
    }
    gw_buf_init(&out, MAX_SCRAPE_BYTES);
    gw_process_metrics(a->conf.env, a->conf.meter, a->conf.started_ns);
    gw_meter_write(a->conf.meter, &how, &out);
    respond(s, 200, "text/plain; version=0.0.4; charset=utf-8", gw_buf_slice(&out));
    gw_buf_clear(&out);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    (void)h;
    (void)s;
    (void)chunk;
}

static void on_stream(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)h;
    (void)s;
}

/* "service.name" is service_name in Prometheus. */
static void add_label(struct gw_admin *a, const char *key, const char *value)
{
    char *k = strdup(key);

    if (!k || a->n_labels == MAX_LABELS) {
        free(k);
        return;
    }
    for (char *c = k; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    a->labels[a->n_labels++] = (struct gw_label){k, value};
}

static void make_labels(struct gw_admin *a)
{
    const struct gw_map *m = &a->conf.telemetry->resource;
    bool has_id = a->conf.telemetry->no_instance_id;
    uint64_t hi = gw_random_u64(a->conf.env), lo = gw_random_u64(a->conf.env);

    for (size_t i = 0; i < m->n; i++) {
        add_label(a, m->entries[i].key, m->entries[i].value);
        has_id |= strcmp(m->entries[i].key, "service.instance.id") == 0;
    }
    if (has_id)
        return;
    (void)snprintf(a->instance_id, sizeof(a->instance_id), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(hi >> 32),
                   (unsigned)(hi >> 16 & 0xffff), (unsigned)(hi & 0xfff), (unsigned)(lo >> 48 & 0x3fff) | 0x8000u,
                   (unsigned long long)(lo & 0xffffffffffff));
    add_label(a, "service.instance.id", a->instance_id);
}

int gw_admin_new(const struct gw_admin_conf *conf, struct gw_admin **ret, struct gw_err *err)
{
    const struct gw_telemetry *t = conf->telemetry;
    struct gw_hs_conf hs = {
        .transport = "tcp",
        .protocols = GW_HS_HTTP1,
        .max_header_bytes = 16384,
        .max_headers = 100,
        .max_connections = 64,
        .header_timeout_ns = 10000000000u,
        .body_idle_timeout_ns = 10000000000u,
        .idle_timeout_ns = 120000000000u,
        .write_timeout_ns = 30000000000u,
        .keep_alives = true,
        .logger = conf->logger,
    };
    struct gw_admin *a;
    int rc;

    *ret = NULL;
    if (t->metrics_level == GW_LEVEL_NONE || !t->metrics_on)
        return 0;
    a = calloc(1, sizeof(*a));
    if (!a)
        return gw_fail(err, -ENOMEM, "out of memory");
    a->conf = *conf;
    a->handler = (struct gw_hs_handler){.head = on_head, .body = on_body, .end = on_stream, .gone = on_stream};
    (void)snprintf(a->endpoint, sizeof(a->endpoint), strchr(t->metrics_host, ':') ? "[%s]:%u" : "%s:%u",
                   t->metrics_host, t->metrics_port);
    hs.endpoint = a->endpoint;
    make_labels(a);
    rc = gw_hs_group_new(conf->env, &hs, &a->group, err);
    if (rc == 0)
        rc = gw_hs_server_new(a->group, conf->loop, &a->handler, &a->server, err);
    if (rc < 0) {
        gw_admin_free(a);
        return rc;
    }
    if (t->metrics_port == 0)
        (void)snprintf(a->endpoint, sizeof(a->endpoint), "%s:%u", t->metrics_host, gw_hs_group_port(a->group));
    *ret = a;
    return 0;
}

void gw_admin_free(struct gw_admin *a)
{
    if (!a)
        return;
    if (a->server)
        gw_hs_server_free(a->server);
    if (a->group)
        gw_hs_group_free(a->group);
    for (unsigned i = 0; i < a->n_labels; i++)
        free((void *)(uintptr_t)a->labels[i].key);
    free(a);
}

const char *gw_admin_endpoint(const struct gw_admin *a)
{
    return a ? a->endpoint : "";
}
