/* SPDX-License-Identifier: Apache-2.0 */
/* What one worker does: reading, pairing, counting; and sending what is not its own. */
#include "connectors/service_graph/service_graph.h"

#include <errno.h>
#include <stdlib.h>

#include "connectors/service_graph/texts.h"
#include "core/hash.h"

enum {
    MAX_RUN_BYTES = 64 << 20,
    MAX_BODY_BYTES = 64 << 20,
    /* Attributes of a series; a longer one is counted with those that find no place: names come from peers. */
    MAX_SERIES_BYTES = 4096,
};

enum record { A_HALF, A_REQUEST, AN_OVERFLOW };

/* Heads of records; texts or attributes follow. */
struct half_head {
    struct gw_half_key key;
    uint64_t duration_ns;
    uint8_t side, messaging, failed;
};
struct request_head {
    uint64_t client_ns, server_ns;
    uint8_t failed;
};

/* 0 means the default, as in the Collector. */
static uint64_t store_loop_ns(const struct gw_sg_conf *c)
{
    return c->store_loop_ns ? c->store_loop_ns : UINT64_C(2000000000);
}

static uint64_t cache_loop_ns(const struct gw_sg_conf *c)
{
    return c->cache_loop_ns ? c->cache_loop_ns : UINT64_C(60000000000);
}

static unsigned n_workers(const struct gw_sg_lane *l)
{
    return l->graph->exchange.n_workers;
}

/* ---- counting --------------------------------------------------------------------------------------------- */

static void observe(const struct gw_sg *g, void *histogram, uint64_t ns)
{
    double seconds = (double)ns / 1e9;

    if (g->bounds.at)
        gw_explicit_add(histogram, &g->bounds, seconds, 1);
    else
        (void)gw_exponential_add(histogram, seconds, 1);
}

static void begin(struct gw_sg_lane *l, struct gw_series *s)
{
    const struct gw_sg *g = l->graph;
    struct gw_sg_value *v = gw_series_value(s);

    s->start_ns = l->start_ns;
    if (g->bounds.at)
        return;
    gw_exponential_init(gw_sg_server(g, v), (uint32_t)g->conf->exponential_max_size);
    gw_exponential_init(gw_sg_client(g, v), (uint32_t)g->conf->exponential_max_size);
}

static void count_in(struct gw_sg_lane *l, struct gw_series *s, const struct request_head *r)
{
    struct gw_sg_value *v = gw_series_value(s);

    if (v->total == 0)
        begin(l, s);
    l->is_new = true;
    v->total++;
    v->failed += r->failed;
    observe(l->graph, gw_sg_server(l->graph, v), r->server_ns);
    observe(l->graph, gw_sg_client(l->graph, v), r->client_ns);
}

/* Series that find no place are one, of the first worker. */
static void count_overflow(struct gw_sg_lane *l, const struct request_head *r)
{
    struct gw_series *s;
    uint8_t *to;

    if (l->worker == 0) {
        s = gw_series_get(&l->spill, &l->spilled, GW_SLICE(""), l->now_ns);
        if (s)
            count_in(l, s, r);
        return;
    }
    to = gw_sg_sender_room(&l->sender, 0, AN_OVERFLOW, sizeof(*r));
    if (to)
        memcpy(to, r, sizeof(*r));
}

static void count(struct gw_sg_lane *l, struct gw_slice run, uint64_t hash, const struct request_head *r)
{
    struct gw_series *s = gw_series_get_hashed(&l->series, &l->group, run, hash, l->now_ns);

    if (s && !s->is_overflow)
        count_in(l, s, r);
    else
        count_overflow(l, r);
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static void put_text(struct gw_buf *run, const char *key, struct gw_slice value)
{
    gw_mw_attr_put_str(run, gw_slice_cstr(key), value);
}

static void put_dims(struct gw_sg_lane *l, const struct gw_request *r)
{
    const char *name = l->graph->dim_names;

    for (size_t i = 0; i < l->graph->conf->dimensions.n; i++) {
        if (r->client_dims && r->client_dims[i].p)
            put_text(&l->run, name, r->client_dims[i]);
        name += strlen(name) + 1;
        if (r->server_dims && r->server_dims[i].p)
            put_text(&l->run, name, r->server_dims[i]);
        name += strlen(name) + 1;
    }
}

/* Names and types are in the key, so that no two series are ever taken for one. */
static bool write_run(struct gw_sg_lane *l, const struct gw_request *r)
{
    struct gw_value failed = {.type = GW_V_BOOL, .b = r->failed};

    gw_buf_reset(&l->run);
    put_text(&l->run, "client", r->client);
    put_text(&l->run, "server", r->server);
    put_text(&l->run, "connection_type", gw_slice_cstr(gw_connection_name((enum gw_connection)r->connection)));
    gw_mw_attr_put(&l->run, GW_SLICE("failed"), &failed);
    put_dims(l, r);
    if (l->graph->conf->virtual_label)
        put_text(&l->run, "virtual_node", gw_slice_cstr(gw_virtual_name((enum gw_virtual)r->virtual_node)));
    return !l->run.failed;
}

static void on_request(void *arg, const struct gw_request *r)
{
    struct gw_sg_lane *l = arg;
    struct request_head head = {r->client_ns, r->server_ns, r->failed};
    struct gw_slice run;
    uint64_t hash;
    unsigned to;
    uint8_t *at;

    if (!write_run(l, r))
        return; /* no memory, not even for a few texts */
    run = gw_buf_slice(&l->run);
    if (run.n > MAX_SERIES_BYTES) {
        count_overflow(l, &head);
        return;
    }
    hash = gw_hash_table(run);
    to = (unsigned)((hash >> 32) % n_workers(l));
    if (to == l->worker) {
        count(l, run, hash, &head);
        return;
    }
    at = gw_sg_sender_room(&l->sender, to, A_REQUEST, sizeof(head) + run.n);
    if (!at)
        return;
    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), run.p, run.n);
}

