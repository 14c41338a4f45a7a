/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate: what telemetry must be like, and what happens when it is not.
 *
 *     processors:
 *       validate:
 *         rules: { trace_id: reject, attribute_length: repair, metric_name: report }
 *         max_age: 24h
 *         required_resource_attributes: [service.name]
 *         ports: { dead_letter: [file/rejects] }
 *
 * Each rule rejects the row (partial success for the client, a dead letter when that port is wired), repairs it, or
 * only reports: all are counted in staunch_processor_validate_violations by rule and action. UTF-8, wire types and
 * lengths are no rules: the decoder refuses such requests as a whole.
 */
#include "processors/validate/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const gw_rule_names[GW_N_RULES] = {
    "trace_id",          "span_id",         "parent_id",        "child_id",      "time_range",
    "time_order",        "attribute_count", "attribute_length", "attribute_key", "text",
    "required_resource", "histogram",       "temporality",      "metric_name",   "metric_unit",
};
static const char *const actions[] = {"off", "report", "repair", "reject", NULL};

/* Rules that cannot be mended, and why. */
static const char *const no_repair[GW_N_RULES] = {
    [GW_RULE_TRACE_ID] = "an invented trace id would join strangers",
    [GW_RULE_SPAN_ID] = "an invented span id would orphan the span's children",
    [GW_RULE_CHILD_ID] = "links and exemplars with a wrong id cannot be mended one by one",
    [GW_RULE_REQUIRED_RESOURCE] = "the value is not known; insert it with the resource processor",
    [GW_RULE_HISTOGRAM] = "which of the numbers is wrong is not known",
    [GW_RULE_TEMPORALITY] = "whether points are deltas is not known",
};

struct rules {
    int rules[GW_N_RULES];
};
#define RULE(index, nm, df, hp)                                                                                        \
    {                                                                                                                  \
        .name = nm, .type = GW_F_ENUM, .offset = (index) * sizeof(int), .def = df, .help = hp, .choices = actions      \
    }
static const struct gw_field rule_fields[] = {
    RULE(GW_RULE_TRACE_ID, "trace_id", "reject",
         "16 bytes, not all zeros; log records may have none. reject, report or off."),
    RULE(GW_RULE_SPAN_ID, "span_id", "reject", "8 bytes, not all zeros; log records may have none."),
    RULE(GW_RULE_PARENT_ID, "parent_id", "repair", "8 bytes or none. Repair: removed."),
    RULE(GW_RULE_CHILD_ID, "child_id", "report", "Ids of links and exemplars have the right length."),
    RULE(GW_RULE_TIME_RANGE, "time_range", "reject",
         "There is a time, not older than max_age, not beyond max_future. Repair: clamped."),
    RULE(GW_RULE_TIME_ORDER, "time_order", "report",
         "A span does not end before it starts, nor does a point. Repair: the two times become one."),
    RULE(GW_RULE_ATTRIBUTE_COUNT, "attribute_count", "reject",
         "At most max_attributes a row, scope or resource. Repair: the last ones are dropped and counted."),
    RULE(GW_RULE_ATTRIBUTE_LENGTH, "attribute_length", "repair",
         "Keys and texts are not longer than allowed. Repair: texts are cut between characters, long keys dropped."),
    RULE(GW_RULE_ATTRIBUTE_KEY, "attribute_key", "repair",
         "Keys are not empty and stand once. Repair: the first one stays."),
    RULE(GW_RULE_TEXT, "text", "off",
         "No control characters but tab and line ends in texts, names and bodies. Repair: U+FFFD."),
    RULE(GW_RULE_REQUIRED_RESOURCE, "required_resource", "reject", "required_resource_attributes are there."),
    RULE(GW_RULE_HISTOGRAM, "histogram", "reject",
         "Counts fit bounds and add up to the count, bounds ascend, quantiles lie between 0 and 1."),
    RULE(GW_RULE_TEMPORALITY, "temporality", "report", "Sums and histograms say delta or cumulative."),
    RULE(GW_RULE_METRIC_NAME, "metric_name", "report",
         "A letter, then letters, digits, _ . - /; at most max_metric_name_bytes. Repair: other characters become _."),
    RULE(GW_RULE_METRIC_UNIT, "metric_unit", "report",
         "Printable ASCII, at most max_metric_unit_bytes. Repair: the unit is removed."),
    {0},
};
_Static_assert(sizeof(struct rules) == sizeof(((struct gw_validate_conf *)0)->rules), "the block is the array");

