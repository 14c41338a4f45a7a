/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/anomaly/events.h"

#include <stdio.h>

#include "otlp-proto/wire.h"

enum { SEVERITY_WARN = 13, MAX_RECORD_BYTES = 1 << 20 };

static void put_bytes(struct gw_buf *b, unsigned field, struct gw_slice value)
{
    uint8_t head[2 * GW_VARINT_MAX], *end = gw_varint_put(gw_varint_put(head, GW_TAG(field, GW_LEN)), value.n);

    gw_buf_put(b, head, (size_t)(end - head));
    gw_buf_put_slice(b, value);
}

static void put_fixed64(struct gw_buf *b, unsigned field, uint64_t value)
{
    gw_buf_put_u8(b, GW_TAG(field, GW_I64));
    gw_buf_put(b, &value, sizeof(value));
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

enum { RECORD_ATTRIBUTE = 6 };

/* A KeyValue with a short key and value. */
static void put_attr(struct gw_buf *b, const char *key, const void *value, size_t n)
{
    struct gw_buf kv;

    gw_buf_init(&kv, MAX_RECORD_BYTES);
    put_bytes(&kv, 1, gw_slice_cstr(key));
    put_bytes(&kv, 2, gw_slice_of(value, n));
    b->failed |= kv.failed;
    put_bytes(b, RECORD_ATTRIBUTE, gw_buf_slice(&kv));
    gw_buf_clear(&kv);
}

static void put_double(struct gw_buf *b, const char *key, double value)
{
    uint8_t any[9] = {GW_TAG(4, GW_I64)};

    memcpy(any + 1, &value, sizeof(value));
    put_attr(b, key, any, sizeof(any));
}

static void put_text(struct gw_buf *b, const char *key, struct gw_slice text)
{
    struct gw_buf any;

    gw_buf_init(&any, MAX_RECORD_BYTES);
    put_bytes(&any, 1, text);
    b->failed |= any.failed;
    put_attr(b, key, any.p, any.n);
    gw_buf_clear(&any);
}

/* As they came, KeyValue by KeyValue. */
static void put_point_attrs(struct gw_buf *out, const struct gw_batch *b, uint32_t row)
{
    const uint8_t *end = b->base + b->payload->n, *p;
    uint64_t n;

    for (uint32_t i = b->attr[row].begin; i < b->attr[row].end; i++) {
        p = gw_varint_get(b->base + b->attrs[i].kv_off, end, 5, &n); /* the tag */
        p = p ? gw_varint_get(p, end, 5, &n) : NULL;
        if (p && n <= (uint64_t)(end - p))
            put_bytes(out, RECORD_ATTRIBUTE, gw_slice_of(p, n));
    }
}

/* ---- the record ------------------------------------------------------------------------------------------- */

static void put_body(struct gw_buf *out, struct gw_slice name, const struct gw_anomaly *a, double value)
{
    char text[512];
    struct gw_buf any;
    int n = snprintf(text, sizeof(text), "%.*s is %g, %.1f deviations off: %g is expected",
                     (int)(name.n < 300 ? name.n : 300), (const char *)name.p, value, a->score, a->expected);

    gw_buf_init(&any, sizeof(text) + 16);
    put_bytes(&any, 1, gw_slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
    put_bytes(out, 5, gw_buf_slice(&any));
    gw_buf_clear(&any);
}

static void put_record(struct gw_buf *out, const struct gw_batch *b, uint32_t row, const char *metric,
                       const struct gw_anomaly *a, double value)
{
    struct gw_slice name = metric ? gw_slice_cstr(metric) : gw_batch_slice(b, b->metrics[b->metric[row]].name);

    put_fixed64(out, 1, b->time_ns[row]);
    put_fixed64(out, 11, b->received_ns);
    gw_buf_put(out, (uint8_t[]){GW_TAG(2, GW_VARINT), SEVERITY_WARN}, 2);
    put_bytes(out, 3, GW_SLICE("WARN"));
    put_body(out, name, a, value);
    put_point_attrs(out, b, row);
    put_text(out, "metric.name", name);
    put_double(out, "anomaly.score", a->score);
    put_double(out, "anomaly.value", value);
    put_double(out, "anomaly.expected", a->expected);
    put_double(out, "anomaly.deviation", a->deviation);
    put_bytes(out, 12, GW_SLICE("anomaly"));
}

void gw_an_event(struct gw_buf *out, const struct gw_batch *b, uint32_t row, const char *metric,
                 const struct gw_anomaly *a, double value)
{
    const struct gw_scope *s = &b->scopes[b->scope[row]];
    const struct gw_resource *r = &b->resources[s->resource];
    struct gw_buf record, scope, resource;

    gw_buf_init(&record, MAX_RECORD_BYTES);
    gw_buf_init(&scope, 2 * MAX_RECORD_BYTES);
    gw_buf_init(&resource, 4 * MAX_RECORD_BYTES);
    put_record(&record, b, row, metric, a, value);
    put_bytes(&scope, 1, gw_batch_slice(b, s->raw));
    put_bytes(&scope, 2, gw_buf_slice(&record));
    put_bytes(&resource, 1, gw_batch_slice(b, r->raw));
    put_bytes(&resource, 2, gw_buf_slice(&scope));
    if (record.failed || scope.failed || resource.failed)
        out->failed = true;
    else if (gw_buf_reserve(out, resource.n + 2 * GW_VARINT_MAX) == 0)
        put_bytes(out, 1, gw_buf_slice(&resource));
    gw_buf_clear(&record);
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
}
