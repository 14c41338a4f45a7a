/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the past, again.
 *
 * Below the highest offset that a commit record names as synced, all groups were committed: damage there is rot, what
 * is around it is kept, and what is missing is counted. Behind it the log ends with the last whole group: what was
 * never synced may have reached the disk in any order, and a gap in it would be a commit that came back in part.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"
#include "log/recover.h"

enum { MAX_BAD_BYTES = 16 << 20 }; /* a segment */

void gw_lf_lose(struct gw_lf *l, uint64_t seq, uint64_t row, uint64_t bytes)
{
    struct gw_lf_state *s = &l->state;
    struct gw_lf_loss loss = {s->end_row, {row, seq, 0}, seq - s->end_seq, bytes};

    if (seq <= s->end_seq && row <= s->end_row)
        return;
    (void)gw_lf_state_lose(s, &loss);
    if (!l->conf.read_only)
        l->damaged = true;
    s->end_seq = seq;
    s->end_row = row;
}

/* One record of the past. Bodies of frames are not needed. */
static int replay(struct gw_lf *l, struct gw_lf_scan *s, uint64_t off, const struct gw_lf_record *r)
{
    struct gw_slice body = {0};
    const uint8_t *p;
    int rc;

    if (r->topic == GW_LF_IN_SNAPSHOT && r->kind != GW_LF_FRAME)
        return 0; /* known already, from having read what it sums up */
    if (r->kind == GW_LF_FRAME && r->seq < l->state.end_seq)
        return 0; /* written again after a failure */
    if (r->seq > l->state.end_seq || r->row > l->state.end_row) {
        gw_lf_lose(l, r->seq, r->row, s->skipped);
        s->skipped = 0;
    }
    if (r->kind != GW_LF_FRAME && r->n_body > 0) {
        rc = gw_lf_scan_peek(s, off + GW_LF_HEAD, r->n_body, &p);
        if (rc < 0)
            return rc == -ENOMEM ? rc : 0;
        body = gw_slice_of(p, r->n_body);
    }
    if (r->kind == GW_LF_FRAME && r->time_ns > l->tail.newest_ns)
        l->tail.newest_ns = r->time_ns;
    rc = gw_lf_state_apply(&l->state, r, body);
    return rc == -ENOMEM ? rc : 0;
}

static int replay_range(struct gw_lf *l, struct gw_lf_scan *s, uint64_t off, uint64_t end)
{
    while (off < end) {
        struct gw_lf_record r;
        int rc = gw_lf_scan_record(s, off, &r);

        if (rc > 0)
            rc = replay(l, s, off, &r);
        else if (rc == 0)
            return 0;
        if (rc < 0)
            return rc;
        off += gw_lf_size(&r);
    }
    return 0;
}

/* Bytes that are no records any more are kept beside the segment: somebody may want to look at them. */
static void keep_aside(struct gw_lf *l, struct gw_lf_scan *s, uint64_t number, uint64_t from, uint64_t to)
{
    char path[GW_LF_PATH];
    struct gw_file *f;
    int64_t at;

    if (l->conf.read_only || from >= to)
        return;
    gw_lf_path(l, number, ".bad", path);
    if (l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE, 0600, &f) < 0)
        return;
    at = l->env->ops->file_size(f);
    while (at >= 0 && at < MAX_BAD_BYTES && from < to) {
        size_t n = to - from < GW_LF_BLOCK ? (size_t)(to - from) : GW_LF_BLOCK;
        const uint8_t *p;
        struct iovec iov;

        if (gw_lf_scan_peek(s, from, n, &p) < 0)
            break;
        iov = (struct iovec){(void *)(uintptr_t)p, n};
        if (gw_lf_write_all(l, f, &iov, 1, (uint64_t)at) < 0)
            break;
        at += (int64_t)n;
        from += n;
    }
    l->env->ops->file_close(f);
    gw_log(&l->conf.logger, GW_LOG_WARN, "%s: damage in segment %" PRIu64 ": bytes that are no records are kept in %s",
           l->dir, number, path);
}

/* Below `sure` everything was committed. */
static int replay_sure(struct gw_lf *l, struct gw_lf_scan *s, uint64_t number, uint64_t sure)
{
    uint64_t end = s->end, off, behind = s->at;
    struct gw_lf_record r;
    int rc;

    s->end = sure < end ? sure : end;
    s->skipped = 0;
    while ((rc = gw_lf_scan_next(s, &off, &r)) > 0) {
        uint64_t next = s->at;

        if (off > behind) {
            l->damaged = true;
            keep_aside(l, s, number, behind, off);
        }
        behind = next;
        rc = gw_lf_scan_body_ok(s, off, &r);
        if (rc > 0) {
            rc = replay(l, s, off, &r);
        } else if (rc == 0) {
            l->damaged = true;
            keep_aside(l, s, number, off, next);
            s->skipped += gw_lf_size(&r);
            if (r.kind == GW_LF_FRAME && r.seq >= l->state.end_seq) {
                gw_lf_lose(l, r.seq + 1, r.row + r.rows, s->skipped);
                s->skipped = 0;
            }
        }
        if (rc < 0)
            break;
    }
    if (rc == 0 && behind < s->end) {
        l->damaged = true;
        keep_aside(l, s, number, behind, s->end);
    }
    s->end = end;
    return rc;
}

