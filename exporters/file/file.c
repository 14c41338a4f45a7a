/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: OTLP into files, a request a line (JSON) or behind its length (protobuf).
 *
 *     exporters:
 *       file:
 *         path: /var/lib/staunch/traces.jsonl
 *         rotation: { max_megabytes: 100, max_days: 7, max_backups: 20 }
 *       file/tenants:
 *         path: /var/lib/staunch/of-*.jsonl       the star is what the resource's attribute says
 *         group_by: { enabled: true, resource_attribute: tenant, max_open_files: 100 }
 *
 *   format   compression   file
 *   json     -             {"resourceSpans":…}\n …
 *   json     zstd          [length, 4 bytes, big-endian] [zstd frame] …
 *   proto    -             [length] [Export…ServiceRequest] …
 *   proto    zstd          [length] [zstd frame] …
 *
 * What is answered as delivered was written to the file (in the system's cache), all of a request or nothing of it.
 */
#include <stdlib.h>

#include "exporters/file/file.h"
#include "net/compress.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum { JSON, PROTO };
enum { NO_COMPRESSION, ZSTD };
enum { MAX_MESSAGE_BYTES = 1 << 30, KEEP_BYTES = 16 << 20, MAX_PATH_BYTES = 4096 };

struct group_by {
    bool enabled;
    const char *resource_attribute;
    uint64_t max_open_files;
};

struct params {
    uint64_t level;
};

struct conf {
    const char *path, *directory_permissions;
    bool append, has_rotation, create_directory;
    struct gw_file_rotation rotation;
    int format, compression;
    struct params compression_params;
    uint64_t flush_interval_ns;
    struct group_by group_by;
    const struct gw_node *encoding;
};

struct self {
    struct conf conf;
    struct gw_env *env;
    struct gw_logger logger;
    struct gw_files *files;
    struct gw_buf text, message, request, path; /* scratch of the exporter's thread */
    struct gw_file_pieces pieces;
};

static const char *const formats[] = {"json", "proto", NULL};
static const char *const compressions[] = {"", "zstd", NULL};

static const struct gw_field rotation_fields[] = {
    GW_U64_FIELD(struct gw_file_rotation, max_megabytes, "max_megabytes", "100", 0, 1e9,
                 "A file that would become larger is renamed and a new one begun."),
    GW_U64_FIELD(struct gw_file_rotation, max_days, "max_days", "0", 0, 36500,
                 "Renamed files that are older are removed; 0 keeps them."),
    GW_U64_FIELD(struct gw_file_rotation, max_backups, "max_backups", "100", 0, 1e6,
                 "How many renamed files stay; 0 = all."),
    GW_BOOL_FIELD(struct gw_file_rotation, localtime, "localtime", "false",
                  "Local time instead of UTC in the names of renamed files."),
    {0},
};
static const struct gw_field params_fields[] = {
    GW_U64_FIELD(struct params, level, "level", "0", 0, 22, "Level of zstd; 0 is its usual one."),
    {0},
};
static const struct gw_field group_by_fields[] = {
    GW_BOOL_FIELD(struct group_by, enabled, "enabled", "false", "A file for each value of a resource attribute."),
    GW_STRING_FIELD(struct group_by, resource_attribute, "resource_attribute", "fileexporter.path_segment",
                    "The attribute that takes the place of the path's star."),
    GW_U64_FIELD(struct group_by, max_open_files, "max_open_files", "100", 1, 1e5,
                 "Files open at a time; the one written to longest ago is closed."),
    {0},
};
static const struct gw_field fields[] = {
    {GW_FIELD_(struct conf, path, "path", GW_F_STRING, NULL, 0, 0,
               "The file, relative to the working directory. With group_by it holds one star."),
     .flags = GW_FF_REQUIRED},
    GW_BOOL_FIELD(struct conf, append, "append", "false", "Keep what the file holds at the start."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, rotation, has_rotation, "rotation", rotation_fields, GW_FF_NULL_IS_ON,
                            "Begin a new file when one is full. Goes with append: a file is never emptied."),
    GW_ENUM_FIELD(struct conf, format, "format", "json", formats,
                  "json: a request a line; proto: a request behind its length in 4 bytes, big-endian."),
    {GW_FIELD_(struct conf, encoding, "encoding", GW_F_ANY, NULL, 0, 0, "An encoding extension."),
     .flags = GW_FF_PLANNED},
    GW_ENUM_FIELD(struct conf, compression, "compression", "", compressions,
                  "zstd: each request on its own, behind its length in 4 bytes."),
    GW_BLOCK_FIELD(struct conf, compression_params, "compression_params", params_fields, "How to compress."),
    {GW_FIELD_(struct conf, flush_interval_ns, "flush_interval", GW_F_DURATION, "1s", 0, 0,
               "Nothing is held back in memory: a request is in its file when it is answered."),
     .flags = GW_FF_NO_EFFECT},
    GW_BLOCK_FIELD(struct conf, group_by, "group_by", group_by_fields, "Files by a resource attribute."),
    GW_BOOL_FIELD(struct conf, create_directory, "create_directory", "false", "Make the folders of the path."),
    GW_STRING_FIELD(struct conf, directory_permissions, "directory_permissions", "",
                    "Of folders that are made, octal; 0755 by default. Needs create_directory."),
    {0},
};

/* ---- settings -------------------------------------------------------------------------------------------- */

/** Octal permissions, or -1. */
static long mode_of(const char *text)
{
    char *end;
    long mode = *text ? strtol(text, &end, 8) : 0755;

    return *text && (*end || mode < 0 || mode > 0777) ? -1 : mode;
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_node *path = gw_node_get(node, "path"), *perms = gw_node_get(node, "directory_permissions");
    const struct gw_node *rotation = gw_node_get(node, "rotation");
    const struct gw_place *at = path ? &path->place : NULL;
    const char *star = strchr(c->path, '*');

    if (!*c->path)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "path must be non-empty");
    if (c->append && c->has_rotation)
        gw_diag_add(diag, GW_DIAG_ERROR, rotation ? &rotation->key_place : NULL,
                    "append and rotation enabled at the same time is not supported");
    if (c->group_by.enabled) {
        if (!star || strchr(star + 1, '*'))
            gw_diag_add(diag, GW_DIAG_ERROR, at, "path must contain exactly one * when group_by is enabled");
        else if (star == c->path)
            gw_diag_add(diag, GW_DIAG_ERROR, at, "path must not start with * when group_by is enabled");
        if (!*c->group_by.resource_attribute)
            gw_diag_add(diag, GW_DIAG_ERROR, NULL, "resource_attribute must not be empty when group_by is enabled");
    }
    if (*c->directory_permissions && !c->create_directory)
        gw_diag_add(diag, GW_DIAG_ERROR, perms ? &perms->key_place : NULL,
                    "directory_permissions requires create_directory to be true");
    else if (mode_of(c->directory_permissions) < 0)
        gw_diag_add(diag, GW_DIAG_ERROR, perms ? &perms->place : NULL,
                    "directory_permissions: \"%s\" is no octal number up to 0777", c->directory_permissions);
}

