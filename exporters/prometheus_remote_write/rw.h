/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's inside: bodies of the queue become jobs, a job becomes requests, requests wait in shards.
 *
 *   attempt ─► job ─┬─ request ─► shard 0: [ r r r ] ─► one POST at a time, again until it is settled
 *                   ├─ request ─► shard 1: [ r ]     ─►   "
 *                   └─ …
 *   settled = written, or a dead letter, or given up; when all requests of a job are, its attempt is done
 *
 * A series always falls on the same shard and bodies are translated in the order of the queue, so that its samples
 * arrive in order whatever happens to other shards. Before the server stand a circuit breaker and a limit of requests
 * at once, between 1 and the number of shards. Memory: the queue hands out num_consumers bodies at once.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_RW_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_RW_H

#include "core/limit.h"
#include "exporters/common/http_post.h"
#include "exporters/prometheus_remote_write/body.h"
#include "exporters/prometheus_remote_write/settings.h"
#include "net/loop.h"
#include "otlp-proto/rows.h"

enum {
    GW_RW_MAX_BODY_BYTES = 256 << 20,
    GW_RW_MAX_ANSWER_BYTES = 64 << 10,
    GW_RW_KEPT_REQUESTS = 64,
    GW_RW_KEPT_JOBS = 16,
    GW_RW_REFUSALS = 4,
};

struct gw_rw;
struct gw_rw_hunt;

/** Rows that are dead for one reason. */
struct gw_rw_lost {
    struct gw_rows rows;
    char reason[48], message[320];
};

/** One attempt of the queue. */
struct gw_rw_job {
    struct gw_rw *s;
    struct gw_attempt *a;
    uint32_t n_rows; /* of its body; a->rows shrinks with every dead letter */
    uint32_t open;   /* requests that are not settled */
    uint32_t rejected;
    uint64_t first_ns; /* of the first failure since something was written: max_elapsed_time is for the whole body */
    bool cancelled, all_left;
    struct gw_rows dead, left; /* n_bits == 0: none yet */
    struct gw_rw_lost refusals[GW_RW_REFUSALS];
    unsigned n_refusals;
    char why[32], message[320]; /* of what is left */
    uint64_t retry_after_ns;    /* of that: when the next probe is */
    struct gw_rw_job *next;
};

/** One request. Its body stays packed until the server refuses it. */
struct gw_rw_send {
    struct gw_rw_send *next; /* in its shard, or among the kept */
    struct gw_rw_job *job;
    unsigned shard;
    enum gw_rw_version version;
    struct gw_buf packed;
    uint32_t *rows; /* none: target_info alone */
    uint32_t n_rows, cap_rows;
    uint32_t n_samples, n_histograms, n_exemplars;
    struct gw_tries tries;
    unsigned strikes; /* equal answers of 500 that are about a sample */
    uint64_t struck;  /* hash of that sentence */
    struct gw_rw_hunt *hunt;
};

struct gw_rw_shard {
    struct gw_rw *s;
    struct gw_rw_send *first, **last;
    struct gw_post *post;  /* of first, while it is under way */
    struct gw_timer timer; /* pause before first is tried again */
    struct gw_breaker_pass pass;
    uint64_t begin_ns; /* of post */
};

struct gw_rw_metrics {
    struct gw_metric *failed_translations, *translated, *sent_batches, *consumers, *written_samples,
        *written_histograms, *written_exemplars, *unwritten, *refused;
    struct gw_metric *answered, *failed, *limit, *in_flight;
};

