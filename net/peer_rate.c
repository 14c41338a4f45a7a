/* SPDX-License-Identifier: Apache-2.0 */
#include "net/peer_rate.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

int gw_peer_rate_init(struct gw_peer_rate *r, uint32_t burst, uint32_t per_s)
{
    *r = (struct gw_peer_rate){0};
    if (per_s == 0)
        return 0;
    r->token_ns = 1000000000u / per_s;
    r->burst_ns = r->token_ns * (burst ? burst : 1);
    r->sets = calloc(GW_PEER_RATE_SETS, sizeof *r->sets); /* pages that no address falls into are never touched */
    return r->sets ? 0 : -ENOMEM;
}

void gw_peer_rate_clear(struct gw_peer_rate *r)
{
    free(r->sets);
    r->sets = NULL;
}

/** False: a family without addresses. */
static bool address_of(const struct sockaddr_storage *peer, uint8_t *ret)
{
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)peer)->sin6_addr;
    const void *in4 = &((const struct sockaddr_in *)peer)->sin_addr;

    memset(ret, 0, 16);
    if (peer->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(in6)) {
        memcpy(ret, in6, 8);
        return true;
    }
    if (peer->ss_family == AF_INET6)
        in4 = &in6->s6_addr[12];
    memcpy(ret + 12, in4, 4);
    ret[11] = 1; /* apart from ::/64 */
    return peer->ss_family == AF_INET || peer->ss_family == AF_INET6;
}

bool gw_peer_rate_take(struct gw_peer_rate *r, const struct sockaddr_storage *peer, uint64_t now_ns)
{
    struct gw_peer_bucket *set, *b = NULL;
    uint8_t address[16];

    if (!r->sets || !address_of(peer, address))
        return true;
    set = r->sets[gw_hash_table((struct gw_slice){address, sizeof address}) % GW_PEER_RATE_SETS];
    for (unsigned i = 0; i < GW_PEER_RATE_WAYS && !b; i++)
        if (memcmp(set[i].address, address, sizeof address) == 0)
            b = &set[i];
    if (!b) {
        b = &set[0];
        for (unsigned i = 1; i < GW_PEER_RATE_WAYS; i++)
            if (set[i].full_ns < b->full_ns)
                b = &set[i];
        memcpy(b->address, address, sizeof address);
        b->full_ns = 0;
    }
    if (b->full_ns < now_ns)
        b->full_ns = now_ns;
    if (b->full_ns - now_ns + r->token_ns > r->burst_ns)
        return false;
    b->full_ns += r->token_ns;
    return true;
}
