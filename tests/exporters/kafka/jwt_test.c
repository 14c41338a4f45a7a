/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>

#include "core/buf.h"
#include "core/json_writer.h"
#include "exporters/kafka/jwt.h"

/** header.claims.signature, without the padding of base64; 0 when it says no end. */
static uint64_t end_of(const char *claims)
{
    struct gw_buf b;
    uint64_t ms = 0;

    gw_buf_init(&b, 200000);
    gw_buf_put_str(&b, "eyJhbGciOiJub25lIn0.");
    gw_put_base64(&b, gw_slice_cstr(claims));
    while (b.p[b.n - 1] == '=')
        b.n--;
    gw_buf_put_str(&b, ".c2ln");
    if (!gw_jwt_expires(gw_buf_slice(&b), &ms))
        assert_int_equal(ms, 0);
    gw_buf_clear(&b);
    return ms;
}

/* Scenario: claims with exp first, last, between nested values, as a fraction; and an exp inside another claim.
 * Guarantees: the token's own, in milliseconds. */
static void the_end_is_the_claim_exp(void **state)
{
    (void)state;
    assert_int_equal(end_of("{\"exp\":1700000060}"), 1700000060000ull);
    assert_int_equal(end_of("{\"exp\":1700000060.25,\"sub\":\"a\"}"), 1700000060250ull);
    assert_int_equal(end_of(" { \"sub\" : \"a\\\"}\" , \"exp\" : 17 } "), 17000);
    assert_int_equal(end_of("{\"a\":{\"exp\":5,\"b\":[1,{}]},\"exp\":7}"), 7000);
    assert_int_equal(end_of("{\"exp\":1.5e9}"), 1500000000000ull);
}

/* Scenario: no exp, one that is no time, claims that are no object, broken JSON, a token that is no JWT.
 * Guarantees: no end is known. */
static void other_tokens_have_no_end(void **state)
{
    static const char *const claims[] = {"{}",
                                         "{\"sub\":\"exp\"}",
                                         "{\"a\":{\"exp\":5}}",
                                         "{\"exp\":\"1700000060\"}",
                                         "{\"exp\":-5}",
                                         "{\"exp\":null}",
                                         "{\"exp\":1e300}",
                                         "{\"exp\":}",
                                         "{\"exp\"",
                                         "{\"exp",
                                         "{,\"exp\":5}",
                                         "[\"exp\",5]",
                                         "\"exp\"",
                                         "",
                                         "{"};
    static const char *const tokens[] = {"", "secret", "a.b", ".", "..", "a..c", "a.!!!.c", "a.e30.c.d", "a.e.c"};

    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        if (end_of(claims[i]) != 0)
            fail_msg("%s has an end", claims[i]);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        uint64_t ms = 0;

        if (gw_jwt_expires(gw_slice_cstr(tokens[i]), &ms))
            fail_msg("%s has an end", tokens[i]);
    }
}

/* Scenario: a valid token cut after each byte, and one over 64 KiB.
 * Guarantees: nothing is read behind the end; the long one has no end. */
static void cut_and_long_tokens_are_harmless(void **state)
{
    static const char token[] = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MTcwMDAwMDA2MC41fQ.";
    static char name[70000];
    uint64_t ms;

    (void)state;
    for (size_t n = 0; n < sizeof(token) - 1; n++) {
        char *copy = malloc(n ? n : 1);

        memcpy(copy, token, n);
        assert_false(gw_jwt_expires(gw_slice_of(copy, n), &ms));
        free(copy);
    }
    assert_true(gw_jwt_expires(gw_slice_cstr(token), &ms));
    strcpy(name, "{\"exp\":5,\"n\":\"");
    memset(name + strlen(name), 'x', 60000);
    strcat(name, "\"}");
    assert_int_equal(end_of(name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_the_claim_exp),
        cmocka_unit_test(other_tokens_have_no_end),
        cmocka_unit_test(cut_and_long_tokens_are_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
