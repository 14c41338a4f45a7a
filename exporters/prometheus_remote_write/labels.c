/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/labels.h"

#include <errno.h>
#include <stdlib.h>

#include "core/json_writer.h"

enum { FROM_EXTERNAL, FROM_ATTRIBUTE, FROM_SERVICE, FROM_SCOPE, FROM_NAME };
enum { SMALL = 24, KEEP_BYTES = 1 << 16, EXEMPLAR_RUNES = 128 };

#define FROM_RESOURCE (1u << 31) /* in an order: behind all of the point's */

#define NAME_LABEL GW_SLICE("__name__")

void gw_rw_labels_init(struct gw_rw_labels *l)
{
    *l = (struct gw_rw_labels){0};
    gw_arena_init(&l->arena, 1 << 14, SIZE_MAX);
    gw_buf_init(&l->text, SIZE_MAX / 2);
}

void gw_rw_labels_clear(struct gw_rw_labels *l)
{
    free(l->v);
    gw_arena_clear(&l->arena);
    gw_buf_clear(&l->text);
}

int gw_rw_compare(struct gw_slice a, struct gw_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_labels(const void *a, const void *b)
{
    const struct gw_rw_label *x = a, *y = b;
    int c = gw_rw_compare(x->name, y->name);

    if (c)
        return c;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void sort(struct gw_rw_labels *l)
{
    struct gw_rw_label *v = l->v;
    uint32_t n = l->n;

    if (n > SMALL) {
        qsort(v, n, sizeof(*v), compare_labels);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        struct gw_rw_label x = v[i];
        uint32_t k = i;

        for (; k > 0 && compare_labels(&v[k - 1], &x) > 0; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

static int add(struct gw_rw_labels *l, struct gw_slice name, struct gw_slice value, uint8_t kind, uint32_t order)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 32;
        struct gw_rw_label *v = realloc(l->v, cap * sizeof(*v));

        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct gw_rw_label){name, value, kind, order};
    return 0;
}

/** What `text` holds, kept. Errors: -ENOMEM. */
static int keep(struct gw_rw_labels *l, struct gw_slice *ret)
{
    if (l->text.failed)
        return -ENOMEM;
    *ret = gw_arena_dup(&l->arena, gw_buf_slice(&l->text));
    return ret->n == l->text.n ? 0 : -ENOMEM;
}

static int value_of(struct gw_rw_labels *l, const struct gw_batch *b, const struct gw_attr *a, struct gw_slice *ret)
{
    if (a->type == GW_V_STRING) {
        *ret = gw_batch_slice(b, a->val.ref);
        return 0;
    }
    gw_buf_reset(&l->text);
    gw_rw_put_value(&l->text, b, a);
    return keep(l, ret);
}

static const struct gw_attr *find_attr(const struct gw_batch *b, struct gw_range attrs, struct gw_slice key)
{
    for (uint32_t i = attrs.begin; i < attrs.end; i++)
        if (gw_slice_eq(gw_attr_key(b, &b->attrs[i]), key))
            return &b->attrs[i];
    return NULL;
}

static bool is_identifying(struct gw_slice key)
{
    return gw_slice_is(key, "service.name") || gw_slice_is(key, "service.namespace") ||
           gw_slice_is(key, "service.instance.id");
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

/** `*` stands for any run of bytes, `?` for one. */
static bool glob(const char *pattern, struct gw_slice s)
{
    const char *star = NULL;
    size_t i = 0, back = 0;

    while (i < s.n) {
        if (*pattern == '*') {
            star = pattern++;
            back = i;
        } else if (*pattern && (*pattern == '?' || (uint8_t)*pattern == s.p[i])) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool matches(const struct gw_list *globs, struct gw_slice key)
{
    for (size_t i = 0; globs && i < globs->n; i++)
        if (glob(((const char *const *)globs->items)[i], key))
            return true;
    return false;
}

/** Is this resource attribute a label of every point? */
static bool is_promoted(const struct gw_rw_options *o, struct gw_slice key)
{
    if (o->resource_labels && !(o->exclude_service_attributes && is_identifying(key)))
        return true;
    return matches(o->included, key) && !matches(o->excluded, key);
}

static int collect(struct gw_rw_labels *l, const struct gw_rw_labels_of *of)
{
    const struct gw_batch *b = of->batch;
    const struct gw_rw_options *o = of->options;
    bool promotes = !of->info && (o->resource_labels || (o->included && o->included->n));
    struct gw_slice value;
    int r;

    for (uint32_t i = of->attrs.begin; i < of->attrs.end; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]);

        if (of->info && is_identifying(key))
            continue;
        r = value_of(l, b, &b->attrs[i], &value);
        if (r < 0 || (r = add(l, key, value, FROM_ATTRIBUTE, i - of->attrs.begin)) < 0)
            return r;
    }
    for (uint32_t i = of->resource->attrs.begin; promotes && i < of->resource->attrs.end; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]);

        if (!is_promoted(o, key))
            continue;
        r = value_of(l, b, &b->attrs[i], &value);
        if (r < 0 || (r = add(l, key, value, FROM_ATTRIBUTE, FROM_RESOURCE + i - of->resource->attrs.begin)) < 0)
            return r;
    }
    return 0;
}

/**
 * Of one key: the resource's value, the last of them, stands in the place of the point's first; then come the point's
 * others. Without empty values, under their new names. n is where the key's labels end; they begin at *at.
 */
static int rename_run(struct gw_rw_labels *l, enum gw_rw_label_style style, uint32_t at, uint32_t end, uint32_t *to)
{
    uint32_t last = end - 1, n = end - at;
    bool promoted = (l->v[last].order & FROM_RESOURCE) != 0;
    struct gw_slice key = l->v[at].name, first = promoted ? l->v[last].value : l->v[at].value, name;
    int r;

    while (n > 1 && l->v[at + n - 1].order & FROM_RESOURCE)
        n--; /* the point's, or one of the resource's */
    for (uint32_t i = 0; i < n; i++) {
        struct gw_slice value = i == 0 ? first : l->v[at + i].value;

        if (value.n == 0)
            continue;
        gw_buf_reset(&l->text);
        r = gw_rw_put_label_name(&l->text, style, key);
        if (r < 0 || (r = keep(l, &name)) < 0)
            return r;
        l->v[*to] = (struct gw_rw_label){name, value, FROM_ATTRIBUTE, *to};
        (*to)++;
    }
    return 0;
}

static int rename_all(struct gw_rw_labels *l, enum gw_rw_label_style style)
{
    uint32_t to = 0;
    int r = 0;

    sort(l);
    for (uint32_t at = 0, end; at < l->n && r == 0; at = end) {
        for (end = at + 1; end < l->n && gw_slice_eq(l->v[at].name, l->v[end].name);)
            end++;
        r = rename_run(l, style, at, end, &to);
    }
    l->n = to;
    return r;
}

/* ---- the others ------------------------------------------------------------------------------------------- */

static int add_service(struct gw_rw_labels *l, const struct gw_rw_labels_of *of)
{
    const struct gw_batch *b = of->batch;
    struct gw_range attrs = of->resource->attrs;
    const struct gw_attr *name = find_attr(b, attrs, GW_SLICE("service.name"));
    const struct gw_attr *space = find_attr(b, attrs, GW_SLICE("service.namespace"));
    const struct gw_attr *instance = find_attr(b, attrs, GW_SLICE("service.instance.id"));
    struct gw_slice value;
    size_t base;
    int r = 0;

    gw_buf_reset(&l->text);
    if (name && space) {
        gw_rw_put_value(&l->text, b, space);
        gw_buf_put_u8(&l->text, '/');
    }
    base = l->text.n;
    if (name)
        gw_rw_put_value(&l->text, b, name);
    if (l->text.failed)
        return -ENOMEM;
    if (l->text.n > base && ((r = keep(l, &value)) < 0 || (r = add(l, GW_SLICE("job"), value, FROM_SERVICE, 0)) < 0))
        return r;
    if (instance && ((r = value_of(l, b, instance, &value)) < 0 ||
                     (value.n && (r = add(l, GW_SLICE("instance"), value, FROM_SERVICE, 0)) < 0)))
        return r;
    return 0;
}

/** A label that says something of the scope; a key that makes no name is left out. */
static int add_scope_label(struct gw_rw_labels *l, const struct gw_rw_labels_of *of, struct gw_slice key,
                           struct gw_slice value, uint32_t order)
{
    struct gw_slice full, name;
    int r;

    gw_buf_reset(&l->text);
    gw_buf_put_str(&l->text, "otel_scope_");
    gw_buf_put_slice(&l->text, key);
    r = keep(l, &full);
    if (r < 0)
        return r;
    gw_buf_reset(&l->text);
    r = gw_rw_put_label_name(&l->text, of->style, full);
    if (r == -EINVAL)
        return 0;
    if (r < 0 || (r = keep(l, &name)) < 0)
        return r;
    return add(l, name, value, FROM_SCOPE, order);
}

static int add_scope(struct gw_rw_labels *l, const struct gw_rw_labels_of *of)
{
    const struct gw_batch *b = of->batch;
    const struct gw_scope *s = of->scope;
    int r = 0;

    if (s->name.len)
        r = add_scope_label(l, of, GW_SLICE("name"), gw_batch_slice(b, s->name), 0);
    if (r == 0 && s->version.len)
        r = add_scope_label(l, of, GW_SLICE("version"), gw_batch_slice(b, s->version), 1);
    for (uint32_t i = s->attrs.begin; i < s->attrs.end && r == 0; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]), value;

        if (gw_slice_is(key, "name") || gw_slice_is(key, "version") || gw_slice_is(key, "schema_url"))
            continue;
        r = value_of(l, b, &b->attrs[i], &value);
        if (r == 0 && value.n) /* a label without a value is none, and receivers may refuse it */
            r = add_scope_label(l, of, key, value, 2 + i - s->attrs.begin);
    }
    return r;
}

