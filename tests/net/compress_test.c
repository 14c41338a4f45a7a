/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles: zlib in both directions; frames made by the zstd and lz4 programs; the CRC vector of RFC 3720. */
#include "net/compress.h"

#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/harness.h"

enum { MIB = 1 << 20 };
static const enum gw_codec all[] = {GW_IDENTITY, GW_GZIP, GW_ZLIB, GW_ZSTD, GW_SNAPPY, GW_SNAPPY_FRAMED, GW_LZ4};

/* Bytes that compress about as telemetry does: words from a small list, numbers between. */
static uint8_t *words(size_t n, unsigned seed)
{
    static const char *const list[] = {"http.method", "GET", "service.name", "checkout", "span", "0123456789"};
    uint8_t *p = malloc(n + 1);
    size_t at = 0;

    assert_non_null(p);
    while (at < n) {
        char piece[32];
        int k;

        seed = seed * 1664525u + 1013904223u;
        k = snprintf(piece, sizeof(piece), "%s%x", list[(seed >> 8) % 6], seed >> 20);
        for (int i = 0; i < k && at < n; i++)
            p[at++] = (uint8_t)piece[i];
    }
    return p;
}

/* Through zlib itself: window_bits 31 gzip, 15 zlib. */
static uint8_t *zlib_deflate(const uint8_t *p, size_t n, int window_bits, size_t *ret_n)
{
    z_stream z = {0};
    uint8_t *out;

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    out = malloc(deflateBound(&z, n));
    z.next_in = (uint8_t *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)deflateBound(&z, n);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *ret_n = z.total_out;
    (void)deflateEnd(&z);
    return out;
}

static int undo(enum gw_codec c, const void *p, size_t n, size_t max, struct gw_buf *out)
{
    struct gw_err err = {""};
    int rc;

    gw_buf_init(out, max);
    rc = gw_decompress(c, gw_slice_of(p, n), out, &err);
    if (rc < 0)
        assert_true(err.text[0] != '\0');
    return rc;
}

static void expect(enum gw_codec c, const void *p, size_t n, const void *want, size_t n_want)
{
    struct gw_buf out;

    assert_int_equal(undo(c, p, n, n_want ? n_want : 1, &out), 0);
    assert_int_equal(out.n, n_want);
    if (n_want)
        assert_memory_equal(out.p, want, n_want);
    gw_buf_clear(&out);
}

static void expect_fail(enum gw_codec c, const void *p, size_t n, size_t max, int code)
{
    struct gw_buf out;

    assert_int_equal(undo(c, p, n, max, &out), code);
    assert_int_equal(out.n, 0);
    assert_true(out.cap <= max);
    gw_buf_clear(&out);
}

/* Scenario: the names of Content-Encoding and grpc-encoding. Guarantees: each finds its codec; others are unknown. */
static void names_find_their_codec(void **state)
{
    (void)state;
    assert_int_equal(gw_codec_parse(GW_SLICE("")), GW_IDENTITY);
    assert_int_equal(gw_codec_parse(GW_SLICE("identity")), GW_IDENTITY);
    assert_int_equal(gw_codec_parse(GW_SLICE("gzip")), GW_GZIP);
    assert_int_equal(gw_codec_parse(GW_SLICE("deflate")), GW_ZLIB);
    assert_int_equal(gw_codec_parse(GW_SLICE("zlib")), GW_ZLIB);
    assert_int_equal(gw_codec_parse(GW_SLICE("x-snappy-framed")), GW_SNAPPY_FRAMED);
    assert_int_equal(gw_codec_parse(GW_SLICE("lz4")), GW_LZ4);
    assert_int_equal(gw_codec_parse(GW_SLICE("br")), GW_CODEC_UNKNOWN);
    assert_int_equal(gw_codec_parse(GW_SLICE("gzip, gzip")), GW_CODEC_UNKNOWN);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_int_equal(gw_codec_parse(gw_slice_cstr(gw_codec_name(all[i]))), all[i]);
}

/* Scenario: every codec, sizes around its block limits, output cap exactly right. Guarantees: what went in comes out.
 */
