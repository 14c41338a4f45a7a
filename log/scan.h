/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going through a segment file in blocks, over damage too: what is not a record is skipped up to the next place at
 * which one begins. Memory: one block, or the largest record that was looked at whole.
 */
#ifndef GW_LOG_SCAN_H
#define GW_LOG_SCAN_H

#include "core/env.h"
#include "log/format.h"

enum { GW_LF_BLOCK = 256 << 10 };

struct gw_lf_stage;

struct gw_lf_scan {
    struct gw_env *env;
    struct gw_file *f;
    struct gw_lf_stage *stage; /* or NULL; what it has of segment `number` is not looked for in the file */
    uint64_t number;
    uint32_t salt;
    uint64_t ahead;   /* so far the disk was told what comes */
    uint64_t at, end; /* the next record; nothing at or behind end is looked at */
    uint64_t skipped; /* bytes that were no records, so far */
    int error;        /* the disk's last one: what could not be read is no record either */
    uint8_t *buf;     /* [buf_at, buf_at + n_buf) of the file */
    size_t cap, n_buf;
    uint64_t buf_at;
    size_t block; /* at a time, when bodies are passed over; 0: GW_LF_BLOCK */
};

/** Takes over f. */
void gw_lf_scan_init(struct gw_lf_scan *s, struct gw_env *env, struct gw_file *f, uint32_t salt, uint64_t end);
void gw_lf_scan_clear(struct gw_lf_scan *s);
/** n bytes at off, until the next call. Errors: -ENODATA the file ends before, -ENOMEM, of the disk. */
int gw_lf_scan_peek(struct gw_lf_scan *s, uint64_t off, size_t n, const uint8_t **ret);
/** 1: a record begins at off and lies in the file as a whole; 0: not. Errors: -ENOMEM. */
int gw_lf_scan_record(struct gw_lf_scan *s, uint64_t off, struct gw_lf_record *ret);
/** 1: meta and body are unharmed; 0: not. Errors: -ENOMEM. */
int gw_lf_scan_body_ok(struct gw_lf_scan *s, uint64_t off, const struct gw_lf_record *r);
/** The next record at or behind s->at, whose body was not looked at, and s->at behind it. 0: the end. -ENOMEM. */
int gw_lf_scan_next(struct gw_lf_scan *s, uint64_t *ret_off, struct gw_lf_record *ret);
/** 1: a whole group begins at off: *ret_end is behind it, *ret_chain what the next one must carry. 0: none. -ENOMEM. */
int gw_lf_scan_group(struct gw_lf_scan *s, uint64_t off, const uint32_t *chain, uint64_t *ret_end, uint32_t *ret_chain);

/**
 * Of segment `number`, from off on: how many of at most *n bytes the stage has. 0: they are in the file, *n of them at
 * least. Threads: any.
 */
size_t gw_lf_stage_read(struct gw_lf_stage *s, uint64_t number, uint8_t *p, size_t *n, uint64_t off);

#endif
