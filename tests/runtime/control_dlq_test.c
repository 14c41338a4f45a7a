/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch dlq replay | purge` against a gateway that is turned by hand, over its control socket. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/control.h"
#include "runtime/control_client.h"
#include "runtime/dlq.h"
#include "tests/harness_engine.h"
#include "tests/runtime/letters.h"

#define MS 1000000ull
#define S  1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* `scripted` answers when a test says so, and until then the request has no verdict. */
static const char yaml[] =
    "extensions: { file_storage: { directory: %s } }\n"
    "receivers: { scripted: }\nprocessors: { validate: }\n"
    "exporters:\n"
    "  scripted: { sending_queue: { wait_for_result: true } }\n"
    "  scripted/traces: { sending_queue: { wait_for_result: true } }\n"
    "  scripted/small: { sending_queue: { queue_size: 1, wait_for_result: true } }\n"
    "  scripted/plain: { sending_queue: { wait_for_result: true }, ports: { dead_letter: [] } }\n"
    "service:\n  extensions: [file_storage]\n  pipelines:\n"
    "    logs/eu: { receivers: [scripted], exporters: [scripted] }\n"
    "    logs/small: { receivers: [scripted], exporters: [scripted/small] }\n"
    "    logs/plain: { receivers: [scripted], exporters: [scripted/plain] }\n"
    "    traces: { receivers: [scripted], processors: [validate], exporters: [scripted/traces] }\n";

static struct gw_test_engine t;
static struct gw_control *control;
static struct gw_log *log_;
static char dir[40], path[80];

static int open_sim(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    const struct gw_log_sim_conf sim = {
        .env = conf->env, .retention = {.until_settled = false}, .wake = conf->wake, .arg = conf->arg};

    (void)err;
    assert_int_equal(gw_log_sim_open(&sim, ret), 0);
    log_ = *ret;
    return 0;
}

static int setup(void **state)
{
    struct gw_control_conf conf = {.path = path, .commands = gw_control_commands};
    char text[2048];
    struct gw_err err;

    (void)state;
    strcpy(dir, "/tmp/gw-dlq-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/control.sock", dir);
    (void)snprintf(text, sizeof(text), yaml, dir);
    gw_test_engine_open_log = open_sim;
    gw_test_engine_open(&t, text, 1, false);
    conf.loop = t.loop;
    conf.engine = t.engine;
    conf.meter = t.meter;
    conf.service = t.service;
    assert_int_equal(gw_control_new(&conf, &control, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    char command[60];

    (void)state;
    gw_control_free(control);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_engine_open_log = NULL;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* ---- a client --------------------------------------------------------------------------------------------- */

static struct client {
    pthread_t thread;
    const char *command, *args;
    char said[16384];
    _Atomic bool is_over;
    int rc;
} client;

static void on_line(void *arg, int fd, struct gw_slice text)
{
    struct client *c = arg;
    size_t n = strlen(c->said);

    (void)snprintf(c->said + n, sizeof(c->said) - n, "%d %.*s\n", fd, (int)text.n, (const char *)text.p);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    const struct gw_control_request rq = {
        .path = path, .command = c->command, .args = gw_slice_cstr(c->args), .line = on_line, .arg = c};

    c->rc = gw_control_ask(&rq, NULL);
    atomic_store(&c->is_over, true);
    return NULL;
}

static void ask(const char *command, const char *args)
{
    memset(&client, 0, sizeof(client));
    client.command = command;
    client.args = args;
    assert_int_equal(pthread_create(&client.thread, NULL, client_main, &client), 0);
}

/* Turns until the client has its answer; what waits at a sink is answered unless `held`. Returns the exit code. */
static int wait_for_answer(struct gw_test_sink *answered)
{
    for (unsigned i = 0; i < 200000 && !atomic_load(&client.is_over); i++) {
        gw_test_engine_turn(&t, 1, MS);
        while (answered && gw_test_sink_answer(answered, &OK))
            ;
    }
    assert_true(atomic_load(&client.is_over));
    assert_int_equal(pthread_join(client.thread, NULL), 0);
    return client.rc;
}

static bool said(const char *what)
{
    if (strstr(client.said, what))
        return true;
    print_message("%s", client.said);
    return false;
}

/* ---- the store -------------------------------------------------------------------------------------------- */

static void put(const char *pipeline, enum gw_signal s, uint64_t first, unsigned rows, const struct gw_meta *meta)
{
    const struct gw_dead_letter d = {.class_ = "sink_rejected",
                                     .reason = "http_400",
                                     .component = "scripted",
                                     .pipeline = pipeline,
                                     .signal = s,
                                     .last_ns = gw_wall_ns(t.env),
                                     .meta = meta};

    put_rows(t.env, log_, d, first, rows);
}

static struct gw_log_consumer found;
static void find_consumer(void *arg, const struct gw_log_consumer *c)
{
    (void)arg;
    if (strcmp(c->name, GW_DLQ_CONSUMER) == 0)
        found = *c;
}

static uint64_t settled(unsigned outcome)
{
    assert_int_equal(gw_log_consumers(log_, find_consumer, NULL), 0);
    return found.settled[outcome];
}

static unsigned n_waiting(void)
{
    const struct gw_dlq_filter f = {0};
    struct gw_dlq_cursor *c;
    struct gw_dlq_letter l;
    unsigned n = 0;
    int rc;

    assert_int_equal(gw_dlq_open(log_, &f, &c), 0);
    while ((rc = gw_dlq_next(c, &l)) > 0)
        n += rc == 1;
    gw_dlq_close(c);
    return n;
}

/* ---- purge ------------------------------------------------------------------------------------------------ */

/*
 * Scenario    700 letters of one pipeline and one of another; the first are purged
 * Guarantees  exactly they are settled, as purged; the other one stays; the answer says how many
 */
static void purge_forgets_what_fits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 700; i++)
        put("logs/eu", GW_LOGS, i, 1, NULL);
    put("traces", GW_TRACES, 1, 1, NULL);
    ask("dlq-purge", "{\"pipeline\": \"logs/eu\"}");
    assert_int_equal(wait_for_answer(NULL), 0);
    assert_true(said("1 purged 700 letters"));
    assert_int_equal(settled(GW_DLQ_PURGED), 700);
    assert_int_equal(n_waiting(), 1);
}

/* Scenario: the log does not take the settlement. Guarantees: said, exit code 74, and the letters stay. */
static void a_purge_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    put("logs/eu", GW_LOGS, 1, 1, NULL);
    gw_log_sim_faults(log_)->fail_permille = 1000;
    ask("dlq-purge", "{}");
    assert_int_equal(wait_for_answer(NULL), 74);
    assert_true(said("2 error: the store: Input/output error"));
    gw_log_sim_faults(log_)->fail_permille = 0;
    assert_int_equal(n_waiting(), 1);
}

/* ---- replay ----------------------------------------------------------------------------------------------- */

/*
 * Scenario    letters of two pipelines are replayed; the sinks answer
 * Guarantees  the rows reach the sinks of their pipelines, unchanged, with their tenant; a letter is settled when its
 *             rows were delivered and not before
 */
static void rows_go_back_where_they_came_from(void **state)
{
    static const struct gw_meta acme = {.tenant = GW_SLICE("acme")};
    struct gw_test_sink *logs = gw_test_engine_sink(&t, "scripted"),
                        *traces = gw_test_engine_sink(&t, "scripted/traces");
    uint64_t names[4];

    (void)state;
    put("logs/eu", GW_LOGS, 10, 3, &acme);
    put("traces", GW_TRACES, 20, 1, NULL);
    ask("dlq-replay", "{}");
    for (unsigned i = 0; i < 20000 && !(logs->n_waiting && traces->n_waiting); i++)
        gw_test_engine_turn(&t, 1, MS);
    assert_int_equal(logs->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, logs->waiting[0]->body, names, 4), 3);
    assert_int_equal(names[0], 10);
    assert_true(gw_slice_is(logs->waiting[0]->meta->tenant, "acme"));
    assert_int_equal(gw_test_names(GW_TRACES, traces->waiting[0]->body, names, 4), 1);
    assert_int_equal(names[0], 20);
    assert_int_equal(settled(GW_DLQ_REPLAYED), 0);
    gw_test_sink_answer(traces, &OK);
    assert_int_equal(wait_for_answer(logs), 0);
    assert_true(said("1 replayed 2 letters (4 rows, 0 of them rejected again); 0 were refused and stay"));
    assert_int_equal(settled(GW_DLQ_REPLAYED), 2);
    assert_int_equal(n_waiting(), 0);
}

/*
 * Scenario    a letter whose rows the sink refuses again, replayed five times; then once more
 * Guarantees  each time a new letter stands for the old one, with one id more in its chain; the sixth time it is
 * parked: not sent, said, and it stays
 */
static void a_chain_has_an_end(void **state)
{
    static const struct gw_sent_info never = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "never"};
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    const struct gw_dlq_filter f = {0};
    struct gw_dlq_cursor *c;
    struct gw_dlq_letter l;

    (void)state;
    put("logs/eu", GW_LOGS, 1, 1, NULL);
    for (unsigned n = 0; n < 5; n++) {
        ask("dlq-replay", "{}");
        for (unsigned i = 0; i < 20000 && !s->n_waiting; i++)
            gw_test_engine_turn(&t, 1, MS);
        gw_test_sink_answer(s, &never);
        assert_int_equal(wait_for_answer(NULL), 0);
        gw_test_engine_turn(&t, 5, MS);
        assert_int_equal(settled(GW_DLQ_REPLAYED), n + 1);
        assert_int_equal(gw_dlq_open(log_, &f, &c), 0);
        assert_int_equal(gw_dlq_next(c, &l), 1);
        assert_int_equal(gw_dlq_chain_length(l.chain), n + 1);
        assert_true(gw_slice_is(l.pipeline, "logs/eu"));
        assert_int_equal(gw_dlq_next(c, &l), 0);
        gw_dlq_close(c);
    }
    ask("dlq-replay", "{}");
    assert_int_equal(wait_for_answer(NULL), 0);
    assert_int_equal(s->n_waiting, 0);
    assert_true(said("1 1 are parked: they were replayed 5 times before"));
    assert_int_equal(n_waiting(), 1);
}

/*
 * Scenario    a letter of class partial beside another one; then with --class partial
 * Guarantees  it stays, and that is said: most of its rows would be in the sink twice; named, it is replayed
 */
static void what_the_sink_has_mostly_is_replayed_by_name_only(void **state)
{
    struct gw_dead_letter d = {.class_ = "partial",
                               .reason = "partial_success",
                               .component = "scripted",
                               .pipeline = "logs/eu",
                               .signal = GW_LOGS,
                               .last_ns = gw_wall_ns(t.env),
                               .rejected = 1};

    (void)state;
    put("logs/eu", GW_LOGS, 1, 1, NULL);
    put_rows(t.env, log_, d, 2, 3);
    ask("dlq-replay", "{}");
    assert_int_equal(wait_for_answer(gw_test_engine_sink(&t, "scripted")), 0);
    assert_true(said("1 1 stay, because the sink has most of their rows"));
    assert_int_equal(settled(GW_DLQ_REPLAYED), 1);
    ask("dlq-replay", "{\"class\": \"partial\"}");
    assert_int_equal(wait_for_answer(gw_test_engine_sink(&t, "scripted")), 0);
    assert_int_equal(settled(GW_DLQ_REPLAYED), 2);
}

/*
 * Scenario    letters of a pipeline that is gone, of none, of another signal than --to takes, of a request that could
 *             not be decoded
 * Guarantees  none is sent or settled, each is told why, and the exit code says that something is left; with --to the
 *             first two are replayed
 */
static void what_has_no_way_back_stays(void **state)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    const struct gw_dead_letter d = {
        .class_ = "decode", .reason = "malformed", .signal = GW_LOGS, .body = GW_SLICE("x")};

    (void)state;
    put("logs/gone", GW_LOGS, 1, 1, NULL);
    put(NULL, GW_LOGS, 2, 1, NULL);
    put_letter(t.env, log_, &d);
    ask("dlq-replay", "{}");
    assert_int_equal(wait_for_answer(s), 69);
    assert_true(said("no such pipeline; --to names another"));
    assert_true(said("it is not known which pipeline it came from"));
    assert_true(said("its body is no OTLP request"));
    assert_true(said("1 3 cannot be replayed: 2 without a pipeline that takes them, 1 without rows"));
    assert_int_equal(settled(GW_DLQ_REPLAYED), 0);
    put("traces", GW_TRACES, 3, 1, NULL);
    ask("dlq-replay", "{\"to\": \"logs/eu\"}");
    assert_int_equal(wait_for_answer(s), 69);
    assert_true(said("the pipeline takes another signal"));
    assert_true(said("1 replayed 2 letters (2 rows"));
    assert_int_equal(settled(GW_DLQ_REPLAYED), 2);
    assert_int_equal(n_waiting(), 2);
}

/*
 * Scenario    a letter whose rows are refused for good by an exporter without a dead letter port
 * Guarantees  it stays, the refusal and its reason are told, and so does the exit code
 */
static void what_is_refused_stays(void **state)
{
    static const struct gw_sent_info never = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "never this"};
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted/plain");

    (void)state;
    put("logs/plain", GW_LOGS, 1, 1, NULL);
    ask("dlq-replay", "{}");
    for (unsigned i = 0; i < 20000 && !s->n_waiting; i++)
        gw_test_engine_turn(&t, 1, MS);
    gw_test_sink_answer(s, &never);
    assert_int_equal(wait_for_answer(NULL), 69);
    assert_true(said("2 refused: never this"));
    assert_true(said("1 replayed 0 letters (0 rows, 0 of them rejected again); 1 were refused and stay"));
    assert_int_equal(settled(GW_DLQ_REPLAYED), 0);
    assert_int_equal(n_waiting(), 1);
}

/*
 * Scenario    two letters into a queue that has room for one request, whose sink takes its time
 * Guarantees  the second one comes again until there is room; both are replayed
 */
static void a_full_queue_makes_it_wait(void **state)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted/small");

    (void)state;
    put("logs/small", GW_LOGS, 1, 1, NULL);
    put("logs/small", GW_LOGS, 2, 1, NULL);
    ask("dlq-replay", "{}");
    for (unsigned i = 0; i < 20000 && !s->n_waiting; i++)
        gw_test_engine_turn(&t, 1, MS);
    gw_test_engine_turn(&t, 50, MS);
    assert_int_equal(settled(GW_DLQ_REPLAYED), 0);
    assert_int_equal(wait_for_answer(s), 0);
    assert_true(said("1 replayed 2 letters"));
}

/*
 * Scenario    20 letters with rate 10; limit 3; 60 letters with rate 60
 * Guarantees  no more go in a second, by the clock; a limit ends it
 */
static void a_rate_is_kept(void **state)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    uint64_t begin;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        put("logs/eu", GW_LOGS, i, 1, NULL);
    begin = t.te.now_ns;
    ask("dlq-replay", "{\"rate\": 10}");
    assert_int_equal(wait_for_answer(s), 0);
    assert_true(said("1 replayed 20 letters"));
    assert_true(t.te.now_ns - begin >= 19 * S / 10);
    for (unsigned i = 0; i < 5; i++)
        put("logs/eu", GW_LOGS, i, 1, NULL);
    ask("dlq-replay", "{\"limit\": 3}");
    assert_int_equal(wait_for_answer(s), 0);
    assert_true(said("1 replayed 3 letters"));
    assert_int_equal(n_waiting(), 2);
    for (unsigned i = 0; i < 58; i++)
        put("logs/eu", GW_LOGS, i, 1, NULL);
    begin = t.te.now_ns;
    ask("dlq-replay", "{\"rate\": 60}");
    assert_int_equal(wait_for_answer(s), 0);
    assert_true(said("1 replayed 60 letters"));
    assert_true(t.te.now_ns - begin >= 54 * S / 60);
}

/*
 * Scenario    a second replay while the first one waits for its sink; then the store cannot be written when the rows
 *             have been delivered
 * Guarantees  the second is refused (exit code 75); that the letter may be replayed again is said
 */
static void one_at_a_time(void **state)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    struct client second = {.command = "dlq-purge", .args = "{}"};

    (void)state;
    put("logs/eu", GW_LOGS, 1, 1, NULL);
    ask("dlq-replay", "{}");
    for (unsigned i = 0; i < 20000 && !s->n_waiting; i++)
        gw_test_engine_turn(&t, 1, MS);
    assert_int_equal(pthread_create(&second.thread, NULL, client_main, &second), 0);
    for (unsigned i = 0; i < 20000 && !atomic_load(&second.is_over); i++)
        gw_test_engine_turn(&t, 1, MS);
    assert_int_equal(pthread_join(second.thread, NULL), 0);
    assert_int_equal(second.rc, 75);
    assert_non_null(strstr(second.said, "another replay or purge is under way"));
    gw_log_sim_faults(log_)->fail_permille = 1000;
    assert_int_equal(wait_for_answer(s), 69);
    assert_true(said("may be replayed again: Input/output error"));
    gw_log_sim_faults(log_)->fail_permille = 0;
}

/* ---- recent ----------------------------------------------------------------------------------------------- */

/* A span that validate rejects, whose name is "bad" and a digit, and so many bytes more. */
static void send_bad_span(unsigned digit, unsigned more)
{
    struct gw_test_door *d = gw_test_engine_door(&t, "scripted", 0);
    struct gw_buf span, scope, body;
    struct gw_verdict v;

    gw_buf_init(&span, 1 << 16);
    gw_buf_init(&scope, 1 << 16);
    gw_buf_init(&body, 1 << 16);
    gw_buf_put_str(&span, "\x0a\x04\x01\x02\x03\x04\x2a"); /* trace_id: 4 bytes; name */
    gw_buf_put_u8(&span, (uint8_t)((4 + more) & 0x7f) | 0x80);
    gw_buf_put_u8(&span, (uint8_t)((4 + more) >> 7));
    gw_buf_printf(&span, "bad%u", digit);
    for (unsigned i = 0; i < more; i++)
        gw_buf_put_u8(&span, 'x');
    gw_buf_put_u8(&scope, 0x12); /* scope_spans { span } */
    gw_buf_put_u8(&scope, (uint8_t)(span.n & 0x7f) | 0x80);
    gw_buf_put_u8(&scope, (uint8_t)(span.n >> 7));
    gw_buf_put_slice(&scope, gw_buf_slice(&span));
    gw_buf_reset(&span);
    gw_buf_put_u8(&span, 0x12);
    gw_buf_put_u8(&span, (uint8_t)(scope.n & 0x7f) | 0x80);
    gw_buf_put_u8(&span, (uint8_t)(scope.n >> 7));
    gw_buf_put_slice(&span, gw_buf_slice(&scope));
    gw_buf_put_u8(&body, 0x0a);
    gw_buf_put_u8(&body, (uint8_t)(span.n & 0x7f) | 0x80);
    gw_buf_put_u8(&body, (uint8_t)(span.n >> 7));
    gw_buf_put_slice(&body, gw_buf_slice(&span));
    assert_int_equal(gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, 1, &v), 0);
    gw_test_engine_turn(&t, 2, 0);
    gw_buf_clear(&span);
    gw_buf_clear(&scope);
    gw_buf_clear(&body);
}

static unsigned times(const char *what)
{
    unsigned n = 0;

    for (const char *at = client.said; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/*
 * Scenario    nothing dropped; then ten spans that a rule rejects within a second, one a second later, and a long one
 * Guarantees  the first eight are kept, then one a second in place of the oldest; a long one is cut at 4 KiB and says
 * so; each reason has its component and pipeline beside it
 */
static void the_last_dropped_records_can_be_seen(void **state)
{
    (void)state;
    ask("dlq-recent", "{}");
    assert_int_equal(wait_for_answer(NULL), 0);
    assert_true(said("1 nothing was dropped since the start"));
    for (unsigned i = 0; i < 10; i++)
        send_bad_span(i, 0);
    ask("dlq-recent", "{}");
    assert_int_equal(wait_for_answer(NULL), 0);
    assert_true(said("1 component validate, pipeline traces, traces, reason trace_id:"));
    assert_int_equal(times("\"name\":\"bad"), 8);
    assert_true(said("bad7"));
    assert_int_equal(times("bad8"), 0);
    gw_test_engine_turn(&t, 2, S);
    gw_test_engine_turn(&t, 2, 0);
    send_bad_span(9, 0);
    gw_test_engine_turn(&t, 2, S);
    gw_test_engine_turn(&t, 2, 0);
    send_bad_span(5, 6000);
    ask("dlq-recent", "{}");
    assert_int_equal(wait_for_answer(NULL), 0);
    assert_int_equal(times("bad"), 8);
    assert_int_equal(times("bad0") + times("bad1"), 0);
    assert_true(said("bad9"));
    assert_true(said("(the first of 60"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(purge_forgets_what_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_purge_that_cannot_be_written_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_go_back_where_they_came_from, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chain_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_sink_has_mostly_is_replayed_by_name_only, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_no_way_back_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_makes_it_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rate_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_dropped_records_can_be_seen, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
