/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/view.h"

#include <errno.h>
#include <stdio.h>

#include "tests/batch/hand.h"

struct fixture {
    struct gw_arena arena;
    struct gw_batch *b;
    struct gw_view v;
};

static void open_fixture(struct fixture *f, uint32_t rows)
{
    gw_arena_init(&f->arena, 64 << 10, 16 << 20);
    f->b = gw_batch_new(GW_TRACES);
    hand_segment(f->b, rows, NULL);
    gw_view_init(&f->v, f->b, &f->arena);
}

static void close_fixture(struct fixture *f)
{
    gw_view_clear(&f->v);
    (void)gw_batch_unref(f->b);
    gw_arena_clear(&f->arena);
}

static struct gw_value text(const char *s)
{
    return (struct gw_value){.type = GW_V_STRING, .s = gw_slice_cstr(s)};
}

/* "a=1 b=2 c=3" of a row. */
static const char *row_text(const struct gw_view *v, uint32_t row)
{
    static char out[256];
    struct gw_attr_iter it;
    struct gw_slice k;
    struct gw_value val;
    size_t n = 0;

    out[0] = '\0';
    gw_view_attr_begin(v, GW_OWN_ROW, row, &it);
    while (gw_view_attr_next(&it, &k, &val))
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s=%.*s", n ? " " : "", (int)k.n, (const char *)k.p,
                              (int)val.s.n, (const char *)val.s.p);
    return out;
}

/*
 * Scenario: rows at the edges of bitmap words are removed from 200
 * Guarantees: next and count see exactly the others; removing twice changes nothing
 */
static void removed_rows_are_skipped(void **state)
{
    struct fixture f;
    uint32_t seen = 0;

    (void)state;
    open_fixture(&f, 200);
    assert_int_equal(gw_view_next(&f.v, 0), 0);
    for (uint32_t r = 60; r < 130; r++)
        assert_int_equal(gw_view_remove(&f.v, r), 0);
    assert_int_equal(gw_view_remove(&f.v, 199), 0);
    assert_int_equal(gw_view_remove(&f.v, 199), 0);
    assert_int_equal(f.v.n_rows, 129);
    assert_int_equal(gw_view_next(&f.v, 60), 130);
    assert_int_equal(gw_view_next(&f.v, 199), 200);
    assert_int_equal(gw_view_next(&f.v, 200), 200);
    for (uint32_t r = gw_view_next(&f.v, 0); r < 200; r = gw_view_next(&f.v, r + 1))
        seen++;
    assert_int_equal(seen, 129);
    assert_int_equal(gw_view_count(&f.v, (struct gw_range){0, 200}), 129);
    assert_int_equal(gw_view_count(&f.v, (struct gw_range){59, 131}), 2);
    assert_int_equal(gw_view_count(&f.v, (struct gw_range){64, 128}), 0);
    assert_int_equal(gw_view_count(&f.v, (struct gw_range){5, 5}), 0);
    assert_false(gw_view_has(&f.v, 64));
    assert_true(gw_view_has(&f.v, 59));
    close_fixture(&f);
}

/*
 * Scenario: an existing attribute is set, a new one added, both set again
 * Guarantees: the existing one keeps its place and its index in the batch, the new one comes last; one patch each
 */
static void set_replaces_in_place_or_appends(void **state)
{
    struct fixture f;
    struct gw_value one = text("one"), two = text("two"), got;

    (void)state;
    open_fixture(&f, 3);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("b"), &one);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("x"), &one);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("y"), &two);
    assert_string_equal(row_text(&f.v, 1), "a=1 b=one c=3 x=one y=two");
    assert_string_equal(row_text(&f.v, 0), "a=1 b=2 c=3");
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("b"), &two);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("x"), &two);
    assert_string_equal(row_text(&f.v, 1), "a=1 b=two c=3 x=two y=two");
    assert_int_equal(f.v.n_patches, 3);
    assert_int_equal(f.v.patches[0].attr, f.b->attr[1].begin + 1);
    assert_int_equal(f.v.patches[1].attr, UINT32_MAX);
    assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 1, GW_SLICE("x"), &got));
    assert_true(gw_slice_is(got.s, "two"));
    assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 1, GW_SLICE("c"), &got));
    assert_true(gw_slice_is(got.s, "3"));
    assert_true(gw_view_is_patched(&f.v, GW_OWN_ROW, 1));
    assert_false(gw_view_is_patched(&f.v, GW_OWN_ROW, 2));
    close_fixture(&f);
}

