/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "processors/common/spool.h"
#include "processors/dynamic_sampling/dynamic.h"

bool gw_ds_names_init(struct gw_ds_names *n)
{
    return gw_ds_names_put(n, GW_SLICE("_eviction")) == GW_DS_EVICTED && n->n == 1 &&
           gw_ds_names_put(n, GW_SLICE("_forgotten")) == GW_DS_FORGOTTEN && n->n == 2;
}

void gw_ds_names_clear(struct gw_ds_names *n)
{
    for (uint32_t i = 0; i < n->n; i++)
        free(n->list[i]);
    n->n = 0;
}

uint32_t gw_ds_names_put(struct gw_ds_names *n, struct gw_slice name)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (gw_slice_is(name, n->list[i]))
            return i;
    if (n->n == GW_DS_MAX_NAMES)
        return GW_DS_FORGOTTEN;
    n->list[n->n] = strndup((const char *)name.p, name.n);
    return n->list[n->n] ? n->n++ : GW_DS_FORGOTTEN;
}

void gw_ds_names_write(const struct gw_ds_names *n, uint32_t number, struct gw_buf *out)
{
    gw_buf_put_u8(out, (uint8_t)number);
    gw_spool_put_bytes(out, gw_slice_cstr(n->list[number]));
}

bool gw_ds_names_read(struct gw_ds_names *n, struct gw_spool_in *in, uint8_t ours[256])
{
    uint8_t number = gw_spool_get_u8(in);
    struct gw_slice name = gw_spool_get_bytes(in);

    if (in->bad)
        return false;
    ours[number] = (uint8_t)gw_ds_names_put(n, name);
    return true;
}

void gw_ds_number_rules(struct gw_ds *s)
{
    for (uint32_t i = 0; i < s->rules.n; i++)
        s->rules.list[i].name = gw_ds_names_put(&s->names, gw_slice_cstr(s->rules.list[i].conf->name));
}
