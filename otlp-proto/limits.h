/* SPDX-License-Identifier: Apache-2.0 */
/* What one request may hold. Every limit has a setting of the receiver; 0 is never "no limit". */
#ifndef GW_OTLP_LIMITS_H
#define GW_OTLP_LIMITS_H

#include <stdint.h>

enum { GW_DEPTH_MAX = 256 }; /* no setting of depth gets beyond */

struct gw_limits {
    uint32_t depth;                 /* nested AnyValues, protobuf and JSON alike: 64 */
    uint32_t rows;                  /* records of one request */
    uint64_t decode_bytes_per_byte; /* columns: 4 × wire + 128 B × rows + 1 MiB */
};

#define GW_LIMITS_DEFAULT                                                                                              \
    {                                                                                                                  \
        .depth = 64, .rows = 10u << 20, .decode_bytes_per_byte = 4                                                     \
    }

#endif
