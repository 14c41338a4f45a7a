/* SPDX-License-Identifier: Apache-2.0 */
/* Patches become columns: for those who read columns behind whoever patched. */
#ifndef GW_PROCESSORS_COMMON_FLATTEN_H
#define GW_PROCESSORS_COMMON_FLATTEN_H

#include "batch/view.h"

/**
 * The same rows without patches: a view whose batch is the encoded rows decoded again, a segment for each request that
 * has rows left. An unpatched view comes back as it is. Takes v; the tickets go along.
 *
 * Errors    -ENOMEM, -E2BIG, -EBADMSG: v is as it was
 */
int gw_view_flatten(struct gw_view *v);

#endif
