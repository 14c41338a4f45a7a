/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recursive descent, one token ahead. A bracket may hold a condition or a number: it is read as either, and the
 * compiler says which one it had to be.
 */
#include <ctype.h>
#include <stdio.h>

#include "ottl/ast.h"
#include "ottl/lexer.h"
#include "values/value.h"

struct parser {
    struct gw_ottl_lexer lexer;
    struct gw_ottl_token token; /* not yet taken */
    unsigned depth;
    int error;
};

typedef struct gw_ottl_ast ast; /* a short name, in this file alone */

#define WRONG(p, offset, ...) wrong(p, gw_ottl_wrong((p)->lexer.fault, (p)->lexer.text, offset, __VA_ARGS__))

static void *wrong(struct parser *p, int error)
{
    if (p->error == 0)
        p->error = error;
    return NULL;
}

static bool advance(struct parser *p)
{
    int r = gw_ottl_lex(&p->lexer, &p->token);

    if (r < 0)
        (void)wrong(p, r);
    return r == 0;
}

static ast *node(struct parser *p, enum gw_ottl_ast_kind kind, uint32_t at)
{
    ast *a = gw_arena_zalloc(p->lexer.arena, sizeof(*a));

    if (!a)
        return wrong(p, -ENOMEM);
    a->kind = kind;
    a->at = at;
    return a;
}

static ast *add(ast *parent, ast *child)
{
    if (!parent || !child)
        return NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n++;
    return parent;
}

static ast *add_key(ast *parent, ast *key)
{
    if (!parent || !key)
        return NULL;
    if (parent->last_key)
        parent->last_key->next = key;
    else
        parent->first_key = key;
    parent->last_key = key;
    parent->n_keys++;
    return parent;
}

/* What stands where something else should, as words for a message. */
static const char *seen(const struct parser *p, char ret[64])
{
    const struct gw_ottl_token *t = &p->token;

    if (t->kind == GW_TOK_END)
        return "the end";
    if (t->kind == GW_TOK_STRING)
        return "a string";
    if (t->kind == GW_TOK_BYTES)
        return "bytes";
    (void)snprintf(ret, 64, "%.*s", (int)(t->text.n < 60 ? t->text.n : 60), (const char *)t->text.p);
    return ret;
}

static bool expect(struct parser *p, char mark, const char *where)
{
    char buf[64];

    if (gw_ottl_token_is(&p->token, mark))
        return advance(p);
    (void)WRONG(p, p->token.at, "expected %c %s, found %s", mark, where, seen(p, buf));
    return false;
}

static bool enter(struct parser *p)
{
    if (++p->depth <= GW_OTTL_MAX_DEPTH)
        return true;
    (void)WRONG(p, p->token.at, "brackets nest deeper than %d", GW_OTTL_MAX_DEPTH);
    return false;
}

static ast *parse_or(struct parser *p);
static ast *parse_sum(struct parser *p);

/* ---- literals --------------------------------------------------------------------------------------------- */

static ast *parse_number(struct parser *p)
{
    const struct gw_ottl_token t = p->token;
    ast *a = node(p, t.kind == GW_TOK_INT ? GW_AST_INT : GW_AST_DOUBLE, t.at);

    if (!a || !advance(p))
        return NULL;
    if (t.kind == GW_TOK_INT && !gw_parse_int(t.text, &a->i))
        return WRONG(p, t.at, "%.*s does not fit into 64 bits", (int)(t.text.n < 40 ? t.text.n : 40), t.text.p);
    if (t.kind == GW_TOK_DOUBLE && !gw_parse_double(t.text, &a->f))
        return WRONG(p, t.at, "%.*s is beyond the largest double", (int)(t.text.n < 40 ? t.text.n : 40), t.text.p);
    if (p->token.kind == GW_TOK_WORD && p->token.at == t.at + t.text.n)
        return WRONG(p, t.at,
                     "a number does not end in letters: a duration is written Duration(\"5s\"), a large number "
                     "with all its zeros");
    return a;
}

static ast *parse_text(struct parser *p)
{
    ast *a = node(p, p->token.kind == GW_TOK_STRING ? GW_AST_STRING : GW_AST_BYTES, p->token.at);

    if (!a)
        return NULL;
    a->text = p->token.text;
    return advance(p) ? a : NULL;
}

