/* SPDX-License-Identifier: Apache-2.0 */
/* A whole gateway in a test: YAML in, an engine that is turned by hand (or by its threads). */
#ifndef GW_TESTS_HARNESS_ENGINE_H
#define GW_TESTS_HARNESS_ENGINE_H

#include "runtime/engine.h"
#include "tests/harness_env.h"
#include "tests/harness_flow.h"

struct gw_test_engine {
    struct gw_test_env te;
    struct gw_env *env; /* &te.env, or the real one with threads */
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_service *service;
    struct gw_meter *meter;
    struct gw_log_sink log;
    struct gw_loop *loop;
    struct gw_engine *engine;
    unsigned n_configurations; /* loaded by gw_test_engine_reload and not let go yet */
    uint64_t n_turns;
    bool looks_away; /* turns do not ask the ledger */
};

/** Puts sinks into the environment of every engine that is made from now on; NULL, at first: there are none. */
extern void (*gw_test_engine_sinks)(struct gw_env_ops *ops);
/** How engines that are made from now on open their logs; NULL, at first: in files. */
extern int (*gw_test_engine_open_log)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err);
/** How long what workers have read from logs takes at most, in engines that are made from now on; at first: 0. */
extern uint64_t gw_test_engine_max_read_ns;
/** Of the random numbers of engines that are made from now on; at first: the same for all. */
extern uint64_t gw_test_engine_seed;
/** Which threads do not get on, in engines that are made from now on (gw_engine_conf); NULL, at first: none. */
extern bool (*gw_test_engine_stands_still)(const char *thread);
/** Build and start; fails the test with the mistakes when the YAML is wrong. Components: the product's and `scripted`.
 */
void gw_test_engine_open(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool threads);
/** As open, but gives the error of building or starting into err: returns it, and nothing is left open. */
int gw_test_engine_try(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool threads,
                       struct gw_err *err);
/** The configuration that is taken from now on; the error says what is wrong with it, and nothing has changed. */
int gw_test_engine_reload(struct gw_test_engine *t, const char *yaml, struct gw_err *err);
/** What that takes, for gw_engine_reload: it lets go of it by itself. */
int gw_test_engine_load(struct gw_test_engine *t, const char *yaml, struct gw_engine_source *ret, struct gw_err *err);
/** The ledger accounts for every row, now; turns now and then, and close, call it. Prints the table when it does not.
 */
void gw_test_engine_balances(struct gw_test_engine *t);
/** Stops; all memory must have been given back. Returns the rows that were left. */
uint64_t gw_test_engine_close(struct gw_test_engine *t);
/** As close, for a test that broke something: nothing is checked. */
void gw_test_engine_abandon(struct gw_test_engine *t);
/** Turn everything n times, then move the clock. */
void gw_test_engine_turn(struct gw_test_engine *t, unsigned n, uint64_t ns);

struct gw_test_door *gw_test_engine_door(struct gw_test_engine *t, const char *receiver, unsigned worker);
struct gw_test_sink *gw_test_engine_sink(struct gw_test_engine *t, const char *exporter);
/** A request of n rows; fails the test when it is refused. */
void gw_test_engine_send(struct gw_test_door *d, enum gw_signal s, uint64_t first, unsigned n, uint32_t stream);
/**
 * No more requests come: answer() until everything under way is done and the queues are empty. Time passes by random
 * steps of *seed.
 */
void gw_test_engine_drain(struct gw_test_engine *t, uint64_t *seed, void (*answer)(void *arg), void *arg);
/** run(1) … run(usual); GW_SIM_SEEDS=n runs up to the n-th, GW_SIM_FIRST=f from the f-th on, GW_SIM_SEED=s only that
 * one. */
void gw_test_seeds(unsigned usual, void (*run)(uint64_t seed));
/** Value of a counter; labels "a=b" pairs. 0 when there is none. */
uint64_t gw_test_engine_metric(struct gw_test_engine *t, const char *name, const struct gw_label *labels, unsigned n);

#endif
