/* SPDX-License-Identifier: Apache-2.0 */
/* One view on its way in: what the ways to take it (take.c, passes.c) have in common. */
#ifndef GW_TAIL_SAMPLING_TAKE_H
#define GW_TAIL_SAMPLING_TAKE_H

#include "processors/tail_sampling/group.h"
#include "processors/tail_sampling/sampler.h"

/* Rows that follow a decision. */
struct followers {
    struct followers *next;
    const uint32_t *rows;
    uint32_t n, reason;
    bool cached;
};

/* Rows that are dropped, by what for. */
struct gone {
    struct gone *next;
    const char *why;
    uint64_t *rows;
};

struct taking {
    struct gw_tail *s;
    struct gw_view *v;
    struct gw_ports *out;
    uint64_t now_ns;
    const uint64_t (*bits)[GW_FACT_WORDS];
    uint64_t *absorbed;
    struct followers *followers, **followers_last;
    struct gone *gone;
    size_t bitmap_bytes;
    uint64_t n_new; /* traces */
};

/** They follow a decision: they stay in the view, or are dropped. Without memory the view says that it failed. */
void gw_tail_follow(struct taking *k, const uint32_t *rows, uint32_t n, uint32_t reason, bool cached);
/** The decision was made before these rows came: counted, and links of a kept trace are followed. */
void gw_tail_late(struct taking *k, const struct gw_trace_group *g, const struct gw_tail_known *known);
/** They were consumed before a crash, and what became of them is known. */
void gw_tail_leave_out(struct taking *k, const uint32_t *rows, uint32_t n);
/** They join the facts. */
void gw_tail_note_rows(struct taking *k, struct gw_tail_facts *f, const uint32_t *rows, uint32_t n);
/** Why it need not wait; GW_TAIL_DUE: it must. */
enum gw_tail_cause gw_tail_is_enough(const struct gw_tail *s, const uint8_t id[16], const struct gw_tail_facts *f);
/**
 * span-ingest judges what came by itself: these rows, with the counts of the whole trace; bytes_limiting goes by the
 * rows'. True: that is enough.
 */
bool gw_tail_ingest(struct taking *k, const uint8_t id[16], const struct gw_tail_facts *all, const uint32_t *rows,
                    uint32_t n, uint32_t *ret_reason);
/** span-ingest looks at the rows of one resource at a time: behind the last one of those that begin with g->rows[at].
 */
uint32_t gw_tail_end_of_unit(const struct taking *k, const struct gw_trace_group *g, uint32_t at);

#endif
