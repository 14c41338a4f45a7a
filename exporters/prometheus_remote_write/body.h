/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a request, read again after the server refused it: which series and points it holds, how they are named,
 * and a body of some of the points alone. Values are never computed a second time: what is sent again is what was sent
 * before, byte for byte, also as 1.0 where it was 2.0.
 *
 *   WriteRequest                  { timeseries = 1, metadata = 3 }
 *   io.prometheus.write.v2.Request { symbols = 4, timeseries = 5 }    names are indices of symbols
 *
 * A point is a sample or a histogram. Points are numbered through all series, in their order.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_BODY_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_BODY_H

#include "exporters/prometheus_remote_write/translate.h"
#include "otlp-proto/wire.h"

struct gw_rw_point {
    struct gw_slice message; /* Sample or Histogram */
    uint32_t series;
    bool out;     /* no longer to be sent */
    bool refused; /* out, because the server does not want it */
};

struct gw_rw_body_series {
    struct gw_slice message; /* TimeSeries */
    struct gw_range points;
    bool has_exemplars; /* that are still to be sent */
};

struct gw_rw_body {
    enum gw_rw_version version;
    struct gw_slice bytes; /* borrowed */
    struct gw_rw_body_series *series;
    struct gw_rw_point *points;
    struct gw_slice *symbols;
    uint32_t n_series, cap_series, n_points, cap_points, n_symbols, cap_symbols;
    bool has_metadata; /* of 1.0, that is still to be sent */
};

/**
 * Owner     borrows bytes; the caller clears *ret, also after a failure
 * Errors    -EBADMSG, -ENOMEM
 */
int gw_rw_body_read(struct gw_rw_body *ret, enum gw_rw_version version, struct gw_slice bytes);
void gw_rw_body_clear(struct gw_rw_body *b);

/**
 * Append the body of those points that are not out, in the version it has. Exemplars and metadata go along until they
 * are delivered.
 *
 * Errors    what `out` says: look at out->failed
 */
void gw_rw_body_write(const struct gw_rw_body *b, struct gw_range points, struct gw_buf *out);
/** The same as 1.0. Metadata of 2.0, which belongs to no series there, is left out. */
void gw_rw_body_write_1(const struct gw_rw_body *b, struct gw_range points, struct gw_buf *out);
/** A body of those points has arrived: they are out. */
void gw_rw_body_deliver(struct gw_rw_body *b, struct gw_range points);
/** Those that are not out. */
uint32_t gw_rw_body_living(const struct gw_rw_body *b, struct gw_range points);

/** What two ranges have in common. */
static inline struct gw_range gw_rw_common(struct gw_range a, struct gw_range b)
{
    struct gw_range r = {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};

    return r.begin < r.end ? r : (struct gw_range){r.begin, r.begin};
}

struct gw_rw_label_iter {
    const struct gw_rw_body *body;
    struct gw_wire_walk walk;  /* of the series */
    const uint8_t *refs, *end; /* 2.0: what is left of a run of references */
};
void gw_rw_labels_begin(const struct gw_rw_body *b, const struct gw_rw_body_series *s, struct gw_rw_label_iter *it);
bool gw_rw_labels_next(struct gw_rw_label_iter *it, struct gw_slice *ret_name, struct gw_slice *ret_value);
/** Of all names and values, in their order. */
uint64_t gw_rw_labels_hash(const struct gw_rw_body *b, const struct gw_rw_body_series *s);
/** The same names and values in the same order. */
bool gw_rw_labels_eq(const struct gw_rw_body *a, const struct gw_rw_body_series *s, const struct gw_rw_body *b,
                     const struct gw_rw_body_series *t);

#endif
