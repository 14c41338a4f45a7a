/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/admin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_server.h"
#include "runtime/ledger.h"

enum { MAX_LABELS = 64, MAX_SCRAPE_BYTES = 32 << 20 };
#define PICTURE_NS 2000000000u

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

/* ---- what is asked ---------------------------------------------------------------------------------------- */

enum page { PAGE_METRICS, PAGE_JSON, PAGE_TABLE, N_PAGES };
static const char *const paths[N_PAGES] = {"/metrics", "/ledger", "/ledger/table"};

/* A request that waits for a picture. */
struct visit {
    struct gw_ledger_wait wait;
    struct gw_timer timer;
    struct gw_admin *admin;
    struct gw_hs_stream *stream;
    enum page page;
    bool asked;
};

static void put_metrics(struct gw_admin *a, struct gw_buf *out)
{
    const struct gw_exposition how = {
        .type_suffix = !a->conf.telemetry->without_type_suffix,
        .scope_info = !a->conf.telemetry->without_scope_info,
        .constant = a->labels,
        .n_constant = a->n_labels,
    };

    gw_process_metrics(a->conf.env, a->conf.meter, a->conf.started_ns);
    gw_meter_write(a->conf.meter, &how, out);
}

/* p NULL: there is no picture, or not in time. */
static void answer(struct visit *v, const struct gw_picture *p)
{
    struct gw_admin *a = v->admin;
    struct gw_buf out;

    gw_buf_init(&out, MAX_SCRAPE_BYTES);
    if (v->page == PAGE_METRICS) {
        if (p)
            gw_picture_metrics(p, a->conf.meter);
        put_metrics(a, &out);
        respond(v->stream, 200, "text/plain; version=0.0.4; charset=utf-8", gw_buf_slice(&out));
    } else if (!p) {
        respond(v->stream, 503, "text/plain; charset=utf-8", GW_SLICE("an exporter did not answer in time\n"));
    } else if (v->page == PAGE_JSON) {
        gw_picture_json(p, &out);
        respond(v->stream, 200, "application/json", gw_buf_slice(&out));
    } else {
        gw_picture_table(p, &out);
        respond(v->stream, 200, "text/plain; charset=utf-8", gw_buf_slice(&out));
    }
    gw_buf_clear(&out);
}

static void on_picture(struct gw_ledger_wait *w, struct gw_picture *p)
{
    struct visit *v = (struct visit *)w;

    v->asked = false;
    gw_timer_disarm(&v->timer);
    answer(v, p); /* may end in on_gone */
    gw_picture_free(p);
}

static void stop_waiting(struct visit *v)
{
    if (v->asked)
        gw_ledger_forget(v->admin->conf.engine, &v->wait);
    v->asked = false;
    gw_timer_disarm(&v->timer);
}

static void on_late(struct gw_timer *t)
{
    struct visit *v = (struct visit *)((char *)t - offsetof(struct visit, timer));

    stop_waiting(v);
    answer(v, NULL);
}

static void begin(struct gw_admin *a, struct gw_hs_stream *s, enum page page)
{
    struct visit *v = calloc(1, sizeof(*v));

    if (!v) {
        respond(s, 503, "text/plain; charset=utf-8", GW_SLICE("out of memory\n"));
        return;
    }
    *v = (struct visit){.wait.done = on_picture, .timer.fire = on_late, .admin = a, .stream = s, .page = page};
    gw_hs_set_user(s, v);
    if (!a->conf.engine) {
        answer(v, NULL);
        return;
    }
    gw_timer_arm(a->conf.loop, &v->timer, gw_loop_now_ns(a->conf.loop) + PICTURE_NS);
    v->asked = true;
    if (gw_ledger_ask(a->conf.engine, &v->wait) < 0) {
        v->asked = false;
        gw_timer_disarm(&v->timer);
        answer(v, NULL);
    }
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *head)
{
    enum page page = PAGE_METRICS;

    while (page < N_PAGES && !gw_slice_is(head->path, paths[page]))
        page++;
    if (page == N_PAGES)
        respond(s, 404, "text/plain; charset=utf-8", GW_SLICE("self-metrics are at /metrics, the books at /ledger\n"));
    else if (!gw_slice_is(head->method, "GET") && !gw_slice_is(head->method, "HEAD"))
        respond(s, 405, "text/plain; charset=utf-8", GW_SLICE("GET only\n"));
    else
        begin((struct gw_admin *)h, s, page);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    (void)h;
    (void)s;
    (void)chunk;
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)h;
    (void)s;
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct visit *v = gw_hs_user(s);

    (void)h;
    if (!v)
        return;
    stop_waiting(v);
    free(v);
}

/* ---- target_info ------------------------------------------------------------------------------------------ */

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
    a->handler = (struct gw_hs_handler){.head = on_head, .body = on_body, .end = on_end, .gone = on_gone};
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
