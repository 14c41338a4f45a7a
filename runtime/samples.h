/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last few records that each reason made us drop, in memory, for looking at: `staunch dlq recent`. They are copies,
 * cut where they are long; what they were is counted elsewhere.
 */
#ifndef GW_RUNTIME_SAMPLES_H
#define GW_RUNTIME_SAMPLES_H

#include "batch/batch.h"
#include "core/buf.h"

/** 256 reasons × 8 records × 4 KiB: at most 8 MiB, and only for reasons that there were. */
enum { GW_SAMPLES_REASONS = 256, GW_SAMPLES_KEPT = 8, GW_SAMPLES_BYTES = 4096 };

struct gw_samples;

/** Why, and whose doing; "" where there is none. */
struct gw_sample_reason {
    const char *component, *pipeline, *reason;
    enum gw_signal signal;
};
struct gw_sample {
    uint64_t wall_ns, whole_bytes; /* longer than body.n: it was cut */
    struct gw_slice body;          /* an OTLP request of one record, or what a client sent instead of one */
};

struct gw_samples *gw_samples_new(void);
void gw_samples_free(struct gw_samples *s);
/** Copies. Takes NULL. Threads: any; a lock, so the caller asks no more than about once a second for each reason. */
void gw_samples_keep(struct gw_samples *s, const struct gw_sample_reason *why, uint64_t wall_ns, struct gw_slice body);
/** For each reason in order of its first record, its records from old to new. Threads: any. */
void gw_samples_each(struct gw_samples *s,
                     void (*each)(void *arg, const struct gw_sample_reason *why, const struct gw_sample *sample),
                     void *arg);

#endif
