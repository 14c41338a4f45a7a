/* SPDX-License-Identifier: Apache-2.0 */
#include "log/flight.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/harness_env.h"

enum { N = 100 };
static char path[64];
static struct gw_test_env te;
static struct gw_log_sink sink;
static struct gw_flight *f;

static void open_it(void)
{
    const struct gw_flight_conf conf = {.env = &te.env, .path = path, .logger = {.sink = &sink, .id = "flight"}};

    assert_int_equal(gw_flight_open(&conf, &f), 0);
}

static void again(void)
{
    gw_flight_close(f);
    open_it();
}

static int set_up(void **state)
{
    int fd;

    (void)state;
    strcpy(path, "/tmp/gw-flight-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unlink(path);
    gw_test_env_init(&te, 1);
    sink = (struct gw_log_sink){.env = &te.env, .level = GW_LOG_INFO};
    gw_flight_thread(GW_FLIGHT_UNKNOWN);
    open_it();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)gw_flight_enter(GW_FLIGHT_UNKNOWN);
    gw_flight_close(f);
    (void)unlink(path);
    gw_test_env_clear(&te);
    return 0;
}

static struct gw_flight_rows frame(uint64_t seq)
{
    return (struct gw_flight_rows){
        .log = 7, .consumer = 3, .first_seq = seq, .last_seq = seq, .time_ns = 1000 + seq, .partition = 5};
}

static uint32_t begin(uint64_t seq, uint32_t scope, uint32_t home, unsigned crashes)
{
    struct gw_flight_rows r = frame(seq);
    uint32_t slot = gw_flight_begin(f, &r, scope, home, crashes);

    assert_int_not_equal(slot, 0);
    return slot;
}

static struct gw_flight_suspect suspects[N];

static unsigned look(void)
{
    return gw_flight_suspects(f, 7, 3, suspects, N);
}

/*
 * Scenario    a thread that works on one of two batches crashes; the process starts again, and again
 * Guarantees  that batch is a suspect, until it is acquitted; the file is the owner's alone
 */
static void whose_rows_they_were_is_known_at_the_next_start(void **state)
{
    uint32_t scope = gw_flight_scope();
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    begin(10, gw_flight_scope(), 1, 0);
    begin(11, scope, 1, 0);
    (void)gw_flight_enter(scope);
    gw_flight_crashed(SIGABRT);
    for (unsigned i = 0; i < 3; i++) {
        again();
        assert_int_equal(look(), 1);
        assert_int_equal(suspects[0].rows.first_seq, 11);
        assert_int_equal(suspects[0].rows.last_seq, 11);
        assert_int_equal(suspects[0].rows.time_ns, 1011);
        assert_int_equal(suspects[0].rows.partition, 5);
        assert_int_equal(suspects[0].signal, SIGABRT);
        assert_int_equal(suspects[0].crashes, 1);
        assert_false(suspects[0].condemned);
        assert_int_equal(gw_flight_suspects(f, 7, 4, suspects, N), 0);
        assert_int_equal(gw_flight_suspects(f, 8, 3, suspects, N), 0);
    }
    assert_true(gw_test_env_logged(&te, "the gateway crashed (SIGABRT)"));
    gw_flight_acquit(f, suspects[0].id);
    assert_int_equal(look(), 0);
    again();
    assert_int_equal(look(), 0);
}

/*
 * Scenario    the process ends while everything is under way, without a signal that is a mistake of its own; a worker
 *             crashes by what a client sent; what is done is not under way
 * Guarantees  nobody is suspect
 */
