/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_exporter.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "config/yaml.h"
#include "core/logger.h"
#include "queue/settings.h"

static struct gw_rig *rig; /* there is one at a time */

static char *text_of(struct gw_slice s)
{
    char *p = malloc(s.n + 1);

    if (!p) /* a test makes one allocation fail: it is not meant for this one */
        p = malloc(s.n + 1);
    assert_non_null(p);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

/* A body in parts has no place of its own. */
static char *text_of_body(struct gw_slice body, const struct gw_slice *parts, uint32_t n_parts)
{
    size_t n = 0;
    char *p;

    if (!parts)
        return text_of(body);
    assert_null(body.p);
    p = malloc(body.n + 1);
    assert_non_null(p);
    for (uint32_t i = 0; i < n_parts; n += parts[i++].n)
        memcpy(p + n, parts[i].p, parts[i].n);
    assert_int_equal(n, body.n);
    p[n] = '\0';
    return p;
}

static char *headers_of(const struct gw_header *h, unsigned n)
{
    struct gw_buf b;
    size_t len;

    gw_buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < n; i++)
        gw_buf_printf(&b, "%.*s: %.*s\n", (int)h[i].name.n, (const char *)h[i].name.p, (int)h[i].value.n,
                      (const char *)h[i].value.p);
    gw_buf_put_u8(&b, '\0');
    return (char *)gw_buf_take(&b, &len);
}

static struct gw_rig_sent *sent_new(void *what)
{
    struct gw_rig_sent *s = &rig->sent[rig->n_sent];

    assert_in_range(rig->n_sent, 0, GW_RIG_MAX - 1);
    rig->n_sent++;
    *s = (struct gw_rig_sent){.what = what};
    return s;
}

static struct gw_rig_sent *sent_find(const void *what)
{
    for (unsigned i = 0; i < rig->n_sent; i++)
        if (rig->sent[i].what == what && !rig->sent[i].answered)
            return &rig->sent[i];
    fail_msg("cancel of something that is not under way");
    return NULL;
}

static void keep_conf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void keep_conf(const char *fmt, ...)
{
    char line[8192];
    va_list ap;
    size_t n = rig->client_conf ? strlen(rig->client_conf) : 0;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    rig->client_conf = realloc(rig->client_conf, n + strlen(line) + 2);
    assert_non_null(rig->client_conf);
    sprintf(rig->client_conf + n, "%s\n", line);
}

static void keep_tls(const struct gw_client_tls *t)
{
    keep_conf("insecure=%d", t->insecure);
    keep_conf("insecure_skip_verify=%d", t->insecure_skip_verify);
    keep_conf("ca_file=%s", t->ca_file);
    keep_conf("ca_pem=%s", t->ca_pem);
    keep_conf("cert_pem=%s", t->cert_pem);
    keep_conf("key_pem=%s", t->key_pem);
    keep_conf("cert_file=%s", t->cert_file);
    keep_conf("key_file=%s", t->key_file);
    keep_conf("server_name_override=%s", t->server_name_override);
    keep_conf("min_version=%s", t->min_version);
    keep_conf("max_version=%s", t->max_version);
    keep_conf("system_ca=%d", t->include_system_ca_certs_pool);
    keep_conf("reload_ms=%llu", (unsigned long long)(t->reload_interval_ns / 1000000));
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------ */

static void http_send(struct gw_http_client *c, struct gw_http_request *rq)
{
    struct gw_rig_sent *s = sent_new(rq);

    (void)c;
    s->method = strdup(rq->method);
    s->url = strdup(rq->url);
    s->headers = headers_of(rq->headers, rq->n_headers);
    s->body = (uint8_t *)text_of_body(rq->body, rq->parts, rq->n_parts);
    s->n_body = rq->body.n;
    s->timeout_ns = rq->timeout_ns;
}

static void http_cancel(struct gw_http_client *c, struct gw_http_request *rq)
{
    (void)c;
    sent_find(rq)->cancelled = true;
}

static void http_free(struct gw_http_client *c)
{
    free(c);
}

static const struct gw_http_client_ops http_ops = {http_send, http_cancel, http_free};

static int http_new(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                    struct gw_http_client **ret, struct gw_err *err)
{
    (void)env, (void)loop, (void)err;
    *ret = calloc(1, sizeof(**ret));
    (*ret)->ops = &http_ops;
    keep_tls(&conf->tls);
    keep_conf("proxy_url=%s", conf->proxy_url);
    keep_conf("user_agent=%s", conf->user_agent);
    keep_conf("max_conns_per_host=%u", conf->max_conns_per_host);
    keep_conf("max_idle_conns=%u", conf->max_idle_conns);
    keep_conf("idle_conn_timeout_ms=%llu", (unsigned long long)(conf->idle_conn_timeout_ns / 1000000));
    keep_conf("disable_keep_alives=%d", conf->disable_keep_alives);
    keep_conf("http1_only=%d", conf->http1_only);
    keep_conf("cookies=%d", conf->cookies);
    keep_conf("max_response_bytes=%zu", conf->max_response_bytes);
    keep_conf("read_buffer_bytes=%zu", conf->read_buffer_bytes);
    keep_conf("write_buffer_bytes=%zu", conf->write_buffer_bytes);
    return 0;
}

void gw_rig_http(struct gw_rig *r, unsigned i, int status, const char *headers, struct gw_slice body)
{
    struct gw_http_request *rq = gw_rig_sent(r, i)->what;
    struct gw_header h[8];
    char *copy = strdup(headers ? headers : ""), *save = NULL;
    unsigned n = 0;

    r->sent[i].answered = true;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strchr(line, ':');

        *colon = '\0';
        h[n++] = (struct gw_header){gw_slice_cstr(line), gw_slice_cstr(colon + 2)};
    }
    rq->done(rq, &(struct gw_http_response){.status = status, .body = body, .headers = h, .n_headers = n});
    free(copy);
}

