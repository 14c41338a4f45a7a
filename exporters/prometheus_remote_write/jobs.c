/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/prometheus_remote_write/rw.h"

enum { KEPT_ARENA_BYTES = 256 << 10, KEPT_PACKED_BYTES = 1 << 20, MAX_LEFT_BYTES = 1 << 30 };

/* ---- what is kept --------------------------------------------------------------------------------------------- */

static void send_free(struct gw_rw_send *rq)
{
    gw_buf_clear(&rq->packed);
    free(rq->rows);
    free(rq);
}

struct gw_rw_send *gw_rw_send_new(struct gw_rw *s)
{
    struct gw_rw_send *rq = s->kept_sends;

    if (rq) {
        s->kept_sends = rq->next;
        s->n_kept_sends--;
        return rq;
    }
    rq = calloc(1, sizeof(*rq));
    if (rq)
        gw_buf_init(&rq->packed, GW_RW_MAX_BODY_BYTES);
    return rq;
}

void gw_rw_send_put(struct gw_rw *s, struct gw_rw_send *rq)
{
    gw_rw_hunt_end(rq);
    if (s->n_kept_sends >= GW_RW_KEPT_REQUESTS) {
        send_free(rq);
        return;
    }
    if (rq->packed.cap > KEPT_PACKED_BYTES)
        gw_buf_clear(&rq->packed);
    gw_buf_reset(&rq->packed);
    rq->n_rows = 0;
    rq->strikes = 0;
    rq->tries = (struct gw_tries){0};
    rq->next = s->kept_sends;
    s->kept_sends = rq;
    s->n_kept_sends++;
}

static struct gw_rw_job *job_new(struct gw_rw *s)
{
    struct gw_rw_job *j = s->kept_jobs;

    if (!j)
        return calloc(1, sizeof(*j));
    s->kept_jobs = j->next;
    s->n_kept_jobs--;
    *j = (struct gw_rw_job){0};
    return j;
}

static void job_put(struct gw_rw_job *j)
{
    struct gw_rw *s = j->s;

    gw_rows_clear(&j->dead);
    gw_rows_clear(&j->left);
    for (unsigned i = 0; i < j->n_refusals; i++)
        gw_rows_clear(&j->refusals[i].rows);
    if (s->n_kept_jobs >= GW_RW_KEPT_JOBS) {
        free(j);
        return;
    }
    j->next = s->kept_jobs;
    s->kept_jobs = j;
    s->n_kept_jobs++;
}

void gw_rw_jobs_clear(struct gw_rw *s)
{
    while (s->kept_sends) {
        struct gw_rw_send *rq = s->kept_sends;

        s->kept_sends = rq->next;
        send_free(rq);
    }
    while (s->kept_jobs) {
        struct gw_rw_job *j = s->kept_jobs;

        s->kept_jobs = j->next;
        free(j);
    }
    s->n_kept_sends = s->n_kept_jobs = 0;
    gw_buf_clear(&s->scratch);
}

/* ---- rows that end badly -------------------------------------------------------------------------------------- */

/* False when it was there, or for want of memory. */
static bool mark(struct gw_rw_job *j, struct gw_rows *set, uint32_t row)
{
    if (!set->n_bits && gw_rows_init(set, j->n_rows) < 0)
        return false;
    return gw_rows_add(set, row);
}

void gw_rw_job_leave(struct gw_rw_job *j, const uint32_t *rows, uint32_t n, const char *why, const char *message)
{
    if (!j->why[0]) {
        snprintf(j->why, sizeof(j->why), "%s", why);
        snprintf(j->message, sizeof(j->message), "%s", message ? message : why);
    }
    for (uint32_t i = 0; i < n; i++)
        if (!gw_rows_has(&j->dead, rows[i]) && !mark(j, &j->left, rows[i]) && !gw_rows_has(&j->left, rows[i]))
            j->all_left = true; /* no memory to say which: twice is better than never */
}

