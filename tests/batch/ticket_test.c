/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/ticket.h"

#include <pthread.h>

#include "tests/batch/hand.h"

/*
 * Scenario: ten rows, two branches; rows are settled in parts
 * Guarantees: posted once, with the last row of the last branch; the worst outcome is kept whatever the order
 */
static void the_last_row_posts_the_verdict(void **state)
{
    struct hand_ticket h;

    (void)state;
    hand_ticket_init(&h, 10);
    gw_ticket_open(&h.t, 10);
    gw_ticket_settle(&h.t, 10, GW_STORED, NULL);
    gw_ticket_settle(&h.t, 3, GW_REJECTED, "bad time");
    gw_ticket_settle(&h.t, 6, GW_DELIVERED, NULL);
    assert_int_equal(h.posts, 0);
    gw_ticket_settle(&h.t, 0, GW_REFUSED, "nothing happened to no rows");
    gw_ticket_settle(&h.t, 1, GW_DROPPED, NULL);
    assert_int_equal(h.posts, 1);
    assert_int_equal(h.t.worst, GW_REJECTED);
    assert_int_equal(h.t.rejected, 3);
    assert_string_equal(h.t.message, "bad time");
}

/*
 * Scenario: two messages, the first of them too long and cut in the middle of a two-byte character
 * Guarantees: the first one is kept, cut before that character
 */
static void the_first_message_is_kept_and_cut_between_characters(void **state)
{
    struct hand_ticket h;
    char text[GW_MESSAGE_BYTES + 10];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    memcpy(text + GW_MESSAGE_BYTES - 2, "\xc3\xa9", 2);
    hand_ticket_init(&h, 2);
    gw_ticket_settle(&h.t, 1, GW_FAILED, text);
    gw_ticket_settle(&h.t, 1, GW_FAILED, "second");
    assert_int_equal(strlen(h.t.message), GW_MESSAGE_BYTES - 2);
    assert_int_equal(h.t.message[0], 'x');
}

/*
 * Scenario: two sinks fail with answers of their own
 * Guarantees: the first status and the longest delay are what the client hears
 */
static void a_failure_carries_its_own_answer(void **state)
{
    struct hand_ticket h;

    (void)state;
    hand_ticket_init(&h, 2);
    gw_ticket_fail_with(&h.t, 14, 5);
    gw_ticket_fail_with(&h.t, 3, 9);
    gw_ticket_fail_with(&h.t, 3, 7);
    assert_int_equal(h.t.grpc_status, 14);
    assert_int_equal(h.t.retry_after_ns, 9);
}

/*
 * Scenario: references are taken and given back
 * Guarantees: released exactly with the last one; NULL is accepted
 */
static void the_last_reference_releases(void **state)
{
    struct hand_ticket h;

    (void)state;
    hand_ticket_init(&h, 1);
    (void)gw_ticket_ref(&h.t);
    assert_null(gw_ticket_unref(&h.t));
    assert_int_equal(h.releases, 0);
    assert_null(gw_ticket_unref(&h.t));
    assert_int_equal(h.releases, 1);
    assert_null(gw_ticket_unref(NULL));
}

static void *settle_some(void *arg)
{
    for (int i = 0; i < 10000; i++)
        gw_ticket_settle(arg, 1, i == 77 ? GW_REJECTED : GW_DELIVERED, "from a thread");
    return NULL;
}

/*
 * Scenario: four threads settle 10,000 rows each
 * Guarantees: one post, exact counts
 */
static void threads_settle_at_once(void **state)
{
    struct hand_ticket h;
    pthread_t threads[4];

    (void)state;
    hand_ticket_init(&h, 40000);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, settle_some, &h.t), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(h.posts, 1);
    assert_int_equal(h.t.rejected, 4);
    assert_string_equal(h.t.message, "from a thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_row_posts_the_verdict),
        cmocka_unit_test(the_first_message_is_kept_and_cut_between_characters),
        cmocka_unit_test(a_failure_carries_its_own_answer),
        cmocka_unit_test(the_last_reference_releases),
        cmocka_unit_test(threads_settle_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
