/* SPDX-License-Identifier: Apache-2.0 */
/* Positions of consumers, as records and as they stand. */
#include <stdlib.h>

#include "log/state.h"

static struct gw_slice next_position(struct gw_slice body, size_t *at, uint32_t *consumer, uint16_t *partition,
                                     uint64_t *next_seq)
{
    const uint8_t *p = body.p + *at;
    size_t n = gw_lf_get16(p + 6);

    *consumer = gw_lf_get32(p);
    *partition = gw_lf_get16(p + 4);
    *next_seq = gw_lf_get64(p + 8);
    *at += GW_LF_POSITION_ENTRY + gw_lf_pad(n);
    return gw_slice_of(p + GW_LF_POSITION_ENTRY, n);
}

static bool positions_fit(struct gw_slice body)
{
    for (size_t at = 0; at < body.n;) {
        if (body.n - at < GW_LF_POSITION_ENTRY || gw_lf_get16(body.p + at + 4) >= GW_LOG_PARTITIONS)
            return false;
        at += GW_LF_POSITION_ENTRY + gw_lf_pad(gw_lf_get16(body.p + at + 6));
        if (at > body.n)
            return false;
    }
    return true;
}

static int reserve_position(struct gw_lf_consumer *c, uint16_t partition, size_t n_note)
{
    struct gw_lf_position *p;
    uint8_t *note;

    if (!c->positions)
        c->positions = calloc(GW_LOG_PARTITIONS, sizeof(*c->positions));
    if (!c->positions)
        return -ENOMEM;
    p = &c->positions[partition];
    if (n_note <= p->cap_note)
        return 0;
    note = realloc(p->note, n_note);
    if (!note)
        return -ENOMEM;
    p->note = note;
    p->cap_note = (uint16_t)n_note;
    return 0;
}

int gw_lf_state_reserve_positions(struct gw_lf_state *s, struct gw_slice body)
{
    int rc = positions_fit(body) ? 0 : -EBADMSG;

    for (size_t at = 0; rc == 0 && at < body.n;) {
        uint32_t id;
        uint16_t partition;
        uint64_t next_seq;
        struct gw_slice note = next_position(body, &at, &id, &partition, &next_seq);
        struct gw_lf_consumer *c = gw_lf_state_consumer(s, id);

        if (c)
            rc = reserve_position(c, partition, note.n);
    }
    return rc;
}

int gw_lf_state_apply_positions(struct gw_lf_state *s, struct gw_slice body)
{
    int rc = gw_lf_state_reserve_positions(s, body);

    for (size_t at = 0; rc == 0 && at < body.n;) {
        uint32_t id;
        uint16_t partition;
        uint64_t next_seq;
        struct gw_slice note = next_position(body, &at, &id, &partition, &next_seq);
        struct gw_lf_consumer *c = gw_lf_state_consumer(s, id);
        struct gw_lf_position *p = c ? &c->positions[partition] : NULL;

        if (!p)
            continue;
        p->is_set = true;
        p->next_seq = next_seq;
        p->n_note = (uint16_t)note.n;
        if (note.n > 0)
            memcpy(p->note, note.p, note.n);
    }
    return rc;
}

void gw_lf_put_position(struct gw_buf *b, uint32_t consumer, uint16_t partition, uint64_t next_seq,
                        struct gw_slice note)
{
    static const uint8_t zeros[8];
    uint8_t p[GW_LF_POSITION_ENTRY];

    gw_lf_put32(p, consumer);
    gw_lf_put16(p + 4, partition);
    gw_lf_put16(p + 6, (uint16_t)note.n);
    gw_lf_put64(p + 8, next_seq);
    gw_buf_put(b, p, sizeof(p));
    gw_buf_put_slice(b, note);
    gw_buf_put(b, zeros, gw_lf_pad(note.n) - note.n);
}