/* ---- halves ----------------------------------------------------------------------------------------------- */

static unsigned owner_of(const struct gw_sg_lane *l, const struct gw_half_key *key)
{
    return (unsigned)((gw_hash_table(gw_slice_of(key->trace_id, sizeof(key->trace_id))) >> 32) % n_workers(l));
}

static void on_half(void *arg, const struct gw_half_key *key, const struct gw_half *half, struct gw_slice database)
{
    struct gw_sg_lane *l = arg;
    unsigned to = owner_of(l, key);
    struct half_head head = {*key, half->duration_ns, half->side, half->messaging, half->failed};
    uint64_t n = sizeof(head) + gw_text_bytes(half->service) + gw_text_bytes(half->peer) + gw_text_bytes(database) +
                 gw_texts_bytes(half->dims, half->n_dims);
    uint8_t *at;

    if (to == l->worker) {
        gw_pairs_put(&l->pairs, key, half, database, l->now_ns);
        return;
    }
    at = gw_sg_sender_room(&l->sender, to, A_HALF, n);
    if (!at) {
        l->n_unsent++;
        return;
    }
    memcpy(at, &head, sizeof(head));
    at = gw_text_put(gw_text_put(gw_text_put(at + sizeof(head), half->service), half->peer), database);
    (void)gw_texts_put(at, half->dims, half->n_dims);
}

static void take_half(struct gw_sg_lane *l, struct gw_slice record)
{
    uint32_t n_dims = (uint32_t)l->graph->conf->dimensions.n;
    struct half_head head;
    struct gw_half half;
    struct gw_slice database;
    const uint8_t *at = record.p + sizeof(head);

    memcpy(&head, record.p, sizeof(head));
    half = (struct gw_half){.side = head.side,
                            .messaging = head.messaging,
                            .failed = head.failed,
                            .n_dims = n_dims,
                            .duration_ns = head.duration_ns,
                            .dims = l->dims};
    at = gw_text_get(gw_text_get(gw_text_get(at, &half.service), &half.peer), &database);
    (void)gw_texts_get(at, l->dims, n_dims);
    gw_pairs_put(&l->pairs, &head.key, &half, database, l->now_ns);
}

