/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log costs, against the same bytes written plainly to the same disk (writev and fdatasync of 4 MiB blocks
 * into a preallocated file). One JSON line a case. CPU is the writer's thread; wall is what a client waits for.
 *
 *   log_bench DIR            the cases below, in a folder that is made and removed
 *   log_bench DIR queue      commits that are settled at once, at a rate: segments made anew, and used again, in turn
 *   log_bench DIR restart N  a backlog of N GiB and a killed process, then how long opening takes and what memory it
 * needs
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log/crc32c.h"
#include "log/files.h"
#include "log/impl.h"

enum { MAX_COMMITS = 64 };

static uint8_t body[1 << 20];

static double clock_of(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void remove_folder(const char *dir)
{
    char cmd[4300];

    (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    check(system(cmd) == 0, cmd);
}

/* ---- plainly ----------------------------------------------------------------------------------------------- */

static double raw_sync_mb_s(const char *dir, uint64_t bytes)
{
    static uint8_t block[4 << 20];
    char path[4200];
    double t;
    int fd;

    memset(block, 'x', sizeof(block));
    (void)snprintf(path, sizeof(path), "%s/raw", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0, path);
    t = clock_of(CLOCK_MONOTONIC);
    for (uint64_t at = 0; at < bytes; at += sizeof(block)) {
        struct iovec iov = {block, sizeof(block)};

        check(pwritev(fd, &iov, 1, (off_t)at) == (ssize_t)sizeof(block), "pwritev");
        check(fdatasync(fd) == 0, "fdatasync");
    }
    t = clock_of(CLOCK_MONOTONIC) - t;
    (void)close(fd);
    (void)unlink(path);
    printf("{\"case\": \"raw_4mib_fdatasync\", \"mb_per_s\": %.0f}\n", (double)bytes / t * 1e3);
    return (double)bytes / t * 1e3;
}

static double raw_write_ns_byte(const char *dir, size_t n, uint64_t total)
{
    char path[4200];
    double t;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/raw", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && fallocate(fd, 0, 0, (off_t)total) == 0, path);
    t = clock_of(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t at = 0; at + n <= total; at += n) {
        struct iovec iov = {body, n};

        check(pwritev(fd, &iov, 1, (off_t)at) == (ssize_t)n, "pwritev");
    }
    t = clock_of(CLOCK_THREAD_CPUTIME_ID) - t;
    (void)close(fd);
    (void)unlink(path);
    printf("{\"case\": \"raw_write\", \"bytes\": %zu, \"ns_per_byte\": %.3f, \"us_per_write\": %.2f}\n", n,
           t / (double)total, t / ((double)total / (double)n) / 1e3);
    return t / (double)total;
}

/* ---- the log ----------------------------------------------------------------------------------------------- */

struct one {
    struct gw_log_commit c;
    struct gw_log_frame f;
    double *latency, since;
    unsigned *n_done;
};

static void done(struct gw_log_commit *c, int rc)
{
    struct one *o = (struct one *)(void *)c;

    check(rc == 0, "commit failed");
    if (o->latency)
        o->latency[*o->n_done] = clock_of(CLOCK_MONOTONIC) - o->since;
    (*o->n_done)++;
}

static struct gw_log *open_log(struct gw_env *env, const char *dir, uint64_t max_bytes)
{
    static struct gw_log_files_conf conf;
    struct gw_log *log;
    struct gw_err err = {""};

    conf = (struct gw_log_files_conf){.env = env, .dir = dir, .retention = {.max_bytes = max_bytes}};
    check(gw_log_files_open(&conf, &log, &err) == 0, err.text);
    return log;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* `together` commits of n bytes before each turn of the writer, until `total` bytes are written. */
static void append(struct gw_env *env, const char *root, size_t n, unsigned together, uint64_t total, bool sync,
                   double raw)
{
    struct one ones[MAX_COMMITS];
    char dir[4200];
    unsigned n_done = 0, n_all = (unsigned)(total / n) / together * together;
    double *latency = calloc(n_all + 1, sizeof(*latency)), cpu, wall;
    struct gw_log *log;

    (void)snprintf(dir, sizeof(dir), "%s/log", root);
    remove_folder(dir);
    log = open_log(env, dir, 512u << 20);
    cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
    wall = clock_of(CLOCK_MONOTONIC);
    while (n_done < n_all) {
        for (unsigned i = 0; i < together; i++) {
            ones[i] = (struct one){.c = {.n_frames = 1, .sync = sync, .done = done},
                                   .f = {.rows = 100, .signal = 1, .body = {body, n}},
                                   .latency = latency,
                                   .since = clock_of(CLOCK_MONOTONIC),
                                   .n_done = &n_done};
            ones[i].c.frames = &ones[i].f;
            gw_log_submit(log, &ones[i].c);
        }
        (void)gw_log_work(log);
    }
    cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    wall = clock_of(CLOCK_MONOTONIC) - wall;
    qsort(latency, n_all, sizeof(*latency), by_size);
    printf(
        "{\"case\": \"%s\", \"bytes\": %zu, \"together\": %u, \"cpu_ns_per_byte\": %.3f, \"cpu_us_per_commit\": %.2f, "
        "\"mb_per_s\": %.0f, \"of_raw\": %.2f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n",
        sync ? "append_sync" : "append", n, together, cpu / (double)n / n_all, cpu / n_all / 1e3,
        (double)n * n_all / wall * 1e3, raw > 0 ? (double)n * n_all / wall * 1e3 / raw : 0, latency[n_all / 2] / 1e3,
        latency[(size_t)n_all * 99 / 100] / 1e3);
    (void)fflush(stdout);
    gw_log_close(log);
    remove_folder(dir);
    free(latency);
}

/* One commit of n bytes, and its settlement. */
static void pass(struct gw_log *log, uint32_t consumer, size_t n)
{
    unsigned n_done = 0;
    struct one o = {.c = {.n_frames = 1, .done = done}, .f = {.rows = 1, .body = {body, n}}, .n_done = &n_done};
    struct gw_log_settle s = {.consumer = consumer};
    struct one settled = {.c = {.settles = &s, .n_settles = 1, .done = done}, .n_done = &n_done};

    o.c.frames = &o.f;
    gw_log_submit(log, &o.c);
    (void)gw_log_work(log);
    s.seq = s.last_seq = o.f.seq;
    gw_log_submit(log, &settled.c);
    (void)gw_log_work(log);
}

/* CPU in us of one, with what goes with a segment that goes. */
static double pass_us(struct gw_log *log, uint32_t consumer, size_t n, double seconds, unsigned rate, bool again)
{
    double cpu = clock_of(CLOCK_THREAD_CPUTIME_ID), from = clock_of(CLOCK_MONOTONIC), idle = 0, t;
    unsigned k = 0;

    while ((t = clock_of(CLOCK_MONOTONIC) - from) < seconds * 1e9)
        if (k < t / 1e9 * rate) {
            pass(log, consumer, n);
            k++;
            if (!again)
                gw_lf_spares_remove((struct gw_lf *)log);
        } else {
            double slept = clock_of(CLOCK_THREAD_CPUTIME_ID);

            (void)usleep(500);
            idle += clock_of(CLOCK_THREAD_CPUTIME_ID) - slept;
        }
    return (clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu - idle) / 1e3 / k;
}

/* In turn, several times: the least of each. */
static void queue(struct gw_env *env, const char *root, size_t n, unsigned rate)
{
    struct gw_log_files_conf conf = {.env = env, .retention = {.until_settled = true}};
    struct gw_log *log;
    struct gw_err err = {""};
    double us, least[2] = {1e30, 1e30};
    char dir[4200];
    uint32_t id;

    (void)snprintf(dir, sizeof(dir), "%s/log", root);
    remove_folder(dir);
    conf.dir = dir;
    check(gw_log_files_open(&conf, &log, &err) == 0, err.text);
    check(gw_log_consumer_open(log, "c", GW_LOG_FROM_FIRST, &id) == 0, "consumer");
    for (unsigned i = 0; i < 12; i++) {
        us = pass_us(log, id, n, 200e6 / n / rate, rate, i % 2);
        least[i % 2] = us < least[i % 2] ? us : least[i % 2];
    }
    printf("{\"case\": \"queue\", \"bytes\": %zu, \"a_second\": %u, \"anew_us\": %.2f, \"again_us\": %.2f}\n", n, rate,
           least[0], least[1]);
    (void)fflush(stdout);
    gw_log_close(log);
    remove_folder(dir);
}

static void crc(void)
{
    double t, best = 1e30;
    uint32_t sum = 0;

    for (unsigned i = 0; i < 200; i++) {
        t = clock_of(CLOCK_THREAD_CPUTIME_ID);
        sum += gw_crc32c(0, body, 64 << 10);
        t = clock_of(CLOCK_THREAD_CPUTIME_ID) - t;
        best = t < best ? t : best;
    }
    printf("{\"case\": \"crc32c\", \"gb_per_s\": %.1f, \"sum\": %u}\n", 65536 / best, sum);
}

static long rss_kib(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        if (fscanf(f, "%ld %ld", &ignored, &pages) != 2)
            pages = 0;
        (void)fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Of these files alone: the page cache belongs to everybody. */
static void forget_pages(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    check(d != NULL, dir);
    while ((e = readdir(d)) != NULL) {
        int fd = openat(dirfd(d), e->d_name, O_RDONLY);

        if (fd < 0)
            continue;
        (void)fsync(fd);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(fd);
    }
    (void)closedir(d);
}

/* Ends without closing, as a process that is killed. */
static void write_backlog(struct gw_env *env, const char *dir, uint64_t bytes)
{
    struct gw_log *log = open_log(env, dir, 0);
    struct gw_log_stats st;
    unsigned n_done = 0;
    uint32_t id;

    check(gw_log_consumer_open(log, "c", GW_LOG_FROM_FIRST, &id) == 0, "consumer");
    do {
        struct one o = {.c = {.n_frames = 1, .done = done}, .f = {.rows = 100, .body = {body, 64 << 10}}};

        o.n_done = &n_done;
        o.c.frames = &o.f;
        gw_log_submit(log, &o.c);
        (void)gw_log_work(log);
        gw_log_stats(log, &st);
    } while (st.bytes < bytes);
    _exit(0);
}

static void restart(struct gw_env *env, const char *root, uint64_t gib)
{
    char dir[4200];
    struct gw_log *log;
    struct gw_log_stats st;
    double t;
    long before;
    int status;

    (void)snprintf(dir, sizeof(dir), "%s/log", root);
    if (fork() == 0)
        write_backlog(env, dir, (gib << 30) + (50u << 20)); /* and most of another segment */
    check(wait(&status) > 0 && status == 0, "the writer failed");
    forget_pages(dir);
    before = rss_kib();
    t = clock_of(CLOCK_MONOTONIC);
    log = open_log(env, dir, 0);
    t = clock_of(CLOCK_MONOTONIC) - t;
    gw_log_stats(log, &st);
    printf("{\"case\": \"restart\", \"gib\": %.2f, \"segments\": %llu, \"ms\": %.0f, \"rss_kib_more\": %ld}\n",
           (double)st.bytes / (1 << 30), (unsigned long long)st.segments, t / 1e6, rss_kib() - before);
    gw_log_close(log);
    remove_folder(dir);
}

int main(int argc, char **argv)
{
    struct gw_env *env = gw_env_real_new();
    double raw;

    check(argc >= 2 && env, "usage: log_bench DIR [queue | restart GIB]");
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 2654435761u >> 13);
    if (argc == 4 && strcmp(argv[2], "restart") == 0) {
        restart(env, argv[1], strtoull(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[2], "queue") == 0) {
        queue(env, argv[1], 61400, 800);
        queue(env, argv[1], 1230, 20000);
    } else {
        crc();
        raw = raw_sync_mb_s(argv[1], 256u << 20);
        for (size_t n = 1 << 10; n <= 256 << 10; n *= 4) {
            (void)raw_write_ns_byte(argv[1], n, 256u << 20);
            append(env, argv[1], n, 1, 256u << 20, false, 0);
            append(env, argv[1], n, 16, 256u << 20, false, 0);
        }
        append(env, argv[1], 64 << 10, 1, 64u << 20, true, raw);
        append(env, argv[1], 64 << 10, 64, 256u << 20, true, raw);
        append(env, argv[1], 256 << 10, 16, 256u << 20, true, raw);
    }
    gw_env_real_free(env);
    return 0;
}
