/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients at request level: a request goes in, one outcome comes out. Real ones wrap curl, librdkafka and grpc;
 * the simulator and the tests have scripted ones. Made by gw_env's factories, one per exporter thread; all calls
 * and call-backs happen on that thread's loop.
 */
#ifndef GW_CORE_CLIENT_H
#define GW_CORE_CLIENT_H

#include "core/env.h"

struct gw_buf;
struct gw_logger;
struct gw_http_request;
struct gw_http_response;
struct gw_produce;
struct gw_produce_result;
struct gw_rpc_request;
struct gw_rpc_response;

/* ---- TLS, shared by all clients -------------------------------------------------------------------------- */

/** Paths or PEM texts; empty strings mean "not set". */
struct gw_client_tls {
    bool insecure;             /* no TLS at all */
    bool insecure_skip_verify; /* TLS, but any certificate will do */
    const char *ca_file, *ca_pem, *cert_file, *cert_pem, *key_file, *key_pem, *server_name_override;
    const char *min_version, *max_version;
    bool include_system_ca_certs_pool;
    uint64_t reload_interval_ns;
};

/* ---- HTTP ------------------------------------------------------------------------------------------------- */

struct gw_header {
    struct gw_slice name, value;
};

struct gw_http_client_conf {
    struct gw_client_tls tls;
    const char *proxy_url; /* "" = from the environment variables that curl reads */
    const char *user_agent;
    unsigned max_conns_per_host, max_idle_conns; /* 0 = no limit */
    uint64_t idle_conn_timeout_ns;
    bool disable_keep_alives, http1_only, cookies;
    bool http2_only;                              /* also without TLS: no HTTP/1.1 request comes first */
    size_t max_response_bytes;                    /* a longer answer is an error */
    size_t read_buffer_bytes, write_buffer_bytes; /* 0 = the library's own */
};

/** Lives until `done` has returned; owned by the caller, who may not touch it before. */
struct gw_http_request {
    const char *method, *url;
    const struct gw_header *headers;
    unsigned n_headers;
    struct gw_slice body;         /* borrowed until done; with parts: p is NULL, n is the length of all */
    const struct gw_slice *parts; /* the body in several places, borrowed until done; or NULL */
    uint32_t n_parts;
    uint64_t timeout_ns; /* 0 = none */
    void (*done)(struct gw_http_request *rq, const struct gw_http_response *rs);
    void *arg;  /* the caller's */
    void *impl; /* the client's */
};

enum gw_http_failure {
    GW_HTTP_OK,
    GW_HTTP_CONNECT,
    GW_HTTP_TIMEOUT,
    GW_HTTP_BROKEN,
    GW_HTTP_TOO_LARGE,
    GW_HTTP_CANCELLED
};

/**
 * Valid during `done`. status is 0 unless failure is GW_HTTP_OK, or GW_HTTP_TOO_LARGE: then the head was read, and body
 * holds the first max_response_bytes.
 */
struct gw_http_response {
    enum gw_http_failure failure;
    int status;
    bool http2;
    const char *error; /* a sentence, when failure is not GW_HTTP_OK */
    struct gw_slice body;
    const struct gw_header *headers; /* names in lower case */
    unsigned n_headers;
};

struct gw_http_client_ops {
    /** `done` is called exactly once, never from inside send. */
    void (*send)(struct gw_http_client *c, struct gw_http_request *rq);
    /** `done` follows with GW_HTTP_CANCELLED. */
    void (*cancel)(struct gw_http_client *c, struct gw_http_request *rq);
    /** All requests must be done. */
    void (*free)(struct gw_http_client *c);
};
struct gw_http_client {
    const struct gw_http_client_ops *ops;
};

/* ---- Kafka producer --------------------------------------------------------------------------------------- */

