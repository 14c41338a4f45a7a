/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "tests/harness.h"

#include <stdlib.h>

struct tls {
    bool insecure;
    const char *ca_file;
};
struct action {
    const char *key;
    int kind;
};
struct conf {
    bool strict, has_tls, has_http, has_queue;
    uint64_t size, max_age_ns;
    int64_t offset;
    double ratio;
    const char *name, *password;
    int mode;
    struct tls tls, http, queue;
    struct gw_list topics, actions;
    struct gw_map headers;
    const struct gw_node *any;
};

static const char *const modes[] = {"basic", "normal", "detailed", NULL};
static const char *const name_aliases[] = {"title", NULL};
static const struct gw_field tls_fields[] = {
    GW_BOOL_FIELD(struct tls, insecure, "insecure", "false", "No TLS."),
    GW_STRING_FIELD(struct tls, ca_file, "ca_file", "", "Certificates trusted."),
    {0},
};
static const struct gw_field action_fields[] = {
    {GW_FIELD_(struct action, key, "key", GW_F_STRING, NULL, 0, 0, "Attribute."), .flags = GW_FF_REQUIRED},
    GW_ENUM_FIELD(struct action, kind, "kind", "normal", modes, "What to do."),
    {0},
};
static const struct gw_field fields[] = {
    GW_BOOL_FIELD(struct conf, strict, "strict", "true", "Refuse."),
    GW_U64_FIELD(struct conf, size, "size", "8192", 1, 1000000, "Rows."),
    GW_I64_FIELD(struct conf, offset, "offset", "-3", -10, 10, "Shift."),
    GW_F64_FIELD(struct conf, ratio, "ratio", "0.5", 0, 1, "Share."),
    {GW_FIELD_(struct conf, name, "name", GW_F_STRING, "x", 0, 0, "Name."), .aliases = name_aliases},
    GW_SECRET_FIELD(struct conf, password, "password", "Secret."),
    GW_DURATION_FIELD(struct conf, max_age_ns, "max_age", "1h", 1e6, 1e18, "Oldest."),
    GW_ENUM_FIELD(struct conf, mode, "mode", "basic", modes, "How much."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, tls, has_tls, "tls", tls_fields, 0, "TLS."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, http, has_http, "http", tls_fields, GW_FF_NULL_IS_ON, "HTTP."),
    {GW_FIELD_(struct conf, queue, "queue", GW_F_BLOCK, "on", 0, 0, "Queue."), .block = tls_fields,
     .block_size = sizeof(struct tls), .present_offset = offsetof(struct conf, has_queue), .flags = GW_FF_OPTIONAL},
    GW_STRINGS_FIELD(struct conf, topics, "topics", "Topics."),
    GW_LIST_FIELD(struct conf, actions, "actions", struct action, action_fields, "Actions."),
    GW_HEADERS_FIELD(struct conf, headers, "headers", "Headers."),
    GW_ANY_FIELD(struct conf, any, "any", "Anything."),
    {GW_FIELD_(struct conf, strict, "old_strict", GW_F_BOOL, NULL, 0, 0, "use strict"), .flags = GW_FF_DEPRECATED},
    {GW_FIELD_(struct conf, size, "gc_percent", GW_F_U64, NULL, 0, 0, "none"), .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct conf, size, "later", GW_F_U64, NULL, 0, 0, "later"), .flags = GW_FF_PLANNED},
    {0},
};

static struct gw_arena arena;
static struct gw_diag diag;
static char *said;

static int setup(void **state)
{
    (void)state;
    gw_arena_init(&arena, 4096, 64 << 20);
    gw_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_arena_clear(&arena);
    gw_diag_clear(&diag);
    free(said);
    said = NULL;
    return 0;
}

static const char *say(void)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, 1 << 20);
    gw_diag_write(&diag, &b);
    gw_buf_put_u8(&b, '\0');
    free(said);
    said = (char *)gw_buf_take(&b, &n);
    return said;
}

static int fill(const char *text, struct conf *c)
{
    struct gw_node *n = gw_yaml_parse(gw_slice_cstr(text), "t.yaml", &arena, &diag);

    assert_non_null(n);
    return gw_schema_fill(fields, sizeof(*c), n, c, &arena, &diag);
}

/* Scenario: no settings at all. Guarantees: every key has the default written in the table. */
static void an_empty_tree_gives_the_defaults(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("", &c), 0);
    assert_true(c.strict);
    assert_int_equal(c.size, 8192);
    assert_int_equal(c.offset, -3);
    assert_true(c.ratio == 0.5);
    assert_string_equal(c.name, "x");
    assert_string_equal(c.password, "");
    assert_int_equal(c.max_age_ns, 3600000000000);
    assert_int_equal(c.mode, 0);
    assert_false(c.has_tls);
    assert_false(c.has_http);
    assert_true(c.has_queue);
    assert_int_equal(c.topics.n, 0);
}

