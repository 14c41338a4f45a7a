/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

static struct consumer *by_id(const struct journal *j, uint32_t id)
{
    struct consumer *c = j->consumers;

    while (c && c->id != id)
        c = c->next;
    return c;
}

/* ---- those that were there -------------------------------------------------------------------------------- */

/* Do they hold rows back? Only while nobody reads. */
static bool holds(const struct journal *j)
{
    return j->conf.retention.keep_unread && !j->consumers;
}

static void name(const struct journal *j, enum gw_log_level level, const char *pipeline, const char *what)
{
    gw_log(
        &j->ctx.logger, level,
        "pipeline \"%s\" %s; its position is kept%s, until it does again, or \"staunch queue release journal/%s %s\"",
        pipeline, what, holds(j) ? ", and what it has not read" : "", gw_journal_name(j), pipeline);
}

static void see(void *arg, const struct gw_log_consumer *c)
{
    const struct journal *j = arg;

    if (!by_id(j, c->id) && !c->is_open && c->name[0] != '#')
        name(j, GW_LOG_WARN, c->name, "read this journal before and does not now");
}

int gw_journal_consumers_name(struct journal *j)
{
    int rc = 0;

    (void)pthread_mutex_lock(&j->lock);
    if (!j->has_looked && !j->ctx.host->for_replay)
        rc = gw_log_consumers(j->log, see, j);
    j->has_looked = true;
    (void)pthread_mutex_unlock(&j->lock);
    return rc;
}

/* ---- retention -------------------------------------------------------------------------------------------- */

struct gw_log_retention gw_journal_retention(const struct journal_settings *s, enum gw_log_keep keep)
{
    return (struct gw_log_retention){.max_bytes = s->retention.max_bytes,
                                     .max_age_ns = s->retention.max_age_ns,
                                     .keep = s->retention.keep_unread ? keep : GW_LOG_KEEP_NONE};
}

/* Those that read are open; who is not there any more holds nothing back. */
static void retain(struct journal *j)
{
    struct gw_log_retention r = gw_journal_retention(&j->conf, j->n_begun ? GW_LOG_KEEP_OPEN : GW_LOG_KEEP_ALL);

    gw_log_retain(j->log, &r);
}

void gw_journal_retain(struct journal *j, const struct journal_retention *to)
{
    (void)pthread_mutex_lock(&j->lock);
    j->conf.retention = *to;
    retain(j);
    (void)pthread_mutex_unlock(&j->lock);
}

static void look(void *arg, const struct gw_log_consumer *c)
{
    struct consumer *known = by_id(arg, c->id);
    uint64_t dropped = c->settled[GW_LOG_DROPPED];

    if (!known || dropped <= known->told_dropped)
        return;
    gw_metric_add(known->dropped, dropped - known->told_dropped);
    gw_log(&known->journal->ctx.logger, GW_LOG_ERROR,
           "%s: %llu rows were dropped before it had read them: the journal's retention is over", known->pipeline,
           (unsigned long long)(dropped - known->told_dropped));
    known->told_dropped = dropped;
}

void gw_journal_consumers_look(struct journal *j)
{
    (void)pthread_mutex_lock(&j->lock);
    if (j->consumers)
        (void)gw_log_consumers(j->log, look, j);
    (void)pthread_mutex_unlock(&j->lock);
}

/* ---- coming and going ------------------------------------------------------------------------------------- */

static struct consumer *by_name(const struct journal *j, const char *pipeline)
{
    struct consumer *c = j->consumers;

    while (c && strcmp(c->pipeline, pipeline) != 0)
        c = c->next;
    return c;
}

/* Of a log that may know it: what was dropped is told. */
static void find_known(void *arg, const struct gw_log_consumer *known)
{
    struct consumer *c = arg;

    if (strcmp(known->name, c->pipeline) != 0)
        return;
    c->is_new = false;
    c->told_dropped = known->settled[GW_LOG_DROPPED];
}

static void find_low(void *arg, const struct gw_log_consumer *known)
{
    uint64_t *low = (uint64_t *)arg;

    if (known->id == low[0])
        low[1] = known->low;
}

/* For as long as the process runs: one worker's lane may come when another one's has not gone, or has. */
struct known_parts {
    struct known_parts *next;
    uint32_t id;
    unsigned n_parts;
};

