/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/hs.h"

enum { ACCEPTS_A_TURN = 64, MAX_REST = SOMAXCONN };
static const uint64_t ACCEPT_PAUSE_NS = 100 * 1000000;

/** A connection on its way to its worker; with fd -1: "you are the one who accepts now". */
struct handoff {
    struct gw_inbox_item item;
    int fd;
    struct sockaddr_storage peer;
};

/* ---- group ------------------------------------------------------------------------------------------------ */

void gw_hs_conf_defaults(struct gw_hs_conf *ret)
{
    const uint64_t s = 1000000000;

    *ret = (struct gw_hs_conf){
        .endpoint = "",
        .transport = "tcp",
        .protocols = GW_HS_HTTP1 | GW_HS_HTTP2,
        .max_header_bytes = 16384,
        .max_headers = 100,
        .max_concurrent_streams = 128,
        .initial_window_bytes = 65535,
        .max_window_bytes = 1024 * 1024,
        .header_timeout_ns = 10 * s,
        .body_idle_timeout_ns = 30 * s,
        .keepalive_time_ns = 7200 * s,
        .keepalive_timeout_ns = 20 * s,
        .keepalive_min_ns = 300 * s,
        .keep_alives = true,
        .connect_burst = 20000,
        .connect_per_s = 10000,
        .bucket_burst = 200,
        .bucket_per_s = 20,
    };
}

static void open_metrics(struct gw_hs_group *g)
{
    struct gw_meter *m = g->conf.meter;
    struct gw_label ends[] = {{"endpoint", g->conf.endpoint}, {"reason", NULL}};

    if (!m)
        return;
    g->connections = gw_meter_get(m, GW_GAUGE, "staunch_net_connections", "Open connections.", ends, 1);
    g->accepted = gw_meter_get(m, GW_COUNTER, "staunch_net_accepted", "Connections accepted.", ends, 1);
    g->accept_failed = gw_meter_get(m, GW_COUNTER, "staunch_net_accept_failed",
                                    "Times that accepting had to pause, for want of descriptors or memory.", ends, 1);
    ends[1].value = "max_connections";
    g->over_limit = gw_meter_get(m, GW_COUNTER, "staunch_net_cut", "Connections ended by us, by reason.", ends, 2);
    ends[1].value = "connect_rate";
    g->over_rate = gw_meter_get(m, GW_COUNTER, "staunch_net_cut", "Connections ended by us, by reason.", ends, 2);
    ends[1].value = "attack";
    g->cut_attack = gw_meter_get(m, GW_COUNTER, "staunch_net_cut", "Connections ended by us, by reason.", ends, 2);
    ends[1].value = "timeout";
    g->cut_timeout = gw_meter_get(m, GW_COUNTER, "staunch_net_cut", "Connections ended by us, by reason.", ends, 2);
    ends[1].value = "tls";
    g->tls_failed = gw_meter_get(m, GW_COUNTER, "staunch_net_cut", "Connections ended by us, by reason.", ends, 2);
}

/** Once: of two successors with one address the second has to find it taken. */
static bool take_over(struct gw_hs_group *g, struct gw_hs_group **link)
{
    struct gw_hs_group *old = *link;
    int code;

    if (strcmp(old->conf.endpoint, g->conf.endpoint) != 0 || strcmp(old->conf.transport, g->conf.transport) != 0)
        return false;
    pthread_mutex_lock(&old->lock);
    code = old->listen.n_fds ? gw_listen_share(&old->listen, &g->listen) : -ENOTCONN;
    pthread_mutex_unlock(&old->lock);
    if (code == 0) {
        old->listen.is_shared = true;
        *link = old->next_offered;
    }
    return code == 0;
}

