/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the level of durability that a pipeline asks for can be met, and what to change when it cannot. */
#include "pipeline/exporter.h"
#include "pipeline/service_build.h"
#include "pipeline/storage.h"

const char *gw_durability_name(enum gw_durability d)
{
    static const char *const names[] = {"", "memory", "page_cache", "fsync", "sink"};

    return names[d];
}

static bool keeps_rows(const struct gw_service_component *c)
{
    return c->kind == GW_CONNECTOR && c->type && c->type->open;
}

const char *gw_service_storage_of(const struct gw_service_component *c)
{
    const struct gw_field *f = keeps_rows(c) && c->conf ? gw_field_find(c->type->fields, "storage") : NULL;

    return f && f->type == GW_F_ID ? *(const char *const *)((const char *)c->conf + f->offset) : NULL;
}

bool gw_service_is_behind_log(const struct gw_service_pipeline *p)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (!keeps_rows(p->receivers[i]))
            return false;
    return p->n_receivers > 0;
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

/* NULL: there is none of that id, which is said elsewhere. */
static const struct gw_service_component *find_storage(const struct gw_build *b, const char *id)
{
    for (size_t i = 0; i < b->s->n_extensions; i++) {
        const struct gw_service_component *c = b->s->extensions[i];

        if (c->type && c->type->storage && c->conf && (!*id || strcmp(c->id, id) == 0))
            return c;
    }
    return NULL;
}

/* One that keeps rows in a log answers when they are there; what follows has verdicts of its own. */
static void check_log(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                      const struct gw_service_component *c)
{
    const char *id = gw_service_storage_of(c);
    const struct gw_service_component *st = id ? find_storage(b, id) : NULL;

    if (asked->durability == GW_DURABILITY_SINK)
        gw_build_error(b, &at->place,
                       "service::pipelines::%.100s::durability: %s cannot be met: connector \"%s\" answers when "
                       "its log has the rows; ask for fsync or page_cache",
                       asked->id, gw_durability_name(asked->durability), c->id);
    if (asked->durability == GW_DURABILITY_FSYNC && st && st->type->storage->syncs &&
        !st->type->storage->syncs(st->conf))
        gw_build_error(b, &at->place,
                       "service::pipelines::%.100s::durability: fsync cannot be met: connector \"%s\" stores in the "
                       "page cache: set extensions::%s::fsync: true, or ask for page_cache",
                       asked->id, c->id, st->id);
}

static void check_level(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                        const struct gw_service_pipeline *p, unsigned depth);

static void check_exporter(struct gw_build *b, const struct gw_service_pipeline *asked, const struct gw_node *at,
                           const struct gw_service_component *c, unsigned depth)
{
    enum gw_queue_place place;
    const char *why;

    if (keeps_rows(c)) {
        check_log(b, asked, at, c);
        return;
    }
    if (c->type->makes)
        return; /* what it counted is in memory, and what it was given went no further */
    if (c->kind == GW_CONNECTOR) {
        for (size_t i = 0; i < b->s->n_pipelines; i++)
            if (has_receiver(&b->s->pipelines[i], c) && b->s->pipelines[i].signal == asked->signal)
                check_level(b, asked, at, &b->s->pipelines[i], depth + 1);
        return;
    }
    place = place_of(b, c);
    /* Rows that come out of a log stay in it until the sink has those that are in memory alone. */
    why = place == GW_QUEUE_MEMORY && gw_service_is_behind_log(asked) ? NULL : obstacle(asked->durability, place);
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
                           "memory; %sask for memory",
                           asked->id, gw_durability_name(asked->durability), p->processors[i]->id,
                           gw_service_is_behind_log(p) ? "" : "put a journal connector before it, or ");
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
