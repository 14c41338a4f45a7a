/* SPDX-License-Identifier: Apache-2.0 */
/* The store of waiting traces: what it holds, what it refuses, when what is due. traces_write_test.c: what comes out.
 */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/wire.h"
#include "processors/common/traces_priv.h"
#include "tests/harness_env.h"

enum { N_BATCHES = 6, N_IDS = 300, STEPS = 100000, BUDGET = 1 << 20, MAX_ROWS = 64 };
#define SECOND UINT64_C(1000000000)

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

static void put_text(struct gw_buf *out, unsigned number, const char *text)
{
    put_field(out, number, gw_slice_cstr(text));
}

static struct gw_batch *decode(struct gw_slice request)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, request, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return b;
}

/* A span with a name of n bytes. */
static void put_span(struct gw_buf *scope, size_t n, uint64_t *seed)
{
    struct gw_buf span;

    gw_buf_init(&span, 1 << 20);
    for (size_t i = 0; i < n; i += 8)
        gw_buf_printf(&span, "%08x", (unsigned)gw_test_random(seed));
    span.n = n;
    gw_buf_reset(scope);
    put_field(scope, 5, gw_buf_slice(&span));
    gw_buf_clear(&span);
}

/* Resources of ours: 0 … resources - 1, in each one scope of `rows` spans. */
static struct gw_batch *make(unsigned resources, unsigned rows, size_t span_bytes, uint64_t seed)
{
    struct gw_buf request, resource, scope, span;
    struct gw_batch *b;
    char text[64];

    gw_buf_init(&request, 1 << 26);
    gw_buf_init(&resource, 1 << 26);
    gw_buf_init(&scope, 1 << 26);
    gw_buf_init(&span, 1 << 26);
    for (unsigned i = 0; i < resources; i++) {
        gw_buf_reset(&resource);
        gw_buf_reset(&scope);
        put_text(&scope, 1, "");
        for (unsigned k = 0; k < rows; k++) {
            put_span(&span, gw_test_random(&seed) % span_bytes, &seed);
            put_field(&scope, 2, gw_buf_slice(&span));
        }
        put_text(&resource, 1, "");
        put_field(&resource, 2, gw_buf_slice(&scope));
        (void)snprintf(text, sizeof(text), "url of resource %016llx %u", (unsigned long long)seed, i);
        put_text(&resource, 3, text);
        put_field(&request, 1, gw_buf_slice(&resource));
    }
    b = decode(gw_buf_slice(&request));
    gw_buf_clear(&request);
    gw_buf_clear(&resource);
    gw_buf_clear(&scope);
    gw_buf_clear(&span);
    return b;
}

/* ---- a naive model ---------------------------------------------------------------------------------------- */

struct model_trace {
    bool there;
    uint64_t due_ns, bytes;
    uint32_t spans;
    uint64_t order; /* of adding */
};

struct rig {
    struct gw_test_env te;
    struct gw_traces *t;
    struct gw_batch *batches[N_BATCHES];
    struct model_trace model[N_IDS];
    uint64_t seed, now_ns, added, refused, packed;
};

static void name(uint8_t id[16], unsigned i)
{
    memset(id, 0, 16);
    id[3] = (uint8_t)i;
    id[12] = (uint8_t)(i >> 8);
}

static unsigned number_of(const struct gw_trace *trace)
{
    return (unsigned)trace->id[3] | (unsigned)trace->id[12] << 8;
}

static unsigned below(struct rig *r, unsigned n)
{
    return (unsigned)(gw_test_random(&r->seed) % n);
}

static struct gw_trace *find(struct rig *r, unsigned i)
{
    uint8_t id[16];
    struct gw_trace *trace;

    name(id, i);
    trace = gw_traces_find(r->t, id);
    assert_int_equal(trace != NULL, r->model[i].there);
    return trace;
}

