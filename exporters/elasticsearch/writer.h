/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the elasticsearch exporter: what the parts of the writer share.
 *
 *   write.c    rows in order, the scope that they are in, action lines
 *   mode.c     which mapping mode; control attributes
 *   route.c    which index
 *   value.c    AnyValues as JSON;  go_json.c  as strings;  keys.c  sets of keys
 *   otel.c     documents of mode otel (straight from columns);  attributes.c  their attributes
 *   fields.c   documents that are a sorted list of fields, fields_write.c as JSON: flat.c (raw, none), ecs.c
 *   group.c    which points share a document;  points.c  what a point's value is;  metrics.c  their documents
 *   ids.c      deterministic ids
 *
 * Source of names, order and corner cases: the Collector's elasticsearchexporter (0.157, whose encoders were run
 * beside).
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_WRITER_H
#define GW_EXPORTERS_ELASTICSEARCH_WRITER_H

#include <errno.h>
#include <locale.h>

#include "core/arena.h"
#include "exporters/common/go_json.h"
#include "exporters/elasticsearch/docs.h"
#include "exporters/elasticsearch/json.h"

enum {
    GW_ES_MAX_DEPTH = 256, /* nested values; decoders allow no more */
    GW_ES_ID_BYTES = 22,   /* 128 bits in base64url */
    GW_ES_MAX_ID = 512,    /* bytes: one that is longer costs all documents of its request */
    GW_ES_MAX_INDEX = 255, /* bytes of an index's name */
};

/* ---- what attributes say of the document ------------------------------------------------------------------- */

/** Attributes that say where a document goes and how, not what is in it. NULL: not there. */
struct gw_es_control {
    const struct gw_attr *index, *type, *dataset, *namespace, *id, *pipeline, *hints, *mode, *format, *event_name;
};

/** Where documents of a kind go, resolved. */
struct gw_es_target {
    struct gw_slice index, type, dataset, namespace; /* what it was resolved from; p NULL: not given */
    enum gw_es_mode mode;
    bool resolved, is_stream;
    const char *problem; /* a reason to refuse rows, or NULL; message has the sentence */
    char message[400];
    const char *stream_type;   /* "logs" */
    struct gw_buf text;        /* dataset, then namespace */
    size_t dataset_n;          /* of text */
    struct gw_buf name;        /* the index's name */
    struct gw_buf name_json;   /* "_index":"<name>" */
    struct gw_buf stream_json; /* ,"data_stream":{…} or nothing */
};

enum gw_es_kind { GW_ES_ITEM, GW_ES_EVENT, GW_ES_N_KINDS };

/** What rows of one scope share. */
struct gw_es_scope {
    uint32_t scope, resource; /* UINT32_MAX: none yet */
    enum gw_es_mode mode;
    bool bad_mode, too_large;
    struct gw_es_control own, of_resource;
    struct gw_slice dataset;                    /* by the scope's name or format; p NULL: not so */
    struct gw_es_target targets[GW_ES_N_KINDS]; /* of rows that say nothing of their own */
    struct gw_buf resource_json, tail;          /* mode otel: "resource":{…} and ,"resource":{…},"scope":{…} */
    bool has_fields;            /* field modes: those of resource and scope stand first, n_fields of them */
    uint32_t n_fields, n_order; /* n_order: of them in base_order, sorted, one of a key */
    uint32_t resource_id;       /* metrics: equal resources, equal scopes */
    uint32_t scope_id;
};

/* ---- documents that are lists of fields ---------------------------------------------------------------------- */

enum gw_es_field_kind {
    GW_ES_F_VALUE,   /* value */
    GW_ES_F_TIME,    /* value.i: nanoseconds, as RFC 3339 */
    GW_ES_F_ID,      /* value.s: bytes, as hexadecimal */
    GW_ES_F_UINT,    /* value.i: unsigned */
    GW_ES_F_LINKS,   /* links of row value.i */
    GW_ES_F_COUNTS,  /* value.s: int64s */
    GW_ES_F_NUMBERS, /* value.s: doubles */
    GW_ES_F_IGNORE,  /* taken out */
};

