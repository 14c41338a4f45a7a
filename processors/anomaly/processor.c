/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anomaly: how unusual a data point is for its series, as attributes of it.
 *
 *     processors:
 *       anomaly:
 *         where: metric.name == "http.errors.sum"
 *         method: median
 *         threshold: 6
 *
 * Behind `rollup` it sees one value a series and window. docs/anomaly.md says what the methods are for.
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/ports.h"
#include "processors/anomaly/anomaly.h"
#include "processors/common/flatten.h"

static void annotate(struct gw_view *v, uint32_t row, const char *metric, const struct gw_anomaly *a)
{
    if (metric)
        gw_view_attr_set(v, GW_OWN_ROW, row, GW_SLICE("anomaly.metric"),
                         &(struct gw_value){.type = GW_V_STRING, .s = gw_slice_cstr(metric)});
    gw_view_attr_set(v, GW_OWN_ROW, row, GW_SLICE("anomaly.score"),
                     &(struct gw_value){.type = GW_V_DOUBLE, .f = a->score});
    gw_view_attr_set(v, GW_OWN_ROW, row, GW_SLICE("anomaly.expected"),
                     &(struct gw_value){.type = GW_V_DOUBLE, .f = a->expected});
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct gw_an_engine *e = self;
    int how = e->conf->annotate;
    struct gw_anomaly a;
    double value;

    if (gw_ss_knows(e->state)) {
        gw_emit(out, 0, v);
        return;
    }
    if (gw_view_flatten(v) < 0)
        v->failed = true;
    gw_an_begin(e);
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows && !v->failed; row = gw_view_next(v, row + 1)) {
        enum gw_an_verdict j = gw_an_judge(e, v, row, &a, &value);

        if ((j == GW_AN_UNUSUAL && how != GW_AN_NONE) || (j == GW_AN_USUAL && how == GW_AN_ALL))
            annotate(v, row, e->metric, &a);
    }
    gw_emit(out, 0, v);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    (void)out;
    return gw_an_tick(self, now_ns);
}

static int adopt(void *self, void *old)
{
    gw_an_adopt(self, old);
    return 0;
}

static void destroy(void *self)
{
    if (self)
        gw_an_free(self);
    free(self);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_an_engine *e = malloc(sizeof(*e));
    int rc = e ? gw_an_init(e, ctx, conf, err) : gw_fail(err, -ENOMEM, "out of memory");

    if (rc < 0) {
        free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

const struct gw_component gw_processor_anomaly = {
    .kind = GW_PROCESSOR,
    .name = "anomaly",
    .summary = "Say how unusual a data point is for its series.",
    .signals = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .writes = GW_C_ATTRS,
    .partition_by = "key",
    .raises = true,
    .expands = 2,
    .fields = gw_an_fields,
    .conf_size = sizeof(struct gw_an_conf),
    .check = gw_an_check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
    .adopt = adopt,
    .keep = &gw_an_keep,
};
