/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling against a naive model: random spans of random traces over random requests, with time that passes and
 * houses that are full; what leaves, what is dropped and what waits must be the same after every step.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness_tail.h"

enum { N_TRACES = 120, MAX_SPANS = 4000, STEPS = 300 };
#define S 1000000000ull

static struct gw_tail_rig r;

/* ---- the model -------------------------------------------------------------------------------------------- */

enum state { NEW, WAITS, KEPT, GONE };

struct trace {
    enum state state;
    uint64_t first_ns, due_ns, order, id;
    unsigned spans[MAX_SPANS / 8], n, n_all;
    bool error;
};

struct model {
    struct trace traces[N_TRACES];
    unsigned max_traces, max_spans, wait_s, root_s, min_spans;
    bool early, drop;
    uint64_t now_ns, n_order, n_dropped, n_lost;
    uint8_t left[MAX_SPANS * 2]; /* how often each span must have left */
};

static bool wants(const struct model *m, const struct trace *t)
{
    return t->error || t->n_all >= m->min_spans;
}

static void decide(struct model *m, struct trace *t)
{
    t->state = wants(m, t) ? KEPT : GONE;
    for (unsigned i = 0; i < t->n; i++)
        m->left[t->spans[i]] += t->state == KEPT;
    m->n_dropped += t->state == GONE ? t->n : 0;
    t->n = 0;
}

static unsigned n_waiting(const struct model *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < N_TRACES; i++)
        n += m->traces[i].state == WAITS;
    return n;
}

static struct trace *oldest(struct model *m)
{
    struct trace *o = NULL;

    for (unsigned i = 0; i < N_TRACES; i++)
        if (m->traces[i].state == WAITS && (!o || m->traces[i].order < o->order))
            o = &m->traces[i];
    return o;
}

static void evict(struct model *m)
{
    struct trace *t = oldest(m);

    if (!m->drop) {
        decide(m, t);
        return;
    }
    m->n_lost += t->n;
    *t = (struct trace){.id = t->id};
}

/* Spans of one trace in one request. */
static void take(struct model *m, struct trace *t, const unsigned *spans, unsigned n, bool error, bool root)
{
    if (t->state == KEPT || t->state == GONE) {
        for (unsigned i = 0; i < n; i++)
            m->left[spans[i]] += t->state == KEPT;
        m->n_dropped += t->state == GONE ? n : 0;
        return;
    }
    if (t->state == NEW) {
        while (n_waiting(m) >= m->max_traces)
            evict(m);
        *t = (struct trace){.id = t->id, .state = WAITS, .first_ns = m->now_ns, .order = ++m->n_order};
        t->due_ns = m->now_ns + m->wait_s * S;
    }
    for (unsigned i = 0; i < n; i++)
        t->spans[t->n++] = spans[i];
    t->n_all += n;
    t->error |= error;
    if (root && m->root_s && m->now_ns + m->root_s * S < t->due_ns)
        t->due_ns = m->now_ns + m->root_s * S;
    if ((m->max_spans && t->n_all > m->max_spans) || (m->early && wants(m, t)))
        decide(m, t);
}

/* The second that is over now. */
static void pass(struct model *m)
{
    for (unsigned i = 0; i < N_TRACES; i++)
        if (m->traces[i].state == WAITS && (m->traces[i].due_ns + S - 1) / S * S <= m->now_ns)
            decide(m, &m->traces[i]);
}

/* ---- both ------------------------------------------------------------------------------------------------- */

static void compare(struct model *m)
{
    static uint8_t left[MAX_SPANS * 2];
    uint64_t waiting = 0, dropped = 0, lost = 0;

    memset(left, 0, sizeof(left));
    for (unsigned i = 0; i < r.n_rows; i++)
        left[r.rows[i].span]++;
    assert_memory_equal(left, m->left, sizeof(left));
    for (unsigned i = 0; i < N_TRACES; i++)
        waiting += m->traces[i].n;
    assert_int_equal(gw_tail_held(&r), waiting);
    for (unsigned i = 0; i < r.n_counts; i++)
        *(strcmp(r.reasons[i], "dropped_too_early") == 0 ? &lost : &dropped) += r.counts[i];
    assert_int_equal(dropped, m->n_dropped);
    assert_int_equal(lost, m->n_lost);
}

