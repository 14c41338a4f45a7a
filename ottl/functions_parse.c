/* SPDX-License-Identifier: Apache-2.0 */
/* Converters that make maps and lists of texts. */
#include "otlp-proto/json_text.h"
#include "ottl/expr.h"
#include "ottl/pairs.h"

enum { MAX_JSON_DEPTH = 64 };

/* ---- JSON ------------------------------------------------------------------------------------------------- */

static bool json_value(struct gw_ottl_run *r, struct gw_json_text *t, unsigned depth, struct gw_ottl_value *ret);

static bool bad_json(struct gw_ottl_run *r, const struct gw_json_text *t)
{
    if (t->err->text[0])
        return gw_ottl_fail(r, -EINVAL, "%.180s", t->err->text);
    return gw_ottl_fail(r, -EINVAL, "no JSON at offset %zu", (size_t)(t->p - t->begin));
}

static bool json_string(struct gw_ottl_run *r, struct gw_json_text *t, struct gw_slice *ret)
{
    struct gw_json_string s;
    uint8_t *p;
    size_t n;

    if (gw_json_read_string(t, &s) < 0)
        return bad_json(r, t);
    *ret = s.raw;
    if (!s.escaped)
        return true;
    p = gw_arena_alloc(r->arena, s.raw.n);
    if (!p)
        return gw_ottl_starve(r);
    if (gw_json_unescape(t, &s, p, &n) < 0)
        return bad_json(r, t);
    *ret = gw_slice_of(p, n);
    return true;
}

/* Behind a value in a list or an object: a comma, or what closes it. */
static bool json_more(struct gw_ottl_run *r, struct gw_json_text *t, uint8_t close, bool *ret)
{
    gw_json_skip_space(t);
    *ret = gw_json_peek(t) == ',';
    if (!*ret && gw_json_peek(t) != close)
        return bad_json(r, t);
    t->p++;
    gw_json_skip_space(t);
    return true;
}

static bool json_object(struct gw_ottl_run *r, struct gw_json_text *t, unsigned depth, struct gw_ottl_value *ret)
{
    struct gw_ottl_pairs pairs = {0};
    struct gw_ottl_value value;
    struct gw_slice key;
    bool more;

    t->p++;
    gw_json_skip_space(t);
    more = gw_json_peek(t) != '}';
    if (!more)
        t->p++;
    while (more) {
        if (gw_json_peek(t) != '"' || !json_string(r, t, &key))
            return bad_json(r, t);
        gw_json_skip_space(t);
        if (gw_json_peek(t) != ':')
            return bad_json(r, t);
        t->p++;
        if (!json_value(r, t, depth + 1, &value) || !gw_ottl_pairs_add(r, &pairs, key, &value) ||
            !json_more(r, t, '}', &more))
            return false;
    }
    return gw_ottl_pairs_map(r, &pairs, ret);
}

static bool json_array(struct gw_ottl_run *r, struct gw_json_text *t, unsigned depth, struct gw_ottl_value *ret)
{
    size_t begin = r->buf->n;
    struct gw_ottl_value item;
    struct gw_value v;
    bool more;

    t->p++;
    gw_json_skip_space(t);
    more = gw_json_peek(t) != ']';
    if (!more)
        t->p++;
    while (more) {
        if (!json_value(r, t, depth + 1, &item) || !gw_ottl_to_value(r, &item, &v) || !json_more(r, t, ']', &more))
            return false;
        gw_value_put_item(r->buf, &v);
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_WIRE};
    return gw_ottl_take_buf(r, begin, &ret->s);
}

/* All numbers are doubles, as encoding/json makes them. */
static bool json_scalar(struct gw_ottl_run *r, struct gw_json_text *t, struct gw_ottl_value *ret)
{
    struct gw_json_number n;

    if (gw_json_peek(t) == '"') {
        *ret = gw_ottl_string(GW_SLICE(""));
        return json_string(r, t, &ret->s);
    }
    if (gw_json_word(t, "true"))
        *ret = gw_ottl_bool(true);
    else if (gw_json_word(t, "false"))
        *ret = gw_ottl_bool(false);
    else if (gw_json_word(t, "null"))
        *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
    else {
        *ret = gw_ottl_double(0);
        if ((gw_json_peek(t) != '-' && (gw_json_peek(t) < '0' || gw_json_peek(t) > '9')) ||
            gw_json_read_number(t, &n) < 0 || !gw_json_number_to_double(&n, &ret->f))
            return bad_json(r, t);
    }
    return true;
}

static bool json_value(struct gw_ottl_run *r, struct gw_json_text *t, unsigned depth, struct gw_ottl_value *ret)
{
    if (depth > MAX_JSON_DEPTH)
        return gw_ottl_fail(r, -EINVAL, "nested deeper than %d", MAX_JSON_DEPTH);
    gw_json_skip_space(t);
    if (gw_json_peek(t) == '{')
        return json_object(r, t, depth, ret);
    if (gw_json_peek(t) == '[')
        return json_array(r, t, depth, ret);
    return json_scalar(r, t, ret);
}

