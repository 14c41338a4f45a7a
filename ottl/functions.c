/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/functions.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "config/schema.h"

#define ARG(name, type)                                                                                                \
    {                                                                                                                  \
        name, GW_ARG_##type, false                                                                                     \
    }
#define OPTIONAL(name, type)                                                                                           \
    {                                                                                                                  \
        name, GW_ARG_##type, true                                                                                      \
    }
#define TARGET(type)                                                                                                   \
    {                                                                                                                  \
        ARG("target", type)                                                                                            \
    }
#define FN(name, type, run, ...)                                                                                       \
    {                                                                                                                  \
        name, GW_OT_##type, false, false, __VA_ARGS__, gw_ottl_run_##run, NULL                                         \
    }
#define PREPARED(name, type, run, ...)                                                                                 \
    {                                                                                                                  \
        name, GW_OT_##type, false, false, __VA_ARGS__, gw_ottl_run_##run, gw_ottl_prepare_##run                        \
    }
#define IMPURE(name, type, run)                                                                                        \
    {                                                                                                                  \
        name, GW_OT_##type, true, false, {{NULL, 0, false}}, gw_ottl_run_##run, NULL                                   \
    }

/* clang-format off */
static const struct gw_ottl_function functions[] = {
    FN("Bool", BOOL, same, TARGET(BOOL_LIKE)),
    FN("Coalesce", ANY, coalesce, {ARG("values", LAZY)}),
    FN("Concat", STRING, concat, {ARG("vals", TEXTS), ARG("delimiter", STRING)}),
    FN("ContainsValue", BOOL, contains_value, {ARG("target", LIST), ARG("item", ANY)}),
    PREPARED("ConvertCase", STRING, convert_case, {ARG("target", STRING), ARG("to_case", LITERAL_STRING)}),
    FN("Day", INT, day, {ARG("time", TIME)}),
    FN("Double", DOUBLE, same, TARGET(DOUBLE_LIKE)),
    FN("Duration", DURATION, duration, {ARG("duration", STRING)}),
    PREPARED("ExtractPatterns", MAP, extract_patterns, {ARG("target", STRING), ARG("pattern", STRING)}),
    FN("FNV", INT, fnv, TARGET(STRING)),
    PREPARED("FormatTime", STRING, format_time, {ARG("time", TIME), ARG("format", LITERAL_STRING)}),
    FN("HasPrefix", BOOL, has_prefix, {ARG("target", STRING), ARG("prefix", STRING)}),
    FN("HasSuffix", BOOL, has_suffix, {ARG("target", STRING), ARG("suffix", STRING)}),
    FN("Hex", STRING, hex, TARGET(BYTES_LIKE)),
    FN("Hour", INT, hour, {ARG("time", TIME)}),
    FN("Hours", DOUBLE, hours, {ARG("duration", DURATION)}),
    FN("Index", INT, index, {ARG("target", ANY), ARG("value", ANY)}),
    FN("Int", INT, same, TARGET(INT_LIKE)),
    FN("IsBool", BOOL, is_bool, TARGET(IF_BOOL)),
    FN("IsDouble", BOOL, is_double, TARGET(IF_DOUBLE)),
    FN("IsEmpty", BOOL, is_empty, TARGET(ANY)),
    FN("IsInt", BOOL, is_int, TARGET(IF_INT)),
    FN("IsList", BOOL, is_list, TARGET(ANY)),
    FN("IsMap", BOOL, is_map, TARGET(IF_MAP)),
    PREPARED("IsMatch", BOOL, is_match, {ARG("target", STRING_LIKE), ARG("pattern", STRING)}),
    {"IsRootSpan", GW_OT_BOOL, true, true, {{NULL, 0, false}}, gw_ottl_run_is_root_span, NULL},
    FN("IsString", BOOL, is_string, TARGET(IF_STRING)),
    FN("Keys", LIST, keys, TARGET(MAP)),
    FN("Len", INT, len, TARGET(ANY)),
    FN("Microseconds", INT, microseconds, {ARG("duration", DURATION)}),
    FN("Milliseconds", INT, milliseconds, {ARG("duration", DURATION)}),
    FN("Minute", INT, minute, {ARG("time", TIME)}),
    FN("Minutes", DOUBLE, minutes, {ARG("duration", DURATION)}),
    FN("Month", INT, month, {ARG("time", TIME)}),
    FN("Nanosecond", INT, nanosecond, {ARG("time", TIME)}),
    FN("Nanoseconds", INT, nanoseconds, {ARG("duration", DURATION)}),
    IMPURE("Now", TIME, now),
    FN("ParseJSON", ANY, parse_json, TARGET(STRING)),
    PREPARED("ParseKeyValue", MAP, parse_key_value, {ARG("target", STRING), OPTIONAL("delimiter", LITERAL_STRING),
                                                     OPTIONAL("pair_delimiter", LITERAL_STRING)}),
    PREPARED("ParseSeverity", STRING, parse_severity, {ARG("target", ANY), ARG("mapping", MAP)}),
    FN("SHA256", STRING, sha256, TARGET(STRING)),
    FN("Second", INT, second, {ARG("time", TIME)}),
    FN("Seconds", DOUBLE, seconds, {ARG("duration", DURATION)}),
    FN("SpanID", SPAN_ID, span_id, TARGET(BYTES_LIKE)),
    FN("Split", LIST, split, {ARG("target", STRING), ARG("delimiter", STRING)}),
    FN("String", STRING, same, TARGET(STRING_LIKE)),
    FN("Substring", STRING, substring, {ARG("target", STRING), ARG("start", INT), ARG("length", INT),
                                        OPTIONAL("utf8_safe", LITERAL_BOOL)}),
    PREPARED("Time", TIME, time, {ARG("time", STRING), ARG("format", LITERAL_STRING),
                                  OPTIONAL("location", LITERAL_STRING), OPTIONAL("locale", LITERAL_STRING)}),
    FN("ToCamelCase", STRING, to_camel, TARGET(STRING)),
    FN("ToLowerCase", STRING, to_lower, TARGET(STRING)),
    FN("ToSnakeCase", STRING, to_snake, TARGET(STRING)),
    FN("ToUpperCase", STRING, to_upper, TARGET(STRING)),
    FN("TraceID", TRACE_ID, trace_id, TARGET(BYTES_LIKE)),
    FN("Trim", STRING, trim, {ARG("target", STRING), OPTIONAL("replacement", LITERAL_STRING)}),
    FN("TrimPrefix", STRING, trim_prefix, {ARG("target", STRING), ARG("prefix", STRING)}),
    FN("TrimSuffix", STRING, trim_suffix, {ARG("target", STRING), ARG("suffix", STRING)}),
    IMPURE("UUID", STRING, uuid),
    FN("Unix", TIME, unix, {ARG("seconds", INT), OPTIONAL("nanoseconds", INT)}),
    FN("UnixMicro", INT, unix_micro, {ARG("time", TIME)}),
    FN("UnixMilli", INT, unix_milli, {ARG("time", TIME)}),
    FN("UnixNano", INT, unix_nano, {ARG("time", TIME)}),
    FN("UnixSeconds", INT, unix_seconds, {ARG("time", TIME)}),
    FN("Weekday", INT, weekday, {ARG("time", TIME)}),
    FN("Year", INT, year, {ARG("time", TIME)}),
};
/* clang-format on */

