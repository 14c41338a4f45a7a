/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling with a storage, over the end of the process: each rig is one life of a worker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness_lives.h"

#define S 1000000000ull

/* ---- lives ------------------------------------------------------------------------------------------------ */

static void begin_as(struct gw_tail_rig *r, const char *settings, unsigned worker, unsigned n_workers)
{
    gw_lives_begin(r, "tail_sampling", settings, worker, n_workers);
}

static void begin(struct gw_tail_rig *r, const char *settings)
{
    begin_as(r, settings, 0, 1);
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static struct gw_buf read_spool(char name[300])
{
    struct gw_buf b;
    FILE *f;

    assert_int_equal(gw_lives_count(".spool", name), 1);
    gw_buf_init(&b, 64 << 20);
    assert_int_equal(gw_buf_reserve(&b, 64 << 20), 0);
    f = fopen(gw_lives_path(name), "rb");
    assert_non_null(f);
    b.n = fread(b.p, 1, 64 << 20, f);
    (void)fclose(f);
    return b;
}

static void write_file(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(gw_lives_path(name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    (void)fclose(f);
}

static double damaged_files(struct gw_tail_rig *r)
{
    return gw_proc_metric(&r->p, "staunch_spool_damaged_files{component=\"tail_sampling\",pipeline=\"traces\"}");
}

/* ---- once ------------------------------------------------------------------------------------------------- */

/*
 * Scenario: with a storage three traces wait, the oldest for 20 of 30 s; the process ends; another begins
 * Guarantees: nothing leaves at the end, and all of it counts as held; afterwards each is decided when its 30 s are
 * over, by all of its spans, those from before and those that come later; the file is gone, and a third life finds
 *             nothing
 */
static void what_waits_goes_on_waiting(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "");
    gw_tail_send(&r, "1.1r 2.1e");
    gw_tail_wait(&r, 20);
    gw_tail_send(&r, "3.1 1.2s2");
    gw_lives_leave(&r);
    assert_string_equal(gw_tail_out(&r), "");
    assert_string_equal(gw_tail_drops(&r), "");
    assert_int_equal(gw_tail_held(&r), 4);
    assert_int_equal((int)gw_lives_spans(&r, "written"), 4);
    assert_int_equal(gw_lives_count(".spool", NULL), 1);
    gw_tail_close(&r);

    begin(&r, "");
    gw_tail_send(&r, "1.3e");
    assert_int_equal(gw_lives_count("", NULL), 2); /* . and .. */
    assert_int_equal(gw_tail_held(&r), 5);
    assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 4);
    gw_tail_wait(&r, 9);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1 1.3 2.1 1.2");
    gw_tail_wait(&r, 18);
    assert_string_equal(gw_tail_drops(&r), "");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(gw_tail_held(&r), 0);
    gw_lives_end(&r);

    begin(&r, "");
    gw_tail_wait(&r, 40);
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 0);
    gw_lives_end(&r);
}

/*
 * Scenario: the end, without a storage, and with one whose gateway stays (the processor leaves with a reload)
 * Guarantees: what waits is decided with what is there
 */
static void what_is_not_spooled_is_decided(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    gw_lives_is_leaving = true;
    gw_tail_open(&r, "");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1");
    gw_tail_close(&r);

    begin(&r, "");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1");
    assert_int_equal(gw_lives_count(".spool", NULL), 0);
    gw_tail_close(&r);
}

/*
 * Scenario: the gateway cannot wait any longer and destroys an instance that was never drained; one that came up after
 *           another had claimed what was there
 * Guarantees: what they have is on disk, and taken up once
 */
