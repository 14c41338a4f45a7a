/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to make _bulk lines of decoded requests: logs in every mode, spans and points in those that have
 * documents of them, ids by record and by content.
 *
 *     build/bulk_bench bench/payloads
 */
#include "bench/micro/micro.h"
#include "exporters/elasticsearch/docs.h"

static struct gw_es_options options = {.traces_index = "",
                                       .metrics_index = "",
                                       .logs_index = "",
                                       .pipeline = "",
                                       .mode_from_metadata = "x-elastic-mapping-mode",
                                       .allowed = {true, true, true, true, true},
                                       .logstash_prefix_separator = "-",
                                       .logstash_date_format = "%Y.%m.%d",
                                       .require_data_stream = true};
static struct gw_es_writer *writer;
static struct gw_es_docs docs;
static struct gw_buf out;
static struct gw_arena arena;

static void refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    (void)arg;
    (void)row;
    (void)reason;
    (void)message;
}

static uint64_t write_all(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++) {
        struct gw_view v;

        gw_view_init(&v, set->batches[i], &arena);
        gw_buf_reset(&out);
        micro_check(gw_es_write(writer, &v, &out, &docs, refuse, NULL) == 0, "write");
        bytes += out.n;
        gw_view_clear(&v);
    }
    return bytes;
}

/** Decoding included: what an exporter's thread does before it sends. */
static uint64_t decode_and_write(struct micro_set *set)
{
    uint64_t bytes = 0;
    struct gw_err err = {""};

    for (unsigned i = 0; i < set->n; i++) {
        static struct gw_batch *b;
        struct gw_view v;

        if (!b)
            b = gw_batch_new(set->signal);
        gw_batch_reset(b, set->signal);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode(b, micro_all(set->payloads[i]), &micro_limits, NULL, &err) == 0, err.text);
        gw_view_init(&v, b, &arena);
        gw_buf_reset(&out);
        micro_check(gw_es_write(writer, &v, &out, &docs, refuse, NULL) == 0, "write");
        bytes += out.n;
        gw_view_clear(&v);
    }
    return bytes;
}

static void all_modes(struct micro_set *set)
{
    char what[64];

    for (int m = 0; m < GW_ES_N_MODES; m++) {
        if ((m == GW_ES_BODYMAP) || (set->signal == GW_METRICS && m != GW_ES_OTEL && m != GW_ES_ECS))
            continue;
        options.mode = (enum gw_es_mode)m;
        (void)snprintf(what, sizeof(what), "write %s", gw_es_modes[m]);
        micro_run(what, set, write_all);
    }
    options.mode = GW_ES_OTEL;
    micro_run("decode and write otel", set, decode_and_write);
    options.id = GW_ES_ID_RECORD;
    micro_run("write otel, id of the record", set, write_all);
    options.id = GW_ES_ID_CONTENT;
    micro_run("write otel, id of the content", set, write_all);
    options.id = GW_ES_ID_NONE;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "bench/payloads";
    static struct micro_set logs, traces, metrics;

    gw_arena_init(&arena, 4096, 1 << 20);
    gw_buf_init(&out, 1 << 28);
    micro_check(gw_es_writer_new(&options, &writer) == 0, "writer");
    micro_load(&logs, dir, "logs500", GW_LOGS);
    micro_load(&traces, dir, "traces100", GW_TRACES);
    micro_load(&metrics, dir, "metrics1000", GW_METRICS);
    all_modes(&logs);
    all_modes(&traces);
    all_modes(&metrics);
    gw_es_writer_free(writer);
    gw_es_docs_clear(&docs);
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
    return 0;
}
