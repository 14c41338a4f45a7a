/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters whose queue is in a log, with scripted sinks, and what is left of them after a crash. */
#ifndef GW_TESTS_DURABLE_RIG_H
#define GW_TESTS_DURABLE_RIG_H

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/sim.h"
#include "net/loop.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/rows.h"
#include "queue/held.h"
#include "queue/wal.h"
#include "tests/harness_env.h"
#include "tests/harness_flow.h"

#define S  1000000000ull
#define MS 1000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"};

enum { MAX_EDGES = 3, MAX_TICKETS = 4096 };

struct rig {
    struct gw_test_env te;
    struct gw_meter *meter;
    struct gw_log_sink log_sink;
    struct gw_credit memory;
    struct gw_loop *loop;
    struct gw_arena arena;
    struct gw_buf scratch;
    struct gw_ledger ledger;
    struct gw_queue_settings settings;
    struct gw_batching batching; /* of the pipeline */
    const struct gw_component *type;
    struct gw_log *log;
    struct gw_flight *flight; /* the test's own; NULL: none */
    struct gw_wal *wal;
    unsigned n_edges;
    struct gw_edge *edges[MAX_EDGES];
    struct gw_test_sink *sinks[MAX_EDGES];
    struct gw_ticket *tickets[MAX_TICKETS];
    unsigned n_tickets, posted;
    uint64_t reserved[MAX_EDGES];
    struct gw_wal_stage *stage; /* where requests are put; or NULL */
    bool early, sync;
    struct gw_books *books, own_books; /* that the edges keep, the test's own or these; NULL: none */
    uint64_t n_cuts;
    unsigned no_book; /* the n-th that is asked for cannot be had; 0: all can */
};
static struct rig *the_rig;

static void on_post(struct gw_ticket *t)
{
    (void)t;
    the_rig->posted++;
}

static void on_release(struct gw_ticket *t)
{
    free(t);
}

/* Settings are the defaults of a queue on disk; the test changes r->settings, then calls start. */
static void set_up(struct rig *r)
{
    struct gw_log_sim_conf conf = {.env = &r->te.env, .retention = {.until_settled = true}};

    memset(r, 0, sizeof(*r));
    the_rig = r;
    gw_test_env_init(&r->te, 7);
    r->meter = gw_meter_new();
    r->log_sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_INFO};
    gw_credit_init(&r->memory, 1u << 30, 1u << 30);
    assert_int_equal(gw_loop_new(&r->te.env, &r->loop, NULL), 0);
    gw_arena_init(&r->arena, 65536, 64u << 20);
    gw_buf_init(&r->scratch, 64u << 20);
    assert_int_equal(gw_schema_defaults(gw_queue_fields, sizeof(r->settings), &r->settings, &r->arena), 0);
    gw_queue_extra.adjust(&r->settings, gw_test_exporter.exporter);
    r->settings.queue.storage = "file_storage";
    r->type = &gw_test_exporter;
    r->n_edges = 1;
    assert_int_equal(gw_log_sim_open(&conf, &r->log), 0);
}

/* The books of the ledger, empty: from now on, or as in a new process. */
static inline void keep_own_books(struct rig *r)
{
    gw_books_clear(&r->own_books);
    assert_int_equal(gw_books_init(&r->own_books, 0), 0);
    r->books = &r->own_books;
}

static struct gw_book *find_book(void *rig, const struct gw_book *key)
{
    struct rig *r = rig;

    return r->no_book && --r->no_book == 0 ? NULL : gw_books_get(r->books, key);
}

/* An exporter of that id, in that place, before it is opened. */
static void make(struct rig *r, unsigned i, const char *id)
{
    struct gw_edge_conf conf = {.env = &r->te.env,
                                .component = r->type,
                                .id = id,
                                .signals = GW_ALL_SIGNALS,
                                .settings = r->settings,
                                .meter = r->meter,
                                .logger = {.sink = &r->log_sink, .id = id},
                                .memory = &r->memory,
                                .book = r->books ? find_book : NULL,
                                .arg = r};
    struct gw_err err;

    assert_int_equal(r->type->create((void **)&r->sinks[i], NULL, NULL, &err), 0);
    conf.self = r->sinks[i];
    assert_int_equal(gw_edge_new(&conf, &r->edges[i]), 0);
}

