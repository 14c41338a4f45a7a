/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes, events and links of rows are decoded where somebody on their way looks at them, and nowhere else. In this
 * build an outline is poisoned: whoever reads what is not there falls.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "pipeline/ports.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* ---- two that look ------------------------------------------------------------------------------------------ */

static unsigned n_outlines, n_wholes;           /* views that `glance` saw */
static uint64_t n_attrs, n_events, n_looked_at; /* what `look` saw */

static void glance_at(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    if (v->batch->is_outline)
        n_outlines++;
    else
        n_wholes++;
    gw_emit(out, 0, v);
}

static void look_at(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    assert_false(v->batch->is_outline);
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        n_looked_at++;
        n_attrs += v->batch->attr[r].end - v->batch->attr[r].begin;
        if (v->batch->signal == GW_TRACES)
            n_events += v->batch->events_of[r].end - v->batch->events_of[r].begin;
    }
    gw_emit(out, 0, v);
}

struct none {
    char none;
};
static const struct gw_field fields[] = {{0}};
static const struct gw_component glance = {.kind = GW_PROCESSOR,
                                           .name = "glance",
                                           .summary = "A puppet.",
                                           .signals = GW_ALL_SIGNALS,
                                           .reads = GW_C_ROW | GW_C_RESOURCE,
                                           .fields = fields,
                                           .conf_size = sizeof(struct none),
                                           .consume = glance_at};
/* It does not say what it reads. */
static const struct gw_component look = {.kind = GW_PROCESSOR,
                                         .name = "look",
                                         .summary = "A puppet.",
                                         .signals = GW_ALL_SIGNALS,
                                         .fields = fields,
                                         .conf_size = sizeof(struct none),
                                         .consume = look_at};

/* An exporter that writes as text how many attributes there are; it does not say what it reads, either. */
static int write_number(void *self, const struct gw_view *v, struct gw_buf *out)
{
    uint64_t n = 0;

    (void)self;
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        n_looked_at++;
        n += v->batch->attr[r].end - v->batch->attr[r].begin;
    }
    n_attrs += n;
    gw_buf_printf(out, "%llu;", (unsigned long long)n);
    return out->failed ? -ENOMEM : 0;
}

static struct gw_exporter_ops tell_ops;
static struct gw_component tell;