struct gw_producer_option {
    const char *key, *value; /* librdkafka's property names */
};
enum gw_trouble { GW_TROUBLE_CONNECTION, GW_TROUBLE_TLS, GW_TROUBLE_AUTHENTICATION, GW_TROUBLE_OTHER, GW_TROUBLES };
struct gw_producer_conf {
    const struct gw_producer_option *options;
    unsigned n_options;
    const struct gw_logger *logger;
    /**
     * With sasl.mechanisms OAUTHBEARER: append a fresh token to out; *ret_expires_ms is wall clock. Called on the loop,
     * whenever the old one is about to expire; must not block.
     */
    int (*token)(void *arg, struct gw_buf *out, uint64_t *ret_expires_ms, struct gw_err *err);
    void *token_arg;
    /** A broker cannot be reached, or does not take us: counted by the caller. Called on the loop. May be NULL. */
    void (*trouble)(void *arg, enum gw_trouble what);
    void *trouble_arg;
};

/** Lives until `done` has returned. All slices are borrowed until then. */
struct gw_produce {
    struct gw_slice topic, key, value;
    bool has_key;
    int32_t partition; /* -1: by the client's partitioner */
    const struct gw_header *headers;
    unsigned n_headers;
    void (*done)(struct gw_produce *m, const struct gw_produce_result *r);
    void *arg, *impl;
};
enum gw_produce_code {
    GW_PRODUCED,
    GW_PRODUCE_RETRY,
    GW_PRODUCE_TOO_LARGE,
    GW_PRODUCE_PERMANENT,
    GW_PRODUCE_QUEUE_FULL
};
struct gw_produce_result {
    enum gw_produce_code code;
    const char *error;
    int32_t partition;
    int64_t offset;
};
struct gw_producer_ops {
    /** `done` is called exactly once per message, never from inside. */
    void (*produce)(struct gw_producer *p, struct gw_produce *const *m, unsigned n);
    /** Partitions of a topic: > 0, or -EAGAIN while unknown (a look-up is started), or another negative errno. */
    int (*partitions)(struct gw_producer *p, const char *topic);
    /** Wait (blocking, at most timeout_ns) until all messages are done; used at drain. */
    void (*flush)(struct gw_producer *p, uint64_t timeout_ns);
    /** Give up on all open messages: `done` follows soon with GW_PRODUCE_RETRY; what was under way may yet arrive. */
    void (*purge)(struct gw_producer *p);
    void (*free)(struct gw_producer *p);
};
struct gw_producer {
    const struct gw_producer_ops *ops;
};

/* ---- gRPC unary client ------------------------------------------------------------------------------------ */

struct gw_rpc_client_conf {
    const char *target, *authority, *user_agent, *load_balancing; /* "dns:///host:port", ... */
    struct gw_client_tls tls;
    uint64_t keepalive_time_ns, keepalive_timeout_ns; /* 0 = off */
    bool keepalive_without_calls, wait_for_ready;
    bool any_encoding; /* calls may use encodings that grpc core does not know: zstd, snappy */
    size_t max_response_bytes;
};
struct gw_rpc_request {
    const char *method; /* "/opentelemetry.proto.collector.trace.v1.TraceService/Export" */
    const struct gw_header *headers;
    unsigned n_headers;
    struct gw_slice message; /* borrowed until done; already compressed when encoding says so; n with parts: of all */
    const struct gw_slice *parts; /* the message in several places; or NULL */
    uint32_t n_parts;
    const char *encoding; /* NULL = identity */
    uint64_t timeout_ns;
    void (*done)(struct gw_rpc_request *rq, const struct gw_rpc_response *rs);
    void *arg, *impl;
};
struct gw_rpc_response {
    int status; /* grpc-status */
    struct gw_slice message, reply;
    struct gw_slice status_details; /* grpc-status-details-bin, decoded */
};
struct gw_rpc_client_ops {
    void (*call)(struct gw_rpc_client *c, struct gw_rpc_request *rq);
    void (*cancel)(struct gw_rpc_client *c, struct gw_rpc_request *rq);
    void (*free)(struct gw_rpc_client *c);
};
struct gw_rpc_client {
    const struct gw_rpc_client_ops *ops;
};

#endif
