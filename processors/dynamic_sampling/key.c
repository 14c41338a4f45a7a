/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of trace it is: the values of some attributes, of all its spans. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "processors/dynamic_sampling/rules.h"
#include "values/value.h"

/* More distinct values of one attribute than this make no kind of traces. */
enum { MAX_VALUES = 128 };

static const char *const scopes[] = {"resource", "scope", "span", "root", "any", NULL};

int gw_ds_selector_parse(const char *text, struct gw_ds_selector *ret, struct gw_err *err)
{
    const char *dot = strstr(text, ".attributes[\""), *begin, *end;

    if (!dot) {
        if (!*text || strpbrk(text, "[]\""))
            return gw_fail(err, -EINVAL, "\"%.100s\" is no attribute: (resource|scope|span|root|any).attributes[\"…\"]",
                           text);
        *ret = (struct gw_ds_selector){GW_DS_ANY, gw_slice_cstr(text)};
        return 0;
    }
    begin = dot + strlen(".attributes[\"");
    end = strstr(begin, "\"]");
    if (!end || end[2] || end == begin)
        return gw_fail(err, -EINVAL, "\"%.100s\" must name one attribute: attributes[\"name\"]", text);
    for (unsigned i = 0; scopes[i]; i++)
        if (strlen(scopes[i]) == (size_t)(dot - text) && memcmp(scopes[i], text, (size_t)(dot - text)) == 0) {
            *ret = (struct gw_ds_selector){(enum gw_ds_scope)i, gw_slice_of(begin, (size_t)(end - begin))};
            return 0;
        }
    return gw_fail(err, -EINVAL, "\"%.100s\" begins with none of resource, scope, span, root, any", text);
}

/* ---- values ----------------------------------------------------------------------------------------------- */

struct values {
    struct gw_slice list[MAX_VALUES];
    uint32_t n;
};

static int compare(struct gw_slice a, struct gw_slice b)
{
    int c = memcmp(a.n ? a.p : (const uint8_t *)"", b.n ? b.p : (const uint8_t *)"", a.n < b.n ? a.n : b.n);

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Sorted, each once. */
static void insert(struct values *x, struct gw_slice s)
{
    uint32_t at = 0;

    while (at < x->n && compare(x->list[at], s) < 0)
        at++;
    if (x->n == MAX_VALUES || (at < x->n && compare(x->list[at], s) == 0))
        return;
    memmove(&x->list[at + 1], &x->list[at], (x->n - at) * sizeof(x->list[0]));
    x->list[at] = s;
    x->n++;
}

static void collect(struct values *x, const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key)
{
    struct gw_value value;
    struct gw_slice text;

    if (gw_view_attr_get(v, o, index, key, &value) && gw_value_text(&value, v->arena, &text))
        insert(x, text);
}

static void collect_all(struct values *x, const struct gw_ds_selector *s, const struct gw_ds_trace *t)
{
    const struct gw_batch *b = t->v->batch;
    bool any = s->scope == GW_DS_ANY;

    for (uint32_t row = t->begin; row < t->end; row++) {
        bool new_scope = row == t->begin || b->scope[row] != b->scope[row - 1];

        if (new_scope && (any || s->scope == GW_DS_RESOURCE))
            collect(x, t->v, GW_OWN_RESOURCE, gw_batch_resource_of(b, row), s->key);
        if (new_scope && (any || s->scope == GW_DS_SCOPE))
            collect(x, t->v, GW_OWN_SCOPE, b->scope[row], s->key);
        if (any || s->scope == GW_DS_SPAN || (s->scope == GW_DS_ROOT && t->is_root(t->arg, t->v, row)))
            collect(x, t->v, GW_OWN_ROW, row, s->key);
    }
}

static void put_values(struct gw_buf *to, const struct values *x)
{
    if (x->n == 0)
        gw_buf_put_str(to, "<missing>");
    for (uint32_t i = 0; i < x->n; i++) {
        if (i)
            gw_buf_put_str(to, ",");
        gw_buf_put_slice(to, x->list[i]);
    }
}

struct gw_slice gw_ds_rule_key(struct gw_ds_rules *r, uint32_t rule, const struct gw_ds_trace *t)
{
    const struct gw_ds_rule *x = &r->list[rule];
    struct values values;

    gw_buf_reset(&r->key);
    for (size_t i = 0; i < x->conf->sampler.fingerprint.n; i++) {
        values.n = 0;
        collect_all(&values, &x->selectors[i], t);
        if (i)
            gw_buf_put_str(&r->key, "•");
        put_values(&r->key, &values);
    }
    if (x->conf->sampler.trace_length)
        gw_buf_printf(&r->key, "•%u", t->end - t->begin);
    if (r->key.failed || r->key.n > GW_DS_MAX_KEY_BYTES) { /* its hash is as good a name, and short */
        uint64_t hash = gw_hash_stable(gw_buf_slice(&r->key));

        gw_buf_reset(&r->key);
        gw_buf_printf(&r->key, "#%016llx", (unsigned long long)hash);
    }
    return gw_buf_slice(&r->key);
}
