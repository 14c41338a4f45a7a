/* SPDX-License-Identifier: Apache-2.0 */
/* When results are told, and what they say of themselves. What they add up to is property_test.c's. */
#include "tests/connectors/rollup/windows.h"

#define TIMES_OF "allowed_lateness: 10s\ntime: { bounded_delay: 0s }\naggregates: [sum]\n"

/* The result of that revision, of the window [0, 10). */
static struct found revision(const char *n, unsigned times, double value)
{
    struct found f = told("temperature.sum", 10, (const char *const[]){n, NULL});

    assert_int_equal(f.times, times);
    assert_true(times == 0 || f.value == value);
    return f;
}

static bool flag(const struct found *f, const char *name)
{
    for (size_t i = 0; i < f->point->n_attributes; i++)
        if (strcmp(f->point->attributes[i]->key, name) == 0)
            return f->point->attributes[i]->value->bool_value;
    return false;
}

static const char *text(const struct found *f, const char *name)
{
    for (size_t i = 0; i < f->point->n_attributes; i++)
        if (strcmp(f->point->attributes[i]->key, name) == 0)
            return f->point->attributes[i]->value->string_value;
    return NULL;
}

/*
 * Scenario:   eager, every 4s: records before the end, none for a while, one within the lateness.
 * Guarantees: a result at each interval in which it changed, each the whole value; the last one is final, and there
 *             though nothing changed.
 */
static void eager_results_come_before_the_end(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, TIMES_OF "emit: { mode: eager, interval: 4s }", 1);
    gauge(0, 1, 1, "");
    until(6.9);
    f = revision("rollup.revision=#0", 1, 1);
    assert_false(flag(&f, "rollup.is_final"));
    assert_non_null(text(&f, "rollup.id"));
    gauge(0, 9, 2, "");
    until(8.9);
    revision("rollup.revision=#1", 0, 0);
    until(10);
    f = revision("rollup.revision=#1", 1, 3);
    until(15);
    gauge(0, 8, 4, "");
    until(19);
    f = revision("rollup.revision=#2", 1, 7);
    assert_false(flag(&f, "rollup.is_final"));
    until(22);
    f = revision("rollup.revision=#3", 1, 7);
    assert_true(flag(&f, "rollup.is_final"));
    until(60);
    assert_int_equal(TOLD("temperature.sum", 10).times, 4);
    assert_int_equal(r.memory.used_bytes == 0, 0);
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
}

/*
 * Scenario:   delta, every 4s, in windows that overlap.
 * Guarantees: each result is what came since the last one, in every window that it belongs to; the last one is final
 *             if there is any; nothing is told twice.
 */
static void delta_results_add_up(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS,
                TIMES_OF "emit: { mode: delta, interval: 4s }\nwindows: [ { type: hopping, size: 10s, slide: 5s } ]",
                1);
    gauge(0, 6, 1, "");
    until(9);
    IS_TOLD("temperature.sum", 10, 1, "rollup.revision=#0");
    IS_TOLD("temperature.sum", 15, 1, "rollup.revision=#0");
    until(14);
    gauge(0, 7, 2, "");
    until(17);
    IS_TOLD("temperature.sum", 10, 2, "rollup.revision=#1");
    IS_TOLD("temperature.sum", 15, 2, "rollup.revision=#1");
    gauge(0, 8, 4, "");
    until(21.5); /* an interval has ended, at 20, and the first window */
    f = TOLD("temperature.sum", 10, "rollup.revision=#2");
    assert_true(f.times == 1 && f.value == 4 && flag(&f, "rollup.is_final"));
    f = TOLD("temperature.sum", 15, "rollup.revision=#2");
    assert_true(f.times == 1 && f.value == 4 && !flag(&f, "rollup.is_final"));
    until(60);
    assert_int_equal(TOLD("temperature.sum", 10).times, 3);
    assert_int_equal(TOLD("temperature.sum", 15).times, 3);
    close_rollup();
}

/*
 * Scenario:   retract: a window ends; late records come within the lateness, some of them in one interval.
 * Guarantees: a result at the end; then what was told is taken back, as it was, and what it is now is told; a result
 *             that stands is not told again.
 */
static void retractions_take_back_what_was_told(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, TIMES_OF "emit: { mode: retract, interval: 4s, id: row }", 1);
    gauge(0, 1, 1, "");
    until(10.5);
    assert_int_equal(r.n_bodies, 0);
    until(11.5);
    f = revision("rollup.revision=#0", 1, 1);
    assert_false(flag(&f, "rollup.retracts"));
    gauge(0, 2, 2, "");
    gauge(0, 3, 4, "");
    until(14);
    f = revision("rollup.revision=#1", 1, 7);
    assert_int_equal(TOLD("temperature.sum", 10, "rollup.revision=#0").times, 2);
    f = TOLD("temperature.sum", 10, "rollup.revision=#0"); /* the second one */
    assert_true(f.value == 1 && flag(&f, "rollup.retracts") && !flag(&f, "rollup.is_final"));
    assert_non_null(text(&f, "row"));
    until(19);
    gauge(0, 3, 8, "");
    until(60);
    f = revision("rollup.revision=#2", 1, 15);
    assert_true(flag(&f, "rollup.is_final"));
    assert_int_equal(TOLD("temperature.sum", 10, "rollup.revision=#1").times, 2);
    assert_int_equal(TOLD("temperature.sum", 10).times, 5);
    close_rollup();
}