static int set_up(void **state)
{
    (void)state;
    gw_test_own_components[0] = &glance;
    gw_test_own_components[1] = &look;
    tell = gw_test_text_exporter;
    tell_ops = *tell.exporter;
    tell_ops.encode = write_number;
    tell.exporter = &tell_ops;
    tell.name = "tell";
    gw_test_own_components[2] = &tell;
    n_outlines = n_wholes = 0;
    n_attrs = n_events = n_looked_at = 0;
    gw_test_logs_begin(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gw_test_logs_end();
    return 0;
}

/* ---- a gateway ---------------------------------------------------------------------------------------------- */

/* `more`: what is set above service, processors first; each @ in `pipelines` becomes `at`. */
static const char *yaml_of(const char *more, const char *pipelines, const char *at)
{
    static const char begin[] = "processors: {";
    static char text[8192];
    bool has = strncmp(more, begin, sizeof(begin) - 1) == 0;
    int n = snprintf(
        text, sizeof(text),
        "receivers: { scripted: }\nexporters: { scripted: , debug: { verbosity: detailed }, tell: { at_once: true } }\n"
        "processors: { glance: , look:%s%s\n"
        "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n",
        has ? " ," : " }\n", has ? more + sizeof(begin) - 1 : more);

    for (const char *p = pipelines; *p; p++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%.*s", *p == '@' ? 100 : 1, *p == '@' ? at : p);
    assert_true(n < (int)sizeof(text));
    return text;
}

/* A random one, with everything that a row may have. */
static void request_of(enum gw_signal s, unsigned seed, struct gw_buf *out)
{
    struct random_wire r = {.state = seed * 7919 + 1, .max_items = 4, .budget = 300};

    rw_message(&r, out, rb_request(s), 0);
}

static void send(struct gw_test_engine *t, enum gw_signal s, unsigned seed)
{
    struct gw_verdict v;
    struct gw_buf body;

    gw_buf_init(&body, 1 << 22);
    request_of(s, seed, &body);
    assert_int_equal(gw_test_send(gw_test_engine_door(t, "scripted", 0), s, gw_buf_slice(&body), NULL, seed, &v), 0);
    gw_buf_clear(&body);
}

/* Answers what waits; its bytes go to `to`. */
static void take(struct gw_test_engine *t, struct gw_buf *to)
{
    struct gw_test_sink *s = gw_test_engine_sink(t, "scripted");

    while (s->n_waiting) {
        gw_buf_put_slice(to, s->waiting[0]->body);
        gw_test_sink_answer(s, &OK);
        gw_test_logs_turn(t, 2, 0);
    }
}

static void run(enum gw_signal signal, const char *yaml, struct gw_buf *to)
{
    struct gw_test_engine t;

    n_outlines = n_wholes = 0;
    gw_test_logs_engine(&t, yaml, 1);
    for (unsigned i = 0; i < 40; i++) {
        send(&t, signal, i);
        gw_test_logs_turn(&t, 3, S / 4);
        take(&t, to);
    }
    for (unsigned i = 0; i < 20; i++) {
        gw_test_logs_turn(&t, 3, S);
        take(&t, to);
    }
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* ---- every component ---------------------------------------------------------------------------------------- */

#define THROUGH(name)        "    traces: { receivers: [scripted], processors: [glance, " name "@], exporters: [scripted] }\n"
#define TAIL(policies, more) "processors: { tail_sampling: { decision_wait: 1s, " more "policies: [" policies "] } }"
#define ERRORS               "{ name: errors, type: status_code, status_code: { status_codes: [ERROR] } }"
#define SLOW                 "{ name: slow, type: latency, latency: { threshold_ms: 1 } }"
#define SHARE                "{ name: share, type: probabilistic, probabilistic: { sampling_percentage: 50 } }"
#define JOURNAL                                                                                                        \
    "    traces/in: { receivers: [scripted], processors: [glance@], exporters: [journal] }\n"                          \
    "    traces/out: { receivers: [journal], processors: [glance@], exporters: [scripted] }\n"

/* Of each that reads no attributes, events and links, with some settings at least. */
static const struct {
    const char *name, *settings, *pipelines;
    enum gw_signal signal;
} cases[] = {
    {"debug", "", "    traces: { receivers: [scripted], processors: [glance@], exporters: [scripted, debug] }\n",
     GW_TRACES},
    {"batch", "processors: { batch: }", THROUGH("batch"), GW_TRACES},
    {"memory_limiter", "processors: { memory_limiter: { limit_mib: 4000, check_interval: 1s } }",
     THROUGH("memory_limiter"), GW_TRACES},
    {"resource",
     "processors: { resource: { attributes: [{ key: a, value: b, action: upsert }, { key: service.name, action: hash "
     "}, { key: b, from_attribute: a, action: insert }] } }",
     THROUGH("resource"), GW_TRACES},
    {"resource", "processors: { resource: { attributes: [{ key: a, value: b, action: upsert }] } }",
     "    logs: { receivers: [scripted], processors: [glance, resource@], exporters: [scripted] }\n", GW_LOGS},
    {"groupbytrace", "processors: { groupbytrace: { wait_duration: 1s } }", THROUGH("groupbytrace"), GW_TRACES},
    {"tail_sampling", TAIL(ERRORS ", " SLOW ", " SHARE, ""), THROUGH("tail_sampling"), GW_TRACES},
    {"tail_sampling", TAIL(SHARE, "use_trace_state: true, record_policy: true, "), THROUGH("tail_sampling"), GW_TRACES},
    {"tail_sampling", TAIL(SHARE, "sampling_strategy: span-ingest, decide_early: true, "), THROUGH("tail_sampling"),
     GW_TRACES},
    {"forward", "connectors: { forward: }",
     "    traces/in: { receivers: [scripted], processors: [glance], exporters: [forward] }\n"
     "    traces/out: { receivers: [forward], processors: [glance@], exporters: [scripted] }\n",
     GW_TRACES},
    {"journal", "connectors: { journal: { storage: file_storage, partition_by: trace_id } }", JOURNAL, GW_TRACES},
    {"journal", "connectors: { journal: { storage: file_storage, partition_by: service } }", JOURNAL, GW_TRACES},
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

/*
 * Scenario    components that read no attributes, events and links, by the settings: alone, and with one in their
 *             pipeline that does
 * Guarantees  rows come as outlines, or whole; what leaves is the same, byte by byte; each that may say so is here
 */
static void who_reads_nothing_gets_outlines(void **state)
{
    struct gw_buf outline, whole;

    gw_buf_init(&outline, 64 << 20);
    gw_buf_init(&whole, 64 << 20);
    for (unsigned i = 0; i < N_CASES; i++) {
        gw_buf_reset(&outline);
        gw_buf_reset(&whole);
        run(cases[i].signal, yaml_of(cases[i].settings, cases[i].pipelines, ""), &outline);
        if (n_wholes || n_outlines < 20)
            fail_msg("%s (%u): %u views are whole, %u are not", cases[i].name, i, n_wholes, n_outlines);
        (void)tear_down(state);
        (void)set_up(state);
        run(cases[i].signal, yaml_of(cases[i].settings, cases[i].pipelines, ", look"), &whole);
        assert_int_equal(n_outlines, 0);
        assert_true(n_attrs > 100);
        assert_true(outline.n > 10000);
        if (!gw_slice_eq(gw_buf_slice(&outline), gw_buf_slice(&whole)))
            fail_msg("%s (%u): what leaves differs", cases[i].name, i);
        (void)tear_down(state);
        (void)set_up(state);
    }
    for (const struct gw_component *const *c = gw_components; *c; c++) {
        bool is_here = false;

        if (((*c)->kind != GW_PROCESSOR && (*c)->kind != GW_CONNECTOR) ||
            (!(*c)->reads_for && gw_component_reads_rows(*c, NULL)))
            continue;
        for (unsigned i = 0; i < N_CASES; i++)
            is_here |= strcmp(cases[i].name, (*c)->name) == 0;
        if (!is_here)
            fail_msg("%s says that it reads no attributes, events and links: run it here", (*c)->name);
    }
    gw_buf_clear(&outline);
    gw_buf_clear(&whole);
}

/*
 * Scenario    exporters
 * Guarantees  those with an encode() get columns unless they say that they need none: debug shows bytes
 */
static void exporters_of_bytes_read_no_columns(void **state)
{
    (void)state;
    for (const struct gw_component *const *c = gw_components; *c; c++)
        if ((*c)->kind == GW_EXPORTER)
            assert_int_equal(gw_component_reads_rows(*c, NULL),
                             (*c)->exporter->encode && strcmp((*c)->name, "debug") != 0);
    assert_true(gw_component_reads_rows(&gw_test_text_exporter, NULL));
}

/* ---- by settings -------------------------------------------------------------------------------------------- */

#define ROUTE "{ name: route, type: string_attribute, string_attribute: { key: a, values: [b] } }"

/*
 * Scenario    settings of tail_sampling and of a journal that look at a row's attributes, events or links, some of them
 *             within others
 * Guarantees  rows come whole
 */
static void settings_say_what_is_read(void **state)
{
    static const char *const settings[] = {
        TAIL(SHARE ", " ROUTE, ""),
        TAIL("{ name: x, type: numeric_attribute, numeric_attribute: { key: a, min_value: 1, max_value: 2 } }", ""),
        TAIL("{ name: x, type: boolean_attribute, boolean_attribute: { key: a, value: true } }", ""),
        TAIL("{ name: x, type: ottl_condition, ottl_condition: { span: ['attributes[\"a\"] == \"b\"'] } }", ""),
        TAIL("{ name: x, type: ottl_condition, ottl_condition: { spanevent: ['name == \"b\"'] } }", ""),
        TAIL("{ name: x, type: and, and: { and_sub_policy: [" SHARE ", " ROUTE "] } }", ""),
        TAIL("{ name: x, type: and, and: { and_sub_policy: [" SHARE
             ", { name: y, type: not, not: { not_sub_policy: " ROUTE " } }] } }",
             ""),
        TAIL("{ name: x, type: not, not: { not_sub_policy: " ROUTE " } }", ""),
        TAIL(SHARE ", { name: x, type: drop, drop: { drop_sub_policy: [" ROUTE "] } }", ""),
        TAIL("{ name: x, type: composite, composite: { max_total_spans_per_second: 1000, policy_order: [route], "
             "composite_sub_policy: [" ROUTE "], rate_allocation: [{ policy: route, percent: 100 }] } }",
             ""),
        TAIL(SHARE, "reason_attribute: why, "),
        TAIL(SHARE, "dry_run: true, "),
        TAIL(SHARE, "follow_links: true, "),
    };
    struct gw_buf out;

    gw_buf_init(&out, 64 << 20);
    for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        run(GW_TRACES, yaml_of(settings[i], THROUGH("tail_sampling"), ""), &out);
        if (n_outlines || n_wholes < 20)
            fail_msg("%s: %u views are whole, %u are not", settings[i], n_wholes, n_outlines);
        (void)tear_down(state);
        (void)set_up(state);
    }
    run(GW_TRACES,
        yaml_of("connectors: { journal: { storage: file_storage, partition_by: attributes, attributes: [a] } }",
                "    traces/in: { receivers: [scripted], processors: [glance], exporters: [journal] }\n"
                "    traces/out: { receivers: [journal], exporters: [scripted] }\n",
                ""),
        &out);
    assert_int_equal(n_outlines, 0);
    gw_buf_clear(&out);
}

/*
 * Scenario    one that reads attributes: in another pipeline of the same receiver; behind a connector that hands rows
 *             on, or keeps them, or makes metrics of them; in a pipeline of another signal; none but behind the journal
 * Guarantees  rows come whole where they get to it, and only there
 */
static void it_takes_all_that_rows_can_get_to(void **state)
{
    static const struct {
        const char *settings, *pipelines;
        bool whole, attrs;
    } ways[] = {
        {"",
         "    traces: { receivers: [scripted], processors: [glance], exporters: [scripted] }\n"
         "    traces/2: { receivers: [scripted], processors: [look], exporters: [scripted] }\n",
         true, true},
        {"connectors: { forward: }",
         "    traces: { receivers: [scripted], processors: [glance], exporters: [forward] }\n"
         "    traces/2: { receivers: [forward], processors: [look], exporters: [scripted] }\n",
         true, true},
        {"connectors: { forward: , forward/2: }",
         "    traces/a: { receivers: [forward/2], processors: [look], exporters: [scripted] }\n"
         "    traces/b: { receivers: [forward], exporters: [forward/2] }\n"
         "    traces/c: { receivers: [scripted], processors: [glance], exporters: [forward] }\n",
         true, true},
        {"connectors: { journal: { storage: file_storage } }",
         "    traces: { receivers: [scripted], processors: [glance], exporters: [journal] }\n"
         "    traces/2: { receivers: [journal], processors: [look], exporters: [scripted] }\n",
         true, true},
        {"connectors: { span_metrics: }",
         "    traces: { receivers: [scripted], processors: [glance], exporters: [span_metrics] }\n"
         "    metrics: { receivers: [span_metrics], exporters: [scripted] }\n",
         true, false},
        {"", "    traces: { receivers: [scripted], processors: [glance], exporters: [scripted, tell] }\n", true, true},
        {"",
         "    traces: { receivers: [scripted], processors: [glance], exporters: [scripted] }\n"
         "    logs: { receivers: [scripted], processors: [look], exporters: [scripted] }\n",
         false, false},
    };
    struct gw_buf out;

    gw_buf_init(&out, 64 << 20);
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        run(GW_TRACES, yaml_of(ways[i].settings, ways[i].pipelines, ""), &out);
        if (ways[i].whole ? n_outlines || n_wholes < 20 : n_wholes || n_outlines < 20)
            fail_msg("%u: %u views are whole, %u are not", i, n_wholes, n_outlines);
        assert_int_equal(n_attrs > 100, ways[i].attrs);
        (void)tear_down(state);
        (void)set_up(state);
    }
    gw_buf_clear(&out);
}

/*
 * Scenario    what groupbytrace and tail_sampling let go, the latter with policies that read attributes and with marks
 *             on spans; with and without one behind that reads them
 * Guarantees  these are outlines, too, unless somebody behind reads more or they are marked with attributes; the same
 *             bytes leave
 */
static void what_was_kept_leaves_as_an_outline(void **state)
{
    static const struct {
        const char *settings, *name;
        bool whole, passes; /* passes: whole ones without a trace id */
    } ways[] = {
        {"processors: { groupbytrace: { wait_duration: 1s } }", "groupbytrace", false, false},
        {TAIL(SHARE, ""), "tail_sampling", false, false},
        {TAIL(SHARE ", " ROUTE, ""), "tail_sampling", false, true},
        {TAIL(SHARE, "use_trace_state: true, record_policy: true, "), "tail_sampling", false, false},
        {TAIL(SHARE, "reason_attribute: why, "), "tail_sampling", true, true},
    };
    struct gw_buf outline, whole;
    char pipelines[200];

    gw_buf_init(&outline, 64 << 20);
    gw_buf_init(&whole, 64 << 20);
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        gw_buf_reset(&outline);
        gw_buf_reset(&whole);
        (void)snprintf(pipelines, sizeof(pipelines),
                       "    traces: { receivers: [scripted], processors: [%s, glance@], exporters: [scripted] }\n",
                       ways[i].name);
        run(GW_TRACES, yaml_of(ways[i].settings, pipelines, ""), &outline);
        if (ways[i].whole ? n_outlines || n_wholes < 5 : (n_wholes && !ways[i].passes) || n_outlines < 5)
            fail_msg("%u: %u views are whole, %u are not", i, n_wholes, n_outlines);
        (void)tear_down(state);
        (void)set_up(state);
        run(GW_TRACES, yaml_of(ways[i].settings, pipelines, ", look"), &whole);
        assert_int_equal(n_outlines, 0);
        assert_true(n_attrs > 100);
        assert_true(gw_slice_eq(gw_buf_slice(&outline), gw_buf_slice(&whole)));
        (void)tear_down(state);
        (void)set_up(state);
    }
    gw_buf_clear(&outline);
    gw_buf_clear(&whole);
}

/* ---- another graph ------------------------------------------------------------------------------------------ */

static uint64_t attrs_of(enum gw_signal s, unsigned from, unsigned end, uint64_t *ret_rows)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(s);
    uint64_t attrs = 0;

    for (unsigned i = from; i < end; i++) {
        struct gw_buf body;
        struct gw_ref at;

        gw_buf_init(&body, 1 << 22);
        request_of(s, i, &body);
        assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
        gw_buf_clear(&body);
    }
    for (uint32_t r = 0; r < b->n_rows; r++)
        attrs += b->attr[r].end - b->attr[r].begin;
    *ret_rows = b->n_rows;
    gw_batch_unref(b);
    return attrs;
}