void gw_rig_http_fail(struct gw_rig *r, unsigned i, enum gw_http_failure failure, const char *error)
{
    struct gw_http_request *rq = gw_rig_sent(r, i)->what;

    r->sent[i].answered = true;
    rq->done(rq, &(struct gw_http_response){.failure = failure, .error = error});
}

/* ---- Kafka ------------------------------------------------------------------------------------------------------ */

static void produce(struct gw_producer *p, struct gw_produce *const *m, unsigned n)
{
    (void)p;
    for (unsigned i = 0; i < n; i++) {
        struct gw_rig_sent *s = sent_new(m[i]);

        s->url = text_of(m[i]->topic);
        s->headers = headers_of(m[i]->headers, m[i]->n_headers);
        s->body = (uint8_t *)text_of(m[i]->value);
        s->n_body = m[i]->value.n;
        s->key = (uint8_t *)text_of(m[i]->key);
        s->n_key = m[i]->key.n;
        s->has_key = m[i]->has_key;
        s->partition = m[i]->partition;
    }
}

static int partitions(struct gw_producer *p, const char *topic)
{
    (void)p, (void)topic;
    return rig->partitions;
}

static void flush(struct gw_producer *p, uint64_t timeout_ns)
{
    (void)p, (void)timeout_ns;
}

static void purge(struct gw_producer *p)
{
    (void)p;
    rig->purges++;
}

static void producer_free(struct gw_producer *p)
{
    free(p);
}

static const struct gw_producer_ops producer_ops = {produce, partitions, flush, purge, producer_free};

static int producer_new(struct gw_env *env, struct gw_loop *loop, const struct gw_producer_conf *conf,
                        struct gw_producer **ret, struct gw_err *err)
{
    (void)env, (void)loop;
    if (rig->no_producer)
        return gw_fail(err, -EINVAL, "no such file");
    *ret = calloc(1, sizeof(**ret));
    (*ret)->ops = &producer_ops;
    free(rig->client_conf);
    rig->client_conf = NULL;
    for (unsigned i = 0; i < conf->n_options; i++)
        keep_conf("%s=%s", conf->options[i].key, conf->options[i].value);
    rig->producers++;
    rig->token = conf->token;
    rig->token_arg = conf->token_arg;
    rig->trouble = conf->trouble;
    rig->trouble_arg = conf->trouble_arg;
    return 0;
}

void gw_rig_produced(struct gw_rig *r, unsigned i, enum gw_produce_code code, const char *error)
{
    struct gw_produce *m = gw_rig_sent(r, i)->what;

    assert_false(r->sent[i].answered);
    r->sent[i].answered = true;
    m->done(m, &(struct gw_produce_result){.code = code, .error = error});
}

