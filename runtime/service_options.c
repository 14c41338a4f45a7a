/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/settings.h"
#include "runtime/cli.h"

const struct gw_service_options gw_service_options = {.components = gw_components, .exporter_extra = &gw_queue_extra};
