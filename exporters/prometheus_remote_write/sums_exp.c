/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/sums.h"

enum { SCALE_MIN = -4 };

/** First and last bucket that is not empty. */
struct extent {
    int64_t first, last;
    bool any;
};

static struct extent extent_of(const struct gw_batch *b, struct gw_ref run, int32_t offset)
{
    struct extent x = {0};
    uint32_t pos = run.off;
    uint64_t v;

    for (int64_t i = offset; gw_packed_varint_next(b, run, &pos, &v); i++) {
        if (v == 0)
            continue;
        x.first = x.any ? x.first : i;
        x.last = i;
        x.any = true;
    }
    return x;
}

static struct extent extent_of_side(const struct gw_rw_side *s)
{
    return (struct extent){s->offset, (int64_t)s->offset + s->n - 1, s->n > 0};
}

static int64_t down(int64_t i, int64_t by)
{
    return i >> (by > 62 ? 62 : by);
}

/** Do both fit into one side at this scale? */
static bool fits(struct extent a, int64_t a_down, struct extent b, int64_t b_down)
{
    int64_t first, last;

    if (!a.any && !b.any)
        return true;
    first = a.any ? down(a.first, a_down) : down(b.first, b_down);
    last = a.any ? down(a.last, a_down) : down(b.last, b_down);
    if (b.any) {
        first = down(b.first, b_down) < first ? down(b.first, b_down) : first;
        last = down(b.last, b_down) > last ? down(b.last, b_down) : last;
    }
    return last - first < GW_RW_BUCKETS_MAX;
}

/** The side, with its buckets at [first, …) of a scale that is `by` lower. */
static void rebase(struct gw_rw_side *s, int64_t first, int64_t last, int64_t by)
{
    struct gw_rw_side to = {.offset = (int32_t)first, .n = (uint32_t)(last - first + 1)};

    for (uint32_t i = 0; i < s->n; i++)
        to.counts[down((int64_t)s->offset + i, by) - first] += s->counts[i];
    *s = to;
}

static void add_side(struct gw_rw_side *s, int64_t s_down, const struct gw_batch *b, struct gw_ref run, int32_t offset,
                     struct extent x, int64_t x_down)
{
    struct extent old = extent_of_side(s);
    uint32_t pos = run.off;
    int64_t first, last;
    uint64_t v;

    if (!old.any && !x.any)
        return;
    first = old.any ? down(old.first, s_down) : down(x.first, x_down);
    last = old.any ? down(old.last, s_down) : down(x.last, x_down);
    if (x.any) {
        first = down(x.first, x_down) < first ? down(x.first, x_down) : first;
        last = down(x.last, x_down) > last ? down(x.last, x_down) : last;
    }
    rebase(s, first, last, s_down);
    for (int64_t i = offset; gw_packed_varint_next(b, run, &pos, &v); i++)
        if (v)
            s->counts[down(i, x_down) - first] += v;
}

bool gw_rw_exp_add(struct gw_rw_exp_sum *sum, const struct gw_batch *b, const struct gw_exphist *h)
{
    struct extent p = extent_of(b, h->positive, h->positive_offset), n = extent_of(b, h->negative, h->negative_offset);
    struct extent sp = extent_of_side(&sum->positive), sn = extent_of_side(&sum->negative);
    bool empty = !sp.any && !sn.any;
    int64_t scale = empty || h->scale < sum->scale ? h->scale : sum->scale, sum_down, h_down;

    if (scale > 20) /* finer than any: every bucket below is one here */
        scale = 20;
    for (;; scale--) {
        if (scale < SCALE_MIN)
            return false;
        sum_down = empty ? 0 : sum->scale - scale;
        h_down = h->scale - scale;
        if (fits(sp, sum_down, p, h_down) && fits(sn, sum_down, n, h_down))
            break;
    }
    add_side(&sum->positive, sum_down, b, h->positive, h->positive_offset, p, h_down);
    add_side(&sum->negative, sum_down, b, h->negative, h->negative_offset, n, h_down);
    sum->scale = (int32_t)scale;
    return true;
}
