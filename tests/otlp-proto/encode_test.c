/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static void add_request(struct gw_batch *b, struct gw_slice bytes)
{
    struct gw_err err = {""};
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, bytes, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static struct gw_batch *batch_of(enum gw_signal signal, struct gw_slice bytes)
{
    struct gw_batch *b = gw_batch_new(signal);

    add_request(b, bytes);
    return b;
}

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

static void random_request(struct gw_buf *out, enum gw_signal signal, uint64_t seed, bool odd)
{
    struct random_wire r = {
        .state = seed * 31 + signal, .odd = odd, .merge_messages = true, .max_items = 5, .budget = 300};

    gw_buf_reset(out);
    rw_message(&r, out, rb_request(signal), 0);
}

/*
 * Scenario: three requests of one batch, nothing removed, nothing patched.
 * Guarantees: they leave byte for byte as they came, one behind the other.
 */
static void test_untouched_rows_leave_as_they_came(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_buf in, all, out;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_buf_init(&in, 1 << 20);
    gw_buf_init(&all, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    for (unsigned i = 0; i < 3; i++) {
        random_request(&in, GW_LOGS, i, false);
        gw_buf_put_slice(&all, gw_buf_slice(&in));
        add_request(b, gw_buf_slice(&in));
    }
    gw_view_init(&v, b, &arena);
    assert_int_equal(gw_encode(&v, &out), 0);
    assert_true(gw_slice_eq(gw_buf_slice(&out), gw_buf_slice(&all)));
    gw_view_clear(&v);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&all);
    gw_buf_clear(&out);
}

/* A request of `rows` spans in two scopes; every level has a field 99 that nobody knows, in the middle of its fields.
 */
static void request_with_unknowns(struct gw_buf *out, unsigned seed, unsigned rows)
{
    struct random_wire r = {.state = seed, .max_items = 3, .budget = 4000000};
    struct gw_slice strange = GW_SLICE("strange");
    struct gw_buf scope, span, resource;

    gw_buf_init(&scope, 1 << 24);
    gw_buf_init(&span, 1 << 24);
    gw_buf_init(&resource, 1 << 24);
    put_field(&resource, 1, GW_SLICE("\x0a\x0b\x0a\x03key\x12\x04\x0a\x02vv\xa2\x06\x01?"));
    for (unsigned s = 0; s < 2; s++) {
        gw_buf_reset(&scope);
        put_field(&scope, 1, GW_SLICE("\x0a\x05scope"));
        put_field(&scope, 99, strange);
        for (unsigned i = 0; i < rows / 2; i++) {
            gw_buf_reset(&span);
            rw_message(&r, &span, &opentelemetry__proto__trace__v1__span__descriptor, 3);
            put_field(&span, 99, strange);
            put_field(&scope, 2, gw_buf_slice(&span));
        }
        put_field(&scope, 3, GW_SLICE("http://scope"));
        put_field(&resource, 2, gw_buf_slice(&scope));
        put_field(&resource, 99, strange);
    }
    put_field(&resource, 3, GW_SLICE("http://resource"));
    gw_buf_reset(out);
    put_field(out, 1, gw_buf_slice(&resource));
    put_field(out, 99, strange);
    gw_buf_clear(&scope);
    gw_buf_clear(&span);
    gw_buf_clear(&resource);
}

static unsigned count_fields(struct gw_slice message, unsigned number)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;
    unsigned n = 0;

    while (gw_wire_next(&w, &f) > 0)
        n += f.number == number;
    return n;
}

static void check_envelopes(const struct gw_batch *b)
{
    for (uint32_t i = 0; i < b->n_resources; i++) {
        assert_int_equal(count_fields(gw_batch_slice(b, b->resources[i].outer), 99), 2);
        assert_int_equal(count_fields(gw_batch_slice(b, b->resources[i].raw), 100), 1);
        assert_true(gw_slice_is(gw_batch_slice(b, b->resources[i].schema_url), "http://resource"));
    }
    for (uint32_t i = 0; i < b->n_scopes; i++) {
        assert_int_equal(count_fields(gw_batch_slice(b, b->scopes[i].outer), 99), 1);
        assert_true(gw_slice_is(gw_batch_slice(b, b->scopes[i].schema_url), "http://scope"));
        assert_true(gw_slice_is(gw_batch_slice(b, b->scopes[i].name), "scope"));
    }
}

