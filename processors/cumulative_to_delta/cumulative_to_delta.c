/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cumulative_to_delta: cumulative monotonic sums and histograms leave as deltas.
 *
 *     processors:
 *       cumulative_to_delta:
 *         include: { metrics: [ "^http" ], match_type: regexp }
 *         initial_value: drop
 *
 * A series is what is equal in resource, scope, metric, attributes and start time; its points meet in one worker. What
 * differs from the Collector's processor is in docs/temporality.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "processors/common/flatten.h"
#include "processors/common/match.h"
#include "processors/cumulative_to_delta/deltas.h"

struct choice_conf {
    struct gw_list metrics, metric_types; /* const char * */
    const char *match_type;
    bool has_regexp;
    struct gw_match_regexp_conf regexp;
};

struct conf {
    uint64_t max_staleness, max_streams;
    int initial_value;
    struct choice_conf include, exclude;
};

enum { N_TYPES = 3, SWEEP_STEP = 16384, KEEP_BATCHES = 4 };

/* One side of include and exclude. */
struct choice {
    struct gw_match_conf conf;
    struct gw_match *names; /* NULL: any */
    bool any_type, types[GW_M_SUMMARY + 1];
};

struct self {
    struct gw_stream_state *state; /* first: behind a journal; or NULL */
    struct gw_ctx ctx;
    const struct conf *conf;
    struct gw_deltas *deltas;
    struct gw_batch_pool *batches; /* whose points have new values */
    struct choice include, exclude;
    struct gw_metric *made[N_TYPES], *dropped[N_TYPES][GW_N_DELTAS], *tracked;
    uint64_t n_told, next_sweep_ns, sweep_before_ns;
};

static const char *const initials[] = {"auto", "keep", "drop", NULL};
static const char *const types[N_TYPES] = {"sum", "histogram", "exponential_histogram"};
static const char *const reasons[GW_N_DELTAS] = {
    [GW_DELTA_NO_VALUE] = "no_recorded_value", [GW_DELTA_RESET] = "reset",       [GW_DELTA_INITIAL] = "initial",
    [GW_DELTA_MISMATCH] = "bucket_mismatch",   [GW_DELTA_LIMIT] = "max_streams", [GW_DELTA_NO_MEMORY] = "memory_limit",
};

#define C struct choice_conf
static const struct gw_field choice_fields[] = {
    GW_STRINGS_FIELD(C, metrics, "metrics", "Names of metrics, or patterns of them."),
    GW_STRING_FIELD(C, match_type, "match_type", "", "strict (equal) or regexp (RE2, somewhere in the name)."),
    GW_OPTIONAL_BLOCK_FIELD(C, regexp, has_regexp, "regexp", gw_match_regexp_fields, 0, "Options of regexp."),
    GW_STRINGS_FIELD(C, metric_types, "metric_types", "sum, histogram, exponentialhistogram; none: all of them."),
    {0},
};
#undef C
#define C struct conf
static const struct gw_field fields[] = {
    GW_DURATION_FIELD(C, max_staleness, "max_staleness", "1h", 0, 1e18,
                      "Series whose last point is older are forgotten, which is looked at as often; 0: never."),
    GW_ENUM_FIELD(C, initial_value, "initial_value", "auto", initials,
                  "The first point of a series: keep it as it is, drop it, or (auto) keep it when the series began "
                  "after the gateway did."),
    GW_BLOCK_FIELD(C, include, "include", choice_fields, "Only these metrics."),
    GW_BLOCK_FIELD(C, exclude, "exclude", choice_fields, "Not these metrics."),
    GW_U64_FIELD(C, max_streams, "max_streams", "1000000", 1, UINT32_MAX,
                 "Most series that are remembered, of all workers; points of others are dropped."),
    {0},
};
#undef C

/* ---- settings --------------------------------------------------------------------------------------------- */

static enum gw_metric_type type_of(const char *name)
{
    return strcasecmp(name, "sum") == 0                    ? GW_M_SUM
           : strcasecmp(name, "histogram") == 0            ? GW_M_HISTOGRAM
           : strcasecmp(name, "exponentialhistogram") == 0 ? GW_M_EXP_HISTOGRAM
                                                           : GW_M_NONE;
}

static void check_choice(const struct choice_conf *c, const char *name, const struct gw_node *node,
                         struct gw_diag *diag)
{
    const struct gw_node *at = gw_node_get(node, name);
    const struct gw_place *place = at ? &at->place : NULL;
    const char *const *texts = c->metric_types.items;

    if (c->metrics.n && !*c->match_type)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "match_type must be set if metrics are supplied");
    if (!c->metrics.n && *c->match_type)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "metrics must be supplied if match_type is set");
    for (size_t i = 0; i < c->metric_types.n; i++)
        if (type_of(texts[i]) == GW_M_NONE)
            gw_diag_add(diag, GW_DIAG_ERROR, place,
                        "found invalid metric type in %s.metric_types: %s. Valid values are [exponentialhistogram "
                        "histogram sum]",
                        name, texts[i]);
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    check_choice(&c->include, "include", node, diag);
    check_choice(&c->exclude, "exclude", node, diag);
}

