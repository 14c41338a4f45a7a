/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest bytes of the log, on their way into its last segment past the page cache.
 *
 *   group ─► ring: the memory of the file `stage`                   done: it survives the end of the process
 *                  └─ with every sync, or when the ring is full ─► segment, written directly, and then synced
 *
 *   segment   ────────── from ░░░░░░░░ flushed ▓▓▓▓▓▓▓▓ end
 *             the file    └─ in both    └─ in the ring alone, each byte at its offset modulo the ring's size
 *
 * The pages of `stage` are written over and over, so they are in memory already; those of a segment would have to be
 * made for each group, written back, and let go. Whoever opens the log after a kill finds in `stage` what the segment
 * does not have. Nothing of that is believed: a group of it counts if it follows on from the segment's last one, as any
 * group does (docs/formats/log.md).
 *
 * Under work; `lock` is for readers, who copy out of the ring what is not in the file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/crc32c.h"
#include "log/impl.h"
#include "log/recover.h"

enum { PAGE = 4096, HEAD = 56, HEAD_CHECKED = HEAD - 4, MAX_RING = 1 << 30, READ_AGAIN = 3 };

static const uint8_t magic[8] = "STNCHSTG";

static uint64_t down(uint64_t off)
{
    return off & ~(uint64_t)(PAGE - 1);
}

static uint64_t up(uint64_t off)
{
    return down(off + PAGE - 1);
}

static void path_of(const struct gw_lf *l, char ret[GW_LF_PATH])
{
    (void)snprintf(ret, GW_LF_PATH, "%s/" GW_LF_STAGE, l->dir);
}

static int put(struct gw_lf *l, struct gw_file *f, const void *p, size_t n, uint64_t off)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};

    return n > 0 ? gw_lf_write_all(l, f, &iov, 1, off) : 0;
}

static int put_head(struct gw_lf *l, uint64_t number, uint64_t flushed)
{
    uint8_t p[HEAD];

    memcpy(p, magic, sizeof(magic));
    memcpy(p + 8, l->uuid, GW_LF_UUID);
    gw_lf_put64(p + 24, number);
    gw_lf_put64(p + 32, flushed);
    gw_lf_put64(p + 40, l->stage.bytes);
    gw_lf_put32(p + 48, 0);
    gw_lf_put32(p + 52, gw_crc32c(0, p, HEAD_CHECKED));
    return put(l, l->stage.file, p, sizeof(p), 0);
}

/* [from, to) of the segment, as the ring has it, into the file; where the ring is the file's memory, it is there. */
static int put_ring(struct gw_lf *l, uint64_t from, uint64_t to)
{
    const struct gw_lf_stage *s = &l->stage;
    int rc = 0;

    if (s->is_mapped)
        return 0;
    for (uint64_t n; rc == 0 && from < to; from += n) {
        n = s->bytes - from % s->bytes;
        n = n < to - from ? n : to - from;
        rc = put(l, s->file, s->ring + from % s->bytes, (size_t)n, PAGE + from % s->bytes);
    }
    return rc;
}

bool gw_lf_stage_is_on(const struct gw_lf *l)
{
    return l->stage.number != 0 && l->stage.number == l->tail.number;
}

/* ---- into the segment ------------------------------------------------------------------------------------- */

/* Whole pages; with `all` the begun one too, and whatever the ring has behind the end: no record of this place. */
static int flush(struct gw_lf *l, bool all)
{
    struct gw_lf_stage *s = &l->stage;
    uint64_t at = down(s->flushed), to = all ? up(s->at) : down(s->at);
    int rc = 0;

    if (s->flushed == s->at || to <= at)
        return 0;
    for (uint64_t n; rc == 0 && at < to; at += n) {
        n = s->bytes - at % s->bytes;
        n = n < to - at ? n : to - at;
        rc = put(l, s->direct, s->ring + at % s->bytes, (size_t)n, at);
    }
    if (rc < 0)
        return rc;
    s->flushed = all ? s->at : to;
    return put_head(l, s->number, s->flushed);
}

int gw_lf_stage_flush(struct gw_lf *l)
{
    return gw_lf_stage_is_on(l) ? flush(l, true) : 0;
}

/* ---- groups ----------------------------------------------------------------------------------------------- */

