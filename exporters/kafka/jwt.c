/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/kafka/jwt.h"

#include <stdlib.h>
#include <string.h>

#include "otlp-proto/json_text.h"

enum { MAX_TOKEN_BYTES = 64 << 10 };
static const double MAX_SECONDS = 253402300799.0; /* the end of year 9999 */

/** header.claims.signature: the middle. The signature of an unsigned token is empty. */
static bool claims_of(struct gw_slice token, struct gw_slice *ret)
{
    const uint8_t *end = token.p + token.n, *first, *second;

    if (!token.n || token.n > MAX_TOKEN_BYTES)
        return false;
    first = memchr(token.p, '.', token.n);
    if (!first)
        return false;
    second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return false; /* five parts: an encrypted one, whose claims we cannot read */
    *ret = gw_slice_of(first + 1, (size_t)(second - first - 1));
    return true;
}

/** The cursor stands behind a key. */
static bool read_seconds(struct gw_json_text *t, double *ret)
{
    struct gw_json_number n;
    uint8_t c = gw_json_peek(t);

    return c >= '0' && c <= '9' && gw_json_read_number(t, &n) == 0 && gw_json_number_to_double(&n, ret) &&
           *ret <= MAX_SECONDS;
}

static bool find_exp(struct gw_json_text *t, double *ret)
{
    gw_json_skip_space(t);
    if (gw_json_peek(t) != '{')
        return false;
    do {
        struct gw_json_string key;

        t->p++; /* the brace, or the comma */
        gw_json_skip_space(t);
        if (gw_json_peek(t) != '"' || gw_json_read_string(t, &key) < 0)
            return false;
        gw_json_skip_space(t);
        if (gw_json_peek(t) != ':')
            return false;
        t->p++;
        gw_json_skip_space(t);
        if (gw_slice_is(key.raw, "exp"))
            return read_seconds(t, ret);
        if (gw_json_skip_value(t) < 0)
            return false;
        gw_json_skip_space(t);
    } while (gw_json_peek(t) == ',');
    return false;
}

bool gw_jwt_expires(struct gw_slice token, uint64_t *ret_ms)
{
    struct gw_json_text t = {0};
    struct gw_slice claims;
    double seconds = 0;
    bool found = false;
    uint8_t *text;
    size_t n;

    if (!claims_of(token, &claims) || !claims.n)
        return false;
    text = malloc(claims.n);
    if (!text)
        return false;
    memcpy(text, claims.p, claims.n);
    n = claims.n;
    if (gw_json_from_base64(text, &n) == 0) {
        t.begin = t.p = text;
        t.end = text + n;
        found = find_exp(&t, &seconds);
    }
    free(text);
    if (found)
        *ret_ms = (uint64_t)(seconds * 1000);
    return found;
}