struct gw_es_field {
    struct gw_slice key;
    uint64_t head; /* its first eight bytes, as a number that sorts as they do */
    struct gw_value value;
    uint8_t kind;
};

/** An entry of the set of keys that an object has. */
struct gw_es_key {
    uint64_t turn; /* of the writer's `turn`: others are free */
    uint32_t n, value;
    const uint8_t *p;
    const void *object;
};

/** Points that share a document. */
struct gw_es_group {
    uint64_t hash;
    size_t at, n; /* identity, in identities */
    uint32_t first_row, n_rows, begin;
};

/** The value of a point. */
struct gw_es_point {
    enum { GW_ES_P_INT, GW_ES_P_DOUBLE, GW_ES_P_HISTOGRAM, GW_ES_P_AGGREGATE } type;
    int64_t i; /* INT; AGGREGATE: how many */
    double f;  /* DOUBLE; AGGREGATE: the sum */
    uint32_t n;
    const int64_t *counts; /* HISTOGRAM, n of each, until the next point */
    const double *values;
    bool has_doc_count; /* it asks for _doc_count */
    uint64_t doc_count;
};

struct gw_es_writer {
    const struct gw_es_options *o;
    locale_t utf8; /* for lower case beyond ASCII, or 0 */

    /* of the call */
    const struct gw_view *v;
    const struct gw_batch *b;
    struct gw_buf *out;
    struct gw_es_docs *docs;
    gw_es_refuse_fn refuse;
    void *refuse_arg;
    int rc; /* the first failure */
    enum gw_es_mode request_mode;
    const char *request_problem; /* the request's mode cannot be used */
    struct gw_es_scope scope;
    struct gw_es_target row_targets[GW_ES_N_KINDS]; /* of the last row that had a place of its own */
    struct gw_arena arena;                          /* texts until the end of the call */
    struct gw_arena doc_arena;                      /* texts until the end of the document */
    struct gw_arena scope_arena;                    /* keys of the fields of resource and scope */
    struct gw_arena *field_arena;                   /* where keys go now: one of these two */

    /* scratch, kept from call to call */
    struct gw_es_key *keys;
    uint32_t n_keys, cap_keys;
    uint64_t turn;
    struct gw_es_field *fields;
    uint32_t *order, *order_tmp; /* as many as fields */
    uint32_t *base_order;        /* of the scope's fields, as many as cap_base */
    uint32_t cap_base;
    uint32_t n_fields, cap_fields;
    bool too_large; /* the document's texts do not fit into the scratch: it is refused */
    struct gw_go_json go;
    struct gw_buf text;
    struct gw_buf templates;
    struct gw_es_group *groups;
    uint32_t n_groups, cap_groups;
    uint32_t *slots; /* hash table of groups: index + 1 */
    uint32_t cap_slots;
    struct gw_buf identities;
    uint32_t *row_group, *by_group;
    uint32_t cap_row_group;
    int64_t *counts;
    double *values;
    uint32_t n_counts, cap_counts;
    char message[512];
};

/** Room for one more in a table; sets w->rc. */
bool gw_es_grow(struct gw_es_writer *w, void **table, uint32_t n, uint32_t *cap, size_t item_bytes);
void gw_es_refuse(struct gw_es_writer *w, uint32_t row, const char *reason, const char *message);

/** An action begins: its line is written, with room for an id where one is to come. */
struct gw_es_action {
    const struct gw_es_target *target;
    const struct gw_attr *id, *pipeline; /* what the row asks for, or NULL */
    const struct gw_buf *templates;      /* "name":"template",… or NULL */
    bool event;
    bool long_id;
    char record_id[80]; /* by what the document is of; empty: none */
    size_t id_at;       /* where the id of the content goes, or SIZE_MAX */
    size_t at, source;
};
void gw_es_begin(struct gw_es_writer *w, struct gw_es_action *a);
/** The document is written: it belongs to those rows; NULL. Else it is gone, a reason, and *ret_message says more. */
const char *gw_es_end(struct gw_es_writer *w, struct gw_es_action *a, const uint32_t *rows, uint32_t n_rows,
                      const char **ret_message);
