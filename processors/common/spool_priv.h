/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the spool: spool.c writes, spool_read.c checks and reads. */
#ifndef GW_PROCESSORS_COMMON_SPOOL_PRIV_H
#define GW_PROCESSORS_COMMON_SPOOL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/storage.h"
#include "processors/common/spool.h"

#define FORMAT "staunch spool 1"

enum { FRAME_HEAD = 'h', FRAME_PART = 'p', FRAME_END = 'e' }; /* of owners: capitals */
enum { MAX_NAME_BYTES = 200 };

struct gw_frame_head {
    uint32_t n_bytes, type, body_crc;
    uint32_t head_crc; /* of the three above */
};

/** One that was found. It has no name any more; or the one under which it was set aside. */
struct gw_spool_file {
    char *name;
    struct gw_file *file; /* NULL: it is not taken up */
    uint64_t n_bytes;
    uint32_t worker, n_workers; /* 0: its head cannot be read */
    bool is_kind;               /* its notes can be understood */
    uint64_t n_wanted, n_spans; /* spans by its head; in whole frames */
};

struct gw_spool {
    struct gw_env *env;
    struct gw_logger logger;
    struct gw_storage storage; /* its texts may be gone */
    const char *kind;
    char directory[GW_SPOOL_PATH];
    char folder[GW_SPOOL_PATH - MAX_NAME_BYTES];
    struct gw_metric *written, *taken_up, *lost, *damaged;
    _Atomic unsigned n_files_made;
    pthread_mutex_t lock; /* what follows, while it is claimed; then it stands still until all workers have read */
    bool is_claimed;
    struct gw_spool_file *files;
    unsigned n_files, cap_files, n_read; /* workers that have */
};

void gw_spool_close_files(struct gw_spool *s);

#endif
