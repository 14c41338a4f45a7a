/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the engine. What is made once is shared and not written afterwards; what a worker writes is the
 * worker's own.
 *
 *   engine ─┬─ instances   what there is once: receiver, exporter (with its edge and thread), extension
 *           ├─ doors       ways into one pipeline that no receiver has
 *           ├─ workers[]   a loop and what it works with; its share of the graph
 *           └─ graph ─┬─ instances[]  by component index: those that this configuration names
 *                     ├─ routes[]     receiver × signal: the pipelines it feeds, the edges that these can reach
 *                     ├─ pipelines[]
 *                     └─ shares[] ─┬─ chains[]   per pipeline: nodes[] (processor instances)
 *                                  └─ joints[]   connector × signal: connector instances
 *
 * An instance has one intake a worker: its open batches, and the share whose chains they run through.
 *
 * At a reload a second graph is built beside the first, which names those instances of it that are equal. Each worker
 * goes over to it between two turns; the first one leaves when nothing of it is under way any more (reload.c).
 */
#ifndef GW_RUNTIME_GRAPH_H
#define GW_RUNTIME_GRAPH_H

#include <pthread.h>

#include "core/arena.h"
#include "core/drain.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "pipeline/alarms.h"
#include "pipeline/host.h"
#include "pipeline/intake.h"
#include "pipeline/ports.h"
#include "queue/edge.h"
#include "queue/wal.h"
#include "runtime/engine.h"
#include "runtime/ledger.h"
#include "runtime/letter_wait.h"
#include "runtime/samples.h"
#include "runtime/shuffle.h"

struct worker;
struct instance;
struct graph;
struct share;
struct intake;
struct log;
struct flight;
struct keep;
struct keeping;

enum phase { STARTING, RUNNING, QUIESCING, DRAINING, STOPPED };

enum {
    BATCH_BYTES = 1 << 20,  /* an open batch leaves when it has so much … */
    BATCH_ROWS = 8192,      /* … or so many */
    ADOPT_BYTES = 16 << 10, /* larger bodies keep their payload and make a batch of their own (docs/decisions/0001) */
    N_OPEN = 16,            /* open batches per intake: signals × metadata combinations of one turn */
    TICK_NS = 100000000,
    IDLE_POLL_NS = 5000000,
};

/** Where a view may go. */
struct target {
    enum { TO_PIPELINE, TO_EDGE, TO_CONNECTOR, TO_LOG } kind;
    unsigned index;                     /* pipeline, or component index */
    const struct gw_batching *batching; /* of the pipeline that it leaves, or NULL */
    struct gw_wal *wal;                 /* TO_LOG: before all exporters of the pipeline whose queues are there */
    struct gw_wal_way *ways;            /* these */
    unsigned n_ways;
    struct gw_book *book; /* TO_EDGE: of the pipeline that it leaves and the exporter */
    bool reads_rows;      /* TO_EDGE: attributes, events and links of rows (columns.c) */
};

/** An edge that a route can reach, and over how many ways. */
struct reach {
    struct instance *exporter;
    unsigned index; /* of its component */
    enum gw_signal signal;
    unsigned times;
};

/** What became of a request that cannot be decoded, beside its answer. */
enum undecodable {
    UNDECODABLE_KEPT,
    UNDECODABLE_OVER_RATE,
    UNDECODABLE_NO_ROOM,
    UNDECODABLE_COUNTED, /* there is no place for letters */
    UNDECODABLE_LATE,    /* its answer could not wait any longer for the letter, which is still on its way */
    N_UNDECODABLE
};

/** One receiver's rows of one signal. */
struct route {
    struct target *targets;
    unsigned n_targets;
    struct reach *reach;
    unsigned n_reach;
    struct gw_metric *refused_queue, *refused_memory, *undecodable[N_UNDECODABLE]; /* requests */
    bool blocks;   /* some edge parks requests instead of refusing them */
    bool is_whole; /* somebody on the way reads attributes, events or links of rows */
};