/** The sockets of a group that is going to be replaced; else sockets of its own. */
static int open_listen(struct gw_hs_group *g, struct gw_err *err)
{
    struct gw_listeners *offered = g->conf.listeners;
    int code;

    for (struct gw_hs_group **p = offered ? &offered->first : NULL; p && *p; p = &(*p)->next_offered)
        if (take_over(g, p))
            return 0;
    code = gw_listen_open(g->conf.transport, g->conf.endpoint, /* beside= */ false, &g->listen, err);
    if (code != -EADDRINUSE || !offered || !offered->first)
        return code;
    for (struct gw_hs_group *other = offered->beside; other; other = other->next_offered)
        if (strcmp(other->conf.endpoint, g->conf.endpoint) == 0)
            return code; /* the kernel would let the two share it */
    for (struct gw_hs_group *old = offered->first; old; old = old->next_offered)
        gw_listen_allow(&old->listen);
    code = gw_listen_open(g->conf.transport, g->conf.endpoint, /* beside= */ true, &g->listen, err);
    if (code == 0) {
        g->next_offered = offered->beside;
        offered->beside = g;
    }
    return code;
}

void gw_hs_group_offer(struct gw_hs_group *g, struct gw_listeners *to)
{
    if (!g)
        return;
    g->next_offered = to->first;
    to->first = g;
}

int gw_hs_group_new(struct gw_env *env, const struct gw_hs_conf *conf, struct gw_hs_group **ret, struct gw_err *err)
{
    struct gw_hs_group *g = calloc(1, sizeof *g);
    int code;

    if (!g)
        return gw_fail(err, -ENOMEM, "endpoint \"%s\": out of memory", conf->endpoint);
    g->env = env;
    g->conf = *conf;
    pthread_mutex_init(&g->lock, NULL);
    code = gw_peer_rate_init(&g->rate, conf->connect_burst, conf->connect_per_s);
    if (code < 0)
        (void)gw_fail(err, code, "endpoint \"%s\": out of memory", conf->endpoint);
    if (code == 0 && conf->tls.enabled)
        code = gw_tls_store_new(env, &g->conf, &g->tls, err);
    if (code == 0)
        code = open_listen(g, err);
    if (code < 0) {
        gw_hs_group_free(g);
        return code;
    }
    open_metrics(g);
    *ret = g;
    return 0;
}

