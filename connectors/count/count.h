/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of count: settings become counters (conf.c), which items go through (count.c). */
#ifndef GW_COUNT_H
#define GW_COUNT_H

#include "ottl/ottl.h"
#include "pipeline/component.h"
#include "series/metrics_writer.h"
#include "series/series.h"

enum { GW_COUNT_KEY_BYTES = 1 << 20, GW_COUNT_CONF_BYTES = 16 << 20 };

enum section { SPANS, SPANEVENTS, METRICS, DATAPOINTS, LOGS, N_SECTIONS };

struct conf {
    const struct gw_node *sections[N_SECTIONS], *profiles;
};

/** What a section is of, what it counts when the file has nothing, and what its conditions are about. */
struct gw_count_section {
    const char *key, *name, *description;
    enum gw_signal signal;
    enum gw_ottl_context context;
};
extern const struct gw_count_section gw_count_sections[N_SECTIONS];
extern const struct gw_field gw_count_fields[];

struct attribute {
    struct gw_slice key;
    struct gw_buf fallback; /* encoded; empty: none */
};

struct count {
    uint64_t n;
    struct gw_series *next; /* of those that were counted for this resource */
};

struct metric {
    struct gw_slice name, description;
    struct gw_ottl **conditions;
    struct attribute *attributes;
    unsigned n_conditions, n_attributes;
    struct gw_series_group group;
    struct gw_series *counted, **last; /* in order of appearance */
};

/** One section: its metrics, and for the resource at hand the times of its items. */
struct counter {
    enum section section;
    struct metric *metrics;
    unsigned n;
    uint64_t start_ns, end_ns; /* 0: none had one */
};

/**
 * A section that is not there, or empty, has its default metric. What is made borrows from `node` and lives in `arena`.
 * Mistakes go into diag. Errors: -ENOMEM; then, too, it must be cleared.
 */
int gw_count_counter_init(struct counter *c, enum section section, const struct gw_node *node, struct gw_arena *arena,
                          struct gw_env *env, struct gw_diag *diag);
void gw_count_counter_clear(struct counter *c);
void gw_count_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);

#endif
