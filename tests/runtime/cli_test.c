/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli.h"

#include "core/buf.h"
#include "runtime/cli_impl.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A catalogue of two, so that the tests do not change with the product. */
struct conf {
    const char *endpoint, *token;
};
static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct conf, endpoint, "endpoint", "here", "Where."),
    GW_SECRET_FIELD(struct conf, token, "token", "Secret."),
    {0},
};
static const char *const aliases[] = {"oldin", NULL};
static const struct gw_component in = {.kind = GW_RECEIVER,
                                       .name = "in",
                                       .aliases = aliases,
                                       .summary = "Takes in.",
                                       .signals = GW_TRACES,
                                       .fields = fields,
                                       .conf_size = sizeof(struct conf)};
static const struct gw_component otlp = {.kind = GW_RECEIVER, .name = "otlp", .signals = GW_ALL_SIGNALS};
static const struct gw_component out = {
    .kind = GW_EXPORTER, .name = "out", .summary = "Sends.", .signals = GW_ALL_SIGNALS};
static const struct gw_component *const catalogue[] = {&in, &otlp, &out, NULL};
static const struct gw_service_options options = {.components = catalogue}, *service = &options;

static const char good[] = "receivers: {in: {token: \"${env:TOKEN}\", endpoint: there}}\nexporters: {out: }\n"
                           "service: {pipelines: {traces: {receivers: [in], exporters: [out]}}}\n";

static struct gw_env *env;
static struct gw_buf written[3];
static char *texts[3];
static char dir[] = "/tmp/staunch-cli-XXXXXX";
static const char *staunch_config;
static int run_rc;
static struct gw_run_options ran;
static char ran_endpoint[64];
static unsigned n_runs;

static void write_out(void *arg, int fd, const char *p, size_t n)
{
    (void)arg;
    gw_buf_put(&written[fd], p, n);
}

static const char *variable(void *arg, const char *name)
{
    (void)arg;
    if (strcmp(name, "STAUNCH_CONFIG") == 0)
        return staunch_config;
    return strcmp(name, "TOKEN") == 0 ? "s3cret" : NULL;
}

static int run(struct gw_env *e, struct gw_service *s, const struct gw_run_options *o, struct gw_err *err)
{
    const struct gw_service_component *c = gw_service_find(s, GW_RECEIVER, "in");

    assert_ptr_equal(e, env);
    n_runs++;
    ran = *o;
    (void)snprintf(ran_endpoint, sizeof(ran_endpoint), "%s", c ? ((const struct conf *)c->conf)->endpoint : "");
    return run_rc ? gw_fail(err, run_rc, "127.0.0.1:4317 is taken") : 0;
}

