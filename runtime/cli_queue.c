/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staunch queue ls                       who waits for how much, beside a running gateway or without one
 *               release QUEUE EXPORTER   forget a cursor that nobody uses any more, so that its disk space comes back
 */
#include <stdio.h>
#include <stdlib.h>

#include "log/files.h"
#include "pipeline/storage.h"
#include "runtime/cli_commands.h"

enum { OUT_MAX = 1 << 20, PATH_BYTES = 1024, MAX_LOGS = 1024, NAME_BYTES = 256 };

static const char usage_text[] =
    "Usage: staunch queue COMMAND [--config FILE | --directory DIR]\n"
    "\n"
    "  ls                        who waits for how much: a line a queue and exporter\n"
    "  release QUEUE EXPORTER    forget what waits there for an exporter that is no longer configured\n";

static const char *const words[] = {"ls", "release", NULL};
static const char *const flag_words[] = {"--directory", "--config", NULL};
static const char *const kinds[] = {"queue", "journal", "ports", NULL};

struct queues {
    struct gw_cli *c;
    char dir[PATH_BYTES];
    struct gw_buf out;
    const char *kind, *name; /* of the log that is looked at */
    struct gw_log_stats st;
    unsigned n_logs;
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
    gw_service_free(s);
    if (rc != 0)
        gw_cli_say(q->c, 2, "error: %s has no queue on disk: it needs a file_storage in service::extensions\n",
                   gw_cli_source(q->c));
    return rc;
}

/* "traces%2Feu" as it was: what a file name cannot hold is written %XX. */
static void unescape(const char *name, char to[NAME_BYTES])
{
    size_t n = 0;

    for (; *name && n + 1 < NAME_BYTES; name++) {
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

static void put_consumer(void *arg, const struct gw_log_consumer *c)
{
    struct queues *q = arg;
    uint64_t waits = q->st.end_row - c->low_row - c->ahead_rows, now = gw_wall_ns(q->c->w->env);

    gw_buf_printf(&q->out, "%-8s %-24s %-28s %12llu %12llu  ", q->kind, q->name, c->name, (unsigned long long)waits,
                  (unsigned long long)q->st.bytes);
    if (waits && q->st.first_time_ns && now > q->st.first_time_ns)
        put_age(&q->out, now - q->st.first_time_ns);
    else
        gw_buf_put_str(&q->out, "-");
    gw_buf_put_u8(&q->out, '\n');
}

static void list_log(void *arg, const char *entry)
{
    struct queues *q = arg;
    struct gw_log_files_conf conf;
    struct gw_err err = {""};
    char path[PATH_BYTES + 512], name[NAME_BYTES];
    struct gw_log *log;

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
    gw_log_stats(log, &q->st);
    (void)gw_log_consumers(log, put_consumer, q);
    gw_log_close(log);
}

static int ls(struct queues *q)
{
    gw_buf_printf(&q->out, "%-8s %-24s %-28s %12s %12s  %s\n", "kind", "of", "exporter", "waiting", "bytes", "oldest");
    for (unsigned i = 0; kinds[i]; i++) {
        char path[PATH_BYTES + 16];

        q->kind = kinds[i];
        (void)snprintf(path, sizeof(path), "%s/%s", q->dir, q->kind);
        (void)q->c->w->env->ops->dir_list(q->c->w->env, path, list_log, q);
    }
    gw_cli_put(q->c, 1, gw_buf_slice(&q->out));
    if (q->n_logs == 0)
        gw_cli_say(q->c, 2, "%s: there is no queue on disk\n", q->dir);
    return q->rc;
}

/* ---- release ---------------------------------------------------------------------------------------------- */

struct wanted {
    const char *name;
    bool found;
};

static void look_for(void *arg, const struct gw_log_consumer *c)
{
    struct wanted *w = arg;

    w->found |= strcmp(c->name, w->name) == 0;
}

static int release_in(struct queues *q, const char *path, const char *consumer)
{
    struct wanted w = {.name = consumer};
    struct gw_log_files_conf conf;
    struct gw_err err = {""};
    struct gw_log *log;
    int rc = open_log(q, path, /* read_only= */ false, &conf, &log, &err);

    if (rc == -EWOULDBLOCK) {
        gw_cli_say(q->c, 2, "error: a gateway uses this queue: stop it first\n");
        return GW_EXIT_BUSY;
    }
    if (rc < 0) {
        gw_cli_say(q->c, 2, "error: %s\n", err.text);
        return GW_EXIT_IO;
    }
    (void)gw_log_consumers(log, look_for, &w);
    rc = w.found ? gw_log_consumer_release(log, consumer) : -ENOENT;
    (void)gw_log_work(log);
    gw_log_close(log);
    if (rc == 0) {
        gw_cli_say(q->c, 1, "released %s\n", consumer);
        return GW_EXIT_OK;
    }
    gw_cli_say(q->c, 2, "error: %s: %s\n", consumer, rc == -ENOENT ? "nothing waits there for it" : strerror(-rc));
    return rc == -ENOENT ? GW_EXIT_UNAVAILABLE : GW_EXIT_IO;
}

struct match {
    const char *name; /* as the command line says it */
    char entry[NAME_BYTES];
};

static void match_entry(void *arg, const char *entry)
{
    struct match *m = arg;
    char name[NAME_BYTES];

    unescape(entry, name);
    if (strcmp(name, m->name) == 0 && strlen(entry) < sizeof(m->entry))
        strcpy(m->entry, entry);
}

static int release(struct queues *q)
{
    const char *queue = gw_cli_take_word(q->c), *consumer = gw_cli_take_word(q->c);
    char path[PATH_BYTES + 512];
    struct match m = {.name = queue};

    if (!queue || !consumer)
        return gw_cli_usage(q->c, "release needs a queue and an exporter: see queue ls", "",
                            (const char *const[]){NULL});
    for (unsigned i = 0; kinds[i] && !m.entry[0]; i++) {
        q->kind = kinds[i];
        (void)snprintf(path, sizeof(path), "%s/%s", q->dir, q->kind);
        (void)q->c->w->env->ops->dir_list(q->c->w->env, path, match_entry, &m);
    }
    if (!m.entry[0]) {
        gw_cli_say(q->c, 2, "error: %s: there is no queue \"%.100s\": see queue ls\n", q->dir, queue);
        return GW_EXIT_UNAVAILABLE;
    }
    (void)snprintf(path, sizeof(path), "%s/%s/%s", q->dir, q->kind, m.entry);
    return release_in(q, path, consumer);
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int run(struct gw_cli *c)
{
    bool missing = false;
    const char *directory = gw_cli_take_flag(c, "--directory", &missing), *word = gw_cli_take_word(c);
    struct queues q = {.c = c};
    int rc = 0;

    if (!word) {
        gw_cli_put(c, 1, gw_slice_cstr(usage_text));
        return GW_EXIT_OK;
    }
    if (strcmp(word, "ls") != 0 && strcmp(word, "release") != 0)
        return gw_cli_usage(c, "unknown command", word, words);
    if (missing)
        return gw_cli_usage(c, "a value must follow", "--directory", flag_words);
    if (directory)
        (void)snprintf(q.dir, sizeof(q.dir), "%s", directory);
    else
        rc = find_directory(&q);
    gw_buf_init(&q.out, OUT_MAX);
    if (rc == 0)
        rc = strcmp(word, "ls") == 0 ? ls(&q) : release(&q);
    gw_buf_clear(&q.out);
    return rc;
}

const struct gw_cli_command gw_cli_queue = {
    .word = "queue", .help = "queues on disk: ls, release", .flags = GW_CLI_REST, .run = run};
