/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/keep.h"

#include <stdio.h>
#include <stdlib.h>

const struct gw_intake_keep_ops gw_keep_ops_of_intake = {.place = gw_keep_place,
                                                         .begin = gw_keep_begin,
                                                         .advance = gw_keep_advance,
                                                         .due_ns = gw_keep_due_ns,
                                                         .twice = gw_keep_twice,
                                                         .ready_ns = gw_keep_ready_ns,
                                                         .pass = gw_keep_pass};

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

/* Seconds of the journal's time, a worker at a time. */
static struct gw_metric *make_lag(const struct keeping *k, struct gw_meter *m, unsigned worker)
{
    char number[16];
    const struct gw_label l[] = {{"pipeline", k->door->pipeline}, {"worker", number}};

    (void)snprintf(number, sizeof(number), "%u", worker);
    return gw_meter_get(m, GW_GAUGE, "staunch_keep_second_pass_lag_seconds",
                        "How far the second pass over the journal is behind the first one.", l, 2);
}

static bool is_twice(const struct gw_service_component *keeper)
{
    return keeper->type->keep->twice && keeper->type->keep->twice(keeper->conf);
}

static int open_logs(struct graph *g, struct keeping *k, const struct pipeline *p, const char *journal,
                     struct gw_err *err)
{
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
        gw_buf_init(&one->record, (size_t)GW_KEEP_MAX * GW_LOG_MAX_BODY_BYTES);
        if (k->is_twice)
            one->lag = make_lag(k, g->engine->conf.meter, i);
        atomic_store(&one->is_heard, true);
        atomic_store(&k->snaps[i], UINT64_MAX);
        if (!one->stage)
            return -ENOMEM;
        one->in->base.keep = &gw_keep_ops_of_intake;
        one->in->keep = one;
    }
    return 0;
}

static const char *names_of(struct gw_engine *e, const struct gw_keep_found *found)
{
    struct gw_buf b;
    const char *ret;

    gw_buf_init(&b, 1 << 16);
    for (unsigned i = 0; i < found->n; i++)
        gw_buf_printf(&b, "%s%s", i ? ", " : "", found->keepers[i]->id);
    gw_buf_put_u8(&b, 0);
    ret = b.failed ? NULL : gw_text_keep(e, (const char *)b.p);
    gw_buf_clear(&b);
    return ret;
}

/* Its name, and of one that stands there a second time, behind the connector, also its pipeline's. NULL: no memory. */
static const char *record_of(struct gw_engine *e, const struct gw_keep_found *found, unsigned i)
{
    const char *id = found->keepers[i]->id, *ret;
    bool again = false;
    struct gw_buf b;

    for (unsigned k = 0; k < i; k++)
        again |= strcmp(found->keepers[k]->id, id) == 0;
    gw_buf_init(&b, 1 << 16);
    gw_buf_put_str(&b, id);
    if (again && found->in[i])
        gw_buf_printf(&b, " in %s", found->in[i]->id);
    gw_buf_put_u8(&b, 0);
    ret = b.failed ? NULL : gw_text_keep(e, (const char *)b.p);
    gw_buf_clear(&b);
    return ret;
}

/* Of all of them. NULL: no memory. */
static char *settings_of(const struct graph *g, const struct gw_keep_found *found)
{
    struct gw_buf b;
    char *ret;

    gw_buf_init(&b, 1 << 24);
    for (unsigned i = 0; i < found->n; i++) {
        char *one = gw_settings_identity(g->service, found->keepers[i]);

        gw_buf_put_str(&b, one ? one : "");
        gw_buf_put_str(&b, "\n");
        b.failed |= !one;
        free(one);
    }
    gw_buf_put_u8(&b, 0);
    ret = b.failed ? NULL : strdup((const char *)b.p);
    gw_buf_clear(&b);
    return ret;
}

static int make(struct graph *g, struct door *d, const struct gw_keep_found *found, struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    struct keeping *k = gw_arena_zalloc(&e->arena, sizeof(*k) + e->n_workers * sizeof(k->keeps[0]));
    struct gw_err why = {""};
    int rc;

    if (k)
        k->snaps = gw_arena_zalloc(&e->arena, e->n_workers * sizeof(*k->snaps));
    if (!k || !k->snaps)
        return gw_graph_no_memory(err);
    d->keeping = k; /* from now on it is freed with the engine */
    k->door = d;
    k->is_twice = is_twice(found->keepers[0]);
    k->out = g->pipelines[found->out].id;
    for (unsigned i = 0; i < found->n; i++) {
        k->of[i].id = gw_text_keep(e, found->keepers[i]->id);
        k->of[i].pipeline = found->in[i] ? gw_text_keep(e, found->in[i]->id) : NULL;
        k->of[i].record = record_of(e, found, i);
        if (!k->of[i].record)
            return gw_graph_no_memory(err);
    }
    k->n_of = found->n;
    k->names = names_of(e, found);
    k->settings = settings_of(g, found);
    rc = k->settings && k->names ? open_logs(g, k, &g->pipelines[found->out], d->from, &why) : -ENOMEM;
    if (rc < 0)
        return gw_fail(err, rc, "pipeline %s: what %s has decided cannot be kept: %s", d->pipeline, k->names, why.text);
    make_metrics(k, e->conf.meter);
    return make_keeps(g, k) < 0 ? gw_graph_no_memory(err) : 0;
}

