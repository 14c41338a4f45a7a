/* SPDX-License-Identifier: Apache-2.0 */
/* The five sections: every id checked, every block of settings filled. */
#include "pipeline/service_build.h"

#include "pipeline/exporter.h"

#include <stdio.h>

enum { MAX_TYPE = 63, MAX_NAME = 1024 };

struct ports_conf {
    const struct gw_node *ports;
};
static const struct gw_field ports_fields[] = {
    GW_ANY_FIELD(struct ports_conf, ports, "ports", "Where the component's other outputs go: name: [exporters]."),
    {0},
};

/* ^[a-zA-Z][0-9a-zA-Z_]{0,62}$, then perhaps a slash and a printable name. Returns the length of the type, 0 = bad. */
static size_t check_id(const char *id)
{
    size_t n = 0;

    for (; id[n] && id[n] != '/'; n++) {
        bool letter = (id[n] >= 'a' && id[n] <= 'z') || (id[n] >= 'A' && id[n] <= 'Z');

        if (!letter && (n == 0 || !((id[n] >= '0' && id[n] <= '9') || id[n] == '_')))
            return 0;
    }
    if (n > MAX_TYPE || (id[n] == '/' && (id[n + 1] == '\0' || strlen(id + n + 1) > MAX_NAME)))
        return 0;
    for (const char *p = id + n; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return 0;
    return n;
}

static bool has_alias(const struct gw_component *t, struct gw_slice name)
{
    for (const char *const *a = t->aliases; a && *a; a++)
        if (gw_slice_is(name, *a))
            return true;
    return false;
}

static const struct gw_component *find_type(struct gw_build *b, enum gw_kind kind, struct gw_slice name)
{
    for (const struct gw_component *const *t = b->types; *t; t++)
        if ((*t)->kind == kind && (gw_slice_is(name, (*t)->name) || has_alias(*t, name)))
            return *t;
    return NULL;
}

bool gw_build_has_type(struct gw_build *b, enum gw_kind kind, struct gw_slice name)
{
    return find_type(b, kind, name) != NULL;
}

static const struct gw_planned *find_planned(enum gw_kind kind, struct gw_slice name)
{
    for (const struct gw_planned *p = gw_planned; p->name; p++)
        if (p->kind == kind && gw_slice_is(name, p->name))
            return p;
    return NULL;
}

/* All names of a kind, for the message, and the one that was meant. */
static void unknown_type(struct gw_build *b, enum gw_kind kind, struct gw_slice name, const struct gw_node *n)
{
    const char *words[257] = {NULL}, *near;
    char list[600] = "";
    size_t count = 0, at = 0;

    for (const struct gw_component *const *t = b->types; *t && count < 200; t++) {
        if ((*t)->kind != kind)
            continue;
        words[count++] = (*t)->name;
        if (at < sizeof(list))
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", (*t)->name);
    }
    near = gw_suggest(name, words);
    for (const struct gw_planned *p = gw_planned; p->name && !near && count < 256; p++)
        if (p->kind == kind && !p->instead)
            words[count++] = p->name;
    if (near)
        gw_build_error(b, &n->key_place, "%s::%s: unknown %s type \"%.*s\"; did you mean \"%s\"?",
                       gw_section_name(kind), n->key, gw_kind_word(kind), (int)name.n, (const char *)name.p, near);
    else if ((near = gw_suggest(name, words)))
        gw_build_error(b, &n->key_place, "%s::%s: unknown %s type \"%.*s\"; \"%s\" is planned and not there yet",
                       gw_section_name(kind), n->key, gw_kind_word(kind), (int)name.n, (const char *)name.p, near);
    else
        gw_build_error(b, &n->key_place, "%s::%s: unknown %s type \"%.*s\"; there are %s", gw_section_name(kind),
                       n->key, gw_kind_word(kind), (int)name.n, (const char *)name.p, *list ? list : "none");
}

static const struct gw_component *resolve_type(struct gw_build *b, enum gw_kind kind, struct gw_slice name,
                                               const struct gw_node *n)
{
    const struct gw_component *t = find_type(b, kind, name);
    const struct gw_planned *p = find_planned(kind, name);

    if (t) {
        if (!gw_slice_is(name, t->name))
            gw_diag_add(b->diag, GW_DIAG_WARNING, &n->key_place, "%s::%s: \"%.*s\" is the old name of \"%s\"",
                        gw_section_name(kind), n->key, (int)name.n, (const char *)name.p, t->name);
        return t;
    }
    if (p && p->instead)
        gw_build_error(b, &n->key_place, "%s::%s: there is no \"%s\" any more; use %s", gw_section_name(kind), n->key,
                       p->name, p->instead);
    else if (p)
        gw_build_error(b, &n->key_place, "%s::%s: the %s \"%s\" is planned and not there yet", gw_section_name(kind),
                       n->key, gw_kind_word(kind), p->name);
    else
        unknown_type(b, kind, name, n);
    return NULL;
}

/* ---- settings --------------------------------------------------------------------------------------------- */

const char *const *gw_build_port_names(const struct gw_component *t)
{
    static const char *const dead_letter[] = {"dead_letter", NULL};

    if (t->ports)
        return t->ports;
    return t->kind == GW_EXPORTER && t->exporter && t->exporter->queued ? dead_letter : NULL;
}

static void no_such_port(struct gw_build *b, const struct gw_service_component *c, const struct gw_node *n,
                         const char *const *names)
{
    const char *near = gw_suggest(gw_slice_cstr(n->key), names);

    gw_build_error(b, &n->key_place, "%s::%s::ports: \"%s\" has no port \"%.60s\"; did you mean \"%s\"?",
                   gw_section_name(c->kind), c->id, c->type->name, n->key, near ? near : names[0]);
}

static void build_port(struct gw_build *b, struct gw_service_component *c, const struct gw_node *n,
                       const char *const *names)
{
    struct gw_service_port *p = &c->ports[c->n_ports];
    const struct gw_node *first = n->type == GW_NODE_LIST ? n->first : n;
    size_t count = n->type == GW_NODE_LIST ? n->n_children : 1;

    for (unsigned i = 0; names[i]; i++)
        if (strcmp(names[i], n->key) == 0)
            *p = (struct gw_service_port){.name = names[i], .port = i + 1};
    if (!p->name) {
        no_such_port(b, c, n, names);
        return;
    }
    if (n->type == GW_NODE_MAP || n->type == GW_NODE_NULL) {
        gw_build_error(b, &n->place, "%s::%s::ports::%s: must be a list of exporters", gw_section_name(c->kind), c->id,
                       n->key);
        return;
    }
    p->targets = gw_build_alloc(b, count * sizeof(struct gw_service_component *));
    if (!p->targets)
        return;
    c->n_ports++;
    for (const struct gw_node *t = first; p->n_targets < count; t = t->next) {
        char owner[256];

        (void)snprintf(owner, sizeof(owner), "%s::%.100s::ports::%s", gw_section_name(c->kind), c->id, p->name);
        p->targets[p->n_targets] =
            gw_build_lookup(b, owner, 1u << GW_EXPORTER | 1u << GW_CONNECTOR, t->text, &t->place);
        if (!p->targets[p->n_targets++])
            count--, p->n_targets--;
    }
}

static void build_ports(struct gw_build *b, struct gw_service_component *c)
{
    const struct gw_node *n = gw_node_get(c->node, "ports");
    const char *const *names = c->type ? gw_build_port_names(c->type) : NULL;

    if (!n || !names || n->type == GW_NODE_NULL)
        return;
    if (n->type != GW_NODE_MAP) {
        gw_build_error(b, &n->place, "%s::%s::ports: must be a map of port names", gw_section_name(c->kind), c->id);
        return;
    }
    c->ports = gw_build_alloc(b, n->n_children * sizeof(*c->ports));
    for (const struct gw_node *p = n->first; p && c->ports; p = p->next)
        build_port(b, c, p, names);
}

static void fill(struct gw_build *b, struct gw_service_component *c)
{
    const struct gw_component *t = c->type;
    bool queued = t->kind == GW_EXPORTER && t->exporter && t->exporter->queued && b->extra;
    void *conf = gw_build_alloc(b, t->conf_size), *extra = queued ? gw_build_alloc(b, b->extra->conf_size) : NULL;
    struct ports_conf ports;
    struct gw_settings tables[3] = {{.fields = t->fields, .conf_size = t->conf_size, .conf = conf}};
    size_t n = 1;
    int rc;

    if (!conf || (queued && !extra))
        return;
    if (queued)
        tables[n++] = (struct gw_settings){b->extra->fields, b->extra->conf_size, extra, b->extra->adjust, t->exporter};
    if (gw_build_port_names(t))
        tables[n++] = (struct gw_settings){.fields = ports_fields, .conf_size = sizeof(ports), .conf = &ports};
    c->conf = conf;
    c->extra = extra;
    rc = gw_schema_fill_tables(tables, n, c->node, &b->s->arena, b->diag);
    if (t->check_trees)
        t->check_trees(conf, c->node, b->diag);
    if (rc < 0)
        return;
    if (queued && b->extra->finish)
        b->extra->finish(extra, t->exporter, conf, c->node, b->diag);
    if (t->check)
        t->check(conf, c->node, b->diag);
}

/* ---- sections --------------------------------------------------------------------------------------------- */

struct gw_service_component *gw_build_component(struct gw_build *b, enum gw_kind kind, const struct gw_node *n)
{
    struct gw_service_component *c = &b->s->components[b->s->n_components];
    size_t len = check_id(n->key);

    if (len == 0) {
        gw_build_error(b, &n->key_place,
                       "%s: \"%.80s\" is not a component id: type or type/name, where a type is letters, "
                       "digits and _",
                       gw_section_name(kind), n->key);
        return NULL;
    }
    *c = (struct gw_service_component){.kind = kind, .id = n->key, .node = n, .index = (unsigned)b->s->n_components++};
    c->name = n->key[len] ? n->key + len + 1 : "";
    c->type = resolve_type(b, kind, gw_slice_of(n->key, len), n);
    if (c->type)
        fill(b, c);
    return c;
}

void gw_build_components(struct gw_build *b)
{
    size_t n = 0;

    for (unsigned k = 0; k < GW_N_KINDS; k++) {
        const struct gw_node *section = gw_node_get(b->s->root, gw_section_name((enum gw_kind)k));

        n += section && section->type == GW_NODE_MAP ? section->n_children : 0;
    }
    n++; /* the dead letter store that nobody configured */
    b->s->components = gw_build_alloc(b, n * sizeof(*b->s->components));
    for (unsigned k = 0; k < GW_N_KINDS && b->s->components; k++) {
        const struct gw_node *section = gw_node_get(b->s->root, gw_section_name((enum gw_kind)k));

        if (!section || section->type != GW_NODE_MAP)
            continue;
        for (const struct gw_node *c = section->first; c; c = c->next)
            (void)gw_build_component(b, (enum gw_kind)k, c);
    }
    for (size_t i = 0; i < b->s->n_components; i++)
        build_ports(b, &b->s->components[i]);
}
