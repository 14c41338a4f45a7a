/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: signal and what the request's headers say of the mode; second: settings. Whatever the decoder accepts
 * becomes _bulk lines in every mapping mode: each line is JSON of its own without a key twice, documents are told
 * without a gap, every row is in one or refused. The same again gives the same bytes, without an allocation. When
 * memory fails, the write fails, or the row is refused; nothing is broken.
 */
#include <stdio.h>
#include <stdlib.h>

#include "exporters/elasticsearch/docs.h"
#include "otlp-proto/decode.h"
#include "tests/exporters/elasticsearch/json_check.h"
#include "tests/harness_malloc.h"

enum { MAX_BYTES = 1 << 28 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bulk_fuzz: %s\n", what);
    abort();
}

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    uint8_t *seen = arg;

    need(reason[0] && message[0], "no reason");
    seen[row] = 1;
}

static void check_line(const struct gw_buf *out, size_t at, size_t end)
{
    const char *problem;

    need(end > at && end <= out->n && out->p[end - 1] == '\n', "no line");
    problem = json_problem(gw_slice_of(out->p + at, end - at - 1));
    need(!problem, problem);
}

static void check(const struct gw_buf *out, const struct gw_es_docs *docs, uint8_t *seen, uint32_t n_rows)
{
    size_t at = 0;

    for (uint32_t i = 0; i < docs->n_docs; i++) {
        const struct gw_es_doc *d = &docs->docs[i];

        need(d->at == at && d->n_rows > 0, "documents with a gap");
        check_line(out, d->at, d->source);
        check_line(out, d->source, d->end);
        for (uint32_t k = 0; k < d->n_rows; k++)
            seen[docs->rows[d->rows + k]] = 1;
        at = d->end;
    }
    need(at == out->n, "bytes behind the last document");
    for (uint32_t row = 0; row < n_rows; row++)
        need(seen[row], "a row is lost");
}

static void write_all(struct gw_batch *b, struct gw_es_options *o)
{
    struct gw_es_docs docs = {0};
    struct gw_es_writer *w;
    struct gw_arena arena;
    struct gw_view v;
    uint8_t *seen = malloc(b->n_rows + 1);
    struct gw_buf out[2];

    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    need(seen && gw_es_writer_new(o, &w) == 0, "memory");
    gw_buf_init(&out[0], MAX_BYTES);
    gw_buf_init(&out[1], MAX_BYTES);
    for (int m = 0; m < GW_ES_N_MODES; m++) {
        o->mode = (enum gw_es_mode)m;
        for (int again = 0; again < 3; again++) {
            uint64_t mallocs = gw_malloc_count();
            int twice = again > 0;

            memset(seen, 0, b->n_rows);
            gw_buf_reset(&out[twice]);
            if (gw_es_write(w, &v, &out[twice], &docs, refuse, seen) < 0)
                need(out[twice].failed, "failed without a reason");
            else
                check(&out[twice], &docs, seen, b->n_rows);
            need(again < 2 || gw_malloc_count() == mallocs, "an allocation for what is written a third time");
        }
        need(out[0].failed || gw_slice_eq(gw_buf_slice(&out[0]), gw_buf_slice(&out[1])), "twice is not the same");
    }
    gw_es_writer_free(w);
    gw_es_docs_clear(&docs);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_buf_clear(&out[0]);
    gw_buf_clear(&out[1]);
    free(seen);
}

/** A new writer whose n-th allocation fails. False: there are not as many. */
static bool write_poor(struct gw_batch *b, const struct gw_es_options *o, uint8_t *seen, uint64_t n)
{
    struct gw_es_docs docs = {0};
    struct gw_es_writer *w = NULL;
    struct gw_arena arena;
    struct gw_view v;
    struct gw_buf out;
    bool failed;

    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    gw_buf_init(&out, MAX_BYTES);
    memset(seen, 0, b->n_rows);
    gw_malloc_fail_at(n);
    if (gw_es_writer_new(o, &w) == 0 && gw_es_write(w, &v, &out, &docs, refuse, seen) == 0)
        check(&out, &docs, seen, b->n_rows);
    failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    gw_es_writer_free(w);
    gw_es_docs_clear(&docs);
    gw_buf_clear(&out);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    return failed;
}

static void without_memory(struct gw_batch *b, struct gw_es_options *o)
{
    uint8_t *seen = malloc(b->n_rows + 1);

    need(seen != NULL, "memory");
    for (uint64_t n = 1; n < 120; n += 1 + n / 40) {
        o->mode = (enum gw_es_mode)(n % GW_ES_N_MODES);
        if (b->signal == GW_METRICS)
            o->mode = n % 2 ? GW_ES_OTEL : GW_ES_ECS;
        if (!write_poor(b, o, seen, n))
            break;
    }
    free(seen);
}

/** 1: a mode; 2: two; 3: one that there is not. */
static struct gw_meta *meta_of(int what)
{
    static const struct gw_slice key = GW_SLICE("x-elastic-mapping-mode");
    const struct gw_meta_pair pairs[] = {{key, what == 3 ? GW_SLICE("no such") : GW_SLICE("Raw")},
                                         {key, GW_SLICE("otel")}};
    const struct gw_meta meta = {.n_pairs = what == 2 ? 2 : 1, .pairs = pairs};

    return gw_meta_new(&meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    struct gw_batch *b;
    struct gw_ref ref;

    if (n < 2)
        return 0;
    struct gw_es_options o = {.traces_index = p[1] & 1 ? "spans" : "",
                              .metrics_index = p[1] & 1 ? "points" : "",
                              .logs_index = p[1] & 1 ? "records" : "",
                              .pipeline = p[1] & 2 ? "pipe\"line" : "",
                              .mode_from_metadata = "x-elastic-mapping-mode",
                              .allowed = {true, true, true, true, !(p[1] & 4)},
                              .logs_dynamic_id = p[1] & 8,
                              .traces_dynamic_id = p[1] & 8,
                              .logs_dynamic_pipeline = p[1] & 8,
                              .traces_dynamic_pipeline = p[1] & 8,
                              .logstash_format = p[1] & 16,
                              .logstash_prefix_separator = "-",
                              .logstash_date_format = "%Y.%m.%d",
                              .id = (enum gw_es_id)((p[1] >> 5 & 3) % 3),
                              .require_data_stream = p[1] & 128,
                              .now_ns = UINT64_C(1700000000000000000)};

    b = gw_batch_new(signals[p[0] % 3]);
    if (!b || gw_batch_append(b, gw_slice_of(p + 2, n - 2), &ref) < 0)
        abort();
    b->meta = p[0] / 3 % 4 ? meta_of(p[0] / 3 % 4) : NULL;
    if (gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, NULL) == 0) {
        write_all(b, &o);
        without_memory(b, &o);
    }
    gw_batch_unref(b);
    return 0;
}
