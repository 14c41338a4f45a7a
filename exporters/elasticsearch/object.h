/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of JSON, member by member: no tree, no memory. */
#ifndef GW_EXPORTERS_ELASTICSEARCH_OBJECT_H
#define GW_EXPORTERS_ELASTICSEARCH_OBJECT_H

#include "otlp-proto/json_text.h"

/**
 * The cursor stands on a member's value, and has to be behind it when 0 is returned; anything else ends the walk. The
 * key is as it is written, escapes and all.
 */
typedef int (*gw_es_member_fn)(struct gw_json_text *t, struct gw_slice key, void *arg);

/** From the opening brace to behind the closing one. Returns 0, what `each` ended it with, or -EBADMSG. */
int gw_es_read_object(struct gw_json_text *t, gw_es_member_fn each, void *arg);

#endif
