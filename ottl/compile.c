/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree to a program: names are looked up, arguments counted and typed, what is constant is worked out. Whatever
 * can be known to be wrong is said here, with its place, and not for every item.
 */
#include <stdio.h>

#include "config/schema.h"
#include "ottl/expr.h"
#include "ottl/lexer.h"

typedef struct gw_ottl_expr expr; /* short names, in this file alone */
typedef struct gw_ottl_ast ast;

struct compiler {
    struct gw_ottl *o;
    struct gw_slice text;
    struct gw_ottl_fault *fault;
    struct gw_ottl_run run; /* for what is constant: its arena is the program's */
    struct gw_err err;
    int error;
    uint32_t at, line, line_at; /* how far lines have been counted, and where the last one begins */
};

#define WRONG(c, offset, ...) fail(c, gw_ottl_wrong((c)->fault, (c)->text, offset, __VA_ARGS__))

static void *fail(struct compiler *c, int error)
{
    if (c->error == 0)
        c->error = error;
    return NULL;
}

static int width(struct gw_slice s)
{
    return (int)(s.n < 80 ? s.n : 80);
}

static void *alloc(struct compiler *c, size_t n)
{
    void *p = gw_arena_zalloc(&c->o->arena, n ? n : 1);

    return p ? p : fail(c, -ENOMEM);
}

/* Mostly forwards, and back inside of a line. */
static void go_to(struct compiler *c, uint32_t at)
{
    if (at < c->line_at || c->line == 0) {
        c->at = c->line_at = 0;
        c->line = 1;
    }
    for (; c->at < at; c->at++)
        if (c->text.p[c->at] == '\n') {
            c->line++;
            c->line_at = c->at + 1;
        }
}

static expr *node(struct compiler *c, enum gw_ottl_expr_kind kind, const ast *a)
{
    expr *e = alloc(c, sizeof(*e));

    if (!e)
        return NULL;
    go_to(c, a->at);
    e->kind = (uint8_t)kind;
    e->type = kind >= GW_EX_TRUTH ? GW_OT_BOOL : GW_OT_ANY;
    e->line = c->line;
    e->column = a->at - c->line_at + 1;
    return e;
}

static expr *constant(struct compiler *c, const ast *a, struct gw_ottl_value v)
{
    expr *e = node(c, GW_EX_CONST, a);

    if (!e)
        return NULL;
    e->value = v;
    e->type = v.type;
    return e;
}

static expr *compile_value(struct compiler *c, const ast *a);
static expr *compile_condition(struct compiler *c, const ast *a);

/* The children of a, each by `each`. */
static bool compile_kids(struct compiler *c, const ast *a, expr *e, expr *(*each)(struct compiler *, const ast *))
{
    e->kids = alloc(c, a->n * sizeof(*e->kids));
    if (!e->kids)
        return false;
    for (const ast *k = a->first; k; k = k->next) {
        e->kids[e->n] = each(c, k);
        if (!e->kids[e->n++])
            return false;
    }
    return true;
}

static bool compile_keys(struct compiler *c, const ast *first, uint32_t n, expr *e)
{
    e->keys = alloc(c, n * sizeof(*e->keys));
    if (!e->keys)
        return false;
    for (const ast *k = first; k; k = k->next) {
        expr *key = compile_value(c, k);

        if (!key)
            return false;
        if (key->kind == GW_EX_CONST && key->type != GW_OT_STRING && key->type != GW_OT_INT)
            return WRONG(c, k->at, "a key is a string or an int, not a %s", gw_ottl_type_name(&key->value)) != NULL;
        e->keys[e->n_keys++] = key;
    }
    return true;
}

static bool all_const(expr *const *kids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (kids[i]->kind != GW_EX_CONST)
            return false;
    return true;
}

/* e gives the same for every item: work it out now. That it cannot be is a mistake in the text. */
static expr *fold(struct compiler *c, const ast *a, expr *e)
{
    struct gw_ottl_value v;
    const char *why;

    c->err.text[0] = '\0';
    c->run.error = 0;
    c->run.buf->n = 0;
    if (gw_ottl_eval(&c->run, e, &v))
        return constant(c, a, v);
    if (c->run.error == -ENOMEM)
        return fail(c, -ENOMEM);
    why = strstr(c->err.text, ": "); /* behind its place, which the fault has, too */
    return WRONG(c, a->at, "%s", why ? why + 2 : c->err.text);
}

/* ---- paths ------------------------------------------------------------------------------------------------ */