static void who_is_cut_short_spools_too(void **state)
{
    struct gw_tail_rig r, other;

    (void)state;
    begin(&r, "");
    gw_tail_send(&r, "1.1e 2.1");
    gw_lives_is_leaving = true;
    gw_tail_close(&r);
    assert_int_equal(gw_lives_count(".spool", NULL), 1);

    begin_as(&r, "", 0, 2);
    begin_as(&other, "", 1, 2);
    gw_tail_wait(&r, 1);
    gw_lives_is_leaving = true;
    gw_tail_close(&other);
    gw_tail_close(&r);

    begin(&r, "");
    gw_tail_wait(&r, 40);
    assert_string_equal(gw_tail_out(&r), "1.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    gw_lives_end(&r);
}

/* ---- what is remembered ----------------------------------------------------------------------------------- */

#define ALWAYS_AND_DROP                                                                                                \
    "policies: [{name: all, type: status_code, status_code: {status_codes: [ERROR]}}, {name: no, type: drop, drop: "   \
    "{drop_sub_policy: [{name: ok, type: status_code, status_code: {status_codes: [OK]}}]}}]\nreason_attribute: why\n"

/*
 * Scenario: one trace kept, one dropped by name, one not kept; the process ends 5 s later; late spans come to the next
 * Guarantees: they follow, with the policy's name and the drop's reason, and are as late as they are
 */
static void decisions_are_remembered(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "decision_wait: 1s\n" ALWAYS_AND_DROP);
    gw_tail_send(&r, "1.1e 2.1o 3.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1{why=all}");
    gw_tail_wait(&r, 5);
    gw_lives_end(&r);

    begin(&r, "decision_wait: 1s\n" ALWAYS_AND_DROP);
    gw_tail_send(&r, "1.2 2.2 3.2 4.2");
    assert_string_equal(gw_tail_out(&r), "1.2{why=all}");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1 no=1");
    assert_int_equal(gw_tail_held(&r), 1);
    assert_true(gw_tail_metric(&r, "sampling_late_span_age_count") == 3);
    gw_lives_end(&r);
}

/*
 * Scenario: follow_links: a kept trace linked to another one; then the end; the other one comes, and one that waited
 * Guarantees: both are kept for the link's sake
 */
static void links_are_remembered(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "decision_wait: 2s\nfollow_links: true\n");
    gw_tail_send(&r, "1.1el2 1.2l3");
    gw_tail_wait(&r, 1);
    gw_tail_send(&r, "3.1 4.1");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    gw_lives_end(&r);

    begin(&r, "decision_wait: 2s\nfollow_links: true\n");
    gw_tail_send(&r, "2.1");
    gw_tail_wait(&r, 4);
    assert_string_equal(gw_tail_out(&r), "3.1 | 2.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    gw_lives_end(&r);
}

#define FOUR_A_SECOND                                                                                                  \
    "decision_wait: 1s\npolicies: [{name: some, type: rate_limiting, rate_limiting: {spans_per_second: 4}}]\n"

/*
 * Scenario: a limiter whose bucket of 8 spans has spent 7; the process ends and another begins within the same second
 * Guarantees: one is left, not eight
 */
static void limiters_stay_as_full_as_they_were(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, FOUR_A_SECOND);
    gw_tail_send(&r, "1.1 1.2 1.3 1.4 1.5 1.6 1.7");
    gw_test_env_advance(&r.p.te, 2 * S);
    (void)gw_tail_tick(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3 1.4 1.5 1.6 1.7");
    gw_tail_send(&r, "2.1 2.2 3.1");
    gw_lives_end(&r);

    begin(&r, FOUR_A_SECOND);
    (void)gw_tail_tick(&r);
    assert_int_equal(gw_tail_held(&r), 3);
    gw_test_env_advance(&r.p.te, S);
    (void)gw_tail_tick(&r); /* by the wall clock 1 s before the first life had its last */
    assert_string_equal(gw_tail_out(&r), "3.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    gw_lives_end(&r);
}

/* ---- other settings --------------------------------------------------------------------------------------- */

#define LONG_ONES "policies: [{name: long, type: latency, latency: {threshold_ms: 500}}]\n"

/*
 * Scenario: traces wait for policies about errors; the next process has one about latency
 * Guarantees: its word counts, about spans from before and from after
 */
static void changed_policies_decide(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "");
    gw_tail_send(&r, "1.1e 2.1d600 3.1e 4.1d400");
    gw_lives_end(&r);
    begin(&r, LONG_ONES);
    gw_tail_send(&r, "3.2d700");
    gw_tail_wait(&r, 31);
    assert_string_equal(gw_tail_out(&r), "2.1 3.1 3.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    gw_lives_end(&r);
}

/*
 * Scenario: traces wait of which nobody wants to know how large they are, but the next process has a limit
 * Guarantees: it goes by the spans from before, too
 */
static void bytes_are_counted_later(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "");
    gw_tail_send_many(&r, 1, 1, 3, 1000);
    gw_tail_send(&r, "2.1e");
    gw_lives_end(&r);
    begin(&r, "maximum_trace_size_bytes: 3000\n");
    gw_tail_send(&r, "1.4e 2.2");
    assert_string_equal(gw_tail_drops(&r), "trace_too_large=4");
    gw_tail_wait(&r, 31);
    assert_string_equal(gw_tail_out(&r), "2.1 2.2");
    gw_lives_end(&r);
}

/*
 * Scenario: under a limit of bytes a trace of 3 KB waits over the end of a process, and one of less comes after it,
 * each with one more span Guarantees: the limit sees all of a trace, also what came before; what fits goes on
 */