/** What became of items that a component produced or was given, as the Collector's pipeline metrics tell it. */
enum item_outcome { ITEMS_SUCCESS, ITEMS_REFUSED, ITEMS_FAILURE, N_ITEM_OUTCOMES };

/** What open() gave on one worker. */
struct local {
    void *p;
    bool is_leaving; /* told to stop taking work */
};

/** A configuration. What is made from it borrows from it. */
struct source {
    struct gw_engine_source given;
    unsigned refs; /* of graphs and instances; the main thread's, as all of it */
};

struct instance {
    struct instance *next; /* of the engine's */
    struct gw_engine *engine;
    struct source *source;
    unsigned refs;       /* graphs that name it */
    bool is_kept;        /* also when none does: a storage, whose folder is locked and whose logs are open */
    unsigned feeders;    /* of these, those that can still bring it rows */
    char *identity;      /* what it was made from, as text: the same for equal ones */
    char *next_identity; /* of the graph that is being built, which has other settings for it; or NULL */
    const struct gw_service_component *comp; /* of `source`: its index says nothing in another graph */
    struct gw_ctx ctx;
    void *self;
    /* Exporters. */
    struct gw_edge *edge;
    struct gw_loop *loop;
    struct gw_hook logs_hook; /* by_hand: its loop turns the logs too, also while it is closed */
    pthread_t thread;
    bool has_thread, is_open, is_closed, is_forgotten;
    uint64_t leaving_ns; /* since nobody brings it anything, monotonic */
    struct gw_err err;
    struct gw_drain *drains; /* how fast its queues (as reserved) empty, as each worker sees it: worker × signal */
    /* Receivers. */
    struct intake *intakes; /* one a worker */
    /* Connectors with open(). */
    struct local *locals; /* by worker */
    struct gw_metric *accepted[GW_N_SIGNALS][GW_MAX_TRANSPORTS], *refused[GW_N_SIGNALS][GW_MAX_TRANSPORTS],
        *failed[GW_N_SIGNALS][GW_MAX_TRANSPORTS]; /* [transport] */
    struct gw_metric *produced[GW_N_SIGNALS][N_ITEM_OUTCOMES];
    /* Extensions. */
    void *local;
};

/**
 * A receiver of one pipeline: for what is put in from outside (inject.h), or for a connector that has open(). It has
 * no instance, only intakes, and lives as long as the engine, so that tickets find home.
 */
struct door {
    struct instance x; /* first */
    struct gw_service_component comp;
    struct door *next;                  /* of the engine's */
    const char *pipeline;               /* id */
    const char *from;                   /* id of the connector; NULL: for injections */
    const struct gw_behind_ops *behind; /* of that connector; or NULL */
    enum gw_signal signal;
    struct keeping *keeping; /* what its pipeline keeps survives (keep.h); or NULL */
    bool is_counted;         /* its metrics were made: with its first use */
};

struct pipeline {
    const struct gw_service_pipeline *conf;
    const char *id;                     /* the engine's: chunks outlive their pipelines */
    const struct gw_batching *batching; /* the engine's; or NULL */
    struct target *targets;
    unsigned n_targets;
    struct keeping *keeping; /* of the door that is its only receiver; or NULL */
    bool is_whole;           /* as of a route */
};

enum { N_REASONS = 16, REASON_BYTES = 48 };
/** Counters of one reason: the meter's lock is taken once for each. */
struct reason {
    char text[REASON_BYTES];
    enum gw_signal signal;
    struct gw_metric *dropped;
    uint64_t sampled_ns; /* monotonic: the last record that was kept for looking at */
    unsigned n_samples;
};

/** What the instances of a component have in common, on all workers and over reloads that do not change it. */
struct shared {
    struct shared *next; /* of the engine's */
    struct gw_engine *engine;
    struct source *source;
    const struct gw_component *type;
    char *identity;
    unsigned refs; /* of nodes; the main thread's, as all of it */
    struct gw_ctx ctx;
    void *p;
};

