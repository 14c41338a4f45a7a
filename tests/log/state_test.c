/* SPDX-License-Identifier: Apache-2.0 */
/* What a log knows besides its frames, record by record, without a log. */
#include "tests/harness.h"

#include <errno.h>

#include "log/state.h"

static struct gw_lf_state s;

static void begin(void)
{
    memset(&s, 0, sizeof(s));
    s.next_consumer = s.next_producer = 1;
}

static void apply(uint8_t kind, struct gw_buf *b)
{
    struct gw_lf_record r = {.kind = kind};

    assert_int_equal(gw_lf_state_apply(&s, &r, gw_buf_slice(b)), 0);
    gw_buf_clear(b);
}

static struct gw_lf_consumer *consumer(uint32_t id, const char *name, uint64_t first_row)
{
    struct gw_lf_consumer c = {.id = id, .first_row = first_row, .done.base.row = first_row};
    struct gw_buf b;

    memcpy(c.name, name, strlen(name) + 1);
    gw_buf_init(&b, 1024);
    gw_lf_put_consumer(&b, &c);
    apply(GW_LF_CONSUMER, &b);
    return gw_lf_state_consumer(&s, id);
}

static int reserve_settles(const uint32_t *consumers, size_t n, size_t cut)
{
    uint8_t body[16 * GW_LF_SETTLE_ENTRY] = {0};

    for (size_t i = 0; i < n; i++)
        gw_lf_put32(body + i * GW_LF_SETTLE_ENTRY, consumers[i]);
    return gw_lf_state_reserve(&s, GW_LF_SETTLE, gw_slice_of(body, n * GW_LF_SETTLE_ENTRY - cut));
}

/* Room is made for one range for each entry of a consumer that is there, and counted until all is applied. */
static void settlements_have_room_before_they_are_written(void **state)
{
    struct gw_lf_consumer *a, *b;

    (void)state;
    begin();
    a = consumer(1, "a", 0);
    b = consumer(2, "b", 0);
    assert_int_equal(reserve_settles((const uint32_t[]){1, 2, 1, 9, 1}, 5, 0), 0);
    assert_int_equal(a->n_planned, 3);
    assert_int_equal(b->n_planned, 1);
    assert_true(a->done.cap >= 3);
    assert_true(b->done.cap >= 1);
    assert_int_equal(reserve_settles((const uint32_t[]){1, 2}, 2, 1), 0); /* half an entry is none */
    assert_int_equal(a->n_planned, 4);
    assert_int_equal(b->n_planned, 1);
    gw_lf_state_unplan(&s);
    assert_int_equal(a->n_planned + b->n_planned, 0);
    a->n_planned = GW_LF_MAX_RANGES;
    assert_int_equal(reserve_settles((const uint32_t[]){2, 1, 2}, 3, 0), -E2BIG);
    assert_int_equal(a->n_planned, GW_LF_MAX_RANGES);
    assert_int_equal(b->n_planned, 1);
    gw_lf_state_clear(&s);
}

/* A loss is a range more for everybody, whatever they have; a consumer or a producer is an entry more. */
static void other_records_have_room_too(void **state)
{
    struct gw_lf_consumer *a, *b;

    (void)state;
    begin();
    a = consumer(1, "a", 0);
    b = consumer(2, "b", 0);
    a->n_planned = GW_LF_MAX_RANGES; /* a loss has no limit */
    assert_int_equal(gw_lf_state_reserve(&s, GW_LF_LOST, (struct gw_slice){0}), 0);
    assert_int_equal(a->n_planned, GW_LF_MAX_RANGES + 1);
    assert_int_equal(b->n_planned, 1);
    assert_true(s.lost.cap >= 1);
    while (s.n_consumers < s.cap_consumers)
        (void)consumer(10 + s.n_consumers, "more", 0);
    assert_int_equal(gw_lf_state_reserve(&s, GW_LF_CONSUMER, (struct gw_slice){0}), 0);
    assert_true(s.cap_consumers > s.n_consumers);
    assert_int_equal(s.cap_producers, 0);
    assert_int_equal(gw_lf_state_reserve(&s, GW_LF_PRODUCER, (struct gw_slice){0}), 0);
    assert_true(s.cap_producers > 0);
    gw_lf_state_clear(&s);
}

