/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/trace_state.h"

enum { FIELD_TRACE_STATE = 3, LEN = 2 };

struct gw_slice gw_span_trace_state(const struct gw_view *v, uint32_t row)
{
    struct gw_slice s;
    size_t at = 1;

    if (!gw_view_field_get(v, GW_OWN_ROW, row, FIELD_TRACE_STATE, &s))
        return gw_batch_slice(v->batch, v->batch->trace_state[row]);
    while (at < s.n && s.p[at] >= 0x80)
        at++;
    return s.n ? (struct gw_slice){s.p + at + 1, s.n - at - 1} : s;
}

void gw_span_set_trace_state(struct gw_view *v, uint32_t row, struct gw_slice text)
{
    uint8_t head[12] = {FIELD_TRACE_STATE << 3 | LEN};
    unsigned n = 1;
    struct gw_slice encoded = {NULL, 0};
    size_t len = text.n;
    uint8_t *p;

    for (; len >= 0x80; len >>= 7)
        head[n++] = (uint8_t)(len | 0x80);
    head[n++] = (uint8_t)len;
    if (text.n) {
        p = gw_arena_alloc(v->arena, n + text.n);
        if (!p) {
            v->failed = true;
            return;
        }
        memcpy(p, head, n);
        memcpy(p + n, text.p, text.n);
        encoded = gw_slice_of(p, n + text.n);
    }
    gw_view_field_set(v, GW_OWN_ROW, row, FIELD_TRACE_STATE, encoded);
}
