/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>

#include "processors/tail_sampling/sums.h"
#include "tests/harness_env.h"

enum { IDS = 200, MAX = 4000, TURNS = 40000, BASE = UINT32_MAX - 3000 }; /* steps run over their end */

struct model {
    struct gw_sum *at;
    struct gw_trace_facts facts;
    uint32_t first, last, root;
    uint8_t id;
    bool is_open, is_rooted;
};

struct world {
    struct gw_test_env te;
    struct gw_sums *sums;
    struct gw_sums_conf conf;
    struct model all[MAX]; /* in order of `last` */
    unsigned n;
    uint32_t step;
    uint64_t seed;
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static void id_of(uint8_t n, uint8_t ret[16])
{
    memset(ret, 0, 16);
    ret[3] = n;
}

static void open(struct world *w, unsigned kind)
{
    gw_test_env_init(&w->te, 1);
    w->conf = (struct gw_sums_conf){.env = &w->te.env,
                                    .n_words = kind % 5,
                                    .running = kind & 1,
                                    .wire_bytes = kind & 2,
                                    .framed_bytes = kind & 4,
                                    .randomness = kind & 8,
                                    .rooted = kind & 16};
    w->sums = gw_sums_new(&w->conf);
    w->seed = kind + 1;
    w->step = (uint32_t)BASE;
    assert_non_null(w->sums);
}

static void close(struct world *w)
{
    gw_sums_free(w->sums);
    gw_test_env_clear(&w->te);
}

static struct model *newest(struct world *w, uint8_t id)
{
    for (unsigned i = w->n; i > 0; i--)
        if (w->all[i - 1].id == id)
            return &w->all[i - 1];
    return NULL;
}

/* What is not asked for is not there. */
static struct gw_trace_facts facts_of(struct world *w)
{
    struct gw_trace_facts f = {
        .min_start_ns = any(w, 9),
        .max_end_ns = any(w, UINT64_MAX),
        .running_start_ns = w->conf.running ? any(w, UINT64_MAX) : 0,
        .wire_bytes = w->conf.wire_bytes ? any(w, UINT64_MAX) : 0,
        .framed_bytes = w->conf.framed_bytes ? any(w, UINT64_MAX) : 0,
        .randomness = w->conf.randomness ? any(w, UINT64_MAX) : 0,
        .n_spans = (uint32_t)any(w, UINT32_MAX),
        .has_root = (uint8_t)any(w, 2),
        .has_randomness = (uint8_t)any(w, 2),
        .has_sampling_info = (uint8_t)any(w, 2),
        .bad_trace_state = (uint8_t)any(w, 2),
    };

