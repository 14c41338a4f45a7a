/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory is asked for per request, never per row. Counted by standing in for malloc, in two ways:
 *
 *   thread   every allocation on the test's thread, which turns the worker's loop and the exporter's: our code, and
 *            what it has curl, librdkafka, grpc core and the compressors do there
 *   ours     those of them that our code asks for itself: the caller lies in this program or in staunch-grpc.so
 *
 * Not counted are the libraries' own threads, and the server at the other end, whose threads are its own.
 * Both numbers have to be alike for few rows and for many. Over a socket the first may differ by a few, which have to
 * do with whether it could be written at once: curl and grpc core note down what they wait for.
 *
 * The sanitizers stand in for malloc themselves: under them the paths run, and nothing is counted.
 */
#include "tests/harness.h"

#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "batch/payload.h"
#include "net/clients.h"
#include "net/loop.h"
#include "tests/harness_engine.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define THREADS_WATCHED 1
#else
#define THREADS_WATCHED 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || THREADS_WATCHED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct counts {
    unsigned long thread, ours;
};
static _Thread_local struct counts counted;
static uintptr_t module_begin, module_end; /* staunch-grpc.so, once it is loaded */

#if !SANITIZED
extern void *__libc_malloc(size_t n), *__libc_calloc(size_t n, size_t m), *__libc_realloc(void *p, size_t n),
    *__libc_memalign(size_t a, size_t n);
extern const char __executable_start[], etext[];

static void count_one(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;

    counted.thread++;
    if ((at >= (uintptr_t)__executable_start && at < (uintptr_t)etext) || (at >= module_begin && at < module_end))
        counted.ours++;
}