static void comes_back_as_it_was(void **state)
{
    static const size_t sizes[] = {0, 1, 17, 65535, 65536, 65537, 300000, 3 * MIB};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
            for (int level = 0; level <= 9; level += 3) {
                uint8_t *p = words(sizes[k], (unsigned)k);
                struct gw_buf packed;

                gw_buf_init(&packed, 8 * MIB);
                assert_int_equal(gw_compress(all[i], level, gw_slice_of(p, sizes[k]), &packed, NULL), 0);
                expect(all[i], packed.p, packed.n, p, sizes[k]);
                gw_buf_clear(&packed);
                free(p);
            }
}

/* Scenario: bytes in one, two, three (one of them empty) and 300 places, by every codec and level, words and noise.
 * Guarantees: unpacked they stand one behind the other; what stood in the buffer before stands there still. */
static void bytes_in_several_places_come_back_in_one(void **state)
{
    static const size_t counts[] = {1, 2, 3, 300};
    enum { BYTES = 700000 };
    uint8_t *p[2] = {words(BYTES, 5), malloc(BYTES)};

    (void)state;
    for (size_t i = 0, seed = 7; i < BYTES; i++)
        p[1][i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    for (size_t i = 0; i < 2 * sizeof(all) / sizeof(all[0]); i++)
        for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
            for (int level = 0; level <= 6; level += 3) {
                size_t n = counts[k], each = BYTES / n;
                struct gw_rope rope = {.n_parts = (uint32_t)n, .n = BYTES};
                struct gw_slice parts[300];
                struct gw_buf packed;

                for (size_t m = 0; m < n; m++)
                    parts[m] = gw_slice_of(p[i % 2] + m * each, m + 1 < n ? each : BYTES - m * each);
                if (n == 3) {
                    parts[0].n += parts[1].n;
                    parts[1].n = 0;
                }
                rope.parts = parts;
                gw_buf_init(&packed, 8 * MIB);
                gw_buf_put_str(&packed, "before");
                assert_int_equal(gw_compress_rope(all[i / 2], level, rope, &packed, NULL), 0);
                assert_memory_equal(packed.p, "before", 6);
                expect(all[i / 2], packed.p + 6, packed.n - 6, p[i % 2], BYTES);
                gw_buf_clear(&packed);
            }
    free(p[0]);
    free(p[1]);
}

/* Scenario: bytes in two places, and no room for what becomes of them. Guarantees: that is told, and nothing is left.
 */
static void bytes_in_several_places_need_room(void **state)
{
    uint8_t *p = words(100000, 5);
    const struct gw_slice parts[2] = {gw_slice_of(p, 60000), gw_slice_of(p + 60000, 40000)};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct gw_buf packed;

        gw_buf_init(&packed, 100);
        assert_int_equal(gw_compress_rope(all[i], 0, (struct gw_rope){parts, 2, 100000}, &packed, NULL), -E2BIG);
        assert_int_equal(packed.n, 0);
        gw_buf_clear(&packed);
    }
    free(p);
}

/* Scenario: what cannot be made smaller. Guarantees: it comes back too (stored blocks, ISA-L's bound). */
static void random_bytes_come_back_too(void **state)
{
    uint8_t *p = malloc(MIB);
    unsigned seed = 7;

    (void)state;
    for (size_t i = 0; i < MIB; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct gw_buf packed;

        gw_buf_init(&packed, 8 * MIB);
        assert_int_equal(gw_compress(all[i], 0, gw_slice_of(p, MIB), &packed, NULL), 0);
        expect(all[i], packed.p, packed.n, p, MIB);
        gw_buf_clear(&packed);
    }
    free(p);
}

