/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a batch of points to remote write requests: OTLP metrics become series named, labelled and shaped as the
 * Collector's translator does it, and leave as the bodies of one request per shard, or several when one grows too long.
 *
 *   batch ─► row ─► series ─► label set (cached, compared byte for byte) ─► shard by hash ─► WriteRequest 1.0 or 2.0
 *
 * All series of one row stand in one request, so that a request knows which rows it carries; a series always falls on
 * the same shard, so that its order is the order of that shard's requests.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_TRANSLATE_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_TRANSLATE_H

#include "batch/view.h"
#include "config/schema.h"
#include "core/buf.h"

enum gw_rw_version { GW_RW_1, GW_RW_2 };
enum gw_rw_strategy { /* translation_strategy, in the order of its names in the settings */
                      GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES,
                      GW_RW_UNDERSCORE_ESCAPING_WITHOUT_SUFFIXES,
                      GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES,
                      GW_RW_NO_TRANSLATION,
};

/** What the settings say about names and shapes. Texts are borrowed for the translator's life. */
struct gw_rw_options {
    const char *namespace_;
    const struct gw_map *external_labels;
    enum gw_rw_strategy strategy;
    bool target_info, scope_info; /* scope_info: otel_scope_* labels */
    bool resource_labels;         /* resource_to_telemetry_conversion */
    bool exclude_service_attributes;
    const struct gw_list *included, *excluded; /* resource_constant_labels: globs, const char *; may be NULL */
    bool send_metadata;
    bool nhcb, keep_classic;  /* explicit histograms as native ones; and the classic series too */
    bool delta_to_cumulative; /* `cumulative`: delta points are summed up, not refused; sums take as much memory as
                                 label sets may */
    unsigned n_shards;
    size_t max_request_bytes;    /* of the body before snappy; a single row may be longer */
    uint64_t series_cache_bytes; /* most memory for label sets */
    uint64_t seed;               /* of the table's hash */
};

/** One request to be. The buffers are the translator's: valid during emit. */
struct gw_rw_request {
    unsigned shard;
    struct gw_slice body; /* WriteRequest or io.prometheus.write.v2.Request, not compressed */
    const uint32_t *rows; /* whose points it carries, ascending; none when it is target_info alone */
    uint32_t n_rows;
    uint32_t n_series, n_samples, n_histograms, n_exemplars;
};

struct gw_rw_sink {
    void *arg;
    /** Errors: a negative value ends the translation and is returned. */
    int (*emit)(void *arg, const struct gw_rw_request *rq);
    /** A row that has no translation, such as a delta histogram; reason is a short name, message a sentence. */
    void (*refuse)(void *arg, uint32_t row, const char *reason, const char *message);
    bool rows_only; /* no target_info, no metadata: rows that are sent again, to find the one that is to blame */
};

struct gw_rw_translator;

struct gw_rw_stats { /* since the start; one thread */
    uint64_t series, cache_hits, cache_misses, cache_evictions, cache_bytes, failed;
};

/** Owner: gives *ret. Errors: -ENOMEM; -EINVAL: an external label without name or value. Threads: one. */
int gw_rw_translator_new(const struct gw_rw_options *o, struct gw_rw_translator **ret);
void gw_rw_translator_free(struct gw_rw_translator *t);
/** No request from now on shall be longer than this, either. */
void gw_rw_translator_limit(struct gw_rw_translator *t, size_t max_request_bytes);

/**
 * Translate the kept rows of a metrics view without patches: one of a batch that was decoded for this.
 *
 * Shape     emit is called shard after shard; within a shard in the order of the series' first rows, and the points of
 *           one series stand together, in order of time. target_info has the time of the resource's newest row in the
 *           batch, kept or not: rows that are sent again bring no older one
 * Errors    -ENOMEM, -EINVAL (patches), or what emit returned
 * Cost      a number row of a known series: 35 ns and its bytes; no malloc in steady state
 */
int gw_rw_translate(struct gw_rw_translator *t, const struct gw_view *v, enum gw_rw_version version,
                    const struct gw_rw_sink *sink);
const struct gw_rw_stats *gw_rw_translator_stats(const struct gw_rw_translator *t);

#endif
