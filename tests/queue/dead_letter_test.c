/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/dead_letter.h"

#include "batch/view.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/limits.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

struct letter {
    struct gw_batch *b;
    struct gw_view v;
    struct gw_arena arena;
};

/* What a receiver of the letter sees. */
static void read_letter(struct letter *l, const struct gw_dead_letter *d)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_test_env te;
    struct gw_buf out;
    struct gw_ref at;
    struct gw_err err = {""};

    gw_test_env_init(&te, 3);
    gw_buf_init(&out, 1 << 20);
    gw_dead_letter_put(&te.env, d, &out);
    assert_false(out.failed);
    l->b = gw_batch_new(GW_LOGS);
    assert_int_equal(gw_batch_append(l->b, gw_buf_slice(&out), &at), 0);
    if (gw_decode(l->b, gw_batch_slice(l->b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(l->b->n_rows, 1);
    gw_arena_init(&l->arena, 4096, 1 << 20);
    gw_view_init(&l->v, l->b, &l->arena);
    gw_buf_clear(&out);
    gw_test_env_clear(&te);
}

static void drop_letter(struct letter *l)
{
    gw_view_clear(&l->v);
    gw_arena_clear(&l->arena);
    (void)gw_batch_unref(l->b);
}

static void has_text(struct letter *l, const char *key, const char *text)
{
    struct gw_value v;

    if (!gw_view_attr_get(&l->v, GW_OWN_ROW, 0, gw_slice_cstr(key), &v) || v.type != GW_V_STRING ||
        !gw_slice_is(v.s, text))
        fail_msg("%s is not %s", key, text);
}

static void has_number(struct letter *l, const char *key, int64_t number)
{
    struct gw_value v;

    if (!gw_view_attr_get(&l->v, GW_OWN_ROW, 0, gw_slice_cstr(key), &v) || v.type != GW_V_INT || v.i != number)
        fail_msg("%s is not %lld", key, (long long)number);
}

static bool has(struct letter *l, const char *key)
{
    return gw_view_attr_get(&l->v, GW_OWN_ROW, 0, gw_slice_cstr(key), NULL);
}

/*
 * Scenario    a letter of which everything is known
 * Guarantees  one log record: the body as bytes, and every part of the envelope as an attribute of its own
 */
static void the_envelope_says_everything(void **state)
{
    const struct gw_meta meta = {.tenant = GW_SLICE("acme"), .peer = GW_SLICE("10.0.0.1:77"), .transport = "grpc"};
    const struct gw_dead_letter d = {
        .class_ = "sink_rejected",
        .reason = "http_400",
        .message = "mapper_parsing_exception",
        .component = "elasticsearch/eu",
        .pipeline = "logs/eu",
        .receiver = "otlp",
        .config = "0123456789abcdef",
        .rule = "r",
        .field = "f",
        .value = GW_SLICE("\xff"),
        .signal = GW_LOGS,
        .rows = 3,
        .attempts = 2,
        .code = 400,
        .first_ns = 100,
        .last_ns = 200,
        .whole_bytes = 4000,
        .meta = &meta,
        .body = GW_SLICE("\x0a\x00 the rows"),
    };
    struct letter l;

    (void)state;
    read_letter(&l, &d);
    assert_int_equal(l.b->body_type[0], GW_V_BYTES);
    assert_true(gw_slice_eq(gw_batch_slice(l.b, l.b->body[0].ref), d.body));
    assert_int_equal(l.b->time_ns[0], 200);
    has_number(&l, "dlq.v", 1);
    assert_true(has(&l, "dlq.id"));
    has_text(&l, "dlq.class", "sink_rejected");
    has_text(&l, "dlq.code", "400");
    has_text(&l, "dlq.reason", "http_400");
    has_text(&l, "dlq.message", "mapper_parsing_exception");
    has_text(&l, "dlq.component", "elasticsearch/eu");
    has_text(&l, "dlq.pipeline", "logs/eu");
    has_text(&l, "dlq.receiver", "otlp");
    has_text(&l, "dlq.build", GW_VERSION);
    has_text(&l, "dlq.cfg", "0123456789abcdef");
    has_text(&l, "dlq.enc", "application/x-protobuf");
    has_text(&l, "dlq.src", "otlp-grpc://10.0.0.1:77");
    has_text(&l, "dlq.signal", "logs");
    has_text(&l, "dlq.tenant", "acme");
    has_number(&l, "dlq.rows", 3);
    has_number(&l, "dlq.attempt", 2);
    has_number(&l, "dlq.first", 100);
    has_number(&l, "dlq.time", 200);
    has_number(&l, "dlq.bytes", 4000);
    assert_false(has(&l, "dlq.chain"));
    drop_letter(&l);
}

/*
 * Scenario    a letter of which only class, reason and body are known
 * Guarantees  what is not known is left out
 */
static void what_is_not_known_is_left_out(void **state)
{
    static const char *const keys[] = {"dlq.code",  "dlq.component", "dlq.pipeline", "dlq.cfg",   "dlq.src",
                                       "dlq.first", "dlq.attempt",   "dlq.tenant",   "dlq.chain", "dlq.bytes"};
    const struct gw_dead_letter d = {.class_ = "decode", .reason = "malformed", .body = GW_SLICE("x")};
    struct letter l;

    (void)state;
    read_letter(&l, &d);
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (has(&l, keys[i]))
            fail_msg("%s is there", keys[i]);
    drop_letter(&l);
}

/*
 * Scenario    rows that were a dead letter before; a header of the chain's name that is far too long, and one that is
 *             no text
 * Guarantees  the chain goes on into the letter; what no replay has made does not
 */
static void a_chain_goes_on(void **state)
{
    static char long_chain[400];
    struct gw_meta_pair pair = {GW_SLICE("dlq.chain"), GW_SLICE("0190a-1,0190a-2")};
    const struct gw_meta meta = {.pairs = &pair, .n_pairs = 1};
    const struct gw_dead_letter d = {.class_ = "schema", .reason = "r", .meta = &meta, .body = GW_SLICE("x")};
    struct letter l;

    (void)state;
    read_letter(&l, &d);
    has_text(&l, "dlq.chain", "0190a-1,0190a-2");
    drop_letter(&l);
    memset(long_chain, 'a', sizeof(long_chain));
    pair.value = gw_slice_of(long_chain, sizeof(long_chain));
    assert_int_equal(gw_dead_letter_chain(&meta).n, 0);
    pair.value = GW_SLICE("\xff\xfe");
    assert_int_equal(gw_dead_letter_chain(&meta).n, 0);
    assert_int_equal(gw_dead_letter_chain(NULL).n, 0);
    read_letter(&l, &d);
    assert_false(has(&l, "dlq.chain"));
    drop_letter(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_envelope_says_everything),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(a_chain_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
