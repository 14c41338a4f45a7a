/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/peer_rate.h"

#define SECOND 1000000000ull

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage sa = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;

    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        sa.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
        sa.ss_family = AF_INET6;
    }
    return sa;
}

static unsigned take(struct gw_peer_rate *r, const char *text, unsigned n, uint64_t now)
{
    struct sockaddr_storage sa = peer(text);
    unsigned got = 0;

    while (n-- > 0)
        got += gw_peer_rate_take(r, &sa, now);
    return got;
}

/* Scenario: burst 10, 5 a second: twenty at once, twenty a second later, twenty after an hour.
 * Guarantees: the burst, then the rate, then the burst again and no more. */
static void an_address_has_a_burst_and_a_rate(void **state)
{
    uint64_t now = 1000 * SECOND;
    struct gw_peer_rate r;

    (void)state;
    assert_int_equal(gw_peer_rate_init(&r, 10, 5), 0);
    assert_int_equal(take(&r, "192.0.2.1", 20, now), 10);
    assert_int_equal(take(&r, "192.0.2.1", 20, now + SECOND), 5);
    assert_int_equal(take(&r, "192.0.2.1", 20, now + 3600 * SECOND), 10);
    gw_peer_rate_clear(&r);
}

/* Scenario: one address has used up its own; others come: another IPv4 one, the same as IPv4-mapped, two of one /64,
 * one of the next /64, ::1, a Unix socket.
 * Guarantees: another address has its own bucket, another spelling has not; a /64 is one; no address, no limit. */
static void addresses_do_not_pay_for_each_other(void **state)
{
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    uint64_t now = 1000 * SECOND;
    struct gw_peer_rate r;

    (void)state;
    assert_int_equal(gw_peer_rate_init(&r, 10, 5), 0);
    assert_int_equal(take(&r, "192.0.2.1", 20, now), 10);
    assert_int_equal(take(&r, "192.0.2.2", 20, now), 10);
    assert_int_equal(take(&r, "::ffff:192.0.2.1", 20, now), 0);
    assert_int_equal(take(&r, "2001:db8:0:1::1", 4, now), 4);
    assert_int_equal(take(&r, "2001:db8:0:1:ffff::2", 20, now), 6);
    assert_int_equal(take(&r, "2001:db8:0:2::1", 20, now), 10);
    assert_int_equal(take(&r, "::1", 20, now), 10);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(gw_peer_rate_take(&r, &local, now));
    gw_peer_rate_clear(&r);
}

/* Scenario: 100,000 addresses come once each, while one that used up its bucket goes on trying.
 * Guarantees: all of them get in, whatever the table has to forget; the one does not, for it is forgotten last. */
static void many_addresses_do_not_free_the_one_that_is_over(void **state)
{
    uint64_t now = 1000 * SECOND;
    struct gw_peer_rate r;
    char text[32];

    (void)state;
    assert_int_equal(gw_peer_rate_init(&r, 10, 5), 0);
    assert_int_equal(take(&r, "192.0.2.1", 20, now), 10);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        assert_int_equal(take(&r, text, 1, now), 1);
    }
    assert_int_equal(take(&r, "192.0.2.1", 5, now), 0);
    gw_peer_rate_clear(&r);
}

/* Scenario: per_s 0. Guarantees: no limit. */
static void none_is_no_limit(void **state)
{
    struct gw_peer_rate r;

    (void)state;
    assert_int_equal(gw_peer_rate_init(&r, 10, 0), 0);
    assert_int_equal(take(&r, "192.0.2.1", 10000, SECOND), 10000);
    gw_peer_rate_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_a_burst_and_a_rate),
        cmocka_unit_test(addresses_do_not_pay_for_each_other),
        cmocka_unit_test(many_addresses_do_not_free_the_one_that_is_over),
        cmocka_unit_test(none_is_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
