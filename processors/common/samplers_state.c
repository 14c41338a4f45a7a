/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sampler has counted, over the end of a process.
 *
 *   settings, share, times, sums; keys: {length, bytes, count, average, rate, flags, n blocks {age in intervals,
 * count}}
 *
 * Doubles are written as they are: what is loaded goes on to the last bit.
 */
#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "processors/common/samplers_priv.h"
#include "processors/common/spool.h"

enum { CURRENT = 1, AVERAGE = 2 };

static void put_f64(struct gw_buf *out, double v)
{
    gw_buf_put(out, &v, sizeof(v));
}

static double get_f64(struct gw_spool_in *in)
{
    struct gw_slice raw = gw_spool_get(in, sizeof(double));
    double v = 0;

    if (raw.n)
        memcpy(&v, raw.p, sizeof(v));
    if (!isfinite(v))
        in->bad = true;
    return in->bad ? 0 : v;
}

/* ---- saving ----------------------------------------------------------------------------------------------- */

static void put_conf(const struct gw_sampler_conf *c, struct gw_buf *out)
{
    gw_spool_put_u32(out, c->kind);
    put_f64(out, c->goal);
    put_f64(out, c->share);
    gw_spool_put_u64(out, c->interval_ns);
    gw_spool_put_u64(out, c->lookback_ns);
    put_f64(out, c->weight);
    put_f64(out, c->age_out);
    put_f64(out, c->burst_multiple);
    gw_spool_put_u32(out, c->burst_delay);
    gw_spool_put_u32(out, c->initial_rate);
    gw_spool_put_u32(out, c->max_keys);
}

static void put_key(const struct gw_sampler *s, const struct gw_sampler_key *k, struct gw_buf *out)
{
    uint32_t n = 0;

    gw_spool_put_bytes(out, gw_sampler_bytes_of(s, k));
    put_f64(out, k->current);
    put_f64(out, k->average);
    gw_spool_put_u64(out, k->rate);
    gw_buf_put_u8(out, (uint8_t)((k->is_current ? CURRENT : 0) | (k->is_average ? AVERAGE : 0)));
    for (uint32_t i = 0; i < s->n_blocks; i++)
        n += k->blocks[i].n > 0 && k->blocks[i].index <= s->index;
    gw_spool_put_u32(out, n);
    for (uint32_t i = 0; i < s->n_blocks; i++)
        if (k->blocks[i].n > 0 && k->blocks[i].index <= s->index) {
            gw_spool_put_u64(out, s->index - k->blocks[i].index);
            gw_spool_put_u64(out, k->blocks[i].n);
        }
}

void gw_sampler_save(const struct gw_sampler *s, uint64_t now_ns, struct gw_buf *out)
{
    bool begun = s->next_ns != GW_SAMPLER_NEVER;

    put_conf(&s->conf, out);
    gw_buf_put_u8(out, begun);
    gw_spool_put_u64(out, begun ? s->next_ns - now_ns : 0); /* modulo 2^64 */
    gw_spool_put_u64(out, s->index - now_ns / s->conf.interval_ns);
    gw_buf_put_u8(out, s->has_data);
    put_f64(out, s->burst_sum);
    put_f64(out, s->burst_threshold);
    gw_spool_put_u64(out, s->n_intervals);
    gw_spool_put_u64(out, s->n_bursts);
    gw_spool_put_u32(out, s->n_keys);
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i])
            put_key(s, s->slots[i], out);
}

/* ---- loading ---------------------------------------------------------------------------------------------- */

static void get_conf(struct gw_spool_in *in, struct gw_sampler_conf *c)
{
    c->kind = (enum gw_sampler_kind)gw_spool_get_u32(in);
    c->goal = get_f64(in);
    c->share = get_f64(in);
    c->interval_ns = gw_spool_get_u64(in);
    c->lookback_ns = gw_spool_get_u64(in);
    c->weight = get_f64(in);
    c->age_out = get_f64(in);
    c->burst_multiple = get_f64(in);
    c->burst_delay = gw_spool_get_u32(in);
    c->initial_rate = gw_spool_get_u32(in);
    c->max_keys = gw_spool_get_u32(in);
}

static void get_blocks(struct gw_sampler *s, struct gw_sampler_key *k, struct gw_spool_in *in)
{
    uint32_t n = gw_spool_get_u32(in);

    for (; n > 0 && !in->bad; n--) {
        uint64_t age = gw_spool_get_u64(in), count = gw_spool_get_u64(in), index = s->index - age;

        if (age < s->n_blocks && age <= s->index)
            k->blocks[index % s->n_blocks] = (struct gw_sampler_block){index, count};
    }
}

static void get_key(struct gw_sampler *s, struct gw_spool_in *in)
{
    struct gw_slice bytes = gw_spool_get_bytes(in);
    uint64_t hash = gw_hash_table(bytes);
    struct gw_sampler_key *k = in->bad || gw_sampler_find(s, hash, bytes) ? NULL : gw_sampler_add_key(s, hash, bytes);
    uint8_t flags;

    if (!k) {
        in->bad = true;
        return;
    }
    k->current = get_f64(in);
    k->average = get_f64(in);
    k->rate = gw_spool_get_u64(in);
    flags = gw_spool_get_u8(in);
    k->is_current = flags & CURRENT;
    k->is_average = flags & AVERAGE;
    s->n_current += k->is_current;
    get_blocks(s, k, in);
}