static void check_trace(struct rig *r, const struct gw_trace *trace)
{
    const struct model_trace *m = &r->model[number_of(trace)];

    assert_true(m->there);
    assert_int_equal(trace->n_spans, m->spans);
    assert_int_equal(gw_trace_bytes(trace), m->bytes);
    assert_int_equal(trace->due_ns, m->due_ns);
    assert_int_equal(trace->facts[0], (uint8_t)number_of(trace)); /* facts are nobody else's */
    assert_int_equal(trace->facts[39], (uint8_t)(number_of(trace) >> 8));
}

static void drop(struct rig *r, struct gw_trace *trace)
{
    check_trace(r, trace);
    r->model[number_of(trace)] = (struct model_trace){0};
    gw_traces_drop(r->t, trace);
}

static struct gw_trace *add(struct rig *r, unsigned i)
{
    uint64_t due = r->now_ns + (below(r, 50) ? below(r, 40) * SECOND / 3 : below(r, 2000000) * SECOND);
    struct gw_trace *trace = NULL;
    uint8_t id[16];

    name(id, i);
    while (!trace) {
        trace = gw_traces_add(r->t, id, r->now_ns, due);
        if (!trace) {
            r->refused++;
            drop(r, gw_traces_oldest(r->t));
        }
    }
    assert_int_equal(trace->facts[0] + trace->facts[39], 0);
    trace->facts[0] = (uint8_t)i;
    trace->facts[39] = (uint8_t)(i >> 8);
    r->model[i] = (struct model_trace){.there = true, .due_ns = due, .order = ++r->added};
    return trace;
}

static void keep(struct rig *r)
{
    const struct gw_batch *b = r->batches[below(r, N_BATCHES)];
    const struct gw_scope *scope = &b->scopes[below(r, b->n_scopes)];
    uint32_t rows[MAX_ROWS], n = 0;
    unsigned i = below(r, N_IDS);
    uint64_t bytes = 0;
    struct gw_trace *trace = find(r, i);
    int e;

    for (uint32_t row = scope->rows.begin; row < scope->rows.end && n < MAX_ROWS; row++)
        if (below(r, 3) == 0) {
            rows[n++] = row;
            bytes += 1 + gw_varint_size(b->raw[row].len) + b->raw[row].len;
        }
    gw_traces_begin(r->t, b);
    for (;;) {
        trace = trace ? trace : add(r, i);
        e = gw_traces_keep(r->t, trace, rows, n);
        if (e == 0)
            break;
        assert_int_equal(e, -ENOSPC);
        check_trace(r, trace);
        r->refused++;
        if (gw_traces_oldest(r->t) == trace)
            trace = NULL;
        drop(r, gw_traces_oldest(r->t));
    }
    gw_traces_end(r->t);
    r->model[i].spans += n;
    r->model[i].bytes += bytes;
}

static uint64_t tick_of(uint64_t due_ns)
{
    return due_ns / SECOND + (due_ns % SECOND != 0);
}

/* All that is due, and nothing else, in the order of their ticks. */
static void tick(struct rig *r)
{
    uint64_t last = 0, now_tick;
    struct gw_trace *trace;

    r->now_ns += below(r, 200) ? below(r, 2) * SECOND + below(r, 1000000) : below(r, 3000000) * SECOND;
    now_tick = r->now_ns / SECOND;
    while ((trace = gw_traces_next_due(r->t, r->now_ns)) != NULL) {
        assert_true(tick_of(trace->due_ns) <= now_tick);
        assert_true(tick_of(trace->due_ns) >= last);
        last = tick_of(trace->due_ns);
        drop(r, trace);
    }
    for (unsigned i = 0; i < N_IDS; i++)
        if (r->model[i].there)
            assert_true(tick_of(r->model[i].due_ns) > now_tick);
}

static void change_due(struct rig *r)
{
    unsigned i = below(r, N_IDS);
    struct gw_trace *trace = find(r, i);

    if (!trace)
        return;
    r->model[i].due_ns = below(r, 9) ? r->now_ns + below(r, 9000) * SECOND / 7 : UINT64_MAX - below(r, 9);
    if (r->model[i].due_ns <= r->now_ns / SECOND * SECOND) /* not looked at in this tick any more */
        r->model[i].due_ns = r->now_ns + SECOND;
    gw_traces_set_due(r->t, trace, r->model[i].due_ns);
}

