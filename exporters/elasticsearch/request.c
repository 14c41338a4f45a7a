/* SPDX-License-Identifier: Apache-2.0 */
/* One _bulk request: lines, headers, a server; and what an answer means for the request as a whole. */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"

enum { MIN_REQUEST_BYTES = 64 << 10, MAX_LOGGED_BYTES = 4096, KEPT_TEXT = 1 << 20 };

/* ---- bodies ------------------------------------------------------------------------------------------------- */

/* The lines of the last range: where they stand, or put together when others stand between them. */
static struct gw_slice body_of(struct gw_es_job *j, struct gw_buf *text)
{
    const struct gw_es_range *r = gw_es_range_last(j);
    const struct gw_es_doc *docs = j->docs.docs, *first = &docs[j->order[r->lo]];
    size_t end = first->end;
    uint32_t i = r->lo + 1;

    while (i < r->hi && docs[j->order[i]].at == end)
        end = docs[j->order[i++]].end;
    if (i == r->hi)
        return gw_slice_of(j->lines.p + first->at, end - first->at);
    for (i = r->lo; i < r->hi; i++) {
        const struct gw_es_doc *d = &docs[j->order[i]];

        gw_buf_put(text, j->lines.p + d->at, d->end - d->at);
    }
    return gw_buf_slice(text);
}

static void log_text(struct gw_es *s, const char *what, struct gw_slice text)
{
    gw_log(&s->ctx->logger, GW_LOG_DEBUG, "%s: %.*s", what,
           (int)(text.n < MAX_LOGGED_BYTES ? text.n : MAX_LOGGED_BYTES), text.n ? (const char *)text.p : "");
}

/* ---- halves ------------------------------------------------------------------------------------------------- */

bool gw_es_range_halve(struct gw_es_job *j)
{
    struct gw_es_range *r = gw_es_range_last(j), whole = *r;
    uint32_t middle = r->lo + (r->hi - r->lo) / 2;

    if (r->hi - r->lo < 2 || j->n_ranges == GW_ES_RANGES)
        return false;
    r->lo = middle;
    gw_es_range_push(j, whole.lo, middle, &whole.tries);
    return true;
}

static size_t bytes_of(const struct gw_es_job *j, const struct gw_es_range *r)
{
    size_t n = 0;

    for (uint32_t i = r->lo; i < r->hi; i++)
        n += j->docs.docs[j->order[i]].end - j->docs.docs[j->order[i]].at;
    return n;
}

/* The next requests are smaller from the start. */
static void learn_size(struct gw_es *s, size_t too_large)
{
    size_t half = too_large / 2 > MIN_REQUEST_BYTES ? too_large / 2 : MIN_REQUEST_BYTES;

    if (half >= s->request_bytes)
        return;
    gw_log(&s->ctx->logger, GW_LOG_WARN,
           "the server refuses requests of %zu bytes as too large: they are now at most %zu; lower max_request_bytes",
           too_large, half);
    s->request_bytes = half;
}

/* ---- verdicts ----------------------------------------------------------------------------------------------- */

static void bury_range(struct gw_es_job *j, const struct gw_es_refusal *why)
{
    struct gw_es_range *r = gw_es_range_last(j);

    for (uint32_t i = r->lo; i < r->hi; i++)
        gw_es_bury_doc(j, j->order[i], why);
    j->n_ranges--;
}

static void too_large(struct gw_es_job *j)
{
    const struct gw_es_refusal why = {.class_ = "limit_size",
                                      .reason = "too_large",
                                      .code = 413,
                                      .message = "the server answered HTTP 413 to this document alone"};
    size_t bytes = bytes_of(j, gw_es_range_last(j));

    if (gw_es_range_halve(j))
        learn_size(j->s, bytes);
    else
        bury_range(j, &why);
}

/* The whole request was refused. One broken document may be why: it is looked for, but not for ever. */
static void refused(struct gw_es_job *j, const struct gw_http_response *rs, const struct gw_http_outcome *o,
                    const struct gw_es_error *e)
{
    struct gw_es_refusal why = {.class_ = "sink_rejected", .code = rs->status};

    if (rs->status == 400 && j->bisections < GW_ES_BISECTIONS && gw_es_range_halve(j)) {
        j->bisections++;
        return;
    }
    snprintf(why.reason, sizeof(why.reason), "%s", e->type[0] ? e->type : o->reason);
    snprintf(why.message, sizeof(why.message), "%s", o->message);
    gw_log(&j->s->ctx->logger, GW_LOG_ERROR, "bulk request refused: HTTP %d %s: %u documents", rs->status, e->type,
           gw_es_range_last(j)->hi - gw_es_range_last(j)->lo);
    bury_range(j, &why);
}

