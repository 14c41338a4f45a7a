/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_exporter.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/compress.h"
#include "otlp-proto/json.h"
#include "tests/harness_disk.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_disk disk;

static void configure(struct gw_rig *r, const char *yaml)
{
    if (gw_rig_configure(r, "file", yaml) < 0)
        fail_msg("%s", r->said);
    gw_disk_init(&disk, r->env, gw_env_real_ops(r->env));
}

static void start(struct gw_rig *r)
{
    if (gw_rig_start(r) < 0)
        fail_msg("%s", r->err.text);
}

static void open_rig(struct gw_rig *r, const char *yaml)
{
    configure(r, yaml);
    start(r);
}

static void close_rig(struct gw_rig *r)
{
    gw_rig_close(r);
    assert_int_equal(disk.n_open, 0);
    gw_disk_clear(&disk);
}

/** A request in JSON's own words: as the exporter writes it again. */
static void send_json(struct gw_rig *r, enum gw_signal signal, const char *json)
{
    struct gw_err err = {""};
    struct gw_buf proto;

    gw_buf_init(&proto, 1 << 25);
    if (gw_json_to_proto(signal, gw_slice_cstr(json), &limits, &proto, &err) < 0)
        fail_msg("%s", err.text);
    gw_rig_send(r, signal, gw_buf_slice(&proto), 1);
    assert_int_equal(r->done, 1);
    gw_buf_clear(&proto);
}

#define RESOURCE(attrs, name)                                                                                          \
    "{\"resource\":{" attrs "},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"body\":{},\"eventName\":\"" name        \
    "\"}]}]}"
#define LOG(name)               "{\"resourceLogs\":[" RESOURCE("", name) "]}"
#define TENANT(value)           "\"attributes\":[{\"key\":\"tenant\",\"value\":{\"stringValue\":\"" value "\"}}]"
#define TENANT_LOG(value, name) "{\"resourceLogs\":[" RESOURCE(TENANT(value), name) "]}"

static const char trace[] = "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"name\":"
                            "\"s\",\"status\":{}}]}]}]}";

/* Scenario: two requests of different signals, format json.
 * Guarantees: one line each, in the Collector's JSON, in the file when they are answered; mode 0644. */
static void json_is_a_request_a_line(void **state)
{
    struct gw_rig r;
    char want[1000];

    (void)state;
    open_rig(&r, "{path: out/data.json}");
    send_json(&r, GW_LOGS, LOG("a"));
    assert_int_equal(r.info.sent, GW_SENT_OK);
    send_json(&r, GW_TRACES, trace);
    (void)snprintf(want, sizeof(want), "%s\n%s\n", LOG("a"), trace);
    assert_string_equal(gw_disk_text(&disk, "out/data.json"), want);
    assert_int_equal(disk.files[0]->mode, 0644);
    close_rig(&r);
}

/* Scenario: format proto; then json and proto with zstd.
 * Guarantees: each request stands behind its length in four bytes, big-endian, and reads back; a level changes the
 * bytes. */
static void proto_and_compressed_requests_have_a_length(void **state)
{
    static const char *const yaml[] = {"{path: f, format: proto}", "{path: f, compression: zstd}",
                                       "{path: f, format: proto, compression: zstd, compression_params: {level: 19}}"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct gw_buf plain, json;
        struct gw_slice s;
        struct gw_rig r;

        open_rig(&r, yaml[i]);
        send_json(&r, GW_LOGS, LOG("first"));
        send_json(&r, GW_LOGS, LOG("second"));
        s = gw_disk_bytes(&disk, "f");
        for (int k = 0; k < 2; k++) {
            size_t n;

            assert_true(s.n >= 4);
            n = (size_t)s.p[0] << 24 | (size_t)s.p[1] << 16 | (size_t)s.p[2] << 8 | s.p[3];
            assert_true(n <= s.n - 4);
            gw_buf_init(&plain, 1 << 20);
            gw_buf_init(&json, 1 << 20);
            if (i == 0)
                gw_buf_put(&plain, s.p + 4, n);
            else
                assert_int_equal(gw_decompress(GW_ZSTD, gw_slice_of(s.p + 4, n), &plain, NULL), 0);
            if (i == 1)
                gw_buf_put_slice(&json, gw_buf_slice(&plain));
            else
                assert_int_equal(gw_proto_to_json(GW_LOGS, gw_buf_slice(&plain), &json), 0);
            gw_buf_put_u8(&json, 0);
            assert_string_equal((char *)json.p, k == 0 ? LOG("first") : LOG("second"));
            s = gw_slice_of(s.p + 4 + n, s.n - 4 - n);
            gw_buf_clear(&plain);
            gw_buf_clear(&json);
        }
        assert_int_equal(s.n, 0);
        close_rig(&r);
    }
}

