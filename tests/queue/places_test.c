/* SPDX-License-Identifier: Apache-2.0 */
/* Where the rows of a chunk stand in the log. */
#include "queue/feed.h"
#include "tests/harness.h"

/*
 * Scenario    a tab of rows of two frames, of memory, and of a frame that was cut; asked in order, backwards, beyond
 * Guarantees  each row has its frame and its row there; what is in memory only has none
 */
static void a_row_knows_its_frame(void **state)
{
    static struct gw_feed feed;
    const struct gw_log_place places[] = {
        {&feed, 7, 0, 2, 2, 1}, {&feed, 8, 3, 2, 9, 2}, {NULL, 0, 0, 3, 3, 0}, {&feed, 12, 1, 1, 4, 3}};
    const struct {
        uint64_t seq;
        uint32_t row;
    } want[] = {{7, 0}, {7, 1}, {8, 3}, {8, 4}, {0, 0}, {0, 0}, {0, 0}, {12, 1}};
    struct gw_tab *t = gw_tab_new(4);

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        gw_tab_add(t, &places[i]);
    for (unsigned i = 0; i < 3 * 8; i++) {
        unsigned row = i < 8 ? i : i < 16 ? 15 - i : i * 5 % 8;
        uint32_t at = 0;
        const struct gw_log_place *p = gw_tab_at(t, row, &at);

        assert_int_equal(p != NULL, want[row].seq != 0);
        if (!p)
            continue;
        assert_int_equal(p->seq, want[row].seq);
        assert_int_equal(at, want[row].row);
    }
    assert_null(gw_tab_at(t, 8, &(uint32_t){0}));
    assert_null(gw_tab_at(NULL, 0, &(uint32_t){0}));
    gw_tab_leave(t);
    (void)gw_tab_unref(t);
}

/*
 * Scenario    asked for the last row, then the rows in memory leave the tab
 * Guarantees  the rows that stay are found at their new places
 */
static void rows_that_stay_are_found(void **state)
{
    static struct gw_feed feed;
    struct gw_tab *t = gw_tab_new(2);
    const uint64_t stay = 0x18;
    uint32_t at = 0;

    (void)state;
    gw_tab_add(t, &(struct gw_log_place){.rows = 3, .frame_rows = 3});
    gw_tab_add(t, &(struct gw_log_place){&feed, 9, 5, 2, 8, 77});
    assert_int_equal(gw_tab_at(t, 4, &at)->seq, 9);
    gw_tab_keep(t, &stay);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(gw_tab_at(t, i, &at)->seq, 9);
        assert_int_equal(at, 5 + i);
    }
    assert_null(gw_tab_at(t, 2, &at));
    gw_tab_leave(t);
    (void)gw_tab_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_knows_its_frame),
        cmocka_unit_test(rows_that_stay_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