enum { MAX_NAMES = 160, NAME_BYTES = 160 };

/* "a.b.c" of the fields from f on. */
static struct gw_slice join_fields(const ast *f, char ret[NAME_BYTES])
{
    size_t n = 0;

    for (; f; f = f->next) {
        if (n + f->text.n + 2 > NAME_BYTES)
            break;
        if (n)
            ret[n++] = '.';
        memcpy(ret + n, f->text.p, f->text.n);
        n += f->text.n;
    }
    return gw_slice_of(ret, n);
}

/* What users write who think of the fields of other systems. */
static const char *path_hint(enum gw_ottl_context context, struct gw_slice name)
{
    static const struct {
        enum gw_ottl_context context;
        const char *name, *hint;
    } hints[] = {
        {GW_OTTL_SPAN, "duration", "write end_time - start_time > Duration(\"5s\")"},
        {GW_OTTL_SPAN, "latency", "write end_time - start_time > Duration(\"5s\")"},
        {GW_OTTL_SPAN, "status_code", "did you mean status.code?"},
        {GW_OTTL_SPAN, "status_message", "did you mean status.message?"},
        {GW_OTTL_SPAN, "parent_id", "did you mean parent_span_id?"},
        {GW_OTTL_SPAN, "timestamp", "did you mean start_time?"},
        {GW_OTTL_LOG, "timestamp", "did you mean time?"},
        {GW_OTTL_LOG, "message", "did you mean body?"},
        {GW_OTTL_LOG, "severity", "did you mean severity_number or severity_text?"},
        {GW_OTTL_LOG, "level", "did you mean severity_number or severity_text?"},
        {GW_OTTL_DATAPOINT, "value", "did you mean value_int or value_double?"},
        {GW_OTTL_DATAPOINT, "name", "did you mean metric.name?"},
    };

    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (hints[i].context == context && gw_slice_is(name, hints[i].name))
            return hints[i].hint;
    return NULL;
}

static void *unknown_path(struct compiler *c, const ast *a, enum gw_ottl_context context, struct gw_slice name)
{
    const char *names[MAX_NAMES], *near, *of = gw_ottl_context_name(context), *hint = path_hint(context, name);
    enum gw_ottl_context other = gw_ottl_context_of(a->first->text);

    if (hint)
        return WRONG(c, a->at, "a %s has no path %.*s: %s", of, width(name), name.p, hint);
    if (gw_slice_is(name, "cache") || (name.n > 6 && memcmp(name.p, "cache.", 6) == 0))
        return WRONG(c, a->at, "cache is not supported: a condition keeps nothing");
    if (gw_slice_is(a->first->text, "otelcol"))
        return WRONG(c, a->at, "the context otelcol is not supported yet");
    if (other != GW_OTTL_N_CONTEXTS && !gw_ottl_context_reaches(c->o->context, other))
        return WRONG(c, a->at, "a condition about a %s cannot ask for a %s", gw_ottl_context_name(c->o->context),
                     gw_ottl_context_name(other));
    gw_ottl_path_names(context, names, MAX_NAMES);
    near = name.n > 11 && memcmp(name.p, "attributes.", 11) == 0 ? NULL : gw_suggest(name, names);
    if (near)
        return WRONG(c, a->at, "a %s has no path %.*s: did you mean %s?", of, width(name), name.p, near);
    if (name.n > 11 && memcmp(name.p, "attributes.", 11) == 0)
        return WRONG(c, a->at, "an attribute is written attributes[\"%.*s\"]", width(name) - 11, name.p + 11);
    if (a->n > 1 && gw_ottl_path_find(c->o->context, a->first->text))
        return WRONG(c, a->at, "%.*s has no part %.*s", width(a->first->text), a->first->text.p, width(a->last->text),
                     a->last->text.p);
    for (unsigned i = 0; other == GW_OTTL_N_CONTEXTS && i < GW_OTTL_N_CONTEXTS; i++) { /* span_event.name */
        const char *one[] = {gw_ottl_context_name((enum gw_ottl_context)i), NULL};

        if (a->n > 1 && gw_suggest(a->first->text, one))
            return WRONG(c, a->at, "there is no context %.*s: did you mean %s?", width(a->first->text),
                         a->first->text.p, one[0]);
    }
    if (a->n > 1 && context == c->o->context)
        return WRONG(c, a->at, "a %s has no path %.*s: an attribute is written attributes[\"%.*s\"]", of, width(name),
                     name.p, width(name), name.p);
    return WRONG(c, a->at, "a %s has no path %.*s", of, width(name), name.p);
}

