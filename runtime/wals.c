/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues on disk: one log a pipeline and storage, before all exporters of the pipeline that name it. They belong to the
 * engine, because a log that is open is the process', whatever graph uses it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/queue_settings.h"
#include "runtime/graph.h"

struct wal {
    struct wal *next;
    const char *kind, *name, *storage;
    struct gw_wal *wal;
};

static const char *keep(struct gw_engine *e, const char *text)
{
    return (const char *)gw_arena_dup(&e->arena, gw_slice_of(text, strlen(text) + 1)).p;
}

static struct gw_wal *find(const struct gw_engine *e, const struct gw_host_log *what)
{
    for (struct wal *w = e->wals; w; w = w->next)
        if (strcmp(w->name, what->name) == 0 && strcmp(w->kind, what->kind) == 0 &&
            strcmp(w->storage, what->storage) == 0)
            return w->wal;
    return NULL;
}

static int add(struct gw_engine *e, const struct gw_host_log *what, struct gw_wal *wal, struct gw_err *err)
{
    struct wal *w = gw_arena_zalloc(&e->arena, sizeof(*w));

    if (w)
        *w = (struct wal){e->wals, keep(e, what->kind), keep(e, what->name), keep(e, what->storage), wal};
    if (!w || !w->kind || !w->name || !w->storage) {
        gw_wal_free(wal);
        return gw_graph_no_memory(err);
    }
    e->wals = w;
    return 0;
}

static int open_wal(struct graph *g, const struct gw_host_log *what, struct gw_wal_conf *conf, struct gw_wal **ret,
                    struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    int rc;

    *ret = find(e, what);
    if (*ret) {
        gw_wal_set_batching(*ret, conf->batching);
        return 0;
    }
    rc = e->host.ops->log(&e->host, what, &conf->log, err);
    if (rc < 0)
        return rc;
    conf->flight = e->host.ops->flight(&e->host, conf->log, &conf->flight_log);
    conf->env = e->conf.env;
    conf->memory = &e->memory;
    conf->meter = e->conf.meter;
    conf->logger = (struct gw_logger){.sink = e->conf.log, .kind = "queue", .id = keep(e, what->name)};
    conf->pipeline = strcmp(what->kind, "queue") == 0 ? conf->logger.id : NULL;
    if (!conf->logger.id || gw_wal_new(conf, ret) < 0)
        return gw_graph_no_memory(err);
    return add(e, what, *ret, err);
}

/* ---- pipelines -------------------------------------------------------------------------------------------- */

struct gw_edge *gw_wals_edge(const struct graph *g, const struct gw_service_component *c)
{
    struct gw_edge *e = g->instances[c->index] ? g->instances[c->index]->edge : NULL;

    return e && gw_edge_is_durable(e) && gw_edge_needs_thread(e) ? e : NULL;
}

/* What stored means. */
static int pipeline_level(struct graph *g, const struct pipeline *p, const char *storage, bool *ret_sync,
                          bool *ret_early, struct gw_err *err)
{
    struct gw_storage st = {0};
    int rc = g->engine->host.ops->storage(&g->engine->host, storage, &st, err);

    *ret_sync = p->conf->durability == GW_DURABILITY_FSYNC || (p->conf->durability == GW_DURABILITY_AUTO && st.sync);
    *ret_early = p->conf->durability == GW_DURABILITY_MEMORY;
    return rc;
}

/* The log of those exporters of the pipeline that name the storage. */
static int open_pipeline(struct graph *g, struct pipeline *p, const char *storage, struct gw_wal **ret,
                         struct gw_err *err)
{
    const struct gw_host_log what = {
        .storage = storage, .kind = "queue", .name = p->conf->id, .retention = {.until_settled = true}};
    struct gw_wal_conf conf = {.signal = p->conf->signal, .batching = p->batching};
    int rc = pipeline_level(g, p, storage, &conf.sync, &conf.early, err);

    return rc < 0 ? rc : open_wal(g, &what, &conf, ret, err);
}

static int join(struct graph *g, struct pipeline *p, const struct gw_service_component *c, struct gw_edge *edge,
                struct gw_err *err)
{
    unsigned index = c->index * GW_N_SIGNALS + gw_signal_index(p->conf->signal), i = 0;
    struct gw_err why = {""};
    struct gw_wal *wal;
    struct target *t;
    int rc = open_pipeline(g, p, gw_edge_storage(edge), &wal, &why);

