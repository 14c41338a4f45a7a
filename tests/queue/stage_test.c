/* SPDX-License-Identifier: Apache-2.0 */
/* Views that are committed as one, together with how far their source was read (queue/wal.h). */
#include "tests/queue/durable_rig.h"

struct heard {
    unsigned n;
    int rc;
};

static void on_done(void *arg, int rc)
{
    struct heard *h = arg;

    h->n++;
    h->rc = rc;
}

static void begin(struct rig *r, uint32_t *places)
{
    set_up(r);
    start(r);
    assert_int_equal(gw_log_consumer_open(r->log, "#places", GW_LOG_FROM_END, places), 0);
    r->stage = gw_wal_stage_new(r->wal);
    assert_non_null(r->stage);
}

static struct gw_log_position place(uint32_t id, const char *note)
{
    return (struct gw_log_position){.consumer = id, .partition = 3, .note = {(const uint8_t *)note, strlen(note)}};
}

static uint64_t end_of(struct rig *r)
{
    struct gw_log_stats st;

    gw_log_stats(r->log, &st);
    return st.end_seq;
}

/* First names of the log's frames, one behind the other, and the note. */
static const char *log_of(struct rig *r, uint32_t id)
{
    static char text[256];
    struct gw_log_reader_conf conf = {0};
    uint64_t names[8], at;
    uint8_t note[64] = "";
    size_t n = sizeof(note), k = 0;
    struct gw_log_reader *in;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(r->log, &conf, &in), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(in, &e) == 1) {
        assert_true(gw_test_names(GW_LOGS, e.frame.body, names, 8) > 0);
        k += (size_t)snprintf(text + k, sizeof(text) - k, "%llu ", (unsigned long long)names[0]);
    }
    gw_log_reader_free(in);
    if (gw_log_position(r->log, id, 3, &at, note, &n) < 0)
        n = 0;
    (void)snprintf(text + k, sizeof(text) - k, "%.*s", (int)n, (const char *)note);
    return text;
}

/*
 * Scenario    views wait; a commit fails, twice, while others come; then the log takes it, and the next
 * Guarantees  nothing is in the log before, nor anything of a commit that failed; it is committed again in its order,
 *             before what came since; its exporter has all of it; the places are those of the last commit
 */
static void what_failed_is_committed_again_first(void **state)
{
    struct heard h = {0};
    struct gw_log_position at;
    struct rig r;
    uint32_t id;

    (void)state;
    begin(&r, &id);
    put(&r, 10, 2);
    put(&r, 20, 1);
    turn(&r);
    assert_int_equal(end_of(&r), 0);
    assert_true(gw_wal_stage_bytes(r.stage) > 0);
    gw_wal_stage_cut(r.stage);
    gw_log_sim_faults(r.log)->fail_permille = 1000;
    at = place(id, "one");
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(gw_wal_stage_commit(r.stage, &at, 1, on_done, &h), 0);
        turn(&r);
        assert_int_equal(h.n, i);
        assert_int_equal(h.rc, -EIO);
        assert_string_equal(log_of(&r, id), "");
        put(&r, 30 * i, 1);
    }
    gw_log_sim_faults(r.log)->fail_permille = 0;
    assert_int_equal(gw_wal_stage_commit(r.stage, &at, 1, on_done, &h), 0);
    turn(&r);
    assert_int_equal(h.rc, 0);
    gw_wal_stage_heard(r.stage);
    assert_string_equal(log_of(&r, id), "10 20 one");
    assert_int_equal(counts(&r, 0).held, 3);
    at = place(id, "two");
    gw_wal_stage_cut(r.stage);
    assert_int_equal(gw_wal_stage_commit(r.stage, &at, 1, on_done, &h), 0);
    turn(&r);
    gw_wal_stage_heard(r.stage);
    assert_string_equal(log_of(&r, id), "10 20 30 60 two");
    assert_int_equal(gw_wal_stage_bytes(r.stage), 0);
    assert_int_equal(gw_wal_pending(r.wal), 0);
    assert_int_equal(counts(&r, 0).held, 5);
    assert_int_equal(consumer(&r, "a").low, 0);
    gw_wal_stage_free(r.stage);
    tear_down(&r);
}

/*
 * Scenario    a commit without views; one that is done, one that waits, a crash
 * Guarantees  places alone are committed; after the crash there is what was committed, with its place, and none of what
 *             waited
 */
static void a_crash_leaves_whole_commits(void **state)
{
    struct heard h = {0};
    struct gw_log_position at;
    struct rig r;
    uint32_t id;

    (void)state;
    begin(&r, &id);
    at = place(id, "none");
    gw_wal_stage_cut(r.stage);
    assert_int_equal(gw_wal_stage_commit(r.stage, &at, 1, on_done, &h), 0);
    turn(&r);
    gw_wal_stage_heard(r.stage);
    assert_string_equal(log_of(&r, id), "none");
    put(&r, 10, 2);
    at = place(id, "one");
    gw_wal_stage_cut(r.stage);
    assert_int_equal(gw_wal_stage_commit(r.stage, &at, 1, on_done, &h), 0);
    turn(&r);
    gw_wal_stage_heard(r.stage);
    put(&r, 20, 2);
    gw_wal_stage_cut(r.stage);
    put(&r, 30, 2);
    gw_log_sim_crash(r.log, false);
    gw_wal_stage_free(r.stage);
    r.stage = NULL;
    assert_int_equal(gw_wal_pending(r.wal), 0);
    assert_int_equal(gw_wal_pending_rows(r.wal), 0);
    end(&r, KILL);
    start(&r);
    turn(&r);
    assert_string_equal(log_of(&r, id), "10 one");
    assert_int_equal(counts(&r, 0).held, 2);
    tear_down(&r);
}

/* Scenario: something could not be put. Guarantees: the stage says so from then on. */
static void what_is_broken_says_so(void **state)
{
    struct rig r;
    uint32_t id;

    (void)state;
    begin(&r, &id);
    put(&r, 10, 1);
    assert_false(gw_wal_stage_is_broken(r.stage));
    gw_wal_stage_break(r.stage);
    assert_true(gw_wal_stage_is_broken(r.stage));
    gw_wal_stage_free(r.stage);
    assert_int_equal(gw_wal_pending(r.wal), 0);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_failed_is_committed_again_first),
                                       cmocka_unit_test(a_crash_leaves_whole_commits),
                                       cmocka_unit_test(what_is_broken_says_so)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
