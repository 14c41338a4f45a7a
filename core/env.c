/* SPDX-License-Identifier: Apache-2.0 */
#include "core/env.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

enum { READ_STEP_BYTES = 16384, PATH_BYTES = 4096 };

uint64_t gw_random_u64(struct gw_env *env)
{
    uint64_t v;

    env->ops->random(env, &v, sizeof(v));
    return v;
}

/* Reads to the end rather than to the size: files of /proc tell none, and a file may grow under us. */
static int read_all(struct gw_env *env, struct gw_file *f, struct gw_buf *b)
{
    for (;;) {
        ssize_t n;
        int rc = gw_buf_reserve(b, READ_STEP_BYTES < b->max_bytes - b->n ? READ_STEP_BYTES : b->max_bytes - b->n);

        if (rc < 0)
            return rc;
        if (b->n == b->max_bytes)
            return -E2BIG;
        n = env->ops->file_pread(f, b->p + b->n, b->cap - b->n, b->n);
        if (n <= 0)
            return (int)n;
        b->n += (size_t)n;
    }
}

int gw_env_read_file(struct gw_env *env, const char *path, size_t max_bytes, char **ret_p, size_t *ret_n,
                     struct gw_err *err)
{
    struct gw_file *f;
    struct gw_buf b;
    int rc = env->ops->file_open(env, path, GW_OPEN_READ, 0, &f);

    if (rc < 0)
        return gw_fail(err, rc, "%s: %s", path, strerror(-rc));
    /* One byte more than allowed, so that a file of exactly max_bytes is told from a longer one; and the zero. */
    gw_buf_init(&b, max_bytes + 1);
    rc = read_all(env, f, &b);
    env->ops->file_close(f);
    if (rc == 0 && b.n <= max_bytes) {
        gw_buf_put_u8(&b, 0);
        if (!b.failed) {
            *ret_p = (char *)gw_buf_take(&b, ret_n);
            *ret_n -= 1;
            return 0;
        }
        rc = -ENOMEM;
    }
    gw_buf_clear(&b);
    if (rc == -E2BIG)
        return gw_fail(err, rc, "%s: longer than the limit of %zu bytes", path, max_bytes);
    return gw_fail(err, rc, "%s: %s", path, strerror(-rc));
}

int gw_env_sync_name(struct gw_env *env, const char *path)
{
    char around[PATH_BYTES];
    size_t n = strlen(path);
    int rc;

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n >= sizeof(around))
        return -ENAMETOOLONG;
    memcpy(around, n ? path : ".", n ? n : 1);
    around[n ? n : 1] = '\0';
    rc = env->ops->dir_sync(env, around);
    return rc == -EACCES ? 0 : rc;
}
