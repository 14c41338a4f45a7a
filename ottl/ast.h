/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text as a tree: what stands where, nothing resolved yet.
 *
 *     not (a.b["k"] + 1 > 2) or IsMatch(name, pattern="x")
 *
 *     OR ─► NOT ─► COMPARE > ─► MATH ─► PATH ─► FIELD a, FIELD b ─► STRING "k"
 *      │                │          └── + INT 1
 *      │                └── INT 2
 *      └── CALL IsMatch ─► PATH ─► FIELD name
 *                      └── pattern= STRING "x"
 *
 * and, or, + and * are chains, however long: only brackets nest, and they do at most GW_OTTL_MAX_DEPTH times.
 */
#ifndef GW_OTTL_AST_H
#define GW_OTTL_AST_H

#include "core/arena.h"
#include "ottl/ottl.h"

enum { GW_OTTL_MAX_BYTES = 64 << 10, GW_OTTL_MAX_DEPTH = 64 };

enum gw_ottl_ast_kind {
    GW_AST_OR,
    GW_AST_AND,
    GW_AST_NOT,
    GW_AST_COMPARE, /* two children, op */
    GW_AST_MATH,    /* the children's `join` say how: a + b - c, or a * b / c */
    GW_AST_NEGATE,
    GW_AST_NIL,
    GW_AST_BOOL,   /* i: 0 or 1 */
    GW_AST_INT,    /* i */
    GW_AST_DOUBLE, /* f */
    GW_AST_STRING, /* text */
    GW_AST_BYTES,  /* text */
    GW_AST_ENUM,   /* text */
    GW_AST_LIST,
    GW_AST_MAP,   /* children: STRING key, value, STRING key, value, … */
    GW_AST_PATH,  /* children: FIELDs */
    GW_AST_FIELD, /* text; children: keys */
    GW_AST_CALL,  /* text; children: arguments; keys */
};

enum gw_ottl_op { GW_OP_EQ, GW_OP_NE, GW_OP_LT, GW_OP_LE, GW_OP_GT, GW_OP_GE };

struct gw_ottl_ast {
    enum gw_ottl_ast_kind kind;
    uint8_t op;  /* COMPARE: enum gw_ottl_op */
    char join;   /* in a chain of MATH: the operator before it; 0 for the first */
    uint32_t at; /* offset in the text */
    uint32_t n;  /* children */
    uint32_t n_keys;
    struct gw_slice text, label; /* label: the name of a named argument */
    union {
        int64_t i;
        double f;
    };
    struct gw_ottl_ast *first, *last, *next; /* children; the one behind it */
    struct gw_ottl_ast *first_key, *last_key;
};

/** The boolean expression that a text is, all of it. Errors: -EINVAL (fault), -ENOMEM. */
int gw_ottl_parse_condition(struct gw_slice text, struct gw_arena *arena, struct gw_ottl_fault *fault,
                            struct gw_ottl_ast **ret);

#endif