/* Documents without an _id of ours that the server may have stored before the answer got lost. */
static void count_ambiguous(struct gw_es_job *j)
{
    const struct gw_es_range *r = gw_es_range_last(j);
    uint64_t n = 0;

    for (uint32_t i = r->lo; i < r->hi; i++)
        n += !j->docs.docs[j->order[i]].own_id;
    gw_es_count(&j->s->meters, j->a->meta, GW_ES_DOCS_AMBIGUOUS, n);
}

/* Another server is asked at once, if there is one that works. */
static void again(struct gw_es_job *j, const struct gw_http_response *rs, const struct gw_http_outcome *o)
{
    struct gw_es_range *r = gw_es_range_last(j);
    struct gw_es *s = j->s;
    bool node_failed = rs->failure != GW_HTTP_OK || rs->status >= 500;

    gw_es_count(&s->meters, j->a->meta, GW_ES_DOCS_RETRIED_REQUEST, r->hi - r->lo);
    if (node_failed && !j->stopped && !s->conf->tried_once && ++r->nodes_tried < s->nodes.n &&
        gw_es_nodes_any(&s->nodes, gw_mono_ns(s->ctx->env)))
        return;
    gw_es_job_again(j, &o->info);
}

static void count_under_way(struct gw_es *s, int by)
{
    s->n_under_way = (uint32_t)((int64_t)s->n_under_way + by);
    gw_metric_set(s->under_way_metric, s->n_under_way);
}

static void tell_node(struct gw_es_job *j, const struct gw_http_response *rs)
{
    const struct gw_es *s = j->s;
    char why[64];

    snprintf(why, sizeof(why), "HTTP %d", rs->status);
    gw_es_node_end(j->node, j->pass, gw_http_sign(s->ctx, rs), rs->status ? why : rs->error, gw_mono_ns(s->ctx->env));
}

