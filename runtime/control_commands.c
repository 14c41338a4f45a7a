/* SPDX-License-Identifier: Apache-2.0 */
/* What a running gateway can be asked for over its control channel. */
#include "runtime/control_commands.h"
#include "runtime/control.h"

const struct gw_control_command *const gw_control_commands[] = {
    &gw_control_ping,
    &gw_control_dlq_purge,
    &gw_control_dlq_replay,
    &gw_control_dlq_recent,
    &gw_control_replay,
    &gw_control_queue_release,
    NULL,
};
