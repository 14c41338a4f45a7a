/* SPDX-License-Identifier: Apache-2.0 */
/* A state as records, for the head of a segment. */
#include <stdlib.h>

#include "log/state.h"

enum { TOTALS_BODY = 96, RANGES_HEAD = 8, RANGES_A_RECORD = 4096 };

/* LEB128: differences of neighbours are small. */
static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 0x80));
    gw_buf_put_u8(b, (uint8_t)v);
}

static bool get_varint(struct gw_slice *s, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && s->n > 0; shift += 7) {
        uint8_t c = *s->p;

        *s = gw_slice_of(s->p + 1, s->n - 1);
        *ret |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

static void put_ranges(struct gw_buf *b, uint32_t id, const struct gw_lf_rows *s, size_t first, size_t n)
{
    uint8_t p[RANGES_HEAD];
    uint64_t row = s->base.row, seq = s->base.seq;

    gw_lf_put32(p, id);
    gw_lf_put32(p + 4, (uint32_t)n);
    gw_buf_put(b, p, sizeof(p));
    if (first > 0) {
        row = s->ranges[first - 1].to.row;
        seq = s->ranges[first - 1].to.seq;
    }
    put_varint(b, row);
    put_varint(b, seq);
    for (size_t i = first; i < first + n; i++) {
        const struct gw_lf_range *r = &s->ranges[i];

        put_varint(b, r->from - row);
        put_varint(b, r->to.row - r->from);
        put_varint(b, r->to.seq - seq);
        put_varint(b, r->to.part);
        row = r->to.row;
        seq = r->to.seq;
    }
}

int gw_lf_state_apply_ranges(struct gw_lf_state *s, struct gw_slice body)
{
    uint32_t id = body.n >= RANGES_HEAD ? gw_lf_get32(body.p) : 0;
    uint32_t n = body.n >= RANGES_HEAD ? gw_lf_get32(body.p + 4) : UINT32_MAX;
    struct gw_lf_consumer *c = gw_lf_state_consumer(s, id);
    struct gw_lf_rows *rows = id == 0 ? &s->lost : c ? &c->done : NULL;
    uint64_t row, seq;
    int rc;

    if (n > RANGES_A_RECORD)
        return -EBADMSG;
    if (!rows)
        return 0;
    body = gw_slice_of(body.p + RANGES_HEAD, body.n - RANGES_HEAD);
    rc = gw_lf_rows_reserve(rows, n, SIZE_MAX);
    if (rc < 0)
        return rc;
    if (!get_varint(&body, &row) || !get_varint(&body, &seq))
        return -EBADMSG;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t gap, len, frames, part;

        if (!get_varint(&body, &gap) || !get_varint(&body, &len) || !get_varint(&body, &frames) ||
            !get_varint(&body, &part))
            return -EBADMSG;
        seq += frames;
        (void)gw_lf_rows_add(rows, row + gap, (struct gw_lf_place){row + gap + len, seq, (uint32_t)part});
        row += gap + len;
    }
    return 0;
}

static void put_totals(struct gw_buf *b, const struct gw_lf_state *s, uint64_t end_seq, uint64_t end_row)
{
    uint64_t v[] = {end_seq,          end_row,          s->trim.row,      s->trim.seq,
                    s->lost_frames,   s->lost_rows,     s->lost_bytes,    s->partitions,
                    s->next_consumer, s->next_producer, s->lost.base.row, s->lost.base.seq};

    gw_buf_put(b, v, sizeof(v));
}

int gw_lf_state_apply_totals(struct gw_lf_state *s, struct gw_slice body)
{
    if (body.n != TOTALS_BODY)
        return -EBADMSG;
    s->end_seq = gw_lf_get64(body.p);
    s->end_row = gw_lf_get64(body.p + 8);
    s->trim = (struct gw_lf_place){gw_lf_get64(body.p + 16), gw_lf_get64(body.p + 24), 0};
    s->lost_frames = gw_lf_get64(body.p + 32);
    s->lost_rows = gw_lf_get64(body.p + 40);
    s->lost_bytes = gw_lf_get64(body.p + 48);
    s->partitions = gw_lf_get64(body.p + 56);
    s->next_consumer = (uint32_t)gw_lf_get64(body.p + 64);
    s->next_producer = (uint32_t)gw_lf_get64(body.p + 72);
    s->lost.base = (struct gw_lf_place){gw_lf_get64(body.p + 80), gw_lf_get64(body.p + 88), 0};
    return 0;
}

struct out {
    struct gw_buf b;
    int (*each)(void *arg, uint8_t kind, struct gw_slice body);
    void *arg;
};

static int emit(struct out *o, uint8_t kind)
{
    int rc = o->b.failed ? -ENOMEM : o->each(o->arg, kind, gw_buf_slice(&o->b));

    gw_buf_reset(&o->b);
    return rc;
}

static int emit_ranges(struct out *o, uint32_t id, const struct gw_lf_rows *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->n; i += RANGES_A_RECORD) {
        put_ranges(&o->b, id, s, i, s->n - i < RANGES_A_RECORD ? s->n - i : RANGES_A_RECORD);
        rc = emit(o, GW_LF_RANGES);
    }
    return rc;
}

static int emit_consumer(struct out *o, const struct gw_lf_consumer *c)
{
    int rc;

    gw_lf_put_consumer(&o->b, c);
    rc = emit(o, GW_LF_CONSUMER);
    if (rc == 0)
        rc = emit_ranges(o, c->id, &c->done);
    for (uint16_t k = 0; rc == 0 && c->positions && k < GW_LOG_PARTITIONS; k++) {
        const struct gw_lf_position *p = &c->positions[k];

        if (!p->is_set)
            continue;
        gw_lf_put_position(&o->b, c->id, k, p->next_seq, gw_slice_of(p->note, p->n_note));
        rc = emit(o, GW_LF_POSITION);
    }
    return rc;
}

int gw_lf_state_snapshot(const struct gw_lf_state *s, uint64_t end_seq, uint64_t end_row,
                         int (*each)(void *arg, uint8_t kind, struct gw_slice body), void *arg)
{
    struct out o = {.each = each, .arg = arg};
    int rc;

    gw_buf_init(&o.b, GW_LF_MAX_STATE_BODY);
    put_totals(&o.b, s, end_seq, end_row);
    rc = emit(&o, GW_LF_TOTALS);
    if (rc == 0)
        rc = emit_ranges(&o, 0, &s->lost);
    for (unsigned i = 0; rc == 0 && i < s->n_producers; i++) {
        gw_lf_put_producer(&o.b, &s->producers[i]);
        rc = emit(&o, GW_LF_PRODUCER);
    }
    for (unsigned i = 0; rc == 0 && i < s->n_consumers; i++)
        rc = emit_consumer(&o, s->consumers[i]);
    gw_buf_clear(&o.b);
    return rc;
}