/** A processor or connector instance on one worker. */
struct node {
    struct gw_ports ports; /* first: out of the component's call-backs */
    struct gw_ctx ctx;
    struct worker *worker;
    struct share *share;
    const struct gw_service_component *comp;
    void *self;
    struct shared *shared; /* or NULL */
    struct chain *chain;   /* NULL: a connector */
    unsigned at;           /* in chain->nodes */
    bool is_partitioned;   /* rows of other workers are handed over to them (shuffle.h) */
    bool reads_rows;       /* attributes, events and links of rows (columns.c) */
    struct keep *keep;     /* it is one of those whose state survives (keep.h); or NULL */
    struct node *heir;     /* of a share that leaves: has taken over what it kept, and gets what still comes; or NULL */
    struct target *next;   /* a connector's port 0; a chain's last node uses the pipeline's */
    unsigned n_next;
    struct route *made;   /* a connector's that makes another signal: what is behind port 0 */
    struct target **outs; /* outs[port - 1] */
    unsigned *n_outs, n_ports;
    struct gw_buf letters; /* dead letters of this turn, as one OTLP body */
    uint32_t n_letters;
    struct gw_letter_wait waits; /* requests that hear nothing before they are kept */
    uint64_t *letter_units;      /* reserved for them, per target of the dead letter port */
    struct gw_metric *incoming, *outgoing, *consumed, *not_consumed, *produced;
    struct gw_metric *duration; /* its own part of consume(); NULL below level detailed: two looks at the clock */
    struct gw_book *book;
    uint64_t own_failed; /* rows that it refused or failed itself */
    uint64_t away_ns;    /* behind its ports, of the consume() under way */
    struct reason reasons[N_REASONS];
};

struct chain {
    const struct pipeline *pipeline;
    struct gw_book *book;
    struct node *nodes;
    unsigned n_nodes;
    struct route *behind;        /* all of it, for those of its nodes that keep rows; NULL: there are none */
    struct gw_wal_stage *staged; /* where its rows wait for their commit (keep.h); or NULL */
};

/** A worker's part of a graph. */
struct share {
    struct graph *graph;
    struct worker *worker;
    struct share *next; /* of those that leave */
    struct chain *chains;
    struct node **joints; /* component index × signal */
    uint64_t *reserved;   /* units for the running batch: component index × signal */
    bool has_ticks;
    unsigned n_holds; /* places in queues of this graph, taken for requests whose bodies are not here yet */
    bool is_dry;      /* it leaves, and nothing runs through it any more */
    /* Of a graph that is partitioned, while it leaves: nothing comes from outside any more; and it sends nothing. */
    _Atomic bool is_shut, is_still;
};

struct ticket {
    struct gw_ticket t; /* first */
    struct worker *worker;
    struct intake *home; /* until its verdict is told */
    uint8_t transport;   /* index of its label */
    _Atomic int inside;  /* handover.c */
};

/** A batch that takes in requests until the turn ends. */
struct open_batch {
    struct gw_batch *b;
    uint64_t column_bytes;     /* charged */
    uint64_t last_deadline_ns; /* of its requests; 0 = none */
    bool has_endless;          /* some request has no deadline */
    uint64_t *units;           /* reserved, per reach entry of the route */
    uint64_t *kept;            /* in the worker's arena: n_rows of its rows; or NULL: all */
    uint32_t n_rows;
    struct open_batch *next; /* parked */
    uint64_t parked_bytes;   /* in the engine's, while it is */
    struct intake *home;
    bool parked;
};

struct intake {
    struct gw_intake base; /* first */
    struct intake *next;   /* of its worker, while it is open */
    struct worker *worker;
    struct instance *receiver;
    struct share *share;  /* where its rows go */
    struct route *routes; /* of that share's graph, by signal */
    unsigned n_tickets;   /* whose verdicts are still to come */
    bool is_leaving;      /* told to stop taking work */
    struct gw_book *books[GW_N_SIGNALS];
    struct keep *keep; /* of a door whose pipeline's rows survive; or NULL */
    struct open_batch open[N_OPEN];
    unsigned n_open;
};

