/* SPDX-License-Identifier: Apache-2.0 */
/* Paths read: from the columns, or from the patch that is on top of them. */
#include "ottl/fields.h"
#include "core/json_writer.h"
#include "ottl/paths.h"
#include "values/wire.h"

struct place {
    enum gw_owner owner;
    uint32_t index;
};

/* True when a patch says what the field is; *ret is then its value, without one an empty field. */
static bool patched(struct gw_ottl_run *r, struct place at, uint32_t field, struct gw_wire_field *ret)
{
    struct gw_slice encoded;

    if (__builtin_expect(!gw_view_is_patched(r->v, at.owner, at.index), 1) ||
        !gw_view_field_get(r->v, at.owner, at.index, field, &encoded))
        return false;
    if (!gw_wire_take(&encoded, ret))
        *ret = (struct gw_wire_field){.bytes = GW_SLICE("")};
    return true;
}

static void put_text(struct gw_ottl_run *r, struct place at, uint32_t field, struct gw_ref column,
                     struct gw_ottl_value *ret)
{
    struct gw_wire_field f;

    *ret = gw_ottl_string(patched(r, at, field, &f) ? f.bytes : gw_batch_slice(r->v->batch, column));
}

static uint64_t scalar(struct gw_ottl_run *r, struct place at, uint32_t field, uint64_t column)
{
    struct gw_wire_field f;

    return patched(r, at, field, &f) ? f.scalar : column;
}

/* An id of n bytes; one of another length is as none. */
static void put_id(struct gw_ottl_run *r, struct place at, uint32_t field, const uint8_t *column, unsigned n,
                   struct gw_ottl_value *ret)
{
    struct gw_wire_field f;

    *ret = (struct gw_ottl_value){.type = n == 16 ? GW_OT_TRACE_ID : GW_OT_SPAN_ID};
    if (patched(r, at, field, &f))
        column = f.bytes.n == n ? f.bytes.p : NULL;
    if (column)
        memcpy(ret->id, column, n);
}

static bool as_hex(struct gw_ottl_run *r, unsigned n, struct gw_ottl_value *v)
{
    size_t begin = r->buf->n;
    struct gw_slice text;

    gw_put_hex(r->buf, gw_slice_of(v->id, n));
    if (!gw_ottl_take_buf(r, begin, &text))
        return false;
    *v = gw_ottl_string(text);
    return true;
}

static struct gw_ottl_value map_of(struct place at)
{
    return (struct gw_ottl_value){.type = GW_OT_MAP, .form = GW_OF_OWNER, .owned = {at.owner, at.index}};
}

static struct gw_ottl_value other(enum gw_ottl_form form, uint32_t n, enum field what, uint32_t index)
{
    return (struct gw_ottl_value){.type = GW_OT_OTHER, .form = form, .n = n, .other = {what, index}};
}

/* Of the messages that the columns do not hold, the count stands on the wire. */
static int64_t count_on_wire(struct gw_ottl_run *r, struct place at, struct gw_ref raw, unsigned field)
{
    struct gw_slice rest = gw_batch_slice(r->v->batch, raw);
    struct gw_wire_field f;
    uint64_t n = 0;

    while (gw_wire_take(&rest, &f))
        if (f.number == field)
            n = f.scalar;
    return (int64_t)(uint32_t)scalar(r, at, field, n);
}

/* ---- resources and scopes --------------------------------------------------------------------------------- */

static void get_resource(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct place at = {GW_OWN_RESOURCE, r->resource};

    if (f == F_ATTRIBUTES)
        *ret = map_of(at);
    else if (f == F_DROPPED)
        *ret = gw_ottl_int(count_on_wire(r, at, b->resources[r->resource].raw, 2));
    else
        *ret = gw_ottl_string(gw_batch_slice(b, b->resources[r->resource].schema_url));
}

