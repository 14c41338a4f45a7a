/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/match.h"

#include <stdlib.h>

#include "values/pattern.h"
#include "values/value.h"

const struct gw_field gw_match_regexp_fields[] = {
    {GW_FIELD_(struct gw_match_regexp_conf, cache_enabled, "cacheenabled", GW_F_BOOL, "false", 0, 0,
               "The Collector's cache of results; patterns are compiled to machine code here."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct gw_match_regexp_conf, cache_max_entries, "cachemaxnumentries", GW_F_I64, "0", 0, 0,
               "Entries of that cache."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};
static const struct gw_field attr_fields[] = {
    GW_STRING_FIELD(struct gw_match_attr_conf, key, "key", "", "Must be there."),
    GW_ANY_FIELD(struct gw_match_attr_conf, value, "value", "Must be this, or match this; absent: any value."),
    {0},
};
static const struct gw_field library_fields[] = {
    GW_STRING_FIELD(struct gw_match_library_conf, name, "name", "", "Name of the instrumentation scope."),
    GW_ANY_FIELD(struct gw_match_library_conf, version, "version", "Its version; absent: any."),
    {0},
};
static const struct gw_field severity_fields[] = {
    GW_I64_FIELD(struct gw_match_severity_conf, min, "min", "0", 0, 24, "Lowest severity number that matches."),
    GW_BOOL_FIELD(struct gw_match_severity_conf, match_undefined, "match_undefined", "false",
                  "Records without a severity number match."),
    {0},
};

#define C struct gw_match_conf
const struct gw_field gw_match_fields[] = {
    GW_STRING_FIELD(C, match_type, "match_type", "", "strict (equal) or regexp (RE2, somewhere in the text)."),
    GW_OPTIONAL_BLOCK_FIELD(C, regexp, has_regexp, "regexp", gw_match_regexp_fields, 0, "Options of regexp."),
    GW_STRINGS_FIELD(C, services, "services", "service.name of the resource. Spans."),
    GW_STRINGS_FIELD(C, span_names, "span_names", "Names of spans."),
    GW_STRINGS_FIELD(C, span_kinds, "span_kinds", "SPAN_KIND_SERVER and the like."),
    GW_STRINGS_FIELD(C, log_bodies, "log_bodies", "Bodies of log records, as text."),
    GW_STRINGS_FIELD(C, log_severity_texts, "log_severity_texts", "Severity texts of log records."),
    GW_OPTIONAL_BLOCK_FIELD(C, severity, has_severity, "log_severity_number", severity_fields, 0,
                            "Severity number of log records."),
    GW_STRINGS_FIELD(C, metric_names, "metric_names", "Names of metrics."),
    GW_LIST_FIELD(C, attributes, "attributes", struct gw_match_attr_conf, attr_fields,
                  "Attributes of the span or log record; all must match."),
    GW_LIST_FIELD(C, resources, "resources", struct gw_match_attr_conf, attr_fields,
                  "Attributes of the resource; all must match."),
    GW_LIST_FIELD(C, libraries, "libraries", struct gw_match_library_conf, library_fields,
                  "Instrumentation scopes; all must match."),
    {0},
};
#undef C

/* Texts of which one must match. */
struct filter {
    const char *const *texts;
    struct gw_pattern **patterns; /* of regexp, else NULL */
    size_t n;
};
struct attr_filter {
    struct gw_slice key;
    bool any;
    struct gw_value value;
    struct gw_pattern *pattern;
};
struct library_filter {
    struct gw_pattern *name_pattern, *version_pattern;
    const char *name, *version; /* version NULL: any */
};
struct gw_match {
    enum gw_signal signal;
    bool regexp;
    const struct gw_match_conf *conf;
    struct filter services, names, kinds, bodies, severity_texts;
    struct attr_filter *attributes, *resources;
    struct library_filter *libraries;
    struct gw_arena arena, scratch;
    uint32_t scope, metric; /* the last ones looked at, and what came out */
    bool scope_ok, metric_ok;
};

enum { CONF_BYTES = 4 << 20 };

/* ---- set-up ----------------------------------------------------------------------------------------------- */

static int make_pattern(bool regexp, const char *text, struct gw_pattern **ret, struct gw_err *err)
{
    return regexp ? gw_pattern_new(text, ret, err) : 0;
}

static int make_filter(struct gw_match *m, const struct gw_list *l, struct filter *f, struct gw_err *err)
{
    f->texts = l->items;
    f->n = l->n;
    if (!m->regexp || l->n == 0)
        return 0;
    f->patterns = calloc(l->n, sizeof(*f->patterns));
    if (!f->patterns)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        int r = gw_pattern_new(f->texts[i], &f->patterns[i], err);

        if (r < 0)
            return r;
    }
    return 0;
}

static int make_attrs(struct gw_match *m, const struct gw_list *l, struct attr_filter **ret, struct gw_err *err)
{
    const struct gw_match_attr_conf *c = l->items;

    if (l->n == 0)
        return 0;
    *ret = calloc(l->n, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        struct attr_filter *f = *ret + i;
        int r;

        if (!*c[i].key)
            return gw_fail(err, -EINVAL, "can't have empty key in the list of attributes");
        f->key = gw_slice_cstr(c[i].key);
        f->any = !c[i].value || c[i].value->type == GW_NODE_NULL;
        if (f->any)
            continue;
        r = gw_value_from_node(c[i].value, &m->arena, &f->value);
        if (r == 0 && m->regexp && f->value.type != GW_V_STRING)
            return gw_fail(err, -EINVAL, "match_type=regexp for \"%s\" only supports Str, but found %s", c[i].key,
                           gw_value_type_name(f->value.type));
        if (r == 0)
            r = make_pattern(m->regexp, c[i].value->text, &f->pattern, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_libraries(struct gw_match *m, const struct gw_list *l, struct gw_err *err)
{
    const struct gw_match_library_conf *c = l->items;
    int r = 0;

    m->libraries = calloc(l->n + 1, sizeof(*m->libraries));
    if (!m->libraries)
        return -ENOMEM;
    for (size_t i = 0; i < l->n && r == 0; i++) {
        struct library_filter *f = &m->libraries[i];

        f->name = c[i].name;
        f->version = c[i].version && c[i].version->type != GW_NODE_NULL ? c[i].version->text : NULL;
        r = make_pattern(m->regexp, f->name, &f->name_pattern, err);
        if (r == 0 && f->version)
            r = make_pattern(m->regexp, f->version, &f->version_pattern, err);
    }
    return r;
}

static int compile(struct gw_match *m, struct gw_err *err)
{
    const struct gw_match_conf *c = m->conf;
    int r;

    if (strcmp(c->match_type, "regexp") != 0 && strcmp(c->match_type, "strict") != 0)
        return gw_fail(err, -EINVAL, "unrecognized match_type: '%s', valid types are: [regexp strict]", c->match_type);
    m->regexp = c->match_type[0] == 'r';
    r = make_filter(m, &c->services, &m->services, err);
    if (r == 0)
        r = make_filter(m, c->span_names.n ? &c->span_names : &c->metric_names, &m->names, err);
    if (r == 0)
        r = make_filter(m, &c->span_kinds, &m->kinds, err);
    if (r == 0)
        r = make_filter(m, &c->log_bodies, &m->bodies, err);
    if (r == 0)
        r = make_filter(m, &c->log_severity_texts, &m->severity_texts, err);
    if (r == 0)
        r = make_attrs(m, &c->attributes, &m->attributes, err);
    if (r == 0)
        r = make_attrs(m, &c->resources, &m->resources, err);
    if (r == 0)
        r = make_libraries(m, &c->libraries, err);
    return r;
}

static const char *const kind_names[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                         "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};

static int check_spans(const struct gw_match_conf *c, struct gw_err *err)
{
    const char *const *kinds = c->span_kinds.items;

    if (c->log_bodies.n || c->log_severity_texts.n || c->has_severity || c->metric_names.n)
        return gw_fail(err, -EINVAL, "%s should not be specified for trace spans",
                       c->log_bodies.n           ? "log_bodies"
                       : c->log_severity_texts.n ? "log_severity_texts"
                       : c->has_severity         ? "log_severity_number"
                                                 : "metric_names");
    if (!c->services.n && !c->span_names.n && !c->attributes.n && !c->libraries.n && !c->resources.n &&
        !c->span_kinds.n)
        return gw_fail(err, -EINVAL,
                       "at least one of \"attributes\", \"libraries\",  or \"resources\" field must be specified");
    for (size_t i = 0; i < c->span_kinds.n && c->match_type[0] == 's'; i++) {
        bool known = false;

        for (unsigned k = 1; k < 6; k++)
            known |= strcmp(kinds[i], kind_names[k]) == 0;
        if (!known)
            return gw_fail(err, -EINVAL,
                           "span_kinds string must match one of the standard span kinds when "
                           "match_type=strict: [SPAN_KIND_CLIENT SPAN_KIND_CONSUMER SPAN_KIND_INTERNAL "
                           "SPAN_KIND_PRODUCER SPAN_KIND_SERVER]");
    }
    return 0;
}

static int check_signal(const struct gw_match_conf *c, enum gw_signal signal, struct gw_err *err)
{
    if (signal == GW_TRACES)
        return check_spans(c, err);
    if (signal == GW_LOGS) {
        if (c->span_names.n || c->services.n || c->span_kinds.n || c->metric_names.n)
            return gw_fail(err, -EINVAL,
                           "services, span_names, span_kinds and metric_names are not valid for log records");
        if (!c->attributes.n && !c->libraries.n && !c->resources.n && !c->log_bodies.n && !c->log_severity_texts.n &&
            !c->has_severity)
            return gw_fail(err, -EINVAL,
                           "at least one of \"attributes\", \"libraries\", \"span_kinds\", \"resources\", "
                           "\"log_bodies\", \"log_severity_texts\" or \"log_severity_number\" field must be specified");
        return 0;
    }
    if (c->log_bodies.n || c->log_severity_texts.n || c->span_names.n || c->services.n || c->span_kinds.n ||
        c->attributes.n || c->libraries.n || c->has_severity)
        return gw_fail(
            err, -EINVAL,
            "\"span_names\", \"span_kinds\", \"log_bodies\", \"log_severity_texts\", "
            "\"log_severity_number\", \"services\", \"attributes\" and \"libraries\" are not valid for metrics");
    if (!c->metric_names.n && !c->resources.n)
        return gw_fail(err, -EINVAL, "at least one of \"metric_names\" or \"resources\" field must be specified");
    return 0;
}

int gw_match_new(const struct gw_match_conf *conf, enum gw_signal signal, struct gw_match **ret, struct gw_err *err)
{
    struct gw_match *m;
    int r = check_signal(conf, signal, err);

    if (r < 0)
        return r;
    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->conf = conf;
    m->signal = signal;
    gw_arena_init(&m->arena, 4096, CONF_BYTES);
    gw_arena_init(&m->scratch, 64 << 10, 16 << 20);
    r = compile(m, err);
    if (r < 0)
        gw_match_free(m);
    else
        *ret = m;
    return r;
}

void gw_match_check(const struct gw_match_conf *conf, const struct gw_node *node, struct gw_diag *diag)
{
    struct gw_match m = {.conf = conf};
    struct gw_match *heap;
    struct gw_err err = {"out of memory"};

    heap = malloc(sizeof(m));
    if (!heap)
        return;
    *heap = m;
    gw_arena_init(&heap->arena, 4096, CONF_BYTES);
    gw_arena_init(&heap->scratch, 4096, CONF_BYTES);
    if (compile(heap, &err) < 0)
        gw_diag_add(diag, GW_DIAG_ERROR, node ? &node->place : NULL, "%s", err.text);
    gw_match_free(heap);
}

static void free_filter(struct filter *f)
{
    for (size_t i = 0; f->patterns && i < f->n; i++)
        gw_pattern_free(f->patterns[i]);
    free(f->patterns);
}

static void free_attrs(struct attr_filter *f, size_t n)
{
    for (size_t i = 0; f && i < n; i++)
        gw_pattern_free(f[i].pattern);
    free(f);
}

void gw_match_free(struct gw_match *m)
{
    if (!m)
        return;
    free_filter(&m->services);
    free_filter(&m->names);
    free_filter(&m->kinds);
    free_filter(&m->bodies);
    free_filter(&m->severity_texts);
    free_attrs(m->attributes, m->conf->attributes.n);
    free_attrs(m->resources, m->conf->resources.n);
    for (size_t i = 0; m->libraries && i < m->conf->libraries.n; i++) {
        gw_pattern_free(m->libraries[i].name_pattern);
        gw_pattern_free(m->libraries[i].version_pattern);
    }
    free(m->libraries);
    gw_arena_clear(&m->arena);
    gw_arena_clear(&m->scratch);
    free(m);
}

/* ---- matching --------------------------------------------------------------------------------------------- */

static bool text_matches(struct gw_pattern *p, const char *text, struct gw_slice s)
{
    return p ? gw_pattern_matches(p, s) : gw_slice_is(s, text);
}

/* No list: matches. */
static bool one_matches(const struct filter *f, struct gw_slice s)
{
    if (f->n == 0)
        return true;
    for (size_t i = 0; i < f->n; i++)
        if (text_matches(f->patterns ? f->patterns[i] : NULL, f->texts[i], s))
            return true;
    return false;
}

static bool attrs_match(struct gw_match *m, const struct attr_filter *f, size_t n, const struct gw_view *v,
                        enum gw_owner o, uint32_t index)
{
    for (size_t i = 0; i < n; i++) {
        struct gw_value value;
        struct gw_slice text;

        if (!gw_view_attr_get(v, o, index, f[i].key, &value))
            return false;
        if (f[i].any)
            continue;
        if (f[i].pattern ? !gw_value_match_text(&value, &m->scratch, &text) || !gw_pattern_matches(f[i].pattern, text)
                         : !gw_value_eq(&f[i].value, &value, &m->scratch))
            return false;
    }
    return true;
}

static bool libraries_match(const struct gw_match *m, const struct gw_batch *b, const struct gw_scope *s)
{
    for (size_t i = 0; i < m->conf->libraries.n; i++) {
        const struct library_filter *f = &m->libraries[i];

        if (!text_matches(f->name_pattern, f->name, gw_batch_slice(b, s->name)) ||
            (f->version && !text_matches(f->version_pattern, f->version, gw_batch_slice(b, s->version))))
            return false;
    }
    return true;
}

/* What is the same for all rows of a scope. */
static bool scope_matches(struct gw_match *m, const struct gw_view *v, uint32_t scope)
{
    const struct gw_scope *s = &v->batch->scopes[scope];
    struct gw_value service;
    struct gw_slice name = GW_SLICE("<nil-service-name>");

    if (m->services.n) {
        if (gw_view_attr_get(v, GW_OWN_RESOURCE, s->resource, GW_SLICE("service.name"), &service) &&
            !gw_value_text(&service, &m->scratch, &name))
            return false;
        if (!one_matches(&m->services, name))
            return false;
    }
    return libraries_match(m, v->batch, s) &&
           attrs_match(m, m->resources, m->conf->resources.n, v, GW_OWN_RESOURCE, s->resource);
}

static bool log_matches(struct gw_match *m, const struct gw_batch *b, uint32_t row)
{
    const struct gw_match_severity_conf *c = &m->conf->severity;
    struct gw_slice text;

    if (m->bodies.n) {
        struct gw_value body = gw_value_of(b, b->body_type[row], b->body[row]);

        if (!gw_value_text(&body, &m->scratch, &text) || !one_matches(&m->bodies, text))
            return false;
    }
    if (!one_matches(&m->severity_texts, gw_batch_slice(b, b->severity_text[row])))
        return false;
    if (!m->conf->has_severity)
        return true;
    return b->severity[row] == 0 ? c->match_undefined : b->severity[row] >= c->min;
}

static bool row_matches(struct gw_match *m, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;

    if (m->signal == GW_TRACES) {
        const char *kind = b->kind[row] < 6 ? kind_names[b->kind[row]] : "";

        return one_matches(&m->names, gw_batch_slice(b, b->name[row])) && one_matches(&m->kinds, gw_slice_cstr(kind));
    }
    if (m->signal == GW_LOGS)
        return log_matches(m, b, row);
    if (b->metric[row] != m->metric) {
        m->metric = b->metric[row];
        m->metric_ok = one_matches(&m->names, gw_batch_slice(b, b->metrics[m->metric].name));
    }
    return m->metric_ok;
}

static uint64_t filter_given_up(const struct filter *f)
{
    uint64_t n = 0;

    for (size_t i = 0; f->patterns && i < f->n; i++)
        n += gw_pattern_n_given_up(f->patterns[i]);
    return n;
}

static uint64_t attrs_given_up(const struct attr_filter *f, size_t n_filters)
{
    uint64_t n = 0;

    for (size_t i = 0; i < n_filters; i++)
        n += f[i].pattern ? gw_pattern_n_given_up(f[i].pattern) : 0;
    return n;
}

uint64_t gw_match_n_given_up(const struct gw_match *m)
{
    return filter_given_up(&m->services) + filter_given_up(&m->names) + filter_given_up(&m->kinds) +
           filter_given_up(&m->bodies) + filter_given_up(&m->severity_texts) +
           attrs_given_up(m->attributes, m->conf->attributes.n) + attrs_given_up(m->resources, m->conf->resources.n);
}

void gw_match_begin(struct gw_match *m)
{
    m->scope = m->metric = UINT32_MAX;
}

bool gw_match_row(struct gw_match *m, const struct gw_view *v, uint32_t row)
{
    bool ok;

    if (v->batch->scope[row] != m->scope) {
        m->scope = v->batch->scope[row];
        m->scope_ok = scope_matches(m, v, m->scope);
    }
    ok = m->scope_ok && row_matches(m, v, row) &&
         attrs_match(m, m->attributes, m->conf->attributes.n, v, GW_OWN_ROW, row);
    gw_arena_reset(&m->scratch, 64 << 10);
    return ok;
}