struct worker {
    struct gw_engine *engine;
    unsigned index;
    pthread_t thread;
    bool has_thread;
    struct gw_loop *loop;
    struct gw_hook hook;
    struct gw_timer timer; /* ticks, parked batches, polls while quiescing */
    uint64_t tick_ns;
    struct gw_inbox inbox;     /* settled tickets */
    struct gw_shuffle shuffle; /* rows from and for other workers */
    struct gw_arena arena;
    struct gw_buf scratch, json;
    struct gw_batch_pool *pool;
    struct gw_ledger ledger;
    struct node *current;
    /* Where rows are being counted: the place that has them now, and the pipeline, receiver or connector around it. */
    struct gw_page *stage, *line, spare;
    bool is_letter;                         /* what is being rejected has become a dead letter */
    uint64_t cut_seen;                      /* of the engine's cuts: has had its part */
    bool cut_open;                          /* of that one: what was on its way from other workers may still be found */
    uint64_t deadline_ns;                   /* of the running batch: its last */
    bool in_log;                            /* of the running batch: a journal has its rows until they are settled */
    struct gw_drain memory_drain;           /* how fast memory empties */
    struct share *share;                    /* of the graph that takes new work */
    struct share *running;                  /* whose nodes run: `share`, or for a while one that leaves */
    struct share *leaving;                  /* the oldest first */
    unsigned asked;                         /* how many of the main thread's orders were followed */
    struct intake *intakes, **intakes_last; /* open ones */
    struct open_batch *parked, **parked_last;
    struct keep *keeps;
    struct gw_inbox injected;
    unsigned n_injected;          /* without a verdict */
    uint64_t undecodable_debt_ns; /* monotonic: token bucket of what is kept */
    uint64_t undecodable_sampled_ns;
    struct bad_request *bad, **bad_last; /* whose answers wait for their letters, the oldest first */
    bool letters;                        /* some node has dead letters to hand over */
    _Atomic enum phase seen;
    _Atomic bool idle, quiet; /* nothing comes from outside any more; and nothing is kept */
    uint64_t idle_ns;         /* since when it waits for the others, monotonic */
    struct gw_err err;
};

/** What one configuration makes. */
struct graph {
    struct gw_engine *engine;
    struct graph *next; /* of those that leave */
    struct source *source;
    const struct gw_service *service;
    struct gw_arena arena;
    struct instance **instances; /* by component index; NULL: not used, or made once a worker */
    struct pipeline *pipelines;
    struct route *routes; /* component index × signal */
    struct share *shares; /* by worker */
    struct door **doors;
    struct route *door_routes; /* door × signal */
    unsigned n_doors;
    bool is_partitioned;                    /* rows of it go from worker to worker */
    _Atomic uint64_t n_crossing, n_crossed; /* parts that do now, or ever did */
    _Atomic bool is_over;                   /* and no more will */
    _Atomic unsigned n_dry, n_home; /* workers that bring nothing through it any more; that have nothing of it */
    bool is_dry;
};

/** What the main thread has all workers do, each between two turns, and waits for. */
enum order {
    ORDER_OPEN,   /* the receivers that are new in a graph */
    ORDER_SWITCH, /* new work goes through it from now on */
    ORDER_DROP,   /* it was opened and is not wanted: what came in meanwhile goes its way */
};

/** Pictures of all books (ledger.c). */
struct cuts {
    _Atomic uint64_t number;  /* of the last one */
    struct gw_cut *now;       /* under way; written before the number */
    bool has_rest;            /* workers have a second part in it: what others had sent them before the first */
    _Atomic unsigned n_first; /* that have not had their first part */
    _Atomic uint64_t rest;    /* the last one in which the second part is due */
    bool is_done;             /* under the engine's lock */
    pthread_cond_t done;
    struct gw_hook hook;
    bool has_hook;
    struct gw_ledger_wait *waiting;
};

