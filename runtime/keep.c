/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/keep.h"

#include <stdio.h>
#include <stdlib.h>

const struct gw_intake_keep_ops gw_keep_ops_of_intake = {
    .place = gw_keep_place, .begin = gw_keep_begin, .advance = gw_keep_advance, .due_ns = gw_keep_due_ns};

/* ---- which pipelines -------------------------------------------------------------------------------------- */

static size_t pipeline_of(const struct graph *g, const struct door *d)
{
    size_t i = 0;

    while (strcmp(g->service->pipelines[i].id, d->pipeline) != 0)
        i++;
    return i;
}

/* The one processor that keeps rows, or NULL with a word why not. */
static const struct gw_service_component *keeper_of(const struct gw_service_pipeline *p, const char **ret_why)
{
    const struct gw_service_component *keeper = NULL, *other = NULL;

    for (size_t i = 0; i < p->n_processors; i++) {
        if (p->processors[i]->type->keep && !keeper)
            keeper = p->processors[i];
        else if (p->processors[i]->type->holds)
            other = p->processors[i];
    }
    *ret_why = other ? "another processor of the pipeline keeps rows, too" : NULL;
    return keeper;
}

static const char *why_not(const struct graph *g, const struct gw_service_pipeline *p,
                           const struct gw_service_component *journal)
{
    const struct pipeline *built = &g->pipelines[p->index];
    const char *by = journal->type->partitioned ? journal->type->partitioned(journal->conf) : NULL;

    if (!by || strcmp(by, "trace_id") != 0)
        return "the journal is not partitioned by trace_id";
    if (p->n_receivers != 1)
        return "the pipeline has other receivers, too";
    if (built->n_targets != 1 || built->targets[0].kind != TO_LOG)
        return "not all exporters have a sending_queue in one storage";
    if (p->durability == GW_DURABILITY_MEMORY)
        return "the pipeline's durability is memory";
    return NULL;
}

/* ---- making ----------------------------------------------------------------------------------------------- */

static void make_metrics(struct keeping *k, struct gw_meter *m)
{
    const struct gw_label l[] = {{"pipeline", k->door->pipeline}};

    k->commits = gw_meter_get(m, GW_COUNTER, "staunch_keep_commits",
                              "Commits of decisions, kept rows and places of a pipeline behind a journal.", l, 1);
    k->failed =
        gw_meter_get(m, GW_COUNTER, "staunch_keep_failed_commits", "Of these, those that were tried again.", l, 1);
    k->records = gw_meter_get(m, GW_COUNTER, "staunch_keep_record_bytes", "Written to the log of decisions.", l, 1);
    k->restored = gw_meter_get(m, GW_COUNTER, "staunch_keep_restored_bytes",
                               "Read from the log of decisions at the start.", l, 1);
}

static int open_logs(struct graph *g, struct keeping *k, const char *journal, struct gw_err *err)
{
    const struct pipeline *p = &g->pipelines[pipeline_of(g, k->door)];
    const struct gw_host_log what = {
        .storage = gw_edge_storage(p->targets[0].ways[0].edge), .kind = "decisions", .name = k->door->pipeline};
    char name[GW_LOG_MAX_NAME_BYTES + 1];
    int rc = g->engine->host.ops->log(&g->engine->host, &what, &k->decisions, err);

    k->wal = p->targets[0].wal;
    (void)snprintf(name, sizeof(name), "#places/%s", journal);
    if (rc == 0)
        rc = gw_log_consumer_open(gw_wal_log(k->wal), name, GW_LOG_FROM_END, &k->consumer);
    return rc;
}

static int make_keeps(struct graph *g, struct keeping *k)
{
    for (unsigned i = 0; i < g->engine->n_workers; i++) {
        struct keep *one = &k->keeps[i];

        one->all = k;
        one->in = &k->door->x.intakes[i];
        one->stage = gw_wal_stage_new(k->wal);
        one->stream = gw_random_u64(g->engine->conf.env);
        gw_buf_init(&one->record, GW_LOG_MAX_BODY_BYTES);
        atomic_store(&one->is_heard, true);
        atomic_store(&k->snaps[i], UINT64_MAX);
        if (!one->stage)
            return -ENOMEM;
        one->in->base.keep = &gw_keep_ops_of_intake;
        one->in->keep = one;
    }
    return 0;
}

