/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes made by openssl passwd, crypt(3) and Python's hashlib. */
#include <time.h>

#include "extensions/common/htpasswd.h"
#include "tests/extensions/auth_rig.h"

extern const struct gw_component gw_extension_basicauth;

#define ALICE_WONDER "Basic YWxpY2U6d29uZGVy"
#define ALICE_WRONG  "Basic YWxpY2U6d3Jvbmc="
#define BOB_WONDER   "Basic Ym9iOndvbmRlcg=="
#define BCRYPT       "$2y$04$abcdefghijklmnopqrstuuetGRvO6QNMBbbIoo5tpQkbPXg26U9Qu"

static int open_with(struct auth_rig *r, const char *yaml, const char *file)
{
    rig_init(r, &gw_extension_basicauth);
    if (file)
        rig_write(r, file);
    return rig_start(r, yaml);
}

/* Scenario: every kind of hash, right and wrong passwords. Guarantees: as Apache's own programs judge them. */
static void hashes_of_every_kind_are_judged(void **state)
{
    static const struct {
        const char *hash, *password;
    } t[] = {
        {BCRYPT, "wonder"},
        {"$2b$04$abcdefghijklmnopqrstuuetGRvO6QNMBbbIoo5tpQkbPXg26U9Qu", "wonder"},
        {"$6$rounds=1000$saltsalt$LebIiWVZl3zGeVs2ToRkhzuhQ4MYDU."
         "9mmMnG9L0hwtoyVhMIX9J52giGFvUfdZKAxaAEZ8lBkzFQLuwzXMPC/",
         "wonder"},
        {"$1$saltsalt$vCU5oiDUs4WzRvnmkKlxe0", "wonder"},
        {"$apr1$abcdefgh$YoZRc15qZGhK2NX/RWmro.", "wonder"},
        {"$apr1$ab$ZgbyBttfAvWjwKDroS41O1", "a much longer password than sixteen bytes"},
        {"$apr1$x$tMwYqBfQwi3FYAr0aJc8M/", ""},
        {"{SHA}w3QkzGJswDXW5OKZHAJw0FELjfM=", "wonder"},
        {"{SSHA}n0reRMPhZt31QPE0XthGVi73ivJzYWx0", "wonder"},
        {"wonder", "wonder"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct gw_slice h = gw_slice_cstr(t[i].hash);
        char longer[64];

        if (!gw_htpasswd_match(h, gw_slice_cstr(t[i].password)))
            print_error("%s\n", t[i].hash);
        assert_true(gw_htpasswd_match(h, gw_slice_cstr(t[i].password)));
        (void)snprintf(longer, sizeof(longer), "%sx", t[i].password);
        assert_false(gw_htpasswd_match(h, gw_slice_cstr(longer)));
        assert_false(gw_htpasswd_match(h, GW_SLICE("Wonder")));
        h.n -= h.p[h.n - 1] == '=' ? 2 : 1; /* a hash that was cut */
        assert_false(gw_htpasswd_match(h, gw_slice_cstr(t[i].password)));
    }
    assert_false(gw_htpasswd_match(GW_SLICE("$2y$zz$"), GW_SLICE("x")));
    assert_false(gw_htpasswd_match(GW_SLICE("$nosuch$a$b"), GW_SLICE("x")));
    assert_false(gw_htpasswd_match(GW_SLICE("{SHA}*"), GW_SLICE("x")));
    assert_false(gw_htpasswd_match(GW_SLICE("$apr1$toolongasalt$YoZRc15qZGhK2NX/RWmro."), GW_SLICE("wonder")));
}

/* Scenario: a file's lines. Guarantees: comments and odd lines are skipped, the last of two wins, no user is a prefix
 * of another. */
static void lines_are_found(void **state)
{
    static const char text[] = "# a:comment\nalice:one\r\nal:short\n\nnocolon\nalice:two\n:x\nbob:\ncarol:a:b\n";
    struct gw_slice h;

    (void)state;
    assert_true(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("alice"), &h) && gw_slice_is(h, "two"));
    assert_true(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("al"), &h) && gw_slice_is(h, "short"));
    assert_true(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("carol"), &h) && gw_slice_is(h, "a:b"));
    assert_false(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("alic"), &h));
    assert_false(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("# a"), &h));
    assert_false(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("bob"), &h)); /* an empty hash lets nobody in */
    assert_false(gw_htpasswd_find(gw_slice_cstr(text), GW_SLICE("carol:a"), &h));
}

