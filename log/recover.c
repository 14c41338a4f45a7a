/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash left becomes a log again, without anybody's help.
 *
 *   segments   head ✓ ── head ✓ ── head ✗ ── head ✓ ══════════ last
 *              their headers are read        └ base: its snapshot, then every group behind it
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"
#include "log/recover.h"

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct gw_lf_seg *)a)->number, y = ((const struct gw_lf_seg *)b)->number;

    return x < y ? -1 : x > y;
}

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
        rc = gw_lf_find_sure(&s, &sure, &last);
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
            gw_lf_lose(l, l->segs[i].first_seq, l->segs[i].first_row, 0);
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
    if (rc == 0)
        rc = gw_lf_names_sync(l); /* and what is gone stays away, if the one before could not see to it */
    if (rc < 0)
        return rc;
    t->synced = t->at;
    t->synced_seq = l->next_seq;
    t->synced_row = l->next_row;
    if (t->room > t->at)
        rc = l->env->ops->file_allocate(t->file, t->at, t->room - t->at);
    if (rc < 0 && rc != -EOPNOTSUPP && rc != -ENOSYS)
        t->room = t->at; /* what comes needs another segment, and may not get one */
    t->has_blocks = rc == 0;
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
    rc = gw_lf_read_heads(l, err);
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
    if (l->damaged)
        (void)gw_lf_roll(l, 0);
    if (!l->damaged) /* else their snapshots may be the only ones */
        drop_trimmed(l);
    return 0;
}
