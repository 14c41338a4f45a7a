/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches without attributes, events and links of rows (gw_decode_outline), where somebody wants them after all: at a
 * reload rows that were decoded for one graph may run through another.
 */
#ifndef GW_OTLP_OUTLINE_H
#define GW_OTLP_OUTLINE_H

#include "batch/view.h"

/**
 * If the view's batch is an outline, give the view another one of the same rows and bytes, with all columns. Patches
 * stay. `pool` may be NULL. The memory of its columns is charged to nobody. Errors: -ENOMEM, and nothing has changed.
 */
int gw_view_make_whole(struct gw_view *v, struct gw_batch_pool *pool);

#endif
