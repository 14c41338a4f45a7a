/* SPDX-License-Identifier: Apache-2.0 */
/* Patched rows are encoded and decoded again, request by request. */
#include <errno.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "processors/common/flatten.h"

enum { MAX_PAYLOAD_BYTES = INT32_MAX };

static int flatten_segment(const struct gw_view *v, uint32_t index, struct gw_buf *wire, struct gw_batch *to)
{
    const struct gw_segment *s = &v->batch->segments[index];
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_ref at;
    int r;

    if (gw_view_count(v, s->rows) == 0)
        return 0;
    limits.depth = GW_DEPTH_MAX; /* the receiver has looked already */
    limits.rows = UINT32_MAX;
    limits.decode_bytes_per_byte = UINT32_MAX;
    gw_buf_reset(wire);
    r = gw_encode_segment(v, index, wire);
    if (r == 0)
        r = gw_batch_append(to, gw_buf_slice(wire), &at);
    if (r == 0)
        r = gw_decode(to, gw_batch_slice(to, at), &limits, s->ticket, NULL);
    return r;
}

int gw_view_flatten(struct gw_view *v)
{
    struct gw_batch *b;
    struct gw_buf wire;
    struct gw_view flat;
    int r = 0;

    if (v->n_patches == 0 || v->n_rows == 0)
        return 0;
    b = gw_batch_new(v->batch->signal);
    if (!b)
        return -ENOMEM;
    gw_buf_init(&wire, MAX_PAYLOAD_BYTES);
    for (uint32_t i = 0; r == 0 && i < v->batch->n_segments; i++)
        r = flatten_segment(v, i, &wire, b);
    gw_buf_clear(&wire);
    if (r == 0) {
        b->meta = gw_meta_ref(v->batch->meta);
        b->received_ns = v->batch->received_ns;
        b->receiver = v->batch->receiver;
        gw_view_init(&flat, b, v->arena);
        (void)gw_meta_unref(flat.meta);
        flat.meta = gw_meta_ref(v->meta);
        flat.pipeline = v->pipeline;
        flat.failed = v->failed;
        gw_view_clear(v);
        *v = flat;
    }
    (void)gw_batch_unref(b);
    return r;
}