/* Scenario: one request of 200 kB of text at zstd levels 1 and 19.
 * Guarantees: the level is used: the higher one makes the file shorter. */
static void the_level_is_used(void **state)
{
    char *text = malloc(300000), *p = text;
    size_t bytes[2];
    uint64_t seed = 3;

    (void)state;
    assert_non_null(text);
    p = stpcpy(p, "{\"resourceLogs\":[{\"schemaUrl\":\"");
    for (int i = 0; i < 40000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p += sprintf(p, "%d ", (int)(seed >> 33) % 900);
    }
    (void)stpcpy(p, "\"}]}");
    for (int i = 0; i < 2; i++) {
        struct gw_rig r;

        open_rig(&r, i ? "{path: f, compression: zstd, compression_params: {level: 19}}"
                       : "{path: f, compression: zstd, compression_params: {level: 1}}");
        send_json(&r, GW_LOGS, text);
        bytes[i] = gw_disk_bytes(&disk, "f").n;
        close_rig(&r);
    }
    assert_true(bytes[1] < bytes[0]);
    free(text);
}

/* Scenario: the file is there at the start, with append false and true.
 * Guarantees: without append it is emptied, with append it grows. */
static void append_keeps_what_was_there(void **state)
{
    struct gw_rig r;

    (void)state;
    for (int append = 0; append < 2; append++) {
        configure(&r, append ? "{path: f, append: true}" : "{path: f}");
        gw_disk_put(&disk, "f", "before\n");
        start(&r);
        send_json(&r, GW_LOGS, LOG("a"));
        assert_string_equal(gw_disk_text(&disk, "f"), append ? "before\n" LOG("a") "\n" : LOG("a") "\n");
        close_rig(&r);
    }
}

/* Scenario: the folder of the path is not there: without and with create_directory, with and without permissions.
 * Guarantees: an error that names the file; folders made one by one with the permissions. */
static void folders_are_made_when_told(void **state)
{
    struct gw_rig r;

    (void)state;
    configure(&r, "{path: /a/b/f}");
    disk.needs_folders = true;
    assert_int_equal(gw_rig_start(&r), -ENOENT);
    assert_non_null(strstr(r.err.text, "cannot open /a/b/f: No such file"));
    close_rig(&r);
    for (int i = 0; i < 2; i++) {
        configure(&r, i ? "{path: /a/b/f, create_directory: true, directory_permissions: \"0700\"}"
                        : "{path: /a/b/f, create_directory: true}");
        disk.needs_folders = true;
        start(&r);
        assert_int_equal(disk.n_folders, 2);
        assert_string_equal(disk.folders[0], "/a");
        assert_string_equal(disk.folders[1], "/a/b");
        assert_int_equal(disk.folder_modes[1], i ? 0700 : 0755);
        close_rig(&r);
    }
}

/** About a megabyte of JSON. */
static const char *megabyte(void)
{
    static char text[1100000];

    if (!text[0]) {
        char *p = stpcpy(text, "{\"resourceLogs\":[{\"resource\":{},\"schemaUrl\":\"");

        memset(p, 'x', 1 << 20);
        (void)stpcpy(p + (1 << 20), "\"}]}");
    }
    return text;
}

/* Scenario: requests of one megabyte into files of at most two, rotation with 2 backups, one request a minute.
 * Guarantees: a full file gets the Collector's name for it, in UTC; the newest two backups stay; files of other names
 * are not touched. */
