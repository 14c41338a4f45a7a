/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch dlq export | replay | purge`: letters leave the store. */
#include <stdio.h>

#include "config/yaml.h"
#include "core/json_writer.h"
#include "otlp-proto/json.h"
#include "runtime/cli_dlq.h"

enum { ARGS_MAX = 32 << 10 };

/* ---- export ----------------------------------------------------------------------------------------------- */

static int write_out(struct gw_cli_dlq *d)
{
    const struct gw_env_ops *env = d->c->w->env->ops;
    size_t at = 0;

    if (!d->file)
        gw_cli_put(d->c, 1, gw_buf_slice(&d->out));
    while (d->file && at < d->out.n) {
        const struct iovec iov = {d->out.p + at, d->out.n - at};
        ssize_t n = env->file_writev(d->file, &iov, 1);

        if (n <= 0) {
            gw_cli_say(d->c, 2, "error: %s: %s\n", d->output, n < 0 ? strerror((int)-n) : "nothing was written");
            return -1;
        }
        at += (size_t)n;
    }
    gw_buf_reset(&d->out);
    return 0;
}

static int put_line(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    if (gw_proto_to_json(GW_LOGS, l->record, &d->out) < 0) {
        gw_cli_say(d->c, 2, "error: a letter cannot be written as JSON\n");
        return -1;
    }
    gw_buf_put_u8(&d->out, '\n');
    return 0;
}

/* Messages concatenate: the file is one request. */
static int put_record(struct gw_cli_dlq *d, const struct gw_dlq_letter *l)
{
    gw_buf_put_slice(&d->out, l->record);
    return 0;
}

static int open_file(struct gw_cli_dlq *d)
{
    struct gw_env *env = d->c->w->env;
    int rc = env->ops->file_open(env, d->output, GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_EXCLUSIVE, 0600, &d->file);

    if (rc == 0)
        return 0;
    d->file = NULL;
    gw_cli_say(d->c, 2, "error: %s: %s\n", d->output, strerror(-rc));
    return GW_EXIT_IO;
}

int gw_cli_dlq_export(struct gw_cli_dlq *d)
{
    static const char *const formats[] = {"ndjson", "otlp", NULL};
    const char *format = d->c->format ? d->c->format : formats[0];
    bool otlp = strcmp(format, "otlp") == 0;
    int rc = 0;

    if (!otlp && strcmp(format, "ndjson") != 0)
        return gw_cli_usage(d->c, "unknown format", format, formats);
    if (!*d->output)
        return gw_cli_usage(d->c, "export needs --output FILE, or -", "", (const char *const[]){NULL});
    if (otlp && d->c->w->terminal && strcmp(d->output, "-") == 0)
        return gw_cli_usage(d->c, "a terminal takes no --format", "otlp", (const char *const[]){NULL});
    if (strcmp(d->output, "-") != 0)
        rc = open_file(d);
    if (rc == 0)
        rc = gw_cli_dlq_each(d, otlp ? put_record : put_line, write_out);
    if (rc == 0 && write_out(d) < 0)
        rc = GW_EXIT_IO;
    if (d->file) {
        int sync = d->c->w->env->ops->file_sync(d->file);

        if (rc == 0 && sync < 0) {
            gw_cli_say(d->c, 2, "error: %s: %s\n", d->output, strerror(-sync));
            rc = GW_EXIT_IO;
        }
        d->c->w->env->ops->file_close(d->file);
    }
    return rc;
}

/* ---- the running gateway ---------------------------------------------------------------------------------- */

static void put_text(struct gw_buf *b, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    gw_buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", key);
    gw_json_put_string(b, gw_slice_cstr(value));
}

static void put_number(struct gw_buf *b, const char *key, uint64_t value)
{
    if (value)
        gw_buf_printf(b, "%s\"%s\":%llu", b->n > 1 ? "," : "", key, (unsigned long long)value);
}

static void put_filter(struct gw_buf *b, const struct gw_dlq_filter *f)
{
    put_text(b, "class", f->class_);
    put_text(b, "component", f->component);
    put_text(b, "pipeline", f->pipeline);
    put_text(b, "tenant", f->tenant);
    put_text(b, "signal", f->signal);
    put_text(b, "id", f->id);
    put_number(b, "since_ns", f->since_ns);
    put_number(b, "until_ns", f->until_ns);
    put_number(b, "limit", f->limit);
}

static bool has_filter(const struct gw_dlq_filter *f)
{
    return *f->class_ || *f->component || *f->pipeline || *f->tenant || *f->signal || *f->id || f->since_ns ||
           f->until_ns || f->limit;
}

/* A folder instead of a configuration: the gateway that has it listens there, unless its configuration says elsewhere.
 */
static void point_to_socket(struct gw_cli_dlq *d)
{
    if (*d->directory && !d->c->socket) {
        (void)snprintf(d->path, sizeof(d->path), "%s/control.sock", d->directory);
        d->c->socket = d->path;
    }
}

/* What all requests have; `more` adds the rest. Returns the exit code. */
static int ask(struct gw_cli_dlq *d, const char *command, int (*more)(struct gw_cli_dlq *d, struct gw_buf *args))
{
    struct gw_buf args;
    int rc;

    if (d->filter.all)
        return gw_cli_usage(d->c, "not for replay and purge:", "--all", (const char *const[]){"--everything", NULL});
    if (!has_filter(&d->filter) && !d->everything)
        return gw_cli_usage(d->c, "which letters? A filter, or", "--everything", (const char *const[]){NULL});
    if (d->dry_run)
        return gw_cli_dlq_count(d, GW_DLQ_BY_CLASS | GW_DLQ_BY_COMPONENT | GW_DLQ_BY_PIPELINE);
    gw_buf_init(&args, ARGS_MAX);
    gw_buf_put_u8(&args, '{');
    put_filter(&args, &d->filter);
    rc = more ? more(d, &args) : 0;
    gw_buf_put_u8(&args, '}');
    point_to_socket(d);
    if (rc == 0)
        rc = args.failed ? GW_EXIT_USAGE : gw_cli_ask(d->c, command, gw_buf_slice(&args));
    gw_buf_clear(&args);
    return rc;
}

int gw_cli_dlq_purge(struct gw_cli_dlq *d)
{
    return ask(d, "dlq-purge", NULL);
}

/* "500" or "500/s" */
static bool parse_rate(const char *text, uint64_t *ret)
{
    char number[32];
    size_t n = strcspn(text, "/");

    if (n >= sizeof(number) || (text[n] && strcmp(text + n, "/s") != 0))
        return false;
    memcpy(number, text, n);
    number[n] = 0;
    return gw_parse_u64(number, ret) && *ret > 0;
}

static int put_replay(struct gw_cli_dlq *d, struct gw_buf *args)
{
    uint64_t rate = 0, attempts = 0;

    if (*d->rate && !parse_rate(d->rate, &rate))
        return gw_cli_usage(d->c, "--rate must be letters a second, not", d->rate, (const char *const[]){NULL});
    if (*d->max_attempts && (!gw_parse_u64(d->max_attempts, &attempts) || attempts < 1 || attempts > 5))
        return gw_cli_usage(d->c, "--max-attempts must be 1 to 5, not", d->max_attempts, (const char *const[]){NULL});
    put_text(args, "to", d->to);
    put_number(args, "rate", rate);
    put_number(args, "max_attempts", attempts);
    return 0;
}

int gw_cli_dlq_replay(struct gw_cli_dlq *d)
{
    return ask(d, "dlq-replay", put_replay);
}

/* No letters: what was dropped without one, as far as it is still in memory. */
int gw_cli_dlq_recent(struct gw_cli_dlq *d)
{
    point_to_socket(d);
    return gw_cli_ask(d->c, "dlq-recent", GW_SLICE(""));
}