/* ---- a message ------------------------------------------------------------------------------------------- */

static void store_length(uint8_t *p, size_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> (24 - 8 * i));
}

static void put_length(struct gw_buf *b, size_t n)
{
    uint8_t be[4];

    store_length(be, n);
    gw_buf_put(b, be, sizeof(be));
}

/** What stands in the file for a request: in the scratch, until the next one. */
static int make_message(struct self *s, enum gw_signal signal, struct gw_slice body, struct gw_slice *ret,
                        struct gw_err *err)
{
    bool is_line = s->conf.format == JSON && s->conf.compression == NO_COMPRESSION;
    struct gw_slice content = body;
    int rc = 0;

    if (s->conf.format == JSON) {
        gw_buf_reset(&s->text);
        (void)gw_buf_reserve(&s->text, body.n * 2 + 1024); /* about what it takes */
        rc = gw_proto_to_json(signal, body, &s->text);
        if (is_line)
            gw_buf_put_u8(&s->text, '\n');
        content = gw_buf_slice(&s->text);
        if (s->text.failed)
            rc = gw_buf_error(&s->text);
        if (rc < 0)
            return gw_fail(err, rc, "the request cannot be written as JSON: %s", strerror(-rc));
    }
    if (is_line) {
        *ret = content;
        return 0;
    }
    gw_buf_reset(&s->message);
    put_length(&s->message, content.n);
    if (s->conf.compression == ZSTD) {
        size_t at = s->message.n;

        rc = gw_compress(GW_ZSTD, (int)s->conf.compression_params.level, content, &s->message, err);
        if (rc < 0)
            return rc;
        store_length(s->message.p, s->message.n - at);
    } else {
        gw_buf_put_slice(&s->message, content);
    }
    *ret = gw_buf_slice(&s->message);
    rc = gw_buf_error(&s->message);
    return rc == 0        ? 0
           : rc == -E2BIG ? gw_fail(err, rc, "the request is too long for a file")
                          : gw_fail(err, rc, "out of memory");
}

