/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are open, the one written to last in front; the last of the list is closed when there are too many.
 *
 *   data.json                                    is written to; when it is full it is renamed to
 *   data-2026-01-02T03-04-05.678-size.json       a backup, which goes when it is too old or one too many
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "exporters/file/file.h"

enum { FILE_MODE = 0644, STAMP_BYTES = 23, MAX_PATH_BYTES = 4096 };
#define MILLISECOND_NS 1000000u
#define STAMP_SLACK_NS 2000000000u /* files' times are coarse, on some disks 2 s */
#define DAY_NS         (24ull * 3600 * 1000000000)

struct open_file {
    struct open_file *next;
    struct gw_file *f;
    uint64_t bytes;
    char path[];
};

struct gw_files {
    struct gw_files_conf conf;
    struct open_file *first;
    unsigned n_open;
    uint64_t started_ns; /* wall clock: a file changed since was opened by this run */
    bool has_evicted;
};

struct gw_files *gw_files_new(const struct gw_files_conf *conf)
{
    struct gw_files *fs = calloc(1, sizeof(*fs));

    if (!fs)
        return NULL;
    fs->conf = *conf;
    fs->started_ns = gw_wall_ns(conf->env) - STAMP_SLACK_NS;
    tzset();
    return fs;
}

static void close_file(struct gw_files *fs, struct open_file *o)
{
    fs->conf.env->ops->file_close(o->f);
    fs->n_open--;
    free(o);
}

void gw_files_free(struct gw_files *fs)
{
    if (!fs)
        return;
    while (fs->first) {
        struct open_file *o = fs->first;

        fs->first = o->next;
        close_file(fs, o);
    }
    free(fs);
}

/* ---- folders --------------------------------------------------------------------------------------------- */

/** Length of the folder's part of a path, its slash left out; 0 = the working directory (or the root). */
static size_t folder_bytes(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) : 0;
}

static int make_folders(struct gw_files *fs, const char *path, struct gw_err *err)
{
    char folder[MAX_PATH_BYTES];
    size_t n = folder_bytes(path);
    int rc;

    if (n >= sizeof(folder))
        return gw_fail(err, -ENAMETOOLONG, "%.60s…: the path is too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && path[i] != '/')
            continue;
        memcpy(folder, path, i);
        folder[i] = '\0';
        rc = fs->conf.env->ops->dir_make(fs->conf.env, folder, fs->conf.directory_mode);
        if (rc < 0 && rc != -EEXIST)
            return gw_fail(err, rc, "cannot make the folder %s: %s", folder, strerror(-rc));
    }
    return 0;
}

/* ---- backups --------------------------------------------------------------------------------------------- */

/** name and extension of a path's last part: "data", ".json". */
struct parts {
    const char *name, *ext;
    size_t n_name;
};

static struct parts parts_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');

    if (!dot)
        dot = name + strlen(name);
    return (struct parts){name, dot, (size_t)(dot - name)};
}

/** 2006-01-02T15-04-05.000, so that the order of names is the order of time. */
static void stamp(const struct gw_files *fs, uint64_t wall_ns, char *ret)
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    char text[40];
    struct tm tm;

    (void)(fs->conf.rotation.localtime ? localtime_r(&s, &tm) : gmtime_r(&s, &tm));
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H-%M-%S", &tm);
    (void)snprintf(ret, STAMP_BYTES + 1, "%.19s.%03u", text, (unsigned)(wall_ns / MILLISECOND_NS % 1000));
}

struct backup {
    char *name;
    char stamp[STAMP_BYTES + 1];
};

struct listing {
    struct parts parts;
    struct backup *b;
    size_t n, cap;
    bool failed;
};

/** <name>-<stamp>-size<ext>, or without -size, as older Collectors wrote it. */
static bool is_backup(const struct parts *p, const char *name)
{
    size_t n = strlen(name), ext = strlen(p->ext), middle;

    if (n < p->n_name + 1 + STAMP_BYTES + ext || memcmp(name, p->name, p->n_name) != 0 || name[p->n_name] != '-' ||
        strcmp(name + n - ext, p->ext) != 0)
        return false;
    name += p->n_name + 1;
    middle = n - p->n_name - 1 - ext;
    for (size_t i = 0; i < STAMP_BYTES; i++) {
        char want = "dddd-dd-ddTdd-dd-dd.ddd"[i];

        if (want == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != want)
            return false;
    }
    return middle == STAMP_BYTES || (middle == STAMP_BYTES + 5 && memcmp(name + STAMP_BYTES, "-size", 5) == 0);
}

