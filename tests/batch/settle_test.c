/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/settle.h"

#include "tests/batch/hand.h"

struct book {
    struct gw_ledger ledger;
    uint32_t rows, calls;
    enum gw_outcome outcome;
    const char *reason;
};

static void settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason)
{
    struct book *b = (struct book *)l;

    (void)v;
    b->rows += rows;
    b->calls++;
    b->outcome = outcome;
    b->reason = reason;
}

struct fixture {
    struct gw_arena arena;
    struct gw_batch *b;
    struct gw_view v;
    struct hand_ticket t[3];
    struct book book;
};

/* Three requests of 100, 50 and 7 rows, the last of them without a ticket. */
static void open_fixture(struct fixture *f)
{
    *f = (struct fixture){.book.ledger.settled = settled};
    gw_arena_init(&f->arena, 64 << 10, 16 << 20);
    f->b = gw_batch_new(GW_LOGS);
    hand_ticket_init(&f->t[0], 100);
    hand_ticket_init(&f->t[1], 50);
    hand_segment(f->b, 100, &f->t[0].t);
    hand_segment(f->b, 50, &f->t[1].t);
    hand_segment(f->b, 7, NULL);
    gw_view_init(&f->v, f->b, &f->arena);
}

static void close_fixture(struct fixture *f)
{
    gw_view_clear(&f->v);
    (void)gw_batch_unref(f->b);
    assert_int_equal(f->t[0].t.refs, 1);
    gw_arena_clear(&f->arena);
}

/*
 * Scenario: the whole view is delivered after one row was rejected
 * Guarantees: every ticket gets its own count, the ledger all rows once, the view is empty, settling again does nothing
 */
static void settling_all_closes_every_ticket(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    gw_view_settle_row(&f.v, &f.book.ledger, 101, GW_REJECTED, "time_range", "too old");
    gw_view_settle_row(&f.v, &f.book.ledger, 101, GW_REJECTED, "time_range", "too old");
    assert_int_equal(f.book.rows, 1);
    assert_int_equal(f.t[1].t.open, 49);
    gw_view_settle_all(&f.v, &f.book.ledger, GW_DELIVERED, "nop", NULL);
    gw_view_settle_all(&f.v, &f.book.ledger, GW_DELIVERED, "nop", NULL);
    assert_int_equal(f.book.rows, 157);
    assert_int_equal(f.book.calls, 2);
    assert_string_equal(f.book.reason, "nop");
    assert_int_equal(f.t[0].posts, 1);
    assert_int_equal(f.t[1].posts, 1);
    assert_int_equal(f.t[1].t.rejected, 1);
    assert_int_equal(f.t[1].t.worst, GW_REJECTED);
    assert_int_equal(f.t[0].t.worst, GW_DELIVERED);
    assert_string_equal(f.t[1].t.message, "too old");
    assert_int_equal(f.v.n_rows, 0);
    assert_false(gw_view_has(&f.v, 0));
    assert_int_equal(gw_view_next(&f.v, 0), 157);
    close_fixture(&f);
}

/*
 * Scenario: a bitmap with rows of two requests and one row that is gone already
 * Guarantees: only kept rows count, each on its request's ticket
 */
static void settling_a_bitmap_counts_per_request(void **state)
{
    struct fixture f;
    uint64_t rows[3] = {0};

    (void)state;
    open_fixture(&f);
    gw_view_settle_row(&f.v, NULL, 70, GW_DROPPED, "filter", NULL);
    for (uint32_t r = 64; r < 110; r++)
        rows[r / 64] |= UINT64_C(1) << (r % 64);
    gw_view_settle_rows(&f.v, &f.book.ledger, rows, GW_DROPPED, "sampling", NULL);
    assert_int_equal(f.book.rows, 45);
    assert_int_equal(f.book.calls, 1);
    assert_int_equal(f.book.outcome, GW_DROPPED);
    assert_int_equal(f.t[0].t.open, 64);
    assert_int_equal(f.t[1].t.open, 40);
    assert_int_equal(f.v.n_rows, 111);
    assert_int_equal(gw_view_next(&f.v, 64), 110);
    gw_view_settle_rows(&f.v, &f.book.ledger, rows, GW_DROPPED, "sampling", NULL);
    assert_int_equal(f.book.calls, 1);
    close_fixture(&f);
}

/*
 * Scenario: receipts are taken of a view whose second request is gone
 * Guarantees: one receipt a ticket with kept rows, each with a reference
 */
static void receipts_carry_the_kept_rows(void **state)
{
    struct fixture f;
    struct gw_receipt receipts[3];
    uint64_t rows[3] = {0, UINT64_MAX << (100 - 64), UINT64_MAX >> (192 - 150)};

    (void)state;
    open_fixture(&f);
    gw_view_settle_rows(&f.v, NULL, rows, GW_DROPPED, "filter", NULL);
    assert_int_equal(f.t[1].posts, 1);
    assert_int_equal(gw_view_receipts(&f.v, receipts), 1);
    assert_ptr_equal(receipts[0].ticket, &f.t[0].t);
    assert_int_equal(receipts[0].rows, 100);
    assert_int_equal(f.t[0].t.refs, 3);
    (void)gw_ticket_unref(receipts[0].ticket);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settling_all_closes_every_ticket),
        cmocka_unit_test(settling_a_bitmap_counts_per_request),
        cmocka_unit_test(receipts_carry_the_kept_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
