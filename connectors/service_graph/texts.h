/* SPDX-License-Identifier: Apache-2.0 */
/* A run of texts: length + 1 (0 = absent, which is not empty) in four bytes, and the bytes, each. */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_TEXTS_H
#define GW_CONNECTORS_SERVICE_GRAPH_TEXTS_H

#include "core/slice.h"

static inline uint64_t gw_text_bytes(struct gw_slice s)
{
    return sizeof(uint32_t) + s.n;
}

static inline uint64_t gw_texts_bytes(const struct gw_slice *s, uint32_t n)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        bytes += gw_text_bytes(s[i]);
    return bytes;
}

/** Returns where the next goes. */
static inline uint8_t *gw_text_put(uint8_t *to, struct gw_slice s)
{
    uint32_t n = s.p ? (uint32_t)s.n + 1 : 0;

    memcpy(to, &n, sizeof(n));
    if (n > 1)
        memcpy(to + sizeof(n), s.p, n - 1);
    return to + sizeof(n) + (n ? n - 1 : 0);
}

static inline uint8_t *gw_texts_put(uint8_t *to, const struct gw_slice *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to = gw_text_put(to, s[i]);
    return to;
}

/** Returns where the next stands; *ret lies in the run. */
static inline const uint8_t *gw_text_get(const uint8_t *from, struct gw_slice *ret)
{
    uint32_t n;

    memcpy(&n, from, sizeof(n));
    *ret = (struct gw_slice){n ? from + sizeof(n) : NULL, n ? n - 1 : 0};
    return from + sizeof(n) + ret->n;
}

static inline const uint8_t *gw_texts_get(const uint8_t *from, struct gw_slice *ret, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        from = gw_text_get(from, &ret[i]);
    return from;
}

#endif
