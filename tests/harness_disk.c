/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"

static struct gw_disk *disk;

struct handle {
    struct gw_disk_file *f;
    size_t at;
    bool append;
};

static struct gw_disk_file **find(const char *path)
{
    for (unsigned i = 0; i < GW_DISK_FILES; i++)
        if (disk->files[i] && strcmp(disk->files[i]->path, path) == 0)
            return &disk->files[i];
    return NULL;
}

static struct gw_disk_file *make(const char *path)
{
    for (unsigned i = 0; i < GW_DISK_FILES; i++) {
        struct gw_disk_file *f;

        if (disk->files[i])
            continue;
        f = calloc(1, sizeof(*f));
        assert_non_null(f);
        (void)snprintf(f->path, sizeof(f->path), "%s", path);
        gw_buf_init(&f->bytes, 1 << 26);
        f->changed_ns = gw_wall_ns(disk->env);
        disk->files[i] = f;
        return f;
    }
    fail_msg("the disk has room for %d files", GW_DISK_FILES);
    return NULL;
}

static bool has_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    for (unsigned i = 0; i < disk->n_folders; i++)
        if (strlen(disk->folders[i]) == n && strncmp(disk->folders[i], path, n) == 0)
            return true;
    return n == 0;
}

static int disk_open(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    struct gw_disk_file **found = find(path), *f = found ? *found : NULL;
    struct handle *h;

    (void)env;
    if (disk->fail_open)
        return disk->fail_open;
    if (disk->needs_folders && !has_folder(path))
        return -ENOENT;
    if (!f && !(flags & GW_OPEN_CREATE))
        return -ENOENT;
    if (!f) {
        f = make(path);
        f->mode = mode;
    }
    if (flags & GW_OPEN_TRUNCATE)
        gw_buf_reset(&f->bytes);
    h = calloc(1, sizeof(*h));
    assert_non_null(h);
    *h = (struct handle){.f = f, .append = flags & GW_OPEN_APPEND};
    disk->n_opened++;
    if (++disk->n_open > disk->max_open)
        disk->max_open = disk->n_open;
    *ret = (struct gw_file *)(void *)h;
    return 0;
}

static ssize_t disk_writev(struct gw_file *file, const struct iovec *iov, int n_iov)
{
    struct handle *h = (struct handle *)(void *)file;
    size_t n = iov->iov_len;

    (void)n_iov;
    if (disk->room_bytes == 0)
        return disk->full;
    if (disk->room_bytes > 0 && n > (size_t)disk->room_bytes)
        n = (size_t)disk->room_bytes;
    if (disk->room_bytes > 0)
        disk->room_bytes -= (int64_t)n;
    if (h->append)
        h->at = h->f->bytes.n;
    assert_true(h->at <= h->f->bytes.n);
    if (h->at + n > h->f->bytes.n) {
        assert_int_equal(gw_buf_reserve(&h->f->bytes, h->at + n - h->f->bytes.n + 1), 0);
        h->f->bytes.n = h->at + n;
    }
    memcpy(h->f->bytes.p + h->at, iov->iov_base, n);
    h->at += n;
    h->f->changed_ns = gw_wall_ns(disk->env);
    return (ssize_t)n;
}

static int64_t disk_size(struct gw_file *file)
{
    return (int64_t)((struct handle *)(void *)file)->f->bytes.n;
}

static int disk_truncate(struct gw_file *file, uint64_t bytes)
{
    struct handle *h = (struct handle *)(void *)file;

    h->f->bytes.n = (size_t)bytes;
    if (h->at > bytes)
        h->at = (size_t)bytes;
    return 0;
}

static void disk_close(struct gw_file *file)
{
    disk->n_open--;
    free(file);
}

static void forget(struct gw_disk_file **f)
{
    gw_buf_clear(&(*f)->bytes);
    free(*f);
    *f = NULL;
}

static int disk_rename(struct gw_env *env, const char *from, const char *to)
{
    struct gw_disk_file **f = find(from), **old = find(to);

    (void)env;
    if (disk->fail_rename)
        return disk->fail_rename;
    if (!f)
        return -ENOENT;
    if (old)
        forget(old);
    (void)snprintf((*f)->path, sizeof((*f)->path), "%s", to);
    return 0;
}

static int disk_remove(struct gw_env *env, const char *path)
{
    struct gw_disk_file **f = find(path);

    (void)env;
    if (!f)
        return -ENOENT;
    forget(f);
    return 0;
}

static int disk_make_dir(struct gw_env *env, const char *path, unsigned mode)
{
    (void)env;
    for (unsigned i = 0; i < disk->n_folders; i++)
        if (strcmp(disk->folders[i], path) == 0)
            return -EEXIST;
    assert_in_range(disk->n_folders, 0, GW_DISK_FILES - 1);
    (void)snprintf(disk->folders[disk->n_folders], GW_DISK_PATH, "%s", path);
    disk->folder_modes[disk->n_folders++] = mode;
    return 0;
}

static int disk_list(struct gw_env *env, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    size_t n = strcmp(path, ".") == 0 ? 0 : strlen(path);

    (void)env;
    for (unsigned i = 0; i < GW_DISK_FILES; i++) {
        const char *p = disk->files[i] ? disk->files[i]->path : NULL, *name = p ? strrchr(p, '/') : NULL;

        if (p && (name ? (size_t)(name - p) : 0) == n && strncmp(p, path, n) == 0)
            each(arg, name ? name + 1 : p);
    }
    return 0;
}

static uint64_t disk_changed_ns(struct gw_env *env, const char *path)
{
    struct gw_disk_file **f = find(path);

    (void)env;
    return f ? (*f)->changed_ns : 0;
}

void gw_disk_init(struct gw_disk *d, struct gw_env *env, struct gw_env_ops *ops)
{
    memset(d, 0, sizeof(*d));
    d->env = env;
    d->room_bytes = -1;
    d->full = -ENOSPC;
    disk = d;
    ops->file_open = disk_open;
    ops->file_writev = disk_writev;
    ops->file_size = disk_size;
    ops->file_truncate = disk_truncate;
    ops->file_close = disk_close;
    ops->file_rename = disk_rename;
    ops->file_remove = disk_remove;
    ops->dir_make = disk_make_dir;
    ops->dir_list = disk_list;
    ops->file_changed_ns = disk_changed_ns;
}

void gw_disk_clear(struct gw_disk *d)
{
    for (unsigned i = 0; i < GW_DISK_FILES; i++)
        if (d->files[i])
            forget(&d->files[i]);
}

struct gw_slice gw_disk_bytes(struct gw_disk *d, const char *path)
{
    (void)d;
    struct gw_disk_file **f = find(path);

    return f ? gw_buf_slice(&(*f)->bytes) : (struct gw_slice){0};
}

const char *gw_disk_text(struct gw_disk *d, const char *path)
{
    struct gw_disk_file **f = find(path);

    (void)d;
    if (!f)
        return NULL;
    assert_int_equal(gw_buf_reserve(&(*f)->bytes, 1), 0);
    (*f)->bytes.p[(*f)->bytes.n] = 0;
    return (const char *)(*f)->bytes.p;
}

void gw_disk_put(struct gw_disk *d, const char *path, const char *text)
{
    (void)d;
    gw_buf_put_str(&make(path)->bytes, text);
}

unsigned gw_disk_count(const struct gw_disk *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < GW_DISK_FILES; i++)
        n += d->files[i] != NULL;
    return n;
}