/* Bytes that the ring takes before something must be flushed. */
static uint64_t room(const struct gw_lf_stage *s)
{
    return s->bytes - (s->at - down(s->flushed));
}

bool gw_lf_stage_has_room(const struct gw_lf *l, uint64_t bytes)
{
    return !gw_lf_stage_is_on(l) || bytes <= room(&l->stage);
}

/* Copied to the end; what lies there of long ago is not for readers any more. */
static void copy_in(struct gw_lf_stage *s, const uint8_t *p, size_t n)
{
    size_t at = (size_t)(s->at % s->bytes), first = n < s->bytes - at ? n : (size_t)(s->bytes - at);

    if (s->at + n > s->from + s->bytes) {
        (void)pthread_mutex_lock(&s->lock);
        s->from = s->at + n - s->bytes;
        (void)pthread_mutex_unlock(&s->lock);
    }
    memcpy(s->ring + at, p, first);
    memcpy(s->ring, p + first, n - first);
    s->at += n;
}

/* The ring is full: what is in it of the group must be in one of both files. */
static int make_room(struct gw_lf *l, uint64_t *begin)
{
    int rc = put_ring(l, *begin, l->stage.at);

    *begin = l->stage.at;
    return rc == 0 ? flush(l, false) : rc;
}

static int take_piece(struct gw_lf *l, const uint8_t *p, size_t n, uint64_t *begin)
{
    struct gw_lf_stage *s = &l->stage;

    for (size_t some; n > 0; p += some, n -= some) {
        if (room(s) == 0) {
            int rc = make_room(l, begin);

            if (rc < 0)
                return rc;
        }
        some = n < room(s) ? n : (size_t)room(s);
        copy_in(s, p, some);
    }
    return 0;
}

int gw_lf_stage_write(struct gw_lf *l, const struct iovec *iov, size_t n_iov)
{
    struct gw_lf_stage *s = &l->stage;
    uint64_t begin = s->at;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_iov; i++)
        rc = take_piece(l, iov[i].iov_base, iov[i].iov_len, &begin);
    if (rc == 0)
        rc = put_ring(l, begin, s->at);
    (void)pthread_mutex_lock(&s->lock);
    s->end = s->at;
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- which segment ---------------------------------------------------------------------------------------- */

static void set(struct gw_lf_stage *s, uint64_t number, uint64_t from, uint64_t at)
{
    (void)pthread_mutex_lock(&s->lock);
    s->number = number;
    s->from = from;
    s->flushed = s->at = s->end = at;
    (void)pthread_mutex_unlock(&s->lock);
}

void gw_lf_stage_off(struct gw_lf *l)
{
    struct gw_lf_stage *s = &l->stage;

    if (s->number != 0 && s->file)
        (void)put_head(l, 0, 0);
    set(s, 0, 0, 0);
    if (s->direct)
        l->env->ops->file_close(s->direct);
    s->direct = NULL;
}

/* The page that the segment ends in is written as a whole. */
static int read_begun(struct gw_lf *l, uint64_t from, uint64_t at)
{
    struct gw_lf_stage *s = &l->stage;
    ssize_t got = l->env->ops->file_pread(l->tail.file, s->ring + from % s->bytes, (size_t)(at - from), from);

    if (got != (ssize_t)(at - from))
        return got < 0 ? (int)got : -EIO;
    return put_ring(l, from, at);
}

void gw_lf_stage_base(struct gw_lf *l)
{
    struct gw_lf_stage *s = &l->stage;
    uint64_t at = l->tail.at, from = down(at);
    int rc;

    gw_lf_stage_off(l);
    if (!s->file || !l->tail.has_blocks || l->tail.broken)
        return;
    rc = gw_lf_seg_file(l, l->tail.number, GW_OPEN_WRITE | GW_OPEN_DIRECT, &s->direct);
    if (rc == 0)
        rc = read_begun(l, from, at);
    if (rc == 0)
        rc = put_head(l, l->tail.number, at);
    if (rc < 0) {
        gw_log(&l->conf.logger, GW_LOG_WARN, "%s: segment %" PRIu64 " is written through the page cache: %s", l->dir,
               l->tail.number, strerror(-rc));
        gw_lf_stage_off(l);
        return;
    }
    set(s, l->tail.number, from, at);
}

