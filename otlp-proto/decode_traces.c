/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, their events and links. */
#include "otlp-proto/decode_priv.h"

static const uint8_t *event_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_event *e)
{
    static const char name[] = "Span.Event";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_I64):
            e->time_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_string(d, &p, end, &e->name, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_row_attr(d, at, p, end, &e->attrs);
            break;
        case GW_TAG(4, GW_VARINT):
            p = gw_dec_u32(d, &p, &e->dropped_attrs, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0xfu << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *event(struct gw_dec *d, const uint8_t *p, const uint8_t *end)
{
    struct gw_batch *b = d->b;
    struct gw_event e = {0};
    void *table = b->events;
    uint32_t n;
    bool room;

    if (!gw_dec_len(d, &p, end, &n, "Span.Event"))
        return NULL;
    if (d->mode == GW_DEC_TRUSTED)
        return p + n;
    e.raw = (struct gw_ref){(uint32_t)(p - d->base), n};
    p = event_body(d, p, p + n, &e);
    if (!p)
        return NULL;
    if (d->mode == GW_DEC_OUTLINE) {
        d->charged += sizeof(e);
        return p;
    }
    room = gw_dec_reserve(d, &table, b->n_events, &b->cap_events, sizeof(e));
    b->events = table;
    if (!room)
        return NULL;
    b->events[b->n_events++] = e;
    return p;
}

static const uint8_t *link_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_link *l,
                                uint8_t *id_flags)
{
    static const char name[] = "Span.Link";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_id(d, &p, end, l->trace_id, 16, id_flags, 0, GW_ROW_BAD_TRACE_ID, name) ? p : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_id(d, &p, end, l->span_id, 8, id_flags, 0, GW_ROW_BAD_SPAN_ID, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &l->trace_state, name) ? p : NULL;
            break;
        case GW_TAG(4, GW_LEN):
            p = gw_dec_row_attr(d, at, p, end, &l->attrs);
            break;
        case GW_TAG(5, GW_VARINT):
            p = gw_dec_u32(d, &p, &l->dropped_attrs, name) ? p : NULL;
            break;
        case GW_TAG(6, GW_I32):
            l->flags = gw_load32(p);
            p += 4;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x3fu << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *link_field(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint8_t *row_flags)
{
    struct gw_batch *b = d->b;
    struct gw_link l = {0};
    void *table = b->links;
    uint8_t id_flags = 0;
    uint32_t n;
    bool room;

    if (!gw_dec_len(d, &p, end, &n, "Span.Link"))
        return NULL;
    l.raw = (struct gw_ref){(uint32_t)(p - d->base), n};
    p = link_body(d, p, p + n, &l, &id_flags);
    if (!p)
        return NULL;
    if (id_flags)
        *row_flags |= GW_ROW_BAD_CHILD_ID;
    if (d->mode != GW_DEC_WHOLE) {
        d->charged += sizeof(l);
        return p;
    }
    room = gw_dec_reserve(d, &table, b->n_links, &b->cap_links, sizeof(l));
    b->links = table;
    if (!room)
        return NULL;
    b->links[b->n_links++] = l;
    return p;
}

/* The fields of a span that are not written to their columns at once. */
struct span {
    uint64_t start_ns, end_ns;
    struct gw_ref name, trace_state, status_message;
    struct gw_range attrs;
    uint32_t flags, dropped_attrs, dropped_events, dropped_links;
    uint8_t kind, status, row_flags;
};

static const uint8_t *status(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct span *s)
{
    static const char name[] = "Status";
    uint32_t n;

    if (!gw_dec_len(d, &p, end, &n, name))
        return NULL;
    end = p + n;
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(2, GW_LEN):
            p = gw_dec_string(d, &p, end, &s->status_message, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_VARINT):
            p = gw_dec_enum(d, &p, &s->status, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 3u << 2, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static inline void store(struct gw_batch *b, uint32_t row, const struct span *s, bool whole)
{
    b->row_flags[row] = s->row_flags;
    b->time_ns[row] = s->start_ns;
    b->end_ns[row] = s->end_ns;
    b->attr[row] = whole ? s->attrs : GW_RANGE_UNREAD;
    b->flags[row] = s->flags;
    b->dropped_attrs[row] = s->dropped_attrs;
    b->name[row] = s->name;
    b->trace_state[row] = s->trace_state;
    b->status_message[row] = s->status_message;
    b->kind[row] = s->kind;
    b->status[row] = s->status;
    if (whole) {
        b->events_of[row].end = b->n_events;
        b->links_of[row].end = b->n_links;
    } else {
        b->events_of[row] = b->links_of[row] = GW_RANGE_UNREAD;
    }
    b->dropped_events[row] = s->dropped_events;
    b->dropped_links[row] = s->dropped_links;
}

/*
 * What nearly every span begins with, in the order in which SDKs write it, told by branches that can be guessed. Stops
 * before whatever is other, or wrong, or near the end.
 *
 *     0a 10 trace id  12 08 span id  [22 08 parent id]  2a n name…  30 kind  39 start  41 end
 */
static inline const uint8_t *usual_head(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t row,
                                        struct span *s)
{
    struct gw_batch *b = d->b;

    if (end - p < 40 || p[0] != GW_TAG(1, GW_LEN) || p[1] != 16 || p[18] != GW_TAG(2, GW_LEN) || p[19] != 8)
        return p;
    memcpy(b->trace_id[row], p + 2, 16);
    memcpy(b->span_id[row], p + 20, 8);
    s->row_flags = 0;
    p += 28;
    if (p[0] == GW_TAG(4, GW_LEN) && p[1] == 8) {
        memcpy(b->parent_id[row], p + 2, 8);
        p += 10;
    }
    if (p[0] != GW_TAG(5, GW_LEN) || p[1] >= 0x80 || p[1] > end - p - 2 || !gw_utf8_padded(p + 2, p[1]))
        return p;
    s->name = (struct gw_ref){(uint32_t)(p + 2 - d->base), p[1]};
    p += 2 + p[1];
    if (end - p < 20 || p[0] != GW_TAG(6, GW_VARINT) || p[1] >= 0x80 || p[2] != GW_TAG(7, GW_I64) ||
        p[11] != GW_TAG(8, GW_I64))
        return p;
    s->kind = p[1];
    s->start_ns = gw_load64(p + 3);
    s->end_ns = gw_load64(p + 12);
    return p + 20;
}

/* long: one case a field, in the order that SDKs write them */
static const uint8_t *span_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t row, struct span *s)
{
    static const char name[] = "Span";
    struct gw_batch *b = d->b;

    p = usual_head(d, p, end, row, s);
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag_of_two(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_id(d, &p, end, b->trace_id[row], 16, &s->row_flags, GW_ROW_NO_TRACE_ID, GW_ROW_BAD_TRACE_ID,
                          name)
                    ? p
                    : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_id(d, &p, end, b->span_id[row], 8, &s->row_flags, GW_ROW_NO_SPAN_ID, GW_ROW_BAD_SPAN_ID, name)
                    ? p
                    : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &s->trace_state, name) ? p : NULL;
            break;
        case GW_TAG(4, GW_LEN):
            p = gw_dec_id(d, &p, end, b->parent_id[row], 8, &s->row_flags, 0, GW_ROW_BAD_PARENT_ID, name) ? p : NULL;
            break;
        case GW_TAG(5, GW_LEN):
            p = gw_dec_string(d, &p, end, &s->name, name) ? p : NULL;
            break;
        case GW_TAG(6, GW_VARINT):
            p = gw_dec_enum(d, &p, &s->kind, name) ? p : NULL;
            break;
        case GW_TAG(7, GW_I64):
            s->start_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(8, GW_I64):
            s->end_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(9, GW_LEN):
            p = gw_dec_row_attr(d, at, p, end, &s->attrs);
            break;
        case GW_TAG(10, GW_VARINT):
            p = gw_dec_u32(d, &p, &s->dropped_attrs, name) ? p : NULL;
            break;
        case GW_TAG(11, GW_LEN):
            p = event(d, p, end);
            break;
        case GW_TAG(12, GW_VARINT):
            p = gw_dec_u32(d, &p, &s->dropped_events, name) ? p : NULL;
            break;
        case GW_TAG(13, GW_LEN):
            p = link_field(d, p, end, &s->row_flags);
            break;
        case GW_TAG(14, GW_VARINT):
            p = gw_dec_u32(d, &p, &s->dropped_links, name) ? p : NULL;
            break;
        case GW_TAG(15, GW_LEN):
            p = status(d, p, end, s);
            break;
        case GW_TAG(16, GW_I32):
            s->flags = gw_load32(p);
            p += 4;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0xffffu << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_span(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope)
{
    struct gw_batch *b = d->b;
    struct span s = {.row_flags = GW_ROW_NO_TRACE_ID | GW_ROW_NO_SPAN_ID};
    uint32_t row = b->n_rows;

    if (!gw_dec_row_room(d))
        return NULL;
    b->scope[row] = scope;
    b->raw[row] = (struct gw_ref){(uint32_t)(p - d->base), (uint32_t)(end - p)};
    memset(b->trace_id[row], 0, 16);
    memset(b->span_id[row], 0, 8);
    memset(b->parent_id[row], 0, 8);
    b->events_of[row].begin = b->n_events;
    b->links_of[row].begin = b->n_links;
    p = span_body(d, p, end, row, &s);
    if (!p)
        return NULL;
    store(b, row, &s, d->mode == GW_DEC_WHOLE);
    b->n_rows++;
    return gw_dec_within_budget(d) ? p : NULL;
}