static void get_state(struct gw_sampler *s, uint64_t now_ns, struct gw_spool_in *in)
{
    bool begun = gw_spool_get_u8(in) != 0;
    uint32_t n;

    s->next_ns = gw_spool_get_u64(in) + now_ns;
    if (!begun)
        s->next_ns = GW_SAMPLER_NEVER;
    s->index = gw_spool_get_u64(in) + now_ns / s->conf.interval_ns;
    s->has_data = gw_spool_get_u8(in) != 0;
    s->burst_sum = get_f64(in);
    s->burst_threshold = get_f64(in);
    s->n_intervals = gw_spool_get_u64(in);
    s->n_bursts = gw_spool_get_u64(in);
    for (n = gw_spool_get_u32(in); n > 0 && !in->bad; n--)
        get_key(s, in);
    in->bad |= in->left.n > 0;
}

struct gw_sampler *gw_sampler_load(const struct gw_sampler *like, struct gw_slice saved, uint64_t now_ns)
{
    struct gw_spool_in in = {.left = saved};
    struct gw_sampler_conf conf = like->conf;
    struct gw_sampler *s;

    get_conf(&in, &conf);
    if (in.bad || !gw_sampler_counts_alike(&conf, &like->conf) || !(conf.share > 0 && conf.share <= 1))
        return NULL;
    s = gw_sampler_new(&conf, now_ns);
    if (!s)
        return NULL;
    get_state(s, now_ns, &in);
    if (!in.bad)
        return s;
    gw_sampler_free(s);
    return NULL;
}

/* ---- others' counts --------------------------------------------------------------------------------------- */

static void add_blocks(struct gw_sampler *s, struct gw_sampler_key *to, const struct gw_sampler *from,
                       const struct gw_sampler_key *k, double factor)
{
    for (uint32_t i = 0; i < from->n_blocks; i++) {
        uint64_t index = k->blocks[i].index;
        struct gw_sampler_block *b = &to->blocks[index % s->n_blocks];

        if (k->blocks[i].n == 0 || index > s->index || index + s->n_blocks <= s->index)
            continue;
        if (b->index != index)
            *b = (struct gw_sampler_block){index, 0};
        b->n += (uint64_t)ceil((double)k->blocks[i].n * factor);
    }
}

/* Rates do not depend on the share: theirs are as good as ours would be. */
static void add_key(struct gw_sampler *s, const struct gw_sampler *from, const struct gw_sampler_key *k, double factor)
{
    struct gw_slice bytes = gw_sampler_bytes_of(from, k);
    struct gw_sampler_key *to = gw_sampler_find(s, k->hash, bytes);

    if (!to)
        to = gw_sampler_add_key(s, k->hash, bytes);
    if (!to)
        return;
    to->current += k->current * factor;
    to->average += k->average * factor;
    to->is_average |= k->is_average;
    to->rate = k->rate > to->rate ? k->rate : to->rate;
    if (k->is_current && !to->is_current) {
        to->is_current = true;
        s->n_current++;
    }
    add_blocks(s, to, from, k, factor);
}

static void add_all(struct gw_sampler *s, const struct gw_sampler *from, double factor)
{
    for (uint32_t i = 0; i < from->n_slots; i++)
        if (from->slots[i])
            add_key(s, from, from->slots[i], factor);
    s->has_data |= from->has_data;
    s->burst_sum += from->burst_sum * factor;
    s->burst_threshold += from->burst_threshold * factor;
    s->n_intervals = from->n_intervals > s->n_intervals ? from->n_intervals : s->n_intervals;
    s->n_bursts += from->n_bursts;
}

void gw_sampler_take(struct gw_sampler *s, struct gw_sampler *const *from, unsigned n)
{
    struct gw_sampler *sum, was;

    if (n == 0)
        return;
    if (n == 1 && from[0]->conf.share == s->conf.share) {
        was = *s;
        *s = *from[0];
        *from[0] = was;
        return;
    }
    sum = gw_sampler_new(&s->conf, 0);
    if (!sum)
        return;
    gw_sampler_begin_late(sum);
    for (unsigned i = 0; i < n; i++) { /* the latest of them */
        bool begun = from[i]->next_ns != GW_SAMPLER_NEVER;

        if (begun && (sum->next_ns == GW_SAMPLER_NEVER || from[i]->next_ns > sum->next_ns))
            sum->next_ns = from[i]->next_ns;
        sum->index = from[i]->index > sum->index ? from[i]->index : sum->index;
    }
    for (unsigned i = 0; i < n; i++)
        add_all(sum, from[i], s->conf.share / from[i]->conf.share / n);
    was = *s;
    *s = *sum;
    *sum = was;
    gw_sampler_free(sum);
}
