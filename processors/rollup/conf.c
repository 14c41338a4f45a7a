/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/rollup/rollup.h"
#include "values/value.h"

#define S_NS 1e9

enum { MAX_TOP = 100 };

/* For suggestions. */
static const char *const names[] = {"count", "sum", "min",      "max", "avg",  "last",    "histogram", "exponential",
                                    "p50",   "p99", "distinct", "top", "rate", "samples", NULL};
static const char *const window_types[] = {"tumbling", "hopping", "sliding", "session", NULL};
static const char *const modes[] = {"final", "eager", "delta", "retract", NULL};
static const char *const froms[] = {"auto", "metric", "count", "duration", "attribute", "body", NULL};
static const char *const initials[] = {"auto", "keep", "drop", NULL};
static const char *const marks[] = {"ingest", "event", NULL};

static const struct gw_field keys_fields[] = {
    GW_STRINGS_FIELD(struct gw_ru_keys, resource, "resource", "Attributes of the resource that stay."),
    GW_STRINGS_FIELD(struct gw_ru_keys, scope, "scope",
                     "Attributes of the scope that stay; with any, its name and version do, too."),
    GW_STRINGS_FIELD(struct gw_ru_keys, attributes, "attributes",
                     "Attributes of the point, span or log record that stay."),
    {0},
};
static const struct gw_field value_fields[] = {
    GW_ENUM_FIELD(struct gw_ru_value, from, "from", "auto", froms,
                  "What is aggregated. auto: of data points their value (metric), of spans how long they took, in "
                  "seconds (duration), of log records nothing but their number (count)."),
    GW_STRING_FIELD(struct gw_ru_value, name, "name", "",
                    "The attribute, or the field of a body that is a map (empty: the body itself)."),
    {0},
};
static const struct gw_field window_fields[] = {
    GW_ENUM_FIELD(struct gw_ru_window_conf, type, "type", "tumbling", window_types,
                  "tumbling: one behind the other; hopping: of `size`, one every `slide`; sliding: the same, told "
                  "without waiting for latecomers; session: from a first record to a last one, with `gap` behind it."),
    GW_DURATION_FIELD(struct gw_ru_window_conf, size_ns, "size", "10s", 1e6, 31 * 86400 * S_NS,
                      "How long it is; not of a session."),
    GW_DURATION_FIELD(struct gw_ru_window_conf, slide_ns, "slide", NULL, 0, 31 * 86400 * S_NS,
                      "hopping, sliding: how far one begins behind the other."),
    GW_DURATION_FIELD(struct gw_ru_window_conf, gap_ns, "gap", NULL, 0, 31 * 86400 * S_NS,
                      "session: records so far apart, or less, are of one session."),
    GW_DURATION_FIELD(struct gw_ru_window_conf, max_size_ns, "max_size", "24h", 1e6, 31 * 86400 * S_NS,
                      "session: one that gets longer is cut at the multiples of that since 1970."),
    {0},
};
static const struct gw_field emit_fields[] = {
    GW_ENUM_FIELD(struct gw_ru_emit, mode, "mode", "final", modes,
                  "final: each window once. eager: as it is, every `interval`, and once more at the end. delta: what "
                  "has come since the last time. retract: when it ends, and when late records change it: what was "
                  "told, taken back, and what it is now."),
    GW_DURATION_FIELD(struct gw_ru_emit, interval_ns, "interval", "10s", 1e6, 86400 * S_NS,
                      "How often windows that changed are told; at multiples of it of the watermark."),
    GW_STRING_FIELD(
        struct gw_ru_emit, id, "id", "",
        "Attribute that says which result it is: a hash of rollup, series, aggregate, window and revision. Empty: "
        "rollup.id, or none where mode is final."),
    {0},
};
static const struct gw_field time_fields[] = {
    GW_ENUM_FIELD(struct gw_ru_time, watermark, "watermark", "ingest", marks,
                  "What the watermark follows: when records came in, or what they say themselves."),
    GW_DURATION_FIELD(struct gw_ru_time, bounded_delay_ns, "bounded_delay", "5s", 0, 86400 * S_NS,
                      "How far the watermark stays behind that."),
    GW_DURATION_FIELD(struct gw_ru_time, max_future_ns, "max_future", "10s", 0, 365 * 86400 * S_NS,
                      "A record whose time is further ahead of its coming is rejected, as `timestamp_future`."),
    GW_DURATION_FIELD(struct gw_ru_time, idle_timeout_ns, "idle_timeout", "1s", 1e6, 3600 * S_NS,
                      "A source from which nothing came for so long holds the watermark back no more."),
    {0},
};
static const struct gw_field cumulative_fields[] = {
    GW_ENUM_FIELD(struct gw_ru_cumulative, initial_value, "initial_value", "auto", initials,
                  "What the first point of a stream counts: keep: all that it says; drop: nothing; auto: all, when it "
                  "began after the rollup did and not before `max_staleness`."),
    GW_DURATION_FIELD(struct gw_ru_cumulative, max_staleness_ns, "max_staleness", "1h", 0, 365 * 86400 * S_NS,
                      "A stream that got no point for so long begins anew; 0: none is forgotten."),
    {0},
};
const struct gw_field gw_ru_fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(struct gw_ru_conf, keys, has_keys, "keys", keys_fields, GW_FF_NULL_IS_ON,
                            "What tells series apart; the rest is dropped. Without it all attributes stay."),
    GW_STRING_FIELD(struct gw_ru_conf, where, "where", "",
                    "An OTTL condition (of a data point, span or log record) that must hold."),
    GW_BLOCK_FIELD(struct gw_ru_conf, value, "value", value_fields, "What is aggregated."),
    GW_STRING_FIELD(struct gw_ru_conf, name, "name", "",
                    "What results are called, before `.count` and the like. Of data points: their metric's name, "
                    "of spans \"span\", of log records \"log.record\"."),
    GW_STRING_FIELD(struct gw_ru_conf, unit, "unit", "", "Unit of the results; of data points: their metric's."),
    GW_LIST_FIELD(struct gw_ru_conf, windows, "windows", struct gw_ru_window_conf, window_fields,
                  "One or more; 10s tumbling, if there is none."),
    GW_STRINGS_FIELD(
        struct gw_ru_conf, aggregates, "aggregates",
        "Any of count, sum, rate (sum by the window's seconds), min, max, avg, last, histogram (with the bounds of the "
        "points'), exponential "
        "(a histogram), quantiles (p50, p99, p99.9), distinct (how many different items) and top or top5 (the "
        "most frequent items, 10 or so many) and samples or samples8 (4 or so many records, as exemplars of sums and "
        "histograms, or of the first of the others); if there is none: count, sum, min and max, or count when that "
        "is all."),
    GW_BLOCK_FIELD(struct gw_ru_conf, emit, "emit", emit_fields, "When results leave."),
    GW_STRING_FIELD(struct gw_ru_conf, item, "item", "",
                    "The attribute of the record whose values are the items of distinct and top."),
    GW_BLOCK_FIELD(struct gw_ru_conf, time, "time", time_fields, "What the time is."),
    GW_BLOCK_FIELD(struct gw_ru_conf, cumulative, "cumulative", cumulative_fields,
                   "Sums that go on from their start: what their streams went up by is aggregated."),
    GW_DURATION_FIELD(struct gw_ru_conf, allowed_lateness_ns, "allowed_lateness", "60s", 0, 7 * 86400 * S_NS,
                      "How long a window waits for records when the watermark has passed its end."),
    GW_U64_FIELD(struct gw_ru_conf, max_series, "max_series", "200000", 1, 100000000,
                 "What comes beyond is aggregated as one series, otel.metric.overflow."),
    GW_U64_FIELD(struct gw_ru_conf, max_bytes, "max_bytes", "268435456", 4 << 20, 1e15,
                 "Memory of all that is open; what finds no room goes the same way."),
    GW_DURATION_FIELD(struct gw_ru_conf, checkpoint_ns, "checkpoint_interval", "5s", 0, 3600 * S_NS,
                      "Behind a journal: how often what is open is written down, as far as it has changed. After a "
                      "crash what came since then is read again."),
    {0},
};