static int make_choice(struct choice *ret, const struct choice_conf *c, struct gw_err *err)
{
    const char *const *texts = c->metric_types.items;

    ret->any_type = c->metric_types.n == 0;
    for (size_t i = 0; i < c->metric_types.n; i++)
        ret->types[type_of(texts[i])] = true;
    if (!c->metrics.n)
        return 0;
    ret->conf = (struct gw_match_conf){.match_type = c->match_type, .metric_names = c->metrics};
    return gw_match_new(&ret->conf, GW_METRICS, &ret->names, err);
}

/* ---- converting ------------------------------------------------------------------------------------------- */

static bool name_is(const struct choice *c, const struct gw_view *v, uint32_t row)
{
    return gw_match_row(c->names, v, row);
}

static bool is_chosen(const struct self *s, const struct gw_view *v, const struct gw_metric_desc *m, uint32_t row)
{
    bool number = m->type == GW_M_SUM && m->monotonic;

    if (m->temporality != GW_T_CUMULATIVE || (!number && m->type != GW_M_HISTOGRAM && m->type != GW_M_EXP_HISTOGRAM))
        return false;
    if (!s->include.any_type && !s->include.types[m->type])
        return false;
    if (!s->exclude.any_type && s->exclude.types[m->type])
        return false;
    return (!s->include.names || name_is(&s->include, v, row)) && !(s->exclude.names && name_is(&s->exclude, v, row));
}

static enum gw_delta convert(struct self *s, struct gw_rewrite *w, enum gw_metric_type type, uint32_t row)
{
    if (type == GW_M_SUM)
        return gw_delta_number(s->deltas, w, row);
    if (type == GW_M_HISTOGRAM)
        return gw_delta_histogram(s->deltas, w, row);
    return gw_delta_exponential(s->deltas, w, row);
}

static void convert_metric(struct self *s, struct gw_rewrite *w, uint32_t metric, uint32_t first, struct gw_ports *out)
{
    struct gw_view *v = gw_rewrite_view(w);
    const struct gw_metric_desc *m = &v->batch->metrics[metric];
    unsigned type = m->type == GW_M_SUM ? 0 : m->type == GW_M_HISTOGRAM ? 1 : 2;
    uint64_t n_made = 0;

    for (uint32_t row = first; row < m->rows.end && !v->failed; row = gw_view_next(v, row + 1)) {
        enum gw_delta rc = convert(s, w, m->type, row);

        n_made += rc == GW_DELTA_MADE;
        if (rc == GW_DELTA_MADE || rc == GW_DELTA_AS_IT_IS || v->failed)
            continue;
        gw_metric_add(s->dropped[type][rc], 1);
        gw_view_settle_row(v, out->ledger, row, GW_DROPPED, reasons[rc], NULL);
    }
    gw_metric_add(s->made[type], n_made);
    gw_rewrite_temporality(w, metric, GW_T_DELTA);
}

static void tell(struct self *s)
{
    uint64_t n = s->deltas ? gw_deltas_n(s->deltas) : 0;

    gw_metric_add(s->tracked, n - s->n_told);
    s->n_told = n;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_rewrite w;

    if (gw_ss_knows(s->state)) {
        gw_emit(out, 0, v);
        return;
    }
    if (gw_view_flatten(v) < 0)
        v->failed = true;
    gw_rewrite_begin(&w, v, s->batches);
    gw_deltas_begin(s->deltas);
    if (s->include.names)
        gw_match_begin(s->include.names);
    if (s->exclude.names)
        gw_match_begin(s->exclude.names);
    for (uint32_t i = 0; i < v->batch->n_metrics && !v->failed; i++) {
        const struct gw_metric_desc *m = &v->batch->metrics[i];
        uint32_t row = gw_view_next(v, m->rows.begin);

        if (row < m->rows.end && is_chosen(s, v, m, row))
            convert_metric(s, &w, i, row, out);
    }
    gw_rewrite_end(&w);
    tell(s);
    gw_emit(out, 0, v);
}

/* All series are looked at once in max_staleness, some of them at a time. */
static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t wall_ns = gw_wall_ns(s->ctx.env), most = s->conf->max_staleness;
    bool more;

    (void)out;
    if (most == 0 || s->state)
        return GW_DONE;
    if (s->next_sweep_ns == 0)
        s->next_sweep_ns = now_ns + most;
    if (now_ns >= s->next_sweep_ns) {
        s->next_sweep_ns = now_ns + most;
        s->sweep_before_ns = wall_ns > most ? wall_ns - most : 0;
        gw_streams_sweep_begin(&s->deltas->numbers);
        gw_streams_sweep_begin(&s->deltas->histograms);
    }
    more = gw_streams_sweep(&s->deltas->numbers, s->sweep_before_ns, SWEEP_STEP) ||
           gw_streams_sweep(&s->deltas->histograms, s->sweep_before_ns, SWEEP_STEP);
    tell(s);
    return more ? GW_MORE : GW_DONE;
}

