/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the otlp receiver: what its parts share.
 *
 *   otlp.c     the component: create, open, verdicts            conf.c    settings
 *   grpc.c     heads, messages and answers of gRPC              http.c    the same of OTLP/HTTP
 *   health.c   grpc.health.v1
 *   request.c  body, decompression, admission, submission       answer.c  response messages, Status, JSON
 *   origin.c   authentication, tenant, metadata                 cors.c    cross-origin answers
 */
#ifndef GW_RECEIVERS_OTLP_H
#define GW_RECEIVERS_OTLP_H

#include "net/compress.h"
#include "net/grpc_frame.h"
#include "net/http_server.h"
#include "otlp-proto/limits.h"
#include "pipeline/auth.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/intake.h"

enum gw_otlp_code {
    GW_OK = 0,
    GW_INVALID_ARGUMENT = 3,
    GW_DEADLINE_EXCEEDED = 4,
    GW_NOT_FOUND = 5,
    GW_RESOURCE_EXHAUSTED = 8,
    GW_UNIMPLEMENTED = 12,
    GW_INTERNAL = 13,
    GW_UNAVAILABLE = 14,
    GW_UNAUTHENTICATED = 16,
};

/* ---- settings --------------------------------------------------------------------------------------------- */

struct gw_otlp_tls {
    const char *cert_file, *cert_pem, *key_file, *key_pem, *ca_file, *ca_pem, *client_ca_file, *min_version,
        *max_version;
    bool client_ca_file_reload, include_system_ca_certs_pool, include_insecure_cipher_suites;
    uint64_t reload_interval_ns;
    struct gw_list cipher_suites, curve_preferences;
};

struct gw_otlp_auth {
    const char *authenticator;
    struct gw_list request_params; /* HTTP */
};

/** What both protocols have. */
struct gw_otlp_endpoint {
    const char *endpoint;
    int transport;
    bool has_tls, has_auth, include_metadata;
    struct gw_otlp_tls tls;
    struct gw_otlp_auth auth;
    uint64_t max_connections, connect_burst, connect_per_s, max_header_bytes, max_headers, max_concurrent_streams,
        bucket_burst, bucket_per_s;
    uint64_t initial_window_bytes, max_window_bytes;
    uint64_t header_timeout_ns, body_idle_timeout_ns;
};

struct gw_otlp_server_parameters {
    uint64_t max_connection_idle_ns, max_connection_age_ns, max_connection_age_grace_ns, time_ns, timeout_ns;
};
struct gw_otlp_enforcement {
    uint64_t min_time_ns;
    bool permit_without_stream;
};
struct gw_otlp_keepalive {
    struct gw_otlp_server_parameters server_parameters;
    struct gw_otlp_enforcement enforcement_policy;
};

struct gw_otlp_grpc {
    struct gw_otlp_endpoint e;
    uint64_t max_recv_msg_size_mib, read_buffer_size, write_buffer_size;
    struct gw_otlp_keepalive keepalive;
};

struct gw_otlp_cors {
    struct gw_list allowed_origins, allowed_headers, exposed_headers;
    int64_t max_age;
};

enum { GW_OTLP_RESPONSE_HEADERS = 16 };

struct gw_otlp_http {
    struct gw_otlp_endpoint e;
    struct gw_otlp_cors cors;
    bool has_cors, keep_alives;
    uint64_t max_request_body_size;
    struct gw_map response_headers;
    struct gw_list compression_algorithms;
    uint64_t read_timeout_ns, read_header_timeout_ns, write_timeout_ns, idle_timeout_ns;
    const char *traces_url_path, *metrics_url_path, *logs_url_path;
};

struct gw_otlp_protocols {
    bool has_grpc, has_http;
    struct gw_otlp_grpc grpc;
    struct gw_otlp_http http;
};
struct gw_otlp_tenant {
    const char *from_header, *from_auth, *def;
};
struct gw_otlp_limits {
    uint64_t rows, depth, decode_bytes_per_byte;
};
struct gw_otlp_conf {
    struct gw_otlp_protocols protocols;
    struct gw_otlp_tenant tenant;
    struct gw_otlp_limits limits;
};

extern const struct gw_field gw_otlp_fields[];
void gw_otlp_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);
/** Borrows from conf. */
void gw_otlp_grpc_conf(const struct gw_otlp_grpc *g, struct gw_hs_conf *ret);
void gw_otlp_http_conf(const struct gw_otlp_http *h, struct gw_hs_conf *ret);

