/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruction takes three cycles and can be issued every cycle: three lanes keep it busy.
 *
 *   block   ├── lane 0 ──┼── lane 1 ──┼── lane 2 ──┤      crc = (crc0 · x^8L + crc1) · x^8L + crc2
 *
 * Multiplying by x^8L (that is, going on over L zero bytes) is linear: four tables of 256 do it.
 */
#include "log/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

enum { LONG_LANE = 4096, SHORT_LANE = 256 };

static uint32_t bytewise[8][256];
static uint32_t over_long[4][256], over_short[4][256];
static bool has_instruction;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t zeros(uint32_t crc, size_t n)
{
    while (n-- > 0)
        crc = bytewise[0][crc & 0xff] ^ (crc >> 8);
    return crc;
}

/* tables[k][b]: where byte b at place k of the register goes. Linear, so that single bits are enough. */
static void fill_lane(uint32_t tables[4][256], size_t lane)
{
    for (unsigned k = 0; k < 4; k++) {
        tables[k][0] = 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            uint32_t v = zeros(1u << (8 * k + bit), lane);

            for (unsigned b = 0; b < 1u << bit; b++)
                tables[k][b | 1u << bit] = tables[k][b] ^ v;
        }
    }
}

static void fill(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint32_t c = b;

        for (unsigned bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        bytewise[0][b] = c;
    }
    for (unsigned b = 0; b < 256; b++)
        for (unsigned k = 1; k < 8; k++)
            bytewise[k][b] = bytewise[0][bytewise[k - 1][b] & 0xff] ^ (bytewise[k - 1][b] >> 8);
    fill_lane(over_long, LONG_LANE);
    fill_lane(over_short, SHORT_LANE);
#ifdef __x86_64__
    has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* The format is little endian and so are all machines that we build for. */
uint32_t gw_crc32c_table(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    (void)pthread_once(&once, fill);
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = load64(p) ^ crc;

        crc = bytewise[7][v & 0xff] ^ bytewise[6][v >> 8 & 0xff] ^ bytewise[5][v >> 16 & 0xff] ^
              bytewise[4][v >> 24 & 0xff] ^ bytewise[3][v >> 32 & 0xff] ^ bytewise[2][v >> 40 & 0xff] ^
              bytewise[1][v >> 48 & 0xff] ^ bytewise[0][v >> 56];
    }
    while (n-- > 0)
        crc = bytewise[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

#ifdef __x86_64__
static uint32_t over(uint32_t tables[4][256], uint32_t crc)
{
    return tables[0][crc & 0xff] ^ tables[1][crc >> 8 & 0xff] ^ tables[2][crc >> 16 & 0xff] ^ tables[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint64_t lanes(uint64_t crc, const uint8_t *p, size_t lane,
                                                        uint32_t tables[4][256])
{
    uint64_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < lane; i += 8) {
        a = __builtin_ia32_crc32di(a, load64(p + i));
        b = __builtin_ia32_crc32di(b, load64(p + lane + i));
        c = __builtin_ia32_crc32di(c, load64(p + 2 * lane + i));
    }
    return over(tables, over(tables, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = (uint32_t)~crc;

    for (; n >= 3 * LONG_LANE; n -= 3 * LONG_LANE, p += 3 * LONG_LANE)
        c = lanes(c, p, LONG_LANE, over_long);
    for (; n >= 3 * SHORT_LANE; n -= 3 * SHORT_LANE, p += 3 * SHORT_LANE)
        c = lanes(c, p, SHORT_LANE, over_short);
    for (; n >= 8; n -= 8, p += 8)
        c = __builtin_ia32_crc32di(c, load64(p));
    while (n-- > 0)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return ~(uint32_t)c;
}
#endif

uint32_t gw_crc32c(uint32_t crc, const void *p, size_t n)
{
    (void)pthread_once(&once, fill);
#ifdef __x86_64__
    if (has_instruction)
        return by_instruction(crc, p, n);
#endif
    return gw_crc32c_table(crc, p, n);
}
