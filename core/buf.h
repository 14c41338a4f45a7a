/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable run of bytes. No buffer exists without a maximum: init takes it, and growth beyond it fails.
 *
 *   p[0 .. n)  what was written      p[n .. cap)  room
 *
 * A failed append sets `failed` and leaves the contents alone, so that a writer may append a whole message
 * and look once at the end.
 */
#ifndef GW_CORE_BUF_H
#define GW_CORE_BUF_H

#include "core/slice.h"

struct gw_buf {
    uint8_t *p;
    size_t n, cap, max_bytes;
    bool failed, starved; /* starved: for want of memory */
};

void gw_buf_init(struct gw_buf *b, size_t max_bytes);
/** Free the memory; the buffer may be used again as after init. */
void gw_buf_clear(struct gw_buf *b);
/** Forget the contents, keep the memory. */
static inline void gw_buf_reset(struct gw_buf *b)
{
    b->n = 0;
    b->failed = b->starved = false;
}
/** Why it has failed: -ENOMEM, -E2BIG; 0: it has not. */
int gw_buf_error(const struct gw_buf *b);
/** Make room for `more` bytes behind n. Errors: 0, -ENOMEM, -E2BIG over max_bytes (both set `failed`). */
int gw_buf_reserve(struct gw_buf *b, size_t more);
void gw_buf_put(struct gw_buf *b, const void *p, size_t n);
void gw_buf_printf(struct gw_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void gw_buf_put_slice(struct gw_buf *b, struct gw_slice s)
{
    gw_buf_put(b, s.p, s.n);
}
static inline void gw_buf_put_rope(struct gw_buf *b, struct gw_rope r)
{
    for (uint32_t i = 0; i < r.n_parts; i++)
        gw_buf_put_slice(b, r.parts[i]);
}
static inline void gw_buf_put_str(struct gw_buf *b, const char *s)
{
    gw_buf_put(b, s, strlen(s));
}
static inline void gw_buf_put_u8(struct gw_buf *b, uint8_t c)
{
    gw_buf_put(b, &c, 1);
}
static inline struct gw_slice gw_buf_slice(const struct gw_buf *b)
{
    return (struct gw_slice){b->p, b->n};
}
/** Give the memory to the caller, who must free() it; the buffer is empty afterwards. */
uint8_t *gw_buf_take(struct gw_buf *b, size_t *ret_n);

#endif