static bool write_dead_letter(struct gw_rw_job *j, const struct gw_rows *rows, const struct gw_rw_verdict *why)
{
    struct gw_buf out;
    bool ok;

    gw_buf_init(&out, MAX_LEFT_BYTES);
    ok = gw_rows_extract(j->a->signal, j->a->body, rows, &out) == 0;
    if (ok)
        j->a->dead(j->a, &(struct gw_death){.class_ = why->class_,
                                            .reason = why->reason,
                                            .message = why->message,
                                            .code = why->code,
                                            .body = gw_buf_slice(&out),
                                            .rows = rows->n,
                                            .bits = rows->bits});
    gw_buf_clear(&out);
    return ok;
}

void gw_rw_job_bury(struct gw_rw_job *j, const uint32_t *rows, uint32_t n, const struct gw_rw_verdict *why)
{
    struct gw_rows fresh = {0};

    for (uint32_t i = 0; i < n; i++)
        if (!gw_rows_has(&j->dead, rows[i]) && !mark(j, &fresh, rows[i]))
            gw_rw_job_leave(j, &rows[i], 1, why->reason, why->message);
    if (fresh.n && !write_dead_letter(j, &fresh, why)) {
        gw_rw_job_leave(j, rows, n, why->reason, why->message);
        fresh.n = 0;
    }
    for (uint32_t i = 0; fresh.n && i < n; i++)
        if (gw_rows_has(&fresh, rows[i]))
            (void)mark(j, &j->dead, rows[i]);
    gw_rows_clear(&fresh);
}

static void bury_refusals(struct gw_rw_job *j)
{
    for (unsigned i = 0; i < j->n_refusals; i++) {
        struct gw_rw_lost *f = &j->refusals[i];
        const struct gw_rw_verdict why = {"schema", f->reason, f->message, 0};

        if (!write_dead_letter(j, &f->rows, &why))
            for (uint32_t row = 0; row < j->n_rows; row++)
                if (gw_rows_has(&f->rows, row))
                    gw_rw_job_leave(j, &row, 1, f->reason, f->message);
        gw_rows_clear(&f->rows);
    }
    j->n_refusals = 0;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void finish(struct gw_rw_job *j)
{
    struct gw_sent_info info = {.sent = GW_SENT_OK, .rejected_rows = j->rejected};
    struct gw_attempt *a = j->a;
    struct gw_buf left;

    gw_buf_init(&left, MAX_LEFT_BYTES);
    bury_refusals(j);
    if (j->left.n || j->all_left) {
        info = (struct gw_sent_info){
            .sent = GW_SENT_OVER, .reason = j->why, .message = j->message, .retry_after_ns = j->retry_after_ns};
        if (!j->all_left && j->left.n < j->n_rows && gw_rows_extract(a->signal, a->body, &j->left, &left) == 0) {
            info.left = gw_buf_slice(&left);
            info.left_rows = j->left.n;
            info.left_bits = j->left.bits;
        }
    }
    a->impl = NULL;
    a->done(a, &info);
    gw_buf_clear(&left);
    job_put(j);
}

void gw_rw_job_settle(struct gw_rw_job *j)
{
    if (--j->open == 0)
        finish(j);
}

/* ---- translation ------------------------------------------------------------------------------------------------ */

/** Requests of a body, until it is known that all of it could be translated. */
struct harvest {
    struct gw_rw_job *job;
    struct gw_rw_send *first, **last;
    uint64_t n_series;
    bool failed; /* a row has no translation */
};

static int keep_rows(struct gw_rw_send *rq, const uint32_t *rows, uint32_t n)
{
    if (n > rq->cap_rows) {
        uint32_t *more = realloc(rq->rows, n * sizeof(*more));

        if (!more)
            return -ENOMEM;
        rq->rows = more;
        rq->cap_rows = n;
    }
    if (n)
        memcpy(rq->rows, rows, n * sizeof(*rows));
    rq->n_rows = n;
    return 0;
}

/** Room for the worst case is lent, so that a request that waits takes what it needs. */
static int pack(struct gw_rw *s, struct gw_rw_send *rq, struct gw_slice body)
{
    int r;

    gw_buf_reset(&s->scratch);
    r = gw_compress(GW_SNAPPY, 0, body, &s->scratch, NULL);
    if (r == 0)
        r = gw_buf_reserve(&rq->packed, s->scratch.n);
    if (r == 0)
        gw_buf_put_slice(&rq->packed, gw_buf_slice(&s->scratch));
    return r;
}

static int emit(void *arg, const struct gw_rw_request *r)
{
    struct harvest *h = arg;
    struct gw_rw *s = h->job->s;
    struct gw_rw_send *rq = gw_rw_send_new(s);
    int rc = rq ? keep_rows(rq, r->rows, r->n_rows) : -ENOMEM;

    if (rc == 0)
        rc = pack(s, rq, r->body);
    if (rc < 0) {
        if (rq)
            gw_rw_send_put(s, rq);
        return rc;
    }
    rq->job = h->job;
    rq->shard = r->shard;
    rq->version = s->speaks;
    rq->n_samples = r->n_samples;
    rq->n_histograms = r->n_histograms;
    rq->n_exemplars = r->n_exemplars;
    rq->next = NULL;
    *h->last = rq;
    h->last = &rq->next;
    h->n_series += r->n_series;
    return 0;
}

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    struct harvest *h = arg;
    struct gw_rw_job *j = h->job;
    struct gw_rw_lost *f = NULL;

    h->failed = true;
    for (unsigned i = 0; i < j->n_refusals && !f; i++)
        if (strncmp(j->refusals[i].reason, reason, sizeof(f->reason) - 1) == 0 || i == GW_RW_REFUSALS - 1)
            f = &j->refusals[i];
    if (!f) {
        f = &j->refusals[j->n_refusals++];
        *f = (struct gw_rw_lost){0};
        snprintf(f->reason, sizeof(f->reason), "%s", reason);
        snprintf(f->message, sizeof(f->message), "%s", message);
    }
    if (!mark(j, &f->rows, row) && !gw_rows_has(&f->rows, row))
        gw_rw_job_leave(j, &row, 1, "out_of_memory", "out of memory");
}

