/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: the commands of the command line, each in its file. */
#ifndef GW_RUNTIME_CLI_COMMANDS_H
#define GW_RUNTIME_CLI_COMMANDS_H

#include "runtime/cli_impl.h"

/* cli_basic.c */
extern const struct gw_cli_command gw_cli_run, gw_cli_validate, gw_cli_components, gw_cli_print_config,
    gw_cli_featuregate, gw_cli_version, gw_cli_help;
/* cli_ledger.c */
extern const struct gw_cli_command gw_cli_ledger;
/* cli_ask.c */
extern const struct gw_cli_command gw_cli_ping;
/* cli_dlq.c */
extern const struct gw_cli_command gw_cli_dlq;
/* cli_queue.c */
extern const struct gw_cli_command gw_cli_queue;
/* cli_replay.c */
extern const struct gw_cli_command gw_cli_replay;

#endif
