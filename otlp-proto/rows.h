/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of OTLP and the rows in them, for whoever answers for each row: exporters that translate, queues on disk. */
#ifndef GW_OTLP_ROWS_H
#define GW_OTLP_ROWS_H

#include "batch/view.h"
#include "core/buf.h"
#include "core/status.h"

/**
 * Decode a body of the queue. *b is emptied first, NULL makes one; its memory is kept for the next.
 *
 * Owner     the caller frees *b with gw_batch_unref. payload: the body's own, which *b shares then; NULL: it is copied
 * Errors    -EBADMSG, -ENOMEM
 */
int gw_rows_decode(struct gw_batch **b, enum gw_signal signal, struct gw_slice body, struct gw_payload *payload,
                   struct gw_err *err);

/** A set of row numbers of a body. */
struct gw_rows {
    uint64_t *bits;
    uint32_t n_bits, n; /* n: rows in it */
};
/** Errors: -ENOMEM. */
int gw_rows_init(struct gw_rows *r, uint32_t n_bits);
void gw_rows_clear(struct gw_rows *r);
/** False when it was there already. */
bool gw_rows_add(struct gw_rows *r, uint32_t row);
bool gw_rows_has(const struct gw_rows *r, uint32_t row);

/**
 * Append those rows of a body alone, as OTLP: what is left, or a dead letter. Decodes the body anew: for rare ways.
 *
 * Errors    -EBADMSG, -ENOMEM, -E2BIG
 */
int gw_rows_extract(enum gw_signal signal, struct gw_slice body, const struct gw_rows *rows, struct gw_buf *out);

#endif
