/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log in memory, for simulations: the contract of log/log.h and nothing more, so that whoever stands on a log can be
 * tried against what any implementation may do. Everything comes from the environment's clock and random numbers.
 *
 *   late     a commit that is done is seen by readers only some time later (as Kafka's transaction markers)
 *   crash    what was not synced is gone, or not, as the dice fall; consumers, producers and epochs as committed
 */
#ifndef GW_LOG_SIM_H
#define GW_LOG_SIM_H

#include "core/env.h"
#include "log/files.h"

/** Chances are per commit, in 1/1000. */
struct gw_log_sim_faults {
    unsigned fail_permille;   /* done(-EIO), nothing is kept */
    unsigned full_permille;   /* done(-ENOSPC) */
    unsigned damage_permille; /* a frame of it cannot be read: lost_frames, lost_rows */
    uint64_t max_late_ns;     /* readers see it up to so much later */
    uint64_t max_delay_ns;    /* done comes up to so much later */
    bool no_room;             /* all appends: -ENOSPC */
};

struct gw_log_sim_conf {
    struct gw_env *env;
    uint64_t max_bytes;
    struct gw_log_retention retention;
    struct gw_log_sim_faults faults;
    void (*wake)(void *arg);
    void *arg;
};

int gw_log_sim_open(const struct gw_log_sim_conf *conf, struct gw_log **ret);
/** May be changed while it runs, between two turns. */
struct gw_log_sim_faults *gw_log_sim_faults(struct gw_log *l);
/**
 * The process died: commits that are not done never will be; of what was done and not synced a suffix may be missing
 * (lose_unsynced: a power cut; without it: kill -9). The log goes on as its next opening would find it.
 */
void gw_log_sim_crash(struct gw_log *l, bool lose_unsynced);

#endif
