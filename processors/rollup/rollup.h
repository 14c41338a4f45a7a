/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of rollup. A row becomes a key (input.c), a time and a value; the key a series, in one of the shards; the
 * time a pane of each window:
 *
 *   worker ── consume() ─► rows {key, time, value} ─┬─► shard 0 ─┐
 *   worker ── consume() ─► rows {key, time, value} ─┼─► shard 1 ─┼─ tick() of any worker: what the watermark has passed
 * ─► metrics └─► late rows      └─► …       ─┘
 *
 *   shard    slots ─► series {key} ─► pane ─► pane ─► …          pane {window, number, state}
 *
 * A pane is as wide as the greatest common divisor of a window's size and slide: a hopping window is put together from
 * panes when it ends, so that a row is added once however much its windows overlap.
 *
 * A cascade (10 s, 1 m, 1 h): a row goes into a pane of the smallest window that takes it, and a pane that ends becomes
 * part of the next larger window's. What ends meanwhile is put together from the panes of all (docs/decisions/0019).
 *
 * State is shared by all workers (create_shared): one series is one series, whichever connection its points come by.
 * A batch takes each shard's lock at most once (docs/decisions/0013).
 *
 * Threads   a shard under its mutex; what an instance has is its worker's. Time is an argument everywhere
 */
#ifndef GW_ROLLUP_H
#define GW_ROLLUP_H

#include <pthread.h>

#include "core/buf.h"
#include "ottl/ottl.h"
#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/slabs.h"
#include "processors/rollup/counters.h"
#include "processors/rollup/watermark.h"
#include "series/aggregate.h"

/* ---- settings (conf.c) -------------------------------------------------------------------------------------- */

enum { GW_RU_TUMBLING, GW_RU_HOPPING, GW_RU_SLIDING, GW_RU_SESSION };
enum { GW_RU_FINAL, GW_RU_EAGER, GW_RU_DELTA, GW_RU_RETRACT };
enum { GW_RU_AUTO, GW_RU_METRIC, GW_RU_COUNT, GW_RU_DURATION, GW_RU_ATTRIBUTE, GW_RU_BODY };
enum { GW_RU_INGEST, GW_RU_EVENT };
enum { GW_RU_MAX_KEY_BYTES = (1 << 26) - 1, GW_RU_N_SHARDS = 16, GW_RU_MAX_WINDOWS = 16, GW_RU_MAX_PANES = 10000 };

struct gw_ru_keys {
    struct gw_list resource, scope, attributes;
};
struct gw_ru_value {
    int from;
    const char *name;
};
struct gw_ru_window_conf {
    int type;
    uint64_t size_ns, slide_ns, gap_ns, max_size_ns;
};
struct gw_ru_emit {
    int mode;
    uint64_t interval_ns;
    const char *id;
};
struct gw_ru_time {
    int watermark;
    uint64_t bounded_delay_ns, max_future_ns, idle_timeout_ns;
};
struct gw_ru_cumulative {
    int initial_value;
    uint64_t max_staleness_ns; /* 0: for ever */
};
struct gw_ru_conf {
    bool has_keys;
    struct gw_ru_keys keys;
    struct gw_ru_value value;
    struct gw_ru_time time;
    struct gw_ru_emit emit;
    struct gw_ru_cumulative cumulative;
    struct gw_list windows, aggregates;
    uint64_t allowed_lateness_ns, max_series, max_bytes, checkpoint_ns;
    const char *where, *name, *unit, *item;
};

extern const struct gw_field gw_ru_fields[];
void gw_ru_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);

/* ---- windows ------------------------------------------------------------------------------------------------- */

