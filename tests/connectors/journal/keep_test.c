/* SPDX-License-Identifier: Apache-2.0 */
/* A journal before a pipeline that keeps rows: steps, barriers, ticks, and what comes again. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/keep.h"
#include "pipeline/ports.h"
#include "tests/harness_logs.h"

#define MS   1000000ull
#define S    1000000000ull
#define STEP GW_KEEP_STEP_NS

static struct gw_test_engine t;

/* ---- a processor that says what it is told -------------------------------------------------------------------- */

/* "[2] 5 6 " : the step began that is the third one since the first; spans 5 and 6 came in it. "[2r]": they come
 * again. */
static struct {
    char text[8192];
    size_t n;
    uint64_t first_ns, oldest_ns, due_ns;
    unsigned more, n_saves; /* so many times it is not done with a step */
    bool drops;             /* nothing leaves */
    bool is_dead;           /* what it hears while its process ends does not count */
} saw;

static void say(const char *before, unsigned long long number, const char *behind)
{
    if (!saw.is_dead)
        saw.n += (size_t)snprintf(saw.text + saw.n, sizeof(saw.text) - saw.n, "%s%llu%s ", before, number, behind);
    assert_true(saw.n < sizeof(saw.text));
}

static int create_keeper(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx, (void)conf, (void)err;
    *ret = calloc(1, 1);
    return *ret ? 0 : -ENOMEM;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = gw_view_next(v, row + 1))
        say("", v->batch->time_ns[row], "");
    if (saw.drops)
        gw_view_settle_all(v, out->ledger, GW_DROPPED, "test", NULL);
    gw_emit(out, 0, v);
}

static int begin(void *self)
{
    (void)self;
    return 0;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    (void)self;
    assert_int_equal(record.n, 1);
    assert_int_equal(owner->n_parts, owner->of_parts);
    return 0;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    (void)self, (void)out;
    assert_int_equal(now_ns % STEP, 0);
    if (!saw.first_ns)
        saw.first_ns = now_ns;
    if (saw.more && saw.more--)
        return GW_MORE;
    say("[", (now_ns - saw.first_ns) / STEP, rebuilds ? "r]" : "]");
    return GW_DONE;
}

static int save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    (void)self, (void)whole;
    gw_buf_put_u8(out, 's');
    *ret_oldest_ns = saw.oldest_ns;
    saw.n_saves += !saw.is_dead;
    return GW_DONE;
}

static uint64_t due_ns(const void *self)
{
    (void)self;
    return saw.due_ns;
}

static const struct gw_keep_ops ops = {
    .begin = begin, .restore = restore, .advance = advance, .save = save, .due_ns = due_ns};
static const struct gw_field no_fields[] = {{0}};
static const struct gw_component keeper = {.kind = GW_PROCESSOR,
                                           .name = "keeper",
                                           .summary = "Says what it is told.",
                                           .signals = GW_TRACES,
                                           .reads = GW_C_ROW,
                                           .partition_by = "trace_id",
                                           .expands = 1,
                                           .holds = true,
                                           .fields = no_fields,
                                           .conf_size = 1,
                                           .create = create_keeper,
                                           .destroy = free,
                                           .consume = consume,
                                           .keep = &ops};

/* ---- the gateway ---------------------------------------------------------------------------------------------- */

static void life(void)
{
    saw.n = 0;
    saw.text[0] = 0;
    saw.is_dead = false;
    gw_test_logs_engine(&t,
                        "receivers: { scripted: }\nprocessors: { keeper: }\n"
                        "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"
                        "connectors: { journal/j: { storage: file_storage, partition_by: trace_id } }\n"
                        "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                        "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
                        "    traces/out: { receivers: [journal/j], processors: [keeper], exporters: [scripted] }\n",
                        1);
}

static void open(void)
{
    memset(&saw, 0, sizeof(saw));
    saw.oldest_ns = saw.due_ns = UINT64_MAX;
    gw_test_spans_a_trace = 100; /* one trace: one partition, in order */
    gw_test_own_components[0] = &keeper;
    gw_test_logs_begin(1);
    life();
}

static void die(void)
{
    saw.is_dead = true;
    gw_test_logs_crash(&t, false);
}

static void end(void)
{
    saw.is_dead = true;
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
    gw_test_own_components[0] = NULL;
    gw_test_spans_a_trace = 1;
}

static void pass(uint64_t ns)
{
    for (; ns >= 10 * MS; ns -= 10 * MS)
        gw_test_logs_turn(&t, 2, 10 * MS);
}

/* One span in the middle of the next step. */
static void send(uint64_t name)
{
    uint64_t now = gw_wall_ns(&t.te.env);

    gw_test_logs_turn(&t, 2, STEP - now % STEP + STEP / 2);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, name, 1, (uint32_t)name);
    gw_test_logs_turn(&t, 6, 0);
}

static uint64_t first(void)
{
    return saw.first_ns;
}

/* Since the last time. */
static void saw_it(const char *text)
{
    assert_string_equal(saw.text, text);
    saw.n = 0;
    saw.text[0] = 0;
}

/*
 * Scenario    spans in steps that follow each other, and one some steps later; the pipeline needs three turns for the
 *             second step
 * Guarantees  a step begins before its spans come and when those of the one before have; nothing comes while it is not
 *             done with it; steps without spans do not begin
 */
