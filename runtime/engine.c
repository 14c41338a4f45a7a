/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/keep.h"

enum { STACK_BYTES = 512 << 10, MAX_ENGINE_BYTES = 64 << 20, HARD_PERCENT = 80, SOFT_PERCENT = 65 };

static unsigned usable_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* A number in a small file, or 0: "max" and what is not there mean no limit. */
static uint64_t read_number(struct gw_env *env, const char *path)
{
    uint64_t v;
    char *text;
    size_t n;

    if (gw_env_read_file(env, path, 64, &text, &n, NULL) < 0)
        return 0;
    v = strtoull(text, NULL, 10);
    free(text);
    return v;
}

static uint64_t machine_bytes(struct gw_env *env)
{
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    for (unsigned i = 0; i < 2; i++) {
        uint64_t v = read_number(env, limits[i]);

        if (v && v < least)
            least = v;
    }
    return least;
}

static int make_workers(struct gw_engine *e, struct gw_err *err)
{
    int rc = 0;

    gw_arena_init(&e->arena, 16384, MAX_ENGINE_BYTES);
    e->workers = gw_arena_zalloc(&e->arena, e->n_workers * sizeof(*e->workers));
    if (!e->workers)
        return gw_fail(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < e->n_workers && rc == 0; i++)
        rc = gw_worker_init(&e->workers[i], e, i, err);
    return rc;
}

static int make_first(struct gw_engine *e, struct gw_err *err)
{
    const struct gw_engine_source given = {.service = e->conf.service};
    struct source *source = gw_source_new(&given);
    int rc = source ? gw_graph_build(e, source, NULL, &e->graph, err) : gw_fail(err, -ENOMEM, "out of memory");

    gw_source_unref(source);
    return rc;
}

void gw_engine_limit_memory(struct gw_engine *e, uint64_t bytes)
{
    if (bytes == 0)
        bytes = machine_bytes(e->conf.env);
    atomic_store(&e->memory.soft_bytes, bytes / 100 * SOFT_PERCENT);
    atomic_store(&e->memory.hard_bytes, bytes / 100 * HARD_PERCENT);
}

