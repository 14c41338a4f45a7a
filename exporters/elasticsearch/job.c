/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt's life: rows become lines, lines become ranges, ranges become requests, until nothing is open. */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"

enum {
    KEPT_JOBS = 16,
    KEPT_BYTES = 16 << 20,   /* of lines, in all: after an outage memory goes back to the system */
    KEPT_COLUMNS = 32 << 20, /* of a decoded body */
    ARENA_CHUNK = 64 << 10,
};

/* ---- jobs --------------------------------------------------------------------------------------------------- */

static void job_free(struct gw_es_job *j)
{
    gw_buf_clear(&j->lines);
    gw_es_docs_clear(&j->docs);
    free(j->fates);
    free(j->order);
    free(j);
}

void gw_es_jobs_free(struct gw_es *s)
{
    while (s->free) {
        struct gw_es_job *j = s->free;

        s->free = j->next;
        job_free(j);
    }
}

static void end_rest(struct gw_es_job *j)
{
    j->s->n_resting -= j->rests;
    j->rests = false;
}

static void on_timer(struct gw_timer *t)
{
    struct gw_es_job *j = (struct gw_es_job *)((char *)t - offsetof(struct gw_es_job, timer));
    struct gw_es *s = j->s;

    end_rest(j);
    gw_es_job_next(j);
    gw_es_jobs_turn(s); /* it may have ended, or found its server's breaker open */
}

static struct gw_es_job *job_get(struct gw_es *s)
{
    struct gw_es_job *j = s->free;

    if (j) {
        s->free = j->next;
        s->n_free--;
        s->kept_bytes -= j->lines.cap;
    } else {
        j = calloc(1, sizeof(*j));
        if (!j)
            return NULL;
        j->s = s;
        gw_buf_init(&j->lines, GW_ES_MAX_LINES);
        j->timer.fire = on_timer;
    }
    j->next = s->jobs;
    j->link = &s->jobs;
    if (j->next)
        j->next->link = &j->next;
    s->jobs = j;
    return j;
}

static void job_put(struct gw_es_job *j)
{
    struct gw_es *s = j->s;

    end_rest(j);
    gw_timer_disarm(&j->timer);
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    if (s->n_free >= KEPT_JOBS) {
        job_free(j);
        return;
    }
    if (s->kept_bytes + j->lines.cap > KEPT_BYTES)
        gw_buf_clear(&j->lines);
    s->kept_bytes += j->lines.cap;
    j->a = NULL;
    j->next = s->free;
    s->free = j;
    s->n_free++;
}

static void end(struct gw_es_job *j)
{
    gw_es_job_end(j);
    job_put(j);
}

/* ---- rows to lines ------------------------------------------------------------------------------------------ */

static void on_refused(void *arg, uint32_t row, const char *reason, const char *message)
{
    struct gw_es_refusal why = {.class_ = "schema"};

    if (strcmp(reason, "noindex") == 0) /* its sender wants it so: nothing is lost */
        return;
    snprintf(why.reason, sizeof(why.reason), "%s", reason);
    snprintf(why.message, sizeof(why.message), "%s", message);
    gw_es_bury_row(arg, row, &why);
}

static int write_rows(struct gw_es_job *j, uint32_t from, uint32_t to)
{
    struct gw_es *s = j->s;
    struct gw_view v;
    int r = 0;

    gw_buf_reset(&j->lines);
    gw_arena_reset(&s->arena, ARENA_CHUNK);
    gw_view_init(&v, s->batch, &s->arena);
    s->options.attempt[0] = s->gateway;
    s->options.attempt[1] = j->number;
    s->options.rows_of = j->a;
    s->options.now_ns = gw_wall_ns(s->ctx->env);
    v.meta = j->a->meta ? gw_meta_ref(j->a->meta) : NULL;
    for (uint32_t row = 0; row < j->n_rows && r == 0; row++)
        if (row < from || row >= to)
            r = gw_view_remove(&v, row);
    if (r == 0 && v.n_rows)
        r = gw_es_write(s->writer, &v, &j->lines, &j->docs, on_refused, j);
    else
        j->docs.n_docs = j->docs.n_rows = 0;
    gw_view_clear(&v);
    return r;
}

/* As many rows from j->to on as there is room for. */
static int write_portion(struct gw_es_job *j)
{
    uint32_t from = j->to, to = j->n_rows;
    const struct gw_es_refusal why = {
        .class_ = "limit_size", .reason = "too_large", .message = "one row makes more than 128 MiB of documents"};
    int r;

    while ((r = write_rows(j, from, to)) == -E2BIG && to - from > 1)
        to = from + (to - from) / 2;
    if (r == -E2BIG) {
        gw_es_bury_row(j, from, &why);
        j->docs.n_docs = j->docs.n_rows = 0;
        r = 0;
    }
    if (r == 0)
        j->to = to;
    else
        j->docs.n_docs = j->docs.n_rows = 0;
    return r;
}

