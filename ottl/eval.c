/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "ottl/expr.h"

/* Put in front of the reason where in the text it happened, once. */
static bool at_fault(struct gw_ottl_run *r, const struct gw_ottl_expr *e, const char *who)
{
    char why[sizeof(r->err->text)];

    if (!r->err || r->error == -ENOMEM || strncmp(r->err->text, "line ", 5) == 0)
        return false;
    (void)snprintf(why, sizeof(why), "%s", r->err->text);
    (void)snprintf(r->err->text, sizeof(r->err->text), "line %u, column %u: %s%s%.200s", e->line, e->column, who,
                   *who ? ": " : "", why);
    return false;
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

/* An element of a list by its number. Errors: false: out of bounds. */
static bool item_at(struct gw_ottl_run *r, const struct gw_ottl_value *list, int64_t index, struct gw_ottl_value *ret)
{
    struct gw_ottl_value from = *list;
    struct gw_ottl_iter it;

    if (index >= 0 && from.form != GW_OF_WIRE && index < from.n) {
        *ret = from.items[index];
        return true;
    }
    gw_ottl_begin(r, &from, &it);
    for (int64_t i = 0; index >= 0 && gw_ottl_next_item(&it, ret); i++)
        if (i == index)
            return true;
    return gw_ottl_fail(r, -EINVAL, "index %lld out of bounds", (long long)index);
}

/* v becomes v[key]; *missing: there is no such key. */
static bool index_by(struct gw_ottl_run *r, const struct gw_ottl_value *key, struct gw_ottl_value *v, bool *missing)
{
    struct gw_ottl_value of = *v;

    if (of.type == GW_OT_MAP && key->type == GW_OT_STRING) {
        *missing = !gw_ottl_map_get(r, &of, key->s, v);
        if (*missing)
            *v = (struct gw_ottl_value){.type = GW_OT_NIL};
        return true;
    }
    if (of.type == GW_OT_LIST && key->type == GW_OT_INT)
        return item_at(r, &of, key->i, v);
    if (of.type == GW_OT_MAP || of.type == GW_OT_LIST)
        return gw_ottl_fail(r, -EINVAL, "a %s is indexed with a %s, not with a %s", gw_ottl_type_name(&of),
                            of.type == GW_OT_MAP ? "string" : "int64", gw_ottl_type_name(key));
    return gw_ottl_fail(r, -EINVAL, "a %s cannot be indexed", gw_ottl_type_name(&of));
}

/* A byte is a type of its own in Go: equal to bytes alone. */
static bool byte_at(struct gw_ottl_run *r, struct gw_slice bytes, int64_t index, struct gw_ottl_value *ret)
{
    if (index < 0 || (uint64_t)index >= bytes.n)
        return gw_ottl_fail(r, -EINVAL, "index %lld out of bounds", (long long)index);
    *ret = (struct gw_ottl_value){.type = GW_OT_OTHER, .form = GW_OF_PART, .other = {UINT32_MAX, bytes.p[index]}};
    return true;
}

/* A key that is missing gives nil, whatever keys follow; in what a converter gave it is an error. */
static bool apply_keys(struct gw_ottl_run *r, const struct gw_ottl_expr *e, uint32_t from, struct gw_ottl_value *v)
{
    struct gw_ottl_value key;
    bool missing = false;

    for (uint32_t i = from; i < e->n_keys; i++) {
        if (!gw_ottl_eval(r, e->keys[i], &key))
            return false;
        if (e->kind == GW_EX_CALL && v->type == GW_OT_BYTES && key.type == GW_OT_INT ? !byte_at(r, v->s, key.i, v)
                                                                                     : !index_by(r, &key, v, &missing))
            return at_fault(r, e->keys[i], "");
        if (missing && e->kind != GW_EX_CALL)
            return true;
        if (missing) {
            (void)gw_ottl_fail(r, -EINVAL, "key not found in map");
            return at_fault(r, e->keys[i], "");
        }
    }
    return true;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

static bool eval_attribute(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    enum gw_owner owner = GW_OWN_ROW;
    uint32_t index = r->row;
    struct gw_value v;
    bool found;

    switch ((enum gw_ottl_context)e->path->context) {
    case GW_OTTL_RESOURCE:
        owner = GW_OWN_RESOURCE;
        index = r->resource;
        break;
    case GW_OTTL_SCOPE:
        owner = GW_OWN_SCOPE;
        index = r->scope;
        break;
    case GW_OTTL_METRIC:
        owner = GW_OWN_METRIC;
        index = r->metric;
        break;
    case GW_OTTL_SPANEVENT: {
        struct gw_ottl_value map;

        if (!gw_ottl_path_get(r, e->path, &map))
            return false;
        if (!gw_ottl_map_get(r, &map, e->value.s, ret))
            *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
        return ret->type == GW_OT_NIL || apply_keys(r, e, 1, ret);
    }
    case GW_OTTL_SPAN:
    case GW_OTTL_DATAPOINT:
    case GW_OTTL_LOG:
    case GW_OTTL_N_CONTEXTS:
        break;
    }
    found = gw_view_attr_get(r->v, owner, index, e->value.s, &v);
    if (!found) {
        *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
        return true;
    }
    gw_ottl_of_value(&v, ret);
    return e->n_keys == 1 || apply_keys(r, e, 1, ret);
}

static bool eval_state(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    struct gw_ottl_value key;

    if (!gw_ottl_eval(r, e->keys[0], &key))
        return false;
    if (key.type != GW_OT_STRING) {
        (void)gw_ottl_fail(r, -EINVAL, "trace_state is indexed with a string, not with a %s", gw_ottl_type_name(&key));
        return at_fault(r, e, "");
    }
    gw_ottl_trace_state_get(r, key.s, ret);
    return true;
}

static bool eval_texts(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    struct gw_ottl_value *items = gw_arena_alloc(r->arena, (e->n + (size_t)1) * sizeof(*items));

    if (!items)
        return gw_ottl_starve(r);
    for (uint32_t i = 0; i < e->n; i++)
        if (!gw_ottl_eval(r, e->kids[i], &items[i]) || !gw_ottl_convert(r, GW_ARG_STRING_LIKE, &items[i]))
            return false;
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_ITEMS, .n = e->n, .items = items};
    return true;
}

static bool eval_call(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    const struct gw_ottl_function *f = e->call->function;
    struct gw_ottl_value args[GW_OTTL_MAX_ARGS];

    for (unsigned i = 0; i < GW_OTTL_MAX_ARGS && f->args[i].name; i++) {
        const struct gw_ottl_expr *a = e->call->args[i];
        enum gw_ottl_arg_type type = (enum gw_ottl_arg_type)f->args[i].type;

        args[i].type = GW_OT_NIL;
        if (!a || type == GW_ARG_LAZY)
            continue;
        if (type == GW_ARG_TEXTS ? !eval_texts(r, a, &args[i]) : !gw_ottl_eval(r, a, &args[i]))
            return at_fault(r, e, f->name);
        /* A constant has been converted by the compiler. */
        if (a->kind != GW_EX_CONST && type != GW_ARG_TEXTS && !gw_ottl_convert(r, type, &args[i]))
            return at_fault(r, e, f->name);
    }
    if (!f->run(r, e->call, args, ret))
        return at_fault(r, e, f->name);
    return e->n_keys == 0 || apply_keys(r, e, 0, ret) || at_fault(r, e, f->name);
}

static bool eval_list(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    struct gw_ottl_value *items = gw_arena_alloc(r->arena, (e->n + (size_t)1) * sizeof(*items));

    if (!items)
        return gw_ottl_starve(r);
    for (uint32_t i = 0; i < e->n; i++)
        if (!gw_ottl_eval(r, e->kids[i], &items[i]))
            return false;
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_ITEMS, .n = e->n, .items = items};
    return true;
}