/*
 * Scenario: 1000 rows of three requests, with fields that nobody knows on every level; one row changed, one dropped.
 * Guarantees: the other 998 leave byte-identical and in order; unknown fields, schema URLs, scopes and resources stay.
 */
static void test_998_of_1000_rows_leave_byte_identical(void **state)
{
    static const struct gw_value value = {.type = GW_V_INT, .i = -5};
    static const unsigned rows[] = {300, 300, 400};
    struct gw_batch *b = gw_batch_new(GW_TRACES), *again;
    struct gw_arena arena;
    struct gw_buf in, out;
    struct gw_value got;
    struct gw_view v;
    uint32_t j = 0;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    gw_buf_init(&out, 1 << 24);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    for (unsigned i = 0; i < 3; i++) {
        request_with_unknowns(&in, i + 1, rows[i]);
        add_request(b, gw_buf_slice(&in));
    }
    assert_int_equal(b->n_rows, 1000);
    gw_view_init(&v, b, &arena);
    gw_view_attr_set(&v, GW_OWN_ROW, 333, GW_SLICE("new"), &value);
    assert_int_equal(gw_view_remove(&v, 500), 0);
    assert_int_equal(gw_encode(&v, &out), 0);
    again = batch_of(GW_TRACES, gw_buf_slice(&out));
    assert_int_equal(again->n_rows, 999);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (i == 500)
            continue;
        if (i != 333)
            assert_true(gw_slice_eq(gw_batch_slice(b, b->raw[i]), gw_batch_slice(again, again->raw[j])));
        j++;
    }
    check_envelopes(again);
    assert_int_equal(count_fields(gw_buf_slice(&out), 99), 3);
    assert_int_equal(count_fields(gw_batch_slice(again, again->raw[333]), 99), 1);
    gw_view_clear(&v);
    gw_view_init(&v, again, &arena);
    assert_true(gw_view_attr_get(&v, GW_OWN_ROW, 333, GW_SLICE("new"), &got));
    assert_int_equal(got.i, -5);
    gw_view_clear(&v);
    gw_batch_unref(again);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&out);
}

/* ---- random edits ------------------------------------------------------------------------------------------- */

static uint32_t owners(const struct gw_batch *b, enum gw_owner o)
{
    return o == GW_OWN_ROW        ? b->n_rows
           : o == GW_OWN_RESOURCE ? b->n_resources
           : o == GW_OWN_SCOPE    ? b->n_scopes
                                  : b->n_metrics;
}

static void random_value(struct random_wire *r, struct gw_value *ret)
{
    static const struct gw_value values[] = {
        {.type = GW_V_STRING, .s = {(const uint8_t *)"caf\xc3\xa9", 5}},
        {.type = GW_V_STRING},
        {.type = GW_V_BOOL, .b = true},
        {.type = GW_V_INT, .i = -1},
        {.type = GW_V_DOUBLE, .f = 2.5},
        {.type = GW_V_BYTES, .s = {(const uint8_t *)"\0\xff", 2}},
        {.type = GW_V_ARRAY, .s = {(const uint8_t *)"\x0a\x02\x10\x01", 4}},
        {.type = GW_V_KVLIST, .s = {(const uint8_t *)"\x0a\x03\x0a\x01k", 5}},
        {.type = GW_V_EMPTY},
    };

    *ret = values[rw_below(r, 9)];
}

