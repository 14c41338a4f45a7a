/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents as a list of fields: maps flattened to a.b.c, sorted by key, of equal keys the last one kept.
 *
 *   {"a":1, "a":{"b":2}}  ─►  a, a.b  ─►  a.value, a.b        a name is a number or an object, never both
 */
#include <stdlib.h>

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
    const struct gw_es_field *x = (const struct gw_es_field *)arg + a, *y = (const struct gw_es_field *)arg + b;

    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    return compare_keys(x->key, y->key);
}

static uint64_t head_of(struct gw_slice key)
{
    uint8_t bytes[8] = {0};
    uint64_t head;

    if (key.n)
        memcpy(bytes, key.p, key.n < 8 ? key.n : 8);
    memcpy(&head, bytes, 8);
    return __builtin_bswap64(head);
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
    w->fields[w->n_fields++] =
        (struct gw_es_field){.key = key, .head = head_of(key), .value = value, .kind = (uint8_t)kind};
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
    uint8_t *p = gw_arena_alloc(w->field_arena, path.n + 1 + key.n);

    if (!p) {
        w->too_large = true;
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

void gw_es_field_map(struct gw_es_writer *w, struct gw_slice path, struct gw_slice list, unsigned depth)
{
    struct gw_slice kv, key, any;

    while (!w->too_large && gw_go_next(&list, &kv)) {
        struct gw_value v;

        gw_go_pair_of(kv, &key, &any);
        v = gw_go_any(any);
        if (v.type != GW_V_EMPTY)
            add_value(w, gw_es_join(w, path, key), &v, depth);
    }
}

static void add_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v, unsigned depth)
{
    if (v->type == GW_V_EMPTY || depth >= GW_ES_MAX_DEPTH)
        return;
    if (v->type == GW_V_KVLIST)
        gw_es_field_map(w, key, v->s, depth + 1);
    else
        gw_es_field(w, GW_ES_F_VALUE, key, *v);
}

void gw_es_field_value(struct gw_es_writer *w, struct gw_slice key, const struct gw_value *v)
{
    add_value(w, key, v, 0);
}

void gw_es_field_attributes(struct gw_es_writer *w, struct gw_slice path, struct gw_range r)
{
    for (uint32_t i = r.begin; i < r.end && !w->too_large; i++) {
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
    gw_es_field_text(w, gw_es_join(w, path, GW_SLICE("data_stream.namespace")), gw_es_from(&t->text, t->dataset_n));
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

/** Does a key sort before what is inside of an object of that name? */
static bool is_before(struct gw_slice key, struct gw_slice object)
{
    size_t n = key.n < object.n ? key.n : object.n;
    int c = n ? memcmp(key.p, object.p, n) : 0;

    if (c || key.n <= object.n)
        return c <= 0;
    return key.p[object.n] < '.';
}

/**
 * The first field inside of field i, or n. What sorts between them ("a-b" between "a" and "a.b") begins with i's key,
 * as what is inside does: when the next one does not, there is none.
 */
static uint32_t first_inside(const struct gw_es_field *f, const uint32_t *order, uint32_t n, uint32_t i)
{
    struct gw_slice key = f[order[i]].key;
    uint32_t low = i + 1, high = n;

    if (low == n || !begins_with(f[order[low]].key, key))
        return n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (is_before(f[order[middle]].key, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && is_inside(f[order[low]].key, key) ? low : n;
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

/** The scope's fields cannot be used again when one of them was changed for a document. */
static void spoil(struct gw_es_writer *w, uint32_t field)
{
    if (field < w->scope.n_fields)
        w->scope.has_fields = false;
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
            f->head = head_of(f->key);
            lifted |= !give_up;
            spoil(w, order[i]);
            continue;
        }
        for (; inside < n && is_inside(w->fields[order[inside]].key, key); inside++) {
            w->fields[order[inside]].kind = GW_ES_F_IGNORE;
            spoil(w, order[inside]);
        }
    }
    return lifted;
}

/** Two sorted lists into one; of equal keys the scope's comes first. */
static void merge(const struct gw_es_writer *w, const uint32_t *rows, uint32_t n_rows, uint32_t *to)
{
    const uint32_t *base = w->base_order;
    uint32_t n_base = w->scope.n_order, i = 0, k = 0, at = 0;

    while (i < n_base && k < n_rows)
        to[at++] = compare_fields(w->fields, base[i], rows[k]) <= 0 ? base[i++] : rows[k++];
    while (i < n_base)
        to[at++] = base[i++];
    while (k < n_rows)
        to[at++] = rows[k++];
}

/** Fields of the document in order: those of the scope are, already. Returns how many. */
static uint32_t sort_document(struct gw_es_writer *w)
{
    uint32_t n_base = w->scope.n_order, from = w->scope.n_fields, n = w->n_fields - from, *rows = w->order + n_base;

    for (uint32_t i = 0; i < n; i++)
        rows[i] = from + i;
    gw_es_sort(rows, w->order_tmp, n, compare_fields, w->fields);
    merge(w, rows, n, w->order_tmp);
    memcpy(w->order, w->order_tmp, (n_base + n) * sizeof(*w->order));
    return n_base + n;
}

static uint32_t sort_all(struct gw_es_writer *w, uint32_t base)
{
    uint32_t n = w->n_fields - base, *order = w->order + base;

    for (uint32_t i = 0; i < n; i++)
        order[i] = base + i;
    gw_es_sort(order, w->order_tmp, n, compare_fields, w->fields);
    return n;
}

uint32_t gw_es_settle_fields(struct gw_es_writer *w, uint32_t base, gw_es_protected_fn is_protected)
{
    uint32_t *order, n;

    if (w->n_fields == base)
        return 0;
    order = w->order + base;
    n = base == 0 && w->scope.has_fields ? sort_document(w) : sort_all(w, base);
    n = drop_equal(w->fields, order, n);
    for (int turn = 0; !w->too_large && lift_values(w, order, n, is_protected, turn >= MAX_LIFTS); turn++) {
        n = drop_ignored(w->fields, order, n);
        gw_es_sort(order, w->order_tmp, n, compare_fields, w->fields); /* a.value may meet a.value.b */
        n = drop_equal(w->fields, order, n);
    }
    return drop_ignored(w->fields, order, n);
}

/** The scope's fields in order, for all of its documents. */
static void keep_order(struct gw_es_writer *w)
{
    uint32_t n = w->n_fields ? drop_equal(w->fields, w->order, sort_all(w, 0)) : 0;

    if (n > w->cap_base) {
        uint32_t *p = realloc(w->base_order, w->cap_fields * sizeof(*p));

        if (!p) {
            w->rc = -ENOMEM;
            return;
        }
        w->base_order = p;
        w->cap_base = w->cap_fields;
    }
    if (n)
        memcpy(w->base_order, w->order, n * sizeof(*w->order));
    w->scope.n_order = n;
    w->scope.has_fields = !w->too_large;
}

void gw_es_scope_fields(struct gw_es_writer *w, void (*add)(struct gw_es_writer *w))
{
    w->n_fields = w->scope.n_fields;
    if (w->scope.has_fields)
        return;
    w->n_fields = w->scope.n_fields = 0;
    gw_arena_reset(&w->scope_arena, 1 << 20);
    w->field_arena = &w->scope_arena;
    add(w);
    w->field_arena = &w->doc_arena;
    keep_order(w);
    w->scope.n_fields = w->n_fields;
}