    if (rc == 0)
        rc = gw_wal_add_edge(wal, edge, &why);
    if (rc < 0)
        return gw_fail(err, rc, "exporter %s: sending_queue::storage: %s", c->id, why.text);
    while (i < p->n_targets && p->targets[i].wal != wal)
        i++;
    t = &p->targets[i];
    if (i == p->n_targets) {
        *t = (struct target){
            .kind = TO_LOG, .wal = wal, .ways = gw_graph_alloc(g, p->conf->n_exporters * sizeof(*t->ways))};
        p->n_targets++;
    }
    if (!t->ways)
        return gw_graph_no_memory(err);
    t->ways[t->n_ways++] = (struct gw_wal_way){edge, index};
    return 0;
}

int gw_wals_build(struct graph *g, struct pipeline *p, struct gw_err *err)
{
    int rc = 0;

    for (size_t k = 0; k < p->conf->n_exporters && rc == 0; k++) {
        const struct gw_service_component *c = p->conf->exporters[k];
        struct gw_edge *edge = gw_wals_edge(g, c);

        if (edge)
            rc = join(g, p, c, edge, err);
        else
            p->targets[p->n_targets++] = gw_graph_target(c, p->batching);
    }
    return rc;
}

void gw_wals_take_levels(struct graph *g)
{
    for (size_t i = 0; i < g->service->n_pipelines; i++)
        for (unsigned t = 0; t < g->pipelines[i].n_targets; t++) {
            const struct target *to = &g->pipelines[i].targets[t];
            struct gw_err ignored;
            bool sync, early;

            if (to->kind == TO_LOG &&
                pipeline_level(g, &g->pipelines[i], gw_edge_storage(to->ways[0].edge), &sync, &early, &ignored) == 0)
                gw_wal_update(to->wal, sync, early);
        }
}

/* ---- ports ------------------------------------------------------------------------------------------------ */

static int open_port(struct graph *g, const struct gw_service_component *c, struct gw_edge *edge, enum gw_signal s,
                     struct gw_err *err)
{
    const struct gw_host_log what = {
        .storage = gw_edge_storage(edge), .kind = "ports", .name = c->id, .retention = {.until_settled = true}};
    struct gw_wal_conf conf = {.signal = s};
    struct gw_err why = {""};
    struct gw_wal *wal;
    int rc = open_wal(g, &what, &conf, &wal, &why);

    if (rc == 0)
        rc = gw_wal_add_edge(wal, edge, &why);
    if (rc < 0)
        return gw_fail(err, rc, "exporter %s: sending_queue::storage: %s", c->id, why.text);
    gw_edge_set_own_wal(edge, s, wal);
    return 0;
}

static bool is_target(const struct gw_service_component *from, const struct gw_service_component *to)
{
    for (size_t p = 0; p < from->n_ports; p++)
        for (size_t t = 0; t < from->ports[p].n_targets; t++)
            if (from->ports[p].targets[t] == to)
                return true;
    return false;
}

/* Only dead letters, which are logs, come that way today. */
int gw_wals_build_ports(struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    int rc = 0;

    for (size_t i = 0; i < s->n_components; i++) {
        struct gw_edge *edge = gw_wals_edge(g, &s->components[i]);
        bool reached = false;

        for (size_t k = 0; edge && k < s->n_components; k++)
            reached |= s->components[k].is_used && is_target(&s->components[k], &s->components[i]);
        if (reached && (rc = open_port(g, &s->components[i], edge, GW_LOGS, err)) < 0)
            return rc;
    }
    return 0;
}

/* ---- the rest --------------------------------------------------------------------------------------------- */

bool gw_wals_are_idle(const struct gw_engine *e)
{
    for (const struct wal *w = e->wals; w; w = w->next)
        if (gw_wal_pending(w->wal))
            return false;
    return true;
}

void gw_wals_retire(struct gw_engine *e, const struct gw_edge *edge)
{
    for (struct wal *w = e->wals; w; w = w->next)
        gw_wal_retire_edge(w->wal, edge);
}

