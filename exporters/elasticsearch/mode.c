/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <strings.h>

#include "exporters/elasticsearch/writer.h"

const char *const gw_es_modes[] = {"none", "ecs", "otel", "raw", "bodymap", NULL};

/* ---- control attributes ------------------------------------------------------------------------------------ */

static inline void note(const struct gw_attr **slot, const struct gw_attr *a)
{
    if (!*slot)
        *slot = a; /* of equal keys the first one counts, as in pcommon.Map.Get */
}

/** Keys that begin with d or e: few, but for lengths and a comparison. */
static void classify(struct gw_slice key, const struct gw_attr *a, struct gw_es_control *c)
{
    switch (key.n) {
    case 10:
        if (gw_slice_eq(key, GW_SLICE("event.name")))
            note(&c->event_name, a);
        break;
    case 15:
        if (gw_slice_eq(key, GW_SLICE("encoding.format")))
            note(&c->format, a);
        break;
    case 16:
        if (gw_slice_eq(key, GW_SLICE("data_stream.type")))
            note(&c->type, a);
        break;
    case 19:
        if (gw_slice_eq(key, GW_SLICE("data_stream.dataset")))
            note(&c->dataset, a);
        else if (gw_slice_eq(key, GW_SLICE("elasticsearch.index")))
            note(&c->index, a);
        break;
    case 20:
        if (gw_slice_eq(key, GW_SLICE("elastic.mapping.mode")))
            note(&c->mode, a);
        break;
    case 21:
        if (gw_slice_eq(key, GW_SLICE("data_stream.namespace")))
            note(&c->namespace, a);
        break;
    case 25:
        if (gw_slice_eq(key, GW_SLICE("elasticsearch.document_id")))
            note(&c->id, a);
        break;
    case 27:
        if (gw_slice_eq(key, GW_SLICE("elasticsearch.mapping.hints")))
            note(&c->hints, a);
        break;
    case 29:
        if (gw_slice_eq(key, GW_SLICE("elasticsearch.ingest_pipeline")))
            note(&c->pipeline, a);
        break;
    default:
        break;
    }
}

void gw_es_control_of(const struct gw_batch *b, struct gw_range r, struct gw_es_control *ret)
{
    *ret = (struct gw_es_control){0};
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_attr *a = &b->attrs[i];
        struct gw_slice key = gw_attr_key(b, a);

        if (key.n >= 10 && (key.p[0] == 'd' || key.p[0] == 'e'))
            classify(key, a, ret);
    }
}

bool gw_es_hint(const struct gw_batch *b, const struct gw_attr *hints, struct gw_slice hint)
{
    struct gw_slice list, any;

    if (!hints || hints->type != GW_V_ARRAY)
        return false;
    list = gw_batch_slice(b, hints->val.ref);
    while (gw_go_next(&list, &any)) {
        struct gw_value v = gw_go_any(any);

        if (v.type == GW_V_STRING && gw_slice_eq(v.s, hint))
            return true;
    }
    return false;
}

/* ---- mapping mode ------------------------------------------------------------------------------------------ */

static bool parse_mode(struct gw_es_writer *w, const char *whose, struct gw_slice s, enum gw_es_mode *ret)
{
    const char *text = (const char *)s.p;
    int mode = -1;

    if (s.n == 0 || (s.n == 2 && strncasecmp(text, "no", 2) == 0))
        mode = GW_ES_NONE;
    for (int m = 0; m < GW_ES_N_MODES && mode < 0; m++)
        if (strlen(gw_es_modes[m]) == s.n && strncasecmp(text, gw_es_modes[m], s.n) == 0)
            mode = m;
    if (mode >= 0 && w->o->allowed[mode]) {
        *ret = (enum gw_es_mode)mode;
        return true;
    }
    (void)snprintf(w->message, sizeof(w->message), "%s mapping mode \"%.*s\" is %s", whose,
                   (int)(s.n < 100 ? s.n : 100), s.n ? text : "", mode < 0 ? "none that there is" : "not allowed");
    return false;
}

bool gw_es_request_mode(struct gw_es_writer *w, enum gw_es_mode *ret)
{
    struct gw_slice key = gw_slice_cstr(w->o->mode_from_metadata), value, second;

    *ret = w->o->mode;
    if (key.n == 0 || !w->v->meta || !gw_meta_find(w->v->meta, key, 0, &value))
        return true;
    if (gw_meta_find(w->v->meta, key, 1, &second)) {
        (void)snprintf(w->message, sizeof(w->message), "the request names more than one mapping mode");
        return false;
    }
    return parse_mode(w, "the request's", value, ret);
}

bool gw_es_scope_mode(struct gw_es_writer *w, const struct gw_attr *a, enum gw_es_mode *ret)
{
    *ret = w->request_mode;
    return !a || parse_mode(w, "the scope's", gw_es_as_string(w, a), ret);
}