static void limits_see_bytes_from_before(void **state)
{
    static const char settings[] = "decision_wait: 30s\npolicies: [{name: small, type: bytes_limiting, bytes_limiting: "
                                   "{bytes_per_second: 2000, burst_capacity: 2000}}]\n";
    struct gw_tail_rig r;

    (void)state;
    begin(&r, settings);
    gw_tail_send_many(&r, 1, 1, 3, 1000);
    gw_tail_send_many(&r, 2, 1, 1, 1000);
    gw_lives_end(&r);
    begin(&r, settings);
    gw_tail_send(&r, "1.4 2.2");
    gw_tail_wait(&r, 31);
    assert_string_equal(gw_tail_out(&r), "2.1 2.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=4");
    gw_lives_end(&r);
}

/*
 * Scenario: 40 traces of two workers; then of three; then of one
 * Guarantees: each span is at one worker, the one that its trace id says, and in the end all are there once
 */
static void workers_share_anew(void **state)
{
    struct gw_tail_rig r[3];
    char spans[32];
    unsigned n = 0, mine[3];

    (void)state;
    begin_as(&r[0], "", 0, 2);
    begin_as(&r[1], "", 1, 2);
    for (unsigned i = 1; i <= 40; i++) {
        (void)snprintf(spans, sizeof(spans), "%u.1e", i);
        gw_tail_send(&r[i % 2], spans); /* whoever has it writes it */
    }
    gw_lives_leave(&r[0]);
    gw_lives_leave(&r[1]);
    gw_tail_close(&r[1]);
    gw_tail_close(&r[0]);
    assert_int_equal(gw_lives_count(".spool", NULL), 2);

    for (unsigned w = 0; w < 3; w++)
        begin_as(&r[w], "", w, 3);
    for (unsigned w = 0; w < 3; w++) {
        gw_tail_wait(&r[w], 1);
        n += mine[w] = (unsigned)gw_tail_held(&r[w]);
        assert_true(mine[w] > 5);
    }
    assert_int_equal(n, 40);
    for (unsigned w = 0; w < 3; w++)
        gw_lives_leave(&r[w]);
    for (unsigned w = 3; w-- > 0;)
        gw_tail_close(&r[w]);

    for (unsigned w = 0; w < 3; w++) { /* as many: each has its own file */
        begin_as(&r[w], "", w, 3);
    }
    for (unsigned w = 0; w < 3; w++) {
        gw_tail_wait(&r[w], 1);
        assert_int_equal(gw_tail_held(&r[w]), mine[w]);
        gw_lives_leave(&r[w]);
    }
    for (unsigned w = 3; w-- > 0;)
        gw_tail_close(&r[w]);

    begin(&r[0], "");
    gw_tail_wait(&r[0], 40);
    assert_int_equal(r[0].n_rows, 40);
    gw_lives_end(&r[0]);
}

/*
 * Scenario: ten traces wait, the next process has room for four; twenty of 100 KiB, and room for 1 MiB
 * Guarantees: the oldest are decided as they are taken up, and nothing is lost
 */
static void less_room_decides_the_oldest(void **state)
{
    struct gw_tail_rig r;

    (void)state;
    begin(&r, "");
    for (unsigned i = 1; i <= 10; i++) {
        char spans[32];

        (void)snprintf(spans, sizeof(spans), "%u.1e", i);
        gw_tail_send(&r, spans);
        gw_tail_wait(&r, 1);
    }
    gw_lives_end(&r);
    begin(&r, "num_traces: 4\n");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "1.1 2.1 3.1 4.1 5.1 6.1");
    assert_int_equal(gw_tail_held(&r), 4);
    gw_lives_end(&r);

    begin(&r, "");
    for (unsigned i = 11; i <= 30; i++)
        gw_tail_send_many(&r, i, 1, 30, 3400);
    gw_lives_end(&r);
    begin(&r, "max_bytes: 1048576\npolicies: [{name: all, type: always_sample}]\n");
    gw_tail_wait(&r, 1);
    assert_true(r.n_rows > 300 && gw_tail_held(&r) > 60);
    assert_int_equal(r.n_rows + gw_tail_held(&r), 604);
    gw_tail_wait(&r, 40);
    assert_int_equal(r.n_rows, 604);
    gw_lives_end(&r);
}

/*
 * Scenario: one trace of 12,000 spans in several parts; the next process has room for a part of it
 * Guarantees: it is decided, the rest follows, and each span is there once
 */