static int setup_group(void **state)
{
    (void)state;
    env = gw_env_real_new();
    return env && mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown_group(void **state)
{
    (void)state;
    gw_env_real_free(env);
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    staunch_config = NULL;
    run_rc = 0;
    n_runs = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int fd = 1; fd <= 2; fd++) {
        gw_buf_clear(&written[fd]);
        free(texts[fd]);
        texts[fd] = NULL;
    }
    (void)unlink("a.yaml");
    (void)unlink("b.yaml");
    (void)unlink("staunch.yaml");
    return 0;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int cli_with(bool colour, const char *const *argv)
{
    const struct gw_cli_world w = {
        .env = env, .write = write_out, .variable = variable, .service = service, .run = run, .colour = colour};
    int argc = 0, rc;

    while (argv[argc])
        argc++;
    for (int fd = 1; fd <= 2; fd++) {
        gw_buf_clear(&written[fd]);
        gw_buf_init(&written[fd], 1 << 20);
    }
    rc = gw_cli(argc, argv, &w);
    for (int fd = 1; fd <= 2; fd++) {
        size_t n;

        gw_buf_put_u8(&written[fd], '\0');
        free(texts[fd]);
        texts[fd] = (char *)gw_buf_take(&written[fd], &n);
    }
    return rc;
}

#define CLI(...) cli_with(false, (const char *const[]){"staunch", ##__VA_ARGS__, NULL})

/* Scenario: --config bare, with `run`, as two words. Guarantees: all of them run that file. */
static void a_bare_config_means_run(void **state)
{
    (void)state;
    write_file("a.yaml", good);
    assert_int_equal(CLI("--config=a.yaml"), 0);
    assert_int_equal(CLI("run", "--config", "a.yaml"), 0);
    assert_int_equal(CLI("--config=file:a.yaml", "run"), 0);
    assert_int_equal(n_runs, 3);
    assert_string_equal(ran.source, "file:a.yaml");
    assert_false(ran.is_builtin || ran.demo);
    assert_string_equal(ran_endpoint, "there");
    assert_string_equal(texts[2], "");
}

/* Scenario: two files and a --set. Guarantees: the last word wins. */
static void files_and_sets_merge(void **state)
{
    (void)state;
    write_file("a.yaml", good);
    write_file("b.yaml", "receivers: {in: {endpoint: second}}\n");
    assert_int_equal(CLI("--config=a.yaml", "--config=b.yaml"), 0);
    assert_string_equal(ran_endpoint, "second");
    assert_int_equal(CLI("--config=a.yaml", "--set", "receivers.in.endpoint=third", "--config=b.yaml"), 0);
    assert_string_equal(ran_endpoint, "third");
}

/* Scenario: no --config. Guarantees: the variable, then the file here, then the built-in one; validate wants a file. */
static void a_configuration_is_searched_for(void **state)
{
    (void)state;
    if (access("/etc/staunch/config.yaml", F_OK) == 0)
        skip();
    assert_int_equal(CLI("validate"), GW_EXIT_USAGE);
    assert_int_equal(CLI(), GW_EXIT_CONFIG); /* the built-in one names a debug exporter, which this catalogue lacks */
    assert_non_null(strstr(texts[2], "built-in configuration:"));
    write_file("staunch.yaml", good);
    assert_int_equal(CLI(), 0);
    assert_string_equal(ran.source, "./staunch.yaml");
    write_file("b.yaml", good);
    staunch_config = "b.yaml";
    assert_int_equal(CLI("run", "--demo"), 0);
    assert_string_equal(ran.source, "b.yaml");
    assert_true(ran.demo);
}

/* Scenario: a configuration with three mistakes. Guarantees: three lines, exit code 78, nothing runs. */
static void three_mistakes_exit_with_78(void **state)
{
    (void)state;
    write_file("a.yaml", "receivers:\n  in:\n    endpiont: x\nexporters:\n  oout:\n"
                         "service:\n  pipelines:\n    traces:\n      receivers: [inn]\n      exporters: [oout]\n");
    assert_int_equal(CLI("--config=a.yaml"), 78);
    assert_int_equal(n_runs, 0);
    assert_int_equal(CLI("validate", "--config=a.yaml"), 78);
    assert_string_equal(
        texts[2], "a.yaml:3:5: error: unknown key \"endpiont\" in receivers::in; did you mean \"endpoint\"?\n"
                  "a.yaml:5:3: error: exporters::oout: unknown exporter type \"oout\"; did you mean \"out\"?\n"
                  "a.yaml:9:19: error: service::pipelines::traces: receiver or connector \"inn\" is not configured; "
                  "did you mean \"in\"?\n");
    assert_string_equal(texts[1], "");
}

/* Scenario: a good file, a missing one. Guarantees: 0 and one line; 74 and the reason. */
static void validate_tells_good_from_missing(void **state)
{
    (void)state;
    write_file("a.yaml", good);
    assert_int_equal(CLI("validate", "--config=a.yaml"), 0);
    assert_string_equal(texts[1], "a.yaml: valid, 1 pipeline, 2 components\n");
    assert_int_equal(CLI("validate", "--config=none.yaml"), GW_EXIT_IO);
    assert_string_equal(texts[2], "none.yaml: error: none.yaml: No such file or directory\n");
}

static int fetch(struct gw_env *e, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n, struct gw_err *err)
{
    (void)e;
    (void)max_bytes;
    if (strcmp(url, "https://joe:pw@conf/good.yaml?t=k") != 0)
        return gw_fail(err, -ETIMEDOUT, "timed out");
    *ret_p = strdup(good);
    *ret_n = strlen(good);
    return 0;
}

/* Scenario: a good URL, one that does not answer. Guarantees: as with a file, and no password is shown. */
static void a_url_is_a_source_like_another(void **state)
{
    (void)state;
    gw_env_real_ops(env)->fetch = fetch;
    assert_int_equal(CLI("validate", "--config=https://joe:pw@conf/good.yaml?t=k"), 0);
    assert_string_equal(texts[1], "https://***@conf/good.yaml?***: valid, 1 pipeline, 2 components\n");
    assert_int_equal(CLI("--config=https://joe:pw@conf/late.yaml"), GW_EXIT_IO);
    assert_string_equal(texts[2], "https://***@conf/late.yaml: error: https://***@conf/late.yaml: timed out\n");
    assert_int_equal(n_runs, 0);
    gw_env_real_ops(env)->fetch = NULL;
}

static int fetch_books(struct gw_env *e, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                       struct gw_err *err)
{
    (void)e, (void)max_bytes, (void)err;
    assert_string_equal(url, "http://127.0.0.1:8888/ledger/table");
    *ret_p = strdup("balanced: nothing came\n");
    *ret_n = strlen(*ret_p);
    return 0;
}

/* Scenario: nothing says which gateway. Guarantees: the one that runs when nothing says how is asked. */
static void the_ledger_is_that_of_a_gateway_without_a_configuration(void **state)
{
    (void)state;
    gw_env_real_ops(env)->fetch = fetch_books;
    service = &gw_service_options;
    assert_int_equal(CLI("ledger"), 0);
    service = &options;
    assert_string_equal(texts[1], "balanced: nothing came\n");
    gw_env_real_ops(env)->fetch = NULL;
    assert_int_equal(CLI("validate"), GW_EXIT_USAGE);
    assert_non_null(strstr(texts[2], "no configuration: give --config FILE"));
}

/* Scenario: wrong words. Guarantees: 64, and the word that was meant. */
static void wrong_usage_is_explained(void **state)
{
    (void)state;
    assert_int_equal(CLI("valdate"), GW_EXIT_USAGE);
    assert_non_null(strstr(texts[2], "unknown command \"valdate\"; did you mean \"validate\"?"));
    assert_int_equal(CLI("--confg=x"), GW_EXIT_USAGE);
    assert_non_null(strstr(texts[2], "unknown flag \"--confg=x\"; did you mean \"--config\"?"));
    assert_int_equal(CLI("--config"), GW_EXIT_USAGE);
    assert_non_null(strstr(texts[2], "a value must follow \"--config\""));
    assert_int_equal(CLI("validate", "a.yaml"), GW_EXIT_USAGE);
    assert_int_equal(CLI("validate", "--demo"), GW_EXIT_USAGE);
    write_file("a.yaml", good);
    assert_int_equal(CLI("print-config", "--config=a.yaml", "--mode=x"), GW_EXIT_USAGE);
    assert_int_equal(n_runs, 0);
}

/* Scenario: the run fails. Guarantees: the exit code tells a taken port from the rest, the message is printed. */
static void exit_codes_follow_the_failure(void **state)
{
    static const struct {
        int rc, code;
    } cases[] = {{-EADDRINUSE, 69}, {-EACCES, 69}, {-EINVAL, 78}, {-ENOSPC, 74}, {-ENOMEM, 70}};

    (void)state;
    write_file("a.yaml", good);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_rc = cases[i].rc;
        assert_int_equal(CLI("--config=a.yaml"), cases[i].code);
        assert_string_equal(texts[2], "error: 127.0.0.1:4317 is taken\n");
    }
}

