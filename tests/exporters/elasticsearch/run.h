/* SPDX-License-Identifier: Apache-2.0 */
/* A request through a writer of documents, and what holds for everything that it writes. */
#ifndef GW_TESTS_ELASTICSEARCH_RUN_H
#define GW_TESTS_ELASTICSEARCH_RUN_H

#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/elasticsearch/docs.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/exporters/elasticsearch/json_check.h"

static const struct gw_limits run_limits = GW_LIMITS_DEFAULT;

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

static inline struct gw_es_options usual(enum gw_es_mode mode)
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

static inline void note(void *arg, uint32_t row, const char *reason, const char *message)
{
    struct run *r = arg;

    gw_buf_printf(&r->refused, "refused %u %s: %s\n", row, reason, message);
    r->seen[row] = 1;
    r->n_refused++;
}

static inline void open_proto(struct run *r, const struct gw_es_options *o, enum gw_signal signal,
                              struct gw_slice proto)
{
    struct gw_err err = {""};
    struct gw_ref ref;

    *r = (struct run){.o = *o};
    gw_buf_init(&r->out, 1u << 30);
    gw_buf_init(&r->refused, 1 << 24);
    gw_arena_init(&r->arena, 4096, 1 << 24);
    r->b = gw_batch_new(signal);
    assert_int_equal(gw_batch_append(r->b, proto, &ref), 0);
    if (gw_decode(r->b, gw_batch_slice(r->b, ref), &run_limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_view_init(&r->v, r->b, &r->arena);
    r->seen = calloc(r->b->n_rows + 1, 1);
    assert_non_null(r->seen);
    assert_int_equal(gw_es_writer_new(&r->o, &r->w), 0);
}

static inline void open_json(struct run *r, const struct gw_es_options *o, enum gw_signal signal, struct gw_slice json)
{
    struct gw_err err = {""};
    struct gw_buf proto;

    gw_buf_init(&proto, 1 << 28);
    if (gw_json_to_proto(signal, json, &run_limits, &proto, &err) < 0)
        fail_msg("%s", err.text);
    open_proto(r, o, signal, gw_buf_slice(&proto));
    gw_buf_clear(&proto);
}

static inline void check_line(const struct run *r, size_t at, size_t end)
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
static inline void check(struct run *r)
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

static inline void write_docs(struct run *r)
{
    r->n_refused = 0;
    memset(r->seen, 0, r->b->n_rows);
    gw_buf_reset(&r->refused);
    gw_buf_reset(&r->out);
    assert_int_equal(gw_es_write(r->w, &r->v, &r->out, &r->docs, note, r), 0);
    check(r);
}

static inline void close_run(struct run *r)
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

#endif