/* ---- gRPC --------------------------------------------------------------------------------------------------- */

static void rpc_call(struct gw_rpc_client *c, struct gw_rpc_request *rq)
{
    struct gw_rig_sent *s = sent_new(rq);

    (void)c;
    s->method = strdup(rq->method);
    s->headers = headers_of(rq->headers, rq->n_headers);
    s->body = (uint8_t *)text_of_body(rq->message, rq->parts, rq->n_parts);
    s->n_body = rq->message.n;
    s->encoding = strdup(rq->encoding ? rq->encoding : "identity");
    s->timeout_ns = rq->timeout_ns;
}

static void rpc_cancel(struct gw_rpc_client *c, struct gw_rpc_request *rq)
{
    (void)c;
    sent_find(rq)->cancelled = true;
}

static void rpc_free(struct gw_rpc_client *c)
{
    free(c);
}

static const struct gw_rpc_client_ops rpc_ops = {rpc_call, rpc_cancel, rpc_free};

static int rpc_new(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                   struct gw_rpc_client **ret, struct gw_err *err)
{
    (void)env, (void)loop, (void)err;
    *ret = calloc(1, sizeof(**ret));
    (*ret)->ops = &rpc_ops;
    keep_tls(&conf->tls);
    keep_conf("target=%s", conf->target);
    keep_conf("authority=%s", conf->authority);
    keep_conf("user_agent=%s", conf->user_agent);
    keep_conf("load_balancing=%s", conf->load_balancing);
    keep_conf("keepalive_time_ms=%llu", (unsigned long long)(conf->keepalive_time_ns / 1000000));
    keep_conf("keepalive_timeout_ms=%llu", (unsigned long long)(conf->keepalive_timeout_ns / 1000000));
    keep_conf("keepalive_without_calls=%d", conf->keepalive_without_calls);
    keep_conf("wait_for_ready=%d", conf->wait_for_ready);
    keep_conf("any_encoding=%d", conf->any_encoding);
    keep_conf("max_response_bytes=%zu", conf->max_response_bytes);
    return 0;
}

void gw_rig_called(struct gw_rig *r, unsigned i, int status, const char *message, struct gw_slice reply,
                   struct gw_slice details)
{
    struct gw_rpc_request *rq = gw_rig_sent(r, i)->what;

    r->sent[i].answered = true;
    rq->done(rq, &(struct gw_rpc_response){
                     .status = status, .message = gw_slice_cstr(message), .reply = reply, .status_details = details});
}

/* ---- the environment, an authenticator ---------------------------------------------------------------------- */

static uint64_t mono_ns(struct gw_env *env)
{
    (void)env;
    return rig->mono_ns;
}

static uint64_t wall_ns(struct gw_env *env)
{
    (void)env;
    return rig->wall_ns;
}

static void log_write(struct gw_env *env, const char *line, size_t n)
{
    size_t have = strlen(rig->log);

    (void)env;
    snprintf(rig->log + have, sizeof(rig->log) - have, "%.*s", (int)n, line);
}

static int auth_header(void *self, const char **ret_name, struct gw_buf *out, struct gw_err *err)
{
    const char *id = self;

    if (strcmp(id, "bearertokenauth/broken") == 0)
        return gw_fail(err, -EACCES, "no token");
    *ret_name = "authorization";
    gw_buf_put_str(out, rig->bearer);
    return 0;
}

static const struct gw_auth_ops auth_ops = {.header = auth_header}, server_only;

static int auth_of(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err)
{
    (void)h;
    if (strncmp(id, "bearertokenauth", 15) == 0)
        *ret = (struct gw_auth){&auth_ops, (void *)id};
    else if (strcmp(id, "basicauth/server") == 0)
        *ret = (struct gw_auth){&server_only, NULL};
    else
        return gw_fail(err, -ENOENT, "there is no extension \"%s\"", id);
    return 0;
}

static const struct gw_host_ops host_ops = {.auth = auth_of};

/* ---- the rig ------------------------------------------------------------------------------------------------ */

