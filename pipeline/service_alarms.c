/* SPDX-License-Identifier: Apache-2.0 */
/* Detectors that are watched across pipelines: they must be there, and not behind who watches them. */
#include <stdio.h>

#include "pipeline/service_build.h"

struct watching {
    struct gw_build *b;
    const struct gw_service_component *owner;
    char name[256];
};

static bool has(struct gw_service_component *const *list, size_t n, const struct gw_service_component *c)
{
    size_t i = 0;

    while (i < n && list[i] != c)
        i++;
    return i < n;
}

static bool stands_in(const struct gw_service_pipeline *p, const struct gw_service_component *c)
{
    return has(p->processors, p->n_processors, c) || has(p->exporters, p->n_exporters, c);
}

/* Pipelines that get something of what leaves the owner's. */
static void mark_behind(const struct gw_service *s, const struct gw_service_component *owner, bool *behind)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t from = 0; from < s->n_pipelines; from++)
            for (size_t to = 0; to < s->n_pipelines; to++)
                if (!behind[to] && (behind[from] || stands_in(&s->pipelines[from], owner)) &&
                    gw_build_feeds(&s->pipelines[from], &s->pipelines[to]))
                    behind[to] = more = true;
    }
}

/* It would learn from what it has decided. */
static void check_cycle(const struct watching *w, const struct gw_service_component *detector,
                        const struct gw_place *place)
{
    const struct gw_service *s = w->b->s;
    bool *behind = gw_build_alloc(w->b, s->n_pipelines + 1);

    if (!behind)
        return;
    mark_behind(s, w->owner, behind);
    for (size_t i = 0; i < s->n_pipelines; i++)
        if (behind[i] && stands_in(&s->pipelines[i], detector)) {
            gw_build_error(
                w->b, place,
                "%s: a cycle: detector \"%s\" in %s sees what this one lets through; what it learns from must "
                "leave before",
                w->name, detector->id, s->pipelines[i].id);
            return;
        }
}

static void check(void *arg, const char *id, const struct gw_place *place)
{
    struct watching *w = arg;
    struct gw_service *s = w->b->s;
    const struct gw_service_component *c =
        gw_build_lookup(w->b, w->name, 1u << GW_PROCESSOR | 1u << GW_CONNECTOR, id, place);
    bool is_there = false;

    if (!c || !c->type)
        return;
    if (!c->type->raises) {
        gw_build_error(w->b, place, "%s: %s \"%s\" is no detector: anomaly is one", w->name, gw_kind_word(c->kind), id);
        return;
    }
    for (size_t i = 0; i < s->n_components; i++) {
        c = &s->components[i];
        if (!c->type || !c->type->raises || strcmp(c->id, id) != 0)
            continue;
        is_there |= c->is_used;
        check_cycle(w, c, place);
    }
    if (!is_there)
        gw_build_error(w->b, place, "%s: detector \"%s\" stands in no pipeline: it would never say anything", w->name,
                       id);
}

void gw_build_alarms(struct gw_build *b)
{
    for (size_t i = 0; i < b->s->n_components; i++) {
        const struct gw_service_component *c = &b->s->components[i];
        struct watching w = {.b = b, .owner = c};

        if (!c->type || !c->conf || !c->type->watches || !c->is_used)
            continue;
        (void)snprintf(w.name, sizeof(w.name), "%s::%.100s", gw_section_name(c->kind), c->id);
        c->type->watches(c->conf, check, &w);
    }
}
