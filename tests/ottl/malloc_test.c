/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: a condition that was asked once is asked again without an allocation, whatever it is; and when an allocation
 * fails while it is compiled, nothing is left behind.
 */
#include "tests/ottl/rig.h"

#include <stdio.h>

#include "ottl/paths.h"
#include "tests/harness_malloc.h"

enum { LINE = 1024 };

static void ask(struct gw_ottl *o, enum gw_ottl_context context, uint32_t index)
{
    struct gw_view v;
    bool is;

    gw_view_init(&v, batches[items_signal(context)], &arena);
    (void)gw_ottl_test(o, &v, 0, index, &is, NULL);
    gw_view_clear(&v);
    gw_arena_reset(&arena, 16 << 20);
}

static void check_line(enum gw_ottl_context context, uint32_t index, const char *text)
{
    struct gw_ottl_fault fault;
    struct gw_ottl *o;
    uint64_t before;

    if (gw_ottl_condition_new(gw_slice_cstr(text), context, &te.env, &o, &fault) < 0)
        return;
    ask(o, context, index);
    before = gw_malloc_count();
    ask(o, context, index);
    if (gw_malloc_count() != before)
        fail_msg("%u allocations: %s", (unsigned)(gw_malloc_count() - before), text);
    gw_ottl_free(o);
}

static void test_no_malloc(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/ottl/conditions.txt", "r");
    enum gw_ottl_context context = GW_OTTL_SPAN;
    char text[LINE], word[32];
    unsigned index = 0;

    (void)state;
    assert_non_null(f);
    while (fgets(text, sizeof(text), f)) {
        text[strcspn(text, "\n")] = '\0';
        if (sscanf(text, "@%31s %u", word, &index) == 2)
            context = gw_ottl_context_of(gw_slice_cstr(word));
        else if (text[0] && strchr("TF", text[0])) /* a failure may be a pattern that cannot be compiled: each time */
            check_line(context, index, text + 2);
    }
    (void)fclose(f);
}

static void test_failing_malloc(void **state)
{
    static const char *const texts[] = {
        "name == \"x\"",
        "IsMatch(name, \"a(?P<b>c)\") and Len(Split(\"a,b\", \",\")) == 2",
        "ExtractPatterns(name, \"(?P<a>.)\")[\"a\"] == \"x\" or attributes[Concat([\"a\"], \"\")] == {\"a\": [1]}",
        "Time(\"2023-02-03\", \"%F\") < Now() and ParseJSON(\"{\\\"a\\\": [1]}\") != nil",
        "IsMatch(attributes[\"s\"], attributes[\"key\"])",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (uint64_t n = 1;; n++) {
            struct gw_ottl_fault fault;
            struct gw_ottl *o = NULL;
            bool failed;
            int r;

            gw_malloc_fail_at(n);
            r = gw_ottl_condition_new(gw_slice_cstr(texts[i]), GW_OTTL_SPAN, &te.env, &o, &fault);
            if (r == 0)
                ask(o, GW_OTTL_SPAN, 0);
            failed = gw_malloc_failed();
            gw_malloc_fail_at(0);
            gw_ottl_free(o);
            assert_true(r == 0 || r == -ENOMEM);
            if (!failed)
                break;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_malloc), cmocka_unit_test(test_failing_malloc)};

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
