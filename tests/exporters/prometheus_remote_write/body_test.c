/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests read again, cut, and written as 1.0. */
#include "exporters/prometheus_remote_write/body.h"

#include <stdlib.h>

#include "tests/harness.h"

static struct gw_buf out, scratch[4];

static void put(struct gw_buf *b, unsigned field, const void *p, size_t n)
{
    assert_in_range(n, 0, 127);
    gw_buf_put_u8(b, (uint8_t)GW_TAG(field, GW_LEN));
    gw_buf_put_u8(b, (uint8_t)n);
    gw_buf_put(b, p, n);
}

static void put_buf(struct gw_buf *b, unsigned field, const struct gw_buf *inner)
{
    put(b, field, inner->p, inner->n);
}

/* Of an exemplar: value 1.0 at 7. */
static const uint8_t point[] = {0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x18, 7};

static int setup(void **state)
{
    (void)state;
    gw_buf_init(&out, 1 << 20);
    for (unsigned i = 0; i < 4; i++)
        gw_buf_init(&scratch[i], 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_buf_clear(&out);
    for (unsigned i = 0; i < 4; i++)
        gw_buf_clear(&scratch[i]);
    return 0;
}

/* 2.0: symbols "", __name__, m, k, v, trace_id, t; three series m{k="v"}, m{}, m{k="m"}; the first has two samples, an
 * exemplar, a histogram and metadata. */
static void put_body_2(struct gw_buf *b)
{
    static const char *const symbols[] = {"", "__name__", "m", "k", "v", "trace_id", "t"};
    static const char *const refs[] = {"\1\2\3\4", "\1\2", "\1\2\3\2"};
    static const size_t n_refs[] = {4, 2, 4};
    static const uint8_t sample[] = {0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 7, 0x18, 3}; /* 1.0 at 7 since 3 */

    for (unsigned i = 0; i < 7; i++)
        put(b, 4, symbols[i], strlen(symbols[i]));
    for (unsigned i = 0; i < 3; i++) {
        struct gw_buf *s = &scratch[0], *e = &scratch[1];

        gw_buf_reset(s);
        put(s, 1, refs[i], n_refs[i]);
        put(s, 2, sample, sizeof(sample));
        if (i == 0) {
            put(s, 2, sample, sizeof(sample));
            put(s, 3, "\x08\x05\x78\x07", 4); /* histogram: count 5 at 7 */
            gw_buf_reset(e);
            put(e, 1, "\5\6", 2);
            gw_buf_put(e, point, sizeof(point));
            put_buf(s, 4, e);
            put(s, 5, "\x08\x02", 2);
        }
        put_buf(b, 5, s);
    }
}

static void check_label(const struct gw_rw_body *b, uint32_t series, unsigned at, const char *name, const char *value)
{
    struct gw_slice n = {0}, v = {0};
    struct gw_rw_label_iter it;

    gw_rw_labels_begin(b, &b->series[series], &it);
    for (unsigned i = 0; i <= at; i++)
        assert_int_equal(gw_rw_labels_next(&it, &n, &v), name != NULL || i < at);
    if (name) {
        assert_true(gw_slice_is(n, name));
        assert_true(gw_slice_is(v, value));
    }
}

/* Scenario: a body of 2.0 with everything a series may hold.
 * Guarantees: its series are counted and named through the symbols. */
static void a_body_of_2_0_is_read(void **state)
{
    struct gw_rw_body b;

    (void)state;
    put_body_2(&out);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_2, gw_buf_slice(&out)), 0);
    assert_int_equal(b.n_series, 3);
    assert_int_equal(b.n_points, 5);
    assert_int_equal(b.series[0].points.end, 3);
    assert_true(b.series[0].has_exemplars);
    assert_int_equal(b.series[1].points.begin, 3);
    assert_int_equal(b.series[1].points.end, 4);
    assert_int_equal(b.points[4].series, 2);
    check_label(&b, 0, 0, "__name__", "m");
    check_label(&b, 0, 1, "k", "v");
    check_label(&b, 0, 2, NULL, NULL);
    check_label(&b, 1, 1, NULL, NULL);
    check_label(&b, 2, 1, "k", "m");
    assert_true(gw_rw_labels_eq(&b, &b.series[0], &b, &b.series[0]));
    assert_false(gw_rw_labels_eq(&b, &b.series[0], &b, &b.series[1]));
    assert_false(gw_rw_labels_eq(&b, &b.series[0], &b, &b.series[2]));
    assert_int_not_equal(gw_rw_labels_hash(&b, &b.series[0]), gw_rw_labels_hash(&b, &b.series[2]));
    gw_rw_body_clear(&b);
}

/* Scenario: the middle series alone; all but the first, which is delivered; the second of the points of the first; as
 * 2.0.
 * Guarantees: the bytes of those points, their series' labels and all symbols; exemplars once. */