static int make(struct graph *g, struct door *d, const struct gw_service_component *keeper, struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    struct keeping *k = gw_arena_zalloc(&e->arena, sizeof(*k) + e->n_workers * sizeof(k->keeps[0]));
    struct gw_err why = {""};
    int rc;

    if (k)
        k->snaps = gw_arena_zalloc(&e->arena, e->n_workers * sizeof(*k->snaps));
    if (!k || !k->snaps)
        return gw_graph_no_memory(err);
    k->door = d;
    k->processor = gw_text_keep(e, keeper->id);
    rc = open_logs(g, k, d->from, &why);
    if (rc < 0)
        return gw_fail(err, rc, "pipeline %s: what %s has decided cannot be kept: %s", d->pipeline, keeper->id,
                       why.text);
    make_metrics(k, e->conf.meter);
    d->keeping = k; /* from now on it is freed with the engine */
    return make_keeps(g, k) < 0 ? gw_graph_no_memory(err) : 0;
}

/* ---- a configuration -------------------------------------------------------------------------------------- */

static bool is_running(const struct door *d)
{
    return d->x.intakes[0].share != NULL;
}

static int build(struct graph *g, struct door *d, struct gw_err *err)
{
    const struct gw_service_component *journal = gw_service_find(g->service, GW_CONNECTOR, d->from), *keeper;
    size_t index = pipeline_of(g, d);
    const struct gw_service_pipeline *p = &g->service->pipelines[index];
    const char *why;

    keeper = keeper_of(p, &why);
    if (!keeper && !d->keeping)
        return 0;
    if (!why && keeper)
        why = why_not(g, p, journal);
    if (!why && d->keeping && strcmp(keeper->id, d->keeping->processor) != 0)
        why = "another processor would have to know its decisions";
    if (d->keeping && (!keeper || why || d->keeping->wal != g->pipelines[index].targets[0].wal))
        return gw_fail(err, -ENOTSUP, "pipeline %s: what %s keeps is in its log: only a restart can change that%s%s",
                       d->pipeline, d->keeping->processor, why ? ": " : "", why ? why : "");
    if (!why && !d->keeping && is_running(d))
        why = "that begins with a restart";
    if (why) {
        gw_log(&g->engine->logger, GW_LOG_WARN, "pipeline %s: what waits in %s is in memory alone: %s", d->pipeline,
               keeper->id, why);
        return 0;
    }
    if (!d->keeping) {
        int rc = make(g, d, keeper, err);

        if (rc < 0)
            return rc;
    }
    g->pipelines[index].keeping = d->keeping;
    return 0;
}

int gw_keeps_build(struct graph *g, struct gw_err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < g->n_doors && rc == 0; i++)
        if (g->doors[i]->from && g->doors[i]->behind && !g->engine->conf.without_receivers)
            rc = build(g, g->doors[i], err);
    return rc;
}

void gw_keeps_forget(struct gw_engine *e)
{
    for (struct door *d = e->doors; d; d = d->next)
        for (unsigned i = 0; d->keeping && i < e->n_workers; i++)
            if (atomic_load(&d->keeping->keeps[i].is_heard)) {
                gw_wal_stage_free(d->keeping->keeps[i].stage);
                d->keeping->keeps[i].stage = NULL;
            }
}

void gw_keeps_free(struct gw_engine *e)
{
    for (struct door *d = e->doors; d; d = d->next)
        for (unsigned i = 0; d->keeping && i < e->n_workers; i++) {
            struct keep *k = &d->keeping->keeps[i];

            gw_wal_stage_free(k->stage);
            gw_buf_clear(&k->record);
            free(k->marks);
        }
}

static struct node *node_in(const struct share *sh, const struct keep *k)
{
    struct chain *c = &sh->chains[pipeline_of(sh->graph, k->all->door)];

    c->staged = k->stage;
    for (unsigned i = 0; i < c->n_nodes; i++)
        if (c->nodes[i].comp->type->keep)
            return &c->nodes[i];
    return NULL;
}

void gw_keep_aim(struct intake *in)
{
    struct keep *k = in->keep;

    if (!k)
        return;
    k->node = node_in(in->share, k);
    if (!k->is_open) {
        k->is_open = true;
        k->next = in->worker->keeps;
        in->worker->keeps = k;
    }
}
