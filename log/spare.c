/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that are used again: the file of one that was let go becomes the next one that is made.
 *
 *   …07.log ── let go, for good ──► spare.0 ── name synced ──► …09.log ── written over
 *
 * Its blocks are written ones, most of its pages are in memory and its size stays: the kernel neither makes pages nor
 * converts extents for what is written over, and a sync of it is no transaction of the file system. What it holds is
 * never taken for records of the new segment: their headers carry a salt made of the segment's number, and no number is
 * used twice.
 *
 * Only a segment that this process wrote from its beginning to its end without an error of the disk is used again. A
 * spare is the log's only as long as nobody else wants its room: it goes before a limit is reached, when the disk is
 * short, when no segment was made for ten seconds, and with the process.
 */
#include <stdio.h>

#include "log/impl.h"

/* A segment that is made less often is not worth the room, and its pages are no longer in memory. */
#define IDLE_NS 10000000000u
enum { DISK_SEGMENTS = 4 }; /* room that a disk must have beside what appends leave free anyway */

static void spare_path(const struct gw_lf *l, unsigned i, char ret[GW_LF_PATH])
{
    (void)snprintf(ret, GW_LF_PATH, "%s/spare.%u", l->dir, i);
}

uint64_t gw_lf_spare_bytes(const struct gw_lf *l)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < l->n_spare; i++)
        n += l->spares[i];
    return n;
}

/* The smaller one of the limits. */
static uint64_t limit(const struct gw_lf *l)
{
    uint64_t most = l->conf.max_bytes, r = l->conf.retention.max_bytes;

    most = most ? most : UINT64_MAX;
    return r && r < most ? r : most;
}

static void remove_last(struct gw_lf *l)
{
    char path[GW_LF_PATH];

    spare_path(l, --l->n_spare, path);
    (void)l->env->ops->file_remove(l->env, path);
}

void gw_lf_spares_remove(struct gw_lf *l)
{
    while (l->n_spare > 0)
        remove_last(l);
}

void gw_lf_spares_yield(struct gw_lf *l, uint64_t used)
{
    while (l->n_spare > 0 && used + gw_lf_spare_bytes(l) > limit(l))
        remove_last(l);
}

void gw_lf_spares_tend(struct gw_lf *l)
{
    if (l->n_spare > 0 && gw_mono_ns(l->env) >= l->spares_until_ns)
        gw_lf_spares_remove(l);
}

static int64_t size_of(struct gw_lf *l, const char *path)
{
    struct gw_file *f;
    int64_t n = l->env->ops->file_open(l->env, path, GW_OPEN_READ, 0, &f);

    if (n < 0)
        return n;
    n = l->env->ops->file_size(f);
    l->env->ops->file_close(f);
    return n;
}

bool gw_lf_spare_takes(struct gw_lf *l, const struct gw_lf_seg *seg, const char *path)
{
    uint64_t usual = gw_lf_segment_bytes(l);
    char to[GW_LF_PATH];
    int64_t size;

    if (l->n_spare == GW_LF_SPARES || !seg->is_sound || seg->end < usual / 2)
        return false;
    size = size_of(l, path);
    if (size < 0 || size > (int64_t)(usual + usual / 4) || gw_lf_disk_has(l, DISK_SEGMENTS * usual) < 0)
        return false;
    spare_path(l, l->n_spare, to);
    if (l->env->ops->file_rename(l->env, path, to) < 0)
        return false;
    l->spares[l->n_spare++] = (uint64_t)size;
    l->spares_until_ns = gw_mono_ns(l->env) + IDLE_NS;
    return true;
}

bool gw_lf_spare_use(struct gw_lf *l, uint64_t number)
{
    const int flags = GW_OPEN_READ | GW_OPEN_WRITE;
    char from[GW_LF_PATH], to[GW_LF_PATH];

    if (l->n_spare == 0)
        return false;
    spare_path(l, l->n_spare - 1, from);
    gw_lf_path(l, number, "", to);
    if (l->env->ops->file_rename(l->env, from, to) < 0) {
        gw_lf_spares_remove(l);
        return false;
    }
    l->n_spare--;
    l->spares_until_ns = gw_mono_ns(l->env) + IDLE_NS;
    l->tail.filled = l->conf.retention.until_settled ? UINT64_MAX : 0; /* its pages are there, or forgotten */
    /* Nothing is written over under a name that a power cut brings back. */
    return gw_lf_names_sync(l) == 0 && l->env->ops->file_open(l->env, to, flags, 0600, &l->tail.file) == 0;
}

void gw_lf_spares_forget(struct gw_lf *l)
{
    l->n_spare = GW_LF_SPARES;
    gw_lf_spares_remove(l);
}
