/* SPDX-License-Identifier: Apache-2.0 */
#include "net/grpc_frame.h"

#include <stdlib.h>

#include "tests/harness.h"

static const uint8_t framed[] = {0, 0, 0, 0, 3, 'a', 'b', 'c'};

/* Scenario: one message, cut at every place, byte by byte as well. Guarantees: complete with the last byte, not before.
 */
static void puts_a_message_together_from_any_pieces(void **state)
{
    struct gw_grpc_reader r;

    (void)state;
    for (size_t cut = 0; cut <= sizeof(framed); cut++) {
        gw_grpc_reader_init(&r, 16);
        assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of(framed, cut), NULL), 0);
        assert_int_equal(r.complete, cut == sizeof(framed));
        assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of(framed + cut, sizeof(framed) - cut), NULL), 0);
        assert_true(r.complete);
        assert_false(r.compressed);
        assert_true(gw_slice_is(gw_buf_slice(&r.message), "abc"));
        gw_grpc_reader_clear(&r);
    }
    gw_grpc_reader_init(&r, 16);
    for (size_t i = 0; i < sizeof(framed); i++)
        assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of(framed + i, 1), NULL), 0);
    assert_true(r.complete);
    gw_grpc_reader_clear(&r);
}

/* Scenario: an empty message. Guarantees: complete with its head; a cleared reader takes the next one. */
static void an_empty_message_is_complete(void **state)
{
    struct gw_grpc_reader r;

    (void)state;
    gw_grpc_reader_init(&r, 16);
    assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of("\0\0\0\0\0", 5), NULL), 0);
    assert_true(r.complete);
    assert_int_equal(r.message.n, 0);
    gw_grpc_reader_clear(&r);
    assert_false(r.complete);
    assert_int_equal(r.message.max_bytes, 16);
}

/* Scenario: a bad flag, a length over the limit, a second message in the same or in a later chunk. Guarantees: each is
 * refused with its code, the length before any byte of the message is kept. */
static void refuses_what_is_no_unary_message(void **state)
{
    static const struct {
        const char *hex;
        int code;
    } t[] = {
        {"02 00000001 61", -EBADMSG},
        {"ff 00000000", -EBADMSG},
        {"00 00000011", -E2BIG},
        {"01 ffffffff", -E2BIG},
        {"00 00000001 61 00", -EBADMSG},
        {"00 00000001 61 00 00000001 62", -EBADMSG},
        {"00 00000000 00 00000000", -EBADMSG},
    };
    struct gw_grpc_reader r;
    struct gw_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint8_t *p;
        size_t n;
        int rc = 0;

        gw_hex(t[i].hex, &p, &n);
        gw_grpc_reader_init(&r, 16);
        err.text[0] = '\0';
        assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of(p, n), &err), t[i].code);
        assert_true(err.text[0] != '\0');
        if (t[i].code == -E2BIG)
            assert_int_equal(r.message.cap, 0);
        gw_grpc_reader_clear(&r);
        for (size_t k = 0; k < n && rc == 0; k++)
            rc = gw_grpc_reader_feed(&r, gw_slice_of(p + k, 1), NULL);
        assert_int_equal(rc, t[i].code);
        gw_grpc_reader_clear(&r);
        free(p);
    }
}

/* Scenario: a head that promises 16 MiB and nothing more. Guarantees: no memory is taken for a promise. */
static void a_promise_costs_no_memory(void **state)
{
    struct gw_grpc_reader r;

    (void)state;
    gw_grpc_reader_init(&r, 64u << 20);
    assert_int_equal(gw_grpc_reader_feed(&r, gw_slice_of("\1\1\0\0\0x", 6), NULL), 0);
    assert_true(r.compressed);
    assert_int_equal(r.want_bytes, 16u << 20);
    assert_true(r.message.cap <= 4096);
    gw_grpc_reader_clear(&r);
}

/* Scenario: the head is read apart and the message goes into lent memory. Guarantees: not one byte is copied elsewhere.
 */
static void reads_into_lent_memory(void **state)
{
    static uint8_t mem[3];
    struct gw_grpc_reader r;
    struct gw_slice chunk = gw_slice_of(framed, sizeof(framed));

    (void)state;
    gw_grpc_reader_init(&r, 16);
    assert_int_equal(gw_grpc_reader_head(&r, &chunk, NULL), 0);
    assert_int_equal(chunk.n, 3);
    r.message = (struct gw_buf){.p = mem, .cap = 3, .max_bytes = 3};
    assert_int_equal(gw_grpc_reader_feed(&r, chunk, NULL), 0);
    assert_true(r.complete);
    assert_ptr_equal(r.message.p, mem);
    assert_memory_equal(mem, "abc", 3);
    assert_int_equal(gw_grpc_reader_feed(&r, GW_SLICE("d"), NULL), -EBADMSG);
}

/* Scenario: grpc-timeout in every unit, and what is not one. Guarantees: value in ns, saturated; else -EINVAL. */
static void reads_timeouts(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1H", 3600000000000u},
        {"2M", 120000000000u},
        {"3S", 3000000000u},
        {"100m", 100000000u},
        {"5u", 5000},
        {"7n", 7},
        {"0n", 0},
        {"99999999H", UINT64_MAX},
    };
    static const char *const bad[] = {"", "1", "S", "1s", "-1S", "1.5S", " 1S", "123456789S", "1SS"};
    uint64_t ns;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(gw_grpc_timeout_parse(gw_slice_cstr(good[i].text), &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    ns = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(gw_grpc_timeout_parse(gw_slice_cstr(bad[i]), &ns), -EINVAL);
    assert_int_equal(ns, 42);
}

/* Scenario: texts for headers, and RFC 4648's base64 vectors. Guarantees: only printable ASCII leaves. */
static void encodes_header_values(void **state)
{
    static const char *const b64[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    struct gw_buf b;

    (void)state;
    gw_buf_init(&b, 1024);
    gw_grpc_message_put(&b, "50% \xc3\xa4\r\n\x7f~");
    assert_true(gw_slice_is(gw_buf_slice(&b), "50%25 %C3%A4%0D%0A%7F~"));
    for (size_t i = 0; i < sizeof(b64) / sizeof(b64[0]); i++) {
        gw_buf_reset(&b);
        gw_grpc_bin_put(&b, gw_slice_cstr(b64[i][0]));
        assert_true(gw_slice_is(gw_buf_slice(&b), b64[i][1]));
    }
    gw_buf_reset(&b);
    gw_grpc_bin_put(&b, gw_slice_of("\xff\xfe\xfd", 3));
    assert_true(gw_slice_is(gw_buf_slice(&b), "//79"));
    gw_buf_reset(&b);
    gw_grpc_frame_put(&b, 0x01020304);
    assert_true(gw_slice_eq(gw_buf_slice(&b), gw_slice_of("\0\1\2\3\4", 5)));
    gw_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_a_message_together_from_any_pieces),
        cmocka_unit_test(an_empty_message_is_complete),
        cmocka_unit_test(refuses_what_is_no_unary_message),
        cmocka_unit_test(a_promise_costs_no_memory),
        cmocka_unit_test(reads_into_lent_memory),
        cmocka_unit_test(reads_timeouts),
        cmocka_unit_test(encodes_header_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
