/* SPDX-License-Identifier: Apache-2.0 */
#include "log/crc32c.h"

#include <isa-l/crc.h>

enum { MOST = 1 << 30 }; /* that it takes at once */

uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    unsigned char *p = (unsigned char *)(uintptr_t)bytes; /* it only reads */

    crc = ~crc;
    for (; n > MOST; n -= MOST, p += MOST)
        crc = crc32_iscsi(p, MOST, crc);
    return ~crc32_iscsi(p, (int)n, crc);
}
