/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/samplers.h"

#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "processors/common/samplers_priv.h"
#include "values/sampling.h"

enum { FIRST_SLOTS = 64 };

/* ---- keys ------------------------------------------------------------------------------------------------- */

static uint32_t place_of(const struct gw_sampler *s, uint64_t hash, struct gw_slice bytes)
{
    uint32_t i = (uint32_t)hash & (s->n_slots - 1);

    while (s->slots[i] && !(s->slots[i]->hash == hash && gw_slice_eq(gw_sampler_bytes_of(s, s->slots[i]), bytes)))
        i = (i + 1) & (s->n_slots - 1);
    return i;
}

struct gw_sampler_key *gw_sampler_find(const struct gw_sampler *s, uint64_t hash, struct gw_slice bytes)
{
    return s->slots[place_of(s, hash, bytes)];
}

/* All keys into a table of n slots; those without one go nowhere. */
static bool resize(struct gw_sampler *s, uint32_t n)
{
    struct gw_sampler_key **old = s->slots;
    uint32_t n_old = s->n_slots;

    s->slots = calloc(n, sizeof(*s->slots));
    if (!s->slots) {
        s->slots = old;
        return false;
    }
    s->n_slots = n;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i])
            s->slots[place_of(s, old[i]->hash, gw_sampler_bytes_of(s, old[i]))] = old[i];
    free(old);
    return true;
}

struct gw_sampler_key *gw_sampler_add_key(struct gw_sampler *s, uint64_t hash, struct gw_slice bytes)
{
    struct gw_sampler_key *k;

    if (2 * (s->n_keys + 1) > s->n_slots && !resize(s, s->n_slots * 2))
        return NULL;
    k = calloc(1, sizeof(*k) + s->n_blocks * sizeof(k->blocks[0]) + bytes.n);
    if (!k)
        return NULL;
    k->hash = hash;
    k->n_bytes = (uint32_t)bytes.n;
    memcpy(&k->blocks[s->n_blocks], bytes.p, bytes.n);
    s->slots[place_of(s, hash, bytes)] = k;
    s->n_keys++;
    return k;
}

/* Takes a key out; what stands behind it in the table moves up. */
static void drop_at(struct gw_sampler *s, uint32_t hole)
{
    uint32_t mask = s->n_slots - 1;

    free(s->slots[hole]);
    s->slots[hole] = NULL;
    s->n_keys--;
    for (uint32_t i = (hole + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)s->slots[i]->hash & mask;

        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        s->slots[hole] = s->slots[i];
        s->slots[i] = NULL;
        hole = i;
    }
}

static void drop_unless(struct gw_sampler *s, bool (*stays)(const struct gw_sampler *s, const struct gw_sampler_key *k))
{
    for (uint32_t i = 0; i < s->n_slots; i++)
        while (s->slots[i] && !stays(s, s->slots[i]))
            drop_at(s, i);
}

struct sorted {
    const struct gw_sampler *s;
    struct gw_sampler_key *k;
};

static int by_bytes(const void *pa, const void *pb)
{
    const struct sorted *x = pa, *y = pb;
    struct gw_slice a = gw_sampler_bytes_of(x->s, x->k), b = gw_sampler_bytes_of(y->s, y->k);
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* All keys in order of their bytes. Owner: gives (free it). NULL without memory. */
static struct sorted *sort_keys(const struct gw_sampler *s)
{
    struct sorted *all = malloc((s->n_keys + 1) * sizeof(*all));
    uint32_t n = 0;

    for (uint32_t i = 0; all && i < s->n_slots; i++)
        if (s->slots[i])
            all[n++] = (struct sorted){s, s->slots[i]};
    if (all)
        qsort(all, n, sizeof(*all), by_bytes);
    return all;
}

/* ---- moving averages -------------------------------------------------------------------------------------- */

static void fold(struct gw_sampler *s, struct gw_sampler_key *k)
{
    double w = s->conf.weight, value = k->is_current ? k->current : 0, before = k->is_average ? k->average : 0;

    k->average = value * w + (1.0 - w) * before;
    k->is_average = k->average >= s->conf.age_out;
    k->is_current = false;
    k->current = 0;
    k->rate = 0;
}

static bool has_average(const struct gw_sampler *s, const struct gw_sampler_key *k)
{
    (void)s;
    return k->is_average;
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/*
 * Each key may keep its part of the goal by the logarithm of its count, at least one; what a key does not need goes to
 * the keys behind it in equal parts.
 */
static void share_out(const struct sorted *all, uint32_t n, double goal, double log_sum)
{
    double ratio = log_sum > 0 ? goal / log_sum : 0, extra = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct gw_sampler_key *k = all[i].k;
        double count = fmax(1, k->average), for_key = fmax(1, log10(count) * ratio), more = extra / (n - i);

        for_key += more;
        extra -= more;
        if (count <= for_key) {
            k->rate = 1;
            extra += for_key - count;
        } else {
            k->rate = (uint64_t)ceil(count / for_key);
            extra += for_key - count / (double)k->rate;
        }
    }
}

/* Without traffic nothing changes: an average must not fall because a source is away. */
static void average(struct gw_sampler *s)
{
    double sum = 0, log_sum = 0, goal;
    struct sorted *all;

    if (s->n_current == 0)
        return;
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i])
            fold(s, s->slots[i]);
    s->n_current = 0;
    s->burst_sum = 0;
    drop_unless(s, has_average);
    all = sort_keys(s);
    for (uint32_t i = 0; all && i < s->n_keys; i++) {
        sum += fmax(1, all[i].k->average);
        log_sum += log10(fmax(1, all[i].k->average));
    }
    s->burst_threshold = sum * s->conf.burst_multiple;
    goal = s->conf.kind == GW_EMA_PERCENTAGE ? sum / s->conf.goal
                                             : s->conf.goal * s->conf.share * seconds(s->conf.interval_ns);
    if (all)
        share_out(all, s->n_keys, goal, log_sum);
    s->has_data = true;
    free(all);
}

