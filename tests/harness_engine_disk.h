/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines whose files lie on a disk that forgets (tests/harness_simdisk.h), so that the power can be cut under a whole
 * gateway. Their clock stays the test's. For engines that are turned by hand; paths are relative.
 */
#ifndef GW_TESTS_HARNESS_ENGINE_DISK_H
#define GW_TESTS_HARNESS_ENGINE_DISK_H

#include "tests/harness_engine.h"
#include "tests/harness_simdisk.h"

/** Every engine opened from now on is on that disk; NULL: on the real one again. */
void gw_test_engine_on_disk(struct gw_simdisk *d);
/** Called with 1 before a call goes to the disk and with -1 behind it: whose memory is whose. May be NULL. */
extern void (*gw_test_disk_enter)(int change);

#endif