/* Scenario: gzip and zlib by zlib. Guarantees: both are read, and zlib reads what we write, level 0 and 6. */
static void agrees_with_zlib(void **state)
{
    uint8_t *p = words(500000, 3), *back = malloc(500000);

    (void)state;
    for (int gz = 0; gz < 2; gz++) {
        enum gw_codec c = gz ? GW_GZIP : GW_ZLIB;
        size_t n;
        uint8_t *z = zlib_deflate(p, 500000, gz ? 31 : 15, &n);

        expect(c, z, n, p, 500000);
        free(z);
        for (int level = 0; level <= 6; level += 6) {
            struct gw_buf packed;
            z_stream in = {0};

            gw_buf_init(&packed, MIB);
            assert_int_equal(gw_compress(c, level, gw_slice_of(p, 500000), &packed, NULL), 0);
            assert_int_equal(inflateInit2(&in, gz ? 31 : 15), Z_OK);
            in.next_in = packed.p;
            in.avail_in = (uInt)packed.n;
            in.next_out = back;
            in.avail_out = 500000;
            assert_int_equal(inflate(&in, Z_FINISH), Z_STREAM_END);
            assert_int_equal(in.avail_in, 0);
            assert_int_equal(in.total_out, 500000);
            assert_memory_equal(back, p, 500000);
            (void)inflateEnd(&in);
            gw_buf_clear(&packed);
        }
    }
    free(back);
    free(p);
}

/* Scenario: frames by the zstd and lz4 programs, with and without a content size, two in a row; a framed snappy chunk
 * whose checksum was computed bit by bit. Guarantees: read as the programs would. */
