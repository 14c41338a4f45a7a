/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

static struct consumer *by_id(const struct journal *j, uint32_t id)
{
    for (unsigned i = 0; i < j->n_consumers; i++)
        if (j->consumers[i].id == id)
            return &j->consumers[i];
    return NULL;
}

/* Do those hold rows back that are not there? Only while nobody is. */
static bool holds(const struct journal *j)
{
    return j->conf.retention.keep_unread && j->n_consumers == 0;
}

static void see(void *arg, const struct gw_log_consumer *c)
{
    struct consumer *known = by_id(arg, c->id);
    struct journal *j = arg;

    if (known)
        known->told_dropped = c->settled[GW_LOG_DROPPED];
    else if (!c->is_open && c->name[0] != '#')
        gw_log(&j->ctx.logger, GW_LOG_WARN,
               "pipeline \"%s\" read this journal before and does not now; its position is kept%s, until it does "
               "again, or \"staunch queue release journal/%s %s\"",
               c->name, holds(j) ? ", and what it has not read" : "", gw_journal_name(j), c->name);
}

struct gw_log_retention gw_journal_retention(const struct journal_settings *s, enum gw_log_keep keep)
{
    return (struct gw_log_retention){.max_bytes = s->retention.max_bytes,
                                     .max_age_ns = s->retention.max_age_ns,
                                     .keep = s->retention.keep_unread ? keep : GW_LOG_KEEP_NONE};
}

/* Those that read are open; who is not there any more holds nothing back. */
void gw_journal_retain(struct journal *j)
{
    struct gw_log_retention r = gw_journal_retention(&j->conf, j->n_consumers ? GW_LOG_KEEP_OPEN : GW_LOG_KEEP_ALL);

    gw_log_retain(j->log, &r);
}

int gw_journal_consumers_open(struct journal *j, const struct gw_intake *list, struct gw_err *err)
{
    unsigned n = 0;
    int rc;

    if (j->has_consumers)
        return 0;
    for (const struct gw_intake *in = list; in; in = in->next)
        n++;
    j->consumers = calloc(n + 1, sizeof(*j->consumers));
    if (!j->consumers)
        return gw_fail(err, -ENOMEM, "out of memory");
    for (const struct gw_intake *in = list; in; in = in->next) {
        struct consumer *c = &j->consumers[j->n_consumers];

        *c = (struct consumer){.journal = j, .pipeline = in->pipeline, .index = j->n_consumers};
        rc = gw_log_consumer_open(j->log, in->pipeline, (enum gw_log_start)j->conf.start, &c->id);
        if (rc < 0)
            return gw_fail(err, rc, "pipeline %s cannot read it: %s", in->pipeline, strerror(-rc));
        j->n_consumers++;
        gw_journal_metrics_of(c);
    }
    j->has_consumers = true;
    gw_journal_retain(j);
    return j->ctx.host->for_replay ? 0 : gw_log_consumers(j->log, see, j);
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
    if (j->n_consumers)
        (void)gw_log_consumers(j->log, look, j);
}
