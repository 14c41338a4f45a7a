/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch dlq` on a store in memory: what an operator types, and what is shown. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "otlp-proto/decode.h"
#include "runtime/cli.h"
#include "runtime/dlq.h"
#include "tests/runtime/letters.h"

#define S 1000000000ull
/* 2026-01-02T03:04:05.678Z plus a second, the clock of the test. */
#define T0 1767323045678000000ull

static struct gw_test_env te;
static struct gw_buf written[3];
static char *texts[3];
static char dir[40];
static bool terminal;
static int open_rc;
static void (*fill)(struct gw_log *log);
static struct gw_log_files_conf asked;
static char asked_dir[300];

static void write_out(void *arg, int fd, const char *p, size_t n)
{
    (void)arg;
    gw_buf_put(&written[fd], p, n);
}

static int open_store(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    asked = *conf;
    (void)snprintf(asked_dir, sizeof(asked_dir), "%s", conf->dir);
    if (open_rc)
        return gw_fail(err, open_rc, "%s: it is broken", conf->dir);
    te.seed = 5; /* the same ids each time */
    *ret = new_store(&te.env);
    if (fill)
        fill(*ret);
    return 0;
}

/* Five letters: three of a sink, one of validate, one undecodable; from 5 hours ago to now. */
static void fill_five(struct gw_log *log)
{
    static const struct gw_meta acme = {.tenant = GW_SLICE("acme")};
    struct gw_dead_letter d = {.class_ = "sink_rejected",
                               .reason = "http_400",
                               .message = "mapper_parsing_exception",
                               .component = "elasticsearch/eu",
                               .pipeline = "logs/eu",
                               .code = 400,
                               .signal = GW_LOGS};

    for (unsigned i = 0; i < 3; i++) {
        d.last_ns = T0 - (5 - i) * 3600 * S;
        d.meta = i == 2 ? &acme : NULL;
        put_rows(&te.env, log, d, 10 * i, i + 1);
    }
    d = (struct gw_dead_letter){.class_ = "schema",
                                .reason = "trace_id",
                                .message = "trace_id must be 16 bytes, not 4",
                                .component = "validate",
                                .pipeline = "traces",
                                .signal = GW_TRACES,
                                .last_ns = T0 - 60 * S};
    put_rows(&te.env, log, d, 100, 1);
    d = (struct gw_dead_letter){.class_ = "decode",
                                .reason = "malformed",
                                .component = "otlp",
                                .signal = GW_LOGS,
                                .last_ns = T0,
                                .body = GW_SLICE("\x1b[2Jevil\n\xff")};
    put_letter(&te.env, log, &d);
}

static int cli(const char *const *argv)
{
    const struct gw_cli_world w = {.env = &te.env,
                                   .write = write_out,
                                   .service = &gw_service_options,
                                   .terminal = terminal,
                                   .open_log = open_store};
    int argc = 0, rc;

    while (argv[argc])
        argc++;
    for (int fd = 1; fd <= 2; fd++)
        gw_buf_init(&written[fd], 1 << 22);
    rc = gw_cli(argc, argv, &w);
    for (int fd = 1; fd <= 2; fd++) {
        size_t n;

        gw_buf_put_u8(&written[fd], '\0');
        free(texts[fd]);
        texts[fd] = (char *)gw_buf_take(&written[fd], &n);
    }
    return rc;
}

#define DLQ(...) cli((const char *const[]){"staunch", "dlq", ##__VA_ARGS__, NULL})
#define AT       "--directory", dir

static int setup(void **state)
{
    (void)state;
    gw_test_env_init(&te, 5);
    te.wall_offset_ns = T0 - te.now_ns;
    strcpy(dir, "/tmp/staunch-dlq-XXXXXX");
    fill = fill_five;
    terminal = false;
    open_rc = 0;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[64];

    (void)state;
    for (int fd = 1; fd <= 2; fd++) {
        free(texts[fd]);
        texts[fd] = NULL;
    }
    gw_test_env_clear(&te);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static bool says(const char *what)
{
    return strstr(texts[1], what) != NULL;
}

/*
 * Scenario    ls of a storage's folder, of the letters' own folder, and with a configuration
 * Guarantees  the log is opened for reading only, in the right folder; a line for each letter, the oldest first, with
 *             what tells it from others
 */
static void ls_shows_a_line_a_letter(void **state)
{
    char path[100];
    FILE *f;

    (void)state;
    assert_int_equal(DLQ("ls", AT), 0);
    assert_true(asked.read_only);
    assert_string_equal(asked_dir, dir);
    assert_int_equal(lines(texts[1]), 6);
    assert_int_equal(strncmp(texts[1], "ID ", 3), 0);
    assert_true(says("2026-01-01T22:04:05.678Z sink_rejected"));
    assert_true(strstr(texts[1], "elasticsearch/eu") < strstr(texts[1], "validate"));
    assert_true(says("http_400: mapper_parsing_exception"));
    assert_true(says("logs/eu"));
    (void)snprintf(path, sizeof(path), "%s/dead_letters", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(DLQ("ls", AT), 0);
    assert_string_equal(asked_dir, path);
    (void)snprintf(path, sizeof(path), "%s/gateway.yaml", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fprintf(f,
                        "extensions: {file_storage: {directory: %s/a}, file_storage/b: {directory: %s/b}}\n"
                        "receivers: {otlp: {protocols: {grpc: }}}\nexporters: {nop: }\n"
                        "service: {extensions: [file_storage, file_storage/b], dead_letters: {to: file_storage/b},\n"
                        "  pipelines: {logs: {receivers: [otlp], exporters: [nop]}}}\n",
                        dir, dir) > 0);
    assert_int_equal(fclose(f), 0);
    if (DLQ("ls", "--config", path) != 0)
        fail_msg("%s", texts[2]);
    (void)snprintf(path, sizeof(path), "%s/b/dead_letters", dir);
    assert_string_equal(asked_dir, path);
}

/*
 * Scenario    each filter alone, two together, times in three notations, a limit
 * Guarantees  only letters that fit all of them are shown
 */
static void filters_choose_letters(void **state)
{
    static const struct {
        const char *flags[4];
        unsigned n;
    } t[] = {
        {{"--class", "schema"}, 1},
        {{"--component=elasticsearch/eu"}, 3},
        {{"--component", "elasticsearch"}, 0},
        {{"--tenant", "acme"}, 1},
        {{"--pipeline", "traces"}, 1},
        {{"--signal", "logs"}, 4},
        {{"--signal", "logs", "--class", "decode"}, 1},
        {{"--since", "2h"}, 2},
        {{"--until", "2h"}, 3},
        {{"--since", "2026-01-02"}, 3},
        {{"--since", "2026-01-02T03:04:05.678Z"}, 1},
        {{"--until", "1767323045678000000"}, 4},
        {{"--limit", "2"}, 2},
        {{"--limit", "2", "--signal", "traces"}, 1},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        const char *argv[10] = {"staunch", "dlq", "ls", "--directory", dir};

        memcpy(argv + 5, t[i].flags, sizeof(t[i].flags));
        assert_int_equal(cli(argv), 0);
        if (lines(texts[1]) != t[i].n + 1)
            fail_msg("%s %s: %s", t[i].flags[0], t[i].flags[1] ? t[i].flags[1] : "", texts[1]);
    }
}

static void fill_settled(struct gw_log *log)
{
    fill_five(log);
    settle_letters(log, gw_dlq_consumer(log), 0, 1, GW_DLQ_REPLAYED);
    settle_letters(log, gw_dlq_consumer(log), 3, 3, GW_DLQ_PURGED);
}

/* Scenario: two letters were replayed, one purged. Guarantees: they are not shown, but with --all. */
static void settled_letters_are_gone(void **state)
{
    (void)state;
    fill = fill_settled;
    assert_int_equal(DLQ("ls", AT), 0);
    assert_int_equal(lines(texts[1]), 3);
    assert_false(says("validate"));
    assert_int_equal(DLQ("ls", AT, "--all"), 0);
    assert_int_equal(lines(texts[1]), 6);
}

static void fill_hostile(struct gw_log *log)
{
    const struct gw_meta meta = {.tenant = GW_SLICE("a\x1b]0;x\x07\xc2\x9b\xff\xe2\x80\xae")};
    const struct gw_dead_letter d = {.class_ = "schema",
                                     .reason = "r\x1b[31m",
                                     .message = "first\nsecond\t\x7f",
                                     .component = "a component with a very long name indeed, longer than its column",
                                     .signal = GW_LOGS,
                                     .last_ns = T0,
                                     .meta = &meta,
                                     .body = GW_SLICE("\x1b[2J\xff")};

    put_letter(&te.env, log, &d);
}

static void has_no_control(const char *text)
{
    for (const char *p = text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\n') || *p == 0x7f)
            fail_msg("control character %d in %s", *p, text);
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_null(strstr(text, "\xff"));
}

/*
 * Scenario    escape sequences, C1 controls, overrides of direction, newlines and broken UTF-8 in every text of a
 * letter Guarantees  no command lets one of them through to a terminal, and a letter stays one line
 */
static void nothing_hostile_reaches_the_terminal(void **state)
{
    (void)state;
    fill = fill_hostile;
    terminal = true;
    assert_int_equal(DLQ("ls", AT), 0);
    has_no_control(texts[1]);
    assert_int_equal(lines(texts[1]), 2);
    assert_true(says("r\\x1b[31m: first\\x0asecond\\x09\\x7f"));
    assert_true(says("a component with a ver~ "));
    assert_int_equal(DLQ("ls", AT, "--format", "json"), 0);
    has_no_control(texts[1]);
    assert_int_equal(lines(texts[1]), 1);
    assert_int_equal(DLQ("stats", AT, "--by", "tenant,reason"), 0);
    has_no_control(texts[1]);
    assert_int_equal(DLQ("show", "01", AT), 0);
    has_no_control(texts[1]);
    assert_true(says("\\x1b[2J\\xff"));
    assert_int_equal(DLQ("export", AT, "--output", "-"), 0);
}

/* Scenario: stats by default and by one key. Guarantees: counts, rows, and the age of the oldest, largest first. */
static void stats_count_by_what_is_asked(void **state)
{
    (void)state;
    assert_int_equal(DLQ("stats", AT), 0);
    assert_int_equal(lines(texts[1]), 5);
    assert_int_equal(DLQ("stats", AT, "--by", "class"), 0);
    assert_int_equal(lines(texts[1]), 4);
    assert_true(strstr(texts[1], "sink_rejected") < strstr(texts[1], "schema"));
    assert_non_null(strstr(texts[1], "sink_rejected           3         6"));
    assert_true(says("5h"));
    assert_true(says("2026-01-02T00:04:05.678Z")); /* the newest of them */
    assert_int_equal(DLQ("stats", AT, "--by", "clas"), 64);
    assert_non_null(strstr(texts[2], "did you mean \"class\""));
}

/*
 * Scenario    show of a letter whose body is OTLP, of one whose body is not, by a part of the id; an id that is not
 * there Guarantees  the whole envelope, and the rows as OTLP JSON, or the bytes escaped; exit code 69
 */
static void show_tells_everything(void **state)
{
    char id[37];
    const char *at;

    (void)state;
    assert_int_equal(DLQ("ls", AT, "--format", "json", "--class", "schema"), 0);
    at = strstr(texts[1], "\"dlq.id\":\"");
    assert_non_null(at);
    (void)snprintf(id, sizeof(id), "%s", at + 10);
    if (DLQ("show", id, AT) != 0)
        fail_msg("%s: %s", id, texts[2]);
    assert_true(says("dlq.message     trace_id must be 16 bytes, not 4"));
    assert_true(says("2026-01-02T03:03:05.678Z"));
    assert_true(says("{\"resourceSpans\":["));
    assert_int_equal(DLQ("show", "--class", "decode", "--id", "0", AT), 0);
    assert_true(says("body (10 bytes)\n\\x1b[2Jevil\\x0a\\xff\n"));
    assert_int_equal(DLQ("show", "ffff", AT), 69);
    assert_non_null(strstr(texts[2], "--all looks also among"));
    assert_int_equal(DLQ("show", AT), 64);
}

/*
 * Scenario    export as NDJSON to standard output and to a file, as OTLP; a file that is there already
 * Guarantees  a line a letter; a file of 0600 that is one OTLP request of all letters; nothing is overwritten
 */
static void export_writes_files(void **state)
{
    char path[100];
    struct stat st;
    uint32_t rows;
    char *p;
    size_t n;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/out", dir);
    assert_int_equal(DLQ("export", AT, "--output", "-"), 0);
    assert_int_equal(lines(texts[1]), 5);
    assert_int_equal(strncmp(texts[1], "{\"resourceLogs\":[", 17), 0);
    assert_int_equal(DLQ("export", AT, "--class", "sink_rejected", "--format", "otlp", "--output", path), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(gw_env_read_file(&te.env, path, 1 << 20, &p, &n, NULL), 0);
    assert_int_equal(gw_count_rows(GW_LOGS, gw_slice_of(p, n), &rows), 0);
    assert_int_equal(rows, 3);
    free(p);
    assert_int_equal(DLQ("export", AT, "--output", path), 74);
    assert_non_null(strstr(texts[2], "File exists"));
    assert_int_equal(DLQ("export", AT), 64);
    assert_int_equal(DLQ("export", AT, "--format", "xml", "--output", "-"), 64);
}

/*
 * Scenario    purge and replay with --dry-run; without any filter; without a gateway
 * Guarantees  a dry run counts what fits; all letters are only meant when --everything says so; the gateway is asked
 * for in the storage's folder
 */
static void purge_and_replay_are_careful(void **state)
{
    (void)state;
    assert_int_equal(DLQ("purge", AT, "--class", "sink_rejected", "--dry-run"), 0);
    assert_int_equal(lines(texts[1]), 2);
    assert_true(says("sink_rejected"));
    assert_false(says("validate"));
    assert_int_equal(DLQ("replay", AT, "--everything", "--dry-run"), 0);
    assert_int_equal(lines(texts[1]), 4);
    assert_int_equal(DLQ("purge", AT), 64);
    assert_non_null(strstr(texts[2], "--everything"));
    assert_int_equal(DLQ("replay", AT, "--all"), 64);
    assert_int_equal(DLQ("purge", AT, "--everything"), 69);
    assert_non_null(strstr(texts[2], "control.sock"));
    assert_int_equal(DLQ("replay", AT, "--everything", "--rate", "fast"), 64);
    assert_int_equal(DLQ("replay", AT, "--everything", "--max-attempts", "9"), 64);
    assert_int_equal(DLQ("replay", AT, "--everything", "--rate", "500/s"), 69);
}

/* Scenario: wrong words, times, numbers; a store that is not there. Guarantees: a sentence, and the right exit code. */
static void mistakes_are_told(void **state)
{
    (void)state;
    assert_int_equal(DLQ(), 0);
    assert_true(says("Usage: staunch dlq"));
    assert_int_equal(DLQ("lst"), 64);
    assert_non_null(strstr(texts[2], "did you mean \"ls\""));
    assert_int_equal(DLQ("ls", AT, "--sinse", "2h"), 64);
    assert_non_null(strstr(texts[2], "did you mean \"--since\""));
    assert_int_equal(DLQ("ls", AT, "--since", "yesterday"), 64);
    assert_int_equal(DLQ("ls", AT, "--since", "2026-13-45"), 64);
    assert_int_equal(DLQ("ls", AT, "--limit", "many"), 64);
    open_rc = -ENOENT;
    assert_int_equal(DLQ("ls", AT), 69);
    assert_non_null(strstr(texts[2], "there is no dead letter store"));
    open_rc = -EIO;
    assert_int_equal(DLQ("ls", AT), 74);
    assert_non_null(strstr(texts[2], "it is broken"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ls_shows_a_line_a_letter, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_choose_letters, setup, teardown),
        cmocka_unit_test_setup_teardown(settled_letters_are_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_hostile_reaches_the_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(stats_count_by_what_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(show_tells_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(export_writes_files, setup, teardown),
        cmocka_unit_test_setup_teardown(purge_and_replay_are_careful, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
