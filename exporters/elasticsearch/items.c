/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 2xx answer to a request: what each document's own result means.
 *
 * An answer is believed as a whole or not at all: one that is no JSON, is cut short, or has another number of items
 * than the request had documents, settles none of them, and all are sent again; with an _id of ours that stores nothing
 * twice, without one it may, and is counted. Only an answer that we stopped reading ourselves, because it was too long,
 * is believed as far as it goes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"

struct settling {
    struct gw_es_job *j;
    uint32_t lo, kept; /* order[lo, kept) are sent again */
    uint32_t n_items;
    uint32_t n_delivered, n_retried, n_remedied, n_dead, n_stored[4];
    struct gw_es_error first_dead, first_retried;
    int retried_status;
    uint32_t first_dead_doc;
};

/* ---- what a document is ------------------------------------------------------------------------------------- */

static struct gw_slice source_of(const struct gw_es_job *j, uint32_t doc)
{
    const struct gw_es_doc *d = &j->docs.docs[doc];

    return gw_slice_of(j->lines.p + d->source, d->end - d->source);
}

/* {"create":{"_index":"logs-a-default",…: its own writer put it there. */
static struct gw_slice index_of(const struct gw_es_job *j, uint32_t doc)
{
    const struct gw_es_doc *d = &j->docs.docs[doc];
    static const char key[] = "\"_index\":\"";
    const uint8_t *line = j->lines.p + d->at;
    const uint8_t *at = memmem(line, d->source - d->at, key, sizeof(key) - 1), *end;

    if (!at)
        return (struct gw_slice){0};
    at += sizeof(key) - 1;
    end = memchr(at, '"', (size_t)(j->lines.p + d->source - at));
    return gw_slice_of(at, end ? (size_t)(end - at) : 0);
}

/* ---- remedies ----------------------------------------------------------------------------------------------- */

static enum gw_es_remedy rule_for(const struct gw_es_conf *c, struct gw_slice field)
{
    const struct gw_es_rule *rules = c->remedies.items;

    for (size_t i = 0; field.n && i < c->remedies.n; i++)
        if (gw_es_field_matches(rules[i].field, field))
            return (enum gw_es_remedy)rules[i].action;
    return GW_ES_DEAD_LETTER;
}

static bool undo(struct gw_es_job *j, size_t n)
{
    j->lines.n = n;
    j->lines.failed = false;
    return false;
}

/* The changed document stands behind all lines; the old one stays where it is. */
static bool remedy(struct gw_es_job *j, uint32_t doc, const struct gw_es_item *item)
{
    struct gw_slice field = gw_es_conflict_field(item->error.type, item->error.reason), source;
    enum gw_es_remedy how = rule_for(j->s->conf, field);
    struct gw_es_doc *d = &j->docs.docs[doc];
    size_t at = j->lines.n, action = d->source - d->at;

    if (how == GW_ES_DEAD_LETTER || (j->fates[doc] & GW_ES_REMEDIED))
        return false;
    if (gw_buf_reserve(&j->lines, 2 * (d->end - d->at) + 64) < 0) /* also: nothing below moves the lines */
        return undo(j, at);
    gw_buf_put(&j->lines, j->lines.p + d->at, action);
    source = source_of(j, doc);
    if (source.n && source.p[source.n - 1] == '\n')
        source.n--;
    if (gw_es_remedy(how, source, field, &j->lines) < 0)
        return undo(j, at);
    gw_buf_put_u8(&j->lines, '\n');
    d->at = at;
    d->source = at + action;
    d->end = j->lines.n;
    j->fates[doc] = GW_ES_PENDING | GW_ES_REMEDIED;
    return true;
}

/* ---- one result --------------------------------------------------------------------------------------------- */

static void log_failed_doc(struct gw_es_job *j, uint32_t doc)
{
    const struct gw_es_doc *d = &j->docs.docs[doc];
    struct gw_es *s = j->s;
    uint64_t now = gw_mono_ns(s->ctx->env);

    if (!s->conf->telemetry.log_failed_docs_input ||
        (s->failed_doc_logged_ns && now < s->failed_doc_logged_ns + s->conf->telemetry.failed_docs_interval_ns))
        return;
    s->failed_doc_logged_ns = now;
    gw_log(&s->ctx->logger, GW_LOG_DEBUG, "failed to index document; input may contain sensitive data: %.*s",
           (int)(d->end - d->at < 4096 ? d->end - d->at : 4096), (const char *)j->lines.p + d->at);
}

static void bury(struct settling *t, uint32_t doc, const struct gw_es_item *item)
{
    struct gw_es_refusal why = {.class_ = "sink_rejected", .code = item->status};
    struct gw_es_job *j = t->j;
    struct gw_slice index = index_of(j, doc);

    if (!t->n_dead++) {
        t->first_dead = item->error;
        t->first_dead_doc = doc;
    }
    if (item->error.type[0])
        snprintf(why.reason, sizeof(why.reason), "%s", item->error.type);
    else
        snprintf(why.reason, sizeof(why.reason), "http_%d", item->status);
    snprintf(why.message, sizeof(why.message), "%s%s%s, index %.*s", why.reason, item->error.reason[0] ? ": " : "",
             item->error.reason, (int)(index.n < 100 ? index.n : 100), index.n ? (const char *)index.p : "");
    gw_es_count_failed(&j->s->meters, j->a->meta, item->status, item->error.type, 1);
    log_failed_doc(j, doc);
    gw_es_bury_doc(j, doc, &why);
}

