/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"
#include "core/buf.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static const struct gw_node *parse(const char *text)
{
    return gw_yaml_parse(gw_slice_cstr(text), "t.yaml", &arena, &diag);
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

/* Scenario: every way to write a scalar. Guarantees: type, value and original text as the Collector's library has them.
 */
static void scalars_have_the_types_of_the_core_schema(void **state)
{
    static const struct {
        const char *text;
        enum gw_node_type type;
        double value;
    } cases[] = {
        {"null", GW_NODE_NULL, 0},
        {"~", GW_NODE_NULL, 0},
        {"Null", GW_NODE_NULL, 0},
        {"true", GW_NODE_BOOL, 1},
        {"FALSE", GW_NODE_BOOL, 0},
        {"yes", GW_NODE_STRING, 0},
        {"off", GW_NODE_STRING, 0},
        {"12", GW_NODE_INT, 12},
        {"-7", GW_NODE_INT, -7},
        {"+7", GW_NODE_INT, 7},
        {"0x1F", GW_NODE_INT, 31},
        {"0o17", GW_NODE_INT, 15},
        {"017", GW_NODE_INT, 15},
        {"0b101", GW_NODE_INT, 5},
        {"1_000", GW_NODE_INT, 1000},
        {"08", GW_NODE_FLOAT, 8},
        {"1.5", GW_NODE_FLOAT, 1.5},
        {"1e3", GW_NODE_FLOAT, 1000},
        {".5", GW_NODE_FLOAT, .5},
        {"5.", GW_NODE_FLOAT, 5},
        {".inf", GW_NODE_FLOAT, INFINITY},
        {"1.2.3", GW_NODE_STRING, 0},
        {"e3", GW_NODE_STRING, 0},
        {"1e", GW_NODE_STRING, 0},
        {"0x", GW_NODE_STRING, 0},
        {"10s", GW_NODE_STRING, 0},
        {"2001-01-01", GW_NODE_STRING, 0},
        {"'12'", GW_NODE_STRING, 0},
        {"\"true\"", GW_NODE_STRING, 0},
        {"!!str 12", GW_NODE_STRING, 0},
        {"18446744073709551615", GW_NODE_FLOAT, 18446744073709551615.0},
        {"-9223372036854775808", GW_NODE_INT, -9223372036854775808.0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[100];
        const struct gw_node *n;

        (void)snprintf(text, sizeof(text), "k: %s", cases[i].text);
        n = gw_node_get(parse(text), "k");
        assert_non_null(n);
        if (n->type != cases[i].type)
            fail_msg("%s is of type %d", cases[i].text, n->type);
        if (n->type == GW_NODE_INT)
            assert_true((double)n->i == cases[i].value);
        else if (n->type == GW_NODE_FLOAT)
            assert_true(n->f == cases[i].value);
        else if (n->type == GW_NODE_BOOL)
            assert_int_equal(n->b, (int)cases[i].value);
        if (strpbrk(cases[i].text, "'\"!") == NULL)
            assert_string_equal(n->text, cases[i].text);
    }
    assert_string_equal(gw_node_get(parse("k: !!str 12"), "k")->text, "12");
    assert_true(isnan(gw_node_get(parse("k: .nan"), "k")->f));
}

/* Scenario: a nested file. Guarantees: places count from 1, names are joined by two colons, order is kept. */
static void every_node_knows_its_place_and_name(void **state)
{
    const struct gw_node *root = parse("a:\n  b: [x, y]\n  c: |\n    text\n"), *y, *c;
    char name[64];

    (void)state;
    assert_non_null(root);
    y = gw_node_path(root, "a", "b", NULL)->last;
    c = gw_node_path(root, "a", "c", NULL);
    assert_string_equal(gw_node_name(y, name, sizeof(name)), "a::b::1");
    assert_int_equal(y->place.line, 2);
    assert_int_equal(y->place.column, 10);
    assert_int_equal(c->key_place.line, 3);
    assert_int_equal(c->key_place.column, 3);
    assert_string_equal(c->text, "text\n");
    assert_int_equal(gw_node_get(root, "a")->n_children, 2);
    assert_string_equal(gw_node_name(y, name, 5), "a::b");
    assert_null(gw_node_path(root, "a", "nothing", "more", NULL));
}

/* Scenario: anchors, aliases, merge keys. Guarantees: own keys win, earlier merges win, texts are copies. */
static void aliases_and_merge_keys_expand(void **state)
{
    const struct gw_node *root = parse("base: &b {x: 1, y: 2}\n"
                                       "more: &m {y: 3, z: 4}\n"
                                       "one: {<<: *b, x: 9}\n"
                                       "two: {<<: [*b, *m]}\n"
                                       "three: *b\n"
                                       "plain: {\"<<\": 1}\n");

    (void)state;
    assert_non_null(root);
    assert_int_equal(gw_node_path(root, "one", "x", NULL)->i, 9);
    assert_int_equal(gw_node_path(root, "one", "y", NULL)->i, 2);
    assert_int_equal(gw_node_path(root, "one", NULL)->n_children, 2);
    assert_int_equal(gw_node_path(root, "two", "y", NULL)->i, 2);
    assert_int_equal(gw_node_path(root, "two", "z", NULL)->i, 4);
    assert_int_equal(gw_node_path(root, "three", "x", NULL)->i, 1);
    assert_int_equal(gw_node_path(root, "plain", "<<", NULL)->i, 1);
    assert_true(gw_node_path(root, "three", "x", NULL) != gw_node_path(root, "base", "x", NULL));
}

/* Scenario: duplicate keys at two places. Guarantees: both are told, with the line of the first. */
static void duplicate_keys_are_all_told(void **state)
{
    (void)state;
    assert_null(parse("a: 1\nb: {c: 1, c: 2}\na: 2\n"));
    assert_string_equal(say(), "t.yaml:2:11: error: duplicate key \"c\": it stands in line 2 already\n"
                               "t.yaml:3:1: error: duplicate key \"a\": it stands in line 1 already\n");
}

/* Scenario: broken YAML. Guarantees: line and column of the break, not of the start. */
static void a_syntax_error_has_its_place(void **state)
{
    (void)state;
    assert_null(parse("a: 1\nb: [1, 2\nc: 3\n"));
    assert_non_null(strstr(say(), "t.yaml:2:4: note: it was opened here"));
    assert_non_null(strstr(say(), "t.yaml:4:1: error: not YAML: flow sequence without a closing bracket"));
    gw_diag_clear(&diag);
    assert_null(parse("receivers:\n  otlp:\n    protocols:\n   grpc:\n"));
    assert_string_equal(say(), "t.yaml:4:4: error: not YAML: invalid indentation in mapping\n");
    gw_diag_clear(&diag);
    assert_null(parse("a:\n  b: \xff\n"));
    assert_string_equal(say(), "t.yaml:2:6: error: not UTF-8\n");
    gw_diag_clear(&diag);
    assert_null(parse("a:\n\tb: 1\n"));
    assert_string_equal(say(), "t.yaml:2:1: error: not YAML: tab character may not be used as indentation\n");
    gw_diag_clear(&diag);
    assert_null(parse("a: *nowhere\nb: &x [*x]\n"));
    assert_string_equal(say(), "t.yaml:1:4: error: unknown anchor \"nowhere\"\n"
                               "t.yaml:2:8: error: alias \"*x\" stands inside its own anchor\n");
}

/* Scenario: 11 lines that stand for 10^10 values. Guarantees: an error in well under a second, bounded memory. */
static void an_alias_bomb_is_refused(void **state)
{
    char text[2000] = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    clock_t start = clock();

    (void)state;
    for (int i = 1; i <= 10; i++) {
        char line[200];

        (void)snprintf(line, sizeof(line), "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                       i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, line);
    }
    assert_null(parse(text));
    assert_non_null(strstr(say(), "too large: more than 100000 values"));
    assert_true(arena.held_bytes < 32 << 20);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
}

static char *repeat(const char *s, size_t n)
{
    struct gw_buf b;
    size_t len;

    gw_buf_init(&b, 8 << 20);
    while (n--)
        gw_buf_put_str(&b, s);
    gw_buf_put_u8(&b, '\0');
    return (char *)gw_buf_take(&b, &len);
}

/* Scenario: 2 MiB, 5000 nested lists, 5000 keys, a zero byte. Guarantees: each is refused with its limit named. */
static void limits_are_named(void **state)
{
    static const struct {
        const char *piece;
        size_t n;
        const char *says;
    } cases[] = {{"abcdefgh", 1 << 18, "the limit is 1 MiB"},
                 {"[", 5000, "nested too deeply"},
                 {"- ", 5000, "nested too deeply"}};
    struct gw_buf b;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *text = repeat(cases[i].piece, cases[i].n);

        assert_null(parse(text));
        if (!strstr(say(), cases[i].says))
            fail_msg("%s", said);
        gw_diag_clear(&diag);
        free(text);
    }
    gw_buf_init(&b, 1 << 20);
    for (int i = 0; i < 5000; i++)
        gw_buf_printf(&b, "k%d: 1\n", i);
    assert_null(gw_yaml_parse(gw_buf_slice(&b), "t.yaml", &arena, &diag));
    assert_non_null(strstr(say(), "the limit is 4096"));
    gw_buf_clear(&b);
    gw_diag_clear(&diag);
    assert_null(parse("a: \"x\\0y\"\n"));
    assert_non_null(strstr(say(), "zero byte"));
}

/* Scenario: an empty file, a comment, a second document. Guarantees: null, null, the first with a warning. */
static void odd_files_are_understood(void **state)
{
    const struct gw_node *n;

    (void)state;
    assert_int_equal(parse("")->type, GW_NODE_NULL);
    assert_int_equal(parse("# nothing\n")->type, GW_NODE_NULL);
    n = parse("a: 1\n---\nb: 2\n");
    assert_int_equal(gw_node_get(n, "a")->i, 1);
    assert_null(gw_node_get(n, "b"));
    assert_int_equal(diag.n_warnings, 1);
}

/* Scenario: a file with terminal control sequences in its keys. Guarantees: none reaches the terminal. */
static void messages_cannot_steer_a_terminal(void **state)
{
    (void)state;
    gw_diag_add(&diag, GW_DIAG_ERROR, NULL, "bad \033[2J\r\n key");
    assert_string_equal(say(), "error: bad  [2J   key\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scalars_have_the_types_of_the_core_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(every_node_knows_its_place_and_name, setup, teardown),
        cmocka_unit_test_setup_teardown(aliases_and_merge_keys_expand, setup, teardown),
        cmocka_unit_test_setup_teardown(duplicate_keys_are_all_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_syntax_error_has_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(an_alias_bomb_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_files_are_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_cannot_steer_a_terminal, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
