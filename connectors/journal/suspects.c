/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that the gateway may have crashed of (log/flight.h). A partition that comes to one waits, the others go on;
 * when nothing else can be sent, or HEAD_START is over, it goes alone. Whatever the pipeline says of it acquits it. One
 * that crashed the gateway again is a dead letter, and the partition goes on behind it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/journal/journal.h"

#define HEAD_START_NS UINT64_C(10000000000)
#define ALONE_NS      UINT64_C(10000000000) /* to wait for other verdicts; then the others go on for REST_NS */
#define REST_NS       UINT64_C(30000000000)

static const struct block_frame *frame_of(const struct taken *t)
{
    return &t->block->frames[t->frame];
}

static uint16_t partition_of(const struct lane *n, const struct part *p)
{
    return (uint16_t)(p - n->parts);
}

/* ---- who is suspect --------------------------------------------------------------------------------------- */

/* Of an earlier life, as far as it is not settled. */
void gw_journal_suspects_open(struct lane *n)
{
    struct journal *j = n->local->journal;
    struct gw_host *h = j->ctx.host;
    unsigned all, k = 0;

    n->flight = h->ops->flight ? h->ops->flight(h, j->log, &n->flight_log) : NULL;
    n->scope = gw_flight_scope();
    n->intake->scope = n->scope;
    n->try_ns = gw_loop_now_ns(n->local->loop) + HEAD_START_NS;
    all = gw_flight_suspects(n->flight, n->flight_log, n->consumer->id, NULL, 0);
    n->suspects = all ? calloc(all, sizeof(*n->suspects)) : NULL;
    if (!n->suspects)
        return; /* without memory they are sent as all others */
    all = gw_flight_suspects(n->flight, n->flight_log, n->consumer->id, n->suspects, all);
    for (unsigned i = 0; i < all; i++) {
        const struct gw_flight_rows *r = &n->suspects[i].rows;

        if (r->partition >= JOURNAL_PARTITIONS || !lane_owns(n, r->partition))
            continue;
        if (r->last_seq < part_of(n, r->partition)->done)
            gw_flight_acquit(n->flight, n->suspects[i].id);
        else
            n->suspects[k++] = n->suspects[i];
    }
    n->n_suspects = k;
}

void gw_journal_suspects_close(struct lane *n)
{
    gw_flight_end_trial(n->flight, n);
    free(n->suspects);
    n->suspects = NULL;
    n->n_suspects = 0;
}

/* The most that is known against it. */
static const struct gw_flight_suspect *find(const struct lane *n, const struct part *p, const struct block_frame *f)
{
    const struct gw_flight_suspect *worst = NULL;

    if (f->seq < p->innocent)
        return NULL;
    for (unsigned i = 0; i < n->n_suspects; i++) {
        const struct gw_flight_suspect *s = &n->suspects[i];

        if (s->rows.partition != partition_of(n, p) || f->seq < s->rows.first_seq || f->seq > s->rows.last_seq ||
            (f->seq == s->rows.first_seq && f->time_ns != s->rows.time_ns))
            continue;
        if (!worst || s->crashes > worst->crashes)
            worst = s;
    }
    return worst;
}

bool gw_journal_is_suspect(const struct lane *n, const struct part *p, const struct taken *t)
{
    return n->n_suspects && find(n, p, frame_of(t)) != NULL;
}

/* The next of the partition. */
static const struct gw_flight_suspect *waiting(const struct lane *n, const struct part *p)
{
    return p->unsent ? find(n, p, frame_of(p->unsent)) : NULL;
}

bool gw_journal_suspects_wait(const struct lane *n)
{
    for (unsigned i = 0; n->n_suspects && i < JOURNAL_PARTITIONS; i++)
        if (waiting(n, &n->parts[i]))
            return true;
    return false;
}

/* What was condemned is remembered to the next start: a position is written only later. */
void gw_journal_suspects_passed(struct lane *n, const struct part *p)
{
    unsigned k = 0;

    for (unsigned i = 0; i < n->n_suspects; i++) {
        const struct gw_flight_suspect s = n->suspects[i];

        if (s.rows.partition != partition_of(n, p) || s.rows.last_seq >= p->done)
            n->suspects[k++] = s;
        else if (!s.condemned)
            gw_flight_acquit(n->flight, s.id);
    }
    n->n_suspects = k;
}