#define C struct gw_validate_conf
const struct gw_field gw_validate_fields[] = {
    GW_BLOCK_FIELD(C, rules, "rules", rule_fields, "What each rule does: off, report, repair or reject."),
    GW_DURATION_FIELD(C, max_age_ns, "max_age", "0s", 0, 1e19, "Oldest time, counted from arrival; 0 = any."),
    GW_DURATION_FIELD(C, max_future_ns, "max_future", "0s", 0, 1e19, "Farthest time in the future; 0 = any."),
    GW_U64_FIELD(C, max_attributes, "max_attributes", "128", 1, 1e6, "Attributes of a row, a scope or a resource."),
    GW_U64_FIELD(C, max_key_bytes, "max_attribute_key_bytes", "256", 1, 65535, "Length of a key."),
    GW_U64_FIELD(C, max_value_bytes, "max_attribute_value_bytes", "65536", 1, 1e9, "Length of a text or of bytes."),
    GW_U64_FIELD(C, max_buckets, "max_buckets", "2048", 1, 1e6, "Buckets of a histogram."),
    GW_U64_FIELD(C, max_name_bytes, "max_metric_name_bytes", "255", 1, 65535, "Length of a metric's name."),
    GW_U64_FIELD(C, max_unit_bytes, "max_metric_unit_bytes", "63", 1, 65535, "Length of a metric's unit."),
    GW_STRINGS_FIELD(C, required, "required_resource_attributes", "Keys that every resource must have."),
    {0},
};
#undef C

struct self {
    struct gw_ctx ctx;
    const struct gw_validate_conf *conf;
    struct gw_metric *counts[GW_N_RULES][GW_RULE_REJECT + 1];
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_validate_conf *c = conf;
    const struct gw_node *rules = gw_node_get(node, "rules");

    for (unsigned i = 0; i < GW_N_RULES; i++) {
        const struct gw_node *at = gw_node_get(rules, gw_rule_names[i]);

        if (c->rules[i] == GW_RULE_REPAIR && no_repair[i])
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "rule %s cannot repair: %s. Use reject or report",
                        gw_rule_names[i], no_repair[i]);
    }
}

/* ---- what the checks use ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static const char *text_of(struct gw_validation *t, const char *fmt, va_list ap)
{
    char text[256];
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    struct gw_slice s = {(const uint8_t *)text, n < 0 ? 1 : n < (int)sizeof(text) ? (size_t)n + 1 : sizeof(text)};

    s = gw_arena_dup(t->v->arena, s);
    return s.p ? (const char *)s.p : "";
}

const char *gw_validate_text(struct gw_validation *t, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = text_of(t, fmt, ap);
    va_end(ap);
    return text;
}

bool gw_broken(struct gw_validation *t, struct gw_issue *issue, enum gw_rule rule, const char *field,
               struct gw_slice value, const char *fmt, ...)
{
    enum gw_rule_action action = (enum gw_rule_action)t->conf->rules[rule];

    if (action != GW_RULE_REJECT) {
        t->seen[rule][action]++;
        return action == GW_RULE_REPAIR;
    }
    if (!issue->is_bad) {
        va_list ap;

        va_start(ap, fmt);
        *issue = (struct gw_issue){true, rule, field, text_of(t, fmt, ap), value};
        va_end(ap);
    }
    return false;
}

/* ---- the processor ---------------------------------------------------------------------------------------- */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    (void)err;
    if (!s)
        return -ENOMEM;
    s->ctx = *ctx;
    s->conf = conf;
    *ret_self = s;
    return 0;
}

