/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span's dimensions, encoded as the attributes of its series. Order: the usual ones, scope, sampling method,
 * dimensions by name as configured, then by glob, sorted. Names are part of the key, and types of values.
 */
#include "connectors/span_metrics/span_metrics.h"

#include <errno.h>
#include <stdlib.h>

#include "values/value.h"

enum { MAX_KEY_BYTES = 1 << 20 };

static const char *const kinds[] = {"SPAN_KIND_UNSPECIFIED",
                                    "SPAN_KIND_INTERNAL",
                                    "SPAN_KIND_SERVER",
                                    "SPAN_KIND_CLIENT",
                                    "SPAN_KIND_PRODUCER",
                                    "SPAN_KIND_CONSUMER",
                                    ""};
static const char *const statuses[] = {"STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR", ""};

/* ---- what is prepared ----------------------------------------------------------------------------------------- */

static void prepare(struct gw_buf *b, const struct conf *c, const char *name, const char *value)
{
    gw_buf_init(b, MAX_KEY_BYTES);
    if (!gw_span_metrics_lists(&c->exclude_dimensions, gw_slice_cstr(name)))
        gw_mw_attr_put_str(b, gw_slice_cstr(name), gw_slice_cstr(value));
}

static struct dimension *find_named(struct dimensions *d, struct gw_slice name)
{
    for (unsigned i = 0; i < d->n_named; i++)
        if (gw_slice_eq(d->named[i].name, name))
            return &d->named[i];
    return NULL;
}

static int add_glob(struct dimensions *d, const char *glob, struct gw_err *err)
{
    struct gw_buf re;
    int rc;

    gw_buf_init(&re, 8192);
    rc = gw_span_metrics_glob(glob, &re) ? gw_pattern_new((const char *)re.p, &d->globs[d->n_globs], err) : -EINVAL;
    d->n_globs += rc == 0;
    gw_buf_clear(&re);
    return rc;
}

/* A name that is there already, in the dimensions of all metrics, keeps its place. */
static int add_list(struct dimensions *d, const struct gw_list *l, struct gw_err *err)
{
    const struct dimension_conf *c = l->items;
    int rc = 0;

    for (size_t i = 0; i < l->n && rc == 0; i++) {
        struct gw_slice name = gw_slice_cstr(c[i].name);
        struct dimension *at;

        if (*c[i].glob) {
            rc = add_glob(d, c[i].glob, err);
            continue;
        }
        at = find_named(d, name);
        if (!at) {
            at = &d->named[d->n_named++];
            at->name = name;
            gw_buf_init(&at->fallback, MAX_KEY_BYTES);
        }
        if (c[i].fallback) {
            gw_buf_reset(&at->fallback);
            gw_mw_attr_put_str(&at->fallback, name, gw_slice_cstr(c[i].fallback->text));
        }
    }
    return rc;
}

static int fill(struct dimensions *d, const struct gw_list *common, const struct gw_list *own, struct gw_err *err)
{
    int rc;

    d->named = calloc(common->n + own->n + 1, sizeof(*d->named));
    d->globs = calloc(common->n + own->n + 1, sizeof(struct gw_pattern *));
    if (!d->named || !d->globs)
        return -ENOMEM;
    rc = add_list(d, common, err);
    return rc < 0 ? rc : add_list(d, own, err);
}

int gw_span_metrics_keys_init(struct keys *k, const struct conf *c, const char *instance_id, struct gw_err *err)
{
    const struct gw_list *own[N_TABLES] = {&c->calls_dimensions, &c->histogram.dimensions, &c->events.dimensions};
    int rc = 0;

    *k = (struct keys){.conf = c, .same = !c->calls_dimensions.n && !c->histogram.dimensions.n};
    k->has_service = !gw_span_metrics_lists(&c->exclude_dimensions, GW_SLICE("service.name"));
    k->has_name = !gw_span_metrics_lists(&c->exclude_dimensions, GW_SLICE("span.name"));
    for (unsigned i = 0; i < N_KINDS; i++)
        prepare(&k->kinds[i], c, "span.kind", kinds[i]);
    for (unsigned i = 0; i < N_STATUSES; i++)
        prepare(&k->statuses[i], c, "status.code", statuses[i]);
    prepare(&k->instance, c, "collector.instance.id", instance_id);
    gw_buf_init(&k->extrapolated, MAX_KEY_BYTES);
    gw_buf_init(&k->counted, MAX_KEY_BYTES);
    if (c->enable_metrics_sampling_method) {
        gw_mw_attr_put_str(&k->extrapolated, GW_SLICE("sampling.method"), GW_SLICE("extrapolated"));
        gw_mw_attr_put_str(&k->counted, GW_SLICE("sampling.method"), GW_SLICE("counted"));
    }
    for (unsigned i = 0; i < N_TABLES && rc == 0; i++)
        rc = fill(&k->of[i], &c->dimensions, own[i], err);
    return rc;
}