/* ---- a configuration -------------------------------------------------------------------------------------- */

static bool is_running(const struct door *d)
{
    return d->x.intakes[0].share != NULL;
}

static bool is_same(const struct keeping *k, const struct gw_keep_found *found)
{
    bool same = k->n_of == found->n;

    for (unsigned i = 0; i < found->n && same; i++)
        same = strcmp(k->of[i].id, found->keepers[i]->id) == 0;
    return same;
}

static bool is_fixed(const struct keeping *k, const struct gw_keep_found *found)
{
    bool fixed = k->is_twice || is_twice(found->keepers[0]);

    for (unsigned i = 0; i < found->n; i++)
        fixed |= found->keepers[i]->type->keep->is_fixed;
    return fixed;
}

/* What it wrote down is of other settings. */
static const char *why_not_now(const struct graph *g, const struct door *d, const struct gw_keep_found *found)
{
    const struct keeping *k = d->keeping;
    char *settings;
    bool same;

    if (!k)
        return is_running(d) ? "that begins with a restart" : NULL;
    if (!is_same(k, found))
        return "another processor would have to know its decisions";
    if (k->wal != g->pipelines[found->out].targets[0].wal)
        return "it is committed in another log";
    if (!is_fixed(k, found))
        return NULL;
    settings = settings_of(g, found);
    same = settings && strcmp(settings, k->settings) == 0;
    free(settings);
    return same ? NULL : "it has other settings";
}

static int build(struct graph *g, struct door *d, struct gw_err *err)
{
    struct gw_keep_found found;
    int rc = 0;

    gw_keep_find(g, d, &found);
    if (!found.n && !d->keeping)
        return 0;
    if (!found.why && found.n)
        found.why = why_not_now(g, d, &found);
    if (d->keeping && (!found.n || found.why))
        return gw_fail(err, -ENOTSUP, "pipeline %s: what %s keeps is in its log: only a restart can change that%s%s",
                       d->pipeline, d->keeping->names, found.why ? ": " : "", found.why ? found.why : "");
    for (unsigned i = 0; found.why && i < found.n; i++)
        if (is_twice(found.keepers[i]))
            return gw_fail(err, -EINVAL, "pipeline %s: %s cannot work in its mode: %s", d->pipeline,
                           found.keepers[i]->id, found.why);
    if (found.why) {
        gw_log(&g->engine->logger, GW_LOG_WARN, "pipeline %s: what %s keeps is in memory alone: %s", d->pipeline,
               found.who->id, found.why);
        return 0;
    }
    if (!d->keeping)
        rc = make(g, d, &found, err);
    g->pipelines[found.index].keeping = g->pipelines[found.out].keeping = d->keeping;
    return rc;
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
    for (struct door *d = e->doors; d; d = d->next) {
        for (unsigned i = 0; d->keeping && i < e->n_workers; i++) {
            struct keep *k = &d->keeping->keeps[i];

            gw_wal_stage_free(k->stage);
            gw_buf_clear(&k->record);
            free(k->marks);
        }
        if (d->keeping)
            free(d->keeping->settings);
    }
}

static struct node *node_in(const struct share *sh, const struct keep *k, unsigned i)
{
    const struct gw_service *s = sh->graph->service;
    const char *id = k->all->of[i].id, *pipeline = k->all->of[i].pipeline;
    const struct chain *c;

    if (!pipeline)
        return sh->joints[gw_service_find(s, GW_CONNECTOR, id)->index * GW_N_SIGNALS +
                          gw_signal_index(k->all->door->signal)];
    c = &sh->chains[gw_keep_pipeline(sh->graph, pipeline)];
    for (unsigned n = 0; n < c->n_nodes; n++)
        if (strcmp(c->nodes[n].comp->id, id) == 0)
            return &c->nodes[n];
    return NULL;
}

void gw_keep_aim(struct intake *in)
{
    struct keep *k = in->keep;

    if (!k)
        return;
    in->share->chains[gw_keep_pipeline(in->share->graph, k->all->out)].staged = k->stage;
    for (k->n_nodes = 0; k->n_nodes < k->all->n_of; k->n_nodes++) {
        k->nodes[k->n_nodes] = node_in(in->share, k, k->n_nodes);
        k->nodes[k->n_nodes]->keep = k;
    }
    if (!k->is_open) {
        k->is_open = true;
        k->next = in->worker->keeps;
        in->worker->keeps = k;
    }
}

bool gw_keep_swallows(const struct node *n)
{
    return n->keep && n->keep->rebuilds && n->comp->type->keep->share && n == n->keep->nodes[n->keep->n_nodes - 1];
}