void *malloc(size_t n)
{
    count_one(__builtin_return_address(0));
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t m)
{
    count_one(__builtin_return_address(0));
    return __libc_calloc(n, m);
}
void *realloc(void *p, size_t n)
{
    count_one(__builtin_return_address(0));
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t a, size_t n)
{
    count_one(__builtin_return_address(0));
    return __libc_memalign(a, n);
}
#endif

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    if (!strstr(info->dlpi_name, "staunch-grpc.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            module_begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            module_end = module_begin + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* ---- the other end ---------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/malloc_test.XXXXXX";

/* librdkafka brings a cluster of its own. */
static int mock_producer_new(struct gw_env *env, struct gw_loop *loop, const struct gw_producer_conf *conf,
                             struct gw_producer **ret, struct gw_err *err)
{
    struct gw_producer_option options[64];
    struct gw_producer_conf mine = *conf;

    assert_true(conf->n_options + 2 <= 64);
    memcpy(options, conf->options, conf->n_options * sizeof(options[0]));
    options[mine.n_options++] = (struct gw_producer_option){"test.mock.num.brokers", "1"};
    options[mine.n_options++] = (struct gw_producer_option){"log_level", "0"};
    mine.options = options;
    return gw_producer_rdkafka_new(env, loop, &mine, ret, err);
}

static void real_sinks(struct gw_env_ops *ops)
{
    ops->http_client_new = gw_http_client_curl_new;
    ops->producer_new = mock_producer_new;
    ops->rpc_client_new = gw_rpc_client_grpc_new;
}

/* A gateway that takes OTLP by both protocols and throws it away. */
static void open_server(struct gw_test_engine *t)
{
    char yaml[512];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { otlp: { protocols: { grpc: { transport: unix, endpoint: '%s/grpc' }, http: { "
                   "transport: unix, endpoint: '%s/http' } } } }\nexporters: { nop: }\n"
                   "service: { pipelines: { traces: { receivers: [otlp], exporters: [nop] } } }\n",
                   folder, folder);
    gw_test_engine_open(t, yaml, 1, /* threads= */ true);
}

/* ---- counting --------------------------------------------------------------------------------------------- */

/* The same bytes with n rows, as a receiver brings them: in a payload of their own. */
static struct gw_payload *payload_of(unsigned n)
{
    struct gw_payload *pl;
    struct gw_buf body;

    gw_buf_init(&body, 64u << 20);
    gw_test_request(&body, GW_TRACES, 1, n);
    pl = gw_payload_new(body.n);
    memcpy(pl->p, body.p, body.n);
    pl->n = (uint32_t)body.n;
    gw_buf_clear(&body);
    return pl;
}

static uint64_t real_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Turn until the sink has answered; the clock goes with the real one, because sockets are real. */
static void turn_until_sent(struct gw_test_engine *t, struct gw_test_door *d, const char *exporter)
{
    const struct gw_edge *e = gw_engine_edge(t->engine, exporter);
    uint64_t begin = real_ns(), last = begin, now;

    do {
        now = real_ns();
        gw_test_engine_turn(t, 1, now - last);
        last = now;
        (void)sched_yield();
    } while ((!gw_edge_is_empty(e) || d->n_verdicts == 0) && now - begin < 20000000000u);
    gw_test_engine_turn(t, 2, 0);
    assert_true(gw_edge_is_empty(e));
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
}

/* Mallocs from admit to the sink's answer. */
static struct counts count(struct gw_test_engine *t, const char *exporter, unsigned rows)
{
    struct gw_test_door *d = gw_test_engine_door(t, "scripted", 0);
    struct gw_payload *pl = payload_of(rows);
    struct gw_hold hold = {0};
    struct gw_request rq = {.hold = &hold, .payload = pl, .bytes = {pl->p, pl->n}};
    struct gw_verdict v;
    struct counts before = counted;

    assert_int_equal(d->intake->ops->admit(d->intake, &hold, GW_TRACES, pl->n, &v), 0);
    d->n_open++;
    d->n_verdicts = 0;
    assert_int_equal(d->intake->ops->submit(d->intake, &rq, &v), 0);
    turn_until_sent(t, d, exporter);
    return (struct counts){counted.thread - before.thread, counted.ours - before.ours};
}

enum what { ALL_ALIKE, NEARLY_ALIKE };
enum { NEARLY = 20 };

static void compare(const char *exporter, const char *block, const char *processors, enum what what)
{
    struct gw_test_engine t;
    struct counts small, large;
    unsigned slack = what == ALL_ALIKE ? 0 : NEARLY;
    char yaml[2048];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\nexporters: { %s: %s }\nprocessors: { attributes: { actions: [ { key: a, "
                   "value: b, action: upsert } ] } }\nservice:\n  pipelines:\n"
                   "    traces: { receivers: [scripted], processors: [%s], exporters: [%s] }\n",
                   exporter, block, processors, exporter);
    gw_test_engine_open(&t, yaml, 1, false);
    t.looks_away = true; /* a picture of the ledger costs mallocs of its own */
    (void)dl_iterate_phdr(find_module, NULL);
    for (unsigned i = 0; i < 4; i++) { /* buffers, pools and connections take their size */
        (void)count(&t, exporter, 10000);
        (void)count(&t, exporter, 100);
    }
    small = count(&t, exporter, 100);
    large = count(&t, exporter, 10000);
    print_message("%s %s [%s]: %lu and %lu mallocs, of them ours %lu and %lu\n", exporter, block, processors,
                  small.thread, large.thread, small.ours, large.ours);
    assert_true(SANITIZED || small.ours > 0);
    assert_int_equal(small.ours, large.ours);
    assert_true(large.thread <= small.thread + slack && small.thread <= large.thread + slack);
    (void)gw_test_engine_close(&t);
}

/*
 * Scenario    100 and 10,000 spans, untouched and edited, through the queue's own encoding and through encoders that
 *             write text; with and without batching
 * Guarantees  the number of mallocs of a request is the same. Not so for text of more than 4 MiB, as debug makes at
 *             verbosity detailed of 10,000 rows: a worker does not keep such a buffer, and it grows by halves
 */
static void mallocs_do_not_depend_on_rows(void **state)
{
#define QUIET "{ use_internal_logger: false, output_paths: [/dev/null], sampling_initial: 1000, "
    (void)state;
    compare("scripted", "{ at_once: true }", "", ALL_ALIKE);
    compare("scripted", "{ at_once: true }", "attributes", ALL_ALIKE);
    compare("scripted", "{ at_once: true, sending_queue: { wait_for_result: true } }", "", ALL_ALIKE);
    compare("text", "{ at_once: true }", "attributes", ALL_ALIKE);
    compare("nop", "", "", ALL_ALIKE);
    compare("file", "{ path: /dev/null }", "", ALL_ALIKE);
    compare("file", "{ path: /dev/null, format: proto }", "attributes", ALL_ALIKE);
    compare("file", "{ path: /dev/null, format: proto, compression: zstd }", "", ALL_ALIKE);
    compare("debug", "{ verbosity: basic }", "", ALL_ALIKE);
    compare("debug", QUIET "verbosity: normal }", "", ALL_ALIKE);
}

/*
 * Scenario    the same to a Kafka cluster: a message a request, as it is without keys while a request is shorter than
 *             max_message_bytes; as JSON; and a message a resource, of which there is one
 * Guarantees  the number of mallocs of a request is the same, those of librdkafka's produce with it. Messages cost
 *             memory each, so a request that is cut into more of them by its keys or its length costs more: by their
 *             number, not by that of the rows
 */
static void mallocs_to_kafka_do_not_depend_on_rows(void **state)
{
#define KAFKA "brokers: [mock], producer: { max_message_bytes: 100000000 }, sending_queue: { wait_for_result: true }"
    (void)state;
    if (THREADS_WATCHED) /* librdkafka, curl and grpc core are not built for it: what they hand over looks like a race
                          */
        skip();
    compare("kafka", "{ " KAFKA " }", "", ALL_ALIKE);
    compare("kafka", "{ " KAFKA " }", "attributes", ALL_ALIKE);
    compare("kafka", "{ " KAFKA ", traces: { encoding: otlp_json } }", "attributes", ALL_ALIKE);
    compare("kafka", "{ " KAFKA ", topic_from_attribute: topic }", "", ALL_ALIKE);
}

/*
 * Scenario    the same to an OTLP server, over HTTP with curl and over gRPC with grpc core: plain, compressed, as JSON
 * Guarantees  the number of mallocs of a request is the same
 */
static void mallocs_to_otlp_do_not_depend_on_rows(void **state)
{
    struct gw_test_engine server;
    char block[512];

#define HTTP(more)                                                                                                     \
    (snprintf(block, sizeof(block), "{ endpoint: 'unix://%s/http', sending_queue: { wait_for_result: true }, %s }",    \
              folder, more),                                                                                           \
     block)
#define GRPC(more)                                                                                                     \
    (snprintf(block, sizeof(block),                                                                                    \
              "{ endpoint: 'unix:%s/grpc', tls: { insecure: true }, sending_queue: { wait_for_result: true }, %s }",   \
              folder, more),                                                                                           \
     block)
    (void)state;
    if (THREADS_WATCHED)
        skip();
    open_server(&server);
    compare("otlp_http", HTTP("compression: none"), "", NEARLY_ALIKE);
    compare("otlp_http", HTTP("compression: none"), "attributes", NEARLY_ALIKE);
    compare("otlp_http", HTTP("compression: gzip"), "", NEARLY_ALIKE);
    compare("otlp_http", HTTP("compression: none, encoding: json"), "attributes", NEARLY_ALIKE);
    if (access(GW_BINARY_DIR "/staunch-grpc.so", F_OK) == 0) { /* not built where there is no grpc */
        compare("otlp_grpc", GRPC("compression: none"), "", NEARLY_ALIKE);
        compare("otlp_grpc", GRPC("compression: gzip"), "attributes", NEARLY_ALIKE);
    }
    (void)gw_test_engine_close(&server);
}

static struct gw_payload_pool *payloads; /* as a worker's thread has one */

static int set_up(void **state)
{
    (void)state;
    gw_test_engine_sinks = real_sinks;
    payloads = gw_payload_pool_new(64u << 20);
    gw_payload_pool_enter(payloads);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    gw_payload_pool_free(payloads);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mallocs_do_not_depend_on_rows),
        cmocka_unit_test(mallocs_to_kafka_do_not_depend_on_rows),
        cmocka_unit_test(mallocs_to_otlp_do_not_depend_on_rows),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
