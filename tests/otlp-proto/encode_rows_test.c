/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changed rows byte for byte, against a model that knows nothing of offsets: a row is a list of its fields, an edit
 * acts on the list, and what is expected is the list written again.
 */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "tests/otlp-proto/random_wire.h"

enum { MAX_FIELDS = 100, MAX_ADDED = 80, MAX_ROWS = 40, HEADER_ROOM = 20 /* asked for before a tag and a length */ };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static char long_text[] =
    "a value that is far too long to be kept ready for many rows, because there is room for a hundred "
    "and twenty bytes and this text alone has more of them";
static const struct gw_value values[] = {
    {.type = GW_V_STRING, .s = {(const uint8_t *)"production", 10}},
    {.type = GW_V_STRING},
    {.type = GW_V_INT, .i = -1},
    {.type = GW_V_BOOL, .b = true},
    {.type = GW_V_DOUBLE, .f = 2.5},
    {.type = GW_V_STRING, .s = {(const uint8_t *)long_text, sizeof(long_text) - 1}},
    {.type = GW_V_BYTES, .s = {(const uint8_t *)"\0\xff", 2}},
    {.type = GW_V_EMPTY},
};
static const char *const keys[] = {"", "a", "env", "url.path", "http.route", "k8s.pod.name.of.a.longer.kind"};
enum { N_KEYS = sizeof(keys) / sizeof(keys[0]), N_VALUES = sizeof(values) / sizeof(values[0]) };

/* A field of a row as it came. */
struct field {
    struct gw_slice raw, key;     /* key.p NULL: no attribute */
    const struct gw_value *value; /* set to this */
    bool gone;
};
struct added {
    struct gw_slice key;
    const struct gw_value *value;
};
struct row {
    struct field fields[MAX_FIELDS];
    struct added added[MAX_ADDED];
    unsigned n_fields, n_added;
    bool touched, dropped;
};

struct model {
    struct random_wire r;
    struct gw_arena arena;
    enum gw_signal signal;
    unsigned attr_field;
    struct row rows[MAX_ROWS];
    unsigned n_rows;
};

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

static void put_scalar(struct gw_buf *out, uint32_t tag, uint64_t v)
{
    uint8_t b[20];

    gw_buf_put(out, b, (size_t)(gw_varint_put(gw_varint_put(b, tag), v) - b));
}

static void put_any(struct gw_buf *out, const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_STRING:
        put_field(out, 1, v->s);
        break;
    case GW_V_BYTES:
        put_field(out, 7, v->s);
        break;
    case GW_V_BOOL:
        put_scalar(out, GW_TAG(2, GW_VARINT), v->b);
        break;
    case GW_V_INT:
        put_scalar(out, GW_TAG(3, GW_VARINT), (uint64_t)v->i);
        break;
    case GW_V_DOUBLE:
        gw_buf_put_u8(out, GW_TAG(4, GW_I64));
        gw_buf_put(out, &v->f, 8);
        break;
    case GW_V_EMPTY:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        break;
    }
}

static void put_attr(struct gw_buf *out, unsigned field, struct gw_slice key, const struct gw_value *value)
{
    struct gw_buf any, kv;

    gw_buf_init(&any, 1 << 16);
    gw_buf_init(&kv, 1 << 16);
    put_any(&any, value);
    put_field(&kv, 1, key);
    put_field(&kv, 2, gw_buf_slice(&any));
    put_field(out, field, gw_buf_slice(&kv));
    gw_buf_clear(&any);
    gw_buf_clear(&kv);
}

static void put_row_as_it_came(const struct row *row, struct gw_buf *out)
{
    for (unsigned i = 0; i < row->n_fields; i++)
        gw_buf_put_slice(out, row->fields[i].raw);
}

/* New attributes stand behind the last one that came, or at the end. */
static void put_row_as_edited(const struct model *m, const struct row *row, struct gw_buf *out)
{
    unsigned last = row->n_fields;

    for (unsigned i = 0; i < row->n_fields; i++)
        if (row->fields[i].key.p)
            last = i;
    for (unsigned i = 0; i <= row->n_fields; i++) {
        const struct field *f = &row->fields[i];

        if (i < row->n_fields && !f->gone && f->value)
            put_attr(out, m->attr_field, f->key, f->value);
        else if (i < row->n_fields && !f->gone)
            gw_buf_put_slice(out, f->raw);
        if (i != last)
            continue;
        for (unsigned k = 0; k < row->n_added; k++)
            put_attr(out, m->attr_field, row->added[k].key, row->added[k].value);
        if (last == row->n_fields)
            break;
    }
}

