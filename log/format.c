/* SPDX-License-Identifier: Apache-2.0 */
#include "log/format.h"

#include "log/crc32c.h"

static const uint8_t segment_magic[8] = "STNCHLOG";
#define RECORD_MAGIC 0x46525453u /* "STRF" */

uint32_t gw_lf_salt(const uint8_t uuid[GW_LF_UUID], uint64_t number)
{
    uint8_t n[8];

    gw_lf_put64(n, number);
    return gw_crc32c(gw_crc32c(0, uuid, GW_LF_UUID), n, sizeof(n));
}

void gw_lf_write_segment_head(uint8_t p[GW_LF_SEGMENT_HEAD], const struct gw_lf_segment_head *h)
{
    memset(p, 0, GW_LF_SEGMENT_HEAD);
    memcpy(p, segment_magic, sizeof(segment_magic));
    gw_lf_put32(p + 8, GW_LF_VERSION);
    gw_lf_put32(p + 12, GW_LF_SEGMENT_HEAD);
    memcpy(p + 16, h->uuid, GW_LF_UUID);
    gw_lf_put64(p + 32, h->number);
    gw_lf_put64(p + 40, h->first_seq);
    gw_lf_put64(p + 48, h->first_row);
    gw_lf_put64(p + 56, h->time_ns);
    gw_lf_put64(p + 64, h->prev_number);
    gw_lf_put64(p + 72, h->prev_end);
    gw_lf_put64(p + 80, h->prev_last_time);
    gw_lf_put64(p + 88, h->snapshot_bytes);
    gw_lf_put32(p + 96, h->copies);
    gw_lf_put32(p + 124, gw_crc32c(0, p, 124));
}

int gw_lf_read_segment_head(const uint8_t p[GW_LF_SEGMENT_HEAD], struct gw_lf_segment_head *ret)
{
    if (memcmp(p, segment_magic, sizeof(segment_magic)) != 0 || gw_lf_get32(p + 124) != gw_crc32c(0, p, 124))
        return -EBADMSG;
    if (gw_lf_get32(p + 8) != GW_LF_VERSION || gw_lf_get32(p + 12) != GW_LF_SEGMENT_HEAD)
        return -EPROTONOSUPPORT;
    memcpy(ret->uuid, p + 16, GW_LF_UUID);
    ret->number = gw_lf_get64(p + 32);
    ret->first_seq = gw_lf_get64(p + 40);
    ret->first_row = gw_lf_get64(p + 48);
    ret->time_ns = gw_lf_get64(p + 56);
    ret->prev_number = gw_lf_get64(p + 64);
    ret->prev_end = gw_lf_get64(p + 72);
    ret->prev_last_time = gw_lf_get64(p + 80);
    ret->snapshot_bytes = gw_lf_get64(p + 88);
    ret->copies = gw_lf_get32(p + 96);
    return 0;
}

void gw_lf_write_record(uint8_t p[GW_LF_HEAD], const struct gw_lf_record *r, uint32_t salt, uint64_t off)
{
    gw_lf_put32(p, RECORD_MAGIC);
    p[4] = r->kind;
    p[5] = r->signal;
    gw_lf_put16(p + 6, r->topic);
    gw_lf_put16(p + 8, r->partition);
    gw_lf_put16(p + 10, 0);
    gw_lf_put32(p + 12, r->rows);
    gw_lf_put32(p + 16, r->n_meta);
    gw_lf_put32(p + 20, r->n_body);
    gw_lf_put64(p + 24, r->seq);
    gw_lf_put64(p + 32, r->row);
    gw_lf_put64(p + 40, r->time_ns);
    gw_lf_put32(p + 48, r->body_crc);
    gw_lf_put32(p + 52, salt);
    gw_lf_put32(p + 56, (uint32_t)(off / 8));
    gw_lf_put32(p + 60, gw_crc32c(0, p, 60));
}

static bool fits(const struct gw_lf_record *r)
{
    if (r->kind == GW_LF_FRAME)
        return r->n_meta <= GW_LOG_MAX_META_BYTES && r->n_body <= GW_LOG_MAX_BODY_BYTES &&
               r->partition < GW_LOG_PARTITIONS;
    if (r->kind == GW_LF_END)
        return r->n_meta == 0 && r->n_body == GW_LF_COMMIT_BODY;
    return r->n_meta == 0 && r->n_body <= GW_LF_MAX_STATE_BODY;
}

bool gw_lf_read_record(const uint8_t p[GW_LF_HEAD], uint32_t salt, uint64_t off, struct gw_lf_record *ret)
{
    if (gw_lf_get32(p) != RECORD_MAGIC || gw_lf_get32(p + 52) != salt || gw_lf_get32(p + 56) != (uint32_t)(off / 8) ||
        gw_lf_get32(p + 60) != gw_crc32c(0, p, 60))
        return false;
    ret->kind = p[4];
    ret->signal = p[5];
    ret->topic = gw_lf_get16(p + 6);
    ret->partition = gw_lf_get16(p + 8);
    ret->rows = gw_lf_get32(p + 12);
    ret->n_meta = gw_lf_get32(p + 16);
    ret->n_body = gw_lf_get32(p + 20);
    ret->seq = gw_lf_get64(p + 24);
    ret->row = gw_lf_get64(p + 32);
    ret->time_ns = gw_lf_get64(p + 40);
    ret->body_crc = gw_lf_get32(p + 48);
    return fits(ret);
}

void gw_lf_write_commit(uint8_t p[GW_LF_COMMIT_BODY], const struct gw_lf_commit *c)
{
    memset(p, 0, GW_LF_COMMIT_BODY);
    gw_lf_put64(p, c->group_bytes);
    gw_lf_put64(p + 8, c->synced);
    gw_lf_put32(p + 16, c->n_records);
    gw_lf_put32(p + 20, c->heads_crc);
    gw_lf_put32(p + 24, c->chain);
    gw_lf_put32(p + 28, c->producer.id);
    gw_lf_put32(p + 32, c->producer.epoch);
}

void gw_lf_read_commit(const uint8_t p[GW_LF_COMMIT_BODY], struct gw_lf_commit *ret)
{
    ret->group_bytes = gw_lf_get64(p);
    ret->synced = gw_lf_get64(p + 8);
    ret->n_records = gw_lf_get32(p + 16);
    ret->heads_crc = gw_lf_get32(p + 20);
    ret->chain = gw_lf_get32(p + 24);
    ret->producer = (struct gw_log_producer){gw_lf_get32(p + 28), gw_lf_get32(p + 32)};
}

void gw_lf_write_settled(uint8_t p[GW_LF_SETTLE_ENTRY], const struct gw_lf_settled *s)
{
    memset(p, 0, GW_LF_SETTLE_ENTRY);
    gw_lf_put32(p, s->consumer);
    p[4] = s->outcome;
    gw_lf_put64(p + 8, s->row);
    gw_lf_put64(p + 16, s->rows);
    gw_lf_put64(p + 24, s->to_seq);
    gw_lf_put32(p + 32, s->to_part);
}

void gw_lf_read_settled(const uint8_t p[GW_LF_SETTLE_ENTRY], struct gw_lf_settled *ret)
{
    ret->consumer = gw_lf_get32(p);
    ret->outcome = p[4];
    ret->row = gw_lf_get64(p + 8);
    ret->rows = gw_lf_get64(p + 16);
    ret->to_seq = gw_lf_get64(p + 24);
    ret->to_part = gw_lf_get32(p + 32);
}
