/* SPDX-License-Identifier: Apache-2.0 */
/* What recovery and following share. */
#ifndef GW_LOG_RECOVER_H
#define GW_LOG_RECOVER_H

#include "log/impl.h"

/** The headers of the segments that were listed, in order; what is none of this log is put aside. */
int gw_lf_read_heads(struct gw_lf *l, struct gw_err *err);
/** Errors: -EBADMSG damaged, or another segment's; -EPROTONOSUPPORT; of the disk. seg->file_bytes is set always. */
int gw_lf_read_head(struct gw_lf *l, struct gw_lf_seg *seg, struct gw_lf_segment_head *h);
void gw_lf_from_head(struct gw_lf_seg *seg, const struct gw_lf_segment_head *h);

/** The state of a segment's head. 1: one of its copies is whole; 0: none is. Errors: -ENOMEM. */
int gw_lf_replay_snapshot(struct gw_lf *l, struct gw_lf_seg *seg);
/** All that is committed in a segment; the last one's end is found. Errors: -ENOMEM, of the disk. */
int gw_lf_replay_segment(struct gw_lf *l, struct gw_lf_seg *seg, bool is_last);
/** Whole groups from s->at on, which moves behind them, each following on the one before (NULL: the first may be any).
 */
int gw_lf_replay_groups(struct gw_lf *l, struct gw_lf_scan *s, const uint32_t *chain, uint64_t *ret_end);
/** The highest offset that a commit of this segment says was synced, and where the last record of any kind ends. */
int gw_lf_find_sure(struct gw_lf_scan *s, uint64_t *ret, uint64_t *ret_last);
/** What lies between the end so far and this is lost. */
void gw_lf_lose(struct gw_lf *l, uint64_t seq, uint64_t row, uint64_t bytes);

#endif