/* Scenario: quoted numbers, unquoted texts, hexadecimal, a scalar for a list. Guarantees: they mean what was meant. */
static void values_are_typed_by_the_key_not_by_the_quotes(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("{strict: \"false\", size: \"0x10\", offset: '7', ratio: 1, name: 0123, max_age: 1m30s,\n"
                          " mode: Detailed, topics: 'a, b', headers: {X: 1, y: true}, any: {deep: [1]}}",
                          &c),
                     0);
    assert_false(c.strict);
    assert_int_equal(c.size, 16);
    assert_int_equal(c.offset, 7);
    assert_true(c.ratio == 1);
    assert_string_equal(c.name, "0123");
    assert_int_equal(c.max_age_ns, 90000000000);
    assert_int_equal(c.mode, 2);
    assert_int_equal(c.topics.n, 2);
    assert_string_equal(((const char **)c.topics.items)[1], "b");
    assert_int_equal(c.headers.n, 2);
    assert_string_equal(c.headers.entries[0].key, "X");
    assert_string_equal(c.headers.entries[0].value, "1");
    assert_string_equal(c.headers.entries[1].value, "true");
    assert_int_equal(gw_node_path(c.any, "deep", NULL)->first->i, 1);
}

/* Scenario: a block absent, null, {}, with enabled false. Guarantees: four different meanings. */
static void an_optional_block_knows_absent_null_empty_and_off(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("{tls: , http: , queue: }", &c), 0);
    assert_false(c.has_tls);
    assert_true(c.has_http);
    assert_true(c.has_queue);
    assert_int_equal(fill("{tls: {}, http: {}, queue: {enabled: false, insecure: true}}", &c), 0);
    assert_true(c.has_tls);
    assert_true(c.has_http);
    assert_false(c.has_queue);
    assert_int_equal(fill("{tls: {enabled: true, insecure: true}}", &c), 0);
    assert_true(c.has_tls);
    assert_true(c.tls.insecure);
    assert_int_equal(fill("{http: {enabled: false}}", &c), 0);
    assert_false(c.has_http);
}

/* Scenario: headers as a list of name and value. Guarantees: the same map as from the short spelling. */
static void a_map_may_be_a_list_of_pairs(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("headers: [{name: a, value: 1}, {name: b}]", &c), 0);
    assert_int_equal(c.headers.n, 2);
    assert_string_equal(c.headers.entries[0].key, "a");
    assert_string_equal(c.headers.entries[0].value, "1");
    assert_string_equal(c.headers.entries[1].value, "");
}

/* Scenario: one mistake of every sort in one file. Guarantees: all are told, in file order, with place and advice. */
static void all_mistakes_are_told_at_once(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("strct: true\n"
                          "size: 0\n"
                          "offset: 1.5\n"
                          "ratio: .nan\n"
                          "max_age: 5 seconds\n"
                          "mode: detaild\n"
                          "tls: { insecur: true }\n"
                          "topics: [[]]\n"
                          "actions: [{kind: basic}, {key: k, kid: basic}]\n"
                          "later: 1\n"
                          "strict: yes\n"
                          "name: {}\n",
                          &c),
                     -EINVAL);
    assert_string_equal(
        say(), "t.yaml:1:1: error: unknown key \"strct\"; did you mean \"strict\"?\n"
               "t.yaml:2:7: error: size: \"0\" is out of range: allowed is 1 to 1000000\n"
               "t.yaml:3:9: error: offset: must be a whole number of 64 bits\n"
               "t.yaml:4:8: error: ratio: \".nan\" is out of range: allowed is 0 to 1\n"
               "t.yaml:5:10: error: max_age: \"5 seconds\" is not a duration: write it like 5s, 200ms or 1h30m\n"
               "t.yaml:6:7: error: mode: unknown value \"detaild\"; did you mean \"detailed\"? Allowed: basic, normal, "
               "detailed\n"
               "t.yaml:7:8: error: unknown key \"insecur\" in tls; did you mean \"insecure\"?\n"
               "t.yaml:8:10: error: topics::0: must be a text, not a list\n"
               "t.yaml:9:11: error: actions::0: \"key\" is missing: it has no default\n"
               "t.yaml:9:35: error: unknown key \"kid\" in actions::1; did you mean \"kind\"?\n"
               "t.yaml:10:1: error: later is planned and not there yet\n"
               "t.yaml:11:9: error: strict: must be true or false, not a text\n"
               "t.yaml:12:7: error: name: must be a text, not a map\n");
}

