/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of stream_state.h. */
#ifndef GW_PROCESSORS_COMMON_STREAM_STATE_PRIV_H
#define GW_PROCESSORS_COMMON_STREAM_STATE_PRIV_H

#include "processors/common/stream_state.h"

/** Its entry in a whole record would have so many bytes now. */
void gw_ss_charge(struct gw_stream_state *s, struct gw_stream_mark *m, size_t bytes);
/** While records are read: its number means nobody any more. */
void gw_ss_unread(struct gw_stream_state *s, struct gw_stream_mark *m);
/** All has been read. */
void gw_ss_forget_sources(struct gw_stream_state *s);

#endif
