/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/anomaly/anomaly.h"

#include <errno.h>
#include <stdlib.h>

#include "pipeline/alarms.h"
#include "pipeline/host.h"

enum { SWEEP_STEP = 16384, NO_RECORDED_VALUE = 1 };
#define SWEEP_NS (UINT64_C(60) * 1000000000)

static const char *const methods[] = {"ewma", "median", "holt_winters", "together", NULL};
static const char *const annotations[] = {"anomalous", "all", "none", NULL};
static const char *const verdicts[GW_AN_N_VERDICTS] = {
    [GW_AN_PASSED] = "passed",     [GW_AN_NO_ROOM] = "no_room", [GW_AN_WAITING] = "waiting",
    [GW_AN_LEARNING] = "learning", [GW_AN_USUAL] = "usual",     [GW_AN_UNUSUAL] = "anomalous"};

#define C struct gw_an_season
static const struct gw_field season_fields[] = {
    GW_DURATION_FIELD(C, length, "length", "24h", 1000, 1e17, "holt_winters: after which time things repeat."),
    GW_U64_FIELD(C, slots, "slots", "24", 2, 10000, "holt_winters: how many parts of it are told apart."),
    {0},
};
#undef C
#define C     struct gw_an_conf
#define IN(m) (uint32_t)(offsetof(C, together.m) - offsetof(C, together))
static const struct gw_field together_fields[] = {
    {.name = "metrics", .type = GW_F_LIST, .offset = IN(metrics), .help = "Names of the 2 to 8 that make a group."},
    {.name = "max_groups",
     .type = GW_F_U64,
     .offset = IN(max_groups),
     .def = "10000",
     .min = 1,
     .max = UINT32_MAX,
     .help = "Most groups that are remembered, of all workers; points of others pass."},
    {0},
};
#undef IN
/* Of the processor and the connector. */
#define COMMON_FIELDS                                                                                                  \
    GW_STRING_FIELD(C, where, "where", "", "An OTTL condition of data points; the others pass. None: all."),           \
        GW_ENUM_FIELD(                                                                                                 \
            C, method, "method", "ewma", methods,                                                                      \
            "What is usual: ewma (mean and deviation, weighted by age), median (and median absolute deviation), "      \
            "holt_winters (level, trend and season) or together (of several metrics, as ewma)."),                      \
        GW_F64_FIELD(C, threshold, "threshold", "4", 0, 1e9, "A point that many deviations off is anomalous."),        \
        GW_U64_FIELD(C, warmup, "warmup", "30", 1, UINT32_MAX,                                                         \
                     "Points of a series that only teach, before one is judged."),                                     \
        GW_F64_FIELD(C, alpha, "alpha", "0.1", 0.001, 1, "Weight of the newest point."),                               \
        GW_F64_FIELD(C, beta, "beta", "0.01", 0, 1, "holt_winters: weight of the newest slope in the trend."),         \
        GW_F64_FIELD(C, gamma, "gamma", "0.1", 0, 1,                                                                   \
                     "holt_winters: weight of the newest point in its slot of the season."),                           \
        GW_F64_FIELD(C, min_deviation, "min_deviation", "0.01", 0, 1e9,                                                \
                     "What varies less than this part of what is expected is taken to vary as much."),                 \
        GW_BLOCK_FIELD(C, season, "season", season_fields, "What holt_winters learns."),                               \
        GW_BLOCK_FIELD(C, together, "together", together_fields, "What is judged together."),                          \
        GW_DURATION_FIELD(                                                                                             \
            C, max_stale, "max_stale", "1h", 1, 1e18,                                                                  \
            "Series of which no point came for that long are forgotten, which is looked at once a minute."),           \
        GW_U64_FIELD(C, max_series, "max_series", "1000000", 1, UINT32_MAX,                                            \
                     "Most series that are remembered, of all workers; points of others pass.")

const struct gw_field gw_an_fields[] = {
    COMMON_FIELDS,
    GW_ENUM_FIELD(C, annotate, "annotate", "anomalous", annotations,
                  "Which points get anomaly.score and anomaly.expected."),
    {0},
};
const struct gw_field gw_an_event_fields[] = {
    COMMON_FIELDS,
    {0},
};
#undef C

