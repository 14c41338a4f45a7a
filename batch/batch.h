/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unified columnar batch. Immutable once it leaves the decoder, reference-counted; no component ever writes
 * to it. Edits live in a view (batch/view.h).
 *
 *   payload   request 0 │ request 1 │ …                 one run of bytes; every offset below is into it
 *   segments  [rows 0..k) [rows k..n) …                 one per request: rollback mark, partial success, ledger
 *   resources ──► scopes ──► rows                       row → scopes[scope[row]] → resources[.resource]
 *   metrics   table of metrics; a row of a metrics batch is one data point
 *
 * A batch holds one payload and no pointers into it, only 32-bit offsets (docs/decisions/0001): small requests are
 * appended to the open batch's payload, a large one brings its own.
 */
#ifndef GW_BATCH_BATCH_H
#define GW_BATCH_BATCH_H

#include "batch/meta.h"
#include "batch/payload.h"
#include "batch/ticket.h"

enum gw_signal { GW_TRACES = 1, GW_METRICS = 2, GW_LOGS = 4 };
enum { GW_ALL_SIGNALS = GW_TRACES | GW_METRICS | GW_LOGS };

/** Bytes of the payload. len 0 = absent or empty. */
struct gw_ref {
    uint32_t off, len;
};

/** Half-open range of indices. */
struct gw_range {
    uint32_t begin, end;
};

/**
 * What stands in the columns of rows whose attributes, events and links are in none (gw_batch.is_outline). A debug
 * build falls over it, so that nobody takes "not there" for "none".
 */
#ifdef NDEBUG
#define GW_RANGE_UNREAD ((struct gw_range){0, 0})
#else
#define GW_RANGE_UNREAD ((struct gw_range){UINT32_MAX - 1, UINT32_MAX})
#endif

enum gw_value_type {
    GW_V_EMPTY,  /* AnyValue without a value, or no AnyValue at all */
    GW_V_STRING, /* val.ref */
    GW_V_BOOL,   /* val.u64 0 or 1 */
    GW_V_INT,    /* val.i64 */
    GW_V_DOUBLE, /* val.f64 */
    GW_V_BYTES,  /* val.ref */
    GW_V_ARRAY,  /* val.ref: the ArrayValue message, checked, not decoded */
    GW_V_KVLIST, /* val.ref: the KeyValueList message, checked, not decoded */
};

union gw_val {
    uint64_t u64;
    int64_t i64;
    double f64;
    struct gw_ref ref;
};

/**
 * One attribute, 16 bytes. kv_off is the offset of the KeyValue's tag in its parent, so that a splice can cut
 * [kv_off, end of the KeyValue); the key stands at kv_off + kdelta.
 */
struct gw_attr {
    uint32_t kv_off;
    uint16_t klen;
    uint8_t kdelta, type;
    union gw_val val;
};
_Static_assert(sizeof(struct gw_attr) == 16, "attribute rows are 16 bytes");

struct gw_segment {
    struct gw_ticket *ticket; /* holds one reference; NULL for rows that nobody waits for */
    struct gw_ref wire;       /* the request message in the payload */
    struct gw_range rows, resources, scopes, metrics;
};

struct gw_resource {
    struct gw_range attrs;
    struct gw_ref raw;   /* Resource message; len 0 when absent */
    struct gw_ref outer; /* ResourceSpans / ResourceLogs / ResourceMetrics message */
    struct gw_ref schema_url;
};

struct gw_scope {
    uint32_t resource;
    struct gw_range attrs, rows;
    struct gw_ref raw;   /* InstrumentationScope message; len 0 when absent */
    struct gw_ref outer; /* ScopeSpans / ScopeLogs / ScopeMetrics message */
    struct gw_ref name, version, schema_url;
};

/** A span event or a span link. */
struct gw_event {
    uint64_t time_ns;
    struct gw_ref raw, name;
    struct gw_range attrs;
    uint32_t dropped_attrs;
};
struct gw_link {
    uint8_t trace_id[16], span_id[8];
    struct gw_ref raw, trace_state;
    struct gw_range attrs;
    uint32_t dropped_attrs, flags;
};

enum gw_metric_type { GW_M_NONE, GW_M_GAUGE, GW_M_SUM, GW_M_HISTOGRAM, GW_M_EXP_HISTOGRAM, GW_M_SUMMARY };
enum gw_temporality { GW_T_UNSPECIFIED, GW_T_DELTA, GW_T_CUMULATIVE };

struct gw_metric_desc {
    uint32_t scope;
    uint8_t type, temporality, monotonic;
    struct gw_ref raw;  /* Metric message, data points included */
    struct gw_ref data; /* the Gauge, Sum, … message inside it */
    struct gw_ref name, unit, description;
    struct gw_range metadata; /* attrs */
    struct gw_range rows;
};

