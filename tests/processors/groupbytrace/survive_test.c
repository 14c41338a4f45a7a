/* SPDX-License-Identifier: Apache-2.0 */
/* groupbytrace over the end of the process, with a storage, and over a crash, behind a journal. */
#include "tests/harness_lives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/keep.h"

static struct gw_tail_rig r;

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void begin(const char *settings)
{
    gw_lives_begin(&r, "groupbytrace", settings, 0, 1);
}

/*
 * Scenario    with a storage one trace has waited for 4 of 10 s, and two for 2; the process ends; another begins, and
 *             more of the first comes
 * Guarantees  nothing leaves at the end, and it counts as held; afterwards each trace leaves whole when its 10 s are
 *             over, a root of before counts, and a third life finds nothing
 */
static void what_waits_goes_on_waiting(void **state)
{
    static const char settings[] = "wait_duration: 10s\ndiscard_orphans: true\n";

    (void)state;
    begin(settings);
    gw_tail_send(&r, "1.1r 1.2");
    gw_tail_wait(&r, 2);
    gw_tail_send(&r, "2.1 3.1r");
    gw_tail_wait(&r, 2);
    gw_lives_leave(&r);
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(gw_tail_held(&r), 4);
    assert_int_equal((int)gw_lives_spans(&r, "written"), 4);
    assert_int_equal(gw_lives_count(".spool", NULL), 1);
    gw_tail_close(&r);

    begin(settings);
    gw_tail_send(&r, "1.3");
    assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 4);
    assert_int_equal(gw_lives_count(".spool", NULL), 0);
    gw_tail_wait(&r, 5);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "3.1");
    assert_string_equal(gw_tail_drops(&r), "discard_orphans=1");
    gw_lives_end(&r);

    begin(settings);
    gw_tail_wait(&r, 20);
    assert_string_equal(gw_tail_out(&r), "");
    gw_lives_end(&r);
}

/*
 * Scenario    40 traces of two workers; then of three; then of one, which has room for ten
 * Guarantees  each span is at the worker that its trace id says, and in the end all have left once; the oldest make
 * room
 */
static void workers_share_anew(void **state)
{
    struct gw_tail_rig w[3];
    char spans[32];
    uint64_t n = 0;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        gw_lives_begin(&w[i], "groupbytrace", "wait_duration: 1h\n", i, 2);
    for (unsigned i = 1; i <= 40; i++) {
        (void)snprintf(spans, sizeof(spans), "%u.1", i);
        gw_tail_send(&w[i % 2], spans);
    }
    for (unsigned i = 0; i < 2; i++)
        gw_lives_leave(&w[i]);
    for (unsigned i = 2; i-- > 0;)
        gw_tail_close(&w[i]);
    for (unsigned i = 0; i < 3; i++)
        gw_lives_begin(&w[i], "groupbytrace", "wait_duration: 1h\n", i, 3);
    for (unsigned i = 0; i < 3; i++) {
        gw_tail_wait(&w[i], 1);
        assert_true(gw_tail_held(&w[i]) > 5);
        n += gw_tail_held(&w[i]);
        assert_int_equal(w[i].n_rows, 0);
    }
    assert_int_equal(n, 40);
    for (unsigned i = 0; i < 3; i++)
        gw_lives_leave(&w[i]);
    for (unsigned i = 3; i-- > 0;)
        gw_tail_close(&w[i]);

    begin("wait_duration: 1h\nnum_traces: 10\n");
    gw_tail_wait(&r, 1);
    assert_int_equal(r.n_rows, 30);
    assert_int_equal(gw_tail_held(&r), 10);
    gw_tail_wait(&r, 7200);
    assert_int_equal(r.n_rows, 40);
    gw_lives_end(&r);
}

/*
 * Scenario    a trace of 12,000 spans; the next process has room for a part of it
 * Guarantees  what is there leaves to make room, the rest waits or leaves, and each span is there once
 */
