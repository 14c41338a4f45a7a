/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pipelines behind a journal have something that survives, and where what leaves it is committed:
 *
 *   journal ─► … ─► processor that keeps ─► … ─► log                          the pipeline's own
 *   journal ─► … ─► connector that keeps ─► pipeline behind it ─► log         that pipeline's
 */
#include "pipeline/parting.h"
#include "runtime/keep.h"

size_t gw_keep_pipeline(const struct graph *g, const char *id)
{
    size_t i = 0;

    while (strcmp(g->service->pipelines[i].id, id) != 0)
        i++;
    return i;
}

/* The only one of that kind, or NULL; *ret_other: another one keeps rows. */
static const struct gw_service_component *keeper_of(const struct gw_service_pipeline *p, bool *ret_other)
{
    const struct gw_service_component *keeper = NULL;

    *ret_other = false;
    for (size_t i = 0; i < p->n_processors; i++) {
        if (p->processors[i]->type->keep && !keeper)
            keeper = p->processors[i];
        else if (p->processors[i]->type->holds)
            *ret_other = true;
    }
    for (size_t i = 0; i < p->n_exporters; i++) {
        if (p->exporters[i]->kind != GW_CONNECTOR || !p->exporters[i]->type->keep)
            continue;
        if (keeper)
            *ret_other = true;
        else
            keeper = p->exporters[i];
    }
    return keeper;
}

static bool exports_to(const struct gw_service_pipeline *p, const struct gw_service_component *c)
{
    for (size_t i = 0; i < p->n_exporters; i++)
        if (p->exporters[i] == c)
            return true;
    return false;
}

static bool holds_rows(const struct gw_service_pipeline *p)
{
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->type->holds)
            return true;
    return false;
}

/* The pipeline behind a connector. */
static const char *find_behind(const struct graph *g, const struct gw_service_pipeline *p, struct gw_keep_found *f)
{
    const struct gw_service *s = g->service;
    unsigned n_before = 0, n_behind = 0;

    for (size_t i = 0; i < s->n_pipelines; i++) {
        n_before += exports_to(&s->pipelines[i], f->keeper);
        if (gw_graph_feeds(&s->pipelines[i], f->keeper)) {
            f->out = i;
            n_behind++;
        }
    }
    if (p->n_exporters != 1)
        return "the pipeline has other exporters, too";
    if (n_before != 1)
        return "other pipelines end in it, too";
    if (n_behind != 1)
        return "not exactly one pipeline begins with it";
    if (s->pipelines[f->out].n_receivers != 1)
        return "the pipeline behind it has other receivers, too";
    return holds_rows(&s->pipelines[f->out]) ? "the pipeline behind it keeps rows, too" : NULL;
}

static const char *unfit(const struct graph *g, const struct gw_service_pipeline *p, const struct door *d,
                         const struct gw_service_component *keeper)
{
    const struct gw_service_component *journal = gw_service_find(g->service, GW_CONNECTOR, d->from);
    const char *by = journal->type->partitioned ? journal->type->partitioned(journal->conf) : NULL;
    struct gw_parting parting = {0};

    if (!keeper->type->keep->unfit)
        return by && strcmp(by, "trace_id") == 0 ? NULL : "the journal is not partitioned by trace_id";
    if (!journal->type->parting)
        return "its rows have no partitions";
    journal->type->parting(journal->conf, &parting);
    return keeper->type->keep->unfit(keeper->conf, p->signal, &parting, g->engine->n_workers);
}

static const char *why_not(const struct graph *g, const struct gw_service_pipeline *p, const struct door *d,
                           struct gw_keep_found *f)
{
    const char *why = unfit(g, p, d, f->keeper);
    const struct pipeline *built;

    if (!why && f->keeper->kind == GW_CONNECTOR)
        why = find_behind(g, p, f);
    built = &g->pipelines[f->out];
    if (why)
        return why;
    if (p->n_receivers != 1)
        return "the pipeline has other receivers, too";
    if (built->n_targets != 1 || built->targets[0].kind != TO_LOG)
        return "not all exporters have a sending_queue in one storage";
    if (built->conf->durability == GW_DURABILITY_MEMORY)
        return "the pipeline's durability is memory";
    return NULL;
}

void gw_keep_find(const struct graph *g, const struct door *d, struct gw_keep_found *ret)
{
    size_t index = gw_keep_pipeline(g, d->pipeline);
    const struct gw_service_pipeline *p = &g->service->pipelines[index];
    bool other;

    *ret = (struct gw_keep_found){.index = index, .out = index};
    ret->keeper = keeper_of(p, &other);
    if (other)
        ret->why = "another processor of the pipeline keeps rows, too";
    else if (ret->keeper)
        ret->why = why_not(g, p, d, ret);
}
