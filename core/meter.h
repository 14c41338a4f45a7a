/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-metrics: found or made at boot (a lock), then counted without one. A scrape reads all of them.
 * Names are the full exposition names without suffix, as the Collector spells them
 * (otelcol_receiver_accepted_spans); ours begin with staunch_.
 */
#ifndef GW_CORE_METER_H
#define GW_CORE_METER_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/buf.h"

enum gw_metric_kind { GW_COUNTER, GW_GAUGE, GW_HISTOGRAM };

struct gw_label {
    const char *key, *value;
};

struct gw_meter;

/** One time series. Never freed before its meter. */
struct gw_metric {
    _Atomic uint64_t value; /* counter and gauge: a whole number (a gauge may be negative: cast to int64_t) */
    double scale;           /* exposition value = value × scale (1e-9 for ns counted, seconds shown) */
    struct gw_histogram *hist;
};

struct gw_histogram {
    const double *bounds;
    unsigned n_bounds;
    _Atomic uint64_t sum;      /* whole units */
    _Atomic uint64_t *buckets; /* n_bounds + 1 */
};

struct gw_meter *gw_meter_new(void);
void gw_meter_free(struct gw_meter *m);

/**
 * Find or make the series (name, labels).
 *
 * Owner     copies name, help, labels; the series lives as long as the meter
 * Threads   any (takes a lock: not for the hot path)
 * Errors    NULL when out of memory or over 10,000 series; the gw_metric_ calls accept NULL
 */
struct gw_metric *gw_meter_get(struct gw_meter *m, enum gw_metric_kind kind, const char *name, const char *help,
                               const struct gw_label *labels, unsigned n_labels);
/**
 * A gauge whose value is asked for at each scrape; `read` must be callable from any thread. Of several that are there
 * at one time (the queue of an exporter and of its successor) the sum is shown.
 */
struct gw_metric *gw_meter_get_read(struct gw_meter *m, const char *name, const char *help,
                                    const struct gw_label *labels, unsigned n_labels, uint64_t (*read)(void *arg),
                                    void *arg);
/** Take the call-back of that `arg` out again: whoever owns `arg` calls it before `arg` dies. */
void gw_metric_unread(struct gw_metric *s, void *arg);
/** As a scrape would show it; 0 for NULL. */
uint64_t gw_metric_value(struct gw_metric *s);
struct gw_metric *gw_meter_get_histogram(struct gw_meter *m, const char *name, const char *help,
                                         const struct gw_label *labels, unsigned n_labels, const double *bounds,
                                         unsigned n_bounds);

static inline void gw_metric_add(struct gw_metric *s, uint64_t n)
{
    if (s)
        atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
}
static inline void gw_metric_set(struct gw_metric *s, uint64_t n)
{
    if (s)
        atomic_store_explicit(&s->value, n, memory_order_relaxed);
}
void gw_metric_observe(struct gw_metric *s, double v);

struct gw_exposition {
    bool type_suffix; /* _total behind counters */
    bool scope_info;
    const struct gw_label *constant; /* added to target_info */
    unsigned n_constant;
};
/** Prometheus text format 0.0.4 of all series, families sorted by name. */
void gw_meter_write(struct gw_meter *m, const struct gw_exposition *how, struct gw_buf *out);

#endif
