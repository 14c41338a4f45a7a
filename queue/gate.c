/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/gate.h"

#include <string.h>

#include "queue/edge_impl.h"

static struct gw_lane *lane_of(struct gw_gate *g)
{
    return (struct gw_lane *)((char *)g - offsetof(struct gw_lane, gate));
}

static struct gw_loop *loop_of(const struct gw_lane *l)
{
    return atomic_load_explicit(&l->edge->loop, memory_order_relaxed);
}

/* ---- making ------------------------------------------------------------------------------------------------- */

static bool is_gated(const struct gw_edge *e)
{
    return e->ops->queued && !e->ops->own_tries && !e->ops->swallow;
}

static void on_timer(struct gw_timer *t)
{
    gw_sender_pump(lane_of((struct gw_gate *)((char *)t - offsetof(struct gw_gate, timer))));
}

static struct gw_metric *gauge(const struct gw_lane *l, const char *name, const char *help)
{
    const struct gw_label both[] = {{"data_type", gw_signal_name(l->signal)}, {"exporter", l->edge->conf.id}};

    return gw_meter_get(l->edge->conf.meter, GW_GAUGE, name, help, both, 2);
}

static void make_metrics(struct gw_lane *l)
{
    struct gw_gate *g = &l->gate;

    if (!g->limit.adapts)
        return;
    g->limit_metric = gauge(l, "staunch_exporter_concurrency_limit", "Attempts that may be with the sink at once.");
    g->sending_metric = gauge(l, "staunch_exporter_concurrency_in_flight", "Attempts that are with the sink now.");
    gw_metric_set(g->limit_metric, gw_limit_get(&g->limit));
}

static const char *endpoint_of(const struct gw_lane *l)
{
    const struct gw_edge *e = l->edge;
    const char *s = e->ops->endpoint ? e->ops->endpoint(e->conf.self, l->signal) : NULL;

    return s ? s : "";
}

static struct gw_breaker *find_breaker(struct gw_edge *e, const char *endpoint)
{
    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        struct gw_breaker *b = e->lanes[i].gate.breaker;

        if (b && strcmp(b->endpoint, endpoint) == 0)
            return b;
    }
    return NULL;
}

static void set_breaker(struct gw_lane *l)
{
    const struct gw_edge_conf *c = &l->edge->conf;
    const char *endpoint = endpoint_of(l);
    struct gw_gate *g = &l->gate;

    g->breaker = find_breaker(l->edge, endpoint);
    if (g->breaker)
        return;
    gw_breaker_init(&g->own, &c->settings.breaker, c->env, &c->logger, c->meter,
                    &(struct gw_breaker_labels){c->id, endpoint});
    g->breaker = &g->own;
}

void gw_gate_init(struct gw_edge *e)
{
    const struct gw_sending_queue_settings *q = &e->conf.settings.queue;
    uint32_t most = !q->enabled ? UINT32_MAX : q->num_consumers > 1 ? (uint32_t)q->num_consumers : 1;

    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        struct gw_lane *l = &e->lanes[i];

        l->gate.most = most;
        l->gate.timer.fire = on_timer;
        gw_limit_init(&l->gate.limit, is_gated(e) && q->enabled && q->adaptive_concurrency.enabled, most);
        if (!is_gated(e) || !(e->conf.signals & l->signal))
            continue;
        make_metrics(l);
        if (e->conf.settings.breaker.enabled)
            set_breaker(l);
    }
}

/* ---- who may be sent ---------------------------------------------------------------------------------------- */

static void end_rest(struct gw_job *j)
{
    j->lane->gate.n_resting -= j->at_gate.rests;
    j->at_gate.rests = false;
}

void gw_gate_ready(struct gw_job *j)
{
    struct gw_lane *l = j->lane;

    end_rest(j);
    if (!j->at_gate.ready) {
        j->at_gate.ready = true;
        j->at_gate.ready_ns = gw_loop_now_ns(loop_of(l));
        l->gate.n_ready++;
    }
}

static bool is_below_limit(const struct gw_gate *g)
{
    return g->n_sending + g->n_resting < gw_limit_get(&g->limit);
}

/* What exporters make of a body is not charged, but a multiple of it: so the bodies that they have are few. */
static bool has_room(const struct gw_lane *l, size_t bytes)
{
    uint64_t most = atomic_load_explicit(&l->edge->conf.memory->soft_bytes, memory_order_relaxed) / 4;

    return l->gate.n_bytes == 0 || (bytes <= most && l->gate.n_bytes <= most - bytes);
}

/* When its time is up, monotonic; UINT64_MAX = never. */
static uint64_t end_of_time_ns(const struct gw_job *j)
{
    uint64_t most = gw_sender_max_elapsed_ns(j);

    return most && j->tries.first_ns ? j->tries.first_ns + most : UINT64_MAX;
}

bool gw_gate_has_place(struct gw_lane *l, size_t bytes, uint64_t now_ns)
{
    const struct gw_gate *g = &l->gate;
    uint64_t jobs = atomic_load_explicit(&l->in_flight, memory_order_relaxed);

    return jobs - g->n_aside < g->most && is_below_limit(g) && has_room(l, bytes) &&
           (!g->breaker || gw_breaker_may(g->breaker, now_ns));
}

/* A body that failed unsurely, twice: no good probe, because it may be what is wrong. */
static bool is_suspect(const struct gw_job *j)
{
    return j->at_gate.unsure >= 2;
}

static bool is_before(const struct gw_job *a, const struct gw_job *b)
{
    return is_suspect(a) != is_suspect(b) ? is_suspect(b) : a->at_gate.ready_ns < b->at_gate.ready_ns;
}

