/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder for whatever shall survive the process: queues, journals, dead letters.
 *
 *   extensions:
 *     file_storage: { directory: /var/lib/staunch, create_directory: true }
 *
 * The folder belongs to one process at a time. The lock is taken before anything is looked for in it, and nothing of it
 * is written by this file but the lock itself: each log of it sees to its own files (log/files.h). The queues of a
 * Collector look after nobody but the Collector: a folder that holds them is left as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "pipeline/component.h"
#include "pipeline/storage.h"

enum { PATH_BYTES = 1024, BOLT_MAGIC_AT = 16, BOLT_PAGE_BYTES = 4096, MIB = 1 << 20 };
/* The logs add their kind, their name and the names of segments. */
enum { MAX_DIRECTORY_BYTES = 512 };

struct compaction {
    bool on_start, on_rebound, cleanup_on_start;
    uint64_t needed_mib, trigger_mib, max_transaction, interval_ns;
    const char *directory;
};

struct conf {
    const char *directory, *permissions;
    bool fsync, create, recreate, direct_io;
    uint64_t max_bytes, timeout_ns, segment_mib, reserve_mib, sync_interval_ns;
    struct compaction compaction;
};

struct self {
    const struct conf *conf;
    struct gw_env *env;
    struct gw_logger logger;
    struct gw_file *lock;
};

#define NO_EFFECT(T, m, nm, ty, df, hp)                                                                                \
    {                                                                                                                  \
        GW_FIELD_(T, m, nm, ty, df, 0, 0, hp), .flags = GW_FF_NO_EFFECT                                                \
    }
#define C struct compaction
static const struct gw_field compaction_fields[] = {
    NO_EFFECT(C, on_start, "on_start", GW_F_BOOL, "false", "Segments that are done with are removed whole."),
    NO_EFFECT(C, on_rebound, "on_rebound", GW_F_BOOL, "false", "As above."),
    NO_EFFECT(C, directory, "directory", GW_F_STRING, "", "As above."),
    NO_EFFECT(C, needed_mib, "rebound_needed_threshold_mib", GW_F_U64, "100", "As above."),
    NO_EFFECT(C, trigger_mib, "rebound_trigger_threshold_mib", GW_F_U64, "10", "As above."),
    NO_EFFECT(C, max_transaction, "max_transaction_size", GW_F_U64, "65536", "As above."),
    NO_EFFECT(C, interval_ns, "check_interval", GW_F_DURATION, "5s", "As above."),
    NO_EFFECT(C, cleanup_on_start, "cleanup_on_start", GW_F_BOOL, "false", "As above."),
    {0},
};
#undef C

#define C struct conf
static const struct gw_field fields[] = {
    GW_STRING_FIELD(C, directory, "directory", "/var/lib/staunch",
                    "Folder of the storage, for one process. Not the Collector's default, whose files it may hold."),
    GW_BOOL_FIELD(C, create, "create_directory", "false", "Make the folder, and those above it, when it is not there."),
    GW_STRING_FIELD(C, permissions, "directory_permissions", "0700",
                    "Of folders that it makes, octal; a folder that is open to more is warned about."),
    GW_BOOL_FIELD(C, fsync, "fsync", "false", "What is stored counts when it would survive a power cut."),
    GW_U64_FIELD(C, max_bytes, "max_size", "0", 0, 1e18, "Most bytes of each log in it; 0 = as many as the disk has."),
    GW_U64_FIELD(C, segment_mib, "segment_size_mib", "64", 1, 1024, "Size of a log's files, made in advance."),
    GW_U64_FIELD(C, reserve_mib, "reserve_mib", "0", 0, 1e9,
                 "Of the disk, left free by new data; 0 = the size of two segments."),
    GW_DURATION_FIELD(C, sync_interval_ns, "sync_interval", "100ms", 1e6, 1e11,
                      "Without fsync: what is stored is on the disk after this time at most."),
    GW_BOOL_FIELD(C, direct_io, "direct_io", "false",
                  "Write past the page cache, from a file of at most 8 MiB a log that stays in memory: half the CPU "
                  "where much is written and read at once; what is read later comes from the disk."),
    NO_EFFECT(C, timeout_ns, "timeout", GW_F_DURATION, "1s", "A lock is there at once or not at all."),
    NO_EFFECT(C, recreate, "recreate", GW_F_BOOL, "false", "A damaged log is repaired, and keeps what is whole."),
    GW_BLOCK_FIELD(C, compaction, "compaction", compaction_fields, "Nothing here needs compaction."),
    {0},
};
#undef C

