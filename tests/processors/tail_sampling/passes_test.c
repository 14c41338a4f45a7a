/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling with mode: two_pass: the test is the journal, and gives it every request twice. */
#include "tests/harness_tail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/keep.h"

#define STEP GW_KEEP_STEP_NS
#define T(n) (1000 * STEP + (n)*STEP)

enum { MAX_STEPS = 100, MAX_REQUESTS = 6, MAX_OUT = 1 << 16, LAST_STEPS = 40 };

static struct gw_tail_rig r;

struct journal {
    char requests[MAX_STEPS][MAX_REQUESTS][200];
    unsigned n[MAX_STEPS];
};

static bool owns(void *arg, const uint8_t id[16])
{
    (void)arg;
    return id != NULL;
}
static const struct gw_keep_owner owner = {.owns = owns, .n_parts = 1, .of_parts = 1};

static const struct gw_keep_ops *keep(void)
{
    return r.p.component->keep;
}

static void open(const char *mode, const char *settings)
{
    char text[2000];

    (void)snprintf(text, sizeof(text), "%s%s", mode, settings);
    gw_tail_open(&r, text);
    assert_int_equal(keep()->begin(r.p.self), 0);
}

static void advance(uint64_t ns, bool rebuilds)
{
    while (keep()->advance(r.p.self, ns, rebuilds, &r.p.ports) == GW_MORE)
        ;
}

static uint64_t save(bool whole, struct gw_buf *out)
{
    uint64_t oldest;

    assert_int_equal(keep()->save(r.p.self, whole, out, &oldest), GW_DONE);
    return oldest;
}

static int restore(struct gw_slice record)
{
    return keep()->restore(r.p.self, record, &owner);
}

static uint64_t ready(void)
{
    return keep()->ready_ns(r.p.self);
}

static void pass(uint64_t ns, bool again)
{
    keep()->pass(r.p.self, ns, again);
}

/* ---- one after the other ---------------------------------------------------------------------------------- */

/*
 * Scenario    an error and another trace; the second pass; a late span of each, and theirs
 * Guarantees  nothing is held, nothing leaves the first time; what is decided leaves, and is dropped, the second time;
 *             no step comes again that has something undecided, and late spans wait for no decision
 */