/* Scenario: headers right, wrong and malformed. Guarantees: only the right one passes; it names the user; no password
 * reaches an error. */
static void only_right_credentials_pass(void **state)
{
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Basic",
                                        "Basic ",
                                        ALICE_WRONG,
                                        BOB_WONDER,
                                        "Bearer one",
                                        "Basic ???",
                                        "Basic YWxpY2U6d29uZGV",
                                        "Basic YWxpY2U=",
                                        "YWxpY2U6d29uZGVy"};
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{htpasswd: {inline: 'alice:wonder'}}", NULL), 0);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), 0);
    assert_int_equal(r.id.n_pairs, 2);
    assert_true(gw_slice_is(r.id.pairs[0].key, "username") && gw_slice_is(r.id.pairs[0].value, "alice"));
    assert_true(gw_slice_is(r.id.pairs[1].key, "raw") && gw_slice_is(r.id.pairs[1].value, "YWxpY2U6d29uZGVy"));
    assert_int_equal(rig_ask(&r, "authorization", "basic YWxpY2U6d29uZGVy"), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(rig_ask(&r, "authorization", wrong[i]), -EACCES);
        assert_int_equal(r.id.n_pairs, 0);
        assert_null(strstr(r.err.text, "wonder"));
    }
    assert_string_equal(rig_header(&r), ""); /* it cannot speak for anyone */
    rig_end(&r);
}

/* Scenario: a file and inline lines; the file changes, is damaged, goes. Guarantees: inline goes first; a change counts
 * within a second, also for credentials that were remembered. */
static void files_are_read_again_when_they_change(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{htpasswd: {file: '%s', inline: 'bob:wonder'}}", "alice:" BCRYPT "\nbob:other\n"),
                     0);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), 0);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), 0);
    assert_int_equal(rig_ask(&r, "authorization", BOB_WONDER), 0);
    rig_write(&r, "alice:wrong\n");
    rig_pass(&r);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), -EACCES);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WRONG), 0);
    assert_int_equal(unlink(r.file), 0);
    rig_pass(&r);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WRONG), 0);
    rig_end(&r);
    assert_true(open_with(&r, "{htpasswd: {file: '%s'}}", NULL) < 0);
    assert_non_null(strstr(r.err.text, r.file));
    rig_end(&r);
}

