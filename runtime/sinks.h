/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_RUNTIME_SINKS_H
#define GW_RUNTIME_SINKS_H

#include "core/env.h"

/** Put the real clients (net/clients.h) into the real environment's table. Before any thread. */
void gw_sinks_install(struct gw_env *real);

#endif
