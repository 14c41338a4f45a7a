/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and merging; ${...} is in expand.c. */
#include "config/load.h"

#include "config/expand.h"
#include "config/yaml.h"

#include <stdio.h>
#include <stdlib.h>

static const char *process_variable(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

/* ---- merging ---------------------------------------------------------------------------------------------- */

static void append(struct gw_node *parent, struct gw_node *n)
{
    n->parent = parent;
    n->next = NULL;
    *(parent->last ? &parent->last->next : &parent->first) = n;
    parent->last = n;
    parent->n_children++;
}

/* `n` takes the place of `old` among the children of map. */
static void replace(struct gw_node *map, const struct gw_node *old, struct gw_node *n)
{
    struct gw_node **link = &map->first;

    while (*link != old)
        link = &(*link)->next;
    n->parent = map;
    n->next = old->next;
    *link = n;
    if (map->last == old)
        map->last = n;
}

/* Maps join, everything else of `from` replaces. Depth is bounded by the parser. */
static void merge(struct gw_node *into, struct gw_node *from)
{
    struct gw_node *next;
    bool fresh = !into->first; /* keys of one map differ: with thousands of them, looking each up takes its time */

    for (struct gw_node *c = from->first; c; c = next) {
        struct gw_node *old = fresh ? NULL : (struct gw_node *)(uintptr_t)gw_node_get(into, c->key);

        next = c->next;
        if (!old)
            append(into, c);
        else if (old->type == GW_NODE_MAP && c->type == GW_NODE_MAP)
            merge(old, c);
        else
            replace(into, old, c);
    }
}

static bool has_paths(const struct gw_node *map)
{
    for (const struct gw_node *c = map->first; c; c = c->next)
        if (gw_last_separator(c->key))
            return true;
    return false;
}

/* "a::b: v" at the root stands for a: {b: v}. Returns a root without such keys. */
static struct gw_node *unflatten(struct gw_load *ld, struct gw_node *root)
{
    struct gw_node *flat, *next;

    if (!has_paths(root))
        return root;
    flat = gw_load_node(ld, GW_NODE_MAP, &root->place);
    for (struct gw_node *c = root->first; c && flat; c = next) {
        struct gw_node *top = c;
        const char *key = c->key, *sep;
        struct gw_node *holder = gw_load_node(ld, GW_NODE_MAP, &c->place);

        next = c->next;
        if (!holder)
            return NULL;
        /* From the right: the value first, then a map around it for each part. */
        for (unsigned depth = 0; (sep = gw_last_separator(key)) && depth < GW_YAML_MAX_DEPTH / 2; depth++) {
            struct gw_node *outer = gw_load_node(ld, GW_NODE_MAP, &c->place);

            if (!outer)
                return NULL;
            top->key = sep + 2;
            outer->key_place = c->key_place;
            append(outer, top);
            key = outer->key = gw_load_text(ld, key, (size_t)(sep - key));
            top = outer;
        }
        append(holder, top);
        merge(flat, holder);
    }
    return flat;
}

/* ---- sources ---------------------------------------------------------------------------------------------- */

static void merge_text(struct gw_load *ld, struct gw_node *root, struct gw_slice text, const char *source)
{
    struct gw_node *n = gw_yaml_parse(text, source, ld->arena, ld->diag);

    if (!n || n->type == GW_NODE_NULL)
        return;
    if (n->type != GW_NODE_MAP) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, &n->place,
                    "a configuration is a map, with keys such as receivers, "
                    "exporters and service");
        return;
    }
    n = unflatten(ld, n);
    if (n)
        merge(root, n);
}

static void forget_lines(struct gw_node *n)
{
    n->place.line = n->key_place.line = 0;
    for (struct gw_node *c = n->first; c; c = c->next)
        forget_lines(c);
}

static void load_uri(struct gw_load *ld, struct gw_node *root, const char *uri)
{
    struct gw_raw raw = {0};
    const char *opaque = uri;
    enum gw_scheme scheme = gw_uri_scheme(&opaque);

    if (scheme == GW_SCHEME_BUILTIN) {
        merge_text(ld, root, gw_slice_cstr(gw_config_builtin), "built-in configuration");
        return;
    }
    if (gw_load_read(ld, scheme == GW_SCHEME_NONE ? GW_SCHEME_FILE : scheme, opaque, NULL, &raw) == 0)
        merge_text(ld, root, raw.text, raw.source);
    gw_raw_clear(&raw);
}

/* "a.b=v" is the YAML text "a::b: v". */
static void load_set(struct gw_load *ld, struct gw_node *root, const char *set)
{
    const char *eq = strchr(set, '=');
    size_t n_key = eq ? (size_t)(eq - set) : 0, at = 0;
    char *text, *source;
    struct gw_node *mine;

    if (n_key == 0) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, &(struct gw_place){.source = "--set"},
                    "\"%.60s\" is not of the form key=value, for example processors.batch.timeout=2s", set);
        return;
    }
    text = gw_arena_alloc(ld->arena, 2 * n_key + strlen(eq) + 4);
    source = gw_arena_alloc(ld->arena, n_key + 8);
    mine = gw_load_node(ld, GW_NODE_MAP, &(struct gw_place){.source = "--set"});
    if (!text || !source || !mine)
        return;
    for (const char *s = set; s < eq; s++) {
        text[at++] = *s == '.' ? ':' : *s;
        if (*s == '.')
            text[at++] = ':';
    }
    (void)sprintf(text + at, ": %s", eq + 1);
    (void)sprintf(source, "--set %.*s", (int)n_key, set); /* the value may be a secret */
    merge_text(ld, mine, gw_slice_cstr(text), source);
    forget_lines(mine);
    merge(root, mine);
}

int gw_config_load(const struct gw_config_request *rq, struct gw_arena *arena, struct gw_diag *diag,
                   const struct gw_node **ret_root)
{
    struct gw_load ld = {.arena = arena,
                         .diag = diag,
                         .env = rq->env,
                         .variable = rq->variable,
                         .arg = rq->variable_arg,
                         .reads = rq->reads,
                         .reads_arg = rq->reads_arg};
    unsigned errors = diag->n_errors;
    struct gw_node *root = gw_load_node(&ld, GW_NODE_MAP, &(struct gw_place){.source = NULL});

    if (!root)
        return -ENOMEM;
    if (!ld.variable)
        ld.variable = process_variable;
    for (size_t i = 0; i < rq->n_uris; i++)
        load_uri(&ld, root, rq->uris[i]);
    for (size_t i = 0; i < rq->n_sets; i++)
        load_set(&ld, root, rq->sets[i]);
    if (root->first)
        root->place = (struct gw_place){root->first->key_place.source, 1, 1};
    else if (rq->n_uris)
        root->place.source = rq->uris[0];
    gw_load_expand(&ld, root);
    if (diag->n_errors != errors)
        return ld.first_error ? ld.first_error : -EINVAL;
    *ret_root = root;
    return 0;
}
