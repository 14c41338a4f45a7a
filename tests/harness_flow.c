/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "net/loop.h"
#include "otlp-proto/decode.h"
#include "tests/harness.h"

/* ---- the exporter ----------------------------------------------------------------------------------------- */

struct conf {
    bool at_once;
    uint64_t fails;
};
static const struct gw_field no_fields[] = {
    GW_BOOL_FIELD(struct conf, at_once, "at_once", "false", "Answer OK inside of send."),
    GW_U64_FIELD(struct conf, fails, "fails", "0", 0, 1000, "With at_once: every so many-th fails for good."),
    {0},
};

static int create_sink(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    struct gw_test_sink *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->logger = ctx ? &ctx->logger : NULL;
    s->at_once = c && c->at_once;
    s->fails = c ? (unsigned)c->fails : 0;
    s->info.sent = GW_SENT_OK;
    *ret = s;
    return 0;
}

static int open_sink(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct gw_test_sink *s = self;

    (void)err;
    s->loop = loop;
    s->open = true;
    return 0;
}

static void send_sink(void *self, struct gw_attempt *a)
{
    struct gw_test_sink *s = self;

    if (s->n_sends++ == 0)
        gw_log(s->logger, GW_LOG_INFO, "first rows are here: %u", a->rows);
    assert_true(s->open && !s->closed);
    if (s->at_once && s->fails && s->n_sends % s->fails == 0) {
        a->done(a, &(struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "scripted"});
        return;
    }
    if (s->at_once) {
        a->done(a, &s->info);
        return;
    }
    assert_true(s->n_waiting < GW_TEST_WAITING);
    s->waiting[s->n_waiting++] = a;
    if (s->n_waiting > s->n_most)
        s->n_most = s->n_waiting;
}

bool gw_test_sink_answer_at(struct gw_test_sink *s, unsigned i, const struct gw_sent_info *info)
{
    struct gw_attempt *a;

    if (i >= s->n_waiting)
        return false;
    a = s->waiting[i];
    memmove(&s->waiting[i], &s->waiting[i + 1], (s->n_waiting - i - 1) * sizeof(s->waiting[0]));
    s->n_waiting--;
    a->done(a, info);
    return true;
}

bool gw_test_sink_answer(struct gw_test_sink *s, const struct gw_sent_info *info)
{
    return gw_test_sink_answer_at(s, 0, info);
}

static void cancel_sink(void *self, struct gw_attempt *a)
{
    struct gw_test_sink *s = self;
    const struct gw_sent_info info = {.sent = GW_SENT_PERMANENT,
                                      .reason = s->knows_why ? "sink" : "cancelled",
                                      .message = s->knows_why ? s->knows_why : "cancelled"};

    s->n_cancelled++;
    for (unsigned i = 0; i < s->n_waiting; i++)
        if (s->waiting[i] == a) {
            (void)gw_test_sink_answer_at(s, i, s->when_cancelled ? s->when_cancelled : &info);
            return;
        }
    fail_msg("an attempt that is not waiting was cancelled");
}

static void close_sink(void *self)
{
    ((struct gw_test_sink *)self)->closed = true;
}

static const struct gw_exporter_ops sink_ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5000000000u,
    .open = open_sink,
    .send = send_sink,
    .cancel = cancel_sink,
    .close = close_sink,
};
static const struct gw_exporter_ops parts_ops = {
    .merge = GW_MERGE_OTLP,
    .takes_parts = true,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5000000000u,
    .open = open_sink,
    .send = send_sink,
    .cancel = cancel_sink,
    .close = close_sink,
};
const struct gw_component gw_test_exporter = {
    .kind = GW_EXPORTER,
    .name = "scripted",
    .summary = "A puppet.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_sink,
    .destroy = free,
    .exporter = &sink_ops,
};
const struct gw_component gw_test_parts_exporter = {
    .kind = GW_EXPORTER,
    .name = "scripted",
    .summary = "A puppet.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_sink,
    .destroy = free,
    .exporter = &parts_ops,
};

static void hurry_sink(void *self, uint64_t pause_ns)
{
    assert_int_equal(pause_ns, 500000000);
    ((struct gw_test_sink *)self)->n_hurried++;
}

