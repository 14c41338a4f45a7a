/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of span_metrics. A span becomes a key (key.c: its dimensions, encoded), the key a series; series live in
 * tables by resource:
 *
 *   worker ── consume() ─► deltas of this worker ──┐  merge: when the lock is free, or the deltas are many
 *   worker ── consume() ─► deltas of this worker ──┴─► totals (one for all workers) ── tick() of any worker ─► metrics
 *
 * So there is one series however many workers count it, as the Collector has it, and a span costs no lock. Totals are
 * shared (create_shared): a reload that leaves the settings as they are resets nothing. Only instances of the newest
 * graph emit; those of one that leaves hand in what they have.
 *
 * Threads   `struct totals` under its mutex; everything else is its worker's
 */
#ifndef GW_SPAN_METRICS_H
#define GW_SPAN_METRICS_H

#include <pthread.h>

#include "core/buf.h"
#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "series/metrics_writer.h"
#include "series/series.h"
#include "values/pattern.h"

/* ---- settings (conf.c) -------------------------------------------------------------------------------------- */

enum { UNIT_MS, UNIT_S };
enum { CUMULATIVE, DELTA };

struct dimension_conf {
    const char *name, *glob;
    const struct gw_node *fallback; /* NULL: none */
};

struct explicit_conf {
    struct gw_list buckets;
};
struct exponential_conf {
    uint64_t max_size;
};
struct histogram_conf {
    bool disable, has_explicit, has_exponential;
    int unit;
    struct gw_list dimensions;
    struct explicit_conf fixed;
    struct exponential_conf exponential;
};
struct exemplars_conf {
    bool enabled;
    uint64_t max_per_data_point;
};
struct events_conf {
    bool enabled;
    struct gw_list dimensions;
};

struct conf {
    struct gw_list dimensions, calls_dimensions, exclude_dimensions, include_instrumentation_scope;
    struct gw_list resource_metrics_key_attributes;
    uint64_t dimensions_cache_size, resource_metrics_cache_size, metric_timestamp_cache_size;
    uint64_t metrics_flush_interval_ns, metrics_expiration_ns, series_expiration_ns;
    uint64_t aggregation_cardinality_limit, max_series;
    int aggregation_temporality;
    const char *namespace_;
    struct histogram_conf histogram;
    struct exemplars_conf exemplars;
    struct events_conf events;
    bool add_resource_attributes, enable_metrics_sampling_method, zero_first_point;
};

extern const struct gw_field gw_span_metrics_fields[];
void gw_span_metrics_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);
/** Bounds in the unit; *ret->at is malloced. Errors: -ENOMEM. */
int gw_span_metrics_bounds(const struct conf *c, struct gw_bounds *ret);
bool gw_span_metrics_lists(const struct gw_list *l, struct gw_slice text);
/** A glob with '.' as separator, as a regular expression. False: it is malformed. */
bool gw_span_metrics_glob(const char *glob, struct gw_buf *out);

/* ---- keys (key.c) ------------------------------------------------------------------------------------------- */

enum { CALLS, DURATION, EVENTS, N_TABLES };

struct dimension {
    struct gw_slice name;
    struct gw_buf fallback; /* encoded; empty: none */
};
/** What is looked up for one metric. */
struct dimensions {
    struct dimension *named;
    struct gw_pattern **globs;
    unsigned n_named, n_globs;
};

enum { N_KINDS = 7, N_STATUSES = 4 };
struct keys {
    const struct conf *conf;
    struct dimensions of[N_TABLES];
    bool same;                                          /* calls and duration have the same dimensions */
    struct gw_buf kinds[N_KINDS], statuses[N_STATUSES]; /* encoded; empty: excluded */
    struct gw_buf instance, extrapolated, counted;
    bool has_service, has_name;
};

/** Of a span, or an event of it. */
struct subject {
    const struct gw_view *v;
    uint32_t row, resource, scope;
    const struct gw_event *event; /* or NULL */
    struct gw_slice service, name;
    unsigned kind, status;
    bool is_adjusted;
};

