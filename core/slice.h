/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of bytes that somebody else owns. Whatever comes off the wire is a slice, never a C string:
 * it has no terminator and may hold zero bytes.
 */
#ifndef GW_CORE_SLICE_H
#define GW_CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct gw_slice {
    const uint8_t *p;
    size_t n;
};

/** Slice over a string literal, without its terminator. */
#define GW_SLICE(literal) ((struct gw_slice){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct gw_slice gw_slice_of(const void *p, size_t n)
{
    return (struct gw_slice){p, n};
}

/** Slice over a C string; NULL gives the empty slice. */
static inline struct gw_slice gw_slice_cstr(const char *s)
{
    return (struct gw_slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

/** Bytes that lie in several places, one behind the other. */
struct gw_rope {
    const struct gw_slice *parts;
    uint32_t n_parts;
    size_t n; /* bytes of all */
};

/** Of one part, which must stay where it is. */
static inline struct gw_rope gw_rope_of(const struct gw_slice *part)
{
    return (struct gw_rope){part, 1, part->n};
}

static inline bool gw_slice_eq(struct gw_slice a, struct gw_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool gw_slice_is(struct gw_slice a, const char *s)
{
    return gw_slice_eq(a, gw_slice_cstr(s));
}

#endif
