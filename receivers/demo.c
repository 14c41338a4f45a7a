/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: a small shop that sends traces, logs and metrics, so that there is something to see without an application.
 *
 *     receivers:
 *       demo: { traces_per_second: 2, error_percentage: 5 }
 *
 * Five services: frontend, cart, checkout, payment, inventory. Every order is one connected trace over all of them,
 * with a log record per service that names its span; every fifth second each service reports its metrics. The stream is
 * a function of `seed` and the clock, and goes through the same door as anybody's telemetry.
 */
#include <stdlib.h>

#include "core/buf.h"
#include "net/loop.h"
#include "pipeline/component.h"
#include "pipeline/intake.h"

enum { N_SERVICES = 5, N_BOUNDS = 8, MAX_BODY_BYTES = 1 << 20, TICK_NS = 100 * 1000 * 1000 };
#define METRICS_EVERY_NS UINT64_C(5000000000)
#define MS               UINT64_C(1000000)

struct conf {
    double traces_per_second, error_percentage;
    uint64_t seed;
};

struct stats { /* of one service, cumulative since the start */
    uint64_t requests, errors, buckets[N_BOUNDS + 1];
    double seconds;
};

struct self {
    struct conf conf;
    struct gw_ctx ctx;
};

/* One worker's shop; only the first worker has one. */
struct shop {
    struct gw_timer timer;
    struct self *self;
    struct gw_loop *loop;
    struct gw_intake *intake;
    struct gw_buf body;
    struct stats stats[N_SERVICES];
    uint64_t random, start_wall_ns, next_trace_ns, next_metrics_ns;
    uint32_t n_open; /* requests without a verdict */
    bool quiet;
};

static const struct gw_field fields[] = {
    GW_F64_FIELD(struct conf, traces_per_second, "traces_per_second", "2", 0.01, 1000,
                 "Orders a second; one order is one trace."),
    GW_F64_FIELD(struct conf, error_percentage, "error_percentage", "5", 0, 100, "Orders whose payment is declined."),
    GW_U64_FIELD(struct conf, seed, "seed", "0", 0, 0,
                 "The same seed makes the same shop; 0 takes a new one each start."),
    {0},
};

/* ---- the shop as tables ------------------------------------------------------------------------------------ */

static const char *const services[N_SERVICES] = {"frontend", "cart", "checkout", "payment", "inventory"};
static const double bounds_s[N_BOUNDS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};

enum { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3, STATUS_ERROR = 2, ROOT = -1, DECLINES = 7, N_STEPS = 10 };

struct step {
    uint8_t service, kind;
    int8_t parent;         /* index of the step that called it */
    uint8_t begin, length; /* in hundredths of the whole order */
    const char *name, *key, *value;
};
static const struct step steps[N_STEPS] = {
    {0, SPAN_SERVER, ROOT, 0, 100, "POST /checkout", "http.route", "/checkout"},
    {0, SPAN_CLIENT, 0, 2, 20, "GET", "url.full", "http://cart/items"},
    {1, SPAN_SERVER, 1, 4, 16, "GET /items", "http.route", "/items"},
    {1, SPAN_CLIENT, 2, 6, 10, "HGETALL", "db.system.name", "redis"},
    {0, SPAN_CLIENT, 0, 24, 72, "POST", "url.full", "http://checkout/orders"},
    {2, SPAN_SERVER, 4, 26, 68, "POST /orders", "http.route", "/orders"},
    {2, SPAN_CLIENT, 5, 30, 36, "POST", "url.full", "http://payment/charges"},
    {3, SPAN_SERVER, 6, 32, 32, "POST /charges", "http.route", "/charges"},
    {4, SPAN_SERVER, 5, 68, 20, "POST /reservations", "http.route", "/reservations"},
    {4, SPAN_CLIENT, 8, 72, 12, "UPDATE stock", "db.system.name", "postgresql"},
};

static uint64_t next_random(struct shop *s)
{
    uint64_t x = s->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return s->random = x;
}

/* 0 <= r < 1 */
static double fraction(struct shop *s)
{
    return (double)(next_random(s) >> 11) * 0x1p-53;
}

/* ---- protobuf, by hand: the messages are small and this is no hot path ------------------------------------------ */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 128));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_bytes(struct gw_buf *b, unsigned field, const void *p, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    gw_buf_put(b, p, n);
}

static void put_text(struct gw_buf *b, unsigned field, const char *s)
{
    put_bytes(b, field, s, strlen(s));
}

static void put_number(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_fixed64(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3 | 1);
    gw_buf_put(b, &v, sizeof(v));
}

static void put_double(struct gw_buf *b, unsigned field, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_fixed64(b, field, bits);
}