struct gw_engine {
    struct gw_engine_conf conf;
    struct gw_host host;
    struct gw_credit memory;
    struct gw_alarms *alarms;
    _Atomic uint64_t parked_bytes; /* of that: of batches that wait for room in a queue */
    struct gw_arena arena;
    struct instance *instances, **instances_last;
    struct door *doors;
    struct batching *batchings;
    struct kept_text *texts;
    struct shared *shared;
    struct graph *graph;           /* that takes new work; while one is built, that one: names are looked up in it */
    struct graph *leaving;         /* the oldest first */
    struct gw_listeners listeners; /* of receivers and extensions that are being replaced */
    enum order order;
    struct graph *order_graph;
    _Atomic unsigned n_orders;
    struct worker *workers;
    unsigned n_workers;
    struct log *logs;       /* open ones */
    struct flight *flights; /* by storage */
    struct gw_samples *samples;
    struct wal *wals; /* queues on disk */
    struct gw_books books;
    struct cuts cuts;
    uint64_t started_ns;
    _Atomic enum phase phase;
    bool has_started; /* and nothing that belongs to a start has failed */
    struct gw_logger logger;
    /* Start of a thread: the starter waits for `reported`. */
    pthread_mutex_t lock;
    pthread_cond_t reported;
    unsigned n_reported;
    bool any_failed;
};

static inline struct route *gw_route(const struct graph *g, unsigned component, enum gw_signal s)
{
    return &g->routes[component * GW_N_SIGNALS + gw_signal_index(s)];
}

/* build.c */
/**
 * Instances of `old` (or NULL) that are equal are named again, all others are made, and nothing is opened. Gives *ret
 * also when it fails: half built.
 */
int gw_graph_build(struct gw_engine *e, struct source *source, struct graph *old, struct graph **ret,
                   struct gw_err *err);
/** The graph, and those of its instances that no other one names; they are closed. Nothing of it runs any more. */
void gw_graph_free(struct graph *g);
/** All of it that is a worker's; again or NULL is fine. */
void gw_graph_free_shares(struct graph *g);

/** Connectors that stay with other settings: take them, or forget that (the graph is not wanted). */
void gw_graph_renew(struct graph *g, bool take);

/* instance.c */
int gw_instance_make(struct graph *g, const struct gw_service_component *c, char *identity, struct gw_err *err);
void gw_instance_free(struct instance *x);
int gw_instance_make_intakes(struct instance *x, struct gw_err *err);
int gw_graph_fill_route(struct graph *g, struct route *r, struct target *targets, unsigned n, struct gw_err *err);
void gw_graph_receiver_metrics(struct gw_engine *e, struct instance *x, enum gw_signal signal);
void gw_graph_produced_metrics(struct gw_engine *e, struct instance *x, enum gw_signal signal);
/** What a component is made from: its settings, and those of all that they name. Malloced; NULL: out of memory. */
char *gw_identity(const struct gw_service *s, const struct gw_service_component *c);
/** The same pointer for the same settings or text, as long as the engine lives. NULL: out of memory. */
const struct gw_batching *gw_batching_keep(struct gw_engine *e, const struct gw_batching *b);
const char *gw_text_keep(struct gw_engine *e, const char *text);
struct source *gw_source_new(const struct gw_engine_source *given);
struct source *gw_source_ref(struct source *s);
void gw_source_unref(struct source *s);

/** The settings of one component, as text: the same when they say the same. Malloced; NULL: out of memory. */
char *gw_settings_identity(const struct gw_service *s, const struct gw_service_component *c);

/* make.c: what build.c and share.c need to make instances and wires */
void *gw_graph_alloc(struct graph *g, size_t n);
int gw_graph_no_memory(struct gw_err *err);
void gw_graph_fill_ctx(const struct graph *g, struct gw_ctx *ctx, const struct gw_service_component *c,
                       const char *pipeline, enum gw_signal signal, unsigned worker);