/* What rests is packed, some of it. */
static void cool(struct rig *r)
{
    r->now_ns += below(r, 3) * SECOND;
    (void)gw_traces_cool(r->t, r->now_ns, below(r, 100000));
    for (const struct gw_trace *x = gw_traces_oldest(r->t); x; x = gw_traces_newer(r->t, x))
        r->packed += x->cold_bytes > 0;
}

static void check_all(struct rig *r)
{
    uint64_t n = 0, spans = 0, order = 0;

    for (struct gw_trace *x = gw_traces_oldest(r->t); x; x = gw_traces_newer(r->t, x)) {
        check_trace(r, x);
        assert_true(r->model[number_of(x)].order > order);
        order = r->model[number_of(x)].order;
        n++;
    }
    assert_int_equal(n, gw_traces_n(r->t));
    for (unsigned i = 0; i < N_IDS; i++) {
        n -= r->model[i].there;
        spans += r->model[i].spans;
        (void)find(r, i);
    }
    assert_int_equal(n, 0);
    assert_int_equal(spans, gw_traces_n_spans(r->t));
}

static void step(struct rig *r)
{
    unsigned what = below(r, 100);
    struct gw_trace *trace;

    if (what < 70)
        keep(r);
    else if (what < 80)
        change_due(r);
    else if (what < 95 && (trace = find(r, below(r, N_IDS))) != NULL)
        drop(r, trace);
    else if (what == 98 && below(r, 4) == 0)
        cool(r);
    else if (what == 99)
        tick(r);
    assert_int_equal(gw_traces_held_bytes(r->t), gw_traces_count_bytes(r->t));
    assert_true(gw_traces_held_bytes(r->t) <= BUDGET);
}

/*
 * Scenario: 100,000 steps, seeded: rows of six requests are kept for 300 traces, traces are dropped, are due, are put
 * off to the end of time, the clock jumps by weeks; a MiB of budget is too little for all of them.
 * Guarantees: every trace has the spans and bytes that a list of them says, is found, stands in its place in the order,
 * is due in its tick and not before, and has its own facts; a refusal changes nothing; what is held is what all parts
 * say, never more than the budget, and nothing in the end.
 */
static void random_steps(bool compress, unsigned steps)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct gw_traces_conf conf = {.budget_bytes = BUDGET, .facts_bytes = 40, .tick_ns = SECOND, .compress = compress};

    gw_test_env_init(&r->te, 1);
    conf.env = &r->te.env;
    r->seed = 42;
    r->now_ns = 1000 * SECOND;
    r->t = gw_traces_new(&conf);
    for (unsigned i = 0; i < N_BATCHES; i++)
        r->batches[i] = make(1 + i, 30, i == 5 ? 3000 : 200, i);
    for (unsigned i = 0; i < steps; i++) {
        step(r);
        if (i % 256 == 0)
            check_all(r);
    }
    assert_true(r->refused > 100);
    assert_int_equal(r->packed > 0, compress);
    while (gw_traces_n(r->t))
        drop(r, gw_traces_oldest(r->t));
    assert_int_equal(r->t->blocks.slabs.n_used + r->t->runs.n_used + r->t->envelopes.items.n_used, 0);
    gw_traces_free(r->t);
    for (unsigned i = 0; i < N_BATCHES; i++)
        (void)gw_batch_unref(r->batches[i]);
    gw_test_env_clear(&r->te);
    free(r);
}

static void test_random_steps_against_a_model(void **state)
{
    (void)state;
    random_steps(/* compress= */ false, STEPS);
    random_steps(/* compress= */ true, STEPS / 2);
}

static void put_all(struct gw_traces *t, struct gw_trace *trace, const struct gw_batch *b)
{
    gw_traces_begin(t, b);
    for (uint32_t row = 0; row < b->n_rows; row++)
        assert_int_equal(gw_traces_keep(t, trace, &row, 1), 0);
    gw_traces_end(t);
}

