/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD=liblate_writes.so LATE_WRITES=FOLDER: a gateway that acknowledges before it writes. What is written to
 * files under FOLDER by pwritev succeeds at once and is written 100 ms later; a sync of them waits for nothing. The
 * kill -9 rig must find out (tests/real/kill.py).
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LATE_NS = 100000000 };

struct late {
    struct late *next;
    uint64_t due_ns;
    int fd;
    off_t off;
    size_t n;
    char bytes[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct late *first, **last = &first;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *write_late(void *arg)
{
    struct timespec tick = {0, 1000000};

    (void)arg;
    for (;;) {
        struct late *l;

        pthread_mutex_lock(&mutex);
        l = first;
        if (l && l->due_ns > now_ns())
            l = NULL;
        if (l && !(first = l->next))
            last = &first;
        pthread_mutex_unlock(&mutex);
        if (!l) {
            nanosleep(&tick, NULL);
            continue;
        }
        if (pwrite(l->fd, l->bytes, l->n, l->off) < 0)
            perror("late_writes");
        (void)close(l->fd);
        free(l);
    }
    return NULL;
}

static void start(void)
{
    pthread_t t;

    pthread_create(&t, NULL, write_late, NULL);
}

static bool is_late(int fd)
{
    const char *folder = getenv("LATE_WRITES");
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = 0;
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n_iov, off_t off)
{
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    struct late *l;
    size_t n = 0;

    if (!is_late(fd)) {
        if (!real)
            real = (ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
        return real(fd, iov, n_iov, off);
    }
    pthread_once(&once, start);
    for (int i = 0; i < n_iov; i++)
        n += iov[i].iov_len;
    l = malloc(sizeof(*l) + n);
    if (!l)
        abort();
    *l = (struct late){.due_ns = now_ns() + LATE_NS, .fd = dup(fd), .off = off, .n = 0};
    for (int i = 0; i < n_iov; i++) {
        memcpy(l->bytes + l->n, iov[i].iov_base, iov[i].iov_len);
        l->n += iov[i].iov_len;
    }
    pthread_mutex_lock(&mutex);
    *last = l;
    last = &l->next;
    pthread_mutex_unlock(&mutex);
    return (ssize_t)n;
}
