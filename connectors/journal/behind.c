/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines come and go: a lane of each on each worker, and a consumer of the log for all lanes of one pipeline.
 *
 *   open, join   the lane is made, where the consumer is, and rests
 *   begin        it takes and sends
 *   leave        it rests; what is under way comes back, and its position is written
 *   part         it is gone; with the last one of its pipeline the consumer is closed, and keeps its place
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

static int make_room(struct local *l)
{
    struct lane **more = realloc(l->lanes, (l->n_lanes + 1) * sizeof(struct lane *));

    if (!more)
        return -ENOMEM;
    l->lanes = more;
    return 0;
}

/* A commit that is done from now on is heard of; what was before, the lane sees in the log. */
static int open_lane(struct local *l, struct gw_intake *in, struct consumer *c, struct gw_err *err)
{
    struct lane *n = calloc(1, sizeof(*n));
    int rc;

    if (!n || make_room(l) < 0) {
        gw_journal_lane_free(n);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    atomic_store(&l->reads, true);
    rc = gw_journal_lane_open(n, l, in, c, err);
    if (rc < 0) {
        gw_journal_lane_close(n);
        gw_journal_lane_free(n);
        atomic_store(&l->reads, l->n_lanes > 0);
        return rc;
    }
    l->lanes[l->n_lanes++] = n;
    atomic_store(&l->takes_live, true); /* until the first turn says otherwise */
    return 0;
}

static int join(void *local, struct gw_intake *in, struct gw_err *err)
{
    struct local *l = local;
    struct consumer *c;
    bool is_ours;
    int rc;

    in->local = NULL;
    if (gw_journal_parting_owned(l->journal, l->journal->parting.n, l->index) == 0) /* there are more workers */
        return 0;
    rc = gw_journal_consumer_join(l->journal, in->pipeline, &c, err);
    if (rc < 0)
        return rc;
    is_ours = gw_journal_parting_owned(l->journal, c->n_parts, l->index) != 0;
    if (is_ours)
        rc = open_lane(l, in, c, err);
    if (rc < 0 || !is_ours)
        gw_journal_consumer_part(c, false);
    return rc;
}

static void begin(struct gw_intake *in)
{
    struct lane *n = in->local;

    if (!n || !n->rests)
        return;
    gw_journal_consumer_begin(n->consumer);
    n->rests = false;
    gw_journal_lane_look(n);
    gw_loop_again(n->local->loop);
}

static void leave(struct gw_intake *in)
{
    struct lane *n = in->local;

    if (!n)
        return;
    n->rests = true;
    gw_loop_again(n->local->loop);
}

static bool is_idle(const struct gw_intake *in)
{
    return !in->local || gw_journal_lane_is_idle(in->local);
}

static void part(struct gw_intake *in)
{
    struct lane *n = in->local;
    struct local *l;
    unsigned i = 0;

    if (!n)
        return;
    l = n->local;
    while (l->lanes[i] != n)
        i++;
    memmove(&l->lanes[i], &l->lanes[i + 1], (--l->n_lanes - i) * sizeof(struct lane *));
    atomic_store(&l->reads, l->n_lanes > 0);
    gw_journal_lane_close(n);
    gw_journal_consumer_part(n->consumer, /* tell= */ true);
    gw_journal_lane_free(n);
}

const struct gw_behind_ops gw_journal_behind = {
    .join = join, .begin = begin, .leave = leave, .is_idle = is_idle, .part = part};

/* ---- all of a local --------------------------------------------------------------------------------------- */

int gw_journal_lanes_open(struct local *l, struct gw_intake *list, struct gw_err *err)
{
    int rc = 0;

    for (struct gw_intake *in = list; in && rc == 0; in = in->next)
        rc = join(l, in, err);
    if (rc < 0 || l->index != 0) /* the first one reads for everybody who is there */
        return rc;
    rc = gw_journal_consumers_name(l->journal);
    return rc < 0 ? gw_fail(err, rc, "it is not known who reads it: %s", strerror(-rc)) : 0;
}

/* Their memory stays: positions may be on their way to the log. */
void gw_journal_lanes_close(struct local *l)
{
    for (unsigned i = 0; i < l->n_lanes; i++) {
        gw_journal_lane_close(l->lanes[i]);
        gw_journal_consumer_part(l->lanes[i]->consumer, /* tell= */ false);
    }
}

void gw_journal_lanes_free(struct local *l)
{
    for (unsigned i = 0; i < l->n_lanes; i++)
        gw_journal_lane_free(l->lanes[i]);
    free(l->lanes);
}