static void take_record(void *arg, uint8_t kind, struct gw_slice record)
{
    struct gw_sg_lane *l = arg;
    struct request_head head;
    struct gw_slice run;

    if (kind == A_HALF) {
        take_half(l, record);
        return;
    }
    memcpy(&head, record.p, sizeof(head));
    run = (struct gw_slice){record.p + sizeof(head), record.n - sizeof(head)};
    if (kind == A_REQUEST)
        count(l, run, gw_hash_table(run), &head);
    else
        count_overflow(l, &head);
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

static void tell_counts(struct gw_sg_lane *l)
{
    const struct gw_sg *g = l->graph;
    uint64_t dropped = l->pairs.n_dropped + l->n_unsent;

    gw_metric_add(g->edges, l->pairs.n_edges - l->told_edges);
    gw_metric_add(g->expired, l->pairs.n_expired - l->told_expired);
    gw_metric_add(g->dropped, dropped - l->told_dropped);
    l->told_edges = l->pairs.n_edges;
    l->told_expired = l->pairs.n_expired;
    l->told_dropped = dropped;
}

static void take_in(struct gw_sg_lane *l, uint64_t now_ns)
{
    l->now_ns = now_ns;
    (void)gw_sg_exchange_take(&l->graph->exchange, l->worker, take_record, l);
}

void gw_sg_lane_read(struct gw_sg_lane *l, const struct gw_view *v, uint64_t now_ns)
{
    take_in(l, now_ns);
    gw_spans_read(&l->reader, v);
    gw_sg_sender_push(&l->sender);
    tell_counts(l);
}

/* A series that comes again has counted nothing since before the last of these. */
static void expire_series(struct gw_sg_lane *l, uint64_t now_ns)
{
    uint64_t age = l->graph->conf->series_expiration_ns;
    uint32_t n = 0;

    if (age == 0 || now_ns <= age)
        return;
    n += gw_series_expire(&l->series, &l->group, now_ns - age);
    n += gw_series_expire(&l->spill, &l->spilled, now_ns - age);
    if (n)
        l->start_ns = gw_wall_ns(l->graph->ctx->env);
}

void gw_sg_lane_tick(struct gw_sg_lane *l, uint64_t now_ns)
{
    const struct gw_sg_conf *c = l->graph->conf;

    take_in(l, now_ns);
    if (now_ns >= l->expire_ns) {
        gw_pairs_expire(&l->pairs, now_ns);
        l->expire_ns = now_ns + store_loop_ns(c);
    }
    gw_sg_sender_push(&l->sender);
    if (now_ns >= l->cache_ns) {
        expire_series(l, now_ns);
        l->cache_ns = now_ns + cache_loop_ns(c);
    }
    tell_counts(l);
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static void clear_value(void *value, void *arg)
{
    const struct gw_sg *g = arg;

    if (g->bounds.at)
        return;
    gw_exponential_clear(gw_sg_server(g, value));
    gw_exponential_clear(gw_sg_client(g, value));
}

static uint32_t share_of(uint64_t max, unsigned n)
{
    uint64_t each = max / n + (max % n != 0);

    return max == 0 || each > UINT32_MAX ? UINT32_MAX : (uint32_t)each;
}

static void init_series(struct gw_sg_lane *l)
{
    struct gw_sg *g = l->graph;
    struct gw_series_conf conf = {
        .value_bytes = sizeof(struct gw_sg_value) + 2 * g->histogram_bytes,
        .max_series = share_of(g->conf->max_series, g->exchange.n_workers),
        .credit = g->memory,
        .clear_value = clear_value,
        .arg = g,
    };

    gw_series_init(&l->series, &conf);
    gw_series_group_init(&l->group);
    conf.max_series = 0;
    gw_series_init(&l->spill, &conf);
    gw_series_group_init(&l->spilled);
}

/* An empty list means the default, as in the Collector. */
static struct gw_list databases_of(const struct gw_sg_conf *c)
{
    static const char *const db_name[] = {"db.name"};

    return c->databases.n ? c->databases : (struct gw_list){.items = (void *)(uintptr_t)db_name, .n = 1};
}

int gw_sg_lane_init(struct gw_sg_lane *l, struct gw_sg *g, unsigned worker)
{
    const struct gw_sg_conf *c = g->conf;
    uint64_t now = gw_mono_ns(g->ctx->env);

    *l = (struct gw_sg_lane){.graph = g,
                             .worker = worker,
                             .expire_ns = now + store_loop_ns(c),
                             .cache_ns = now + cache_loop_ns(c),
                             .flush_ns = now + c->flush_interval_ns,
                             .start_ns = gw_wall_ns(g->ctx->env)};
    l->reader =
        (struct gw_span_reader){.names = {.dimensions = c->dimensions, .databases = databases_of(c), .peers = c->peers},
                                .half = on_half,
                                .arg = l};
    l->pairs = (struct gw_pairs){.virtual_nodes = c->peers.n > 0, .request = on_request, .arg = l};
    gw_buf_init(&l->run, MAX_RUN_BYTES);
    gw_buf_init(&l->body, MAX_BODY_BYTES);
    init_series(l);
    l->dims = calloc(c->dimensions.n + 1, sizeof(*l->dims));
    l->pairs.halves = gw_halves_new(
        &(struct gw_halves_conf){&g->items, &g->bytes, g->memory, c->store.ttl_ns, (uint32_t)c->dimensions.n});
    if (!l->dims || !l->pairs.halves)
        return -ENOMEM;
    return gw_sg_sender_init(&l->sender, &g->exchange);
}

void gw_sg_lane_clear(struct gw_sg_lane *l)
{
    if (!l->graph)
        return;
    gw_sg_sender_clear(&l->sender);
    gw_halves_free(l->pairs.halves);
    gw_series_clear(&l->series);
    gw_series_clear(&l->spill);
    gw_buf_clear(&l->run);
    gw_buf_clear(&l->body);
    free(l->dims);
}