/* It draws from the log. Errors: of the wal. */
static int come(struct rig *r, unsigned i, const char *id, struct gw_err *err)
{
    int rc;

    make(r, i, id);
    rc = gw_wal_add_edge(r->wal, r->edges[i], err);
    if (rc == 0)
        assert_int_equal(gw_edge_open(r->edges[i], r->loop, NULL), 0);
    return rc;
}

static void start(struct rig *r)
{
    static const char *const ids[MAX_EDGES] = {"a", "b", "c"};
    struct gw_wal_conf wal = {.env = &r->te.env,
                              .log = r->log,
                              .flight = r->flight,
                              .flight_log = 1,
                              .pipeline = "logs",
                              .signal = GW_LOGS,
                              .batching = r->batching.enabled ? &r->batching : NULL,
                              .sync = r->sync,
                              .early = r->early,
                              .memory = &r->memory,
                              .meter = r->meter,
                              .logger = {.sink = &r->log_sink, .id = "logs"}};
    struct gw_err err;

    assert_int_equal(gw_wal_new(&wal, &r->wal), 0);
    for (unsigned i = 0; i < r->n_edges; i++)
        assert_int_equal(come(r, i, ids[i], &err), 0);
}

/* The first exporter's dead letters go to another one, behind the others, whose queue is in memory. */
static inline struct gw_test_sink *letters_come(struct rig *r)
{
    const char *storage = r->settings.queue.storage;
    unsigned i = r->n_edges++;

    r->settings.queue.storage = "";
    make(r, i, "letters");
    r->settings.queue.storage = storage;
    assert_int_equal(gw_edge_open(r->edges[i], r->loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r->edges[0], r->edges[i]), 0);
    return r->sinks[i];
}

/* It is closed, what it has noted is written, and it is out of the log's way. The others move up. */
static inline void leave(struct rig *r, unsigned i)
{
    gw_edge_close(r->edges[i]);
    (void)gw_log_work(r->log);
    gw_wal_remove_edge(r->wal, r->edges[i]);
    gw_edge_free(r->edges[i]);
    free(r->sinks[i]);
    for (r->n_edges--; i < r->n_edges; i++) {
        r->edges[i] = r->edges[i + 1];
        r->sinks[i] = r->sinks[i + 1];
    }
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 8; i++) {
        gw_loop_turn(r->loop, 0);
        (void)gw_log_work(r->log);
        if (i == 3) /* what was settled waits a moment for more */
            gw_test_env_advance(&r->te, 10 * MS);
    }
}

static inline void pass(struct rig *r, uint64_t ns)
{
    gw_test_env_advance(&r->te, ns);
    turn(r);
}

/* The process ends: with everything written down (stop), by kill -9, or by a power cut. */
enum end { STOP, KILL, POWER_CUT };

static void end(struct rig *r, enum end how)
{
    if (how != STOP)
        gw_log_sim_crash(r->log, how == POWER_CUT);
    for (unsigned i = 0; i < r->n_edges; i++)
        gw_edge_close(r->edges[i]);
    if (how == STOP)
        (void)gw_log_work(r->log);
    else
        gw_log_sim_crash(r->log, how == POWER_CUT); /* what closing still said was not heard */
    for (unsigned i = 0; i < r->n_edges; i++) {
        gw_edge_free(r->edges[i]);
        free(r->sinks[i]);
    }
    gw_wal_free(r->wal);
}

static void tear_down(struct rig *r)
{
    end(r, STOP);
    gw_log_close(r->log);
    for (unsigned i = 0; i < r->n_tickets; i++)
        (void)gw_ticket_unref(r->tickets[i]);
    assert_int_equal(r->memory.used_bytes, 0);
    gw_loop_free(r->loop);
    gw_meter_free(r->meter);
    gw_books_clear(&r->own_books);
    gw_arena_clear(&r->arena);
    gw_buf_clear(&r->scratch);
    gw_test_env_clear(&r->te);
}

