/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what the command line prints from tables and trees. */
#ifndef GW_RUNTIME_CLI_SHOW_H
#define GW_RUNTIME_CLI_SHOW_H

#include "core/buf.h"
#include "pipeline/component.h"

/** The Collector's shape: a list a kind, each with name and stability per signal. */
void gw_cli_put_components(struct gw_buf *out, const struct gw_component *const *components);
/** One JSON value of a tree, indented. */
void gw_cli_put_json(struct gw_buf *out, const struct gw_node *root);

#endif
