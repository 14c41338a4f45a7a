/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of OTTL. Whitespace separates and means nothing; every word knows the offset at which it begins, so that a
 * mistake can be shown.
 */
#ifndef GW_OTTL_LEXER_H
#define GW_OTTL_LEXER_H

#include "core/arena.h"
#include "ottl/ottl.h"

enum gw_ottl_token_kind {
    GW_TOK_END,
    GW_TOK_WORD,    /* a path's part, a function, an enum, or one of: and or not true false nil where */
    GW_TOK_STRING,  /* text: what stands between the quotes, escapes resolved */
    GW_TOK_INT,     /* digits */
    GW_TOK_DOUBLE,  /* digits with a point */
    GW_TOK_BYTES,   /* text: the bytes */
    GW_TOK_COMPARE, /* == != < <= > >= */
    GW_TOK_MATH,    /* + - * / */
    GW_TOK_EQUAL,   /* = */
    GW_TOK_ARROW,   /* => */
    GW_TOK_MARK,    /* one of ( ) [ ] { } , . : */
};

struct gw_ottl_token {
    enum gw_ottl_token_kind kind;
    uint32_t at;          /* offset of its first byte */
    struct gw_slice text; /* as it stands; of STRING and BYTES what it means */
};

struct gw_ottl_lexer {
    struct gw_slice text;
    uint32_t at;
    struct gw_arena *arena; /* strings with escapes, bytes */
    struct gw_ottl_fault *fault;
};

/** Read over the next token. Errors: -EINVAL (fault), -ENOMEM. */
int gw_ottl_lex(struct gw_ottl_lexer *l, struct gw_ottl_token *ret);

/** Write the sentence and where in the text it is about. Returns -EINVAL; a fault that is there already stays. */
int gw_ottl_wrong(struct gw_ottl_fault *fault, struct gw_slice text, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static inline bool gw_ottl_token_is(const struct gw_ottl_token *t, char mark)
{
    return (t->kind == GW_TOK_MARK || t->kind == GW_TOK_MATH) && t->text.p[0] == (uint8_t)mark;
}
static inline bool gw_ottl_token_is_word(const struct gw_ottl_token *t, const char *word)
{
    return t->kind == GW_TOK_WORD && gw_slice_is(t->text, word);
}

#endif