/** Create and start. */
int gw_graph_make(const struct gw_service_component *c, const struct gw_ctx *ctx, void **ret_self, struct gw_err *err);
struct target gw_graph_target(const struct gw_service_component *c, const struct gw_batching *batching);
/** A connector with open(): one instance, with a share for each worker, as a receiver is. */
bool gw_keeps_rows(const struct gw_service_component *c);
bool gw_graph_feeds(const struct gw_service_pipeline *p, const struct gw_service_component *from);
/** The pipelines that name `from` as a receiver. */
int gw_graph_find_targets(struct graph *g, const struct gw_service_component *from, enum gw_signal signal,
                          struct target **ret, unsigned *ret_n, struct gw_err *err);
struct gw_metric *gw_graph_items(struct gw_meter *m, const struct gw_service_component *c, const char *what,
                                 enum gw_signal signal, const char *pipeline, enum item_outcome outcome);

/* columns.c */
/** Does it look at attributes, events or links of rows itself? */
bool gw_columns_read(const struct gw_service_component *c);
/** Does anybody behind that processor, where its ports lead? */
bool gw_columns_read_behind(const struct graph *g, const struct gw_service_pipeline *p, size_t at);
/** Which pipelines are whole. Before routes are filled. */
void gw_columns_plan(struct graph *g);

/* shared.c */
/** One more reference for a node whose ctx is filled; made if nobody has it yet. *ret NULL: there is none of it. */
int gw_shared_get(struct graph *g, const struct gw_service_component *c, const struct gw_ctx *ctx, struct shared **ret,
                  struct gw_err *err);
void gw_shared_unref(struct shared *s);

/* made.c */
/** What a connector has made goes on to the pipelines behind it; without room in their queues it is dropped. */
void gw_made_run(struct node *n, struct gw_view *v);
bool gw_made_has_room(struct node *n, uint32_t rows, size_t bytes);
/** Would so much leave the queues behind that route half empty? */
bool gw_made_is_slack(const struct route *rt, uint32_t rows, size_t bytes);

/* share.c */
int gw_share_build(struct share *sh, struct graph *g, struct worker *w, struct gw_err *err);
void gw_share_free(struct share *sh);

/* doors.c */
extern const struct gw_component gw_door_type;
int gw_doors_build(struct graph *g, struct gw_err *err);
void gw_doors_free(struct gw_engine *e);
/** Chained by next, with their pipelines: what a connector's open() gets. NULL when nothing follows it. */
struct gw_intake *gw_doors_of(const struct share *sh, const struct gw_service_component *connector);

/* inject.c */
/** What was put in goes through the doors; give_up: comes back refused. */
void gw_inject_run(struct worker *w, bool give_up);

/* books.c */
/** Books for what a graph and its shares count: with the last step of building. False: no memory. */
bool gw_books_wire(struct graph *g);
/** An intake's, when it is aimed: they are there. */
void gw_books_wire_intake(struct intake *in);
/** The engine's, for edges (struct gw_edge_conf). */
struct gw_book *gw_books_of(void *engine, const struct gw_book *key);
/** The worker's page; the spare one without a book. */
static inline struct gw_page *gw_page_of(struct worker *w, struct gw_book *b)
{
    return b ? &b->pages[GW_PAGE_WORKERS + w->index] : &w->spare;
}
uint64_t gw_page_ended(const struct gw_page *p);
int gw_node_drain(struct node *n);
int gw_node_tick(struct node *n, uint64_t now_ns);
int gw_node_advance(struct node *n, uint64_t now_ns, bool rebuilds);
/** Rows that a node let go of since `ended_before`, beyond those it was given, are created: if it may do so. */
void gw_node_surplus(struct node *n, uint64_t ended_before, uint64_t given);
/** It keeps rows of an earlier process (gw_found). */
void gw_node_found(struct node *n, uint32_t rows);
void gw_book_settled(struct worker *w, uint32_t rows, enum gw_outcome outcome);

