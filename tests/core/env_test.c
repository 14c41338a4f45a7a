/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env.h"

static char dir[] = "/tmp/gw_env_test.XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put_file(struct gw_env *env, const char *path, const char *text)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct gw_file *f;

    assert_int_equal(env->ops->file_open(env, path, GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_TRUNCATE, 0600, &f), 0);
    assert_int_equal(env->ops->file_writev(f, &iov, 1), (int)strlen(text));
    assert_int_equal(env->ops->file_sync(f), 0);
    env->ops->file_close(f);
}

/*
 * Scenario    a page of a file is mapped and written to; a page is written directly out of that memory
 * Guarantees  who reads the file sees both; a file system that takes no direct writes says so when it is opened
 */
static void files_are_memory_and_written_past_the_cache(void **state)
{
    struct gw_env *env = *state;
    const int flags = GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE;
    struct gw_file *f, *direct;
    struct iovec iov = {.iov_len = 4096};
    char read[5] = "";
    int rc;

    assert_int_equal(env->ops->file_open(env, in_dir("m"), flags, 0600, &f), 0);
    assert_int_equal(env->ops->file_allocate(f, 0, 3 * 4096), 0);
    iov.iov_base = env->ops->file_map(f, 4096, 4096);
    assert_non_null(iov.iov_base);
    memcpy(iov.iov_base, "page", 4);
    assert_int_equal(env->ops->file_pread(f, read, 4, 4096), 4);
    assert_string_equal(read, "page");
    rc = env->ops->file_open(env, in_dir("m"), GW_OPEN_WRITE | GW_OPEN_DIRECT, 0600, &direct);
    if (rc == 0) {
        assert_int_equal(env->ops->file_pwritev(direct, &iov, 1, 2 * 4096), 4096);
        env->ops->file_close(direct);
        memset(read, 0, sizeof(read));
        assert_int_equal(env->ops->file_pread(f, read, 4, 2 * 4096), 4);
        assert_string_equal(read, "page");
    } else {
        assert_int_equal(rc, -EINVAL);
    }
    env->ops->file_unmap(env, iov.iov_base, 4096);
    env->ops->file_close(f);
    assert_int_equal(env->ops->file_remove(env, in_dir("m")), 0);
}

/*
 * Scenario    a file is written, its size asked, shortened, renamed, listed and removed
 * Guarantees  each call does what it says and failures are negative errno
 */
static void files_do_as_told(void **state)
{
    struct gw_env *env = *state;
    struct gw_file *f;
    unsigned mode;
    char to[128];

    put_file(env, in_dir("a"), "hello");
    assert_int_equal(env->ops->file_open(env, in_dir("a"), GW_OPEN_READ | GW_OPEN_WRITE, 0, &f), 0);
    assert_int_equal(env->ops->file_size(f), 5);
    assert_int_equal(env->ops->file_truncate(f, 2), 0);
    assert_int_equal(env->ops->file_size(f), 2);
    env->ops->file_close(f);
    assert_true(env->ops->file_changed_ns(env, in_dir("a")) > 0);
    (void)snprintf(to, sizeof(to), "%s/b", dir);
    assert_int_equal(env->ops->file_rename(env, in_dir("a"), to), 0);
    assert_int_equal(env->ops->file_open(env, in_dir("a"), GW_OPEN_READ, 0, &f), -ENOENT);
    assert_int_equal(env->ops->file_changed_ns(env, in_dir("a")), 0);
    assert_int_equal(env->ops->path_mode(env, in_dir("a"), &mode), -ENOENT);
    assert_int_equal(env->ops->path_mode(env, to, &mode), 0);
    assert_int_equal(mode & ~077u, S_IFREG | 0600);
    assert_int_equal(env->ops->path_mode(env, dir, &mode), 0);
    assert_int_equal(mode, S_IFDIR | 0700);
    assert_int_equal(env->ops->file_remove(env, to), 0);
    assert_int_equal(env->ops->file_remove(env, to), -ENOENT);
    assert_int_equal(env->ops->dir_make(env, dir, 0700), -EEXIST);
}

/*
 * Scenario    files of 5 bytes and of none, read with limits of 5, 4 and 0
 * Guarantees  exactly the limit passes, one more is -E2BIG with the path in the sentence; a zero stands behind
 */
