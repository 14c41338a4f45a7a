/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "connectors/count/count.h"
#include "values/value.h"

enum { MAX_METRICS = 1000 }; /* of a section */

const struct gw_count_section gw_count_sections[N_SECTIONS] = {
    {"spans", "trace.span.count", "The number of spans observed.", GW_TRACES, GW_OTTL_SPAN},
    {"spanevents", "trace.span.event.count", "The number of span events observed.", GW_TRACES, GW_OTTL_SPANEVENT},
    {"metrics", "metric.count", "The number of metrics observed.", GW_METRICS, GW_OTTL_METRIC},
    {"datapoints", "metric.datapoint.count", "The number of data points observed.", GW_METRICS, GW_OTTL_DATAPOINT},
    {"logs", "log.record.count", "The number of log records observed.", GW_LOGS, GW_OTTL_LOG},
};

#define SECTION_HELP                                                                                                   \
    "A map of metric names to blocks of `description`, `conditions` (any of them) and `attributes` (each with `key` "  \
    "and "                                                                                                             \
    "perhaps `default_value`). Without any: "
const struct gw_field gw_count_fields[] = {
    GW_ANY_FIELD(struct conf, sections[SPANS], "spans", SECTION_HELP "trace.span.count."),
    GW_ANY_FIELD(struct conf, sections[SPANEVENTS], "spanevents", SECTION_HELP "trace.span.event.count."),
    GW_ANY_FIELD(struct conf, sections[METRICS], "metrics", SECTION_HELP "metric.count. These have no `attributes`."),
    GW_ANY_FIELD(struct conf, sections[DATAPOINTS], "datapoints", SECTION_HELP "metric.datapoint.count."),
    GW_ANY_FIELD(struct conf, sections[LOGS], "logs", SECTION_HELP "log.record.count."),
    {GW_FIELD_(struct conf, profiles, "profiles", GW_F_ANY, NULL, 0, 0, "Profiles."), .flags = GW_FF_PLANNED},
    {0},
};

struct attribute_conf {
    const char *key;
    const struct gw_node *default_value;
};
struct metric_conf {
    const char *description;
    struct gw_list conditions, attributes;
};
static const struct gw_field attribute_fields[] = {
    GW_STRING_FIELD(struct attribute_conf, key, "key", "", "Attribute of the item, else of its scope, else resource."),
    GW_ANY_FIELD(struct attribute_conf, default_value, "default_value", "Value where there is none."),
    {0},
};
static const struct gw_field metric_fields[] = {
    GW_STRING_FIELD(struct metric_conf, description, "description", "", "What it is."),
    GW_STRINGS_FIELD(struct metric_conf, conditions, "conditions", "OTTL conditions, one of which must hold."),
    GW_LIST_FIELD(struct metric_conf, attributes, "attributes", struct attribute_conf, attribute_fields,
                  "A count for each set of their values."),
    {0},
};

struct build {
    struct gw_arena *arena;
    struct gw_env *env; /* NULL: only to be checked */
};

static void wrong(struct gw_diag *diag, const struct gw_place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void wrong(struct gw_diag *diag, const struct gw_place *at, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(diag, GW_DIAG_ERROR, at, "%s", text);
}

static const struct gw_place *place_of(const struct gw_node *metric, const char *list, size_t i)
{
    const struct gw_node *l = gw_node_get(metric, list), *at = l && l->type == GW_NODE_LIST ? l->first : l;

    while (at && at->next && i-- > 0)
        at = at->next;
    return at ? &at->place : &metric->place;
}

static int add_conditions(struct build *s, struct metric *m, enum section section, const struct gw_list *l,
                          const struct gw_node *node, struct gw_diag *diag)
{
    m->conditions = gw_arena_zalloc(s->arena, (l->n + 1) * sizeof(struct gw_ottl *));
    if (!m->conditions)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        struct gw_ottl_fault fault;
        struct gw_slice text = gw_slice_cstr(((const char *const *)l->items)[i]);
        int rc = gw_ottl_condition_new(text, gw_count_sections[section].context, s->env, &m->conditions[i], &fault);

        if (rc == -ENOMEM)
            return rc;
        if (rc < 0)
            wrong(diag, place_of(node, "conditions", i), "%s: metric \"%.60s\": %u:%u of the condition: %s",
                  gw_count_sections[section].key, node->key, fault.line, fault.column, fault.text);
        m->n_conditions += rc == 0;
    }
    return 0;
}

static bool stands_before(const struct metric *m, struct gw_slice key)
{
    for (unsigned i = 0; i < m->n_attributes; i++)
        if (gw_slice_eq(m->attributes[i].key, key))
            return true;
    return false;
}