/* A nested message: begin gives the place of its contents, end puts the length in front of them. */
static size_t begin(struct gw_buf *b, unsigned field)
{
    put_varint(b, field << 3 | 2);
    return b->n;
}

static void end(struct gw_buf *b, size_t at)
{
    size_t n = b->n - at, width = 1;

    for (size_t v = n; v > 127; v >>= 7)
        width++;
    if (gw_buf_reserve(b, width) < 0)
        return;
    memmove(b->p + at + width, b->p + at, n);
    b->n = at;
    put_varint(b, n);
    b->n = at + width + n;
}

static void put_attr(struct gw_buf *b, unsigned field, const char *key, const char *value)
{
    size_t kv = begin(b, field), any;

    put_text(b, 1, key);
    any = begin(b, 2);
    put_text(b, 1, value);
    end(b, any);
    end(b, kv);
}

static void put_attr_int(struct gw_buf *b, unsigned field, const char *key, uint64_t value)
{
    size_t kv = begin(b, field), any;

    put_text(b, 1, key);
    any = begin(b, 2);
    put_number(b, 3, value);
    end(b, any);
    end(b, kv);
}

/* Opens ResourceX{resource} and ScopeX{scope}; both are closed by close_service. */
struct open_service {
    size_t resource, scope;
};

static struct open_service open_service(struct gw_buf *b, unsigned service)
{
    struct open_service o = {.resource = begin(b, 1)};
    size_t m = begin(b, 1);

    put_attr(b, 1, "service.name", services[service]);
    put_attr(b, 1, "service.namespace", "shop");
    put_attr(b, 1, "service.version", "1.4.0");
    end(b, m);
    o.scope = begin(b, 2);
    m = begin(b, 1);
    put_text(b, 1, "demo");
    end(b, m);
    return o;
}

static void close_service(struct gw_buf *b, struct open_service o)
{
    end(b, o.scope);
    end(b, o.resource);
}

/* ---- one order --------------------------------------------------------------------------------------------- */

struct order {
    uint8_t trace_id[16], span_id[N_STEPS][8];
    uint64_t begin_ns, length_ns, number;
    bool declined;
};

static bool failed(const struct order *o, unsigned step)
{
    int at = DECLINES;

    while (o->declined && at != ROOT) { /* a declined payment fails every caller up to the root */
        if ((unsigned)at == step)
            return true;
        at = steps[at].parent;
    }
    return false;
}

static struct order make_order(struct shop *s, uint64_t wall_ns)
{
    double x = fraction(s);
    struct order o = {.length_ns = (uint64_t)((40 + 160 * x + 800 * x * x * x * x * x) * (double)MS)};

    o.begin_ns = wall_ns - o.length_ns;
    o.number = 1000 + next_random(s) % 9000;
    o.declined = fraction(s) * 100 < s->self->conf.error_percentage;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t r = next_random(s) | 1;

        memcpy(o.trace_id + 8 * i, &r, 8);
    }
    for (unsigned i = 0; i < N_STEPS; i++) {
        uint64_t r = next_random(s) | 1;

        memcpy(o.span_id[i], &r, 8);
    }
    return o;
}

static uint64_t step_begin_ns(const struct order *o, unsigned step)
{
    return o->begin_ns + o->length_ns * steps[step].begin / 100;
}

static uint64_t step_end_ns(const struct order *o, unsigned step)
{
    return step_begin_ns(o, step) + o->length_ns * steps[step].length / 100;
}

static void put_exception(struct gw_buf *b, uint64_t time_ns)
{
    size_t m = begin(b, 11);

    put_fixed64(b, 1, time_ns);
    put_text(b, 2, "exception");
    put_attr(b, 3, "exception.type", "CardDeclined");
    put_attr(b, 3, "exception.message", "the bank said no");
    end(b, m);
}

static void put_span(struct gw_buf *b, const struct order *o, unsigned i)
{
    const struct step *st = &steps[i];
    size_t span = begin(b, 2), m;

    put_bytes(b, 1, o->trace_id, 16);
    put_bytes(b, 2, o->span_id[i], 8);
    if (st->parent != ROOT)
        put_bytes(b, 4, o->span_id[st->parent], 8);
    put_text(b, 5, st->name);
    put_number(b, 6, st->kind);
    put_fixed64(b, 7, step_begin_ns(o, i));
    put_fixed64(b, 8, step_end_ns(o, i));
    put_attr(b, 9, st->key, st->value);
    if (st->kind == SPAN_SERVER)
        put_attr_int(b, 9, "http.response.status_code", failed(o, i) ? 402 : 200);
    put_attr_int(b, 9, "order.id", o->number);
    if (i == DECLINES && o->declined)
        put_exception(b, step_end_ns(o, i));
    if (failed(o, i)) {
        m = begin(b, 15);
        put_text(b, 2, "card declined");
        put_number(b, 3, STATUS_ERROR);
        end(b, m);
    }
    end(b, span);
}