static const struct gw_exporter_ops trying_ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5000000000u,
    .own_tries = true,
    .open = open_sink,
    .send = send_sink,
    .cancel = cancel_sink,
    .hurry = hurry_sink,
    .close = close_sink,
};
const struct gw_component gw_test_trying_exporter = {
    .kind = GW_EXPORTER,
    .name = "trying",
    .summary = "A puppet.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_sink,
    .destroy = free,
    .exporter = &trying_ops,
};

static int encode_text(void *self, const struct gw_view *v, struct gw_buf *out)
{
    (void)self;
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1))
        gw_buf_printf(out, "%llu;", (unsigned long long)v->batch->time_ns[r]);
    return out->failed ? -ENOMEM : 0;
}

static const struct gw_exporter_ops text_ops = {
    .merge = GW_MERGE_CONCAT,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5000000000u,
    .encode = encode_text,
    .open = open_sink,
    .send = send_sink,
    .cancel = cancel_sink,
    .close = close_sink,
};
const struct gw_component gw_test_text_exporter = {
    .kind = GW_EXPORTER,
    .name = "text",
    .summary = "A puppet that writes text.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_sink,
    .destroy = free,
    .exporter = &text_ops,
};

/* ---- the receiver ----------------------------------------------------------------------------------------- */

static int create_source(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    *ret = calloc(1, sizeof(struct gw_test_source));
    return *ret ? 0 : -ENOMEM;
}

void gw_test_door_room(struct gw_test_door *d, unsigned verdicts)
{
    d->cap = verdicts;
    d->verdicts = realloc(d->verdicts, d->cap * sizeof(*d->verdicts));
    assert_non_null(d->verdicts);
}

static void on_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct gw_test_door *d = local;
    struct gw_test_verdict *r;

    if (!d) /* closed already */
        return;
    if (d->n_verdicts == d->cap)
        gw_test_door_room(d, d->cap ? 2 * d->cap : 64);
    r = &d->verdicts[d->n_verdicts++];
    r->ack = *ack;
    r->v = *v;
    (void)snprintf(r->message, sizeof(r->message), "%s", v->message);
    r->v.message = r->message;
    d->n_open--;
}

static int open_source(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct gw_test_source *s = self;
    struct gw_test_door *d = &s->doors[intake->worker];

    (void)loop;
    (void)err;
    d->intake = intake;
    intake->on_verdict = on_verdict;
    intake->local = d;
    intake->max_body_bytes = 64u << 20;
    *ret_local = d;
    return 0;
}

static void quiesce_source(void *local)
{
    ((struct gw_test_door *)local)->quiesced = true;
}

static bool is_idle_source(void *local)
{
    return ((struct gw_test_door *)local)->n_open == 0;
}

static void destroy_source(void *self)
{
    struct gw_test_source *s = self;

    for (unsigned i = 0; s && i < 8; i++)
        free(s->doors[i].verdicts);
    free(s);
}

const struct gw_component gw_test_receiver = {
    .kind = GW_RECEIVER,
    .name = "scripted",
    .summary = "A puppet.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_source,
    .destroy = destroy_source,
    .open = open_source,
    .quiesce = quiesce_source,
    .is_idle = is_idle_source,
};

int gw_test_send(struct gw_test_door *d, enum gw_signal s, struct gw_slice body, const struct gw_meta *meta,
                 uint32_t stream, struct gw_verdict *ret)
{
    struct gw_hold hold = {0};
    struct gw_request rq = {
        .hold = &hold,
        .encoding = GW_ENC_PROTO,
        .bytes = body,
        .meta = (struct gw_meta *)(uintptr_t)meta,
        .ack = {.stream = stream},
        .deadline_ns = d->deadline_ns,
    };
    int rc = d->intake->ops->admit(d->intake, &hold, s, body.n, ret);

    if (rc < 0)
        return rc;
    if (body.n >= 16384) { /* as a receiver does it: the body brings its own payload */
        rq.payload = gw_payload_new(body.n);
        assert_non_null(rq.payload);
        memcpy(rq.payload->p, body.p, body.n);
        rq.payload->n = (uint32_t)body.n;
        rq.bytes = gw_slice_of(rq.payload->p, body.n);
    }
    d->n_open++;
    rc = d->intake->ops->submit(d->intake, &rq, ret);
    if (rc < 0) {
        d->n_open--;
        d->intake->ops->release(d->intake, &hold);
        (void)gw_payload_unref(rq.payload);
    }
    return rc;
}

