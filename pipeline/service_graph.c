/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines, references, and what only the whole graph shows: connectors, cycles, order, what is unused. */
#include "pipeline/service_build.h"

#include <stdio.h>

enum { MAX_PIPELINES = 1000, MAX_PATH_TEXT = 700 };

/* ---- one pipeline ----------------------------------------------------------------------------------------- */

struct members {
    struct gw_service_component ***list;
    size_t *n;
};

static bool is_member(struct members m, const struct gw_service_component *c)
{
    for (size_t i = 0; i < *m.n; i++)
        if ((*m.list)[i] == c)
            return true;
    return false;
}

static bool makes(const struct gw_service_component *c, enum gw_signal signal)
{
    return c->type && (c->type->makes & signal);
}

static void add_member(struct gw_build *b, const struct gw_service_pipeline *p, const char *role, unsigned mask,
                       const struct gw_node *n, struct members m)
{
    struct gw_service_component *c;
    char owner[256];

    (void)snprintf(owner, sizeof(owner), "service::pipelines::%.100s", p->id);
    if (n->type == GW_NODE_MAP || n->type == GW_NODE_LIST || n->type == GW_NODE_NULL) {
        gw_build_error(b, &n->place, "%s::%s: must be a list of component ids", owner, role);
        return;
    }
    c = gw_build_lookup(b, owner, mask, n->text, &n->place);
    if (!c)
        return;
    c->is_used = true;
    if (is_member(m, c)) {
        if (c->kind == GW_PROCESSOR)
            gw_build_error(b, &n->place, "%s: processor \"%s\" stands twice", owner, c->id);
        else
            gw_diag_add(b->diag, GW_DIAG_WARNING, &n->place, "%s: \"%s\" stands twice and counts once", owner, c->id);
        return;
    }
    if (c->type && c->type->makes && (mask & 1u << GW_RECEIVER)) {
        if (!makes(c, p->signal)) {
            gw_build_error(b, &n->place, "%s: connector \"%s\" makes %s, not %s", owner, c->id,
                           gw_signal_word((enum gw_signal)c->type->makes), gw_signal_word(p->signal));
            return;
        }
    } else if (c->type && !(c->type->signals & p->signal)) {
        gw_build_error(b, &n->place, "%s: %s \"%s\" does not take %s", owner, gw_kind_word(c->kind), c->id,
                       gw_signal_word(p->signal));
        return;
    } else {
        c->signals |= p->signal;
    }
    (*m.list)[(*m.n)++] = c;
}

static void add_members(struct gw_build *b, const struct gw_service_pipeline *p, const struct gw_node *n, unsigned mask,
                        struct members m)
{
    size_t count = n->type == GW_NODE_LIST ? n->n_children : 1;

    *m.list = gw_build_alloc(b, count * sizeof(**m.list));
    if (!*m.list)
        return;
    if (n->type == GW_NODE_NULL)
        return;
    if (n->type != GW_NODE_LIST) {
        add_member(b, p, n->key, mask, n, m);
        return;
    }
    for (const struct gw_node *c = n->first; c; c = c->next)
        add_member(b, p, n->key, mask, c, m);
}

static void fill_durability(struct gw_build *b, struct gw_service_pipeline *p, const struct gw_node *n)
{
    const char *words[GW_DURABILITY_SINK + 1] = {NULL}, *near;

    for (int d = GW_DURABILITY_MEMORY; d <= GW_DURABILITY_SINK; d++)
        words[d - 1] = gw_durability_name((enum gw_durability)d);
    if (n->type == GW_NODE_MAP || n->type == GW_NODE_LIST || n->type == GW_NODE_NULL) {
        gw_build_error(b, &n->place,
                       "service::pipelines::%.100s::durability: must be memory, page_cache, fsync or sink", p->id);
        return;
    }
    for (int d = GW_DURABILITY_MEMORY; d <= GW_DURABILITY_SINK; d++)
        if (strcmp(n->text, words[d - 1]) == 0)
            p->durability = (enum gw_durability)d;
    if (p->durability)
        return;
    near = gw_suggest(gw_slice_cstr(n->text), words);
    gw_build_error(b, &n->place, "service::pipelines::%.100s::durability: unknown level \"%.60s\"; %s%s%s", p->id,
                   n->text, near ? "did you mean \"" : "there are memory, page_cache, fsync and sink", near ? near : "",
                   near ? "\"?" : "");
}

