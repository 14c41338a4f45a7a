/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy `anomalous`: a trace is kept when one of its spans has the key of an alarm (pipeline/alarms.h), and when
 * the two overlap in time. Keys are noted when spans come; alarms are looked at when the trace is decided, because a
 * window's anomaly is known when the window is over.
 */
#include <stdlib.h>

#include "pipeline/alarms.h"
#include "processors/tail_sampling/keys.h"
#include "processors/tail_sampling/rules.h"

bool gw_alarms_watch(struct gw_policies *p, struct gw_asked_alarms *a, uint32_t max_keys)
{
    const struct gw_watch_conf conf = {.detector = a->detector,
                                       .attributes = a->attributes,
                                       .n_attributes = a->n_attributes,
                                       .hold_ns = a->hold_ns,
                                       .max_alarms = max_keys};
    struct gw_watch *before = a->watch;

    a->key = gw_alarm_key(a->attributes, a->n_attributes);
    if (!p->conf.alarms)
        return true;
    a->watch = gw_watch_new(p->conf.alarms, &conf); /* again: it has room for as many as the largest */
    gw_watch_unref(before);
    return a->watch != NULL;
}

void gw_alarms_unwatch(struct gw_asked_alarms *list)
{
    for (struct gw_asked_alarms *a = list; a; a = a->next) {
        gw_watch_unref(a->watch);
        free(a->list);
    }
}

/* ---- keys of spans ---------------------------------------------------------------------------------------- */

static const char *const kinds[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                    "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};

/* What is no attribute, under the names that span_metrics gives it. */
static bool field_of(const struct gw_batch *b, uint32_t row, struct gw_slice name, struct gw_slice *ret)
{
    if (gw_slice_is(name, "span.name"))
        *ret = gw_batch_slice(b, b->name[row]);
    else if (gw_slice_is(name, "span.kind") && b->kind[row] < sizeof(kinds) / sizeof(kinds[0]))
        *ret = gw_slice_cstr(kinds[b->kind[row]]);
    else
        return false;
    return ret->n > 0;
}

static bool value_of(const struct gw_view *v, uint32_t resource, uint32_t row, struct gw_slice name,
                     char scratch[GW_ALARM_TEXT], struct gw_slice *ret)
{
    struct gw_value value;

    if (gw_view_attr_get(v, GW_OWN_RESOURCE, resource, name, &value) ||
        (row != UINT32_MAX && gw_view_attr_get(v, GW_OWN_ROW, row, name, &value)))
        return gw_alarm_text(&value, scratch, ret);
    return row != UINT32_MAX && field_of(v->batch, row, name, ret);
}

/* row UINT32_MAX: of the resource alone. False: it has not all attributes. */
static bool tag_of(const struct gw_asked_alarms *a, const struct gw_view *v, uint32_t resource, uint32_t row,
                   uint32_t *ret)
{
    char scratch[GW_ALARM_TEXT];
    uint64_t key = a->key;
    struct gw_slice value;

    for (size_t i = 0; i < a->n_attributes; i++) {
        if (!value_of(v, resource, row, gw_slice_cstr(a->attributes[i]), scratch, &value))
            return false;
        key = gw_alarm_key_add(key, value);
    }
    *ret = gw_key_tag(key);
    return true;
}

/* Rows of one resource stand together, and mostly it says all. */
static void ask_rows(const struct gw_asked_alarms *a, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    uint32_t asked = UINT32_MAX, tag = 0;
    bool by_resource = false;

    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = gw_view_next(v, row + 1)) {
        uint32_t resource = gw_batch_resource_of(v->batch, row);

        if (resource != asked)
            by_resource = tag_of(a, v, resource, UINT32_MAX, &tag);
        asked = resource;
        if (by_resource || tag_of(a, v, resource, row, &tag))
            gw_keys_put(ret[row], tag);
    }
}

void gw_alarms_ask(const struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    for (const struct gw_asked_alarms *a = p->alarms; a; a = a->next)
        ask_rows(a, v, ret);
}

/* ---- alarms ----------------------------------------------------------------------------------------------- */

static int by_tag(const void *a, const void *b)
{
    uint32_t x = gw_key_tag(((const struct gw_alarm *)a)->key), y = gw_key_tag(((const struct gw_alarm *)b)->key);

    return x < y ? -1 : x > y;
}

/* Without memory the copy is as old as it is, until the next time. */
static void renew(struct gw_asked_alarms *a)
{
    struct gw_alarm *list;

    if (!a->watch || gw_watch_version(a->watch) == a->version || !gw_watch_copy(a->watch, &list, &a->n, &a->version))
        return;
    free(a->list);
    a->list = list;
    qsort(list, a->n, sizeof(*list), by_tag);
}

void gw_alarms_renew(struct gw_policies *p)
{
    for (struct gw_asked_alarms *a = p->alarms; a; a = a->next)
        renew(a);
}

struct span_of_time {
    uint64_t begin_ns, end_ns;
};

/* A trace without times is of now. */
static struct span_of_time time_of(const struct gw_trace_facts *f, uint64_t now_ns)
{
    struct span_of_time t = {f->min_start_ns, f->max_end_ns};

    if (t.begin_ns == 0)
        t.begin_ns = t.end_ns ? t.end_ns : now_ns;
    if (t.end_ns < t.begin_ns)
        t.end_ns = t.begin_ns;
    return t;
}

static bool is_of(const struct gw_rule *r, const struct gw_alarm *alarm, struct span_of_time t)
{
    return alarm->from_ns <= t.end_ns &&
           (t.begin_ns <= alarm->to_ns || t.begin_ns - alarm->to_ns <= r->anomalous.alarms->hold_ns) &&
           alarm->score >= r->anomalous.min_score;
}

/* The first alarm whose tag is not smaller. */
static size_t find(const struct gw_asked_alarms *a, uint32_t tag)
{
    size_t low = 0, high = a->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (gw_key_tag(a->list[mid].key) < tag)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool gw_alarms_hold(const struct gw_rule *r, const struct gw_trace_facts *f, uint64_t now_ns)
{
    const struct gw_asked_alarms *a = r->anomalous.alarms;
    struct span_of_time t = time_of(f, now_ns);
    uint32_t tags[GW_KEYS_EXACT];
    unsigned n = gw_keys_list(f->bits, tags);

    for (size_t i = 0; n > GW_KEYS_EXACT && i < a->n; i++)
        if (is_of(r, &a->list[i], t) && gw_keys_have(f->bits, gw_key_tag(a->list[i].key)))
            return true;
    for (unsigned k = 0; n <= GW_KEYS_EXACT && k < n; k++)
        for (size_t i = find(a, tags[k]); i < a->n && gw_key_tag(a->list[i].key) == tags[k]; i++)
            if (is_of(r, &a->list[i], t))
                return true;
    return false;
}