static void get_scope(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_scope *s = &r->v->batch->scopes[r->scope];
    struct place at = {GW_OWN_SCOPE, r->scope};

    if (f == F_ATTRIBUTES)
        *ret = map_of(at);
    else if (f == F_DROPPED)
        *ret = gw_ottl_int(count_on_wire(r, at, s->raw, 4));
    else if (f == F_SCHEMA_URL)
        *ret = gw_ottl_string(gw_batch_slice(r->v->batch, s->schema_url));
    else
        put_text(r, at, f == F_NAME ? 1 : 2, f == F_NAME ? s->name : s->version, ret);
}

/* ---- spans ------------------------------------------------------------------------------------------------ */

static struct gw_ottl_value kind_name(uint64_t kind, bool deprecated)
{
    static const char *const names[][2] = {
        {"Unspecified", "SPAN_KIND_UNSPECIFIED"}, {"Internal", "SPAN_KIND_INTERNAL"},
        {"Server", "SPAN_KIND_SERVER"},           {"Client", "SPAN_KIND_CLIENT"},
        {"Producer", "SPAN_KIND_PRODUCER"},       {"Consumer", "SPAN_KIND_CONSUMER"}};

    return gw_ottl_string(kind < 6 ? gw_slice_cstr(names[kind][deprecated]) : GW_SLICE(""));
}

static void get_status(struct gw_ottl_run *r, struct place at, enum field what, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct gw_slice message = gw_batch_slice(b, b->status_message[r->row]);
    uint64_t code = b->status[r->row];
    struct gw_wire_field f, part;

    if (what == F_STATUS) {
        *ret = other(GW_OF_PART, 0, F_STATUS, r->row);
        return;
    }
    if (patched(r, at, 15, &f)) {
        code = 0;
        message = GW_SLICE("");
        while (gw_wire_take(&f.bytes, &part))
            if (part.number == 3)
                code = part.scalar;
            else if (part.number == 2)
                message = part.bytes;
    }
    *ret = what == F_STATUS_CODE ? gw_ottl_int((int32_t)code) : gw_ottl_string(message);
}

void gw_ottl_parent_get(struct gw_ottl_run *r, struct gw_ottl_value *ret)
{
    put_id(r, (struct place){GW_OWN_ROW, r->row}, 4, r->v->batch->parent_id[r->row], 8, ret);
}

void gw_ottl_trace_state(struct gw_ottl_run *r, struct gw_ottl_value *ret)
{
    put_text(r, (struct place){GW_OWN_ROW, r->row}, 3, r->v->batch->trace_state[r->row], ret);
}

static bool get_span_id(struct gw_ottl_run *r, struct place at, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;

    if (f == F_TRACE_ID || f == F_TRACE_ID_STRING)
        put_id(r, at, 1, b->trace_id[r->row], 16, ret);
    else if (f == F_SPAN_ID || f == F_SPAN_ID_STRING)
        put_id(r, at, 2, b->span_id[r->row], 8, ret);
    else
        gw_ottl_parent_get(r, ret);
    if (f == F_TRACE_ID_STRING)
        return as_hex(r, 16, ret);
    return f == F_SPAN_ID_STRING || f == F_PARENT_ID_STRING ? as_hex(r, 8, ret) : true;
}

static void get_span_number(struct gw_ottl_run *r, struct place at, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct gw_range range;

    switch ((int)f) {
    case F_FLAGS:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 16, b->flags[r->row]));
        break;
    case F_DROPPED:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 10, b->dropped_attrs[r->row]));
        break;
    case F_DROPPED_EVENTS:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 12, b->dropped_events[r->row]));
        break;
    case F_DROPPED_LINKS:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 14, b->dropped_links[r->row]));
        break;
    default:
        range = f == F_EVENTS ? b->events_of[r->row] : b->links_of[r->row];
        *ret = other(GW_OF_SLICE, range.end - range.begin, f, r->row);
    }
}