/* Scenario: print-config of a file with a secret. Guarantees: hidden unless asked for, as YAML and JSON. */
static void print_config_hides_secrets(void **state)
{
    (void)state;
    write_file("a.yaml", good);
    assert_int_equal(CLI("print-config", "--config=a.yaml"), 0);
    assert_non_null(strstr(texts[1], "token: \"[REDACTED]\"\n"));
    assert_null(strstr(texts[1], "s3cret"));
    assert_int_equal(CLI("print-initial-config", "--config=a.yaml", "--format=json", "--mode=unredacted", "--validate"),
                     0);
    assert_non_null(strstr(texts[1], "\"token\": \"s3cret\""));
    assert_non_null(strstr(texts[1], "\"out\": null"));
}

/* Scenario: components, --version, --help, feature gates. Guarantees: what the tables say; gates are tolerated. */
static void the_binary_describes_itself(void **state)
{
    (void)state;
    assert_int_equal(CLI("components"), 0);
    assert_non_null(strstr(texts[1], "receivers:\n    - name: in\n      module: staunch/receivers/in v" GW_VERSION "\n"
                                     "      summary: \"Takes in.\"\n      deprecated_names:\n        - oldin\n"
                                     "      stability:\n        logs: Undefined\n        metrics: Undefined\n"
                                     "        traces: Beta\n"));
    assert_non_null(strstr(texts[1], "processors: []\n"));
    assert_int_equal(CLI("--version"), 0);
    assert_string_equal(texts[1], "staunch version " GW_VERSION "\n");
    assert_int_equal(CLI("validate", "--help"), 0);
    assert_non_null(strstr(texts[1], "Usage: staunch"));
    write_file("a.yaml", good);
    assert_int_equal(CLI("--config=a.yaml", "--feature-gates=+a,-b"), 0);
    assert_string_equal(texts[2], "note: --feature-gates=+a,-b is accepted and has no effect\n");
}