static void fill_pipeline(struct gw_build *b, struct gw_service_pipeline *p, const struct gw_node *n)
{
    static const char *const words[] = {"receivers", "processors", "exporters", "durability", NULL};
    const unsigned masks[] = {1u << GW_RECEIVER | 1u << GW_CONNECTOR, 1u << GW_PROCESSOR,
                              1u << GW_EXPORTER | 1u << GW_CONNECTOR};
    const struct members members[] = {
        {&p->receivers, &p->n_receivers}, {&p->processors, &p->n_processors}, {&p->exporters, &p->n_exporters}};

    for (const struct gw_node *c = n->first; c; c = c->next) {
        size_t i = 0;

        while (words[i] && strcmp(words[i], c->key) != 0)
            i++;
        if (words[i] && i == 3) {
            fill_durability(b, p, c);
        } else if (words[i]) {
            add_members(b, p, c, masks[i], members[i]);
        } else {
            const char *near = gw_suggest(gw_slice_cstr(c->key), words);

            gw_build_error(b, &c->key_place, "unknown key \"%.60s\" in service::pipelines::%.100s; %s%s%s", c->key,
                           p->id,
                           near ? "did you mean \"" : "its keys are receivers, processors, exporters, durability",
                           near ? near : "", near ? "\"?" : "");
        }
    }
    for (int i = 0; i < 3; i += 2) {
        const struct gw_node *c = gw_node_get(n, words[i]);

        if (!c || (c->n_children == 0 && (c->type == GW_NODE_LIST || c->type == GW_NODE_NULL)))
            gw_build_error(b, c ? &c->key_place : &n->key_place,
                           "service::pipelines::%.100s: must have at least one %.*s", p->id, (int)strlen(words[i]) - 1,
                           words[i]);
    }
}

/* "traces/eu" → traces. False after saying what is wrong. */
static bool parse_pipeline_id(struct gw_build *b, const struct gw_node *n, enum gw_signal *ret)
{
    static const char *const words[] = {"traces", "metrics", "logs", NULL};
    const char *slash = strchr(n->key, '/'), *near;
    char type[64];
    size_t len = slash ? (size_t)(slash - n->key) : strlen(n->key);

    (void)snprintf(type, sizeof(type), "%.*s", (int)(len < 63 ? len : 63), n->key);
    if (gw_build_signal(type, ret)) {
        if (!slash || slash[1])
            return true;
        gw_build_error(b, &n->key_place, "service::pipelines: \"%s\" has no name behind the slash", n->key);
        return false;
    }
    near = gw_suggest(gw_slice_cstr(type), words);
    if (strcmp(type, "profiles") == 0)
        gw_build_error(b, &n->key_place, "service::pipelines::%.100s: profiles are planned and not there yet", n->key);
    else if (near)
        gw_build_error(b, &n->key_place, "service::pipelines: unknown signal \"%s\"; did you mean \"%s\"?", type, near);
    else
        gw_build_error(b, &n->key_place,
                       "service::pipelines: unknown signal \"%s\"; an id is traces, metrics or logs, "
                       "perhaps with a name: traces/eu",
                       type);
    return false;
}

void gw_build_pipelines(struct gw_build *b, const struct gw_node *pipelines)
{
    if (pipelines->type != GW_NODE_MAP) {
        gw_build_error(b, &pipelines->place, "service::pipelines: must be a map of pipelines");
        return;
    }
    if (pipelines->n_children > MAX_PIPELINES) {
        gw_build_error(b, &pipelines->place, "service::pipelines: more than 1000 pipelines");
        return;
    }
    b->s->pipelines = gw_build_alloc(b, pipelines->n_children * sizeof(*b->s->pipelines));
    for (const struct gw_node *n = pipelines->first; n && b->s->pipelines; n = n->next) {
        struct gw_service_pipeline *p = &b->s->pipelines[b->s->n_pipelines];
        enum gw_signal signal;

        if (!parse_pipeline_id(b, n, &signal))
            continue;
        *p = (struct gw_service_pipeline){.id = n->key, .signal = signal};
        b->s->n_pipelines++;
        if (n->type != GW_NODE_MAP && n->type != GW_NODE_NULL)
            gw_build_error(b, &n->place,
                           "service::pipelines::%.100s: must be a map of receivers, processors, exporters", n->key);
        else
            fill_pipeline(b, p, n);
    }
}

