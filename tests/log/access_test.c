/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have the folder, and who only looks. */
#include "tests/log/helpers.h"

static unsigned n_names;

static void count_name(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    n_names++;
}

static unsigned names_in(const char *dir)
{
    struct gw_env *env = gw_env_real_new();

    n_names = 0;
    assert_int_equal(env->ops->dir_list(env, dir, count_name, NULL), 0);
    gw_env_real_free(env);
    return n_names;
}

static int try_open(struct world *w, struct gw_err *err)
{
    struct gw_log *l = NULL;
    int rc = gw_log_files_open(&w->conf, &l, err);

    gw_log_close(l);
    return rc;
}

static void put_file(struct world *w, const char *name, const void *p, size_t n)
{
    char path[300];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    (void)fclose(f);
}

/* Scenario: two open the same folder. Guarantees: the second is refused in words; when the first is gone it may. */
static void one_process_at_a_time(void **state)
{
    struct world w;
    struct gw_err err = {""};

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(try_open(&w, &err), -EWOULDBLOCK);
    assert_non_null(strstr(err.text, "in use by another process"));
    assert_int_equal(world_append(&w, 1, 10, true), 0);
    world_close(&w);
    assert_int_equal(try_open(&w, &err), 0);
    world_clear(&w);
}

/* Guarantees: the folder is 0700, every file 0600, whatever the umask allows. */
static void nobody_else_may_read(void **state)
{
    struct world w;
    struct stat st;
    DIR *d;
    struct dirent *e;
    unsigned n = 0;
    mode_t mask = umask(0);

    (void)state;
    world_init(&w);
    world_open(&w);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(world_append(&w, 1, 5000, false), 0);
    assert_int_equal(stat(w.dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    d = opendir(w.dir);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        n++;
    }
    (void)closedir(d);
    assert_true(n >= 5); /* LOCK, two segments, two reserves */
    (void)umask(mask);
    world_clear(&w);
}

/*
 * Scenario    the folder holds the Collector's queues; something else; what a file system keeps in its root
 * Guarantees  refused in a sentence that says what it is, and nothing is changed; lost+found does not matter
 */
static void what_is_not_ours_is_left_alone(void **state)
{
    struct world w;
    struct gw_err err = {""};
    uint8_t page[4096] = {0};
    char path[300];

    (void)state;
    world_init(&w);
    assert_int_equal(mkdir(w.dir, 0755), 0);
    gw_lf_put32(page + 16, 0xed0cdaed);
    put_file(&w, "exporter_otlp__logs", page, sizeof(page));
    assert_int_equal(try_open(&w, &err), -EEXIST);
    assert_non_null(strstr(err.text, "OpenTelemetry Collector"));
    assert_non_null(strstr(err.text, "exporter_otlp__logs"));
    assert_int_equal(names_in(w.dir), 1);
    put_file(&w, "exporter_otlp__logs", "text", 4);
    assert_int_equal(try_open(&w, &err), -EEXIST);
    assert_non_null(strstr(err.text, "not a log"));
    assert_int_equal(names_in(w.dir), 1);
    (void)snprintf(path, sizeof(path), "%s/exporter_otlp__logs", w.dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/lost+found", w.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(try_open(&w, &err), 0);
    put_file(&w, "notes.txt", "mine", 4); /* beside a log of ours it may lie */
    assert_int_equal(try_open(&w, &err), 0);
    world_clear(&w);
}

/* Scenario: a segment of a later version of the format. Guarantees: refused, and left as it is. */
static void a_later_version_is_refused(void **state)
{
    struct world w;
    struct gw_err err = {""};
    uint8_t head[GW_LF_RECORDS];
    char path[300];
    FILE *f;

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 10, true), 0);
    world_close(&w);
    (void)snprintf(path, sizeof(path), "%s/00000000000000000001.log", w.dir);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *p = head + i * GW_LF_SEGMENT_HEAD;

        gw_lf_put32(p + 8, GW_LF_VERSION + 1);
        gw_lf_put32(p + 124, gw_crc32c(0, p, 124));
    }
    rewind(f);
    assert_int_equal(fwrite(head, 1, sizeof(head), f), sizeof(head));
    (void)fclose(f);
    assert_int_equal(try_open(&w, &err), -EPROTONOSUPPORT);
    assert_non_null(strstr(err.text, "later version"));
    world_clear(&w);
}

/*
 * Scenario    a log is looked at while its process writes it, through new segments, retention and settlements
 * Guarantees  the other one sees what is committed, and changes nothing; without a log there is nothing to see
 */
static void a_live_log_may_be_looked_at(void **state)
{
    struct world w, other;
    struct gw_err err = {""};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint32_t id;
    uint64_t seen = 0;

    (void)state;
    world_init(&w);
    other = w;
    other.conf.read_only = true;
    assert_int_equal(try_open(&other, &err), -ENOENT);
    assert_int_equal(access(w.dir, F_OK), -1);
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    assert_int_equal(world_append(&w, 3, 5000, false), 0);
    other.log = NULL;
    assert_int_equal(gw_log_files_open(&other.conf, &other.log, &err), 0);
    assert_int_equal(world_read(&other, 0).frames, 1);
    assert_int_equal(gw_log_reader_new(other.log, &(struct gw_log_reader_conf){0}, &r), 0);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(world_append(&w, 3, 5000, i % 2), 0);
        while (gw_log_next(r, &e) > 0)
            assert_int_equal(e.frame.seq, seen++);
        assert_int_equal(seen, i + 2);
        assert_int_equal(world_stats(&other).end_row, world_stats(&w).end_row);
    }
    gw_log_reader_free(r);
    assert_int_equal(world_settle(&w, id, 0, 49), 0);
    assert_int_equal(world_consumer(&other, id).settled[GW_LOG_DELIVERED], 150);
    assert_int_equal(world_read(&other, id).frames, 11);
    assert_int_equal(world_stats(&other).first_seq, world_stats(&w).first_seq);
    assert_int_equal(world_stats(&other).lost_rows, 0);
    assert_int_equal(gw_log_consumer_open(other.log, "new", GW_LOG_FROM_FIRST, &id), -ENOENT);
    assert_int_equal(gw_log_truncate(other.log, GW_LOG_END), -EROFS);
    assert_int_equal(world_append(&other, 1, 10, true), -EROFS);
    id = names_in(w.dir);
    gw_log_close(other.log);
    assert_int_equal(names_in(w.dir), id);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_at_a_time),          cmocka_unit_test(nobody_else_may_read),
        cmocka_unit_test(what_is_not_ours_is_left_alone), cmocka_unit_test(a_later_version_is_refused),
        cmocka_unit_test(a_live_log_may_be_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
