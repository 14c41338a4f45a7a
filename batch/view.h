/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view is what a component gets and hands on: a batch, which rows are still in, and what was changed. It belongs
 * to one thread and is moved, never shared; a fan-out makes a second view of the same batch.
 *
 *   rows    [ 1 1 0 1 1 … ]  bitmap, 1 = kept          NULL = all
 *   patches row ─► p3 ─► p1                              newest first; the batch below stays as it is
 *
 * A row without patches leaves as a copy of its wire bytes, one with patches is spliced.
 */
#ifndef GW_BATCH_VIEW_H
#define GW_BATCH_VIEW_H

#include "batch/batch.h"
#include "core/arena.h"

/** What an attribute or a field belongs to. DATA, by the metric's index: its Gauge, Sum, … message; fields only. */
enum gw_owner { GW_OWN_RESOURCE, GW_OWN_SCOPE, GW_OWN_ROW, GW_OWN_METRIC, GW_OWN_DATA, GW_N_OWNERS };

enum gw_patch_op {
    GW_P_ATTR_SET,    /* attribute `key` = value; at attr when it existed in the batch, else appended */
    GW_P_ATTR_DELETE, /* attribute at attr is gone */
    GW_P_FIELD,       /* protobuf field `field` of the owner's message := encoded bytes (tag included); none: removed */
    GW_P_NOTHING,     /* an appended attribute that was deleted again */
};

/** A value outside of a batch: scalars inline, texts and encoded messages as a slice. */
struct gw_value {
    enum gw_value_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct gw_slice s; /* STRING, BYTES; ARRAY, KVLIST: the encoded ArrayValue or KeyValueList */
    };
};

/** What an attribute is set to. Rows that are set to the same share one edit, so that it is encoded once. */
struct gw_edit {
    struct gw_slice key; /* borrowed from the batch, the configuration or the view's arena; of a field: none */
    struct gw_value value;
};

/**
 * There is at most one living patch per attribute of the batch, per appended key and per field: a later edit of the
 * same thing rewrites it. An attribute that was deleted and set again is appended. Small, because an edit of all rows
 * makes one a row.
 */
struct gw_patch {
    uint32_t next; /* index + 1 of the next patch of the same owner; 0 = none */
    union {
        uint32_t attr;  /* index into batch->attrs, or UINT32_MAX for an attribute that the batch does not have */
        uint32_t field; /* GW_P_FIELD */
    };
    uint32_t edit; /* index into edits; GW_P_FIELD: its value's bytes are the encoded field */
    uint8_t op;    /* enum gw_patch_op */
};
_Static_assert(sizeof(struct gw_patch) == 16, "four patches a cache line");

enum { GW_RECENT_EDITS = 16 };

struct gw_view {
    struct gw_batch *batch; /* one reference */
    struct gw_arena *arena; /* borrowed: dies with the turn of the loop; new texts live here */
    struct gw_meta *meta;   /* = batch->meta unless a component changed it; one reference */
    uint64_t *kept;         /* bitmap in the arena, or NULL = all rows; bits behind the last row are 0 */
    uint32_t n_rows;        /* kept rows; with 0, kept says nothing */
    uint32_t n_patches, cap_patches;
    struct gw_patch *patches;
    uint32_t n_edits, cap_edits;
    struct gw_edit *edits;
    uint32_t recent[GW_RECENT_EDITS]; /* indices of edits by a hash of theirs: where to look for an equal one */
    uint32_t *heads[GW_N_OWNERS];     /* per owner index: index + 1 of its newest patch; NULL = no patch at all */
    bool failed;                      /* an edit found no memory: the view must be refused, not sent half-edited */
    uint32_t pipeline;                /* index, for counting; the runtime's */
};

/** Owner: takes a reference of the batch; borrows the arena. */
void gw_view_init(struct gw_view *v, struct gw_batch *b, struct gw_arena *arena);
/**
 * A second view of the same rows and patches; later edits of one are not seen by the other. With another arena than
 * v's, all texts of patches are copied, so that the clone does not depend on v's arena. Errors: -ENOMEM.
 */
int gw_view_clone(const struct gw_view *v, struct gw_arena *arena, struct gw_view *ret);
/** Releases batch and meta; rows that are still kept are not settled by this. */
void gw_view_clear(struct gw_view *v);
/** Kept rows of a range. Cost: a popcount per 64 rows. */
uint32_t gw_view_count(const struct gw_view *v, struct gw_range rows);

static inline bool gw_view_has(const struct gw_view *v, uint32_t row)
{
    return v->n_rows != 0 && (!v->kept || (v->kept[row / 64] >> (row % 64) & 1));
}
/** Next kept row at or behind `row`, or batch->n_rows. for (r = gw_view_next(v, 0); r < n; r = gw_view_next(v, r + 1))
 */
uint32_t gw_view_next(const struct gw_view *v, uint32_t row);
/** Take one row out, without saying what became of it: settle it too (batch/settle.h). Errors: -ENOMEM. */
int gw_view_remove(struct gw_view *v, uint32_t row);
/** No row removed, nothing patched: the wire bytes may leave as they came. */
static inline bool gw_view_is_untouched(const struct gw_view *v)
{
    return v->n_patches == 0 && v->n_rows == v->batch->n_rows;
}

/** Untouched, and the batch's payload is its requests one behind the other: the payload as it is says the same. */
bool gw_view_is_whole_payload(const struct gw_view *v);
/** Requests that have kept rows, at least 1. */
uint64_t gw_view_requests(const struct gw_view *v);

static inline bool gw_view_is_patched(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    return v->heads[o] && v->heads[o][index] != 0;
}

/* ---- attributes, patches included ------------------------------------------------------------------------- */

/** Range of batch->attrs of an owner, as decoded. */
struct gw_range gw_view_attr_range(const struct gw_view *v, enum gw_owner o, uint32_t index);

/** First attribute with that key. ret_value may be NULL. Slices live as long as the view. Cost: 4 ns unpatched. */
bool gw_view_attr_get(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      struct gw_value *ret_value);
/**
 * Insert or replace. key and text values are borrowed: they must live as long as the view (configuration, batch, or
 * the view's arena). Errors: sets v->failed.
 */
void gw_view_attr_set(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      const struct gw_value *value);
/** False when there was none. All attributes of that key go (a key that stands twice is not left behind). */
bool gw_view_attr_delete(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key);
enum gw_set { GW_UPSERT, GW_INSERT, GW_UPDATE }; /* always; only where there is none; only where there is one */
/** The same to all kept rows, for half the cost. */
void gw_view_attr_set_rows(struct gw_view *v, struct gw_slice key, const struct gw_value *value, enum gw_set how);
void gw_view_attr_delete_rows(struct gw_view *v, struct gw_slice key);

struct gw_attr_iter {
    const struct gw_view *v;
    enum gw_owner owner;
    uint32_t index, at, end, patch;
};
void gw_view_attr_begin(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_attr_iter *it);
/** Batch attributes in wire order, then the appended ones in order of appending. */
bool gw_view_attr_next(struct gw_attr_iter *it, struct gw_slice *ret_key, struct gw_value *ret_value);

/** Set a protobuf field of the owner's message; `encoded` is tag and value, in the view's arena. n == 0 removes. */
void gw_view_field_set(struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field, struct gw_slice encoded);
/** A patched field, or false: then the batch's column holds. */
bool gw_view_field_get(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field,
                       struct gw_slice *ret_encoded);

/** Value of a batch attribute. */
struct gw_value gw_value_of(const struct gw_batch *b, enum gw_value_type type, union gw_val val);

#endif
