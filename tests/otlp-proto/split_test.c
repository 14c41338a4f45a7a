/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

/* All pieces, decoded into one batch; keys in order. */
struct pieces {
    struct gw_batch *b;
    struct gw_slice whole;
    uint32_t max_rows, n;
    size_t max_bytes;
    uint32_t ends[4096]; /* rows up to each piece's end */
    uint8_t keys[4096][16];
    size_t key_n[4096];
    uint32_t row_of[65536]; /* of each row of b, by key: which of the whole it is */
    int stop_at;
};

static void open_pieces(struct pieces *p, enum gw_signal signal, struct gw_slice whole)
{
    memset(p, 0, sizeof(*p));
    p->b = gw_batch_new(signal);
    p->whole = whole;
    p->stop_at = -1;
}

static int piece(void *arg, struct gw_slice s, uint32_t rows)
{
    struct pieces *p = arg;
    struct gw_err err = {""};
    struct gw_ref at;
    uint32_t before = p->b->n_rows;

    if (p->stop_at == (int)p->n)
        return -EINTR;
    assert_int_equal(gw_batch_append(p->b, s, &at), 0);
    if (gw_decode(p->b, gw_batch_slice(p->b, at), &limits, NULL, &err) < 0)
        fail_msg("piece %u: %s", p->n, err.text);
    assert_int_equal(p->b->n_rows - before, rows);
    assert_true(rows > 0);
    if (p->max_rows)
        assert_true(rows <= p->max_rows);
    if (p->max_bytes && rows > 1)
        assert_true(s.n <= p->max_bytes);
    p->ends[p->n++] = p->b->n_rows;
    return 0;
}

static int keyed(void *arg, struct gw_slice key, struct gw_slice s, const uint32_t *row_of, uint32_t rows)
{
    struct pieces *p = arg;

    assert_true(p->b->n_rows + rows <= sizeof(p->row_of) / sizeof(p->row_of[0]));
    memcpy(p->row_of + p->b->n_rows, row_of, rows * sizeof(*row_of));

    p->key_n[p->n] = key.n;
    memcpy(p->keys[p->n], key.p, key.n < 16 ? key.n : 16);
    return piece(arg, s, rows);
}

static void random_request(struct gw_buf *out, enum gw_signal signal, unsigned seed)
{
    struct random_wire r = {.state = seed * 17 + signal, .max_items = 6, .budget = 2000};

    gw_buf_reset(out);
    rw_message(&r, out, rb_request(signal), 0);
}

static struct gw_batch *batch_of(enum gw_signal signal, struct gw_slice bytes)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, bytes, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    return b;
}

static void check_same_row(const struct gw_batch *a, uint32_t i, const struct gw_batch *b, uint32_t k)
{
    const struct gw_scope *s = &a->scopes[a->scope[i]], *t = &b->scopes[b->scope[k]];

    assert_true(gw_slice_eq(gw_batch_slice(a, a->raw[i]), gw_batch_slice(b, b->raw[k])));
    assert_true(gw_slice_eq(gw_batch_slice(a, s->raw), gw_batch_slice(b, t->raw)));
    assert_true(gw_slice_eq(gw_batch_slice(a, s->schema_url), gw_batch_slice(b, t->schema_url)));
    assert_true(gw_slice_eq(gw_batch_slice(a, a->resources[s->resource].raw),
                            gw_batch_slice(b, b->resources[t->resource].raw)));
    if (a->signal == GW_METRICS) {
        const struct gw_metric_desc *m = &a->metrics[a->metric[i]], *n = &b->metrics[b->metric[k]];

        assert_true(gw_slice_eq(gw_batch_slice(a, m->name), gw_batch_slice(b, n->name)));
        assert_int_equal(m->type, n->type);
        assert_int_equal(m->temporality, n->temporality);
        assert_int_equal(m->monotonic, n->monotonic);
    }
}

/*
 * Scenario: random requests of all signals cut by rows and by bytes, down to one row and one byte.
 * Guarantees: pieces keep to the limit (one row may be longer), hold all rows in order, byte-identical, each in its
 * resource, scope and metric.
 */
