/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_gather.h"

#include "tests/harness.h"

#include <stdlib.h>

#include "core/buf.h"
#include "otlp-proto/decode.h"
#include "pipeline/ports.h"
#include "tests/harness_flow.h"

struct gw_test_gather gw_test_gather;

struct conf {
    bool keep, grip;
    uint64_t number;
};
static const struct gw_field fields[] = {
    GW_BOOL_FIELD(struct conf, keep, "keep", "false", "Rows stay until they are let go."),
    GW_BOOL_FIELD(struct conf, grip, "grip", "false", "What the instance before keeps is taken over."),
    GW_U64_FIELD(struct conf, number, "number", "0", 0, 0, "Makes settings different."),
    {0},
};

struct gatherer {
    struct gw_test_gathered *saw;
    const struct conf *conf;
    enum gw_signal signal;
    uint64_t *kept, n_kept, cap_kept;
};

static void append(uint64_t **list, uint64_t *n, uint64_t *cap, uint64_t name)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *list = realloc(*list, *cap * sizeof(**list));
        assert_non_null(*list);
    }
    (*list)[(*n)++] = name;
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gatherer *g = calloc(1, sizeof(*g));

    (void)err;
    assert_true(ctx->worker < GW_TEST_GATHERERS);
    *ret = g;
    if (!g)
        return -ENOMEM;
    *g = (struct gatherer){.saw = &gw_test_gather.by_worker[ctx->worker], .conf = conf, .signal = ctx->signal};
    return 0;
}

static void destroy(void *self)
{
    struct gatherer *g = self;

    if (g)
        free(g->kept);
    free(g);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct gatherer *g = self;

    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        if (g->conf)
            append(&g->saw->names, &g->saw->n, &g->saw->cap, v->batch->time_ns[r]);
        if (!g->conf || g->conf->keep)
            append(&g->kept, &g->n_kept, &g->cap_kept, v->batch->time_ns[r]);
    }
    if (g->conf && !g->conf->keep) {
        gw_emit(out, 0, v);
        return;
    }
    gw_test_gather.n_kept += v->n_rows;
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "kept", NULL);
    gw_view_clear(v);
}

static void let_go(struct gatherer *g, struct gw_ports *out)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b;
    struct gw_view v;
    struct gw_buf body;
    struct gw_ref at;

    if (g->n_kept == 0)
        return;
    b = gw_batch_new(g->signal);
    gw_buf_init(&body, 64 << 20);
    gw_test_request_of(&body, g->signal, g->kept, (unsigned)g->n_kept);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    gw_test_gather.n_kept -= g->n_kept;
    g->n_kept = 0;
    gw_view_init(&v, b, out->arena);
    gw_emit(out, 0, &v);
    (void)gw_batch_unref(b);
    gw_buf_clear(&body);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    (void)now_ns;
    if (gw_test_gather.let_go)
        let_go(self, out);
    return GW_DONE;
}

static int drain(void *self, struct gw_ports *out)
{
    let_go(self, out);
    return GW_DONE;
}

static int adopt(void *self, void *other)
{
    struct gatherer *g = self, *old = other;

    assert_int_equal(g->n_kept, 0);
    if (!g->conf->grip)
        return -ENOTSUP;
    free(g->kept);
    g->kept = old->kept;
    g->n_kept = old->n_kept;
    g->cap_kept = old->cap_kept;
    old->kept = NULL;
    old->n_kept = old->cap_kept = 0;
    gw_test_gather.n_taken++;
    return 0;
}

static uint64_t held(void *self)
{
    return ((struct gatherer *)self)->n_kept;
}

const struct gw_component gw_test_gatherer = {
    .kind = GW_PROCESSOR,
    .name = "gather",
    .summary = "Notes which rows meet.",
    .signals = GW_ALL_SIGNALS,
    .partition_by = "trace_id",
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
    .adopt = adopt,
};

static int create_collector(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)conf;
    return create(ret, ctx, NULL, err);
}

const struct gw_component gw_test_collector = {
    .kind = GW_PROCESSOR,
    .name = "collect",
    .summary = "Keeps rows.",
    .signals = GW_ALL_SIGNALS,
    .create = create_collector,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .held = held,
};

void gw_test_gather_reset(void)
{
    for (unsigned i = 0; i < GW_TEST_GATHERERS; i++)
        free(gw_test_gather.by_worker[i].names);
    memset(&gw_test_gather, 0, sizeof(gw_test_gather));
}

static uint64_t trace_of(uint64_t name)
{
    return name / gw_test_spans_a_trace;
}

/* By trace, the highest name: 1 more. */
struct seen {
    unsigned worker;
    uint64_t last;
};

uint64_t gw_test_gather_check(bool in_order)
{
    uint64_t most = 0, n = 0;
    struct seen *seen;

    for (unsigned i = 0; i < GW_TEST_GATHERERS; i++)
        for (uint64_t k = 0; k < gw_test_gather.by_worker[i].n; k++)
            if (gw_test_gather.by_worker[i].names[k] < GW_TEST_NO_TRACE && gw_test_gather.by_worker[i].names[k] > most)
                most = gw_test_gather.by_worker[i].names[k];
    seen = calloc(trace_of(most) + 1, sizeof(*seen));
    assert_non_null(seen);
    for (unsigned i = 0; i < GW_TEST_GATHERERS; i++)
        for (uint64_t k = 0; k < gw_test_gather.by_worker[i].n; k++) {
            uint64_t name = gw_test_gather.by_worker[i].names[k];
            struct seen *s = name < GW_TEST_NO_TRACE ? &seen[trace_of(name)] : NULL;

            n++;
            if (s && s->last && s->worker != i)
                fail_msg("trace %llu was seen by workers %u and %u", (unsigned long long)trace_of(name), s->worker, i);
            if (s && in_order && s->last > name)
                fail_msg("row %llu came behind %llu", (unsigned long long)name, (unsigned long long)s->last - 1);
            if (s)
                *s = (struct seen){i, name + 1};
        }
    free(seen);
    return n;
}

/* ---- tests ------------------------------------------------------------------------------------------------ */

void gw_test_gather_setup(void)
{
    static struct gw_component joint;

    joint = gw_test_gatherer;
    joint.kind = GW_CONNECTOR;
    gw_test_own_components[0] = &gw_test_gatherer;
    gw_test_own_components[1] = &gw_test_collector;
    gw_test_own_components[2] = &joint;
    gw_test_spans_a_trace = 5;
    gw_test_gather_reset();
}

void gw_test_gather_teardown(void)
{
    gw_test_gather_reset();
    gw_test_spans_a_trace = 1;
}
