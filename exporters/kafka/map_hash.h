/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_EXPORTERS_KAFKA_MAP_HASH_H
#define GW_EXPORTERS_KAFKA_MAP_HASH_H

#include "core/buf.h"

/**
 * The key that the Collector gives to the attributes of a resource (pdatautil.MapHash): 16 bytes, the same for the same
 * keys and values in whatever order.
 *
 * Shape     two XXH64 of one serialised form, the second with a byte 0xf3 behind it; no attributes: 16 zeros
 * Owner     `resource` is an encoded Resource message; scratch is the caller's, emptied here
 * Errors    -EBADMSG, -ENOMEM, -E2BIG
 */
int gw_kafka_map_hash(struct gw_slice resource, struct gw_buf *scratch, uint8_t ret[16]);

/** A string attribute of an encoded Resource that is not empty. Borrows from `resource`. */
bool gw_kafka_resource_string(struct gw_slice resource, struct gw_slice key, struct gw_slice *ret);

#endif
