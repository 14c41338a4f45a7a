/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/lexer.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

int gw_ottl_wrong(struct gw_ottl_fault *fault, struct gw_slice text, uint32_t at, const char *fmt, ...)
{
    va_list ap;

    if (fault->line)
        return -EINVAL;
    fault->line = fault->column = 1;
    for (uint32_t i = 0; i < at && i < text.n; i++) {
        fault->column = text.p[i] == '\n' ? 1 : fault->column + 1;
        fault->line += text.p[i] == '\n';
    }
    va_start(ap, fmt);
    (void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static int wrong_here(struct gw_ottl_lexer *l, const char *what)
{
    return gw_ottl_wrong(l->fault, l->text, l->at, "%s", what);
}

static uint8_t peek(const struct gw_ottl_lexer *l, uint32_t ahead)
{
    return l->at + ahead < l->text.n ? l->text.p[l->at + ahead] : 0;
}

/* ---- strings ---------------------------------------------------------------------------------------------- */

static uint8_t *put_utf8(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (uint8_t)c;
    } else if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (uint8_t)(0xe0 | c >> 12);
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | c >> 18);
        *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return out;
}

/* n digits of a base at s; false when one is none. */
static bool digits(const uint8_t *s, unsigned n, unsigned base, uint32_t *ret)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        uint8_t c = s[i];
        unsigned d = c >= '0' && c <= '9' ? c - 48u : isxdigit(c) ? (unsigned)(tolower(c) - 'a') + 10u : 99;

        if (d >= base)
            return false;
        v = v * base + d;
    }
    *ret = v;
    return true;
}

/* One escape of Go's quoted strings, at the backslash. Returns the bytes read, 0 when there is no such escape. */
static unsigned unescape(const uint8_t *s, size_t left, uint8_t **out)
{
    static const char letters[] = "abfnrtv\\\"", bytes[] = "\a\b\f\n\r\t\v\\\"";
    const char *letter = left > 1 && s[1] ? strchr(letters, s[1]) : NULL;
    unsigned n;
    uint32_t c;

    if (letter) {
        *(*out)++ = (uint8_t)bytes[letter - letters];
        return 2;
    }
    if (left > 3 && s[1] >= '0' && s[1] <= '3' && digits(s + 1, 3, 8, &c)) {
        *(*out)++ = (uint8_t)c;
        return 4;
    }
    n = left > 1 && s[1] == 'x' ? 2 : left > 1 && s[1] == 'u' ? 4 : left > 1 && s[1] == 'U' ? 8 : 0;
    if (n == 0 || left < n + 2 || !digits(s + 2, n, 16, &c))
        return 0;
    if (n == 2)
        *(*out)++ = (uint8_t)c;
    else if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    else
        *out = put_utf8(*out, c);
    return n + 2;
}

static int bad_escape(struct gw_ottl_lexer *l, uint32_t at)
{
    uint8_t c = at + 1 < l->text.n ? l->text.p[at + 1] : 0;

    if (isprint(c))
        return gw_ottl_wrong(l->fault, l->text, at, "unknown escape \\%c in a string: a backslash is written \\\\", c);
    return gw_ottl_wrong(l->fault, l->text, at, "unknown escape in a string: a backslash is written \\\\");
}

static int lex_string(struct gw_ottl_lexer *l, struct gw_ottl_token *t)
{
    const uint8_t *p = l->text.p;
    uint32_t i = l->at + 1;
    uint8_t *begin, *out;

    while (i < l->text.n && p[i] != '"')
        i += p[i] == '\\' ? 2 : 1;
    if (i >= l->text.n)
        return wrong_here(l, "a string without its closing quote");
    begin = out = gw_arena_alloc(l->arena, i - l->at);
    if (!begin)
        return -ENOMEM;
    for (uint32_t at = l->at + 1; at < i;) {
        unsigned n = p[at] == '\\' ? unescape(p + at, i - at, &out) : 1;

        if (n == 0)
            return bad_escape(l, at);
        if (p[at] == '\n')
            return gw_ottl_wrong(l->fault, l->text, at, "a line ends inside a string: write \\n");
        if (p[at] != '\\')
            *out++ = p[at];
        at += n;
    }
    t->kind = GW_TOK_STRING;
    t->text = gw_slice_of(begin, (size_t)(out - begin));
    l->at = i + 1;
    return 0;
}

/* ---- numbers, words, marks -------------------------------------------------------------------------------- */

