/* SPDX-License-Identifier: Apache-2.0 */
/* From one configuration to the next, with data under way: engines that are turned by hand, and one with threads. */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* One pipeline; %s: what the exporter has, and what the receiver has. */
static const char *one(const char *receiver, const char *exporter, const char *processors)
{
    static char text[8][1024];
    static unsigned at;
    char *p = text[at++ % 8];

    (void)snprintf(p, 1024,
                   "receivers: { scripted: { %s } }\nexporters: { scripted: { %s } }\n"
                   "processors: { keeper: , keeper/b: }\nservice:\n  pipelines:\n"
                   "    logs: { receivers: [scripted], processors: [%s], exporters: [scripted] }\n",
                   receiver, exporter, processors);
    return p;
}

static void reload(struct gw_test_engine *t, const char *yaml)
{
    struct gw_err err = {""};

    if (gw_test_engine_reload(t, yaml, &err) < 0)
        fail_msg("%s", err.text);
}

/* Until nothing of an earlier configuration is left. */
static void settle(struct gw_test_engine *t)
{
    for (unsigned i = 0; i < 50 && gw_engine_n_leaving(t->engine); i++)
        gw_test_engine_turn(t, 2, S / 50);
    assert_int_equal(gw_engine_n_leaving(t->engine), 0);
}

static uint64_t held(struct gw_test_engine *t)
{
    return gw_edge_counts(gw_engine_edge(t->engine, "scripted"), GW_LOGS).held;
}

/*
 * Scenario    a request is in the queue, another processor comes; then the same file with its keys in another order
 * Guarantees  receiver, exporter and what is in its queue are the same as before; counters go on; the configuration
 *             before is let go although its rows are still under way
 */
static void equal_instances_are_adopted_as_they_are(void **state)
{
    const struct gw_label l[] = {{"receiver", "scripted"}, {"transport", "internal"}};
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t, one("", "timeout: 6s, sending_queue: { queue_size: 7, num_consumers: 2 }", ""), 2, false);
    s = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 1);
    gw_test_engine_send(d, GW_LOGS, 1, 3, 1);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(held(&t), 3);
    reload(&t, one("", "timeout: 6s, sending_queue: { queue_size: 7, num_consumers: 2 }", "keeper"));
    assert_ptr_equal(gw_test_engine_sink(&t, "scripted"), s);
    assert_ptr_equal(gw_test_engine_door(&t, "scripted", 1), d);
    assert_false(d->quiesced);
    assert_int_equal(held(&t), 3);
    settle(&t);
    gw_test_engine_send(d, GW_LOGS, 10, 2, 2);
    reload(&t, one("", "sending_queue: { num_consumers: 2, queue_size: 7 }, timeout: 6s", "keeper"));
    assert_ptr_equal(gw_test_engine_sink(&t, "scripted"), s);
    settle(&t);
    assert_int_equal(s->n_waiting, 2);
    while (gw_test_sink_answer(s, &OK))
        gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_receiver_accepted_log_records", l, 2), 5);
    assert_int_equal(t.n_configurations, 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    requests wait for their sink's answer; the exporter's settings change; more requests come
 * Guarantees  the new exporter has those; the old one keeps what it had, answers whom it has to, and is then closed
 */
static void a_changed_exporter_takes_new_work_while_the_old_one_drains(void **state)
{
    const struct gw_label l = {"exporter", "scripted"};
    struct gw_test_engine t;
    struct gw_test_sink *old, *s;
    struct gw_test_door *d;
    uint64_t names[8];

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { wait_for_result: true }", ""), 1, false);
    old = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 2, 1);
    reload(&t, one("", "sending_queue: { wait_for_result: true, queue_size: 9 }", ""));
    s = gw_test_engine_sink(&t, "scripted");
    assert_ptr_not_equal(s, old);
    gw_test_engine_send(d, GW_LOGS, 20, 1, 2);
    gw_test_engine_turn(&t, 5, 0);
    assert_int_equal(old->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, old->waiting[0]->body, names, 8), 2);
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 8), 1);
    assert_int_equal(names[0], 20);
    gw_test_sink_answer(s, &OK);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].ack.stream, 2);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    assert_false(old->closed);
    gw_test_sink_answer(old, &OK);
    settle(&t);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(d->verdicts[1].v.grpc_status, 0);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_exporter_sent_log_records", &l, 1), 3);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a receiver with a request under way is changed; its client sends one more through the old door
 * Guarantees  the old one is told to stop, is heard as long as it has something, and is gone when it is idle; both
 *             its requests go the old way; the new one takes requests at once
 */
