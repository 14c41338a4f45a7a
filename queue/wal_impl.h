/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the wal: wal.c, and stage.c, which commits many views as one. */
#ifndef GW_QUEUE_WAL_IMPL_H
#define GW_QUEUE_WAL_IMPL_H

#include "queue/wal.h"

#include "queue/account.h"
#include "queue/edge_impl.h"

/** One view on its way to the log. */
struct entry {
    struct gw_log_commit commit;             /* first */
    struct entry *next, **prev;              /* of those that are not done */
    uint64_t number;                         /* of the wal's commits */
    uint64_t cut;                            /* the last picture that its sender has taken part in */
    struct gw_account *booked[GW_WAL_EDGES]; /* where its rows are in: of those who were there when it was put */
    unsigned n_booked;
    struct gw_log_frame frame;
    struct gw_wal *wal;
    struct gw_payload *payload;
    struct gw_meta *meta;
    uint64_t charged_bytes, requests;
    struct units {
        struct gw_edge *edge;
        uint64_t n;
    } units[GW_WAL_EDGES]; /* taken of the edges that were there when it was put */
    unsigned n_units;
    struct entry *staged; /* the next one of its stage */
    uint32_t n_receipts;
    struct gw_receipt receipts[];
    /* then the bytes of frame.meta */
};

/* wal.c */
/** Its rows are in somebody's log, or nobody's: handed on, or taken back. Frees it. On the writer's thread. */
void gw_wal_entry_done(struct entry *n, int rc);
/** Its rows were never taken by anybody who would miss them here. Frees it. */
void gw_wal_entry_forget(struct entry *n);
void gw_wal_complain(const struct gw_wal *w, int rc);

/* stage.c */
void gw_wal_stage_add(struct gw_wal_stage *s, struct entry *n);

#endif
