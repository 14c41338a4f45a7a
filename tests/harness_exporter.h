/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for one exporter: opened by name with settings as YAML, on a loop with a clock of ours, with scripted clients
 * behind gw_env. A test hands it a body, looks at what went to the client, says what the server answers, and reads what
 * the exporter told the queue.
 */
#ifndef GW_TESTS_HARNESS_EXPORTER_H
#define GW_TESTS_HARNESS_EXPORTER_H

#include "tests/harness.h"

#include "config/schema.h"
#include "core/buf.h"
#include "core/client.h"
#include "net/loop.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"
#include "pipeline/host.h"
#include "pipeline/queue_settings.h"

enum { GW_RIG_MAX = 512 };

/** One request, message or call that the exporter has sent; texts are copied. */
struct gw_rig_sent {
    char *method, *url; /* HTTP; method of a gRPC call; topic of a message in url */
    char *headers;      /* "name: value\n" each */
    char *encoding;     /* gRPC */
    uint8_t *body, *key;
    size_t n_body, n_key;
    bool has_key, cancelled, answered;
    int32_t partition;
    uint64_t timeout_ns;
    void *what; /* the request itself */
};

struct gw_rig_dead {
    uint8_t *body;
    size_t n_body;
    uint32_t rows;
    int code;
    char class_[32], reason[64], message[512];
};

struct gw_rig {
    struct gw_env *env;
    struct gw_loop *loop;
    uint64_t mono_ns, wall_ns;
    char log[16384];
    struct gw_log_sink sink;

    struct gw_arena arena;
    struct gw_diag diag;
    char said[4096]; /* what the settings' check wrote */
    const struct gw_component *component;
    void *conf, *self;
    struct gw_queue_settings queue;
    struct gw_ctx ctx;
    struct gw_host host;
    struct gw_err err;

    /* The scripted clients. */
    char *client_conf; /* "key=value\n" lines of what the factory got */
    struct gw_rig_sent sent[GW_RIG_MAX];
    unsigned n_sent;
    int partitions; /* what the producer answers */
    unsigned purges;
    unsigned producers; /* how often one was made */
    uint64_t message_timeout_ms;
    int (*token)(void *arg, struct gw_buf *out, uint64_t *ret_expires_ms, struct gw_err *err);
    void *token_arg;
    void (*trouble)(void *arg, enum gw_trouble what);
    void *trouble_arg;
    bool no_producer;       /* making one fails */
    const char *bearer;     /* what the authenticator bearertokenauth sends */
    struct gw_meter *meter; /* may be set between configure and start; the test's own */

    /* The attempt. */
    struct gw_attempt a;
    unsigned done;
    struct gw_sent_info info; /* texts below */
    char reason[64], message[512];
    uint8_t *left;
    struct gw_rig_dead dead[GW_RIG_MAX];
    unsigned n_dead;
    bool on_disk;                              /* rows have names */
    uint64_t taken_bits, dead_bits, left_bits; /* of the first 64 rows: what it last said of each */

    /* The answer to `again`: no after so many failures of a request (0 = never), else this pause or the sink's wish. */
    unsigned most_failures;
    uint64_t pause_ns; /* 1 s when it is 0 */
    unsigned n_again;
    unsigned n_untried;           /* requests that were not sent, because a breaker is open */
    bool waited_for, out_of_time; /* what they hear: no, somebody waits; once more, whatever the breaker says */
};

/** Fill the settings and check them; 0 or -EINVAL with r->said. */
int gw_rig_configure(struct gw_rig *r, const char *name, const char *yaml);
/** configure, create, start, open: fails the test when one of them fails. */
void gw_rig_open(struct gw_rig *r, const char *name, const char *yaml);
/** create, start, open after configure; the first error, in r->err. */
int gw_rig_start(struct gw_rig *r);
void gw_rig_close(struct gw_rig *r);

/** Start an attempt (r->done counts the answers; the body is borrowed until then). */
void gw_rig_send(struct gw_rig *r, enum gw_signal signal, struct gw_slice body, uint32_t rows);
/** A body in parts, which stand until done. */
void gw_rig_send_rope(struct gw_rig *r, enum gw_signal signal, struct gw_rope body, uint32_t rows);
/** The i-th sent thing, or a failed test. */
struct gw_rig_sent *gw_rig_sent(struct gw_rig *r, unsigned i);
/** Its value of "name: value", or NULL. Valid until the next call. */
const char *gw_rig_header(const struct gw_rig_sent *s, const char *name);
/** The value of a line of client_conf, or NULL. Valid until the next call. */
const char *gw_rig_conf(const struct gw_rig *r, const char *key);

/** Answer HTTP request i. headers: "name: value\n" lines or NULL. */
void gw_rig_http(struct gw_rig *r, unsigned i, int status, const char *headers, struct gw_slice body);
void gw_rig_http_fail(struct gw_rig *r, unsigned i, enum gw_http_failure failure, const char *error);
/** Answer message i. */
void gw_rig_produced(struct gw_rig *r, unsigned i, enum gw_produce_code code, const char *error);
/** Answer call i. */
void gw_rig_called(struct gw_rig *r, unsigned i, int status, const char *message, struct gw_slice reply,
                   struct gw_slice details);

#endif