static ast *parse_list(struct parser *p)
{
    ast *a = node(p, GW_AST_LIST, p->token.at);

    if (!a || !enter(p) || !advance(p))
        return NULL;
    while (!gw_ottl_token_is(&p->token, ']')) {
        if (a->n && !expect(p, ',', "or ] in a list"))
            return NULL;
        if (!add(a, parse_sum(p)))
            return NULL;
    }
    p->depth--;
    return advance(p) ? a : NULL;
}

static ast *parse_map(struct parser *p)
{
    ast *a = node(p, GW_AST_MAP, p->token.at);
    char buf[64];

    if (!a || !enter(p) || !advance(p))
        return NULL;
    while (!gw_ottl_token_is(&p->token, '}')) {
        if (p->token.kind != GW_TOK_STRING)
            return WRONG(p, p->token.at, "expected a key in quotes or } in a map, found %s", seen(p, buf));
        if (!add(a, parse_text(p)) || !expect(p, ':', "behind a key") || !add(a, parse_sum(p)))
            return NULL;
        if (gw_ottl_token_is(&p->token, ',') && !advance(p))
            return NULL;
    }
    p->depth--;
    return advance(p) ? a : NULL;
}

/* ---- paths and calls -------------------------------------------------------------------------------------- */

/* ["key"][0][attributes["k"]] behind a field or a call. */
static bool parse_keys(struct parser *p, ast *of, ast *(*add_to)(ast *, ast *))
{
    while (gw_ottl_token_is(&p->token, '[')) {
        if (!enter(p) || !advance(p))
            return false;
        if (gw_ottl_token_is(&p->token, ']'))
            return WRONG(p, p->token.at, "expected a key between [ and ]") != NULL;
        if (!add_to(of, parse_sum(p)) || !expect(p, ']', "behind a key"))
            return false;
        p->depth--;
    }
    return true;
}

static bool is_lower(struct gw_slice word)
{
    for (size_t i = 0; i < word.n; i++)
        if (isupper(word.p[i]))
            return false;
    return true;
}

static bool is_upper(struct gw_slice word)
{
    for (size_t i = 0; i < word.n; i++)
        if (islower(word.p[i]))
            return false;
    return true;
}

static ast *parse_field(struct parser *p)
{
    ast *a = node(p, GW_AST_FIELD, p->token.at);
    char buf[64];

    if (!a)
        return NULL;
    if (p->token.kind != GW_TOK_WORD)
        return WRONG(p, p->token.at, "expected a name behind the dot, found %s", seen(p, buf));
    if (!is_lower(p->token.text))
        return WRONG(p, p->token.at, "%s: names in a path are lower case, a key stands in attributes[\"...\"]",
                     seen(p, buf));
    a->text = p->token.text;
    return advance(p) && parse_keys(p, a, add) ? a : NULL;
}

static ast *parse_path(struct parser *p)
{
    ast *a = node(p, GW_AST_PATH, p->token.at);

    if (!add(a, parse_field(p)))
        return NULL;
    while (gw_ottl_token_is(&p->token, '.'))
        if (!advance(p) || !add(a, parse_field(p)))
            return NULL;
    return a;
}

/* The name of a named argument stands before an = : pattern="x". The word has been taken already. */
static ast *parse_argument(struct parser *p)
{
    struct gw_ottl_lexer before = p->lexer;
    const struct gw_ottl_token word = p->token;
    ast *a;

    if (word.kind == GW_TOK_WORD && islower(word.text.p[0])) {
        if (!advance(p))
            return NULL;
        if (p->token.kind == GW_TOK_EQUAL) {
            if (!advance(p))
                return NULL;
            a = parse_sum(p);
            if (a)
                a->label = word.text;
            return a;
        }
        p->lexer = before;
        p->token = word;
    }
    return parse_sum(p);
}

/* At the bracket behind the name. */
static ast *parse_call(struct parser *p, const struct gw_ottl_token *name)
{
    ast *a = node(p, GW_AST_CALL, name->at);

    if (!a || !enter(p) || !advance(p))
        return NULL;
    a->text = name->text;
    while (!gw_ottl_token_is(&p->token, ')')) {
        if (a->n && !expect(p, ',', "or ) in a call"))
            return NULL;
        if (!add(a, parse_argument(p)))
            return NULL;
        if (p->token.kind == GW_TOK_COMPARE)
            return WRONG(p, p->token.at, "a comparison cannot be an argument");
    }
    p->depth--;
    return advance(p) && parse_keys(p, a, add_key) ? a : NULL;
}

static bool is_keyword(struct gw_slice word)
{
    return gw_slice_is(word, "and") || gw_slice_is(word, "or") || gw_slice_is(word, "not") ||
           gw_slice_is(word, "where");
}

