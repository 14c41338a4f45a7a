/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: the context; the rest is a condition. Property: no crash, no hang; what is refused has a place inside the
 * text and a sentence; what is not is asked of an item twice, of which the second answer is the first one's, unless it
 * asks for the time or for random numbers.
 */
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "ottl/ottl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

#define ATTRIBUTES                                                                                                     \
    "\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"a b=c\"}},{\"key\":\"i\",\"value\":{\"intValue\":"    \
    "\"-7\"}},{\"key\":\"f\",\"value\":{\"doubleValue\":0.1}},{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":["  \
    "{\"intValue\":\"1\"},{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{}}]}}]}}},{\"key\":\"m\",\"value\":" \
    "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"boolValue\":true}}]}}},{\"key\":\"b\",\"value\":{"      \
    "\"bytesValue\":\"AQ==\"}},{\"key\":\"j\",\"value\":{\"stringValue\":\"{\\\"a\\\":[1,{}]}\"}},{\"key\":\"t\","     \
    "\"value\":{\"stringValue\":\"2023-11-14T22:13:20Z\"}}]"

static const char *const items[] = {
    "{\"resourceSpans\":[{\"resource\":{" ATTRIBUTES "},\"scopeSpans\":[{\"scope\":{\"name\":\"n\"," ATTRIBUTES
    "},\"spans\":[{\"name\":\"GET \xc3\xa4\",\"kind\":2,\"traceState\":\"a=b\",\"startTimeUnixNano\":\"5\"," ATTRIBUTES
    ",\"events\":[{\"name\":\"e\"," ATTRIBUTES "}],\"links\":[{}]}]}]}]}",
    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"histogram\":{\"dataPoints\":[{\"count\":"
    "\"3\",\"bucketCounts\":[\"1\",\"2\"],\"explicitBounds\":[1]," ATTRIBUTES "}]}}]}]}]}",
    "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"k=v\"}," ATTRIBUTES "}]}]}]}",
};

static struct gw_batch *make(unsigned which)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    struct gw_batch *b = gw_batch_new(signals[which]);
    struct gw_err err = {""};
    struct gw_ref at = {0};
    struct gw_buf wire;

    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(signals[which], gw_slice_cstr(items[which]), &limits, &wire, &err) < 0 ||
        gw_batch_append(b, gw_buf_slice(&wire), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        abort();
    gw_buf_clear(&wire);
    return b;
}

static bool changes(struct gw_slice text)
{
    return memmem(text.p, text.n, "Now", 3) || memmem(text.p, text.n, "UUID", 4);
}

static void ask(struct gw_ottl *o, enum gw_ottl_context context, struct gw_slice text)
{
    static struct gw_batch *batches[3];
    static struct gw_arena arena;
    unsigned which = context <= GW_OTTL_SPANEVENT ? 0 : context == GW_OTTL_LOG ? 2 : 1;
    struct gw_err first_err = {""}, err = {""};
    bool first = false, is = false;
    struct gw_view v;
    int r;

    if (!batches[which])
        batches[which] = make(which);
    if (arena.max_bytes == 0)
        gw_arena_init(&arena, 64 << 10, 64 << 20);
    gw_view_init(&v, batches[which], &arena);
    r = gw_ottl_test(o, &v, 0, 0, &first, &first_err);
    if (r < 0 && !first_err.text[0])
        abort();
    if (gw_ottl_test(o, &v, 0, 0, &is, &err) != r ||
        (!changes(text) && (is != first || strcmp(err.text, first_err.text))))
        abort();
    gw_view_clear(&v);
    gw_arena_reset(&arena, 1 << 20);
}

/* The place is one of the text, or the one behind it. */
static void check_fault(const struct gw_ottl_fault *fault, struct gw_slice text)
{
    unsigned lines = 1;

    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    if (fault->line == 0 || fault->line > lines || fault->column == 0 || fault->column > text.n + 1 || !fault->text[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gw_env *env;
    struct gw_ottl_fault fault = {0};
    struct gw_ottl *o = NULL;
    struct gw_slice text;
    enum gw_ottl_context context;
    int r;

    if (size == 0)
        return 0;
    if (!env)
        env = gw_env_real_new();
    context = (enum gw_ottl_context)(data[0] % GW_OTTL_N_CONTEXTS);
    text = (struct gw_slice){malloc(size), size - 1}; /* its own block: a byte too many is seen */
    if (!text.p || !env)
        abort();
    memcpy((uint8_t *)text.p, data + 1, size - 1);
    r = gw_ottl_condition_new(text, context, env, &o, &fault);
    if (r == -EINVAL)
        check_fault(&fault, text);
    else if (r == 0)
        ask(o, context, text);
    gw_ottl_free(o);
    free((uint8_t *)text.p);
    return 0;
}
