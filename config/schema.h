/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings as data. A component has one table, a row a key; from it come parser, range checks, "did you mean",
 * `staunch components`, docs/reference and the JSON schema. Nothing is said twice.
 *
 *   struct conf { uint64_t max_age_ns; bool strict; };
 *   static const struct gw_field fields[] = {
 *       GW_DURATION_FIELD(struct conf, max_age_ns, "max_age", "1h", 1e6, 1e18, "Oldest row kept."),
 *       GW_BOOL_FIELD(struct conf, strict, "strict", "false", "Refuse instead of repairing."),
 *       {0},
 *   };
 *
 * Weak typing as in the Collector: "5" is a number, "true" a bool, a scalar a list of one ("a,b" of two), a map
 * may be a list of {name, value}. A key without a value, and null, mean the default.
 * Any optional block takes `enabled: false`, unless its own table has that key.
 */
#ifndef GW_CONFIG_SCHEMA_H
#define GW_CONFIG_SCHEMA_H

#include "config/node.h"
#include "core/arena.h"

enum gw_field_type {
    GW_F_END = 0,
    GW_F_BOOL,     /* bool */
    GW_F_U64,      /* uint64_t */
    GW_F_I64,      /* int64_t */
    GW_F_F64,      /* double */
    GW_F_STRING,   /* const char * (never NULL; "" by default) */
    GW_F_SECRET,   /* const char *, never printed */
    GW_F_DURATION, /* uint64_t ns, Go syntax; a plain number is ns */
    GW_F_ENUM,     /* int: index into `choices` */
    GW_F_BLOCK,    /* struct, in place; see `block` and GW_FF_OPTIONAL */
    GW_F_LIST,     /* struct gw_list of `block` structs, or of strings when block is NULL */
    GW_F_MAP,      /* struct gw_map of string → string (headers) */
    GW_F_ID,       /* const char *: a component id; `kind_mask` says of what kind; checked by the graph */
    GW_F_ANY,      /* const struct gw_node *: kept as a tree, or NULL */
};

enum gw_field_flags {
    GW_FF_OPTIONAL = 1,   /* BLOCK: a `bool` at `present_offset` tells absent from present ({} or null when
                             GW_FF_NULL_IS_ON). def = "on": present also when absent from the file */
    GW_FF_NULL_IS_ON = 2, /* a key without a value (`http:`) switches the block on with its defaults */
    GW_FF_REQUIRED = 4,
    GW_FF_DEPRECATED = 8, /* accepted with a warning: `help` says what to use */
    GW_FF_NO_EFFECT = 16, /* accepted, one log line, nothing changes (garbage collector keys) */
    GW_FF_PLANNED = 32,   /* known, refused by name as planned */
};

struct gw_list {
    void *items; /* n structs of item_size, or n const char * */
    size_t n, item_size;
};
struct gw_map_entry {
    const char *key, *value;
    const struct gw_node *node;
};
struct gw_map {
    struct gw_map_entry *entries; /* in file order */
    size_t n;
};

struct gw_field {
    const char *name;
    enum gw_field_type type;
    uint32_t offset;
    const char *def; /* default as a user would write it; NULL = zero, absent, or required */
    double min, max; /* both 0 = no range; durations in ns. Checked as !(v >= min && v <= max) */
    const char *help;
    unsigned flags;
    const char *const *aliases;   /* NULL-ended */
    const char *const *choices;   /* ENUM: NULL-ended */
    const struct gw_field *block; /* BLOCK, LIST of blocks */
    size_t block_size;
    uint32_t present_offset;
    unsigned kind_mask; /* ID, or LIST of ids: OR of 1 << enum gw_kind */
    bool secret_values; /* MAP, LIST of texts: values are secrets (headers, tokens) */
};

#define GW_FIELD_(T, member, nm, ty, df, lo, hi, hp)                                                                   \
    .name = nm, .type = ty, .offset = (uint32_t)offsetof(T, member), .def = df, .min = lo, .max = hi, .help = hp
#define GW_BOOL_FIELD(T, m, name, def, help)                                                                           \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_BOOL, def, 0, 0, help)                                                              \
    }
#define GW_U64_FIELD(T, m, name, def, lo, hi, help)                                                                    \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_U64, def, lo, hi, help)                                                             \
    }
#define GW_I64_FIELD(T, m, name, def, lo, hi, help)                                                                    \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_I64, def, lo, hi, help)                                                             \
    }
