/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: options. Whatever the decoder accepts becomes requests of both versions that protobuf-c can read, in
 * which labels are sorted and each there once; each row stands in one request, or is refused.
 */
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translate.h"
#include "otlp-proto/decode.h"
#include "remote_write_1.pb-c.h"
#include "remote_write_2.pb-c.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

struct seen {
    uint8_t *rows;
    uint32_t n_rows;
    bool escaped; /* names hold no zero bytes: strcmp will do */
    enum gw_rw_version version;
};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void read_1(const struct seen *s, const struct gw_rw_request *rq)
{
    Prometheus__WriteRequest *w = prometheus__write_request__unpack(NULL, rq->body.n, rq->body.p);

    check(w != NULL && w->n_timeseries == rq->n_series);
    for (size_t i = 0; i < w->n_timeseries; i++)
        for (size_t k = 1; s->escaped && k < w->timeseries[i]->n_labels; k++)
            check(strcmp(w->timeseries[i]->labels[k - 1]->name, w->timeseries[i]->labels[k]->name) < 0);
    prometheus__write_request__free_unpacked(w, NULL);
}

static void read_2(const struct seen *s, const struct gw_rw_request *rq)
{
    Io__Prometheus__Write__V2__Request *w = io__prometheus__write__v2__request__unpack(NULL, rq->body.n, rq->body.p);

    check(w != NULL && w->n_timeseries == rq->n_series && w->n_symbols > 0 && w->symbols[0][0] == 0);
    for (size_t i = 0; i < w->n_timeseries; i++) {
        const Io__Prometheus__Write__V2__TimeSeries *t = w->timeseries[i];

        check(t->n_labels_refs % 2 == 0 && t->metadata && t->metadata->help_ref < w->n_symbols &&
              t->metadata->unit_ref < w->n_symbols && (t->n_samples == 0 || t->n_histograms == 0));
        for (size_t k = 0; k < t->n_labels_refs; k++)
            check(t->labels_refs[k] < w->n_symbols);
        for (size_t k = 2; s->escaped && k < t->n_labels_refs; k += 2)
            check(strcmp(w->symbols[t->labels_refs[k - 2]], w->symbols[t->labels_refs[k]]) < 0);
        for (size_t e = 0; e < t->n_exemplars; e++)
            for (size_t k = 0; k < t->exemplars[e]->n_labels_refs; k++)
                check(t->exemplars[e]->labels_refs[k] < w->n_symbols);
    }
    io__prometheus__write__v2__request__free_unpacked(w, NULL);
}

static void see(struct seen *s, uint32_t row)
{
    check(row < s->n_rows && !s->rows[row]);
    s->rows[row] = 1;
}

static int emit(void *arg, const struct gw_rw_request *rq)
{
    struct seen *s = arg;

    if (s->version == GW_RW_1)
        read_1(s, rq);
    else
        read_2(s, rq);
    for (uint32_t i = 0; i < rq->n_rows; i++)
        see(s, rq->rows[i]);
    return 0;
}

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    see(arg, row);
    check(reason[0] && message[0]);
}

static struct gw_rw_options options_of(uint8_t c)
{
    bool small = (c & 64) != 0;

    return (struct gw_rw_options){
        .namespace_ = small ? "n.s" : "",
        .strategy = c & 3,
        .nhcb = (c & 4) != 0,
        .keep_classic = (c & 8) != 0,
        .resource_labels = (c & 16) != 0,
        .delta_to_cumulative = (c & 32) != 0,
        .target_info = !small,
        .scope_info = !small,
        .send_metadata = small,
        .n_shards = small ? 3 : 1,
        .max_request_bytes = small ? 200 : 3000000,
        .series_cache_bytes = small ? 40000 : 1 << 20,
    };
}

static void translate(const struct gw_view *v, uint8_t c)
{
    struct gw_rw_options o = options_of(c);
    struct seen s = {.rows = malloc(v->batch->n_rows + 1u), .n_rows = v->batch->n_rows, .escaped = (c & 3) < 2};
    struct gw_rw_sink sink = {.arg = &s, .emit = emit, .refuse = refuse};
    struct gw_rw_translator *t;

    check(s.rows && gw_rw_translator_new(&o, &t) == 0);
    for (int i = 0; i < 4; i++) { /* 1.0 cold and warm, 2.0 cold and warm */
        s.version = i < 2 ? GW_RW_1 : GW_RW_2;
        memset(s.rows, 0, s.n_rows + 1u);
        check(gw_rw_translate(t, v, s.version, &sink) == 0);
        for (uint32_t k = 0; k < s.n_rows; k++)
            check(s.rows[k]);
    }
    gw_rw_translator_free(t);
    free(s.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct gw_arena arena;
    struct gw_batch *b;
    struct gw_view v;
    struct gw_ref ref;

    if (n < 1)
        return 0;
    b = gw_batch_new(GW_METRICS);
    if (!b || gw_batch_append(b, gw_slice_of(p + 1, n - 1), &ref) < 0)
        abort();
    if (gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, NULL) == 0) {
        gw_arena_init(&arena, 4096, 1 << 20);
        gw_view_init(&v, b, &arena);
        translate(&v, p[0]);
        gw_view_clear(&v);
        gw_arena_clear(&arena);
    }
    gw_batch_unref(b);
    return 0;
}