/* ledger.c */
void gw_ledger_init(struct gw_engine *e);
void gw_ledger_clear(struct gw_engine *e);
/** The end of a worker's turn, when a picture is being taken. */
void gw_ledger_take_part(struct worker *w);
/** All workers have had their parts: what lies in this one's inbox now was on its way at that moment. */
void gw_ledger_take_rest(struct worker *w);
static inline void gw_ledger_turn(struct worker *w)
{
    if (atomic_load_explicit(&w->engine->cuts.number, memory_order_acquire) != w->cut_seen)
        gw_ledger_take_part(w);
    if (w->cut_open && atomic_load_explicit(&w->engine->cuts.rest, memory_order_acquire) == w->cut_seen)
        gw_ledger_take_rest(w);
}
/** Rows between workers: held by the node that they were given to, and by its pipeline. */
void gw_ledger_hold_part(struct gw_cut *c, const struct worker *w, const struct gw_part *p);
/** Before an edge's thread ends: no picture is under way that it has a part in. */
void gw_ledger_finish(struct gw_engine *e);

/* flow.c */
void gw_flow_run(struct worker *w, struct gw_view *v, const struct target *t, unsigned n);
void gw_flow_flush_letters(struct worker *w);
/** Rows that were given to the node by another worker. */
void gw_flow_run_node(struct node *n, struct gw_view *v);
extern const struct gw_ports_ops gw_flow_ports_ops;
void gw_flow_settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                     const char *reason);
void gw_flow_sample(struct gw_ledger *l, const struct gw_view *v, uint32_t row, enum gw_outcome outcome,
                    const char *reason);

/* intake.c, tickets.c */
extern const struct gw_intake_ops gw_intake_ops;
void gw_intake_flush(struct intake *in);
void gw_intake_deliver(struct worker *w);
/** Parked batches whose edges have room now run; those past their deadline are refused. */
void gw_intake_unpark(struct worker *w, bool give_up);
/** Its rows go into that share from now on, by these routes: those of its that are parked, too. */
void gw_intake_aim(struct intake *in, struct share *sh, struct route *routes);
bool gw_intake_is_parked(const struct intake *in);

/* undecodable.c */
/**
 * Keep the request as a dead letter, if there is a place and a right to it. rc and why: as the decoder says. True: what
 * is reserved for the request is used up, and its verdict, INVALID_ARGUMENT, follows when the letter is on disk.
 */
bool gw_intake_undecodable(struct intake *in, struct gw_request *rq, int rc, const char *why);
/** Answers that have waited long enough for their letters go out; with `all`, every one. */
void gw_undecodable_tell(struct worker *w, bool all);

/* bury.c */
/** As gw_intake_ops.bury. */
int gw_intake_bury(struct gw_intake *in, struct gw_request *rq, const struct gw_buried *b);

/* worker.c */
int gw_worker_init(struct worker *w, struct gw_engine *e, unsigned index, struct gw_err *err);
void gw_worker_free(struct worker *w);
int gw_worker_open(struct worker *w, struct gw_err *err);
void gw_worker_close(struct worker *w);
void *gw_worker_main(void *arg);
void *gw_exporter_main(void *arg);
void gw_worker_arm(struct worker *w, uint64_t after_ns);

/* adopt.c */
/** Instances of `to`, which the worker goes over to, take over what their predecessors of `from` keep. */
void gw_nodes_adopt(struct worker *w, struct share *from, struct share *to);

/* worker_switch.c */
/** Open what that share's graph names and is not open here yet; its rows go through it. */
int gw_worker_open_share(struct worker *w, struct share *sh, struct gw_err *err);
/** The share is the worker's: connectors that keep rows hand them to its pipelines from now on. */
void gw_worker_begin(struct worker *w);
/** Connectors that keep rows: of one share alone, which no other one names; NULL: all that are open. */
void gw_connectors_quiesce(struct worker *w, const struct share *only);
bool gw_connectors_idle(struct worker *w, const struct share *only);
void gw_connectors_close(struct worker *w, const struct share *only);
void gw_worker_quiesce(struct intake *in);
/** Let every processor go what it holds. True when there is nothing more. */
bool gw_worker_drain(struct worker *w, struct share *sh);
int gw_worker_follow(struct worker *w, enum order order, struct graph *g, struct gw_err *err);
/** One step with the shares that leave. */
void gw_worker_tend(struct worker *w);

