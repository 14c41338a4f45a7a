/* SPDX-License-Identifier: Apache-2.0 */
#include "config/load.h"
#include "config/schema.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "core/env.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct gw_arena arena;
static struct gw_diag diag;
static struct gw_env *env;
static char *said;
static char dir[] = "/tmp/staunch-load-XXXXXX";

static int setup_group(void **state)
{
    (void)state;
    env = gw_env_real_new();
    return env && mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown_group(void **state)
{
    static const char *const names[] = {"a.yaml", "b.yaml", "part.yaml", "self.yaml", "secret"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(names[i]);
    gw_env_real_free(env);
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    gw_arena_init(&arena, 65536, 64 << 20);
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

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

static const char *variable(void *arg, const char *name)
{
    static const char *const table[][2] = {
        {"PORT", "4317"},
        {"HOST", "example.org"},
        {"NAME", "HOST"},
        {"MAP", "{a: 1, b: [x, y]}"},
        {"EMPTY", ""},
        {"LOOP", "${env:LOOP}"},
        {"TWO", "${env:PORT}"},
        {"ODD", "[not yaml"},
        {"QUOTED", "'12'"},
        {"PW", "a: b"},
        {"NOTED", "4317 # the port"},
        {"TAGGED", "!x .5"},
        {"BOMB1", "${env:BOMB2}${env:BOMB2}${env:BOMB2}${env:BOMB2}${env:BOMB2}${env:BOMB2}${env:BOMB2}${env:BOMB2}"},
        {"BOMB2", "${env:BOMB3}${env:BOMB3}${env:BOMB3}${env:BOMB3}${env:BOMB3}${env:BOMB3}${env:BOMB3}${env:BOMB3}"},
        {"BOMB3", "${env:BOMB1}${env:BOMB1}${env:BOMB1}${env:BOMB1}${env:BOMB1}${env:BOMB1}${env:BOMB1}${env:BOMB1}"},
    };

    (void)arg;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i][0], name) == 0)
            return table[i][1];
    return NULL;
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

static int load(const char *const *uris, size_t n_uris, const char *const *sets, size_t n_sets,
                const struct gw_node **ret)
{
    const struct gw_config_request rq = {
        .env = env, .variable = variable, .uris = uris, .n_uris = n_uris, .sets = sets, .n_sets = n_sets};

    return gw_config_load(&rq, &arena, &diag, ret);
}

/* A whole configuration given as text. */
static const struct gw_node *load_text(const char *text)
{
    const struct gw_node *root = NULL;

    write_file("a.yaml", text);
    return load(&(const char *){"a.yaml"}, 1, NULL, 0, &root) == 0 ? root : NULL;
}

static char *written(const struct gw_node *root)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, 1 << 20);
    gw_yaml_write(&b, root);
    gw_buf_put_u8(&b, '\0');
    free(said);
    said = (char *)gw_buf_take(&b, &n);
    return said;
}

/* Scenario: keys and texts with a byte order mark, NEL, line separators. Guarantees: they are written so that a reader
 * gives back the same tree. */
static void a_written_tree_reads_back_as_itself(void **state)
{
    static const char bom[] = "\xef\xbb\xbf";
    char text[200];
    const struct gw_node *root;

    (void)state;
    snprintf(text, sizeof(text), "\"\\ufeffa\": \"\\x85 \\u2028\"\nb: \"x\\u2029\\x7fy\"\n");
    root = load_text(text);
    assert_non_null(root);
    assert_memory_equal(root->first->key, bom, 3);
    assert_string_equal(written(root), text);
    snprintf(text, sizeof(text), "%s%sa: 1\n", bom, bom);
    root = load_text(text);
    assert_non_null(root);
    assert_string_equal(written(root), "\"\\ufeffa\": 1\n");
}

