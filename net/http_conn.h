/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to room net: what stands between a connection (net/conn.c: socket, TLS, reading, writing, age, idleness)
 * and the protocol that it speaks (net/http1.c, net/http2.c).
 *
 *   bytes ─► conn ─► proto->input ─► gw_stream_head, _body, _end ─► handler
 *   bytes ◄─ conn ◄─ gw_conn_write ◄─ proto->respond ◄─ gw_hs_respond ◄─ handler (now, or in a later turn)
 *
 * Nothing is freed under a caller: gw_conn_close only marks the connection (c->closed); it is taken down, and its
 * streams are told gone, by the server's hook at the end of the turn. So a protocol may call a handler, which
 * responds, which fails to write, which closes, and still look at its structures afterwards. It checks c->closed
 * where it would go on.
 */
#ifndef GW_NET_HTTP_CONN_H
#define GW_NET_HTTP_CONN_H

#include "core/buf.h"
#include "net/http_server.h"

struct gw_hs_conn;
struct st_h2o_socket_t;

/** A connection that is going to end and says nothing: so long a request that may be on its way is waited for. */
#define GW_HS_LAST_WORDS_NS 1000000000u

/** What a protocol implements. One table each: gw_http1, gw_http2. */
struct gw_hs_proto {
    const char *name;
    /** Make c->session. May write at once (HTTP/2 sends SETTINGS). Errors: -ENOMEM: the connection is closed. */
    int (*open)(struct gw_hs_conn *c);
    /**
     * Bytes from the peer: everything that was not consumed yet, in one piece. Returns how many are done with; the
     * rest is offered again together with what follows. 0 asks for more. Not called while paused or closed.
     * A protocol that wants more than gw_conn_max_input in one piece is cut off.
     */
    size_t (*input)(struct gw_hs_conn *c, struct gw_slice in);
    /** The peer has sent its last byte (unconsumed input is gone). The protocol decides: answer what is open, or close.
     */
    void (*eof)(struct gw_hs_conn *c);
    /** At the end of a turn in which gw_conn_dirty was called, and whenever written output makes room: write what
     * waits. */
    void (*flush)(struct gw_hs_conn *c);
    /** c->timer fired. */
    void (*timeout)(struct gw_hs_conn *c);
    /** No new requests: finish what is open, then close; an idle connection closes now. May be called again. */
    void (*quiesce)(struct gw_hs_conn *c);
    /** Called once per stream, never for a closed connection. Everything in r is copied. */
    void (*respond)(struct gw_hs_stream *s, const struct gw_hs_response *r);
    /** More of an answer that was left open, and its end; NULL: this protocol has no such answers. */
    int (*push)(struct gw_hs_stream *s, struct gw_slice bytes);
    void (*end)(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers);
    /** The open stream of that number, or NULL. */
    struct gw_hs_stream *(*find)(struct gw_hs_conn *c, uint32_t id);
    /** The end: gw_stream_gone for every open stream, then free c->session. Nothing may be written. */
    void (*close)(struct gw_hs_conn *c);
};
extern const struct gw_hs_proto gw_http1, gw_http2;

enum { GW_PEER_MAX = 56 };

struct gw_hs_conn {
    struct gw_hs_server *server;
    const struct gw_hs_conf *conf;
    const struct gw_hs_proto *proto; /* NULL while it is not known yet */
    void *session;                   /* the protocol's */
    struct gw_timer timer;           /* the protocol's: gw_conn_arm; fires proto->timeout */
    uint32_t slot, generation;
    unsigned n_streams; /* open; kept by gw_stream_open and gw_stream_gone */
    bool tls;
    bool closed;                    /* marked: no call-back but close will come */
    bool finishing;                 /* gw_conn_finish was called: no more input, closes when all is written */
    bool quiescing;                 /* proto->quiesce was called */
    struct gw_slice peer;           /* as in gw_hs_head */
    struct gw_slice client_subject; /* as in gw_hs_head */

