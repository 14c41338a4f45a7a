/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log in segment files of one folder (docs/formats/log.md). One process at a time; recovery needs nobody and loses
 * at most the damaged frame.
 */
#ifndef GW_LOG_FILES_H
#define GW_LOG_FILES_H

#include "core/logger.h"
#include "log/log.h"

/** What limits must leave because a consumer has not passed it. A name that begins with '#' is a note's and reads
 * nothing. */
enum gw_log_keep {
    GW_LOG_KEEP_NONE, /* nothing: it goes, and is counted as dropped */
    GW_LOG_KEEP_ALL,  /* of every consumer that the log knows; beyond max_bytes appends fail with -EDQUOT instead */
    GW_LOG_KEEP_OPEN, /* of those that were opened since the start */
};

/** When whole segments go. What consumers still need goes only when a limit says so, and is counted as dropped. */
struct gw_log_retention {
    bool until_settled;  /* as soon as every consumer has passed (queues); without it only the limits below */
    uint64_t max_bytes;  /* the oldest go when there is more; 0 = no limit */
    uint64_t max_age_ns; /* by the time of their newest frame; 0 = no limit */
    enum gw_log_keep keep;
};

struct gw_log_files_conf { /* borrowed until the log is closed */
    struct gw_env *env;
    const char *dir; /* made when it is not there, 0700; files are 0600 */
    struct gw_logger logger;
    uint64_t segment_bytes;    /* 0 = 64 MiB; preallocated */
    uint64_t max_bytes;        /* appends beyond fail with -EDQUOT; 0 = as much as the disk has. Settling never fails */
    uint64_t reserve_bytes;    /* of the disk, that appends leave free (-ENOSPC): 0 = two segments */
    uint64_t stage_bytes;      /* 0: through the page cache; else past it, so many bytes at a time at most (stage.c) */
    uint64_t sync_interval_ns; /* commits without `sync` are synced within that time; 0 = 100 ms */
    struct gw_log_retention retention;
    bool read_only;          /* look at a log, also at one that another process writes: no lock, no repair, no write */
    void (*wake)(void *arg); /* something was submitted to an idle writer. Threads: any */
    void *arg;
};

/**
 * Open, and recover what a crash left.
 *
 * Errors    -EWOULDBLOCK another process has it; -EEXIST the folder holds something else (a Collector's queue), which
 *           stays as it is; -ENOENT (read_only); of the disk. err is a sentence
 * Cost      one segment is read, the others' heads: 10 GiB in well under two seconds
 */
int gw_log_files_open(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err);

#endif
