/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/parting.h"

static void put(struct gw_parting_key *k, const void *p, size_t n)
{
    size_t room = sizeof(k->bytes) - k->n;

    n = n < room ? n : room;
    if (n)
        memcpy(k->bytes + k->n, p, n);
    k->n += n;
}

void gw_parting_put(struct gw_parting_key *k, const struct gw_value *value)
{
    uint8_t type = (uint8_t)value->type, flag = value->type == GW_V_BOOL && value->b;

    put(k, &type, 1);
    switch (value->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        put(k, &value->s.n, sizeof(uint64_t));
        put(k, value->s.p, value->s.n);
        break;
    case GW_V_BOOL:
        put(k, &flag, 1);
        break;
    case GW_V_INT:
        put(k, &value->i, sizeof(value->i));
        break;
    case GW_V_DOUBLE:
        put(k, &value->f, sizeof(value->f));
        break;
    case GW_V_EMPTY:
        break;
    }
}
