/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of 100 spans of 615 bytes, ten a trace, in two shapes: all spans of a trace together in one request, and
 * spans of 10,000 traces by turns. 64 different payloads, so that neither caches nor branch predictors learn one by
 * heart; the names of traces are new each time.
 */
#ifndef GW_BENCH_SPANS_H
#define GW_BENCH_SPANS_H

#include "bench/micro/micro.h"
#include "otlp-proto/json.h"

enum { N_BATCHES = 64, N_SPANS = 100, A_TRACE = 10, TURNS = 10000, SPAN_BYTES = 615 };

static struct gw_batch *batches[N_BATCHES];

static uint64_t random_state = 7;

/* splitmix64 */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline void put_span(struct gw_buf *json, unsigned i)
{
    gw_buf_printf(json,
                  "%s{\"traceId\":\"%016llx%016llx\",\"spanId\":\"%016llx\",\"name\":\"GET /cart/%u\",\"kind\":2,"
                  "\"startTimeUnixNano\":\"17673230450000%05u\",\"endTimeUnixNano\":\"17673230460000%05u\","
                  "\"attributes\":[",
                  i ? "," : "", (unsigned long long)next_random(&random_state),
                  (unsigned long long)next_random(&random_state), (unsigned long long)next_random(&random_state), i, i,
                  i);
    for (unsigned k = 0; k < 12; k++)
        gw_buf_printf(json, "%s{\"key\":\"attribute.number.one.%02u\",\"value\":{\"stringValue\":\"%015llx\"}}",
                      k ? "," : "", k, (unsigned long long)next_random(&random_state) >> 4);
    gw_buf_printf(json, "]}");
}

static inline void make(unsigned request)
{
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at = {0};

    gw_buf_init(&json, 1 << 24);
    gw_buf_init(&wire, 1 << 24);
    gw_buf_put_str(&json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                          "\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[");
    for (unsigned i = 0; i < N_SPANS; i++)
        put_span(&json, i);
    gw_buf_put_str(&json, "]}]}]}");
    micro_check(gw_json_to_proto(GW_TRACES, gw_buf_slice(&json), &micro_limits, &wire, &err) == 0, err.text);
    batches[request] = gw_batch_new(GW_TRACES);
    micro_check(gw_batch_append(batches[request], gw_buf_slice(&wire), &at) == 0, "memory");
    micro_check(gw_decode(batches[request], gw_batch_slice(batches[request], at), &micro_limits, NULL, &err) == 0,
                err.text);
    micro_check(batches[request]->raw[0].len >= SPAN_BYTES - 8 && batches[request]->raw[0].len <= SPAN_BYTES + 8,
                "a span is not of the size that is measured");
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static inline void name(uint8_t id[16], uint64_t trace)
{
    uint64_t s = trace + 1;

    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t x = next_random(&s);

        memcpy(id + i, &x, 8);
    }
}

static inline void spans_make(void)
{
    for (unsigned i = 0; i < N_BATCHES; i++)
        make(i);
}

static inline void spans_free(void)
{
    for (unsigned i = 0; i < N_BATCHES; i++)
        (void)gw_batch_unref(batches[i]);
}

/* Spans i … i + 99 of a stream. Their traces are named in the batch's columns only. */
static inline struct gw_batch *spans_request(uint64_t i, bool by_turns)
{
    struct gw_batch *b = batches[i / N_SPANS % N_BATCHES];

    for (uint64_t k = 0; k < N_SPANS; k++) {
        uint64_t turn = (i + k) / ((uint64_t)TURNS * A_TRACE), place = (i + k) % TURNS;

        name(b->trace_id[k], by_turns ? turn * TURNS + place : (i + k) / A_TRACE);
    }
    return b;
}

#endif
