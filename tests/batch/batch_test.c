/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/batch.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/batch/hand.h"

/*
 * Scenario: a batch of each signal gets rows
 * Guarantees: the columns of its signal exist, those of the others do not
 */
static void only_the_columns_of_the_signal_exist(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);

    (void)state;
    assert_int_equal(gw_batch_reserve_rows(b, 10), 0);
    assert_non_null(b->time_ns);
    assert_non_null(b->metric);
    assert_null(b->trace_id);
    assert_null(b->body);
    gw_batch_reset(b, GW_LOGS);
    assert_int_equal(gw_batch_reserve_rows(b, 10), 0);
    assert_non_null(b->trace_id);
    assert_non_null(b->body);
    assert_null(b->parent_id);
    assert_null(b->metric);
    gw_batch_reset(b, GW_TRACES);
    assert_int_equal(gw_batch_reserve_rows(b, 10), 0);
    assert_non_null(b->links_of);
    assert_null(b->observed_ns);
    (void)gw_batch_unref(b);
}

/*
 * Scenario: 3000 rows are appended one by one, one column carries the row's number
 * Guarantees: growth keeps every column's values; column_bytes covers what is held
 */
static void growth_keeps_all_columns(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(gw_batch_reserve_rows(b, 1), 0);
        b->time_ns[i] = i;
        b->kind[i] = (uint8_t)i;
        memset(b->trace_id[i], (int)i, 16);
        b->dropped_links[i] = i;
        b->n_rows++;
    }
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(b->time_ns[i], i);
        assert_int_equal(b->kind[i], (uint8_t)i);
        assert_int_equal(b->trace_id[i][15], (uint8_t)i);
        assert_int_equal(b->dropped_links[i], i);
    }
    assert_true(b->column_bytes >= 3000 * (8 + 1 + 16 + 4));
    (void)gw_batch_unref(b);
}

/*
 * Scenario: the second of two requests is cut off again
 * Guarantees: the first one's rows, attributes and bytes stand; the cut one's ticket is released
 */
static void rollback_leaves_the_neighbour_alone(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct hand_ticket first, second;
    struct gw_batch_mark m;

    (void)state;
    hand_ticket_init(&first, 3);
    hand_ticket_init(&second, 5);
    hand_segment(b, 3, &first.t);
    m = gw_batch_mark(b);
    hand_segment(b, 5, &second.t);
    assert_int_equal(second.t.refs, 2);
    gw_batch_rollback(b, &m);
    assert_int_equal(second.t.refs, 1);
    assert_int_equal(b->n_rows, 3);
    assert_int_equal(b->n_segments, 1);
    assert_int_equal(b->n_attrs, 10);
    assert_int_equal(b->payload->n, m.payload);
    assert_true(gw_slice_is(gw_attr_key(b, &b->attrs[9]), "c"));
    (void)gw_batch_unref(b);
    assert_int_equal(first.t.refs, 1);
}

/*
 * Scenario: rows of three segments, one of them empty, are looked up
 * Guarantees: the first and last row of each find their segment
 */
static void a_row_finds_its_segment(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);

    (void)state;
    hand_segment(b, 3, NULL);
    hand_segment(b, 0, NULL);
    hand_segment(b, 2, NULL);
    assert_int_equal(gw_batch_segment_of(b, 0), 0);
    assert_int_equal(gw_batch_segment_of(b, 2), 0);
    assert_int_equal(gw_batch_segment_of(b, 3), 2);
    assert_int_equal(gw_batch_segment_of(b, 4), 2);
    (void)gw_batch_unref(b);
}

/*
 * Scenario: packed varints 1, 300, 2^64-1, then one that is cut off
 * Guarantees: the values, then the end
 */
static void packed_varints_are_read_in_place(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    static const uint8_t wire[] = {1, 0xac, 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0x80};
    struct gw_ref r;
    uint32_t pos;
    uint64_t v = 0;

    (void)state;
    assert_int_equal(gw_batch_append(b, gw_slice_of(wire, sizeof(wire)), &r), 0);
    pos = r.off;
    assert_true(gw_packed_varint_next(b, r, &pos, &v));
    assert_int_equal(v, 1);
    assert_true(gw_packed_varint_next(b, r, &pos, &v));
    assert_int_equal(v, 300);
    assert_true(gw_packed_varint_next(b, r, &pos, &v));
    assert_true(v == UINT64_MAX);
    assert_false(gw_packed_varint_next(b, r, &pos, &v));
    (void)gw_batch_unref(b);
}

