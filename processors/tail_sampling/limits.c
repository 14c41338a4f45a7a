/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/rules.h"

#define NS_PER_S 1000000000

void gw_bucket_init(struct gw_bucket *b, double per_second, int64_t burst, double share)
{
    double size = (double)burst * share;

    *b = (struct gw_bucket){.per_second = per_second * share, .burst = burst, .size = size, .tokens = size};
}

/* Whole seconds and the rest apart, as Go's Duration.Seconds() adds them: the last bit decides, too. */
static double filled(const struct gw_bucket *b, uint64_t now_ns)
{
    uint64_t ns = now_ns > b->last_ns ? now_ns - b->last_ns : 0;
    double seconds = (double)(ns / NS_PER_S) + (double)(ns % NS_PER_S) / 1e9, tokens = b->tokens;

    if (!b->begun)
        return b->size;
    if (b->per_second > 0)
        tokens += seconds * b->per_second;
    return tokens > b->size ? b->size : tokens;
}

bool gw_bucket_take(struct gw_bucket *b, uint64_t now_ns, int64_t n)
{
    double tokens = filled(b, now_ns), lack = ((double)n < b->size ? (double)n : b->size) - tokens;

    if (n > b->burst)
        return false;
    /* What would be there within less than a nanosecond counts as there. */
    if (lack > 0 && (b->per_second <= 0 || lack / b->per_second * 1e9 >= 1))
        return false;
    b->begun = true;
    b->last_ns = now_ns;
    b->tokens = tokens - (double)n;
    return true;
}