/** The values of one name, [at, end), are attributes all: joined in the order of their keys. */
static int join(struct gw_rw_labels *l, uint32_t at, uint32_t end, struct gw_slice *ret)
{
    gw_buf_reset(&l->text);
    gw_buf_put_slice(&l->text, l->v[at].value);
    for (uint32_t i = at + 1; i < end; i++) {
        if (gw_slice_eq(gw_buf_slice(&l->text), l->v[i].value))
            continue;
        gw_buf_put_u8(&l->text, ';');
        gw_buf_put_slice(&l->text, l->v[i].value);
    }
    return keep(l, ret);
}

static int settle(struct gw_rw_labels *l)
{
    uint32_t to = 0;
    int r = 0;

    sort(l);
    for (uint32_t at = 0, end; at < l->n && r == 0; at = end) {
        struct gw_slice value;
        uint32_t first = at;

        for (end = at + 1; end < l->n && gw_slice_eq(l->v[at].name, l->v[end].name);)
            end++;
        value = l->v[end - 1].value;
        while (l->v[first].kind < l->v[end - 1].kind)
            first++;
        if (l->v[end - 1].kind == FROM_ATTRIBUTE && end - first > 1)
            r = join(l, first, end, &value);
        l->v[to++] = (struct gw_rw_label){l->v[at].name, value, 0, 0};
    }
    l->n = to;
    return r;
}

