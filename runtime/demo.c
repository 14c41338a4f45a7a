/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --demo puts one more receiver into a graph that is already described. Components are named by pointers into an
 * array, so the array is copied with room for one more and all pointers follow.
 */
#include "runtime/demo.h"

static struct gw_service_component *moved(const struct gw_service *s, struct gw_service_component *to,
                                          const struct gw_service_component *c)
{
    return to + (c - s->components);
}

static void move_list(const struct gw_service *s, struct gw_service_component *to, struct gw_service_component **list,
                      size_t n)
{
    for (size_t i = 0; i < n; i++)
        list[i] = moved(s, to, list[i]);
}

static void move_all(struct gw_service *s, struct gw_service_component *to)
{
    memcpy(to, s->components, s->n_components * sizeof(*to));
    for (size_t i = 0; i < s->n_components; i++)
        for (size_t p = 0; p < to[i].n_ports; p++)
            move_list(s, to, to[i].ports[p].targets, to[i].ports[p].n_targets);
    for (size_t i = 0; i < s->n_pipelines; i++) {
        move_list(s, to, s->pipelines[i].receivers, s->pipelines[i].n_receivers);
        move_list(s, to, s->pipelines[i].processors, s->pipelines[i].n_processors);
        move_list(s, to, s->pipelines[i].exporters, s->pipelines[i].n_exporters);
    }
    move_list(s, to, s->extensions, s->n_extensions);
    s->components = to;
}

static bool is_fed_by_receiver(const struct gw_service_pipeline *p)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (p->receivers[i]->kind == GW_RECEIVER)
            return true;
    return false;
}

static int join(struct gw_service *s, struct gw_service_pipeline *p, struct gw_service_component *c)
{
    struct gw_service_component **list =
        gw_arena_alloc(&s->arena, (p->n_receivers + 1) * sizeof(struct gw_service_component *));

    if (!list)
        return -ENOMEM;
    memcpy(list, p->receivers, p->n_receivers * sizeof(struct gw_service_component *));
    list[p->n_receivers++] = c;
    p->receivers = list;
    c->signals |= p->signal;
    return 0;
}

int gw_demo_add(struct gw_service *s, struct gw_err *err)
{
    bool old;
    const struct gw_component *type = gw_component_find(GW_RECEIVER, GW_SLICE("demo"), &old);
    struct gw_service_component *to = gw_arena_zalloc(&s->arena, (s->n_components + 1) * sizeof(*to)), *c;
    void *conf = type ? gw_arena_zalloc(&s->arena, type->conf_size) : NULL;

    if (!type || gw_service_find(s, GW_RECEIVER, "demo"))
        return gw_fail(err, -EEXIST, "--demo: the configuration has a demo receiver of its own");
    if (!to || !conf || gw_schema_defaults(type->fields, type->conf_size, conf, &s->arena) < 0)
        return gw_fail(err, -ENOMEM, "--demo: out of memory");
    move_all(s, to);
    c = &to[s->n_components];
    *c = (struct gw_service_component){.kind = GW_RECEIVER,
                                       .id = "demo",
                                       .name = "",
                                       .type = type,
                                       .conf = conf,
                                       .index = (unsigned)s->n_components,
                                       .is_used = true};
    s->n_components++;
    for (size_t i = 0; i < s->n_pipelines; i++)
        if (is_fed_by_receiver(&s->pipelines[i]) && (type->signals & s->pipelines[i].signal) &&
            join(s, &s->pipelines[i], c) < 0)
            return gw_fail(err, -ENOMEM, "--demo: out of memory");
    return 0;
}