/* What stands behind the name, if anything. False: it is no number from 1 to most. */
static bool number_behind(const char *text, const char *name, unsigned most, unsigned *ret)
{
    struct gw_slice number = gw_slice_cstr(text + strlen(name));
    double k = *ret;

    if (number.n > 3 || strspn((const char *)number.p, "0123456789") != number.n ||
        (number.n && !gw_parse_double(number, &k)))
        return false;
    *ret = (unsigned)k;
    return k >= 1 && k <= most;
}

/* "distinct", "top", "top5", "samples", "samples5". False: another one, or none. */
static bool few_of(const char *text, struct gw_agg_spec *ret)
{
    struct gw_agg_spec top = {.fn = GW_AGG_TOP, .show = 10}, samples = {.fn = GW_AGG_SAMPLES, .size = 4};

    *ret = (struct gw_agg_spec){.fn = GW_AGG_DISTINCT};
    if (strcmp(text, gw_agg_names[GW_AGG_DISTINCT]) == 0)
        return true;
    *ret = *text == 't' ? top : samples;
    if (strncmp(text, "top", 3) == 0)
        return number_behind(text, "top", MAX_TOP, &ret->show);
    return strncmp(text, "samples", 7) == 0 && number_behind(text, "samples", GW_PICKS_MAX, &ret->size);
}

