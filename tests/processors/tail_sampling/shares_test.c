/* SPDX-License-Identifier: Apache-2.0 */
/* Policies by trace state, and by a share of the trace ids. */
#include "processors/tail_sampling/rules.h"
#include "tests/processors/tail_sampling/rig.h"

#define ONE(policy) "policies: [{name: p, " policy "}]"

/* ---- trace state ------------------------------------------------------------------------------------------ */

static void a_member_of_the_trace_state(void **state)
{
    char is[320], yaml[512];
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: trace_state, trace_state: {key: k, values: [v, '', w]}"));
    KEEPS(&r, {0}, {.state = "a=b,k=w"});
    KEEPS(&r, {.state = "a@b=c,k=v"});
    KEEPS(&r, {.state = "1a@b=c,k=v"}); /* a tenant may begin with a digit, a key may not */
    LOSES(&r, {.state = "1a=c,k=v"}, {.state = "a@1b=c,k=v"}, {.state = "@b=c,k=v"}, {.state = "a@=c,k=v"},
          {.state = "a@b@c=d,k=v"});
    LOSES(&r, {.state = "k=vv"}, {.state = "a=k=v"}, {.state = "k=v,k=v"}, {.state = "a=b"});
    rig_close(&r);

    /* Together key and value must stay below 256 bytes, or the value is none. */
    for (unsigned n = 254; n < 256; n++) {
        memset(is, 'x', sizeof(is));
        memcpy(is, "k=", 2);
        is[2 + n] = '\0';
        (void)snprintf(yaml, sizeof(yaml), ONE("type: trace_state, trace_state: {key: k, values: ['%s']}"), is + 2);
        rig_open(&r, yaml);
        assert_int_equal(TRACE(&r, {.state = is}), n == 254 ? GW_SAMPLED : GW_NOT_SAMPLED);
        rig_close(&r);
    }
}

/*
 * Texts put together at random, 64 a mask; golden.go asked OpenTelemetry's SDK for Go (otel/trace v1.44.0) which of
 * them are a trace state in which k is v.
 */
static void trace_states_are_read_as_go_reads_them(void **state)
{
    static const char *const parts[] = {"k", "=", "v", ",", " ", "\\t", "@",    "a",    "k=v",  "k=v,", "b=w,",
                                        "K", "*", "-", "/", "1", "=v ", "k =v", " k=v", "k=v ", ",,"};
    static const uint64_t masks[] = {
        0x0200200800800000, 0x0000400020040200, 0x0000000008000100, 0x0000200000000000,
        0x0008000000001000, 0x8000000000806200, 0x0004000000000000, 0x0000200000000000,
        0x0000000000000100, 0x0000020000000400, 0x1000000012000001, 0x0410000000001004,
        0x0002000000000880, 0x2800004000000000, 0x02400000800a0000, 0x020040006a008000,
    };
    char texts[64][64];
    uint64_t seed = 99;
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: trace_state, trace_state: {key: k, values: [v]}"));
    for (unsigned k = 0; k < 16; k++) {
        struct span spans[64] = {{0}};
        const uint64_t(*bits)[GW_FACT_WORDS];
        struct gw_view v;

        for (unsigned j = 0; j < 64; j++) {
            uint64_t n = gw_test_random(&seed) % 6 + 1;

            for (texts[j][0] = '\0'; n > 0; n--)
                strcat(texts[j], parts[gw_test_random(&seed) % (sizeof(parts) / sizeof(parts[0]))]);
            spans[j].state = texts[j];
        }
        rig_view(&r, spans, 64, &v);
        bits = gw_policies_ask(r.p, &v);
        for (unsigned j = 0; j < 64; j++)
            if ((bits[j][0] & 1) != (masks[k] >> j & 1))
                fail_msg("\"%s\" is %d", texts[j], (int)(masks[k] >> j & 1));
        gw_view_clear(&v);
        gw_arena_reset(&r.arena, 1 << 20);
    }
    rig_close(&r);
}

/* ---- probabilistic ---------------------------------------------------------------------------------------- */

/*
 * An independent implementation wrote the numbers (Python):
 *
 *     def fnv1a64(data):
 *         h = 0xcbf29ce484222325
 *         for c in data: h = ((h ^ c) * 0x100000001b3) % 2**64
 *         return h
 *     def at_most(pct):                                   # big.Float: 64 significant bits, half to even
 *         n, e = Fraction(pct / 100) * (2**64 - 1), 0
 *         while n >= 2**64: n /= 2; e += 1
 *         while 0 < n < 2**63: n *= 2; e -= 1
 *         k, rest = divmod(n, 1)
 *         k += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and k % 2)
 *         return min(int(k * Fraction(2)**e), 2**64 - 1)
 *     ids = [bytes((i * 37 + k * 11) % 256 for k in range(16)) for i in range(64)]
 *     sum((fnv1a64(salt + id) <= at_most(pct)) << i for i, id in enumerate(ids))
 */
