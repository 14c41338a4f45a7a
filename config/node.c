/* SPDX-License-Identifier: Apache-2.0 */
#include "config/node.h"

#include <stdarg.h>
#include <stdio.h>

const struct gw_node *gw_node_get(const struct gw_node *n, const char *key)
{
    if (!n || n->type != GW_NODE_MAP)
        return NULL;
    for (const struct gw_node *c = n->first; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

const struct gw_node *gw_node_path(const struct gw_node *n, ...)
{
    va_list ap;
    const char *key;

    va_start(ap, n);
    while (n && (key = va_arg(ap, const char *)))
        n = gw_node_get(n, key);
    va_end(ap);
    return n;
}

static unsigned position(const struct gw_node *n)
{
    unsigned i = 0;

    for (const struct gw_node *c = n->parent->first; c && c != n; c = c->next)
        i++;
    return i;
}

/* Parents first; depth is bounded by the parser. */
static size_t put_name(const struct gw_node *n, char *buf, size_t size)
{
    size_t at;
    int w;

    if (!n->parent)
        return 0;
    at = put_name(n->parent, buf, size);
    if (at + 1 >= size)
        return at;
    if (n->key)
        w = snprintf(buf + at, size - at, "%s%s", at ? "::" : "", n->key);
    else
        w = snprintf(buf + at, size - at, "%s%u", at ? "::" : "", position(n));
    return w < 0 ? at : at + (size_t)w < size ? at + (size_t)w : size - 1;
}

const char *gw_node_name(const struct gw_node *n, char *buf, size_t size)
{
    if (size == 0)
        return "";
    buf[0] = '\0';
    if (n)
        (void)put_name(n, buf, size);
    return buf;
}