static void full_files_are_rotated(void **state)
{
    struct gw_rig r;

    (void)state;
    configure(&r, "{path: d/data.json, rotation: {max_megabytes: 3, max_backups: 2}}");
    r.wall_ns = 1767323045678000000; /* 2026-01-02T03:04:05.678Z */
    gw_disk_put(&disk, "d/data.json", "old\n");
    gw_disk_put(&disk, "d/data-2020-01-01T00-00-00.000.json", "older, by an old Collector\n");
    gw_disk_put(&disk, "d/data-2020-01-01T00-00-00.000-size.txt", "not ours\n");
    gw_disk_put(&disk, "d/data-2020-01-01T00-00-00.000-sized.json", "not ours\n");
    start(&r);
    for (int i = 0; i < 7; i++) {
        send_json(&r, GW_LOGS, megabyte());
        assert_int_equal(r.info.sent, GW_SENT_OK);
        r.wall_ns += 60000000000;
    }
    /* 2 + 2 + 2 + 1: the first file held 4 bytes already, and "old" is still in it. */
    assert_null(gw_disk_text(&disk, "d/data-2020-01-01T00-00-00.000.json"));
    assert_null(gw_disk_text(&disk, "d/data-2026-01-02T03-06-05.678-size.json"));
    assert_non_null(gw_disk_text(&disk, "d/data-2026-01-02T03-08-05.678-size.json"));
    assert_non_null(gw_disk_text(&disk, "d/data-2026-01-02T03-10-05.678-size.json"));
    assert_non_null(gw_disk_text(&disk, "d/data-2020-01-01T00-00-00.000-size.txt"));
    assert_non_null(gw_disk_text(&disk, "d/data-2020-01-01T00-00-00.000-sized.json"));
    assert_true(gw_disk_bytes(&disk, "d/data.json").n < 2 << 20);
    assert_int_equal(gw_disk_count(&disk), 5);
    close_rig(&r);
}

/* Scenario: rotation with max_days 1 and a request larger than the limit; two rotations in the same millisecond; local
 * time. Guarantees: backups older than a day go; a large request has a file of its own; no backup overwrites another;
 * names are in local time. */
static void old_backups_go(void **state)
{
    struct gw_rig r;

    (void)state;
    (void)setenv("TZ", "XYZ-2", 1); /* two hours east */
    configure(&r, "{path: data.json, rotation: {max_megabytes: 1, max_days: 1, localtime: true}}");
    r.wall_ns = 1767323045678000000;
    gw_disk_put(&disk, "data-2026-01-01T05-04-05.677-size.json", "a day and a millisecond old");
    gw_disk_put(&disk, "data-2026-01-01T05-04-05.679-size.json", "a millisecond less");
    start(&r);
    assert_null(gw_disk_text(&disk, "data-2026-01-01T05-04-05.677-size.json"));
    assert_non_null(gw_disk_text(&disk, "data-2026-01-01T05-04-05.679-size.json"));
    for (int i = 0; i < 3; i++)
        send_json(&r, GW_LOGS, megabyte());
    assert_non_null(gw_disk_text(&disk, "data-2026-01-02T05-04-05.678-size.json"));
    assert_non_null(gw_disk_text(&disk, "data-2026-01-02T05-04-05.679-size.json"));
    assert_true(gw_disk_bytes(&disk, "data.json").n > 1 << 20);
    (void)unsetenv("TZ");
    close_rig(&r);
}

/* Scenario: the full file cannot be renamed.
 * Guarantees: a warning, and the request is written to the long file. */
static void a_failed_rotation_loses_nothing(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{path: data.json, rotation: {max_megabytes: 1}}");
    disk.fail_rename = -EACCES;
    for (int i = 0; i < 2; i++) {
        send_json(&r, GW_LOGS, megabyte());
        assert_int_equal(r.info.sent, GW_SENT_OK);
    }
    assert_true(gw_disk_bytes(&disk, "data.json").n > 2 << 20);
    assert_non_null(strstr(r.log, "cannot rename data.json"));
    close_rig(&r);
}

/* Scenario: the disk is full in the middle of a request, then there is room again; then it is broken.
 * Guarantees: no torn line stays; a full disk is tried again, other errors are final. */
static void errors_leave_no_torn_lines(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{path: f}");
    send_json(&r, GW_LOGS, LOG("a"));
    disk.room_bytes = 20;
    send_json(&r, GW_LOGS, LOG("b"));
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_non_null(strstr(r.message, "cannot write to f: No space left"));
    assert_string_equal(gw_disk_text(&disk, "f"), LOG("a") "\n");
    disk.room_bytes = -1;
    send_json(&r, GW_LOGS, LOG("b"));
    assert_string_equal(gw_disk_text(&disk, "f"), LOG("a") "\n" LOG("b") "\n");
    disk.room_bytes = 0;
    disk.full = -EIO;
    send_json(&r, GW_LOGS, LOG("c"));
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_string_equal(r.reason, "write");
    close_rig(&r);
}

/* Scenario: group_by a resource attribute: one request with resources of three tenants, one of them twice.
 * Guarantees: a file for each, the resources of one tenant in one line and in order. */
