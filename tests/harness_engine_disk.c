/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_engine_disk.h"

void (*gw_test_disk_enter)(int change);
static struct gw_simdisk *disk;

static void enter(int change)
{
    if (gw_test_disk_enter)
        gw_test_disk_enter(change);
}

static struct gw_env *on(const struct gw_env *engines)
{
    (void)engines;
    return &disk->env;
}

/* The same call of the disk, which is the only one there is. */
#define FORWARD(type, name, call, ...)                                                                                 \
    static type name(__VA_ARGS__)                                                                                      \
    {                                                                                                                  \
        type ret;                                                                                                      \
                                                                                                                       \
        enter(1);                                                                                                      \
        ret = disk->ops.call;                                                                                          \
        enter(-1);                                                                                                     \
        return ret;                                                                                                    \
    }

FORWARD(int, file_open, file_open(on(env), path, flags, mode, ret_file), struct gw_env *env, const char *path,
        int flags, unsigned mode, struct gw_file **ret_file)
FORWARD(ssize_t, file_writev, file_writev(f, iov, n), struct gw_file *f, const struct iovec *iov, int n)
FORWARD(ssize_t, file_pwritev, file_pwritev(f, iov, n, off), struct gw_file *f, const struct iovec *iov, int n,
        uint64_t off)
FORWARD(int, file_sync, file_sync(f), struct gw_file *f)
FORWARD(int, file_truncate, file_truncate(f, n), struct gw_file *f, uint64_t n)
FORWARD(int, file_allocate, file_allocate(f, off, n), struct gw_file *f, uint64_t off, uint64_t n)
FORWARD(int, file_rename, file_rename(on(env), from, to), struct gw_env *env, const char *from, const char *to)
FORWARD(int, file_remove, file_remove(on(env), path), struct gw_env *env, const char *path)
FORWARD(int, dir_make, dir_make(on(env), path, mode), struct gw_env *env, const char *path, unsigned mode)
FORWARD(int, dir_list, dir_list(on(env), path, each, arg), struct gw_env *env, const char *path,
        void (*each)(void *arg, const char *name), void *arg)
FORWARD(int, dir_sync, dir_sync(on(env), path), struct gw_env *env, const char *path)
FORWARD(int, disk_space, disk_space(on(env), path, ret_free, ret_total), struct gw_env *env, const char *path,
        uint64_t *ret_free, uint64_t *ret_total)
FORWARD(int, path_mode, path_mode(on(env), path, ret_mode), struct gw_env *env, const char *path, unsigned *ret_mode)
FORWARD(uint64_t, file_changed_ns, file_changed_ns(on(env), path), struct gw_env *env, const char *path)

static void put_disk(struct gw_env_ops *ops)
{
    ops->file_open = file_open;
    ops->file_pread = disk->ops.file_pread;
    ops->file_writev = file_writev;
    ops->file_pwritev = file_pwritev;
    ops->file_size = disk->ops.file_size;
    ops->file_sync = file_sync;
    ops->file_truncate = file_truncate;
    ops->file_allocate = file_allocate;
    ops->file_forget = disk->ops.file_forget;
    ops->file_lock = disk->ops.file_lock;
    ops->file_close = disk->ops.file_close;
    ops->file_rename = file_rename;
    ops->file_remove = file_remove;
    ops->dir_make = dir_make;
    ops->dir_list = dir_list;
    ops->dir_sync = dir_sync;
    ops->disk_space = disk_space;
    ops->path_mode = path_mode;
    ops->file_changed_ns = file_changed_ns;
}

void gw_test_engine_on_disk(struct gw_simdisk *d)
{
    disk = d;
    gw_test_engine_sinks = d ? put_disk : NULL;
}
