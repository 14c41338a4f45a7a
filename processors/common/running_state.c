/* SPDX-License-Identifier: Apache-2.0 */
/* Totals as bytes: all that the next point's sum depends on, to the bit. */
#include "processors/common/hist_state.h"
#include "processors/common/running.h"

enum { HAS_SUM = 1, HAS_MIN = 2, HAS_MAX = 4 };

static bool is_histogram(uint8_t type)
{
    return type == GW_N_HISTOGRAM || type == GW_N_EXP_HISTOGRAM;
}

static void put_histogram(const struct gw_running_hist *h, struct gw_buf *out)
{
    const struct gw_hist_words w = {h->n_counts, h->n_bounds, h->positive, h->negative, h->words};

    gw_buf_put_u8(out, (uint8_t)((h->has_sum ? HAS_SUM : 0) | (h->has_min ? HAS_MIN : 0) | (h->has_max ? HAS_MAX : 0)));
    gw_spool_put_u64(out, h->count);
    gw_spool_put_u64(out, h->zero_count);
    gw_buf_put(out, &h->sum, sizeof(h->sum));
    gw_buf_put(out, &h->min, sizeof(h->min));
    gw_buf_put(out, &h->max, sizeof(h->max));
    gw_buf_put(out, &h->zero_threshold, sizeof(h->zero_threshold));
    gw_spool_put_u32(out, (uint32_t)h->scale);
    gw_hist_words_put(&w, out);
}

void gw_running_put(const struct gw_running *t, struct gw_buf *out)
{
    gw_buf_put_u8(out, t->type);
    gw_spool_put_u64(out, t->start_ns);
    gw_spool_put_u64(out, t->time_ns);
    if (is_histogram(t->type) && t->h)
        put_histogram(t->h, out);
    else
        gw_spool_put_u64(out, (uint64_t)t->i);
}

static bool take_histogram(struct gw_running *t, struct gw_spool_in *in, struct gw_credit *credit)
{
    struct gw_running_hist of = {0}, *h;
    struct gw_hist_words w;
    uint8_t has = gw_spool_get_u8(in);

    of.count = gw_spool_get_u64(in);
    of.zero_count = gw_spool_get_u64(in);
    of.sum = gw_spool_get_double(in);
    of.min = gw_spool_get_double(in);
    of.max = gw_spool_get_double(in);
    of.zero_threshold = gw_spool_get_double(in);
    of.scale = (int32_t)gw_spool_get_u32(in);
    if (!gw_hist_words_get(&w, in))
        return false;
    h = gw_running_room(t, gw_hist_words_n(&w), credit);
    if (!h)
        return false;
    of.bytes = h->bytes;
    of.n_words = h->n_words;
    of.has_sum = has & HAS_SUM;
    of.has_min = has & HAS_MIN;
    of.has_max = has & HAS_MAX;
    *h = of;
    h->n_counts = w.n_counts;
    h->n_bounds = w.n_bounds;
    gw_hist_words_take(&w, h->words, &h->positive, &h->negative);
    return true;
}

bool gw_running_take(struct gw_running *t, struct gw_spool_in *in, struct gw_credit *credit)
{
    uint8_t type = gw_spool_get_u8(in);
    uint64_t start_ns = gw_spool_get_u64(in), time_ns = gw_spool_get_u64(in);
    bool ok = true;

    gw_running_clear(t, credit);
    if (is_histogram(type))
        ok = take_histogram(t, in, credit);
    else
        t->i = (int64_t)gw_spool_get_u64(in);
    if (!ok || in->bad)
        return false;
    t->type = type;
    t->start_ns = start_ns;
    t->time_ns = time_ns;
    return true;
}
