/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of our own as OTLP: one pass into a buffer, lengths filled in when a message ends (in their shortest form).
 *
 *   gw_mw_init ─► resource ─► scope ─► metric ─► points … ─► metric ─► … ─► resource ─► … ─► gw_mw_end
 *
 * Before the buffer passes cut_bytes, what is there is closed and handed to cut(), and the next point goes on in an
 * equal resource, scope and metric: a flush of a million series is no body of a gigabyte. A resource, scope or metric
 * without points is written as it is.
 *
 * Attributes are kept encoded, as gw_mw_attr_put writes them: that run is also the key of a series (series.h).
 */
#ifndef GW_SERIES_METRICS_WRITER_H
#define GW_SERIES_METRICS_WRITER_H

#include "batch/view.h"
#include "core/buf.h"
#include "series/histogram.h"

struct gw_ports;
struct gw_batch_pool;

/** Append one attribute to a run of them: a KeyValue with tag and length. */
void gw_mw_attr_put(struct gw_buf *run, struct gw_slice key, const struct gw_value *value);
void gw_mw_attr_put_str(struct gw_buf *run, struct gw_slice key, struct gw_slice value);

struct gw_mw_metric {
    struct gw_slice name, unit, description;
    enum gw_metric_type type; /* GAUGE, SUM, HISTOGRAM, EXP_HISTOGRAM */
    enum gw_temporality temporality;
    bool monotonic;
};

struct gw_mw_exemplar {
    uint64_t time_ns;
    double value;
    uint8_t trace_id[16], span_id[8]; /* zeros: there is none */
};

struct gw_mw_point {
    struct gw_slice attrs; /* a run */
    uint64_t start_ns, time_ns;
    const struct gw_mw_exemplar *exemplars;
    unsigned n_exemplars;
};

/** The body of a request: `points` points. Errors: negative, which ends the writing. */
typedef int (*gw_mw_cut_fn)(void *arg, struct gw_slice body, uint32_t points);

struct gw_mw {
    struct gw_buf *out;
    size_t cut_bytes;
    gw_mw_cut_fn cut;
    void *arg;
    size_t open[4]; /* where the bodies of resource, scope, metric and data begin in out */
    unsigned depth;
    uint32_t points;
    int rc;
    struct gw_slice resource, schema_url, scope_name, scope_version, scope_attrs; /* borrowed until the next one */
    struct gw_mw_metric metric;
};

/** `out` is empty and the writer's until the end. */
void gw_mw_init(struct gw_mw *w, struct gw_buf *out, size_t cut_bytes, gw_mw_cut_fn cut, void *arg);
/** attrs: a run, or empty. All slices must stay until the next call of the same function, or the end. */
void gw_mw_resource(struct gw_mw *w, struct gw_slice attrs, struct gw_slice schema_url);
void gw_mw_scope(struct gw_mw *w, struct gw_slice name, struct gw_slice version);
void gw_mw_scope_with(struct gw_mw *w, struct gw_slice name, struct gw_slice version, struct gw_slice attrs);
void gw_mw_metric(struct gw_mw *w, const struct gw_mw_metric *m);
/** Of a gauge or a sum. */
void gw_mw_int(struct gw_mw *w, const struct gw_mw_point *p, int64_t value);
void gw_mw_double(struct gw_mw *w, const struct gw_mw_point *p, double value);
void gw_mw_histogram(struct gw_mw *w, const struct gw_mw_point *p, const struct gw_bounds *bounds,
                     const struct gw_explicit *h);
void gw_mw_exponential(struct gw_mw *w, const struct gw_mw_point *p, const struct gw_exponential *h);
/** Closes all, and hands the rest to cut() when there are points. Errors: what a cut said; -ENOMEM, -E2BIG. */
int gw_mw_end(struct gw_mw *w);

/**
 * A body as a view out of port 0, as if it had come in now: without tickets. pool may be NULL. Errors: -ENOMEM,
 * -EBADMSG; then nothing was emitted.
 */
int gw_mw_emit(struct gw_ports *out, struct gw_batch_pool *pool, struct gw_slice body, const char *component,
               uint64_t now_ns);

#endif
