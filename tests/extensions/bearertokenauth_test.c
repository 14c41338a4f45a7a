/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/extensions/auth_rig.h"

extern const struct gw_component gw_extension_bearertokenauth;

static int open_with(struct auth_rig *r, const char *yaml, const char *file)
{
    rig_init(r, &gw_extension_bearertokenauth);
    if (file)
        rig_write(r, file);
    return rig_start(r, yaml);
}

/* Scenario: one token, several, none given, wrong ones that are longer, shorter, of another scheme. Guarantees: only
 * the exact ones pass; a log line never holds the token. */
static void only_known_tokens_pass(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{tokens: [one, two]}", NULL), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer one"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer two"), 0);
    static const char *const wrong[] = {
        NULL,          "",           "Bearer", "Bearer ",   "Bearer on",     "Bearer onee",
        "Bearer  one", "bearer one", "one",    "Basic one", "Bearer secret", "Bearer one two"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(rig_ask(&r, "authorization", wrong[i]), -EACCES);
        assert_null(strstr(r.err.text, "secret"));
    }
    assert_string_equal(rig_header(&r), "authorization: Bearer one");
    rig_end(&r);
}

/* Scenario: header and scheme of one's own, and no scheme. Guarantees: both sides use them; the name is in lower case.
 */
static void header_and_scheme_are_settings(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{token: t, header: X-API-Key, scheme: ''}", NULL), 0);
    assert_int_equal(rig_ask(&r, "x-api-key", "t"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "t"), -EACCES);
    assert_int_equal(rig_ask(&r, "x-api-key", "Bearer t"), -EACCES);
    assert_string_equal(rig_header(&r), "x-api-key: t");
    rig_end(&r);
    assert_int_equal(open_with(&r, "{token: t, scheme: Token}", NULL), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Token t"), 0);
    assert_string_equal(rig_header(&r), "authorization: Token t");
    rig_end(&r);
}

/* Scenario: a file with empty lines and line ends of Windows; it changes; it goes away. Guarantees: every line is a
 * token; a change is seen within a second; a file that is gone leaves the tokens; it goes before `token`. */
static void files_are_read_again_when_they_change(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{filename: '%s', token: unused}", "one\r\n\n  two  \n"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer one"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer two"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer "), -EACCES);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer unused"), -EACCES);
    assert_string_equal(rig_header(&r), "authorization: Bearer one");
    rig_write(&r, "three");
    assert_int_equal(rig_ask(&r, "authorization", "Bearer three"), -EACCES);
    rig_pass(&r);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer three"), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer one"), -EACCES);
    assert_string_equal(rig_header(&r), "authorization: Bearer three");
    assert_int_equal(unlink(r.file), 0);
    rig_pass(&r);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer three"), 0);
    rig_end(&r);
}

/* Scenario: the file is not there at start, with and without wait_for_token_file. Guarantees: an error that names it,
 * or nobody is let in until it comes. */
static void a_missing_file_is_an_error_or_waited_for(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_true(open_with(&r, "{filename: '%s'}", NULL) < 0);
    assert_non_null(strstr(r.err.text, r.file));
    rig_end(&r);
    assert_int_equal(open_with(&r, "{filename: '%s', wait_for_token_file: true}", NULL), 0);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer "), -EACCES);
    assert_string_equal(rig_header(&r), "");
    rig_write(&r, "late\n");
    rig_pass(&r);
    assert_int_equal(rig_ask(&r, "authorization", "Bearer late"), 0);
    rig_end(&r);
}

/* Scenario: settings that cannot be. Guarantees: each is named. */
static void settings_are_checked(void **state)
{
    static const char *const t[][2] = {
        {"{}", "needs token, tokens or filename"},
        {"{token: a, tokens: [b]}", "not both"},
        {"{token: a, header: ''}", "header must be"},
        {"{tokn: a}", "token"},
    };
    struct auth_rig r;

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(open_with(&r, t[i][0], NULL), -EINVAL);
        assert_non_null(strstr((char *)r.said.p, t[i][1]));
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_tokens_pass),
        cmocka_unit_test(header_and_scheme_are_settings),
        cmocka_unit_test(files_are_read_again_when_they_change),
        cmocka_unit_test(a_missing_file_is_an_error_or_waited_for),
        cmocka_unit_test(settings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
