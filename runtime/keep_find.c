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

/* Why not: NULL, or there are too many. */
static const char *add(struct gw_keep_found *f, const struct gw_service_component *c,
                       const struct gw_service_pipeline *in)
{
    if (!c->type->keep)
        return NULL;
    if (f->n == GW_KEEP_MAX)
        return "too many components of the pipeline keep something";
    f->keepers[f->n] = c;
    f->in[f->n++] = in;
    return NULL;
}

static const char *add_processors(struct gw_keep_found *f, const struct gw_service_pipeline *p)
{
    const char *why = NULL;

    for (size_t i = 0; i < p->n_processors && !why; i++)
        why = add(f, p->processors[i], p);
    return why;
}

/* The connector in which it ends, when that keeps something. */
static const struct gw_service_component *connector_of(const struct gw_service_pipeline *p)
{
    for (size_t i = 0; i < p->n_exporters; i++)
        if (p->exporters[i]->kind == GW_CONNECTOR && p->exporters[i]->type->keep)
            return p->exporters[i];
    return NULL;
}

static bool exports_to(const struct gw_service_pipeline *p, const struct gw_service_component *c)
{
    for (size_t i = 0; i < p->n_exporters; i++)
        if (p->exporters[i] == c)
            return true;
    return false;
}

/* Of those that keep rows: can they survive together? */
static const char *why_not_together(const struct gw_service_pipeline *p, struct gw_keep_found *f)
{
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->type->holds && !p->processors[i]->type->keep)
            return "another processor of the pipeline keeps rows, too";
    for (unsigned i = 0; i < f->n && f->n > 1; i++)
        if (!f->keepers[i]->type->keep->share) {
            f->who = f->keepers[i];
            return "it must be the only one that keeps something between the journal and the exporters";
        }
    return NULL;
}

/* The pipeline behind a connector. */
static const char *find_behind(const struct graph *g, const struct gw_service_pipeline *p,
                               const struct gw_service_component *connector, struct gw_keep_found *f)
{
    const struct gw_service *s = g->service;
    unsigned n_before = 0, n_behind = 0;

    for (size_t i = 0; i < s->n_pipelines; i++) {
        n_before += exports_to(&s->pipelines[i], connector);
        if (gw_graph_feeds(&s->pipelines[i], connector)) {
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
    return add_processors(f, &s->pipelines[f->out]);
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

/* The one that cannot is in f->who. */
static const char *all_unfit(const struct graph *g, const struct gw_service_pipeline *p, const struct door *d,
                             struct gw_keep_found *f)
{
    const char *why = NULL;

    for (unsigned i = 0; i < f->n && !why; i++) {
        f->who = f->keepers[i];
        why = unfit(g, f->in[i] ? f->in[i] : p, d, f->who);
    }
    return why;
}

static const char *why_not(const struct graph *g, const struct gw_service_pipeline *p, const struct door *d,
                           struct gw_keep_found *f)
{
    const struct gw_service_component *connector = connector_of(p);
    const struct pipeline *built;
    const char *why = add_processors(f, p);

    if (!why && connector)
        why = add(f, connector, NULL);
    f->who = connector ? connector : f->keepers[0];
    if (!why && connector)
        why = find_behind(g, p, connector, f);
    if (f->n == 0)
        return NULL;
    if (!why)
        why = why_not_together(p, f);
    if (!why)
        why = all_unfit(g, p, d, f);
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

    *ret = (struct gw_keep_found){.index = index, .out = index};
    ret->why = why_not(g, &g->service->pipelines[index], d, ret);
}

bool gw_keep_is_connector(const struct graph *g, const struct gw_service_component *c)
{
    for (unsigned i = 0; i < g->n_doors && c->kind == GW_CONNECTOR; i++) {
        const struct keeping *k = g->doors[i]->keeping;

        for (unsigned n = 0; k && n < k->n_of; n++)
            if (!k->of[n].pipeline && strcmp(k->of[n].id, c->id) == 0)
                return true;
    }
    return false;
}
