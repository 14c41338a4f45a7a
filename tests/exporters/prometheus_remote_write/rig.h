/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP as JSON in, remote write as text out. Requests are read by protobuf-c; each series is one line:
 *
 *   {__name__="a",job="x"} 1@1000 2@2000 ex{trace_id="…"} 3@1000
 */
#ifndef GW_TESTS_REMOTE_WRITE_RIG_H
#define GW_TESTS_REMOTE_WRITE_RIG_H

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translate.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "remote_write_1.pb-c.h"
#include "remote_write_2.pb-c.h"
#include "tests/harness.h"

enum { RIG_ROWS = 4096, RIG_REQUESTS = 512 };

struct rig_request {
    unsigned shard;
    uint32_t n_series, n_samples, n_histograms, n_exemplars;
    size_t bytes;
    uint32_t rows[RIG_ROWS];
    uint32_t n_rows;
};

struct rig {
    struct gw_rw_options o;
    struct gw_rw_translator *t;
    struct gw_rw_sink sink;
    enum gw_rw_version version;
    bool bits;     /* values as hexadecimal bits */
    bool starts;   /* start times of 2.0 */
    bool metadata; /* of 2.0, behind each series */
    struct gw_buf out;
    char **lines;
    size_t n_lines;
    struct rig_request *requests;
    uint32_t n_requests, n_refused;
    uint32_t refused[RIG_ROWS];
    char reason[128], message[512];
    int emit_returns;
};

static inline void rig_line(struct rig *r)
{
    r->lines = realloc(r->lines, (r->n_lines + 1) * sizeof(*r->lines));
    assert_non_null(r->lines);
    gw_buf_put_u8(&r->out, 0);
    r->lines[r->n_lines] = strdup((const char *)r->out.p);
    assert_non_null(r->lines[r->n_lines++]);
    gw_buf_reset(&r->out);
}

static inline void rig_text(struct rig *r, const char *s)
{
    gw_buf_put_u8(&r->out, '"');
    for (; *s; s++)
        if ((uint8_t)*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7f)
            gw_buf_printf(&r->out, "\\x%02x", (uint8_t)*s);
        else
            gw_buf_put_u8(&r->out, (uint8_t)*s);
    gw_buf_put_u8(&r->out, '"');
}

static inline void rig_double(struct rig *r, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    if (r->bits)
        gw_buf_printf(&r->out, "%016llx", (unsigned long long)bits);
    else if (bits == 0x7ff0000000000002)
        gw_buf_put_str(&r->out, "stale");
    else
        gw_buf_printf(&r->out, "%.15g", v);
}

static inline void rig_point(struct rig *r, double v, int64_t time, int64_t start)
{
    rig_double(r, v);
    gw_buf_printf(&r->out, "@%lld", (long long)time);
    if (r->starts && start)
        gw_buf_printf(&r->out, "/%lld", (long long)start);
}

static inline void rig_pair(struct rig *r, const char *name, const char *value, bool first)
{
    if (!first)
        gw_buf_put_u8(&r->out, ',');
    if (r->bits)
        rig_text(r, name);
    else
        gw_buf_put_str(&r->out, name);
    gw_buf_put_u8(&r->out, '=');
    rig_text(r, value);
}

