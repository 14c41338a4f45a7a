/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log whose bytes have changed: cut at every byte of its last frames, each bit of it flipped, sectors that read as
 * zeros, garbage, older, or as another one. It always starts, takes new commits, gives no frame that was not appended,
 * and loses what was hit and nothing else; what is lost is counted.
 *
 * GW_DAMAGE_STRIDE=n flips every n-th bit only (61 unless told; 1: all), GW_SIM_SEEDS=n damages sectors n times.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "log/format.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"
#include "tests/harness_log.h"
#include "tests/harness_simdisk.h"

enum { MAX_FRAMES = 512, BODY = 4096 };

struct bed {
    struct gw_simdisk made, hit; /* as it was written; damaged */
    struct gw_log_files_conf conf;
    struct gw_log_frame frames[MAX_FRAMES];
    unsigned n_frames;
    uint64_t n_rows, fresh; /* frames at and behind it are none of those */
    uint32_t consumer;
    uint64_t ends[MAX_FRAMES]; /* of the group that a frame is in, in bytes of the last segment */
    uint8_t base[2 * BODY];
    bool seen[MAX_FRAMES];
};

static struct bed bed;

static struct gw_log *open_on(struct bed *b, struct gw_simdisk *d)
{
    struct gw_err err = {""};
    struct gw_log *l = NULL;

    b->conf = (struct gw_log_files_conf){.env = &d->env, .dir = "q", .segment_bytes = 64 << 10};
    if (gw_log_files_open(&b->conf, &l, &err) < 0)
        fail_msg("does not open: %s", err.text);
    return l;
}

/* n commits of up to three frames and a settlement each, synced or not. */
static void fill(struct bed *b, struct gw_log *l, unsigned n, uint32_t max_body, uint64_t *seed)
{
    for (unsigned i = 0; i < n; i++) {
        struct gw_test_commit t;
        unsigned n_frames = 1 + (unsigned)(gw_test_random(seed) % 3), first = b->n_frames;

        gw_test_commit_init(&t);
        t.c.sync = gw_test_random(seed) % 3 == 0;
        for (unsigned k = 0; k < n_frames; k++) {
            t.frames[t.c.n_frames++] = (struct gw_log_frame){
                .rows = 1 + (uint32_t)(gw_test_random(seed) % 5),
                .time_ns = i,
                .meta = gw_slice_of(b->base, gw_test_random(seed) % 40),
                .body = gw_slice_of(b->base + gw_test_random(seed) % BODY, 16 + gw_test_random(seed) % max_body)};
            assert_in_range(b->n_frames, 0, MAX_FRAMES - 1);
            b->n_frames++;
        }
        if (first > 0)
            gw_test_commit_settle(&t, b->consumer, gw_test_random(seed) % first, 0, 0, 0);
        assert_int_equal(gw_test_commit_go(&t, l), 0);
        for (unsigned k = 0; k < n_frames; k++) {
            b->frames[first + k] = t.frames[k];
            b->n_rows += t.frames[k].rows;
        }
    }
}

static void make(struct bed *b, unsigned n, uint32_t max_body, uint64_t seed)
{
    struct gw_log *l;

    memset(b, 0, sizeof(*b));
    gw_simdisk_init(&b->made, seed);
    gw_simdisk_init(&b->hit, seed);
    for (size_t i = 0; i < sizeof(b->base); i++)
        b->base[i] = (uint8_t)(1 + gw_test_random(&seed) % 255);
    l = open_on(b, &b->made);
    assert_int_equal(gw_log_consumer_open(l, "es", GW_LOG_FROM_FIRST, &b->consumer), 0);
    fill(b, l, n, max_body, &seed);
    gw_log_close(l);
}

static void clear(struct bed *b)
{
    gw_simdisk_clear(&b->made);
    gw_simdisk_clear(&b->hit);
}

struct judged {
    unsigned n_read; /* of what was appended */
    uint64_t lost_frames, lost_rows;
    struct gw_log_stats st;
};

