/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include <stdlib.h>

/* In builds with ASan what is not handed out is out of bounds, to the byte: a read behind a text is seen. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct gw_arena_chunk {
    struct gw_arena_chunk *next;
    size_t bytes; /* of data[] */
    _Alignas(16) uint8_t data[];
};

void gw_arena_init(struct gw_arena *a, size_t chunk_bytes, size_t max_bytes)
{
    *a = (struct gw_arena){.chunk_bytes = chunk_bytes, .max_bytes = max_bytes};
}

static void enter(struct gw_arena *a, struct gw_arena_chunk *c)
{
    a->cur = c;
    a->p = c->data;
    a->end = c->data + c->bytes;
    ASAN_POISON_MEMORY_REGION(c->data, c->bytes);
}

/* The next chunk that holds n bytes: a kept one behind cur when it is large enough, else a new one. */
static bool advance(struct gw_arena *a, size_t n)
{
    struct gw_arena_chunk **link = a->cur ? &a->cur->next : &a->head;
    struct gw_arena_chunk *c = *link;
    size_t bytes = n > a->chunk_bytes ? n : a->chunk_bytes;

    if (c && c->bytes >= n) {
        enter(a, c);
        return true;
    }
    if (bytes > a->max_bytes || a->held_bytes > a->max_bytes - bytes)
        return false;
    c = malloc(sizeof(*c) + bytes);
    if (!c)
        return false;
    c->bytes = bytes;
    c->next = *link;
    *link = c;
    a->held_bytes += bytes;
    enter(a, c);
    return true;
}

void *gw_arena_alloc(struct gw_arena *a, size_t n)
{
    size_t room;
    void *p;

    if (n > SIZE_MAX - 15)
        return NULL;
    room = (n + 15) & ~(size_t)15;
    if (room > (size_t)(a->end - a->p) && !advance(a, room))
        return NULL;
    p = a->p;
    a->p += room;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *gw_arena_zalloc(struct gw_arena *a, size_t n)
{
    void *p = gw_arena_alloc(a, n);

    return p ? memset(p, 0, n) : NULL;
}

struct gw_slice gw_arena_dup(struct gw_arena *a, struct gw_slice s)
{
    void *p = gw_arena_alloc(a, s.n ? s.n : 1);

    if (!p)
        return (struct gw_slice){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    return gw_slice_of(p, s.n);
}

void gw_arena_reset(struct gw_arena *a, size_t keep_bytes)
{
    struct gw_arena_chunk **link = &a->head;
    size_t kept = 0;

    while (*link) {
        struct gw_arena_chunk *c = *link;

        if (kept + c->bytes <= keep_bytes) {
            kept += c->bytes;
            link = &c->next;
            continue;
        }
        *link = c->next;
        a->held_bytes -= c->bytes;
        free(c);
    }
    a->cur = NULL;
    a->p = a->end = NULL;
    if (a->head)
        enter(a, a->head);
}

void gw_arena_clear(struct gw_arena *a)
{
    gw_arena_reset(a, 0);
}