enum gw_number_type { GW_N_NONE, GW_N_INT, GW_N_DOUBLE, GW_N_HISTOGRAM, GW_N_EXP_HISTOGRAM, GW_N_SUMMARY };

struct gw_hist {
    uint64_t count;
    double sum, min, max;
    bool has_sum, has_min, has_max;
    struct gw_ref counts; /* packed fixed64 */
    struct gw_ref bounds; /* packed double */
};
struct gw_exphist {
    uint64_t count, zero_count;
    double sum, min, max, zero_threshold;
    bool has_sum, has_min, has_max;
    int32_t scale, positive_offset, negative_offset;
    struct gw_ref positive, negative; /* packed varints, as on the wire; see gw_packed_varint_next */
    uint32_t n_positive, n_negative;
};
struct gw_summary {
    uint64_t count;
    double sum;
    struct gw_range quantiles; /* into quantiles[] */
};
struct gw_quantile {
    double quantile, value;
};
struct gw_exemplar {
    uint64_t time_ns;
    union gw_val value;
    uint8_t value_type; /* enum gw_number_type: NONE, INT, DOUBLE */
    uint8_t has_trace_id, has_span_id;
    uint8_t trace_id[16], span_id[8];
    struct gw_ref raw;
    struct gw_range attrs; /* filtered_attributes */
};

/** What is odd about a row; 0 for nearly all. Kept, never repaired silently: `validate` acts on it. */
enum gw_row_flag {
    GW_ROW_BAD_TRACE_ID = 1, /* length neither 0 nor 16: the column holds zeros */
    GW_ROW_BAD_SPAN_ID = 2,
    GW_ROW_BAD_PARENT_ID = 4,
    GW_ROW_NO_TRACE_ID = 8, /* absent or empty */
    GW_ROW_NO_SPAN_ID = 16,
    GW_ROW_BAD_CHILD_ID = 32, /* a link or an exemplar with an id of a wrong length */
};

struct gw_batch {
    _Atomic uint32_t refs;
    enum gw_signal signal;
    struct gw_payload *payload; /* one reference */
    const uint8_t *base;        /* payload->p */
    struct gw_meta *meta;       /* of all its requests, or NULL */
    uint64_t received_ns;       /* wall clock at the door */
    const char *receiver;       /* component id, borrowed for the process' life */
    /** Attributes of rows, events and links were checked, but are in no column (otlp-proto/outline.h). */
    bool is_outline;

    struct gw_segment *segments;
    struct gw_resource *resources;
    struct gw_scope *scopes;
    uint32_t n_segments, n_resources, n_scopes, n_rows;
    uint32_t cap_segments, cap_resources, cap_scopes, cap_rows;

    /* Row columns of every signal. */
    uint32_t *scope;
    uint64_t *time_ns;     /* span start; log time; point time */
    struct gw_ref *raw;    /* Span, LogRecord or data point message, without tag and length */
    struct gw_range *attr; /* of the row, into attrs[] */
    uint8_t *row_flags;    /* enum gw_row_flag */
    uint32_t *flags;       /* the message's own flags field */
    uint32_t *dropped_attrs;

    /* Traces and logs; NULL in a metrics batch. */
    uint8_t (*trace_id)[16];
    uint8_t (*span_id)[8];

    /* Traces. */
    uint8_t (*parent_id)[8]; /* all zeros: none */
    uint64_t *end_ns;
    struct gw_ref *name, *trace_state, *status_message;
    uint8_t *kind, *status;
    struct gw_range *events_of, *links_of; /* into events[], links[] */
    uint32_t *dropped_events, *dropped_links;

    /* Logs. */
    uint64_t *observed_ns;
    uint8_t *severity;
    struct gw_ref *severity_text, *event_name;
    uint8_t *body_type; /* enum gw_value_type */
    union gw_val *body;

    /* Metrics. */
    uint32_t *metric; /* into metrics[] */
    uint64_t *start_ns;
    uint8_t *number_type; /* enum gw_number_type */
    union gw_val *number; /* i64, f64, or u64 = index into hists[], exphists[], summaries[] */
    struct gw_range *exemplars_of;

    /* Tables, with their counts and capacities. */
    struct gw_attr *attrs;
    struct gw_event *events;
    struct gw_link *links;
    struct gw_metric_desc *metrics;
    struct gw_hist *hists;
    struct gw_exphist *exphists;
    struct gw_summary *summaries;
    struct gw_quantile *quantiles;
    struct gw_exemplar *exemplars;
    uint32_t n_attrs, n_events, n_links, n_metrics, n_hists, n_exphists, n_summaries, n_quantiles, n_exemplars;
    uint32_t cap_attrs, cap_events, cap_links, cap_metrics, cap_hists, cap_exphists, cap_summaries, cap_quantiles,
        cap_exemplars;