static bool is_delivered(const struct settling *t, uint32_t doc, const struct gw_es_item *item)
{
    if (item->status == 409) /* our own earlier try, or a document that the sender chose the _id of */
        return t->j->docs.docs[doc].own_id || t->j->s->conf->suppress_conflict_errors;
    return item->status < 300;
}

static void on_item(void *arg, const struct gw_es_item *item)
{
    struct settling *t = arg;
    struct gw_es_job *j = t->j;
    uint32_t doc;

    if (item->index >= t->n_items)
        return;
    doc = j->order[t->lo + item->index];
    if (is_delivered(t, doc, item)) {
        j->fates[doc] = GW_ES_DELIVERED;
        t->n_delivered += item->failure_store == GW_ES_STORE_NONE;
        t->n_stored[item->failure_store]++;
    } else if (gw_es_statuses_have(&j->s->on_document_status, item->status)) {
        if (!t->n_retried++) {
            t->first_retried = item->error;
            t->retried_status = item->status;
        }
        j->order[t->kept++] = doc;
    } else if (item->status == 400 && remedy(j, doc, item)) {
        t->n_remedied++;
        j->order[t->kept++] = doc;
    } else {
        bury(t, doc, item);
    }
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static void count(const struct settling *t)
{
    struct gw_es_meters *m = &t->j->s->meters;
    const struct gw_meta *meta = t->j->a->meta;

    gw_es_count(m, meta, GW_ES_DOCS_DELIVERED, t->n_delivered);
    gw_es_count(m, meta, GW_ES_DOCS_RETRIED, t->n_retried);
    gw_es_count(m, meta, GW_ES_DOCS_REMEDIED, t->n_remedied);
    for (int i = GW_ES_STORE_NOT_ENABLED; i <= GW_ES_STORE_FAILED; i++)
        gw_es_count_stored(m, meta, (enum gw_es_failure_store)i, t->n_stored[i]);
}

static void log_dead(const struct settling *t)
{
    const struct gw_es *s = t->j->s;
    struct gw_slice index = index_of(t->j, t->first_dead_doc);
    bool with_reason = s->conf->include_source_on_error != GW_ES_SOURCE_UNSET; /* it may quote the document */

    gw_log(&s->ctx->logger, GW_LOG_ERROR, "failed to index %u documents, the first into %.*s: %s%s%s", t->n_dead,
           (int)(index.n < 100 ? index.n : 100), index.n ? (const char *)index.p : "?", t->first_dead.type,
           with_reason ? ": " : "", with_reason ? t->first_dead.reason : "");
}

/* The answer cannot be believed: everything again. */
static void again(struct gw_es_job *j, const struct gw_http_response *rs, uint32_t n)
{
    const struct gw_es_range *r = gw_es_range_last(j);
    struct gw_sent_info info = {.sent = GW_SENT_RETRY, .reason = "bad_answer"};
    uint64_t ambiguous = 0;
    char message[160];

    for (uint32_t i = r->lo; i < r->hi; i++)
        ambiguous += !j->docs.docs[j->order[i]].own_id;
    gw_es_count(&j->s->meters, j->a->meta, GW_ES_DOCS_AMBIGUOUS, ambiguous);
    gw_es_count(&j->s->meters, j->a->meta, GW_ES_DOCS_RETRIED_REQUEST, r->hi - r->lo);
    snprintf(message, sizeof(message), "the answer (HTTP %d, %zu bytes) has %u results for %u documents, or is no JSON",
             rs->status, rs->body.n, n, r->hi - r->lo);
    info.message = message;
    gw_log(&j->s->ctx->logger, GW_LOG_WARN, "%s", message);
    gw_es_job_again(j, &info);
}

static void finish(struct settling *t, uint32_t hi)
{
    struct gw_es_job *j = t->j;
    struct gw_es_range *r = gw_es_range_last(j);
    char reason[24], message[640];

    /* What had no result, of an answer that was too long, stands behind what is sent again. */
    for (uint32_t i = t->lo + t->n_items; i < hi; i++)
        j->order[t->kept++] = j->order[i];
    r->hi = t->kept;
    r->nodes_tried = 0;
    j->carried = (struct gw_tries){0};
    count(t);
    if (t->n_dead)
        log_dead(t);
    if (!t->n_retried)
        return;
    j->was_busy = t->retried_status == 429;
    snprintf(reason, sizeof(reason), "document_%d", t->retried_status);
    snprintf(message, sizeof(message), "%u documents were not taken: %s: %s", t->n_retried, t->first_retried.type,
             t->first_retried.reason);
    gw_es_job_again(j, &(struct gw_sent_info){.sent = GW_SENT_RETRY, .reason = reason, .message = message});
}

void gw_es_items_settle(struct gw_es_job *j, const struct gw_http_response *rs)
{
    const struct gw_es_range r = *gw_es_range_last(j);
    struct settling t = {.j = j, .lo = r.lo, .kept = r.lo};
    bool cut = rs->failure == GW_HTTP_TOO_LARGE;
    uint32_t n;
    int e = gw_es_answer_read(rs->body, NULL, NULL, &n);

    if (cut ? n == 0 || n > r.hi - r.lo : e < 0 || n != r.hi - r.lo) {
        if (!cut || !gw_es_range_halve(j))
            again(j, rs, n);
        return;
    }
    t.n_items = n;
    (void)gw_es_answer_read(rs->body, on_item, &t, &n);
    finish(&t, r.hi);
}
