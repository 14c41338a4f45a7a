/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/remedy.h"

#include "core/json_writer.h"
#include "core/status.h"
#include "exporters/elasticsearch/object.h"

/* ---- which field -------------------------------------------------------------------------------------------- */

/* What stands in front of the field's bracket. The first that is in the sentence counts. */
static const char *const openings[] = {
    "failed to parse field [",            /* of type [long] in document with id … */
    "object mapping for [",               /* tried to parse field [x] as object, but found a concrete value */
    "mapper [",                           /* cannot be changed from type [long] to [text] */
    "can't merge a non object mapping [", /* with an object mapping */
};

struct gw_slice gw_es_conflict_field(const char *type, const char *reason)
{
    static const char *const types[] = {"document_parsing_exception", "mapper_parsing_exception",
                                        "illegal_argument_exception"};
    bool known = false;

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        known = known || strcmp(type, types[i]) == 0;
    for (unsigned i = 0; known && i < sizeof(openings) / sizeof(openings[0]); i++) {
        const char *at = strstr(reason, openings[i]), *end;

        if (!at)
            continue;
        at += strlen(openings[i]);
        end = strchr(at, ']');
        return gw_slice_of(at, end ? (size_t)(end - at) : 0);
    }
    return (struct gw_slice){0};
}

/* The usual walk with one place to come back to: the last star. */
bool gw_es_field_matches(const char *pattern, struct gw_slice field)
{
    const char *star = NULL;
    size_t i = 0, back = 0;

    while (i < field.n) {
        if (*pattern == '*') {
            star = ++pattern;
            back = i;
        } else if (*pattern && (uint8_t)*pattern == field.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* ---- where it stands ---------------------------------------------------------------------------------------- */

/** A member of an object: the bytes of its key, without quotes, and of its value. */
struct member {
    struct gw_slice key, value;
};

enum { MAX_DEPTH = 64 };

static int find(struct gw_json_text *t, struct gw_slice path, unsigned depth, struct member *ret);

/* The cursor stands on a member's value. 0: found in it, 1: not, and the cursor is behind it. */
static int find_in(struct gw_json_text *t, struct gw_slice key, struct gw_slice path, unsigned depth,
                   struct member *ret)
{
    bool starts = key.n <= path.n && (key.n == 0 || memcmp(path.p, key.p, key.n) == 0);
    const uint8_t *begin = t->p;
    int r;

    if (starts && key.n < path.n && path.p[key.n] == '.' && gw_json_peek(t) == '{' && depth < MAX_DEPTH)
        return find(t, gw_slice_of(path.p + key.n + 1, path.n - key.n - 1), depth + 1, ret);
    r = gw_json_skip_value(t);
    if (r < 0)
        return r;
    if (!starts || key.n != path.n)
        return 1;
    *ret = (struct member){key, gw_slice_of(begin, (size_t)(t->p - begin))};
    return 0;
}

struct search {
    struct gw_slice path;
    unsigned depth;
    struct member *ret;
};

enum { FOUND = 1 };

static int look(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    const struct search *s = arg;
    int r = find_in(t, key, s->path, s->depth, s->ret);

    return r == 0 ? FOUND : r == 1 ? 0 : r;
}

/* The cursor stands on an opening brace. As find_in. Keys are compared as they are written: ours escape only what has
 * to be escaped, and no field's name in an error does. */
static int find(struct gw_json_text *t, struct gw_slice path, unsigned depth, struct member *ret)
{
    struct search s = {path, depth, ret};
    int r = gw_es_read_object(t, look, &s);

    return r == FOUND ? 0 : r == 0 ? 1 : r;
}

/* ---- the change --------------------------------------------------------------------------------------------- */

/** What an index would make of the value; NULL for what has no type: null, an empty array. */
static const char *type_of(struct gw_slice value)
{
    size_t i = 0;

    while (i < value.n && (value.p[i] == '[' || value.p[i] == ' '))
        i++;
    if (i == value.n)
        return NULL;
    switch (value.p[i]) {
    case '"':
        return "_string";
    case '{':
        return "_object";
    case 't':
    case 'f':
        return "_boolean";
    case 'n':
    case ']':
        return NULL;
    default:
        for (; i < value.n && value.p[i] != ',' && value.p[i] != ']'; i++)
            if (value.p[i] == '.' || (value.p[i] | 32) == 'e')
                return "_double";
        return "_long";
    }
}

static int put_changed(enum gw_es_remedy how, struct gw_slice source, const struct member *m, struct gw_buf *out)
{
    const uint8_t *behind_key = m->key.p + m->key.n, *behind_value = m->value.p + m->value.n;
    const char *type = type_of(m->value);
    size_t n = out->n;

    if (how == GW_ES_DEAD_LETTER || !type || (how == GW_ES_STRINGIFY && *m->value.p == '"'))
        return -EALREADY;
    if (how == GW_ES_RENAME) {
        gw_buf_put(out, source.p, (size_t)(behind_key - source.p));
        gw_buf_put_str(out, type);
        gw_buf_put(out, behind_key, (size_t)(source.p + source.n - behind_key));
    } else {
        gw_buf_put(out, source.p, (size_t)(m->value.p - source.p));
        gw_json_put_string(out, m->value);
        gw_buf_put(out, behind_value, (size_t)(source.p + source.n - behind_value));
    }
    if (!out->failed)
        return 0;
    out->n = n;
    out->failed = false;
    return -E2BIG;
}

int gw_es_remedy(enum gw_es_remedy how, struct gw_slice source, struct gw_slice field, struct gw_buf *out)
{
    struct gw_json_text t = {.begin = source.p, .p = source.p, .end = source.p + source.n};
    struct member m;
    int r;

    gw_json_skip_space(&t);
    if (gw_json_peek(&t) != '{')
        return -EBADMSG;
    if (!field.n)
        return -ENOENT;
    r = find(&t, field, 0, &m);
    return r < 0 ? r : r > 0 ? -ENOENT : put_changed(how, source, &m, out);
}
