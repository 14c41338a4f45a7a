/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/yaml.h"
#include "net/loop.h"
#include "runtime/graph.h"
#include "runtime/keep.h"
#include "tests/harness.h"

enum { LOOK_EVERY = 5 };

void (*gw_test_engine_sinks)(struct gw_env_ops *ops);
int (*gw_test_engine_open_log)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err);
uint64_t gw_test_engine_max_read_ns, gw_test_engine_seed = 42;
bool (*gw_test_engine_stands_still)(const char *thread);

static void shut(struct gw_test_engine *t)
{
    gw_engine_free(t->engine);
    gw_service_free(t->service);
    gw_loop_free(t->loop);
    gw_meter_free(t->meter);
    gw_diag_clear(&t->diag);
    gw_arena_clear(&t->arena);
    if (t->env != &t->te.env)
        gw_env_real_free(t->env);
    gw_test_env_clear(&t->te);
}

int gw_test_engine_try(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool threads, struct gw_err *err)
{
    struct gw_service_options options = {.components = gw_test_components(), .exporter_extra = &gw_queue_extra};
    struct gw_engine_conf conf = {.n_workers = n_workers, .memory_bytes = 1u << 30, .by_hand = !threads};
    const struct gw_node *root;
    struct gw_buf text;
    int rc;

    memset(t, 0, sizeof(*t));
    gw_test_env_init(&t->te, gw_test_engine_seed);
    t->env = threads ? gw_env_real_new() : &t->te.env;
    if (gw_test_engine_sinks)
        gw_test_engine_sinks(threads ? gw_env_real_ops(t->env) : &t->te.ops);
    gw_arena_init(&t->arena, 65536, 64u << 20);
    gw_diag_init(&t->diag);
    t->meter = gw_meter_new();
    t->log = (struct gw_log_sink){.env = &t->te.env, .level = GW_LOG_INFO};
    assert_int_equal(gw_loop_new(t->env, &t->loop, err), 0);
    root = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &t->arena, &t->diag);
    rc = root ? gw_service_new(root, &options, &t->diag, &t->service) : -EINVAL;
    if (rc < 0) {
        gw_buf_init(&text, 65536);
        gw_diag_write(&t->diag, &text);
        rc = gw_fail(err, rc, "%.*s", (int)text.n, (const char *)text.p);
        gw_buf_clear(&text);
        shut(t);
        return rc;
    }
    conf.env = t->env;
    conf.service = t->service;
    conf.meter = t->meter;
    conf.log = &t->log;
    conf.loop = t->loop;
    conf.open_log = gw_test_engine_open_log;
    conf.max_read_ns = gw_test_engine_max_read_ns;
    conf.stands_still = gw_test_engine_stands_still;
    rc = gw_engine_new(&conf, &t->engine, err);
    if (rc == 0)
        rc = gw_engine_start(t->engine, err);
    if (rc < 0)
        shut(t);
    return rc;
}

/* ---- another configuration -------------------------------------------------------------------------------- */

struct loaded {
    struct gw_test_engine *t;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_service *service;
};

static void let_go(void *arg)
{
    struct loaded *l = arg;

    l->t->n_configurations--;
    gw_service_free(l->service);
    gw_diag_clear(&l->diag);
    gw_arena_clear(&l->arena);
    free(l);
}

int gw_test_engine_load(struct gw_test_engine *t, const char *yaml, struct gw_engine_source *ret, struct gw_err *err)
{
    struct gw_service_options options = {.components = gw_test_components(), .exporter_extra = &gw_queue_extra};
    struct loaded *l = calloc(1, sizeof(*l));
    const struct gw_node *root;
    int rc;

    assert_non_null(l);
    l->t = t;
    t->n_configurations++;
    gw_arena_init(&l->arena, 65536, 64u << 20);
    gw_diag_init(&l->diag);
    root = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &l->arena, &l->diag);
    rc = root ? gw_service_new(root, &options, &l->diag, &l->service) : -EINVAL;
    if (rc < 0) {
        let_go(l);
        return gw_fail(err, rc, "mistakes");
    }
    *ret = (struct gw_engine_source){.service = l->service, .release = let_go, .arg = l};
    return 0;
}

int gw_test_engine_reload(struct gw_test_engine *t, const char *yaml, struct gw_err *err)
{
    struct gw_engine_source to;
    int rc = gw_test_engine_load(t, yaml, &to, err);

    return rc < 0 ? rc : gw_engine_reload(t->engine, &to, err);
}