/* Which table row the fields name; *ret_last is the field that may have keys. */
static const struct gw_ottl_path *resolve(struct compiler *c, const ast *a)
{
    enum gw_ottl_context context = gw_ottl_context_of(a->first->text);
    const ast *rest = a->first;
    const struct gw_ottl_path *p;
    char buf[NAME_BYTES];
    struct gw_slice name;

    if (context != GW_OTTL_N_CONTEXTS && gw_ottl_context_reaches(c->o->context, context) && a->n > 1)
        rest = rest->next;
    else
        context = c->o->context;
    name = join_fields(rest, buf);
    p = gw_ottl_path_find(context, name);
    if (!p && a->n == 1 && gw_ottl_context_of(a->first->text) != GW_OTTL_N_CONTEXTS)
        return WRONG(c, a->at, "%.*s is not whole: name what of it, as in %.*s.attributes", width(name), name.p,
                     width(name), name.p);
    if (!p)
        return unknown_path(c, a, context, name);
    for (const ast *f = a->first; f->next; f = f->next)
        if (f->n)
            return WRONG(c, f->first->at, "%.*s takes no key here", width(f->text), f->text.p);
    return p;
}

static expr *path_with_keys(struct compiler *c, const ast *a, const struct gw_ottl_path *p, expr *e)
{
    const ast *last = a->last;

    if (!compile_keys(c, last->first, last->n, e))
        return NULL;
    e->type = GW_OT_ANY;
    if (p->keys == GW_OTTL_STATE_KEYS) {
        e->kind = GW_EX_STATE;
        if (e->n_keys != 1)
            return WRONG(c, last->first->at, "trace_state takes one key");
    }
    if (p->keys != GW_OTTL_ANY_KEYS && e->keys[0]->kind == GW_EX_CONST && e->keys[0]->type != GW_OT_STRING)
        return WRONG(c, last->first->at, "%s is indexed with a string: %s[\"...\"]", p->name, p->name);
    if (p->keys == GW_OTTL_MAP_KEYS && strcmp(p->name, "attributes") == 0 && e->keys[0]->kind == GW_EX_CONST) {
        e->kind = GW_EX_ATTRIBUTE;
        e->value = e->keys[0]->value;
    }
    return e;
}

