/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of staunch-grpc.so, the only file that links grpc core: 10 MB of idle memory and seven threads for those who
 * configured an exporter that needs it, nothing for the others. It is self-contained; what it needs of the program's
 * loop comes as a table.
 */
#ifndef GW_NET_GRPC_MODULE_H
#define GW_NET_GRPC_MODULE_H

#include "core/client.h"
#include "net/loop.h"

struct gw_grpc_loop_ops {
    void (*wake)(struct gw_loop *l);
    void (*add_hook)(struct gw_loop *l, struct gw_hook *h);
    void (*remove_hook)(struct gw_loop *l, struct gw_hook *h);
};

/** Changes with this file: a module of another build is not used. */
#define GW_GRPC_MODULE_ABI 2

typedef int (*gw_grpc_module_new_fn)(const struct gw_grpc_loop_ops *loop_ops, struct gw_env *env, struct gw_loop *loop,
                                     const struct gw_rpc_client_conf *conf, struct gw_rpc_client **ret,
                                     struct gw_err *err);
/* Exported by the module: int gw_grpc_module_abi(void), gw_grpc_module_new. */

#endif