static void check_together(const struct gw_an_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *block = gw_node_get(node, "together"), *at = block ? gw_node_get(block, "metrics") : NULL;
    const struct gw_place *place = at ? &at->place : block ? &block->place : &node->place;
    const char *const *names = c->together.metrics.items;
    size_t n = c->together.metrics.n;

    if (c->method != GW_AN_TOGETHER) {
        if (block)
            gw_diag_add(diag, GW_DIAG_WARNING, place, "together has no effect but with method: together");
        return;
    }
    if (n < 2 || n > GW_ANOMALY_GROUP_MAX)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "together::metrics: method: together wants 2 to %d names of metrics",
                    GW_ANOMALY_GROUP_MAX);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                gw_diag_add(diag, GW_DIAG_ERROR, place, "together::metrics: \"%.100s\" stands twice", names[i]);
}

void gw_an_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_an_conf *c = conf;
    const struct gw_node *at = gw_node_get(node, "season");

    if (c->season.length < c->season.slots)
        gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "season: slots of less than a nanosecond");
    check_together(c, node, diag);
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

static bool is_selected(struct gw_an_engine *e, const struct gw_view *v, uint32_t row)
{
    struct gw_err ignored;
    bool yes = true;

    if (e->where && gw_ottl_test(e->where, v, row, row, &yes, &ignored) < 0) {
        gw_metric_add(e->where_failed, 1);
        return false;
    }
    return yes;
}

/* Gauges and deltas: totals go on from their start, and say little. */
static bool number_of(const struct gw_batch *b, uint32_t row, double *ret)
{
    const struct gw_metric_desc *m = &b->metrics[b->metric[row]];

    if ((m->type != GW_M_GAUGE && (m->type != GW_M_SUM || m->temporality != GW_T_DELTA)) ||
        (b->flags[row] & NO_RECORDED_VALUE))
        return false;
    if (b->number_type[row] == GW_N_INT)
        *ret = (double)b->number[row].i64;
    else
        *ret = b->number[row].f64;
    return b->number_type[row] == GW_N_INT || b->number_type[row] == GW_N_DOUBLE;
}

static enum gw_an_verdict judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row, struct gw_anomaly *a,
                                double *value)
{
    enum gw_stream_found found;
    struct gw_series *s;
    uint64_t *state;

    if (!number_of(v->batch, row, value) || !is_selected(e, v, row))
        return GW_AN_PASSED;
    if (e->together.n)
        return gw_an_together_judge(e, v, row, a, value);
    found = gw_streams_get(e->streams, v->batch, row, (struct gw_slice){0}, &s);
    if (found == GW_STREAM_LIMIT || found == GW_STREAM_NO_MEMORY)
        return GW_AN_NO_ROOM;
    s->seen_ns = e->now_ns;
    state = gw_series_value(s);
    if (found == GW_STREAM_OLD && v->batch->time_ns[row] <= state[0])
        return GW_AN_PASSED;
    state[0] = v->batch->time_ns[row];
    gw_anomaly_observe(&e->how, state + 1, *value, state[0], a);
    return a->deviation == 0 ? GW_AN_LEARNING : a->score >= e->conf->threshold ? GW_AN_UNUSUAL : GW_AN_USUAL;
}

enum gw_an_verdict gw_an_judge(struct gw_an_engine *e, const struct gw_view *v, uint32_t row, struct gw_anomaly *a,
                               double *value)
{
    enum gw_an_verdict j = judge(e, v, row, a, value);

    gw_metric_add(e->points[j], 1);
    if (j == GW_AN_UNUSUAL && e->board && gw_alarm_is_watched(e->board))
        gw_metric_add(e->alarms, gw_alarm_raise(e->board, v, row, a->score));
    return j;
}

