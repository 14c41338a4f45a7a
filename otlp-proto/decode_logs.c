/* SPDX-License-Identifier: Apache-2.0 */
/* Log records. */
#include "otlp-proto/decode_priv.h"

struct record {
    uint64_t time_ns, observed_ns;
    struct gw_ref severity_text, event_name;
    struct gw_range attrs;
    union gw_val body;
    uint32_t flags, dropped_attrs;
    uint8_t severity, body_type, row_flags;
};

static inline void store(struct gw_batch *b, uint32_t row, const struct record *r, bool whole)
{
    b->row_flags[row] = r->row_flags;
    b->time_ns[row] = r->time_ns;
    b->observed_ns[row] = r->observed_ns;
    b->attr[row] = whole ? r->attrs : GW_RANGE_UNREAD;
    b->flags[row] = r->flags;
    b->dropped_attrs[row] = r->dropped_attrs;
    b->severity[row] = r->severity;
    b->severity_text[row] = r->severity_text;
    b->event_name[row] = r->event_name;
    b->body_type[row] = r->body_type;
    b->body[row] = r->body;
}

static const uint8_t *body_field(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct record *r)
{
    uint32_t n;

    return gw_dec_len(d, &p, end, &n, "LogRecord") ? gw_dec_any(d, p, p + n, &r->body_type, &r->body) : NULL;
}

static const uint8_t *record_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t row,
                                  struct record *r)
{
    static const char name[] = "LogRecord";
    struct gw_batch *b = d->b;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_I64):
            r->time_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(2, GW_VARINT):
            p = gw_dec_enum(d, &p, &r->severity, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &r->severity_text, name) ? p : NULL;
            break;
        case GW_TAG(5, GW_LEN):
            p = body_field(d, p, end, r);
            break;
        case GW_TAG(6, GW_LEN):
            p = gw_dec_row_attr(d, at, p, end, &r->attrs);
            break;
        case GW_TAG(7, GW_VARINT):
            p = gw_dec_u32(d, &p, &r->dropped_attrs, name) ? p : NULL;
            break;
        case GW_TAG(8, GW_I32):
            r->flags = gw_load32(p);
            p += 4;
            break;
        case GW_TAG(9, GW_LEN):
            p = gw_dec_id(d, &p, end, b->trace_id[row], 16, &r->row_flags, GW_ROW_NO_TRACE_ID, GW_ROW_BAD_TRACE_ID,
                          name)
                    ? p
                    : NULL;
            break;
        case GW_TAG(10, GW_LEN):
            p = gw_dec_id(d, &p, end, b->span_id[row], 8, &r->row_flags, GW_ROW_NO_SPAN_ID, GW_ROW_BAD_SPAN_ID, name)
                    ? p
                    : NULL;
            break;
        case GW_TAG(11, GW_I64):
            r->observed_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(12, GW_LEN):
            p = gw_dec_string(d, &p, end, &r->event_name, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x1feeu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_log(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope)
{
    struct gw_batch *b = d->b;
    struct record r = {.row_flags = GW_ROW_NO_TRACE_ID | GW_ROW_NO_SPAN_ID};
    uint32_t row = b->n_rows;

    if (!gw_dec_row_room(d))
        return NULL;
    b->scope[row] = scope;
    b->raw[row] = (struct gw_ref){(uint32_t)(p - d->base), (uint32_t)(end - p)};
    memset(b->trace_id[row], 0, 16);
    memset(b->span_id[row], 0, 8);
    p = record_body(d, p, end, row, &r);
    if (!p)
        return NULL;
    store(b, row, &r, d->mode == GW_DEC_WHOLE);
    b->n_rows++;
    return gw_dec_within_budget(d) ? p : NULL;
}