/* After the answer was read: documents may have been refused as too many, each by itself. */
static void tell_limit(const struct gw_es_job *j, enum gw_sign sign)
{
    struct gw_es *s = j->s;

    gw_limit_end(&s->limit, j->was_busy ? GW_SIGN_BUSY : sign, j->begin_ns, gw_mono_ns(s->ctx->env));
    gw_metric_set(s->limit_metric, gw_limit_get(&s->limit));
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void outcome_of(struct gw_es_job *j, const struct gw_http_response *rs, struct gw_es_error *e,
                       struct gw_http_outcome *o)
{
    char said[600] = "";

    gw_es_error_read(rs->body, e);
    if (e->type[0] || e->reason[0])
        snprintf(said, sizeof(said), "%s%s%s", e->type, e->type[0] && e->reason[0] ? ": " : "", e->reason);
    gw_http_outcome_of(j->s->ctx, rs, gw_slice_cstr(said), o);
}

static void settle(struct gw_es_job *j, const struct gw_http_response *rs)
{
    struct gw_http_outcome o;
    struct gw_es_error e;

    if (rs->status >= 200 && rs->status < 300) {
        gw_es_items_settle(j, rs);
        return;
    }
    if (rs->failure == GW_HTTP_TIMEOUT || rs->failure == GW_HTTP_BROKEN || rs->failure == GW_HTTP_CANCELLED)
        count_ambiguous(j);
    if (rs->failure == GW_HTTP_CANCELLED)
        return;
    outcome_of(j, rs, &e, &o);
    if (rs->status == 413)
        too_large(j);
    else if (!rs->status || gw_es_statuses_have(&j->s->on_status, rs->status))
        again(j, rs, &o);
    else
        refused(j, rs, &o, &e);
}

static void on_answer(struct gw_post *p, const struct gw_http_response *rs)
{
    struct gw_es_job *j = p->arg;
    struct gw_es *s = j->s;
    const struct gw_es_range *r = gw_es_range_last(j);
    enum gw_sign sign = gw_http_sign(s->ctx, rs);

    j->post = NULL;
    j->was_busy = false;
    count_under_way(s, -1);
    gw_es_count_request(&s->meters, j->a->meta, rs->status,
                        rs->failure == GW_HTTP_TIMEOUT || rs->failure == GW_HTTP_CANCELLED,
                        gw_mono_ns(s->ctx->env) - j->begin_ns, r->hi - r->lo);
    if (rs->status)
        gw_es_count(&s->meters, j->a->meta, GW_ES_FLUSHED_BYTES, p->rq.body.n);
    if (s->conf->telemetry.log_response_body)
        log_text(s, "response body", rs->body);
    tell_node(j, rs);
    settle(j, rs);
    tell_limit(j, sign);
    if (p->text.cap > KEPT_TEXT) /* what was put together for a second try */
        gw_buf_clear(&p->text);
    gw_post_free(p);
    gw_es_jobs_turn(s);
    gw_es_job_next(j);
    gw_es_jobs_turn(s);
}

/* ---- sending ------------------------------------------------------------------------------------------------ */

static void fail_early(struct gw_es_job *j, const char *reason, const char *message)
{
    gw_es_job_again(j, &(struct gw_sent_info){.sent = GW_SENT_RETRY, .reason = reason, .message = message});
}

static int set_body(struct gw_es_job *j, struct gw_post *p, struct gw_err *err)
{
    struct gw_slice body = body_of(j, &p->text);
    struct gw_es *s = j->s;

    if (p->text.failed)
        return gw_fail(err, -ENOMEM, "out of memory");
    if (s->conf->telemetry.log_request_body)
        log_text(s, "request body", body);
    gw_es_count(&s->meters, j->a->meta, GW_ES_FLUSHED_UNCOMPRESSED_BYTES, body.n);
    return gw_post_pack(p, body, err);
}

static void set_headers(struct gw_es_job *j, struct gw_post *p)
{
    gw_post_header(p, "Content-Type", GW_SLICE("application/x-ndjson"));
    if (j->s->poster.codec == GW_GZIP)
        gw_post_header(p, "Content-Encoding", GW_SLICE("gzip"));
    if (j->node->authorization)
        gw_post_header(p, "Authorization", gw_slice_cstr(j->node->authorization));
}

/* A server that may be asked, or the only thing left to try; NULL: the attempt waits. */
static struct gw_es_node *take_node(struct gw_es_job *j)
{
    struct gw_es *s = j->s;
    uint64_t wait;
    struct gw_es_node *n = gw_es_nodes_pick(&s->nodes, gw_mono_ns(s->ctx->env), &wait);

    if (!wait || gw_es_range_last(j)->tries.last_try)
        return n;
    gw_es_job_again(j, &(struct gw_sent_info){.sent = GW_SENT_RETRY,
                                              .reason = "breaker_open",
                                              .message = "no server may be asked now",
                                              .retry_after_ns = wait,
                                              .untried = true});
    return NULL;
}

void gw_es_request_send(struct gw_es_job *j)
{
    struct gw_es *s = j->s;
    struct gw_err err = {{0}};
    struct gw_post *p;
    int r;

    if (gw_es_is_full(s)) {
        j->waits_for_turn = true;
        return;
    }
    j->node = take_node(j);
    if (!j->node)
        return;
    p = gw_post_new(&s->poster);
    if (!p) {
        fail_early(j, "out_of_memory", "out of memory");
        return;
    }
    r = set_body(j, p, &err);
    if (r < 0) {
        gw_post_free(p);
        if (r == -E2BIG) /* beyond what a request may have at all */
            too_large(j);
        else
            fail_early(j, "out_of_memory", err.text);
        return;
    }
    set_headers(j, p);
    j->begin_ns = gw_mono_ns(s->ctx->env);
    if (gw_post_send(p, j->node->bulk_url, j->a->timeout_ns, on_answer, j, &err) < 0) {
        gw_post_free(p);
        fail_early(j, "auth", err.text);
        return;
    }
    j->post = p;
    j->pass = gw_breaker_begin(&j->node->breaker, j->begin_ns);
    count_under_way(s, 1);
    gw_limit_begin(&s->limit, s->n_under_way);
}
