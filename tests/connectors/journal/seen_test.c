/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests are known: against a list that is searched from end to end. */
#include "connectors/journal/seen.h"

#include <stdlib.h>

#include "tests/harness.h"
#include "tests/harness_env.h"

enum { N = 4000, WINDOW = 500, MOST = 1 << 17, UNDER_WAY = -1, NO_MORE = -2 };

static struct gw_credit memory;
static uint64_t seed;

static uint64_t any(uint64_t n)
{
    return gw_test_random(&seed) % n;
}

static struct request_id id_of(uint64_t k)
{
    return (struct request_id){k % 7, k}; /* many want the same slot */
}

static struct seen *begin(uint64_t max_bytes)
{
    struct seen *s;

    gw_credit_init(&memory, 1 << 30, 1 << 30);
    s = gw_journal_seen_new(&memory);
    assert_non_null(s);
    gw_journal_seen_limit(s, WINDOW, max_bytes);
    return s;
}

static void end(struct seen *s)
{
    gw_journal_seen_free(s);
    assert_int_equal(memory.used_bytes, 0);
}

static enum seen_as ask(struct claim *c, uint64_t now, uint64_t k, struct gw_ticket *t)
{
    struct asked a = {.id = id_of(k), .ticket = t, .rows = 1};

    (void)gw_journal_claim(c, now, &a, 1);
    return a.is;
}

/* Asked for, and stored at once when it is new. */
static enum seen_as store(struct seen *s, uint64_t now, uint64_t k)
{
    struct claim *c = gw_journal_claim_new(s, 1);
    enum seen_as is = ask(c, now, k, NULL);

    gw_journal_claim_done(c, now, NULL);
    return is;
}

struct model {
    int64_t stored[200]; /* when; or UNDER_WAY, or NO_MORE */
    struct claim *claims[200];
};

static void step(struct seen *s, struct model *m, uint64_t now)
{
    uint64_t k = any(200);
    struct claim *c;

    if (m->stored[k] == UNDER_WAY) {
        bool works = any(3);

        gw_journal_claim_done(m->claims[k], now, works ? NULL : "no");
        m->stored[k] = works ? (int64_t)now : NO_MORE;
        return;
    }
    c = gw_journal_claim_new(s, 1);
    if (m->stored[k] != NO_MORE && (int64_t)now - m->stored[k] < WINDOW) {
        assert_int_equal(ask(c, now, k, NULL), SEEN_STORED);
        gw_journal_claim_done(c, now, NULL);
        return;
    }
    assert_int_equal(ask(c, now, k, NULL), SEEN_NEVER);
    m->stored[k] = UNDER_WAY;
    m->claims[k] = c;
}

/*
 * Scenario    200 requests come again and again, of which a third cannot be written, while time goes on; their ids
 * stand close together in the table Guarantees  one that was stored is known until the window has passed, and not a
 * moment longer; one that was not may come again
 */
static void what_was_stored_is_known_as_long_as_the_window(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        struct seen *s = begin(MOST);
        struct model m;
        uint64_t now = 1000;

        seed = i;
        for (unsigned k = 0; k < 200; k++)
            m.stored[k] = NO_MORE;
        for (unsigned n = 0; n < N; n++) {
            now += any(4);
            step(s, &m, now);
        }
        for (unsigned k = 0; k < 200; k++)
            if (m.stored[k] == UNDER_WAY)
                gw_journal_claim_done(m.claims[k], now, NULL);
        end(s);
    }
}

/*
 * Scenario    more requests than max_bytes have room for; then the limit is made smaller, and the window is taken away
 * Guarantees  the memory is within it; the newest are known, the oldest forgotten, and counted; then none is
 */
static void the_oldest_are_forgotten(void **state)
{
    struct seen *s = begin(1024 * 32);
    struct claim *c;
    struct asked a = {.id = id_of(1 << 20)};

    (void)state;
    for (uint64_t k = 0; k < 3000; k++)
        assert_int_equal(store(s, 10, k), SEEN_NEVER);
    assert_int_equal(memory.used_bytes, 1024 * 32);
    assert_int_equal(gw_journal_seen_known(s), 1024);
    assert_int_equal(store(s, 10, 3000 - 1024), SEEN_STORED);
    assert_int_equal(store(s, 10, 3000 - 1025), SEEN_NEVER);
    gw_journal_seen_limit(s, WINDOW, 512 * 32);
    assert_int_equal(memory.used_bytes, 512 * 32);
    assert_int_equal(gw_journal_seen_known(s), 512);
    c = gw_journal_claim_new(s, 1);
    assert_int_equal(gw_journal_claim(c, 10, &a, 1), 512 + 1); /* by the limit; and for this one */
    assert_int_equal(store(s, 10, 2999), SEEN_STORED);
    gw_journal_claim_done(c, 10, NULL);
    gw_journal_seen_limit(s, 0, MOST);
    assert_false(gw_journal_seen_is_on(s));
    assert_int_equal(memory.used_bytes, 0);
    end(s);
}