bool gw_wals_heritage(struct gw_engine *e, const struct gw_edge *edge, enum gw_wal_heritage *ret, bool *ret_more)
{
    enum gw_wal_heritage one;
    bool any = false, more;

    *ret = GW_WAL_NO_HEIR;
    *ret_more = false;
    for (struct wal *w = e->wals; w; w = w->next)
        if (gw_wal_heritage(w->wal, edge, &one, &more)) {
            any = true;
            *ret = one == GW_WAL_HEIR ? GW_WAL_HEIR : *ret;
            *ret_more |= more;
        }
    return any;
}

/* ---- orphans ---------------------------------------------------------------------------------------------- */

struct orphans {
    const struct gw_engine *engine;
    const char *name, *directory; /* of the log; of the storage */
    const char *kind, *what;      /* of a folder that nobody opens, and of which more is said than its path */
    struct gw_log_stats st;
};

static void name_consumer(void *arg, const struct gw_log_consumer *c)
{
    const struct orphans *o = arg;
    uint64_t rows = o->st.end_row - c->low_row - c->ahead_rows;

    if (!c->is_open && rows && c->name[0] != '#')
        gw_log(&o->engine->logger, GW_LOG_WARN,
               "queue %s: %llu items wait on disk for \"%s\", which is not an exporter of it any more: they keep their "
               "disk space until it is one again, or \"staunch queue release %s %s\"",
               o->name, (unsigned long long)rows, c->name, o->name, c->name);
}

/* One that was discarded is nobody's trouble. */
static bool has_rows(const struct orphans *o, const char *path)
{
    const struct gw_log_files_conf conf = {.env = o->engine->conf.env, .dir = path, .read_only = true};
    struct gw_log_stats st;
    struct gw_err ignored;
    struct gw_log *log;

    if (gw_log_files_open(&conf, &log, &ignored) < 0)
        return true;
    gw_log_stats(log, &st);
    gw_log_close(log);
    return st.end_row > st.first_row;
}

static void name_folder(void *arg, const char *entry)
{
    const struct orphans *o = arg;
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/%s/%s", o->directory, o->kind, entry);
    if (!gw_logs_has_folder(o->engine, path) && has_rows(o, path))
        gw_log(&o->engine->logger, GW_LOG_WARN, "%s: %s (staunch queue ls)", path, o->what);
}

static void name_folders(struct orphans *o, const char *kind, const char *what)
{
    char path[1024];

    o->kind = kind;
    o->what = what;
    (void)snprintf(path, sizeof(path), "%s/%s", o->directory, kind);
    (void)o->engine->conf.env->ops->dir_list(o->engine->conf.env, path, name_folder, o);
}

void gw_wals_name_orphans(const struct gw_engine *e)
{
    const struct gw_service *s = e->graph->service;
    struct orphans o = {.engine = e};

    for (const struct wal *w = e->wals; w; w = w->next) {
        o.name = w->name;
        gw_log_stats(gw_wal_log(w->wal), &o.st);
        (void)gw_log_consumers(gw_wal_log(w->wal), name_consumer, &o);
    }
    for (size_t i = 0; i < s->n_extensions; i++) {
        const struct gw_service_component *c = s->extensions[i];
        struct gw_storage st = {0};

        if (!c->type->storage)
            continue;
        c->type->storage->get(e->graph->instances[c->index]->self, &st);
        o.directory = st.directory;
        name_folders(&o, "queue",
                     "the queue of a pipeline that is not configured, or has no exporter with a queue on disk: what "
                     "waits there is not sent");
        name_folders(&o, "journal", "a journal that is not configured: its rows stay, whatever its retention was");
    }
}

void gw_wals_forget(struct gw_engine *e, const struct gw_edge *edge)
{
    for (struct wal *w = e->wals; w; w = w->next)
        gw_wal_remove_edge(w->wal, edge);
}

void gw_wals_cut_rest(const struct gw_engine *e, struct gw_cut *cut)
{
    for (struct wal *w = e->wals; w; w = w->next)
        gw_wal_cut_rest(w->wal, cut);
}

void gw_wals_free(struct gw_engine *e)
{
    for (struct wal *w = e->wals; w; w = w->next)
        gw_wal_free(w->wal);
    e->wals = NULL;
}