static void add_backup(void *arg, const char *name)
{
    struct listing *l = arg;

    if (!is_backup(&l->parts, name))
        return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        struct backup *b = realloc(l->b, cap * sizeof(*b));

        if (!b) {
            l->failed = true;
            return;
        }
        l->b = b;
        l->cap = cap;
    }
    l->b[l->n].name = strdup(name);
    l->failed |= l->b[l->n].name == NULL;
    memcpy(l->b[l->n].stamp, name + l->parts.n_name + 1, STAMP_BYTES);
    l->b[l->n].stamp[STAMP_BYTES] = '\0';
    l->n += l->b[l->n].name != NULL;
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(((const struct backup *)b)->stamp, ((const struct backup *)a)->stamp);
}

static void remove_backup(struct gw_files *fs, const char *path, const char *name)
{
    char full[MAX_PATH_BYTES + 512];
    size_t n = folder_bytes(path);
    int rc;

    (void)snprintf(full, sizeof(full), "%.*s%s%s", (int)n, path, strchr(path, '/') ? "/" : "", name);
    rc = fs->conf.env->ops->file_remove(fs->conf.env, full);
    if (rc < 0 && rc != -ENOENT)
        gw_log(&fs->conf.logger, GW_LOG_WARN, "cannot remove the old file %s: %s", full, strerror(-rc));
}

static void remove_old(struct gw_files *fs, const char *path)
{
    const struct gw_file_rotation *r = &fs->conf.rotation;
    struct listing l = {.parts = parts_of(path)};
    char folder[MAX_PATH_BYTES], oldest[STAMP_BYTES + 1] = "";
    uint64_t now_ns = gw_wall_ns(fs->conf.env);
    size_t n = folder_bytes(path);

    if (!r->max_backups && !r->max_days)
        return;
    if (r->max_days && now_ns > r->max_days * DAY_NS)
        stamp(fs, now_ns - r->max_days * DAY_NS, oldest);
    (void)snprintf(folder, sizeof(folder), "%.*s", n ? (int)n : 1, n ? path : strchr(path, '/') ? "/" : ".");
    if (fs->conf.env->ops->dir_list(fs->conf.env, folder, add_backup, &l) == 0 && !l.failed) {
        if (l.n)
            qsort(l.b, l.n, sizeof(*l.b), newest_first);
        for (size_t i = 0; i < l.n; i++)
            if ((r->max_backups && i >= r->max_backups) || strcmp(l.b[i].stamp, oldest) < 0)
                remove_backup(fs, path, l.b[i].name);
    }
    for (size_t i = 0; i < l.n; i++)
        free(l.b[i].name);
    free(l.b);
}

/** Give the file at `path` the name of a backup that is not taken. */
static int rename_to_backup(struct gw_files *fs, const char *path, struct gw_err *err)
{
    struct gw_env *env = fs->conf.env;
    struct parts p = parts_of(path);
    char to[MAX_PATH_BYTES + 64], at[STAMP_BYTES + 1];
    uint64_t now_ns = gw_wall_ns(env);
    int rc;

    do {
        stamp(fs, now_ns, at);
        (void)snprintf(to, sizeof(to), "%.*s-%s-size%s", (int)(p.name - path) + (int)p.n_name, path, at, p.ext);
        now_ns += MILLISECOND_NS;
    } while (env->ops->file_changed_ns(env, to) != 0);
    rc = env->ops->file_rename(env, path, to);
    return rc < 0 ? gw_fail(err, rc, "cannot rename %s to %s: %s", path, to, strerror(-rc)) : 0;
}

/* ---- opening --------------------------------------------------------------------------------------------- */

/** May what the file holds stay? */
static bool keeps_content(const struct gw_files *fs, const char *path)
{
    if (fs->conf.append || fs->conf.rotate)
        return true;
    /* It was open before and had to make room for others. */
    return fs->has_evicted && fs->conf.env->ops->file_changed_ns(fs->conf.env, path) >= fs->started_ns;
}