static bool get_span(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct place at = {GW_OWN_ROW, r->row};
    uint64_t v;

    switch ((int)f) {
    case F_ATTRIBUTES:
        *ret = map_of(at);
        return true;
    case F_NAME:
        put_text(r, at, 5, b->name[r->row], ret);
        return true;
    case F_TRACE_STATE:
        gw_ottl_trace_state(r, ret);
        return true;
    case F_KIND:
    case F_KIND_STRING:
    case F_KIND_DEPRECATED:
        v = scalar(r, at, 6, b->kind[r->row]);
        *ret = f == F_KIND ? gw_ottl_int((int32_t)v) : kind_name(v, f == F_KIND_DEPRECATED);
        return true;
    case F_START:
    case F_START_NS:
        v = scalar(r, at, 7, b->time_ns[r->row]);
        *ret = f == F_START ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_END:
    case F_END_NS:
        v = scalar(r, at, 8, b->end_ns[r->row]);
        *ret = f == F_END ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_STATUS:
    case F_STATUS_CODE:
    case F_STATUS_MESSAGE:
        get_status(r, at, f, ret);
        return true;
    case F_FLAGS:
    case F_DROPPED:
    case F_DROPPED_EVENTS:
    case F_DROPPED_LINKS:
    case F_EVENTS:
    case F_LINKS:
        get_span_number(r, at, f, ret);
        return true;
    default:
        return get_span_id(r, at, f, ret);
    }
}

static void get_event(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    const struct gw_event *e = &b->events[r->event];

    if (f == F_ATTRIBUTES)
        *ret = (struct gw_ottl_value){.type = GW_OT_MAP, .form = GW_OF_RANGE, .range = e->attrs};
    else if (f == F_NAME)
        *ret = gw_ottl_string(gw_batch_slice(b, e->name));
    else if (f == F_TIME)
        *ret = gw_ottl_time_of(e->time_ns);
    else if (f == F_TIME_NS)
        *ret = gw_ottl_int((int64_t)e->time_ns);
    else if (f == F_DROPPED)
        *ret = gw_ottl_int(e->dropped_attrs);
    else
        *ret = gw_ottl_int(r->event - b->events_of[r->row].begin);
}

/* ---- metrics ---------------------------------------------------------------------------------------------- */

static void get_metric(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_metric_desc *m = &r->v->batch->metrics[r->metric];
    struct place at = {GW_OWN_METRIC, r->metric};

    *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
    switch ((int)f) {
    case F_NAME:
        put_text(r, at, 1, m->name, ret);
        break;
    case F_DESCRIPTION:
        put_text(r, at, 2, m->description, ret);
        break;
    case F_UNIT:
        put_text(r, at, 3, m->unit, ret);
        break;
    case F_TYPE:
        *ret = gw_ottl_int(m->type);
        break;
    case F_TEMPORALITY:
        if (m->type == GW_M_SUM || m->type == GW_M_HISTOGRAM || m->type == GW_M_EXP_HISTOGRAM)
            *ret = gw_ottl_int(m->temporality);
        break;
    case F_MONOTONIC:
        if (m->type == GW_M_SUM)
            *ret = gw_ottl_bool(m->monotonic);
        break;
    case F_POINTS:
        if (m->type != GW_M_NONE)
            *ret = other(GW_OF_SLICE, m->rows.end - m->rows.begin, F_POINTS, r->metric);
        break;
    default:
        *ret = map_of(at);
    }
}

/* Packed numbers of eight bytes, as a list: counts, or doubles. */
static bool put_fixed(struct gw_ottl_run *r, enum gw_ottl_form form, struct gw_ref packed, struct gw_ottl_value *ret)
{
    uint32_t n = packed.len / 8;
    struct gw_ottl_value *items = gw_arena_alloc(r->arena, (n + (size_t)1) * sizeof(*items));

    if (!items)
        return gw_ottl_starve(r);
    for (uint32_t i = 0; i < n; i++) {
        items[i] = gw_ottl_int(0);
        items[i].type = form == GW_OF_TYPED ? GW_OT_DOUBLE : GW_OT_INT;
        memcpy(&items[i].i, r->v->batch->base + packed.off + (size_t)i * 8, 8);
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = form, .n = n, .items = items};
    return true;
}

static bool put_varints(struct gw_ottl_run *r, struct gw_ref packed, uint32_t n, struct gw_ottl_value *ret)
{
    struct gw_ottl_value *items = gw_arena_alloc(r->arena, (n + (size_t)1) * sizeof(*items));
    uint32_t at = packed.off;
    uint64_t v = 0;

    if (!items)
        return gw_ottl_starve(r);
    for (uint32_t i = 0; i < n; i++) {
        (void)gw_packed_varint_next(r->v->batch, packed, &at, &v);
        items[i] = gw_ottl_int((int64_t)v);
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_COUNTS, .n = n, .items = items};
    return true;
}