static void groups_have_files_of_their_own(void **state)
{
    struct gw_rig r;

    (void)state;
    open_rig(&r, "{path: out/of-*.json, group_by: {enabled: true, resource_attribute: tenant}}");
    assert_int_equal(gw_disk_count(&disk), 0);
    send_json(&r, GW_LOGS,
              "{\"resourceLogs\":[" RESOURCE(TENANT("b"), "1") "," RESOURCE(TENANT("a"), "2") "," RESOURCE(
                  TENANT("b"), "3") "," RESOURCE(TENANT("c/d"), "4") "]}");
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, 0);
    assert_string_equal(gw_disk_text(&disk, "out/of-a.json"), TENANT_LOG("a", "2") "\n");
    assert_string_equal(gw_disk_text(&disk, "out/of-b.json"),
                        "{\"resourceLogs\":[" RESOURCE(TENANT("b"), "1") "," RESOURCE(TENANT("b"), "3") "]}\n");
    assert_string_equal(gw_disk_text(&disk, "out/of-c/d.json"), TENANT_LOG("c/d", "4") "\n");
    assert_string_equal(disk.folders[0], "out");
    assert_string_equal(disk.folders[1], "out/of-c");
    close_rig(&r);
}

/* Scenario: values that would leave the folder, hide the file or hold what no name should.
 * Guarantees: they become names below the path's folder. */
static void names_from_data_stay_inside(void **state)
{
    static const char *const names[][2] = {
        {"../../etc/passwd", "out/%2E%2E/%2E%2E/etc/passwd.json"},
        {"/etc/passwd", "out/etc/passwd.json"},
        {"a//b/./c", "out/a/b/%2E/c.json"},
        {"..", "out/%2E%2E.json"},
        {"", "out/.json"},
        {"caf\xc3\xa9 (x)", "out/caf\xc3\xa9 (x).json"},
        {"a\\u0000b\\n*?\\\"", "out/a%00b%0A%2A%3F%22.json"},
    };
    struct gw_rig r;
    char json[500];

    (void)state;
    open_rig(&r, "{path: out/*.json, group_by: {enabled: true, resource_attribute: tenant}}");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(json, sizeof(json),
                       "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"tenant\",\"value\":"
                       "{\"stringValue\":\"%s\"}}]}}]}",
                       names[i][0]);
        send_json(&r, GW_LOGS, json);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_non_null(gw_disk_text(&disk, names[i][1]));
        assert_int_equal(gw_disk_count(&disk), i + 1);
    }
    close_rig(&r);
}

/* Scenario: in one request: a resource without the attribute, one whose attribute is a number, one with a name of 300
 * bytes, a good one.
 * Guarantees: the first three become dead letters with their rows and a reason, the last is written. */
static void what_has_no_file_is_a_dead_letter(void **state)
{
    struct gw_rig r;
    char json[2000], longname[301];

    (void)state;
    memset(longname, 'n', 300);
    longname[300] = 0;
    open_rig(&r, "{path: f-*, group_by: {enabled: true, resource_attribute: tenant}}");
    (void)snprintf(json, sizeof(json), "{\"resourceLogs\":[%s,%s,%s%s%s,%s]}", RESOURCE("", "1"),
                   RESOURCE("\"attributes\":[{\"key\":\"tenant\",\"value\":{\"intValue\":\"5\"}}]", "2"),
                   "{\"resource\":{\"attributes\":[{\"key\":\"tenant\",\"value\":{\"stringValue\":\"", longname,
                   "\"}}]},\"scopeLogs\":[{\"logRecords\":[{},{}]}]}", RESOURCE(TENANT("ok"), "4"));
    send_json(&r, GW_LOGS, json);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, 2);
    assert_string_equal(r.dead[0].reason, "no_path_segment");
    assert_int_equal(r.dead[0].rows, 2);
    assert_int_equal(r.dead[1].rows, 2);
    assert_non_null(strstr(r.dead[1].message, "too long for a file's name"));
    assert_int_equal(gw_disk_count(&disk), 1);
    assert_string_equal(gw_disk_text(&disk, "f-ok"), TENANT_LOG("ok", "4") "\n");
    close_rig(&r);
}

/* Scenario: the disk is full for the second of two groups.
 * Guarantees: only that group is to be sent again. */