static void reads_what_other_programs_wrote(void **state)
{
    static const struct {
        enum gw_codec c;
        const char *hex, *want;
    } t[] = {
        {GW_ZSTD, "28b52ffd04586500003068656c6c6f200100994b11175eae0d", "hello hello hello hello"},
        {GW_ZSTD, "28b52ffd24176500003068656c6c6f200100994b11175eae0d", "hello hello hello hello"},
        {GW_ZSTD,
         "28b52ffd04586500003068656c6c6f200100994b11175eae0d502a4d180400000001020304"
         "28b52ffd24176500003068656c6c6f200100994b11175eae0d",
         "hello hello hello hellohello hello hello hello"},
        {GW_LZ4, "04224d186440a70f0000006868656c6c6f2006005068656c6c6f00000000f26b940b", "hello hello hello hello"},
        {GW_LZ4, "04224d186440a70600008068656c6c6f2000000000ba53ad8f04224d186440a705000080776f726c6400000000b362aa18",
         "hello world"},
        {GW_SNAPPY_FRAMED, "ff060000734e61507059010d0000e5b08ac7313233343536373839", "123456789"},
        {GW_SNAPPY_FRAMED,
         "ff060000734e61507059fe03000000000080010000ffff060000734e61507059010d0000e5b08ac7313233343536373839",
         "123456789"},
        {GW_SNAPPY, "0b2868656c6c6f20776f726c64", "hello world"},
        {GW_SNAPPY, "ff060000734e61507059010d0000e5b08ac7313233343536373839", "123456789"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint8_t *p;
        size_t n;

        gw_hex(t[i].hex, &p, &n);
        expect(t[i].c, p, n, t[i].want, strlen(t[i].want));
        free(p);
    }
}

/* Scenario: two gzip members, the last one small, so that ISIZE lies about the whole. Guarantees: both are read. */
static void reads_members_one_behind_the_other(void **state)
{
    uint8_t *p = words(200000, 5), *two;
    size_t n1, n2;
    uint8_t *a = zlib_deflate(p, 199990, 31, &n1), *b = zlib_deflate(p + 199990, 10, 31, &n2);

    (void)state;
    two = malloc(n1 + n2);
    memcpy(two, a, n1);
    memcpy(two + n1, b, n2);
    expect(GW_GZIP, two, n1 + n2, p, 200000);
    free(two);
    free(a);
    free(b);
    free(p);
}

/* Scenario: every proper prefix of a packed body, and one byte behind it. Guarantees: never success, never a crash. */
static void refuses_cut_and_longer_bodies(void **state)
{
    uint8_t *p = words(2000, 9);

    (void)state;
    for (size_t i = 1; i < sizeof(all) / sizeof(all[0]); i++) {
        struct gw_buf packed;

        gw_buf_init(&packed, MIB);
        assert_int_equal(gw_compress(all[i], 0, gw_slice_of(p, 2000), &packed, NULL), 0);
        for (size_t n = 0; n < packed.n; n++) {
            if (all[i] == GW_SNAPPY_FRAMED && n == 10)
                continue; /* the identifier alone is an empty stream */
            expect_fail(all[i], packed.p, n, MIB, -EBADMSG);
        }
        gw_buf_put_u8(&packed, 0);
        expect_fail(all[i], packed.p, packed.n, MIB, -EBADMSG);
        gw_buf_clear(&packed);
    }
    free(p);
}

/* Scenario: each bit of a packed body turned. Guarantees: an error, or (no checksum) bytes within the cap. */
static void survives_turned_bits(void **state)
{
    uint8_t *p = words(600, 11);

    (void)state;
    for (size_t i = 1; i < sizeof(all) / sizeof(all[0]); i++) {
        struct gw_buf packed, out;

        gw_buf_init(&packed, MIB);
        assert_int_equal(gw_compress(all[i], 0, gw_slice_of(p, 600), &packed, NULL), 0);
        for (size_t bit = 0; bit < 8 * packed.n; bit++) {
            packed.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (undo(all[i], packed.p, packed.n, 4096, &out) == 0 && (all[i] == GW_GZIP || all[i] == GW_ZLIB)) {
                assert_int_equal(out.n, 600); /* header bits that mean nothing; the checksum held */
                assert_memory_equal(out.p, p, 600);
            }
            gw_buf_clear(&out);
            packed.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        gw_buf_clear(&packed);
    }
    free(p);
}

/* Scenario: a cap one byte short. Guarantees: -E2BIG, and never more memory than the cap. */
static void stops_at_the_cap(void **state)
{
    uint8_t *p = words(100000, 13);

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct gw_buf packed;

        gw_buf_init(&packed, MIB);
        assert_int_equal(gw_compress(all[i], 0, gw_slice_of(p, 100000), &packed, NULL), 0);
        expect_fail(all[i], packed.p, packed.n, 99999, -E2BIG);
        expect_fail(all[i], packed.p, packed.n, 10, -E2BIG);
        gw_buf_clear(&packed);
    }
    free(p);
}

/* Scenario: zeros, packed 1000:1 and more, under a generous cap. Guarantees: refused at 200:1, memory below that. */
static void refuses_bombs_by_ratio(void **state)
{
    enum { N = 64 * MIB };
    uint8_t *zeros = calloc(1, N), *packed;
    size_t n;

    (void)state;
    packed = zlib_deflate(zeros, N, 31, &n);
    assert_true(n < N / 900);
    expect_fail(GW_GZIP, packed, n, 256 * MIB, -E2BIG);
    free(packed);
    packed = zlib_deflate(zeros, N, 15, &n);
    expect_fail(GW_ZLIB, packed, n, 256 * MIB, -E2BIG);
    free(packed);
    packed = malloc(ZSTD_compressBound(N));
    n = ZSTD_compress(packed, ZSTD_compressBound(N), zeros, N, 3);
    expect_fail(GW_ZSTD, packed, n, 256 * MIB, -E2BIG);
    free(packed);
    packed = malloc(LZ4F_compressFrameBound(N, NULL));
    n = LZ4F_compressFrame(packed, LZ4F_compressFrameBound(N, NULL), zeros, N, NULL);
    assert_true(n < N / 200);
    expect_fail(GW_LZ4, packed, n, 256 * MIB, -E2BIG);
    free(packed);
    /* Up to a MiB the ratio is free: a small body of zeros is honest. */
    packed = zlib_deflate(zeros, MIB, 31, &n);
    expect(GW_GZIP, packed, n, zeros, MIB);
    free(packed);
    free(zeros);
}

/* Scenario: lengths that lie, a 2 GiB window, a wrong checksum, an unskippable chunk. Guarantees: refused, at once. */
static void refuses_lies(void **state)
{
    static const struct {
        enum gw_codec c;
        const char *hex;
        int code;
    } t[] = {
        {GW_SNAPPY, "ffffffff0f00", -E2BIG},                 /* 4 GiB */
        {GW_SNAPPY, "0c2868656c6c6f20776f726c64", -EBADMSG}, /* one more than there is */
        {GW_SNAPPY, "ffffffffffff", -EBADMSG},               /* no varint */
        {GW_SNAPPY, "", -EBADMSG},
        {GW_GZIP, "", -EBADMSG},
        {GW_ZSTD, "28b52ffd00a823030061", -EBADMSG},           /* window 2^31 */
        {GW_ZSTD, "28b52ffde0ffffffffffffff7f010000", -E2BIG}, /* content size 2^63 - 1 */
        {GW_SNAPPY_FRAMED, "ff060000734e61507059010d0000e6b08ac7313233343536373839", -EBADMSG},
        {GW_SNAPPY_FRAMED, "ff060000734e6150705902010000ff", -EBADMSG},
        {GW_SNAPPY_FRAMED, "010d0000e5b08ac7313233343536373839", -EBADMSG}, /* no identifier */
    };
    uint8_t *p;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        gw_hex(t[i].hex, &p, &n);
        expect_fail(t[i].c, p, n, 64 * MIB, t[i].code);
        free(p);
    }
    gw_hex("28b52ffd006823030061", &p, &n); /* the same frame as above with a window of 8 MiB is fine */
    expect(GW_ZSTD, p, n,
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 100);
    free(p);
}

