/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's series as OTLP: names, units and attributes of the Collector's connector. */
#include "connectors/service_graph/service_graph.h"
#include "pipeline/ports.h"

enum { CUT_BYTES = 1 << 20 };

struct flush {
    struct gw_sg_lane *l;
    struct gw_ports *out;
    struct gw_mw w;
    uint64_t time_ns;
    uint32_t n_points;
    size_t n_bytes;
};

static int on_cut(void *arg, struct gw_slice body, uint32_t points)
{
    struct flush *f = arg;
    const struct gw_ctx *ctx = f->l->graph->ctx;

    f->n_points += points;
    f->n_bytes += body.n;
    return gw_mw_emit(f->out, NULL, body, ctx->id, gw_wall_ns(ctx->env));
}

static void write_total(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v)
{
    gw_mw_int(&f->w, p, (int64_t)v->total);
}

static void write_failed(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v)
{
    if (v->failed)
        gw_mw_int(&f->w, p, (int64_t)v->failed);
}

static void write_histogram(struct flush *f, struct gw_mw_point *p, const void *histogram)
{
    const struct gw_sg *g = f->l->graph;

    if (g->bounds.at)
        gw_mw_histogram(&f->w, p, &g->bounds, histogram);
    else
        gw_mw_exponential(&f->w, p, histogram);
}

static void write_server(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v)
{
    write_histogram(f, p, gw_sg_server(f->l->graph, v));
}

static void write_client(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v)
{
    write_histogram(f, p, gw_sg_client(f->l->graph, v));
}

static void write_group(struct flush *f, const struct gw_series_table *t, const struct gw_series_group *g,
                        void (*write)(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v))
{
    for (struct gw_series *s = g->first; s; s = s->next) {
        struct gw_sg_value *v = gw_series_value(s);
        struct gw_mw_point p = {.attrs = gw_series_key(t, s), .start_ns = s->start_ns, .time_ns = f->time_ns};

        if (v->total)
            write(f, &p, v);
    }
}

static void write_metric(struct flush *f, struct gw_slice name, bool is_sum,
                         void (*write)(struct flush *f, struct gw_mw_point *p, struct gw_sg_value *v))
{
    struct gw_sg_lane *l = f->l;
    enum gw_metric_type histogram = l->graph->bounds.at ? GW_M_HISTOGRAM : GW_M_EXP_HISTOGRAM;

    gw_mw_metric(&f->w, &(struct gw_mw_metric){.name = name,
                                               .unit = is_sum ? GW_SLICE("") : GW_SLICE("s"),
                                               .type = is_sum ? GW_M_SUM : histogram,
                                               .temporality = GW_T_CUMULATIVE,
                                               .monotonic = is_sum});
    write_group(f, &l->series, &l->group, write);
    write_group(f, &l->spill, &l->spilled, write);
}

static bool any_failed(const struct gw_series_group *g)
{
    for (struct gw_series *s = g->first; s; s = s->next)
        if (((struct gw_sg_value *)gw_series_value(s))->failed)
            return true;
    return false;
}

bool gw_sg_lane_flush(struct gw_sg_lane *l, struct gw_ports *out)
{
    const struct gw_sg *g = l->graph;
    uint64_t wall = gw_wall_ns(g->ctx->env), back = g->conf->timestamp_offset_ns;
    struct flush f = {.l = l, .out = out, .time_ns = wall > back ? wall - back : 0};

    l->is_new = false;
    if (!l->group.first && !l->spilled.first)
        return true;
    if (!gw_has_room(out, l->n_points ? l->n_points : 3 * (l->series.n + l->spill.n), l->n_bytes))
        return false;
    gw_buf_reset(&l->body);
    gw_mw_init(&f.w, &l->body, CUT_BYTES, on_cut, &f);
    gw_mw_resource(&f.w, GW_SLICE(""), GW_SLICE(""));
    gw_mw_scope(&f.w, GW_SLICE("traces_service_graph"), GW_SLICE(""));
    write_metric(&f, GW_SLICE("traces_service_graph_request_total"), true, write_total);
    if (any_failed(&l->group) || any_failed(&l->spilled))
        write_metric(&f, GW_SLICE("traces_service_graph_request_failed_total"), true, write_failed);
    write_metric(&f, GW_SLICE("traces_service_graph_request_server"), false, write_server);
    write_metric(&f, GW_SLICE("traces_service_graph_request_client"), false, write_client);
    if (gw_mw_end(&f.w) < 0)
        gw_log(&g->ctx->logger, GW_LOG_WARN, "out of memory: the metrics of a flush are not complete");
    l->n_points = f.n_points;
    l->n_bytes = f.n_bytes;
    return true;
}