/* ---- making ------------------------------------------------------------------------------------------------- */

static void add_field(struct model *m, struct row *row, struct gw_slice raw, struct gw_slice key)
{
    row->fields[row->n_fields++] = (struct field){.raw = gw_arena_dup(&m->arena, raw), .key = key};
}

static void make_other(struct model *m, struct row *row, unsigned number, size_t n)
{
    struct gw_buf b;
    uint8_t text[20000];

    memset(text, 'x', sizeof(text));
    gw_buf_init(&b, 1 << 16);
    put_field(&b, number, gw_slice_of(text, n));
    add_field(m, row, gw_buf_slice(&b), (struct gw_slice){NULL, 0});
    gw_buf_clear(&b);
}

/* Also: the value before the key, the length in more bytes than needed, a field that nobody knows inside. */
static void make_attr(struct model *m, struct row *row)
{
    struct gw_slice key = gw_slice_cstr(keys[rw_below(&m->r, N_KEYS)]);
    const struct gw_value *value = &values[rw_below(&m->r, N_VALUES)];
    unsigned how = rw_below(&m->r, 12);
    struct gw_buf any, kv, b;
    uint8_t head[20], *p = head;

    gw_buf_init(&any, 1 << 16);
    gw_buf_init(&kv, 1 << 16);
    gw_buf_init(&b, 1 << 16);
    put_any(&any, value);
    if (how != 0)
        put_field(&kv, 1, key);
    put_field(&kv, 2, gw_buf_slice(&any));
    if (how == 0 && any.n < 100)
        put_field(&kv, 1, key);
    else if (how == 0)
        key = GW_SLICE("");
    if (how == 1)
        put_field(&kv, 99, GW_SLICE("strange"));
    p = gw_varint_put(p, GW_TAG(m->attr_field, GW_LEN));
    p = gw_varint_put(p, kv.n);
    if (how == 2) {
        p[-1] |= 0x80;
        *p++ = 0;
    }
    gw_buf_put(&b, head, (size_t)(p - head));
    gw_buf_put_slice(&b, gw_buf_slice(&kv));
    add_field(m, row, gw_buf_slice(&b), key);
    gw_buf_clear(&any);
    gw_buf_clear(&kv);
    gw_buf_clear(&b);
}

/* Sizes around those where a length takes one more byte are as frequent as others. */
static void make_row(struct model *m, unsigned attrs)
{
    static const size_t sizes[] = {0, 1, 40, 90, 100, 110, 120, 124, 300, 16300, 16340, 16380};
    unsigned text = m->signal == GW_TRACES ? 5 : m->signal == GW_LOGS ? 3 : 98, n = attrs ? attrs : rw_below(&m->r, 6);
    struct row *row = &m->rows[m->n_rows++];

    *row = (struct row){0};
    if (rw_below(&m->r, 4))
        make_other(m, row, text, sizes[rw_below(&m->r, rw_below(&m->r, 8) ? 9 : 12)] + rw_below(&m->r, 20));
    for (unsigned i = 0; i < n; i++) {
        make_attr(m, row);
        if (!attrs && rw_below(&m->r, 8) == 0)
            make_other(m, row, 99, rw_below(&m->r, 9));
    }
    if (rw_below(&m->r, 2))
        make_other(m, row, 97, rw_below(&m->r, 200));
}

/* A row of one field, `n` bytes with its tag and length. */
static void make_text_row(struct model *m, unsigned n)
{
    struct row *row = &m->rows[m->n_rows++];

    *row = (struct row){0};
    make_other(m, row, 5, n - (n < 130 ? 2 : n < 16387 ? 3 : 4));
}

/* ---- editing ------------------------------------------------------------------------------------------------ */