enum { N_FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

const struct gw_ottl_function *gw_ottl_function_find(struct gw_slice name)
{
    for (unsigned i = 0; i < N_FUNCTIONS; i++)
        if (gw_slice_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}

/* ---- names that are none ---------------------------------------------------------------------------------- */

/* The Collector's, which are not here. */
static const char *const later[] = {"AdjustedCount",
                                    "All",
                                    "Any",
                                    "Base64Decode",
                                    "Base64Encode",
                                    "CommunityID",
                                    "ConvertAttributesToElementsXML",
                                    "ConvertTextToElementsXML",
                                    "Decode",
                                    "ExtractGrokPatterns",
                                    "Filter",
                                    "Find",
                                    "Format",
                                    "GetXML",
                                    "InsertXML",
                                    "IsInCIDR",
                                    "IsValidLuhn",
                                    "Log",
                                    "MD5",
                                    "MapEach",
                                    "MapKeys",
                                    "Murmur3Hash",
                                    "Murmur3Hash128",
                                    "ParseCSV",
                                    "ParseInt",
                                    "ParseSimplifiedXML",
                                    "ParseXML",
                                    "ProfileID",
                                    "Reduce",
                                    "RemoveXML",
                                    "SHA1",
                                    "SHA512",
                                    "SliceToMap",
                                    "Sort",
                                    "ToKeyValueString",
                                    "TruncateTime",
                                    "URL",
                                    "UUIDv7",
                                    "UserAgent",
                                    "Values",
                                    "When",
                                    "XXH128",
                                    "XXH3",
                                    NULL};

static const char *const editors[] = {"append",
                                      "delete_index",
                                      "delete_key",
                                      "delete_matching_keys",
                                      "flatten",
                                      "keep_keys",
                                      "keep_matching_keys",
                                      "limit",
                                      "merge_maps",
                                      "replace_all_matches",
                                      "replace_all_patterns",
                                      "replace_match",
                                      "replace_pattern",
                                      "set",
                                      "stringify_all",
                                      "truncate_all",
                                      NULL};

/* Other languages' names, and ours. */
static const char *const elsewhere[][2] = {
    {"Join", "Concat"},
    {"Contains", "IsMatch, or ContainsValue of a list"},
    {"Includes", "ContainsValue"},
    {"In", "ContainsValue"},
    {"Matches", "IsMatch"},
    {"Match", "IsMatch"},
    {"Regex", "IsMatch"},
    {"RegexMatch", "IsMatch"},
    {"Like", "IsMatch"},
    {"Lower", "ToLowerCase"},
    {"ToLower", "ToLowerCase"},
    {"Lowercase", "ToLowerCase"},
    {"Upper", "ToUpperCase"},
    {"ToUpper", "ToUpperCase"},
    {"Uppercase", "ToUpperCase"},
    {"StartsWith", "HasPrefix"},
    {"EndsWith", "HasSuffix"},
    {"Length", "Len"},
    {"Size", "Len"},
    {"Count", "Len"},
    {"IsNil", "== nil"},
    {"IsNull", "== nil"},
    {"Exists", "!= nil"},
    {"IsSet", "!= nil"},
    {"Float", "Double"},
    {"ToString", "String"},
    {"ToInt", "Int"},
    {"Substr", "Substring"},
    {"IsFloat", "IsDouble"},
    {"IsRoot", "IsRootSpan"},
};

static bool is_one_of(struct gw_slice name, const char *const *words)
{
    for (; *words; words++)
        if (gw_slice_is(name, *words))
            return true;
    return false;
}

static bool same_word(struct gw_slice a, const char *b)
{
    if (a.n != strlen(b))
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (tolower(a.p[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

static const char *meant(struct gw_slice name)
{
    const char *names[N_FUNCTIONS + 1] = {0};

    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        if (same_word(name, elsewhere[i][0]))
            return elsewhere[i][1];
    for (unsigned i = 0; i < N_FUNCTIONS; i++)
        names[i] = functions[i].name;
    return gw_suggest(name, names);
}

void gw_ottl_function_missing(struct gw_slice name, char *ret, size_t size)
{
    int n = (int)(name.n < 60 ? name.n : 60);
    const char *near;

    if (is_one_of(name, later)) {
        (void)snprintf(ret, size, "%.*s is not supported yet", n, (const char *)name.p);
        return;
    }
    if (is_one_of(name, editors)) {
        (void)snprintf(ret, size, "%.*s changes data: it stands only in statements", n, (const char *)name.p);
        return;
    }
    near = meant(name);
    (void)snprintf(ret, size, "there is no function %.*s%s%s%s", n, (const char *)name.p, near ? ": did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

/* ---- conversions ------------------------------------------------------------------------------------------ */

static bool expected(struct gw_ottl_run *r, const char *what, const struct gw_ottl_value *v)
{
    return gw_ottl_fail(r, -EINVAL, "expected %s but got %s", what, gw_ottl_type_name(v));
}

static bool unsupported(struct gw_ottl_run *r, const struct gw_ottl_value *v)
{
    return gw_ottl_fail(r, -EINVAL, "unsupported type: %s", gw_ottl_type_name(v));
}

static bool to_text(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    struct gw_slice s;

    if (!gw_ottl_text(r, v, &s))
        return false;
    *v = gw_ottl_string(s);
    return true;
}

/* As Go does it on x86: what does not fit is the smallest int. */
static int64_t truncated(double f)
{
    return f >= -0x1p63 && f < 0x1p63 ? (int64_t)f : INT64_MIN;
}

static bool to_int(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    int64_t i;

    if (v->type == GW_OT_INT)
        return true;
    if (v->type == GW_OT_BOOL)
        *v = gw_ottl_int(v->b);
    else if (v->type == GW_OT_DOUBLE)
        *v = gw_ottl_int(truncated(v->f));
    else if (v->type != GW_OT_STRING)
        return unsupported(r, v);
    else if (gw_parse_int(v->s, &i))
        *v = gw_ottl_int(i);
    else
        v->type = GW_OT_NIL;
    return true;
}

static bool to_double(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    double f;

    if (v->type == GW_OT_DOUBLE)
        return true;
    if (v->type == GW_OT_BOOL)
        *v = gw_ottl_double(v->b);
    else if (v->type == GW_OT_INT)
        *v = gw_ottl_double((double)v->i);
    else if (v->type != GW_OT_STRING)
        return unsupported(r, v);
    else if (gw_parse_double(v->s, &f))
        *v = gw_ottl_double(f);
    else
        return gw_ottl_fail(r, -EINVAL, "\"%.*s\" is no number", (int)(v->s.n < 60 ? v->s.n : 60),
                            (const char *)v->s.p);
    return true;
}

static bool to_bool(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True", NULL};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False", NULL};

    if (v->type == GW_OT_BOOL)
        return true;
    if (v->type == GW_OT_INT)
        *v = gw_ottl_bool(v->i != 0);
    else if (v->type == GW_OT_DOUBLE)
        *v = gw_ottl_bool(v->f != 0);
    else if (v->type != GW_OT_STRING)
        return unsupported(r, v);
    else if (is_one_of(v->s, yes) || is_one_of(v->s, no))
        *v = gw_ottl_bool(is_one_of(v->s, yes));
    else
        return gw_ottl_fail(r, -EINVAL, "\"%.*s\" is neither true nor false", (int)(v->s.n < 60 ? v->s.n : 60),
                            (const char *)v->s.p);
    return true;
}

/* Numbers as they would go over a network: eight bytes, the largest first; bools one. */
static bool to_bytes(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    uint64_t bits = (uint64_t)v->i;
    unsigned n = v->type == GW_OT_BOOL ? 1 : 8;
    uint8_t *p;

    if (v->type == GW_OT_BYTES)
        return true;
    if (v->type == GW_OT_STRING) {
        v->type = GW_OT_BYTES;
        return true;
    }
    if (v->type != GW_OT_INT && v->type != GW_OT_DOUBLE && v->type != GW_OT_BOOL)
        return unsupported(r, v);
    p = gw_arena_alloc(r->arena, n);
    if (!p)
        return gw_ottl_starve(r);
    if (n == 1)
        p[0] = v->b;
    for (unsigned i = 0; n > 1 && i < n; i++)
        p[i] = (uint8_t)(bits >> (56 - 8 * i));
    *v = (struct gw_ottl_value){.type = GW_OT_BYTES, .s = {p, n}};
    return true;
}

bool gw_ottl_convert(struct gw_ottl_run *r, enum gw_ottl_arg_type to, struct gw_ottl_value *v)
{
    bool nil = v->type == GW_OT_NIL;

    switch (to) {
    case GW_ARG_STRING:
    case GW_ARG_LITERAL_STRING:
        return v->type == GW_OT_STRING || expected(r, "string", v);
    case GW_ARG_STRING_LIKE:
        return nil || v->type == GW_OT_STRING || to_text(r, v);
    case GW_ARG_INT:
        return v->type == GW_OT_INT || expected(r, "int64", v);
    case GW_ARG_INT_LIKE:
        return nil || to_int(r, v);
    case GW_ARG_DOUBLE_LIKE:
        return nil || to_double(r, v);
    case GW_ARG_BOOL_LIKE:
        return nil || to_bool(r, v);
    case GW_ARG_BYTES_LIKE:
        return nil || to_bytes(r, v);
    case GW_ARG_LITERAL_BOOL:
        return v->type == GW_OT_BOOL || expected(r, "bool", v);
    case GW_ARG_MAP:
        return v->type == GW_OT_MAP || expected(r, "pcommon.Map", v);
    case GW_ARG_LIST:
        return v->type == GW_OT_LIST || expected(r, "pcommon.Slice", v);
    case GW_ARG_TIME:
        return v->type == GW_OT_TIME || expected(r, "time", v);
    case GW_ARG_DURATION:
        return v->type == GW_OT_DURATION || expected(r, "duration", v);
    case GW_ARG_ANY:
    case GW_ARG_IF_STRING:
    case GW_ARG_IF_INT:
    case GW_ARG_IF_DOUBLE:
    case GW_ARG_IF_BOOL:
    case GW_ARG_IF_MAP:
    case GW_ARG_TEXTS:
    case GW_ARG_LAZY:
        break;
    }
    return true;
}

bool gw_ottl_convert_constant(struct gw_ottl_run *r, enum gw_ottl_arg_type to, struct gw_ottl_value *v)
{
    switch ((int)to) {
    case GW_ARG_IF_STRING:
        return gw_ottl_convert(r, GW_ARG_STRING, v);
    case GW_ARG_IF_INT:
        return gw_ottl_convert(r, GW_ARG_INT, v);
    case GW_ARG_IF_DOUBLE:
        return v->type == GW_OT_DOUBLE || expected(r, "float64", v);
    case GW_ARG_IF_BOOL:
        return gw_ottl_convert(r, GW_ARG_LITERAL_BOOL, v);
    case GW_ARG_IF_MAP:
        return gw_ottl_convert(r, GW_ARG_MAP, v);
    default:
        return gw_ottl_convert(r, to, v);
    }
}
