/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to protobuf and back, on requests of 100 spans, 500 log records and 1000 points as SDKs send them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/json_writer.h"
#include "otlp-proto/json.h"

enum { MAX_BYTES = 1 << 26, ROUNDS = 300 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static double now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void put_attributes(struct gw_buf *b, unsigned i, unsigned n)
{
    static const char *const keys[] = {"http.request.method",       "url.path",
                                       "http.response.status_code", "server.address",
                                       "user_agent.original",       "network.protocol.version"};

    gw_buf_put_str(b, "\"attributes\":[");
    for (unsigned k = 0; k < n; k++) {
        gw_buf_printf(b, "%s{\"key\":\"%s\",\"value\":{", k ? "," : "", keys[k]);
        if (k == 2)
            gw_buf_printf(b, "\"intValue\":\"%u\"}}", 200 + i % 5);
        else
            gw_buf_printf(b, "\"stringValue\":\"value of some length %u\"}}", i);
    }
    gw_buf_put_str(b, "]");
}

static void make(enum gw_signal s, unsigned rows, struct gw_buf *b)
{
    static const char *const head[] = {
        [GW_TRACES] = "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[",
        [GW_METRICS] = "{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"scope\":{},\"metrics\":[{\"name\":"
                       "\"m\",\"sum\":{\"dataPoints\":[",
        [GW_LOGS] = "{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[",
    };

    gw_buf_put_str(b, head[s]);
    for (unsigned i = 0; i < rows; i++) {
        gw_buf_put_str(b, i ? ",{" : "{");
        if (s == GW_TRACES)
            gw_buf_printf(b,
                          "\"traceId\":\"0af7651916cd43dd8448eb21%08x\",\"spanId\":\"b7ad6b71%08x\",\"name\":\"GET "
                          "/users/{id}\",\"kind\":2,\"startTimeUnixNano\":\"1767323045678%06u\",\"endTimeUnixNano\":"
                          "\"1767323045679%06u\",",
                          i, i, i, i);
        else if (s == GW_LOGS)
            gw_buf_printf(b,
                          "\"timeUnixNano\":\"1767323045678%06u\",\"severityNumber\":9,\"severityText\":\"INFO\","
                          "\"body\":{\"stringValue\":\"user %u logged in from far away, with \\\"quotes\\\"\"},",
                          i, i);
        else
            gw_buf_printf(b,
                          "\"startTimeUnixNano\":\"1767323045000000000\",\"timeUnixNano\":\"1767323045678%06u\","
                          "\"asDouble\":%u.%u,",
                          i, i * 7, i % 97);
        put_attributes(b, i, s == GW_TRACES ? 6 : 2);
        gw_buf_put_str(b, "}");
    }
    gw_buf_put_str(b, s == GW_METRICS ? "]}}]}]}]}" : "]}]}]}");
}

static void run(enum gw_signal s, unsigned rows)
{
    struct gw_buf text, proto, json;
    double t0 = 0, t1 = 0, t2 = 0;

    gw_buf_init(&text, MAX_BYTES);
    gw_buf_init(&proto, MAX_BYTES);
    gw_buf_init(&json, MAX_BYTES);
    make(s, rows, &text);
    for (int pass = 0; pass < 2; pass++) { /* the first one warms up */
        t0 = now_ns();
        for (int i = 0; i < ROUNDS; i++) {
            gw_buf_reset(&proto);
            if (gw_json_to_proto(s, gw_buf_slice(&text), &limits, &proto, NULL) < 0)
                abort();
        }
        t1 = now_ns();
        for (int i = 0; i < ROUNDS; i++) {
            gw_buf_reset(&json);
            if (gw_proto_to_json(s, gw_buf_slice(&proto), &json) < 0)
                abort();
        }
        t2 = now_ns();
    }
    printf("{\"bench\":\"json\",\"case\":\"%s\",\"rows\":%u,\"json_bytes\":%zu,\"proto_bytes\":%zu,"
           "\"read_ns_row\":%.1f,\"read_mb_s\":%.0f,\"write_ns_row\":%.1f,\"write_mb_s\":%.0f}\n",
           gw_signal_name(s), rows, text.n, proto.n, (t1 - t0) / ROUNDS / rows,
           (double)text.n * ROUNDS / (t1 - t0) * 1e3, (t2 - t1) / ROUNDS / rows,
           (double)json.n * ROUNDS / (t2 - t1) * 1e3);
    gw_buf_clear(&text);
    gw_buf_clear(&proto);
    gw_buf_clear(&json);
}

int main(void)
{
    run(GW_TRACES, 100);
    run(GW_LOGS, 500);
    run(GW_METRICS, 1000);
    return 0;
}
