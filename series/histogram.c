/* SPDX-License-Identifier: Apache-2.0 */
#include "series/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- explicit --------------------------------------------------------------------------------------------- */

/* The first bound that is not below the value. */
static unsigned bucket_of(const struct gw_bounds *b, double value)
{
    unsigned low = 0, high = b->n;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (b->at[mid] >= value)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

void gw_explicit_add(struct gw_explicit *h, const struct gw_bounds *b, double value, uint64_t n)
{
    h->sum += value * (double)n;
    h->count += n;
    h->buckets[bucket_of(b, value)] += n;
}

void gw_explicit_merge(struct gw_explicit *h, const struct gw_bounds *b, const struct gw_explicit *other)
{
    h->sum += other->sum;
    h->count += other->count;
    for (unsigned i = 0; i <= b->n; i++)
        h->buckets[i] += other->buckets[i];
}

/* ---- which bucket ----------------------------------------------------------------------------------------- */

enum { MAX_SCALE = GW_EXP_MAX_SCALE, FRACTION_BITS = 52, MIN_EXPONENT = -1022, MAX_EXPONENT = 1023 };
#define FRACTION_MASK ((UINT64_C(1) << FRACTION_BITS) - 1)

static uint64_t bits_of(double v)
{
    uint64_t b;

    memcpy(&b, &v, sizeof(b));
    return b;
}

static double double_of(uint64_t b)
{
    double v;

    memcpy(&v, &b, sizeof(v));
    return v;
}

static int exponent_of(double v)
{
    return (int)(bits_of(v) >> FRACTION_BITS & 0x7ff) - 1023;
}

/*
 * The natural logarithm of a normal number as fdlibm defines it, operation by operation. The C library's is more exact,
 * and that is the trouble: where both sides of a bucket's bound are a rounding apart, ours has to fall on the side that
 * Go's falls on.
 */
static double log_fdlibm(double x)
{
    static const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static const double c[] = {0,
                               6.666666666666735130e-01,
                               3.999999999940941908e-01,
                               2.857142874366239149e-01,
                               2.222219843214978396e-01,
                               1.818357216161805012e-01,
                               1.531383769920937332e-01,
                               1.479819860511658591e-01};
    double m = double_of((bits_of(x) & FRACTION_MASK) | UINT64_C(0x3fe) << FRACTION_BITS); /* [0.5, 1) */
    double k = exponent_of(x) + 1;
    double f, s, z, w, odd, even, r, half;

    if (m < 7.07106781186547524401e-01) {
        m *= 2;
        k -= 1;
    }
    f = m - 1;
    s = f / (2 + f);
    z = s * s;
    w = z * z;
    odd = z * (c[1] + w * (c[3] + w * (c[5] + w * c[7])));
    even = w * (c[2] + w * (c[4] + w * c[6]));
    r = odd + even;
    half = 0.5 * f * f;
    return k * ln2_high - ((half - (s * (half + r) + k * ln2_low)) - f);
}

/* Scales up to 0: buckets are runs of powers of two. */
static int32_t index_of_exponent(double value, int32_t scale)
{
    int shift = -scale, exponent = exponent_of(value);

    if (value < 0x1p-1022)
        return (MIN_EXPONENT >> shift) - (shift < 2);
    if ((bits_of(value) & FRACTION_MASK) == 0)
        exponent--;
    return exponent >> shift;
}

int32_t gw_exponential_index(double value, int32_t scale)
{
    int32_t max, index;

    if (scale <= 0)
        return index_of_exponent(value, scale);
    if (value <= 0x1p-1022)
        return MIN_EXPONENT * (1 << scale) - 1;
    if ((bits_of(value) & FRACTION_MASK) == 0)
        return exponent_of(value) * (1 << scale) - 1;
    max = (int32_t)(((int64_t)(MAX_EXPONENT + 1) << scale) - 1);
    index = (int32_t)floor(log_fdlibm(value) * ldexp(1.44269504088896340736, scale));
    return index >= max ? max : index;
}

/* ---- buckets ---------------------------------------------------------------------------------------------- */

void gw_exponential_init(struct gw_exponential *h, uint32_t max_size)
{
    *h = (struct gw_exponential){.max_size = max_size, .scale = MAX_SCALE};
}

void gw_exponential_clear(struct gw_exponential *h)
{
    free(h->positive.counts);
    free(h->negative.counts);
    gw_exponential_init(h, h->max_size);
}

void gw_exponential_reset(struct gw_exponential *h)
{
    struct gw_exp_half p = h->positive, n = h->negative;

    gw_exponential_init(h, h->max_size);
    h->positive = (struct gw_exp_half){.counts = p.counts, .cap = p.cap};
    h->negative = (struct gw_exp_half){.counts = n.counts, .cap = n.cap};
}

int32_t gw_exponential_scale(const struct gw_exponential *h)
{
    return h->count == h->zero_count ? 0 : h->scale;
}

static bool reserve(struct gw_exp_half *b, uint32_t n, uint32_t max_size)
{
    uint32_t cap = b->cap ? b->cap : 8;
    uint64_t *p;

    if (n <= b->cap)
        return true;
    while (cap < n)
        cap *= 2;
    if (cap > max_size)
        cap = max_size;
    p = realloc(b->counts, cap * sizeof(*p));
    if (!p)
        return false;
    b->counts = p;
    b->cap = cap;
    return true;
}

/* Indices from `low` to `high` are there; they fit in max_size. False: no memory. */
static bool widen(struct gw_exp_half *b, int32_t low, int32_t high, uint32_t max_size)
{
    int32_t end;
    uint32_t n;

    if (b->n == 0) {
        b->start = low;
        end = low - 1;
    } else {
        end = b->start + (int32_t)b->n - 1;
    }
    low = low < b->start ? low : b->start;
    high = high > end ? high : end;
    n = (uint32_t)(high - low + 1);
    if (!reserve(b, n, max_size))
        return false;
    if (low < b->start) {
        memmove(b->counts + (b->start - low), b->counts, b->n * sizeof(*b->counts));
        memset(b->counts, 0, (size_t)(b->start - low) * sizeof(*b->counts));
        b->n += (uint32_t)(b->start - low);
        b->start = low;
    }
    memset(b->counts + b->n, 0, (n - b->n) * sizeof(*b->counts));
    b->n = n;
    return true;
}

static void downscale_half(struct gw_exp_half *b, int by)
{
    int32_t start = b->start >> by;
    uint32_t out = 0;

    if (b->n == 0)
        return;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t to = (uint32_t)(((b->start + (int32_t)i) >> by) - start);
        uint64_t count = b->counts[i];

        if (to >= out) {
            b->counts[to] = count; /* never behind what was read */
            out = to + 1;
        } else {
            b->counts[to] += count;
        }
    }
    b->start = start;
    b->n = out;
}

