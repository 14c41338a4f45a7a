/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as calendars have them, and their texts: the directives of strptime as the Collector reads and writes them
 * (internal/coreinternal/timeutils). UTC stands for the local zone, as it is in a container.
 */
#ifndef GW_OTTL_TIME_H
#define GW_OTTL_TIME_H

#include "ottl/types.h"

struct gw_ottl_civil {
    int64_t year;
    unsigned month, day, hour, minute, second, weekday; /* month and day from 1; weekday 0 = Sunday */
};

int64_t gw_ottl_days(int64_t year, unsigned month, unsigned day); /* since 1970-01-01 */
/** In the zone of the value. */
struct gw_ottl_civil gw_ottl_civil_of(const struct gw_ottl_value *time);

/** Go's time.RFC3339Nano. */
void gw_ottl_put_rfc3339(struct gw_buf *out, const struct gw_ottl_value *time);

/** time.ParseDuration: "1h15m30.5s", "-1.5h", "300ms". False when it is none. */
bool gw_ottl_parse_duration(struct gw_slice s, int64_t *ret);

/** Errors: -EINVAL, err says which directive is unknown. */
int gw_ottl_layout_check(struct gw_slice layout, struct gw_err *err);
/**
 * `now` is the year of texts that have none. `offset` is of the zone that texts without one are in.
 *
 * Errors    -EINVAL, err says what did not fit
 */
int gw_ottl_time_parse(struct gw_slice layout, struct gw_slice text, int32_t offset, uint64_t now_ns,
                       struct gw_ottl_value *ret, struct gw_err *err);
/** The layout must have been checked. */
void gw_ottl_put_time(struct gw_buf *out, struct gw_slice layout, const struct gw_ottl_value *time);
/** Zones without daylight saving: "UTC", "GMT", "EST", … Others are not known. */
bool gw_ottl_zone(struct gw_slice name, int32_t *ret_offset);

#endif
