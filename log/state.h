/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a log knows besides its frames: consumers, producers, what was lost. It changes by records only: the writer
 * applies what it has written, recovery what it reads, both through gw_lf_state_apply.
 */
#ifndef GW_LOG_STATE_H
#define GW_LOG_STATE_H

#include "core/buf.h"
#include "log/format.h"
#include "log/rows.h"

enum { GW_LF_MAX_CONSUMERS = 1024, GW_LF_MAX_PRODUCERS = 1024 };

struct gw_lf_position {
    uint64_t next_seq;
    uint8_t *note;
    uint16_t n_note, cap_note;
    bool is_set;
};

struct gw_lf_consumer {
    uint32_t id;
    char name[GW_LOG_MAX_NAME_BYTES + 1];
    bool is_open;
    uint64_t first_row;
    struct gw_lf_rows done;
    size_t n_planned; /* ranges that records on their way may add */
    uint64_t settled[GW_LOG_N_OUTCOMES], lost_rows;
    struct gw_lf_position *positions; /* GW_LOG_PARTITIONS, or NULL when it settles rows */
};

struct gw_lf_producer {
    uint32_t id, epoch;
    char name[GW_LOG_MAX_NAME_BYTES + 1];
};

struct gw_lf_state {
    struct gw_lf_consumer **consumers; /* in order of making */
    struct gw_lf_producer *producers;
    unsigned n_consumers, cap_consumers, n_producers, cap_producers;
    uint32_t next_consumer, next_producer;
    uint64_t end_seq, end_row;
    struct gw_lf_place trim; /* nothing below it is wanted any more */
    struct gw_lf_rows lost;  /* rows found damaged; its base is of no meaning but as a floor */
    uint64_t lost_frames, lost_rows, lost_bytes;
    uint64_t partitions; /* bit per partition that ever had a frame */
};

/** Found damaged: rows [from, to.row). */
struct gw_lf_loss {
    uint64_t from;
    struct gw_lf_place to;
    uint64_t frames, bytes;
};

void gw_lf_state_clear(struct gw_lf_state *s);
struct gw_lf_consumer *gw_lf_state_consumer(const struct gw_lf_state *s, uint32_t id);
struct gw_lf_consumer *gw_lf_state_consumer_named(const struct gw_lf_state *s, const char *name);
struct gw_lf_producer *gw_lf_state_producer(const struct gw_lf_state *s, uint32_t id);
struct gw_lf_producer *gw_lf_state_producer_named(const struct gw_lf_state *s, const char *name);

/**
 * One record that was read whole, or written. A frame's body is not looked at.
 *
 * Errors    -ENOMEM; -EBADMSG a record that no writer of ours makes. Nothing is changed then
 */
int gw_lf_state_apply(struct gw_lf_state *s, const struct gw_lf_record *r, struct gw_slice body);
/** Make sure that a record to be written can be applied: apply cannot fail behind that. Errors: -ENOMEM, -E2BIG. */
int gw_lf_state_reserve(struct gw_lf_state *s, uint8_t kind, struct gw_slice body);
/** Nothing is on its way any more. */
void gw_lf_state_unplan(struct gw_lf_state *s);

int gw_lf_state_lose(struct gw_lf_state *s, const struct gw_lf_loss *loss);
/** Counts must agree with ranges, also where a damaged record took some of either: rows count as not settled then. */
void gw_lf_state_mend(struct gw_lf_state *s);
/** True when (end_row - first_row) = settled + lost + open holds for each consumer. */
bool gw_lf_state_adds_up(const struct gw_lf_state *s);

/* positions.c */
int gw_lf_state_apply_positions(struct gw_lf_state *s, struct gw_slice body);
int gw_lf_state_reserve_positions(struct gw_lf_state *s, struct gw_slice body);

/* Records of a snapshot: snapshot.c. */
int gw_lf_state_apply_ranges(struct gw_lf_state *s, struct gw_slice body);
int gw_lf_state_apply_totals(struct gw_lf_state *s, struct gw_slice body);

/* Bodies. */
void gw_lf_put_consumer(struct gw_buf *b, const struct gw_lf_consumer *c);
void gw_lf_put_producer(struct gw_buf *b, const struct gw_lf_producer *p);
void gw_lf_put_position(struct gw_buf *b, uint32_t consumer, uint16_t partition, uint64_t next_seq,
                        struct gw_slice note);
void gw_lf_put_release(struct gw_buf *b, uint32_t id);
void gw_lf_put_loss(struct gw_buf *b, const struct gw_lf_loss *loss);
void gw_lf_put_trim(struct gw_buf *b, const struct gw_lf_place *to);
/** Behind it: so many of a consumer's rows that go lie before its positions, and count as delivered. */
void gw_lf_put_trim_passed(struct gw_buf *b, uint32_t consumer, uint64_t rows);

/** Calls `each` with the records of a snapshot in their order. Errors: -ENOMEM, or what each returns. */
int gw_lf_state_snapshot(const struct gw_lf_state *s, uint64_t end_seq, uint64_t end_row,
                         int (*each)(void *arg, uint8_t kind, struct gw_slice body), void *arg);

#endif