static void model_set(struct row *row, struct gw_slice key, const struct gw_value *value)
{
    row->touched = true;
    for (unsigned i = 0; i < row->n_fields; i++) {
        struct field *f = &row->fields[i];

        if (f->key.p && !f->gone && gw_slice_eq(f->key, key)) {
            f->value = value;
            return;
        }
    }
    for (unsigned i = 0; i < row->n_added; i++) {
        if (gw_slice_eq(row->added[i].key, key)) {
            row->added[i].value = value;
            return;
        }
    }
    assert_true(row->n_added < MAX_ADDED);
    row->added[row->n_added++] = (struct added){key, value};
}

static void model_delete(struct row *row, struct gw_slice key)
{
    unsigned n = 0;

    for (unsigned i = 0; i < row->n_fields; i++)
        if (row->fields[i].key.p && gw_slice_eq(row->fields[i].key, key))
            row->fields[i].gone = row->touched = true;
    for (unsigned i = 0; i < row->n_added; i++)
        if (!gw_slice_eq(row->added[i].key, key))
            row->added[n++] = row->added[i];
    row->n_added = n;
}

static void edit_row(struct model *m, struct gw_view *v, uint32_t row)
{
    unsigned n = rw_below(&m->r, 20) ? rw_below(&m->r, 4) : rw_below(&m->r, 30);

    for (; n > 0; n--) {
        struct gw_slice key = gw_slice_cstr(keys[rw_below(&m->r, N_KEYS)]);
        const struct gw_value *value = &values[rw_below(&m->r, N_VALUES)];

        if (rw_below(&m->r, 3)) {
            gw_view_attr_set(v, GW_OWN_ROW, row, key, value);
            model_set(&m->rows[row], key, value);
        } else {
            (void)gw_view_attr_delete(v, GW_OWN_ROW, row, key);
            model_delete(&m->rows[row], key);
        }
    }
}

/* More attributes than are collected at once, of names that no other row has. */
static void add_many(struct model *m, struct gw_view *v, uint32_t row, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        struct gw_slice key;

        (void)snprintf(name, sizeof(name), "row %u new %u", row, i);
        key = gw_arena_dup(&m->arena, gw_slice_cstr(name));
        gw_view_attr_set(v, GW_OWN_ROW, row, key, &values[i % N_VALUES]);
        model_set(&m->rows[row], key, &values[i % N_VALUES]);
    }
}

static void drop(struct model *m, struct gw_view *v, uint32_t row)
{
    if (m->rows[row].dropped)
        return;
    m->rows[row].dropped = m->rows[row].touched = true;
    assert_int_equal(gw_view_remove(v, row), 0);
}

/* ---- the request -------------------------------------------------------------------------------------------- */

struct shape {
    unsigned text;          /* bytes of each row's only field, or 0: as it comes */
    unsigned rows[2];       /* of two scopes */
    unsigned attrs;         /* of each row; 0: a few */
    bool gap, wide, edited; /* something between rows; a row's length in more bytes than needed; as edited */
};

static void put_rows(const struct model *m, const struct shape *s, unsigned first, unsigned n, unsigned field,
                     struct gw_buf *out)
{
    bool touched = false;
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    for (unsigned i = first; i < first + n; i++)
        touched |= m->rows[i].touched;
    for (unsigned i = first; i < first + n; i++) {
        const struct row *row = &m->rows[i];
        uint8_t head[20], *p = head;

        gw_buf_reset(&b);
        if (s->edited && row->touched)
            put_row_as_edited(m, row, &b);
        else
            put_row_as_it_came(row, &b);
        p = gw_varint_put(gw_varint_put(p, GW_TAG(field, GW_LEN)), b.n);
        if (s->wide && i % 3 == 1 && !(s->edited && touched)) {
            p[-1] |= 0x80;
            *p++ = 0;
        }
        if (!(s->edited && row->dropped)) {
            gw_buf_put(out, head, (size_t)(p - head));
            gw_buf_put_slice(out, gw_buf_slice(&b));
        }
        if (s->gap && i == first && !(s->edited && touched))
            put_field(out, 99, GW_SLICE("between"));
    }
    if (s->gap && s->edited && touched)
        put_field(out, 99, GW_SLICE("between")); /* rows are written together */
    gw_buf_clear(&b);
}

