/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real clients behind gw_env's sink factories: libcurl, librdkafka, grpc core. The runtime puts these functions
 * into the environment's table (gw_env_real_ops) before any thread starts; tests and the simulator put others.
 */
#ifndef GW_NET_CLIENTS_H
#define GW_NET_CLIENTS_H

#include "core/client.h"

/**
 * libcurl's multi interface on the loop's foreign descriptors and timers: one connection pool a client.
 *
 * Owner     copies conf; gives the client
 * Errors    -ENOMEM, -EINVAL and what reading the TLS files brings; err names the file
 */
int gw_http_client_curl_new(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                            struct gw_http_client **ret, struct gw_err *err);
/** librdkafka. Delivery reports come on the loop. Errors: -EINVAL, err is librdkafka's sentence about the option. */
int gw_producer_rdkafka_new(struct gw_env *env, struct gw_loop *loop, const struct gw_producer_conf *conf,
                            struct gw_producer **ret, struct gw_err *err);
/**
 * grpc core, in a shared module of its own (staunch-grpc.so) that is loaded by the first call and never unloaded.
 * It is looked for next to the program, in ../lib/staunch, then in $STAUNCH_MODULE_DIR.
 *
 * Errors    -ENOENT, -ELIBBAD: no such module, err names the places; and as the HTTP client
 */
int gw_rpc_client_grpc_new(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                           struct gw_rpc_client **ret, struct gw_err *err);

/**
 * gRPC on the HTTP client, in place of grpc core for encodings that core does not know (conf->any_encoding), which is
 * what gw_rpc_client_grpc_new makes of it. No balancing, no wait_for_ready, no HTTP/2 pings.
 */
int gw_rpc_client_http_new(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                           struct gw_rpc_client **ret, struct gw_err *err);

/**
 * gw_env's fetch, on libcurl. At most 5 redirects, from https to https only; no compressed answers; certificates are
 * checked against the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR. A user and a password in the URL are sent
 * as basic authentication, to that host only.
 *
 * Errors    -EINVAL a URL that is none, -EHOSTUNREACH, -ECONNREFUSED, -ETIMEDOUT, -EIO and another status than 200,
 *           -E2BIG, -ENOMEM
 */
int gw_fetch_curl(struct gw_env *env, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                  struct gw_err *err);
/** The same with another limit than 10 seconds. */
int gw_fetch_curl_within(unsigned timeout_ms, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                         struct gw_err *err);

#endif
