/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the elasticsearch exporter share: an attempt (job), its documents, and the requests they go in.
 *
 *   body ─► rows ─► lines of documents ─► one _bulk request after the other
 *                        ▲                     │
 *                        │                     ├─ 2xx, or there already        delivered
 *      with a field changed, once              ├─ 429, 5xx                     its lines again, after a pause
 *                        └─────────────────────┼─ a mapping's refusal
 *                                              └─ for good                     its rows: dead letters
 *
 * One request of an attempt is under way at a time, so that num_consumers is the number of requests at once, as in the
 * Collector; and while a server is too busy for one request of an attempt, the next ones wait.
 *
 * Lines are kept until the attempt is done, and only lines are sent again. Rows come back into play at its end, where
 * what was refused (dead letters) or given up (left) is cut out of the body: rare, and paid for only then.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_BULK_H
#define GW_EXPORTERS_ELASTICSEARCH_BULK_H

#include "core/limit.h"
#include "exporters/common/http_post.h"
#include "exporters/elasticsearch/answer.h"
#include "exporters/elasticsearch/meters.h"
#include "exporters/elasticsearch/nodes.h"
#include "net/loop.h"
#include "otlp-proto/rows.h"

enum {
    GW_ES_REFUSALS = 16,   /* kinds of refusals of one attempt that have dead letters of their own */
    GW_ES_RANGES = 48,     /* halves of halves: 2^32 documents, and room */
    GW_ES_BISECTIONS = 40, /* requests spent on finding the document that makes a server refuse them all */
    GW_ES_MAX_ANSWER = 32 << 20,
    GW_ES_MAX_LINES = 128 << 20, /* documents of one attempt; beyond it, rows are written in several portions */
};

enum gw_es_fate {
    GW_ES_PENDING,
    GW_ES_DELIVERED,
    GW_ES_DEAD,
    GW_ES_LEFT,
    GW_ES_FATE = 3,     /* mask */
    GW_ES_REMEDIED = 4, /* flag: it was changed once already */
};

/** Documents that go out together: order[lo, hi). */
struct gw_es_range {
    uint32_t lo, hi;
    unsigned nodes_tried; /* since the last pause */
    struct gw_tries tries;
};

/** Rows that were refused for one reason. */
struct gw_es_refusal {
    const char *class_;
    char reason[64], message[720];
    int code;
    struct gw_rows rows;
};

/** An attempt under way. Kept for the next one. */
struct gw_es_job {
    struct gw_es *s;
    struct gw_attempt *a;
    struct gw_es_job *next, **link; /* in s->jobs, or s->free */
    bool waits_for_probe, stopped;  /* stopped: nothing more is sent */
    bool waits_for_turn;            /* as many requests as the servers bear are under way */
    bool rests;                     /* too busy for one at a time: its pause is everyone's */
    bool was_busy;                  /* the answer: 429, or 429 for documents */
    struct gw_timer timer;          /* end of a pause */

    uint64_t number;     /* of s->n_attempts */
    bool is_read;        /* n_rows is known */
    uint32_t n_rows, to; /* of the body; rows before `to` were written as lines, the last portion is here */
    struct gw_buf lines;
    struct gw_es_docs docs;
    uint8_t *fates;           /* per document: enum gw_es_fate */
    uint32_t *order;          /* documents; those of a range that are sent again move to its front */
    uint32_t cap_docs, n_cut; /* order[0, n_cut) went into ranges */
    struct gw_es_range ranges[GW_ES_RANGES];
    unsigned n_ranges, bisections;
    struct gw_tries carried; /* of a request that was given up: the next one does not begin anew */

    struct gw_post *post; /* the request under way */
    struct gw_es_node *node;
    struct gw_breaker_pass pass;
    uint64_t begin_ns;

    struct gw_rows dead, left;
    struct gw_es_refusal refusals[GW_ES_REFUSALS];
    unsigned n_refusals;
    char reason[64], message[720]; /* why rows are left */
    uint64_t retry_after_ns;       /* of that: when the next probe is */
};