static void only_the_failed_group_is_sent_again(void **state)
{
    struct gw_rig r;
    struct gw_buf json;

    (void)state;
    open_rig(&r, "{path: f-*, group_by: {enabled: true, resource_attribute: tenant}}");
    disk.room_bytes = (int64_t)strlen(TENANT_LOG("a", "1")) + 1;
    send_json(&r, GW_LOGS, "{\"resourceLogs\":[" RESOURCE(TENANT("b"), "2") "," RESOURCE(TENANT("a"), "1") "]}");
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.left_rows, 1);
    gw_buf_init(&json, 1000);
    assert_int_equal(gw_proto_to_json(GW_LOGS, r.info.left, &json), 0);
    gw_buf_put_u8(&json, 0);
    assert_string_equal((char *)json.p, TENANT_LOG("b", "2"));
    gw_buf_clear(&json);
    assert_string_equal(gw_disk_text(&disk, "f-a"), TENANT_LOG("a", "1") "\n");
    assert_string_equal(gw_disk_text(&disk, "f-b"), "");
    close_rig(&r);
}

/* Scenario: max_open_files 2 and four tenants in turn; one of their files is of an earlier run.
 * Guarantees: never more than two are open; the file of the earlier run is emptied once, and none twice. */
static void few_files_are_open_and_none_is_emptied_twice(void **state)
{
    static const char *const tenants[] = {"a", "b", "c", "d"};
    struct gw_rig r;

    (void)state;
    configure(&r, "{path: f-*, group_by: {enabled: true, resource_attribute: tenant, max_open_files: 2}}");
    r.wall_ns = 1767323045678000000;
    gw_disk_put(&disk, "f-d", "of an earlier run\n");
    r.wall_ns += 3600000000000;
    start(&r);
    for (int i = 0; i < 12; i++) {
        char json[500];

        (void)snprintf(json, sizeof(json),
                       "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"tenant\",\"value\":"
                       "{\"stringValue\":\"%s\"}}]}}]}",
                       tenants[i % 4]);
        send_json(&r, GW_LOGS, json);
        r.wall_ns += 1000000;
    }
    assert_int_equal(disk.max_open, 2);
    for (int i = 0; i < 4; i++) {
        char path[10];
        unsigned n = 0;

        (void)snprintf(path, sizeof(path), "f-%s", tenants[i]);
        for (const char *p = gw_disk_text(&disk, path); (p = strchr(p, '\n')) != NULL; p++)
            n++;
        assert_int_equal(n, 3);
    }
    assert_null(strstr(gw_disk_text(&disk, "f-d"), "earlier"));
    close_rig(&r);
}

/* Scenario: settings that do not go together.
 * Guarantees: each is refused, in the Collector's words where it has some. */
static void wrong_settings_are_refused(void **state)
{
    static const char *const wrong[][2] = {
        {"{}", "path"},
        {"{path: \"\"}", "path must be non-empty"},
        {"{path: f, append: true, rotation: }", "append and rotation enabled at the same time is not supported"},
        {"{path: f, format: xml}", "format"},
        {"{path: f, compression: gzip}", "compression"},
        {"{path: f, group_by: {enabled: true}}", "path must contain exactly one * when group_by is enabled"},
        {"{path: \"a*b*\", group_by: {enabled: true}}", "path must contain exactly one * when group_by is enabled"},
        {"{path: \"*b\", group_by: {enabled: true}}", "path must not start with * when group_by is enabled"},
        {"{path: \"a*\", group_by: {enabled: true, resource_attribute: \"\"}}", "resource_attribute must not be empty"},
        {"{path: f, directory_permissions: \"0755\"}", "directory_permissions requires create_directory to be true"},
        {"{path: f, create_directory: true, directory_permissions: \"0999\"}", "is no octal number"},
        {"{path: f, encoding: otlp_encoding}", "encoding"},
    };
    struct gw_rig r;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (gw_rig_configure(&r, "file", wrong[i][0]) != -EINVAL || !strstr(r.said, wrong[i][1]))
            fail_msg("%s: %s", wrong[i][0], r.said);
        gw_rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_a_request_a_line),
        cmocka_unit_test(proto_and_compressed_requests_have_a_length),
        cmocka_unit_test(the_level_is_used),
        cmocka_unit_test(append_keeps_what_was_there),
        cmocka_unit_test(folders_are_made_when_told),
        cmocka_unit_test(full_files_are_rotated),
        cmocka_unit_test(old_backups_go),
        cmocka_unit_test(a_failed_rotation_loses_nothing),
        cmocka_unit_test(errors_leave_no_torn_lines),
        cmocka_unit_test(groups_have_files_of_their_own),
        cmocka_unit_test(names_from_data_stay_inside),
        cmocka_unit_test(what_has_no_file_is_a_dead_letter),
        cmocka_unit_test(only_the_failed_group_is_sent_again),
        cmocka_unit_test(few_files_are_open_and_none_is_emptied_twice),
        cmocka_unit_test(wrong_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