static int make_room(struct gw_es_job *j)
{
    uint32_t n = j->docs.n_docs;
    uint32_t *order;
    uint8_t *fates;

    if (n > j->cap_docs) {
        order = realloc(j->order, n * sizeof(*order));
        if (order)
            j->order = order;
        fates = realloc(j->fates, n);
        if (fates)
            j->fates = fates;
        if (!order || !fates)
            return -ENOMEM;
        j->cap_docs = n;
    }
    for (uint32_t i = 0; i < n; i++)
        j->order[i] = i;
    if (n)
        memset(j->fates, GW_ES_PENDING, n);
    return 0;
}

/* The body, decoded and written. The batch is not kept: it is larger than the lines. */
static int write_lines(struct gw_es_job *j, struct gw_err *err)
{
    struct gw_es *s = j->s;
    uint32_t done = j->to;
    int r = gw_rows_decode(&s->batch, j->a->signal, j->a->body, j->a->payload, err);

    if (r < 0)
        return r;
    gw_es_rows_collect(j); /* of the portion before */
    j->is_read = true;
    j->n_rows = s->batch->n_rows;
    r = write_portion(j);
    if (s->batch->column_bytes > KEPT_COLUMNS)
        s->batch = gw_batch_unref(s->batch);
    else
        gw_batch_reset(s->batch, j->a->signal);
    if (r == 0)
        r = make_room(j);
    j->n_cut = j->n_ranges = 0;
    if (r < 0) {
        j->docs.n_docs = j->docs.n_rows = 0;
        j->to = done;
        return gw_fail(err, r, "out of memory");
    }
    gw_es_count(&s->meters, j->a->meta, GW_ES_DOCS_RECEIVED, j->docs.n_docs);
    return 0;
}

/* ---- lines to ranges ---------------------------------------------------------------------------------------- */

void gw_es_range_push(struct gw_es_job *j, uint32_t lo, uint32_t hi, const struct gw_tries *tries)
{
    j->ranges[j->n_ranges++] = (struct gw_es_range){.lo = lo, .hi = hi, .tries = *tries};
}

static void cut(struct gw_es_job *j)
{
    const struct gw_es_doc *docs = j->docs.docs;
    uint32_t hi = j->n_cut + 1;

    while (hi < j->docs.n_docs && docs[hi].end - docs[j->n_cut].at <= j->s->request_bytes)
        hi++;
    gw_es_range_push(j, j->n_cut, hi, &j->carried);
    j->n_cut = hi;
}

/* ---- tries -------------------------------------------------------------------------------------------------- */

static void give_up(struct gw_es_job *j, const char *reason, const char *message)
{
    struct gw_es_range *r = gw_es_range_last(j);

    for (uint32_t i = r->lo; i < r->hi; i++)
        j->fates[j->order[i]] = (uint8_t)((j->fates[j->order[i]] & GW_ES_REMEDIED) | GW_ES_LEFT);
    snprintf(j->reason, sizeof(j->reason), "%s", reason);
    snprintf(j->message, sizeof(j->message), "%s", message ? message : "");
    j->carried = r->tries;
    j->n_ranges--;
}

static void pause_for(struct gw_es_job *j, uint64_t ns)
{
    gw_es_rows_taken(j); /* a pause may be long, and a crash in it must not send again what is there */
    gw_timer_arm(j->s->loop, &j->timer, gw_mono_ns(j->s->ctx->env) + ns);
}

void gw_es_job_again(struct gw_es_job *j, const struct gw_sent_info *info)
{
    struct gw_es_range *r = gw_es_range_last(j);
    uint64_t pause_ns = 0;

    if (j->stopped)
        return;
    r->nodes_tried = 0;
    if (j->a->again(j->a, &r->tries, info, &pause_ns)) {
        j->rests = gw_limit_rests(&j->s->limit, info->sign, j->s->n_under_way + j->s->n_resting, pause_ns);
        j->s->n_resting += j->rests;
        pause_for(j, pause_ns);
    } else {
        give_up(j, r->tries.over ? r->tries.over : "retry_exhausted", info->message);
    }
    j->retry_after_ns = info->untried ? info->retry_after_ns : 0;
}

/* The body cannot be written now: for want of memory, or because the server is not known. */
static void write_again(struct gw_es_job *j, const struct gw_sent_info *why)
{
    uint64_t pause_ns = 0;

    if (j->a->again(j->a, &j->carried, why, &pause_ns)) {
        pause_for(j, pause_ns);
        return;
    }
    snprintf(j->reason, sizeof(j->reason), "%s", j->carried.over ? j->carried.over : "retry_exhausted");
    snprintf(j->message, sizeof(j->message), "%s", why->message ? why->message : "");
    j->stopped = true;
}