/*
 * Scenario: attributes are deleted: of the batch, changed before, appended, set again afterwards, missing
 * Guarantees: gone is gone, set again is appended, the answer tells whether there was one
 */
static void delete_takes_back_what_was_set(void **state)
{
    struct fixture f;
    struct gw_value one = text("one");

    (void)state;
    open_fixture(&f, 2);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("b"), &one);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("x"), &one);
    assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("b")));
    assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("x")));
    assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("a")));
    assert_false(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("a")));
    assert_false(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("x")));
    assert_false(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("none")));
    assert_string_equal(row_text(&f.v, 0), "c=3");
    assert_false(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, GW_SLICE("x"), NULL));
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("a"), &one);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("x"), &one);
    assert_string_equal(row_text(&f.v, 0), "c=3 a=one x=one");
    assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, GW_SLICE("a"), NULL));
    assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("a")));
    assert_string_equal(row_text(&f.v, 0), "c=3 x=one");
    assert_string_equal(row_text(&f.v, 1), "a=1 b=2 c=3");
    close_fixture(&f);
}

/*
 * Scenario: a key stands three times
 * Guarantees: get and set take the first, delete takes all, also after a set
 */
static void a_repeated_key_is_not_left_behind(void **state)
{
    struct fixture f;
    struct gw_value one = text("one"), got;

    (void)state;
    open_fixture(&f, 1);
    hand_attr(f.b, "b", "again");
    hand_attr(f.b, "b", "and again");
    f.b->attr[0].end = f.b->n_attrs;
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("b"), &one);
    assert_string_equal(row_text(&f.v, 0), "a=1 b=one c=3 b=again b=and again");
    assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, GW_SLICE("b"), &got));
    assert_true(gw_slice_is(got.s, "one"));
    assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, 0, GW_SLICE("b")));
    assert_string_equal(row_text(&f.v, 0), "a=1 c=3");
    assert_false(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, GW_SLICE("b"), NULL));
    close_fixture(&f);
}

/*
 * Scenario: resource and row are edited, fields set, set again and removed
 * Guarantees: owners are kept apart; one patch a field, the last one holds
 */
static void fields_and_owners_are_kept_apart(void **state)
{
    struct fixture f;
    struct gw_value one = text("one"), got;
    struct gw_slice raw;

    (void)state;
    open_fixture(&f, 2);
    gw_view_attr_set(&f.v, GW_OWN_RESOURCE, 0, GW_SLICE("service.name"), &one);
    assert_true(gw_view_attr_get(&f.v, GW_OWN_RESOURCE, 0, GW_SLICE("service.name"), &got));
    assert_true(gw_slice_is(got.s, "one"));
    assert_false(gw_view_field_get(&f.v, GW_OWN_ROW, 1, 3, &raw));
    gw_view_field_set(&f.v, GW_OWN_ROW, 1, 3, GW_SLICE("\x1a\x01x"));
    gw_view_field_set(&f.v, GW_OWN_ROW, 1, 3, GW_SLICE("\x1a\x01y"));
    gw_view_field_set(&f.v, GW_OWN_ROW, 1, 4, GW_SLICE(""));
    assert_true(gw_view_field_get(&f.v, GW_OWN_ROW, 1, 3, &raw));
    assert_true(gw_slice_is(raw, "\x1a\x01y"));
    assert_true(gw_view_field_get(&f.v, GW_OWN_ROW, 1, 4, &raw));
    assert_int_equal(raw.n, 0);
    assert_false(gw_view_field_get(&f.v, GW_OWN_ROW, 0, 3, &raw));
    assert_string_equal(row_text(&f.v, 1), "a=1 b=2 c=3");
    assert_int_equal(f.v.n_patches, 3);
    close_fixture(&f);
}