/* Scenario: two files and a --set. Guarantees: maps join, lists are replaced, scalars overwritten, --set wins. */
static void sources_merge_from_left_to_right(void **state)
{
    static const char *const uris[] = {"a.yaml", "file:b.yaml", "yaml:exporters::debug::verbosity: detailed"};
    static const char *const sets[] = {"processors.batch.timeout=2s", "a.list=[7]"};
    const struct gw_node *root;

    (void)state;
    write_file("a.yaml", "processors: {batch: {timeout: 1s, size: 5}}\na: {list: [1, 2], keep: true}\nx: 1\n");
    write_file("b.yaml", "processors: {batch: {size: 6}, other: }\na: {list: [3]}\nx: {y: 1}\n");
    assert_int_equal(load(uris, 3, sets, 2, &root), 0);
    assert_string_equal(written(root), "processors:\n"
                                       "    batch:\n"
                                       "        timeout: 2s\n"
                                       "        size: 6\n"
                                       "    other: null\n"
                                       "a:\n"
                                       "    list:\n"
                                       "        - 7\n"
                                       "    keep: true\n"
                                       "x:\n"
                                       "    y: 1\n"
                                       "exporters:\n"
                                       "    debug:\n"
                                       "        verbosity: detailed\n");
}

/* Scenario: values from two files. Guarantees: each still knows the file and the line that it came from. */
static void places_survive_the_merge(void **state)
{
    static const char *const uris[] = {"a.yaml", "b.yaml"};
    static const char *const sets[] = {"m.z=3"};
    const struct gw_node *root, *n;

    (void)state;
    write_file("a.yaml", "m:\n  x: 1\n");
    write_file("b.yaml", "# one\n# two\nm:\n  y: 2\n");
    assert_int_equal(load(uris, 2, sets, 1, &root), 0);
    n = gw_node_path(root, "m", "x", NULL);
    assert_string_equal(n->place.source, "a.yaml");
    assert_int_equal(n->place.line, 2);
    n = gw_node_path(root, "m", "y", NULL);
    assert_string_equal(n->place.source, "b.yaml");
    assert_int_equal(n->place.line, 4);
    n = gw_node_path(root, "m", "z", NULL);
    assert_string_equal(n->place.source, "--set m.z");
    assert_int_equal(n->place.line, 0);
}

/* Scenario: every spelling of an expansion. Guarantees: the value and the type that the Collector gives it. */
static void expansions_take_the_type_of_their_text(void **state)
{
    const struct gw_node *r = load_text("port: ${env:PORT}\n"
                                        "short: ${PORT}\n"
                                        "mixed: ${env:HOST}:${env:PORT}\n"
                                        "nested: ${env:${env:NAME}}\n"
                                        "default: ${env:NOPE:-12}\n"
                                        "nested_default: ${env:NOPE:-${env:HOST}}\n"
                                        "empty_default: ${env:EMPTY:-x}\n"
                                        "map: ${env:MAP}\n"
                                        "two: ${TWO}\n"
                                        "odd: ${ODD}\n"
                                        "quoted: ${QUOTED}\n"
                                        "yaml: \"${yaml:[1, 2]}\"\n"
                                        "escaped: $${env:PORT}\n"
                                        "triple: $$${env:PORT}\n"
                                        "both: $${A} ${PORT}\n"
                                        "money: cost $$5 or $6\n"
                                        "list: [\"${PORT}\"]\n"
                                        "plain: $HOST\n");

    (void)state;
    if (!r)
        fail_msg("%s", say());
    assert_int_equal(gw_node_get(r, "port")->type, GW_NODE_INT);
    assert_int_equal(gw_node_get(r, "port")->i, 4317);
    assert_int_equal(gw_node_get(r, "port")->place.line, 1);
    assert_int_equal(gw_node_get(r, "short")->i, 4317);
    assert_string_equal(gw_node_get(r, "mixed")->text, "example.org:4317");
    assert_string_equal(gw_node_get(r, "nested")->text, "example.org");
    assert_int_equal(gw_node_get(r, "default")->i, 12);
    assert_string_equal(gw_node_get(r, "nested_default")->text, "example.org");
    assert_int_equal(gw_node_get(r, "empty_default")->type, GW_NODE_NULL);
    assert_string_equal(gw_node_path(r, "map", "b", NULL)->last->text, "y");
    assert_int_equal(gw_node_get(r, "two")->i, 4317);
    assert_string_equal(gw_node_get(r, "odd")->text, "[not yaml");
    assert_string_equal(gw_node_get(r, "quoted")->text, "'12'");
    assert_int_equal(gw_node_get(r, "yaml")->n_children, 2);
    assert_string_equal(gw_node_get(r, "escaped")->text, "${env:PORT}");
    assert_string_equal(gw_node_get(r, "triple")->text, "$4317");
    assert_string_equal(gw_node_get(r, "both")->text, "${A} 4317");
    assert_string_equal(gw_node_get(r, "money")->text, "cost $5 or $6");
    assert_int_equal(gw_node_get(r, "list")->first->i, 4317);
    assert_string_equal(gw_node_get(r, "plain")->text, "$HOST");
    assert_int_equal(diag.n_errors + diag.n_warnings, 0);
}