static void rig_new(struct gw_rig *r)
{
    struct gw_env_ops *ops;

    memset(r, 0, sizeof(*r));
    rig = r;
    r->mono_ns = 1000000000;
    r->wall_ns = 1700000000ull * 1000000000; /* Tue, 14 Nov 2023 22:13:20 GMT */
    r->partitions = -EAGAIN;
    r->bearer = "Bearer secret-token";
    r->env = gw_env_real_new();
    ops = gw_env_real_ops(r->env);
    ops->mono_ns = mono_ns;
    ops->wall_ns = wall_ns;
    ops->log_write = log_write;
    ops->http_client_new = http_new;
    ops->producer_new = producer_new;
    ops->rpc_client_new = rpc_new;
    assert_int_equal(gw_loop_new(r->env, &r->loop, NULL), 0);
    r->sink = (struct gw_log_sink){.env = r->env, .level = GW_LOG_INFO};
    r->host.ops = &host_ops;
    gw_arena_init(&r->arena, 16384, 64 << 20);
    gw_diag_init(&r->diag);
}

int gw_rig_configure(struct gw_rig *r, const char *name, const char *yaml)
{
    const struct gw_node *node;
    struct gw_buf text;
    bool old;

    rig_new(r);
    r->component = gw_component_find(GW_EXPORTER, gw_slice_cstr(name), &old);
    assert_non_null(r->component);
    node = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &r->arena, &r->diag);
    assert_non_null(node);
    r->conf = calloc(1, r->component->conf_size);
    {
        struct gw_settings tables[] = {
            {.fields = r->component->fields, .conf_size = r->component->conf_size, .conf = r->conf},
            {.fields = gw_queue_fields,
             .conf_size = sizeof(r->queue),
             .conf = &r->queue,
             .adjust = gw_queue_extra.adjust,
             .arg = r->component->exporter},
        };

        gw_schema_fill_tables(tables, 2, node, &r->arena, &r->diag);
    }
    if (!r->diag.n_errors)
        gw_queue_extra.finish(&r->queue, r->component->exporter, r->conf, node, &r->diag);
    if (r->component->check && !r->diag.n_errors)
        r->component->check(r->conf, node, &r->diag);
    gw_buf_init(&text, sizeof(r->said));
    gw_diag_write(&r->diag, &text);
    snprintf(r->said, sizeof(r->said), "%.*s", (int)text.n, text.p ? (const char *)text.p : "");
    gw_buf_clear(&text);
    r->a.timeout_ns = r->queue.timeout_ns;
    return r->diag.n_errors ? -EINVAL : 0;
}

int gw_rig_start(struct gw_rig *r)
{
    int e;

    r->ctx = (struct gw_ctx){.env = r->env,
                             .id = r->component->name,
                             .logger = {.sink = &r->sink, .kind = "exporter", .id = r->component->name},
                             .n_workers = 1,
                             .meter = r->meter,
                             .host = &r->host};
    e = r->component->create(&r->self, &r->ctx, r->conf, &r->err);
    if (e == 0 && r->component->start)
        e = r->component->start(r->self, &r->err);
    if (e == 0 && r->component->exporter->open)
        e = r->component->exporter->open(r->self, r->loop, &r->err);
    return e;
}

void gw_rig_open(struct gw_rig *r, const char *name, const char *yaml)
{
    if (gw_rig_configure(r, name, yaml) < 0)
        fail_msg("%s", r->said);
    if (gw_rig_start(r) < 0)
        fail_msg("%s", r->err.text);
}

static void on_done(struct gw_attempt *a, const struct gw_sent_info *info)
{
    (void)a;
    rig->done++;
    rig->info = *info;
    snprintf(rig->reason, sizeof(rig->reason), "%s", info->reason ? info->reason : "");
    snprintf(rig->message, sizeof(rig->message), "%s", info->message ? info->message : "");
    free(rig->left);
    rig->left = NULL;
    rig->left_bits = info->left_bits ? info->left_bits[0] : 0;
    rig->info.left_bits = NULL;
    if (info->left.n) {
        rig->left = (uint8_t *)text_of(info->left);
        rig->info.left.p = rig->left;
    }
}

static void on_dead(struct gw_attempt *a, const struct gw_death *death)
{
    struct gw_rig_dead *d = &rig->dead[rig->n_dead++];

    d->body = (uint8_t *)text_of(death->body);
    d->n_body = death->body.n;
    d->rows = death->rows;
    rig->dead_bits = death->bits ? death->bits[0] : 0;
    d->code = death->code;
    snprintf(d->class_, sizeof(d->class_), "%s", death->class_);
    snprintf(d->reason, sizeof(d->reason), "%s", death->reason);
    snprintf(d->message, sizeof(d->message), "%s", death->message ? death->message : "");
    if (rig->component->exporter->own_tries)
        a->rows -= death->rows;
}

