/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents as a list of fields: maps flattened to a.b.c, sorted by key, of equal keys the last one kept.
 *
 *   {"a":1, "a":{"b":2}}  ─►  a, a.b  ─►  a.value, a.b        a name is a number or an object, never both
 *
 * What an array holds cannot be flattened into the document: a map in there is a list of fields of its own, which
 * stands behind the others while it is written.
 */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "exporters/elasticsearch/writer.h"

enum {
    RUN = 8, /* sorted by insertion */
    MAX_LIFTS = 32,
};

/* ---- a stable sort ------------------------------------------------------------------------------------------- */

void gw_es_sort(uint32_t *p, uint32_t *tmp, uint32_t n, int (*compare)(const void *, uint32_t, uint32_t),
                const void *arg)
{
    for (uint32_t from = 0; from < n; from += RUN) {
        uint32_t end = n - from < RUN ? n : from + RUN;

        for (uint32_t i = from + 1; i < end; i++) {
            uint32_t x = p[i], k = i;

            for (; k > from && compare(arg, p[k - 1], x) > 0; k--)
                p[k] = p[k - 1];
            p[k] = x;
        }
    }
    for (uint32_t run = RUN; run < n; run *= 2) {
        for (uint32_t from = 0; from + run < n; from += 2 * run) {
            uint32_t left = from, middle = from + run, right = middle, at = 0;
            uint32_t end = n - middle < run ? n : middle + run;

            if (compare(arg, p[middle - 1], p[middle]) <= 0)
                continue;
            while (left < middle && right < end)
                tmp[at++] = compare(arg, p[left], p[right]) <= 0 ? p[left++] : p[right++];
            while (left < middle)
                tmp[at++] = p[left++];
            memcpy(p + from, tmp, at * sizeof(*p));
        }
    }
}

static int compare_keys(struct gw_slice a, struct gw_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_fields(const void *arg, uint32_t a, uint32_t b)
{
    const struct gw_es_field *fields = arg;

    return compare_keys(fields[a].key, fields[b].key);
}

/* ---- gathering ----------------------------------------------------------------------------------------------- */

static bool grow_fields(struct gw_es_writer *w)
{
    uint32_t cap = w->cap_fields;
    uint32_t *order, *tmp;

    if (w->n_fields < cap)
        return true;
    if (!gw_es_grow(w, (void **)&w->fields, w->n_fields, &w->cap_fields, sizeof(*w->fields)))
        return false;
    order = realloc(w->order, w->cap_fields * sizeof(*order));
    w->order = order ? order : w->order;
    tmp = realloc(w->order_tmp, w->cap_fields * sizeof(*tmp));
    w->order_tmp = tmp ? tmp : w->order_tmp;
    if (!order || !tmp) {
        w->cap_fields = cap;
        w->rc = -ENOMEM;
        return false;
    }
    return true;
}

void gw_es_field(struct gw_es_writer *w, enum gw_es_field_kind kind, struct gw_slice key, struct gw_value value)
{
    if (!grow_fields(w))
        return;
    w->fields[w->n_fields++] = (struct gw_es_field){.key = key, .value = value, .kind = (uint8_t)kind};
}

void gw_es_field_text(struct gw_es_writer *w, struct gw_slice key, struct gw_slice text)
{
    if (text.n)
        gw_es_field(w, GW_ES_F_VALUE, key, (struct gw_value){.type = GW_V_STRING, .s = text});
}

void gw_es_field_int(struct gw_es_writer *w, struct gw_slice key, int64_t v)
{
    gw_es_field(w, GW_ES_F_VALUE, key, (struct gw_value){.type = GW_V_INT, .i = v});
}

void gw_es_field_time(struct gw_es_writer *w, struct gw_slice key, uint64_t ns)
{
    gw_es_field(w, GW_ES_F_TIME, key, (struct gw_value){.type = GW_V_INT, .i = (int64_t)ns});
}

void gw_es_field_id(struct gw_es_writer *w, struct gw_slice key, const uint8_t *id, size_t n)
{
    if (!gw_es_is_zero(id, n))
        gw_es_field(w, GW_ES_F_ID, key, (struct gw_value){.type = GW_V_BYTES, .s = gw_slice_of(id, n)});
}

/** path.key */
static struct gw_slice join(struct gw_es_writer *w, struct gw_slice path, struct gw_slice key)
{
    uint8_t *p = gw_arena_alloc(&w->doc_arena, path.n + 1 + key.n);

    if (!p) {
        w->fields_full = true;
        return key;
    }
    if (path.n)
        memcpy(p, path.p, path.n);
    p[path.n] = '.';
    if (key.n)
        memcpy(p + path.n + 1, key.p, key.n);
    return gw_slice_of(p, path.n + 1 + key.n);
}

struct gw_slice gw_es_join(struct gw_es_writer *w, struct gw_slice path, struct gw_slice key)
{
    return path.n ? join(w, path, key) : key;
}

static void add_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v, unsigned depth);

