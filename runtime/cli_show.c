/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli_show.h"

#include <math.h>

/* ---- components ------------------------------------------------------------------------------------------- */

static void put_one(struct gw_buf *out, const struct gw_component *c)
{
    static const struct {
        const char *name;
        unsigned signal;
    } signals[] = {{"logs", GW_LOGS}, {"metrics", GW_METRICS}, {"traces", GW_TRACES}};

    gw_buf_printf(out, "    - name: %s\n", c->name);
    gw_buf_printf(out, "      module: staunch/%ss/%s v%s\n", gw_kind_name(c->kind), c->name, GW_VERSION);
    gw_buf_printf(out, "      summary: \"%s\"\n", c->summary ? c->summary : "");
    if (c->aliases) {
        gw_buf_put_str(out, "      deprecated_names:\n");
        for (const char *const *a = c->aliases; *a; a++)
            gw_buf_printf(out, "        - %s\n", *a);
    }
    gw_buf_put_str(out, "      stability:\n");
    if (c->kind == GW_EXTENSION)
        gw_buf_put_str(out, "        extension: Beta\n");
    for (size_t i = 0; i < 3 && c->makes; i++)
        if (c->signals & signals[i].signal)
            gw_buf_printf(out, "        %s-to-%s: Beta\n", signals[i].name, gw_signal_name((enum gw_signal)c->makes));
    for (size_t i = 0; i < 3 && c->kind != GW_EXTENSION && !c->makes; i++)
        gw_buf_printf(out, "        %s: %s\n", signals[i].name, c->signals & signals[i].signal ? "Beta" : "Undefined");
}

void gw_cli_put_components(struct gw_buf *out, const struct gw_component *const *components)
{
    static const enum gw_kind order[] = {GW_RECEIVER, GW_PROCESSOR, GW_EXPORTER, GW_CONNECTOR, GW_EXTENSION};

    gw_buf_printf(out, "buildinfo:\n    command: staunch\n    description: OpenTelemetry gateway\n    version: %s\n",
                  GW_VERSION);
    for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
        bool any = false;

        for (const struct gw_component *const *c = components; *c; c++)
            any = any || (*c)->kind == order[k];
        gw_buf_printf(out, "%ss:%s\n", gw_kind_name(order[k]), any ? "" : " []");
        for (const struct gw_component *const *c = components; *c; c++)
            if ((*c)->kind == order[k])
                put_one(out, *c);
    }
    gw_buf_put_str(out, "providers:\n    - scheme: env\n    - scheme: file\n    - scheme: http\n    - scheme: https\n  "
                        "  - scheme: yaml\nconverters: []\n");
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

static void put_json_text(struct gw_buf *out, const char *s)
{
    gw_buf_put_u8(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            gw_buf_printf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            gw_buf_printf(out, "\\u%04x", (unsigned char)*s);
        else
            gw_buf_put_u8(out, (uint8_t)*s);
    }
    gw_buf_put_u8(out, '"');
}

static void put_indent(struct gw_buf *out, unsigned depth)
{
    gw_buf_put_u8(out, '\n');
    while (depth--)
        gw_buf_put_str(out, "  ");
}

static void put_json(struct gw_buf *out, const struct gw_node *n, unsigned depth);

static void put_json_children(struct gw_buf *out, const struct gw_node *n, unsigned depth)
{
    bool is_map = n->type == GW_NODE_MAP;

    gw_buf_put_u8(out, is_map ? '{' : '[');
    for (const struct gw_node *c = n->first; c; c = c->next) {
        put_indent(out, depth + 1);
        if (is_map) {
            put_json_text(out, c->key);
            gw_buf_put_str(out, ": ");
        }
        put_json(out, c, depth + 1);
        if (c->next)
            gw_buf_put_u8(out, ',');
    }
    if (n->first)
        put_indent(out, depth);
    gw_buf_put_u8(out, is_map ? '}' : ']');
}

/* Depth is bounded by the parser. */
static void put_json(struct gw_buf *out, const struct gw_node *n, unsigned depth)
{
    switch (n->type) {
    case GW_NODE_NULL:
        gw_buf_put_str(out, "null");
        break;
    case GW_NODE_BOOL:
        gw_buf_put_str(out, n->b ? "true" : "false");
        break;
    case GW_NODE_INT:
        gw_buf_printf(out, "%lld", (long long)n->i);
        break;
    case GW_NODE_FLOAT:
        if (isfinite(n->f))
            gw_buf_printf(out, "%.17g", n->f);
        else
            put_json_text(out, n->text);
        break;
    case GW_NODE_STRING:
        put_json_text(out, n->text);
        break;
    case GW_NODE_MAP:
    case GW_NODE_LIST:
        put_json_children(out, n, depth);
        break;
    }
}

void gw_cli_put_json(struct gw_buf *out, const struct gw_node *root)
{
    put_json(out, root, 0);
    gw_buf_put_u8(out, '\n');
}