/* A request of n rows goes in, of which a processor has dropped those of the mask; gives its ticket. */
static struct gw_ticket *put_without(struct rig *r, uint64_t first, unsigned n, uint64_t dropped)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_wal_way ways[MAX_EDGES] = {{r->edges[0], 0}, {r->edges[1], 1}, {r->edges[2], 2}};
    struct gw_wal_put how = {&r->scratch, &r->ledger, r->reserved, ways, r->n_edges, 0, r->stage};
    struct gw_ticket *t = calloc(1, sizeof(*t));
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_buf body;
    struct gw_view v;
    struct gw_ref at;

    gw_buf_init(&body, 1u << 20);
    gw_test_request(&body, GW_LOGS, first, n);
    *t = (struct gw_ticket){.refs = 1, .rows = n, .post = on_post, .release = on_release, .signal = GW_LOGS};
    atomic_store(&t->open, n);
    assert_in_range(r->n_tickets, 0, MAX_TICKETS - 1);
    r->tickets[r->n_tickets++] = t;
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, t, NULL), 0);
    b->received_ns = gw_wall_ns(&r->te.env);
    gw_view_init(&v, b, &r->arena);
    for (unsigned i = 0; i < 64; i++)
        if (dropped >> i & 1)
            gw_view_settle_row(&v, NULL, i, GW_DROPPED, "filter", NULL);
    gw_wal_put(r->wal, &v, &how);
    (void)gw_batch_unref(b);
    gw_buf_clear(&body);
    return t;
}

static struct gw_ticket *put(struct rig *r, uint64_t first, unsigned n)
{
    return put_without(r, first, n, 0);
}

/* The names of the oldest attempt's rows. */
static inline unsigned waiting(struct rig *r, unsigned edge, uint64_t *names, unsigned cap)
{
    if (r->sinks[edge]->n_waiting == 0)
        return 0;
    return gw_test_names(GW_LOGS, r->sinks[edge]->waiting[0]->body, names, cap);
}

static inline struct gw_edge_counts counts(struct rig *r, unsigned edge)
{
    return gw_edge_counts(r->edges[edge], GW_LOGS);
}

struct find_consumer {
    const char *name;
    struct gw_log_consumer found;
};

static void on_consumer(void *arg, const struct gw_log_consumer *c)
{
    struct find_consumer *f = arg;

    if (strcmp(c->name, f->name) == 0)
        f->found = *c;
}

static struct gw_log_consumer consumer(struct rig *r, const char *name)
{
    struct find_consumer f = {.name = name};

    assert_int_equal(gw_log_consumers(r->log, on_consumer, &f), 0);
    return f.found;
}

/* A picture of an exporter's books: "in=5 out=3 held=2", all that is not 0. */
static inline const char *books_of(struct rig *r, const char *id)
{
    static char text[256];
    struct gw_cut *c = gw_cut_new(r->books, 0, 0);
    size_t at = 0;

    c->number = ++r->n_cuts;
    for (size_t b = 0; b < c->n_books; b++) /* of those that have gone, too */
        for (unsigned p = 0; p < c->n_pages; p++)
            gw_cut_copy(c, c->books[b], p);
    for (unsigned i = 0; i < r->n_edges; i++)
        gw_cut_rest(c, r->edges[i]);
    gw_wal_cut_rest(r->wal, c);
    text[0] = '\0';
    for (enum gw_entry e = GW_E_IN; e < GW_N_ENTRIES; e++) {
        uint64_t n = 0;

        for (size_t b = 0; b < c->n_books; b++)
            for (unsigned p = 0; p < c->n_pages && strcmp(c->books[b]->component, id) == 0; p++)
                n += *gw_cut_cell(c, c->books[b], p, e);
        if (n)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s=%llu", at ? " " : "", gw_entry_name(e),
                                   (unsigned long long)n);
    }
    gw_cut_free(c);
    return text;
}

#endif
