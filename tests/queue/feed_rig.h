/* SPDX-License-Identifier: Apache-2.0 */
/* An exporter whose memory keeps one request, on a log whose reading fails when the test says so. */
#ifndef GW_TESTS_FEED_RIG_H
#define GW_TESTS_FEED_RIG_H

#include "queue/edge_impl.h"
#include "tests/queue/durable_rig.h"

#include <unistd.h>

/* ---- a log that fails ------------------------------------------------------------------------------------------- */

static const struct gw_log_ops *whole;
static struct gw_log_ops failing;
static struct {
    unsigned n_tried;                      /* frames asked for */
    unsigned no_reader, no_seek, no_frame; /* so many times from now on */
} disk;

static bool fails(unsigned *times)
{
    return *times && (*times)--;
}

static int reader_new(struct gw_log *l, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret)
{
    return fails(&disk.no_reader) ? -EMFILE : whole->reader_new(l, conf, ret);
}

static int seek(struct gw_log_reader *r, uint16_t partition, uint64_t seq)
{
    return fails(&disk.no_seek) ? -EIO : whole->seek(r, partition, seq);
}

static int next(struct gw_log_reader *r, struct gw_log_entry *ret)
{
    disk.n_tried++;
    return fails(&disk.no_frame) ? -EIO : whole->next(r, ret);
}

/* Of what comes, memory keeps no more than one request. */
static void set_up_small(struct rig *r)
{
    set_up(r);
    r->settings.queue.max_memory_bytes = 1;
    r->settings.timeout_ns = 3600 * S;
    memset(&disk, 0, sizeof(disk));
    whole = r->log->ops;
    failing = *whole;
    failing.reader_new = reader_new;
    failing.seek = seek;
    failing.next = next;
    r->log->ops = &failing;
}

/* Nothing but the exporter's thread has a turn. Where it has none, as nobody woke it, the test ends by the alarm. */
static inline void wakes(struct rig *r, uint64_t ns)
{
    gw_test_env_advance(&r->te, ns);
    gw_loop_turn(r->loop, 60 * S);
}

static inline void step(struct rig *r, uint64_t ns)
{
    gw_test_env_advance(&r->te, ns);
    gw_loop_turn(r->loop, 0);
}

static inline void sends(struct rig *r, uint64_t first)
{
    uint64_t name = 0;

    assert_true(waiting(r, 0, &name, 1) > 0);
    assert_int_equal(name, first);
}

static inline void answer(struct rig *r)
{
    assert_true(gw_test_sink_answer(r->sinks[0], &OK));
    turn(r);
}

#endif