    /* ---- conn.c's own ---- */
    struct st_h2o_socket_t *sock;
    int fd;
    bool paused, feeding, is_dirty, is_ready, wants_write, eof, lingering, handshaking;
    struct gw_buf in;  /* what input has left over; empty and without memory most of the time */
    struct gw_buf out; /* what the socket did not take */
    size_t out_at;     /* of out, already written */
    size_t linger_bytes;
    struct gw_timer life; /* age, idleness, stalled output, handshake: the earliest of them */
    uint64_t age_due_ns, idle_since_ns, stall_due_ns, phase_due_ns;
    struct gw_hs_conn *next, **link; /* server's list of connections */
    struct gw_hs_conn *next_doomed, *next_dirty, *next_ready;
    char peer_text[GW_PEER_MAX];
};

/** First member of a protocol's stream, which owns the memory of it and of everything in `head`. */
struct gw_hs_stream {
    struct gw_hs_conn *conn;
    void *user;
    struct gw_hs_head head; /* filled in by the protocol before gw_stream_head; peer, tls, subject by gw_stream_open */
    uint32_t id;            /* unique on its connection: HTTP/2's number, or a count of requests */
    bool told;              /* the handler knows about it: it will be told gone */
    bool responded;
    bool open;  /* responded, and the answer goes on */
    bool ended; /* `end` was told */
};

/** Clears *s, fills in what the connection knows, counts it. */
void gw_stream_open(struct gw_hs_conn *c, struct gw_hs_stream *s, uint32_t id);
void gw_stream_head(struct gw_hs_stream *s);
/** Both do nothing once the stream was responded to, or when its connection is closed. */
void gw_stream_body(struct gw_hs_stream *s, struct gw_slice chunk);
void gw_stream_end(struct gw_hs_stream *s);
/** Response written, or peer gone; the protocol may free it afterwards. Calls handler->gone if it was told. */
void gw_stream_gone(struct gw_hs_stream *s);

/**
 * Write, in order. What the socket does not take now is copied; with more than 64 KiB of that the connection reads
 * nothing from its peer until it is gone, and it is cut when none of it moves for body_idle_timeout_ns.
 */
void gw_conn_write(struct gw_hs_conn *c, struct gw_slice bytes);
/** Several pieces as one write. */
void gw_conn_writev(struct gw_hs_conn *c, const struct gw_slice *pieces, unsigned n);
/** Bytes that the socket did not take yet. */
static inline size_t gw_conn_unsent(const struct gw_hs_conn *c)
{
    return c->out.n - c->out_at;
}
/** proto->flush at the end of the turn. Cheap, may be repeated. */
void gw_conn_dirty(struct gw_hs_conn *c);

/** Offer no more input. */
void gw_conn_pause(struct gw_hs_conn *c);
/** Offer input again: what is left over at the end of this turn, never from inside. */
void gw_conn_resume(struct gw_hs_conn *c);

/** End it at the end of this turn; what is unsent is lost. */
void gw_conn_close(struct gw_hs_conn *c);
/**
 * No more input is told; when all output is written the write side is shut, the peer's bytes are read and thrown away
 * for a second at most (closing over unread bytes would make the kernel destroy our last answer), then it ends.
 */
void gw_conn_finish(struct gw_hs_conn *c);

struct gw_loop *gw_conn_loop(const struct gw_hs_conn *c);
static inline uint64_t gw_conn_now_ns(const struct gw_hs_conn *c)
{
    return gw_loop_now_ns(gw_conn_loop(c));
}
/** Have proto->timeout called at due_ns, instead of whatever was armed before. 0: never. */
void gw_conn_arm(struct gw_hs_conn *c, uint64_t due_ns);
/** The peer has sent what this thread has not read yet. Cost: a system call. */
bool gw_conn_has_input(const struct gw_hs_conn *c);
/** The most that input may leave unconsumed: max_header_bytes + 64 KiB. */
size_t gw_conn_max_input(const struct gw_hs_conn *c);

#endif