static double seconds_of(struct auth_rig *r, const char *credentials, int times, int want)
{
    struct timespec a, b;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    while (times-- > 0)
        assert_int_equal(rig_ask(r, "authorization", credentials), want);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* Scenario: bcrypt, the same credentials again and again, right and wrong. Guarantees: the hash is paid for once. */
static void slow_hashes_are_paid_for_once(void **state)
{
    struct auth_rig r;
    double first;

    (void)state;
    assert_int_equal(
        open_with(&r, "{htpasswd: {inline: 'alice:$2y$08$abcdefghijklmnopqrstuu7FSFF1Q8kNv91kWA2ecHIYVO9R5Z/3S'}}",
                  NULL),
        0);
    first = seconds_of(&r, ALICE_WRONG, 1, -EACCES); /* 10 ms and more */
    assert_true(seconds_of(&r, ALICE_WRONG, 100, -EACCES) < 10 * first);
    rig_end(&r);
    assert_int_equal(open_with(&r, "{htpasswd: {inline: 'alice:" BCRYPT "'}}", NULL), 0);
    first = seconds_of(&r, ALICE_WONDER, 1, 0);
    assert_true(seconds_of(&r, ALICE_WONDER, 100, 0) < 50 * first);
    rig_end(&r);
}

/* Scenario: guesses by the hundred. Guarantees: 20 cost a hash, the others are refused unheard, and two a second come
 * free; who was let in before still is. */
static void guessing_is_slowed_down(void **state)
{
    struct auth_rig r;
    unsigned unheard = 0;

    (void)state;
    assert_int_equal(open_with(&r, "{htpasswd: {inline: 'alice:" BCRYPT "'}}", NULL), 0);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), 0);
    for (unsigned i = 0; i < 100; i++) {
        char guess[64];

        (void)snprintf(guess, sizeof(guess), "Basic YWxpY2U6%04u", 1000 + i);
        assert_int_equal(rig_ask(&r, "authorization", guess), -EACCES);
        unheard += strstr(r.err.text, "too many") != NULL;
    }
    assert_int_equal(unheard, 80);
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), 0);
    gw_test_env_advance(&r.te, 1000000000u);
    unheard = 0;
    for (unsigned i = 0; i < 10; i++) {
        char guess[64];

        (void)snprintf(guess, sizeof(guess), "Basic YWxpY2U6%04u", 2000 + i);
        assert_int_equal(rig_ask(&r, "authorization", guess), -EACCES);
        unheard += strstr(r.err.text, "too many") != NULL;
    }
    assert_int_equal(unheard, 8);
    rig_end(&r);
}

/* Scenario: the client side, by setting and by files that change. Guarantees: the header that RFC 7617 asks for. */
static void clients_send_their_credentials(void **state)
{
    struct auth_rig r;

    (void)state;
    assert_int_equal(open_with(&r, "{client_auth: {username: Aladdin, password: 'open sesame'}}", NULL), 0);
    assert_string_equal(rig_header(&r), "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_int_equal(rig_ask(&r, "authorization", ALICE_WONDER), -EACCES); /* it cannot let anyone in */
    rig_end(&r);
    assert_int_equal(
        open_with(&r, "{client_auth: {username: alice, password: unused, password_file: '%s'}}", "wonder\n"), 0);
    assert_string_equal(rig_header(&r), "authorization: " ALICE_WONDER);
    rig_write(&r, "wrong");
    rig_pass(&r);
    assert_string_equal(rig_header(&r), "authorization: " ALICE_WRONG);
    rig_end(&r);
    assert_int_equal(open_with(&r, "{client_auth: {username_file: '%s', password: wonder}}", "bob"), 0);
    assert_string_equal(rig_header(&r), "authorization: " BOB_WONDER);
    rig_write(&r, "b:ob");
    rig_pass(&r);
    assert_string_equal(rig_header(&r), "");
    rig_end(&r);
}

/* Scenario: settings that cannot be. Guarantees: each is named. */
static void settings_are_checked(void **state)
{
    static const char *const t[][2] = {
        {"{}", "no credential source"},
        {"{htpasswd: {}}", "htpasswd needs file or inline"},
        {"{htpasswd: {inline: a}, client_auth: {username: a}}", "only one of"},
        {"{client_auth: {password: x}}", "needs username"},
        {"{client_auth: {username: 'a:b'}}", "colon"},
        {"{htpasswd: {inline: a, secret_provider: {}}}", "secret_provider"},
    };
    struct auth_rig r;

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (open_with(&r, t[i][0], NULL) != -EINVAL || !strstr((char *)r.said.p, t[i][1]))
            print_error("%s: %s\n", t[i][0], (char *)r.said.p);
        assert_non_null(strstr((char *)r.said.p, t[i][1]));
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_of_every_kind_are_judged), cmocka_unit_test(lines_are_found),
        cmocka_unit_test(only_right_credentials_pass),     cmocka_unit_test(files_are_read_again_when_they_change),
        cmocka_unit_test(slow_hashes_are_paid_for_once),   cmocka_unit_test(guessing_is_slowed_down),
        cmocka_unit_test(clients_send_their_credentials),  cmocka_unit_test(settings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
