/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/logger.h"
#include "exporters/prometheus_remote_write/answers.h"
#include "exporters/prometheus_remote_write/rw.h"

enum {
    STRIKES = 3,              /* equal answers of 500 about a sample, until the sample is looked for */
    LOOK_AGAIN_NS = 50000000, /* while a probe is under way */
};

static const char *const type_of[] = {"application/x-protobuf",
                                      "application/x-protobuf;proto=io.prometheus.write.v2.Request"};
static const char *const version_of[] = {"0.1.0", "2.0.0"};
static const char stopped[] = "the gateway stopped before the server answered";

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void on_pause_end(struct gw_timer *t);

int gw_rw_shards_open(struct gw_rw *s, struct gw_err *err)
{
    s->n_shards = s->options.n_shards;
    s->shards = calloc(s->n_shards, sizeof(*s->shards));
    if (!s->shards)
        return gw_fail(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < s->n_shards; i++) {
        s->shards[i].s = s;
        s->shards[i].last = &s->shards[i].first;
        s->shards[i].timer.fire = on_pause_end;
    }
    gw_limit_init(&s->limit, s->conf->adapts, s->n_shards);
    gw_breaker_init(&s->breaker, &s->conf->breaker, s->ctx->env, &s->ctx->logger, s->ctx->meter,
                    &(struct gw_breaker_labels){s->ctx->id, s->endpoint});
    return 0;
}

void gw_rw_shards_close(struct gw_rw *s)
{
    free(s->shards);
    s->shards = NULL;
    s->n_shards = 0;
}

void gw_rw_shard_append(struct gw_rw *s, struct gw_rw_send *rq)
{
    struct gw_rw_shard *sh = &s->shards[rq->shard];

    rq->next = NULL;
    *sh->last = rq;
    sh->last = &rq->next;
}

/* ---- the end of a request ------------------------------------------------------------------------------------- */

static void remove_send(struct gw_rw_shard *sh, struct gw_rw_send *rq)
{
    struct gw_rw_send **p = &sh->first;

    while (*p != rq)
        p = &(*p)->next;
    *p = rq->next;
    if (!rq->next)
        sh->last = p;
}

/** Its shard goes on with the next one, when it is pumped. */
static void settle(struct gw_rw_shard *sh, struct gw_rw_send *rq)
{
    struct gw_rw_job *j = rq->job;

    remove_send(sh, rq);
    gw_rw_send_put(sh->s, rq);
    gw_rw_job_settle(j);
}

