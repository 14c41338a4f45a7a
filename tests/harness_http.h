/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server that a test plays: every request of every client waits in one list until the test answers it. Put into
 * an engine's world with gw_test_engine_sinks = gw_test_http_sinks.
 */
#ifndef GW_TESTS_HARNESS_HTTP_H
#define GW_TESTS_HARNESS_HTTP_H

#include "core/client.h"

enum { GW_TEST_HTTP_WAITING = 4096 };

struct gw_test_http {
    struct gw_http_request *waiting[GW_TEST_HTTP_WAITING];
    unsigned n_waiting, n_sent, n_cancelled;
};
/** There is one at a time; zeroed by the test. */
extern struct gw_test_http gw_test_http;

void gw_test_http_sinks(struct gw_env_ops *ops);
/** A header that was sent, or n == 0. */
struct gw_slice gw_test_http_header(const struct gw_http_request *rq, const char *name);
/** Answer the i-th that waits. headers: "name: value\n" lines, names in lower case, or NULL. */
void gw_test_http_answer(unsigned i, int status, const char *headers, struct gw_slice body);
void gw_test_http_fail(unsigned i, enum gw_http_failure failure);
/** Requests that were cancelled are answered as such: `done` may not come from inside of cancel. */
void gw_test_http_settle_cancelled(void);

#endif