/* What was lost before a consumer came is lost for it as well: below the floor, and in ranges. */
static void a_new_consumer_inherits_losses(void **state)
{
    struct gw_lf_consumer *c;

    (void)state;
    begin();
    s.end_row = 40;
    s.lost.base = (struct gw_lf_place){10, 3, 0};
    assert_int_equal(gw_lf_rows_reserve(&s.lost, 1, SIZE_MAX), 0);
    assert_int_equal(gw_lf_rows_add(&s.lost, 20, (struct gw_lf_place){25, 7, 0}), 5);
    c = consumer(1, "early", 4);
    assert_int_equal(c->lost_rows, 6 + 5);
    assert_int_equal(c->done.base.row, 10);
    c = consumer(2, "late", 12);
    assert_int_equal(c->lost_rows, 5);
    assert_int_equal(c->done.base.row, 12);
    assert_true(gw_lf_state_adds_up(&s));
    gw_lf_state_clear(&s);
}

/* Counts that do not agree with ranges are made to: rows that nobody counted were delivered, surplus is taken off. */
static void counts_are_mended(void **state)
{
    struct gw_lf_consumer *c;

    (void)state;
    begin();
    c = consumer(1, "c", 0);
    c->done.base.row = 10;
    c->settled[GW_LOG_REJECTED] = 4;
    c->lost_rows = 1;
    assert_false(gw_lf_state_adds_up(&s));
    gw_lf_state_mend(&s);
    assert_int_equal(c->settled[GW_LOG_DELIVERED], 5);
    assert_int_equal(c->settled[GW_LOG_REJECTED], 4);
    assert_true(gw_lf_state_adds_up(&s));
    gw_lf_state_mend(&s);
    assert_int_equal(c->settled[GW_LOG_DELIVERED], 5);
    c->done.base.row = 4; /* 6 too many: all that were delivered, and one more */
    gw_lf_state_mend(&s);
    assert_int_equal(c->settled[GW_LOG_DELIVERED], 0);
    assert_int_equal(c->settled[GW_LOG_REJECTED], 3);
    assert_int_equal(c->lost_rows, 1);
    assert_true(gw_lf_state_adds_up(&s));
    gw_lf_state_clear(&s);
}

/* Positions that do not fit into their record, or of a partition that there is not, change nothing. */
static void malformed_positions_are_refused(void **state)
{
    const struct gw_lf_record r = {.kind = GW_LF_POSITION};
    struct gw_lf_consumer *c;
    struct gw_buf b;

    (void)state;
    begin();
    c = consumer(1, "c", 0);
    gw_buf_init(&b, 1024);
    gw_lf_put_position(&b, 1, 64, 5, GW_SLICE("a note"));
    assert_int_equal(gw_lf_state_apply(&s, &r, gw_buf_slice(&b)), -EBADMSG);
    gw_buf_reset(&b);
    gw_lf_put_position(&b, 1, 63, 5, GW_SLICE("a note"));
    for (size_t n = 1; n < b.n; n++)
        assert_int_equal(gw_lf_state_apply(&s, &r, gw_slice_of(b.p, n)), -EBADMSG);
    assert_null(c->positions);
    apply(GW_LF_POSITION, &b);
    assert_non_null(c->positions);
    assert_int_equal(c->positions[63].next_seq, 5);
    gw_lf_state_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settlements_have_room_before_they_are_written),
        cmocka_unit_test(other_records_have_room_too),
        cmocka_unit_test(a_new_consumer_inherits_losses),
        cmocka_unit_test(counts_are_mended),
        cmocka_unit_test(malformed_positions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