static ast *parse_word(struct parser *p)
{
    struct gw_ottl_lexer before = p->lexer;
    const struct gw_ottl_token word = p->token;
    char buf[64];
    ast *a;

    if (is_keyword(word.text))
        return WRONG(p, word.at, "expected a value, found %s", seen(p, buf));
    if (!advance(p))
        return NULL;
    if (gw_slice_is(word.text, "nil"))
        return node(p, GW_AST_NIL, word.at);
    if (gw_slice_is(word.text, "true") || gw_slice_is(word.text, "false")) {
        a = node(p, GW_AST_BOOL, word.at);
        if (a)
            a->i = gw_slice_is(word.text, "true");
        return a;
    }
    if (gw_ottl_token_is(&p->token, '('))
        return parse_call(p, &word); /* a name in lower case is known to no table: the compiler says what is near */
    if (is_upper(word.text)) {
        a = node(p, GW_AST_ENUM, word.at);
        if (a)
            a->text = word.text;
        return a;
    }
    if (isupper(word.text.p[0]))
        return WRONG(p, word.at,
                     "%.*s is no path, which is in lower case, and no call, which has its arguments in brackets",
                     (int)(word.text.n < 60 ? word.text.n : 60), word.text.p);
    p->lexer = before;
    p->token = word;
    return parse_path(p);
}

/* ---- expressions ------------------------------------------------------------------------------------------ */

static ast *parse_bracket(struct parser *p)
{
    uint32_t at = p->token.at;
    char buf[64];
    ast *a;

    if (!enter(p) || !advance(p))
        return NULL;
    if (gw_ottl_token_is(&p->token, ')'))
        return WRONG(p, at, "nothing stands between ( and )");
    a = parse_or(p);
    if (!a)
        return NULL;
    if (gw_ottl_token_is(&p->token, ',') && a->kind == GW_AST_PATH)
        return WRONG(p, at, "lambdas, (x, y) => ..., are not supported yet");
    if (!gw_ottl_token_is(&p->token, ')'))
        return WRONG(p, p->token.at, "expected ) behind an expression, found %s", seen(p, buf));
    p->depth--;
    if (!advance(p))
        return NULL;
    if (p->token.kind == GW_TOK_ARROW)
        return WRONG(p, at, "lambdas, (x) => ..., are not supported yet");
    return a;
}

static ast *parse_primary(struct parser *p)
{
    char buf[64];

    switch (p->token.kind) {
    case GW_TOK_INT:
    case GW_TOK_DOUBLE:
        return parse_number(p);
    case GW_TOK_STRING:
    case GW_TOK_BYTES:
        return parse_text(p);
    case GW_TOK_WORD:
        return parse_word(p);
    case GW_TOK_MARK:
        if (gw_ottl_token_is(&p->token, '('))
            return parse_bracket(p);
        if (gw_ottl_token_is(&p->token, '['))
            return parse_list(p);
        if (gw_ottl_token_is(&p->token, '{'))
            return parse_map(p);
        break;
    case GW_TOK_EQUAL:
        return WRONG(p, p->token.at, "unexpected =: two values are compared with ==");
    case GW_TOK_END:
    case GW_TOK_COMPARE:
    case GW_TOK_MATH:
    case GW_TOK_ARROW:
        break;
    }
    return WRONG(p, p->token.at, "expected a value, found %s", seen(p, buf));
}

static ast *parse_signed(struct parser *p)
{
    bool minus = gw_ottl_token_is(&p->token, '-');
    uint32_t at = p->token.at;
    ast *a;

    if (!minus && !gw_ottl_token_is(&p->token, '+'))
        return parse_primary(p);
    if (!advance(p))
        return NULL;
    a = parse_primary(p);
    if (!a || !minus)
        return a;
    if (a->kind == GW_AST_INT)
        a->i = -a->i;
    else if (a->kind == GW_AST_DOUBLE)
        a->f = -a->f;
    else
        a = add(node(p, GW_AST_NEGATE, at), a);
    if (a)
        a->at = at;
    return a;
}

/* a + b - c, of what `next` reads, with the operators a and b. */
static ast *parse_chain(struct parser *p, char one, char other, ast *(*next)(struct parser *))
{
    ast *first = next(p), *chain = NULL;

    while (first && (gw_ottl_token_is(&p->token, one) || gw_ottl_token_is(&p->token, other))) {
        char join = (char)p->token.text.p[0];
        ast *a;

        if (!chain) {
            chain = node(p, GW_AST_MATH, first->at);
            first->join = 0;
            if (!add(chain, first))
                return NULL;
        }
        a = advance(p) ? next(p) : NULL;
        if (!add(chain, a))
            return NULL;
        a->join = join;
    }
    return chain && first ? chain : first;
}

