/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/harness.h"

struct gw_test_http gw_test_http;

static void http_send(struct gw_http_client *c, struct gw_http_request *rq)
{
    (void)c;
    assert_in_range(gw_test_http.n_waiting, 0, GW_TEST_HTTP_WAITING - 1);
    rq->impl = NULL; /* until it is cancelled */
    gw_test_http.waiting[gw_test_http.n_waiting++] = rq;
    gw_test_http.n_sent++;
}

static void http_cancel(struct gw_http_client *c, struct gw_http_request *rq)
{
    for (unsigned i = 0; i < gw_test_http.n_waiting; i++)
        if (gw_test_http.waiting[i] == rq) {
            rq->impl = c;
            gw_test_http.n_cancelled++;
            return;
        }
    fail_msg("cancel of a request that is not under way");
}

static void http_free(struct gw_http_client *c)
{
    free(c);
}

static const struct gw_http_client_ops ops = {http_send, http_cancel, http_free};

static int http_new(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                    struct gw_http_client **ret, struct gw_err *err)
{
    (void)env, (void)loop, (void)conf, (void)err;
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->ops = &ops;
    return 0;
}

void gw_test_http_sinks(struct gw_env_ops *env)
{
    env->http_client_new = http_new;
}

struct gw_slice gw_test_http_header(const struct gw_http_request *rq, const char *name)
{
    for (unsigned i = 0; i < rq->n_headers; i++)
        if (rq->headers[i].name.n == strlen(name) &&
            strncasecmp((const char *)rq->headers[i].name.p, name, rq->headers[i].name.n) == 0)
            return rq->headers[i].value;
    return (struct gw_slice){0};
}

static struct gw_http_request *take(unsigned i)
{
    struct gw_http_request *rq;

    assert_in_range(i, 0, gw_test_http.n_waiting - 1);
    rq = gw_test_http.waiting[i];
    gw_test_http.n_waiting--;
    memmove(gw_test_http.waiting + i, gw_test_http.waiting + i + 1,
            (gw_test_http.n_waiting - i) * sizeof(gw_test_http.waiting[0]));
    return rq;
}

void gw_test_http_answer(unsigned i, int status, const char *headers, struct gw_slice body)
{
    struct gw_http_request *rq = take(i);
    struct gw_header h[8];
    char *copy = strdup(headers ? headers : ""), *save = NULL;
    unsigned n = 0;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strstr(line, ": ");

        assert_non_null(colon);
        *colon = '\0';
        h[n++] = (struct gw_header){gw_slice_cstr(line), gw_slice_cstr(colon + 2)};
    }
    rq->done(rq, &(struct gw_http_response){.status = status, .body = body, .headers = h, .n_headers = n});
    free(copy);
}

void gw_test_http_fail(unsigned i, enum gw_http_failure failure)
{
    struct gw_http_request *rq = take(i);

    rq->done(rq, &(struct gw_http_response){.failure = failure, .error = "simulated"});
}

void gw_test_http_settle_cancelled(void)
{
    for (unsigned i = 0; i < gw_test_http.n_waiting;)
        if (gw_test_http.waiting[i]->impl)
            gw_test_http_fail(i, GW_HTTP_CANCELLED);
        else
            i++;
}