static void downscale(struct gw_exponential *h, int by)
{
    if (by == 0)
        return;
    downscale_half(&h->positive, by);
    downscale_half(&h->negative, by);
    h->scale -= by;
}

/* Halvings after which low..high is at most max_size buckets. */
static int excess(int64_t low, int64_t high, uint32_t max_size)
{
    int by = 0;

    for (; high - low >= max_size; by++) {
        low >>= 1;
        high >>= 1;
    }
    return by;
}

static bool count_into(struct gw_exponential *h, struct gw_exp_half *b, double value, uint64_t n)
{
    int32_t index = gw_exponential_index(value, h->scale), low = index, high = index;
    int by;

    if (b->n) {
        int32_t end = b->start + (int32_t)b->n - 1;

        low = b->start < index ? b->start : index;
        high = end > index ? end : index;
    }
    by = excess(low, high, h->max_size);
    if (by) {
        downscale(h, by);
        index = gw_exponential_index(value, h->scale);
    }
    if (!widen(b, index, index, h->max_size))
        return false;
    b->counts[index - b->start] += n;
    return true;
}

static void note_range(struct gw_exponential *h, double min, double max)
{
    h->min = h->count == 0 || min < h->min ? min : h->min;
    h->max = h->count == 0 || max > h->max ? max : h->max;
}

