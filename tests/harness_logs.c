/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_logs.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"

enum { MAX_LOGS = 8, MAX_UNDER_WAY = 4096, FLIGHT_BYTES = 8192 };

struct under_way {
    struct gw_log_commit *c;
    void (*done)(struct gw_log_commit *c, int rc);
};

/* What engines get: it passes everything on, and knows which commits are not done. */
struct shared {
    struct gw_log l; /* first */
    struct gw_log *real;
    char dir[256];
    void (*wake)(void *arg);
    void *arg;
    struct under_way commits[MAX_UNDER_WAY];
    unsigned n_commits;
    bool dead; /* its process is: nothing that it still says is heard */
};

static struct {
    struct gw_test_env te;
    struct shared *logs[MAX_LOGS];
    unsigned n_logs;
    char dir[40];
    uint8_t flight[FLIGHT_BYTES]; /* its flight record, as the process left it */
    size_t n_flight;
    bool is_dead;
} all;

static struct shared *of(struct gw_log *l)
{
    return (struct shared *)(void *)l;
}

static void on_done(struct gw_log_commit *c, int rc)
{
    struct under_way u = {0};

    for (unsigned k = 0; k < all.n_logs && !u.c; k++)
        for (unsigned i = 0; i < all.logs[k]->n_commits && !u.c; i++)
            if (all.logs[k]->commits[i].c == c) {
                u = all.logs[k]->commits[i];
                all.logs[k]->commits[i] = all.logs[k]->commits[--all.logs[k]->n_commits];
            }
    assert_non_null(u.c);
    c->done = u.done;
    u.done(c, rc);
}

static void submit(struct gw_log *l, struct gw_log_commit *c)
{
    struct shared *s = of(l);

    if (s->dead) {
        c->done(c, -ESHUTDOWN);
        return;
    }
    assert_true(s->n_commits < MAX_UNDER_WAY);
    s->commits[s->n_commits++] = (struct under_way){c, c->done};
    c->done = on_done;
    gw_log_submit(s->real, c);
}

static uint64_t work(struct gw_log *l)
{
    return gw_log_work(of(l)->real);
}

static int producer(struct gw_log *l, const char *name, struct gw_log_producer *ret)
{
    return gw_log_producer(of(l)->real, name, ret);
}

static int consumer_open(struct gw_log *l, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    return gw_log_consumer_open(of(l)->real, name, start, ret_id);
}

static void consumer_close(struct gw_log *l, uint32_t id)
{
    gw_log_consumer_close(of(l)->real, id);
}

static int consumer_release(struct gw_log *l, const char *name)
{
    return gw_log_consumer_release(of(l)->real, name);
}

static int consumers(struct gw_log *l, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg)
{
    return gw_log_consumers(of(l)->real, each, arg);
}

static int position(struct gw_log *l, uint32_t consumer, uint16_t partition, uint64_t *ret, void *note, size_t *n_note)
{
    return gw_log_position(of(l)->real, consumer, partition, ret, note, n_note);
}

static int reader_new(struct gw_log *l, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret)
{
    return gw_log_reader_new(of(l)->real, conf, ret);
}

static int truncate_below(struct gw_log *l, uint64_t seq)
{
    return gw_log_truncate(of(l)->real, seq);
}

static void set_retention(struct gw_log *l, const struct gw_log_retention *r)
{
    gw_log_retain(of(l)->real, r);
}

static void stats(struct gw_log *l, struct gw_log_stats *ret)
{
    gw_log_stats(of(l)->real, ret);
}

/* Everything submitted is done; the log itself stays. */
static void close_shared(struct gw_log *l)
{
    for (unsigned i = 0; of(l)->n_commits > 0; i++) {
        assert_true(i < 1000);
        gw_test_env_advance(&all.te, 1000000000u);
        (void)gw_log_work(of(l)->real);
    }
    gw_log_sim_crash(of(l)->real, false); /* for what is new with each opening */
}

static const struct gw_log_ops shared_ops = {
    .submit = submit,
    .work = work,
    .producer = producer,
    .consumer_open = consumer_open,
    .consumer_close = consumer_close,
    .consumer_release = consumer_release,
    .consumers = consumers,
    .position = position,
    .reader_new = reader_new,
    .truncate = truncate_below,
    .retain = set_retention,
    .stats = stats,
    .close = close_shared,
};

static void wake(void *arg)
{
    struct shared *s = arg;

    s->wake(s->arg);
}

