/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug: show what arrives, as text for people, in the words of the Collector's debug exporter.
 *
 *     exporters:
 *       debug:
 *         verbosity: detailed       basic: a line of counts; normal: a line a record; detailed: everything
 *         sampling_initial: 2       this many requests of a signal are shown each second,
 *         sampling_thereafter: 1    then every n-th (1 = all, 0 = none)
 *         use_internal_logger: true on stderr among the program's own log lines; false: to output_paths
 *         output_paths: [stdout]
 *
 * encode() turns a view into its line of counts and its text, send() decides by sampling and writes. Other than in the
 * Collector, where only the line of counts is sampled, the text comes and goes with it.
 */
#include <stdlib.h>
#include <time.h>

#include "core/json_writer.h"
#include "exporters/debug/text.h"
#include "otlp-proto/encode.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum { BASIC, NORMAL, DETAILED };
enum { MAX_REQUEST_BYTES = 1 << 30, MAX_LINE_BYTES = 1 << 30, MAX_TEXT_BYTES = 32 << 20 };
#define SECOND_NS 1000000000u

struct conf {
    int verbosity;
    uint64_t sampling_initial, sampling_thereafter;
    bool use_internal_logger;
    struct gw_list output_paths;
};

struct window {
    uint64_t begin_ns, n;
};

struct self {
    struct conf conf;
    struct gw_env *env;
    struct gw_logger logger;
    struct gw_file **files;
    bool *is_stderr;
    size_t n_files;
    struct window windows[GW_LOGS + 1]; /* by signal; the exporter's thread's */
};

static const char *const verbosities[] = {"basic", "normal", "detailed", NULL};

