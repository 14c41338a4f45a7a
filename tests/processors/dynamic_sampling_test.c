/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamic_sampling: when traces are decided, by which rule, at which rate, and what is written on them. Rates
 * themselves are the samplers' tests (tests/processors/common/samplers_test.c).
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness_processor.h"
#include "values/sampling.h"

#define SECOND UINT64_C(1000000000)

static struct gw_proc_rig r;
static char *all; /* everything that left so far */
static unsigned n_left;
static bool only_counted;
static struct gw_arena reloaded; /* settings of the newest instance */

static const struct gw_ports_ops *rigs;

/* The rig keeps the last batch; here all of them count. */
static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    size_t n = strlen(all), more;

    n_left += v->n_rows;
    if (only_counted) {
        gw_view_settle_all(v, out->ledger, GW_DELIVERED, "test", NULL);
        gw_view_clear(v);
        return;
    }
    rigs->emit(out, port, v);
    more = strlen(r.out);
    all = realloc(all, n + more + 1);
    memcpy(all + n, r.out, more + 1);
}

static void open_rig(const char *yaml)
{
    static struct gw_ports_ops ops;

    gw_proc_open(&r, "dynamic_sampling", GW_TRACES, yaml);
    rigs = r.ports.ops;
    ops = *rigs;
    ops.emit = emit;
    r.ports.ops = &ops;
    free(all);
    all = strdup("");
    n_left = 0;
    only_counted = false;
}

static void close_rig(void)
{
    gw_proc_close(&r);
    gw_arena_clear(&reloaded);
    free(all);
    all = NULL;
}

struct span {
    unsigned trace, id, parent; /* trace: its number; the last 7 bytes of the id are its randomness */
    uint64_t randomness;
    const char *service, *attributes, *state; /* attributes: JSON */
    int status;
};

/* A span of the trace `randomness`, so that decisions can be told beforehand. */
static const char *json_of(struct span s)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                   "\"stringValue\":\"%s\"}}]},"
                   "\"scopeSpans\":[{\"spans\":[{\"traceId\":\"%08x0000000000%014llx\",\"spanId\":\"%016x\","
                   "\"parentSpanId\":\"%.*x\","
                   "\"name\":\"t%us%u.\",\"traceState\":\"%s\",\"status\":{\"code\":%d},\"attributes\":[%s]}]}]}]}",
                   s.service ? s.service : "shop", s.trace, (unsigned long long)s.randomness, s.id, s.parent ? 16 : 0,
                   s.parent, s.trace, s.id, s.state ? s.state : "", s.status, s.attributes ? s.attributes : "");
    return text;
}

#define SPAN(...) gw_proc_send(&r, json_of((struct span){__VA_ARGS__}))

static int tick(uint64_t ns)
{
    int rc;

    gw_test_env_advance(&r.te, ns);
    rc = r.component->tick(r.self, gw_mono_ns(&r.te.env), &r.ports);
    gw_arena_reset(&r.arena, 1 << 20);
    return rc;
}

static bool left(const char *text)
{
    return strstr(all, text) != NULL;
}