static bool any_kept(const struct model *m, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        if (!m->rows[i].dropped)
            return true;
    return false;
}

static void put_scope(const struct model *m, const struct shape *s, unsigned first, unsigned n, struct gw_buf *out)
{
    struct gw_buf rows, metric;

    put_field(out, 1, GW_SLICE("\x0a\x03lib"));
    if (m->signal != GW_METRICS) {
        put_rows(m, s, first, n, 2, out);
    } else {
        gw_buf_init(&rows, 1 << 22);
        gw_buf_init(&metric, 1 << 22);
        put_rows(m, s, first, n, 1, &rows);
        put_field(&metric, 1, GW_SLICE("name"));
        put_field(&metric, 5, gw_buf_slice(&rows));
        put_field(out, 2, gw_buf_slice(&metric));
        gw_buf_clear(&rows);
        gw_buf_clear(&metric);
    }
    put_field(out, 3, GW_SLICE("http://scope"));
}

static void put_request(const struct model *m, const struct shape *s, struct gw_buf *out)
{
    struct gw_buf scope, resource;
    unsigned first = 0;

    gw_buf_init(&scope, 1 << 22);
    gw_buf_init(&resource, 1 << 22);
    put_field(&resource, 1, GW_SLICE("\x0a\x05\x0a\x03key"));
    for (unsigned i = 0; i < 2; first += s->rows[i++]) {
        gw_buf_reset(&scope);
        if (s->edited && !any_kept(m, first, s->rows[i]))
            continue;
        put_scope(m, s, first, s->rows[i], &scope);
        put_field(&resource, 2, gw_buf_slice(&scope));
    }
    if (!s->edited || any_kept(m, 0, m->n_rows))
        put_field(out, 1, gw_buf_slice(&resource));
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
}

struct fixture {
    struct model m;
    struct shape shape;
    struct gw_batch *b;
    struct gw_view v;
};