static void test_pieces_hold_all_rows_in_their_envelopes(void **state)
{
    static const uint32_t max_rows[] = {0, 1, 2, 7, 1000000};
    static const size_t max_bytes[] = {0, 1, 300, 1000, 5000, 100000000};
    static struct pieces p;
    struct gw_buf in;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    for (unsigned i = 0; i < 3 * 20; i++) {
        enum gw_signal signal = signals[i % 3];
        struct gw_batch *b;

        random_request(&in, signal, i);
        b = batch_of(signal, gw_buf_slice(&in));
        for (unsigned k = 0; k < 30; k++) {
            open_pieces(&p, signal, gw_buf_slice(&in));
            p.max_rows = max_rows[k % 5];
            p.max_bytes = max_bytes[k / 5];
            assert_int_equal(gw_split(signal, gw_buf_slice(&in), p.max_rows, p.max_bytes, piece, &p), 0);
            assert_int_equal(p.b->n_rows, b->n_rows);
            for (uint32_t row = 0; row < b->n_rows; row++)
                check_same_row(b, row, p.b, row);
            if (p.max_rows == 1 || p.max_bytes == 1)
                assert_int_equal(p.n, b->n_rows);
            gw_batch_unref(p.b);
        }
        gw_batch_unref(b);
    }
    gw_buf_clear(&in);
}

/*
 * Scenario: spans and records whose trace ids come back in any order, some without one.
 * Guarantees: one piece per trace id, in the order of first appearance, with all its rows in order.
 */
static void test_one_piece_per_trace(void **state)
{
    static struct pieces p;
    struct gw_buf in;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    for (unsigned i = 0; i < 40; i++) {
        enum gw_signal signal = signals[i % 2];
        struct gw_batch *b;
        bool *done;
        uint32_t k = 0;

        random_request(&in, signal, i);
        /* make some ids equal: bytes 1 … 15 of every id, wherever one stands */
        b = batch_of(signal, gw_buf_slice(&in));
        for (uint32_t row = 0; row < b->n_rows; row++)
            if (!(b->row_flags[row] & GW_ROW_NO_TRACE_ID)) {
                uint8_t *at = memmem(in.p, in.n, b->trace_id[row], 16);

                if (at)
                    memset(at, 'A' + (int)(row % 3), 16);
            }
        gw_batch_unref(b);
        b = batch_of(signal, gw_buf_slice(&in));
        done = calloc(b->n_rows + 1, sizeof(*done));
        assert_non_null(done);
        open_pieces(&p, signal, gw_buf_slice(&in));
        assert_int_equal(gw_split_by_trace(signal, gw_buf_slice(&in), keyed, &p), 0);
        assert_int_equal(p.b->n_rows, b->n_rows);
        for (unsigned n = 0; n < p.n; n++) {
            uint32_t first = 0;

            while (done[first])
                first++;
            for (uint32_t row = first; row < b->n_rows; row++) {
                if (done[row] || memcmp(b->trace_id[row], b->trace_id[first], 16) != 0)
                    continue;
                assert_true(k < p.ends[n]);
                check_same_row(b, row, p.b, k);
                assert_int_equal(p.row_of[k], row);
                done[row] = true;
                k++;
            }
            assert_int_equal(k, p.ends[n]);
            assert_int_equal(p.key_n[n], b->row_flags[first] & GW_ROW_NO_TRACE_ID ? 0 : 16);
            assert_memory_equal(p.keys[n], b->trace_id[first], p.key_n[n]);
        }
        free(done);
        gw_batch_unref(p.b);
        gw_batch_unref(b);
    }
    assert_int_equal(gw_split_by_trace(GW_METRICS, GW_SLICE(""), keyed, &p), -EINVAL);
    gw_buf_clear(&in);
}

/*
 * Scenario: two requests with the same resources behind each other.
 * Guarantees: one piece per distinct Resource message, holding the rows of all its envelopes.
 */