static void put_log(struct gw_buf *b, const struct order *o, unsigned i)
{
    bool bad = failed(o, i);
    size_t rec = begin(b, 2), m;
    char text[96];
    struct gw_buf line;

    gw_buf_init(&line, sizeof(text));
    put_fixed64(b, 1, step_end_ns(o, i));
    put_number(b, 2, bad ? 17 : 9);
    put_text(b, 3, bad ? "ERROR" : "INFO");
    gw_buf_printf(&line, "%s of order %llu %s", steps[i].name, (unsigned long long)o->number,
                  bad ? "failed: card declined" : "done");
    m = begin(b, 5);
    put_bytes(b, 1, line.p, line.n);
    end(b, m);
    put_attr_int(b, 6, "order.id", o->number);
    put_bytes(b, 9, o->trace_id, 16);
    put_bytes(b, 10, o->span_id[i], 8);
    put_fixed64(b, 11, step_end_ns(o, i));
    end(b, rec);
    gw_buf_clear(&line);
}

static void count_order(struct shop *s, const struct order *o)
{
    for (unsigned i = 0; i < N_STEPS; i++) {
        struct stats *st = &s->stats[steps[i].service];
        double seconds = (double)(step_end_ns(o, i) - step_begin_ns(o, i)) * 1e-9;
        unsigned k = 0;

        if (steps[i].kind != SPAN_SERVER)
            continue;
        while (k < N_BOUNDS && seconds > bounds_s[k])
            k++;
        st->buckets[k]++;
        st->seconds += seconds;
        st->requests++;
        st->errors += failed(o, i);
    }
}

/* ---- metrics ------------------------------------------------------------------------------------------------ */

static void put_duration(struct gw_buf *b, const struct shop *s, const struct stats *st, uint64_t wall_ns)
{
    size_t metric = begin(b, 2), hist, point;

    put_text(b, 1, "http.server.request.duration");
    put_text(b, 3, "s");
    hist = begin(b, 9);
    point = begin(b, 1);
    put_fixed64(b, 2, s->start_wall_ns);
    put_fixed64(b, 3, wall_ns);
    put_fixed64(b, 4, st->requests);
    put_double(b, 5, st->seconds);
    put_bytes(b, 6, st->buckets, sizeof(st->buckets)); /* packed fixed64: little-endian, as this machine */
    put_bytes(b, 7, bounds_s, sizeof(bounds_s));
    put_attr(b, 9, "http.request.method", "POST");
    end(b, point);
    put_number(b, 2, 2); /* cumulative */
    end(b, hist);
    end(b, metric);
}

static void put_counter(struct gw_buf *b, const struct shop *s, const char *name, uint64_t value, uint64_t wall_ns)
{
    size_t metric = begin(b, 2), sum, point;

    put_text(b, 1, name);
    put_text(b, 3, "{request}");
    sum = begin(b, 7);
    point = begin(b, 1);
    put_fixed64(b, 2, s->start_wall_ns);
    put_fixed64(b, 3, wall_ns);
    put_fixed64(b, 6, value);
    end(b, point);
    put_number(b, 2, 2);
    put_number(b, 3, 1); /* monotonic */
    end(b, sum);
    end(b, metric);
}

static void put_gauge(struct gw_buf *b, const char *name, const char *unit, double value, uint64_t wall_ns)
{
    size_t metric = begin(b, 2), gauge, point;

    put_text(b, 1, name);
    put_text(b, 3, unit);
    gauge = begin(b, 5);
    point = begin(b, 1);
    put_fixed64(b, 3, wall_ns);
    put_double(b, 4, value);
    end(b, point);
    end(b, gauge);
    end(b, metric);
}

/* ---- through the door ------------------------------------------------------------------------------------------ */

/* Refused by an overloaded gateway: a demo's telemetry is not kept for later. */
static void submit(struct shop *s, enum gw_signal signal)
{
    struct gw_hold hold = {0};
    struct gw_verdict refusal = {0};
    struct gw_request rq = {.hold = &hold, .encoding = GW_ENC_PROTO, .bytes = gw_buf_slice(&s->body)};

    if (s->body.failed || !(s->intake->signals & signal))
        return;
    if (s->intake->ops->admit(s->intake, &hold, signal, s->body.n, &refusal) < 0)
        return;
    s->n_open++;
    if (s->intake->ops->submit(s->intake, &rq, &refusal) < 0) {
        s->n_open--;
        s->intake->ops->release(s->intake, &hold);
    }
}