/* ---- packing ---------------------------------------------------------------------------------------------- */

static uint64_t packed_traces(struct gw_traces *t)
{
    uint64_t n = 0;

    for (const struct gw_trace *x = gw_traces_oldest(t); x; x = gw_traces_newer(t, x))
        n += x->cold_bytes > 0;
    return n;
}

/*
 * Scenario: 100 traces of many like spans, one of them short, one that gets a span every half second.
 * Guarantees: a second after its last span a trace is packed, at a fraction of its size; not the short one, not the one
 * that still grows; a call packs no more than it is told and says that there is more. What comes later stands behind,
 * and is packed in its turn, with the dictionary that the trace has. When all are gone only the last dictionary is
 * left.
 */
static void test_what_rests_is_packed(void **state)
{
    struct gw_traces_conf conf = {.tick_ns = SECOND, .compress = true};
    struct gw_batch *b = make(1, 40, 120, 4);
    struct gw_trace *all[100];
    struct gw_test_env te;
    struct gw_traces *t;
    uint64_t plain, now = 1000 * SECOND;

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    for (unsigned i = 0; i < 100; i++) {
        uint8_t id[16] = {(uint8_t)i, 5};
        uint32_t row = 0;

        all[i] = gw_traces_add(t, id, now, now + 100 * SECOND);
        if (i > 0)
            put_all(t, all[i], b);
        gw_traces_begin(t, b);
        assert_int_equal(gw_traces_keep(t, all[i], &row, 1), 0);
        gw_traces_end(t);
    }
    plain = gw_blocks_held_bytes(&t->blocks);
    assert_false(gw_traces_cool(t, now + SECOND / 2, UINT64_MAX));
    assert_int_equal(packed_traces(t), 0);
    put_all(t, all[99], b); /* half a second later */
    assert_true(gw_traces_cool(t, now + SECOND, 1));
    assert_true(gw_traces_cool(t, now + SECOND, 1));
    assert_int_equal(packed_traces(t), 1);
    assert_false(gw_traces_cool(t, now + SECOND, UINT64_MAX));
    assert_int_equal(packed_traces(t), 98);
    assert_true(gw_blocks_held_bytes(&t->blocks) < plain / 2);
    assert_int_equal(gw_traces_held_bytes(t), gw_traces_count_bytes(t));
    assert_int_equal(all[0]->cold_bytes, 0);
    put_all(t, all[50], b);
    assert_false(gw_traces_cool(t, now + 3 * SECOND, UINT64_MAX));
    assert_int_equal(packed_traces(t), 99);
    assert_int_equal(all[50]->chain.n_bytes, 0);
    assert_int_equal(gw_trace_bytes(all[50]),
                     gw_trace_bytes(all[49]) + gw_trace_bytes(all[49]) - gw_trace_bytes(all[0]));
    for (unsigned i = 0; i < 100; i++)
        gw_traces_drop(t, all[i]);
    assert_int_equal(t->blocks.slabs.n_used, 0);
    assert_int_equal(gw_cold_n_dicts(t->cold), 1);
    assert_int_equal(gw_traces_held_bytes(t), gw_traces_count_bytes(t));
    gw_traces_free(t);
    (void)gw_batch_unref(b);
    gw_test_env_clear(&te);
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

/*
 * Scenario: no more than three traces; and a trace whose counts are at their ends.
 * Guarantees: the fourth is refused until one is gone. What a trace cannot count is refused by a name of its own, and
 * nothing is kept.
 */
static void test_counts(void **state)
{
    struct gw_traces_conf conf = {.max_traces = 3, .tick_ns = SECOND};
    struct gw_batch *b = make(1, 1, 100, 1);
    struct gw_test_env te;
    struct gw_trace *last = NULL;
    struct gw_traces *t;
    struct gw_chain chain;
    uint32_t row = 0;
    uint8_t id[16];

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    for (unsigned i = 0; i < 3; i++) {
        name(id, i);
        last = gw_traces_add(t, id, 1, 2);
        assert_non_null(last);
    }
    name(id, 3);
    assert_null(gw_traces_add(t, id, 1, 2));
    gw_traces_drop(t, gw_traces_oldest(t));
    assert_non_null(gw_traces_add(t, id, 1, 2));

    gw_traces_begin(t, b);
    last->n_spans = UINT32_MAX;
    assert_int_equal(gw_traces_keep(t, last, &row, 1), -EOVERFLOW);
    last->n_spans = 0;
    chain = last->chain;
    last->chain.n_bytes = UINT32_MAX - 1;
    assert_int_equal(gw_traces_keep(t, last, &row, 1), -EOVERFLOW);
    last->chain = chain;
    assert_int_equal(gw_traces_keep(t, last, &row, 1), 0);
    assert_int_equal(last->n_spans, 1);
    gw_traces_end(t);
    gw_traces_free(t);
    gw_traces_free(NULL);
    (void)gw_batch_unref(b);
    gw_test_env_clear(&te);
}

/*
 * Scenario: a trace is put off into the past, another to a time behind it.
 * Guarantees: the first is due at once, whatever the clock was, the other in its tick.
 */
static void test_due_in_the_past_is_due_now(void **state)
{
    struct gw_traces_conf conf = {.tick_ns = SECOND};
    struct gw_trace *a, *b;
    struct gw_test_env te;
    struct gw_traces *t;
    uint8_t id[16] = {1};

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    a = gw_traces_add(t, id, 5000 * SECOND, 5010 * SECOND);
    id[0] = 2;
    b = gw_traces_add(t, id, 5000 * SECOND, 5010 * SECOND);
    assert_null(gw_traces_next_due(t, 5003 * SECOND));
    gw_traces_set_due(t, a, 7 * SECOND);
    assert_ptr_equal(gw_traces_next_due(t, 5003 * SECOND), a);
    gw_traces_set_due(t, a, 5003 * SECOND + 1);
    assert_null(gw_traces_next_due(t, 5003 * SECOND + 2)); /* within a tick */
    assert_ptr_equal(gw_traces_next_due(t, 5004 * SECOND), a);
    gw_traces_drop(t, a);
    assert_null(gw_traces_next_due(t, 5009 * SECOND));
    assert_ptr_equal(gw_traces_next_due(t, 9000 * SECOND), b);
    gw_traces_free(t);
    gw_test_env_clear(&te);
}

/*
 * Scenario: a long trace fills a budget of 1 MiB and is dropped; then only traces without spans come; then a long one
 * again. Guarantees: the memory that spans had is the traces' now, and back; three quarters of the budget can be used.
 */
static void test_reserves_are_no_reason_to_refuse(void **state)
{
    struct gw_traces_conf conf = {.budget_bytes = BUDGET, .tick_ns = SECOND};
    struct gw_batch *b = make(1, 1, 3000, 9);
    struct gw_test_env te;
    struct gw_trace *x;
    struct gw_traces *t;
    uint8_t id[16] = {0};
    uint32_t row = 0;

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    x = gw_traces_add(t, id, 1, 2);
    gw_traces_begin(t, b);
    while (gw_traces_keep(t, x, &row, 1) == 0)
        ;
    gw_traces_end(t);
    gw_traces_drop(t, x);
    for (uint32_t i = 1; i < 100000; i++) {
        memcpy(id, &i, sizeof(i));
        if (!gw_traces_add(t, id, 1, 2))
            break;
    }
    assert_true(gw_traces_n(t) * sizeof(*x) > BUDGET * 3 / 4);
    while (gw_traces_n(t))
        gw_traces_drop(t, gw_traces_oldest(t));
    x = gw_traces_add(t, id, 1, 2); /* and back */
    gw_traces_begin(t, b);
    while (gw_traces_keep(t, x, &row, 1) == 0)
        ;
    gw_traces_end(t);
    assert_true(x->chain.n_bytes > BUDGET * 3 / 4);
    gw_traces_free(t);
    (void)gw_batch_unref(b);
    gw_test_env_clear(&te);
}

/*
 * Scenario: a budget of 1 MiB and a client whose every span has a resource of its own, 20,000 of them.
 * Guarantees: all is counted; room is made by dropping the oldest; with the last span the last resource is gone.
 */
static void test_a_resource_a_span(void **state)
{
    struct gw_traces_conf conf = {.budget_bytes = BUDGET, .tick_ns = SECOND};
    struct gw_test_env te;
    struct gw_traces *t;
    uint64_t dropped = 0;

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    for (unsigned i = 0; i < 20; i++) {
        struct gw_batch *b = make(1000, 1, 100, i + 1);

        gw_traces_begin(t, b);
        for (uint32_t row = 0; row < b->n_rows; row++) {
            struct gw_trace *trace;
            uint8_t id[16] = {1, (uint8_t)i, (uint8_t)row, (uint8_t)(row >> 8)};

            while (!(trace = gw_traces_add(t, id, i, i + 1)) || gw_traces_keep(t, trace, &row, 1) < 0) {
                if (trace)
                    gw_traces_drop(t, trace);
                assert_true(gw_traces_n(t) > 0);
                gw_traces_drop(t, gw_traces_oldest(t));
                dropped++;
            }
            assert_true(gw_traces_held_bytes(t) <= BUDGET);
        }
        gw_traces_end(t);
        assert_int_equal(gw_traces_held_bytes(t), gw_traces_count_bytes(t));
        (void)gw_batch_unref(b);
    }
    assert_true(dropped > 10000 && gw_traces_n(t) > 500);
    assert_int_equal(t->envelopes.items.n_used, 2 * gw_traces_n(t));
    while (gw_traces_n(t))
        gw_traces_drop(t, gw_traces_oldest(t));
    assert_int_equal(t->envelopes.items.n_used + t->blocks.slabs.n_used, 0);
    gw_traces_free(t);
    gw_test_env_clear(&te);
}

/*
 * Scenario: 200,000 traces of a span, all forgotten; the clock goes on for a minute.
 * Guarantees: what is held, pages of the system and all, falls to next to nothing, a little with each look; the store
 * goes on.
 */
static void test_memory_goes_back(void **state)
{
    struct gw_traces_conf conf = {.facts_bytes = 8, .tick_ns = SECOND};
    struct gw_batch *b = make(1, 100, 200, 3);
    struct gw_test_env te;
    struct gw_traces *t;
    uint64_t peak, after;
    uint8_t id[16] = {0};

    (void)state;
    gw_test_env_init(&te, 1);
    conf.env = &te.env;
    t = gw_traces_new(&conf);
    gw_traces_begin(t, b);
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t row = i % b->n_rows;

        memcpy(id, &i, sizeof(i));
        assert_int_equal(gw_traces_keep(t, gw_traces_add(t, id, SECOND, 2 * SECOND), &row, 1), 0);
    }
    gw_traces_end(t);
    peak = gw_traces_held_bytes(t);
    for (struct gw_trace *x; (x = gw_traces_next_due(t, 3 * SECOND)) != NULL;)
        gw_traces_drop(t, x);
    assert_true(peak > 200000 * 256);
    assert_int_equal(t->index.n_segments, 1); /* the index is small again at once */
    after = gw_traces_held_bytes(t);
    for (uint64_t s = 4; s < 60; s++) {
        assert_null(gw_traces_next_due(t, s * SECOND));
        assert_true(gw_traces_held_bytes(t) + 80 * (1 << 20) > after);
        after = gw_traces_held_bytes(t);
    }
    assert_true(after < 64 << 10);
    assert_int_equal(after, gw_traces_count_bytes(t));
    put_all(t, gw_traces_add(t, id, 60 * SECOND, 61 * SECOND), b);
    assert_int_equal(gw_traces_n_spans(t), 100);
    gw_traces_free(t);
    (void)gw_batch_unref(b);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_steps_against_a_model),
        cmocka_unit_test(test_what_rests_is_packed),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_due_in_the_past_is_due_now),
        cmocka_unit_test(test_reserves_are_no_reason_to_refuse),
        cmocka_unit_test(test_a_resource_a_span),
        cmocka_unit_test(test_memory_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