static void count(struct self *s, struct gw_validation *t)
{
    for (unsigned i = 0; i < GW_N_RULES; i++)
        for (unsigned k = GW_RULE_REPORT; k <= GW_RULE_REJECT; k++) {
            struct gw_label labels[] = {{"processor", s->ctx.id}, {"rule", gw_rule_names[i]}, {"action", actions[k]}};

            if (t->seen[i][k] == 0)
                continue;
            if (!s->counts[i][k])
                s->counts[i][k] = gw_meter_get(s->ctx.meter, GW_COUNTER, "staunch_processor_validate_violations",
                                               "Broken rules by what was done.", labels, 3);
            gw_metric_add(s->counts[i][k], t->seen[i][k]);
        }
}

/* Findings about things that many rows share, by index; in the arena. */
struct shared {
    struct gw_issue *resources, *scopes, *metrics;
};

static bool check_shared(struct gw_validation *t, struct shared *sh)
{
    const struct gw_batch *b = t->v->batch;

    sh->resources = gw_arena_zalloc(t->v->arena, (b->n_resources + 1) * sizeof(*sh->resources));
    sh->scopes = gw_arena_zalloc(t->v->arena, (b->n_scopes + 1) * sizeof(*sh->scopes));
    sh->metrics = gw_arena_zalloc(t->v->arena, (b->n_metrics + 1) * sizeof(*sh->metrics));
    if (!sh->resources || !sh->scopes || !sh->metrics)
        return false;
    for (uint32_t i = 0; i < b->n_resources; i++) {
        gw_validate_required(t, i, &sh->resources[i]);
        gw_validate_attributes(t, GW_OWN_RESOURCE, i, &sh->resources[i]);
    }
    for (uint32_t i = 0; i < b->n_scopes; i++)
        gw_validate_attributes(t, GW_OWN_SCOPE, i, &sh->scopes[i]);
    for (uint32_t i = 0; i < b->n_metrics; i++)
        gw_validate_metric(t, i, &sh->metrics[i]);
    return true;
}

static const struct gw_issue *shared_issue(const struct shared *sh, const struct gw_batch *b, uint32_t row)
{
    uint32_t scope = b->scope[row];

    if (sh->resources[b->scopes[scope].resource].is_bad)
        return &sh->resources[b->scopes[scope].resource];
    if (sh->scopes[scope].is_bad)
        return &sh->scopes[scope];
    if (b->signal == GW_METRICS && sh->metrics[b->metric[row]].is_bad)
        return &sh->metrics[b->metric[row]];
    return NULL;
}

static void check_row(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    enum gw_signal signal = t->v->batch->signal;

    if (signal == GW_TRACES)
        gw_validate_span(t, row, issue);
    else if (signal == GW_LOGS)
        gw_validate_record(t, row, issue);
    else
        gw_validate_point(t, row, issue);
    if (!issue->is_bad)
        gw_validate_attributes(t, GW_OWN_ROW, row, issue);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_validation t = {.conf = s->conf, .v = v, .now_ns = v->batch->received_ns};
    struct shared sh;
    uint32_t n = v->batch->n_rows;

    if (!check_shared(&t, &sh)) {
        v->failed = true;
        gw_emit(out, 0, v);
        return;
    }
    for (uint32_t row = gw_view_next(v, 0); row < n; row = gw_view_next(v, row + 1)) {
        const struct gw_issue *issue = shared_issue(&sh, v->batch, row);
        struct gw_issue own = {0};

        if (!issue) {
            check_row(&t, row, &own);
            issue = &own;
        }
        if (issue->is_bad) {
            struct gw_reject why = {gw_rule_names[issue->rule], issue->field, issue->value, issue->message};

            t.seen[issue->rule][GW_RULE_REJECT]++;
            gw_reject_row(out, v, row, &why);
        }
    }
    count(s, &t);
    gw_emit(out, 0, v);
}

static const char *const ports[] = {"dead_letter", NULL};

const struct gw_component gw_processor_validate = {
    .kind = GW_PROCESSOR,
    .name = "validate",
    .summary = "Reject, repair or report telemetry that breaks rules; rejects leave by the dead_letter port.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN | GW_C_BODY,
    .writes = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .ports = ports,
    .expands = 4,
    .fields = gw_validate_fields,
    .conf_size = sizeof(struct gw_validate_conf),
    .check = check,
    .create = create,
    .destroy = free,
    .consume = consume,
};
