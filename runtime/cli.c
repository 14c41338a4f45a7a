/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to a command: words, flags, and the configuration that they name. */
#include "runtime/cli.h"

#include "core/buf.h"
#include "runtime/cli_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_CHUNK = 65536, ARENA_MAX = 64 << 20, OUT_MAX = 16 << 20, MAX_WORDS = 64 };

static const char *const no_words[] = {NULL};

/* ---- saying things ---------------------------------------------------------------------------------------- */

void gw_cli_put(const struct gw_cli *c, int fd, struct gw_slice s)
{
    c->w->write(c->w->write_arg, fd, (const char *)s.p, s.n);
}

void gw_cli_say(const struct gw_cli *c, int fd, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        gw_cli_put(c, fd, gw_slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

int gw_cli_usage(const struct gw_cli *c, const char *what, const char *word, const char *const *words)
{
    const char *near = gw_suggest(gw_slice_of(word, strcspn(word, "=")), words);

    gw_cli_say(c, 2, "error: %s \"%.100s\"", what, word);
    if (near)
        gw_cli_say(c, 2, "; did you mean \"%s\"?", near);
    gw_cli_say(c, 2, "\nstaunch --help shows what there is\n");
    return GW_EXIT_USAGE;
}

int gw_cli_exit_of(int rc)
{
    switch (-rc) {
    case 0:
        return GW_EXIT_OK;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
    case ENOENT:
    case ECONNREFUSED:
    case ECONNRESET:
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

static const char *variable(const struct gw_cli *c, const char *name)
{
    return c->w->variable ? c->w->variable(c->w->variable_arg, name) : getenv(name);
}

/* ---- flags ------------------------------------------------------------------------------------------------ */

static const char *const flag_words[] = {"--config",  "--set",    "--demo",     "--mode",
                                         "--format",  "--socket", "--validate", "--feature-gates",
                                         "--version", "--help",   "--endpoint", NULL};

/* "--flag=value" or "--flag value"; moves *i over a value of its own. NULL when this is another flag. */
static const char *value_of(size_t argc, const char *const *argv, size_t *i, const char *flag, bool *ret_missing)
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

static bool take_value(struct gw_cli *c, size_t argc, const char *const *argv, size_t *i, bool *ret_missing)
{
    const struct {
        const char *flag, **to;
    } plain[] = {{"--feature-gates", &c->gates},
                 {"--mode", &c->mode},
                 {"--format", &c->format},
                 {"--socket", &c->socket},
                 {"--endpoint", &c->endpoint}};
    const char *v;

    if ((v = value_of(argc, argv, i, "--config", ret_missing))) {
        c->uris[c->n_uris++] = v;
        return true;
    }
    if ((v = value_of(argc, argv, i, "--set", ret_missing))) {
        c->sets[c->n_sets++] = v;
        return true;
    }
    for (size_t k = 0; k < sizeof(plain) / sizeof(plain[0]) && !*ret_missing; k++)
        if ((v = value_of(argc, argv, i, plain[k].flag, ret_missing))) {
            *plain[k].to = v;
            return true;
        }
    return false;
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

static const struct gw_cli_command *find_command(const char *word)
{
    const struct gw_cli_command *const *k = gw_cli_commands;

    while (*k && !is_any(word, (*k)->word, (*k)->alias))
        k++;
    return *k;
}

static int take_command(struct gw_cli *c, const char *word, bool *seen)
{
    const struct gw_cli_command *k = find_command(word);
    const char *words[MAX_WORDS] = {NULL};

    for (size_t i = 0; gw_cli_commands[i] && i + 1 < MAX_WORDS; i++)
        words[i] = gw_cli_commands[i]->word;
    if (!k)
        return gw_cli_usage(c, "unknown command", word, words);
    if (*seen)
        return gw_cli_usage(c, "unexpected argument", word, no_words);
    *seen = true;
    c->command = k;
    return 0;
}

/* One argument, and its value. *ret_done: nothing after it counts. */
static int take_argument(struct gw_cli *c, size_t argc, const char *const *argv, size_t *i, bool *seen, bool *ret_done)
{
    bool missing = false, rest = *seen && (c->command->flags & GW_CLI_REST);

    if (is_any(argv[*i], "--help", "-h") || is_any(argv[*i], "--version", "-v")) {
        c->command = find_command(is_any(argv[*i], "--help", "-h") ? "help" : "version");
        *ret_done = true;
    } else if (argv[*i][0] != '-' && !rest) {
        return take_command(c, argv[*i], seen);
    } else if (strcmp(argv[*i], "--demo") == 0) {
        c->demo = true;
    } else if (take_value(c, argc, argv, i, &missing) || is_validate_flag(argv[*i])) {
        return 0;
    } else if (missing) {
        return gw_cli_usage(c, "a value must follow", argv[*i], no_words);
    } else if (rest) {
        c->rest[c->n_rest++] = argv[*i];
    } else {
        return gw_cli_usage(c, "unknown flag", argv[*i], flag_words);
    }
    return 0;
}

static int parse(struct gw_cli *c, size_t argc, const char *const *argv)
{
    bool seen = false, done = false;
    int rc = 0;

    for (size_t i = 1; i < argc && rc == 0 && !done; i++)
        rc = take_argument(c, argc, argv, &i, &seen, &done);
    if (rc == 0 && !done && c->demo && c->command != gw_cli_commands[0])
        return gw_cli_usage(c, "only run takes", "--demo", no_words);
    return rc;
}

/* ---- words and flags of a command's own ------------------------------------------------------------------- */

static void cut_rest(struct gw_cli *c, size_t from, size_t n)
{
    c->n_rest -= n;
    for (size_t i = from; i < c->n_rest; i++)
        c->rest[i] = c->rest[i + n];
}

const char *gw_cli_take_word(struct gw_cli *c)
{
    const char *word = c->n_rest && c->rest[0][0] != '-' ? c->rest[0] : NULL;

    if (word)
        cut_rest(c, 0, 1);
    return word;
}

const char *gw_cli_take_flag(struct gw_cli *c, const char *flag, bool *ret_missing)
{
    const char *last = NULL;

    for (size_t i = 0; i < c->n_rest;) {
        size_t at = i;
        const char *v = value_of(c->n_rest, c->rest, &i, flag, ret_missing);

        if (v) {
            last = v;
            cut_rest(c, at, i - at + 1);
            i = at;
        } else {
            i++;
        }
    }
    return last;
}

bool gw_cli_take_switch(struct gw_cli *c, const char *flag)
{
    bool found = false;

    for (size_t i = 0; i < c->n_rest;)
        if (strcmp(c->rest[i], flag) == 0) {
            cut_rest(c, i, 1);
            found = true;
        } else {
            i++;
        }
    return found;
}

int gw_cli_no_more(struct gw_cli *c, const char *const *words)
{
    if (c->n_rest == 0)
        return 0;
    return gw_cli_usage(c, c->rest[0][0] == '-' ? "unknown flag" : "unexpected argument", c->rest[0], words);
}

/* ---- configuration ---------------------------------------------------------------------------------------- */

/* Fills in what stands for a missing --config. False when there is nothing. */
static bool find_config(struct gw_cli *c)
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
    if (c->command != gw_cli_commands[0] && !(c->command->flags & GW_CLI_BUILTIN))
        return false;
    c->uris[c->n_uris++] = "builtin:";
    c->is_builtin = true;
    return true;
}

static void print_diag(struct gw_cli *c)
{
    struct gw_buf out;

    gw_buf_init(&out, OUT_MAX);
    gw_diag_print(&c->diag, &out, c->w->colour);
    gw_cli_put(c, 2, gw_buf_slice(&out));
    gw_buf_clear(&out);
}

static int exit_of_load(int rc)
{
    return rc == -EINVAL || rc == -E2BIG ? GW_EXIT_CONFIG : rc == -ENOMEM ? GW_EXIT_INTERNAL : GW_EXIT_IO;
}

static void forget_files(struct gw_cli *c)
{
    while (c->n_files)
        free(c->files[--c->n_files].path);
    free(c->files);
    c->files = NULL;
}

/* Without memory for its name a file is not watched. */
static void keep_file(void *arg, const char *path)
{
    struct gw_cli *c = arg;
    struct gw_cli_file *more = realloc(c->files, (c->n_files + 1) * sizeof(*more));
    char *copy = more ? strdup(path) : NULL;

    if (more)
        c->files = more;
    if (copy)
        c->files[c->n_files++] = (struct gw_cli_file){copy, c->w->env->ops->file_changed_ns(c->w->env, path)};
}

int gw_cli_read(struct gw_cli *c, struct gw_arena *arena, struct gw_diag *diag, const struct gw_node **ret_root,
                struct gw_service **ret)
{
    struct gw_config_request rq = {
        .env = c->w->env,
        .variable = c->w->variable,
        .variable_arg = c->w->variable_arg,
        .uris = c->uris,
        .n_uris = c->n_uris,
        .sets = c->sets,
        .n_sets = c->n_sets,
        .reads = keep_file,
        .reads_arg = c,
    };
    int rc;

    forget_files(c);
    rc = gw_config_load(&rq, arena, diag, ret_root);
    return rc == 0 ? gw_service_new(*ret_root, c->w->service, diag, ret) : rc;
}

int gw_cli_load(struct gw_cli *c, const struct gw_node **ret_root, struct gw_service **ret)
{
    int rc;

    if (!find_config(c)) {
        gw_cli_say(c, 2, "error: no configuration: give --config FILE\n");
        return GW_EXIT_USAGE;
    }
    if (c->gates)
        gw_cli_say(c, 2, "note: --feature-gates=%s is accepted and has no effect\n", c->gates);
    rc = gw_cli_read(c, &c->arena, &c->diag, ret_root, ret);
    print_diag(c);
    return rc == 0 ? 0 : exit_of_load(rc);
}

const char *gw_cli_source(struct gw_cli *c)
{
    return c->is_builtin ? "built-in configuration" : gw_uri_shown(&c->arena, c->uris[0]);
}

int gw_cli(int argc, const char *const *argv, const struct gw_cli_world *w)
{
    struct gw_cli c = {.w = w, .command = gw_cli_commands[0]};
    int rc = GW_EXIT_INTERNAL;

    gw_arena_init(&c.arena, ARENA_CHUNK, ARENA_MAX);
    gw_diag_init(&c.diag);
    c.uris = calloc((size_t)argc + 2, sizeof(*c.uris));
    c.sets = calloc((size_t)argc + 1, sizeof(*c.sets));
    c.rest = calloc((size_t)argc + 1, sizeof(*c.rest));
    if (c.uris && c.sets && c.rest) {
        rc = parse(&c, (size_t)argc, argv);
        if (rc == 0)
            rc = c.command->run(&c);
    }
    forget_files(&c);
    free(c.uris);
    free(c.sets);
    free(c.rest);
    gw_arena_clear(&c.arena);
    gw_diag_clear(&c.diag);
    return rc;
}
