/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for the otlp receiver: settings as YAML, a loop whose clock stands, a door (intake) that keeps what comes in
 * and answers as told, raw byte clients over loopback. Included once per test program.
 */
#ifndef GW_TESTS_OTLP_RIG_H
#define GW_TESTS_OTLP_RIG_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/schema.h"
#include "config/yaml.h"
#include "net/loop.h"
#include "receivers/otlp/otlp.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

extern const struct gw_component gw_receiver_otlp;

enum how { AT_ONCE, LATER, REFUSE_ADMIT, REFUSE_GROW, REFUSE_SUBMIT };

struct rig {
    struct gw_test_env te;
    struct gw_loop *loop;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_log_sink sink;
    struct gw_otlp_conf conf;
    struct gw_ctx ctx;
    struct gw_meter *meter;
    struct gw_host host;
    struct gw_auth auth;
    bool not_ready;
    void *self, *local;

    /* The door. */
    struct gw_intake intake;
    enum how how;
    struct gw_verdict verdict; /* what is answered, or refused with */
    int open_holds;
    unsigned admits, submits;
    uint64_t admitted_bytes, grown_bytes;
    enum gw_signal signal;
    enum gw_encoding encoding;
    bool in_payload;
    struct gw_credit *budget; /* NULL: reservations are only written down */
    struct gw_buf body;
    struct gw_meta *meta;
    uint64_t deadline_ns;
    struct gw_ack ack; /* of the last one */
};

static struct rig *rig_of_intake(struct gw_intake *in)
{
    return (struct rig *)(void *)((char *)in - offsetof(struct rig, intake));
}

static const struct gw_verdict rig_full = {.grpc_status = GW_UNAVAILABLE, .message = "no memory"};

static int rig_admit(struct gw_intake *in, struct gw_hold *h, enum gw_signal s, uint64_t bytes, struct gw_verdict *ret)
{
    struct rig *r = rig_of_intake(in);

    assert_int_equal(h->bytes, 0);
    r->admits++;
    r->admitted_bytes = bytes;
    if (r->how == REFUSE_ADMIT) {
        *ret = r->verdict;
        return -EBUSY;
    }
    if (r->budget && !gw_credit_admit(r->budget, bytes)) {
        *ret = rig_full;
        return -EBUSY;
    }
    *h = (struct gw_hold){bytes, s, true, NULL};
    r->open_holds++;
    return 0;
}

static int rig_grow(struct gw_intake *in, struct gw_hold *h, uint64_t bytes, struct gw_verdict *ret)
{
    struct rig *r = rig_of_intake(in);

    assert_true(h->queued);
    r->grown_bytes = bytes;
    if (r->how == REFUSE_GROW) {
        *ret = r->verdict;
        return -EBUSY;
    }
    if (bytes <= h->bytes)
        return 0;
    if (r->budget && !gw_credit_take(r->budget, bytes - h->bytes)) {
        *ret = rig_full;
        return -EBUSY;
    }
    h->bytes = bytes;
    return 0;
}

static bool rig_ahead(struct gw_intake *in, struct gw_hold *h, uint64_t bytes)
{
    struct rig *r = rig_of_intake(in);

    assert_true(h->queued);
    if (bytes <= h->bytes)
        return true;
    if (r->budget && !gw_credit_admit(r->budget, bytes - h->bytes))
        return false;
    h->bytes = bytes;
    return true;
}

static void rig_release(struct gw_intake *in, struct gw_hold *h)
{
    if (rig_of_intake(in)->budget)
        gw_credit_give(rig_of_intake(in)->budget, h->bytes);
    if (h->queued)
        rig_of_intake(in)->open_holds--;
    *h = (struct gw_hold){0};
}

static int rig_submit(struct gw_intake *in, struct gw_request *rq, struct gw_verdict *ret)
{
    struct rig *r = rig_of_intake(in);

    r->submits++;
    if (r->how == REFUSE_SUBMIT) {
        *ret = r->verdict;
        return -EBADMSG;
    }
    assert_true(rq->hold->queued);
    assert_true(rq->hold->bytes >= rq->bytes.n || rq->payload == NULL);
    if (rq->payload) { /* the body lies inside, with room behind it */
        assert_true(rq->bytes.p >= rq->payload->p && rq->bytes.p + rq->bytes.n <= rq->payload->p + rq->payload->n);
        assert_true(rq->payload->n <= rq->payload->cap);
    }
    r->signal = rq->hold->signal;
    r->encoding = rq->encoding;
    r->in_payload = rq->payload != NULL;
    gw_buf_reset(&r->body);
    gw_buf_put_slice(&r->body, rq->bytes);
    (void)gw_meta_unref(r->meta);
    r->meta = gw_meta_ref(rq->meta);
    r->deadline_ns = rq->deadline_ns;
    r->ack = rq->ack;
    r->open_holds--;
    if (r->budget)
        gw_credit_give(r->budget, rq->hold->bytes);
    *rq->hold = (struct gw_hold){0};
    (void)gw_payload_unref(rq->payload);
    r->verdict.signal = r->signal;
    if (r->how != LATER)
        in->on_verdict(in->local, &rq->ack, &r->verdict);
    return 0;
}

