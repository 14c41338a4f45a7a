/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `service::dead_letters`: where every dead letter goes that has no way of its own.
 *
 *   to: absent       the first storage in service::extensions, if there is one
 *       none         nowhere: what is given up is counted and logged
 *       a storage    the dead letter store on it
 *       an exporter  that one
 *
 * A store that the file does not configure is configured here, as `exporters: dead_letter_store: { storage: … }`.
 */
#include <stdio.h>

#include "config/yaml.h"
#include "pipeline/service_build.h"

static const char store[] = "dead_letter_store";

#define D struct gw_dead_letters_conf
const struct gw_field gw_dead_letters_fields[] = {
    GW_STRING_FIELD(D, to, "to", "",
                    "Storage or exporter for dead letters without a port of their own, or none; empty = the first "
                    "storage of service::extensions."),
    GW_U64_FIELD(D, max_request_kib, "max_request_kib", "1024", 1, 1 << 20,
                 "Of a request that cannot be decoded, so much is kept."),
    GW_U64_FIELD(D, requests_per_second, "requests_per_second", "10", 0, 1e6,
                 "So many requests that cannot be decoded are kept, by each worker; others are only counted."),
    {0},
};
#undef D

static const struct gw_service_component *storage(const struct gw_build *b, const char *id)
{
    for (size_t i = 0; i < b->s->n_extensions; i++) {
        const struct gw_service_component *c = b->s->extensions[i];

        if (c->type && c->type->storage && (!*id || strcmp(c->id, id) == 0))
            return c;
    }
    return NULL;
}

static struct gw_service_component *configured_store(const struct gw_build *b)
{
    for (size_t i = 0; i < b->s->n_components; i++)
        if (b->s->components[i].type && strcmp(b->s->components[i].type->name, store) == 0)
            return &b->s->components[i];
    return NULL;
}

/* NULL: the binary has none, which is a mistake only when the file asks for it. */
static struct gw_service_component *make_store(struct gw_build *b, const char *storage_id)
{
    const struct gw_node *section;
    char text[1200];

    (void)snprintf(text, sizeof(text), "%s: { storage: \"%s\" }", store, storage_id);
    section = gw_yaml_parse(gw_slice_cstr(text), "built-in", &b->s->arena, b->diag);
    if (!section || !gw_build_has_type(b, GW_EXPORTER, gw_slice_cstr(store)))
        return NULL;
    return gw_build_component(b, GW_EXPORTER, section->first);
}

static struct gw_service_component *choose(struct gw_build *b, const char *to, const struct gw_place *place)
{
    const struct gw_service_component *s = strcmp(to, "none") == 0 ? NULL : storage(b, to);
    struct gw_service_component *c;

    if (!*to) {
        c = s ? configured_store(b) : NULL;
        return c || !s ? c : make_store(b, s->id);
    }
    if (strcmp(to, "none") == 0)
        return NULL;
    if (s && configured_store(b)) {
        gw_build_error(b, place, "service::dead_letters::to: name the configured store \"%s\" instead of its storage",
                       configured_store(b)->id);
        return NULL;
    }
    if (s) {
        c = make_store(b, s->id);
        if (!c)
            gw_build_error(b, place, "service::dead_letters::to: there is no %s", store);
        return c;
    }
    c = gw_build_lookup(b, "service::dead_letters::to", 1u << GW_EXPORTER | 1u << GW_EXTENSION, to, place);
    if (c && c->kind == GW_EXTENSION) {
        gw_build_error(b, place, "service::dead_letters::to: extension \"%s\" is no storage of service::extensions",
                       to);
        return NULL;
    }
    if (c && c->type && !(c->type->signals & GW_LOGS))
        gw_build_error(b, place, "service::dead_letters::to: exporter \"%s\" does not take logs", to);
    return c;
}

void gw_build_dead_letters(struct gw_build *b, const struct gw_node *block)
{
    const struct gw_node *to = gw_node_get(block, "to");
    struct gw_service_component *c;

    if (gw_schema_fill(gw_dead_letters_fields, sizeof(b->s->dead_letters), block, &b->s->dead_letters, &b->s->arena,
                       b->diag) < 0)
        return;
    c = choose(b, b->s->dead_letters.to, to ? &to->place : NULL);
    if (!c)
        return;
    c->is_used = true;
    c->signals |= GW_LOGS;
    b->s->dead_letter_output = c;
}

/* ---- the ports that lead nowhere -------------------------------------------------------------------------- */

static bool leads_to(const struct gw_service_component *from, const struct gw_service_component *to, unsigned depth)
{
    if (from == to)
        return true;
    for (size_t i = 0; i < from->n_ports && depth; i++)
        for (size_t t = 0; t < from->ports[i].n_targets; t++)
            if (leads_to(from->ports[i].targets[t], to, depth - 1))
                return true;
    return false;
}

static bool is_wired(const struct gw_service_component *c)
{
    for (size_t i = 0; i < c->n_ports; i++)
        if (strcmp(c->ports[i].name, "dead_letter") == 0)
            return true;
    return false;
}

static void wire(struct gw_build *b, struct gw_service_component *c, unsigned port)
{
    struct gw_service_port *ports = gw_build_alloc(b, (c->n_ports + 1) * sizeof(*ports));
    struct gw_service_component **targets = gw_build_alloc(b, sizeof(*targets));

    if (!ports || !targets)
        return;
    if (c->n_ports)
        memcpy(ports, c->ports, c->n_ports * sizeof(*ports));
    targets[0] = b->s->dead_letter_output;
    ports[c->n_ports++] = (struct gw_service_port){"dead_letter", port, targets, 1};
    c->ports = ports;
}

void gw_build_default_ports(struct gw_build *b)
{
    const struct gw_service_component *to = b->s->dead_letter_output;

    for (size_t i = 0; i < b->s->n_components && to; i++) {
        struct gw_service_component *c = &b->s->components[i];
        const char *const *names = c->type && c->is_used ? gw_build_port_names(c->type) : NULL;

        /* What is behind the output itself would come back to it. */
        if (!names || is_wired(c) || leads_to(to, c, (unsigned)b->s->n_components))
            continue;
        for (unsigned p = 0; names[p]; p++)
            if (strcmp(names[p], "dead_letter") == 0)
                wire(b, c, p + 1);
    }
}