void gw_build_extensions(struct gw_build *b, const struct gw_node *list)
{
    const struct gw_node *first = list && list->type == GW_NODE_LIST ? list->first : list;
    size_t count = !list ? 0 : list->type == GW_NODE_LIST ? list->n_children : 1, done = 0;
    struct members m = {&b->s->extensions, &b->s->n_extensions};

    if (list && list->type == GW_NODE_MAP) {
        gw_build_error(b, &list->place, "service::extensions: must be a list of extensions");
        return;
    }
    b->s->extensions = gw_build_alloc(b, count * sizeof(struct gw_service_component *));
    for (const struct gw_node *n = first; n && done < count && b->s->extensions; n = n->next, done++) {
        struct gw_service_component *c;

        if (n->type == GW_NODE_NULL)
            continue;
        c = gw_build_lookup(b, "service::extensions", 1u << GW_EXTENSION, n->text, &n->place);
        if (!c || is_member(m, c))
            continue;
        c->is_used = true;
        b->s->extensions[b->s->n_extensions++] = c;
    }
}

/* ---- references inside settings --------------------------------------------------------------------------- */

static void check_reference(struct gw_build *b, const struct gw_service_component *owner, unsigned mask, const char *id,
                            const struct gw_place *place)
{
    char name[256];
    const struct gw_service_component *c;

    (void)snprintf(name, sizeof(name), "%s::%.100s", gw_section_name(owner->kind), owner->id);
    c = gw_build_lookup(b, name, mask, id, place);
    if (c && c->kind == GW_EXTENSION && !c->is_used)
        gw_build_error(b, place, "%s: extension \"%s\" is configured and not in service::extensions", name, id);
}

static void check_references(struct gw_build *b, const struct gw_service_component *owner,
                             const struct gw_field *fields, const void *conf, const struct gw_node *node);

static void check_list(struct gw_build *b, const struct gw_service_component *owner, const struct gw_field *f,
                       const struct gw_list *l, const struct gw_node *n)
{
    const struct gw_node *c = n->type == GW_NODE_LIST ? n->first : NULL;

    for (size_t i = 0; i < l->n; i++, c = c ? c->next : NULL) {
        if (f->block)
            check_references(b, owner, f->block, (const char *)l->items + i * l->item_size, c ? c : n);
        else if (f->kind_mask)
            check_reference(b, owner, f->kind_mask, ((const char *const *)l->items)[i], c ? &c->place : &n->place);
    }
}

/* Depth is that of the tables. Only what the file wrote can name something. */
static void check_references(struct gw_build *b, const struct gw_service_component *owner,
                             const struct gw_field *fields, const void *conf, const struct gw_node *node)
{
    for (const struct gw_node *c = node->type == GW_NODE_MAP ? node->first : NULL; c; c = c->next) {
        const struct gw_field *f = gw_field_find(fields, c->key);
        const void *p = f ? (const char *)conf + f->offset : NULL;

        if (!f)
            continue;
        if (f->type == GW_F_BLOCK)
            check_references(b, owner, f->block, p, c);
        else if (f->type == GW_F_LIST)
            check_list(b, owner, f, p, c);
        else if (f->type == GW_F_ID && **(const char *const *)p)
            check_reference(b, owner, f->kind_mask, *(const char *const *)p, &c->place);
    }
}

/* ---- ports and connectors --------------------------------------------------------------------------------- */

/* What arrives at the targets of a port: dead letters are logs, everything else what the pipeline carries. */
static unsigned port_signals(const struct gw_service_component *c, const struct gw_service_port *p)
{
    return strcmp(p->name, "dead_letter") == 0 ? GW_LOGS : c->signals;
}

static void use_ports(struct gw_build *b, const struct gw_service_component *c)
{
    for (size_t i = 0; i < c->n_ports; i++) {
        const struct gw_service_port *p = &c->ports[i];
        const struct gw_node *n = gw_node_path(c->node, "ports", p->name, NULL);

        for (size_t t = 0; t < p->n_targets; t++) {
            struct gw_service_component *target = p->targets[t];
            unsigned missing = target->type ? port_signals(c, p) & ~target->type->signals : 0;

            target->is_used = true;
            target->signals |= port_signals(c, p);
            if (missing)
                gw_build_error(b, &n->place, "%s::%s::ports::%s: %s \"%s\" does not take %s", gw_section_name(c->kind),
                               c->id, p->name, gw_kind_word(target->kind), target->id,
                               gw_signal_word((enum gw_signal)(missing & -missing)));
        }
    }
}