/* ---- instance --------------------------------------------------------------------------------------------- */

/** How a request ended, as the Collector's otelcol_receiver_requests tells it. */
enum gw_otlp_outcome { GW_OTLP_SUCCESS, GW_OTLP_FAILURE, GW_OTLP_REFUSED, GW_OTLP_OUTCOMES };

/** One endpoint of the instance, shared by the workers. */
struct gw_otlp_shared {
    struct gw_hs_group *group; /* NULL: protocol is off */
    const struct gw_otlp_endpoint *e;
    bool grpc;
    size_t max_body_bytes;
    unsigned codecs; /* bits 1 << enum gw_codec that may come in */
    struct gw_metric
        *requests[GW_OTLP_OUTCOMES]; /* a request refused at the door is counted here: its rows are unknown */
    struct gw_metric *unheard;       /* rows that were taken when their client had left or given up */
};

struct gw_otlp {
    const struct gw_otlp_conf *conf;
    struct gw_ctx ctx;
    struct gw_logger logger;
    struct gw_limits limits;
    struct gw_otlp_shared grpc, http;
    struct gw_otlp_path {
        struct gw_slice path; /* owned */
        enum gw_signal signal;
    } paths[3];
    struct gw_header response_headers[GW_OTLP_RESPONSE_HEADERS]; /* names owned, in lower case as HTTP/2 wants them */
    unsigned n_response_headers;
};

enum { GW_OTLP_METAS = 64, GW_OTLP_SMALL_BYTES = 16 << 10 };

/** One endpoint on one worker. */
struct gw_otlp_door {
    struct gw_hs_handler handler;
    struct gw_otlp_local *l;
    struct gw_otlp_shared *shared;
    struct gw_hs_server *server;
    struct gw_auth auth; /* ops NULL: nobody is asked */
    uint32_t slot_bit;   /* tells in an ack which server a stream belongs to */
};

/** The worker's half of the instance. */
struct gw_otlp_local {
    struct gw_otlp *o;
    struct gw_loop *loop;
    struct gw_intake *intake;
    struct gw_otlp_door grpc, http;
    struct gw_otlp_request *free; /* idle requests, with their buffers */
    unsigned n_free;
    struct gw_meta *metas[GW_OTLP_METAS]; /* last ones seen, by peer */
    struct gw_identity identity;
    struct gw_buf text, answer;      /* scratch */
    struct gw_otlp_request *watches; /* open calls of Health/Watch */
    struct gw_hook hook;             /* looks whether they have to hear something */
    uint8_t told;                    /* the last status that all of them heard, or 0 */
    bool leaving;
    uint8_t *small; /* GW_OTLP_SMALL_BYTES: what a short body is decompressed into */
};

enum gw_otlp_health { GW_OTLP_NO_HEALTH, GW_OTLP_CHECK, GW_OTLP_LIST, GW_OTLP_WATCH };

struct gw_otlp_request {
    struct gw_otlp_request *next;
    struct gw_otlp_door *door;
    struct gw_hs_stream *s;
    struct gw_hold hold;
    enum gw_signal signal;
    enum gw_encoding encoding;
    enum gw_codec codec;
    bool held;       /* hold is ours to release */
    bool busy, gone; /* a call-back of ours is on the stack: freed by it */
    bool answered;
    enum gw_otlp_health health;
    uint64_t granted;           /* bytes that the intake was asked for */
    uint64_t begin_ns, n_body;  /* for the meter, at level detailed: when it came, how long it is */
    struct gw_payload *payload; /* the body, when it is long or may be */
    struct gw_buf wire;         /* the body otherwise */
    struct gw_grpc_reader reader;
    struct gw_meta *meta;
    uint64_t deadline_ns;
    struct gw_timer deadline; /* answers when nobody else did */
    /* Health/Watch */
    struct gw_otlp_request *watch_next, **watch_link;
    uint8_t told; /* the last status that was sent */
    bool watched; /* the service is known: its status may change */
};

