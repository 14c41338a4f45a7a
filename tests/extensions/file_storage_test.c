/* SPDX-License-Identifier: Apache-2.0 */
/* On the real disk, in a folder of the test's own: locks and permissions are the kernel's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/yaml.h"
#include "pipeline/component.h"
#include "pipeline/storage.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

extern const struct gw_component gw_extension_file_storage;
static const struct gw_component *const type = &gw_extension_file_storage;

static char top[32], dir[64]; /* dir is in top; the rig makes top alone */

struct rig {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_ctx ctx;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_buf said;
    void *conf, *self;
    struct gw_err err;
};

static int set_up(void **state)
{
    (void)state;
    strcpy(top, "/tmp/gw-storage-XXXXXX");
    assert_non_null(mkdtemp(top));
    (void)snprintf(dir, sizeof(dir), "%s/a/store", top);
    return 0;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", top);
    return system(command);
}

/* %s stands for the folder. -EINVAL: the settings are wrong, and `said` has why. */
static int open_rig(struct rig *r, const char *yaml)
{
    struct gw_buf text;
    const struct gw_node *n;
    const char *mark = strstr(yaml, "%s");

    memset(r, 0, sizeof(*r));
    gw_test_env_init(&r->te, 7);
    gw_arena_init(&r->arena, 4096, 1 << 20);
    gw_diag_init(&r->diag);
    gw_buf_init(&r->said, 65536);
    gw_buf_init(&text, 65536);
    gw_buf_printf(&text, "%.*s%s%s", (int)(mark ? (size_t)(mark - yaml) : strlen(yaml)), yaml, mark ? dir : "",
                  mark ? mark + 2 : "");
    n = gw_yaml_parse(gw_buf_slice(&text), "test.yaml", &r->arena, &r->diag);
    gw_buf_clear(&text);
    r->conf = gw_arena_zalloc(&r->arena, type->conf_size);
    if (n && gw_schema_fill(type->fields, type->conf_size, n, r->conf, &r->arena, &r->diag) == 0)
        type->check(r->conf, n, &r->diag);
    gw_diag_write(&r->diag, &r->said);
    gw_buf_put_u8(&r->said, '\0');
    if (r->diag.n_errors)
        return -EINVAL;
    r->sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_DEBUG};
    r->ctx = (struct gw_ctx){.env = &r->te.env, .id = "file_storage", .logger = {.sink = &r->sink}};
    assert_int_equal(type->create(&r->self, &r->ctx, r->conf, &r->err), 0);
    return type->start(r->self, &r->err);
}

static void close_rig(struct rig *r)
{
    type->destroy(r->self);
    gw_buf_clear(&r->said);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
}

