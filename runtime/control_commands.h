/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: the commands of the control channel. */
#ifndef GW_RUNTIME_CONTROL_COMMANDS_H
#define GW_RUNTIME_CONTROL_COMMANDS_H

#include "runtime/control.h"

extern const struct gw_control_command gw_control_ping;
/* control_dlq.c, control_dlq_replay.c */
extern const struct gw_control_command gw_control_dlq_purge, gw_control_dlq_replay;
/* control_samples.c */
extern const struct gw_control_command gw_control_dlq_recent, gw_control_replay;
/* control_queue.c */
extern const struct gw_control_command gw_control_queue_release;

#endif