/*
 * Scenario: a view is cloned into another arena, then both are edited; the first arena goes
 * Guarantees: earlier edits are in both, later ones in one, the clone's texts outlive the first arena
 */
static void a_clone_goes_its_own_way(void **state)
{
    struct fixture f;
    struct gw_arena other;
    struct gw_view c;
    struct gw_value one = text("one"), two = text("two"), mine = {.type = GW_V_STRING};

    (void)state;
    open_fixture(&f, 100);
    gw_arena_init(&other, 64 << 10, 16 << 20);
    mine.s = gw_arena_dup(&f.arena, GW_SLICE("short-lived"));
    gw_view_attr_set(&f.v, GW_OWN_ROW, 7, GW_SLICE("b"), &mine);
    assert_int_equal(gw_view_remove(&f.v, 1), 0);
    assert_int_equal(gw_view_clone(&f.v, &other, &c), 0);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 7, GW_SLICE("b"), &one);
    gw_view_attr_set(&c, GW_OWN_ROW, 8, GW_SLICE("b"), &two);
    assert_int_equal(gw_view_remove(&c, 2), 0);
    assert_string_equal(row_text(&f.v, 8), "a=1 b=2 c=3");
    assert_true(gw_view_has(&f.v, 2));
    assert_int_equal(f.v.n_rows, 99);
    assert_int_equal(c.n_rows, 98);
    close_fixture(&f);
    assert_string_equal(row_text(&c, 7), "a=1 b=short-lived c=3");
    assert_string_equal(row_text(&c, 8), "a=1 b=two c=3");
    assert_false(gw_view_has(&c, 1));
    gw_view_clear(&c);
    gw_arena_clear(&other);
}

/*
 * Scenario: the arena is full
 * Guarantees: the view says that it failed, and stays readable
 */
static void an_edit_without_memory_fails_the_view(void **state)
{
    struct fixture f;
    struct gw_value one = text("one");

    (void)state;
    open_fixture(&f, 10);
    f.arena.max_bytes = 0;
    gw_view_attr_set(&f.v, GW_OWN_ROW, 0, GW_SLICE("b"), &one);
    assert_true(f.v.failed);
    assert_string_equal(row_text(&f.v, 0), "a=1 b=2 c=3");
    assert_int_equal(gw_view_remove(&f.v, 0), -ENOMEM);
    assert_int_equal(f.v.n_rows, 10);
    close_fixture(&f);
}

/*
 * Scenario: a thousand rows get two patches each, so that the patch table grows
 * Guarantees: all edits are there; an untouched view says so before
 */
static void many_patches_survive_growth(void **state)
{
    struct fixture f;
    struct gw_value one = text("one");

    (void)state;
    open_fixture(&f, 1000);
    assert_true(gw_view_is_untouched(&f.v));
    for (uint32_t r = 0; r < 1000; r++) {
        gw_view_attr_set(&f.v, GW_OWN_ROW, r, GW_SLICE("new"), &one);
        assert_true(gw_view_attr_delete(&f.v, GW_OWN_ROW, r, GW_SLICE("c")));
    }
    assert_false(gw_view_is_untouched(&f.v));
    for (uint32_t r = 0; r < 1000; r++)
        assert_string_equal(row_text(&f.v, r), "a=1 b=2 new=one");
    assert_false(f.v.failed);
    close_fixture(&f);
}

/*
 * Scenario: one attribute per key, of all keys of a length that differ in one byte, for lengths around those that are
 * compared differently; keys that no attribute has, one of them longer than any may be
 * Guarantees: each is found by its own key alone
 */
