/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a protobuf message that the decoder has checked, one after the other. */
#ifndef GW_VALUES_WIRE_H
#define GW_VALUES_WIRE_H

#include "core/slice.h"

struct gw_wire_field {
    unsigned number;
    uint64_t scalar;       /* of varint and fixed fields */
    struct gw_slice bytes; /* of length-delimited ones */
};

uint64_t gw_wire_take_varint(struct gw_slice *m);
/** False at the end, and at what is no field. */
bool gw_wire_take(struct gw_slice *m, struct gw_wire_field *f);

#endif
