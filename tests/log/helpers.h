/* SPDX-License-Identifier: Apache-2.0 */
/* A log in a folder of its own, and one-line ways to write to it and to look at it. */
#ifndef GW_TESTS_LOG_HELPERS_H
#define GW_TESTS_LOG_HELPERS_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/crc32c.h"
#include "log/files.h"
#include "log/impl.h"
#include "tests/harness.h"
#include "tests/harness_env.h"
#include "tests/harness_simdisk.h"

#define MS 1000000ull
#define S  1000000000ull

struct world {
    struct gw_test_env te;
    struct gw_simdisk *disk; /* or NULL: a real folder */
    char dir[128];
    struct gw_buf lines;
    struct gw_log_sink sink;
    struct gw_log_files_conf conf;
    struct gw_log *log;
    int rc; /* of the last commit */
    unsigned n_done, n_woken;
};

struct one {
    struct gw_log_commit c;
    struct world *w;
};

static inline void world_done(struct gw_log_commit *c, int rc)
{
    struct world *w = ((struct one *)(void *)c)->w;

    w->rc = rc;
    w->n_done++;
}

static inline void world_wake(void *arg)
{
    ((struct world *)arg)->n_woken++;
}

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    gw_test_env_init(&w->te, 7);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/gw-log-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    strcat(w->dir, "/q");
    w->sink = (struct gw_log_sink){.env = &w->te.env, .level = GW_LOG_DEBUG};
    w->conf = (struct gw_log_files_conf){.env = &w->te.env,
                                         .dir = w->dir,
                                         .logger = {.sink = &w->sink},
                                         .segment_bytes = 64 << 10,
                                         .reserve_bytes = 1,
                                         .wake = world_wake,
                                         .arg = w};
}

static inline void world_line(void *arg, const char *line, size_t n)
{
    gw_buf_put(&((struct world *)arg)->lines, line, n);
}

/* The same on a disk in memory, which can be made to fail. */
static inline void world_init_on(struct world *w, struct gw_simdisk *disk)
{
    memset(w, 0, sizeof(*w));
    gw_test_env_init(&w->te, 7);
    gw_simdisk_init(disk, 1);
    gw_buf_init(&w->lines, 1 << 20);
    disk->log = world_line;
    disk->arg = w;
    w->disk = disk;
    (void)snprintf(w->dir, sizeof(w->dir), "q");
    w->sink = (struct gw_log_sink){.env = &disk->env, .level = GW_LOG_DEBUG};
    w->conf = (struct gw_log_files_conf){.env = &disk->env,
                                         .dir = w->dir,
                                         .logger = {.sink = &w->sink},
                                         .segment_bytes = 64 << 10,
                                         .reserve_bytes = 1,
                                         .wake = world_wake,
                                         .arg = w};
}

static inline bool world_said(struct world *w, const char *text)
{
    return w->lines.n > 0 && memmem(w->lines.p, w->lines.n, text, strlen(text));
}

/* The process ends without a word. */
static inline void world_kill(struct world *w, struct gw_simdisk *next)
{
    struct gw_lf *l = (struct gw_lf *)w->log;

    gw_simdisk_kill(next, w->disk);
    next->log = world_line;
    next->arg = w;
    l->tail.broken = true; /* nothing that closing does gets to the disk that goes on */
    gw_log_close(w->log);
    gw_simdisk_clear(w->disk);
    w->log = NULL;
    w->disk = next;
    w->conf.env = &next->env;
    w->sink.env = &next->env;
}

static inline void world_open(struct world *w)
{
    struct gw_err err = {""};
    int rc = gw_log_files_open(&w->conf, &w->log, &err);

    if (rc < 0)
        fail_msg("open: %s", err.text);
    assert_true(gw_lf_state_adds_up(&((struct gw_lf *)w->log)->state));
}

static inline void world_close(struct world *w)
{
    if (w->log)
        assert_true(gw_lf_state_adds_up(&((struct gw_lf *)w->log)->state));
    gw_log_close(w->log);
    w->log = NULL;
}