static void a_changed_receiver_ends_what_it_has_begun(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_test_door *old, *d;

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { wait_for_result: true }", ""), 1, false);
    s = gw_test_engine_sink(&t, "scripted");
    old = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(old, GW_LOGS, 1, 1, 1);
    gw_test_keepers = (struct gw_test_keepers){0};
    reload(&t, one("at_once: true", "sending_queue: { wait_for_result: true }", "keeper"));
    d = gw_test_engine_door(&t, "scripted", 0);
    assert_ptr_not_equal(d, old);
    assert_true(old->quiesced);
    gw_test_engine_send(old, GW_LOGS, 2, 1, 2);
    gw_test_engine_send(d, GW_LOGS, 3, 1, 3);
    gw_test_engine_turn(&t, 4, S / 10);
    assert_int_equal(s->n_waiting, 3);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    for (unsigned i = 0; i < 2; i++)
        gw_test_sink_answer(s, &OK);
    gw_engine_turn(t.engine);
    assert_int_equal(d->n_verdicts + (s->n_waiting == 1), 1);
    settle(&t); /* the old door is free now */
    gw_test_sink_answer(s, &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].ack.stream, 3);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a receiver is changed whose only client has gone without waiting for its answer
 * Guarantees  it stays until the verdict is there, although it is idle: the verdict finds it
 */
static void a_receiver_stays_until_its_last_verdict(void **state)
{
    const struct gw_label l[] = {{"receiver", "scripted"}, {"transport", "internal"}};
    struct gw_test_engine t;
    struct gw_test_door *old;

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { wait_for_result: true }", ""), 1, false);
    old = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(old, GW_LOGS, 1, 3, 1);
    old->n_open = 0;
    reload(&t, one("at_once: true", "sending_queue: { wait_for_result: true }", ""));
    for (unsigned i = 0; i < 5; i++)
        gw_test_engine_turn(&t, 2, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    old->n_open = 1;
    settle(&t);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_receiver_accepted_log_records", l, 2), 3);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* A request whose head is here and whose body is not. */
struct half {
    struct gw_hold hold;
    struct gw_test_door *door;
};

static void send_head(struct half *h, struct gw_test_door *d)
{
    struct gw_verdict v;

    *h = (struct half){.door = d};
    assert_int_equal(d->intake->ops->admit(d->intake, &h->hold, GW_LOGS, 100, &v), 0);
}

static int send_rest(struct half *h, struct gw_verdict *v)
{
    struct gw_request rq = {.hold = &h->hold, .encoding = GW_ENC_PROTO};
    struct gw_buf body;
    int rc;

    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, 7, 1);
    rq.bytes = gw_buf_slice(&body);
    rc = h->door->intake->ops->submit(h->door->intake, &rq, v);
    if (rc == 0)
        h->door->n_open++;
    else
        h->door->intake->ops->release(h->door->intake, &h->hold);
    gw_buf_clear(&body);
    return rc;
}

/*
 * Scenario    three requests have come half when the exporter is replaced; one is given up, one comes whole while the
 *             new queue has room, one when it has none any more
 * Guarantees  both that come whole go to the new exporter, none is refused; the places that they had in the old queue
 *             are given back, and only then does the old configuration go
 */
static void a_request_that_came_half_keeps_its_place(void **state)
{
    struct half half[3];
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_test_door *d;
    struct gw_edge *old;
    struct gw_verdict v;

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { queue_size: 3 }", ""), 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    old = gw_engine_edge(t.engine, "scripted");
    for (unsigned i = 0; i < 3; i++)
        send_head(&half[i], d);
    assert_int_equal(gw_edge_excess(old, GW_LOGS, 1), 1);
    reload(&t, one("", "sending_queue: { queue_size: 1 }", ""));
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    assert_int_equal(send_rest(&half[0], &v), 0);
    assert_int_equal(gw_edge_excess(old, GW_LOGS, 1), 0);
    assert_int_equal(send_rest(&half[1], &v), 0);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    d->intake->ops->release(d->intake, &half[2].hold);
    settle(&t);
    s = gw_test_engine_sink(&t, "scripted");
    while (gw_test_sink_answer(s, &OK))
        gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS).delivered, 2);
    assert_int_equal(gw_edge_excess(gw_engine_edge(t.engine, "scripted"), GW_LOGS, 1), 0);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a pipeline with a backlog is removed, while a request has come half; its exporter is named no more
 * Guarantees  the backlog is delivered; the half request and new ones are told that there is no such pipeline (12):
 *             not one row is taken and dropped
 */
