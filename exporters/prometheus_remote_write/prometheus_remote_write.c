/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus_remote_write: metrics as series of Prometheus, by remote write 1.0 or 2.0.
 *
 *     exporters:
 *       prometheus_remote_write:
 *         endpoint: http://prometheus:9090/api/v1/write
 *         protobuf_message: io.prometheus.write.v2.Request
 *         external_labels: { cluster: eu }
 *
 * What becomes of a request: 2xx is written, and what the server says it has left out of it is counted; 429, 5xx and a
 * broken connection are tried again, not before Retry-After, while other shards go on; a refusal that is about a
 * sample (400, or the same 500 again and again) is traced to that sample, which becomes a dead letter, and the others
 * are sent; 413 is split; everything else is for good. 2.0 that the server does not understand (415, or a success
 * without the Written headers) is written as 1.0 from then on. A redirect is never followed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/prometheus_remote_write/rw.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum { ARENA_CHUNK_BYTES = 16 << 10, ARENA_MAX_BYTES = 64 << 20 };

/* ---- self-metrics -------------------------------------------------------------------------------------------------
 */

static struct gw_metric *counter(const struct gw_rw *s, const char *endpoint, const char *name, const char *help)
{
    const struct gw_label labels[] = {{"exporter", s->ctx->id}, {"endpoint", endpoint}};

    return gw_meter_get(s->ctx->meter, GW_COUNTER, name, help, labels, 2);
}

static struct gw_metric *outcome(const struct gw_rw *s, const char *endpoint, const char *which)
{
    const struct gw_label labels[] = {{"component", s->ctx->id}, {"endpoint", endpoint}, {"outcome", which}};

    return gw_meter_get(s->ctx->meter, GW_COUNTER, "staunch_endpoint_requests",
                        "Requests to one endpoint of an exporter: answered, or failed (no answer, 5xx).", labels, 3);
}

static struct gw_metric *gauge(const struct gw_rw *s, const char *name, const char *help)
{
    const struct gw_label both[] = {{"data_type", "metrics"}, {"exporter", s->ctx->id}};

    return gw_meter_get(s->ctx->meter, GW_GAUGE, name, help, both, 2);
}

static void open_metrics(struct gw_rw *s)
{
    const char *endpoint = s->endpoint;
    const struct gw_label labels[] = {{"exporter", s->ctx->id}, {"endpoint", endpoint}};
    struct gw_rw_metrics *m = &s->metrics;

#define COUNTER(name, help) counter(s, endpoint, "otelcol_exporter_prometheusremotewrite_" name, help)
    m->failed_translations = COUNTER("failed_translations", "Bodies of which some points could not be translated.");
    m->translated = COUNTER("translated_time_series", "Time series that points were translated to.");
    m->sent_batches = COUNTER("sent_batches", "Requests that were sent, whatever became of them.");
    m->written_samples = COUNTER("written_samples", "Samples that the server says it has written (2.0).");
    m->written_histograms = COUNTER("written_histograms", "Histograms that the server says it has written (2.0).");
    m->written_exemplars = COUNTER("written_exemplars", "Exemplars that the server says it has written (2.0).");
#undef COUNTER
    m->consumers = gw_meter_get(s->ctx->meter, GW_GAUGE, "otelcol_exporter_prometheusremotewrite_consumers",
                                "Requests that may be under way at once.", labels, 2);
    gw_metric_set(m->consumers, s->options.n_shards);
    m->unwritten = counter(s, endpoint, "staunch_exporter_unwritten_points",
                           "Samples and histograms of requests that were taken, but not written, without a reason.");
    m->refused = counter(s, endpoint, "staunch_exporter_refused_points",
                         "Samples and histograms that the server did not want; their points are dead letters.");
    if (s->conf->adapts) {
        m->limit = gauge(s, "staunch_exporter_concurrency_limit", "Attempts that may be with the sink at once.");
        m->in_flight = gauge(s, "staunch_exporter_concurrency_in_flight", "Attempts that are with the sink now.");
        gw_metric_set(m->limit, gw_limit_get(&s->limit));
    }
    m->answered = outcome(s, endpoint, "answered");
    m->failed = outcome(s, endpoint, "failed");
}

/* ---- life -----------------------------------------------------------------------------------------------------------
 */

static void destroy(void *self)
{
    struct gw_rw *s = self;

    if (!s)
        return;
    gw_rw_jobs_clear(s);
    gw_rw_shards_close(s);
    gw_rw_translator_free(s->translator);
    (void)gw_batch_unref(s->batch);
    gw_arena_clear(&s->arena);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_rw *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = ctx;
    s->speaks = gw_rw_version(s->conf);
    s->options = gw_rw_options_of(s->conf);
    s->options.seed = gw_random_u64(ctx->env);
    s->limit_bytes = s->options.max_request_bytes;
    gw_shown_endpoint(gw_rw_http(s->conf)->endpoint, s->endpoint, sizeof(s->endpoint));
    gw_arena_init(&s->arena, ARENA_CHUNK_BYTES, ARENA_MAX_BYTES);
    gw_buf_init(&s->scratch, GW_RW_MAX_BODY_BYTES);
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct gw_rw *s = self;
    struct gw_auth auth;

    return gw_auth_find(s->ctx, &gw_rw_http(s->conf)->auth, &auth, err);
}

static int rw_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct gw_rw *s = self;
    int r = gw_poster_open(&s->poster, s->ctx, gw_rw_http(s->conf), loop, GW_RW_MAX_ANSWER_BYTES, err);

    s->loop = loop;
    if (r == 0)
        r = gw_rw_shards_open(s, err);
    if (r == 0 && gw_rw_translator_new(&s->options, &s->translator) < 0)
        r = gw_fail(err, -ENOMEM, "out of memory");
    if (r == 0 && s->ctx->meter)
        open_metrics(s);
    return r;
}

static void rw_send(void *self, struct gw_attempt *a)
{
    gw_rw_job_start(self, a);
}

static void rw_cancel(void *self, struct gw_attempt *a)
{
    if (a->impl)
        gw_rw_shards_cancel(self, a->impl);
}

static void rw_hurry(void *self, uint64_t pause_ns)
{
    gw_rw_shards_hurry(self, pause_ns);
}

static void rw_close(void *self)
{
    struct gw_rw *s = self;

    gw_poster_close(&s->poster);
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5ull * 1000000000,
    .own_tries = true,
    .queue_defaults = gw_rw_queue_defaults,
    .queue_adjust = gw_rw_queue_adjust,
    .queue_seen = gw_rw_queue_seen,
    .open = rw_open,
    .send = rw_send,
    .cancel = rw_cancel,
    .hurry = rw_hurry,
    .close = rw_close,
};

static const char *const aliases[] = {"prometheusremotewrite", NULL};

const struct gw_component gw_exporter_prometheus_remote_write = {
    .kind = GW_EXPORTER,
    .name = "prometheus_remote_write",
    .aliases = aliases,
    .summary = "Send metrics by Prometheus remote write 1.0 or 2.0.",
    .signals = GW_METRICS,
    .fields = gw_rw_fields,
    .conf_size = sizeof(struct gw_rw_conf),
    .check = gw_rw_check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .exporter = &ops,
};