/* Scenario: ISIZE says 4 GiB in a body of 20 bytes. Guarantees: the hint stays below the ratio cap. */
static void hints_are_capped(void **state)
{
    uint8_t *p = words(5000, 1), *z;
    size_t n;

    (void)state;
    z = zlib_deflate(p, 5000, 31, &n);
    assert_int_equal(gw_decompress_hint(GW_GZIP, gw_slice_of(z, n)), 5000);
    memset(z + n - 4, 0xff, 4);
    assert_int_equal(gw_decompress_hint(GW_GZIP, gw_slice_of(z, n)), MIB);
    expect_fail(GW_GZIP, z, n, 64 * MIB, -EBADMSG); /* and libdeflate checks it in the end */
    free(z);
    free(p);
}

/* Scenario: bytes stand in the buffer already, and memory is lent (cap == max_bytes). Guarantees: appended, not moved.
 */
static void appends_to_lent_memory(void **state)
{
    static uint8_t mem[64];
    struct gw_buf out = {.p = mem, .n = 3, .cap = sizeof(mem), .max_bytes = sizeof(mem)};
    uint8_t *p;
    size_t n;

    (void)state;
    memcpy(mem, "abc", 3);
    gw_hex("28b52ffd04586500003068656c6c6f200100994b11175eae0d", &p, &n);
    assert_int_equal(gw_decompress(GW_ZSTD, gw_slice_of(p, n), &out, NULL), 0);
    assert_ptr_equal(out.p, mem);
    assert_int_equal(out.n, 26);
    assert_memory_equal(mem, "abchello hello hello hello", 26);
    assert_int_equal(gw_decompress(GW_ZSTD, gw_slice_of(p, n), &out, NULL), 0);
    assert_int_equal(gw_decompress(GW_ZSTD, gw_slice_of(p, n), &out, NULL), -E2BIG);
    assert_int_equal(out.n, 49);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_their_codec),
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(bytes_in_several_places_come_back_in_one),
        cmocka_unit_test(bytes_in_several_places_need_room),
        cmocka_unit_test(random_bytes_come_back_too),
        cmocka_unit_test(agrees_with_zlib),
        cmocka_unit_test(reads_what_other_programs_wrote),
        cmocka_unit_test(reads_members_one_behind_the_other),
        cmocka_unit_test(refuses_cut_and_longer_bodies),
        cmocka_unit_test(survives_turned_bits),
        cmocka_unit_test(stops_at_the_cap),
        cmocka_unit_test(refuses_bombs_by_ratio),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(hints_are_capped),
        cmocka_unit_test(appends_to_lent_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