void gw_test_engine_open(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool threads)
{
    struct gw_err err = {""};

    if (gw_test_engine_try(t, yaml, n_workers, threads, &err) < 0)
        fail_msg("%s", err.text);
}

void gw_test_engine_balances(struct gw_test_engine *t)
{
    struct gw_picture *p = gw_ledger_look(t->engine);
    uint64_t mismatch = p ? p->mismatch : 0; /* none: a test without memory */
    struct gw_buf text;

    if (mismatch) {
        gw_buf_init(&text, 1u << 20);
        gw_picture_table(p, &text);
        gw_buf_put_u8(&text, '\0');
        (void)fputs((const char *)text.p, stderr);
        gw_buf_clear(&text);
    }
    gw_picture_free(p);
    assert_int_equal(mismatch, 0);
}

void gw_test_engine_abandon(struct gw_test_engine *t)
{
    (void)gw_engine_stop(t->engine);
    shut(t);
}

uint64_t gw_test_engine_close(struct gw_test_engine *t)
{
    uint64_t left;

    gw_test_engine_balances(t);
    left = gw_engine_stop(t->engine);
    gw_test_engine_balances(t);
    for (struct graph *g = t->engine->leaving; g; g = g->next)
        gw_graph_free_shares(g);
    gw_graph_free_shares(t->engine->graph); /* processors have memory as long as they live */
    gw_keeps_forget(t->engine);
    assert_int_equal(gw_engine_memory(t->engine)->used_bytes, 0);
    shut(t);
    assert_int_equal(t->n_configurations, 0);
    return left;
}

void gw_test_engine_turn(struct gw_test_engine *t, unsigned n, uint64_t ns)
{
    for (unsigned i = 0; i < n; i++) {
        gw_engine_turn(t->engine);
        gw_loop_turn(t->loop, 0);
        if (t->n_turns++ % LOOK_EVERY == 0 && !t->looks_away)
            gw_test_engine_balances(t);
    }
    gw_test_env_advance(&t->te, ns);
}

void gw_test_engine_drain(struct gw_test_engine *t, uint64_t *seed, void (*answer)(void *arg), void *arg)
{
    gw_engine_quiesce(t->engine);
    gw_engine_drain(t->engine);
    for (unsigned step = 0; step < 4000 && !(gw_engine_is_quiet(t->engine) && gw_engine_is_drained(t->engine));
         step++) {
        answer(arg);
        gw_test_engine_turn(t, 2, gw_test_random(seed) % 2000000000u);
    }
    assert_true(gw_engine_is_quiet(t->engine));
    assert_true(gw_engine_is_drained(t->engine));
}

void gw_test_seeds(unsigned usual, void (*run)(uint64_t seed))
{
    const char *n = getenv("GW_SIM_SEEDS"), *one = getenv("GW_SIM_SEED"), *from = getenv("GW_SIM_FIRST");
    uint64_t first = one    ? strtoull(one, NULL, 10)
                     : from ? strtoull(from, NULL, 10)
                            : 1,
             last = one ? first
                    : n ? strtoull(n, NULL, 10)
                        : usual;

    for (uint64_t seed = first; seed <= last; seed++) {
        if (n || one)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run(seed);
    }
    print_message("seeds %llu to %llu\n", (unsigned long long)first, (unsigned long long)last);
}

struct gw_test_door *gw_test_engine_door(struct gw_test_engine *t, const char *receiver, unsigned worker)
{
    struct gw_test_source *s = gw_engine_instance(t->engine, GW_RECEIVER, receiver);

    assert_non_null(s);
    return &s->doors[worker];
}

struct gw_test_sink *gw_test_engine_sink(struct gw_test_engine *t, const char *exporter)
{
    struct gw_test_sink *s = gw_engine_instance(t->engine, GW_EXPORTER, exporter);

    assert_non_null(s);
    return s;
}

void gw_test_engine_send(struct gw_test_door *d, enum gw_signal s, uint64_t first, unsigned n, uint32_t stream)
{
    struct gw_verdict v = {0};
    struct gw_buf body;

    gw_buf_init(&body, 64u << 20);
    gw_test_request(&body, s, first, n);
    if (gw_test_send(d, s, gw_buf_slice(&body), NULL, stream, &v) < 0)
        fail_msg("refused: %d %s", v.grpc_status, v.message);
    gw_buf_clear(&body);
}

uint64_t gw_test_engine_metric(struct gw_test_engine *t, const char *name, const struct gw_label *labels, unsigned n)
{
    struct gw_metric *m = gw_meter_get(t->meter, GW_COUNTER, name, "", labels, n);

    return m ? m->value : 0;
}
