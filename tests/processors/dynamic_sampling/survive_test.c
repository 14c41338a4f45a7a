/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamic_sampling over the end of the process, with a storage, and over a crash, behind a journal: rates go on where
 * they stood, to the bit.
 */
#include "tests/harness_lives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/keep.h"

#define STEP GW_KEEP_STEP_NS
#define T(n) (1000 * STEP + (n)*STEP)

static struct gw_tail_rig r;

static bool owns_all(void *arg, const uint8_t id[16])
{
    (void)arg;
    (void)id;
    return true;
}
static const struct gw_keep_owner owner = {.owns = owns_all};

static void open_kept(const char *settings)
{
    gw_tail_open_as(&r, "dynamic_sampling", settings);
    assert_int_equal(r.p.component->keep->begin(r.p.self), 0);
}

static int restore(const struct gw_buf *record)
{
    return r.p.component->keep->restore(r.p.self, gw_buf_slice(record), &owner);
}

/* ---- the same as without a crash -------------------------------------------------------------------------- */

enum { STEPS = 240, MAX_RECORDS = STEPS, TEXT = 1024, OUT = 4 << 20 };

struct journal {
    char spans[STEPS][TEXT]; /* what came in each step */
    char *want, *got;        /* what left: of a run without a crash, and what was committed */
    struct gw_buf records[MAX_RECORDS];
    unsigned n_records, low, next, n_crashes;
};

static uint64_t seed;

static unsigned any(unsigned n)
{
    return (unsigned)(gw_test_random(&seed) % n);
}

/* Services of very different size, whose traces take up to a second; their ids are of every randomness. */
static void write_journal(struct journal *j, unsigned kinds)
{
    static uint64_t open[64];
    unsigned n = 0;

    for (unsigned s = 0; s < STEPS; s++) {
        size_t at = 0;

        j->spans[s][0] = 0;
        for (unsigned k = any(s / 40 % 2 ? 12 : 5) + (s == 0); k > 0; k--) {
            uint64_t *trace = &open[any(n < 64 ? n + 1 : 64)];
            unsigned service = any(3) ? 1 : 1 + any(any(kinds) + 1);

            if (!*trace || any(3) == 0)
                *trace = gw_test_random(&seed) >> 8 | 1;
            n++;
            at += (size_t)snprintf(j->spans[s] + at, TEXT - at, "%s%llu.%u%ss%u", at ? " " : "",
                                   (unsigned long long)*trace, s * 100 + k, any(4) ? "" : "r", service);
        }
    }
}

static void consume(const struct journal *j, unsigned s)
{
    if (j->spans[s][0])
        gw_tail_send(&r, j->spans[s]);
}

static void live_without_a_crash(struct journal *j, const char *settings)
{
    size_t n = 0;

    open_kept(settings);
    for (unsigned s = 0; s < STEPS; s++) {
        gw_tail_advance(&r, T(s), false);
        n += (size_t)snprintf(j->want + n, OUT - n, "%s\n", gw_tail_out(&r));
        consume(j, s);
    }
    gw_tail_close(&r);
}

static void commit(struct journal *j, unsigned s, bool is_first, size_t *n)
{
    const char *out = gw_tail_out(&r);
    uint64_t oldest;

    if (is_first)
        while (j->n_records > 0)
            gw_buf_clear(&j->records[--j->n_records]);
    gw_buf_init(&j->records[j->n_records], 16 << 20);
    oldest = gw_tail_save(&r, is_first, &j->records[j->n_records++]);
    if (*n == 0 || s > j->next || *out)
        *n += (size_t)snprintf(j->got + *n, OUT - *n, "%s\n", out);
    j->next = s;
    j->low = oldest == UINT64_MAX ? s : (unsigned)((oldest - T(0)) / STEP);
}

/* forgets: what was decided is not read. */
static void live(struct journal *j, const char *settings, size_t *n, bool forgets)
{
    unsigned first = j->next, end = first + 1 + any(40);

    open_kept(settings);
    for (unsigned i = 0; i < j->n_records && !forgets; i++)
        assert_int_equal(restore(&j->records[i]), 0);
    for (unsigned s = j->low; s < first; s++) {
        gw_tail_advance(&r, T(s), true);
        consume(j, s);
    }
    if (!forgets)
        assert_string_equal(gw_tail_out(&r), "");
    for (unsigned s = first; s < STEPS && s < end; s++) {
        gw_tail_advance(&r, T(s), false);
        commit(j, s, s == first, n);
        consume(j, s);
    }
    gw_tail_close(&r);
}

