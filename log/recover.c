/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash left becomes a log again, without anybody's help.
 *
 *   segments   head ✓ ── head ✓ ── head ✗ ── head ✓ ══════════ last
 *              their headers are read        └ base: its snapshot, then every group behind it
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

static void lose(struct gw_lf *l, uint64_t seq, uint64_t row, uint64_t bytes)
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
        lose(l, r->seq, r->row, s->skipped);
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
                lose(l, r.seq + 1, r.row + r.rows, s->skipped);
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

static int replay_groups(struct gw_lf *l, struct gw_lf_scan *s, const uint32_t *chain, uint64_t *ret_end)
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
static int find_sure(struct gw_lf_scan *s, uint64_t *ret, uint64_t *ret_last)
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

int gw_lf_replay_segment(struct gw_lf *l, struct gw_lf_seg *seg, bool is_last)
{
    struct gw_lf_scan s;
    uint64_t sure = seg->end, last = 0;
    int rc = gw_lf_seg_open(l, seg, &s);

    if (rc < 0)
        return rc;
    l->tail.newest_ns = 0;
    if (is_last)
        rc = find_sure(&s, &sure, &last);
    s.at = seg->data;
    if (rc >= 0 && sure > s.at)
        rc = replay_sure(l, &s, seg->number, sure);
    if (rc >= 0 && is_last) {
        uint32_t chain = seg->chain;

        l->tail.chain = chain; /* what is written next follows on that, when there is no group yet */
        if (sure > seg->data)
            s.at = sure;
        rc = replay_groups(l, &s, sure > seg->data || chain == 0 ? NULL : &chain, &seg->end);
        if (last > seg->end && !l->conf.read_only)
            gw_log(&l->conf.logger, GW_LOG_WARN,
                   "%s: %" PRIu64 " bytes behind the last whole commit were never synced, and are cut off", l->dir,
                   last - seg->end);
    }
    seg->last_time_ns = l->tail.newest_ns;
    gw_lf_scan_clear(&s);
    return rc;
}

/* ---- heads ------------------------------------------------------------------------------------------------- */

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

static int read_head(struct gw_lf *l, struct gw_lf_seg *seg, struct gw_lf_segment_head *h)
{
    char path[GW_LF_PATH];
    uint8_t p[GW_LF_RECORDS];
    struct gw_file *f;
    ssize_t got;
    int64_t size;
    int rc;

    gw_lf_path(l, seg->number, "", path);
    rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ, 0, &f);
    if (rc < 0)
        return rc;
    size = l->env->ops->file_size(f);
    got = l->env->ops->file_pread(f, p, sizeof(p), 0);
    l->env->ops->file_close(f);
    seg->file_bytes = size > 0 ? (uint64_t)size : 0;
    if (got < (ssize_t)sizeof(p))
        return got < 0 && got != -EIO ? (int)got : -EBADMSG;
    rc = gw_lf_read_segment_head(p, h);
    if (rc < 0)
        rc = gw_lf_read_segment_head(p + GW_LF_SEGMENT_HEAD, h);
    return rc == 0 && h->number != seg->number ? -EBADMSG : rc;
}

static void from_head(struct gw_lf_seg *seg, const struct gw_lf_segment_head *h)
{
    seg->prev_number = h->prev_number;
    seg->first_seq = h->first_seq;
    seg->first_row = h->first_row;
    seg->time_ns = h->time_ns;
    seg->prev_end = h->prev_end;
    seg->prev_last_time = h->prev_last_time;
    seg->snapshot_bytes = h->snapshot_bytes;
    seg->copies = h->copies;
    seg->data = GW_LF_RECORDS + h->copies * h->snapshot_bytes;
    seg->end = seg->file_bytes;
}

/* Without its header a segment is what its first record says. 0: there is none. */
static int derive_head(struct gw_lf *l, struct gw_lf_seg *seg)
{
    struct gw_lf_scan s;
    struct gw_lf_record r;
    uint64_t off;
    int rc;

    seg->head_bad = true;
    seg->data = GW_LF_RECORDS;
    seg->end = seg->file_bytes;
    rc = gw_lf_seg_open(l, seg, &s);
    if (rc < 0)
        return rc;
    rc = gw_lf_scan_next(&s, &off, &r);
    if (rc > 0) {
        seg->first_seq = r.seq;
        seg->first_row = r.row;
        seg->time_ns = r.time_ns;
    }
    gw_lf_scan_clear(&s);
    return rc;
}

