/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/keys.h"

#include <string.h>

enum { TAG_BYTES = 3, HASHES = 4 };
#define IS_BLOOM (UINT64_C(1) << 63)

/* Bytes in the order of their worth, whatever the machine's. */
static uint32_t tag_at(const uint64_t *set, unsigned i)
{
    unsigned bit = i * TAG_BYTES * 8, word = bit / 64, shift = bit % 64;
    uint64_t v = set[word] >> shift;

    if (shift > 64 - TAG_BYTES * 8)
        v |= set[word + 1] << (64 - shift);
    return (uint32_t)v & 0xffffff;
}

static void set_tag(uint64_t *set, unsigned i, uint32_t tag)
{
    unsigned bit = i * TAG_BYTES * 8, word = bit / 64, shift = bit % 64;

    set[word] |= (uint64_t)tag << shift;
    if (shift > 64 - TAG_BYTES * 8)
        set[word + 1] |= (uint64_t)tag >> (64 - shift);
}

static bool is_bloom(const uint64_t *set)
{
    return set[2] & IS_BLOOM;
}

static unsigned bit_of(uint32_t tag, unsigned i)
{
    uint64_t h = tag * UINT64_C(0x9e3779b97f4a7c15);

    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    return (unsigned)((h >> i * 16 & 0xffff) * GW_KEYS_BITS >> 16);
}

static void put_bloom(uint64_t *set, uint32_t tag)
{
    for (unsigned i = 0; i < HASHES; i++)
        set[bit_of(tag, i) / 64] |= UINT64_C(1) << bit_of(tag, i) % 64;
}

static void become_bloom(uint64_t *set)
{
    uint64_t bloom[3] = {0, 0, IS_BLOOM};

    for (unsigned i = 0; i < GW_KEYS_EXACT; i++)
        put_bloom(bloom, tag_at(set, i));
    memcpy(set, bloom, sizeof(bloom));
}

static void put(uint64_t *set, uint32_t tag)
{
    uint32_t at;

    for (unsigned i = 0; !is_bloom(set) && i < GW_KEYS_EXACT; i++) {
        at = tag_at(set, i);
        if (at == tag)
            return;
        if (at == 0) {
            set_tag(set, i, tag);
            return;
        }
    }
    if (!is_bloom(set))
        become_bloom(set);
    put_bloom(set, tag);
}

void gw_keys_put(uint64_t bits[GW_FACT_WORDS], uint32_t tag)
{
    put(bits + GW_KEYS_WORD, tag);
}

void gw_keys_join(uint64_t bits[GW_FACT_WORDS], const uint64_t from[GW_FACT_WORDS])
{
    uint32_t tag;

    for (unsigned i = 0; i < GW_KEYS_EXACT && (tag = tag_at(from + GW_KEYS_WORD, i)) != 0; i++)
        put(bits + GW_KEYS_WORD, tag);
}

unsigned gw_keys_list(const uint64_t bits[GW_FACT_WORDS], uint32_t ret[GW_KEYS_EXACT])
{
    unsigned n = 0;

    if (is_bloom(bits + GW_KEYS_WORD))
        return GW_KEYS_EXACT + 1;
    while (n < GW_KEYS_EXACT && (ret[n] = tag_at(bits + GW_KEYS_WORD, n)) != 0)
        n++;
    return n;
}

bool gw_keys_have(const uint64_t bits[GW_FACT_WORDS], uint32_t tag)
{
    const uint64_t *set = bits + GW_KEYS_WORD;
    uint32_t list[GW_KEYS_EXACT];
    unsigned n = gw_keys_list(bits, list);

    if (n > GW_KEYS_EXACT) {
        for (unsigned i = 0; i < HASHES; i++)
            if (!(set[bit_of(tag, i) / 64] >> bit_of(tag, i) % 64 & 1))
                return false;
        return true;
    }
    while (n > 0)
        if (list[--n] == tag)
            return true;
    return false;
}
