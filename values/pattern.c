/* SPDX-License-Identifier: Apache-2.0 */
#include "values/pattern.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/buf.h"

enum {
    PATTERN_BYTES = 64 << 10,
    MATCH_LIMIT = 100000, /* about half a millisecond of backtracking */
    HEAP_LIMIT_KIB = 1024,
    JIT_STACK_START = 32 << 10,
    JIT_STACK_MAX = 512 << 10,
    REPEAT_MAX = 1000, /* RE2's own */
};

struct gw_pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    unsigned n_groups;
    char *names[GW_PATTERN_GROUPS];
    uint64_t n_given_up;
};

/* ---- RE2 into PCRE2 --------------------------------------------------------------------------------------- */

struct translation {
    const char *s; /* the whole pattern, for offsets */
    const char *at;
    struct gw_buf out;
    struct gw_pattern *p;
    struct gw_err *err;
};

static int refuse(struct translation *t, const char *at, const char *what)
{
    return gw_fail(t->err, -EINVAL, "%s at offset %zu of pattern \"%.100s\"", what, (size_t)(at - t->s), t->s);
}

static void put(struct translation *t, const char *s)
{
    gw_buf_put_str(&t->out, s);
}

static void copy(struct translation *t, size_t n)
{
    gw_buf_put(&t->out, t->at, n);
    t->at += n;
}

/* \p{Greek}, \pL, \x{10ffff}, \x7f: the part behind the letter. */
static int copy_braced(struct translation *t, size_t bare)
{
    size_t n = 2;

    if (t->at[n] == '{') {
        const char *end = strchr(t->at, '}');

        if (!end)
            return refuse(t, t->at, "missing closing }");
        copy(t, (size_t)(end + 1 - t->at));
        return 0;
    }
    for (size_t i = 0; i < bare; i++, n++)
        if (!isalnum((unsigned char)t->at[n]))
            return refuse(t, t->at, "invalid escape sequence");
    copy(t, n);
    return 0;
}

/* \0, \012, \12: octal. A single digit other than 0 is a back reference, which RE2 does not have. */
static int copy_octal(struct translation *t)
{
    const char *s = t->at + 1;
    unsigned value = 0, n = 0;

    if (s[0] != '0' && !(s[1] >= '0' && s[1] <= '7'))
        return refuse(t, t->at, "invalid escape sequence");
    for (; n < 3 && s[n] >= '0' && s[n] <= '7'; n++)
        value = value * 8 + (unsigned)(s[n] - '0');
    gw_buf_printf(&t->out, "\\x{%x}", value);
    t->at = s + n;
    return 0;
}

/* Escapes that mean the same inside and outside of a class. */
static int escape_common(struct translation *t)
{
    unsigned char c = (unsigned char)t->at[1];

    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 'a':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        copy(t, 2);
        return 0;
    case 'v': /* PCRE2's \v is any vertical space */
        put(t, "\\x0b");
        t->at += 2;
        return 0;
    case 'p':
    case 'P':
        return copy_braced(t, 1);
    case 'x':
        return copy_braced(t, 2);
    default:
        break;
    }
    if (c >= '0' && c <= '7')
        return copy_octal(t);
    if (c == '\0')
        return refuse(t, t->at, "trailing backslash");
    if (c >= 0x80 || isalnum(c))
        return refuse(t, t->at, "invalid escape sequence");
    copy(t, 2);
    return 0;
}

static int escape(struct translation *t)
{
    const char *end;

    switch (t->at[1]) {
    case 'A':
    case 'z':
    case 'b':
    case 'B':
        copy(t, 2);
        return 0;
    case 's': /* PCRE2's has the vertical tab, too */
        put(t, "[\\t\\n\\f\\r ]");
        t->at += 2;
        return 0;
    case 'S':
        put(t, "[^\\t\\n\\f\\r ]");
        t->at += 2;
        return 0;
    case 'Q':
        end = strstr(t->at, "\\E");
        if (end) {
            copy(t, (size_t)(end + 2 - t->at));
        } else {
            copy(t, strlen(t->at));
            put(t, "\\E");
        }
        return 0;
    default:
        return escape_common(t);
    }
}