static void edit(struct random_wire *r, struct gw_view *v)
{
    static const char *const fresh[] = {"a", "brand.new", "another.new.key", ""};

    for (unsigned n = rw_below(r, 25); n > 0; n--) {
        enum gw_owner o = (enum gw_owner)rw_below(r, GW_OWN_DATA);
        uint32_t count = owners(v->batch, o), i;
        struct gw_slice key = gw_slice_cstr(fresh[rw_below(r, 4)]);
        struct gw_range attrs;
        struct gw_value value;

        if (!count)
            continue;
        i = rw_below(r, count);
        attrs = gw_view_attr_range(v, o, i);
        if (attrs.begin != attrs.end && rw_below(r, 2))
            key = gw_attr_key(v->batch, &v->batch->attrs[attrs.begin + rw_below(r, attrs.end - attrs.begin)]);
        random_value(r, &value);
        if (rw_below(r, 3))
            gw_view_attr_set(v, o, i, key, &value);
        else
            (void)gw_view_attr_delete(v, o, i, key);
    }
    for (uint32_t row = 0; row < v->batch->n_rows; row++)
        if (rw_below(r, 4) == 0)
            (void)gw_view_remove(v, row);
}

static bool same_value(const struct gw_value *a, const struct gw_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case GW_V_EMPTY:
        return true;
    case GW_V_BOOL:
        return a->b == b->b;
    case GW_V_INT:
    case GW_V_DOUBLE:
        return memcmp(&a->i, &b->i, 8) == 0;
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        break;
    }
    return gw_slice_eq(a->s, b->s);
}

/* The attributes of an owner as the first view says are those of the second, in the same order. */
static void check_attrs(const struct gw_view *v, enum gw_owner o, uint32_t i, const struct gw_view *w, uint32_t k)
{
    struct gw_attr_iter x, y;
    struct gw_slice key, other;
    struct gw_value a, b;

    gw_view_attr_begin(v, o, i, &x);
    gw_view_attr_begin(w, o, k, &y);
    while (gw_view_attr_next(&x, &key, &a)) {
        assert_true(gw_view_attr_next(&y, &other, &b));
        assert_true(gw_slice_eq(key, other));
        assert_true(same_value(&a, &b));
    }
    assert_false(gw_view_attr_next(&y, &other, &b));
}

/* The row without its attributes. */
static struct gw_slice bare_row(struct rebuild *rb, uint32_t row)
{
    if (rb->b->signal == GW_TRACES) {
        PB(Trace__V1__Span) *s = rb_span(rb, row);

        s->n_attributes = 0;
        return rb_pack(rb, &s->base);
    }
    if (rb->b->signal == GW_LOGS) {
        PB(Logs__V1__LogRecord) *l = rb_log(rb, row);

        l->n_attributes = 0;
        return rb_pack(rb, &l->base);
    }
    switch (rb->b->number_type[row]) {
    case GW_N_HISTOGRAM: {
        PB(Metrics__V1__HistogramDataPoint) *p = rb_histogram(rb, row);

        p->n_attributes = 0;
        return rb_pack(rb, &p->base);
    }
    case GW_N_EXP_HISTOGRAM: {
        PB(Metrics__V1__ExponentialHistogramDataPoint) *p = rb_exp_histogram(rb, row);

        p->n_attributes = 0;
        return rb_pack(rb, &p->base);
    }
    case GW_N_SUMMARY: {
        PB(Metrics__V1__SummaryDataPoint) *p = rb_summary(rb, row);

        p->n_attributes = 0;
        return rb_pack(rb, &p->base);
    }
    default: {
        PB(Metrics__V1__NumberDataPoint) *p = rb_number(rb, row);

        p->n_attributes = 0;
        return rb_pack(rb, &p->base);
    }
    }
}