/* ---- the next step ------------------------------------------------------------------------------------------ */

/* A body of ours that cannot be read is no body. */
static void end_unreadable(struct gw_es_job *j, const struct gw_err *err)
{
    struct gw_attempt *a = j->a;

    a->impl = NULL;
    a->done(a, &(struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "malformed", .message = err->text});
    job_put(j);
}

void gw_es_job_next(struct gw_es_job *j)
{
    struct gw_err err = {{0}};
    int r;

    while (!j->stopped && !gw_timer_is_armed(&j->timer) && !j->post && !j->waits_for_turn) {
        struct gw_es_range *last = j->n_ranges ? gw_es_range_last(j) : NULL;

        if (last && last->lo < last->hi) {
            gw_es_request_send(j);
        } else if (last) {
            j->n_ranges--;
        } else if (j->n_cut < j->docs.n_docs) {
            cut(j);
        } else if (!j->is_read && gw_es_probe(j->s)) {
            j->waits_for_probe = true;
            return;
        } else if (!j->is_read || j->to < j->n_rows) {
            r = write_lines(j, &err);
            if (r == -EBADMSG) {
                end_unreadable(j, &err);
                return;
            }
            if (r < 0)
                write_again(
                    j, &(struct gw_sent_info){.sent = GW_SENT_RETRY, .reason = "out_of_memory", .message = err.text});
        } else {
            break;
        }
    }
    if (!j->post && !gw_timer_is_armed(&j->timer) && !j->waits_for_turn)
        end(j);
}

static void job_reset(struct gw_es_job *j, struct gw_attempt *a)
{
    j->a = a;
    a->impl = j;
    j->waits_for_probe = j->waits_for_turn = j->stopped = false;
    j->number = j->s->n_attempts++;
    j->is_read = false;
    j->n_rows = j->to = 0;
    j->docs.n_docs = j->docs.n_rows = 0;
    j->n_cut = j->n_ranges = j->bisections = j->n_refusals = 0;
    j->carried = (struct gw_tries){0};
    j->retry_after_ns = 0;
    j->reason[0] = j->message[0] = '\0';
}

void gw_es_job_start(struct gw_es *s, struct gw_attempt *a)
{
    struct gw_es_job *j = job_get(s);

    if (!j) {
        a->done(a, &(struct gw_sent_info){.sent = GW_SENT_OVER, .reason = "out_of_memory", .message = "out of memory"});
        return;
    }
    job_reset(j, a);
    gw_es_job_next(j);
}

void gw_es_jobs_release(struct gw_es *s, const struct gw_sent_info *why)
{
    struct gw_es_job *next;

    for (struct gw_es_job *j = s->jobs; j; j = next) {
        next = j->next;
        if (!j->waits_for_probe)
            continue;
        j->waits_for_probe = false;
        if (why)
            write_again(j, why);
        gw_es_job_next(j);
    }
}

static struct gw_es_job *whose_turn(const struct gw_es *s)
{
    struct gw_es_job *first = NULL;

    for (struct gw_es_job *j = s->jobs; j; j = j->next)
        if (j->waits_for_turn && (!first || j->number < first->number))
            first = j;
    return first;
}

void gw_es_jobs_turn(struct gw_es *s)
{
    struct gw_es_job *first;

    while (!gw_es_is_full(s) && (first = whose_turn(s))) {
        first->waits_for_turn = false;
        first->number = s->n_attempts++; /* behind the others, the next time */
        gw_es_job_next(first);
    }
}

/* ---- stopping ----------------------------------------------------------------------------------------------- */

void gw_es_job_stop(struct gw_es_job *j)
{
    j->stopped = true;
    j->waits_for_probe = j->waits_for_turn = false;
    snprintf(j->reason, sizeof(j->reason), "shutdown");
    snprintf(j->message, sizeof(j->message), "the gateway stopped before the server answered");
    gw_timer_disarm(&j->timer);
    end_rest(j);
    if (j->post)
        gw_post_cancel(j->post); /* its answer follows */
    else
        gw_timer_arm(j->s->loop, &j->s->stop_timer, 0);
}

void gw_es_on_stop_timer(struct gw_timer *t)
{
    struct gw_es *s = (struct gw_es *)((char *)t - offsetof(struct gw_es, stop_timer));
    struct gw_es_job *next;

    for (struct gw_es_job *j = s->jobs; j; j = next) {
        next = j->next;
        if (j->stopped && !j->post)
            end(j);
    }
}