static void remove_name(struct gw_rw_labels *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (gw_slice_eq(l->v[i].name, NAME_LABEL)) {
            memmove(l->v + i, l->v + i + 1, (l->n - i - 1) * sizeof(*l->v));
            l->n--;
            return;
        }
}

int gw_rw_labels_build(struct gw_rw_labels *l, const struct gw_rw_labels_of *of)
{
    int r;

    gw_arena_reset(&l->arena, KEEP_BYTES);
    l->n = 0;
    r = collect(l, of);
    if (r == 0)
        r = rename_all(l, of->style);
    if (r == 0)
        r = add_service(l, of);
    for (size_t i = 0; i < of->n_external && r == 0; i++)
        r = add(l, of->external[i].name, of->external[i].value, FROM_EXTERNAL, (uint32_t)i);
    if (r == 0 && of->scope)
        r = add_scope(l, of);
    if (r == 0 && of->name.n)
        r = add(l, NAME_LABEL, of->name, FROM_NAME, 0);
    if (r == 0)
        r = settle(l);
    if (r == 0 && of->name.n == 0)
        remove_name(l);
    return r;
}

const struct gw_slice *gw_rw_labels_find(const struct gw_rw_labels *l, struct gw_slice name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (gw_slice_eq(l->v[i].name, name))
            return &l->v[i].value;
    return NULL;
}

/* ---- exemplars -------------------------------------------------------------------------------------------- */

static size_t runes(struct gw_slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += (s.p[i] & 0xc0) != 0x80;
    return n;
}

/** Not absent, and not zeros alone. */
static bool is_id(bool has, const uint8_t *id, size_t n)
{
    while (has && n > 0)
        if (id[--n])
            return true;
    return false;
}

static int add_id(struct gw_rw_labels *l, struct gw_slice name, struct gw_slice id)
{
    struct gw_slice value;
    int r;

    gw_buf_reset(&l->text);
    gw_put_hex(&l->text, id);
    r = keep(l, &value);
    return r < 0 ? r : add(l, name, value, FROM_SERVICE, l->n);
}

int gw_rw_labels_of_exemplar(struct gw_rw_labels *l, const struct gw_batch *b, const struct gw_exemplar *e, bool sorted)
{
    bool trace = is_id(e->has_trace_id, e->trace_id, 16), span = is_id(e->has_span_id, e->span_id, 8);
    size_t n = 0;
    uint32_t ids;
    int r = 0;

    gw_arena_reset(&l->arena, KEEP_BYTES);
    l->n = 0;
    if (trace)
        r = add_id(l, GW_SLICE("trace_id"), gw_slice_of(e->trace_id, 16));
    if (r == 0 && span)
        r = add_id(l, GW_SLICE("span_id"), gw_slice_of(e->span_id, 8));
    ids = l->n;
    for (uint32_t i = e->attrs.begin; i < e->attrs.end && r == 0; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]), value;

        if ((trace && gw_slice_is(key, "trace_id")) || (span && gw_slice_is(key, "span_id")))
            continue;
        r = value_of(l, b, &b->attrs[i], &value);
        if (r == 0)
            r = add(l, key, value, FROM_SERVICE, l->n);
    }
    for (uint32_t i = 0; i < l->n; i++)
        n += runes(l->v[i].name) + runes(l->v[i].value);
    if (n > EXEMPLAR_RUNES)
        l->n = ids;
    if (sorted)
        sort(l);
    return r;
}
