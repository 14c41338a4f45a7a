/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory is asked for per request, never per row. Counted by standing in for malloc; the sanitizers do that themselves,
 * so under them there is nothing to see here.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "tests/harness_engine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static unsigned long n_mallocs;

#if !SANITIZED
extern void *__libc_malloc(size_t n), *__libc_calloc(size_t n, size_t m), *__libc_realloc(void *p, size_t n),
    *__libc_memalign(size_t a, size_t n);

void *malloc(size_t n)
{
    n_mallocs++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t m)
{
    n_mallocs++;
    return __libc_calloc(n, m);
}
void *realloc(void *p, size_t n)
{
    n_mallocs++;
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t a, size_t n)
{
    n_mallocs++;
    return __libc_memalign(a, n);
}
#endif

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

/* Mallocs from admit to the last answer. */
static unsigned long count(struct gw_test_engine *t, const char *exporter, unsigned rows)
{
    struct gw_test_door *d = gw_test_engine_door(t, "scripted", 0);
    struct gw_payload *pl = payload_of(rows);
    struct gw_hold hold = {0};
    struct gw_request rq = {.hold = &hold, .payload = pl, .bytes = {pl->p, pl->n}};
    struct gw_verdict v;
    unsigned long before = n_mallocs;

    assert_int_equal(d->intake->ops->admit(d->intake, &hold, GW_TRACES, pl->n, &v), 0);
    d->n_open++;
    d->n_verdicts = 0;
    assert_int_equal(d->intake->ops->submit(d->intake, &rq, &v), 0);
    for (unsigned i = 0; i < 20 && !gw_edge_is_empty(gw_engine_edge(t->engine, exporter)); i++)
        gw_test_engine_turn(t, 1, 1000000);
    gw_test_engine_turn(t, 1, 0);
    assert_int_equal(d->n_verdicts, 1);
    return n_mallocs - before;
}

static void compare(const char *exporter, const char *block, const char *processors)
{
    struct gw_test_engine t;
    unsigned long small, large;
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\nexporters: { %s: %s }\nprocessors: { attributes: { actions: [ { key: a, "
                   "value: b, action: upsert } ] } }\nservice:\n  pipelines:\n"
                   "    traces: { receivers: [scripted], processors: [%s], exporters: [%s] }\n",
                   exporter, block, processors, exporter);
    gw_test_engine_open(&t, yaml, 1, false);
    for (unsigned i = 0; i < 4; i++) { /* buffers and pools take their size */
        (void)count(&t, exporter, 10000);
        (void)count(&t, exporter, 400);
    }
    small = count(&t, exporter, 400);
    large = count(&t, exporter, 10000);
    print_message("%s [%s]: %lu and %lu mallocs\n", exporter, processors, small, large);
    assert_true(SANITIZED || small > 0);
    assert_int_equal(small, large);
    (void)gw_test_engine_close(&t);
}

/*
 * Scenario    400 and 10,000 spans, untouched and edited, through the queue's own encoding and through encoders that
 *             write text; with and without batching
 * Guarantees  the number of mallocs of a request is the same
 */
static void mallocs_do_not_depend_on_rows(void **state)
{
    (void)state;
    compare("scripted", "{ at_once: true }", "");
    compare("scripted", "{ at_once: true }", "attributes");
    compare("scripted", "{ at_once: true, sending_queue: { wait_for_result: true } }", "");
    compare("text", "{ at_once: true }", "attributes");
    compare("nop", "", "");
    compare("file", "{ path: /dev/null }", "");
    compare("file", "{ path: /dev/null, format: proto }", "attributes");
    compare("debug", "{ verbosity: basic }", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mallocs_do_not_depend_on_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