GW_OTTL_RUN(gw_ottl_run_parse_json)
{
    struct gw_err err = {""};
    struct gw_json_text t = {args[0].s.p, args[0].s.p, args[0].s.p + args[0].s.n, &err};

    (void)call;
    if (!json_value(r, &t, 0, ret))
        return false;
    gw_json_skip_space(&t);
    if (t.p < t.end)
        return bad_json(r, &t);
    if (ret->type != GW_OT_MAP && ret->type != GW_OT_LIST)
        return gw_ottl_fail(r, -EINVAL, "could not convert parsed value of type %s to JSON object",
                            gw_ottl_type_name(ret));
    return true;
}

/* ---- key=value -------------------------------------------------------------------------------------------- */

struct key_value {
    struct gw_slice delimiter, pair_delimiter;
};

GW_OTTL_PREPARE(gw_ottl_prepare_parse_key_value)
{
    struct key_value *kv = gw_arena_zalloc(&o->arena, sizeof(*kv));

    if (!kv)
        return -ENOMEM;
    kv->delimiter = constants[1] ? constants[1]->s : GW_SLICE("=");
    kv->pair_delimiter = constants[2] ? constants[2]->s : GW_SLICE(" ");
    call->state = kv;
    if (kv->delimiter.n == 0)
        return gw_fail(err, -EINVAL, "delimiter cannot be set to an empty string");
    if (kv->pair_delimiter.n == 0)
        return gw_fail(err, -EINVAL, "pair delimiter cannot be set to an empty string");
    if (gw_slice_eq(kv->delimiter, kv->pair_delimiter))
        return gw_fail(err, -EINVAL, "pair delimiter \"%.*s\" cannot be equal to delimiter",
                       (int)(kv->delimiter.n < 60 ? kv->delimiter.n : 60), (const char *)kv->delimiter.p);
    return 0;
}

static bool stands_at(struct gw_slice s, size_t at, struct gw_slice what)
{
    return s.n - at >= what.n && memcmp(s.p + at, what.p, what.n) == 0;
}

static struct gw_slice trimmed(const uint8_t *p, size_t n)
{
    static const char space[] = " \t\n\v\f\r";

    while (n && p[0] && strchr(space, p[0])) {
        p++;
        n--;
    }
    while (n && p[n - 1] && strchr(space, p[n - 1]))
        n--;
    return gw_slice_of(p, n);
}

/* One piece, its quotes taken off: key and value around the first delimiter. */
static bool add_piece(struct gw_ottl_run *r, const struct key_value *kv, struct gw_slice piece,
                      struct gw_ottl_pairs *pairs)
{
    const uint8_t *at = memmem(piece.p, piece.n, kv->delimiter.p, kv->delimiter.n);
    struct gw_ottl_value v;
    size_t n;

    if (!at)
        return gw_ottl_fail(r, -EINVAL, "cannot split \"%.*s\" into 2 items, got 1 item(s)",
                            (int)(piece.n < 60 ? piece.n : 60), (const char *)piece.p);
    n = (size_t)(at - piece.p);
    v = gw_ottl_string(trimmed(at + kv->delimiter.n, piece.n - n - kv->delimiter.n));
    return gw_ottl_pairs_add(r, pairs, trimmed(piece.p, n), &v);
}

/*
 * Pieces stand between pair delimiters that are not in quotes. Quotes are left out of the piece, wherever they stand;
 * one behind a backslash is kept, with the backslash.
 */
GW_OTTL_RUN(gw_ottl_run_parse_key_value)
{
    const struct key_value *kv = call->state;
    struct gw_slice s = args[0].s;
    struct gw_ottl_pairs pairs = {0};
    uint8_t *out = gw_arena_alloc(r->arena, s.n + 1), *piece = out, quote = 0;
    bool escaped = false;

    if (!out)
        return gw_ottl_starve(r);
    if (s.n == 0)
        return gw_ottl_fail(r, -EINVAL, "cannot parse from empty target");
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (quote == 0 && stands_at(s, i, kv->pair_delimiter)) {
            if (out != piece && !add_piece(r, kv, gw_slice_of(piece, (size_t)(out - piece)), &pairs))
                return false;
            piece = out;
            i += kv->pair_delimiter.n - 1;
            continue;
        }
        if (!escaped && (quote == 0 ? c == '"' || c == '\'' : c == quote)) {
            quote = quote ? 0 : c;
            continue;
        }
        escaped = !escaped && c == '\\';
        *out++ = c;
    }
    if (quote)
        return gw_ottl_fail(r, -EINVAL, "never reached the end of a quoted value");
    if (out != piece && !add_piece(r, kv, gw_slice_of(piece, (size_t)(out - piece)), &pairs))
        return false;
    return gw_ottl_pairs_map(r, &pairs, ret);
}