struct gw_ru_window {
    int type;
    uint64_t size_ns, slide_ns, pane_ns; /* tumbling: all equal; session: its longest, and what it is cut at */
    uint64_t gap_ns;                     /* session */
    uint64_t lateness_ns;                /* how long it waits behind its end */
    uint64_t check_ns;                   /* session: how often it is looked whether one has ended */
    uint8_t feeds, fed_by; /* cascade: the window that its panes go into when they end, and the reverse; + 1, 0: none */
    char text[48];         /* "10s", "5m/30s", "last 5m/30s", "session 30s": an attribute when there are several */
};
uint64_t gw_ru_gcd(uint64_t a, uint64_t b);
struct gw_ru_shared;
void gw_ru_windows_set(struct gw_ru_shared *all);
void gw_ru_windows_check(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag);
/** A window may have ended since the last time, or results are to be told early. */
bool gw_ru_windows_due(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns);
/** A window may have ended since the last time. */
bool gw_ru_windows_end(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns);
/** Early results are to be told, of windows that have not ended or changed since. */
bool gw_ru_is_early(const struct gw_ru_shared *all, uint64_t before_ns, uint64_t mark_ns);
/** End of the last window that a time belongs to. */
static inline uint64_t gw_ru_last_end(const struct gw_ru_window *w, uint64_t ns)
{
    return ns / w->slide_ns * w->slide_ns + w->size_ns;
}
/** End of the first one. */
static inline uint64_t gw_ru_first_end(const struct gw_ru_window *w, uint64_t ns)
{
    uint64_t last = gw_ru_last_end(w, ns), first = last - (last - ns - 1) / w->slide_ns * w->slide_ns;

    return first < w->size_ns ? w->size_ns : first; /* no window begins before 1970 */
}
/** A record of that time is not late for it; of a session: for one of its own. */
static inline bool gw_ru_is_open(const struct gw_ru_window *w, uint64_t ns, uint64_t mark_ns)
{
    uint64_t end = w->type == GW_RU_SESSION ? ns + w->gap_ns : gw_ru_last_end(w, ns);

    return end + w->lateness_ns > mark_ns;
}

/* ---- what is aggregated --------------------------------------------------------------------------------------- */

enum { GW_RU_MAX_SPECS = 16 };
/** "sum", "exponential", "p99", "p99.9", "top", "top5". False: there is no such aggregate. */
bool gw_ru_spec_of(const char *text, struct gw_agg_spec *ret);
/** It is of items. */
static inline bool gw_ru_needs_item(const struct gw_agg_spec *spec)
{
    return spec->fn == GW_AGG_DISTINCT || spec->fn == GW_AGG_TOP;
}

/* ---- state (state.c) ------------------------------------------------------------------------------------------ */

struct gw_ru_pane {
    uint64_t id; /* gw_ru_pane_id */
    uint64_t
        state[]; /* plan.state_bytes (series/aggregate.h), then tail_bytes of a tail; kept: a word, has it changed */
};

/** What a pane has besides, when there are early results (changes), and when there are sessions (all). */
struct gw_ru_tail {
    uint64_t changes : 63, is_new : 1; /* values that were added; of delta: since they were told. Some since the last
                                          interval */
    uint64_t first_ns, last_ns;
    uint64_t flags; /* GW_RU_LONG … */
};
enum {
    GW_RU_LONG = 1,     /* it is of a session longer than max_size, which is cut at the multiples of that */
    GW_RU_FOLLOWED = 2, /* of such a one: there is a next piece, so that it ends with its stretch */
    GW_RU_ENDED = 4,    /* the watermark has passed it: it is only there to be told */
};

/** What was told of a window that may be told again. */
struct gw_ru_told { /* an item of slabs */
    uint64_t window;
    uint64_t key_ns; /* end; of a session its beginning */
    uint64_t end_ns, changes;
    uint32_t revision, flags; /* GW_RU_SEEN … */
    uint64_t state[];         /* what was told, when told_bytes has room for it */
};
enum {
    GW_RU_SEEN = 1,      /* of this firing: it is still a window */
    GW_RU_DROP = 2,      /* of this firing: nothing will be told of it any more */
    GW_RU_RETRACTED = 4, /* it is no window any more, and that was told */
    GW_RU_UNSAVED = 8,   /* kept: since the last checkpoint */
};

/*
 * Series of a shard that something has to be done with, each once; there is room for all that there are. A series says
 * where it stands in each, + 1.
 */
enum { GW_RU_CHANGED /* kept: since the last checkpoint */, GW_RU_NEWS /* since early results */, GW_RU_N_LISTS };
struct gw_ru_list {
    bool is_used;
    uint32_t *ids;
    uint32_t n, cap;
};

struct gw_ru_series {                       /* an item of slabs */
    uint64_t hash;                          /* seeded */
    uint8_t *key;                           /* malloced */
    uint32_t key_bytes : 26, partition : 6; /* partition: kept; of GW_PARTITIONS */
    uint32_t panes; /* a chain of items by their links; the one that came last is first; sessions from the latest on */
    uint32_t told;  /* another */
    uint32_t streams; /* and one of counters; by their `next` */
    uint32_t listed_at[GW_RU_N_LISTS];
};

struct gw_ru_shard {
    pthread_mutex_t lock;
    struct gw_budget budget;
    struct gw_slabs series, panes, told;
    struct gw_ru_counters counters;
    struct gw_heap heap;    /* of histograms */
    uint64_t charged_bytes; /* of the heap, to the budget */
    struct {
        uint32_t tag, series;
    } * slots;
    uint32_t n_slots, n;
    struct gw_ru_list lists[GW_RU_N_LISTS];
    uint64_t fired_ns;   /* all windows that end (with lateness) until then have left */
    uint64_t told_bytes; /* of the budget, that are part of held_bytes */
};

