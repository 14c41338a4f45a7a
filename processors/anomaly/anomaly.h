/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of anomaly: what is remembered of each series (series/anomaly.h), and what a point is to its series.
 *
 * Threads   one: points of a series, and those of all series of one key, meet in one worker
 */
#ifndef GW_PROCESSORS_ANOMALY_H
#define GW_PROCESSORS_ANOMALY_H

#include "ottl/ottl.h"
#include "pipeline/component.h"
#include "processors/common/stream_state.h"
#include "series/anomaly.h"
#include "series/anomaly_group.h"

struct gw_an_season {
    uint64_t length, slots;
};

struct gw_an_conf {
    const char *where;
    int method;
    double threshold, alpha, beta, gamma, min_deviation;
    uint64_t warmup, max_stale, max_series;
    struct gw_an_season season;
    struct {
        struct gw_list metrics; /* names */
        uint64_t max_groups;
    } together;
    int annotate;
};
enum { GW_AN_TOGETHER = GW_ANOMALY_HOLT_WINTERS + 1 };             /* method: the others are enum gw_anomaly_method */
enum { GW_AN_ANOMALOUS, GW_AN_ALL, GW_AN_NONE };                   /* annotate */
extern const struct gw_field gw_an_fields[], gw_an_event_fields[]; /* of the processor, of the connector */
void gw_an_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);

enum gw_an_verdict {
    GW_AN_PASSED,   /* it has no number that can be judged, is not selected, or older than the last one */
    GW_AN_NO_ROOM,  /* max_series, or no memory */
    GW_AN_WAITING,  /* for others of its group */
    GW_AN_LEARNING, /* too few came before */
    GW_AN_USUAL,
    GW_AN_UNUSUAL,
    GW_AN_N_VERDICTS,
};

struct gw_an_engine {
    struct gw_stream_state *state; /* first: behind a journal; or NULL */
    struct gw_ctx ctx;
    const struct gw_an_conf *conf;
    struct gw_anomaly_conf how;
    struct gw_anomaly_group_conf together; /* method: together; else n is 0 */
    struct gw_streams *streams;            /* value: time of the last point, and its state; together: that of a group */
    const char *metric; /* together: that was furthest off in the last pane that was judged; else NULL */
    struct gw_ottl *where;
    struct gw_alarm_board *board; /* NULL: nobody could watch it */
    struct gw_metric *series, *points[GW_AN_N_VERDICTS], *where_failed, *alarms;
    uint64_t n_told, now_ns, next_sweep_ns, sweep_before_ns;
};

/** Errors: negative errno, err says which setting; what is half made is freed. */
int gw_an_init(struct gw_an_engine *e, const struct gw_ctx *ctx, const struct gw_an_conf *conf, struct gw_err *err);
void gw_an_free(struct gw_an_engine *e);
/** Before the rows of a view, which has no patches. */
void gw_an_begin(struct gw_an_engine *e);
/** a: of USUAL and UNUSUAL. value: the point's; together that of e->metric. */
enum gw_an_verdict gw_an_judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row, struct gw_anomaly *a,
                               double *value);
/** Series that are silent go, some at a time. Returns GW_MORE or GW_DONE. */
int gw_an_tick(struct gw_an_engine *e, uint64_t now_ns);
/** It is told how many series there are. */
void gw_an_tell(struct gw_an_engine *e);
/** What the other has learned, if it is of the same kind. */
void gw_an_adopt(struct gw_an_engine *e, struct gw_an_engine *old);

/* ---- method: together (together.c) ------------------------------------------------------------------------------- */

void gw_an_together_init(struct gw_anomaly_group_conf *how, const struct gw_an_conf *conf);
enum gw_an_verdict gw_an_together_judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row,
                                        struct gw_anomaly *a, double *value);
/** Are groups of the one those of the other? */
bool gw_an_together_alike(const struct gw_an_conf *c, const struct gw_an_conf *other);

/* ---- behind a journal (kept.c): of components whose first member is an engine ------------------------------------ */

int gw_an_parted(void *self, const struct gw_parting *by, uint64_t partitions);
int gw_an_advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out);
extern const struct gw_keep_ops gw_an_keep;

#endif
