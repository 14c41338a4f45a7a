/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of groupbytrace:
 *
 *   view ─► store ─► time is over, or no room ─► body ─► port 0
 *     └─ has no trace id, or its trace has left in this step of a journal ───► port 0
 *
 * A trace for which there is no memory when it is to leave stays in the store, and what stands in body stays there;
 * both are tried again with each tick. Else body is empty between two calls from outside.
 *
 * Threads   one: an instance has the traces of one worker
 */
#ifndef GW_GROUPBYTRACE_GROUP_H
#define GW_GROUPBYTRACE_GROUP_H

#include "pipeline/ports.h"
#include "processors/common/kept.h"
#include "processors/common/spooler.h"

struct gw_group_conf {
    uint64_t wait_duration_ns, num_traces, num_workers, max_bytes;
    bool discard_orphans, store_on_disk;
    int compress;
    const char *storage;
};

/** In each trace. */
struct gw_group_facts {
    const char *receiver; /* of its first span */
    bool has_root;
};

struct gw_group {
    struct gw_ctx ctx;
    const struct gw_group_conf *conf;
    struct gw_traces *traces; /* NULL: nothing has come yet, or since drain() */
    struct gw_batch_pool *pool;
    struct gw_kept *kept; /* behind a journal; else NULL */
    struct gw_spooler spooler;
    struct gw_buf body; /* released traces that have not left yet */
    uint32_t n_body_spans, n_batches /* since the turn began */;
    uint64_t oldest_ns; /* of the body */
    const char *receiver;
    uint64_t n_told, held_told; /* our part of gauges that all workers share */
    struct gw_metric *spans_released, *traces_released, *evicted, *in_memory, *held;
};

static inline struct gw_group_facts *gw_group_facts(struct gw_trace *t)
{
    return (struct gw_group_facts *)(void *)t->facts;
}

/** What time it is for traces: monotonic, or of the log. */
static inline uint64_t gw_group_now_ns(const struct gw_group *s)
{
    return s->kept ? s->kept->now_ns : gw_mono_ns(s->ctx.env);
}

/* groupbytrace.c */
/** NULL: no memory. */
struct gw_traces *gw_group_open_store(struct gw_group *s);
void gw_group_tell(struct gw_group *s);
/** Of this worker. */
uint64_t gw_group_max_traces(const struct gw_group *s);
uint64_t gw_group_max_bytes(const struct gw_group *s);

/* take.c */
void gw_group_consume(void *self, struct gw_view *v, struct gw_ports *out);

/* leave.c */
void gw_group_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason);
/** is_over: it has waited as long as it should. False: no memory, it stays. */
bool gw_group_release(struct gw_group *s, struct gw_trace *t, bool is_over, struct gw_ports *out);
/** For the sake of room. */
bool gw_group_evict(struct gw_group *s, struct gw_trace *t, struct gw_ports *out);
/** What was released goes on. False: no memory, it stays in body. */
bool gw_group_flush(struct gw_group *s, struct gw_ports *out);
/** A turn's share of those that are due. GW_MORE: there are others. */
int gw_group_release_due(struct gw_group *s, uint64_t now_ns, struct gw_ports *out);
/** A turn's share of all. True: there are others, or no memory. */
bool gw_group_release_all(struct gw_group *s, struct gw_ports *out);

/* survive.c */
extern const struct gw_spooler_ops gw_group_spooler;
extern const struct gw_keep_ops gw_group_keep;
int gw_group_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_group_take_up(struct gw_group *s, struct gw_ports *out);
/** What waits goes to disk, if the gateway leaves. */
bool gw_group_spool(struct gw_group *s);
/** It goes with what it has: the gateway could not wait for it. */
void gw_group_spool_rest(struct gw_group *s);

#endif
