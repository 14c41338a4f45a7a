/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anomaly, between pipelines: a log record for each data point that is unusual for its series.
 *
 *     connectors:
 *       anomaly: { where: 'metric.name == "http.errors.sum"', method: median, threshold: 6 }
 *     service:
 *       pipelines:
 *         metrics: { receivers: [otlp], exporters: [otlp_http, anomaly] }
 *         logs:    { receivers: [anomaly], exporters: [otlp_http] }
 *
 * A connector because it makes another signal; the processor of the same name writes scores to the points
 * (processors/anomaly/). docs/anomaly.md says what the methods are for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "otlp-proto/decode.h"
#include "pipeline/ports.h"
#include "processors/anomaly/anomaly.h"
#include "processors/anomaly/events.h"
#include "processors/common/flatten.h"

enum { MAX_WAITING_BYTES = 4 << 20 }; /* of events, while the queues behind are full */

struct self {
    struct gw_an_engine engine; /* first */
    struct gw_buf events;       /* a request that grows */
    uint32_t n_events;
    struct gw_metric *lost;
};

/* ---- out -------------------------------------------------------------------------------------------------- */

static void let_go(struct self *s, struct gw_ports *out)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_view v;
    struct gw_ref at;
    int rc = b ? gw_batch_append(b, gw_buf_slice(&s->events), &at) : -ENOMEM;

    limits.depth = GW_DEPTH_MAX;
    limits.rows = limits.decode_bytes_per_byte = UINT32_MAX;
    if (rc == 0)
        rc = gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL);
    if (rc == 0) {
        b->received_ns = gw_wall_ns(s->engine.ctx.env);
        b->receiver = "anomaly";
        gw_view_init(&v, b, out->arena);
        gw_emit(out, 0, &v);
    } else {
        gw_metric_add(s->lost, s->n_events);
        gw_log(&s->engine.ctx.logger, GW_LOG_ERROR, "events could not be written: %s", strerror(-rc));
    }
    (void)gw_batch_unref(b);
    gw_buf_clear(&s->events);
    s->n_events = 0;
}

static void let_go_if_room(struct self *s, struct gw_ports *out)
{
    if (s->n_events && gw_has_room(out, s->n_events, s->events.n))
        let_go(s, out);
}

/* ---- in --------------------------------------------------------------------------------------------------- */

static void keep(struct self *s, const struct gw_view *v, uint32_t row, const struct gw_anomaly *a, double value)
{
    gw_an_event(&s->events, v->batch, row, s->engine.metric, a, value);
    if (s->events.failed)
        gw_metric_add(s->lost, 1);
    else
        s->n_events++;
    s->events.failed = false;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_anomaly a;
    double value;

    if (gw_ss_knows(s->engine.state)) {
        gw_view_settle_all(v, out->ledger, GW_ABSORBED, "again", NULL);
        gw_view_clear(v);
        return;
    }
    if (gw_view_flatten(v) < 0) {
        gw_view_settle_all(v, out->ledger, GW_REFUSED, "memory_limit", "out of memory");
        gw_view_clear(v);
        return;
    }
    gw_an_begin(&s->engine);
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = gw_view_next(v, row + 1))
        if (gw_an_judge(&s->engine, v, row, &a, &value) == GW_AN_UNUSUAL)
            keep(s, v, row, &a, value);
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "anomaly", NULL);
    gw_view_clear(v);
    let_go_if_room(s, out);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;

    let_go_if_room(s, out);
    return gw_an_tick(&s->engine, now_ns);
}

static int drain(void *self, struct gw_ports *out)
{
    struct self *s = self;

    if (s->n_events == 0)
        return GW_DONE;
    let_go(s, out);
    return GW_MORE;
}

/* ---- behind a journal -------------------------------------------------------------------------------------- */

/* Events are part of the commit that their points are part of. */
static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct self *s = self;

    let_go_if_room(s, out);
    return s->n_events ? GW_MORE : gw_an_advance(&s->engine, now_ns, rebuilds, out);
}

static const struct gw_keep_ops kept = {.unfit = gw_ss_unfit,
                                        .parted = gw_an_parted,
                                        .is_fixed = true,
                                        .share = gw_ss_keep_share,
                                        .begin = gw_ss_keep_begin,
                                        .restore = gw_ss_keep_restore,
                                        .advance = advance,
                                        .save = gw_ss_keep_save,
                                        .due_ns = gw_ss_keep_due};

/* ---- life ------------------------------------------------------------------------------------------------- */

static int adopt(void *self, void *old_self)
{
    struct self *s = self, *old = old_self;
    struct gw_buf mine = s->events;

    gw_an_adopt(&s->engine, &old->engine);
    s->events = old->events;
    s->n_events = old->n_events;
    old->events = mine;
    old->n_events = 0;
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_an_free(&s->engine);
    gw_buf_clear(&s->events);
    free(s);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));
    int rc = s ? gw_an_init(&s->engine, ctx, conf, err) : gw_fail(err, -ENOMEM, "out of memory");

    if (rc < 0) {
        free(s);
        return rc;
    }
    gw_buf_init(&s->events, MAX_WAITING_BYTES);
    s->lost = gw_meter_get(ctx->meter, GW_COUNTER, "staunch_anomaly_lost_events",
                           "Events that found no room while the queues behind were full, or no memory.",
                           &(struct gw_label){"component", ctx->id}, 1);
    *ret = s;
    return 0;
}

const struct gw_component gw_connector_anomaly = {
    .kind = GW_CONNECTOR,
    .name = "anomaly",
    .summary = "Make a log record of each data point that is unusual for its series.",
    .signals = GW_METRICS,
    .makes = GW_LOGS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .partition_by = "key",
    .raises = true,
    .expands = 8,
    .fields = gw_an_event_fields,
    .conf_size = sizeof(struct gw_an_conf),
    .check = gw_an_check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .drain = drain,
    .adopt = adopt,
    .keep = &kept,
};
