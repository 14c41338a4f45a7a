/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the level of durability that a pipeline asks for can be met, and what to change when it cannot. */
#include "pipeline/exporter.h"
#include "pipeline/service_build.h"

const char *gw_durability_name(enum gw_durability d)
{
    static const char *const names[] = {"", "memory", "page_cache", "fsync", "sink"};

    return names[d];
}

static bool has_receiver(const struct gw_service_pipeline *p, const struct gw_service_component *c)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (p->receivers[i] == c)
            return true;
    return false;
}

static enum gw_queue_place place_of(const struct gw_build *b, const struct gw_service_component *c)
{
    if (c->type->exporter && c->type->exporter->swallow)
        return GW_QUEUE_NONE;
    return c->extra && b->extra && b->extra->place ? b->extra->place(c->extra) : GW_QUEUE_MEMORY;
}

/* What has to be changed so that this exporter can promise the level; NULL: it can. */
static const char *obstacle(enum gw_durability level, enum gw_queue_place place)
{
    if (level <= GW_DURABILITY_MEMORY || place == GW_QUEUE_NONE)
        return NULL;
    if (level == GW_DURABILITY_SINK)
        return place == GW_QUEUE_DISK ? "its queue is on disk and answers before the sink does: take its "
                                        "sending_queue::storage out, and set sending_queue::wait_for_result"
                                      : "its queue in memory answers before the sink does: set "
                                        "sending_queue::wait_for_result, or sending_queue::enabled: false";
    return place == GW_QUEUE_MEMORY ? "its queue is in memory: set its sending_queue::storage to a file_storage "
                                      "extension, or ask for durability: memory"
                                    : NULL;
}

static void check_level(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                        const struct gw_service_pipeline *p, unsigned depth);

static void check_exporter(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                           const struct gw_service_component *c, unsigned depth)
{
    const char *why;

    if (c->kind == GW_CONNECTOR) {
        /* One that keeps rows in a log answers when they are there; what follows has verdicts of its own. */
        if (c->type->open && asked->durability == GW_DURABILITY_SINK)
            gw_build_error(b, &at->place,
                           "service::pipelines::%.100s::durability: %s cannot be met: connector \"%s\" answers when "
                           "its log has the rows; ask for fsync or page_cache",
                           asked->id, gw_durability_name(asked->durability), c->id);
        for (size_t i = 0; !c->type->open && i < b->s->n_pipelines; i++)
            if (has_receiver(&b->s->pipelines[i], c) && b->s->pipelines[i].signal == asked->signal)
                check_level(b, asked, at, &b->s->pipelines[i], depth + 1);
        return;
    }
    why = obstacle(asked->durability, place_of(b, c));
    if (why)
        gw_build_error(b, &at->place, "service::pipelines::%.100s::durability: %s cannot be met: exporter \"%s\": %s",
                       asked->id, gw_durability_name(asked->durability), c->id, why);
}

/* Cycles were refused before, or are being reported: then the depth ends it. */
static void check_level(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                        const struct gw_service_pipeline *p, unsigned depth)
{
    if (depth > b->s->n_pipelines)
        return;
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->type && p->processors[i]->type->holds && asked->durability > GW_DURABILITY_MEMORY)
            gw_build_error(b, &at->place,
                           "service::pipelines::%.100s::durability: %s cannot be met: processor \"%s\" keeps rows in "
                           "memory; put a journal connector before it, or ask for memory",
                           asked->id, gw_durability_name(asked->durability), p->processors[i]->id);
    for (size_t i = 0; i < p->n_exporters; i++)
        if (p->exporters[i]->type)
            check_exporter(b, asked, at, p->exporters[i], depth);
}

void gw_build_durability(struct gw_build *b)
{
    for (size_t i = 0; i < b->s->n_pipelines; i++) {
        const struct gw_service_pipeline *p = &b->s->pipelines[i];
        const struct gw_node *at = gw_node_path(b->s->root, "service", "pipelines", p->id, "durability", NULL);

        if (p->durability && at)
            check_level(b, p, at, p, 0);
    }
}