static void other_ends_accuse_nobody(void **state)
{
    uint32_t slot = begin(10, gw_flight_scope(), 1, 0), scope = gw_flight_scope();

    (void)state;
    again();
    assert_int_equal(look(), 0);
    slot = begin(11, scope, 1, 1);
    (void)gw_flight_enter((uint32_t)GW_FLIGHT_NOTHING);
    gw_flight_crashed(SIGSEGV);
    (void)gw_flight_enter(GW_FLIGHT_UNKNOWN);
    gw_flight_thread((uint32_t)GW_FLIGHT_NOTHING);
    gw_flight_crashed(SIGSEGV);
    gw_flight_thread(GW_FLIGHT_UNKNOWN);
    gw_flight_end(f, slot);
    (void)gw_flight_enter(scope);
    gw_flight_crashed(SIGSEGV);
    again();
    assert_int_equal(look(), 0);
}

/*
 * Scenario    a thread that nobody knows crashes; one that is at home at an exporter
 * Guarantees  all that is under way is suspect; only what is under way there, or who knows where
 */
static void without_a_scope_it_is_where_the_thread_is_at_home(void **state)
{
    (void)state;
    begin(10, gw_flight_scope(), 1, 0);
    begin(11, gw_flight_scope(), 2, 0);
    begin(12, gw_flight_scope(), GW_FLIGHT_UNKNOWN, 0);
    gw_flight_crashed(SIGBUS);
    again();
    assert_int_equal(look(), 3);
    for (unsigned i = 0; i < 3; i++)
        gw_flight_acquit(f, suspects[i].id);
    begin(10, gw_flight_scope(), 1, 0);
    begin(11, gw_flight_scope(), 2, 0);
    begin(12, gw_flight_scope(), GW_FLIGHT_UNKNOWN, 0);
    gw_flight_thread(2);
    gw_flight_crashed(SIGBUS);
    again();
    assert_int_equal(look(), 2);
    assert_int_equal(suspects[0].rows.first_seq + suspects[1].rows.first_seq, 23);
}

/* One crash on trial of frame 10, beside so many others. */
static bool is_condemned_after(bool scoped, unsigned crashes, unsigned others)
{
    uint32_t scope = gw_flight_scope();
    bool found = false;
    unsigned n;

    for (unsigned i = 0; i < others; i++)
        begin(100 + i, gw_flight_scope(), 1, 0);
    begin(10, scope, 1, crashes);
    (void)gw_flight_enter(scoped ? scope : GW_FLIGHT_UNKNOWN);
    gw_flight_crashed(SIGSEGV);
    (void)gw_flight_enter(GW_FLIGHT_UNKNOWN);
    again();
    n = look();
    assert_int_equal(n, 1 + (scoped ? 0 : others));
    for (unsigned i = 0; i < n; i++) {
        if (suspects[i].rows.first_seq == 10) {
            assert_int_equal(suspects[i].crashes, crashes + 1);
            found = suspects[i].condemned;
        } else {
            assert_int_equal(suspects[i].crashes, 1);
            assert_false(suspects[i].condemned);
        }
        gw_flight_acquit(f, suspects[i].id);
    }
    return found;
}

/*
 * Scenario    what is on trial crashes the gateway again: for certain, alone, or beside others
 * Guarantees  it is condemned; when it may have been others, only the third time
 */
static void a_suspect_that_crashes_again_is_condemned(void **state)
{
    (void)state;
    assert_true(is_condemned_after(true, 1, 5));
    assert_true(is_condemned_after(false, 1, 0));
    assert_false(is_condemned_after(false, 1, 5));
    assert_true(is_condemned_after(false, 2, 5));
}

/*
 * Scenario    more is under way than the record has room for
 * Guarantees  what is on trial is among what is remembered
 */
static void what_is_on_trial_comes_first(void **state)
{
    unsigned n_on_trial = 0;

    (void)state;
    for (unsigned i = 0; i < GW_FLIGHT_SLOTS - 1; i++)
        begin(100 + i, gw_flight_scope(), 1, 0);
    begin(10, gw_flight_scope(), 1, 2);
    assert_int_equal(gw_flight_begin(f, &(struct gw_flight_rows){0}, 1, 1, 0), 0); /* it is full */
    gw_flight_crashed(SIGSEGV);
    again();
    assert_int_equal(look(), GW_FLIGHT_SUSPECTS);
    for (unsigned i = 0; i < GW_FLIGHT_SUSPECTS; i++)
        n_on_trial += suspects[i].rows.first_seq == 10;
    assert_int_equal(n_on_trial, 1);
}