static int class_item(struct translation *t)
{
    const char *end;

    if (t->at[0] == '[' && t->at[1] == ':' && (end = strstr(t->at, ":]"))) {
        copy(t, (size_t)(end + 2 - t->at));
        return 0;
    }
    if (t->at[0] == '[') { /* PCRE2 would look for [. and [= */
        put(t, "\\[");
        t->at++;
        return 0;
    }
    if (t->at[0] != '\\') {
        copy(t, 1);
        return 0;
    }
    if (t->at[1] == 's') {
        put(t, "\\t\\n\\f\\r\\x20");
        t->at += 2;
        return 0;
    }
    if (t->at[1] == 'S') {
        put(t, "\\S\\x0b");
        t->at += 2;
        return 0;
    }
    return escape_common(t);
}

static int class(struct translation *t)
{
    const char *begin = t->at;
    int r;

    copy(t, 1);
    if (*t->at == '^')
        copy(t, 1);
    if (*t->at == ']') {
        put(t, "\\]");
        t->at++;
    }
    while (*t->at != ']') {
        if (!*t->at)
            return refuse(t, begin, "missing closing ]");
        r = class_item(t);
        if (r < 0)
            return r;
    }
    copy(t, 1);
    return 0;
}

static int add_group(struct translation *t, const char *name, size_t n)
{
    struct gw_pattern *p = t->p;

    if (p->n_groups == GW_PATTERN_GROUPS)
        return refuse(t, t->at, "too many groups");
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return refuse(t, t->at, "invalid named capture");
    for (unsigned i = 0; n && i < p->n_groups; i++)
        if (strlen(p->names[i]) == n && memcmp(p->names[i], name, n) == 0)
            return refuse(t, t->at, "duplicate capture group name");
    p->names[p->n_groups] = strndup(name, n);
    if (!p->names[p->n_groups])
        return -ENOMEM;
    p->n_groups++;
    return 0;
}

/* (?P<name>, (?<name>: names are kept here, since PCRE2's end at 32 characters. */
static int named_group(struct translation *t, size_t prefix)
{
    const char *name = t->at + prefix, *end = strchr(name, '>');
    int r;

    if (!end || end == name)
        return refuse(t, t->at, "invalid named capture");
    r = add_group(t, name, (size_t)(end - name));
    if (r < 0)
        return r;
    put(t, "(");
    t->at = end + 1;
    return 0;
}

static int group(struct translation *t)
{
    const char *s = t->at;
    size_t n = 2;
    int r;

    if (s[1] == '*')
        return refuse(t, s, "missing argument to repetition operator");
    if (s[1] != '?') {
        r = add_group(t, "", 0);
        if (r == 0)
            copy(t, 1);
        return r;
    }
    if (strncmp(s, "(?P<", 4) == 0)
        return named_group(t, 4);
    if (s[2] == '<' && s[3] != '=' && s[3] != '!')
        return named_group(t, 3);
    if (s[2] == '=' || s[2] == '!' || s[2] == '<')
        return refuse(t, s,
                      s[2] == '<' ? "look-behind, which RE2 does not have," : "look-ahead, which RE2 does not have,");
    while (s[n] && strchr("imsU-", s[n]))
        n++;
    if (s[n] != ':' && (s[n] != ')' || n == 2))
        return refuse(t, s, "invalid or unsupported group");
    copy(t, n + 1);
    return 0;
}

/* Length of {n}, {n,} or {n,m} at s, 0 when it is literal text; *ret_most = the largest number in it. */
static size_t repeat_length(const char *s, unsigned long *ret_most)
{
    char *end;
    unsigned long least;

    if (s[0] != '{' || !isdigit((unsigned char)s[1]))
        return 0;
    least = *ret_most = strtoul(s + 1, &end, 10);
    if (*end == ',') {
        end++;
        if (isdigit((unsigned char)*end))
            *ret_most = strtoul(end, &end, 10);
    }
    *ret_most = *ret_most > least ? *ret_most : least;
    return *end == '}' ? (size_t)(end + 1 - s) : 0;
}

static bool is_repeat(const char *s)
{
    unsigned long most;

    return *s == '*' || *s == '+' || *s == '?' || repeat_length(s, &most) > 0;
}

static int repeat(struct translation *t)
{
    const char *begin = t->at;
    unsigned long most = 0;
    size_t n = *begin == '{' ? repeat_length(begin, &most) : 1;

    if (n == 0) {
        put(t, "\\{");
        t->at++;
        return 0;
    }
    if (most > REPEAT_MAX)
        return refuse(t, begin, "invalid repeat count");
    copy(t, n);
    if (*t->at == '?')
        copy(t, 1);
    if (is_repeat(t->at)) /* a++ is PCRE2's possessive quantifier, and an error in RE2 */
        return refuse(t, begin, "invalid nested repetition operator");
    return 0;
}