static void some_points_alone(void **state)
{
    struct gw_rw_body b, part;

    (void)state;
    put_body_2(&out);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_2, gw_buf_slice(&out)), 0);
    gw_rw_body_write(&b, (struct gw_range){3, 4}, &scratch[2]);
    assert_int_equal(gw_rw_body_read(&part, GW_RW_2, gw_buf_slice(&scratch[2])), 0);
    assert_int_equal(part.n_symbols, 7);
    assert_int_equal(part.n_series, 1);
    assert_true(gw_slice_eq(part.series[0].message, b.series[1].message));
    gw_rw_body_clear(&part);

    for (unsigned i = 0; i < 2; i++) {
        gw_buf_reset(&scratch[2]);
        gw_rw_body_write(&b, (struct gw_range){1, 2}, &scratch[2]);
        assert_int_equal(gw_rw_body_read(&part, GW_RW_2, gw_buf_slice(&scratch[2])), 0);
        assert_int_equal(part.n_points, 1);
        assert_true(gw_rw_labels_eq(&b, &b.series[0], &part, &part.series[0]));
        assert_int_equal(part.series[0].has_exemplars, i == 0);
        gw_rw_body_clear(&part);
        gw_rw_body_deliver(&b, (struct gw_range){0, 1});
    }
    gw_rw_body_deliver(&b, (struct gw_range){1, 3});
    assert_int_equal(gw_rw_body_living(&b, (struct gw_range){0, 5}), 2);
    gw_buf_reset(&scratch[2]);
    gw_rw_body_write(&b, (struct gw_range){0, 5}, &scratch[2]);
    assert_int_equal(gw_rw_body_read(&part, GW_RW_2, gw_buf_slice(&scratch[2])), 0);
    assert_int_equal(part.n_series, 2);
    assert_true(gw_slice_eq(part.series[1].message, b.series[2].message));
    gw_rw_body_clear(&part);
    gw_rw_body_clear(&b);
}

/* Scenario: the same as 1.0.
 * Guarantees: labels spelled out, also those of exemplars; samples and histograms byte for byte under the numbers of
 * 1.0; no symbols, no metadata. */
static void a_body_of_2_0_is_written_as_1_0(void **state)
{
    static const uint8_t label_name[] = {0x0a, 8, '_', '_', 'n', 'a', 'm', 'e', '_', '_', 0x12, 1, 'm'};
    static const uint8_t label_k[] = {0x0a, 1, 'k', 0x12, 1, 'v'};
    static const uint8_t label_trace[] = {0x0a, 8, 't', 'r', 'a', 'c', 'e', '_', 'i', 'd', 0x12, 1, 't'};
    static const uint8_t sample[] = {0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 7, 0x18, 3};
    struct gw_rw_body b;

    (void)state;
    put_body_2(&out);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_2, gw_buf_slice(&out)), 0);
    gw_rw_body_write_1(&b, (struct gw_range){0, 3}, &scratch[2]);
    gw_rw_body_clear(&b);

    put(&scratch[3], 1, label_name, sizeof(label_name));
    put(&scratch[3], 1, label_k, sizeof(label_k));
    put(&scratch[3], 2, sample, sizeof(sample));
    put(&scratch[3], 2, sample, sizeof(sample));
    put(&scratch[3], 4, "\x08\x05\x78\x07", 4);
    gw_buf_reset(&scratch[0]);
    put(&scratch[0], 1, label_trace, sizeof(label_trace));
    gw_buf_put(&scratch[0], point, sizeof(point));
    put_buf(&scratch[3], 3, &scratch[0]);
    gw_buf_reset(&scratch[1]);
    put_buf(&scratch[1], 1, &scratch[3]);
    assert_int_equal(scratch[2].n, scratch[1].n);
    assert_memory_equal(scratch[2].p, scratch[1].p, scratch[1].n);
}

/* Scenario: 1.0 with two series of a sample each, and metadata.
 * Guarantees: metadata goes with what is sent until something of it is delivered. */
static void metadata_goes_once(void **state)
{
    struct gw_rw_body b;

    (void)state;
    put(&out, 1, "\x0a\x06\x0a\x01\x61\x12\x01\x62\x12\x02\x10\x07", 12);
    put(&out, 1, "\x0a\x06\x0a\x01\x61\x12\x01\x63\x12\x02\x10\x07", 12);
    put(&out, 3, "\x08\x02", 2);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_1, gw_buf_slice(&out)), 0);
    check_label(&b, 1, 0, "a", "c");
    gw_rw_body_write_1(&b, (struct gw_range){1, 2}, &scratch[0]);
    assert_int_equal(scratch[0].n, 14 + 4);
    gw_rw_body_deliver(&b, (struct gw_range){1, 2});
    gw_buf_reset(&scratch[0]);
    gw_rw_body_write_1(&b, (struct gw_range){0, 2}, &scratch[0]);
    assert_int_equal(scratch[0].n, 14);
    gw_rw_body_clear(&b);
}

/* Scenario: a body cut off at every byte; references that no symbol has, and an odd number of them.
 * Guarantees: an error, or a body; nothing is read behind the end; a label without its text ends the labels. */
static void broken_bodies_are_refused(void **state)
{
    struct gw_rw_body b;

    (void)state;
    put_body_2(&out);
    for (size_t n = 0; n < out.n; n++) {
        uint8_t *cut = malloc(n + 1);

        memcpy(cut, out.p, n);
        if (gw_rw_body_read(&b, GW_RW_2, gw_slice_of(cut, n)) == 0)
            for (uint32_t i = 0; i < b.n_series; i++)
                (void)gw_rw_labels_hash(&b, &b.series[i]);
        gw_rw_body_clear(&b);
        free(cut);
    }
    assert_int_equal(gw_rw_body_read(&b, GW_RW_2, gw_slice_of(out.p, out.n - 1)), -EBADMSG);
    gw_rw_body_clear(&b);
    gw_buf_reset(&out);
    put(&out, 4, "", 0);
    put(&out, 5, "\x0a\x02\x00\x09", 4);
    put(&out, 5, "\x0a\x03\x00\x00\x00", 5);
    assert_int_equal(gw_rw_body_read(&b, GW_RW_2, gw_buf_slice(&out)), 0);
    check_label(&b, 0, 0, NULL, NULL);
    check_label(&b, 1, 1, NULL, NULL);
    gw_rw_body_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_of_2_0_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(some_points_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_of_2_0_is_written_as_1_0, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_goes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_bodies_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
