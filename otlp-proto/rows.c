/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp-proto/rows.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"

enum { ARENA_CHUNK_BYTES = 16 << 10, ARENA_MAX_BYTES = 64 << 20 };

/* What the receiver's limits let in, and edits of ours made longer, has to come in here again. */
static const struct gw_limits no_limits = {
    .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};

static int decode_copy(struct gw_batch *b, struct gw_slice body, struct gw_err *err)
{
    struct gw_payload *pl = gw_payload_new(body.n);

    if (!pl)
        return gw_fail(err, -ENOMEM, "out of memory");
    if (body.n)
        memcpy(pl->p, body.p, body.n);
    pl->n = (uint32_t)body.n;
    gw_batch_set_payload(b, pl);
    return gw_decode(b, (struct gw_slice){b->base, body.n}, &no_limits, NULL, err);
}

int gw_rows_decode(struct gw_batch **b, enum gw_signal signal, struct gw_slice body, struct gw_payload *payload,
                   struct gw_err *err)
{
    int r = -EBUSY;

    if (!*b)
        *b = gw_batch_new(signal);
    else
        gw_batch_reset(*b, signal);
    if (!*b)
        return gw_fail(err, -ENOMEM, "out of memory");
    if (payload) {
        gw_batch_set_payload(*b, gw_payload_ref(payload));
        r = gw_decode(*b, body, &no_limits, NULL, err);
    }
    return r == -EBUSY ? decode_copy(*b, body, err) : r; /* busy: it is legal, but has to be rewritten */
}

/* ---- sets of rows ------------------------------------------------------------------------------------------- */

int gw_rows_init(struct gw_rows *r, uint32_t n_bits)
{
    uint64_t *bits = calloc(n_bits / 64 + 1, sizeof(*bits));

    *r = (struct gw_rows){.bits = bits, .n_bits = bits ? n_bits : 0};
    return bits ? 0 : -ENOMEM;
}

void gw_rows_clear(struct gw_rows *r)
{
    free(r->bits);
    *r = (struct gw_rows){0};
}

bool gw_rows_has(const struct gw_rows *r, uint32_t row)
{
    return row < r->n_bits && (r->bits[row / 64] >> (row % 64) & 1);
}

bool gw_rows_add(struct gw_rows *r, uint32_t row)
{
    if (row >= r->n_bits || gw_rows_has(r, row))
        return false;
    r->bits[row / 64] |= 1ull << (row % 64);
    r->n++;
    return true;
}

/* ---- a part of a body --------------------------------------------------------------------------------------- */

static int encode_rows(struct gw_batch *b, struct gw_arena *arena, const struct gw_rows *rows, struct gw_buf *out)
{
    struct gw_view v;
    int r = 0;

    gw_view_init(&v, b, arena);
    for (uint32_t row = 0; row < b->n_rows && r == 0; row++)
        if (!gw_rows_has(rows, row))
            r = gw_view_remove(&v, row);
    if (r == 0 && v.n_rows)
        r = gw_encode(&v, out);
    gw_view_clear(&v);
    return r;
}

int gw_rows_extract(enum gw_signal signal, struct gw_slice body, const struct gw_rows *rows, struct gw_buf *out)
{
    struct gw_batch *b = NULL;
    struct gw_arena arena;
    int r = gw_rows_decode(&b, signal, body, NULL, NULL);

    gw_arena_init(&arena, ARENA_CHUNK_BYTES, ARENA_MAX_BYTES);
    if (r == 0)
        r = encode_rows(b, &arena, rows, out);
    gw_arena_clear(&arena);
    if (b)
        (void)gw_batch_unref(b);
    return r;
}
