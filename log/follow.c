/* SPDX-License-Identifier: Apache-2.0 */
/* Following a log that another process writes: nothing is changed, and whole groups only are seen. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"
#include "log/recover.h"

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
    (void)gw_lf_replay_groups(l, &s, &l->tail.chain, &end);
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

struct later {
    uint64_t than, number;
};

static void look_later(void *arg, const char *name)
{
    struct later *later = arg;
    uint64_t n;

    if (gw_lf_is_segment(name, &n) && n > later->than && (later->number == 0 || n < later->number))
        later->number = n;
}

/* The next segment that there is. 0: none. */
static uint64_t next_number(struct gw_lf *l, uint64_t than, struct gw_lf_segment_head *h)
{
    struct later later = {.than = than};
    struct gw_lf_seg seg = {0};
    char path[GW_LF_PATH];

    for (uint64_t k = 1; k <= GW_LF_RESERVES + 1; k++) { /* some may have gone again */
        seg.number = than + k;
        if (gw_lf_read_head(l, &seg, h) == 0 && memcmp(h->uuid, l->uuid, sizeof(h->uuid)) == 0)
            return seg.number;
    }
    gw_lf_path(l, than, "", path);
    if (l->env->ops->file_changed_ns(l->env, path) != 0)
        return 0;
    (void)l->env->ops->dir_list(l->env, l->dir, look_later, &later); /* so have all that we knew */
    return later.number;
}

/* 1: the writer has gone on to another segment. */
static int follow_next(struct gw_lf *l)
{
    struct gw_lf_seg seg = {0}, *last = &l->segs[l->n_segs - 1];
    struct gw_lf_segment_head h;
    uint32_t chain;

    seg.number = next_number(l, last->number, &h);
    if (seg.number == 0 || gw_lf_read_head(l, &seg, &h) < 0 || memcmp(h.uuid, l->uuid, sizeof(h.uuid)) != 0)
        return 0;
    gw_lf_from_head(&seg, &h);
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
        gw_lf_lose(l, seg.first_seq, seg.first_row, 0);
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