/* ---- a request -------------------------------------------------------------------------------------------- */

uint32_t gw_journal_suspects_begin(struct lane *n, struct part *p, const struct taken *first, uint32_t count)
{
    const struct gw_flight_suspect *s = n->trial == p ? find(n, p, frame_of(first)) : NULL;
    struct gw_flight_rows r = {.log = n->flight_log,
                               .consumer = n->consumer->id,
                               .partition = partition_of(n, p),
                               .first_seq = frame_of(first)->seq,
                               .time_ns = frame_of(first)->time_ns};

    while (--count > 0)
        first = first->next;
    r.last_seq = frame_of(first)->seq;
    return gw_flight_begin(n->flight, &r, n->scope, GW_FLIGHT_UNKNOWN, s ? s->crashes : 0);
}

void gw_journal_suspects_end(struct lane *n, struct part *p, uint32_t slot, const struct taken *answered)
{
    gw_flight_end(n->flight, slot);
    if (n->trial != p)
        return;
    n->trial = NULL;
    n->wanted_ns = gw_loop_now_ns(n->local->loop);
    gw_flight_end_trial(n->flight, n);
    if (answered)
        p->innocent = frame_of(answered)->seq + 1;
}

/* ---- trials ----------------------------------------------------------------------------------------------- */

/* True: it is on its way to the dead letters, or gone. */
static bool bury(struct lane *n, struct part *p, const struct gw_flight_suspect *s)
{
    const struct block_frame *f = frame_of(p->unsent);
    const char *name = sigabbrev_np(s->signal);
    char message[160];
    const struct gw_buried b = {
        .reason = "crash_suspect", .message = message, .rows = f->rows, .attempts = s->crashes, .first_ns = f->time_ns};

    (void)snprintf(message, sizeof(message),
                   "the gateway crashed %u times (SIG%s) while it worked on these rows, the last time on nothing else",
                   s->crashes, name ? name : "?");
    if (!gw_journal_send_letter(n, p, &b))
        return false;
    gw_log(&n->local->journal->ctx.logger, GW_LOG_ERROR, "%s: %u rows do not go through any more: %s",
           n->intake->pipeline, b.rows, message);
    return true;
}

static bool others_wait(const struct lane *n)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        if (n->parts[i].n_again || (n->parts[i].unsent && !waiting(n, &n->parts[i])))
            return true;
    return false;
}

/* What waits behind suspects fills it. */
static bool is_full(const struct lane *n)
{
    return n->bytes >= atomic_load_explicit(&n->local->journal->in_flight_bytes, memory_order_relaxed);
}

/* The lane is for the suspect as soon as the others had their turn. */
static bool wants(struct lane *n, uint64_t now)
{
    if (n->wants_trial && now >= n->wanted_ns + ALONE_NS) { /* somebody's verdict does not come */
        n->wants_trial = false;
        n->try_ns = now + REST_NS;
    }
    if (!n->wants_trial && (now >= n->try_ns || !others_wait(n) || is_full(n))) {
        n->wants_trial = true;
        n->wanted_ns = now;
    }
    return n->wants_trial;
}

bool gw_journal_suspects_hold(const struct lane *n)
{
    return n->trial || n->wants_trial;
}

bool gw_journal_suspects_run(struct lane *n)
{
    struct part *next = NULL;
    bool any = false;

    for (unsigned i = 0; n->n_suspects && i < JOURNAL_PARTITIONS; i++) {
        struct part *p = &n->parts[i];
        const struct gw_flight_suspect *s = waiting(n, p);

        if (s && s->condemned)
            any |= bury(n, p, s);
        else if (s && !next && !p->requests) /* those before it have to be done */
            next = p;
    }
    if (!next && !n->trial)
        n->wants_trial = false;
    if (!next || n->trial || !wants(n, gw_loop_now_ns(n->local->loop)) || n->n_under_way > 0 ||
        !gw_flight_take_trial(n->flight, n))
        return any;
    n->trial = next;
    if (!gw_journal_send_one(n, next) && n->trial) { /* there was no memory for it */
        n->trial = NULL;
        gw_flight_end_trial(n->flight, n);
        return any;
    }
    return true;
}