int gw_engine_new(const struct gw_engine_conf *conf, struct gw_engine **ret, struct gw_err *err)
{
    struct gw_engine *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return gw_fail(err, -ENOMEM, "out of memory");
    e->conf = *conf;
    e->alarms = gw_alarms_new();
    e->n_workers = conf->n_workers ? conf->n_workers : usable_cpus();
    e->host = (struct gw_host){.ops = &gw_host_ops,
                               .memory = &e->memory,
                               .listeners = &e->listeners,
                               .alarms = e->alarms,
                               .for_replay = conf->without_receivers};
    e->logger = (struct gw_logger){.sink = conf->log};
    e->started_ns = gw_wall_ns(conf->env);
    gw_credit_init(&e->memory, 0, 0);
    gw_engine_limit_memory(e, conf->memory_bytes);
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->reported, NULL);
    e->instances_last = &e->instances;
    e->samples = gw_samples_new();
    (void)gw_books_init(&e->books, e->n_workers);
    gw_ledger_init(e);
    rc = e->samples && e->alarms ? make_workers(e, err) : gw_fail(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = make_first(e, err);
    if (rc < 0) {
        gw_engine_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void gw_engine_free(struct gw_engine *e)
{
    if (!e)
        return;
    for (struct graph *g = e->leaving; g; g = g->next)
        gw_graph_free_shares(g);
    gw_graph_free_shares(e->graph);
    if (!e->has_started)
        gw_logs_withdraw(e);
    gw_logs_close(e); /* its last commits' done may still look at edges */
    gw_keeps_free(e);
    gw_wals_free(e);
    for (struct graph *g = e->leaving, *next; g; g = next) {
        next = g->next;
        gw_graph_free(g);
    }
    gw_graph_free(e->graph);
    while (e->instances) /* storages that no configuration names any more */
        gw_instance_free(e->instances);
    for (unsigned i = 0; e->workers && i < e->n_workers; i++)
        gw_worker_free(&e->workers[i]);
    gw_doors_free(e);
    gw_ledger_clear(e);
    gw_arena_clear(&e->arena);
    (void)pthread_mutex_destroy(&e->lock);
    (void)pthread_cond_destroy(&e->reported);
    gw_samples_free(e->samples);
    gw_alarms_free(e->alarms);
    free(e);
}

/* ---- threads ---------------------------------------------------------------------------------------------- */

bool gw_engine_is_sender(const struct instance *x)
{
    return x->edge && gw_edge_needs_thread(x->edge);
}

static int start_thread(pthread_t *t, bool *ret_has, void *(*run)(void *), void *arg, const char *name,
                        struct gw_err *err)
{
    pthread_attr_t attr;
    char shown[16];
    int rc;

    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    rc = pthread_create(t, &attr, run, arg);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0)
        return gw_fail(err, -rc, "cannot start a thread: %s", strerror(rc));
    strncpy(shown, name, sizeof(shown) - 1); /* the kernel keeps fifteen */
    shown[sizeof(shown) - 1] = 0;
    (void)pthread_setname_np(*t, shown);
    *ret_has = true;
    return 0;
}

bool gw_engine_wait(struct gw_engine *e, unsigned n)
{
    bool ok;

    (void)pthread_mutex_lock(&e->lock);
    while (e->n_reported < n)
        (void)pthread_cond_wait(&e->reported, &e->lock);
    ok = !e->any_failed;
    e->any_failed = false;
    e->n_reported = 0;
    (void)pthread_mutex_unlock(&e->lock);
    return ok;
}

static void work_logs(struct gw_hook *h)
{
    gw_logs_work(((struct instance *)((char *)h - offsetof(struct instance, logs_hook)))->engine);
}

int gw_engine_start_exporters(struct gw_engine *e, struct gw_err *err)
{
    unsigned started = 0;
    int rc = 0;

    for (struct instance *x = e->instances; x && rc == 0; x = x->next) {
        if (!gw_engine_is_sender(x) || x->is_open || x->is_closed)
            continue;
        if (e->conf.by_hand) {
            rc = gw_loop_new(e->conf.env, &x->loop, err);
            if (rc == 0)
                rc = gw_edge_open(x->edge, x->loop, err);
            x->is_open = rc == 0;
            x->logs_hook.run = work_logs;
            if (rc == 0)
                gw_loop_add_hook(x->loop, &x->logs_hook);
            continue;
        }
        rc = start_thread(&x->thread, &x->has_thread, gw_exporter_main, x, x->comp->id, err);
        started += rc == 0;
    }
    if (!gw_engine_wait(e, started) && rc == 0)
        for (struct instance *x = e->instances; x; x = x->next)
            if (x->has_thread && !x->is_open)
                return gw_fail(err, -EIO, "exporter %s: %s", x->comp->id, x->err.text);
    return rc;
}

static int start_workers(struct gw_engine *e, struct gw_err *err)
{
    unsigned started = 0;
    char name[32];
    int rc = 0;

    for (unsigned i = 0; i < e->n_workers && rc == 0; i++) {
        if (e->conf.by_hand) {
            rc = gw_worker_open(&e->workers[i], err);
            continue;
        }
        (void)snprintf(name, sizeof(name), "worker/%u", i);
        rc = start_thread(&e->workers[i].thread, &e->workers[i].has_thread, gw_worker_main, &e->workers[i], name, err);
        started += rc == 0;
    }
    if (!gw_engine_wait(e, started) && rc == 0)
        for (unsigned i = 0; i < e->n_workers; i++)
            if (e->workers[i].seen != RUNNING)
                return gw_fail(err, -EADDRINUSE, "%s", e->workers[i].err.text);
    return rc;
}

int gw_engine_open_extensions(struct gw_engine *e, struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_extensions; i++) {
        struct instance *x = g->instances[s->extensions[i]->index];
        struct gw_err why = {"cannot be opened"};
        int rc = 0;

        if (x->is_open)
            continue;
        if (x->comp->type->open)
            rc = x->comp->type->open(x->self, e->conf.loop, NULL, &x->local, &why);
        if (rc < 0)
            return gw_fail(err, rc, "extension %s: %s", x->comp->id, why.text);
        x->is_open = true;
    }
    return 0;
}

