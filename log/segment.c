/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files: names, making them, going on to the next one, removing them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"

enum { COPY_BELOW = 64 << 10, COPY_AGAIN = 5 };

void gw_lf_path(const struct gw_lf *l, uint64_t number, const char *suffix, char ret[GW_LF_PATH])
{
    size_t n = strnlen(l->dir, GW_LF_PATH - 40), n_suffix = strlen(suffix);

    memcpy(ret, l->dir, n);
    ret[n] = '/';
    for (size_t i = 20; i > 0; i--, number /= 10)
        ret[n + i] = (char)('0' + number % 10);
    memcpy(ret + n + 21, ".log", 4);
    memcpy(ret + n + 25, suffix, n_suffix + 1);
}

/* Small limits need small segments: only whole ones go. */
uint64_t gw_lf_segment_bytes(const struct gw_lf *l)
{
    uint64_t n = l->conf.segment_bytes ? l->conf.segment_bytes : 64u << 20;

    if (l->conf.max_bytes && l->conf.max_bytes / 4 < n)
        n = l->conf.max_bytes / 4;
    if (l->conf.retention.max_bytes && l->conf.retention.max_bytes / 4 < n)
        n = l->conf.retention.max_bytes / 4;
    if (n > 1ull << 33)
        n = 1ull << 33;
    return n < l->least_segment ? l->least_segment : n;
}

uint64_t gw_lf_used(const struct gw_lf *l)
{
    return l->sealed_bytes + l->tail.at;
}

void gw_lf_segs_changed(struct gw_lf *l)
{
    l->sealed_bytes = 0;
    for (size_t i = 0; i + 1 < l->n_segs; i++)
        l->sealed_bytes += l->segs[i].end;
    l->segs_changed = true;
}

int gw_lf_segs_push(struct gw_lf *l, const struct gw_lf_seg *s)
{
    if (l->n_segs == l->cap_segs) {
        size_t cap = l->cap_segs ? l->cap_segs * 2 : 16;
        struct gw_lf_seg *segs = realloc(l->segs, cap * sizeof(*segs));

        if (!segs)
            return -ENOMEM;
        l->segs = segs;
        l->cap_segs = cap;
    }
    l->segs[l->n_segs++] = *s;
    return 0;
}