/* Scenario: deprecated keys and keys without effect. Guarantees: accepted, and said. */
static void old_keys_are_accepted_and_said(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(fill("title: t\nold_strict: false\ngc_percent: 5\nmax_age: 2000000000\n", &c), 0);
    assert_string_equal(c.name, "t");
    assert_false(c.strict);
    assert_int_equal(c.max_age_ns, 2000000000);
    assert_string_equal(
        say(),
        "t.yaml:1:1: warning: title is deprecated: write \"name\"\n"
        "t.yaml:2:1: warning: old_strict is deprecated: use strict\n"
        "t.yaml:3:1: note: gc_percent is accepted and has no effect\n"
        "t.yaml:4:10: warning: max_age: 2000000000 without a unit means nanoseconds; did you mean 2000000000s?\n");
}

static void set_size(void *conf, const void *arg)
{
    ((struct conf *)conf)->size = *(const uint64_t *)arg;
}

/* Scenario: keys of one tree belong to two tables, one with another default. Guarantees: each gets its own. */
static void two_tables_share_a_tree(void **state)
{
    struct gw_node *n = gw_yaml_parse(gw_slice_cstr("{insecure: true, mode: normal, bad: 1}"), "t.yaml", &arena, &diag);
    uint64_t other = 77;
    struct conf c;
    struct tls t;
    const struct gw_settings tables[] = {
        {tls_fields, sizeof(t), &t, NULL, NULL},
        {fields, sizeof(c), &c, set_size, &other},
    };

    (void)state;
    assert_int_equal(gw_schema_fill_tables(tables, 2, n, &arena, &diag), -EINVAL);
    assert_true(t.insecure);
    assert_int_equal(c.mode, 1);
    assert_int_equal(c.size, 77);
    assert_int_equal(diag.n_errors, 1);
}

/* Scenario: words near and far. Guarantees: a typo finds its word, a different word finds nothing. */
static void a_typo_finds_the_nearest_word(void **state)
{
    static const char *const words[] = {"otlp", "verbosity", "max_recv_msg_size_mib", "url", NULL};

    (void)state;
    assert_string_equal(gw_suggest(GW_SLICE("otpl"), words), "otlp");
    assert_string_equal(gw_suggest(GW_SLICE("verbosty"), words), "verbosity");
    assert_string_equal(gw_suggest(GW_SLICE("max_recv_msg_size_mb"), words), "max_recv_msg_size_mib");
    assert_string_equal(gw_suggest(GW_SLICE("Max-Recv-Msg-Size-MiB"), words), "max_recv_msg_size_mib");
    assert_null(gw_suggest(GW_SLICE("kafka"), words));
    assert_null(gw_suggest(GW_SLICE("xyz"), words));
    assert_null(gw_suggest(GW_SLICE(""), words));
}

/* Scenario: durations as Go writes them, and not. Guarantees: exact nanoseconds or -EINVAL. */
static void durations_are_go_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"0", 0},          {"1h30m", 5400000000000}, {"200ms", 200000000}, {"1.5s", 1500000000},
                {"100us", 100000}, {"100\xc2\xb5s", 100000}, {"+5s", 5000000000},  {".5s", 500000000},
                {"1ns", 1},        {"0.1s", 100000000}};
    static const char *const bad[] = {"", "5", "s", "-1s", "5 s", "1d", ".s", "1h ", "300000000h", "1e3s", NULL};
    char buf[64];
    uint64_t ns;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(gw_duration_parse(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; bad[i]; i++)
        assert_int_equal(gw_duration_parse(bad[i], &ns), -EINVAL);
    assert_string_equal(gw_duration_format(5400000000000, buf, sizeof(buf)), "1h30m");
    assert_string_equal(gw_duration_format(1500000000, buf, sizeof(buf)), "1s500ms");
    assert_string_equal(gw_duration_format(0, buf, sizeof(buf)), "0s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_tree_gives_the_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(values_are_typed_by_the_key_not_by_the_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_optional_block_knows_absent_null_empty_and_off, setup, teardown),
        cmocka_unit_test_setup_teardown(a_map_may_be_a_list_of_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(all_mistakes_are_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(old_keys_are_accepted_and_said, setup, teardown),
        cmocka_unit_test_setup_teardown(two_tables_share_a_tree, setup, teardown),
        cmocka_unit_test(a_typo_finds_the_nearest_word),
        cmocka_unit_test(durations_are_go_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
