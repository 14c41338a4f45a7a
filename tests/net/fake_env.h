/* SPDX-License-Identifier: Apache-2.0 */
/* A gw_env whose clock stands still until a test moves it. Log lines are kept, files are the real ones. */
#ifndef GW_TESTS_NET_FAKE_ENV_H
#define GW_TESTS_NET_FAKE_ENV_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env.h"

struct fake_env {
    struct gw_env env;
    uint64_t mono_ns, wall_ns;
    uint64_t seed;
    char log[4096];
    size_t n_log;
    unsigned n_lines;
};

struct gw_file {
    int fd;
};

static inline uint64_t fake_mono_ns(struct gw_env *e)
{
    return ((struct fake_env *)e)->mono_ns;
}

static inline uint64_t fake_wall_ns(struct gw_env *e)
{
    return ((struct fake_env *)e)->wall_ns;
}

static inline void fake_random(struct gw_env *e, void *ret, size_t n)
{
    struct fake_env *f = (struct fake_env *)e;

    for (size_t i = 0; i < n; i++) {
        f->seed = f->seed * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)ret)[i] = (uint8_t)(f->seed >> 56);
    }
}

static inline void fake_log_write(struct gw_env *e, const char *line, size_t n)
{
    struct fake_env *f = (struct fake_env *)e;

    f->n_lines++;
    if (n > sizeof f->log - 1 - f->n_log)
        n = sizeof f->log - 1 - f->n_log;
    memcpy(f->log + f->n_log, line, n);
    f->n_log += n;
    f->log[f->n_log] = 0;
}

static inline int fake_file_open(struct gw_env *e, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)e, (void)flags, (void)mode;
    if (fd < 0)
        return -errno;
    *ret = malloc(sizeof **ret);
    (*ret)->fd = fd;
    return 0;
}

static inline ssize_t fake_file_pread(struct gw_file *f, void *p, size_t n, uint64_t off)
{
    ssize_t r = pread(f->fd, p, n, (off_t)off);

    return r < 0 ? -errno : r;
}

static inline int64_t fake_file_size(struct gw_file *f)
{
    struct stat st;

    return fstat(f->fd, &st) < 0 ? -errno : st.st_size;
}

static inline void fake_file_close(struct gw_file *f)
{
    close(f->fd);
    free(f);
}

static inline uint64_t fake_file_changed_ns(struct gw_env *e, const char *path)
{
    struct stat st;

    (void)e;
    return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
}

static const struct gw_env_ops fake_ops = {
    .mono_ns = fake_mono_ns,
    .wall_ns = fake_wall_ns,
    .random = fake_random,
    .log_write = fake_log_write,
    .file_open = fake_file_open,
    .file_pread = fake_file_pread,
    .file_size = fake_file_size,
    .file_close = fake_file_close,
    .file_changed_ns = fake_file_changed_ns,
};

static inline void fake_env_init(struct fake_env *f)
{
    *f = (struct fake_env){
        .env.ops = &fake_ops, .mono_ns = 1000000000000ull, .wall_ns = 1700000000000000000ull, .seed = 1};
}

#endif
