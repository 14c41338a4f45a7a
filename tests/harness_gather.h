/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `gather`, a processor that must see all rows of a trace in one instance: it notes what each of its instances saw.
 * Rows pass, or (`keep`) stay until they are let go. With `grip` an instance takes over what the one before it keeps.
 */
#ifndef GW_TESTS_HARNESS_GATHER_H
#define GW_TESTS_HARNESS_GATHER_H

#include "pipeline/component.h"

enum { GW_TEST_GATHERERS = 8 };

/** What the instances on one worker saw, in order; written by its thread alone. */
struct gw_test_gathered {
    uint64_t *names, n, cap;
};

struct gw_test_gather {
    struct gw_test_gathered by_worker[GW_TEST_GATHERERS];
    _Atomic bool let_go;      /* kept rows leave with the next tick */
    _Atomic unsigned n_taken; /* instances that took over */
    _Atomic uint64_t n_kept;  /* rows that are kept now, by all */
};
extern struct gw_test_gather gw_test_gather;
extern const struct gw_component gw_test_gatherer;
/** `collect`: rows of any trace stay wherever they are, as with keep, and are not noted. */
extern const struct gw_component gw_test_collector;

/**
 * The first of gw_test_own_components are gather, collect, and gather as a connector; 5 spans a trace. Everything is
 * forgotten.
 */
void gw_test_gather_setup(void);
void gw_test_gather_teardown(void);
/** Forget everything: before an engine is opened, and at the end. */
void gw_test_gather_reset(void);
/**
 * No trace was seen by two workers; and with `in_order` the names of each one came ascending, as they were sent by one
 * connection. Returns the rows that were seen.
 */
uint64_t gw_test_gather_check(bool in_order);

#endif