static int add_attributes(struct build *s, struct metric *m, enum section section, const struct gw_list *l,
                          const struct gw_node *node, struct gw_diag *diag)
{
    const struct attribute_conf *c = l->items;
    struct gw_value value;

    m->attributes = gw_arena_zalloc(s->arena, (l->n + 1) * sizeof(*m->attributes));
    if (!m->attributes)
        return -ENOMEM;
    if (l->n && section == METRICS)
        wrong(diag, place_of(node, "attributes", 0), "metrics: metric \"%.60s\" cannot have attributes", node->key);
    for (size_t i = 0; i < l->n; i++) {
        struct attribute *a = &m->attributes[m->n_attributes];

        if (!*c[i].key || stands_before(m, gw_slice_cstr(c[i].key)))
            wrong(diag, place_of(node, "attributes", i), "%s: metric \"%.60s\": %s", gw_count_sections[section].key,
                  node->key, *c[i].key ? "an attribute stands twice" : "an attribute has no key");
        a->key = gw_slice_cstr(c[i].key);
        gw_buf_init(&a->fallback, GW_COUNT_KEY_BYTES);
        m->n_attributes++;
        if (!c[i].default_value || c[i].default_value->type == GW_NODE_NULL)
            continue;
        if (gw_value_from_node(c[i].default_value, s->arena, &value) < 0)
            return -ENOMEM;
        gw_mw_attr_put(&a->fallback, a->key, &value);
    }
    return 0;
}

static int add_metric(struct build *s, struct counter *c, const struct gw_node *node, struct gw_diag *diag)
{
    struct metric *m = &c->metrics[c->n++];
    struct metric_conf conf;
    int rc;

    m->name = gw_slice_cstr(node->key);
    if (m->name.n == 0)
        wrong(diag, &node->key_place, "%s: a metric has no name", gw_count_sections[c->section].key);
    if (gw_schema_fill(metric_fields, sizeof(conf), node, &conf, s->arena, diag) < 0)
        return 0;
    m->description = gw_slice_cstr(conf.description);
    rc = add_conditions(s, m, c->section, &conf.conditions, node, diag);
    return rc < 0 ? rc : add_attributes(s, m, c->section, &conf.attributes, node, diag);
}

int gw_count_counter_init(struct counter *c, enum section section, const struct gw_node *node, struct gw_arena *arena,
                          struct gw_env *env, struct gw_diag *diag)
{
    struct build b = {arena, env};
    size_t n = node && node->type == GW_NODE_MAP ? node->n_children : 0;
    int rc = 0;

    *c = (struct counter){.section = section};
    if (node && node->type != GW_NODE_MAP && node->type != GW_NODE_NULL)
        wrong(diag, &node->place, "%s: must be a map of metrics", gw_count_sections[section].key);
    if (n > MAX_METRICS) {
        wrong(diag, &node->place, "%s: more than %d metrics", gw_count_sections[section].key, MAX_METRICS);
        n = 0;
    }
    c->metrics = gw_arena_zalloc(arena, (n + 1) * sizeof(*c->metrics));
    if (!c->metrics)
        return -ENOMEM;
    for (const struct gw_node *m = n ? node->first : NULL; m && rc == 0; m = m->next)
        rc = add_metric(&b, c, m, diag);
    if (n == 0)
        c->metrics[c->n++] = (struct metric){.name = gw_slice_cstr(gw_count_sections[section].name),
                                             .description = gw_slice_cstr(gw_count_sections[section].description)};
    for (unsigned i = 0; i < c->n; i++) {
        gw_series_group_init(&c->metrics[i].group);
        c->metrics[i].last = &c->metrics[i].counted;
    }
    return rc;
}

void gw_count_counter_clear(struct counter *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct metric *m = &c->metrics[i];

        for (unsigned n = 0; n < m->n_conditions; n++)
            gw_ottl_free(m->conditions[n]);
        for (unsigned n = 0; n < m->n_attributes; n++)
            gw_buf_clear(&m->attributes[n].fallback);
    }
}

void gw_count_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    (void)node;
    for (enum section i = SPANS; i < N_SECTIONS; i++) {
        struct counter counter;
        struct gw_arena arena;

        gw_arena_init(&arena, 4096, GW_COUNT_CONF_BYTES);
        if (gw_count_counter_init(&counter, i, c->sections[i], &arena, NULL, diag) < 0)
            wrong(diag, c->sections[i] ? &c->sections[i]->place : NULL, "out of memory");
        gw_count_counter_clear(&counter);
        gw_arena_clear(&arena);
    }
}