static bool get_histogram(struct gw_ottl_run *r, const struct gw_hist *h, enum field f, struct gw_ottl_value *ret)
{
    if (f == F_COUNT)
        *ret = gw_ottl_int((int64_t)h->count);
    else if (f == F_SUM)
        *ret = gw_ottl_double(h->has_sum ? h->sum : 0);
    else if (f == F_BUCKET_COUNTS)
        return put_fixed(r, GW_OF_COUNTS, h->counts, ret);
    else if (f == F_BOUNDS)
        return put_fixed(r, GW_OF_TYPED, h->bounds, ret);
    return true;
}

static bool get_exp_histogram(struct gw_ottl_run *r, const struct gw_exphist *h, enum field f,
                              struct gw_ottl_value *ret)
{
    switch ((int)f) {
    case F_COUNT:
        *ret = gw_ottl_int((int64_t)h->count);
        break;
    case F_SUM:
        *ret = gw_ottl_double(h->has_sum ? h->sum : 0);
        break;
    case F_SCALE:
        *ret = gw_ottl_int(h->scale);
        break;
    case F_ZERO_COUNT:
        *ret = gw_ottl_int((int64_t)h->zero_count);
        break;
    case F_POSITIVE:
    case F_NEGATIVE:
        *ret = other(GW_OF_PART, 0, f, r->row);
        break;
    case F_POSITIVE_OFFSET:
        *ret = gw_ottl_int(h->positive_offset);
        break;
    case F_NEGATIVE_OFFSET:
        *ret = gw_ottl_int(h->negative_offset);
        break;
    case F_POSITIVE_COUNTS:
        return put_varints(r, h->positive, h->n_positive, ret);
    case F_NEGATIVE_COUNTS:
        return put_varints(r, h->negative, h->n_negative, ret);
    default:
        break;
    }
    return true;
}

static bool get_point_value(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    union gw_val v = b->number[r->row];
    enum gw_number_type type = (enum gw_number_type)b->number_type[r->row];

    switch (type) {
    case GW_N_NONE:
    case GW_N_INT:
    case GW_N_DOUBLE:
        if (f == F_VALUE_INT)
            *ret = gw_ottl_int(type == GW_N_INT ? v.i64 : 0);
        else if (f == F_VALUE_DOUBLE)
            *ret = gw_ottl_double(type == GW_N_DOUBLE ? v.f64 : 0);
        break;
    case GW_N_HISTOGRAM:
        return get_histogram(r, &b->hists[v.u64], f, ret);
    case GW_N_EXP_HISTOGRAM:
        return get_exp_histogram(r, &b->exphists[v.u64], f, ret);
    case GW_N_SUMMARY:
        if (f == F_COUNT)
            *ret = gw_ottl_int((int64_t)b->summaries[v.u64].count);
        else if (f == F_SUM)
            *ret = gw_ottl_double(b->summaries[v.u64].sum);
        else if (f == F_QUANTILES)
            *ret =
                other(GW_OF_SLICE, b->summaries[v.u64].quantiles.end - b->summaries[v.u64].quantiles.begin, f, r->row);
        break;
    }
    return true;
}

static bool get_point(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct place at = {GW_OWN_ROW, r->row};
    struct gw_range range;
    uint64_t v;

    *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
    switch ((int)f) {
    case F_ATTRIBUTES:
        *ret = map_of(at);
        return true;
    case F_START:
    case F_START_NS:
        v = scalar(r, at, 2, b->start_ns[r->row]);
        *ret = f == F_START ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_TIME:
    case F_TIME_NS:
        v = scalar(r, at, 3, b->time_ns[r->row]);
        *ret = f == F_TIME ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_FLAGS:
        *ret = gw_ottl_int(b->flags[r->row]);
        return true;
    case F_EXEMPLARS:
        range = b->exemplars_of[r->row];
        if (b->number_type[r->row] != GW_N_SUMMARY)
            *ret = other(GW_OF_SLICE, range.end - range.begin, f, r->row);
        return true;
    default:
        return get_point_value(r, f, ret);
    }
}