/* One request: up to 12 spans of up to 6 traces, by turns. */
static void request(struct model *m, uint64_t *seed, unsigned *n_spans)
{
    static char text[4096];
    unsigned of[6], spans[6][12], n[6] = {0}, k = 1 + gw_test_random(seed) % 6, rows = 1 + gw_test_random(seed) % 12;
    unsigned order[6], n_order = 0;
    bool error[6] = {0}, root[6] = {0};
    size_t at = 0;

    for (unsigned i = 0; i < k; i++)
        of[i] = (unsigned)((gw_test_random(seed) % (N_TRACES / 6)) * 6 + i); /* no trace twice */
    for (unsigned i = 0; i < rows; i++) {
        unsigned x = (unsigned)(gw_test_random(seed) % k);
        bool e = gw_test_random(seed) % 40 == 0, ro = gw_test_random(seed) % 8 == 0;

        if (n[x] == 0)
            order[n_order++] = x;
        spans[x][n[x]++] = ++*n_spans;
        error[x] |= e;
        root[x] |= ro;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu.%u%s%ss%u", i ? " " : "",
                               (unsigned long long)m->traces[of[x]].id, *n_spans, e ? "e" : "", ro ? "r" : "",
                               (unsigned)(gw_test_random(seed) % 3));
    }
    gw_tail_send(&r, text);
    for (unsigned i = 0; i < n_order; i++)
        take(m, &m->traces[of[order[i]]], spans[order[i]], n[order[i]], error[order[i]], root[order[i]]);
}

static void open(struct model *m, uint64_t *seed)
{
    static const unsigned houses[] = {3, 12, 1000};
    char settings[1024];

    *m = (struct model){.max_traces = houses[gw_test_random(seed) % 3],
                        .max_spans = gw_test_random(seed) % 2 ? 0 : 9,
                        .wait_s = 1 + gw_test_random(seed) % 6,
                        .root_s = (unsigned)(gw_test_random(seed) % 3),
                        .min_spans = 6 + gw_test_random(seed) % 20,
                        .early = gw_test_random(seed) % 2,
                        .drop = gw_test_random(seed) % 3 == 0};
    for (unsigned i = 0; i < N_TRACES; i++)
        m->traces[i].id = gw_test_random(seed) | 1;
    (void)snprintf(settings, sizeof(settings),
                   "num_traces: %u\nmax_spans_per_trace: %u\ndecision_wait: %us\ndecision_wait_after_root_received: "
                   "%us\ndecide_early: %s\noverflow: %s\n"
                   "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, {name: long, "
                   "type: span_count, span_count: {min_spans: %u}}]\n",
                   m->max_traces, m->max_spans, m->wait_s, m->root_s, m->early ? "true" : "false",
                   m->drop ? "drop" : "decide", m->min_spans);
    gw_tail_open(&r, settings);
}

/*
 * Scenario: 40 seeds; of each 300 steps: a request, or time that passes
 * Guarantees: after every step the same spans have left, the same number is dropped, and the same waits
 */
static void it_does_what_the_model_does(void **state)
{
    static struct model m;

    (void)state;
    for (uint64_t first = 1; first <= 40; first++) {
        uint64_t seed = first;
        unsigned n_spans = 0;

        open(&m, &seed);
        for (unsigned step = 0; step < STEPS && n_spans + 12 < MAX_SPANS; step++) {
            m.now_ns = gw_mono_ns(&r.p.te.env);
            if (gw_test_random(&seed) % 3) {
                request(&m, &seed, &n_spans);
            } else {
                m.now_ns += S;
                gw_tail_wait(&r, 1);
                pass(&m);
            }
            compare(&m);
        }
        gw_tail_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_does_what_the_model_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