#define GW_F64_FIELD(T, m, name, def, lo, hi, help)                                                                    \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_F64, def, lo, hi, help)                                                             \
    }
#define GW_STRING_FIELD(T, m, name, def, help)                                                                         \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_STRING, def, 0, 0, help)                                                            \
    }
#define GW_SECRET_FIELD(T, m, name, help)                                                                              \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_SECRET, "", 0, 0, help)                                                             \
    }
#define GW_DURATION_FIELD(T, m, name, def, lo, hi, help)                                                               \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_DURATION, def, lo, hi, help)                                                        \
    }
#define GW_ENUM_FIELD(T, m, name, def, list, help)                                                                     \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_ENUM, def, 0, 0, help), .choices = list                                             \
    }
#define GW_BLOCK_FIELD(T, m, name, table, help)                                                                        \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_BLOCK, NULL, 0, 0, help), .block = table, .block_size = sizeof(((T *)0)->m)         \
    }
#define GW_OPTIONAL_BLOCK_FIELD(T, m, present, name, table, flag, help)                                                \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_BLOCK, NULL, 0, 0, help), .block = table, .block_size = sizeof(((T *)0)->m),        \
                                                             .present_offset = (uint32_t)offsetof(T, present),         \
                                                             .flags = GW_FF_OPTIONAL | (flag)                          \
    }
#define GW_STRINGS_FIELD(T, m, name, help)                                                                             \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_LIST, NULL, 0, 0, help)                                                             \
    }
#define GW_LIST_FIELD(T, m, name, item, table, help)                                                                   \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_LIST, NULL, 0, 0, help), .block = table, .block_size = sizeof(item)                 \
    }
#define GW_MAP_FIELD(T, m, name, help)                                                                                 \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_MAP, NULL, 0, 0, help)                                                              \
    }
#define GW_HEADERS_FIELD(T, m, name, help)                                                                             \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_MAP, NULL, 0, 0, help), .secret_values = true                                       \
    }
#define GW_ID_FIELD(T, m, name, kinds, help)                                                                           \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_ID, "", 0, 0, help), .kind_mask = kinds                                             \
    }
#define GW_IDS_FIELD(T, m, name, kinds, help)                                                                          \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_LIST, NULL, 0, 0, help), .kind_mask = kinds                                         \
    }
#define GW_ANY_FIELD(T, m, name, help)                                                                                 \
    {                                                                                                                  \
        GW_FIELD_(T, m, name, GW_F_ANY, NULL, 0, 0, help)                                                              \
    }

/**
 * Fill `conf` (zeroed by this call) from a tree.
 *
 * Owner     texts, lists and maps are allocated from `arena`; conf borrows from it and from the tree
 * Errors    every mistake is added to `diag` (place, what is wrong, nearest right word); returns 0 or -EINVAL
 *           when there was any. All mistakes of a tree are found in one call
 */
int gw_schema_fill(const struct gw_field *fields, size_t conf_size, const struct gw_node *node, void *conf,
                   struct gw_arena *arena, struct gw_diag *diag);
/** Only the defaults. */
int gw_schema_defaults(const struct gw_field *fields, size_t conf_size, void *conf, struct gw_arena *arena);

/** One table of several that share a tree. */
struct gw_settings {
    const struct gw_field *fields;
    size_t conf_size;
    void *conf;
    /** Other defaults than the table's own, before the tree is read. May be NULL. */
    void (*adjust)(void *conf, const void *arg);
    const void *arg;
};
/**
 * As gw_schema_fill, with the keys of a tree spread over n tables: an exporter's own and the queue's.
 *
 * Shape     a key that no table has is reported once; a key of two tables fills the first
 */
int gw_schema_fill_tables(const struct gw_settings *tables, size_t n, const struct gw_node *node,
                          struct gw_arena *arena, struct gw_diag *diag);

/** The row of a key or one of its aliases, or NULL. */
const struct gw_field *gw_field_find(const struct gw_field *fields, const char *name);

/** Go durations: "1h30m", "200ms", "1.5s", "100us", "0". Errors: -EINVAL. */
int gw_duration_parse(const char *s, uint64_t *ret_ns);
/** "1h30m", "200ms", "0s"; returns buf. 64 bytes hold the longest. */
const char *gw_duration_format(uint64_t ns, char *buf, size_t size);
/** The nearest of NULL-ended `words` within an edit distance that makes a typo likely, or NULL. */
const char *gw_suggest(struct gw_slice word, const char *const *words);

#endif
