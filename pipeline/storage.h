/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storages: extensions that give logs a place on a disk, by the id in `sending_queue: { storage: file_storage/x }`,
 * `storage:` of a journal or of the dead letter store. Who needs a log asks the host (pipeline/host.h).
 *
 *   directory/              0700, locked by the extension for this process
 *     queue/traces%2Feu/    one log: kind, then name; what a file name cannot hold is written %XX
 *     journal/orders/
 *     dead_letters/
 */
#ifndef GW_PIPELINE_STORAGE_H
#define GW_PIPELINE_STORAGE_H

#include "core/slice.h"
#include "core/status.h"

/** How a storage wants its logs. Texts live as long as the extension. */
struct gw_storage {
    const char *directory;
    bool sync;                 /* commits count when they would survive a power cut */
    uint64_t max_bytes;        /* of each log; 0 = no limit of its own */
    uint64_t segment_bytes;    /* 0 = the log's default */
    uint64_t reserve_bytes;    /* of the disk that appends leave free; 0 = the log's default */
    uint64_t sync_interval_ns; /* 0 = the log's default */
    bool direct_io;            /* past the page cache */
};

struct gw_storage_ops {
    /** After start(): the folder is there, locked, and holds nothing of somebody else's. Threads: any. */
    void (*get)(void *self, struct gw_storage *ret);
    /** As get's `sync`, of settings that nothing is made from yet. */
    bool (*syncs)(const void *conf);
};

#endif