static int open_shared(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    struct shared *s = NULL;

    (void)err;
    for (unsigned i = 0; i < all.n_logs; i++)
        if (strcmp(all.logs[i]->dir, conf->dir) == 0)
            s = all.logs[i];
    if (!s) {
        struct gw_log_sim_conf sim = {
            .env = &all.te.env, .max_bytes = conf->max_bytes, .retention = conf->retention, .wake = wake};

        assert_true(all.n_logs < MAX_LOGS);
        s = all.logs[all.n_logs++] = calloc(1, sizeof(*s));
        assert_non_null(s);
        s->l.ops = &shared_ops;
        (void)snprintf(s->dir, sizeof(s->dir), "%s", conf->dir);
        sim.arg = s;
        assert_int_equal(gw_log_sim_open(&sim, &s->real), 0);
    }
    s->dead = false;
    s->wake = conf->wake;
    s->arg = conf->arg;
    gw_log_retain(s->real, &conf->retention);
    *ret = &s->l;
    return 0;
}

void gw_test_logs_begin(uint64_t seed)
{
    memset(&all, 0, sizeof(all));
    gw_test_env_init(&all.te, seed);
    strcpy(all.dir, "/tmp/gw-logs-XXXXXX");
    assert_non_null(mkdtemp(all.dir));
    gw_test_engine_open_log = open_shared;
}

const char *gw_test_logs_dir(void)
{
    return all.dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

void gw_test_logs_end(void)
{
    for (unsigned i = 0; i < all.n_logs; i++) {
        gw_log_close(all.logs[i]->real);
        free(all.logs[i]);
    }
    gw_test_env_clear(&all.te);
    gw_test_engine_open_log = NULL;
    gw_test_engine_max_read_ns = 0;
    assert_int_equal(nftw(all.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0); /* a shell takes a tenth of a second */
}

static struct shared *find(const char *ending)
{
    size_t n = strlen(ending);

    for (unsigned i = 0; i < all.n_logs; i++)
        if (strlen(all.logs[i]->dir) >= n && strcmp(all.logs[i]->dir + strlen(all.logs[i]->dir) - n, ending) == 0)
            return all.logs[i];
    fail_msg("no log %s", ending);
    return NULL;
}

struct gw_log *gw_test_log(const char *ending)
{
    return find(ending)->real;
}

struct gw_log_sim_faults *gw_test_log_faults(const char *ending)
{
    return gw_log_sim_faults(find(ending)->real);
}

void gw_test_logs_turn(struct gw_test_engine *t, unsigned n, uint64_t ns)
{
    gw_test_engine_turn(t, n, ns);
    gw_test_env_advance(&all.te, ns);
}

static FILE *open_flight(const char *mode)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/flight", all.dir);
    return fopen(path, mode);
}

static void keep_flight(void)
{
    FILE *f = open_flight("r");

    all.n_flight = f ? fread(all.flight, 1, sizeof(all.flight), f) : 0;
    if (f)
        (void)fclose(f);
}

static void give_flight(void)
{
    FILE *f = all.n_flight ? open_flight("r+") : NULL;

    if (!f)
        return;
    assert_int_equal(fwrite(all.flight, 1, all.n_flight, f), all.n_flight);
    (void)fclose(f);
}

void gw_test_logs_die(void)
{
    if (all.is_dead)
        return;
    all.is_dead = true;
    keep_flight();
    for (unsigned i = 0; i < all.n_logs; i++)
        all.logs[i]->dead = true;
}

void gw_test_logs_crash(struct gw_test_engine *t, bool lose_unsynced)
{
    for (unsigned i = 0; i < all.n_logs; i++)
        gw_log_sim_crash(all.logs[i]->real, lose_unsynced);
    gw_test_logs_die();
    for (unsigned i = 0; i < all.n_logs; i++)
        while (all.logs[i]->n_commits > 0)
            on_done(all.logs[i]->commits[0].c, -ESHUTDOWN);
    (void)gw_test_engine_close(t);
    give_flight();
    all.is_dead = false;
}

void gw_test_logs_engine(struct gw_test_engine *t, const char *yaml, unsigned n_workers)
{
    gw_test_logs_engine_synced(t, yaml, n_workers, /* fsync= */ false);
}

void gw_test_logs_engine_synced(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool fsync)
{
    struct gw_buf b;

    gw_buf_init(&b, 65536);
    gw_buf_printf(&b, "extensions: { file_storage: { directory: %s, fsync: %s } }\n%s", all.dir,
                  fsync ? "true" : "false", yaml);
    gw_buf_put_u8(&b, 0);
    gw_test_engine_open(t, (const char *)b.p, n_workers, false);
    gw_buf_clear(&b);
    t->te.now_ns = all.te.now_ns;
}
