/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a journal parts its rows: a partition is XXH3-64 of a key, modulo 64, the same on every machine and in every
 * version. The key of a trace is its 16 bytes; of a service, the text of service.name; of attributes, each one's type
 * and value, "empty" when it is not there.
 */
#ifndef GW_PIPELINE_PARTING_H
#define GW_PIPELINE_PARTING_H

#include "batch/view.h"
#include "config/schema.h"
#include "core/hash.h"

enum gw_parting_by { GW_PART_NONE, GW_PART_TRACE, GW_PART_SERVICE, GW_PART_TENANT, GW_PART_ATTRIBUTES };
enum { GW_PARTITIONS = 64, GW_PARTING_KEY_BYTES = 4096 /* what is longer counts up to here */ };

struct gw_parting {
    enum gw_parting_by by;
    struct gw_list attributes; /* borrowed: of texts */
};

/** The key of attributes, in which they come. */
struct gw_parting_key {
    uint8_t bytes[GW_PARTING_KEY_BYTES];
    size_t n;
};
/** Begins with n = 0. */
void gw_parting_put(struct gw_parting_key *k, const struct gw_value *value);
static inline uint8_t gw_partition_of(struct gw_slice key)
{
    return (uint8_t)(gw_hash_stable(key) % GW_PARTITIONS);
}
/** service: type EMPTY when there is none. */
static inline uint8_t gw_partition_of_service(const struct gw_value *service)
{
    return gw_partition_of(service->type == GW_V_STRING ? service->s : GW_SLICE(""));
}

#endif
