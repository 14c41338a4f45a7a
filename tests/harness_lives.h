/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processors that keep traces over the end of the process: each rig is one life of a worker, and all have one
 * file_storage.
 *
 *     cmocka_unit_test_setup_teardown(test, gw_lives_setup, gw_lives_teardown)
 *
 *     gw_lives_begin(&r, "tail_sampling", settings, worker, n_workers);
 *     … gw_tail_send …
 *     gw_lives_end(&r);
 */
#ifndef GW_TESTS_HARNESS_LIVES_H
#define GW_TESTS_HARNESS_LIVES_H

#include "tests/harness_tail.h"

extern bool gw_lives_is_leaving; /* the gateway is */
extern bool gw_lives_syncs;      /* the storage does */

int gw_lives_setup(void **state);
int gw_lives_teardown(void **state);
/** Settings without the storage; policies as gw_tail_open for tail_sampling. */
void gw_lives_begin(struct gw_tail_rig *r, const char *name, const char *settings, unsigned worker, unsigned n_workers);
/** SIGTERM. */
void gw_lives_leave(struct gw_tail_rig *r);
void gw_lives_end(struct gw_tail_rig *r);
/** A file of the spool of the processor that began last. */
const char *gw_lives_path(const char *name);
/** How many there are that end so; the name of the last one (300 bytes), if wanted. */
unsigned gw_lives_count(const char *ending, char *name);
/** Value of staunch_spool_spans{what=…}. */
double gw_lives_spans(struct gw_tail_rig *r, const char *what);

#endif
