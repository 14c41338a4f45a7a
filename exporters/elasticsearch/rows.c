/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of an attempt's rows. A row is delivered when all its documents are; one that was refused makes it a dead
 * letter, once, also when others of its documents are stored.
 */
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"

enum { MAX_CUT_BYTES = 512 << 20 };

/* Those refused for that reason; when there are too many kinds, one of the same name takes them in. */
static struct gw_es_refusal *refusal_of(struct gw_es_job *j, const struct gw_es_refusal *why)
{
    struct gw_es_refusal *g, *near = NULL;

    for (unsigned i = 0; i < j->n_refusals; i++) {
        g = &j->refusals[i];
        if (strcmp(g->reason, why->reason) != 0 || g->code != why->code)
            continue;
        if (strcmp(g->message, why->message) == 0)
            return g;
        near = g;
    }
    if (j->n_refusals == GW_ES_REFUSALS)
        return near ? near : &j->refusals[GW_ES_REFUSALS - 1];
    g = &j->refusals[j->n_refusals];
    *g = *why;
    if (gw_rows_init(&g->rows, j->n_rows) < 0)
        return near;
    j->n_refusals++;
    return g;
}

/* Without memory for a dead letter's list, a row is left, and the queue says what becomes of it. */
static void leave_row(struct gw_es_job *j, uint32_t row)
{
    if (!j->left.bits && gw_rows_init(&j->left, j->n_rows) < 0)
        return;
    (void)gw_rows_add(&j->left, row);
}

void gw_es_bury_row(struct gw_es_job *j, uint32_t row, const struct gw_es_refusal *why)
{
    struct gw_es_refusal *g;

    if (!j->dead.bits && gw_rows_init(&j->dead, j->n_rows) < 0) {
        leave_row(j, row);
        return;
    }
    if (!gw_rows_add(&j->dead, row))
        return;
    g = refusal_of(j, why);
    if (g)
        (void)gw_rows_add(&g->rows, row);
    else
        leave_row(j, row);
}

void gw_es_bury_doc(struct gw_es_job *j, uint32_t doc, const struct gw_es_refusal *why)
{
    const struct gw_es_doc *d = &j->docs.docs[doc];

    j->fates[doc] = GW_ES_DEAD;
    for (uint32_t i = 0; i < d->n_rows; i++)
        gw_es_bury_row(j, j->docs.rows[d->rows + i], why);
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

static void tell_dead(struct gw_es_job *j, const struct gw_es_refusal *g)
{
    struct gw_attempt *a = j->a;
    struct gw_buf body;

    gw_buf_init(&body, MAX_CUT_BYTES);
    if (gw_rows_extract(a->signal, a->body, &g->rows, &body) == 0)
        a->dead(a, &(struct gw_death){.class_ = g->class_,
                                      .reason = g->reason,
                                      .message = g->message,
                                      .code = g->code,
                                      .body = gw_buf_slice(&body),
                                      .rows = g->rows.n,
                                      .bits = g->rows.bits});
    else
        for (uint32_t row = 0; row < j->n_rows; row++)
            if (gw_rows_has(&g->rows, row))
                leave_row(j, row);
    gw_buf_clear(&body);
}

void gw_es_rows_collect(struct gw_es_job *j)
{
    for (uint32_t i = 0; i < j->docs.n_docs; i++) {
        const struct gw_es_doc *d = &j->docs.docs[i];
        unsigned fate = j->fates[i] & GW_ES_FATE;

        if (fate != GW_ES_LEFT && fate != GW_ES_PENDING)
            continue;
        for (uint32_t k = 0; k < d->n_rows; k++)
            if (!gw_rows_has(&j->dead, j->docs.rows[d->rows + k]))
                leave_row(j, j->docs.rows[d->rows + k]);
    }
}

static void forget(struct gw_rows *set, const struct gw_es_job *j, uint32_t doc)
{
    const struct gw_es_doc *d = &j->docs.docs[doc];

    for (uint32_t k = 0; k < d->n_rows; k++)
        set->bits[j->docs.rows[d->rows + k] / 64] &= ~(1ull << (j->docs.rows[d->rows + k] % 64));
}

void gw_es_rows_taken(struct gw_es_job *j)
{
    struct gw_rows set = {0};

    if (!j->is_read || gw_rows_init(&set, j->n_rows) < 0)
        return;
    for (uint32_t row = 0; row < j->to; row++)
        if (!gw_rows_has(&j->dead, row) && !gw_rows_has(&j->left, row))
            (void)gw_rows_add(&set, row);
    for (uint32_t i = 0; i < j->docs.n_docs; i++)
        if ((j->fates[i] & GW_ES_FATE) != GW_ES_DELIVERED)
            forget(&set, j, i);
    j->a->taken(j->a, set.bits);
    gw_rows_clear(&set);
}

/* Rows of documents that were given up, and those that never became documents. */
static void collect_left(struct gw_es_job *j)
{
    gw_es_rows_collect(j);
    for (uint32_t row = j->to; row < j->n_rows; row++)
        if (!gw_rows_has(&j->dead, row))
            leave_row(j, row);
}

static void tell_left(struct gw_es_job *j, struct gw_buf *body)
{
    struct gw_attempt *a = j->a;
    struct gw_sent_info info = {.sent = GW_SENT_OVER,
                                .reason = j->reason[0] ? j->reason : "retry_exhausted",
                                .message = j->message[0] ? j->message : "out of memory",
                                .retry_after_ns = j->retry_after_ns};

    /* All of them: the body as it is. */
    if (j->is_read && j->left.n < j->n_rows && gw_rows_extract(a->signal, a->body, &j->left, body) == 0) {
        info.left = gw_buf_slice(body);
        info.left_rows = j->left.n;
        info.left_bits = j->left.bits;
    }
    a->done(a, &info);
}

void gw_es_job_end(struct gw_es_job *j)
{
    struct gw_attempt *a = j->a;
    struct gw_buf body;

    collect_left(j);
    for (unsigned i = 0; i < j->n_refusals; i++)
        if (j->refusals[i].rows.n)
            tell_dead(j, &j->refusals[i]);
    a->impl = NULL;
    if (j->left.n || !j->is_read) {
        gw_buf_init(&body, MAX_CUT_BYTES);
        tell_left(j, &body);
        gw_buf_clear(&body);
    } else {
        a->done(a, &(struct gw_sent_info){.sent = GW_SENT_OK});
    }
    for (unsigned i = 0; i < j->n_refusals; i++)
        gw_rows_clear(&j->refusals[i].rows);
    j->n_refusals = 0;
    gw_rows_clear(&j->dead);
    gw_rows_clear(&j->left);
}
