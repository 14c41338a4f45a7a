/* SPDX-License-Identifier: Apache-2.0 */
/* Halves of requests: how they find each other, how long they wait, and what they may cost. */
#include "tests/harness_env.h"

#include <stdio.h>
#include <stdlib.h>

#include "connectors/service_graph/halves.h"
#include "core/hash.h"
#include "tests/harness.h"

#define TTL_NS UINT64_C(2000000000)

static struct gw_credit items, bytes;
static struct gw_halves *h;
static struct gw_half other;

static void open_store(uint64_t max_items, uint64_t max_bytes, uint32_t n_dims)
{
    gw_credit_init(&items, max_items, max_items);
    gw_credit_init(&bytes, max_bytes, max_bytes);
    h = gw_halves_new(&(struct gw_halves_conf){&items, &bytes, NULL, TTL_NS, n_dims});
}

static void close_store(void)
{
    gw_halves_free(h);
    assert_int_equal(items.used_bytes, 0);
    assert_int_equal(bytes.used_bytes, 0);
}

static struct gw_half_key key_of(uint32_t n)
{
    struct gw_half_key k = {{0}, {0}};

    memcpy(k.trace_id, &n, sizeof(n));
    memcpy(k.span_id, &n, sizeof(n));
    return k;
}

static enum gw_half_fate put(uint32_t key, enum gw_side side, const char *service, uint64_t now_ns)
{
    struct gw_half_key k = key_of(key);
    struct gw_half half = {.side = (uint8_t)side, .service = gw_slice_cstr(service), .duration_ns = now_ns};

    return gw_halves_put(h, &k, &half, now_ns, &other);
}

/*
 * Scenario    a client's half, then the server's; and the other way round; and two of the same side
 * Guarantees  the second of a pair gets the first with all it had, and nothing is left; of one side the newer stands,
 *             failed when either was
 */
static void two_sides_find_each_other(void **state)
{
    struct gw_slice dims[3] = {GW_SLICE("GET"), {NULL, 0}, GW_SLICE("")};
    struct gw_half_key k = key_of(7);
    struct gw_half client = {.side = GW_SIDE_CLIENT,
                             .messaging = true,
                             .failed = true,
                             .n_dims = 3,
                             .duration_ns = 11,
                             .service = GW_SLICE("shop"),
                             .peer = GW_SLICE("10.0.0.7"),
                             .dims = dims};
    struct gw_half server = {.side = GW_SIDE_SERVER, .n_dims = 3, .service = GW_SLICE("stock"), .dims = dims};

    (void)state;
    open_store(10, 1 << 20, 3);
    assert_int_equal(gw_halves_put(h, &k, &client, 1, &other), GW_HALF_KEPT);
    client.failed = false;
    client.duration_ns = 12;
    assert_int_equal(gw_halves_put(h, &k, &client, 2, &other), GW_HALF_AGAIN);
    assert_int_equal(gw_halves_n(h), 1);
    assert_int_equal(gw_halves_put(h, &k, &server, 3, &other), GW_HALF_PAIRED);
    assert_int_equal(gw_halves_n(h), 0);
    assert_int_equal(other.side, GW_SIDE_CLIENT);
    assert_int_equal(other.duration_ns, 12);
    assert_true(other.failed && other.messaging);
    assert_true(gw_slice_is(other.service, "shop") && gw_slice_is(other.peer, "10.0.0.7"));
    assert_true(gw_slice_is(other.dims[0], "GET"));
    assert_null(other.dims[1].p);
    assert_true(other.dims[2].p && other.dims[2].n == 0);

    assert_int_equal(gw_halves_put(h, &k, &server, 4, &other), GW_HALF_KEPT);
    assert_int_equal(gw_halves_put(h, &k, &client, 5, &other), GW_HALF_PAIRED);
    assert_true(gw_slice_is(other.service, "stock") && !other.failed && !other.peer.p);
    assert_false(gw_halves_take(h, &k, &other));
    close_store();
}

/*
 * Scenario    halves of three moments; time passes
 * Guarantees  each goes when it has waited longer than the ttl, the oldest first, and none before; a second half of the
 *             same side does not give the first more time
 */
static void who_waits_too_long_goes(void **state)
{
    struct gw_half_key k, seven = key_of(1);

    (void)state;
    open_store(10, 1 << 20, 0);
    (void)put(1, GW_SIDE_CLIENT, "a", 0);
    (void)put(2, GW_SIDE_SERVER, "b", 10);
    (void)put(3, GW_SIDE_CLIENT, "c", 20);
    (void)put(1, GW_SIDE_CLIENT, "a2", 30);
    assert_false(gw_halves_expire(h, TTL_NS, &k, &other));
    assert_true(gw_halves_expire(h, TTL_NS + 11, &k, &other));
    assert_memory_equal(&k, &seven, sizeof(k));
    assert_true(gw_slice_is(other.service, "a2"));
    assert_true(gw_halves_expire(h, TTL_NS + 11, &k, &other));
    assert_true(gw_slice_is(other.service, "b"));
    assert_false(gw_halves_expire(h, TTL_NS + 11, &k, &other));
    assert_int_equal(put(3, GW_SIDE_SERVER, "d", TTL_NS + 100), GW_HALF_PAIRED);
    assert_false(gw_halves_expire(h, UINT64_MAX / 2, &k, &other));
    close_store();
}

