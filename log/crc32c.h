/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli, as iSCSI and ext4), by ISA-L: in as wide a way as the processor can. */
#ifndef GW_LOG_CRC32C_H
#define GW_LOG_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * Go on with crc over n more bytes; begin with 0. Cost: about 60 GB/s with AVX-512 when the bytes are in the cache,
 * 20 ns for 500.
 */
uint32_t gw_crc32c(uint32_t crc, const void *p, size_t n);

#endif
