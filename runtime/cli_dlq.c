/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staunch dlq ls | stats | show | export      read the store, beside a running gateway or without one
 *             replay | purge                  ask the running gateway (runtime/control_dlq.c); --dry-run only reads
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/yaml.h"
#include "runtime/cli_commands.h"
#include "runtime/cli_dlq.h"

enum { OUT_BYTES = 64 << 10, OUT_MAX = 512 << 20 };

static const char usage_text[] =
    "Usage: staunch dlq COMMAND [--config FILE | --directory DIR] [flags]\n"
    "\n"
    "  ls             one line a dead letter, oldest first; --format json\n"
    "  stats          how many, of how many rows, since when; --by class,component,pipeline,reason,tenant\n"
    "  show ID        one letter: its envelope, and its rows as OTLP JSON; the beginning of an id is enough\n"
    "  export         into a file: --output FILE (- is standard output), --format ndjson or otlp\n"
    "  replay         put rows back into the pipeline they came from, or --to PIPELINE; --rate N a second,\n"
    "                 --max-attempts N: letters that were replayed so often stay (5)\n"
    "  purge          forget letters\n"
    "  recent         the last records of each reason to drop some, from the running gateway's memory\n"
    "\n"
    "  --class, --component, --pipeline, --tenant, --signal, --id    only these; all must fit\n"
    "  --since, --until TIME    2h (ago), 2026-01-02, 2026-01-02T03:04:05Z\n"
    "  --limit N                so many, the oldest\n"
    "  --all                    also those that were replayed or purged (ls, stats, show, export)\n"
    "  --everything             replay, purge: all there are; without it some filter is needed\n"
    "  --dry-run                replay, purge: only say what it would be\n";

static const char *const flag_words[] = {
    "--directory", "--class",        "--component", "--pipeline",   "--tenant", "--signal", "--id",
    "--since",     "--until",        "--limit",     "--all",        "--by",     "--to",     "--output",
    "--rate",      "--max-attempts", "--dry-run",   "--everything", "--format", "--config", NULL};

/* ---- flags ------------------------------------------------------------------------------------------------ */

static int bad(struct gw_cli_dlq *d, const char *flag, const char *value, const char *want)
{
    gw_cli_say(d->c, 2, "error: %s %.100s: must be %s\n", flag, value, want);
    return GW_EXIT_USAGE;
}

static int take_times(struct gw_cli_dlq *d, bool *missing)
{
    const char *const flags[] = {"--since", "--until"};
    uint64_t *const to[] = {&d->filter.since_ns, &d->filter.until_ns}, now = gw_wall_ns(d->c->w->env);

    for (unsigned i = 0; i < 2; i++) {
        const char *v = gw_cli_take_flag(d->c, flags[i], missing);

        if (v && gw_dlq_parse_time(v, now, to[i]) < 0)
            return bad(d, flags[i], v, "a time: 2h, 2026-01-02, 2026-01-02T03:04:05Z");
    }
    return 0;
}

static int take_number(struct gw_cli_dlq *d, const char *flag, uint64_t *ret, bool *missing)
{
    const char *v = gw_cli_take_flag(d->c, flag, missing);

    if (v && !gw_parse_u64(v, ret))
        return bad(d, flag, v, "a number");
    return 0;
}

static int take_flags(struct gw_cli_dlq *d)
{
    const struct {
        const char *flag, **to;
    } texts[] = {{"--directory", &d->directory},
                 {"--class", &d->filter.class_},
                 {"--component", &d->filter.component},
                 {"--pipeline", &d->filter.pipeline},
                 {"--tenant", &d->filter.tenant},
                 {"--signal", &d->filter.signal},
                 {"--id", &d->filter.id},
                 {"--by", &d->by},
                 {"--to", &d->to},
                 {"--output", &d->output},
                 {"--rate", &d->rate},
                 {"--max-attempts", &d->max_attempts}};
    bool missing = false;
    int rc;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *v = gw_cli_take_flag(d->c, texts[i].flag, &missing);

        *texts[i].to = v ? v : "";
    }
    d->dry_run = gw_cli_take_switch(d->c, "--dry-run");
    d->everything = gw_cli_take_switch(d->c, "--everything");
    d->filter.all = gw_cli_take_switch(d->c, "--all");
    rc = take_times(d, &missing);
    if (rc == 0)
        rc = take_number(d, "--limit", &d->filter.limit, &missing);
    if (rc == 0 && missing)
        return gw_cli_usage(d->c, "a value must follow", d->c->n_rest ? d->c->rest[d->c->n_rest - 1] : "", flag_words);
    return rc;
}

/* ---- the store -------------------------------------------------------------------------------------------- */

/* A text setting of a component, its default included; or "". */
static const char *setting(const struct gw_service_component *c, const char *name)
{
    const struct gw_field *f = c->type->fields ? gw_field_find(c->type->fields, name) : NULL;

    return f && c->conf && (f->type == GW_F_STRING || f->type == GW_F_ID)
               ? *(const char *const *)((const char *)c->conf + f->offset)
               : "";
}