static const char waits[] = "receivers: { scripted: }\n"
                            "exporters: { scripted: { sending_queue: { queue_size: 1, sizer: requests, "
                            "block_on_overflow: true, num_consumers: 1 } }, tell: { at_once: true } }\n"
                            "processors: { glance: , look: }\n"
                            "service:\n  pipelines:\n    traces: { receivers: [scripted], ";

/* Six requests, some of which wait for room, as outlines; then another configuration. Gives how many went before. */
static unsigned wait_and_reload(struct gw_test_engine *t, const char *members)
{
    struct gw_err err = {""};
    char yaml[1000];
    unsigned n_before;

    (void)snprintf(yaml, sizeof(yaml), "%sprocessors: [glance], exporters: [scripted] }\n", waits);
    gw_test_engine_open(t, yaml, 1, false);
    for (unsigned i = 0; i < 6; i++) {
        send(t, GW_TRACES, i);
        gw_test_engine_turn(t, 3, 0);
    }
    n_before = n_outlines;
    assert_true(n_before > 0 && n_before < 6); /* the others wait */
    (void)snprintf(yaml, sizeof(yaml), "%s%s }\n", waits, members);
    if (gw_test_engine_reload(t, yaml, &err) < 0)
        fail_msg("%s", err.text);
    return n_before;
}