/*
 * Scenario    the process' memory is used up
 * Guarantees  the table stays as large as it is, and forgets; without one nothing is known, and nothing goes wrong
 */
static void without_memory_it_forgets(void **state)
{
    struct seen *s = begin(MOST);

    (void)state;
    atomic_store(&memory.soft_bytes, 0);
    assert_int_equal(store(s, 10, 1), SEEN_NEVER);
    assert_int_equal(store(s, 10, 1), SEEN_NEVER);
    atomic_store(&memory.soft_bytes, 256 * 32);
    for (uint64_t k = 0; k < 300; k++)
        assert_int_equal(store(s, 10, k), SEEN_NEVER);
    assert_int_equal(store(s, 10, 299), SEEN_STORED);
    assert_int_equal(store(s, 10, 0), SEEN_NEVER);
    end(s);
}

static unsigned n_released;

static void on_released(struct gw_ticket *t)
{
    (void)t;
    n_released++;
}

/*
 * Scenario    a request is repeated while it is being written: by two senders, and once in its own commit; it is
 * written, or it cannot be Guarantees  all hear what became of it, when it is known
 */
static void who_repeats_meanwhile_waits(void **state)
{
    (void)state;
    for (unsigned works = 0; works < 2; works++) {
        struct seen *s = begin(MOST);
        struct gw_ticket t[3];
        struct claim *c = gw_journal_claim_new(s, 2), *other = gw_journal_claim_new(s, 2);
        struct asked own[2] = {{.id = id_of(1), .ticket = &t[0], .rows = 4},
                               {.id = id_of(1), .ticket = &t[1], .rows = 4}},
                     a[2] = {{.id = id_of(2), .ticket = &t[2], .rows = 4},
                             {.id = id_of(1), .ticket = &t[2], .rows = 4}};

        n_released = 0;
        for (unsigned i = 0; i < 3; i++)
            t[i] = (struct gw_ticket){.refs = 1, .open = i == 2 ? 8 : 4, .release = on_released};
        (void)gw_journal_claim(c, 10, own, 2);
        assert_int_equal(own[0].is, SEEN_NEVER);
        assert_int_equal(own[1].is, SEEN_UNDER_WAY);
        (void)gw_journal_claim(other, 10, a, 2);
        assert_int_equal(a[0].is, SEEN_NEVER);
        assert_int_equal(a[1].is, SEEN_UNDER_WAY);
        gw_journal_claim_done(other, 11, NULL);
        assert_int_equal(t[2].open, 8);
        gw_journal_claim_done(c, 11, works ? NULL : "the disk is full");
        assert_int_equal(t[0].open, 4); /* its commit's affair */
        for (unsigned i = 1; i < 3; i++) {
            assert_int_equal(t[i].open, i == 2 ? 4 : 0);
            assert_int_equal(t[i].refs, 1);
            assert_int_equal(t[i].worst, works ? GW_DROPPED : GW_REFUSED);
            assert_int_equal(t[i].grpc_status, works ? 0 : 14);
        }
        assert_int_equal(store(s, 12, 1), works ? SEEN_STORED : SEEN_NEVER);
        assert_int_equal(store(s, 12, 2), SEEN_STORED);
        end(s);
    }
}

/*
 * Scenario    requests of an earlier process, one of them twice, one at a time that cannot be
 * Guarantees  they are known as of the times at which they were stored
 */
static void those_of_before_are_known(void **state)
{
    struct seen *s = begin(MOST);

    (void)state;
    gw_journal_seen_put(s, id_of(1), 100);
    gw_journal_seen_put(s, id_of(2), 150);
    gw_journal_seen_put(s, id_of(1), 200);
    gw_journal_seen_put(s, id_of(3), 0);
    gw_journal_seen_put(s, id_of(3), UINT64_MAX);
    assert_int_equal(gw_journal_seen_known(s), 2);
    assert_int_equal(store(s, 649, 2), SEEN_STORED);
    assert_int_equal(store(s, 650, 2), SEEN_NEVER);
    assert_int_equal(store(s, 699, 1), SEEN_STORED);
    assert_int_equal(store(s, 700, 1), SEEN_NEVER);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_stored_is_known_as_long_as_the_window), cmocka_unit_test(the_oldest_are_forgotten),
        cmocka_unit_test(without_memory_it_forgets), cmocka_unit_test(who_repeats_meanwhile_waits),
        cmocka_unit_test(those_of_before_are_known)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
