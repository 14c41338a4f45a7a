/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staunch queue ls                       who waits for how much, beside a running gateway or without one
 *               release QUEUE CONSUMER   forget a cursor that nobody uses any more, so that its disk space comes back
 *               discard QUEUE            the rows of a log that nobody is left to read
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "log/files.h"
#include "pipeline/storage.h"
#include "runtime/cli_commands.h"
#include "runtime/control.h"
#include "runtime/queues.h"

enum { OUT_MAX = 1 << 20, PATH_BYTES = 1024, MAX_LOGS = 1024 };

static const char usage_text[] =
    "Usage: staunch queue COMMAND [--config FILE | --directory DIR]\n"
    "\n"
    "  ls                        who waits for how much: a line a queue and exporter, or journal and pipeline\n"
    "  release QUEUE CONSUMER    forget what waits there for an exporter or a pipeline that is no longer configured;\n"
    "                            a running gateway is asked over its control socket\n"
    "  discard QUEUE             let go of the rows of a queue or journal that nobody is left to read\n"
    "\n"
    "  --dry-run                 release, discard: only say what it would be\n"
    "  --socket PATH             of the gateway, when it is not where the configuration or the folder says\n"
    "\n"
    "QUEUE is a name as ls shows it, where two have it with the kind before it: journal/orders\n";

static const char *const words[] = {"ls", "release", "discard", NULL};
static const char *const flag_words[] = {"--directory", "--config", "--dry-run", "--socket", NULL};

struct queues {
    struct gw_cli *c;
    char dir[PATH_BYTES];
    struct gw_buf out;
    const char *kind, *name;      /* of the log that is looked at */
    const char *queue, *consumer; /* words of the command line, as far as the command has them */
    unsigned n_logs;
    bool dry_run;
    char socket[GW_CONTROL_PATH_BYTES];
    int rc;
};

/* ---- where ------------------------------------------------------------------------------------------------ */

/* The folder of the configuration's first storage. Returns an exit code. */
static int find_directory(struct queues *q)
{
    const struct gw_node *root;
    struct gw_service *s;
    int rc = gw_cli_load(q->c, &root, &s);

    if (rc != 0)
        return rc;
    rc = GW_EXIT_CONFIG;
    for (size_t i = 0; i < s->n_extensions && rc != 0; i++) {
        const struct gw_field *f = gw_field_find(s->extensions[i]->type->fields, "directory");

        if (!s->extensions[i]->type->storage || !f)
            continue;
        (void)snprintf(q->dir, sizeof(q->dir), "%s",
                       *(const char *const *)((const char *)s->extensions[i]->conf + f->offset));
        rc = 0;
    }
    if (!gw_control_path(s, q->socket))
        q->socket[0] = 0;
    gw_service_free(s);
    if (rc != 0)
        gw_cli_say(q->c, 2, "error: %s has no queue on disk: it needs a file_storage in service::extensions\n",
                   gw_cli_source(q->c));
    return rc;
}

/* "traces%2Feu" as it was: what a file name cannot hold is written %XX. */
static void unescape(const char *name, char to[GW_QUEUES_NAME_BYTES])
{
    size_t n = 0;

    for (; *name && n + 1 < GW_QUEUES_NAME_BYTES; name++) {
        char hex[3] = {name[0] == '%' ? name[1] : 0, name[0] == '%' && name[1] ? name[2] : 0, 0};

        if (hex[0] && hex[1]) {
            to[n++] = (char)strtoul(hex, NULL, 16);
            name += 2;
        } else {
            to[n++] = *name;
        }
    }
    to[n] = 0;
}

static int open_log(struct queues *q, const char *path, bool read_only, struct gw_log_files_conf *conf,
                    struct gw_log **ret, struct gw_err *err)
{
    int (*open)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err) = q->c->w->open_log;

    *conf = (struct gw_log_files_conf){.env = q->c->w->env, .dir = path, .read_only = read_only};
    return (open ? open : gw_log_files_open)(conf, ret, err);
}

/* ---- ls --------------------------------------------------------------------------------------------------- */

static void put_age(struct gw_buf *out, uint64_t ns)
{
    uint64_t s = ns / 1000000000u;

    if (s >= 172800)
        gw_buf_printf(out, "%llu d", (unsigned long long)(s / 86400));
    else if (s >= 7200)
        gw_buf_printf(out, "%llu h", (unsigned long long)(s / 3600));
    else if (s >= 120)
        gw_buf_printf(out, "%llu min", (unsigned long long)(s / 60));
    else
        gw_buf_printf(out, "%llu s", (unsigned long long)s);
}

