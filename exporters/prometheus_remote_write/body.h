/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a request, read again after the server refused it: which series it holds, how they are named, and a body
 * of some of them alone. Values are never computed a second time: what is sent again is what was sent before, byte for
 * byte, also as 1.0 where it was 2.0.
 *
 *   WriteRequest                  { timeseries = 1, metadata = 3 }
 *   io.prometheus.write.v2.Request { symbols = 4, timeseries = 5 }    names are indices of symbols
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_BODY_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_BODY_H

#include "exporters/prometheus_remote_write/translate.h"
#include "otlp-proto/wire.h"

struct gw_rw_body_series {
    struct gw_slice message; /* TimeSeries */
    uint32_t n_samples, n_histograms, n_exemplars;
    bool out;     /* no longer to be sent */
    bool refused; /* out, because the server does not want it */
};

struct gw_rw_body {
    enum gw_rw_version version;
    struct gw_slice bytes; /* borrowed */
    struct gw_rw_body_series *series;
    struct gw_slice *symbols;
    uint32_t n_series, cap_series, n_symbols, cap_symbols;
};

/**
 * Owner     borrows bytes; the caller clears *ret, also after a failure
 * Errors    -EBADMSG, -ENOMEM
 */
int gw_rw_body_read(struct gw_rw_body *ret, enum gw_rw_version version, struct gw_slice bytes);
void gw_rw_body_clear(struct gw_rw_body *b);

/**
 * Append the body of series [range) that are not out. Metadata of 1.0 goes with the first series of all.
 *
 * Errors    what `out` says: look at out->failed
 */
void gw_rw_body_write(const struct gw_rw_body *b, struct gw_range range, struct gw_buf *out);
/** The same as 1.0. Metadata of 2.0, which belongs to no series there, is left out. */
void gw_rw_body_write_1(const struct gw_rw_body *b, struct gw_range range, struct gw_buf *out);

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
