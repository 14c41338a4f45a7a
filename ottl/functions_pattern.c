/* SPDX-License-Identifier: Apache-2.0 */
/* Converters with a regular expression. One that is a constant is compiled once; another one when its text changes. */
#include <stdlib.h>

#include "ottl/expr.h"

static struct gw_ottl_pattern *add(struct gw_ottl *o)
{
    struct gw_ottl_pattern *p = gw_arena_zalloc(&o->arena, sizeof(*p));

    if (p) {
        p->next = o->patterns;
        o->patterns = p;
    }
    return p;
}

/* A text as the pattern compiler wants it, with its zero. Owner: gives *ret. */
static int terminated(struct gw_slice s, char **ret, struct gw_err *err)
{
    if (memchr(s.p ? s.p : (const uint8_t *)"", '\0', s.n))
        return gw_fail(err, -EINVAL, "a pattern with a zero byte");
    *ret = malloc(s.n + 1);
    if (!*ret)
        return -ENOMEM;
    if (s.n)
        memcpy(*ret, s.p, s.n);
    (*ret)[s.n] = '\0';
    return 0;
}

static int prepare(struct gw_ottl *o, struct gw_ottl_call *call, const struct gw_ottl_value *constant,
                   struct gw_err *err)
{
    struct gw_ottl_pattern *p = add(o);
    char *text;
    int r;

    if (!p)
        return -ENOMEM;
    call->state = p;
    if (!constant)
        return 0;
    r = terminated(constant->s, &text, err);
    if (r < 0)
        return r;
    r = gw_pattern_new(text, &p->pattern, err);
    free(text);
    return r;
}

GW_OTTL_PREPARE(gw_ottl_prepare_is_match)
{
    return prepare(o, call, constants[1], err);
}

/* The pattern of this text: the one of last time, if it was the same. A constant has no text of its own. */
static struct gw_pattern *pattern_of(struct gw_ottl_run *r, const struct gw_ottl_call *call, struct gw_slice text)
{
    struct gw_ottl_pattern *p = call->state;
    struct gw_pattern *made;
    struct gw_err err = {""};
    char *copy;
    int error;

    if (p->pattern && (!p->text || gw_slice_eq(text, gw_slice_of(p->text, p->n))))
        return p->pattern;
    error = terminated(text, &copy, &err);
    if (error == 0) {
        error = gw_pattern_new(copy, &made, &err);
        if (error < 0)
            free(copy);
    }
    if (error < 0) {
        (void)gw_ottl_fail(r, error, "%s", err.text);
        return NULL;
    }
    if (p->pattern)
        p->n_given_up += gw_pattern_n_given_up(p->pattern);
    gw_pattern_free(p->pattern);
    free(p->text);
    p->pattern = made;
    p->text = copy;
    p->n = text.n;
    return made;
}

GW_OTTL_RUN(gw_ottl_run_is_match)
{
    struct gw_pattern *p = pattern_of(r, call, args[1].s);

    if (!p)
        return false;
    *ret = gw_ottl_bool(args[0].type != GW_OT_NIL && gw_pattern_matches(p, args[0].s));
    return true;
}

static bool has_names(const struct gw_pattern *p)
{
    for (unsigned i = 1; i <= gw_pattern_n_groups(p); i++)
        if (*gw_pattern_group_name(p, i))
            return true;
    return false;
}

static const char no_names[] = "at least 1 named capture group must be supplied in the given regex: (?P<name>...)";

GW_OTTL_PREPARE(gw_ottl_prepare_extract_patterns)
{
    int r = prepare(o, call, constants[1], err);
    const struct gw_ottl_pattern *p = call->state;

    if (r == 0 && p->pattern && !has_names(p->pattern))
        return gw_fail(err, -EINVAL, "%s", no_names);
    return r;
}

GW_OTTL_RUN(gw_ottl_run_extract_patterns)
{
    struct gw_pattern *p = pattern_of(r, call, args[1].s);
    struct gw_slice groups[GW_PATTERN_GROUPS];
    size_t begin = r->buf->n;

    if (!p)
        return false;
    if (!has_names(p))
        return gw_ottl_fail(r, -EINVAL, "%s", no_names);
    *ret = (struct gw_ottl_value){.type = GW_OT_MAP, .form = GW_OF_WIRE, .s = GW_SLICE("")};
    if (!gw_pattern_capture(p, args[0].s, groups))
        return true;
    for (unsigned i = 1; i <= gw_pattern_n_groups(p); i++) {
        struct gw_value v = {.type = GW_V_STRING, .s = groups[i - 1]};

        if (*gw_pattern_group_name(p, i))
            gw_value_put_pair(r->buf, gw_slice_cstr(gw_pattern_group_name(p, i)), &v);
    }
    return gw_ottl_take_buf(r, begin, &ret->s);
}