void gw_hs_group_free(struct gw_hs_group *g)
{
    if (!g)
        return;
    gw_listen_close(&g->listen);
    gw_tls_store_free(g->tls);
    gw_peer_rate_clear(&g->rate);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

unsigned gw_hs_group_port(const struct gw_hs_group *g)
{
    return g->listen.port;
}

/* ---- accepting and dealing -------------------------------------------------------------------------------- */

/** The server that has the fewest, if it can take one more. The lock is held. */
static struct gw_hs_server *fewest(struct gw_hs_group *g)
{
    struct gw_hs_server *best = NULL;
    unsigned least = 0;

    for (struct gw_hs_server *sv = g->servers; sv; sv = sv->next) {
        unsigned n = atomic_load_explicit(&sv->n_dealt, memory_order_relaxed);

        if (!sv->quiescing && (!best || n < least)) {
            best = sv;
            least = n;
        }
    }
    return best;
}

void gw_hs_server_uncount(struct gw_hs_server *sv)
{
    atomic_fetch_sub_explicit(&sv->n_dealt, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&sv->g->n_connections, 1, memory_order_relaxed);
    gw_metric_add(sv->g->connections, (uint64_t)-1);
}

/** Push and count under the lock: a server that leaves the group has all its hand-offs, and gets no more. */
static void deal(struct gw_hs_server *self, int fd, const struct sockaddr_storage *peer)
{
    struct gw_hs_group *g = self->g;
    struct gw_hs_server *to;
    struct handoff *h = NULL;

    pthread_mutex_lock(&g->lock);
    to = self->takes_rest ? self : fewest(g);
    if (to && to != self)
        h = malloc(sizeof *h);
    if (!to || (to != self && !h)) {
        pthread_mutex_unlock(&g->lock);
        close(fd);
        return;
    }
    atomic_fetch_add_explicit(&to->n_dealt, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->n_connections, 1, memory_order_relaxed);
    gw_metric_add(g->connections, 1);
    if (h) {
        h->fd = fd;
        h->peer = *peer;
        if (gw_inbox_push(&to->inbox, &h->item))
            gw_loop_wake(to->loop);
    }
    pthread_mutex_unlock(&g->lock);
    if (!h)
        gw_conn_new(self, fd, peer);
}

static void pause_accepting(struct gw_hs_server *sv, int code)
{
    gw_metric_add(sv->g->accept_failed, 1);
    gw_log(sv->g->conf.logger, GW_LOG_WARN, "cannot accept connections on %s: %s; trying again in 100 ms",
           sv->g->conf.endpoint, strerror(-code));
    for (unsigned i = 0; i < sv->n_acceptors; i++)
        gw_fd_change(sv->loop, &sv->acceptors[i].f, 0);
    gw_timer_arm(sv->loop, &sv->accept_again, gw_loop_now_ns(sv->loop) + ACCEPT_PAUSE_NS);
}

static void accept_again(struct gw_timer *t)
{
    struct gw_hs_server *sv = (struct gw_hs_server *)((char *)t - offsetof(struct gw_hs_server, accept_again));

    for (unsigned i = 0; i < sv->n_acceptors; i++)
        gw_fd_change(sv->loop, &sv->acceptors[i].f, GW_FD_READ);
}

/** One connection of those that wait. Errors: -EAGAIN when there are no more; what accept4(2) says. */
static int take_one(struct gw_hs_server *sv, int listener)
{
    struct gw_hs_group *g = sv->g;
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof peer;
    int one = 1, fd = accept4(listener, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
    if (!gw_peer_rate_take(&g->rate, &peer, gw_loop_now_ns(sv->loop))) {
        gw_metric_add(g->over_rate, 1);
        close(fd);
        return 0;
    }
    if (g->conf.max_connections && atomic_load(&g->n_connections) >= g->conf.max_connections) {
        gw_metric_add(g->over_limit, 1);
        close(fd);
        return 0;
    }
    gw_metric_add(g->accepted, 1);
    if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    deal(sv, fd, &peer);
    return 0;
}

static void on_accept(struct gw_fd *f, unsigned events)
{
    struct gw_hs_server *sv = ((struct gw_acceptor *)f)->sv;
    int code = 0;

    (void)events;
    for (unsigned i = 0; i < ACCEPTS_A_TURN && f->events && code == 0; i++)
        code = take_one(sv, f->fd);
    if (code < 0 && code != -EAGAIN)
        pause_accepting(sv, code);
}

/**
 * The door is closed for good: whoever the kernel has let in already is not sent away, which would be a reset, but
 * served, and told to go. Not when a successor has the sockets, too: then they are its.
 */
static void take_rest(struct gw_hs_server *sv)
{
    struct gw_listen *li = &sv->g->listen;

    if (li->is_shared)
        return;
    gw_listen_hush(li);
    for (unsigned i = 0; i < li->n_fds; i++)
        for (unsigned k = 0; k < MAX_REST && take_one(sv, li->fds[i]) == 0; k++)
            ;
}

/** Look at the certificate files now and then; the accepter does it for all. */
static void tls_check(struct gw_timer *t)
{
    struct gw_hs_server *sv = (struct gw_hs_server *)((char *)t - offsetof(struct gw_hs_server, tls_check));

    gw_tls_store_check(sv->g->tls);
    gw_timer_arm(sv->loop, t, gw_loop_now_ns(sv->loop) + gw_tls_store_interval_ns(sv->g->tls));
}

/** On the server's own thread. Errors: what epoll_ctl(2) says. */
static int start_accepting(struct gw_hs_server *sv)
{
    struct gw_listen *li = &sv->g->listen;

    for (unsigned i = 0; i < li->n_fds; i++) {
        int code;

        sv->acceptors[i] = (struct gw_acceptor){{.fd = li->fds[i], .events = GW_FD_READ, .ready = on_accept}, sv};
        code = gw_fd_add(sv->loop, &sv->acceptors[i].f);
        if (code < 0)
            return code;
        sv->n_acceptors = i + 1;
    }
    sv->accept_again.fire = accept_again;
    if (sv->g->tls) {
        sv->tls_check.fire = tls_check;
        gw_timer_arm(sv->loop, &sv->tls_check, gw_loop_now_ns(sv->loop) + gw_tls_store_interval_ns(sv->g->tls));
    }
    return 0;
}

/** True: there is somebody else who accepts from now on. The lock is held. */
static bool pass_on(struct gw_hs_group *g)
{
    struct handoff *h = malloc(sizeof *h);

    g->accepter = h ? fewest(g) : NULL;
    if (!g->accepter) {
        free(h);
        return false;
    }
    h->fd = -1;
    gw_inbox_push(&g->accepter->inbox, &h->item);
    gw_loop_wake(g->accepter->loop);
    return true;
}

/** Somebody else accepts from now on; the last one closes the door. */
static void stop_accepting(struct gw_hs_server *sv, bool serve_rest)
{
    struct gw_hs_group *g = sv->g;
    bool is_last;

    for (unsigned i = 0; i < sv->n_acceptors; i++)
        gw_fd_remove(sv->loop, &sv->acceptors[i].f);
    sv->n_acceptors = 0;
    gw_timer_disarm(&sv->accept_again);
    gw_timer_disarm(&sv->tls_check);

    pthread_mutex_lock(&g->lock);
    sv->quiescing = true;
    is_last = g->accepter == sv && !pass_on(g);
    pthread_mutex_unlock(&g->lock);
    if (!is_last)
        return;
    sv->takes_rest = serve_rest;
    if (serve_rest)
        take_rest(sv);
    sv->takes_rest = false;
    pthread_mutex_lock(&g->lock);
    gw_listen_close(&g->listen);
    pthread_mutex_unlock(&g->lock);
}

/* ---- server ----------------------------------------------------------------------------------------------- */

void gw_hs_server_poke(struct gw_hs_server *sv)
{
    gw_loop_again(sv->loop);
}

int gw_hs_slot_take(struct gw_hs_server *sv, struct gw_hs_conn *c)
{
    if (sv->n_free_slots == 0) {
        uint32_t n = sv->n_slots ? sv->n_slots * 2 : 64;
        struct gw_hs_conn **slots = realloc(sv->slots, n * sizeof *slots);
        uint32_t *free_slots;

        if (!slots)
            return -ENOMEM;
        sv->slots = slots;
        free_slots = realloc(sv->free_slots, n * sizeof *free_slots);
        if (!free_slots)
            return -ENOMEM;
        sv->free_slots = free_slots;
        for (uint32_t i = n; i-- > sv->n_slots;) {
            sv->slots[i] = NULL;
            sv->free_slots[sv->n_free_slots++] = i;
        }
        sv->n_slots = n;
    }
    c->slot = sv->free_slots[--sv->n_free_slots];
    c->generation = ++sv->next_generation;
    sv->slots[c->slot] = c;
    return 0;
}

void gw_hs_slot_give_back(struct gw_hs_server *sv, struct gw_hs_conn *c)
{
    sv->slots[c->slot] = NULL;
    sv->free_slots[sv->n_free_slots++] = c->slot;
}

static void take_handoffs(struct gw_hs_server *sv)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&sv->inbox), *next; i; i = next) {
        struct handoff *h = (struct handoff *)i;

        next = i->next;
        if (h->fd < 0) {
            int code = sv->quiescing ? 0 : start_accepting(sv);

            if (code < 0)
                gw_log(sv->g->conf.logger, GW_LOG_ERROR, "cannot accept connections on %s: %s", sv->g->conf.endpoint,
                       strerror(-code));
        } else {
            gw_conn_new(sv, h->fd, &h->peer);
        }
        free(h);
    }
}

