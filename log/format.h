/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a segment file: docs/formats/log.md. Little endian, everything 8-byte aligned.
 *
 *   segment   header (twice) │ snapshot (twice) │ group │ group │ …          zeros up to what is preallocated
 *   group     record │ record │ … │ commit record
 *   record    header (64) │ meta │ body │ zeros to 8
 */
#ifndef GW_LOG_FORMAT_H
#define GW_LOG_FORMAT_H

#include "log/log.h"

enum {
    GW_LF_VERSION = 1,
    GW_LF_SEGMENT_HEAD = 128, /* twice: a flipped bit must not take the log */
    GW_LF_RECORDS = 2 * GW_LF_SEGMENT_HEAD,
    GW_LF_HEAD = 64,
    /* Before its own CRC: a CRC over bytes and their CRC is the same for all bytes, and would say nothing of a group.
     */
    GW_LF_HEAD_CHECKED = 60,
    GW_LF_COMMIT_BODY = 40,
    GW_LF_COMMIT = GW_LF_HEAD + GW_LF_COMMIT_BODY,
    GW_LF_SETTLE_ENTRY = 40,
    GW_LF_POSITION_ENTRY = 16,
    GW_LF_UUID = 16,
    GW_LF_MAX_STATE_BODY = 1 << 20, /* of records that are not frames */
};

enum gw_lf_kind {
    GW_LF_FRAME = 1,
    GW_LF_END = 2,      /* of a group: the commit */
    GW_LF_SETTLE = 3,   /* rows settled */
    GW_LF_POSITION = 4, /* positions moved */
    GW_LF_CONSUMER = 5, /* a consumer as it stands, without what is settled above low */
    GW_LF_RANGES = 6,   /* … and that */
    GW_LF_RELEASE = 7,  /* a consumer is forgotten */
    GW_LF_PRODUCER = 8, /* a producer's epoch */
    GW_LF_LOST = 9,     /* rows found damaged */
    GW_LF_TRIM = 10,    /* everything below goes */
    GW_LF_TOTALS = 11,  /* numbers of the log itself */
};

/** In `topic` of records that are not frames: part of the snapshot at a segment's head. */
enum { GW_LF_IN_SNAPSHOT = 1 };

struct gw_lf_segment_head {
    uint8_t uuid[GW_LF_UUID];
    uint64_t number, first_seq, first_row, time_ns;
    uint64_t prev_number;    /* the segment before; 0 = none */
    uint64_t prev_end;       /* what lies behind this offset in it is void */
    uint64_t prev_last_time; /* newest frame in it */
    uint64_t snapshot_bytes; /* one copy of the snapshot; copies lie behind each other */
    uint32_t copies;
};

struct gw_lf_record {
    uint8_t kind, signal;
    uint16_t topic, partition;
    uint32_t rows, n_meta, n_body;
    uint64_t seq, row, time_ns;
    uint32_t body_crc;
};

struct gw_lf_commit {
    uint64_t group_bytes; /* from the group's first record to this one */
    uint32_t n_records, heads_crc, chain;
    struct gw_log_producer producer;
    uint64_t synced; /* offset in this segment below which all was synced before this group was written */
};

/** One entry of a settle record, resolved to rows. */
struct gw_lf_settled {
    uint32_t consumer;
    uint8_t outcome;
    uint64_t row, rows;
    uint64_t to_seq; /* the frame behind, or that which is settled up to to_part */
    uint32_t to_part;
};

static inline uint64_t gw_lf_pad(uint64_t n)
{
    return (n + 7) & ~(uint64_t)7;
}

/** Bytes of a record in the file. */
static inline uint64_t gw_lf_size(const struct gw_lf_record *r)
{
    return GW_LF_HEAD + gw_lf_pad((uint64_t)r->n_meta + r->n_body);
}

static inline void gw_lf_put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void gw_lf_put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void gw_lf_put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline uint16_t gw_lf_get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint32_t gw_lf_get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint64_t gw_lf_get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/** Bound to the log and the segment: a record that lies in another file, or at another place, is none. */
uint32_t gw_lf_salt(const uint8_t uuid[GW_LF_UUID], uint64_t number);

void gw_lf_write_segment_head(uint8_t ret[GW_LF_SEGMENT_HEAD], const struct gw_lf_segment_head *h);
/** 0; -EBADMSG damaged or not ours; -EPROTONOSUPPORT of a later version. */
int gw_lf_read_segment_head(const uint8_t p[GW_LF_SEGMENT_HEAD], struct gw_lf_segment_head *ret);

void gw_lf_write_record(uint8_t ret[GW_LF_HEAD], const struct gw_lf_record *r, uint32_t salt, uint64_t off);
/** True when it is a record's header, unharmed and at its place. Lengths are within their limits then. */
bool gw_lf_read_record(const uint8_t p[GW_LF_HEAD], uint32_t salt, uint64_t off, struct gw_lf_record *ret);

void gw_lf_write_commit(uint8_t ret[GW_LF_COMMIT_BODY], const struct gw_lf_commit *c);
void gw_lf_read_commit(const uint8_t p[GW_LF_COMMIT_BODY], struct gw_lf_commit *ret);

void gw_lf_write_settled(uint8_t ret[GW_LF_SETTLE_ENTRY], const struct gw_lf_settled *s);
void gw_lf_read_settled(const uint8_t p[GW_LF_SETTLE_ENTRY], struct gw_lf_settled *ret);

#endif
