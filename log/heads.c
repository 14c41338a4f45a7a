/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of all segments, and what to do with files that have none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"
#include "log/recover.h"

int gw_lf_read_head(struct gw_lf *l, struct gw_lf_seg *seg, struct gw_lf_segment_head *h)
{
    uint8_t p[GW_LF_RECORDS];
    struct gw_file *f;
    ssize_t got;
    int64_t size;
    int rc = gw_lf_seg_file(l, seg->number, GW_OPEN_READ, &f);

    if (rc < 0)
        return rc;
    size = l->env->ops->file_size(f);
    got = l->env->ops->file_pread(f, p, sizeof(p), 0);
    l->env->ops->file_close(f);
    seg->file_bytes = size > 0 ? (uint64_t)size : 0;
    if (got < (ssize_t)sizeof(p))
        return got < 0 && got != -EIO ? (int)got : -EBADMSG;
    rc = gw_lf_read_segment_head(p, h);
    if (rc < 0 || h->number != seg->number)
        rc = gw_lf_read_segment_head(p + GW_LF_SEGMENT_HEAD, h);
    return rc == 0 && h->number != seg->number ? -EBADMSG : rc;
}

void gw_lf_from_head(struct gw_lf_seg *seg, const struct gw_lf_segment_head *h)
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

/* What a spare begins with that was given the segment's name, and nothing more. */
static bool is_of_another(const struct gw_lf *l, const struct gw_lf_seg *seg, const uint8_t *p)
{
    struct gw_lf_segment_head h;

    return (gw_lf_read_segment_head(p, &h) == 0 || gw_lf_read_segment_head(p + GW_LF_SEGMENT_HEAD, &h) == 0) &&
           h.number != seg->number && memcmp(h.uuid, l->uuid, sizeof(h.uuid)) == 0;
}

/* Made, and never written to. Nothing in it is a record of this segment. */
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
        else if (at == 0 && n >= GW_LF_RECORDS && is_of_another(l, seg, p))
            break;
        else
            blank = p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
    }
    gw_lf_scan_clear(&s);
    return blank;
}

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

int gw_lf_read_heads(struct gw_lf *l, struct gw_err *err)
{
    struct gw_lf_segment_head *heads = calloc(l->n_segs + 1, sizeof(*heads));
    int *rcs = calloc(l->n_segs + 1, sizeof(*rcs)), rc = heads && rcs ? 0 : -ENOMEM;
    size_t n = 0;

    for (size_t i = 0; rc == 0 && i < l->n_segs; i++) {
        rcs[i] = gw_lf_read_head(l, &l->segs[i], &heads[i]);
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
            gw_lf_from_head(seg, &heads[i]);
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
