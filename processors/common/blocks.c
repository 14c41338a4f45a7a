/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/blocks.h"

#include <errno.h>

enum { CACHE_LINE = 64 };

void gw_blocks_init(struct gw_blocks *b, struct gw_budget *budget)
{
    gw_slabs_init(&b->slabs, budget, GW_BLOCK_BYTES);
}

void gw_blocks_clear(struct gw_blocks *b)
{
    gw_slabs_clear(&b->slabs);
}

/* Bytes in the last block; GW_BLOCK_BYTES: it is full, or there is none. */
static uint32_t fill_of(const struct gw_chain *c)
{
    return c->last ? (c->n_bytes - 1) % GW_BLOCK_BYTES + 1 : GW_BLOCK_BYTES;
}

int gw_blocks_reserve(struct gw_blocks *b, const struct gw_chain *c, uint64_t bytes)
{
    uint64_t room = GW_BLOCK_BYTES - fill_of(c);

    if (bytes > UINT32_MAX - c->n_bytes)
        return -EOVERFLOW;
    return bytes > room ? gw_slabs_reserve(&b->slabs, (bytes - room + GW_BLOCK_BYTES - 1) / GW_BLOCK_BYTES) : 0;
}

static void put(uint8_t *to, const uint8_t *from, size_t n)
{
    __asm__("" : "+r"(n)); /* who knows that it is little writes "rep movs", which takes its time to begin */
    memcpy(to, from, n);
}

/* Is b the block behind a, in memory, too? */
static bool is_behind(const struct gw_blocks *b, uint32_t a, uint32_t block)
{
    return block == a + 1 && gw_slabs_place(&b->slabs, block) > 0;
}

/* The block that will be taken next comes into the cache. */
static void fetch_next(const struct gw_blocks *b)
{
    uint32_t next = gw_slabs_next(&b->slabs);
    const uint8_t *p = next ? gw_slabs_at(&b->slabs, next) : NULL;

    if (next)
        __builtin_prefetch(gw_slabs_link(&b->slabs, next), /* rw= */ 1);
    for (uint32_t at = 0; p && at < GW_BLOCK_BYTES; at += CACHE_LINE)
        __builtin_prefetch(p + at, /* rw= */ 1);
}

/* To the end of the chain, whose last block is full, as much as goes into new blocks of one slab. Mostly they lie one
 * behind the other: then it is one copy. Returns what is left. */
static struct gw_slice append_run(struct gw_blocks *b, struct gw_chain *c, struct gw_slice bytes)
{
    uint32_t want = (uint32_t)((bytes.n + GW_BLOCK_BYTES - 1) / GW_BLOCK_BYTES), block, next;
    struct gw_slabs_run run;

    gw_slabs_take_run(&b->slabs, want, &run);
    if (c->last)
        *gw_slabs_link(&b->slabs, c->last) = run.first;
    else
        c->first = run.first;
    c->last = run.last;
    for (block = run.first; block; block = next) {
        uint8_t *to = gw_slabs_at(&b->slabs, block);
        size_t n = GW_BLOCK_BYTES;

        for (next = *gw_slabs_link(&b->slabs, block); is_behind(b, block, next); n += GW_BLOCK_BYTES) {
            block = next;
            next = *gw_slabs_link(&b->slabs, block);
        }
        n = n < bytes.n ? n : bytes.n;
        put(to, bytes.p, n);
        bytes = gw_slice_of(bytes.p + n, bytes.n - n);
    }
    fetch_next(b);
    return bytes;
}

int gw_blocks_append(struct gw_blocks *b, struct gw_chain *c, struct gw_slice bytes)
{
    int r = gw_blocks_reserve(b, c, bytes.n);
    uint32_t fill = fill_of(c);

    if (r < 0)
        return r;
    c->n_bytes += (uint32_t)bytes.n;
    if (fill < GW_BLOCK_BYTES) {
        size_t n = bytes.n < GW_BLOCK_BYTES - fill ? bytes.n : GW_BLOCK_BYTES - fill;

        put((uint8_t *)gw_slabs_at(&b->slabs, c->last) + fill, bytes.p, n);
        bytes = gw_slice_of(bytes.p + n, bytes.n - n);
    }
    while (bytes.n > 0)
        bytes = append_run(b, c, bytes);
    return 0;
}

/* Blocks that follow each other in one slab go back as one piece: they stay linked as they are. */
void gw_blocks_drop(struct gw_blocks *b, struct gw_chain *c)
{
    uint32_t block = c->first;

    while (block) {
        uint32_t first = block, last, n = 0, slab = gw_slabs_slab_of(&b->slabs, block);

        do {
            last = block;
            block = *gw_slabs_link(&b->slabs, block);
            n++;
        } while (block && gw_slabs_slab_of(&b->slabs, block) == slab);
        gw_slabs_give_run(&b->slabs, first, last, n);
    }
    *c = (struct gw_chain){0};
}

