/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `staunch replay`: a range of a journal again, into a pipeline (runtime/inject.h), as fast as its rows came in once,
 * so many times faster, or as fast as they go. In the running gateway, or in one that runs for this alone.
 *
 *   journal ─► frames of the range, of the pipeline's signal ─► one request of a partition at a time ─► pipeline
 *
 * Order    of a partition, also when the pipeline refuses: it is tried again, and what follows waits
 *          with a policy the range is read twice, and the spans of wanted traces go
 * Memory   at most 64 requests of GW_REPLAY_REQUEST_BYTES (one frame may be more)
 * Positions of the journal's own pipelines are not touched.
 */
#ifndef GW_RUNTIME_REPLAY_H
#define GW_RUNTIME_REPLAY_H

#include "log/log.h"
#include "pipeline/service.h"
#include "runtime/engine.h"

enum { GW_REPLAY_REQUEST_BYTES = 256 << 10, GW_REPLAY_MAX_TRACES = 10000000 };

struct gw_replay;

/** A place in a journal: nothing (its begin or end), a position, or a time. */
struct gw_replay_point {
    enum { GW_REPLAY_EDGE, GW_REPLAY_POSITION, GW_REPLAY_TIME } kind;
    uint64_t at;
};
/**
 * 1234 is a position; -2h, 2026-01-02, 2026-01-02T03:04:05Z and @1767323045 (seconds since 1970) are times; "" is the
 * edge. Errors: -EINVAL.
 */
int gw_replay_parse_point(const char *text, uint64_t now_ns, struct gw_replay_point *ret);
/** "max" gives 0; else a number above 0. Errors: -EINVAL. */
int gw_replay_parse_speed(const char *text, double *ret);

struct gw_replay_range {
    struct gw_replay_point from, to; /* `to` is not included */
};

struct gw_replay_conf { /* texts are copied */
    const char *journal, *into;
    struct gw_replay_range range;
    double speed; /* 1 = as the rows came in; 0 = as fast as it goes */
    /** A condition on spans: only traces go in which it is true of one (replay_policy.h); "" or NULL: all. */
    const char *policy;
    uint64_t max_traces; /* that may be wanted; 0 = GW_REPLAY_MAX_TRACES */
    struct gw_engine *engine;
    struct gw_env *env;
    struct gw_loop *loop; /* all of it runs there */
    void (*say)(void *arg, int fd, const char *line);
    /** Once, at the end; then it is gone. */
    void (*ended)(void *arg, int exit_code);
    void *arg;
};

/** Errors: -ENOENT no such journal or pipeline (err names those there are), -EINVAL the policy, -ENOMEM, of the log. */
int gw_replay_start(const struct gw_replay_conf *conf, struct gw_replay **ret, struct gw_err *err);
/** Nothing more goes in; neither say nor ended follow. */
void gw_replay_cancel(struct gw_replay *r);

/** Which component a journal's id names. Errors: -ENOENT, err names the journals there are. */
int gw_replay_journal(const struct gw_service *s, const char *id, const struct gw_service_component **ret,
                      struct gw_err *err);
/** The name of its log; lives as long as c. */
const char *gw_replay_log_name(const struct gw_service_component *c);
/** What is in the range, one line a signal: appended. Blocks on the disk. */
int gw_replay_count(struct gw_log *log, const struct gw_replay_range *range, struct gw_buf *out);

#endif
