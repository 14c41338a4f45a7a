/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "pipeline/intake.h"

/*
 * Scenario    every gRPC code, and one that does not exist
 * Guarantees  the HTTP status is the one of the Collector's receiver
 */
static void each_code_has_its_http_status(void **state)
{
    static const int want[] = {200, 503, 500, 400, 503, 500, 500, 403, 429,
                               500, 503, 503, 404, 500, 503, 503, 401, 500};

    (void)state;
    for (int i = 0; i < (int)(sizeof(want) / sizeof(want[0])); i++) {
        struct gw_verdict v = {.grpc_status = i};

        assert_int_equal(gw_verdict_http_status(&v), want[i]);
    }
}

/*
 * Scenario    RESOURCE_EXHAUSTED because of size
 * Guarantees  413, as OTLP 1.11 asks for
 */
static void a_body_that_is_too_large_is_413(void **state)
{
    struct gw_verdict v = {.grpc_status = 8, .too_large = true};

    (void)state;
    assert_int_equal(gw_verdict_http_status(&v), 413);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_has_its_http_status),
        cmocka_unit_test(a_body_that_is_too_large_is_413),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
