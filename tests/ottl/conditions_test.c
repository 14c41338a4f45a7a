/* SPDX-License-Identifier: Apache-2.0 */
/* Every line of conditions.txt, as it is, and a second time: the first leaves nothing behind that changes the answer.
 */
#include "tests/ottl/rig.h"

#include <stdio.h>

#include "ottl/paths.h"

enum { LINE = 1024 };

static unsigned asked, wrong;

static char ask(enum gw_ottl_context context, uint32_t index, const char *text, char *why, size_t size)
{
    struct gw_batch *b = batches[items_signal(context)];
    struct gw_ottl_fault fault;
    struct gw_err err = {""};
    struct gw_ottl *o = NULL;
    struct gw_view v;
    char answer = 'X';
    bool is;
    int r;

    gw_view_init(&v, b, &arena);
    if (gw_ottl_condition_new(gw_slice_cstr(text), context, &te.env, &o, &fault) < 0) {
        (void)snprintf(why, size, "%u:%u: %s", fault.line, fault.column, fault.text);
    } else {
        r = gw_ottl_test(o, &v, 0, index, &is, &err);
        answer = r < 0 ? 'E' : is ? 'T' : 'F';
        (void)snprintf(why, size, "%s", err.text);
        if (gw_ottl_test(o, &v, 0, index, &is, NULL) != r || (r == 0 && answer != (is ? 'T' : 'F')))
            answer = '?';
        if (r < 0)
            assert_memory_equal(err.text, "line ", 5); /* it says where */
    }
    gw_ottl_free(o);
    gw_view_clear(&v);
    gw_arena_reset(&arena, 1 << 20);
    return answer;
}

static void line(enum gw_ottl_context context, uint32_t index, unsigned number, const char *text)
{
    char why[512] = "", answer;

    if (text[0] == 'D') /* where the Collector does not answer */
        text += 2;
    if (!text[0] || !strchr("TFE", text[0]) || text[1] != ' ')
        return;
    answer = ask(context, index, text + 2, why, sizeof(why));
    asked++;
    /* What fails for every item alike, the Collector finds when it is asked, we already before. */
    if (answer == text[0] || (answer == 'X' && text[0] == 'E'))
        return;
    wrong++;
    print_error("line %u: %c expected, %c: %s\n    %s\n", number, text[0], answer, text + 2, why);
}

static void test_conditions(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/ottl/conditions.txt", "r");
    enum gw_ottl_context context = GW_OTTL_SPAN;
    unsigned index = 0, number = 0;
    char text[LINE], word[32];

    (void)state;
    assert_non_null(f);
    while (fgets(text, sizeof(text), f)) {
        number++;
        text[strcspn(text, "\n")] = '\0';
        if (sscanf(text, "@%31s %u", word, &index) == 2)
            context = gw_ottl_context_of(gw_slice_cstr(word));
        else
            line(context, index, number, text);
    }
    (void)fclose(f);
    assert_int_equal(wrong, 0);
    assert_true(asked > 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conditions)};

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