/* ---- the pump --------------------------------------------------------------------------------------------- */

struct pump_conf {
    uint64_t requests, rows;
    bool traces;
};
static const struct gw_field pump_fields[] = {
    GW_U64_FIELD(struct pump_conf, requests, "requests", "1000", 0, 0, "Of each worker."),
    GW_U64_FIELD(struct pump_conf, rows, "rows", "3", 0, 0, "Of each request."),
    GW_BOOL_FIELD(struct pump_conf, traces, "traces", "false", "Spans."),
    {0},
};

struct pump_local {
    struct gw_test_pump *pump;
    struct gw_intake *intake;
    struct gw_loop *loop;
    struct gw_timer timer;
    uint64_t n_sent;
    unsigned n_open;
    bool quiet;
};

static int create_pump(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct pump_conf *c = conf;
    struct gw_test_pump *p = calloc(1, sizeof(*p));

    (void)ctx;
    (void)err;
    p->requests = c->requests;
    p->rows = c->rows;
    p->signal = c->traces ? GW_TRACES : GW_LOGS;
    *ret = p;
    return 0;
}

static void pump_more(struct gw_timer *t)
{
    struct pump_local *l = (struct pump_local *)((char *)t - offsetof(struct pump_local, timer));

    while (!l->quiet && l->n_open < 16 && l->n_sent < l->pump->requests) {
        struct gw_hold hold = {0};
        struct gw_request rq = {.hold = &hold};
        struct gw_verdict v;
        struct gw_buf body;

        gw_buf_init(&body, 1u << 20);
        gw_test_request(&body, l->pump->signal, l->n_sent * l->pump->rows, (unsigned)l->pump->rows);
        rq.bytes = gw_buf_slice(&body);
        l->n_sent++;
        l->n_open++;
        if (l->intake->ops->admit(l->intake, &hold, l->pump->signal, body.n, &v) < 0 ||
            l->intake->ops->submit(l->intake, &rq, &v) < 0) {
            l->intake->ops->release(l->intake, &hold);
            l->n_open--;
            l->pump->n_refused++;
        }
        gw_buf_clear(&body);
    }
    if (!l->quiet && l->n_sent < l->pump->requests && l->n_open == 0)
        gw_timer_arm(l->loop, t, gw_loop_now_ns(l->loop) + 100000);
}

static void pump_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct pump_local *l = local;

    (void)ack;
    l->n_open--;
    l->pump->n_rows_rejected += v->rejected;
    if (v->grpc_status == 0) {
        l->pump->n_ok++;
        l->pump->n_rows_ok += v->rows - v->rejected;
    } else {
        l->pump->n_failed++;
    }
    gw_timer_arm(l->loop, &l->timer, 0);
}

static int open_pump(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct pump_local *l = calloc(1, sizeof(*l));

    (void)err;
    *l = (struct pump_local){.pump = self, .intake = intake, .loop = loop, .timer = {.fire = pump_more}};
    intake->on_verdict = pump_verdict;
    intake->local = l;
    gw_timer_arm(loop, &l->timer, 0);
    *ret_local = l;
    return 0;
}

static void quiesce_pump(void *local)
{
    ((struct pump_local *)local)->quiet = true;
}

static bool is_idle_pump(void *local)
{
    return ((struct pump_local *)local)->n_open == 0;
}

static void close_pump(void *local)
{
    struct pump_local *l = local;

    gw_timer_disarm(&l->timer);
    l->intake->on_verdict = NULL;
    free(l);
}

const struct gw_component gw_test_pump = {
    .kind = GW_RECEIVER,
    .name = "pump",
    .summary = "A receiver that sends by itself.",
    .signals = GW_ALL_SIGNALS,
    .fields = pump_fields,
    .conf_size = sizeof(struct pump_conf),
    .create = create_pump,
    .destroy = free,
    .open = open_pump,
    .quiesce = quiesce_pump,
    .is_idle = is_idle_pump,
    .close = close_pump,
};

/* ---- the processor ---------------------------------------------------------------------------------------- */

struct gw_test_keepers gw_test_keepers;

static int create_keeper(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    gw_test_keepers.n_made++;
    *ret = calloc(1, sizeof(unsigned));
    return *ret ? 0 : -ENOMEM;
}