static inline void world_clear(struct world *w)
{
    char cmd[400];

    world_close(w);
    gw_test_env_clear(&w->te);
    gw_buf_clear(&w->lines);
    if (w->disk) {
        gw_simdisk_clear(w->disk);
        return;
    }
    *strrchr(w->dir, '/') = 0;
    (void)snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
    assert_int_equal(system(cmd), 0);
}

static inline int world_commit(struct world *w, struct gw_log_commit c)
{
    struct one one = {.c = c, .w = w};
    unsigned n = w->n_done;

    one.c.done = world_done;
    gw_log_submit(w->log, &one.c);
    (void)gw_log_work(w->log);
    assert_int_equal(w->n_done, n + 1);
    return w->rc;
}

/* One frame of so many rows whose body is `n` bytes that follow from seq. */
static inline int world_append(struct world *w, uint32_t rows, size_t n, bool sync)
{
    uint8_t *body = malloc(n + 1);
    struct gw_log_stats st;
    struct gw_log_frame f = {.rows = rows, .time_ns = gw_wall_ns(w->conf.env), .signal = 1, .meta = GW_SLICE("meta")};
    int rc;

    gw_log_stats(w->log, &st);
    for (size_t i = 0; i < n; i++)
        body[i] = (uint8_t)(st.end_seq * 31 + i * 7);
    f.body = gw_slice_of(body, n);
    rc = world_commit(w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .sync = sync});
    free(body);
    return rc;
}

static inline int world_settle(struct world *w, uint32_t consumer, uint64_t seq, uint64_t last)
{
    struct gw_log_settle s = {.consumer = consumer, .outcome = GW_LOG_DELIVERED, .seq = seq, .last_seq = last};

    return world_commit(w, (struct gw_log_commit){.settles = &s, .n_settles = 1});
}

static inline struct gw_log_stats world_stats(struct world *w)
{
    struct gw_log_stats st;

    gw_log_stats(w->log, &st);
    return st;
}

struct world_consumer {
    uint32_t id;
    struct gw_log_consumer c;
    bool found;
};

static inline void world_find(void *arg, const struct gw_log_consumer *c)
{
    struct world_consumer *f = arg;

    if (c->id != f->id)
        return;
    f->c = *c;
    f->found = true;
}

static inline struct gw_log_consumer world_consumer(struct world *w, uint32_t id)
{
    struct world_consumer f = {.id = id};

    assert_int_equal(gw_log_consumers(w->log, world_find, &f), 0);
    assert_true(f.found);
    return f.c;
}

/* Frames that a fresh reader gives, their rows, and the sum of what it says was lost. Bodies must be what they were. */
struct world_read {
    uint64_t frames, rows, open_rows, lost_rows, lost_frames, first_seq, last_seq;
};

static inline struct world_read world_read(struct world *w, uint32_t consumer)
{
    struct gw_log_reader_conf conf = {.consumer = consumer};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world_read ret = {.first_seq = UINT64_MAX};
    int rc;

    assert_int_equal(gw_log_reader_new(w->log, &conf, &r), 0);
    while ((rc = gw_log_next(r, &e)) > 0) {
        assert_true(ret.frames == 0 || e.frame.seq > ret.last_seq);
        for (size_t i = 0; i < e.frame.body.n; i++)
            assert_int_equal(e.frame.body.p[i], (uint8_t)(e.frame.seq * 31 + i * 7));
        ret.first_seq = ret.frames == 0 ? e.frame.seq : ret.first_seq;
        ret.last_seq = e.frame.seq;
        ret.frames++;
        ret.rows += e.frame.rows;
        ret.lost_rows += e.lost_rows;
        ret.lost_frames += e.lost_frames;
        for (unsigned i = 0; i < e.n_open; i++)
            ret.open_rows += e.open[i].rows;
        assert_int_equal(e.open != NULL, consumer != 0);
    }
    assert_int_equal(rc, 0);
    gw_log_reader_free(r);
    return ret;
}

#endif
