/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as a tree, every node with its place. Made from YAML by config/yaml.c, merged and expanded by
 * config/load.c, read by the settings tables of config/schema.c. Immutable once loaded.
 */
#ifndef GW_CONFIG_NODE_H
#define GW_CONFIG_NODE_H

#include "core/arena.h"
#include "core/slice.h"
#include "core/status.h"

enum gw_node_type { GW_NODE_NULL, GW_NODE_BOOL, GW_NODE_INT, GW_NODE_FLOAT, GW_NODE_STRING, GW_NODE_MAP, GW_NODE_LIST };

struct gw_place {
    const char *source;    /* "gateway.yaml", "--set", "env:PORT" */
    unsigned line, column; /* from 1; 0 = none */
};

struct gw_node {
    enum gw_node_type type;
    struct gw_place place;     /* of the value */
    struct gw_place key_place; /* of the key, inside a map */
    const char *key;           /* inside a map; NULL elsewhere */
    const char *text;          /* scalars: the original text; "" for null */
    union {
        bool b;
        int64_t i;
        double f;
    };
    struct gw_node *parent, *next, *first, *last; /* children in file order */
    size_t n_children;
};

/** Child of a map, or NULL. n may be NULL or no map. */
const struct gw_node *gw_node_get(const struct gw_node *n, const char *key);
/** gw_node_path(root, "service", "pipelines", NULL) */
const struct gw_node *gw_node_path(const struct gw_node *n, ...) __attribute__((sentinel));
/** "processors::batch::timeout" of a node, into buf. */
const char *gw_node_name(const struct gw_node *n, char *buf, size_t size);

enum gw_severity { GW_DIAG_ERROR, GW_DIAG_WARNING, GW_DIAG_INFO };

struct gw_diag_item {
    enum gw_severity severity;
    struct gw_place place;
    const char *text;
    struct gw_diag_item *next;
};

/** All mistakes of a configuration, in order of place once sorted; nothing stops at the first one. */
struct gw_diag {
    struct gw_arena arena;
    struct gw_diag_item *first, *last;
    unsigned n_errors, n_warnings;
};

void gw_diag_init(struct gw_diag *d);
void gw_diag_clear(struct gw_diag *d);
/** place may be NULL. */
void gw_diag_add(struct gw_diag *d, enum gw_severity s, const struct gw_place *place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** "gateway.yaml:12:5: error: ..." lines sorted by source, line, column. */
struct gw_buf;
void gw_diag_write(struct gw_diag *d, struct gw_buf *out);
/** The same, with colours for a terminal. */
void gw_diag_print(struct gw_diag *d, struct gw_buf *out, bool colour);

#endif
