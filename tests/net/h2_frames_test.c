/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "net/h2_frames.h"

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, WINDOW_UPDATE = 8 };

static struct gw_h2_frames f;
static uint8_t wire[4096];
static size_t n_wire;

static void put(unsigned type, uint32_t id, size_t n)
{
    uint8_t *p = wire + n_wire;

    memset(p, 0xee, GW_H2_HEAD_BYTES + n);
    memcpy(p,
           (uint8_t[]){0, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)type, 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
                       (uint8_t)(id >> 8), (uint8_t)id},
           GW_H2_HEAD_BYTES);
    n_wire += GW_H2_HEAD_BYTES + n;
}

/* All of what was put, in pieces of so many bytes. The first wrong, and how much was let through before it. */
static enum gw_h2_wrong look(size_t piece, uint32_t *ret_id, unsigned *ret_stops)
{
    enum gw_h2_wrong wrong = GW_H2_FINE;
    unsigned stops = 0;
    size_t at = 0;

    while (at < n_wire && wrong == GW_H2_FINE) {
        size_t n = n_wire - at < piece ? n_wire - at : piece, done;

        done = gw_h2_frames_look(&f, gw_slice_of(wire + at, n), sizeof(wire), &wrong, ret_id);
        assert_in_range(done, 1, n);
        stops += done < n;
        at += done;
    }
    n_wire = 0;
    if (ret_stops)
        *ret_stops = stops;
    return wrong;
}

static void begin(void)
{
    uint32_t id;

    gw_h2_frames_init(&f);
    memcpy(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", GW_H2_PREFACE_BYTES);
    n_wire = GW_H2_PREFACE_BYTES;
    put(HEADERS, 1, 20);
    put(DATA, 1, 100);
    put(HEADERS, 3, 20);
    put(DATA, 3, 0);
    assert_int_equal(look(sizeof(wire), &id, NULL), GW_H2_FINE);
    assert_int_equal(f.last, 3);
}

/* Scenario: two streams, one ended, then DATA, HEADERS, PRIORITY, RST_STREAM and WINDOW_UPDATE for each; in pieces of
 * every size.
 * Guarantees: only DATA and HEADERS of the ended one are wrong, however they are cut. */
static void frames_behind_the_end_are_found(void **state)
{
    static const unsigned types[] = {DATA, HEADERS, PRIORITY, RST_STREAM, WINDOW_UPDATE};
    uint32_t id;

    (void)state;
    for (size_t piece = 1; piece < 40; piece++)
        for (unsigned t = 0; t < 5; t++) {
            begin();
            gw_h2_frames_ended(&f, 1);
            put(types[t], 3, 13);
            put(types[t], 1, 13);
            put(DATA, 3, 5);
            assert_int_equal(look(piece, &id, NULL), t < 2 ? GW_H2_AFTER_END : GW_H2_FINE);
            if (t < 2)
                assert_int_equal(id, 1);
        }
}

/* Scenario: a stream that was reset by the peer, before and after its end; one that we ended (nobody wrote it down).
 * Guarantees: the milder error; none. */
static void frames_behind_a_reset_are_told_apart(void **state)
{
    uint32_t id;

    (void)state;
    begin();
    gw_h2_frames_reset(&f, 1);
    gw_h2_frames_ended(&f, 1);
    put(DATA, 3, 13);
    put(DATA, 1, 13);
    assert_int_equal(look(4096, &id, NULL), GW_H2_AFTER_RESET);
    assert_int_equal(id, 1);
}

/* Scenario: RST_STREAM between other frames.
 * Guarantees: what is behind it is looked at only when nghttp2 has it. */
static void a_reset_is_fed_before_what_follows(void **state)
{
    unsigned stops;
    uint32_t id;

    (void)state;
    begin();
    put(DATA, 3, 5);
    put(RST_STREAM, 1, 4);
    put(DATA, 3, 5);
    assert_int_equal(look(4096, &id, &stops), GW_H2_FINE);
    assert_int_equal(stops, 1);
}

/* Scenario: the next stream has the number 9; then 5 and 7 are used; then 11.
 * Guarantees: numbers that were left out cannot be opened; DATA for them is nghttp2's matter; the next higher one can.
 */
static void numbers_do_not_go_back(void **state)
{
    uint32_t id;

    (void)state;
    begin();
    put(HEADERS, 9, 5);
    put(DATA, 9, 5);
    put(HEADERS, 11, 5);
    assert_int_equal(look(4096, &id, NULL), GW_H2_FINE);
    put(HEADERS, 7, 5);
    assert_int_equal(look(4096, &id, NULL), GW_H2_GOING_BACK);
    begin();
    put(HEADERS, 9, 5);
    put(HEADERS, 3, 5); /* trailers, perhaps */
    assert_int_equal(look(4096, &id, NULL), GW_H2_FINE);
}

/* Scenario: a thousand streams are opened and ended; then DATA for the last and for the first.
 * Guarantees: what was forgotten is passed over. */
static void what_was_forgotten_is_passed_over(void **state)
{
    uint32_t id;

    (void)state;
    begin();
    for (uint32_t i = 5; i < 2005; i += 2) {
        put(HEADERS, i, 5);
        assert_int_equal(look(4096, &id, NULL), GW_H2_FINE);
        gw_h2_frames_ended(&f, i);
    }
    put(DATA, 1, 5);
    assert_int_equal(look(4096, &id, NULL), GW_H2_FINE);
    put(DATA, 2003, 5);
    assert_int_equal(look(4096, &id, NULL), GW_H2_AFTER_END);
}

/* Scenario: DATA of 3000 bytes, of none, and a header block of 500, when 100 bytes beside bodies may go at once.
 * Guarantees: what DATA brings is not counted, its heads are, so is all else; pieces go on where they ended. */
static void bodies_do_not_count(void **state)
{
    enum gw_h2_wrong wrong;
    unsigned n_pieces = 0;
    uint32_t id;
    size_t at;

    (void)state;
    begin();
    put(DATA, 1, 3000);
    assert_int_equal(gw_h2_frames_look(&f, gw_slice_of(wire, n_wire), 9, &wrong, &id), n_wire);
    for (n_wire = 0; n_wire < 200 * GW_H2_HEAD_BYTES;)
        put(DATA, 1, 0);
    assert_int_equal(gw_h2_frames_look(&f, gw_slice_of(wire, n_wire), 100, &wrong, &id), 100);
    for (at = 100; at < n_wire; at += gw_h2_frames_look(&f, gw_slice_of(wire + at, n_wire - at), 100, &wrong, &id))
        n_pieces++;
    assert_int_equal(n_pieces, (n_wire - 1) / 100);
    n_wire = 0;
    put(DATA, 1, 3000);
    put(HEADERS, 5, 500);
    assert_int_equal(gw_h2_frames_look(&f, gw_slice_of(wire, n_wire), 100, &wrong, &id), 3100);
    assert_int_equal(gw_h2_frames_look(&f, gw_slice_of(wire + 3100, n_wire - 3100), 100, &wrong, &id), 100);
    assert_int_equal(f.last, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_behind_the_end_are_found),    cmocka_unit_test(frames_behind_a_reset_are_told_apart),
        cmocka_unit_test(a_reset_is_fed_before_what_follows), cmocka_unit_test(numbers_do_not_go_back),
        cmocka_unit_test(what_was_forgotten_is_passed_over),  cmocka_unit_test(bodies_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
