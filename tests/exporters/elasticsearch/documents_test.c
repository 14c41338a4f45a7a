/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <name>.<mode> is what a request <name>.json becomes: _bulk lines, then the refused rows. They were compared, value by
 * value, with what the encoders of the Collector's elasticsearchexporter (0.157) make of the same requests. What
 * differs on purpose:
 *
 * - points without a value in JSON leave no empty document behind; a histogram with an infinite bound is refused
 * instead of being sent with a null that the server refuses with the whole document;
 * - a value whose name is also an object's moves into it ("a.value") even if "a-b" sorts between them, and a nested map
 *   holds a key once: the Collector writes documents there that the server refuses.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/elasticsearch/docs.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/exporters/elasticsearch/json_check.h"

#define FOLDER GW_SOURCE_DIR "/tests/exporters/elasticsearch/"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

/** A request through a writer. */
struct run {
    struct gw_es_options o;
    struct gw_batch *b;
    struct gw_arena arena;
    struct gw_view v;
    struct gw_es_writer *w;
    struct gw_buf out, refused; /* "row reason: message\n" */
    struct gw_es_docs docs;
    uint8_t *seen; /* rows: refused or in a document */
    uint32_t n_refused;
};

static struct gw_es_options usual(enum gw_es_mode mode)
{
    return (struct gw_es_options){.traces_index = "",
                                  .metrics_index = "",
                                  .logs_index = "",
                                  .pipeline = "",
                                  .mode_from_metadata = "x-elastic-mapping-mode",
                                  .allowed = {true, true, true, true, true},
                                  .mode = mode,
                                  .logs_dynamic_id = true,
                                  .traces_dynamic_id = true,
                                  .logs_dynamic_pipeline = true,
                                  .logstash_prefix_separator = "-",
                                  .logstash_date_format = "%Y.%m.%d",
                                  .require_data_stream = true};
}

static void note(void *arg, uint32_t row, const char *reason, const char *message)
{
    struct run *r = arg;

    gw_buf_printf(&r->refused, "refused %u %s: %s\n", row, reason, message);
    r->seen[row] = 1;
    r->n_refused++;
}

