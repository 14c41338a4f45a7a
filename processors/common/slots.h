/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of traces by their slots, in an order that does not depend on how they came together. */
#ifndef GW_PROCESSORS_COMMON_SLOTS_H
#define GW_PROCESSORS_COMMON_SLOTS_H

#include "processors/common/slabs.h"

struct gw_trace;

/** `first` and what its links (at that offset of a trace, 0 ends the list) lead to. Returns the new first. Cost: n log
 * n comparisons, no memory. */
uint32_t gw_slots_sort(const struct gw_slabs *traces, size_t link, uint32_t first,
                       int (*compare)(const struct gw_trace *a, const struct gw_trace *b));

#endif