void gw_span_metrics_keys_clear(struct keys *k)
{
    for (unsigned i = 0; i < N_TABLES; i++) {
        for (unsigned n = 0; n < k->of[i].n_named; n++)
            gw_buf_clear(&k->of[i].named[n].fallback);
        for (unsigned n = 0; n < k->of[i].n_globs; n++)
            gw_pattern_free(k->of[i].globs[n]);
        free(k->of[i].named);
        free(k->of[i].globs);
    }
    for (unsigned i = 0; i < N_KINDS; i++)
        gw_buf_clear(&k->kinds[i]);
    for (unsigned i = 0; i < N_STATUSES; i++)
        gw_buf_clear(&k->statuses[i]);
    gw_buf_clear(&k->instance);
    gw_buf_clear(&k->extrapolated);
    gw_buf_clear(&k->counted);
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static bool event_attr(const struct gw_view *v, const struct gw_event *e, struct gw_slice key, struct gw_value *ret)
{
    for (uint32_t i = e ? e->attrs.begin : 0; e && i < e->attrs.end; i++)
        if (gw_slice_eq(gw_attr_key(v->batch, &v->batch->attrs[i]), key)) {
            *ret = gw_value_of(v->batch, v->batch->attrs[i].type, v->batch->attrs[i].val);
            return true;
        }
    return false;
}

static bool look_up(const struct subject *s, struct gw_slice key, struct gw_value *ret)
{
    return gw_view_attr_get(s->v, GW_OWN_ROW, s->row, key, ret) || event_attr(s->v, s->event, key, ret) ||
           gw_view_attr_get(s->v, GW_OWN_RESOURCE, s->resource, key, ret);
}

static void put_named(const struct dimensions *d, const struct subject *s, struct gw_buf *run)
{
    struct gw_value value;

    for (unsigned i = 0; i < d->n_named; i++)
        if (!look_up(s, d->named[i].name, &value))
            gw_buf_put_slice(run, gw_buf_slice(&d->named[i].fallback));
        else if (value.type == GW_V_STRING)
            gw_mw_attr_put_str(run, d->named[i].name, value.s);
        else
            gw_mw_attr_put(run, d->named[i].name, &value);
}

struct found {
    struct gw_slice *keys;
    uint32_t n, cap;
};

static bool matches(const struct dimensions *d, struct gw_slice key)
{
    for (unsigned i = 0; i < d->n_named; i++)
        if (gw_slice_eq(d->named[i].name, key))
            return false; /* it is there by its name */
    for (unsigned i = 0; i < d->n_globs; i++)
        if (gw_pattern_matches(d->globs[i], key))
            return true;
    return false;
}

static void note(const struct dimensions *d, struct gw_slice key, struct found *f)
{
    if (f->n == f->cap || !matches(d, key))
        return;
    for (uint32_t i = 0; i < f->n; i++)
        if (gw_slice_eq(f->keys[i], key))
            return;
    f->keys[f->n++] = key;
}

static void note_all(const struct dimensions *d, const struct subject *s, enum gw_owner owner, uint32_t index,
                     struct found *f)
{
    struct gw_attr_iter it;
    struct gw_value value;
    struct gw_slice key;

    gw_view_attr_begin(s->v, owner, index, &it);
    while (gw_view_attr_next(&it, &key, &value))
        note(d, key, f);
}

static int by_bytes(const void *a, const void *b)
{
    const struct gw_slice *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = n ? memcmp(x->p, y->p, n) : 0;

    return c ? c : (x->n > y->n) - (x->n < y->n);
}

enum { MAX_FOUND = 256 };

static void put_globbed(const struct dimensions *d, const struct subject *s, struct gw_arena *scratch,
                        struct gw_buf *run)
{
    struct found f = {gw_arena_alloc(scratch, MAX_FOUND * sizeof(struct gw_slice)), 0, MAX_FOUND};
    struct gw_value value;

    if (!f.keys)
        return;
    note_all(d, s, GW_OWN_ROW, s->row, &f);
    for (uint32_t i = s->event ? s->event->attrs.begin : 0; s->event && i < s->event->attrs.end; i++)
        note(d, gw_attr_key(s->v->batch, &s->v->batch->attrs[i]), &f);
    note_all(d, s, GW_OWN_RESOURCE, s->resource, &f);
    qsort(f.keys, f.n, sizeof(*f.keys), by_bytes);
    for (uint32_t i = 0; i < f.n; i++)
        if (look_up(s, f.keys[i], &value))
            gw_mw_attr_put(run, f.keys[i], &value);
}

/* ---- keys ---------------------------------------------------------------------------------------------------------
 */

static void put_scope(const struct conf *c, const struct subject *s, struct gw_buf *run)
{
    const struct gw_batch *b = s->v->batch;
    struct gw_slice name = gw_batch_slice(b, b->scopes[s->scope].name);
    struct gw_slice version = gw_batch_slice(b, b->scopes[s->scope].version);

    if (name.n == 0 || !gw_span_metrics_lists(&c->include_instrumentation_scope, name))
        return;
    gw_mw_attr_put_str(run, GW_SLICE("span.instrumentation.scope.name"), name);
    if (version.n)
        gw_mw_attr_put_str(run, GW_SLICE("span.instrumentation.scope.version"), version);
}

void gw_span_metrics_key(const struct keys *k, unsigned table, const struct subject *s, struct gw_arena *scratch,
                         struct gw_buf *run)
{
    const struct dimensions *d = &k->of[table];

    gw_buf_reset(run);
    if (k->has_service)
        gw_mw_attr_put_str(run, GW_SLICE("service.name"), s->service);
    if (k->has_name)
        gw_mw_attr_put_str(run, GW_SLICE("span.name"), s->name);
    gw_buf_put_slice(run, gw_buf_slice(&k->kinds[s->kind < N_KINDS ? s->kind : N_KINDS - 1]));
    gw_buf_put_slice(run, gw_buf_slice(&k->statuses[s->status < N_STATUSES ? s->status : N_STATUSES - 1]));
    gw_buf_put_slice(run, gw_buf_slice(&k->instance));
    if (k->conf->include_instrumentation_scope.n)
        put_scope(k->conf, s, run);
    gw_buf_put_slice(run, gw_buf_slice(s->is_adjusted ? &k->extrapolated : &k->counted));
    put_named(d, s, run);
    if (d->n_globs)
        put_globbed(d, s, scratch, run);
}

struct pair {
    struct gw_slice key;
    struct gw_value value;
};

void gw_span_metrics_resource(const struct conf *c, const struct gw_view *v, uint32_t resource,
                              struct gw_arena *scratch, struct gw_buf *run, struct gw_buf *key)
{
    struct gw_attr_iter it;
    struct pair p, *pairs;
    uint32_t n = 0, count = 0;

    gw_buf_reset(run);
    gw_buf_reset(key);
    gw_view_attr_begin(v, GW_OWN_RESOURCE, resource, &it);
    while (gw_view_attr_next(&it, &p.key, &p.value))
        count++;
    pairs = gw_arena_alloc(scratch, (count + 1) * sizeof(*pairs));
    if (!pairs) {
        key->failed = true;
        return;
    }
    gw_view_attr_begin(v, GW_OWN_RESOURCE, resource, &it);
    while (gw_view_attr_next(&it, &p.key, &p.value)) {
        gw_mw_attr_put(run, p.key, &p.value);
        if (!c->resource_metrics_key_attributes.n || gw_span_metrics_lists(&c->resource_metrics_key_attributes, p.key))
            pairs[n++] = p;
    }
    qsort(pairs, n, sizeof(*pairs), by_bytes);
    for (uint32_t i = 0; i < n; i++)
        gw_mw_attr_put(key, pairs[i].key, &pairs[i].value);
}
