/* SPDX-License-Identifier: Apache-2.0 */
#include "series/picks.h"

#include <errno.h>

static size_t bytes_of(unsigned size)
{
    return sizeof(struct gw_picks) + size * sizeof(struct gw_pick);
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Values by their bits: only that they are told apart matters. */
static int compare(const struct gw_pick *a, const struct gw_pick *b)
{
    uint64_t x, y;
    int rc = by_number(a->rank, b->rank);

    memcpy(&x, &a->exemplar.value, 8);
    memcpy(&y, &b->exemplar.value, 8);
    rc = rc ? rc : by_number(a->exemplar.time_ns, b->exemplar.time_ns);
    rc = rc ? rc : by_number(x, y);
    rc = rc ? rc : memcmp(a->exemplar.trace_id, b->exemplar.trace_id, sizeof(a->exemplar.trace_id));
    return rc ? rc : memcmp(a->exemplar.span_id, b->exemplar.span_id, sizeof(a->exemplar.span_id));
}

static bool make(struct gw_picks **s, struct gw_heap *heap, unsigned size)
{
    *s = gw_heap_resize(heap, NULL, 0, bytes_of(size));
    if (*s)
        **s = (struct gw_picks){.size = size};
    return *s;
}

static void put(struct gw_picks *s, const struct gw_pick *sample)
{
    uint32_t at = s->n;
    int rc = 1;

    if (s->n == s->size && compare(sample, &s->at[s->n - 1]) >= 0)
        return;
    while (at > 0 && (rc = compare(&s->at[at - 1], sample)) > 0)
        at--;
    if (at > 0 && rc == 0)
        return;
    if (s->n < s->size)
        s->n++;
    memmove(&s->at[at + 1], &s->at[at], (s->n - 1 - at) * sizeof(s->at[0]));
    s->at[at] = *sample;
}

int gw_picks_add(struct gw_picks **s, struct gw_heap *heap, unsigned size, const struct gw_pick *sample)
{
    if (!*s && !make(s, heap, size))
        return -errno;
    put(*s, sample);
    return 0;
}

int gw_picks_merge(struct gw_picks **s, struct gw_heap *heap, const struct gw_picks *other)
{
    if (!other)
        return 0;
    if (!*s && !make(s, heap, other->size))
        return -errno;
    for (uint32_t i = 0; i < other->n; i++)
        put(*s, &other->at[i]);
    return 0;
}

void gw_picks_free(struct gw_picks **s, struct gw_heap *heap)
{
    if (*s)
        gw_heap_free(heap, *s, bytes_of((*s)->size));
    *s = NULL;
}

void gw_picks_save(const struct gw_picks *s, struct gw_buf *out)
{
    uint32_t n = s ? s->n : 0;

    gw_buf_put(out, &n, sizeof(n));
    if (n)
        gw_buf_put(out, s->at, n * sizeof(s->at[0]));
}

int gw_picks_restore(struct gw_picks **s, struct gw_heap *heap, unsigned size, struct gw_slice *from)
{
    uint32_t n;
    size_t bytes;

    if (from->n < sizeof(n))
        return -EBADMSG;
    memcpy(&n, from->p, sizeof(n));
    bytes = n * sizeof(struct gw_pick);
    if (n > size || from->n - sizeof(n) < bytes)
        return -EBADMSG;
    if (n && !make(s, heap, size))
        return -errno;
    for (uint32_t i = 0; i < n; i++) {
        struct gw_pick one;

        memcpy(&one, from->p + sizeof(n) + i * sizeof(one), sizeof(one));
        put(*s, &one); /* in order, whatever the bytes say */
    }
    *from = gw_slice_of(from->p + sizeof(n) + bytes, from->n - sizeof(n) - bytes);
    return 0;
}