    uint64_t column_bytes;      /* memory of all columns and tables: what the credit is charged for */
    void *row_memory;           /* all row columns, in one allocation */
    struct gw_batch_pool *pool; /* where the last reference goes, or NULL: free */
    struct gw_batch *origin;    /* whose columns and payload they are, one reference; or NULL: its own */
    struct gw_inbox_item item;  /* for the way home */
};

/** An empty batch of a signal. Owner: gives one reference. Errors: NULL. */
struct gw_batch *gw_batch_new(enum gw_signal signal);
struct gw_batch *gw_batch_ref(struct gw_batch *b);
/** Returns NULL. With the last reference the tickets, meta and payload are released. Threads: any. */
struct gw_batch *gw_batch_unref(struct gw_batch *b);
/**
 * The same rows for somebody else, who hears of them by a ticket of his own: columns, tables and payload are those of
 * `b`, of which a reference is taken. Every segment takes a reference of the ticket; meta is taken one of, or NULL.
 * Errors: NULL, no memory. Cost: 100 ns.
 */
struct gw_batch *gw_batch_share(struct gw_batch *b, struct gw_ticket *ticket, struct gw_meta *meta);
/** Forget all rows, keep the columns' memory; signal may change. Only by the sole owner. */
void gw_batch_reset(struct gw_batch *b, enum gw_signal signal);

/**
 * The same rows in columns and bytes of its own, for who changes many of them in place before anybody else sees them.
 * `pool` may be NULL. Owner: gives one reference. Errors: NULL. Cost: about what copying payload and columns costs.
 */
struct gw_batch *gw_batch_clone(const struct gw_batch *b, struct gw_batch_pool *pool);

/** Give the batch its bytes: takes the reference of pl, releases the payload before. */
void gw_batch_set_payload(struct gw_batch *b, struct gw_payload *pl);
/**
 * Copy bytes behind the payload's end, growing it (base moves along). Only by the sole owner of batch and payload.
 * Errors: -ENOMEM, -E2BIG; nothing is changed then.
 */
int gw_batch_append(struct gw_batch *b, struct gw_slice bytes, struct gw_ref *ret);

/**
 * Where the row, table and payload counts stood: everything behind is cut off by rollback. Neighbouring requests
 * do not notice.
 */
struct gw_batch_mark {
    uint32_t payload, segments, resources, scopes, rows, attrs, events, links, metrics, hists, exphists, summaries,
        quantiles, exemplars;
};
struct gw_batch_mark gw_batch_mark(const struct gw_batch *b);
/** Tickets of segments behind the mark are released. */
void gw_batch_rollback(struct gw_batch *b, const struct gw_batch_mark *m);

/** Room for `more` rows (all row columns of the signal) or table entries. Errors: -ENOMEM. */
int gw_batch_reserve_rows(struct gw_batch *b, uint32_t more);
int gw_batch_reserve_attrs(struct gw_batch *b, uint32_t more);
int gw_batch_reserve_table(struct gw_batch *b, void **table, uint32_t n, uint32_t *cap, size_t item_bytes,
                           uint32_t more);

/** A free list that belongs to one worker; batches come back from any thread. Keeps `keep` batches a signal. */
struct gw_batch_pool *gw_batch_pool_new(unsigned keep);
struct gw_batch *gw_batch_pool_get(struct gw_batch_pool *p, enum gw_signal signal);
/** Batches still out are freed when the last one comes back. */
void gw_batch_pool_free(struct gw_batch_pool *p);

static inline struct gw_slice gw_batch_slice(const struct gw_batch *b, struct gw_ref r)
{
    return (struct gw_slice){b->base + r.off, r.len};
}
static inline struct gw_slice gw_attr_key(const struct gw_batch *b, const struct gw_attr *a)
{
    return (struct gw_slice){b->base + a->kv_off + a->kdelta, a->klen};
}
/** The segment that a row belongs to. Cost: a binary search. */
uint32_t gw_batch_segment_of(const struct gw_batch *b, uint32_t row);
static inline uint32_t gw_batch_resource_of(const struct gw_batch *b, uint32_t row)
{
    return b->scopes[b->scope[row]].resource;
}
/** Next value of a packed varint run (exponential histogram buckets); *pos from r.off. False at the end. */
bool gw_packed_varint_next(const struct gw_batch *b, struct gw_ref r, uint32_t *pos, uint64_t *ret);

const char *gw_signal_name(enum gw_signal s);      /* "traces" */
const char *gw_signal_item_name(enum gw_signal s); /* "spans", "metric_points", "log_records" */

#endif