void gw_an_begin(struct gw_an_engine *e)
{
    gw_streams_begin(e->streams);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

void gw_an_tell(struct gw_an_engine *e)
{
    uint64_t n = gw_streams_n(e->streams);

    gw_metric_add(e->series, n - e->n_told);
    e->n_told = n;
}

int gw_an_tick(struct gw_an_engine *e, uint64_t now_ns)
{
    uint64_t most = e->conf->max_stale;
    bool more;

    if (e->state)
        return GW_DONE;
    e->now_ns = now_ns;
    if (e->next_sweep_ns == 0)
        e->next_sweep_ns = now_ns + SWEEP_NS;
    if (now_ns >= e->next_sweep_ns) {
        e->next_sweep_ns = now_ns + SWEEP_NS;
        e->sweep_before_ns = now_ns > most ? now_ns - most : 0;
        gw_streams_sweep_begin(e->streams);
    }
    more = gw_streams_sweep(e->streams, e->sweep_before_ns, SWEEP_STEP);
    gw_an_tell(e);
    return more ? GW_MORE : GW_DONE;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static bool is_alike(const struct gw_an_engine *e, const struct gw_an_engine *old)
{
    if (e->conf->method != old->conf->method)
        return false;
    if (e->conf->method == GW_AN_TOGETHER)
        return gw_an_together_alike(e->conf, old->conf);
    return e->how.n_slots == old->how.n_slots && e->how.slot_ns == old->how.slot_ns;
}

void gw_an_adopt(struct gw_an_engine *e, struct gw_an_engine *old)
{
    struct gw_streams *mine = e->streams;

    if (!is_alike(e, old))
        return;
    gw_ss_adopt(&e->state, &old->state, &e->ctx);
    e->now_ns = old->now_ns;
    e->streams = old->streams;
    old->streams = mine;
    e->streams->conf.max_streams = mine->conf.max_streams;
    gw_an_tell(old);
    gw_an_tell(e);
}

static void make_metrics(struct gw_an_engine *e)
{
    struct gw_label l[] = {{"component", e->ctx.id}, {"verdict", NULL}};
    struct gw_meter *m = e->ctx.meter;

    e->series = gw_meter_get(m, GW_GAUGE, "staunch_anomaly_series", "Series that are remembered by anomaly.", l, 1);
    e->where_failed = gw_meter_get(m, GW_COUNTER, "staunch_anomaly_where_failed_points",
                                   "Points of which `where` could not be judged.", l, 1);
    e->alarms = gw_meter_get(m, GW_COUNTER, "staunch_anomaly_alarms",
                             "Keys that became anomalous, for policies of tail_sampling that watch.", l, 1);
    for (unsigned v = 0; v < GW_AN_N_VERDICTS; v++) {
        l[1].value = verdicts[v];
        e->points[v] =
            gw_meter_get(m, GW_COUNTER, "staunch_anomaly_points", "Points by what they are to their series.", l, 2);
    }
}

void gw_an_free(struct gw_an_engine *e)
{
    gw_metric_add(e->series, 0 - e->n_told);
    gw_ss_end(e->state);
    if (e->streams)
        gw_streams_free(e->streams);
    free(e->streams);
    gw_ss_free(e->state);
    gw_ottl_free(e->where);
    *e = (struct gw_an_engine){0};
}

/* Of each series, or of each group. */
static void make_streams(struct gw_an_engine *e)
{
    bool groups = e->together.n > 0;
    size_t bytes = groups ? gw_anomaly_group_bytes(&e->together) : sizeof(uint64_t) + gw_anomaly_bytes(&e->how);
    uint64_t most = groups ? e->conf->together.max_groups : e->conf->max_series;

    gw_streams_init(e->streams, &(struct gw_streams_conf){.value_bytes = bytes,
                                                          .max_streams = gw_ss_share(&e->ctx, most),
                                                          .credit = e->ctx.host ? e->ctx.host->memory : NULL,
                                                          .scope_attrs = true,
                                                          .one_metric = groups});
}

int gw_an_init(struct gw_an_engine *e, const struct gw_ctx *ctx, const struct gw_an_conf *c, struct gw_err *err)
{
    struct gw_ottl_fault fault;

    *e = (struct gw_an_engine){.ctx = *ctx, .conf = c, .now_ns = gw_mono_ns(ctx->env)};
    e->how = (struct gw_anomaly_conf){.method = c->method == GW_AN_TOGETHER ? GW_ANOMALY_EWMA
                                                                            : (enum gw_anomaly_method)c->method,
                                      .alpha = c->alpha,
                                      .beta = c->beta,
                                      .gamma = c->gamma,
                                      .min_deviation = c->min_deviation,
                                      .warmup = (uint32_t)c->warmup,
                                      .slot_ns = c->season.length / c->season.slots,
                                      .n_slots = (uint32_t)c->season.slots};
    if (*c->where && gw_ottl_condition_new(gw_slice_cstr(c->where), GW_OTTL_DATAPOINT, ctx->env, &e->where, &fault) < 0)
        return gw_fail(err, -EINVAL, "where: %s", fault.text);
    e->streams = calloc(1, sizeof(*e->streams));
    if (!e->streams) {
        gw_an_free(e);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    if (c->method == GW_AN_TOGETHER)
        gw_an_together_init(&e->together, c);
    make_streams(e);
    if (ctx->host && ctx->host->alarms) {
        e->board = gw_alarms_board(ctx->host->alarms, ctx->id);
        if (!e->board) {
            gw_an_free(e);
            return gw_fail(err, -ENOMEM, "out of memory");
        }
    }
    make_metrics(e);
    return 0;
}