/* ---- logs ------------------------------------------------------------------------------------------------- */

static bool get_body(struct gw_ottl_run *r, struct place at, bool as_text, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    size_t begin = r->buf->n;
    struct gw_wire_field f;
    struct gw_value v =
        patched(r, at, 5, &f) ? gw_value_of_any(f.bytes) : gw_value_of(b, b->body_type[r->row], b->body[r->row]);

    if (!as_text) {
        gw_ottl_of_value(&v, ret);
        return true;
    }
    *ret = gw_ottl_string(v.type == GW_V_STRING ? v.s : GW_SLICE(""));
    if (v.type == GW_V_STRING || v.type == GW_V_EMPTY)
        return true;
    gw_value_put_text(r->buf, &v, r->arena, GW_TEXT_PLAIN);
    return gw_ottl_take_buf(r, begin, &ret->s);
}

static bool get_log_id(struct gw_ottl_run *r, struct place at, enum field f, struct gw_ottl_value *ret)
{
    bool trace = f == F_TRACE_ID || f == F_TRACE_ID_STRING;

    if (trace)
        put_id(r, at, 9, r->v->batch->trace_id[r->row], 16, ret);
    else
        put_id(r, at, 10, r->v->batch->span_id[r->row], 8, ret);
    return f == F_TRACE_ID_STRING || f == F_SPAN_ID_STRING ? as_hex(r, trace ? 16 : 8, ret) : true;
}

static bool get_log(struct gw_ottl_run *r, enum field f, struct gw_ottl_value *ret)
{
    const struct gw_batch *b = r->v->batch;
    struct place at = {GW_OWN_ROW, r->row};
    uint64_t v;

    switch ((int)f) {
    case F_ATTRIBUTES:
        *ret = map_of(at);
        return true;
    case F_BODY:
    case F_BODY_STRING:
        return get_body(r, at, f == F_BODY_STRING, ret);
    case F_SEVERITY:
        *ret = gw_ottl_int((int32_t)scalar(r, at, 2, b->severity[r->row]));
        return true;
    case F_SEVERITY_TEXT:
        put_text(r, at, 3, b->severity_text[r->row], ret);
        return true;
    case F_EVENT_NAME:
        put_text(r, at, 12, b->event_name[r->row], ret);
        return true;
    case F_TIME:
    case F_TIME_NS:
        v = scalar(r, at, 1, b->time_ns[r->row]);
        *ret = f == F_TIME ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_OBSERVED:
    case F_OBSERVED_NS:
        v = scalar(r, at, 11, b->observed_ns[r->row]);
        *ret = f == F_OBSERVED ? gw_ottl_time_of(v) : gw_ottl_int((int64_t)v);
        return true;
    case F_FLAGS:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 8, b->flags[r->row]));
        return true;
    case F_DROPPED:
        *ret = gw_ottl_int((uint32_t)scalar(r, at, 7, b->dropped_attrs[r->row]));
        return true;
    default:
        return get_log_id(r, at, f, ret);
    }
}

bool gw_ottl_path_get(struct gw_ottl_run *r, const struct gw_ottl_path *p, struct gw_ottl_value *ret)
{
    enum field f = (enum field)p->field;

    switch ((enum gw_ottl_context)p->context) {
    case GW_OTTL_RESOURCE:
        get_resource(r, f, ret);
        return true;
    case GW_OTTL_SCOPE:
        get_scope(r, f, ret);
        return true;
    case GW_OTTL_SPAN:
        return get_span(r, f, ret);
    case GW_OTTL_SPANEVENT:
        get_event(r, f, ret);
        return true;
    case GW_OTTL_METRIC:
        get_metric(r, f, ret);
        return true;
    case GW_OTTL_DATAPOINT:
        return get_point(r, f, ret);
    case GW_OTTL_LOG:
    case GW_OTTL_N_CONTEXTS:
        break;
    }
    return get_log(r, f, ret);
}