static const struct gw_field fields[] = {
    GW_ENUM_FIELD(struct conf, verbosity, "verbosity", "basic", verbosities,
                  "basic: a line of counts; normal: a line a record; detailed: every field."),
    GW_U64_FIELD(struct conf, sampling_initial, "sampling_initial", "2", 0, 1e12,
                 "Requests of a signal that are shown each second before sampling begins."),
    GW_U64_FIELD(struct conf, sampling_thereafter, "sampling_thereafter", "1", 0, 1e12,
                 "Then every n-th is shown; 1 shows all, 0 none."),
    GW_BOOL_FIELD(struct conf, use_internal_logger, "use_internal_logger", "true",
                  "Write among the program's own log lines, at level info."),
    GW_STRINGS_FIELD(struct conf, output_paths, "output_paths",
                     "With use_internal_logger false: stdout (default), stderr, or paths of files."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_node *paths = gw_node_get(node, "output_paths");

    if (!paths)
        return;
    if (c->use_internal_logger)
        gw_diag_add(diag, GW_DIAG_ERROR, &paths->key_place,
                    "output_paths is not supported when use_internal_logger is true");
    else if (paths->type == GW_NODE_LIST && paths->n_children == 0)
        gw_diag_add(diag, GW_DIAG_ERROR, &paths->key_place,
                    "output_paths must not be empty when use_internal_logger is false");
}

/* ---- the line of counts ---------------------------------------------------------------------------------- */

struct counts {
    uint32_t resources, metrics, rows;
};

static struct counts count(enum gw_signal signal, struct gw_slice request, uint32_t rows)
{
    struct gw_wire_walk resources = gw_wire_walk(request);
    struct counts c = {.rows = rows};
    struct gw_slice r, s, m;

    while (gw_debug_next(&resources, 1, &r)) {
        struct gw_wire_walk scopes = gw_wire_walk(r);

        c.resources++;
        while (signal == GW_METRICS && gw_debug_next(&scopes, 2, &s))
            for (struct gw_wire_walk metrics = gw_wire_walk(s); gw_debug_next(&metrics, 2, &m);)
                c.metrics++;
    }
    return c;
}

static void put_counts(struct gw_buf *out, enum gw_signal signal, struct counts c)
{
    if (signal == GW_TRACES)
        gw_buf_printf(out, "Traces\t{\"resource spans\": %u, \"spans\": %u}\n", c.resources, c.rows);
    else if (signal == GW_METRICS)
        gw_buf_printf(out, "Metrics\t{\"resource metrics\": %u, \"metrics\": %u, \"data points\": %u}\n", c.resources,
                      c.metrics, c.rows);
    else
        gw_buf_printf(out, "Logs\t{\"resource logs\": %u, \"log records\": %u}\n", c.resources, c.rows);
}

/**
 * The text behind the line of counts, at most MAX_TEXT_BYTES: a bucket of two bytes may become a line of six hundred,
 * and nobody reads so much.
 */
static void put_text(const struct self *s, enum gw_signal signal, struct gw_slice request, struct gw_buf *out)
{
    struct gw_debug_text t = {.out = out, .json.escape = GW_GO_TERMINAL};
    size_t base = out->n, max_bytes = out->max_bytes;

    if (max_bytes - base > MAX_TEXT_BYTES)
        out->max_bytes = base + MAX_TEXT_BYTES;
    if (s->conf.verbosity == NORMAL)
        gw_debug_normal(&t, signal, request);
    else if (s->conf.verbosity == DETAILED)
        gw_debug_detailed(&t, signal, request);
    gw_go_json_clear(&t.json);
    out->max_bytes = max_bytes;
    if (gw_buf_error(out) == -E2BIG) {
        out->failed = false;
        while (out->n > base && out->p[out->n - 1] != '\n')
            out->n--;
        gw_buf_put_str(out, "... the rest of the text is left out\n");
    }
}

static int debug_encode(void *self, const struct gw_view *v, struct gw_buf *out)
{
    enum gw_signal signal = v->batch->signal;
    struct gw_buf request;
    int rc;

    gw_buf_init(&request, MAX_REQUEST_BYTES);
    rc = gw_buf_reserve(&request, v->batch->payload->n + 4096u); /* nearly always enough: one allocation */
    if (rc == 0)
        rc = gw_encode(v, &request);
    if (rc == 0) {
        put_counts(out, signal, count(signal, gw_buf_slice(&request), v->n_rows));
        put_text(self, signal, gw_buf_slice(&request), out);
    }
    gw_buf_clear(&request);
    return rc < 0 ? rc : gw_buf_error(out);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/** As zap's sampler: the first sampling_initial of a second, then every sampling_thereafter-th. */
static bool is_shown(struct self *s, enum gw_signal signal)
{
    struct window *w = &s->windows[signal];
    uint64_t now_ns = gw_mono_ns(s->env);

    if (now_ns - w->begin_ns >= SECOND_NS || w->n == 0)
        *w = (struct window){.begin_ns = now_ns};
    w->n++;
    return w->n <= s->conf.sampling_initial ||
           (s->conf.sampling_thereafter && (w->n - s->conf.sampling_initial) % s->conf.sampling_thereafter == 0);
}

static void put_stamp(struct gw_buf *b, struct gw_env *env)
{
    uint64_t now_ns = gw_wall_ns(env);
    time_t at = (time_t)(now_ns / SECOND_NS);
    char text[40];
    struct tm tm;

    (void)gmtime_r(&at, &tm);
    gw_buf_put(b, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm));
    gw_buf_printf(b, ".%03uZ", (unsigned)(now_ns / 1000000 % 1000));
}

/** title<tab>{counts}: the parts of the first line. */
struct parts {
    struct gw_slice title, counts, text;
};

static struct parts split(struct gw_slice body)
{
    const uint8_t *end = body.p + body.n, *tab = memchr(body.p, '\t', body.n), *nl = memchr(body.p, '\n', body.n);

    if (!tab || !nl || nl - tab < 3) /* not made by encode */
        return (struct parts){.text = body};
    return (struct parts){
        gw_slice_of(body.p, (size_t)(tab - body.p)),
        gw_slice_of(tab + 2, (size_t)(nl - tab) - 3), /* without the braces */
        gw_slice_of(nl + 1, (size_t)(end - nl) - 1),
    };
}

static void put_ids(const struct self *s, enum gw_signal signal, struct gw_buf *b)
{
    gw_buf_printf(b,
                  "\"otelcol.component.id\": \"%s\", \"otelcol.component.kind\": \"exporter\", "
                  "\"otelcol.signal\": \"%s\"",
                  s->logger.id ? s->logger.id : "debug", gw_signal_name(signal));
}

/** The program's log as text: the line of counts like every other line, the text under it as it is. */
static void put_console(const struct self *s, enum gw_signal signal, const struct parts *p, struct gw_buf *b)
{
    put_stamp(b, s->env);
    gw_buf_put_str(b, "\tinfo\t");
    gw_buf_put_slice(b, p->title);
    gw_buf_put_str(b, "\t{");
    put_ids(s, signal, b);
    gw_buf_put_str(b, ", ");
    gw_buf_put_slice(b, p->counts);
    gw_buf_put_str(b, "}\n");
    gw_buf_put_slice(b, p->text);
}

/** The program's log as JSON: one line for the counts, one for the text. */
static void put_json(const struct self *s, enum gw_signal signal, const struct parts *p, struct gw_buf *b)
{
    for (int line = 0; line < (p->text.n ? 2 : 1); line++) {
        gw_buf_put_str(b, "{\"level\":\"info\",\"ts\":\"");
        put_stamp(b, s->env);
        gw_buf_put_str(b, "\",\"msg\":");
        gw_json_put_string(b, line == 0 ? p->title : p->text);
        gw_buf_put_u8(b, ',');
        put_ids(s, signal, b);
        if (line == 0) {
            gw_buf_put_str(b, ", ");
            gw_buf_put_slice(b, p->counts);
        }
        gw_buf_put_str(b, "}\n");
    }
}

static int write_all(struct gw_env *env, struct gw_file *f, struct gw_slice s)
{
    while (s.n) {
        struct iovec iov = {(void *)(uintptr_t)s.p, s.n};
        ssize_t n = env->ops->file_writev(f, &iov, 1);

        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        s.p += n;
        s.n -= (size_t)n;
    }
    return 0;
}

static int write_out(struct self *s, enum gw_signal signal, struct gw_slice body)
{
    struct parts p = split(body);
    struct gw_buf b;
    int rc = 0;

    gw_buf_init(&b, MAX_LINE_BYTES);
    (void)gw_buf_reserve(&b, body.n + 1024); /* one allocation, however long the text */
    if (!s->conf.use_internal_logger) {
        gw_buf_put_slice(&b, body);
        if (p.text.n)
            gw_buf_put_u8(&b, '\n'); /* the text is a log entry of its own, and ends as one */
    } else if (s->logger.sink && s->logger.sink->json) {
        put_json(s, signal, &p, &b);
    } else {
        put_console(s, signal, &p, &b);
    }
    if (b.failed)
        rc = -ENOMEM;
    for (size_t i = 0; i < s->n_files && rc == 0; i++)
        if (!s->is_stderr[i])
            rc = write_all(s->env, s->files[i], gw_buf_slice(&b));
        else
            s->env->ops->log_write(s->env, (const char *)b.p, b.n);
    if (s->conf.use_internal_logger && rc == 0)
        s->env->ops->log_write(s->env, (const char *)b.p, b.n);
    gw_buf_clear(&b);
    return rc;
}

static void debug_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    bool silent = s->conf.use_internal_logger && s->logger.sink && s->logger.sink->level > GW_LOG_INFO;
    struct gw_sent_info info = {.sent = GW_SENT_OK};
    int rc = 0;

    if (!silent && is_shown(s, a->signal))
        rc = write_out(s, a->signal, a->body);
    if (rc < 0) {
        info.sent = rc == -ENOSPC || rc == -EAGAIN || rc == -ENOMEM ? GW_SENT_RETRY : GW_SENT_PERMANENT;
        info.reason = "write";
        info.message = strerror(-rc);
    }
    a->done(a, &info);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static const char *path_of(const struct conf *c, size_t i)
{
    const char *path = c->output_paths.n ? ((const char *const *)c->output_paths.items)[i] : "stdout";

    if (strcmp(path, "stdout") == 0)
        return "/dev/stdout";
    return strncmp(path, "file://", 7) == 0 ? path + 7 : path;
}

static int debug_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;
    size_t n = s->conf.use_internal_logger ? 0 : s->conf.output_paths.n ? s->conf.output_paths.n : 1;

    (void)loop;
    s->files = calloc(n + 1, sizeof(struct gw_file *));
    s->is_stderr = calloc(n + 1, sizeof(bool));
    if (!s->files || !s->is_stderr)
        return gw_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *path = path_of(&s->conf, i);
        int rc = 0;

        s->is_stderr[i] = strcmp(path, "stderr") == 0;
        if (!s->is_stderr[i])
            rc = s->env->ops->file_open(s->env, path, GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_APPEND, 0666,
                                        &s->files[i]);
        if (rc < 0)
            return gw_fail(err, rc, "output_paths: cannot open %s: %s", path, strerror(-rc));
        s->n_files = i + 1;
    }
    return 0;
}

static void debug_close(void *self)
{
    struct self *s = self;

    for (size_t i = 0; i < s->n_files; i++)
        if (s->files[i])
            s->env->ops->file_close(s->files[i]);
    s->n_files = 0;
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = *(const struct conf *)conf;
    s->env = ctx->env;
    s->logger = ctx->logger;
    *ret_self = s;
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    debug_close(s);
    free(s->files);
    free(s->is_stderr);
    free(s);
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_NONE, /* one entry of the log a request */
    .queued = true,
    .queue_by_default = false,
    .encode = debug_encode,
    .open = debug_open,
    .send = debug_send,
    .close = debug_close,
};

const struct gw_component gw_exporter_debug = {
    .kind = GW_EXPORTER,
    .name = "debug",
    .summary = "Show what arrives, as text for people.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW, /* it reads the bytes that it would send */
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .exporter = &ops,
};