static unsigned times(const char *text)
{
    unsigned n = 0;

    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

#define METRIC(name) gw_proc_metric(&r, "otelcol_processor_dynamic_sampling_" name)
#define ALL          "rules: [{name: all, sampler: {type: always_sample}}]"

/*
 * Scenario    a trace whose root comes, one whose root never comes, with the defaults
 * Guarantees  the first is decided two seconds after its root, the second two after thirty, neither before; spans that
 *             come in between come along, whole traces in one batch; rule and threshold stand on every span
 */
static void a_root_or_a_timeout_ends_the_waiting(void **state)
{
    (void)state;
    open_rig("{" ALL "}");
    SPAN(.trace = 1, .id = 2, .parent = 1);
    SPAN(.trace = 2, .id = 2, .parent = 1);
    assert_true(METRIC("traces_active") == 2);
    (void)tick(5 * SECOND);
    SPAN(.trace = 1, .id = 1);
    (void)tick(2 * SECOND - 1);
    SPAN(.trace = 1, .id = 3, .parent = 1);
    assert_false(left("spanId"));
    assert_int_equal(r.component->held(r.self), 4);
    (void)tick(1 + SECOND);
    assert_true(left("t1s1.") && left("t1s2.") && left("t1s3.") && !left("t2"));
    assert_int_equal(times("otelcol.processor.dynamic_sampling.rule"), 3);
    assert_int_equal(times("\"traceState\":\"ot=th:0\""), 3);
    (void)tick(23 * SECOND);
    assert_false(left("t2"));
    (void)tick(2 * SECOND);
    assert_true(left("t2s2."));
    assert_int_equal(r.component->held(r.self), 0);
    assert_true(METRIC("decision_triggers{trigger=\"root_span\"}") == 1);
    assert_true(METRIC("decision_triggers{trigger=\"trace_timeout\"}") == 1);
    assert_true(METRIC("traces_sampled{rule=\"all\"}") == 2 && METRIC("traces_active") == 0);
    close_rig();
}

/*
 * Scenario    shorter times, and a condition of its own for the root
 * Guarantees  they hold; a span without a parent is none then
 */
static void times_and_roots_are_settings(void **state)
{
    (void)state;
    open_rig("{trace_timeout: 10s, decision_delay: 1s, root_span_condition: 'span.attributes[\"end\"] == true', " ALL
             "}");
    SPAN(.trace = 1, .id = 1);
    SPAN(.trace = 2, .id = 2, .parent = 1, .attributes = "{\"key\":\"end\",\"value\":{\"boolValue\":true}}");
    (void)tick(2 * SECOND);
    assert_true(left("t2s2.") && !left("t1"));
    (void)tick(8 * SECOND);
    assert_false(left("t1"));
    (void)tick(2 * SECOND);
    assert_true(left("t1s1."));
    close_rig();
}

#define SLOW "{\"key\":\"slow\",\"value\":{\"boolValue\":true}}"

/*
 * Scenario    three rules: all conditions by one span, by whichever spans, and of a service; randomness on both sides
 * of their thresholds Guarantees  the first rule that is met decides, no later one; without any the trace is dropped
 */
static void the_first_rule_decides(void **state)
{
    (void)state;
    open_rig("{rules: ["
             "{name: slow errors, match: same_span, conditions: ['status.code == STATUS_CODE_ERROR', "
             "'attributes[\"slow\"] == true'], sampler: {type: always_sample}},"
             "{name: errors, conditions: ['status.code == STATUS_CODE_ERROR', 'attributes[\"slow\"] == true'], "
             "sampler: {type: probabilistic, sampling_percentage: 50}},"
             "{name: pay, conditions: ['resource.attributes[\"service.name\"] == \"pay\"'], "
             "sampler: {type: probabilistic, sampling_percentage: 25}}]}");
    SPAN(.trace = 1, .id = 1, .status = 2, .attributes = SLOW, .randomness = 0);
    SPAN(.trace = 2, .id = 1, .status = 2, .randomness = 0x80000000000000);
    SPAN(.trace = 2, .id = 2, .parent = 1, .attributes = SLOW, .randomness = 0x80000000000000);
    SPAN(.trace = 3, .id = 1, .status = 2, .service = "pay", .attributes = "", .randomness = 0x7fffffffffffff);
    SPAN(.trace = 3, .id = 2, .parent = 1, .attributes = SLOW, .randomness = 0x7fffffffffffff);
    SPAN(.trace = 4, .id = 1, .service = "pay", .randomness = 0xc0000000000000);
    SPAN(.trace = 5, .id = 1, .service = "pay", .randomness = 0xbfffffffffffff);
    SPAN(.trace = 6, .id = 1, .randomness = 0xffffffffffffff);
    (void)tick(4 * SECOND);
    assert_true(left("t1s1.") && left("t2s1.") && left("t2s2.") && left("t4s1."));
    assert_false(left("t3") || left("t5") || left("t6"));
    assert_int_equal(times("\"stringValue\":\"slow errors\""), 1);
    assert_int_equal(times("\"stringValue\":\"errors\""), 2);
    assert_int_equal(times("\"traceState\":\"ot=th:8\""), 2);
    assert_int_equal(times("\"traceState\":\"ot=th:c\""), 1);
    assert_int_equal(r.settled[GW_DROPPED], 4);
    assert_true(METRIC("traces_dropped{rule=\"errors\"}") == 1 && METRIC("traces_dropped{rule=\"pay\"}") == 1);
    assert_true(METRIC("traces_dropped{rule=\"unmatched\"}") == 1 && METRIC("traces_sampled{rule=\"pay\"}") == 1);
    close_rig();
}

/*
 * Scenario    thresholds and randomness that came along; a trace state that is none
 * Guarantees  the strictest of an earlier stage and ours decides; explicit randomness goes before the trace id's; a
 *             span's stricter threshold stays; what cannot be read is counted
 */
static void earlier_stages_count(void **state)
{
    (void)state;
    open_rig("{rules: [{name: half, sampler: {type: probabilistic, sampling_percentage: 50}}]}");
    SPAN(.trace = 1, .id = 1, .state = "ot=th:c", .randomness = 0xc0000000000000);
    SPAN(.trace = 2, .id = 1, .state = "ot=th:c", .randomness = 0xbfffffffffffff);
    SPAN(.trace = 3, .id = 1, .state = "ot=rv:80000000000000", .randomness = 0);
    SPAN(.trace = 4, .id = 1, .state = "ot=th:2;x:y,z=1", .randomness = 0x80000000000000);
    SPAN(.trace = 5, .id = 1, .state = "ot=th:zz", .randomness = 0x80000000000000);
    (void)tick(4 * SECOND);
    assert_true(left("t1s1.") && !left("t2") && left("t3s1.") && left("t4s1.") && left("t5s1."));
    assert_true(left("\"traceState\":\"ot=th:c\"") && left("\"traceState\":\"ot=rv:80000000000000;th:8\""));
    assert_true(left("\"traceState\":\"ot=th:8;x:y,z=1\""));
    assert_true(METRIC("incoming_tracestate_unparseable") == 1);
    close_rig();
}

/*
 * Scenario    spans that come after the decision; then the same without caches
 * Guarantees  they follow it, marked alike, or dropped; without a cache they are a trace of their own
 */
static void late_spans_follow(void **state)
{
    (void)state;
    open_rig("{rules: [{name: half, sampler: {type: probabilistic, sampling_percentage: 50}}]}");
    SPAN(.trace = 1, .id = 1, .randomness = 0x80000000000000);
    SPAN(.trace = 2, .id = 1, .randomness = 0);
    (void)tick(4 * SECOND);
    SPAN(.trace = 1, .id = 2, .parent = 1, .randomness = 0x80000000000000);
    assert_true(left("t1s2."));
    assert_int_equal(times("\"traceState\":\"ot=th:8\""), 2);
    assert_int_equal(times("\"stringValue\":\"half\""), 2);
    SPAN(.trace = 2, .id = 2, .parent = 1, .randomness = 0);
    assert_int_equal(r.settled[GW_DROPPED], 1);
    assert_int_equal(r.component->held(r.self), 0);
    close_rig();

    open_rig("{decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}, rules: [{name: half, sampler: "
             "{type: probabilistic, sampling_percentage: 50}}]}");
    SPAN(.trace = 1, .id = 1, .randomness = 0x80000000000000);
    SPAN(.trace = 2, .id = 1, .randomness = 0);
    (void)tick(4 * SECOND);
    SPAN(.trace = 1, .id = 2, .parent = 1, .randomness = 0x80000000000000);
    SPAN(.trace = 2, .id = 2, .parent = 1, .randomness = 0);
    assert_int_equal(r.component->held(r.self), 2);
    close_rig();
}

/*
 * Scenario    room for two traces, three come; and room for a megabyte, much more comes; by the rules and by a share
 * Guarantees  the oldest is decided at once, with all there is of it; memory stays within its bounds; by a share no
 * rule is asked, and `_eviction` stands on what is kept
 */
static void the_oldest_makes_room(void **state)
{
    static char big[3000];

    (void)state;
    open_rig("{num_traces: 2, " ALL "}");
    SPAN(.trace = 1, .id = 2, .parent = 1);
    SPAN(.trace = 2, .id = 2, .parent = 1);
    SPAN(.trace = 3, .id = 2, .parent = 1);
    assert_true(left("t1s2.") && !left("t2") && !left("t3"));
    assert_true(METRIC("traces_evicted") == 1 && METRIC("decision_triggers{trigger=\"eviction\"}") == 1);
    SPAN(.trace = 1, .id = 3, .parent = 1); /* decided: follows, and takes no room */
    assert_true(left("t1s3."));
    assert_int_equal(r.component->held(r.self), 2);
    close_rig();

    open_rig("{max_bytes: 1048576, eviction: {policy: probabilistic, sampling_percentage: 50}, " ALL "}");
    (void)snprintf(big, sizeof(big), "{\"key\":\"big\",\"value\":{\"stringValue\":\"%02500d\"}}", 0);
    for (unsigned i = 0; i < 700; i++)
        SPAN(.trace = i, .id = 2, .parent = 1, .attributes = big,
             .randomness = i % 2 ? 0x80000000000000 : 0x7fffffffffffff);
    assert_true(r.component->held(r.self) < 420 && r.component->held(r.self) > 200);
    assert_true(METRIC("traces_sampled{rule=\"_eviction\"}") > 120);
    assert_true(METRIC("traces_dropped{rule=\"_eviction\"}") > 120);
    assert_true(left("t1s2.") && !left("t0s2.") && left("\"stringValue\":\"_eviction\""));
    assert_true(METRIC("traces_sampled{rule=\"all\"}") == 0);
    close_rig();
}

/*
 * Scenario    traces wait when nothing follows
 * Guarantees  each is decided with what is there of it
 */
static void the_end_decides_what_waits(void **state)
{
    (void)state;
    open_rig("{" ALL "}");
    for (unsigned i = 1; i <= 20; i++)
        SPAN(.trace = i, .id = 2, .parent = 1);
    assert_int_equal(r.component->drain(r.self, &r.ports), GW_DONE);
    assert_int_equal(times("\"spanId\""), 20);
    assert_true(METRIC("decision_triggers{trigger=\"shutdown\"}") == 20);
    close_rig();
}

/* Sends n traces of a key and decides them; how many were kept. Randomness in equal steps. */
static unsigned send_keyed(const char *key, unsigned n, unsigned *trace)
{
    unsigned before = n_left;
    char attributes[128];

    (void)snprintf(attributes, sizeof(attributes), "{\"key\":\"route\",\"value\":{\"stringValue\":\"%s\"}}", key);
    for (unsigned i = 0; i < n; i++)
        SPAN(.trace = (*trace)++, .id = 1, .attributes = attributes,
             .randomness = (UINT64_C(1) << 56) / n * i + (UINT64_C(1) << 56) / n / 2);
    (void)tick(3 * SECOND);
    return n_left - before;
}

/*
 * Scenario    a frequent key and a rare one, a goal of a tenth; then of two a second, by averages, window and interval
 * Guarantees  before there are rates one in ten, then the rare key is kept whole and the frequent one thinned out
 */
static void rates_follow_the_traffic(void **state)
{
    static const char *const samplers[] = {
        "type: dynamic_percentage, goal_percentage: 10, adjustment_interval: 10s, weight: 0.9, burst_multiple: -1, "
        "burst_detection_delay: 1, initial_sampling_rate: 5",
        "type: dynamic_throughput, goal_throughput: 2, algorithm: windowed, update_frequency: 1s, lookback_frequency: "
        "20s",
        "type: dynamic_throughput, goal_throughput: 2, algorithm: total, adjustment_interval: 10s",
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned trace = 1, frequent = 0, rare = 0, first;
        char yaml[512];

        (void)snprintf(yaml, sizeof(yaml),
                       "{decision_delay: 1s, rules: [{name: keyed, sampler: {%s, fingerprint_attributes: "
                       "['span.attributes[\"route\"]']}}]}",
                       samplers[i]);
        open_rig(yaml);
        only_counted = true;
        first = send_keyed("/home", 100, &trace);
        assert_int_equal(first, i == 0 ? 20 : 100);
        for (unsigned round = 0; round < 5; round++) {
            frequent = send_keyed("/home", 100, &trace);
            rare = send_keyed("/admin", 1, &trace);
        }
        assert_int_equal(rare, 1);
        if (frequent < 4 || frequent > 30)
            fail_msg("%s: %u of 100 are kept", samplers[i], frequent);
        assert_true(METRIC("traces_sampled{rule=\"keyed\"}") == n_left);
        close_rig();
    }
}

/*
 * Scenario    keys of a trace's length, a key that is one too many, and none in use
 * Guarantees  a trace of two spans is another kind than one of one; what is over max_keys is kept whole; burst and
 * delay of an average say when it is brought up to date
 */
static void keys_are_settings(void **state)
{
    unsigned trace = 1, kept;

    (void)state;
    open_rig(
        "{decision_delay: 1s, rules: [{name: keyed, sampler: {type: dynamic_throughput, goal_throughput: 1, max_keys: "
        "1, algorithm: total, adjustment_interval: 5s, trace_length: true, key_fields: [service.name]}}]}");
    (void)send_keyed("/home", 100, &trace);
    kept = send_keyed("/home", 100, &trace);
    assert_in_range(kept, 4, 6); /* 5 in 5 seconds */
    for (unsigned i = 0; i < 100; i++, trace++) {
        SPAN(.trace = trace, .id = 2, .parent = 1, .randomness = 0);
        SPAN(.trace = trace, .id = 1, .randomness = 0);
    }
    kept = n_left;
    (void)tick(3 * SECOND);
    assert_int_equal(n_left - kept, 200); /* another length is another key, and one too many */
    close_rig();
}

/*
 * Scenario    a hundred times the usual traffic within an interval of an average, with and without burst detection
 * Guarantees  rates follow before the interval is over, or not
 */
static void bursts_are_found(void **state)
{
    (void)state;
    for (unsigned on = 0; on < 2; on++) {
        unsigned trace = 1, kept;
        char yaml[512];

        (void)snprintf(
            yaml, sizeof(yaml),
            "{decision_delay: 1s, rules: [{name: keyed, sampler: {type: dynamic_throughput, goal_throughput: 0.01, "
            "adjustment_interval: 1h, burst_multiple: %s, burst_detection_delay: 0, fingerprint_attributes: "
            "[route]}}]}",
            on ? "2" : "-1");
        open_rig(yaml);
        (void)send_keyed("/home", 4, &trace);
        (void)tick(3600 * SECOND);
        (void)send_keyed("/home", 600, &trace);
        kept = send_keyed("/home", 300, &trace);
        if (on)
            assert_in_range(kept, 20, 150); /* 36 an hour, of averages that have not settled yet */
        else
            assert_int_equal(kept, 300);
        close_rig();
    }
}

/* What the runtime does at a reload: another instance, with other settings, takes over. */
static void reload(const char *yaml)
{
    static struct gw_proc_rig next;
    void *fresh = NULL, *conf;

    if (gw_proc_configure(&next, "dynamic_sampling", yaml) < 0)
        fail_msg("%s", next.said);
    assert_int_equal(r.component->create(&fresh, &r.ctx, next.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(fresh, r.self), 0);
    r.component->destroy(r.self);
    r.self = fresh;
    conf = r.conf; /* the old one's arena stays until the end */
    r.conf = next.conf;
    free(conf);
    gw_diag_clear(&next.diag);
    gw_arena_clear(&next.arena);
    gw_test_env_clear(&next.te);
    gw_arena_clear(&reloaded);
    reloaded = next.conf_arena;
}

#define KEYED(name, goal)                                                                                              \
    "{decision_delay: 1s, rules: [{name: " name ", sampler: {type: dynamic_throughput, goal_throughput: " goal         \
    ", algorithm: total, adjustment_interval: 5s, fingerprint_attributes: [route]}}]}"

/*
 * Scenario    a reload while a trace waits, with rates and decisions there: with the same rule, with another goal, with
 *             another name
 * Guarantees  the trace waits on, and leaves once; rates go on as they are while nothing of the sampler changes, else
 * they begin anew; late spans follow whatever became of the rule
 */
static void a_reload_takes_over(void **state)
{
    static const char *const next[] = {KEYED("keyed", "1"), KEYED("keyed", "2"), KEYED("other", "1")};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned trace = 1, kept;

        open_rig(KEYED("keyed", "1"));
        (void)send_keyed("/home", 100, &trace);
        (void)send_keyed("/home", 100, &trace); /* by rates: 5 are kept, among them the last, and the first is not */
        SPAN(.trace = 5000, .id = 2, .parent = 1, .randomness = GW_MAX_RANDOMNESS);
        reload(next[i]);
        assert_int_equal(r.component->held(r.self), 1);
        assert_true(METRIC("traces_active") == 1);
        (void)tick(2 * SECOND);
        assert_false(left("t5000s2."));
        SPAN(.trace = 101, .id = 2, .parent = 1, .randomness = (UINT64_C(1) << 56) / 200);
        assert_int_equal(r.settled[GW_DROPPED], 1);
        SPAN(.trace = 200, .id = 2, .parent = 1,
             .randomness = (UINT64_C(1) << 56) / 100 * 99 + (UINT64_C(1) << 56) / 200);
        assert_true(left("t200s2."));
        kept = send_keyed("/home", 100, &trace);
        assert_in_range(kept, i == 0 ? 4 : 100, i == 0 ? 6 : 100);
        (void)tick(30 * SECOND);
        assert_int_equal(times("t5000s2."), 1);
        close_rig();
    }
}

/*
 * Scenario    settings that cannot be meant
 * Guarantees  each is refused with the rule's name
 */
static void mistakes_are_told(void **state)
{
#define RULE(text) "{rules: [{name: x, sampler: {" text "}}]}"
    (void)state;
    gw_proc_refuses("dynamic_sampling", "{rules: []}", "there must be 1 to 250");
    gw_proc_refuses("dynamic_sampling", "{rules: [{sampler: {type: always_sample}}]}", "rule 1 needs a name");
    gw_proc_refuses("dynamic_sampling", "{rules: [{name: _x, sampler: {type: always_sample}}]}", "the processor's own");
    gw_proc_refuses("dynamic_sampling",
                    "{rules: [{name: x, sampler: {type: always_sample}}, {name: x, sampler: {type: "
                    "always_sample}}]}",
                    "\"x\" stands twice");
    gw_proc_refuses("dynamic_sampling", "{rules: [{name: x, match: same_span, sampler: {type: always_sample}}]}",
                    "match says nothing");
    gw_proc_refuses("dynamic_sampling", RULE("weight: 0.5"), "sampler::type is missing");
    gw_proc_refuses("dynamic_sampling", RULE("type: always_sample, weight: 0.5"), "always_sample does not use weight");
    gw_proc_refuses("dynamic_sampling", RULE("type: probabilistic"), "sampling_percentage must be above 0");
    gw_proc_refuses("dynamic_sampling", RULE("type: dynamic_throughput, goal_throughput: 5"), "needs at least one");
    gw_proc_refuses("dynamic_sampling", RULE("type: dynamic_percentage, fingerprint_attributes: [a]"),
                    "goal_percentage must be above 0");
    gw_proc_refuses(
        "dynamic_sampling",
        RULE("type: dynamic_percentage, goal_percentage: 5, algorithm: windowed, fingerprint_attributes: [a]"),
        "knows the algorithm ema only");
    gw_proc_refuses("dynamic_sampling",
                    RULE("type: dynamic_throughput, goal_throughput: 5, fingerprint_attributes: ['span[\"a\"]']"),
                    "is no attribute");
    gw_proc_refuses("dynamic_sampling", "{eviction: {policy: probabilistic}, " ALL "}", "must be above 0");
    gw_proc_refuses("dynamic_sampling", "{eviction: {sampling_percentage: 5}, " ALL "}", "only used with");
    gw_proc_refuses_signal("dynamic_sampling", GW_TRACES,
                           "{rules: [{name: x, conditions: ['name ='], sampler: {type: always_sample}}]}",
                           "rule \"x\": condition 1");
    gw_proc_refuses_signal("dynamic_sampling", GW_TRACES, "{root_span_condition: 'nonsense', " ALL "}",
                           "root_span_condition");
#undef RULE
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_or_a_timeout_ends_the_waiting),
        cmocka_unit_test(times_and_roots_are_settings),
        cmocka_unit_test(the_first_rule_decides),
        cmocka_unit_test(earlier_stages_count),
        cmocka_unit_test(late_spans_follow),
        cmocka_unit_test(the_oldest_makes_room),
        cmocka_unit_test(the_end_decides_what_waits),
        cmocka_unit_test(rates_follow_the_traffic),
        cmocka_unit_test(keys_are_settings),
        cmocka_unit_test(bursts_are_found),
        cmocka_unit_test(a_reload_takes_over),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
