/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside world. Whatever a component learns from or does to the outside goes through this vtable, so
 * that a seeded simulation can put a virtual clock, disk and network under a whole pipeline. Code that calls
 * time(), rand() or open() itself is a bug.
 *
 * Sinks are cut at request level (a request in, an outcome out), because curl, librdkafka and grpc own their
 * sockets: see core/client.h.
 */
#ifndef GW_CORE_ENV_H
#define GW_CORE_ENV_H

#include <sys/types.h>
#include <sys/uio.h>

#include "core/slice.h"
#include "core/status.h"

struct gw_env;
struct gw_loop;
struct gw_file;
struct gw_http_client;
struct gw_http_client_conf;
struct gw_producer;
struct gw_producer_conf;
struct gw_rpc_client;
struct gw_rpc_client_conf;

enum gw_open_flags {
    GW_OPEN_READ = 1,
    GW_OPEN_WRITE = 2,
    GW_OPEN_CREATE = 4,
    GW_OPEN_APPEND = 8,
    GW_OPEN_TRUNCATE = 16,
    GW_OPEN_EXCLUSIVE = 32,
    GW_OPEN_DIRECT = 64, /* past the page cache: whole pages of memory, whole pages of the file. -EINVAL: not here */
};

struct gw_env_ops {
    /** Nanoseconds since some start; never goes back. All timers use it. */
    uint64_t (*mono_ns)(struct gw_env *env);
    /** Nanoseconds since 1970-01-01 UTC; may jump. Only for stamping data, logs and file names. */
    uint64_t (*wall_ns)(struct gw_env *env);
    void (*random)(struct gw_env *env, void *ret, size_t n);

    /** One finished log line, with its newline. */
    void (*log_write)(struct gw_env *env, const char *line, size_t n);

    /* Disk. Every call returns 0 (or a count) or a negative errno. Paths are as given in the configuration. */
    int (*file_open)(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret);
    ssize_t (*file_pread)(struct gw_file *f, void *p, size_t n, uint64_t off);
    ssize_t (*file_writev)(struct gw_file *f, const struct iovec *iov, int n_iov);
    ssize_t (*file_pwritev)(struct gw_file *f, const struct iovec *iov, int n_iov, uint64_t off);
    int64_t (*file_size)(struct gw_file *f);
    int (*file_sync)(struct gw_file *f);
    int (*file_truncate)(struct gw_file *f, uint64_t bytes);
    /** Blocks for [off, off + bytes), which reads as zeros and grows the file: later writes there find room. */
    int (*file_allocate)(struct gw_file *f, uint64_t off, uint64_t bytes);
    /** Nobody is likely to read that again: memory that holds what is synced of it is given back. */
    void (*file_forget)(struct gw_file *f, uint64_t off, uint64_t bytes);
    /** That is read next: the disk may begin. NULL where there is none, as in tests. */
    void (*file_ahead)(struct gw_file *f, uint64_t off, uint64_t bytes);
    /**
     * [off, off + bytes) of the file, in whole pages, as memory: what is written there is in the file when the process
     * ends, however it does. NULL: not possible; so may be the call itself, as in tests. Until it is unmapped.
     */
    void *(*file_map)(struct gw_file *f, uint64_t off, uint64_t bytes);
    void (*file_unmap)(struct gw_env *env, void *p, uint64_t bytes);
    /** Until it is closed or the process ends. -EWOULDBLOCK: another opening of the file has it. */
    int (*file_lock)(struct gw_file *f);
    void (*file_close)(struct gw_file *f);
    int (*file_rename)(struct gw_env *env, const char *from, const char *to);
    int (*file_remove)(struct gw_env *env, const char *path);
    int (*dir_make)(struct gw_env *env, const char *path, unsigned mode);
    /** Calls `each` once per entry name, without . and .. */
    int (*dir_list)(struct gw_env *env, const char *path, void (*each)(void *arg, const char *name), void *arg);
    /** Names that were made, renamed or removed in this folder survive a power cut. */
    int (*dir_sync)(struct gw_env *env, const char *path);
    /** Of the file system that the path lies on: what this process may still write, and its size. */
    int (*disk_space)(struct gw_env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total);
    /** Type and permissions of what the path leads to, as st_mode has them: without opening it. */
    int (*path_mode)(struct gw_env *env, const char *path, unsigned *ret_mode);
    /** Wall time of the last change in ns, or 0 when the file is not there. */
    uint64_t (*file_changed_ns)(struct gw_env *env, const char *path);

    /**
     * The body that a GET of an http: or https: URL brings, at most max_bytes. Waits for it, some seconds at most: for
     * what is read before anything runs. NULL in builds and tests without a network.
     *
     * Owner     gives *ret_p (free() it); a terminating zero stands behind the n bytes
     * Errors    negative errno; -E2BIG over max_bytes; err does not name the URL, which may hold a password
     */
    int (*fetch)(struct gw_env *env, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                 struct gw_err *err);

    /* Sinks, for one exporter thread each. NULL in builds and tests that have none. */
    int (*http_client_new)(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                           struct gw_http_client **ret, struct gw_err *err);
    int (*producer_new)(struct gw_env *env, struct gw_loop *loop, const struct gw_producer_conf *conf,
                        struct gw_producer **ret, struct gw_err *err);
    int (*rpc_client_new)(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                          struct gw_rpc_client **ret, struct gw_err *err);
};

/** First member of whatever struct implements an environment. */
struct gw_env {
    const struct gw_env_ops *ops;
};

static inline uint64_t gw_mono_ns(struct gw_env *env)
{
    return env->ops->mono_ns(env);
}

static inline uint64_t gw_wall_ns(struct gw_env *env)
{
    return env->ops->wall_ns(env);
}

uint64_t gw_random_u64(struct gw_env *env);

/**
 * The whole of a file, at most max_bytes.
 *
 * Owner     gives *ret_p (free() it); a terminating zero stands behind the n bytes
 * Errors    negative errno; -E2BIG over max_bytes; err names the path
 */
int gw_env_read_file(struct gw_env *env, const char *path, size_t max_bytes, char **ret_p, size_t *ret_n,
                     struct gw_err *err);

/**
 * The name that a file or folder has in the folder around it survives a power cut: whoever made it, if it was only just
 * now. Errors: of the disk; none for a folder around it that this process may not even read, which it cannot have
 * changed.
 */
int gw_env_sync_name(struct gw_env *env, const char *path);

/** The real world: POSIX clock, getrandom, files, stderr. The sink factories are filled in by the runtime. */
struct gw_env *gw_env_real_new(void);
void gw_env_real_free(struct gw_env *env);
/** The real environment's table may be written before any thread starts: the runtime puts the sink factories in. */
struct gw_env_ops *gw_env_real_ops(struct gw_env *env);

#endif