static bool eval_map(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    size_t begin = r->buf->n;
    struct gw_ottl_value part;
    struct gw_value v;

    *ret = (struct gw_ottl_value){.type = GW_OT_MAP, .form = GW_OF_WIRE};
    for (uint32_t i = 0; i < e->n; i += 2) {
        if (!gw_ottl_eval(r, e->kids[i + 1], &part) || !gw_ottl_to_value(r, &part, &v)) {
            r->buf->n = begin;
            return at_fault(r, e, "");
        }
        gw_value_put_pair(r->buf, e->kids[i]->value.s, &v);
    }
    return gw_ottl_take_buf(r, begin, &ret->s);
}

static bool eval_math(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    struct gw_ottl_value left, right;

    if (!gw_ottl_eval(r, e->kids[0], ret))
        return false;
    for (uint32_t i = 1; i < e->n; i++) {
        left = *ret;
        if (!gw_ottl_eval(r, e->kids[i], &right))
            return false;
        if (!gw_ottl_math(r, &left, e->joins[i], &right, ret))
            return at_fault(r, e, "");
    }
    return true;
}

/* ---- conditions ------------------------------------------------------------------------------------------- */

/* The value where it is: one side of nearly every comparison is a constant. */
static const struct gw_ottl_value *value_of(struct gw_ottl_run *r, const struct gw_ottl_expr *e,
                                            struct gw_ottl_value *room)
{
    if (e->kind == GW_EX_CONST)
        return &e->value;
    if (e->kind == GW_EX_ATTRIBUTE)
        return eval_attribute(r, e, room) ? room : NULL;
    return gw_ottl_eval(r, e, room) ? room : NULL;
}