static int translate(struct gw_rw *s, struct harvest *h)
{
    const struct gw_rw_sink sink = {.arg = h, .emit = emit, .refuse = refuse};
    struct gw_view v;
    int r;

    gw_view_init(&v, s->batch, &s->arena);
    r = gw_rw_translate(s->translator, &v, s->speaks, &sink);
    gw_view_clear(&v);
    gw_arena_reset(&s->arena, KEPT_ARENA_BYTES);
    return r;
}

static void drop_harvest(struct gw_rw *s, struct harvest *h)
{
    while (h->first) {
        struct gw_rw_send *rq = h->first;

        h->first = rq->next;
        gw_rw_send_put(s, rq);
    }
}

static void queue_harvest(struct gw_rw *s, struct harvest *h)
{
    struct gw_rw_job *j = h->job;

    gw_metric_add(s->metrics.translated, h->n_series);
    gw_metric_add(s->metrics.failed_translations, h->failed);
    j->open = 1; /* until all are in their shards */
    while (h->first) {
        struct gw_rw_send *rq = h->first;

        h->first = rq->next;
        j->open++;
        gw_rw_shard_append(s, rq);
    }
    gw_rw_job_settle(j);
    gw_rw_shards_pump(s);
}

static void fail(struct gw_attempt *a, enum gw_sent sent, const char *reason, const char *message)
{
    a->done(a, &(struct gw_sent_info){.sent = sent, .reason = reason, .message = message});
}

void gw_rw_job_start(struct gw_rw *s, struct gw_attempt *a)
{
    struct gw_rw_job *j = job_new(s);
    struct harvest h = {.job = j, .last = &h.first};
    struct gw_err err = {{0}};
    int r = j ? gw_rows_decode(&s->batch, a->signal, a->body, a->payload, &err) : -ENOMEM;

    if (r == 0) {
        j->s = s;
        j->a = a;
        j->n_rows = s->batch->n_rows;
        a->impl = j;
        r = translate(s, &h);
        gw_batch_reset(s->batch, a->signal); /* it shares the body's memory */
    }
    if (r == 0) {
        queue_harvest(s, &h);
        return;
    }
    drop_harvest(s, &h);
    if (j) {
        j->s = s;
        job_put(j);
    }
    a->impl = NULL;
    if (r == -EBADMSG)
        fail(a, GW_SENT_PERMANENT, "decode", err.text);
    else
        fail(a, GW_SENT_OVER, "out_of_memory", "out of memory");
}
