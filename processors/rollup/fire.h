/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One firing of one shard: what its windows are now, which of them are told, and how that is remembered.
 *
 *   panes ─► fire.c, sessions.c: results ─► emit.c: those that are news, with revisions ─► fire.c: points
 *                                              ▲                                              │
 *                                              └────────── told (of the series) ◄─────────────┘
 */
#ifndef GW_ROLLUP_FIRE_H
#define GW_ROLLUP_FIRE_H

#include "processors/rollup/rollup.h"

struct gw_ru_result {
    struct gw_ru_series *series;
    uint64_t start_ns, end_ns, changes;
    uint32_t id; /* of the series */
    uint32_t window;
    uint32_t at; /* of its state, in units of it */
    uint32_t revision;
    uint32_t told;  /* what was told of it before, or 0 */
    bool is_wanted; /* it has a state; otherwise it is only known */
    bool is_final, is_retract;
    bool is_of_final; /* is_final, or taken back for one that is */
};

struct gw_ru_fire {
    struct gw_ru_shared *all;
    struct gw_ru_shard *s;
    struct gw_ports *out;
    uint64_t mark_ns, wall_ns;
    bool is_early;         /* results of what has not ended, or of what changed */
    bool is_full;          /* of all series; otherwise nothing has ended, and those with news are looked at */
    uint32_t series_id;    /* of the series that is looked at */
    struct gw_buf results; /* struct gw_ru_result */
    struct gw_buf order;   /* panes of the series that is looked at */
    struct gw_buf states;
    uint32_t n_states;
    struct gw_heap heap; /* of those: what several panes come to */
    struct gw_mw w;
    struct gw_buf attrs, text, id;
    struct gw_buf bodies, lengths; /* requests, one behind the other, and struct gw_ru_body of each */
};

/** A window of a series as it is now. */
struct gw_ru_span {
    struct gw_ru_series *series;
    unsigned window;
    uint64_t start_ns, end_ns;
    bool is_final; /* nothing comes into it any more */
};

static inline void *gw_ru_result_state(const struct gw_ru_fire *f, const struct gw_ru_result *r)
{
    return f->states.p + (size_t)r->at * f->all->plan.state_bytes;
}
/** Empty, behind the others. NULL: no memory, or it is of no interest. Valid until the next one. */
struct gw_ru_result *gw_ru_result_new(struct gw_ru_fire *f, const struct gw_ru_span *span);
void gw_ru_result_add(struct gw_ru_fire *f, struct gw_ru_result *r, struct gw_ru_pane *p);

/** The pieces of a window of sessions, from the oldest on. */
void gw_ru_sessions_find(struct gw_ru_fire *f, struct gw_ru_series *x, unsigned window,
                         struct gw_ru_pane *const *pieces, size_t n);

/* ---- what is news (emit.c) -------------------------------------------------------------------------------------- */

/** Whether a window that ends then is told at all, at this firing, if it is news. */
bool gw_ru_emit_wants(const struct gw_ru_fire *f, const struct gw_ru_span *span);
/** Of the results of a series, from `first` on, those that are no news go; what is taken back comes in. */
void gw_ru_emit_choose(struct gw_ru_fire *f, struct gw_ru_series *x, size_t first);
/** Room to remember what is told; without it only what is final stays. */
void gw_ru_emit_reserve(struct gw_ru_fire *f);
/** They have been written. */
void gw_ru_emit_remember(struct gw_ru_fire *f);
/** What is not told again of a series is forgotten; increments that were told begin anew. True: there was some. */
bool gw_ru_emit_forget(struct gw_ru_fire *f, struct gw_ru_series *x);
/** What was told; it is in no chain any more. */
void gw_ru_told_give(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t item);
/** Revision and id, behind the attributes in f->attrs. False: there is nothing to say. */
bool gw_ru_emit_has_attrs(const struct gw_ru_fire *f);
void gw_ru_emit_put_attrs(struct gw_ru_fire *f, const struct gw_ru_result *r, unsigned spec);

#endif