bool gw_exponential_add(struct gw_exponential *h, double value, uint64_t n)
{
    bool is_zero;

    if (n == 0 || !isfinite(value))
        return true;
    is_zero = fabs(value) <= h->zero_threshold;
    if (!is_zero && !count_into(h, value > 0 ? &h->positive : &h->negative, fabs(value), n))
        return false;
    note_range(h, value, value);
    h->count += n;
    h->zero_count += is_zero ? n : 0;
    h->sum += value * (double)n;
    return true;
}

/* ---- merging ---------------------------------------------------------------------------------------------- */

/* Indices of both at `scale`; false when neither has any. */
static bool range_of(const struct gw_exponential *h, const struct gw_exp_half *b, int32_t scale, int64_t *low,
                     int64_t *high, bool has)
{
    int by = h->scale - scale;
    int64_t first, end;

    if (b->n == 0)
        return has;
    first = b->start >> by;
    end = (b->start + (int32_t)b->n - 1) >> by;
    *low = has && *low < first ? *low : first;
    *high = has && *high > end ? *high : end;
    return true;
}

static int excess_of(const struct gw_exponential *h, const struct gw_exp_half *mine, const struct gw_exponential *o,
                     const struct gw_exp_half *theirs, int32_t scale)
{
    int64_t low = 0, high = 0;
    bool has = range_of(h, mine, scale, &low, &high, false);

    return range_of(o, theirs, scale, &low, &high, has) ? excess(low, high, h->max_size) : 0;
}

static bool make_room(struct gw_exp_half *mine, const struct gw_exp_half *theirs, int by, uint32_t max_size)
{
    return theirs->n == 0 || widen(mine, theirs->start >> by, (theirs->start + (int32_t)theirs->n - 1) >> by, max_size);
}

static void add_half(struct gw_exp_half *mine, const struct gw_exp_half *theirs, int by)
{
    for (uint32_t i = 0; i < theirs->n; i++)
        mine->counts[((theirs->start + (int32_t)i) >> by) - mine->start] += theirs->counts[i];
}

/* Buckets move to the front of the memory. */
static void forget_first(struct gw_exp_half *b, uint32_t n)
{
    if (n)
        memmove(b->counts, b->counts + n, b->n * sizeof(*b->counts));
}

/* Both have one zero threshold: `other` is a copy, whose buckets are borrowed. */
static void align_zeros(struct gw_exponential *h, struct gw_exponential *other)
{
    double zero = gw_exponential_common_zero(h, other);
    uint32_t positive, negative;

    gw_exponential_raise_zero(h, zero, &positive, &negative);
    forget_first(&h->positive, positive);
    forget_first(&h->negative, negative);
    gw_exponential_raise_zero(other, zero, &positive, &negative);
    if (positive)
        other->positive.counts += positive;
    if (negative)
        other->negative.counts += negative;
}

bool gw_exponential_merge(struct gw_exponential *h, const struct gw_exponential *from)
{
    struct gw_exponential copy = *from;
    const struct gw_exponential *other = &copy;
    int32_t scale = h->scale < other->scale ? h->scale : other->scale;
    int by, by_negative;

    if (other->count == 0)
        return true;
    if (h->zero_threshold != copy.zero_threshold)
        align_zeros(h, &copy);
    by = excess_of(h, &h->positive, other, &other->positive, scale);
    by_negative = excess_of(h, &h->negative, other, &other->negative, scale);
    scale -= by > by_negative ? by : by_negative;
    downscale(h, h->scale - scale);
    by = other->scale - scale;
    if (!make_room(&h->positive, &other->positive, by, h->max_size) ||
        !make_room(&h->negative, &other->negative, by, h->max_size))
        return false;
    add_half(&h->positive, &other->positive, by);
    add_half(&h->negative, &other->negative, by);
    note_range(h, other->min, other->max);
    h->count += other->count;
    h->zero_count += other->zero_count;
    h->sum += other->sum;
    return true;
}
