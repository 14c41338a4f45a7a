/* SPDX-License-Identifier: Apache-2.0 */
/* One exporter with its queue in memory, a scripted sink, and a client whose requests are put one by one. */
#ifndef GW_TESTS_EDGE_RIG_H
#define GW_TESTS_EDGE_RIG_H

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "otlp-proto/decode.h"
#include "queue/edge.h"
#include "tests/harness_env.h"
#include "tests/harness_flow.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"};

struct rig {
    struct gw_test_env te;
    struct gw_meter *meter;
    struct gw_log_sink log;
    struct gw_credit memory;
    struct gw_loop *loop;
    struct gw_arena arena;
    struct gw_buf scratch;
    struct gw_edge_conf conf;
    struct gw_edge *edge;
    struct gw_test_sink *sink;
    struct gw_ledger ledger;
    struct gw_ticket *ticket; /* of the last request; the rig holds one reference */
    unsigned n_tickets, posted, released, rooms;
    uint64_t reserved, deadline_ns;
};
static struct rig *the_rig;

static void on_post(struct gw_ticket *t)
{
    (void)t;
    the_rig->posted++;
}
static void on_release(struct gw_ticket *t)
{
    the_rig->released++;
    free(t);
}
static void on_room(void *arg)
{
    ((struct rig *)arg)->rooms++;
}

static struct gw_edge *new_edge(struct rig *r, const struct gw_component *type, const char *id,
                                struct gw_test_sink **ret)
{
    struct gw_err err;
    struct gw_edge *e;

    assert_int_equal(type->create((void **)ret, NULL, NULL, &err), 0);
    r->conf.component = type;
    r->conf.self = *ret;
    r->conf.id = id;
    assert_int_equal(gw_edge_new(&r->conf, &e), 0);
    return e;
}

/* Settings are the defaults; the test changes r->conf.settings, then calls start. */
static void set_up(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    the_rig = r;
    gw_test_env_init(&r->te, 7);
    r->meter = gw_meter_new();
    r->log = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_INFO};
    gw_credit_init(&r->memory, 1u << 30, 1u << 30);
    assert_int_equal(gw_loop_new(&r->te.env, &r->loop, NULL), 0);
    gw_arena_init(&r->arena, 65536, 64u << 20);
    gw_buf_init(&r->scratch, 64u << 20);
    r->conf = (struct gw_edge_conf){.env = &r->te.env,
                                    .signals = GW_ALL_SIGNALS,
                                    .meter = r->meter,
                                    .logger = {.sink = &r->log, .id = "scripted"},
                                    .memory = &r->memory,
                                    .room = on_room,
                                    .arg = r};
    assert_int_equal(gw_schema_defaults(gw_queue_fields, sizeof(r->conf.settings), &r->conf.settings, &r->arena), 0);
    gw_queue_extra.adjust(&r->conf.settings, gw_test_exporter.exporter);
}

static inline void start(struct rig *r)
{
    r->edge = new_edge(r, &gw_test_exporter, "scripted", &r->sink);
    assert_int_equal(gw_edge_open(r->edge, r->loop, NULL), 0);
}

/* Everything that was counted and charged must have come to its end. */
static void tear_down(struct rig *r)
{
    gw_edge_close(r->edge);
    for (unsigned i = 0; i < GW_N_SIGNALS; i++)
        assert_int_equal(gw_edge_counts(r->edge, (enum gw_signal)(1u << i)).held, 0);
    assert_true(gw_edge_is_empty(r->edge));
    gw_edge_free(r->edge);
    (void)gw_ticket_unref(r->ticket);
    assert_int_equal(r->posted, r->n_tickets); /* each request has had one verdict, and is forgotten */
    assert_int_equal(r->released, r->n_tickets);
    assert_int_equal(r->memory.used_bytes, 0);
    free(r->sink);
    gw_loop_free(r->loop);
    gw_meter_free(r->meter);
    gw_arena_clear(&r->arena);
    gw_buf_clear(&r->scratch);
    gw_test_env_clear(&r->te);
}

static void turn(struct rig *r)
{
    gw_loop_turn(r->loop, 0);
    gw_loop_turn(r->loop, 0);
}

static inline void pass(struct rig *r, uint64_t ns)
{
    gw_test_env_advance(&r->te, ns);
    turn(r);
}

/* A request of n rows goes in; its ticket is r->ticket. */
static void put(struct rig *r, enum gw_signal s, uint64_t first, unsigned n, const struct gw_meta *meta)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_edge_put how = {
        .scratch = &r->scratch, .ledger = &r->ledger, .reserved = &r->reserved, .deadline_ns = r->deadline_ns};
    struct gw_batch *b = gw_batch_new(s);
    struct gw_buf body;
    struct gw_view v;
    struct gw_ref at;

    gw_buf_init(&body, 1u << 20);
    gw_test_request(&body, s, first, n);
    (void)gw_ticket_unref(r->ticket);
    r->ticket = calloc(1, sizeof(*r->ticket));
    *r->ticket = (struct gw_ticket){.refs = 1, .rows = n, .post = on_post, .release = on_release, .signal = (uint8_t)s};
    atomic_store(&r->ticket->open, n);
    r->n_tickets++;
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, r->ticket, NULL), 0);
    b->meta = meta ? gw_meta_ref(meta) : NULL;
    gw_view_init(&v, b, &r->arena);
    gw_edge_put(r->edge, &v, &how);
    (void)gw_batch_unref(b);
    gw_buf_clear(&body);
}

static inline uint64_t dropped(struct rig *r, const char *reason)
{
    const struct gw_label l[] = {{"component", "scripted"}, {"pipeline", ""}, {"signal", "logs"}, {"reason", reason}};

    return gw_meter_get(r->meter, GW_COUNTER, "staunch_dropped_items", "", l, 4)->value;
}

static inline bool contains(struct gw_slice body, const void *p, size_t n)
{
    return memmem(body.p, body.n, p, n) != NULL;
}

#endif
