/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer may cost us before its HTTP/2 connection is cut: a token bucket, and the books of what it owes nothing
 * for.
 *
 * Charged are resets in both directions, PRIORITY, empty DATA, malformed frames, frames of unknown types. PING,
 * WINDOW_UPDATE and SETTINGS cost only what goes beyond their reason: grpc-go answers every response with a PING and a
 * WINDOW_UPDATE (it probes bandwidth), and a charge for those would cut every Go client within a second. Our own
 * refusals cost nothing, nor does the reset with which a client answers one: a retry storm is not an attack.
 */
#ifndef GW_NET_H2_BUCKET_H
#define GW_NET_H2_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { GW_H2_OWED_MAX = 1000 };

struct gw_h2_bucket {
    uint64_t level; /* thousandths of a token */
    uint64_t filled_ns;
    uint32_t burst, per_s;
    uint32_t pings, window_updates, settings, resets, refusals; /* that are free */
};

void gw_h2_bucket_init(struct gw_h2_bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ns);
/** Take n tokens. False: there are not so many, the peer has to go. */
bool gw_h2_bucket_charge(struct gw_h2_bucket *b, unsigned n, uint64_t now_ns);
/** A request was answered: one token back. */
void gw_h2_bucket_completed(struct gw_h2_bucket *b);

/** Take one free one out of `*owed`, or else a token. */
static inline bool gw_h2_bucket_owed(struct gw_h2_bucket *b, uint32_t *owed, uint64_t now_ns)
{
    if (*owed) {
        --*owed;
        return true;
    }
    return gw_h2_bucket_charge(b, 1, now_ns);
}

static inline void gw_h2_bucket_owe(uint32_t *owed, uint32_t n)
{
    *owed = *owed + n > GW_H2_OWED_MAX ? GW_H2_OWED_MAX : *owed + n;
}

#endif