static bool has(struct gw_service_component *const *list, size_t n, const struct gw_service_component *c)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == c)
            return true;
    return false;
}

/* Signals of the pipelines that end in c, ports included, and of those that begin with it. */
static void connector_sides(const struct gw_build *b, const struct gw_service_component *c, unsigned *ret_in,
                            unsigned *ret_out)
{
    *ret_in = *ret_out = 0;
    for (size_t i = 0; i < b->s->n_pipelines; i++) {
        const struct gw_service_pipeline *p = &b->s->pipelines[i];

        if (has(p->exporters, p->n_exporters, c))
            *ret_in |= p->signal;
        if (has(p->receivers, p->n_receivers, c))
            *ret_out |= p->signal;
    }
    for (size_t i = 0; i < b->s->n_components; i++)
        for (size_t k = 0; k < b->s->components[i].n_ports; k++)
            if (has(b->s->components[i].ports[k].targets, b->s->components[i].ports[k].n_targets, c))
                *ret_in |= port_signals(&b->s->components[i], &b->s->components[i].ports[k]);
}

static void check_connector(struct gw_build *b, const struct gw_service_component *c)
{
    const struct gw_place *place = &c->node->key_place;
    bool keeps = c->type && c->type->open; /* what nobody reads yet can be read later */
    unsigned in, out;

    connector_sides(b, c, &in, &out);
    if (!in && !out)
        return;
    if (!out && !keeps)
        gw_build_error(b, place, "connectors::%s: it is an exporter of a pipeline and must be a receiver of another",
                       c->id);
    else if (!in)
        gw_build_error(b, place, "connectors::%s: it is a receiver of a pipeline and must be an exporter of another",
                       c->id);
    if (c->type && c->type->makes)
        return; /* what it takes and what it makes was checked in each pipeline */
    for (unsigned s = GW_TRACES; s <= GW_LOGS && in && out; s <<= 1)
        if ((in ^ out) & s & ~(keeps ? in : 0))
            gw_build_error(b, place, "connectors::%s: %s go %s it and no pipeline of %s %s", c->id,
                           gw_signal_word((enum gw_signal)s), in & s ? "into" : "out of",
                           gw_signal_word((enum gw_signal)s),
                           in & s ? "has it as a receiver" : "has it as an exporter");
}

/* ---- order and cycles ------------------------------------------------------------------------------------- */

static bool feeds(const struct gw_service_component *c, const struct gw_service_pipeline *to, unsigned signals)
{
    if (c->kind != GW_CONNECTOR || !has(to->receivers, to->n_receivers, c))
        return false;
    return c->type && c->type->makes ? signals && makes(c, to->signal) : (signals & to->signal) != 0;
}

static bool ports_feed(const struct gw_service_component *c, const struct gw_service_pipeline *to)
{
    for (size_t i = 0; i < c->n_ports; i++)
        for (size_t t = 0; t < c->ports[i].n_targets; t++)
            if (feeds(c->ports[i].targets[t], to, port_signals(c, &c->ports[i])))
                return true;
    return false;
}

bool gw_build_feeds(const struct gw_service_pipeline *from, const struct gw_service_pipeline *to)
{
    for (size_t i = 0; i < from->n_exporters; i++)
        if (feeds(from->exporters[i], to, from->signal) || ports_feed(from->exporters[i], to))
            return true;
    for (size_t i = 0; i < from->n_processors; i++)
        if (ports_feed(from->processors[i], to))
            return true;
    return false;
}

/* Who feeds whom: edges[from * n + to]. Made once, because the look-up goes through all members. */
static bool *make_edges(struct gw_build *b, unsigned **ret_feeders)
{
    size_t n = b->s->n_pipelines;
    bool *edges = gw_build_alloc(b, n * n * sizeof(*edges));
    unsigned *feeders = gw_build_alloc(b, n * sizeof(*feeders));

    if (!edges || !feeders)
        return NULL;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            edges[i * n + k] = gw_build_feeds(&b->s->pipelines[i], &b->s->pipelines[k]);
            feeders[k] += edges[i * n + k];
        }
    *ret_feeders = feeders;
    return edges;
}

