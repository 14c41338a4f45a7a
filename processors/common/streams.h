/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a processor remembers of each series of data points that comes by: scopes (resource, name, version), their
 * metrics (name, unit, type), and the streams of each (attributes, and whatever else of a point tells streams apart).
 *
 *   scope {resource, name, version} ─┬─ metric {name, unit, type} ─► stream {attributes} ─► stream ─► …
 *                                    └─ …                                └─ value of conf.value_bytes
 *
 * A request mostly has the same streams in the same order as the one before, and their attributes, too: the one behind
 * the last is looked at first, without sorting or a hash.
 *
 * Keys hold the attributes sorted, with their types and values as they were decoded: two streams are one exactly when
 * all of that is equal.
 *
 * Whoever writes them down (stream_state.h) watches: each stream has a mark, and it hears which have changed, or are
 * gone.
 *
 * Memory    one malloc a stream, metric and scope, none for one that is there; charged to conf.credit to the byte
 * Bounded by max_streams, and by the credit
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_STREAMS_H
#define GW_PROCESSORS_COMMON_STREAMS_H

#include "batch/view.h"
#include "core/buf.h"
#include "series/series.h"

struct gw_streams;

/** Of a stream that is written down: the watcher's. */
struct gw_stream_mark {
    uint32_t number, changed_at, bytes;
    uint8_t partition;
};
struct gw_streams_watch {
    /** Somebody got it, for the first time since its mark's changed_at is 0; is_new: it was made just now. */
    void (*changed)(void *arg, struct gw_streams *st, struct gw_series *s, bool is_new);
    void (*gone)(void *arg, struct gw_streams *st, struct gw_series *s);
    void *arg;
    bool is_full; /* there must not be one more */
};

struct gw_streams_conf {
    size_t value_bytes;
    size_t more_bytes;              /* of what tells streams apart besides their attributes */
    struct gw_streams_watch *watch; /* or NULL: there are no marks */
    uint32_t max_streams;
    struct gw_credit *credit; /* or NULL */
    /** What a value points to, and was charged to the credit by its owner. May be NULL. */
    void (*clear_value)(void *value, void *arg);
    void *arg;
    bool scope_attrs; /* attributes of a scope tell metrics apart, too */
    bool temporality; /* and the temporality does */
    bool one_metric;  /* metrics do not tell streams apart: all of a scope are one */

    /* What an owner keeps of each scope and metric (note_bytes of each), or none. */
    size_t note_bytes;
    /** Of a new one, zeroed. False: no memory; then it is not there. */
    bool (*note_scope)(void *note, const struct gw_batch *b, uint32_t scope, void *arg);
    bool (*note_metric)(void *note, const struct gw_batch *b, uint32_t metric, void *arg);
    void (*clear_note)(void *note, void *arg);
    /** As bytes, and from them: of those that are written down. False: no memory, or they are none. */
    void (*put_note)(const void *note, struct gw_buf *out);
    bool (*take_note)(void *note, struct gw_slice bytes, void *arg);
};

enum { GW_STREAM_SHAPE = 23 };

/** The value of a series in `scopes` and `metrics`; the note follows. */
struct gw_stream_node {
    struct gw_series_group under; /* metrics, or streams */
    /* Of a metric: in which order the attributes of its last point stand when they are sorted, if they are few. */
    uint8_t n_shape, shape[GW_STREAM_SHAPE];
};

struct gw_streams {
    struct gw_streams_conf conf;
    struct gw_series_table scopes, metrics, points;
    struct gw_series_group all;
    struct gw_buf key;               /* of what is at hand */
    uint32_t scope, metric;          /* of the view, or UINT32_MAX */
    struct gw_series *at_scope, *at; /* of that scope and metric, or NULL */
    struct gw_series *last;          /* the stream of that metric that came last, or NULL */
    uint32_t *order;                 /* scratch for sorting attributes */
    uint32_t cap_order;
    size_t mark_at;
    struct gw_series *sweep_scope, *sweep_metric, *sweep_stream; /* where a sweep goes on */
    uint64_t sweep_partitions;                                   /* only of these, when there are marks */
    bool sweeps;
};

void gw_streams_init(struct gw_streams *st, const struct gw_streams_conf *conf);
/** All streams go. */
void gw_streams_clear(struct gw_streams *st);
/** Frees all. */
void gw_streams_free(struct gw_streams *st);
static inline uint32_t gw_streams_n(const struct gw_streams *st)
{
    return st->points.n;
}

/** Before the first row of a view, which has no patches; and again when streams were cleared or swept. */
void gw_streams_begin(struct gw_streams *st);

enum gw_stream_found { GW_STREAM_OLD, GW_STREAM_NEW, GW_STREAM_LIMIT, GW_STREAM_NO_MEMORY };
/**
 * The stream of a row. `more` is the part of its key besides the attributes. A new one has a zeroed value and was seen
 * at 0; when it was seen (seen_ns) is the caller's to write.
 */
enum gw_stream_found gw_streams_get(struct gw_streams *st, const struct gw_batch *b, uint32_t row, struct gw_slice more,
                                    struct gw_series **ret);
/** One that gw_streams_get gave just now, and that cannot be used after all. */
void gw_streams_forget(struct gw_streams *st, struct gw_series *s);

/** Begin to look at all streams; one under way begins anew. */
void gw_streams_sweep_begin(struct gw_streams *st);
/** Streams seen before before_ns go; looks at `most` of them. True: there are more to look at. */
bool gw_streams_sweep(struct gw_streams *st, uint64_t before_ns, uint32_t most);

/* ---- written down ----------------------------------------------------------------------------------------------- */

/** Whose streams all go, and have marks from now on. */
void gw_streams_watch(struct gw_streams *st, struct gw_streams_watch *watch);
static inline struct gw_stream_mark *gw_streams_mark(const struct gw_streams *st, struct gw_series *s)
{
    return (struct gw_stream_mark *)(void *)((uint8_t *)(s + 1) + st->mark_at);
}
/** The series that a stream, or a metric, stands under. */
static inline struct gw_series *gw_streams_above(const struct gw_series *s)
{
    return (struct gw_series *)(void *)s->group - 1;
}
struct gw_stream_keys {
    struct gw_slice scope, metric, stream;
    struct gw_slice scope_note, metric_note; /* of put_note() */
};
void gw_streams_keys(const struct gw_streams *st, struct gw_series *s, struct gw_stream_keys *ret);
/** The stream of these keys, as gw_streams_get. */
enum gw_stream_found gw_streams_take(struct gw_streams *st, const struct gw_stream_keys *k, struct gw_series **ret);
/** The attributes that begin a key, one after the other; false: there are no more. */
struct gw_stream_attrs {
    struct gw_slice left;
    uint32_t n;
};
bool gw_stream_attrs_begin(struct gw_stream_attrs *it, struct gw_slice key);
bool gw_stream_attrs_next(struct gw_stream_attrs *it, struct gw_slice *ret_key, struct gw_value *ret);

static inline struct gw_stream_node *gw_streams_node(struct gw_series *scope_or_metric)
{
    return gw_series_value(scope_or_metric);
}
/** The first metric of a scope, or stream of a metric. */
static inline struct gw_series *gw_streams_first(const struct gw_series *scope_or_metric)
{
    return ((const struct gw_stream_node *)(const void *)(scope_or_metric + 1))->under.first;
}
static inline void *gw_streams_note(struct gw_series *scope_or_metric)
{
    return gw_streams_node(scope_or_metric) + 1;
}

#endif
