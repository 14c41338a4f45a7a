/* SPDX-License-Identifier: Apache-2.0 */
/* What a scrape asks is answered from any thread: from the log, and from what the lanes leave behind for it. */
#include <stdio.h>

#include "connectors/journal/journal.h"

static uint64_t read_bytes(void *arg)
{
    struct gw_log_stats s;

    gw_log_stats(((struct journal *)arg)->log, &s);
    return s.bytes;
}

static uint64_t read_first(void *arg)
{
    struct gw_log_stats s;

    gw_log_stats(((struct journal *)arg)->log, &s);
    return s.first_seq;
}

static uint64_t read_end(void *arg)
{
    struct gw_log_stats s;

    gw_log_stats(((struct journal *)arg)->log, &s);
    return s.end_seq;
}

/* The oldest frame that a lane of this consumer has in hands. */
static uint64_t oldest(const struct consumer *c, uint64_t *ret_ns)
{
    uint64_t row = UINT64_MAX;

    *ret_ns = 0;
    for (unsigned i = 0; i < c->journal->ctx.n_workers; i++) {
        uint64_t r = atomic_load_explicit(&c->at[i].row, memory_order_relaxed);
        uint64_t ns = atomic_load_explicit(&c->at[i].ns, memory_order_relaxed);

        if (r < row) {
            row = r;
            *ret_ns = ns;
        }
    }
    return row;
}

static uint64_t lag_rows(const struct consumer *c, struct gw_log_stats *s)
{
    uint64_t ns, row = oldest(c, &ns);

    gw_log_stats(c->journal->log, s);
    return row < s->end_row ? s->end_row - row : 0;
}

static uint64_t read_lag_rows(void *arg)
{
    struct gw_log_stats s;

    return lag_rows(arg, &s);
}

static uint64_t read_lag_bytes(void *arg)
{
    struct gw_log_stats s;
    uint64_t rows = lag_rows(arg, &s);

    return s.end_row > s.first_row ? (uint64_t)((double)s.bytes * (double)rows / (double)(s.end_row - s.first_row)) : 0;
}

static uint64_t read_lag_ns(void *arg)
{
    const struct consumer *c = arg;
    uint64_t ns, now = gw_wall_ns(c->journal->ctx.env);

    return oldest(c, &ns) != UINT64_MAX && now > ns ? now - ns : 0;
}

static struct gw_metric *counter(const struct consumer *c, const char *name, const char *help)
{
    const struct gw_label l[] = {{"journal", c->journal->ctx.id}, {"pipeline", c->pipeline}};

    return gw_meter_get(c->journal->ctx.meter, GW_COUNTER, name, help, l, 2);
}

static void positions(struct consumer *c)
{
    char partition[8];
    const struct gw_label l[] = {{"journal", c->journal->ctx.id}, {"pipeline", c->pipeline}, {"partition", partition}};

    for (unsigned i = 0; i < JOURNAL_PARTITIONS && c->journal->ctx.detailed; i++) {
        (void)snprintf(partition, sizeof(partition), "%u", i);
        c->positions[i] = gw_meter_get(c->journal->ctx.meter, GW_GAUGE, "staunch_journal_position",
                                       "Position behind the last frame that the pipeline has done.", l, 3);
    }
}

void gw_journal_metrics_of(struct consumer *c)
{
    const struct gw_label l[] = {{"journal", c->journal->ctx.id}, {"pipeline", c->pipeline}};
    struct gw_meter *m = c->journal->ctx.meter;

    c->rows = counter(c, "staunch_journal_read_items", "Items of a journal that the pipeline behind has taken.");
    c->failed = counter(c, "staunch_journal_failed_items",
                        "Items of a journal that the pipeline behind will never take; its exporters say why.");
    c->lost = counter(c, "staunch_journal_lost_items", "Items of a journal that were damaged on the disk.");
    c->dropped = counter(c, "staunch_journal_dropped_items",
                         "Items that a journal's retention took before the pipeline had read them.");
    c->retries = counter(c, "staunch_journal_retries", "Times that a journal waited because a pipeline was full.");
    c->reads[0] =
        gw_meter_get_read(m, "staunch_journal_lag_items",
                          "Items of the journal from the oldest that is not done to its end.", l, 2, read_lag_rows, c);
    c->reads[1] = gw_meter_get_read(m, "staunch_journal_lag_bytes", "The same in bytes, by the mean of all items.", l,
                                    2, read_lag_bytes, c);
    c->reads[2] = gw_meter_get_read(m, "staunch_journal_lag_seconds", "Age of the oldest item that is not done.", l, 2,
                                    read_lag_ns, c);
    if (c->reads[2])
        c->reads[2]->scale = 1e-9;
    positions(c);
}

void gw_journal_metrics_make(struct journal *j)
{
    struct gw_meter *m = j->ctx.meter;

    for (unsigned s = 0; s < 3; s++) {
        const struct gw_label l[] = {{"journal", j->ctx.id}, {"signal", gw_signal_name((enum gw_signal)(1u << s))}};

        j->appended[s] =
            gw_meter_get(m, GW_COUNTER, "staunch_journal_appended_items", "Items stored in a journal.", l, 2);
        j->refused[s] =
            gw_meter_get(m, GW_COUNTER, "staunch_journal_refused_items",
                         "Items that a journal could not store; their senders were told to come again.", l, 2);
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct gw_label l[] = {{"journal", j->ctx.id}, {"from", i ? "log" : "head"}};
        struct gw_metric **to = i ? &j->from_log : &j->from_head;

        *to = gw_meter_get(m, GW_COUNTER, "staunch_journal_read_frames",
                           "Frames that pipelines took from memory (head), or had to be read (log).", l, 2);
    }
    {
        const struct gw_label l[] = {{"journal", j->ctx.id}};

        j->handed = gw_meter_get(m, GW_COUNTER, "staunch_journal_handed_frames",
                                 "Of the frames taken from memory, those whose rows were handed over as they were "
                                 "decoded, and not decoded again.",
                                 l, 1);
        j->fetch_bytes = gw_meter_get(m, GW_COUNTER, "staunch_journal_fetch_bytes",
                                      "Bytes that pipelines which were behind had read from a journal's log.", l, 1);
        j->fetch_ns = gw_meter_get(m, GW_COUNTER, "staunch_journal_fetch_seconds",
                                   "Time that the log's reader thread took for it.", l, 1);
        if (j->fetch_ns)
            j->fetch_ns->scale = 1e-9;
        j->reads[0] =
            gw_meter_get_read(m, "staunch_journal_bytes", "What a journal takes on the disk.", l, 1, read_bytes, j);
        j->reads[1] = gw_meter_get_read(m, "staunch_journal_first_position", "Position of a journal's oldest frame.", l,
                                        1, read_first, j);
        j->reads[2] = gw_meter_get_read(m, "staunch_journal_end_position", "Position that a journal's next frame gets.",
                                        l, 1, read_end, j);
    }
}

static void unread(struct gw_metric *const *m, unsigned n, void *arg)
{
    for (unsigned i = 0; i < n; i++)
        if (m[i])
            gw_metric_unread(m[i], arg);
}

void gw_journal_metrics_part(struct consumer *c)
{
    unread(c->reads, CONSUMER_READS, c);
}

void gw_journal_metrics_clear(struct journal *j)
{
    unread(j->reads, JOURNAL_READS, j);
}
