/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open logs, each with its writer and its reader: threads, or by hand in simulations. Opened while the graph is
 * built, closed after everything that may commit.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/graph.h"

enum { STAGE_BYTES = 8 << 20, PATH_BYTES = 1024 };

/* One a storage: what its logs' consumers have under way. */
struct flight {
    struct flight *next;
    char path[PATH_BYTES];
    struct gw_flight *flight;
};

struct log {
    struct log *next;
    struct gw_engine *engine;
    struct gw_log *log;
    const char *storage, *kind, *name;
    struct gw_logger logger;
    char dir[PATH_BYTES];
    struct gw_flight *flight;
    pthread_t thread;
    sem_t submitted;
    _Atomic bool leaving;
    bool has_thread;
    uint32_t old_consumers; /* ids up to this one were there when it was opened */
    uint64_t old_end;       /* where it ended then */
    struct gw_tasks *reads;
    uint64_t read_due_ns; /* by hand; 0: nothing waits */
};

/* A file's name may hold anything but a slash and a zero; ours hold less, so that they look the same everywhere. */
static void put_escaped(char *to, size_t room, const char *text)
{
    size_t at = strlen(to);

    for (; *text && at + 4 < room; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';

        at += (size_t)snprintf(to + at, room - at, plain ? "%c" : "%%%02X", c);
    }
}

void gw_engine_log_dir(const char *directory, const char *kind, const char *name, char *ret, size_t room)
{
    (void)snprintf(ret, room, "%s/%s%s", directory, kind, *name ? "/" : "");
    put_escaped(ret, room, name);
}

/*
 * A thread with a loop writes at the end of its turn what it has submitted: it would be woken for the answer in any
 * case, and what came together is one write. The writer is called when that does not do.
 */
static _Thread_local struct turn {
    struct gw_loop *loop; /* NULL: a thread that does not */
    struct log *due[8];
    unsigned n;
} turn;

static void wake(void *arg)
{
    struct log *l = arg;

    if (!turn.loop || turn.n == sizeof(turn.due) / sizeof(*turn.due)) {
        (void)sem_post(&l->submitted);
        return;
    }
    turn.due[turn.n++] = l;
    gw_loop_again(turn.loop); /* the end of this turn may be over already */
}

void gw_logs_enter(struct gw_loop *loop)
{
    turn.loop = loop;
}

void gw_logs_end_turn(void)
{
    while (turn.n > 0) {
        struct log *l = turn.due[--turn.n];

        if (!gw_log_work_here(l->log))
            (void)sem_post(&l->submitted);
    }
}

void gw_logs_leave(void)
{
    gw_logs_end_turn();
    turn.loop = NULL;
}

static void *writer_main(void *arg)
{
    struct log *l = arg;

    gw_flight_thread((uint32_t)GW_FLIGHT_NOTHING);
    while (!atomic_load(&l->leaving)) {
        uint64_t at = gw_log_work(l->log);
        struct timespec ts = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};

        if (at == 0)
            (void)sem_wait(&l->submitted);
        else
            (void)sem_clockwait(&l->submitted, CLOCK_MONOTONIC, &ts);
        while (sem_trywait(&l->submitted) == 0)
            ;
    }
    return NULL;
}

static const char *keep(struct gw_engine *e, const char *text)
{
    return (const char *)gw_arena_dup(&e->arena, gw_slice_of(text, strlen(text) + 1)).p;
}

