/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of `staunch dlq`: what its files share. */
#ifndef GW_RUNTIME_CLI_DLQ_H
#define GW_RUNTIME_CLI_DLQ_H

#include "log/files.h"
#include "runtime/cli_impl.h"
#include "runtime/dlq.h"

enum { GW_CLI_DLQ_PATH_BYTES = 4096 };

struct gw_cli_dlq {
    struct gw_cli *c;
    struct gw_dlq_filter filter;
    const char *directory, *by, *to, *output, *rate, *max_attempts; /* "" = not given */
    bool dry_run, everything;
    struct gw_log *log; /* read only; NULL until it is needed */
    struct gw_log_files_conf conf;
    char path[GW_CLI_DLQ_PATH_BYTES];
    struct gw_buf out;
    struct gw_dlq_stats *stats;
    struct gw_file *file; /* that is exported to */
};

/**
 * each() for every letter that fits; the first value that is not 0 ends it, a negative one as a failure that it told.
 * flush_out, when so much waits in d->out; or NULL. Returns an exit code.
 */
int gw_cli_dlq_each(struct gw_cli_dlq *d, int (*each)(struct gw_cli_dlq *d, const struct gw_dlq_letter *l),
                    int (*flush_out)(struct gw_cli_dlq *d));
/** The table of stats. by: OR of GW_DLQ_BY_... */
int gw_cli_dlq_count(struct gw_cli_dlq *d, unsigned by);

/* cli_dlq_move.c */
int gw_cli_dlq_export(struct gw_cli_dlq *d);
int gw_cli_dlq_replay(struct gw_cli_dlq *d);
int gw_cli_dlq_purge(struct gw_cli_dlq *d);
int gw_cli_dlq_recent(struct gw_cli_dlq *d);

#endif