static bool on_again(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret_pause_ns)
{
    (void)a;
    if (info->untried) {
        rig->n_untried++;
        t->last_try = rig->out_of_time;
        t->over = "breaker_open";
        *ret_pause_ns = rig->out_of_time ? 0 : info->retry_after_ns;
        return !rig->waited_for;
    }
    t->last_try = false;
    rig->n_again++;
    t->failures++;
    t->wished = info->retry_after_ns > 0;
    t->over = "retry_exhausted";
    *ret_pause_ns = info->retry_after_ns ? info->retry_after_ns : rig->pause_ns ? rig->pause_ns : 1000000000;
    return rig->most_failures == 0 || t->failures <= rig->most_failures;
}

static void forget(struct gw_rig *r)
{
    for (unsigned i = 0; i < r->n_sent; i++) {
        struct gw_rig_sent *s = &r->sent[i];

        free(s->method);
        free(s->url);
        free(s->headers);
        free(s->encoding);
        free(s->body);
        free(s->key);
    }
    for (unsigned i = 0; i < r->n_dead; i++)
        free(r->dead[i].body);
    r->n_sent = r->n_dead = 0;
    r->taken_bits = r->dead_bits = r->left_bits = 0;
    free(r->left);
    r->left = NULL;
}

static void on_taken(struct gw_attempt *a, const uint64_t *bits)
{
    (void)a;
    rig->taken_bits = bits[0];
}

static bool row_name(struct gw_attempt *a, uint32_t row, uint64_t ret[4])
{
    (void)a;
    if (!rig->on_disk)
        return false;
    ret[0] = ret[1] = ret[2] = 1;
    ret[3] = row;
    return true;
}

void gw_rig_send(struct gw_rig *r, enum gw_signal signal, struct gw_slice body, uint32_t rows)
{
    gw_rig_send_rope(r, signal, gw_rope_of(&body), rows);
}

void gw_rig_send_rope(struct gw_rig *r, enum gw_signal signal, struct gw_rope body, uint32_t rows)
{
    const struct gw_meta *meta = r->a.meta;
    uint64_t timeout_ns = r->a.timeout_ns;

    forget(r);
    r->done = 0;
    r->a = (struct gw_attempt){.signal = signal,
                               .body = body.n_parts == 1 ? body.parts[0] : gw_slice_of(NULL, body.n),
                               .parts = body.n_parts > 1 ? body.parts : NULL,
                               .n_parts = body.n_parts > 1 ? body.n_parts : 0,
                               .rows = rows,
                               .number = 1,
                               .timeout_ns = timeout_ns,
                               .meta = meta,
                               .done = on_done,
                               .dead = on_dead,
                               .taken = on_taken,
                               .row_name = row_name,
                               .again = on_again};
    r->component->exporter->send(r->self, &r->a);
}

struct gw_rig_sent *gw_rig_sent(struct gw_rig *r, unsigned i)
{
    if (i >= r->n_sent)
        fail_msg("only %u were sent, after: %s %s", r->n_sent, r->reason, r->message);
    return &r->sent[i];
}

static const char *line_value(const char *text, const char *name, const char *sep)
{
    static char value[8192];
    size_t n = strlen(name);

    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncasecmp(line, name, n) == 0 && strncmp(line + n, sep, strlen(sep)) == 0) {
            const char *v = line + n + strlen(sep);

            snprintf(value, sizeof(value), "%.*s", (int)strcspn(v, "\n"), v);
            return value;
        }
    return NULL;
}

const char *gw_rig_header(const struct gw_rig_sent *s, const char *name)
{
    return line_value(s->headers, name, ": ");
}

const char *gw_rig_conf(const struct gw_rig *r, const char *key)
{
    return line_value(r->client_conf, key, "=");
}

void gw_rig_close(struct gw_rig *r)
{
    if (r->self && r->component->exporter->close)
        r->component->exporter->close(r->self);
    if (r->component->destroy)
        r->component->destroy(r->self);
    forget(r);
    free(r->client_conf);
    free(r->conf);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->arena);
    gw_loop_free(r->loop);
    gw_env_real_free(r->env);
}
