/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static int decode(struct gw_batch *b, struct gw_slice bytes, struct gw_err *err)
{
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, bytes, &at), 0);
    return gw_decode(b, gw_batch_slice(b, at), &limits, NULL, err);
}

/* What protobuf-c packs from the columns, and from its own reading. */
static bool same_as_protobuf_c(const struct gw_batch *b, struct gw_slice bytes)
{
    struct gw_arena arena;
    struct rebuild rb = {b, &arena};
    ProtobufCAllocator a = {rb_arena_alloc, rb_arena_free, &arena};
    ProtobufCMessage *theirs;
    struct gw_slice x, y;
    bool same;

    gw_arena_init(&arena, 1 << 16, SIZE_MAX);
    theirs = protobuf_c_message_unpack(rb_request(b->signal), &a, bytes.n, bytes.p);
    assert_non_null(theirs);
    rb_normalize(&rb, theirs);
    x = rb_pack(&rb, rb_all(&rb));
    {
        /* nested values inside of ours hold fields that theirs lost to normalizing: read them the same way */
        ProtobufCMessage *ours = protobuf_c_message_unpack(rb_request(b->signal), &a, x.n, x.p);

        assert_non_null(ours);
        rb_normalize(&rb, ours);
        x = rb_pack(&rb, ours);
    }
    y = rb_pack(&rb, theirs);
    same = gw_slice_eq(x, y);
    if (!same) {
        size_t i = 0;

        while (i < x.n && i < y.n && x.p[i] == y.p[i])
            i++;
        print_message("ours %zu bytes, theirs %zu, first difference at %zu\n", x.n, y.n, i);
    }
    gw_arena_clear(&arena);
    return same;
}

static void compare_random(enum gw_signal signal, bool odd, unsigned n)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_buf bytes;

    gw_buf_init(&bytes, 1 << 26);
    for (unsigned seed = 0; seed < n; seed++) {
        struct random_wire r = {.state = seed * 7919 + signal, .odd = odd, .max_items = 4, .budget = 300};
        struct gw_err err = {""};

        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(signal), 0);
        gw_batch_reset(b, signal);
        if (decode(b, gw_buf_slice(&bytes), &err) != 0)
            fail_msg("%s seed %u: %s", gw_signal_name(signal), seed, err.text);
        if (!same_as_protobuf_c(b, gw_buf_slice(&bytes)))
            fail_msg("%s seed %u: columns differ", gw_signal_name(signal), seed);
    }
    gw_buf_clear(&bytes);
    gw_batch_unref(b);
}

/*
 * Scenario: random requests of all signals, every field of every message set in some, against protobuf-c.
 * Guarantees: each column and table holds what the message says.
 */
static void test_columns_equal_protobuf_c_on_every_field(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        compare_random(signals[i], false, 300);
}

/*
 * Scenario: the same with fields in any order, twice, split, unpacked, overruled, padded, and with unknown ones.
 * Guarantees: legal but unusual encodings decode to what protobuf makes of them.
 */
static void test_unusual_encodings_decode_to_the_same(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        compare_random(signals[i], true, 300);
}

/* ---- the other oracle, tests/otlp-proto/oracle.py, drives this program ---------------------------------------- */

static void write_file(const char *path, struct gw_slice s)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
        abort();
}

static struct gw_slice read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(1 << 24);
    size_t n;

    if (!f || !p)
        abort();
    n = fread(p, 1, 1 << 24, f);
    (void)fclose(f);
    return gw_slice_of(p, n);
}

/* --random DIR N: unusual requests to DIR/<signal>-r<seed>.in */
static int write_random(const char *dir, unsigned n)
{
    struct gw_buf bytes;
    char path[512];

    gw_buf_init(&bytes, 1 << 26);
    for (unsigned i = 0; i < 3 * n; i++) {
        enum gw_signal signal = signals[i % 3];
        struct random_wire r = {.state = i, .odd = true, .merge_messages = true, .max_items = 4, .budget = 300};

        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(signal), 0);
        (void)snprintf(path, sizeof(path), "%s/%s-r%u.in", dir, gw_signal_name(signal), i);
        write_file(path, gw_buf_slice(&bytes));
    }
    gw_buf_clear(&bytes);
    return 0;
}

/* --rebuild SIGNAL FILE.in...: the columns as protobuf, to FILE.in.out, or the error to FILE.in.err */
static int rebuild_files(const char *name, char **paths)
{
    enum gw_signal signal = strcmp(name, "traces") == 0 ? GW_TRACES : strcmp(name, "logs") == 0 ? GW_LOGS : GW_METRICS;
    struct gw_batch *b = gw_batch_new(signal);
    char path[512];

    for (; *paths; paths++) {
        struct gw_slice in = read_file(*paths);
        struct gw_err err = {""};
        struct gw_arena arena;
        struct rebuild rb = {b, &arena};

        gw_batch_reset(b, signal);
        gw_arena_init(&arena, 1 << 16, SIZE_MAX);
        if (decode(b, in, &err) == 0) {
            (void)snprintf(path, sizeof(path), "%s.out", *paths);
            write_file(path, rb_pack(&rb, rb_all(&rb)));
        } else {
            (void)snprintf(path, sizeof(path), "%s.err", *paths);
            write_file(path, gw_slice_cstr(err.text));
        }
        gw_arena_clear(&arena);
        free((void *)(uintptr_t)in.p);
    }
    gw_batch_unref(b);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_equal_protobuf_c_on_every_field),
        cmocka_unit_test(test_unusual_encodings_decode_to_the_same),
    };

    if (argc == 4 && strcmp(argv[1], "--random") == 0)
        return write_random(argv[2], (unsigned)atoi(argv[3]));
    if (argc > 3 && strcmp(argv[1], "--rebuild") == 0)
        return rebuild_files(argv[2], argv + 3);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
