/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli.h"

#include "config/load.h"
#include "core/buf.h"
#include "runtime/cli_show.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_CHUNK = 65536, ARENA_MAX = 64 << 20, OUT_MAX = 16 << 20 };

enum command { RUN, VALIDATE, COMPONENTS, PRINT_CONFIG, FEATUREGATE, VERSION, HELP, N_COMMANDS };

static const char *const command_words[] = {"run",         "validate", "components", "print-config",
                                            "featuregate", "version",  "help",       NULL};

static const char help_text[] =
    "Staunch " GW_VERSION ": an OpenTelemetry gateway.\n"
    "\n"
    "Usage: staunch [command] [flags]\n"
    "\n"
    "  run            take telemetry in and send it on (also without a command)\n"
    "  validate       check a configuration; every mistake is printed with file, line and column\n"
    "  components     what this binary can do, as YAML\n"
    "  print-config   the configuration after merging and expansion, without secrets\n"
    "  version, help\n"
    "\n"
    "  --config FILE          may stand several times: later ones win, maps are joined, lists replaced.\n"
    "                         Also file:FILE, env:NAME, yaml:TEXT, http:// and https:// URLs.\n"
    "                         Without it: $STAUNCH_CONFIG, ./staunch.yaml, /etc/staunch/config.yaml,\n"
    "                         or else, for run, a built-in one: OTLP on 127.0.0.1:4317 and :4318, shown here\n"
    "  --set KEY=VALUE        one setting, over all files: --set processors.batch.timeout=2s\n"
    "  --demo                 run: a built-in shop sends traces, logs and metrics into every pipeline\n"
    "  --mode MODE            print-config: redacted (default) or unredacted\n"
    "  --format FORMAT        print-config: yaml (default) or json\n"
    "  --feature-gates LIST   accepted as the Collector's; has no effect\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: 0 done, 64 wrong usage, 69 unavailable (a port is taken), 70 internal, 74 I/O, 78 configuration.\n";

struct cli {
    const struct gw_cli_world *w;
    enum command command;
    const char **uris, **sets;
    size_t n_uris, n_sets;
    const char *gates, *mode, *format;
    bool demo, is_builtin;
    struct gw_arena arena; /* the tree */
    struct gw_diag diag;
};

static void put(const struct cli *c, int fd, struct gw_slice s)
{
    c->w->write(c->w->write_arg, fd, (const char *)s.p, s.n);
}