static bool may_pass_later(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT || rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ||
           rc == -ESTALE;
}

static enum gw_sent verdict_of(int rc)
{
    return rc == 0              ? GW_SENT_OK
           : rc == -E2BIG       ? GW_SENT_TOO_LARGE
           : may_pass_later(rc) ? GW_SENT_RETRY
                                : GW_SENT_PERMANENT;
}

static void send_whole(struct self *s, struct gw_attempt *a)
{
    struct gw_sent_info info = {.reason = "write"};
    struct gw_slice message;
    struct gw_err err = {""};
    int rc = make_message(s, a->signal, a->body, &message, &err);

    if (rc == 0)
        rc = gw_files_write(s->files, s->conf.path, message, &err);
    info.sent = verdict_of(rc);
    info.message = err.text;
    a->done(a, &info);
}

/* ---- files by attribute ---------------------------------------------------------------------------------- */

/** path with its star replaced. The scratch's text, terminated. */
static int make_path(struct self *s, struct gw_slice segment, struct gw_err *err)
{
    const char *star = strchr(s->conf.path, '*');
    int rc;

    gw_buf_reset(&s->path);
    gw_buf_put(&s->path, s->conf.path, (size_t)(star - s->conf.path));
    rc = gw_file_put_segment(&s->path, segment);
    gw_buf_put_str(&s->path, star + 1);
    gw_buf_put_u8(&s->path, '\0');
    if (rc < 0 || s->path.failed)
        return gw_fail(err, -ENAMETOOLONG, "%s: the value is too long for a file's name",
                       s->conf.group_by.resource_attribute);
    return 0;
}

/** The pieces [from, to), which share a segment, as one request: s->request. */
static void join(struct self *s, size_t from, size_t to)
{
    gw_buf_reset(&s->request);
    for (size_t i = from; i < to; i++)
        gw_buf_put_slice(&s->request, s->pieces.p[i].bytes);
}

static int write_group(struct self *s, enum gw_signal signal, struct gw_slice segment, struct gw_err *err)
{
    struct gw_slice message;
    int rc = make_path(s, segment, err);

    if (rc == 0)
        rc = make_message(s, signal, gw_buf_slice(&s->request), &message, err);
    if (rc == 0)
        rc = gw_files_write(s->files, (const char *)s->path.p, message, err);
    return rc;
}

/** Behind the last piece that belongs to the group of the piece at `from`. */
static size_t end_of_group(const struct self *s, size_t from)
{
    const struct gw_file_piece *p = s->pieces.p;
    size_t to = from + 1;

    while (to < s->pieces.n && (p[to].segment.p != NULL) == (p[from].segment.p != NULL) &&
           gw_slice_eq(p[to].segment, p[from].segment))
        to++;
    return to;
}

