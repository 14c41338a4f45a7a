/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was learned survives behind a journal (processors/common/stream_state.h): the state of a series, or of a group
 * with the pane that waits for the others, as it lies in memory.
 */
#include <errno.h>

#include "core/hash.h"
#include "processors/anomaly/anomaly.h"

#define SWEEP_NS (UINT64_C(60) * 1000000000)

static void put(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out)
{
    const struct gw_streams *st = arg;

    (void)table;
    gw_buf_put(out, gw_series_value(s), st->conf.value_bytes);
}

static bool take(void *arg, unsigned table, struct gw_series *s, struct gw_spool_in *in)
{
    const struct gw_streams *st = arg;
    struct gw_slice bytes = gw_spool_get(in, st->conf.value_bytes);

    (void)table;
    if (bytes.n)
        memcpy(gw_series_value(s), bytes.p, bytes.n);
    return !in->bad;
}

/* A state means something to the method that made it, and that of a group to its metrics. */
static uint64_t settings_of(const struct gw_an_engine *e)
{
    const uint64_t of[] = {(uint64_t)e->conf->method, e->how.n_slots, e->how.slot_ns, e->streams->conf.value_bytes};
    const char *const *names = e->conf->together.metrics.items;
    uint64_t hash = gw_hash_stable(gw_slice_of((const uint8_t *)of, sizeof(of)));

    for (uint32_t i = 0; i < e->together.n; i++) {
        const uint64_t both[] = {hash, gw_hash_stable(gw_slice_cstr(names[i]))};

        hash = gw_hash_stable(gw_slice_of((const uint8_t *)both, sizeof(both)));
    }
    return hash;
}

int gw_an_parted(void *self, const struct gw_parting *by, uint64_t partitions)
{
    static const struct gw_ss_ops ops = {.put = put, .take = take};
    struct gw_an_engine *e = self;

    if (e->state)
        e->state->partitions = partitions;
    else
        e->state = gw_ss_new(&ops, e->streams, &e->ctx, &e->streams, 1, by, partitions, settings_of(e));
    return e->state ? 0 : -ENOMEM;
}

int gw_an_advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_an_engine *e = self;
    int rc;

    (void)out;
    e->now_ns = now_ns;
    gw_ss_advance(e->state, now_ns, rebuilds);
    rc = gw_ss_forget_stale(e->state, SWEEP_NS, e->conf->max_stale);
    gw_an_tell(e);
    return rc;
}

const struct gw_keep_ops gw_an_keep = {.unfit = gw_ss_unfit,
                                       .parted = gw_an_parted,
                                       .is_fixed = true,
                                       .share = gw_ss_keep_share,
                                       .begin = gw_ss_keep_begin,
                                       .restore = gw_ss_keep_restore,
                                       .advance = gw_an_advance,
                                       .save = gw_ss_keep_save,
                                       .due_ns = gw_ss_keep_due};
