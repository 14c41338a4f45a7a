/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for one processor: opened by name with settings as YAML. A test hands it requests as OTLP/JSON; they are
 * decoded, go through consume(), and what leaves port 0 is encoded and kept as JSON, so that every test also goes
 * through the splicing encoder. Rejected rows, settled counts, log and metrics are kept, too.
 */
#ifndef GW_TESTS_HARNESS_PROCESSOR_H
#define GW_TESTS_HARNESS_PROCESSOR_H

#include "tests/harness.h"

#include "batch/settle.h"
#include "core/credit.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "tests/harness_env.h"

enum { GW_PROC_REJECTS = 64 };

/** What is around the next instances that are opened, when not one worker alone without a host's calls. */
struct gw_proc_world {
    const struct gw_host_ops *host;
    struct gw_alarms *alarms; /* or NULL */
    unsigned worker, n_workers;
    void *shared; /* of all instances that are open; made with the first, destroyed with the last, which is that one */
    unsigned n_open;
};
extern struct gw_proc_world *gw_proc_world; /* NULL, at first */

struct gw_proc_reject {
    uint32_t row;
    char rule[64], field[128], value[128], message[256];
};

struct gw_proc_rig {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_meter *meter;
    struct gw_credit memory;
    struct gw_host host;
    struct gw_proc_world *world;
    struct gw_arena conf_arena, arena;
    struct gw_diag diag;
    char said[8192]; /* what reading the settings found */
    struct gw_err err;

    const struct gw_component *component;
    void *conf, *self;
    struct gw_ctx ctx;
    struct gw_ports ports; /* ops point back here */
    struct gw_ledger ledger;

    struct gw_meta *meta; /* of the next requests; the rig's reference */
    const char *receiver; /* of the next requests; NULL: "otlp" */
    struct gw_ticket ticket;
    unsigned posts;
    char *out;      /* JSON of what left port 0; "" when nothing did */
    uint32_t n_out; /* its rows */
    uint32_t settled[GW_REFUSED + 1];
    char reason[64]; /* of the last settle that was not GW_DELIVERED */
    struct gw_proc_reject rejects[GW_PROC_REJECTS];
    unsigned n_rejects;
    bool failed; /* the view said that an edit failed */
};

/** Read and check the settings; 0 or -EINVAL with r->said. */
int gw_proc_configure(struct gw_proc_rig *r, const char *name, const char *yaml);
/** create and start after configure; the first error, text in r->err. */
int gw_proc_start(struct gw_proc_rig *r, enum gw_signal signal);
/** configure and start; fails the test when they fail. */
void gw_proc_open(struct gw_proc_rig *r, const char *name, enum gw_signal signal, const char *yaml);
void gw_proc_close(struct gw_proc_rig *r);

/** One request as OTLP/JSON. Checks that its ticket is closed exactly once. */
void gw_proc_send(struct gw_proc_rig *r, const char *json);
/** The same as protobuf. */
void gw_proc_send_wire(struct gw_proc_rig *r, struct gw_slice request);
/** True when the output has the text. */
bool gw_proc_has(const struct gw_proc_rig *r, const char *text);
/** Value of a series "name{label=\"value\"}" in the exposition, or 0. */
double gw_proc_metric(struct gw_proc_rig *r, const char *series);

/** Settings that must be refused, with a text that the diagnosis must hold. */
void gw_proc_refuses(const char *name, const char *yaml, const char *text);
/** Settings that only create() can refuse, since it depends on the signal. */
void gw_proc_refuses_signal(const char *name, enum gw_signal signal, const char *yaml, const char *text);

/** A span, record or gauge point in the least envelope: attributes are JSON like "{\"key\":\"a\",\"value\":{…}}". */
const char *gw_proc_span(const char *fields, const char *attributes);
const char *gw_proc_log(const char *fields, const char *attributes);
const char *gw_proc_point(const char *fields, const char *attributes);

#endif
