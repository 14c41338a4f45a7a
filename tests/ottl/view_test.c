/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions look through the patches of a view, say which columns they look at, and count patterns that give up. */
#include "tests/ottl/items.h"

#include <stdio.h>

#include "ottl/paths.h"
#include "pipeline/component.h"

static struct gw_test_env te;
static struct gw_arena arena;
static struct gw_view v;
static struct gw_batch *batch;

static void open_view(enum gw_signal signal)
{
    batch = items_load(&te.env, signal);
    gw_view_init(&v, batch, &arena);
}

static void close_view(void)
{
    gw_view_clear(&v);
    gw_batch_unref(batch);
    gw_arena_reset(&arena, 1 << 20);
}

static bool holds(enum gw_ottl_context context, uint32_t row, uint32_t index, const char *text)
{
    struct gw_ottl_fault fault = {0};
    struct gw_err err = {""};
    struct gw_ottl *o = NULL;
    bool is = false;

    if (gw_ottl_condition_new(gw_slice_cstr(text), context, &te.env, &o, &fault) < 0)
        fail_msg("%s: %u:%u %s", text, fault.line, fault.column, fault.text);
    if (gw_ottl_test(o, &v, row, index, &is, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    gw_ottl_free(o);
    return is;
}

#define HOLDS(context, index, text) assert_true(holds(GW_OTTL_##context, 0, index, text))

static void set(enum gw_owner owner, uint32_t index, const char *key, struct gw_value value)
{
    gw_view_attr_set(&v, owner, index, gw_slice_cstr(key), &value);
}

/* A field as it stands on the wire: tag and value. */
static void field(enum gw_owner owner, uint32_t index, uint32_t number, unsigned type, const char *bytes, size_t n)
{
    uint8_t *p = gw_arena_alloc(&arena, n + 2);

    p[0] = (uint8_t)(number << 3 | type);
    p[1] = (uint8_t)n;
    memcpy(p + (type == 2 ? 2 : 1), bytes, n);
    gw_view_field_set(&v, owner, index, number, gw_slice_of(p, n + (type == 2 ? 2 : 1)));
}

static void test_patched_attributes(void **state)
{
    (void)state;
    open_view(GW_TRACES);
    set(GW_OWN_ROW, 0, "s", (struct gw_value){.type = GW_V_STRING, .s = GW_SLICE("new")});
    set(GW_OWN_ROW, 0, "added", (struct gw_value){.type = GW_V_INT, .i = 5});
    gw_view_attr_delete(&v, GW_OWN_ROW, 0, GW_SLICE("i"));
    set(GW_OWN_RESOURCE, 0, "service.name", (struct gw_value){.type = GW_V_STRING, .s = GW_SLICE("other")});
    set(GW_OWN_SCOPE, 0, "more", (struct gw_value){.type = GW_V_BOOL, .b = true});
    HOLDS(SPAN, 0, "attributes[\"s\"] == \"new\" and attributes[\"added\"] == 5 and attributes[\"i\"] == nil");
    HOLDS(SPAN, 0, "ContainsValue(Keys(attributes), \"added\") and not ContainsValue(Keys(attributes), \"i\")");
    HOLDS(SPAN, 1, "attributes[\"s\"] == nil and Len(attributes) == 0");
    HOLDS(SPAN, 1, "resource.attributes[\"service.name\"] == \"other\" and scope.attributes[\"more\"] == true");
    HOLDS(RESOURCE, 0, "attributes[\"service.name\"] == \"other\"");
    HOLDS(SPANEVENT, 0, "span.attributes[\"s\"] == \"new\"");
    close_view();
}

static void test_patched_span(void **state)
{
    (void)state;
    open_view(GW_TRACES);
    field(GW_OWN_ROW, 0, 5, 2, "GET /new", 8);
    field(GW_OWN_ROW, 0, 3, 2, "ot=th:c", 7);
    field(GW_OWN_ROW, 0, 4, 2, "", 0);
    field(GW_OWN_ROW, 0, 6, 0, "\x03", 1);
    field(GW_OWN_ROW, 0, 7, 1, "\x05\0\0\0\0\0\0\0", 8);
    field(GW_OWN_ROW, 0, 15, 2, "\x12\x02no\x18\x01", 6);
    field(GW_OWN_ROW, 0, 10, 0, "\x4d", 1);
    gw_view_field_set(&v, GW_OWN_ROW, 0, 8, (struct gw_slice){NULL, 0}); /* removed: the end is 0 */
    field(GW_OWN_SCOPE, 0, 1, 2, "lib2", 4);
    HOLDS(SPAN, 0, "name == \"GET /new\" and IsMatch(name, \"new$\") and trace_state[\"ot\"] == \"th:c\"");
    HOLDS(SPAN, 0, "IsRootSpan() and parent_span_id == SpanID(0x0000000000000000)");
    HOLDS(SPAN, 0, "kind == SPAN_KIND_CLIENT and kind.string == \"Client\" and start_time_unix_nano == 5");
    HOLDS(SPAN, 0, "end_time_unix_nano == 0 and dropped_attributes_count == 77");
    HOLDS(SPAN, 0, "status.code == STATUS_CODE_OK and status.message == \"no\"");
    HOLDS(SPAN, 0, "scope.name == \"lib2\" and scope.version == \"1.2\"");
    HOLDS(SPAN, 1, "name == \"root\" and scope.name == \"lib2\"");
    close_view();
}

/* What the Go library takes for a trace state; of another one no member is there. */
static void test_trace_states(void **state)
{
    static const char *const cases[][2] = {
        {"a=1,b=2", "\"1\""}, {"b=2,a=1", "\"1\""},    {"b=2", "\"\""},
        {"", "\"\""},         {"b=2,,a=1,", "\"1\""},  {" a=1 ,b=2", "\"1\""},
        {"a= 1", "\" 1\""},   {"a=1\t", "\"1\""},      {"a", "nil"},
        {"a=", "nil"},        {"a=1,a=2", "nil"},      {"a=1,A=2", "nil"},
        {"a=1,1b=2", "nil"},  {"a=1,1b@c=2", "\"1\""}, {"a=1,b@1c=2", "nil"},
        {"a=1=2", "nil"},     {"a=1,b@=2", "nil"},     {"a=1,b-*/_=2", "\"1\""},
        {"a=1,b.=2", "nil"},  {"a=1,=2", "nil"},       {"a=\x7f", "nil"},
        {"a=1,b =2", "nil"},  {"a=1, ", "nil"},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_view(GW_TRACES);
        field(GW_OWN_ROW, 0, 3, 2, cases[i][0], strlen(cases[i][0]));
        (void)snprintf(text, sizeof(text), "trace_state[\"a\"] == %s", cases[i][1]);
        if (!holds(GW_OTTL_SPAN, 0, 0, text))
            fail_msg("%s: %s", cases[i][0], text);
        close_view();
    }
}

static void test_patched_log_and_metric(void **state)
{
    (void)state;
    open_view(GW_LOGS);
    field(GW_OWN_ROW, 0, 5, 2, "\x0a\x02hi", 4);
    field(GW_OWN_ROW, 0, 2, 0, "\x01", 1);
    field(GW_OWN_ROW, 0, 3, 2, "TRACE", 5);
    field(GW_OWN_ROW, 0, 9, 2, "short", 5);
    HOLDS(LOG, 0, "body == \"hi\" and body.string == \"hi\" and severity_number == SEVERITY_NUMBER_TRACE");
    HOLDS(LOG, 0, "severity_text == \"TRACE\" and IsEmpty(trace_id)");
    close_view();
    open_view(GW_METRICS);
    field(GW_OWN_METRIC, 0, 1, 2, "calls", 5);
    gw_view_field_set(&v, GW_OWN_METRIC, 0, 3, (struct gw_slice){NULL, 0});
    set(GW_OWN_ROW, 0, "code", (struct gw_value){.type = GW_V_INT, .i = 200});
    HOLDS(METRIC, 0, "name == \"calls\" and unit == \"\" and description == \"all\"");
    HOLDS(DATAPOINT, 0, "metric.name == \"calls\" and attributes[\"code\"] == 200");
    HOLDS(METRIC, 1, "name == \"load\"");
    close_view();
}

static unsigned reads_of(enum gw_ottl_context context, const char *text)
{
    struct gw_ottl_fault fault;
    struct gw_ottl *o;
    unsigned reads;

    assert_int_equal(gw_ottl_condition_new(gw_slice_cstr(text), context, &te.env, &o, &fault), 0);
    reads = gw_ottl_reads(o);
    gw_ottl_free(o);
    return reads;
}

static void test_reads(void **state)
{
    (void)state;
    assert_int_equal(GW_OTTL_C_ROW, GW_C_ROW);
    assert_int_equal(GW_OTTL_C_ATTRS, GW_C_ATTRS);
    assert_int_equal(GW_OTTL_C_RESOURCE, GW_C_RESOURCE);
    assert_int_equal(GW_OTTL_C_CHILDREN, GW_C_CHILDREN);
    assert_int_equal(GW_OTTL_C_BODY, GW_C_BODY);
    assert_int_equal(reads_of(GW_OTTL_SPAN, "true"), 0);
    assert_int_equal(reads_of(GW_OTTL_SPAN, "name == \"x\""), GW_C_ROW);
    assert_int_equal(reads_of(GW_OTTL_SPAN, "IsRootSpan()"), GW_C_ROW);
    assert_int_equal(reads_of(GW_OTTL_SPAN, "Len(attributes) > 1 or Len(events) > 1"), GW_C_ATTRS | GW_C_CHILDREN);
    assert_int_equal(reads_of(GW_OTTL_SPAN, "resource.attributes[name] == nil"), GW_C_RESOURCE | GW_C_ROW);
    assert_int_equal(reads_of(GW_OTTL_LOG, "IsMatch(body, \"x\")"), GW_C_BODY);
    assert_int_equal(reads_of(GW_OTTL_DATAPOINT, "value_int > 1 and metric.name == \"x\""), GW_C_BODY | GW_C_ROW);
    assert_int_equal(reads_of(GW_OTTL_SPANEVENT, "name == \"x\""), GW_C_CHILDREN);
}

/* RE2 would be linear here; a match that is given up counts as none, and is counted. */
static void test_given_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t given_up;
    } cases[] = {
        {"IsMatch(attributes[\"long\"], \"^(a+)+$\")", 1},
        {"IsMatch(attributes[\"long\"], attributes[\"slow\"])", 1},
        {"IsMatch(attributes[\"long\"], attributes[\"slow\"]) or IsMatch(attributes[\"long\"], \"b\")", 1},
        {"IsMatch(attributes[\"long\"], \"c\")", 0},
    };
    struct gw_value value = {.type = GW_V_STRING}, slow = {.type = GW_V_STRING, .s = GW_SLICE("^(a+)+$")};
    static char text[65];
    bool is;

    (void)state;
    memset(text, 'a', 63);
    text[63] = 'b';
    value.s = gw_slice_cstr(text);
    open_view(GW_TRACES);
    set(GW_OWN_ROW, 1, "long", value);
    set(GW_OWN_ROW, 1, "slow", slow);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_ottl_fault fault;
        struct gw_ottl *o;

        assert_int_equal(gw_ottl_condition_new(gw_slice_cstr(cases[i].text), GW_OTTL_SPAN, &te.env, &o, &fault), 0);
        assert_int_equal(gw_ottl_test(o, &v, 0, 1, &is, NULL), 0);
        assert_int_equal(is, i == 2);
        assert_int_equal(gw_ottl_n_given_up(o), cases[i].given_up);
        gw_ottl_free(o);
    }
    close_view();
}

