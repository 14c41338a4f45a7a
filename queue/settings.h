/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings that every `queued` exporter has besides its own: sending_queue, retry_on_failure, timeout. The keys
 * and defaults are those of the Collector's exporterhelper. They stand in the exporter's own block: whoever fills
 * that block uses gw_schema_fill_tables with both tables.
 */
#ifndef GW_QUEUE_SETTINGS_H
#define GW_QUEUE_SETTINGS_H

#include "config/schema.h"
#include "pipeline/exporter.h"
#include "pipeline/queue_settings.h"
#include "pipeline/service.h"

/** Ended by {0}; the conf is a struct gw_queue_settings. */
extern const struct gw_field gw_queue_fields[];
/** For gw_service_options: table, the exporter's own defaults, and the rules between settings. */
extern const struct gw_extra_settings gw_queue_extra;

/** How an exporter with these settings batches by itself; enabled == false when it does not. */
struct gw_batching gw_queue_batching(const struct gw_queue_settings *s);

#endif
