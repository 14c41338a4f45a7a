/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staunch replay: asks the gateway that runs with this configuration; without one, the pipelines run for the replay
 * alone, without receivers. --dry-run only reads, beside either.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "runtime/cli_commands.h"
#include "runtime/control.h"
#include "runtime/replay.h"

static const char usage_text[] =
    "Usage: staunch replay --config FILE --journal ID --into PIPELINE [flags]\n"
    "\n"
    "  --journal ID        the connector: journal/orders\n"
    "  --into PIPELINE     where its rows go: traces/audit; rows of other signals are left out\n"
    "  --from, --to POINT  -2h, 2026-01-02, 2026-01-02T03:04:05Z, @1767323045, or a position; --to is not included.\n"
    "                      Without them: from the oldest row, to the newest one that is there now\n"
    "  --speed N           1 as the rows came in, 10 ten times faster, max (default) as fast as they go\n"
    "  --policy CONDITION  only traces in which this OTTL condition is true of a span; the range is read twice:\n"
    "                      'resource.attributes[\"service.name\"] == \"pay\" and status.code == STATUS_CODE_ERROR'\n"
    "  --max-traces N      that the policy may want, default 10000000; 40 bytes each\n"
    "  --dry-run           only say what it would be\n";

enum { MAX_TRACES = 1000000000 };

static const char *const flag_words[] = {"--journal",    "--into",    "--from",   "--to",     "--speed", "--policy",
                                         "--max-traces", "--dry-run", "--config", "--socket", NULL};

struct replay {
    struct gw_cli *c;
    const char *journal, *into, *from, *to, *speed, *policy, *max_traces;
    struct gw_run_replay run;
    bool dry_run;
};

static int bad(struct replay *r, const char *flag, const char *value, const char *want)
{
    gw_cli_say(r->c, 2, "error: %s %.100s: must be %s\n", flag, value, want);
    return GW_EXIT_USAGE;
}

static int check(struct replay *r)
{
    static const char time[] = "a time (-2h, 2026-01-02, 2026-01-02T03:04:05Z, @SECONDS) or a position";
    uint64_t now = gw_wall_ns(r->c->w->env);
    char *end;

    if (!*r->journal || (!*r->into && !r->dry_run))
        return gw_cli_usage(r->c, "replay needs --journal and --into; staunch replay help says more", "",
                            (const char *const[]){NULL});
    if (gw_replay_parse_point(r->from, now, &r->run.range.from) < 0)
        return bad(r, "--from", r->from, time);
    if (gw_replay_parse_point(r->to, now, &r->run.range.to) < 0)
        return bad(r, "--to", r->to, time);
    if (gw_replay_parse_speed(r->speed, &r->run.speed) < 0)
        return bad(r, "--speed", r->speed, "max, or a number from 0.001 to 1000000");
    r->run.max_traces = strtoull(r->max_traces, &end, 10);
    if (*end || end == r->max_traces || r->run.max_traces > MAX_TRACES)
        return bad(r, "--max-traces", r->max_traces, "a number up to 1000000000");
    return 0;
}

static int take_flags(struct replay *r)
{
    const struct {
        const char *flag, **to, *otherwise;
    } texts[] = {{"--journal", &r->journal, ""},
                 {"--into", &r->into, ""},
                 {"--from", &r->from, ""},
                 {"--to", &r->to, ""},
                 {"--speed", &r->speed, "max"},
                 {"--policy", &r->policy, ""},
                 {"--max-traces", &r->max_traces, "0"}};
    bool missing = false;
    int rc;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *v = gw_cli_take_flag(r->c, texts[i].flag, &missing);

        *texts[i].to = v ? v : texts[i].otherwise;
    }
    r->dry_run = gw_cli_take_switch(r->c, "--dry-run");
    if (missing)
        return gw_cli_usage(r->c, "a value must follow", r->c->n_rest ? r->c->rest[r->c->n_rest - 1] : "", flag_words);
    rc = gw_cli_no_more(r->c, flag_words);
    return rc == 0 ? check(r) : rc;
}

/* ---- dry run ---------------------------------------------------------------------------------------------- */

static const char *setting(const struct gw_service_component *c, const char *name)
{
    const struct gw_field *f = gw_field_find(c->type->fields, name);

    return f && c->conf ? *(const char *const *)((const char *)c->conf + f->offset) : "";
}