static int lex_bytes(struct gw_ottl_lexer *l, struct gw_ottl_token *t)
{
    uint32_t n = 2, byte = 0;
    uint8_t *out;

    while (isxdigit(peek(l, n)))
        n++;
    if (n % 2)
        return wrong_here(l, "bytes are written with two digits each: 0x0af7");
    out = gw_arena_alloc(l->arena, n / 2);
    if (!out)
        return -ENOMEM;
    for (uint32_t i = 2; i < n; i += 2) {
        (void)digits(l->text.p + l->at + i, 2, 16, &byte);
        out[i / 2 - 1] = (uint8_t)byte;
    }
    t->kind = GW_TOK_BYTES;
    t->text = gw_slice_of(out, n / 2 - 1);
    l->at += n;
    return 0;
}

static void lex_number(struct gw_ottl_lexer *l, struct gw_ottl_token *t)
{
    uint32_t n = 0, e;

    while (isdigit(peek(l, n)))
        n++;
    t->kind = GW_TOK_INT;
    if (peek(l, n) == '.') {
        t->kind = GW_TOK_DOUBLE;
        for (n++; isdigit(peek(l, n));)
            n++;
        e = n + 1 + (peek(l, n + 1) == '-' || peek(l, n + 1) == '+');
        if ((peek(l, n) | 0x20) == 'e' && isdigit(peek(l, e)))
            for (n = e; isdigit(peek(l, n));)
                n++;
    }
    t->text = gw_slice_of(l->text.p + l->at, n);
    l->at += n;
}

/* Words and marks of other languages, and what they are here. */
static int foreign(struct gw_ottl_lexer *l)
{
    uint8_t c = peek(l, 0), next = peek(l, 1);

    if (c == '?')
        return wrong_here(l, "there is no a ? b : c: write (a and b) or (not a and c)");
    if (c == '&')
        return wrong_here(l, next == '&' ? "there is no &&: write and" : "unexpected &");
    if (c == '|')
        return wrong_here(l, next == '|' ? "there is no ||: write or" : "unexpected |");
    if (c == '!')
        return wrong_here(l, "there is no !: write not");
    if (c == '~')
        return wrong_here(l, "there is no operator with ~: write IsMatch(value, \"pattern\")");
    if (c == '\'' || c == '`')
        return wrong_here(l, "strings stand in double quotes");
    if (c == '$')
        return wrong_here(l, "unexpected $: a group of a pattern ($1, in YAML $$1) stands only inside a replacement");
    if (c == '%')
        return wrong_here(l, "there is no %: the operators are + - * /");
    if (c == '_')
        return wrong_here(l, "a name does not begin with _");
    if (isprint(c))
        return gw_ottl_wrong(l->fault, l->text, l->at, "unexpected %c", c);
    return gw_ottl_wrong(l->fault, l->text, l->at, "unexpected byte 0x%02x", c);
}

static int lex_mark(struct gw_ottl_lexer *l, struct gw_ottl_token *t)
{
    uint8_t c = peek(l, 0), next = peek(l, 1);
    uint32_t n = 1;

    if (c && strchr("()[]{},.:", c)) {
        t->kind = GW_TOK_MARK;
    } else if (c && strchr("+-*/", c)) {
        t->kind = GW_TOK_MATH;
    } else if (c == '<' || c == '>' || ((c == '=' || c == '!') && next == '=')) {
        t->kind = GW_TOK_COMPARE;
        n = next == '=' ? 2 : 1;
    } else if (c == '=' && next == '>') {
        t->kind = GW_TOK_ARROW;
        n = 2;
    } else if (c == '=' && next == '~') {
        return wrong_here(l, "there is no =~: write IsMatch(value, \"pattern\")");
    } else if (c == '=') {
        t->kind = GW_TOK_EQUAL;
    } else {
        return foreign(l);
    }
    t->text = gw_slice_of(l->text.p + l->at, n);
    l->at += n;
    return 0;
}

int gw_ottl_lex(struct gw_ottl_lexer *l, struct gw_ottl_token *ret)
{
    uint8_t c;

    while (l->at < l->text.n && strchr(" \t\n\r\f\v", l->text.p[l->at]) && l->text.p[l->at])
        l->at++;
    *ret = (struct gw_ottl_token){.kind = GW_TOK_END, .at = l->at};
    if (l->at >= l->text.n)
        return 0;
    c = peek(l, 0);
    if (c == '"')
        return lex_string(l, ret);
    if (c == '0' && peek(l, 1) == 'x' && isxdigit(peek(l, 2)))
        return lex_bytes(l, ret);
    if (isdigit(c) || (c == '.' && isdigit(peek(l, 1)))) {
        lex_number(l, ret);
        return 0;
    }
    if (isalpha(c)) {
        uint32_t n = 1;

        while (isalnum(peek(l, n)) || peek(l, n) == '_')
            n++;
        ret->kind = GW_TOK_WORD;
        ret->text = gw_slice_of(l->text.p + l->at, n);
        l->at += n;
        return 0;
    }
    return lex_mark(l, ret);
}
