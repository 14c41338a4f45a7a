/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text into a tree of nodes. libfyaml scans and gives events; typing, anchors, merge keys and all limits are
 * ours: a library that resolves aliases turns 430 bytes into 4 GB.
 *
 * Scalars are typed as the Collector's library does it: the core schema of YAML 1.2, with 0777, 0b11 and 1_000 as
 * numbers from YAML 1.1, and yes, no, on, off as plain texts.
 */
#ifndef GW_CONFIG_YAML_H
#define GW_CONFIG_YAML_H

#include "config/node.h"

enum {
    GW_YAML_MAX_BYTES = 1 << 20, /* of one document */
    GW_YAML_MAX_NODES = 100000,  /* of one document, after its aliases are expanded */
    GW_YAML_MAX_KEYS = 4096,     /* of one map */
    GW_YAML_MAX_DEPTH = 64,
};

/**
 * Parse the first document of a text.
 *
 * Owner     nodes are allocated from `arena`; they borrow `source`, not `text`
 * Errors    NULL after adding every mistake found (syntax, duplicate keys, unknown anchors, limits) to `diag`;
 *           an empty text is a null node
 */
struct gw_node *gw_yaml_parse(struct gw_slice text, const char *source, struct gw_arena *arena, struct gw_diag *diag);

/** Sets type and value of a scalar from its text, as an unquoted YAML scalar. */
void gw_yaml_type(struct gw_node *n);
enum { GW_YAML_VALUE_BYTES = 40 };
/**
 * A scalar's value as YAML spells it: its text, unless what stands there says more than the value, as an expansion's
 * may: "5 # five", "!!int 5". Then it is written to buf.
 */
const char *gw_yaml_value(const struct gw_node *n, char buf[GW_YAML_VALUE_BYTES]);

/** Whole numbers as YAML and Go write them: sign, 0x, 0o, 0b, leading 0 = octal, underscores. False when s is none. */
bool gw_parse_i64(const char *s, int64_t *ret);
bool gw_parse_u64(const char *s, uint64_t *ret);
bool gw_parse_f64(const char *s, double *ret);

#endif
