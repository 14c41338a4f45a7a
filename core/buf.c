/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 256 };

void gw_buf_init(struct gw_buf *b, size_t max_bytes)
{
    *b = (struct gw_buf){.max_bytes = max_bytes};
}

void gw_buf_clear(struct gw_buf *b)
{
    free(b->p);
    gw_buf_init(b, b->max_bytes);
}

int gw_buf_error(const struct gw_buf *b)
{
    return !b->failed ? 0 : b->starved ? -ENOMEM : -E2BIG;
}

int gw_buf_reserve(struct gw_buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : FIRST_BYTES;
    uint8_t *p;

    if (more <= b->cap - b->n)
        return 0;
    if (more > b->max_bytes || b->n > b->max_bytes - more) {
        b->failed = true;
        return -E2BIG;
    }
    while (cap < b->n + more)
        cap += cap / 2 + FIRST_BYTES;
    if (cap > b->max_bytes)
        cap = b->max_bytes;
    p = realloc(b->p, cap);
    if (!p) {
        b->failed = b->starved = true;
        return -ENOMEM;
    }
    b->p = p;
    b->cap = cap;
    return 0;
}

void gw_buf_put(struct gw_buf *b, const void *p, size_t n)
{
    if (n == 0 || gw_buf_reserve(b, n) < 0)
        return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

/* Straight into what room there is; the rare text that does not fit is made a second time. */
void gw_buf_printf(struct gw_buf *b, const char *fmt, ...)
{
    size_t room = b->cap - b->n;
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(room ? (char *)b->p + b->n : NULL, room, fmt, ap);
    if (n > 0 && (size_t)n >= room) {
        if (gw_buf_reserve(b, (size_t)n + 1) == 0)
            (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        else
            n = 0;
    }
    if (n > 0)
        b->n += (size_t)n;
    va_end(again);
    va_end(ap);
}

uint8_t *gw_buf_take(struct gw_buf *b, size_t *ret_n)
{
    uint8_t *p = b->p;

    *ret_n = b->n;
    b->p = NULL;
    gw_buf_init(b, b->max_bytes);
    return p;
}