static void open_fixture(struct fixture *f, enum gw_signal signal, unsigned seed, struct shape shape)
{
    struct gw_err err = {""};
    struct gw_buf in;
    struct gw_ref at;

    *f = (struct fixture){.shape = shape};
    f->m.r.state = seed * 7 + signal;
    f->m.signal = signal;
    f->m.attr_field = signal == GW_TRACES ? 9 : signal == GW_LOGS ? 6 : 7;
    gw_arena_init(&f->m.arena, 1 << 16, SIZE_MAX);
    for (unsigned i = 0; i < shape.rows[0] + shape.rows[1]; i++)
        if (shape.text)
            make_text_row(&f->m, shape.text);
        else
            make_row(&f->m, shape.attrs);
    gw_buf_init(&in, 1 << 22);
    put_request(&f->m, &shape, &in);
    f->b = gw_batch_new(signal);
    assert_int_equal(gw_batch_append(f->b, gw_buf_slice(&in), &at), 0);
    if (gw_decode(f->b, gw_batch_slice(f->b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(f->b->n_rows, f->m.n_rows);
    gw_view_init(&f->v, f->b, &f->m.arena);
    gw_buf_clear(&in);
}

static void close_fixture(struct fixture *f)
{
    gw_view_clear(&f->v);
    gw_batch_unref(f->b);
    gw_arena_clear(&f->m.arena);
}

/* The view encoded is the model written, in a large buffer and in some that just hold it. */
static void check_bytes(struct fixture *f)
{
    struct gw_buf want, out;

    gw_buf_init(&want, 1 << 22);
    f->shape.edited = true;
    put_request(&f->m, &f->shape, &want);
    assert_false(f->v.failed);
    for (unsigned i = 0; i < 4; i++) {
        gw_buf_init(&out, i == 0 ? 1 << 22 : want.n + HEADER_ROOM + (i - 1) * 70);
        assert_int_equal(gw_encode(&f->v, &out), 0);
        assert_int_equal(out.n, want.n);
        if (want.n)
            assert_memory_equal(out.p, want.p, want.n);
        gw_buf_clear(&out);
    }
    if (want.n > 1) {
        gw_buf_init(&out, want.n - 1);
        assert_int_equal(gw_encode(&f->v, &out), -E2BIG);
        gw_buf_clear(&out);
    }
    gw_buf_clear(&want);
}

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};

/*
 * Scenario: rows of every size with up to five attributes (a key twice, the value before the key, lengths in more bytes
 * than needed, unknown fields inside and between), attributes set, replaced and deleted, rows dropped, at random.
 * Guarantees: byte for byte what the model says, whatever room the buffer has; one byte less is refused.
 */
static void random_edits_leave_byte_for_byte(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 400; seed++) {
        struct shape shape = {.rows = {1 + seed % 20, 1 + seed % 7}, .gap = seed % 11 == 5, .wide = seed % 13 == 5};
        struct fixture f;

        open_fixture(&f, signals[seed % 3], seed, shape);
        for (uint32_t row = 0; row < f.b->n_rows; row++) {
            if (seed % 4)
                edit_row(&f.m, &f.v, row);
            if (rw_below(&f.m.r, seed % 2 ? 3 : 30) == 0)
                drop(&f.m, &f.v, row);
        }
        check_bytes(&f);
        close_fixture(&f);
    }
}

/*
 * Scenario: all rows get the same edits at once, over edits of some rows and between rows that were dropped before.
 * Guarantees: the same as when each row gets them, byte for byte.
 */
static void edits_of_all_rows_leave_byte_for_byte(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 120; seed++) {
        struct shape shape = {.rows = {1 + seed % 20, 1 + seed % 7}};
        struct fixture f;

        open_fixture(&f, signals[seed % 3], seed, shape);
        for (uint32_t row = 0; row < f.b->n_rows; row++) {
            if (seed % 2)
                edit_row(&f.m, &f.v, row);
            if (rw_below(&f.m.r, 4) == 0)
                drop(&f.m, &f.v, row);
        }
        for (unsigned i = 0; i < 1 + seed % 4; i++) {
            struct gw_slice key = gw_slice_cstr(keys[rw_below(&f.m.r, N_KEYS)]);
            const struct gw_value *value = &values[rw_below(&f.m.r, N_VALUES)];
            bool set = rw_below(&f.m.r, 2);

            if (set)
                gw_view_attr_set_rows(&f.v, key, value, GW_UPSERT);
            else
                gw_view_attr_delete_rows(&f.v, key);
            for (uint32_t row = 0; row < f.b->n_rows; row++) {
                if (f.m.rows[row].dropped)
                    continue;
                if (set)
                    model_set(&f.m.rows[row], key, value);
                else
                    model_delete(&f.m.rows[row], key);
            }
        }
        check_bytes(&f);
        close_fixture(&f);
    }
}

/*
 * Scenario: every row gets attributes that no other has, a few or more than are collected at once.
 * Guarantees: all are there, in the order of their making.
 */
static void attributes_of_their_own_and_many_of_them(void **state)
{
    static const unsigned counts[] = {1, 2, 7, 16, 17, 63, 64, 65, 80};

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        for (unsigned s = 0; s < 3; s++) {
            struct shape shape = {.rows = {20, 3}};
            struct fixture f;

            open_fixture(&f, signals[s], 1000 + i, shape);
            for (uint32_t row = 0; row < f.b->n_rows; row++)
                add_many(&f.m, &f.v, row, row % 3 == 1 ? counts[i] : row % 3);
            check_bytes(&f);
            close_fixture(&f);
        }
    }
}

/*
 * Scenario: rows with up to a hundred attributes of few keys, of which one key is deleted and one replaced.
 * Guarantees: what is left is in order, however many went.
 */
static void many_attributes_are_deleted(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 90; n += n < 60 ? 20 : 1) {
        struct shape shape = {.rows = {6, 1}, .attrs = n};
        struct fixture f;

        open_fixture(&f, GW_LOGS, n, shape);
        for (uint32_t row = 0; row < f.b->n_rows; row++) {
            for (unsigned k = 1; k < N_KEYS; k++) {
                (void)gw_view_attr_delete(&f.v, GW_OWN_ROW, row, gw_slice_cstr(keys[k]));
                model_delete(&f.m.rows[row], gw_slice_cstr(keys[k]));
            }
            gw_view_attr_set(&f.v, GW_OWN_ROW, row, GW_SLICE(""), &values[0]);
            model_set(&f.m.rows[row], GW_SLICE(""), &values[0]);
        }
        check_bytes(&f);
        close_fixture(&f);
    }
}