/* ---- settings --------------------------------------------------------------------------------------------- */

static bool parse_permissions(const char *text, unsigned *ret)
{
    char *end;
    unsigned long v = strtoul(text, &end, 8);

    *ret = (unsigned)v;
    return *text >= '0' && *text <= '7' && *end == '\0' && v <= 0777;
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_place *at = node ? &node->place : NULL;
    unsigned mode;

    if (!*c->directory)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "directory is empty: name a folder");
    else if (strlen(c->directory) > MAX_DIRECTORY_BYTES)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "directory is longer than %d bytes", MAX_DIRECTORY_BYTES);
    else if (*c->directory != '/')
        gw_diag_add(diag, GW_DIAG_WARNING, at,
                    "directory \"%s\" is relative: another working directory means another storage", c->directory);
    if (!parse_permissions(c->permissions, &mode))
        gw_diag_add(diag, GW_DIAG_ERROR, at,
                    "'directory_permissions' value must be a valid octal representation, such as "
                    "\"0700\"");
    else if ((mode & 0700) != 0700)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "directory_permissions \"%s\" keep its owner out: at least \"0700\"",
                    c->permissions);
}

/* ---- a Collector's files ---------------------------------------------------------------------------------- */

struct search {
    struct self *self;
    char found[256];
};

/* The first of bbolt's two meta pages, or the second where the first was torn. */
static bool is_bolt_file(struct gw_env *env, const char *path)
{
    static const uint8_t magic[] = {0xed, 0xda, 0x0c, 0xed};
    struct gw_file *f;
    uint8_t is[4];
    unsigned mode;
    bool yes = false;

    if (env->ops->path_mode(env, path, &mode) < 0 || !S_ISREG(mode) ||
        env->ops->file_open(env, path, GW_OPEN_READ, 0, &f) < 0)
        return false;
    for (unsigned page = 0; page < 2 && !yes; page++)
        yes = env->ops->file_pread(f, is, sizeof(is), page * BOLT_PAGE_BYTES + BOLT_MAGIC_AT) == sizeof(is) &&
              memcmp(is, magic, sizeof(is)) == 0;
    env->ops->file_close(f);
    return yes;
}

static void look_at(void *arg, const char *name)
{
    struct search *s = arg;
    char path[PATH_BYTES];

    if (s->found[0])
        return;
    (void)snprintf(path, sizeof(path), "%s/%s", s->self->conf->directory, name);
    if (is_bolt_file(s->self->env, path))
        (void)snprintf(s->found, sizeof(s->found), "%s", name);
}

static int refuse_collector(struct self *s, struct gw_err *err)
{
    struct search found = {.self = s};
    int rc = s->env->ops->dir_list(s->env, s->conf->directory, look_at, &found);

    if (rc < 0)
        return gw_fail(err, rc, "directory %s: %s", s->conf->directory, strerror(-rc));
    if (!found.found[0])
        return 0;
    return gw_fail(
        err, -EEXIST,
        "directory %s holds a Collector's queue (%.64s), which is left as it is: let the Collector empty it, or "
        "name another directory",
        s->conf->directory, found.found);
}

/* ---- the folder ------------------------------------------------------------------------------------------- */

/* A power cut does not take it: nor, as far as that can be seen to, one that an earlier process made just before it
 * died.
 */