static int translate(struct translation *t)
{
    int r = 0;

    while (r == 0 && *t->at)
        switch (*t->at) {
        case '\\':
            r = escape(t);
            break;
        case '[':
            r = class(t);
            break;
        case '(':
            r = group(t);
            break;
        case '*':
        case '+':
        case '?':
        case '{':
            r = repeat(t);
            break;
        default:
            copy(t, 1);
        }
    if (r == 0 && t->out.starved)
        return -ENOMEM;
    if (r == 0 && t->out.failed)
        return gw_fail(t->err, -EINVAL, "pattern is longer than %d bytes", PATTERN_BYTES);
    return r;
}

/* ---- compiling -------------------------------------------------------------------------------------------- */

static int compile(struct gw_pattern *p, struct gw_slice text, const char *re2, struct gw_err *err)
{
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    PCRE2_UCHAR why[128] = "";
    PCRE2_SIZE at = 0;
    int code = 0;

    if (!cc)
        return -ENOMEM;
    (void)pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    p->code = pcre2_compile(text.p, text.n,
                            PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX |
                                PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, cc);
    pcre2_compile_context_free(cc);
    if (p->code) {
        /* Without JIT (a hardened kernel) the interpreter does the same, slower. */
        (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
        return 0;
    }
    (void)pcre2_get_error_message(code, why, sizeof(why));
    return gw_fail(err, -EINVAL, "%s in pattern \"%.100s\"", (const char *)why, re2);
}

int gw_pattern_new(const char *re2, struct gw_pattern **ret, struct gw_err *err)
{
    struct gw_pattern *p = calloc(1, sizeof(*p));
    struct translation t = {.s = re2, .at = re2, .p = p, .err = err};
    int r;

    if (!p)
        return -ENOMEM;
    gw_buf_init(&t.out, PATTERN_BYTES);
    r = translate(&t);
    if (r == 0)
        r = compile(p, t.out.n ? gw_buf_slice(&t.out) : GW_SLICE(""), re2, err);
    gw_buf_clear(&t.out);
    if (r < 0)
        goto fail;
    p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->context = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
    r = -ENOMEM;
    if (!p->data || !p->context)
        goto fail;
    (void)pcre2_set_match_limit(p->context, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(p->context, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    if (p->stack)
        pcre2_jit_stack_assign(p->context, NULL, p->stack);
    *ret = p;
    return 0;
fail:
    gw_pattern_free(p);
    return r;
}

void gw_pattern_free(struct gw_pattern *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->n_groups; i++)
        free(p->names[i]);
    pcre2_jit_stack_free(p->stack);
    pcre2_match_context_free(p->context);
    pcre2_match_data_free(p->data);
    pcre2_code_free(p->code);
    free(p);
}

/* ---- matching --------------------------------------------------------------------------------------------- */

bool gw_pattern_matches(struct gw_pattern *p, struct gw_slice s)
{
    int r = pcre2_match(p->code, s.n ? s.p : (const uint8_t *)"", s.n, 0, 0, p->data, p->context);

    if (r < 0 && r != PCRE2_ERROR_NOMATCH)
        p->n_given_up++;
    return r >= 0;
}

bool gw_pattern_capture(struct gw_pattern *p, struct gw_slice s, struct gw_slice ret_groups[GW_PATTERN_GROUPS])
{
    const PCRE2_SIZE *at;

    if (!gw_pattern_matches(p, s))
        return false;
    at = pcre2_get_ovector_pointer(p->data);
    for (unsigned i = 1; i <= p->n_groups; i++)
        ret_groups[i - 1] = at[2 * i] == PCRE2_UNSET ? (struct gw_slice){s.p, 0}
                                                     : (struct gw_slice){s.p + at[2 * i], at[2 * i + 1] - at[2 * i]};
    return true;
}

unsigned gw_pattern_n_groups(const struct gw_pattern *p)
{
    return p->n_groups;
}

const char *gw_pattern_group_name(const struct gw_pattern *p, unsigned i)
{
    return p->names[i - 1];
}

uint64_t gw_pattern_n_given_up(const struct gw_pattern *p)
{
    return p->n_given_up;
}
