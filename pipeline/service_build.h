/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what the service_*.c files share while a graph is described. */
#ifndef GW_PIPELINE_SERVICE_BUILD_H
#define GW_PIPELINE_SERVICE_BUILD_H

#include "pipeline/service.h"

struct gw_build {
    struct gw_service *s;
    const struct gw_component *const *types;
    const struct gw_extra_settings *extra;
    struct gw_diag *diag;
    bool no_memory;
};

/** One mistake at the value's place (or `n`'s key when at_key), in the words of printf. */
void gw_build_error(struct gw_build *b, const struct gw_place *place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void *gw_build_alloc(struct gw_build *b, size_t n);

const char *gw_section_name(enum gw_kind kind); /* "receivers" */
const char *gw_kind_word(enum gw_kind kind);    /* "receiver" */
const char *gw_signal_word(enum gw_signal signal);
bool gw_build_signal(const char *word, enum gw_signal *ret);

/** service_parts.c: components[] from the five sections. */
void gw_build_components(struct gw_build *b);
/** One more, while there is room; NULL when it is none, which was said. */
struct gw_service_component *gw_build_component(struct gw_build *b, enum gw_kind kind, const struct gw_node *n);
bool gw_build_has_type(struct gw_build *b, enum gw_kind kind, struct gw_slice name);
/** Ports that may be wired, NULL-ended, or NULL. */
const char *const *gw_build_port_names(const struct gw_component *t);
/** service_graph.c: pipelines[], extensions[], ports; then what only the whole shows. */
void gw_build_pipelines(struct gw_build *b, const struct gw_node *pipelines);
void gw_build_extensions(struct gw_build *b, const struct gw_node *list);
void gw_build_graph(struct gw_build *b);
/** service_dead_letters.c: after the extensions; the ports, when it is known what is used. */
void gw_build_dead_letters(struct gw_build *b, const struct gw_node *block);
void gw_build_default_ports(struct gw_build *b);
/** Does anything of one pipeline come into the other one, without a third between? */
bool gw_build_feeds(const struct gw_service_pipeline *from, const struct gw_service_pipeline *to);
/* service_alarms.c */
void gw_build_alarms(struct gw_build *b);
/* service_durability.c */
void gw_build_durability(struct gw_build *b);
/* service_keep.c */
void gw_build_keep(struct gw_build *b);
/** service_telemetry.c */
void gw_build_telemetry(struct gw_build *b, const struct gw_node *telemetry);

/** Look an id up among the kinds of kind_mask; says what is wrong and returns NULL when there is none. */
struct gw_service_component *gw_build_lookup(struct gw_build *b, const char *owner, unsigned kind_mask, const char *id,
                                             const struct gw_place *place);

#endif