static void a_share_of_the_ids(void **state)
{
    static const struct {
        const char *salt;
        double pct;
        uint64_t at_most, kept;
    } cases[] = {
        {"", 0, 0, 0},
        {"", -3, 0, 0},
        {"", 1e-18, 0, 0},
        {"", 1e-5, 0x1ad7f29abca, 0},
        {"", 0.1, 0x4189374bc6a7ef, 0},
        {"", 1, 0x28f5c28f5c28f5f, 0x1000000000000},
        {"", 10, 0x19999999999999ff, 0x908040008010c},
        {"default-hash-seed", 10, 0x19999999999999ff, 0x908040008010c},
        {"test-salt", 10, 0x19999999999999ff, 0x800000008800200},
        {"x", 10, 0x19999999999999ff, 0x4020011800001080},
        {"", 50, 0x7fffffffffffffff, 0xc8e928c43cdd2b7e},
        {"test-salt", 50, 0x7fffffffffffffff, 0x6a92d81e6fa0163c},
        {"x", 50, 0x7fffffffffffffff, 0xc2e801bd563755c6},
        {"", 99, 0xfd70a3d70a3d6fff, 0xffff7fffffffffff},
        {"test-salt", 99, 0xfd70a3d70a3d6fff, 0xfffffbffffffffff},
        {"", 33.3, 0x553f7ced91686fff, 0},
        {"", 66.6, 0xaa7ef9db22d0dfff, 0},
        {"", 99.9, 0xffbe76c8b4395fff, 0},
        {"", 99.99999999999999, 0xfffffffffffff7ff, UINT64_MAX},
        {"", 100, UINT64_MAX, UINT64_MAX},
        {"", 250, UINT64_MAX, UINT64_MAX},
    };
    char yaml[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r = {.c.share = 1};
        uint64_t kept = 0;

        (void)snprintf(yaml, sizeof(yaml),
                       ONE("type: probabilistic, probabilistic: {sampling_percentage: %.17g, hash_salt: '%s'}"),
                       cases[i].pct, cases[i].salt);
        rig_open(&r, yaml);
        if (r.p->list[0].rule->share.at_most != cases[i].at_most)
            fail_msg("%g %%: %llx", cases[i].pct, (unsigned long long)r.p->list[0].rule->share.at_most);
        ADD(&r, {0});
        for (unsigned k = 0; k < 64; k++) {
            for (unsigned j = 0; j < 16; j++)
                r.id[j] = (uint8_t)(k * 37 + j * 11);
            kept |= (uint64_t)(rig_decide(&r) == GW_SAMPLED) << k;
        }
        if (cases[i].kept && kept != cases[i].kept)
            fail_msg("%g %% with \"%s\": %llx", cases[i].pct, cases[i].salt, (unsigned long long)kept);
        rig_close(&r);
    }
}

/* rv decides where there is one; where there is only th, the lower 56 bits of the id; where there is none, the hash. */
static void trace_states_take_the_place_of_the_hash(void **state)
{
    static const char yaml[] = ONE("type: probabilistic, probabilistic: {sampling_percentage: 50}");
    struct rig r = {.c.share = 1, .c.use_trace_state = true};

    (void)state;
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:80000000000000"});
    assert_true(r.verdict.has_threshold);
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    LOSES(&r, {.state = "ot=rv:7fffffffffffff"});
    assert_false(r.verdict.has_threshold);
    LOSES(&r, {.state = "ot=th:8"}, {.state = "ot=rv:00000000000000"},
          {.state = "ot=rv:ffffffffffffff"}); /* the first */
    assert_false(r.facts.bad_trace_state);
    r.id[9] = 0x80;
    KEEPS(&r, {.state = "ot=th:0"});
    r.id[9] = 0x7f;
    LOSES(&r, {.state = "ot=th:0"}, {.state = "=,="});
    assert_true(r.facts.bad_trace_state);
    for (unsigned k = 0; k < 16; k++)
        r.id[k] = (uint8_t)(k * 11); /* the first of a_share_of_the_ids */
    LOSES(&r, {.state = "a=b"}, {.state = "=,="});
    rig_close(&r);

    r.c.use_trace_state = false;
    rig_open(&r, yaml);
    for (unsigned k = 0; k < 16; k++)
        r.id[k] = (uint8_t)(k * 11);
    LOSES(&r, {.state = "ot=rv:ffffffffffffff"});
    rig_close(&r);
}

#define SHARE(nm, pct) "{name: " nm ", type: probabilistic, probabilistic: {sampling_percentage: " pct "}}"

/* `and` reports the largest threshold of its parts, a list of policies the smallest of those that vote to sample. */
static void thresholds_are_of_the_mildest_that_votes(void **state)
{
    static const char yaml[] = "policies: [" SHARE("a", "25") ", {name: b, type: and, and: {and_sub_policy: [" SHARE(
        "b1", "75") ", " SHARE("b2", "50") "]}}, {name: c, type: status_code, status_code: {status_codes: [ERROR]}}]";
    struct rig r = {.c.share = 1, .c.use_trace_state = true};

    (void)state;
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:d0000000000000"});
    assert_string_equal(r.verdict.policy, "a");
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    KEEPS(&r, {.state = "ot=rv:90000000000000"});
    assert_string_equal(r.verdict.policy, "b");
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    KEEPS(&r, {.state = "ot=rv:d0000000000000", .status = 2});
    assert_string_equal(r.verdict.policy, "a");
    assert_int_equal(r.verdict.threshold, 0);
    LOSES(&r, {.state = "ot=rv:70000000000000"});
    rig_close(&r);

    r.c.use_trace_state = r.c.sample_on_first_match = true; /* nobody behind the first is asked */
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:d0000000000000", .status = 2});
    assert_int_equal(r.verdict.threshold, 0xc0000000000000);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_of_the_trace_state),
        cmocka_unit_test(trace_states_are_read_as_go_reads_them),
        cmocka_unit_test(a_share_of_the_ids),
        cmocka_unit_test(trace_states_take_the_place_of_the_hash),
        cmocka_unit_test(thresholds_are_of_the_mildest_that_votes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
