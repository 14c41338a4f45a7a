/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving HTTP: connections in, requests out, the same to a handler whether HTTP/1.1 (net/http1.c) or HTTP/2
 * (net/http2.c) carried them, over TCP, TLS or a Unix socket. gRPC is HTTP/2 with trailers: framing is in
 * net/grpc_frame.h.
 *
 *   group (one per endpoint, shared by all workers)  ─► server (one per worker) ─► connections ─► streams
 *
 * Connections are dealt to the worker that has the fewest. All calls and call-backs of a server are on its worker's
 * thread.
 */
#ifndef GW_NET_HTTP_SERVER_H
#define GW_NET_HTTP_SERVER_H

#include "core/client.h"
#include "core/meter.h"
#include "net/loop.h"

struct gw_hs_stream;
struct gw_hs_server;
struct gw_hs_group;

/** A request's head. Valid until the stream is gone. Header names are in lower case; `path` has no query. */
struct gw_hs_head {
    struct gw_slice method, authority, path, query;
    const struct gw_header *headers;
    unsigned n_headers;
    int64_t content_length; /* -1: not told */
    bool http2, tls;
    struct gw_slice peer;           /* "127.0.0.1:5678", "[::1]:5678" or "unix" */
    struct gw_slice client_subject; /* of a verified client certificate, or empty */
};

struct gw_hs_response {
    int status;
    const struct gw_header *headers; /* copied */
    unsigned n_headers;
    struct gw_slice body;             /* copied */
    const struct gw_header *trailers; /* HTTP/2 only; copied */
    unsigned n_trailers;
    bool open;    /* HTTP/2 only: the answer goes on, see gw_hs_push; trailers come with its end, not here */
    bool close;   /* end the connection after this (HTTP/1.1: Connection: close) */
    bool refusal; /* our own overload answer: never charged to the peer's token bucket */
};

/**
 * What a receiver implements. head is called first. It may respond at once: then nothing of the body is read
 * (HTTP/1.1 closes unless the rest is short; HTTP/2 resets with NO_ERROR 100 ms after it). Otherwise body chunks
 * follow and then end. gone is always the last call for a stream: response sent, or the peer left.
 */
struct gw_hs_handler {
    void (*head)(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *head);
    void (*body)(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk);
    void (*end)(struct gw_hs_handler *h, struct gw_hs_stream *s);
    void (*gone)(struct gw_hs_handler *h, struct gw_hs_stream *s);
    /**
     * Is there memory for `more` bytes of this body beyond those that were told? HTTP/2 asks before it lets the peer
     * send on: a window is a promise. While false none is opened, for a second at most; then the peer may go on, and
     * body() has to refuse what it cannot keep. NULL: there always is.
     */
    bool (*room)(struct gw_hs_handler *h, struct gw_hs_stream *s, uint64_t more);
};

/** The handler's own pointer, NULL at first. */
void gw_hs_set_user(struct gw_hs_stream *s, void *user);
void *gw_hs_user(const struct gw_hs_stream *s);
const struct gw_hs_head *gw_hs_head_of(const struct gw_hs_stream *s);
/** Once per stream, at any time between head and gone. Errors: none; a stream that died swallows it. */
void gw_hs_respond(struct gw_hs_stream *s, const struct gw_hs_response *r);

enum { GW_HS_PUSH_BYTES = 16 * 1024 };
/**
 * More of an answer that was left open. Never waits: what the peer's window does not take is kept, GW_HS_PUSH_BYTES of
 * it at most, and the stream is reset when none of that moves for write_timeout (or body_idle_timeout).
 *
 * Errors    -ENOBUFS when so much waits already, -EPIPE when the answer has ended or its connection is closed, -ENOMEM
 */
int gw_hs_push(struct gw_hs_stream *s, struct gw_slice bytes);
/** The end of an answer that was left open. Trailers are copied; a second end is swallowed. */
void gw_hs_end(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers);

/** Numbers that name a stream for as long as it lives, and find it again: NULL when it is gone. */
struct gw_hs_name {
    uint32_t slot, generation, stream;
};
struct gw_hs_name gw_hs_name_of(const struct gw_hs_stream *s);
struct gw_hs_stream *gw_hs_find(struct gw_hs_server *sv, struct gw_hs_name name);

enum gw_hs_protocols { GW_HS_HTTP1 = 1, GW_HS_HTTP2 = 2 };

