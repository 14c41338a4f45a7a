/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled expression: names resolved, arguments checked, constants folded. It is read only while it runs, apart from
 * patterns and the scratch of its program.
 */
#ifndef GW_OTTL_EXPR_H
#define GW_OTTL_EXPR_H

#include "ottl/ast.h"
#include "ottl/functions.h"
#include "ottl/paths.h"
#include "values/pattern.h"

enum gw_ottl_expr_kind {
    GW_EX_CONST,
    GW_EX_PATH,      /* with keys: what they lead to */
    GW_EX_ATTRIBUTE, /* a path of attributes, its first key a constant: `value` */
    GW_EX_STATE,     /* trace_state[key] */
    GW_EX_CALL,
    GW_EX_LIST,
    GW_EX_MAP,  /* kids: key, value, key, value, … */
    GW_EX_MATH, /* joins[i]: the operator before kid i */
    GW_EX_NEGATE,
    /* Conditions. */
    GW_EX_TRUTH, /* of a call */
    GW_EX_COMPARE,
    GW_EX_AND,
    GW_EX_OR,
    GW_EX_NOT,
};

struct gw_ottl_expr {
    uint8_t kind, type, op; /* type: enum gw_ottl_type of what it gives when that is not nil, as far as it is known */
    uint32_t line, column, n, n_keys;
    struct gw_ottl_expr **kids, **keys;
    const char *joins;
    union {
        const struct gw_ottl_path *path;
        struct gw_ottl_call *call;
    };
    struct gw_ottl_value value; /* CONST; ATTRIBUTE: its key */
};

/** A pattern, and for one that is not a constant the text it was made of. */
struct gw_ottl_pattern {
    struct gw_ottl_pattern *next;
    struct gw_pattern *pattern;
    char *text;
    size_t n;
    uint64_t n_given_up; /* by those before it */
};

struct gw_ottl {
    struct gw_arena arena; /* the program */
    struct gw_ottl_expr *root;
    struct gw_env *env;
    struct gw_buf buf; /* scratch */
    struct gw_ottl_pattern *patterns;
    enum gw_ottl_context context;
    unsigned reads;
};

/** o->root of a tree. Errors: -EINVAL (fault), -ENOMEM. */
int gw_ottl_compile(struct gw_ottl *o, struct gw_slice text, const struct gw_ottl_ast *tree,
                    struct gw_ottl_fault *fault);
/** Errors: false: r->error. Depth is that of the text's brackets. */
bool gw_ottl_eval(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret);
/** + - * / of two values, - of one. Errors: false: r->error. */
bool gw_ottl_math(struct gw_ottl_run *r, const struct gw_ottl_value *a, char op, const struct gw_ottl_value *b,
                  struct gw_ottl_value *ret);
bool gw_ottl_negate(struct gw_ottl_run *r, struct gw_ottl_value *v);

#endif