static void bury(struct gw_hs_server *sv)
{
    struct gw_hs_conn *c;

    while ((c = sv->doomed)) {
        sv->doomed = c->next_doomed;
        gw_conn_free(c);
    }
}

/** The end of a turn. Telling a handler that a stream is gone may doom another connection: hence the order. */
static void run_hook(struct gw_hook *hook)
{
    struct gw_hs_server *sv = (struct gw_hs_server *)((char *)hook - offsetof(struct gw_hs_server, hook));
    struct gw_hs_conn *list, *c;

    take_handoffs(sv);
    for (list = sv->ready, sv->ready = NULL; (c = list);) {
        list = c->next_ready;
        gw_conn_continue(c);
    }
    for (list = sv->dirty, sv->dirty = NULL; (c = list);) {
        list = c->next_dirty;
        gw_conn_flush(c);
    }
    bury(sv);
}

int gw_hs_server_new(struct gw_hs_group *g, struct gw_loop *loop, struct gw_hs_handler *handler,
                     struct gw_hs_server **ret, struct gw_err *err)
{
    struct gw_hs_server *sv = calloc(1, sizeof *sv);
    bool is_first;
    int code = 0;

    if (!sv)
        return gw_fail(err, -ENOMEM, "endpoint \"%s\": out of memory", g->conf.endpoint);
    sv->g = g;
    sv->loop = loop;
    sv->handler = handler;
    sv->hook.run = run_hook;
    gw_loop_add_hook(loop, &sv->hook);