/** A point that is one: explicit with its bounds, or exponential. */
struct gw_ru_histogram {
    struct gw_bounds bounds;
    const struct gw_explicit *explicit;
    double min, max; /* of that; NaN: they are not known */
    const struct gw_exponential *exponential;
};

struct gw_ru_row {
    uint64_t hash, time_ns;
    struct gw_agg_number value;
    const struct gw_ru_histogram *histogram; /* instead of the value; or NULL */
    const struct gw_ru_count *counter;       /* it is cumulative; or NULL */
    const struct gw_pick *samples;           /* of samples */
    uint32_t n_samples;
    struct gw_slice item;                  /* of distinct and top; p NULL: it has none */
    uint32_t row, key_at, key_bytes, next; /* next: of the same shard, + 1 */
    uint8_t partition;                     /* of an overflow's, kept */
};

enum gw_ru_fate { GW_RU_TAKEN, GW_RU_LATE, GW_RU_FULL };
struct gw_ru_kept; /* kept.h */

struct gw_ru_shared {
    const struct gw_ctx *ctx;
    const struct gw_ru_conf *conf;
    struct gw_ru_window windows[GW_RU_MAX_WINDOWS];
    unsigned n_windows;
    uint32_t tail_bytes; /* of a pane */
    uint32_t told_bytes; /* of the state in a gw_ru_told */
    bool has_sessions, has_items, has_cascade, has_samples;
    uint64_t hold_ns;          /* counters.h */
    _Atomic uint64_t begin_ns; /* kept: by partition there */
    struct gw_agg_spec specs[GW_RU_MAX_SPECS];
    const char *names[GW_RU_MAX_SPECS]; /* as in the settings: the end of their metrics' names */
    unsigned n_specs;
    unsigned shown_on; /* specs whose points have the samples, as bits */
    struct gw_agg_plan plan;
    uint64_t max_series, max_bytes;
    struct gw_ru_kept *kept; /* behind a journal: one state a worker, which survives; else NULL */
    /* Of what create_shared made: those, by worker; the rest of it rests then. */
    _Atomic(struct gw_ru_shared *) *kept_of;
    struct gw_watermark_conf mark_conf;
    struct gw_watermarks *marks;
    pthread_mutex_t fire_lock; /* of what follows */
    unsigned n_instances, n_drained;
    uint64_t fire_ns; /* the watermark that is being fired, or was last */
    unsigned fire_at; /* shard that comes next; GW_RU_N_SHARDS: none is due */
    bool fire_early;  /* early results, too */
    bool fire_full;   /* windows have ended: all series are looked at, and not only those with news */
    struct gw_metric *series, *open_panes, *watermark, *lag, *late, *missed, *overflow, *results, *bytes, *lost,
        *streams;
    _Atomic uint64_t n_series, n_panes, n_streams, n_waiting, held_bytes;
    struct gw_ru_shard shards[GW_RU_N_SHARDS];
};

int gw_ru_shard_init(struct gw_ru_shard *s, struct gw_ru_shared *all);
/** That series, also a new one; 0: no memory. Whether there may be one more is the caller's affair. */
uint32_t gw_ru_series_get(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r,
                          const uint8_t *key, uint8_t partition);
/** NULL: there is none. */
struct gw_ru_pane *gw_ru_pane_find(const struct gw_ru_shard *s, const struct gw_ru_series *x, uint64_t id);
/** Its pane, also a new one: there is room (gw_slabs_reserve). */
struct gw_ru_pane *gw_ru_pane_get(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint64_t id);
static inline uint64_t *gw_ru_pane_changed(const struct gw_ru_shared *all, struct gw_ru_pane *p)
{
    return &p->state[(all->plan.state_bytes + all->tail_bytes) / sizeof(uint64_t)];
}
void gw_ru_shard_clear(struct gw_ru_shard *s, const struct gw_ru_shared *all);
/** Under its lock: the row goes into a pane of every window that is still open at that watermark. */
enum gw_ru_fate gw_ru_shard_add(struct gw_ru_shared *all, struct gw_ru_shard *s, const struct gw_ru_row *r,
                                const uint8_t *key, uint64_t mark_ns, bool is_overflow, unsigned *ret_missed);
/** An increase of a counter, of a point that came at that watermark. False: no memory. */
bool gw_ru_shard_count(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series, uint64_t time_ns,
                       const struct gw_agg_number *up, uint64_t mark_ns);