/* request.c */
struct gw_otlp_request *gw_otlp_request_new(struct gw_otlp_door *d, struct gw_hs_stream *s);
/** Enter and leave a call-back: leave frees a request that went meanwhile. */
void gw_otlp_enter(struct gw_otlp_request *rq);
void gw_otlp_leave(struct gw_otlp_request *rq);
void gw_otlp_gone(struct gw_hs_handler *h, struct gw_hs_stream *s);
/** gw_hs_handler's room. A body whose length was told is paid for; any other one pays ahead, or waits. */
bool gw_otlp_room(struct gw_hs_handler *h, struct gw_hs_stream *s, uint64_t more);
/** All of these answer the client themselves on failure; false: it was answered, stop. */
bool gw_otlp_admit(struct gw_otlp_request *rq, int64_t content_length);
bool gw_otlp_grow(struct gw_otlp_request *rq, uint64_t bytes);
/** Room for a body of known length: in a payload of its own, unless it will be decompressed into one. */
bool gw_otlp_expect(struct gw_otlp_request *rq, uint64_t bytes);
bool gw_otlp_append(struct gw_otlp_request *rq, struct gw_slice chunk);
/** From now on the client waits until rq->deadline_ns, and no longer. */
void gw_otlp_arm_deadline(struct gw_otlp_request *rq);
void gw_otlp_submit(struct gw_otlp_request *rq, struct gw_slice body, enum gw_codec codec);

/* origin.c */
bool gw_otlp_find_header(const struct gw_hs_head *d, const char *name, struct gw_slice *ret);
/** Who is it? 0, -EACCES (not let in), -EINVAL (tenant), -ENOMEM; *ret_meta is the caller's reference. */
int gw_otlp_origin(struct gw_otlp_door *d, const struct gw_hs_head *head, struct gw_meta **ret_meta,
                   struct gw_err *err);

/* answer.c: all append */
void gw_otlp_put_response(struct gw_buf *b, const struct gw_verdict *v, bool json);
void gw_otlp_put_status(struct gw_buf *b, const struct gw_verdict *v, bool json);
/** With 14 a delay, a second when the verdict has none; with all others none. */
uint64_t gw_otlp_delay_ns(const struct gw_verdict *v);

enum gw_otlp_outcome gw_otlp_outcome_of(const struct gw_verdict *v);

/* health.c */
enum gw_otlp_health gw_otlp_health_method(struct gw_slice path);
void gw_otlp_health_answer(struct gw_otlp_request *rq, struct gw_slice message);
/** Run by l->hook. */
void gw_otlp_health_look(struct gw_hook *h);
/** All watches end, and new ones do at once. */
void gw_otlp_health_leave(struct gw_otlp_local *l);
void gw_otlp_health_gone(struct gw_otlp_request *rq);

/* grpc.c, http.c */
enum { GW_OTLP_METHODS = 3 };
struct gw_otlp_method {
    const char *path, *service;
    enum gw_signal signal;
};
extern const struct gw_otlp_method gw_otlp_methods[GW_OTLP_METHODS];
void gw_otlp_grpc_ok(struct gw_otlp_request *rq, struct gw_slice message);
/** The first message of a streamed answer; more by gw_hs_push. */
void gw_otlp_grpc_open(struct gw_otlp_request *rq, struct gw_slice message);
void gw_otlp_grpc_end(struct gw_otlp_request *rq, int grpc_status, const char *message);
void gw_otlp_grpc_handler(struct gw_hs_handler *ret);
void gw_otlp_http_handler(struct gw_hs_handler *ret);
void gw_otlp_grpc_answer(struct gw_otlp_request *rq, const struct gw_verdict *v);
void gw_otlp_http_answer(struct gw_otlp_request *rq, const struct gw_verdict *v);
/** The first answer counts; whatever comes after it is not heard. */
void gw_otlp_answer(struct gw_otlp_request *rq, const struct gw_verdict *v);
void gw_otlp_refuse(struct gw_otlp_request *rq, int grpc_status, const char *message);

/* cors.c */
enum { GW_OTLP_CORS_HEADERS = 6 };
/** A preflight is answered with these headers and 204, and goes no further. */
bool gw_otlp_is_preflight(const struct gw_otlp_http *h, const struct gw_hs_head *d);
unsigned gw_otlp_cors_preflight(const struct gw_otlp_http *h, const struct gw_hs_head *d, struct gw_buf *text,
                                struct gw_header *ret);
unsigned gw_otlp_cors_actual(const struct gw_otlp_http *h, const struct gw_hs_head *d, struct gw_buf *text,
                             struct gw_header *ret);

#endif
