/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/service_graph/spans.h"

#include "values/value.h"

enum { KIND_SERVER = 2, KIND_CLIENT = 3, KIND_PRODUCER = 4, KIND_CONSUMER = 5, STATUS_ERROR = 2 };

static const struct gw_slice absent;

/* As the Collector's AsString. Absent also when there is no memory for the text. */
static struct gw_slice text_of(const struct gw_view *v, enum gw_owner o, uint32_t index, const char *key)
{
    struct gw_value value;
    struct gw_slice text;

    if (!gw_view_attr_get(v, o, index, gw_slice_cstr(key), &value) || !gw_value_text(&value, v->arena, &text))
        return absent;
    return text.n ? text : GW_SLICE(""); /* empty, not absent */
}

static const char *name_at(const struct gw_list *l, size_t i)
{
    return ((const char *const *)l->items)[i];
}

/* The first of n names that is there; *ret_rank is its place, or n. */
static struct gw_slice first_of(const struct gw_view *v, enum gw_owner o, uint32_t index, const struct gw_list *names,
                                size_t n, uint32_t *ret_rank)
{
    struct gw_slice text = absent;
    size_t i;

    for (i = 0; i < n && !text.p; i++)
        text = text_of(v, o, index, name_at(names, i));
    *ret_rank = text.p ? (uint32_t)(i - 1) : (uint32_t)n;
    return text;
}

/* What all spans of a resource have in common is looked up once. */
static void enter(struct gw_span_reader *r, const struct gw_view *v, uint32_t resource)
{
    const struct gw_span_names *names = &r->names;

    if (r->inside && r->resource == resource)
        return;
    r->inside = true;
    r->resource = resource;
    r->service = text_of(v, GW_OWN_RESOURCE, resource, "service.name");
    r->has_service = r->service.n > 0;
    if (!r->has_service)
        return;
    r->database = first_of(v, GW_OWN_RESOURCE, resource, &names->databases, names->databases.n, &r->database_rank);
    for (size_t i = 0; i < names->dimensions.n; i++)
        r->resource_dims[i] = text_of(v, GW_OWN_RESOURCE, resource, name_at(&names->dimensions, i));
}

/* An empty name is none: a request needs a server. */
static struct gw_slice database_of(const struct gw_span_reader *r, const struct gw_view *v, uint32_t row)
{
    uint32_t rank;
    struct gw_slice name = first_of(v, GW_OWN_ROW, row, &r->names.databases, r->database_rank, &rank);

    if (!name.p)
        name = r->database;
    return name.n ? name : absent;
}

static void read_dims(struct gw_span_reader *r, const struct gw_view *v, uint32_t row)
{
    for (size_t i = 0; i < r->names.dimensions.n; i++)
        r->dims[i] =
            r->resource_dims[i].p ? r->resource_dims[i] : text_of(v, GW_OWN_ROW, row, name_at(&r->names.dimensions, i));
}

static void read_span(struct gw_span_reader *r, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    uint8_t kind = b->kind[row];
    bool is_client = kind == KIND_CLIENT || kind == KIND_PRODUCER;
    struct gw_slice database = absent;
    struct gw_half_key key;
    struct gw_half half = {.side = is_client ? GW_SIDE_CLIENT : GW_SIDE_SERVER,
                           .messaging = kind == KIND_PRODUCER || kind == KIND_CONSUMER,
                           .failed = b->status[row] == STATUS_ERROR,
                           .n_dims = (uint32_t)r->names.dimensions.n,
                           .service = r->service,
                           .dims = r->dims};
    uint32_t rank;

    if (b->end_ns[row] > b->time_ns[row]) /* a clock went back: no time at all is nearer than 585 years */
        half.duration_ns = b->end_ns[row] - b->time_ns[row];
    memcpy(key.trace_id, b->trace_id[row], sizeof(key.trace_id));
    memcpy(key.span_id, is_client ? b->span_id[row] : b->parent_id[row], sizeof(key.span_id));
    read_dims(r, v, row);
    if (is_client) {
        database = database_of(r, v, row);
        half.peer = first_of(v, GW_OWN_ROW, row, &r->names.peers, r->names.peers.n, &rank);
    }
    r->half(r->arg, &key, &half, database);
}

void gw_spans_read(struct gw_span_reader *r, const struct gw_view *v)
{
    const struct gw_batch *b = v->batch;

    r->inside = false;
    for (uint32_t row = gw_view_next(v, 0); row < b->n_rows; row = gw_view_next(v, row + 1)) {
        if (b->kind[row] < KIND_SERVER || b->kind[row] > KIND_CONSUMER)
            continue;
        enter(r, v, gw_batch_resource_of(b, row));
        if (r->has_service)
            read_span(r, v, row);
    }
}