size_t gw_lf_seg_of(const struct gw_lf *l, uint64_t seq)
{
    size_t lo = 0, hi = l->n_segs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (l->segs[mid].first_seq <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    /* Segments without frames share their first_seq with the next one. */
    while (lo > 1 && l->segs[lo - 1].first_seq == seq && l->segs[lo - 2].first_seq == seq)
        lo--;
    return lo > 0 ? lo - 1 : 0;
}

int gw_lf_seg_file(struct gw_lf *l, uint64_t number, int flags, struct gw_file **ret)
{
    char path[GW_LF_PATH];

    gw_lf_path(l, number, "", path);
    return l->env->ops->file_open(l->env, path, flags, 0600, ret);
}

int gw_lf_seg_open(struct gw_lf *l, const struct gw_lf_seg *s, struct gw_lf_scan *ret)
{
    struct gw_file *f;
    int rc = gw_lf_seg_file(l, s->number, GW_OPEN_READ, &f);

    if (rc < 0)
        return rc;
    gw_lf_scan_init(ret, l->env, f, gw_lf_salt(l->uuid, s->number), s->end);
    ret->at = s->data;
    ret->stage = &l->stage;
    ret->number = s->number;
    return 0;
}

static int snapshot_record(void *arg, uint8_t kind, struct gw_slice body)
{
    struct gw_lf *l = arg;
    int rc = gw_lf_out_reserve(l, GW_LF_HEAD + gw_lf_pad(body.n), 1);

    if (rc == 0)
        gw_lf_group_record(l, kind, GW_LF_IN_SNAPSHOT, body);
    return rc;
}

static int write_snapshot(struct gw_lf *l)
{
    int rc;

    gw_lf_group_begin(l);
    rc = gw_lf_out_reserve(l, 0, 0);
    if (rc == 0)
        rc = gw_lf_state_snapshot(&l->state, l->next_seq, l->next_row, snapshot_record, l);
    if (rc == 0)
        rc = gw_lf_group_write(l, (struct gw_log_producer){0});
    gw_lf_out_reset(l);
    return rc;
}

static int write_heads(struct gw_lf *l, const struct gw_lf_segment_head *h)
{
    uint8_t p[GW_LF_RECORDS];
    struct iovec iov = {p, sizeof(p)};

    gw_lf_write_segment_head(p, h);
    gw_lf_write_segment_head(p + GW_LF_SEGMENT_HEAD, h);
    return gw_lf_write_all(l, l->tail.file, &iov, 1, 0);
}

/* The header comes last, because it tells how long the snapshot is. */
static int write_beginning(struct gw_lf *l, struct gw_lf_segment_head *h)
{
    struct gw_lf_tail *t = &l->tail;
    int rc = write_snapshot(l);

    h->snapshot_bytes = t->at - GW_LF_RECORDS;
    h->copies = 1;
    if (rc == 0 && h->snapshot_bytes < COPY_BELOW) {
        rc = write_snapshot(l);
        h->copies = 2;
    }
    /* The chain field does not change a group's length. */
    t->data = t->at;
    return rc;
}

static int allocate(struct gw_lf *l, uint64_t bytes)
{
    int rc = l->env->ops->file_allocate(l->tail.file, 0, bytes);

    l->tail.room = bytes;
    l->tail.is_allocated = l->tail.has_blocks = rc == 0;
    return rc == -EOPNOTSUPP || rc == -ENOSYS ? 0 : rc;
}

static int make_file(struct gw_lf *l, uint64_t number)
{
    const int flags = GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_TRUNCATE;
    char path[GW_LF_PATH];
    int rc;

    rc = gw_lf_spare_use(l, number) ? allocate(l, gw_lf_segment_bytes(l)) : -ENOENT;
    if (rc == 0)
        return 0;
    if (l->tail.file)
        l->env->ops->file_close(l->tail.file);
    l->tail.file = NULL;
    gw_lf_path(l, number, "", path);
    rc = l->env->ops->file_open(l->env, path, flags, 0600, &l->tail.file);
    return rc < 0 ? rc : allocate(l, gw_lf_segment_bytes(l));
}

/* A reserve becomes the segment: its blocks are there. */
static int take_reserve(struct gw_lf *l, uint64_t number)
{
    char from[GW_LF_PATH], path[GW_LF_PATH];
    int64_t size;
    int rc;

    if (l->n_reserve == 0)
        return -ENOSPC;
    gw_lf_reserve_path(l, l->n_reserve - 1, from);
    gw_lf_path(l, number, "", path);
    rc = l->env->ops->file_rename(l->env, from, path);
    if (rc < 0)
        return rc;
    l->n_reserve--;
    l->tail.from_reserve = true;
    rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE, 0600, &l->tail.file);
    if (rc < 0)
        return rc;
    size = l->env->ops->file_size(l->tail.file);
    l->tail.room = size > 0 ? (uint64_t)size : 0;
    return size < 0 ? (int)size : 0;
}

int gw_lf_names_sync(struct gw_lf *l)
{
    int rc = l->env->ops->dir_sync(l->env, l->dir);

    if (rc == 0)
        l->names_unsynced = false;
    return rc;
}

/* False: it is still there, and a recovery would go by what it says. */
static bool give_up_file(struct gw_lf *l, uint64_t number)
{
    bool made = l->tail.file;
    char path[GW_LF_PATH];

    if (made)
        l->env->ops->file_close(l->tail.file);
    gw_lf_path(l, number, "", path);
    l->names_unsynced = true;
    return l->env->ops->file_remove(l->env, path) == 0 || !made;
}

/* A frame of an older segment, again, in a group of its own. */
static int copy_frame(struct gw_lf *l, const struct gw_lf_record *r, const uint8_t *p)
{
    int rc;

    gw_lf_group_begin(l);
    rc = gw_lf_out_reserve(l, GW_LF_HEAD + 8, 3);
    if (rc < 0)
        return rc;
    gw_lf_group_frame(l, &(struct gw_log_frame){.seq = r->seq,
                                                .row = r->row,
                                                .time_ns = r->time_ns,
                                                .rows = r->rows,
                                                .topic = r->topic,
                                                .partition = r->partition,
                                                .signal = r->signal,
                                                .meta = {p, r->n_meta},
                                                .body = {p + r->n_meta, r->n_body}});
    l->next_seq = r->seq + 1;
    l->next_row = r->row + r->rows;
    l->tail.newest_ns = r->time_ns > l->tail.newest_ns ? r->time_ns : l->tail.newest_ns;
    rc = gw_lf_group_write(l, (struct gw_log_producer){0});
    gw_lf_out_reset(l);
    return rc;
}