int gw_lf_replay_groups(struct gw_lf *l, struct gw_lf_scan *s, const uint32_t *chain, uint64_t *ret_end)
{
    uint32_t known = chain ? *chain : 0;
    uint64_t end;
    int rc;

    while ((rc = gw_lf_scan_group(s, s->at, chain, &end, &known)) > 0) {
        chain = &known;
        rc = replay_range(l, s, s->at, end);
        if (rc < 0)
            return rc;
        s->at = end;
        l->tail.chain = known;
    }
    *ret_end = s->at;
    return rc;
}

/* The highest offset that a commit of this segment says was synced, and where the last record of any kind ends. */
int gw_lf_find_sure(struct gw_lf_scan *s, uint64_t *ret, uint64_t *ret_last)
{
    struct gw_lf_record r;
    uint64_t off;
    int rc;

    *ret = *ret_last = 0;
    while ((rc = gw_lf_scan_next(s, &off, &r)) > 0) {
        struct gw_lf_commit c;
        const uint8_t *p;

        *ret_last = s->at;
        if (r.kind != GW_LF_END || gw_lf_scan_body_ok(s, off, &r) <= 0 ||
            gw_lf_scan_peek(s, off + GW_LF_HEAD, GW_LF_COMMIT_BODY, &p) < 0)
            continue;
        gw_lf_read_commit(p, &c);
        if (c.synced <= off && c.synced > *ret)
            *ret = c.synced;
    }
    return rc;
}

/* Where the file ends, what was killed may have written more: into the stage. `chain` is of the last group, or NULL. */
static int go_on_in_stage(struct gw_lf *l, struct gw_lf_seg *seg, struct gw_lf_scan *s, const uint32_t *chain)
{
    uint64_t at = seg->end;
    int rc = gw_lf_stage_load(l, seg);

    if (rc <= 0)
        return rc;
    s->at = at;
    s->n_buf = 0;
    s->end = s->end > l->stage.end ? s->end : l->stage.end;
    rc = gw_lf_replay_groups(l, s, chain, &seg->end);
    if (rc >= 0 && seg->end > at)
        rc = gw_lf_stage_pour(l, s, seg, at, seg->end);
    if (seg->end > seg->file_bytes)
        seg->file_bytes = seg->end;
    gw_lf_stage_off(l); /* the file has all of it now */
    return rc;
}

int gw_lf_replay_segment(struct gw_lf *l, struct gw_lf_seg *seg, bool is_last)
{
    struct gw_lf_scan s;
    uint64_t sure = seg->end, last = 0;
    int rc = gw_lf_seg_open(l, seg, &s);

    if (rc < 0)
        return rc;
    l->tail.newest_ns = 0;
    if (is_last)
        rc = gw_lf_find_sure(&s, &sure, &last);
    s.at = seg->data;
    if (rc >= 0 && sure > s.at)
        rc = replay_sure(l, &s, seg->number, sure);
    if (rc >= 0 && is_last) {
        uint32_t chain = seg->chain;
        const uint32_t *follows = sure > seg->data || chain == 0 ? NULL : &chain;

        l->tail.chain = chain; /* what is written next follows on that, when there is no group yet */
        if (sure > seg->data)
            s.at = sure;
        sure = s.at;
        rc = gw_lf_replay_groups(l, &s, follows, &seg->end);
        if (rc >= 0)
            rc = go_on_in_stage(l, seg, &s, seg->end > sure ? &l->tail.chain : follows);
        if (last > seg->end && !l->conf.read_only)
            gw_log(&l->conf.logger, GW_LOG_WARN,
                   "%s: %" PRIu64 " bytes behind the last whole commit were never synced, and are cut off", l->dir,
                   last - seg->end);
    }
    seg->last_time_ns = l->tail.newest_ns;
    gw_lf_scan_clear(&s);
    return rc;
}

/* The state of a segment's head: 1 when one of its copies is whole. */
int gw_lf_replay_snapshot(struct gw_lf *l, struct gw_lf_seg *seg)
{
    struct gw_lf_scan s;
    uint64_t end = 0;
    uint32_t chain = 0;
    int rc = seg->head_bad ? 0 : gw_lf_seg_open(l, seg, &s), found = 0;

    if (seg->head_bad || rc < 0)
        return rc == -ENOMEM ? rc : 0;
    s.end = seg->file_bytes;
    for (unsigned i = 0; i < seg->copies && rc >= 0; i++) {
        uint64_t at = GW_LF_RECORDS + i * seg->snapshot_bytes, off = at;

        rc = gw_lf_scan_group(&s, at, NULL, &end, &chain);
        if (rc <= 0 || end - at != seg->snapshot_bytes)
            continue;
        if (i + 1 == seg->copies)
            seg->chain = chain;
        while (!found && off < end) {
            struct gw_lf_record r;
            const uint8_t *p;

            if (gw_lf_scan_record(&s, off, &r) <= 0 || gw_lf_scan_peek(&s, off + GW_LF_HEAD, r.n_body, &p) < 0)
                break;
            rc = gw_lf_state_apply(&l->state, &r, gw_slice_of(p, r.n_body));
            if (rc == -ENOMEM)
                break;
            off += gw_lf_size(&r);
        }
        found = 1;
    }
    gw_lf_scan_clear(&s);
    return rc == -ENOMEM ? rc : found;
}