static void test_one_piece_per_resource(void **state)
{
    static struct pieces p;
    struct gw_buf in;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    for (unsigned i = 0; i < 3 * 10; i++) {
        enum gw_signal signal = signals[i % 3];
        struct gw_batch *b;
        size_t once;

        random_request(&in, signal, i);
        once = in.n;
        assert_int_equal(gw_buf_reserve(&in, once), 0);
        gw_buf_put(&in, in.p, once);
        b = batch_of(signal, gw_buf_slice(&in));
        open_pieces(&p, signal, gw_buf_slice(&in));
        assert_int_equal(gw_split_by_resource(signal, gw_buf_slice(&in), keyed, &p), 0);
        assert_int_equal(p.b->n_rows, b->n_rows);
        for (uint32_t n = 0, row = 0; n < p.n; n++) {
            const struct gw_resource *first = &p.b->resources[gw_batch_resource_of(p.b, row)];

            assert_int_equal(p.key_n[n], first->raw.len);
            for (; row < p.ends[n]; row++) {
                assert_true(gw_slice_eq(gw_batch_slice(p.b, first->raw),
                                        gw_batch_slice(p.b, p.b->resources[gw_batch_resource_of(p.b, row)].raw)));
                check_same_row(b, p.row_of[row], p.b, row);
            }
            if (row < p.b->n_rows)
                assert_true(n + 1 < p.n);
        }
        gw_batch_unref(p.b);
        gw_batch_unref(b);
    }
    gw_buf_clear(&in);
}

/*
 * Scenario: counting without decoding, on usual and on cut-off requests; a receiver of pieces that gives up.
 * Guarantees: the decoder's number of rows; -EBADMSG; the receiver's own error comes back and nothing follows.
 */
static void test_rows_are_counted_and_bad_framing_is_refused(void **state)
{
    static struct pieces p;
    struct gw_buf in;
    uint32_t rows = 77;

    (void)state;
    gw_buf_init(&in, 1 << 24);
    for (unsigned i = 0; i < 3 * 20; i++) {
        enum gw_signal signal = signals[i % 3];
        struct gw_batch *b;

        random_request(&in, signal, i);
        b = batch_of(signal, gw_buf_slice(&in));
        assert_int_equal(gw_count_rows(signal, gw_buf_slice(&in), &rows), 0);
        assert_int_equal(rows, b->n_rows);
        if (rows > 3) {
            open_pieces(&p, signal, gw_buf_slice(&in));
            p.stop_at = 2;
            assert_int_equal(gw_split(signal, gw_buf_slice(&in), 1, 0, piece, &p), -EINTR);
            assert_int_equal(p.b->n_rows, 2);
            gw_batch_unref(p.b);
        }
        gw_batch_unref(b);
    }
    open_pieces(&p, GW_TRACES, GW_SLICE(""));
    rows = 77;
    assert_int_equal(gw_count_rows(GW_TRACES, GW_SLICE("\x0a\x05\x12"), &rows), -EBADMSG);
    assert_int_equal(gw_count_rows(GW_TRACES, GW_SLICE("\x08\x05"), &rows), -EBADMSG);
    assert_int_equal(rows, 77);
    assert_int_equal(gw_split(GW_TRACES, GW_SLICE("\x0a\x02\x12\x05"), 1, 0, piece, &p), -EBADMSG);
    assert_int_equal(gw_split(GW_TRACES, GW_SLICE(""), 1, 0, piece, &p), 0);
    assert_int_equal(gw_split_by_trace(GW_TRACES, GW_SLICE("\x0a\x06\x12\x04\x12\x02\x0a\x05"), keyed, &p), -EBADMSG);
    assert_int_equal(p.n, 0);
    gw_batch_unref(p.b);
    gw_buf_clear(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_hold_all_rows_in_their_envelopes),
        cmocka_unit_test(test_one_piece_per_trace),
        cmocka_unit_test(test_one_piece_per_resource),
        cmocka_unit_test(test_rows_are_counted_and_bad_framing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