static void add_map(struct gw_es_writer *w, struct gw_slice path, struct gw_slice list, unsigned depth)
{
    struct gw_slice kv, key, any;

    while (!w->fields_full && gw_es_next(&list, &kv)) {
        struct gw_value v;

        gw_es_pair_of(kv, &key, &any);
        v = gw_es_any(any);
        if (v.type != GW_V_EMPTY)
            add_value(w, gw_es_join(w, path, key), &v, depth);
    }
}

static void add_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v, unsigned depth)
{
    if (v->type == GW_V_EMPTY || depth >= GW_ES_MAX_DEPTH)
        return;
    if (v->type == GW_V_KVLIST)
        add_map(w, key, v->s, depth + 1);
    else
        gw_es_field(w, GW_ES_F_VALUE, key, *v);
}

void gw_es_field_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v)
{
    add_value(w, key, v, 0);
}

void gw_es_field_attributes(struct gw_es_writer *w, struct gw_slice path, struct gw_range r)
{
    for (uint32_t i = r.begin; i < r.end && !w->fields_full; i++) {
        const struct gw_attr *a = &w->b->attrs[i];
        struct gw_value v = gw_es_value_of(w->b, a);

        if (v.type != GW_V_EMPTY)
            gw_es_field_value(w, gw_es_join(w, path, gw_attr_key(w->b, a)), &v);
    }
}

void gw_es_field_stream(struct gw_es_writer *w, struct gw_slice path, const struct gw_es_target *t)
{
    struct gw_slice text = gw_buf_slice(&t->text);

    if (!t->is_stream)
        return;
    gw_es_field_text(w, gw_es_join(w, path, GW_SLICE("data_stream.type")), gw_slice_cstr(t->stream_type));
    gw_es_field_text(w, gw_es_join(w, path, GW_SLICE("data_stream.dataset")), gw_slice_of(text.p, t->dataset_n));
    gw_es_field_text(w, gw_es_join(w, path, GW_SLICE("data_stream.namespace")),
                     gw_slice_of(text.p + t->dataset_n, text.n - t->dataset_n));
}

/* ---- one key, one meaning ------------------------------------------------------------------------------------ */

static bool is_inside(struct gw_slice key, struct gw_slice object)
{
    return key.n > object.n && key.p[object.n] == '.' && memcmp(key.p, object.p, object.n) == 0;
}

static bool begins_with(struct gw_slice key, struct gw_slice s)
{
    return key.n > s.n && memcmp(key.p, s.p, s.n) == 0;
}

/**
 * The first field inside of field i, or n. What sorts between them ("a-b" between "a" and "a.b") begins with i's key
 * and goes on with a byte below the point.
 */
static uint32_t first_inside(const struct gw_es_field *f, const uint32_t *order, uint32_t n, uint32_t i)
{
    struct gw_slice key = f[order[i]].key;

    for (i++; i < n && (begins_with(f[order[i]].key, key)); i++) {
        struct gw_slice next = f[order[i]].key;

        if (is_inside(next, key))
            return i;
        if (next.n > key.n && next.p[key.n] > '.')
            break;
    }
    return n;
}

/** Of equal keys the last one. Returns how many are left. */
static uint32_t drop_equal(const struct gw_es_field *fields, uint32_t *order, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || !gw_slice_eq(fields[order[i]].key, fields[order[i + 1]].key))
            order[kept++] = order[i];
    return kept;
}

static uint32_t drop_ignored(const struct gw_es_field *fields, uint32_t *order, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (fields[order[i]].kind != GW_ES_F_IGNORE)
            order[kept++] = order[i];
    return kept;
}

/**
 * A value under the name of an object moves into it, as "value"; a protected name stays a value, and the object's
 * fields go. False: no key has changed.
 */
static bool lift_values(struct gw_es_writer *w, const uint32_t *order, uint32_t n, gw_es_protected_fn is_protected,
                        bool give_up)
{
    bool lifted = false;

    for (uint32_t i = 0; i < n; i++) {
        struct gw_es_field *f = &w->fields[order[i]];
        uint32_t inside = f->kind == GW_ES_F_IGNORE ? n : first_inside(w->fields, order, n, i);
        struct gw_slice key = f->key;

        if (inside == n)
            continue;
        if (!is_protected || !is_protected(key)) {
            f->kind = give_up ? GW_ES_F_IGNORE : f->kind;
            f->key = give_up ? key : join(w, key, GW_SLICE("value"));
            lifted = !give_up;
            continue;
        }
        for (; inside < n && is_inside(w->fields[order[inside]].key, key); inside++)
            w->fields[order[inside]].kind = GW_ES_F_IGNORE;
    }
    return lifted;
}

