/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault sink: a server for whatever an exporter speaks, that misbehaves as a script says and writes down every
 * record that it applied. Its journal is the oracle of the tests: lost, delivered, twice and why
 * (tests/real/faultcheck.py).
 *
 *   listener NAME=PORT ─► conn ─► exchange (fault picked) ─► records ─► journal ─► answer ─► "told" in the journal
 *                          h1.c h2.c                        records.c   exchange.c
 *
 * One thread, one epoll. It is a tool of tests: it dies when memory is out, and keeps what it needs for ever.
 */
#ifndef FAULTSINK_SINK_H
#define FAULTSINK_SINK_H

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/status.h"

enum { MAX_BODY_BYTES = 256 << 20, MAX_RULES = 64 };
#define NEVER UINT64_MAX

enum proto { P_NONE, P_OTLP_HTTP, P_OTLP_GRPC, P_RW1, P_RW2, P_BULK };
enum how { HOW_CLOSE, HOW_RST, HOW_HALF, HOW_KILL };
enum body { BODY_OWN, BODY_EMPTY, BODY_GARBAGE, BODY_HALF };
enum kill_at { KILL_NONE, KILL_APPLIED, KILL_TOLD };

/** What is wrong with one exchange (or one connection). fault_parse() says what the words mean. */
struct fault {
    bool on_conn;
    int apply; /* -1: as the answer says */
    unsigned status, grpc;
    uint64_t retry_after_s; /* NEVER: none */
    uint64_t delay_ms;
    bool stall, no_trailers, no_written, noise;
    uint64_t slow_read; /* bytes a second; 0: as fast as they come */
    uint64_t cut_in, cut_out;
    enum how how;
    unsigned reject_every, item_status;
    int64_t claim;
    enum body body;
    uint64_t body_bytes; /* of garbage */
    enum kill_at kill;
    char location[200];
    char text[200]; /* as it was given, for the journal */
};

struct rule {
    struct fault fault;
    unsigned weight; /* per mille of all */
    uint64_t hits;
};

/** A listener: one server as the exporters see it. */
struct sink {
    struct sink *next;
    char name[32];
    int fd, port;
    bool control;
    struct rule mix[MAX_RULES]; /* picked by the seed */
    unsigned n_mix;
    struct fault *turn; /* these first, in turn */
    unsigned n_turn, at_turn;
    uint64_t random;
    uint64_t n_conns, n_exchanges, n_applied, n_rejected, n_told, n_untold, n_open, n_faults;
    struct {
        uint64_t *p; /* hashes of (_index, _id), for P_BULK; 0 = free */
        size_t n, cap;
    } ids;
};

/** One record as it came. Slices point into the request. */
struct record {
    struct gw_slice id; /* empty: it has none */
    uint64_t number;    /* of the id, or its hash */
    uint64_t hash;      /* of all its bytes */
    uint64_t key;       /* P_BULK: hash of (_index, _id), or 0 */
    char intact;        /* i, ! or ? (carries no sum of its own) */
    bool applied, create, histogram;
    char said;  /* y taken, n never, r come again, ? unclear */
    int status; /* P_BULK */
};

struct records {
    struct record *p;
    size_t n, cap, n_exemplars;
};

struct answer {
    unsigned status, grpc;
    struct gw_buf headers, body, details; /* headers: "Name: value\r\n" each, names in lower case */
    uint64_t filler;                      /* bytes behind body */
    char said;                            /* for the whole request; 0: by record */
};

struct conn;

/** One request and its answer. */
struct exchange {
    struct exchange *next; /* of its connection */
    struct conn *conn;
    int32_t stream; /* 0: HTTP/1.1 */
    uint64_t number;
    enum proto proto;
    struct fault fault;
    char method[8], path[512], type[128], encoding[32], signal; /* signal: t, m, l or - */
    struct gw_buf in;
    struct answer answer;
    uint64_t body_sent;
    uint64_t answer_at_ns;                    /* 0: not waiting */
    bool complete, answered, sent, journaled; /* sent: its last byte is in the connection's `out` */
};

struct conn {
    struct conn *next;
    struct sink *sink;
    int fd;
    struct gw_buf in, out;
    size_t out_sent;
    uint64_t n_in, n_out;      /* bytes of the connection */
    uint64_t cut_in, cut_out;  /* at which the connection ends */
    struct fault fault;        /* whose cuts these are, or of the whole connection */
    uint64_t read_at_ns, slow; /* slow reading: not before, and how many bytes a second */
    nghttp2_session *h2;
    struct exchange *exchanges;
    size_t h1_want; /* bytes of the message in `in`; 0: the head is not complete */
    bool sniffed, half, dead;
    unsigned events;
};

struct faultsink {
    struct sink *sinks;
    struct conn *conns;
    int ep, journal;
    uint64_t n_exchanges;
    const char *id_name;    /* attribute */
    char label_name[64];    /* the same as Prometheus spells it */
    int pid;                /* the gateway's, for kill */
    const char *about;      /* page of an Elasticsearch */
    uint64_t n_broken;      /* records whose sum is wrong */
    uint64_t n_bad_request; /* requests that could not be read */
};
extern struct faultsink g;

uint64_t now_ns(void);
__attribute__((noreturn)) void die(const char *what);

/* fault.c */
void fault_init(struct fault *f);
/** "key=value key=value". Errors: -EINVAL. */
int fault_parse(const char *text, struct fault *ret, struct gw_err *err);
/** Lines of a script for a sink; "clear", "next FAULT", "mix PER_MILLE FAULT", "pid N" (of any sink). */
int script_run(struct sink *s, const char *text, size_t n, struct gw_err *err);
/** What the next exchange, or the next connection, gets. */
void fault_pick(struct sink *s, bool on_conn, struct fault *ret);

/* records.c */
/** false: the body is no request of that kind. */
bool records_read(enum proto proto, char signal, struct gw_slice body, struct records *ret);

/* exchange.c */
struct exchange *exchange_new(struct conn *c, int32_t stream);
/** The head is there: which protocol it is. */
void exchange_route(struct exchange *e);
/** The request is whole: applied, written down, and an answer chosen, maybe for later. */
void exchange_take(struct exchange *e);
/** The answer has left, or never will. */
void exchange_end(struct exchange *e, bool told);
void journal_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* control.c */
void control_answer(struct exchange *e);

/* conn.c */
void conn_new(struct sink *s);
void conn_ready(struct conn *c, unsigned events);
/** What waits for its time. Returns when to come again. */
uint64_t conn_tick(struct conn *c, uint64_t now);
void conn_free(struct conn *c);
void conn_put(struct conn *c, const void *p, size_t n);
void conn_cut(struct conn *c);
/** The cuts and the pace of an exchange's fault, from here on. */
void conn_adopt(struct conn *c, const struct fault *f);
void kill_gateway(const char *where, uint64_t exchange);
void exchange_free(struct exchange *e);

/* h1.c, h2.c: in takes bytes and says how many it used; answer hands out an answer; more fills `out` again. */
void h1_in(struct conn *c);
void h1_answer(struct exchange *e);
void h1_more(struct conn *c);
void h2_start(struct conn *c);
void h2_in(struct conn *c);
void h2_answer(struct exchange *e);
void h2_more(struct conn *c);

#endif