/* What waited goes; then one more, which is decoded for the configuration that is there. */
static void go_on(struct gw_test_engine *t)
{
    struct gw_buf out;

    gw_buf_init(&out, 64 << 20);
    for (unsigned i = 0; i < 40; i++) {
        gw_test_engine_turn(t, 3, S / 10);
        take(t, &out);
    }
    assert_int_equal(n_wholes, 0);
    assert_int_equal(n_outlines, 6);
    send(t, GW_TRACES, 7);
    gw_test_engine_turn(t, 3, 0);
    take(t, &out);
    assert_int_equal(n_wholes, 1);
    assert_int_equal(gw_test_engine_door(t, "scripted", 0)->n_verdicts, 7);
    gw_test_engine_balances(t);
    assert_int_equal(gw_test_engine_close(t), 0);
    gw_buf_clear(&out);
}

static void all_is_whole_after(const char *members)
{
    struct gw_test_engine t;
    unsigned n_before = wait_and_reload(&t, members);
    uint64_t rows, last;

    go_on(&t);
    assert_int_equal(attrs_of(GW_TRACES, n_before, 6, &rows) + attrs_of(GW_TRACES, 7, 8, &last), n_attrs);
    assert_int_equal(rows + last, n_looked_at);
}

/*
 * Scenario    rows wait for room in a queue, as outlines, while a reload puts in a processor that reads attributes
 * Guarantees  it gets all of them, whole; every request is answered, and the books balance
 */
static void a_reload_meets_no_outline_where_attributes_are_read(void **state)
{
    (void)state;
    all_is_whole_after("processors: [glance, look], exporters: [scripted]");
}

/*
 * Scenario    the same with an exporter that writes attributes as text
 * Guarantees  it finds all of them there
 */
static void nor_does_an_exporter_that_writes_them(void **state)
{
    (void)state;
    all_is_whole_after("processors: [glance], exporters: [scripted, tell]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_reads_nothing_gets_outlines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exporters_of_bytes_read_no_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_say_what_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_takes_all_that_rows_can_get_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_kept_leaves_as_an_outline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reload_meets_no_outline_where_attributes_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_does_an_exporter_that_writes_them, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
