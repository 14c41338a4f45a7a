/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for one connector that makes another signal: instances of several workers with what they share, all on the
 * test's thread. A test hands in requests as OTLP/JSON, moves the clock, ticks, and looks at what left port 0: as
 * protobuf, and as JSON.
 */
#ifndef GW_TESTS_HARNESS_CONNECTOR_H
#define GW_TESTS_HARNESS_CONNECTOR_H

#include "tests/harness.h"

#include "batch/settle.h"
#include "core/credit.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "tests/harness_env.h"

enum { GW_JOINT_WORKERS = 8, GW_JOINT_BODIES = 256 };

struct gw_joint_rig {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_meter *meter;
    struct gw_credit memory;
    struct gw_host host;
    struct gw_arena conf_arena, arena;
    struct gw_diag diag;
    char said[8192];
    struct gw_err err;
    const struct gw_component *component;
    void *conf, *shared, *self[GW_JOINT_WORKERS];
    struct gw_ctx shared_ctx, ctx[GW_JOINT_WORKERS];
    unsigned n_workers;
    struct gw_ports ports;
    struct gw_ledger ledger;
    bool full;    /* there is no room behind port 0 */
    bool unwired; /* the other ports lead nowhere */
    bool is_sending;
    /* Since the last gw_joint_forget: */
    struct gw_buf bodies[GW_JOINT_BODIES]; /* what was emitted, each encoded again */
    unsigned n_bodies;
    uint32_t n_rows;
    char *json; /* of all bodies, one a line */
    uint32_t settled[GW_REFUSED + 1];
    uint32_t n_side;    /* rows out of the other ports: settled as delivered */
    char *side;         /* those, as JSON */
    unsigned n_changes; /* of bodies; goes on */
};

/** What is opened from now on; a processor's rows that pass by port 0 are settled as delivered. At first: GW_CONNECTOR.
 */
extern enum gw_kind gw_joint_kind;
/** Read and check the settings; 0 or -EINVAL with r->said. */
int gw_joint_configure(struct gw_joint_rig *r, const char *name, const char *yaml);
/** Configure, and make what is shared and the instances; fails the test when that fails. */
void gw_joint_open(struct gw_joint_rig *r, const char *name, enum gw_signal signal, const char *yaml,
                   unsigned n_workers);
void gw_joint_close(struct gw_joint_rig *r);
/** One instance more, as of another graph with the same settings; returns its number. */
unsigned gw_joint_join(struct gw_joint_rig *r, enum gw_signal signal, unsigned worker);
void gw_joint_leave(struct gw_joint_rig *r, unsigned i);
/** One request as OTLP/JSON through the consume() of instance i. Every row must be settled. */
void gw_joint_send(struct gw_joint_rig *r, unsigned i, const char *json);
/** The same as protobuf. */
void gw_joint_send_wire(struct gw_joint_rig *r, unsigned i, struct gw_slice request);
/** Move the clock, then tick instance i. */
void gw_joint_tick(struct gw_joint_rig *r, unsigned i, uint64_t ns);
int gw_joint_drain(struct gw_joint_rig *r, unsigned i);
void gw_joint_forget(struct gw_joint_rig *r);
bool gw_joint_has(const struct gw_joint_rig *r, const char *text);
/** Settings that must be refused, with a text that the diagnosis must hold. */
void gw_joint_refuses(const char *name, const char *yaml, const char *text);
/** Value of a series "name{label=\"value\"}" in the exposition, or 0. */
double gw_joint_metric(struct gw_joint_rig *r, const char *series);

#endif