static void one_trial_at_a_time(void **state)
{
    static const int a = 1, b = 2;

    (void)state;
    assert_true(gw_flight_take_trial(f, &a));
    assert_true(gw_flight_take_trial(f, &a));
    assert_false(gw_flight_take_trial(f, &b));
    gw_flight_end_trial(f, &b);
    assert_false(gw_flight_take_trial(f, &b));
    gw_flight_end_trial(f, &a);
    assert_true(gw_flight_take_trial(f, &b));
}

static void put_file(const void *p, size_t n)
{
    FILE *to = fopen(path, "w");

    assert_non_null(to);
    assert_int_equal(fwrite(p, 1, n, to), n);
    (void)fclose(to);
}

static size_t get_file(void *p, size_t n)
{
    FILE *from = fopen(path, "r");
    size_t got;

    assert_non_null(from);
    got = fread(p, 1, n, from);
    (void)fclose(from);
    return got;
}

/*
 * Scenario    each byte of a record with a suspect and a crash is changed, or the file ends there; and a file of
 *             somebody else's
 * Guarantees  it opens; what is damaged is forgotten or, where the file is not known any more, left alone; somebody
 *             else's file keeps its bytes
 */
static void damage_stops_nothing(void **state)
{
    static uint8_t good[8192], bad[8192];
    static const char theirs[] = "this is a diary, and no flight record";
    char kept[sizeof(theirs)];

    (void)state;
    begin(10, gw_flight_scope(), 1, 0);
    gw_flight_crashed(SIGSEGV);
    again();
    begin(11, gw_flight_scope(), 1, 0);
    gw_flight_crashed(SIGSEGV);
    gw_flight_close(f);
    assert_int_equal(get_file(good, sizeof(good)), sizeof(good));
    for (unsigned i = 0; i < sizeof(good); i += i % 4096 < 200 ? 1 : 97) {
        memcpy(bad, good, sizeof(bad));
        bad[i] ^= 0x10;
        put_file(bad, i % 3 ? sizeof(bad) : i);
        open_it();
        assert_true(look() <= (i % 3 ? 1 : 2)); /* what is cut off may be zeros */
        gw_flight_end(f, gw_flight_begin(f, &(struct gw_flight_rows){0}, 1, 1, 0));
        gw_flight_close(f);
    }
    put_file(theirs, sizeof(theirs));
    open_it();
    assert_true(gw_test_env_logged(&te, "this is no flight record"));
    assert_int_equal(gw_flight_begin(f, &(struct gw_flight_rows){0}, 1, 1, 0), 0);
    gw_flight_crashed(SIGSEGV);
    again();
    assert_int_equal(get_file(kept, sizeof(kept)), sizeof(kept));
    assert_memory_equal(kept, theirs, sizeof(theirs));
}

static void a_log_has_a_name_of_its_own(void **state)
{
    static const uint8_t uuid[16] = {1}, other[16] = {2};

    (void)state;
    assert_int_equal(gw_flight_log("queue", "logs", uuid), gw_flight_log("queue", "logs", uuid));
    assert_int_not_equal(gw_flight_log("queue", "logs", uuid), gw_flight_log("queue", "logs", other));
    assert_int_not_equal(gw_flight_log("queue", "logs", uuid), gw_flight_log("journal", "logs", uuid));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whose_rows_they_were_is_known_at_the_next_start),
        TEST(other_ends_accuse_nobody),
        TEST(without_a_scope_it_is_where_the_thread_is_at_home),
        TEST(a_suspect_that_crashes_again_is_condemned),
        TEST(what_is_on_trial_comes_first),
        TEST(one_trial_at_a_time),
        TEST(damage_stops_nothing),
        TEST(a_log_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