bool gw_gate_prefers_new(struct gw_lane *l, const struct gw_job *j, uint64_t now_ns)
{
    const struct gw_breaker *b = l->gate.breaker;

    return b && b->state != GW_BREAKER_CLOSED && is_suspect(j) && l->pending && !l->graves &&
           gw_gate_has_place(l, l->pending->body.n, now_ns);
}

struct gw_job *gw_gate_next(struct gw_lane *l, uint64_t now_ns)
{
    struct gw_gate *g = &l->gate;
    struct gw_job *first = NULL;
    bool may;

    if (!g->n_ready || !is_below_limit(g))
        return NULL;
    may = !g->breaker || gw_breaker_may(g->breaker, now_ns);
    for (struct gw_job *j = l->jobs; j; j = j->next)
        if (j->at_gate.ready && has_room(l, j->a.body.n) && (may || now_ns >= end_of_time_ns(j)) &&
            (!first || is_before(j, first)))
            first = j;
    return first;
}

/* ---- while it is closed ------------------------------------------------------------------------------------- */

/* Whose rows somebody else has: a client, or while we leave the journal. */
static bool goes_back(const struct gw_lane *l, const struct gw_chunk *c)
{
    return gw_chunk_is_waited_for(c) || (c->in_log && atomic_load_explicit(&l->edge->draining, memory_order_relaxed));
}

static void tell_waiting(struct gw_lane *l, uint64_t wait_ns)
{
    struct gw_chunk **p = &l->pending;
    struct gw_job *next;

    while (*p) {
        struct gw_chunk *c = *p;

        if (!goes_back(l, c)) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        gw_sender_refuse_chunk(l, c, "breaker_open", "the sink is away", wait_ns);
    }
    l->pending_last = p;
    for (struct gw_job *j = l->jobs; j; j = next) {
        next = j->next;
        if (j->at_gate.ready && goes_back(l, j->chunk))
            gw_sender_refuse_job(j, "breaker_open", "the sink is away", wait_ns);
    }
}

void gw_gate_rest(struct gw_lane *l, uint64_t now_ns)
{
    struct gw_gate *g = &l->gate;
    uint64_t wait = g->breaker ? gw_breaker_wait_ns(g->breaker, now_ns) : 0, due = now_ns + wait;

    gw_timer_disarm(&g->timer);
    if (!wait)
        return;
    tell_waiting(l, wait);
    if (!l->pending && !g->n_ready)
        return;
    for (struct gw_job *j = l->jobs; j; j = j->next)
        if (j->at_gate.ready && end_of_time_ns(j) < due)
            due = end_of_time_ns(j);
    gw_timer_arm(loop_of(l), &g->timer, due);
}

void gw_gate_hurry(struct gw_lane *l, uint64_t now_ns, uint64_t pause_ns)
{
    if (l->gate.breaker)
        gw_breaker_hurry(l->gate.breaker, now_ns, pause_ns);
}

/* ---- a call ------------------------------------------------------------------------------------------------- */

static void count_sending(struct gw_gate *g, int by)
{
    g->n_sending = (uint32_t)((int64_t)g->n_sending + by);
    gw_metric_set(g->sending_metric, g->n_sending);
}

void gw_gate_begin(struct gw_job *j, uint64_t now_ns)
{
    struct gw_gate *g = &j->lane->gate;

    count_sending(g, 1);
    j->at_gate.n_bytes = j->a.body.n;
    g->n_bytes += j->at_gate.n_bytes;
    gw_limit_begin(&g->limit, g->n_sending);
    j->at_gate.begin_ns = now_ns;
    if (g->breaker)
        j->at_gate.pass = gw_breaker_begin(g->breaker, now_ns);
}

static enum gw_sign sign_of(const struct gw_job *j, const struct gw_sent_info *info)
{
    if (j->cancelled)
        return GW_SIGN_NONE;
    if (info->sign != GW_SIGN_USUAL)
        return info->sign;
    return info->sent == GW_SENT_RETRY || info->sent == GW_SENT_OVER ? GW_SIGN_AWAY : GW_SIGN_WELL;
}

enum gw_sign gw_gate_end(struct gw_job *j, const struct gw_sent_info *info, uint64_t now_ns)
{
    enum gw_sign sign = sign_of(j, info), told = sign;
    struct gw_gate *g = &j->lane->gate;

    count_sending(g, -1);
    g->n_bytes -= j->at_gate.n_bytes;
    g->n_passed += info->sent == GW_SENT_OK;
    g->n_failed += j->a.number == 1 && !j->chunk->suspicion.depth && gw_sign_is_failure(sign);
    if (gw_sign_is_unsure(sign) && j->at_gate.strikes > 1) /* the search is what fails, not the sink */
        told = GW_SIGN_NONE;
    if (g->breaker)
        gw_breaker_end(g->breaker, j->at_gate.pass, told, info->message ? info->message : info->reason, now_ns);
    gw_limit_end(&g->limit, told, j->at_gate.begin_ns, now_ns);
    gw_metric_set(g->limit_metric, gw_limit_get(&g->limit));
    return sign;
}

void gw_gate_pause(struct gw_job *j, enum gw_sign sign, uint64_t pause_ns)
{
    struct gw_gate *g = &j->lane->gate;

    if (gw_limit_rests(&g->limit, sign, g->n_sending + g->n_resting, pause_ns)) {
        j->at_gate.rests = true;
        g->n_resting++;
    }
    if (!is_suspect(j) || j->at_gate.aside)
        return;
    j->at_gate.aside = true;
    g->n_aside++;
}

void gw_gate_forget(struct gw_job *j)
{
    struct gw_gate *g = &j->lane->gate;

    end_rest(j);
    g->n_ready -= j->at_gate.ready;
    g->n_aside -= j->at_gate.aside;
    j->at_gate.ready = j->at_gate.aside = false;
}