/* engine.c, for reload.c */
bool gw_engine_is_sender(const struct instance *x);
/** by_hand: it does not get on now, says the simulation. */
bool gw_engine_stands(const struct gw_engine *e, const char *kind, const char *name);
/** Those that are not open yet. */
int gw_engine_open_extensions(struct gw_engine *e, struct graph *g, struct gw_err *err);
int gw_engine_start_exporters(struct gw_engine *e, struct gw_err *err);
void gw_engine_close_exporter(struct gw_engine *e, struct instance *x);
void gw_engine_close_extension(struct instance *x);
/** Wait for n threads to report. False: some could not do it. */
bool gw_engine_wait(struct gw_engine *e, unsigned n);

/* logs.c */
int gw_logs_open(struct gw_engine *e, const struct gw_host_log *what, const struct gw_storage *st, struct gw_log **ret,
                 struct gw_err *err);
/** The reader thread of an open log; NULL: it is not one of ours. */
struct gw_tasks *gw_logs_reads(const struct gw_engine *e, const struct gw_log *log);
/** by_hand only: all writers, and then all readers. */
void gw_logs_work(struct gw_engine *e);
/** This thread writes what it submits by itself, at the end of its turns (gw_logs_end_turn), where it can. */
void gw_logs_enter(struct gw_loop *loop);
/** What was submitted in this turn is written, and done, where that is possible. */
void gw_logs_end_turn(void);
/** From now on the logs' writers are woken at once. */
void gw_logs_leave(void);
bool gw_logs_has_folder(const struct gw_engine *e, const char *path);
/**
 * The start has failed: consumers that were made by it are let go, where nothing was appended that is theirs. They
 * would hold back what comes, and nobody would know whose they are.
 */
void gw_logs_withdraw(struct gw_engine *e);
void gw_logs_close(struct gw_engine *e);
/** As gw_host_ops.flight. */
struct gw_flight *gw_logs_flight(const struct gw_engine *e, const struct gw_log *log, uint64_t *ret_log);

/* wals.c */
/** The pipeline's exporters become targets; those with queues in one log become one target. */
int gw_wals_build(struct graph *g, struct pipeline *p, struct gw_err *err);
/** Logs for what comes to exporters through ports. */
int gw_wals_build_ports(struct graph *g, struct gw_err *err);
/** What stored means in the pipelines of this graph, from now on. */
void gw_wals_take_levels(struct graph *g);
bool gw_wals_are_idle(const struct gw_engine *e);
/** No worker brings anything to that edge any more. */
void gw_wals_retire(struct gw_engine *e, const struct gw_edge *edge);
/** False: it has no queue on disk. With an heir before one of its logs it shall not wait for its sink. */
bool gw_wals_heritage(struct gw_engine *e, const struct gw_edge *edge, enum gw_wal_heritage *ret, bool *ret_more);
/** Name what waits on disk for exporters and pipelines that are not configured. */
void gw_wals_name_orphans(const struct gw_engine *e);
/** An edge that is closed and about to be freed. */
void gw_wals_forget(struct gw_engine *e, const struct gw_edge *edge);
/** What logs have for exporters without a thread, or for none, when all parts of a picture are done. */
struct gw_cut;
void gw_wals_cut_rest(const struct gw_engine *e, struct gw_cut *cut);
void gw_wals_free(struct gw_engine *e);
/** The exporter's edge, if its queue is on disk. */
struct gw_edge *gw_wals_edge(const struct graph *g, const struct gw_service_component *c);

/* durability.c */
/** What OK means at each edge of that graph, as metrics; of another graph no longer. */
void gw_durability_tell(const struct graph *g, const struct graph *before);

/* host.c */
extern const struct gw_host_ops gw_host_ops;

#endif