/* Scenario: the same mistake with and without a terminal. Guarantees: colours only when wanted. */
static void colours_only_when_wanted(void **state)
{
    (void)state;
    write_file("a.yaml", "x: 1\n");
    assert_int_equal(CLI("--config=a.yaml"), 78);
    assert_null(strchr(texts[2], '\033'));
    assert_int_equal(cli_with(true, (const char *const[]){"staunch", "--config=a.yaml", NULL}), 78);
    assert_non_null(strstr(texts[2], "\033[31merror:\033[0m"));
}

/* Scenario: the real binary. Guarantees: its version is the project's, the built-in configuration is a valid one. */
static void the_real_binary_agrees(void **state)
{
    char line[128] = "";
    FILE *f = popen(GW_BINARY_DIR "/staunch --version 2>&1", "r");

    (void)state;
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_int_equal(pclose(f), 0);
    assert_string_equal(line, "staunch version " GW_VERSION "\n");
}

/* Guarantees: a command's own words and flags are taken out one by one, and what is left over is named. */
static void a_command_takes_its_own_flags(void **state)
{
    const char *rest[] = {"ls", "--class", "a", "--all", "--class=b", "--since", "1h", "--limit", NULL};
    const struct gw_cli_world w = {.env = env, .write = write_out};
    struct gw_cli c = {.w = &w, .rest = rest, .n_rest = 8};
    bool missing = false;

    (void)state;
    gw_buf_init(&written[2], 1 << 20);
    assert_string_equal(gw_cli_take_word(&c), "ls");
    assert_null(gw_cli_take_word(&c));
    assert_string_equal(gw_cli_take_flag(&c, "--class", &missing), "b");
    assert_null(gw_cli_take_flag(&c, "--clas", &missing));
    assert_false(missing);
    assert_true(gw_cli_take_switch(&c, "--all"));
    assert_false(gw_cli_take_switch(&c, "--all"));
    assert_null(gw_cli_take_flag(&c, "--limit", &missing));
    assert_true(missing);
    assert_int_equal(gw_cli_no_more(&c, (const char *const[]){"--sinse", NULL}), GW_EXIT_USAGE);
    gw_buf_put_u8(&written[2], 0);
    assert_non_null(strstr((const char *)written[2].p, "unknown flag \"--since\"; did you mean \"--sinse\"?"));
    c.n_rest = 0;
    assert_int_equal(gw_cli_no_more(&c, (const char *const[]){NULL}), 0);
}

/* Guarantees: without a place for a socket, and without a gateway, the commands for a running one say so. */
static void asking_nobody_is_explained(void **state)
{
    (void)state;
    write_file("a.yaml", good);
    assert_int_equal(CLI("ping", "--config=a.yaml"), GW_EXIT_CONFIG);
    assert_non_null(strstr(texts[2], "has no control socket"));
    assert_int_equal(CLI("ping", "--config=a.yaml", "--set", "service.runtime.control_socket=here.sock"),
                     GW_EXIT_UNAVAILABLE);
    assert_non_null(strstr(texts[2], "here.sock: no gateway runs with this configuration"));
    assert_int_equal(CLI("ping", "--socket", "there.sock"), GW_EXIT_UNAVAILABLE);
    assert_int_equal(CLI("ping", "--socket"), GW_EXIT_USAGE);
    assert_int_equal(CLI("ping", "x"), GW_EXIT_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bare_config_means_run, setup, teardown),
        cmocka_unit_test_setup_teardown(files_and_sets_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(a_configuration_is_searched_for, setup, teardown),
        cmocka_unit_test_setup_teardown(three_mistakes_exit_with_78, setup, teardown),
        cmocka_unit_test_setup_teardown(validate_tells_good_from_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_url_is_a_source_like_another, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ledger_is_that_of_a_gateway_without_a_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_usage_is_explained, setup, teardown),
        cmocka_unit_test_setup_teardown(exit_codes_follow_the_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(print_config_hides_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(the_binary_describes_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(colours_only_when_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_real_binary_agrees, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_takes_its_own_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(asking_nobody_is_explained, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