/*
 * Scenario    a limit of three halves, then one of bytes; long texts come and go
 * Guarantees  nothing is kept above a limit, what waits is still found, and what left makes room; the bytes are drawn
 *             before they are allocated and a long text is given back
 */
static void limits_hold(void **state)
{
    static char text[100000];
    uint64_t empty;
    uint32_t i;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    open_store(3, 1 << 20, 0);
    for (i = 0; i < 3; i++)
        assert_int_equal(put(i, GW_SIDE_CLIENT, "a", 1), GW_HALF_KEPT);
    assert_int_equal(put(3, GW_SIDE_CLIENT, "a", 1), GW_HALF_NO_ROOM);
    assert_int_equal(put(0, GW_SIDE_SERVER, "a", 1), GW_HALF_PAIRED);
    assert_int_equal(put(3, GW_SIDE_CLIENT, "a", 1), GW_HALF_KEPT);
    close_store();

    open_store(1 << 20, 300000, 0);
    empty = gw_halves_held_bytes(h);
    for (i = 0; put(i, GW_SIDE_CLIENT, text, 1) == GW_HALF_KEPT; i++)
        assert_int_equal(gw_halves_held_bytes(h), bytes.used_bytes);
    assert_int_equal(i, 2);
    assert_true(bytes.used_bytes <= 300000);
    assert_int_equal(put(0, GW_SIDE_SERVER, "a", 1), GW_HALF_PAIRED);
    assert_true(gw_slice_is(other.service, text));
    assert_int_equal(put(1, GW_SIDE_SERVER, "a", 1), GW_HALF_PAIRED);
    assert_int_equal(put(9, GW_SIDE_CLIENT, "short", 1), GW_HALF_KEPT);
    assert_true(gw_halves_held_bytes(h) <= empty + 256);
    while (put(i, GW_SIDE_CLIENT, "short", 1) != GW_HALF_NO_ROOM)
        i++;
    assert_true(i > 500 && bytes.used_bytes <= 300000);
    close_store();

    open_store(1, 100, 0);
    assert_null(h);
}

/* ---- against a list ----------------------------------------------------------------------------------------- */

enum { KEYS = 400 };

struct expected {
    bool there;
    uint8_t side;
    uint64_t kept_ns, duration_ns;
    char service[600];
};

static struct expected model[KEYS];

static void same(const struct expected *e)
{
    assert_int_equal(other.side, e->side);
    assert_int_equal(other.duration_ns, e->duration_ns);
    assert_true(gw_slice_is(other.service, e->service));
}

static void put_both(uint64_t *seed, uint64_t now_ns)
{
    uint64_t r = gw_test_random(seed);
    uint32_t k = (uint32_t)(r % KEYS);
    enum gw_side side = r >> 32 & 1 ? GW_SIDE_CLIENT : GW_SIDE_SERVER;
    struct expected *e = &model[k];
    char service[600];
    enum gw_half_fate fate;

    (void)snprintf(service, sizeof(service), "%0*u", (int)(r >> 40 & 511) + 1, k);
    fate = put(k, side, service, now_ns);
    if (!e->there) {
        assert_int_equal(fate, GW_HALF_KEPT);
        *e = (struct expected){.there = true, .side = (uint8_t)side, .kept_ns = now_ns, .duration_ns = now_ns};
        (void)snprintf(e->service, sizeof(e->service), "%s", service);
    } else if (e->side == side) {
        assert_int_equal(fate, GW_HALF_AGAIN);
        e->duration_ns = now_ns;
        (void)snprintf(e->service, sizeof(e->service), "%s", service);
    } else {
        assert_int_equal(fate, GW_HALF_PAIRED);
        same(e);
        e->there = false;
    }
}

static void expire_both(uint64_t now_ns)
{
    struct gw_half_key k;

    while (gw_halves_expire(h, now_ns, &k, &other)) {
        uint32_t n;

        memcpy(&n, k.trace_id, sizeof(n));
        assert_true(model[n].there && now_ns > model[n].kept_ns + TTL_NS);
        same(&model[n]);
        model[n].there = false;
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_false(model[i].there && now_ns > model[i].kept_ns + TTL_NS);
}

/*
 * Scenario    40,000 halves of 400 keys, texts of up to 512 bytes, time that passes
 * Guarantees  fate, contents and order are those of a plain table
 */
static void a_plain_table_says_the_same(void **state)
{
    uint64_t seed = 11, now = 0;

    (void)state;
    open_store(KEYS, 1 << 20, 0);
    for (unsigned i = 0; i < 40000; i++) {
        now += gw_test_random(&seed) % (TTL_NS / 100);
        put_both(&seed, now);
        if (i % 16 == 0)
            expire_both(now);
    }
    close_store();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_sides_find_each_other),
        cmocka_unit_test(who_waits_too_long_goes),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_plain_table_says_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