/* Every frame that comes is one that was appended, each once and in order. */
static void read_all(struct bed *b, struct gw_log *l, struct judged *j)
{
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t next = 0;

    memset(b->seen, 0, sizeof(b->seen));
    assert_int_equal(gw_log_reader_new(l, &(struct gw_log_reader_conf){0}, &r), 0);
    while (gw_log_next(r, &e) == 1) {
        const struct gw_log_frame *f = &b->frames[e.frame.seq];

        assert_true(e.frame.seq >= next);
        next = e.frame.seq + 1;
        j->lost_frames += e.lost_frames;
        j->lost_rows += e.lost_rows;
        if (e.frame.seq >= b->n_frames || e.frame.seq >= b->fresh)
            continue;
        assert_true(e.frame.rows == f->rows && e.frame.row == f->row && e.frame.time_ns == f->time_ns);
        assert_true(gw_slice_eq(e.frame.body, f->body) && gw_slice_eq(e.frame.meta, f->meta));
        b->seen[e.frame.seq] = true;
        j->n_read++;
    }
    gw_log_reader_free(r);
}

/* Start from the damaged disk; all that must hold of any log. `again`: at the next start, too, with the same frames. */
static struct judged judge(struct bed *b, bool again)
{
    struct gw_log *l = open_on(b, &b->hit);
    struct judged j = {0}, k = {0};
    struct gw_log_consumer c;
    uint64_t sum;

    b->fresh = UINT64_MAX;
    read_all(b, l, &j);
    (void)gw_log_work(l); /* what the reader found damaged is written down */
    gw_log_stats(l, &j.st);
    b->fresh = gw_test_log_put(l, "fresh", 1);
    assert_int_equal(gw_log_consumer_open(l, "es", GW_LOG_FROM_FIRST, &b->consumer), 0); /* made anew if it was hit */
    c = gw_test_log_consumer(l, "es");
    sum = c.lost_rows;
    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++)
        sum += c.settled[o];
    assert_int_equal(sum, c.low_row + c.ahead_rows - c.first_row);
    gw_log_close(l);
    assert_true(gw_simdisk_is_quiet(&b->hit));
    if (!again)
        return j;
    l = open_on(b, &b->hit);
    read_all(b, l, &k);
    assert_int_equal(k.n_read, j.n_read);
    gw_log_close(l);
    return j;
}

static const char *last_segment(struct bed *b, struct gw_simdisk *d)
{
    const char *paths[64], *last = "";
    unsigned n = gw_simdisk_list(d, "q", paths, 64);

    (void)b;
    for (unsigned i = 0; i < n; i++)
        if (strstr(paths[i], ".log") && !strstr(paths[i], ".bad") && strcmp(paths[i], last) > 0)
            last = paths[i];
    return last;
}

/* Every prefix of the last segment: a start from it has all frames whose group is whole, and no others. */
static void cut_at_every_byte(void **state)
{
    struct bed *b = &bed;
    size_t n, had = 0;
    const uint8_t *p;
    char path[GW_SIMDISK_PATH];
    unsigned n_cuts = 0;

    (void)state;
    make(b, 8, 300, 5);
    (void)snprintf(path, sizeof(path), "%s", last_segment(b, &b->made));
    p = gw_simdisk_bytes(&b->made, path, &n);
    for (size_t cut = 0; cut <= n; cut++, n_cuts++) {
        struct judged j;

        gw_simdisk_kill(&b->hit, &b->made);
        gw_simdisk_put(&b->hit, path, p, cut);
        j = judge(b, cut % 64 == 0);
        assert_int_equal(j.n_read, j.st.end_seq);
        assert_true(j.n_read >= had); /* with more bytes never less */
        had = j.n_read;
    }
    assert_int_equal(had, b->n_frames);
    printf("%u prefixes of %zu bytes\n", n_cuts, n);
    clear(b);
}

/* Which frame's record, its header or what it holds, has this byte? UINT32_MAX: none. */
static unsigned frame_at(struct bed *b, const uint8_t *p, size_t n, size_t at)
{
    for (size_t off = GW_LF_RECORDS; off + GW_LF_HEAD <= n; off += 8) {
        uint64_t seq = gw_lf_get64(p + off + 24);
        size_t end = off + GW_LF_HEAD + gw_lf_get32(p + off + 16) + gw_lf_get32(p + off + 20);

        if (memcmp(p + off, "STRF", 4) == 0 && p[off + 4] == GW_LF_FRAME && at >= off && at < end)
            return seq < b->n_frames ? (unsigned)seq : UINT32_MAX;
    }
    return UINT32_MAX;
}

