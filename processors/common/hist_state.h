/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a histogram as bytes: counts and bounds, or the two halves of an exponential one. */
#ifndef GW_PROCESSORS_COMMON_HIST_STATE_H
#define GW_PROCESSORS_COMMON_HIST_STATE_H

#include "processors/common/points.h"
#include "processors/common/spool.h"

struct gw_hist_words {
    uint32_t n_counts, n_bounds;
    struct gw_exp_buckets positive, negative; /* reading: counts are not set */
    const void *words;                        /* counts, then bounds; reading: all of them, unaligned */
};

static inline uint64_t gw_hist_words_n(const struct gw_hist_words *w)
{
    return (uint64_t)w->n_counts + w->n_bounds + w->positive.n + w->negative.n;
}

static inline double gw_spool_get_double(struct gw_spool_in *in)
{
    uint64_t bits = gw_spool_get_u64(in);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static inline void gw_hist_words_put(const struct gw_hist_words *w, struct gw_buf *out)
{
    const uint32_t head[] = {w->n_counts,   w->n_bounds,
                             w->positive.n, (uint32_t)w->positive.offset,
                             w->negative.n, (uint32_t)w->negative.offset};
    size_t words = (size_t)w->n_counts + w->n_bounds;

    gw_buf_put(out, head, sizeof(head));
    if (words)
        gw_buf_put(out, w->words, words * sizeof(uint64_t));
    if (w->positive.n)
        gw_buf_put(out, w->positive.counts, w->positive.n * sizeof(uint64_t));
    if (w->negative.n)
        gw_buf_put(out, w->negative.counts, w->negative.n * sizeof(uint64_t));
}

/** False: these are none, in->bad. */
static inline bool gw_hist_words_get(struct gw_hist_words *ret, struct gw_spool_in *in)
{
    *ret = (struct gw_hist_words){.n_counts = gw_spool_get_u32(in), .n_bounds = gw_spool_get_u32(in)};
    ret->positive.n = gw_spool_get_u32(in);
    ret->positive.offset = (int32_t)gw_spool_get_u32(in);
    ret->negative.n = gw_spool_get_u32(in);
    ret->negative.offset = (int32_t)gw_spool_get_u32(in);
    if (in->bad || gw_hist_words_n(ret) > in->left.n / sizeof(uint64_t)) {
        in->bad = true;
        return false;
    }
    ret->words = gw_spool_get(in, gw_hist_words_n(ret) * sizeof(uint64_t)).p;
    return true;
}

/** Into `words`, which has room for them. */
static inline void gw_hist_words_take(const struct gw_hist_words *w, uint64_t *words, struct gw_exp_buckets *positive,
                                      struct gw_exp_buckets *negative)
{
    uint64_t n = gw_hist_words_n(w);

    if (n)
        memcpy(words, w->words, n * sizeof(*words));
    *positive = w->positive;
    *negative = w->negative;
    positive->counts = words + w->n_counts + w->n_bounds;
    negative->counts = positive->counts + positive->n;
}

#endif
