/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the command line, in the order of the help. */
#include "runtime/cli_commands.h"

const struct gw_cli_command *const gw_cli_commands[] = {
    &gw_cli_run,  &gw_cli_validate, &gw_cli_components, &gw_cli_print_config, &gw_cli_featuregate, &gw_cli_ledger,
    &gw_cli_ping, &gw_cli_dlq,      &gw_cli_queue,      &gw_cli_replay,       &gw_cli_version,     &gw_cli_help,
    NULL,
};
