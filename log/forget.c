/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What everybody has read needs no memory: of a log that keeps it on the disk, the kernel is told so, part by part,
 * behind the slowest of those that read now. It then takes these pages for what is written next, which are at hand,
 * instead of taking others from who needs them.
 *
 *   segments   …06 │ …07          │ …08
 *                  │ told ─► forgotten ─► low: the slowest reader, synced │ written
 *
 * What is used again as a whole (spare.c) stays in memory, and so does what was there when the log was opened: whoever
 * reads that has it brought there.
 */
#include "log/impl.h"

enum { FORGET_EVERY = 1 << 20, PART = 256 << 10 /* as it was filled (group.c) */ };

/* The end of what lies before seq in the segment, as far as it is known; rounded down. */
static uint64_t end_below(const struct gw_lf *l, size_t i, uint64_t seq)
{
    const struct gw_lf_seg *s = &l->segs[i];
    uint64_t end = 0;

    if (i + 1 < l->n_segs && l->segs[i + 1].first_seq <= seq)
        return s->end;
    for (size_t k = s->n_marks; end == 0 && k > 0; k--)
        if (s->marks[k - 1].seq <= seq)
            end = s->marks[k - 1].off;
    if (i + 1 == l->n_segs && end > l->tail.synced)
        end = l->tail.synced;
    return end - end % PART;
}

static void forget(struct gw_lf *l, uint64_t number, uint64_t from, uint64_t to)
{
    struct gw_file *f = l->tail.file;

    if (number != l->tail.number && gw_lf_seg_file(l, number, GW_OPEN_READ, &f) < 0)
        return;
    l->env->ops->file_forget(f, from, to - from);
    if (number != l->tail.number)
        l->env->ops->file_close(f);
}

/* The segment in which it stopped; n_segs: it is gone, or none was told yet. */
static size_t where(const struct gw_lf *l)
{
    size_t i = l->n_segs;

    while (i > 0 && l->segs[i - 1].number != l->told_number)
        i--;
    return i > 0 ? i - 1 : l->n_segs;
}

void gw_lf_forget(struct gw_lf *l)
{
    uint64_t low = l->conf.retention.until_settled ? 0 : gw_lf_low_of_readers(l);
    size_t i = where(l);

    if (i == l->n_segs) {
        l->told_number = l->tail.number;
        l->told = 0;
        return;
    }
    for (; low > 0 && i < l->n_segs; i++) {
        uint64_t number = l->segs[i].number, end = end_below(l, i, low);
        bool whole = i + 1 < l->n_segs && end == l->segs[i].end;

        if (end > l->told && (whole || end - l->told >= FORGET_EVERY)) {
            forget(l, number, l->told, end);
            l->told = end;
        }
        if (!whole)
            return;
        l->told_number = l->segs[i + 1].number;
        l->told = 0;
    }
}
