/* SPDX-License-Identifier: Apache-2.0 */
/* Is a line JSON as a strict server reads it (RFC 8259, no key twice in an object)? For tests and fuzzing. */
#ifndef GW_TESTS_JSON_CHECK_H
#define GW_TESTS_JSON_CHECK_H

#include <ctype.h>

#include "core/slice.h"

enum { JSON_CHECK_DEPTH = 600, JSON_CHECK_KEYS = 48 /* an object's first ones are compared */ };

struct json_check {
    const uint8_t *p, *end;
    const char *problem; /* of the first mistake */
};

static bool json_fail(struct json_check *c, const char *problem)
{
    if (!c->problem)
        c->problem = problem;
    return false;
}

static bool json_take(struct json_check *c, uint8_t want)
{
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

/** UTF-8 and escapes; *ret is what stands between the quotes. */
static bool json_string(struct json_check *c, struct gw_slice *ret)
{
    const uint8_t *from;

    if (!json_take(c, '"'))
        return json_fail(c, "no string");
    from = c->p;
    while (c->p < c->end && *c->p != '"') {
        uint8_t b = *c->p++;

        if (b < 0x20)
            return json_fail(c, "a control character in a string");
        if (b == '\\') {
            uint8_t e = c->p < c->end ? *c->p++ : 0;

            if (!e || !strchr("\"\\/bfnrtu", e))
                return json_fail(c, "an escape that there is not");
            for (int i = 0; e == 'u' && i < 4; i++)
                if (c->p == c->end || !isxdigit(*c->p++))
                    return json_fail(c, "\\u without four digits");
        } else if (b >= 0x80) {
            int more = b >= 0xc2 && b < 0xe0 ? 1 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xf0 && b < 0xf5 ? 3 : -1;

            if (more < 0)
                return json_fail(c, "no UTF-8");
            for (; more > 0; more--)
                if (c->p == c->end || (*c->p++ & 0xc0) != 0x80)
                    return json_fail(c, "no UTF-8");
        }
    }
    *ret = gw_slice_of(from, (size_t)(c->p - from));
    return json_take(c, '"') || json_fail(c, "a string without an end");
}

static bool json_digits(struct json_check *c)
{
    const uint8_t *from = c->p;

    while (c->p < c->end && isdigit(*c->p))
        c->p++;
    return c->p > from || json_fail(c, "a number without digits");
}

static bool json_number(struct json_check *c)
{
    const uint8_t *first;

    (void)json_take(c, '-');
    first = c->p;
    if (!json_digits(c))
        return false;
    if (*first == '0' && c->p > first + 1)
        return json_fail(c, "a number that begins with 0");
    if (json_take(c, '.') && !json_digits(c))
        return false;
    if (json_take(c, 'e') || json_take(c, 'E')) {
        if (!json_take(c, '+'))
            (void)json_take(c, '-');
        return json_digits(c);
    }
    return true;
}

static bool json_value(struct json_check *c, unsigned depth);

static bool json_word(struct json_check *c, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return json_fail(c, "no value");
    c->p += n;
    return true;
}

static bool json_object(struct json_check *c, unsigned depth)
{
    struct gw_slice keys[JSON_CHECK_KEYS], key;
    unsigned n = 0;

    if (json_take(c, '}'))
        return true;
    do {
        if (!json_string(c, &key) || !json_take(c, ':'))
            return json_fail(c, "no colon");
        for (unsigned i = 0; i < n; i++)
            if (gw_slice_eq(keys[i], key))
                return json_fail(c, "a key that stands twice");
        if (n < JSON_CHECK_KEYS)
            keys[n++] = key;
        if (!json_value(c, depth + 1))
            return false;
    } while (json_take(c, ','));
    return json_take(c, '}') || json_fail(c, "an object without an end");
}

static bool json_value(struct json_check *c, unsigned depth)
{
    struct gw_slice s;

    if (depth > JSON_CHECK_DEPTH)
        return json_fail(c, "nested too deep");
    if (c->p == c->end)
        return json_fail(c, "no value");
    switch (*c->p) {
    case '{':
        c->p++;
        return json_object(c, depth);
    case '[':
        c->p++;
        if (json_take(c, ']'))
            return true;
        do
            if (!json_value(c, depth + 1))
                return false;
        while (json_take(c, ','));
        return json_take(c, ']') || json_fail(c, "an array without an end");
    case '"':
        return json_string(c, &s);
    case 't':
        return json_word(c, "true");
    case 'f':
        return json_word(c, "false");
    case 'n':
        return json_word(c, "null");
    default:
        return json_number(c);
    }
}

/** NULL, or what is wrong with a line, whose end it is that nothing but JSON may stand before. */
static inline const char *json_problem(struct gw_slice line)
{
    struct json_check c = {line.p, line.p + line.n, NULL};

    if (json_value(&c, 0) && c.p != c.end)
        (void)json_fail(&c, "something behind the value");
    return c.problem;
}

#endif
