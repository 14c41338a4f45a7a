/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gw_http_client on libcurl, from inside:
 *
 *   http_client.c          transfers: begun, on the loop, answered, cancelled
 *   http_client_request.c  a request and the client's settings into curl's options
 */
#ifndef GW_NET_HTTP_CLIENT_IMPL_H
#define GW_NET_HTTP_CLIENT_IMPL_H

#include "core/buf.h"
#include "net/client_tls.h"
#include "net/clients.h"
#include "net/curl_common.h"
#include "net/loop.h"

enum { GW_HTTP_MAX_HEADERS = 64 }; /* of an answer */

struct gw_curl_client;
struct gw_curl_sock;

/** One request under way. */
struct gw_http_transfer {
    struct gw_curl_client *c;
    struct gw_http_request *rq;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct gw_buf body, head;
    struct gw_header out[GW_HTTP_MAX_HEADERS];
    unsigned n_headers;
    uint32_t at[GW_HTTP_MAX_HEADERS][4]; /* offsets and lengths of name and value in head: it moves while it grows */
    uint32_t part;                       /* of a body in parts: what is sent next */
    size_t part_done;
    bool too_large, again;
    bool has_head;                /* of the last answer, to its empty line */
    enum gw_http_failure failure; /* of a late one */
    const char *reason;
    char url[2048], error[CURL_ERROR_SIZE];
    struct gw_timer deadline; /* while it is active */
    struct gw_http_transfer *next, **link;
};

struct gw_curl_client {
    struct gw_http_client base;
    struct gw_env *env;
    struct gw_loop *loop;
    CURLM *multi;
    CURLSH *share;
    struct gw_timer timer;
    struct gw_http_client_conf conf;
    struct gw_client_pems pems;
    struct gw_curl_sock *socks, *free_socks;
    struct gw_http_transfer *active, *late, *free_transfers;
    unsigned n_free;
};

/** All that the request and the client's settings say, into the easy handle. NULL, or what is wrong with them. */
const char *gw_http_transfer_set(struct gw_http_transfer *t);

#endif
