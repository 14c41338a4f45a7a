/* SPDX-License-Identifier: Apache-2.0 */
/* Which partition a row belongs to: by its key (pipeline/parting.h), modulo how many there are. */
#include <stdlib.h>

#include "connectors/journal/journal.h"
#include "pipeline/parting.h"

static const char *const words[] = {"none", "trace_id", "service", "tenant", "attributes"};

void gw_journal_key_text(const struct journal_settings *s, struct gw_buf *out)
{
    gw_buf_put_str(out, words[s->partition_by]);
    for (size_t i = 0; s->partition_by == BY_ATTRIBUTES && i < s->attributes.n; i++)
        gw_buf_printf(out, "%s%s", i ? ", " : " ", ((const char *const *)s->attributes.items)[i]);
}

static uint8_t service_of(const struct gw_view *v, uint32_t resource)
{
    struct gw_value name = {.type = GW_V_EMPTY};

    if (!gw_view_attr_get(v, GW_OWN_RESOURCE, resource, GW_SLICE("service.name"), &name))
        name.type = GW_V_EMPTY;
    return gw_partition_of_service(&name);
}

/* Of the row, else of its scope, else of its resource. */
static uint8_t attributes_of(const struct gw_view *v, const struct gw_list *names, uint32_t row)
{
    uint32_t scope = v->batch->scope[row], resource = v->batch->scopes[scope].resource;
    struct gw_parting_key k;

    k.n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct gw_slice name = gw_slice_cstr(((const char *const *)names->items)[i]);
        struct gw_value value = {.type = GW_V_EMPTY};

        if (!gw_view_attr_get(v, GW_OWN_ROW, row, name, &value) &&
            !gw_view_attr_get(v, GW_OWN_SCOPE, scope, name, &value) &&
            !gw_view_attr_get(v, GW_OWN_RESOURCE, resource, name, &value))
            value.type = GW_V_EMPTY;
        gw_parting_put(&k, &value);
    }
    return gw_partition_of(gw_slice_of(k.bytes, k.n));
}

uint8_t gw_journal_partition_of_trace(const uint8_t trace_id[16])
{
    return gw_partition_of(gw_slice_of(trace_id, 16));
}

static bool has_trace(const struct gw_batch *b, uint32_t row)
{
    return b->trace_id && !(b->row_flags[row] & (GW_ROW_NO_TRACE_ID | GW_ROW_BAD_TRACE_ID));
}

/* Rows of one resource stand together: what its service is, is asked once. */
static int by_row(const struct journal *j, const struct gw_view *v, uint8_t *ret)
{
    const struct journal_settings *s = &j->conf;
    const struct gw_batch *b = v->batch;
    uint32_t last = UINT32_MAX, resource;
    uint8_t service = 0, p;
    int all = -2;

    for (uint32_t r = gw_view_next(v, 0); r < b->n_rows; r = gw_view_next(v, r + 1)) {
        if (s->partition_by == BY_ATTRIBUTES) {
            p = attributes_of(v, &s->attributes, r);
        } else if (s->partition_by == BY_TRACE_ID && has_trace(b, r)) {
            p = gw_journal_partition_of_trace(b->trace_id[r]);
        } else {
            resource = gw_batch_resource_of(b, r);
            if (resource != last)
                service = service_of(v, resource);
            last = resource;
            p = service;
        }
        ret[r] = p & (uint8_t)(j->parting.n - 1);
        all = all == -2 || all == ret[r] ? ret[r] : -1;
    }
    return all;
}

int gw_journal_partition(const struct journal *j, const struct gw_view *v, unsigned spread, uint8_t *ret)
{
    switch ((enum journal_key)j->conf.partition_by) {
    case BY_NONE:
        return (int)(spread % j->parting.n);
    case BY_TENANT:
        return (int)(gw_partition_of(v->meta ? v->meta->tenant : GW_SLICE("")) & (j->parting.n - 1));
    case BY_TRACE_ID:
    case BY_SERVICE:
    case BY_ATTRIBUTES:
        break;
    }
    return by_row(j, v, ret);
}