static bool eval_compare(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    struct gw_ottl_value left, right;
    const struct gw_ottl_value *a = value_of(r, e->kids[0], &left), *b = a ? value_of(r, e->kids[1], &right) : NULL;

    ret->type = GW_OT_BOOL;
    if (b && a->type == GW_OT_STRING && b->type == GW_OT_STRING && e->op <= GW_OP_NE) {
        ret->b = gw_slice_eq(a->s, b->s) == (e->op == GW_OP_EQ);
        return true;
    }
    return b && gw_ottl_compare(r, a, e->op, b, &ret->b);
}

static bool eval_truth(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    if (!gw_ottl_eval(r, e->kids[0], ret))
        return false;
    if (ret->type == GW_OT_BOOL)
        return true;
    (void)gw_ottl_fail(r, -EINVAL, "a condition must be a bool, this gave a %s", gw_ottl_type_name(ret));
    return at_fault(r, e, "");
}

static bool eval_joined(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    bool until = e->kind == GW_EX_OR;

    for (uint32_t i = 0; i < e->n; i++)
        if (!gw_ottl_eval(r, e->kids[i], ret))
            return false;
        else if (ret->b == until)
            return true;
    return true;
}

bool gw_ottl_eval(struct gw_ottl_run *r, const struct gw_ottl_expr *e, struct gw_ottl_value *ret)
{
    switch ((enum gw_ottl_expr_kind)e->kind) {
    case GW_EX_CONST:
        *ret = e->value;
        return true;
    case GW_EX_PATH:
        return gw_ottl_path_get(r, e->path, ret) && (e->n_keys == 0 || apply_keys(r, e, 0, ret));
    case GW_EX_ATTRIBUTE:
        return eval_attribute(r, e, ret);
    case GW_EX_STATE:
        return eval_state(r, e, ret);
    case GW_EX_CALL:
        return eval_call(r, e, ret);
    case GW_EX_LIST:
        return eval_list(r, e, ret);
    case GW_EX_MAP:
        return eval_map(r, e, ret);
    case GW_EX_MATH:
        return eval_math(r, e, ret);
    case GW_EX_NEGATE:
        return gw_ottl_eval(r, e->kids[0], ret) && (gw_ottl_negate(r, ret) || at_fault(r, e, ""));
    case GW_EX_TRUTH:
        return eval_truth(r, e, ret);
    case GW_EX_COMPARE:
        return eval_compare(r, e, ret);
    case GW_EX_AND:
    case GW_EX_OR:
        return eval_joined(r, e, ret);
    case GW_EX_NOT:
        if (!gw_ottl_eval(r, e->kids[0], ret))
            return false;
        ret->b = !ret->b;
        return true;
    }
    return false;
}
