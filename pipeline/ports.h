/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a processor's output goes. Port 0 is the next component of the pipeline; the others are those that
 * the component names in `ports`, wired in YAML: `ports: { dead_letter: [file/rejects] }`.
 */
#ifndef GW_PIPELINE_PORTS_H
#define GW_PIPELINE_PORTS_H

#include "batch/settle.h"

struct gw_ports;
struct gw_reject;

struct gw_ports_ops {
    void (*emit)(struct gw_ports *out, unsigned port, struct gw_view *v);
    void (*reject)(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why);
    /** May be NULL: nobody counts. */
    void (*found)(struct gw_ports *out, uint32_t rows);
    /** May be NULL: there always is. */
    bool (*has_room)(struct gw_ports *out, uint32_t rows, size_t bytes);
    /** May be NULL: all are. */
    bool (*is_wired)(struct gw_ports *out, unsigned port);
    /** May be NULL. A connector's: id of the pipeline that the view comes from. */
    const char *(*pipeline)(struct gw_ports *out, const struct gw_view *v);
};

/** First member of the runtime's struct. */
struct gw_ports {
    const struct gw_ports_ops *ops;
    struct gw_ledger *ledger;
    struct gw_arena *arena; /* scratch that dies with the turn */
};

/** Takes the view: it must not be used afterwards. An empty view may be emitted; it goes no further. */
static inline void gw_emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    out->ops->emit(out, port, v);
}

/**
 * Connectors that make another signal: do the queues behind port 0 have room for such a batch now? Whoever can, waits
 * with what it has until they do. What is emitted without room is dropped as `queue_full`, so that a sink that is away
 * fills no memory.
 *
 * Processors that keep rows (`holds`), for what may as well wait there a little longer: would that leave half of the
 * queues to others? Nothing is dropped for want of it.
 */
static inline bool gw_has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    return !out->ops->has_room || out->ops->has_room(out, rows, bytes);
}

/** Does the port lead anywhere? What is emitted to one that does not is dropped as `no_target`. */
static inline bool gw_port_is_wired(struct gw_ports *out, unsigned port)
{
    return !out->ops->is_wired || out->ops->is_wired(out, port);
}

/**
 * A component that keeps rows beyond the process: it has so many that an earlier one had settled, and that are in no
 * book of this one. They count as created.
 */
static inline void gw_found(struct gw_ports *out, uint32_t rows)
{
    if (out->ops->found)
        out->ops->found(out, rows);
}

/** Why a row is bad. All texts are copied before reject returns. */
struct gw_reject {
    const char *rule;      /* "trace_id", the reason's name in metrics */
    const char *field;     /* "attributes[\"http.route\"]" */
    struct gw_slice value; /* as far as it helps; cut to 256 bytes */
    const char *message;   /* a sentence for the client: "trace_id must be 16 bytes, not 4" */
};

/**
 * The row leaves the view as rejected: counted by rule, told to the client as partial success, and written to the
 * `dead_letter` port (when it is wired) as a log record whose body is the original bytes in an OTLP envelope and whose
 * attributes are dlq.*.
 */
static inline void gw_reject_row(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why)
{
    out->ops->reject(out, v, row, why);
}

#endif
