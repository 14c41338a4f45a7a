/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partition a row belongs to: XXH3-64 of its key, modulo 64, the same on every machine and in every version. The
 * key of a trace is its 16 bytes; of a service, the text of service.name; of attributes, each one's type and value.
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"
#include "core/hash.h"

enum { MAX_KEY_BYTES = 4096 }; /* what is longer counts up to here */

static const char *const words[] = {"none", "trace_id", "service", "tenant", "attributes"};

void gw_journal_key_text(const struct journal_settings *s, struct gw_buf *out)
{
    gw_buf_put_str(out, words[s->partition_by]);
    for (size_t i = 0; s->partition_by == BY_ATTRIBUTES && i < s->attributes.n; i++)
        gw_buf_printf(out, "%s%s", i ? ", " : " ", ((const char *const *)s->attributes.items)[i]);
}

static uint8_t partition_of(struct gw_slice key)
{
    return (uint8_t)(gw_hash_stable(key) % JOURNAL_PARTITIONS);
}

static uint8_t service_of(const struct gw_view *v, uint32_t resource)
{
    struct gw_value name = {.type = GW_V_EMPTY};

    if (!gw_view_attr_get(v, GW_OWN_RESOURCE, resource, GW_SLICE("service.name"), &name) || name.type != GW_V_STRING)
        return partition_of(GW_SLICE(""));
    return partition_of(name.s);
}

struct key {
    uint8_t bytes[MAX_KEY_BYTES];
    size_t n;
};

static void put(struct key *k, const void *p, size_t n)
{
    size_t room = sizeof(k->bytes) - k->n;

    n = n < room ? n : room;
    if (n)
        memcpy(k->bytes + k->n, p, n);
    k->n += n;
}

static void put_value(struct key *k, const struct gw_value *value)
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

/* Of the row, else of its scope, else of its resource. */
static uint8_t attributes_of(const struct gw_view *v, const struct gw_list *names, uint32_t row)
{
    uint32_t scope = v->batch->scope[row], resource = v->batch->scopes[scope].resource;
    struct key k;

    k.n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct gw_slice name = gw_slice_cstr(((const char *const *)names->items)[i]);
        struct gw_value value = {.type = GW_V_EMPTY};

        if (!gw_view_attr_get(v, GW_OWN_ROW, row, name, &value) &&
            !gw_view_attr_get(v, GW_OWN_SCOPE, scope, name, &value) &&
            !gw_view_attr_get(v, GW_OWN_RESOURCE, resource, name, &value))
            value.type = GW_V_EMPTY;
        put_value(&k, &value);
    }
    return partition_of(gw_slice_of(k.bytes, k.n));
}

uint8_t gw_journal_partition_of_trace(const uint8_t trace_id[16])
{
    return partition_of(gw_slice_of(trace_id, 16));
}

static bool has_trace(const struct gw_batch *b, uint32_t row)
{
    return b->trace_id && !(b->row_flags[row] & (GW_ROW_NO_TRACE_ID | GW_ROW_BAD_TRACE_ID));
}

/* Rows of one resource stand together: what its service is, is asked once. */
static int by_row(const struct journal_settings *s, const struct gw_view *v, uint8_t *ret)
{
    const struct gw_batch *b = v->batch;
    uint32_t last = UINT32_MAX, resource;
    uint8_t service = 0;
    int all = -2;

    for (uint32_t r = gw_view_next(v, 0); r < b->n_rows; r = gw_view_next(v, r + 1)) {
        if (s->partition_by == BY_ATTRIBUTES) {
            ret[r] = attributes_of(v, &s->attributes, r);
        } else if (s->partition_by == BY_TRACE_ID && has_trace(b, r)) {
            ret[r] = partition_of(gw_slice_of(b->trace_id[r], 16));
        } else {
            resource = gw_batch_resource_of(b, r);
            if (resource != last)
                service = service_of(v, resource);
            last = resource;
            ret[r] = service;
        }
        all = all == -2 || all == ret[r] ? ret[r] : -1;
    }
    return all;
}

int gw_journal_partition(const struct journal_settings *s, const struct gw_view *v, unsigned spread, uint8_t *ret)
{
    switch ((enum journal_key)s->partition_by) {
    case BY_NONE:
        return (int)(spread % JOURNAL_PARTITIONS);
    case BY_TENANT:
        return partition_of(v->meta ? v->meta->tenant : GW_SLICE(""));
    case BY_TRACE_ID:
    case BY_SERVICE:
    case BY_ATTRIBUTES:
        break;
    }
    return by_row(s, v, ret);
}
