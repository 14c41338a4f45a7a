/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_LOG_RECOVER_H
#define GW_LOG_RECOVER_H

#include "log/impl.h"

int gw_lf_replay_segment(struct gw_lf *l, struct gw_lf_seg *seg, bool is_last);
int gw_lf_replay_snapshot(struct gw_lf *l, struct gw_lf_seg *seg);

#endif
