/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind a journal (pipeline/keep.h): each worker has a state of its own, of the partitions that are its, and open
 * panes survive.
 *
 *   log      ────┬──────── rows ────────┬──────── rows ───┬─────►      steps of a tenth of a second
 *                ▼ checkpoint           ▼ checkpoint      ▼ commit
 *                panes, and what was    the same          results, and that those of all steps until then were told
 *                told, that changed
 *   crash    the state as of the last checkpoint; rows since then are read again, and windows told again, step by step:
 *            what was told before is remembered, and not told
 *
 * Time is the journal's: a row came when its step began, the watermark is the step's time less bounded_delay. It is
 * looked at every step of the clock whether something is due, also at those in which nothing came: so which results
 * there are follows from what the journal holds, and not from which of its partitions a worker reads. A series' rows
 * lie in one partition, in their order.
 *
 * Record: entries one behind the other, all integers little-endian:
 *
 *   'F'  u64: of which settings the others are │ u64: of which settings of time
 *   'W'  partitions u64: what was said of them before does not count any more
 *   'S'  bytes u32 of what follows │ partition u8 │ length u32, key │ items of the series:
 *        'P'  a pane: id u64, tail, state (gw_agg_save)
 *        'R'  sessions, and what was told of them, are those that follow, from the latest on
 *        'D'  what was told of a window: window, key_ns, end_ns, changes u64, revision, flags u32, state if it is kept
 *        GW_RU_STREAMS  streams, to the end (counters.c)
 *   'P'  partitions u64, step u64, mark u64: panes of before whose windows had ended by that mark went up (cascade.c)
 *   'B'  partitions u64, step u64 twice: counters that began before are not counted from their start
 *   'T'  partitions u64, step u64, mark u64: rows that came before that step are in the panes; windows that had ended
 *        by that mark were told
 *   'C'  partitions u64, step u64, mark u64: results of steps until that one have left, and windows that had ended by
 *        that mark
 *   'E'  top u64, seen u64, mark u64: the watermark that follows the event time, and where it was
 */
#ifndef GW_ROLLUP_KEPT_H
#define GW_ROLLUP_KEPT_H

#include "pipeline/keep.h"
#include "pipeline/parting.h"
#include "processors/rollup/rollup.h"

enum { GW_RU_MAX_PARTING = 16, GW_RU_PARTITION_BYTES = 32 };

struct gw_ru_body {
    size_t bytes;
    uint32_t points;
};

struct gw_ru_kept {
    struct gw_parting by; /* its names are ours */
    const char *names[GW_RU_MAX_PARTING];
    bool is_whole; /* one worker, and a series' rows may lie in any partition: it goes as the first */
    uint64_t partitions;
    uint64_t settings; /* what tells them apart */
    uint64_t times;    /* of these: when results are told */
    bool other_times;  /* results have left that were told with others */
    uint64_t now_ns;   /* the step that began */
    uint64_t step_ns;  /* until there it was looked whether something is due; all->fire_ns is the watermark then */
    bool rebuilds, has_advanced, has_saved;
    bool saves_all;    /* with each commit: there are others in the pipeline */
    uint64_t saved_ns; /* step of the last checkpoint */
    /* By partition: after a start they may be at different places, and a partition's rows come again, some of which are
     * in its panes already. */
    uint64_t covered_ns[GW_PARTITIONS];
    uint64_t fired_ns[GW_PARTITIONS]; /* the watermark when windows were last told, in this state */
    uint64_t begin_ns[GW_PARTITIONS]; /* step of its first counter, or the last one that became an overflow */
    bool has_begun;                   /* one of these, since the last checkpoint */
    /* Of which results have left. */
    uint64_t told_ns[GW_PARTITIONS], told_mark_ns[GW_PARTITIONS];
    bool has_told; /* since the last save */
    /* Series with a state, by partition; of all others when the step began: which series find no room follows from the
     * order in each partition. */
    uint64_t n_series[GW_PARTITIONS], n_others[GW_PARTITIONS];
    bool failed;                   /* something could not be told: nothing may be committed any more */
    struct gw_watermark mark;      /* by event time; its clock is the journal's */
    bool has_watched;              /* since the last checkpoint */
    uint64_t n_foreign;            /* entries of other settings */
    struct gw_buf bodies, lengths; /* results that wait for room behind: as in fire.c */
    size_t body_at, length_at;     /* of the next one */
};

extern const struct gw_keep_ops gw_ru_keep;
void gw_ru_kept_free(struct gw_ru_kept *k);
/** Of a key (input.c). */
uint8_t gw_ru_kept_partition(const struct gw_ru_kept *k, struct gw_slice key);
/** An overflow series is one of its partition: an attribute more, of at most GW_RU_PARTITION_BYTES. */
void gw_ru_kept_name_partition(struct gw_buf *key, uint8_t partition);
/** Of a row that comes again: is it in the panes? */
bool gw_ru_kept_covers(const struct gw_ru_kept *k, struct gw_slice key);
/** Rows of this step came, the latest of which says so; 0: nothing. */
void gw_ru_kept_watch(struct gw_ru_kept *k, uint64_t top_ns);
/** Results, to be emitted when there is room: takes what the buffers hold. Errors: -ENOMEM. */
int gw_ru_kept_put(struct gw_ru_kept *k, struct gw_buf *bodies, struct gw_buf *lengths);

/* ---- records (record.c) ---------------------------------------------------------------------------------------- */

/** Panes that have changed since the last time, or all that there are. */
void gw_ru_record_panes(struct gw_ru_shared *all, bool whole, struct gw_buf *out);
/** Panes and what was told that had gone when the last record was written: of which nothing is written. */
void gw_ru_record_settle(struct gw_ru_shared *all);
/** Errors: -EBADMSG, -ENOSPC, -ENOMEM. */
int gw_ru_record_read(struct gw_ru_shared *all, struct gw_slice record);

#endif
