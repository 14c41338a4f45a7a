/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling is the only verdict. A component that takes rows out of a view says what became of them, in the same
 * breath; the counts go to the tickets of their requests and to the meter. Nothing leaves without a reason.
 */
#ifndef GW_BATCH_SETTLE_H
#define GW_BATCH_SETTLE_H

#include "batch/view.h"

/** Called for every settle of a view, before the tickets: the runtime's ledger. May be NULL. */
struct gw_ledger {
    void (*settled)(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason);
    /** Then, with one of these rows, whose bytes are there during the call. May be NULL. */
    void (*sample)(struct gw_ledger *l, const struct gw_view *v, uint32_t row, enum gw_outcome outcome,
                   const char *reason);
};

/** One row: removed from the view and settled. reason is a short name ("time_range"); message may be NULL. */
void gw_view_settle_row(struct gw_view *v, struct gw_ledger *l, uint32_t row, enum gw_outcome outcome,
                        const char *reason, const char *message);
/** All rows set in `rows` (bitmap over the batch's rows) that are still in the view. */
void gw_view_settle_rows(struct gw_view *v, struct gw_ledger *l, const uint64_t *rows, enum gw_outcome outcome,
                         const char *reason, const char *message);
/** Every row that is left; the view is empty afterwards. */
void gw_view_settle_all(struct gw_view *v, struct gw_ledger *l, enum gw_outcome outcome, const char *reason,
                        const char *message);

/**
 * The tickets of a view's kept rows with their row counts: what a queue keeps of it.
 *
 * Owner     gives a reference of each ticket written; n_ret is at most batch->n_segments
 */
struct gw_receipt {
    struct gw_ticket *ticket;
    uint32_t rows;
};
uint32_t gw_view_receipts(const struct gw_view *v, struct gw_receipt *ret);

#endif