static void *unref_batch(void *arg)
{
    (void)gw_batch_unref(arg);
    return NULL;
}

/*
 * Scenario: another thread drops a pooled batch; the pool goes while one is still out
 * Guarantees: the batch comes back empty with its columns' memory; nothing is lost or freed twice
 */
static void batches_come_home_with_their_columns(void **state)
{
    struct gw_batch_pool *p = gw_batch_pool_new(2);
    struct gw_batch *b = gw_batch_pool_get(p, GW_TRACES), *again;
    void *columns;
    pthread_t thread;

    (void)state;
    hand_segment(b, 200, NULL);
    columns = b->time_ns;
    assert_int_equal(pthread_create(&thread, NULL, unref_batch, b), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    again = gw_batch_pool_get(p, GW_TRACES);
    assert_ptr_equal(again, b);
    assert_int_equal(again->n_rows, 0);
    assert_int_equal(again->n_segments, 0);
    assert_null(again->payload);
    assert_int_equal(gw_batch_reserve_rows(again, 200), 0);
    assert_ptr_equal(again->time_ns, columns);
    gw_batch_pool_free(p);
    (void)gw_batch_unref(again);
}

/*
 * Scenario: a batch that grew to 9 MiB of columns goes back to its pool
 * Guarantees: the memory is given up rather than kept for ever
 */
static void a_giant_batch_is_not_kept(void **state)
{
    struct gw_batch_pool *p = gw_batch_pool_new(2);
    struct gw_batch *b = gw_batch_pool_get(p, GW_TRACES);

    (void)state;
    assert_int_equal(gw_batch_reserve_rows(b, 100000), 0);
    assert_true(b->column_bytes > 8 << 20);
    (void)gw_batch_unref(b);
    b = gw_batch_pool_get(p, GW_TRACES);
    assert_int_equal(b->cap_rows, 0);
    assert_int_equal(b->column_bytes, 0);
    (void)gw_batch_unref(b);
    gw_batch_pool_free(p);
}

/*
 * Scenario: a batch of two requests is shared; its maker lets go of it first, then the other one
 * Guarantees: the share has its rows, columns and payload; its segments tell another ticket, the first ones' tickets
 * are released with the origin, which goes home with the share
 */
static void a_share_has_the_rows_and_a_ticket_of_its_own(void **state)
{
    struct gw_batch_pool *pool = gw_batch_pool_new(4);
    struct gw_batch *b = gw_batch_pool_get(pool, GW_TRACES), *s;
    struct hand_ticket first, second, own;

    (void)state;
    hand_ticket_init(&first, 3);
    hand_ticket_init(&second, 5);
    hand_ticket_init(&own, 8);
    hand_segment(b, 3, &first.t);
    hand_segment(b, 5, &second.t);
    s = gw_batch_share(b, &own.t, NULL);
    assert_non_null(s);
    assert_int_equal(own.t.refs, 3);
    assert_int_equal(b->refs, 2);
    assert_int_equal(s->n_rows, 8);
    assert_ptr_equal(s->time_ns, b->time_ns);
    assert_ptr_equal(s->base, b->base);
    assert_int_equal(s->segments[1].rows.begin, 3);
    assert_ptr_equal(s->segments[1].ticket, &own.t);
    assert_ptr_equal(b->segments[1].ticket, &second.t);
    (void)gw_ticket_unref(&first.t);
    (void)gw_ticket_unref(&second.t);
    assert_null(gw_batch_unref(b));
    assert_int_equal(first.releases, 0);
    assert_null(gw_batch_unref(s));
    assert_int_equal(own.t.refs, 1);
    assert_int_equal(first.releases + second.releases, 2);
    assert_ptr_equal(gw_batch_pool_get(pool, GW_TRACES), b);
    (void)gw_batch_unref(b);
    gw_batch_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_columns_of_the_signal_exist),
        cmocka_unit_test(growth_keeps_all_columns),
        cmocka_unit_test(rollback_leaves_the_neighbour_alone),
        cmocka_unit_test(a_share_has_the_rows_and_a_ticket_of_its_own),
        cmocka_unit_test(a_row_finds_its_segment),
        cmocka_unit_test(packed_varints_are_read_in_place),
        cmocka_unit_test(batches_come_home_with_their_columns),
        cmocka_unit_test(a_giant_batch_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