void gw_lf_stage_cut(struct gw_lf *l)
{
    static const uint8_t none[8];
    struct gw_lf_stage *s = &l->stage;
    uint64_t at = l->tail.at;

    if (!gw_lf_stage_is_on(l) || at >= s->at)
        return;
    if (at < s->flushed && !l->tail.broken) {
        gw_lf_stage_base(l);
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->at = s->end = at;
    s->from = s->from < at ? s->from : at;
    (void)pthread_mutex_unlock(&s->lock);
    memcpy(s->ring + at % s->bytes, none, sizeof(none)); /* no record begins there any more */
    if (put_ring(l, at, at + sizeof(none)) < 0 || l->env->ops->file_sync(s->file) < 0)
        l->tail.broken = true;
}

/* ---- the file --------------------------------------------------------------------------------------------- */

/*
 * Its pages are made here, once, and one by one: of pages that the kernel makes together, it looks at all whenever one
 * is written. What an older process left there is gone for good before anything is written: what recovery did not find
 * must not come back with the next power cut.
 */
static int fill(struct gw_lf *l, uint64_t bytes)
{
    static const uint8_t page[PAGE];
    struct gw_lf_stage *s = &l->stage;
    int64_t size = l->env->ops->file_size(s->file);
    int rc = size < 0 ? (int)size : 0;

    if (rc == 0 && (uint64_t)size != PAGE + bytes)
        rc = l->env->ops->file_truncate(s->file, 0);
    for (uint64_t at = 0; rc == 0 && at < PAGE + bytes; at += PAGE)
        rc = put(l, s->file, page, PAGE, at);
    return rc == 0 ? l->env->ops->file_sync(s->file) : rc;
}

static void free_ring(struct gw_lf *l)
{
    struct gw_lf_stage *s = &l->stage;

    if (s->is_mapped)
        l->env->ops->file_unmap(l->env, s->ring, s->bytes);
    else
        free(s->ring);
    s->ring = NULL;
    s->is_mapped = false;
    s->bytes = 0;
}

static int make_ring(struct gw_lf *l, uint64_t bytes)
{
    struct gw_lf_stage *s = &l->stage;

    free_ring(l);
    if (s->file && l->env->ops->file_map)
        s->ring = l->env->ops->file_map(s->file, PAGE, bytes);
    s->is_mapped = s->ring;
    if (!s->ring && (s->ring = aligned_alloc(PAGE, bytes)))
        memset(s->ring, 0, bytes);
    s->bytes = s->ring ? bytes : 0;
    return s->ring ? 0 : -ENOMEM;
}

static int make(struct gw_lf *l, const char *path)
{
    const int flags = GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE;
    uint64_t bytes = up(l->conf.stage_bytes);
    int rc = bytes <= MAX_RING ? l->env->ops->file_open(l->env, path, flags, 0600, &l->stage.file) : -EFBIG;

    if (rc == 0)
        rc = fill(l, bytes);
    return rc == 0 ? make_ring(l, bytes) : rc;
}

int gw_lf_stage_open(struct gw_lf *l)
{
    char path[GW_LF_PATH];
    int rc = l->conf.stage_bytes ? 0 : -ENOENT;

    set(&l->stage, 0, 0, 0);
    path_of(l, path);
    if (rc == 0)
        rc = make(l, path);
    if (rc == 0)
        return 0;
    if (l->conf.stage_bytes)
        gw_log(&l->conf.logger, GW_LOG_WARN, "%s: the log is written through the page cache: %s: %s", l->dir, path,
               strerror(-rc));
    gw_lf_stage_close(l);
    rc = l->env->ops->file_remove(l->env, path);
    if (rc == -ENOENT)
        return 0;
    return rc == 0 ? gw_lf_names_sync(l) : rc;
}

void gw_lf_stage_close(struct gw_lf *l)
{
    struct gw_lf_stage *s = &l->stage;

    free_ring(l);
    if (s->direct)
        l->env->ops->file_close(s->direct);
    if (s->file)
        l->env->ops->file_close(s->file);
    s->direct = s->file = NULL;
    s->number = 0;
}

/* ---- after a crash ---------------------------------------------------------------------------------------- */

static bool is_head_of(const struct gw_lf *l, const struct gw_lf_seg *seg, const uint8_t *p, uint64_t file_bytes)
{
    return memcmp(p, magic, sizeof(magic)) == 0 && gw_lf_get32(p + 52) == gw_crc32c(0, p, HEAD_CHECKED) &&
           memcmp(p + 8, l->uuid, GW_LF_UUID) == 0 && gw_lf_get64(p + 24) == seg->number &&
           gw_lf_get64(p + 40) + PAGE == file_bytes && file_bytes % PAGE == 0;
}

/* n bytes at off, asked for a few times. 1: there; 0: the file is shorter. Errors: of the disk. */
static int get(struct gw_lf *l, struct gw_file *f, void *p, size_t n, uint64_t off)
{
    ssize_t got = -1;

    for (unsigned i = 0; got < 0 && i < READ_AGAIN; i++)
        got = l->env->ops->file_pread(f, p, n, off);
    return got < 0 ? (int)got : got == (ssize_t)n;
}

/* What the last process wrote down last, if it is of this segment. */
static int load(struct gw_lf *l, struct gw_file *f, const struct gw_lf_seg *seg)
{
    struct gw_lf_stage *s = &l->stage;
    int64_t size = l->env->ops->file_size(f);
    uint8_t p[HEAD];
    int rc = size < 0 ? (int)size : size <= PAGE || size > PAGE + (int64_t)MAX_RING ? 0 : get(l, f, p, sizeof(p), 0);

    if (rc <= 0 || !is_head_of(l, seg, p, (uint64_t)size))
        return rc < 0 ? rc : 0;
    rc = make_ring(l, (uint64_t)size - PAGE);
    if (rc == 0)
        rc = get(l, f, s->ring, s->bytes, PAGE);
    if (rc <= 0)
        return rc;
    set(s, seg->number, gw_lf_get64(p + 32), gw_lf_get64(p + 32));
    s->end += s->bytes;
    return 1;
}

int gw_lf_stage_load(struct gw_lf *l, const struct gw_lf_seg *seg)
{
    char path[GW_LF_PATH];
    struct gw_file *f;
    int rc;

    if (l->conf.read_only) /* another process may be writing it */
        return 0;
    path_of(l, path);
    rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ, 0, &f);
    if (rc == -ENOENT)
        return 0;
    if (rc == 0) {
        rc = load(l, f, seg);
        l->env->ops->file_close(f);
    }
    if (rc < 0 && rc != -ENOMEM)
        gw_log(&l->conf.logger, GW_LOG_ERROR,
               "%s cannot be read: %s. It has what was stored last before the process was killed; without the file the "
               "log opens without that",
               path, strerror(-rc));
    return rc;
}