struct conf {
    const char *text;
    uint64_t number;
};
static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct conf, text, "text", "d", "Text."),
    GW_U64_FIELD(struct conf, number, "number", "1", 0, 0, "Number."),
    {0},
};

/* Scenario: a password that reads as a map, a number in octal. Guarantees: a text key gets the spelling of the
 * variable. */
static void a_text_key_gets_the_original_spelling(void **state)
{
    struct conf c;

    (void)state;
    assert_int_equal(gw_schema_fill(fields, sizeof(c), load_text("text: ${PW}\nnumber: ${PORT}\n"), &c, &arena, &diag),
                     0);
    assert_string_equal(c.text, "a: b");
    assert_int_equal(c.number, 4317);
    assert_int_equal(gw_schema_fill(fields, sizeof(c), load_text("text: ${env:X:-0017}\n"), &c, &arena, &diag), 0);
    assert_string_equal(c.text, "0017");
}

/* Scenario: variables that are not there or have no name. Guarantees: empty with a warning; an error with the place. */
static void missing_and_misspelt_variables_are_told(void **state)
{
    const struct gw_node *r = load_text("a: 1\nb: ${env:NOPE}\nc: x${NOPE}y\n");

    (void)state;
    assert_int_equal(gw_node_get(r, "b")->type, GW_NODE_NULL);
    assert_string_equal(gw_node_get(r, "c")->text, "xy");
    assert_string_equal(say(), "a.yaml:2:4: warning: environment variable NOPE is not set: taken as empty\n"
                               "a.yaml:3:4: warning: environment variable NOPE is not set: taken as empty\n");
    gw_diag_clear(&diag);
    assert_null(load_text("a: ${env:MY-VAR}\nb: ${foo:bar}\nc: ${https://x/y}\nd: ${file:none.yaml}\n"));
    assert_non_null(strstr(say(), "a.yaml:1:4: error: \"MY-VAR\" is not a name of an environment variable"));
    assert_non_null(strstr(said, "a.yaml:2:4: error: unknown scheme in \"foo:bar\""));
    assert_non_null(strstr(said, "a.yaml:3:4: error: https://x/y: nothing is read over the network here"));
    assert_non_null(strstr(said, "a.yaml:4:4: error: none.yaml: No such file or directory"));
}

/* Scenario: a part in another file, a secret in a file. Guarantees: places are that file's; the last newline goes. */
static void files_may_be_parts(void **state)
{
    const struct gw_node *r;

    (void)state;
    write_file("part.yaml", "# a part\nverbosity: ${env:NOPE:-basic}\n");
    write_file("secret", "pass$$word\n");
    r = load_text("debug: ${file:part.yaml}\npassword: ${file:secret}\nin: <${file:secret}>\n");
    assert_non_null(r);
    assert_string_equal(gw_node_path(r, "debug", "verbosity", NULL)->text, "basic");
    assert_string_equal(gw_node_path(r, "debug", "verbosity", NULL)->key_place.source, "part.yaml");
    assert_int_equal(gw_node_path(r, "debug", "verbosity", NULL)->key_place.line, 2);
    assert_string_equal(gw_node_get(r, "in")->text, "<pass$word>");
}

/* Scenario: a variable that names itself, a file that includes itself, expansions that double. Guarantees: each ends.
 */