/* Made, and never written to. */
static bool is_blank(struct gw_lf *l, const struct gw_lf_seg *seg)
{
    struct gw_lf_scan s;
    bool blank = true;

    if (gw_lf_seg_open(l, seg, &s) < 0)
        return false;
    for (uint64_t at = 0; blank && at < seg->file_bytes; at += GW_LF_BLOCK) {
        size_t n = seg->file_bytes - at < GW_LF_BLOCK ? (size_t)(seg->file_bytes - at) : GW_LF_BLOCK;
        const uint8_t *p;

        if (gw_lf_scan_peek(&s, at, n, &p) < 0)
            blank = false;
        else if (at == 0 && n > sizeof(GW_LF_RESERVE_MARK) && memcmp(p, GW_LF_RESERVE_MARK, 8) == 0)
            break;
        else
            blank = p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
    }
    gw_lf_scan_clear(&s);
    return blank;
}

/* ---- the folder -------------------------------------------------------------------------------------------- */

static void set_aside(struct gw_lf *l, uint64_t number, const char *why)
{
    char from[GW_LF_PATH], to[GW_LF_PATH];

    if (l->conf.read_only)
        return;
    gw_lf_path(l, number, "", from);
    gw_lf_path(l, number, ".bad", to);
    if (l->env->ops->file_rename(l->env, from, to) == 0)
        gw_log(&l->conf.logger, GW_LOG_WARN, "%s: %s, kept aside as %s", l->dir, why, to);
}

static void remove_blank(struct gw_lf *l, const struct gw_lf_seg *seg)
{
    char path[GW_LF_PATH];

    gw_lf_path(l, seg->number, "", path);
    if (!l->conf.read_only)
        (void)l->env->ops->file_remove(l->env, path);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct gw_lf_seg *)a)->number, y = ((const struct gw_lf_seg *)b)->number;

    return x < y ? -1 : x > y;
}

/* The log is the one that the newest sound header speaks of. */
static int find_uuid(struct gw_lf *l, struct gw_lf_segment_head *heads, const int *rcs)
{
    for (size_t i = l->n_segs; i-- > 0;)
        if (rcs[i] == 0) {
            memcpy(l->uuid, heads[i].uuid, sizeof(l->uuid));
            return 1;
        }
    return 0;
}