static void a_long_trace_is_taken_up_in_parts(void **state)
{
    static uint8_t seen[12001];

    (void)state;
    begin("");
    for (unsigned i = 0; i < 12; i++)
        gw_tail_send_many(&r, 1, 1 + i * 1000, 1000, 200);
    gw_lives_end(&r);
    begin("max_bytes: 1048576\n");
    gw_tail_wait(&r, 1);
    assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 12000);
    gw_tail_wait(&r, 5);
    assert_int_equal(r.n_rows, 12000);
    for (unsigned i = 0; i < r.n_rows; i++)
        assert_int_equal(seen[r.rows[i].span]++, 0);
    gw_lives_end(&r);
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
 * Scenario    the end without a storage, with one whose gateway stays, with one whose disk is full; an instance that is
 *             destroyed before it was drained
 * Guarantees  what waits leaves with what is there; of the last, it is on disk
 */
static void what_is_not_spooled_leaves(void **state)
{
    (void)state;
    gw_tail_open_as(&r, "groupbytrace", "");
    gw_tail_send(&r, "1.1 2.1");
    gw_lives_leave(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 2.1");
    gw_tail_close(&r);

    begin("");
    gw_tail_send(&r, "1.1 2.1");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 2.1");
    gw_tail_close(&r);

    begin("");
    r.p.te.ops.disk_space = full;
    gw_tail_send(&r, "1.1 2.1");
    gw_lives_leave(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 2.1");
    assert_true(gw_test_env_logged(&r.p.te, "2 spans that wait leave now"));
    assert_int_equal(gw_tail_held(&r), 0);
    gw_tail_close(&r);
    assert_int_equal(gw_lives_count(".spool", NULL), 0);

    begin("");
    gw_tail_send(&r, "1.1 2.1");
    gw_lives_is_leaving = true;
    gw_tail_close(&r);
    assert_int_equal(gw_lives_count(".spool", NULL), 1);
}

/* ---- a crash ---------------------------------------------------------------------------------------------- */

#define STEP GW_KEEP_STEP_NS
#define T(n) (1000 * STEP + (n)*STEP)

static bool odd_alone;

static bool owns(void *arg, const uint8_t id[16])
{
    (void)arg;
    return !odd_alone || id[15] % 2;
}

static int restore(const struct gw_buf *record)
{
    static const struct gw_keep_owner owner = {.owns = owns};

    return r.p.component->keep->restore(r.p.self, gw_buf_slice(record), &owner);
}

static void open_kept(const char *settings)
{
    odd_alone = false;
    gw_tail_open_as(&r, "groupbytrace", settings);
    assert_int_equal(r.p.component->keep->begin(r.p.self), 0);
}

static void step(uint64_t ns)
{
    gw_tail_advance(&r, ns, false);
}

/*
 * Scenario    1 and 2 wait for 1 s, 3 for 0.5 s less; hours pass for the process; 1 and 2 leave; a late span of 1
 * Guarantees  only the log's time decides; what is due is told, and since when the oldest waits; late ones wait anew
 */
static void time_is_the_logs(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept("");
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), UINT64_MAX);
    step(T(0));
    gw_tail_send(&r, "1.1 2.1 0.1");
    assert_string_equal(gw_tail_out(&r), "0.1");
    step(T(5));
    gw_tail_send(&r, "3.1 1.2");
    assert_int_equal(gw_tail_save(&r, false, &out), T(0));
    assert_int_equal(out.n, 0); /* nothing has left */
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), T(10));
    gw_tail_wait(&r, 3600);
    assert_string_equal(gw_tail_out(&r), "");
    step(T(10));
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 2.1");
    assert_int_equal(r.received_ns, T(0));
    gw_tail_send(&r, "1.3");
    assert_int_equal(gw_tail_save(&r, false, &out), T(5));
    step(T(15));
    assert_string_equal(gw_tail_out(&r), "3.1");
    step(T(20));
    assert_string_equal(gw_tail_out(&r), "1.3");
    assert_int_equal(gw_tail_save(&r, false, &out), UINT64_MAX);
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    1 and 2 leave at step 10, in which 1 gets another span; 3 waits; the process is gone, and the next one
 *             reads all of it again; so does one that restores the odd ones alone
 * Guarantees  what left is left out, what waited waits and leaves at its time; of others' records nothing is known
 */
