/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph that a configuration describes, checked and with every setting filled in. The runtime builds from it;
 * nothing in it changes afterwards.
 *
 *   components[]  every configured receiver, processor, connector, exporter, extension, one each per id
 *   pipelines[]   their members in order, by pointer; a connector stands among the exporters of one and the
 *                 receivers of another. Pipelines come in order of flow: whatever feeds a connector comes first
 *
 * How many instances there are of each is the runtime's business (component.h).
 */
#ifndef GW_PIPELINE_SERVICE_H
#define GW_PIPELINE_SERVICE_H

#include "pipeline/component.h"
#include "pipeline/durability.h"

enum gw_metrics_level { GW_LEVEL_NONE, GW_LEVEL_BASIC, GW_LEVEL_NORMAL, GW_LEVEL_DETAILED };

/** `service::telemetry`, ready to use. */
struct gw_telemetry {
    enum gw_log_level log_level;
    bool log_json;
    enum gw_metrics_level metrics_level; /* NONE: no reader is started */
    const char *metrics_host;            /* "localhost" */
    unsigned metrics_port;               /* 8888; 0 = any free one */
    bool metrics_on;                     /* a Prometheus reader is wanted */
    bool without_scope_info, without_units, without_type_suffix;
    /** service.name, service.version, what the file adds; a key that the file sets to null is left out.
     * service.instance.id is added by the runtime unless `no_instance_id` or already here. */
    struct gw_map resource;
    bool no_instance_id;
};

/** `service::runtime`, ours. */
struct gw_runtime_conf {
    uint64_t workers;           /* 0 = one per CPU that the process may use */
    uint64_t memory_limit_mib;  /* 0 = from the cgroup or the machine */
    uint64_t drain_timeout_ns;  /* 25 s */
    bool watch_config;          /* reload when a file changes */
    const char *control_socket; /* "": in the first storage's directory, if there is one */
};

/** `service::dead_letters`, ours. */
struct gw_dead_letters_conf {
    const char *to;
    uint64_t max_request_kib, requests_per_second;
};

/** One output beside port 0: `ports: { dead_letter: [file/rejects] }`. */
struct gw_service_port {
    const char *name;                      /* as in gw_component.ports, or "dead_letter" of an exporter */
    unsigned port;                         /* 1.. in gw_component.ports; exporters: 1 = dead_letter */
    struct gw_service_component **targets; /* exporters and connectors */
    size_t n_targets;
};

struct gw_service_component {
    enum gw_kind kind;
    const char *id;   /* "otlp_grpc/eu", as the file writes it */
    const char *name; /* "eu", or "" */
    const struct gw_component *type;
    const void *conf;  /* type->conf_size bytes */
    const void *extra; /* exporters with `queued`: what gw_service_options.exporter_extra filled; else NULL */
    const struct gw_node *node;
    struct gw_service_port *ports;
    size_t n_ports;
    unsigned index;   /* in components[] */
    bool is_used;     /* by a pipeline, a port, service::extensions: others are not built */
    unsigned signals; /* OR of what reaches it (exporters: pipelines and ports) or leaves it (receivers) */
};

struct gw_service_pipeline {
    const char *id; /* "traces/eu" */
    enum gw_signal signal;
    struct gw_service_component **receivers, **processors, **exporters;
    size_t n_receivers, n_processors, n_exporters;
    enum gw_durability durability; /* asked for */
    unsigned index;
};

struct gw_service {
    struct gw_arena arena; /* owns all of it; the tree must outlive it */
    const struct gw_node *root;
    struct gw_service_component *components;
    size_t n_components;
    struct gw_service_pipeline *pipelines;
    size_t n_pipelines;
    struct gw_service_component **extensions; /* service::extensions, in order of starting */
    size_t n_extensions;
    struct gw_telemetry telemetry;
    struct gw_runtime_conf runtime;
    struct gw_dead_letters_conf dead_letters;
    struct gw_service_component *dead_letter_output; /* of ports without a target of their own, and the door; or NULL */
    char hash[17]; /* of the configuration without its secrets, for whatever outlives it */
};

/** Settings that the runtime adds to exporters which set `queued`: sending_queue, retry_on_failure, timeout. */
struct gw_extra_settings {
    const struct gw_field *fields;
    size_t conf_size;
    /** Defaults that depend on the exporter, before the file is read. */
    void (*adjust)(void *conf, const void *exporter_ops);
    /** What depends on the keys written, and the rules between settings; exporter_conf has been read. */
    void (*finish)(void *conf, const void *exporter_ops, void *exporter_conf, const struct gw_node *node,
                   struct gw_diag *diag);
    /** After finish. */
    enum gw_queue_place (*place)(const void *conf);
};

struct gw_service_options {
    const struct gw_component *const *components;   /* NULL-ended; gw_components, or a test's own */
    const struct gw_extra_settings *exporter_extra; /* NULL: none, and those keys are unknown */
};

/**
 * Check a loaded configuration and describe the graph.
 *
 * Owner     gives *ret (gw_service_free); borrows root as long as the service lives
 * Errors    -EINVAL after adding every mistake to diag, all at once; -ENOMEM. Warnings alone are no error
 */
int gw_service_new(const struct gw_node *root, const struct gw_service_options *options, struct gw_diag *diag,
                   struct gw_service **ret);
void gw_service_free(struct gw_service *s);

/** A copy of a loaded tree in which what the tables call secret reads [REDACTED]; NULL when out of memory. */
struct gw_node *gw_service_redact(const struct gw_node *root, const struct gw_service_options *options,
                                  struct gw_arena *arena);

/** Tables of `service`, for the generated reference. */
extern const struct gw_field gw_telemetry_fields[], gw_runtime_fields[], gw_dead_letters_fields[];

/** The component of that kind and id, or NULL. */
struct gw_service_component *gw_service_find(const struct gw_service *s, enum gw_kind kind, const char *id);

/** The id of the storage that a connector keeps its rows in; NULL: it keeps none. */
const char *gw_service_storage_of(const struct gw_service_component *c);
/** All of its receivers are such connectors: whatever it is given stays in a log until it is done. */
bool gw_service_is_behind_log(const struct gw_service_pipeline *p);

/** What the Collector has and Staunch has not yet, or has under another name. */
struct gw_planned {
    enum gw_kind kind;
    const char *name;
    const char *instead; /* NULL: planned; else what to write */
};
extern const struct gw_planned gw_planned[]; /* ended by name == NULL */

#endif