/*
 * The frames of [from, end) of an older segment, again. What the disk would not give may come when it is asked again, a
 * few segments later; what is damaged is passed over, and so is the rest then: readers count.
 */
static int copy_frames(struct gw_lf *l, const struct gw_lf_seg *from, uint64_t at)
{
    struct gw_lf_scan s;
    struct gw_lf_record r;
    uint64_t off;
    int rc = gw_lf_seg_open(l, from, &s);

    if (rc < 0)
        return rc;
    s.at = at;
    while ((rc = gw_lf_scan_next(&s, &off, &r)) > 0) {
        const uint8_t *p;

        if (r.kind != GW_LF_FRAME)
            continue;
        rc = gw_lf_scan_body_ok(&s, off, &r);
        if (rc > 0) {
            rc = gw_lf_scan_peek(&s, off + GW_LF_HEAD, (size_t)r.n_meta + r.n_body, &p);
            if (rc == 0)
                rc = copy_frame(l, &r, p);
            else if (rc != -ENOMEM)
                rc = 0; /* s.error says it */
        }
        if (rc < 0)
            break;
    }
    if (rc == 0 && s.error && l->n_unread++ < COPY_AGAIN)
        rc = s.error;
    gw_lf_scan_clear(&s);
    gw_lf_out_reset(l);
    return rc;
}

/* The file is there, its name is there, and what it begins with: all of it, whatever happens. */
static int settle_down(struct gw_lf *l)
{
    struct gw_lf_tail *t = &l->tail;
    int rc = l->env->ops->file_sync(t->file);

    if (rc == 0)
        rc = gw_lf_names_sync(l);
    if (rc == 0) {
        t->synced = t->at;
        t->synced_seq = l->next_seq;
        t->synced_row = l->next_row;
    }
    return rc;
}

