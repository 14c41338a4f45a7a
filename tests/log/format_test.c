/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of docs/formats/log.md: what an older version wrote must be read for ever. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk;

/* A consumer, a position, a producer, three frames, some of their rows settled, and the end. */
static void write_all_kinds(struct world *w)
{
    uint32_t id;
    struct gw_log_producer p;
    struct gw_log_frame f[2] = {{.rows = 10,
                                 .time_ns = 1000,
                                 .signal = 1,
                                 .topic = 2,
                                 .partition = 3,
                                 .meta = GW_SLICE("tenant"),
                                 .body = GW_SLICE("first body")},
                                {.rows = 20, .time_ns = 2000, .signal = 2, .body = GW_SLICE("second")}};
    struct gw_log_settle s = {
        .outcome = GW_LOG_REJECTED, .seq = 1, .last_seq = 1, .first_row = 5, .rows = 2, .frame_rows = 20};
    struct gw_log_position pos = {.partition = 3, .next_seq = 1, .note = GW_SLICE("note")};

    world_open(w);
    assert_int_equal(gw_log_consumer_open(w->log, "es", GW_LOG_FROM_FIRST, &id), 0);
    assert_int_equal(gw_log_producer(w->log, "graph", &p), 0);
    assert_int_equal(world_commit(w, (struct gw_log_commit){.frames = f, .n_frames = 2, .producer = p, .sync = true}),
                     0);
    s.consumer = pos.consumer = id;
    assert_int_equal(
        world_commit(
            w,
            (struct gw_log_commit){
                .frames = &f[1], .n_frames = 1, .settles = &s, .n_settles = 1, .positions = &pos, .n_positions = 1}),
        0);
    world_close(w);
}

static void *read_golden(size_t *n)
{
    static char text[64 << 10];
    uint8_t *p;
    FILE *f = fopen(GW_SOURCE_DIR "/tests/log/segment.hex", "rb");

    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    (void)fclose(f);
    gw_hex(text, &p, n);
    return p;
}

static void print_hex(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%02x%c", p[i], i % 32 == 31 ? '\n' : ' ');
    printf("\n");
}

/* Guarantees: the same calls give the same bytes as ever. */
static void a_segment_is_byte_for_byte_as_it_was(void **state)
{
    struct world w;
    size_t n, n_golden;
    uint8_t *p, *golden = read_golden(&n_golden);

    (void)state;
    world_init_on(&w, &disk);
    write_all_kinds(&w);
    p = gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n);
    if (n != n_golden || memcmp(p, golden, n) != 0)
        print_hex(p, n);
    assert_int_equal(n, n_golden);
    assert_memory_equal(p, golden, n);
    free(golden);
    world_clear(&w);
}

/* Guarantees: a file of that time is read as it was meant. */
static void what_was_written_then_is_read_now(void **state)
{
    struct world w;
    size_t n;
    uint8_t *golden = read_golden(&n);
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct gw_log_consumer c;
    uint64_t next;

    (void)state;
    world_init_on(&w, &disk);
    gw_simdisk_put(&disk, "q/00000000000000000001.log", golden, n);
    world_open(&w);
    assert_int_equal(world_stats(&w).end_seq, 3);
    assert_int_equal(world_stats(&w).end_row, 50);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.topic, 2);
    assert_int_equal(e.frame.partition, 3);
    assert_int_equal(e.frame.time_ns, 1000);
    assert_true(gw_slice_is(e.frame.meta, "tenant"));
    assert_true(gw_slice_is(e.frame.body, "first body"));
    gw_log_reader_free(r);
    c = world_consumer(&w, 1);
    assert_string_equal(c.name, "es");
    assert_int_equal(c.settled[GW_LOG_REJECTED], 2);
    assert_int_equal(gw_log_position(w.log, 1, 3, &next, NULL, NULL), 0);
    assert_int_equal(next, 1);
    free(golden);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_is_byte_for_byte_as_it_was),
        cmocka_unit_test(what_was_written_then_is_read_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