static ast *parse_product(struct parser *p)
{
    return parse_chain(p, '*', '/', parse_signed);
}

static ast *parse_sum(struct parser *p)
{
    return parse_chain(p, '+', '-', parse_product);
}

static enum gw_ottl_op op_of(struct gw_slice s)
{
    bool equal = s.n == 2;

    switch (s.p[0]) {
    case '<':
        return equal ? GW_OP_LE : GW_OP_LT;
    case '>':
        return equal ? GW_OP_GE : GW_OP_GT;
    case '!':
        return GW_OP_NE;
    default:
        return GW_OP_EQ;
    }
}

static ast *parse_comparison(struct parser *p)
{
    ast *left = parse_sum(p), *a;
    uint32_t at = p->token.at;
    enum gw_ottl_op op;

    if (!left || p->token.kind != GW_TOK_COMPARE)
        return left;
    op = op_of(p->token.text);
    a = node(p, GW_AST_COMPARE, at);
    if (!a || !advance(p) || !add(a, left) || !add(a, parse_sum(p)))
        return NULL;
    a->op = (uint8_t)op;
    if (p->token.kind == GW_TOK_COMPARE)
        return WRONG(p, p->token.at, "comparisons do not chain: write a < b and b < c");
    return a;
}

static ast *parse_not(struct parser *p)
{
    uint32_t at = p->token.at;

    if (!gw_ottl_token_is_word(&p->token, "not"))
        return parse_comparison(p);
    return advance(p) ? add(node(p, GW_AST_NOT, at), parse_comparison(p)) : NULL;
}

static ast *parse_joined(struct parser *p, const char *word, enum gw_ottl_ast_kind kind, ast *(*next)(struct parser *))
{
    ast *first = next(p), *all = NULL;

    while (first && gw_ottl_token_is_word(&p->token, word)) {
        if (!all && !add(all = node(p, kind, first->at), first))
            return NULL;
        if (!advance(p) || !add(all, next(p)))
            return NULL;
    }
    return all && first ? all : first;
}

static ast *parse_and(struct parser *p)
{
    return parse_joined(p, "and", GW_AST_AND, parse_not);
}

static ast *parse_or(struct parser *p)
{
    return parse_joined(p, "or", GW_AST_OR, parse_and);
}

/* Something stands behind a condition that has come to its end. */
static void *left_over(struct parser *p)
{
    static const char *const operators[] = {"matches", "contains",   "like",     "in",      "is",
                                            "regex",   "startswith", "endswith", "between", "eq",
                                            "ne",      "lt",         "gt",       "has",     NULL};
    const struct gw_ottl_token *t = &p->token;
    char buf[64];

    if (t->kind == GW_TOK_EQUAL)
        return WRONG(p, t->at, "unexpected =: two values are compared with ==");
    if (gw_ottl_token_is_word(t, "where"))
        return WRONG(p, t->at, "where stands only in statements: a condition is what stands behind it");
    if (t->kind == GW_TOK_WORD)
        for (const char *const *o = operators; *o; o++)
            if (gw_slice_is(t->text, *o))
                return WRONG(p, t->at,
                             "there is no operator %s: compare with == != < <= > >=, or call IsMatch(value, "
                             "\"pattern\")",
                             *o);
    return WRONG(p, t->at, "expected and, or, or the end, found %s", seen(p, buf));
}

int gw_ottl_parse_condition(struct gw_slice text, struct gw_arena *arena, struct gw_ottl_fault *fault,
                            struct gw_ottl_ast **ret)
{
    struct parser p = {.lexer = {.text = text, .arena = arena, .fault = fault}};
    ast *a = NULL;

    *fault = (struct gw_ottl_fault){0};
    if (text.n > GW_OTTL_MAX_BYTES) {
        *fault = (struct gw_ottl_fault){.line = 1, .column = 1, .text = "longer than 64 KiB"};
        return -EINVAL;
    }
    if (advance(&p)) {
        if (p.token.kind == GW_TOK_END)
            (void)WRONG(&p, 0, "an empty condition");
        else
            a = parse_or(&p);
    }
    if (a && p.token.kind != GW_TOK_END)
        a = left_over(&p);
    if (!a)
        return p.error ? p.error : -EINVAL;
    *ret = a;
    return 0;
}