    pthread_mutex_lock(&g->lock);
    is_first = !g->accepter;
    if (is_first)
        g->accepter = sv;
    sv->next = g->servers;
    g->servers = sv;
    pthread_mutex_unlock(&g->lock);
    if (is_first)
        code = g->listen.n_fds ? start_accepting(sv) : -ENOTCONN;
    if (code < 0) {
        gw_hs_server_free(sv);
        return gw_fail(err, code, "cannot accept connections on \"%s\": %s", g->conf.endpoint, strerror(-code));
    }
    *ret = sv;
    return 0;
}

void gw_hs_server_quiesce(struct gw_hs_server *sv)
{
    stop_accepting(sv, /* serve_rest= */ true);
    take_handoffs(sv);
    for (struct gw_hs_conn *c = sv->conns; c; c = c->next)
        gw_conn_quiesce(c);
    gw_hs_server_poke(sv);
}

bool gw_hs_server_is_idle(const struct gw_hs_server *sv)
{
    return atomic_load_explicit(&sv->n_dealt, memory_order_relaxed) == 0;
}

void gw_hs_server_free(struct gw_hs_server *sv)
{
    struct gw_hs_group *g;

    if (!sv)
        return;
    g = sv->g;
    stop_accepting(sv, /* serve_rest= */ false);
    pthread_mutex_lock(&g->lock);
    for (struct gw_hs_server **p = &g->servers; *p; p = &(*p)->next)
        if (*p == sv) {
            *p = sv->next;
            break;
        }
    pthread_mutex_unlock(&g->lock);
    take_handoffs(sv);
    for (struct gw_hs_conn *c = sv->conns; c; c = c->next)
        gw_conn_close(c);
    bury(sv);
    gw_loop_remove_hook(sv->loop, &sv->hook);
    gw_http2_server_clear(sv);
    gw_conn_forget_buffers();
    free(sv->slots);
    free(sv->free_slots);
    free(sv);
}

/* ---- streams, as the handler sees them -------------------------------------------------------------------- */

void gw_hs_set_user(struct gw_hs_stream *s, void *user)
{
    s->user = user;
}

void *gw_hs_user(const struct gw_hs_stream *s)
{
    return s->user;
}

const struct gw_hs_head *gw_hs_head_of(const struct gw_hs_stream *s)
{
    return &s->head;
}

void gw_hs_respond(struct gw_hs_stream *s, const struct gw_hs_response *r)
{
    if (s->responded)
        return;
    s->responded = true;
    s->open = r->open && s->conn->proto->push;
    if (!s->conn->closed)
        s->conn->proto->respond(s, r);
}

int gw_hs_push(struct gw_hs_stream *s, struct gw_slice bytes)
{
    return s->open && !s->conn->closed ? s->conn->proto->push(s, bytes) : -EPIPE;
}

void gw_hs_end(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers)
{
    if (!s->open)
        return;
    s->open = false;
    if (!s->conn->closed)
        s->conn->proto->end(s, trailers, n_trailers);
}

struct gw_hs_name gw_hs_name_of(const struct gw_hs_stream *s)
{
    return (struct gw_hs_name){s->conn->slot, s->conn->generation, s->id};
}

struct gw_hs_stream *gw_hs_find(struct gw_hs_server *sv, struct gw_hs_name name)
{
    struct gw_hs_conn *c = name.slot < sv->n_slots ? sv->slots[name.slot] : NULL;

    if (!c || c->generation != name.generation || !c->proto || c->closed)
        return NULL;
    return c->proto->find(c, name.stream);
}
