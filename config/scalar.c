/* SPDX-License-Identifier: Apache-2.0 */
/* What an unquoted scalar means. */
#include "config/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NUMBER = 127 }; /* no number is written longer */

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* Copies s without underscores. False when it cannot be a number: too long, or an underscore in front. */
static bool strip(const char *s, char *out)
{
    size_t n = 0;

    if (*s == '_' || *s == '\0')
        return false;
    for (; *s; s++) {
        if (*s == '_')
            continue;
        if (n == MAX_NUMBER)
            return false;
        out[n++] = *s;
    }
    out[n] = '\0';
    return n > 0;
}

static unsigned take_base(const char **s)
{
    const char *p = *s;

    if (p[0] != '0' || p[1] == '\0')
        return 10;
    *s = p + 2;
    switch (p[1]) {
    case 'x':
    case 'X':
        return 16;
    case 'o':
    case 'O':
        return 8;
    case 'b':
    case 'B':
        return 2;
    default:
        *s = p + 1;
        return 8;
    }
}

/* Magnitude and sign. */
static bool parse_whole(const char *text, uint64_t *ret, bool *ret_negative)
{
    char buf[MAX_NUMBER + 1];
    const char *s = buf;
    uint64_t v = 0;
    unsigned base;

    if (!strip(text, buf))
        return false;
    *ret_negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    base = take_base(&s);
    if (*s == '\0')
        return false;
    for (; *s; s++) {
        unsigned d = (unsigned)digit(*s);

        if (d >= base || v > (UINT64_MAX - d) / base)
            return false;
        v = v * base + d;
    }
    *ret = v;
    return true;
}

bool gw_parse_u64(const char *s, uint64_t *ret)
{
    bool negative;
    uint64_t v;

    if (!parse_whole(s, &v, &negative) || (negative && v != 0))
        return false;
    *ret = v;
    return true;
}

bool gw_parse_i64(const char *s, int64_t *ret)
{
    bool negative;
    uint64_t v;

    if (!parse_whole(s, &v, &negative) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool looks_like_float(const char *s)
{
    size_t whole, fraction = 0;

    if (*s == '-' || *s == '+')
        s++;
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        if (*s == '\0')
            return false;
        s += strspn(s, "0123456789");
    }
    return *s == '\0';
}

bool gw_parse_f64(const char *s, double *ret)
{
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus_inf[] = {"-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    char buf[MAX_NUMBER + 1];
    uint64_t v;
    bool negative;

    if (is_one_of(s, inf) || is_one_of(s, minus_inf)) {
        *ret = *s == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (is_one_of(s, nan_words)) {
        *ret = NAN;
        return true;
    }
    if (!strip(s, buf))
        return false;
    if (looks_like_float(buf)) {
        *ret = strtod(buf, NULL);
        return true;
    }
    if (!parse_whole(s, &v, &negative))
        return false;
    *ret = negative ? -(double)v : (double)v;
    return true;
}

void gw_yaml_type(struct gw_node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    int64_t i;
    double f;

    n->type = GW_NODE_STRING;
    if (is_one_of(n->text, nulls)) {
        n->type = GW_NODE_NULL;
    } else if (is_one_of(n->text, trues) || is_one_of(n->text, falses)) {
        n->type = GW_NODE_BOOL;
        n->b = n->text[0] == 't' || n->text[0] == 'T';
    } else if (gw_parse_i64(n->text, &i)) {
        n->type = GW_NODE_INT;
        n->i = i;
    } else if (gw_parse_f64(n->text, &f)) {
        n->type = GW_NODE_FLOAT;
        n->f = f;
    }
}

static const char *float_value(double f, char buf[GW_YAML_VALUE_BYTES])
{
    if (isnan(f))
        return ".nan";
    if (isinf(f))
        return f < 0 ? "-.inf" : ".inf";
    (void)snprintf(buf, GW_YAML_VALUE_BYTES, "%.17g", f);
    if (!strpbrk(buf, ".e"))
        strcat(buf, ".0");
    return buf;
}

const char *gw_yaml_value(const struct gw_node *n, char buf[GW_YAML_VALUE_BYTES])
{
    struct gw_node alone = {.text = n->text};

    gw_yaml_type(&alone);
    if (alone.type == n->type)
        return n->text;
    switch (n->type) {
    case GW_NODE_NULL:
        return "null";
    case GW_NODE_BOOL:
        return n->b ? "true" : "false";
    case GW_NODE_INT:
        (void)snprintf(buf, GW_YAML_VALUE_BYTES, "%lld", (long long)n->i);
        return buf;
    case GW_NODE_FLOAT:
        return float_value(n->f, buf);
    case GW_NODE_STRING:
    case GW_NODE_MAP:
    case GW_NODE_LIST:
        break;
    }
    return n->text;
}