static void rows_leave_when_they_come_again(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open("mode: two_pass\n", "decision_wait: 1s\n");
    assert_int_equal(keep()->due_ns(r.p.self), UINT64_MAX);
    advance(T(0), false);
    gw_tail_send(&r, "1.1e 2.1 0.9");
    assert_string_equal(gw_tail_out(&r), "0.9"); /* it has no trace */
    assert_string_equal(gw_tail_drops(&r), "first_pass=2");
    assert_int_equal(gw_tail_held(&r), 0);
    advance(T(3), false);
    gw_tail_send(&r, "3.1e 1.2");
    assert_int_equal(ready(), T(0));
    pass(T(0), false);
    assert_int_equal(keep()->due_ns(r.p.self), T(10));
    advance(T(10), false);
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(ready(), T(3));
    (void)gw_tail_drops(&r);
    pass(T(0), true);
    gw_tail_send(&r, "1.1e 2.1 0.9");
    assert_string_equal(gw_tail_out(&r), "1.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1 decided_before=1");
    pass(T(3), false);
    assert_int_equal(save(true, &out), T(3));

    gw_tail_send(&r, "1.3 2.3");
    assert_int_equal(ready(), T(3));
    advance(T(13), false);
    assert_int_equal(ready(), T(13));
    assert_string_equal(gw_tail_out(&r), "");
    pass(T(3), true);
    gw_tail_send(&r, "3.1e 1.2");
    pass(T(10), true);
    gw_tail_send(&r, "1.3 2.3");
    assert_string_equal(gw_tail_out(&r), "3.1 1.2 | 1.3");
    pass(T(13), false);
    assert_int_equal(keep()->due_ns(r.p.self), UINT64_MAX);
    (void)gw_tail_tick(&r);
    assert_true(gw_tail_ours(&r, "held_bytes") > 0);
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    record_policy; a trace is decided, and a late span comes before its first one comes again
 * Guarantees  the scopes of both say the policy, that of the late one alone that it followed
 */
static void late_spans_are_marked(void **state)
{
    (void)state;
    open("mode: two_pass\n", "decision_wait: 1s\nrecord_policy: true\n");
    advance(T(0), false);
    gw_tail_send(&r, "1.1e 2.1e");
    advance(T(10), false);
    gw_tail_send(&r, "1.2");
    advance(T(11), false);
    assert_int_equal(ready(), T(11));
    pass(T(0), true);
    gw_tail_send(&r, "1.1e 2.1e");
    assert_string_equal(gw_tail_out(&r), "1.1{@tailsampling.policy=errors} | 2.1{@tailsampling.policy=errors}");
    pass(T(10), true);
    gw_tail_send(&r, "1.2");
    assert_string_equal(gw_tail_out(&r), "1.2{@tailsampling.policy=errors;@tailsampling.cached_decision=true}");
    gw_tail_close(&r);
}

static char *many(unsigned n)
{
    char *text = malloc(n * 12);
    size_t at = 0;

    for (unsigned i = 1; i <= n; i++)
        at += (size_t)sprintf(text + at, "%s%u.1e", i > 1 ? " " : "", i);
    return text;
}

/*
 * Scenario    more traces in one step than max_bytes has room for
 * Guarantees  when it has ended the oldest are decided, by ids, until there is
 */
static void a_full_house_decides_the_oldest(void **state)
{
    enum { N = 20000 };
    char *text = many(N);

    (void)state;
    open("mode: two_pass\n", "decision_wait: 1s\nnum_traces: 100000\nmax_bytes: 1048576\n");
    advance(T(0), false);
    gw_tail_send(&r, text);
    assert_int_equal(r.n_rows, 0);
    assert_int_equal(keep()->due_ns(r.p.self), 0);
    advance(T(1), false);
    assert_in_range((uint64_t)gw_tail_ours(&r, "decisions{cause=\"max_bytes\"}"), N - 1048576 / 80, N - 1048576 / 100);
    assert_int_equal(ready(), T(0));
    pass(T(0), false);
    assert_int_equal(keep()->due_ns(r.p.self), T(10));
    gw_tail_close(&r);
    free(text);
}

/* The process has so many bytes left for what waits. */
static void leave_memory(uint64_t bytes)
{
    atomic_store(&r.p.memory.soft_bytes, atomic_load(&r.p.memory.used_bytes) + bytes);
}

/*
 * Scenario    more traces in one step than the process has memory for; a crash; the second pass
 * Guarantees  who finds no memory is decided at once, and leaves at once, and not again; after a crash, too
 */
static void without_memory_it_leaves_at_once(void **state)
{
    enum { N = 30000, MEMORY = 2 << 20 };
    static const char settings[] = "decision_wait: 1s\nnum_traces: 100000\n";
    char *text = many(N);
    struct gw_buf out;
    size_t left;

    (void)state;
    gw_buf_init(&out, 64 << 20);
    open("mode: two_pass\n", settings);
    leave_memory(MEMORY);
    advance(T(0), false);
    gw_tail_send(&r, text);
    left = r.n_rows;
    assert_in_range(left, N / 3, N - 5000);
    gw_tail_send(&r, "29999.2"); /* its trace has left in this step: so does this */
    assert_int_equal(r.n_rows, left + 1);
    advance(T(1), false);
    gw_tail_send(&r, "29999.3");
    assert_int_equal(r.n_rows, left + 2);
    advance(T(2), false);
    (void)save(true, &out);
    gw_tail_close(&r);

    open("mode: two_pass\n", settings);
    assert_int_equal(restore(gw_buf_slice(&out)), 0);
    advance(T(0), true);
    gw_tail_send(&r, text);
    gw_tail_send(&r, "29999.2");
    advance(T(1), true);
    gw_tail_send(&r, "29999.3");
    assert_int_equal(r.n_rows, 0);
    advance(T(2), false);
    advance(T(10), false);
    assert_int_equal(ready(), T(10));
    pass(T(0), true);
    gw_tail_send(&r, text);
    gw_tail_send(&r, "29999.2");
    pass(T(1), true);
    gw_tail_send(&r, "29999.3");
    assert_int_equal(r.n_rows, N - left);
    gw_tail_close(&r);
    gw_buf_clear(&out);
    free(text);
}

/*
 * Scenario    what one mode has decided is restored by the other
 * Guarantees  rows that left when they were buffered do not leave again; those that have still to come again are
 *             refused with a reason, unless they came
 */
static void another_mode_after_a_restart(void **state)
{
    struct gw_keep_owner later = {.owns = owns, .n_parts = 1, .of_parts = 1};
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open("mode: buffered\n", "decision_wait: 1s\n");
    advance(T(0), false);
    gw_tail_send(&r, "1.1e");
    advance(T(5), false);
    gw_tail_send(&r, "2.1e");
    advance(T(10), false);
    gw_tail_send(&r, "1.2");
    assert_string_equal(gw_tail_out(&r), "1.1 | 1.2");
    advance(T(11), false);
    (void)save(true, &out);
    gw_tail_close(&r);

    open("mode: two_pass\n", "decision_wait: 1s\n");
    assert_int_equal(restore(gw_buf_slice(&out)), 0);
    for (unsigned i = 0; i <= 10; i += 5) {
        advance(T(i), true);
        gw_tail_send(&r, i == 0 ? "1.1e" : i == 5 ? "2.1e" : "1.2");
    }
    advance(T(15), false);
    gw_tail_send(&r, "1.3");
    advance(T(16), false);
    for (unsigned i = 0; i <= 15; i += 5) {
        pass(T(i), true);
        gw_tail_send(&r, i == 0 ? "1.1e" : i == 5 ? "2.1e" : i == 10 ? "1.2" : "1.3");
    }
    assert_string_equal(gw_tail_out(&r), "2.1 | 1.3");
    gw_buf_reset(&out);
    (void)save(true, &out);
    gw_tail_close(&r);

    open("mode: buffered\n", "decision_wait: 1s\n");
    assert_int_equal(restore(gw_buf_slice(&out)), -ENOTSUP);
    gw_tail_close(&r);
    later.low_ns = T(16);
    open("mode: buffered\n", "decision_wait: 1s\n");
    assert_int_equal(keep()->restore(r.p.self, gw_buf_slice(&out), &later), 0);
    advance(T(16), false);
    gw_tail_send(&r, "1.4 2.4");
    assert_string_equal(gw_tail_out(&r), "1.4 2.4");
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/* ---- the other mode as the oracle ------------------------------------------------------------------------- */

static uint64_t any(uint64_t *seed, uint64_t n)
{
    return gw_test_random(seed) % n;
}

static void draw(struct journal *j, uint64_t seed)
{
    static const char *const flags[] = {"", "", "", "", "e", "r", "r", "d300", "s2", "l3", "wot=rv:c0000000000000"};
    unsigned span = 1;

    memset(j, 0, sizeof(*j));
    for (unsigned i = 0; i < MAX_STEPS - LAST_STEPS; i++) {
        j->n[i] = (unsigned)any(&seed, MAX_REQUESTS);
        for (unsigned k = 0; k < j->n[i]; k++)
            for (unsigned n = 1 + (unsigned)any(&seed, 6); n > 0; n--, span++) {
                char *text = j->requests[i][k];

                (void)sprintf(text + strlen(text), "%s%u.%u%s", *text ? " " : "", (unsigned)any(&seed, 15), span,
                              flags[any(&seed, sizeof(flags) / sizeof(flags[0]))]);
            }
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What left, span by span, in their order as texts. */
static void add_out(char *all)
{
    const char *out = gw_tail_out(&r);

    if (*out)
        (void)sprintf(all + strlen(all), "%s%s", *all ? " " : "", out);
}

static void sort(char *all)
{
    static const char *words[MAX_OUT / 4];
    static char sorted[MAX_OUT];
    size_t n = 0;

    for (char *w = strtok(all, " "); w; w = strtok(NULL, " "))
        if (strcmp(w, "|") != 0)
            words[n++] = w;
    qsort(words, n, sizeof(words[0]), by_text);
    sorted[0] = 0;
    for (size_t i = 0, at = 0; i < n; i++)
        at += (size_t)sprintf(sorted + at, "%s%s", i ? " " : "", words[i]);
    strcpy(all, sorted);
}

static void send_step(const struct journal *j, unsigned i)
{
    for (unsigned k = 0; k < j->n[i]; k++)
        gw_tail_send(&r, j->requests[i][k]);
}

static void run_buffered(const struct journal *j, const char *settings, char *all)
{
    open("mode: buffered\n", settings);
    for (unsigned i = 0; i < MAX_STEPS; i++) {
        advance(T(i), false);
        send_step(j, i);
        add_out(all);
    }
    gw_tail_close(&r);
}

static unsigned step_of(uint64_t ns)
{
    return (unsigned)((ns - T(0)) / STEP);
}

/* All that may come again does. */
static unsigned second_pass(const struct journal *j, unsigned from)
{
    unsigned to = step_of(ready());

    for (; from < to; from++) {
        pass(T(from), true);
        send_step(j, from);
    }
    pass(T(to), false);
    return to;
}

/* The process is gone at the barrier of step `at`, with all that it saved. */
static void crash(const struct journal *j, const char *settings, struct gw_buf *records, unsigned n, unsigned low,
                  unsigned at)
{
    gw_tail_close(&r);
    open("mode: two_pass\n", settings);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(restore(gw_buf_slice(&records[i])), 0);
    for (unsigned i = low; i < at; i++) {
        advance(T(i), true);
        send_step(j, i);
    }
    assert_string_equal(gw_tail_out(&r), "");
}

static void run_two_pass(const struct journal *j, const char *settings, uint64_t seed, bool crashes, char *all)
{
    static struct gw_buf records[MAX_STEPS];
    unsigned passed = 0, n = 0;

    open("mode: two_pass\n", settings);
    for (unsigned i = 0; i < MAX_STEPS; i++) {
        advance(T(i), false);
        add_out(all);
        gw_buf_init(&records[n], 1 << 20);
        (void)save(n == 0, &records[n]);
        n++;
        if (crashes && any(&seed, 8) == 0) {
            crash(j, settings, records, n, passed, i);
            advance(T(i), false);
            while (n > 0)
                gw_buf_clear(&records[--n]);
            gw_buf_init(&records[0], 1 << 20);
            (void)save(true, &records[n++]);
        }
        if (any(&seed, 3)) /* it does not always come so far */
            passed = second_pass(j, passed);
        send_step(j, i);
        add_out(all);
    }
    gw_tail_close(&r);
    while (n > 0)
        gw_buf_clear(&records[--n]);
}

static void compare(unsigned seed, const char *settings, const char *buffered, const char *twice)
{
    size_t i = 0, from;

    while (buffered[i] && buffered[i] == twice[i])
        i++;
    if (buffered[i] == twice[i])
        return;
    for (from = i; from > 0 && buffered[from - 1] != ' ';)
        from--;
    fail_msg("seed %u, %s: buffered %.60s, two_pass %.60s", seed, settings, buffered + from, twice + from);
}

#define WAIT  "decision_wait: 1s\n"
#define SLOW  "{name: slow, type: latency, latency: {threshold_ms: 200}}"
#define WRONG "{name: wrong, type: status_code, status_code: {status_codes: [ERROR]}}"
#define SHARE "{name: some, type: probabilistic, probabilistic: {sampling_percentage: 30}}"

/*
 * Scenario    random traces under all that makes decisions, in both modes, without a crash and with several
 * Guarantees  the same spans leave, with the same written on them, each once
 */
static void both_modes_let_the_same_go(void **state)
{
    static const struct {
        const char *settings;
        bool crashes; /* what the cache forgets depends on what is asked after a restart: not with these */
    } all[] = {
        {WAIT, true},
        {WAIT "policies: [" SLOW ", " SHARE "]\nreason_attribute: why\n", true},
        {WAIT "decide_early: true\nrecord_policy: true\n", true},
        {WAIT "decision_wait_after_root_received: 300ms\n", true},
        {WAIT "decision_wait_after_root_received: 2s\npolicies: [" WRONG "]\n", true},
        {WAIT "decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n", true},
        {WAIT "decision_cache: {sampled_cache_size: 2, non_sampled_cache_size: 3}\n", false},
        {WAIT "max_spans_per_trace: 4\n", true},
        {WAIT "maximum_trace_size_bytes: 300\n", true},
        {WAIT "num_traces: 4\n", true},
        {WAIT "sampling_strategy: span-ingest\npolicies: [" WRONG "]\n", true},
        {WAIT "follow_links: true\npolicies: [" WRONG "]\nreason_attribute: why\n", false},
        {WAIT "use_trace_state: true\npolicies: [" SHARE "]\n", true},
        {WAIT "dry_run: true\npolicies: [" SHARE ", " WRONG "]\n", true},
        {WAIT "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]\n", true},
        {WAIT "policies: [{name: small, type: bytes_limiting, bytes_limiting: {bytes_per_second: 400}}]\n", true},
        {WAIT "running_latency: true\npolicies: [{name: l, type: latency, latency: {threshold_ms: 1, "
              "upper_threshold_ms: 250}}]\n",
         true},
        {WAIT "policies: [{name: no, type: drop, drop: {drop_sub_policy: [" WRONG "]}}, " SHARE "]\n", true},
        {"decision_wait: 0s\n", true},
    };
    static char buffered[MAX_OUT], twice[MAX_OUT];
    static struct journal j;

    (void)state;
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            buffered[0] = twice[0] = 0;
            draw(&j, seed + 100 * i);
            run_buffered(&j, all[i].settings, buffered);
            run_two_pass(&j, all[i].settings, seed, all[i].crashes && seed > 1, twice);
            sort(buffered);
            sort(twice);
            compare((unsigned)seed, all[i].settings, buffered, twice);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_leave_when_they_come_again), cmocka_unit_test(late_spans_are_marked),
        cmocka_unit_test(a_full_house_decides_the_oldest), cmocka_unit_test(without_memory_it_leaves_at_once),
        cmocka_unit_test(another_mode_after_a_restart),    cmocka_unit_test(both_modes_let_the_same_go)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