struct gw_rw {
    const struct gw_rw_conf *conf;
    const struct gw_ctx *ctx;
    struct gw_loop *loop;
    struct gw_poster poster;
    struct gw_rw_options options;
    struct gw_rw_translator *translator;
    enum gw_rw_version speaks; /* what the server understands, as far as is known */
    size_t limit_bytes;        /* of a request, before compression */
    double halvings;           /* that hunts may still do, at halvings_ns */
    uint64_t halvings_ns;
    struct gw_rw_metrics metrics;
    struct gw_batch *batch; /* kept for the next body */
    struct gw_arena arena;
    struct gw_buf scratch; /* a request while it is packed */
    struct gw_rw_shard *shards;
    unsigned n_shards;
    struct gw_breaker breaker;
    struct gw_limit limit; /* of posts */
    uint32_t n_posts;
    bool held; /* a shard that could send was not let through */
    char endpoint[GW_MAX_ENDPOINT_LABEL];
    struct gw_rw_send *kept_sends;
    struct gw_rw_job *kept_jobs;
    unsigned n_kept_sends, n_kept_jobs;
};

/* ---- jobs.c ----------------------------------------------------------------------------------------------------- */

/** Translate an attempt and queue its requests; it may be done before this returns. */
void gw_rw_job_start(struct gw_rw *s, struct gw_attempt *a);
/** A request of the job is settled: when it was the last, the attempt is done. */
void gw_rw_job_settle(struct gw_rw_job *j);
/** The rows of a request are given up, as far as they are not dead. */
void gw_rw_job_leave(struct gw_rw_job *j, const uint32_t *rows, uint32_t n, const char *why, const char *message);
/** Write a dead letter of rows; those that are dead already are left out. */
struct gw_rw_verdict { /* of the server, about rows */
    const char *class_, *reason, *message;
    int code;
};
void gw_rw_job_bury(struct gw_rw_job *j, const uint32_t *rows, uint32_t n, const struct gw_rw_verdict *why);
struct gw_rw_send *gw_rw_send_new(struct gw_rw *s);
void gw_rw_send_put(struct gw_rw *s, struct gw_rw_send *rq);
/** Frees what is kept for the next body. */
void gw_rw_jobs_clear(struct gw_rw *s);

/* ---- shards.c --------------------------------------------------------------------------------------------------- */

int gw_rw_shards_open(struct gw_rw *s, struct gw_err *err);
void gw_rw_shards_close(struct gw_rw *s);
void gw_rw_shard_append(struct gw_rw *s, struct gw_rw_send *rq);
/** Send the first request of each shard that is neither sending nor waiting. */
void gw_rw_shards_pump(struct gw_rw *s);
/** Nothing of this job is sent any more. */
void gw_rw_shards_cancel(struct gw_rw *s, struct gw_rw_job *j);
void gw_rw_shards_hurry(struct gw_rw *s, uint64_t pause_ns);

/* ---- hunt.c ----------------------------------------------------------------------------------------------------- */

/** One answer that refuses a request, or a piece of it. */
struct gw_rw_refused {
    struct gw_rw_verdict verdict;
    struct gw_slice sentence; /* may name series */
    uint64_t written;         /* samples and histograms that the server says it has taken nevertheless */
    bool too_large;           /* only smaller requests help */
    bool whole;               /* nothing of it will ever be wanted */
};

/**
 * The server wants this request, or the piece that was sent last, not as it is. What it names is taken out; where it
 * names nothing, halves are tried until the culprits stand alone.
 *
 * Shape     true: rq->packed holds what to send next. false: nothing is left of it
 */
bool gw_rw_hunt_refused(struct gw_rw_send *rq, const struct gw_rw_refused *why);
/** The piece that was sent last is written. True: rq->packed holds the next one. */
bool gw_rw_hunt_written(struct gw_rw_send *rq);
/** The piece under way, and all behind it, are given up. */
void gw_rw_hunt_leave(struct gw_rw_send *rq, const char *why, const char *message);
/** Samples and histograms of the piece under way. */
uint64_t gw_rw_hunt_points(const struct gw_rw_send *rq);
/** Dead letters of what was refused; ends the hunt. Takes a request without one. */
void gw_rw_hunt_end(struct gw_rw_send *rq);
/** Write the packed body of a request, or of its piece under way, anew as 1.0. Errors: -EBADMSG, -ENOMEM. */
int gw_rw_fall_back(struct gw_rw_send *rq);

#endif