static void open_proto(struct run *r, const struct gw_es_options *o, enum gw_signal signal, struct gw_slice proto)
{
    struct gw_err err = {""};
    struct gw_ref ref;

    *r = (struct run){.o = *o};
    gw_buf_init(&r->out, 1u << 30);
    gw_buf_init(&r->refused, 1 << 24);
    gw_arena_init(&r->arena, 4096, 1 << 24);
    r->b = gw_batch_new(signal);
    assert_int_equal(gw_batch_append(r->b, proto, &ref), 0);
    if (gw_decode(r->b, gw_batch_slice(r->b, ref), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_view_init(&r->v, r->b, &r->arena);
    r->seen = calloc(r->b->n_rows + 1, 1);
    assert_non_null(r->seen);
    assert_int_equal(gw_es_writer_new(&r->o, &r->w), 0);
}

static void open_json(struct run *r, const struct gw_es_options *o, enum gw_signal signal, struct gw_slice json)
{
    struct gw_err err = {""};
    struct gw_buf proto;

    gw_buf_init(&proto, 1 << 28);
    if (gw_json_to_proto(signal, json, &limits, &proto, &err) < 0)
        fail_msg("%s", err.text);
    open_proto(r, o, signal, gw_buf_slice(&proto));
    gw_buf_clear(&proto);
}

static void check_line(const struct run *r, size_t at, size_t end)
{
    struct gw_slice line = {r->out.p + at, end - at - 1};
    const char *problem;

    assert_true(end > at && end <= r->out.n && r->out.p[end - 1] == '\n');
    assert_null(memchr(line.p, '\n', line.n));
    problem = json_problem(line);
    if (problem)
        fail_msg("%s in %.*s", problem, (int)(line.n < 2000 ? line.n : 2000), (const char *)line.p);
}

/** Lines are valid, documents are told without a gap, every kept row is in one or refused. */
static void check(struct run *r)
{
    size_t at = 0;

    for (uint32_t i = 0; i < r->docs.n_docs; i++) {
        const struct gw_es_doc *d = &r->docs.docs[i];

        assert_int_equal(d->at, at);
        check_line(r, d->at, d->source);
        check_line(r, d->source, d->end);
        assert_true(d->n_rows > 0 && d->rows + d->n_rows <= r->docs.n_rows);
        for (uint32_t k = 0; k < d->n_rows; k++)
            r->seen[r->docs.rows[d->rows + k]] = 1;
        at = d->end;
    }
    assert_int_equal(at, r->out.n);
    for (uint32_t row = gw_view_next(&r->v, 0); row < r->b->n_rows; row = gw_view_next(&r->v, row + 1))
        if (!r->seen[row])
            fail_msg("row %u is lost", row);
}

static void write_docs(struct run *r)
{
    r->n_refused = 0;
    memset(r->seen, 0, r->b->n_rows);
    gw_buf_reset(&r->refused);
    gw_buf_reset(&r->out);
    assert_int_equal(gw_es_write(r->w, &r->v, &r->out, &r->docs, note, r), 0);
    check(r);
}

static void close_run(struct run *r)
{
    gw_es_writer_free(r->w);
    gw_es_docs_clear(&r->docs);
    gw_view_clear(&r->v);
    gw_batch_unref(r->b);
    gw_arena_clear(&r->arena);
    gw_buf_clear(&r->out);
    gw_buf_clear(&r->refused);
    free(r->seen);
}

static struct gw_slice read_file(const char *path)
{
    uint8_t *p = malloc(1 << 20);
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(p);
    if (!f)
        fail_msg("%s is missing", path);
    n = fread(p, 1, 1 << 20, f);
    (void)fclose(f);
    return gw_slice_of(p, n);
}

/** Fails at the first line that is not the file's. */
static void compare(const char *path, struct gw_slice got)
{
    struct gw_slice want = read_file(path);
    size_t at = 0, line = 1, begin = 0;

    while (at < want.n && at < got.n && want.p[at] == got.p[at]) {
        if (want.p[at++] == '\n') {
            line++;
            begin = at;
        }
    }
    if (at < want.n || at < got.n)
        fail_msg("%s:%zu differs at byte %zu:\n%.*s", path, line, at - begin,
                 (int)(got.n - begin < 3000 ? got.n - begin : 3000), (const char *)got.p + begin);
    free((void *)(uintptr_t)want.p);
}

static void golden(const char *name, enum gw_signal signal, enum gw_es_mode mode)
{
    struct gw_es_options o = usual(mode);
    struct gw_slice json;
    char path[512];
    struct run r;

    (void)snprintf(path, sizeof(path), FOLDER "%s.json", name);
    json = read_file(path);
    open_json(&r, &o, signal, json);
    write_docs(&r);
    gw_buf_put_slice(&r.out, gw_buf_slice(&r.refused));
    (void)snprintf(path, sizeof(path), FOLDER "%s.%s", name, gw_es_modes[mode]);
    compare(path, gw_buf_slice(&r.out));
    close_run(&r);
    free((void *)(uintptr_t)json.p);
}

/* Scenario: records with bodies and attributes of every type, names that collide, places, times of 0 and 2262, NaN,
 * control characters, empty names; data streams by item, scope, resource, scope's name and format; indices, ids,
 *           pipelines and modes by attribute.
 * Guarantees: the Collector's documents, in all five modes. */
static void logs_are_those_of_the_collector(void **state)
{
    (void)state;
    for (int m = 0; m < GW_ES_N_MODES; m++) {
        golden("logs", GW_LOGS, (enum gw_es_mode)m);
        golden("routes", GW_LOGS, (enum gw_es_mode)m);
    }
}

/* Scenario: spans of every kind and status, links, exceptions and other events with places of their own, transactions,
 * spans that shall not be indexed, spans without ids. Guarantees: the Collector's documents, events in documents of
 * their own where the mode has them; bodymap refuses. */
static void spans_are_those_of_the_collector(void **state)
{
    (void)state;
    for (int m = 0; m < GW_ES_N_MODES; m++)
        golden("traces", GW_TRACES, (enum gw_es_mode)m);
}

/* Scenario: points of every type, temporality and shape, hints, equal resources in another order, units, start times,
 * names that stand twice, NaN, a bucket that begins at 2^10^9. Guarantees: the Collector's groups, values, templates
 * and hash of names; what has no value is refused with a reason. */
static void points_are_those_of_the_collector(void **state)
{
    (void)state;
    for (int m = 0; m < GW_ES_N_MODES; m++)
        golden("metrics", GW_METRICS, (enum gw_es_mode)m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_are_those_of_the_collector),
        cmocka_unit_test(spans_are_those_of_the_collector),
        cmocka_unit_test(points_are_those_of_the_collector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
