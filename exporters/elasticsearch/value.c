/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AnyValues as JSON. What is nested is read from its wire bytes, which the decoder has checked. Of keys that an object
 * holds twice the first one is written: the server refuses a document that has both.
 */
#include <math.h>

#include "exporters/elasticsearch/writer.h"
#include "otlp-proto/wire.h"

/* ---- writing, as the documents have it ----------------------------------------------------------------------- */

void gw_es_put_double(struct gw_buf *b, double v)
{
    char text[GW_DOUBLE_BYTES];
    size_t n, mantissa = 0;

    if (!isfinite(v)) {
        GW_ES_PUT(b, "null");
        return;
    }
    n = gw_double_text(v, GW_DOUBLE_G, text);
    while (mantissa < n && text[mantissa] != 'e' && text[mantissa] != '.')
        mantissa++;
    gw_es_put_bytes(b, text, mantissa);
    if (mantissa == n || text[mantissa] == 'e')
        GW_ES_PUT(b, ".0");
    gw_es_put_bytes(b, text + mantissa, n - mantissa);
}

static void put_hex(struct gw_buf *b, struct gw_slice s)
{
    GW_ES_PUT(b, "\"");
    gw_put_hex(b, s);
    GW_ES_PUT(b, "\"");
}

static void put_value(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool strings,
                      unsigned depth);

static void put_array(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice list, bool strings, unsigned depth)
{
    struct gw_slice any;
    bool comma = false;

    GW_ES_PUT(to, "[");
    while (gw_go_next(&list, &any)) {
        struct gw_value v = gw_go_any(any);

        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        put_value(w, to, &v, strings, depth);
    }
    GW_ES_PUT(to, "]");
}

static void put_map(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice list, unsigned depth)
{
    struct gw_slice kv, key, any;
    const void *object = list.p;
    bool comma = false;

    GW_ES_PUT(to, "{");
    while (gw_go_next(&list, &kv)) {
        struct gw_value v;

        gw_go_pair_of(kv, &key, &any);
        if (!gw_es_is_new_key(w, object, key))
            continue;
        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        gw_es_put_text(to, key);
        GW_ES_PUT(to, ":");
        v = gw_go_any(any);
        put_value(w, to, &v, /* strings= */ false, depth);
    }
    GW_ES_PUT(to, "}");
}

static void put_map_string(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v)
{
    size_t at = w->text.n;

    if (!gw_es_put_go_json(w, &w->text, v, /* html= */ false))
        w->text.n = at; /* AsString gives an empty string then */
    w->too_large |= w->text.failed;
    w->text.failed = false;
    gw_json_put_string(to, gw_es_from(&w->text, at));
    w->text.n = at;
}

static void put_value(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool strings, unsigned depth)
{
    enum gw_value_type type = depth < GW_ES_MAX_DEPTH ? v->type : GW_V_EMPTY;

    switch (type) {
    case GW_V_STRING:
        gw_es_put_text(to, v->s);
        break;
    case GW_V_BOOL:
        gw_es_put_bool(to, v->b);
        break;
    case GW_V_INT:
        gw_es_put_i64(to, v->i);
        break;
    case GW_V_DOUBLE:
        gw_es_put_double(to, v->f);
        break;
    case GW_V_BYTES:
        put_hex(to, v->s);
        break;
    case GW_V_ARRAY:
        put_array(w, to, v->s, strings, depth + 1);
        break;
    case GW_V_KVLIST:
        if (strings)
            put_map_string(w, to, v);
        else
            put_map(w, to, v->s, depth + 1);
        break;
    case GW_V_EMPTY:
        GW_ES_PUT(to, "null");
        break;
    }
}

void gw_es_put_value(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool strings)
{
    put_value(w, to, v, strings, 0);
}
