/* SPDX-License-Identifier: Apache-2.0 */
#include "values/wire.h"

uint64_t gw_wire_take_varint(struct gw_slice *m)
{
    uint64_t v = 0;

    for (unsigned shift = 0; m->n && shift < 64; shift += 7) {
        uint8_t c = *m->p;

        m->p++;
        m->n--;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            break;
    }
    return v;
}

bool gw_wire_take(struct gw_slice *m, struct gw_wire_field *f)
{
    uint64_t tag, fixed = 0;
    size_t n;

    if (m->n == 0)
        return false;
    tag = gw_wire_take_varint(m);
    f->number = (unsigned)(tag >> 3);
    f->scalar = 0;
    f->bytes = (struct gw_slice){m->p, 0};
    switch (tag & 7) {
    case 0:
        f->scalar = gw_wire_take_varint(m);
        return true;
    case 1:
    case 5:
        n = (tag & 7) == 1 ? 8 : 4;
        if (m->n < n)
            return false;
        memcpy(&fixed, m->p, n);
        f->scalar = fixed;
        break;
    case 2:
        n = gw_wire_take_varint(m);
        if (m->n < n)
            return false;
        f->bytes = (struct gw_slice){m->p, n};
        break;
    default:
        return false;
    }
    m->p += n;
    m->n -= n;
    return true;
}
