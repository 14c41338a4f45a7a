/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the encoder: a writer over gw_buf, and the splicing of one message. */
#ifndef GW_OTLP_ENCODE_PRIV_H
#define GW_OTLP_ENCODE_PRIV_H

#include "otlp-proto/encode.h"
#include "otlp-proto/wire.h"

enum { GW_KV_BYTES = 116, GW_N_KVS = 16, GW_COPY_STEP = 64 };

/** A KeyValue as it is written, but for the tag: rows that are set to the same copy it. */
struct gw_enc_kv {
    uint32_t edit, n; /* index of the view's edit, + 1; bytes */
    uint32_t turn;    /* = gw_enc.turn: what is to be written next needs it */
    uint8_t p[GW_KV_BYTES];
};
_Static_assert(GW_KV_BYTES + 12 == 2 * GW_COPY_STEP, "an array of them may be read over its items");

/** Writes into a buffer's memory; [p, end) is what is left of it. Errors are kept in rc and end all writing. */
struct gw_enc {
    const struct gw_view *v;
    const struct gw_batch *b;
    struct gw_buf *out;
    uint8_t *p, *end;
    int rc;
    uint32_t only;         /* this row alone, or UINT32_MAX: the view's */
    uint32_t turn;         /* of kvs */
    struct gw_enc_kv *kvs; /* GW_N_KVS + 1 of them, by the edit's index, modulo */
};

void gw_enc_begin(struct gw_enc *e, const struct gw_view *v, struct gw_buf *out, size_t expected);
/** Hand what was written to the buffer. Errors: rc. */
int gw_enc_finish(struct gw_enc *e);
/** More memory. False: rc is set. */
bool gw_enc_grow(struct gw_enc *e, size_t n) __attribute__((noinline));

static inline bool gw_enc_room(struct gw_enc *e, size_t n)
{
    return __builtin_expect(n <= (size_t)(e->end - e->p), 1) || gw_enc_grow(e, n);
}

static inline void gw_enc_put(struct gw_enc *e, const uint8_t *p, size_t n)
{
    if (n && gw_enc_room(e, n)) {
        memcpy(e->p, p, n);
        e->p += n;
    }
}

/**
 * Copies n bytes and up to GW_COPY_STEP - 1 more, which both sides must have. Pieces of records are short: whole steps
 * without a branch on the size cost less than a call.
 */
static inline uint8_t *gw_copy_over(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n > 256)
        return (uint8_t *)memcpy(to, from, n) + n;
    for (size_t i = 0; i < n; i += GW_COPY_STEP)
        memcpy(to + i, from + i, GW_COPY_STEP);
    return to + n;
}

/**
 * Begin a length-delimited field whose length will be about `guess`. Gives the offset that close wants: the length is
 * written there, in as few bytes as it needs; a wrong guess costs a memmove.
 */
static inline size_t gw_enc_open(struct gw_enc *e, unsigned field, size_t guess)
{
    size_t at;

    if (!gw_enc_room(e, 2 * GW_VARINT_MAX))
        return 0;
    e->p = gw_varint_put(e->p, GW_TAG(field, GW_LEN));
    at = (size_t)(e->p - e->out->p);
    e->p += gw_varint_size(guess);
    return at;
}
void gw_enc_close(struct gw_enc *e, size_t at, size_t guess);

/** Is the row to be written? */
static inline bool gw_enc_has(const struct gw_enc *e, uint32_t row)
{
    return e->only != UINT32_MAX ? row == e->only : gw_view_has(e->v, row);
}

/**
 * The body of an owner's message with its patches applied. raw may be empty: the message was absent. data_only: of a
 * Metric, the data is left out here, the caller writes it.
 */
void gw_enc_splice(struct gw_enc *e, enum gw_owner o, uint32_t index, struct gw_ref raw);
/** The whole field: tag, length, and the body as gw_enc_splice writes it. */
void gw_enc_message(struct gw_enc *e, unsigned field, enum gw_owner o, uint32_t index, struct gw_ref raw);
/** As splice, one field of the message (tag to end) at a time; used where a caller writes some fields itself. */
void gw_enc_field(struct gw_enc *e, enum gw_owner o, uint32_t index, const struct gw_wire_field *f, const uint8_t *end);
/** Behind the last gw_enc_field: what is appended. */
void gw_enc_appended(struct gw_enc *e, enum gw_owner o, uint32_t index);
/** Field number of the attributes in an owner's message. */
unsigned gw_enc_attr_field(const struct gw_batch *b, enum gw_owner o, uint32_t index);
/** The KeyValue of an edit. False: too long for it. */
bool gw_enc_make_kv(const struct gw_enc *e, uint32_t edit, struct gw_enc_kv *ret);
/** End of an attribute's KeyValue of more than 127 bytes, or with a tag of more than one. */
const uint8_t *gw_enc_kv_end_slow(const uint8_t *p);

/** End of an attribute's KeyValue, from its tag: it was checked by the decoder. */
static inline const uint8_t *gw_enc_kv_end(const uint8_t *p)
{
    return __builtin_expect(((p[0] | p[1]) & 0x80) == 0, 1) ? p + 2 + p[1] : gw_enc_kv_end_slow(p);
}

/** encode_rows.c: kept rows of a range that follow each other without a gap from `first`, each with minimal framing. */
void gw_enc_dense_rows(struct gw_enc *e, unsigned field, struct gw_range rows, const uint8_t *first);

#endif
