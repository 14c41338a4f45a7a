/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a component is. One file, no header; its only exported symbol is `const struct gw_component
 * gw_<kind>_<name>`, named in components.def.
 *
 *   receiver   open() once a worker: takes bytes in, hands requests to its intake (pipeline/intake.h)
 *   processor  consume() on the worker, one instance per pipeline and worker: a view in, views out of its ports
 *   connector  consume() as a processor; its port 0 feeds the pipelines that name it as a receiver. One with open()
 *              stands between them instead: it takes the rows, and hands requests to the pipelines' intakes later.
 *              One that `makes` another signal settles what it is given (absorbed) and emits batches of its own, whose
 *              segments have no ticket: from consume(), tick() or drain()
 *   exporter   encode() on the worker, send() on the exporter's own thread (pipeline/exporter.h)
 *   extension  open() on the admin thread; an authenticator also offers `auth` (pipeline/auth.h)
 *
 * Threads   a processor is single-threaded and has no locks; what an instance shares between workers is said where
 */
#ifndef GW_PIPELINE_COMPONENT_H
#define GW_PIPELINE_COMPONENT_H

#include "batch/batch.h"
#include "config/schema.h"
#include "core/env.h"
#include "core/logger.h"
#include "core/meter.h"

struct gw_view;
struct gw_ports;
struct gw_intake;
struct gw_loop;
struct gw_chunk_out;
struct gw_attempt;
struct gw_auth_server;
struct gw_auth_client;
struct gw_batching;
struct gw_storage_ops;
struct gw_listeners;
struct gw_keep_ops;
struct gw_parting;

typedef void gw_watched_fn(void *arg, const char *id, const struct gw_place *place);

enum gw_kind { GW_RECEIVER, GW_PROCESSOR, GW_CONNECTOR, GW_EXPORTER, GW_EXTENSION, GW_N_KINDS };

/** Columns: what a component looks at or changes. Of a receiver's rows only those are decoded that somebody reads. */
enum gw_column_set {
    GW_C_ROW = 1,      /* times, ids, kinds, severity: always cheap */
    GW_C_ATTRS = 2,    /* attributes of rows */
    GW_C_RESOURCE = 4, /* attributes of resources and scopes */
    GW_C_CHILDREN = 8, /* events, links, exemplars */
    GW_C_BODY = 16,    /* log bodies, metric values */
};

struct gw_ctx { /* lives as long as the instance */
    struct gw_env *env;
    const char *id;        /* "attributes/eu" */
    const char *pipeline;  /* "traces/eu", or NULL for receivers, exporters, extensions */
    enum gw_signal signal; /* of a processor or connector instance */
    struct gw_meter *meter;
    bool detailed; /* metrics::level: those that cost a look-up a request are wanted too */
    struct gw_logger logger;
    unsigned worker, n_workers;
    struct gw_host *host; /* other instances that a setting names (pipeline/host.h) */
    void *shared;         /* what create_shared() gave; NULL when the component has none */
    /** A processor: nobody behind it looks at attributes, events and links of rows: batches may be outlines. */
    bool outline_behind;
};

/**
 * Pipelines behind a connector that keeps rows, one intake each on each worker; those that open() was given are
 * there already. All on the worker's thread, between two turns.
 *
 *   join / open() ─► begin ─► … ─► leave ─► is_idle ─► part
 *          └─ the configuration is not taken ──────────► part          begin after leave: it stays, after all
 */
struct gw_behind_ops {
    /** Another pipeline. Errors: negative errno, err; then nothing has changed. */
    int (*join)(void *local, struct gw_intake *in, struct gw_err *err);
    /** The configuration is taken: from now on rows are handed to it. Again is fine. */
    void (*begin)(struct gw_intake *in);
    /** Nothing more is handed to it; what is under way goes on. */
    void (*leave)(struct gw_intake *in);
    bool (*is_idle)(const struct gw_intake *in);
    /** Its place in the rows stays; but not of one that is new and never began. */
    void (*part)(struct gw_intake *in);
};

struct gw_component {
    enum gw_kind kind;
    const char *name;           /* as in YAML: "probabilistic_sampler" */
    const char *const *aliases; /* deprecated spellings, NULL-ended, or NULL */
    const char *summary;        /* one line, shown by `staunch components` */
    unsigned signals;           /* OR of enum gw_signal */
    /**
     * OR of enum gw_column_set; reads 0: it has not said, so all. Who has neither ATTRS nor CHILDREN gets batches in
     * which these are not there (gw_batch.is_outline). An exporter without encode() reads none.
     */
    unsigned reads, writes;
    /** Those that depend on settings: both of them, for these. NULL: always the same. */
    unsigned (*reads_for)(const void *conf);
    unsigned makes; /* connectors: the one signal that leaves by port 0, whatever came in; 0 = the one that came in */
    /**
     * "trace_id", "series", "key", or NULL: rows of equal trace id, or data points of one series, or of all series of
     * equal resource, scope and attributes, meet in the instance of one worker, whichever worker they came to. Spans
     * and records without a trace id stay; so does what has no such key at all. Rows of one key and one connection keep
     * their order.
     */
    const char *partition_by;
    /** Connectors with open(): by what rows that come out of it are parted among the workers; as partition_by. */
    const char *(*partitioned)(const void *conf);
    /** The same ones, when they have partitions that stay the same: how (pipeline/parting.h). */
    void (*parting)(const void *conf, struct gw_parting *ret);
    /** The same: so long its rows stay at least, unless there are too many. NULL: for ever. */
    uint64_t (*retains_ns)(const void *conf);
    bool raises; /* alarms, for those that watch (pipeline/alarms.h) */
    /**
     * The ids of detectors that it watches, where its settings name them in trees, each with its place. May be NULL:
     * it watches none.
     */
    void (*watches)(const void *conf, gw_watched_fn *each, void *arg);
    const char *const *ports; /* names of ports 1.., NULL-ended; e.g. "dead_letter" */
    unsigned expands;         /* output bytes per input byte that consume() may emit, at most */
    bool holds;               /* keeps rows in memory beyond consume(): forces the ack point before it */
    bool must_be_started;     /* an extension that pipelines do not name */
    /** A receiver's, NULL-ended, at most GW_MAX_TRANSPORTS: what gw_meta's may be, a label. NULL: "internal" alone. */
    const char *const *transports;

