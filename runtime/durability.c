/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's OK means at each edge, and when the position of a pipeline behind a journal moves: in words, and as
 * metrics. */
#include "runtime/keep.h"

static enum gw_durability level_of(const struct graph *g, const char *storage)
{
    struct gw_storage st = {0};
    struct gw_err ignored;

    (void)g->engine->host.ops->storage(&g->engine->host, storage, &st, &ignored);
    return st.sync ? GW_DURABILITY_FSYNC : GW_DURABILITY_PAGE_CACHE;
}

/* Behind a journal that may survive (keep.h). */
static bool holds_rows(const struct graph *g, const struct gw_service_pipeline *p)
{
    if (g->pipelines[p->index].keeping)
        return false;
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->type->holds)
            return true;
    return false;
}

/* `behind`: of rows that come out of a journal, for which a queue in memory is not enough. */
static enum gw_durability level(const struct graph *g, const struct gw_service_pipeline *p,
                                const struct gw_service_component *c, bool behind)
{
    const struct gw_queue_settings *q = c->extra;
    const struct gw_edge *edge = gw_wals_edge(g, c);
    const char *storage = gw_service_storage_of(c);

    if (holds_rows(g, p))
        return GW_DURABILITY_MEMORY;
    if (c->kind == GW_CONNECTOR && c->type->makes && c->type->keep && g->pipelines[p->index].keeping)
        return gw_wal_syncs(g->pipelines[p->index].keeping->wal) ? GW_DURABILITY_FSYNC : GW_DURABILITY_PAGE_CACHE;
    if (c->kind == GW_CONNECTOR && c->type->makes)
        return GW_DURABILITY_MEMORY; /* as counts and sums */
    if (c->kind == GW_CONNECTOR)
        return storage ? level_of(g, storage) : GW_DURABILITY_AUTO;
    if (edge && p->durability != GW_DURABILITY_AUTO && p->durability != GW_DURABILITY_SINK)
        return p->durability;
    if (edge)
        return level_of(g, gw_edge_storage(edge));
    if (!q || !q->queue.enabled || q->queue.wait_for_result)
        return GW_DURABILITY_SINK;
    return behind && p->durability != GW_DURABILITY_MEMORY ? GW_DURABILITY_SINK : GW_DURABILITY_MEMORY;
}

static bool is_swallowed(const struct gw_service_component *c)
{
    return c->kind == GW_EXPORTER && c->type->exporter->swallow;
}

/* ---- in words --------------------------------------------------------------------------------------------- */

static void say_edge(const struct graph *g, const struct gw_service_pipeline *p, const struct gw_service_component *c,
                     struct gw_buf *out)
{
    static const char *const words[] = {"the next pipeline decides", "in memory (lost with the process)",
                                        "on disk, in the page cache (survives the process)",
                                        "on disk, synced (survives a power cut)", "the sink has it"};

    gw_buf_printf(out, "%s -> %s: OK means %s\n", p->id, c->id,
                  is_swallowed(c) ? "discarded" : words[level(g, p, c, false)]);
}

static void say_position(const struct graph *g, const struct gw_service_pipeline *p,
                         const struct gw_service_component *from, const struct gw_service_component *c,
                         struct gw_buf *out)
{
    static const char *const words[] = {
        "as the next pipeline decides", "when they are in memory (lost with the process)",
        "when they are on disk, in the page cache (survives the process)",
        "when they are on disk, synced (survives a power cut)", "when the sink has them"};

    gw_buf_printf(out, "%s -> %s: rows of %s are done %s\n", p->id, c->id, from->id,
                  is_swallowed(c) ? "at once (discarded)" : words[level(g, p, c, true)]);
}

void gw_engine_describe(const struct gw_engine *e, struct gw_buf *out)
{
    const struct gw_service *s = e->graph->service;

    for (size_t i = 0; i < s->n_pipelines; i++) {
        const struct gw_service_pipeline *p = &s->pipelines[i];

        for (size_t k = 0; k < p->n_exporters; k++) {
            if (!gw_service_is_behind_log(p))
                say_edge(e->graph, p, p->exporters[k], out);
            for (size_t r = 0; r < p->n_receivers; r++)
                if (gw_keeps_rows(p->receivers[r]))
                    say_position(e->graph, p, p->receivers[r], p->exporters[k], out);
        }
    }
}

/* ---- as metrics ------------------------------------------------------------------------------------------- */

static void set(const struct graph *g, const struct gw_service_pipeline *p, const struct gw_service_component *c,
                uint64_t value)
{
    enum gw_durability is = level(g, p, c, gw_service_is_behind_log(p));
    const struct gw_label l[] = {{"pipeline", p->id},
                                 {"exporter", c->id},
                                 {"level", is_swallowed(c)            ? "discarded"
                                           : is == GW_DURABILITY_AUTO ? "next"
                                                                      : gw_durability_name(is)}};

    gw_metric_set(gw_meter_get(g->engine->conf.meter, GW_GAUGE, "staunch_edge_durability",
                               "1: what OK means (behind a journal: when rows are done) at this edge.", l, 3),
                  value);
}

static void set_all(const struct graph *g, uint64_t value)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_pipelines; i++)
        for (size_t k = 0; k < s->pipelines[i].n_exporters; k++)
            set(g, &s->pipelines[i], s->pipelines[i].exporters[k], value);
}

void gw_durability_tell(const struct graph *g, const struct graph *before)
{
    if (before)
        set_all(before, 0);
    set_all(g, 1);
}