void gw_blocks_prefetch_end(const struct gw_blocks *b, const struct gw_chain *c)
{
    const uint8_t *p;
    uint32_t fill = fill_of(c);

    if (!c->last)
        return;
    __builtin_prefetch(gw_slabs_link(&b->slabs, c->last), /* rw= */ 1);
    p = gw_slabs_at(&b->slabs, c->last);
    for (uint32_t at = fill / CACHE_LINE * CACHE_LINE; at < GW_BLOCK_BYTES; at += CACHE_LINE)
        __builtin_prefetch(p + at, /* rw= */ 1);
}

void gw_blocks_prefetch_links(const struct gw_blocks *b, const struct gw_chain *c)
{
    if (!c->last)
        return;
    __builtin_prefetch(gw_slabs_link(&b->slabs, c->first), /* rw= */ 1);
    __builtin_prefetch(gw_slabs_link(&b->slabs, c->last), /* rw= */ 1);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

void gw_chain_begin(const struct gw_blocks *b, const struct gw_chain *c, struct gw_chain_reader *ret)
{
    *ret = (struct gw_chain_reader){.b = b, .block = c->first, .left = c->n_bytes};
}

/* The next piece of at most n bytes that lie together. */
static struct gw_slice take(struct gw_chain_reader *r, uint32_t n)
{
    const uint8_t *p;
    uint32_t room;

    if (r->flat) {
        p = r->flat;
        r->flat += n;
        r->left -= n;
        return gw_slice_of(p, n);
    }
    if (r->at == GW_BLOCK_BYTES) {
        r->block = *gw_slabs_link(&r->b->slabs, r->block);
        r->at = 0;
    }
    room = GW_BLOCK_BYTES - r->at;
    p = (const uint8_t *)gw_slabs_at(&r->b->slabs, r->block) + r->at;
    for (; room < n; room += GW_BLOCK_BYTES) {
        uint32_t next = *gw_slabs_link(&r->b->slabs, r->block);

        if (!is_behind(r->b, r->block, next))
            break;
        r->block = next;
    }
    n = n < room ? n : room;
    r->at = GW_BLOCK_BYTES - (room - n);
    r->left -= n;
    return gw_slice_of(p, n);
}

static void prefetch_next(const struct gw_chain_reader *r)
{
    bool has_next = !r->flat && r->left > GW_BLOCK_BYTES - r->at;
    uint32_t next = has_next ? *gw_slabs_link(&r->b->slabs, r->block) : 0;
    const uint8_t *p = next ? gw_slabs_at(&r->b->slabs, next) : NULL;

    for (uint32_t at = 0; p && at < GW_BLOCK_BYTES; at += CACHE_LINE)
        __builtin_prefetch(p + at);
}

void gw_chain_prefetch(const struct gw_chain_reader *r)
{
    const uint8_t *p = r->flat;

    if (!p && r->block)
        p = (const uint8_t *)gw_slabs_at(&r->b->slabs, r->block) + r->at;
    for (uint32_t at = 0; p && at < GW_BLOCK_BYTES && at < r->left; at += CACHE_LINE)
        __builtin_prefetch(p + at);
}

bool gw_chain_read(struct gw_chain_reader *r, void *to, uint32_t n)
{
    uint8_t *p = to;

    if (n > r->left)
        return false;
    while (n > 0) {
        struct gw_slice s = take(r, n);

        memcpy(p, s.p, s.n);
        p += s.n;
        n -= (uint32_t)s.n;
    }
    return true;
}

bool gw_chain_skip(struct gw_chain_reader *r, uint32_t n)
{
    if (n > r->left)
        return false;
    while (n > 0)
        n -= (uint32_t)take(r, n).n;
    return true;
}

bool gw_chain_copy(struct gw_chain_reader *r, struct gw_buf *out, uint32_t n)
{
    if (n > r->left || gw_buf_reserve(out, n) < 0)
        return false;
    while (n > 0) {
        struct gw_slice s = take(r, n);

        prefetch_next(r);
        memcpy(out->p + out->n, s.p, s.n);
        out->n += s.n;
        n -= (uint32_t)s.n;
    }
    return true;
}

bool gw_chain_is(const struct gw_blocks *b, const struct gw_chain *c, struct gw_slice bytes)
{
    struct gw_chain_reader r;

    if (c->n_bytes != bytes.n)
        return false;
    gw_chain_begin(b, c, &r);
    while (r.left > 0) {
        struct gw_slice s = take(&r, r.left);

        if (memcmp(s.p, bytes.p, s.n) != 0)
            return false;
        bytes = gw_slice_of(bytes.p + s.n, bytes.n - s.n);
    }
    return true;
}

uint64_t gw_blocks_held_bytes(const struct gw_blocks *b)
{
    return b->slabs.n_used * GW_BLOCK_BYTES;
}

uint64_t gw_blocks_slab_bytes(const struct gw_blocks *b)
{
    return gw_slabs_held_bytes(&b->slabs);
}
