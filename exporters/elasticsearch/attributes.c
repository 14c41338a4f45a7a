/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of mode otel: of equal keys the first one counts, attributes that say something of the document are left
 * out, latitude and longitude become a place.
 */
#include "exporters/elasticsearch/writer.h"

enum { FEW_ATTRS = 32 };

/** Said of the document, not in it. */
static bool is_reserved(struct gw_slice key)
{
    static const struct gw_slice reserved[] = {
        GW_SLICE("data_stream.type"),      GW_SLICE("data_stream.dataset"),
        GW_SLICE("data_stream.namespace"), GW_SLICE("elasticsearch.mapping.hints"),
        GW_SLICE("elastic.mapping.mode"),  GW_SLICE("elasticsearch.document_id"),
        GW_SLICE("elasticsearch.index"),   GW_SLICE("elasticsearch.ingest_pipeline"),
    };

    if (key.n < 16 || (key.p[0] != 'd' && key.p[0] != 'e'))
        return false;
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (gw_slice_eq(key, reserved[i]))
            return true;
    return false;
}

/** A double whose key is geo.location.lat or .lon, or ends in a point and that: 'a' or 'o', else 0. */
static char geo_of(struct gw_slice key, const struct gw_attr *a)
{
    static const struct gw_slice tail = GW_SLICE("geo.location.l");
    const uint8_t *p = key.p + key.n - 16;

    if (a->type != GW_V_DOUBLE || key.n < 16 || memcmp(p, tail.p, tail.n) != 0 || (key.n > 16 && p[-1] != '.'))
        return 0;
    if (p[14] == 'a' && p[15] == 't')
        return 'a';
    return p[14] == 'o' && p[15] == 'n' ? 'o' : 0;
}

/** A small set of keys: a bit for each, which says "perhaps". */
struct sieve {
    uint64_t bits[4];
};

static inline bool is_perhaps_there(struct sieve *s, struct gw_slice key)
{
    uint64_t tail = 0, hash;

    if (key.n >= 8)
        memcpy(&tail, key.p + key.n - 8, 8);
    else if (key.n)
        memcpy(&tail, key.p, key.n);
    hash = (tail ^ key.n) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t bit = UINT64_C(1) << (hash >> 58), *word = &s->bits[hash >> 56 & 3];
    bool there = *word & bit;

    *word |= bit;
    return there;
}

static bool stands_before(const struct gw_batch *b, uint32_t first, uint32_t at, struct gw_slice key)
{
    for (uint32_t i = first; i < at; i++)
        if (b->attrs[i].klen == key.n && gw_slice_eq(gw_attr_key(b, &b->attrs[i]), key))
            return true;
    return false;
}

/** Of all attributes, none of which is a place. */
static bool has_key(struct gw_es_writer *w, struct gw_range r, struct gw_slice key)
{
    if (r.end - r.begin > FEW_ATTRS)
        return !gw_es_is_new_key(w, &w->b->attrs[r.begin], key);
    return stands_before(w->b, r.begin, r.end, key);
}

static inline void put_key(struct gw_buf *to, struct gw_slice key, bool *comma)
{
    if (*comma)
        GW_ES_PUT(to, ",");
    *comma = true;
    gw_es_put_text(to, key);
    GW_ES_PUT(to, ":");
}

static inline void put_attr(struct gw_es_writer *w, struct gw_buf *to, const struct gw_attr *a, bool strings)
{
    if (__builtin_expect(a->type == GW_V_STRING, 1)) {
        gw_es_put_text(to, gw_batch_slice(w->b, a->val.ref));
    } else if (a->type == GW_V_INT) {
        gw_es_put_i64(to, a->val.i64);
    } else {
        struct gw_value v = gw_es_value_of(w->b, a);

        gw_es_put_value(w, to, &v, strings);
    }
}

/** Objects that no payload has, for sets of keys: of latitudes, of longitudes, of places written. */
static const char latitudes, longitudes, written;

static const struct gw_attr *noted(struct gw_es_writer *w, const char *object, struct gw_slice head)
{
    uint32_t *at = gw_es_key_value(w, object, head);

    return at && *at ? &w->b->attrs[*at - 1] : NULL;
}

static void put_place(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice head, bool merge, bool *comma)
{
    const struct gw_attr *lat = noted(w, &latitudes, head), *lon = noted(w, &longitudes, head);

    if (lat && lon && merge) {
        put_key(to, head, comma);
        GW_ES_PUT(to, "[");
        gw_es_put_double(to, lon->val.f64);
        GW_ES_PUT(to, ",");
        gw_es_put_double(to, lat->val.f64);
        GW_ES_PUT(to, "]");
        return;
    }
    if (lon) {
        put_key(to, gw_attr_key(w->b, lon), comma);
        gw_es_put_double(to, lon->val.f64);
    }
    if (lat) {
        put_key(to, gw_attr_key(w->b, lat), comma);
        gw_es_put_double(to, lat->val.f64);
    }
}

/** [lon, lat] of each pair, one number alone under its own key; the last of equal keys counts. */
static void put_places(struct gw_es_writer *w, struct gw_buf *to, struct gw_range r, bool *comma)
{
    const struct gw_batch *b = w->b;

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = r.begin; i < r.end; i++) {
            struct gw_slice key = gw_attr_key(b, &b->attrs[i]);
            char what = geo_of(key, &b->attrs[i]);
            struct gw_slice head = {key.p, what ? key.n - 4 : 0};
            uint32_t *at;

            if (!what)
                continue;
            at = pass ? NULL : gw_es_key_value(w, what == 'a' ? &latitudes : &longitudes, head);
            if (at)
                *at = i + 1;
            else if (pass && gw_es_is_new_key(w, &written, head))
                put_place(w, to, head, !has_key(w, r, head), comma);
        }
    }
}

bool gw_es_put_attributes(struct gw_es_writer *w, struct gw_buf *to, struct gw_range r, struct gw_slice event_name,
                          bool strings, bool comma)
{
    static const struct gw_slice event_key = GW_SLICE("event.name");
    const struct gw_batch *b = w->b;
    bool many = r.end - r.begin > FEW_ATTRS, places = false, named = event_name.n == 0;
    struct sieve seen = {{0}};

    if (r.begin == r.end && named)
        return false;
    if (comma)
        GW_ES_PUT(to, ",");
    GW_ES_PUT(to, "\"attributes\":{");
    comma = false;
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_attr *a = &b->attrs[i];
        struct gw_slice key = gw_attr_key(b, a);
        bool again = many ? !gw_es_is_new_key(w, &b->attrs[r.begin], key)
                          : is_perhaps_there(&seen, key) && stands_before(b, r.begin, i, key);

        if (again || is_reserved(key))
            continue;
        if (__builtin_expect(a->type == GW_V_DOUBLE, 0) && geo_of(key, a)) {
            places = true;
            continue;
        }
        put_key(to, key, &comma);
        if (!named && gw_slice_eq(key, event_key)) {
            gw_es_put_text(to, event_name);
            named = true;
        } else {
            put_attr(w, to, a, strings);
        }
    }
    if (!named) {
        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        GW_ES_PUT(to, "\"event.name\":");
        gw_es_put_text(to, event_name);
    }
    if (places)
        put_places(w, to, r, &comma);
    GW_ES_PUT(to, "}");
    return true;
}