static void evict(struct gw_files *fs)
{
    while (fs->n_open >= fs->conf.max_open && fs->first) {
        struct open_file **last = &fs->first;

        while ((*last)->next)
            last = &(*last)->next;
        close_file(fs, *last);
        *last = NULL;
        fs->has_evicted = true;
    }
}

static int open_file(struct gw_files *fs, const char *path, struct open_file **ret, struct gw_err *err)
{
    struct gw_env *env = fs->conf.env;
    size_t n = strlen(path) + 1;
    struct open_file *o;
    int64_t bytes;
    int rc = 0, flags;

    if (n >= MAX_PATH_BYTES)
        return gw_fail(err, -ENAMETOOLONG, "%.60s…: the path is too long", path);
    evict(fs);
    if (fs->conf.make_directories)
        rc = make_folders(fs, path, err);
    if (rc < 0)
        return rc;
    o = calloc(1, sizeof(*o) + n);
    if (!o)
        return gw_fail(err, -ENOMEM, "out of memory");
    memcpy(o->path, path, n);
    flags = GW_OPEN_WRITE | GW_OPEN_CREATE | (keeps_content(fs, path) ? GW_OPEN_APPEND : GW_OPEN_TRUNCATE);
    rc = env->ops->file_open(env, path, flags, FILE_MODE, &o->f);
    if (rc < 0) {
        free(o);
        return gw_fail(err, rc, "cannot open %s: %s", path, strerror(-rc));
    }
    bytes = env->ops->file_size(o->f);
    o->bytes = bytes > 0 ? (uint64_t)bytes : 0;
    o->next = fs->first;
    fs->first = o;
    fs->n_open++;
    *ret = o;
    return 0;
}

/** The open file of that path, brought to the front; opened when it is not. */
static int find_file(struct gw_files *fs, const char *path, struct open_file **ret, struct gw_err *err)
{
    for (struct open_file **o = &fs->first; *o; o = &(*o)->next) {
        if (strcmp((*o)->path, path) != 0)
            continue;
        *ret = *o;
        *o = (*ret)->next;
        (*ret)->next = fs->first;
        fs->first = *ret;
        return 0;
    }
    return open_file(fs, path, ret, err);
}

int gw_files_open(struct gw_files *fs, const char *path, struct gw_err *err)
{
    struct open_file *o;
    int rc = find_file(fs, path, &o, err);

    if (rc == 0 && fs->conf.rotate)
        remove_old(fs, path);
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/** *o is the first of the list, full; afterwards a new file of the same path. */
static int rotate(struct gw_files *fs, struct open_file **o, struct gw_err *err)
{
    char path[MAX_PATH_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s", (*o)->path);
    rc = rename_to_backup(fs, path, err);
    if (rc < 0) { /* rather a long file than a lost request */
        gw_log(&fs->conf.logger, GW_LOG_WARN, "%s", err->text);
        return 0;
    }
    fs->first = (*o)->next;
    close_file(fs, *o);
    rc = open_file(fs, path, o, err);
    if (rc == 0)
        remove_old(fs, path);
    return rc;
}

int gw_files_write(struct gw_files *fs, const char *path, struct gw_slice message, struct gw_err *err)
{
    uint64_t max_bytes = (fs->conf.rotation.max_megabytes ? fs->conf.rotation.max_megabytes : 100) << 20;
    struct open_file *o;
    int rc = find_file(fs, path, &o, err);
    uint64_t before;

    /* A message longer than the limit gets a file of its own. */
    if (rc == 0 && fs->conf.rotate && o->bytes && o->bytes + message.n > max_bytes)
        rc = rotate(fs, &o, err);
    if (rc < 0)
        return rc;
    before = o->bytes;
    while (message.n) {
        struct iovec iov = {(void *)(uintptr_t)message.p, message.n};
        ssize_t n = fs->conf.env->ops->file_writev(o->f, &iov, 1);

        if (n <= 0) {
            rc = n < 0 ? (int)n : -EIO;
            /* No torn line stays; a pipe or a terminal cannot be cut, and need not. */
            if (o->bytes != before && fs->conf.env->ops->file_truncate(o->f, before) == 0)
                o->bytes = before;
            return gw_fail(err, rc, "cannot write to %s: %s", path, strerror(-rc));
        }
        o->bytes += (uint64_t)n;
        message = gw_slice_of(message.p + n, message.n - (size_t)n);
    }
    return 0;
}