static int count(struct replay *r, const struct gw_service *s, const struct gw_service_component *journal)
{
    int (*open)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err) = r->c->w->open_log;
    const struct gw_service_component *storage = gw_service_find(s, GW_EXTENSION, setting(journal, "storage"));
    char dir[1024];
    struct gw_log_files_conf conf = {.env = r->c->w->env, .dir = dir, .read_only = true};
    struct gw_err err = {""};
    struct gw_buf out;
    struct gw_log *log;
    int rc;

    gw_engine_log_dir(storage ? setting(storage, "directory") : "", "journal", gw_replay_log_name(journal), dir,
                      sizeof(dir));
    rc = (open ? open : gw_log_files_open)(&conf, &log, &err);
    if (rc < 0) {
        gw_cli_say(r->c, 2, "error: %s\n", *err.text ? err.text : strerror(-rc));
        return GW_EXIT_UNAVAILABLE;
    }
    gw_buf_init(&out, 4096);
    rc = gw_replay_count(log, &r->run.range, &out);
    gw_cli_put(r->c, 1, gw_buf_slice(&out));
    if (rc < 0)
        gw_cli_say(r->c, 2, "error: %s\n", strerror(-rc));
    gw_buf_clear(&out);
    gw_log_close(log);
    return rc < 0 ? GW_EXIT_IO : GW_EXIT_OK;
}

/* ---- for real --------------------------------------------------------------------------------------------- */

static void put_text(struct gw_buf *b, const char *key, const char *value)
{
    gw_buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", key);
    gw_json_put_string(b, gw_slice_cstr(value));
}

/* Returns an exit code, or a negative errno when nobody answers. */
static int ask(struct replay *r, const char *path, struct gw_err *err)
{
    struct gw_buf args;
    int rc;

    gw_buf_init(&args, 32 << 10);
    gw_buf_put_u8(&args, '{');
    put_text(&args, "journal", r->journal);
    put_text(&args, "into", r->into);
    put_text(&args, "from", r->from);
    put_text(&args, "to", r->to);
    put_text(&args, "speed", r->speed);
    if (*r->policy)
        put_text(&args, "policy", r->policy);
    if (r->run.max_traces)
        gw_buf_printf(&args, ",\"max_traces\":%llu", (unsigned long long)r->run.max_traces);
    gw_buf_put_u8(&args, '}');
    rc = args.failed ? GW_EXIT_USAGE : gw_cli_ask_at(r->c, path, "replay", gw_buf_slice(&args), err);
    gw_buf_clear(&args);
    return rc;
}

static void say(void *arg, int fd, const char *line)
{
    gw_cli_say(arg, fd, "%s\n", line);
}

static int run_alone(struct replay *r, struct gw_service *s)
{
    struct gw_run_options options = {.source = gw_cli_source(r->c), .replay = &r->run};
    struct gw_err err = {""};
    int rc;

    r->run.journal = r->journal;
    r->run.into = r->into;
    r->run.policy = r->policy;
    r->run.say = say;
    r->run.arg = r->c;
    rc = r->c->w->run(r->c->w->env, s, &options, &err);
    if (rc == 0)
        return r->run.exit_code;
    gw_cli_say(r->c, 2, "error: %s\n", *err.text ? err.text : strerror(-rc));
    return gw_cli_exit_of(rc);
}

static int replay(struct replay *r, struct gw_service *s)
{
    char path[GW_CONTROL_PATH_BYTES];
    struct gw_err err = {""};
    bool has_path = gw_control_path(s, path);
    int rc;

    if (r->c->socket) {
        (void)snprintf(path, sizeof(path), "%s", r->c->socket);
        has_path = true;
    }
    rc = has_path ? ask(r, path, &err) : -ENOENT;
    if (rc >= 0)
        return rc;
    if ((rc == -ENOENT || rc == -ECONNREFUSED) && !r->c->socket)
        return run_alone(r, s);
    gw_cli_say(r->c, 2, "error: %s\n", err.text);
    return gw_cli_exit_of(rc);
}

static int run_loaded(struct replay *r)
{
    const struct gw_service_component *journal;
    const struct gw_node *root;
    struct gw_err err = {""};
    struct gw_service *s;
    int rc = gw_cli_load(r->c, &root, &s);

    if (rc != 0)
        return rc;
    if (gw_replay_journal(s, r->journal, &journal, &err) < 0) {
        gw_cli_say(r->c, 2, "error: %s\n", err.text);
        rc = GW_EXIT_USAGE;
    } else {
        rc = r->dry_run ? count(r, s, journal) : replay(r, s);
    }
    gw_service_free(s);
    return rc;
}

static int run(struct gw_cli *c)
{
    struct replay r = {.c = c};
    const char *word = gw_cli_take_word(c);
    int rc;

    if (word && strcmp(word, "help") == 0) {
        gw_cli_put(c, 1, gw_slice_cstr(usage_text));
        return GW_EXIT_OK;
    }
    if (word)
        return gw_cli_usage(c, "unexpected argument", word, (const char *const[]){NULL});
    rc = take_flags(&r);
    return rc == 0 ? run_loaded(&r) : rc;
}

const struct gw_cli_command gw_cli_replay = {.word = "replay",
                                             .help =
                                                 "a range of a journal again, into a pipeline (staunch replay help)",
                                             .flags = GW_CLI_REST,
                                             .run = run};