static void put_consumer(void *arg, const struct gw_queue_wait *w)
{
    struct queues *q = arg;
    uint64_t now = gw_wall_ns(q->c->w->env);

    gw_buf_printf(&q->out, "%-8s %-24s %-28s %12llu %12llu  ", q->kind, q->name, w->consumer.name,
                  (unsigned long long)w->rows, (unsigned long long)w->bytes);
    if (w->oldest_ns && now > w->oldest_ns)
        put_age(&q->out, now - w->oldest_ns);
    else
        gw_buf_put_str(&q->out, "-");
    gw_buf_put_u8(&q->out, '\n');
}

static void list_log(void *arg, const char *entry)
{
    struct queues *q = arg;
    struct gw_log_files_conf conf;
    struct gw_err err = {""};
    char path[PATH_BYTES + 512], name[GW_QUEUES_NAME_BYTES];
    struct gw_log *log;
    int rc;

    if (q->n_logs++ >= MAX_LOGS)
        return;
    (void)snprintf(path, sizeof(path), "%s/%s/%s", q->dir, q->kind, entry);
    unescape(entry, name);
    q->name = name;
    if (open_log(q, path, /* read_only= */ true, &conf, &log, &err) < 0) {
        gw_cli_say(q->c, 2, "error: %s: %s\n", path, err.text);
        q->rc = GW_EXIT_IO;
        return;
    }
    rc = gw_queue_waits(log, q->kind, put_consumer, q);
    gw_log_close(log);
    if (rc < 0) {
        gw_cli_say(q->c, 2, "error: %s: not all of it can be read: %s\n", path, strerror(-rc));
        q->rc = GW_EXIT_IO;
    }
}

static int ls(struct queues *q)
{
    gw_buf_printf(&q->out, "%-8s %-24s %-28s %12s %12s  %s\n", "kind", "of", "for", "waiting", "bytes", "oldest");
    for (unsigned i = 0; gw_queues_kinds[i]; i++) {
        char path[PATH_BYTES + 16];

        q->kind = gw_queues_kinds[i];
        (void)snprintf(path, sizeof(path), "%s/%s", q->dir, q->kind);
        (void)q->c->w->env->ops->dir_list(q->c->w->env, path, list_log, q);
    }
    gw_cli_put(q->c, 1, gw_buf_slice(&q->out));
    if (q->n_logs == 0)
        gw_cli_say(q->c, 2, "%s: there is no queue on disk\n", q->dir);
    return q->rc;
}

/* ---- which one -------------------------------------------------------------------------------------------- */

struct match {
    const char *name; /* as the command line says it */
    char entry[GW_QUEUES_NAME_BYTES];
};

static void match_entry(void *arg, const char *entry)
{
    struct match *m = arg;
    char name[GW_QUEUES_NAME_BYTES];

    unescape(entry, name);
    if (strcmp(name, m->name) == 0 && strlen(entry) < sizeof(m->entry))
        strcpy(m->entry, entry);
}

/* The folder of the log of that name; its kind is q->kind then. Returns an exit code. */
static int find_log(struct queues *q, char path[PATH_BYTES + 512])
{
    struct gw_queue_name name = gw_queue_name_of(q->queue);
    struct match m = {.name = name.name};

    for (unsigned i = 0; gw_queues_kinds[i] && !m.entry[0]; i++) {
        if (name.kind && strcmp(name.kind, gw_queues_kinds[i]) != 0)
            continue;
        q->kind = gw_queues_kinds[i];
        (void)snprintf(path, PATH_BYTES + 512, "%s/%s", q->dir, q->kind);
        (void)q->c->w->env->ops->dir_list(q->c->w->env, path, match_entry, &m);
    }
    q->name = name.name;
    if (!m.entry[0]) {
        gw_cli_say(q->c, 2, "error: %s: there is no queue \"%.100s\": see queue ls\n", q->dir, q->queue);
        return GW_EXIT_UNAVAILABLE;
    }
    (void)snprintf(path, PATH_BYTES + 512, "%s/%s/%s", q->dir, q->kind, m.entry);
    return 0;
}