static void keys_of_every_length_are_told_apart(void **state)
{
    static char huge[70000];
    struct fixture f;
    struct gw_value one = text("one"), got;
    char key[64], value[8];

    (void)state;
    memset(huge, 'k', sizeof(huge));
    for (size_t n = 0; n <= 40; n++) {
        open_fixture(&f, 1);
        f.b->attr[0].begin = f.b->n_attrs;
        for (size_t i = 0; i <= n; i++) {
            memset(key, 'k', n);
            key[n] = '\0';
            if (i < n)
                key[i] = 'x';
            (void)snprintf(value, sizeof(value), "%zu", i);
            hand_attr(f.b, key, value);
        }
        f.b->attr[0].end = f.b->n_attrs;
        for (size_t i = 0; i <= n; i++) {
            memset(key, 'k', n);
            if (i < n)
                key[i] = 'x';
            (void)snprintf(value, sizeof(value), "%zu", i);
            assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, gw_slice_of(key, n), &got));
            assert_true(gw_slice_is(got.s, value));
        }
        memset(key, 'y', n + 1);
        assert_int_equal(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, gw_slice_of(key, n), NULL), n == 0);
        assert_false(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, gw_slice_of(huge, sizeof(huge)), NULL));
        gw_view_attr_set(&f.v, GW_OWN_ROW, 0, gw_slice_of(huge, sizeof(huge)), &one);
        gw_view_attr_set(&f.v, GW_OWN_ROW, 0, gw_slice_of(huge, sizeof(huge)), &one);
        assert_int_equal(f.v.n_patches, 1);
        assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, gw_slice_of(huge, sizeof(huge)), NULL));
        assert_false(gw_view_attr_get(&f.v, GW_OWN_ROW, 0, gw_slice_of(huge, sizeof(huge) - 1), NULL));
        close_fixture(&f);
    }
}

/*
 * Scenario: rows are set to the same, to another text of the same letters, to numbers; more edits than are remembered
 * Guarantees: the same is kept once, what differs in key, type or value is not mixed up
 */
static void rows_that_are_set_to_the_same_share_an_edit(void **state)
{
    static const struct gw_value five = {.type = GW_V_INT, .i = 5}, six = {.type = GW_V_INT, .i = 6},
                                 real = {.type = GW_V_DOUBLE, .f = 5}, yes = {.type = GW_V_BOOL, .b = true},
                                 no = {.type = GW_V_BOOL}, none = {.type = GW_V_EMPTY};
    const struct gw_value *const all[] = {&five, &six, &real, &yes, &no, &none};
    static const char letters[] = "oneone";
    struct gw_value one = {.type = GW_V_STRING, .s = {(const uint8_t *)letters, 3}}, got,
                    other = {.type = GW_V_STRING, .s = {(const uint8_t *)letters, 6}};
    struct fixture f;

    (void)state;
    open_fixture(&f, 100);
    for (uint32_t r = 0; r < 100; r++)
        gw_view_attr_set(&f.v, GW_OWN_ROW, r, GW_SLICE("new"), &one);
    assert_int_equal(f.v.n_edits, 1);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 1, GW_SLICE("new"), &other);
    assert_int_equal(f.v.n_edits, 2);
    assert_string_equal(row_text(&f.v, 1), "a=1 b=2 c=3 new=oneone");
    assert_string_equal(row_text(&f.v, 2), "a=1 b=2 c=3 new=one");
    for (unsigned i = 0; i < 12; i++) {
        gw_view_attr_set(&f.v, GW_OWN_ROW, 3 + i, GW_SLICE("new"), all[i % 6]);
        assert_true(gw_view_attr_get(&f.v, GW_OWN_ROW, 3 + i, GW_SLICE("new"), &got));
        assert_int_equal(got.type, all[i % 6]->type);
        assert_true(got.type == GW_V_EMPTY || got.type == GW_V_BOOL ? got.type == GW_V_EMPTY || got.b == all[i % 6]->b
                                                                    : got.i == all[i % 6]->i);
    }
    close_fixture(&f);
}

/*
 * Scenario: all rows are set and deleted at once, after some were edited and some removed
 * Guarantees: the rows in the view are as if each had been edited, the removed ones are not touched
 */