/*
 * Scenario: rows of each size around those where a length takes one more byte, which an attribute makes nine longer
 * Guarantees: the length is in as few bytes as it needs, on both sides of the edge
 */
static void lengths_get_longer_by_a_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned edge = 128; edge <= 16384; edge *= 128) {
            struct shape shape = {.rows = {3, 1}, .text = edge - 30 + i};
            struct fixture f;

            open_fixture(&f, GW_TRACES, i, shape);
            for (uint32_t row = 0; row < f.b->n_rows; row++) {
                gw_view_attr_set(&f.v, GW_OWN_ROW, row, GW_SLICE("a"), &values[1]);
                model_set(&f.m.rows[row], GW_SLICE("a"), &values[1]);
            }
            check_bytes(&f);
            close_fixture(&f);
        }
    }
}

/*
 * Scenario: the first row, the last, the first of the second scope, all of a scope, or all are dropped.
 * Guarantees: the others are as they were; a scope without rows is left out.
 */
static void rows_at_the_edges_are_dropped(void **state)
{
    static const uint32_t dropped[][2] = {{0, 1}, {7, 8}, {4, 6}, {5, 6}, {5, 8}, {0, 5}, {1, 7}, {0, 8}};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned s = 0; s < 6; s++) {
            struct shape shape = {.rows = {5, 3}};
            struct fixture f;

            open_fixture(&f, signals[s % 3], 2000 + i, shape);
            for (uint32_t row = dropped[i][0]; row < dropped[i][1]; row++)
                drop(&f.m, &f.v, row);
            for (uint32_t row = 0; row < f.b->n_rows && s >= 3; row++)
                add_many(&f.m, &f.v, row, 1);
            check_bytes(&f);
            close_fixture(&f);
        }
    }
}

/*
 * Scenario: more cuts than are collected at once, all of them dropped rows between kept ones.
 * Guarantees: none is lost.
 */
static void every_other_of_many_rows_is_dropped(void **state)
{
    struct gw_buf scope, resource, in, want, out;
    struct gw_arena arena;
    struct gw_err err = {""};
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_view v;
    struct gw_ref at;

    (void)state;
    gw_arena_init(&arena, 4096, SIZE_MAX);
    gw_buf_init(&in, 1 << 20);
    gw_buf_init(&want, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    for (unsigned half = 0; half < 2; half++) {
        gw_buf_init(&scope, 1 << 20);
        gw_buf_init(&resource, 1 << 20);
        for (unsigned i = 0; i < 300; i++) {
            char text[32];

            (void)snprintf(text, sizeof(text),
                           "\x1a\x08"
                           "row %04u",
                           i);
            if (!half || i % 2)
                put_field(&scope, 2, gw_slice_cstr(text));
        }
        put_field(&resource, 2, gw_buf_slice(&scope));
        put_field(half ? &want : &in, 1, gw_buf_slice(&resource));
        gw_buf_clear(&scope);
        gw_buf_clear(&resource);
    }
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&in), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err), 0);
    gw_view_init(&v, b, &arena);
    for (uint32_t i = 0; i < 300; i += 2)
        assert_int_equal(gw_view_remove(&v, i), 0);
    assert_int_equal(gw_encode(&v, &out), 0);
    assert_true(gw_slice_eq(gw_buf_slice(&out), gw_buf_slice(&want)));
    gw_view_clear(&v);
    gw_batch_unref(b);
    gw_arena_clear(&arena);
    gw_buf_clear(&in);
    gw_buf_clear(&want);
    gw_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_edits_leave_byte_for_byte),
        cmocka_unit_test(edits_of_all_rows_leave_byte_for_byte),
        cmocka_unit_test(attributes_of_their_own_and_many_of_them),
        cmocka_unit_test(many_attributes_are_deleted),
        cmocka_unit_test(lengths_get_longer_by_a_byte),
        cmocka_unit_test(rows_at_the_edges_are_dropped),
        cmocka_unit_test(every_other_of_many_rows_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