static void check_row(const struct gw_view *v, uint32_t i, const struct gw_view *w, uint32_t k)
{
    const struct gw_batch *a = v->batch, *b = w->batch;
    uint32_t s = a->scope[i], t = b->scope[k];
    struct gw_arena arena;
    struct rebuild x = {a, &arena}, y = {b, &arena};

    gw_arena_init(&arena, 4096, SIZE_MAX);
    check_attrs(v, GW_OWN_ROW, i, w, k);
    check_attrs(v, GW_OWN_SCOPE, s, w, t);
    check_attrs(v, GW_OWN_RESOURCE, a->scopes[s].resource, w, b->scopes[t].resource);
    assert_true(gw_slice_eq(bare_row(&x, i), bare_row(&y, k)));
    assert_true(gw_slice_eq(gw_batch_slice(a, a->scopes[s].name), gw_batch_slice(b, b->scopes[t].name)));
    assert_true(gw_slice_eq(gw_batch_slice(a, a->scopes[s].schema_url), gw_batch_slice(b, b->scopes[t].schema_url)));
    assert_true(gw_slice_eq(gw_batch_slice(a, a->resources[a->scopes[s].resource].schema_url),
                            gw_batch_slice(b, b->resources[b->scopes[t].resource].schema_url)));
    if (a->signal == GW_METRICS) {
        const struct gw_metric_desc *m = &a->metrics[a->metric[i]], *n = &b->metrics[b->metric[k]];

        check_attrs(v, GW_OWN_METRIC, a->metric[i], w, b->metric[k]);
        assert_true(gw_slice_eq(gw_batch_slice(a, m->name), gw_batch_slice(b, n->name)));
        assert_true(gw_slice_eq(gw_batch_slice(a, m->unit), gw_batch_slice(b, n->unit)));
        assert_int_equal(m->type, n->type);
        assert_int_equal(m->temporality, n->temporality);
        assert_int_equal(m->monotonic, n->monotonic);
    }
    gw_arena_clear(&arena);
}

static void check_edits(enum gw_signal signal, unsigned seed)
{
    struct random_wire r = {.state = seed};
    struct gw_batch *b = gw_batch_new(signal), *again;
    struct gw_arena arena;
    struct gw_buf in, out;
    struct gw_view v, w;
    uint32_t k = 0;

    gw_buf_init(&in, 1 << 24);
    gw_buf_init(&out, 1 << 24);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    for (unsigned i = 0; i < 3; i++) {
        random_request(&in, signal, seed * 3 + i, i == 2);
        add_request(b, gw_buf_slice(&in));
    }
    gw_view_init(&v, b, &arena);
    edit(&r, &v);
    assert_false(v.failed);
    assert_int_equal(gw_encode(&v, &out), 0);
    again = batch_of(signal, gw_buf_slice(&out));
    gw_view_init(&w, again, &arena);
    assert_int_equal(again->n_rows, v.n_rows);
    for (uint32_t i = gw_view_next(&v, 0); i < b->n_rows; i = gw_view_next(&v, i + 1))
        check_row(&v, i, &w, k++);
    gw_view_clear(&v);
    gw_view_clear(&w);
    gw_batch_unref(again);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&out);
}

/*
 * Scenario: random batches of all signals; attributes of rows, resources, scopes and metrics set, replaced and deleted
 * at random, rows removed at random; encoded and decoded again.
 * Guarantees: what comes back is what the view says: attributes in order, every other column untouched.
 */
static void test_edits_leave_as_the_view_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned seed = 0; seed < 60; seed++)
            check_edits(signals[i], seed);
}

/*
 * Scenario: a resource of 40 attributes; most of them replaced, some deleted, in no order, and 30 new ones.
 * Guarantees: what comes back is what the view says, new ones in the order of their making, however many they are.
 */
