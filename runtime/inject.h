/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests put into a pipeline of a running engine from outside: what was kept is sent again (`staunch replay`,
 * `staunch dlq replay`). They pass its processors and exporters as if a receiver of that one pipeline had taken them.
 *
 *   any thread      put ──► bounded in flight ──► a worker ──► admit, submit, …        the door's rules hold:
 *   loop or worker  done ◄───────── one verdict for each ◄──────────┘                  credit, room in the queues
 *
 * Receiver "replay" in the metrics and in dead letters.
 */
#ifndef GW_RUNTIME_INJECT_H
#define GW_RUNTIME_INJECT_H

#include "pipeline/intake.h"
#include "runtime/engine.h"

struct gw_inject;
struct gw_loop;

/** One request. The caller's, with all it points to, and not to be touched from put to done. */
struct gw_injection {
    struct gw_inbox_item item;
    struct gw_slice body; /* OTLP protobuf of the pipeline's signal */
    struct gw_meta *meta; /* tenant, peer and so on; borrowed; or NULL */
    uint64_t key;         /* equal keys go to one worker, and reach its chain in the order of put */
    /**
     * Exactly once; may free the injection and put others. grpc_status 0: taken, at the level of the pipeline
     * (rejected > 0: but for so many rows). 14: nothing was taken, come again after retry_after_ns. Others: never.
     */
    void (*done)(struct gw_injection *i, const struct gw_verdict *v);

    /* the engine's */
    struct gw_inject *in;
    struct gw_verdict verdict;
    char message[GW_MESSAGE_BYTES];
};

struct gw_inject_conf {
    const char *pipeline;  /* id: "traces/eu" */
    uint64_t max_bytes;    /* of bodies in flight; 0 = 8 MiB. A larger one passes alone */
    unsigned max_requests; /* in flight; 0 = 256 */
    struct gw_loop *loop;  /* where done is called; NULL: on the worker's thread, which it must not block */
};

/**
 * Owner     gives *ret. With a loop: on its thread, and so is gw_inject_close
 * Errors    -ENOENT no such pipeline, err names those there are; -ENOMEM
 */
int gw_inject_open(struct gw_engine *e, const struct gw_inject_conf *conf, struct gw_inject **ret, struct gw_err *err);
enum gw_signal gw_inject_signal(const struct gw_inject *in);
/**
 * Threads: any; never blocks.
 *
 * Errors    -EAGAIN in flight there is as much as may be: wait for some done; -ESHUTDOWN the engine does not run, or
 *           leaves. done does not follow then
 */
int gw_inject_put(struct gw_inject *in, struct gw_injection *i);
unsigned gw_inject_in_flight(const struct gw_inject *in);
/**
 * No more puts; done still comes for what is in flight, also (refused, 14) when the engine stops first. Before
 * gw_engine_free. With a loop: what came back and waited for its turn is done here.
 */
void gw_inject_close(struct gw_inject *in);

#endif
