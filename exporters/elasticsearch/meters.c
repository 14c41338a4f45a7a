/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/meters.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MAX_KEYS = 8, MAX_LABELS = MAX_KEYS + 4, MAX_VALUE = 128 };

static const struct {
    const char *name, *help, *outcome;
} counts[GW_ES_N_COUNTS] = {
    {"otelcol_elasticsearch_docs_received", "Count of Elasticsearch documents successfully received to be buffered.",
     NULL},
    {"otelcol_elasticsearch_docs_processed", "Count of documents flushed to Elasticsearch.", "success"},
    {"otelcol_elasticsearch_docs_retried", "Count of document retries; whole requests are not in it.", NULL},
    {"otelcol_elasticsearch_docs_retried_http_request", "Count of documents in requests that were tried again.", NULL},
    {"otelcol_elasticsearch_flushed_bytes", "Number of bytes flushed by the indexer.", NULL},
    {"otelcol_elasticsearch_flushed_uncompressed_bytes", "Number of uncompressed bytes flushed by the indexer.", NULL},
    {"staunch_elasticsearch_docs_remedied", "Documents sent again with a field changed, after a mapping refused it.",
     NULL},
    {"staunch_elasticsearch_docs_ambiguous",
     "Documents sent again that may have arrived, and have no _id by which the server would know.", NULL},
};

/* As the Collector's attribute data points have it: http.response.status_code becomes http_response_status_code. */
struct labels {
    struct gw_label list[MAX_LABELS];
    char keys[MAX_KEYS][64], values[MAX_KEYS][MAX_VALUE];
    unsigned n;
};

/* Sorted by name, as the exposition of other programs has them. */
static void add(struct labels *ls, const char *key, const char *value)
{
    unsigned i = ls->n++;

    for (; i > 0 && strcmp(ls->list[i - 1].key, key) > 0; i--)
        ls->list[i] = ls->list[i - 1];
    ls->list[i] = (struct gw_label){key, value};
}

/* A list of texts, as the Collector shows an attribute that is one. */
static bool put_values(const struct gw_meta *meta, const char *key, char *out, size_t size)
{
    struct gw_slice v;
    size_t n = 0;

    for (unsigned i = 0; gw_meta_find(meta, gw_slice_cstr(key), i, &v) && n + 8 < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s\"%.*s\"", i ? "," : "[", v.n < 64 ? (int)v.n : 64,
                              (const char *)v.p);
    if (!n)
        return false;
    n = n < size - 2 ? n : size - 2;
    out[n] = ']';
    out[n + 1] = '\0';
    return true;
}

static void add_metadata(struct labels *ls, const struct gw_es_meters *m, const struct gw_meta *meta)
{
    const char *const *keys = m->keys->items;

    for (size_t i = 0; meta && i < m->keys->n && i < MAX_KEYS; i++) {
        size_t k = 0;

        if (!put_values(meta, keys[i], ls->values[i], MAX_VALUE))
            continue;
        for (; keys[i][k] && k + 1 < sizeof(ls->keys[i]); k++) { /* a label's name: x_tenant */
            char c = keys[i][k];

            ls->keys[i][k] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9' && k) ? c
                             : c >= 'A' && c <= 'Z'                                ? (char)(c + 32)
                                                                                   : '_';
        }
        ls->keys[i][k] = '\0';
        add(ls, ls->keys[i], ls->values[i]);
    }
}

static void begin(struct labels *ls, const struct gw_es_meters *m, const struct gw_meta *meta)
{
    ls->n = 0;
    add(ls, "exporter", m->id);
    add_metadata(ls, m, meta);
}

void gw_es_meters_init(struct gw_es_meters *m, const struct gw_ctx *ctx, const struct gw_list *metadata_keys)
{
    *m = (struct gw_es_meters){.meter = ctx->meter, .id = ctx->id, .keys = metadata_keys};
}

void gw_es_count(struct gw_es_meters *m, const struct gw_meta *meta, enum gw_es_count which, uint64_t n)
{
    struct gw_metric *series = m->counts[which];
    struct labels ls;

    if (!m->meter || !n)
        return;
    if (!series) {
        begin(&ls, m, meta);
        if (counts[which].outcome)
            add(&ls, "outcome", counts[which].outcome);
        series = gw_meter_get(m->meter, GW_COUNTER, counts[which].name, counts[which].help, ls.list, ls.n);
        if (!m->keys->n)
            m->counts[which] = series;
    }
    gw_metric_add(series, n);
}

static const char *outcome_of(int status, bool timed_out)
{
    return timed_out       ? "timeout"
           : status == 0   ? "internal_server_error"
           : status < 300  ? "success"
           : status == 429 ? "too_many"
           : status >= 500 ? "failed_server"
                           : "failed_client";
}

/* A label's value comes from the server: only a name is taken for one. */
static const char *name_of(const char *type)
{
    size_t n = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return type[n] ? "_OTHER" : type;
}

static void add_processed(struct gw_es_meters *m, struct labels *ls, uint64_t n)
{
    gw_metric_add(gw_meter_get(m->meter, GW_COUNTER, counts[GW_ES_DOCS_DELIVERED].name,
                               counts[GW_ES_DOCS_DELIVERED].help, ls->list, ls->n),
                  n);
}

void gw_es_count_failed(struct gw_es_meters *m, const struct gw_meta *meta, int status, const char *type, uint64_t n)
{
    struct labels ls;

    if (!m->meter || !n)
        return;
    begin(&ls, m, meta);
    add(&ls, "error_type", name_of(type));
    add(&ls, "outcome", outcome_of(status, false));
    add_processed(m, &ls, n);
}

void gw_es_count_stored(struct gw_es_meters *m, const struct gw_meta *meta, enum gw_es_failure_store how, uint64_t n)
{
    static const char *const names[] = {"", "not_enabled", "used", "failed"};
    struct labels ls;

    if (!m->meter || !n || how == GW_ES_STORE_NONE)
        return;
    begin(&ls, m, meta);
    add(&ls, "failure_store", names[how]);
    add(&ls, "outcome", "failure_store");
    add_processed(m, &ls, n);
}

void gw_es_count_request(struct gw_es_meters *m, const struct gw_meta *meta, int status, bool timed_out, uint64_t ns,
                         uint64_t n_docs)
{
    static const double seconds[] = {0,  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5,  0.75, 1,    2.5,  5,    7.5,
                                     10, 25,    50,   75,    100,  250,   500, 750,  1000, 2500, 5000, 7500, 10000};
    const char *outcome = outcome_of(status, timed_out);
    struct gw_metric *latency;
    struct labels ls;
    char code[16];

    if (!m->meter)
        return;
    begin(&ls, m, meta);
    add(&ls, "outcome", outcome);
    snprintf(code, sizeof(code), "%d", status ? status : 500);
    if (!timed_out)
        add(&ls, "http_response_status_code", code);
    gw_metric_add(gw_meter_get(m->meter, GW_COUNTER, "otelcol_elasticsearch_bulk_requests_count",
                               "Count of the completed bulk requests.", ls.list, ls.n),
                  1);
    latency = gw_meter_get_histogram(m->meter, "otelcol_elasticsearch_bulk_requests_latency",
                                     "Latency of Elasticsearch bulk operations in seconds.", ls.list, ls.n, seconds,
                                     sizeof(seconds) / sizeof(seconds[0]));
    if (latency) {
        latency->scale = 1e-9; /* the sum is kept in ns */
        gw_metric_observe(latency, (double)ns * 1e-9);
    }
    if (status < 200 || status >= 300) /* else each document has its own outcome */
        add_processed(m, &ls, n_docs);
}
