/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory behind gw_env, whose calls can be made to fail. One at a time. */
#ifndef GW_TESTS_HARNESS_DISK_H
#define GW_TESTS_HARNESS_DISK_H

#include "core/buf.h"
#include "core/env.h"

enum { GW_DISK_FILES = 64, GW_DISK_PATH = 300 };

struct gw_disk_file {
    char path[GW_DISK_PATH];
    struct gw_buf bytes;
    unsigned mode;
    uint64_t changed_ns;
};

struct gw_disk {
    struct gw_env *env; /* whose clock stamps the files */
    struct gw_disk_file *files[GW_DISK_FILES];
    char folders[GW_DISK_FILES][GW_DISK_PATH]; /* made by dir_make, with their modes */
    unsigned folder_modes[GW_DISK_FILES];
    unsigned n_folders, n_open, max_open, n_opened;
    bool needs_folders; /* a file in a folder that was not made cannot be opened */
    int64_t room_bytes; /* writes beyond fail with `full`; negative = no limit */
    int full;           /* -ENOSPC */
    int fail_open, fail_rename;
};

/** Put the disk under env, whose table is written to. */
void gw_disk_init(struct gw_disk *d, struct gw_env *env, struct gw_env_ops *ops);
void gw_disk_clear(struct gw_disk *d);
/** Terminated contents, or NULL when there is no such file. */
const char *gw_disk_text(struct gw_disk *d, const char *path);
struct gw_slice gw_disk_bytes(struct gw_disk *d, const char *path);
/** Make a file, as another program would. */
void gw_disk_put(struct gw_disk *d, const char *path, const char *text);
unsigned gw_disk_count(const struct gw_disk *d);

#endif