static int read_heads(struct gw_lf *l, struct gw_err *err)
{
    struct gw_lf_segment_head *heads = calloc(l->n_segs + 1, sizeof(*heads));
    int *rcs = calloc(l->n_segs + 1, sizeof(*rcs)), rc = heads && rcs ? 0 : -ENOMEM;
    size_t n = 0;

    for (size_t i = 0; rc == 0 && i < l->n_segs; i++) {
        rcs[i] = read_head(l, &l->segs[i], &heads[i]);
        if (rcs[i] == -EPROTONOSUPPORT)
            rc = gw_fail(err, -EPROTONOSUPPORT, "%s: segment %" PRIu64 " is of a later version of the format", l->dir,
                         l->segs[i].number);
        else if (rcs[i] < 0 && rcs[i] != -EBADMSG && !(rcs[i] == -ENOENT && l->conf.read_only))
            rc = gw_fail(err, rcs[i], "%s: segment %" PRIu64 " cannot be read: %s", l->dir, l->segs[i].number,
                         strerror(-rcs[i]));
    }
    if (rc == 0 && !find_uuid(l, heads, rcs) && l->n_segs > 0)
        l->damaged = true;
    for (size_t i = 0; rc == 0 && i < l->n_segs; i++) {
        struct gw_lf_seg *seg = &l->segs[i];

        if (rcs[i] == -ENOENT)
            continue; /* retention of the process that has it was faster */
        if (rcs[i] == 0 && memcmp(heads[i].uuid, l->uuid, sizeof(l->uuid)) != 0) {
            set_aside(l, seg->number, "a segment of another log");
            continue;
        }
        if (rcs[i] == 0) {
            from_head(seg, &heads[i]);
        } else {
            int some = derive_head(l, seg);

            if (some < 0)
                rc = some;
            if (some == 0) {
                if (is_blank(l, seg))
                    remove_blank(l, seg);
                else
                    set_aside(l, seg->number, "a segment without anything to read");
                continue;
            }
        }
        l->segs[n++] = *seg;
    }
    l->n_segs = n;
    free(heads);
    free(rcs);
    return rc;
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

/* What is behind a segment's end was written again into the next one. */
static void join(struct gw_lf *l)
{
    for (size_t i = 0; i + 1 < l->n_segs; i++) {
        struct gw_lf_seg *s = &l->segs[i], *next = &l->segs[i + 1];

        if (next->head_bad || next->prev_number != s->number)
            continue;
        if (next->prev_end < s->end)
            s->end = next->prev_end;
        s->last_time_ns = next->prev_last_time;
    }
}

/* A hole that was found before is known from the snapshot. */
static int lose_hole(struct gw_lf *l, const struct gw_lf_loss *loss)
{
    uint64_t before = l->state.lost_rows;
    int rc = gw_lf_state_lose(&l->state, loss);

    l->damaged |= l->state.lost_rows != before;
    return rc;
}

/* Rows between the end of segment i and the beginning of the next one are lost, if there are any. */
static int find_hole(struct gw_lf *l, size_t i)
{
    struct gw_lf_seg *s = &l->segs[i], *next = &l->segs[i + 1];
    uint64_t seq = s->first_seq, row = s->first_row, off;
    struct gw_lf_scan scan;
    struct gw_lf_record r;
    struct gw_lf_loss loss;
    int rc;

    if ((!next->head_bad && next->prev_number == s->number) ||
        (next->first_seq <= l->state.trim.seq && next->first_row <= l->state.trim.row))
        return 0; /* or nobody wants what was there */
    rc = gw_lf_seg_open(l, s, &scan);
    if (rc < 0)
        return rc;
    while ((rc = gw_lf_scan_next(&scan, &off, &r)) > 0)
        if (r.seq + (r.kind == GW_LF_FRAME) > seq) {
            seq = r.seq + (r.kind == GW_LF_FRAME);
            row = r.row + r.rows;
        }
    gw_lf_scan_clear(&scan);
    if (rc < 0 || seq >= next->first_seq)
        return rc;
    loss = (struct gw_lf_loss){row, {next->first_row, next->first_seq, 0}, next->first_seq - seq, 0};
    return lose_hole(l, &loss);
}

static int find_holes(struct gw_lf *l, size_t base)
{
    const struct gw_lf_seg *first = &l->segs[0];
    struct gw_lf_place *trim = &l->state.trim;
    int rc = 0;

    if (first->first_seq > trim->seq || first->first_row > trim->row) {
        struct gw_lf_loss loss = {trim->row, {first->first_row, first->first_seq, 0}, first->first_seq - trim->seq, 0};

        rc = lose_hole(l, &loss);
    }
    for (size_t i = 0; rc == 0 && i < base; i++)
        rc = find_hole(l, i);
    return rc;
}

/*
 * A last segment without a header is damaged, or was never finished: then no commit in it knows of a sync, and all it
 * has lies in the one before, too.
 */
static int drop_unfinished(struct gw_lf *l)
{
    while (l->n_segs > 1 && l->segs[l->n_segs - 1].head_bad) {
        struct gw_lf_seg *seg = &l->segs[l->n_segs - 1];
        char path[GW_LF_PATH];
        struct gw_lf_scan s;
        uint64_t sure, last;
        int rc = gw_lf_seg_open(l, seg, &s);

        if (rc < 0)
            return rc;
        rc = find_sure(&s, &sure, &last);
        gw_lf_scan_clear(&s);
        if (rc < 0 || sure > 0)
            return rc;
        gw_lf_path(l, seg->number, "", path);
        if (!l->conf.read_only)
            (void)l->env->ops->file_remove(l->env, path);
        l->n_segs--;
    }
    return 0;
}

static int replay_all(struct gw_lf *l, size_t *ret_base)
{
    size_t base;
    int rc = drop_unfinished(l);

    if (rc < 0)
        return rc;
    base = l->n_segs;
    rc = 0;
    while (base > 0 && rc == 0)
        rc = gw_lf_replay_snapshot(l, &l->segs[--base]);
    if (rc < 0)
        return rc;
    if (rc == 0) { /* no snapshot anywhere: frames are what is left */
        l->state.end_seq = l->state.trim.seq = l->segs[0].first_seq;
        l->state.end_row = l->state.trim.row = l->segs[0].first_row;
        l->damaged = true;
    } else if (base + 1 < l->n_segs) {
        l->damaged = true;
    }
    *ret_base = base;
    for (size_t i = base; i < l->n_segs; i++) {
        bool is_last = i + 1 == l->n_segs;

        /* Its header was never written: what it has copies of is where it was. */
        if (i > base && l->segs[i].head_bad && l->segs[i].first_seq < l->state.end_seq) {
            l->segs[i].first_seq = l->state.end_seq;
            l->segs[i].first_row = l->state.end_row;
        }
        if (l->segs[i].first_seq > l->state.end_seq)
            lose(l, l->segs[i].first_seq, l->segs[i].first_row, 0);
        rc = gw_lf_replay_segment(l, &l->segs[i], is_last);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void say(struct gw_lf *l)
{
    const struct gw_lf_seg *last = &l->segs[l->n_segs - 1];

    if (l->state.lost_rows || l->state.lost_frames)
        gw_log(&l->conf.logger, GW_LOG_WARN,
               "%s: %" PRIu64 " rows in %" PRIu64 " frames are damaged and lost since the log was made", l->dir,
               l->state.lost_rows, l->state.lost_frames);
    gw_log(&l->conf.logger, GW_LOG_DEBUG, "%s: %zu segments, the last one to byte %" PRIu64, l->dir, l->n_segs,
           last->end);
}

/* The last segment goes on where it ends; everything behind that is cut off. */
static int take_over(struct gw_lf *l)
{
    struct gw_lf_seg *last = &l->segs[l->n_segs - 1];
    struct gw_lf_tail *t = &l->tail;
    char path[GW_LF_PATH];
    int rc;

    gw_lf_path(l, last->number, "", path);
    rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE, 0600, &t->file);
    if (rc < 0)
        return rc;
    t->number = last->number;
    t->salt = gw_lf_salt(l->uuid, last->number);
    t->at = last->end;
    t->data = last->data;
    t->room = gw_lf_segment_bytes(l);
    if (last->file_bytes > t->at)
        rc = l->env->ops->file_truncate(t->file, t->at);
    if (rc == 0)
        rc = l->env->ops->file_sync(t->file); /* what was only in the page cache is kept for good now */
    if (rc < 0)
        return rc;
    t->synced = t->at;
    t->synced_seq = l->next_seq;
    t->synced_row = l->next_row;
    if (t->room > t->at)
        rc = l->env->ops->file_allocate(t->file, t->at, t->room - t->at);
    if (rc < 0 && rc != -EOPNOTSUPP && rc != -ENOSYS)
        t->room = t->at; /* what comes needs another segment, and may not get one */
    l->applied_at = t->at;
    gw_lf_segs_changed(l);
    l->stats.synced_seq = l->next_seq;
    return 0;
}

/* Of segments below the mark some may have gone when a crash came, in any order: the rest goes now. */
static void drop_trimmed(struct gw_lf *l)
{
    size_t n = 0;

    while (n + 1 < l->n_segs && l->segs[n + 1].first_seq <= l->state.trim.seq &&
           l->segs[n + 1].first_row <= l->state.trim.row)
        n++;
    if (n > 0 && !l->conf.read_only)
        gw_lf_segments_drop(l, 0, n);
}

int gw_lf_recover(struct gw_lf *l, struct gw_err *err)
{
    size_t base = 0;
    int rc;

    if (l->n_segs > 0)
        qsort(l->segs, l->n_segs, sizeof(*l->segs), by_number);
    rc = read_heads(l, err);
    if (rc < 0 || l->n_segs == 0)
        return rc;
    join(l);
    rc = replay_all(l, &base);
    if (rc >= 0)
        rc = find_holes(l, base);
    if (rc < 0)
        return gw_fail(err, rc, "%s: cannot be read: %s", l->dir, strerror(-rc));
    gw_lf_state_mend(&l->state);
    l->next_seq = l->state.end_seq;
    l->next_row = l->state.end_row;
    say(l);
    if (l->conf.read_only) {
        l->tail.at = l->segs[l->n_segs - 1].end;
        return 0;
    }
    rc = take_over(l);
    if (rc < 0)
        return gw_fail(err, rc, "%s: the last segment cannot be written on: %s", l->dir, strerror(-rc));
    drop_trimmed(l);
    if (l->damaged)
        (void)gw_lf_roll(l, 0);
    return 0;
}

/* ---- following a log that another process writes ----------------------------------------------------------- */

/* Whole groups behind the end. */
static void follow_last(struct gw_lf *l)
{
    struct gw_lf_seg *last = &l->segs[l->n_segs - 1];
    struct gw_lf_scan s;
    uint64_t end;
    int64_t size;

    last->end = UINT64_MAX >> 1;
    if (gw_lf_seg_open(l, last, &s) < 0) {
        last->end = l->tail.at;
        return;
    }
    size = l->env->ops->file_size(s.f);
    s.end = size > 0 ? (uint64_t)size : 0;
    s.at = l->tail.at;
    (void)replay_groups(l, &s, &l->tail.chain, &end);
    l->tail.at = last->end = s.at;
    last->last_time_ns = l->tail.newest_ns;
    gw_lf_scan_clear(&s);
}

/* What the first group behind the snapshot follows on. */
static int find_chain(struct gw_lf *l, const struct gw_lf_seg *seg, uint32_t *ret)
{
    struct gw_lf_scan s;
    uint64_t end;
    int rc = seg->copies == 0 ? -EBADMSG : gw_lf_seg_open(l, seg, &s);

    if (rc < 0)
        return rc;
    rc = gw_lf_scan_group(&s, seg->data - seg->snapshot_bytes, NULL, &end, ret);
    gw_lf_scan_clear(&s);
    return rc;
}

/* 1: the writer has gone on to another segment. */
static int follow_next(struct gw_lf *l)
{
    struct gw_lf_seg seg = {0}, *last = &l->segs[l->n_segs - 1];
    struct gw_lf_segment_head h;
    uint32_t chain;

    for (uint64_t k = 1; k <= GW_LF_RESERVES + 1; k++) { /* some may have gone again */
        seg = (struct gw_lf_seg){.number = last->number + k};
        if (read_head(l, &seg, &h) == 0 && memcmp(h.uuid, l->uuid, sizeof(h.uuid)) == 0)
            break;
        seg.number = 0;
    }
    if (seg.number == 0)
        return 0;
    from_head(&seg, &h);
    follow_last(l); /* it may have been written to before the writer went on */
    if (find_chain(l, &seg, &chain) <= 0)
        return 0;
    last = &l->segs[l->n_segs - 1];
    seg.end = seg.data;
    if (h.prev_number == last->number && h.prev_end < last->end)
        last->end = h.prev_end;
    if (gw_lf_segs_push(l, &seg) < 0)
        return 0;
    /* What settlements came between is in the snapshot; frames that were written again are known. */
    l->tail.at = seg.data;
    l->tail.chain = chain;
    l->tail.newest_ns = 0;
    if (l->state.end_seq < seg.first_seq)
        lose(l, seg.first_seq, seg.first_row, 0);
    return 1;
}

/* What retention took is gone for us too. */
static void follow_first(struct gw_lf *l)
{
    size_t n = 0;

    for (; n + 1 < l->n_segs; n++) {
        char path[GW_LF_PATH];

        gw_lf_path(l, l->segs[n].number, "", path);
        if (l->env->ops->file_changed_ns(l->env, path) != 0)
            break;
        free(l->segs[n].marks);
    }
    l->n_segs -= n;
    memmove(l->segs, l->segs + n, l->n_segs * sizeof(*l->segs));
}

void gw_lf_follow(struct gw_lf *l)
{
    if (!l->conf.read_only)
        return;
    (void)pthread_mutex_lock(&l->work);
    (void)pthread_mutex_lock(&l->lock);
    do
        follow_last(l);
    while (follow_next(l));
    follow_first(l);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_mutex_unlock(&l->work);
}
