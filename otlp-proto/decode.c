/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope of a request: resources and scopes; rollback; the second try for what is odd. */
#include "otlp-proto/canon.h"
#include "otlp-proto/decode_priv.h"

static const uint8_t *row(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope)
{
    switch (d->b->signal) {
    case GW_TRACES:
        return gw_dec_span(d, p, end, scope);
    case GW_LOGS:
        return gw_dec_log(d, p, end, scope);
    case GW_METRICS:
        break;
    }
    return gw_dec_metric(d, p, end, scope);
}

static const uint8_t *scope_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope)
{
    static const char name[] = "scope's envelope";
    struct gw_batch *b = d->b;
    bool seen = false;
    uint32_t n;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            if (seen)
                return gw_dec_fail(d, GW_ODD, at, "", "");
            seen = true;
            p = gw_dec_len(d, &p, end, &n, name) ? gw_dec_scope(d, p, p + n, &b->scopes[scope]) : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_len(d, &p, end, &n, name) ? row(d, p, p + n, scope) : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &b->scopes[scope].schema_url, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 7u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *scope(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t resource)
{
    struct gw_batch *b = d->b;
    void *table = b->scopes;
    uint32_t i = b->n_scopes;
    bool room = gw_dec_reserve(d, &table, i, &b->cap_scopes, sizeof(*b->scopes));

    b->scopes = table;
    if (!room)
        return NULL;
    b->n_scopes++;
    b->scopes[i] = (struct gw_scope){
        .resource = resource,
        .rows.begin = b->n_rows,
        .outer = {(uint32_t)(p - d->base), (uint32_t)(end - p)},
    };
    p = scope_body(d, p, end, i);
    b->scopes[i].rows.end = b->n_rows;
    return p && gw_dec_within_budget(d) ? p : NULL;
}

static const uint8_t *resource_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t resource)
{
    static const char name[] = "resource's envelope";
    struct gw_batch *b = d->b;
    bool seen = false;
    uint32_t n;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            if (seen)
                return gw_dec_fail(d, GW_ODD, at, "", "");
            seen = true;
            p = gw_dec_len(d, &p, end, &n, name) ? gw_dec_resource(d, p, p + n, &b->resources[resource]) : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_len(d, &p, end, &n, name) ? scope(d, p, p + n, resource) : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &b->resources[resource].schema_url, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 7u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *resource(struct gw_dec *d, const uint8_t *p, const uint8_t *end)
{
    struct gw_batch *b = d->b;
    void *table = b->resources;
    uint32_t i = b->n_resources;
    bool room = gw_dec_reserve(d, &table, i, &b->cap_resources, sizeof(*b->resources));

    b->resources = table;
    if (!room)
        return NULL;
    b->n_resources++;
    b->resources[i] = (struct gw_resource){.outer = {(uint32_t)(p - d->base), (uint32_t)(end - p)}};
    p = resource_body(d, p, end, i);
    return p && gw_dec_within_budget(d) ? p : NULL;
}

static const uint8_t *request(struct gw_dec *d, const uint8_t *p, const uint8_t *end)
{
    static const char name[] = "request";
    uint32_t n;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        if (GW_LIKELY(tag == GW_TAG(1, GW_LEN)))
            p = gw_dec_len(d, &p, end, &n, name) ? resource(d, p, p + n) : NULL;
        else
            p = gw_dec_unknown(d, at, p, end, tag, 1u << 1, name);
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const struct gw_limits no_limits = {
    .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};

static uint32_t row_bytes(enum gw_signal signal)
{
    return signal == GW_TRACES ? 127 : signal == GW_LOGS ? 99 : 66;
}

/* One try. 0, a negative errno, or GW_ODD; what was appended stays for the caller to roll back. */
static int try(struct gw_batch *b, struct gw_ref wire, enum gw_dec_mode mode, const struct gw_limits *limits,
               struct gw_err *err)
{
    struct gw_dec d = {
        .b = b,
        .base = b->base,
        .start = b->base + wire.off,
        .limits = limits,
        .err = err,
        .first_row = b->n_rows,
        .row_spare = 128 - row_bytes(b->signal),
        .attrs_charged = b->n_attrs,
        .budget = limits->decode_bytes_per_byte * wire.len + (1 << 20),
        .mode = mode,
    };
    void *table = b->segments;
    struct gw_segment s = {
        .wire = wire,
        .rows.begin = b->n_rows,
        .resources.begin = b->n_resources,
        .scopes.begin = b->n_scopes,
        .metrics.begin = b->n_metrics,
    };
    int r = gw_batch_reserve_table(b, &table, b->n_segments, &b->cap_segments, sizeof(s), 1);

    b->segments = table;
    if (r < 0)
        return gw_fail(err, r, "out of memory");
    if (wire.len && !request(&d, d.start, d.start + wire.len))
        return d.rc;
    s.rows.end = b->n_rows;
    s.resources.end = b->n_resources;
    s.scopes.end = b->n_scopes;
    s.metrics.end = b->n_metrics;
    b->segments[b->n_segments++] = s;
    return 0;
}

/* Rewrite the request behind the payload and decode that. */
static int try_canonical(struct gw_batch *b, struct gw_ref wire, enum gw_dec_mode mode, const struct gw_limits *limits,
                         struct gw_err *err)
{
    struct gw_ref canonical = {.off = b->payload->n};
    size_t n;
    int r;

    if (atomic_load_explicit(&b->payload->refs, memory_order_relaxed) > 1)
        return gw_fail(err, -EBUSY, "the payload is shared: there is no room to rewrite the request");
    r = gw_payload_reserve(b->payload, GW_CANON_ROOM((size_t)wire.len));
    b->base = b->payload->p;
    if (r < 0)
        return gw_fail(err, r, "no room to rewrite the request");
    r = gw_canon(b->signal, gw_slice_of(b->base + wire.off, wire.len), limits,
                 limits->decode_bytes_per_byte * wire.len + (1 << 20), b->payload->p + canonical.off,
                 GW_CANON_ROOM((size_t)wire.len), &n, err);
    if (r < 0)
        return r;
    canonical.len = (uint32_t)n;
    b->payload->n += canonical.len;
    r = try(b, canonical, mode, limits, err);
    return r == GW_ODD ? gw_fail(err, -EBADMSG, "request cannot be brought into canonical form") : r;
}

static int decode(struct gw_batch *b, struct gw_slice bytes, enum gw_dec_mode mode, const struct gw_limits *limits,
                  struct gw_err *err)
{
    struct gw_batch_mark mark = gw_batch_mark(b);
    struct gw_ref wire = {.len = (uint32_t)bytes.n};
    int r;

    wire.off = bytes.n ? (uint32_t)(bytes.p - b->base) : mark.payload;
    r = try(b, wire, mode, limits, err);
    if (r == GW_ODD) {
        gw_batch_rollback(b, &mark);
        r = try_canonical(b, wire, mode, limits, err);
    }
    if (r < 0)
        gw_batch_rollback(b, &mark);
    else
        b->is_outline |= mode != GW_DEC_WHOLE;
    return r;
}

int gw_decode(struct gw_batch *b, struct gw_slice bytes, const struct gw_limits *limits, struct gw_ticket *ticket,
              struct gw_err *err)
{
    int r = decode(b, bytes, GW_DEC_WHOLE, limits, err);

    if (r == 0)
        b->segments[b->n_segments - 1].ticket = ticket ? gw_ticket_ref(ticket) : NULL;
    return r;
}

int gw_decode_outline(struct gw_batch *b, struct gw_slice bytes, const struct gw_limits *limits,
                      struct gw_ticket *ticket, struct gw_err *err)
{
    int r = decode(b, bytes, b->signal == GW_METRICS ? GW_DEC_WHOLE : GW_DEC_OUTLINE, limits, err);

    if (r == 0)
        b->segments[b->n_segments - 1].ticket = ticket ? gw_ticket_ref(ticket) : NULL;
    return r;
}

int gw_decode_trusted(struct gw_batch *b, struct gw_slice bytes, struct gw_err *err)
{
    return decode(b, bytes, b->signal == GW_METRICS ? GW_DEC_WHOLE : GW_DEC_TRUSTED, &no_limits, err);
}