static void see_reader(void *arg, const struct gw_log_consumer *c)
{
    *(bool *)arg |= c->name[0] != '#';
}

static bool any_left(struct gw_log *log)
{
    bool any = false;

    (void)gw_log_consumers(log, see_reader, &any);
    return any;
}

/* ---- release ---------------------------------------------------------------------------------------------- */

/* Whoever has it open does it: it knows who uses it. */
static int ask(struct queues *q)
{
    const char *path = q->c->socket ? q->c->socket : q->socket;
    struct gw_err err = {"it has no control socket"};
    struct gw_buf args;
    int rc = -ENOENT;

    gw_buf_init(&args, 4096);
    gw_buf_printf(&args, "{\"dry_run\":%s,\"queue\":", q->dry_run ? "true" : "false");
    gw_buf_printf(&q->out, "%s/%s", q->kind, q->name);
    gw_json_put_string(&args, gw_buf_slice(&q->out));
    gw_buf_put_str(&args, ",\"consumer\":");
    gw_json_put_string(&args, gw_slice_cstr(q->consumer));
    gw_buf_put_u8(&args, '}');
    if (args.failed)
        rc = gw_fail(&err, -EINVAL, "the names are too long");
    else if (*path)
        rc = gw_cli_ask_at(q->c, path, "queue-release", gw_buf_slice(&args), &err);
    gw_buf_clear(&args);
    if (rc >= 0)
        return rc;
    gw_cli_say(q->c, 2,
               "error: a gateway uses this queue, and cannot be asked: %s. Give its --socket, or stop it first\n",
               err.text);
    return GW_EXIT_BUSY;
}

static void see_waiting(void *arg, const struct gw_queue_wait *w)
{
    *(bool *)arg |= w->rows > 0;
}

/* In a queue nobody can come and want what is there: what none of the others waits for goes, also from a segment that
 * is not full. */
static void empty_queue(struct queues *q, struct gw_log *log)
{
    const struct gw_log_retention settled = {.until_settled = true};
    bool any = false;

    gw_log_retain(log, &settled);
    (void)gw_queue_waits(log, q->kind, see_waiting, &any);
    if (!any)
        (void)gw_log_truncate(log, GW_LOG_END);
}

static int release_in(struct queues *q, struct gw_log *log)
{
    const struct gw_queue_release what = {.kind = q->kind, .consumer = q->consumer, .dry_run = q->dry_run};
    bool is_journal = strcmp(q->kind, "journal") == 0;
    struct gw_queue_wait w;
    int rc = gw_queue_release(log, &what, &w);

    if (rc == 0 && !q->dry_run && !is_journal)
        empty_queue(q, log);
    (void)gw_log_work(log);
    if (rc < 0) {
        gw_cli_say(q->c, 2, "error: %s: %s\n", q->consumer,
                   rc == -ENOENT ? "nothing waits there for it" : strerror(-rc));
        return rc == -ENOENT ? GW_EXIT_UNAVAILABLE : GW_EXIT_IO;
    }
    gw_buf_printf(&q->out, "%s %s: ", q->dry_run ? "would release" : "released", q->consumer);
    gw_queue_put_wait(&q->out, &w);
    gw_buf_put_u8(&q->out, '\n');
    if (is_journal && !q->dry_run && !any_left(log))
        gw_buf_printf(&q->out,
                      "no pipeline reads %s now: its rows stay as its retention says, or until queue discard\n",
                      q->name);
    gw_cli_put(q->c, 1, gw_buf_slice(&q->out));
    return GW_EXIT_OK;
}

/* Writes only when it is meant. *ret NULL: not to be had, and an exit code. */
static int open_to_change(struct queues *q, const char *path, struct gw_log_files_conf *conf, struct gw_log **ret)
{
    struct gw_err err = {""};
    int rc = open_log(q, path, /* read_only= */ q->dry_run, conf, ret, &err);

    if (rc == 0)
        return 0;
    *ret = NULL;
    if (rc == -EWOULDBLOCK)
        return GW_EXIT_BUSY;
    gw_cli_say(q->c, 2, "error: %s\n", err.text);
    return GW_EXIT_IO;
}

