/* SPDX-License-Identifier: Apache-2.0 */
/* Values as strings, where the Collector has them so: as pcommon.Value.AsString and json.Marshal write them. */
#include "exporters/elasticsearch/writer.h"

static void put_go_double(struct gw_buf *to, double v)
{
    char text[GW_DOUBLE_BYTES];

    gw_es_put_bytes(to, text, gw_double_text(v, GW_DOUBLE_ES6, text));
}

bool gw_es_put_go_json(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v, bool html)
{
    bool ok;

    w->go.escape = html ? GW_GO_HTML : GW_GO_PLAIN;
    ok = gw_go_json_put(&w->go, v, to);
    if (w->go.no_memory)
        w->rc = -ENOMEM;
    return ok;
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
