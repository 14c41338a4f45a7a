/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs of a map that is being made, or compared: in the arena, in order of their keys afterwards. Of a key that
 * came twice the last value counts, as in a Go map.
 */
#ifndef GW_OTTL_PAIRS_H
#define GW_OTTL_PAIRS_H

#include "ottl/types.h"

struct gw_ottl_pair {
    struct gw_slice key;
    struct gw_ottl_value value;
    uint32_t at; /* in order of coming */
};

struct gw_ottl_pairs {
    struct gw_ottl_pair *items;
    uint32_t n, cap;
};

/** Errors: false: r->error. */
bool gw_ottl_pairs_add(struct gw_ottl_run *r, struct gw_ottl_pairs *p, struct gw_slice key,
                       const struct gw_ottl_value *value);
/** By key, then by order of coming. No malloc, as qsort may do. */
void gw_ottl_pairs_sort(struct gw_ottl_pairs *p);
/** Sorts, and makes a map of them. Errors: false: r->error. */
bool gw_ottl_pairs_map(struct gw_ottl_run *r, struct gw_ottl_pairs *p, struct gw_ottl_value *ret);

#endif