static void a_removed_pipeline_delivers_its_backlog(void **state)
{
    static const char two[] = "receivers: { scripted: }\nexporters: { scripted: , scripted/b: }\n"
                              "service:\n  pipelines:\n    traces: { receivers: [scripted], exporters: [scripted/b] }\n"
                              "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                      rest[] =
                          "receivers: { scripted: }\nexporters: { scripted/b: }\n"
                          "service:\n  pipelines:\n    traces: { receivers: [scripted], exporters: [scripted/b] }\n";
    struct gw_test_engine t;
    struct gw_test_sink *old;
    struct gw_test_door *d;
    struct gw_verdict v;
    struct half half;

    (void)state;
    gw_test_engine_open(&t, two, 1, false);
    old = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 5, 1);
    gw_test_engine_turn(&t, 3, 0);
    send_head(&half, d);
    reload(&t, rest);
    assert_null(gw_engine_edge(t.engine, "scripted"));
    assert_int_equal(send_rest(&half, &v), -ENOTSUP);
    assert_int_equal(v.grpc_status, 12);
    assert_int_equal(d->intake->ops->admit(d->intake, &half.hold, GW_LOGS, 1, &v), -ENOTSUP);
    gw_test_engine_send(d, GW_TRACES, 1, 2, 2);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    assert_int_equal(old->n_waiting, 1);
    gw_test_sink_answer(old, &OK);
    settle(&t);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/b"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    requests are parked before a full queue (block_on_overflow) whose sink is down; the exporter is replaced
 * Guarantees  they go to the new one at once
 */
