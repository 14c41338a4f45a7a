/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: signal, and whether the rest is JSON or protobuf.
 *
 *   JSON      what is accepted is decodable protobuf, and is written as JSON that reads back as the same JSON
 *   protobuf  what the decoder accepts can be written as JSON that reads back as the same JSON
 */
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"

enum { MAX_BYTES = 1 << 24 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/** 0, or what the decoder says. */
static int decode(enum gw_signal s, struct gw_slice body)
{
    struct gw_batch *b = gw_batch_new(s);
    struct gw_err err = {""};
    struct gw_ref ref;
    int rc;

    if (!b || gw_batch_append(b, body, &ref) < 0)
        abort();
    rc = gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, &err);
    gw_batch_unref(b);
    return rc;
}

/** The body's JSON must read back as protobuf with the same JSON. */
static void check_round_trip(enum gw_signal s, struct gw_slice body)
{
    struct gw_buf json, proto, again;
    struct gw_err err = {""};

    gw_buf_init(&json, MAX_BYTES);
    gw_buf_init(&proto, MAX_BYTES);
    gw_buf_init(&again, MAX_BYTES);
    if (gw_proto_to_json(s, body, &json) < 0 || gw_json_to_proto(s, gw_buf_slice(&json), &limits, &proto, &err) < 0 ||
        gw_proto_to_json(s, gw_buf_slice(&proto), &again) < 0 ||
        !gw_slice_eq(gw_buf_slice(&json), gw_buf_slice(&again)))
        abort();
    gw_buf_clear(&json);
    gw_buf_clear(&proto);
    gw_buf_clear(&again);
}

static void from_json(enum gw_signal s, struct gw_slice text)
{
    struct gw_buf proto;
    struct gw_err err = {""};
    int rc;

    gw_buf_init(&proto, MAX_BYTES);
    rc = gw_json_to_proto(s, text, &limits, &proto, &err);
    if (rc == 0) {
        rc = decode(s, gw_buf_slice(&proto));
        if (rc != 0 && rc != -E2BIG) /* the budget for columns is the decoder's own */
            abort();
        check_round_trip(s, gw_buf_slice(&proto));
    } else if (!err.text[0]) {
        abort(); /* a refusal says why */
    }
    gw_buf_clear(&proto);
}

static void from_proto(enum gw_signal s, struct gw_slice body)
{
    struct gw_buf json;

    if (decode(s, body) == 0) {
        check_round_trip(s, body);
        return;
    }
    gw_buf_init(&json, MAX_BYTES);
    (void)gw_proto_to_json(s, body, &json);
    gw_buf_clear(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};

    if (n < 1)
        return 0;
    enum gw_signal s = signals[(p[0] & 0x7f) % 3];
    struct gw_slice rest = gw_slice_of(p + 1, n - 1);

    if (p[0] & 0x80)
        from_proto(s, rest);
    else
        from_json(s, rest);
    return 0;
}