static void test_many_edits_of_one_owner_leave_in_order(void **state)
{
    static const struct gw_value value = {.type = GW_V_INT, .i = 1 << 20};
    static const unsigned counts[] = {16, 17, 30};
    struct gw_arena arena;

    (void)state;
    gw_arena_init(&arena, 4096, SIZE_MAX);
    for (unsigned n = 0; n < 3; n++) {
        struct gw_buf resource, outer, in, out;
        struct gw_batch *b, *again;
        char name[16], kv[32];
        struct gw_view v, w;

        gw_buf_init(&resource, 4096);
        gw_buf_init(&outer, 4096);
        gw_buf_init(&in, 4096);
        gw_buf_init(&out, 8192);
        for (unsigned i = 0; i < 40; i++) {
            (void)snprintf(kv, sizeof(kv), "\x0a\x05key%02u", i);
            put_field(&resource, 1, gw_slice_of(kv, 7));
        }
        put_field(&outer, 1, gw_buf_slice(&resource));
        put_field(&outer, 2, GW_SLICE("\x12\x00"));
        put_field(&in, 1, gw_buf_slice(&outer));
        b = batch_of(GW_TRACES, gw_buf_slice(&in));
        gw_view_init(&v, b, &arena);
        for (unsigned i = 0; i < counts[n]; i++) {
            (void)snprintf(name, sizeof(name), "key%02u", i * 7 % 40);
            if (i % 4 == 1)
                assert_true(gw_view_attr_delete(&v, GW_OWN_RESOURCE, 0, gw_slice_cstr(name)));
            else
                gw_view_attr_set(&v, GW_OWN_RESOURCE, 0, gw_arena_dup(&arena, gw_slice_cstr(name)), &value);
            (void)snprintf(name, sizeof(name), "new%02u", i);
            gw_view_attr_set(&v, GW_OWN_RESOURCE, 0, gw_arena_dup(&arena, gw_slice_cstr(name)), &value);
        }
        assert_int_equal(gw_encode(&v, &out), 0);
        again = batch_of(GW_TRACES, gw_buf_slice(&out));
        gw_view_init(&w, again, &arena);
        check_attrs(&v, GW_OWN_RESOURCE, 0, &w, 0);
        gw_view_clear(&v);
        gw_view_clear(&w);
        gw_batch_unref(b);
        gw_batch_unref(again);
        gw_buf_clear(&resource);
        gw_buf_clear(&outer);
        gw_buf_clear(&in);
        gw_buf_clear(&out);
    }
    gw_arena_clear(&arena);
}

/*
 * Scenario: a span's name is set, its status removed, its parent added.
 * Guarantees: fields are replaced once, removed, appended; attributes edited with them too.
 */
static void test_fields_are_replaced_and_removed(void **state)
{
    /* name "old" twice, an attribute a=1, status {code 2}, flags 1, and a field 99 */
    static const char span[] = "\x2a\x01x\x2a\x03old\x4a\x07\x0a\x01"
                               "a\x12\x02\x18\x01\x7a\x02\x18\x02\x85\x01\x01\x00\x00\x00\x9a\x06\x01?";
    static const struct gw_value value = {.type = GW_V_BOOL, .b = true};
    struct gw_buf scope, resource, in, out;
    struct gw_batch *b, *again;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_buf_init(&scope, 4096);
    gw_buf_init(&resource, 4096);
    gw_buf_init(&in, 4096);
    gw_buf_init(&out, 4096);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    put_field(&scope, 2, gw_slice_of(span, sizeof(span) - 1));
    put_field(&resource, 2, gw_buf_slice(&scope));
    put_field(&in, 1, gw_buf_slice(&resource));
    b = batch_of(GW_TRACES, gw_buf_slice(&in));
    gw_view_init(&v, b, &arena);
    gw_view_field_set(&v, GW_OWN_ROW, 0, 5,
                      GW_SLICE("\x2a\x08"
                               "new name"));
    gw_view_field_set(&v, GW_OWN_ROW, 0, 15, GW_SLICE(""));
    gw_view_field_set(&v, GW_OWN_ROW, 0, 4, GW_SLICE("\x22\x08parentid"));
    gw_view_attr_set(&v, GW_OWN_ROW, 0, GW_SLICE("a"), &value);
    gw_view_attr_set(&v, GW_OWN_RESOURCE, 0, GW_SLICE("of.an.absent.resource"), &value);
    gw_view_attr_set(&v, GW_OWN_SCOPE, 0, GW_SLICE("of.an.absent.scope"), &value);
    assert_int_equal(gw_encode(&v, &out), 0);
    again = batch_of(GW_TRACES, gw_buf_slice(&out));
    assert_true(gw_slice_is(gw_batch_slice(again, again->name[0]), "new name"));
    assert_memory_equal(again->parent_id[0], "parentid", 8);
    assert_int_equal(again->status[0], 0);
    assert_int_equal(again->flags[0], 1);
    assert_int_equal(again->n_attrs, 3);
    assert_int_equal(again->attrs[again->attr[0].begin].type, GW_V_BOOL);
    assert_int_equal(count_fields(gw_batch_slice(again, again->raw[0]), 5), 1);
    assert_int_equal(count_fields(gw_batch_slice(again, again->raw[0]), 15), 0);
    assert_int_equal(count_fields(gw_batch_slice(again, again->raw[0]), 99), 1);
    gw_view_clear(&v);
    gw_batch_unref(again);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
    gw_buf_clear(&in);
    gw_buf_clear(&out);
}

