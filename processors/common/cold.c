/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/cold.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

enum {
    DICT_BYTES = 64 << 10,  /* as far as lz4 looks back */
    FRAME_BYTES = 64 << 10, /* before packing */
    SAMPLE_BYTES = 8 << 10, /* of one trace, for the next dictionary */
    MAX_DICTS = 15,
};
#define DICT_AGE_NS UINT64_C(10000000000) /* traffic changes slowly */

struct frame {
    uint32_t raw_bytes, packed_bytes;
};

struct dict {
    char *p; /* DICT_BYTES, or NULL */
    uint32_t uses;
};

struct gw_cold {
    struct gw_blocks *blocks;
    struct dict dicts[MAX_DICTS]; /* numbered from 2 on; 1: none, 0: not packed yet */
    uint16_t current;
    uint64_t made_ns; /* the current one */
    uint32_t n_sample;
    uint32_t flat_slot; /* whose bytes are in flat; 0: nobody's */
    struct gw_buf flat;
    LZ4_stream_t prepared, working; /* prepared: with the current dictionary */
    char sample[DICT_BYTES];        /* what the next dictionary will be */
    char raw[FRAME_BYTES], packed[LZ4_COMPRESSBOUND(FRAME_BYTES)];
};

static struct gw_budget *budget_of(const struct gw_cold *c)
{
    return c->blocks->slabs.budget;
}

struct gw_cold *gw_cold_new(struct gw_blocks *blocks)
{
    struct gw_cold *c;

    if (!gw_budget_take(blocks->slabs.budget, sizeof(*c)))
        return NULL;
    c = calloc(1, sizeof(*c));
    if (!c) {
        gw_budget_give(blocks->slabs.budget, sizeof(*c));
        return NULL;
    }
    c->blocks = blocks;
    c->current = 1;
    gw_buf_init(&c->flat, UINT32_MAX);
    (void)LZ4_initStream(&c->prepared, sizeof(c->prepared));
    return c;
}

static struct dict *dict_at(struct gw_cold *c, uint16_t dict)
{
    return dict > 1 ? &c->dicts[dict - 2] : NULL;
}

static void free_dict(struct gw_cold *c, struct dict *d)
{
    if (!d->p)
        return;
    free(d->p);
    d->p = NULL;
    gw_budget_give(budget_of(c), DICT_BYTES);
}

void gw_cold_free(struct gw_cold *c)
{
    struct gw_budget *b;

    if (!c)
        return;
    for (unsigned i = 0; i < MAX_DICTS; i++)
        free_dict(c, &c->dicts[i]);
    b = budget_of(c);
    gw_buf_clear(&c->flat);
    free(c);
    gw_budget_give(b, sizeof(*c));
}

unsigned gw_cold_n_dicts(const struct gw_cold *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MAX_DICTS; i++)
        n += c->dicts[i].p != NULL;
    return n;
}

uint64_t gw_cold_held_bytes(const struct gw_cold *c)
{
    return sizeof(*c) + (uint64_t)gw_cold_n_dicts(c) * DICT_BYTES;
}

/* ---- dictionaries ----------------------------------------------------------------------------------------- */

static void release(struct gw_cold *c, uint16_t dict)
{
    struct dict *d = dict_at(c, dict);

    if (d && --d->uses == 0 && dict != c->current)
        free_dict(c, d);
}

static uint16_t free_number(const struct gw_cold *c)
{
    for (uint16_t i = 0; i < MAX_DICTS; i++)
        if (!c->dicts[i].p)
            return i + 2;
    return 0;
}

/* The sample becomes the current dictionary; where there is no room for it the old one stays. */
static void renew(struct gw_cold *c, uint64_t now_ns)
{
    uint16_t number = free_number(c), old = c->current;
    char *p;

    c->n_sample = 0;
    c->made_ns = now_ns;
    if (!number || !gw_budget_take(budget_of(c), DICT_BYTES))
        return;
    p = malloc(DICT_BYTES);
    if (!p) {
        gw_budget_give(budget_of(c), DICT_BYTES);
        return;
    }
    memcpy(p, c->sample, DICT_BYTES);
    c->dicts[number - 2] = (struct dict){.p = p};
    c->current = number;
    (void)LZ4_loadDict(&c->prepared, p, DICT_BYTES);
    if (old > 1 && dict_at(c, old)->uses == 0)
        free_dict(c, dict_at(c, old));
}

static void sample(struct gw_cold *c, uint32_t n, uint64_t now_ns)
{
    if (c->current > 1 && now_ns - c->made_ns < DICT_AGE_NS)
        return;
    n = n < SAMPLE_BYTES ? n : SAMPLE_BYTES;
    n = n < DICT_BYTES - c->n_sample ? n : DICT_BYTES - c->n_sample;
    memcpy(c->sample + c->n_sample, c->raw, n);
    c->n_sample += n;
    if (c->n_sample == DICT_BYTES)
        renew(c, now_ns);
}

/* ---- frames ----------------------------------------------------------------------------------------------- */

/* The frame's packed bytes are in c->packed. A trace keeps its first dictionary. */
static struct frame pack_frame(struct gw_cold *c, uint32_t raw_bytes, uint16_t dict)
{
    struct dict *d = dict_at(c, dict);