static void parked_requests_take_the_new_way(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *old, *s;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { queue_size: 1, num_consumers: 1, block_on_overflow: true }", ""),
                        1, false);
    old = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    for (unsigned i = 0; i < 3; i++) {
        gw_test_engine_send(d, GW_LOGS, i, 1, i);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(d->n_verdicts, 1);
    reload(&t, one("", "sending_queue: { queue_size: 10, block_on_overflow: true }", ""));
    s = gw_test_engine_sink(&t, "scripted");
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(d->n_verdicts, 3);
    assert_int_equal(s->n_waiting, 2);
    while (gw_test_sink_answer(s, &OK))
        gw_test_engine_turn(&t, 2, 0);
    gw_test_sink_answer(old, &OK);
    settle(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a processor that holds is replaced by another one
 * Guarantees  the old ones are ticked and drained until they have nothing more, then destroyed; the new ones stay
 */
static void processors_that_leave_are_drained(void **state)
{
    struct gw_test_engine t;

    (void)state;
    gw_test_keepers = (struct gw_test_keepers){0};
    gw_test_engine_open(&t, one("", "", "keeper"), 2, false);
    gw_test_engine_turn(&t, 2, S / 5);
    assert_int_equal(gw_test_keepers.n_made, 2);
    reload(&t, one("", "", "keeper/b"));
    assert_int_equal(gw_test_keepers.n_made, 4);
    settle(&t);
    assert_int_equal(gw_test_keepers.n_drained, 6);
    assert_int_equal(gw_test_keepers.n_destroyed, 2);
    gw_test_keepers.n_ticked = 0;
    gw_test_engine_turn(&t, 2, S / 5);
    gw_test_engine_turn(&t, 2, S / 5);
    assert_true(gw_test_keepers.n_ticked >= 2);
    assert_int_equal(gw_test_engine_close(&t), 0);
    assert_int_equal(gw_test_keepers.n_destroyed, 4);
}

static int taken_port(unsigned *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t n = sizeof(a);

    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return s;
}

/*
 * Scenario    configurations that cannot be started: mistakes in the file; dead letters in a circle; the port of a
 *             receiver, of an extension is taken; an authenticator that is none is found when the workers open
 * Guarantees  each is refused with a reason; the exporter, its queue and the receiver are those from before, requests
 *             pass; nothing of what was begun is left
 */
static void a_configuration_that_cannot_start_changes_nothing(void **state)
{
    static const char *const bad[][2] = {
        {"receivers: { scripted: }\nexporters: { scripted: { timeot: 1s } }\nservice: { pipelines: { logs: { "
         "receivers: "
         "[scripted], exporters: [scripted] } } }\n",
         "mistakes"},
        {"receivers: { scripted: }\nexporters: { scripted: { ports: { dead_letter: [scripted/b] } }, scripted/b: { "
         "ports: { dead_letter: [scripted] } } }\n"
         "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n",
         "would come back"},
        {"receivers: { scripted: { at_once: true }, otlp: { protocols: { http: { endpoint: 127.0.0.1:%u } } } }\n"
         "exporters: { scripted: { timeout: 3s } }\n"
         "service: { pipelines: { logs: { receivers: [otlp, scripted], exporters: [scripted] } } }\n",
         "127.0.0.1"},
        {"receivers: { scripted: }\nexporters: { scripted: { timeout: 3s } }\nextensions: { health_check: { endpoint: "
         "127.0.0.1:%u } }\n"
         "service: { extensions: [health_check], pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } "
         "}\n",
         "127.0.0.1"},
        {"receivers: { scripted: , otlp: { protocols: { http: { endpoint: 127.0.0.1:0, auth: { authenticator: "
         "health_check } } } } }\n"
         "exporters: { scripted: { timeout: 3s } }\nextensions: { health_check: { endpoint: 127.0.0.1:0 } }\n"
         "service: { extensions: [health_check], pipelines: { logs: { receivers: [scripted, otlp], exporters: "
         "[scripted] } } }\n",
         "authenticator"},
    };
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_test_door *d;
    char yaml[1024];
    unsigned port;
    int taken = taken_port(&port);

    (void)state;
    gw_test_engine_open(&t, one("", "", ""), 2, false);
    s = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 1, 1);
    gw_test_engine_turn(&t, 3, 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gw_err err = {""};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(yaml, sizeof(yaml), bad[i][0], port);
#pragma GCC diagnostic pop
        assert_true(gw_test_engine_reload(&t, yaml, &err) < 0);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("%u: %s", i, err.text);
        assert_ptr_equal(gw_test_engine_sink(&t, "scripted"), s);
        assert_ptr_equal(gw_test_engine_door(&t, "scripted", 0), d);
        gw_test_engine_send(d, GW_LOGS, 10 + i, 1, i);
        settle(&t);
        assert_int_equal(t.n_configurations, 0);
    }
    assert_int_equal(held(&t), 6);
    while (gw_test_sink_answer(s, &OK))
        gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
    close(taken);
}

/*
 * Scenario    the sink is down and the exporter is changed again and again
 * Guarantees  sixteen configurations may be leaving, the next reload is refused with a reason; when the sinks answer
 * all go, and a reload is taken again
 */
static void configurations_that_leave_are_limited(void **state)
{
    struct gw_test_sink *sinks[20];
    struct gw_test_engine t;
    struct gw_err err = {""};
    char exporter[64];
    unsigned n = 0;

    (void)state;
    gw_test_engine_open(&t, one("", "", ""), 1, false);
    for (;; n++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, n, 1, n);
        gw_test_engine_turn(&t, 3, 0);
        sinks[n] = gw_test_engine_sink(&t, "scripted");
        (void)snprintf(exporter, sizeof(exporter), "timeout: %us", 1000 + n);
        if (gw_test_engine_reload(&t, one("", exporter, ""), &err) < 0)
            break;
        assert_in_range(n, 0, 16);
    }
    assert_int_equal(n, 16);
    assert_int_equal(t.n_configurations, 16);
    assert_non_null(strstr(err.text, "still"));
    for (unsigned i = 0; i < n; i++)
        gw_test_sink_answer(sinks[i], &OK);
    settle(&t);
    assert_int_equal(t.n_configurations, 1);
    reload(&t, one("", "timeout: 2000s", ""));
    gw_test_sink_answer(sinks[n], &OK);
    settle(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    an exporter and the one that gets its dead letters are replaced while a row is under way that will not be
 *             taken
 * Guarantees  the dead letter reaches the old one, which is closed after the first
 */
static void a_dead_letter_exporter_leaves_after_those_that_use_it(void **state)
{
    static const struct gw_sent_info never = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "no"};
    static const char yaml[] = "receivers: { scripted: }\n"
                               "exporters: { scripted: { ports: { dead_letter: [scripted/b] } }, scripted/b: { %s } }\n"
                               "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n";
    struct gw_test_engine t;
    struct gw_test_sink *a, *b;
    char text[2][512];

    (void)state;
    (void)snprintf(text[0], sizeof(text[0]), yaml, "");
    (void)snprintf(text[1], sizeof(text[1]), yaml, "timeout: 4s");
    gw_test_engine_open(&t, text[0], 1, false);
    a = gw_test_engine_sink(&t, "scripted");
    b = gw_test_engine_sink(&t, "scripted/b");
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, 1, 1);
    gw_test_engine_turn(&t, 3, 0);
    reload(&t, text[1]);
    gw_test_engine_turn(&t, 3, S);
    assert_ptr_not_equal(gw_test_engine_sink(&t, "scripted"), a);
    assert_false(b->closed);
    gw_test_sink_answer(a, &never);
    gw_test_engine_turn(&t, 1, 0);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(b->n_waiting, 1);
    gw_test_sink_answer(b, &OK);
    settle(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    an exporter gets a second signal
 * Guarantees  it stays the same one, and counts the other signal, too
 */
static void an_adopted_exporter_learns_another_signal(void **state)
{
    const struct gw_label l = {"exporter", "scripted"};
    struct gw_test_engine t;
    struct gw_test_sink *s;

    (void)state;
    gw_test_engine_open(&t, one("", "", ""), 1, false);
    s = gw_test_engine_sink(&t, "scripted");
    reload(&t, "receivers: { scripted: { } }\nexporters: { scripted: { } }\nservice:\n  pipelines:\n"
               "    logs: { receivers: [scripted], exporters: [scripted] }\n"
               "    traces: { receivers: [scripted], exporters: [scripted] }\n");
    assert_ptr_equal(gw_test_engine_sink(&t, "scripted"), s);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 1, 4, 1);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(s, &OK);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_exporter_sent_spans", &l, 1), 4);
    settle(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    SIGTERM's way out while an earlier configuration still has rows and a request under way
 * Guarantees  all of both is drained, then stopped; a reload is refused meanwhile
 */
static void leaving_for_good_includes_what_was_leaving(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *old;
    struct gw_err err = {""};
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t, one("", "sending_queue: { wait_for_result: true }", "keeper"), 1, false);
    old = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 1, 1);
    gw_test_engine_turn(&t, 3, 0);
    reload(&t, one("at_once: true", "sending_queue: { wait_for_result: true, queue_size: 5 }", "keeper/b"));
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_test_engine_reload(&t, one("", "", ""), &err), -EBUSY);
    assert_false(gw_engine_is_quiet(t.engine));
    assert_false(gw_engine_is_drained(t.engine));
    gw_test_sink_answer(old, &OK);
    gw_test_engine_turn(&t, 5, S);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_true(gw_engine_is_drained(t.engine));
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* Sent by all exporters of that id so far. */
static uint64_t sent(struct gw_test_engine *t, const char *exporter)
{
    const struct gw_label l = {"exporter", exporter};

    return gw_test_engine_metric(t, "otelcol_exporter_sent_log_records", &l, 1);
}

enum { N_WORKERS = 3, N_REQUESTS = 4000, N_ROWS = 3, N_RELOADS = 60 };

/*
 * Scenario    three workers send without a pause while the configuration alternates: exporters with other settings,
 *             one more pipeline, a processor, batching
 * Guarantees  each request has one verdict, none is refused; every row that was taken is delivered, by whichever
 *             exporter; all configurations but the last are let go
 */
static unsigned reload_under_load(void)
{
    static const char yaml[] =
        "receivers: { pump: { requests: 4000, rows: 3 } }\n"
        "processors: { keeper: , batch: { timeout: %ums } }\n"
        "exporters:\n"
        "  scripted: { at_once: true, sending_queue: { queue_size: 100000 } }\n"
        "  scripted/b: { at_once: true, timeout: %us, sending_queue: { wait_for_result: true, queue_size: 100000 } }\n"
        "service:\n  pipelines:\n"
        "    logs: { receivers: [pump], processors: [%s], exporters: [scripted] }\n"
        "    logs/b: { receivers: [pump], exporters: [scripted/b] }\n";
    struct gw_test_engine t;
    struct gw_test_pump *p;
    unsigned n = 0;
    char text[1024];

    (void)snprintf(text, sizeof(text), yaml, 1u, 5u, "keeper");
    gw_test_engine_open(&t, text, N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    while (p->n_ok + p->n_refused + p->n_failed < (uint64_t)N_REQUESTS * N_WORKERS) {
        (void)snprintf(text, sizeof(text), yaml, 1 + n % 3, 5 + n % 2, n % 2 ? "keeper" : "batch");
        if (gw_engine_n_leaving(t.engine) < 8 && n < N_RELOADS) {
            reload(&t, text);
            n++;
        }
        gw_loop_turn(t.loop, 1000000);
        gw_engine_tend(t.engine);
    }
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine))
        gw_loop_turn(t.loop, 5000000);
    assert_ptr_equal(gw_engine_instance(t.engine, GW_RECEIVER, "pump"), p);
    assert_int_equal(p->n_ok, (uint64_t)N_REQUESTS * N_WORKERS);
    assert_int_equal(p->n_rows_ok, (uint64_t)N_REQUESTS * N_WORKERS * N_ROWS);
    assert_int_equal(sent(&t, "scripted"), p->n_rows_ok);
    assert_int_equal(sent(&t, "scripted/b"), p->n_rows_ok);
    assert_int_equal(gw_test_engine_close(&t), 0);
    return n;
}

/* On a busy machine all may be sent before there was another configuration: then once more. */
static void nothing_is_lost_or_refused_while_workers_go_over(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (reload_under_load() <= 3)
        assert_true(++tries < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_instances_are_adopted_as_they_are),
        cmocka_unit_test(a_changed_exporter_takes_new_work_while_the_old_one_drains),
        cmocka_unit_test(a_changed_receiver_ends_what_it_has_begun),
        cmocka_unit_test(a_receiver_stays_until_its_last_verdict),
        cmocka_unit_test(a_request_that_came_half_keeps_its_place),
        cmocka_unit_test(a_removed_pipeline_delivers_its_backlog),
        cmocka_unit_test(parked_requests_take_the_new_way),
        cmocka_unit_test(processors_that_leave_are_drained),
        cmocka_unit_test(a_configuration_that_cannot_start_changes_nothing),
        cmocka_unit_test(configurations_that_leave_are_limited),
        cmocka_unit_test(a_dead_letter_exporter_leaves_after_those_that_use_it),
        cmocka_unit_test(an_adopted_exporter_learns_another_signal),
        cmocka_unit_test(leaving_for_good_includes_what_was_leaving),
        cmocka_unit_test(nothing_is_lost_or_refused_while_workers_go_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
