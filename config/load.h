/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the command line names to one tree:
 *
 *   --config A --config B --set k=v  ─►  read  ─►  merge left to right  ─►  expand ${...}  ─►  $$ becomes $
 *
 * Merging joins maps, replaces lists and overwrites scalars. A root key may be a path: `exporters::debug::verbosity`.
 *
 * Providers  file:PATH (and a bare path), env:NAME, yaml:TEXT, http://HOST/PATH, https://HOST/PATH
 * Expansion  ${env:NAME}, ${NAME}, ${env:NAME:-default}, ${file:PATH}, ${yaml:TEXT}, ${https://HOST/PATH}, nested;
 * works on the parsed scalar, never on the raw file, so that a value cannot break the YAML around it. A value that is
 * nothing but one expansion takes the type that its text has in YAML, or a whole map or list; a text keeps the original
 * spelling for keys that want a text. An unset variable is empty, with a warning
 */
#ifndef GW_CONFIG_LOAD_H
#define GW_CONFIG_LOAD_H

#include "config/node.h"

struct gw_env;

struct gw_config_request {
    struct gw_env *env; /* reads files, and URLs when it has fetch */
    /** NULL: the process' own environment. */
    const char *(*variable)(void *arg, const char *name);
    void *variable_arg;
    const char *const *uris; /* --config, in order */
    size_t n_uris;
    const char *const *sets; /* --set, "a.b=c", in order */
    size_t n_sets;
    /** Told of each file before it is read, ${file:…} too; or NULL. */
    void (*reads)(void *arg, const char *path);
    void *reads_arg;
};

/**
 * Owner     the tree lives in `arena`, which needs room for some 100,000 nodes (64 MiB do)
 * Errors    -EINVAL after adding every mistake of every source to diag; -ENOENT, -EIO... when a file or a URL cannot
 *           be read (that is in diag, too): the first such errno
 */
int gw_config_load(const struct gw_config_request *rq, struct gw_arena *arena, struct gw_diag *diag,
                   const struct gw_node **ret_root);

/** A --config as it may be shown: without user, password and query of a URL, and without the text of yaml:TEXT. */
const char *gw_uri_shown(struct gw_arena *arena, const char *uri);

/** What `staunch run` uses when no configuration is given or found; uri "builtin:". */
extern const char gw_config_builtin[];

/** Block YAML of a tree; texts that would read back as another type are quoted. */
struct gw_buf;
void gw_yaml_write(struct gw_buf *out, const struct gw_node *root);

#endif