/*
 * Scenario:   eager and retract: two sessions were told, then a record bridges them.
 * Guarantees: the one that is none any more is taken back; the other goes on, with its beginning.
 */
static void sessions_that_join_are_taken_back(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, TIMES_OF "emit: { mode: eager, interval: 1s }\nwindows: [ { type: session, gap: 2s } ]", 1);
    gauge(0, 1, 1, "");
    gauge(0, 5, 2, "");
    until(7);
    IS_TOLD("temperature.sum", 3, 1, "rollup.revision=#0");
    IS_TOLD("temperature.sum", 7, 2, "rollup.revision=#0");
    gauge(0, 3, 4, "");
    until(9);
    f = TOLD("temperature.sum", 7, "rollup.revision=#1");
    assert_true(f.times == 1 && f.value == 7 && f.start_s == 1);
    assert_int_equal(TOLD("temperature.sum", 7, "rollup.revision=#0").times, 2);
    f = TOLD("temperature.sum", 7, "rollup.revision=#0");
    assert_true(f.value == 2 && f.start_s == 5 && flag(&f, "rollup.retracts"));
    until(60);
    assert_true(gw_joint_metric(&r, "staunch_rollup_series{component=\"rollup\",signal=\"metrics\"}") == 0);
    close_rollup();
}

/*
 * Scenario:   the same records in another process, and others; final with an id.
 * Guarantees: ids follow from rollup, series, aggregate, window and revision, and from nothing else.
 */
static void ids_follow_from_what_they_name(void **state)
{
    char first[40] = "", other[40] = "";

    (void)state;
    for (unsigned run = 0; run < 3; run++) {
        struct found f;

        open_rollup(GW_METRICS,
                    "allowed_lateness: 0s\ntime: { bounded_delay: 0s }\nemit: { id: elasticsearch.document_id }",
                    1 + run % 2);
        gauge(run % 2, 1, run, STR("a", "x"));
        gauge(0, 2, run, STR("a", "y"));
        until(20);
        f = TOLD("temperature.sum", 10, "a=x");
        assert_int_equal(strlen(text(&f, "elasticsearch.document_id")), 32);
        assert_null(text(&f, "rollup.id"));
        assert_true(run == 0 || strcmp(first, text(&f, "elasticsearch.document_id")) == 0);
        (void)snprintf(first, sizeof(first), "%s", text(&f, "elasticsearch.document_id"));
        f = TOLD("temperature.sum", 10, "a=y");
        (void)snprintf(other, sizeof(other), "%s", text(&f, "elasticsearch.document_id"));
        assert_string_not_equal(first, other);
        f = TOLD("temperature.count", 10, "a=x");
        assert_string_not_equal(first, text(&f, "elasticsearch.document_id"));
        close_rollup();
    }
}

/*
 * Scenario:   there is no memory to remember what was told.
 * Guarantees: nothing is told early then, and every final result is.
 */
static void without_memory_only_finals_are_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_rollup(GW_METRICS,
                    i ? TIMES_OF "emit: { mode: delta, interval: 1s }" : TIMES_OF "emit: { mode: eager, interval: 1s }",
                    1);
        gauge(0, 1, 1, "");
        r.memory.hard_bytes = 1; /* from now on nobody gets any */
        r.memory.soft_bytes = 1;
        until(15);
        assert_int_equal(TOLD("temperature.sum", 10).times, 0);
        until(60);
        assert_int_equal(TOLD("temperature.sum", 10).times, 1);
        assert_true(TOLD("temperature.sum", 10).value == 1);
        close_rollup();
    }
}

static void settings_are_checked(void **state)
{
    (void)state;
    gw_joint_refuses("rollup", "emit: { mode: delta }\naggregates: [avg]", "delta");
    gw_joint_refuses("rollup", "emit: { mode: delta }\naggregates: [p99]", "delta");
    gw_joint_refuses("rollup", "emit: { mode: delta }\nwindows: [ { type: session, gap: 5s } ]", "sessions become one");
    gw_joint_refuses("rollup", "emit: { interval: 5s }", "has no interval");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eager_results_come_before_the_end),
        cmocka_unit_test(delta_results_add_up),
        cmocka_unit_test(retractions_take_back_what_was_told),
        cmocka_unit_test(sessions_that_join_are_taken_back),
        cmocka_unit_test(ids_follow_from_what_they_name),
        cmocka_unit_test(without_memory_only_finals_are_told),
        cmocka_unit_test(settings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