/** Memory that has not been needed for a while goes back; all that is free, at the end. */
void gw_ru_shard_shrink(struct gw_ru_shard *s, bool is_end);
/** Lets the lock go, and tells what the shard holds. */
void gw_ru_shard_unlock(struct gw_ru_shared *all, struct gw_ru_shard *s);
/** What the heap has grown or shrunk by is the budget's affair, and what that has left is the heap's limit. */
void gw_ru_shard_charge(struct gw_ru_shard *s);
/** Under its lock: the series has no panes any more. */
void gw_ru_series_remove(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t series);
static inline unsigned gw_ru_shard_of(uint64_t stable_hash)
{
    return (unsigned)(stable_hash >> 60);
}
/** Under its lock: an item with an empty pane, in no chain; there must be room. */
uint32_t gw_ru_pane_take(struct gw_ru_shared *all, struct gw_ru_shard *s, uint64_t id);
/** One that is in no chain any more. */
void gw_ru_pane_give(struct gw_ru_shared *all, struct gw_ru_shard *s, uint32_t item);
static inline struct gw_ru_pane *gw_ru_pane_at(const struct gw_ru_shard *s, uint32_t item)
{
    return gw_slabs_at(&s->panes, item);
}
static inline struct gw_ru_told *gw_ru_told_at(const struct gw_ru_shard *s, uint32_t item)
{
    return gw_slabs_at(&s->told, item);
}
static inline struct gw_ru_tail *gw_ru_tail(const struct gw_ru_shared *all, struct gw_ru_pane *p)
{
    return (struct gw_ru_tail *)(void *)((uint8_t *)p->state + all->plan.state_bytes);
}
/** Something came into it. */
static inline void gw_ru_pane_touch(const struct gw_ru_shared *all, struct gw_ru_pane *p)
{
    if (all->kept)
        *gw_ru_pane_changed(all, p) = 1;
    if (!all->tail_bytes)
        return;
    gw_ru_tail(all, p)->changes++;
    gw_ru_tail(all, p)->is_new = true;
}
/*
 * window: 4 bits │ number: 44 │ skip: 16. The number counts pane_ns since 1970; of a session's piece: the stretch of
 * max_size that it lies in. skip: how many of the windows that a pane is part of had ended when its rows came, but were
 * not told yet: the rows are in the others alone, however late the ended ones are told.
 */
static inline uint64_t gw_ru_pane_id(unsigned window, uint64_t number, unsigned skip)
{
    return (uint64_t)window << 60 | (number & (UINT64_MAX >> 20)) << 16 | skip;
}
static inline unsigned gw_ru_window_of(uint64_t id)
{
    return (unsigned)(id >> 60);
}
static inline uint64_t gw_ru_number_of(uint64_t id)
{
    return id << 4 >> 20;
}
static inline unsigned gw_ru_skip_of(uint64_t id)
{
    return id & 0xffff;
}
/** Where it begins. */
static inline uint64_t gw_ru_time_of(const struct gw_ru_shared *all, const struct gw_ru_pane *p)
{
    return gw_ru_number_of(p->id) * all->windows[gw_ru_window_of(p->id)].pane_ns;
}
static inline uint32_t gw_ru_next(const struct gw_slabs *s, uint32_t item)
{
    return *gw_slabs_link(s, item);
}

/* ---- cascades (cascade.c) -------------------------------------------------------------------------------------- */

void gw_ru_cascade_set(struct gw_ru_shared *all);
/** The windows of that kind that the time of a pane is in have been told, or are being. */
bool gw_ru_pane_is_over(const struct gw_ru_shared *all, const struct gw_ru_pane *p, unsigned window, uint64_t mark_ns);
/** Of a pane that is over: true: it is one of a larger window now; false: it may go, a larger one has what it held. */
bool gw_ru_pane_goes_up(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, uint32_t item,
                        uint64_t mark_ns);
/** All panes of series of those partitions that were over at that mark. */
void gw_ru_cascade_raise(struct gw_ru_shared *all, uint64_t partitions, uint64_t mark_ns);

/* ---- lists (lists.c) --------------------------------------------------------------------------------------------- */

/** Room for one more series than there are. */
bool gw_ru_lists_reserve(struct gw_ru_shard *s);
void gw_ru_lists_clear(struct gw_ru_shard *s);
void gw_ru_list_add(struct gw_ru_shard *s, unsigned list, uint32_t series);
void gw_ru_list_remove(struct gw_ru_shard *s, unsigned list, uint32_t series);
/** Something came into it: to all that are used. */
void gw_ru_lists_add(struct gw_ru_shard *s, uint32_t series);

