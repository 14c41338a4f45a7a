/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to room net: the parts of an HTTP server that its files share.
 *
 *   http_server.c  group, servers, dealing connections, slots, the hook at the end of a turn
 *   listen.c       endpoints and their sockets          server_tls.c  contexts, made again when files change
 *   conn.c         one connection                       http1.c, http2.c  what it speaks
 */
#ifndef GW_NET_HS_H
#define GW_NET_HS_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "core/inbox.h"
#include "core/logger.h"
#include "net/http_conn.h"
#include "net/peer_rate.h"

enum { GW_LISTEN_MAX = 2, GW_SCRATCH_BYTES = 64 * 1024 };

/* ---- listen.c --------------------------------------------------------------------------------------------- */

struct gw_unix_path; /* unlinked by the last one who has it */
struct gw_listen {
    int fds[GW_LISTEN_MAX];
    unsigned n_fds, port;
    bool beside;                    /* while it is opened */
    bool is_shared;                 /* a successor has the same sockets */
    struct gw_unix_path *unix_path; /* or NULL */
};
/**
 * beside: gw_listen_allow() was called for a socket whose address may cover this one, or be covered by it.
 * Errors: -EINVAL for an endpoint that cannot be read, or what bind(2) says; err names the endpoint.
 */
int gw_listen_open(const char *transport, const char *endpoint, bool beside, struct gw_listen *ret, struct gw_err *err);
/** Descriptors of the same sockets, with all that waits there to be accepted. Errors: -EMFILE, -ENFILE. */
int gw_listen_share(struct gw_listen *li, struct gw_listen *ret);
void gw_listen_allow(struct gw_listen *li);
/**
 * Nobody new is let in: what still comes is dropped, and its sender asks again a second later, where a successor
 * listens by then. Closing alone resets whoever came after the last accept.
 */
void gw_listen_hush(struct gw_listen *li);
void gw_listen_close(struct gw_listen *li);
/** "127.0.0.1:5678", "[::1]:5678" or "unix". */
void gw_peer_text(const struct sockaddr_storage *sa, char *ret, size_t n);

/* ---- server_tls.c ----------------------------------------------------------------------------------------- */

struct gw_tls_store;
int gw_tls_store_new(struct gw_env *env, const struct gw_hs_conf *conf, struct gw_tls_store **ret, struct gw_err *err);
void gw_tls_store_free(struct gw_tls_store *s);
/** The context for a new connection. Threads: any. Owner: gives a reference (SSL_CTX_free). */
SSL_CTX *gw_tls_store_get(struct gw_tls_store *s);
/** Look at the files; when one changed, make a new context, or keep the old one and say so in the log. */
void gw_tls_store_check(struct gw_tls_store *s);
uint64_t gw_tls_store_interval_ns(const struct gw_tls_store *s);

/* ---- group and server ------------------------------------------------------------------------------------- */

struct gw_hs_group {
    struct gw_env *env;
    struct gw_hs_conf conf;
    struct gw_listen listen;
    struct gw_tls_store *tls; /* NULL: plaintext */
    pthread_mutex_t lock;     /* servers, accepter, listen: taken when a connection is dealt and when servers change */
    struct gw_hs_server *servers, *accepter;
    struct gw_hs_group *next_offered;
    _Atomic unsigned n_connections;
    struct gw_peer_rate rate; /* the accepter's; it changes hands under the lock */
    struct gw_metric *connections, *accepted, *over_limit, *over_rate, *accept_failed, *cut_attack, *cut_timeout,
        *tls_failed;
};

struct gw_acceptor {
    struct gw_fd f;
    struct gw_hs_server *sv;
};

struct gw_hs_server {
    struct gw_hs_group *g;
    struct gw_loop *loop;
    struct gw_hs_handler *handler;
    struct gw_hs_server *next; /* group's list */
    _Atomic unsigned n_dealt;  /* connections here and on their way here */
    bool quiescing, takes_rest;

    struct gw_hook hook;
    struct gw_inbox inbox; /* struct handoff */
    struct gw_hs_conn *conns, *doomed, *dirty, *ready;

    struct gw_hs_conn **slots;
    uint32_t n_slots, next_generation;
    uint32_t *free_slots, n_free_slots;

    struct gw_acceptor acceptors[GW_LISTEN_MAX]; /* the accepter's */
    unsigned n_acceptors;
    struct gw_timer accept_again, tls_check;

    void *h2; /* http2.c: what its connections share on this worker */
    uint8_t scratch[GW_SCRATCH_BYTES];
};

/** A connection, or a descriptor that should have become one, is gone. */
void gw_hs_server_uncount(struct gw_hs_server *sv);
/** Have the hook run soon: something was put on a list. */
void gw_hs_server_poke(struct gw_hs_server *sv);
/** Errors: -ENOMEM. */
int gw_hs_slot_take(struct gw_hs_server *sv, struct gw_hs_conn *c);
void gw_hs_slot_give_back(struct gw_hs_server *sv, struct gw_hs_conn *c);

/* ---- conn.c ----------------------------------------------------------------------------------------------- */

/** Takes the descriptor, closes it on failure. */
void gw_conn_new(struct gw_hs_server *sv, int fd, const struct sockaddr_storage *peer);
void gw_conn_quiesce(struct gw_hs_conn *c);
/** What the hook calls for the lists. */
void gw_conn_continue(struct gw_hs_conn *c);
void gw_conn_flush(struct gw_hs_conn *c);
void gw_conn_free(struct gw_hs_conn *c);
/** What h2o keeps of read buffers for this thread's next ones, up to sixteen: nobody would free them after its end. */
void gw_conn_forget_buffers(void);
/** OpenSSL's info call-back of every context: keeps the subject of a client's certificate. */
void gw_conn_on_ssl_info(const SSL *ssl, int where, int ret);

/* ---- http2.c ---------------------------------------------------------------------------------------------- */

/** Free sv->h2. Accepts NULL in it. */
void gw_http2_server_clear(struct gw_hs_server *sv);

#endif