void gw_es_enter_scope(struct gw_es_writer *w, uint32_t scope);
#define GW_ES_TOO_LARGE "too_large", "the document's names or lists are longer than 64 MiB"

/* ---- mode.c, route.c ----------------------------------------------------------------------------------------- */

void gw_es_control_of(const struct gw_batch *b, struct gw_range r, struct gw_es_control *ret);
bool gw_es_hint(const struct gw_batch *b, const struct gw_attr *hints, struct gw_slice hint);
/** Mode of the request (client metadata) and of a scope. False: not allowed, w->message says what. */
bool gw_es_request_mode(struct gw_es_writer *w, enum gw_es_mode *ret);
bool gw_es_scope_mode(struct gw_es_writer *w, const struct gw_attr *a, enum gw_es_mode *ret);
/** Of the rows of the current scope. NULL `c`: the row says nothing of its own. */
const struct gw_es_target *gw_es_route(struct gw_es_writer *w, const struct gw_es_control *c, enum gw_es_kind kind);
/** A data stream told by its parts, both clean. */
void gw_es_route_stream(struct gw_es_target *t, struct gw_slice dataset, struct gw_slice namespace);
struct gw_slice gw_es_scope_dataset(const struct gw_batch *b, const struct gw_scope *s, const struct gw_attr *format);
/** Append a dataset or namespace without what no stream may have in its name. */
void gw_es_sanitize(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice s, const char *disallowed,
                    struct gw_slice suffix);
#define GW_ES_NOT_IN_NAMESPACE "\\/*?\"<>| ,#:"
#define GW_ES_NOT_IN_DATASET   "-" GW_ES_NOT_IN_NAMESPACE

/* ---- value.c ----------------------------------------------------------------------------------------------- */

static inline struct gw_value gw_es_value_of(const struct gw_batch *b, const struct gw_attr *a)
{
    return gw_value_of(b, (enum gw_value_type)a->type, a->val);
}
/** As modes otel and bodymap have values; `strings`: maps as a string of JSON. */
void gw_es_put_value(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool strings);

/* ---- as_string.c ---------------------------------------------------------------------------------------------- */

/** As encoding/json has it: sorted keys; `html`: < > & escaped. False: it holds a number that JSON has not. */
bool gw_es_put_go_json(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool html);
/** pcommon.Value.AsString; lives until the end of the call. */
struct gw_slice gw_es_as_string(struct gw_es_writer *w, const struct gw_attr *a);

/* ---- keys.c, attributes.c -------------------------------------------------------------------------------------- */

/** A key that the object has not had yet: remembered. */
bool gw_es_is_new_key(struct gw_es_writer *w, const void *object, struct gw_slice key);
/** A number that goes with a key, 0 at first; NULL: no memory. */
uint32_t *gw_es_key_value(struct gw_es_writer *w, const void *object, struct gw_slice key);
void gw_es_forget_keys(struct gw_es_writer *w);
/** "attributes":{…}, with a comma before when asked; nothing for none. event_name: goes in as event.name. */
bool gw_es_put_attributes(struct gw_es_writer *w, struct gw_buf *to, struct gw_range r, struct gw_slice event_name,
                          bool strings, bool comma);

/* ---- fields.c ---------------------------------------------------------------------------------------------- */

void gw_es_sort(uint32_t *p, uint32_t *tmp, uint32_t n, int (*compare)(const void *, uint32_t, uint32_t),
                const void *arg);
