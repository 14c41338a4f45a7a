/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_bucket.h"

enum { MILLI = 1000 };

void gw_h2_bucket_init(struct gw_h2_bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ns)
{
    *b = (struct gw_h2_bucket){
        .level = (uint64_t)burst * MILLI,
        .filled_ns = now_ns,
        .burst = burst,
        .per_s = per_s,
        .settings = 4,       /* theirs, the acknowledgement of ours, and a change of mind */
        .window_updates = 8, /* windows that are opened at the start */
        .refusals = 256,     /* streams that were opened before our SETTINGS arrived */
    };
}

bool gw_h2_bucket_charge(struct gw_h2_bucket *b, unsigned n, uint64_t now_ns)
{
    uint64_t full = (uint64_t)b->burst * MILLI, dt = now_ns - b->filled_ns, more;

    if (dt > 1000000) { /* a step of the level takes at least a millisecond */
        more = dt > 1000000000000ull ? full : dt / 1000 * b->per_s / 1000;
        b->level = b->level + more > full ? full : b->level + more;
        b->filled_ns = now_ns;
    }
    if (b->level < (uint64_t)n * MILLI) {
        b->level = 0;
        return false;
    }
    b->level -= (uint64_t)n * MILLI;
    return true;
}

void gw_h2_bucket_completed(struct gw_h2_bucket *b)
{
    uint64_t full = (uint64_t)b->burst * MILLI;

    b->level = b->level + MILLI > full ? full : b->level + MILLI;
}
