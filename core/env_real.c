/* SPDX-License-Identifier: Apache-2.0 */
/* The real world: POSIX clock, getrandom, files, stderr. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/env.h"

struct gw_file {
    int fd;
};

struct real {
    struct gw_env env;
    struct gw_env_ops ops; /* a copy of its own, so that the runtime may put the sink factories in */
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t mono_ns(struct gw_env *env)
{
    (void)env;
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t wall_ns(struct gw_env *env)
{
    (void)env;
    return clock_ns(CLOCK_REALTIME);
}

static void random_bytes(struct gw_env *env, void *ret, size_t n)
{
    uint8_t *p = ret;

    (void)env;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got <= 0) {
            if (got < 0 && errno == EINTR)
                continue;
            abort(); /* Linux since 3.17 has it, and it does not fail once the pool is there */
        }
        p += got;
        n -= (size_t)got;
    }
}

static void log_write(struct gw_env *env, const char *line, size_t n)
{
    (void)env;
    while (n > 0) {
        ssize_t w = write(STDERR_FILENO, line, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return; /* nobody is left to be told */
        line += w;
        n -= (size_t)w;
    }
}

static int open_flags(int flags)
{
    int f = O_CLOEXEC;

    f |= (flags & GW_OPEN_WRITE) ? (flags & GW_OPEN_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    f |= flags & GW_OPEN_CREATE ? O_CREAT : 0;
    f |= flags & GW_OPEN_APPEND ? O_APPEND : 0;
    f |= flags & GW_OPEN_TRUNCATE ? O_TRUNC : 0;
    f |= flags & GW_OPEN_EXCLUSIVE ? O_EXCL : 0;
    f |= flags & GW_OPEN_DIRECT ? O_DIRECT : 0;
    return f;
}

/**
 * Standard output is what we were started with: opening its name anew fails when it is a socket, and begins at the
 * front when it is a file.
 */
static int open_path(const char *path, int flags, unsigned mode)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (strcmp(path, "/dev/stderr") == 0)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return open(path, open_flags(flags), (mode_t)mode);
}

static int file_open(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    struct gw_file *f = malloc(sizeof(*f));

    (void)env;
    if (!f)
        return -ENOMEM;
    f->fd = open_path(path, flags, mode);
    if (f->fd < 0) {
        int rc = -errno;

        free(f);
        return rc;
    }
    *ret = f;
    return 0;
}

static ssize_t file_pread(struct gw_file *f, void *p, size_t n, uint64_t off)
{
    for (;;) {
        ssize_t got = pread(f->fd, p, n, (off_t)off);

        if (got < 0 && errno == ESPIPE)
            got = read(f->fd, p, n); /* pipes and terminals: read in order */
        if (got >= 0)
            return got;
        if (errno != EINTR)
            return -errno;
    }
}

static ssize_t file_writev(struct gw_file *f, const struct iovec *iov, int n_iov)
{
    for (;;) {
        ssize_t put = writev(f->fd, iov, n_iov);

        if (put >= 0)
            return put;
        if (errno != EINTR)
            return -errno;
    }
}

static ssize_t file_pwritev(struct gw_file *f, const struct iovec *iov, int n_iov, uint64_t off)
{
    for (;;) {
        ssize_t put = pwritev(f->fd, iov, n_iov, (off_t)off);

        if (put >= 0)
            return put;
        if (errno != EINTR)
            return -errno;
    }
}

static int64_t file_size(struct gw_file *f)
{
    struct stat st;

    return fstat(f->fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int file_sync(struct gw_file *f)
{
    return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int file_truncate(struct gw_file *f, uint64_t bytes)
{
    return ftruncate(f->fd, (off_t)bytes) < 0 ? -errno : 0;
}

static int file_allocate(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    int rc;

    do
        rc = fallocate(f->fd, 0, (off_t)off, (off_t)bytes) < 0 ? -errno : 0;
    while (rc == -EINTR);
    return rc;
}

static void file_forget(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    (void)posix_fadvise(f->fd, (off_t)off, (off_t)bytes, POSIX_FADV_DONTNEED);
}

static void file_ahead(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    (void)posix_fadvise(f->fd, (off_t)off, (off_t)bytes, POSIX_FADV_WILLNEED);
}

static void *file_map(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, f->fd, (off_t)off);

    if (p == MAP_FAILED)
        return NULL;
    (void)mlock(p, (size_t)bytes); /* where that is allowed: a page that went is read again from the disk */
    return p;
}

static void file_unmap(struct gw_env *env, void *p, uint64_t bytes)
{
    (void)env;
    (void)munmap(p, (size_t)bytes);
}

static int file_lock(struct gw_file *f)
{
    return flock(f->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static void file_close(struct gw_file *f)
{
    if (f) {
        (void)close(f->fd);
        free(f);
    }
}

static int file_rename(struct gw_env *env, const char *from, const char *to)
{
    (void)env;
    return rename(from, to) < 0 ? -errno : 0;
}

static int file_remove(struct gw_env *env, const char *path)
{
    (void)env;
    return unlink(path) < 0 ? -errno : 0;
}

static int dir_make(struct gw_env *env, const char *path, unsigned mode)
{
    (void)env;
    return mkdir(path, (mode_t)mode) < 0 ? -errno : 0;
}

static int dir_list(struct gw_env *env, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(path);
    struct dirent *e;

    (void)env;
    if (!d)
        return -errno;
    while ((e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(arg, e->d_name);
    (void)closedir(d);
    return 0;
}

static int dir_sync(struct gw_env *env, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    (void)env;
    if (fd < 0)
        return -errno;
    rc = fsync(fd) < 0 ? -errno : 0;
    (void)close(fd);
    return rc;
}

static int disk_space(struct gw_env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs st;

    (void)env;
    if (statvfs(path, &st) < 0)
        return -errno;
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
    *ret_total = (uint64_t)st.f_blocks * st.f_frsize;
    return 0;
}

static int path_mode(struct gw_env *env, const char *path, unsigned *ret_mode)
{
    struct stat st;

    (void)env;
    if (stat(path, &st) < 0)
        return -errno;
    *ret_mode = st.st_mode;
    return 0;
}

static uint64_t file_changed_ns(struct gw_env *env, const char *path)
{
    struct stat st;

    (void)env;
    if (stat(path, &st) < 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

static const struct gw_env_ops real_ops = {
    .mono_ns = mono_ns,
    .wall_ns = wall_ns,
    .random = random_bytes,
    .log_write = log_write,
    .file_open = file_open,
    .file_pread = file_pread,
    .file_writev = file_writev,
    .file_pwritev = file_pwritev,
    .file_size = file_size,
    .file_sync = file_sync,
    .file_truncate = file_truncate,
    .file_allocate = file_allocate,
    .file_forget = file_forget,
    .file_ahead = file_ahead,
    .file_map = file_map,
    .file_unmap = file_unmap,
    .file_lock = file_lock,
    .file_close = file_close,
    .file_rename = file_rename,
    .file_remove = file_remove,
    .dir_make = dir_make,
    .dir_list = dir_list,
    .dir_sync = dir_sync,
    .disk_space = disk_space,
    .path_mode = path_mode,
    .file_changed_ns = file_changed_ns,
};

struct gw_env *gw_env_real_new(void)
{
    struct real *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->ops = real_ops;
    r->env.ops = &r->ops;
    return &r->env;
}

void gw_env_real_free(struct gw_env *env)
{
    free(env);
}

struct gw_env_ops *gw_env_real_ops(struct gw_env *env)
{
    return &((struct real *)env)->ops;
}
