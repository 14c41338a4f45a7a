/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections one address may open: a token bucket for each, in a table of fixed size.
 *
 * An address is an IPv4 address (an IPv4-mapped one is the same), or the first 64 bits of an IPv6 address, which is
 * what one subscriber has. Unix sockets have none and are never limited.
 *
 *   set = hash(address)   [ way | way | way | way ]   a way: address, and the time at which its bucket is full again
 *
 * A bucket that is full again is forgotten for nothing. When a set has four that are not, the fullest makes room: so an
 * attacker needs thousands of addresses to be forgotten, and with so many no limit per address would stop it.
 *
 * Threads   one at a time
 */
#ifndef GW_NET_PEER_RATE_H
#define GW_NET_PEER_RATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { GW_PEER_RATE_WAYS = 4, GW_PEER_RATE_SETS = 1024 };

struct gw_peer_rate {
    uint64_t token_ns, burst_ns;
    struct gw_peer_bucket {
        uint8_t address[16];
        uint64_t full_ns; /* when it is full again; each connection moves it by token_ns */
    } (*sets)[GW_PEER_RATE_WAYS];
};

/** per_s 0: no limit, and no table. Errors: -ENOMEM. */
int gw_peer_rate_init(struct gw_peer_rate *r, uint32_t burst, uint32_t per_s);
void gw_peer_rate_clear(struct gw_peer_rate *r);
/** Take one token of this address. False: there is none. Cost: a hash and one cache line or two. */
bool gw_peer_rate_take(struct gw_peer_rate *r, const struct sockaddr_storage *peer, uint64_t now_ns);

#endif