/* ---- totals ----------------------------------------------------------------------------------------------- */

static bool has_rate(const struct gw_sampler *s, const struct gw_sampler_key *k)
{
    (void)s;
    return k->rate > 0;
}

static uint64_t rate_of(double count, double per_key)
{
    return (uint64_t)fmax(1, count / per_key);
}

/* Rates by what the interval counted, none by one without traffic. */
static void total(struct gw_sampler *s)
{
    double goal = s->conf.goal * s->conf.share * seconds(s->conf.interval_ns);
    double per_key = s->n_current ? floor(fmax(1, goal / s->n_current)) : 1;

    for (uint32_t i = 0; i < s->n_slots; i++) {
        struct gw_sampler_key *k = s->slots[i];

        if (!k)
            continue;
        k->rate = k->is_current ? rate_of(k->current, per_key) : 0;
        k->is_current = false;
        k->current = 0;
    }
    s->n_current = 0;
    drop_unless(s, has_rate);
}

/* ---- windows ---------------------------------------------------------------------------------------------- */

/* Of the intervals before the one that is being filled. */
static uint64_t in_window(const struct gw_sampler *s, const struct gw_sampler_key *k)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < s->n_blocks; i++)
        if (k->blocks[i].index < s->index && k->blocks[i].index + s->n_blocks > s->index)
            n += k->blocks[i].n;
    return n;
}

static void look_back(struct gw_sampler *s)
{
    uint32_t n = 0;
    double goal = s->conf.goal * s->conf.share * seconds(s->conf.interval_ns) * (s->n_blocks - 1), per_key;

    for (uint32_t i = 0; i < s->n_slots; i++)
        n += s->slots[i] && in_window(s, s->slots[i]) > 0;
    per_key = n ? fmax(1, goal / n) : 1;
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i]) {
            uint64_t count = in_window(s, s->slots[i]);

            s->slots[i]->rate = count ? rate_of((double)count, per_key) : 0;
        }
    drop_unless(s, has_rate);
}

static void count_in_window(struct gw_sampler *s, struct gw_sampler_key *k, uint64_t n)
{
    struct gw_sampler_block *b = &k->blocks[s->index % s->n_blocks];

    if (b->index != s->index)
        *b = (struct gw_sampler_block){s->index, 0};
    b->n += n;
}

/* ---- time ------------------------------------------------------------------------------------------------- */

/* Intervals that passed without a call had no traffic. */
static void make_rates(struct gw_sampler *s, uint64_t now_ns)
{
    uint64_t passed;

    if (s->conf.kind == GW_WINDOWED_THROUGHPUT) {
        if (now_ns / s->conf.interval_ns != s->index) {
            s->index = now_ns / s->conf.interval_ns;
            look_back(s);
        }
        return;
    }
    if (s->next_ns == GW_SAMPLER_NEVER) {
        s->next_ns = now_ns + s->conf.interval_ns;
        return;
    }
    if (now_ns < s->next_ns)
        return;
    passed = (now_ns - s->next_ns) / s->conf.interval_ns + 1;
    s->next_ns += passed * s->conf.interval_ns;
    s->n_intervals += passed;
    if (s->conf.kind != GW_TOTAL_THROUGHPUT) {
        average(s);
        return;
    }
    total(s);
    if (passed > 1)
        total(s);
}

