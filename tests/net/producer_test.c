/* SPDX-License-Identifier: Apache-2.0 */
/* The librdkafka producer against librdkafka's own mock cluster: errors of brokers, sizes, partitions, dying handles.
 */
#include "tests/harness.h"

#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/logger.h"
#include "net/clients.h"
#include "net/loop.h"

enum { PRODUCE = 0 }; /* Kafka's api key */

struct rig {
    struct gw_env *env;
    struct gw_loop *loop;
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *cluster;
    struct gw_producer *p;
    struct gw_err err;
    struct gw_log_sink sink;
    struct gw_logger logger;
    unsigned troubles[GW_TROUBLES];
};

static void on_trouble(void *arg, enum gw_trouble what)
{
    ((struct rig *)arg)->troubles[what]++;
}

struct sent {
    struct gw_produce m;
    unsigned calls;
    enum gw_produce_code code;
    int32_t partition;
    int64_t offset;
    char error[400];
};

static void on_done(struct gw_produce *m, const struct gw_produce_result *r)
{
    struct sent *s = m->arg;

    s->calls++;
    s->code = r->code;
    s->partition = r->partition;
    s->offset = r->offset;
    snprintf(s->error, sizeof(s->error), "%s", r->error ? r->error : "");
}

static char logged[4096];

static void keep_log(struct gw_env *env, const char *line, size_t n)
{
    size_t have = strlen(logged);

    (void)env;
    snprintf(logged + have, sizeof(logged) - have, "%.*s", (int)n, line);
}

static void rig_open(struct rig *r, const struct gw_producer_option *more, unsigned n_more)
{
    struct gw_producer_option o[16];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];
    unsigned n = 0;

    memset(r, 0, sizeof(*r));
    r->env = gw_env_real_new();
    assert_int_equal(gw_loop_new(r->env, &r->loop, NULL), 0);
    gw_env_real_ops(r->env)->log_write = keep_log;
    logged[0] = '\0';
    r->sink = (struct gw_log_sink){.env = r->env, .level = GW_LOG_WARN};
    r->logger = (struct gw_logger){.sink = &r->sink};
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
    r->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    r->cluster = rd_kafka_mock_cluster_new(r->owner, 3);
    rd_kafka_mock_topic_create(r->cluster, "t", 7, 1);
    o[n++] = (struct gw_producer_option){"bootstrap.servers", rd_kafka_mock_cluster_bootstraps(r->cluster)};
    o[n++] = (struct gw_producer_option){"linger.ms", "0"};
    o[n++] = (struct gw_producer_option){"log_level", "0"};
    for (unsigned i = 0; i < n_more; i++)
        o[n++] = more[i];
    assert_int_equal(
        gw_producer_rdkafka_new(
            r->env, r->loop,
            &(struct gw_producer_conf){
                .options = o, .n_options = n, .logger = &r->logger, .trouble = on_trouble, .trouble_arg = r},
            &r->p, &r->err),
        0);
}

static void rig_close(struct rig *r)
{
    r->p->ops->free(r->p);
    rd_kafka_mock_cluster_destroy(r->cluster);
    rd_kafka_destroy(r->owner);
    gw_loop_free(r->loop);
    gw_env_real_free(r->env);
}

static void prepare(struct sent *s, const char *topic, const char *key, const char *value)
{
    memset(s, 0, sizeof(*s));
    s->m = (struct gw_produce){.topic = gw_slice_cstr(topic),
                               .key = gw_slice_cstr(key),
                               .has_key = key != NULL,
                               .value = gw_slice_cstr(value),
                               .partition = -1,
                               .done = on_done,
                               .arg = s};
}