static int tick_keeper(void *self, uint64_t now_ns, struct gw_ports *out)
{
    (void)self;
    (void)now_ns;
    (void)out;
    gw_test_keepers.n_ticked++;
    return GW_DONE;
}

static int drain_keeper(void *self, struct gw_ports *out)
{
    unsigned *n = self;

    (void)out;
    gw_test_keepers.n_drained++;
    return ++*n < 3 ? GW_MORE : GW_DONE;
}

static void destroy_keeper(void *self)
{
    gw_test_keepers.n_destroyed++;
    free(self);
}

const struct gw_component gw_test_keeper = {
    .kind = GW_PROCESSOR,
    .name = "keeper",
    .summary = "A puppet.",
    .signals = GW_ALL_SIGNALS,
    .fields = no_fields,
    .conf_size = sizeof(struct conf),
    .create = create_keeper,
    .destroy = destroy_keeper,
    .tick = tick_keeper,
    .drain = drain_keeper,
};
const struct gw_component *gw_test_own_components[GW_TEST_OWN];

const struct gw_component *const *gw_test_components(void)
{
    static const struct gw_component *all[128];
    unsigned n = 0;

    for (unsigned i = 0; i < GW_TEST_OWN && gw_test_own_components[i]; i++)
        all[n++] = gw_test_own_components[i];

    all[n++] = &gw_test_receiver;
    all[n++] = &gw_test_pump;
    all[n++] = &gw_test_keeper;
    all[n++] = &gw_test_exporter;
    all[n++] = &gw_test_text_exporter;
    for (const struct gw_component *const *c = gw_components; *c && n < 127; c++)
        all[n++] = *c;
    all[n] = NULL;
    return all;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 0x80));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_message(struct gw_buf *b, unsigned field, const struct gw_buf *inner)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, inner->n);
    gw_buf_put(b, inner->p, inner->n);
}

unsigned gw_test_spans_a_trace = 1;

static void put_span(struct gw_buf *row, uint64_t name)
{
    uint64_t trace = name / gw_test_spans_a_trace, id[2] = {trace + 1, ~trace}, span = name + 1;

    if (name < GW_TEST_NO_TRACE) {
        gw_buf_put(row, "\x0a\x10", 2); /* trace_id */
        gw_buf_put(row, id, 16);
    }
    gw_buf_put(row, "\x12\x08", 2); /* span_id */
    gw_buf_put(row, &span, 8);
    gw_buf_put(row, "\x2a\x01s", 3); /* name */
    put_varint(row, 7 << 3 | 1);     /* start_time_unix_nano */
    gw_buf_put(row, &name, 8);
    put_varint(row, 8 << 3 | 1);
    gw_buf_put(row, &name, 8);
}

void gw_test_request_of(struct gw_buf *b, enum gw_signal s, const uint64_t *names, unsigned n)
{
    struct gw_buf row, scope, resource;

    gw_buf_init(&row, 4096);
    gw_buf_init(&scope, 64u << 20);
    gw_buf_init(&resource, 64u << 20);
    for (unsigned i = 0; i < n; i++) {
        gw_buf_reset(&row);
        if (s == GW_TRACES) {
            put_span(&row, names[i]);
        } else {
            put_varint(&row, 1 << 3 | 1); /* time_unix_nano */
            gw_buf_put(&row, &names[i], 8);
        }
        put_message(&scope, 2, &row);
    }
    put_message(&resource, 2, &scope);
    put_message(b, 1, &resource);
    assert_false(b->failed || scope.failed || resource.failed);
    gw_buf_clear(&row);
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
}

void gw_test_request(struct gw_buf *b, enum gw_signal s, uint64_t first, unsigned n)
{
    uint64_t *names = calloc(n + 1, sizeof(*names));

    assert_non_null(names);
    for (unsigned i = 0; i < n; i++)
        names[i] = first + i;
    gw_test_request_of(b, s, names, n);
    free(names);
}

unsigned gw_test_names(enum gw_signal s, struct gw_slice body, uint64_t *ret, unsigned cap)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(s);
    struct gw_err err = {""};
    struct gw_ref at;
    unsigned n;

    assert_int_equal(gw_batch_append(b, body, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    n = b->n_rows;
    for (unsigned i = 0; i < n && i < cap; i++)
        ret[i] = b->time_ns[i];
    (void)gw_batch_unref(b);
    return n;
}
