/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files whose blocks are there already, so that settlements go on when the disk is full. Each is large enough to begin
 * a segment with; two, because a segment of settlements alone may go as soon as the next one has its snapshot: what the
 * one gives back becomes a reserve again while the other is written.
 */
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"

enum { MAX_RESERVE = 4 << 20, SNAPSHOTS = 4, LEAST = 8 << 10, RETRY_MS = 1000 };

void gw_lf_reserve_path(const struct gw_lf *l, unsigned i, char ret[GW_LF_PATH])
{
    (void)snprintf(ret, GW_LF_PATH, "%s/reserve.%u", l->dir, i);
}

static uint64_t reserve_bytes(const struct gw_lf *l)
{
    uint64_t n = gw_lf_segment_bytes(l) / 16, snapshot = l->tail.data - GW_LF_RECORDS;

    n = n > MAX_RESERVE ? MAX_RESERVE : n < l->least_segment ? l->least_segment : n;
    return n + SNAPSHOTS * snapshot;
}

/* Where blocks cannot be asked for, zeros are written. */
static int fill(struct gw_lf *l, struct gw_file *f, uint64_t bytes)
{
    static const uint8_t zeros[64 << 10];
    int rc = l->env->ops->file_allocate(f, 0, bytes);

    if (rc != -EOPNOTSUPP && rc != -ENOSYS)
        return rc;
    rc = 0;
    for (uint64_t at = 0; rc == 0 && at < bytes; at += sizeof(zeros)) {
        struct iovec iov = {(void *)(uintptr_t)zeros, bytes - at < sizeof(zeros) ? bytes - at : sizeof(zeros)};

        rc = gw_lf_write_all(l, f, &iov, 1, at);
    }
    return rc;
}

static int make(struct gw_lf *l, const char *path)
{
    struct gw_file *f;
    int rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE, 0600, &f);

    if (rc < 0)
        return rc;
    /* Whatever an old one holds: nothing in it is at its place in the segment that it will be. */
    rc = fill(l, f, reserve_bytes(l));
    if (rc == -ENOSPC)
        rc = fill(l, f, l->tail.data + 2 * LEAST);
    if (rc == 0)
        rc = l->env->ops->file_sync(f);
    l->env->ops->file_close(f);
    if (rc < 0)
        (void)l->env->ops->file_remove(l->env, path);
    return rc;
}

bool gw_lf_reserve_takes(struct gw_lf *l, const char *path)
{
    static const uint8_t mark[GW_LF_RECORDS] = GW_LF_RESERVE_MARK;
    struct iovec iov = {(void *)(uintptr_t)mark, sizeof(mark)};
    uint64_t bytes = reserve_bytes(l);
    char to[GW_LF_PATH];
    struct gw_file *f;
    int64_t size;
    bool ok;

    if (l->n_reserve == GW_LF_RESERVES ||
        l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE, 0600, &f) < 0)
        return false;
    size = l->env->ops->file_size(f);
    ok = size >= (int64_t)(l->tail.data + LEAST) &&
         (size <= (int64_t)bytes || l->env->ops->file_truncate(f, bytes) == 0) &&
         gw_lf_write_all(l, f, &iov, 1, 0) == 0 && l->env->ops->file_sync(f) == 0;
    l->env->ops->file_close(f);
    gw_lf_reserve_path(l, l->n_reserve, to);
    if (!ok || l->env->ops->file_rename(l->env, path, to) < 0)
        return false;
    l->n_reserve++;
    return true;
}

int gw_lf_keep_reserve(struct gw_lf *l)
{
    uint64_t now = gw_mono_ns(l->env);
    bool any = false;
    int rc = 0;

    if (l->n_reserve == GW_LF_RESERVES || (l->n_reserve > 0 && now < l->reserve_retry_ns))
        return 0;
    while (l->n_reserve < GW_LF_RESERVES) {
        char path[GW_LF_PATH];

        gw_lf_reserve_path(l, l->n_reserve, path);
        rc = make(l, path);
        if (rc < 0) {
            l->reserve_retry_ns = now + RETRY_MS * 1000000ull;
            break;
        }
        l->n_reserve++;
        any = true;
    }
    if (any)
        (void)gw_lf_names_sync(l);
    return l->n_reserve > 0 ? 0 : rc;
}