/* Returns whether it is the same. */
static bool is_same(const char *settings, uint64_t begin, unsigned kinds, bool forgets)
{
    struct journal *j = calloc(1, sizeof(*j));
    size_t n = 0;
    bool same;

    seed = begin;
    j->want = calloc(1, OUT);
    j->got = calloc(1, OUT);
    write_journal(j, kinds);
    live_without_a_crash(j, settings);
    while (j->next < STEPS - 1) {
        live(j, settings, &n, forgets);
        j->n_crashes++;
    }
    assert_true(j->n_crashes > 1);
    assert_non_null(strstr(j->want, "ot=th:"));
    same = strcmp(j->want, j->got) == 0;
    while (j->n_records > 0)
        gw_buf_clear(&j->records[--j->n_records]);
    free(j->want);
    free(j->got);
    free(j);
    return same;
}

#define WAITS   "trace_timeout: 1s\ndecision_delay: 300ms\n"
#define KEY     "fingerprint_attributes: ['resource.attributes[\"service.name\"]']"
#define SAMPLED "rules: [{name: rest, sampler: {" KEY ", "

static const char *const kinds_of[] = {
    WAITS SAMPLED
    "type: dynamic_percentage, goal_percentage: 20, weight: 0.3, adjustment_interval: 2s, burst_detection_delay: 1}}]",
    WAITS SAMPLED "type: dynamic_throughput, goal_throughput: 5, adjustment_interval: 1s, max_keys: 3}}]",
    WAITS SAMPLED "type: dynamic_throughput, algorithm: windowed, goal_throughput: 5, update_frequency: 1s, "
                  "lookback_frequency: 4s, trace_length: true}}]",
    WAITS SAMPLED "type: dynamic_throughput, algorithm: total, goal_throughput: 5, adjustment_interval: 3s}}]",
    WAITS "num_traces: 20\ndecision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\nrules: [{name: one, "
          "conditions: ['resource.attributes[\"service.name\"] == \"service1\"'], sampler: {" KEY
          ", type: dynamic_throughput, goal_throughput: 3, adjustment_interval: 1s}}, {name: half, sampler: {type: "
          "probabilistic, sampling_percentage: 50}}]",
    WAITS "num_traces: 20\neviction: {policy: probabilistic, sampling_percentage: 50}\n" SAMPLED
          "type: dynamic_throughput, goal_throughput: 5, adjustment_interval: 1s}}]",
};

/*
 * Scenario    24 s of spans of services of very different size, in bursts; the process is gone at any step, and again
 *             and again; each kind of sampler, keys that are too many, a full house, nothing that is remembered
 * Guarantees  what leaves and is committed is what leaves without a crash, with the same thresholds, in the same order
 */
static void rates_go_on_as_if_nothing_had_been(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(kinds_of) / sizeof(kinds_of[0]); i++)
        for (uint64_t s = 1; s <= 3; s++)
            if (!is_same(kinds_of[i], 100 * i + s, 6, false))
                fail_msg("settings %u, seed %llu", i, (unsigned long long)s);
}

/*
 * Scenario    the same, but what was decided is not read after a crash
 * Guarantees  the comparison sees it
 */
static void what_is_not_read_is_missed(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        n += !is_same(kinds_of[i], 100 * i + 1, 6, true);
    assert_int_equal(n, 4);
}

/* ---- by hand ---------------------------------------------------------------------------------------------- */

#define ALL     WAITS "rules: [{name: all, sampler: {type: always_sample}}]\n"
#define RULE    "otelcol.processor.dynamic_sampling.rule="
#define MARK(n) "{" RULE n ";ot=th:0}"

/*
 * Scenario    a root in the first step, a trace without one; hours pass for the process; the log's time goes on; late
 *             spans; the end, and a reload, behind a journal
 * Guarantees  only the log's time decides; what is due is told, and since when the oldest waits; nothing leaves at the
 *             end, and the successor goes on
 */
