/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need no running gateway. */
#include "core/buf.h"
#include "runtime/cli_commands.h"
#include "runtime/cli_show.h"

#include <stdio.h>
#include <stdlib.h>

enum { OUT_MAX = 16 << 20, ARENA_CHUNK = 65536, ARENA_MAX = 64 << 20 };

/* ---- run -------------------------------------------------------------------------------------------------- */

struct loaded {
    struct gw_arena arena;
    struct gw_service *service;
};

static void let_go(void *arg)
{
    struct loaded *l = arg;

    gw_service_free(l->service);
    gw_arena_clear(&l->arena);
    free(l);
}

static int again(void *arg, struct gw_run_configuration *ret, struct gw_buf *mistakes)
{
    struct loaded *l = calloc(1, sizeof(*l));
    const struct gw_node *root;
    struct gw_diag diag;
    int rc;

    if (!l)
        return -ENOMEM;
    gw_arena_init(&l->arena, ARENA_CHUNK, ARENA_MAX);
    gw_diag_init(&diag);
    rc = gw_cli_read(arg, &l->arena, &diag, &root, &l->service);
    gw_diag_write(&diag, mistakes);
    gw_diag_clear(&diag);
    if (rc < 0) {
        l->service = NULL;
        let_go(l);
        return rc;
    }
    *ret = (struct gw_run_configuration){l->service, let_go, l};
    return 0;
}

static uint64_t stamp(void *arg, bool as_read)
{
    const struct gw_cli *c = arg;
    uint64_t h = 0;

    for (size_t i = 0; i < c->n_files; i++)
        h = h * 1099511628211u +
            (as_read ? c->files[i].changed_ns : c->w->env->ops->file_changed_ns(c->w->env, c->files[i].path));
    return h;
}

static int run(struct gw_cli *c)
{
    const struct gw_node *root;
    struct gw_service *service;
    struct gw_run_options options = {.demo = c->demo, .again = again, .stamp = stamp, .arg = c};
    struct gw_err err = {""};
    int rc = gw_cli_load(c, &root, &service);

    if (rc != 0)
        return rc;
    options.source = gw_cli_source(c);
    options.is_builtin = c->is_builtin;
    rc = c->w->run(c->w->env, service, &options, &err);
    if (rc < 0)
        gw_cli_say(c, 2, "error: %s\n", *err.text ? err.text : strerror(-rc));
    gw_service_free(service);
    return gw_cli_exit_of(rc);
}

/* ---- the others ------------------------------------------------------------------------------------------- */

static int validate(struct gw_cli *c)
{
    const struct gw_node *root;
    struct gw_service *service;
    int rc = gw_cli_load(c, &root, &service);

    if (rc != 0)
        return rc;
    gw_cli_say(c, 1, "%s: valid, %zu pipeline%s, %zu component%s\n", gw_cli_source(c), service->n_pipelines,
               service->n_pipelines == 1 ? "" : "s", service->n_components, service->n_components == 1 ? "" : "s");
    gw_service_free(service);
    return GW_EXIT_OK;
}

static bool is_of(const char *s, const char *const *words)
{
    while (*words && strcmp(s, *words) != 0)
        words++;
    return *words != NULL;
}

static int print_config(struct gw_cli *c)
{
    static const char *const modes[] = {"redacted", "unredacted", NULL}, *const formats[] = {"yaml", "json", NULL};
    const char *mode = c->mode ? c->mode : modes[0], *format = c->format ? c->format : formats[0];
    const struct gw_node *root;
    struct gw_service *service;
    struct gw_buf out;
    int rc;

    if (!is_of(mode, modes))
        return gw_cli_usage(c, "unknown mode", mode, modes);
    if (!is_of(format, formats))
        return gw_cli_usage(c, "unknown format", format, formats);
    rc = gw_cli_load(c, &root, &service);
    if (rc != 0)
        return rc;
    if (strcmp(mode, "redacted") == 0)
        root = gw_service_redact(root, c->w->service, &c->arena);
    gw_buf_init(&out, OUT_MAX);
    if (root && strcmp(format, "json") == 0)
        gw_cli_put_json(&out, root);
    else if (root)
        gw_yaml_write(&out, root);
    gw_cli_put(c, 1, gw_buf_slice(&out));
    gw_buf_clear(&out);
    gw_service_free(service);
    return root ? GW_EXIT_OK : GW_EXIT_INTERNAL;
}

