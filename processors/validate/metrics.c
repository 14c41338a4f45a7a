/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about metrics and their points. */
#include <inttypes.h>
#include <math.h>

#include "processors/validate/validate.h"

static const struct gw_slice nothing;

/* ---- metrics ---------------------------------------------------------------------------------------------- */

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_name_char(uint8_t c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c == '/';
}

/* Instrument name syntax of the metrics API specification. */
static const char *name_fault(const struct gw_validation *t, struct gw_slice name)
{
    if (name.n == 0)
        return "is empty";
    if (name.n > t->conf->max_name_bytes)
        return "is too long";
    if (!is_letter(name.p[0]))
        return "does not begin with a letter";
    for (size_t i = 0; i < name.n; i++)
        if (!is_name_char(name.p[i]))
            return "has characters other than letters, digits, _ . - /";
    return NULL;
}

static void check_name(struct gw_validation *t, uint32_t metric, struct gw_issue *issue)
{
    struct gw_slice name = gw_batch_slice(t->v->batch, t->v->batch->metrics[metric].name), cut;
    const char *fault = name_fault(t, name);
    uint8_t *p;

    if (!fault || !gw_broken(t, issue, GW_RULE_METRIC_NAME, "name", name, "the metric's name %s", fault))
        return;
    cut = gw_utf8_cut(name, t->conf->max_name_bytes > 1 ? t->conf->max_name_bytes - 1 : 1);
    p = gw_arena_alloc(t->v->arena, cut.n + 1);
    if (!p) {
        t->v->failed = true;
        return;
    }
    p[0] = 'm'; /* in front of what does not begin with a letter */
    for (size_t i = 0; i < cut.n; i++)
        p[i + 1] = is_name_char(cut.p[i]) ? cut.p[i] : '_';
    gw_repair_text(t, GW_OWN_METRIC, metric, 1,
                   cut.n && is_letter(p[1]) ? gw_slice_of(p + 1, cut.n) : gw_slice_of(p, cut.n + 1));
}

static void check_unit(struct gw_validation *t, uint32_t metric, struct gw_issue *issue)
{
    struct gw_slice unit = gw_batch_slice(t->v->batch, t->v->batch->metrics[metric].unit);
    bool ok = unit.n <= t->conf->max_unit_bytes;

    for (size_t i = 0; i < unit.n; i++)
        ok &= unit.p[i] > 0x20 && unit.p[i] < 0x7f;
    if (!ok && gw_broken(t, issue, GW_RULE_METRIC_UNIT, "unit", unit,
                         "the metric's unit is not printable ASCII of at most %llu characters",
                         (unsigned long long)t->conf->max_unit_bytes))
        gw_view_field_set(t->v, GW_OWN_METRIC, metric, 3, nothing);
}

void gw_validate_metric(struct gw_validation *t, uint32_t metric, struct gw_issue *issue)
{
    const struct gw_metric_desc *m = &t->v->batch->metrics[metric];
    bool accumulates = m->type == GW_M_SUM || m->type == GW_M_HISTOGRAM || m->type == GW_M_EXP_HISTOGRAM;

    if (gw_rule_is_on(t, GW_RULE_METRIC_NAME))
        check_name(t, metric, issue);
    if (gw_rule_is_on(t, GW_RULE_METRIC_UNIT))
        check_unit(t, metric, issue);
    if (gw_rule_is_on(t, GW_RULE_TEMPORALITY) && accumulates && m->temporality != GW_T_DELTA &&
        m->temporality != GW_T_CUMULATIVE)
        (void)gw_broken(t, issue, GW_RULE_TEMPORALITY, "aggregation_temporality", nothing,
                        "the metric is neither delta nor cumulative");
}

/* ---- histograms ------------------------------------------------------------------------------------------- */

static double double_at(const struct gw_batch *b, struct gw_ref r, uint32_t i)
{
    double v;

    memcpy(&v, b->base + r.off + 8 * i, sizeof(v));
    return v;
}

static uint64_t u64_at(const struct gw_batch *b, struct gw_ref r, uint32_t i)
{
    uint64_t v;

    memcpy(&v, b->base + r.off + 8 * i, sizeof(v));
    return v;
}