static const struct gw_service_component *storage_of(const struct gw_service *s)
{
    const char *id = setting(s->dead_letter_output, "storage");

    for (size_t i = 0; i < s->n_extensions; i++)
        if (s->extensions[i]->type->storage && (!*id || strcmp(s->extensions[i]->id, id) == 0))
            return s->extensions[i];
    return NULL;
}

/* The folder of the configuration's store. Returns an exit code. */
static int find_directory(struct gw_cli_dlq *d)
{
    const struct gw_service_component *storage;
    const struct gw_node *root;
    struct gw_service *s;
    int rc = gw_cli_load(d->c, &root, &s);

    if (rc != 0)
        return rc;
    storage = s->dead_letter_output ? storage_of(s) : NULL;
    if (!s->dead_letter_output) {
        gw_cli_say(d->c, 2, "error: %s has no place for dead letters: it needs a file_storage in service::extensions\n",
                   gw_cli_source(d->c));
        rc = GW_EXIT_CONFIG;
    } else if (strcmp(s->dead_letter_output->type->name, "dead_letter_store") != 0 || !storage) {
        gw_cli_say(d->c, 2, "error: %s sends dead letters to the exporter %.100s: look for them there\n",
                   gw_cli_source(d->c), s->dead_letter_output->id);
        rc = GW_EXIT_CONFIG;
    } else {
        (void)snprintf(d->path, sizeof(d->path), "%s/dead_letters", setting(storage, "directory"));
    }
    gw_service_free(s);
    return rc;
}

/* A storage's folder, or the one of the dead letters in it. */
static void take_directory(struct gw_cli_dlq *d)
{
    struct gw_env *env = d->c->w->env;
    unsigned mode;

    (void)snprintf(d->path, sizeof(d->path), "%s/dead_letters", d->directory);
    if (env->ops->path_mode(env, d->path, &mode) < 0 || !S_ISDIR(mode))
        (void)snprintf(d->path, sizeof(d->path), "%s", d->directory);
}

static int open_log(struct gw_cli_dlq *d)
{
    int (*open)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err) = d->c->w->open_log;
    struct gw_err err = {""};
    int rc = 0;

    if (*d->directory)
        take_directory(d);
    else
        rc = find_directory(d);
    if (rc != 0)
        return rc;
    d->conf = (struct gw_log_files_conf){.env = d->c->w->env, .dir = d->path, .read_only = true};
    rc = (open ? open : gw_log_files_open)(&d->conf, &d->log, &err);
    if (rc == 0)
        return 0;
    d->log = NULL;
    if (rc == -ENOENT)
        gw_cli_say(d->c, 2, "error: %s: there is no dead letter store\n", d->path);
    else
        gw_cli_say(d->c, 2, "error: %s\n", err.text);
    return rc == -ENOENT ? GW_EXIT_UNAVAILABLE : GW_EXIT_IO;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static int flush(struct gw_cli_dlq *d)
{
    gw_cli_put(d->c, 1, gw_buf_slice(&d->out));
    gw_buf_reset(&d->out);
    return 0;
}

int gw_cli_dlq_each(struct gw_cli_dlq *d, int (*each)(struct gw_cli_dlq *d, const struct gw_dlq_letter *l),
                    int (*flush_out)(struct gw_cli_dlq *d))
{
    struct gw_dlq_cursor *cursor;
    struct gw_dlq_letter l;
    int rc = gw_dlq_open(d->log, &d->filter, &cursor), stop = 0;

    if (rc < 0) {
        gw_cli_say(d->c, 2, "error: %s: %s\n", d->path, strerror(-rc));
        return GW_EXIT_IO;
    }
    while (stop == 0 && (rc = gw_dlq_next(cursor, &l)) > 0) {
        if (rc == 1)
            stop = each(d, &l);
        if (d->out.n >= OUT_BYTES && flush_out && stop == 0)
            stop = flush_out(d);
    }
    if (gw_dlq_lost(cursor))
        gw_cli_say(d->c, 2, "warning: %llu letters are damaged and were passed over\n",
                   (unsigned long long)gw_dlq_lost(cursor));
    gw_dlq_close(cursor);
    if (rc < 0 || d->out.failed) {
        gw_cli_say(d->c, 2, "error: %s: %s\n", d->path, rc < 0 ? strerror(-rc) : "a letter is too large to be shown");
        return GW_EXIT_IO;
    }
    return stop < 0 ? GW_EXIT_IO : GW_EXIT_OK;
}

static int put_row(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    gw_dlq_put_table_row(&d->out, l);
    return 0;
}

static int put_json_row(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    struct gw_buf line;

    if (!d->c->w->terminal) {
        gw_dlq_put_json_row(&d->out, l);
        return 0;
    }
    gw_buf_init(&line, OUT_MAX);
    gw_dlq_put_json_row(&line, l);
    gw_dlq_put_escaped(&d->out, gw_slice_of(line.p, line.n ? line.n - 1 : 0));
    gw_buf_put_u8(&d->out, '\n');
    gw_buf_clear(&line);
    return 0;
}

