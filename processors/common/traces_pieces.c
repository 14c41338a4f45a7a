/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A waiting trace back into OTLP, some spans at a time: one of 100,000 spans is not written in one go. A piece is of
 * one run, so it has one resource and one scope.
 */
#include <errno.h>

#include "otlp-proto/wire.h"
#include "processors/common/traces_priv.h"

enum { RESOURCE_SPANS = 1, SCOPE_SPANS = 2 };

static uint64_t framed(uint64_t bytes)
{
    return 1 + gw_varint_size(bytes) + bytes;
}

static uint32_t end_of_run(const struct gw_traces *t, const struct gw_trace *trace, uint32_t run)
{
    uint32_t next = *gw_slabs_link(&t->runs, run);

    return next ? gw_run_at(t, next)->begin : gw_trace_bytes(trace);
}

/* Bytes of the span that the reader stands at, tag and length included; the reader moves behind it. 0: at the end. */
static uint32_t next_span(struct gw_chain_reader *r)
{
    uint8_t c;
    uint32_t n = 1, length = 0;

    if (!gw_chain_skip(r, 1))
        return 0;
    for (unsigned shift = 0; gw_chain_read(r, &c, 1); shift += 7) {
        n++;
        length |= (uint32_t)(c & 0x7f) << shift;
        if (c < 0x80)
            break;
    }
    return gw_chain_skip(r, length) ? n + length : 0;
}

/* As many spans as a piece may have: at least one. */
static uint32_t measure(struct gw_chain_reader r, uint32_t left, uint32_t max_spans, uint32_t max_bytes,
                        uint32_t *ret_bytes)
{
    uint32_t spans = 0, bytes = 0;

    while (spans < max_spans && bytes < left) {
        uint32_t n = next_span(&r);

        if (n == 0 || (spans && bytes + n > max_bytes))
            break;
        spans++;
        bytes += n;
    }
    *ret_bytes = bytes;
    return spans;
}

static void put_head(const struct gw_traces *t, uint32_t envelope, unsigned field, uint64_t bytes, struct gw_buf *out)
{
    struct gw_chain_reader r;
    uint8_t head[1 + GW_VARINT_MAX], *end;

    head[0] = (uint8_t)GW_TAG(field, GW_LEN);
    end = gw_varint_put(head + 1, bytes);
    gw_buf_put(out, head, (size_t)(end - head));
    gw_chain_begin(&t->blocks, &gw_envelope_at(&t->envelopes, envelope)->bytes, &r);
    (void)gw_chain_copy(&r, out, r.left);
}

int gw_traces_write_piece(const struct gw_traces *t, const struct gw_trace *trace, struct gw_traces_cursor *c,
                          uint32_t max_spans, uint32_t max_bytes, struct gw_buf *out, uint32_t *ret_spans)
{
    uint32_t scope, resource, bytes;
    uint64_t in_scope, in_resource;
    int rc;

    *ret_spans = 0;
    if (!c->run || trace->cold.n_bytes) { /* it may have been packed, and others unpacked, since the last piece */
        rc = gw_trace_begin(t, trace, &c->at);
        if (rc < 0)
            return rc;
        (void)gw_chain_skip(&c->at, c->done);
    }
    if (!c->run)
        c->run = trace->first_run;
    while (c->run && c->done == end_of_run(t, trace, c->run) && *gw_slabs_link(&t->runs, c->run))
        c->run = *gw_slabs_link(&t->runs, c->run);
    if (!c->run || c->done == gw_trace_bytes(trace))
        return 0;
    scope = gw_run_at(t, c->run)->envelope;
    resource = gw_envelope_at(&t->envelopes, scope)->resource;
    *ret_spans = measure(c->at, end_of_run(t, trace, c->run) - c->done, max_spans, max_bytes, &bytes);
    in_scope = gw_envelope_at(&t->envelopes, scope)->bytes.n_bytes + (uint64_t)bytes;
    in_resource = gw_envelope_at(&t->envelopes, resource)->bytes.n_bytes + framed(in_scope);
    rc = gw_buf_reserve(out, framed(in_resource)); /* what follows cannot fail */
    if (rc < 0)
        return rc;
    put_head(t, resource, RESOURCE_SPANS, in_resource, out);
    put_head(t, scope, SCOPE_SPANS, in_scope, out);
    (void)gw_chain_copy(&c->at, out, bytes);
    c->done += bytes;
    return 0;
}
