/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of `staunch dlq replay | purge` in the running gateway: a walk over the store's letters, some at a time, on
 * the main thread's loop, whose outcome is settled in the store's log.
 *
 *   step() ─► looks at letters, gw_dlq_op_add for those that are done with ─► gw_dlq_op_commit ─► step() …
 *
 * One walk at a time. A client that leaves ends it; what was done until then is settled all the same.
 */
#ifndef GW_RUNTIME_CONTROL_DLQ_H
#define GW_RUNTIME_CONTROL_DLQ_H

#include "log/log.h"
#include "runtime/control.h"
#include "runtime/dlq.h"

enum { GW_DLQ_OP_BATCH = 256 };

struct gw_dlq_op {
    struct gw_control_call *call; /* NULL: the client has left */
    struct gw_loop *loop;
    struct gw_log *log;
    struct gw_arena arena; /* texts of the request's settings */
    struct gw_dlq_filter filter;
    struct gw_dlq_cursor *cursor; /* NULL: no more reading */
    struct gw_timer timer;
    struct gw_hook hook;
    struct gw_inbox done;
    _Atomic unsigned refs; /* the loop's, and the writer's while it commits */
    struct gw_log_commit commit;
    struct gw_log_settle settles[GW_DLQ_OP_BATCH];
    uint32_t consumer;
    bool committing;
    int rc; /* of the last commit */
    /** Go on; called from the loop, never inside of another call. */
    void (*step)(struct gw_dlq_op *op);
    void (*clear)(struct gw_dlq_op *op); /* what is the walk's own; or NULL */
};

/**
 * Begin: op is zeroed memory whose step and clear are set; owned by the walk from now on. args: the filter's members,
 * and those of `more`, which may be NULL. False: the call was ended with a sentence, and op was freed.
 */
bool gw_dlq_op_begin(struct gw_dlq_op *op, struct gw_control_call *call, const struct gw_node *args,
                     const struct gw_settings *more);
/** step() in a moment. */
void gw_dlq_op_again(struct gw_dlq_op *op, uint64_t after_ns);
/** The letter needs nobody any more. Room for GW_DLQ_OP_BATCH between two commits. */
void gw_dlq_op_add(struct gw_dlq_op *op, uint64_t seq, uint8_t outcome);
/** What was added is settled; step() follows with op->rc. */
void gw_dlq_op_commit(struct gw_dlq_op *op);
/** The last word. op is gone. */
void gw_dlq_op_end(struct gw_dlq_op *op, int exit_code);

#endif
