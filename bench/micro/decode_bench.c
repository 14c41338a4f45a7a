/* SPDX-License-Identifier: Apache-2.0 */
/* decode_bench PAYLOADS: the decoder, and protobuf-c beside it. One JSON line a case. */
#include <opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h>
#include <opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h>

#include "bench/micro/micro.h"

/* Into one batch per payload, as a worker's pool gives them: columns warm in size, not in cache. Returns column bytes.
 */
static uint64_t decode(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++) {
        struct gw_batch *b = set->batches[i];

        gw_batch_reset(b, set->signal);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode(b, micro_all(set->payloads[i]), &micro_limits, NULL, NULL) == 0, "decode");
        bytes += b->column_bytes;
    }
    return bytes;
}

/* Into one batch again and again: what a discarding pipeline sees. */
static uint64_t decode_one_batch(struct micro_set *set)
{
    struct gw_batch *b = set->batches[0];

    for (unsigned i = 0; i < set->n; i++) {
        gw_batch_reset(b, set->signal);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode(b, micro_all(set->payloads[i]), &micro_limits, NULL, NULL) == 0, "decode");
    }
    return 0;
}

/* The same without attributes of rows, events and links: nobody behind looks at them. */
static uint64_t decode_outline(struct micro_set *set)
{
    struct gw_batch *b = set->batches[0];

    for (unsigned i = 0; i < set->n; i++) {
        gw_batch_reset(b, set->signal);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode_outline(b, micro_all(set->payloads[i]), &micro_limits, NULL, NULL) == 0, "decode");
    }
    return 0;
}

/* Of bytes that were checked before. */
static uint64_t decode_trusted(struct micro_set *set)
{
    struct gw_batch *b = set->batches[0];

    for (unsigned i = 0; i < set->n; i++) {
        gw_batch_reset(b, set->signal);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode_trusted(b, micro_all(set->payloads[i]), NULL) == 0, "decode");
    }
    return 0;
}

static uint64_t count(struct micro_set *set)
{
    uint64_t sum = 0;
    uint32_t rows = 0;

    for (unsigned i = 0; i < set->n; i++) {
        micro_check(gw_count_rows(set->signal, micro_all(set->payloads[i]), &rows) == 0, "count");
        sum += rows;
    }
    micro_check(sum == set->rows, "rows miscounted");
    return 0;
}

static uint64_t protobuf_c(struct micro_set *set)
{
    const ProtobufCMessageDescriptor *d =
        set->signal == GW_TRACES ? &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor
        : set->signal == GW_LOGS
            ? &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor
            : &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor;

    for (unsigned i = 0; i < set->n; i++) {
        ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, set->payloads[i]->n, set->payloads[i]->p);

        micro_check(m != NULL, "protobuf-c");
        protobuf_c_message_free_unpacked(m, NULL);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum gw_signal signal;
    } kinds[] = {{"traces100", GW_TRACES}, {"logs500", GW_LOGS}, {"metrics1000", GW_METRICS}, {"traces1", GW_TRACES}};

    micro_check(argc == 2, "usage: decode_bench PAYLOADS");
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct micro_set set;

        micro_load(&set, argv[1], kinds[i].name, kinds[i].signal);
        micro_run("decode", &set, decode);
        micro_run("decode, one batch", &set, decode_one_batch);
        micro_run("outline, one batch", &set, decode_outline);
        micro_run("trusted, one batch", &set, decode_trusted);
        micro_run("count rows", &set, count);
        micro_run("protobuf-c unpack and free", &set, protobuf_c);
    }
    return 0;
}