struct gw_es {
    const struct gw_es_conf *conf;
    const struct gw_ctx *ctx;
    struct gw_loop *loop;
    struct gw_poster poster;
    struct gw_es_nodes nodes;
    struct gw_es_meters meters;
    struct gw_limit limit; /* of requests under way */
    uint32_t n_under_way, n_resting;
    struct gw_metric *limit_metric, *under_way_metric;
    struct gw_es_statuses on_status, on_document_status;
    size_t request_bytes; /* as the settings say, or less when a server found that too large */

    struct gw_es_options options;
    uint64_t gateway, n_attempts; /* name an attempt: a random number, and a count */
    struct gw_es_writer *writer;
    struct gw_batch *batch; /* decoded rows, only while they are written */
    struct gw_arena arena;

    struct gw_es_job *jobs, *free;
    unsigned n_free;
    size_t kept_bytes;          /* lines of those in `free` */
    struct gw_timer stop_timer; /* jobs that were stopped end on it, not inside of the call that stopped them */

    struct gw_post *probe;
    struct gw_es_node *probe_node;
    struct gw_breaker_pass probe_pass;
    unsigned probe_tries;    /* servers that did not answer in this round */
    bool probed;             /* one has answered */
    uint64_t probe_again_ns; /* 0: the server is known */
    uint64_t failed_doc_logged_ns;
};

/* ---- job.c: an attempt's life -------------------------------------------------------------------------------- */

void gw_es_job_start(struct gw_es *s, struct gw_attempt *a);
/** Write, cut, send: whatever comes next. */
void gw_es_job_next(struct gw_es_job *j);
/** The server has answered; or none did, `why`, and the queue says when to ask again. */
void gw_es_jobs_release(struct gw_es *s, const struct gw_sent_info *why);
/** Nothing more of it is sent; it ends soon, with what is left. */
void gw_es_job_stop(struct gw_es_job *j);
void gw_es_on_stop_timer(struct gw_timer *t);
void gw_es_jobs_free(struct gw_es *s);
/** Send the last range again after a pause, or give its documents up: the queue decides. */
void gw_es_job_again(struct gw_es_job *j, const struct gw_sent_info *info);
/** As many requests as may be under way are. */
static inline bool gw_es_is_full(const struct gw_es *s)
{
    return s->n_under_way + s->n_resting >= gw_limit_get(&s->limit);
}
/** A request has ended, or the limit is another one: those that have waited longest for their turn go on. */
void gw_es_jobs_turn(struct gw_es *s);
void gw_es_range_push(struct gw_es_job *j, uint32_t lo, uint32_t hi, const struct gw_tries *tries);

/* ---- rows.c: what became of rows ----------------------------------------------------------------------------- */

/** A row that will never be there: the first reason counts. */
void gw_es_bury_row(struct gw_es_job *j, uint32_t row, const struct gw_es_refusal *why);
/** All rows of a document. */
void gw_es_bury_doc(struct gw_es_job *j, uint32_t doc, const struct gw_es_refusal *why);
/** Say which rows the server has, all their documents, while others are still open. */
void gw_es_rows_taken(struct gw_es_job *j);
/** Rows of documents that were given up are left: before the documents are forgotten. */
void gw_es_rows_collect(struct gw_es_job *j);
/** Tell the queue, and forget the attempt. */
void gw_es_job_end(struct gw_es_job *j);

/* ---- request.c: one request ---------------------------------------------------------------------------------- */

void gw_es_request_send(struct gw_es_job *j);
/** Two ranges for the last one. False: it is one document. */
bool gw_es_range_halve(struct gw_es_job *j);

/* ---- items.c: its answer ------------------------------------------------------------------------------------- */

void gw_es_items_settle(struct gw_es_job *j, const struct gw_http_response *rs);

/* ---- probe.c: which server it is ----------------------------------------------------------------------------- */

/** Ask when nothing is known; true while the first answer is awaited. */
bool gw_es_probe(struct gw_es *s);
void gw_es_probe_stop(struct gw_es *s);

static inline struct gw_es_range *gw_es_range_last(struct gw_es_job *j)
{
    return &j->ranges[j->n_ranges - 1];
}

#endif
