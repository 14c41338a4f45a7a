/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a log in segment files. */
#include "log/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"

static void close_log(struct gw_log *log);

static const struct gw_log_ops ops = {
    .submit = gw_lf_submit,
    .work = gw_lf_work,
    .work_here = gw_lf_work_here,
    .producer = gw_lf_producer,
    .consumer_open = gw_lf_consumer_open,
    .consumer_close = gw_lf_consumer_close,
    .consumer_release = gw_lf_consumer_release,
    .consumers = gw_lf_consumers,
    .position = gw_lf_position,
    .reader_new = gw_lf_reader_new,
    .seek = gw_lf_seek,
    .seek_time = gw_lf_seek_time,
    .next = gw_lf_next,
    .reader_free = gw_lf_reader_free,
    .truncate = gw_lf_truncate,
    .retain = gw_lf_set_retention,
    .stats = gw_lf_stats,
    .close = close_log,
};

static void free_log(struct gw_lf *l)
{
    gw_lf_stage_close(l);
    if (l->tail.file)
        l->env->ops->file_close(l->tail.file);
    if (l->lock_file)
        l->env->ops->file_close(l->lock_file);
    for (size_t i = 0; i < l->n_segs; i++)
        free(l->segs[i].marks);
    free(l->segs);
    gw_lf_state_clear(&l->state);
    free(l->losses);
    free(l->cache);
    free(l->todo);
    free(l->out.p);
    free(l->out.iov);
    free(l->dir);
    (void)pthread_mutex_destroy(&l->role);
    (void)pthread_mutex_destroy(&l->stage.lock);
    (void)pthread_mutex_destroy(&l->work);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

static void close_log(struct gw_log *log)
{
    struct gw_lf *l = (struct gw_lf *)log;

    if (!l->conf.read_only) {
        l->retry_ns = 0; /* a disk that failed is asked once more: there is no later */
        (void)gw_lf_work(log);
        (void)pthread_mutex_lock(&l->work);
        if (!l->tail.broken)
            (void)gw_lf_close_segment(l);
        gw_lf_spares_remove(l);
        l->closed = true;
        (void)pthread_mutex_unlock(&l->work);
        (void)gw_lf_work(log); /* what done() submitted */
    }
    free_log(l);
}

/* As many frames as a small segment has. */
static size_t cache_of(const struct gw_lf *l)
{
    size_t n = GW_LF_CACHE;

    while (n > gw_lf_segment_bytes(l) / GW_LF_HEAD)
        n /= 2;
    return n;
}

static struct gw_lf *new_log(const struct gw_log_files_conf *conf, uint64_t least_segment)
{
    struct gw_lf *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->log.ops = &ops;
    l->conf = *conf;
    l->env = conf->env;
    (void)pthread_mutex_init(&l->role, NULL);
    (void)pthread_mutex_init(&l->stage.lock, NULL);
    l->least_segment = least_segment ? least_segment : GW_LF_MIN_SEGMENT;
    l->n_cache = cache_of(l);
    (void)pthread_mutex_init(&l->work, NULL);
    (void)pthread_mutex_init(&l->lock, NULL);
    l->dir = strdup(conf->dir);
    l->cache = malloc(GW_LF_N_CACHES * l->n_cache * sizeof(*l->cache));
    l->todo = malloc(GW_LF_BATCH * sizeof(*l->todo));
    if (!l->dir || !l->cache || !l->todo) {
        free_log(l);
        return NULL;
    }
    for (size_t i = 0; i < GW_LF_N_CACHES * l->n_cache; i++)
        l->cache[i].row = UINT64_MAX;
    return l;
}

/* ---- what is in the folder --------------------------------------------------------------------------------- */

struct listing {
    struct gw_lf *l;
    unsigned n_ours, n_others;
    bool any_spare;
    char other[128];
    int rc;
};

/* 20 digits and ".log". */
bool gw_lf_is_segment(const char *name, uint64_t *ret)
{
    *ret = 0;
    if (strlen(name) != 24)
        return false;
    for (unsigned i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(name[i] - '0');
    }
    return strcmp(name + 20, ".log") == 0;
}

static bool is_spare(const char *name)
{
    return strncmp(name, "spare.", 6) == 0;
}

static bool is_ours(const char *name)
{
    size_t n = strlen(name);

    return strcmp(name, "LOCK") == 0 || strncmp(name, "reserve", 7) == 0 || is_spare(name) ||
           strcmp(name, "next") == 0 || strcmp(name, GW_LF_STAGE) == 0 || (n == 28 && strcmp(name + 24, ".bad") == 0);
}

static void look(void *arg, const char *name)
{
    struct listing *ls = arg;
    struct gw_lf_seg seg = {0};

    if (gw_lf_is_segment(name, &seg.number)) {
        if (ls->rc == 0)
            ls->rc = gw_lf_segs_push(ls->l, &seg);
        ls->n_ours++;
    } else if (is_ours(name)) {
        ls->n_ours++;
        ls->any_spare |= is_spare(name);
    } else if (strcmp(name, "lost+found") != 0) {
        ls->n_others++;
        (void)snprintf(ls->other, sizeof(ls->other), "%s", name);
    }
}

/* The Collector's file_storage keeps a bbolt file for each component: page 0 says so. */
static bool is_bbolt(struct gw_lf *l, const char *name)
{
    char path[GW_LF_PATH];
    uint8_t p[20];
    struct gw_file *f;
    bool is = false;

    (void)snprintf(path, sizeof(path), "%s/%s", l->dir, name);
    if (l->env->ops->file_open(l->env, path, GW_OPEN_READ, 0, &f) < 0)
        return false;
    if (l->env->ops->file_pread(f, p, sizeof(p), 0) == (ssize_t)sizeof(p))
        is = gw_lf_get32(p + 16) == 0xed0cdaed;
    l->env->ops->file_close(f);
    return is;
}

static int refuse_others(struct gw_lf *l, const struct listing *ls, struct gw_err *err)
{
    if (ls->n_others == 0 || ls->n_ours > 0)
        return 0;
    if (is_bbolt(l, ls->other))
        return gw_fail(err, -EEXIST,
                       "%s holds a queue of the OpenTelemetry Collector (%s is a bbolt file): it is left as it is; "
                       "name another folder",
                       l->dir, ls->other);
    return gw_fail(err, -EEXIST, "%s holds something that is not a log (%s): it is left as it is; name another folder",
                   l->dir, ls->other);
}

static int take_lock(struct gw_lf *l, struct gw_err *err)
{
    char path[GW_LF_PATH];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/LOCK", l->dir);
    rc = l->env->ops->file_open(l->env, path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE, 0600, &l->lock_file);
    if (rc < 0)
        return gw_fail(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
    rc = l->env->ops->file_lock(l->lock_file);
    if (rc == -EWOULDBLOCK)
        return gw_fail(err, rc, "%s is in use by another process", l->dir);
    return rc < 0 ? gw_fail(err, rc, "%s cannot be locked: %s", path, strerror(-rc)) : 0;
}

static int list(struct gw_lf *l, struct listing *ls, struct gw_err *err)
{
    int rc = l->env->ops->dir_list(l->env, l->dir, look, ls);

    if (rc == 0)
        rc = ls->rc;
    return rc < 0 ? gw_fail(err, rc, "%s: %s", l->dir, strerror(-rc)) : 0;
}

static int begin_log(struct gw_lf *l, const struct gw_lf_begin *at, struct gw_err *err)
{
    int rc;

    l->env->ops->random(l->env, l->uuid, sizeof(l->uuid));
    l->state.next_consumer = l->state.next_producer = 1;
    l->state.end_seq = l->state.trim.seq = l->next_seq = at->seq;
    l->state.end_row = l->state.trim.row = l->next_row = at->row;
    l->state.lost.base = l->state.trim;
    rc = gw_lf_segment_new(l, at->number, at->seq, at->row, 0);
    return rc < 0 ? gw_fail(err, rc, "%s: the first segment cannot be made: %s", l->dir, strerror(-rc)) : 0;
}

static int open_log(struct gw_lf *l, const struct gw_lf_begin *at, struct gw_err *err)
{
    struct listing ls = {.l = l};
    int rc = 0;

    if (!l->conf.read_only) {
        rc = l->env->ops->dir_make(l->env, l->dir, 0700);
        if (rc < 0 && rc != -EEXIST)
            return gw_fail(err, rc, "%s cannot be made: %s", l->dir, strerror(-rc));
        rc = gw_env_sync_name(l->env, l->dir); /* it may have been made by one who died before this */
        if (rc < 0)
            return gw_fail(err, rc, "the folder of %s cannot be synced: %s", l->dir, strerror(-rc));
    }
    rc = list(l, &ls, err);
    if (rc == 0)
        rc = refuse_others(l, &ls, err);
    if (rc == 0 && !l->conf.read_only) {
        rc = take_lock(l, err);
        if (rc < 0)
            return rc;
        l->n_segs = 0; /* the one who had it may have changed it */
        ls = (struct listing){.l = l};
        rc = list(l, &ls, err);
        if (ls.any_spare)
            gw_lf_spares_forget(l);
    }
    if (rc == 0)
        rc = gw_lf_recover(l, err);
    if (rc == 0 && l->n_segs == 0 && l->conf.read_only)
        return gw_fail(err, -ENOENT, "%s has no log", l->dir);
    if (rc == 0 && l->n_segs == 0)
        rc = begin_log(l, at, err);
    if (rc == 0 && !l->conf.read_only) {
        rc = gw_lf_stage_open(l);
        if (rc < 0)
            return gw_fail(err, rc, "%s/" GW_LF_STAGE " cannot be removed: %s", l->dir, strerror(-rc));
        gw_lf_stage_base(l);
        (void)gw_lf_keep_reserve(l);
    }
    return rc;
}

int gw_lf_open(const struct gw_log_files_conf *conf, const struct gw_lf_begin *at, struct gw_log **ret,
               struct gw_err *err)
{
    struct gw_lf *l = new_log(conf, at->least_segment);
    int rc;

    if (!l)
        return gw_fail(err, -ENOMEM, "%s: no memory", conf->dir);
    rc = open_log(l, at, err);
    if (rc == -ENOMEM)
        (void)gw_fail(err, rc, "%s: out of memory", conf->dir);
    if (rc < 0) {
        free_log(l);
        return rc;
    }
    *ret = &l->log;
    return 0;
}

int gw_log_files_open(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    return gw_lf_open(conf, &(struct gw_lf_begin){.number = 1}, ret, err);
}