/* Both versions' histograms have the same fields under other types. */
#define RIG_HISTOGRAM(r, h, INT_COUNT, INT_ZERO, start)                                                                \
    do {                                                                                                               \
        gw_buf_put_str(&(r)->out, " hist");                                                                            \
        if ((h)->count_case == (INT_COUNT))                                                                            \
            gw_buf_printf(&(r)->out, " count=%llu", (unsigned long long)(h)->count_int);                               \
        gw_buf_put_str(&(r)->out, " sum=");                                                                            \
        rig_double(r, (h)->sum);                                                                                       \
        gw_buf_printf(&(r)->out, " schema=%d zt=", (h)->schema);                                                       \
        rig_double(r, (h)->zero_threshold);                                                                            \
        if ((h)->zero_count_case == (INT_ZERO))                                                                        \
            gw_buf_printf(&(r)->out, " zero=%llu", (unsigned long long)(h)->zero_count_int);                           \
        gw_buf_put_str(&(r)->out, " ns=");                                                                             \
        for (size_t i_ = 0; i_ < (h)->n_negative_spans; i_++)                                                          \
            gw_buf_printf(&(r)->out, "%d:%u,", (h)->negative_spans[i_]->offset, (h)->negative_spans[i_]->length);      \
        gw_buf_put_str(&(r)->out, " nd=");                                                                             \
        for (size_t i_ = 0; i_ < (h)->n_negative_deltas; i_++)                                                         \
            gw_buf_printf(&(r)->out, "%lld,", (long long)(h)->negative_deltas[i_]);                                    \
        gw_buf_put_str(&(r)->out, " ps=");                                                                             \
        for (size_t i_ = 0; i_ < (h)->n_positive_spans; i_++)                                                          \
            gw_buf_printf(&(r)->out, "%d:%u,", (h)->positive_spans[i_]->offset, (h)->positive_spans[i_]->length);      \
        gw_buf_put_str(&(r)->out, " pd=");                                                                             \
        for (size_t i_ = 0; i_ < (h)->n_positive_deltas; i_++)                                                         \
            gw_buf_printf(&(r)->out, "%lld,", (long long)(h)->positive_deltas[i_]);                                    \
        gw_buf_put_str(&(r)->out, " cv=");                                                                             \
        for (size_t i_ = 0; i_ < (h)->n_custom_values; i_++) {                                                         \
            rig_double(r, (h)->custom_values[i_]);                                                                     \
            gw_buf_put_u8(&(r)->out, ',');                                                                             \
        }                                                                                                              \
        gw_buf_printf(&(r)->out, "@%lld", (long long)(h)->timestamp);                                                  \
        if ((r)->starts && (start))                                                                                    \
            gw_buf_printf(&(r)->out, "/%lld", (long long)(start));                                                     \
    } while (0)

static inline void rig_series_1(struct rig *r, const Prometheus__TimeSeries *s)
{
    gw_buf_put_u8(&r->out, '{');
    for (size_t i = 0; i < s->n_labels; i++)
        rig_pair(r, s->labels[i]->name, s->labels[i]->value, i == 0);
    gw_buf_put_u8(&r->out, '}');
    for (size_t i = 0; i < s->n_samples; i++) {
        gw_buf_put_u8(&r->out, ' ');
        rig_point(r, s->samples[i]->value, s->samples[i]->timestamp, 0);
    }
    for (size_t i = 0; i < s->n_histograms; i++)
        RIG_HISTOGRAM(r, s->histograms[i], PROMETHEUS__HISTOGRAM__COUNT_COUNT_INT,
                      PROMETHEUS__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT, 0);
    for (size_t i = 0; i < s->n_exemplars; i++) {
        gw_buf_put_str(&r->out, " ex{");
        for (size_t k = 0; k < s->exemplars[i]->n_labels; k++)
            rig_pair(r, s->exemplars[i]->labels[k]->name, s->exemplars[i]->labels[k]->value, k == 0);
        gw_buf_put_str(&r->out, "} ");
        rig_point(r, s->exemplars[i]->value, s->exemplars[i]->timestamp, 0);
    }
    rig_line(r);
}

static inline void rig_request_1(struct rig *r, struct gw_slice body)
{
    Prometheus__WriteRequest *w = prometheus__write_request__unpack(NULL, body.n, body.p);

    assert_non_null(w);
    for (size_t i = 0; i < w->n_timeseries; i++)
        rig_series_1(r, w->timeseries[i]);
    for (size_t i = 0; i < w->n_metadata; i++) {
        gw_buf_printf(&r->out, "metadata %d ", (int)w->metadata[i]->type);
        rig_text(r, w->metadata[i]->metric_family_name);
        gw_buf_put_u8(&r->out, ' ');
        rig_text(r, w->metadata[i]->help);
        gw_buf_put_u8(&r->out, ' ');
        rig_text(r, w->metadata[i]->unit);
        rig_line(r);
    }
    prometheus__write_request__free_unpacked(w, NULL);
}

