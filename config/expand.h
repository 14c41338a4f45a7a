/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what load.c and expand.c share. */
#ifndef GW_CONFIG_EXPAND_H
#define GW_CONFIG_EXPAND_H

#include "config/node.h"

struct gw_env;

struct gw_load {
    struct gw_arena *arena;
    struct gw_diag *diag;
    struct gw_env *env;
    const char *(*variable)(void *arg, const char *name);
    void *arg;
    void (*reads)(void *arg, const char *path); /* or NULL */
    void *reads_arg;
    int first_error;     /* of reading a file or a URL */
    unsigned expansions; /* limits of the whole load */
    unsigned fetches;
    size_t bytes;
    bool is_over;
};

enum gw_scheme {
    GW_SCHEME_NONE,
    GW_SCHEME_FILE,
    GW_SCHEME_ENV,
    GW_SCHEME_YAML,
    GW_SCHEME_HTTP,
    GW_SCHEME_HTTPS,
    GW_SCHEME_BUILTIN,
    GW_SCHEME_UNKNOWN,
};

/** What a provider gave. */
struct gw_raw {
    struct gw_slice text;
    const char *source;
    char *mine;    /* to free */
    bool is_unset; /* an environment variable that is not there */
};

/** Scheme of a URI; *uri moves behind "scheme:". NONE when there is none. */
enum gw_scheme gw_uri_scheme(const char **uri);
/** Errors: negative errno after adding to diag at `place` (NULL: the URI itself is the place). */
int gw_load_read(struct gw_load *ld, enum gw_scheme scheme, const char *opaque, const struct gw_place *place,
                 struct gw_raw *ret);
void gw_raw_clear(struct gw_raw *raw);

/** Last "::" of s, or NULL. */
const char *gw_last_separator(const char *s);
struct gw_node *gw_load_node(struct gw_load *ld, enum gw_node_type type, const struct gw_place *place);
const char *gw_load_text(struct gw_load *ld, const char *p, size_t n);

/** ${...} and $$ in all values of a tree. */
void gw_load_expand(struct gw_load *ld, struct gw_node *root);

#endif