/* ---- sessions (sessions.c) ------------------------------------------------------------------------------------- */

/** Under its lock: the pane of the session that the time belongs to, which may have made one of two. Room for one. */
struct gw_ru_pane *gw_ru_session_of(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x,
                                    unsigned window, uint64_t ns, uint64_t mark_ns);

/** Whether one is open that the time, which is too late for one of its own, belongs to. */
bool gw_ru_session_takes(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, unsigned window,
                         uint64_t ns, uint64_t mark_ns);
/** Those that the watermark has passed have ended. */
void gw_ru_sessions_settle(struct gw_ru_shared *all, struct gw_ru_shard *s, struct gw_ru_series *x, unsigned window,
                           uint64_t mark_ns);

/* ---- keys (input.c) ------------------------------------------------------------------------------------------- */

/*
 * A key: u32 length, resource attributes │ u32 length, scope: name NUL version NUL attributes │ u32 length, metric:
 * type and unit, name │ attributes. Equal bytes, equal series; sorted by bytes, what shares a resource stands together.
 */
struct gw_ru_key_parts {
    struct gw_slice resource, scope, metric, attrs;
};
struct gw_ru_key_parts gw_ru_key_split(struct gw_slice key);

/** A view on its way into shards. Rows live in the turn's arena, keys in `keys`. */
struct gw_ru_input {
    const struct gw_ru_shared *all;
    const struct gw_view *v;
    struct gw_ottl *where;
    struct gw_buf *keys;
    struct gw_ru_row *rows;
    uint32_t n_rows;
    uint32_t heads[GW_RU_N_SHARDS]; /* row + 1 */
    bool passes_on, comes_again;    /* again: rows that were consumed before the last start */
    uint64_t now_ns;                /* when they came in */
    uint64_t top_ns;                /* the latest time of a row that is not in the future */
    uint64_t n_where_failed;
    uint32_t stream_metric; /* + 1: whose part of a stream's id is the next one */
    struct gw_ru_stream_id stream_base;
};
/** False: no memory. */
bool gw_ru_input_read(struct gw_ru_input *in, struct gw_ports *out);
/** That row is the only one that goes into shards. */
void gw_ru_input_only(struct gw_ru_input *in, uint32_t i);
/** The key of what found no room, behind the others in in->keys. False: no memory. */
bool gw_ru_input_overflow(struct gw_ru_input *in, struct gw_ru_row *r);

/** Of a row that is a histogram, in the view's arena. NULL, or why there is none. */
const char *gw_ru_histogram_read(const struct gw_view *v, uint32_t row, const struct gw_ru_histogram **ret);
/** Errors: as gw_agg_add. */
int gw_ru_histogram_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                        const struct gw_ru_histogram *h);

/** What a row may be shown as, in the view's arena. False: no memory. (samples.c) */
bool gw_ru_samples_read(const struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to);
/** Which are shown: those of the lowest ones. */
uint64_t gw_ru_sample_rank(const struct gw_mw_exemplar *e);

/* ---- firing (fire.c) ------------------------------------------------------------------------------------------ */

/**
 * Under fire_lock: results of at most one shard that the watermark has passed, out of port 0. with end: of all that is
 * open. Returns GW_MORE or GW_DONE.
 */
int gw_ru_fire(struct gw_ru_shared *all, struct gw_ports *out, uint64_t mark_ns, uint64_t wall_ns);

/* ---- the component (engine.c) --------------------------------------------------------------------------------- */

/** kept: of one of n_workers, and its share of the limits. */
int gw_ru_state_new(struct gw_ru_shared **ret, const struct gw_ctx *ctx, const void *conf, struct gw_ru_kept *kept,
                    struct gw_err *err);
/** What the parts of the component behind a journal call an instance. */
struct gw_ru_shared *gw_ru_state_of(void *self);
/** From now on the worker has a state of its own, which the shared one owns. */
int gw_ru_state_part(void *self, struct gw_ru_kept *kept);
int gw_ru_create_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_ru_destroy_shared(void *shared);
int gw_ru_create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_ru_destroy(void *self);
/** passes_on: what is not selected, or has no number to add, leaves by port 0; otherwise it ends here. */
void gw_ru_consume(void *self, struct gw_view *v, struct gw_ports *out, bool passes_on);
int gw_ru_tick(void *self, uint64_t now_ns, struct gw_ports *out);
int gw_ru_drain(void *self, struct gw_ports *out);
extern const char *const gw_ru_ports[];

#endif