void gw_engine_close_extension(struct instance *x)
{
    if (x->comp->kind == GW_EXTENSION && x->is_open && x->comp->type->close)
        x->comp->type->close(x->local);
    x->is_open = false;
}

/* The last of the configuration first. */
static void close_extensions(struct gw_engine *e)
{
    const struct gw_service *s = e->graph->service;

    for (size_t i = s->n_extensions; i-- > 0;)
        if (e->graph->instances[s->extensions[i]->index])
            gw_engine_close_extension(e->graph->instances[s->extensions[i]->index]);
    for (struct instance *x = e->instances; x; x = x->next)
        if (x->comp->kind == GW_EXTENSION)
            gw_engine_close_extension(x);
}

static void enter_phase(struct gw_engine *e, enum phase p)
{
    (void)pthread_mutex_lock(&e->lock); /* what is put in from outside belongs to the phase before (inject.c) */
    atomic_store(&e->phase, p);
    (void)pthread_mutex_unlock(&e->lock);
    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].loop)
            gw_loop_wake(e->workers[i].loop);
}

int gw_engine_start(struct gw_engine *e, struct gw_err *err)
{
    int rc = gw_engine_open_extensions(e, e->graph, err);

    if (rc == 0)
        rc = gw_engine_start_exporters(e, err);
    if (rc == 0)
        rc = start_workers(e, err);
    if (rc < 0) {
        (void)gw_engine_stop(e);
        return rc;
    }
    e->has_started = true;
    enter_phase(e, RUNNING); /* with a wake: who watches our health hears of it */
    gw_wals_name_orphans(e);
    gw_durability_tell(e->graph, NULL);
    return 0;
}

void gw_engine_start_failed(struct gw_engine *e)
{
    e->has_started = false;
}

/* ---- leaving ---------------------------------------------------------------------------------------------- */

void gw_engine_quiesce(struct gw_engine *e)
{
    enter_phase(e, QUIESCING);
}

static uint64_t sum_crossed(const struct gw_engine *e)
{
    uint64_t n = atomic_load(&e->graph->n_crossed);

    for (const struct graph *g = e->leaving; g; g = g->next)
        n += atomic_load(&g->n_crossed);
    return n;
}

static bool is_crossing(const struct gw_engine *e)
{
    uint64_t n = atomic_load(&e->graph->n_crossing);

    for (const struct graph *g = e->leaving; g; g = g->next)
        n += atomic_load(&g->n_crossing);
    return n != 0;
}

/* As gw_shuffle_rests, of all graphs. */
bool gw_engine_is_quiet(const struct gw_engine *e)
{
    uint64_t sent = sum_crossed(e);

    if (is_crossing(e))
        return false;
    for (unsigned i = 0; i < e->n_workers; i++)
        if (!atomic_load(&e->workers[i].quiet))
            return false;
    return sum_crossed(e) == sent;
}

void gw_engine_drain(struct gw_engine *e)
{
    for (struct instance *x = e->instances; x; x = x->next)
        if (x->edge)
            gw_edge_drain(x->edge);
    if (gw_engine_is_quiet(e))
        enter_phase(e, DRAINING);
}

bool gw_engine_is_drained(const struct gw_engine *e)
{
    for (struct instance *x = e->instances; x; x = x->next)
        if (x->edge && !gw_edge_is_empty(x->edge))
            return false;
    return gw_wals_are_idle(e);
}

static uint64_t left_rows(const struct gw_engine *e)
{
    uint64_t n = 0;

    for (struct instance *x = e->instances; x; x = x->next)
        for (unsigned s = 0; x->edge && s < GW_N_SIGNALS; s++) {
            struct gw_edge_counts c = gw_edge_counts(x->edge, (enum gw_signal)(1u << s));

            n += c.held > c.stored ? c.held - c.stored : 0;
        }
    return n;
}

