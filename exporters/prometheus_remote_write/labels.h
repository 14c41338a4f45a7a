/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label set of a point, as the Collector makes it. Of several labels with one name the highest kind counts; keys of
 * attributes that became the same name are joined.
 *
 *   external labels < attributes ("a.b" and "a_b": values joined by ;) < job, instance < otel_scope_* < __name__
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_LABELS_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_LABELS_H

#include "core/arena.h"
#include "exporters/prometheus_remote_write/names.h"

/** Sorts by (name, kind, order). */
struct gw_rw_label {
    struct gw_slice name, value;
    uint8_t kind;
    uint32_t order;
};

/** Scratch: texts live in the arena until the next build. */
struct gw_rw_labels {
    struct gw_rw_label *v;
    uint32_t n, cap;
    struct gw_arena arena;
    struct gw_buf text;
};

struct gw_rw_external {
    struct gw_slice name, value;
};

/** Whose labels. */
struct gw_rw_labels_of {
    const struct gw_rw_options *options;
    const struct gw_rw_external *external;
    size_t n_external;
    const struct gw_batch *batch;
    const struct gw_resource *resource;
    const struct gw_scope *scope; /* NULL: no otel_scope_* labels */
    struct gw_range attrs;        /* of the point, or of the resource for target_info */
    enum gw_rw_label_style style;
    bool info;            /* target_info: without the identifying attributes */
    struct gw_slice name; /* __name__; n == 0: none, nor one from an attribute */
};

void gw_rw_labels_init(struct gw_rw_labels *l);
void gw_rw_labels_clear(struct gw_rw_labels *l);
/** Into l->v, sorted by name. Errors: -EINVAL when an attribute's key makes no label name; -ENOMEM. */
int gw_rw_labels_build(struct gw_rw_labels *l, const struct gw_rw_labels_of *of);
/**
 * Into l->v: an exemplar's trace_id, span_id and, when all of them together have at most 128 characters, its
 * attributes, whose keys stay as they are. Errors: -ENOMEM.
 */
int gw_rw_labels_of_exemplar(struct gw_rw_labels *l, const struct gw_batch *b, const struct gw_exemplar *e,
                             bool sorted);
/** Its value, or NULL. */
const struct gw_slice *gw_rw_labels_find(const struct gw_rw_labels *l, struct gw_slice name);
/** Bytes before, as memcmp has it. */
int gw_rw_compare(struct gw_slice a, struct gw_slice b);

/* ---- values.c ---------------------------------------------------------------------------------------------- */

/**
 * Append the value as text, as pcommon.Value.AsString does: a string as it is, bytes in base64, lists and maps as JSON
 * with sorted keys, nothing where JSON has no word for it (NaN in a list).
 */
void gw_rw_put_value(struct gw_buf *out, const struct gw_batch *b, const struct gw_attr *a);
/** Append digits without an exponent, the fewest that read back as the same number: strconv 'f'. */
void gw_rw_put_plain_double(struct gw_buf *out, double v);

#endif