/* Much more than the averages say: they are brought up to date at once, and the next interval begins now. */
static void look_for_burst(struct gw_sampler *s, uint64_t now_ns)
{
    if (s->burst_threshold <= 0 || s->burst_sum < s->burst_threshold || s->n_intervals < s->conf.burst_delay)
        return;
    s->n_bursts++;
    average(s);
    s->next_ns = now_ns + s->conf.interval_ns;
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

struct gw_sampler *gw_sampler_new(const struct gw_sampler_conf *conf, uint64_t now_ns)
{
    struct gw_sampler *s = calloc(1, sizeof(*s));
    uint64_t blocks;

    if (!s)
        return NULL;
    s->conf = *conf;
    if (s->conf.age_out == 0)
        s->conf.age_out = s->conf.weight;
    if (conf->kind == GW_WINDOWED_THROUGHPUT) {
        blocks = conf->lookback_ns / conf->interval_ns;
        blocks = blocks < 1 ? 1 : blocks > GW_SAMPLER_MAX_BLOCKS ? GW_SAMPLER_MAX_BLOCKS : blocks;
        s->n_blocks = (uint32_t)blocks + 1;
        s->index = now_ns / conf->interval_ns;
    }
    s->next_ns = now_ns + conf->interval_ns;
    if (!resize(s, FIRST_SLOTS)) {
        gw_sampler_free(s);
        return NULL;
    }
    return s;
}

void gw_sampler_free(struct gw_sampler *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_slots; i++)
        free(s->slots[i]);
    free(s->slots);
    free(s);
}

bool gw_sampler_is_like(const struct gw_sampler *a, const struct gw_sampler *b)
{
    return a->conf.share == b->conf.share && gw_sampler_counts_alike(&a->conf, &b->conf);
}

bool gw_sampler_counts_alike(const struct gw_sampler_conf *x, const struct gw_sampler_conf *y)
{
    return x->kind == y->kind && x->goal == y->goal && x->interval_ns == y->interval_ns &&
           x->lookback_ns == y->lookback_ns && x->weight == y->weight && x->age_out == y->age_out &&
           x->burst_multiple == y->burst_multiple && x->burst_delay == y->burst_delay &&
           x->initial_rate == y->initial_rate && x->max_keys == y->max_keys;
}

void gw_sampler_begin_late(struct gw_sampler *s)
{
    s->next_ns = GW_SAMPLER_NEVER;
    s->index = 0;
}

/* The key, if there is one or may be a new one. */
static struct gw_sampler_key *key_for(struct gw_sampler *s, struct gw_slice bytes)
{
    uint64_t hash = gw_hash_table(bytes);
    struct gw_sampler_key *k = gw_sampler_find(s, hash, bytes);
    uint32_t n = s->conf.kind == GW_WINDOWED_THROUGHPUT ? s->n_keys : s->n_current;

    if (k && (k->is_current || s->conf.kind == GW_WINDOWED_THROUGHPUT))
        return k;
    if (n >= s->conf.max_keys)
        return k;
    return k ? k : gw_sampler_add_key(s, hash, bytes);
}

static void count(struct gw_sampler *s, struct gw_sampler_key *k, uint64_t n)
{
    if (s->conf.kind == GW_WINDOWED_THROUGHPUT) {
        count_in_window(s, k, n);
        return;
    }
    if (!k->is_current) {
        if (s->n_current >= s->conf.max_keys)
            return;
        k->is_current = true;
        s->n_current++;
    }
    k->current += (double)n;
    s->burst_sum += (double)n;
}

uint64_t gw_sampler_rate(struct gw_sampler *s, struct gw_slice key, uint64_t n, uint64_t now_ns)
{
    bool averages = s->conf.kind == GW_EMA_PERCENTAGE || s->conf.kind == GW_EMA_THROUGHPUT;
    struct gw_sampler_key *k;
    uint64_t rate;

    make_rates(s, now_ns);
    k = key_for(s, key);
    if (k)
        count(s, k, n);
    rate = k && k->rate ? k->rate : 1;
    if (averages && !s->has_data)
        rate = s->conf.initial_rate > 1 ? s->conf.initial_rate : 1;
    if (averages)
        look_for_burst(s, now_ns);
    return rate;
}

uint32_t gw_sampler_n_keys(const struct gw_sampler *s)
{
    return s->n_keys;
}

uint64_t gw_sampler_n_bursts(const struct gw_sampler *s)
{
    return s->n_bursts;
}

uint64_t gw_sampler_threshold(uint64_t before, uint64_t rate)
{
    uint64_t ours;

    if (rate <= 1)
        return before;
    if (!gw_threshold_of(1.0 / (double)rate, GW_SAMPLING_DIGITS, &ours))
        ours = GW_NEVER_SAMPLE;
    return ours > before ? ours : before;
}