static void time_is_the_logs(void **state)
{
    struct gw_tail_rig heir;
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept(ALL);
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), UINT64_MAX);
    gw_tail_advance(&r, T(0), false);
    gw_tail_send(&r, "1.1r 2.1 0.1");
    assert_string_equal(gw_tail_out(&r), "0.1");
    assert_int_equal(gw_tail_save(&r, false, &out), T(0));
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), T(10));
    gw_tail_wait(&r, 3600);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_advance(&r, T(10), false);
    assert_string_equal(gw_tail_out(&r), "1.1" MARK("all"));
    assert_int_equal(r.received_ns, T(0));
    gw_tail_send(&r, "1.2 3.1");
    assert_string_equal(gw_tail_out(&r), "1.2" MARK("all"));
    gw_tail_open_as(&heir, "dynamic_sampling", WAITS "rules: [{name: others, sampler: {type: always_sample}}]\n");
    assert_int_equal(heir.p.component->adopt(heir.p.self, r.p.self), 0);
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_advance(&heir, T(20), false);
    assert_string_equal(gw_tail_out(&heir), "2.1" MARK("others"));
    gw_tail_send(&heir, "1.3");
    assert_string_equal(gw_tail_out(&heir), "1.3" MARK("all"));
    gw_tail_drain(&heir);
    assert_string_equal(gw_tail_out(&heir), "");
    assert_string_equal(gw_tail_drops(&heir), "in_journal=1");
    gw_tail_close(&heir);
    gw_tail_close(&r); /* whose clock it has gone on with */
    gw_buf_clear(&out);
}

/*
 * Scenario    a record of decisions by rules whose names are others' in the next process; two spans that together are
 *             more than there is room for, behind a journal; one that is more than comes in any step
 * Guarantees  late spans follow by the name of the rule that decided; the first by its id is decided when the step has
 *             ended; the last one alone, at once, and what is of its trace follows
 */