    if (dict == c->current)
        memcpy(&c->working, &c->prepared, sizeof(c->working));
    else
        (void)LZ4_initStream(&c->working, sizeof(c->working));
    if (d && dict != c->current)
        (void)LZ4_loadDict(&c->working, d->p, DICT_BYTES);
    return (struct frame){raw_bytes, (uint32_t)LZ4_compress_fast_continue(&c->working, c->raw, c->packed,
                                                                          (int)raw_bytes, sizeof(c->packed), 1)};
}

static int pack_frames(struct gw_cold *c, const struct gw_chain *chain, struct gw_chain *ret, uint16_t dict)
{
    struct gw_chain_reader r;
    int rc = 0;

    gw_chain_begin(c->blocks, chain, &r);
    while (rc == 0 && r.left > 0) {
        uint32_t n = r.left < FRAME_BYTES ? r.left : FRAME_BYTES;
        struct frame f;

        (void)gw_chain_read(&r, c->raw, n);
        f = pack_frame(c, n, dict);
        rc = gw_blocks_append(c->blocks, ret, gw_slice_of(&f, sizeof(f)));
        if (rc == 0)
            rc = gw_blocks_append(c->blocks, ret, gw_slice_of(c->packed, f.packed_bytes));
    }
    return rc == 0 && ret->n_bytes >= chain->n_bytes ? -ENOSPC : rc;
}

/* A chain behind another: the first one's blocks are full then, or their rest is filled by a copy. */
static int join(struct gw_cold *c, struct gw_chain *to, struct gw_chain *from)
{
    struct gw_chain_reader r;
    uint8_t piece[GW_BLOCK_BYTES];
    int rc;

    if (to->n_bytes == 0) {
        *to = *from;
        return 0;
    }
    rc = gw_blocks_reserve(c->blocks, to, from->n_bytes);
    if (rc < 0)
        return rc;
    gw_chain_begin(c->blocks, from, &r);
    while (r.left > 0) {
        uint32_t n = r.left < sizeof(piece) ? r.left : (uint32_t)sizeof(piece);

        (void)gw_chain_read(&r, piece, n);
        (void)gw_blocks_append(c->blocks, to, gw_slice_of(piece, n));
    }
    gw_blocks_drop(c->blocks, from);
    return 0;
}

int gw_cold_pack(struct gw_cold *c, struct gw_chain *chain, struct gw_chain *cold, uint16_t *dict, uint64_t now_ns)
{
    uint16_t by = *dict ? *dict : c->current;
    struct gw_chain frames = {0};
    uint32_t n = chain->n_bytes < FRAME_BYTES ? chain->n_bytes : FRAME_BYTES;
    int rc = pack_frames(c, chain, &frames, by);

    if (rc == 0)
        rc = join(c, cold, &frames);
    if (rc < 0) {
        gw_blocks_drop(c->blocks, &frames);
        return rc == -EOVERFLOW ? -ENOSPC : rc;
    }
    if (!*dict && by > 1)
        dict_at(c, by)->uses++;
    *dict = by;
    gw_blocks_drop(c->blocks, chain);
    sample(c, n, now_ns); /* c->raw has its last frame */
    return 0;
}

int gw_cold_unpack(struct gw_cold *c, const struct gw_chain *cold, uint16_t dict, struct gw_buf *out)
{
    const struct dict *d = dict_at(c, dict);
    struct gw_chain_reader r;
    struct frame f;

    gw_chain_begin(c->blocks, cold, &r);
    while (gw_chain_read(&r, &f, sizeof(f))) {
        int n, rc = gw_buf_reserve(out, f.raw_bytes);

        if (rc < 0)
            return rc;
        (void)gw_chain_read(&r, c->packed, f.packed_bytes);
        n = LZ4_decompress_safe_usingDict(c->packed, (char *)out->p + out->n, (int)f.packed_bytes, (int)f.raw_bytes,
                                          d ? d->p : NULL, d ? DICT_BYTES : 0);
        assert(n == (int)f.raw_bytes);
        (void)n;
        out->n += f.raw_bytes;
    }
    return 0;
}

void gw_cold_forget(struct gw_cold *c, uint32_t slot)
{
    if (c->flat_slot != slot)
        return;
    c->flat_slot = 0;
    if (c->flat.cap > FRAME_BYTES)
        gw_buf_clear(&c->flat);
    else
        gw_buf_reset(&c->flat);
}

int gw_cold_flat(struct gw_cold *c, uint32_t slot, const struct gw_chain *cold, uint16_t dict,
                 const struct gw_chain *chain, struct gw_slice *ret)
{
    struct gw_chain_reader r;
    int rc;

    if (c->flat_slot != slot) {
        gw_cold_forget(c, c->flat_slot);
        rc = gw_cold_unpack(c, cold, dict, &c->flat);
        gw_chain_begin(c->blocks, chain, &r);
        if (rc == 0 && !gw_chain_copy(&r, &c->flat, r.left))
            rc = gw_buf_error(&c->flat);
        if (rc < 0) {
            gw_buf_clear(&c->flat);
            return rc;
        }
        c->flat_slot = slot;
    }
    *ret = gw_buf_slice(&c->flat);
    return 0;
}

void gw_cold_drop(struct gw_cold *c, struct gw_chain *cold, uint16_t dict)
{
    gw_blocks_drop(c->blocks, cold);
    release(c, dict);
}
