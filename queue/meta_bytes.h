/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the rows in a frame of a queue (docs/formats/queue.md): how many requests they came in, and their
 * meta. */
#ifndef GW_QUEUE_META_BYTES_H
#define GW_QUEUE_META_BYTES_H

#include "batch/meta.h"
#include "core/buf.h"

/** m may be NULL. Errors: out->failed. */
void gw_meta_to_bytes(const struct gw_meta *m, uint32_t requests, struct gw_buf *out);
/**
 * Owner     gives a reference; NULL when there is none, or it cannot be read. *requests stays as it was then
 * Errors    -ENOMEM
 */
int gw_meta_from_bytes(struct gw_slice bytes, uint64_t *requests, struct gw_meta **ret);

#endif