static void names_and_giants(void **state)
{
    enum { GIANT = 1020000 };
    static char giant[36 * GIANT + 64];
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept(ALL);
    gw_tail_advance(&r, T(0), false);
    gw_tail_send(&r, "1.1r");
    gw_tail_advance(&r, T(10), false);
    (void)gw_tail_save(&r, true, &out);
    gw_tail_close(&r);

    open_kept(WAITS "max_bytes: 1048576\nrules: [{name: none, conditions: ['name == \"x\"'], sampler: {type: "
                    "probabilistic, sampling_percentage: 1}}, {name: other, sampler: {type: always_sample}}]\n");
    assert_int_equal(restore(&out), 0);
    gw_tail_advance(&r, T(10), false);
    gw_tail_send(&r, "1.2 2.1r");
    assert_string_equal(gw_tail_out(&r), "1.2" MARK("all"));
    gw_tail_advance(&r, T(20), false);
    assert_string_equal(gw_tail_out(&r), "2.1" MARK("other"));
    (void)snprintf(giant, sizeof(giant), "4.1rw%0*d 3.1rw%0*d", GIANT, 0, GIANT, 0);
    gw_tail_send(&r, giant);
    assert_int_equal(gw_tail_held(&r), 2);
    assert_int_equal(r.p.component->keep->due_ns(r.p.self), 0);
    gw_tail_advance(&r, T(21), false);
    assert_int_equal(gw_tail_held(&r), 1);
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(r.rows[2].trace, 3);
    (void)snprintf(giant, sizeof(giant), "5.1rw%0*d 5.2", 36 * GIANT, 0);
    gw_tail_send(&r, giant);
    assert_int_equal(gw_tail_held(&r), 0); /* 4 has made room, in vain */
    assert_int_equal(r.n_rows, 6);
    assert_string_equal(gw_tail_drops(&r), "");
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    what was decided is read, and before the first step a reload comes with more rules
 * Guarantees  it is the successor's: rates and decisions go on
 */
static void a_reload_before_the_first_step_keeps_it(void **state)
{
    struct gw_tail_rig heir;
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept(kinds_of[3]);
    for (unsigned i = 1; i < 60; i++) {
        char span[32];

        gw_tail_advance(&r, T(10 * i), false);
        (void)snprintf(span, sizeof(span), "%u.1rs1 %u.1rs1", i, i + 1000);
        gw_tail_send(&r, span);
    }
    (void)gw_tail_save(&r, true, &out);
    gw_tail_close(&r);
    open_kept(kinds_of[3]);
    assert_int_equal(restore(&out), 0);
    gw_tail_open_as(&heir, "dynamic_sampling",
                    WAITS
                    "rules: [{name: a, conditions: ['name == \"x\"'], sampler: {type: always_sample}}, {name: b, "
                    "conditions: ['name == \"y\"'], sampler: {type: always_sample}}, {name: rest, sampler: {" KEY
                    ", type: dynamic_throughput, algorithm: total, goal_throughput: 5, adjustment_interval: 3s}}]");
    assert_int_equal(heir.p.component->adopt(heir.p.self, r.p.self), 0);
    gw_tail_advance(&heir, T(600), false);
    gw_tail_send(&heir, "1.2s1 2.2s1");
    assert_int_equal(gw_tail_held(&heir), 0); /* both follow */
    gw_tail_close(&heir);
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    a record that ends at any byte, and one of which any byte is another
 * Guarantees  it is refused, or another one; nothing is read that is not there
 */
static void a_damaged_record_is_harmless(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open_kept(kinds_of[2]);
    gw_tail_advance(&r, T(0), false);
    gw_tail_send(&r, "1.1rs1 2.1rs2");
    gw_tail_advance(&r, T(10), false);
    (void)gw_tail_save(&r, true, &out);
    gw_tail_send(&r, "3.1rs1 4.1rs2");
    gw_tail_advance(&r, T(20), false);
    (void)gw_tail_save(&r, false, &out);
    gw_tail_close(&r);
    for (size_t n = 0; n < 2 * out.n; n += n < out.n ? 2 : 3) {
        size_t len = n < out.n ? n : out.n;
        uint8_t *exact = malloc(len + 1);
        struct gw_buf b = {.n = len};
        int rc;

        memcpy(exact, out.p, len);
        if (n >= out.n)
            exact[n - out.n] ^= 0xff;
        b.p = exact = realloc(exact, len ? len : 1);
        open_kept(kinds_of[2]);
        rc = restore(&b);
        assert_true(rc == 0 || rc == -EBADMSG);
        if (rc == 0) { /* it works on with it */
            gw_tail_advance(&r, T(20), false);
            gw_tail_send(&r, "5.1rs1");
            gw_tail_advance(&r, T(30), false);
        }
        gw_tail_close(&r);
        free(exact);
    }
    gw_buf_clear(&out);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void begin(const char *settings)
{
    gw_lives_begin(&r, "dynamic_sampling", settings, 0, 1);
}

/*
 * Scenario    with a storage a trace with a root and one without wait, another one was kept; the process ends; another
 * begins with a rule of another name; more of them comes Guarantees  nothing leaves at the end; each trace leaves whole
 * when its time is over, the one by the root that it had; the late span follows by the rule that decided
 */
static void what_waits_goes_on_waiting(void **state)
{
    (void)state;
    begin("rules: [{name: all, sampler: {type: always_sample}}]\n");
    gw_tail_send(&r, "3.1r");
    gw_tail_wait(&r, 4);
    assert_string_equal(gw_tail_out(&r), "3.1" MARK("all"));
    gw_tail_send(&r, "1.1r 2.1");
    gw_tail_wait(&r, 1);
    gw_lives_leave(&r);
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(gw_tail_held(&r), 2);
    assert_int_equal((int)gw_lives_spans(&r, "written"), 2);
    gw_tail_close(&r);

    begin("rules: [{name: others, sampler: {type: always_sample}}]\n");
    gw_tail_send(&r, "3.2 1.2");
    assert_string_equal(gw_tail_out(&r), "3.2" MARK("all"));
    assert_int_equal((int)gw_lives_spans(&r, "taken_up"), 2);
    gw_tail_wait(&r, 3);
    assert_string_equal(gw_tail_out(&r), "1.1" MARK("others") " 1.2" MARK("others"));
    assert_true(gw_proc_metric(&r.p, "otelcol_processor_dynamic_sampling_decision_triggers{trigger=\"root_span\"}") ==
                1);
    gw_tail_wait(&r, 25);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 6);
    assert_string_equal(gw_tail_out(&r), "2.1" MARK("others"));
    gw_lives_end(&r);
}

#define KEYED                                                                                                          \
    "decision_delay: 1s\nrules: [{name: keyed, sampler: {type: dynamic_throughput, goal_throughput: 1, algorithm: "    \
    "total, adjustment_interval: 5s, " KEY "}}]\n"

/* A second's traces, of every randomness; how many are kept. */
static unsigned keep_of_100(struct gw_tail_rig *rig, uint64_t from)
{
    unsigned before = rig->n_rows;
    char text[64];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text), "%llu.1rs1",
                       (unsigned long long)((from << 56) + (UINT64_C(1) << 56) / 100 * i + 1));
        gw_tail_send(rig, text);
    }
    gw_tail_wait(rig, 5);
    return rig->n_rows - before;
}

