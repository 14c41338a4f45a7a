/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "processors/common/spool.h"
#include "processors/common/traces.h"

enum { PART_SPANS = 4096, PART_BYTES = 2 << 20 };

/* In one piece as it would leave; -E2BIG: it is too long for that. */
static int put_whole(const struct gw_traces *t, const struct gw_trace *trace, const struct gw_spooled *part,
                     struct gw_spool_writer *w)
{
    int rc = -E2BIG;

    if (trace->n_spans <= PART_SPANS && gw_trace_bytes(trace) <= PART_BYTES) {
        rc = gw_traces_write(t, trace, gw_spool_open_part(w, part));
        gw_spool_close_part(w, rc < 0 ? 0 : trace->n_spans);
    }
    return rc;
}

static int put_parts(const struct gw_traces *t, const struct gw_trace *trace, struct gw_spooled *part,
                     struct gw_spool_writer *w)
{
    struct gw_traces_cursor at = {0};
    uint32_t n = trace->n_spans;
    int rc = 0;

    for (; n && rc == 0; part->part++) {
        rc = gw_traces_write_piece(t, trace, &at, PART_SPANS, PART_BYTES, gw_spool_open_part(w, part), &n);
        gw_spool_close_part(w, rc < 0 ? 0 : n);
    }
    return rc;
}

int gw_traces_spool(const struct gw_traces *t, const struct gw_trace *trace, struct gw_slice facts, uint64_t now_ns,
                    struct gw_spool_writer *w)
{
    struct gw_spooled part = {
        .waited_ns = now_ns > trace->first_ns ? now_ns - trace->first_ns : 0,
        .left_ns = trace->due_ns > now_ns ? trace->due_ns - now_ns : 0,
        .facts = facts,
    };
    int rc;

    memcpy(part.id, trace->id, sizeof(part.id));
    rc = put_whole(t, trace, &part, w);
    return rc == -E2BIG ? put_parts(t, trace, &part, w) : rc;
}