struct gw_server_tls {
    bool enabled;
    const char *cert_file, *cert_pem, *key_file, *key_pem, *ca_file, *ca_pem, *client_ca_file;
    bool client_ca_file_reload, include_system_ca_certs_pool, include_insecure_cipher_suites;
    uint64_t
        reload_interval_ns; /* 0: files are looked at every 30 s all the same; a changed file makes a new context */
    const char *min_version, *max_version;
    const char *const *cipher_suites, *const *curve_preferences;
    unsigned n_cipher_suites, n_curve_preferences;
};

/** Limits of reliability against one peer; every one has a setting. 0 means "none" only where it says so. */
struct gw_hs_conf {
    const char *endpoint;  /* "localhost:4318", ":4318", "[::1]:4318", or a path with transport unix */
    const char *transport; /* tcp, tcp4, tcp6, unix */
    unsigned protocols;    /* OR of enum gw_hs_protocols; with TLS the choice is made by ALPN */
    struct gw_server_tls tls;

    uint32_t max_header_bytes;       /* 16384 */
    uint32_t max_headers;            /* 100 */
    uint32_t max_concurrent_streams; /* HTTP/2: 128 */
    uint32_t initial_window_bytes;   /* HTTP/2 stream window: 65535, grown against credit up to max_window_bytes */
    uint32_t max_window_bytes;       /* HTTP/2: 1 MiB a stream, 16 × that a connection */
    uint32_t max_connections;        /* per endpoint; 0 = no limit */
    uint32_t connect_burst,
        connect_per_s;             /* new connections of one peer address: 20000, 10000; 0 a second = no limit */
    uint64_t header_timeout_ns;    /* 10 s */
    uint64_t body_idle_timeout_ns; /* no byte of a body for so long: 30 s */
    uint64_t idle_timeout_ns;      /* between requests; 0 = none */
    uint64_t read_timeout_ns, write_timeout_ns; /* whole request, whole response; 0 = none */
    uint64_t max_connection_age_ns, max_connection_age_grace_ns, max_connection_idle_ns; /* 0 = none; ±10 % jitter */
    uint64_t keepalive_time_ns, keepalive_timeout_ns;                                    /* HTTP/2 PING: 2 h, 20 s */
    uint64_t keepalive_min_ns; /* enforcement_policy.min_time 5 min; 0: PINGs are only counted */
    bool keepalive_without_stream;
    bool keep_alives;                    /* HTTP/1.1 */
    uint32_t bucket_burst, bucket_per_s; /* HTTP/2 token bucket: 200, 20 */
    struct gw_meter *meter;
    const struct gw_logger *logger;
    struct gw_listeners *listeners; /* to take sockets over from, or NULL */
};

/** Groups whose sockets may go over to successors. Set to {0} again when these are made. */
struct gw_listeners {
    struct gw_hs_group *first;
    struct gw_hs_group *beside; /* successors that listen beside one of them */
};

/** The figures above; everything else is left as zero. */
void gw_hs_conf_defaults(struct gw_hs_conf *ret);

/**
 * Bind and listen; nothing is accepted before the first server is added.
 *
 * Owner     borrows conf's strings until free
 * Errors    -EADDRINUSE, -EACCES, -EINVAL and what the TLS files bring; err names endpoint or file
 */
int gw_hs_group_new(struct gw_env *env, const struct gw_hs_conf *conf, struct gw_hs_group **ret, struct gw_err *err);
void gw_hs_group_free(struct gw_hs_group *g);
/** A group with the same transport and endpoint that is made now shares the sockets: no connection is turned away. */
void gw_hs_group_offer(struct gw_hs_group *g, struct gw_listeners *to);
/** The port that was bound (for endpoints with port 0). */
unsigned gw_hs_group_port(const struct gw_hs_group *g);

/** One worker's share. */
int gw_hs_server_new(struct gw_hs_group *g, struct gw_loop *loop, struct gw_hs_handler *handler,
                     struct gw_hs_server **ret, struct gw_err *err);
/**
 * Stop accepting, but for those who have connected already; HTTP/2 gets the two-step GOAWAY, HTTP/1.1 `Connection:
 * close` with its next answer, and a connection that says nothing ends a second later.
 */
void gw_hs_server_quiesce(struct gw_hs_server *sv);
bool gw_hs_server_is_idle(const struct gw_hs_server *sv);
/** Cuts what is left. */
void gw_hs_server_free(struct gw_hs_server *sv);

#endif