static void expansion_always_ends(void **state)
{
    (void)state;
    assert_null(load_text("a: ${LOOP}\n"));
    assert_non_null(strstr(say(), "too many expansions"));
    gw_diag_clear(&diag);
    write_file("self.yaml", "x: [\"${file:self.yaml}\", \"${file:self.yaml}\"]\n");
    assert_null(load_text("a: ${file:self.yaml}\n"));
    assert_non_null(strstr(say(), "does not end"));
    gw_diag_clear(&diag);
    assert_null(load_text("a: ${BOMB1}\n"));
    assert_int_equal(diag.n_errors, 1);
    assert_true(arena.held_bytes < 64 << 20);
}

/* Scenario: two broken sources, one missing, a --set without value. Guarantees: all are told in one go. */
static void mistakes_of_all_sources_are_told_together(void **state)
{
    static const char *const uris[] = {"a.yaml", "b.yaml", "nowhere.yaml", "https://example.org/x.yaml"};
    static const char *const sets[] = {"novalue", "a.b=[1"};
    const struct gw_node *root;

    (void)state;
    write_file("a.yaml", "a: 1\na: 2\n");
    write_file("b.yaml", "- 1\n");
    assert_int_equal(load(uris, 4, sets, 2, &root), -ENOENT);
    (void)say();
    assert_non_null(strstr(said, "a.yaml:2:1: error: duplicate key \"a\""));
    assert_non_null(strstr(said, "b.yaml:1:1: error: a configuration is a map"));
    assert_non_null(strstr(said, "nowhere.yaml: error: nowhere.yaml: No such file"));
    assert_non_null(strstr(said, "https://example.org/x.yaml: error: https://example.org/x.yaml: nothing is read"));
    assert_non_null(strstr(said, "--set: error: \"novalue\" is not of the form key=value"));
    assert_non_null(strstr(said, "--set a.b:"));
}

/* Scenario: texts that look like something else. Guarantees: written YAML reads back as the same tree. */
static void written_yaml_reads_back(void **state)
{
    const struct gw_node *r =
        load_text("a: '12'\nb: 'true'\nc: ''\nd: \"x: y\"\ne: \"a\\nb\\\"\"\nf: '#x'\n'1': [[], {}, [1]]\n"
                  "g: '- x'\nh: 'null'\ni: 'x #y'\n");
    char *first = strdup(written(r));
    struct gw_node *again = gw_yaml_parse(gw_slice_cstr(first), "again", &arena, &diag);

    (void)state;
    assert_non_null(again);
    for (const struct gw_node *c = r->first, *d = again->first; c; c = c->next, d = d->next) {
        assert_int_equal(c->type, d->type);
        assert_string_equal(c->text, d->text);
    }
    assert_string_equal(written(again), first);
    free(first);
}

/*
 * Scenario: variables whose value is a number with a comment, with a tag.
 * Guarantees: a key that wants a number gets it, one that wants a text gets the whole; what is written reads back.
 */
static void a_number_may_have_a_comment(void **state)
{
    struct noted {
        uint64_t port;
        double share;
        const char *text;
    } c;
    static const struct gw_field noted_fields[] = {
        GW_U64_FIELD(struct noted, port, "port", "1", 1, 65535, "Port."),
        GW_F64_FIELD(struct noted, share, "share", "1", 0, 1, "Share."),
        GW_STRING_FIELD(struct noted, text, "text", "", "Text."),
        {0},
    };
    const struct gw_node *r = load_text("port: ${NOTED}\nshare: ${TAGGED}\ntext: ${NOTED}\n");

    (void)state;
    assert_non_null(r);
    assert_int_equal(gw_schema_fill(noted_fields, sizeof(c), r, &c, &arena, &diag), 0);
    assert_int_equal(c.port, 4317);
    assert_true(c.share == 0.5);
    assert_string_equal(c.text, "4317 # the port");
    assert_string_equal(written(r), "port: 4317\nshare: 0.5\ntext: 4317\n");
}

/* ---- over the network ------------------------------------------------------------------------------------- */

static char asked[200];
static unsigned n_asked;