static int components(struct gw_cli *c)
{
    struct gw_buf out;

    gw_buf_init(&out, OUT_MAX);
    gw_cli_put_components(&out, c->w->service->components);
    gw_cli_put(c, 1, gw_buf_slice(&out));
    gw_buf_clear(&out);
    return GW_EXIT_OK;
}

static int featuregate(struct gw_cli *c)
{
    gw_cli_say(c, 1, "there are no feature gates; --feature-gates is accepted and has no effect\n");
    return GW_EXIT_OK;
}

static int version(struct gw_cli *c)
{
    gw_cli_say(c, 1, "staunch version %s\n", GW_VERSION);
    return GW_EXIT_OK;
}

static const char help_head[] = "Staunch " GW_VERSION ": an OpenTelemetry gateway.\n"
                                "\n"
                                "Usage: staunch [command] [flags]\n"
                                "\n";

static const char help_tail[] =
    "\n"
    "  --config FILE          may stand several times: later ones win, maps are joined, lists replaced.\n"
    "                         Also file:FILE, env:NAME, yaml:TEXT, http:// and https:// URLs.\n"
    "                         Without it: $STAUNCH_CONFIG, ./staunch.yaml, /etc/staunch/config.yaml,\n"
    "                         or else, for run, a built-in one: OTLP on 127.0.0.1:4317 and :4318, shown here\n"
    "  --set KEY=VALUE        one setting, over all files: --set processors.batch.timeout=2s\n"
    "  --demo                 run: a built-in shop sends traces, logs and metrics into every pipeline\n"
    "  --mode MODE            print-config: redacted (default) or unredacted\n"
    "  --format FORMAT        print-config: yaml (default) or json; ledger: table (default) or json\n"
    "  --endpoint HOST:PORT   ledger: where the self-metrics are served, instead of the configuration's\n"
    "  --socket PATH          ping: the control socket of the gateway, instead of the configuration's\n"
    "  --feature-gates LIST   accepted as the Collector's; has no effect\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: 0 done, 64 wrong usage, 69 unavailable (a port is taken, no gateway answers), 70 internal,\n"
    "74 I/O, 75 busy, 78 configuration.\n";

static int help(struct gw_cli *c)
{
    gw_cli_put(c, 1, gw_slice_cstr(help_head));
    for (const struct gw_cli_command *const *k = gw_cli_commands; *k; k++)
        if (!((*k)->flags & GW_CLI_HIDDEN))
            gw_cli_say(c, 1, "  %-14s %s\n", (*k)->word, (*k)->help);
    gw_cli_put(c, 1, gw_slice_cstr(help_tail));
    return GW_EXIT_OK;
}

const struct gw_cli_command
    gw_cli_run = {.word = "run", .help = "take telemetry in and send it on (also without a command)", .run = run},
    gw_cli_validate = {.word = "validate",
                       .help = "check a configuration; every mistake is printed with file, line and column",
                       .run = validate},
    gw_cli_components = {.word = "components", .help = "what this binary can do, as YAML", .run = components},
    gw_cli_print_config = {.word = "print-config",
                           .alias = "print-initial-config",
                           .help = "the configuration after merging and expansion, without secrets",
                           .run = print_config},
    gw_cli_featuregate = {.word = "featuregate", .flags = GW_CLI_HIDDEN | GW_CLI_REST, .run = featuregate},
    gw_cli_version = {.word = "version", .help = "the version of this binary", .run = version},
    gw_cli_help = {.word = "help", .help = "this page", .run = help};