/* NULL: consistent. metrics.proto, HistogramDataPoint. */
static const char *histogram_fault(const struct gw_validation *t, const struct gw_hist *h)
{
    const struct gw_batch *b = t->v->batch;
    uint32_t n_counts = h->counts.len / 8, n_bounds = h->bounds.len / 8;
    uint64_t sum = 0;

    if (n_counts > t->conf->max_buckets)
        return "it has more buckets than max_buckets";
    if (n_counts == 0 && n_bounds > 0)
        return "it has bounds and no bucket counts";
    if (n_counts > 0 && n_counts != n_bounds + 1)
        return "it must have one bucket count more than bounds";
    for (uint32_t i = 0; i < n_bounds; i++)
        if (isnan(double_at(b, h->bounds, i)) ||
            (i > 0 && !(double_at(b, h->bounds, i - 1) < double_at(b, h->bounds, i))))
            return "its bounds must ascend";
    for (uint32_t i = 0; i < n_counts; i++)
        if (__builtin_add_overflow(sum, u64_at(b, h->counts, i), &sum))
            return "its bucket counts overflow";
    if (n_counts > 0 && sum != h->count)
        return "its bucket counts do not add up to its count";
    if (h->has_min && h->has_max && h->min > h->max)
        return "its min is above its max";
    return NULL;
}

static bool add_buckets(const struct gw_batch *b, struct gw_ref r, uint64_t *sum)
{
    uint32_t pos = r.off;
    uint64_t v;

    while (gw_packed_varint_next(b, r, &pos, &v))
        if (__builtin_add_overflow(*sum, v, sum))
            return false;
    return true;
}

/* Scales of the data model: base = 2^(2^-scale). */
enum { MIN_SCALE = -10, MAX_SCALE = 20 };

static const char *exponential_fault(const struct gw_validation *t, const struct gw_exphist *h)
{
    uint64_t sum = h->zero_count;

    if (h->n_positive > t->conf->max_buckets || h->n_negative > t->conf->max_buckets)
        return "it has more buckets than max_buckets";
    if (h->scale < MIN_SCALE || h->scale > MAX_SCALE)
        return "its scale must be between -10 and 20";
    if (!(h->zero_threshold >= 0))
        return "its zero_threshold is below zero";
    if (!add_buckets(t->v->batch, h->positive, &sum) || !add_buckets(t->v->batch, h->negative, &sum))
        return "its bucket counts overflow";
    if (sum != h->count)
        return "its bucket counts and zero_count do not add up to its count";
    if (h->has_min && h->has_max && h->min > h->max)
        return "its min is above its max";
    return NULL;
}

static const char *summary_fault(const struct gw_validation *t, const struct gw_summary *s)
{
    const struct gw_quantile *q = t->v->batch->quantiles;

    for (uint32_t i = s->quantiles.begin; i < s->quantiles.end; i++)
        if (!(q[i].quantile >= 0 && q[i].quantile <= 1))
            return "its quantiles must lie between 0 and 1";
    return NULL;
}

/* ---- points ----------------------------------------------------------------------------------------------- */

static void check_value(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    const struct gw_batch *b = t->v->batch;
    const char *fault = NULL;

    if (b->number_type[row] == GW_N_HISTOGRAM)
        fault = histogram_fault(t, &b->hists[b->number[row].u64]);
    else if (b->number_type[row] == GW_N_EXP_HISTOGRAM)
        fault = exponential_fault(t, &b->exphists[b->number[row].u64]);
    else if (b->number_type[row] == GW_N_SUMMARY)
        fault = summary_fault(t, &b->summaries[b->number[row].u64]);
    if (fault) {
        struct gw_slice name = gw_batch_slice(b, b->metrics[b->metric[row]].name);

        (void)gw_broken(t, issue, GW_RULE_HISTOGRAM, "buckets", nothing, "a point of \"%.*s\" is inconsistent: %s",
                        (int)(name.n < 100 ? name.n : 100), (const char *)name.p, fault);
    }
}

enum { FIELD_START = 2, FIELD_TIME = 3 }; /* the same in all kinds of points */

void gw_validate_point(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    const struct gw_batch *b = t->v->batch;

    if (gw_rule_is_on(t, GW_RULE_TIME_RANGE))
        gw_validate_time(t, row, b->time_ns[row], "time_unix_nano", FIELD_TIME, issue);
    if (gw_rule_is_on(t, GW_RULE_TIME_ORDER) && b->start_ns[row] > b->time_ns[row] && b->time_ns[row] != 0 &&
        gw_broken(t, issue, GW_RULE_TIME_ORDER, "start_time_unix_nano", nothing,
                  "the point starts %" PRIu64 " ns behind its time", b->start_ns[row] - b->time_ns[row]))
        gw_repair_fixed64(t, GW_OWN_ROW, row, FIELD_START, b->time_ns[row]);
    if (gw_rule_is_on(t, GW_RULE_CHILD_ID) && (b->row_flags[row] & GW_ROW_BAD_CHILD_ID))
        (void)gw_broken(t, issue, GW_RULE_CHILD_ID, "exemplars", nothing, "exemplars have ids of a wrong length");
    if (gw_rule_is_on(t, GW_RULE_HISTOGRAM))
        check_value(t, row, issue);
}