static inline void rig_refs(struct rig *r, const Io__Prometheus__Write__V2__Request *w, const uint32_t *refs, size_t n)
{
    gw_buf_put_u8(&r->out, '{');
    assert_int_equal(n % 2, 0);
    for (size_t i = 0; i < n; i += 2) {
        assert_true(refs[i] < w->n_symbols && refs[i + 1] < w->n_symbols);
        rig_pair(r, w->symbols[refs[i]], w->symbols[refs[i + 1]], i == 0);
    }
    gw_buf_put_u8(&r->out, '}');
}

static inline void rig_series_2(struct rig *r, const Io__Prometheus__Write__V2__Request *w,
                                const Io__Prometheus__Write__V2__TimeSeries *s)
{
    rig_refs(r, w, s->labels_refs, s->n_labels_refs);
    assert_true(s->n_samples == 0 || s->n_histograms == 0);
    for (size_t i = 0; i < s->n_samples; i++) {
        gw_buf_put_u8(&r->out, ' ');
        rig_point(r, s->samples[i]->value, s->samples[i]->timestamp, s->samples[i]->start_timestamp);
    }
    for (size_t i = 0; i < s->n_histograms; i++)
        RIG_HISTOGRAM(r, s->histograms[i], IO__PROMETHEUS__WRITE__V2__HISTOGRAM__COUNT_COUNT_INT,
                      IO__PROMETHEUS__WRITE__V2__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT,
                      s->histograms[i]->start_timestamp);
    for (size_t i = 0; i < s->n_exemplars; i++) {
        gw_buf_put_str(&r->out, " ex");
        rig_refs(r, w, s->exemplars[i]->labels_refs, s->exemplars[i]->n_labels_refs);
        gw_buf_put_u8(&r->out, ' ');
        rig_point(r, s->exemplars[i]->value, s->exemplars[i]->timestamp, 0);
    }
    assert_non_null(s->metadata);
    assert_true(s->metadata->help_ref < w->n_symbols && s->metadata->unit_ref < w->n_symbols);
    if (r->metadata) {
        gw_buf_printf(&r->out, " meta %d ", (int)s->metadata->type);
        rig_text(r, w->symbols[s->metadata->help_ref]);
        gw_buf_put_u8(&r->out, ' ');
        rig_text(r, w->symbols[s->metadata->unit_ref]);
    }
    rig_line(r);
}

static inline void rig_request_2(struct rig *r, struct gw_slice body)
{
    Io__Prometheus__Write__V2__Request *w = io__prometheus__write__v2__request__unpack(NULL, body.n, body.p);

    assert_non_null(w);
    assert_true(w->n_symbols > 0);
    assert_string_equal(w->symbols[0], "");
    for (size_t i = 0; i < w->n_symbols && i < 300; i++) /* each once */
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(w->symbols[i], w->symbols[k]);
    for (size_t i = 0; i < w->n_timeseries; i++)
        rig_series_2(r, w, w->timeseries[i]);
    io__prometheus__write__v2__request__free_unpacked(w, NULL);
}

static inline int rig_emit(void *arg, const struct gw_rw_request *rq)
{
    struct rig *r = arg;
    struct rig_request *q;

    assert_true(r->n_requests < RIG_REQUESTS && rq->n_rows <= RIG_ROWS);
    q = &r->requests[r->n_requests++];
    *q = (struct rig_request){.shard = rq->shard,
                              .n_series = rq->n_series,
                              .n_samples = rq->n_samples,
                              .n_histograms = rq->n_histograms,
                              .n_exemplars = rq->n_exemplars,
                              .bytes = rq->body.n,
                              .n_rows = rq->n_rows};
    for (uint32_t i = 0; i < rq->n_rows; i++) {
        q->rows[i] = rq->rows[i];
        assert_true(i == 0 || rq->rows[i] > rq->rows[i - 1]);
    }
    if (r->version == GW_RW_1)
        rig_request_1(r, rq->body);
    else
        rig_request_2(r, rq->body);
    return r->emit_returns;
}

static inline void rig_refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    struct rig *r = arg;

    if (r->n_refused < RIG_ROWS)
        r->refused[r->n_refused] = row;
    r->n_refused++;
    (void)snprintf(r->reason, sizeof(r->reason), "%s", reason);
    (void)snprintf(r->message, sizeof(r->message), "%s", message);
}