static void make_folders(unsigned mode)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/a", top);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chmod(dir, mode), 0);
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static const char *in_dir(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/*
 * Scenario    the folder is not there: create_directory off and on, directory_permissions as they are and "0750"
 * Guarantees  off: a sentence that says what to do, and nothing is made; on: the folder is there with these permissions
 *             and a lock of 0600
 */
static void the_folder_is_made_when_asked(void **state)
{
    struct rig r;

    (void)state;
    assert_int_equal(open_rig(&r, "{directory: %s}"), -ENOENT);
    assert_non_null(strstr(r.err.text, "create_directory: true"));
    assert_non_null(strstr(r.err.text, dir));
    assert_int_not_equal(access(dir, F_OK), 0);
    close_rig(&r);
    assert_int_equal(open_rig(&r, "{directory: %s, create_directory: true}"), 0);
    assert_int_equal(mode_of(dir), 0700);
    assert_int_equal(mode_of(in_dir("lock")), 0600);
    assert_false(gw_test_env_logged(&r.te, "open to others"));
    close_rig(&r);
    assert_int_equal(unlink(in_dir("lock")), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(open_rig(&r, "{directory: %s, create_directory: true, directory_permissions: \"0750\"}"), 0);
    assert_int_equal(mode_of(dir), 0750);
    assert_false(gw_test_env_logged(&r.te, "open to others"));
    close_rig(&r);
}

/*
 * Scenario    a folder of 0755 that somebody else made; a file where the folder should be
 * Guarantees  it is taken, with a warning that names the mode; the file is refused
 */
static void a_wide_folder_is_warned_about(void **state)
{
    struct rig r;

    (void)state;
    make_folders(0755);
    assert_int_equal(open_rig(&r, "{directory: %s}"), 0);
    assert_true(gw_test_env_logged(&r.te, "open to others (0755)"));
    close_rig(&r);
    assert_int_equal(unlink(in_dir("lock")), 0);
    assert_int_equal(rmdir(dir), 0);
    fclose(fopen(dir, "w"));
    assert_int_equal(open_rig(&r, "{directory: %s, create_directory: true}"), -ENOTDIR);
    close_rig(&r);
}

/*
 * Scenario    a second process, and a second extension of this one, on the same folder; then the first lets go
 * Guarantees  both are refused with a sentence that names the folder; afterwards it opens
 */
static void a_second_process_is_refused(void **state)
{
    struct rig first, r;
    int status;
    pid_t child;

    (void)state;
    make_folders(0700);
    assert_int_equal(open_rig(&first, "{directory: %s}"), 0);
    child = fork();
    if (child == 0)
        _exit(open_rig(&r, "{directory: %s}") == -EWOULDBLOCK && strstr(r.err.text, dir) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(open_rig(&r, "{directory: %s}"), -EWOULDBLOCK);
    assert_non_null(strstr(r.err.text, dir));
    assert_non_null(strstr(r.err.text, "in use by another process"));
    close_rig(&r);
    close_rig(&first);
    assert_int_equal(open_rig(&r, "{directory: %s}"), 0);
    close_rig(&r);
}

static void put_bolt(const char *name, size_t at)
{
    FILE *f = fopen(in_dir(name), "w");

    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite("\xed\xda\x0c\xed", 1, 4, f), 4);
    assert_int_equal(fclose(f), 0);
}

/*
 * Scenario    a folder with a bbolt file as the Collector names it; with the first meta page gone; with a file, a fifo
 *             and a folder that are none
 * Guarantees  the first two are refused by a sentence that names the file and says what to do, without a new file in
 * the folder; the others are nobody's business
 */
static void a_collectors_queue_is_left_as_it_is(void **state)
{
    struct rig r;

    (void)state;
    make_folders(0700);
    put_bolt("exporter_otlp_http__traces", 16);
    assert_int_equal(open_rig(&r, "{directory: %s}"), -EEXIST);
    assert_non_null(strstr(r.err.text, "exporter_otlp_http__traces"));
    assert_non_null(strstr(r.err.text, "let the Collector empty it"));
    assert_int_not_equal(access(in_dir("lock"), F_OK), 0);
    close_rig(&r);
    put_bolt("exporter_otlp_http__traces", 4096 + 16);
    assert_int_equal(open_rig(&r, "{directory: %s}"), -EEXIST);
    close_rig(&r);
    put_bolt("exporter_otlp_http__traces", 20);
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(mkdir(in_dir("lost+found"), 0700), 0);
    assert_int_equal(open_rig(&r, "{directory: %s}"), 0);
    close_rig(&r);
}

/*
 * Scenario    max_size, fsync, segment_size_mib, reserve_mib, sync_interval set, and not set
 * Guarantees  whoever asks for the storage gets them, in bytes and nanoseconds
 */
static void logs_get_the_settings(void **state)
{
    struct gw_storage st;
    struct rig r;

    (void)state;
    make_folders(0700);
    assert_int_equal(open_rig(&r, "{directory: %s}"), 0);
    type->storage->get(r.self, &st);
    assert_string_equal(st.directory, dir);
    assert_false(st.sync);
    assert_int_equal(st.max_bytes, 0);
    assert_int_equal(st.segment_bytes, 64 << 20);
    assert_int_equal(st.reserve_bytes, 0);
    assert_int_equal(st.sync_interval_ns, 100000000);
    assert_false(st.direct_io);
    close_rig(&r);
    assert_int_equal(open_rig(&r, "{directory: %s, fsync: true, max_size: 123456, segment_size_mib: 2, reserve_mib: 3, "
                                  "sync_interval: 5ms, direct_io: true}"),
                     0);
    type->storage->get(r.self, &st);
    assert_true(st.sync);
    assert_int_equal(st.max_bytes, 123456);
    assert_int_equal(st.segment_bytes, 2 << 20);
    assert_int_equal(st.reserve_bytes, 3 << 20);
    assert_int_equal(st.sync_interval_ns, 5000000);
    assert_true(st.direct_io);
    close_rig(&r);
}

static void says(const char *yaml, const char *what)
{
    struct rig r;

    if (open_rig(&r, yaml) != -EINVAL || !strstr((char *)r.said.p, what))
        fail_msg("%s: %s", yaml, (char *)r.said.p);
    close_rig(&r);
}

/*
 * Scenario    each rule of the settings broken once; a relative directory
 * Guarantees  a mistake that names the key; the relative one is a warning
 */
static void mistakes_are_told(void **state)
{
    struct rig r;

    (void)state;
    make_folders(0700);
    says("{directory: \"\"}", "directory");
    says("{directory: %s, directory_permissions: \"0800\"}", "valid octal");
    says("{directory: %s, directory_permissions: rwx}", "valid octal");
    says("{directory: %s, directory_permissions: \"0077\"}", "keep its owner out");
    says("{directory: %s, segment_size_mib: 0}", "segment_size_mib");
    says("{directory: %s, sync_interval: 0s}", "sync_interval");
    says("{directory: %s, compaction: { on_stard: true }}", "on_start");
    assert_int_equal(open_rig(&r, "{directory: not/there}"), -ENOENT);
    assert_non_null(strstr((char *)r.said.p, "is relative"));
    close_rig(&r);
}

/*
 * Scenario    the Collector's settings, all of them, with its example's values
 * Guarantees  each is taken; those without a meaning here are told
 */
static void a_collectors_settings_are_taken(void **state)
{
    struct rig r;

    (void)state;
    make_folders(0700);
    assert_int_equal(open_rig(&r, "directory: %s\ntimeout: 1s\nfsync: false\nrecreate: true\n"
                                  "compaction: { on_start: true, directory: /tmp/, max_transaction_size: 65_536,\n"
                                  "  on_rebound: true, rebound_needed_threshold_mib: 100, check_interval: 5s,\n"
                                  "  rebound_trigger_threshold_mib: 10, cleanup_on_start: true }\n"),
                     0);
    assert_non_null(strstr((char *)r.said.p, "timeout"));
    assert_non_null(strstr((char *)r.said.p, "recreate"));
    assert_non_null(strstr((char *)r.said.p, "on_rebound"));
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_folder_is_made_when_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wide_folder_is_warned_about, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_process_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_collectors_queue_is_left_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logs_get_the_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_collectors_settings_are_taken, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