static void produce(struct rig *r, struct sent *s, unsigned n)
{
    struct gw_produce *m[1000];

    for (unsigned i = 0; i < n; i++)
        m[i] = &s[i].m;
    r->p->ops->produce(r->p, m, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(s[i].calls, 0); /* never from inside */
}

static void turn_until(struct rig *r, struct sent *s, unsigned n)
{
    for (unsigned turns = 0; turns < 20000; turns++) {
        unsigned done = 0;

        for (unsigned i = 0; i < n; i++)
            done += s[i].calls;
        if (done == n)
            break;
        gw_loop_turn(r->loop, 1000000);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(s[i].calls, 1);
}

/** Messages that come back for retry, until one says `words`: librdkafka's threads may be slow. */
static void fail_until(struct rig *r, struct sent *s, const char *words)
{
    for (unsigned tries = 0; tries < 40; tries++) {
        prepare(s, "t", "k", "v");
        produce(r, s, 1);
        turn_until(r, s, 1);
        assert_int_equal(s->code, GW_PRODUCE_RETRY);
        if (strstr(s->error, words))
            return;
    }
    fail_msg("\"%s\" does not say \"%s\"", s->error, words);
}

/* Scenario: 600 messages in one call: two topics, every third with headers, some with an empty key.
 * Guarantees: each is answered once with its partition and offset. */
static void every_message_is_answered_once(void **state)
{
    static struct sent s[600];
    struct gw_header h = {GW_SLICE("tenant"), GW_SLICE("a")};
    struct rig r;

    (void)state;
    rig_open(&r, NULL, 0);
    for (unsigned i = 0; i < 600; i++) {
        prepare(&s[i], i % 2 ? "t" : "u", i % 5 ? "key" : i % 10 ? "" : NULL, "value");
        if (i % 3 == 0) {
            s[i].m.headers = &h;
            s[i].m.n_headers = 1;
        }
    }
    produce(&r, s, 600);
    turn_until(&r, s, 600);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(s[i].code, GW_PRODUCED);
        assert_true(s[i].offset >= 0);
    }
    rig_close(&r);
}

/* Scenario: keys by "fnv1a_random" and by "murmur2_random" to topics of 3, 7, 12 and 64 partitions.
 * Guarantees: the partitions that franz-go 1.21.5 chose for them with its SaramaCompatHasher over FNV-1a, and with its
 * (Java's) murmur2: both signs of the hash, an empty key, bytes that are no text. */
static void keys_go_where_sarama_and_java_send_them(void **state)
{
    static const int counts[4] = {3, 7, 12, 64};
    static const struct {
        const char *key;
        size_t n;
        int fnv[4], murmur[4];
    } cases[] = {
        {"", 0, {0, 2, 3, 59}, {0, 2, 9, 25}},
        {"a", 1, {0, 6, 0, 20}, {1, 5, 4, 60}},
        {"0123456789abcdef0123456789abcdef", 32, {1, 1, 7, 11}, {2, 5, 5, 41}},
        {"00000000000000000000000000000000", 32, {1, 1, 7, 59}, {1, 3, 1, 17}},
        {"ffffffffffffffffffffffffffffffff", 32, {0, 4, 3, 59}, {2, 2, 11, 63}},
        {"4bf92f3577b34da6a3ce929d0e0e4736", 32, {0, 5, 6, 46}, {2, 4, 2, 26}},
        {"\x00\xff\x10\x80", 4, {1, 5, 4, 16}, {0, 4, 6, 2}},
        {"tenant-17", 9, {0, 3, 0, 12}, {1, 5, 10, 6}},
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    static struct sent s[N];

    (void)state;
    for (unsigned java = 0; java < 2; java++) {
        struct gw_producer_option o = {"partitioner", java ? "murmur2_random" : "fnv1a_random"};
        struct rig r;

        rig_open(&r, &o, 1);
        for (unsigned k = 0; k < 4; k++) {
            char topic[16];

            snprintf(topic, sizeof(topic), "n%d", counts[k]);
            rd_kafka_mock_topic_create(r.cluster, topic, counts[k], 1);
            for (unsigned i = 0; i < N; i++) {
                prepare(&s[i], topic, "", "v");
                s[i].m.key = gw_slice_of(cases[i].key, cases[i].n);
            }
            produce(&r, s, N);
            turn_until(&r, s, N);
            for (unsigned i = 0; i < N; i++)
                if (s[i].partition != (java ? cases[i].murmur : cases[i].fnv)[k])
                    fail_msg("%s: key %u of %d: partition %d", o.value, i, counts[k], s[i].partition);
        }
        rig_close(&r);
    }
}

/* Scenario: brokers answer with a stack of temporary errors; then with one that is for good; then: too large.
 * Guarantees: the temporary ones are not seen; the others become PERMANENT and TOO_LARGE. */
static void broker_errors_are_told_apart(void **state)
{
    struct sent s;
    struct rig r;
    struct gw_producer_option o[] = {{"enable.idempotence", "true"}, {"retry.backoff.ms", "20"}};

    (void)state;
    rig_open(&r, o, 2);
    rd_kafka_mock_push_request_errors(r.cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR__TRANSPORT,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    prepare(&s, "t", "k", "v");
    produce(&r, &s, 1);
    turn_until(&r, &s, 1);
    assert_int_equal(s.code, GW_PRODUCED);

    rd_kafka_mock_push_request_errors(r.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    prepare(&s, "t", "k", "v");
    produce(&r, &s, 1);
    turn_until(&r, &s, 1);
    if (s.code != GW_PRODUCE_TOO_LARGE)
        printf("%s\n", s.error);
    assert_int_equal(s.code, GW_PRODUCE_TOO_LARGE);

    rd_kafka_mock_push_request_errors(r.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    prepare(&s, "t", "k", "v");
    produce(&r, &s, 1);
    turn_until(&r, &s, 1);
    assert_int_equal(s.code, GW_PRODUCE_PERMANENT);
    assert_true(s.error[0]);
    rig_close(&r);
}

/* Scenario: a message over message.max.bytes, one for an impossible topic, and a good one, in one call.
 * Guarantees: TOO_LARGE and PERMANENT from our side of the wire; the good one passes. */
static void messages_that_librdkafka_refuses_are_answered_too(void **state)
{
    static char big[5000];
    struct sent s[3];
    struct rig r;
    struct gw_producer_option o = {"message.max.bytes", "2000"};

    (void)state;
    rig_open(&r, &o, 1);
    memset(big, 'x', sizeof(big) - 1);
    prepare(&s[0], "t", "k", big);
    prepare(&s[1], "", "k", "v");
    prepare(&s[2], "t", "k", "v");
    produce(&r, s, 3);
    turn_until(&r, s, 3);
    assert_int_equal(s[0].code, GW_PRODUCE_TOO_LARGE);
    assert_int_equal(s[1].code, GW_PRODUCE_PERMANENT);
    assert_int_equal(s[2].code, GW_PRODUCED);
    rig_close(&r);
}

/* Scenario: all brokers are down and message.timeout.ms is 300.
 * Guarantees: RETRY, not silence, with what is wrong and where instead of "timed out"; it is counted; with the brokers
 * back the next message passes. */
static void with_the_brokers_away_a_message_comes_back_for_retry(void **state)
{
    struct sent s;
    struct rig r;
    struct gw_producer_option o[] = {{"message.timeout.ms", "300"}, {"reconnect.backoff.max.ms", "100"}};

    (void)state;
    rig_open(&r, o, 2);
    for (int i = 1; i <= 3; i++)
        rd_kafka_mock_broker_set_down(r.cluster, i);
    fail_until(&r, &s, "127.0.0.1:");
    assert_true(r.troubles[GW_TROUBLE_CONNECTION] > 0);
    assert_int_equal(r.troubles[GW_TROUBLE_TLS] + r.troubles[GW_TROUBLE_AUTHENTICATION], 0);
    for (int i = 1; i <= 3; i++)
        rd_kafka_mock_broker_set_up(r.cluster, i);
    for (unsigned tries = 0; tries < 20; tries++) {
        prepare(&s, "t", "k", "v");
        produce(&r, &s, 1);
        turn_until(&r, &s, 1);
        if (s.code == GW_PRODUCED)
            break;
    }
    assert_int_equal(s.code, GW_PRODUCED);
    rig_close(&r);
}

/* Stands in for librdkafka's: when asked to, only once something is in the queue, as when its threads are faster. */
static bool errors_first;

void rd_kafka_queue_io_event_enable(rd_kafka_queue_t *q, int fd, const void *payload, size_t size)
{
    void (*real)(rd_kafka_queue_t *, int, const void *, size_t);

    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_queue_io_event_enable");
    for (unsigned i = 0; errors_first && i < 5000 && rd_kafka_queue_length(q) == 0; i++)
        (void)poll(NULL, 0, 1);
    if (errors_first)
        assert_true(rd_kafka_queue_length(q) > 0);
    real(q, fd, payload, size);
}

/* Scenario: a broker that does not speak TLS, asked for TLS; it says so before we have asked to be told of anything.
 * Guarantees: a trouble of that kind, and the message comes back with the broker's name and the handshake's error. */
static void a_failed_handshake_is_told(void **state)
{
    struct sent s;
    struct rig r;
    struct gw_producer_option o[] = {{"message.timeout.ms", "300"}, {"security.protocol", "ssl"}};

    (void)state;
    errors_first = true;
    rig_open(&r, o, 2);
    errors_first = false;
    fail_until(&r, &s, "SSL_HANDSHAKE");
    assert_non_null(strstr(s.error, "ssl://127.0.0.1:"));
    assert_true(r.troubles[GW_TROUBLE_TLS] > 0);
    rig_close(&r);
}

/* Scenario: librdkafka's queue holds 10 messages and 300 are produced.
 * Guarantees: nothing is refused: the rest waits for room, and all arrive. */
static void a_full_queue_makes_the_rest_wait(void **state)
{
    static struct sent s[300];
    struct rig r;
    struct gw_producer_option o[] = {{"queue.buffering.max.messages", "10"}};

    (void)state;
    rig_open(&r, o, 1);
    for (unsigned i = 0; i < 300; i++)
        prepare(&s[i], "t", "k", "v");
    produce(&r, s, 300);
    turn_until(&r, s, 300);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(s[i].code, GW_PRODUCED);
    rig_close(&r);
}

/* Scenario: the idempotent producer meets an error that is fatal for its handle while messages are open.
 * Guarantees: the handle is made again and every message is delivered by the next one; later ones too. */
static void a_fatal_error_costs_the_handle_not_the_messages(void **state)
{
    static struct sent s[20];
    struct rig r;
    struct gw_producer_option o[] = {{"enable.idempotence", "true"}};

    (void)state;
    rig_open(&r, o, 1);
    rd_kafka_mock_push_request_errors(r.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    for (unsigned i = 0; i < 20; i++)
        prepare(&s[i], "t", "k", "v");
    produce(&r, s, 10);
    turn_until(&r, s, 10);
    produce(&r, s + 10, 10);
    turn_until(&r, s, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(s[i].code, GW_PRODUCED);
    assert_non_null(strstr(logged, "made again after a fatal error"));
    rig_close(&r);
}

/* Scenario: purge while the brokers do not answer; flush afterwards with nothing open.
 * Guarantees: the open messages come back at once, to be tried again by whoever wants to. */
static void purge_gives_the_open_messages_back(void **state)
{
    struct sent s[5];
    struct rig r;

    (void)state;
    rig_open(&r, NULL, 0);
    for (int i = 1; i <= 3; i++)
        rd_kafka_mock_broker_set_rtt(r.cluster, i, 5000);
    for (unsigned i = 0; i < 5; i++)
        prepare(&s[i], "t", "k", "v");
    produce(&r, s, 5);
    gw_loop_turn(r.loop, 1000000);
    r.p->ops->purge(r.p);
    turn_until(&r, s, 5);
    assert_int_equal(s[0].code, GW_PRODUCE_RETRY);
    r.p->ops->flush(r.p, 1000000000);
    rig_close(&r);
}

/* Scenario: flush with open messages.
 * Guarantees: they are done when it returns, without a turn of the loop. */
static void flush_waits_for_what_is_open(void **state)
{
    struct sent s[5];
    struct rig r;
    struct gw_producer_option o = {"linger.ms", "60000"};

    (void)state;
    rig_open(&r, &o, 1);
    for (unsigned i = 0; i < 5; i++)
        prepare(&s[i], "t", "k", "v");
    produce(&r, s, 5);
    r.p->ops->flush(r.p, 10000000000);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(s[i].code, GW_PRODUCED);
    rig_close(&r);
}

/* Scenario: how many partitions has a topic? Asked until it is known; and an explicit partition is used.
 * Guarantees: first -EAGAIN, then 7; a message to partition 5 arrives in 5. */
static void partitions_are_looked_up_beside_the_loop(void **state)
{
    struct sent s;
    struct rig r;
    int n;

    (void)state;
    rig_open(&r, NULL, 0);
    assert_int_equal(r.p->ops->partitions(r.p, "t"), -EAGAIN);
    for (unsigned i = 0; i < 10000 && (n = r.p->ops->partitions(r.p, "t")) == -EAGAIN; i++)
        gw_loop_turn(r.loop, 1000000);
    assert_int_equal(n, 7);
    prepare(&s, "t", NULL, "v");
    s.m.partition = 5;
    produce(&r, &s, 1);
    turn_until(&r, &s, 1);
    assert_int_equal(s.partition, 5);
    rig_close(&r);
}

/* Scenario: an option that librdkafka does not know, and a value that it does not take.
 * Guarantees: no producer, and a sentence that names the option. */
static void unknown_options_are_refused_by_name(void **state)
{
    struct gw_producer_option o = {"compression.codec", "brotli"};
    struct gw_err err = {{0}};
    struct gw_producer *p;
    struct gw_env *env = gw_env_real_new();
    struct gw_loop *loop;

    (void)state;
    assert_int_equal(gw_loop_new(env, &loop, NULL), 0);
    assert_int_equal(
        gw_producer_rdkafka_new(env, loop, &(struct gw_producer_conf){.options = &o, .n_options = 1}, &p, &err),
        -EINVAL);
    assert_non_null(strstr(err.text, "compression.codec"));
    gw_loop_free(loop);
    gw_env_real_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_answered_once),
        cmocka_unit_test(keys_go_where_sarama_and_java_send_them),
        cmocka_unit_test(broker_errors_are_told_apart),
        cmocka_unit_test(messages_that_librdkafka_refuses_are_answered_too),
        cmocka_unit_test(with_the_brokers_away_a_message_comes_back_for_retry),
        cmocka_unit_test(a_failed_handshake_is_told),
        cmocka_unit_test(a_full_queue_makes_the_rest_wait),
        cmocka_unit_test(a_fatal_error_costs_the_handle_not_the_messages),
        cmocka_unit_test(purge_gives_the_open_messages_back),
        cmocka_unit_test(flush_waits_for_what_is_open),
        cmocka_unit_test(partitions_are_looked_up_beside_the_loop),
        cmocka_unit_test(unknown_options_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
