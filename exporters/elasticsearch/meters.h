/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's own metrics, under the Collector's names: otelcol_elasticsearch_docs_…, …_bulk_requests_…,
 * …_flushed_…; with the values of metadata_keys as labels. Ours: what was remedied, and what may be there twice.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_METERS_H
#define GW_EXPORTERS_ELASTICSEARCH_METERS_H

#include "batch/meta.h"
#include "exporters/elasticsearch/answer.h"
#include "pipeline/component.h"

/** Counters that have no labels but the metadata's. */
enum gw_es_count {
    GW_ES_DOCS_RECEIVED,
    GW_ES_DOCS_DELIVERED, /* otelcol_elasticsearch_docs_processed{outcome="success"} */
    GW_ES_DOCS_RETRIED,   /* alone, after their own status */
    GW_ES_DOCS_RETRIED_REQUEST,
    GW_ES_FLUSHED_BYTES,
    GW_ES_FLUSHED_UNCOMPRESSED_BYTES,
    GW_ES_DOCS_REMEDIED,
    GW_ES_DOCS_AMBIGUOUS, /* sent again without an _id of ours, although they may have arrived */
    GW_ES_N_COUNTS
};

struct gw_es_meters {
    struct gw_meter *meter; /* NULL: nothing is counted */
    const char *id;
    const struct gw_list *keys;
    struct gw_metric *counts[GW_ES_N_COUNTS]; /* without metadata_keys */
};

void gw_es_meters_init(struct gw_es_meters *m, const struct gw_ctx *ctx, const struct gw_list *metadata_keys);
void gw_es_count(struct gw_es_meters *m, const struct gw_meta *meta, enum gw_es_count which, uint64_t n);
/** A document that was refused for good, or whose tries are over. */
void gw_es_count_failed(struct gw_es_meters *m, const struct gw_meta *meta, int status, const char *type, uint64_t n);
void gw_es_count_stored(struct gw_es_meters *m, const struct gw_meta *meta, enum gw_es_failure_store how, uint64_t n);
/** An answer to a request of n_docs: status 0 = none, and then whether time was up. */
void gw_es_count_request(struct gw_es_meters *m, const struct gw_meta *meta, int status, bool timed_out, uint64_t ns,
                         uint64_t n_docs);

#endif