static void send_order(struct shop *s, uint64_t wall_ns)
{
    struct order o = make_order(s, wall_ns);
    struct open_service at;

    count_order(s, &o);
    gw_buf_reset(&s->body);
    for (unsigned v = 0; v < N_SERVICES; v++) {
        at = open_service(&s->body, v);
        for (unsigned i = 0; i < N_STEPS; i++)
            if (steps[i].service == v)
                put_span(&s->body, &o, i);
        close_service(&s->body, at);
    }
    submit(s, GW_TRACES);
    gw_buf_reset(&s->body);
    for (unsigned v = 0; v < N_SERVICES; v++) {
        at = open_service(&s->body, v);
        for (unsigned i = 0; i < N_STEPS; i++)
            if (steps[i].service == v && steps[i].kind == SPAN_SERVER)
                put_log(&s->body, &o, i);
        close_service(&s->body, at);
    }
    submit(s, GW_LOGS);
}

static void send_metrics(struct shop *s, uint64_t wall_ns)
{
    gw_buf_reset(&s->body);
    for (unsigned v = 0; v < N_SERVICES; v++) {
        struct open_service at = open_service(&s->body, v);

        put_duration(&s->body, s, &s->stats[v], wall_ns);
        put_counter(&s->body, s, "shop.requests", s->stats[v].requests, wall_ns);
        put_counter(&s->body, s, "shop.errors", s->stats[v].errors, wall_ns);
        put_gauge(&s->body, "process.memory.usage", "By", (64 + 32 * fraction(s)) * 0x1p20, wall_ns);
        close_service(&s->body, at);
    }
    submit(s, GW_METRICS);
}

static void on_tick(struct gw_timer *t)
{
    struct shop *s = (struct shop *)((char *)t - offsetof(struct shop, timer));
    uint64_t now = gw_loop_now_ns(s->loop), wall = gw_wall_ns(s->self->ctx.env);
    uint64_t period = (uint64_t)(1e9 / s->self->conf.traces_per_second);

    if (s->quiet)
        return;
    for (unsigned burst = 0; s->next_trace_ns <= now && burst < 1000; burst++) {
        send_order(s, wall);
        s->next_trace_ns += period;
    }
    if (s->next_metrics_ns <= now) {
        send_metrics(s, wall);
        s->next_metrics_ns = now + METRICS_EVERY_NS;
    }
    gw_timer_arm(s->loop, t, now + TICK_NS);
}

static void on_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct shop *s = local;

    (void)ack;
    (void)v;
    if (s) /* it may be closed already */
        s->n_open--;
}

/* ---- the component ------------------------------------------------------------------------------------------ */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *self = calloc(1, sizeof(*self));

    if (!self)
        return gw_fail(err, -ENOMEM, "demo: out of memory");
    self->conf = *(const struct conf *)conf;
    self->ctx = *ctx;
    *ret_self = self;
    return 0;
}

static int open_shop(void *me, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct self *self = me;
    struct shop *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "demo: out of memory");
    s->self = self;
    s->loop = loop;
    s->intake = intake;
    s->timer.fire = on_tick;
    gw_buf_init(&s->body, MAX_BODY_BYTES);
    intake->on_verdict = on_verdict;
    intake->local = s;
    *ret_local = s;
    if (intake->worker != 0)
        return 0; /* one shop a process */
    s->random = self->conf.seed ? self->conf.seed : gw_random_u64(self->ctx.env) | 1;
    s->start_wall_ns = gw_wall_ns(self->ctx.env);
    s->next_trace_ns = s->next_metrics_ns = gw_loop_now_ns(loop);
    gw_timer_arm(loop, &s->timer, gw_loop_now_ns(loop) + TICK_NS);
    return 0;
}

static void quiesce(void *local)
{
    struct shop *s = local;

    s->quiet = true;
    gw_timer_disarm(&s->timer);
}

static bool is_idle(void *local)
{
    return ((struct shop *)local)->n_open == 0;
}

static void close_shop(void *local)
{
    struct shop *s = local;

    gw_timer_disarm(&s->timer);
    gw_buf_clear(&s->body);
    free(s);
}

const struct gw_component gw_receiver_demo = {
    .kind = GW_RECEIVER,
    .name = "demo",
    .summary = "A small shop that sends traces, logs and metrics.",
    .signals = GW_ALL_SIGNALS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = free,
    .open = open_shop,
    .quiesce = quiesce,
    .is_idle = is_idle,
    .close = close_shop,
};