/* Some pipeline that feeds `to` and is itself waiting; one exists for every pipeline that is left over. */
static size_t waiting_feeder(const bool *edges, const bool *done, size_t n, size_t to)
{
    size_t from = 0;

    while (from + 1 < n && (done[from] || !edges[from * n + to]))
        from++;
    return from;
}

/* n steps back from a pipeline that never became ready end on the cycle; once more around names it. */
static void report_cycle(struct gw_build *b, const bool *edges, const bool *done, size_t at)
{
    const struct gw_service_pipeline *p = b->s->pipelines;
    size_t n = b->s->n_pipelines, start, len;
    char text[MAX_PATH_TEXT];
    const struct gw_node *node;

    for (size_t i = 0; i < n; i++)
        at = waiting_feeder(edges, done, n, at);
    start = at;
    len = (size_t)snprintf(text, sizeof(text), "%.60s", p[at].id);
    do {
        at = waiting_feeder(edges, done, n, at);
        len += (size_t)snprintf(text + len, sizeof(text) - len, " <- %.60s", p[at].id);
    } while (at != start && len < sizeof(text) - 100);
    node = gw_node_path(b->s->root, "service", "pipelines", p[start].id, NULL);
    gw_build_error(b, node ? &node->key_place : NULL, "service::pipelines: a cycle through connectors: %s", text);
}

/* Pipelines in order of flow; those that nothing forces apart keep the file's order. */
static void sort_pipelines(struct gw_build *b)
{
    size_t n = b->s->n_pipelines, n_done = 0, i = 0;
    struct gw_service_pipeline *sorted = gw_build_alloc(b, n * sizeof(*sorted));
    bool *done = gw_build_alloc(b, n * sizeof(*done)), *edges;
    unsigned *feeders;

    edges = make_edges(b, &feeders);
    if (!sorted || !done || !edges)
        return;
    while (i < n) {
        if (done[i] || feeders[i]) {
            i++;
            continue;
        }
        done[i] = true;
        sorted[n_done] = b->s->pipelines[i];
        sorted[n_done].index = (unsigned)n_done;
        n_done++;
        for (size_t k = 0; k < n; k++)
            feeders[k] -= edges[i * n + k];
        i = 0;
    }
    for (i = 0; i < n && n_done < n; i++)
        if (!done[i]) {
            report_cycle(b, edges, done, i);
            return;
        }
    b->s->pipelines = sorted;
}

/* Not beside errors: a misspelt reference would bring a warning about what it meant. */
static void warn_unused(struct gw_build *b, const struct gw_service_component *c)
{
    if (!c->is_used && b->diag->n_errors == 0)
        gw_diag_add(b->diag, GW_DIAG_WARNING, &c->node->key_place, "%s::%s: configured and %s",
                    gw_section_name(c->kind), c->id,
                    c->kind == GW_EXTENSION ? "not in service::extensions" : "used by no pipeline");
}

void gw_build_graph(struct gw_build *b)
{
    struct gw_service *s = b->s;

    for (size_t i = 0; i < s->n_components; i++)
        if (s->components[i].type && s->components[i].conf)
            check_references(b, &s->components[i], s->components[i].type->fields, s->components[i].conf,
                             s->components[i].node);
    for (size_t i = 0; i < s->n_components && b->extra; i++)
        if (s->components[i].type && s->components[i].extra)
            check_references(b, &s->components[i], b->extra->fields, s->components[i].extra, s->components[i].node);
    /* Twice: an exporter that is used only through a port may have a port of its own. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < s->n_components; i++)
            if (s->components[i].is_used && s->components[i].type)
                use_ports(b, &s->components[i]);
    gw_build_default_ports(b);
    for (size_t i = 0; i < s->n_components; i++) {
        if (s->components[i].kind == GW_CONNECTOR)
            check_connector(b, &s->components[i]);
    }
    if (s->n_pipelines)
        sort_pipelines(b);
    gw_build_alarms(b);
    gw_build_durability(b);
    gw_build_keep(b);
    for (size_t i = 0; i < s->n_components; i++)
        warn_unused(b, &s->components[i]);
}