/*
 * Scenario    a rate of one in twenty is known; the end; then one worker, or two, take it up; or another sampler of the
 *             same name
 * Guarantees  rates go on, with another share, too; another sampler begins anew
 */
static void rates_go_on(void **state)
{
    struct gw_tail_rig other;

    (void)state;
    begin(KEYED);
    assert_int_equal(keep_of_100(&r, 1), 100);
    assert_in_range(keep_of_100(&r, 2), 4, 6);
    gw_lives_end(&r);
    begin(KEYED);
    assert_in_range(keep_of_100(&r, 3), 4, 6);
    gw_lives_end(&r);
    gw_lives_begin(&r, "dynamic_sampling", KEYED, 0, 2);
    gw_lives_begin(&other, "dynamic_sampling", KEYED, 1, 2);
    assert_in_range(keep_of_100(&r, 4), 1, 6);
    assert_in_range(keep_of_100(&other, 5), 1, 6);
    gw_lives_leave(&r);
    gw_lives_leave(&other);
    gw_tail_close(&other);
    gw_tail_close(&r);
    begin(KEYED);
    assert_in_range(keep_of_100(&r, 6), 1, 6); /* each of the two had 100 a second */
    gw_lives_end(&r);
    begin("decision_delay: 1s\nrules: [{name: keyed, sampler: {type: dynamic_throughput, goal_throughput: 2, "
          "algorithm: total, adjustment_interval: 5s, " KEY "}}]\n");
    assert_int_equal(keep_of_100(&r, 7), 100);
    gw_lives_end(&r);
}

/*
 * Scenario    200 traces of 20 like spans wait, with compress: lz4 and without
 * Guarantees  with it they take less than half as soon as they have rested, and leave as they came
 */
static void compress_packs_what_rests(void **state)
{
    uint64_t held[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        gw_proc_world = NULL;
        gw_tail_open_as(&r, "dynamic_sampling",
                        i ? "trace_timeout: 1h\ncompress: lz4\nrules: [{name: all, sampler: {type: always_sample}}]\n"
                          : "trace_timeout: 1h\nrules: [{name: all, sampler: {type: always_sample}}]\n");
        for (unsigned t = 1; t <= 200; t++)
            gw_tail_send_many(&r, t, 1, 20, 2000);
        for (unsigned k = 0; k < 300; k++) {
            gw_test_env_advance(&r.p.te, 100000000);
            (void)gw_tail_tick(&r);
        }
        held[i] = atomic_load(&r.p.memory.used_bytes);
        gw_test_env_advance(&r.p.te, 3600000000000);
        gw_tail_wait(&r, 4);
        assert_int_equal(r.n_rows, 4000);
        gw_tail_close(&r);
    }
    assert_true(held[0] > 0 && held[1] < held[0] / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_go_on_as_if_nothing_had_been),
        cmocka_unit_test(what_is_not_read_is_missed),
        cmocka_unit_test(time_is_the_logs),
        cmocka_unit_test(names_and_giants),
        cmocka_unit_test(a_reload_before_the_first_step_keeps_it),
        cmocka_unit_test(a_damaged_record_is_harmless),
        cmocka_unit_test_setup_teardown(what_waits_goes_on_waiting, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test_setup_teardown(rates_go_on, gw_lives_setup, gw_lives_teardown),
        cmocka_unit_test(compress_packs_what_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