static int fetch(struct gw_env *e, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n, struct gw_err *err)
{
    static const char *const pages[][2] = {
        {"http://conf/gateway.yaml", "receivers:\n  otlp:\n  otlp:\n"},
        {"https://joe:pa$s@conf:8443/base.yaml?token=t0p", "# base\na: {b: 1, c: 2}\n"},
        {"http://conf/part", "verbosity: ${env:NOPE:-basic}\n"},
        {"http://conf/secret", "pass$$word\n"},
        {"http://conf/self", "x: \"${http://conf/self}\"\n"},
    };

    (void)e;
    n_asked++;
    assert_int_equal(max_bytes, GW_YAML_MAX_BYTES);
    snprintf(asked, sizeof(asked), "%s", url);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        if (strcmp(pages[i][0], url) == 0) {
            *ret_p = strdup(pages[i][1]);
            *ret_n = strlen(*ret_p);
            return 0;
        }
    return gw_fail(err, -EIO, "the server answered with status 404");
}

static int with_network(void **state)
{
    gw_env_real_ops(env)->fetch = fetch;
    n_asked = 0;
    return setup(state);
}

static int without_network(void **state)
{
    gw_env_real_ops(env)->fetch = NULL;
    return teardown(state);
}

/*
 * Scenario: a whole configuration, a part and a secret from URLs.
 * Guarantees: the whole URL is asked; merged and expanded as a file is; the last newline of a value goes.
 */
static void urls_are_read_as_files_are(void **state)
{
    static const char *const uris[] = {"https://joe:pa$s@conf:8443/base.yaml?token=t0p", "yaml:a::c: 3"};
    const struct gw_node *r;

    (void)state;
    assert_int_equal(load(uris, 2, NULL, 0, &r), 0);
    assert_string_equal(asked, uris[0]);
    assert_string_equal(gw_node_path(r, "a", "b", NULL)->text, "1");
    assert_string_equal(gw_node_path(r, "a", "c", NULL)->text, "3");
    assert_string_equal(gw_node_path(r, "a", "b", NULL)->key_place.source, "https://***@conf:8443/base.yaml?***");
    assert_int_equal(gw_node_path(r, "a", "b", NULL)->key_place.line, 2);
    r = load_text("debug: ${http://conf/part}\nin: <${http://conf/secret}>\n");
    assert_non_null(r);
    assert_string_equal(gw_node_path(r, "debug", "verbosity", NULL)->text, "basic");
    assert_string_equal(gw_node_path(r, "debug", "verbosity", NULL)->key_place.source, "http://conf/part");
    assert_string_equal(gw_node_get(r, "in")->text, "<pass$word>");
}

/*
 * Scenario: mistakes in what a URL brings, a URL that is not there, one that is none, one that brings itself.
 * Guarantees: each is told with URL, line and column or place of use; a password and a query are not; 32 are asked for.
 */
static void mistakes_behind_urls_are_told_without_passwords(void **state)
{
    static const char *const uris[] = {"http://conf/gateway.yaml", "https://joe:s3cret@conf/none?token=t0p"};
    const struct gw_node *r;

    (void)state;
    assert_int_equal(load(uris, 2, NULL, 0, &r), -EIO);
    assert_non_null(strstr(say(), "http://conf/gateway.yaml:3:3: error: duplicate key \"otlp\""));
    assert_non_null(strstr(said,
                           "https://***@conf/none?***: error: https://***@conf/none?***: the server answered with "
                           "status 404"));
    assert_null(strstr(said, "s3cret"));
    assert_null(strstr(said, "t0p"));
    gw_diag_clear(&diag);
    assert_null(load_text("a: 1\nb: ${https://joe:s3cret@conf/gone}\nc: ${http:conf/x}\nd: ${https:///x}\n"
                          "e: ${http://joe:s3$cret@x/}\nf: ${ftp://joe:s3cret@x/}\n"));
    assert_non_null(strstr(say(), "a.yaml:2:4: error: https://***@conf/gone: the server answered with status 404"));
    assert_non_null(strstr(said, "a.yaml:3:4: error: http:conf/x: no URL; one looks like https://host/path"));
    assert_non_null(strstr(said, "a.yaml:4:4: error: https:///x: no URL"));
    assert_non_null(strstr(said, "a.yaml:5:4: error: \"${http://***@x/}\" has a $ inside"));
    assert_non_null(strstr(said, "a.yaml:6:4: error: unknown scheme in \"ftp://***@x/\""));
    assert_null(strstr(said, "cret"));
    n_asked = 0;
    gw_diag_clear(&diag);
    assert_null(load_text("a: ${http://conf/self}\n"));
    assert_non_null(strstr(say(), "more than 32 URLs in one configuration"));
    assert_int_equal(n_asked, 32);
}