/* ---- severity --------------------------------------------------------------------------------------------- */

/* A range: {"min": 1, "max": 3}, or "2xx". */
static bool is_range(struct gw_ottl_run *r, const struct gw_ottl_value *range, int64_t *min, int64_t *max)
{
    struct gw_ottl_value a, b;

    if (range->type == GW_OT_STRING && range->s.n == 3 && range->s.p[0] >= '2' && range->s.p[0] <= '5' &&
        memcmp(range->s.p + 1, "xx", 2) == 0) {
        *min = (range->s.p[0] - '0') * 100;
        *max = *min + 99;
        return true;
    }
    if (range->type != GW_OT_MAP || !gw_ottl_map_get(r, range, GW_SLICE("min"), &a) ||
        !gw_ottl_map_get(r, range, GW_SLICE("max"), &b) || a.type != GW_OT_INT || b.type != GW_OT_INT)
        return false;
    *min = a.i;
    *max = b.i;
    return true;
}

/* One of {"equals": ["a", "b"]}, {"range": …}. *ret_ok: it is well-formed. */
static bool criterion_holds(struct gw_ottl_run *r, const struct gw_ottl_value *c, const struct gw_ottl_value *v,
                            const char **ret_wrong)
{
    struct gw_ottl_value part, item;
    struct gw_ottl_iter it;
    int64_t min, max;
    bool holds = false;

    if (c->type != GW_OT_MAP) {
        *ret_wrong = "severity mapping criteria items must be map[string]any";
        return false;
    }
    if (gw_ottl_map_get(r, c, GW_SLICE("equals"), &part)) {
        if (part.type != GW_OT_LIST) {
            *ret_wrong = "equals must be a list";
            return false;
        }
        gw_ottl_begin(r, &part, &it);
        while (gw_ottl_next_item(&it, &item)) {
            if (item.type != GW_OT_STRING)
                *ret_wrong = "equals values must be strings";
            holds |= item.type == GW_OT_STRING && v->type == GW_OT_STRING && gw_slice_eq(item.s, v->s);
        }
    }
    if (gw_ottl_map_get(r, c, GW_SLICE("range"), &part)) {
        if (!is_range(r, &part, &min, &max))
            *ret_wrong = "range must be a map with int64 min and max, or one of 2xx, 3xx, 4xx, 5xx";
        else
            holds |= v->type == GW_OT_INT && v->i >= min && v->i <= max;
    }
    return holds;
}

static bool level_holds(struct gw_ottl_run *r, const struct gw_ottl_value *criteria, const struct gw_ottl_value *v,
                        const char **ret_wrong)
{
    struct gw_ottl_value c;
    struct gw_ottl_iter it;
    bool holds = false;

    if (criteria->type != GW_OT_LIST) {
        *ret_wrong = "severity mapping criteria must be []any";
        return false;
    }
    gw_ottl_begin(r, criteria, &it);
    while (gw_ottl_next_item(&it, &c))
        holds |= criterion_holds(r, &c, v, ret_wrong);
    return holds;
}

/* The mapping is looked over once, so that only its values can fail later. */
GW_OTTL_PREPARE(gw_ottl_prepare_parse_severity)
{
    struct gw_ottl_run r = {.arena = &o->arena, .buf = &o->buf, .err = err};
    struct gw_ottl_value criteria, nothing = {.type = GW_OT_NIL};
    const char *wrong = NULL;
    struct gw_ottl_iter it;
    struct gw_slice level;

    (void)call;
    if (!constants[1])
        return gw_fail(err, -EINVAL, "severity mapping must be a literal PMap: a map in { }, written here");
    gw_ottl_begin(&r, constants[1], &it);
    while (gw_ottl_next_pair(&it, &level, &criteria))
        (void)level_holds(&r, &criteria, &nothing, &wrong);
    return wrong ? gw_fail(err, -EINVAL, "%s", wrong) : 0;
}

GW_OTTL_RUN(gw_ottl_run_parse_severity)
{
    const struct gw_ottl_value *v = &args[0];
    struct gw_ottl_value criteria;
    struct gw_ottl_iter it;
    struct gw_slice level;
    const char *wrong;

    (void)call;
    gw_ottl_begin(r, &args[1], &it);
    while (gw_ottl_next_pair(&it, &level, &criteria)) {
        if (v->type != GW_OT_STRING && v->type != GW_OT_INT)
            return gw_ottl_fail(r, -EINVAL, "could not map log level: unsupported value type: %s",
                                gw_ottl_type_name(v));
        if (level_holds(r, &criteria, v, &wrong)) {
            *ret = gw_ottl_string(level);
            return true;
        }
    }
    return gw_ottl_fail(r, -EINVAL, "could not map log level: no matching log level found");
}
