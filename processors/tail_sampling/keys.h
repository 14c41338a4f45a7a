/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys (as service.name) the spans of a trace had: a set in the last three words of its facts, which grows.
 *
 *   up to 8 different ones   their tags, in order of arrival        │23 bits│0│ … │23 bits│0│
 *   more                     a Bloom filter of 191 bits              │ 191 bits            │1│
 *
 * A key that was put in is always found. One that was not is found: among up to 8 once in a million; of a trace with
 * 12 keys 2 times in a thousand, with 20 once in 70, with 50 once in 6.
 */
#ifndef GW_TAIL_SAMPLING_KEYS_H
#define GW_TAIL_SAMPLING_KEYS_H

#include "processors/tail_sampling/policy.h"

enum { GW_KEYS_WORD = 1, GW_KEYS_EXACT = 8, GW_KEYS_BITS = 191 };

/** Of a key; 1 .. 2^23 - 1. */
static inline uint32_t gw_key_tag(uint64_t key)
{
    uint32_t tag = (uint32_t)(key >> 41);

    return tag ? tag : 1;
}

void gw_keys_put(uint64_t bits[GW_FACT_WORDS], uint32_t tag);
/** All that is in one set, of which there are at most 8, into another one. */
void gw_keys_join(uint64_t bits[GW_FACT_WORDS], const uint64_t from[GW_FACT_WORDS]);
/** The tags, at most 8; or GW_KEYS_EXACT + 1: they are not known one by one, and gw_keys_have says. */
unsigned gw_keys_list(const uint64_t bits[GW_FACT_WORDS], uint32_t ret[GW_KEYS_EXACT]);
bool gw_keys_have(const uint64_t bits[GW_FACT_WORDS], uint32_t tag);

#endif