static void a_long_trace_is_taken_up_in_parts(void **state)
{
    static uint8_t seen[12001];
    struct gw_tail_rig r;

    (void)state;
    for (unsigned room = 0; room < 2; room++) {
        memset(seen, 0, sizeof(seen));
        begin(&r, "");
        for (unsigned i = 0; i < 12; i++)
            gw_tail_send_many(&r, 1 + room, 1 + i * 1000, 1000, 200); /* the other one is decided */
        gw_lives_end(&r);
        begin(&r, room ? "max_bytes: 1048576\npolicies: [{name: all, type: always_sample}]\n"
                       : "policies: [{name: all, type: always_sample}]\n");
        gw_tail_wait(&r, 1);
        assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 12000);
        gw_tail_wait(&r, 40);
        assert_int_equal(r.n_rows, 12000);
        for (unsigned i = 0; i < r.n_rows; i++)
            assert_int_equal(seen[r.rows[i].span]++, 0);
        gw_lives_end(&r);
    }
}

/* ---- damage ----------------------------------------------------------------------------------------------- */

/* Five traces of two spans. */
static struct gw_buf make_spool(char name[300])
{
    struct gw_tail_rig r;

    begin(&r, "");
    gw_tail_send(&r, "1.1e 1.2 2.1e 2.2 3.1e 3.2");
    gw_tail_send(&r, "4.1e 4.2 5.1e 5.2");
    gw_lives_end(&r);
    return read_spool(name);
}

/* Whatever was done to it: traces are whole or not there, once, and what is missing is known or said to be unknown. */
static unsigned takes_up(const char *what, bool is_damaged)
{
    static uint8_t seen[6][3];
    struct gw_tail_rig r;
    unsigned n;

    memset(seen, 0, sizeof(seen));
    begin(&r, "");
    gw_tail_wait(&r, 40);
    n = r.n_rows;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(seen[r.rows[i].trace][r.rows[i].span]++, 0);
    for (unsigned i = 1; i < 6; i++)
        assert_int_equal(seen[i][1], seen[i][2]);
    if (is_damaged) {
        assert_int_equal(gw_lives_count(".damaged", NULL), 1);
        assert_true(damaged_files(&r) == 1);
        assert_true(gw_test_env_logged(&r.p.te, "set aside as"));
        if (gw_lives_spans(&r, "lost") != 10 - n && !gw_test_env_logged(&r.p.te, "nobody knows"))
            fail_msg("%s: %u spans, %.0f lost", what, n, gw_lives_spans(&r, "lost"));
    }
    assert_int_equal(gw_lives_count(".spool", NULL) + gw_lives_count(".part", NULL), 0);
    gw_lives_end(&r);
    return n;
}

static void clean(void)
{
    char name[300];

    while (gw_lives_count(".damaged", name) || gw_lives_count(".spool", name))
        assert_int_equal(unlink(gw_lives_path(name)), 0);
}

/*
 * Scenario: the file ends anywhere, under its name or as one that was being written
 * Guarantees: the whole traces before are taken up; it is set aside, named and counted; the more is there, the more is
 *             taken up
 */
static void a_torn_file_gives_what_is_whole(void **state)
{
    char name[300], part[300];
    struct gw_buf b = make_spool(name);
    unsigned last = 0;

    (void)state;
    (void)snprintf(part, sizeof(part), "%.*s.part", (int)(strlen(name) - 6), name);
    clean();
    for (size_t n = 1; n < b.n; n += n < 20 || n + 40 > b.n ? 1 : 37) {
        unsigned got;

        write_file(n % 2 ? name : part, b.p, n);
        got = takes_up("torn", true);
        assert_true(got >= last);
        last = got;
        clean();
    }
    assert_int_equal(last, 10);
    write_file(name, b.p, b.n);
    assert_int_equal(takes_up("whole", false), 10);
    clean();
    write_file(part, b.p, 0);
    assert_int_equal(takes_up("empty", false), 0);
    gw_buf_clear(&b);
}

/*
 * Scenario: one byte of the file is another one
 * Guarantees: as above; no more than one trace, or what is behind the damage, is missing
 */
static void a_flipped_bit_is_noticed(void **state)
{
    char name[300];
    struct gw_buf b = make_spool(name);
    unsigned most = 0, least = 10;

    (void)state;
    clean();
    for (size_t at = 0; at < b.n; at += 41) {
        unsigned n;

        b.p[at] ^= 0x10;
        write_file(name, b.p, b.n);
        b.p[at] ^= 0x10;
        n = takes_up("flipped", true);
        most = n > most ? n : most;
        least = n < least ? n : least;
        clean();
    }
    assert_int_equal(most, 10);
    assert_int_equal(least, 0);
    gw_buf_clear(&b);
}

/* ---- a disk that does not ---------------------------------------------------------------------------------- */

