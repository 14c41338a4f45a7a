/* SPDX-License-Identifier: Apache-2.0 */
#include "series/heap.h"

#include <errno.h>

void *gw_heap_resize(struct gw_heap *h, void *p, size_t old_bytes, size_t bytes)
{
    uint64_t before = p ? old_bytes + GW_HEAP_HEAD : 0, after = bytes + GW_HEAP_HEAD;
    void *q;

    if (h->max_bytes && after > before && h->held_bytes + (after - before) > h->max_bytes) {
        errno = ENOSPC;
        return NULL;
    }
    q = realloc(p, bytes);
    if (q)
        h->held_bytes += after - before;
    return q;
}