/* Whatever sends dead letters to another exporter is closed before it. */
void gw_engine_close_exporter(struct gw_engine *e, struct instance *x)
{
    if (!gw_engine_is_sender(x) || x->is_closed)
        return;
    gw_ledger_finish(e); /* it still answers */
    x->is_closed = true;
    for (struct instance *from = e->instances; from; from = from->next)
        if (from != x && from->edge && gw_edge_leads_to(from->edge, x->edge))
            gw_engine_close_exporter(e, from);
    if (x->has_thread) {
        if (x->loop)
            gw_loop_stop(x->loop);
        (void)pthread_join(x->thread, NULL);
        x->has_thread = false;
    } else if (x->is_open) {
        gw_edge_close(x->edge);
    }
    x->is_open = false;
}

uint64_t gw_engine_stop(struct gw_engine *e)
{
    uint64_t left;

    enter_phase(e, STOPPED);
    for (unsigned i = 0; i < e->n_workers; i++) {
        if (e->workers[i].has_thread)
            (void)pthread_join(e->workers[i].thread, NULL);
        else if (e->conf.by_hand)
            gw_worker_close(&e->workers[i]);
        e->workers[i].has_thread = false;
    }
    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].cut_open)
            gw_ledger_take_rest(&e->workers[i]);
    gw_ledger_finish(e); /* the exporters still answer */
    for (unsigned i = 0; i < e->n_workers; i++)
        gw_shuffle_give_up(&e->workers[i]);
    left = left_rows(e);
    for (struct instance *x = e->instances; x; x = x->next)
        if (x->edge)
            gw_engine_close_exporter(e, x);
    for (unsigned i = 0; i < e->n_workers; i++)
        gw_intake_deliver(&e->workers[i]); /* verdicts of requests whose receivers are gone: only counted */
    close_extensions(e);
    return left;
}

bool gw_engine_stands(const struct gw_engine *e, const char *kind, const char *name)
{
    char text[128];

    if (!e->conf.stands_still)
        return false;
    (void)snprintf(text, sizeof(text), "%s%s", kind, name);
    return e->conf.stands_still(text);
}

void gw_engine_turn(struct gw_engine *e)
{
    char number[12];

    for (unsigned i = 0; i < e->n_workers; i++) {
        (void)snprintf(number, sizeof(number), "%u", i);
        if (e->workers[i].loop && !gw_engine_stands(e, "worker/", number))
            gw_loop_turn(e->workers[i].loop, 0);
    }
    for (struct instance *x = e->instances; x; x = x->next)
        if (x->loop && x->is_open && !gw_engine_stands(e, "", x->comp->id))
            gw_loop_turn(x->loop, 0);
    gw_logs_work(e);
    gw_engine_tend(e);
}

/* ---- looking in ------------------------------------------------------------------------------------------- */

static struct instance *find(const struct gw_engine *e, enum gw_kind kind, const char *id)
{
    struct gw_service_component *c = gw_service_find(e->graph->service, kind, id);

    return c ? e->graph->instances[c->index] : NULL;
}

struct gw_samples *gw_engine_samples(const struct gw_engine *e)
{
    return e->samples;
}

struct gw_edge *gw_engine_edge(const struct gw_engine *e, const char *exporter_id)
{
    struct instance *x = find(e, GW_EXPORTER, exporter_id);

    return x ? x->edge : NULL;
}

void *gw_engine_instance(const struct gw_engine *e, enum gw_kind kind, const char *id)
{
    struct instance *x = find(e, kind, id);

    return x ? x->self : NULL;
}

struct gw_intake *gw_engine_intake(const struct gw_engine *e, unsigned worker, const char *receiver_id)
{
    struct instance *x = find(e, GW_RECEIVER, receiver_id);

    return x ? &x->intakes[worker].base : NULL;
}

const struct gw_service *gw_engine_service(const struct gw_engine *e)
{
    return e->graph->service;
}

struct gw_loop *gw_engine_worker_loop(const struct gw_engine *e, unsigned worker)
{
    return e->workers[worker].loop;
}

unsigned gw_engine_n_workers(const struct gw_engine *e)
{
    return e->n_workers;
}

struct gw_credit *gw_engine_memory(struct gw_engine *e)
{
    return &e->memory;
}
