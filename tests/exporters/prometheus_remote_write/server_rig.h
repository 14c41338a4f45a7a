/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of metrics, and what remote write requests hold, for tests of the exporter behind the scripted client. */
#ifndef GW_TESTS_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SERVER_RIG_H
#define GW_TESTS_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SERVER_RIG_H

#include "tests/harness_exporter.h"

#include <stdio.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/body.h"
#include "net/compress.h"
#include "otlp-proto/json.h"

static inline void put_nested(struct gw_buf *out, unsigned field, const struct gw_buf *inner)
{
    uint8_t head[2 * GW_VARINT_MAX], *p = gw_varint_put(head, GW_TAG(field, GW_LEN));

    p = gw_varint_put(p, inner->n);
    gw_buf_put(out, head, (size_t)(p - head));
    gw_buf_put(out, inner->p, inner->n);
}

static inline void put_text(struct gw_buf *out, unsigned field, const char *s)
{
    struct gw_buf b = {.p = (uint8_t *)(uintptr_t)s, .n = strlen(s)};

    put_nested(out, field, &b);
}

static inline void put_fixed(struct gw_buf *out, unsigned field, const void *eight)
{
    gw_buf_put_u8(out, (uint8_t)GW_TAG(field, GW_I64));
    gw_buf_put(out, eight, 8);
}

/** Wrap what a buffer holds into a field of a new one. */
static inline void wrap(struct gw_buf *b, unsigned field)
{
    struct gw_buf outer;

    gw_buf_init(&outer, 64 << 20);
    put_nested(&outer, field, b);
    gw_buf_clear(b);
    *b = outer;
}

enum { GAUGE = 5, SUM = 7 };

/** One point with the attribute k="<name>" in a resource of its own, behind what `body` holds. */
static inline void put_point(struct gw_buf *body, const char *name, uint64_t ms, double value, bool delta,
                             const char *service)
{
    struct gw_buf b, text, resource;
    uint64_t ns = ms * 1000000;

    gw_buf_init(&b, 1 << 20);
    gw_buf_init(&text, 1 << 20);
    gw_buf_init(&resource, 1 << 20);
    put_text(&text, 1, name); /* AnyValue.string_value */
    put_text(&b, 1, "k");
    put_nested(&b, 2, &text);
    wrap(&b, 7); /* NumberDataPoint.attributes */
    put_fixed(&b, 3, &ns);
    put_fixed(&b, 4, &value);
    wrap(&b, 1); /* data_points */
    if (delta)
        gw_buf_put(&b, "\x10\x01\x18\x01", 4); /* aggregation_temporality, is_monotonic */
    wrap(&b, delta ? SUM : GAUGE);
    put_text(&b, 1, name);
    wrap(&b, 2); /* ScopeMetrics.metrics */
    wrap(&b, 2); /* ResourceMetrics.scope_metrics */
    if (service) {
        static const char *const keys[] = {"service.name", "region"};

        for (unsigned i = 0; i < 2; i++) {
            struct gw_buf attr;

            gw_buf_init(&attr, 1 << 20);
            gw_buf_reset(&text);
            put_text(&text, 1, service);
            put_text(&attr, 1, keys[i]);
            put_nested(&attr, 2, &text);
            put_nested(&resource, 1, &attr);
            gw_buf_clear(&attr);
        }
        put_nested(&b, 1, &resource);
    }
    put_nested(body, 1, &b);
    gw_buf_clear(&b);
    gw_buf_clear(&text);
    gw_buf_clear(&resource);
}

/** Gauges m<first> to m<first + n - 1> at one time. */
static inline void put_gauges(struct gw_buf *body, unsigned first, unsigned n, uint64_t ms)
{
    char name[20];

    for (unsigned i = first; i < first + n; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        put_point(body, name, ms, i, false, NULL);
    }
}

/** Whole requests, written as JSON. */
static inline void put_json(struct gw_buf *body, const char *json)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;

    assert_int_equal(gw_json_to_proto(GW_METRICS, gw_slice_cstr(json), &limits, body, NULL), 0);
}

#define RW_HISTOGRAM                                                                                                   \
    "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"timeUnixNano\":\"1000000000\","    \
    "\"count\":\"3\",\"sum\":4,\"bucketCounts\":[\"1\",\"2\"],\"explicitBounds\":[1]}]}}"

/* ---- what was sent ---------------------------------------------------------------------------------------------- */