static void give_up(struct gw_rw_shard *sh, struct gw_rw_send *rq, const char *why, const char *message)
{
    if (rq->hunt)
        gw_rw_hunt_leave(rq, why, message);
    else
        gw_rw_job_leave(rq->job, rq->rows, rq->n_rows, why, message);
    settle(sh, rq);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void on_answer(struct gw_post *post, const struct gw_http_response *rs);
static void pump(struct gw_rw_shard *sh);

/** After a failure that may pass: a pause, or the end of it. */
static void try_again(struct gw_rw_shard *sh, const struct gw_sent_info *info)
{
    struct gw_rw_send *rq = sh->first;
    struct gw_rw_job *j = rq->job;
    struct gw_loop *loop = sh->s->loop;
    uint64_t pause;

    if (!j->first_ns)
        j->first_ns = gw_loop_now_ns(loop);
    rq->tries.first_ns = j->first_ns;
    if (j->cancelled)
        give_up(sh, rq, "shutdown", stopped);
    else if (j->a->again(j->a, &rq->tries, info, &pause))
        gw_timer_arm(loop, &sh->timer, gw_loop_now_ns(loop) + pause);
    else
        give_up(sh, rq, rq->tries.over, info->message);
}

static void on_pause_end(struct gw_timer *t)
{
    pump((struct gw_rw_shard *)((char *)t - offsetof(struct gw_rw_shard, timer)));
}

static void put_metadata(struct gw_post *post, const struct gw_rw_send *rq)
{
    const struct gw_list *list = &rq->job->s->conf->include_metadata_keys;
    const struct gw_meta *meta = rq->job->a->meta;
    const char *const *keys = list->items;
    struct gw_slice value;

    for (size_t k = 0; meta && k < list->n; k++)
        for (unsigned i = 0; gw_meta_find(meta, gw_slice_cstr(keys[k]), i, &value); i++)
            gw_post_header(post, keys[k], value);
}

static int post_first(struct gw_rw_shard *sh, struct gw_err *err)
{
    struct gw_rw_send *rq = sh->first;
    struct gw_rw *s = sh->s;
    struct gw_post *post = gw_post_new(&s->poster);
    int r;

    if (!post)
        return gw_fail(err, -ENOMEM, "out of memory");
    post->rq.body = gw_buf_slice(&rq->packed);
    gw_post_header(post, "Content-Type", gw_slice_cstr(type_of[rq->version]));
    gw_post_header(post, "Content-Encoding", GW_SLICE("snappy"));
    gw_post_header(post, "X-Prometheus-Remote-Write-Version", gw_slice_cstr(version_of[rq->version]));
    put_metadata(post, rq);
    r = gw_post_send(post, s->poster.http->endpoint, rq->job->a->timeout_ns, on_answer, sh, err);
    if (r < 0) {
        gw_post_free(post);
        return r;
    }
    sh->post = post;
    sh->begin_ns = gw_loop_now_ns(s->loop);
    sh->pass = gw_breaker_begin(&s->breaker, sh->begin_ns);
    gw_limit_begin(&s->limit, ++s->n_posts);
    gw_metric_set(s->metrics.in_flight, s->n_posts);
    gw_metric_add(s->metrics.sent_batches, 1);
    return 0;
}

/** False: not now. It waits for another's end, or for the breaker, or is given up because somebody waits for it. */
static bool is_let_through(struct gw_rw_shard *sh)
{
    struct gw_rw_send *rq = sh->first;
    struct gw_rw *s = sh->s;
    uint64_t now = gw_loop_now_ns(s->loop), wait = gw_breaker_wait_ns(&s->breaker, now), pause;

    if (s->n_posts >= gw_limit_get(&s->limit)) {
        s->held = true;
        return false;
    }
    if (gw_breaker_may(&s->breaker, now) || rq->tries.last_try)
        return true;
    s->held = true;
    wait = wait ? wait : LOOK_AGAIN_NS;
    if (rq->job->a->again(rq->job->a, &rq->tries,
                          &(struct gw_sent_info){.sent = GW_SENT_RETRY, .retry_after_ns = wait, .untried = true},
                          &pause)) {
        gw_timer_arm(s->loop, &sh->timer, now + pause);
        return false;
    }
    rq->job->retry_after_ns = wait;
    give_up(sh, rq, rq->tries.over, "the server is away");
    return false;
}

/** What is in the way of the first request; false: it is settled. */
static bool make_ready(struct gw_rw_shard *sh)
{
    struct gw_rw_send *rq = sh->first;
    int r;

    if (rq->job->cancelled) {
        give_up(sh, rq, "shutdown", stopped);
        return false;
    }
    if (rq->version == sh->s->speaks)
        return true;
    r = gw_rw_fall_back(rq);
    if (r < 0)
        give_up(sh, rq, r == -ENOMEM ? "out_of_memory" : "decode", "the request cannot be written as 1.0");
    return r == 0;
}

static void pump(struct gw_rw_shard *sh)
{
    const struct gw_rw *s = sh->s;
    struct gw_err err = {{0}};
    int r = 0;

    while (sh->first && !sh->post && !gw_timer_is_armed(&sh->timer)) {
        if (!make_ready(sh))
            continue;
        if (!is_let_through(sh)) {
            if (s->n_posts >= gw_limit_get(&s->limit))
                return;
            continue;
        }
        r = post_first(sh, &err);
        if (r < 0) /* a token that has expired may be there again next time */
            try_again(sh, &(struct gw_sent_info){.sent = GW_SENT_RETRY,
                                                 .reason = r == -ENOMEM ? "out_of_memory" : "auth",
                                                 .message = err.text});
    }
}

void gw_rw_shards_pump(struct gw_rw *s)
{
    for (unsigned i = 0; i < s->n_shards; i++)
        pump(&s->shards[i]);
}

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

static void count_outcome(struct gw_rw *s, const struct gw_http_response *rs)
{
    if (rs->failure != GW_HTTP_CANCELLED)
        gw_metric_add(rs->status == 0 || rs->status >= 500 ? s->metrics.failed : s->metrics.answered, 1);
}

/** 2.0 that this server does not understand: from now on it gets 1.0, and this request at once. */
static void speak_1(struct gw_rw_shard *sh, const char *how)
{
    struct gw_rw *s = sh->s;

    if (s->speaks == GW_RW_2)
        gw_log(&s->ctx->logger, GW_LOG_WARN,
               "the server does not understand remote write 2.0 (%s): it gets 1.0 from now on", how);
    s->speaks = GW_RW_1;
    sh->first->tries = (struct gw_tries){0};
}

/** Points of the request, or of the piece of it that was sent. */
static uint64_t points_of(const struct gw_rw_send *rq)
{
    return rq->hunt ? gw_rw_hunt_points(rq) : (uint64_t)rq->n_samples + rq->n_histograms;
}

static void count_written(struct gw_rw *s, const struct gw_rw_written *w)
{
    gw_metric_add(s->metrics.written_samples, w->samples);
    gw_metric_add(s->metrics.written_histograms, w->histograms);
    gw_metric_add(s->metrics.written_exemplars, w->exemplars);
}

/** 2xx, but less was written than was sent: nobody says of which rows, so that their number is by proportion. */
static void count_missing(struct gw_rw_shard *sh, const struct gw_rw_written *w)
{
    struct gw_rw_send *rq = sh->first;
    uint64_t sent = points_of(rq), written = w->samples + w->histograms;
    uint64_t missing = written < sent ? sent - written : 0;

    if (!missing)
        return;
    gw_metric_add(sh->s->metrics.unwritten, missing);
    gw_log(&sh->s->ctx->logger, GW_LOG_WARN,
           "the server took a request of %llu points and wrote %llu of them, without a reason",
           (unsigned long long)sent, (unsigned long long)written);
    if (!rq->hunt)
        rq->job->rejected += (uint32_t)((missing * rq->n_rows + sent - 1) / sent);
}

static void written(struct gw_rw_shard *sh)
{
    struct gw_rw_send *rq = sh->first;

    rq->tries = (struct gw_tries){0};
    rq->job->first_ns = 0;
    if (!rq->hunt || !gw_rw_hunt_written(rq))
        settle(sh, rq);
}

static void on_success(struct gw_rw_shard *sh, const struct gw_http_response *rs)
{
    struct gw_rw_written w;

    if (sh->first->version == GW_RW_2) {
        gw_rw_written_read(rs, &w);
        if (!w.any && points_of(sh->first) > 0) {
            speak_1(sh, "it says nothing of what it has written");
            return;
        }
        count_written(sh->s, &w);
        count_missing(sh, &w);
    }
    written(sh);
}

static void refused(struct gw_rw_shard *sh, const struct gw_http_response *rs, const struct gw_http_outcome *o,
                    struct gw_slice sentence)
{
    struct gw_rw_send *rq = sh->first;
    struct gw_rw_refused why = {.verdict = {"sink_rejected", o->reason, o->message, rs->status}, .sentence = sentence};
    struct gw_rw_written w;

    if (rq->version == GW_RW_2) {
        gw_rw_written_read(rs, &w);
        count_written(sh->s, &w);
        why.written = w.samples + w.histograms;
    }
    why.too_large = rs->status == 413;
    why.whole = rs->status < 500 && !why.too_large && !gw_rw_is_about_a_sample(sentence);
    if (why.too_large)
        why.verdict.class_ = "limit_size";
    rq->tries = (struct gw_tries){0};
    if (!gw_rw_hunt_refused(rq, &why))
        settle(sh, rq);
}

/** A server that answers 500 to one bad sample says the same again and again. */
static bool is_stuck(struct gw_rw_send *rq, const struct gw_http_response *rs, struct gw_slice sentence)
{
    uint64_t hash = gw_hash_table(sentence);

    if (rs->status != 500 || !gw_rw_is_a_samples_fault(sentence)) {
        rq->strikes = 0;
        return false;
    }
    if (rq->strikes == 0 || hash != rq->struck) {
        rq->struck = hash;
        rq->strikes = 1;
        return false;
    }
    return ++rq->strikes >= STRIKES;
}

static void on_failure(struct gw_rw_shard *sh, const struct gw_http_response *rs)
{
    struct gw_slice sentence = gw_rw_sentence(rs->body);
    struct gw_rw_send *rq = sh->first;
    struct gw_http_outcome o;

    gw_http_outcome_of(sh->s->ctx, rs, sentence, &o);
    if (rs->status == 415 && rq->version == GW_RW_2) {
        speak_1(sh, "HTTP 415");
    } else if (rs->status == 0 || rs->status == 429 || rs->status >= 500) {
        if (is_stuck(rq, rs, sentence)) {
            refused(sh, rs, &o, sentence);
            return;
        }
        o.info.sent = GW_SENT_RETRY;
        try_again(sh, &o.info);
    } else {
        refused(sh, rs, &o, sentence);
    }
}

/** A server that answers 500 because of a sample works. */
static enum gw_sign sign_of(const struct gw_rw *s, const struct gw_http_response *rs)
{
    return rs->status == 500 && gw_rw_is_a_samples_fault(gw_rw_sentence(rs->body)) ? GW_SIGN_WELL
                                                                                   : gw_http_sign(s->ctx, rs);
}

static void tell_gate(struct gw_rw_shard *sh, const struct gw_http_response *rs)
{
    enum gw_sign sign = sign_of(sh->s, rs);
    uint64_t now = gw_loop_now_ns(sh->s->loop);
    struct gw_rw *s = sh->s;
    char why[32];

    snprintf(why, sizeof(why), "HTTP %d", rs->status);
    gw_breaker_end(&s->breaker, sh->pass, sign, rs->status ? why : rs->error, now);
    gw_limit_end(&s->limit, sign, sh->begin_ns, now);
    s->n_posts--;
    gw_metric_set(s->metrics.limit, gw_limit_get(&s->limit));
    gw_metric_set(s->metrics.in_flight, s->n_posts);
}

/** Those that were held back, in turn: the one that has just sent comes last. */
static void pump_from(struct gw_rw_shard *sh)
{
    struct gw_rw *s = sh->s;
    unsigned at = (unsigned)(sh - s->shards);

    if (s->held) {
        s->held = false;
        for (unsigned i = 1; i < s->n_shards; i++)
            pump(&s->shards[(at + i) % s->n_shards]);
    }
    pump(sh);
}

static void on_answer(struct gw_post *post, const struct gw_http_response *rs)
{
    struct gw_rw_shard *sh = post->arg;

    sh->post = NULL;
    tell_gate(sh, rs);
    count_outcome(sh->s, rs);
    if (rs->status >= 200 && rs->status < 300 && (rs->failure == GW_HTTP_OK || rs->failure == GW_HTTP_TOO_LARGE))
        on_success(sh, rs);
    else
        on_failure(sh, rs);
    gw_post_free(post);
    pump_from(sh);
}

/* ---- the gateway's wishes --------------------------------------------------------------------------------------- */

static void cancel_in(struct gw_rw_shard *sh, struct gw_rw_job *j)
{
    struct gw_rw_send *next;

    for (struct gw_rw_send *rq = sh->first; rq; rq = next) {
        next = rq->next;
        if (rq->job != j)
            continue;
        if (rq == sh->first && sh->post) { /* `again` says no to what comes of it */
            gw_post_cancel(sh->post);
            continue;
        }
        if (rq == sh->first)
            gw_timer_disarm(&sh->timer);
        give_up(sh, rq, "shutdown", stopped);
    }
}

void gw_rw_shards_cancel(struct gw_rw *s, struct gw_rw_job *j)
{
    j->cancelled = true;
    j->open++; /* not done before all shards were looked at */
    for (unsigned i = 0; i < s->n_shards; i++) {
        struct gw_rw_shard *sh = &s->shards[i];

        cancel_in(sh, j);
        if (sh->first && !sh->post && !gw_timer_is_armed(&sh->timer)) /* not now: no other attempt may end in here */
            gw_timer_arm(s->loop, &sh->timer, gw_loop_now_ns(s->loop));
    }
    gw_rw_job_settle(j);
}

void gw_rw_shards_hurry(struct gw_rw *s, uint64_t pause_ns)
{
    uint64_t soon = gw_loop_now_ns(s->loop) + pause_ns;

    gw_breaker_hurry(&s->breaker, gw_loop_now_ns(s->loop), pause_ns);
    for (unsigned i = 0; i < s->n_shards; i++) {
        struct gw_rw_shard *sh = &s->shards[i];

        if (gw_timer_is_armed(&sh->timer) && !sh->first->tries.wished && sh->timer.due_ns > soon)
            gw_timer_arm(s->loop, &sh->timer, soon);
    }
}