    const struct gw_field *fields;
    size_t conf_size;
    /** Rules between settings, after defaults: one gw_diag_add per mistake, at the key's place. May be NULL. */
    void (*check)(const void *conf, const struct gw_node *node, struct gw_diag *diag);
    /**
     * Of settings that are kept as trees (GW_F_ANY): the same, before check(), also when other keys are wrong, which
     * are at their defaults then. So that all mistakes are told at once. May be NULL.
     */
    void (*check_trees)(const void *conf, const struct gw_node *node, struct gw_diag *diag);

    /**
     * Processors and connectors with consume(): what the instances of all workers have in common (ctx->shared), one for
     * each id, pipeline and signal. Made before the first instance that needs it and destroyed after the last one. At a
     * reload that leaves the component's settings as they are the new instances get the same one, while those of the
     * graph before still use it; ctx and conf stay valid as long as it lives. On the main thread; how instances of
     * several threads use it is the component's affair. Errors: as create().
     */
    int (*create_shared)(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
    void (*destroy_shared)(void *shared);
    /** conf stays valid as long as the instance. Errors: negative errno, err names the setting. */
    int (*create)(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
    int (*start)(void *self, struct gw_err *err);
    /** Accepts a half-built instance and NULL. */
    void (*destroy)(void *self);
    /**
     * A connector that keeps rows, at a reload with other settings, or other pipelines behind it (`behind`): can it
     * take them as it is? Then, with `take`, it does, and nothing can go wrong any more. Errors: -ENOTSUP, err names
     * what only a restart can change. On the main thread, while its consume() and its shares go on. NULL: it takes
     * none.
     */
    int (*renew)(void *self, const void *conf, bool take, struct gw_err *err);
    /**
     * Receivers and extensions that listen: the instance is going to be replaced, and what it listens on may go over to
     * its successor (gw_hs_group_offer). Called before that is created. NULL: it has nothing of the kind.
     */
    void (*offer)(void *self, struct gw_listeners *to);

    /* Processors and connectors. */
    void (*consume)(void *self, struct gw_view *v, struct gw_ports *out);
    /** now_ns monotonic, about 10 times a second; returns GW_MORE to be called again when there is room. */
    int (*tick)(void *self, uint64_t now_ns, struct gw_ports *out);
    int (*drain)(void *self, struct gw_ports *out);
    /**
     * Rows that the instance keeps: it settled them as absorbed and will emit or settle each of them later. The ledger
     * asks between turns and walks nothing else, so count what is there, not what came and went. NULL: it keeps none;
     * what it absorbs is gone for good, and what it emits from tick() and drain() is new.
     */
    uint64_t (*held)(void *self);
    /**
     * At a reload: take over what `old` keeps, the instance of the same id, pipeline and signal on the same worker,
     * with the same or with other settings. self has got nothing yet; afterwards old keeps nothing, and what still
     * comes its way is given to self. Between two turns, on the worker's thread; both are destroyed as always. Errors:
     * negative errno (-ENOTSUP: these settings cannot be changed so), and nothing has changed: old lets go what it has
     * (drain) as its configuration leaves. NULL: as -ENOTSUP.
     */
    int (*adopt)(void *self, void *old);
    /** Behind a journal what it keeps survives a crash (pipeline/keep.h). NULL: it is in memory alone. */
    const struct gw_keep_ops *keep;

    /**
     * The `batch` processor: how the exporters behind its pipeline shall batch (pipeline/exporter.h). Then the rows
     * pass it untouched: batching happens behind the ack point. NULL for all others.
     */
    void (*batching)(const void *conf, struct gw_batching *ret);

    /*
     * Receivers, extensions, and connectors that keep rows: once per worker (extensions: once, on the admin loop). A
     * connector is then created once; its consume(), tick() and drain() get the worker's local. `intake` is a list by
     * next: one for each pipeline that names it as a receiver; NULL when there are none, or nothing is to come in. With
     * `behind` nothing is handed to them before begin().
     */
    int (*open)(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err);
    /** Stop taking new work; what is under way goes on. */
    void (*quiesce)(void *local);
    /** True when nothing is under way any more. */
    bool (*is_idle)(void *local);
    void (*close)(void *local);
    /** Connectors that keep rows: pipelines come and go. NULL: only with a restart. */
    const struct gw_behind_ops *behind;

    const struct gw_exporter_ops *exporter; /* exporters */
    const struct gw_auth_ops *auth;         /* authenticator extensions */
    const struct gw_storage_ops *storage;   /* storage extensions (pipeline/storage.h) */
};

enum { GW_DONE = 0, GW_MORE = 1, GW_MAX_TRANSPORTS = 2 };

/** Does it look at attributes, events or links of rows? */
bool gw_component_reads_rows(const struct gw_component *c, const void *conf);

/** Built from components.def; NULL-ended. */
extern const struct gw_component *const gw_components[];
/** By name or alias; *ret_deprecated tells that an alias matched. NULL when unknown. */
const struct gw_component *gw_component_find(enum gw_kind kind, struct gw_slice name, bool *ret_deprecated);
const char *gw_kind_name(enum gw_kind kind); /* "receiver" */

#endif
