/* SPDX-License-Identifier: Apache-2.0 */
/* Memory whose bytes are counted where they are taken, and limited. Threads: one owner. */
#ifndef GW_SERIES_HEAP_H
#define GW_SERIES_HEAP_H

#include <stdint.h>
#include <stdlib.h>

enum { GW_HEAP_HEAD = 16 }; /* what malloc takes for itself */

struct gw_heap {
    uint64_t held_bytes, max_bytes; /* max 0: no limit */
};

/** As realloc; from 0 bytes: as malloc. Errors: NULL, errno ENOSPC over the limit or ENOMEM; then the old one stays. */
void *gw_heap_resize(struct gw_heap *h, void *p, size_t old_bytes, size_t bytes);
static inline void gw_heap_free(struct gw_heap *h, void *p, size_t bytes)
{
    if (p)
        h->held_bytes -= bytes + GW_HEAP_HEAD;
    free(p);
}

#endif