static ssize_t (*real_writev)(struct gw_file *f, const struct iovec *iov, int n);
static uint64_t room;

static ssize_t writev_in_room(struct gw_file *f, const struct iovec *iov, int n)
{
    struct iovec part = *iov;
    ssize_t done;

    (void)n;
    if (room == 0)
        return -ENOSPC;
    if (part.iov_len > room)
        part.iov_len = room;
    done = real_writev(f, &part, 1);
    room -= done > 0 ? (uint64_t)done : 0;
    return done;
}

static int no_sync(struct gw_file *f)
{
    (void)f;
    return -EIO;
}

static int no_rename(struct gw_env *env, const char *from, const char *to)
{
    (void)env;
    (void)from;
    (void)to;
    return -EROFS;
}

static int full(struct gw_env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    (void)env;
    (void)path;
    *ret_free = 1000;
    *ret_total = 1 << 20;
    return 0;
}

/*
 * Scenario: the disk is full at any byte, or before the first; it cannot be synced; the file cannot get its name
 * Guarantees: all that waits is decided as without a storage, the log says so, and nothing is found later
 */
static void without_a_disk_it_is_decided(void **state)
{
    struct gw_tail_rig r;
    unsigned n = 0;

    (void)state;
    for (uint64_t bytes = 0; n < 4; bytes += 131) {
        gw_lives_syncs = n == 1;
        begin(&r, "");
        gw_tail_send(&r, "1.1e 2.1 3.1e");
        real_writev = r.p.te.ops.file_writev;
        r.p.te.ops.file_writev = writev_in_room;
        room = n ? UINT64_MAX : bytes;
        if (n == 1)
            r.p.te.ops.file_sync = no_sync;
        if (n == 2)
            r.p.te.ops.file_rename = no_rename;
        if (n == 3)
            r.p.te.ops.disk_space = full;
        gw_lives_leave(&r);
        if (n == 0 && gw_lives_count(".spool", NULL)) { /* now there is room for all */
            assert_true(bytes > 500);
            n = 1;
            gw_tail_close(&r);
            clean();
            continue;
        }
        assert_string_equal(gw_tail_out(&r), "1.1 3.1");
        assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
        assert_int_equal(gw_tail_held(&r), 0);
        assert_true(gw_test_env_logged(&r.p.te, "3 spans that wait leave now"));
        assert_int_equal(gw_lives_count(".spool", NULL) + gw_lives_count(".part", NULL), 0);
        gw_tail_close(&r);
        n += n > 0;
    }
}

static int no_removal(struct gw_env *env, const char *path)
{
    (void)env;
    (void)path;
    return -EROFS;
}

/*
 * Scenario: at the start the file cannot be removed
 * Guarantees: it is not taken up, or it would be a second time; the log names it; the next start has it
 */
static void what_cannot_be_removed_is_left(void **state)
{
    char name[300];
    struct gw_buf b = make_spool(name);
    struct gw_tail_rig r;

    (void)state;
    gw_buf_clear(&b);
    begin(&r, "");
    r.p.te.ops.file_remove = no_removal;
    gw_tail_wait(&r, 40);
    assert_int_equal(r.n_rows, 0);
    assert_true(gw_test_env_logged(&r.p.te, "not taken up"));
    gw_lives_is_leaving = false;
    gw_tail_close(&r);
    assert_int_equal(takes_up("left", false), 10);
}

static void mistakes_are_named(void **state)
{
    struct gw_proc_rig r;

    (void)state;
    gw_proc_refuses("tail_sampling",
                    "storage: file_storage\ndrop_pending_traces_on_shutdown: true\n"
                    "policies: [{name: all, type: always_sample}]",
                    "one of them");
    assert_int_equal(
        gw_proc_configure(&r, "tail_sampling", "storage: other\npolicies: [{name: all, type: always_sample}]"), 0);
    assert_int_equal(gw_proc_start(&r, GW_TRACES), -ENOENT);
    assert_non_null(strstr(r.err.text, "\"other\""));
    gw_proc_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_goes_on_waiting, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_spooled_is_decided, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(who_is_cut_short_spools_too, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(decisions_are_remembered, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(links_are_remembered, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(limiters_stay_as_full_as_they_were, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(changed_policies_decide, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(bytes_are_counted_later, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(limits_see_bytes_from_before, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(workers_share_anew, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(less_room_decides_the_oldest, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(a_long_trace_is_taken_up_in_parts, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(a_torn_file_gives_what_is_whole, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_noticed, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(without_a_disk_it_is_decided, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_removed_is_left, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_named, gw_lives_setup, gw_lives_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