bool gw_ru_spec_of(const char *text, struct gw_agg_spec *ret)
{
    struct gw_slice number = gw_slice_cstr(text);
    double q;

    for (enum gw_agg_fn f = GW_AGG_COUNT; f < GW_AGG_N_FNS; f++)
        if ((f <= GW_AGG_EXPONENTIAL || f == GW_AGG_RATE) && strcmp(text, gw_agg_names[f]) == 0) {
            *ret = (struct gw_agg_spec){.fn = f};
            return true;
        }
    if (few_of(text, ret))
        return true;
    if (*text != 'p' || number.n > 8 || strspn(text + 1, "0123456789.") != number.n - 1)
        return false;
    number = (struct gw_slice){number.p + 1, number.n - 1};
    if (!gw_parse_double(number, &q) || !(q >= 0 && q <= 100))
        return false;
    *ret = (struct gw_agg_spec){.fn = GW_AGG_QUANTILE, .q = q / 100};
    return true;
}

static void check_aggregates(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = gw_node_get(node, "aggregates");

    for (size_t i = 0; i < c->aggregates.n; i++) {
        const char *name = ((const char *const *)c->aggregates.items)[i];
        const char *near = gw_suggest(gw_slice_cstr(name), names);
        struct gw_agg_spec spec;
        bool known = gw_ru_spec_of(name, &spec);

        if (known && gw_ru_needs_item(&spec) && !*c->item)
            gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "aggregates: %.100s needs `item`, the name of an attribute",
                        name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, ((const char *const *)c->aggregates.items)[k]) == 0)
                gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "aggregates: \"%.100s\" stands twice", name);
        if (!known)
            gw_diag_add(diag, GW_DIAG_ERROR, &at->place, "aggregates: there is no \"%.100s\"%s%s%s", name,
                        near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

/* Samples are on the points of others, and there are so many or so many. */
static void check_samples(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->aggregates.n; i++) {
        struct gw_agg_spec spec;

        n += gw_ru_spec_of(((const char *const *)c->aggregates.items)[i], &spec) && spec.fn == GW_AGG_SAMPLES;
    }
    if (n > 1 || (n && n == c->aggregates.n))
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "aggregates")->place,
                    n > 1 ? "aggregates: samples stands twice"
                          : "aggregates: samples needs another one, whose points have them");
}

static void check_number(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    if (c->aggregates.n > GW_RU_MAX_SPECS)
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "aggregates")->place, "aggregates: at most %u",
                    GW_RU_MAX_SPECS);
}

/* An average of averages is none: only what can be added up, or is the least or the greatest, is told in parts. */
static void check_emit(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *emit = gw_node_get(node, "emit"), *at = gw_node_get(node, "aggregates");

    if (c->emit.mode == GW_RU_FINAL && gw_node_get(emit, "interval"))
        gw_diag_add(diag, GW_DIAG_ERROR, &emit->place, "emit: \"mode: final\" has no interval");
    for (size_t i = 0; c->emit.mode == GW_RU_DELTA && i < c->aggregates.n; i++) {
        const char *name = ((const char *const *)c->aggregates.items)[i];
        struct gw_agg_spec spec;

        if (gw_ru_spec_of(name, &spec) && (spec.fn == GW_AGG_AVG || spec.fn == GW_AGG_QUANTILE ||
                                           spec.fn == GW_AGG_DISTINCT || spec.fn == GW_AGG_TOP))
            gw_diag_add(diag, GW_DIAG_ERROR, &at->place,
                        "aggregates: \"%.100s\" cannot be put together from parts, as \"emit: mode: delta\" tells it",
                        name);
    }
}

static void check_where(const struct gw_ru_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    static const enum gw_ottl_context contexts[] = {GW_OTTL_DATAPOINT, GW_OTTL_SPAN, GW_OTTL_LOG};
    struct gw_ottl_fault fault, first = {0};
    bool fits = !*c->where;

    for (unsigned i = 0; i < 3 && !fits; i++) {
        struct gw_ottl *o = NULL;

        fits = gw_ottl_condition_new(gw_slice_cstr(c->where), contexts[i], NULL, &o, &fault) == 0;
        gw_ottl_free(o);
        if (i == 0)
            first = fault;
    }
    if (!fits)
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "where")->place, "where: %s", first.text);
}

void gw_ru_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_ru_conf *c = conf;

    check_aggregates(c, node, diag);
    check_samples(c, node, diag);
    check_number(c, node, diag);
    gw_ru_windows_check(c, node, diag);
    check_emit(c, node, diag);
    check_where(c, node, diag);
    if (c->value.from == GW_RU_ATTRIBUTE && !*c->value.name)
        gw_diag_add(diag, GW_DIAG_ERROR, node ? &node->place : NULL, "value: from: attribute needs the name of one");
}