int gw_span_metrics_keys_init(struct keys *k, const struct conf *c, const char *instance_id, struct gw_err *err);
void gw_span_metrics_keys_clear(struct keys *k);
/** Writes the key of one table into run. scratch: dies with the turn. */
void gw_span_metrics_key(const struct keys *k, unsigned table, const struct subject *s, struct gw_arena *scratch,
                         struct gw_buf *run);
/** All attributes of a resource (run), and those that tell it from others, sorted (key). */
void gw_span_metrics_resource(const struct conf *c, const struct gw_view *v, uint32_t resource,
                              struct gw_arena *scratch, struct gw_buf *run, struct gw_buf *key);

/* ---- tables (state.c) --------------------------------------------------------------------------------------- */

struct value {
    uint64_t start_ns; /* wall; 0: not counted since the deltas were merged */
    uint64_t count;
    struct gw_mw_exemplar *exemplars; /* malloced, max_per_data_point of them */
    uint32_t n_exemplars;
    bool is_told; /* its first point, 0, was sent */
    struct gw_exponential exponential;
    /* with fixed bounds a struct gw_explicit follows */
};

struct resource {
    struct resource *newer, *older; /* in the list of those that are used, or of those that are on their way out */
    struct gw_series *series;       /* that it is the value of */
    struct gw_buf attrs;            /* a run */
    struct gw_series_group groups[N_TABLES];
    uint64_t seen_ns; /* monotonic */
    bool is_evicted;
    bool is_touched; /* deltas */
};
struct resource_list {
    struct resource *newest, *oldest;
    uint32_t n;
};

struct tables {
    const struct conf *conf;
    struct gw_bounds bounds;
    struct gw_series_table resources, series[N_TABLES];
    struct gw_series_group all; /* resources */
};

/** credit: NULL for deltas, which are few. */
void gw_span_metrics_tables_init(struct tables *t, const struct conf *c, const struct gw_bounds *bounds,
                                 struct gw_credit *credit);
void gw_span_metrics_tables_clear(struct tables *t);
static inline struct gw_explicit *gw_span_metrics_explicit(struct value *v)
{
    return (struct gw_explicit *)(v + 1);
}
/** NULL: no memory. attrs: of a new one. */
struct resource *gw_span_metrics_get_resource(struct tables *t, struct gw_slice key, uint64_t hash,
                                              struct gw_slice attrs, uint64_t mono_ns);
bool gw_span_metrics_observe(const struct tables *t, unsigned table, struct value *v, double duration, uint64_t n);
void gw_span_metrics_exemplar(const struct tables *t, struct value *v, const struct gw_view *view, uint32_t row,
                              double duration);

/* ---- totals (totals.c) -------------------------------------------------------------------------------------- */

struct totals {
    const struct gw_ctx *ctx;
    const struct conf *conf;
    pthread_mutex_t lock;
    struct tables t;
    struct resource_list used, evicted;
    struct gw_series_table stamps; /* delta: when a series was sent last */
    struct gw_series_group all_stamps;
    uint64_t due_ns, warned_ns;             /* monotonic */
    unsigned generation, newest_that_ticks; /* of graphs */
    unsigned n_instances, n_drained;
    bool is_dirty;     /* something was counted since the last flush */
    size_t last_bytes; /* of a flush */
    char instance_id[40];
};

/** Deltas of one worker. */
struct deltas {
    struct tables t;
    struct gw_series **touched[N_TABLES]; /* MAX_DELTAS each */
    uint32_t n_touched[N_TABLES];
    struct resource **resources;
    uint32_t n_resources;
};
enum { MAX_DELTAS = 4096, MAX_DELTA_RESOURCES = 1024, MAX_DELTA_BYTES = 16 << 20 };

int gw_span_metrics_totals_new(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_span_metrics_totals_free(void *totals);
/** Under the lock. Returns how many counts found no memory. */
uint64_t gw_span_metrics_merge(struct totals *all, struct deltas *d);
/** Under the lock: so many resources wait to be told for the last time that a flush should not be waited for. */
bool gw_span_metrics_is_crowded(const struct totals *all);
/** Under the lock: the budget gets its memory back before the end. */
void gw_span_metrics_uncharge(struct totals *all);
/** Under the lock: all series out, as they are now. False: the queues behind have no room. */
bool gw_span_metrics_flush(struct totals *all, struct gw_ports *out, uint64_t mono_ns);

#endif
