/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control_dlq.h"

#include <stdlib.h>

#include "runtime/cli.h"
#include "runtime/control_commands.h"
#include "runtime/engine.h"

/* Two walks would settle the same letters twice, and replay them twice. Main thread only. */
static bool is_walking;

/* ---- the walk --------------------------------------------------------------------------------------------- */

enum { ARENA_CHUNK = 1024, ARENA_MAX = 1 << 20 };

static void unref(struct gw_dlq_op *op)
{
    if (atomic_fetch_sub(&op->refs, 1) == 1) {
        gw_arena_clear(&op->arena);
        free(op);
    }
}

static void on_timer(struct gw_timer *t)
{
    struct gw_dlq_op *op = (struct gw_dlq_op *)((char *)t - offsetof(struct gw_dlq_op, timer));

    op->step(op);
}

static void on_turn(struct gw_hook *h)
{
    struct gw_dlq_op *op = (struct gw_dlq_op *)((char *)h - offsetof(struct gw_dlq_op, hook));

    if (!gw_inbox_take(&op->done))
        return;
    op->committing = false;
    op->commit.n_settles = 0;
    op->step(op);
}

/* On the log's writer thread. */
static void on_committed(struct gw_log_commit *c, int rc)
{
    struct gw_dlq_op *op = (struct gw_dlq_op *)((char *)c - offsetof(struct gw_dlq_op, commit));

    op->rc = rc;
    (void)gw_inbox_push(&op->done, &c->item);
    gw_loop_wake(op->loop);
    unref(op);
}

static bool refuse(struct gw_dlq_op *op, struct gw_control_call *call, int code, const char *why)
{
    gw_control_say(call, 2, "error: %s", why);
    gw_control_end(call, code);
    if (op->clear)
        op->clear(op);
    unref(op);
    return false;
}

/* The request's settings; mistakes are those of a client that is not our command line. */
static bool fill(struct gw_dlq_op *op, const struct gw_node *args, const struct gw_settings *more)
{
    struct gw_settings tables[2] = {
        {.fields = gw_dlq_filter_fields, .conf_size = sizeof(op->filter), .conf = &op->filter}};
    struct gw_diag diag;
    struct gw_node none = {.type = GW_NODE_NULL};
    int rc;

    if (more)
        tables[1] = *more;
    gw_diag_init(&diag);
    rc = gw_schema_fill_tables(tables, more ? 2 : 1, args ? args : &none, &op->arena, &diag);
    gw_diag_clear(&diag);
    return rc == 0;
}

bool gw_dlq_op_begin(struct gw_dlq_op *op, struct gw_control_call *call, const struct gw_node *args,
                     const struct gw_settings *more)
{
    const struct gw_control_conf *conf = gw_control_conf(call);
    int rc;

    gw_arena_init(&op->arena, ARENA_CHUNK, ARENA_MAX);
    atomic_store(&op->refs, 1);
    if (!fill(op, args, more))
        return refuse(op, call, GW_EXIT_USAGE, "the request is malformed");
    if (is_walking)
        return refuse(op, call, GW_EXIT_BUSY, "another replay or purge is under way");
    op->log = gw_engine_log(conf->engine, "dead_letters", "");
    if (!op->log)
        return refuse(op, call, GW_EXIT_UNAVAILABLE, "this gateway has no dead letter store");
    op->consumer = gw_dlq_consumer(op->log);
    rc = gw_dlq_open(op->log, &op->filter, &op->cursor);
    if (rc < 0)
        return refuse(op, call, GW_EXIT_IO, strerror(-rc));
    op->call = call;
    op->loop = conf->loop;
    op->timer.fire = on_timer;
    op->hook.run = on_turn;
    op->commit.settles = op->settles;
    op->commit.sync = true; /* a letter that is replayed twice after a power cut would be two */
    op->commit.done = on_committed;
    gw_loop_add_hook(op->loop, &op->hook);
    gw_control_set(call, op);
    is_walking = true;
    gw_dlq_op_again(op, 0);
    return true;
}

void gw_dlq_op_again(struct gw_dlq_op *op, uint64_t after_ns)
{
    gw_timer_arm(op->loop, &op->timer, gw_loop_now_ns(op->loop) + after_ns);
}

void gw_dlq_op_add(struct gw_dlq_op *op, uint64_t seq, uint8_t outcome)
{
    op->settles[op->commit.n_settles++] =
        (struct gw_log_settle){.consumer = op->consumer, .outcome = outcome, .seq = seq, .last_seq = seq};
}

void gw_dlq_op_commit(struct gw_dlq_op *op)
{
    gw_timer_disarm(&op->timer);
    op->committing = true;
    (void)atomic_fetch_add(&op->refs, 1);
    gw_log_submit(op->log, &op->commit);
}

void gw_dlq_op_end(struct gw_dlq_op *op, int exit_code)
{
    struct gw_control_call *call = op->call;

    gw_timer_disarm(&op->timer);
    gw_loop_remove_hook(op->loop, &op->hook);
    gw_dlq_close(op->cursor);
    op->cursor = NULL;
    is_walking = false;
    if (op->clear)
        op->clear(op);
    unref(op);
    if (call)
        gw_control_end(call, exit_code);
}

/* ---- purge ------------------------------------------------------------------------------------------------ */

struct purge {
    struct gw_dlq_op op; /* first */
    uint64_t n;
};

static void purge_step(struct gw_dlq_op *op)
{
    struct purge *p = (struct purge *)op;
    struct gw_dlq_letter l;
    int rc = 0;

    if (op->rc < 0 || !op->call) {
        if (op->call)
            gw_control_say(op->call, 2, "error: the store: %s", strerror(-op->rc));
        gw_dlq_op_end(op, GW_EXIT_IO);
        return;
    }
    while (op->commit.n_settles < GW_DLQ_OP_BATCH && (rc = gw_dlq_next(op->cursor, &l)) == 1) {
        gw_dlq_op_add(op, l.seq, GW_DLQ_PURGED);
        p->n++;
    }
    if (op->commit.n_settles) {
        gw_dlq_op_commit(op);
    } else if (rc == 2) {
        gw_dlq_op_again(op, 0);
    } else {
        if (rc < 0)
            gw_control_say(op->call, 2, "error: the store: %s", strerror(-rc));
        gw_control_say(op->call, 1, "purged %llu letters", (unsigned long long)p->n);
        gw_dlq_op_end(op, rc < 0 ? GW_EXIT_IO : 0);
    }
}

static void purge_start(struct gw_control_call *call, const struct gw_node *args)
{
    struct purge *p = calloc(1, sizeof(*p));

    if (!p) {
        gw_control_say(call, 2, "error: out of memory");
        gw_control_end(call, GW_EXIT_INTERNAL);
        return;
    }
    p->op.step = purge_step;
    (void)gw_dlq_op_begin(&p->op, call, args, NULL);
}

/* Nothing is read any more; a commit that is under way ends it. */
static void purge_cancel(struct gw_control_call *call)
{
    struct gw_dlq_op *op = gw_control_state(call);

    op->call = NULL;
    if (!op->committing)
        gw_dlq_op_end(op, 0);
    else {
        gw_dlq_close(op->cursor);
        op->cursor = NULL;
    }
}

const struct gw_control_command gw_control_dlq_purge = {
    .name = "dlq-purge", .start = purge_start, .cancel = purge_cancel};