void gw_journal_consumers_forget(struct journal *j)
{
    for (struct known_parts *k = j->known_parts, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    j->known_parts = NULL;
}

static int remember(struct journal *j, const struct consumer *c)
{
    struct known_parts *k = malloc(sizeof(*k));

    if (!k)
        return -ENOMEM;
    *k = (struct known_parts){j->known_parts, c->id, c->n_parts};
    j->known_parts = k;
    return 0;
}

/* In how many partitions it reads: as few as its oldest row may lie in. */
static int find_parts(struct consumer *c)
{
    struct journal *j = c->journal;
    uint64_t at[JOURNAL_PARTITIONS], low[2] = {c->id, 0}, least = UINT64_MAX;
    int rc;

    for (const struct known_parts *k = j->known_parts; k; k = k->next)
        if (k->id == c->id) {
            c->n_parts = k->n_parts;
            return 0;
        }
    rc = gw_log_consumers(j->log, find_low, low);
    if (rc == 0)
        rc = gw_journal_parting_positions(j, c->id, low[1], at);
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        least = rc == 0 && at[i] < least ? at[i] : least;
    c->n_parts = gw_journal_parting_at(&j->parting, least);
    if (rc == 0)
        rc = remember(j, c);
    if (rc == 0 && c->n_parts < j->parting.n && c->n_parts < j->ctx.n_workers)
        gw_log(&j->ctx.logger, GW_LOG_WARN,
               "pipeline \"%s\" has rows to read of when there were %u partitions: %u of %u workers read for it, until "
               "it is started again behind them",
               c->pipeline, c->n_parts, c->n_parts, j->ctx.n_workers);
    return rc;
}

static int make(struct journal *j, const char *pipeline, struct consumer **ret, struct gw_err *err)
{
    struct consumer *c = calloc(1, sizeof(*c) + j->ctx.n_workers * sizeof(c->at[0]));
    int rc;

    if (!c)
        return gw_fail(err, -ENOMEM, "out of memory");
    c->journal = j;
    c->pipeline = pipeline;
    c->is_new = true;
    for (unsigned i = 0; i < j->ctx.n_workers; i++)
        c->at[i].row = UINT64_MAX;
    rc = gw_log_consumers(j->log, find_known, c);
    if (rc == 0)
        rc = gw_log_consumer_open(j->log, pipeline, (enum gw_log_start)j->conf.start, &c->id);
    if (rc == 0 && (rc = find_parts(c)) < 0)
        gw_log_consumer_close(j->log, c->id);
    if (rc < 0) {
        free(c);
        return gw_fail(err, rc, "pipeline %s cannot read it: %s", pipeline, strerror(-rc));
    }
    gw_journal_metrics_of(c);
    *j->last_consumer = *ret = c;
    j->last_consumer = &c->next;
    return 0;
}

int gw_journal_consumer_join(struct journal *j, const char *pipeline, struct consumer **ret, struct gw_err *err)
{
    int rc = 0;

    (void)pthread_mutex_lock(&j->lock);
    *ret = by_name(j, pipeline);
    if (!*ret)
        rc = make(j, pipeline, ret, err);
    if (rc == 0)
        (*ret)->n_lanes++;
    (void)pthread_mutex_unlock(&j->lock);
    return rc;
}

void gw_journal_consumer_begin(struct consumer *c)
{
    struct journal *j = c->journal;

    (void)pthread_mutex_lock(&j->lock);
    if (!c->has_begun) {
        c->has_begun = true;
        j->n_begun++;
        retain(j);
    }
    (void)pthread_mutex_unlock(&j->lock);
}

static void unlink_consumer(struct journal *j, struct consumer *c)
{
    struct consumer **p = &j->consumers;

    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    if (j->last_consumer == &c->next)
        j->last_consumer = p;
}

static void end(struct journal *j, struct consumer *c)
{
    unlink_consumer(j, c);
    gw_journal_metrics_part(c);
    if (c->is_new && !c->has_begun)
        (void)gw_log_consumer_release(j->log, c->pipeline);
    else
        gw_log_consumer_close(j->log, c->id);
    if (c->has_begun) {
        j->n_begun--;
        retain(j);
    }
    free(c);
}

void gw_journal_consumer_part(struct consumer *c, bool tell)
{
    struct journal *j = c->journal;
    const char *pipeline = c->pipeline; /* the engine's */
    bool told;

    (void)pthread_mutex_lock(&j->lock);
    told = tell && c->n_lanes == 1 && c->has_begun;
    if (--c->n_lanes == 0)
        end(j, c);
    if (told)
        name(j, GW_LOG_INFO, pipeline, "does not read this journal any more");
    (void)pthread_mutex_unlock(&j->lock);
}