static int make_parents(struct gw_engine *e, const char *directory, const char *kind, struct gw_err *err)
{
    char path[PATH_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, kind);
    rc = e->conf.env->ops->dir_make(e->conf.env, path, 0700);
    if (rc == 0 || rc == -EEXIST) /* whoever made it may have died before this */
        rc = gw_env_sync_name(e->conf.env, path);
    return rc < 0 ? gw_fail(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

static struct log *find(const struct gw_engine *e, const struct gw_host_log *what)
{
    struct log *l = e->logs;

    while (l && (strcmp(l->storage, what->storage) != 0 || strcmp(l->kind, what->kind) != 0 ||
                 strcmp(l->name, what->name) != 0))
        l = l->next;
    return l;
}

static int start_writer(struct log *l, struct gw_err *err)
{
    int rc = pthread_create(&l->thread, NULL, writer_main, l);
    char shown[16];

    if (rc != 0)
        return gw_fail(err, -rc, "cannot start a thread: %s", strerror(rc));
    (void)snprintf(shown, sizeof(shown), "log %.11s", l->name[0] ? l->name : l->kind);
    (void)pthread_setname_np(l->thread, shown);
    l->has_thread = true;
    return 0;
}

/* Without memory for it there is none: nothing else depends on it. */
static struct gw_flight *open_flight(struct gw_engine *e, const struct gw_storage *st)
{
    struct gw_flight_conf conf = {.env = e->conf.env, .logger = {.sink = e->conf.log, .kind = "log", .id = "flight"}};
    struct flight *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    (void)snprintf(f->path, sizeof(f->path), "%s/flight", st->directory);
    for (struct flight *x = e->flights; x; x = x->next)
        if (strcmp(x->path, f->path) == 0) {
            free(f);
            return x->flight;
        }
    conf.path = f->path;
    if (gw_flight_open(&conf, &f->flight) < 0) {
        free(f);
        return NULL;
    }
    f->next = e->flights;
    e->flights = f;
    return f->flight;
}

struct gw_flight *gw_logs_flight(const struct gw_engine *e, const struct gw_log *log, uint64_t *ret_log)
{
    const struct log *l = e->logs;
    struct gw_log_stats st;

    while (l && l->log != log)
        l = l->next;
    if (!l || !l->flight)
        return NULL;
    gw_log_stats(l->log, &st);
    *ret_log = gw_flight_log(l->kind, l->name, st.uuid);
    return l->flight;
}

static void close_log(struct log *l)
{
    if (l->has_thread) {
        atomic_store(&l->leaving, true);
        wake(l);
        (void)pthread_join(l->thread, NULL);
    }
    gw_tasks_free(l->reads);
    gw_log_close(l->log);
    (void)sem_destroy(&l->submitted);
    free(l);
}

/* What comes between two syncs, as a rule; less where segments are small. */
static uint64_t stage_bytes(uint64_t segment_bytes)
{
    return segment_bytes && segment_bytes / 8 < STAGE_BYTES ? segment_bytes / 8 : STAGE_BYTES;
}

static int open_log(struct gw_engine *e, const struct gw_host_log *what, const struct gw_storage *st, struct log *l,
                    struct gw_err *err)
{
    struct gw_log_files_conf conf = {
        .env = e->conf.env,
        .dir = l->dir,
        .logger = l->logger,
        .segment_bytes = st->segment_bytes,
        .max_bytes = what->max_bytes ? what->max_bytes : st->max_bytes,
        .reserve_bytes = st->reserve_bytes,
        .sync_interval_ns = st->sync_interval_ns,
        .stage_bytes = st->direct_io ? stage_bytes(st->segment_bytes) : 0,
        .retention = what->retention,
        .wake = wake,
        .arg = l,
    };
    int rc = make_parents(e, st->directory, what->kind, err);

    gw_engine_log_dir(st->directory, what->kind, what->name, l->dir, sizeof(l->dir));
    if (rc == 0)
        rc = (e->conf.open_log ? e->conf.open_log : gw_log_files_open)(&conf, &l->log, err);
    if (rc == 0)
        l->flight = open_flight(e, st);
    if (rc == 0 && !e->conf.by_hand)
        rc = start_writer(l, err);
    return rc;
}

static void see_id(void *arg, const struct gw_log_consumer *c)
{
    uint32_t *most = arg;

    *most = c->id > *most ? c->id : *most;
}

static void remember(struct log *l)
{
    struct gw_log_stats st;

    gw_log_stats(l->log, &st);
    l->old_end = st.end_seq;
    (void)gw_log_consumers(l->log, see_id, &l->old_consumers);
}

int gw_logs_open(struct gw_engine *e, const struct gw_host_log *what, const struct gw_storage *st, struct gw_log **ret,
                 struct gw_err *err)
{
    struct log *l = find(e, what);
    char shown[16];
    int rc;

    if (l) {
        *ret = l->log;
        return 0;
    }
    l = calloc(1, sizeof(*l));
    if (!l)
        return gw_fail(err, -ENOMEM, "out of memory");
    l->engine = e;
    l->storage = keep(e, what->storage);
    l->kind = keep(e, what->kind);
    l->name = keep(e, what->name);
    l->logger = (struct gw_logger){.sink = e->conf.log, .kind = "log", .id = *what->name ? l->name : l->kind};
    (void)sem_init(&l->submitted, 0, 0);
    (void)snprintf(shown, sizeof(shown), "read %.10s", l->name && l->name[0] ? l->name : l->kind ? l->kind : "");
    l->reads = gw_tasks_new(shown, e->conf.by_hand);
    rc = l->reads && l->storage && l->kind && l->name ? open_log(e, what, st, l, err)
                                                      : gw_fail(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        close_log(l);
        return rc;
    }
    remember(l);
    l->next = e->logs;
    e->logs = l;
    *ret = l->log;
    return 0;
}

struct gw_log *gw_engine_log(const struct gw_engine *e, const char *kind, const char *name)
{
    const struct log *l = e->logs;

    while (l && (strcmp(l->kind, kind) != 0 || strcmp(l->name, name) != 0))
        l = l->next;
    return l ? l->log : NULL;
}

bool gw_logs_has_folder(const struct gw_engine *e, const char *path)
{
    for (const struct log *l = e->logs; l; l = l->next)
        if (strcmp(l->dir, path) == 0)
            return true;
    return false;
}

struct gw_tasks *gw_logs_reads(const struct gw_engine *e, const struct gw_log *log)
{
    const struct log *l = e->logs;

    while (l && l->log != log)
        l = l->next;
    return l ? l->reads : NULL;
}

/* As late as a disk might be. */
static void read_by_hand(struct log *l)
{
    struct gw_env *env = l->engine->conf.env;
    uint64_t most = l->engine->conf.max_read_ns;

    if (!gw_tasks_has(l->reads))
        return;
    if (!l->read_due_ns)
        l->read_due_ns = gw_mono_ns(env) + (most ? gw_random_u64(env) % (most + 1) : 0);
    if (gw_mono_ns(env) < l->read_due_ns)
        return;
    l->read_due_ns = 0;
    gw_tasks_turn(l->reads);
}

void gw_logs_work(struct gw_engine *e)
{
    for (struct log *l = e->logs; l; l = l->next) {
        if (!gw_engine_stands(e, "log/", l->name))
            (void)gw_log_work(l->log);
        if (!gw_engine_stands(e, "read/", l->name))
            read_by_hand(l);
    }
}

static void close_flights(struct gw_engine *e)
{
    for (struct flight *f = e->flights, *next; f; f = next) {
        next = f->next;
        gw_flight_close(f->flight);
        free(f);
    }
    e->flights = NULL;
}

struct newcomer {
    uint32_t old;
    char name[GW_LOG_MAX_NAME_BYTES + 1];
};

static void find_newcomer(void *arg, const struct gw_log_consumer *c)
{
    struct newcomer *n = arg;

    if (c->id > n->old && !n->name[0] && c->name[0] != '#')
        memcpy(n->name, c->name, sizeof(n->name));
}

/* What has been appended meanwhile was promised to the new ones, too. */
static void withdraw(struct log *l)
{
    struct newcomer n = {.old = l->old_consumers};
    struct gw_log_stats st;

    gw_log_stats(l->log, &st);
    if (st.end_seq != l->old_end)
        return;
    do {
        n.name[0] = '\0';
        (void)gw_log_consumers(l->log, find_newcomer, &n);
    } while (n.name[0] && gw_log_consumer_release(l->log, n.name) == 0);
}

void gw_logs_withdraw(struct gw_engine *e)
{
    for (struct log *l = e->logs; l; l = l->next)
        withdraw(l);
}

void gw_logs_close(struct gw_engine *e)
{
    for (struct log *l = e->logs, *next; l; l = next) {
        next = l->next;
        close_log(l);
    }
    e->logs = NULL;
    close_flights(e);
}
