/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of tests/ottl/items, decoded. */
#ifndef GW_TESTS_OTTL_ITEMS_H
#define GW_TESTS_OTTL_ITEMS_H

#include "tests/harness.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "ottl/ottl.h"
#include "tests/harness_env.h"

static const struct gw_limits items_limits = GW_LIMITS_DEFAULT;

/** Owner: gives a batch of one JSON request. */
static inline struct gw_batch *items_of(enum gw_signal signal, struct gw_slice json)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_err err = {""};
    struct gw_ref at = {0};
    struct gw_buf wire;

    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(signal, json, &items_limits, &wire, &err) < 0 ||
        gw_batch_append(b, gw_buf_slice(&wire), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &items_limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_buf_clear(&wire);
    return b;
}

static inline struct gw_batch *items_load(struct gw_env *env, enum gw_signal signal)
{
    const char *path = signal == GW_TRACES ? GW_SOURCE_DIR "/tests/ottl/items/traces.json"
                       : signal == GW_LOGS ? GW_SOURCE_DIR "/tests/ottl/items/logs.json"
                                           : GW_SOURCE_DIR "/tests/ottl/items/metrics.json";
    struct gw_err err = {""};
    struct gw_batch *b;
    char *text;
    size_t n;

    if (gw_env_read_file(env, path, 1 << 20, &text, &n, &err) < 0)
        fail_msg("%s", err.text);
    b = items_of(signal, gw_slice_of(text, n));
    free(text);
    return b;
}

static inline enum gw_signal items_signal(enum gw_ottl_context c)
{
    if (c == GW_OTTL_LOG)
        return GW_LOGS;
    return c == GW_OTTL_METRIC || c == GW_OTTL_DATAPOINT ? GW_METRICS : GW_TRACES;
}

#endif