/*
 * Scenario: each row of random batches alone, some of them patched, some taken out of the view.
 * Guarantees: it leaves as a request of one row, in the envelope of its resource and scope, edits included.
 */
static void test_a_row_leaves_alone_in_its_envelope(void **state)
{
    static const struct gw_value value = {.type = GW_V_STRING, .s = {(const uint8_t *)"x", 1}};
    struct gw_arena arena;
    struct gw_buf in, out;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    gw_buf_init(&out, 1 << 24);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    for (unsigned s = 0; s < 60; s++) {
        struct gw_batch *b;
        struct gw_view v, w;

        random_request(&in, signals[s % 3], s, s % 2);
        b = batch_of(signals[s % 3], gw_buf_slice(&in));
        gw_view_init(&v, b, &arena);
        for (uint32_t i = 0; i < b->n_rows; i++) {
            struct gw_batch *again;

            gw_view_attr_set(&v, GW_OWN_ROW, i, GW_SLICE("k"), &value);
            if (i % 2)
                (void)gw_view_remove(&v, i);
            gw_buf_reset(&out);
            assert_int_equal(gw_encode_row(&v, i, &out), 0);
            again = batch_of(b->signal, gw_buf_slice(&out));
            assert_int_equal(again->n_rows, 1);
            gw_view_init(&w, again, &arena);
            check_row(&v, i, &w, 0);
            gw_view_clear(&w);
            gw_batch_unref(again);
        }
        gw_view_clear(&v);
        gw_batch_unref(b);
    }
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&out);
}

/*
 * Scenario: an output buffer that is too small by one byte; a view whose edit found no memory.
 * Guarantees: -E2BIG and -ENOMEM; what stood in the buffer before is kept.
 */
static void test_a_full_buffer_and_a_failed_view_are_refused(void **state)
{
    struct gw_arena arena;
    struct gw_buf in, out, small;
    struct gw_batch *b;
    struct gw_view v;

    (void)state;
    gw_buf_init(&in, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    gw_arena_init(&arena, 4096, SIZE_MAX);
    request_with_unknowns(&in, 7, 40);
    b = batch_of(GW_TRACES, gw_buf_slice(&in));
    gw_view_init(&v, b, &arena);
    (void)gw_view_remove(&v, 3);
    assert_int_equal(gw_encode(&v, &out), 0);
    for (size_t room = 3; room < out.n + 3; room += 1 + out.n / 50) {
        gw_buf_init(&small, room);
        gw_buf_put_str(&small, "abc");
        assert_int_equal(gw_encode(&v, &small), -E2BIG);
        assert_int_equal(small.n, 3);
        gw_buf_clear(&small);
    }
    gw_buf_init(&small, out.n + 3);
    gw_buf_put_str(&small, "abc");
    assert_int_equal(gw_encode(&v, &small), 0);
    assert_memory_equal(small.p + 3, out.p, out.n);
    gw_buf_clear(&small);
    v.failed = true;
    assert_int_equal(gw_encode(&v, &out), -ENOMEM);
    assert_int_equal(gw_encode_row(&v, 0, &out), -ENOMEM);
    gw_view_clear(&v);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched_rows_leave_as_they_came),
        cmocka_unit_test(test_998_of_1000_rows_leave_byte_identical),
        cmocka_unit_test(test_edits_leave_as_the_view_says),
        cmocka_unit_test(test_many_edits_of_one_owner_leave_in_order),
        cmocka_unit_test(test_fields_are_replaced_and_removed),
        cmocka_unit_test(test_a_row_leaves_alone_in_its_envelope),
        cmocka_unit_test(test_a_full_buffer_and_a_failed_view_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
