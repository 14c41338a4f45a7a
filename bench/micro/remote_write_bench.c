/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_write_bench PAYLOADS: OTLP metrics to packed remote write requests, each step by itself. One JSON line a case.
 * The series of all payloads are known to the cache; a batch was just decoded, as the exporter's thread does it.
 */
#include "bench/micro/micro.h"
#include "exporters/prometheus_remote_write/translate.h"
#include "net/compress.h"

enum { DECODE, TRANSLATE, PACK, N_STEPS, ROUNDS = 9 };

struct bench {
    struct micro_set *set;
    struct gw_rw_translator *t;
    enum gw_rw_version version;
    struct gw_arena arena;
    struct gw_buf packed;
    double ns[N_STEPS], at;
    uint64_t plain_bytes, packed_bytes, series;
};

static void step(struct bench *x, int i)
{
    double now = micro_cpu_ns();

    x->ns[i] += now - x->at;
    x->at = now;
}

static int emit(void *arg, const struct gw_rw_request *rq)
{
    struct bench *x = arg;

    step(x, TRANSLATE);
    gw_buf_reset(&x->packed);
    micro_check(gw_compress(GW_SNAPPY, 0, rq->body, &x->packed, NULL) == 0, "snappy");
    x->plain_bytes += rq->body.n;
    x->packed_bytes += x->packed.n;
    x->series += rq->n_series;
    step(x, PACK);
    return 0;
}

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    (void)arg;
    (void)row;
    (void)reason;
    micro_check(false, message);
}

static void round_of(struct bench *x)
{
    struct gw_rw_sink sink = {.arg = x, .emit = emit, .refuse = refuse};
    struct gw_view v;

    memset(x->ns, 0, sizeof(x->ns));
    x->plain_bytes = x->packed_bytes = x->series = 0;
    x->at = micro_cpu_ns();
    for (unsigned i = 0; i < x->set->n; i++) {
        struct gw_batch *b = x->set->batches[0];

        gw_batch_reset(b, x->set->signal);
        gw_batch_set_payload(b, gw_payload_ref(x->set->payloads[i]));
        micro_check(gw_decode(b, micro_all(x->set->payloads[i]), &micro_limits, NULL, NULL) == 0, "decode");
        step(x, DECODE);
        gw_view_init(&v, b, &x->arena);
        micro_check(gw_rw_translate(x->t, &v, x->version, &sink) == 0, "translate");
        gw_view_clear(&v);
        step(x, TRANSLATE);
    }
}

static void run(struct micro_set *set, const char *what, enum gw_rw_version version, unsigned n_shards)
{
    struct gw_rw_options o = {.namespace_ = "",
                              .target_info = true,
                              .scope_info = true,
                              .n_shards = n_shards,
                              .max_request_bytes = 3000000,
                              .series_cache_bytes = 256 << 20};
    struct bench x = {.set = set, .version = version};
    double best[N_STEPS] = {0}, least = 1e30, n = (double)set->rows;
    uint64_t mallocs;

    if ((getenv("CASE") && !strstr(what, getenv("CASE"))) || (getenv("KIND") && !strstr(set->name, getenv("KIND"))))
        return;
    gw_arena_init(&x.arena, 1 << 16, SIZE_MAX);
    gw_buf_init(&x.packed, 1 << 28);
    micro_check(gw_rw_translator_new(&o, &x.t) == 0, "translator");
    round_of(&x);
    round_of(&x); /* warm */
    mallocs = gw_malloc_count();
    for (int i = 0; i < ROUNDS; i++) {
        round_of(&x);
        if (x.ns[TRANSLATE] + x.ns[PACK] < least) {
            least = x.ns[TRANSLATE] + x.ns[PACK];
            memcpy(best, x.ns, sizeof(best));
        }
    }
    mallocs = gw_malloc_count() - mallocs;
    printf(
        "{\"case\": \"%s\", \"kind\": \"%s\", \"ns_per_row\": %.1f, \"translate_ns\": %.1f, \"snappy_ns\": %.1f, "
        "\"decode_ns\": %.1f, \"series_per_row\": %.2f, \"plain_bytes_per_row\": %.1f, \"packed_bytes_per_row\": %.1f, "
        "\"cache_bytes\": %llu, \"mallocs_per_row\": %.4f}\n",
        what, set->name, least / n, best[TRANSLATE] / n, best[PACK] / n, best[DECODE] / n, (double)x.series / n,
        (double)x.plain_bytes / n, (double)x.packed_bytes / n,
        (unsigned long long)gw_rw_translator_stats(x.t)->cache_bytes, (double)mallocs / (n * ROUNDS));
    (void)fflush(stdout);
    gw_rw_translator_free(x.t);
    gw_buf_clear(&x.packed);
    gw_arena_clear(&x.arena);
}

/* The payloads without their histograms. */
static void numbers_only(struct micro_set *set)
{
    struct gw_arena arena;
    struct gw_buf out;

    set->name = "numbers";
    set->rows = set->bytes = 0;
    gw_arena_init(&arena, 1 << 16, SIZE_MAX);
    gw_buf_init(&out, 1 << 28);
    for (unsigned i = 0; i < set->n; i++) {
        struct gw_batch *b = set->batches[i];
        struct gw_payload *pl;
        struct gw_view v;

        gw_view_init(&v, b, &arena);
        for (uint32_t r = 0; r < b->n_rows; r++)
            if (b->number_type[r] == GW_N_HISTOGRAM)
                micro_check(gw_view_remove(&v, r) == 0, "remove");
        gw_buf_reset(&out);
        micro_check(gw_encode(&v, &out) == 0, "encode");
        set->rows += v.n_rows;
        set->bytes += out.n;
        gw_view_clear(&v);
        pl = gw_payload_new(out.n);
        micro_check(pl != NULL, "payload");
        memcpy(pl->p, out.p, out.n);
        pl->n = (uint32_t)out.n;
        set->payloads[i] = pl;
    }
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
}

int main(int argc, char **argv)
{
    struct micro_set set;

    micro_check(argc == 2, "usage: remote_write_bench PAYLOADS");
    micro_load(&set, argv[1], "metrics1000", GW_METRICS);
    run(&set, "remote write 1.0", GW_RW_1, 1);
    run(&set, "remote write 2.0", GW_RW_2, 1);
    numbers_only(&set);
    run(&set, "remote write 1.0", GW_RW_1, 1);
    run(&set, "remote write 1.0, 4 shards", GW_RW_1, 4);
    run(&set, "remote write 2.0", GW_RW_2, 1);
    return 0;
}