    for (unsigned i = 0; i < w->conf.n_words; i++)
        f.bits[i] = any(w, UINT64_MAX);
    return f;
}

static void touch(struct world *w, struct model *m)
{
    struct model copy = *m;

    gw_sums_touch(w->sums, m->at, w->step);
    copy.last = w->step;
    memmove(m, m + 1, (size_t)(&w->all[w->n - 1] - m) * sizeof(*m));
    w->all[w->n - 1] = copy;
}

static void rows_come(struct world *w)
{
    uint8_t id = (uint8_t)any(w, IDS), bytes[16];
    struct model *m = newest(w, id);

    id_of(id, bytes);
    assert_ptr_equal(gw_sums_find(w->sums, bytes), m ? m->at : NULL);
    if (w->n < MAX && (!m || (!m->is_open && m->last != w->step))) {
        m = &w->all[w->n++];
        *m = (struct model){.id = id, .first = w->step, .last = w->step, .is_open = any(w, 4)};
        m->at = gw_sums_add(w->sums, bytes, w->step);
        if (m->is_open)
            gw_sums_open(w->sums, m->at);
    }
    if (!m)
        return;
    m->facts = facts_of(w);
    gw_sums_put(w->sums, m->at, &m->facts);
    if (w->conf.rooted && m->is_open && !m->is_rooted && any(w, 3) == 0) {
        gw_sums_root(w->sums, m->at, w->step);
        m->is_rooted = true;
        m->root = w->step;
    }
    touch(w, m);
}

static void one_leaves(struct world *w)
{
    unsigned i = (unsigned)any(w, w->n + 1u);

    if (i == w->n)
        return;
    if (w->all[i].is_open && any(w, 3)) {
        gw_sums_shut(w->sums, w->all[i].at);
        w->all[i].is_open = w->all[i].is_rooted = false;
        return;
    }
    gw_sums_drop(w->sums, w->all[i].at);
    memmove(&w->all[i], &w->all[i + 1], (w->n - i - 1) * sizeof(w->all[0]));
    w->n--;
}

static void look(struct world *w)
{
    const struct model *oldest = NULL, *rooted = NULL;
    struct gw_sum *at = gw_sums_first(w->sums);
    struct gw_trace_facts f;
    uint64_t n_open = 0;
    uint32_t step = 0;
    uint8_t id[16];

    for (unsigned i = 0; i < w->n; i++, at = gw_sums_next(w->sums, at)) {
        const struct model *m = &w->all[i];

        assert_ptr_equal(at, m->at);
        gw_sums_get(w->sums, at, &f);
        assert_memory_equal(&f, &m->facts, sizeof(f));
        assert_true(!(at->flags & GW_SUM_OPEN) == !m->is_open && at->last == m->last && at->first == m->first);
        id_of(m->id, id);
        assert_ptr_equal(gw_sums_find_at(w->sums, id, m->first), at);
        assert_ptr_equal(gw_sums_find_at(w->sums, id, m->last), at);
        n_open += m->is_open;
        if (m->is_open && (!oldest || gw_step_before(m->first, oldest->first)))
            oldest = m;
        if (m->is_rooted && (!rooted || gw_step_before(m->root, rooted->root)))
            rooted = m;
    }
    assert_null(at);
    assert_int_equal(gw_sums_n(w->sums), w->n);
    assert_int_equal(gw_sums_n_open(w->sums), n_open);
    at = gw_sums_oldest(w->sums);
    assert_true(oldest ? at && at->first == oldest->first : !at);
    at = gw_sums_rooted(w->sums, &step);
    assert_true(rooted ? at && step == rooted->root : !at);
}

/*
 * Scenario    traces of a few ids come, are decided, come again, and leave, in all shapes that settings make
 * Guarantees  all lists, what is found by id and step, and all facts that are asked for are those of a model
 */
static void sums_are_what_a_model_says(void **state)
{
    static struct world w;

    (void)state;
    for (unsigned kind = 0; kind < 32; kind++) {
        w = (struct world){0};
        open(&w, kind);
        for (unsigned turn = 0; turn < TURNS / 32; turn++) {
            w.step += any(&w, 4) == 0 ? (uint32_t)any(&w, 9) : 0;
            if (any(&w, 3))
                rows_come(&w);
            else
                one_leaves(&w);
            if (turn % 50 == 0)
                look(&w);
        }
        look(&w);
        close(&w);
    }
}

/*
 * Scenario    100,000 open traces, with the predicates of up to 64 policies
 * Guarantees  less than 128 bytes each, all included; charged; and all of it goes back
 */
static void a_trace_takes_less_than_128_bytes(void **state)
{
    struct gw_credit memory;
    struct gw_test_env te;
    struct gw_sums_conf conf = {.env = &te.env, .memory = &memory, .n_words = 1};
    struct gw_sums *s;
    uint8_t id[16] = {0};

    (void)state;
    gw_test_env_init(&te, 1);
    gw_credit_init(&memory, 1 << 30, 1 << 30);
    s = gw_sums_new(&conf);
    for (uint32_t i = 0; i < 100000; i++) {
        memcpy(id + 8, &i, sizeof(i));
        gw_sums_open(s, gw_sums_add(s, id, i));
    }
    assert_int_equal(gw_sums_n_open(s), 100000);
    assert_in_range(gw_sums_held_bytes(s) / 100000, 80, 127);
    assert_int_equal(atomic_load(&memory.used_bytes), gw_sums_held_bytes(s));
    while (gw_sums_first(s))
        gw_sums_drop(s, gw_sums_first(s));
    for (unsigned i = 0; i < 4; i++)
        gw_sums_age(s);
    assert_true(gw_sums_held_bytes(s) < 200000);
    gw_sums_free(s);
    assert_int_equal(atomic_load(&memory.used_bytes), 0);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_what_a_model_says),
                                       cmocka_unit_test(a_trace_takes_less_than_128_bytes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