int gw_lf_stage_pour(struct gw_lf *l, struct gw_lf_scan *from, const struct gw_lf_seg *seg, uint64_t at, uint64_t end)
{
    struct gw_file *f;
    int rc = gw_lf_seg_file(l, seg->number, GW_OPEN_WRITE, &f);

    if (rc < 0)
        return rc;
    while (rc == 0 && at < end) {
        size_t n = end - at < GW_LF_BLOCK ? (size_t)(end - at) : GW_LF_BLOCK;
        const uint8_t *p;

        rc = gw_lf_scan_peek(from, at, n, &p);
        if (rc == 0)
            rc = put(l, f, p, n, at);
        at += n;
    }
    l->env->ops->file_close(f);
    return rc;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

size_t gw_lf_stage_read(struct gw_lf_stage *s, uint64_t number, uint8_t *p, size_t *n, uint64_t off)
{
    size_t got = 0, at, first;

    (void)pthread_mutex_lock(&s->lock);
    if (s->number == number && off < s->end) {
        if (off < s->from) {
            *n = *n < s->from - off ? *n : (size_t)(s->from - off);
        } else {
            got = *n < s->end - off ? *n : (size_t)(s->end - off);
            at = (size_t)(off % s->bytes);
            first = got < s->bytes - at ? got : (size_t)(s->bytes - at);
            memcpy(p, s->ring + at, first);
            memcpy(p + first, s->ring, got - first);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return got;
}
