#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print core/pow10_table.h: 10^k for k in [-292, 324] as 128-bit numbers g with 2^127 <= g < 2^128, cut off and,
where something was cut off, one added (Giulietti, "The Schubfach way to render doubles", section 9.8)."""
from fractions import Fraction

K_MIN, K_MAX = -292, 324


def g(k):
    v = Fraction(10) ** k
    e = v.numerator.bit_length() - v.denominator.bit_length()
    if Fraction(2) ** e > v:
        e -= 1
    scaled = v * Fraction(2) ** (127 - e)
    n = scaled.numerator // scaled.denominator
    if scaled != n:
        n += 1
    assert 2**127 <= n < 2**128
    return n


print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Made by tools/gen_pow10.py; do not edit. 10^k, k = %d .. %d, high and low half. */" % (K_MIN, K_MAX))
print("#ifndef GW_CORE_POW10_TABLE_H\n#define GW_CORE_POW10_TABLE_H\n\n#include <stdint.h>\n")
print("enum { GW_POW10_MIN = %d, GW_POW10_MAX = %d };\n" % (K_MIN, K_MAX))
print("/* clang-format off */\nstatic const uint64_t gw_pow10[][2] = {")
for k in range(K_MIN, K_MAX + 1):
    n = g(k)
    print("    {0x%016x, 0x%016x}," % (n >> 64, n & (2**64 - 1)))
print("};\n/* clang-format on */\n\n#endif")
