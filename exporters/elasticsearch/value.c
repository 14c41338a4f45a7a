/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AnyValues as JSON. What is nested is read from its wire bytes, which the decoder has checked. Of keys that an object
 * holds twice the first one is written: the server refuses a document that has both.
 */
#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "exporters/elasticsearch/writer.h"
#include "otlp-proto/wire.h"

enum { FEW_ATTRS = 32, FIRST_KEYS = 256 };

/* ---- reading --------------------------------------------------------------------------------------------------- */

bool gw_es_next(struct gw_slice *list, struct gw_slice *ret)
{
    struct gw_wire_walk walk = gw_wire_walk(*list);
    struct gw_wire_field f;

    while (gw_wire_next(&walk, &f) > 0) {
        if (f.number != 1 || f.wire != GW_LEN)
            continue;
        *ret = f.val;
        *list = gw_slice_of(walk.p, (size_t)(walk.end - walk.p));
        return true;
    }
    *list = (struct gw_slice){0};
    return false;
}

struct gw_value gw_es_any(struct gw_slice any_value)
{
    struct gw_wire_walk walk = gw_wire_walk(any_value);
    struct gw_value v = {.type = GW_V_EMPTY};
    struct gw_wire_field f;
    uint64_t bits;

    while (gw_wire_next(&walk, &f) > 0) { /* the last member counts */
        if (f.number == 1 && f.wire == GW_LEN) {
            v = (struct gw_value){.type = GW_V_STRING, .s = f.val};
        } else if (f.number == 2 && f.wire == GW_VARINT) {
            v = (struct gw_value){.type = GW_V_BOOL, .b = f.varint != 0};
        } else if (f.number == 3 && f.wire == GW_VARINT) {
            v = (struct gw_value){.type = GW_V_INT, .i = (int64_t)f.varint};
        } else if (f.number == 4 && f.wire == GW_I64) {
            bits = gw_load64(f.val.p);
            v.type = GW_V_DOUBLE;
            memcpy(&v.f, &bits, sizeof(v.f));
        } else if (f.number >= 5 && f.number <= 7 && f.wire == GW_LEN) {
            v.type = f.number == 5 ? GW_V_ARRAY : f.number == 6 ? GW_V_KVLIST : GW_V_BYTES;
            v.s = f.val;
        }
    }
    return v;
}

void gw_es_pair_of(struct gw_slice key_value, struct gw_slice *ret_key, struct gw_slice *ret_any)
{
    struct gw_wire_walk walk = gw_wire_walk(key_value);
    struct gw_wire_field f;

    *ret_key = *ret_any = gw_slice_of(key_value.p, 0);
    while (gw_wire_next(&walk, &f) > 0) {
        if (f.wire != GW_LEN || f.number > 2)
            continue;
        if (f.number == 1)
            *ret_key = f.val;
        else
            *ret_any = f.val;
    }
}

/* ---- keys that an object has ------------------------------------------------------------------------------- */

static uint32_t find_key(const struct gw_es_writer *w, const struct gw_es_key *k)
{
    uint64_t hash = gw_hash_table(gw_slice_of(k->p, k->n)) ^ (uintptr_t)k->object;
    uint32_t mask = w->cap_keys - 1, i = (uint32_t)(hash ^ hash >> 32) & mask;

    while (w->keys[i].turn == w->turn &&
           (w->keys[i].object != k->object || w->keys[i].n != k->n || memcmp(w->keys[i].p, k->p, k->n) != 0))
        i = (i + 1) & mask;
    return i;
}

static bool grow_keys(struct gw_es_writer *w)
{
    struct gw_es_key *old = w->keys;
    uint32_t n = w->cap_keys, cap = n ? 2 * n : FIRST_KEYS;
    struct gw_es_key *keys = cap > n ? calloc(cap, sizeof(*keys)) : NULL;

    if (!keys) {
        w->rc = -ENOMEM;
        return false;
    }
    w->keys = keys;
    w->cap_keys = cap;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].turn == w->turn)
            keys[find_key(w, &old[i])] = old[i];
    free(old);
    return true;
}

void gw_es_forget_keys(struct gw_es_writer *w)
{
    w->n_keys = 0;
    if (++w->turn == 0) { /* once in 2^32: what is left of old turns must not come alive */
        if (w->keys)
            memset(w->keys, 0, w->cap_keys * sizeof(*w->keys));
        w->turn = 1;
    }
}

uint32_t *gw_es_key_value(struct gw_es_writer *w, const void *object, struct gw_slice key)
{
    struct gw_es_key k = {.turn = w->turn, .n = (uint32_t)key.n, .p = key.p, .object = object};
    uint32_t i;

    if (w->n_keys >= w->cap_keys / 2 && !grow_keys(w))
        return NULL;
    i = find_key(w, &k);
    if (w->keys[i].turn != w->turn) {
        w->keys[i] = k;
        w->n_keys++;
    }
    return &w->keys[i].value;
}

bool gw_es_is_new_key(struct gw_es_writer *w, const void *object, struct gw_slice key)
{
    uint32_t *value = gw_es_key_value(w, object, key);

    return !value || (*value)++ == 0;
}

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

static void put_bool(struct gw_buf *b, bool v)
{
    if (v)
        GW_ES_PUT(b, "true");
    else
        GW_ES_PUT(b, "false");
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
    while (gw_es_next(&list, &any)) {
        struct gw_value v = gw_es_any(any);

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
    while (gw_es_next(&list, &kv)) {
        struct gw_value v;

        gw_es_pair_of(kv, &key, &any);
        if (!gw_es_is_new_key(w, object, key))
            continue;
        if (comma)
            GW_ES_PUT(to, ",");
        comma = true;
        gw_es_put_text(to, key);
        GW_ES_PUT(to, ":");
        v = gw_es_any(any);
        put_value(w, to, &v, /* strings= */ false, depth);
    }
    GW_ES_PUT(to, "}");
}

static void put_map_string(struct gw_es_writer *w, struct gw_buf *to, const struct gw_value *v)
{
    size_t at = w->text.n;

    if (!gw_es_put_go_json(w, &w->text, v, /* html= */ false))
        w->text.n = at; /* AsString gives an empty string then */
    gw_json_put_string(to, gw_slice_of(w->text.p + at, w->text.n - at));
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
        put_bool(to, v->b);
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

/* ---- writing, as encoding/json does ---------------------------------------------------------------------------- */

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
        put_bool(to, v->b);
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
        s = gw_arena_dup(&w->arena, gw_slice_of(w->text.p + at, w->text.n - at));
    w->text.n = at;
    return s.p ? s : GW_SLICE(""); /* a name longer than the arena takes is none */
}

/* ---- attributes of mode otel ---------------------------------------------------------------------------------- */

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
