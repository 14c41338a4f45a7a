/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies decoded again, sets of rows, and a part of a body. */
#include "otlp-proto/rows.h"

#include "tests/harness.h"
#include "tests/harness_flow.h"

static struct gw_buf body;

static void request(unsigned first, unsigned n)
{
    gw_test_request(&body, GW_LOGS, first, n);
}

/* Scenario: two bodies of different signals, one after the other, into the same batch; then one that is cut off.
 * Guarantees: the columns are the last body's; a broken body is told. */
static void a_batch_is_used_again(void **state)
{
    struct gw_batch *b = NULL;
    struct gw_buf traces;

    (void)state;
    gw_buf_init(&body, 1 << 20);
    gw_buf_init(&traces, 1 << 20);
    request(10, 3);
    gw_test_request(&traces, GW_TRACES, 1, 5);
    assert_int_equal(gw_rows_decode(&b, GW_LOGS, gw_buf_slice(&body), NULL, NULL), 0);
    assert_int_equal(b->n_rows, 3);
    assert_int_equal(gw_rows_decode(&b, GW_TRACES, gw_buf_slice(&traces), NULL, NULL), 0);
    assert_int_equal(b->n_rows, 5);
    assert_int_equal(b->signal, GW_TRACES);
    assert_int_equal(gw_rows_decode(&b, GW_LOGS, gw_slice_of(body.p, body.n - 1), NULL, NULL), -EBADMSG);
    assert_int_equal(gw_rows_decode(&b, GW_LOGS, gw_slice_of(NULL, 0), NULL, NULL), 0);
    assert_int_equal(b->n_rows, 0);
    (void)gw_batch_unref(b);
    gw_buf_clear(&traces);
    gw_buf_clear(&body);
}

/* Scenario: a body in a payload that others share; then one that is legal but has to be rewritten (a resource in two
 * pieces), in such a payload.
 * Guarantees: the first is read where it lies; the second is copied, and the payload stays as it was. */
static void a_shared_payload_is_only_read(void **state)
{
    struct gw_payload *pl = gw_payload_new(4096);
    struct gw_batch *b = NULL;
    struct gw_buf odd;

    (void)state;
    gw_buf_init(&body, 1 << 20);
    request(10, 3);
    memcpy(pl->p, body.p, body.n);
    pl->n = (uint32_t)body.n;
    assert_int_equal(gw_rows_decode(&b, GW_LOGS, gw_slice_of(pl->p, pl->n), pl, NULL), 0);
    assert_int_equal(b->n_rows, 3);
    assert_ptr_equal(b->base, pl->p);
    /* ResourceLogs { resource {}, resource {}, scope_logs { log_records { time_unix_nano: 7 } } } */
    gw_buf_init(&odd, 100);
    gw_buf_put(&odd, "\x0a\x11\x0a\x00\x0a\x00\x12\x0b\x12\x09\x09\x07\0\0\0\0\0\0\0", 19);
    memcpy(pl->p, odd.p, odd.n);
    pl->n = (uint32_t)odd.n;
    assert_int_equal(gw_rows_decode(&b, GW_LOGS, gw_slice_of(pl->p, pl->n), pl, NULL), 0);
    assert_int_equal(b->n_rows, 1);
    assert_int_equal(b->time_ns[0], 7);
    assert_ptr_not_equal(b->base, pl->p);
    assert_int_equal(pl->n, odd.n);
    assert_memory_equal(pl->p, odd.p, odd.n);
    (void)gw_batch_unref(b);
    (void)gw_payload_unref(pl);
    gw_buf_clear(&odd);
    gw_buf_clear(&body);
}

/* Scenario: rows 0, 64 and 129 of 130 that stand in two resources; a row twice; a row that there is not.
 * Guarantees: exactly those come out, in their order; nothing for none. */
static void a_part_of_a_body_is_those_rows_alone(void **state)
{
    struct gw_rows rows;
    struct gw_buf out;
    uint64_t names[8];

    (void)state;
    gw_buf_init(&body, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    request(1000, 100);
    request(2000, 30);
    assert_int_equal(gw_rows_init(&rows, 130), 0);
    assert_int_equal(gw_rows_extract(GW_LOGS, gw_buf_slice(&body), &rows, &out), 0);
    assert_int_equal(out.n, 0);
    assert_true(gw_rows_add(&rows, 129));
    assert_true(gw_rows_add(&rows, 0));
    assert_true(gw_rows_add(&rows, 64));
    assert_false(gw_rows_add(&rows, 64));
    assert_false(gw_rows_add(&rows, 130));
    assert_int_equal(rows.n, 3);
    assert_true(gw_rows_has(&rows, 64) && !gw_rows_has(&rows, 65) && !gw_rows_has(&rows, 4000));
    assert_int_equal(gw_rows_extract(GW_LOGS, gw_buf_slice(&body), &rows, &out), 0);
    assert_int_equal(gw_test_names(GW_LOGS, gw_buf_slice(&out), names, 8), 3);
    assert_int_equal(names[0], 1000);
    assert_int_equal(names[1], 1064);
    assert_int_equal(names[2], 2029);
    gw_rows_clear(&rows);
    gw_buf_clear(&out);
    gw_buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_used_again),
        cmocka_unit_test(a_shared_payload_is_only_read),
        cmocka_unit_test(a_part_of_a_body_is_those_rows_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