static expr *compile_path(struct compiler *c, const ast *a)
{
    const struct gw_ottl_path *p = resolve(c, a);
    expr *e = p ? node(c, GW_EX_PATH, a) : NULL;

    if (!e)
        return NULL;
    e->path = p;
    e->type = p->type;
    c->o->reads |= p->reads;
    if (a->last->n == 0)
        return e;
    if (p->keys == GW_OTTL_NO_KEYS)
        return WRONG(c, a->last->first->at, "%s takes no key: it is no map and no list", p->name);
    return path_with_keys(c, a, p, e);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

/* The parameter that a named argument means, or -1. */
static int param_of(const struct gw_ottl_function *f, struct gw_slice label)
{
    for (int i = 0; i < GW_OTTL_MAX_ARGS && f->args[i].name; i++)
        if (gw_slice_is(label, f->args[i].name))
            return i;
    return -1;
}

static void *unknown_param(struct compiler *c, const ast *arg, const struct gw_ottl_function *f)
{
    const char *names[GW_OTTL_MAX_ARGS + 1] = {0}, *near;

    for (int i = 0; i < GW_OTTL_MAX_ARGS; i++)
        names[i] = f->args[i].name;
    near = gw_suggest(arg->label, names);
    return WRONG(c, arg->at, "%s has no argument %.*s%s%s%s", f->name, width(arg->label), arg->label.p,
                 near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Which argument is which parameter's. */
static bool match_args(struct compiler *c, const ast *a, const struct gw_ottl_function *f,
                       const ast *ret[GW_OTTL_MAX_ARGS])
{
    unsigned least = 0, most = 0, at = 0;
    bool named = false;

    for (; most < GW_OTTL_MAX_ARGS && f->args[most].name; most++)
        least += !f->args[most].optional;
    if (a->n < least || a->n > most) {
        if (most == 0)
            return WRONG(c, a->at, "%s takes no argument", f->name) != NULL;
        if (least == most)
            return WRONG(c, a->at, "%s takes %u argument%s, not %u", f->name, most, most == 1 ? "" : "s", a->n) != NULL;
        return WRONG(c, a->at, "%s takes %u to %u arguments, not %u", f->name, least, most, a->n) != NULL;
    }
    for (const ast *k = a->first; k; k = k->next, at++) {
        int param = k->label.n ? param_of(f, k->label) : (int)at;

        named |= k->label.n > 0;
        if (named && !k->label.n)
            return WRONG(c, k->at, "an argument without a name behind one with a name") != NULL;
        if (param < 0)
            return unknown_param(c, k, f) != NULL;
        if (ret[param])
            return WRONG(c, k->at, "%s gets its argument %s twice", f->name, f->args[param].name) != NULL;
        ret[param] = k;
    }
    for (unsigned i = 0; i < most; i++)
        if (!ret[i] && !f->args[i].optional)
            return WRONG(c, a->at, "%s lacks its argument %s", f->name, f->args[i].name) != NULL;
    return true;
}

static const char *literal_name(enum gw_ottl_arg_type t)
{
    return t == GW_ARG_LITERAL_STRING ? "a string" : t == GW_ARG_LITERAL_BOOL ? "true or false" : "a list in [ ]";
}

static bool is_literal(const ast *a, enum gw_ottl_arg_type t)
{
    if (t == GW_ARG_LITERAL_STRING)
        return a->kind == GW_AST_STRING;
    if (t == GW_ARG_LITERAL_BOOL)
        return a->kind == GW_AST_BOOL;
    return a->kind == GW_AST_LIST;
}

/* It stands in the text as a value, and is not worked out of others. */
static bool is_written(const ast *a)
{
    return a->kind >= GW_AST_NIL && a->kind <= GW_AST_MAP;
}

/* An argument with its conversion, of a constant at once. */
static expr *compile_arg(struct compiler *c, const ast *a, const struct gw_ottl_function *f, unsigned i)
{
    enum gw_ottl_arg_type t = (enum gw_ottl_arg_type)f->args[i].type;
    expr *e;

    if (t >= GW_ARG_LITERAL_STRING && !is_literal(a, t))
        return WRONG(c, a->at, "%s: %s must be %s, written here", f->name, f->args[i].name, literal_name(t));
    if (t >= GW_ARG_TEXTS) { /* the converter, or the evaluation, looks at each element */
        e = node(c, GW_EX_LIST, a);
        return e && compile_kids(c, a, e, compile_value) ? e : NULL;
    }
    e = compile_value(c, a);
    if (!e || e->kind != GW_EX_CONST)
        return e;
    c->run.error = 0;
    c->err.text[0] = '\0';
    c->run.buf->n = 0;
    if (!(is_written(a) ? gw_ottl_convert_constant : gw_ottl_convert)(&c->run, t, &e->value))
        return WRONG(c, a->at, "%s: %s: %s", f->name, f->args[i].name, c->err.text);
    e->type = e->value.type;
    return e;
}

static bool prepare(struct compiler *c, const ast *a, struct gw_ottl_call *call)
{
    const struct gw_ottl_value *constants[GW_OTTL_MAX_ARGS] = {0};
    struct gw_err err = {""};
    int r;

    for (unsigned i = 0; i < GW_OTTL_MAX_ARGS; i++)
        if (call->args[i] && call->args[i]->kind == GW_EX_CONST)
            constants[i] = &call->args[i]->value;
    r = call->function->prepare(c->o, call, constants, &err);
    if (r == -EINVAL)
        (void)WRONG(c, a->at, "%s: %s", call->function->name, err.text);
    else if (r < 0)
        (void)fail(c, r);
    return r == 0;
}

static bool args_are_const(const struct gw_ottl_call *call)
{
    for (unsigned i = 0; i < GW_OTTL_MAX_ARGS; i++) {
        const expr *e = call->args[i];

        if (e && e->kind != GW_EX_CONST && (e->kind != GW_EX_LIST || !all_const(e->kids, e->n)))
            return false;
    }
    return true;
}

static expr *compile_call(struct compiler *c, const ast *a)
{
    const struct gw_ottl_function *f = gw_ottl_function_find(a->text);
    const ast *args[GW_OTTL_MAX_ARGS] = {0};
    expr *e = f ? node(c, GW_EX_CALL, a) : NULL;
    char why[200];

    if (!f) {
        gw_ottl_function_missing(a->text, why, sizeof(why));
        return WRONG(c, a->at, "%s", why);
    }
    if (f->of_spans && c->o->context != GW_OTTL_SPAN)
        return WRONG(c, a->at, "%s is for conditions about spans", f->name);
    if (!e || !match_args(c, a, f, args) || !(e->call = alloc(c, sizeof(*e->call))))
        return NULL;
    e->call->function = f;
    for (unsigned i = 0; i < GW_OTTL_MAX_ARGS; i++)
        if (args[i] && !(e->call->args[i] = compile_arg(c, args[i], f, i)))
            return NULL;
    if (f->prepare && !prepare(c, a, e->call))
        return NULL;
    if (!compile_keys(c, a->first_key, a->n_keys, e))
        return NULL;
    e->type = a->n_keys ? GW_OT_ANY : f->type;
    if (f->of_spans)
        c->o->reads |= GW_OTTL_C_ROW;
    return !f->impure && args_are_const(e->call) && all_const(e->keys, e->n_keys) ? fold(c, a, e) : e;
}

/* ---- other values ----------------------------------------------------------------------------------------- */

static expr *compile_enum(struct compiler *c, const ast *a)
{
    const char *names[MAX_NAMES], *near;
    int64_t value;

    if (gw_ottl_enum_find(c->o->context, a->text, &value))
        return constant(c, a, gw_ottl_int(value));
    if (gw_ottl_function_find(a->text))
        return WRONG(c, a->at, "%.*s needs its arguments in brackets", width(a->text), a->text.p);
    gw_ottl_enum_names(c->o->context, names, MAX_NAMES);
    near = gw_suggest(a->text, names);
    for (const char *const *n = names; !near && *n; n++) /* ERROR for STATUS_CODE_ERROR */
        if (strlen(*n) > a->text.n + 1 && gw_slice_is(a->text, *n + strlen(*n) - a->text.n) &&
            (*n)[strlen(*n) - a->text.n - 1] == '_')
            near = *n;
    return WRONG(c, a->at, "a %s has no enum %.*s%s%s%s", gw_ottl_context_name(c->o->context), width(a->text),
                 a->text.p, near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Of a key that stands twice the last value counts. */
static expr *compile_map(struct compiler *c, const ast *a)
{
    expr *e = node(c, GW_EX_MAP, a);

    if (!e || !compile_kids(c, a, e, compile_value))
        return NULL;
    for (uint32_t i = 0; i < e->n; i += 2)
        for (uint32_t k = i + 2; k < e->n; k += 2)
            if (gw_slice_eq(e->kids[i]->value.s, e->kids[k]->value.s)) {
                e->kids[i + 1] = e->kids[k + 1];
                e->kids[k] = e->kids[e->n - 2];
                e->kids[k + 1] = e->kids[e->n - 1];
                e->n -= 2;
                k -= 2;
            }
    e->type = GW_OT_MAP;
    return all_const(e->kids, e->n) ? fold(c, a, e) : e;
}

static expr *compile_math(struct compiler *c, const ast *a)
{
    expr *e = node(c, a->kind == GW_AST_MATH ? GW_EX_MATH : GW_EX_NEGATE, a);
    char *joins = e ? alloc(c, a->n) : NULL;
    uint32_t i = 0;

    if (!joins || !compile_kids(c, a, e, compile_value))
        return NULL;
    for (const ast *k = a->first; k; k = k->next)
        joins[i++] = k->join;
    e->joins = joins;
    return all_const(e->kids, e->n) ? fold(c, a, e) : e;
}

static expr *compile_value(struct compiler *c, const ast *a)
{
    expr *e;

    switch (a->kind) {
    case GW_AST_NIL:
        return constant(c, a, (struct gw_ottl_value){.type = GW_OT_NIL});
    case GW_AST_BOOL:
        return constant(c, a, gw_ottl_bool(a->i != 0));
    case GW_AST_INT:
        return constant(c, a, gw_ottl_int(a->i));
    case GW_AST_DOUBLE:
        return constant(c, a, gw_ottl_double(a->f));
    case GW_AST_STRING:
    case GW_AST_BYTES: {
        struct gw_ottl_value v = {.type = a->kind == GW_AST_STRING ? GW_OT_STRING : GW_OT_BYTES};

        v.s = gw_arena_dup(&c->o->arena, a->text); /* the tree is given up */
        return v.s.p ? constant(c, a, v) : fail(c, -ENOMEM);
    }
    case GW_AST_ENUM:
        return compile_enum(c, a);
    case GW_AST_LIST:
        e = node(c, GW_EX_LIST, a);
        if (!e || !compile_kids(c, a, e, compile_value))
            return NULL;
        e->type = GW_OT_LIST;
        return all_const(e->kids, e->n) ? fold(c, a, e) : e;
    case GW_AST_MAP:
        return compile_map(c, a);
    case GW_AST_MATH:
    case GW_AST_NEGATE:
        return compile_math(c, a);
    case GW_AST_PATH:
        return compile_path(c, a);
    case GW_AST_CALL:
        return compile_call(c, a);
    case GW_AST_FIELD:
    case GW_AST_OR:
    case GW_AST_AND:
    case GW_AST_NOT:
    case GW_AST_COMPARE:
        break;
    }
    return WRONG(c, a->at, "a condition cannot be a value: only the whole may be true or false");
}

/* ---- conditions ------------------------------------------------------------------------------------------- */

static expr *compile_truth(struct compiler *c, const ast *a)
{
    expr *call = compile_call(c, a), *e;

    if (!call)
        return NULL;
    if (call->type != GW_OT_BOOL && call->type != GW_OT_ANY)
        return WRONG(c, a->at, "%.*s gives no bool: compare it with something", width(a->text), a->text.p);
    if (call->kind == GW_EX_CONST && call->type != GW_OT_BOOL)
        return WRONG(c, a->at, "%.*s gives no bool: compare it with something", width(a->text), a->text.p);
    if (call->kind == GW_EX_CONST)
        return call;
    e = node(c, GW_EX_TRUTH, a);
    if (!e || !(e->kids = alloc(c, sizeof(*e->kids))))
        return NULL;
    e->kids[e->n++] = call;
    return e;
}

/* What is constant inside of an and, or is left out: true of an or, false of an and decides. */
static expr *compile_joined(struct compiler *c, const ast *a)
{
    bool until = a->kind == GW_AST_OR;
    expr *e = node(c, until ? GW_EX_OR : GW_EX_AND, a);
    uint32_t n = 0;

    if (!e || !compile_kids(c, a, e, compile_condition))
        return NULL;
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->kids[i]->kind != GW_EX_CONST)
            e->kids[n++] = e->kids[i];
        else if (e->kids[i]->value.b == until)
            return e->kids[i];
    }
    if (n == 0)
        return constant(c, a, gw_ottl_bool(!until));
    e->n = n;
    return n == 1 ? e->kids[0] : e;
}

static expr *compile_condition(struct compiler *c, const ast *a)
{
    expr *e;

    switch (a->kind) {
    case GW_AST_OR:
    case GW_AST_AND:
        return compile_joined(c, a);
    case GW_AST_NOT:
        e = node(c, GW_EX_NOT, a);
        if (!e || !compile_kids(c, a, e, compile_condition))
            return NULL;
        return all_const(e->kids, e->n) ? constant(c, a, gw_ottl_bool(!e->kids[0]->value.b)) : e;
    case GW_AST_COMPARE:
        e = node(c, GW_EX_COMPARE, a);
        if (!e || !compile_kids(c, a, e, compile_value))
            return NULL;
        e->op = a->op;
        return all_const(e->kids, e->n) ? fold(c, a, e) : e;
    case GW_AST_BOOL:
        return compile_value(c, a);
    case GW_AST_CALL:
        return compile_truth(c, a);
    case GW_AST_PATH:
        if (!compile_path(c, a))
            return NULL;
        return WRONG(c, a->at, "a path alone is no condition: compare it, with == true or != nil");
    case GW_AST_MATH:
    case GW_AST_NEGATE:
    case GW_AST_NIL:
    case GW_AST_INT:
    case GW_AST_DOUBLE:
    case GW_AST_STRING:
    case GW_AST_BYTES:
    case GW_AST_ENUM:
    case GW_AST_LIST:
    case GW_AST_MAP:
    case GW_AST_FIELD:
        break;
    }
    return WRONG(c, a->at, "a value alone is no condition: compare it with something");
}

int gw_ottl_compile(struct gw_ottl *o, struct gw_slice text, const struct gw_ottl_ast *tree,
                    struct gw_ottl_fault *fault)
{
    struct compiler c = {.o = o, .text = text, .fault = fault};

    c.run = (struct gw_ottl_run){.arena = &o->arena, .buf = &o->buf, .env = o->env, .err = &c.err};
    o->root = compile_condition(&c, tree);
    if (o->root)
        return 0;
    return c.error ? c.error : -ENOMEM;
}
