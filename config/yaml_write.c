/* SPDX-License-Identifier: Apache-2.0 */
#include "config/load.h"

#include "config/yaml.h"
#include "core/buf.h"

/*
 * Characters that a YAML reader may strip or take for the end of a line: the byte order mark, U+0080 to U+009F, the
 * line and paragraph separators. Returns the code point at s and sets *n to its bytes, or returns 0.
 */
static unsigned unsafe_at(const char *s, size_t *n)
{
    const unsigned char *p = (const unsigned char *)s;

    *n = 3;
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return 0xfeff;
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 0x2000u + (p[2] & 0x3fu);
    *n = 2;
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
        return p[1];
    *n = 1;
    return p[0] < 0x20 || p[0] == 0x7f ? p[0] : 0;
}

static bool needs_quotes(const char *s)
{
    struct gw_node n = {.text = s};
    size_t bytes;

    gw_yaml_type(&n);
    if (n.type != GW_NODE_STRING || strchr("-?:,[]{}#&*!|>'\"%@` \t", s[0]) || strcmp(s, "<<") == 0)
        return true;
    for (const char *p = s; *p; p++)
        if (unsafe_at(p, &bytes) || (p[0] == ':' && (p[1] == ' ' || p[1] == '\0')) ||
            (p[0] == ' ' && (p[1] == '#' || p[1] == '\0')))
            return true;
    return false;
}

static void put_text(struct gw_buf *out, const char *s)
{
    size_t bytes;

    if (!needs_quotes(s)) {
        gw_buf_put_str(out, s);
        return;
    }
    gw_buf_put_u8(out, '"');
    for (; *s; s += bytes) {
        unsigned unsafe = unsafe_at(s, &bytes);

        if (*s == '"' || *s == '\\')
            gw_buf_printf(out, "\\%c", *s);
        else if (*s == '\n')
            gw_buf_put_str(out, "\\n");
        else if (unsafe)
            gw_buf_printf(out, unsafe < 0x100 ? "\\x%02x" : "\\u%04x", unsafe);
        else
            gw_buf_put_u8(out, (uint8_t)*s);
    }
    gw_buf_put_u8(out, '"');
}

static void put_scalar(struct gw_buf *out, const struct gw_node *n)
{
    char buf[GW_YAML_VALUE_BYTES];

    if (n->type == GW_NODE_NULL)
        gw_buf_put_str(out, "null");
    else if (n->type == GW_NODE_STRING)
        put_text(out, n->text);
    else
        gw_buf_put_str(out, gw_yaml_value(n, buf));
}

static void put_indent(struct gw_buf *out, unsigned depth)
{
    for (; depth; depth--)
        gw_buf_put_str(out, "    ");
}

static void put_children(struct gw_buf *out, const struct gw_node *n, unsigned depth)
{
    for (const struct gw_node *c = n->first; c; c = c->next) {
        put_indent(out, depth);
        if (n->type == GW_NODE_MAP) {
            put_text(out, c->key);
            gw_buf_put_u8(out, ':');
        } else {
            gw_buf_put_u8(out, '-');
        }
        if (c->first) {
            gw_buf_put_u8(out, '\n');
            put_children(out, c, depth + 1);
            continue;
        }
        gw_buf_put_u8(out, ' ');
        if (c->type == GW_NODE_MAP || c->type == GW_NODE_LIST)
            gw_buf_put_str(out, c->type == GW_NODE_MAP ? "{}" : "[]");
        else
            put_scalar(out, c);
        gw_buf_put_u8(out, '\n');
    }
}

void gw_yaml_write(struct gw_buf *out, const struct gw_node *root)
{
    if (root->first)
        put_children(out, root, 0);
    else
        gw_buf_put_str(out, "{}\n");
}
