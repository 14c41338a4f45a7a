/* SPDX-License-Identifier: Apache-2.0 */
/* Every condition of mistakes.txt is refused with the sentence below it, and limits are kept. */
#include "tests/ottl/items.h"

#include <stdio.h>

#include "ottl/ast.h"
#include "ottl/paths.h"

enum { LINE = 1024 };

static struct gw_test_env te;

static int refusal(enum gw_ottl_context context, struct gw_slice text, char *ret, size_t size)
{
    struct gw_ottl_fault fault = {0};
    struct gw_ottl *o = NULL;
    int r = gw_ottl_condition_new(text, context, &te.env, &o, &fault);

    (void)snprintf(ret, size, "%u:%u %s", fault.line, fault.column, fault.text);
    if (r == 0)
        (void)snprintf(ret, size, "not refused");
    gw_ottl_free(o);
    return r;
}

static void test_mistakes(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/ottl/mistakes.txt", "r");
    enum gw_ottl_context context = GW_OTTL_SPAN;
    char text[LINE], word[32], is[LINE] = "";
    unsigned number = 0, wrong = 0, asked = 0;

    (void)state;
    assert_non_null(f);
    while (fgets(text, sizeof(text), f)) {
        number++;
        text[strcspn(text, "\n")] = '\0';
        if (sscanf(text, "@%31s", word) == 1) {
            context = gw_ottl_context_of(gw_slice_cstr(word));
        } else if (strncmp(text, "? ", 2) == 0 || strncmp(text, "D ", 2) == 0) {
            assert_int_not_equal(refusal(context, gw_slice_cstr(text + 2), is, sizeof(is)), -ENOMEM);
            asked++;
        } else if (strncmp(text, "    ", 4) == 0 && strcmp(text + 4, is) != 0) {
            print_error("line %u: expected %s\n    %s\n", number, text + 4, is);
            wrong++;
        }
    }
    (void)fclose(f);
    assert_int_equal(wrong, 0);
    assert_true(asked > 200);
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

static struct gw_slice repeated(struct gw_buf *b, const char *begin, unsigned n, const char *each, const char *end)
{
    gw_buf_reset(b);
    gw_buf_put_str(b, begin);
    for (unsigned i = 0; i < n; i++)
        gw_buf_put_str(b, each);
    gw_buf_put_str(b, end);
    return gw_buf_slice(b);
}

/* Brackets nest up to 64; chains and lists are as long as the text may be. */
static void test_limits(void **state)
{
    struct gw_buf b, close;
    char is[LINE];

    (void)state;
    gw_buf_init(&b, 1 << 20);
    gw_buf_init(&close, 1 << 20);
    for (unsigned n = GW_OTTL_MAX_DEPTH; n <= GW_OTTL_MAX_DEPTH + 1; n++) {
        int expected = n > GW_OTTL_MAX_DEPTH ? -EINVAL : 0;

        (void)repeated(&close, "true", n, ")", "");
        gw_buf_put_u8(&close, '\0');
        assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "", n, "(", (char *)close.p), is, sizeof(is)), expected);
        (void)repeated(&close, "", n, "]", " == nil");
        gw_buf_put_u8(&close, '\0');
        assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "", n, "[", (char *)close.p), is, sizeof(is)), expected);
    }
    assert_string_equal(is, "1:65 brackets nest deeper than 64");
    assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "true", 7000, " and true", ""), is, sizeof(is)), 0);
    assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "kind == 1", 3000, " or kind == 1", ""), is, sizeof(is)), 0);
    assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "1 == kind", 15000, " + 1", ""), is, sizeof(is)), 0);
    assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "kind == 1", 65536, " ", ""), is, sizeof(is)), -EINVAL);
    assert_string_equal(is, "1:1 longer than 64 KiB");
    assert_int_equal(refusal(GW_OTTL_SPAN, repeated(&b, "", 65527, " ", "kind == 1"), is, sizeof(is)), 0);
    gw_buf_clear(&b);
    gw_buf_clear(&close);
}

/* Lines are counted. */
static void test_lines(void **state)
{
    char is[LINE];

    (void)state;
    assert_int_equal(refusal(GW_OTTL_SPAN, GW_SLICE("kind == 1\n  and nme == \"x\""), is, sizeof(is)), -EINVAL);
    assert_string_equal(is, "2:7 a span has no path nme: did you mean name?");
    assert_int_equal(refusal(GW_OTTL_SPAN, GW_SLICE("kind == 1\n\n and name == \"a\nb\""), is, sizeof(is)), -EINVAL);
    assert_string_equal(is, "3:16 a line ends inside a string: write \\n");
    assert_int_equal(refusal(GW_OTTL_SPAN, GW_SLICE("kind == 1 \x01"), is, sizeof(is)), -EINVAL);
    assert_string_equal(is, "1:11 unexpected byte 0x01");
    assert_int_equal(refusal(GW_OTTL_SPAN, GW_SLICE("kind == 1 \0"), is, sizeof(is)), -EINVAL);
    assert_string_equal(is, "1:11 unexpected byte 0x00");
}

static int setup(void **state)
{
    (void)state;
    gw_test_env_init(&te, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_test_env_clear(&te);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_lines)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
