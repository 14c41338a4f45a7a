/* SPDX-License-Identifier: Apache-2.0 */
/* What print-config shows: the tree without secrets. The tables say what a secret is; where there is no table, names
 * do. */
#include "pipeline/service.h"

#include "pipeline/exporter.h"

#include <strings.h>

struct redact {
    const struct gw_service_options *options;
    struct gw_arena *arena;
    bool failed;
};

static const char redacted[] = "[REDACTED]";

static bool sounds_secret(const char *key)
{
    static const char *const words[] = {"password", "passwd", "secret",        "token",
                                        "api_key",  "apikey", "authorization", "key_pem"};

    for (size_t i = 0; key && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasestr(key, words[i]))
            return true;
    return false;
}

static struct gw_node *copy_node(struct redact *r, const struct gw_node *from, struct gw_node *parent)
{
    struct gw_node *n = gw_arena_alloc(r->arena, sizeof(*n));

    if (!n) {
        r->failed = true;
        return NULL;
    }
    *n = *from;
    n->parent = parent;
    n->next = n->first = n->last = NULL;
    n->n_children = 0;
    if (parent) {
        *(parent->last ? &parent->last->next : &parent->first) = n;
        parent->last = n;
        parent->n_children++;
    }
    return n;
}

static void hide(struct gw_node *n)
{
    if (n->type == GW_NODE_NULL || n->type == GW_NODE_MAP || n->type == GW_NODE_LIST)
        return;
    n->type = GW_NODE_STRING;
    n->text = redacted;
}

/* Two tables may describe one tree; `secret` holds for everything below. Depth is bounded by the parser. */
static void copy_tree(struct redact *r, const struct gw_node *from, struct gw_node *to,
                      const struct gw_field *const tables[2], bool secret)
{
    for (const struct gw_node *c = from->first; c && !r->failed; c = c->next) {
        const struct gw_field *f = from->type == GW_NODE_MAP ? gw_field_find(tables[0], c->key) : NULL;
        const struct gw_field *below[2] = {NULL, NULL};
        struct gw_node *n = copy_node(r, c, to);
        bool is_secret = secret;

        if (!n)
            return;
        if (!f && from->type == GW_NODE_MAP)
            f = gw_field_find(tables[1], c->key);
        if (from->type == GW_NODE_LIST)
            below[0] = tables[0];
        else if (f)
            below[0] = f->block;
        is_secret = is_secret || (f && (f->type == GW_F_SECRET || f->secret_values));
        if (!f || f->type == GW_F_ANY || f->type == GW_F_MAP || (f->type == GW_F_LIST && !f->block))
            is_secret = is_secret || sounds_secret(c->key);
        /* Of a list of {name, value} the names may be seen. */
        if (is_secret && !(from->type == GW_NODE_MAP && from->parent && from->parent->type == GW_NODE_LIST &&
                           strcmp(c->key, "name") == 0))
            hide(n);
        copy_tree(r, c, n, below, is_secret);
    }
}

static const struct gw_component *type_of(const struct gw_service_options *o, enum gw_kind kind, const char *id)
{
    struct gw_slice name = gw_slice_of(id, strcspn(id, "/"));

    for (const struct gw_component *const *t = o->components; *t; t++) {
        if ((*t)->kind != kind)
            continue;
        if (gw_slice_is(name, (*t)->name))
            return *t;
        for (const char *const *a = (*t)->aliases; a && *a; a++)
            if (gw_slice_is(name, *a))
                return *t;
    }
    return NULL;
}

static void copy_section(struct redact *r, const struct gw_node *section, struct gw_node *to, enum gw_kind kind)
{
    for (const struct gw_node *c = section->first; c && !r->failed; c = c->next) {
        const struct gw_component *t = c->key ? type_of(r->options, kind, c->key) : NULL;
        const struct gw_field *tables[2] = {t ? t->fields : NULL, NULL};
        struct gw_node *n = copy_node(r, c, to);

        if (t && t->exporter && t->exporter->queued && r->options->exporter_extra)
            tables[1] = r->options->exporter_extra->fields;
        if (n)
            copy_tree(r, c, n, tables, /* secret= */ false);
    }
}

struct gw_node *gw_service_redact(const struct gw_node *root, const struct gw_service_options *options,
                                  struct gw_arena *arena)
{
    static const char *const sections[GW_N_KINDS] = {"receivers", "processors", "connectors", "exporters",
                                                     "extensions"};
    struct redact r = {.options = options, .arena = arena};
    struct gw_node *ret = copy_node(&r, root, NULL);

    for (const struct gw_node *c = root->first; c && ret && !r.failed; c = c->next) {
        const struct gw_field *none[2] = {NULL, NULL};
        struct gw_node *n = copy_node(&r, c, ret);
        unsigned k = 0;

        while (k < GW_N_KINDS && !(c->key && strcmp(c->key, sections[k]) == 0))
            k++;
        if (n && k < GW_N_KINDS)
            copy_section(&r, c, n, (enum gw_kind)k);
        else if (n)
            copy_tree(&r, c, n, none, /* secret= */ false);
    }
    return r.failed ? NULL : ret;
}