static void flip_bits(struct bed *b, unsigned stride)
{
    size_t n;
    char path[GW_SIMDISK_PATH];
    uint8_t *copy;
    uint64_t n_flips = 0, n_lost = 0;

    (void)snprintf(path, sizeof(path), "%s", last_segment(b, &b->made));
    copy = malloc(64 << 10);
    assert_non_null(copy);
    memset(copy, 0, 64 << 10);
    {
        const uint8_t *p = gw_simdisk_bytes(&b->made, path, &n);

        assert_in_range(n, 32 << 10, 64 << 10);
        memcpy(copy, p, n);
    }
    for (size_t bit = 0; bit < n * 8; bit += stride, n_flips++) {
        unsigned hit = frame_at(b, copy, n, bit / 8);
        struct judged j;

        gw_simdisk_kill(&b->hit, &b->made);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        gw_simdisk_put(&b->hit, path, copy, n);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        j = judge(b, n_flips % 64 == 0);
        if (j.n_read + 1 < b->n_frames || (j.n_read < b->n_frames && hit == UINT32_MAX))
            fail_msg("bit %zu of %zu: %u of %u frames are left", bit, n * 8, j.n_read, b->n_frames);
        for (unsigned i = 0; i < b->n_frames; i++)
            assert_true(b->seen[i] || i == hit || j.n_read + 1 == b->n_frames);
        assert_int_equal(j.st.lost_frames, b->n_frames - j.n_read);
        n_lost += b->n_frames - j.n_read;
    }
    printf("%llu bits of %zu bytes flipped: %llu frames hit, nothing else lost\n", (unsigned long long)n_flips, n,
           (unsigned long long)n_lost);
    free(copy);
}

static void each_bit_flipped(void **state)
{
    const char *stride = getenv("GW_DAMAGE_STRIDE");
    struct bed *b = &bed;

    (void)state;
    make(b, 87, 250, 9);
    flip_bits(b, stride ? (unsigned)strtoul(stride, NULL, 10) : 611);
    clear(b);
}

/* Several segments, several hits of all kinds. */
static void damage_seed(uint64_t seed)
{
    struct bed *b = &bed;
    uint64_t s = seed * 77;
    unsigned n_hits = 1 + (unsigned)(gw_test_random(&s) % 3);

    make(b, 60, 3000, seed);
    for (unsigned i = 0; i < 40; i++) {
        struct judged j;

        gw_simdisk_kill(&b->hit, &b->made);
        memcpy(b->hit.synced_old, b->made.synced_old, sizeof(b->made.synced_old));
        b->hit.n_synced_old = b->made.n_synced_old;
        for (unsigned k = 0; k < n_hits; k++)
            (void)gw_simdisk_damage(&b->hit, (enum gw_simdisk_damage)(gw_test_random(&s) % GW_SIMDISK_N_DAMAGES), &s);
        j = judge(b, i % 8 == 0);
        /* Two hits may meet: one takes the knowledge that what the other hit was synced. */
        if (n_hits > 1)
            continue;
        assert_true(j.n_read + 9 >= b->n_frames); /* a sector lies in at most as many frames as it has room for */
        /* Counted, unless it was the end, with the note that it was synced in the same sector. */
        assert_true(j.st.lost_frames == b->n_frames - j.n_read || j.st.end_seq < b->n_frames);
    }
    clear(b);
}

static void sectors_damaged(void **state)
{
    (void)state;
    gw_test_seeds(10, damage_seed);
}

/* Frames that cannot be read just now are not gone: who settles them hears that it could not be done. */
static void a_disk_that_cannot_be_read(void **state)
{
    struct bed *b = &bed;
    struct gw_test_commit t;
    struct gw_log *l;
    uint64_t before;

    (void)state;
    make(b, 20, 300, 3);
    l = open_on(b, &b->made);
    before = gw_test_log_consumer(l, "es").settled[GW_LOG_REJECTED];
    gw_test_commit_init(&t);
    gw_test_commit_settle(&t, b->consumer, b->n_frames - 1, 0, 0, 0);
    t.settles[0].outcome = GW_LOG_REJECTED;
    b->made.faults[GW_SIMDISK_READ] = (struct gw_simdisk_fault){-EIO, 1, UINT64_MAX};
    assert_int_equal(gw_test_commit_go(&t, l), -EIO);
    b->made.faults[GW_SIMDISK_READ] = (struct gw_simdisk_fault){0};
    assert_int_equal(gw_test_log_consumer(l, "es").settled[GW_LOG_REJECTED], before);
    assert_int_equal(gw_test_commit_go(&t, l), 0);
    assert_int_equal(gw_test_log_consumer(l, "es").settled[GW_LOG_REJECTED], before + b->frames[b->n_frames - 1].rows);
    gw_log_close(l);
    clear(b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(each_bit_flipped),
        cmocka_unit_test(sectors_damaged),
        cmocka_unit_test(a_disk_that_cannot_be_read),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