static void what_left_does_not_leave_again(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept("");
    step(T(0));
    gw_tail_send(&r, "1.1 2.1");
    step(T(5));
    gw_tail_send(&r, "3.1 1.2");
    step(T(10));
    gw_tail_send(&r, "1.3");
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 2.1");
    (void)gw_tail_save(&r, true, &out);
    gw_tail_close(&r);

    for (unsigned i = 0; i < 2; i++) {
        open_kept("");
        odd_alone = i;
        assert_int_equal(restore(&out), 0);
        gw_tail_advance(&r, T(0), true);
        gw_tail_send(&r, "1.1 2.1 0.1");
        gw_tail_advance(&r, T(5), true);
        gw_tail_send(&r, "3.1 1.2");
        gw_tail_advance(&r, T(10), true);
        gw_tail_send(&r, "1.3");
        assert_string_equal(gw_tail_out(&r), "");
        assert_string_equal(gw_tail_drops(&r), i ? "decided_before=3" : "decided_before=4"); /* 0.1, too */
        assert_int_equal(gw_tail_held(&r), 2 + i);
        step(T(11));
        step(T(15));
        assert_string_equal(gw_tail_out(&r), i ? "2.1 | 3.1" : "3.1");
        step(T(20));
        assert_string_equal(gw_tail_out(&r), "1.3");
        gw_tail_close(&r);
    }
    gw_buf_clear(&out);
}

/*
 * Scenario    room for two traces; three come in one step, and more of the first; a crash, and another one
 * Guarantees  when the step has ended the oldest leaves, the first by its id, with all of it; not again after a crash;
 *             what comes of it then waits anew
 */
static void a_full_house_is_looked_at_when_a_step_has_ended(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept("num_traces: 2\n");
    step(T(0));
    gw_tail_send(&r, "3.1 2.1 1.1");
    gw_tail_send(&r, "1.2");
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), 0);
    step(T(1));
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    (void)gw_tail_save(&r, true, &out);
    gw_tail_close(&r);
    for (unsigned i = 0; i < 2; i++) {
        open_kept("num_traces: 2\n");
        assert_int_equal(restore(&out), 0);
        gw_tail_advance(&r, T(0), true);
        gw_tail_send(&r, "3.1 2.1 1.1");
        gw_tail_send(&r, "1.2");
        assert_string_equal(gw_tail_drops(&r), "decided_before=2");
        step(T(1));
        gw_buf_reset(&out);
        (void)gw_tail_save(&r, true, &out);
        step(T(10));
        assert_string_equal(gw_tail_out(&r), "2.1 3.1");
        gw_tail_send(&r, "1.3");
        step(T(20));
        assert_string_equal(gw_tail_out(&r), "1.3");
        gw_tail_close(&r);
    }
    gw_buf_clear(&out);
}

/*
 * Scenario    two traces wait; there is no memory for a third, nor for the others beside it; more of the first comes in
 *             this step; a crash
 * Guarantees  the oldest leave at once, and what comes of them in this step, for nobody could tell it from the rest;
 *             nothing leaves again
 */
