/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "core/call_meter.h"

static char *shown(struct gw_meter *m)
{
    static const struct gw_exposition how = {0};
    struct gw_buf out;
    size_t n;

    gw_buf_init(&out, 1 << 20);
    gw_meter_write(m, &how, &out);
    gw_buf_put_u8(&out, 0);
    return (char *)gw_buf_take(&out, &n);
}

static void has(struct gw_meter *m, const char *line)
{
    char *text = shown(m);

    if (!strstr(text, line))
        fail_msg("%s is not in\n%s", line, text);
    free(text);
}

/* Scenario: two requests of a server, one with a method of the client's own making.
 * Guarantees: the Collector's labels, in their order; the method is one of few; seconds and bytes add up. */
static void a_server_has_the_conventions_labels(void **state)
{
#define SERVER                                                                                                         \
    "http_response_status_code=\"200\",http_route=\"/v1/logs\",network_protocol_name=\"http\","                        \
    "network_protocol_version=\"1.1\",server_address=\"127.0.0.1\",server_port=\"4318\",url_scheme=\"http\"}"
    struct gw_http_call c = {.method = GW_SLICE("POST"),
                             .endpoint = "127.0.0.1:4318",
                             .route = "/v1/logs",
                             .status = 200,
                             .ns = 30000000,
                             .request_bytes = 120,
                             .response_bytes = 2};
    struct gw_meter *m = gw_meter_new();

    (void)state;
    gw_meter_http_server(m, &c);
    c.ns = 70000000;
    gw_meter_http_server(m, &c);
    c.method = GW_SLICE("BREW");
    gw_meter_http_server(m, &c);
    has(m, "http_server_request_duration_sum{http_request_method=\"POST\"," SERVER " 0.1\n");
    has(m, "http_server_request_duration_count{http_request_method=\"POST\"," SERVER " 2\n");
    has(m, "url_scheme=\"http\",le=\"0.05\"} 1\n");
    has(m, "http_server_request_body_size_sum{http_request_method=\"POST\"," SERVER " 240\n");
    has(m, "http_server_response_body_size_sum{http_request_method=\"POST\"," SERVER " 4\n");
    has(m, "http_server_request_duration_count{http_request_method=\"_OTHER\"," SERVER " 1\n");
    gw_meter_free(m);
}

/* Scenario: requests of a client: answered over HTTP/2 and TLS without a port, and not answered.
 * Guarantees: the scheme's port; the reason instead of a status. */
static void a_client_names_its_server(void **state)
{
    struct gw_meter *m = gw_meter_new();

    (void)state;
    gw_meter_http_client(m, &(struct gw_http_call){.method = GW_SLICE("POST"),
                                                   .endpoint = "https://c.example/v1/traces",
                                                   .status = 503,
                                                   .http2 = true,
                                                   .tls = true,
                                                   .request_bytes = 7});
    gw_meter_http_client(m, &(struct gw_http_call){.method = GW_SLICE("POST"),
                                                   .endpoint = "http://[::1]:4318/v1/traces",
                                                   .error = "connect"});
    has(m, "http_client_request_body_size_sum{http_request_method=\"POST\",http_response_status_code=\"503\","
           "network_protocol_name=\"http\",network_protocol_version=\"2\",server_address=\"c.example\","
           "server_port=\"443\",url_scheme=\"https\"} 7\n");
    has(m, "http_client_request_duration_count{error_type=\"connect\",http_request_method=\"POST\","
           "network_protocol_name=\"http\",network_protocol_version=\"1.1\",server_address=\"[::1]\","
           "server_port=\"4318\",url_scheme=\"http\"} 1\n");
    gw_meter_free(m);
}

/* Scenario: calls by path and by name, with a status that does not exist. Guarantees: no slash, the status by name. */
static void calls_have_a_method_and_a_status(void **state)
{
    struct gw_meter *m = gw_meter_new();

    (void)state;
    gw_meter_rpc_server(m, "/a.B/Export", 0, 1000000000);
    gw_meter_rpc_client(m, "a.B/Export", 14, 0);
    gw_meter_rpc_client(m, "a.B/Export", 99, 0);
    has(m, "rpc_server_call_duration_sum{rpc_method=\"a.B/Export\",rpc_response_status_code=\"OK\",rpc_system_name="
           "\"grpc\"} 1\n");
    has(m, "rpc_client_call_duration_count{rpc_method=\"a.B/Export\",rpc_response_status_code=\"UNAVAILABLE\"");
    has(m, "rpc_client_call_duration_count{rpc_method=\"a.B/Export\",rpc_response_status_code=\"UNKNOWN\"");
    gw_meter_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_has_the_conventions_labels),
        cmocka_unit_test(a_client_names_its_server),
        cmocka_unit_test(calls_have_a_method_and_a_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
