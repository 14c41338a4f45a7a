/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the file exporter. */
#ifndef GW_EXPORTERS_FILE_FILE_H
#define GW_EXPORTERS_FILE_FILE_H

#include "batch/batch.h"
#include "core/buf.h"
#include "core/env.h"
#include "core/logger.h"

struct gw_file_rotation {
    uint64_t max_megabytes, max_days, max_backups;
    bool localtime;
};

/* ---- files.c: open files, rotated by size ---------------------------------------------------------------- */

struct gw_files_conf {
    struct gw_env *env;
    struct gw_logger logger;
    bool append, rotate, make_directories;
    unsigned directory_mode, max_open;
    struct gw_file_rotation rotation;
};

struct gw_files;

/** Owner: gives; conf is copied. Errors: NULL. */
struct gw_files *gw_files_new(const struct gw_files_conf *conf);
void gw_files_free(struct gw_files *fs);
/** Open (and, the first time in this run and without append, empty) a file. Errors: negative errno, err names it. */
int gw_files_open(struct gw_files *fs, const char *path, struct gw_err *err);
/** All of the message or nothing: what was written of a message that failed is cut off again. */
int gw_files_write(struct gw_files *fs, const char *path, struct gw_slice message, struct gw_err *err);

/* ---- group.c: which resources go to which file ------------------------------------------------------------ */

/** One ResourceSpans, ResourceMetrics or ResourceLogs with its tag, and the value of its attribute. */
struct gw_file_piece {
    struct gw_slice segment; /* p == NULL: it has none */
    struct gw_slice bytes;
    size_t index;
};

struct gw_file_pieces {
    struct gw_file_piece *p;
    size_t n, cap;
};

/** The request's resources, sorted so that equal segments stand together. Errors: -ENOMEM, -EBADMSG. */
int gw_file_group(struct gw_slice request, struct gw_slice attribute, struct gw_file_pieces *ret);
/**
 * Append a segment that came with the data to a path: it may name folders below, but never leave them.
 *
 * Shape     "/" separates folders; "", "." and ".." are no names; letters, digits, space, ._-@+=,:()[]{}~ and UTF-8
 * stay, every other byte becomes %XX. Errors: -ENAMETOOLONG over 200 bytes a name or 8 folders
 */
int gw_file_put_segment(struct gw_buf *path, struct gw_slice segment);

#endif