/** Sort fields [base, n_fields) and leave one of each key. Returns how many stand in order[base ...]. */
static uint32_t settle_fields(struct gw_es_writer *w, uint32_t base, gw_es_protected_fn is_protected)
{
    uint32_t n = w->n_fields - base, *order = w->order + base;
    bool again = true;

    for (uint32_t i = 0; i < n; i++)
        order[i] = base + i;
    for (int turn = 0; again && !w->fields_full; turn++) { /* a.value may meet a.value.b */
        gw_es_sort(order, w->order_tmp, n, compare_fields, w->fields);
        n = drop_equal(w->fields, order, n);
        again = lift_values(w, order, n, is_protected, turn >= MAX_LIFTS);
        n = drop_ignored(w->fields, order, n);
    }
    return n;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

void gw_es_put_rfc3339(struct gw_buf *to, uint64_t time_ns)
{
    int64_t ns = (int64_t)time_ns; /* as Go reads it: what is over 2^63 lies before 1970 */
    int64_t fraction = ns % 1000000000;
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;

    if (fraction < 0) {
        fraction += 1000000000;
        s--;
    }
    (void)gmtime_r(&s, &tm);
    gw_buf_printf(to, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                  tm.tm_hour, tm.tm_min, tm.tm_sec, (int)fraction);
}

static void put_object(struct gw_es_writer *w, uint32_t base, bool nested, gw_es_protected_fn is_protected,
                       unsigned depth);

/** A map in an array: fields of its own, behind all others. */
static void put_inner(struct gw_es_writer *w, struct gw_slice list, gw_es_protected_fn is_protected, unsigned depth)
{
    uint32_t base = w->n_fields;

    add_map(w, GW_SLICE(""), list, depth);
    if (w->n_fields == base)
        GW_ES_PUT(w->out, "null");
    else
        put_object(w, base, /* nested= */ true, is_protected, depth);
    w->n_fields = base;
}

static void put_value(struct gw_es_writer *w, const struct gw_value *v, gw_es_protected_fn is_protected,
                      unsigned depth);

static void put_array(struct gw_es_writer *w, struct gw_slice list, gw_es_protected_fn is_protected, unsigned depth)
{
    struct gw_slice any;
    bool comma = false;

    GW_ES_PUT(w->out, "[");
    while (gw_es_next(&list, &any)) {
        struct gw_value v = gw_es_any(any);

        if (comma)
            GW_ES_PUT(w->out, ",");
        comma = true;
        put_value(w, &v, is_protected, depth);
    }
    GW_ES_PUT(w->out, "]");
}

/** Bytes have no form in these modes: null in an array, else no field at all. */
static void put_value(struct gw_es_writer *w, const struct gw_value *v, gw_es_protected_fn is_protected, unsigned depth)
{
    if (depth >= GW_ES_MAX_DEPTH || v->type == GW_V_BYTES)
        GW_ES_PUT(w->out, "null");
    else if (v->type == GW_V_ARRAY)
        put_array(w, v->s, is_protected, depth + 1);
    else if (v->type == GW_V_KVLIST)
        put_inner(w, v->s, is_protected, depth + 1);
    else if (v->type == GW_V_STRING)
        gw_json_put_string(w->out, v->s); /* may be no text of the payload */
    else
        gw_es_put_value(w, w->out, v, /* strings= */ false);
}

static void put_links(struct gw_es_writer *w, uint32_t row)
{
    struct gw_range r = w->b->links_of[row];

    GW_ES_PUT(w->out, "[");
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_link *l = &w->b->links[i];
        bool trace = !gw_es_is_zero(l->trace_id, 16), span = !gw_es_is_zero(l->span_id, 8);

        if (i > r.begin)
            GW_ES_PUT(w->out, ",");
        if (!trace && !span) {
            GW_ES_PUT(w->out, "null");
            continue;
        }
        GW_ES_PUT(w->out, "{");
        if (span) {
            GW_ES_PUT(w->out, "\"span\":{\"id\":");
            gw_es_put_id(w->out, l->span_id, 8);
            GW_ES_PUT(w->out, "}");
        }
        if (trace) {
            if (span)
                GW_ES_PUT(w->out, ",");
            GW_ES_PUT(w->out, "\"trace\":{\"id\":");
            gw_es_put_id(w->out, l->trace_id, 16);
            GW_ES_PUT(w->out, "}");
        }
        GW_ES_PUT(w->out, "}");
    }
    GW_ES_PUT(w->out, "]");
}