static const struct gw_intake_ops rig_intake_ops = {
    .admit = rig_admit, .grow = rig_grow, .ahead = rig_ahead, .release = rig_release, .submit = rig_submit};

static int rig_find_auth(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err)
{
    struct rig *r = (struct rig *)(void *)((char *)h - offsetof(struct rig, host));

    if (!r->auth.ops || strcmp(id, "basicauth") != 0)
        return gw_fail(err, -ENOENT, "no extension \"%s\"", id);
    *ret = r->auth;
    return 0;
}

static bool rig_is_ready(struct gw_host *h)
{
    return !((struct rig *)(void *)((char *)h - offsetof(struct rig, host)))->not_ready;
}

static const struct gw_host_ops rig_host_ops = {.auth = rig_find_auth, .is_ready = rig_is_ready};

static int rig_load(struct rig *r, const char *yaml)
{
    const struct gw_node *n = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &r->arena, &r->diag);

    if (n && gw_schema_fill(gw_otlp_fields, sizeof(r->conf), n, &r->conf, &r->arena, &r->diag) == 0)
        gw_receiver_otlp.check(&r->conf, n, &r->diag);
    return r->diag.n_errors ? -EINVAL : 0;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){.verdict = {.message = ""}};
    gw_test_env_init(&r->te, 1);
    gw_arena_init(&r->arena, 4096, 1 << 20);
    gw_diag_init(&r->diag);
    gw_buf_init(&r->body, 256 << 20);
    r->sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_INFO};
    r->host.ops = &rig_host_ops;
}

static void rig_clear(struct rig *r)
{
    gw_buf_clear(&r->body);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
}

/* auth may be NULL. False: it did not start, nothing is left. */
static bool rig_try(struct rig *r, const char *yaml, const struct gw_auth *auth)
{
    struct gw_err err = {""};

    rig_init(r);
    if (auth)
        r->auth = *auth;
    if (rig_load(r, yaml) < 0) {
        struct gw_buf text;

        gw_buf_init(&text, 65536);
        gw_diag_write(&r->diag, &text);
        print_error("%.*s\n", (int)text.n, text.p);
        fail();
    }
    r->meter = gw_meter_new();
    r->ctx = (struct gw_ctx){.env = &r->te.env,
                             .meter = r->meter,
                             .id = "otlp",
                             .logger = {.sink = &r->sink, .kind = "receiver", .id = "otlp"},
                             .n_workers = 1,
                             .host = &r->host};
    assert_int_equal(gw_loop_new(&r->te.env, &r->loop, &err), 0);
    assert_int_equal(gw_receiver_otlp.create(&r->self, &r->ctx, &r->conf, &err), 0);
    if (gw_receiver_otlp.start(r->self, &err) < 0) {
        print_message("does not start: %s\n", err.text);
        gw_receiver_otlp.destroy(r->self);
        gw_loop_free(r->loop);
        gw_meter_free(r->meter);
        rig_clear(r);
        return false;
    }
    r->intake = (struct gw_intake){.ops = &rig_intake_ops, .signals = GW_ALL_SIGNALS, .id = "otlp"};
    assert_int_equal(gw_receiver_otlp.open(r->self, r->loop, &r->intake, &r->local, &err), 0);
    return true;
}

static void rig_open(struct rig *r, const char *yaml, const struct gw_auth *auth)
{
    assert_true(rig_try(r, yaml, auth));
}

static void rig_turn(struct rig *r, int turns)
{
    while (turns-- > 0)
        gw_loop_turn(r->loop, 1000000);
}

/* Requests so far that ended that way. */
__attribute__((unused)) static unsigned rig_requests(struct rig *r, bool grpc, enum gw_otlp_outcome outcome)
{
    struct gw_otlp *o = r->self;
    struct gw_metric *m = (grpc ? &o->grpc : &o->http)->requests[outcome];

    return (unsigned)atomic_load(&m->value);
}

static void rig_close(struct rig *r)
{
    gw_receiver_otlp.close(r->local);
    assert_int_equal(r->open_holds, 0); /* no reservation is left behind, whatever happened */
    gw_receiver_otlp.destroy(r->self);
    gw_loop_free(r->loop);
    gw_meter_free(r->meter);
    (void)gw_meta_unref(r->meta);
    rig_clear(r);
}

static unsigned rig_port(struct rig *r, bool grpc)
{
    struct gw_otlp *o = r->self;

    return gw_hs_group_port(grpc ? o->grpc.group : o->http.group);
}

static int rig_connect(struct rig *r, bool grpc)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)rig_port(r, grpc)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)),
                     0); /* turns are 1 ms, Nagle waits 40 */
    return fd;
}

/* All of it, while the gateway reads. */
static void rig_send(struct rig *r, int fd, struct gw_slice s)
{
    for (int idle = 0; s.n > 0 && idle < 2000;) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            return; /* cut off: the test looks at what came back */
        if (n > 0)
            s = gw_slice_of(s.p + n, s.n - (size_t)n);
        idle = n > 0 ? 0 : idle + 1;
        rig_turn(r, 1);
    }
}

#endif
