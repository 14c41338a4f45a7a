/* SPDX-License-Identifier: Apache-2.0 */
/* The PEM texts of a client: where they come from, and when they are read again. */
#include "tests/harness.h"
#include "tests/harness_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/client_tls.h"

enum { CA, CERT, KEY };
static struct gw_test_env te;
static char path[3][64];
static uint64_t changed[3]; /* what the world says of the files */

static uint64_t file_changed_ns(struct gw_env *env, const char *p)
{
    (void)env;
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(p, path[i]) == 0)
            return changed[i];
    return 0;
}

static void put_file(unsigned i, const char *text)
{
    FILE *f = fopen(path[i], "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    changed[i]++;
}

static int setup(void **state)
{
    (void)state;
    gw_test_env_init(&te, 1);
    te.ops.file_changed_ns = file_changed_ns;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path[i], sizeof(path[i]), "/tmp/staunch-tls-%d-%u.pem", (int)getpid(), i);
        put_file(i, "old");
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        unlink(path[i]);
    gw_test_env_clear(&te);
    return 0;
}

static struct gw_client_tls files(uint64_t interval_ns)
{
    return (struct gw_client_tls){
        .ca_file = path[CA], .cert_file = path[CERT], .key_file = path[KEY], .reload_interval_ns = interval_ns};
}

/* Scenario: the files of cert_file and key_file are replaced, that of ca_file is not; asked before and after
 * reload_interval.
 * Guarantees: nothing is looked at before the interval is over; then both texts are the new ones, and it is said so
 * once. */
static void changed_files_are_read_after_the_interval(void **state)
{
    struct gw_client_tls tls = files(1000);
    struct gw_client_pems p;

    (void)state;
    assert_int_equal(gw_client_pems_load(&p, &te.env, &tls, NULL), 0);
    assert_string_equal(p.text[GW_PEM_CERT], "old");
    put_file(CERT, "new certificate");
    put_file(KEY, "new key");
    assert_false(gw_client_pems_refresh(&p, p.looked_ns + 999));
    assert_true(gw_client_pems_refresh(&p, p.looked_ns + 1000));
    assert_string_equal(p.text[GW_PEM_CERT], "new certificate");
    assert_string_equal(p.text[GW_PEM_KEY], "new key");
    assert_string_equal(p.text[GW_PEM_CA], "old");
    assert_false(gw_client_pems_refresh(&p, p.looked_ns + 1000));
    gw_client_pems_clear(&p);
}

/* Scenario: the certificate is new and its key cannot be read; later it can.
 * Guarantees: half of a pair is not taken; the whole pair is, at the next look. */
static void half_of_a_pair_is_not_taken(void **state)
{
    struct gw_client_tls tls = files(1000);
    struct gw_client_pems p;

    (void)state;
    assert_int_equal(gw_client_pems_load(&p, &te.env, &tls, NULL), 0);
    put_file(CERT, "new certificate");
    unlink(path[KEY]);
    changed[KEY]++;
    assert_false(gw_client_pems_refresh(&p, p.looked_ns + 1000));
    assert_string_equal(p.text[GW_PEM_CERT], "old");
    put_file(KEY, "new key");
    assert_true(gw_client_pems_refresh(&p, p.looked_ns + 1000));
    assert_string_equal(p.text[GW_PEM_CERT], "new certificate");
    assert_string_equal(p.text[GW_PEM_KEY], "new key");
    gw_client_pems_clear(&p);
}

/* Scenario: reload_interval 0; texts instead of files; nothing at all.
 * Guarantees: files are read once and for all, texts are taken as they are. */
static void without_an_interval_nothing_is_read_again(void **state)
{
    struct gw_client_tls tls = files(0), none = {0}, texts = {.ca_pem = "x"};
    struct gw_client_pems p;

    (void)state;
    assert_int_equal(gw_client_pems_load(&p, &te.env, &tls, NULL), 0);
    put_file(CERT, "new");
    assert_false(gw_client_pems_refresh(&p, p.looked_ns + 1000000000000));
    assert_string_equal(p.text[GW_PEM_CERT], "old");
    gw_client_pems_clear(&p);
    assert_int_equal(gw_client_pems_load(&p, &te.env, &none, NULL), 0);
    assert_null(p.text[GW_PEM_CA]);
    gw_client_pems_clear(&p);
    assert_int_equal(gw_client_pems_load(&p, &te.env, &texts, NULL), 0);
    assert_string_equal(p.text[GW_PEM_CA], "x");
    gw_client_pems_clear(&p);
}

/* Scenario: a file and a text for the same thing; a certificate without its key; a file that is not there.
 * Guarantees: an error that names the setting or the file. */
static void contradictions_are_named(void **state)
{
    struct gw_client_tls both = {.ca_file = path[CA], .ca_pem = "x"}, half = {.cert_file = path[CERT]},
                         gone = {.ca_file = "/nonexistent/ca.pem"};
    struct gw_client_pems p;
    struct gw_err err;

    (void)state;
    assert_int_equal(gw_client_pems_load(&p, &te.env, &both, &err), -EINVAL);
    assert_non_null(strstr(err.text, "ca_pem"));
    assert_int_equal(gw_client_pems_load(&p, &te.env, &half, &err), -EINVAL);
    assert_non_null(strstr(err.text, "key_file"));
    assert_int_equal(gw_client_pems_load(&p, &te.env, &gone, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changed_files_are_read_after_the_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(half_of_a_pair_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(without_an_interval_nothing_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(contradictions_are_named, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