static void all_rows_are_edited_at_once(void **state)
{
    struct fixture f;
    struct gw_value one = text("one"), two = text("two");

    (void)state;
    open_fixture(&f, 130);
    gw_view_attr_set_rows(&f.v, GW_SLICE("x"), &one, GW_UPSERT);
    gw_view_attr_set_rows(&f.v, GW_SLICE("b"), &one, GW_UPSERT);
    assert_string_equal(row_text(&f.v, 0), "a=1 b=one c=3 x=one");
    assert_string_equal(row_text(&f.v, 129), "a=1 b=one c=3 x=one");
    (void)gw_view_attr_delete(&f.v, GW_OWN_ROW, 70, GW_SLICE("b"));
    for (uint32_t r = 0; r < 130; r++)
        if (r % 3 == 0)
            assert_int_equal(gw_view_remove(&f.v, r), 0);
    gw_view_attr_set_rows(&f.v, GW_SLICE("b"), &two, GW_UPSERT);
    gw_view_attr_delete_rows(&f.v, GW_SLICE("x"));
    gw_view_attr_delete_rows(&f.v, GW_SLICE("a"));
    assert_string_equal(row_text(&f.v, 0), "a=1 b=one c=3 x=one");
    assert_string_equal(row_text(&f.v, 1), "b=two c=3");
    assert_string_equal(row_text(&f.v, 70), "c=3 b=two");
    assert_string_equal(row_text(&f.v, 128), "b=two c=3");
    assert_string_equal(row_text(&f.v, 129), "a=1 b=one c=3 x=one");
    close_fixture(&f);
}

/*
 * Scenario: all rows, some of them with patches, are set only where there is an attribute, or only where there is none
 * Guarantees: a deleted one is none, an appended one is one; where nothing was to be done there is no patch
 */
static void all_rows_are_inserted_or_updated(void **state)
{
    struct fixture f;
    struct gw_value one = text("one"), two = text("two");

    (void)state;
    open_fixture(&f, 4);
    gw_view_attr_set_rows(&f.v, GW_SLICE("x"), &one, GW_UPDATE);
    gw_view_attr_set_rows(&f.v, GW_SLICE("b"), &one, GW_INSERT);
    assert_true(gw_view_is_untouched(&f.v));
    (void)gw_view_attr_delete(&f.v, GW_OWN_ROW, 1, GW_SLICE("b"));
    gw_view_attr_set(&f.v, GW_OWN_ROW, 2, GW_SLICE("x"), &one);
    gw_view_attr_set(&f.v, GW_OWN_ROW, 3, GW_SLICE("b"), &one);
    gw_view_attr_set_rows(&f.v, GW_SLICE("b"), &two, GW_UPDATE);
    gw_view_attr_set_rows(&f.v, GW_SLICE("x"), &two, GW_INSERT);
    assert_string_equal(row_text(&f.v, 0), "a=1 b=two c=3 x=two");
    assert_string_equal(row_text(&f.v, 1), "a=1 c=3 x=two");
    assert_string_equal(row_text(&f.v, 2), "a=1 b=two c=3 x=one");
    assert_string_equal(row_text(&f.v, 3), "a=1 b=two c=3 x=two");
    gw_view_attr_set_rows(&f.v, GW_SLICE("b"), &one, GW_INSERT);
    gw_view_attr_set_rows(&f.v, GW_SLICE("x"), &one, GW_UPDATE);
    assert_string_equal(row_text(&f.v, 0), "a=1 b=two c=3 x=one");
    assert_string_equal(row_text(&f.v, 1), "a=1 c=3 x=one b=one");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removed_rows_are_skipped),
        cmocka_unit_test(set_replaces_in_place_or_appends),
        cmocka_unit_test(delete_takes_back_what_was_set),
        cmocka_unit_test(a_repeated_key_is_not_left_behind),
        cmocka_unit_test(fields_and_owners_are_kept_apart),
        cmocka_unit_test(a_clone_goes_its_own_way),
        cmocka_unit_test(an_edit_without_memory_fails_the_view),
        cmocka_unit_test(many_patches_survive_growth),
        cmocka_unit_test(keys_of_every_length_are_told_apart),
        cmocka_unit_test(rows_that_are_set_to_the_same_share_an_edit),
        cmocka_unit_test(all_rows_are_edited_at_once),
        cmocka_unit_test(all_rows_are_inserted_or_updated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