static void send_groups(struct self *s, struct gw_attempt *a)
{
    struct gw_sent_info info = {.sent = GW_SENT_OK, .reason = "write"};
    struct gw_err err = {""}, first = {""};
    struct gw_buf again;
    size_t from = 0;
    int rc = gw_file_group(a->body, gw_slice_cstr(s->conf.group_by.resource_attribute), &s->pieces);

    gw_buf_init(&again, MAX_MESSAGE_BYTES);
    if (rc < 0)
        info.sent = verdict_of(rc);
    while (rc == 0 && from < s->pieces.n) {
        struct gw_slice segment = s->pieces.p[from].segment;
        size_t to = end_of_group(s, from);
        uint32_t rows = 0;
        int e = -ENOENT;

        join(s, from, to);
        from = to;
        if (segment.p)
            e = write_group(s, a->signal, segment, &err);
        else
            (void)gw_fail(&err, e, "the resource has no text attribute %s", s->conf.group_by.resource_attribute);
        if (e == 0)
            continue;
        (void)gw_count_rows(a->signal, gw_buf_slice(&s->request), &rows);
        if (!*first.text)
            first = err;
        if (may_pass_later(e)) {
            gw_buf_put_slice(&again, gw_buf_slice(&s->request));
            info.left_rows += rows;
        } else {
            a->dead(a, &(struct gw_death){.class_ = "sink_rejected",
                                          .reason = segment.p ? "write" : "no_path_segment",
                                          .message = err.text,
                                          .body = gw_buf_slice(&s->request),
                                          .rows = rows});
        }
    }
    if (again.n) {
        info.sent = GW_SENT_RETRY;
        info.left = gw_buf_slice(&again);
    }
    info.message = first.text;
    a->done(a, &info);
    gw_buf_clear(&again);
}

static void trim(struct gw_buf *b)
{
    if (b->cap > KEEP_BYTES)
        gw_buf_clear(b);
}

static void file_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;

    if (s->conf.group_by.enabled)
        send_groups(s, a);
    else
        send_whole(s, a);
    trim(&s->text);
    trim(&s->message);
    trim(&s->request);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static int file_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;
    struct gw_files_conf conf = {
        .env = s->env,
        .logger = s->logger,
        .append = s->conf.append,
        .rotate = s->conf.has_rotation,
        .rotation = s->conf.rotation,
        .make_directories = s->conf.create_directory || s->conf.group_by.enabled,
        .directory_mode = (unsigned)mode_of(s->conf.directory_permissions),
        .max_open = s->conf.group_by.enabled ? (unsigned)s->conf.group_by.max_open_files : 1,
    };

    (void)loop;
    s->files = gw_files_new(&conf);
    if (!s->files)
        return gw_fail(err, -ENOMEM, "out of memory");
    return s->conf.group_by.enabled ? 0 : gw_files_open(s->files, s->conf.path, err);
}

static void file_close(void *self)
{
    struct self *s = self;

    gw_files_free(s->files);
    s->files = NULL;
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = *(const struct conf *)conf;
    s->env = ctx->env;
    s->logger = ctx->logger;
    gw_buf_init(&s->text, MAX_MESSAGE_BYTES);
    gw_buf_init(&s->message, MAX_MESSAGE_BYTES);
    gw_buf_init(&s->request, MAX_MESSAGE_BYTES);
    gw_buf_init(&s->path, MAX_PATH_BYTES);
    *ret_self = s;
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    file_close(s);
    gw_buf_clear(&s->text);
    gw_buf_clear(&s->message);
    gw_buf_clear(&s->request);
    gw_buf_clear(&s->path);
    free(s->pieces.p);
    free(s);
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = false,
    .open = file_open,
    .send = file_send,
    .close = file_close,
};

const struct gw_component gw_exporter_file = {
    .kind = GW_EXPORTER,
    .name = "file",
    .summary = "OTLP into files, as JSON lines or protobuf.",
    .signals = GW_ALL_SIGNALS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .exporter = &ops,
};
