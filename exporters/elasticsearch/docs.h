/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a batch to the lines of a _bulk request: an action line and a document, one pair per span, span event, log
 * record or group of points that share resource, scope, attributes and time.
 *
 *   batch ─► mapping mode (per scope) ─► index ─► {"create":{"_index":…}}\n{"@timestamp":…}\n
 *
 * A resource and a scope are rendered once a batch, and copied into each of their documents.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_DOCS_H
#define GW_EXPORTERS_ELASTICSEARCH_DOCS_H

#include "batch/view.h"
#include "core/buf.h"

enum gw_es_mode { GW_ES_NONE, GW_ES_ECS, GW_ES_OTEL, GW_ES_RAW, GW_ES_BODYMAP, GW_ES_N_MODES };
/** "none", "ecs", "otel", "raw", "bodymap"; NULL-ended. */
extern const char *const gw_es_modes[];

enum gw_es_id {
    GW_ES_ID_NONE,
    GW_ES_ID_RECORD,
    GW_ES_ID_CONTENT
}; /* `document_id`: by record identity, or by content */

struct gw_attempt;

/** What the settings say about documents and where they go. Texts are borrowed for the writer's life. */
struct gw_es_options {
    const char *traces_index, *metrics_index, *logs_index; /* "": data stream routing */
    const char *pipeline;
    const char *mode_from_metadata; /* request header that names the mode, lower case: x-elastic-mapping-mode */
    bool allowed[GW_ES_N_MODES];
    enum gw_es_mode mode; /* where nothing names one */
    bool logs_dynamic_id, traces_dynamic_id, metrics_dynamic_id, logs_dynamic_pipeline, traces_dynamic_pipeline;
    bool logstash_format;
    const char *logstash_prefix_separator, *logstash_date_format;
    enum gw_es_id id;
    /* GW_ES_ID_RECORD; set before each call. By attempt go the rows that row_name does not know; it may be NULL. */
    uint64_t attempt[2]; /* no other body has it */
    struct gw_attempt *rows_of;
    uint64_t exporter;         /* hash of its id: another one may write the same rows elsewhere, otherwise */
    bool require_data_stream;  /* the server takes it; may change between two calls */
    bool no_dynamic_templates; /* the server refuses a request that has them; may change, too */
    uint64_t now_ns;           /* wall clock, the date of logstash_format (UTC): set before each call */
};

/** One action and its document, both inside the buffer that was written to. */
struct gw_es_doc {
    size_t at, source, end; /* action line [at, source), document [source, end); each ends in a newline */
    uint32_t rows, n_rows;  /* range of gw_es_docs.rows: whose content it is */
    bool event;             /* a span event: its row has another document too */
    bool own_id;            /* the action carries an _id: 409 means that it is there already */
};

/** Grows as needed; the caller keeps it for the next batch. */
struct gw_es_docs {
    struct gw_es_doc *docs;
    uint32_t *rows;
    uint32_t n_docs, cap_docs, n_rows, cap_rows;
};
void gw_es_docs_clear(struct gw_es_docs *d);

struct gw_es_writer;

/** Owner: gives *ret. Errors: -ENOMEM. Threads: one. */
int gw_es_writer_new(const struct gw_es_options *o, struct gw_es_writer **ret);
void gw_es_writer_free(struct gw_es_writer *w);

/** Why no index can have that name ("holds a capital letter"), or NULL: what a static index is checked by. */
const char *gw_es_index_problem(struct gw_slice name);

/**
 * A row that has no document; a short name and a sentence. Names: mapping_mode (not allowed, unknown, or without
 * documents of the signal), data_stream_type, index_name, body_not_a_map, cumulative_histogram, histogram_shape,
 * not_a_number, no_value, duplicate_metric, document_id (too long), too_large; and noindex: it was asked for (hint
 * _noindex), nothing is lost.
 */
typedef void (*gw_es_refuse_fn)(void *arg, uint32_t row, const char *reason, const char *message);

/**
 * Append the kept rows' lines to `out` and their places to `docs` (which is emptied first).
 *
 * Shape     every kept row is in at least one document, or refused; a row of a group may be refused while its
 *           document stands. A document is one line of valid JSON
 * Owner     v: just decoded, rows may have been removed, nothing edited
 * Errors    -ENOMEM, -E2BIG when `out` is full; what is written then is undefined
 * Cost      logs in otel mode: about 250 ns; no malloc in steady state
 */
int gw_es_write(struct gw_es_writer *w, const struct gw_view *v, struct gw_buf *out, struct gw_es_docs *docs,
                gw_es_refuse_fn refuse, void *arg);

#endif