static void reading_a_file_is_bounded(void **state)
{
    struct gw_env *env = *state;
    struct gw_err err;
    char *p;
    size_t n;

    put_file(env, in_dir("f"), "hello");
    assert_int_equal(gw_env_read_file(env, in_dir("f"), 5, &p, &n, &err), 0);
    assert_int_equal(n, 5);
    assert_string_equal(p, "hello");
    free(p);
    assert_int_equal(gw_env_read_file(env, in_dir("f"), 4, &p, &n, &err), -E2BIG);
    assert_non_null(strstr(err.text, in_dir("f")));
    put_file(env, in_dir("f"), "");
    assert_int_equal(gw_env_read_file(env, in_dir("f"), 0, &p, &n, &err), 0);
    assert_int_equal(n, 0);
    assert_string_equal(p, "");
    free(p);
    (void)env->ops->file_remove(env, in_dir("f"));
    assert_int_equal(gw_env_read_file(env, in_dir("f"), 4, &p, &n, &err), -ENOENT);
}

/*
 * Scenario    the clock is read twice, random numbers drawn twice
 * Guarantees  monotonic time does not go back, wall time is of this century, two draws differ
 */
static void clock_and_random_numbers_are_there(void **state)
{
    struct gw_env *env = *state;
    uint64_t t = gw_mono_ns(env);

    assert_true(gw_mono_ns(env) >= t);
    assert_true(gw_wall_ns(env) > 1600000000000000000u);
    assert_true(gw_random_u64(env) != gw_random_u64(env));
}

static int set_up(void **state)
{
    *state = gw_env_real_new();
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    gw_env_real_free(*state);
    return rmdir(dir);
}

/* Scenario: standard output is a socket, as under some supervisors.
 * Guarantees: /dev/stdout can be opened and written to; opening its name anew would fail. */
static void standard_output_may_be_a_socket(void **state)
{
    struct gw_env *env = gw_env_real_new();
    struct iovec iov = {(void *)(uintptr_t) "text", 4};
    int pair[2], saved = dup(STDOUT_FILENO), rc;
    struct gw_file *f = NULL;
    char got[8];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    (void)fflush(stdout);
    (void)dup2(pair[0], STDOUT_FILENO);
    rc = env->ops->file_open(env, "/dev/stdout", GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_APPEND, 0666, &f);
    (void)dup2(saved, STDOUT_FILENO);
    (void)close(saved);
    assert_int_equal(rc, 0);
    assert_int_equal(env->ops->file_writev(f, &iov, 1), 4);
    assert_int_equal(read(pair[1], got, sizeof(got)), 4);
    assert_memory_equal(got, "text", 4);
    env->ops->file_close(f);
    (void)close(pair[0]);
    (void)close(pair[1]);
    gw_env_real_free(env);
}

static char synced[64];
static int sync_rc;

static int note_sync(struct gw_env *env, const char *path)
{
    (void)env;
    (void)snprintf(synced, sizeof(synced), "%s", path);
    return sync_rc;
}

static void syncs(const char *path, const char *around)
{
    const struct gw_env_ops ops = {.dir_sync = note_sync};
    struct gw_env env = {.ops = &ops};

    sync_rc = 0;
    assert_int_equal(gw_env_sync_name(&env, path), 0);
    assert_string_equal(synced, around);
    sync_rc = -EACCES;
    assert_int_equal(gw_env_sync_name(&env, path), 0);
    sync_rc = -EIO;
    assert_int_equal(gw_env_sync_name(&env, path), -EIO);
}

/*
 * Scenario    a name alone, absolute and relative paths, slashes at the end and doubled, the root; a path that is too
 *             long; a folder around it that may not be read, and one that cannot be synced
 * Guarantees  the folder that holds the name is synced; what cannot be read was not changed by us; a disk's error is
 *             told
 */
static void a_name_is_synced_in_its_folder(void **state)
{
    const struct gw_env_ops ops = {.dir_sync = note_sync};
    struct gw_env env = {.ops = &ops};
    char longest[5000];

    (void)state;
    syncs("a", ".");
    syncs("a/", ".");
    syncs("a/b", "a");
    syncs("a/b//", "a");
    syncs("a//b", "a");
    syncs("/a", "/");
    syncs("/a/b", "/a");
    syncs("/", "/");
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 2] = '/';
    longest[sizeof(longest) - 1] = '\0';
    longest[4500] = '/';
    assert_int_equal(gw_env_sync_name(&env, longest), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_output_may_be_a_socket),
        cmocka_unit_test(files_do_as_told),
        cmocka_unit_test(files_are_memory_and_written_past_the_cache),
        cmocka_unit_test(reading_a_file_is_bounded),
        cmocka_unit_test(a_name_is_synced_in_its_folder),
        cmocka_unit_test(clock_and_random_numbers_are_there),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
