/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/paths.h"

struct symbol {
    const char *name;
    int64_t value;
};

#define SEVERITY(name, n)                                                                                              \
    {"SEVERITY_NUMBER_" name, n}, {"SEVERITY_NUMBER_" name "2", (n) + 1}, {"SEVERITY_NUMBER_" name "3", (n) + 2},      \
    {                                                                                                                  \
        "SEVERITY_NUMBER_" name "4", (n) + 3                                                                           \
    }

static const struct symbol of_spans[] = {
    {"SPAN_KIND_UNSPECIFIED", 0}, {"SPAN_KIND_INTERNAL", 1},
    {"SPAN_KIND_SERVER", 2},      {"SPAN_KIND_CLIENT", 3},
    {"SPAN_KIND_PRODUCER", 4},    {"SPAN_KIND_CONSUMER", 5},
    {"STATUS_CODE_UNSET", 0},     {"STATUS_CODE_OK", 1},
    {"STATUS_CODE_ERROR", 2},     {NULL, 0},
};

static const struct symbol of_logs[] = {
    {"SEVERITY_NUMBER_UNSPECIFIED", 0},
    SEVERITY("TRACE", 1),
    SEVERITY("DEBUG", 5),
    SEVERITY("INFO", 9),
    SEVERITY("WARN", 13),
    SEVERITY("ERROR", 17),
    SEVERITY("FATAL", 21),
    {NULL, 0},
};

/* Flags are of data points alone: they stand first, so that a metric's table begins behind them. */
static const struct symbol of_points[] = {
    {"FLAG_NONE", 0},
    {"FLAG_NO_RECORDED_VALUE", 1},
    {"AGGREGATION_TEMPORALITY_UNSPECIFIED", 0},
    {"AGGREGATION_TEMPORALITY_DELTA", 1},
    {"AGGREGATION_TEMPORALITY_CUMULATIVE", 2},
    {"METRIC_DATA_TYPE_NONE", 0},
    {"METRIC_DATA_TYPE_GAUGE", 1},
    {"METRIC_DATA_TYPE_SUM", 2},
    {"METRIC_DATA_TYPE_HISTOGRAM", 3},
    {"METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM", 4},
    {"METRIC_DATA_TYPE_SUMMARY", 5},
    {NULL, 0},
};

static const struct symbol none[] = {{NULL, 0}};

static const struct symbol *table(enum gw_ottl_context c)
{
    switch (c) {
    case GW_OTTL_SPAN:
    case GW_OTTL_SPANEVENT:
        return of_spans;
    case GW_OTTL_METRIC:
        return of_points + 2;
    case GW_OTTL_DATAPOINT:
        return of_points;
    case GW_OTTL_LOG:
        return of_logs;
    case GW_OTTL_RESOURCE:
    case GW_OTTL_SCOPE:
    case GW_OTTL_N_CONTEXTS:
        break;
    }
    return none;
}

bool gw_ottl_enum_find(enum gw_ottl_context c, struct gw_slice name, int64_t *ret)
{
    for (const struct symbol *s = table(c); s->name; s++)
        if (gw_slice_is(name, s->name)) {
            *ret = s->value;
            return true;
        }
    return false;
}

void gw_ottl_enum_names(enum gw_ottl_context c, const char **ret, unsigned room)
{
    for (const struct symbol *s = table(c); s->name && room > 1; s++, room--)
        *ret++ = s->name;
    *ret = NULL;
}