/** A document begins, with what all of the scope have: `add` adds that when it is not there yet. */
void gw_es_scope_fields(struct gw_es_writer *w, void (*add)(struct gw_es_writer *w));
void gw_es_field(struct gw_es_writer *w, enum gw_es_field_kind kind, struct gw_slice key, struct gw_value value);
void gw_es_field_text(struct gw_es_writer *w, struct gw_slice key, struct gw_slice text); /* none when empty */
void gw_es_field_int(struct gw_es_writer *w, struct gw_slice key, int64_t v);
void gw_es_field_time(struct gw_es_writer *w, struct gw_slice key, uint64_t ns);
void gw_es_field_id(struct gw_es_writer *w, struct gw_slice key, const uint8_t *id, size_t n); /* none when zero */
/** A value, a map as one field for each of its leaves. */
void gw_es_field_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v);
/** All attributes, keys behind "<path>." unless that is empty. */
void gw_es_field_attributes(struct gw_es_writer *w, struct gw_slice path, struct gw_range r);
void gw_es_field_stream(struct gw_es_writer *w, struct gw_slice path, const struct gw_es_target *t);
struct gw_slice gw_es_join(struct gw_es_writer *w, struct gw_slice path, struct gw_slice key);
/** The same of a KeyValueList. */
void gw_es_field_map(struct gw_es_writer *w, struct gw_slice path, struct gw_slice list, unsigned depth);
/** A list of names that no field may push aside. */
typedef bool (*gw_es_protected_fn)(struct gw_slice key);
/** Sort fields [base, n_fields) and leave one of each key. Returns how many stand in order[base ...]. */
uint32_t gw_es_settle_fields(struct gw_es_writer *w, uint32_t base, gw_es_protected_fn is_protected);
/** All fields as one object; `nested`: a.b as an object in an object. */
void gw_es_put_fields(struct gw_es_writer *w, bool nested, gw_es_protected_fn is_protected);
/** Nanoseconds as "2006-01-02T15:04:05.000000000Z". */
void gw_es_put_rfc3339(struct gw_buf *to, uint64_t ns);

/* ---- documents: what stands behind the action line, newline included ------------------------------------------ */

void gw_es_otel_scope(struct gw_es_writer *w); /* renders the scope's tail */
void gw_es_otel_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t, const struct gw_es_control *c);
void gw_es_otel_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
void gw_es_otel_event(struct gw_es_writer *w, uint32_t row, uint32_t event, const struct gw_es_target *t);
void gw_es_flat_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
void gw_es_flat_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
void gw_es_ecs_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
void gw_es_ecs_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
const struct gw_es_target *gw_es_ecs_event_route(struct gw_es_writer *w, uint32_t event, const struct gw_es_control *c);
void gw_es_ecs_event(struct gw_es_writer *w, uint32_t row, uint32_t event, const struct gw_es_target *t);
void gw_es_ecs_resource(struct gw_es_writer *w);
bool gw_es_ecs_is_resource_field(struct gw_slice key);

/* ---- metrics.c, group.c, points.c, ids.c --------------------------------------------------------------------- */

/** A point joins the group of its likes, or is refused; at the end each group is a document. */
void gw_es_metrics_row(struct gw_es_writer *w, uint32_t row);
void gw_es_metrics_end(struct gw_es_writer *w);
void gw_es_groups_reset(struct gw_es_writer *w);
/** Ids of the current scope and its resource: equal ones have equal ids. */
void gw_es_group_scope(struct gw_es_writer *w);
/** False: too large. */
bool gw_es_group_row(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t);
/** Rows in order of their groups: of group g they are by_group[g->begin ... + n_rows]. */
void gw_es_group_sort(struct gw_es_writer *w);
/** The point's value; false: it has none, w->message says why, *ret_reason in a word. */
bool gw_es_point(struct gw_es_writer *w, uint32_t row, struct gw_es_point *ret, const char **ret_reason);
uint64_t gw_es_names_hash(struct gw_slice names);

/** Ids by the record, each NUL-ended: of a log record or span, a span's event, points (their first row, their names).
 */
void gw_es_id_row(const struct gw_es_writer *w, uint32_t row, char id[80]);
void gw_es_id_event(const struct gw_es_writer *w, uint32_t row, uint32_t event, char id[80]);
void gw_es_id_points(const struct gw_es_writer *w, uint32_t row, uint64_t names_hash, char id[80]);
/** By the content: the index and the document. GW_ES_ID_BYTES characters. */
void gw_es_id_content(struct gw_slice index, struct gw_slice document, uint8_t *id);

static inline bool gw_es_is_zero(const uint8_t *id, size_t n)
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + n - 8, 8);
    return (a | b) == 0;
}

#endif