static void put_numbers(struct gw_buf *to, struct gw_slice list, bool doubles)
{
    GW_ES_PUT(to, "[");
    for (size_t at = 0; at < list.n; at += 8) {
        int64_t i;
        double f;

        if (at)
            GW_ES_PUT(to, ",");
        memcpy(&i, list.p + at, 8);
        memcpy(&f, list.p + at, 8);
        if (doubles)
            gw_es_put_double(to, f);
        else
            gw_es_put_i64(to, i);
    }
    GW_ES_PUT(to, "]");
}

static void put_field(struct gw_es_writer *w, const struct gw_es_field *f, gw_es_protected_fn is_protected,
                      unsigned depth)
{
    switch ((enum gw_es_field_kind)f->kind) {
    case GW_ES_F_VALUE:
        put_value(w, &f->value, is_protected, depth);
        break;
    case GW_ES_F_TIME:
        gw_es_put_rfc3339(w->out, (uint64_t)f->value.i);
        break;
    case GW_ES_F_ID:
        gw_es_put_id(w->out, f->value.s.p, f->value.s.n);
        break;
    case GW_ES_F_UINT:
        gw_es_put_u64(w->out, (uint64_t)f->value.i);
        break;
    case GW_ES_F_LINKS:
        put_links(w, (uint32_t)f->value.i);
        break;
    case GW_ES_F_COUNTS:
    case GW_ES_F_NUMBERS:
        put_numbers(w->out, f->value.s, f->kind == GW_ES_F_NUMBERS);
        break;
    case GW_ES_F_IGNORE:
        break;
    }
}

/** Not written at all: what has no form, and empty arrays. */
static bool is_nothing(const struct gw_es_field *f)
{
    struct gw_slice list = f->value.s, any;

    if (f->kind == GW_ES_F_COUNTS || f->kind == GW_ES_F_NUMBERS)
        return f->value.s.n == 0;
    if (f->kind != GW_ES_F_VALUE)
        return false;
    return f->value.type == GW_V_BYTES || (f->value.type == GW_V_ARRAY && !gw_es_next(&list, &any));
}

/** Close objects until `prefix`, of n bytes, leads to the key; returns how much of it is left. */
static size_t close_objects(struct gw_buf *to, struct gw_slice prefix, struct gw_slice key)
{
    size_t n = prefix.n, common = 0;

    while (common < n && common < key.n && prefix.p[common] == key.p[common])
        common++;
    if (common == n)
        return n;
    while (common > 0 && prefix.p[common - 1] != '.')
        common--;
    for (size_t i = common; i < n; i++)
        if (prefix.p[i] == '.')
            GW_ES_PUT(to, "}");
    return common;
}

/** The key's name in its object, behind the objects that lead to it. Returns the length of the way there. */
static size_t put_nested_key(struct gw_buf *to, size_t at, struct gw_slice key, bool *comma)
{
    for (size_t i = at; i <= key.n; i++) {
        if (i < key.n && key.p[i] != '.')
            continue;
        if (*comma)
            GW_ES_PUT(to, ",");
        *comma = i == key.n;
        gw_json_put_string(to, gw_slice_of(key.p + at, i - at));
        if (i == key.n) {
            GW_ES_PUT(to, ":");
            break;
        }
        GW_ES_PUT(to, ":{");
        at = i + 1;
    }
    return at;
}

static void put_object(struct gw_es_writer *w, uint32_t base, bool nested, gw_es_protected_fn is_protected,
                       unsigned depth)
{
    uint32_t n = settle_fields(w, base, is_protected);
    struct gw_slice prefix = {(const uint8_t *)"", 0};
    bool comma = false;

    GW_ES_PUT(w->out, "{");
    for (uint32_t i = 0; i < n && !w->out->failed; i++) {
        struct gw_es_field f = w->fields[w->order[base + i]]; /* a copy: inner objects may move the tables */

        if (is_nothing(&f))
            continue;
        if (nested) {
            size_t at = close_objects(w->out, prefix, f.key);

            prefix = gw_slice_of(f.key.p, put_nested_key(w->out, at, f.key, &comma));
        } else {
            if (comma)
                GW_ES_PUT(w->out, ",");
            comma = true;
            gw_json_put_string(w->out, f.key);
            GW_ES_PUT(w->out, ":");
        }
        put_field(w, &f, is_protected, depth);
    }
    (void)close_objects(w->out, prefix, (struct gw_slice){0});
    GW_ES_PUT(w->out, "}");
}

void gw_es_put_fields(struct gw_es_writer *w, bool nested, gw_es_protected_fn is_protected)
{
    put_object(w, 0, nested, is_protected, 0);
    GW_ES_PUT(w->out, "\n");
}