static int publish(struct gw_lf *l, const struct gw_lf_segment_head *h, const struct gw_lf_tail *old)
{
    struct gw_lf_seg seg = {.number = h->number,
                            .prev_number = h->prev_number,
                            .first_seq = h->first_seq,
                            .first_row = h->first_row,
                            .time_ns = h->time_ns,
                            .last_time_ns = l->tail.newest_ns,
                            .data = l->tail.data,
                            .end = l->tail.at};
    int rc;

    (void)pthread_mutex_lock(&l->lock);
    l->stats.synced_seq = l->tail.synced_seq;
    rc = gw_lf_segs_push(l, &seg);
    if (rc == 0 && h->prev_number && l->n_segs > 1 && l->segs[l->n_segs - 2].number == h->prev_number)
        l->segs[l->n_segs - 2].end = h->prev_end;
    if (rc == 0 && old && l->n_segs > 1)
        l->segs[l->n_segs - 2].is_sound = old->is_new && !old->broken && !old->from_reserve;
    gw_lf_segs_changed(l);
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

static int add(struct gw_lf *l, struct gw_lf_segment_head *h, uint64_t bytes, bool from_reserve,
               const struct gw_lf_tail *old)
{
    uint64_t end_seq = l->next_seq, end_row = l->next_row;
    int rc;

    l->tail = (struct gw_lf_tail){.number = h->number,
                                  .salt = gw_lf_salt(l->uuid, h->number),
                                  .at = GW_LF_RECORDS,
                                  .is_new = true,
                                  .filled = UINT64_MAX};
    rc = from_reserve ? take_reserve(l, h->number) : make_file(l, h->number);

    l->next_seq = h->first_seq;
    l->next_row = h->first_row;
    if (rc == 0)
        rc = write_beginning(l, h);
    if (rc == 0 && l->tail.at + bytes > l->tail.room)
        rc = allocate(l, l->tail.at + bytes);
    /* The snapshot knows what became of commits whose frames are copied: never the one without the other. */
    if (rc == 0 && old && old->broken) {
        rc = copy_frames(l, &l->segs[l->n_segs - 1], old->synced);
        if (rc == 0)
            rc = l->env->ops->file_sync(l->tail.file);
    }
    if (rc == 0)
        rc = write_heads(l, h);
    l->next_seq = end_seq;
    l->next_row = end_row;
    if (rc == 0)
        rc = settle_down(l);
    if (rc == 0)
        rc = publish(l, h, old);
    return rc;
}

static int new_segment(struct gw_lf *l, uint64_t number, uint64_t first_seq, uint64_t first_row, uint64_t bytes,
                       bool from_reserve)
{
    struct gw_lf_tail old = l->tail;
    struct gw_lf_segment_head h = {
        .number = number,
        .first_seq = first_seq,
        .first_row = first_row,
        .time_ns = gw_wall_ns(l->env),
    };
    int rc;

    memcpy(h.uuid, l->uuid, sizeof(h.uuid));
    if (l->n_segs > 0) {
        h.prev_number = l->segs[l->n_segs - 1].number;
        h.prev_end = old.broken ? old.synced : l->segs[l->n_segs - 1].end;
        h.prev_last_time = l->segs[l->n_segs - 1].last_time_ns;
    }
    rc = add(l, &h, bytes, from_reserve, old.file ? &old : NULL);
    if (rc < 0) {
        old.broken |= !give_up_file(l, number); /* the next one takes its place; until then nothing is written */
        gw_lf_out_reset(l);
        gw_lf_spares_remove(l); /* whatever it was, the next one is made anew, with their room */
        l->tail = old;
        return rc;
    }
    if (old.file) {
        /* What is behind the end was only kept in reserve; a file that cannot be cut is longer, and that is all. */
        if (!old.broken && !old.from_reserve)
            (void)l->env->ops->file_truncate(old.file, old.at);
        l->env->ops->file_close(old.file);
    }
    l->applied_at = l->tail.at;
    l->unsynced_ns = 0;
    l->mark_ns = 0;
    l->n_unread = 0;
    l->damaged = false; /* its snapshot knows everything, and nothing damaged lies behind it */
    gw_lf_stage_base(l);
    return 0;
}

int gw_lf_segment_new(struct gw_lf *l, uint64_t number, uint64_t first_seq, uint64_t first_row, uint64_t bytes)
{
    return new_segment(l, number, first_seq, first_row, bytes, false);
}

static int roll(struct gw_lf *l, uint64_t bytes, bool from_reserve)
{
    struct gw_lf_tail *t = &l->tail;

    if (!t->broken && t->file && t->at > t->synced)
        (void)gw_lf_sync(l);
    return new_segment(l, l->segs[l->n_segs - 1].number + 1, t->broken ? t->synced_seq : l->next_seq,
                       t->broken ? t->synced_row : l->next_row, bytes, from_reserve);
}

int gw_lf_roll(struct gw_lf *l, uint64_t bytes)
{
    return roll(l, bytes, false);
}

int gw_lf_roll_reserve(struct gw_lf *l)
{
    return roll(l, 0, true);
}

/* Out of the list first: a reader that still has the file must not take what becomes of it for damage. */
void gw_lf_segments_drop(struct gw_lf *l, size_t first, size_t n)
{
    char path[GW_LF_PATH];

    for (; n > 0; n--) {
        struct gw_lf_seg seg = l->segs[first];

        (void)pthread_mutex_lock(&l->lock);
        l->n_segs--;
        memmove(l->segs + first, l->segs + first + 1, (l->n_segs - first) * sizeof(*l->segs));
        (void)pthread_mutex_unlock(&l->lock);
        gw_lf_path(l, seg.number, "", path);
        if (!gw_lf_reserve_takes(l, path) && !gw_lf_spare_takes(l, &seg, path))
            (void)l->env->ops->file_remove(l->env, path);
        free(seg.marks);
    }
    gw_lf_segs_changed(l);
    gw_lf_spares_yield(l, gw_lf_used(l));
    (void)gw_lf_names_sync(l);
}