/* A pattern that is no constant follows its text; the counts of those before stay. */
static void test_changing_pattern(void **state)
{
    struct gw_ottl_fault fault;
    struct gw_err err = {""};
    struct gw_ottl *o;
    bool is;

    (void)state;
    open_view(GW_TRACES);
    assert_int_equal(
        gw_ottl_condition_new(GW_SLICE("IsMatch(\"abc\", attributes[\"p\"])"), GW_OTTL_SPAN, &te.env, &o, &fault), 0);
    for (unsigned i = 0; i < 4; i++) {
        set(GW_OWN_ROW, 1, "p", (struct gw_value){.type = GW_V_STRING, .s = i % 2 ? GW_SLICE("x") : GW_SLICE("b")});
        assert_int_equal(gw_ottl_test(o, &v, 0, 1, &is, &err), 0);
        assert_int_equal(is, i % 2 == 0);
    }
    set(GW_OWN_ROW, 1, "p", (struct gw_value){.type = GW_V_STRING, .s = GW_SLICE("(")});
    assert_int_equal(gw_ottl_test(o, &v, 0, 1, &is, &err), -EINVAL);
    assert_string_equal(err.text, "line 1, column 1: IsMatch: missing closing parenthesis in pattern \"(\"");
    set(GW_OWN_ROW, 1, "p", (struct gw_value){.type = GW_V_STRING, .s = {(const uint8_t *)"a\0b", 3}});
    assert_int_equal(gw_ottl_test(o, &v, 0, 1, &is, &err), -EINVAL);
    assert_string_equal(err.text, "line 1, column 1: IsMatch: a pattern with a zero byte");
    gw_ottl_free(o);
    close_view();
}