static void a_step_begins_when_the_one_before_is_consumed(void **state)
{
    (void)state;
    open();
    saw.drops = true;
    send(1);
    saw_it("[0] 1 ");
    saw.more = 20;
    send(2);
    saw_it("");
    pass(100 * MS);
    assert_int_equal(saw.more, 0);
    saw_it("[1] 2 ");
    gw_test_logs_turn(&t, 1, 3 * STEP);
    send(3);
    saw_it("[6] 3 ");
    end();
}

/* The step of the n-th barrier. */
static uint64_t step_of(unsigned n)
{
    const char *p = strchr(saw.text, '[');

    while (p && n--)
        p = strchr(p + 1, '[');
    assert_non_null(p);
    return strtoull(p + 1, NULL, 10);
}

static unsigned n_barriers(void)
{
    unsigned n = 0;

    for (const char *p = saw.text; (p = strchr(p, '[')) != NULL; p++)
        n++;
    return n;
}

/*
 * Scenario    nothing comes any more; something is due half a second behind the first step, then nothing is, and one
 *             span more comes
 * Guarantees  the journal is written a step when it is due, one a second behind the last news, and no more of them
 */
static void idleness_is_told_when_it_is_asked_for(void **state)
{
    (void)state;
    open();
    saw.drops = true;
    send(1);
    saw.due_ns = first() + 5 * STEP;
    pass(4 * STEP);
    saw_it("[0] 1 ");
    pass(STEP);
    saw.due_ns = UINT64_MAX;
    saw_it("[5] ");
    pass(60 * S);
    saw_it("");
    send(2);
    pass(20 * S);
    assert_int_equal(n_barriers(), 2);
    assert_int_equal(step_of(1), step_of(0) + 10);
    end();
}

/*
 * Scenario    a span leaves; nothing is due, and nothing more comes
 * Guarantees  the next step begins at once, so that it is committed
 */
static void what_leaves_is_committed_soon(void **state)
{
    (void)state;
    open();
    send(1);
    pass(STEP);
    saw_it("[0] 1 [1] ");
    assert_int_equal(saw.n_saves, 2);
    pass(60 * S);
    saw_it("");
    end();
}

/*
 * Scenario    what is due is past already, for ten seconds
 * Guarantees  a step is begun each tenth of a second, and no more
 */
static void a_tick_is_at_most_one_a_step(void **state)
{
    (void)state;
    open();
    send(1);
    saw.due_ns = 1;
    saw_it("[0] 1 ");
    pass(10 * S);
    assert_in_range(n_barriers(), 95, 101);
    end();
}

/*
 * Scenario    four spans are consumed, those from the second on are kept; the process is gone
 * Guarantees  they come again, in their steps, as such; then it goes on behind them. When none is kept none comes again
 */
static void what_is_kept_comes_again(void **state)
{
    (void)state;
    open();
    send(1);
    send(2);
    saw.oldest_ns = first() + STEP;
    send(3);
    send(4);
    send(5);
    saw_it("[0] 1 [1] 2 [2] 3 [3] 4 [4] 5 ");
    assert_true(saw.n_saves > 0);
    die();

    life();
    pass(50 * MS);
    saw_it("[1r] 2 [2r] 3 [3r] 4 [4] 5 ");
    saw.oldest_ns = UINT64_MAX;
    send(6);
    send(7);
    pass(2 * S);
    die();

    life();
    pass(50 * MS);
    assert_null(strstr(saw.text, "r]"));
    assert_true(n_barriers() <= 1 && saw.n <= strlen("[1000] "));
    end();
}

/*
 * Scenario    a span is kept; steps begin without any, for what is due; the process is gone, and nothing comes any more
 * Guarantees  those steps come again, too, and new ones follow them: nobody has to send something first
 */
static void steps_without_rows_come_again(void **state)
{
    (void)state;
    open();
    saw.drops = true;
    send(1);
    saw.oldest_ns = first();
    saw.due_ns = first() + 5 * STEP;
    pass(5 * STEP);
    saw.due_ns = first() + 8 * STEP;
    pass(3 * STEP);
    saw.due_ns = UINT64_MAX;
    saw_it("[0] 1 [5] [8] ");
    die();

    saw.due_ns = first() + 20 * STEP;
    life();
    pass(50 * MS);
    saw_it("[0r] 1 [5r] [8] ");
    pass(2 * S);
    assert_true(n_barriers() > 0 && step_of(0) >= 20);
    end();
}

/*
 * Scenario    the clock is set back an hour between two spans, and again while the process is away
 * Guarantees  time stands or goes on: no step is before the one before it
 */
static void time_never_goes_back(void **state)
{
    unsigned long long last = 0, at;

    (void)state;
    open();
    send(1);
    t.te.wall_offset_ns -= 3600 * S;
    send(2);
    send(3);
    saw.oldest_ns = first();
    send(4);
    die();
    life();
    t.te.wall_offset_ns -= 7200 * S;
    send(5);
    send(6);
    for (const char *p = saw.text; (p = strchr(p, '[')) != NULL; p++) {
        at = strtoull(p + 1, NULL, 10);
        assert_true(at >= last && at < 20);
        last = at;
    }
    assert_non_null(strstr(saw.text, "5 "));
    assert_non_null(strstr(saw.text, "6 "));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_begins_when_the_one_before_is_consumed),
        cmocka_unit_test(idleness_is_told_when_it_is_asked_for),
        cmocka_unit_test(what_leaves_is_committed_soon),
        cmocka_unit_test(a_tick_is_at_most_one_a_step),
        cmocka_unit_test(what_is_kept_comes_again),
        cmocka_unit_test(steps_without_rows_come_again),
        cmocka_unit_test(time_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