static void say(const struct cli *c, int fd, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(const struct cli *c, int fd, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        put(c, fd, gw_slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

static const char *variable(const struct cli *c, const char *name)
{
    return c->w->variable ? c->w->variable(c->w->variable_arg, name) : getenv(name);
}

/* ---- flags ------------------------------------------------------------------------------------------------ */

static const char *const flag_words[] = {"--config",   "--set",           "--demo",    "--mode", "--format",
                                         "--validate", "--feature-gates", "--version", "--help", NULL};

static int usage(const struct cli *c, const char *what, const char *word, const char *const *words)
{
    const char *near = gw_suggest(gw_slice_of(word, strcspn(word, "=")), words);

    say(c, 2, "error: %s \"%.100s\"", what, word);
    if (near)
        say(c, 2, "; did you mean \"%s\"?", near);
    say(c, 2, "\nstaunch --help shows what there is\n");
    return GW_EXIT_USAGE;
}

/* "--flag=value" or "--flag value"; moves *i over a value of its own. NULL when this is another flag. */
static const char *value_of(int argc, const char *const *argv, int *i, const char *flag, bool *ret_missing)
{
    size_t n = strlen(flag);

    if (strncmp(argv[*i], flag, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    if (argv[*i][n] != '\0')
        return NULL;
    if (*i + 1 < argc)
        return argv[++*i];
    *ret_missing = true;
    return NULL;
}

static bool take_value(struct cli *c, int argc, const char *const *argv, int *i, bool *ret_missing)
{
    const char *v;

    if ((v = value_of(argc, argv, i, "--config", ret_missing)))
        c->uris[c->n_uris++] = v;
    else if ((v = value_of(argc, argv, i, "--set", ret_missing)))
        c->sets[c->n_sets++] = v;
    else if ((v = value_of(argc, argv, i, "--feature-gates", ret_missing)))
        c->gates = v;
    else if ((v = value_of(argc, argv, i, "--mode", ret_missing)))
        c->mode = v;
    else if ((v = value_of(argc, argv, i, "--format", ret_missing)))
        c->format = v;
    return v != NULL;
}

static bool is_any(const char *s, const char *a, const char *b)
{
    return strcmp(s, a) == 0 || (b && strcmp(s, b) == 0);
}

/* The Collector writes booleans as flags with or without a value. */
static bool is_validate_flag(const char *s)
{
    return strcmp(s, "--validate") == 0 || strncmp(s, "--validate=", 11) == 0;
}

static int take_command(struct cli *c, const char *word, bool *seen)
{
    enum command k = RUN;

    if (strcmp(word, "print-initial-config") == 0)
        k = PRINT_CONFIG;
    else
        while (k < N_COMMANDS && strcmp(word, command_words[k]) != 0)
            k++;
    if (k == N_COMMANDS)
        return usage(c, "unknown command", word, command_words);
    if (*seen && c->command != FEATUREGATE)
        return usage(c, "unexpected argument", word, (const char *const[]){NULL});
    *seen = true;
    c->command = k;
    return 0;
}

static int parse(struct cli *c, int argc, const char *const *argv)
{
    bool seen = false;
    int rc;

    for (int i = 1; i < argc; i++) {
        bool missing = false;

        if (argv[i][0] != '-') {
            if (c->command == FEATUREGATE && seen)
                continue;
            if ((rc = take_command(c, argv[i], &seen)) != 0)
                return rc;
        } else if (is_any(argv[i], "--help", "-h")) {
            c->command = HELP;
            return 0;
        } else if (is_any(argv[i], "--version", "-v")) {
            c->command = VERSION;
            return 0;
        } else if (strcmp(argv[i], "--demo") == 0) {
            c->demo = true;
        } else if (take_value(c, argc, argv, &i, &missing) || is_validate_flag(argv[i])) {
            continue;
        } else if (missing) {
            return usage(c, "a value must follow", argv[i], (const char *const[]){NULL});
        } else {
            return usage(c, "unknown flag", argv[i], flag_words);
        }
    }
    if (c->demo && c->command != RUN)
        return usage(c, "only run takes", "--demo", (const char *const[]){NULL});
    return 0;
}

/* ---- configuration ---------------------------------------------------------------------------------------- */

/* Fills in what stands for a missing --config. False when there is nothing. */
static bool find_config(struct cli *c)
{
    static const char *const paths[] = {"./staunch.yaml", "/etc/staunch/config.yaml"};
    const char *named = variable(c, "STAUNCH_CONFIG");

    if (c->n_uris)
        return true;
    if (named && *named) {
        c->uris[c->n_uris++] = named;
        return true;
    }
    for (size_t i = 0; i < 2; i++)
        if (c->w->env->ops->file_changed_ns(c->w->env, paths[i])) {
            c->uris[c->n_uris++] = paths[i];
            return true;
        }
    if (c->command != RUN)
        return false;
    c->uris[c->n_uris++] = "builtin:";
    c->is_builtin = true;
    return true;
}

static void print_diag(struct cli *c)
{
    struct gw_buf out;

    gw_buf_init(&out, OUT_MAX);
    gw_diag_print(&c->diag, &out, c->w->colour);
    put(c, 2, gw_buf_slice(&out));
    gw_buf_clear(&out);
}

static int exit_of_load(int rc)
{
    return rc == -EINVAL || rc == -E2BIG ? GW_EXIT_CONFIG : rc == -ENOMEM ? GW_EXIT_INTERNAL : GW_EXIT_IO;
}

/* Load and check; prints what there is to say. Returns an exit code. */
static int load(struct cli *c, const struct gw_node **ret_root, struct gw_service **ret)
{
    struct gw_config_request rq = {.env = c->w->env, .variable = c->w->variable, .variable_arg = c->w->variable_arg};
    int rc;

    if (!find_config(c)) {
        say(c, 2, "error: no configuration: give --config FILE\n");
        return GW_EXIT_USAGE;
    }
    rq.uris = c->uris;
    rq.n_uris = c->n_uris;
    rq.sets = c->sets;
    rq.n_sets = c->n_sets;
    if (c->gates)
        say(c, 2, "note: --feature-gates=%s is accepted and has no effect\n", c->gates);
    rc = gw_config_load(&rq, &c->arena, &c->diag, ret_root);
    if (rc == 0)
        rc = gw_service_new(*ret_root, c->w->service, &c->diag, ret);
    print_diag(c);
    return rc == 0 ? 0 : exit_of_load(rc);
}

static const char *source_name(struct cli *c)
{
    return c->is_builtin ? "built-in configuration" : gw_uri_shown(&c->arena, c->uris[0]);
}

/* ---- commands --------------------------------------------------------------------------------------------- */

static int exit_of_run(int rc)
{
    switch (-rc) {
    case 0:
        return GW_EXIT_OK;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
    case ENOENT:
    case ECONNREFUSED:
        return GW_EXIT_UNAVAILABLE;
    case EINVAL:
        return GW_EXIT_CONFIG;
    case EIO:
    case ENOSPC:
    case EROFS:
        return GW_EXIT_IO;
    default:
        return GW_EXIT_INTERNAL;
    }
}

static int run(struct cli *c)
{
    const struct gw_node *root;
    struct gw_service *service;
    struct gw_run_options options = {.demo = c->demo};
    struct gw_err err = {""};
    int rc = load(c, &root, &service);

    if (rc != 0)
        return rc;
    options.source = source_name(c);
    options.is_builtin = c->is_builtin;
    rc = c->w->run(c->w->env, service, &options, &err);
    if (rc < 0)
        say(c, 2, "error: %s\n", *err.text ? err.text : strerror(-rc));
    gw_service_free(service);
    return exit_of_run(rc);
}

static int validate(struct cli *c)
{
    const struct gw_node *root;
    struct gw_service *service;
    int rc = load(c, &root, &service);

    if (rc != 0)
        return rc;
    say(c, 1, "%s: valid, %zu pipeline%s, %zu component%s\n", source_name(c), service->n_pipelines,
        service->n_pipelines == 1 ? "" : "s", service->n_components, service->n_components == 1 ? "" : "s");
    gw_service_free(service);
    return GW_EXIT_OK;
}

static int print_config(struct cli *c)
{
    static const char *const modes[] = {"redacted", "unredacted", NULL}, *const formats[] = {"yaml", "json", NULL};
    const struct gw_node *root;
    struct gw_service *service;
    struct gw_buf out;
    int rc;

    if (!is_any(c->mode, modes[0], modes[1]))
        return usage(c, "unknown mode", c->mode, modes);
    if (!is_any(c->format, formats[0], formats[1]))
        return usage(c, "unknown format", c->format, formats);
    rc = load(c, &root, &service);
    if (rc != 0)
        return rc;
    if (strcmp(c->mode, "redacted") == 0)
        root = gw_service_redact(root, c->w->service, &c->arena);
    gw_buf_init(&out, OUT_MAX);
    if (root && strcmp(c->format, "json") == 0)
        gw_cli_put_json(&out, root);
    else if (root)
        gw_yaml_write(&out, root);
    put(c, 1, gw_buf_slice(&out));
    gw_buf_clear(&out);
    gw_service_free(service);
    return root ? GW_EXIT_OK : GW_EXIT_INTERNAL;
}

static int components(struct cli *c)
{
    struct gw_buf out;

    gw_buf_init(&out, OUT_MAX);
    gw_cli_put_components(&out, c->w->service->components);
    put(c, 1, gw_buf_slice(&out));
    gw_buf_clear(&out);
    return GW_EXIT_OK;
}

static int dispatch(struct cli *c)
{
    switch (c->command) {
    case RUN:
        return run(c);
    case VALIDATE:
        return validate(c);
    case COMPONENTS:
        return components(c);
    case PRINT_CONFIG:
        return print_config(c);
    case FEATUREGATE:
        say(c, 1, "there are no feature gates; --feature-gates is accepted and has no effect\n");
        return GW_EXIT_OK;
    case VERSION:
        say(c, 1, "staunch version %s\n", GW_VERSION);
        return GW_EXIT_OK;
    case HELP:
    case N_COMMANDS:
        break;
    }
    put(c, 1, gw_slice_cstr(help_text));
    return GW_EXIT_OK;
}

int gw_cli(int argc, const char *const *argv, const struct gw_cli_world *w)
{
    struct cli c = {.w = w, .mode = "redacted", .format = "yaml"};
    int rc = GW_EXIT_INTERNAL;

    gw_arena_init(&c.arena, ARENA_CHUNK, ARENA_MAX);
    gw_diag_init(&c.diag);
    c.uris = calloc((size_t)argc + 2, sizeof(*c.uris));
    c.sets = calloc((size_t)argc + 1, sizeof(*c.sets));
    if (c.uris && c.sets) {
        rc = parse(&c, argc, argv);
        if (rc == 0)
            rc = dispatch(&c);
    }
    free(c.uris);
    free(c.sets);
    gw_arena_clear(&c.arena);
    gw_diag_clear(&c.diag);
    return rc;
}
