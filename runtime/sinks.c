/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/sinks.h"

#include "net/clients.h"

void gw_sinks_install(struct gw_env *real)
{
    struct gw_env_ops *ops = gw_env_real_ops(real);

    ops->fetch = gw_fetch_curl;
    ops->http_client_new = gw_http_client_curl_new;
    ops->producer_new = gw_producer_rdkafka_new;
    ops->rpc_client_new = gw_rpc_client_grpc_new;
}