static int ls(struct gw_cli_dlq *d)
{
    static const char *const formats[] = {"table", "json", NULL};
    const char *format = d->c->format ? d->c->format : formats[0];
    bool json = strcmp(format, "json") == 0;
    int rc;

    if (!json && strcmp(format, "table") != 0)
        return gw_cli_usage(d->c, "unknown format", format, formats);
    if (!json)
        gw_dlq_put_table_head(&d->out);
    rc = gw_cli_dlq_each(d, json ? put_json_row : put_row, flush);
    (void)flush(d);
    return rc;
}

static int show_one(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    gw_dlq_put_whole(&d->out, l);
    return 1;
}

static int show(struct gw_cli_dlq *d)
{
    int rc;

    if (!*d->filter.id)
        return gw_cli_usage(d->c, "show needs an id", "", (const char *const[]){NULL});
    rc = gw_cli_dlq_each(d, show_one, NULL);
    if (rc == 0 && d->out.n == 0) {
        gw_cli_say(d->c, 2, "error: there is no dead letter with this id%s\n",
                   d->filter.all ? "" : "; --all looks also among those that were replayed or purged");
        return GW_EXIT_UNAVAILABLE;
    }
    (void)flush(d);
    return rc;
}

/* ---- stats ------------------------------------------------------------------------------------------------ */

static int parse_by(struct gw_cli_dlq *d, unsigned *ret)
{
    static const char *const words[] = {"class", "component", "tenant", "pipeline", "reason", NULL};
    const char *at = *d->by ? d->by : "class,component,tenant";

    for (*ret = 0; *at;) {
        size_t n = strcspn(at, ",");
        unsigned i = 0;

        while (words[i] && !gw_slice_is(gw_slice_of(at, n), words[i]))
            i++;
        if (!words[i])
            return gw_cli_usage(d->c, "stats --by: unknown", at, words);
        *ret |= 1u << i;
        at += n + (at[n] == ',');
    }
    return 0;
}

static int add_to_stats(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    return gw_dlq_stats_add(d->stats, l);
}

int gw_cli_dlq_count(struct gw_cli_dlq *d, unsigned by)
{
    int rc;

    d->stats = gw_dlq_stats_new(by);
    if (!d->stats)
        return GW_EXIT_INTERNAL;
    rc = gw_cli_dlq_each(d, add_to_stats, NULL);
    gw_dlq_stats_put(d->stats, gw_wall_ns(d->c->w->env), &d->out);
    (void)flush(d);
    gw_dlq_stats_free(d->stats);
    return rc;
}

static int stats(struct gw_cli_dlq *d)
{
    unsigned by;
    int rc = parse_by(d, &by);

    return rc == 0 ? gw_cli_dlq_count(d, by) : rc;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int help(struct gw_cli_dlq *d)
{
    gw_cli_put(d->c, 1, gw_slice_cstr(usage_text));
    return GW_EXIT_OK;
}

static const struct {
    const char *word;
    int (*run)(struct gw_cli_dlq *d);
    bool reads;  /* the log is opened */
    bool has_id; /* a word behind it is an id */
} commands[] = {{"ls", ls, true, false},
                {"stats", stats, true, false},
                {"show", show, true, true},
                {"export", gw_cli_dlq_export, true, false},
                {"replay", gw_cli_dlq_replay, false, true},
                {"purge", gw_cli_dlq_purge, false, true},
                {"recent", gw_cli_dlq_recent, false, false},
                {"help", help, false, false}};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int find_command(struct gw_cli *c, const char *word, unsigned *ret)
{
    const char *words[N_COMMANDS + 1] = {NULL};

    for (unsigned i = 0; i < N_COMMANDS; i++)
        words[i] = commands[i].word;
    for (*ret = 0; *ret < N_COMMANDS; (*ret)++)
        if (strcmp(word, words[*ret]) == 0)
            return 0;
    return gw_cli_usage(c, "unknown dlq command", word, words);
}

static int run_command(struct gw_cli_dlq *d, unsigned i)
{
    const char *id = commands[i].has_id ? gw_cli_take_word(d->c) : NULL;
    int rc = take_flags(d);

    if (rc == 0)
        rc = gw_cli_no_more(d->c, flag_words);
    if (id)
        d->filter.id = id;
    if (rc == 0 && (commands[i].reads || d->dry_run))
        rc = open_log(d);
    if (rc == 0)
        rc = commands[i].run(d);
    gw_log_close(d->log);
    return rc;
}

static int run(struct gw_cli *c)
{
    struct gw_cli_dlq *d = calloc(1, sizeof(*d));
    const char *word = gw_cli_take_word(c);
    unsigned i;
    int rc = d ? find_command(c, word ? word : "help", &i) : GW_EXIT_INTERNAL;

    if (rc == 0) {
        d->c = c;
        gw_buf_init(&d->out, OUT_MAX);
        rc = run_command(d, i);
        gw_buf_clear(&d->out);
    }
    free(d);
    return rc;
}

const struct gw_cli_command gw_cli_dlq = {
    .word = "dlq", .help = "dead letters: ls, stats, show, export, replay, purge", .flags = GW_CLI_REST, .run = run};
