/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the translator. A translation goes in windows, nearly always one:
 *
 *   gather   each row finds its series' node, which links the rows of the window       (gather.c, resolve.c)
 *   write    shard after shard, node after node: all series of its rows                (translate.c, points.c, …)
 *
 * A window ends early when the cache is full of what the window itself needs.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_TRANSLATOR_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_TRANSLATOR_H

#include "exporters/prometheus_remote_write/labels.h"
#include "exporters/prometheus_remote_write/sums.h"
#include "exporters/prometheus_remote_write/write.h"

enum { GW_RW_ROW_BYTES_MAX = 64 << 20 }; /* that the series of one row may take */

struct gw_rw_refusal {
    const char *reason, *message;
};

/** What a metric's node is found by. */
struct gw_rw_metric_key {
    struct gw_rw_node *scope;
    struct gw_slice key; /* p NULL: not put together yet */
    uint64_t hash;
};

struct gw_rw_edge_point;
struct gw_rw_placed;

struct gw_rw_translator {
    struct gw_rw_options o;
    struct gw_rw_external *external;
    size_t n_external;
    struct gw_arena lasting; /* texts of external labels */
    struct gw_rw_cache cache;
    struct gw_rw_labels labels;
    struct gw_rw_writer writer;
    struct gw_rw_stats stats;
    struct gw_buf key;         /* scratch */
    struct gw_rw_metric *info; /* of target_info */
    struct gw_rw_sums *sums;   /* of delta points; NULL: they are refused */

    /* One translation. Arrays live in `arena`. */
    const struct gw_view *view;
    const struct gw_batch *b; /* the view's, or its shadow (sums.h) */
    const struct gw_rw_sink *sink;
    struct gw_arena arena;
    uint64_t *latest; /* [resource] ns: of its newest point */
    struct gw_rw_metric_key *metric_keys;

    /* One window. */
    struct gw_rw_node **resources, **scopes, **metrics; /* found so far */
    uint32_t *next;                                     /* [row], then [n_rows + resource]: link of the series' rows */
    struct gw_rw_node **nodes, **sorted;                /* in order of their first rows; by shard */
    uint32_t n_nodes;

    /* One request. */
    uint32_t *rows, n_rows;
    bool rows_ascend;

    /* One node. */
    uint32_t *of_node, n_of_node; /* its rows in order of time; of target_info: resources */
    struct gw_rw_sample *samples; /* room for one of each row */
    uint32_t cap_samples;
    struct gw_rw_edge_point *points; /* edges.c */
    uint32_t n_points, cap_points;
    struct gw_rw_placed *placed;
    uint32_t n_placed, cap_placed;
};

/* ---- translate.c, gather.c --------------------------------------------------------------------------------- */

/** Link the kept rows to their nodes. Errors: -ENOMEM, what emit returned. */
int gw_rw_gather(struct gw_rw_translator *t);
/**
 * Link target_info of each resource that has kept rows. Its time is that of the batch's newest point, kept or not.
 * Errors: as above.
 */
int gw_rw_gather_infos(struct gw_rw_translator *t);
/** Write what was gathered, and begin a new window: nodes have to be asked for again. Errors: -ENOMEM, emit's. */
int gw_rw_end_window(struct gw_rw_translator *t);
void gw_rw_refuse(struct gw_rw_translator *t, uint32_t row, const struct gw_rw_refusal *why);

static inline struct gw_rw_metric *gw_rw_metric_of(const struct gw_rw_translator *t, uint32_t row)
{
    return (struct gw_rw_metric *)(void *)gw_rw_data(t->metrics[t->b->metric[row]]);
}

static inline int64_t gw_rw_ms(uint64_t ns)
{
    return (int64_t)ns / 1000000; /* over 2^63: before 1970, as in Go */
}

/* ---- resolve.c, metrics.c, bounds.c: nodes from what a batch holds
 * -------------------------------------------------------------- */

/** Node of a metric of the batch, in this window. Errors: -ENOMEM. */
int gw_rw_resolve_metric(struct gw_rw_translator *t, uint32_t metric, struct gw_rw_node **ret);
/** Encoded bounds or quantiles, held by the metric as its last. Errors: -ENOMEM, -E2BIG (no request holds as many). */
int gw_rw_resolve_edges(struct gw_rw_translator *t, struct gw_rw_metric *m, uint8_t kind, struct gw_slice doubles,
                        const struct gw_rw_edges **ret);
/** t->scopes[scope], and its resource. Errors: -ENOMEM. */
int gw_rw_resolve_scope(struct gw_rw_translator *t, uint32_t scope);
/** All metrics of the batch will be asked for: let them be on their way into the cache. Errors: -ENOMEM. */
int gw_rw_expect_metrics(struct gw_rw_translator *t);
/** A series that is not known yet. Errors: -EINVAL no label name (refuse the row); -ENOSPC the window must end;
 * -ENOMEM. */
int gw_rw_new_series(struct gw_rw_translator *t, uint32_t row, struct gw_slice key, uint64_t hash, bool force,
                     const struct gw_rw_refusal **why, struct gw_rw_node **ret);
/** Node of a resource's target_info, or NULL when it has none. Errors: -ENOMEM, -ENOSPC. */
int gw_rw_resolve_info(struct gw_rw_translator *t, uint32_t resource, bool force, struct gw_rw_node **ret);
/** Put together what a series is called, the same in both versions. Errors: -ENOMEM. */
int gw_rw_put_identity(struct gw_rw_translator *t, struct gw_rw_node *n, struct gw_buf *out);
void gw_rw_release(struct gw_rw_cache *c, struct gw_rw_node *n);
enum gw_rw_shape gw_rw_shape_of(const struct gw_rw_options *o, uint8_t metric_type);

/* ---- points.c, edges.c, histograms.c, exemplars.c: what a node's rows become -------------------------------- */

/** Why a row has no translation, NULL when it has one. Everything that write may not fail at is looked at here. */
const struct gw_rw_refusal *gw_rw_check_row(const struct gw_rw_translator *t, uint32_t row);
const struct gw_rw_refusal *gw_rw_check_native(const struct gw_rw_options *o, const struct gw_batch *b, uint32_t row);

/** Write the series of a node, whose rows are t->of_node. Errors: -ENOMEM, -E2BIG. */
int gw_rw_write_node(struct gw_rw_translator *t, struct gw_rw_node *n);
int gw_rw_write_classic(struct gw_rw_translator *t, struct gw_rw_node *n);
int gw_rw_write_summary(struct gw_rw_translator *t, struct gw_rw_node *n);
struct gw_rw_sample gw_rw_sample_of(const struct gw_rw_translator *t, uint32_t row, uint64_t bits);
/** Append a row's native histogram to the writer's tail. */
void gw_rw_put_native(struct gw_rw_translator *t, uint32_t row);
/** Append a row's exemplar to the writer's tail. */
void gw_rw_put_exemplar(struct gw_rw_translator *t, const struct gw_exemplar *e);
double gw_rw_exemplar_value(const struct gw_exemplar *e);
/** When counting began, 0 when that is not known or makes no sense. */
int64_t gw_rw_start_ms(const struct gw_rw_translator *t, uint32_t row);

#endif
