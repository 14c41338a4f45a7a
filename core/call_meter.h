/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations and sizes of HTTP and gRPC calls, under the names and labels of OpenTelemetry's conventions, as the
 * Collector shows them at level detailed: http_{server,client}_request_duration, …_request_body_size,
 * http_server_response_body_size, rpc_{server,client}_call_duration. A look-up a call: not below that level.
 *
 * Labels have few values each: a server's address is that of its own endpoint, not what a client calls it.
 */
#ifndef GW_CORE_CALL_METER_H
#define GW_CORE_CALL_METER_H

#include "core/meter.h"

struct gw_http_call {
    struct gw_slice method;
    const char *endpoint; /* "host:port", or a URL */
    const char *route;    /* server: the path that was matched, or NULL */
    int status;           /* 0: no answer, see error */
    const char *error;    /* client: "timeout", … */
    bool http2, tls;
    uint64_t ns, request_bytes, response_bytes;
};

/** Threads: any. */
void gw_meter_http_server(struct gw_meter *m, const struct gw_http_call *c);
void gw_meter_http_client(struct gw_meter *m, const struct gw_http_call *c);
/** method: "package.Service/Method", with or without a slash in front; status: grpc-status. */
void gw_meter_rpc_server(struct gw_meter *m, const char *method, int status, uint64_t ns);
void gw_meter_rpc_client(struct gw_meter *m, const char *method, int status, uint64_t ns);

#endif