/* What fails says where and why; the outermost function is named once. */
static void test_messages(void **state)
{
    static const char *const cases[][2] = {
        {"attributes[\"s\"][\"x\"] == 1", "line 1, column 17: a string cannot be indexed"},
        {"attributes[\"list\"][7] == 1", "line 1, column 20: index 7 out of bounds"},
        {"attributes[\"map\"][0] == 1", "line 1, column 19: a pcommon.Map is indexed with a string, not with a int64"},
        {"kind == 1 or\n Len(attributes[\"i\"]) == 1", "line 2, column 2: Len: a int64 has no length"},
        {"HasPrefix(Substring(name, 0, 99), \"x\")",
         "line 1, column 11: Substring: invalid range, start(0)+length(99) cannot be greater than the length of target "
         "string(9)"},
        {"attributes[\"s\"] + 1 == 1",
         "line 1, column 1: string + int64 is not possible: numbers, times and durations can be calculated with"},
        {"ParseJSON(attributes[\"json\"])[\"x\"] == 1", "line 1, column 31: key not found in map"},
        {"ParseJSON(attributes[\"badjson\"])[\"x\"] == 1", "line 1, column 1: ParseJSON: no JSON at offset 6"},
        {"Bool(attributes[\"missing\"])", "line 1, column 1: a condition must be a bool, this gave a nil"},
        {"IsMatch(name, attributes[\"i\"])", "line 1, column 1: IsMatch: expected string but got int64"},
        {"Time(attributes[\"s\"], \"%F\") == nil",
         "line 1, column 1: Time: expected a year of four digits at \"text\""},
        {"{\"t\": start_time} == nil", "line 1, column 1: a map or list cannot hold a time.Time"},
    };

    (void)state;
    open_view(GW_TRACES);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_ottl_fault fault = {0};
        struct gw_err err = {""};
        struct gw_ottl *o = NULL;
        bool is = true;

        if (gw_ottl_condition_new(gw_slice_cstr(cases[i][0]), GW_OTTL_SPAN, &te.env, &o, &fault) < 0)
            fail_msg("%s: %s", cases[i][0], fault.text);
        assert_int_equal(gw_ottl_test(o, &v, 0, 0, &is, &err), -EINVAL);
        assert_string_equal(err.text, cases[i][1]);
        assert_true(is); /* not touched */
        gw_ottl_free(o);
    }
    close_view();
}

static int setup(void **state)
{
    (void)state;
    gw_test_env_init(&te, 1);
    gw_arena_init(&arena, 64 << 10, 16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_arena_clear(&arena);
    gw_test_env_clear(&te);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patched_attributes),
        cmocka_unit_test(test_patched_span),
        cmocka_unit_test(test_trace_states),
        cmocka_unit_test(test_patched_log_and_metric),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_changing_pattern),
        cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
