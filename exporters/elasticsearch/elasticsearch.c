/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elasticsearch: logs, spans and metrics as documents of Elasticsearch or OpenSearch, by the _bulk API.
 *
 *     exporters:
 *       elasticsearch:
 *         endpoints: [https://es-0:9200, https://es-1:9200]
 *         api_key: ${env:ES_API_KEY}
 *         document_id: record
 *         remedies: [{field: attributes.*, action: stringify}]
 *
 * Every document's own result is read, and settles the rows that it is made of: delivered, sent again, or a dead letter
 * with the server's type and reason. Documents look as the Collector writes them (docs.h); how requests go is in
 * bulk.h.
 */
#include <stdlib.h>

#include "core/hash.h"
#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"
#include "pipeline/queue_settings.h"

enum { ARENA_CHUNK_BYTES = 64 << 10, ARENA_MAX_BYTES = 64 << 20 };

/* ---- attempts ----------------------------------------------------------------------------------------------- */

static void es_send(void *self, struct gw_attempt *a)
{
    gw_es_job_start(self, a);
}

static void es_cancel(void *self, struct gw_attempt *a)
{
    (void)self;
    if (a->impl)
        gw_es_job_stop(a->impl);
}

static void es_hurry(void *self, uint64_t pause_ns)
{
    struct gw_es *s = self;
    uint64_t now = gw_mono_ns(s->ctx->env), soon = now + pause_ns;

    gw_es_nodes_hurry(&s->nodes, now, pause_ns);
    for (struct gw_es_job *j = s->jobs; j; j = j->next) {
        const struct gw_tries *t = j->n_ranges ? &gw_es_range_last(j)->tries : &j->carried;

        if (gw_timer_is_armed(&j->timer) && !t->wished && j->timer.due_ns > soon)
            gw_timer_arm(s->loop, &j->timer, soon);
    }
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct gw_es *s = self;

    if (!s)
        return;
    gw_es_jobs_free(s);
    gw_es_writer_free(s->writer);
    gw_es_nodes_clear(&s->nodes);
    gw_arena_clear(&s->arena);
    if (s->batch)
        (void)gw_batch_unref(s->batch);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_es *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = ctx;
    s->gateway = gw_random_u64(ctx->env);
    s->request_bytes = s->conf->max_request_bytes;
    s->stop_timer.fire = gw_es_on_stop_timer;
    gw_arena_init(&s->arena, ARENA_CHUNK_BYTES, ARENA_MAX_BYTES);
    gw_es_meters_init(&s->meters, ctx, &s->conf->metadata_keys);
    gw_es_statuses_of(&s->conf->retry.on_status, &s->on_status);
    gw_es_statuses_of(s->conf->retry.on_document_status.n ? &s->conf->retry.on_document_status
                                                          : &s->conf->retry.on_status,
                      &s->on_document_status);
    gw_es_options_of(s->conf, &s->options);
    s->options.exporter = gw_hash_stable(gw_slice_cstr(ctx->id));
    s->options.no_dynamic_templates = true; /* until the server is known */
    r = gw_es_nodes_init(&s->nodes, s->conf, ctx, err);
    if (r == 0 && gw_es_writer_new(&s->options, &s->writer) < 0)
        r = gw_fail(err, -ENOMEM, "out of memory");
    if (r < 0)
        destroy(s);
    else
        *ret_self = s;
    return r;
}

static struct gw_metric *gauge(const struct gw_es *s, const char *name, const char *help)
{
    const struct gw_label label = {"exporter", s->ctx->id};

    return gw_meter_get(s->ctx->meter, GW_GAUGE, name, help, &label, 1);
}

static void open_metrics(struct gw_es *s)
{
    s->limit_metric = gauge(s, "staunch_exporter_concurrency_limit", "Attempts that may be with the sink at once.");
    s->under_way_metric = gauge(s, "staunch_exporter_concurrency_in_flight", "Attempts that are with the sink now.");
    gw_metric_set(s->limit_metric, gw_limit_get(&s->limit));
}

static int es_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct gw_es *s = self;

    s->loop = loop;
    gw_limit_init(&s->limit, s->conf->adapts, s->conf->n_consumers);
    if (s->conf->adapts && s->ctx->meter)
        open_metrics(s);
    return gw_poster_open(&s->poster, s->ctx, &s->conf->http, loop, GW_ES_MAX_ANSWER, err);
}

static void es_close(void *self)
{
    struct gw_es *s = self;

    gw_timer_disarm(&s->stop_timer);
    gw_es_probe_stop(s);
    gw_poster_close(&s->poster);
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 90ull * 1000000000,
    .own_tries = true,
    .queue_defaults = gw_es_queue_defaults,
    .queue_adjust = gw_es_queue_adjust,
    .queue_seen = gw_es_queue_seen,
    .open = es_open,
    .send = es_send,
    .cancel = es_cancel,
    .hurry = es_hurry,
    .close = es_close,
};

const struct gw_component gw_exporter_elasticsearch = {
    .kind = GW_EXPORTER,
    .name = "elasticsearch",
    .summary = "Write documents to Elasticsearch or OpenSearch.",
    .signals = GW_ALL_SIGNALS,
    .fields = gw_es_fields,
    .conf_size = sizeof(struct gw_es_conf),
    .check = gw_es_check,
    .create = create,
    .destroy = destroy,
    .exporter = &ops,
};