/* ---- behind a journal -------------------------------------------------------------------------------------- */

static int parted(void *self, const struct gw_parting *by, uint64_t partitions)
{
    struct self *s = self;
    struct gw_streams *tables[] = {&s->deltas->numbers, &s->deltas->histograms};

    if (s->state) {
        s->state->partitions = partitions;
        return 0;
    }
    for (unsigned i = 0; i < 2; i++)
        tables[i]->conf.scope_attrs = gw_ss_parts_scopes(by);
    s->state = gw_ss_new(&gw_deltas_state, s->deltas, &s->ctx, tables, 2, by, partitions, 0);
    return s->state ? 0 : -ENOMEM;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t most = s->conf->max_staleness;
    int rc = GW_DONE;

    (void)out;
    gw_ss_advance(s->state, now_ns, rebuilds);
    s->deltas->begin_ns = s->state->begin_ns;
    if (most)
        rc = gw_ss_forget_stale(s->state, most, most);
    tell(s);
    return rc;
}

static const struct gw_keep_ops keep = {.unfit = gw_ss_unfit,
                                        .parted = parted,
                                        .is_fixed = true,
                                        .share = gw_ss_keep_share,
                                        .begin = gw_ss_keep_begin,
                                        .restore = gw_ss_keep_restore,
                                        .advance = advance,
                                        .save = gw_ss_keep_save,
                                        .due_ns = gw_ss_keep_due};

/* ---- life ------------------------------------------------------------------------------------------------- */

/* Series go on where they were; begin_ns too, for the gateway did not begin anew. */
static int adopt(void *self, void *old_self)
{
    struct self *s = self, *old = old_self;
    struct gw_deltas *d = s->deltas;

    gw_ss_adopt(&s->state, &old->state, &s->ctx);
    s->deltas = old->deltas;
    old->deltas = d;
    s->deltas->initial = d->initial;
    s->deltas->numbers.conf.max_streams = d->numbers.conf.max_streams;
    s->deltas->histograms.conf.max_streams = d->histograms.conf.max_streams;
    tell(old);
    tell(s);
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_metric_add(s->tracked, 0 - s->n_told);
    gw_ss_end(s->state);
    if (s->deltas)
        gw_deltas_free(s->deltas);
    free(s->deltas);
    gw_ss_free(s->state);
    gw_batch_pool_free(s->batches);
    gw_match_free(s->include.names);
    gw_match_free(s->exclude.names);
    free(s);
}

static void make_metrics(struct self *s)
{
    struct gw_meter *m = s->ctx.meter;

    s->tracked = gw_meter_get(m, GW_GAUGE, "otelcol_cumulativetodelta_streams_tracked",
                              "Number of metric streams currently tracked in memory for cumulative-to-delta "
                              "conversion.",
                              NULL, 0);
    for (unsigned t = 0; t < N_TYPES; t++) {
        struct gw_label l[] = {{"metric_type", types[t]}, {"reason", NULL}};

        s->made[t] = gw_meter_get(m, GW_COUNTER, "otelcol_cumulativetodelta_datapoints",
                                  "Number of datapoints converted from cumulative to delta temporality.", l, 1);
        for (unsigned r = GW_DELTA_RESET; r < GW_N_DELTAS; r++) {
            l[1].value = reasons[r];
            s->dropped[t][r] = gw_meter_get(m, GW_COUNTER, "otelcol_cumulativetodelta_datapoints_dropped",
                                            "Number of datapoints dropped instead of being converted.", l, 2);
        }
    }
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    struct self *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = *ctx;
    s->conf = c;
    s->deltas = calloc(1, sizeof(*s->deltas));
    s->batches = gw_batch_pool_new(KEEP_BATCHES);
    rc = s->deltas && s->batches ? 0 : gw_fail(err, -ENOMEM, "out of memory");
    if (rc == 0) {
        gw_deltas_init(s->deltas, (enum gw_initial)c->initial_value, gw_wall_ns(ctx->env),
                       gw_ss_share(ctx, c->max_streams), ctx->host ? ctx->host->memory : NULL);
        rc = make_choice(&s->include, &c->include, err);
    }
    if (rc == 0)
        rc = make_choice(&s->exclude, &c->exclude, err);
    if (rc < 0) {
        destroy(s);
        return rc;
    }
    make_metrics(s);
    *ret = s;
    return 0;
}

const struct gw_component gw_processor_cumulative_to_delta = {
    .kind = GW_PROCESSOR,
    .name = "cumulative_to_delta",
    .aliases = (const char *const[]){"cumulativetodelta", NULL},
    .summary = "Turn cumulative sums and histograms into deltas.",
    .signals = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .writes = GW_C_ROW | GW_C_BODY,
    .partition_by = "series",
    .expands = 2,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .adopt = adopt,
    .keep = &keep,
};