static int release(struct queues *q)
{
    struct gw_log_files_conf conf;
    char path[PATH_BYTES + 512];
    struct gw_log *log;
    int rc = find_log(q, path);

    if (rc == 0)
        rc = open_to_change(q, path, &conf, &log);
    if (rc == GW_EXIT_BUSY)
        return ask(q);
    if (rc != 0)
        return rc;
    rc = release_in(q, log);
    gw_log_close(log);
    return rc;
}

/* ---- discard ---------------------------------------------------------------------------------------------- */

static int discard_in(struct queues *q, struct gw_log *log)
{
    struct gw_log_stats st;
    int rc;

    if (any_left(log)) {
        gw_cli_say(q->c, 2, "error: %s: somebody is left to read it: release them first, see queue ls\n", q->name);
        return GW_EXIT_UNAVAILABLE;
    }
    gw_log_stats(log, &st);
    rc = q->dry_run ? 0 : gw_log_truncate(log, GW_LOG_END);
    (void)gw_log_work(log);
    if (rc < 0) {
        gw_cli_say(q->c, 2, "error: %s: %s\n", q->name, strerror(-rc));
        return GW_EXIT_IO;
    }
    gw_cli_say(q->c, 1, "%s %s: %llu rows in %llu frames, %llu bytes\n", q->dry_run ? "would discard" : "discarded",
               q->name, (unsigned long long)(st.end_row - st.first_row),
               (unsigned long long)(st.end_seq - st.first_seq), (unsigned long long)st.bytes);
    return GW_EXIT_OK;
}

static int discard(struct queues *q)
{
    struct gw_log_files_conf conf;
    char path[PATH_BYTES + 512];
    struct gw_log *log;
    int rc = find_log(q, path);

    if (rc == 0)
        rc = open_to_change(q, path, &conf, &log);
    if (rc == GW_EXIT_BUSY)
        gw_cli_say(q->c, 2, "error: a gateway uses %s: its rows are its own\n", q->name);
    if (rc != 0)
        return rc;
    rc = discard_in(q, log);
    gw_log_close(log);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

struct command {
    const char *word;
    int (*run)(struct queues *q);
    const char *queue, *consumer; /* what it says when that word is not there; NULL: it takes none */
};

static int take_words(struct queues *q, const struct command *command)
{
    static const char *const none[] = {NULL};

    if (command->queue && !(q->queue = gw_cli_take_word(q->c)))
        return gw_cli_usage(q->c, command->queue, "", none);
    if (command->consumer && !(q->consumer = gw_cli_take_word(q->c)))
        return gw_cli_usage(q->c, command->consumer, "", none);
    return gw_cli_no_more(q->c, flag_words); /* a flag that is misspelt is not left out */
}

static int find_place(struct queues *q, const char *directory)
{
    if (!directory)
        return find_directory(q);
    (void)snprintf(q->dir, sizeof(q->dir), "%s", directory);
    (void)snprintf(q->socket, sizeof(q->socket), "%s/control.sock", directory);
    return 0;
}

static int run(struct gw_cli *c)
{
    static const char needs_both[] = "release needs a queue, and an exporter or a pipeline: see queue ls";
    static const struct command commands[] = {{"ls", ls, NULL, NULL},
                                              {"release", release, needs_both, needs_both},
                                              {"discard", discard, "discard needs a queue: see queue ls", NULL}};
    enum { N = sizeof(commands) / sizeof(*commands) };
    bool missing = false;
    const char *directory = gw_cli_take_flag(c, "--directory", &missing), *word;
    struct queues q = {.c = c, .dry_run = gw_cli_take_switch(c, "--dry-run")};
    unsigned i = 0;
    int rc;

    word = gw_cli_take_word(c);
    if (!word) {
        gw_cli_put(c, 1, gw_slice_cstr(usage_text));
        return GW_EXIT_OK;
    }
    while (i < N && strcmp(commands[i].word, word) != 0)
        i++;
    if (i == N)
        return gw_cli_usage(c, "unknown command", word, words);
    if (missing)
        return gw_cli_usage(c, "a value must follow", "--directory", flag_words);
    rc = take_words(&q, &commands[i]);
    if (rc == 0)
        rc = find_place(&q, directory);
    gw_buf_init(&q.out, OUT_MAX);
    if (rc == 0)
        rc = commands[i].run(&q);
    gw_buf_clear(&q.out);
    return rc;
}

const struct gw_cli_command gw_cli_queue = {
    .word = "queue", .help = "queues and journals on disk: ls, release, discard", .flags = GW_CLI_REST, .run = run};