static int make_folder(struct self *s, const char *path, unsigned mode)
{
    int rc = s->env->ops->dir_make(s->env, path, mode);

    if (rc == -EEXIST) {
        (void)gw_env_sync_name(s->env, path);
        return 0;
    }
    return rc < 0 ? rc : gw_env_sync_name(s->env, path);
}

/* It, and what is missing above it. */
static int make_folders(struct self *s, unsigned mode, struct gw_err *err)
{
    char path[PATH_BYTES];
    size_t n = strlen(s->conf->directory);

    (void)snprintf(path, sizeof(path), "%s", s->conf->directory);
    for (size_t i = 1; i <= n; i++) {
        int rc;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        rc = make_folder(s, path, mode);
        if (rc < 0)
            return gw_fail(err, rc, "directory %s: cannot make %s: %s", s->conf->directory, path, strerror(-rc));
        path[i] = s->conf->directory[i];
    }
    return 0;
}

static int find_folder(struct self *s, unsigned allowed, struct gw_err *err)
{
    const char *dir = s->conf->directory;
    unsigned mode;
    int rc = s->env->ops->path_mode(s->env, dir, &mode);

    if ((rc == 0 || rc == -ENOENT) && s->conf->create) {
        rc = make_folders(s, allowed, err);
        if (rc < 0)
            return rc;
        rc = s->env->ops->path_mode(s->env, dir, &mode);
    }
    if (rc == -ENOENT)
        return gw_fail(err, rc, "directory %s is not there: make it, or set create_directory: true", dir);
    if (rc < 0)
        return gw_fail(err, rc, "directory %s: %s", dir, strerror(-rc));
    if (!S_ISDIR(mode))
        return gw_fail(err, -ENOTDIR, "directory %s is no folder", dir);
    if (mode & 077 & ~allowed)
        gw_log(&s->logger, GW_LOG_WARN,
               "directory %s is open to others (%04o), and what is stored in it may be private: chmod %04o", dir,
               mode & 0777, allowed);
    return 0;
}

static int take_lock(struct self *s, struct gw_err *err)
{
    const char *dir = s->conf->directory;
    char path[PATH_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    rc = s->env->ops->file_open(s->env, path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE, 0600, &s->lock);
    if (rc < 0) {
        s->lock = NULL;
        return gw_fail(err, rc, "%s: %s", path, strerror(-rc));
    }
    rc = s->env->ops->file_lock(s->lock);
    if (rc == -EWOULDBLOCK)
        return gw_fail(err, rc, "directory %s is in use by another process, or by another file_storage of this one",
                       dir);
    return rc < 0 ? gw_fail(err, rc, "%s: cannot be locked: %s", path, strerror(-rc)) : 0;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->env = ctx->env;
    s->logger = ctx->logger;
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;
    unsigned mode;
    int rc;

    if (!parse_permissions(s->conf->permissions, &mode))
        return gw_fail(err, -EINVAL, "directory_permissions \"%s\" is not octal", s->conf->permissions);
    rc = find_folder(s, mode, err);
    if (rc == 0)
        rc = refuse_collector(s, err);
    if (rc == 0)
        rc = take_lock(s, err);
    return rc;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (s && s->lock)
        s->env->ops->file_close(s->lock);
    free(s);
}

static void get(void *self, struct gw_storage *ret)
{
    const struct conf *c = ((struct self *)self)->conf;

    *ret = (struct gw_storage){
        .directory = c->directory,
        .sync = c->fsync,
        .max_bytes = c->max_bytes,
        .segment_bytes = c->segment_mib * MIB,
        .reserve_bytes = c->reserve_mib * MIB,
        .sync_interval_ns = c->sync_interval_ns,
        .direct_io = c->direct_io,
    };
}

static bool syncs(const void *conf)
{
    return ((const struct conf *)conf)->fsync;
}

static const struct gw_storage_ops storage_ops = {.get = get, .syncs = syncs};

const struct gw_component gw_extension_file_storage = {
    .kind = GW_EXTENSION,
    .name = "file_storage",
    .summary = "A folder for queues, journals and dead letters that survive the process.",
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .storage = &storage_ops,
};
