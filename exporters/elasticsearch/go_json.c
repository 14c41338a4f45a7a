/* SPDX-License-Identifier: Apache-2.0 */
/* Values as strings, where the Collector has them so: as encoding/json and pcommon.Value.AsString write them. */
#include <math.h>
#include <stdlib.h>

#include "exporters/elasticsearch/writer.h"

/** Its escapes: \b and \f by letter, U+2028 and U+2029. */
static void put_go_string(struct gw_buf *to, struct gw_slice s, bool html)
{
    size_t from = 0;

    GW_ES_PUT(to, "\"");
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool separator = c == 0xe2 && i + 2 < s.n && s.p[i + 1] == 0x80 && (s.p[i + 2] | 1) == 0xa9;
        const char *letter = c < 0x60 ? memchr("\"\\\b\f\n\r\t", c, 7) : NULL;

        if (!letter && c >= 0x20 && !separator && !(html && (c == '<' || c == '>' || c == '&')))
            continue;
        gw_es_put_bytes(to, s.p + from, i - from);
        if (letter) {
            GW_ES_PUT(to, "\\");
            gw_buf_put_u8(to, (uint8_t) "\"\\bfnrt"[letter - "\"\\\b\f\n\r\t"]);
        } else if (separator) {
            i += 2;
            gw_buf_put_str(to, s.p[i] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            gw_buf_printf(to, "\\u%04x", c);
        }
        from = i + 1;
    }
    gw_es_put_bytes(to, s.p + from, s.n - from);
    GW_ES_PUT(to, "\"");
}

static bool put_go(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, unsigned depth);

static bool put_go_array(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice list, unsigned depth)
{
    struct gw_slice any;
    bool comma = false;

    GW_ES_PUT(to, "[");
    while (gw_es_next(&list, &any)) {
        struct gw_value v = gw_es_any(any);

        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        if (!put_go(w, to, &v, depth))
            return false;
    }
    GW_ES_PUT(to, "]");
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct gw_es_pair *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

    if (c)
        return c;
    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool collect_pairs(struct gw_es_writer *w, struct gw_slice list)
{
    struct gw_slice kv;

    while (gw_es_next(&list, &kv)) {
        struct gw_es_pair *p;

        if (!gw_es_grow(w, (void **)&w->pairs, w->n_pairs, &w->cap_pairs, sizeof(*w->pairs)))
            return false;
        p = &w->pairs[w->n_pairs];
        gw_es_pair_of(kv, &p->key, &p->any);
        p->index = w->n_pairs++;
    }
    return true;
}

static bool put_go_map(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice list, unsigned depth)
{
    uint32_t base = w->n_pairs, n;
    bool ok = collect_pairs(w, list), comma = false;

    n = w->n_pairs - base;
    if (n > 1)
        qsort(w->pairs + base, n, sizeof(*w->pairs), compare_pairs);
    GW_ES_PUT(to, "{");
    for (uint32_t i = 0; i < n && ok; i++) {
        struct gw_es_pair pair = w->pairs[base + i]; /* a copy: maps inside may move the scratch */
        struct gw_value v;

        if (i + 1 < n && gw_slice_eq(pair.key, w->pairs[base + i + 1].key))
            continue; /* of equal keys the last one counts */
        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        put_go_string(to, pair.key, w->html);
        GW_ES_PUT(to, ":");
        v = gw_es_any(pair.any);
        ok = put_go(w, to, &v, depth);
    }
    GW_ES_PUT(to, "}");
    w->n_pairs = base;
    return ok;
}

static void put_go_double(struct gw_buf *to, double v)
{
    char text[GW_DOUBLE_BYTES];

    gw_es_put_bytes(to, text, gw_double_text(v, GW_DOUBLE_ES6, text));
}

static bool put_go(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, unsigned depth)
{
    if (depth >= GW_ES_MAX_DEPTH)
        return false;
    switch (v->type) {
    case GW_V_STRING:
        put_go_string(to, v->s, w->html);
        break;
    case GW_V_BOOL:
        gw_es_put_bool(to, v->b);
        break;
    case GW_V_INT:
        gw_es_put_i64(to, v->i);
        break;
    case GW_V_DOUBLE:
        put_go_double(to, v->f);
        return isfinite(v->f);
    case GW_V_BYTES:
        if (v->s.n == 0) {
            GW_ES_PUT(to, "null"); /* a nil slice */
            break;
        }
        GW_ES_PUT(to, "\"");
        gw_put_base64(to, v->s);
        GW_ES_PUT(to, "\"");
        break;
    case GW_V_ARRAY:
        return put_go_array(w, to, v->s, depth + 1);
    case GW_V_KVLIST:
        return put_go_map(w, to, v->s, depth + 1);
    case GW_V_EMPTY:
        GW_ES_PUT(to, "null");
        break;
    }
    return true;
}

bool gw_es_put_go_json(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool html)
{
    w->html = html;
    return put_go(w, to, v, 0);
}

struct gw_slice gw_es_as_string(struct gw_es_writer *w, const struct gw_attr *a)
{
    struct gw_value v = gw_es_value_of(w->b, a);
    struct gw_slice s = GW_SLICE("");
    size_t at = w->text.n;

    if (v.type == GW_V_STRING)
        return v.s;
    if (v.type == GW_V_EMPTY)
        return s;
    if (v.type == GW_V_BYTES)
        gw_put_base64(&w->text, v.s);
    else if (v.type == GW_V_DOUBLE)
        put_go_double(&w->text, v.f);
    else if (!gw_es_put_go_json(w, &w->text, &v, /* html= */ false))
        w->text.n = at;
    if (w->text.n > at)
        s = gw_arena_dup(&w->arena, gw_es_from(&w->text, at));
    w->text.n = at;
    if (s.p && !w->text.failed)
        return s;
    w->text.failed = false;
    w->rc = -ENOMEM;
    return GW_SLICE("");
}