/* Scenario: what may stand behind --config, as it is shown. Guarantees: nothing that may be a secret. */
static void a_source_is_shown_without_secrets(void **state)
{
    static const char *const pairs[][2] = {
        {"gateway.yaml", "gateway.yaml"},
        {"file:/etc/a@b?c.yaml", "file:/etc/a@b?c.yaml"},
        {"env:CONF", "env:CONF"},
        {"yaml:a: http://joe:pw@h/", "yaml:"},
        {"http://conf/a@b", "http://conf/a@b"},
        {"http://conf?user=a@b", "http://conf?***"},
        {"https://joe@conf:1/x", "https://***@conf:1/x"},
        {"https://joe:p@w@conf/x?y#z", "https://***@conf/x?***"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_string_equal(gw_uri_shown(&arena, pairs[i][0]), pairs[i][1]);
}

/* Scenario: no configuration given. Guarantees: the built-in one parses and listens on the loopback address only. */
static void the_built_in_configuration_loads(void **state)
{
    const struct gw_node *root, *p;

    (void)state;
    assert_int_equal(load(&(const char *){"builtin:"}, 1, NULL, 0, &root), 0);
    p = gw_node_path(root, "receivers", "otlp", "protocols", NULL);
    assert_string_equal(gw_node_path(p, "grpc", "endpoint", NULL)->text, "127.0.0.1:4317");
    assert_string_equal(gw_node_path(p, "http", "endpoint", NULL)->text, "127.0.0.1:4318");
    assert_int_equal(gw_node_path(root, "service", "pipelines", NULL)->n_children, 3);
}

/*
 * Scenario: the same file, with dollars, aliases, parts and a flat key, into arenas of every size up to one that does.
 * Guarantees: each smaller one is told as out of memory, and nothing else is.
 */
static void a_full_arena_is_told_as_such(void **state)
{
    static const char text[] = "a::b: [1, &x {c: \"$${env:PORT}$$\", d: 'x${env:HOST}$$'}]\ne: {<<: *x}\nf: ${MAP}\n";
    const struct gw_node *root = NULL;
    unsigned failures = 0;

    (void)state;
    write_file("a.yaml", text);
    for (size_t bytes = 16; !root; bytes += 16) {
        gw_arena_init(&arena, 16, bytes);
        gw_diag_init(&diag);
        if (load(&(const char *){"a.yaml"}, 1, NULL, 0, &root) < 0) {
            failures++;
            assert_non_null(strstr(say(), "out of memory"));
            gw_arena_clear(&arena);
            gw_diag_clear(&diag);
            assert_true(bytes < 1 << 20);
        }
    }
    assert_true(failures > 100);
    assert_string_equal(gw_node_path(root, "e", "c", NULL)->text, "${env:PORT}$");
    assert_string_equal(gw_node_path(root, "e", "d", NULL)->text, "xexample.org$");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_written_tree_reads_back_as_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(sources_merge_from_left_to_right, setup, teardown),
        cmocka_unit_test_setup_teardown(places_survive_the_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(expansions_take_the_type_of_their_text, setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_key_gets_the_original_spelling, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_and_misspelt_variables_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(files_may_be_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(expansion_always_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_of_all_sources_are_told_together, setup, teardown),
        cmocka_unit_test_setup_teardown(written_yaml_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_built_in_configuration_loads, setup, teardown),
        cmocka_unit_test_setup_teardown(a_number_may_have_a_comment, setup, teardown),
        cmocka_unit_test_setup_teardown(urls_are_read_as_files_are, with_network, without_network),
        cmocka_unit_test_setup_teardown(mistakes_behind_urls_are_told_without_passwords, with_network, without_network),
        cmocka_unit_test_setup_teardown(a_source_is_shown_without_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_arena_is_told_as_such, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