static struct gw_rw_body sent_body;
static struct gw_buf sent_bytes;

/** The unpacked body of a request; valid until the next call. */
static inline const struct gw_rw_body *body_of(const struct gw_rig_sent *s)
{
    const char *version = gw_rig_header(s, "X-Prometheus-Remote-Write-Version");
    bool v2 = version && strcmp(version, "2.0.0") == 0;

    gw_rw_body_clear(&sent_body);
    gw_buf_clear(&sent_bytes);
    gw_buf_init(&sent_bytes, 64 << 20);
    assert_int_equal(gw_decompress(GW_SNAPPY, gw_slice_of(s->body, s->n_body), &sent_bytes, NULL), 0);
    assert_int_equal(gw_rw_body_read(&sent_body, v2 ? GW_RW_2 : GW_RW_1, gw_buf_slice(&sent_bytes)), 0);
    return &sent_body;
}

static inline void forget_body(void)
{
    gw_rw_body_clear(&sent_body);
    gw_buf_clear(&sent_bytes);
}

static inline struct gw_slice label_of(const struct gw_rw_body *b, uint32_t series, const char *label)
{
    struct gw_slice name, value;
    struct gw_rw_label_iter it;

    gw_rw_labels_begin(b, &b->series[series], &it);
    while (gw_rw_labels_next(&it, &name, &value))
        if (gw_slice_is(name, label))
            return value;
    return (struct gw_slice){0};
}

static inline bool has_metric(const struct gw_rig_sent *s, const char *metric)
{
    const struct gw_rw_body *b = body_of(s);

    for (uint32_t i = 0; i < b->n_series; i++)
        if (gw_slice_is(label_of(b, i, "__name__"), metric))
            return true;
    return false;
}

/** Names of all series of a request, "a b c"; valid until the next call. */
static inline const char *metrics_of(const struct gw_rig_sent *s)
{
    static char text[65536];
    const struct gw_rw_body *b = body_of(s);
    size_t n = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < b->n_series; i++) {
        struct gw_slice name = label_of(b, i, "__name__");

        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "", (int)name.n, (const char *)name.p);
    }
    return text;
}

/** Value and time of the only sample of a series. */
static inline double value_of(const struct gw_rig_sent *s, const char *metric, uint64_t *ret_ms)
{
    const struct gw_rw_body *b = body_of(s);

    for (uint32_t i = 0; i < b->n_series; i++) {
        struct gw_wire_walk w = gw_wire_walk(b->series[i].message), in;
        struct gw_wire_field f, g;
        double v = 0;

        if (!gw_slice_is(label_of(b, i, "__name__"), metric))
            continue;
        while (gw_wire_next(&w, &f) > 0) {
            if (f.number != 2)
                continue;
            in = gw_wire_walk(f.val);
            while (gw_wire_next(&in, &g) > 0) {
                if (g.number == 1)
                    memcpy(&v, g.val.p, 8);
                if (g.number == 2)
                    *ret_ms = g.varint;
            }
        }
        return v;
    }
    fail_msg("no series %s", metric);
    return 0;
}

/** Let the loop's timers of the next `ns` fire; the wheel may be a little late. */
static inline void pass(struct gw_rig *r, uint64_t ns)
{
    r->mono_ns += ns + 2000000;
    gw_loop_turn(r->loop, 0);
}

/* ---- the rig of a test ------------------------------------------------------------------------------------------- */

#define SECOND 1000000000ull
#define V2     "protobuf_message: io.prometheus.write.v2.Request, "
#define ONE    "{endpoint: http://p/w, max_batch_request_parallelism: 1}"
#define ONE_V2 "{endpoint: http://p/w, max_batch_request_parallelism: 1, " V2 "}"

static struct gw_rig r;
static struct gw_buf body;

static inline void open_rig(const char *yaml)
{
    gw_buf_init(&body, 64 << 20);
    gw_rig_open(&r, "prometheus_remote_write", yaml);
}

static inline void close_rig(void)
{
    gw_rig_close(&r);
    gw_buf_clear(&body);
    forget_body();
}

/* n gauges m0 … in one attempt. */
static inline void send_gauges(unsigned n)
{
    gw_buf_reset(&body);
    put_gauges(&body, 0, n, 1000);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), n);
}

static inline void answer(unsigned i, int status, const char *headers, const char *text)
{
    gw_rig_http(&r, i, status, headers, gw_slice_cstr(text));
}

#endif
