/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations counted, and the n-th of them failed. For programs linked with gw_wrap_malloc (cmake/tools.cmake): our
 * code's malloc, calloc, realloc and aligned_alloc come here first; libraries' own do not.
 */
#ifndef GW_TESTS_HARNESS_MALLOC_H
#define GW_TESTS_HARNESS_MALLOC_H

#include <stdint.h>

/** Allocations so far, failed ones too. */
uint64_t gw_malloc_count(void);
/** The n-th from now on fails, and those behind it do not; 0: none. */
void gw_malloc_fail_at(uint64_t n);
/** 1: what follows is the test's own, and is not counted and does not fail; -1: it was. */
void gw_malloc_pause(int change);
/** Did it come to that? */
int gw_malloc_failed(void);

#endif
