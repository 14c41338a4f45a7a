/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number of a data point's series: resource, scope's name and version, metric's name, attributes; patches
 * included, the order of attributes not. The same in every process, so that whoever has a series is the same one
 * tomorrow. Whatever else tells series apart (units, start times) does not change it.
 */
#ifndef GW_BATCH_SERIES_HASH_H
#define GW_BATCH_SERIES_HASH_H

#include "batch/view.h"

/** What the rows of a metric have in common is looked at once. */
struct gw_series_hash {
    const struct gw_view *v;
    uint32_t metric, resource; /* the last ones, or UINT32_MAX */
    uint64_t of_metric, of_resource;
    bool by_key; /* set after begin: the metric's name does not count, so that all series of one key have one number */
};

void gw_series_hash_begin(struct gw_series_hash *h, const struct gw_view *v);
/** Cost: about 10 ns an attribute of the row. */
uint64_t gw_series_hash_row(struct gw_series_hash *h, uint32_t row);

#endif