static inline void rig_init(struct rig *r)
{
    *r = (struct rig){.o = {.namespace_ = "",
                            .target_info = false,
                            .scope_info = true,
                            .n_shards = 1,
                            .max_request_bytes = 3000000,
                            .series_cache_bytes = 64 << 20,
                            .seed = 42}};
    r->sink = (struct gw_rw_sink){.arg = r, .emit = rig_emit, .refuse = rig_refuse};
    r->requests = malloc(RIG_REQUESTS * sizeof(*r->requests));
    assert_non_null(r->requests);
    gw_buf_init(&r->out, 1 << 28);
}

static inline void rig_reset(struct rig *r)
{
    for (size_t i = 0; i < r->n_lines; i++)
        free(r->lines[i]);
    free(r->lines);
    r->lines = NULL;
    r->n_lines = 0;
    r->n_requests = r->n_refused = 0;
    r->reason[0] = r->message[0] = 0;
}

static inline void rig_clear(struct rig *r)
{
    rig_reset(r);
    gw_rw_translator_free(r->t);
    gw_buf_clear(&r->out);
    free(r->requests);
}

/** Translate an encoded request; `keep` may be NULL. */
static inline int rig_translate(struct rig *r, struct gw_slice request, const bool *keep)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_arena arena;
    struct gw_view v;
    struct gw_ref ref;
    int rc;

    rig_reset(r);
    if (!r->t)
        assert_int_equal(gw_rw_translator_new(&r->o, &r->t), 0);
    assert_non_null(b);
    assert_int_equal(gw_batch_append(b, request, &ref), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, NULL), 0);
    gw_arena_init(&arena, 4096, 1 << 24);
    gw_view_init(&v, b, &arena);
    for (uint32_t i = 0; keep && i < b->n_rows; i++)
        if (!keep[i])
            assert_int_equal(gw_view_remove(&v, i), 0);
    rc = gw_rw_translate(r->t, &v, r->version, &r->sink);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_batch_unref(b);
    return rc;
}

static inline int rig_json_kept(struct rig *r, const char *json, const bool *keep)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_err err = {""};
    struct gw_buf request;
    int rc;

    gw_buf_init(&request, 1 << 28);
    rc = gw_json_to_proto(GW_METRICS, gw_slice_cstr(json), &limits, &request, &err);
    if (rc < 0)
        fail_msg("%s: %s", err.text, json);
    rc = rig_translate(r, gw_buf_slice(&request), keep);
    gw_buf_clear(&request);
    return rc;
}

static inline void rig_json(struct rig *r, const char *json)
{
    assert_int_equal(rig_json_kept(r, json, NULL), 0);
}

/** Metrics of one scope "s" of one resource with service.name "svc". */
static inline void rig_metrics(struct rig *r, const char *metrics)
{
    struct gw_buf json;

    gw_buf_init(&json, 1 << 28);
    gw_buf_printf(&json,
                  "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                  "{\"stringValue\":\"svc\"}}]},\"scopeMetrics\":[{\"scope\":{},\"metrics\":[%s]}]}]}",
                  metrics);
    gw_buf_put_u8(&json, 0);
    rig_json(r, (const char *)json.p);
    gw_buf_clear(&json);
}

/** Exactly these series, in this order; NULL ends. */
static inline void rig_expect(const struct rig *r, const char *const *lines)
{
    size_t n = 0;

    for (; lines[n]; n++) {
        if (n >= r->n_lines)
            fail_msg("no line for: %s", lines[n]);
        assert_string_equal(r->lines[n], lines[n]);
    }
    if (r->n_lines > n)
        fail_msg("a line too many: %s", r->lines[n]);
}
#define RIG_EXPECT(r, ...) rig_expect(r, (const char *const[]){__VA_ARGS__, NULL})

static inline void rig_expect_refused(const struct rig *r, const char *reason)
{
    assert_int_equal(r->n_refused, 1);
    assert_string_equal(r->reason, reason);
    assert_int_equal(r->n_lines, 0);
}

#endif
