/* SPDX-License-Identifier: Apache-2.0 */
/* A span's trace state in a view, patches included. */
#ifndef GW_PROCESSORS_COMMON_TRACE_STATE_H
#define GW_PROCESSORS_COMMON_TRACE_STATE_H

#include "batch/view.h"

struct gw_slice gw_span_trace_state(const struct gw_view *v, uint32_t row);
/** The text is copied. Errors: sets v->failed. */
void gw_span_set_trace_state(struct gw_view *v, uint32_t row, struct gw_slice text);

#endif
