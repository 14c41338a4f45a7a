/* SPDX-License-Identifier: Apache-2.0 */
/* What tests share. cmocka's header wants four others before it. */
#ifndef GW_TESTS_HARNESS_H
#define GW_TESTS_HARNESS_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/** Bytes of a text like "0a 03 66 6f 6f". Owner: gives *ret_p (free it). */
void gw_hex(const char *text, uint8_t **ret_p, size_t *ret_n);

#endif