static void what_made_room_takes_its_step_along(void **state)
{
    struct gw_buf out;
    unsigned n;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept("");
    step(T(0));
    gw_tail_send(&r, "1.1 2.1");
    atomic_store(&r.p.memory.soft_bytes, 0);
    gw_tail_send_many(&r, 3, 1, 600, 2000);
    atomic_store(&r.p.memory.soft_bytes, 100 << 20);
    assert_int_equal(gw_tail_held(&r) + r.n_rows, 602);
    assert_non_null(strstr(gw_tail_out(&r), "1.1"));
    gw_tail_send(&r, "1.2");
    assert_string_equal(gw_tail_out(&r), "1.2");
    step(T(1));
    (void)gw_tail_save(&r, true, &out);
    n = r.n_rows;
    gw_tail_close(&r);

    open_kept("");
    assert_int_equal(restore(&out), 0);
    gw_tail_advance(&r, T(0), true);
    gw_tail_send(&r, "1.1 2.1");
    gw_tail_send_many(&r, 3, 1, 600, 2000);
    gw_tail_send(&r, "1.2");
    step(T(1));
    step(T(20));
    assert_int_equal(r.n_rows + n, 603);
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    the end behind a journal, with a storage and without; a reload behind a journal
 * Guarantees  nothing leaves, the journal has it, and there is no spool; the successor goes on by the log's time
 */
static void the_journal_has_what_waits(void **state)
{
    struct gw_tail_rig heir;

    (void)state;
    begin("");
    assert_int_equal(r.p.component->keep->begin(r.p.self), 0);
    step(T(0));
    gw_tail_send(&r, "1.1 2.1");
    gw_lives_end(&r);
    assert_int_equal(gw_lives_count("spool", NULL), 0);

    open_kept("");
    step(T(0));
    gw_tail_send(&r, "1.1 2.1");
    gw_tail_open_as(&heir, "groupbytrace", "wait_duration: 5s\n");
    assert_int_equal(heir.p.component->adopt(heir.p.self, r.p.self), 0);
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_close(&r);
    gw_tail_wait(&heir, 100);
    assert_string_equal(gw_tail_out(&heir), "");
    gw_tail_advance(&heir, T(10), false);
    assert_string_equal(gw_tail_out(&heir), "1.1 2.1");
    gw_tail_send(&heir, "3.1");
    gw_tail_drain(&heir);
    assert_string_equal(gw_tail_out(&heir), "");
    assert_string_equal(gw_tail_drops(&heir), "in_journal=1");
    gw_tail_close(&heir);
}

/*
 * Scenario    a record that ends at any byte, and one of which any byte is another
 * Guarantees  a cut between entries is a shorter record, any other is refused; nothing is read that is not there
 */
static void a_damaged_record_is_refused(void **state)
{
    unsigned n_whole = 0;
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept("");
    step(T(0));
    gw_tail_send(&r, "1.1 2.1");
    step(T(10));
    (void)gw_tail_save(&r, true, &out);
    gw_tail_close(&r);
    for (size_t n = 0; n <= 2 * out.n; n++) {
        uint8_t *exact = malloc(out.n);
        size_t len = n < out.n ? n : out.n;
        struct gw_buf b = {.p = exact, .n = len};
        int rc;

        memcpy(exact, out.p, out.n);
        if (n > out.n)
            exact[n - out.n - 1] ^= 0xff;
        exact = b.p = realloc(exact, len ? len : 1); /* so that a byte more is seen */
        open_kept("");
        rc = restore(&b);
        assert_true(rc == 0 || rc == -EBADMSG);
        n_whole += rc == 0 && n <= out.n;
        gw_tail_close(&r);
        free(exact);
    }
    assert_int_equal(n_whole, 4); /* nothing, the worker, and behind each of the two */
    gw_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_goes_on_waiting, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(workers_share_anew, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(a_long_trace_is_taken_up_in_parts, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_spooled_leaves, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test(time_is_the_logs),
        cmocka_unit_test(what_left_does_not_leave_again),
        cmocka_unit_test(a_full_house_is_looked_at_when_a_step_has_ended),
        cmocka_unit_test(what_made_room_takes_its_step_along),
        cmocka_unit_test_setup_teardown(the_journal_has_what_waits, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test(a_damaged_record_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
